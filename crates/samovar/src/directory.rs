//! The data directory: whose it is, who holds it, and how it is emptied.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use samovar_core::{Error, ErrorKind};

use crate::{fence, tier, write};

/// Says that a directory is ours, and in which format.
const MARKER: &str = "samovar.format";
const MAGIC: &str = "samovar data directory";
const FORMAT: u32 = 1;
const LOCK: &str = "samovar.lock";

/// Everything that [`clear`] may remove, the marker last: as long as anything is left, so is the marker.
const OURS: [&str; 14] = [
    tier::disk::FILE,
    "cache.redb.damaged",
    fence::MARKS_FILE,
    "marks.redb.damaged",
    write::FILE,
    "writes.journal.new",
    "writes.journal.damaged",
    fence::JOURNAL_FILE,
    "marks.journal.new",
    "marks.journal.damaged",
    fence::saved::FILE,
    "marks.saved.new",
    LOCK,
    MARKER,
];

/// A directory that this process holds; let go of when the last of these is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Held(#[expect(dead_code, reason = "it is held")] Arc<Lock>);

#[derive(Debug)]
struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file would do, were it not for a child that is being started at this moment by another
        // thread: until it runs its own program it holds the file too.
        let _ = self.file.unlock();
    }
}

fn failed(path: &Path, what: &str, cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Storage, format!("{}: {what}", path.display())).because(cause)
}

/// Makes the directory if it is not there, takes hold of it, and checks or writes its marker.
pub(crate) fn hold(directory: &Path) -> Result<Held, Error> {
    fs::create_dir_all(directory).map_err(|e| failed(directory, "making the directory", e))?;
    let held = lock(directory)?;
    let marker = directory.join(MARKER);
    match read_marker(directory)? {
        Some(FORMAT) => {}
        Some(other) => return Err(other_format(&marker, other)),
        None => {
            let stray = OURS.iter().filter(|name| ![LOCK, MARKER].contains(name));
            if let Some(stray) =
                stray.map(|n| directory.join(n)).find(|p| p.symlink_metadata().is_ok())
            {
                return Err(Error::new(
                    ErrorKind::Format,
                    format!(
                        "{} is there but {MARKER} is not, so it may not be ours; move it away or choose \
                         another directory",
                        stray.display()
                    ),
                ));
            }
            let written = File::create(&marker).and_then(|mut file| {
                writeln!(file, "{MAGIC}\nformat {FORMAT}")?;
                file.sync_all()
            });
            written.map_err(|e| failed(&marker, "writing it", e))?;
        }
    }
    Ok(held)
}

fn lock(directory: &Path) -> Result<Held, Error> {
    let path = directory.join(LOCK);
    if path.symlink_metadata().is_ok_and(|found| !found.is_file()) {
        let message = format!("{} is not a regular file; remove it", path.display());
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|e| failed(&path, "opening it", e))?;
    match file.try_lock() {
        Ok(()) => Ok(Held(Arc::new(Lock { file }))),
        Err(TryLockError::WouldBlock) => Err(Error::new(
            ErrorKind::Held,
            format!(
                "the data directory {} is held by another process; stop it or choose another directory",
                directory.display()
            ),
        )),
        Err(TryLockError::Error(e)) => Err(failed(&path, "locking it", e)),
    }
}

/// The format of a directory of ours; `None` if it has no marker.
fn read_marker(directory: &Path) -> Result<Option<u32>, Error> {
    let path = directory.join(MARKER);
    match path.symlink_metadata() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(&path, "reading it", e)),
        Ok(found) if !found.is_file() => return Ok(None),
        Ok(_) => {}
    }
    let mut text = String::new();
    let read = File::open(&path).and_then(|file| file.take(1_024).read_to_string(&mut text));
    read.map_err(|e| failed(&path, "reading it", e))?;
    let mut lines = text.lines();
    let format = (lines.next() == Some(MAGIC))
        .then(|| lines.next()?.strip_prefix("format ")?.parse().ok())
        .flatten();
    match format {
        Some(format) => Ok(Some(format)),
        // The process died while it made the directory: nothing else is there yet, or `hold` says so.
        None if text.is_empty() => Ok(None),
        None => Err(Error::new(
            ErrorKind::Format,
            format!("{} was not written by this program; choose another directory", path.display()),
        )),
    }
}

