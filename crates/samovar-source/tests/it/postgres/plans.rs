//! How rows are found: indexes, partitions, joins and views.

use futures_executor::block_on;
use samovar_source::{Ask, Days, Limits, Source, Which};
use samovar_testkit::source::read_all;

use super::{ORDERS, connect, database, open};
use crate::orders::{a_join_is_sought, rows_of};

#[test]
fn a_store_is_sought_through_joins_and_subqueries() {
    let database = database(ORDERS);
    database
        .run(
            "CREATE TABLE stores (id integer PRIMARY KEY, name text);
             INSERT INTO stores VALUES (7, 'Seven');
             CREATE TABLE unindexed (store integer, name text);
             CREATE VIEW doubled AS SELECT store, day, amount * 2 AS amount FROM orders;
             CREATE SCHEMA \"my shop\"; CREATE TABLE \"my shop\".\"Orders\" AS SELECT * FROM orders;
             CREATE TABLE \"dotted.name\" AS SELECT * FROM orders;",
        )
        .unwrap();
    a_join_is_sought(|dataset| connect(&database, dataset, Limits::default()));

    for (query, seeks) in [
        ("public.orders", true),
        ("doubled", true),
        ("SELECT * FROM (SELECT * FROM orders) AS o", true),
        ("SELECT store::bigint AS store, day, amount FROM orders", false),
        ("SELECT o.* FROM orders o LEFT JOIN unindexed u ON u.store = o.store", false),
        ("my shop.Orders", false),
        ("dotted.name", false),
    ] {
        let source = open(&database, query);
        assert_eq!(block_on(source.describe()).unwrap().seeks, seeks, "{query}");
        assert_eq!(rows_of(&source, "7").len(), 2, "{query}");
        assert_eq!(rows_of(&source, "9").len(), 0, "{query}");
    }
    // An index on the day first finds no store, whatever else is in it.
    for (index, seeks) in [
        ("orders (day)", false),
        ("orders (day, store, amount)", false),
        ("orders (amount, day) WHERE store = 7", false),
        ("orders USING hash (store)", true),
        ("orders (store)", true),
        ("orders (store, amount, day)", true),
    ] {
        database.run("DROP INDEX by_store_and_day").unwrap();
        database.run(&format!("CREATE INDEX by_store_and_day ON {index}")).unwrap();
        let described = block_on(open(&database, "orders").describe()).unwrap();
        assert_eq!(described.seeks, seeks, "{index}");
        let types: Vec<&str> = described.columns.iter().map(|(_, kind)| kind.as_str()).collect();
        assert_eq!(types, ["integer", "date", "numeric"]);
    }
}

/// How often each table of the database was scanned, and sought in by an index.
const SCANS: &str =
    "SELECT string_agg(relname || ' ' || seq_scan || ' ' || idx_scan, ', ' ORDER BY relname)
    FROM pg_stat_user_tables";

#[test]
fn partitions_that_the_days_rule_out_are_not_opened() {
    let database = database(
        "CREATE TABLE orders (store integer, day date, amount numeric) PARTITION BY RANGE (day);
         CREATE TABLE january PARTITION OF orders FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
         CREATE TABLE february PARTITION OF orders FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
         CREATE TABLE march PARTITION OF orders FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
         INSERT INTO orders SELECT s, '2026-01-01'::date + n % 90, n
             FROM generate_series(1, 20) s, generate_series(0, 1799) n;
         CREATE INDEX ON orders (store, day);
         ANALYZE orders;",
    );
    let source = open(&database, "orders");
    assert!(block_on(source.describe()).unwrap().seeks);
    assert_eq!(rows_of(&source, "7").len(), 1_800);
    let found = block_on(source.stores()).unwrap().stores;
    assert_eq!((found.len(), found[0].lines), (20, 1_800));
    let end = |text: &str| Some(text.parse().unwrap());
    let february = || Days::Range(end("2026-02-05"), end("2026-02-14"));
    let ask = |stores| Ask { stores, days: february() };
    // Whoever was connected tells what it has counted when it leaves.
    let all_left = || {
        let all = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'samovar'
            AND datname = current_database()";
        database.wait_until(all, "0").unwrap();
    };
    drop(source);
    let rows_of_new = |ask: Ask| {
        all_left();
        database.run("SELECT pg_stat_reset()").unwrap();
        let rows = read_all(open(&database, "orders").read(ask)).unwrap().len();
        all_left();
        rows
    };
    assert_eq!(rows_of_new(ask(Which::One("7".into()))), 200);
    let sought = "february 0 1, january 0 0, march 0 0, orders 0 0";
    database.wait_until(SCANS, sought).unwrap();
    assert_eq!(rows_of_new(ask(Which::All)), 4_000);
    let read = "SELECT seq_scan + idx_scan > 0 FROM pg_stat_user_tables WHERE relname = 'february'";
    database.wait_until(read, "t").unwrap();
    let scans = database.run(SCANS).unwrap();
    assert!(scans.contains("january 0 0, march 0 0"), "{scans}");
}

#[test]
fn lines_of_a_large_table_are_reckoned_and_its_days_are_exact() {
    let database = database(
        "CREATE TABLE orders (store integer, day date, amount numeric);
         INSERT INTO orders SELECT CASE WHEN n % 2 = 0 THEN 7 ELSE 8 + n % 10 END, '2026-01-01'::date + n % 90, 1
             FROM generate_series(1, 1000000) n;
         INSERT INTO orders VALUES (1, '2020-02-29', 1), (7, '2026-12-31', 1), (7, NULL, 1), (99, NULL, 1),
             (NULL, '2026-01-01', 1), (NULL, NULL, 1);
         CREATE INDEX by_store_and_day ON orders (store, day);
         ANALYZE orders;",
    );
    let counted = |query: &str| block_on(open(&database, query).stores()).unwrap();
    // A query tells nothing of what the server knows.
    let exact = counted("SELECT * FROM orders");
    let reckoned = counted("orders");
    assert!(reckoned.estimated && !exact.estimated);
    assert_eq!((reckoned.unplaced, exact.unplaced), (4, 4));
    let sorted = |mut inventory: samovar_source::Inventory| {
        inventory.stores.sort_by(|a, b| a.id.cmp(&b.id));
        inventory.stores
    };
    let (reckoned, exact) = (sorted(reckoned), sorted(exact));
    assert_eq!(reckoned.len(), 7, "1, 7 and five others: {reckoned:?}");
    assert_eq!(reckoned.len(), exact.len());
    for (reckoned, exact) in reckoned.iter().zip(&exact) {
        assert_eq!(
            (&reckoned.id, reckoned.first, reckoned.last),
            (&exact.id, exact.first, exact.last)
        );
        let near = exact.lines / 5 + 1_000;
        assert!(reckoned.lines.abs_diff(exact.lines) < near, "{reckoned:?} {exact:?}");
    }
    // Only an index in the order of stores and days can tell the ends.
    for index in
        ["(store)", "(store, amount, day)", "(store, day DESC)", "(store, day) WHERE amount > 0"]
    {
        database.run("DROP INDEX by_store_and_day").unwrap();
        database.run(&format!("CREATE INDEX by_store_and_day ON orders {index}")).unwrap();
        assert!(!counted("orders").estimated, "{index}");
    }
}
