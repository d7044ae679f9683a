//! Which of two entries under one key was read first.

use std::time::Duration;

use samovar_core::{Lifetime, Part, Stamp};

/// When something was read is reckoned anew each time it comes from Redis, from how long it lasts by Redis' clock: so
/// it may be told with so much of a difference …
const DRIFT: Duration = Duration::from_secs(1);
/// … and by no more than this share of its lifetime.
const SHARE: u32 = 10;

/// Whether these are the parts of one and the same read of the source, told twice.
pub(crate) fn is_same(one: &[Part], other: &[Part], lifetime: Lifetime) -> bool {
    let drift = DRIFT.min(lifetime.ttl / SHARE);
    let is_same = |(one, other): (&Part, &Part)| {
        let (one_at, other_at) = (one.stamp.read_at, other.stamp.read_at);
        let apart = Duration::from_millis(one_at.0.abs_diff(other_at.0));
        one.span == other.span && one.stamp.version == other.stamp.version && apart <= drift
    };
    one.len() == other.len() && one.iter().zip(other).all(is_same)
}

/// Whether an entry that is to be put was read before the one that stands there: some day of it was, and none
/// was read later. Where each has a later day, the one whose oldest part is older is late.
///
/// `position` is what orders stamps in the tier at hand: the tick in memory, the number of the version below. A part
/// that came up from below bears a position up to which it is merely known to be clean; so a stamp is before
/// another only if the clock says so too. In doubt the entry that is put takes the place, and so does one of equal
/// stamps.
pub(crate) fn is_late(put: &[Part], stands: &[Part], position: impl Fn(&Stamp) -> u64) -> bool {
    let of = |part: &Part| (position(&part.stamp), part.stamp.read_at);
    // What is put is mostly as late as anything that stands.
    let newest = stands.iter().map(of).reduce(|a, b| (a.0.max(b.0), a.1.max(b.1)));
    let Some(newest) = newest else { return false };
    if put.iter().map(of).all(|new| new.0 >= newest.0 && new.1 >= newest.1) {
        return false;
    }
    let (put_places, standing_places) = (places(put), places(stands));
    let (mut earlier, mut later, mut shared) = (false, false, 0);
    let (mut at, mut beside) = (0, 0);
    while let (Some(a), Some(b)) = (put_places.get(at), standing_places.get(beside)) {
        let both = a.shared(b);
        if both > 0 {
            shared += both;
            let (new, old) = (of(a.part), of(b.part));
            let is_before = new != old && new.0 <= old.0 && new.1 <= old.1;
            earlier |= is_before;
            later |= new != old && !is_before;
        }
        match (a.store, a.to) < (b.store, b.to) {
            true => at += 1,
            false => beside += 1,
        }
    }
    // Of a day that only one of them has, the other knows nothing.
    let days = |places: &[Place<'_>]| places.iter().map(|place| place.shared(place)).sum::<i64>();
    earlier |= shared < days(&standing_places);
    later |= shared < days(&put_places);
    let oldest = |parts: &[Part]| parts.iter().map(of).min();
    earlier && (!later || oldest(put) < oldest(stands))
}

/// What a part was derived from; a value that no partition covers counts as one day of no store.
struct Place<'a> {
    store: Option<&'a str>,
    from: i32,
    to: i32,
    part: &'a Part,
}

impl Place<'_> {
    /// The number of days that are in both.
    fn shared(&self, other: &Place<'_>) -> i64 {
        let days = i64::from(self.to.min(other.to)) - i64::from(self.from.max(other.from)) + 1;
        if self.store == other.store { days.max(0) } else { 0 }
    }
}

