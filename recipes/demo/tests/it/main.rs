//! What the generator promises, checked on the files it makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use samovar_demo::{FIRST_DAY, LAST_DAY, Shape, file_name, generate, is_complete, is_ours};
use tempfile::TempDir;

fn small() -> Shape {
    Shape { stores: 30, rows_per_store: 3_000, ..Shape::default() }
}

fn make(directory: &TempDir, shape: &Shape) -> PathBuf {
    let path = directory.path().join(file_name(shape));
    generate(&path, shape, &|_| (), &AtomicBool::new(false)).expect("generates");
    path
}

fn number<T: rusqlite::types::FromSql>(db: &Connection, sql: &str) -> T {
    db.query_row(sql, [], |row| row.get(0)).expect(sql)
}

fn partial(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.partial", path.display()))
}

#[test]
fn same_seed_same_bytes_and_another_seed_other_data() {
    let (a, b) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let shape = Shape { stores: 4, rows_per_store: 500, seed: 7 };
    let first = fs::read(make(&a, &shape)).unwrap();
    assert_eq!(first, fs::read(make(&b, &shape)).unwrap());
    assert_ne!(first, fs::read(make(&b, &Shape { seed: 8, ..shape })).unwrap());
}

/// Golden figures: they change only together with the format number in `database.rs`.
#[test]
fn the_seed_fixes_the_figures() {
    let directory = TempDir::new().unwrap();
    let db = Connection::open(make(&directory, &small())).unwrap();
    let figures = db
        .query_row(
            "SELECT sum(CAST(round(amount * 100) AS INTEGER)), sum(CAST(round(profit * 100) AS INTEGER)),
                    sum(quantity), sum(CAST(round(delivery_minutes * 10) AS INTEGER))
             FROM orders",
            [],
            |row| Ok([row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, row.get(3)?]),
        )
        .unwrap();
    assert_eq!(figures, GOLDEN);
    let first = db
        .query_row("SELECT store_name, date, product, category FROM orders LIMIT 1", [], |row| {
            Ok([row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
        })
        .unwrap();
    assert_eq!(first, GOLDEN_FIRST);
}

const GOLDEN: [i64; 4] = [720_214_386, 152_420_874, 224_778, 33_709_014];
const GOLDEN_FIRST: [&str; 4] = ["Saddler's Bridge", "2026-01-01", "Everyday Polenta", "Grains"];

#[test]
fn lines_are_distributed_as_specified() {
    let directory = TempDir::new().unwrap();
    let db = Connection::open(make(&directory, &small())).unwrap();
    assert_eq!(number::<i64>(&db, "SELECT count(*) FROM orders"), 90_000);
    assert_eq!(
        number::<i64>(
            &db,
            "SELECT count(*) FROM (SELECT 1 FROM orders GROUP BY store_id HAVING count(*) = 3000)"
        ),
        30
    );
    assert_eq!(number::<String>(&db, "SELECT min(date) FROM orders"), FIRST_DAY);
    assert_eq!(number::<String>(&db, "SELECT max(date) FROM orders"), LAST_DAY);
    assert_eq!(number::<i64>(&db, "SELECT count(DISTINCT date) FROM orders"), 60);
    assert_eq!(number::<i64>(&db, "SELECT count(DISTINCT category) FROM orders"), 24);
    assert_eq!(number::<i64>(&db, "SELECT count(DISTINCT store_name) FROM orders"), 30);
    let products = number::<i64>(&db, "SELECT count(DISTINCT product) FROM orders");
    assert!((1_500..=2_000).contains(&products), "{products} products");
    assert_eq!(
        number::<i64>(
            &db,
            "SELECT count(*) FROM (SELECT product FROM orders GROUP BY product HAVING count(DISTINCT category) > 1)"
        ),
        0,
    );

    // Zipf 1.3 on all ranks: the first has 1/ζ(1.3) = 0.254 of the draws, those above 2,000 about 0.087.
    let shares: Vec<f64> = db
        .prepare("SELECT count(*) / 90000.0 AS share FROM orders GROUP BY product ORDER BY share DESC LIMIT 2")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert!((0.24..0.28).contains(&shares[0]), "{shares:?}");
    assert!((0.08..0.12).contains(&shares[1]), "{shares:?}");

    let quantity: f64 = number(&db, "SELECT avg(quantity) FROM orders");
    assert!((2.48..2.52).contains(&quantity), "{quantity}");
    assert_eq!(
        number::<i64>(&db, "SELECT count(*) FROM orders WHERE quantity NOT BETWEEN 1 AND 4"),
        0
    );
    // Gamma (9, 4) has mean 36 and variance 144; the days of snow stand apart.
    let usual = "FROM orders WHERE date NOT BETWEEN '2026-01-28' AND '2026-01-30'";
    let mean: f64 = number(&db, &format!("SELECT avg(delivery_minutes) {usual}"));
    let square: f64 =
        number(&db, &format!("SELECT avg(delivery_minutes * delivery_minutes) {usual}"));
    assert!((35.8..36.2).contains(&mean), "{mean}");
    assert!((140.0..148.0).contains(&(square - mean * mean)), "{}", square - mean * mean);
    let snow: f64 =
        number(&db, "SELECT avg(delivery_minutes) FROM orders WHERE date = '2026-01-29'");
    assert!((62.0..68.0).contains(&snow), "{snow}");

    // Money is whole cents, delivery times are tenths.
    for (column, unit) in [("amount", 100), ("profit", 100), ("delivery_minutes", 10)] {
        let sql = format!(
            "SELECT count(*) FROM orders WHERE {column} <> round({column} * {unit}) / {unit}.0"
        );
        assert_eq!(number::<i64>(&db, &sql), 0, "{column}");
    }
    let margins = "FROM (SELECT sum(profit) / sum(amount) AS margin FROM orders GROUP BY product)";
    let (low, high): (f64, f64) = (
        number(&db, &format!("SELECT min(margin) {margins}")),
        number(&db, &format!("SELECT max(margin) {margins}")),
    );
    assert!((-0.06..-0.04).contains(&low) && (0.44..0.46).contains(&high), "{low} {high}");
    // A price is the same within ±10 %.
    let spread: f64 = number(
        &db,
        "SELECT max(ratio) FROM (SELECT max(amount / quantity) / min(amount / quantity) AS ratio FROM orders GROUP BY product HAVING min(amount / quantity) > 1)",
    );
    assert!((1.2..1.25).contains(&spread), "{spread}");
    // The logarithm of the price of a product has mean 3 and deviation 0.6.
    let logs: Vec<f64> = db
        .prepare("SELECT avg(amount / quantity) FROM orders GROUP BY product")
        .unwrap()
        .query_map([], |row| row.get::<_, f64>(0))
        .unwrap()
        .map(|price| price.unwrap().ln())
        .collect();
    let mean = logs.iter().sum::<f64>() / logs.len() as f64;
    let deviation =
        (logs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / logs.len() as f64).sqrt();
    assert!(
        (2.95..3.05).contains(&mean) && (0.57..0.63).contains(&deviation),
        "{mean} {deviation}"
    );
}

#[test]
fn rows_lie_by_store_and_date_and_an_index_finds_them() {
    let directory = TempDir::new().unwrap();
    let db = Connection::open(make(&directory, &small())).unwrap();
    assert_eq!(
        number::<i64>(
            &db,
            "SELECT count(*) FROM (
               SELECT store_id, date, lag(store_id) OVER w AS s, lag(date) OVER w AS d FROM orders
               WINDOW w AS (ORDER BY rowid))
             WHERE (store_id, date) < (s, d)"
        ),
        0
    );
    let plan: String = db
        .query_row(
            "EXPLAIN QUERY PLAN SELECT * FROM orders WHERE store_id = 1 AND date >= '2026-02-01'",
            [],
            |row| row.get(3),
        )
        .unwrap();
    assert!(plan.contains("SEARCH") && plan.contains("store_id=? AND date>?"), "{plan}");
    assert_eq!(number::<i64>(&db, "SELECT max(order_id) - min(order_id) + 1 FROM orders"), 90_000);
}

#[test]
fn what_a_dashboard_should_show_is_in_the_data() {
    let directory = TempDir::new().unwrap();
    let db = Connection::open(make(&directory, &small())).unwrap();
    let lines = |date: &str| {
        number::<i64>(&db, &format!("SELECT count(*) FROM orders WHERE date = '{date}'"))
    };
    // Saturdays against Mondays.
    assert!(lines("2026-01-17") as f64 > 1.4 * lines("2026-01-19") as f64);
    // The flash sale against the Friday before, the failed checkout against the Wednesday before.
    assert!(lines("2026-02-06") as f64 > 2.0 * lines("2026-01-30") as f64);
    assert!((lines("2026-02-18") as f64) < 0.2 * lines("2026-02-11") as f64);
    // 7 % of 30 stores fail: their last fortnight is less than half of their first.
    let failing = "SELECT count(*) FROM (SELECT 1 FROM orders GROUP BY store_id HAVING
        2 * sum(date >= '2026-02-16') < sum(date < '2026-01-15'))";
    assert_eq!(number::<i64>(&db, failing), 2);
    // Some products sold well once and no more.
    let dead = "SELECT count(*) FROM (SELECT 1 FROM orders GROUP BY product HAVING
        sum(date < '2026-02-01') >= 40 AND sum(date >= '2026-02-15') = 0)";
    assert!(number::<i64>(&db, dead) >= 3);
    // Some stores were closed for a day.
    let closed = "SELECT count(*) FROM (SELECT 1 FROM orders GROUP BY store_id HAVING count(DISTINCT date) < 60)";
    assert!((2..15).contains(&number::<i64>(&db, closed)));
}

