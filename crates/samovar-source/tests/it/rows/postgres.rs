//! PostgreSQL keeps the contract of rows by key, and what is its own.

use std::time::Duration;

use samovar_core::{Fate, WriteId};
use samovar_source::rows::{LoadSql, RowDatabase, RowOptions, Rows, SqlWriter, WriteSql};
use samovar_source::{PostgresOptions, SourceErrorKind};
use samovar_testkit::postgres::{Database, Server};
use samovar_testkit::rows::{Place, suite};
use serde_json::{json, value::RawValue};

use super::{anything_comes_back, block_on, fate, loader, one, put};
use super::{
    no_more_rows_are_read_than_a_key_may_have, rows_keep_their_order_however_a_query_ends,
};

struct Shop(Database<'static>);

impl Shop {
    fn new() -> Shop {
        Shop(Server::shared().unwrap().database().unwrap())
    }

    fn writer(&self, options: RowOptions, sql: &str) -> SqlWriter {
        self.open(options).writer("things", &WriteSql::new(sql)).unwrap()
    }
}

impl Place for Shop {
    fn open(&self, options: RowOptions) -> RowDatabase {
        RowDatabase::postgres(&PostgresOptions::new(self.0.url()), options).unwrap()
    }

    fn run(&self, script: &str) -> String {
        self.0.run(script).unwrap()
    }

    fn slow(&self) -> &'static str {
        "(SELECT count(pg_sleep(1000)))"
    }
}

const THINGS: &str = "CREATE TABLE things (k text PRIMARY KEY, v text);";
const INSERT: &str = "INSERT INTO things VALUES (:key, :v)";
const END_ALL: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'samovar'";
const ANY: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'samovar'";

#[test]
fn postgres_keeps_the_contract_of_rows() {
    suite(Shop::new);
}

#[test]
fn anything_comes_back_from_postgres() {
    anything_comes_back(&Shop::new());
}

#[test]
fn postgres_reads_no_more_rows_than_a_key_may_have() {
    no_more_rows_are_read_than_a_key_may_have(&Shop::new());
}

#[test]
fn postgres_keeps_the_order_of_rows() {
    rows_keep_their_order_however_a_query_ends(&Shop::new());
}

#[test]
fn postgres_types_have_their_forms() {
    let shop = Shop::new();
    shop.run(
        "CREATE TYPE mood AS ENUM ('glad', 'sad'); CREATE DOMAIN euros AS numeric(12, 2);
         SET timezone = 'Asia/Shanghai';
         CREATE TABLE things (k text, small smallint, middle integer, price numeric, euro euros, single real,
             u uuid, m mood, c char(4), v varchar(9), t timestamp, tz timestamptz, clock time, j jsonb, n name);
         INSERT INTO things (k, price) VALUES ('nan', 'NaN');
         INSERT INTO things VALUES ('a', -7, 42, 1234567890123456789.120, 7.50, 1.1,
             'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'glad', 'ab', 'cd', '2026-02-03 19:06:53.5',
             '2026-02-03 19:06:53', '23:59:59.000001', '{\"a\": 0.10}', 'x');",
    );
    let database = shop.open(RowOptions::default());
    let things = loader(&database, "SELECT * FROM things WHERE k = :key");
    let expected = json!({"k": "a", "small": -7, "middle": 42, "price": "1234567890123456789.12", "euro": "7.5",
        "single": 1.1, "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "m": "glad", "c": "ab", "v": "cd",
        "t": "2026-02-03T19:06:53.5", "tz": "2026-02-03T11:06:53Z", "clock": "23:59:59.000001",
        "j": {"a": 0.1}, "n": "x"});
    assert_eq!(one(&things, "a"), Some(expected.clone()));
    assert_eq!(one(&things, "nan").unwrap()["price"], json!("NaN"));
    // What is read can be written back.
    shop.run("CREATE TABLE copies AS SELECT * FROM things WHERE false; ALTER TABLE copies ADD PRIMARY KEY (k)");
    let copy = "INSERT INTO copies VALUES (:key, :small, :middle, :price, :euro, :single, :u, :m, :c, :v, :t, :tz,
        :clock, :j, :n)";
    let copies = database.writer("copies", &WriteSql::new(copy)).unwrap();
    assert_eq!(fate(&copies, put(1, "a", expected.clone())), None);
    let copied = loader(&database, "SELECT * FROM copies WHERE k = :key");
    assert_eq!(one(&copied, "a"), Some(expected));
    for (column, value) in
        [("middle", json!("seven")), ("small", json!(40_000)), ("m", json!("angry"))]
    {
        let sql = format!("INSERT INTO copies (k, {column}) VALUES (:key, :x)");
        let writer = database.writer("copies", &WriteSql::new(sql)).unwrap();
        let (found, text) = fate(&writer, put(9, "z", json!({"x": value}))).unwrap();
        assert_eq!(found, Fate::Refused, "{text}");
    }
}

