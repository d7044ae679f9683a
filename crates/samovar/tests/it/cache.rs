//! A named cache: what it keeps, how it labels, what it counts.

use std::sync::Arc;
use std::time::Duration;

use samovar::{CachePolicy, Counted, Fence, Outcome, Samovar, Settings, Value};
use samovar_core::{
    BoxFuture, Claim, Day, Entry, Error, ErrorKind, History, Key, Mark, MarkLog, Millis, Mode,
    Next, Part, Partition, Scope, Snapshot, Span, Stamp, Tick, Tier, TierName, Usage, Verdict,
    Version,
};
use samovar_testkit::clock::FakeClock;
use samovar_testkit::log::StepLog;
use tempfile::tempdir;

use crate::support::{
    START, TTL, WINDOW, block_on, get, key, mark, open, policy, settings, stamp, text, whole,
};

#[test]
fn age_makes_stale_then_gone() {
    let clock = FakeClock::at(START);
    let samovar = open(None, &clock);
    let cache = samovar.cache::<String>(policy("c"));
    cache.put("k", "v".to_owned(), whole(&samovar));
    let found = cache.peek("k").unwrap();
    assert_eq!((found.verdict, found.marked), (Verdict::Fresh, false));
    assert_eq!(found.fresh_until(), START.plus(TTL));
    assert_eq!(found.read_at(), START);
    clock.advance(TTL - Duration::from_millis(1));
    assert_eq!(cache.peek("k").unwrap().verdict, Verdict::Fresh);
    clock.advance(Duration::from_millis(1));
    let found = cache.peek("k").unwrap();
    assert_eq!((found.verdict, found.marked), (Verdict::Stale, false), "merely old");
    clock.advance(WINDOW);
    assert!(cache.peek("k").is_none());
    assert_eq!(samovar.usage()[0].1.total().entries, 0, "what is dead is forgotten");
}

#[test]
fn a_clock_put_back_counts_as_expired() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let samovar = open(Some(directory.path()), &clock);
    let cache = samovar.cache::<String>(policy("c"));
    cache.put("k", "v".to_owned(), whole(&samovar));
    block_on(samovar.flush()).unwrap();
    clock.set(Millis(START.0 - 1));
    assert!(cache.peek("k").is_none());
    assert!(get(&cache, "k").is_none(), "also on disk");
}

#[test]
fn expire_labels_within_its_window() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let samovar = open(Some(directory.path()), &clock);
    let long = CachePolicy { ttl: TTL * 100, ..policy("c") };
    let cache = samovar.cache::<String>(long);
    cache.put("k", "v".to_owned(), whole(&samovar));
    cache.put_below("l", "v".to_owned(), whole(&samovar));
    block_on(samovar.flush()).unwrap();
    mark(&samovar, Scope::Cache("c".into()), Mode::Expire);
    clock.advance(WINDOW / 2);
    // A later one does not lengthen the window.
    mark(&samovar, Scope::Everything, Mode::Expire);
    for id in ["k", "l"] {
        let found = get(&cache, id).unwrap();
        assert_eq!((found.verdict, found.marked), (Verdict::Stale, true), "{id}");
        assert_eq!(found.part_verdict(0), Verdict::Stale);
    }
    clock.advance(WINDOW / 2 - Duration::from_millis(1));
    assert_eq!(get(&cache, "l").unwrap().verdict, Verdict::Stale);
    clock.advance(Duration::from_millis(1));
    assert!(get(&cache, "k").is_none());
    assert!(get(&cache, "l").is_none());
    cache.put("k", "v".to_owned(), whole(&samovar));
    assert_eq!(get(&cache, "k").unwrap().verdict, Verdict::Fresh);
}

#[test]
fn a_remove_is_stronger_than_an_expire_in_either_order() {
    for modes in [[Mode::Expire, Mode::Remove], [Mode::Remove, Mode::Expire]] {
        let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
        let samovar = open(Some(directory.path()), &clock);
        let cache = samovar.cache::<String>(policy("c"));
        cache.put("k", "v".to_owned(), whole(&samovar));
        for mode in modes {
            mark(&samovar, key("c", "k"), mode);
        }
        assert!(get(&cache, "k").is_none());
        // Between the two in time: only the second counts.
        mark(&samovar, key("c", "k"), modes[0]);
        cache.put("k", "w".to_owned(), whole(&samovar));
        mark(&samovar, key("c", "k"), modes[1]);
        let found = get(&cache, "k").map(|found| found.verdict);
        let expected = (modes[1] == Mode::Expire).then_some(Verdict::Stale);
        assert_eq!(found, expected);
    }
}

