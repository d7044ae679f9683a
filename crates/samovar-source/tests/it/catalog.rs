//! What SQLite and PostgreSQL say of the same schema, and that looking changes nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what fails here fails the test")]

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use samovar_source::catalog::{
    Catalog, Columns, Dialect, Explorer, Expression, Form, Index, Join, Kind, Probe, Query, Spans,
    Table, TableKind, TableName, analyze, by_month,
};
use samovar_source::import::Database;
use samovar_source::{PostgresOptions, SourceErrorKind};
use samovar_testkit::postgres::Server;

/// A shop in words that both databases understand; `{day}` and `{number}` are types.
const SHOP: &str = r#"
    CREATE TABLE "Shops" (id integer PRIMARY KEY, "Name" text NOT NULL UNIQUE);
    CREATE TABLE orders (
        id integer PRIMARY KEY,
        shop_id integer NOT NULL REFERENCES "Shops" (id),
        "day" {day},
        amount {number},
        note text
    );
    CREATE INDEX orders_by_shop ON orders (shop_id, "day");
    CREATE INDEX orders_of_shouting ON orders (upper(note), id);
    CREATE INDEX orders_big ON orders (amount) WHERE amount > 100;
    CREATE TABLE empty (id integer, "when" {day});
    CREATE VIEW daily AS SELECT shop_id, "day", sum(amount) AS amount FROM orders GROUP BY 1, 2;
    INSERT INTO "Shops" VALUES (1, 'North'), (2, 'South');
    INSERT INTO orders
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
        SELECT i, 1 + i % 2, {date_of}, i - 1.5, CASE WHEN i % 3 = 0 THEN 'odd' END FROM n;
"#;

fn shop(day: &str, number: &str, date_of: &str) -> String {
    SHOP.replace("{day}", day).replace("{number}", number).replace("{date_of}", date_of)
}

fn sqlite(path: &Path, script: &str) {
    Connection::open(path).unwrap().execute_batch(script).unwrap();
}

fn look(database: &Database) -> Catalog {
    Explorer::open(database).unwrap().catalog().unwrap()
}

fn table<'a>(catalog: &'a Catalog, name: &str) -> &'a Table {
    catalog.tables.iter().find(|table| table.name.name == name).unwrap()
}

fn names(columns: &[&str]) -> Vec<String> {
    columns.iter().map(|name| (*name).to_owned()).collect()
}

/// What both say alike.
fn check(catalog: &Catalog) {
    let listed: Vec<(&str, TableKind, Option<u64>)> =
        catalog.tables.iter().map(|table| (&*table.name.name, table.kind, table.rows)).collect();
    let kinds = [TableKind::Table, TableKind::View];
    assert_eq!(
        listed,
        [
            ("Shops", kinds[0], Some(2)),
            ("daily", kinds[1], listed[1].2),
            ("empty", kinds[0], Some(0)),
            ("orders", kinds[0], Some(300)),
        ]
    );
    let shops = table(catalog, "Shops");
    assert_eq!(shops.keys, [names(&["id"]), names(&["Name"])]);
    let orders = table(catalog, "orders");
    assert_eq!(orders.keys, [names(&["id"])]);
    assert!(
        orders.has_index(&names(&["shop_id", "day"])) && orders.has_index(&names(&["shop_id"]))
    );
    assert!(!orders.has_index(&names(&["amount"])), "a partial index serves some rows alone");
    assert!(!orders.indexes.iter().any(|index| index[0] == "id" && index.len() > 1));
    let [reference] = &orders.references[..] else { panic!("{:?}", orders.references) };
    assert_eq!(catalog.tables[reference.table].name.name, "Shops");
    assert_eq!((&reference.columns, &reference.to), (&names(&["shop_id"]), &names(&["id"])));

    let seen = |name: &str| orders.column(name).unwrap();
    assert!(!seen("shop_id").nullable && seen("note").nullable);
    assert_eq!((seen("shop_id").kind, seen("amount").kind), (Kind::Integer, Kind::Number));
    let amount = &seen("amount").seen;
    assert_eq!((amount.rows, amount.distinct, amount.negative), (300, 300, 1));
    assert_eq!((amount.range, amount.decimals), (Some((-0.5, 298.5)), 1));
    let note = &seen("note").seen;
    assert_eq!((note.values, note.distinct, note.examples.len()), (100, 1, 1));
    let date = table(catalog, "empty").column("when").unwrap();
    assert_eq!((date.seen.rows, date.seen.form), (0, Form::Nothing));
}