fn other_format(marker: &Path, found: u32) -> Error {
    Error::new(
        ErrorKind::Format,
        format!(
            "{} says format {found}, this program knows format {FORMAT}; use the program that wrote it \
             or another directory",
            marker.display()
        ),
    )
}

/// What [`clear`] did.
///
/// ```
/// # use samovar::{Samovar, Settings, clear};
/// # let directory = tempfile::tempdir().unwrap();
/// # futures_executor::block_on(async {
/// # let data_dir = Some(directory.path().into());
/// # let settings = Settings { data_dir, ..Settings::default() };
/// # let samovar = Samovar::open(settings).await?;
/// # let path = directory.path();
/// samovar.close().await?;
/// std::fs::write(path.join("readme.txt"), "not ours").unwrap();
/// let cleared = clear(path)?;
/// assert!(cleared.removed.contains(&path.join("marks.redb")) && cleared.bytes > 0);
/// assert!(path.join("readme.txt").exists() && cleared.left.is_empty());
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// The files that were removed.
    pub removed: Vec<PathBuf>,
    /// How many bytes they had.
    pub bytes: u64,
    /// Files with names of ours that were left, since they are links or no files. The directory then keeps its marker, so that
    /// it still counts as ours.
    pub left: Vec<PathBuf>,
}

/// Empties a data directory: removes the files that a [`crate::Samovar`] keeps there and nothing else. The
/// directory itself stays. Links are not followed, and not removed.
///
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path();
/// # futures_executor::block_on(async {
/// use samovar::{Samovar, Settings, clear};
/// use samovar_core::ErrorKind;
///
/// let samovar =
///     Samovar::open(Settings { data_dir: Some(path.into()), ..Settings::default() }).await?;
/// assert_eq!(clear(path).unwrap_err().kind(), ErrorKind::Held);
/// samovar.close().await?;
/// assert!(!clear(path)?.removed.is_empty());
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// [`ErrorKind::Held`] while a process holds the directory; [`ErrorKind::Format`] if it does not bear our
/// marker or is of a newer format; [`ErrorKind::Invalid`] if it is no directory; [`ErrorKind::Storage`] if it is not
/// there or the disk fails: what was removed by then is gone.
pub fn clear(directory: &Path) -> Result<Cleared, Error> {
    let found = directory.symlink_metadata().map_err(|e| failed(directory, "looking at it", e))?;
    if !found.is_dir() {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("{} is not a directory (links are not followed)", directory.display()),
        ));
    }
    // Before anything is made there.
    match read_marker(directory)? {
        Some(FORMAT) => {}
        Some(other) => return Err(other_format(&directory.join(MARKER), other)),
        None => {
            return Err(Error::new(
                ErrorKind::Format,
                format!(
                    "{} has no {MARKER}: it is not a data directory of ours",
                    directory.display()
                ),
            ));
        }
    }
    let _held = lock(directory)?;
    let mut cleared = Cleared::default();
    for name in OURS {
        let path = directory.join(name);
        if name == MARKER && !cleared.left.is_empty() {
            // Else neither we nor who opens it next would take the directory for ours.
            break;
        }
        match path.symlink_metadata() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(failed(&path, "looking at it", e)),
            Ok(found) if !found.is_file() => cleared.left.push(path),
            Ok(found) => {
                fs::remove_file(&path).map_err(|e| failed(&path, "removing it", e))?;
                cleared.bytes += found.len();
                cleared.removed.push(path);
            }
        }
    }
    Ok(cleared)
}
