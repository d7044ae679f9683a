//! The table against a naive list of marks, of which nothing is ever absorbed.

use proptest::prelude::*;
use samovar_core::{Key, MarkId, Millis, Partition};

use super::*;
use crate::fence::standing::Reach;

/// A mark of a naive list: nothing is ever absorbed.
#[derive(Clone, Debug)]
struct Listed {
    scope: Scope,
    mode: Mode,
    at: Millis,
    tick: u64,
    seq: Option<u64>,
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        Just(Scope::Everything),
        prop_oneof![Just("a"), Just("b")].prop_map(|cache| Scope::Cache(cache.into())),
        Just(Scope::Key(Key::new("a", "k"))),
        (0..2u8, 0..3i32)
            .prop_map(|(store, day)| Scope::Partition(Partition::new(store.to_string(), Day(day)))),
        prop_oneof![Just("t"), Just("u"), Just("v")].prop_map(|tag| Scope::Tag(tag.into())),
        prop_oneof![
            Just("a:*"),
            Just("*:k"),
            Just("?:k"),
            Just("a:k"),
            Just("a:k?"),
            Just("b:*"),
            Just("[^a]*")
        ]
        .prop_map(|glob| Scope::Pattern(glob.parse().unwrap())),
    ]
}

/// Marks in the order of acting, with the order in which the log numbers them: nearly the same.
fn history() -> impl Strategy<Value = Vec<Listed>> {
    let mode = prop_oneof![1 => Just(Mode::Remove), 2 => Just(Mode::Expire)];
    let mark = (scope(), mode, 0i64..50, 0u64..5, prop::bool::weighted(0.9));
    proptest::collection::vec(mark, 0..40).prop_map(|marks| {
        let mut order: Vec<(u64, usize)> = Vec::new();
        let mut listed: Vec<Listed> = Vec::new();
        for (at, (scope, mode, delay, shift, numbered)) in marks.into_iter().enumerate() {
            let tick = at as u64 + 1;
            listed.push(Listed {
                scope,
                mode,
                at: Millis(at as i64 * 10 + delay),
                tick,
                seq: None,
            });
            if numbered {
                order.push((tick + shift, at));
            }
        }
        order.sort_unstable();
        for (seq, (_, at)) in (1..).zip(order) {
            listed[at].seq = Some(seq);
        }
        listed
    })
}

fn table(marks: &[Listed]) -> Table {
    let mut table = Table::default();
    let mark = |listed: &Listed| Mark {
        id: MarkId(u128::from(listed.tick)),
        scope: listed.scope.clone(),
        mode: listed.mode,
        at: listed.at,
        reason: "test".into(),
        priority: Mark::PRIORITY,
    };
    for listed in marks {
        table.pend(&mark(listed), Tick(listed.tick));
    }
    let mut numbered: Vec<&Listed> = marks.iter().filter(|mark| mark.seq.is_some()).collect();
    numbered.sort_unstable_by_key(|mark| mark.seq);
    for listed in numbered {
        table.number(&mark(listed), listed.seq.unwrap(), Tick(listed.tick));
    }
    table
}

/// Those of the entry that is judged.
fn tags() -> impl Strategy<Value = Tags> {
    prop_oneof![2 => Just(Tags::new(["t", "u"]).unwrap()), 1 => Just(Tags::any())]
}

fn naive(marks: &[Listed], tags: &Tags, span: Option<&Span>, since: Since) -> (Reach, Reach) {
    let (mut whole, mut days) = (Reach::default(), Reach::default());
    let reaches = |reach: &mut Reach, mark: &Listed| {
        let newer = match since {
            Since::Tick(Tick(tick)) => mark.tick > tick,
            Since::Seq(seq) => mark.seq.is_none_or(|of| of > seq),
        };
        match mark.mode {
            _ if !newer => {}
            Mode::Remove => reach.removed = true,
            Mode::Expire => reach.expire(mark.at),
        }
    };
    for mark in marks {
        if mark.scope.covers(&Key::new("a", "k"), tags) {
            reaches(&mut whole, mark);
        }
        if let Scope::Partition(partition) = &mark.scope
            && let Some(span) = span.filter(|span| span.holds(partition))
        {
            reaches(if span.from < span.to { &mut days } else { &mut whole }, mark);
        }
    }
    (whole, days)
}

