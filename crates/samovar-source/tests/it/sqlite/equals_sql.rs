//! What is read equals plain SQL, on any rows and for any question.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use rusqlite::Connection;
use samovar_source::{Ask, ColumnKind, Dataset, Limits, Source, SourceColumn, SqliteSource, Which};
use samovar_testkit::source::{ReadRow, read_all};

use super::database;
use crate::orders::{DAYS, FIRST, ask, condition, dataset};

type Row = (Option<u8>, Option<i32>, Option<String>, Option<i64>);

fn row() -> impl Strategy<Value = Row> {
    let product = prop_oneof![Just("tea".to_string()), Just("日期".to_string()), any::<String>()];
    let product = product.prop_map(|text| text.replace('\0', ""));
    // A fraction of cents that no float holds exactly stays away from half a cent.
    let mills = (-1_000_000_000i64..1_000_000_000)
        .prop_filter("half a cent", |n| n % 10 != 5 && n % 10 != -5);
    (
        option::weighted(0.95, 0u8..4),
        option::weighted(0.95, 0..DAYS),
        option::weighted(0.9, product),
        option::weighted(0.9, mills),
    )
}

/// The same question to SQLite alone: it selects, sorts and rounds.
fn by_sql(db: &Connection, ask: &Ask) -> Vec<ReadRow> {
    let text = format!(
        "SELECT store, date(day), product, CAST(round(amount * 100) AS INTEGER), product FROM orders
         WHERE {}",
        condition(ask, "date(day)")
    );
    let mut statement = db.prepare(&text).unwrap();
    let rows = statement.query_map([], |row| {
        Ok(ReadRow {
            store: (ask.stores == Which::All).then(|| row.get_unwrap::<_, i64>(0).to_string()),
            day: row.get::<_, String>(1)?.parse().unwrap(),
            values: vec![
                row.get(2)?,
                row.get::<_, Option<i64>>(3)?.map(|cents| cents.to_string()),
                row.get(4)?,
            ],
        })
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn reading_equals_sql(
        rows in vec(row(), 0..60),
        asks in vec(ask(), 1..8),
        indexed in any::<bool>(),
        batch_size in 1usize..20,
    ) {
        let index = if indexed { "CREATE INDEX by_store_and_day ON orders (store, day);" } else { "" };
        let script = format!("CREATE TABLE orders (store INTEGER, day TEXT, product TEXT, amount REAL); {index}");
        let (_directory, path, db) = database(&script);
        for (n, (store, day, product, mills)) in rows.iter().enumerate() {
            let day = day.map(|n| FIRST.plus(n).to_string());
            // Some with a time of day.
            let day = day.map(|day| if n % 3 == 0 { format!("{day} 23:59:59") } else { day });
            let amount = mills.map(|n| n as f64 / 1_000.0);
            db.execute("INSERT INTO orders VALUES (?, ?, ?, ?)", (store, day, product, amount)).unwrap();
        }
        let text = SourceColumn { name: "product".into(), kind: ColumnKind::Text };
        let asked = Dataset {
            product: Some("product".into()),
            columns: vec![dataset("orders").columns.remove(0), text],
            ..dataset("orders")
        };
        let source =
            SqliteSource::open(&path, asked, Limits { batch_size, ..Limits::default() }).unwrap();
        for ask in asks {
            let mut expected = by_sql(&db, &ask);
            let mut read = read_all(source.read(ask)).unwrap();
            assert!(read.is_sorted_by_key(|row| (row.store.clone(), row.day)));
            read.sort();
            expected.sort();
            assert_eq!(read, expected);
        }
        let inventory = futures_executor::block_on(source.stores()).unwrap();
        let placed: u64 = inventory.stores.iter().map(|store| store.lines).sum();
        assert_eq!(placed + inventory.unplaced, rows.len() as u64);
    }
}
