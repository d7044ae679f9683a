//! Named caches over HTTP and on the command line, of a server with a configuration of its own.

use std::fs;
use std::path::Path;
use std::process::Command;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::server::{Answer, Ended, Server, poll, samovar};

mod commands;
mod letters;
mod rows;
mod settings;
mod tags;

const TOKEN: (&str, &str) = ("Authorization", "Bearer open-sesame");

/// A directory with a shop and a configuration.
struct Shop {
    directory: tempfile::TempDir,
}

impl Shop {
    fn new(caches: &str) -> Shop {
        let directory = tempfile::tempdir().unwrap();
        let shop = Connection::open(directory.path().join("shop.db")).unwrap();
        shop.execute_batch(
            "CREATE TABLE orders (shop INTEGER, day TEXT, amount REAL);
             INSERT INTO orders VALUES (1, '2026-01-01', 4.99)",
        )
        .unwrap();
        let config = format!(
            "{caches}\n[source]\npath = 'shop.db'\nquery = 'orders'\n[dataset]\nname = 'orders'\nstore_id = 'shop'\n\
             date = 'day'\n[[measure]]\nname = 'sales'\nsum = 'amount'\n"
        );
        fs::write(directory.path().join("samovar.toml"), config).unwrap();
        Shop { directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn command(&self) -> Command {
        let config = self.path().join("samovar.toml");
        samovar(&["serve", "--config", config.to_str().unwrap(), "--port", "0"])
    }

    fn start(&self) -> Server {
        Server::start(self.command())
    }
}

fn put(server: &Server, path: &str, body: &str) -> Answer {
    let headers = [("Host", &*server.host), ("Content-Type", "application/json")];
    server.ask("PUT", path, &headers, body)
}

fn delete(server: &Server, path: &str) -> Answer {
    server.ask("DELETE", path, &[("Host", &server.host)], "")
}

/// The status, and the code of what went wrong.
fn refused(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["error"]["code"].as_str().unwrap_or("").to_string())
}

#[test]
fn a_document_is_put_read_revalidated_and_deleted() {
    let shop = Shop::new("[caches.notes]\nttl = '1h'\njitter = 0");
    let server = shop.start();
    let path = "/api/cache/notes/42";
    let missing = server.get(path);
    assert_eq!(refused(&missing), (404, "not_cached".into()));
    assert_eq!(missing.header("Cache-Status"), "samovar; fwd=miss");

    // Every byte comes back: the digits and the blanks.
    let document = "{ \"price\": 4.990, \"id\": 12345678901234567890123 }";
    let stored = put(&server, path, document);
    assert_eq!(stored.status, 200, "{}", stored.text());
    assert_eq!(stored.header("Cache-Status"), "samovar; fwd=method; stored");
    let read = server.get(path);
    assert_eq!((read.status, &*read.text()), (200, document));
    let status = read.header("Cache-Status");
    let ttl =
        status.strip_prefix("samovar; hit; ttl=").and_then(|s| s.strip_suffix("; detail=memory"));
    let ttl: u32 = ttl.unwrap_or_else(|| panic!("{status}")).parse().unwrap();
    assert!((3_500..=3_600).contains(&ttl), "{ttl}");
    assert!(read.header("Age").parse::<u32>().unwrap() < 60);
    assert_eq!(read.header("ETag"), stored.header("ETag"));

    let condition = [("Host", &*server.host), ("If-None-Match", read.header("ETag"))];
    let unchanged = server.ask("GET", path, &condition, "");
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    put(&server, path, "\"another\"");
    let changed = server.ask("GET", path, &condition, "");
    assert_eq!((changed.status, &*changed.text()), (200, "\"another\""));

    assert_eq!(delete(&server, path).status, 200);
    assert_eq!(server.get(path).status, 404);
    assert_eq!(delete(&server, path).status, 200, "what is gone may be deleted");
}

#[test]
fn keys_may_hold_what_addresses_must_encode() {
    let shop = Shop::new("[caches.notes]");
    let server = shop.start();
    let keys = ["a/b", "a:b", "tea & milk?", "茶", "100%", "%2F", "a#b", "..."];
    for (at, key) in keys.iter().enumerate() {
        let encoded: String = key.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let path = format!("/api/cache/notes/{encoded}");
        assert_eq!(put(&server, &path, &at.to_string()).status, 200, "{key}");
        assert_eq!(server.get(&path).text(), at.to_string(), "{key}");
    }
    let many = server.post("/api/cache/notes/_get", &json!({ "keys": keys })).json();
    let values: serde_json::Map<String, Value> =
        keys.iter().enumerate().map(|(at, key)| ((*key).to_string(), at.into())).collect();
    assert_eq!(
        many,
        json!({ "values": values, "absent": [], "stale": [], "errors": {}, "rest": [] })
    );
}

#[test]
fn what_cannot_be_is_refused_with_a_reason() {
    let shop = Shop::new("[caches.notes]");
    let server = shop.start();
    let long = "k".repeat(257);
    let path = "/api/cache/notes/42";
    for (path, status, code) in [
        ("/api/cache/note/42", 404, "no_such_cache"),
        (&*format!("/api/cache/notes/{long}"), 400, "bad_request"),
        ("/api/cache/notes/a%00b", 400, "bad_request"),
        ("/api/cache/notes/%FF", 400, "bad_request"),
        ("/api/cache/notes/", 404, "not_found"),
    ] {
        assert_eq!(refused(&server.get(path)), (status, code.into()), "{path}");
    }
    // A percent sign that escapes nothing is no part of a key: it may be one that was to be escaped.
    let json = [("Host", &*server.host), ("Content-Type", "application/json")];
    for (path, found) in [
        ("/api/cache/notes/100%", "%"),
        ("/api/cache/notes/a%zzb", "%zz"),
        ("/api/cache/notes/%2", "%2"),
        ("/api/cache/notes/%41%4", "%4"),
        ("/api/cache/n%6ftes%+1/42", "%+1"),
    ] {
        for (method, body) in [("GET", ""), ("PUT", "1"), ("DELETE", "")] {
            let wrong = server.ask(method, path, &json, body);
            assert_eq!(refused(&wrong), (400, "bad_request".into()), "{method} {path}");
            assert_eq!(wrong.json()["error"]["found"], found, "{method} {path}");
        }
    }
    let wrong = server.post("/api/cache/notes%zz/_get", &json!({ "keys": ["a"] }));
    assert_eq!((wrong.status, &wrong.json()["error"]["found"]), (400, &json!("%zz")));
    let unknown = server.get("/api/cache/note/42").json();
    assert_eq!(unknown["error"]["allowed"], "notes");
    for (body, status) in [("{\"a\":", 400), ("", 400), ("tea", 400), (&*"[".repeat(200), 400)] {
        assert_eq!(put(&server, path, body).status, status, "{body}");
    }
    assert_eq!(put(&server, path, &format!("\"{}\"", "x".repeat(2 << 20))).status, 413);
    assert_eq!(refused(&put(&server, "/api/cache/note/42", "1")), (404, "no_such_cache".into()));
    let host = ("Host", &*server.host);
    assert_eq!(server.ask("PUT", path, &[host], "1").status, 415);
    for condition in [("If-Match", "\"x\""), ("If-None-Match", "*")] {
        let json = ("Content-Type", "application/json");
        assert_eq!(server.ask("PUT", path, &[host, json, condition], "1").status, 400);
        assert_eq!(server.ask("DELETE", path, &[host, condition], "").status, 400);
    }
    for body in
        [json!({}), json!({ "keys": [] }), json!({ "keys": ["a", "a"] }), json!({ "keys": [1] })]
    {
        assert_eq!(server.post("/api/cache/notes/_get", &body).status, 400, "{body}");
    }
    assert_eq!(server.get(path).status, 404, "nothing of that was kept");
}

#[test]
fn each_scope_is_invalidated_and_nothing_beside_it() {
    let shop = Shop::new("[caches.notes]\n[caches.drafts]\nkey_prefix = 'draft/'");
    let server = shop.start();
    let fill = || {
        for path in ["notes/1", "notes/2", "drafts/1"] {
            assert_eq!(put(&server, &format!("/api/cache/{path}"), "1").status, 200);
        }
    };
    let there = || {
        let is_there = |path: &&str| server.get(&format!("/api/cache/{path}")).status == 200;
        ["notes/1", "notes/2", "drafts/1"].into_iter().filter(is_there).collect::<Vec<_>>()
    };
    for (body, left) in [
        (json!({ "key": { "cache": "notes", "key": "1" } }), &["notes/2", "drafts/1"][..]),
        (json!({ "pattern": "notes:*" }), &["drafts/1"]),
        (json!({ "pattern": "draft/?", "reason": "published" }), &["notes/1", "notes/2"]),
        (json!({ "cache": "drafts" }), &["notes/1", "notes/2"]),
        (json!({ "tag": "supplier:7" }), &["notes/1", "notes/2", "drafts/1"]),
        (json!({ "all": true }), &[]),
    ] {
        fill();
        let told = server.post("/api/invalidate", &body);
        assert_eq!(told.status, 200, "{}", told.text());
        assert!(told.json()["version"].as_str().unwrap().contains(':'));
        assert_eq!(there(), left, "{body}");
    }
    fill();
    server.post("/api/invalidate", &json!({ "all": true, "mode": "expire" }));
    let stale = server.get("/api/cache/notes/1");
    assert_eq!(
        (stale.status, stale.header("Cache-Status")),
        (200, "samovar; hit; ttl=0; detail=memory")
    );
    for wrong in [json!({}), json!({ "all": true, "cache": "notes" }), json!({ "cache": "note" })] {
        assert_eq!(server.post("/api/invalidate", &wrong).status, 400, "{wrong}");
    }
}

#[test]
fn who_may_read_and_who_may_change() {
    let shop = Shop::new("read_token = 'open-figures'\ntoken = 'open-sesame'\n[caches.notes]");
    let server = shop.start();
    let path = "/api/cache/notes/42";
    let json = ("Content-Type", "application/json");
    let reader = ("Authorization", "Bearer open-figures");
    // From elsewhere, by way of a proxy.
    let away = [("Host", "shop.example"), ("X-Forwarded-For", "192.0.2.7"), json];
    let ask = |method: &str, path: &str, bearer: Option<(&str, &str)>, body: &str| {
        let headers: Vec<_> = away.into_iter().chain(bearer).collect();
        server.ask(method, path, &headers, body).status
    };
    for (method, path, body, by_reader) in [
        ("PUT", path, "1", 401),
        ("GET", path, "", 200),
        ("POST", "/api/cache/notes/_get", "{\"keys\":[\"42\"]}", 200),
        ("POST", "/api/invalidate", "{\"cache\":\"notes\"}", 401),
        ("DELETE", path, "", 401),
    ] {
        assert_eq!(ask(method, path, None, body), 401, "{method} {path}");
        assert_eq!(ask(method, path, Some(TOKEN), body), 200, "{method} {path}");
        assert_eq!(ask(method, path, Some(reader), body), by_reader, "{method} {path}");
    }
}

#[test]
fn without_a_token_no_page_of_elsewhere_changes_anything() {
    let shop = Shop::new("[caches.notes]");
    let server = shop.start();
    let foreign = [("Host", &*server.host), ("Origin", "http://evil.example")];
    assert_eq!(server.ask("DELETE", "/api/cache/notes/42", &foreign, "").status, 403);
    let json = ("Content-Type", "application/json");
    let put = [foreign[0], foreign[1], json];
    assert_eq!(server.ask("PUT", "/api/cache/notes/42", &put, "1").status, 403);
    let plain = [foreign[0], ("Content-Type", "text/plain")];
    let body = "{\"keys\":[\"42\"]}";
    assert_eq!(server.ask("POST", "/api/cache/notes/_get", &plain, body).status, 415);
}

#[test]
fn what_was_put_outlives_the_server_and_is_labelled_then() {
    let shop = Shop::new("[caches.notes]\n[caches.fleeting]\ndisk = false");
    let server = shop.start();
    for cache in ["notes", "fleeting"] {
        assert_eq!(put(&server, &format!("/api/cache/{cache}/42"), "\"tea\"").status, 200);
    }
    assert!(server.stop("TERM").0.success());
    let server = shop.start();
    let kept = server.get("/api/cache/notes/42");
    assert_eq!((kept.status, &*kept.text()), (200, "\"tea\""));
    assert_eq!(kept.header("Cache-Status"), "samovar; hit; ttl=0; detail=disk");
    assert_eq!(server.get("/api/cache/fleeting/42").status, 404);
}

#[test]
fn what_is_counted_is_told_by_cache_and_tier_and_set_to_zero() {
    let shop = Shop::new("[caches.notes]\ncompression = 'zstd'");
    let server = shop.start();
    let text = format!("\"{}\"", "tea ".repeat(1_000));
    put(&server, "/api/cache/notes/1", &text);
    for path in ["notes/1", "notes/1", "notes/2"] {
        server.get(&format!("/api/cache/{path}"));
    }
    let notes = || server.json("/api/stats")["caches"]["notes"].clone();
    let told = notes();
    let memory = &told["tiers"]["memory"];
    assert_eq!(
        (&memory["hits"], &memory["misses"], &memory["sets"]),
        (&json!(2), &json!(1), &json!(1))
    );
    assert_eq!((&told["total_requests"], &memory["entries"]), (&json!(3), &json!(1)));
    assert_eq!((&told["hit_rate"], &memory["hit_rate"]), (&json!(2.0 / 3.0), &json!(2.0 / 3.0)));
    assert_eq!(told["tiers"]["disk"]["sets"], 1);
    assert!(told["local_cache_size"]["bytes"].as_u64().unwrap() > 4_000);
    // It is compressed by who writes it to disk, a little later.
    let ratio = poll("what is compressed", || notes()["compression"]["ratio"].as_f64());
    assert!(ratio > 10.0, "{ratio}");
    delete(&server, "/api/cache/notes/1");
    assert_eq!(notes()["tiers"]["memory"]["deletes"], 1);
    // What a mark covers is found, and refused.
    put(&server, "/api/cache/notes/3", &text);
    assert_eq!(notes()["fence_rejections"], 0);
    server.post("/api/invalidate", &json!({ "key": { "cache": "notes", "key": "3" } }));
    assert_eq!(server.get("/api/cache/notes/3").status, 404);
    assert!(notes()["fence_rejections"].as_u64() >= Some(1), "{}", notes());
    assert_eq!(server.post("/api/stats/reset", &json!({})).status, 200);
    let zero = notes();
    assert_eq!((&zero["total_requests"], &zero["hit_rate"]), (&json!(0), &Value::Null));
    assert_eq!(zero["tiers"]["memory"]["sets"], 0);
}

/// Runs a command against a server, without what the environment would add.
fn run(server: &Server, arguments: &[&str]) -> Ended {
    Ended::of(samovar(arguments).env("SAMOVAR_SERVER", server.url()))
}
