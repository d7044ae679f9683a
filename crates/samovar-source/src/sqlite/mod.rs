//! SQLite as a source.

mod file;
mod inventory;
pub(crate) mod rows;
mod sql;
mod value;
mod watch;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use futures_util::SinkExt;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};
use samovar_core::{BoxFuture, Clock, SystemClock};

use crate::background::Pool;
use crate::batch::{Batcher, Pushed};
use crate::handover;
use crate::{
    Ask, Batches, Dataset, Description, Inventory, Limits, Source, SourceError, SourceErrorKind,
    Which,
};
use file::File;
use inventory::Ids;
use value::{Columns, bounds};
pub(crate) use watch::Watch;

/// How long a query waits for a writer.
const BUSY: Duration = Duration::from_secs(5);

/// A SQLite database, read by a few connections that cannot write. A file that takes the place of the one that was
/// opened (`mv new.sqlite shop.sqlite`) is read from then on, and counts as a change; whether a store can be sought in
/// it is not asked again.
///
/// ```
/// # use futures_util::StreamExt;
/// use samovar_source::{
///     Ask, ColumnKind, Dataset, DateKind, Days, Limits, Source, SourceColumn, SqliteSource, Which,
/// };
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("shop.sqlite");
/// # rusqlite::Connection::open(&path)?.execute_batch(
/// #     "CREATE TABLE orders (store INTEGER, day TEXT, amount REAL);
/// #      CREATE INDEX by_store_and_day ON orders (store, day);
/// #      INSERT INTO orders VALUES (7, '2026-02-03', 19.99), (7, '2026-02-04', 5), (8, '2026-02-03', 1);",
/// # )?;
/// let dataset = Dataset {
///     query: "orders".into(),
///     store_id: "store".into(),
///     store_name: None,
///     date: "day".into(),
///     date_kind: DateKind::Date,
///     time_zone: jiff::tz::TimeZone::UTC,
///     product: None,
///     category: None,
///     columns: vec![SourceColumn { name: "amount".into(), kind: ColumnKind::Fixed { decimals: 2 } }],
/// };
/// let source = SqliteSource::open(&path, dataset, Limits::default())?;
/// # futures_executor::block_on(async {
/// assert!(source.describe().await?.seeks);
/// assert_eq!(source.stores().await?.stores.len(), 2);
/// let ask = Ask { stores: Which::One("7".into()), days: Days::Range(None, None) };
/// let mut batches = source.read(ask);
/// while let Some(batch) = batches.next().await {
///     assert_eq!(batch?.num_rows(), 2);
/// }
/// # Ok::<(), samovar_source::SourceError>(())
/// # })?;
/// # Ok(())
/// # }
/// ```
pub struct SqliteSource {
    pool: Pool<File>,
    /// One connection that is kept for [`Source::change_number`], which compares with what it saw before.
    lookout: Pool<File>,
    dataset: Arc<Dataset>,
    limits: Limits,
    clock: Arc<dyn Clock>,
    described: Description,
}

impl SqliteSource {
    /// Opens a database and checks that the query and every column asked for are there.
    ///
    /// # Errors
    /// If the file is not there or no database ([`SourceErrorKind::Unreachable`]), or the query or a column is
    /// not there ([`SourceErrorKind::Schema`]; the message lists what is).
    ///
    /// ```
    #[doc = include_str!("../example.txt")]
    /// # use samovar_source::{Dataset, Limits, SourceErrorKind, SqliteSource};
    /// # let path = shop()?;
    /// let dataset = Dataset { date: "date".into(), ..dataset() };
    /// let wrong = SqliteSource::open(&path, dataset, Limits::default());
    /// let wrong = wrong.map(drop).expect_err("the column is called day");
    /// assert_eq!(wrong.kind(), SourceErrorKind::Schema);
    /// assert!(wrong.to_string().contains("shop, day, amount"), "{wrong}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(
        path: &Path,
        dataset: Dataset,
        limits: Limits,
    ) -> Result<SqliteSource, SourceError> {
        let connections = limits.connections.max(1);
        let mut lookout = File::open(path, connections + 1)?;
        let mut files = lookout.split_off(1);
        let mut described = describe(files[0].connection()?.0, &dataset)?;
        described.connections = connections;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let pool = Pool::start(files, &clock)?;
        let lookout = Pool::start(lookout, &clock)?;
        Ok(SqliteSource { pool, lookout, dataset: Arc::new(dataset), limits, clock, described })
    }
}

/// Opens a database that is there, for reading alone.
pub(crate) fn open_read_only(path: &Path) -> Result<Connection, SourceError> {
    let shown = path.display();
    if !path.is_file() {
        let message = format!("there is no SQLite database at {shown}");
        return Err(SourceError::new(SourceErrorKind::Unreachable, message));
    }
    connect(path).map_err(|e| {
        let message = format!("cannot open {shown} as a SQLite database");
        SourceError::new(SourceErrorKind::Unreachable, message).because(e)
    })
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "query_only", true)?;
    // Opening looks at nothing; this asks for the file's header.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

