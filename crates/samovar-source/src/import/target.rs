//! Where the rows go: the seam between what a file holds and the database that takes it.
//!
//! A target is any database that can take a table in one transaction. It is opened by [`open`] alone, from
//! the options. An import meets it in this order: [`Target::columns`] (as often as it likes, under no
//! lock), [`Target::begin`], then on the [`Load`] `columns`, `create` if there is no such table, `prepare`,
//! `write` for each row, `finish`, `commit`. A load that is dropped leaves the database as it was.
//!
//! What becomes of a row may be told at once or as late as in `finish`, so a target is free to stream all rows
//! into a staging table and to judge them there.

use samovar_core::Error;

use super::column::ColumnType;
use super::options::{Database, ImportOptions};
use super::pass::FileRow;
use super::plan::Column;
use super::postgres::Postgres;
use super::rejects::Rejects;
use super::sqlite::Sqlite;
use super::value::Value;

/// The database that the options name. Nothing is made, opened or locked yet.
pub(super) fn open(options: &ImportOptions) -> Result<Box<dyn Target>, Error> {
    Ok(match &options.database {
        Database::Sqlite(path) => Box::new(Sqlite::new(path, &options.table, options.patience)),
        Database::Postgres(server) => Box::new(Postgres::new(server, options)?),
    })
}

/// A column of a table that is there already.
#[derive(Clone, Debug)]
pub(super) struct TableColumn {
    pub(super) name: String,
    /// Its type in the words of the database.
    pub(super) declared: String,
    /// How it may be read, the preferred way first; `None` means in any way.
    pub(super) readable_as: Option<&'static [ColumnType]>,
}

/// One table of a database, there already or to be made.
pub(super) trait Target {
    /// The type that a new table declares for a column.
    fn declared(&self, kind: ColumnType) -> &'static str;

    /// The columns that can be written, or `None` if there is no such table. Makes nothing, not even an
    /// empty database.
    fn columns(&mut self) -> Result<Option<Vec<TableColumn>>, Error>;

    /// Begins the one transaction of the import.
    fn begin(&mut self) -> Result<Box<dyn Load + '_>, Error>;
}

/// The one transaction of an import; dropped without a commit it leaves everything as it was.
pub(super) trait Load {
    /// As [`Target::columns`], and from now on nobody else changes them.
    fn columns(&mut self) -> Result<Option<Vec<TableColumn>>, Error>;

    /// Makes the table.
    fn create(&mut self, columns: &[Column]) -> Result<(), Error>;

    /// Gets ready for rows of these columns. `key` are positions in `columns`, none without a key; if there
    /// are some, the table is to hold a unique index over them from now on.
    fn prepare(&mut self, columns: &[Column], key: &[usize]) -> Result<(), Error>;

    /// Takes a row: one value for each column, no NULL in the key. With a key, a row whose key is there
    /// already is [`Outcomes::already_there`] if its values are the same, else refused. A row that a rule of the
    /// table forbids is refused, if the database can go on after that; else it is an error.
    fn write(
        &mut self,
        row: FileRow<'_>,
        values: &[Value<'_>],
        outcomes: &mut Outcomes,
    ) -> Result<(), Error>;

    /// All rows have been given: tells what became of those it has said nothing of, and makes the indexes
    /// (positions in the columns) that are not there.
    fn finish(&mut self, indexes: &[Vec<usize>], outcomes: &mut Outcomes) -> Result<(), Error>;

    /// Makes all of it durable.
    fn commit(self: Box<Self>) -> Result<(), Error>;
}

/// What became of the rows.
pub(super) struct Outcomes {
    pub(super) written: u64,
    pub(super) already_there: u64,
    pub(super) rejects: Rejects,
}

impl Outcomes {
    pub(super) fn new(rejects: Rejects) -> Outcomes {
        Outcomes { written: 0, already_there: 0, rejects }
    }

    /// Keeps a row that was refused; an error if it is one too many. Who refuses late and has only its line
    /// and its text left uses [`Rejects::push_text`].
    pub(super) fn refused(&mut self, reason: &str, row: FileRow<'_>) -> Result<(), Error> {
        self.rejects.push(reason, row)
    }
}
