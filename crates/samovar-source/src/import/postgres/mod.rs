//! The PostgreSQL target: rows come by COPY, in one transaction, which the server rolls back when the connection
//! closes before its end, however that comes.
//!
//! Where nothing can be refused, rows go into the table itself. With a key, or rules of the table, they go into a
//! temporary table first; when all are there, those that are new are moved into the table.

mod form;
mod sql;
mod staged;

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::SinkExt;
use samovar_core::{Error, ErrorKind};
use tokio_postgres::CopyInSink;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::column::ColumnType;
use super::header::same;
use super::options::ImportOptions;
use super::pass::FileRow;
use super::plan::Column;
use super::target::{Load, Outcomes, TableColumn, Target};
use super::value::Value;
use crate::postgres::{Address, Blocking, failed as server_failed, table as names_of};
use crate::sql::quoted;
use crate::{PostgresOptions, SourceErrorKind};
use form::Form;
use sql::Staged;
use staged::Move;

/// Rows are sent in pieces of this size, in bytes; the next one is made when the socket took the last.
const PIECE: usize = 1 << 16;
/// Longer names are cut off by the server, in silence.
const LONGEST_NAME: usize = 63;

/// A table of a PostgreSQL database.
pub(super) struct Postgres {
    place: Place,
    patience: Duration,
    /// Whether what is in the table is looked at, and not only added to.
    looks: bool,
    session: Option<Blocking>,
}

/// Where the table is.
#[derive(Clone)]
struct Place {
    address: Address,
    name: String,
}

/// A column that can be written.
#[derive(Clone, Debug)]
struct Known {
    name: String,
    form: Form,
    declared: String,
    required: bool,
}

/// A table that is there, by its full name.
struct Found {
    table: String,
    columns: Vec<Known>,
    /// Whether it has rules by which it may refuse a row.
    strict: bool,
}

impl Postgres {
    /// Waits up to the options' patience for whoever holds the table.
    pub(super) fn new(server: &PostgresOptions, options: &ImportOptions) -> Result<Self, Error> {
        let invalid = |message: String| Error::new(ErrorKind::Invalid, message);
        let address = Address::of(server).map_err(|wrong| invalid(wrong.to_string()))?;
        let name = options.table.clone();
        let (schema, table) = name.split_once('.').unwrap_or((&name, &name));
        if [schema, table].iter().any(|part| part.is_empty() || part.len() > LONGEST_NAME) {
            return Err(invalid(format!(
                "{name:?} cannot be the name of a table: PostgreSQL cuts names off after {LONGEST_NAME} bytes"
            )));
        }
        Ok(Postgres {
            place: Place { address, name },
            patience: options.patience,
            looks: !options.key.is_empty() || !options.indexes.is_empty(),
            session: None,
        })
    }

    /// The connection.
    fn session(&mut self) -> Result<&mut Blocking, Error> {
        let session = match self.session.take() {
            Some(session) => session,
            None => self.place.connect()?,
        };
        Ok(self.session.insert(session))
    }
}

impl Target for Postgres {
    fn declared(&self, kind: ColumnType) -> &'static str {
        Form::new(kind).1
    }

    fn columns(&mut self) -> Result<Option<Vec<TableColumn>>, Error> {
        self.session()?;
        let Some(session) = &mut self.session else { return Ok(None) };
        Ok(self.place.find(session)?.as_ref().map(told))
    }

    fn begin(&mut self) -> Result<Box<dyn Load + '_>, Error> {
        self.session()?;
        // Taken: dropped with the load, it leaves no transaction open.
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.place.connect()?,
        };
        let begin = sql::begin(self.patience.as_millis());
        self.place.run(&mut session, "begin to write", &begin)?;
        Ok(Box::new(PostgresLoad {
            ready: None,
            place: self.place.clone(),
            looks: self.looks,
            session,
            found: None,
        }))
    }
}

impl Place {
    fn connect(&self) -> Result<Blocking, Error> {
        let unreachable = |wrong| Error::new(ErrorKind::Storage, format!("{wrong}"));
        let mut session = Blocking::open(&self.address).map_err(unreachable)?;
        let encoding = session
            .wait(async |client| client.query_typed("SHOW server_encoding", &[]).await)
            .map_err(|wrong| self.failed("read its encoding", &wrong))?;
        let encoding: &str = encoding.first().map_or("", |row| row.get(0));
        if !["UTF8", "SQL_ASCII"].contains(&encoding) {
            let message = format!(
                "{}: the database is encoded in {encoding}, which cannot hold every text; import into one in UTF8",
                self.address.shown
            );
            return Err(Error::new(ErrorKind::Storage, message));
        }
        Ok(session)
    }