#[test]
fn numeric_keeps_every_digit() {
    let shop = Shop::new();
    shop.run("CREATE TABLE things (k text PRIMARY KEY, n numeric, single real)");
    let database = shop.open(RowOptions::default());
    let sql = "INSERT INTO things VALUES (:key, :n, :single)";
    let things = database.writer("things", &WriteSql::new(sql)).unwrap();
    let put = |key: &str, n: &str, single: &str| {
        let json = format!("{{\"n\": {n}, \"single\": {single}}}");
        let value = RawValue::from_string(json).unwrap();
        let id = WriteId { node: 1, number: 1 };
        block_on(things.write_values([(id, &key.into(), Some(&*value))])).remove(0)
    };
    let long = "12345678901234567890.1000000000000000055";
    put("a", long, "0.1").unwrap();
    assert_eq!(shop.run("SELECT n FROM things"), long);
    let read = loader(&database, "SELECT n, single FROM things WHERE k = :key");
    assert_eq!(one(&read, "a"), Some(json!({"n": long, "single": 0.1})));
    let wrong = put("b", "1", "16777217").unwrap_err();
    assert_eq!(wrong.fate, Fate::Refused);
    assert!(wrong.to_string().contains("the field \"single\" of \"b\" is \"16777217\""), "{wrong}");
}

#[test]
fn postgres_tells_what_json_has_no_form_for() {
    let shop = Shop::new();
    let database = shop.open(RowOptions::default());
    for (expression, what) in [
        ("'{1,2}'::integer[]", "column x is of type _int4"),
        ("'x'::bytea", "column x is of type bytea"),
        ("interval '1 day'", "column x is of type interval"),
    ] {
        let sql = format!("SELECT {expression} AS x WHERE :key <> ''");
        let wrong = database.loader("things", &LoadSql::new(sql, Rows::One)).unwrap_err();
        assert_eq!(wrong.kind(), SourceErrorKind::Schema);
        assert!(wrong.to_string().contains(what), "{wrong}");
    }
    for (expression, what) in [
        ("'infinity'::date", "column x (date) holds the date infinity"),
        ("'-infinity'::timestamp", "column x (timestamp) holds the date -infinity"),
        ("'NaN'::float8", "column x (float8) holds the number NaN"),
    ] {
        let things = loader(&database, &format!("SELECT {expression} AS x WHERE :key <> ''"));
        let wrong = block_on(things.load_one("a")).unwrap_err();
        assert_eq!(wrong.kind(), SourceErrorKind::Value);
        assert!(wrong.to_string().contains(what), "{wrong}");
    }
}

