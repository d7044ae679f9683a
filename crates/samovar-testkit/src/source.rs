//! The contract of a source as tests.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use futures_executor::block_on;
use futures_util::{StreamExt, TryStreamExt};
use jiff::tz::TimeZone;
use samovar_core::Day;
use samovar_source::{
    Ask, Batches, ColumnKind, Dataset, DateKind, Days, Limits, Source, SourceColumn, SourceError,
    SourceErrorKind, Which,
};

/// A table to run the suite on, and how it is read.
///
/// A test of one's own may fill tables with it too (`postgres::Database::fill`):
///
/// ```
/// use jiff::tz::TimeZone;
/// use samovar_source::{ColumnKind, Dataset, DateKind, Limits, SourceColumn};
/// use samovar_testkit::source::{Cell, Fixture, Type};
///
/// let amount = SourceColumn { name: "amount".into(), kind: ColumnKind::Fixed { decimals: 2 } };
/// let fixture = Fixture {
///     dataset: Dataset {
///         query: "orders".into(),
///         store_id: "store".into(),
///         store_name: None,
///         date: "day".into(),
///         date_kind: DateKind::Date,
///         time_zone: TimeZone::UTC,
///         product: None,
///         category: None,
///         columns: vec![amount],
///     },
///     limits: Limits::default(),
///     columns: vec![
///         ("store".into(), Type::Integer),
///         ("day".into(), Type::Text),
///         ("amount".into(), Type::Real),
///     ],
///     rows: vec![vec![Cell::Integer(7), Cell::Text("2026-02-03".into()), Cell::Real(19.99)]],
///     indexed: true,
/// };
/// assert!(fixture.rows.iter().all(|row| row.len() == fixture.columns.len()));
/// ```
#[derive(Clone, Debug)]
pub struct Fixture {
    /// What the source is told; its query is the table's name.
    pub dataset: Dataset,
    /// What it may cost.
    pub limits: Limits,
    /// Names and types of the table's columns.
    pub columns: Vec<(String, Type)>,
    /// The rows, in the order in which they are inserted.
    pub rows: Vec<Vec<Cell>>,
    /// Whether there is an index on the columns of store and day.
    pub indexed: bool,
}

/// The type of a column.
///
/// ```
/// # use samovar_testkit::source::Type;
/// let in_sqlite = |kind| match kind {
///     Type::Integer => "INTEGER",
///     Type::Real => "REAL",
///     Type::Text => "TEXT",
/// };
/// assert_eq!(in_sqlite(Type::Real), "REAL");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Whole numbers of 64 bits.
    Integer,
    /// Floats of 64 bits.
    Real,
    /// Text.
    Text,
}

/// A value of a row.
///
/// ```
/// # use samovar_testkit::source::Cell;
/// let in_csv = |cell| match cell {
///     Cell::Null => String::new(),
///     Cell::Integer(number) => number.to_string(),
///     Cell::Real(number) => number.to_string(),
///     Cell::Text(text) => format!("\"{}\"", text.replace('"', "\"\"")),
/// };
/// let row = [Cell::Integer(7), Cell::Null, Cell::Text("5\" cup".into())];
/// assert_eq!(row.map(in_csv).join(","), r#"7,,"5"" cup""#);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// NULL.
    Null,
    /// Of a column of whole numbers.
    Integer(i64),
    /// Of a column of floats.
    Real(f64),
    /// Of a column of texts.
    Text(String),
}

/// A row as it was read: the store if all were asked for, the day, and the values as text.
///
/// ```
/// # use samovar_core::Day;
/// # use samovar_testkit::source::ReadRow;
/// let row = |day| ReadRow { store: None, day: Day(day), values: vec![Some("1999".into())] };
/// assert!(row(20_487) < row(20_488), "they come in the order of their days");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReadRow {
    /// The store, if all were asked for.
    pub store: Option<String>,
    /// The day.
    pub day: Day,
    /// Product, category and the measures' columns; whole numbers in digits.
    pub values: Vec<Option<String>>,
}

