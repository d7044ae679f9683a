//! How much of the source background work may take.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use samovar_core::Clock;
use samovar_source::Source;

/// Unused share is saved up to so many connection-seconds.
const SAVED: f64 = 1.0;

/// A purse of connection-seconds: the wall clock fills it at the configured share, every query empties it by the time
/// that it kept a connection busy. Background work waits until it is not in debt; a reader's own query is paid
/// for, but never waits. So a single long query may exceed the share for its time, and is made up for after it.
pub(crate) struct Share {
    /// Busy connection-seconds for each second; `None`: no bound.
    share: Option<f64>,
    clock: Arc<dyn Clock>,
    source: Arc<dyn Source>,
    purse: Mutex<Purse>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Purse {
    seconds: f64,
    at: Duration,
    busy: Duration,
}

impl Purse {
    /// Fills and empties; how long to wait until there is no debt.
    fn settle(&mut self, share: f64, now: Duration, busy: Duration) -> Option<Duration> {
        let earned = now.saturating_sub(self.at).as_secs_f64() * share;
        let spent = busy.saturating_sub(self.busy).as_secs_f64();
        // What was saved pays first; a wealth of idle hours is not kept.
        self.seconds = (self.seconds + earned - spent).min(SAVED);
        (self.at, self.busy) = (now, busy);
        // A millisecond more: to be awake too early is to wait twice.
        (self.seconds < -1e-6).then(|| Duration::from_secs_f64(0.001 - self.seconds / share))
    }
}

impl Share {
    /// A share of 1 (and more) is no bound: then the source is there for this process alone.
    pub(crate) fn new(share: f64, clock: Arc<dyn Clock>, source: Arc<dyn Source>) -> Share {
        let purse = Purse { seconds: 0.0, at: clock.elapsed(), busy: source.busy() };
        let share = (share < 1.0).then(|| share.max(0.001));
        Share { share, clock, source, purse: Mutex::new(purse) }
    }

    /// How long to wait until there is none.
    fn debt(&self, share: f64) -> Option<Duration> {
        let mut purse = self.purse.lock().unwrap_or_else(PoisonError::into_inner);
        purse.settle(share, self.clock.elapsed(), self.source.busy())
    }

    /// Waits until background work may ask the source again.
    pub(crate) async fn wait(&self) {
        let Some(share) = self.share else { return };
        loop {
            match self.debt(share) {
                Some(debt) => tokio::time::sleep(debt.min(LONGEST_NAP)).await,
                None => return,
            }
        }
    }
}

/// Looked up anew so often: a clock that a test turns is not the runtime's.
pub(super) const LONGEST_NAP: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_keeps_to_the_share() {
        let mut purse = Purse::default();
        let second = Duration::from_secs_f64;
        assert_eq!(purse.settle(0.25, second(0.0), second(0.0)), None);
        // Two connections were busy for a second each: at a quarter that is paid for after eight seconds.
        let wait = purse.settle(0.25, second(1.0), second(2.0)).unwrap();
        assert_eq!(wait, second(7.001));
        assert!(purse.settle(0.25, second(7.9), second(2.0)).is_some());
        assert_eq!(purse.settle(0.25, second(8.0), second(2.0)), None);
        // An idle day is worth no more than what may be saved.
        assert_eq!(purse.settle(0.25, second(86_400.0), second(2.0)), None);
        assert_eq!(purse.settle(0.25, second(86_400.0), second(3.0)), None);
        let wait = purse.settle(0.25, second(86_400.0), second(4.0)).unwrap();
        assert_eq!(wait, second(4.001));
    }
}
