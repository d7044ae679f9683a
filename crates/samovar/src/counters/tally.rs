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
    use std::sync::{Barrier, LazyLock};

    use super::*;

    #[test]
    fn none_is_lost_however_many_count_and_end() {
        const THREADS: usize = 2 * (OWN + SHARED);
        let (tally, start) = (Tally::default(), Barrier::new(THREADS));
        let counted = || {
            start.wait();
            (0..100_000).for_each(|_| tally.add());
            LANE.get() < OWN
        };
        // They come and go: lanes pass from one to the next.
        for _ in 0..3 {
            let own = std::thread::scope(|scope| {
                let all: Vec<_> = (0..THREADS).map(|_| scope.spawn(counted)).collect();
                all.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum::<usize>()
            });
            assert!(own > 0, "those of the round before have been given back");
        }
        assert_eq!(tally.sum(), 300_000 * THREADS as u64);
        tally.reset();
        assert_eq!(tally.sum(), 0);
        tally.add();
        assert_eq!(tally.sum(), 1);
    }

    #[test]
    fn a_thread_that_ends_leaves_its_lane_before_another_has_it() {
        static COUNTED: LazyLock<Tally> = LazyLock::new(Tally::default);
        static LAST: AtomicUsize = AtomicUsize::new(NONE);
        struct Late;
        impl Drop for Late {
            fn drop(&mut self) {
                COUNTED.add();
                LAST.store(LANE.get(), Ordering::Relaxed);
            }
        }
        thread_local!(static LATE: Late = const { Late });
        for late_first in [true, false] {
            let thread = std::thread::spawn(move || {
                // Of two, one is dropped before the other: either way.
                if late_first {
                    LATE.with(|_| ());
                }
                COUNTED.add();
                LATE.with(|_| ());
                PLACE.with(|place| place.0)
            });
            let place = thread.join().unwrap();
            let last = LAST.load(Ordering::Relaxed);
            assert!(last == place || last >= OWN, "{place}, then {last}");
        }
        assert_eq!(COUNTED.sum(), 4);
        let place = Place::take();
        LANE.set(place.0);
        drop(place);
        assert!(LANE.get() >= OWN, "what is counted from here on is counted where all may");
    }
}
