//! The engine: answers questions from the levels, loads what is missing, keeps it warm.

mod answer;
mod blocks;
mod bulk;
mod counters;
mod gather;
mod heat;
mod load;
mod lookout;
mod members;
mod query;
mod reader;
mod recent;
mod refresh;
mod retry;
mod share;
mod survey;
mod takeover;
mod values;
mod warm;

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use samovar::flight::Flights;
use samovar::{Cache, CachePolicy, Samovar};
use samovar_core::{Error, ErrorKind, Mode, Partition, Scope, Version};
use samovar_source::{Description, Source};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use answer::Flown;
pub use answer::{Answer, Missing};
pub use counters::EngineCounters;
use counters::count;
pub use query::Queried;
pub use values::{Body, Encoded, Encoding, Member, Members};
pub use warm::{Phase, WarmReport, Warmth};

use crate::background::Task;
use crate::health::HealthRules;
use crate::metrics::MetricsBlock;
use crate::products::ProductBlock;
use crate::raw::RawBlock;
use crate::schema::{Schema, fingerprint};
use crate::selection::{Selection, Stores};
use crate::standout::StandoutRules;
use blocks::{Blocks, Place};
use heat::HeatMap;
use lookout::{Events, lookout};
use members::Listed;
use recent::Recent;
use refresh::{Queue, refresher};
use share::Share;
use values::{Cut, Heat, Shape};
use warm::Progress;

/// Whether figures by store, day and product are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ProductMetrics {
    /// Where they pay: at least [`PAYS`] lines for each figure, by a sample.
    #[default]
    Auto,
    /// Always.
    Keep,
    /// Never: product figures are computed from raw.
    Derive,
}

/// Lines for each product figure from which on figures are worth keeping beside the rows.
pub const PAYS: f64 = 1.5;

/// Rows to a block of raw, about, unless told otherwise.
pub const BLOCK_ROWS: u64 = 16_000;

/// The names of the caches that an engine keeps its levels in: no other cache beside it may be called so.
pub const LEVELS: [&str; 8] =
    [LIST, BLOCKS[0], BLOCKS[1], BLOCKS[2], "results", "heat", "cut", "shape"];

/// How long the entries of each level are fresh, and for how long after that they are still served, labelled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lifetimes {
    /// Raw rows.
    pub raw: Duration,
    /// Metrics and product metrics.
    pub metrics: Duration,
    /// Results.
    pub results: Duration,
    /// Past its lifetime a level is served labelled for so long, while it is read again.
    pub stale_window: Duration,
    /// Each lifetime is spread by up to this share either way.
    pub jitter: f64,
}

impl Default for Lifetimes {
    fn default() -> Self {
        let hours = |n: u64| Duration::from_secs(n * 3_600);
        Lifetimes {
            raw: hours(24),
            metrics: hours(6),
            results: hours(1),
            stale_window: hours(168),
            jitter: 0.2,
        }
    }
}

/// What the engine must know of a dataset.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Its name; its event is `{name}_changed`.
    pub name: Arc<str>,
    /// Its measures.
    pub schema: Schema,
    /// Rules of product health.
    pub rules: HealthRules,
    /// When a day stands out.
    pub standouts: StandoutRules,
    /// Lifetimes of the levels.
    pub lifetimes: Lifetimes,
    /// Whether product metrics are kept.
    pub product_metrics: ProductMetrics,
    /// Rows to a block of raw, about.
    pub block_rows: u64,
    /// Background work keeps the source's connections busy for so many seconds each second, on average; from 1 on
    /// there is no bound. A reader's own miss counts, but never waits.
    pub max_source_share: f64,
    /// A change of the source that an event follows within this time counts as announced; any other makes what is
    /// cached stale. `None`: nobody looks out for changes.
    pub event_grace: Option<Duration>,
    /// A number that differs whenever the same source would be read differently (another query, time zone,
    /// column): what was stored under another is not found.
    pub fingerprint: u64,
}

/// Answers questions about a dataset. Cheap to clone; needs a tokio runtime around it.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    samovar: Samovar,
    source: Arc<dyn Source>,
    dataset: Dataset,
    /// What blocks depend on beside the source's data: part of their keys. Made once, as keys are made often.
    data_shape: u64,
    /// The same for answers.
    answer_shape: u64,
    caches: Caches,
    loads: Flights<Arc<Blocks>>,
    lists: Flights<Arc<Members>>,
    results: Flights<Flown>,
    passes: Flights<()>,
    /// Turns to merge.
    merging: Arc<Semaphore>,
    /// Turns to load a block.
    loading: Arc<Semaphore>,
    taken_over: OnceCell<()>,
    cut: OnceLock<Cut>,
    described: OnceLock<Description>,
    counters: EngineCounters,
    progress: Progress,
    recent: Recent,
    heat: HeatMap,
    queue: Arc<Queue>,
    refresher: OnceLock<Task>,
    share: Share,
    events: Events,
    lookout: OnceLock<Task>,
}

