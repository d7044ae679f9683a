//! Fills that come late: what stands and was read after them stays.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use samovar::{Cache, CachePolicy, Counted, Samovar};
use samovar_core::{Day, Epoch, Mode, Part, Partition, Parts, Scope, Span, Verdict, Version};
use samovar_testkit::clock::FakeClock;
use tempfile::tempdir;

use crate::support::{
    START, TTL, WINDOW, block_on, get, key, mark, open, policy, stamp, text, whole,
};

/// Where a value is looked for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum In {
    Memory,
    /// On disk, while it waits to be written.
    Queue,
    /// On disk, once what stands there is durable.
    File,
}

const EVERYWHERE: [In; 3] = [In::Memory, In::Queue, In::File];

struct At {
    place: In,
    clock: Arc<FakeClock>,
    samovar: Samovar,
    cache: Cache<String>,
}

fn at(place: In, directory: &Path) -> At {
    let clock = FakeClock::at(START);
    let samovar = open(Some(directory), &clock);
    let memory = place == In::Memory;
    let cache = samovar.cache(CachePolicy { memory, disk: !memory, ..policy("c") });
    At { place, clock, samovar, cache }
}

impl At {
    fn put(&self, value: &str, parts: Parts) {
        self.cache.put("k", value.to_owned(), parts);
        if self.place == In::File {
            block_on(self.samovar.flush()).unwrap();
        }
    }

    /// A token is taken, and time goes by.
    fn parts(&self) -> Parts {
        let parts = whole(&self.samovar);
        self.clock.advance(Duration::from_secs(1));
        parts
    }

    fn marks(&self, scope: Scope, mode: Mode) {
        mark(&self.samovar, scope, mode);
    }

    fn found(&self) -> Option<(String, Verdict)> {
        // What the writer refuses has left the queue by then.
        block_on(self.samovar.flush()).unwrap();
        get(&self.cache, "k").map(|found| (found.to_string(), found.verdict))
    }

    fn refused(&self) -> u64 {
        block_on(self.samovar.flush()).unwrap();
        self.samovar.counters().snapshot().count(Counted::FillRefused)
    }

    fn serves(&self, value: &str) {
        assert_eq!(self.found(), Some((value.to_owned(), Verdict::Fresh)), "{:?}", self.place);
    }
}

#[test]
fn a_late_fill_leaves_what_was_read_after_a_mark() {
    // Two that cover it, and one that does not: without it the late fill would be served as fresh.
    let scopes = [
        (key("c", "k"), Mode::Remove),
        (Scope::Cache("c".into()), Mode::Expire),
        (key("c", "another"), Mode::Remove),
    ];
    for place in EVERYWHERE {
        for (scope, mode) in scopes.clone() {
            let directory = tempdir().unwrap();
            let at = at(place, directory.path());
            let early = at.parts();
            at.marks(scope.clone(), mode);
            at.put("new", at.parts());
            at.put("old", early);
            at.serves("new");
            assert_eq!(at.refused(), 1, "{place:?} {scope}");
            at.put("newer", at.parts());
            at.serves("newer");
            block_on(at.samovar.close()).unwrap();
        }
    }
}

#[test]
fn without_a_mark_the_clock_decides() {
    for place in EVERYWHERE {
        let directory = tempdir().unwrap();
        let at = at(place, directory.path());
        let early = at.parts();
        at.put("new", at.parts());
        at.put("old", early);
        at.serves("new");
        assert_eq!(at.refused(), 1);
    }
}

#[test]
fn the_same_stamp_takes_the_place() {
    for place in EVERYWHERE {
        let directory = tempdir().unwrap();
        let at = at(place, directory.path());
        let parts = at.parts();
        at.put("once", Arc::clone(&parts));
        at.put("again", parts);
        at.serves("again");
        assert_eq!(at.refused(), 0);
    }
}

#[test]
fn what_may_not_be_served_gives_way() {
    for place in EVERYWHERE {
        let directory = tempdir().unwrap();
        let at = at(place, directory.path());
        at.clock.advance(TTL);
        at.put("from the future", at.parts());
        at.clock.set(START);
        at.put("now", at.parts());
        at.serves("now");
    }
}

