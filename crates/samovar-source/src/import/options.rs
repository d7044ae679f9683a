//! What an import is told, and what it tells.

use std::path::{Path, PathBuf};
use std::time::Duration;

use samovar_core::{Error, ErrorKind};

use super::column::{ColumnType, DateOrder, DecimalMark};
use super::dialect::Delimiter;
use super::encoding::Encoding;
use crate::PostgresOptions;

/// The database that takes the table.
///
/// ```
/// use std::path::Path;
///
/// use samovar_source::import::Database;
///
/// assert!(matches!(Database::from(Path::new("shop.db")), Database::Sqlite(_)));
/// let server = Database::from(Path::new("postgres://ann:secret@db.example/shop"));
/// assert!(matches!(server, Database::Postgres(_)));
/// assert!(!format!("{server:?}").contains("secret"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A SQLite file; made if there is none.
    Sqlite(PathBuf),
    /// A PostgreSQL database, which must be there.
    Postgres(PostgresOptions),
}

impl From<PathBuf> for Database {
    /// What begins with `postgres://` or `postgresql://` is an address, all else a path.
    fn from(path: PathBuf) -> Self {
        match path.to_str() {
            Some(url) if ["postgres://", "postgresql://"].iter().any(|it| url.starts_with(it)) => {
                Database::Postgres(PostgresOptions::new(url))
            }
            _ => Database::Sqlite(path),
        }
    }
}

impl From<&Path> for Database {
    fn from(path: &Path) -> Self {
        Database::from(path.to_owned())
    }
}

/// What to import, where to, and how.
///
/// ```
/// use samovar_source::import::{ColumnType, ImportOptions, import_csv};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let file = folder.path().join("sales.csv");
/// std::fs::write(&file, "store,sale\n7,4.50\n8,free\n")?;
/// let options = ImportOptions {
///     types: vec![("store".into(), ColumnType::Text), ("sale".into(), ColumnType::Real)],
///     indexes: vec![vec!["store".into()]],
///     max_rejects: 0,
///     ..ImportOptions::new(&file, folder.path().join("shop.db"), "sales")
/// };
/// let wrong = import_csv(&options, &mut |_| ()).expect_err("one row is one too many");
/// assert!(wrong.to_string().contains("the table is unchanged"), "{wrong}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// The file, plain or compressed by gzip or zstd (told by its content), with a header row; `-` is
    /// standard input. What is no regular file is copied to a temporary file, because it is read twice.
    pub file: PathBuf,
    /// The database.
    pub database: Database,
    /// The table; made if there is none, else appended to.
    pub table: String,
    /// How the file is encoded; found if not told.
    pub encoding: Option<Encoding>,
    /// What separates its fields; found if not told.
    pub delimiter: Option<Delimiter>,
    /// Types by name of column, where what the data show is not what is meant. The last one counts.
    pub types: Vec<(String, ColumnType)>,
    /// The order of day and month by name of column, or without a name for all columns.
    pub date_orders: Vec<(Option<String>, DateOrder)>,
    /// The decimal mark by name of column, or without a name for all columns.
    pub decimal_marks: Vec<(Option<String>, DecimalMark)>,
    /// The columns whose values tell one row from any other; none by default. With a key a row that is there
    /// already is counted and not written again, and the table gets a unique index.
    pub key: Vec<String>,
    /// Indexes to be made, each over these columns; those that are there already are left as they are.
    pub indexes: Vec<Vec<String>>,
    /// Where rejected rows go; by default beside the database, `sales.rejects.csv` for `sales.csv`. For
    /// PostgreSQL in the current folder, named by the table.
    /// Replaces an earlier file of rejects, and nothing else.
    pub rejects: Option<PathBuf>,
    /// More rejected rows than this stop the import, and the table stays as it was.
    pub max_rejects: u64,
    /// How long to wait for another program that writes to the database.
    pub patience: Duration,
}

impl ImportOptions {
    /// [`ImportOptions::max_rejects`] unless told otherwise: enough for the slips of a real file, few
    /// enough for a person to read, and soon reached by a file that is read in the wrong way.
    pub const DEFAULT_MAX_REJECTS: u64 = 100;

