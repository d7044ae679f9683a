//! When the source is left alone.
//!
//! A write that fails by itself is put off, for a pause of its own. One that fails alone says little of the source; two in
//! a row, with nothing that went through between, look as if it were away. Then no more are tried, or each of them would be
//! charged with that.

use std::time::Duration;

use crate::cache::AT_ONCE;
use crate::jitter::{Jitter, back_off};

/// How long to wait after a failure; twice as long each time …
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// … up to here.
pub(super) const LAST_PAUSE: Duration = Duration::from_secs(60);
/// The same for fresh writes: nothing is known against them but that the source seems to be away.
const LAST_FRESH: Duration = Duration::from_secs(5);
/// Each pause is longer or shorter by up to this share.
pub(super) const SPREAD: f64 = 0.2;
/// So many in a row that failed alone look as if the source were away.
const AWAY: u32 = 2;

/// How the source takes what it is sent.
pub(super) struct Course {
    /// The most of one call. Halved where a call fails as a whole, doubled where one does not.
    pub(super) at_once: usize,
    fresh: Doubt,
    /// Of those that failed by themselves before.
    alone: Doubt,
    /// None of those is tried before.
    pub(super) alone_from: Duration,
}

impl Default for Course {
    fn default() -> Course {
        let (fresh, alone) = (Doubt::default(), Doubt::default());
        Course { at_once: AT_ONCE, fresh, alone, alone_from: Duration::ZERO }
    }
}

impl Course {
    /// Something went through: the source is there.
    pub(super) fn went_through(&mut self) {
        *self = Course { at_once: self.at_once, ..Course::default() };
    }

    /// A fresh write failed alone. How long to leave the source alone if it seems to be away.
    pub(super) fn fresh_failed(&mut self, jitter: &Jitter) -> Option<Duration> {
        self.fresh.failed(LAST_FRESH, jitter)
    }

    /// One that failed by itself before failed again. Whether no more of them are to be tried now.
    pub(super) fn alone_failed(&mut self, now: Duration, jitter: &Jitter) -> bool {
        let pause = self.alone.failed(LAST_PAUSE, jitter);
        self.alone_from = pause.map_or(self.alone_from, |pause| now + pause);
        pause.is_some()
    }

    /// Whether the last fresh write that was tried went through.
    pub(super) fn is_there(&self) -> bool {
        self.fresh == Doubt::default()
    }
}

/// How often the source seemed to be away.
#[derive(Debug, Default, PartialEq, Eq)]
struct Doubt {
    in_a_row: u32,
    pauses: u32,
}

impl Doubt {
    fn failed(&mut self, longest: Duration, jitter: &Jitter) -> Option<Duration> {
        self.in_a_row += 1;
        if self.in_a_row < AWAY {
            return None;
        }
        let pause = back_off(FIRST_PAUSE, longest, self.pauses);
        *self = Doubt { in_a_row: 0, pauses: self.pauses.saturating_add(1) };
        Some(jitter.spread(pause, SPREAD))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_in_a_row_look_as_if_the_source_were_away() {
        let (jitter, mut course) = (Jitter::new(7), Course::default());
        let longest = |course: &mut Course| {
            let pauses = (0..40).map(|_| course.fresh_failed(&jitter)).collect::<Vec<_>>();
            let (odd, even): (Vec<_>, Vec<_>) =
                pauses.chunks(2).map(|two| (two[0], two[1])).unzip();
            assert!(odd.iter().all(Option::is_none) && even.iter().all(Option::is_some));
            even[0].zip(even[19]).unwrap()
        };
        for _ in 0..2 {
            assert!(course.is_there());
            let (first, last) = longest(&mut course);
            assert!(first.abs_diff(FIRST_PAUSE) <= FIRST_PAUSE.mul_f64(SPREAD), "{first:?}");
            assert!(last.abs_diff(LAST_FRESH) <= LAST_FRESH.mul_f64(SPREAD), "{last:?}");
            assert!(!course.is_there());
            assert!(!course.alone_failed(Duration::ZERO, &jitter));
            assert!(course.alone_from.is_zero());
            assert!(course.alone_failed(Duration::ZERO, &jitter) && !course.alone_from.is_zero());
            course.went_through();
            assert!(course.alone_from.is_zero());
        }
    }
}
