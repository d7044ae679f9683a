//! Every type that can be read, and those that cannot.

use std::sync::Arc;

use futures_executor::block_on;
use jiff::tz::TimeZone;
use samovar_source::{
    Ask, ColumnKind, Dataset, DateKind, Days, Limits, Source, SourceColumn, SourceErrorKind, Which,
};
use samovar_testkit::postgres::Database;
use samovar_testkit::source::read_all;

use super::{connect, database, dataset, one, refusal, rows_of};

/// A type, a value of it as SQL, its text, and as a number with two decimals if it is one.
const VALUES: [(&str, &str, &str, Option<&str>); 22] = [
    ("smallint", "'-7'", "-7", Some("-700")),
    ("integer", "'7'", "7", Some("700")),
    ("bigint", "'9000000000'", "9000000000", Some("900000000000")),
    ("real", "'19.99'", "19.99", Some("1999")),
    ("double precision", "'-0.125'", "-0.125", Some("-13")),
    ("numeric", "'1234567.895'", "1234567.895", Some("123456790")),
    ("numeric(10,3)", "'-0.005'", "-0.005", Some("-1")),
    ("text", "'7.5'", "7.5", Some("750")),
    ("varchar(9)", "'12'", "12", Some("1200")),
    ("char(9)", "'12'", "12", Some("1200")),
    ("text", "'豆浆 🥛'", "豆浆 🥛", None),
    ("boolean", "'true'", "true", Some("100")),
    ("boolean", "'false'", "false", Some("0")),
    (
        "uuid",
        "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        None,
    ),
    ("date", "'0044-03-15'", "0044-03-15", None),
    ("timestamp", "'2026-02-03 19:06:53.25'", "2026-02-03 19:06:53.25", None),
    ("timestamptz", "'2026-02-03 19:06:53+08'", "2026-02-03 11:06:53+00", None),
    ("mood", "'very \"good\"'", "very \"good\"", None),
    ("money_of_ours", "'12.345'", "12.345", Some("1235")),
    ("short", "'ab'", "ab", None),
    ("numeric", "'0.000'", "0", Some("0")),
    ("double precision", "'-0'", "0", Some("0")),
];

const TYPES: &str = "
    CREATE TYPE mood AS ENUM ('bad', 'very \"good\"');
    CREATE DOMAIN cents AS numeric CHECK (VALUE >= 0);
    CREATE DOMAIN money_of_ours AS cents NOT NULL;
    CREATE DOMAIN short AS varchar(3);";

/// The table `orders` with these columns and rows, and no others.
fn anew(database: &Database<'_>, columns: &str, rows: &str) {
    let script = format!(
        "DROP TABLE IF EXISTS orders; CREATE TABLE orders ({columns});
         CREATE INDEX by_store_and_day ON orders (store, day); INSERT INTO orders VALUES {rows}"
    );
    database.run(&format!("SET client_min_messages = warning; {script}")).unwrap();
}

#[test]
fn every_type_is_read_and_may_be_null() {
    let database = database(TYPES);
    for (name, value, text, number) in VALUES {
        let null = if name == "money_of_ours" { "'0'" } else { "NULL" };
        anew(
            &database,
            &format!("store integer, day date, amount {name}"),
            &format!("(7, '2026-02-03', {value}), (7, '2026-02-04', {null})"),
        );
        let mut asked = dataset("orders");
        asked.product = Some("amount".into());
        asked.columns[0].kind = ColumnKind::Text;
        if number.is_some() {
            asked.columns.extend(dataset("orders").columns);
        }
        let rows = rows_of(&connect(&database, asked, Limits::default()), "7");
        let values = &rows[0].values;
        assert_eq!(
            (values[0].as_deref(), values[1].as_deref()),
            (Some(text), Some(text)),
            "{name}"
        );
        assert_eq!(values.get(2).cloned().flatten().as_deref(), number, "{name}");
        if null == "NULL" {
            assert!(rows[1].values.iter().all(Option::is_none), "{name}");
        }
    }
}