struct Caches {
    members: Cache<Members>,
    raw: Cache<RawBlock>,
    metrics: Cache<MetricsBlock>,
    products: Cache<ProductBlock>,
    results: Cache<Body>,
    heat: Cache<Heat>,
    cut: Cache<Cut>,
    shape: Cache<Shape>,
}

impl Engine {
    /// An engine over a stack of tiers and a source. Starts the task that reads stale blocks again; loads
    /// nothing until it is asked or told to [`Engine::warm`].
    pub fn new(samovar: Samovar, source: Arc<dyn Source>, dataset: Dataset) -> Engine {
        let lifetimes = dataset.lifetimes;
        let policy = |name: &str, ttl: Duration| CachePolicy {
            ttl,
            jitter: lifetimes.jitter,
            stale_window: lifetimes.stale_window,
            ..CachePolicy::named(name)
        };
        let here = |policy| CachePolicy { redis: false, ..policy };
        let [list, raw, metrics, products, results, heat, cut, shape] = LEVELS;
        let caches = Caches {
            members: samovar.cache(policy(list, lifetimes.metrics)),
            // Rows, and figures by product, are many and read by whoever asked for them first.
            raw: samovar.cache(here(policy(raw, lifetimes.raw))),
            metrics: samovar.cache(policy(metrics, lifetimes.metrics)),
            products: samovar.cache(here(policy(products, lifetimes.metrics))),
            results: samovar.cache(policy(results, lifetimes.results)),
            heat: samovar.cache(here(policy(heat, FOR_LONG))),
            cut: samovar.cache(policy(cut, FOR_LONG)),
            shape: samovar.cache(policy(shape, FOR_LONG)),
        };
        let fence = samovar.fence().clone();
        let shape = (FORMAT, dataset.schema.fingerprint(), dataset.fingerprint);
        let data_shape = fingerprint(&format!("{shape:?}"));
        let answers =
            (answer::BODY_FORMAT, &dataset.schema.measures, &dataset.rules, &dataset.standouts);
        let answer_shape = fingerprint(&format!("{answers:?}"));
        let clock = Arc::clone(samovar.clock());
        let share = Share::new(dataset.max_source_share, clock, Arc::clone(&source));
        let engine = Engine {
            inner: Arc::new(Inner {
                samovar,
                source,
                dataset,
                data_shape,
                answer_shape,
                caches,
                loads: Flights::new(fence.clone()),
                lists: Flights::new(fence.clone()),
                results: Flights::new(fence.clone()),
                passes: Flights::new(fence),
                merging: Arc::new(Semaphore::new(MERGED_AT_ONCE)),
                loading: Arc::new(Semaphore::new(LOADED_AT_ONCE)),
                taken_over: OnceCell::new(),
                cut: OnceLock::new(),
                described: OnceLock::new(),
                counters: EngineCounters::default(),
                progress: Progress::default(),
                recent: Recent::default(),
                heat: HeatMap::default(),
                queue: Arc::default(),
                refresher: OnceLock::new(),
                share,
                events: Events::default(),
                lookout: OnceLock::new(),
            }),
        };
        engine.start(|inner| &inner.refresher, "reads stale blocks again", refresher);
        if let Some(grace) = engine.inner.dataset.event_grace {
            let lookout = |inner| lookout(inner, grace);
            engine.start(|inner| &inner.lookout, "looks out for changes", lookout);
        }
        engine
    }

