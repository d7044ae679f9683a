//! `cargo run -p samovar-erp`: makes the database.

use std::io::{Write, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use samovar_erp::{Shape, into_postgres, into_sqlite};
use samovar_source::PostgresOptions;

/// Makes a small ERP database with sample data, the same for the same seed.
#[derive(Parser)]
struct Options {
    /// The SQLite file to make
    #[arg(long, default_value = "erp.sqlite")]
    out: PathBuf,
    /// A PostgreSQL database to make the tables in instead, postgres://user:password@host:port/database
    #[arg(long, conflicts_with = "out")]
    database: Option<String>,
    /// Certificates (PEM) of the authorities to trust for PostgreSQL
    #[arg(long, requires = "database")]
    ca_file: Option<PathBuf>,
    /// Number of customers
    #[arg(long, default_value_t = Shape::default().customers, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    customers: u32,
    /// Number of orders
    #[arg(long, default_value_t = Shape::default().orders, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    orders: u32,
    /// Which of all possible businesses
    #[arg(long, default_value_t = Shape::default().seed)]
    seed: u64,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let shape = Shape { customers: options.customers, orders: options.orders, seed: options.seed };
    let (made, place) = match &options.database {
        Some(url) => {
            let mut server = PostgresOptions::new(url);
            server.ca_file = options.ca_file;
            (into_postgres(&server, &shape), server.place().unwrap_or_default())
        }
        None => (into_sqlite(&options.out, &shape), options.out.display().to_string()),
    };
    // If nobody reads what is said, there is nobody to tell.
    let _ = match &made {
        Ok(()) => writeln!(
            stdout(),
            "made {place}: {} customers, {} orders",
            shape.customers,
            shape.orders
        ),
        Err(wrong) => writeln!(stderr(), "error: {wrong}"),
    };
    if made.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
