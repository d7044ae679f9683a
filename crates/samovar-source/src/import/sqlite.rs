//! The writer: one transaction on a SQLite database. A killed import is rolled back by whoever opens
//! the database next, from SQLite's own journal.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::Null;
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, Statement, Transaction,
    TransactionBehavior,
};
use samovar_core::{Error, ErrorKind};

use super::plan::Column;
use super::value::Value;

/// Pages kept in memory, in KiB; what does not fit goes to the file before the commit, under the journal.
const CACHE_KIB: i64 = 8 * 1024;

/// A database to import into.
pub(super) struct Database {
    connection: Connection,
    path: PathBuf,
}

/// A column of a table that is there already.
#[derive(Clone, Debug)]
pub(super) struct TableColumn {
    pub(super) name: String,
    pub(super) declared: String,
}

impl Database {
    /// Opens the database, or makes it. Waits up to `patience` for whoever writes to it.
    pub(super) fn open(path: &Path, patience: Duration) -> Result<Database, Error> {
        let open = || {
            // Without the flag for URIs: a file may be called `file:x?mode=memory`.
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
                | OpenFlags::SQLITE_OPEN_CREATE
                | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(patience)?;
            connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
            Ok(connection)
        };
        let connection = open().map_err(|error| failed(path, "open it", error))?;
        Ok(Database { connection, path: path.to_owned() })
    }

    /// The columns of a table that can be written, or `None` if there is no such table.
    pub(super) fn columns(&self, table: &str) -> Result<Option<Vec<TableColumn>>, Error> {
        columns(&self.connection, &self.path, table)
    }

    /// Begins the one transaction of the import; no one else writes until it ends.
    pub(super) fn begin(&mut self) -> Result<Load<'_>, Error> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| failed(&self.path, "begin to write to it", error))?;
        Ok(Load { transaction, path: &self.path })
    }
}

/// The transaction; dropped without a commit it leaves everything as it was.
pub(super) struct Load<'a> {
    transaction: Transaction<'a>,
    path: &'a Path,
}

impl Load<'_> {
    pub(super) fn columns(&self, table: &str) -> Result<Option<Vec<TableColumn>>, Error> {
        columns(&self.transaction, self.path, table)
    }

    pub(super) fn create(&self, table: &str, columns: &[Column]) -> Result<(), Error> {
        let columns: Vec<String> = columns
            .iter()
            .map(|column| format!("{} {}", quoted(&column.name), column.kind.declared()))
            .collect();
        let sql = format!("CREATE TABLE main.{} ({})", quoted(table), columns.join(", "));
        self.transaction
            .execute(&sql, ())
            .map(|_| ())
            .map_err(|error| failed(self.path, &format!("create the table {table:?}"), error))
    }

    pub(super) fn inserter(&self, table: &str, columns: &[Column]) -> Result<Inserter<'_>, Error> {
        let names: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
        let values = vec!["?"; columns.len()];
        let sql = format!(
            "INSERT INTO main.{} ({}) VALUES ({})",
            quoted(table),
            names.join(", "),
            values.join(", ")
        );
        let statement = self
            .transaction
            .prepare(&sql)
            .map_err(|error| failed(self.path, &format!("write to the table {table:?}"), error))?;
        Ok(Inserter { statement, load: self, date: String::with_capacity(10) })
    }

    pub(super) fn commit(self) -> Result<(), Error> {
        let path = self.path;
        self.transaction.commit().map_err(|error| failed(path, "commit the import", error))
    }
}

/// Inserts row by row: bind every column, then insert.
pub(super) struct Inserter<'a> {
    statement: Statement<'a>,
    load: &'a Load<'a>,
    date: String,
}

impl Inserter<'_> {
    /// Sets the column at this position (from 0) of the next row.
    pub(super) fn bind(&mut self, column: usize, value: Value<'_>) -> Result<(), Error> {
        let at = column + 1;
        match value {
            Value::Null => self.statement.raw_bind_parameter(at, Null),
            Value::Integer(number) => self.statement.raw_bind_parameter(at, number),
            Value::Real(number) => self.statement.raw_bind_parameter(at, number),
            Value::Text(text) => self.statement.raw_bind_parameter(at, text),
            Value::Date(day) => {
                self.date.clear();
                write!(self.date, "{day}").expect("a string takes all that is written");
                self.statement.raw_bind_parameter(at, &self.date)
            }
        }
        .map_err(|error| failed(self.load.path, "write a value", error))
    }

    /// Inserts the row that was bound. The inner error is the reason why the table itself refuses it.
    pub(super) fn insert(&mut self) -> Result<Result<(), String>, Error> {
        match self.statement.raw_execute() {
            Ok(0) => Ok(Err("the rules of the table let the row go unwritten".to_owned())),
            Ok(_) => Ok(Ok(())),
            // A rule of the table may also end the whole transaction; then this row is not alone in its loss.
            Err(rusqlite::Error::SqliteFailure(error, Some(reason)))
                if error.code == ErrorCode::ConstraintViolation
                    && !self.load.transaction.is_autocommit() =>
            {
                Ok(Err(format!("the table refuses the row: {reason}")))
            }
            Err(error) => Err(failed(self.load.path, "insert a row", error)),
        }
    }
}

fn columns(
    connection: &Connection,
    path: &Path,
    table: &str,
) -> Result<Option<Vec<TableColumn>>, Error> {
    let read = || -> rusqlite::Result<(Option<String>, Vec<TableColumn>)> {
        let kind = connection
            .query_row(
                "SELECT type FROM main.sqlite_schema WHERE name = ?1 COLLATE NOCASE AND type IN ('table', 'view')",
                [table],
                |row| row.get(0),
            )
            .optional()?;
        // Generated columns (hidden 2 and 3) are computed, not written.
        let mut columns = connection.prepare(
            "SELECT name, type FROM pragma_table_xinfo(?1, 'main') WHERE hidden = 0 ORDER BY cid",
        )?;
        let columns = columns
            .query_map([table], |row| Ok(TableColumn { name: row.get(0)?, declared: row.get(1)? }))?
            .collect::<rusqlite::Result<_>>()?;
        Ok((kind, columns))
    };
    let (kind, columns) = read().map_err(|error| failed(path, "read its tables", error))?;
    match kind.as_deref() {
        None => Ok(None),
        Some("table") => Ok(Some(columns)),
        Some(_) => Err(Error::new(
            ErrorKind::Invalid,
            format!("{table:?} in {} is a view; name a table (--table)", path.display()),
        )),
    }
}

fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

fn failed(path: &Path, doing: &str, error: rusqlite::Error) -> Error {
    let path = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::new(
            ErrorKind::Held,
            format!(
                "{path} is in use by another program that writes to it (or reads, at the commit); nothing was \
                 imported. Try again when it is done"
            ),
        ),
        Some(ErrorCode::NotADatabase) => Error::new(
            ErrorKind::Storage,
            format!("{path} is not a SQLite database; name another file (--database)"),
        ),
        _ => Error::new(ErrorKind::Storage, format!("{path}: cannot {doing}")).because(error),
    }
}
