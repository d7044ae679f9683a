//! Connections to the file that bears a name now: a nightly copy may have taken the place of the one that was opened.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use super::inventory::Ids;
use super::open_read_only;
use crate::SourceError;

/// One of the connections to a database by its path.
pub(super) struct File {
    of: Arc<Files>,
    /// The how manyth file it has open.
    opened: u32,
    connection: Connection,
    /// The ids of that file: those of another may be of another type.
    ids: Arc<Ids>,
}

/// What the connections of a path share. They go over to another file together: one that had nothing to do meanwhile must
/// not read the file before when the name is gone.
struct Files {
    path: PathBuf,
    connections: usize,
    newest: Mutex<Newest>,
}

/// The file that was opened last.
struct Newest {
    /// Which file it is; `None` where the system does not tell.
    identity: Option<(u64, u64)>,
    opened: u32,
    ids: Arc<Ids>,
    /// One for each of those that have an older file still.
    spare: Vec<Connection>,
}

impl Newest {
    fn open(path: &Path, connections: usize, opened: u32) -> Result<Newest, SourceError> {
        // Asked before: a file that takes the place in between is then noticed.
        let identity = identity(path);
        let spare = (0..connections).map(|_| open_read_only(path)).collect::<Result<_, _>>()?;
        Ok(Newest { identity, opened, ids: Arc::default(), spare })
    }
}

impl File {
    /// So many connections to one path.
    pub(super) fn open(path: &Path, connections: usize) -> Result<Vec<File>, SourceError> {
        let mut newest = Newest::open(path, connections, 1)?;
        let (opened, ids) = (newest.opened, Arc::clone(&newest.ids));
        let open = std::mem::take(&mut newest.spare);
        let of = Arc::new(Files { path: path.into(), connections, newest: Mutex::new(newest) });
        let file =
            |connection| File { of: Arc::clone(&of), opened, connection, ids: Arc::clone(&ids) };
        Ok(open.into_iter().map(file).collect())
    }

    /// The connection, and the ids that are known of its file: new ones if another file bears the name now. While none
    /// does, the one that was opened last is still read.
    pub(super) fn connection(&mut self) -> Result<(&mut Connection, &Ids), SourceError> {
        let mut newest = self.of.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let now = identity(&self.of.path);
        if now.is_some() && now != newest.identity {
            let opened = newest.opened.wrapping_add(1);
            *newest = Newest::open(&self.of.path, self.of.connections, opened)?;
        }
        if self.opened != newest.opened
            && let Some(connection) = newest.spare.pop()
        {
            (self.connection, self.opened) = (connection, newest.opened);
            self.ids = Arc::clone(&newest.ids);
        }
        drop(newest);
        Ok((&mut self.connection, &self.ids))
    }

    /// How many files had been opened when it last was asked for its connection.
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_was_idle_reads_the_file_that_was_last() {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join("shop"), directory.path().join("new"));
        for (path, what) in [(&path, "old"), (&other, "new")] {
            let made = Connection::open(path).unwrap();
            made.execute_batch(&format!("CREATE TABLE things AS SELECT '{what}' AS v")).unwrap();
        }
        let mut files = File::open(&path, 2).unwrap();
        let [busy, idle] = &mut files[..] else { panic!("two were asked for") };
        let read = |file: &mut File| {
            let (connection, _) = file.connection().unwrap();
            connection.query_row("SELECT v FROM things", [], |row| row.get::<_, String>(0)).unwrap()
        };
        assert_eq!((read(busy), read(idle)), ("old".into(), "old".into()));
        std::fs::rename(&other, &path).unwrap();
        assert_eq!(read(busy), "new");
        std::fs::rename(&path, &other).unwrap();
        assert_eq!(read(idle), "new", "though the name was gone when it was asked");
        assert_eq!((busy.opened(), idle.opened()), (2, 2));
    }
}
