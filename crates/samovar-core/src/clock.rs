//! The only place that asks the time.

use std::time::{Duration, Instant};
#[cfg(any(test, not(target_os = "linux")))]
use std::time::{SystemTime, UNIX_EPOCH};

use futures_timer::Delay;
#[cfg(target_os = "linux")]
use rustix::time::{ClockId, clock_gettime};
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

    /// As [`Clock::elapsed`], and goes on while the machine sleeps, where it tells that (Linux): for what must end in
    /// time although nothing runs.
    fn since_boot(&self) -> Duration {
        self.elapsed()
    }

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

/// The wall clock to the millisecond.
#[cfg(any(test, not(target_os = "linux")))]
fn wall() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

impl Clock for SystemClock {
    /// Of the kernel's last tick where it tells that (a few milliseconds ago at most): every hit asks, and it takes a
    /// quarter of the time.
    #[cfg(target_os = "linux")]
    fn now(&self) -> Millis {
        let tick = clock_gettime(ClockId::RealtimeCoarse);
        Millis(tick.tv_sec.saturating_mul(1_000).saturating_add(tick.tv_nsec / 1_000_000))
    }

    #[cfg(not(target_os = "linux"))]
    fn now(&self) -> Millis {
        wall()
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    #[cfg(target_os = "linux")]
    fn since_boot(&self) -> Duration {
        let since = clock_gettime(ClockId::Boottime);
        let nanos = u32::try_from(since.tv_nsec).unwrap_or_default();
        Duration::new(u64::try_from(since.tv_sec).unwrap_or_default(), nanos)
    }

    fn sleep(&self, period: Duration) -> BoxFuture<'static, ()> {
        Box::pin(Delay::new(period))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_tells_the_wall_clock_s_time_within_a_tick() {
        let clock = SystemClock::new();
        for _ in 0..1_000 {
            let (before, now, after) = (wall(), clock.now(), wall());
            // The slowest kernels tick a hundred times a second.
            assert!(before.0 - 11 <= now.0 && now.0 <= after.0, "{before:?} {now:?} {after:?}");
        }
    }
}