    /// An import with all else left to what the data show: up to 100 rejects, 5 s of patience. `database` is a
    /// path, or the address of a PostgreSQL database, see [`Database`].
    ///
    /// ```
    /// # use samovar_source::import::{Database, ImportOptions};
    /// let options = ImportOptions::new("sales.csv.gz", "shop.db", "sales");
    /// assert_eq!(options.database, Database::Sqlite("shop.db".into()));
    /// assert_eq!(options.max_rejects, ImportOptions::DEFAULT_MAX_REJECTS);
    /// ```
    pub fn new(
        file: impl Into<PathBuf>,
        database: impl Into<PathBuf>,
        table: impl Into<String>,
    ) -> Self {
        ImportOptions {
            file: file.into(),
            database: Database::from(database.into()),
            table: table.into(),
            encoding: None,
            delimiter: None,
            types: Vec::new(),
            date_orders: Vec::new(),
            decimal_marks: Vec::new(),
            key: Vec::new(),
            indexes: Vec::new(),
            rejects: None,
            max_rejects: Self::DEFAULT_MAX_REJECTS,
            patience: Duration::from_secs(5),
        }
    }

    pub(super) fn rejects_path(&self) -> PathBuf {
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        let stem = name.strip_suffix(".zst").or(name.strip_suffix(".gz")).unwrap_or(&name);
        let stem = stem.strip_suffix(".csv").unwrap_or(stem);
        let stem = if stem == "-" { "stdin" } else { stem };
        match (&self.rejects, &self.database) {
            (Some(path), _) => path.clone(),
            (None, Database::Sqlite(path)) => path.with_file_name(format!("{stem}.rejects.csv")),
            (None, Database::Postgres(_)) => {
                PathBuf::from(format!("{}.rejects.csv", self.table.replace(['/', '\\'], "_")))
            }
        }
    }

    /// What stands against the import whatever the file holds.
    pub(super) fn check(&self) -> Result<(), Error> {
        let invalid = |message: String| Err(Error::new(ErrorKind::Invalid, message));
        if self.table.is_empty() || self.table.contains('\0') {
            return invalid("the name of the table is empty or not a name".to_owned());
        }
        let rejects = self.rejects_path();
        let mut taken = same_file(&rejects, &self.file);
        if let Database::Sqlite(path) = &self.database {
            let folder = match path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder,
                _ => Path::new("."),
            };
            if !folder.is_dir() {
                return invalid(format!(
                    "there is no folder {} to hold the database",
                    folder.display()
                ));
            }
            taken |= same_file(&rejects, path);
        }
        if taken {
            return invalid(format!("{} cannot take the rejected rows as well", rejects.display()));
        }
        Ok(())
    }
}

fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// What is under way.
///
/// ```
/// # use samovar_source::import::{ImportOptions, ImportPhase, import_csv};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let file = folder.path().join("sales.csv");
/// # std::fs::write(&file, "store,sale\n7,4.50\n")?;
/// # let options = ImportOptions::new(&file, folder.path().join("shop.db"), "sales");
/// let mut phases = Vec::new();
/// import_csv(&options, &mut |progress| phases.push(progress.phase))?;
/// phases.dedup();
/// assert_eq!(phases, [ImportPhase::FindingTypes, ImportPhase::Writing]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportPhase {
    /// What can be read only once is being copied to a temporary file.
    Copying,
    /// The types are being found; the database is not touched.
    FindingTypes,
    /// The rows are being written.
    Writing,
}

/// How far an import is.
///
/// ```
/// # use samovar_source::import::{ImportOptions, ImportProgress, import_csv};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let file = folder.path().join("sales.csv");
/// # std::fs::write(&file, "store,sale\n7,4.50\n")?;
/// # let options = ImportOptions::new(&file, folder.path().join("shop.db"), "sales");
/// let mut last = None;
/// import_csv(&options, &mut |progress: ImportProgress| last = Some(progress))?;
/// assert!(last.is_some_and(|last| last.bytes == last.total_bytes && last.rows == 1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ImportProgress {
    /// What is under way.
    pub phase: ImportPhase,
    /// Bytes of the file read in this phase, as they lie on disk.
    pub bytes: u64,
    /// Size of the file in bytes; 0 while it is being copied.
    pub total_bytes: u64,
    /// Rows read in this phase.
    pub rows: u64,
}

