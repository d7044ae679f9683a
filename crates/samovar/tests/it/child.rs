//! This very test binary, started again as a child that says what it does and is killed in the middle.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child as Process, ChildStdout, Command, Stdio};

/// Where the child works; without it there is no child.
const DIRECTORY: &str = "SAMOVAR_TEST_CHILD_DIRECTORY";
/// The number that it begins behind.
const FROM: &str = "SAMOVAR_TEST_CHILD_FROM";

/// What a child was told: its directory, and the number that it begins behind. `None` if this is none, but a test among
/// others.
pub(crate) fn told() -> Option<(PathBuf, u64)> {
    let (Ok(directory), Ok(from)) = (env::var(DIRECTORY), env::var(FROM)) else { return None };
    Some((directory.into(), from.parse().unwrap()))
}

/// Says a line, which the parent has even if this is killed after it.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "@{line}").unwrap();
    out.flush().unwrap();
}

/// A child that runs.
pub(crate) struct Child {
    process: Process,
    out: BufReader<ChildStdout>,
}

impl Child {
    /// Runs one test of this binary.
    pub(crate) fn start(test: &str, directory: &Path, from: u64) -> Child {
        let mut process = Command::new(env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env(DIRECTORY, directory)
            .env(FROM, from.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        Child { process, out }
    }

    /// What it says in so many lines, word by word; then it is killed, wherever it is by then, and what it had said
    /// meanwhile is heard too. The last line may be cut.
    pub(crate) fn hear_and_kill(mut self, lines: u64, mut hear: impl FnMut(&[&str])) {
        let mut hear = |line: &str| {
            if let Some((_, said)) = line.split_once('@') {
                hear(&said.split(' ').collect::<Vec<_>>());
            }
        };
        let mut all = self.out.by_ref().lines().map(Result::unwrap);
        for _ in 0..lines {
            hear(&all.next().expect("the child goes on until it is killed"));
        }
        self.process.kill().unwrap();
        all.for_each(|line| hear(&line));
        self.process.wait().unwrap();
    }
}

/// The next of a sequence of numbers that is the same each time.
pub(crate) fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}