/// Reads to the end.
///
/// # Errors
/// The source's.
///
/// ```
/// # use std::sync::Arc;
/// # use arrow_array::{Date32Array, Int64Array, RecordBatch};
/// # use futures_util::{StreamExt, stream};
/// # use samovar_testkit::source::read_all;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let batch = RecordBatch::try_from_iter([
///     ("date", Arc::new(Date32Array::from(vec![20_487, 20_488])) as _),
///     ("amount", Arc::new(Int64Array::from(vec![Some(1_999), None])) as _),
/// ])?;
/// // A source's batches, in earnest.
/// let read = read_all(stream::iter([Ok(batch.clone()), Ok(batch)]).boxed())?;
/// assert_eq!(read.len(), 4);
/// assert_eq!(read[0].day.to_string(), "2026-02-03");
/// assert_eq!((&read[0].values, &read[1].values), (&vec![Some("1999".into())], &vec![None]));
/// # Ok(())
/// # }
/// ```
pub fn read_all(batches: Batches) -> Result<Vec<ReadRow>, SourceError> {
    let batches: Vec<RecordBatch> = block_on(batches.try_collect())?;
    Ok(batches.iter().flat_map(rows).collect())
}

/// The rows of a batch.
///
/// # Panics
/// If it is not of the form that a source promises.
///
/// ```
/// # use std::sync::Arc;
/// # use arrow_array::{Date32Array, Int64Array, RecordBatch};
/// # use samovar_testkit::source::rows;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let batch = RecordBatch::try_from_iter([
///     ("date", Arc::new(Date32Array::from(vec![20_487])) as _),
///     ("amount", Arc::new(Int64Array::from(vec![1_999])) as _),
/// ])?;
/// let [row] = &rows(&batch)[..] else { panic!("it has one row") };
/// assert_eq!((row.day.to_string(), &row.store), ("2026-02-03".into(), &None));
/// assert_eq!(row.values, [Some("1999".to_string())]);
/// # Ok(())
/// # }
/// ```
pub fn rows(batch: &RecordBatch) -> Vec<ReadRow> {
    let schema = batch.schema();
    let all = usize::from(schema.field(0).name() == "store_id");
    assert_eq!(schema.field(all).name(), "date");
    assert_eq!(batch.column(all).null_count(), 0, "each row has a day");
    let days = batch.column(all).as_primitive::<Date32Type>();
    (0..batch.num_rows())
        .map(|row| ReadRow {
            store: (all == 1).then(|| text(batch.column(0), row).expect("each row has a store")),
            day: Day(days.value(row)),
            values: batch.columns()[all + 1..].iter().map(|column| text(column, row)).collect(),
        })
        .collect()
}

fn text(column: &dyn Array, row: usize) -> Option<String> {
    if column.is_null(row) {
        return None;
    }
    if *column.data_type() == DataType::Int64 {
        return Some(column.as_primitive::<Int64Type>().value(row).to_string());
    }
    assert_eq!(*column.data_type(), samovar_source::text_type());
    let dictionary = column.as_dictionary::<Int32Type>();
    let key = usize::try_from(dictionary.keys().value(row)).expect("keys are not negative");
    Some(dictionary.values().as_string::<i32>().value(key).to_string())
}

