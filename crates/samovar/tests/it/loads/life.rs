//! What a loader says of its value, and where that lives.

use samovar::PutOptions;
use samovar::codec::Payload;
use samovar_core::{Day, Mode, Part, Partition, Scope, Span, Stamp, Tags, TierName};
use samovar_testkit::gate::{Door, Gate};
use tempfile::tempdir;

use super::*;
use crate::support::{block_on, key, mark};

fn anew() -> ReadOptions {
    ReadOptions { refresh: true, ..ReadOptions::default() }
}

fn span(store: &str, from: i32, to: i32) -> Span {
    Span { store: store.into(), from: Day(from), to: Day(to) }
}

#[test]
fn a_loader_says_how_long_and_by_what() {
    test(async {
        let field = Field::new(policy("c")).await;
        for scope in [
            Scope::Tag("t".into()),
            Scope::Partition(Partition::new("7", Day(4))),
            Scope::Partition(Partition::new("8", Day(1))),
        ] {
            let asked = field.ask_with("k", anew());
            settle().await;
            let loaded = Loaded::from("v".to_owned())
                .ttl(SECOND)
                .tags(Tags::new(["t"]).unwrap())
                .partitions([span("7", 3, 5), span("8", 1, 1)]);
            field.source.says(Ok(loaded)).await;
            asked.await.unwrap().unwrap();
            let found = field.cache.peek("k").unwrap();
            assert_eq!((found.parts().len(), found.lifetime().ttl), (2, SECOND));
            mark(&field.samovar, Scope::Partition(Partition::new("7", Day(6))), Mode::Remove);
            assert_eq!(field.told().await, told(Outcome::Hit, "v"), "another day");
            mark(&field.samovar, scope.clone(), Mode::Remove);
            let asked = field.ask();
            settle().await;
            assert!(!asked.is_finished(), "{scope}");
            field.source.gives("w").await;
            assert_eq!(Told::from(asked.await.unwrap()), told(Outcome::Loaded, "w"));
        }
    });
}

/// Which partitions a load will bring is not known while it runs.
#[test]
fn who_asks_after_a_mark_on_a_partition_does_not_join_what_began_before() {
    test(async {
        let field = Field::new(policy("c")).await;
        let before = field.ask();
        settle().await;
        mark(&field.samovar, Scope::Partition(Partition::new("7", Day(4))), Mode::Remove);
        let after = field.ask();
        settle().await;
        let old = Loaded::from("old".to_owned()).partitions([span("7", 4, 4)]);
        field.source.says(Ok(old)).await;
        assert_eq!(Told::from(before.await.unwrap()), told(Outcome::Loaded, "old"));
        assert!(!after.is_finished());
        field.source.gives("new").await;
        assert_eq!(Told::from(after.await.unwrap()), told(Outcome::Loaded, "new"));
    });
}

#[test]
fn what_is_not_to_be_kept_is_given_and_takes_the_old_away() {
    test(async {
        let field = Field::new(policy("c")).await;
        field.holds("old").await;
        let asked = [field.ask_with("k", anew()), field.ask_with("k", anew())];
        settle().await;
        field.source.says(Ok(Loaded::from("secret".to_owned()).not_kept())).await;
        for asked in asked {
            assert_eq!(Told::from(asked.await.unwrap()), told(Outcome::Loaded, "secret"));
        }
        assert!(field.cache.peek("k").is_none());
    });
}

#[test]
fn a_value_that_is_unmodified_lives_anew_with_its_tags() {
    test(async {
        let field = Field::new(policy("c")).await;
        let asked = field.ask();
        settle().await;
        let tags = Tags::new(["t"]).unwrap();
        let loaded = Loaded::from("v".to_owned()).tags(tags.clone()).partitions([span("7", 1, 2)]);
        field.source.says(Ok(loaded)).await;
        asked.await.unwrap().unwrap();
        let value = field.cache.peek("k").unwrap().value();
        field.clock.advance(TTL);
        assert_eq!(field.told().await, told(Outcome::Stale, "v"));
        field.source.says(Ok(Loaded::unmodified())).await;
        let found = field.cache.peek("k").unwrap();
        assert!(Arc::ptr_eq(&found.value(), &value), "it is the same");
        assert_eq!((found.tags(), found.parts()[0].span.clone()), (&tags, Some(span("7", 1, 2))));
        assert_eq!(found.fresh_until(), field.clock.now().plus(TTL));
        // There is nothing of which that could be said after a `remove`.
        mark(&field.samovar, Scope::Tag("t".into()), Mode::Remove);
        let asked = field.ask();
        settle().await;
        field.source.says(Ok(Loaded::unmodified())).await;
        assert_eq!(Told::from(asked.await.unwrap()), failed(ErrorKind::Invalid));
    });
}

