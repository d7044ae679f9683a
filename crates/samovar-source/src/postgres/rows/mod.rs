//! Rows by key in PostgreSQL.

mod bind;
mod read;
mod write;

use std::sync::Arc;
use std::time::Duration;

use samovar_core::{BoxFuture, Clock, WriteError};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{self, Type};

use super::connection::Connection;
use super::form::{Form, Kind};
use super::options::{Address, PostgresOptions};
use super::watch::{CancelOnDrop, Watch};
use super::{LOOKING, failed};
use crate::SourceError;
use crate::background::Pool;
use crate::rows::{
    Backend, Column, LoadPlan, Put, RowOptions, RowsOfKey, Statement, WritePlan, kept_anyhow,
    kept_by, kept_by_numeric, numbered, spelt_anyhow,
};
use write::Writing;

/// A PostgreSQL server whose rows are read and written by key.
pub(crate) struct PostgresRows {
    readers: Pool<Connection>,
    writers: Pool<Writing>,
    options: RowOptions,
    clock: Arc<dyn Clock>,
}

impl PostgresRows {
    pub(crate) fn to(
        server: &PostgresOptions,
        options: RowOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<PostgresRows, SourceError> {
        let address = Arc::new(Address::of(server)?);
        let many = options.connections.max(1);
        let reading = (0..many).map(|_| Connection::to(Arc::clone(&address))).collect();
        let deadline = options.write_deadline;
        let writing = (0..many).map(|_| Writing::to(Arc::clone(&address), deadline)).collect();
        let readers = Pool::start(reading, &clock)?;
        let writers = Pool::start(writing, &clock)?;
        Ok(PostgresRows { readers, writers, options, clock })
    }

    fn watch(&self, timeout: Duration) -> (Watch, CancelOnDrop) {
        Watch::new(Arc::clone(&self.clock), timeout)
    }
}

impl Backend for PostgresRows {
    fn check_load(&self, mut plan: LoadPlan) -> Result<LoadPlan, SourceError> {
        let ((watch, _cancel), max_rows) = (self.watch(LOOKING), self.options.max_rows);
        self.readers.wait(move |connection| {
            connection.run(&watch, async |transaction| {
                let rows = plan.looks_at(max_rows);
                let made = number(&mut plan.statement, &plan.key)?;
                let statement = &mut plan.statement;
                let looked = look(transaction.client, statement, &made).await?;
                let columns = read::columns(&looked);
                Column::distinct(&columns).map_err(|what| statement.wrong(what))?;
                read::readable(&looked).map_err(|what| statement.wrong(what))?;
                // All that a query gives is sent and read to its end. Nothing that writes may stand inside.
                let bounded = format!("SELECT * FROM ({made}\n) AS q LIMIT {rows}");
                if let Err(e) = transaction.client.prepare(&bounded).await {
                    return Err(statement
                        .wrong("it must be a SELECT that writes nothing")
                        .because(e));
                }
                take_types(statement, looked.params(), bounded);
                Ok(plan)
            })
        })
    }

    fn check_write(&self, mut plan: WritePlan) -> Result<WritePlan, SourceError> {
        let (watch, _cancel) = self.watch(LOOKING);
        let plan = self.readers.wait(move |connection| {
            for statement in std::iter::once(&mut plan.upsert).chain(&mut plan.delete) {
                connection.run(&watch, async |transaction| {
                    let made = number(statement, &plan.key)?;
                    let looked = look(transaction.client, statement, &made).await?;
                    let inside = format!("SELECT FROM ({made}\n) AS q");
                    // What writes cannot stand there. This spoils the transaction, which ends here.
                    if transaction.client.prepare(&inside).await.is_ok() {
                        return Err(statement.wrong("it reads, and must write"));
                    }
                    take_types(statement, looked.params(), made);
                    Ok(())
                })?;
            }
            Ok(plan)
        })?;
        if !plan.remember {
            return Ok(plan);
        }
        self.writers.wait(move |writing| {
            let made = writing.make_memory();
            made.map_err(|e| plan.cannot_remember(write::MEMORY).because(e))?;
            Ok(plan)
        })
    }

