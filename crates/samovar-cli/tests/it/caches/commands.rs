//! `get`, `put`, `delete`, `invalidate` and `stats`.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{Shop, run};
use crate::server::{Ended, open, samovar};

fn json_of(ended: &Ended) -> Value {
    serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("no JSON: {ended:?}"))
}

#[test]
fn a_day_with_a_cache() {
    let shop = Shop::new("[caches.notes]");
    let server = shop.start();
    let put = run(&server, &["put", "notes", "a/b", "{\"price\": 4.990}"]);
    assert_eq!(put.code, Some(0), "{}", put.err);
    assert!(put.out.starts_with("notes:a/b is put, at "), "{}", put.out);
    let got = run(&server, &["get", "notes", "a/b"]);
    assert_eq!((got.code, &*got.out), (Some(0), "{\"price\": 4.990}\n"));

    // From standard input.
    let mut command = samovar(&["put", "notes", "2", "-"]);
    command.env("SAMOVAR_SERVER", server.url()).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"[1,\n2]").unwrap();
    assert!(child.wait().unwrap().success());

    let some = run(&server, &["get", "notes", "2", "a/b", "none"]);
    assert_eq!(some.code, Some(3));
    let lines =
        "{\"key\":\"2\",\"value\":[1, 2]}\n{\"key\":\"a/b\",\"value\":{\"price\": 4.990}}\n";
    assert_eq!(some.out, lines);
    assert!(some.err.contains("nothing under \"none\""), "{}", some.err);
    let told = run(&server, &["get", "notes", "2", "none", "--json"]);
    assert_eq!(told.code, Some(3));
    assert_eq!(
        json_of(&told),
        json!({ "values": { "2": [1, 2] }, "absent": ["none"], "stale": [], "errors": {}, "rest": [] })
    );

    let gone = run(&server, &["delete", "notes", "2", "--json"]);
    assert!(json_of(&gone)["version"].is_string());
    assert_eq!(run(&server, &["get", "notes", "2"]).code, Some(3));

    for scope in [
        &["--key", "notes", "a/b"][..],
        &["--pattern", "notes:a*"],
        &["--cache", "notes"],
        &["--all"],
    ] {
        run(&server, &["put", "notes", "a/b", "1"]);
        let gone = run(&server, &[&["invalidate", "--reason", "a test"], scope].concat());
        assert_eq!(gone.code, Some(0), "{}", gone.err);
        assert!(gone.out.contains("is served no more, at "), "{}", gone.out);
        assert_eq!(run(&server, &["get", "notes", "a/b"]).code, Some(3), "{scope:?}");
    }
    run(&server, &["put", "notes", "a/b", "1"]);
    let stale = run(&server, &["invalidate", "--tag", "t", "--mode", "expire", "--priority", "90"]);
    assert!(stale.out.contains("what bears t is served as stale"), "{stale:?}");
    assert_eq!(run(&server, &["get", "notes", "a/b"]).code, Some(0));

    let table = run(&server, &["stats"]).out;
    assert!(table.contains("notes") && table.contains("  memory"), "{table}");
    let told = json_of(&run(&server, &["stats", "--json"]));
    assert!(told["caches"]["notes"]["total_requests"].as_u64().unwrap() > 5);
    assert_eq!(run(&server, &["stats", "--reset"]).out, "all counters are zero\n");
    let told = json_of(&run(&server, &["stats", "--json"]));
    assert_eq!(told["caches"]["notes"]["total_requests"], 0);
}

