//! How queries end before their time: the reader leaves, the time is up, the connection is lost.

use std::time::Duration;

use futures_executor::block_on;
use futures_util::StreamExt;
use samovar_source::{Ask, Days, Limits, PostgresSource, Source, SourceErrorKind, Which};
use samovar_testkit::postgres::{Database, Server};
use samovar_testkit::source::read_all;

use super::{ORDERS, connect, database, dataset, one, open, rows_of};

/// Rows of store 200 take for ever; each row tells the process that gave it.
const SLOW: &str = "SELECT store, day, pg_backend_pid() AS amount FROM orders
    WHERE CASE WHEN store = 200 THEN pg_sleep(1000) IS NOT NULL ELSE true END";

const RUNNING: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'samovar' AND state <> 'idle'";
const IN_COPY: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'samovar' AND query LIKE 'COPY%'
        AND wait_event = 'PgSleep'";
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'samovar' AND wait_event = 'ClientWrite'";
const END_ALL: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'samovar'";
const ANY: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'samovar'";

fn slow() -> Database<'static> {
    let database = database(ORDERS);
    database.run("INSERT INTO orders VALUES (200, '2026-02-03', 1)").unwrap();
    database
}

fn single(database: &Database<'_>, query: &str, limits: Limits) -> PostgresSource {
    connect(database, dataset(query), Limits { connections: 1, ..limits })
}

/// The process behind the only connection.
fn process(source: &PostgresSource) -> String {
    rows_of(source, "7")[0].values[0].clone().unwrap()
}

#[test]
fn a_reader_that_leaves_cancels_the_query_at_the_server() {
    let database = slow();
    let source = single(&database, SLOW, Limits::default());
    let before = process(&source);
    let batches = source.read(one("200"));
    database.wait_until(IN_COPY, "1").unwrap();
    drop(batches);
    database.wait_until(RUNNING, "0").unwrap();
    assert_eq!(process(&source), before, "the connection is used again");
    let stores = source.stores();
    database.wait_until(IN_COPY, "1").unwrap();
    drop(stores);
    database.wait_until(RUNNING, "0").unwrap();
    // Without one either.
    let batches = source.read(one("200"));
    database.wait_until(IN_COPY, "1").unwrap();
    drop((source, batches));
    database.wait_until(RUNNING, "0").unwrap();
}

#[test]
fn the_server_waits_for_the_reader() {
    let database = database(
        "CREATE TABLE orders AS SELECT 7 AS store, '2026-02-03'::date AS day, pg_backend_pid() AS amount,
             repeat('x', 200) AS note FROM generate_series(1, 200000)",
    );
    let mut asked = dataset("SELECT store, day, pg_backend_pid() AS amount, note FROM orders");
    asked.product = Some("note".into());
    let limits = Limits { batch_size: 100, connections: 1, ..Limits::default() };
    let source = connect(&database, asked, limits);
    let mut batches = source.read(one("7"));
    let first = block_on(batches.next()).unwrap().unwrap();
    assert_eq!(first.num_rows(), 100);
    // Neither here nor in the socket is there room for 40 MB.
    database.wait_until(WAITING, "1").unwrap();
    let rest = read_all(batches).unwrap();
    assert_eq!(rest.len(), 199_900);
    let mut batches = source.read(one("7"));
    block_on(batches.next()).unwrap().unwrap();
    database.wait_until(WAITING, "1").unwrap();
    drop(batches);
    database.wait_until(RUNNING, "0").unwrap();
    let again = source.read(one("7"));
    assert_eq!(read_all(again).unwrap()[0].values[1], rest[0].values[1], "the same connection");
}

#[test]
fn a_query_that_takes_too_long_ends_at_the_server() {
    let database = slow();
    let limits = Limits { timeout: Duration::from_secs(2), ..Limits::default() };
    let source = single(&database, SLOW, limits);
    let before = process(&source);
    let reading = read_all(source.read(one("200"))).unwrap_err();
    for wrong in [reading, block_on(source.stores()).unwrap_err()] {
        assert_eq!(wrong.kind(), SourceErrorKind::Timeout);
        assert!(wrong.to_string().contains("longer than 2 s"), "{wrong}");
        assert_eq!(database.run(RUNNING).unwrap(), "0");
    }
    assert_eq!(process(&source), before, "the connection is used again");
}

#[test]
fn the_limit_of_the_server_does_not_count() {
    let database = database(ORDERS);
    let name = database.name();
    database.run(&format!("ALTER DATABASE {name} SET statement_timeout = '300ms'")).unwrap();
    let query = "SELECT store, day, amount FROM orders WHERE pg_sleep(0.25) IS NOT NULL";
    let source = open(&database, query);
    assert_eq!(rows_of(&source, "7").len(), 2);
}

#[test]
fn a_connection_that_is_lost_is_told_and_made_anew() {
    let database = database(
        "CREATE TABLE orders AS SELECT 7 AS store, '2026-02-03'::date AS day, 1 AS amount
         FROM generate_series(1, 600000)",
    );
    let limits = Limits { batch_size: 100, ..Limits::default() };
    let source = single(&database, "orders", limits);
    let mut batches = source.read(one("7"));
    block_on(batches.next()).unwrap().unwrap();
    // More than all buffers hold: it is in the midst of it.
    database.wait_until(WAITING, "1").unwrap();
    database.run(END_ALL).unwrap();
    database.wait_until(ANY, "0").unwrap();
    let mut read: Vec<_> = block_on(batches.collect());
    let wrong = read.pop().unwrap().unwrap_err();
    assert_eq!(wrong.kind(), SourceErrorKind::Lost, "{wrong}");
    assert!(wrong.to_string().contains("connection to the database was lost"), "{wrong}");
    assert!(read.iter().all(Result::is_ok), "it ends after the error");
    assert_eq!(rows_of(&source, "7").len(), 600_000);
    // One that is lost while nobody uses it is nobody's loss.
    database.run(END_ALL).unwrap();
    database.wait_until(ANY, "0").unwrap();
    assert_eq!(rows_of(&source, "7").len(), 600_000);
}

#[test]
fn a_server_that_stays_away_is_told() {
    let server = Server::start(&[], &[]).unwrap();
    let database = server.database().unwrap();
    database.run(ORDERS).unwrap();
    let source = connect(&database, dataset("orders"), Limits::default());
    let port = server.port();
    drop(server);
    let ask = || Ask { stores: Which::All, days: Days::Range(None, None) };
    for _ in 0..2 {
        let wrong = read_all(source.read(ask())).unwrap_err();
        assert_eq!(wrong.kind(), SourceErrorKind::Unreachable, "{wrong}");
        assert!(wrong.to_string().contains(&format!("127.0.0.1:{port}")), "{wrong}");
    }
}
