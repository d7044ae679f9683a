//! Spreads what was begun together.

use std::sync::atomic::{AtomicU64, Ordering};

use samovar_core::{Error, ErrorKind};

/// A sequence of numbers evenly spread between −1 and 1 (SplitMix64).
#[derive(Debug)]
pub(crate) struct Jitter(AtomicU64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Jitter {
        Jitter(AtomicU64::new(seed))
    }

    /// One that begins where nobody knows.
    pub(crate) fn random() -> Result<Jitter, Error> {
        let seed = getrandom::u64().map_err(|e| {
            Error::new(ErrorKind::Storage, "the system gives no random numbers").because(e)
        })?;
        Ok(Jitter::new(seed))
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