/// What every source promises. `make` makes a source of a fixture.
///
/// As a test, with a source of one's own in place of this one:
///
/// ```
/// use samovar_source::{PostgresOptions, PostgresSource};
/// use samovar_testkit::postgres::{Server, Types};
/// use samovar_testkit::source::{Fixture, suite};
///
/// # fn main() -> Result<(), samovar_testkit::postgres::PostgresError> {
/// let server = Server::shared()?;
/// suite(|fixture: &Fixture| {
///     let database = server.database().expect("there is room for one more");
///     database.fill(fixture, Types::Plain).expect("the suite's tables can be made");
///     let options = PostgresOptions::new(database.url());
///     PostgresSource::connect(&options, fixture.dataset.clone(), fixture.limits)
///         .expect("the suite's datasets are right")
/// });
/// # Ok(())
/// # }
/// ```
pub fn suite<S: Source>(make: impl Fn(&Fixture) -> S) {
    describes_itself(&make);
    lists_its_stores(&make);
    reads_a_store_by_day(&make);
    hands_over_what_was_asked_for(&make);
    reads_all_stores_in_one_pass(&make);
    keeps_to_the_size_of_a_batch(&make);
    refuses_too_many_rows(&make);
    stops_when_it_takes_too_long(&make);
    waits_for_its_reader_and_stops_when_it_leaves(&make);
    takes_names_in_any_script(&make);
    takes_names_and_values_as_they_are(&make);
    tells_what_it_cannot_read(&make);
    knows_the_day_of_an_instant(&make);
}

fn day(text: &str) -> Day {
    text.parse().expect("the suite's dates are dates")
}

fn cell(text: &str) -> Cell {
    Cell::Text(text.into())
}

fn fixed(name: &str, decimals: u8) -> SourceColumn {
    SourceColumn { name: name.into(), kind: ColumnKind::Fixed { decimals } }
}

fn one(store: &str, days: Days) -> Ask {
    Ask { stores: Which::One(store.into()), days }
}

fn always() -> Days {
    Days::Range(None, None)
}

/// A few orders in no order: stores 7 and 12, days with gaps, things missing.
fn orders() -> Fixture {
    let row = |store, date: &str, product: Option<&str>, amount| {
        let date = if date.is_empty() { Cell::Null } else { cell(date) };
        let store: Option<i64> = store;
        let amount: Option<f64> = amount;
        vec![
            store.map_or(Cell::Null, Cell::Integer),
            store.map_or(Cell::Null, |id| cell(&format!("Store {id}"))),
            date,
            product.map_or(Cell::Null, cell),
            cell("not asked for"),
            amount.map_or(Cell::Null, Cell::Real),
        ]
    };
    let columns = [
        ("store", Type::Integer),
        ("store_name", Type::Text),
        ("day", Type::Text),
        ("product", Type::Text),
        ("note", Type::Text),
        ("amount", Type::Real),
    ];
    Fixture {
        dataset: Dataset {
            query: "orders".into(),
            store_id: "store".into(),
            store_name: Some("store_name".into()),
            date: "day".into(),
            date_kind: DateKind::Date,
            time_zone: TimeZone::UTC,
            product: Some("product".into()),
            category: None,
            columns: vec![fixed("amount", 2)],
        },
        limits: Limits::default(),
        columns: columns.map(|(name, kind)| (name.to_string(), kind)).into(),
        rows: vec![
            row(Some(12), "2026-02-03", Some("rye"), Some(1.0)),
            row(Some(7), "2026-02-05", Some("tea"), Some(19.99)),
            row(Some(7), "2026-02-03", None, Some(-0.125)),
            row(None, "2026-02-03", Some("rye"), Some(1.0)),
            row(Some(7), "2026-02-04", Some("tea"), None),
            row(Some(7), "", Some("tea"), Some(3.0)),
            row(Some(9), "", Some("tea"), Some(3.0)),
            row(Some(7), "2026-03-01", Some("rye"), Some(7.5)),
        ],
        indexed: true,
    }
}

/// Many rows of one store.
fn many(rows: usize, limits: Limits) -> Fixture {
    let mut fixture = orders();
    let row = fixture.rows[0].clone();
    fixture.rows = vec![row; rows];
    Fixture { limits, ..fixture }
}

fn describes_itself<S: Source>(make: &impl Fn(&Fixture) -> S) {
    let indexed = orders();
    let described = block_on(make(&indexed).describe()).expect("describes itself");
    let names: Vec<&String> = described.columns.iter().map(|(name, _)| name).collect();
    assert_eq!(names, indexed.columns.iter().map(|(name, _)| name).collect::<Vec<_>>());
    assert!(described.seeks, "there is an index on store and day");
    let bare = make(&Fixture { indexed: false, ..indexed });
    assert!(!block_on(bare.describe()).expect("describes itself").seeks, "there is no index");
}

