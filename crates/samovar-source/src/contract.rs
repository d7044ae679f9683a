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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceColumn {
    /// Its name in the raw query.
    pub name: String,
    /// In which form it is handed over.
    pub kind: ColumnKind,
}

/// In which form a column is handed over.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// One, by id as text, whatever its type in the source. One that has no lines gives no rows.
    One(Arc<str>),
    /// All in one pass; batches begin with a column `store_id`. `max_rows` does not apply.
    All,
}

/// Which days to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Days {
    /// From the first to the last, both included; an end that is `None` is open.
    Range(Option<Day>, Option<Day>),
    /// These, in any order.
    These(Vec<Day>),
}

/// What to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Of which stores.
    pub stores: Which,
    /// On which days.
    pub days: Days,
}

/// Batches of rows in order of (store, day): the rows of a store stand together, by ascending day. It ends after the
/// first error. Dropping it cancels the query at the source.
pub type Batches = BoxStream<'static, Result<RecordBatch, SourceError>>;

/// A system of record.
///
/// Batches have these columns, in this order: `store_id` (`Dictionary<Int32, Utf8>`, only for [`Which::All`]),
/// `date` (`Date32`), `product` and `category` (`Dictionary<Int32, Utf8>`, nullable, only where configured),
/// then each of [`Dataset::columns`] (nullable). Dictionaries belong to their batch; where a batch brings no new text,
/// a source may hand over the very array of the batch before, so that a reader who compares pointers translates
/// it once. Rows without a store or without a day are never among them: [`Source::stores`] counts them.
pub trait Source: Send + Sync + 'static {
    /// The columns of the raw query, and whether a store can be sought.
    fn describe(&self) -> BoxFuture<'_, Result<Description, SourceError>>;

    /// How long its connections have been busy so far, added up: two of them for a second make two seconds. A
    /// query counts once it has ended, the time that its reader took for the batches included.
    fn busy(&self) -> Duration;

    /// A number that changes when somebody else has committed a change, as far as the source can tell cheaply: a hint
    /// that there may be changes without an event. `None` where it cannot tell.
    fn change_number(&self) -> BoxFuture<'_, Result<Option<u64>, SourceError>>;

    /// The stores that have lines.
    fn stores(&self) -> BoxFuture<'_, Result<Inventory, SourceError>>;

    /// Reads rows. The query begins as soon as a connection is free and stays a few batches ahead: memory is bounded
    /// whatever the size of a store. Until it has ended or is dropped it holds its connection, so whoever holds as many
    /// as there are ([`Limits::connections`]) must take their batches before those of another.
    fn read(&self, ask: Ask) -> Batches;
}

/// The Arrow type of text columns in batches.
pub fn text_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}
