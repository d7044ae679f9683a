//! Where PostgreSQL's programs are. `cargo xtask` compiles this file too: both must find the same ones.

use std::fs;
use std::path::{Path, PathBuf};

use crate::programs;

/// Names the folder of PostgreSQL's programs (`initdb`, `postgres`, `psql`), before all other places.
pub const BIN: &str = "SAMOVAR_POSTGRES_BIN";

/// Where Debian and its kin put each version, in folders named by it.
const VERSIONS: &str = "/usr/lib/postgresql";

/// What a server of our own needs.
const PROGRAMS: [&str; 3] = ["initdb", "postgres", "psql"];

const INSTALL: &str = "no PostgreSQL found. Install its server (Debian, Ubuntu: `apt-get install \
    postgresql`; Fedora: `dnf install postgresql-server`; macOS: `brew install postgresql`)";

/// The folder that [`BIN`] names, or else that of the newest version installed, or the first one on the search path
/// that has all programs; or a sentence that says what to install.
pub(crate) fn find() -> Result<PathBuf, String> {
    let version = |folder: &Path| -> Option<u32> { folder.file_name()?.to_str()?.parse().ok() };
    let mut versions: Vec<PathBuf> = fs::read_dir(VERSIONS)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|folder| version(folder).is_some())
        .collect();
    versions.sort_by_key(|folder| std::cmp::Reverse(version(folder)));
    let places = versions.into_iter().map(|folder| folder.join("bin")).collect();
    programs::find(BIN, &PROGRAMS, places, INSTALL)
}
