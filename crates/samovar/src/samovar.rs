//! One process's cache: log, fence and tiers put together.

mod lag;
mod marks;
mod parts;

use std::fmt;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select;
use parking_lot::Mutex;
use samovar_core::{
    Clock, Error, ErrorKind, MarkLog, Mode, Scope, TierName, Usage, Version, Writer,
};

pub use marks::MarkOptions;
pub(crate) use marks::Marked;

use crate::background::{Tasks, off_thread};
use crate::cache::Cache;
use crate::counters::Counters;
use crate::directory::Held;
use crate::fence::{Courier, Fence, Marker, Standing, Tail, keep_lease, leave_tables, saved};
use crate::jitter::Jitter;
use crate::lease::Leases;
use crate::policy::{CachePolicy, check};
use crate::settings::Settings;
use crate::tier::stack::Stack;
use crate::tier::{MemoryTier, leave_in_time};
use crate::value::Value;
use crate::write::{self, Writes};
use parts::{Parts, open_parts, open_redis};

/// How long closing waits for invalidations that are on their way to a shared log.
const LAST: Duration = Duration::from_secs(5);

/// A tiered cache: memory, Redis, disk, and the fence that keeps them honest. Cheap to clone; lets go of its data
/// directory when [`Samovar::close`]d, or some time after the last clone is dropped, and the last of its caches.
///
/// ```
/// use samovar::{CachePolicy, Samovar, Settings};
/// use samovar_core::{Mode, Scope};
///
/// # futures_executor::block_on(async {
/// let samovar = Samovar::open(Settings::default()).await?; // everything in memory
/// let names = samovar.cache::<String>(CachePolicy::named("product_names"));
/// let prices = samovar.cache::<String>(CachePolicy::named("prices"));
/// names.get_or_load("42", |_| async { Ok("Tea".to_owned()) }).await?;
/// prices.get_or_load("42", |_| async { Ok("12.50".to_owned()) }).await?;
///
/// // The product is gone, whatever is cached of it and where.
/// samovar.mark(vec![Scope::Pattern("*:42".parse()?)], Mode::Remove, "delisted").await?;
/// assert!(names.get("42").await.is_none() && prices.get("42").await.is_none());
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Samovar {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) fence: Fence,
    pub(crate) stack: Stack,
    pub(crate) counters: Arc<Counters>,
    pub(crate) jitter: Arc<Jitter>,
    pub(crate) writes: Writes,
    /// With which nodes agree on who loads, if they share a Redis.
    pub(crate) leases: Option<Leases>,
    log: Arc<dyn MarkLog>,
    /// Held while marks are accepted and handed to the log, so that they get their ticks and their numbers
    /// in one order.
    accepting: Mutex<()>,
    marker: Arc<Marker>,
    courier: Courier,
    /// What goes on although nobody waits for it.
    pub(crate) tasks: Tasks,
    tail: Tail,
    log_patience: Duration,
    replica_lag: Duration,
    data_dir: Option<PathBuf>,
    /// Last: let go of after everything above.
    held: Mutex<Option<Held>>,
}

impl Inner {
    /// Whether what is cached outlives the process, though there be no directory.
    pub(crate) fn outlives(&self) -> bool {
        self.leases.is_some() || self.fence.is_shared()
    }
}