fn lists_its_stores<S: Source>(make: &impl Fn(&Fixture) -> S) {
    for indexed in [true, false] {
        let source = make(&Fixture { indexed, ..orders() });
        let mut found = block_on(source.stores()).expect("lists its stores");
        found.stores.sort_by_key(|store| store.lines);
        let told: Vec<_> = found
            .stores
            .iter()
            .map(|s| (&*s.id, s.name.as_deref(), s.lines, s.first, s.last))
            .collect();
        let (third, march) = (day("2026-02-03"), day("2026-03-01"));
        let seven = ("7", Some("Store 7"), 4, third, march);
        assert_eq!(told, [("12", Some("Store 12"), 1, third, third), seven]);
        assert_eq!(found.unplaced, 3, "lines without store or day are counted");
    }
    let mut nameless = orders();
    nameless.dataset.store_name = None;
    let found = block_on(make(&nameless).stores()).expect("lists its stores");
    assert!(found.stores.iter().all(|store| store.name.is_none()));
    nameless.rows.clear();
    let found = block_on(make(&nameless).stores()).expect("lists no stores");
    assert!(found.stores.is_empty() && found.unplaced == 0);
}

fn reads_a_store_by_day<S: Source>(make: &impl Fn(&Fixture) -> S) {
    for indexed in [true, false] {
        let source = make(&Fixture { indexed, ..orders() });
        let days = |store, days| -> Vec<String> {
            let rows = read_all(source.read(one(store, days))).expect("reads");
            rows.iter().map(|row| row.day.to_string()).collect()
        };
        let range = |from: &str, to: &str| {
            let end = |text: &str| (!text.is_empty()).then(|| day(text));
            Days::Range(end(from), end(to))
        };
        let whole = ["2026-02-03", "2026-02-04", "2026-02-05", "2026-03-01"];
        assert_eq!(days("7", always()), whole);
        assert_eq!(days("7", range("2026-02-04", "2026-02-05")), whole[1..3]);
        assert_eq!(days("7", range("2026-02-05", "")), whole[2..]);
        assert_eq!(days("7", range("", "2026-02-04")), whole[..2]);
        assert_eq!(days("7", range("2026-02-06", "2026-02-28")), [""; 0]);
        assert_eq!(days("7", Days::Range(Some(Day(i32::MIN)), Some(Day(i32::MAX)))), whole);
        let these = ["2026-02-03", "2026-02-05", "2026-02-06", "2026-03-01"].map(day).into();
        assert_eq!(days("7", Days::These(these)), [whole[0], whole[2], whole[3]]);
        assert_eq!(days("7", Days::These(Vec::new())), [""; 0]);
        // An id that is nobody's, also where it is nearly somebody's.
        for nobody in ["8", "07", "7.0", " 7", "", "seven", "NULL"] {
            assert_eq!(days(nobody, always()), [""; 0], "{nobody}");
        }
        assert_eq!(days("12", always()), [whole[0]]);
    }
}

fn hands_over_what_was_asked_for<S: Source>(make: &impl Fn(&Fixture) -> S) {
    let mut fixture = orders();
    let source = make(&fixture);
    let rows = read_all(source.read(one("7", always()))).expect("reads");
    let values: Vec<_> = rows.iter().map(|row| row.values.clone()).collect();
    let text = |text: &str| Some(text.to_string());
    // Rounded half away from zero; nothing stays nothing.
    let expected = [
        [None, text("-13")],
        [text("tea"), None],
        [text("tea"), text("1999")],
        [text("rye"), text("750")],
    ];
    assert_eq!(values, expected);

    fixture.dataset.category = Some("note".into());
    let as_text = SourceColumn { name: "store".into(), kind: ColumnKind::Text };
    fixture.dataset.columns = vec![fixed("store", 0), as_text, fixed("amount", 0)];
    let first = block_on(make(&fixture).read(one("12", always())).next());
    let batch = first.expect("there are rows").expect("reads");
    let schema = batch.schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["date", "product", "category", "store", "store", "amount"]);
    let expected = ["rye", "not asked for", "12", "12", "1"].map(text);
    assert_eq!(self::rows(&batch)[0].values, expected);

    fixture.dataset.product = None;
    fixture.dataset.category = None;
    fixture.dataset.columns.clear();
    let rows = read_all(make(&fixture).read(one("7", always()))).expect("reads");
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(|row| row.values.is_empty()));
}

