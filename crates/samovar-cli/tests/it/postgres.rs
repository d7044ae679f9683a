//! `serve` over a real PostgreSQL: its figures, its changes, and its going away.

use std::fs;

use samovar_testkit::postgres::Server as Postgres;
use serde_json::json;

use crate::server::{Server, cents, run, samovar};

const TABLE: &str = r#"
    CREATE SCHEMA shop;
    CREATE TABLE shop.orders ("门店ID" text, "下单时间" timestamptz, amount numeric(12, 2), customer uuid)
        PARTITION BY RANGE ("下单时间");
    CREATE TABLE shop.january PARTITION OF shop.orders
        FOR VALUES FROM ('2026-01-01 00:00+08') TO ('2026-02-01 00:00+08');
    CREATE TABLE shop.february PARTITION OF shop.orders
        FOR VALUES FROM ('2026-02-01 00:00+08') TO ('2026-03-01 00:00+08');
    CREATE INDEX ON shop.orders ("门店ID", "下单时间");
    INSERT INTO shop.orders
        SELECT '店' || i % 4, timestamptz '2026-01-20 00:00+08' + i * interval '37 minutes', i % 97 + 0.25,
            md5((i % 50)::text)::uuid
        FROM generate_series(0, 999) AS i;
"#;

fn config(url: &str) -> String {
    format!(
        r#"
[source]
kind = "postgres"
url = "{url}"
query = "shop.orders"
max_source_share = 1.0

[dataset]
name = "orders"
store_id = "门店ID"
date = "下单时间"
time_zone = "Asia/Shanghai"

[[measure]]
name = "sales"
sum = "amount"
unit = "money"

[[measure]]
name = "orders"
count = "lines"

[[measure]]
name = "customers"
distinct = "customer"
"#
    )
}

const ALL: &str = "/api/diagnosis?stores=all&from=2026-01-28&to=2026-02-03";

#[test]
fn a_shop_in_postgres() {
    let database = Postgres::start(&[], &[]).unwrap();
    let shop = database.database().unwrap();
    shop.run(TABLE).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("samovar.toml");
    fs::write(&path, config(&shop.url())).unwrap();
    let start =
        || Server::start(samovar(&["serve", "--config", path.to_str().unwrap(), "--port", "0"]));
    let server = start().warm();
    // The day is the one of Shanghai, whatever the session's time zone.
    let truth = || -> Vec<i64> {
        let found = shop
            .run(
                r#"SELECT sum(amount * 100)::bigint, count(*), count(DISTINCT customer) FROM shop.orders
                   WHERE ("下单时间" AT TIME ZONE 'Asia/Shanghai')::date BETWEEN '2026-01-28' AND '2026-02-03'"#,
            )
            .unwrap();
        found.split('|').map(|number| number.parse().unwrap()).collect()
    };
    let told = |server: &Server| -> Vec<i64> {
        let totals = &server.json(ALL)["totals"];
        let whole = |measure: &str| totals[measure]["value"].as_f64().unwrap().round() as i64;
        vec![cents(&totals["sales"]["value"]), whole("orders"), whole("customers")]
    };
    assert_eq!(told(&server), truth());

    shop.run(
        r#"INSERT INTO shop.orders VALUES ('店1', '2026-02-02 23:59:59+08', 1000, NULL);
           UPDATE shop.orders SET "下单时间" = '2026-02-03 12:00+08'
               WHERE "门店ID" = '店2' AND "下单时间" = '2026-01-20 01:14+08'"#,
    )
    .unwrap();
    let partitions: Vec<_> = [("店1", "2026-02-02"), ("店2", "2026-02-03"), ("店2", "2026-01-20")]
        .map(|(store, date)| json!({ "store_id": store, "date": date }))
        .into();
    let event = server.post("/api/events/orders_changed", &json!({ "partitions": partitions }));
    assert_eq!(event.status, 200, "{}", event.text());
    let changed = told(&server);
    assert_eq!(changed, truth());

    // The database goes away: what is kept answers, also after a restart, labelled.
    drop(database);
    assert_eq!(told(&server), changed);
    assert!(server.stop("TERM").0.success());
    let server = start().warm();
    assert!(server.told().contains("going on with what is kept"), "{}", server.told());
    let answer = server.get(ALL);
    assert_eq!((answer.status, answer.proof("state")), (200, "stale"));
    assert_eq!(told(&server), changed);
}

#[test]
fn a_column_that_cannot_be_read_is_told_with_its_type_and_no_password() {
    let database = Postgres::shared().unwrap().database().unwrap();
    database.run("CREATE TABLE orders (store point, day date, amount money)").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("samovar.toml");
    let url = database.url().replace("postgres@", "postgres:geheim@");
    let config = config(&url)
        .replace("shop.orders", "orders")
        .replace("门店ID", "store")
        .replace("下单时间", "day")
        .replace("\"customer\"", "\"amount\"");
    fs::write(&path, config).unwrap();
    let ended = run(&["serve", "--config", path.to_str().unwrap(), "--port", "0"]);
    assert_eq!(ended.code, Some(1));
    for word in ["store", "point"] {
        assert!(ended.err.contains(word), "{}", ended.err);
    }
    assert!(!ended.err.contains("geheim"), "{}", ended.err);

    fs::write(&path, self::config("mysql://ann:geheim@db.example/shop")).unwrap();
    let ended = run(&["serve", "--config", path.to_str().unwrap()]);
    assert!(ended.err.contains("line 4, source.url"), "{}", ended.err);
    assert!(!ended.err.contains("geheim"), "{}", ended.err);
}
