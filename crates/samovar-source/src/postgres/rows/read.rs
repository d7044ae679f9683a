//! Rows of keys as JSON.

use std::cell::Cell as Counter;
use std::pin::pin;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value};
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{Client, Row, Statement};

use super::super::failed;
use super::super::form::{Form, Kind};
use crate::cell::Cell;
use crate::rows::{Bound, Column, LoadPlan};
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

/// The rows of each key, all as of one moment.
pub(super) async fn read(
    client: &Client,
    plan: &LoadPlan,
    keys: &[Arc<str>],
    max_rows: usize,
) -> Result<Vec<Vec<Value>>, SourceError> {
    // Prepared here and not kept: its types are those of now.
    let statement = client.prepare(&plan.statement.text).await.map_err(|e| failed(&e))?;
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
            let mut rows = Vec::new();
            while let Some(row) = found.try_next().await.map_err(|e| wrong(&key, &e))? {
                let rest = left.get().checked_sub(1);
                left.set(rest.ok_or_else(|| LoadPlan::too_many(&key, max_rows))?);
                rows.push(object(&key, &row, columns, reads)?);
                plan.allows(&key, rows.len())?;
            }
            Ok(rows)
        }
    };
    stream::iter(keys.iter().map(rows_of)).buffered(AHEAD).try_collect().await
}

/// What the server says of one key.
fn wrong(key: &str, e: &tokio_postgres::Error) -> SourceError {
    match e.as_db_error() {
        Some(_) => failed(e).at(&format!("key {key:.80?}")),
        None => failed(e),
    }
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
            return serde_json::from_slice(bytes).map_err(|e| format!("JSON that is {e}"));
        }
        Reads::Jsonb => {
            // The first byte is the version of the form.
            let text = bytes.strip_prefix(&[1]).ok_or_else(unknown)?;
            return serde_json::from_slice(text).map_err(|e| format!("JSON that is {e}"));
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
