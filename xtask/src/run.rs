//! Running a command so that its output is both shown and kept.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write, stdout};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::{env, io, thread};

/// What came of a command.
pub(crate) struct Outcome {
    pub(crate) ok: bool,
    /// Everything it wrote, line by line, without colours.
    pub(crate) output: String,
}

/// The cargo that runs us, so that its children use the same toolchain.
pub(crate) fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Whether the command can be run and succeeds; its output is not shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs a command to its end, showing its lines as they come.
pub(crate) fn show(command: &mut Command) -> Outcome {
    // Colours survive the pipes if our own output is read by a person.
    if stdout().is_terminal() && env::var_os("CARGO_TERM_COLOR").is_none() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let kept = Mutex::new(String::new());
    let mut run = || -> io::Result<bool> {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        thread::scope(|scope| {
            scope.spawn(|| copy(err, &kept));
            copy(out, &kept);
        });
        Ok(child.wait()?.success())
    };
    let ok = run().unwrap_or_else(|error| {
        println!("cannot run {}: {error}", command.get_program().display());
        false
    });
    Outcome { ok, output: kept.into_inner().unwrap_or_else(PoisonError::into_inner) }
}

fn copy(from: Option<impl Read>, kept: &Mutex<String>) {
    let Some(from) = from else { return };
    let mut lines = BufReader::new(from);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        // Whoever reads our output may have gone; the tests run on.
        let _ = stdout().write_all(&line).and_then(|()| stdout().flush());
        let plain = without_colours(&String::from_utf8_lossy(&line));
        kept.lock().unwrap_or_else(PoisonError::into_inner).push_str(&plain);
        line.clear();
    }
}

/// The text without the escape sequences that colour it.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // A sequence ends with its first letter.
        let end = part.find(|c: char| c.is_ascii_alphabetic()).map_or(part.len(), |at| at + 1);
        plain.push_str(&part[end..]);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_said_on_both_ways_and_how_it_ended() {
        let outcome = show(Command::new("sh").args(["-c", "echo one; echo two >&2; exit 3"]));
        let mut lines: Vec<_> = outcome.output.lines().collect();
        lines.sort_unstable();
        assert_eq!((outcome.ok, lines), (false, vec!["one", "two"]));
        assert!(!show(&mut Command::new("no-such-program")).ok);
    }

    #[test]
    fn drops_colours() {
        assert_eq!(without_colours("\u{1b}[1;32m  Summary\u{1b}[0m [1 s]"), "  Summary [1 s]");
    }
}