/// `found` may be stricter than `must` in its window, in nothing else; what is removed has none.
fn agree(found: Reach, must: Reach) -> bool {
    found.removed == must.removed
        && (must.removed
            || (found.expired.is_some() == must.expired.is_some() && found.expired <= must.expired))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn absorbing_changes_no_verdict(
        marks in history(),
        span in proptest::option::of((0..3i32, 0..3i32)),
        since in 0u64..45,
        tags in tags(),
    ) {
        let table = table(&marks);
        let span = span.map(|(a, b)| Span { store: "0".into(), from: Day(a.min(b)), to: Day(a.max(b)) });
        for since in [Since::Tick(Tick(since)), Since::Seq(since)] {
            let cover = table.over("a", "k", &tags).cover(span.as_ref(), since);
            let (whole, days) = naive(&marks, &tags, span.as_ref(), since);
            prop_assert!(agree(cover.whole, whole), "{:?} {:?}", cover, whole);
            // Where all of it is removed nobody asks about days.
            prop_assert!(whole.removed || agree(cover.days, days), "{:?} {:?}", cover, days);
            prop_assert_eq!(cover.any(), whole != Reach::default() || days != Reach::default());
        }
    }

    /// What is judged by version and then given the tick before the first mark found is judged by that
    /// tick as strictly, whatever the two orders of the marks.
    #[test]
    fn a_tick_made_from_a_version_is_as_strict(
        marks in history(),
        span in proptest::option::of((0..3i32, 0..3i32)),
        seq in 0u64..45,
        room in proptest::option::of(1usize..12),
        tags in tags(),
    ) {
        let mut table = table(&marks);
        if let Some(room) = room {
            table.forget(room, u64::MAX);
        }
        let span = span.map(|(a, b)| Span { store: "0".into(), from: Day(a.min(b)), to: Day(a.max(b)) });
        let below = table.over("a", "k", &tags).cover(span.as_ref(), Since::Seq(seq));
        let now = marks.len() as u64;
        let tick = below.first.tick.map_or(now, |first| now.min(first - 1));
        let above = table.over("a", "k", &tags).cover(span.as_ref(), Since::Tick(Tick(tick)));
        prop_assert!(above.whole.removed >= below.whole.removed);
        if above.whole.removed {
            return Ok(());
        }
        for (above, below) in [(above.whole, below.whole), (above.days, below.days)] {
            prop_assert!(above.removed >= below.removed);
            prop_assert!(above.expired.is_some() >= below.expired.is_some());
            prop_assert!(below.expired.is_none() || above.expired <= below.expired);
        }
    }

    /// Whatever is forgotten, nothing that a mark covers is served, and nothing else is refused but what is below the
    /// floor.
    #[test]
    fn forgetting_makes_colder_never_wrong(
        marks in history(),
        rooms in proptest::collection::vec((1usize..12, prop_oneof![Just(u64::MAX), 0u64..40]), 1..4),
        span in proptest::option::of((0..3i32, 0..3i32)),
        since in 0u64..45,
        tags in tags(),
    ) {
        let mut table = table(&marks);
        let mut highest = 0;
        for (room, up_to) in rooms {
            let (before, floor) = (table.iter().count(), table.floor("a"));
            let pending = table.iter().filter(|(_, standing)| standing.last().is_none()).count();
            let forgotten = table.forget(room, up_to);
            prop_assert_eq!(table.scopes(), table.iter().count());
            prop_assert!(before > room || forgotten == 0, "there was room");
            // Two caches and everything may have become floors.
            prop_assert!(up_to < u64::MAX || table.scopes() <= room + pending + 3);
            prop_assert!(table.floor("a") <= floor.max(up_to));
            highest = table.floor("a");
        }
        let span = span.map(|(a, b)| Span { store: "0".into(), from: Day(a.min(b)), to: Day(a.max(b)) });
        let acted = marks.iter().filter(|mark| mark.seq.is_some_and(|seq| seq <= highest));
        let latest = acted.map(|mark| mark.tick).max().unwrap_or(0);
        for (since, above) in [
            (Since::Seq(since), since >= highest),
            (Since::Tick(Tick(since)), since >= latest),
        ] {
            let cover = table.over("a", "k", &tags).cover(span.as_ref(), since);
            let (whole, days) = naive(&marks, &tags, span.as_ref(), since);
            if cover.whole.removed && !above {
                continue;
            }
            prop_assert!(agree(cover.whole, whole), "{:?} {:?}", cover, whole);
            prop_assert!(whole.removed || agree(cover.days, days), "{:?} {:?}", cover, days);
        }
    }
}
