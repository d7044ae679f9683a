//! What is past its time leaves memory without being asked for.

use std::time::Duration;

use samovar::{CachePolicy, Samovar};
use samovar_core::{Mode, TierName};
use samovar_testkit::clock::FakeClock;

use crate::support::{START, TTL, WINDOW, block_on, key, mark, open, policy, whole};

fn entries(samovar: &Samovar) -> u64 {
    let memory = samovar.usage().into_iter().find(|(tier, _)| *tier == TierName::Memory);
    memory.map_or(0, |(_, usage)| usage.total().entries)
}

/// Returns when whoever lets go of entries has done what is to be done now, and sleeps.
fn settled(clock: &FakeClock) {
    while clock.sleepers() != 1 {
        std::thread::yield_now();
    }
}

#[test]
fn what_is_past_its_stale_window_leaves_by_itself() {
    let clock = FakeClock::at(START);
    let samovar = open(None, &clock);
    let cache = samovar.cache::<String>(policy("c"));
    assert_eq!(clock.sleepers(), 0, "nothing to wait for");
    for id in 0..1_000 {
        cache.put(&id.to_string(), "old".to_owned(), whole(&samovar));
    }
    settled(&clock);
    clock.advance(TTL + WINDOW - Duration::from_millis(1));
    settled(&clock);
    assert_eq!(entries(&samovar), 1_000, "each may still be served as stale");
    cache.put("1000", "young".to_owned(), whole(&samovar));
    // A hundredth of what they lived, and a second.
    clock.advance((TTL + WINDOW) / 100 + Duration::from_secs(1));
    while entries(&samovar) > 1 {
        std::thread::yield_now();
    }
    assert!(cache.peek("1000").is_some(), "what is young stays");
    assert_eq!(samovar.memory_evictions(), 0, "they were not thrown out for want of room");
    block_on(samovar.close()).unwrap();
    assert_eq!(clock.sleepers(), 0, "nobody sleeps after the end");
}

#[test]
fn what_lives_shorter_than_all_others_leaves_before_them() {
    let clock = FakeClock::at(START);
    let samovar = open(None, &clock);
    let long = samovar.cache::<String>(policy("long"));
    long.put("k", "v".to_owned(), whole(&samovar));
    settled(&clock);
    let short = samovar.cache::<String>(CachePolicy {
        ttl: Duration::from_secs(1),
        stale_window: Duration::ZERO,
        ..policy("short")
    });
    short.put("k", "v".to_owned(), whole(&samovar));
    // Whoever sleeps until the long one's time was woken and sleeps anew.
    while entries(&samovar) > 1 {
        clock.advance(Duration::from_millis(100));
        std::thread::yield_now();
    }
    assert!(clock.sleepers() <= 1);
    assert!(long.peek("k").is_some());
}

#[test]
fn what_was_marked_replaced_or_removed_leaves_nothing_to_wait_for() {
    let clock = FakeClock::at(START);
    let samovar = open(None, &clock);
    let cache = samovar.cache::<String>(policy("c"));
    for id in ["marked", "removed", "replaced", "replaced"] {
        cache.put(id, "v".to_owned(), whole(&samovar));
    }
    settled(&clock);
    mark(&samovar, key("c", "marked"), Mode::Remove);
    assert!(cache.peek("marked").is_none());
    assert!(block_on(cache.remove("removed")));
    assert_eq!(entries(&samovar), 1);
    assert!(block_on(cache.remove("replaced")));
    assert_eq!(entries(&samovar), 0);
    // Woken when the first was due, it finds nothing and does not sleep again.
    clock.advance(TTL + WINDOW + WINDOW / 10);
    while clock.sleepers() > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn a_cache_with_a_budget_in_its_policy_keeps_to_it() {
    let clock = FakeClock::at(START);
    let samovar = open(None, &clock);
    let other = samovar.cache::<String>(policy("other"));
    let cache =
        samovar.cache::<String>(CachePolicy { max_bytes: Some(50_000), ..policy("limited") });
    other.put("k", "v".repeat(10_000), whole(&samovar));
    for id in 0..100 {
        cache.put(&id.to_string(), "v".repeat(10_000), whole(&samovar));
        let usage = samovar.usage().remove(0).1;
        assert!(usage.caches["limited"].bytes <= 50_000, "{usage:?}");
    }
    assert_eq!(samovar.usage().remove(0).1.caches["limited"].entries, 4);
    assert!(other.peek("k").is_some(), "others lose nothing for it");
}
