//! The rows that could not be read: kept in a file, counted, and too many of them end the import.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use samovar_core::{Error, ErrorKind};

use super::pass::FileRow;

const HEADER: &str = "line,reason,row\n";

/// Where rejected rows go. The file is made when the first one comes.
pub(super) struct Rejects {
    path: PathBuf,
    max: u64,
    count: u64,
    /// The first few, for messages.
    first: Vec<String>,
    /// Nothing is written, not even this.
    unkept: bool,
    file: Option<csv::Writer<File>>,
}

impl Rejects {
    /// Refuses a path that holds anything but an earlier rejects file, so that a slip of the hand does
    /// not overwrite data.
    pub(super) fn new(path: &Path, max: u64) -> Result<Rejects, Error> {
        let mut head = Vec::new();
        match File::open(path)
            .and_then(|file| file.take(HEADER.len() as u64).read_to_end(&mut head))
        {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unwritable(path, error)),
            Ok(_) if head.is_empty() || head == HEADER.as_bytes() => {}
            Ok(_) => {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!(
                        "{} exists and is not a file of rejected rows; name another one (--rejects)",
                        path.display()
                    ),
                ));
            }
        }
        Ok(Rejects {
            path: path.to_owned(),
            max,
            count: 0,
            first: Vec::new(),
            unkept: false,
            file: None,
        })
    }

    /// Counts any number of rejects and writes none down.
    pub(super) fn unkept() -> Rejects {
        Rejects {
            path: PathBuf::new(),
            max: u64::MAX,
            count: 0,
            first: Vec::new(),
            unkept: true,
            file: None,
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The first few, each with its line.
    pub(super) fn into_first(self) -> Vec<String> {
        self.first
    }

    /// Keeps a row that cannot be read; an error if it is one too many.
    pub(super) fn push(&mut self, reason: &str, row: FileRow<'_>) -> Result<(), Error> {
        self.push_text(reason, row.line, &row.text())
    }

    /// The same for a row that is no longer at hand.
    pub(super) fn push_text(&mut self, reason: &str, line: u64, row: &str) -> Result<(), Error> {
        const FIRST: usize = 3;
        self.count += 1;
        if self.first.len() < FIRST {
            self.first.push(format!("line {line}: {reason}"));
        }
        if self.unkept {
            return Ok(());
        }
        self.write(line, reason, row).map_err(|error| unwritable(&self.path, error))?;
        if self.count <= self.max {
            return Ok(());
        }
        self.finish()?;
        let first = self.first.first().map_or("", String::as_str);
        Err(Error::new(
            ErrorKind::Source,
            format!(
                "stopped at line {line}: {} rows cannot be read, {} are allowed (--max-rejects); the table is \
                 unchanged. First, {first}. All of them: {}",
                self.count,
                self.max,
                self.path.display()
            ),
        ))
    }

    /// Makes sure that what was rejected is on disk; returns the file if there is one.
    pub(super) fn finish(&mut self) -> Result<Option<PathBuf>, Error> {
        let Some(writer) = &mut self.file else { return Ok(None) };
        writer
            .flush()
            .and_then(|()| writer.get_ref().sync_data())
            .map_err(|error| unwritable(&self.path, error))?;
        Ok(Some(self.path.clone()))
    }

    fn write(&mut self, line: u64, reason: &str, row: &str) -> io::Result<()> {
        let writer = match &mut self.file {
            Some(writer) => writer,
            none => {
                let mut file = File::create(&self.path)?;
                file.write_all(HEADER.as_bytes())?;
                none.insert(csv::Writer::from_writer(file))
            }
        };
        writer.write_record([line.to_string().as_str(), reason, row])?;
        Ok(())
    }
}

fn unwritable(path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Storage, format!("cannot write the rejected rows to {}", path.display()))
        .because(error)
}