#[test]
fn scopes_cover_what_they_say() {
    let clock = FakeClock::at(START);
    let cases = [
        (key("a", "k"), [true, false, false, false]),
        (Scope::Cache("a".into()), [true, true, false, true]),
        (Scope::Partition(Partition::new("7", Day(3))), [false, false, false, true]),
        (Scope::Partition(Partition::new("7", Day(4))), [false; 4]),
        (Scope::Partition(Partition::new("8", Day(3))), [false; 4]),
        (Scope::Everything, [true; 4]),
    ];
    for (scope, covered) in cases {
        let samovar = open(None, &clock);
        let (a, b) = (samovar.cache::<String>(policy("a")), samovar.cache::<String>(policy("b")));
        a.put("k", "v".to_owned(), whole(&samovar));
        a.put("l", "v".to_owned(), whole(&samovar));
        b.put("k", "v".to_owned(), whole(&samovar));
        let span = Span { store: "7".into(), from: Day(3), to: Day(3) };
        a.put("day", "v".to_owned(), [Part { span: Some(span), stamp: stamp(&samovar) }].into());
        mark(&samovar, scope.clone(), Mode::Remove);
        let gone =
            [a.peek("k"), a.peek("l"), b.peek("k"), a.peek("day")].map(|found| found.is_none());
        assert_eq!(gone, covered, "{scope}");
    }
}

#[test]
fn parts_are_judged_by_themselves() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let samovar = open(Some(directory.path()), &clock);
    let cache = samovar.cache::<String>(policy("c"));
    let part = |from, to| {
        let span = Span { store: "7".into(), from: Day(from), to: Day(to) };
        Part { span: Some(span), stamp: stamp(&samovar) }
    };
    let early = [part(0, 0), part(1, 4)];
    clock.advance(TTL / 2);
    let all = [early[0].clone(), early[1].clone(), part(5, 9)];
    cache.put("k", "block".to_owned(), all.into());
    clock.advance(TTL / 2);
    mark(&samovar, Scope::Partition(Partition::new("7", Day(0))), Mode::Remove);
    for found in [cache.peek("k").unwrap(), cache.peek("k").unwrap()] {
        let verdicts: Vec<Verdict> = (0..3).map(|part| found.part_verdict(part)).collect();
        assert_eq!(verdicts, [Verdict::Refused, Verdict::Stale, Verdict::Fresh]);
        assert_eq!(found.verdict, Verdict::Refused);
        assert_eq!(found.part_verdict(3), Verdict::Refused, "there is none");
    }
    let answer = cache.get_or_load("k", |_| async { Ok("anew".to_owned()) });
    assert_eq!(
        *block_on(answer).unwrap().value.unwrap(),
        "anew",
        "refused parts are never served as a whole"
    );
}

#[test]
fn old_parts_in_a_new_entry_keep_their_stamps() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let samovar = open(Some(directory.path()), &clock);
    let cache = samovar.cache::<String>(policy("c"));
    let day = |day, stamp| {
        let span = Span { store: "7".into(), from: Day(day), to: Day(day) };
        Part { span: Some(span), stamp }
    };
    let before = stamp(&samovar);
    cache.put_below("k", "old".to_owned(), [day(0, before), day(1, before)].into());
    block_on(samovar.flush()).unwrap();
    mark(&samovar, Scope::Partition(Partition::new("7", Day(1))), Mode::Expire);
    block_on(samovar.sweep()).unwrap();
    // Read from disk, spliced with a new day, written again: day 1 must stay stale, here and on disk.
    let found = get(&cache, "k").unwrap();
    let stamps: Vec<Stamp> = found.parts().iter().map(|part| part.stamp).collect();
    let parts = [day(0, stamp(&samovar)), day(1, stamps[1]), day(2, stamp(&samovar))];
    cache.put("k", "spliced".to_owned(), parts.clone().into());
    let verdicts = |found: &samovar::Found<String>| {
        (0..3).map(|part| found.part_verdict(part)).collect::<Vec<_>>()
    };
    let expected = [Verdict::Fresh, Verdict::Stale, Verdict::Fresh];
    assert_eq!(verdicts(&cache.peek("k").unwrap()), expected);
    cache.put_below("k", "spliced".to_owned(), parts.into());
    for _ in 0..2 {
        block_on(samovar.flush()).unwrap();
        let found = get(&cache, "k").unwrap();
        assert_eq!((verdicts(&found), found.tier), (expected.to_vec(), TierName::Disk));
        cache.put_below("k", "spliced".to_owned(), found.parts().clone());
        block_on(samovar.sweep()).unwrap();
    }
}

