//! A connection to the file that bears a name now: a nightly copy may have taken the place of the one that was opened.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::inventory::Ids;
use super::open_read_only;
use crate::SourceError;

/// A database by its path.
pub(super) struct File {
    path: PathBuf,
    connection: Connection,
    /// Which file is open; `None` where the system does not tell.
    identity: Option<(u64, u64)>,
    /// How many have been opened by now.
    opened: u32,
}

impl File {
    pub(super) fn open(path: &Path) -> Result<File, SourceError> {
        // Asked before: a file that takes the place in between is then noticed.
        let identity = identity(path);
        let connection = open_read_only(path)?;
        Ok(File { path: path.into(), connection, identity, opened: 1 })
    }

    /// The connection: a new one if another file bears the name now. While none does, the one that was opened is still
    /// read. What is known of the ids belongs to the file before.
    pub(super) fn connection(&mut self, ids: &Ids) -> Result<&mut Connection, SourceError> {
        let now = identity(&self.path);
        if now.is_some() && now != self.identity {
            self.connection = open_read_only(&self.path)?;
            (self.identity, self.opened) = (now, self.opened.wrapping_add(1));
            ids.forget();
        }
        Ok(&mut self.connection)
    }

    /// How many files have been opened by now.
    pub(super) fn opened(&self) -> u32 {
        self.opened
    }
}

/// Device and number of a file.
#[cfg(unix)]
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let file = std::fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

/// Elsewhere a file that is open cannot be replaced.
#[cfg(not(unix))]
pub(super) fn identity(_: &Path) -> Option<(u64, u64)> {
    None
}
