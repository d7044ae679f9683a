//! Opening the redb files that this crate owns: ours, damaged, newer or foreign.

use std::fs;
use std::io::{ErrorKind as Io, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, ReadableDatabase, TableDefinition, TableError};
use samovar_core::{Error, ErrorKind};

use crate::background::panic_text;

/// The table that both files have; its field `format` is the format's version.
pub(crate) const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");
/// The first bytes of any redb file.
const REDB_MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";

/// What can go wrong with a file.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Its bytes are not what was written: it may be made anew.
    Damaged(String),
    /// Out of reach, or not ours to touch.
    Failed(Error),
}

impl Trouble {
    /// As an error that names the file.
    pub(crate) fn into_error(self, path: &Path) -> Error {
        match self {
            Trouble::Failed(error) => error,
            Trouble::Damaged(why) => {
                Error::new(ErrorKind::Format, format!("{} is damaged: {why}", path.display()))
            }
        }
    }
}

impl From<redb::Error> for Trouble {
    fn from(error: redb::Error) -> Trouble {
        match error {
            redb::Error::Io(e) if e.kind() != Io::InvalidData && e.kind() != Io::UnexpectedEof => {
                Trouble::Failed(Error::new(ErrorKind::Storage, "the disk failed").because(e))
            }
            redb::Error::PreviousIo | redb::Error::DatabaseClosed => Trouble::Failed(
                Error::new(ErrorKind::Storage, "the disk failed before").because(error),
            ),
            other => Trouble::Damaged(other.to_string()),
        }
    }
}

/// For `map_err` on any of redb's error types.
pub(crate) fn trouble(error: impl Into<redb::Error>) -> Trouble {
    Trouble::from(error.into())
}

/// Runs something on a file. redb trusts what its checksums do not cover, so damaged bytes can make it
/// panic: that counts as damage.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(Trouble::Damaged(panic_text(&*panic))))
}

/// How a file of ours is made and read.
pub(crate) struct Layout<T> {
    pub(crate) page_cache: usize,
    pub(crate) format: u64,
    /// The oldest format that is still read as it is: a file of such a one is said to be of ours when it is opened.
    pub(crate) since: u64,
    /// Gives a new file its tables. The format is written by the same transaction.
    pub(crate) create: fn(&redb::WriteTransaction) -> Result<(), Trouble>,
    /// Reads what is needed at the start, and so finds out whether the file is whole.
    pub(crate) load: fn(&Database) -> Result<T, Trouble>,
}

/// An open file, what was read from it, and what had to be done to get there, if it is worth saying.
pub(crate) struct Opened<T> {
    pub(crate) database: Database,
    pub(crate) loaded: T,
    pub(crate) notice: Option<String>,
}

impl<T> Layout<T> {
    /// Opens a file. One that is not there is made; one that is damaged is moved aside, made anew and spoken of.
    pub(crate) fn open(&self, path: &Path) -> Result<Opened<T>, Error> {
        let is_new = fs::symlink_metadata(path).map_or(true, |found| found.len() == 0);
        if is_new {
            return self.make(path, None);
        }
        match guarded(|| self.open_existing(path)) {
            Ok(Some((database, loaded))) => Ok(Opened { database, loaded, notice: None }),
            // The process died between creating the file and its first commit.
            Ok(None) => {
                fs::remove_file(path).map_err(|e| failed(path, "removing the empty file", e))?;
                self.make(path, None)
            }
            Err(Trouble::Failed(error)) => Err(error),
            Err(Trouble::Damaged(why)) => self.replace(path, &why),
        }
    }

    /// Moves a damaged file aside and makes a new one.
    pub(crate) fn replace(&self, path: &Path, why: &str) -> Result<Opened<T>, Error> {
        let aside = set_aside(path)?;
        let notice = format!(
            "{} was damaged ({why}); it was moved to {} and made anew",
            path.display(),
            aside.display()
        );
        self.make(path, Some(notice))
    }

