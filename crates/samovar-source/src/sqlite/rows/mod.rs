//! Rows by key in SQLite.

mod read;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, OpenFlags, ToSql};
use samovar_core::{BoxFuture, Clock, WriteError};

use super::file::{File, identity};
use super::{Watch, failed};
use crate::background::Pool;
use crate::rows::{
    Backend, Bound, LoadPlan, Put, RowOptions, RowsOfKey, Statement, WritePlan, kept_by,
};
use crate::{SourceError, SourceErrorKind};

/// A SQLite database whose rows are read and written by key.
pub(crate) struct SqliteRows {
    readers: Pool<File>,
    writers: Pool<Writing>,
    options: RowOptions,
    clock: Arc<dyn Clock>,
}

impl SqliteRows {
    pub(crate) fn open(
        path: &Path,
        options: RowOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<SqliteRows, SourceError> {
        let many = options.connections.max(1);
        let files = File::open(path, many)?;
        let writing = (0..many).map(|_| Writing::to(path, options.write_deadline)).collect();
        let readers = Pool::start(files, &clock)?;
        let writers = Pool::start(writing, &clock)?;
        Ok(SqliteRows { readers, writers, options, clock })
    }

    fn watch(&self) -> (Watch, super::watch::CancelOnDrop) {
        Watch::new(Arc::clone(&self.clock), self.options.timeout)
    }
}

impl Backend for SqliteRows {
    fn check_load(&self, mut plan: LoadPlan) -> Result<LoadPlan, SourceError> {
        self.readers.wait(move |file| {
            let (connection, _) = file.connection()?;
            let (found, columns) = look(connection, &plan.statement)?;
            if !found.is_readonly {
                return Err(plan.statement.wrong("it writes, and must be a SELECT"));
            }
            plan.statement.name(found.names.iter().map(String::as_str), &plan.key)?;
            crate::rows::Column::distinct(&columns).map_err(|what| plan.statement.wrong(what))?;
            Ok(plan)
        })
    }

    fn check_write(&self, mut plan: WritePlan) -> Result<WritePlan, SourceError> {
        self.writers.wait(move |writing| {
            let connection = writing.connection()?;
            for statement in std::iter::once(&mut plan.upsert).chain(&mut plan.delete) {
                let (found, _) = look(connection, statement)?;
                if found.is_readonly {
                    return Err(statement.wrong("it reads, and must write"));
                }
                statement.name(found.names.iter().map(String::as_str), &plan.key)?;
            }
            if plan.remember {
                write::make_memory(connection)
                    .map_err(|e| plan.cannot_remember(write::MEMORY.trim()).because(e))?;
            }
            Ok(plan)
        })
    }

    fn load(
        &self,
        plan: Arc<LoadPlan>,
        keys: Vec<Arc<str>>,
    ) -> BoxFuture<'static, Result<Vec<RowsOfKey>, SourceError>> {
        let ((watch, cancel), max_rows) = (self.watch(), self.options.max_rows);
        self.readers.ask_until_dropped(cancel, move |file| {
            let (connection, _) = file.connection()?;
            watch.over(connection, |connection| read::read(connection, &plan, &keys, max_rows))
        })
    }

    fn write(
        &self,
        plan: Arc<WritePlan>,
        puts: Vec<Put>,
        waited: Duration,
    ) -> BoxFuture<'static, Result<Vec<Result<(), WriteError>>, SourceError>> {
        let clock = Arc::clone(&self.clock);
        // The time spent waiting for a connection counts.
        let begun = clock.elapsed();
        let write = move |writing: &mut _| {
            let spent = || clock.elapsed().saturating_sub(begun).saturating_add(waited);
            Ok(write::write(writing, &plan, &puts, &clock, &spent))
        };
        Box::pin(self.writers.ask(write))
    }

    fn reach(&self) -> Result<(), SourceError> {
        self.readers.wait(|file| file.connection().map(|_| ()))
    }

    fn script(&self, text: &str) -> Result<(), SourceError> {
        let text = text.to_owned();
        self.writers.wait(move |writing| {
            let connection = writing.connection()?;
            let transaction = connection.transaction().map_err(failed)?;
            transaction.execute_batch(&text).map_err(failed)?;
            transaction.commit().map_err(failed)
        })
    }
}

/// What SQLite says of a statement.
struct Looked {
    is_readonly: bool,
    names: Vec<String>,
}

fn look(
    connection: &Connection,
    statement: &Statement,
) -> Result<(Looked, Vec<crate::rows::Column>), SourceError> {
    let prepared = connection.prepare(&statement.text).map_err(|e| {
        let tables = super::tables(connection).unwrap_or_default();
        statement.wrong(format!("SQLite cannot read it; the database has {tables}")).because(e)
    })?;
    let names: Option<Vec<String>> = (1..=prepared.parameter_count())
        .map(|at| Some(prepared.parameter_name(at)?.strip_prefix(':')?.to_owned()))
        .collect();
    let names = names.ok_or_else(|| {
        statement.wrong("parameters are written as names: :key and not ?, @key or $key")
    })?;
    let columns = read::columns(&prepared);
    Ok((Looked { is_readonly: prepared.readonly(), names }, columns))
}

/// A connection that writes, opened when it is needed.
struct Writing {
    path: PathBuf,
    deadline: Duration,
    open: Option<(Connection, Option<(u64, u64)>)>,
}

impl Writing {
    fn to(path: &Path, deadline: Duration) -> Writing {
        Writing { path: path.into(), deadline, open: None }
    }

    /// The connection: a new one if another file bears the name now. While none does, nothing is written: what was put into
    /// the last one would be lost with it.
    fn connection(&mut self) -> Result<&mut Connection, SourceError> {
        let now = identity(&self.path);
        let open = match self.open.take() {
            Some(open) if open.1 == now && self.path.exists() => open,
            _ => (self.connect()?, now),
        };
        Ok(&mut self.open.insert(open).0)
    }

    fn connect(&self) -> Result<Connection, SourceError> {
        let connect = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(&self.path, flags)?;
            // What waits for another writer must not outlast the deadline.
            connection.busy_timeout(self.deadline / 4)?;
            connection.pragma_update(None, "foreign_keys", true)?;
            Ok(connection)
        };
        connect().map_err(|e: rusqlite::Error| {
            let message = format!("cannot open {} to write to it", self.path.display());
            SourceError::new(SourceErrorKind::Unreachable, message).because(e)
        })
    }
}

impl ToSql for Bound {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Bound::Null => rusqlite::types::Null.into(),
            Bound::Bool(truth) => i64::from(*truth).into(),
            Bound::Integer(number) => (*number).into(),
            Bound::Text(text) => text.as_str().into(),
            // As a text it would lose digits in a column of numbers.
            Bound::Digits(digits) => match digits.parse::<f64>() {
                Ok(real) if kept_by::<f64>(digits) => real.into(),
                _ => {
                    let message = format!(
                        "SQLite's numbers would lose digits of {digits}; write it as a text"
                    );
                    return Err(rusqlite::Error::ToSqlConversionFailure(message.into()));
                }
            },
        })
    }
}
