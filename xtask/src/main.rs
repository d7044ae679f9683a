//! The repository's own commands. No dependencies: it is built before anything else is.

// A command line speaks on standard output.
#![allow(clippy::print_stdout)]

mod count;
mod house;
mod run;
mod test;
mod tools;

/// The one place that knows where browsers are, shared with the tests that start one.
#[allow(unreachable_pub)]
#[path = "../../crates/samovar-testkit/src/browser/find.rs"]
mod browser;

/// The same for servers.
#[path = "../../crates/samovar-testkit/src/programs.rs"]
mod programs;

/// The same for PostgreSQL's programs.
#[allow(unreachable_pub)]
#[path = "../../crates/samovar-testkit/src/postgres/find.rs"]
mod postgres;

/// The same for Redis's programs.
#[allow(unreachable_pub)]
#[path = "../../crates/samovar-testkit/src/redis/find.rs"]
mod redis;

/// The same for the client that holds the doors against their description.
#[path = "../../crates/samovar-cli/tests/it/openapi/find.rs"]
mod schemathesis;

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const USAGE: &str = "\
The repository's own commands:

  cargo xtask test [--fast]    run every check and test; --fast leaves out the documentation
  cargo xtask house            run the house rules alone
  cargo xtask bench NAME…      run benchmarks, in release mode
";

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let root = root();
    match words[..] {
        ["test"] => test::run(&root, false),
        ["test", "--fast"] => test::run(&root, true),
        ["house"] => house(&root),
        ["bench", ref names @ ..] if !names.is_empty() => bench(&root, names),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// The root of the repository: cargo says where this crate stands, which is right below it.
fn root() -> PathBuf {
    let here = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    here.as_deref().and_then(Path::parent).unwrap_or(Path::new(".")).to_owned()
}

fn house(root: &Path) -> ExitCode {
    let broken = house::check(root);
    broken.iter().for_each(|broken| println!("{broken}"));
    ExitCode::from(u8::from(!broken.is_empty()))
}

fn bench(root: &Path, names: &[&str]) -> ExitCode {
    let status = Command::new(run::cargo())
        .args(["run", "--release", "--package", "samovar-bench", "--"])
        .args(names)
        .current_dir(root)
        .status();
    match status {
        Ok(status) => {
            ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
        }
        Err(error) => {
            eprintln!("cannot run cargo: {error}");
            ExitCode::FAILURE
        }
    }
}