#[test]
fn a_key_has_one_spelling() {
    let shop = Shop::new();
    shop.run(
        "CREATE TABLE things (k integer PRIMARY KEY, u uuid, d date, v text);
         INSERT INTO things VALUES (7, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '2026-02-03', 'x');",
    );
    let database = shop.open(RowOptions::default());
    for (column, good, bad) in [
        ("k", "7", vec!["07", "+7", " 7", "7.0", "seven", "99999999999", ""]),
        (
            "u",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            vec!["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "x"],
        ),
        ("d", "2026-02-03", vec!["2026-2-3", "20260203", "today", "03.02.2026"]),
    ] {
        let things = loader(&database, &format!("SELECT v FROM things WHERE {column} = :key"));
        assert_eq!(one(&things, good), Some(json!({"v": "x"})));
        for key in bad {
            assert_eq!(one(&things, key), None, "{key}");
        }
    }
    let writer = shop.writer(
        RowOptions::default(),
        "INSERT INTO things (k, v) VALUES (:key, :v) ON CONFLICT (k) DO UPDATE SET v = excluded.v",
    );
    let (found, text) = fate(&writer, put(1, "07", json!({"v": "y"}))).unwrap();
    assert!(found == Fate::Refused && text.contains("not spelt"), "{text}");
    assert_eq!(fate(&writer, put(1, "7", json!({"v": "y"}))), None);
    assert_eq!(shop.run("SELECT v FROM things"), "y");
}

#[test]
fn a_domain_holds_what_its_base_does() {
    let shop = Shop::new();
    shop.run(
        "CREATE DOMAIN weight AS float8; CREATE DOMAIN heavy AS weight; CREATE DOMAIN doc AS jsonb;
         CREATE TABLE things (k text PRIMARY KEY, w heavy, j doc);",
    );
    let writer =
        shop.writer(RowOptions::default(), "INSERT INTO things (k, w, j) VALUES (:key, :w, :j)");
    let wrong = fate(&writer, put(1, "a", json!({"w": 9_007_199_254_740_993_i64, "j": 1})));
    let (found, text) = wrong.unwrap();
    assert!(found == Fate::Refused && text.contains("lose digits"), "{text}");
    assert_eq!(fate(&writer, put(2, "a", json!({"w": 1.5, "j": "x"}))), None);
    assert_eq!(shop.run("SELECT w, j FROM things"), "1.5|\"x\"");
}

#[test]
fn what_changes_in_the_schema_is_followed() {
    let shop = Shop::new();
    shop.run("CREATE TABLE things (k text, v integer); INSERT INTO things VALUES ('a', 7);");
    let database = shop.open(RowOptions { connections: 1, ..RowOptions::default() });
    let things = loader(&database, "SELECT * FROM things WHERE k = :key");
    assert_eq!(one(&things, "a"), Some(json!({"k": "a", "v": 7})));
    shop.run("ALTER TABLE things ALTER v TYPE text, ADD w boolean DEFAULT true");
    assert_eq!(one(&things, "a"), Some(json!({"k": "a", "v": "7", "w": true})));
    shop.run("ALTER TABLE things ALTER w DROP DEFAULT, ALTER w TYPE text[] USING ARRAY['x']");
    let wrong = block_on(things.load_one("a")).unwrap_err();
    assert!(wrong.to_string().contains("column w is of type _text"), "{wrong}");
    shop.run("DROP TABLE things");
    let wrong = block_on(things.load_one("a")).unwrap_err();
    assert!(wrong.to_string().contains("\"things\" does not exist"), "{wrong}");
}

#[test]
fn a_connection_that_was_lost_is_made_anew() {
    let shop = Shop::new();
    shop.run(THINGS);
    let database = shop.open(RowOptions { connections: 1, ..RowOptions::default() });
    let read = loader(&database, "SELECT v FROM things WHERE k = :key");
    let write = database.writer("things", &WriteSql::new(INSERT)).unwrap();
    for number in 1..4_u64 {
        let key = number.to_string();
        assert_eq!(fate(&write, put(number, &key, json!({"v": "x"}))), None);
        assert_eq!(one(&read, &key), Some(json!({"v": "x"})));
        shop.run(END_ALL);
        shop.0.wait_until(ANY, "0").unwrap();
    }
}

/// Ends the connection once its process is where `wait` says, and gives what became of the write.
fn cut(shop: &Shop, writer: &SqlWriter, query: &str) -> (Fate, String) {
    let at = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'
             AND query LIKE '{query}'"
    );
    std::thread::scope(|scope| {
        scope.spawn(|| {
            shop.0.wait_until(&at, "1").unwrap();
            shop.run(END_ALL);
        });
        fate(writer, put(1, "a", json!({"v": "x"}))).unwrap()
    })
}

