//! What every writer promises.

use std::sync::Arc;
use std::time::Duration;

use futures_executor::block_on;
use samovar_core::{Fate, WriteId, Writer};
use samovar_source::SourceErrorKind;
use samovar_source::rows::{RowOptions, Rows, WriteSql};
use serde_json::{json, value::RawValue};

use super::{
    BY_SKU, DELETE, HARMFUL, PRODUCTS, Place, UPSERT, done, fates, loader, one, product, put,
    upsert, writer,
};

const ALL: &str = "SELECT sku, name FROM products ORDER BY sku;";

pub(super) fn writes_and_deletes(place: &impl Place) {
    place.run(PRODUCTS);
    let deadline = Duration::from_secs(20);
    let database = place.open(RowOptions { write_deadline: deadline, ..RowOptions::default() });
    let products = writer(&database, &upsert());
    assert_eq!(products.deadline(), deadline);
    done(
        &products,
        &[product(1, "a", "Tea"), product(2, "b", "Cup"), product(3, "a", "Green tea")],
    );
    assert_eq!(place.run(ALL), "a|Green tea\nb|Cup");
    let by_sku = loader(&database, BY_SKU, Rows::One);
    let tea = json!({"sku": "a", "name": "Green tea", "price": 1.5, "stock": 3});
    assert_eq!(one(&by_sku, "a"), Some(tea));
    // One that is not there is deleted all the same.
    done(&products, &[put(4, "a", None), put(5, "z", None)]);
    assert_eq!(place.run(ALL), "b|Cup");
    done(&products, &[]);
    let lasting = writer(&database, &WriteSql::new(UPSERT));
    let refused = fates(&lasting, &[put(6, "b", None)]);
    let no_delete = "write.delete is not given";
    assert!(
        matches!(&refused[0], Some((Fate::Refused, text)) if text.contains(no_delete)),
        "{refused:?}"
    );
    assert_eq!(place.run(ALL), "b|Cup");
}

pub(super) fn takes_values_as_they_are(place: &impl Place) {
    place.run(PRODUCTS);
    place.run("CREATE TABLE things (k TEXT PRIMARY KEY, whole BIGINT, real DOUBLE PRECISION, truth BOOLEAN, document JSON);");
    let database = place.open(RowOptions::default());
    let products = writer(&database, &upsert());
    let by_sku = loader(&database, BY_SKU, Rows::One);
    for (number, text) in (1..).zip(HARMFUL) {
        done(&products, &[product(number, text, text)]);
        let found = one(&by_sku, text).expect("it was written");
        assert_eq!((&found["sku"], &found["name"]), (&json!(text), &json!(text)));
    }
    let things = "INSERT INTO things VALUES (:key, :whole, :real, :truth, :document)
        ON CONFLICT (k) DO UPDATE SET whole = excluded.whole";
    let write = writer(&database, &WriteSql::new(things));
    let read = loader(&database, "SELECT * FROM things WHERE k = :key", Rows::One);
    for (number, value) in (1..).zip([
        json!({"k": "a", "whole": i64::MAX, "real": 0.1, "truth": true, "document": {"a": [1, "'"]}}),
        json!({"k": "b", "whole": i64::MIN, "real": -1e300, "truth": false, "document": [null]}),
        json!({"k": "c", "whole": null, "real": null, "truth": null, "document": null}),
    ]) {
        let key = value["k"].as_str().expect("it is a text").to_owned();
        done(&write, &[put(number, &key, Some(value.clone()))]);
        assert_eq!(one(&read, &key), Some(value));
    }
    let huge = json!({"whole": u64::MAX, "real": 1, "truth": true, "document": 1});
    let refused = fates(&write, &[put(9, "d", Some(huge))]);
    assert!(matches!(refused[0], Some((Fate::Refused, _))), "{refused:?}");
}

pub(super) fn keeps_numbers_as_they_are_spelt(place: &impl Place) {
    place.run("CREATE TABLE things (k TEXT PRIMARY KEY, real DOUBLE PRECISION, document JSON);");
    let database = place.open(RowOptions::default());
    let write =
        writer(&database, &WriteSql::new("INSERT INTO things VALUES (:key, :real, :document)"));
    let read = "SELECT k, real FROM things WHERE k = :key";
    let read = loader(&database, read, Rows::One);
    for (number, (real, kept)) in (1..).zip([
        ("1.50", Some(json!(1.5))),
        ("-1E2", Some(json!(-100.0))),
        ("0.1", Some(json!(0.1))),
        ("0.1000000000000000055", None),
        ("12345678901234567890.12", None),
        ("18446744073709551615", None),
    ]) {
        let document = r#"{"n": 12345678901234567890.12}"#;
        let value =
            RawValue::from_string(format!("{{\"real\": {real}, \"document\": {document}}}"));
        let (value, key) = (value.expect("it is JSON"), Arc::from(real));
        let id = WriteId { node: 7, number };
        let outcome = block_on(write.write_values([(id, &key, Some(&*value))])).remove(0);
        assert_eq!(one(&read, real).map(|row| row["real"].clone()), kept);
        if kept.is_some() {
            outcome.expect("it is kept");
            let documents = place.run("SELECT document FROM things");
            assert!(documents.lines().all(|kept| kept == document), "{documents}");
        } else {
            let wrong = outcome.expect_err("it would be another number");
            assert_eq!(wrong.fate, Fate::Refused);
            assert!(wrong.to_string().contains("digits"), "{wrong}");
        }
    }
}

