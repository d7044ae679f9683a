use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use proptest::prelude::*;
use samovar_core::{CacheUsage, Epoch, Lifetime, Part, Stamp, Tags, Tick, Version};

use super::*;

const START: i64 = 1_700_000_000_000;

/// An entry whose value is a number, of so many bytes, read `at`.
fn entry(number: u32, bytes: usize, at: i64, lives: Duration) -> Entry<Shared> {
    let version = Version { epoch: Epoch(1), seq: 0 };
    let stamp = Stamp { version, tick: Tick(0), read_at: Millis(at) };
    let tags = match number % 3 {
        0 => Tags::new(["a", "b"]).unwrap(),
        _ => Tags::NONE,
    };
    Entry {
        value: Shared::new(Arc::new(number), bytes),
        parts: Arc::new([Part { span: None, stamp }]),
        tags,
        lifetime: Lifetime { ttl: lives / 2, stale_window: lives - lives / 2 },
    }
}

fn number(held: &Held) -> u32 {
    *held.value().value::<u32>().unwrap()
}

/// What the books say, by a walk over everything.
fn walked(tier: &MemoryTier) -> BTreeMap<Arc<str>, CacheUsage> {
    let mut caches = BTreeMap::<_, CacheUsage>::new();
    for (_, held) in tier.table.iter() {
        let of_cache = caches.entry(Arc::clone(&held.key().cache)).or_default();
        of_cache.entries += 1;
        of_cache.bytes += held.bytes();
    }
    caches
}

/// So many keys of what had to go may be remembered for each entry.
fn ghosts_an_entry(tier: &MemoryTier) -> f64 {
    let books = tier.books.lock();
    books.ghosts as f64 / books.total().entries as f64
}

fn holds_true(tier: &MemoryTier, limit: Option<u64>) {
    let usage = tier.usage();
    assert_eq!(usage.caches, walked(tier), "the books are right");
    let books = tier.books.lock();
    let table = tier.table.memory_used();
    let takes = (2 * table.entries + table.map + books.deadline_bytes()) as u64;
    let charged = usage.total().entries * (SLOT + PLACE) as u64;
    let all = usage.total().bytes - charged + takes.max(charged);
    assert!(all <= tier.max_bytes, "{all} with the table, of {}", tier.max_bytes);
    if let (Some(limit), Some(own)) = (limit, usage.caches.get("limited")) {
        assert!(own.bytes <= limit, "{own:?} of {limit}");
    }
}