#[test]
fn every_shape_has_exactly_its_rows() {
    let directory = TempDir::new().unwrap();
    for (stores, rows_per_store) in [(1, 1), (1, 59), (2, 7), (1, 8_193), (801, 1)] {
        let shape = Shape { stores, rows_per_store, ..Shape::default() };
        let path = make(&directory, &shape);
        assert!(is_complete(&path, &shape).unwrap());
        let db = Connection::open(path).unwrap();
        assert_eq!(
            number::<i64>(&db, "SELECT count(*) FROM orders"),
            shape.rows() as i64,
            "{shape:?}"
        );
        assert_eq!(number::<u32>(&db, "SELECT count(DISTINCT store_name) FROM orders"), stores);
    }
    for (stores, rows_per_store) in [(0, 1), (1, 0)] {
        let shape = Shape { stores, rows_per_store, ..Shape::default() };
        let path = directory.path().join(file_name(&shape));
        assert!(generate(&path, &shape, &|_| (), &AtomicBool::new(false)).is_err());
    }
}

#[test]
fn progress_ascends_to_the_number_of_rows() {
    let directory = TempDir::new().unwrap();
    let shape = Shape { stores: 3, rows_per_store: 20_000, ..Shape::default() };
    let seen = Mutex::new(Vec::new());
    let path = directory.path().join(file_name(&shape));
    generate(&path, &shape, &|rows| seen.lock().unwrap().push(rows), &AtomicBool::new(false))
        .unwrap();
    let seen = seen.into_inner().unwrap();
    assert!(seen.len() >= 9 && seen.is_sorted(), "{seen:?}");
    assert_eq!(seen.last(), Some(&60_000));
}

