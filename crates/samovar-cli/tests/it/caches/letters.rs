//! Dead letters over HTTP and on the command line: what was acknowledged and the database would not have.

use rusqlite::Connection;
use serde_json::{Value, json};

use super::{Shop, TOKEN, delete, put, refused, run};
use crate::server::{Server, open, poll};

const NAMES: &str = "
[caches.names]
strategy = 'write-back'
[caches.names.load]
sql = 'SELECT name FROM names WHERE id = :key'
[caches.names.write]
upsert = 'INSERT INTO names (id, name) VALUES (:key, :name) ON CONFLICT (id) DO UPDATE SET name = excluded.name'
delete = 'DELETE FROM names WHERE id = :key'
";

/// A table that has no rum.
fn names(shop: &Shop) -> Connection {
    let database = open(&shop.path().join("shop.db"));
    database
        .execute_batch(
            "CREATE TABLE names (id TEXT PRIMARY KEY, name TEXT NOT NULL);
             CREATE TRIGGER no_rum BEFORE INSERT ON names WHEN new.name = 'Rum'
                 BEGIN SELECT RAISE(ABORT, 'there shall be no rum'); END",
        )
        .unwrap();
    database
}

/// The letters, once there are so many.
fn letters(server: &Server, many: usize) -> Vec<Value> {
    poll("the dead letters", || {
        let told = server.json("/api/letters");
        (told["total"] == many).then(|| told["letters"].as_array().unwrap().clone())
    })
}

fn id(letter: &Value) -> String {
    letter["id"].as_str().unwrap().to_owned()
}

fn path(id: &str) -> String {
    format!("/api/letters/{id}")
}

#[test]
fn what_the_database_would_not_have_is_listed_retried_and_dropped() {
    let shop = Shop::new(NAMES);
    let database = names(&shop);
    let server = shop.start();
    assert_eq!(server.json("/api/letters"), json!({ "total": 0, "letters": [] }));
    for key in ["1", "2"] {
        let path = format!("/api/cache/names/{key}");
        assert_eq!(put(&server, &path, "{\"name\":\"Rum\"}").status, 200, "it is acknowledged");
        letters(&server, key.parse().unwrap());
    }
    let both = letters(&server, 2);
    let letter = &both[0];
    assert_eq!((&letter["cache"], &letter["key"]), (&json!("names"), &json!("1")));
    assert_eq!((&letter["is_delete"], &letter["bytes"]), (&json!(false), &json!(14)));
    assert_eq!(letter["attempts"], 1);
    assert!(letter["reason"].as_str().unwrap().contains("no rum"), "{letter}");
    for time in ["accepted", "given_up"] {
        assert!(letter[time].as_str().unwrap().starts_with("20"), "{letter}");
    }
    let some = server.json("/api/letters?limit=1");
    assert_eq!((&some["total"], some["letters"].as_array().unwrap().len()), (&json!(2), 1));
    assert_eq!(server.json("/api/letters?cache=names")["total"], 2);
    assert_eq!(server.json("/api/letters?cache=notes")["total"], 0);

    database.execute_batch("DROP TRIGGER no_rum").unwrap();
    let (first, second) = (id(&both[0]), id(&both[1]));
    let retried = server.post(&format!("{}/retry", path(&first)), &json!({}));
    assert_eq!((retried.status, retried.json()), (200, json!({ "retried": first })));
    poll("the row", || {
        let row = database.query_row("SELECT name FROM names WHERE id = '1'", [], |row| row.get(0));
        row.ok().filter(|name: &String| name == "Rum")
    });
    let dropped = delete(&server, &path(&second));
    assert_eq!((dropped.status, dropped.json()), (200, json!({ "dropped": second })));
    for gone in [&first, &second] {
        assert_eq!(refused(&delete(&server, &path(gone))), (404, "no_such_letter".into()));
        let retried = server.post(&format!("{}/retry", path(gone)), &json!({}));
        assert_eq!(refused(&retried), (404, "no_such_letter".into()));
    }
    assert_eq!(server.json("/api/letters")["total"], 0);
    assert_eq!(server.get("/api/cache/names/2").status, 404, "nobody wrote it");
}

#[test]
fn a_cache_whose_letters_are_full_says_so_and_when_to_ask_again() {
    let shop = Shop::new(&format!("{NAMES}[journal]\nletters_max_bytes = '1 KB'\n"));
    let _database = names(&shop);
    let server = shop.start();
    let full = (0..100).find_map(|number| {
        let answer = put(&server, &format!("/api/cache/names/{number}"), "{\"name\":\"Rum\"}");
        if answer.status != 200 {
            return Some(answer);
        }
        letters(&server, number + 1);
        None
    });
    let full = full.unwrap();
    assert_eq!(refused(&full), (503, "full".into()));
    assert_eq!(full.header("Retry-After"), "5");
    assert!(full.text().contains("letters_max_bytes"), "{}", full.text());
    let oldest = server.json("/api/letters?limit=1");
    assert_eq!(delete(&server, &path(&id(&oldest["letters"][0]))).status, 200);
    assert_eq!(put(&server, "/api/cache/names/tea", "{\"name\":\"Tea\"}").status, 200);
}

