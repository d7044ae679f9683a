//! When replay gives way to those who write.
//!
//! Both need the disk: what replay commits, marks and entries, keeps those waiting whose writes are made durable meanwhile.
//! So replay goes in rounds. One brings away all that stood in the journal when it began; if so many came meanwhile that
//! it is a burst, it rests before the next, up to a limit that others see it late by, and not once the journal fills.

use std::time::Duration;

/// So many writes that come during a round are a burst.
const BURST: u64 = 16;
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
    /// A batch is begun when `taken` is the number of the last write that was accepted.
    pub(super) fn begin(&mut self, now: Duration, taken: u64) {
        self.round.get_or_insert(Round { began: now, last: taken });
    }

    /// The batch was brought away, up to this number. How long to rest before the next.
    pub(super) fn end(&mut self, number: u64, now: Duration, taken: u64) -> Duration {
        let Some(Round { began, last }) = self.round.take_if(|round| number >= round.last) else {
            return Duration::ZERO;
        };
        match taken.saturating_sub(last) >= BURST {
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
        assert_eq!(pace.end(1_000, 12 * MS, 5_000), Duration::ZERO, "the round goes on");
        pace.begin(12 * MS, 5_000);
        assert_eq!(pace.end(3_000, 20 * MS, 6_000), 1_990 * MS);
        pace.begin(2_010 * MS, 9_000);
        assert_eq!(pace.end(9_000, 2_015 * MS, 9_015), Duration::ZERO, "a trickle");
        pace.begin(3_000 * MS, 9_100);
        assert_eq!(pace.end(9_100, 5_001 * MS, 10_000), Duration::ZERO, "they have waited enough");
    }
}
