//! What is read equals plain SQL, on any rows and for any question.

use std::fmt::Write as _;

use futures_executor::block_on;
use jiff::tz::TimeZone;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::sample::select;
use samovar_source::{Ask, Dataset, DateKind, Limits, Source, Which};
use samovar_testkit::postgres::Database;
use samovar_testkit::source::{ReadRow, read_all};

use super::{connect, database};
use crate::orders::{DAYS, FIRST, ask, condition, dataset};

/// Types of the date column, what they hold, and how SQL finds the day.
const DATES: [(&str, DateKind, &str); 6] = [
    ("date", DateKind::Date, "day"),
    ("timestamp", DateKind::Date, "day::date"),
    (
        "timestamp",
        DateKind::UtcDatetime,
        "(day AT TIME ZONE 'UTC' AT TIME ZONE 'Asia/Shanghai')::date",
    ),
    ("timestamptz", DateKind::Date, "(day AT TIME ZONE 'Asia/Shanghai')::date"),
    ("text", DateKind::Date, "left(day, 10)::date"),
    ("bigint", DateKind::EpochSeconds, "(to_timestamp(day) AT TIME ZONE 'Asia/Shanghai')::date"),
];

/// Store, day and second, product, thousandths.
type Row = (Option<u8>, Option<(i32, u32)>, Option<String>, Option<i64>);

fn row() -> impl Strategy<Value = Row> {
    let product = prop_oneof![Just("tea".to_string()), Just("日期".to_string()), any::<String>()];
    (
        option::weighted(0.95, 0u8..4),
        option::weighted(0.95, (0..DAYS, 0u32..86_400)),
        option::weighted(0.9, product.prop_map(|text| text.replace('\0', ""))),
        option::weighted(0.9, -1_000_000_000i64..1_000_000_000),
    )
}

/// The rows in a table of their own.
fn fill(
    database: &Database<'_>,
    (kind, _, _): (&str, DateKind, &str),
    store: &str,
    rows: &[Row],
    indexed: bool,
) {
    let mut script = format!(
        "SET client_min_messages = warning; SET timezone = 'UTC'; DROP TABLE IF EXISTS orders;
         CREATE TABLE orders (store {store}, day {kind}, product text, amount numeric);\n"
    );
    if indexed {
        script += "CREATE INDEX by_store_and_day ON orders (store, day);\n";
    }
    for (store, day, product, mills) in rows {
        let null = || "NULL".to_string();
        let store = store.map_or_else(null, |id| format!("'{id}'"));
        let day = day.map_or_else(null, |(day, second)| match kind {
            "bigint" => (i64::from(FIRST.0 + day) * 86_400 + i64::from(second)).to_string(),
            _ => {
                let (hour, minute) = (second / 3_600, second / 60 % 60);
                format!("'{} {hour:02}:{minute:02}:{:02}'", FIRST.plus(day), second % 60)
            }
        });
        let product = product.as_ref().map_or_else(null, |text| {
            let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
            format!("convert_from('\\x{hex}', 'UTF8')")
        });
        let amount = mills.map_or_else(null, |mills| format!("{mills} * 0.001"));
        let _ =
            writeln!(script, "INSERT INTO orders VALUES ({store}, {day}, {product}, {amount});");
    }
    database.run(&script).unwrap();
}

/// The same questions to PostgreSQL alone: it selects and rounds.
fn by_sql(database: &Database<'_>, day: &str, asks: &[Ask]) -> Vec<Vec<ReadRow>> {
    let mut script = String::from("SET timezone = 'UTC';\n");
    for (at, ask) in asks.iter().enumerate() {
        let _ = writeln!(
            script,
            "SELECT {at}, store, {day}, coalesce(encode(convert_to(product, 'UTF8'), 'hex'), '-'),
                 coalesce(round(amount * 100)::bigint::text, '-')
             FROM orders WHERE {};",
            condition(ask, day)
        );
    }
    let mut found = vec![Vec::new(); asks.len()];
    for line in database.run(&script).unwrap().lines() {
        let [at, store, day, product, amount] =
            line.split('|').collect::<Vec<_>>().try_into().unwrap();
        let at: usize = at.parse().unwrap();
        let product = (product != "-").then(|| {
            let byte = |at| u8::from_str_radix(&product[at..at + 2], 16).unwrap();
            String::from_utf8((0..product.len()).step_by(2).map(byte).collect()).unwrap()
        });
        found[at].push(ReadRow {
            store: (asks[at].stores == Which::All).then(|| store.to_string()),
            day: day.parse().unwrap(),
            values: vec![product, (amount != "-").then(|| amount.to_string())],
        });
    }
    found
}

proptest! {
    // Each case fills a table and asks twice.
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn reading_equals_sql(
        rows in vec(row(), 0..60),
        asks in vec(ask(), 1..8),
        date in select(&DATES[..]),
        store in select(&["smallint", "numeric", "text"][..]),
        indexed in any::<bool>(),
        batch_size in 1usize..20,
    ) {
        thread_local! {
            static DATABASE: Database<'static> = database("");
        }
        DATABASE.with(|database| {
            fill(database, date, store, &rows, indexed);
            let asked = Dataset {
                product: Some("product".into()),
                date_kind: date.1,
                time_zone: TimeZone::get("Asia/Shanghai").unwrap(),
                ..dataset("orders")
            };
            let source = connect(database, asked, Limits { batch_size, ..Limits::default() });
            let expected = by_sql(database, date.2, &asks);
            for (ask, mut expected) in asks.into_iter().zip(expected) {
                let mut read = read_all(source.read(ask)).unwrap();
                assert!(read.is_sorted_by_key(|row| (row.store.clone(), row.day)));
                read.sort();
                expected.sort();
                assert_eq!(read, expected, "{date:?}");
            }
            let inventory = block_on(source.stores()).unwrap();
            let placed: u64 = inventory.stores.iter().map(|store| store.lines).sum();
            assert_eq!(placed + inventory.unplaced, rows.len() as u64);
        });
    }
}
