//! Measurements, not checks: `cargo test --release -p samovar-source -- --ignored --nocapture speed`.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use futures_executor::block_on;
use futures_util::StreamExt;
use samovar_source::{
    Ask, ColumnKind, Dataset, DateKind, Days, Limits, Source, SourceColumn, SqliteSource, Which,
};

/// The demo's database, made once beside the build.
fn demo() -> PathBuf {
    let shape = samovar_demo::Shape::default();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(samovar_demo::file_name(&shape));
    if !samovar_demo::is_complete(&path, &shape).unwrap() {
        samovar_demo::generate(&path, &shape, &|_| (), &AtomicBool::new(false)).unwrap();
    }
    path
}

fn orders(query: &str) -> Dataset {
    let fixed = |name: &str, decimals| SourceColumn {
        name: name.into(),
        kind: ColumnKind::Fixed { decimals },
    };
    Dataset {
        query: query.into(),
        store_id: "store_id".into(),
        store_name: Some("store_name".into()),
        date: "date".into(),
        date_kind: DateKind::Date,
        time_zone: jiff::tz::TimeZone::UTC,
        product: Some("product".into()),
        category: Some("category".into()),
        columns: vec![fixed("amount", 2), fixed("profit", 2), fixed("delivery_minutes", 1)],
    }
}

#[test]
#[ignore = "a measurement, not a check"]
fn speed_of_three_million_rows() {
    let path = demo();
    for round in 0..3 {
        let start = Timer::start();
        let db = rusqlite::Connection::open(&path).unwrap();
        let mut statement = db.prepare("SELECT * FROM orders ORDER BY rowid").unwrap();
        let mut rows = statement.query([]).unwrap();
        let mut bytes = 0;
        while let Some(row) = rows.next().unwrap() {
            for column in 0..10 {
                if let rusqlite::types::ValueRef::Text(text) = row.get_ref(column).unwrap() {
                    bytes += text.len();
                }
            }
        }
        println!("{round}: bare scan: {} ({bytes} bytes of text)", start.took());

        let source = SqliteSource::open(&path, orders("orders"), Limits::default()).unwrap();
        let start = Timer::start();
        let inventory = block_on(source.stores()).unwrap();
        println!("{round}: stores: {}", start.took());

        let start = Timer::start();
        let stores: Vec<_> = inventory.stores.iter().map(|store| store.id.clone()).collect();
        let rows: usize = std::thread::scope(|scope| {
            let source = &source;
            let readers: Vec<_> = stores
                .chunks(stores.len().div_ceil(2))
                .map(|mine| {
                    scope.spawn(move || mine.iter().map(|id| count(source, id)).sum::<usize>())
                })
                .collect();
            readers.into_iter().map(|reader| reader.join().unwrap()).sum()
        });
        println!("{round}: {rows} rows store by store, two readers: {}", start.took());

        let start = Timer::start();
        let rows: usize = stores.iter().map(|id| count(&source, id)).sum();
        println!("{round}: {rows} rows store by store, one reader: {}", start.took());

        let source = SqliteSource::open(
            &path,
            orders("SELECT * FROM orders NOT INDEXED"),
            Limits::default(),
        )
        .unwrap();
        let start = Timer::start();
        let inventory = block_on(source.stores()).unwrap();
        println!("{round}: stores without index: {} ({})", start.took(), inventory.stores.len());
        let start = Timer::start();
        let ask = Ask { stores: Which::All, days: Days::Range(None, None) };
        let rows = sum(source.read(ask));
        println!("{round}: {rows} rows of all stores without index: {}", start.took());
    }
}

/// Wall and processor time: the second tells on a busy machine too.
struct Timer(Instant, f64);

impl Timer {
    fn start() -> Timer {
        Timer(Instant::now(), processor_seconds())
    }

    fn took(&self) -> String {
        let processor = processor_seconds() - self.1;
        format!("{:.3} s wall, {processor:.2} s processor", self.0.elapsed().as_secs_f64())
    }
}

/// Of this process, user and system, in steps of 10 ms; 0 where the system does not tell.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or("").split(' ').skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn count(source: &SqliteSource, id: &std::sync::Arc<str>) -> usize {
    sum(source.read(Ask { stores: Which::One(id.clone()), days: Days::Range(None, None) }))
}

fn sum(batches: samovar_source::Batches) -> usize {
    block_on(batches.map(|batch| batch.unwrap().num_rows()).fold(0, async |sum, n| sum + n))
}
