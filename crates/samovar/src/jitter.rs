//! Spreads what was begun together.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use samovar_core::Error;

use crate::random;

/// A sequence of numbers evenly spread between −1 and 1 (SplitMix64).
#[derive(Debug)]
pub(crate) struct Jitter(AtomicU64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Jitter {
        Jitter(AtomicU64::new(seed))
    }

    /// One that begins where nobody knows.
    pub(crate) fn random() -> Result<Jitter, Error> {
        random::number().map(Jitter::new)
    }

    /// A period, longer or shorter by up to a share of it.
    pub(crate) fn spread(&self, period: Duration, share: f64) -> Duration {
        period.mul_f64(1.0 + share * self.next())
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

/// How long to wait for the next try after so many that failed before the last: `first`, twice as long each time, at most
/// `longest`.
pub(crate) fn back_off(first: Duration, longest: Duration, failures: u32) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(failures)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let seconds = |failures| back_off(Duration::from_secs(1), Duration::from_secs(5), failures);
        let waits = [0, 1, 2, 3, u32::MAX].map(|failures| seconds(failures).as_secs());
        assert_eq!(waits, [1, 2, 4, 5, 5]);
    }

    #[test]
    fn jitter_is_even_and_bounded() {
        let jitter = Jitter::new(7);
        let draws: Vec<f64> = (0..10_000).map(|_| jitter.next()).collect();
        assert!(draws.iter().all(|x| (-1.0..1.0).contains(x)));
        let mean = draws.iter().sum::<f64>() / 10_000.0;
        assert!(mean.abs() < 0.03, "{mean}");
    }
}