#[test]
fn a_loader_is_told_what_there_was() {
    test(async {
        let field = Field::new(policy("c")).await;
        let ask = |options| {
            let seen = Arc::new(Mutex::new(None));
            let sees = Arc::clone(&seen);
            let load = move |load: Load<String>| async move {
                let previous = load.previous().map(|value| value.to_string());
                *sees.lock().unwrap() = previous.map(|value| (value, load.previous_read_at()));
                Ok("v".to_owned())
            };
            let cache = field.cache.clone();
            async move {
                cache.get_or_load_with("k", options, load).await.unwrap();
                settle().await;
                seen.lock().unwrap().take()
            }
        };
        assert_eq!(ask(ReadOptions::default()).await, None);
        field.clock.advance(TTL);
        assert_eq!(ask(ReadOptions::default()).await, Some(("v".into(), Some(START))));
        assert!(ask(anew()).await.is_some());
        mark(&field.samovar, key("c", "k"), Mode::Remove);
        assert_eq!(ask(ReadOptions::default()).await, None);
    });
}

#[test]
fn what_is_loaded_together_does_not_end_together() {
    test(async {
        let field = Field::new(CachePolicy { jitter: 0.1, ..policy("c") }).await;
        let mut ends = Vec::new();
        for id in 0..400 {
            let id = id.to_string();
            let asked = field.ask_with(&id, ReadOptions::default());
            settle().await;
            field.source.gives("v").await;
            asked.await.unwrap().unwrap();
            ends.push(field.cache.peek(&id).unwrap().fresh_until().0 - START.0);
        }
        ends.sort_unstable();
        let ttl = TTL.as_millis() as i64;
        assert!(ends[0] >= ttl * 9 / 10 && ends[399] <= ttl * 11 / 10);
        for tenth in 0..10 {
            let from = ttl * 9 / 10 + ttl / 50 * tenth;
            let of = ends.iter().filter(|end| (from..from + ttl / 50).contains(end)).count();
            assert!((20..=60).contains(&of), "{of} of 400 in tenth {tenth}");
        }
    });
}

/// A cache in memory and on disk, and another view of the same entries that goes to disk alone.
struct Two {
    field: Field,
    disk: Cache<String>,
    _directory: tempfile::TempDir,
}

impl Two {
    async fn new(policy: CachePolicy) -> Two {
        let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
        let samovar = Samovar::open(settings(Some(directory.path()), &clock)).await.unwrap();
        let disk = samovar.cache(CachePolicy { memory: false, ..policy.clone() });
        let cache = samovar.cache(policy);
        let field = Field { clock, samovar, cache, source: Source::default() };
        Two { field, disk, _directory: directory }
    }

    /// As another node would.
    fn puts_below(&self, value: &str) {
        let stamp = Stamp::new(self.disk.token(), self.field.clock.now());
        self.disk.put("k", value.to_owned(), Arc::from([Part { span: None, stamp }]));
    }

    /// An answer for which the disk may have to be read.
    async fn tells(&self) -> Told {
        Told::from(self.field.ask().await.unwrap())
    }
}

#[test]
fn memory_answers_for_its_own_time() {
    test(async {
        let memory_ttl = Some(SECOND * 5);
        let two = Two::new(CachePolicy { memory_ttl, ..policy("c") }).await;
        two.field.holds("one").await;
        two.field.clock.advance(SECOND * 4);
        two.puts_below("two");
        assert_eq!(two.tells().await, told(Outcome::Hit, "one"));
        two.field.clock.advance(SECOND);
        assert_eq!(two.tells().await, told(Outcome::Hit, "two"), "from below");
        assert_eq!(two.field.cache.peek("k").unwrap().tier, TierName::Memory);
        two.field.clock.advance(SECOND * 4);
        two.puts_below("three");
        assert_eq!(two.tells().await, told(Outcome::Hit, "two"), "for as long again");
        two.field.clock.advance(SECOND);
        assert_eq!(block_on(two.field.cache.get("k")).unwrap().as_str(), "three");
        assert_eq!(two.field.source.asked(), 1);
        // Never longer than the entry.
        two.field.clock.advance(TTL);
        assert_eq!(two.tells().await, told(Outcome::Stale, "three"));
    });
}

