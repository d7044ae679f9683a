//! The contract of a source: what the levels ask of a system of record.
//!
//! It stands here and not in the core because its shape is Arrow, which a cache of plain values does without.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_schema::DataType;
use futures_core::stream::BoxStream;
use jiff::tz::TimeZone;
use samovar_core::{BoxFuture, Day};

use crate::SourceError;

/// What a source must know of the user's dataset. Names are those of the source, in any script; they are
/// quoted as identifiers.
///
/// ```
/// use jiff::tz::TimeZone;
/// use samovar_source::{ColumnKind, Dataset, DateKind, SourceColumn};
///
/// let amount = SourceColumn { name: "amount".into(), kind: ColumnKind::Fixed { decimals: 2 } };
/// let dataset = Dataset {
///     query: "SELECT o.*, s.name FROM orders o JOIN shops s ON s.id = o.shop".into(),
///     store_id: "shop".into(),
///     store_name: Some("name".into()),
///     date: "day".into(),
///     date_kind: DateKind::Date,
///     time_zone: TimeZone::UTC,
///     product: None,
///     category: None,
///     columns: vec![amount],
/// };
#[doc = include_str!("example.txt")]
/// # use samovar_source::{Limits, Source, SqliteSource};
/// # let path = shop()?;
/// let source = SqliteSource::open(&path, dataset, Limits::default())?;
/// # let found = futures_executor::block_on(source.stores())?;
/// assert!(found.stores.iter().any(|store| store.name.as_deref() == Some("Harbour")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The raw query: a SELECT (joins and computed columns belong there), or the bare name of a table.
    pub query: String,
    /// The column of the store's id.
    pub store_id: String,
    /// The column of the store's name, if there is one.
    pub store_name: Option<String>,
    /// The column of the day or time.
    pub date: String,
    /// What that column holds.
    pub date_kind: DateKind,
    /// The time zone of a day; used by the kinds that name an instant.
    pub time_zone: TimeZone,
    /// The column of the product, if there is one.
    pub product: Option<String>,
    /// The column of the category, if there is one.
    pub category: Option<String>,
    /// What measures need, in the order of the batches' columns.
    pub columns: Vec<SourceColumn>,
}

/// What the column of the day holds.
///
/// An instant is on a day of the dataset's time zone:
///
/// ```
#[doc = include_str!("example.txt")]
#[doc = include_str!("contract/example.txt")]
/// let db = rusqlite::Connection::open(&path)?;
/// db.execute_batch("UPDATE orders SET day = '2026-02-02 16:00:00'")?;
/// let source = |date_kind| {
///     let time_zone = jiff::tz::TimeZone::get("Asia/Shanghai").expect("it is in the database");
///     let dataset = Dataset { date_kind, time_zone, ..dataset() };
///     SqliteSource::open(&path, dataset, Limits::default())
/// };
/// for (kind, day) in [(DateKind::Date, "2026-02-02"), (DateKind::UtcDatetime, "2026-02-03")] {
///     let found = block_on(source(kind)?.stores())?;
///     assert_eq!(found.stores[0].first.to_string(), day);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DateKind {
    /// Text whose first ten characters are the day: `2026-02-03`, `2026-02-03 19:06:53`.
    #[default]
    Date,
    /// Text of an instant in UTC: `2026-02-03 19:06:53`, `2026-02-03T19:06:53Z`.
    UtcDatetime,
    /// Whole seconds since 1970-01-01T00:00:00Z.
    EpochSeconds,
    /// Whole milliseconds since 1970-01-01T00:00:00Z.
    EpochMillis,
}

/// A column that a measure needs.
///
/// ```
/// # use samovar_source::{ColumnKind, SourceColumn};
/// let amount = SourceColumn { name: "amount".into(), kind: ColumnKind::Fixed { decimals: 2 } };
/// let order = SourceColumn { name: "order_id".into(), kind: ColumnKind::Text };
/// assert_ne!(amount.kind, order.kind);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceColumn {
    /// Its name in the raw query.
    pub name: String,
    /// In which form it is handed over.
    pub kind: ColumnKind,
}

/// In which form a column is handed over.
///
/// ```
#[doc = include_str!("example.txt")]
#[doc = include_str!("contract/example.txt")]
/// # use arrow_array::{cast::AsArray, types::Int64Type};
/// // The amounts are 19.99 and -5.
/// let ask = Ask { stores: Which::One("7".into()), days: Days::Range(None, None) };
/// let batches: Vec<_> = block_on(source.read(ask).try_collect())?;
/// let amounts = batches[0].column(1).as_primitive::<Int64Type>();
/// assert_eq!(amounts.values(), &[1_999, -500], "with two decimals");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// `Int64`: fixed point with so many decimals (money in minor units), each value rounded half away from zero.
    Fixed {
        /// Digits after the point.
        decimals: u8,
    },
    /// `Dictionary<Int32, Utf8>`; numbers become their decimal text.
    Text,
}

