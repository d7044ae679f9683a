//! What a breaker lets through, and when.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use futures_executor::block_on;
use parking_lot::Mutex;
use samovar_core::{Epoch, Lifetime, Millis, Stamp, Tick, Version};
use samovar_testkit::clock::FakeClock;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A tier that does as it is told.
struct Moody {
    clock: Arc<FakeClock>,
    mood: Mutex<Mood>,
    asked: AtomicU32,
    put: AtomicU32,
    /// What it is handed waits to be written.
    queues: AtomicBool,
}

#[derive(Clone, Copy)]
enum Mood {
    Well,
    Fails,
    Slow,
    /// Of several keys the first is out of reach.
    Half,
}

impl Tier for Moody {
    type Value = u8;

    fn name(&self) -> TierName {
        TierName::Redis
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Got<u8>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mood = *self.mood.lock();
        if matches!(mood, Mood::Slow) {
            self.clock.advance(SECOND);
        }
        let fails = matches!(mood, Mood::Fails) || (matches!(mood, Mood::Half) && &*key.id == "0");
        Box::pin(ready(match fails {
            true => Err(Error::new(ErrorKind::Storage, "out of order")),
            false => Ok(None),
        }))
    }

    fn waiting(&self, _: &Key) -> Option<Option<Entry<u8>>> {
        self.queues.load(Ordering::SeqCst).then_some(None)
    }

    fn put(&self, _: &Key, _: Entry<u8>) {
        self.put.fetch_add(1, Ordering::SeqCst);
    }

    fn remove<'a>(&'a self, _: &'a Key) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(ready(Ok(true)))
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(ready(Ok(())))
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }
}

struct World {
    clock: Arc<FakeClock>,
    tier: Arc<Moody>,
    counters: Arc<Counters>,
    breaker: Breaker<u8>,
}

fn world() -> World {
    world_of(false)
}

fn world_of(keeps_writing: bool) -> World {
    let clock = FakeClock::at(Millis(0));
    let (asked, put) = (AtomicU32::new(0), AtomicU32::new(0));
    let mood = Mutex::new(Mood::Well);
    let queues = AtomicBool::new(false);
    let tier = Arc::new(Moody { clock: Arc::clone(&clock), mood, asked, put, queues });
    let counters = Arc::new(Counters::default());
    let options = BreakerOptions {
        failures_max: 3,
        slow: SECOND,
        retry_min: SECOND,
        retry_max: 4 * SECOND,
        keeps_writing,
    };
    let breaker = Breaker::around(
        Arc::clone(&tier) as Arc<dyn Tier<Value = u8>>,
        options,
        Arc::clone(&clock) as Arc<dyn Clock>,
        Arc::clone(&counters),
        Tasks::new().unwrap(),
    );
    World { clock, tier, counters, breaker: breaker.unwrap() }
}

fn key(id: u8) -> Key {
    Key::new("c", id.to_string())
}

fn entry() -> Entry<u8> {
    let stamp =
        Stamp { version: Version { epoch: Epoch(1), seq: 0 }, tick: Tick(0), read_at: Millis(0) };
    let lifetime = Lifetime { ttl: SECOND, stale_window: SECOND };
    Entry::whole(1, stamp, lifetime)
}

impl World {
    /// Whether a lookup reached the tier, and how it went.
    fn get(&self) -> (bool, Result<(), ErrorKind>) {
        let before = self.tier.asked.load(Ordering::SeqCst);
        let answer = block_on(self.breaker.get(&key(0)));
        let reached = self.tier.asked.load(Ordering::SeqCst) > before;
        (reached, answer.map(drop).map_err(|error| error.kind()))
    }

    fn mood(&self, mood: Mood) {
        *self.tier.mood.lock() = mood;
    }

    /// Waits, without any time passing, until the probe sleeps.
    fn sleeps(&self) {
        while self.clock.sleepers() == 0 {
            std::thread::yield_now();
        }
    }

    /// The probe asks once more.
    fn probed(&self, after: Duration) -> u32 {
        let before = self.tier.asked.load(Ordering::SeqCst);
        self.sleeps();
        self.clock.advance(after);
        while self.tier.asked.load(Ordering::SeqCst) == before {
            std::thread::yield_now();
        }
        self.tier.asked.load(Ordering::SeqCst) - before
    }
}

const WELL: (bool, Result<(), ErrorKind>) = (true, Ok(()));
const FAILED: (bool, Result<(), ErrorKind>) = (true, Err(ErrorKind::Storage));
const SKIPPED: (bool, Result<(), ErrorKind>) = (false, Err(ErrorKind::Away));

