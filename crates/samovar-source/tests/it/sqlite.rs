//! SQLite keeps the contract of a source, and what is its own.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod equals_sql;
mod replaced;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_executor::block_on;
use rusqlite::{Connection, params_from_iter, types::Value};
use samovar_core::{BoxFuture, Day};
use samovar_source::{
    Ask, Batches, Dataset, DateKind, Days, Description, Inventory, Limits, Source, SourceError,
    SourceErrorKind, SqliteSource, Which,
};
use samovar_testkit::source::{Cell, Fixture, Type, read_all, suite};
use tempfile::TempDir;

use crate::orders::{a_join_is_sought, dataset, one, rows_of};

/// A source on a database of its own.
struct Temporary {
    source: SqliteSource,
    _directory: TempDir,
}

impl Source for Temporary {
    fn describe(&self) -> BoxFuture<'_, Result<Description, SourceError>> {
        self.source.describe()
    }

    fn busy(&self) -> std::time::Duration {
        self.source.busy()
    }

    fn change_number(&self) -> BoxFuture<'_, Result<Option<u64>, SourceError>> {
        self.source.change_number()
    }

    fn stores(&self) -> BoxFuture<'_, Result<Inventory, SourceError>> {
        self.source.stores()
    }

    fn read(&self, ask: Ask) -> Batches {
        self.source.read(ask)
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A new database with the tables that a script makes.
fn database(script: &str) -> (TempDir, PathBuf, Connection) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("shop.sqlite");
    let db = Connection::open(&path).unwrap();
    db.execute_batch("PRAGMA synchronous = OFF").unwrap();
    db.execute_batch(script).unwrap();
    (directory, path, db)
}

fn make(fixture: &Fixture) -> Temporary {
    let table = quoted(&fixture.dataset.query);
    let columns: Vec<String> = fixture
        .columns
        .iter()
        .map(|(name, kind)| {
            let kind = match kind {
                Type::Integer => "INTEGER",
                Type::Real => "REAL",
                Type::Text => "TEXT",
            };
            format!("{} {kind}", quoted(name))
        })
        .collect();
    let mut script = format!("CREATE TABLE {table} ({});", columns.join(", "));
    if fixture.indexed {
        let (store, date) = (quoted(&fixture.dataset.store_id), quoted(&fixture.dataset.date));
        script += &format!("CREATE INDEX by_store_and_date ON {table} ({store}, {date});");
    }
    let (directory, path, mut db) = database(&script);
    let transaction = db.transaction().unwrap();
    let marks = vec!["?"; columns.len()].join(", ");
    let text = format!("INSERT INTO {table} VALUES ({marks})");
    for row in &fixture.rows {
        let values = row.iter().map(|cell| match cell {
            Cell::Null => Value::Null,
            Cell::Integer(number) => Value::Integer(*number),
            Cell::Real(number) => Value::Real(*number),
            Cell::Text(text) => Value::Text(text.clone()),
        });
        transaction.prepare_cached(&text).unwrap().execute(params_from_iter(values)).unwrap();
    }
    transaction.commit().unwrap();
    let source = SqliteSource::open(&path, fixture.dataset.clone(), fixture.limits).unwrap();
    Temporary { source, _directory: directory }
}

#[test]
fn sqlite_keeps_the_contract() {
    suite(make);
}

fn open(path: &Path, query: &str) -> SqliteSource {
    SqliteSource::open(path, dataset(query), Limits::default()).unwrap()
}

fn ids(source: &SqliteSource) -> Vec<Arc<str>> {
    let mut ids: Vec<_> =
        block_on(source.stores()).unwrap().stores.into_iter().map(|store| store.id).collect();
    ids.sort();
    ids
}

const ORDERS: &str = "
    CREATE TABLE orders (store INTEGER, day TEXT, amount REAL);
    CREATE INDEX by_store_and_day ON orders (store, day);
    INSERT INTO orders VALUES (7, '2026-02-03', 1), (7, '2026-02-04', 2), (8, '2026-02-03', 3);";

