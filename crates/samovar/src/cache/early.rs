//! When a hit is read again before its end.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use samovar_core::Millis;

use super::seen::Seen;
use crate::policy::CachePolicy;

/// −ln of the least number that is drawn: no draw gives more.
const MOST: f64 = 36.8;

/// Refresh-ahead by a share of the lifetime, and early expiry by chance.
#[derive(Debug)]
pub(super) struct Early {
    /// The share of a lifetime that is left when it is time.
    left: Option<f64>,
    chance: Option<Chance>,
}

/// XFetch: Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015. Whoever
/// hits draws a number u from (0, 1] and reads again if `now − δ·β·ln u` is not before the end, δ being the time that
/// the last load took.
#[derive(Debug)]
struct Chance {
    beta: f64,
    times: LoadTimes,
}

impl Early {
    pub(super) fn new(policy: &CachePolicy) -> Early {
        let left = policy.refresh_ahead.filter(|share| *share > 0.0 && *share < 1.0);
        let beta = policy.early_expiry.filter(|beta| *beta > 0.0 && *beta <= 100.0);
        Early {
            left: left.map(|share| 1.0 - share),
            chance: beta.map(|beta| Chance { beta, times: LoadTimes::new() }),
        }
    }

    /// Whether something fresh is to be read again. `draw` gives numbers evenly spread between −1 and 1; it is asked
    /// only if the end is so near that the number matters.
    pub(super) fn is_due<V>(
        &self,
        id: &str,
        seen: &Seen<V>,
        now: Millis,
        draw: impl FnOnce() -> f64,
    ) -> bool {
        if self.left.is_none() && self.chance.is_none() {
            return false;
        }
        let left = seen.fresh_until().since(now).unwrap_or_default();
        if self.left.is_some_and(|share| left <= seen.lifetime().ttl.mul_f64(share)) {
            return true;
        }
        let Some(Chance { beta, times }) = &self.chance else { return false };
        let scale = times.of(id).as_secs_f64() * beta;
        let left = left.as_secs_f64();
        // From (0, 1].
        left < scale * MOST && left <= scale * -f64::midpoint(1.0, -draw()).ln()
    }

    /// A load has taken so long.
    pub(super) fn note(&self, id: &str, took: Duration) {
        if let Some(chance) = &self.chance {
            chance.times.note(id, took);
        }
    }
}

/// How long the last load of each key took, in a fixed room: where two keys fall together the later stands, and the
/// other counts as never loaded. So is what was loaded before a restart.
#[derive(Debug)]
struct LoadTimes {
    /// The upper half says whose it is, the lower is the time in microseconds.
    slots: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl LoadTimes {
    const SLOTS: usize = 4_096;

    fn new() -> LoadTimes {
        LoadTimes {
            slots: (0..Self::SLOTS).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
        }
    }

    /// The slot of a key, and what says that it is there.
    fn place(&self, id: &str) -> (&AtomicU64, u64) {
        let hash = self.hasher.hash_one(id);
        (&self.slots[hash as usize % Self::SLOTS], hash >> 32 << 32)
    }

    fn of(&self, id: &str) -> Duration {
        let (slot, whose) = self.place(id);
        let stored = slot.load(Ordering::Relaxed);
        let micros = if stored >> 32 << 32 == whose { stored & u64::from(u32::MAX) } else { 0 };
        Duration::from_micros(micros)
    }

    fn note(&self, id: &str, took: Duration) {
        let (slot, whose) = self.place(id);
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        slot.store(whose | u64::from(micros), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_of_their_key() {
        let times = LoadTimes::new();
        let id = |at: u32| at.to_string();
        for at in 0..100 {
            times.note(&id(at), Duration::from_micros(u64::from(at) + 1));
        }
        let known = (0..100).filter(|at| {
            let time = times.of(&id(*at)).as_micros();
            assert!(time == 0 || time == u128::from(at + 1), "its own or none");
            time > 0
        });
        assert!(known.count() > 80);
        times.note("slow", Duration::from_secs(1 << 20));
        assert_eq!(
            times.of("slow"),
            Duration::from_micros(u64::from(u32::MAX)),
            "the most there is"
        );
        assert_eq!(times.of("never loaded"), Duration::ZERO);
    }
}