#[test]
fn policies_choose_the_tiers() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let samovar = open(Some(directory.path()), &clock);
    for (name, memory, disk) in [
        ("both", true, true),
        ("memory", true, false),
        ("disk", false, true),
        ("none", false, false),
    ] {
        let cache = samovar.cache::<String>(CachePolicy { memory, disk, ..policy(name) });
        assert_eq!(*cache.put("k", "v".to_owned(), whole(&samovar)), "v");
        block_on(samovar.flush()).unwrap();
        assert_eq!(cache.peek("k").is_some(), memory, "{name}");
        assert_eq!(text(get(&cache, "k")), (memory || disk).then(|| "v".to_owned()), "{name}");
        assert_eq!(
            cache.peek("k").is_some(),
            memory,
            "{name}: promoted only where memory keeps it"
        );
        let usage: Vec<bool> =
            samovar.usage().iter().map(|(_, usage)| usage.caches.contains_key(name)).collect();
        assert_eq!(usage, [memory, disk]);
    }
}

#[test]
fn put_below_replaces_what_memory_held() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let samovar = open(Some(directory.path()), &clock);
    let cache = samovar.cache::<String>(policy("c"));
    cache.put("k", "old".to_owned(), whole(&samovar));
    cache.put_below("k", "new".to_owned(), whole(&samovar));
    assert!(cache.peek("k").is_none());
    assert_eq!(text(get(&cache, "k")), Some("new".to_owned()));
    assert_eq!(text(cache.peek("k")), Some("new".to_owned()), "now it is in memory");
}

#[test]
fn remove_forgets_everywhere() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let samovar = open(Some(directory.path()), &clock);
    let cache = samovar.cache::<String>(policy("c"));
    cache.put("k", "v".to_owned(), whole(&samovar));
    assert!(block_on(cache.remove("k")));
    assert!(get(&cache, "k").is_none());
    assert!(!block_on(cache.remove("k")));
    block_on(samovar.close()).unwrap();
    let samovar = open(Some(directory.path()), &clock);
    assert!(get(&samovar.cache(policy("c")), "k").is_none());
}

#[test]
fn lookups_are_counted_by_tier_and_cache() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let samovar = open(Some(directory.path()), &clock);
    let cache = samovar.cache::<String>(policy("c"));
    assert!(cache.peek("k").is_none());
    assert!(get(&cache, "k").is_none());
    cache.put_below("k", "v".to_owned(), whole(&samovar));
    assert!(get(&cache, "k").is_some());
    for _ in 0..3 {
        assert!(cache.peek("k").is_some());
    }
    clock.advance(TTL);
    assert!(cache.peek("k").is_some());
    block_on(samovar.flush()).unwrap();
    mark(&samovar, key("c", "k"), Mode::Remove);
    assert!(get(&cache, "k").is_none());
    let counts = samovar.counters().snapshot();
    let memory = counts.of("c", TierName::Memory);
    assert_eq!((memory.hits, memory.stale, memory.misses, memory.refused), (3, 1, 2, 1));
    let disk = counts.of("c", TierName::Disk);
    assert_eq!((disk.hits, disk.stale, disk.misses, disk.refused), (1, 0, 1, 1));
    assert_eq!(counts.of("absent", TierName::Disk), samovar::LookupCounts::default());
    samovar.counters().reset();
    assert_eq!(samovar.counters().snapshot().of("c", TierName::Memory).hits, 0);
}

