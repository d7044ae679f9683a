//! Opening the file: plain or compressed, and the common mistakes named before a row is read.

use std::cell::Cell;
use std::fs::{File, Metadata};
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use samovar_core::{Error, ErrorKind};

/// A file to import: regular, because it is read twice.
pub(super) struct Input {
    path: PathBuf,
    metadata: Metadata,
}

/// The bytes of a file, decompressed and without a byte-order mark.
pub(super) struct Stream {
    pub(super) bytes: Box<dyn Read>,
    /// How many bytes of the file itself have been read.
    pub(super) taken: Rc<Cell<u64>>,
}

impl Input {
    pub(super) fn open(path: &Path) -> Result<Input, Error> {
        let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, error))?;
        if !metadata.is_file() {
            return Err(Error::new(
                ErrorKind::Source,
                format!(
                    "{} is not a regular file; the types are found by reading it twice, so save it to a file first",
                    path.display()
                ),
            ));
        }
        Ok(Input { path: path.to_owned(), metadata })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The size of the file itself, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.metadata.len()
    }

    /// The bytes from the beginning.
    pub(super) fn stream(&self) -> Result<Stream, Error> {
        let taken = Rc::new(Cell::new(0));
        let open = || -> io::Result<(Vec<u8>, Box<dyn Read>)> {
            let file = Counted { file: File::open(&self.path)?, taken: taken.clone() };
            let (head, bytes) = peek(file)?;
            if !head.starts_with(&ZSTD) {
                return Ok((head, Box::new(bytes)));
            }
            let (head, bytes) = peek(zstd::stream::read::Decoder::new(bytes)?)?;
            Ok((head, Box::new(bytes)))
        };
        let (head, mut bytes) = open().map_err(|error| unreadable(&self.path, error))?;
        if let Some(foreign) = FOREIGN.iter().find(|foreign| head.starts_with(foreign.magic)) {
            let message = format!("{} is {}", self.path.display(), foreign.advice);
            return Err(Error::new(ErrorKind::Source, message));
        }
        if head.starts_with(UTF8_MARK) {
            io::copy(&mut bytes.by_ref().take(UTF8_MARK.len() as u64), &mut io::sink())
                .map_err(|error| unreadable(&self.path, error))?;
        }
        Ok(Stream { bytes, taken })
    }

    /// Whether the file is still the one that was opened; else the types found may not be its types.
    pub(super) fn check_unchanged(&self) -> Result<(), Error> {
        let now = std::fs::metadata(&self.path).map_err(|error| unreadable(&self.path, error))?;
        let same = now.len() == self.metadata.len()
            && now.modified().ok() == self.metadata.modified().ok();
        same.then_some(()).ok_or_else(|| {
            Error::new(
                ErrorKind::Source,
                format!("{} changed while it was read; nothing was imported", self.path.display()),
            )
        })
    }
}

/// The file cannot be read, or not to its end.
pub(super) fn unreadable(path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Source, format!("cannot read {}", path.display())).because(error)
}

const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";

struct Foreign {
    magic: &'static [u8],
    advice: &'static str,
}

const FOREIGN: [Foreign; 7] = [
    Foreign { magic: b"\xff\xfe", advice: UTF16 },
    Foreign { magic: b"\xfe\xff", advice: UTF16 },
    Foreign { magic: b"\x1f\x8b", advice: "compressed by gzip; decompress it first (gzip -d)" },
    Foreign {
        magic: b"PK\x03\x04",
        advice: "a zip archive or a spreadsheet; export it as CSV first",
    },
    Foreign { magic: b"\xd0\xcf\x11\xe0", advice: "an old spreadsheet; export it as CSV first" },
    Foreign { magic: b"SQLite format 3", advice: "a SQLite database, not a CSV file" },
    Foreign { magic: b"PAR1", advice: "a Parquet file, not a CSV file" },
];
const UTF16: &str = "UTF-16 text; convert it first (iconv -f UTF-16 -t UTF-8)";

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