/// Whatever was asked, the answers of both.
fn ask(database: &Database) {
    let explorer = &mut Explorer::open(database).unwrap();
    let name = |name: &str| TableName { schema: None, name: name.into() };
    let (orders, shops) = (name("orders"), name("Shops"));
    let mut unique = |table, columns: &[&str]| explorer.is_unique(table, &names(columns)).unwrap();
    assert_eq!(unique(&orders, &["id"]), Some(true));
    assert_eq!(unique(&orders, &["shop_id"]), Some(false));
    assert_eq!(unique(&orders, &["shop_id", "note"]), Some(false));
    assert_eq!(unique(&shops, &["Name"]), Some(true));
    assert_eq!(unique(&name("empty"), &["id"]), Some(true));
    let mut found = |from, to| explorer.found(from, to).unwrap();
    assert_eq!(found((&orders, "shop_id"), (&shops, "id")), Some(1.0));
    assert_eq!(found((&orders, "id"), (&shops, "id")), Some(2.0 / 300.0));
    let empty = name("empty");
    assert_eq!(found((&empty, "id"), (&shops, "id")), None, "there is nothing to look for");

    let column = |table, name: &str| Expression::Column(table, name.into());
    let query = Query {
        from: orders.clone(),
        joins: vec![Join { table: shops, by: 0, columns: names(&["shop_id"]), to: names(&["id"]) }],
        columns: vec![
            (column(1, "Name"), "store".into()),
            (column(0, "day"), "date".into()),
            (column(0, "id"), "line".into()),
            (column(0, "shop_id"), "group".into()),
        ],
    };
    let catalog = explorer.catalog().unwrap();
    let day = table(&catalog, "orders").column("day").unwrap();
    let mut spans = |order| {
        let (kind, form) = (day.kind, day.seen.form);
        let columns =
            Columns { order, store: "store", date: "date", kind, form, time_zone: "Asia/Tokyo" };
        explorer.spans(&query, columns).unwrap()
    };
    let all = |orders, spanning| Some(Spans { lines: 300, orders, spanning, all: true });
    assert_eq!(spans("line"), all(300, 0));
    assert_eq!(spans("group"), all(2, 2));
}

#[test]
fn sqlite_is_read_and_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop ?mode=rw.db");
    let kinds = [
        ("text", "date('2026-01-01', i || ' days')", Kind::Text, Form::Days),
        ("text", "datetime('2026-01-01', i || ' hours')", Kind::Text, Form::Times),
        ("integer", "1767225600 + i * 86400", Kind::Integer, Form::Numbers),
        ("integer", "1767225600000 + i * 86400000", Kind::Integer, Form::Numbers),
    ];
    for (declared, value, kind, form) in kinds {
        let _ = fs::remove_file(&path);
        sqlite(&path, &shop(declared, "real", value));
        let before = fs::read(&path).unwrap();
        let database = Database::Sqlite(path.clone());
        let catalog = look(&database);
        assert_eq!((catalog.dialect, catalog.time_zone.as_deref()), (Dialect::Sqlite, None));
        check(&catalog);
        let day = table(&catalog, "orders").column("day").unwrap();
        assert_eq!((day.kind, day.seen.form), (kind, form), "{value}");
        ask(&database);
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing beside it");
    }
}