    fn make(&self, path: &Path, notice: Option<String>) -> Result<Opened<T>, Error> {
        let mut builder = Database::builder();
        builder.set_cache_size(self.page_cache);
        let database = builder.create(path).map_err(|e| failed(path, "creating it", e))?;
        let loaded = self.fill(&database).map_err(|trouble| trouble.into_error(path))?;
        Ok(Opened { database, loaded, notice })
    }

    /// Makes the tables of a new file.
    pub(crate) fn fill(&self, database: &Database) -> Result<T, Trouble> {
        let transaction = database.begin_write().map_err(trouble)?;
        {
            let mut meta = transaction.open_table(META).map_err(trouble)?;
            meta.insert("format", self.format).map_err(trouble)?;
        }
        (self.create)(&transaction)?;
        transaction.commit().map_err(trouble)?;
        (self.load)(database)
    }

    fn write_format(&self, database: &Database) -> Result<(), Trouble> {
        let transaction = database.begin_write().map_err(trouble)?;
        {
            let mut meta = transaction.open_table(META).map_err(trouble)?;
            meta.insert("format", self.format).map_err(trouble)?;
        }
        transaction.commit().map_err(trouble)
    }

    /// `None`: a redb file without any table.
    fn open_existing(&self, path: &Path) -> Result<Option<(Database, T)>, Trouble> {
        let refuse = |what: String| {
            Err(Trouble::Failed(Error::new(
                ErrorKind::Format,
                format!("{} {what}", path.display()),
            )))
        };
        let mut start = Vec::new();
        let read = fs::File::open(path)
            .and_then(|file| file.take(REDB_MAGIC.len() as u64).read_to_end(&mut start));
        read.map_err(|e| Trouble::Failed(failed(path, "reading it", e)))?;
        if start != REDB_MAGIC {
            return refuse(
                "is not a file of ours; move it away or choose another directory".into(),
            );
        }
        let mut builder = Database::builder();
        builder.set_cache_size(self.page_cache);
        let database = match builder.open(path) {
            Ok(database) => database,
            Err(DatabaseError::DatabaseAlreadyOpen) => {
                return Err(Trouble::Failed(Error::new(
                    ErrorKind::Held,
                    format!("{} is in use by another process", path.display()),
                )));
            }
            Err(DatabaseError::UpgradeRequired(version)) => {
                return refuse(format!("has redb's file format {version}; clear the directory"));
            }
            Err(other) => return Err(trouble(other)),
        };
        match read_format(&database)? {
            Format::Empty => return Ok(None),
            Format::Version(found) if found == self.format => {}
            Format::Version(found) if (self.since..self.format).contains(&found) => {
                self.write_format(&database)?;
            }
            Format::Version(found) => {
                return refuse(format!(
                    "has format {found}, this program writes format {}; use the program that wrote it, \
                     or clear the directory",
                    self.format
                ));
            }
            Format::Foreign => {
                return refuse(
                    "was written by another program; move it away or choose another directory"
                        .into(),
                );
            }
        }
        let loaded = (self.load)(&database)?;
        Ok(Some((database, loaded)))
    }
}

/// Renames a damaged file to `NAME.damaged`, in place of one that lies there already.
fn set_aside(path: &Path) -> Result<PathBuf, Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(".damaged");
    let aside = PathBuf::from(name);
    fs::rename(path, &aside).map_err(|e| failed(path, "moving the damaged file aside", e))?;
    Ok(aside)
}

enum Format {
    Empty,
    Version(u64),
    Foreign,
}

fn read_format(database: &Database) -> Result<Format, Trouble> {
    let transaction = database.begin_read().map_err(trouble)?;
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => {
            let any = transaction.list_tables().map_err(trouble)?.next().is_some();
            return Ok(if any { Format::Foreign } else { Format::Empty });
        }
        Err(TableError::Storage(e)) => return Err(trouble(e)),
        Err(_) => return Ok(Format::Foreign),
    };
    let format = meta.get("format").map_err(trouble)?;
    Ok(format.map_or(Format::Foreign, |format| Format::Version(format.value())))
}

fn failed(path: &Path, what: &str, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Storage, format!("{}: {what}", path.display())).because(cause)
}
