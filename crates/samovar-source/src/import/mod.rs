//! Import of CSV files into a table, all or nothing.
//!
//! The file is read twice. The first pass finds the type of every column from all its values, since a sample
//! would be fooled by the one `0012` at its end; the second converts and writes, in one transaction. Memory
//! stays constant in both. What cannot be read is kept, with its line and the reason, in a file of
//! rejected rows.
//!
//! The parts know little of each other: `input` gives bytes, `record` makes rows of them, `find` and
//! `plan` decide what the columns are, `value` converts a cell, `sqlite` writes.
//!
//! ```
//! use samovar_source::import::{ImportOptions, import_csv};
//!
//! let folder = tempfile::tempdir().unwrap();
//! let file = folder.path().join("sales.csv");
//! std::fs::write(&file, "store,day,sale\n0012,01/31/2016,\"$1,234.56\"\n").unwrap();
//!
//! let options = ImportOptions::new(&file, folder.path().join("shop.db"), "sales");
//! let report = import_csv(&options, &mut |_progress| ())?;
//! assert_eq!((report.rows, report.rejected), (1, 0));
//! # Ok::<(), samovar_core::Error>(())
//! ```

mod column;
mod find;
mod input;
mod pass;
mod plan;
mod record;
mod rejects;
mod sqlite;
mod value;

use std::path::{Path, PathBuf};
use std::time::Duration;

use samovar_core::{Error, ErrorKind};

pub use column::{ColumnType, DateOrder, UnknownWord};

use find::{Findings, shortened};
use input::Input;
use pass::Pass;
use plan::Column;
use rejects::Rejects;
use sqlite::{Database, Inserter};

/// What to import, where to, and how.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// The file, `.csv` or `.csv.zst` (told by its content), UTF-8, with a header row. A regular file,
    /// because it is read twice.
    pub file: PathBuf,
    /// The SQLite database; made if there is none.
    pub database: PathBuf,
    /// The table; made if there is none, else appended to.
    pub table: String,
    /// Types by name of column, where what the data show is not what is meant. The last one counts.
    pub types: Vec<(String, ColumnType)>,
    /// The order of day and month by name of column, or without a name for all columns.
    pub date_orders: Vec<(Option<String>, DateOrder)>,
    /// Where rejected rows go; by default beside the database, `sales.rejects.csv` for `sales.csv`.
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

    /// An import with all else left to what the data show: up to 100 rejects, 5 s of patience.
    pub fn new(
        file: impl Into<PathBuf>,
        database: impl Into<PathBuf>,
        table: impl Into<String>,
    ) -> Self {
        ImportOptions {
            file: file.into(),
            database: database.into(),
            table: table.into(),
            types: Vec::new(),
            date_orders: Vec::new(),
            rejects: None,
            max_rejects: Self::DEFAULT_MAX_REJECTS,
            patience: Duration::from_secs(5),
        }
    }

    fn rejects_path(&self) -> PathBuf {
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        let stem = name.strip_suffix(".zst").unwrap_or(&name);
        let stem = stem.strip_suffix(".csv").unwrap_or(stem);
        self.rejects
            .clone()
            .unwrap_or_else(|| self.database.with_file_name(format!("{stem}.rejects.csv")))
    }
}

/// Which of the two passes over the file is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportPhase {
    /// The types are being found; the database is not touched.
    FindingTypes,
    /// The rows are being written.
    Writing,
}

/// How far an import is.
#[derive(Clone, Copy, Debug)]
pub struct ImportProgress {
    /// The pass.
    pub phase: ImportPhase,
    /// Bytes of the file read in this pass, as they lie on disk.
    pub bytes: u64,
    /// Size of the file in bytes.
    pub total_bytes: u64,
    /// Rows read in this pass.
    pub rows: u64,
}

/// What an import did.
#[derive(Clone, Debug)]
pub struct ImportReport {
    /// Rows written to the table.
    pub rows: u64,
    /// Rows that could not be read.
    pub rejected: u64,
    /// Where they are; `None` if there are none.
    pub rejects: Option<PathBuf>,
    /// Whether the table was made by this import.
    pub created: bool,
    /// The columns in the order of the file, and how they were read.
    pub columns: Vec<(String, ColumnType)>,
    /// What may not be as it was meant: columns of text that are almost numbers or dates.
    pub notes: Vec<String>,
}

