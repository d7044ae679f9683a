//! Reads a journal, and makes its file anew from what still stands.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read as _, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use samovar_core::{Error, ErrorKind};

use super::layout::{self, FORMAT, Frame, HEADER, Header, RECORD, Unread};
use super::{Faults, Record, Step, failed};
use crate::random;

/// A frame takes a record in only while it stays within so many bytes, but for its first: what is damaged later takes no
/// more with it.
const TOGETHER: usize = 64 << 10;
/// Read at once.
const READ: usize = 1 << 20;
/// So many numbers are passed over where some may have been lost.
const MISSING: u64 = 1 << 32;

/// The file, and where in it is what stands.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) file: File,
    pub(super) header: Header,
    /// How much of it is in use …
    pub(super) length: u64,
    /// … and how long it is: what lies between is zeros.
    pub(super) room: u64,
    /// By number: where the bytes of a record begin, and how many they are.
    pub(super) standing: BTreeMap<u64, (u64, usize)>,
}

impl Book {
    /// What stands, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.standing.values().map(|(_, length)| (length + RECORD) as u64).sum()
    }

    /// What stands, read from the file in the order in which it lies there. Who writes goes back to the end behind it.
    pub(super) fn records(&self) -> impl Iterator<Item = io::Result<(u64, Bytes)>> {
        let mut file = BufReader::with_capacity(READ, &self.file);
        let mut here = None;
        self.standing.iter().map(move |(number, (at, length))| {
            match here {
                // What was read ahead is kept: mostly the next record lies near.
                Some(here) => file.seek_relative(at.wrapping_sub(here) as i64)?,
                None => drop(file.seek(SeekFrom::Start(*at))?),
            }
            let mut bytes = vec![0; *length];
            file.read_exact(&mut bytes)?;
            here = Some(at + *length as u64);
            Ok((*number, bytes.into()))
        })
    }
}

/// What was found in a file.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) header: Header,
    pub(super) records: Vec<Record>,
    pub(super) notices: Vec<String>,
}

/// Reads a whole journal; an empty one if there is no file.
pub(super) fn read(path: &Path, kind: [u8; 8]) -> Result<Read, Error> {
    let file = match fs::read(path) {
        Ok(file) => Bytes::from(file),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let header = Header { kind, node: random::number()?, next: 1, salt: random::number()? };
            return Ok(Read { header, records: Vec::new(), notices: Vec::new() });
        }
        Err(e) => return Err(failed(path, "reading it", e)),
    };
    let refuse =
        |what: String| Err(Error::new(ErrorKind::Format, format!("{} {what}", path.display())));
    let (header, mut notices) = match Header::decode(&file, kind) {
        Ok(header) => (header, Vec::new()),
        Err(Unread::Foreign) => {
            return refuse(
                "is not a file of ours; move it away or choose another directory".into(),
            );
        }
        Err(Unread::Format(found)) => {
            return refuse(format!(
                "has format {found}, this program writes format {FORMAT}; use the program that wrote it, so that \
                 nothing that waits in it is lost"
            ));
        }
        Err(Unread::Kind) => {
            return refuse("is a journal of something else; move it to where it was".into());
        }
        Err(Unread::Damaged) => {
            let aside = set_aside(path)?;
            let header = Header { kind, node: random::number()?, next: 1, salt: random::number()? };
            let text = format!(
                "{} was damaged at its beginning, so that nothing of it can be told apart: what waited in it is lost; \
                 it was kept as {}",
                path.display(),
                aside.display()
            );
            return Ok(Read { header, records: Vec::new(), notices: vec![text] });
        }
    };
    let scan = layout::scan(&file, header.salt);
    if !scan.damaged.is_empty() {
        let aside = set_aside(path)?;
        let bytes: usize = scan.damaged.iter().map(ExactSizeIterator::len).sum();
        notices.push(format!(
            "{} was damaged: {bytes} bytes from byte {} on; what was acknowledged and stood there is lost, and what \
             was done there may be done again; it was kept as {}",
            path.display(),
            scan.damaged[0].start,
            aside.display()
        ));
    }
    if scan.cut > 0 {
        notices.push(format!(
            "{}: the last {} bytes are cut short and were left out, as when a process ends while it writes",
            path.display(),
            scan.cut
        ));
    }
    let is_whole = scan.damaged.is_empty() && scan.cut == 0;
    let mut next = header.next;
    let mut standing = BTreeMap::new();
    for (number, released, place) in scan.records {
        next = next.max(number + 1);
        standing.remove(&released);
        if number > 0 {
            standing.insert(number, file.slice(place));
        }
    }
    if !is_whole {
        // What is missing had numbers that others may remember.
        next = next.saturating_add(MISSING);
    }
    let records = standing.into_iter().map(|(number, bytes)| Record { number, bytes }).collect();
    let header = Header { next, salt: random::number()?, ..header };
    Ok(Read { header, records, notices })
}

/// Copies a damaged file to `NAME.damaged`.
fn set_aside(path: &Path) -> Result<PathBuf, Error> {
    let aside = beside(path, "damaged");
    fs::copy(path, &aside).map_err(|e| failed(path, "keeping the damaged file", e))?;
    Ok(aside)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

/// Writes what stands to a new file, durable beside the old one.
pub(super) fn make(
    path: &Path,
    header: &Header,
    standing: impl IntoIterator<Item = io::Result<(u64, Bytes)>>,
    faults: &mut Option<Faults>,
) -> io::Result<Book> {
    let new = beside(path, "new");
    let options = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&new);
    let mut file = options?;
    file.write_all(&header.encode())?;
    let (mut length, mut places, mut frame) = (HEADER as u64, BTreeMap::new(), Frame::default());
    let mut write = |frame: Frame, length: &mut u64| {
        let frame = frame.seal(header.salt, *length);
        *length += frame.len() as u64;
        file.write_all(&frame)
    };
    for record in standing {
        let (number, bytes) = record?;
        if !frame.is_empty() && frame.len() + bytes.len() > TOGETHER {
            write(std::mem::take(&mut frame), &mut length)?;
        }
        let at = frame.record(number, 0, &bytes);
        places.insert(number, (length + at as u64, bytes.len()));
    }
    if !frame.is_empty() {
        write(frame, &mut length)?;
    }
    if let Some((_, error)) = faults.as_mut().and_then(|fail| fail(Step::Rewrite)) {
        return Err(error);
    }
    file.sync_all()?;
    Ok(Book { file, header: header.clone(), length, room: length, standing: places })
}

/// Removes a new file that was not finished: the disk may be full.
pub(super) fn give_up(path: &Path) {
    let _ = fs::remove_file(beside(path, "new"));
}

/// The new file takes the place of the old one. After an error nobody knows which of them is there.
pub(super) fn put_in_place(path: &Path) -> io::Result<()> {
    fs::rename(beside(path, "new"), path)?;
    sync_directory(path)
}

/// Makes a new name durable.
#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

/// Names are durable by themselves, or cannot be made so.
#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}