#[test]
fn a_connection_lost_before_the_commit_has_written_nothing() {
    let shop = Shop::new();
    shop.run(THINGS);
    let sql = "INSERT INTO things SELECT :key, :v WHERE pg_sleep(1000) IS NOT NULL";
    let writer = shop.writer(RowOptions::default(), sql);
    let (found, text) = cut(&shop, &writer, "INSERT%");
    assert_eq!(found, Fate::NotWritten, "{text}");
    assert_eq!(shop.run("SELECT count(*) FROM things"), "0");
}

#[test]
fn a_commit_without_an_answer_leaves_it_unknown() {
    // A commit waits for a standby that never comes, where its connection asks for one.
    let server = Server::start(&[("synchronous_standby_names", "nobody")], &[]).unwrap();
    let database = server.database().unwrap();
    database.run(THINGS).unwrap();
    let url = |options: &str| PostgresOptions::new(format!("{}?options={options}", database.url()));
    let open = |options: &str, deadline| {
        let options = url(options);
        let rows =
            RowOptions { write_deadline: Duration::from_secs(deadline), ..RowOptions::default() };
        let rows = RowDatabase::postgres(&options, rows).unwrap();
        rows.writer("things", &WriteSql::new("UPDATE things SET v = v || :v WHERE k = :key"))
            .unwrap()
    };
    database.run("INSERT INTO things VALUES ('a', '')").unwrap();
    let patient = open("-c%20synchronous_commit%3Doff", 4);
    let waiting = open("-c%20synchronous_commit%3Don", 4);
    let (found, text) = fate(&waiting, put(1, "a", json!({"v": "x"}))).unwrap();
    assert!(found == Fate::Unknown && text.contains("did not answer to the commit"), "{text}");
    // It was cancelled, so it shows; a repeat is left out.
    database.wait_until("SELECT v FROM things", "x").unwrap();
    assert_eq!(fate(&patient, put(1, "a", json!({"v": "x"}))), None);
    // Long enough to be found waiting.
    let waiting = open("-c%20synchronous_commit%3Don", 120);
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| {
            let at = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
            database.wait_until(at, "1").unwrap();
            database.run(END_ALL).unwrap();
        });
        fate(&waiting, put(2, "a", json!({"v": "y"}))).unwrap()
    });
    assert_eq!(ended.0, Fate::Unknown, "{}", ended.1);
    database.wait_until("SELECT v FROM things", "xy").unwrap();
    assert_eq!(fate(&patient, put(2, "a", json!({"v": "y"}))), None);
    assert_eq!(database.run("SELECT v FROM things").unwrap(), "xy");
}

/// Whatever is inserted is looked at by the commit, in this way.
fn at_the_commit(shop: &Shop, body: &str) {
    shop.run(&format!(
        "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER late AFTER INSERT ON things DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION late()"
    ));
}

