//! The SQLite target: one transaction on a database file. A killed import is rolled back by whoever opens
//! the database next, from SQLite's own journal.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::Null;
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, Statement, Transaction,
    TransactionBehavior, params,
};
use samovar_core::{Error, ErrorKind};

use super::column::ColumnType;
use super::pass::FileRow;
use super::plan::Column;
use super::target::{Load, Outcomes, TableColumn, Target};
use super::value::Value;

/// Pages kept in memory, in KiB; what does not fit goes to the file before the commit, under the journal.
const CACHE_KIB: i64 = 8 * 1024;

/// A table of a database file.
pub(super) struct Sqlite {
    path: PathBuf,
    table: String,
    patience: Duration,
    connection: Option<Connection>,
}

impl Sqlite {
    /// Waits up to `patience` for whoever writes to the database.
    pub(super) fn new(path: &Path, table: &str, patience: Duration) -> Sqlite {
        Sqlite { path: path.to_owned(), table: table.to_owned(), patience, connection: None }
    }

    /// The connection; opens the database, or makes it.
    fn connection(&mut self) -> Result<&Connection, Error> {
        let open = || {
            // Without the flag for URIs: a file may be called `file:x?mode=memory`.
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
                | OpenFlags::SQLITE_OPEN_CREATE
                | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(&self.path, flags)?;
            connection.busy_timeout(self.patience)?;
            connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
            Ok(connection)
        };
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => open().map_err(|error| failed(&self.path, "open it", error))?,
        };
        Ok(self.connection.insert(connection))
    }
}

impl Target for Sqlite {
    fn declared(&self, kind: ColumnType) -> &'static str {
        declared(kind)
    }

    fn columns(&mut self) -> Result<Option<Vec<TableColumn>>, Error> {
        if self.connection.is_none() && !self.path.exists() {
            return Ok(None);
        }
        self.connection()?;
        let Some(connection) = &self.connection else { return Ok(None) };
        columns(connection, &self.path, &self.table)
    }

    fn begin(&mut self) -> Result<Box<dyn Load + '_>, Error> {
        let (path, table) = (self.path.clone(), self.table.clone());
        let connection = self.connection()?;
        // Unchecked means that two could be begun; `begin` lends this target out for as long as one lasts.
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)
            .map_err(|error| failed(&path, "begin to write to it", error))?;
        Ok(Box::new(SqliteLoad {
            ready: None,
            transaction,
            connection,
            path,
            table,
            date: String::with_capacity(10),
        }))
    }
}

struct SqliteLoad<'a> {
    /// Before the transaction, so that it is dropped before it.
    ready: Option<Ready<'a>>,
    transaction: Transaction<'a>,
    connection: &'a Connection,
    path: PathBuf,
    table: String,
    date: String,
}

/// What rows are written with.
struct Ready<'a> {
    columns: Vec<String>,
    insert: Statement<'a>,
    key: Option<Key<'a>>,
}

struct Key<'a> {
    columns: Vec<usize>,
    /// For the row with the key of the bound one: column by column, whether it has the value bound.
    compare: Statement<'a>,
}

