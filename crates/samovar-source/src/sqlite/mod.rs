//! SQLite as a source.

mod rows;
mod sql;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow_array::RecordBatch;
use futures_channel::{mpsc, oneshot};
use futures_util::{SinkExt, StreamExt};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use samovar_core::{BoxFuture, Clock, Day, SystemClock};

use crate::background::Pool;
use crate::{
    Ask, Batches, Dataset, Days, Description, Inventory, Limits, Source, SourceError,
    SourceErrorKind, Store, Which,
};
use rows::Batcher;

/// Batches that a query may be ahead of its reader.
const AHEAD: usize = 2;
/// Steps of SQLite's machine between two looks at the clock.
const STEPS: i32 = 10_000;
/// How long a query waits for a writer.
const BUSY: Duration = Duration::from_secs(5);

/// A SQLite database, read by a few connections that cannot write.
pub struct SqliteSource {
    pool: Pool<Connection>,
    dataset: Arc<Dataset>,
    limits: Limits,
    clock: Arc<dyn Clock>,
    /// The stores' ids as the database has them, by their text: an index is used only for the same type.
    ids: Arc<Mutex<HashMap<Arc<str>, Value>>>,
    described: Description,
}

impl SqliteSource {
    /// Opens a database and checks that the query and every column asked for are there.
    ///
    /// # Errors
    /// If the file is not there or no database, or the query or a column is not there.
    pub fn open(
        path: &Path,
        dataset: Dataset,
        limits: Limits,
    ) -> Result<SqliteSource, SourceError> {
        let shown = path.display();
        if !path.is_file() {
            let message = format!("there is no SQLite database at {shown}");
            return Err(SourceError::new(SourceErrorKind::Unreachable, message));
        }
        let connections = (0..limits.connections.max(1))
            .map(|_| {
                let connection = connect(path).map_err(|e| {
                    let message = format!("cannot open {shown} as a SQLite database");
                    SourceError::new(SourceErrorKind::Unreachable, message).because(e)
                })?;
                Ok(connection)
            })
            .collect::<Result<Vec<_>, SourceError>>()?;
        let described = describe(&connections[0], &dataset)?;
        let pool = Pool::start(connections).map_err(|e| {
            SourceError::new(SourceErrorKind::Failed, "cannot start a thread for the database")
                .because(e)
        })?;
        Ok(SqliteSource {
            pool,
            dataset: Arc::new(dataset),
            limits,
            clock: Arc::new(SystemClock::new()),
            ids: Arc::default(),
            described,
        })
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "query_only", true)?;
    // Reads by the operating system's page cache instead of copying each page; also asks for the file's header.
    connection.pragma_update(None, "mmap_size", 1i64 << 30)?;
    Ok(connection)
}

/// Looks at the raw query: its columns, and whether one store's days can be sought.
fn describe(connection: &Connection, dataset: &Dataset) -> Result<Description, SourceError> {
    let wrong = |what: String| move |e| SourceError::new(SourceErrorKind::Schema, what).because(e);
    let statement = connection
        .prepare(&sql::columns_of(dataset))
        .map_err(wrong(format!("the query cannot be read: {}", dataset.query)))?;
    let columns: Vec<(String, String)> = statement
        .columns()
        .map(|c| (c.name().to_string(), c.decl_type().unwrap_or("").to_string()))
        .collect();
    let known: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let asked = [&dataset.store_id, &dataset.date].into_iter();
    let asked = asked.chain(&dataset.store_name).chain(&dataset.product).chain(&dataset.category);
    let missing: Vec<&String> = asked
        .chain(dataset.columns.iter().map(|c| &c.name))
        .filter(|name| !known.iter().any(|known| known.eq_ignore_ascii_case(name)))
        .collect();
    if !missing.is_empty() {
        let message = format!("the query has no column {missing:?}; it has {known:?}");
        return Err(SourceError::new(SourceErrorKind::Schema, message));
    }
    let failed = || wrong("the query's plan cannot be read".into());
    let mut plan = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {}", sql::rows(dataset, true)))
        .map_err(failed())?;
    let steps = plan
        .query_map(["", "", ""], |row| row.get::<_, String>(3))
        .and_then(Iterator::collect::<rusqlite::Result<Vec<String>>>)
        .map_err(failed())?;
    let scans = |step: &String| step.starts_with("SCAN") || step.contains("AUTOMATIC");
    Ok(Description { columns, seeks: !steps.iter().any(scans) })
}