#[test]
fn what_waits_for_the_commit_is_judged_before_it() {
    for (body, expected) in [
        ("RAISE EXCEPTION 'not this one'", Fate::Refused),
        ("RAISE EXCEPTION 'try again' USING ERRCODE = '40001'", Fate::NotWritten),
        // Longer than the server gives it.
        ("PERFORM pg_sleep(1000)", Fate::NotWritten),
    ] {
        let shop = Shop::new();
        shop.run(THINGS);
        at_the_commit(&shop, body);
        let options =
            RowOptions { write_deadline: Duration::from_secs(6), ..RowOptions::default() };
        let writer = shop.writer(options, INSERT);
        let (found, text) = fate(&writer, put(1, "a", json!({"v": "x"}))).unwrap();
        assert_eq!(found, expected, "{text}");
        assert_eq!(
            shop.run("SELECT (SELECT count(*) FROM things), (SELECT count(*) FROM samovar_writes)"),
            "0|0"
        );
    }
}

#[test]
fn a_row_that_others_hold_is_not_written() {
    let shop = Shop::new();
    shop.run(THINGS);
    shop.run("INSERT INTO things VALUES ('a', 'theirs')");
    let options = RowOptions { write_deadline: Duration::from_secs(2), ..RowOptions::default() };
    let writer = shop.writer(options, "UPDATE things SET v = :v WHERE k = :key");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Cancelled at the end.
            let script = "BEGIN; UPDATE things SET v = 'held' WHERE k = 'a'; SELECT pg_sleep(1000) /* held */";
            let _ = shop.0.run(script);
        });
        let held = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND wait_event = 'PgSleep' AND query LIKE '%/* held */%' AND pid <> pg_backend_pid()";
        shop.0.wait_until(held, "1").unwrap();
        let (found, text) = fate(&writer, put(1, "a", json!({"v": "x"}))).unwrap();
        shop.run(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
            AND wait_event = 'PgSleep'",
        );
        assert_eq!(found, Fate::NotWritten, "{text}");
    });
}

#[test]
fn a_server_that_is_away_has_written_nothing() {
    let server = Server::start(&[], &[]).unwrap();
    let database = server.database().unwrap();
    database.run(THINGS).unwrap();
    let url = PostgresOptions::new(database.url());
    let rows = RowDatabase::postgres(&url, RowOptions::default()).unwrap();
    let read = loader(&rows, "SELECT v FROM things WHERE k = :key");
    let write = rows.writer("things", &WriteSql::new(INSERT)).unwrap();
    drop(server);
    let (found, text) = fate(&write, put(1, "a", json!({"v": "x"}))).unwrap();
    assert_eq!(found, Fate::NotWritten, "{text}");
    let wrong = block_on(read.load_one("a")).unwrap_err();
    assert_eq!(wrong.kind(), SourceErrorKind::Unreachable, "{wrong}");
    let wrong = rows.loader("things", &LoadSql::new("SELECT 1 AS x WHERE :key <> ''", Rows::One));
    assert_eq!(wrong.unwrap_err().kind(), SourceErrorKind::Unreachable);
}

#[test]
fn who_may_not_make_the_table_is_told_how() {
    let shop = Shop::new();
    shop.run(&format!(
        "{THINGS} DROP ROLE IF EXISTS clerk; CREATE ROLE clerk LOGIN; GRANT ALL ON things TO clerk;
         REVOKE CREATE ON SCHEMA public FROM PUBLIC"
    ));
    let url = shop.0.url().replace("postgres@", "clerk@");
    let database =
        RowDatabase::postgres(&PostgresOptions::new(url), RowOptions::default()).unwrap();
    let wrong = database.writer("things", &WriteSql::new(INSERT)).unwrap_err().to_string();
    for word in
        ["caches.things.write: ", "CREATE TABLE IF NOT EXISTS samovar_writes", "remember = false"]
    {
        assert!(wrong.contains(word), "{wrong}");
    }
    let write = WriteSql { remember: false, ..WriteSql::new(INSERT) };
    let forgetful = database.writer("things", &write).unwrap();
    assert_eq!(fate(&forgetful, put(1, "a", json!({"v": "x"}))), None);
    shop.run("DROP OWNED BY clerk; DROP ROLE clerk");
}
