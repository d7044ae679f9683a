//! A clock that stands still until it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use futures_channel::oneshot;
use parking_lot::Mutex;
use samovar_core::{BoxFuture, Clock, Millis};

/// A clock set by hand. Who sleeps by it wakes when it is advanced.
///
/// ```
/// # use samovar_core::{Clock, Millis};
/// # use samovar_testkit::clock::FakeClock;
/// # use std::time::Duration;
/// let clock = FakeClock::at(Millis(1_000));
/// clock.advance(Duration::from_secs(2));
/// assert_eq!(clock.now(), Millis(3_000));
/// clock.set(Millis(500)); // as when the wall clock is put back
/// assert_eq!((clock.now(), clock.elapsed()), (Millis(500), Duration::from_secs(2)));
/// ```
#[derive(Debug)]
pub struct FakeClock {
    now: AtomicI64,
    elapsed: AtomicU64,
    /// What passed while the machine slept.
    slept: AtomicU64,
    /// Who sleeps, and until when by `elapsed`.
    sleepers: Mutex<Vec<(u64, oneshot::Sender<()>)>>,
}

impl FakeClock {
    /// A clock at this time.
    ///
    /// ```
    /// # use samovar_core::{Clock, Millis};
    /// # use samovar_testkit::clock::FakeClock;
    /// # use std::time::Duration;
    /// let clock = FakeClock::at(Millis(1_790_000_000_000));
    /// assert_eq!(clock.now(), Millis(1_790_000_000_000));
    /// assert_eq!((clock.elapsed(), clock.since_boot()), (Duration::ZERO, Duration::ZERO));
    /// ```
    pub fn at(now: Millis) -> Arc<FakeClock> {
        Arc::new(FakeClock {
            now: AtomicI64::new(now.0),
            elapsed: AtomicU64::new(0),
            slept: AtomicU64::new(0),
            sleepers: Mutex::default(),
        })
    }

    /// Lets time pass.
    ///
    /// ```
    /// # use samovar_core::{Clock, Millis};
    /// # use samovar_testkit::clock::FakeClock;
    /// # use std::time::Duration;
    /// let clock = FakeClock::at(Millis(0));
    /// clock.advance(Duration::from_millis(1_500));
    /// assert_eq!((clock.now(), clock.elapsed()), (Millis(1_500), Duration::from_millis(1_500)));
    /// ```
    pub fn advance(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.now.fetch_add(i64::try_from(millis).unwrap_or(i64::MAX), Ordering::SeqCst);
        let woken: Vec<_> = {
            let mut sleepers = self.sleepers.lock();
            let elapsed = self.elapsed.fetch_add(millis, Ordering::SeqCst).saturating_add(millis);
            sleepers.extract_if(.., |(until, _)| *until <= elapsed).collect()
        };
        for (_, sleeper) in woken {
            let _ = sleeper.send(());
        }
    }

    /// How many sleep by this clock now. A test that wants somebody to time out waits for that before it lets time
    /// pass.
    ///
    /// ```
    /// # use samovar_core::{Clock, Millis};
    /// # use samovar_testkit::clock::FakeClock;
    /// # use std::time::Duration;
    /// let clock = FakeClock::at(Millis(0));
    /// let nap = clock.sleep(Duration::from_secs(1));
    /// assert_eq!(clock.sleepers(), 1);
    /// clock.advance(Duration::from_secs(1));
    /// assert_eq!(clock.sleepers(), 0);
    /// futures_executor::block_on(nap);
    /// ```
    pub fn sleepers(&self) -> usize {
        let mut sleepers = self.sleepers.lock();
        sleepers.retain(|(_, sleeper)| !sleeper.is_canceled());
        sleepers.len()
    }

    /// Lets the machine sleep for so long: nobody wakes by it, and only the wall clock and [`Clock::since_boot`] go on.
    ///
    /// ```
    /// # use samovar_core::{Clock, Millis};
    /// # use samovar_testkit::clock::FakeClock;
    /// # use std::time::Duration;
    /// let clock = FakeClock::at(Millis(0));
    /// let _nap = clock.sleep(Duration::from_secs(1));
    /// clock.suspend(Duration::from_secs(60));
    /// assert_eq!(clock.sleepers(), 1, "who sleeps by the clock sleeps on");
    /// assert_eq!((clock.now(), clock.since_boot()), (Millis(60_000), Duration::from_secs(60)));
    /// assert_eq!(clock.elapsed(), Duration::ZERO);
    /// ```
    pub fn suspend(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.slept.fetch_add(millis, Ordering::SeqCst);
        self.now.fetch_add(i64::try_from(millis).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Sets the wall clock, forwards or back; no time passes.
    ///
    /// ```
    /// # use samovar_core::{Clock, Millis};
    /// # use samovar_testkit::clock::FakeClock;
    /// # use std::time::Duration;
    /// let clock = FakeClock::at(Millis(10_000));
    /// clock.set(Millis(4_000)); // put back by six seconds
    /// assert_eq!((clock.now(), clock.elapsed()), (Millis(4_000), Duration::ZERO));
    /// ```
    pub fn set(&self, now: Millis) {
        self.now.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Millis {
        Millis(self.now.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.elapsed.load(Ordering::SeqCst))
    }

    fn since_boot(&self) -> Duration {
        self.elapsed() + Duration::from_millis(self.slept.load(Ordering::SeqCst))
    }

    fn sleep(&self, period: Duration) -> BoxFuture<'static, ()> {
        let (wake, woken) = oneshot::channel();
        let mut sleepers = self.sleepers.lock();
        // Read under the lock, so that no advance falls between this and the bed.
        let elapsed = self.elapsed.load(Ordering::SeqCst);
        // A part of a millisecond counts as one: nobody wakes too early.
        let millis = u64::try_from(period.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        if millis > 0 {
            sleepers.push((elapsed.saturating_add(millis), wake));
        }
        Box::pin(async {
            let _ = woken.await;
        })
    }
}