#[test]
fn what_cannot_be_is_refused_with_a_reason() {
    let shop = Shop::new("[caches.notes]");
    let server = shop.start();
    for query in ["limit=0", "limit=1001", "limit=many", "key=1", "cache=a&cache=b", "cache=%FF"] {
        assert_eq!(server.get(&format!("/api/letters?{query}")).status, 400, "{query}");
    }
    for id in
        ["7", "feed-7", "000000000000FEED-7", "000000000000feed-07", "000000000000feed-", "%FF"]
    {
        let refused = delete(&server, &path(id));
        assert_eq!(refused.status, 400, "{id}");
        assert_eq!(refused.json()["error"]["field"], "id", "{id}");
    }
    let retry = format!("{}/retry", path("000000000000feed-7"));
    assert_eq!(server.post(&retry, &json!({ "all": true })).status, 400);
    let host = ("Host", &*server.host);
    assert_eq!(server.ask("POST", &retry, &[host], "{}").status, 415);
}

#[test]
fn who_may_read_them_and_who_may_change_them() {
    let shop = Shop::new("read_token = 'open-figures'\ntoken = 'open-sesame'\n[caches.notes]");
    let server = shop.start();
    let json = ("Content-Type", "application/json");
    let away = [("Host", "shop.example"), ("X-Forwarded-For", "192.0.2.7"), json];
    let reader = ("Authorization", "Bearer open-figures");
    let one = path("000000000000feed-7");
    let retry = format!("{one}/retry");
    for (method, path, body, by_reader, by_token) in [
        ("GET", "/api/letters", "", 200, 200),
        ("POST", &*retry, "{}", 401, 404),
        ("DELETE", &*one, "", 401, 404),
    ] {
        let ask = |bearer: Option<(&str, &str)>| {
            let headers: Vec<_> = away.into_iter().chain(bearer).collect();
            server.ask(method, path, &headers, body).status
        };
        assert_eq!(
            (ask(None), ask(Some(reader)), ask(Some(TOKEN))),
            (401, by_reader, by_token),
            "{method} {path}"
        );
    }
}

#[test]
fn a_day_with_dead_letters_in_a_terminal() {
    let shop = Shop::new(NAMES);
    let database = names(&shop);
    let server = shop.start();
    assert_eq!(run(&server, &["letters", "list"]).out, "there are no dead letters\n");
    for key in ["1", "2"] {
        let put = run(&server, &["put", "names", key, "{\"name\":\"Rum\"}"]);
        assert_eq!(put.code, Some(0), "{}", put.err);
        letters(&server, key.parse().unwrap());
    }
    let both = letters(&server, 2);
    let (first, second) = (id(&both[0]), id(&both[1]));
    let listed = run(&server, &["letters", "list"]).out;
    assert!(listed.starts_with(&format!("{first}  names:1  14 bytes, given up ")), "{listed}");
    assert!(listed.contains("no rum"), "{listed}");
    let one = run(&server, &["letters", "list", "--limit", "1", "--cache", "names"]).out;
    assert!(one.ends_with("and 1 more: --limit and --cache choose\n"), "{one}");
    let told = run(&server, &["letters", "list", "--cache", "a&limit=b", "--json"]).out;
    assert_eq!(told, "{\"letters\":[],\"total\":0}\n");

    database.execute_batch("DROP TRIGGER no_rum").unwrap();
    let retried = run(&server, &["letters", "retry", &first]);
    assert_eq!(retried.code, Some(0), "{}", retried.err);
    assert!(retried.out.starts_with(&format!("{first} is a write again")), "{}", retried.out);
    let dropped = run(&server, &["letters", "drop", &second, "--json"]);
    assert_eq!(dropped.out, format!("{}\n", json!({ "dropped": second })));
    for (what, words) in [
        (&["drop", &*second][..], "there is no dead letter"),
        (&["retry", "7"], "id: found \"7\""),
        (&["list", "--limit", "0"], "--limit"),
    ] {
        let failed = run(&server, &[&["letters"], what].concat());
        assert!(failed.code.is_some_and(|code| code > 0), "{failed:?}");
        assert!(failed.err.contains(words), "{words}: {}", failed.err);
    }
}
