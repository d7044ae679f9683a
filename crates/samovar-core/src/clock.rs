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
///
/// ```
/// # use std::time::Duration;
/// # use samovar_core::Millis;
/// let read_at = Millis(1_790_000_000_000); // 2026-09-21T13:33:20Z
/// let stale_from = read_at.plus(Duration::from_secs(60));
/// assert_eq!(stale_from, Millis(1_790_000_060_000));
/// assert_eq!(stale_from.since(read_at), Some(Duration::from_secs(60)));
/// ```
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
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use samovar_core::Millis;
    /// assert_eq!(Millis(1_000).plus(Duration::from_millis(500)), Millis(1_500));
    /// assert_eq!(Millis(1_000).plus(Duration::MAX), Millis(i64::MAX), "for good");
    /// ```
    pub fn plus(self, by: Duration) -> Millis {
        Millis(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// Tells the time. One instance is shared by everything in a process, so that a test can hold it still.
///
/// A clock that stands still until a test moves it:
///
/// ```
/// use std::sync::Mutex;
/// use std::task::{Context, Waker};
/// use std::time::Duration;
///
/// use samovar_core::{BoxFuture, Clock, Millis};
///
/// #[derive(Default)]
/// struct Held(Mutex<Duration>);
///
/// impl Clock for Held {
///     fn now(&self) -> Millis {
///         Millis(1_790_000_000_000).plus(self.elapsed())
///     }
///     fn elapsed(&self) -> Duration {
///         *self.0.lock().unwrap()
///     }
///     /// Whoever sleeps is woken at once, and so much later it is then.
///     fn sleep(&self, period: Duration) -> BoxFuture<'static, ()> {
///         *self.0.lock().unwrap() += period;
///         Box::pin(std::future::ready(()))
///     }
/// }
///
/// let clock = Held::default();
/// let slept = clock.sleep(Duration::from_secs(60)).as_mut().poll(&mut Context::from_waker(Waker::noop()));
/// assert!(slept.is_ready());
/// assert_eq!(clock.now(), Millis(1_790_000_060_000));
/// assert_eq!(clock.since_boot(), clock.elapsed(), "unless a clock knows better");
/// ```
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
///
/// ```
/// # use samovar_core::{Clock, Millis, SystemClock};
/// let clock = SystemClock::new();
/// let before = clock.elapsed();
/// assert!(clock.now() > Millis(1_700_000_000_000), "after 2023, in milliseconds");
/// assert!(clock.elapsed() >= before, "it never goes backwards");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose [`Clock::elapsed`] counts from now.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use samovar_core::{Clock, SystemClock};
    /// assert!(SystemClock::new().elapsed() < Duration::from_secs(60), "however long the machine has run");
    /// ```
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
        let begun = clock.elapsed();
        let mut in_time = 0;
        while in_time < 1_000 {
            let (before, now, after) = (wall(), clock.now(), wall());
            assert!(now.0 <= after.0, "{now:?} {after:?}");
            // The slowest kernels tick a hundred times a second; a busy machine may tick late once.
            in_time += usize::from(before.0 - 11 <= now.0);
            assert!(clock.elapsed() - begun < Duration::from_secs(10), "{before:?} {now:?}");
        }
    }
}
