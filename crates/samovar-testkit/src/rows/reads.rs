//! What every loader promises.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_executor::block_on;
use samovar_source::SourceErrorKind;
use samovar_source::rows::{LoadSql, RowOptions, Rows, SqlLoader};
use serde_json::{Value, json};

use super::{BY_SKU, HARMFUL, PRODUCTS, Place, loader, one};

pub(super) fn reads_one_row_or_many(place: &impl Place) {
    place.run(PRODUCTS);
    place.run(
        "INSERT INTO products VALUES ('a', 'Tea', 4.5, 7, 'x'), ('b', 'Cup', NULL, NULL, 'x'),
            ('c', 'Pot', 20, 0, 'y');",
    );
    let database = place.open(RowOptions::default());
    let by_sku = loader(&database, BY_SKU, Rows::One);
    let tea = json!({"sku": "a", "name": "Tea", "price": 4.5, "stock": 7});
    let cup = json!({"sku": "b", "name": "Cup", "price": null, "stock": null});
    assert_eq!(one(&by_sku, "a"), Some(tea.clone()));
    assert_eq!(one(&by_sku, "z"), None);
    let keys: Vec<Arc<str>> = ["b", "z", "a", "b"].map(Arc::from).to_vec();
    assert_eq!(all(&by_sku, &keys), [Some(cup.clone()), None, Some(tea), Some(cup)]);
    assert_eq!(all(&by_sku, &[]), []);
    let by_note = "SELECT sku FROM products WHERE note = :key ORDER BY sku DESC;";
    let by_note = loader(&database, by_note, Rows::Many);
    assert_eq!(one(&by_note, "x"), Some(json!([{"sku": "b"}, {"sku": "a"}])));
    assert_eq!(one(&by_note, "z"), Some(json!([])));
    // What others commit is seen.
    place.run("UPDATE products SET name = 'Jug' WHERE sku = 'c';");
    assert_eq!(one(&by_sku, "c").expect("it is there")["name"], json!("Jug"));
}

/// The rows of keys that can all be read.
fn all(loader: &SqlLoader, keys: &[Arc<str>]) -> Vec<Option<Value>> {
    let found = block_on(loader.load(keys)).expect("they can be read");
    found.into_iter().map(|row| row.expect("each can be read")).collect()
}

pub(super) fn reads_every_type(place: &impl Place) {
    place.run(
        "CREATE TABLE things (k TEXT, whole BIGINT, real DOUBLE PRECISION, words TEXT, truth BOOLEAN,
            day DATE, document JSON);
         INSERT INTO things VALUES
            ('a', 9223372036854775807, 0.1, 'Grüße, 世界', true, '2026-02-03', '{\"a\": [1, null, \"ü\"]}'),
            ('b', -9007199254740993, -1e300, '', false, '1969-12-31', '[]'),
            ('c', NULL, NULL, NULL, NULL, NULL, NULL);",
    );
    let database = place.open(RowOptions::default());
    let things = loader(&database, "SELECT * FROM things WHERE k = :key", Rows::One);
    let a = json!({"k": "a", "whole": 9_223_372_036_854_775_807_i64, "real": 0.1, "words": "Grüße, 世界",
        "truth": true, "day": "2026-02-03", "document": {"a": [1, null, "ü"]}});
    let b = json!({"k": "b", "whole": -9_007_199_254_740_993_i64, "real": -1e300, "words": "",
        "truth": false, "day": "1969-12-31", "document": []});
    let c = json!({"k": "c", "whole": null, "real": null, "words": null, "truth": null, "day": null,
        "document": null});
    for (key, expected) in [("a", a), ("b", b), ("c", c)] {
        assert_eq!(one(&things, key), Some(expected));
    }
    // What is computed has a type of its own.
    let sums = "SELECT count(*) AS n, sum(real) AS s, max(words) AS w, 'x' AS x FROM things WHERE k = :key";
    let sums = loader(&database, sums, Rows::One);
    assert_eq!(one(&sums, "a"), Some(json!({"n": 1, "s": 0.1, "w": "Grüße, 世界", "x": "x"})));
    assert_eq!(one(&sums, "z"), Some(json!({"n": 0, "s": null, "w": null, "x": "x"})));
}