impl Load for SqliteLoad<'_> {
    fn columns(&mut self) -> Result<Option<Vec<TableColumn>>, Error> {
        columns(&self.transaction, &self.path, &self.table)
    }

    fn create(&mut self, columns: &[Column]) -> Result<(), Error> {
        let columns: Vec<String> = columns
            .iter()
            .map(|column| format!("{} {}", quoted(&column.name), declared(column.format.kind)))
            .collect();
        let sql = format!("CREATE TABLE main.{} ({})", quoted(&self.table), columns.join(", "));
        self.transaction.execute(&sql, ()).map(|_| ()).map_err(|error| {
            failed(&self.path, &format!("create the table {:?}", self.table), error)
        })
    }

    fn prepare(&mut self, columns: &[Column], key: &[usize]) -> Result<(), Error> {
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let table = quoted(&self.table);
        if !key.is_empty() {
            self.index(&pick(&names, key), true)?;
        }
        // Under a key a row that is there already is looked at, whatever the table would do about it.
        let verb = if key.is_empty() { "INSERT" } else { "INSERT OR ABORT" };
        let list = names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
        let marks = vec!["?"; names.len()].join(", ");
        let prepare = |sql: String| {
            let doing = format!("write to the table {:?}", self.table);
            self.connection.prepare(&sql).map_err(|error| failed(&self.path, &doing, error))
        };
        let insert = prepare(format!("{verb} INTO main.{table} ({list}) VALUES ({marks})"))?;
        let term = |at: usize, operator| format!("{} {operator} ?{}", quoted(&names[at]), at + 1);
        let same: Vec<String> = (0..names.len()).map(|at| term(at, "IS")).collect();
        let found: Vec<String> = key.iter().map(|at| term(*at, "=")).collect();
        let compare = (!key.is_empty()).then(|| {
            prepare(format!(
                "SELECT {} FROM main.{table} WHERE {} LIMIT 1",
                same.join(", "),
                found.join(" AND ")
            ))
        });
        let key = compare.transpose()?.map(|compare| Key { columns: key.to_vec(), compare });
        self.ready = Some(Ready { columns: names, insert, key });
        Ok(())
    }

    fn write(
        &mut self,
        row: FileRow<'_>,
        values: &[Value<'_>],
        outcomes: &mut Outcomes,
    ) -> Result<(), Error> {
        let Some(ready) = &mut self.ready else {
            return Err(Error::new(ErrorKind::Invalid, "no columns were prepared for the rows"));
        };
        let bound = bind(&mut ready.insert, values, &mut self.date);
        bound.map_err(|error| failed(&self.path, "write a value", error))?;
        let reason = match ready.insert.raw_execute() {
            Ok(0) => "the rules of the table let the row go unwritten".to_owned(),
            Ok(_) => {
                outcomes.written += 1;
                return Ok(());
            }
            // A rule of the table may also end the whole transaction; then this row is not alone in its loss.
            Err(rusqlite::Error::SqliteFailure(error, Some(reason)))
                if error.code == ErrorCode::ConstraintViolation
                    && !self.connection.is_autocommit() =>
            {
                format!("the table refuses the row: {reason}")
            }
            Err(error) => return Err(failed(&self.path, "insert a row", error)),
        };
        let Some(key) = &mut ready.key else { return outcomes.refused(&reason, row) };
        let differing = bind(&mut key.compare, values, &mut self.date)
            .and_then(|()| differing(&mut key.compare, &ready.columns))
            .map_err(|error| failed(&self.path, "look for a key", error))?;
        match differing {
            None => outcomes.refused(&reason, row),
            Some(columns) if columns.is_empty() => {
                outcomes.already_there += 1;
                Ok(())
            }
            Some(columns) => {
                let key = pick(&ready.columns, &key.columns).join(", ");
                let columns = columns.join(", ");
                let reason = format!(
                    "a row with the same key ({key}) is there already, with other values in: {columns}"
                );
                outcomes.refused(&reason, row)
            }
        }
    }

    fn finish(&mut self, indexes: &[Vec<usize>], _: &mut Outcomes) -> Result<(), Error> {
        let names = self.ready.take().map(|ready| ready.columns).unwrap_or_default();
        indexes.iter().try_for_each(|columns| self.index(&pick(&names, columns), false))
    }

    fn commit(self: Box<Self>) -> Result<(), Error> {
        let SqliteLoad { ready, transaction, path, .. } = *self;
        drop(ready);
        transaction.commit().map_err(|error| failed(&path, "commit the import", error))
    }
}

impl SqliteLoad<'_> {
    /// Makes an index unless there is one that serves.
    fn index(&self, columns: &[String], unique: bool) -> Result<(), Error> {
        let name = self
            .missing_index(columns, unique)
            .map_err(|error| failed(&self.path, "read its indexes", error))?;
        let Some(name) = name else { return Ok(()) };
        let list = columns.join(", ");
        let sql = format!(
            "CREATE {} main.{} ON {} ({})",
            if unique { "UNIQUE INDEX" } else { "INDEX" },
            quoted(&name),
            quoted(&self.table),
            columns.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
        );
        self.transaction.execute(&sql, ()).map(|_| ()).map_err(|error| {
            if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) {
                let message = format!(
                    "({list}) cannot be the key: the table {:?} holds rows that share their values there",
                    self.table
                );
                return Error::new(ErrorKind::Source, message);
            }
            failed(&self.path, &format!("make the index on ({list})"), error)
        })
    }

    /// The name for an index that has to be made. A unique one serves if it is over the same columns, another
    /// if it begins with them.
    fn missing_index(&self, columns: &[String], unique: bool) -> rusqlite::Result<Option<String>> {
        let database = &self.transaction;
        let same = |a: &[String], b: &[String]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.eq_ignore_ascii_case(b))
        };
        let sorted = |names: &[String]| {
            let mut names: Vec<_> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
            names.sort();
            names
        };
        let serves = |present: &[String]| {
            if unique {
                sorted(present) == sorted(columns)
            } else {
                present.len() >= columns.len() && same(&present[..columns.len()], columns)
            }
        };
        let list = |sql: &str, of: &str| -> rusqlite::Result<Vec<String>> {
            database.prepare(sql)?.query_map([of], |row| row.get(0))?.collect()
        };
        // The primary key of a table of whole numbers has no index of its own.
        let primary = "SELECT name FROM pragma_table_info(?1, 'main') WHERE pk > 0 ORDER BY pk";
        let primary = list(primary, &self.table)?;
        if !primary.is_empty() && serves(&primary) {
            return Ok(None);
        }
        let indexes = "SELECT name FROM pragma_index_list(?1, 'main') WHERE partial = 0";
        let indexes = list(
            &format!("{indexes}{}", if unique { " AND \"unique\"" } else { "" }),
            &self.table,
        )?;
        for index in indexes {
            // An expression has no name, and no column has the empty one.
            let columns =
                "SELECT coalesce(name, '') FROM pragma_index_info(?1, 'main') ORDER BY seqno";
            if serves(&list(columns, &index)?) {
                return Ok(None);
            }
        }
        let kind = if unique { "key" } else { "idx" };
        let base = format!("{}_{}_{kind}", self.table, columns.join("_"));
        let mut name = base.clone();
        let mut taken =
            database.prepare("SELECT 1 FROM main.sqlite_schema WHERE name = ?1 COLLATE NOCASE")?;
        for number in 2.. {
            if !taken.exists(params![name])? {
                break;
            }
            name = format!("{base}{number}");
        }
        Ok(Some(name))
    }
}

