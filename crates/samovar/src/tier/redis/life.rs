//! How long an entry lasts, by Redis' own reckoning.
//!
//! Clocks of machines differ. So a writer tells Redis how much is left by the writer's clock alone, Redis counts that
//! down, and a reader takes what Redis says is left and reckons from its own clock: nobody compares two clocks.
//!
//! Where the two reckonings agree to a second (or a tenth of a short lifetime) the stamps stay as they were written: so
//! an entry that comes by way of Redis is not taken for another one than the copy of it on disk.

use std::sync::Arc;
use std::time::Duration;

use samovar_core::{Entry, Millis};

/// The longest that Redis is told, three hundred years: it takes no more than fits its clock.
const LONGEST: Duration = Duration::from_secs(10_000_000_000);
const MOMENT: Duration = Duration::from_millis(1);
/// Reckonings that differ by no more than this agree …
const AGREED: Duration = Duration::from_secs(1);
/// … and by no more than this share of the lifetime.
const SHARE: u32 = 10;

/// How long something of an entry may be served at all.
fn whole<V>(entry: &Entry<V>) -> Duration {
    entry.lifetime.ttl.saturating_add(entry.lifetime.stale_window)
}

/// When the newest of its parts was read.
fn newest<V>(entry: &Entry<V>) -> Millis {
    entry.parts.iter().map(|part| part.stamp.read_at).max().unwrap_or(Millis(i64::MIN))
}

/// How long something of an entry may still be served, by the clock of who writes it; `None`: no more.
pub(super) fn left<V>(entry: &Entry<V>, now: Millis) -> Option<Duration> {
    // Read in the future: the clock was put back, and it is as good as new.
    let age = now.since(newest(entry)).unwrap_or_default();
    let left = whole(entry).saturating_sub(age).min(LONGEST);
    (left >= MOMENT).then_some(left)
}

/// The entry as if it had been read when, by the reader's clock, so much is left of it.
pub(super) fn reckoned<V>(entry: Entry<V>, left: Duration, now: Millis) -> Entry<V> {
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let read = now.0.saturating_add(millis(left)).saturating_sub(millis(whole(&entry)));
    let newest = newest(&entry);
    let agreed = AGREED.min(entry.lifetime.ttl / SHARE);
    // What was read in the future counts as past its time.
    if newest <= now && u128::from(newest.0.abs_diff(read)) <= agreed.as_millis() {
        return entry;
    }
    shifted(entry, read)
}

/// The entry as fresh, since it is there and nothing is kept past its time.
pub(super) fn present<V>(entry: Entry<V>, now: Millis) -> Entry<V> {
    let ttl = i64::try_from(entry.lifetime.ttl.as_millis()).unwrap_or(i64::MAX);
    let oldest = now.0.saturating_sub(ttl).saturating_add(1);
    let read = newest(&entry).0.clamp(oldest.min(now.0), now.0);
    shifted(entry, read)
}

/// The entry with all its parts shifted so that the newest was read then.
fn shifted<V>(mut entry: Entry<V>, read: i64) -> Entry<V> {
    let by = read.saturating_sub(newest(&entry).0);
    if by != 0 {
        for part in Arc::make_mut(&mut entry.parts) {
            part.stamp.read_at = Millis(part.stamp.read_at.0.saturating_add(by));
        }
    }
    entry
}

#[cfg(test)]
mod tests {
    use samovar_core::{Epoch, Lifetime, Part, Stamp, Tags, Tick, Version};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Two parts; fresh for 100 s, stale for 50 s after that.
    fn entry(read_at: [i64; 2], stale: u32) -> Entry<()> {
        let stamp = |at| Stamp {
            version: Version { epoch: Epoch(1), seq: 1 },
            tick: Tick(0),
            read_at: Millis(at),
        };
        Entry {
            value: (),
            parts: read_at.into_iter().map(|at| Part { span: None, stamp: stamp(at) }).collect(),
            tags: Tags::NONE,
            lifetime: Lifetime { ttl: 100 * SECOND, stale_window: stale * SECOND },
        }
    }

    fn read_at(entry: &Entry<()>) -> [i64; 2] {
        [0, 1].map(|at| entry.parts[at].stamp.read_at.0)
    }

    #[test]
    fn the_newest_part_says_how_much_is_left() {
        let two = entry([10_000, 30_000], 50);
        assert_eq!(left(&two, Millis(40_000)), Some(140 * SECOND));
        assert_eq!(left(&two, Millis(20_000)), Some(150 * SECOND), "the clock was put back");
        assert_eq!(left(&two, Millis(179_999)), Some(MOMENT));
        assert_eq!(left(&two, Millis(180_000)), None);
        let mut forever = two;
        forever.lifetime.ttl = Duration::MAX;
        assert_eq!(left(&forever, Millis(40_000)), Some(LONGEST));
    }

    #[test]
    fn clocks_that_differ_do_not_matter() {
        // The writer's clock is an hour ahead of the reader's.
        let (writer, reader) = (Millis(3_700_000), Millis(100_000));
        let written = entry([3_690_000, 3_695_000], 50);
        let left = left(&written, writer).unwrap();
        let found = reckoned(written, left, reader);
        assert_eq!(read_at(&found), [90_000, 95_000], "10 and 5 seconds ago, here too");
    }

    #[test]
    fn where_clocks_agree_the_stamps_stay() {
        let now = Millis(100_000);
        let found = |left: u64| {
            read_at(&reckoned(entry([80_000, 90_000], 50), Duration::from_millis(left), now))
        };
        assert_eq!(found(140_000), [80_000, 90_000]);
        assert_eq!(found(139_001), [80_000, 90_000], "by the way to Redis and back");
        assert_eq!(found(138_999), [78_999, 88_999]);
        let ahead = reckoned(entry([80_000, 100_500], 50), 150 * SECOND, now);
        assert_eq!(read_at(&ahead), [79_500, 100_000], "never in the future");
    }

    #[test]
    fn what_is_there_is_fresh_if_nothing_outlives_its_time() {
        let now = Millis(1_000_000);
        assert_eq!(read_at(&present(entry([0, 1_000], 0), now)), [899_001, 900_001]);
        assert_eq!(read_at(&present(entry([1_999_000, 2_000_000], 0), now)), [999_000, 1_000_000]);
        let as_it_is = entry([980_000, 990_000], 0);
        assert_eq!(read_at(&present(as_it_is, now)), [980_000, 990_000]);
    }
}