pub(super) fn takes_keys_as_they_are(place: &impl Place) {
    place.run(PRODUCTS);
    let database = place.open(RowOptions::default());
    let by_sku = loader(&database, BY_SKU, Rows::One);
    for key in HARMFUL {
        assert_eq!(one(&by_sku, key), None, "{key}");
        let literal = key.replace('\'', "''");
        place.run(&format!("INSERT INTO products (sku, name) VALUES ('{literal}', '{literal}');"));
        let found = one(&by_sku, key).expect("it is there now");
        assert_eq!((&found["sku"], &found["name"]), (&json!(key), &json!(key)));
    }
    for key in ["", "\0", "a\0b", &"x".repeat(100_000)] {
        assert_eq!(one(&by_sku, key), None);
    }
    assert_eq!(place.run("SELECT count(*) FROM products;"), HARMFUL.len().to_string());
}

pub(super) fn takes_the_parts_of_a_key(place: &impl Place) {
    place.run(
        "CREATE TABLE sales (store BIGINT, month TEXT, total BIGINT);
         INSERT INTO sales VALUES (7, '2024-01', 70), (8, '2024-01', 80);",
    );
    let database = place.open(RowOptions::default());
    let sql = "SELECT total, :key AS key FROM sales WHERE store = :store AND month = :month";
    let load =
        LoadSql { key: Some("{store:integer}:{month}".into()), ..LoadSql::new(sql, Rows::One) };
    let totals = database.loader("sales", &load).expect("it is right");
    let total = json!({"total": 70, "key": "7:2024-01"});
    assert_eq!(one(&totals, "7:2024-01"), Some(total));
    for key in ["7", "7:", "07:2024-01", "7:2024-01:", "x:2024-01", "9:2024-01"] {
        assert_eq!(one(&totals, key), None, "{key}");
    }
}

pub(super) fn keeps_to_its_limits(place: &impl Place) {
    place.run(PRODUCTS);
    place.run("INSERT INTO products (sku, name, note) VALUES ('a', 'A', 'x'), ('b', 'B', 'x'), ('c', 'C', 'y');");
    let options = RowOptions {
        max_rows: 2,
        connections: 1,
        timeout: Duration::from_secs(1),
        ..RowOptions::default()
    };
    let database = place.open(options);
    let by_note = "SELECT sku FROM products WHERE note = :key ORDER BY sku";
    let many = loader(&database, by_note, Rows::Many);
    let two = json!([{"sku": "a"}, {"sku": "b"}]);
    assert_eq!(one(&many, "x"), Some(two.clone()));
    let mut found = block_on(many.load(&["x".into(), "y".into()])).expect("two are not too many");
    let wrong = found.pop().expect("two keys").expect_err("three are too many");
    assert_eq!(found.pop().expect("two keys").expect("the first has room"), Some(two.clone()));
    assert_eq!(wrong.kind(), SourceErrorKind::TooManyRows);
    for word in ["caches.products.load.sql", "\"y\"", "more than 2 rows", "max_rows"] {
        assert!(wrong.to_string().contains(word), "{wrong}");
    }
    let single = loader(&database, by_note, Rows::One);
    let wrong = block_on(single.load_one("x")).expect_err("two are not one");
    assert_eq!(wrong.kind(), SourceErrorKind::TooManyRows);
    assert!(wrong.to_string().contains("\"x\" has more than one row"), "{wrong}");
    let slow = format!("SELECT {} AS n WHERE :key <> ''", place.slow());
    let slow = loader(&database, &slow, Rows::One);
    let wrong = block_on(slow.load_one("x")).expect_err("it takes too long");
    assert_eq!(wrong.kind(), SourceErrorKind::Timeout, "{wrong}");
    for word in ["caches.products.load.sql", "longer than 1 s"] {
        assert!(wrong.to_string().contains(word), "{wrong}");
    }
    assert_eq!(one(&many, "x"), Some(two), "the connection is as good as new");
}

pub(super) fn stops_when_nobody_waits(place: &impl Place) {
    let hour = Duration::from_secs(3_600);
    let options = RowOptions { connections: 1, timeout: hour, ..RowOptions::default() };
    let database = place.open(options);
    let slow = format!("SELECT {} AS n WHERE :key = 'slow'", place.slow());
    let slow = loader(&database, &slow, Rows::One);
    drop(slow.load(&["slow".into()]));
    // There is one connection, so this waits for the end of that.
    assert_eq!(one(&slow, "none"), None);
}

