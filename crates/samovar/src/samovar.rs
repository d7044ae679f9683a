//! One process's cache: log, fence and tiers put together.

use std::fmt;
use std::sync::Arc;

use futures_executor::block_on;
use parking_lot::Mutex;
use samovar_core::{
    Clock, Error, ErrorKind, Judge, Mark, MarkLog, Mode, Scope, Tier, TierName, Usage, Version,
    Writer,
};

use crate::background::{Tasks, off_thread};
use crate::cache::Cache;
use crate::counters::Counters;
use crate::directory::{self, Held};
use crate::fence::{Courier, Fence, LocalLog, Marker, Tail};
use crate::jitter::Jitter;
use crate::lease::Leases;
use crate::policy::{CachePolicy, check};
use crate::settings::{LowerTier, Settings};
use crate::tier::breaker::{Breaker, BreakerOptions};
use crate::tier::stack::Stack;
use crate::tier::{self, DiskOptions, DiskTier, MemoryTier, leave_in_time};
use crate::value::Value;
use crate::write::{self, Writes};

/// A tiered cache: memory, Redis, disk, and the fence that keeps them honest. Cheap to clone; lets go of its data
/// directory when [`Samovar::close`]d, or some time after the last clone is dropped.
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
    /// Opens a cache. On a data directory that holds entries, and with a Redis that may, one mark is appended that
    /// expires everything: what was cached before is served labelled as stale until it is read again.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the settings cannot be ([`crate::check`]), [`ErrorKind::Held`] if another process holds
    /// the directory, [`ErrorKind::Format`] if it or a file in it is of a newer format or not ours,
    /// [`ErrorKind::Storage`] if the disk fails.
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
        let (held, log, fence, disk, founded, writes) =
            off_thread("samovar-open", move || open_parts(chosen, &said)).await?;
        // What Redis holds nobody knows; what stands there by this log was read before. A log that is shared has been
        // told all the while what happened.
        let restarted = !fence.is_shared()
            && (disk.as_ref().is_some_and(|disk| disk.usage().total().entries > 0)
                || (redis.is_some() && !founded));
        let clock = Arc::clone(&settings.clock);
        let marker = Arc::new(Marker::new(Arc::clone(&clock))?);
        let jitter = settings.seed.map_or_else(Jitter::random, |seed| Ok(Jitter::new(seed)))?;
        let jitter = Arc::new(jitter);
        let tail = Tail::start(Arc::clone(&log), fence.clone(), Arc::clone(&marker))?;
        let (of, to) = (fence.clone(), Arc::clone(&log));
        let courier = Courier::start(of, to, tasks.clone(), clock, Arc::clone(&jitter));
        let memory = Arc::new(MemoryTier::new(settings.memory_max_bytes));
        let leaving = leave_in_time(Arc::downgrade(&memory), Arc::clone(&settings.clock));
        tasks.spawn(leaving);
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
            held: Mutex::new(held),
        };
        let samovar = Samovar { inner: Arc::new(inner) };
        if restarted {
            samovar.mark(vec![Scope::Everything], Mode::Expire, "restart").await?;
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
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// The marks applied here, and the question that every read asks.
    pub fn fence(&self) -> &Fence {
        &self.inner.fence
    }

    /// A named cache. The same name and prefix give the same entries, whatever else the policy says; of several
    /// [`CachePolicy::max_bytes`] the smallest holds. Flights and throttles are shared by clones alone.
    ///
    /// What is wrong with the policy ([`CachePolicy::problems`]) is said as notices, and held to what is allowed.
    pub fn cache<V: Value>(&self, policy: CachePolicy) -> Cache<V> {
        self.cache_of(policy, None)
    }

    /// The same, with who writes to its source: what [`Cache::write`] does then is the policy's
    /// [`crate::Strategy`]. What was acknowledged under write-back before, also before a restart, is brought to the source
    /// from here on; of several writers for one name, by the first.
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
    /// let written = names.write("42", "Green tea".to_owned()).await?; // durable on this node
    /// assert_eq!(*names.peek("42").expect("it is read from there").value, "Green tea");
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

    /// Invalidates what the scopes cover. Acts on this process before the first `await`; returns when the marks
    /// are durable and applied with their numbers. No read that begins after that, or after a restart,
    /// is given what was read before (`Remove`), or only with a label (`Expire`).
    ///
    /// To be called after the source has committed the change: what is loaded between a mark and a later commit
    /// is old and is kept. If the future is dropped the marks stand all the same.
    ///
    /// # Errors
    /// If the log fails: whether the marks are durable is then not known. They stay in force in this process.
    pub async fn mark(
        &self,
        scopes: Vec<Scope>,
        mode: Mode,
        reason: &str,
    ) -> Result<Version, Error> {
        if scopes.is_empty() {
            return Ok(self.inner.fence.position());
        }
        let reason = Arc::<str>::from(reason);
        let mark = |scope| self.inner.marker.mark(scope, mode, &reason);
        let marks: Vec<Mark> = scopes.into_iter().map(mark).collect();
        let inner = &self.inner;
        let (accepted, handed) = {
            let _order = inner.accepting.lock();
            (inner.fence.accept(&marks), inner.courier.hand_over(marks))
        };
        let version = handed.answered().await?;
        accepted.applied().await?;
        // A log that lost them after its answer has given them other numbers since.
        let fence = &inner.fence;
        Ok(if Judge::holds(fence, version) { version } else { fence.position() })
    }

    /// Bytes and entries by tier and cache, kept as entries come and go.
    pub fn usage(&self) -> Vec<(TierName, Usage)> {
        self.inner.stack.usage()
    }

    /// What was counted and said.
    pub fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// Entries that memory has thrown out for want of room since the start.
    pub fn memory_evictions(&self) -> u64 {
        self.inner.stack.memory().evictions()
    }

    /// Returns when everything put so far is durable, where it is to be.
    ///
    /// # Errors
    /// If writing failed, also of what was put since the last flush.
    pub async fn flush(&self) -> Result<(), Error> {
        self.inner.stack.flush().await
    }

    /// Drops from disk what the fence refuses, now; otherwise it is done in the background after marks. Returns
    /// the version up to which marks were applied when it began.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn sweep(&self) -> Result<Version, Error> {
        let position = self.inner.fence.position();
        self.inner.stack.sweep().await?;
        Ok(position)
    }

    /// Makes everything durable, stops all threads and lets go of the data directory. Afterwards memory still
    /// answers; marks and flushes fail.
    ///
    /// # Errors
    /// The first failure; everything is closed all the same.
    pub async fn close(&self) -> Result<(), Error> {
        self.inner.tasks.close().await;
        if let Some(leases) = &self.inner.leases {
            // What was loaded under them first.
            for key in leases.held() {
                self.inner.stack.written(&key).await;
            }
            leases.end().await;
        }
        // Redis has tasks of its own, which write what is queued.
        let tiers = self.inner.stack.close().await;
        let writes = self.inner.writes.close().await;
        let log = self.inner.log.close().await;
        let tail = self.inner.tail.stop().await;
        drop(self.inner.held.lock().take());
        tiers.and(writes).and(log).and(tail)
    }
}

