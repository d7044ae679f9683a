//! Whether this node hears what others invalidate: its lease on the log's server.
//!
//! A lease is renewed by a write on that server and counts from before it was sent. It is taken only once all that the
//! log held then has been applied here: so what is served as fresh accords with the log as it was at most one lease ago.
//! It ends by a clock that goes on while the machine sleeps, and nothing has to run for it to end: who reads compares.
//!
//! The hit path compares the wall clock, which it has at hand, with one number. When that is reached, or when the wall
//! clock was put back and the keeper finds the lease over, no entry counts as looked at already: each is looked at once
//! more, and is labelled there.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use samovar_core::{Clock, MarkLog, Millis, Tick, Version};

use super::Fence;
use crate::counters::{Counted, Counters};

/// Whether a node hears what others invalidate.
///
/// They ascend: whoever stands at more than [`Standing::Connected`] serves nothing as fresh.
///
/// ```
/// # use samovar::fence::Standing;
/// # use samovar::{Samovar, Settings};
/// # futures_executor::block_on(async {
/// let samovar = Samovar::open(Settings::default()).await?;
/// let standing = samovar.fence().standing();
/// assert_eq!(standing, Standing::Connected, "a log of its own cannot be away");
/// assert!(standing < Standing::CutOff && Standing::CutOff < Standing::Blind);
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Standing {
    /// What is served as fresh accords with the log as it was at most one lease ago. A log of its own cannot be away.
    #[default]
    Connected,
    /// The lease is over: others may invalidate what this node does not hear of. What it serves is labelled as stale.
    CutOff,
    /// For so long that nothing cached is served any more: every read goes to the source.
    Blind,
}

/// A lease that may end.
pub(super) struct Watch {
    /// When it does, by [`Clock::since_boot`], in milliseconds.
    until: AtomicU64,
    /// So long it was over when this process began, in milliseconds; until there is another.
    over: AtomicU64,
    max_blind: Duration,
}

impl Watch {
    fn was_over(&self) -> Duration {
        Duration::from_millis(self.over.load(Ordering::Acquire))
    }

    /// So long after the end of the lease what is cached is served.
    fn may_be_blind(&self) -> Duration {
        self.max_blind.saturating_sub(self.was_over())
    }
}

impl Fence {
    /// Whether this node hears what others invalidate.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use std::time::Duration;
    /// # use samovar::fence::{LocalLog, Standing};
    /// # use samovar::{Samovar, Settings};
    /// # use samovar_core::{BoxFuture, Error, History, Mark, MarkLog, Millis, Next, Snapshot, Version};
    /// # use samovar_testkit::clock::FakeClock;
    /// # struct Leasing(LocalLog);
    /// # impl MarkLog for Leasing {
    /// #     fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, Error>> {
    /// #         self.0.snapshot()
    /// #     }
    /// #     fn append(
    /// #         &self,
    /// #         marks: Vec<Mark>,
    /// #         head: Option<Version>,
    /// #     ) -> BoxFuture<'static, Result<Option<Version>, Error>> {
    /// #         self.0.append(marks, head)
    /// #     }
    /// #     fn next<'a>(&'a self, history: &'a History, after: u64) -> BoxFuture<'a, Result<Next, Error>> {
    /// #         self.0.next(history, after)
    /// #     }
    /// #     fn lease(&self) -> Option<Duration> {
    /// #         Some(Duration::from_secs(5))
    /// #     }
    /// #     fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
    /// #         self.0.close()
    /// #     }
    /// # }
    /// # futures_executor::block_on(async {
    /// # let clock = FakeClock::at(Millis(1_790_000_000_000));
    /// # let log: Option<Arc<dyn MarkLog>> = Some(Arc::new(Leasing(LocalLog::volatile(100_000)?)));
    /// // `log` gives leases of five seconds, and then goes out of reach.
    /// let max_blind = Duration::from_secs(600);
    /// let settings = Settings { log, clock: clock.clone(), max_blind, ..Settings::default() };
    /// let samovar = Samovar::open(settings).await?;
    /// assert_eq!(samovar.fence().standing(), Standing::Connected);
    /// clock.advance(Duration::from_secs(5));
    /// assert_eq!(samovar.fence().standing(), Standing::CutOff, "what it serves is labelled as stale");
    /// clock.advance(Duration::from_secs(600));
    /// assert_eq!(samovar.fence().standing(), Standing::Blind, "it serves nothing from its caches");
    /// # Ok::<(), Error>(())
    /// # }).unwrap();
    /// ```
    pub fn standing(&self) -> Standing {
        let Some(watch) = self.inner.watch.get() else { return Standing::Connected };
        let until = Duration::from_millis(watch.until.load(Ordering::Acquire));
        match self.inner.clock.since_boot() {
            now if now < until => Standing::Connected,
            now if now < until.saturating_add(watch.may_be_blind()) => Standing::CutOff,
            _ => Standing::Blind,
        }
    }

    /// As [`Fence::tick`], for who is about to serve something now by what was found out before: once the lease has
    /// ended, no tick to which anything is known to be clean suffices.
    #[inline]
    pub(crate) fn tick_at(&self, now: Millis) -> Tick {
        match now.0 < self.inner.connected_until.load(Ordering::Relaxed) {
            true => self.tick(),
            false => self.tick_beyond(),
        }
    }