#[derive(Clone, Debug)]
enum Op {
    /// Keep, or keep unless something is there.
    Keep {
        key: u8,
        bytes: usize,
        lives: u64,
        promote: bool,
    },
    Remove(u8),
    Forget(u8),
    Find(u8),
    Pass(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let bytes = prop_oneof![0usize..200, 0usize..5_000, 0usize..40_000];
    let lives = prop_oneof![Just(500u64), 1_000u64..400_000, Just(u64::MAX)];
    let op = prop_oneof![
        6 => (any::<u8>(), bytes, lives, any::<bool>())
            .prop_map(|(key, bytes, lives, promote)| Op::Keep { key, bytes, lives, promote }),
        1 => any::<u8>().prop_map(Op::Remove),
        1 => any::<u8>().prop_map(Op::Forget),
        2 => any::<u8>().prop_map(Op::Find),
        1 => (0u64..100_000).prop_map(Op::Pass),
    ];
    proptest::collection::vec(op, 1..400)
}

/// Plays operations against the tier and a map of what was kept last under each key, and until when.
fn play(tier: &MemoryTier, limit: Option<u64>, roomy: bool, ops: Vec<Op>) {
    if let Some(limit) = limit {
        tier.limit(&"limited".into(), limit);
    }
    let mut model = HashMap::<u8, (u32, i64)>::new();
    let name = |key: u8| {
        Key::new(if key.is_multiple_of(2) { "limited" } else { "other" }, key.to_string())
    };
    let find = |key: u8| tier.find_key(&name(key));
    let (mut now, mut last) = (START, 0);
    for op in ops {
        match op {
            Op::Keep { key, bytes, lives, promote } => {
                last += 1;
                let entry = entry(last, bytes, now, Duration::from_millis(lives));
                let was = find(key).is_some();
                if promote {
                    tier.keep(&name(key), entry, FOR_GOOD, |_| true);
                } else {
                    assert!(tier.keep(&name(key), entry, FOR_GOOD, |_| false));
                }
                if !(promote && was) {
                    let until =
                        i64::try_from(lives).map_or(i64::MAX, |lives| now.saturating_add(lives));
                    model.insert(key, (last, until));
                }
            }
            Op::Remove(key) => {
                let was = find(key).is_some();
                let removed = futures_executor::block_on(tier.remove(&name(key))).unwrap();
                assert_eq!(removed, was);
                model.remove(&key);
            }
            Op::Forget(key) => {
                if let Some(held) = find(key) {
                    tier.forget(&held);
                    tier.forget(&held);
                    model.remove(&key);
                }
            }
            Op::Find(key) => drop(find(key)),
            Op::Pass(by) => {
                now += by as i64;
                while tier.expire(Millis(now)) {}
                assert!(tier.next_due().is_none_or(|due| due.0 > now));
                for key in 0..=u8::MAX {
                    let late = |lived: i64| 1_000.max(lived / 64);
                    if let Some(held) = find(key) {
                        let lived = held.gone_at().0.saturating_sub(START);
                        assert!(now < held.gone_at().0.saturating_add(late(lived)), "left in time");
                    }
                }
                model.retain(|key, (_, until)| now < *until || find(*key).is_some());
            }
        }
        holds_true(tier, limit);
        for key in 0..=u8::MAX {
            let found = find(key).map(|held| number(&held));
            let expected = model.get(&key).map(|(number, _)| *number);
            assert!(
                found == expected || (!roomy && found.is_none()),
                "{key}: {found:?}, {expected:?}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_roomy_tier_is_a_map(ops in ops()) {
        play(&MemoryTier::new(64 << 20), Some(64 << 20), true, ops);
    }

    #[test]
    fn a_tight_tier_gives_what_was_kept_last_or_nothing(ops in ops(), max in 20_000u64..400_000) {
        play(&MemoryTier::new(max), None, false, ops);
    }

    #[test]
    fn a_cache_with_a_budget_stays_within_it(ops in ops(), limit in 0u64..200_000) {
        play(&MemoryTier::new(300_000), Some(limit), false, ops);
    }
}

#[test]
fn a_slot_takes_what_it_is_charged() {
    let tier = MemoryTier::new(1 << 20);
    let before = tier.table.memory_used().entries;
    tier.put(&Key::new("c", "k"), entry(1, 0, START, Duration::MAX));
    assert_eq!(tier.table.memory_used().entries - before, SLOT_ITSELF);
}

#[test]
fn few_large_entries_leave_room_for_the_table_that_many_small_ones_made() {
    let tier = MemoryTier::new(8 << 20);
    for id in 0..40_000 {
        tier.put(&Key::new("c", id.to_string()), entry(id, 8, START, Duration::MAX));
    }
    let small = tier.usage().total().entries;
    for id in 0..10_000 {
        let key = Key::new("c", format!("large {id}"));
        tier.put(&key, entry(id, 20_000, START, Duration::MAX));
        // Asked for again, so that they drive out what is not.
        drop(tier.find_key(&key));
        if id % 97 == 0 {
            holds_true(&tier, None);
        }
    }
    let large = tier.usage().total().entries;
    assert!(small > 10_000 && large < 420, "{small}, then {large}");
    assert!(tier.books.lock().withheld > 0);
    assert!((0.65..0.95).contains(&ghosts_an_entry(&tier)), "of large ones");
    for id in 0..40_000 {
        let key = Key::new("c", format!("small {id}"));
        tier.put(&key, entry(id, 8, START, Duration::MAX));
        drop(tier.find_key(&key));
    }
    assert!(tier.usage().total().entries > small * 9 / 10, "the room is used again");
    assert!((0.65..0.95).contains(&ghosts_an_entry(&tier)), "of small ones");
}

#[test]
fn a_cache_gives_way_to_itself_what_was_not_asked_for_first() {
    let tier = MemoryTier::new(8 << 20);
    let limited: Arc<str> = "limited".into();
    tier.limit(&limited, 100_000);
    tier.put(&Key::new("other", "o"), entry(1, 10_000, START, Duration::MAX));
    for id in 0..50u32 {
        tier.put(&Key::new("limited", id.to_string()), entry(id, 10_000, START, Duration::MAX));
        assert!(tier.find_key(&Key::new("limited", "0")).is_some(), "asked for each time");
    }
    let there: Vec<u32> = (0..50)
        .filter(|id| tier.find_key(&Key::new("limited", id.to_string())).is_some())
        .collect();
    assert_eq!(there, [0, 42, 43, 44, 45, 46, 47, 48, 49]);
    assert!(tier.find_key(&Key::new("other", "o")).is_some(), "others lose nothing for it");
    assert_eq!(tier.evictions(), 41);
    tier.put(&Key::new("limited", "49"), entry(49, 200_000, START, Duration::MAX));
    assert!(
        tier.find_key(&Key::new("limited", "49")).is_none(),
        "larger than its budget, and what it replaces is older"
    );

    tier.limit(&limited, 1 << 20);
    assert_eq!(tier.usage().caches["limited"].entries, 8, "the smallest budget holds");
    tier.limit(&"other".into(), 5_000);
    assert!(tier.find_key(&Key::new("other", "o")).is_none());
}

#[test]
fn where_all_are_in_use_one_gives_way_all_the_same() {
    let tier = MemoryTier::new(8 << 20);
    let limited: Arc<str> = "limited".into();
    tier.limit(&limited, 1 << 20);
    let put = |id: u32| {
        tier.put(&Key::new("limited", id.to_string()), entry(id, 100, START, Duration::MAX));
    };
    (0..1_000).for_each(put);
    let asked = || {
        (0..1_000)
            .filter(|id| tier.find_key(&Key::new("limited", id.to_string())).is_some())
            .count()
    };
    assert_eq!(asked(), 1_000);
    tier.limit(&limited, tier.usage().caches["limited"].bytes);
    put(1_000);
    let gone = (0..1_000).find(|id| tier.find_key(&Key::new("limited", id.to_string())).is_none());
    assert_eq!(gone, Some(books::PASSED_MAX), "after so many were passed over");
    assert_eq!(asked(), 999);
}

#[test]
fn what_takes_the_place_of_another_is_no_eviction() {
    let tier = MemoryTier::new(1 << 20);
    for round in 0..10 {
        tier.put(&Key::new("c", "k"), entry(round, 1_000, START, Duration::MAX));
    }
    assert_eq!((tier.evictions(), tier.usage().total().entries), (0, 1));
}

#[test]
fn what_had_to_go_lately_is_known_again_however_much_entries_take() {
    for bytes in [0, 1_000, 20_000] {
        let tier = MemoryTier::new(16 << 20);
        let key = |id: u64| Key::new("c", id.to_string());
        let put = |ids: std::ops::Range<u64>| {
            for id in ids {
                tier.put(&key(id), entry(0, bytes, START, Duration::MAX));
            }
        };
        put(0..100_000);
        let room = tier.usage().total().entries;
        put(100_000..100_000 + 3 * room);
        let last = 100_000 + 3 * room;
        // Of what had to go, the one was there half as many entries ago as there is room for, the other twice as many.
        let (lately, long_ago) = (last - room * 6 / 10, last - room * 21 / 10);
        for id in [lately, long_ago] {
            assert!(tier.find_key(&key(id)).is_none(), "{bytes}: it had to go");
            put(id..id + 1);
        }
        // As one that reads everything once.
        put(last..last + 2 * room);
        let stays = [lately, long_ago].map(|id| tier.find_key(&key(id)).is_some());
        assert_eq!(stays, [true, false], "{bytes}");
        assert!((0.65..0.95).contains(&ghosts_an_entry(&tier)), "{bytes}");
    }
}