#[test]
fn get_or_load_tells_how_it_came_by_the_value() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let samovar = open(Some(directory.path()), &clock);
    let cache = samovar.cache::<String>(policy("c"));
    let ask = |value: &'static str| {
        block_on(cache.get_or_load("k", move |_| async move { Ok(value.to_owned()) })).unwrap()
    };
    // What is stale is read again behind it, here in vain.
    let ask_in_vain = |cache: &samovar::Cache<String>| {
        let down = || Err::<String, _>(Error::new(ErrorKind::Source, "the source is down"));
        block_on(cache.get_or_load("k", move |_| async move { down() }))
    };
    let told = |answer: samovar::Answer<String>| {
        (answer.value.unwrap().to_string(), answer.outcome, answer.tier, answer.age)
    };
    let second = Duration::from_secs(1);
    assert_eq!(told(ask("one")), ("one".into(), Outcome::Loaded, None, Duration::ZERO));
    clock.advance(second);
    assert_eq!(told(ask("two")), ("one".into(), Outcome::Hit, Some(TierName::Memory), second));
    clock.advance(TTL);
    assert_eq!(
        told(ask_in_vain(&cache).unwrap()),
        ("one".into(), Outcome::Stale, Some(TierName::Memory), TTL + second)
    );
    block_on(samovar.close()).unwrap();
    let samovar = open(Some(directory.path()), &clock);
    let cache = samovar.cache::<String>(policy("c"));
    let answer = ask_in_vain(&cache).unwrap();
    assert_eq!(told(answer), ("one".into(), Outcome::Stale, Some(TierName::Disk), TTL + second));
    mark(&samovar, key("c", "k"), Mode::Remove);
    let error = ask_in_vain(&cache).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source);
    assert!(cache.peek("k").is_none(), "an error is not cached");
}

#[test]
fn one_load_for_many_threads() {
    let samovar = open(None, &FakeClock::at(START));
    let cache = samovar.cache::<String>(policy("c"));
    for round in 0..50 {
        let loads = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let id = round.to_string();
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    let loads = Arc::clone(&loads);
                    let load = move |_| async move {
                        loads.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        Ok("v".to_owned())
                    };
                    assert_eq!(
                        *block_on(cache.get_or_load(&id, load)).unwrap().value.unwrap(),
                        "v"
                    );
                });
            }
        });
        assert_eq!(loads.load(std::sync::atomic::Ordering::SeqCst), 1);
    }
}

#[test]
fn lifetimes_are_spread() {
    let samovar = open(None, &FakeClock::at(START));
    let cache = samovar.cache::<String>(CachePolicy { jitter: 0.2, ..policy("c") });
    let mut lives: Vec<i64> = (0..500)
        .map(|id| {
            let id = id.to_string();
            cache.put(&id, "v".to_owned(), whole(&samovar));
            cache.peek(&id).unwrap().fresh_until().0 - START.0
        })
        .collect();
    lives.sort_unstable();
    let ttl = TTL.as_millis() as i64;
    assert!(lives[0] >= ttl * 8 / 10 && lives[0] < ttl * 82 / 100, "{}", lives[0]);
    assert!(lives[499] <= ttl * 12 / 10 && lives[499] > ttl * 118 / 100, "{}", lives[499]);
    lives.dedup();
    assert!(lives.len() > 400, "each its own");
}

/// A value whose stored form is not understood, or does not exist.
#[derive(Debug)]
struct Odd(&'static str);

impl Value for Odd {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.0 == "no form" {
            return Err(Error::new(ErrorKind::Invalid, "it has no stored form"));
        }
        out.extend_from_slice(self.0.as_bytes());
        Ok(())
    }

    fn decode(_: &[u8]) -> Result<Self, Error> {
        Err(Error::new(ErrorKind::Format, "written by another version"))
    }

    fn weight(&self) -> usize {
        self.0.len()
    }
}