pub(super) fn reads_many_keys_as_of_one_moment(place: &(impl Place + Sync)) {
    place.run(PRODUCTS);
    place.run("INSERT INTO products (sku, name, stock) VALUES ('a', 'A', 50), ('b', 'B', 50);");
    let database = place.open(RowOptions::default());
    let by_sku = loader(&database, BY_SKU, Rows::One);
    // So many between the two that others commit meanwhile.
    let none = std::iter::repeat_n("none", 3_000);
    let keys: Vec<Arc<str>> = ["a"].into_iter().chain(none).chain(["b"]).map(Arc::from).collect();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut way = 1;
            while !over.load(Ordering::Relaxed) {
                place.run(&format!(
                    "BEGIN; UPDATE products SET stock = stock - {way} WHERE sku = 'a';
                     UPDATE products SET stock = stock + {way} WHERE sku = 'b'; COMMIT;"
                ));
                way = -way;
            }
        });
        let wrong = (0..10).find_map(|_| {
            let found = all(&by_sku, &keys);
            let stock = |row: &Value| row["stock"].as_i64().expect("it is a number");
            let sum: i64 = found.iter().flatten().map(stock).sum();
            (sum != 100).then_some(sum)
        });
        over.store(true, Ordering::Relaxed);
        assert_eq!(wrong, None, "each commit leaves 100");
    });
}

pub(super) fn leaves_the_others_alone(place: &impl Place) {
    place.run("CREATE TABLE things (k TEXT, n BIGINT, document JSON);");
    // More than are under way at once, and several that fail: the third and the last, one with another behind it.
    let bad = ["2", "40", "41", "79"];
    for key in 0..80_i64 {
        let n = if bad.contains(&key.to_string().as_str()) { i64::MIN } else { -key };
        place.run(&format!("INSERT INTO things (k, n) VALUES ('{key}', {n});"));
    }
    place.run("INSERT INTO things (k, n) VALUES ('7', 1);");
    place.run("UPDATE things SET document = '[0.1000000000000000055]' WHERE k = '9';");
    let things = place.open(RowOptions::default());
    let sizes = "SELECT k, abs(n) AS n, document FROM things WHERE k = :key";
    let sizes = loader(&things, sizes, Rows::One);
    let keys: Vec<Arc<str>> = (0..80).map(|key| Arc::from(key.to_string())).collect();
    let found = block_on(sizes.load(&keys)).expect("most can be read");
    for (key, found) in keys.iter().zip(found) {
        let (kind, what) = match &**key {
            key if bad.contains(&key) => (SourceErrorKind::Value, "the query fails on its rows"),
            "7" => (SourceErrorKind::TooManyRows, "more than one row"),
            "9" => (SourceErrorKind::Value, "column document"),
            key => {
                let n: i64 = key.parse().expect("it is a number");
                let row = json!({"k": key, "n": n, "document": null});
                assert_eq!(found.expect("it can be read"), Some(row));
                continue;
            }
        };
        let wrong = found.expect_err("it cannot be read");
        assert_eq!(wrong.kind(), kind, "{wrong}");
        let text = wrong.to_string();
        for word in ["caches.products.load.sql", &format!("key {key:?}"), what] {
            assert!(text.contains(word), "{text}");
        }
    }
}

pub(super) fn tells_what_is_wrong_in_a_load(place: &impl Place) {
    place.run(PRODUCTS);
    let database = place.open(RowOptions::default());
    for (sql, what) in [
        ("SELECT * FROM product WHERE sku = :key", "product"),
        ("SELECT nothing FROM products WHERE sku = :key", "nothing"),
        ("SELECT * FROM products WHERE sku = :kee", "there is no parameter :kee; it may take :key"),
        ("SELECT * FROM products", "does not look at the key"),
        ("SELECT sku AS a, name AS a FROM products WHERE sku = :key", "two columns are called a"),
        ("SELECT FROM WHERE :key", "cannot read it"),
        ("SELECT 1 AS one WHERE :key <> ''; DELETE FROM products", "statement"),
        ("DELETE FROM products WHERE sku = :key", "must be a SELECT"),
        ("UPDATE products SET name = :key RETURNING name", "must be a SELECT"),
        ("DROP TABLE products", "must be a SELECT"),
        ("products", "must be a SELECT"),
        ("", "must be a SELECT"),
    ] {
        let wrong = database.loader("products", &LoadSql::new(sql, Rows::One));
        let wrong = wrong.map(|_| ()).expect_err(sql);
        assert_eq!(wrong.kind(), SourceErrorKind::Schema, "{wrong}");
        let text = wrong.to_string();
        assert!(text.starts_with("caches.products.load.sql: ") && text.contains(what), "{text}");
    }
    let load = LoadSql { key: Some("{a".into()), ..LoadSql::new(BY_SKU, Rows::One) };
    let wrong = database.loader("products", &load).map(|_| ()).expect_err("it is not closed");
    assert!(wrong.to_string().starts_with("caches.products.load.key: "), "{wrong}");
    assert_eq!(place.run("SELECT count(*) FROM products;"), "0");
}