impl Source for SqliteSource {
    fn describe(&self) -> BoxFuture<'_, Result<Description, SourceError>> {
        Box::pin(async { Ok(self.described.clone()) })
    }

    fn stores(&self) -> BoxFuture<'_, Result<Inventory, SourceError>> {
        let (answer, answered) = oneshot::channel();
        let watch = Watch::new(Arc::clone(&self.clock), self.limits.timeout);
        let (dataset, ids) = (Arc::clone(&self.dataset), Arc::clone(&self.ids));
        let seeks = self.described.seeks;
        self.pool.run(move |connection| {
            let outcome =
                watch.over(connection, |connection| inventory(connection, &dataset, seeks, &ids));
            // Nobody waits any more: nobody to tell.
            let _ = answer.send(outcome);
        });
        Box::pin(async { answered.await.unwrap_or_else(|_| Err(gone())) })
    }

    fn read(&self, ask: Ask) -> Batches {
        let (batches, stream) = mpsc::channel(AHEAD);
        let watch = Watch::new(Arc::clone(&self.clock), self.limits.timeout);
        let cancel = CancelOnDrop(Arc::clone(&watch.cancelled));
        let id = match &ask.stores {
            Which::One(id) => Some((Arc::clone(id), self.native(id))),
            Which::All => None,
        };
        let (dataset, limits) = (Arc::clone(&self.dataset), self.limits);
        self.pool.run(move |connection| {
            let mut sender = batches;
            let (clock, waited) = (Arc::clone(&watch.clock), Arc::clone(&watch.waited));
            let mut send = |item| {
                let begun = clock.elapsed();
                let sent = futures_executor::block_on(sender.send(item)).is_ok();
                let took = clock.elapsed().saturating_sub(begun);
                waited.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
                sent
            };
            let outcome = watch.over(connection, |connection| {
                read(connection, dataset, &limits, id, &ask.days, &mut |batch| send(Ok(batch)))
            });
            if let Err(failed) = outcome {
                send(Err(failed));
            }
        });
        stream
            .map(move |item| {
                let _ = &cancel;
                item
            })
            .boxed()
    }
}

impl SqliteSource {
    /// An id as the database has it. One never seen is taken for a number if it is one and the column's declared
    /// type says so, or it says nothing.
    fn native(&self, id: &Arc<str>) -> Value {
        let known = self.ids.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        known.unwrap_or_else(|| {
            let declared =
                self.described.columns.iter().find(|(name, _)| *name == self.dataset.store_id);
            let text = declared.is_some_and(|(_, kind)| {
                let kind = kind.to_ascii_uppercase();
                ["CHAR", "TEXT", "CLOB"].iter().any(|word| kind.contains(word))
            });
            match id.parse::<i64>() {
                Ok(number) if !text && number.to_string() == **id => Value::Integer(number),
                _ => Value::Text(id.to_string()),
            }
        })
    }
}

fn gone() -> SourceError {
    SourceError::new(
        SourceErrorKind::Failed,
        "the thread that reads the database has gone; this is a bug",
    )
}

/// Stops a query whose reader has gone.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Ends a query when it is cancelled or has run too long. The time its reader takes is not counted.
struct Watch {
    clock: Arc<dyn Clock>,
    timeout: Duration,
    cancelled: Arc<AtomicBool>,
    waited: Arc<AtomicU64>,
}

impl Watch {
    fn new(clock: Arc<dyn Clock>, timeout: Duration) -> Watch {
        Watch { clock, timeout, cancelled: Arc::default(), waited: Arc::default() }
    }

    fn over<T>(
        &self,
        connection: &mut Connection,
        work: impl FnOnce(&Connection) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let (clock, timeout) = (Arc::clone(&self.clock), self.timeout);
        let (cancelled, waited) = (Arc::clone(&self.cancelled), Arc::clone(&self.waited));
        let begun = clock.elapsed();
        let handler = move || {
            let spent = clock.elapsed().saturating_sub(begun);
            let waited = Duration::from_micros(waited.load(Ordering::Relaxed));
            cancelled.load(Ordering::Relaxed) || spent.saturating_sub(waited) > timeout
        };
        if cancelled_already(&self.cancelled) {
            return Err(SourceError::new(SourceErrorKind::Failed, "cancelled"));
        }
        connection.progress_handler(STEPS, Some(handler)).map_err(failed)?;
        let outcome = work(connection);
        connection.progress_handler(0, None::<fn() -> bool>).map_err(failed)?;
        outcome.map_err(|wrong| self.explain(wrong))
    }

    /// An interrupted query was cancelled, or took too long.
    fn explain(&self, wrong: SourceError) -> SourceError {
        if !is_interrupt(&wrong) || cancelled_already(&self.cancelled) {
            return wrong;
        }
        let message = format!(
            "a query ran longer than {} s; add an index on the store and date columns, or set source.timeout",
            self.timeout.as_secs_f64()
        );
        SourceError::new(SourceErrorKind::Timeout, message)
    }
}

fn cancelled_already(flag: &AtomicBool) -> bool {
    flag.load(Ordering::Relaxed)
}