#[test]
fn sqlite_shows_rows_from_all_over_a_table_and_what_analyze_knows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let script = "CREATE TABLE long (store integer, rowid text);
        CREATE TABLE short (store integer, code text, PRIMARY KEY (code)) WITHOUT ROWID;
        INSERT INTO long WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 49999)
            SELECT i / 1000, 'x' || i FROM n;
        INSERT INTO short VALUES (1, 'a'), (2, 'b');
        CREATE INDEX long_by_store ON long (store);
        ANALYZE long;
        CREATE TABLE child (a text REFERENCES SHORT, b text REFERENCES gone);
        CREATE VIEW broken AS SELECT missing FROM nowhere;";
    sqlite(&path, script);
    let catalog = look(&Database::Sqlite(path));
    let long = table(&catalog, "long");
    let store = &long.column("store").unwrap().seen;
    assert_eq!((long.rows, store.rows, store.distinct), (Some(50_000), 2_000, 50));
    assert!(long.analyzed && !table(&catalog, "short").analyzed);
    let short = table(&catalog, "short");
    assert_eq!(
        (short.column("code").unwrap().seen.values, &short.keys),
        (2, &vec![names(&["code"])])
    );
    let [reference] = &table(&catalog, "child").references[..] else { panic!("one leads nowhere") };
    assert_eq!(reference.to, ["code"], "a reference without columns is one to the primary key");
    assert!(!catalog.tables.iter().any(|table| table.name.name == "broken"));
}

#[test]
fn postgresql_is_read_by_one_who_may_only_read() {
    let server = Server::shared().unwrap();
    let owner = server.database().unwrap();
    let date_of = "date '2026-01-01' + i";
    let script = shop("date", "numeric(12, 2)", date_of)
        .replace(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)",
            "",
        )
        .replace("FROM n;", "FROM generate_series(1, 300) AS n(i);");
    let role = format!("reader_of_{}", owner.name());
    owner
        .run(&format!(
            "{script}
             CREATE TABLE secret (id integer);
             CREATE ROLE {role} LOGIN;
             GRANT SELECT ON \"Shops\", orders, empty, daily TO {role};
             ALTER ROLE {role} SET timezone = 'Europe/Berlin';"
        ))
        .unwrap();
    let whole = "SELECT relname, relkind, relpages, reltuples, relfilenode, xmin FROM pg_class ORDER BY oid;
        SELECT attrelid, attname, attstattarget, xmin FROM pg_attribute ORDER BY 1, attnum;
        TABLE \"Shops\"; TABLE orders; TABLE empty; SELECT count(*) FROM pg_statistic;
        SELECT pg_current_xact_id_if_assigned()";
    let before = owner.run(whole).unwrap();
    let url = owner.url().replace("postgres@", &format!("{role}@"));
    let database = Database::Postgres(PostgresOptions::new(url));
    let catalog = look(&database);
    assert_eq!(catalog.dialect, Dialect::Postgres);
    assert_eq!(catalog.time_zone.as_deref(), Some("Europe/Berlin"));
    check(&catalog);
    assert!(!table(&catalog, "orders").analyzed && table(&catalog, "orders").bytes > Some(8_192));
    assert_eq!(table(&catalog, "orders").column("day").unwrap().kind, Kind::Day);
    ask(&database);
    assert_eq!(owner.run(whole).unwrap(), before);
}

#[test]
fn postgresql_schemas_types_partitions_and_statistics() {
    let database = Server::shared().unwrap().database().unwrap();
    let script = r#"
        CREATE SCHEMA shop;
        CREATE DOMAIN shop.price AS numeric(10, 2);
        CREATE TYPE shop.channel AS ENUM ('web', 'till');
        CREATE TABLE shop.sales (store uuid, at timestamptz, local timestamp, amount money, price shop.price,
            channel shop.channel, paid boolean, place point, tags text[]) PARTITION BY RANGE (at);
        CREATE TABLE shop.first PARTITION OF shop.sales FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
        CREATE TABLE shop.rest PARTITION OF shop.sales DEFAULT;
        INSERT INTO shop.sales SELECT md5((i % 40)::text)::uuid, timestamptz '2026-01-01' + i * interval '1 hour', now(),
            i::money, i / 4.0, 'web', true, point(1, 2), '{a}' FROM generate_series(0, 39999) AS i;
        CREATE TABLE sales (id bigint);
    "#;
    database.run(script).unwrap();
    let place = Database::Postgres(PostgresOptions::new(database.url()));
    let catalog = look(&place);
    let shown: Vec<String> = catalog.tables.iter().map(|table| table.name.to_string()).collect();
    assert_eq!(shown, ["sales", "shop.sales"]);
    let sales = &catalog.tables[1];
    assert_eq!(
        (sales.kind, sales.partitioned_by.as_deref()),
        (TableKind::Partitioned, Some("RANGE (at)"))
    );
    let kinds: Vec<Kind> = sales.columns.iter().map(|column| column.kind).collect();
    let (text, number, other) = (Kind::Text, Kind::Number, Kind::Other);
    let (at, local, money, yes) = (Kind::Instant, Kind::Time, Kind::Money, Kind::Boolean);
    assert_eq!(kinds, [text, at, local, money, number, text, yes, other, other]);
    // Before ANALYZE the number of rows is told from the sample, and the sample is from all over.
    let near = |rows: Option<u64>| rows.is_some_and(|rows| (20_000..80_000).contains(&rows));
    assert!(!sales.analyzed && near(sales.rows), "{:?}", sales.rows);
    let seen = |name: &str| &sales.column(name).unwrap().seen;
    assert_eq!(seen("store").distinct, 40);
    let (low, high) = seen("price").range.unwrap();
    assert!(low < 2_500.0 && high > 7_500.0, "{low}..{high}");
    assert!(seen("amount").values > 0 && seen("amount").form == Form::Numbers);
    assert_eq!((seen("place").values, seen("tags").values), (0, 0));
    database.run("ANALYZE").unwrap();
    let catalog = look(&place);
    assert_eq!((catalog.tables[1].analyzed, catalog.tables[1].rows), (true, Some(40_000)));
}

