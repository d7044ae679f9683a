//! PostgreSQL as a source.

mod aside;
mod blocking;
mod connection;
mod form;
mod inventory;
mod options;
mod outline;
pub(crate) mod rows;
mod shape;
mod sql;
mod transport;
mod tuples;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use futures_util::SinkExt;
use samovar_core::{BoxFuture, Clock, SystemClock};

use crate::background::Pool;
use crate::batch::{Batcher, Pushed};
use crate::handover;
use crate::{Ask, Batches, Dataset, Description, Inventory, Limits, Source, SourceError, Which};
pub(crate) use blocking::Blocking;
pub(crate) use connection::failed;
use connection::{Connection, Transaction};
use form::Kind;
pub(crate) use options::Address;
pub use options::PostgresOptions;
use shape::Shape;
use sql::Setting;
pub(crate) use sql::table;
use tuples::Tuples;
use watch::Watch;

/// How long the look at the raw query may take.
const LOOKING: Duration = Duration::from_secs(60);

/// A PostgreSQL database, read by a few connections in transactions that cannot write.
///
/// Rows come by a binary `COPY (SELECT …) TO STDOUT` of the columns asked for, and are decoded on a thread of each
/// connection; nothing is needed of the caller's runtime. A query is cancelled at the server when it takes longer
/// than allowed or its batches are dropped. A connection that was lost ends its query with
/// [`SourceErrorKind::Lost`](crate::SourceErrorKind::Lost); the next query opens it again, and waits up to three seconds for a server that was
/// there before.
///
/// # The query
/// A SELECT, or the name of a table. A name with a dot is that of a table if there is one of this name, and else a
/// schema and its table: `shop.orders`. Names are taken as they are: `Orders` is not `orders`.
///
/// # Types
///
/// | type | as a number | as text and id |
/// |---|---|---|
/// | `smallint`, `integer`, `bigint` | exact | digits |
/// | `numeric` | exact, rounded half away from zero | digits without zeros at the end: `7.50` is `7.5` |
/// | `real`, `double precision` | rounded half away from zero | the shortest digits that are it |
/// | `boolean` | 1 or 0 | `true`, `false` |
/// | `text`, `varchar` | if it is one | as it is |
/// | `char(n)` | if it is one | without the blanks at its end |
/// | enums | no | the label |
/// | `uuid` | no | in lower case |
/// | `date`, `timestamp`, `timestamptz` | no | text alone, no id: `2026-02-03 19:06:53`, in UTC with `+00` |
/// | domains | as their base | as their base |
///
/// All others are refused at the start with their column and type: cast them in the query.
///
/// | type of the date column | its day |
/// |---|---|
/// | `date` | itself |
/// | `timestamp` | its own calendar day with [`DateKind::Date`](crate::DateKind); with `UtcDatetime` an instant in UTC, whose day is that of the dataset's time zone |
/// | `timestamptz` | that of the instant in the dataset's time zone |
/// | `text` and the like | as SQLite's: see [`DateKind`](crate::DateKind) |
/// | whole numbers | with `EpochSeconds` and `EpochMillis` |
///
/// Give the table an index on its columns of store and date, in this order: a range of days is compared in the
/// column's own type. An infinite date is an error.
///
/// ```no_run
/// # use futures_util::StreamExt;
/// use samovar_source::{
///     Ask, ColumnKind, Dataset, DateKind, Days, Limits, PostgresOptions, PostgresSource, Source,
///     SourceColumn, Which,
/// };
///
/// # async fn read() -> Result<(), Box<dyn std::error::Error>> {
/// let dataset = Dataset {
///     query: "shop.orders".into(),
///     store_id: "store".into(),
///     store_name: None,
///     date: "day".into(),
///     date_kind: DateKind::Date,
///     time_zone: jiff::tz::TimeZone::UTC,
///     product: None,
///     category: None,
///     columns: vec![SourceColumn { name: "amount".into(), kind: ColumnKind::Fixed { decimals: 2 } }],
/// };
/// let options = PostgresOptions::new("postgres://reader:secret@db.example/shop?sslmode=require");
/// let source = PostgresSource::connect(&options, dataset, Limits::default())?;
/// let ask = Ask { stores: Which::One("7".into()), days: Days::Range(None, None) };
/// let mut batches = source.read(ask);
/// while let Some(batch) = batches.next().await {
///     println!("{} rows", batch?.num_rows());
/// }
/// # Ok(())
/// # }
/// ```
pub struct PostgresSource {
    pool: Pool<Connection>,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
}

/// What every query looks at.
struct Shared {
    dataset: Dataset,
    limits: Limits,
    shape: Shape,
}

