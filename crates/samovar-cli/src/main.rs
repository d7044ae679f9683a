//! The samovar command line: one file for each command.

mod clear;
mod demo;
mod host;
mod import;
mod init;
mod serve;

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
    /// Empty a data directory of what is ours
    Clear(clear::ClearArgs),
}

fn main() -> ExitCode {
    match Cli::parse() {
        Cli::Demo(args) => demo::run(&args),
        Cli::Serve(args) => serve::run(&args),
        Cli::Import(args) => import::run(args),
        Cli::Init(args) => init::run(&args),
        Cli::Clear(args) => clear::run(&args),
    }
}