#[test]
fn what_cannot_be_read_again_is_dropped_and_said() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let samovar = open(Some(directory.path()), &clock);
    let cache = samovar.cache::<Odd>(policy("c"));
    cache.put_below("k", Odd("v"), whole(&samovar));
    assert!(block_on(cache.get("k")).is_none());
    assert_eq!(samovar.counters().snapshot().count(Counted::Damaged), 1);
    block_on(samovar.flush()).unwrap();
    assert_eq!(samovar.usage()[1].1.total().entries, 0);
    cache.put("l", Odd("no form"), whole(&samovar));
    assert!(cache.peek("l").is_some(), "memory keeps it all the same");
    assert_eq!(samovar.counters().snapshot().count(Counted::FillDropped), 1);
    let said: Vec<String> =
        samovar.counters().notices().iter().map(|notice| notice.text.to_string()).collect();
    assert!(said[0].contains("c:k") && said[0].contains("another version"), "{said:?}");
    assert!(said[1].contains("c:l") && said[1].contains("no stored form"), "{said:?}");
}

#[test]
fn another_type_under_the_same_name_is_not_found() {
    let samovar = open(None, &FakeClock::at(START));
    samovar.cache::<String>(policy("c")).put("k", "v".to_owned(), whole(&samovar));
    assert!(samovar.cache::<Vec<u8>>(policy("c")).peek("k").is_none());
}

#[test]
fn memory_is_bounded_over_all_caches() {
    let clock = FakeClock::at(START);
    let samovar =
        block_on(Samovar::open(Settings { memory_max_bytes: 1 << 20, ..settings(None, &clock) }))
            .unwrap();
    for id in 0..400 {
        let cache = samovar.cache::<String>(policy(if id % 2 == 0 { "even" } else { "odd" }));
        cache.put(&id.to_string(), "x".repeat(10_000), whole(&samovar));
    }
    let usage = &samovar.usage()[0].1;
    assert!(usage.total().bytes <= 1 << 20);
    assert_eq!(usage.total().entries + samovar.memory_evictions(), 400);
}

/// A tier that is out of order.
struct Broken;

impl Tier for Broken {
    type Value = samovar::codec::Payload;

    fn name(&self) -> TierName {
        TierName::Disk
    }

    fn get<'a>(
        &'a self,
        _: &'a Key,
    ) -> BoxFuture<'a, Result<Option<Entry<samovar::codec::Payload>>, Error>> {
        Box::pin(async { Err(Error::new(ErrorKind::Storage, "out of order")) })
    }

    fn put(&self, _: &Key, _: Entry<samovar::codec::Payload>) {}

    fn remove<'a>(&'a self, _: &'a Key) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(async { Err(Error::new(ErrorKind::Storage, "out of order")) })
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Err(Error::new(ErrorKind::Storage, "out of order")) })
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }
}

#[test]
fn a_tier_that_fails_is_counted_and_passed_over() {
    let clock = FakeClock::at(START);
    let samovar = block_on(Samovar::open(Settings {
        lower: Some(Arc::new(|_, _| Ok(Some(Arc::new(Broken) as _)))),
        ..settings(None, &clock)
    }))
    .unwrap();
    let cache = samovar.cache::<String>(policy("c"));
    assert!(get(&cache, "k").is_none());
    let answer = block_on(cache.get_or_load("k", |_| async { Ok("v".to_owned()) })).unwrap();
    assert_eq!(answer.outcome, Outcome::Loaded);
    assert_eq!(text(get(&cache, "k")), Some("v".to_owned()), "memory works on");
    assert!(block_on(cache.remove("k")));
    assert!(block_on(samovar.flush()).is_err(), "nobody is told that it is durable");
    assert_eq!(samovar.counters().snapshot().count(Counted::TierError), 3);
    for key in ["a", "b", "c", "d", "e"] {
        assert!(get(&cache, key).is_none());
    }
    let counts = samovar.counters().snapshot();
    assert!(counts.count(Counted::TierSkipped) > 0, "it is left alone for a while: {counts:?}");
    assert!(counts.count(Counted::TierError) < 8, "{counts:?}");
}

/// A log that leaves out a number.
struct Gappy(Arc<StepLog>);

impl MarkLog for Gappy {
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, Error>> {
        self.0.snapshot()
    }