impl Drop for Inner {
    /// What goes on in the background holds the log, and would for ever.
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

impl Samovar {
    /// Opens a cache. Nobody knows what has changed while it was closed: so on a data directory that holds entries, and
    /// with a Redis that may, one mark is appended that expires everything, and what was cached before is served
    /// labelled as stale until it is read again. With a log that nodes share ([`Settings::log`]) nothing is expired:
    /// that has been told all the while what happened.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Samovar, Settings};
    /// # use samovar_core::Verdict;
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path();
    /// # futures_executor::block_on(async {
    /// let settings = Settings { data_dir: Some(path.into()), ..Settings::default() };
    /// let samovar = Samovar::open(settings.clone()).await?;
    /// let names = samovar.cache::<String>(CachePolicy::named("product_names"));
    /// names.get_or_load("42", |_| async { Ok("Tea".to_owned()) }).await?;
    /// samovar.close().await?;
    ///
    /// let samovar = Samovar::open(settings).await?; // the next day
    /// let names = samovar.cache::<String>(CachePolicy::named("product_names"));
    /// let found = names.get("42").await.expect("it lies on disk");
    /// assert_eq!((found.as_str(), found.verdict), ("Tea", Verdict::Stale));
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the settings cannot be ([`crate::check`]), if the Redis of a shared log refuses user
    /// or password, or if there is to be a Redis in a build without the cargo feature `redis`; [`ErrorKind::Held`] if
    /// another process holds the directory; [`ErrorKind::Format`] if it or a file in it, or the shared log, is of a
    /// newer format or not ours; [`ErrorKind::Storage`] if the disk fails. A Redis or a shared log that is away is no
    /// error: it is joined when it answers.
    pub async fn open(settings: Settings) -> Result<Samovar, Error> {
        let problems: Vec<String> = check(&settings, &[]).iter().map(ToString::to_string).collect();
        if !problems.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, problems.join("; ")));
        }
        // In the caller's context, before anything goes to another thread.
        let tasks = Tasks::new()?;
        let counters = Arc::new(Counters::default());
        let said = Arc::clone(&counters);
        let chosen = settings.clone();
        // In this context too, and before anything is held: it connects later.
        let (redis, leases) = open_redis(&settings, &counters, &tasks)?.unzip();
        let marker = Arc::new(Marker::new(Arc::clone(&settings.clock))?);
        let (makes, runs) = (Arc::clone(&marker), tasks.clone());
        let Parts { held, log, fence, disk, founded, writes, recent } =
            off_thread("samovar-open", move || open_parts(&chosen, &makes, &said, &runs)).await?;
        let log_patience = settings.log_patience;
        // What Redis holds nobody knows; what stands there by this log was read before. A log that is shared has been
        // told all the while what happened.
        let restarted = !fence.is_shared()
            && (disk.as_ref().is_some_and(|disk| disk.usage().total().entries > 0)
                || (redis.is_some() && !founded));
        let clock = Arc::clone(&settings.clock);
        let jitter = settings.seed.map_or_else(Jitter::random, |seed| Ok(Jitter::new(seed)))?;
        let jitter = Arc::new(jitter);
        let (of, said) = (fence.clone(), Arc::clone(&counters));
        let tail =
            Tail::start(Arc::clone(&log), of, Arc::clone(&marker), said, Arc::clone(&clock))?;
        let (of, to) = (fence.clone(), Arc::clone(&log));
        let (said, time) = (Arc::clone(&counters), Arc::clone(&clock));
        tasks.keep(move || {
            keep_lease(of.clone(), Arc::clone(&to), Arc::clone(&said), Arc::clone(&time))
        });
        let (of, to) = (fence.clone(), Arc::clone(&log));
        let (time, spread) = (Arc::clone(&clock), Arc::clone(&jitter));
        tasks.keep(move || {
            leave_tables(of.clone(), Arc::clone(&to), Arc::clone(&time), Arc::clone(&spread))
        });
        let (of, to) = (fence.clone(), Arc::clone(&log));
        let courier = Courier::start(of, to, tasks.clone(), clock, Arc::clone(&jitter));
        let memory = Arc::new(MemoryTier::new(settings.memory_max_bytes));
        let (weak, time) = (Arc::downgrade(&memory), Arc::clone(&settings.clock));
        tasks.keep(move || leave_in_time(weak.clone(), Arc::clone(&time)));
        let inner = Inner {
            clock: settings.clock,
            fence,
            stack: Stack::new(memory, redis.into_iter().chain(disk).collect()),
            counters,
            jitter,
            writes,
            leases,
            log,
            accepting: Mutex::new(()),
            marker,
            courier,
            tasks,
            tail,
            log_patience,
            replica_lag: settings.replica_lag,
            data_dir: settings.data_dir,
            held: Mutex::new(held),
        };
        let samovar = Samovar { inner: Arc::new(inner) };
        samovar.repeat_recent(recent);
        if restarted {
            let old = MarkOptions { mode: Mode::Expire, ..MarkOptions::because("restart") };
            samovar.marked_once(vec![Scope::Everything], old).await?;
        }
        write::recover(&samovar.inner).await;
        Ok(samovar)
    }

    /// The same, by what it is made of.
    pub(crate) fn of(inner: Arc<Inner>) -> Samovar {
        Samovar { inner }
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// What tells the time here.
    ///
    /// ```
    /// # use samovar::{Samovar, Settings};
    /// # use samovar_core::Millis;
    /// # use samovar_testkit::clock::FakeClock;
    /// # use std::time::Duration;
    /// # futures_executor::block_on(async {
    /// let clock = FakeClock::at(Millis(1_000)); // set by hand, for a test
    /// let samovar = Samovar::open(Settings { clock: clock.clone(), ..Settings::default() }).await?;
    /// clock.advance(Duration::from_secs(5));
    /// assert_eq!(samovar.clock().now(), Millis(6_000));
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// The marks applied here, and the question that every read asks.
    ///
    /// ```
    /// # use samovar::{Samovar, Settings};
    /// # use samovar_core::{Mode, Scope};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// let version = samovar.mark(vec![Scope::Everything], Mode::Expire, "inventory").await?;
    /// assert_eq!(samovar.fence().position(), version, "it has been applied here");
    /// assert_eq!(samovar.fence().pending(), 0);
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn fence(&self) -> &Fence {
        &self.inner.fence
    }

    /// A named cache. The same name, prefix and version give the same entries, whatever else the policy says; of
    /// several [`CachePolicy::max_bytes`] the smallest holds. Flights and throttles are shared by clones alone.
    ///
    /// What is wrong with the policy ([`CachePolicy::problems`]) is said as notices, and held to what is allowed.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Samovar, Settings};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// let names = samovar.cache::<String>(CachePolicy::named("product_names"));
    /// names.get_or_load("42", |_| async { Ok("Tea".to_owned()) }).await?;
    /// let same = samovar.cache::<String>(CachePolicy::named("product_names"));
    /// let other = samovar.cache::<String>(CachePolicy::named("prices"));
    /// assert!(same.peek("42").is_some() && other.peek("42").is_none());
    ///
    /// samovar.cache::<String>(CachePolicy { jitter: 20.0, ..CachePolicy::named("labels") });
    /// let said = samovar.counters().notices();
    /// assert_eq!(&*said[0].text, "cache \"labels\", jitter: found 20, allowed is 0 to 1");
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn cache<V: Value>(&self, policy: CachePolicy) -> Cache<V> {
        self.cache_of(policy, None)
    }

    /// The same, with who writes to its source: what [`Cache::write`] does then is the policy's
    /// [`crate::Strategy`]. What was acknowledged under write-back before, also before a restart, is brought to the
    /// source from here on; of several writers for one name, by the first.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use samovar::{CachePolicy, Samovar, Settings, Strategy};
    /// # use samovar_core::{BoxFuture, Write, WriteError, Writer};
    /// # struct Table;
    /// # impl Writer<String> for Table {
    /// #     fn write<'a>(&'a self, writes: &'a [Write<String>]) -> BoxFuture<'a, Vec<Result<(), WriteError>>> {
    /// #         Box::pin(async move { writes.iter().map(|_| Ok(())).collect() })
    /// #     }
    /// # }
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let data_dir = Some(directory.path().into());
    /// # futures_executor::block_on(async {
    /// let samovar = Samovar::open(Settings { data_dir, ..Settings::default() }).await?;
    /// let policy = CachePolicy { strategy: Strategy::WriteBack, ..CachePolicy::named("names") };
    /// let names = samovar.cache_with_writer(policy, Arc::new(Table));
    /// names.write("42", "Green tea".to_owned()).await?; // durable on this node
    /// assert_eq!(*names.peek("42").expect("it is read from there"), "Green tea");
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn cache_with_writer<V: Value>(
        &self,
        policy: CachePolicy,
        writer: Arc<dyn Writer<V>>,
    ) -> Cache<V> {
        self.cache_of(policy, Some(writer))
    }

    fn cache_of<V: Value>(
        &self,
        policy: CachePolicy,
        writer: Option<Arc<dyn Writer<V>>>,
    ) -> Cache<V> {
        let homeless = policy.homeless(self.inner.writes.has_home());
        for problem in policy.problems().into_iter().chain(homeless) {
            self.inner.counters.say(self.inner.clock.now(), problem.to_string());
        }
        if let Some(max_bytes) = policy.max_bytes {
            self.inner.stack.memory().limit(&policy.name, max_bytes);
        }
        let cache = Cache::new(Arc::clone(&self.inner), policy, writer);
        write::start(&cache);
        cache
    }

    /// Bytes and entries by tier and cache, kept as entries come and go: of memory, and of the disk if there is one.
    /// What Redis holds is for Redis to say: its usage is empty.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Samovar, Settings};
    /// # use samovar_core::TierName;
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// # let names = samovar.cache::<String>(CachePolicy::named("product_names"));
    /// names.get_or_load("42", |_| async { Ok("Tea".to_owned()) }).await?;
    /// let (tier, usage) = &samovar.usage()[0];
    /// assert_eq!((*tier, usage.caches["product_names"].entries), (TierName::Memory, 1));
    /// assert!((1..usage.max_bytes).contains(&usage.total().bytes));
    ///
    /// names.remove("42").await;
    /// assert_eq!(samovar.usage()[0].1.total().entries, 0);
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn usage(&self) -> Vec<(TierName, Usage)> {
        self.inner.stack.usage()
    }

    /// What was counted and said.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Counted, Samovar, Settings};
    /// # use samovar_core::TierName;
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// # let names = samovar.cache::<String>(CachePolicy::named("product_names"));
    /// names.get_or_load("42", |_| async { Ok("Tea".to_owned()) }).await?;
    /// names.get_or_load("42", |_| async { Ok("Tea".to_owned()) }).await?;
    /// let counted = samovar.counters().snapshot();
    /// assert_eq!(counted.count(Counted::Load), 1);
    /// assert_eq!(counted.of("product_names", TierName::Memory).hits, 1);
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// Entries that memory has thrown out for want of room since the start.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Samovar, Settings};
    /// # futures_executor::block_on(async {
    /// let samovar = Samovar::open(Settings { memory_max_bytes: 1 << 20, ..Settings::default() }).await?;
    /// let labels = samovar.cache::<String>(CachePolicy::named("labels"));
    /// for id in 0..100 {
    ///     labels.get_or_load(&id.to_string(), |_| async { Ok("Tea ".repeat(10_000)) }).await?;
    /// }
    /// let held = samovar.usage()[0].1.total().entries;
    /// assert!(held < 27, "they are of 40 kB each");
    /// assert_eq!(samovar.memory_evictions(), 100 - held);
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn memory_evictions(&self) -> u64 {
        self.inner.stack.memory().evictions()
    }

    /// Returns when everything put so far is durable, where it is to be.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Samovar, Settings};
    /// # use samovar_core::{ErrorKind, Part, Stamp};
    /// # let directory = tempfile::tempdir().unwrap();
    /// # futures_executor::block_on(async {
    /// # let data_dir = Some(directory.path().into());
    /// # let settings = Settings { data_dir, ..Settings::default() };
    /// # let samovar = Samovar::open(settings).await?;
    /// # let names = samovar.cache::<String>(CachePolicy::named("product_names"));
    /// # let stamp = Stamp::new(names.token(), samovar.clock().now());
    /// # let parts = [Part { span: None, stamp }].into();
    /// names.put_below("42", "Tea".to_owned(), parts);
    /// samovar.flush().await?; // a crash does not lose it from here on
    /// assert_eq!(samovar.usage()[1].1.caches["product_names"].entries, 1);
    ///
    /// samovar.close().await?;
    /// assert_eq!(samovar.flush().await.unwrap_err().kind(), ErrorKind::Closed);
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Storage`] if writing to disk or Redis failed, also of what was put since the last flush;
    /// [`ErrorKind::Closed`] after [`Samovar::close`], where there is a tier below memory.
    pub async fn flush(&self) -> Result<(), Error> {
        self.inner.stack.flush().await
    }

    /// Drops from disk what the fence refuses, now; otherwise it is done in the background after marks. Returns
    /// the version up to which marks were applied when it began.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Samovar, Settings};
    /// # use samovar_core::{Mode, Part, Scope, Stamp};
    /// # let directory = tempfile::tempdir().unwrap();
    /// # futures_executor::block_on(async {
    /// # let data_dir = Some(directory.path().into());
    /// # let settings = Settings { data_dir, sweep_after: None, ..Settings::default() };
    /// # let samovar = Samovar::open(settings).await?;
    /// # let names = samovar.cache::<String>(CachePolicy::named("product_names"));
    /// # let stamp = Stamp::new(names.token(), samovar.clock().now());
    /// # let parts = [Part { span: None, stamp }].into();
    /// names.put_below("42", "Tea".to_owned(), parts);
    /// samovar.flush().await?;
    /// let scope = Scope::Cache("product_names".into());
    /// let version = samovar.mark(vec![scope], Mode::Remove, "all renamed").await?;
    /// assert_eq!(samovar.usage()[1].1.total().entries, 1, "refused, and still there");
    /// assert_eq!(samovar.sweep().await?, version);
    /// assert_eq!(samovar.usage()[1].1.total().entries, 0);
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Storage`] if the disk fails; [`ErrorKind::Closed`] after [`Samovar::close`], where there is a disk.
    pub async fn sweep(&self) -> Result<Version, Error> {
        let position = self.inner.fence.position();
        self.inner.stack.sweep().await?;
        Ok(position)
    }

    /// Makes everything durable, stops all threads and lets go of the data directory. Afterwards memory still
    /// answers; marks fail, and so do flushes where there is a tier below, with [`ErrorKind::Closed`]. Invalidations
    /// that a shared log has not got yet are given 5 seconds, and then stand in the journal, where there is a data
    /// directory.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Samovar, Settings};
    /// # use samovar_core::{ErrorKind, Mode, Scope};
    /// # let directory = tempfile::tempdir().unwrap();
    /// # futures_executor::block_on(async {
    /// # let data_dir = Some(directory.path().into());
    /// # let settings = Settings { data_dir, ..Settings::default() };
    /// # let samovar = Samovar::open(settings).await?;
    /// # let names = samovar.cache::<String>(CachePolicy::named("product_names"));
    /// names.get_or_load("42", |_| async { Ok("Tea".to_owned()) }).await?;
    /// samovar.close().await?;
    /// assert_eq!(*names.peek("42").expect("memory still answers"), "Tea");
    /// let marked = samovar.mark(vec![Scope::Everything], Mode::Remove, "too late").await;
    /// assert_eq!(marked.unwrap_err().kind(), ErrorKind::Closed);
    /// samovar::clear(directory.path())?; // nobody holds it any more
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The first failure; everything is closed all the same. [`ErrorKind::Storage`] if the disk or a write to Redis
    /// fails or has failed before, [`ErrorKind::Format`] if the log cannot be read any more.
    pub async fn close(&self) -> Result<(), Error> {
        let inner = &self.inner;
        let fence = &inner.fence;
        // Where there is no journal, this is their last chance.
        let may_come = fence.standing() == Standing::Connected || fence.journal().is_none();
        if fence.is_shared() && may_come {
            let _ = select(pin!(fence.rests()), inner.clock.sleep(LAST)).await;
        }
        inner.tasks.close().await;
        if let Some(leases) = &inner.leases {
            // What was loaded under them first.
            for key in leases.held() {
                inner.stack.written(&key).await;
            }
            leases.end().await;
        }
        // Redis has tasks of its own, which write what is queued.
        let tiers = inner.stack.close().await;
        let writes = inner.writes.close().await;
        let log = inner.log.close().await;
        let tail = inner.tail.stop().await;
        let journal = match fence.journal() {
            None => Ok(()),
            Some(journal) => {
                let kept = journal.keep(&fence.all_unsettled()).await;
                kept.and(journal.close().await)
            }
        };
        let outcome = tiers.and(writes).and(log).and(tail).and(journal);
        let outcome = match outcome {
            Ok(()) => self.save().await,
            failed => failed,
        };
        drop(inner.held.lock().take());
        outcome
    }

    /// Puts away what the fence knows, for a start while the log is away.
    async fn save(&self) -> Result<(), Error> {
        let Inner { fence, data_dir, held, .. } = &*self.inner;
        let is_open = held.lock().is_some();
        match (data_dir.clone(), fence.remains()) {
            (Some(directory), Some(remains)) if fence.is_shared() && is_open => {
                off_thread("samovar-save", move || saved::write(&directory, remains)).await
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Samovar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Samovar").field("fence", &self.inner.fence).finish_non_exhaustive()
    }
}
