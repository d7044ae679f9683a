//! A count that many threads add to at once.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// So many threads have a lane of their own at a time …
const OWN: usize = 8;
/// … and the others share so many.
const SHARED: usize = 8;

/// A count in lanes. Threads that add to one number take its line of memory from each other, which would cost more than
/// all else that a hit does; so each adds in a lane of its own, as long as there are any. Nobody else writes there, so
/// that it takes no locked instruction either.
#[derive(Debug, Default)]
pub(super) struct Tally {
    lanes: [Lane; OWN + SHARED],
    /// What was counted when it was last set to zero: a lane is its thread's to write.
    zero: AtomicU64,
}

/// Fills the two lines that processors fetch together.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Lane(AtomicU64);

/// The lanes of their own that threads have, by a bit each.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// A thread's lane, until it ends.
struct Place(usize);

impl Place {
    fn take() -> Place {
        let free = |taken: u64| (0..OWN).find(|lane| taken & (1 << lane) == 0);
        let take = |taken: u64| Some(taken | 1 << free(taken)?);
        // Acquired: what the thread before has counted there is added to.
        let before = TAKEN.fetch_update(Ordering::Acquire, Ordering::Relaxed, take);
        Place(before.ok().and_then(free).unwrap_or_else(shared))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.0 < OWN {
            // Destructors that are yet to run may count, too.
            LANE.set(shared());
            TAKEN.fetch_and(!(1 << self.0), Ordering::Release);
        }
    }
}

/// One of the lanes that threads share.
fn shared() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    OWN + THREADS.fetch_add(1, Ordering::Relaxed) % SHARED
}

/// In place of a lane: it has none yet.
const NONE: usize = usize::MAX;

thread_local! {
    /// Where this thread counts. It has no destructor, so that looking costs next to nothing.
    static LANE: Cell<usize> = const { Cell::new(NONE) };
    static PLACE: Place = Place::take();
}

#[cold]
fn first_lane() -> usize {
    // A thread that is just ending has no place.
    let lane = PLACE.try_with(|place| place.0).unwrap_or_else(|_| shared());
    LANE.set(lane);
    lane
}

impl Tally {
    #[inline]
    pub(super) fn add(&self) {
        let lane = match LANE.get() {
            NONE => first_lane(),
            lane => lane,
        };
        let count = &self.lanes[lane].0;
        if lane < OWN {
            count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        } else {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counted(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.0.load(Ordering::Relaxed)).sum()
    }

    pub(super) fn sum(&self) -> u64 {
        // The zero first: it is never more than what was counted by then.
        let zero = self.zero.load(Ordering::Acquire);
        self.counted().saturating_sub(zero)
    }

    pub(super) fn reset(&self) {
        self.zero.fetch_max(self.counted(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_lost_however_many_count_and_end() {
        let tally = Tally::default();
        for _ in 0..3 {
            // They come and go: lanes pass from one to the next.
            std::thread::scope(|scope| {
                for _ in 0..2 * (OWN + SHARED) {
                    scope.spawn(|| (0..1_000).for_each(|_| tally.add()));
                }
            });
        }
        assert_eq!(tally.sum(), 6_000 * (OWN + SHARED) as u64);
        tally.reset();
        assert_eq!(tally.sum(), 0);
        tally.add();
        assert_eq!(tally.sum(), 1);
    }

    #[test]
    fn what_a_thread_counts_while_it_ends_is_not_lost() {
        static COUNTED: std::sync::LazyLock<Tally> = std::sync::LazyLock::new(Tally::default);
        struct Late;
        impl Drop for Late {
            fn drop(&mut self) {
                COUNTED.add();
            }
        }
        thread_local!(static LATE: Late = const { Late });
        for first in [true, false] {
            let thread = std::thread::spawn(move || {
                // Whichever is made first is dropped last, or first: either way.
                if first {
                    LATE.with(|_| ());
                }
                COUNTED.add();
                LATE.with(|_| ());
            });
            thread.join().unwrap();
        }
        assert_eq!(COUNTED.sum(), 4);
    }
}