    #[cold]
    fn tick_beyond(&self) -> Tick {
        let standing = self.standing();
        if standing != self.inner.state.read().standing || standing == Standing::Connected {
            self.note_standing();
        }
        match standing {
            Standing::Connected => self.tick(),
            Standing::CutOff | Standing::Blind => Tick(u64::MAX),
        }
    }

    /// From now on there is a lease, until then by [`Clock::since_boot`]. If what is known is from a process before, the
    /// lease was `over` for so long when this one began.
    pub(crate) fn watch(&self, until: Duration, over: Duration, max_blind: Duration) {
        let [until, over] = [until, over].map(|time| AtomicU64::new(millis(time)));
        let watch = Watch { until, over, max_blind };
        // It is called once, by who has made the fence.
        let _ = self.inner.watch.set(watch);
        self.note_standing();
    }

    /// The lease holds until then, at least.
    pub(crate) fn extend_lease(&self, until: Duration) {
        if let Some(watch) = self.inner.watch.get() {
            watch.until.fetch_max(millis(until), Ordering::AcqRel);
            watch.over.store(0, Ordering::Release);
            self.note_standing();
        }
    }

    /// When this node last knew, by the wall clock, that it hears what others invalidate.
    pub(crate) fn last_connected(&self) -> Millis {
        let now = self.inner.clock.now();
        let Some(watch) = self.inner.watch.get() else { return now };
        let until = Duration::from_millis(watch.until.load(Ordering::Acquire));
        let over = self.inner.clock.since_boot().saturating_sub(until);
        let over = over.saturating_add(watch.was_over());
        Millis(now.0.saturating_sub(i64::try_from(over.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Raises the tick if the standing is another than it was: who keeps something as of a tick finds that out too.
    fn note_standing(&self) -> Standing {
        let Some(watch) = self.inner.watch.get() else { return Standing::Connected };
        let mut state = self.inner.state.write();
        let standing = self.standing();
        if state.standing != standing {
            state.standing = standing;
            state.remember(None);
            self.inner.tick.store(self.tick().next().0, Ordering::Release);
        }
        let until = match standing {
            Standing::Connected => {
                let until = Duration::from_millis(watch.until.load(Ordering::Acquire));
                let left = until.saturating_sub(self.inner.clock.since_boot());
                self.inner.clock.now().plus(left.max(Duration::from_millis(1)))
            }
            // Every read looks closer.
            Standing::CutOff | Standing::Blind => Millis(i64::MIN),
        };
        self.inner.connected_until.store(until.0, Ordering::Relaxed);
        standing
    }

    /// Whether all up to a version has been applied here.
    pub(super) fn has_applied(&self, version: Version) -> bool {
        let state = self.inner.state.read();
        state.history.holds(version) && version.seq <= state.seq
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A log without leases is asked so often whether it is there.
const ONCE_EVERY: Duration = Duration::from_millis(200);
/// So long what a renewal of one saw may take to be applied here.
const OF_USE: Duration = Duration::from_secs(5);
/// Renewals that wait for what they saw to be applied here.
const WAITING: usize = 16;

/// Renews a lease for as long as it is polled, and says when it ends and when it holds again. Where there are none, it
/// asks until the log is reached once, if it was away at the start.
pub(crate) async fn keep_lease(
    fence: Fence,
    log: Arc<dyn MarkLog>,
    counters: Arc<Counters>,
    clock: Arc<dyn Clock>,
) {
    let is_once = log.lease().is_none();
    if is_once && fence.standing() == Standing::Connected {
        return;
    }
    let every = log.lease().map_or(ONCE_EVERY, |lease| (lease / 5).max(Duration::from_millis(10)));
    let (lease, of_use) = log.lease().map_or((Duration::MAX, OF_USE), |lease| (lease, lease));
    let mut waiting: VecDeque<(Duration, Version)> = VecDeque::new();
    let mut last = Standing::Connected;
    while !(is_once && fence.standing() == Standing::Connected) {
        let began = clock.since_boot();
        if let Ok(head) = log.renew().await
            && waiting.len() < WAITING
        {
            waiting.push_back((began, head));
        }
        // One that is too old to be of use may lie on what the log has lost: it is never applied.
        waiting.retain(|(began, _)| clock.since_boot() < began.saturating_add(of_use));
        let applied = waiting.iter().rposition(|(_, head)| fence.has_applied(*head));
        if let Some(applied) = applied {
            let (began, head) = waiting[applied];
            waiting.drain(..=applied);
            fence.confirm(head);
            fence.extend_lease(began.saturating_add(lease));
        }
        let standing = fence.note_standing();
        if std::mem::replace(&mut last, standing) != standing {
            let text = match standing {
                Standing::Connected => "the shared log is in reach: what is served is fresh again",
                Standing::CutOff => {
                    counters.count(Counted::CutOff, 1);
                    "the shared log is out of reach: what is served from caches is labelled as stale"
                }
                Standing::Blind => {
                    "the shared log has been out of reach for max_blind: nothing is served from caches"
                }
            };
            counters.say(clock.now(), text);
        }
        clock.sleep(every).await;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;
    use parking_lot::Mutex;
    use samovar_core::{BoxFuture, Epoch, Error, ErrorKind, History, Mark, Next, Snapshot};
    use samovar_testkit::clock::FakeClock;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn made() -> (Arc<FakeClock>, Fence) {
        let clock = FakeClock::at(Millis(1_000_000));
        let head = Version { epoch: Epoch(1), seq: 0 };
        let history = History(vec![(Epoch(1), 0)]);
        let log = Snapshot { history, marks: Vec::new(), head, shared: true };
        let fence = Fence::new(&log, Arc::clone(&clock) as Arc<dyn Clock>, 10).unwrap();
        (clock, fence)
    }

    fn watched() -> (Arc<FakeClock>, Fence) {
        let (clock, fence) = made();
        fence.watch(5 * SECOND, Duration::ZERO, 60 * SECOND);
        (clock, fence)
    }

    /// Whether something that was found clean a moment ago is served without another look.
    fn suffices(clock: &FakeClock, fence: &Fence) -> bool {
        fence.tick() >= fence.tick_at(clock.now())
    }

    #[test]
    fn a_lease_ends_although_nothing_runs_and_the_machine_sleeps() {
        let (clock, fence) = watched();
        assert!(suffices(&clock, &fence));
        clock.advance(4 * SECOND);
        assert!(suffices(&clock, &fence));
        clock.suspend(SECOND);
        assert!(!suffices(&clock, &fence) && fence.standing() == Standing::CutOff);
        clock.suspend(60 * SECOND);
        assert_eq!(fence.standing(), Standing::Blind);
        fence.extend_lease(clock.since_boot() + SECOND);
        assert!(suffices(&clock, &fence) && fence.standing() == Standing::Connected);
        // Of two renewals the later counts.
        fence.extend_lease(SECOND);
        assert_eq!(fence.standing(), Standing::Connected);
    }

    #[test]
    fn a_change_is_told_to_who_keeps_something_as_of_a_tick() {
        let (clock, fence) = watched();
        let before = fence.tick();
        clock.advance(5 * SECOND);
        assert!(!suffices(&clock, &fence));
        let cut_off = fence.tick();
        assert!(cut_off > before);
        assert!(!suffices(&clock, &fence));
        assert_eq!(fence.tick(), cut_off, "once");
        assert!(!fence.acted_since(before, |_| true), "no mark has acted");
        fence.extend_lease(clock.since_boot() + SECOND);
        assert!(fence.tick() > cut_off);
    }

    /// A log without leases that is asked for its head alone.
    struct Headed(Mutex<Version>);

    fn not_asked<T: Send + 'static>() -> BoxFuture<'static, Result<T, Error>> {
        Box::pin(std::future::ready(Err(Error::new(ErrorKind::Away, "it is not asked for this"))))
    }

    impl MarkLog for Headed {
        fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, Error>> {
            not_asked()
        }

        fn append(
            &self,
            _: Vec<Mark>,
            _: Option<Version>,
        ) -> BoxFuture<'static, Result<Option<Version>, Error>> {
            not_asked()
        }

        fn next<'a>(&'a self, _: &'a History, _: u64) -> BoxFuture<'a, Result<Next, Error>> {
            not_asked()
        }

        fn renew(&self) -> BoxFuture<'_, Result<Version, Error>> {
            Box::pin(std::future::ready(Ok(*self.0.lock())))
        }
    }

    #[test]
    fn heads_that_a_log_without_leases_has_lost_are_waited_for_no_longer_than_they_are_of_use() {
        let (clock, fence) = made();
        fence.watch(Duration::ZERO, Duration::ZERO, 60 * SECOND);
        let log = Arc::new(Headed(Mutex::new(Version { epoch: Epoch(7), seq: 3 })));
        let (of, to, at) = (fence.clone(), Arc::clone(&log), Arc::clone(&clock));
        let mut keeping = pin!(keep_lease(of, to, Arc::default(), at));
        for _ in 0..=WAITING {
            assert!(keeping.as_mut().now_or_never().is_none());
            clock.advance(ONCE_EVERY);
        }
        *log.0.lock() = fence.position();
        let end = clock.since_boot() + OF_USE;
        while clock.since_boot() < end && keeping.as_mut().now_or_never().is_none() {
            clock.advance(ONCE_EVERY);
        }
        assert_eq!(fence.standing(), Standing::Connected);
    }

    #[test]
    fn a_wall_clock_that_is_set_misleads_nobody() {
        let (clock, fence) = watched();
        // Forwards: it is found out that the lease holds.
        clock.set(Millis(2_000_000));
        assert!(suffices(&clock, &fence) && fence.standing() == Standing::Connected);
        // Back, and the lease ends: whoever keeps it finds that out.
        clock.set(Millis(0));
        clock.advance(5 * SECOND);
        assert_eq!(fence.note_standing(), Standing::CutOff);
        assert!(!suffices(&clock, &fence));
    }
}