/// Looks at the raw query: its columns, and whether one store's days can be sought.
fn describe(connection: &Connection, dataset: &Dataset) -> Result<Description, SourceError> {
    let schema = |message: String| SourceError::new(SourceErrorKind::Schema, message);
    let statement = connection.prepare(&sql::columns_of(dataset)).map_err(|e| {
        let message = format!(
            "source.query cannot be read; the database has {}; the query is {}",
            tables(connection).unwrap_or_default(),
            dataset.query
        );
        schema(message).because(e)
    })?;
    let columns: Vec<(String, String)> = statement
        .columns()
        .map(|c| (c.name().to_string(), c.decl_type().unwrap_or("").to_string()))
        .collect();
    let is_there = |asked: &str| columns.iter().any(|(name, _)| name.eq_ignore_ascii_case(asked));
    let missing: Vec<&str> = dataset.asked().filter(|name| !is_there(name)).collect();
    if !missing.is_empty() {
        let there: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        return Err(SourceError::no_column(&missing, &there));
    }
    // Without bounds on the day: an index on the day alone must not look like one on the store.
    let mut plan = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {}", sql::rows(dataset, true, false, false)))
        .map_err(failed)?;
    let steps = plan
        .query_map([""], |row| row.get::<_, String>(3))
        .and_then(Iterator::collect::<rusqlite::Result<Vec<String>>>)
        .map_err(failed)?;
    let scans = |step: &String| step.starts_with("SCAN") || step.contains("AUTOMATIC");
    let seeks = !steps.iter().any(scans);
    Ok(Description { columns, seeks, connections: 1 })
}

/// The names of what can be asked, for an error.
fn tables(connection: &Connection) -> rusqlite::Result<String> {
    let text = "SELECT coalesce(group_concat(name, ', '), 'no tables') FROM (
        SELECT name FROM sqlite_schema
        WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name)";
    connection.query_row(text, [], |row| row.get(0))
}

impl Source for SqliteSource {
    fn describe(&self) -> BoxFuture<'_, Result<Description, SourceError>> {
        Box::pin(async { Ok(self.described.clone()) })
    }

    fn busy(&self) -> Duration {
        self.pool.busy()
    }

    /// SQLite's `data_version`: another one after a commit by any other connection, be it of another process; and in the
    /// upper half how many files have been opened.
    fn change_number(&self) -> BoxFuture<'_, Result<Option<u64>, SourceError>> {
        Box::pin(self.lookout.ask(move |file| {
            let (connection, _) = file.connection()?;
            let version = connection
                .pragma_query_value(None, "data_version", |row| row.get::<_, u32>(0))
                .map_err(failed)?;
            Ok(Some(u64::from(file.opened()) << 32 | u64::from(version)))
        }))
    }

    fn stores(&self) -> BoxFuture<'_, Result<Inventory, SourceError>> {
        let (watch, cancel) = Watch::new(Arc::clone(&self.clock), self.limits.timeout);
        let (dataset, seeks) = (Arc::clone(&self.dataset), self.described.seeks);
        self.pool.ask_until_dropped(cancel, move |file| {
            let (connection, ids) = file.connection()?;
            watch.over(connection, |c| inventory::inventory(c, &dataset, seeks, ids))
        })
    }

    fn read(&self, ask: Ask) -> Batches {
        let (watch, cancel) = Watch::new(Arc::clone(&self.clock), self.limits.timeout);
        let (mut sender, batches) = handover::channel(cancel);
        let (dataset, limits) = (Arc::clone(&self.dataset), self.limits);
        self.pool.run(move |file| {
            let mut send =
                |item| watch.not_counting(|| futures_executor::block_on(sender.send(item)).is_ok());
            let outcome = file.connection().and_then(|(connection, ids)| {
                watch.over(connection, |connection| {
                    read(connection, &dataset, limits, ids, ask, &mut |batch| send(Ok(Some(batch))))
                })
            });
            send(outcome.map(|()| None));
        });
        batches
    }
}

/// Reads rows and hands over batches until all are read, or nobody takes them.
fn read(
    connection: &Connection,
    dataset: &Dataset,
    limits: Limits,
    ids: &Ids,
    ask: Ask,
    hand_over: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<(), SourceError> {
    let days = ask.days.ascending();
    let (store, id) = match &ask.stores {
        Which::One(store) => match ids.native(connection, dataset, store)? {
            Some(id) => (Some(&**store), Some(id)),
            None => return Ok(()),
        },
        Which::All => (None, None),
    };
    let mut batcher = Batcher::new(dataset, &days, store, limits);
    for (from, to) in days.ranges(store.is_some()) {
        let (lower, upper) = bounds(dataset, from, to);
        let text = sql::rows(dataset, id.is_some(), lower.is_some(), upper.is_some());
        let mut statement = connection.prepare_cached(&text).map_err(failed)?;
        let values = [id.as_ref(), lower.as_ref(), upper.as_ref()].into_iter().flatten();
        let mut rows =
            statement.query(params_from_iter(values.map(|v: &Value| v))).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            if matches!(batcher.push(&Columns(row))?, Pushed::Full)
                && let Some(batch) = batcher.finish()?
                && !hand_over(batch)
            {
                return Ok(());
            }
        }
    }
    if let Some(batch) = batcher.finish()? {
        hand_over(batch);
    }
    Ok(())
}

pub(crate) fn failed(wrong: rusqlite::Error) -> SourceError {
    SourceError::new(SourceErrorKind::Failed, "the database failed").because(wrong)
}
