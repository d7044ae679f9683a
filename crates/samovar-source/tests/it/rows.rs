//! Both databases keep the contract of rows by key, and what is their own.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod postgres;
mod sqlite;

use std::sync::Arc;

use futures_executor::block_on;
use samovar_core::{Fate, Write, WriteId, Writer};
use samovar_source::rows::{LoadSql, RowDatabase, Rows, SqlLoader, SqlWriter};
use serde_json::Value;

fn loader(database: &RowDatabase, sql: &str) -> SqlLoader {
    database.loader("things", &LoadSql::new(sql, Rows::One)).unwrap()
}

fn one(loader: &SqlLoader, key: &str) -> Option<Value> {
    block_on(loader.load_one(key)).unwrap()
}

fn put(number: u64, key: &str, value: Value) -> Write<Value> {
    Write { id: WriteId { node: 1, number }, key: key.into(), value: Some(Arc::new(value)) }
}

/// What became of one write, and what was said.
fn fate(writer: &SqlWriter, write: Write<Value>) -> Option<(Fate, String)> {
    let outcome = block_on(writer.write(&[write])).pop().unwrap();
    outcome.err().map(|wrong| (wrong.fate, wrong.to_string()))
}
