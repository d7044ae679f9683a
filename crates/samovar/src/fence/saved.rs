//! What a fence knows, put away: for a start while the log is away.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use samovar_core::{Error, ErrorKind, History, Numbered, Snapshot, Version};
use serde::{Deserialize, Serialize};

/// The file's name in the data directory.
pub(crate) const FILE: &str = "marks.saved";
/// A newer one begins otherwise, and says nothing to this program.
const MAGIC: &[u8; 8] = b"samovarT";
const FORMAT: u8 = 1;
const LEVEL: i32 = 3;
/// No table is larger: what claims to be is none of ours.
const LARGEST: u64 = 1 << 30;

#[derive(Serialize, Deserialize)]
struct Saved {
    history: History,
    head: Version,
    marks: Vec<Numbered>,
}

/// Magic, format, CRC-32 of what follows; then history, head and marks in Postcard, by Zstandard.
///
/// # Errors
/// If it cannot be written: this is a bug.
pub(crate) fn encode(snapshot: Snapshot) -> Result<Vec<u8>, Error> {
    let Snapshot { history, marks, head, .. } = snapshot;
    let bad = |e| Error::new(ErrorKind::Format, "what is known cannot be written").because(e);
    let plain = postcard::to_stdvec(&Saved { history, head, marks }).map_err(bad)?;
    let failed = |e| Error::new(ErrorKind::Format, "what is known cannot be packed").because(e);
    let packed = zstd::bulk::compress(&plain, LEVEL).map_err(failed)?;
    let mut bytes = [&MAGIC[..], &[FORMAT]].concat();
    bytes.extend_from_slice(&crc32fast::hash(&packed).to_le_bytes());
    bytes.extend_from_slice(&packed);
    Ok(bytes)
}

/// What was written, of a log that is shared; `None` if it is damaged or another program's.
pub(crate) fn decode(bytes: &[u8]) -> Option<Snapshot> {
    let rest = bytes.strip_prefix(MAGIC)?.strip_prefix(&[FORMAT])?;
    let (sum, packed) = rest.split_first_chunk()?;
    if crc32fast::hash(packed) != u32::from_le_bytes(*sum) {
        return None;
    }
    let mut plain = Vec::new();
    let unpacked = zstd::stream::read::Decoder::new(packed).ok()?.take(LARGEST + 1);
    let unpacked = { unpacked }.read_to_end(&mut plain).ok()?;
    if unpacked as u64 > LARGEST {
        return None;
    }
    let Saved { history, head, marks } = postcard::from_bytes(&plain).ok()?;
    let fits = history.holds(head) && marks.iter().all(|mark| mark.version.seq <= head.seq);
    fits.then_some(Snapshot { history, marks, head, shared: true })
}

/// Writes the file, durable when this returns. Blocks.
pub(crate) fn write(directory: &Path, snapshot: Snapshot) -> Result<(), Error> {
    let bytes = encode(snapshot)?;
    let (path, new) = (directory.join(FILE), directory.join(format!("{FILE}.new")));
    let written = File::create(&new).and_then(|mut file| {
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        sync(directory)
    });
    written.map_err(|e| failed(&path, "writing it", e))
}

/// Reads the file and removes it, for good when this returns: it tells of a clean stop, and whatever ends next may be
/// none. Blocks.
pub(crate) fn take(directory: &Path) -> Result<Option<Snapshot>, Error> {
    let path = directory.join(FILE);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(&path, "reading it", e)),
    };
    let removed = fs::remove_file(&path).and_then(|()| sync(directory));
    removed.map_err(|e| failed(&path, "removing it", e))?;
    Ok(decode(&bytes))
}

/// Makes names durable.
#[cfg(unix)]
fn sync(directory: &Path) -> std::io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(not(unix))]
fn sync(_: &Path) -> std::io::Result<()> {
    Ok(())
}

fn failed(path: &Path, what: &str, cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Storage, format!("{}: {what}", path.display())).because(cause)
}

#[cfg(test)]
mod tests {
    use samovar_core::{Epoch, Mode, Scope};

    use super::*;

    fn some() -> Snapshot {
        let head = Version { epoch: Epoch(9), seq: 7 };
        let mark = samovar_testkit::log::mark(3, Scope::Cache("c".into()), Mode::Expire, 5);
        let marks = vec![Numbered { version: head, mark }];
        Snapshot { history: History(vec![(Epoch(9), 0)]), marks, head, shared: true }
    }

    #[test]
    fn it_comes_back_once() {
        let directory = tempfile::tempdir().unwrap();
        assert!(take(directory.path()).unwrap().is_none());
        write(directory.path(), some()).unwrap();
        let taken = take(directory.path()).unwrap().unwrap();
        assert_eq!(
            (taken.history, taken.marks, taken.head),
            (some().history, some().marks, some().head)
        );
        assert!(take(directory.path()).unwrap().is_none());
    }

    #[test]
    fn what_is_not_as_it_was_written_says_nothing() {
        let whole = encode(some()).unwrap();
        assert!(decode(&whole).is_some());
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert!(decode(&damaged).is_none(), "byte {at}");
            assert!(decode(&whole[..at]).is_none(), "cut at {at}");
        }
    }
}
