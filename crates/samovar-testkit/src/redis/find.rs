//! Where Redis's programs are. `cargo xtask` compiles this file too: both must find the same ones.

use std::path::PathBuf;

use crate::programs;

/// Names the folder of Redis's programs (`redis-server`, `redis-cli`), before all other places.
pub const BIN: &str = "SAMOVAR_REDIS_BIN";

/// What a server of our own needs; a sentinel is a `redis-server` too.
const PROGRAMS: [&str; 2] = ["redis-server", "redis-cli"];

const INSTALL: &str = "no Redis found. Install its server, 7.0 or newer (Debian, Ubuntu: `apt-get \
    install redis-server`; Fedora: `dnf install redis`; macOS: `brew install redis`)";

/// The folder that [`BIN`] names, or else the first one on the search path that has all programs; or a sentence that
/// says what to install.
pub(crate) fn find() -> Result<PathBuf, String> {
    programs::find(BIN, &PROGRAMS, Vec::new(), INSTALL)
}
