//! Rows of keys as JSON.

use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, Statement, params_from_iter};
use serde_json::{Map, Value};

use super::super::value::cell;
use super::failed;
use crate::SourceError;
use crate::cell::Cell;
use crate::rows::{Column, LoadPlan};

pub(super) fn columns(statement: &Statement<'_>) -> Vec<Column> {
    let column = |column: rusqlite::Column<'_>| Column {
        name: column.name().into(),
        declared: column.decl_type().unwrap_or("").into(),
    };
    statement.columns().map(column).collect()
}

/// The rows of each key, all as of one moment.
pub(super) fn read(
    connection: &Connection,
    plan: &LoadPlan,
    keys: &[Arc<str>],
    max_rows: usize,
) -> Result<Vec<Vec<Value>>, SourceError> {
    let transaction = connection.unchecked_transaction().map_err(failed)?;
    let mut statement = transaction.prepare_cached(&plan.statement.text).map_err(failed)?;
    let columns = columns(&statement);
    let mut left = max_rows;
    let mut rows_of = |key: &str| -> Result<Vec<Value>, SourceError> {
        let Some(bound) = plan.bind(key) else { return Ok(Vec::new()) };
        let mut found = statement.query(params_from_iter(bound)).map_err(failed)?;
        let mut rows = Vec::new();
        while let Some(row) = found.next().map_err(failed)? {
            left = left.checked_sub(1).ok_or_else(|| LoadPlan::too_many(key, max_rows))?;
            rows.push(object(key, row, &columns)?);
            plan.allows(key, rows.len())?;
        }
        Ok(rows)
    };
    keys.iter().map(|key| rows_of(key)).collect()
}

fn object(key: &str, row: &Row<'_>, columns: &[Column]) -> Result<Value, SourceError> {
    let mut object = Map::new();
    for (at, column) in columns.iter().enumerate() {
        let found = row.get_ref(at).map_err(failed)?;
        let value =
            json(found, column).ok_or_else(|| column.unreadable(key, &cell(found).words()))?;
        object.insert(column.name.clone(), value);
    }
    Ok(Value::Object(object))
}

/// SQLite has fewer types than its declarations name: those of columns that are read as they stand say what is meant.
fn json(found: ValueRef<'_>, column: &Column) -> Option<Value> {
    let is = |word: &str| column.declared.eq_ignore_ascii_case(word);
    match found {
        ValueRef::Integer(number) if is("boolean") || is("bool") => match number {
            0 | 1 => Column::json(&Cell::Bool(number == 1)),
            _ => None,
        },
        ValueRef::Text(bytes) if is("json") => serde_json::from_slice(bytes).ok(),
        found => Column::json(&cell(found)),
    }
}
