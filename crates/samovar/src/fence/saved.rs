//! What a fence knows, put away: for a start while the log is away.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use samovar_core::{Error, ErrorKind, History, Millis, Numbered, Snapshot, Version};
use serde::{Deserialize, Serialize};

/// The file's name in the data directory.
pub(crate) const FILE: &str = "marks.saved";
/// A newer one begins otherwise, and says nothing to this program.
const MAGIC: &[u8; 8] = b"samovarT";
/// Of what is known.
#[cfg(feature = "redis")]
const TABLE: u8 = 1;
/// Of the same with a moment.
const REMAINS: u8 = 2;
const LEVEL: i32 = 3;
/// No table is larger: what claims to be is none of ours.
const LARGEST: u64 = 1 << 30;

#[derive(Serialize, Deserialize)]
struct Saved {
    history: History,
    head: Version,
    marks: Vec<Numbered>,
}

impl From<Snapshot> for Saved {
    fn from(Snapshot { history, head, marks, .. }: Snapshot) -> Saved {
        Saved { history, head, marks }
    }
}

impl Saved {
    /// `None` if it contradicts itself.
    fn known(self) -> Option<Snapshot> {
        let Saved { history, head, marks } = self;
        let fits = history.holds(head) && marks.iter().all(|mark| mark.version.seq <= head.seq);
        fits.then_some(Snapshot { history, marks, head, shared: true })
    }
}

/// What a node knew when it was stopped.
#[derive(Clone, Debug)]
pub(crate) struct Remains {
    pub(crate) known: Snapshot,
    /// When it last knew that it hears what others invalidate.
    pub(crate) connected: Millis,
}

/// Magic, format, CRC-32 of what follows; then history, head and marks in Postcard, by Zstandard.
///
/// # Errors
/// If it cannot be written: this is a bug.
#[cfg(feature = "redis")]
pub(crate) fn encode(known: Snapshot) -> Result<Vec<u8>, Error> {
    pack(TABLE, &Saved::from(known))
}

fn pack(format: u8, saved: &impl Serialize) -> Result<Vec<u8>, Error> {
    let bad = |e| Error::new(ErrorKind::Format, "what is known cannot be written").because(e);
    let plain = postcard::to_stdvec(saved).map_err(bad)?;
    let failed = |e| Error::new(ErrorKind::Format, "what is known cannot be packed").because(e);
    let packed = zstd::bulk::compress(&plain, LEVEL).map_err(failed)?;
    let mut bytes = [&MAGIC[..], &[format]].concat();
    bytes.extend_from_slice(&crc32fast::hash(&packed).to_le_bytes());
    bytes.extend_from_slice(&packed);
    Ok(bytes)
}

/// What was written, of a log that is shared; `None` if it is damaged or another program's.
#[cfg(feature = "redis")]
pub(crate) fn decode(bytes: &[u8]) -> Option<Snapshot> {
    postcard::from_bytes::<Saved>(&unpack(TABLE, bytes)?).ok()?.known()
}

fn unpack(format: u8, bytes: &[u8]) -> Option<Vec<u8>> {
    let rest = bytes.strip_prefix(MAGIC)?.strip_prefix(&[format])?;
    let (sum, packed) = rest.split_first_chunk()?;
    if crc32fast::hash(packed) != u32::from_le_bytes(*sum) {
        return None;
    }
    let mut plain = Vec::new();
    let unpacked = zstd::stream::read::Decoder::new(packed).ok()?.take(LARGEST + 1);
    let unpacked = { unpacked }.read_to_end(&mut plain).ok()?;
    (unpacked as u64 <= LARGEST).then_some(plain)
}

/// Writes the file, durable when this returns. Blocks.
pub(crate) fn write(directory: &Path, remains: Remains) -> Result<(), Error> {
    let Remains { known, connected } = remains;
    let bytes = pack(REMAINS, &(connected, Saved::from(known)))?;
    let (path, new) = (directory.join(FILE), directory.join(format!("{FILE}.new")));
    let written = File::create(&new).and_then(|mut file| {
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        sync(directory)
    });
    written.map_err(|e| failed(&path, "writing it", e))
}

/// Reads the file; `None` if there is none, or it is damaged or another program's. Blocks.
pub(crate) fn read(directory: &Path) -> Result<Option<Remains>, Error> {
    let path = directory.join(FILE);
    match fs::read(&path) {
        Ok(bytes) => Ok(parse(&bytes)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed(&path, "reading it", e)),
    }
}

/// Removes the file if it is there, for good when this returns: it tells of a clean stop, and whatever ends next may be
/// none. So before anything is served, but after all that may fail: who tries again is to find it. Blocks.
pub(crate) fn remove(directory: &Path) -> Result<(), Error> {
    let path = directory.join(FILE);
    match fs::remove_file(&path).and_then(|()| sync(directory)) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(failed(&path, "removing it", e)),
        _ => Ok(()),
    }
}

fn parse(bytes: &[u8]) -> Option<Remains> {
    let plain = unpack(REMAINS, bytes)?;
    let (connected, saved) = postcard::from_bytes::<(Millis, Saved)>(&plain).ok()?;
    Some(Remains { known: saved.known()?, connected })
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
    fn it_comes_back_until_it_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        assert!(read(directory.path()).unwrap().is_none());
        remove(directory.path()).unwrap();
        let connected = Millis(-5);
        write(directory.path(), Remains { known: some(), connected }).unwrap();
        for _ in 0..2 {
            let Remains { known, connected: then } = read(directory.path()).unwrap().unwrap();
            assert_eq!(then, connected);
            assert_eq!(
                (known.history, known.marks, known.head),
                (some().history, some().marks, some().head)
            );
        }
        remove(directory.path()).unwrap();
        assert!(read(directory.path()).unwrap().is_none());
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