/// What a source may cost.
///
/// ```
#[doc = include_str!("example.txt")]
#[doc = include_str!("contract/example.txt")]
/// let limits = Limits { max_rows: 1, ..Limits::default() };
/// let source = SqliteSource::open(&path, dataset(), limits)?;
/// let ask = Ask { stores: Which::One("7".into()), days: Days::Range(None, None) };
/// let wrong = block_on(source.read(ask).try_collect::<Vec<_>>()).expect_err("it has two");
/// assert_eq!(wrong.kind(), SourceErrorKind::TooManyRows);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rows to a batch.
    pub batch_size: usize,
    /// No query runs longer, the time the reader takes for its batches not counted.
    pub timeout: Duration,
    /// No query gives more rows.
    pub max_rows: u64,
    /// Connections held.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            batch_size: 10_000,
            timeout: Duration::from_secs(30),
            max_rows: 1_000_000,
            connections: 2,
        }
    }
}

/// What a source says of itself.
///
/// ```
#[doc = include_str!("example.txt")]
#[doc = include_str!("contract/example.txt")]
/// let described = block_on(source.describe())?;
/// assert_eq!(described.columns[0], ("shop".to_string(), "INTEGER".to_string()));
/// assert!(described.seeks, "there is an index on shop and day");
/// assert_eq!(described.connections, Limits::default().connections);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// The columns of the raw query with their declared types, in the source's words.
    pub columns: Vec<(String, String)>,
    /// Whether one store's days can be sought by an index. If not, reading a store costs a scan of everything,
    /// and [`Which::All`] is the better road.
    pub seeks: bool,
    /// How many queries it runs side by side: [`Limits::connections`].
    pub connections: usize,
}

/// A store of the dataset.
///
/// ```
#[doc = include_str!("example.txt")]
#[doc = include_str!("contract/example.txt")]
/// let found = block_on(source.stores())?;
/// let harbour = found.stores.iter().find(|store| &*store.id == "7");
/// let Some(Store { lines, first, last, .. }) = harbour else { panic!("it has lines") };
/// assert_eq!((*lines, last.0 - first.0), (2, 1), "two lines on two days");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Its id as text.
    pub id: Arc<str>,
    /// Its name, if the source has one.
    pub name: Option<Arc<str>>,
    /// Number of its lines, or about that ([`Inventory::estimated`]).
    pub lines: u64,
    /// The first day that has lines.
    pub first: Day,
    /// The last day that has lines.
    pub last: Day,
}

/// What a source holds.
///
/// ```
#[doc = include_str!("example.txt")]
#[doc = include_str!("contract/example.txt")]
/// let db = rusqlite::Connection::open(&path)?;
/// db.execute_batch("INSERT INTO orders VALUES (NULL, '2026-02-03', 1), (8, NULL, 1)")?;
/// let found = block_on(source.stores())?;
/// assert_eq!((found.stores.len(), found.unplaced, found.estimated), (2, 2, false));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// The stores that have lines, in no particular order.
    pub stores: Vec<Store>,
    /// Lines without a store or without a day: in no partition, so in no answer; told, so that they are
    /// not lost in silence.
    pub unplaced: u64,
    /// Whether [`Store::lines`] are what the source reckons with: to count them would take long.
    pub estimated: bool,
}

/// Which stores to read.
///
/// ```
#[doc = include_str!("example.txt")]
#[doc = include_str!("contract/example.txt")]
/// let lines = |stores| -> Result<usize, samovar_source::SourceError> {
///     let ask = Ask { stores, days: Days::Range(None, None) };
///     let batches: Vec<_> = block_on(source.read(ask).try_collect())?;
///     Ok(batches.iter().map(|batch| batch.num_rows()).sum())
/// };
/// assert_eq!((lines(Which::One("7".into()))?, lines(Which::All)?), (2, 3));
/// assert_eq!(lines(Which::One("9".into()))?, 0, "there is no such store");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// One, by id as text, whatever its type in the source. One that has no lines gives no rows.
    One(Arc<str>),
    /// All in one pass; batches begin with a column `store_id`. `max_rows` does not apply.
    All,
}

/// Which days to read.
///
/// ```
#[doc = include_str!("example.txt")]
#[doc = include_str!("contract/example.txt")]
/// let lines = |days| -> Result<usize, samovar_source::SourceError> {
///     let ask = Ask { stores: Which::All, days };
///     let batches: Vec<_> = block_on(source.read(ask).try_collect())?;
///     Ok(batches.iter().map(|batch| batch.num_rows()).sum())
/// };
/// let fourth = "2026-02-04".parse()?;
/// assert_eq!(lines(Days::Range(Some(fourth), None))?, 1, "from then on");
/// assert_eq!(lines(Days::These(vec![fourth.plus(-1)]))?, 2, "on the third alone");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Days {
    /// From the first to the last, both included; an end that is `None` is open.
    Range(Option<Day>, Option<Day>),
    /// These, in any order.
    These(Vec<Day>),
}

