//! Saying aloud that a test could not run here.

use std::fs::OpenOptions;
use std::io::{self, Write};

/// Names the file to which [`skipped`] appends its lines. `cargo xtask test` sets it, because test
/// runners hide what a passing test prints.
pub const SKIPS_FILE: &str = "SAMOVAR_SKIPS";

/// Reports that the test `name` skips its work because of `why`; the test then returns.
///
/// Prints `SKIPPED name: why` on a line of its own and appends that line to the file named by
/// [`SKIPS_FILE`], so that `cargo xtask test` counts the test as skipped and not as passed. Call it
/// once per test.
///
/// # Panics
/// If the file cannot be written: a skip that goes uncounted would look like a pass.
///
/// ```
/// use samovar_testkit::skip::skipped;
///
/// fn reads_the_open_data() {
///     let data = std::path::Path::new("no/such/folder");
///     if !data.exists() {
///         return skipped("iowa", &format!("no data in {}", data.display()));
///     }
///     // the test proper
/// }
/// # // Not called: this would count as a skip of the run.
/// # let _ = reads_the_open_data;
/// ```
pub fn skipped(name: &str, why: &str) {
    // One line, whatever the reason contains: the reader counts lines.
    let line = format!("SKIPPED {name}: {why}").replace(['\n', '\r'], " ");
    let mut out = io::stdout().lock();
    writeln!(out, "\n{line}").and_then(|()| out.flush()).expect("standard output is open");
    if let Some(file) = std::env::var_os(SKIPS_FILE) {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(file)
            .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
            .expect("the file that collects the skips can be appended to");
    }
}