fn reads_all_stores_in_one_pass<S: Source>(make: &impl Fn(&Fixture) -> S) {
    for (indexed, max_rows) in [(true, 1_000_000), (false, 2)] {
        // The limit is one for a store; here it does not apply.
        let limits = Limits { max_rows, ..Limits::default() };
        let source = make(&Fixture { indexed, limits, ..orders() });
        let all = |days| read_all(source.read(Ask { stores: Which::All, days })).expect("reads");
        let rows = all(always());
        assert!(rows.is_sorted_by_key(|row| (row.store.as_deref() != Some("7"), row.day)));
        let of = |store: &str| -> Vec<ReadRow> {
            let mine = rows.iter().filter(|row| row.store.as_deref() == Some(store));
            mine.map(|row| ReadRow { store: None, ..row.clone() }).collect()
        };
        assert_eq!((of("7").len(), of("12").len(), rows.len()), (4, 1, 5));
        if max_rows > 4 {
            assert_eq!(of("7"), read_all(source.read(one("7", always()))).expect("reads"));
        }
        let march = all(Days::Range(Some(day("2026-02-05")), None));
        assert_eq!(march.len(), 2);
        let these = all(Days::These(["2026-02-03", "2026-03-01"].map(day).into()));
        let told: Vec<_> =
            these.iter().map(|row| (row.store.as_deref(), row.day.to_string())).collect();
        let (seven, twelve) = (Some("7"), Some("12"));
        let third = || "2026-02-03".to_string();
        assert_eq!(told, [(seven, third()), (seven, "2026-03-01".into()), (twelve, third())]);
    }
}

fn keeps_to_the_size_of_a_batch<S: Source>(make: &impl Fn(&Fixture) -> S) {
    for (rows, sizes) in [(0, vec![]), (1, vec![1]), (10, vec![10]), (25, vec![10, 10, 5])] {
        let source = make(&many(rows, Limits { batch_size: 10, ..Limits::default() }));
        for ask in [one("12", always()), Ask { stores: Which::All, days: always() }] {
            let batches: Vec<RecordBatch> =
                block_on(source.read(ask).try_collect()).expect("reads");
            let found: Vec<usize> = batches.iter().map(RecordBatch::num_rows).collect();
            assert_eq!(found, sizes);
        }
    }
}

fn refuses_too_many_rows<S: Source>(make: &impl Fn(&Fixture) -> S) {
    let limits = Limits { max_rows: 10, batch_size: 3, ..Limits::default() };
    let enough = make(&many(10, limits));
    assert_eq!(read_all(enough.read(one("12", always()))).expect("reads").len(), 10);
    let too_many = make(&many(11, limits));
    let wrong = read_all(too_many.read(one("12", always()))).expect_err("11 are more than 10");
    assert_eq!(wrong.kind(), SourceErrorKind::TooManyRows);
    for word in ["store 12", "10", "max_rows"] {
        assert!(wrong.to_string().contains(word), "{wrong}");
    }
    // What is not asked for does not count, and the source goes on.
    let other = Days::Range(Some(day("2026-02-04")), None);
    assert_eq!(read_all(too_many.read(one("12", other))).expect("reads").len(), 0);
}