/// What to read.
///
/// ```
/// # use samovar_source::{Ask, Days, Which};
/// # fn main() -> Result<(), samovar_core::DayParseError> {
/// // February of one store.
/// let days = Days::Range(Some("2026-02-01".parse()?), Some("2026-02-28".parse()?));
/// let ask = Ask { stores: Which::One("7".into()), days };
/// assert_ne!(ask.stores, Which::All);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Of which stores.
    pub stores: Which,
    /// On which days.
    pub days: Days,
}

/// Batches of rows in order of (store, day): the rows of a store stand together, by ascending day. It ends after the
/// first error. Dropping it cancels the query at the source.
///
/// ```
#[doc = include_str!("example.txt")]
#[doc = include_str!("contract/example.txt")]
/// # block_on(async {
/// let ask = Ask { stores: Which::All, days: Days::Range(None, None) };
/// let mut batches: Batches = source.read(ask);
/// while let Some(batch) = batches.next().await {
///     let batch = batch?;
///     assert_eq!(batch.schema().field(0).name(), "store_id");
///     assert_eq!(batch.num_rows(), 3);
/// }
/// # Ok::<(), samovar_source::SourceError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type Batches = BoxStream<'static, Result<RecordBatch, SourceError>>;

/// A system of record.
///
/// Batches have these columns, in this order: `store_id` (`Dictionary<Int32, Utf8>`, only for [`Which::All`]),
/// `date` (`Date32`), `product` and `category` (`Dictionary<Int32, Utf8>`, nullable, only where configured),
/// then each of [`Dataset::columns`] (nullable). Dictionaries belong to their batch; where a batch brings no new text,
/// a source may hand over the very array of the batch before, so that a reader who compares pointers translates
/// it once. Rows without a store or without a day are never among them: [`Source::stores`] counts them.
///
/// A source of one's own, of one store whose visitors are counted by day:
///
/// ```
/// use std::future::ready;
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use arrow_array::types::Int32Type;
/// use arrow_array::{ArrayRef, Date32Array, DictionaryArray, Int64Array, RecordBatch};
/// use futures_util::stream;
/// use samovar_core::{BoxFuture, Day};
/// use samovar_source::{
///     Ask, Batches, Days, Description, Inventory, Source, SourceError, SourceErrorKind, Store,
///     Which,
/// };
///
/// /// By day, ascending.
/// struct Visits(Vec<(Day, i64)>);
///
/// impl Source for Visits {
///     fn describe(&self) -> BoxFuture<'_, Result<Description, SourceError>> {
///         let columns = ["store", "day", "visits"].map(|name| (name.into(), "".into())).into();
///         Box::pin(ready(Ok(Description { columns, seeks: true, connections: 1 })))
///     }
///     fn busy(&self) -> Duration {
///         Duration::ZERO
///     }
///     fn change_number(&self) -> BoxFuture<'_, Result<Option<u64>, SourceError>> {
///         Box::pin(ready(Ok(None)))
///     }
///     fn stores(&self) -> BoxFuture<'_, Result<Inventory, SourceError>> {
///         let store = |first: &(Day, i64), last: &(Day, i64)| Store {
///             id: "7".into(),
///             name: None,
///             lines: self.0.len() as u64,
///             first: first.0,
///             last: last.0,
///         };
///         let ends = self.0.first().zip(self.0.last());
///         let stores = ends.map(|(first, last)| store(first, last)).into_iter().collect();
///         Box::pin(ready(Ok(Inventory { stores, unplaced: 0, estimated: false })))
///     }
///     fn read(&self, ask: Ask) -> Batches {
///         let asked = |day: &Day| match &ask.days {
///             Days::Range(from, to) => {
///                 from.is_none_or(|from| from <= *day) && to.is_none_or(|to| *day <= to)
///             }
///             Days::These(days) => days.contains(day),
///         };
///         let mine = ask.stores == Which::All || ask.stores == Which::One("7".into());
///         let rows: Vec<_> = self.0.iter().filter(|(day, _)| mine && asked(day)).collect();
///         let mut columns: Vec<(&str, ArrayRef)> = Vec::new();
///         if ask.stores == Which::All {
///             let ids: DictionaryArray<Int32Type> = rows.iter().map(|_| "7").collect();
///             columns.push(("store_id", Arc::new(ids)));
///         }
///         let days = Date32Array::from_iter_values(rows.iter().map(|(day, _)| day.0));
///         let visits = Int64Array::from_iter_values(rows.iter().map(|(_, visits)| *visits));
///         columns.extend([("date", Arc::new(days) as ArrayRef), ("visits", Arc::new(visits))]);
///         let batch = RecordBatch::try_from_iter(columns).map_err(|wrong| {
///             SourceError::new(SourceErrorKind::Failed, "the columns do not fit").because(wrong)
///         });
///         Box::pin(stream::iter((!rows.is_empty()).then_some(batch)))
///     }
/// }
/// # use futures_executor::block_on;
/// # use futures_util::TryStreamExt;
/// # let source = Visits((20_487..20_490).map(|day| (Day(day), 100)).collect());
/// # assert_eq!(block_on(source.stores())?.stores[0].lines, 3);
/// # for (stores, columns) in [(Which::All, 3), (Which::One("7".into()), 2)] {
/// #     let ask = Ask { stores, days: Days::Range(Some(Day(20_488)), None) };
/// #     let batches: Vec<RecordBatch> = block_on(source.read(ask).try_collect())?;
/// #     assert_eq!((batches[0].num_columns(), batches[0].num_rows()), (columns, 2));
/// # }
/// # let nobodys = Ask { stores: Which::One("8".into()), days: Days::Range(None, None) };
/// # assert!(block_on(source.read(nobodys).try_collect::<Vec<_>>())?.is_empty());
/// # Ok::<(), SourceError>(())
/// ```
///
/// `samovar_testkit::source` has the contract as a suite, for sources that can be filled with
/// tables of its own.
pub trait Source: Send + Sync + 'static {
    /// The columns of the raw query, and whether a store can be sought.
    ///
    /// ```
    #[doc = include_str!("example.txt")]
    #[doc = include_str!("contract/example.txt")]
    /// let names = block_on(source.describe())?.columns.into_iter().map(|(name, _)| name);
    /// assert_eq!(names.collect::<Vec<_>>(), ["shop", "day", "amount"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn describe(&self) -> BoxFuture<'_, Result<Description, SourceError>>;

    /// How long its connections have been busy so far, added up: two of them for a second make two seconds. A
    /// query counts once it has ended, the time that its reader took for the batches included.
    ///
    /// ```
    #[doc = include_str!("example.txt")]
    #[doc = include_str!("contract/example.txt")]
    /// let before = source.busy();
    /// block_on(source.stores())?;
    /// assert!(source.busy() >= before);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn busy(&self) -> Duration;

    /// A number that changes when somebody else has committed a change, as far as the source can tell cheaply: a hint
    /// that there may be changes without an event. `None` where it cannot tell.
    ///
    /// ```
    #[doc = include_str!("example.txt")]
    #[doc = include_str!("contract/example.txt")]
    /// let before = block_on(source.change_number())?;
    /// assert_eq!(block_on(source.change_number())?, before, "nobody has changed anything");
    /// rusqlite::Connection::open(&path)?.execute_batch("UPDATE orders SET amount = 2 * amount")?;
    /// assert_ne!(block_on(source.change_number())?, before);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn change_number(&self) -> BoxFuture<'_, Result<Option<u64>, SourceError>>;

    /// The stores that have lines.
    ///
    /// ```
    #[doc = include_str!("example.txt")]
    #[doc = include_str!("contract/example.txt")]
    /// let found = block_on(source.stores())?;
    /// let mut lines: Vec<u64> = found.stores.iter().map(|store| store.lines).collect();
    /// lines.sort();
    /// assert_eq!(lines, [1, 2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn stores(&self) -> BoxFuture<'_, Result<Inventory, SourceError>>;

    /// Reads rows. The query begins as soon as a connection is free and stays a few batches ahead: memory is bounded
    /// whatever the size of a store. Until it has ended or is dropped it holds its connection, so whoever holds as many
    /// as there are ([`Limits::connections`]) must take their batches before those of another.
    ///
    /// ```
    #[doc = include_str!("example.txt")]
    #[doc = include_str!("contract/example.txt")]
    /// let ask = Ask { stores: Which::One("7".into()), days: Days::Range(None, None) };
    /// let batches: Vec<_> = block_on(source.read(ask).try_collect())?;
    /// assert_eq!(batches[0].schema().field(0).name(), "date");
    /// assert_eq!(batches[0].num_rows(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn read(&self, ask: Ask) -> Batches;
}

/// The Arrow type of text columns in batches.
///
/// ```
/// # use std::sync::Arc;
/// # use arrow_array::{Array, DictionaryArray, types::Int32Type};
/// let products: DictionaryArray<Int32Type> = ["Tea", "Cup", "Tea"].into_iter().collect();
/// assert_eq!(*products.data_type(), samovar_source::text_type());
/// ```
pub fn text_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}