/// Redis, if there is to be one: left alone while it is out of order, from the start if it must be.
fn open_redis(
    settings: &Settings,
    counters: &Arc<Counters>,
    tasks: &Tasks,
) -> Result<Option<(LowerTier, Leases)>, Error> {
    let Settings { redis: Some(redis), clock, .. } = settings else { return Ok(None) };
    let (tier, shared) = tier::redis::open(redis, clock, counters, tasks.apart())?;
    let options = BreakerOptions {
        failures_max: redis.failures_max,
        slow: redis.slow,
        retry_min: redis.retry_min,
        retry_max: redis.retry_max,
    };
    let (clock, counters) = (Arc::clone(clock), Arc::clone(counters));
    let tier = Breaker::around(tier, options, Arc::clone(&clock), counters, tasks.apart())?;
    let leases = Leases::new(shared, clock, tier.health(), tasks.clone());
    Ok(Some((Arc::new(tier), leases)))
}

/// Hold, log, fence, the disk, whether the log is new, and what is to be written. Blocks.
type Parts = (Option<Held>, Arc<dyn MarkLog>, Fence, Option<LowerTier>, bool, Writes);

fn open_parts(settings: Settings, counters: &Arc<Counters>) -> Result<Parts, Error> {
    let Settings { data_dir, clock, log, lower, marks_max, .. } = settings;
    let held = data_dir.as_deref().map(directory::hold).transpose()?;
    let mut founded = false;
    let log: Arc<dyn MarkLog> = match (log, &data_dir) {
        (Some(log), _) => log,
        (None, None) => {
            founded = true;
            Arc::new(LocalLog::volatile(marks_max)?)
        }
        (None, Some(directory)) => {
            founded = !LocalLog::is_in(directory);
            let (log, notice) = LocalLog::open(directory, marks_max)?;
            if let Some(notice) = notice {
                counters.say(clock.now(), notice);
            }
            Arc::new(log)
        }
    };
    let open = || {
        let snapshot = block_on(log.snapshot())?;
        let fence = Fence::new(&snapshot, Arc::clone(&clock), marks_max)?;
        let judge: Arc<dyn Judge> = Arc::new(fence.clone());
        let disk = match &data_dir {
            None => None,
            Some(directory) => {
                let options = DiskOptions {
                    max_bytes: settings.disk_max_bytes,
                    sweep_after: settings.sweep_after,
                    ..DiskOptions::default()
                };
                let (judge, said) = (Arc::clone(&judge), Arc::clone(counters));
                let tier = DiskTier::open(directory, options, judge, Arc::clone(&clock), said)?;
                if founded && tier.usage().total().entries > 0 {
                    let text = "the mark log was not there and has been founded anew: what lies on disk \
                                is not served";
                    counters.say(clock.now(), text);
                }
                Some(Arc::new(tier) as LowerTier)
            }
        };
        let disk = match lower {
            None => disk,
            Some(wrap) => wrap(disk, judge)?,
        };
        let (directory, max_bytes) = (data_dir.as_deref(), settings.journal_max_bytes);
        let (writes, notices) = Writes::open(directory, max_bytes, Arc::clone(&clock))?;
        notices.into_iter().for_each(|said| counters.say(clock.now(), said));
        Ok((fence, disk, writes))
    };
    match open() {
        Ok((fence, disk, writes)) => Ok((held, log, fence, disk, founded, writes)),
        Err(error) => {
            // So that who tries again does not find its file still held.
            let _ = block_on(log.close());
            Err(error)
        }
    }
}

impl fmt::Debug for Samovar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Samovar").field("fence", &self.inner.fence).finish_non_exhaustive()
    }
}
