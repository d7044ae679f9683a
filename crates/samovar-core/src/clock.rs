//! The only place that asks the time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_timer::Delay;
use serde::{Deserialize, Serialize};

use crate::BoxFuture;

/// Wall-clock milliseconds since 1970-01-01T00:00:00Z. Used for lifetimes and labels, never to order events.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Millis(pub i64);

impl Millis {
    /// The time from `earlier` to here; `None` if the clock has gone backwards in between.
    ///
    /// ```
    /// # use samovar_core::Millis;
    /// # use std::time::Duration;
    /// assert_eq!(Millis(1_500).since(Millis(1_000)), Some(Duration::from_millis(500)));
    /// assert_eq!(Millis(1_000).since(Millis(1_500)), None);
    /// ```
    pub fn since(self, earlier: Millis) -> Option<Duration> {
        u64::try_from(self.0.saturating_sub(earlier.0)).ok().map(Duration::from_millis)
    }

    /// This time plus a duration; saturates at the end of time.
    pub fn plus(self, by: Duration) -> Millis {
        Millis(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// Tells the time. One instance is shared by everything in a process, so that a test can hold it still.
pub trait Clock: Send + Sync + 'static {
    /// Wall-clock time, for lifetimes and labels.
    fn now(&self) -> Millis;

    /// Time since some fixed moment in this process; never goes backwards. For measuring how long things take.
    fn elapsed(&self) -> Duration;

    /// Returns once so much time has passed by [`Clock::elapsed`]. Needs no runtime.
    fn sleep(&self, period: Duration) -> BoxFuture<'static, ()>;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose [`Clock::elapsed`] counts from now.
    pub fn new() -> Self {
        SystemClock { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, period: Duration) -> BoxFuture<'static, ()> {
        Box::pin(Delay::new(period))
    }
}
