//! Rows of keys as JSON.

use std::cell::Cell as Counter;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::try_join;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value};
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{Client, Row, Statement};

use super::super::failed;
use super::super::form::{Form, Kind};
use super::refuses;
use crate::cell::Cell;
use crate::rows::{Bound, Column, LoadPlan, RowsOfKey, Short};
use crate::{SourceError, SourceErrorKind};

/// Keys that are asked for before the answer to the first has come.
const AHEAD: usize = 32;

pub(super) fn columns(statement: &Statement) -> Vec<Column> {
    let columns = statement.columns().iter();
    columns.map(|c| Column { name: c.name().into(), declared: c.type_().to_string() }).collect()
}

/// How a type is read.
#[derive(Clone, Copy)]
enum Reads {
    As(Kind),
    Json,
    Jsonb,
    /// The time of a day.
    Clock,
}

fn reads(kind: &Type) -> Option<Reads> {
    Some(match *kind {
        Type::JSON => Reads::Json,
        Type::JSONB => Reads::Jsonb,
        Type::TIME => Reads::Clock,
        Type::NAME => Reads::As(Kind::Text),
        _ => Reads::As(Form::of(kind)?.kind),
    })
}

/// An error that names the columns whose types JSON has no form for here.
pub(super) fn readable(statement: &Statement) -> Result<(), String> {
    let unread = statement.columns().iter().filter(|column| reads(column.type_()).is_none());
    let unread: Vec<String> =
        unread.map(|column| format!("{} is of type {}", column.name(), column.type_())).collect();
    match unread.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "column {}, which is not read; cast it in the query, to text or by to_jsonb",
            unread.join(", ")
        )),
    }
}

/// The rows of each key, all as of one moment. A key whose rows cannot be read leaves the others alone.
pub(super) async fn read(
    client: &Client,
    plan: &LoadPlan,
    keys: &[Arc<str>],
    max_rows: usize,
) -> Result<Vec<RowsOfKey>, SourceError> {
    // Prepared here and not kept: its types are those of now.
    let prepared = try_join(
        client.batch_execute("SAVEPOINT samovar_read"),
        client.prepare(&plan.statement.text),
    );
    let ((), statement) = prepared.await.map_err(|e| failed(&e))?;
    let columns = columns(&statement);
    let reads: Option<Vec<Reads>> =
        statement.columns().iter().map(|column| reads(column.type_())).collect();
    let reads = reads.ok_or_else(|| {
        SourceError::new(SourceErrorKind::Schema, readable(&statement).err().unwrap_or_default())
    })?;
    let (statement, columns, reads) = (&statement, &columns, &reads);
    let left = &Counter::new(max_rows);
    let rows_of = |key: &Arc<str>| {
        let key = Arc::clone(key);
        async move {
            let Some(bound) = plan.bind(&key) else { return Ok(Vec::new()) };
            let found = client.query_raw::<_, Bound, _>(statement, bound).await;
            let mut found = pin!(found.map_err(|e| wrong(&key, &e))?);
            let mut taken = Taken { left, rows: Vec::new() };
            while let Some(row) = found.try_next().await.map_err(|e| wrong(&key, &e))? {
                if !taken.has_room() {
                    return Err(LoadPlan::too_many(&key, max_rows).into());
                }
                taken.push(object(&key, &row, columns, reads)?);
                plan.allows(&key, taken.rows.len())?;
            }
            Ok::<_, Wrong>(taken.keep())
        }
    };
    let mut all: Vec<RowsOfKey> = Vec::with_capacity(keys.len());
    while all.len() < keys.len() {
        let mut ahead = stream::iter(keys[all.len()..].iter().map(rows_of)).buffered(AHEAD);
        let spoilt = loop {
            match ahead.next().await {
                None => break false,
                Some(Ok(rows)) => all.push(Ok(rows)),
                Some(Err(Wrong { spoils, error })) if error.is_of_one_key() => {
                    all.push(Err(error));
                    if spoils {
                        break true;
                    }
                }
                Some(Err(Wrong { error, .. })) => return Err(error),
            }
        };
        drop(ahead);
        if spoilt {
            // It took along the keys that were under way behind it. What is seen stays as of the same moment.
            let back = client.batch_execute("ROLLBACK TO SAVEPOINT samovar_read").await;
            back.map_err(|e| failed(&e))?;
        }
    }
    Ok(all)
}

/// The rows of a key so far, out of those that one load may give: put back unless they are kept.
struct Taken<'a> {
    left: &'a Counter<usize>,
    rows: Vec<Value>,
}

impl Taken<'_> {
    fn has_room(&self) -> bool {
        self.left.get() > 0
    }

    fn push(&mut self, row: Value) {
        self.left.set(self.left.get().saturating_sub(1));
        self.rows.push(row);
    }

    fn keep(mut self) -> Vec<Value> {
        std::mem::take(&mut self.rows)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.left.set(self.left.get() + self.rows.len());
    }
}

/// Why the rows of a key cannot be read.
struct Wrong {
    error: SourceError,
    /// Whether the transaction must go back before it can be used again.
    spoils: bool,
}

impl From<SourceError> for Wrong {
    fn from(error: SourceError) -> Wrong {
        Wrong { error, spoils: false }
    }
}

/// What the server says of one key.
fn wrong(key: &str, e: &tokio_postgres::Error) -> Wrong {
    let place = format!("key {}", Short(key));
    let error = match e.as_db_error() {
        Some(said) if refuses(said.code()) => {
            let message = format!("{place}: the query fails on its rows");
            SourceError::new(SourceErrorKind::Value, message).because(said.clone())
        }
        Some(_) => failed(e).at(&place),
        None => failed(e),
    };
    Wrong { error, spoils: true }
}

/// The bytes of a value, whatever its type.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(
        _: &Type,
        raw: &'a [u8],
    ) -> Result<Raw<'a>, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Raw(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn object(key: &str, row: &Row, columns: &[Column], reads: &[Reads]) -> Result<Value, SourceError> {
    let mut object = Map::new();
    for (at, (column, reads)) in columns.iter().zip(reads).enumerate() {
        let raw: Option<Raw<'_>> = row.try_get(at).map_err(|e| failed(&e))?;
        let value = match raw {
            None => Ok(Value::Null),
            Some(Raw(bytes)) => json(bytes, *reads),
        };
        let value = value.map_err(|what| column.unreadable(key, &what))?;
        object.insert(column.name.clone(), value);
    }
    Ok(Value::Object(object))
}

/// A value as JSON; `Err` says what it is.
fn json(bytes: &[u8], reads: Reads) -> Result<Value, String> {
    let unknown = || format!("{} bytes that cannot be read", bytes.len());
    let cell = match reads {
        Reads::Json => {
            return Column::document(bytes);
        }
        Reads::Jsonb => {
            // The first byte is the version of the form.
            let text = bytes.strip_prefix(&[1]).ok_or_else(unknown)?;
            return Column::document(text);
        }
        Reads::Clock => {
            let micros = bytes.try_into().map(i64::from_be_bytes).map_err(|_| unknown())?;
            let text = Column::json(&Cell::Time(micros));
            let time = text.as_ref().and_then(Value::as_str).and_then(|text| text.split_once('T'));
            return time.map(|(_, time)| time.into()).ok_or_else(unknown);
        }
        Reads::As(kind) => kind.cell(bytes).ok_or_else(unknown)?,
    };
    Column::json(&cell).ok_or_else(|| cell.words())
}
