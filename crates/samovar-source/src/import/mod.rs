//! Import of CSV files into a table, all or nothing.
//!
//! The file is read twice. The first pass finds the type of every column from all its values, since a sample
//! would be fooled by the one `0012` at its end; the second converts and writes, in one transaction. Memory
//! stays constant in both. What cannot be read is kept, with its line and the reason, in a file of
//! rejected rows.
//!
//! The parts know little of each other: `input` gives bytes, `encoding` and `dialect` find how they are
//! written, `record` makes rows of them, `find` and `plan` decide what the columns are, `value` converts a
//! cell, `target` takes rows, `sqlite` and `postgres` being two.
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
mod date;
mod dialect;
mod encoding;
mod find;
mod header;
mod input;
mod number;
mod options;
mod pass;
mod plan;
mod postgres;
mod record;
mod rejects;
mod sqlite;
mod target;
mod value;

use samovar_core::Error;

pub use column::{ColumnType, DateOrder, DecimalMark, UnknownWord};
pub use dialect::Delimiter;
pub use encoding::Encoding;
pub use options::{
    ColumnPreview, Database, ImportOptions, ImportPhase, ImportPreview, ImportProgress,
    ImportReport,
};

use dialect::Dialect;
use find::{Findings, shortened};
use input::Input;
use pass::Pass;
use plan::{Column, Columns};
use rejects::Rejects;
use target::{Load, Outcomes, Target};
use value::Value;

/// Imports a file. `progress` is called every few thousand rows.
///
/// # Errors
/// Nothing is written in any of these cases.
/// * [`ErrorKind::Invalid`]: the options cannot be, such as a type for a column that the file has not.
/// * [`ErrorKind::Source`]: the file cannot be read, its columns are not those of the table, the order of its
///   dates or its decimal mark must be told, the key is none, or too many rows cannot be read.
/// * [`ErrorKind::Held`]: another program writes to the database.
/// * [`ErrorKind::Storage`]: the database or the file of rejects cannot be written.
///
/// [`ErrorKind::Invalid`]: samovar_core::ErrorKind::Invalid
/// [`ErrorKind::Source`]: samovar_core::ErrorKind::Source
/// [`ErrorKind::Held`]: samovar_core::ErrorKind::Held
/// [`ErrorKind::Storage`]: samovar_core::ErrorKind::Storage
///
/// ```
/// use samovar_source::import::{ColumnType, ImportOptions, import_csv};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let file = folder.path().join("sales.csv");
/// std::fs::write(&file, "store,day,sale\n7,2026-02-03,4.50\n7,2026-02-04\n8,2026-02-03,1\n")?;
/// let options = ImportOptions {
///     key: vec!["store".into(), "day".into()],
///     ..ImportOptions::new(&file, folder.path().join("shop.db"), "sales")
/// };
/// let report = import_csv(&options, &mut |_| ())?;
/// assert_eq!((report.rows, report.rejected), (2, 1), "one row lacks a field");
/// assert_eq!(report.columns[2], ("sale".to_string(), ColumnType::Real));
/// let again = import_csv(&options, &mut |_| ())?;
/// assert_eq!((again.rows, again.already_there), (0, 2), "by its key");
/// # Ok(())
/// # }
/// ```
pub fn import_csv(
    options: &ImportOptions,
    progress: &mut dyn FnMut(ImportProgress),
) -> Result<ImportReport, Error> {
    options.check()?;
    let mut target = target::open(options)?;
    let rejects = || Rejects::new(&options.rejects_path(), options.max_rejects);
    let file = Examined::read(options, &mut *target, &mut rejects()?, progress)?;
    let key = header::positions(&file.columns.header, &options.key)?;
    let indexes: Vec<Vec<usize>> = (options.indexes.iter())
        .map(|index| header::positions(&file.columns.header, index))
        .collect::<Result<_, _>>()?;
    // Fails before a database is made for nothing.
    plan::plan(&file.columns, options, target.columns()?.as_deref())?;

    let mut load = target.begin()?;
    let table = load.columns()?;
    let columns = plan::plan(&file.columns, options, table.as_deref())?;
    if table.is_none() {
        load.create(&columns)?;
    }
    load.prepare(&columns, &key)?;
    // Rejects anew, since this pass meets again what the first one rejected.
    let mut outcomes = Outcomes::new(rejects()?);
    write_rows(&file, &columns, &key, &mut *load, &mut outcomes, progress)?;
    load.finish(&indexes, &mut outcomes)?;
    file.input.check_unchanged()?;
    // What was rejected is safe before the rest counts as imported.
    let rejects_file = outcomes.rejects.finish()?;
    load.commit()?;

    Ok(ImportReport {
        rows: outcomes.written,
        already_there: outcomes.already_there,
        rejected: outcomes.rejects.count(),
        rejects: rejects_file,
        encoding: file.dialect.encoding,
        delimiter: file.dialect.delimiter,
        created: table.is_none(),
        notes: plan::notes(&columns, &file.columns.findings, options),
        columns: columns.into_iter().map(|column| (column.name, column.format.kind)).collect(),
    })
}