    fn append(
        &self,
        marks: Vec<Mark>,
        head: Option<Version>,
    ) -> BoxFuture<'static, Result<Option<Version>, Error>> {
        self.0.append(marks, head)
    }

    fn next<'a>(&'a self, history: &'a History, after: u64) -> BoxFuture<'a, Result<Next, Error>> {
        self.0.next(history, after + 1)
    }
}

#[test]
fn a_gap_in_the_log_stops_the_fence_and_not_its_marks() {
    let clock = FakeClock::at(START);
    let log = Arc::new(Gappy(StepLog::at_once()));
    let samovar =
        block_on(Samovar::open(Settings { log: Some(log), ..settings(None, &clock) })).unwrap();
    let cache = samovar.cache::<String>(policy("c"));
    for id in ["k", "l", "m"] {
        cache.put(id, "v".to_owned(), whole(&samovar));
    }
    // The first number is left out, so it is missed when the second comes.
    let ids = vec![key("c", "k"), key("c", "l")];
    let error = block_on(samovar.mark(ids, Mode::Remove, "test")).unwrap_err();
    assert!(error.to_string().contains("gap"), "{error}");
    assert!(
        block_on(samovar.mark(vec![key("c", "m")], Mode::Remove, "test")).is_err(),
        "from now on"
    );
    for id in ["k", "l", "m"] {
        assert!(cache.peek(id).is_none(), "{id}: they are in force all the same");
    }
    let answer = block_on(cache.get_or_load("k", |_| async { Ok("w".to_owned()) })).unwrap();
    assert_eq!((&**answer.value.unwrap(), text(cache.peek("k"))), ("w", Some("w".to_owned())));
    assert!(block_on(samovar.close()).is_err(), "it is said at the end too");
}

fn fence(samovar: &Samovar) -> &Fence {
    samovar.fence()
}

#[test]
fn acted_since_knows_the_recent_marks() {
    let samovar = open(None, &FakeClock::at(START));
    let of = |id: &str| {
        let key = Key::new("c", id);
        move |scope: &Scope| scope.may_cover(&key)
    };
    let start = fence(&samovar).tick();
    assert!(!fence(&samovar).acted_since(start, |_| true));
    mark(&samovar, key("c", "a"), Mode::Remove);
    let between = fence(&samovar).tick();
    mark(&samovar, key("c", "b"), Mode::Expire);
    assert!(fence(&samovar).acted_since(start, of("a")));
    assert!(!fence(&samovar).acted_since(between, of("a")));
    assert!(fence(&samovar).acted_since(between, of("b")));
    assert!(!fence(&samovar).acted_since(start, of("c")));
    // Beyond what is remembered the answer is yes.
    let many = (0..5_000).map(|id| key("d", &id.to_string())).collect();
    block_on(samovar.mark(many, Mode::Remove, "test")).unwrap();
    assert!(fence(&samovar).acted_since(start, of("c")));
    assert_eq!(
        fence(&samovar).tick(),
        Tick(start.0 + 5_002),
        "a mark acts once, pending or numbered"
    );
}

#[test]
fn judge_memory_answers_for_a_day() {
    let samovar = open(None, &FakeClock::at(START));
    let cache = samovar.cache::<String>(policy("c"));
    let span = Span { store: "7".into(), from: Day(0), to: Day(3) };
    let part = Part { span: Some(span), stamp: stamp(&samovar) };
    cache.put("k", "v".to_owned(), [part].into());
    mark(&samovar, Scope::Partition(Partition::new("7", Day(2))), Mode::Remove);
    let found = cache.peek("k").unwrap();
    let name = Key::new("c", "k");
    let verdict = |day| {
        let part = found.parts()[0].only(Day(day));
        let (parts, tags, lifetime) = (std::slice::from_ref(&part), found.tags(), found.lifetime());
        fence(&samovar).judge_memory(&name, Claim { parts, tags, lifetime })
    };
    assert_eq!(
        [0, 1, 2, 3].map(verdict).map(|v| v == Verdict::Refused),
        [false, false, true, false]
    );
}

#[test]
fn nothing_to_mark_is_no_mark() {
    let samovar = open(None, &FakeClock::at(START));
    let version = block_on(samovar.mark(Vec::new(), Mode::Remove, "nothing")).unwrap();
    assert_eq!(version.seq, 0);
}