/// The window of an `expire` is the entry's own, however early memory's time is over.
#[test]
fn memorys_own_time_lengthens_no_window() {
    test(async {
        let memory_ttl = Some(SECOND);
        let short = CachePolicy { memory_ttl, stale_window: Duration::ZERO, ..policy("c") };
        let two = Two::new(short).await;
        two.field.holds("old").await;
        mark(&two.field.samovar, key("c", "k"), Mode::Expire);
        assert!(two.field.cache.peek("k").is_none());
        assert!(two.field.cache.get("k").await.is_none());
    });
}

#[test]
fn what_is_not_kept_is_not_left_below_either() {
    test(async {
        let two = Two::new(CachePolicy { negative_ttl: None, ..policy("c") }).await;
        two.puts_below("old");
        let options = ReadOptions { refresh: true, ..ReadOptions::default() };
        let gone = two
            .field
            .cache
            .get_or_load_with("k", options, |_| async { Ok(Loaded::<String>::absent()) });
        assert_eq!(gone.await.unwrap().value, None);
        assert!(two.field.cache.get("k").await.is_none());
    });
}

#[test]
fn where_nothing_lies_below_memory_goes_on_with_a_label() {
    test(async {
        let memory_ttl = Some(SECOND * 5);
        let two = Two::new(CachePolicy { memory_ttl, disk: false, ..policy("c") }).await;
        two.field.holds("one").await;
        two.field.clock.advance(SECOND * 5);
        assert_eq!(two.tells().await, told(Outcome::Stale, "one"));
        two.field.source.gives("two").await;
        assert_eq!(two.tells().await, told(Outcome::Hit, "two"));
    });
}

#[test]
fn what_another_has_read_again_is_not_loaded() {
    test(async {
        let two = Two::new(policy("c")).await;
        two.field.holds("old").await;
        two.field.clock.advance(TTL);
        two.puts_below("new");
        assert_eq!(two.tells().await, told(Outcome::Stale, "old"));
        // The disk is read on a thread of its own.
        while two.field.cache.peek("k").is_none_or(|found| *found == "old") {
            tokio::task::yield_now().await;
        }
        assert_eq!(two.tells().await, told(Outcome::Hit, "new"));
        assert_eq!(two.field.source.asked(), 1);
    });
}

#[test]
fn what_lies_below_is_not_taken_if_it_was_read_earlier() {
    test(async {
        let two = Two::new(policy("c")).await;
        two.puts_below("older");
        two.field.clock.advance(SECOND);
        let memory = two.field.samovar.cache::<String>(CachePolicy { disk: false, ..policy("c") });
        let stamp = Stamp::new(memory.token(), two.field.clock.now());
        let parts = Arc::from([Part { span: None, stamp }]);
        let short = PutOptions { ttl: Some(SECOND), ..PutOptions::default() };
        memory.put_with("k", "newer".to_owned(), parts, short);
        two.field.clock.advance(SECOND);
        assert_eq!(two.tells().await, told(Outcome::Stale, "newer"));
        while two.field.source.asked() == 0 {
            let held = two.field.cache.peek("k").unwrap().value();
            assert_eq!(*held, "newer", "nothing older takes its place");
            tokio::task::yield_now().await;
        }
    });
}

/// A cache with a disk behind doors.
async fn gated(policy: CachePolicy) -> (Field, Arc<Gate<Payload>>, tempfile::TempDir) {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let doors: Arc<Mutex<Option<Arc<Gate<Payload>>>>> = Arc::default();
    let kept = Arc::clone(&doors);
    let wrap = move |disk: Option<samovar::LowerTier>, _| {
        let gate = Gate::new(disk.unwrap());
        *kept.lock().unwrap() = Some(Arc::clone(&gate));
        Ok(Some(gate as samovar::LowerTier))
    };
    let chosen = samovar::Settings {
        lower: Some(Arc::new(wrap)),
        ..settings(Some(directory.path()), &clock)
    };
    let samovar = Samovar::open(chosen).await.unwrap();
    let gate = doors.lock().unwrap().take().unwrap();
    let cache = samovar.cache(policy);
    (Field { clock, samovar, cache, source: Source::default() }, gate, directory)
}