pub(super) fn refuses_one_and_writes_the_others(place: &impl Place) {
    place.run(PRODUCTS);
    place.run("CREATE UNIQUE INDEX names ON products (name);");
    let database = place.open(RowOptions::default());
    let products = writer(&database, &upsert());
    let object = |name: &str, price: f64| Some(json!({"name": name, "price": price, "stock": 1}));
    let fates_of = fates(
        &products,
        &[
            put(1, "a", object("Tea", 1.0)),
            put(2, "b", object("Cup", -1.0)),
            put(3, "c", Some(json!({"name": null, "price": 1, "stock": 1}))),
            put(4, "d", object("Tea", 2.0)),
            put(5, "e", Some(json!({"name": "Pot", "price": 1}))),
            put(6, "f", Some(json!("Pot"))),
            put(7, "g", object("Pot", 20.0)),
        ],
    );
    let said: Vec<&str> =
        fates_of.iter().map(|fate| fate.as_ref().map_or("", |fate| &fate.1)).collect();
    let refused = |at: usize| matches!(fates_of[at], Some((Fate::Refused, _)));
    assert!((1..6).all(refused) && fates_of[0].is_none() && fates_of[6].is_none(), "{fates_of:?}");
    assert!(said[1].contains("caches.products.write.upsert"), "{}", said[1]);
    assert!(said[4].contains("no field \"stock\""), "{}", said[4]);
    assert!(said[5].contains("no object"), "{}", said[5]);
    assert_eq!(place.run(ALL), "a|Tea\ng|Pot");
    // A value that changes no row is not in the source.
    let update = WriteSql::new("UPDATE products SET name = :name WHERE sku = :key");
    let renames = writer(&database, &update);
    let fates_of = fates(&renames, &[product(1, "z", "Jug"), product(2, "a", "Jug")]);
    assert!(matches!(&fates_of[0], Some((Fate::Refused, text)) if text.contains("changed no row")));
    assert_eq!((fates_of[1].is_none(), place.run(ALL)), (true, "a|Jug\ng|Pot".into()));
}

pub(super) fn leaves_out_what_it_has(place: &impl Place) {
    place.run(PRODUCTS);
    let database = place.open(RowOptions::default());
    let products = writer(&database, &upsert());
    done(&products, &[product(2, "a", "Tea"), product(5, "b", "Cup")]);
    place.run("UPDATE products SET name = 'theirs';");
    // The same again, and one that is older: both are there or were, and others have written since.
    done(&products, &[product(2, "a", "Tea"), put(1, "a", None), product(5, "b", "Cup")]);
    assert_eq!(place.run(ALL), "a|theirs\nb|theirs");
    // Writes of several keys may come in any order.
    done(&products, &[product(4, "c", "Pot"), product(3, "a", "Tea")]);
    assert_eq!(place.run(ALL), "a|Tea\nb|theirs\nc|Pot");
    // Another node counts by itself, and so does another cache.
    let mut theirs = product(1, "a", "Jug");
    theirs.id = WriteId { node: u64::MAX, number: 1 };
    done(&products, &[theirs]);
    assert_eq!(place.run("SELECT name FROM products WHERE sku = 'a';"), "Jug");
    let other = database.writer("other", &upsert()).expect("it is right");
    done(&other, &[product(1, "a", "Mug")]);
    assert_eq!(place.run("SELECT name FROM products WHERE sku = 'a';"), "Mug");
    // Opened anew it still knows.
    let again = place.open(RowOptions::default());
    done(&writer(&again, &upsert()), &[product(3, "a", "Tea")]);
    assert_eq!(place.run("SELECT name FROM products WHERE sku = 'a';"), "Mug");
    // What was refused is not remembered as written.
    let poor = put(9, "d", Some(json!({"name": "Pot", "price": -1, "stock": 1})));
    for _ in 0..2 {
        let fates_of = fates(&products, std::slice::from_ref(&poor));
        assert!(matches!(fates_of[0], Some((Fate::Refused, _))), "{fates_of:?}");
    }
    assert_eq!(place.run("SELECT max(number) FROM samovar_writes WHERE cache = 'products';"), "5");
    // Without memory the last writer wins.
    let forgetful = writer(&database, &WriteSql { remember: false, ..upsert() });
    done(&forgetful, &[product(1, "a", "Tea")]);
    assert_eq!(place.run("SELECT name FROM products WHERE sku = 'a';"), "Tea");
}