impl PostgresSource {
    /// Connects to a server and checks that the query and every column asked for are there, and of types that can be
    /// read. It blocks until then, and may be called inside of a runtime or outside.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses ([`SourceErrorKind::Unreachable`](crate::SourceErrorKind::Unreachable); the message names host, port,
    /// user and database, never the password), or the query or a column is not there or not readable
    /// ([`SourceErrorKind::Schema`](crate::SourceErrorKind::Schema)).
    ///
    /// ```
    #[doc = include_str!("../example.txt")]
    /// # use samovar_source::{Limits, PostgresOptions, PostgresSource, SourceErrorKind};
    /// let options = PostgresOptions::new("postgres://reader:secret@127.0.0.1:1/shop");
    /// let wrong = PostgresSource::connect(&options, dataset(), Limits::default());
    /// let wrong = wrong.map(drop).expect_err("nobody listens there");
    /// assert_eq!(wrong.kind(), SourceErrorKind::Unreachable);
    /// assert!(wrong.to_string().contains("user reader") && !wrong.to_string().contains("secret"));
    /// ```
    pub fn connect(
        options: &PostgresOptions,
        dataset: Dataset,
        limits: Limits,
    ) -> Result<PostgresSource, SourceError> {
        let address = Arc::new(Address::of(options)?);
        let connections =
            (0..limits.connections.max(1)).map(|_| Connection::to(Arc::clone(&address))).collect();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let pool = Pool::start(connections, &clock)?;
        let (watch, _cancel) = Watch::new(Arc::clone(&clock), LOOKING);
        // Waited for without an executor: the caller may stand in one, and they do not nest.
        let (answer, answered) = std::sync::mpsc::channel();
        pool.run(move |connection: &mut Connection| {
            let looked = connection.run(&watch, async |transaction| {
                let shape = Shape::of(&dataset, transaction).await?;
                Ok(Shared { dataset, limits, shape })
            });
            let _ = answer.send(looked);
        });
        let shared = answered.recv().unwrap_or_else(|_| Err(SourceError::panicked()))?;
        Ok(PostgresSource { pool, shared: Arc::new(shared), clock })
    }
}

impl Source for PostgresSource {
    fn describe(&self) -> BoxFuture<'_, Result<Description, SourceError>> {
        let Shared { shape, limits, .. } = &*self.shared;
        let (columns, connections) = (shape.declared.clone(), limits.connections.max(1));
        let described = Description { columns, seeks: shape.seeks, connections };
        Box::pin(async { Ok(described) })
    }

    fn busy(&self) -> Duration {
        self.pool.busy()
    }

    /// PostgreSQL cannot tell cheaply: its snapshots change with every transaction of the whole server, and its
    /// counters of rows come late, and count what was rolled back.
    fn change_number(&self) -> BoxFuture<'_, Result<Option<u64>, SourceError>> {
        Box::pin(async { Ok(None) })
    }

    fn stores(&self) -> BoxFuture<'_, Result<Inventory, SourceError>> {
        let (watch, cancel) = Watch::new(Arc::clone(&self.clock), self.shared.limits.timeout);
        let shared = Arc::clone(&self.shared);
        self.pool.ask_until_dropped(cancel, move |connection| {
            connection.run(&watch, async |transaction| {
                inventory::inventory(&shared.dataset, &shared.shape, transaction).await
            })
        })
    }

    fn read(&self, ask: Ask) -> Batches {
        let (watch, cancel) = Watch::new(Arc::clone(&self.clock), self.shared.limits.timeout);
        let (mut sender, batches) = handover::channel(cancel);
        let shared = Arc::clone(&self.shared);
        self.pool.run(move |connection| {
            let outcome = connection.run(&watch, async |transaction| {
                let mut hand_over = async |batch| {
                    let taken = watch.not_counting(sender.send(Ok(Some(batch)))).await;
                    taken.map_err(|_| SourceError::cancelled())?;
                    watch.in_time()
                };
                read(transaction, &shared, ask, &mut hand_over).await
            });
            let _ = futures_executor::block_on(sender.send(outcome.map(|()| None)));
        });
        batches
    }
}

/// Reads rows and hands over batches until all are read, or nobody takes them.
async fn read(
    transaction: &mut Transaction<'_>,
    Shared { dataset, limits, shape }: &Shared,
    ask: Ask,
    hand_over: &mut impl AsyncFnMut(RecordBatch) -> Result<(), SourceError>,
) -> Result<(), SourceError> {
    let days = ask.days.ascending();
    let store = match &ask.stores {
        Which::One(store) if !is_id(transaction, shape, store).await? => return Ok(()),
        Which::One(store) => Some(&**store),
        Which::All => None,
    };
    let columns = if store.is_none() { shape.with_id(dataset) } else { shape.columns.clone() };
    let mut batcher = Batcher::new(dataset, &days, store, *limits);
    for (from, to) in days.ranges(store.is_some()) {
        let (lower, upper) = shape.bounds(dataset, from, to);
        let text = sql::rows(dataset, shape, store.is_some(), lower.is_some(), upper.is_some());
        let values = [
            (Setting::Store, store.map(str::to_string)),
            (Setting::From, lower),
            (Setting::Until, upper),
        ];
        let values: Vec<(Setting, String)> =
            values.into_iter().filter_map(|(setting, value)| Some((setting, value?))).collect();
        let mut copying = transaction.copy(text, &values, (dataset, shape)).await?;
        let mut tuples = Tuples::of(&columns);
        while copying.more(tuples.room()).await? {
            while let Some(tuple) = tuples.next()? {
                if matches!(batcher.push(&tuple)?, Pushed::Full)
                    && let Some(batch) = batcher.finish()?
                {
                    hand_over(batch).await?;
                }
            }
        }
    }
    match batcher.finish()? {
        Some(batch) => hand_over(batch).await,
        None => Ok(()),
    }
}

/// Whether a text is spelt as an id is. One that is not has no lines, and would be an error in a cast, or find
/// those of another.
async fn is_id(
    transaction: &Transaction<'_>,
    shape: &Shape,
    id: &str,
) -> Result<bool, SourceError> {
    if shape.id.kind != Kind::Enum || !shape.id.kind.spells(id) {
        return Ok(shape.id.kind.spells(id));
    }
    // Labels may be added at any time.
    let text = "SELECT 1 FROM pg_catalog.pg_enum WHERE enumtypid = $1 AND enumlabel = $2::text";
    let found = transaction.client.query_opt(text, &[&shape.id.oid, &id]).await;
    found.map(|row| row.is_some()).map_err(|e| failed(&e))
}