#[test]
fn what_goes_wrong_is_said_and_has_a_code() {
    let shop = Shop::new("token = 'open-sesame'\n[caches.notes]");
    let server = shop.start();
    let url = server.url();
    let with =
        |arguments: &[&str]| run(&server, &[arguments, &["--token", "open-sesame"]].concat());
    for (ended, code, words) in [
        (run(&server, &["put", "notes", "1", "1"]), 1, "give it by --token or SAMOVAR_TOKEN"),
        (with(&["put", "notes", "1", "tea"]), 1, "the body is no JSON document"),
        (with(&["put", "notes", "1", ""]), 1, "the body is empty"),
        (with(&["put", "note", "1", "1"]), 1, "there is no cache \"note\"; there are: notes"),
        (with(&["get", "note", "1"]), 1, "there is no cache \"note\""),
        (with(&["get", "notes", ""]), 1, "keys"),
        (with(&["get", "notes"]), 2, "KEYS"),
        (with(&["invalidate"]), 2, "--pattern"),
        (with(&["invalidate", "--all", "--priority", "101"]), 2, "0..=100"),
        (with(&["invalidate", "--all", "--cache", "notes"]), 2, "cannot be used with"),
        (with(&["invalidate", "--cache", "note"]), 1, "found \"note\""),
        (with(&["stats", "--server", "ftp://here"]), 1, "--server: found \"ftp://here\""),
        (
            with(&["stats", "--server", "http://127.0.0.1:1"]),
            1,
            "is `samovar serve` running there?",
        ),
    ] {
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.err.contains(words), "{words}: {}", ended.err);
        assert!(!ended.err.contains("open-sesame"), "{}", ended.err);
    }
    assert_eq!(with(&["put", "notes", "1", "1"]).code, Some(0));

    // The token may stand in the file .env; the server may not: it would be told the token of whoever stands there.
    let env = "SAMOVAR_SERVER=http://elsewhere.invalid\nSAMOVAR_TOKEN=open-sesame\n";
    std::fs::write(shop.path().join(".env"), env).unwrap();
    let mut command = samovar(&["put", "notes", "2", "2", "--server", &url]);
    let put = Ended::of(command.current_dir(shop.path()));
    assert_eq!(put.code, Some(0), "{}", put.err);
    let elsewhere = Ended::of(samovar(&["stats", "--json"]).current_dir(shop.path()));
    assert!(!elsewhere.err.contains("elsewhere"), "{}", elsewhere.err);
}

/// As behind `| head` once that has ended: what it does, and its exit code, are the same.
#[test]
fn a_command_that_nobody_listens_to_ends_without_a_word() {
    let shop = Shop::new("[caches.notes]");
    let server = shop.start();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (lines, table, shop_db) = (
        path("lines.csv"),
        path("new.db"),
        shop.path().join("shop.db").to_str().unwrap().to_owned(),
    );
    std::fs::write(&lines, "store,day,amount\n1,2026-01-01,4.99\n").unwrap();
    let import = ["import", &lines, "--database", &table, "--table", "sales"];
    for (arguments, code) in [
        (&["put", "notes", "1", "1"][..], 0),
        (&["get", "notes", "1"], 0),
        (&["get", "notes", "1", "none"], 3),
        (&["get", "note", "1"], 1),
        (&["get", "notes"], 2),
        (&["invalidate", "--tag", "t"], 0),
        (&["letters", "list"], 0),
        (&["stats"], 0),
        (&["stats", "--json"], 0),
        (&["delete", "notes", "1"], 0),
        (&["--help"], 0),
        (&["init", "--database", &shop_db, "--output", "-"], 0),
        (&["init", "--database", &shop_db, "--output", &path("samovar.toml")], 0),
        (&[&import[..], &["--dry-run"]].concat(), 0),
        (&import, 0),
        (
            &[
                "demo",
                "--stores",
                "1",
                "--rows",
                "9",
                "--data",
                &path("demo"),
                "--port",
                "0",
                "--exit-when-warm",
            ],
            0,
        ),
        (&["clear", "--data", &path("demo")], 0),
    ] {
        let closed = || {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            writer
        };
        let mut command = samovar(arguments);
        command.env("SAMOVAR_SERVER", server.url()).stdin(Stdio::null()).stdout(closed());
        let ended = command.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&ended.stderr).to_lowercase();
        assert_eq!(ended.status.code(), Some(code), "{arguments:?}: {err}");
        assert!(!err.contains("pipe") && !err.contains("panic"), "{arguments:?}: {err}");
        // Those that can be done twice.
        if !["init", "import", "clear"].contains(&arguments[0]) {
            let ended = command.stdout(closed()).stderr(closed()).status().unwrap();
            assert_eq!(ended.code(), Some(code), "{arguments:?}");
        }
    }
    // That there is no room for it is another matter.
    #[cfg(target_os = "linux")]
    {
        let full = std::fs::File::create("/dev/full").unwrap();
        let mut command = samovar(&["stats"]);
        let stats = command.env("SAMOVAR_SERVER", server.url()).stdout(full).stderr(Stdio::piped());
        let ended = stats.spawn().unwrap().wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(1));
        let err = String::from_utf8_lossy(&ended.stderr);
        assert!(err.contains("cannot write to standard output"), "{err}");
    }
    assert_eq!(
        open(table.as_ref()).query_row("SELECT count(*) FROM sales", [], |row| row.get(0)),
        Ok(1)
    );
}