    fn load(
        &self,
        plan: Arc<LoadPlan>,
        keys: Vec<Arc<str>>,
    ) -> BoxFuture<'static, Result<Vec<RowsOfKey>, SourceError>> {
        let ((watch, cancel), max_rows) = (self.watch(self.options.timeout), self.options.max_rows);
        self.readers.ask_until_dropped(cancel, move |connection| {
            connection.run(&watch, async |transaction| {
                read::read(transaction.client, &plan, &keys, max_rows).await
            })
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
        Box::pin(self.writers.ask(move |writing| {
            let spent = || clock.elapsed().saturating_sub(begun).saturating_add(waited);
            Ok(writing.write(&plan, &puts, &spent))
        }))
    }

    fn reach(&self) -> Result<(), SourceError> {
        let (watch, _cancel) = self.watch(LOOKING);
        self.readers.wait(move |connection| connection.run(&watch, async |_| Ok(())))
    }

    fn script(&self, text: &str) -> Result<(), SourceError> {
        let text = text.to_owned();
        self.writers.wait(move |writing| writing.script(&text))
    }
}

/// Numbers a statement's parameters, and takes in what they are.
fn number(statement: &mut Statement, key: &crate::rows::KeyPattern) -> Result<String, SourceError> {
    let made = numbered(&statement.text).map_err(|what| statement.wrong(what))?;
    statement.name(made.names.iter().map(String::as_str), key)?;
    Ok(made.text)
}

/// What the server says of a statement.
async fn look(
    client: &Client,
    statement: &Statement,
    made: &str,
) -> Result<tokio_postgres::Statement, SourceError> {
    client.prepare(made).await.map_err(|e| match e.as_db_error() {
        Some(said) => statement.wrong("PostgreSQL cannot read it").because(said.clone()),
        None => failed(&e),
    })
}

/// Whether the server would not have a value, or cannot make one, whatever the hour: values out of place, rules of the
/// table, what a trigger or a function raises, what is too large.
fn refuses(code: &SqlState) -> bool {
    code.code()
        .get(..2)
        .is_some_and(|class| ["21", "22", "23", "27", "44", "54", "P0"].contains(&class))
}

/// What a type holds: a domain holds what the type it is made of does.
fn base(mut kind: &Type) -> &Type {
    while let types::Kind::Domain(of) = kind.kind() {
        kind = of;
    }
    kind
}

/// Takes in the types of the parameters, which say how keys are spelt, which numbers are kept and what is JSON.
fn take_types(statement: &mut Statement, kinds: &[Type], made: String) {
    for (parameter, kind) in statement.parameters.iter_mut().zip(kinds.iter().map(base)) {
        parameter.is_json = matches!(*kind, Type::JSON | Type::JSONB);
        parameter.keeps = match *kind {
            Type::FLOAT4 => kept_by::<f32>,
            Type::FLOAT8 => kept_by::<f64>,
            Type::NUMERIC => kept_by_numeric,
            _ => kept_anyhow,
        };
        parameter.spells = match Form::of(kind).map(|form| form.kind) {
            Some(Kind::Bool) => |key| Kind::Bool.spells(key),
            Some(Kind::Int2) => |key| Kind::Int2.spells(key),
            Some(Kind::Int4) => |key| Kind::Int4.spells(key),
            Some(Kind::Int8) => |key| Kind::Int8.spells(key),
            Some(Kind::Float4) => |key| Kind::Float4.spells(key),
            Some(Kind::Float8) => |key| Kind::Float8.spells(key),
            Some(Kind::Numeric) => |key| Kind::Numeric.spells(key),
            Some(Kind::Text | Kind::Enum) => |key| Kind::Text.spells(key),
            Some(Kind::Padded) => |key| Kind::Padded.spells(key),
            Some(Kind::Uuid) => |key| Kind::Uuid.spells(key),
            Some(Kind::Date) => {
                |key| key.parse::<jiff::civil::Date>().is_ok_and(|day| day.to_string() == key)
            }
            Some(Kind::Timestamp | Kind::Timestamptz) | None => spelt_anyhow,
        };
    }
    statement.text = made;
}