fn refusal(path: &Path, dataset: Dataset) -> (SourceErrorKind, String) {
    let wrong = SqliteSource::open(path, dataset, Limits::default()).map(|_| ()).unwrap_err();
    (wrong.kind(), wrong.to_string())
}

#[test]
fn what_is_not_there_is_named() {
    let (directory, path, _db) = database(ORDERS);
    let nowhere = directory.path().join("nowhere.sqlite");
    let (kind, text) = refusal(&nowhere, dataset("orders"));
    assert_eq!(kind, SourceErrorKind::Unreachable);
    assert!(text.contains("nowhere.sqlite"), "{text}");
    assert!(!nowhere.exists(), "looking does not make it");

    let letter = directory.path().join("letter");
    std::fs::write(&letter, "Dear reader, this is no database, however long it may be.".repeat(20))
        .unwrap();
    let (kind, text) = refusal(&letter, dataset("orders"));
    assert_eq!(kind, SourceErrorKind::Unreachable);
    assert!(text.contains("letter") && text.contains("not a database"), "{text}");

    for query in ["order", "SELECT * FROM order", "SELECT store FROM"] {
        let (kind, text) = refusal(&path, dataset(query));
        assert_eq!(kind, SourceErrorKind::Schema, "{text}");
        assert!(text.contains(query) && text.contains("orders"), "{text}");
    }
    let wrong =
        Dataset { store_id: "shop".into(), product: Some("thing".into()), ..dataset("orders") };
    let (kind, text) = refusal(&path, wrong);
    assert_eq!(kind, SourceErrorKind::Schema);
    for word in ["shop", "thing", "store, day, amount"] {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn a_table_that_goes_away_is_told() {
    let (_directory, path, db) = database(ORDERS);
    let source = open(&path, "orders");
    db.execute_batch("DROP TABLE orders").unwrap();
    let wrong = block_on(source.stores()).unwrap_err();
    assert!(wrong.to_string().contains("no such table: orders"), "{wrong}");
}

#[test]
fn a_store_is_sought_through_joins_and_subqueries() {
    let (_directory, path, db) = database(ORDERS);
    db.execute_batch(
        "CREATE TABLE stores (id INTEGER PRIMARY KEY, name TEXT);
         INSERT INTO stores VALUES (7, 'Seven');
         CREATE TABLE unindexed (store INTEGER, name TEXT);",
    )
    .unwrap();
    a_join_is_sought(|dataset| SqliteSource::open(&path, dataset, Limits::default()).unwrap());

    for (query, seeks) in [
        ("SELECT * FROM (SELECT * FROM orders)", true),
        ("SELECT * FROM orders NOT INDEXED", false),
        ("SELECT store + 0 AS store, day, amount FROM orders", false),
        ("SELECT o.* FROM orders o LEFT JOIN unindexed u ON u.store = o.store", false),
    ] {
        let source = open(&path, query);
        assert_eq!(block_on(source.describe()).unwrap().seeks, seeks, "{query}");
        assert_eq!(rows_of(&source, "7").len(), 2, "{query}");
        assert_eq!(rows_of(&source, "9").len(), 0, "{query}");
    }
    // An index on the day alone finds no store.
    db.execute_batch("DROP INDEX by_store_and_day; CREATE INDEX by_day ON orders (day)").unwrap();
    assert!(!block_on(open(&path, "orders").describe()).unwrap().seeks);
    db.execute_batch("CREATE INDEX by_store ON orders (store)").unwrap();
    assert!(block_on(open(&path, "orders").describe()).unwrap().seeks);
}

#[test]
fn an_id_is_found_whatever_its_type() {
    let (_directory, path, _db) = database(
        "CREATE TABLE orders (id, day TEXT, amount REAL);
         INSERT INTO orders VALUES (7, '2026-02-03', 1), ('A7', '2026-02-03', 2), (1.5, '2026-02-03', 3),
             ('007', '2026-02-03', 4), (-0.0, '2026-02-03', 5);",
    );
    for query in [
        "SELECT id AS store, day, amount FROM orders",
        "SELECT CAST(id AS TEXT) AS store, day, amount FROM orders",
        "SELECT '' || id AS store, day, amount FROM orders",
    ] {
        for listed in [true, false] {
            let source = open(&path, query);
            let all = open(&path, query);
            for id in ids(if listed { &source } else { &all }) {
                assert_eq!(rows_of(&source, &id).len(), 1, "{id} of {query}");
            }
            assert_eq!(rows_of(&source, "07").len(), 0, "{query}");
        }
    }
}

/// Ids that a collation holds for equal are two, whoever is asked: one store or all.
#[test]
fn ids_are_told_apart_by_their_bytes() {
    for (collation, index, seeks) in [
        ("NOCASE", "(store, day)", true),
        ("NOCASE", "(store COLLATE BINARY, day)", true),
        ("BINARY", "(store COLLATE NOCASE, day)", false),
        ("RTRIM", "(store, day)", true),
        ("NOCASE", "(day)", false),
    ] {
        let (_directory, path, _db) = database(&format!(
            "CREATE TABLE orders (store TEXT COLLATE {collation}, day TEXT, amount REAL, name TEXT);
             CREATE INDEX by_store_and_day ON orders {index};
             INSERT INTO orders VALUES ('a', '2026-02-03', 1, 'small'), ('A', '2026-02-04', 2, 'great'),
                 ('a', '2026-02-05', 3, NULL), ('A ', '2026-02-03', 4, 'wide'), ('a', '2026-02-04', 5, NULL);"
        ));
        let named = Dataset { store_name: Some("name".into()), ..dataset("orders") };
        let source = SqliteSource::open(&path, named, Limits::default()).unwrap();
        let told = format!("{collation}, {index}");
        assert_eq!(block_on(source.describe()).unwrap().seeks, seeks, "{told}");
        let mut stores = block_on(source.stores()).unwrap().stores;
        stores.sort_by(|a, b| a.id.cmp(&b.id));
        let found: Vec<_> =
            stores.iter().map(|store| (&*store.id, store.name.as_deref(), store.lines)).collect();
        let expected = [("A", Some("great"), 1), ("A ", Some("wide"), 1), ("a", Some("small"), 3)];
        assert_eq!(found, expected, "{told}");
        let all = Ask { stores: Which::All, days: Days::Range(None, None) };
        let all = read_all(source.read(all)).unwrap();
        assert!(all.is_sorted_by_key(|row| (row.store.clone(), row.day)), "{told}: {all:?}");
        // Whether it was in the list of stores or is looked up.
        for source in [&source, &open(&path, "orders")] {
            for (id, ..) in expected {
                let one = rows_of(source, id).into_iter().map(|row| (row.day, row.values));
                let of_all = all.iter().filter(|row| row.store.as_deref() == Some(id));
                let of_all = of_all.map(|row| (row.day, row.values.clone()));
                assert_eq!(one.collect::<Vec<_>>(), of_all.collect::<Vec<_>>(), "{id:?} of {told}");
            }
        }
    }
}

#[test]
fn one_id_in_two_types_is_told() {
    let (_directory, path, _db) = database(
        "CREATE TABLE orders (store, day TEXT, amount REAL);
         INSERT INTO orders VALUES (7, '2026-02-03', 1), ('7', '2026-02-03', 2);",
    );
    let wrong = block_on(open(&path, "orders").stores()).unwrap_err();
    assert_eq!(wrong.kind(), SourceErrorKind::Value);
    assert!(wrong.to_string().contains("store holds 7 both"), "{wrong}");
}

#[test]
fn dates_of_another_kind_are_told() {
    for (value, found) in [("20260203", "the integer 20260203"), ("x'00'", "a blob of 1 bytes")] {
        let (_directory, path, _db) = database(&format!(
            "CREATE TABLE orders (store INTEGER, day, amount REAL);
             INSERT INTO orders VALUES (7, '2026-02-03', 1), (7, {value}, 1);"
        ));
        let source = open(&path, "orders");
        let all = || Ask { stores: Which::All, days: Days::Range(None, None) };
        for wrong in [
            block_on(source.stores()).unwrap_err(),
            read_all(source.read(one("7"))).unwrap_err(),
            read_all(source.read(all())).unwrap_err(),
        ] {
            assert_eq!(wrong.kind(), SourceErrorKind::Value);
            let text = wrong.to_string();
            assert!(text.contains("store 7: column day") && text.contains(found), "{text}");
        }
    }
}

#[test]
fn spellings_that_do_not_sort_as_their_days_are_told() {
    let (_directory, path, _db) = database(
        "CREATE TABLE orders (store INTEGER, day TEXT, amount REAL);
         INSERT INTO orders VALUES (7, '2026-02-03T01:00:00', 1), (7, '2026-02-03 23:00:00', 1);",
    );
    let shanghai = Dataset {
        date_kind: DateKind::UtcDatetime,
        time_zone: jiff::tz::TimeZone::get("Asia/Shanghai").unwrap(),
        ..dataset("orders")
    };
    let source = SqliteSource::open(&path, shanghai, Limits::default()).unwrap();
    let wrong = read_all(source.read(one("7"))).unwrap_err();
    assert!(wrong.to_string().contains("one spelling"), "{wrong}");
}

#[test]
fn what_others_commit_is_seen_and_nothing_is_written() {
    let (directory, path, db) = database(ORDERS);
    let source = open(&path, "orders");
    let on =
        |store: &str| -> Vec<Day> { rows_of(&source, store).iter().map(|row| row.day).collect() };
    let (third, fourth): (Day, Day) =
        ("2026-02-03".parse().unwrap(), "2026-02-04".parse().unwrap());
    assert_eq!((on("7"), on("9")), (vec![third, fourth], vec![]));
    // A row moves to a store that was not known; its old day is empty.
    db.execute_batch("UPDATE orders SET store = 9 WHERE store = 7 AND day = '2026-02-03'").unwrap();
    assert_eq!((on("7"), on("9")), (vec![fourth], vec![third]));
    db.execute_batch("UPDATE orders SET day = '2026-02-03' WHERE store = 7").unwrap();
    assert_eq!(on("7"), [third]);
    assert_eq!(ids(&source), ["7", "8", "9"].map(Arc::from));
    drop(source);
    let files: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(files.len(), 1, "the source leaves nothing beside the database");
    let before = std::fs::read(&path).unwrap();
    assert!(
        SqliteSource::open(&path, dataset("DELETE FROM orders RETURNING *"), Limits::default())
            .is_err()
    );
    assert_eq!(before, std::fs::read(&path).unwrap());
}

#[test]
fn a_commit_of_others_changes_the_change_number() {
    let (_directory, path, db) = database(
        "CREATE TABLE orders (store, day TEXT, amount); INSERT INTO orders VALUES (1, '2026-02-03', 1)",
    );
    let source = open(&path, "orders");
    let number = || futures_executor::block_on(source.change_number()).unwrap().unwrap();
    let first = number();
    assert_eq!((rows_of(&source, "1").len(), number()), (1, first), "reading changes nothing");
    db.execute_batch("BEGIN; INSERT INTO orders VALUES (1, '2026-02-03', 2)").unwrap();
    assert_eq!(number(), first, "nothing is committed yet");
    db.execute_batch("COMMIT").unwrap();
    assert_ne!(number(), first);
}

#[test]
fn the_time_that_connections_were_busy_adds_up() {
    let (_directory, path, _db) = database(
        "CREATE TABLE orders (store, day TEXT, amount);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
         INSERT INTO orders SELECT 1, '2026-02-03', i FROM n",
    );
    let source = open(&path, "orders");
    assert_eq!(source.busy(), std::time::Duration::ZERO);
    let mut last = source.busy();
    for _ in 0..3 {
        rows_of(&source, "1");
        // Counted once the thread has put the query away, which may be after its last row was handed over.
        while source.busy() <= last {
            std::thread::yield_now();
        }
        last = source.busy();
    }
}
