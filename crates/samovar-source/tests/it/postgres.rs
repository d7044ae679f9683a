//! PostgreSQL keeps the contract of a source, and what is its own.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod changed;
mod ends;
mod equals_sql;
mod plans;
mod tls;
mod types;

use futures_executor::block_on;
use samovar_source::{
    Dataset, Limits, PostgresOptions, PostgresSource, Source, SourceError, SourceErrorKind,
};
use samovar_testkit::postgres::{Database, Server, Types};
use samovar_testkit::source::{Fixture, read_all, suite};

use crate::orders::{dataset, one, rows_of};

/// A database of one's own with the tables that a script makes.
fn database(script: &str) -> Database<'static> {
    let database = Server::shared().unwrap().database().unwrap();
    database.run(script).unwrap();
    database
}

fn connect(database: &Database<'_>, dataset: Dataset, limits: Limits) -> PostgresSource {
    PostgresSource::connect(&PostgresOptions::new(database.url()), dataset, limits).unwrap()
}

fn open(database: &Database<'_>, query: &str) -> PostgresSource {
    connect(database, dataset(query), Limits::default())
}

fn refusal(url: &str, dataset: Dataset) -> SourceError {
    let options = PostgresOptions::new(url);
    PostgresSource::connect(&options, dataset, Limits::default()).map(|_| ()).unwrap_err()
}

const ORDERS: &str = "
    CREATE TABLE orders (store integer, day date, amount numeric);
    CREATE INDEX by_store_and_day ON orders (store, day);
    INSERT INTO orders VALUES (7, '2026-02-03', 1), (7, '2026-02-04', 2), (8, '2026-02-03', 3);";

fn make(fixture: &Fixture, types: Types) -> PostgresSource {
    let database = database("");
    database.fill(fixture, types).unwrap();
    connect(&database, fixture.dataset.clone(), fixture.limits)
}

#[test]
fn postgres_keeps_the_contract() {
    suite(|fixture| make(fixture, Types::Plain));
}

#[test]
fn postgres_keeps_the_contract_with_types_of_its_own() {
    suite(|fixture| make(fixture, Types::Native));
}

#[test]
fn what_is_not_there_is_named() {
    let database = database(ORDERS);
    database
        .run("CREATE ROLE guarded LOGIN PASSWORD 'right'; CREATE SCHEMA shop; CREATE TABLE shop.visits ()")
        .unwrap();
    for query in ["order", "SELECT * FROM order", "SELECT store FROM", "shop.orders", "Orders"] {
        let wrong = refusal(&database.url(), dataset(query));
        assert_eq!(wrong.kind(), SourceErrorKind::Schema, "{wrong}");
        assert!(wrong.to_string().contains(query), "{wrong}");
        if !query.contains(' ') {
            assert!(wrong.to_string().contains("has orders, shop.visits"), "{wrong}");
        }
    }
    let shop =
        Dataset { store_id: "shop".into(), product: Some("thing".into()), ..dataset("orders") };
    let wrong = refusal(&database.url(), shop);
    assert_eq!(wrong.kind(), SourceErrorKind::Schema);
    for word in ["shop", "thing", "store, day, amount"] {
        assert!(wrong.to_string().contains(word), "{wrong}");
    }
    let port = Server::shared().unwrap().port();
    let name = database.name();
    for (url, words) in [
        (
            format!("postgres://guarded:secret@127.0.0.1:{port}/{name}"),
            [format!("127.0.0.1:{port} as user guarded, database {name}"), "password".into()],
        ),
        (
            format!("postgres://postgres:secret@127.0.0.1:{port}/nothing"),
            ["database nothing".into(), "does not exist".into()],
        ),
        (
            // Nothing listens there.
            "postgres://ann:secret@127.0.0.1:1/shop".into(),
            ["127.0.0.1:1 as user ann, database shop".into(), "refused".into()],
        ),
    ] {
        let wrong = refusal(&url, dataset("orders"));
        assert_eq!(wrong.kind(), SourceErrorKind::Unreachable);
        for word in words {
            assert!(wrong.to_string().contains(&word), "{wrong}");
        }
        assert!(!format!("{wrong} {wrong:?}").contains("secret"), "{wrong:?}");
    }
    let url = format!("postgres://guarded:right@127.0.0.1:{port}/{name}");
    let wrong = refusal(&url, dataset("orders"));
    assert!(wrong.to_string().contains("permission denied for table orders"), "{wrong}");
}

#[test]
fn what_others_commit_is_seen_and_nothing_is_written() {
    let database = database(ORDERS);
    let source = open(&database, "orders");
    let on = |store: &str| -> Vec<String> {
        rows_of(&source, store).iter().map(|row| row.day.to_string()).collect()
    };
    let (third, fourth) = ("2026-02-03".to_string(), "2026-02-04".to_string());
    assert_eq!((on("7"), on("9")), (vec![third.clone(), fourth.clone()], vec![]));
    database.run("UPDATE orders SET store = 9 WHERE store = 7 AND day = '2026-02-03'").unwrap();
    assert_eq!((on("7"), on("9")), (vec![fourth], vec![third]));
    let write = "WITH gone AS (DELETE FROM orders RETURNING *) SELECT * FROM gone";
    assert_eq!(refusal(&database.url(), dataset(write)).kind(), SourceErrorKind::Schema);
    database.run("CREATE SEQUENCE counter").unwrap();
    let write = "SELECT store, day, nextval('counter') AS amount FROM orders";
    let source = open(&database, write);
    let wrong = read_all(source.read(one("7"))).unwrap_err();
    assert!(wrong.to_string().contains("read-only"), "{wrong}");
    assert_eq!(database.run("SELECT count(*) FROM orders").unwrap(), "3");
    database.run("DROP TABLE orders").unwrap();
    let wrong = block_on(source.stores()).unwrap_err();
    assert!(wrong.to_string().contains("\"orders\" does not exist"), "{wrong}");
}

#[test]
fn it_needs_no_runtime_and_stands_one() {
    let database = database(ORDERS);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let lines = runtime.block_on(async {
        let source = open(&database, "orders");
        let stores = source.stores().await.unwrap().stores;
        stores.iter().map(|store| store.lines).sum::<u64>()
    });
    assert_eq!(lines, 3);
}