fn pick(names: &[String], positions: &[usize]) -> Vec<String> {
    positions.iter().map(|at| names[*at].clone()).collect()
}

fn bind(
    statement: &mut Statement<'_>,
    values: &[Value<'_>],
    date: &mut String,
) -> rusqlite::Result<()> {
    for (at, value) in (1..).zip(values) {
        match value {
            Value::Null => statement.raw_bind_parameter(at, Null),
            Value::Integer(number) => statement.raw_bind_parameter(at, number),
            Value::Number(number, _) => statement.raw_bind_parameter(at, number),
            Value::Text(text) => statement.raw_bind_parameter(at, text),
            Value::Date(day) => {
                date.clear();
                write!(date, "{day}").expect("a string takes all that is written");
                statement.raw_bind_parameter(at, &*date)
            }
        }?;
    }
    Ok(())
}

/// In which columns the row that has the key differs; `None` if there is no such row.
fn differing<'a>(
    compare: &mut Statement<'_>,
    columns: &'a [String],
) -> rusqlite::Result<Option<Vec<&'a str>>> {
    let mut rows = compare.raw_query();
    let Some(row) = rows.next()? else { return Ok(None) };
    let mut differing = Vec::new();
    for (at, name) in columns.iter().enumerate() {
        if !row.get::<_, bool>(at)? {
            differing.push(name.as_str());
        }
    }
    Ok(Some(differing))
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
            .query_map([table], |row| {
                let declared: String = row.get(1)?;
                let readable_as = readable_as(&declared);
                Ok(TableColumn { name: row.get(0)?, declared, readable_as })
            })?
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

/// The type that a new table declares for a column.
fn declared(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Integer => "INTEGER",
        ColumnType::Real | ColumnType::Money => "REAL",
        ColumnType::Text => "TEXT",
        ColumnType::Date => "DATE",
    }
}

/// How a column of a declared type may be read, the preferred way first; `None` means in any way.
fn readable_as(declared: &str) -> Option<&'static [ColumnType]> {
    let declared = declared.to_ascii_uppercase();
    let any = |words: &[&str]| words.iter().any(|word| declared.contains(word));
    if declared == "DATE" {
        Some(&[ColumnType::Date])
    } else if any(&["INT"]) {
        Some(&[ColumnType::Integer])
    } else if any(&["CHAR", "CLOB", "TEXT"]) {
        Some(&[ColumnType::Text, ColumnType::Date])
    } else if any(&["REAL", "FLOA", "DOUB", "NUMERIC", "DECIMAL", "MONEY"]) {
        Some(&[ColumnType::Real, ColumnType::Money])
    } else {
        None
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_types_say_how_a_column_may_be_read() {
        assert_eq!(readable_as("bigint").unwrap(), [ColumnType::Integer]);
        assert_eq!(readable_as("VARCHAR(20)").unwrap()[0], ColumnType::Text);
        assert_eq!(readable_as("DECIMAL(10,2)").unwrap()[0], ColumnType::Real);
        assert_eq!(readable_as("Date").unwrap(), [ColumnType::Date]);
        assert!(readable_as("").is_none());
        assert!(readable_as("BLOB").is_none());
    }
}