#[test]
fn failures_in_a_row_open_it_and_a_probe_closes_it() {
    let world = world();
    world.mood(Mood::Fails);
    assert_eq!([world.get(), world.get()], [FAILED; 2]);
    world.mood(Mood::Well);
    assert_eq!(world.get(), WELL, "not in a row");
    world.mood(Mood::Fails);
    assert_eq!([world.get(), world.get(), world.get()], [FAILED; 3]);
    assert_eq!([world.get(), world.get()], [SKIPPED; 2]);
    world.breaker.put(&key(0), entry());
    assert_eq!(world.tier.put.load(Ordering::SeqCst), 0);
    assert_eq!(block_on(world.breaker.remove(&key(0))).unwrap_err().kind(), ErrorKind::Away);
    let many = block_on(world.breaker.get_many(&[key(0), key(1)], Need::Now));
    assert!(many.iter().all(|one| one.as_ref().is_err_and(|e| e.kind() == ErrorKind::Away)));
    assert_eq!(world.counters.snapshot().count(Counted::TierSkipped), 5);

    // At growing intervals: 1 s, 2 s, 4 s and 4 s, each a fifth more or less.
    for most in [1_200, 2_400, 4_800, 4_800] {
        world.sleeps();
        let least = Duration::from_millis(most * 2 / 3 - 1);
        world.clock.advance(least);
        assert_eq!(world.clock.sleepers(), 1, "it is not asked that soon");
        assert_eq!(world.probed(Duration::from_millis(most) - least), 1, "one is let through");
        assert_eq!(world.get(), SKIPPED);
    }
    world.mood(Mood::Well);
    world.probed(Duration::from_millis(4_800));
    while world.breaker.inner.health.open.load(Ordering::Relaxed) {
        std::thread::yield_now();
    }
    assert_eq!(world.get(), WELL);
    let said: Vec<String> =
        world.counters.notices().iter().map(|notice| notice.text.to_string()).collect();
    assert!(
        said[0].contains("redis is left alone") && said[0].contains("out of order"),
        "{said:?}"
    );
    assert!(said[1].contains("answers again"), "{said:?}");
    block_on(world.breaker.close()).unwrap();
}

#[test]
fn what_is_slow_is_left_alone_too() {
    let world = world();
    world.mood(Mood::Slow);
    assert_eq!([world.get(), world.get(), world.get()], [WELL; 3], "it did answer");
    assert_eq!(world.get(), SKIPPED);
}

#[test]
fn a_tier_of_which_some_servers_answer_is_asked() {
    let world = world();
    world.mood(Mood::Half);
    for _ in 0..10 {
        let many = block_on(world.breaker.get_many(&[key(0), key(1)], Need::Now));
        assert!(many[0].is_err() && many[1].is_ok());
    }
    world.mood(Mood::Fails);
    for _ in 0..3 {
        let _ = block_on(world.breaker.get_many(&[key(0), key(1)], Need::Now));
    }
    assert_eq!(world.get(), SKIPPED);
}

#[test]
fn what_waits_to_be_written_is_no_success() {
    let world = world();
    let queues = |queues| world.tier.queues.store(queues, Ordering::SeqCst);
    world.mood(Mood::Fails);
    assert_eq!([world.get(), world.get()], [FAILED; 2]);
    queues(true);
    assert_eq!(world.get(), (false, Ok(())), "it is told, and nobody is asked");
    assert_eq!(block_on(world.breaker.get_many(&[key(0), key(1)], Need::Now)).len(), 2);
    queues(false);
    assert_eq!([world.get(), world.get()], [FAILED, SKIPPED], "still in a row");

    // Nor does it close what is open.
    queues(true);
    world.mood(Mood::Well);
    world.probed(2 * SECOND);
    world.sleeps();
    assert_eq!(world.get(), SKIPPED);
    queues(false);
    world.probed(3 * SECOND);
    while world.breaker.inner.health.open.load(Ordering::Relaxed) {
        std::thread::yield_now();
    }
    assert_eq!(world.get(), WELL);
}

#[test]
fn it_lets_go_of_a_tier_that_is_dropped() {
    let world = world();
    world.mood(Mood::Fails);
    assert_eq!([world.get(), world.get(), world.get()], [FAILED; 3]);
    world.sleeps();
    let World { clock, tier, breaker, .. } = world;
    drop(breaker);
    while clock.sleepers() > 0 || Arc::strong_count(&tier) > 1 {
        std::thread::yield_now();
    }
}

#[test]
fn what_is_acknowledged_on_a_tier_is_written_to_it_though_nothing_is_asked_of_it() {
    for (keeps_writing, written) in [(true, 1), (false, 0)] {
        let world = world_of(keeps_writing);
        world.mood(Mood::Fails);
        assert_eq!([world.get(), world.get(), world.get()], [FAILED; 3]);
        assert!(!world.get().0, "nothing is asked of it");
        world.breaker.put(&key(1), entry());
        assert_eq!(world.tier.put.load(Ordering::SeqCst), written);
        assert_eq!(block_on(world.breaker.remove(&key(1))).is_ok(), keeps_writing);
        let room = block_on(world.breaker.room()).map_err(|error| error.kind());
        assert_eq!(room, if keeps_writing { Ok(()) } else { Err(ErrorKind::Away) });
    }
}

#[test]
fn lookups_that_are_given_up_count_once_they_have_lasted() {
    let world = world();
    let lookup = |lasts: Duration| {
        let key = key(0);
        let lookup = Lookup::of(&world.breaker, &key);
        world.clock.advance(lasts);
        drop(lookup);
    };
    (0..10).for_each(|_| lookup(SECOND / 20));
    assert!(world.get().0, "so soon they tell nothing");
    (0..3).for_each(|_| lookup(SECOND / 10));
    assert!(!world.get().0, "it is left alone");
}
