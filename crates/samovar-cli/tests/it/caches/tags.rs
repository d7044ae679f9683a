//! Documents that are invalidated together by their tags.

use rusqlite::Connection;
use serde_json::json;

use super::{Shop, delete, put, refused, run};
use crate::server::{Server, open};

const PRODUCTS: &str = "
[caches.things]
strategy = 'write-through'
tags = ['maker:{maker}', 'catalogue']
[caches.things.load]
sql = 'SELECT name, maker FROM products WHERE id = :key'
[caches.things.write]
upsert = 'INSERT OR REPLACE INTO products (id, name, maker) VALUES (:key, :name, :maker)'
[caches.products_of]
tags = ['maker:{maker}']
load = { sql = 'SELECT maker, name FROM products WHERE name = :key ORDER BY id', rows = 'many' }
";

fn products(shop: &Shop) -> Connection {
    let database = open(&shop.path().join("shop.db"));
    database
        .execute_batch(
            "CREATE TABLE products (id TEXT PRIMARY KEY, name TEXT, maker INTEGER);
             INSERT INTO products VALUES ('7', 'Tea', 1), ('8', 'Milk', 2), ('9', 'Tea', 3), ('10', 'Rum', NULL)",
        )
        .unwrap();
    database
}

/// Whether what is there is given, under these keys.
fn hits<const N: usize>(server: &Server, paths: [&str; N]) -> [bool; N] {
    paths.map(|path| {
        let answer = server.get(&format!("/api/cache/{path}"));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.header("Cache-Status").starts_with("samovar; hit")
    })
}

fn invalidate(server: &Server, tag: &str) {
    let answer = server.post("/api/invalidate", &json!({ "tag": tag }));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn rows_bear_the_tags_that_their_fields_tell() {
    let shop = Shop::new(PRODUCTS);
    let database = products(&shop);
    let server = shop.start();
    let all = ["things/7", "things/8", "things/10", "products_of/Tea", "products_of/Milk"];
    assert_eq!(hits(&server, all), [false; 5]);
    database.execute("UPDATE products SET name = name || '!' WHERE id = '7'", []).unwrap();
    assert_eq!(hits(&server, all), [true; 5], "nobody has been told");
    invalidate(&server, "maker:1");
    assert_eq!(hits(&server, all), [false, true, true, false, true]);
    assert_eq!(server.get("/api/cache/things/7").json()["name"], "Tea!");
    assert_eq!(
        server.get("/api/cache/products_of/Tea").json(),
        json!([{ "maker": 3, "name": "Tea" }])
    );
    invalidate(&server, "maker:1");
    assert_eq!(hits(&server, all), [false, true, true, true, true], "of another maker now");
    invalidate(&server, "catalogue");
    assert_eq!(hits(&server, all), [false, false, false, true, true]);

    // That there is no row may be wrong by any of them.
    let none = "/api/cache/products_of/Rum%20punch";
    assert_eq!(server.get(none).json(), json!([]));
    database.execute("INSERT INTO products VALUES ('11', 'Rum punch', 1)", []).unwrap();
    invalidate(&server, "maker:1");
    assert_eq!(server.get(none).json(), json!([{ "maker": 1, "name": "Rum punch" }]));

    // Those that are loaded together bear them.
    let many = json!({ "keys": ["7", "9"] });
    let told = server.post("/api/cache/things/_get", &many);
    assert_eq!(told.json()["values"]["9"]["maker"], 3, "{}", told.text());
    invalidate(&server, "maker:3");
    assert_eq!(hits(&server, ["things/9"]), [false]);

    // What is put bears them, too.
    assert_eq!(put(&server, "/api/cache/things/8", r#"{"name": "Milk", "maker": 7}"#).status, 200);
    invalidate(&server, "maker:2");
    assert_eq!(hits(&server, ["things/8"]), [true]);
    invalidate(&server, "maker:7");
    assert_eq!(hits(&server, ["things/8"]), [false]);
}

#[test]
fn a_cache_that_keeps_nothing_of_a_put_takes_no_tags() {
    let text = PRODUCTS.replace("strategy = 'write-through'", "");
    let shop = Shop::new(&text);
    let _database = products(&shop);
    let server = shop.start();
    let put = |tags: &[(&str, &str)]| {
        let headers = [&[("Host", &*server.host), ("Content-Type", "application/json")], tags];
        let row = r#"{"name": "Milk", "maker": 7}"#;
        server.ask("PUT", "/api/cache/things/7", &headers.concat(), row)
    };
    assert_eq!(put(&[("Cache-Tag", "season:summer")]).status, 400);
    assert_eq!(put(&[]).status, 200);
}

#[test]
fn a_put_says_which_tags_a_document_bears() {
    let shop = Shop::new("[caches.notes]\nttl = '1h'");
    let server = shop.start();
    let path = "/api/cache/notes/1";
    let put_with = |tags: &[&str]| {
        let mut headers = vec![("Host", &*server.host), ("Content-Type", "application/json")];
        headers.extend(tags.iter().map(|tags| ("Cache-Tag", *tags)));
        server.ask("PUT", path, &headers, "1")
    };
    for tag in ["season:summer", "supplier:7", "übrig"] {
        assert_eq!(put_with(&["season:summer,supplier:7", "übrig"]).status, 200);
        invalidate(&server, "season:winter");
        assert_eq!(hits(&server, ["notes/1"]), [true]);
        invalidate(&server, tag);
        assert_eq!(refused(&server.get(path)), (404, "not_cached".into()), "{tag}");
    }
    let many = (0..65).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    for wrong in ["", "a,,b", "*", &"x".repeat(65), &many] {
        let answer = put_with(&[wrong]);
        assert_eq!((answer.status, &answer.json()["error"]["field"]), (400, &json!("Cache-Tag")));
    }
    assert_eq!(refused(&server.get(path)), (404, "not_cached".into()));

    let told = run(&server, &["put", "notes", "1", "1", "--tag", "a", "--tag", "b"]);
    assert_eq!(told.code, Some(0), "{}", told.err);
    assert_eq!(run(&server, &["invalidate", "--tag", "b"]).code, Some(0));
    assert_eq!(refused(&server.get(path)), (404, "not_cached".into()));
    assert_eq!(delete(&server, path).status, 200);
}