fn stops_when_it_takes_too_long<S: Source>(make: &impl Fn(&Fixture) -> S) {
    let limits = Limits { timeout: Duration::ZERO, ..Limits::default() };
    let source = make(&many(60_000, limits));
    let all = Ask { stores: Which::All, days: always() };
    for ask in [one("12", always()), all] {
        let wrong = read_all(source.read(ask)).expect_err("no time is too little");
        assert_eq!(wrong.kind(), SourceErrorKind::Timeout, "{wrong}");
        assert!(wrong.to_string().contains("0 s"), "{wrong}");
    }
    let wrong = block_on(source.stores()).expect_err("no time is too little");
    assert_eq!(wrong.kind(), SourceErrorKind::Timeout, "{wrong}");
}

fn waits_for_its_reader_and_stops_when_it_leaves<S: Source>(make: &impl Fn(&Fixture) -> S) {
    // With one connection, whoever comes second waits until the first query has ended: so long as it has not,
    // it has not put all of its batches aside somewhere.
    let limits = Limits { batch_size: 10, connections: 1, ..Limits::default() };
    let source = make(&many(20_000, limits));
    let mut slow = source.read(one("12", always()));
    let first = block_on(slow.next()).expect("there are rows").expect("reads");
    assert_eq!(first.num_rows(), 10);
    let mut second = source.read(one("12", Days::These(Vec::new())));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..20 {
        // Time for a source that does not wait to show it.
        thread::sleep(Duration::from_millis(5));
        let polled = second.poll_next_unpin(&mut context);
        assert!(matches!(polled, Poll::Pending), "the first query waits for its reader");
    }
    drop(slow);
    assert!(block_on(second.next()).is_none(), "the first query ended with its reader");
    // Those who leave before anything was read leave nothing behind either.
    for _ in 0..3 {
        drop(source.read(one("12", always())));
        drop(source.stores());
    }
    assert_eq!(read_all(source.read(one("12", always()))).expect("reads").len(), 20_000);
}

fn takes_names_in_any_script<S: Source>(make: &impl Fn(&Fixture) -> S) {
    let columns = [
        ("门店ID", Type::Text),
        ("门店名称", Type::Text),
        ("日期", Type::Text),
        ("商品名称", Type::Text),
        ("销售额", Type::Real),
        ("订单数", Type::Integer),
    ];
    let fixture = Fixture {
        dataset: Dataset {
            query: "销售明细".into(),
            store_id: "门店ID".into(),
            store_name: Some("门店名称".into()),
            date: "日期".into(),
            date_kind: DateKind::Date,
            time_zone: TimeZone::UTC,
            product: Some("商品名称".into()),
            category: None,
            columns: vec![fixed("销售额", 2), fixed("订单数", 0)],
        },
        limits: Limits::default(),
        columns: columns.map(|(name, kind)| (name.to_string(), kind)).into(),
        rows: vec![vec![
            cell("北京一店"),
            cell("北京"),
            cell("2026-02-03"),
            cell("豆浆 🥛"),
            Cell::Real(12.5),
            Cell::Integer(3),
        ]],
        indexed: true,
    };
    let source = make(&fixture);
    let found = block_on(source.stores()).expect("lists its stores");
    assert_eq!(found.stores[0].id, Arc::from("北京一店"));
    assert_eq!(found.stores[0].name.as_deref(), Some("北京"));
    let rows = read_all(source.read(one("北京一店", always()))).expect("reads");
    let values = ["豆浆 🥛", "1250", "3"].map(|text| Some(text.to_string()));
    assert_eq!(rows[0].values, values);
}

fn takes_names_and_values_as_they_are<S: Source>(make: &impl Fn(&Fixture) -> S) {
    let hostile =
        ["'; DROP TABLE x; --", "\" OR 1=1 --", "%", "_", "", "7", "07", "NULL", "a\nb\\"];
    let name = |column: &str| format!("{column}\"'; DROP TABLE \"x\"; --");
    let mut fixture = orders();
    fixture.dataset = Dataset {
        query: "from".into(),
        store_id: name("select"),
        store_name: None,
        date: name("where"),
        product: Some("order".into()),
        columns: vec![],
        ..fixture.dataset
    };
    fixture.columns = vec![
        (name("select"), Type::Text),
        (name("where"), Type::Text),
        ("order".into(), Type::Text),
    ];
    fixture.rows =
        hostile.map(|text| vec![cell(text), cell("2026-02-03"), cell(text)]).into_iter().collect();
    for listed in [true, false] {
        let source = make(&fixture);
        if listed {
            let found = block_on(source.stores()).expect("lists its stores");
            assert_eq!(found.stores.len(), hostile.len());
        }
        for text in hostile {
            let rows = read_all(source.read(one(text, always()))).expect("reads");
            assert_eq!(rows.len(), 1, "{text:?}");
            assert_eq!(rows[0].values, [Some(text.to_string())]);
        }
    }
}

