//! Where Schemathesis is. `cargo xtask` compiles this file too: it installs what the test then looks for.

use std::env;
use std::path::{Path, PathBuf};

/// Names the program, before all other places.
pub(crate) const SCHEMATHESIS: &str = "SAMOVAR_SCHEMATHESIS";

/// The version that the checks are written for.
pub(crate) const VERSION: &str = "4.32.5";

/// The virtual environment of our own, in the folder that cargo builds in.
pub(crate) fn environment(target: &Path) -> PathBuf {
    target.join("schemathesis")
}

/// The program that [`SCHEMATHESIS`] names, or else that of our own environment; or a sentence that says what to do.
pub(crate) fn find(target: &Path) -> Result<PathBuf, String> {
    if let Some(named) = env::var_os(SCHEMATHESIS).filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        return match named.is_file() {
            true => Ok(named),
            false => Err(format!("{SCHEMATHESIS} names {named:?}, which is no file")),
        };
    }
    let own = environment(target).join("bin").join("st");
    if own.is_file() {
        return Ok(own);
    }
    let environment = environment(target);
    let environment = environment.display();
    Err(format!(
        "no Schemathesis found. Install Python 3.10 or later with its module venv (Debian, Ubuntu: `apt-get install \
         python3-venv`), then run `cargo xtask test`, or `python3 -m venv {environment} && \
         {environment}/bin/pip install schemathesis=={VERSION}`; or name the program `st` in {SCHEMATHESIS}"
    ))
}