/// What an import did.
///
/// ```
/// # use samovar_source::import::{Delimiter, Encoding, ImportOptions, import_csv};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let file = folder.path().join("sales.csv");
/// std::fs::write(&file, "store,sale\n7,4.50\n8\n")?;
/// let options = ImportOptions::new(&file, folder.path().join("shop.db"), "sales");
/// let report = import_csv(&options, &mut |_| ())?;
/// assert_eq!((report.encoding, report.delimiter), (Encoding::Utf8, Delimiter::Comma));
/// assert_eq!((report.created, report.rows, report.rejected), (true, 1, 1));
/// assert_eq!(report.rejects, Some(folder.path().join("sales.rejects.csv")));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ImportReport {
    /// Rows written to the table.
    pub rows: u64,
    /// Rows whose key was there already with the same values.
    pub already_there: u64,
    /// Rows that could not be read, or were refused.
    pub rejected: u64,
    /// Where they are; `None` if there are none.
    pub rejects: Option<PathBuf>,
    /// How the file was read.
    pub encoding: Encoding,
    /// What separated its fields.
    pub delimiter: Delimiter,
    /// Whether the table was made by this import.
    pub created: bool,
    /// The columns in the order of the file, and how they were read.
    pub columns: Vec<(String, ColumnType)>,
    /// What may not be as it was meant: columns of text that are almost numbers or dates.
    pub notes: Vec<String>,
}

/// What an import would do, as far as the file and the names in the table tell.
///
/// ```
/// # use samovar_source::import::{ImportOptions, preview_csv};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let file = folder.path().join("sales.csv");
/// std::fs::write(&file, "store,day\n7,01/02/2016\n8\n")?;
/// let options = ImportOptions::new(&file, folder.path().join("shop.db"), "sales");
/// let preview = preview_csv(&options, &mut |_| ())?;
/// assert_eq!((preview.rows, preview.rejected), (2, 1));
/// assert!(preview.first_rejects[0].starts_with("line 3: "));
/// assert!(preview.problem.is_some(), "month or day first?");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ImportPreview {
    /// How the file is read.
    pub encoding: Encoding,
    /// What separates its fields.
    pub delimiter: Delimiter,
    /// Rows looked at: all of the file.
    pub rows: u64,
    /// Rows that are no rows, such as those with too few fields; values that do not fit their column come
    /// on top.
    pub rejected: u64,
    /// The first few of them, with line and reason.
    pub first_rejects: Vec<String>,
    /// Whether the table would be made.
    pub creates: bool,
    /// The columns in the order of the file.
    pub columns: Vec<ColumnPreview>,
    /// Why the import would fail, if that is known already.
    pub problem: Option<String>,
}

/// A column as it would be read.
///
/// ```
/// # use samovar_source::import::{ColumnType, ImportOptions, preview_csv};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let file = folder.path().join("sales.csv");
/// std::fs::write(&file, "sale\n4.50\n1\n4.50\n")?;
/// let options = ImportOptions::new(&file, folder.path().join("shop.db"), "sales");
/// let sale = &preview_csv(&options, &mut |_| ())?.columns[0];
/// assert_eq!((sale.kind, sale.declared.as_deref()), (Some(ColumnType::Real), Some("REAL")));
/// assert_eq!(sale.examples, ["4.50", "1"]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ColumnPreview {
    /// Its name.
    pub name: String,
    /// The type that the table declares for it, in the words of the database, or would if it were made.
    pub declared: Option<String>,
    /// Its type; `None` if it has to be asked for, see [`ImportPreview::problem`].
    pub kind: Option<ColumnType>,
    /// Why it has this type.
    pub why: String,
    /// The first few different values, as they stand in the file.
    pub examples: Vec<String>,
}