/// Looks at the whole file and says what an import would make of it. Writes nothing.
///
/// # Errors
/// As [`import_csv`], where the file cannot even be looked at. What is wrong with its columns is told in the
/// preview.
///
/// ```
/// use samovar_source::import::{ColumnType, ImportOptions, preview_csv};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let (file, database) = (folder.path().join("sales.csv"), folder.path().join("shop.db"));
/// std::fs::write(&file, "store,sale\n0012,4.50\n0013,1\n")?;
/// let preview = preview_csv(&ImportOptions::new(&file, &database, "sales"), &mut |_| ())?;
/// assert!(preview.creates && preview.problem.is_none() && !database.exists());
/// let store = &preview.columns[0];
/// assert_eq!(store.kind, Some(ColumnType::Text), "{}", store.why);
/// # Ok(())
/// # }
/// ```
pub fn preview_csv(
    options: &ImportOptions,
    progress: &mut dyn FnMut(ImportProgress),
) -> Result<ImportPreview, Error> {
    options.check()?;
    let mut target = target::open(options)?;
    let mut rejects = Rejects::unkept();
    let file = Examined::read(options, &mut *target, &mut rejects, progress)?;
    let table = target.columns()?;
    let planned = plan::each(&file.columns, options, table.as_deref());
    let columns = (file.columns.header.iter().zip(&file.columns.findings).zip(planned))
        .map(|((name, found), column)| {
            let (kind, why) = match column {
                Ok(column) => (Some(column.format.kind), column.why),
                Err(problem) => (None, problem),
            };
            let declared = match &table {
                Some(table) => (table.iter().find(|column| header::same(&column.name, name)))
                    .map(|column| column.declared.clone()),
                None => kind.map(|kind| target.declared(kind).to_owned()),
            };
            let examples = found.examples().to_vec();
            ColumnPreview { name: name.clone(), declared, kind, why, examples }
        })
        .collect();
    let problem = plan::plan(&file.columns, options, table.as_deref()).err();
    let problem = problem.map(|error| error.to_string()).or_else(|| {
        (rejects.count() > options.max_rejects).then(|| {
            let (count, max) = (rejects.count(), options.max_rejects);
            format!("{count} rows cannot be read, {max} are allowed (--max-rejects)")
        })
    });
    Ok(ImportPreview {
        encoding: file.dialect.encoding,
        delimiter: file.dialect.delimiter,
        rows: file.rows,
        rejected: rejects.count(),
        first_rejects: rejects.into_first(),
        creates: table.is_none(),
        columns,
        problem,
    })
}

/// A file after the first pass.
struct Examined {
    input: Input,
    dialect: Dialect,
    columns: Columns,
    rows: u64,
}

impl Examined {
    /// Finds the names and what the columns hold. Rows that are no rows are rejected here already, so that
    /// a file which is not CSV at all ends soon.
    fn read(
        options: &ImportOptions,
        target: &mut dyn Target,
        rejects: &mut Rejects,
        progress: &mut dyn FnMut(ImportProgress),
    ) -> Result<Examined, Error> {
        let input = Input::open(&options.file, progress)?;
        let dialect = Dialect::find(&input, options)?;
        let mut pass = Pass::begin(&input, dialect, ImportPhase::FindingTypes)?;
        let header = pass.header().to_owned();
        header::check_options(&header, options)?;
        // Under no lock, hence not the last word; but it spares reading a file of other columns.
        if let Some(table) = target.columns()? {
            header::check_names(&header, &table)?;
        }
        let point_only = dialect.delimiter == Delimiter::Comma && options.decimal_marks.is_empty();
        let mut findings: Vec<Findings> =
            header.iter().map(|_| Findings::new(point_only)).collect();
        while pass.next(rejects, progress)? {
            for (cell, found) in pass.fields().iter().zip(&mut findings) {
                found.see(cell, pass.line());
            }
        }
        let columns = Columns { delimiter: dialect.delimiter, header, findings };
        Ok(Examined { rows: pass.count(), input, dialect, columns })
    }
}

/// Converts and writes.
fn write_rows(
    file: &Examined,
    columns: &[Column],
    key: &[usize],
    load: &mut dyn Load,
    outcomes: &mut Outcomes,
    progress: &mut dyn FnMut(ImportProgress),
) -> Result<(), Error> {
    let mut pass = Pass::begin(&file.input, file.dialect, ImportPhase::Writing)?;
    while pass.next(&mut outcomes.rejects, progress)? {
        let mut values = Vec::with_capacity(columns.len());
        let mut misfits: Vec<String> = Vec::new();
        for (cell, column) in pass.fields().iter().zip(columns) {
            match value::read(cell, column.format) {
                Some(value) => values.push(value),
                None => misfits.push(misfit(cell, column)),
            }
        }
        if misfits.is_empty() {
            let empty = key.iter().filter(|at| values[**at] == Value::Null);
            misfits.extend(empty.map(|at| {
                format!(
                    "column {:?} is empty, and a row without its key is none",
                    columns[*at].name
                )
            }));
        }
        if misfits.is_empty() {
            load.write(pass.row(), &values, outcomes)?;
        } else {
            pass.reject(&misfits.join("; "), &mut outcomes.rejects)?;
        }
    }
    Ok(())
}

fn misfit(cell: &str, column: &Column) -> String {
    let Column { name, format, .. } = column;
    let order = format.order.map_or_else(String::new, |order| format!(" ({order})"));
    format!("column {name:?}: `{}` is not of type {}{order}", shortened(cell), format.kind)
}