pub(super) fn asks_late_rules_at_the_commit(place: &impl Place) {
    place.run(
        "CREATE TABLE nodes (k TEXT PRIMARY KEY, parent TEXT REFERENCES nodes (k) DEFERRABLE INITIALLY DEFERRED);",
    );
    let database = place.open(RowOptions::default());
    let nodes = writer(&database, &WriteSql::new("INSERT INTO nodes VALUES (:key, :parent)"));
    let node = |number, key: &str, parent: &str| put(number, key, Some(json!({"parent": parent})));
    // A row may refer to one that comes after it.
    done(&nodes, &[node(1, "child", "parent"), node(2, "parent", "parent")]);
    let fates_of =
        fates(&nodes, &[node(3, "a", "parent"), node(4, "b", "nobody"), node(5, "c", "child")]);
    let refused = matches!(fates_of[1], Some((Fate::Refused, _)));
    assert!(refused && fates_of[0].is_none() && fates_of[2].is_none(), "{fates_of:?}");
    let fates_of = fates(&nodes, &[node(6, "d", "nobody")]);
    assert!(matches!(fates_of[0], Some((Fate::Refused, _))), "{fates_of:?}");
    assert_eq!(place.run("SELECT k FROM nodes ORDER BY k;"), "a\nc\nchild\nparent");
}

pub(super) fn gives_up_in_time(place: &impl Place) {
    place.run(PRODUCTS);
    let options = RowOptions {
        write_deadline: Duration::from_secs(2),
        connections: 1,
        ..RowOptions::default()
    };
    let database = place.open(options);
    let slow = format!(
        "INSERT INTO products (sku, name, stock) VALUES (:key, :name, CASE :name WHEN 'slow' THEN {} ELSE 1 END)",
        place.slow()
    );
    let slow = writer(&database, &WriteSql::new(slow));
    let fates_of = fates(&slow, &[product(1, "a", "fast"), product(2, "b", "slow")]);
    for fate in &fates_of {
        assert!(matches!(fate, Some((Fate::NotWritten, _))), "{fates_of:?}");
    }
    assert_eq!(place.run(ALL), "");
    // Its time is as short on a busy machine.
    let is_done = |_| fates(&slow, &[product(1, "a", "fast")]) == [None];
    assert!((0..20).any(is_done), "what comes next is written");
    assert_eq!(place.run(ALL), "a|fast");
}

pub(super) fn counts_what_was_waited_before(place: &impl Place) {
    place.run(PRODUCTS);
    let products = writer(&place.open(RowOptions::default()), &upsert());
    let begun = |ago| products.after(Duration::from_secs(ago));
    let late = fates(&begun(16), &[product(1, "a", "Tea")]);
    assert!(
        matches!(&late[0], Some((Fate::NotWritten, text)) if text.contains("write_deadline")),
        "{late:?}"
    );
    assert_eq!(place.run(ALL), "");
    done(&begun(5), &[product(1, "a", "Tea")]);
    assert_eq!(place.run(ALL), "a|Tea");
}

pub(super) fn tells_what_is_wrong_in_a_write(place: &impl Place) {
    place.run(PRODUCTS);
    let database = place.open(RowOptions::default());
    let wrong = |write: &WriteSql| {
        let wrong = database.writer("products", write).map(|_| ()).expect_err("it is wrong");
        assert_eq!(wrong.kind(), SourceErrorKind::Schema, "{wrong}");
        wrong.to_string()
    };
    for (sql, what) in [
        ("INSERT INTO product (sku) VALUES (:key)", "product"),
        ("UPDATE products SET nothing = :name WHERE sku = :key", "nothing"),
        ("UPDATE products SET name = :name", "does not look at the key"),
        ("SELECT * FROM products WHERE sku = :key", "must be an INSERT"),
        ("WITH x AS (SELECT :key AS k) SELECT * FROM x", "it reads, and must write"),
        ("DROP TABLE products", "must be an INSERT"),
        ("UPDATE products SET name = :key; DROP TABLE products", "statement"),
        ("", "must be an INSERT"),
    ] {
        let upsert = wrong(&WriteSql::new(sql));
        assert!(
            upsert.starts_with("caches.products.write.upsert: ") && upsert.contains(what),
            "{upsert}"
        );
        let delete = wrong(&WriteSql { delete: Some(sql.into()), ..WriteSql::new(UPSERT) });
        assert!(delete.starts_with("caches.products.write.delete: "), "{delete}");
    }
    // A deletion has no value to take fields of.
    let delete = format!("{DELETE} AND name = :name");
    let delete = wrong(&WriteSql { delete: Some(delete), ..WriteSql::new(UPSERT) });
    assert!(delete.contains("there is no parameter :name; it may take :key"), "{delete}");
    let key = wrong(&WriteSql { key: Some("{a}{b}".into()), ..WriteSql::new(UPSERT) });
    assert!(key.starts_with("caches.products.write.key: "), "{key}");
    // A key that is put together otherwise is nobody's.
    let pattern = WriteSql { key: Some("{a}:{b}".into()), ..WriteSql::new(UPSERT) };
    let products = writer(&database, &pattern);
    let outcomes = block_on(products.write(&[product(1, "a", "Tea"), product(2, "a:b", "Tea")]));
    assert_eq!(outcomes[0].as_ref().map_err(|wrong| wrong.fate), Err(Fate::Refused));
    assert_eq!((outcomes[1].is_ok(), place.run(ALL)), (true, "a:b|Tea".into()));
}
