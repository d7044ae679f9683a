//! The samovar command line: one file for each command.

// Both end a command with a panic where nobody reads what it prints: `out` does not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

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
mod out;
mod put;
mod serve;
mod stats;

use std::process::ExitCode;

use clap::Parser;

use client::End;
use host::Failure;

// Hits and writes cost less by it than by the system's: ARCHITECTURE.md says which others were weighed.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A tiered cache that is warm before anyone asks, and never serves what it was told is gone
#[derive(Debug, Parser)]
#[command(name = "samovar", version)]
enum Cli {
    /// Make a shop's data, serve its dashboard, keep it warm
    Demo(demo::DemoArgs),
    /// Serve the dashboard of your own database, and caches over its rows
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
    let done = |()| End::Done;
    let outcome = match Cli::parse() {
        Cli::Demo(args) => host::block_on(demo::demo(&args)).map(done),
        Cli::Serve(args) => host::block_on(serve::serve(&args)).map(done),
        Cli::Import(args) => return import::run(args),
        Cli::Init(args) => init::init(&args).map(done),
        Cli::Get(args) => get::get(&args),
        Cli::Put(args) => put::put(&args),
        Cli::Delete(args) => delete::delete(&args),
        Cli::Invalidate(args) => invalidate::invalidate(&args),
        Cli::Letters(args) => letters::letters(&args),
        Cli::Stats(args) => stats::stats(&args),
        Cli::Clear(args) => clear::clear(&args).map(done),
    };
    // 2 is clap's, for what cannot be.
    match outcome {
        Ok(End::Done) => ExitCode::SUCCESS,
        Ok(End::Absent) => ExitCode::from(3),
        Err(Failure(why)) => {
            out::note(format_args!("samovar: {why}"));
            ExitCode::FAILURE
        }
    }
}