#[test]
fn every_type_that_can_be_an_id_is_found_by_its_text() {
    let database = database(TYPES);
    for (name, value, text, _) in VALUES {
        if ["date", "timestamp", "timestamptz"].contains(&name) {
            continue;
        }
        anew(
            &database,
            &format!("store {name}, day date, amount integer"),
            &format!("({value}, '2026-02-03', 1), ({value}, '2026-02-04', 2)"),
        );
        let named = Dataset { store_name: Some("store".into()), ..dataset("orders") };
        let source = connect(&database, named, Limits::default());
        assert!(block_on(source.describe()).unwrap().seeks, "{name}");
        let stores = block_on(source.stores()).unwrap().stores;
        let found: Vec<(&str, u64)> = stores.iter().map(|s| (&*s.id, s.lines)).collect();
        assert_eq!(found, [(text, 2)], "{name}");
        assert!(stores[0].name.is_some(), "{name}");
        assert_eq!(rows_of(&source, text).len(), 2, "{name}");
        let all = Ask { stores: Which::All, days: Days::Range(None, None) };
        let ids: Vec<_> = read_all(source.read(all)).unwrap();
        assert!(ids.iter().all(|row| row.store.as_deref() == Some(text)), "{name}");
        for nearly in ["", " ", "07", "7.0", " 7", "-7.0", "t", "1e0", "ab ", "NULL", "0x7", "\0"] {
            assert_eq!(rows_of(&source, nearly).len(), 0, "{name} {nearly:?}");
        }
    }
}

#[test]
fn a_label_of_an_enum_may_come_later() {
    let database =
        database(&format!("{TYPES} CREATE TABLE orders (store mood, day date, amount integer)"));
    let source = connect(&database, dataset("orders"), Limits::default());
    assert_eq!(rows_of(&source, "fine").len(), 0);
    database.run("ALTER TYPE mood ADD VALUE 'fine'").unwrap();
    database.run("INSERT INTO orders VALUES ('fine', '2026-02-03', 1)").unwrap();
    assert_eq!(rows_of(&source, "fine").len(), 1);
}

#[test]
fn a_type_that_cannot_be_read_is_named() {
    let database = database(
        "CREATE TYPE pair AS (a integer, b integer); CREATE DOMAIN ints AS integer[];
         CREATE TABLE orders (store integer, day date, amount numeric, j json, p point, i inet, b bytea,
             a integer[], c pair, d ints, v interval, u uuid, ts timestamptz)",
    );
    let fixed =
        |name: &str| SourceColumn { name: name.into(), kind: ColumnKind::Fixed { decimals: 2 } };
    for (name, kind) in [
        ("j", "json"),
        ("p", "point"),
        ("i", "inet"),
        ("b", "bytea"),
        ("a", "integer[]"),
        ("c", "pair"),
        ("d", "integer[]"),
        ("v", "interval"),
        ("u", "uuid"),
        ("ts", "timestamp with time zone"),
    ] {
        let wrong =
            refusal(&database.url(), Dataset { columns: vec![fixed(name)], ..dataset("orders") });
        assert_eq!(wrong.kind(), SourceErrorKind::Schema);
        let words = format!("column {name} is of type {kind}, which");
        assert!(wrong.to_string().contains(&words), "{wrong}");
        assert!(wrong.to_string().contains(&format!("{name}::numeric")), "{wrong}");
    }
    for (wrong, words) in [
        (Dataset { product: Some("j".into()), ..dataset("orders") }, "j is of type json"),
        (Dataset { store_id: "p".into(), ..dataset("orders") }, "p is of type point"),
        (Dataset { store_id: "ts".into(), ..dataset("orders") }, "ts::text"),
        (Dataset { store_name: Some("b".into()), ..dataset("orders") }, "b is of type bytea"),
        (Dataset { date: "store".into(), ..dataset("orders") }, "dataset.date_kind"),
        (Dataset { date_kind: DateKind::EpochMillis, ..dataset("orders") }, "day::bigint"),
    ] {
        let wrong = refusal(&database.url(), wrong);
        assert!(wrong.to_string().contains(words), "{wrong}");
    }
    // What is not asked for may be of any type.
    assert!(rows_of(&connect(&database, dataset("orders"), Limits::default()), "7").is_empty());
}

