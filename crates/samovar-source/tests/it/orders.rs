//! The table of orders that both databases are asked about: columns `store`, `day` and `amount`.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use futures_executor::block_on;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, prop_oneof};
use samovar_core::Day;
use samovar_source::{Ask, ColumnKind, Dataset, DateKind, Days, Source, SourceColumn, Which};
use samovar_testkit::source::{ReadRow, read_all};

/// These columns of a query.
pub(crate) fn dataset(query: &str) -> Dataset {
    Dataset {
        query: query.into(),
        store_id: "store".into(),
        store_name: None,
        date: "day".into(),
        date_kind: DateKind::Date,
        time_zone: jiff::tz::TimeZone::UTC,
        product: None,
        category: None,
        columns: vec![SourceColumn {
            name: "amount".into(),
            kind: ColumnKind::Fixed { decimals: 2 },
        }],
    }
}

/// All days of one store.
pub(crate) fn one(store: &str) -> Ask {
    Ask { stores: Which::One(store.into()), days: Days::Range(None, None) }
}

pub(crate) fn rows_of(source: &impl Source, store: &str) -> Vec<ReadRow> {
    read_all(source.read(one(store))).unwrap()
}

/// A store is sought through a join with tables `stores` (where 7 has a name) and `orders` (where 7 has 1 and 2).
pub(crate) fn a_join_is_sought<S: Source>(connect: impl Fn(Dataset) -> S) {
    let joined = "
        -- lines without master data count in full
        SELECT o.store, o.day, o.amount * 2 AS amount, s.name AS store_name
        FROM orders o LEFT JOIN stores s ON s.id = o.store;";
    let source = connect(Dataset { store_name: Some("store_name".into()), ..dataset(joined) });
    assert!(block_on(source.describe()).unwrap().seeks);
    let values: Vec<_> =
        rows_of(&source, "7").into_iter().map(|row| row.values[0].clone().unwrap()).collect();
    assert_eq!(values, ["200", "400"]);
    let mut stores = block_on(source.stores()).unwrap().stores;
    stores.sort_by(|a, b| a.id.cmp(&b.id));
    let names: Vec<_> = stores.iter().map(|store| store.name.as_deref()).collect();
    assert_eq!(names, [Some("Seven"), None]);
}

/// Days from which rows and questions are drawn; in Shanghai they begin at 16:00 UTC.
pub(crate) const FIRST: Day = Day(20_487);
pub(crate) const DAYS: i32 = 12;

/// Any question.
pub(crate) fn ask() -> impl Strategy<Value = Ask> {
    let day = || (-1..=DAYS).prop_map(|n| FIRST.plus(n));
    let days = prop_oneof![
        (option::of(day()), option::of(day())).prop_map(|(from, to)| Days::Range(from, to)),
        vec(day(), 0..6).prop_map(Days::These),
    ];
    let store = prop_oneof![
        Just(Which::All),
        (0u8..5).prop_map(|store| Which::One(store.to_string().into())),
    ];
    (store, days).prop_map(|(stores, days)| Ask { stores, days })
}

/// A question as a condition of SQL, given how it finds the day.
pub(crate) fn condition(ask: &Ask, day: &str) -> String {
    let store = match &ask.stores {
        Which::One(id) => format!("CAST(store AS text) = '{id}'"),
        Which::All => "true".into(),
    };
    let days = match &ask.days {
        Days::Range(from, to) => {
            let from = from.map_or("true".into(), |from| format!("{day} >= '{from}'"));
            let to = to.map_or("true".into(), |to| format!("{day} <= '{to}'"));
            format!("{from} AND {to}")
        }
        Days::These(days) => {
            let days = days.iter().map(|one| format!(" OR {day} = '{one}'"));
            format!("(false{})", days.collect::<String>())
        }
    };
    format!("store IS NOT NULL AND day IS NOT NULL AND {store} AND {days}")
}
