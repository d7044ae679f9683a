//! What the commands print. Nobody may read it any more, as behind `samovar get … | head`: a command then does what it was
//! told without a word, and its exit code says how that went.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use crate::host::Failure;

/// Prints a line to standard output.
///
/// # Errors
/// If it cannot be written, as where a disk is full; not if nobody reads it.
pub(crate) fn say(line: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let said = out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n"));
    match said.and_then(|()| out.flush()) {
        Err(failed) if failed.kind() != ErrorKind::BrokenPipe => {
            Err(Failure(format!("cannot write to standard output: {failed}")))
        }
        _ => Ok(()),
    }
}

/// Prints a line to standard error, if anybody reads it.
pub(crate) fn note(line: impl Display) {
    // There is nowhere else to say it.
    let _ = writeln!(io::stderr(), "{line}");
}
