//! One process's cache: log, fence and tiers put together.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_channel::oneshot;
use futures_executor::block_on;
use futures_util::future::{Either, select};
use parking_lot::Mutex;
use samovar_core::{
    Clock, Error, ErrorKind, Judge, Mark, MarkId, MarkLog, Mode, Scope, Tier, TierName, Usage,
    Version,
};

use crate::background::{Tasks, Worker, off_thread};
use crate::cache::Cache;
use crate::counters::Counters;
use crate::directory::{self, Held};
use crate::fence::{Fence, LocalLog};
use crate::settings::{CachePolicy, LowerTier, Settings};
use crate::tier::stack::Stack;
use crate::tier::{DiskOptions, DiskTier, MemoryTier, Rule, leave_in_time};
use crate::value::Value;

/// A tiered cache: memory, disk, and the fence that keeps both honest. Cheap to clone; lets go of its data
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
    pub(crate) jitter: Jitter,
    log: Arc<dyn MarkLog>,
    /// Held while marks are accepted and handed to the log, so that they get their ticks and their numbers
    /// in one order.
    accepting: Mutex<()>,
    ids: MarkIds,
    /// What goes on although nobody waits for it.
    pub(crate) tasks: Tasks,
    tail: Tail,
    /// Last: let go of after everything above.
    held: Mutex<Option<Held>>,
}

impl Samovar {
    /// Opens a cache. On a data directory that holds entries one mark is appended that expires everything: what
    /// was cached before is served labelled as stale until it is read again.
    ///
    /// # Errors
    /// [`ErrorKind::Held`] if another process holds the directory, [`ErrorKind::Format`] if it or a file in
    /// it is of a newer format or not ours, [`ErrorKind::Storage`] if the disk fails.
    pub async fn open(settings: Settings) -> Result<Samovar, Error> {
        // In the caller's context, before anything goes to another thread.
        let background = Tasks::new()?;
        let counters = Arc::new(Counters::default());
        let said = Arc::clone(&counters);
        let chosen = settings.clone();
        let (held, log, fence, disk) =
            off_thread("samovar-open", move || open_parts(chosen, &said)).await?;
        let restarted = disk.as_ref().is_some_and(|disk| disk.usage().total().entries > 0);
        let tail = Tail::start(Arc::clone(&log), fence.clone())?;
        let memory = Arc::new(MemoryTier::new(settings.memory_max_bytes));
        background.spawn(leave_in_time(Arc::downgrade(&memory), Arc::clone(&settings.clock)));
        let inner = Inner {
            clock: settings.clock,
            fence,
            stack: Stack::new(memory, disk.into_iter().collect()),
            counters,
            jitter: Jitter::new(settings.seed),
            log,
            accepting: Mutex::new(()),
            ids: MarkIds::new()?,
            tasks: background,
            tail,
            held: Mutex::new(held),
        };
        let samovar = Samovar { inner: Arc::new(inner) };
        if restarted {
            samovar.mark(vec![Scope::Everything], Mode::Expire, "restart").await?;
        }
        Ok(samovar)
    }

    /// What tells the time here.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// The marks applied here, and the question that every read asks.
    pub fn fence(&self) -> &Fence {
        &self.inner.fence
    }

    /// A named cache. The same name gives the same entries, whatever the policy; of several
    /// [`CachePolicy::max_bytes`] the smallest holds.
    pub fn cache<V: Value>(&self, policy: CachePolicy) -> Cache<V> {
        let rule = Rule { max_bytes: policy.max_bytes, ..Rule::default() };
        self.inner.stack.memory().rule(&policy.name, rule);
        Cache::new(Arc::clone(&self.inner), policy)
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
        let (at, reason) = (self.inner.clock.now(), Arc::<str>::from(reason));
        let marks: Vec<Mark> = scopes
            .into_iter()
            .map(|scope| Mark {
                id: self.inner.ids.next(),
                scope,
                mode,
                at,
                reason: Arc::clone(&reason),
            })
            .collect();
        let durable = {
            let _order = self.inner.accepting.lock();
            self.inner.fence.accept(&marks);
            self.inner.log.append(marks)
        };
        let version = durable.await?;
        self.inner.fence.applied(version.seq).await?;
        Ok(version)
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
        let tiers = self.inner.stack.close().await;
        let log = self.inner.log.close().await;
        let tail = self.inner.tail.stop().await;
        drop(self.inner.held.lock().take());
        tiers.and(log).and(tail)
    }
}

/// Hold, log, fence and the tier below memory. Blocks.
type Parts = (Option<Held>, Arc<dyn MarkLog>, Fence, Option<LowerTier>);

fn open_parts(settings: Settings, counters: &Arc<Counters>) -> Result<Parts, Error> {
    let Settings { data_dir, clock, log, lower, marks_max, .. } = settings;
    let held = data_dir.as_deref().map(directory::hold).transpose()?;
    let mut founded = false;
    let log: Arc<dyn MarkLog> = match (log, &data_dir) {
        (Some(log), _) => log,
        (None, None) => Arc::new(LocalLog::volatile(marks_max)?),
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
        Ok((fence, disk))
    };
    match open() {
        Ok((fence, disk)) => Ok((held, log, fence, disk)),
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

/// The thread that applies what the log yields, in order.
struct Tail {
    stop: Mutex<Option<oneshot::Sender<()>>>,
    worker: Worker,
}

impl Tail {
    fn start(log: Arc<dyn MarkLog>, fence: Fence) -> Result<Tail, Error> {
        let (stop, mut stopped) = oneshot::channel::<()>();
        let last = fence.clone();
        let follow = async move {
            loop {
                let next = log.tail(fence.position().seq);
                match select(next, &mut stopped).await {
                    Either::Left((marks, _)) => fence.apply(&marks?)?,
                    // Told to stop, or the owner is gone.
                    Either::Right(_) => return Ok(()),
                }
            }
        };
        let worker =
            Worker::spawn("samovar-tail", move || block_on(follow), move |error| last.fail(error))?;
        Ok(Tail { stop: Mutex::new(Some(stop)), worker })
    }

    async fn stop(&self) -> Result<(), Error> {
        drop(self.stop.lock().take());
        self.worker.ended().await
    }
}

/// Names for marks: random at the start, then counted.
struct MarkIds {
    first: u128,
    next: AtomicU64,
}

impl MarkIds {
    fn new() -> Result<MarkIds, Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|e| {
            Error::new(ErrorKind::Storage, "the system gives no random numbers").because(e)
        })?;
        Ok(MarkIds { first: u128::from_le_bytes(bytes), next: AtomicU64::new(0) })
    }

    fn next(&self) -> MarkId {
        MarkId(self.first.wrapping_add(u128::from(self.next.fetch_add(1, Ordering::Relaxed))))
    }
}

/// A sequence of numbers evenly spread between −1 and 1 (SplitMix64).
pub(crate) struct Jitter(AtomicU64);

impl Jitter {
    fn new(seed: u64) -> Jitter {
        Jitter(AtomicU64::new(seed))
    }

    pub(crate) fn next(&self) -> f64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_even_and_bounded() {
        let jitter = Jitter::new(7);
        let draws: Vec<f64> = (0..10_000).map(|_| jitter.next()).collect();
        assert!(draws.iter().all(|x| (-1.0..1.0).contains(x)));
        let mean = draws.iter().sum::<f64>() / 10_000.0;
        assert!(mean.abs() < 0.03, "{mean}");
    }
}
