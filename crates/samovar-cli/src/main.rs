//! The samovar command line.

mod import;

use std::process::ExitCode;

use clap::Parser;

/// A cache of analytics that is always warm.
#[derive(Debug, Parser)]
#[command(name = "samovar", version)]
enum Cli {
    /// Import a CSV file into a table of a SQLite database, all or nothing
    Import(import::ImportArgs),
}

fn main() -> ExitCode {
    match Cli::parse() {
        Cli::Import(args) => import::run(args),
    }
}
