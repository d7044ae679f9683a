//! The samovar command line: one file for each command.

mod clear;
mod client;
mod delete;
mod demo;
mod get;
mod host;
mod import;
mod init;
mod invalidate;
mod letters;
mod put;
mod serve;
mod stats;

use std::process::ExitCode;

use clap::Parser;

/// A tiered cache that is warm before anyone asks, and never serves what it was told is gone
#[derive(Debug, Parser)]
#[command(name = "samovar", version)]
enum Cli {
    /// Make a shop's data, serve its dashboard, keep it warm
    Demo(demo::DemoArgs),
    /// Serve the dashboard of your own database
    Serve(serve::ServeArgs),
    Import(import::ImportArgs),
    Init(init::InitArgs),
    Get(get::GetArgs),
    Put(put::PutArgs),
    Delete(delete::DeleteArgs),
    Invalidate(invalidate::InvalidateArgs),
    Letters(letters::LettersArgs),
    Stats(stats::StatsArgs),
    /// Empty a data directory of what is ours
    Clear(clear::ClearArgs),
}

fn main() -> ExitCode {
    match Cli::parse() {
        Cli::Demo(args) => demo::run(&args),
        Cli::Serve(args) => serve::run(&args),
        Cli::Import(args) => import::run(args),
        Cli::Init(args) => init::run(&args),
        Cli::Get(args) => client::ended(get::get(&args)),
        Cli::Put(args) => client::ended(put::put(&args)),
        Cli::Delete(args) => client::ended(delete::delete(&args)),
        Cli::Invalidate(args) => client::ended(invalidate::invalidate(&args)),
        Cli::Letters(args) => client::ended(letters::letters(&args)),
        Cli::Stats(args) => client::ended(stats::stats(&args)),
        Cli::Clear(args) => clear::run(&args),
    }
}