/// A tier that does not answer counts against the caller's patience, and the source is asked meanwhile.
#[test]
fn nobody_waits_for_a_tier_beyond_his_timeouts() {
    for mode in [None, Some(Mode::Expire), Some(Mode::Remove)] {
        test(async {
            let (field, gate, _directory) = gated(CachePolicy {
                fail_safe: WINDOW,
                soft_timeout: Some(SECOND),
                hard_timeout: Some(SECOND * 2),
                ..policy("c")
            })
            .await;
            field.holds("old").await;
            field.clock.advance(TTL + WINDOW);
            gate.shut(Door::BeforeGet);
            let asked = field.ask();
            settle().await;
            assert_eq!((gate.waiting(Door::BeforeGet), field.source.asked()), (1, 1));
            if let Some(mode) = mode {
                mark(&field.samovar, key("c", "k"), mode);
            }
            field.clock.advance(SECOND);
            settle().await;
            assert_eq!(asked.is_finished(), mode != Some(Mode::Remove));
            field.clock.advance(SECOND);
            let expected = match mode {
                Some(Mode::Remove) => failed(ErrorKind::Timeout),
                _ => told(Outcome::Stale, "old"),
            };
            assert_eq!(Told::from(asked.await.unwrap()), expected);
            gate.open(Door::BeforeGet);
            while field.source.asked() == 1 {
                tokio::task::yield_now().await;
            }
            field.source.gives("new").await;
            assert_eq!(field.told().await, told(Outcome::Hit, "new"));
        });
    }
}

/// Somebody who found nothing, and comes to the source when another has just loaded: he finds that.
#[test]
fn what_was_loaded_while_one_looked_below_is_not_loaded_again() {
    test(async {
        let (field, gate, _directory) = gated(policy("c")).await;
        gate.shut(Door::AfterGet);
        let looks = field.ask();
        while gate.waiting(Door::AfterGet) == 0 {
            tokio::task::yield_now().await;
        }
        field.holds("v").await;
        gate.open(Door::AfterGet);
        assert_eq!(Told::from(looks.await.unwrap()), told(Outcome::Hit, "v"));
        assert_eq!(field.source.asked(), 1);
    });
}

/// What memory held is judged again after the wait for what lies below.
#[test]
fn what_was_removed_while_one_looked_below_is_not_given() {
    for (mode, expected) in [(Mode::Expire, Outcome::Stale), (Mode::Remove, Outcome::Loaded)] {
        test(async {
            let memory_ttl = Some(SECOND);
            let (field, gate, _directory) = gated(CachePolicy { memory_ttl, ..policy("c") }).await;
            field.holds("old").await;
            field.clock.advance(SECOND);
            gate.shut(Door::BeforeGet);
            let looks = field.ask();
            settle().await;
            assert_eq!(gate.waiting(Door::BeforeGet), 1);
            mark(&field.samovar, key("c", "k"), mode);
            gate.open(Door::BeforeGet);
            while field.source.asked() == 1 {
                tokio::task::yield_now().await;
            }
            field.source.gives("new").await;
            let value = if expected == Outcome::Stale { "old" } else { "new" };
            assert_eq!(Told::from(looks.await.unwrap()), told(expected, value));
        });
    }
}

#[test]
fn what_was_removed_before_a_load_begins_is_not_shown_to_it() {
    test(async {
        let field = Field::new(CachePolicy { fail_safe: WINDOW, ..policy("c") }).await;
        field.holds("old").await;
        field.clock.advance(TTL + WINDOW);
        let reads = field.ask();
        settle().await;
        mark(&field.samovar, key("c", "k"), Mode::Expire);
        let waits = {
            let cache = field.cache.clone();
            let load = |load: Load<String>| async move {
                Ok(format!("previous: {:?}", load.previous().map(|value| value.to_string())))
            };
            tokio::spawn(async move { cache.get_or_load("k", load).await })
        };
        settle().await;
        mark(&field.samovar, key("c", "k"), Mode::Remove);
        field.source.gives("v").await;
        assert!(reads.await.unwrap().is_ok());
        assert_eq!(Told::from(waits.await.unwrap()), told(Outcome::Loaded, "previous: None"));
    });
}

#[test]
fn a_cache_that_keeps_nothing_in_memory_loads_once_too() {
    test(async {
        let two = Two::new(CachePolicy { memory: false, ..policy("c") }).await;
        let asked: Vec<Asked> = (0..100).map(|_| two.field.ask()).collect();
        while two.field.source.asked() == 0 {
            tokio::task::yield_now().await;
        }
        two.field.source.gives("v").await;
        for asked in asked {
            assert_eq!(&**asked.await.unwrap().unwrap().value.unwrap(), "v");
        }
        assert_eq!(two.field.source.asked(), 1);
        let answer = two.field.ask().await.unwrap().unwrap();
        assert_eq!((answer.outcome, answer.tier), (Outcome::Hit, Some(TierName::Disk)));
    });
}