fn tells_what_it_cannot_read<S: Source>(make: &impl Fn(&Fixture) -> S) {
    let mut fixture = orders();
    fixture.dataset.columns = vec![fixed("note", 2)];
    let wrong = read_all(make(&fixture).read(one("7", always()))).expect_err("no number");
    assert_eq!(wrong.kind(), SourceErrorKind::Value);
    for word in ["store 7", "2026-02-03", "note", "text \"not asked for\""] {
        assert!(wrong.to_string().contains(word), "{wrong}");
    }
    let mut fixture = orders();
    fixture.rows[0][2] = cell("03.02.2026");
    let source = make(&fixture);
    let reading = read_all(source.read(one("12", always()))).expect_err("no date");
    for wrong in [reading, block_on(source.stores()).expect_err("no date")] {
        assert_eq!(wrong.kind(), SourceErrorKind::Value);
        for word in ["store 12", "day", "03.02.2026", "YYYY-MM-DD"] {
            assert!(wrong.to_string().contains(word), "{wrong}");
        }
    }
}

fn knows_the_day_of_an_instant<S: Source>(make: &impl Fn(&Fixture) -> S) {
    // In Shanghai a day begins at 16:00 UTC of the day before.
    let instants = [
        (1_770_047_999, "2026-02-02 15:59:59", "2026-02-02"),
        (1_770_048_000, "2026-02-02 16:00:00", "2026-02-03"),
        (1_770_134_399, "2026-02-03 15:59:59", "2026-02-03"),
        (1_770_134_400, "2026-02-03 16:00:00", "2026-02-04"),
    ];
    for kind in [DateKind::EpochSeconds, DateKind::EpochMillis, DateKind::UtcDatetime] {
        let mut fixture = orders();
        fixture.dataset.date_kind = kind;
        fixture.dataset.time_zone = TimeZone::get("Asia/Shanghai").expect("the zone is known");
        fixture.dataset.product = None;
        fixture.dataset.columns.clear();
        if kind != DateKind::UtcDatetime {
            fixture.columns[2].1 = Type::Integer;
        }
        let row = fixture.rows[0].clone();
        fixture.rows.clear();
        for (second, text, _) in instants.iter().rev() {
            let mut row = row.clone();
            row[2] = match kind {
                DateKind::EpochSeconds => Cell::Integer(*second),
                DateKind::EpochMillis => Cell::Integer(*second * 1_000 + 999),
                DateKind::UtcDatetime | DateKind::Date => cell(text),
            };
            fixture.rows.push(row);
        }
        let source = make(&fixture);
        let days = |days| -> Vec<String> {
            let rows = read_all(source.read(one("12", days))).expect("reads");
            rows.iter().map(|row| row.day.to_string()).collect()
        };
        assert_eq!(days(always()), instants.map(|(_, _, day)| day), "{kind:?}");
        let third = day("2026-02-03");
        assert_eq!(days(Days::Range(Some(third), Some(third))), ["2026-02-03"; 2]);
        assert_eq!(days(Days::These(vec![third])), ["2026-02-03"; 2]);
        assert_eq!(days(Days::Range(None, Some(third.plus(-1)))), ["2026-02-02"]);
        let found = block_on(source.stores()).expect("lists its stores");
        assert_eq!((found.stores[0].first, found.stores[0].last), (third.plus(-1), third.plus(1)));
    }
}
