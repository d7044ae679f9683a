//! Benchmarks, and the peers they run against.
//!
//! `cargo xtask bench levels` prints `name value unit` lines on standard output and what it is doing on standard
//! error; `cargo xtask bench list` prints the names. What the figures mean and what they must reach stands in
//! `BENCHMARKS.md`.

mod cache;
mod child;
mod diagnosis;
mod iowa;
mod load;
mod postgres;
mod scale;
mod serve;
mod shop;
mod stats;
mod warm;

use std::error::Error;
use std::process::ExitCode;

use shop::Shop;

// The program's.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A benchmark fails for whoever reads its message; nobody matches on its errors.
type Outcome<T> = Result<T, Box<dyn Error>>;

/// Stores of the demo, unless a benchmark says otherwise.
const STORES: u32 = 100;

const USAGE: &str = "usage: samovar-bench levels | serve | scale | cache [PART…] | list";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args[..] {
        ["levels"] => levels().map(|lines| tell(&lines)),
        ["serve"] => serve::measure().map(|lines| tell(&lines)),
        ["cache", ref parts @ ..] => cache::measure(parts).map(|lines| tell(&lines)),
        ["scale"] => scale::measure().map(|lines| tell(&lines)),
        ["list"] => {
            [
                warm::NAMES,
                postgres::NAMES,
                iowa::NAMES,
                diagnosis::NAMES,
                serve::NAMES,
                scale::NAMES,
                cache::NAMES,
            ]
            .concat()
            .iter()
            .for_each(|name| say(name));
            Ok(())
        }
        [child::MARK, role, directory, stores] => child::run(role, directory.as_ref(), stores),
        _ => Err(USAGE.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("samovar-bench: {failed}");
            ExitCode::FAILURE
        }
    }
}

/// The levels: how fast they warm beside a plain scan, and how fast they answer.
fn levels() -> Outcome<Vec<String>> {
    let shop = Shop::ready(STORES)?;
    let warm = warm::measure(&shop)?;
    let postgres = postgres::measure(&shop)?;
    let iowa = iowa::measure(&shop)?;
    let diagnosis = diagnosis::measure(&shop)?;
    Ok([warm, postgres, iowa, diagnosis].concat())
}

fn tell(lines: &[String]) {
    lines.iter().for_each(|line| say(line));
}

/// A line of the result.
fn line(name: &str, value: f64, unit: &str) -> String {
    format!("{name} {value:.3} {unit}")
}

#[expect(clippy::print_stdout, reason = "results go to standard output")]
fn say(line: &str) {
    println!("{line}");
}
