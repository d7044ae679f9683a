//! Opening the file: plain or compressed, and the common mistakes named before a row is read.

use std::cell::Cell;
use std::fs::{File, Metadata};
use std::io::{self, Cursor, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use samovar_core::{Error, ErrorKind};

use super::encoding::Encoding;
use super::{ImportPhase, ImportProgress};

/// What is to be imported; can be read again and again.
pub(super) struct Input {
    name: String,
    source: Source,
    size: u64,
}

enum Source {
    File {
        path: PathBuf,
        metadata: Metadata,
    },
    /// A copy of what can be read only once. It has no name, so it is gone with the process.
    Spool(File),
}

/// The bytes of a file, decompressed, transcoded from UTF-16 and without a byte-order mark.
pub(super) struct Stream {
    pub(super) bytes: Box<dyn Read>,
    /// How many bytes of the file itself have been read.
    pub(super) taken: Rc<Cell<u64>>,
}

impl Input {
    /// Opens a file; copies what is no regular file, or standard input (`-`), to a temporary file.
    pub(super) fn open(
        path: &Path,
        progress: &mut dyn FnMut(ImportProgress),
    ) -> Result<Input, Error> {
        if path == Path::new("-") {
            return spool("standard input".to_owned(), &mut io::stdin().lock(), progress);
        }
        let name = path.display().to_string();
        let metadata = std::fs::metadata(path).map_err(|error| unreadable(&name, error))?;
        if metadata.is_dir() {
            return Err(Error::new(ErrorKind::Source, format!("{name} is a folder, not a file")));
        }
        if !metadata.is_file() {
            let mut pipe = File::open(path).map_err(|error| unreadable(&name, error))?;
            return spool(name, &mut pipe, progress);
        }
        let size = metadata.len();
        Ok(Input { name, source: Source::File { path: path.to_owned(), metadata }, size })
    }

    /// What messages call it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The size of the file itself, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Its first bytes once decompressed, where a byte-order mark would be, and all bytes with them.
    pub(super) fn decompressed(&self) -> Result<(Vec<u8>, Box<dyn Read>), Error> {
        let (head, Stream { bytes, .. }) = self.decompress()?;
        Ok((head, bytes))
    }

    /// The text from the beginning.
    pub(super) fn stream(&self, encoding: Encoding) -> Result<Stream, Error> {
        let (head, Stream { mut bytes, taken }) = self.decompress()?;
        let mark = encoding.mark();
        if head.starts_with(mark) {
            io::copy(&mut bytes.by_ref().take(mark.len() as u64), &mut io::sink())
                .map_err(|error| unreadable(&self.name, error))?;
        }
        Ok(Stream { bytes: encoding.transcoded(bytes), taken })
    }

    fn decompress(&self) -> Result<(Vec<u8>, Stream), Error> {
        let taken = Rc::new(Cell::new(0));
        let open = || -> io::Result<(Vec<u8>, Box<dyn Read>)> {
            let (head, bytes) = peek(Counted { file: self.source.open()?, taken: taken.clone() })?;
            if head.starts_with(ZSTD) {
                let (head, bytes) = peek(zstd::stream::read::Decoder::new(bytes)?)?;
                Ok((head, Box::new(bytes)))
            } else if head.starts_with(GZIP) {
                // Several files compressed one by one and joined are one file, as for gzip itself.
                let (head, bytes) = peek(flate2::read::MultiGzDecoder::new(bytes))?;
                Ok((head, Box::new(bytes)))
            } else {
                Ok((head, Box::new(bytes)))
            }
        };
        let (head, bytes) = open().map_err(|error| unreadable(&self.name, error))?;
        if let Some(foreign) = FOREIGN.iter().find(|foreign| head.starts_with(foreign.magic)) {
            let message = format!("{} is {}", self.name, foreign.advice);
            return Err(Error::new(ErrorKind::Source, message));
        }
        Ok((head, Stream { bytes, taken }))
    }

    /// Whether the file is still the one that was opened; else the types found may not be its types.
    pub(super) fn check_unchanged(&self) -> Result<(), Error> {
        let Source::File { path, metadata } = &self.source else { return Ok(()) };
        let now = std::fs::metadata(path).map_err(|error| unreadable(&self.name, error))?;
        let same = now.len() == metadata.len() && now.modified().ok() == metadata.modified().ok();
        same.then_some(()).ok_or_else(|| {
            let message = format!("{} changed while it was read; nothing was imported", self.name);
            Error::new(ErrorKind::Source, message)
        })
    }
}

impl Source {
    fn open(&self) -> io::Result<File> {
        match self {
            Source::File { path, .. } => File::open(path),
            Source::Spool(file) => {
                // The place in the file is shared with earlier readers, which are done by now.
                let mut file = file.try_clone()?;
                file.rewind()?;
                Ok(file)
            }
        }
    }
}

/// Copies a stream to a temporary file, as it comes: what is compressed stays so.
fn spool(
    name: String,
    from: &mut dyn Read,
    progress: &mut dyn FnMut(ImportProgress),
) -> Result<Input, Error> {
    let folder = std::env::temp_dir();
    let unwritable = |error| {
        let message = format!(
            "cannot copy {name} to a temporary file in {} (TMPDIR names another folder)",
            folder.display()
        );
        Error::new(ErrorKind::Storage, message).because(error)
    };
    let mut file = tempfile::tempfile_in(&folder).map_err(unwritable)?;
    let mut chunk = vec![0; 1 << 18];
    let mut size = 0;
    loop {
        let phase = ImportPhase::Copying;
        progress(ImportProgress { phase, bytes: size, total_bytes: 0, rows: 0 });
        let count = match from.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            count => count.map_err(|error| unreadable(&name, error))?,
        };
        if count == 0 {
            return Ok(Input { name, source: Source::Spool(file), size });
        }
        file.write_all(&chunk[..count]).map_err(unwritable)?;
        size += count as u64;
    }
}

/// The file cannot be read, or not to its end.
pub(super) fn unreadable(name: &str, error: io::Error) -> Error {
    Error::new(ErrorKind::Source, format!("cannot read {name}")).because(error)
}

const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
const GZIP: &[u8] = b"\x1f\x8b";

struct Foreign {
    magic: &'static [u8],
    advice: &'static str,
}

const FOREIGN: [Foreign; 4] = [
    Foreign {
        magic: b"PK\x03\x04",
        advice: "a zip archive or a spreadsheet; export it as CSV first",
    },
    Foreign { magic: b"\xd0\xcf\x11\xe0", advice: "an old spreadsheet; export it as CSV first" },
    Foreign { magic: b"SQLite format 3", advice: "a SQLite database, not a CSV file" },
    Foreign { magic: b"PAR1", advice: "a Parquet file, not a CSV file" },
];

/// A stream whose first bytes have been looked at.
type Peeked<R> = io::Chain<Cursor<Vec<u8>>, R>;

/// The first bytes, and all bytes with them.
fn peek<R: Read>(mut input: R) -> io::Result<(Vec<u8>, Peeked<R>)> {
    const LONGEST_MAGIC: u64 = 16;
    let mut head = Vec::new();
    input.by_ref().take(LONGEST_MAGIC).read_to_end(&mut head)?;
    Ok((head.clone(), Cursor::new(head).chain(input)))
}

struct Counted {
    file: File,
    taken: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(into)?;
        self.taken.set(self.taken.get() + count as u64);
        Ok(count)
    }
}