/// Imports a file. `progress` is called every few thousand rows.
///
/// # Errors
/// Nothing is written in any of these cases.
/// * [`ErrorKind::Invalid`]: the options cannot be, such as a type for a column that the file has not.
/// * [`ErrorKind::Source`]: the file cannot be read, its columns are not those of the table, the order of its
///   dates must be told, or too many rows cannot be read.
/// * [`ErrorKind::Held`]: another program writes to the database.
/// * [`ErrorKind::Storage`]: the database or the file of rejects cannot be written.
pub fn import_csv(
    options: &ImportOptions,
    progress: &mut dyn FnMut(ImportProgress),
) -> Result<ImportReport, Error> {
    check(options)?;
    let input = Input::open(&options.file)?;
    let (header, findings) = find_columns(&input, options, progress)?;
    if !options.database.exists() {
        // Fails before a database is made for nothing.
        plan::plan(&header, &findings, options, None)?;
    }

    let mut database = Database::open(&options.database, options.patience)?;
    let load = database.begin()?;
    let table = load.columns(&options.table)?;
    let columns = plan::plan(&header, &findings, options, table.as_deref())?;
    if table.is_none() {
        load.create(&options.table, &columns)?;
    }
    // Anew, since this pass meets again what the first one rejected.
    let mut rejects = Rejects::new(&options.rejects_path(), options.max_rejects)?;
    let inserter = load.inserter(&options.table, &columns)?;
    let rows = write_rows(&input, &columns, inserter, &mut rejects, progress)?;
    input.check_unchanged()?;
    // What was rejected is safe before the rest counts as imported.
    let rejects_file = rejects.finish()?;
    load.commit()?;

    Ok(ImportReport {
        rows,
        rejected: rejects.count(),
        rejects: rejects_file,
        created: table.is_none(),
        notes: plan::notes(&columns, &findings, options),
        columns: columns.into_iter().map(|column| (column.name, column.kind)).collect(),
    })
}

/// What stands against the import whatever the file holds.
fn check(options: &ImportOptions) -> Result<(), Error> {
    let invalid = |message: String| Err(Error::new(ErrorKind::Invalid, message));
    if options.table.is_empty() || options.table.contains('\0') {
        return invalid("the name of the table is empty or not a name".to_owned());
    }
    let folder = match options.database.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        return invalid(format!("there is no folder {} to hold the database", folder.display()));
    }
    let rejects = options.rejects_path();
    if same_file(&rejects, &options.file) || same_file(&rejects, &options.database) {
        return invalid(format!("{} cannot take the rejected rows as well", rejects.display()));
    }
    Ok(())
}

fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// Finds the names and what the columns hold. Rows that are no rows are rejected here already, so that
/// a file which is not CSV at all ends soon.
fn find_columns(
    input: &Input,
    options: &ImportOptions,
    progress: &mut dyn FnMut(ImportProgress),
) -> Result<(Vec<String>, Vec<Findings>), Error> {
    let mut rejects = Rejects::new(&options.rejects_path(), options.max_rejects)?;
    let mut pass = Pass::begin(input, ImportPhase::FindingTypes)?;
    let header = pass.header().to_owned();
    plan::check_options(&header, options)?;
    if options.database.exists() {
        // Under no lock, hence not the last word; but it spares reading a file of other columns.
        let database = Database::open(&options.database, options.patience)?;
        if let Some(table) = database.columns(&options.table)? {
            plan::check_names(&header, &table)?;
        }
    }
    let mut findings: Vec<Findings> = header.iter().map(|_| Findings::default()).collect();
    while pass.next(&mut rejects, progress)? {
        for (cell, found) in pass.fields().iter().zip(&mut findings) {
            found.see(cell, pass.line());
        }
    }
    Ok((header, findings))
}

/// Converts and writes; the number of rows written.
fn write_rows(
    input: &Input,
    columns: &[Column],
    mut inserter: Inserter<'_>,
    rejects: &mut Rejects,
    progress: &mut dyn FnMut(ImportProgress),
) -> Result<u64, Error> {
    let mut pass = Pass::begin(input, ImportPhase::Writing)?;
    let mut written = 0;
    while pass.next(rejects, progress)? {
        let mut misfits: Vec<String> = Vec::new();
        for (index, (cell, column)) in pass.fields().iter().zip(columns).enumerate() {
            match value::read(cell, column.kind, column.order) {
                Some(value) => inserter.bind(index, value)?,
                None => misfits.push(misfit(cell, column)),
            }
        }
        let outcome = if misfits.is_empty() { inserter.insert()? } else { Err(misfits.join("; ")) };
        match outcome {
            Ok(()) => written += 1,
            Err(reason) => pass.reject(&reason, rejects)?,
        }
    }
    Ok(written)
}

fn misfit(cell: &str, column: &Column) -> String {
    let Column { name, kind, order } = column;
    let order = order.map_or_else(String::new, |order| format!(" ({order})"));
    format!("column {name:?}: `{}` is not of type {kind}{order}", shortened(cell))
}
