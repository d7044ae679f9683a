//! The sample data, and each cache's SQL over them.

use std::sync::Arc;

use futures_executor::block_on;
use samovar_core::{Write, WriteId, Writer};
use samovar_erp::{Shape, into_postgres, into_sqlite, script};
use samovar_source::rows::{LoadSql, Rows};
use serde_json::{Value, json};

use crate::table::{Cache, caches};
use crate::{Erp, SMALL, example};

/// What a query gives for the key `x`.
fn ask(erp: &Erp, sql: &str) -> Value {
    let load = LoadSql::new(format!("SELECT * FROM ({sql}) AS q WHERE :key = 'x'"), Rows::Many);
    let loader = erp.open().loader("test", &load).unwrap();
    block_on(loader.load_one("x")).unwrap().unwrap()
}

#[test]
fn both_databases_hold_the_same_business() {
    let both = Erp::both(&SMALL);
    for sql in [
        "SELECT * FROM categories ORDER BY code",
        "SELECT * FROM products ORDER BY sku",
        "SELECT * FROM inventory ORDER BY sku, warehouse",
        "SELECT * FROM customers ORDER BY number",
        "SELECT * FROM orders ORDER BY number",
        "SELECT * FROM order_lines ORDER BY order_number, line",
        "SELECT * FROM quotes ORDER BY number",
        "SELECT * FROM system_config ORDER BY name",
        "SELECT * FROM finance_reports ORDER BY period",
    ] {
        let [file, server] = both.each_ref().map(|erp| ask(erp, sql));
        assert!(file.as_array().is_some_and(|rows| !rows.is_empty()), "{sql}");
        assert_eq!(file, server, "{sql}");
    }
}

#[test]
fn the_figures_agree_with_each_other() {
    let [erp, _] = Erp::both(&SMALL);
    let counts = "SELECT (SELECT count(*) FROM categories) AS categories, (SELECT count(*) FROM products) AS products,
        (SELECT count(*) FROM customers) AS customers, (SELECT count(*) FROM orders) AS orders,
        (SELECT count(*) FROM quotes) AS quotes, (SELECT count(DISTINCT branch) FROM orders) AS branches";
    let expected = json!([{"categories": 24, "products": 480, "customers": 40, "orders": 200, "quotes": 20,
        "branches": 8}]);
    assert_eq!(ask(&erp, counts), expected);
    let wrong = "SELECT number FROM orders WHERE total_cents <>
        (SELECT sum(quantity * price_cents) FROM order_lines WHERE order_number = number)";
    assert_eq!(ask(&erp, wrong), json!([]));
    let wrong = "SELECT period FROM finance_reports WHERE revenue_cents <>
        (SELECT sum(total_cents) FROM orders WHERE status <> 'cancelled' AND CAST(day AS TEXT) LIKE period || '%')";
    assert_eq!(ask(&erp, wrong), json!([]));
}

#[test]
fn the_seed_fixes_the_business() {
    assert_eq!(script(&SMALL), script(&SMALL));
    assert_ne!(script(&SMALL), script(&Shape { seed: 7, ..SMALL }));
    let [erp, _] = Erp::both(&SMALL);
    let sums = "SELECT (SELECT sum(price_cents) FROM products) AS prices, (SELECT sum(on_hand) FROM inventory) AS stock,
        (SELECT sum(total_cents) FROM orders) AS orders, (SELECT sum(quantity) FROM quotes) AS quoted";
    assert_eq!(ask(&erp, sums), json!([golden()]));
}

#[test]
fn what_is_there_is_not_overwritten() {
    let both = Erp::both(&SMALL);
    let wrong = into_sqlite(&both[0].path(), &SMALL).unwrap_err().to_string();
    assert!(wrong.contains("erp.sqlite is there already"), "{wrong}");
    let wrong = into_postgres(&both[1].server(), &SMALL).unwrap_err().to_string();
    assert!(wrong.contains("\"categories\" already exists"), "{wrong}");
    for erp in &both {
        assert_eq!(ask(erp, "SELECT count(*) AS n FROM orders"), json!([{"n": 200}]));
    }
}

#[test]
fn every_loader_reads_the_same_on_both() {
    let both = Erp::both(&SMALL);
    for cache in caches() {
        let (there, missing, _) = example(&cache.name);
        let [file, server] = both.each_ref().map(|erp| {
            let loader = erp.open().loader(&cache.name, &cache.load).unwrap();
            let keys: Vec<Arc<str>> = vec![there.into(), missing.into()];
            let found = block_on(loader.load(&keys)).unwrap();
            found.into_iter().map(Result::unwrap).collect::<Vec<_>>()
        });
        assert_eq!(file, server, "{}", cache.name);
        let is_list = cache.load.rows == Rows::Many;
        assert_eq!(file[1], is_list.then(|| json!([])), "{}", cache.name);
        let found = file[0].as_ref().unwrap();
        let rows = if is_list { found.as_array().unwrap().clone() } else { vec![found.clone()] };
        assert!(
            rows.iter().all(|row| row.as_object().is_some_and(|row| row.len() > 2)),
            "{rows:?}"
        );
        assert!(!rows.is_empty() && rows.len() <= 50, "{}", cache.name);
    }
}

#[test]
fn what_every_writer_writes_its_loader_reads() {
    for erp in Erp::both(&SMALL) {
        let database = erp.open();
        for cache in caches() {
            let (_, key, value) = example(&cache.name);
            let Some(write) = &cache.write else {
                assert!(["api_response", "dashboard"].contains(&&*cache.name));
                continue;
            };
            let loader = database.loader(&cache.name, &cache.load).unwrap();
            let writer = database.writer(&cache.name, write).unwrap();
            let write = |number, value: Option<Value>| {
                let id = WriteId { node: 1, number };
                let one = [Write { id, key: key.into(), value: value.map(Arc::new) }];
                block_on(writer.write(&one)).pop().unwrap().unwrap();
                block_on(loader.load_one(key)).unwrap()
            };
            assert_eq!(write(1, Some(value.clone())), Some(value), "{}", cache.name);
            assert_eq!(write(2, None), None, "{}", cache.name);
        }
    }
}

/// Figures of the default seed: they change only where the data do.
fn golden() -> Value {
    json!({"prices": 14_627_324, "stock": 353_010, "orders": 111_940_680, "quoted": 2_173})
}

#[test]
fn the_readme_has_the_table_of_the_caches() {
    let readme = include_str!("../../README.md");
    let rows = readme.lines().filter(|line| line.starts_with("| `"));
    let mut told: Vec<Vec<String>> = rows
        .map(|row| {
            row.trim_matches('|').split('|').take(4).map(|cell| cell.trim().to_owned()).collect()
        })
        .collect();
    told.sort();
    let row = |cache: Cache| {
        let key = format!("{}{}", cache.policy.key_prefix.unwrap(), example(&cache.name).0);
        let seconds = cache.policy.ttl.as_secs();
        let seconds = if seconds < 1_000 {
            seconds.to_string()
        } else {
            format!("{},{:03}", seconds / 1_000, seconds % 1_000)
        };
        let memory = if cache.policy.memory { "" } else { ", not in memory" };
        vec![
            format!("`{}`", cache.name),
            format!("`{key}`"),
            format!("{}{memory}", cache.strategy),
            format!("{seconds} s"),
        ]
    };
    let mut caches: Vec<Vec<String>> = caches().into_iter().map(row).collect();
    caches.sort();
    assert_eq!(caches.len(), 10);
    assert_eq!(told, caches);
}