    /// Starts a task that ends with the engine, which it may not hold. If it panics, the engine is poisoned.
    fn start<F: Future<Output = ()> + Send + 'static>(
        &self,
        place: fn(&Inner) -> &OnceLock<Task>,
        what: &'static str,
        work: impl FnOnce(Weak<Inner>) -> F,
    ) {
        let engine = Arc::downgrade(&self.inner);
        let owner = Weak::clone(&engine);
        let died = move || {
            if let Some(inner) = owner.upgrade() {
                let why = format!("the task that {what} has panicked; restart the process");
                inner.progress.poison(&why);
            }
        };
        // Only set here, once, right after the engine was made.
        let _ = place(&self.inner).set(Task::start(work(engine), died));
    }

    /// The dataset.
    pub fn dataset(&self) -> &Dataset {
        &self.inner.dataset
    }

    /// The stack of tiers below.
    pub fn samovar(&self) -> &Samovar {
        &self.inner.samovar
    }

    /// What has been counted.
    pub fn counters(&self) -> &EngineCounters {
        &self.inner.counters
    }

    /// Says that partitions changed in the source, after the change was committed there. Returns once that is
    /// durable: from then on no answer holds what was read before. They are read again in the background.
    ///
    /// A partition that the list of stores and days lacks is a change of that list too.
    ///
    /// # Errors
    /// If the mark could not be made durable: then it holds here and now, but perhaps not after a restart.
    pub async fn changed(
        &self,
        partitions: Vec<Partition>,
        mode: Mode,
        reason: &str,
    ) -> Result<Version, Error> {
        if partitions.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "an event names at least one partition"));
        }
        let mut scopes: Vec<Scope> = partitions.iter().cloned().map(Scope::Partition).collect();
        let known = self.found_members().await;
        let listed = |partition: &Partition| {
            // One that is past its time says nothing of the one that may be on its way, read before the change; nor does
            // that of a node that is cut off of the one that others have.
            let is_good = |listed: &&Listed| !listed.is_stale && !listed.is_cut_off;
            let members = &known.as_ref().filter(is_good)?.members;
            let (first, last) = members.stores[members.find(&partition.store)?].dates;
            (first <= partition.day && partition.day <= last).then_some(())
        };
        if !partitions.iter().all(|partition| listed(partition).is_some()) {
            scopes.push(Scope::Cache(LIST.into()));
        }
        self.inner.events.accepted();
        let version = self.inner.samovar.mark(scopes, mode, reason).await?;
        if let Some(Listed { members, .. }) = known {
            for partition in &partitions {
                let block = partition.day.0.div_euclid(members.block_days);
                self.inner.queue.push_urgently(&partition.store, block);
            }
        }
        Ok(version)
    }

    /// Marks what a selection covers and answers it anew.
    ///
    /// # Errors
    /// As [`Engine::changed`] and [`Engine::diagnose`].
    pub async fn refresh(&self, selection: &Selection) -> Result<Answer, Error> {
        let mut members = self.members().await?;
        let wanted = self.both_periods(&members, selection, Missing::Wait);
        let mut chosen = self.choose(&members, selection, wanted).await;
        if chosen.as_ref().is_err_and(|failed| failed.kind() == ErrorKind::Invalid) {
            // A store that has come since the list was read, perhaps.
            members = self.load_members().await?;
            chosen = self.choose(&members, selection, wanted).await;
        }
        let (stores, _) = chosen?;
        let (from, to) = (selection.from, selection.to);
        let mut scopes = if stores.len() as i64 * i64::from(selection.days()) > MAX_PARTITION_MARKS
        {
            BLOCKS.map(|cache| Scope::Cache(cache.into())).to_vec()
        } else {
            let days = move || (from.0..=to.0).map(samovar_core::Day);
            let of = |at: &usize| {
                let store = Arc::clone(&members.stores[*at].id);
                days()
                    .map(move |day| Scope::Partition(Partition { store: Arc::clone(&store), day }))
            };
            stores.iter().flat_map(of).collect()
        };
        let dated = |at: &usize| {
            let (first, last) = members.stores[*at].dates;
            first <= from && to <= last
        };
        if !stores.iter().all(dated) || !matches!(selection.stores, Stores::These(_)) {
            // There may be stores and days that the list does not know yet.
            scopes.push(Scope::Cache(LIST.into()));
        }
        self.inner.events.accepted();
        self.inner.samovar.mark(scopes, Mode::Remove, "refresh").await?;
        self.diagnose(selection, Missing::Wait).await
    }

    /// Saves what should survive, and waits until it is durable.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn close(&self) -> Result<(), Error> {
        self.save_heat();
        self.inner.samovar.close().await
    }

    /// The key of what there is one of for a dataset.
    fn key(&self) -> String {
        format!("{:x}//0", self.inner.data_shape)
    }

    /// The key of a block. Another node may have cut otherwise, where both began at once: then they do not share.
    fn block_key(&self, place: &Place) -> String {
        let Place { store, block, days, .. } = place;
        format!("{:x}/{store}/{days}/{block}", self.inner.data_shape)
    }
}

/// The cache of the list of stores. A mark on the list is one on all of it: lists of other measures, which are kept under
/// other keys, are as wrong.
const LIST: &str = "members";

/// The caches whose entries are blocks.
const BLOCKS: [&str; 3] = ["raw", "metrics", "products"];

/// What is no copy of the source's data is kept until something better is known.
const FOR_LONG: Duration = Duration::from_secs(3_650 * 86_400);

/// So many questions are merged side by side, each on a thread and with memory of its own; others wait their turn.
const MERGED_AT_ONCE: usize = 16;

/// So many blocks are loaded side by side, each on a thread. More than a source has connections, for those that are
/// found on disk.
const LOADED_AT_ONCE: usize = 16;

/// Waits for a turn.
async fn turn(turns: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Error> {
    let turn = Arc::clone(turns).acquire_owned().await;
    turn.map_err(|e| Error::new(ErrorKind::Closed, "the engine is closing").because(e))
}

/// Part of every key: differs whenever values are encoded differently.
const FORMAT: u64 = 3;

/// A refresh of more partitions than this marks the levels as a whole: colder, but one mark each.
const MAX_PARTITION_MARKS: i64 = 20_000;
