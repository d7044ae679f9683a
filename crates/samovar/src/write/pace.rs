//! When replay gives way to those who write.
//!
//! Both need the disk: what replay commits, marks and entries, keeps those waiting whose writes are made durable meanwhile.
//! So replay goes in rounds. One brings away all that waited when it began; if so many came meanwhile that it is a burst,
//! it rests before the next, up to a limit that others see it late by, and not once the journal fills.

use std::time::Duration;

/// So many writes that come during a round are a burst.
const BURST: usize = 16;
/// What came when a round had just begun waits so long for the next, at most.
const LATE: Duration = Duration::from_secs(2);

/// The round that is under way, if one is.
#[derive(Debug, Default)]
pub(super) struct Pace {
    round: Option<Round>,
}

#[derive(Debug)]
struct Round {
    began: Duration,
    /// The number of the last write that was there.
    last: u64,
}

impl Pace {
    /// A batch is begun when `last` is the number of the last write that waits.
    pub(super) fn begin(&mut self, now: Duration, last: u64) {
        self.round.get_or_insert(Round { began: now, last });
    }

    /// The batch was brought away, up to this number, and so many wait now. How long to rest before the next.
    pub(super) fn end(&mut self, number: u64, now: Duration, waiting: usize) -> Duration {
        let Some(Round { began, .. }) = self.round.take_if(|round| number >= round.last) else {
            return Duration::ZERO;
        };
        match waiting >= BURST {
            true => (began + LATE).saturating_sub(now),
            false => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn it_rests_between_rounds_in_a_burst() {
        let mut pace = Pace::default();
        pace.begin(10 * MS, 3_000);
        assert_eq!(pace.end(1_000, 12 * MS, 4_000), Duration::ZERO, "the round goes on");
        pace.begin(12 * MS, 5_000);
        assert_eq!(pace.end(3_000, 20 * MS, 16), 1_990 * MS);
        pace.begin(2_010 * MS, 9_000);
        assert_eq!(pace.end(9_000, 2_015 * MS, 15), Duration::ZERO, "a trickle");
        pace.begin(3_000 * MS, 9_100);
        assert_eq!(pace.end(9_100, 5_001 * MS, 900), Duration::ZERO, "they have waited enough");
    }
}
