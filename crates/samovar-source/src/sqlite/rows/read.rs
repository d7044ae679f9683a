//! Rows of keys as JSON.

use std::cell::OnceCell;
use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, Row, Statement, params_from_iter};
use serde_json::{Map, Value};

use super::super::value::cell;
use super::failed;
use crate::cell::Cell;
use crate::rows::{Column, LoadPlan, RowsOfKey, Short};
use crate::{SourceError, SourceErrorKind};

pub(super) fn columns(statement: &Statement<'_>) -> Vec<Column> {
    let column = |column: rusqlite::Column<'_>| Column {
        name: column.name().into(),
        declared: column.decl_type().unwrap_or("").into(),
    };
    statement.columns().map(column).collect()
}

/// The rows of each key, all as of one moment. A key whose rows cannot be read leaves the others alone.
pub(super) fn read(
    connection: &Connection,
    plan: &LoadPlan,
    keys: &[Arc<str>],
    max_rows: usize,
) -> Result<Vec<RowsOfKey>, SourceError> {
    let transaction = connection.unchecked_transaction().map_err(failed)?;
    let mut statement = transaction.prepare_cached(&plan.statement.text).map_err(failed)?;
    // Known with the first row: another schema than it was prepared for is noticed by then.
    let named = OnceCell::new();
    let mut left = max_rows;
    let mut rows_of = |key: &str| -> Result<Vec<Value>, SourceError> {
        let Some(bound) = plan.bind(key) else { return Ok(Vec::new()) };
        let mut found = statement.query(params_from_iter(bound)).map_err(failed)?;
        let mut rows = Vec::new();
        while let Some(row) = found.next().map_err(|e| wrong(&transaction, plan, key, e))? {
            let columns = named.get_or_init(|| columns(row.as_ref()));
            if rows.len() == left {
                return Err(LoadPlan::too_many(key, max_rows));
            }
            rows.push(object(key, row, columns)?);
            plan.allows(key, rows.len())?;
        }
        left -= rows.len();
        Ok(rows)
    };
    let own = |rows: RowsOfKey| match rows {
        Err(wrong) if !wrong.is_of_one_key() => Err(wrong),
        rows => Ok(rows),
    };
    keys.iter().map(|key| own(rows_of(key))).collect()
}

/// What SQLite says of one key's rows. What it has no word of its own for is the fault of those rows, such as text that
/// is no JSON or a sum too great; unless the statement can be prepared no more: a table that it reads has gone.
fn wrong(connection: &Connection, plan: &LoadPlan, key: &str, e: rusqlite::Error) -> SourceError {
    match e.sqlite_error_code() {
        Some(ErrorCode::Unknown | ErrorCode::TypeMismatch | ErrorCode::TooBig) => {
            if let Err(e) = connection.prepare(&plan.statement.text) {
                return failed(e);
            }
            let message = format!("key {}: the query fails on its rows", Short(key));
            SourceError::new(SourceErrorKind::Value, message).because(e)
        }
        _ => failed(e),
    }
}

fn object(key: &str, row: &Row<'_>, columns: &[Column]) -> Result<Value, SourceError> {
    let mut object = Map::new();
    for (at, column) in columns.iter().enumerate() {
        let found = row.get_ref(at).map_err(failed)?;
        let value = json(found, column).map_err(|what| column.unreadable(key, &what))?;
        object.insert(column.name.clone(), value);
    }
    Ok(Value::Object(object))
}

/// SQLite has fewer types than its declarations name: those of columns that are read as they stand say what is meant.
/// `Err` says what it is.
fn json(found: ValueRef<'_>, column: &Column) -> Result<Value, String> {
    let is = |word: &str| column.declared.eq_ignore_ascii_case(word);
    let told = match found {
        ValueRef::Integer(number) if is("boolean") || is("bool") => match number {
            0 | 1 => Column::json(&Cell::Bool(number == 1)),
            _ => None,
        },
        ValueRef::Text(bytes) if is("json") => return Column::document(bytes),
        found => Column::json(&cell(found)),
    };
    told.ok_or_else(|| cell(found).words())
}