    /// The table by its name as it is, or else by what follows the first dot, in the schema before it.
    fn find(&self, session: &mut Blocking) -> Result<Option<Found>, Error> {
        let (alone, in_schema) = names_of(&self.name);
        // A longer one would be found by its beginning.
        let alone = (self.name.len() <= LONGEST_NAME).then_some(alone);
        for name in [alone, in_schema].into_iter().flatten() {
            let found = session.wait(async |client| {
                let rows = client.query_typed(sql::FIND, &[(&name, Type::TEXT)]).await?;
                let columns = client.query_typed(sql::COLUMNS, &[(&name, Type::TEXT)]).await?;
                Ok((rows, columns))
            });
            let (rows, columns) = found.map_err(|wrong| self.failed("read its tables", &wrong))?;
            let Some(row) = rows.first() else { continue };
            let (kind, schema, table): (&str, &str, &str) = (row.get(0), row.get(1), row.get(2));
            if !["r", "p"].contains(&kind) {
                let message =
                    format!("{name} is not a table that can be written; name one (--table)");
                return Err(Error::new(ErrorKind::Invalid, message));
            }
            let table = format!("{}.{}", quoted(schema), quoted(table));
            let columns = columns.iter().map(known).collect::<Result<_, _>>()?;
            return Ok(Some(Found { table, columns, strict: row.get(3) }));
        }
        self.check_schema(session)?;
        Ok(None)
    }

    /// A table that is to be made needs the schema that its name tells.
    fn check_schema(&self, session: &mut Blocking) -> Result<(), Error> {
        let Some((schema, _)) = self.name.split_once('.') else { return Ok(()) };
        let there = session
            .wait(async |client| {
                let text = "SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1";
                client.query_typed(text, &[(&schema, Type::TEXT)]).await
            })
            .map_err(|wrong| self.failed("read its schemas", &wrong))?;
        if there.is_empty() {
            let message = format!("the database has no schema {schema:?}; make it first");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        Ok(())
    }

    fn run(&self, session: &mut Blocking, doing: &str, text: &str) -> Result<(), Error> {
        session
            .wait(async |client| client.batch_execute(text).await)
            .map_err(|wrong| self.failed(doing, &wrong))
    }

    /// What the server, or the connection, had against it.
    fn failed(&self, doing: &str, wrong: &tokio_postgres::Error) -> Error {
        let (name, shown) = (&self.name, &self.address.shown);
        let code = wrong.code().map_or("", SqlState::code);
        let held = [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED];
        if held.iter().any(|state| state.code() == code) {
            let message = format!(
                "the table {name:?} is in use by another program; nothing was imported. Try again when it is done"
            );
            return Error::new(ErrorKind::Held, message);
        }
        let failure = server_failed(wrong);
        if failure.kind() == SourceErrorKind::Lost {
            let message = format!("{shown}: nothing was imported");
            return Error::new(ErrorKind::Storage, message).because(failure);
        }
        let rule = wrong.code().is_some_and(is_a_rule);
        let kind = if rule { ErrorKind::Source } else { ErrorKind::Storage };
        Error::new(kind, format!("{shown}: cannot {doing}")).because(failure)
    }
}

/// Whether a rule of the table, or a value that a trigger does not take, stood against it.
fn is_a_rule(state: &SqlState) -> bool {
    matches!(state.code().get(..2), Some("22" | "23" | "P0"))
}

fn known(row: &tokio_postgres::Row) -> Result<Known, Error> {
    let (name, declared): (String, String) = (row.get(0), row.get(3));
    let form = Form::of(row.get(1), row.get(2)).ok_or_else(|| {
        let message = format!(
            "column {name:?} of the table is of type {declared}; an import writes {}",
            form::WRITABLE
        );
        Error::new(ErrorKind::Source, message)
    })?;
    Ok(Known { name, form, declared, required: row.get(4) })
}

fn told(found: &Found) -> Vec<TableColumn> {
    let column = |known: &Known| TableColumn {
        name: known.name.clone(),
        declared: known.declared.clone(),
        readable_as: Some(known.form.readable_as()),
    };
    found.columns.iter().map(column).collect()
}

struct PostgresLoad {
    ready: Option<Ready>,
    place: Place,
    looks: bool,
    session: Blocking,
    found: Option<Found>,
}

/// What rows are sent with.
struct Ready {
    /// The columns of the table in the order of the file.
    columns: Vec<Known>,
    key: Vec<usize>,
    /// Whether rows go into the staging table.
    staged: bool,
    sink: Pin<Box<CopyInSink<Bytes>>>,
    /// What was not sent yet.
    piece: String,
}

impl Load for PostgresLoad {
    fn columns(&mut self) -> Result<Option<Vec<TableColumn>>, Error> {
        if let Some(found) = self.place.find(&mut self.session)? {
            let lock = sql::lock(&found.table, self.looks);
            self.place.run(&mut self.session, "lock the table", &lock)?;
        }
        // What it was before the lock may have changed.
        self.found = self.place.find(&mut self.session)?;
        Ok(self.found.as_ref().map(told))
    }

