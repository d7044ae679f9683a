//! Caches that stand for rows of the database.

use std::fs;

use rusqlite::Connection;
use serde_json::json;

use super::{Shop, delete, put, refused};
use crate::server::{Ended, Server, open, poll, samovar};

/// Rows of the shop's own database, read and written.
const PRODUCTS: &str = "
[caches.products_by_id]
jitter = 0
[caches.products_by_id.load]
sql = 'SELECT name, cents FROM products WHERE id = :key'
[caches.products_by_id.write]
upsert = 'INSERT INTO products (id, name, cents) VALUES (:key, :name, :cents) ON CONFLICT (id) DO UPDATE SET name = excluded.name, cents = excluded.cents'
delete = 'DELETE FROM products WHERE id = :key'
[caches.products_of]
load = { sql = 'SELECT id FROM products WHERE name = :key ORDER BY id', rows = 'many' }
";

fn products(shop: &Shop) -> Connection {
    let database = open(&shop.path().join("shop.db"));
    database
        .execute_batch(
            "CREATE TABLE products (id TEXT PRIMARY KEY, name TEXT NOT NULL, cents INTEGER CHECK (cents > 0));
             INSERT INTO products VALUES ('7', 'Tea', 499), ('8', 'Milk', 129)",
        )
        .unwrap();
    database
}

#[test]
fn rows_of_the_database_are_documents() {
    let shop = Shop::new(PRODUCTS);
    let database = products(&shop);
    let server = shop.start();
    let path = "/api/cache/products_by_id/7";
    let loaded = server.get(path);
    assert_eq!(loaded.json(), json!({ "name": "Tea", "cents": 499 }));
    assert_eq!(loaded.header("Cache-Status"), "samovar; fwd=miss; stored");
    let many = json!({ "keys": ["7", "8", "9"] });
    let told = server.post("/api/cache/products_by_id/_get", &many);
    assert_eq!(told.json()["absent"], json!(["9"]));
    assert_eq!(told.json()["values"]["8"], json!({ "name": "Milk", "cents": 129 }));
    assert_eq!(server.get("/api/cache/products_of/Tea").json(), json!([{ "id": "7" }]));
    assert_eq!(server.get("/api/cache/products_of/Rum").json(), json!([]));

    let wrote = put(&server, path, "{\"name\":\"Green tea\",\"cents\":599}");
    assert_eq!(wrote.status, 200, "{}", wrote.text());
    let row = "SELECT name || cents FROM products WHERE id = '7'";
    let row = |()| database.query_row(row, [], |row| row.get::<_, String>(0));
    assert_eq!(row(()).unwrap(), "Green tea599");
    assert_eq!(server.get(path).json(), json!({ "name": "Green tea", "cents": 599 }));
    for wrong in ["{\"name\":\"Tea\",\"cents\":0}", "{\"name\":\"Tea\"}", "[]"] {
        let refused = put(&server, path, wrong);
        assert_eq!(
            (refused.status, &refused.json()["error"]["code"]),
            (422, &json!("unwritable")),
            "{wrong}"
        );
        assert_eq!(refused.header("Cache-Status"), "samovar; fwd=method; detail=unwritable");
    }
    assert_eq!(row(()).unwrap(), "Green tea599");
    assert_eq!(delete(&server, path).status, 200);
    assert!(row(()).is_err(), "it is gone from the table");
    assert_eq!(refused(&server.get(path)), (404, "no_such_row".into()));
}

#[test]
fn what_a_put_waits_for_is_the_strategys() {
    let text = PRODUCTS.replace("jitter = 0", "jitter = 0\nstrategy = 'write-through'");
    let shop = Shop::new(&text);
    let database = products(&shop);
    let server = shop.start();
    let path = "/api/cache/products_by_id/7";
    let row = || {
        let name = "SELECT name FROM products WHERE id = '7'";
        database.query_row(name, [], |row| row.get::<_, String>(0)).unwrap()
    };
    let through = put(&server, path, "{\"name\":\"Oolong\",\"cents\":1}");
    assert_eq!((through.status, row()), (200, "Oolong".into()));
    assert_eq!(through.header("Cache-Status"), "samovar; fwd=method; stored");
    let kept = server.get(path);
    assert!(
        kept.header("Cache-Status").starts_with("samovar; hit; "),
        "{}",
        kept.header("Cache-Status")
    );
    assert!(server.stop("TERM").0.success());

    let config = shop.path().join("samovar.toml");
    let text = fs::read_to_string(&config).unwrap().replace("write-through", "write-back");
    fs::write(&config, text).unwrap();
    let server = shop.start();
    // Nobody else may write as long as this does.
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let back = put(&server, path, "{\"name\":\"Sencha\",\"cents\":2}");
    assert_eq!((back.status, back.json()), (200, json!({ "version": null })));
    assert_eq!(server.get(path).json()["name"], "Sencha", "it is read from the journal");
    assert_eq!(row(), "Oolong");
    database.execute_batch("COMMIT").unwrap();
    poll("the row to be written back", || (row() == "Sencha").then_some(()));
}

/// The recipe's own configuration over its own schema.
#[test]
fn ten_caches_over_a_small_erp() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("samovar.toml");
    fs::write(&config, include_str!("../../../../../recipes/erp/samovar.toml")).unwrap();
    let database = open(&directory.path().join("erp.sqlite"));
    database.execute_batch(include_str!("../../../../../recipes/erp/schema.sql")).unwrap();
    database.execute_batch("INSERT INTO categories VALUES ('T', 'Teas', 40)").unwrap();
    let server =
        Server::start(samovar(&["serve", "--config", config.to_str().unwrap(), "--port", "0"]));
    let tea = json!({ "name": "Tea", "category": "T", "price_cents": 499, "cost_cents": 200, "active": true });
    let wrote = put(&server, "/api/cache/product_info/T-1", &tea.to_string());
    assert_eq!(wrote.status, 200, "{}", wrote.text());
    assert_eq!(server.get("/api/cache/product_info/T-1").json()["price_cents"], 499);
    assert_eq!(server.get("/api/cache/category/T").json()["name"], "Teas");
    assert_eq!(server.get("/api/cache/api_response/orders%2F7").json(), json!([]));
    assert_eq!(refused(&server.get("/api/cache/dashboard/1")), (404, "no_such_row".into()));
    let all = server.json("/api/stats")["caches"].as_object().unwrap().len();
    assert!(all >= 10, "{all}");
}

#[test]
fn statements_that_do_not_fit_the_database_are_told_at_once() {
    let text = PRODUCTS.replace("SELECT name, cents FROM products", "SELECT nam FROM products");
    let shop = Shop::new(&text.replace(":key ORDER BY id", ":kee"));
    products(&shop);
    let ended = Ended::of(&mut shop.command());
    assert_eq!(ended.code, Some(1));
    for field in ["caches.products_by_id.load.sql", "caches.products_of.load.sql"] {
        assert!(ended.err.contains(field), "{field}: {}", ended.err);
    }
}

#[test]
fn a_database_that_comes_later_is_read_then() {
    let shop = Shop::new(PRODUCTS);
    products(&shop);
    let (there, away) = (shop.path().join("shop.db"), shop.path().join("away.db"));
    fs::rename(&there, &away).unwrap();
    let server = shop.start();
    let path = "/api/cache/products_by_id/7";
    assert_eq!(refused(&server.get(path)), (502, "source_failed".into()));
    let is_told = || server.told().contains("caches load once it is there");
    poll("what it says", || is_told().then_some(()));
    fs::rename(&away, &there).unwrap();
    // Once its source has rested.
    poll("the row", || (server.get(path).status == 200).then_some(()));
}