/// The parts in the order of stores and days. They do not overlap.
fn places(parts: &[Part]) -> Vec<Place<'_>> {
    let mut places: Vec<_> = parts
        .iter()
        .map(|part| match &part.span {
            None => Place { store: None, from: 0, to: 0, part },
            Some(span) => {
                Place { store: Some(&*span.store), from: span.from.0, to: span.to.0, part }
            }
        })
        .collect();
    places.sort_by_key(|place| (place.store, place.from));
    places
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use samovar_core::{Day, Epoch, Millis, Span, Tick, Version};

    use super::*;

    /// A part of a store's days, read at a position and a time.
    fn part(from: i32, to: i32, (position, read): (u64, i64)) -> Part {
        let version = Version { epoch: Epoch(7), seq: position };
        let stamp = Stamp { version, tick: Tick(position), read_at: Millis(read) };
        Part { span: Some(Span { store: "7".into(), from: Day(from), to: Day(to) }), stamp }
    }

    fn late(put: &[Part], stands: &[Part]) -> bool {
        is_late(put, stands, |stamp| stamp.tick.0)
    }

    #[test]
    fn a_whole_entry() {
        let one = |stamp| [Part { span: None, ..part(0, 0, stamp) }];
        let stands = one((5, 50));
        for earlier in [(4, 40), (4, 50), (5, 49), (0, 0)] {
            assert!(late(&one(earlier), &stands), "{earlier:?}");
            assert!(!late(&stands, &one(earlier)), "{earlier:?}");
        }
        assert!(!late(&stands, &stands), "the same again takes the place");
        assert!(!late(&one((4, 60)), &stands), "in doubt too");
        assert!(!late(&one((6, 40)), &stands));
        assert!(!late(&stands, &[]));
    }

    #[test]
    fn what_was_told_twice_is_the_same() {
        let lifetime =
            |ttl| Lifetime { ttl: Duration::from_secs(ttl), stale_window: Duration::ZERO };
        let one = |stamp| [Part { span: None, ..part(0, 0, stamp) }];
        let same = |at, ttl| is_same(&one((5, 10_000)), &one((5, at)), lifetime(ttl));
        assert!(same(10_000, 0) && same(11_000, 100) && same(9_000, 100));
        assert!(!same(11_001, 100), "it was read again");
        assert!(same(10_100, 1) && !same(10_101, 1));
        assert!(!is_same(&one((5, 10_000)), &one((6, 10_000)), lifetime(100)), "a mark is between");
        let two = [part(0, 3, (5, 50)), part(4, 9, (5, 50))];
        assert!(is_same(&two, &two, lifetime(1)) && !is_same(&two, &two[..1], lifetime(1)));
    }

    #[test]
    fn days_are_compared_one_by_one() {
        let (old, new) = ((4, 40), (6, 60));
        let stands = [part(0, 3, old), part(4, 4, new), part(5, 9, old)];
        assert!(late(&[part(0, 9, old)], &stands), "one day of it is older, none is newer");
        assert!(!late(&stands, &[part(0, 9, old)]));
        assert!(!late(&[part(0, 9, new)], &stands));
        assert!(
            !late(&[part(0, 4, new), part(5, 9, old)], &stands),
            "newer for some, older for none"
        );
        let mixed = [part(0, 3, (5, 50)), part(4, 9, (5, 50))];
        assert!(
            !late(&mixed, &stands),
            "of two that are mixed the one whose oldest is newer stays"
        );
        assert!(late(&stands, &mixed));
        let oldest = [part(0, 3, new), part(4, 9, (3, 30))];
        assert!(late(&oldest, &stands));
    }

    #[test]
    fn a_day_that_is_not_there_is_older_than_any() {
        let (few, many) = ([part(0, 3, (5, 50))], [part(0, 4, (5, 50))]);
        assert!(!late(&many, &few));
        let stands = [part(0, 3, (4, 40)), part(4, 4, (6, 60))];
        assert!(!late(&few, &stands), "its oldest is newer");
        assert!(late(&[part(0, 3, (4, 40))], &stands), "there is nothing that it knows better");
    }

    /// Positions and times by day; a day may be left out.
    fn days() -> impl Strategy<Value = Vec<Option<(u64, i64)>>> {
        let stamp = prop_oneof![(0..4u64).prop_map(|at| (at, at as i64)), (0..4u64, 0..4i64)];
        proptest::collection::vec(proptest::option::weighted(0.9, stamp), 6)
    }

    /// Runs of equal days as one part, or each day by itself.
    fn parts(days: &[Option<(u64, i64)>], runs: bool) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        for (day, stamp) in (0..).zip(days) {
            let Some(stamp) = stamp else { continue };
            let next = part(day, day, *stamp);
            match parts.last_mut() {
                Some(Part { span: Some(span), stamp })
                    if runs && span.to.0 + 1 == day && *stamp == next.stamp =>
                {
                    span.to = Day(day);
                }
                _ => parts.push(next),
            }
        }
        parts
    }

    proptest! {
        #[test]
        fn whatever_the_parts_it_is_as_day_by_day(
            put in days(),
            stands in days(),
            runs in any::<(bool, bool)>(),
        ) {
            let (mut earlier, mut later) = (false, false);
            for pair in put.iter().zip(&stands) {
                match pair {
                    (Some(new), Some(old)) if new == old => {}
                    (Some(new), Some(old)) if new.0 <= old.0 && new.1 <= old.1 => earlier = true,
                    (None, None) => {}
                    (None, Some(_)) => earlier = true,
                    _ => later = true,
                }
            }
            let oldest = |days: &[Option<(u64, i64)>]| days.iter().flatten().min().copied();
            let expected = earlier && (!later || oldest(&put) < oldest(&stands));
            let found = late(&parts(&put, runs.0), &parts(&stands, runs.1));
            // That everything put is as late as all that stands says enough, also where a day is left out.
            let newest = stands.iter().flatten().fold((0, 0), |a, b| (a.0.max(b.0), a.1.max(b.1)));
            let plainly = put.iter().flatten().all(|s| s.0 >= newest.0 && s.1 >= newest.1);
            prop_assert_eq!(found, expected && !plainly);
        }
    }
}