#[test]
fn values_that_do_not_fit_are_told() {
    let database = database("");
    for (kind, value, words) in [
        ("numeric", "'1e30'", "the number 1000000000000000000000000000000"),
        ("numeric", "'NaN'", "the number NaN"),
        ("double precision", "'infinity'", "the number inf"),
        ("text", "'much'", "the text \"much\""),
    ] {
        anew(
            &database,
            &format!("store integer, day date, amount {kind}"),
            &format!("(7, '2026-02-03', {value})"),
        );
        let source = connect(&database, dataset("orders"), Limits::default());
        let wrong = read_all(source.read(one("7"))).unwrap_err();
        assert_eq!(wrong.kind(), SourceErrorKind::Value);
        for word in ["store 7 on 2026-02-03", "column amount", words] {
            assert!(wrong.to_string().contains(word), "{wrong}");
        }
    }
}

#[test]
fn an_infinite_date_is_told() {
    let database = database("");
    for kind in ["date", "timestamp", "timestamptz"] {
        for value in ["infinity", "-infinity"] {
            anew(
                &database,
                &format!("store integer, day {kind}, amount numeric"),
                &format!("(7, '2026-02-03', 1), (7, '{value}', 1)"),
            );
            let source = connect(&database, dataset("orders"), Limits::default());
            let reading = read_all(source.read(one("7"))).unwrap_err();
            for wrong in [reading, block_on(source.stores()).unwrap_err()] {
                assert_eq!(wrong.kind(), SourceErrorKind::Value);
                for word in ["store 7", "column day", &format!("the date {value}")] {
                    assert!(wrong.to_string().contains(word), "{wrong}");
                }
            }
        }
    }
}

#[test]
fn days_of_native_times_are_those_of_their_kind() {
    // In Shanghai a day begins at 16:00 UTC of the day before.
    let times = "('2026-02-03 15:59:59.999999+00'), ('2026-02-03 16:00:00+00'),
        ('2026-02-04 15:59:59+00'), ('2026-02-04 16:00:00+00')";
    let (third, fourth, fifth) = ("2026-02-03", "2026-02-04", "2026-02-05");
    for (column, date_kind, days) in [
        ("timestamptz", DateKind::Date, [third, fourth, fourth, fifth]),
        ("timestamptz", DateKind::UtcDatetime, [third, fourth, fourth, fifth]),
        ("timestamp", DateKind::UtcDatetime, [third, fourth, fourth, fifth]),
        ("timestamp", DateKind::Date, [third, third, fourth, fourth]),
        ("date", DateKind::Date, [third, third, fourth, fourth]),
        ("date", DateKind::UtcDatetime, [third, third, fourth, fourth]),
    ] {
        let value = match column {
            "timestamptz" => "t::timestamptz".to_string(),
            _ => format!("(t::timestamptz AT TIME ZONE 'UTC')::{column}"),
        };
        // The session's own zone and style must not matter.
        let database = database(&format!(
            "CREATE TABLE orders (store integer, day {column}, amount numeric);
             CREATE INDEX by_store_and_day ON orders (store, day);
             INSERT INTO orders SELECT 7, {value}, 1 FROM (VALUES {times}) AS v(t)"
        ));
        let name = database.name();
        database
            .run(&format!(
                "ALTER DATABASE {name} SET timezone = 'America/New_York';
                 ALTER DATABASE {name} SET datestyle = 'SQL, DMY'"
            ))
            .unwrap();
        let time_zone = TimeZone::get("Asia/Shanghai").unwrap();
        let asked = Dataset { date_kind, time_zone, ..dataset("orders") };
        let source = connect(&database, asked, Limits::default());
        let read = |days| -> Vec<String> {
            let ask = Ask { stores: Which::One("7".into()), days };
            read_all(source.read(ask)).unwrap().iter().map(|row| row.day.to_string()).collect()
        };
        assert_eq!(read(Days::Range(None, None)), days, "{column} {date_kind:?}");
        for wanted in [third, fourth, fifth] {
            let expected: Vec<&str> = days.into_iter().filter(|day| *day == wanted).collect();
            let day = wanted.parse().unwrap();
            assert_eq!(read(Days::These(vec![day])), expected, "{column} {date_kind:?}");
            assert_eq!(read(Days::Range(Some(day), Some(day))), expected, "{column} {date_kind:?}");
        }
        let store = block_on(source.stores()).unwrap().stores.remove(0);
        let ends = [store.first.to_string(), store.last.to_string()];
        assert_eq!(ends, [days[0], days[3]], "{column} {date_kind:?}");
        assert_eq!(store.id, Arc::from("7"));
    }
}