fn is_interrupt(wrong: &SourceError) -> bool {
    std::error::Error::source(wrong)
        .and_then(|cause| cause.downcast_ref::<rusqlite::Error>())
        .is_some_and(|cause| cause.sqlite_error_code() == Some(ErrorCode::OperationInterrupted))
}

fn failed(wrong: rusqlite::Error) -> SourceError {
    SourceError::new(SourceErrorKind::Failed, "the database failed").because(wrong)
}

/// The stores, and how many lines have no store or no day.
fn inventory(
    connection: &Connection,
    dataset: &Dataset,
    seeks: bool,
    ids: &Mutex<HashMap<Arc<str>, Value>>,
) -> Result<Inventory, SourceError> {
    let mut statement = connection.prepare_cached(&sql::stores(dataset, !seeks)).map_err(failed)?;
    let mut found = statement.query([]).map_err(failed)?;
    let mut inventory = Inventory { stores: Vec::new(), unplaced: 0 };
    let mut natives: HashMap<Arc<str>, Value> = HashMap::new();
    while let Some(row) = found.next().map_err(failed)? {
        let value = row.get_ref(0).map_err(failed)?;
        let lines: u64 = row.get::<_, i64>(1).map_err(failed)? as u64;
        let dated: u64 = row.get::<_, i64>(2).map_err(failed)? as u64;
        if value == ValueRef::Null {
            inventory.unplaced += lines;
            continue;
        }
        inventory.unplaced += lines - dated;
        if dated == 0 {
            continue;
        }
        let id: Arc<str> = rows::id_text(value)
            .ok_or_else(|| {
                rows::unreadable("?", None, &dataset.store_id, &Ok(value), "a number or text")
            })?
            .into();
        let native = match value {
            ValueRef::Integer(number) => Value::Integer(number),
            ValueRef::Real(number) => Value::Real(number),
            _ => Value::Text(id.to_string()),
        };
        let day = |at| {
            let value = row.get_ref(at).map_err(failed)?;
            rows::day(dataset, value).ok_or_else(|| {
                rows::unreadable(&id, None, &dataset.date, &Ok(value), "a date as configured")
            })
        };
        let (first, last): (Day, Day) = (day(3)?, day(4)?);
        let name = rows::id_text(row.get_ref(5).map_err(failed)?).map(Arc::from);
        if natives.insert(Arc::clone(&id), native).is_some() {
            let message =
                format!("the store id {id} stands in the source both as a number and as text");
            return Err(SourceError::new(SourceErrorKind::Value, message));
        }
        inventory.stores.push(Store { id, name, lines: dated, first, last });
    }
    if seeks && let Some(text) = sql::name_of(dataset) {
        let mut names = connection.prepare_cached(&text).map_err(failed)?;
        for store in &mut inventory.stores {
            let mut found = names.query([&natives[&store.id]]).map_err(failed)?;
            if let Some(row) = found.next().map_err(failed)? {
                store.name = rows::id_text(row.get_ref(0).map_err(failed)?).map(Arc::from);
            }
        }
    }
    *ids.lock().unwrap_or_else(PoisonError::into_inner) = natives;
    Ok(inventory)
}

/// Reads rows and hands over batches until all are read, or nobody takes them.
fn read(
    connection: &Connection,
    dataset: Arc<Dataset>,
    limits: &Limits,
    id: Option<(Arc<str>, Value)>,
    days: &Days,
    hand_over: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<(), SourceError> {
    let text = sql::rows(&dataset, id.is_some());
    let mut statement = connection.prepare_cached(&text).map_err(failed)?;
    let name = id.as_ref().map(|(id, _)| &**id);
    let mut batcher = Batcher::new(Arc::clone(&dataset), name, limits.batch_size);
    let mut rows_read = 0u64;
    for (from, to) in ranges(days) {
        let (low, high) = sql::bounds(&dataset, from, to);
        batcher.only(from, to);
        let mut found = match &id {
            Some((_, native)) => statement.query([native, &low, &high]),
            None => statement.query([&low, &high]),
        }
        .map_err(failed)?;
        while let Some(row) = found.next().map_err(failed)? {
            rows_read += 1;
            if let Some(name) = name
                && rows_read > limits.max_rows
            {
                let message = format!(
                    "store {name} has more than {} rows in one query; raise source.max_rows",
                    limits.max_rows
                );
                return Err(SourceError::new(SourceErrorKind::TooManyRows, message));
            }
            if batcher.push(row)?
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

/// Days as runs of consecutive ones.
fn ranges(days: &Days) -> Vec<(Option<Day>, Option<Day>)> {
    match days {
        Days::Range(from, to) => vec![(*from, *to)],
        Days::These(days) => days
            .chunk_by(|a, b| b.0 == a.0 + 1)
            .map(|run| (run.first().copied(), run.last().copied()))
            .collect(),
    }
}
