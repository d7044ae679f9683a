//! A clock that stands still until it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use samovar_core::{Clock, Millis};

/// A clock set by hand.
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
}

impl FakeClock {
    /// A clock at this time.
    pub fn at(now: Millis) -> Arc<FakeClock> {
        Arc::new(FakeClock { now: AtomicI64::new(now.0), elapsed: AtomicU64::new(0) })
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.now.fetch_add(i64::try_from(millis).unwrap_or(i64::MAX), Ordering::SeqCst);
        self.elapsed.fetch_add(millis, Ordering::SeqCst);
    }

    /// Sets the wall clock, forwards or back; no time passes.
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
}