    fn create(&mut self, columns: &[Column]) -> Result<(), Error> {
        if let Some(column) = columns.iter().find(|column| column.name.len() > LONGEST_NAME) {
            let message = format!(
                "column {:?}: PostgreSQL cuts names off after {LONGEST_NAME} bytes",
                column.name
            );
            return Err(Error::new(ErrorKind::Source, message));
        }
        let (alone, in_schema) = names_of(&self.place.name);
        let columns =
            columns.iter().map(|column| (column.name.clone(), Form::new(column.format.kind).1));
        let create = sql::create(&in_schema.unwrap_or(alone), columns);
        self.place.run(&mut self.session, "create the table", &create)?;
        self.found = self.place.find(&mut self.session)?;
        Ok(())
    }

    fn prepare(&mut self, columns: &[Column], key: &[usize]) -> Result<(), Error> {
        let Some(found) = &self.found else { return Err(unprepared()) };
        // Names that differ in case alone are the same to the import, and others to PostgreSQL.
        let columns: Vec<Known> = columns
            .iter()
            .filter_map(|column| {
                let exact = found.columns.iter().find(|known| known.name == column.name);
                exact.or_else(|| found.columns.iter().find(|it| same(&it.name, &column.name)))
            })
            .cloned()
            .collect();
        let names: Vec<String> = columns.iter().map(|known| known.name.clone()).collect();
        let (table, is_staged) = (found.table.clone(), found.strict || !key.is_empty());
        if !key.is_empty() {
            self.index(&pick(&names, key), true)?;
        }
        let copy = if is_staged {
            let staged = Staged { table: &table, columns: &names, key };
            self.place.run(&mut self.session, "make a temporary table", &staged.stage())?;
            staged.copy()
        } else {
            sql::copy_into(&table, &names)
        };
        let sink = self.session.wait(async |client| client.copy_in(&copy).await);
        let sink = sink.map_err(|wrong| self.place.failed("write to the table", &wrong))?;
        let key = key.to_vec();
        let piece = String::with_capacity(2 * PIECE);
        self.ready = Some(Ready { columns, key, staged: is_staged, sink: Box::pin(sink), piece });
        Ok(())
    }