#[test]
fn a_cancelled_run_leaves_nothing_and_the_next_one_is_whole() {
    let directory = TempDir::new().unwrap();
    let shape = Shape { stores: 3, rows_per_store: 20_000, ..Shape::default() };
    let path = directory.path().join(file_name(&shape));
    let cancel = AtomicBool::new(false);
    let error =
        generate(&path, &shape, &|_| cancel.store(true, Ordering::Relaxed), &cancel).unwrap_err();
    assert!(error.is_cancelled(), "{error}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    assert!(!is_complete(&path, &shape).unwrap());
    assert!(is_complete(&make(&directory, &shape), &shape).unwrap());
}

#[test]
fn an_interrupted_run_is_noticed_and_redone() {
    let directory = TempDir::new().unwrap();
    let shape = Shape { stores: 2, rows_per_store: 1_000, ..Shape::default() };
    let whole = make(&directory, &shape);
    let bytes = fs::read(&whole).unwrap();
    // A killed run leaves any prefix of a file that bears our mark, under its provisional name.
    fs::remove_file(&whole).unwrap();
    fs::write(partial(&whole), &bytes[..bytes.len() / 2]).unwrap();
    assert!(!is_complete(&whole, &shape).unwrap());
    assert!(is_ours(&partial(&whole)).unwrap());
    assert_eq!(fs::read(make(&directory, &shape)).unwrap(), bytes);
    assert!(!partial(&whole).exists());
}

#[test]
fn a_killed_run_leaves_what_is_ours() {
    let directory = TempDir::new().unwrap();
    let shape = Shape { stores: 2, rows_per_store: 20_000, ..Shape::default() };
    let path = directory.path().join(file_name(&shape));
    let left = directory.path().join("left");
    // What stands on disk after the first lines is what a kill would leave.
    let copy = |_| assert!(fs::copy(partial(&path), &left).is_ok());
    generate(&path, &shape, &copy, &AtomicBool::new(false)).unwrap();
    assert!(is_ours(&left).unwrap());
}

#[test]
fn files_of_others_are_refused_and_kept() {
    let directory = TempDir::new().unwrap();
    let shape = Shape { stores: 1, rows_per_store: 10, ..Shape::default() };
    let path = directory.path().join(file_name(&shape));
    fs::write(&path, "a letter").unwrap();
    assert!(is_complete(&path, &shape).unwrap_err().is_foreign());
    let error = generate(&path, &shape, &|_| (), &AtomicBool::new(false)).unwrap_err();
    assert!(error.is_foreign() && error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "a letter");
    // Another shape under this name is ours, but not what was asked for.
    fs::remove_file(&path).unwrap();
    fs::rename(make(&directory, &Shape { seed: 1, ..shape.clone() }), &path).unwrap();
    assert!(!is_complete(&path, &shape).unwrap());
    assert!(is_complete(&make(&directory, &shape), &shape).unwrap());
}