#[test]
fn what_came_up_from_below_gives_way_to_what_was_read_since() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let samovar = open(Some(directory.path()), &clock);
    let cache = samovar.cache::<String>(policy("c"));
    cache.put_below("k", "old".to_owned(), whole(&samovar));
    clock.advance(TTL);
    let refresh = whole(&samovar);
    // It comes up with the tick of this moment, which is later than the refresh's.
    mark(&samovar, key("c", "another"), Mode::Remove);
    assert_eq!(get(&cache, "k").unwrap().verdict, Verdict::Stale);
    cache.put("k", "refreshed".to_owned(), refresh);
    assert_eq!(cache.peek("k").unwrap().verdict, Verdict::Fresh);
    clock.advance(WINDOW / 2);
    assert_eq!(text(get(&cache, "k")), Some("refreshed".to_owned()));
}

#[test]
fn a_bulk_load_that_is_late_leaves_memory_and_disk() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let samovar = open(Some(directory.path()), &clock);
    let cache = samovar.cache::<String>(policy("c"));
    let bulk = whole(&samovar);
    mark(&samovar, key("c", "k"), Mode::Expire);
    cache.put("k", "new".to_owned(), whole(&samovar));
    cache.put_below("k", "old".to_owned(), bulk);
    assert_eq!(text(cache.peek("k")), Some("new".to_owned()));
    block_on(samovar.close()).unwrap();
    let samovar = open(Some(directory.path()), &clock);
    assert_eq!(text(get(&samovar.cache(policy("c")), "k")), Some("new".to_owned()), "on disk");
}

#[test]
fn a_block_is_compared_day_by_day() {
    for place in EVERYWHERE {
        let directory = tempdir().unwrap();
        let at = at(place, directory.path());
        let part = |from, to| {
            at.clock.advance(Duration::from_secs(1));
            let span = Span { store: "7".into(), from: Day(from), to: Day(to) };
            Part { span: Some(span), stamp: stamp(&at.samovar) }
        };
        let all = part(0, 9);
        let early = part(3, 3);
        at.put("all", [all.clone()].into());
        at.marks(Scope::Partition(Partition::new("7", Day(3))), Mode::Expire);
        let days = |from, to| Part { span: part(from, to).span, stamp: all.stamp };
        at.put("spliced", [days(0, 2), part(3, 3), days(4, 9)].into());
        at.serves("spliced");
        for late in [vec![all.clone()], vec![days(0, 2), early, days(4, 9)]] {
            at.put("late", late.into());
            at.serves("spliced");
        }
        assert_eq!(at.refused(), 2, "{place:?}: older for one day, newer for none");
        let newest = part(3, 3);
        at.put("newest", [days(0, 2), newest.clone(), days(4, 9)].into());
        // Older for one day, newer for all others: its oldest part is newer.
        let mut most = [part(0, 2), part(3, 3), part(4, 9)];
        most[1].stamp.read_at = START.plus(Duration::from_secs(3));
        at.put("most", most.into());
        at.serves("most");
        at.put("late", [days(0, 2), newest, days(4, 9)].into());
        at.serves("most");
    }
}

#[test]
fn versions_off_the_history_give_way() {
    let directory = tempdir().unwrap();
    for round in 0..2 {
        let at = at(In::File, directory.path());
        at.put("kept", at.parts());
        block_on(at.samovar.close()).unwrap();
        // The log is lost, and another founded: numbers begin again.
        std::fs::remove_file(directory.path().join("marks.redb")).unwrap();
        let at = self::at(In::File, directory.path());
        assert_eq!(at.found(), None, "{round}");
        at.put("anew", at.parts());
        at.serves("anew");
        let version = Version { epoch: Epoch(1), seq: 99 };
        let stamp = samovar_core::Stamp { version, ..stamp(&at.samovar) };
        at.put("of an unknown epoch", [Part { span: None, stamp }].into());
        at.serves("anew");
        block_on(at.samovar.close()).unwrap();
    }
}

#[test]
fn what_is_refused_does_not_hide_what_stands() {
    let directory = tempdir().unwrap();
    let at = at(In::File, directory.path());
    let early = at.parts();
    at.marks(key("c", "k"), Mode::Remove);
    at.put("new", at.parts());
    at.cache.put("k", "old".to_owned(), early);
    assert_eq!(text(get(&at.cache, "k")), Some("new".to_owned()), "at once");
}