    fn write(
        &mut self,
        row: FileRow<'_>,
        values: &[Value<'_>],
        outcomes: &mut Outcomes,
    ) -> Result<(), Error> {
        let ready = self.ready.as_mut().ok_or_else(unprepared)?;
        let before = ready.piece.len();
        let reasons = ready.push(row, values);
        if !reasons.is_empty() {
            ready.piece.truncate(before);
            return outcomes.refused(&reasons.join("; "), row);
        }
        if ready.piece.len() < PIECE {
            return Ok(());
        }
        self.send()
    }

    fn finish(&mut self, indexes: &[Vec<usize>], outcomes: &mut Outcomes) -> Result<(), Error> {
        self.send()?;
        let Some(mut ready) = self.ready.take() else { return Err(unprepared()) };
        let sent = self.session.wait(async |_| ready.sink.as_mut().finish().await);
        let sent = sent.map_err(|wrong| self.place.failed("write the rows", &wrong))?;
        let names: Vec<String> = ready.columns.into_iter().map(|known| known.name).collect();
        if ready.staged {
            let Some(Found { table, .. }) = &self.found else { return Err(unprepared()) };
            let staged = Staged { table, columns: &names, key: &ready.key };
            let (place, session) = (&self.place, &mut self.session);
            Move { place, session, staged: &staged }.run(sent, outcomes)?;
        } else {
            outcomes.written += sent;
        }
        indexes.iter().try_for_each(|columns| self.index(&pick(&names, columns), false))
    }

    fn commit(mut self: Box<Self>) -> Result<(), Error> {
        let ended = self.session.wait(async |client| client.batch_execute("COMMIT").await);
        ended.map_err(|wrong| {
            let failure = server_failed(&wrong);
            if failure.kind() != SourceErrorKind::Lost {
                return self.place.failed("commit the import", &wrong);
            }
            let message = format!(
                "{}: the import was being committed, and whether it was is not known. Look into the table {:?}, or \
                 import again with a key (--key)",
                self.place.address.shown, self.place.name
            );
            Error::new(ErrorKind::Storage, message).because(failure)
        })
    }
}

impl Ready {
    /// Adds a row to the piece, or tells what its columns do not take.
    fn push(&mut self, row: FileRow<'_>, values: &[Value<'_>]) -> Vec<String> {
        let Ready { columns, staged, piece, .. } = self;
        let mut reasons = Vec::new();
        if *staged {
            piece.push_str(&format!("{}\t", row.line));
            // What it cannot hold, a column does not take either.
            let _ = form::escape(&row.text(), piece);
        }
        for (at, (value, column)) in values.iter().zip(columns).enumerate() {
            if at > 0 || *staged {
                piece.push('\t');
            }
            let taken = if column.required && *value == Value::Null {
                Err("is empty, and the table wants a value there".to_owned())
            } else {
                column.form.put(value, piece)
            };
            if let Err(reason) = taken {
                let Known { name, declared, .. } = column;
                reasons.push(format!("column {name:?} ({declared}): {reason}"));
            }
        }
        piece.push('\n');
        reasons
    }
}

impl PostgresLoad {
    /// Waits until the connection takes the piece.
    fn send(&mut self) -> Result<(), Error> {
        let Some(Ready { sink, piece, .. }) = &mut self.ready else { return Err(unprepared()) };
        let piece = std::mem::replace(piece, String::with_capacity(2 * PIECE));
        if piece.is_empty() {
            return Ok(());
        }
        let sent = self.session.wait(async |_| sink.feed(Bytes::from(piece)).await);
        sent.map_err(|wrong| self.place.failed("write the rows", &wrong))
    }

    /// Makes an index unless there is one that serves: a unique one over the same columns, another that begins
    /// with them.
    fn index(&mut self, columns: &[String], unique: bool) -> Result<(), Error> {
        let Some(Found { table, .. }) = &self.found else { return Err(unprepared()) };
        let indexes = self
            .session
            .wait(async |client| client.query_typed(sql::INDEXES, &[(table, Type::TEXT)]).await)
            .map_err(|wrong| self.place.failed("read its indexes", &wrong))?;
        let sorted = |names: &[String]| {
            let mut names = names.to_vec();
            names.sort();
            names
        };
        let serves = indexes.iter().any(|row| {
            let (holds_keys, present): (bool, Vec<String>) = (row.get(0), row.get(1));
            if unique {
                holds_keys && sorted(&present) == sorted(columns)
            } else {
                present.starts_with(columns)
            }
        });
        if serves {
            return Ok(());
        }
        let (create, list) = (sql::index(table, columns, unique), columns.join(", "));
        let made = self.session.wait(async |client| client.batch_execute(&create).await);
        made.map_err(|wrong| {
            if wrong.code() == Some(&SqlState::UNIQUE_VIOLATION) {
                let message = format!(
                    "({list}) cannot be the key: the table {:?} holds rows that share their values there",
                    self.place.name
                );
                return Error::new(ErrorKind::Source, message);
            }
            self.place.failed(&format!("make the index on ({list})"), &wrong)
        })
    }
}

fn pick(names: &[String], positions: &[usize]) -> Vec<String> {
    positions.iter().map(|at| names[*at].clone()).collect()
}

/// For a load that is not met in its order.
fn unprepared() -> Error {
    Error::new(ErrorKind::Invalid, "no columns were prepared for the rows")
}