#[test]
fn the_statements_that_are_proposed_can_be_run() {
    let database = Server::shared().unwrap().database().unwrap();
    let script = r#"CREATE SCHEMA "The Shop"; CREATE TABLE "The Shop"."order" (id bigint, "Store" integer,
            "at" timestamptz DEFAULT now());
        INSERT INTO "The Shop"."order" SELECT i, i % 5, timestamptz '2025-11-20 12:00Z' + i * interval '1 day'
            FROM generate_series(0, 99) AS i; INSERT INTO "The Shop"."order" VALUES (100, 1, NULL);"#;
    database.run(script).unwrap();
    let place = Database::Postgres(PostgresOptions::new(database.url()));
    let catalog = look(&place);
    let order = table(&catalog, "order");
    let name = || order.name.clone();
    let index = Index { table: name(), columns: names(&["Store", "at"]), unique: false };
    let statement = index.statement(Dialect::Postgres, order.kind);
    assert_eq!(statement, r#"CREATE INDEX CONCURRENTLY ON "The Shop"."order" ("Store", at);"#);
    database.run(&statement).unwrap();
    database.run(&analyze(Dialect::Postgres, &order.name)).unwrap();
    assert!(table(&look(&place), "order").has_index(&index.columns));

    assert_eq!(by_month(order, "id", None), None, "a number has no months");
    database.run(&by_month(order, "at", Some("Store")).unwrap()).unwrap();
    let catalog = look(&place);
    let order = table(&catalog, "order");
    assert_eq!((order.kind, order.rows), (TableKind::Partitioned, Some(101)));
    assert!(order.has_index(&index.columns));
    let parts = r#"SELECT count(*) FROM pg_partition_tree('"The Shop"."order"') WHERE isleaf"#;
    assert_eq!(database.run(parts).unwrap(), "5", "November to February, and a rest");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    sqlite(&path, r#"CREATE TABLE "order" ("Store" integer, "at" text)"#);
    let index = Index { table: TableName { schema: None, ..order.name.clone() }, ..index };
    let statement = index.statement(Dialect::Sqlite, TableKind::Table);
    sqlite(&path, &(statement + &analyze(Dialect::Sqlite, &index.table)));
    assert!(table(&look(&Database::Sqlite(path)), "order").has_index(&index.columns));
}

#[test]
fn what_is_not_there_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.db");
    let wrong = Explorer::open(&Database::Sqlite(path.clone())).unwrap_err();
    assert_eq!(wrong.kind(), SourceErrorKind::Unreachable);
    assert!(wrong.to_string().contains("none.db") && !path.exists());
    fs::write(&path, "no database, but long enough for the header of one".repeat(20)).unwrap();
    assert!(Explorer::open(&Database::Sqlite(path)).is_err());
    let url = "postgres://ann:secret@127.0.0.1:1/shop";
    let wrong = Explorer::open(&Database::Postgres(PostgresOptions::new(url))).unwrap_err();
    assert!(wrong.to_string().contains("127.0.0.1:1") && !wrong.to_string().contains("secret"));
}
