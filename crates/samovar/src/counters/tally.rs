//! A count that many threads add to at once.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Threads beyond so many share a lane.
const LANES: usize = 8;

/// A count in lanes. Threads that add to one number take its line of memory from each other, which would cost more than
/// all else that a hit does; so each adds in a lane of its own.
#[derive(Debug, Default)]
pub(super) struct Tally([Lane; LANES]);

/// Fills the two lines that processors fetch together.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Lane(AtomicU64);

impl Tally {
    #[inline]
    pub(super) fn add(&self) {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static LANE: usize = THREADS.fetch_add(1, Ordering::Relaxed) % LANES;
        }
        // A thread that is just ending has none left.
        let lane = LANE.try_with(|lane| *lane).unwrap_or(0);
        self.0[lane].0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sum(&self) -> u64 {
        self.0.iter().map(|lane| lane.0.load(Ordering::Relaxed)).sum()
    }

    pub(super) fn reset(&self) {
        self.0.iter().for_each(|lane| lane.0.store(0, Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_lost_however_many_count() {
        let tally = Tally::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * LANES {
                scope.spawn(|| (0..1_000).for_each(|_| tally.add()));
            }
        });
        assert_eq!(tally.sum(), 2_000 * LANES as u64);
        tally.reset();
        assert_eq!(tally.sum(), 0);
    }
}
