//! Both databases keep the contract of rows by key, and what is their own.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod postgres;
mod sqlite;

use std::sync::Arc;

use futures_executor::block_on;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, TestCaseError, any, prop_assert_eq};
use proptest::strategy::Strategy;
use proptest::test_runner::TestRunner;
use samovar_core::{Fate, Write, WriteId, Writer};
use samovar_source::SourceErrorKind;
use samovar_source::rows::{
    LoadSql, RowDatabase, RowOptions, Rows, SqlLoader, SqlWriter, WriteSql,
};
use samovar_testkit::rows::Place;
use serde_json::{Value, json};

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

/// A key with too many rows costs no more than those that it may have, and one: these have no end.
fn no_more_rows_are_read_than_a_key_may_have(place: &impl Place) {
    place.run("CREATE TABLE things (k TEXT, first BIGINT);");
    place.run("INSERT INTO things VALUES ('endless', 1), ('two', -1), ('one', 0);");
    let database = place.open(RowOptions { max_rows: 10, ..RowOptions::default() });
    let sql = "WITH RECURSIVE numbers(n) AS (
            SELECT first FROM things WHERE k = :key UNION ALL SELECT n + 1 FROM numbers WHERE n <> 0)
        SELECT n FROM numbers";
    for (rows, other, expected, what) in [
        (Rows::Many, "two", json!([{"n": -1}, {"n": 0}]), "more than 10 rows"),
        (Rows::One, "one", json!({"n": 0}), "\"endless\" has more than one row"),
    ] {
        let numbers = database.loader("things", &LoadSql::new(sql, rows)).unwrap();
        let mut found = block_on(numbers.load(&["endless".into(), other.into()])).unwrap();
        assert_eq!(found.pop().unwrap().unwrap(), Some(expected));
        let wrong = found.pop().unwrap().unwrap_err();
        assert_eq!(wrong.kind(), SourceErrorKind::TooManyRows, "{wrong}");
        assert!(wrong.to_string().contains(what), "{wrong}");
    }
}

/// However a query ends, its rows come in its own order.
fn rows_keep_their_order_however_a_query_ends(place: &impl Place) {
    place.run("CREATE TABLE things (k TEXT, n BIGINT);");
    let values: Vec<String> = (0..50).map(|n| format!("('a', {})", n * 7 % 50)).collect();
    place.run(&format!("INSERT INTO things VALUES {};", values.join(", ")));
    let database = place.open(RowOptions::default());
    let expected: Vec<Value> = (0..50).rev().map(|n| json!({ "n": n })).collect();
    for end in
        ["", ";", " ; ", " -- greatest first", "; -- greatest first", " /* x */;", " LIMIT 50"]
    {
        for sql in [
            format!("SELECT n FROM things WHERE k = :key ORDER BY n DESC{end}"),
            format!(
                "WITH t AS (SELECT * FROM things WHERE k = :key) SELECT n FROM t ORDER BY n DESC{end}"
            ),
        ] {
            let all = database.loader("things", &LoadSql::new(&sql, Rows::Many)).expect(&sql);
            assert_eq!(one(&all, "a"), Some(json!(expected)), "{sql}");
        }
    }
}

/// Whatever is written under whatever key is read again, and nothing else.
fn anything_comes_back(place: &impl Place) {
    place.run("CREATE TABLE things (k TEXT PRIMARY KEY, v TEXT, n BIGINT, r DOUBLE PRECISION, b BOOLEAN);");
    let database = place.open(RowOptions::default());
    let read = loader(&database, "SELECT k, v, n, r, b FROM things WHERE k = :key");
    let sql = "INSERT INTO things (k, v, n, r, b) VALUES (:key, :v, :n, :r, :b)
        ON CONFLICT (k) DO UPDATE SET v = excluded.v, n = excluded.n, r = excluded.r, b = excluded.b";
    let write = database.writer("things", &WriteSql::new(sql)).unwrap();
    // No database has a zero in a text.
    let text = || any::<String>().prop_map(|text| text.replace('\0', ""));
    let real = any::<f64>().prop_filter("JSON has finite numbers", |real| real.is_finite());
    let row = (text(), text(), any::<i64>(), real, any::<bool>());
    let number = std::cell::Cell::new(0);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(40));
    let outcome = runner.run(&vec(row, 1..12), |rows| {
        let mut last = std::collections::BTreeMap::new();
        let mut writes = Vec::new();
        for (key, v, n, r, b) in rows {
            // Zero has no sign in a database.
            let value = json!({"k": key, "v": v, "n": n, "r": r + 0.0, "b": b});
            number.set(number.get() + 1);
            writes.push(put(number.get(), &key, value.clone()));
            last.insert(Arc::<str>::from(key), value);
        }
        let outcomes = block_on(write.write(&writes));
        prop_assert_eq!(
            outcomes.iter().find_map(|outcome| outcome.as_ref().err()).map(ToString::to_string),
            None
        );
        let keys: Vec<Arc<str>> = last.keys().cloned().collect();
        let found = block_on(read.load(&keys)).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let found = found.into_iter().collect::<Result<Vec<_>, _>>();
        let found = found.map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(found, last.into_values().map(Some).collect::<Vec<_>>());
        Ok(())
    });
    outcome.unwrap();
}
