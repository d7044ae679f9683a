//! What memory says that it holds, held against what its process has allotted. Alone in its process.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::alloc::System;
use std::sync::Arc;
use std::time::Duration;

use samovar::tier::{MemoryTier, Shared};
use samovar_core::{
    Entry, Epoch, Key, Lifetime, Millis, Part, Parts, Stamp, Tags, Tick, Tier, Version,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes that were asked for and not given back, and the allocator's own beside each piece of them.
fn allotted() -> u64 {
    let now = ALLOCATOR.stats();
    let pieces = now.allocations - now.deallocations;
    (now.bytes_allocated - now.bytes_deallocated + pieces * size_of::<usize>()) as u64
}

fn entry(bytes: usize, tags: bool, lives: Duration) -> Entry<Shared> {
    let version = Version { epoch: Epoch(1), seq: 0 };
    let stamp = Stamp { version, tick: Tick(0), read_at: Millis(1_700_000_000_000) };
    let parts: Parts = Arc::new([Part { span: None, stamp }]);
    let tags = if tags { Tags::new(["supplier:7", "summer"]).unwrap() } else { Tags::NONE };
    let lifetime = Lifetime { ttl: lives, stale_window: Duration::ZERO };
    let value = vec![7u8; bytes];
    let weight = size_of::<Vec<u8>>() + value.capacity();
    Entry { value: Shared::new(Arc::new(value), weight), parts, tags, lifetime }
}

fn fill(tier: &MemoryTier, entries: u32, bytes: usize, tags: bool) {
    let cache: Arc<str> = "product_info".into();
    for id in 0..entries {
        let key = Key::new(Arc::clone(&cache), format!("product:{id:08}"));
        // Piles of deadlines are held back from the budget, not charged: so there are not as many as entries.
        let lives = Duration::from_secs(60 + u64::from(id) % 400);
        tier.put(&key, entry(bytes, tags, lives));
    }
}

/// One test, because others beside it would be counted too.
#[test]
fn what_is_accounted_is_what_is_allotted() {
    // So many bytes each, so many of them, and by how much of what is allotted more may be accounted: the table is
    // charged as just after it has grown.
    let cases = [(8, 100_000, false, 19), (100, 100_000, true, 12), (10_000, 2_000, false, 1)];
    for (bytes, entries, tags, margin) in cases {
        let empty = allotted();
        let tier = MemoryTier::new(512 << 20);
        fill(&tier, entries, bytes, tags);
        let (allotted_for, accounted) = (allotted() - empty, tier.usage().total().bytes);
        assert_eq!(tier.usage().total().entries, u64::from(entries));
        let each = (allotted_for / u64::from(entries), accounted / u64::from(entries));
        println!("{entries} values of {bytes} bytes: {each:?} bytes each, allotted and accounted");
        assert!(allotted_for <= accounted, "{bytes}: {each:?}");
        assert!(accounted * 100 <= allotted_for * (100 + margin), "{bytes}: {each:?}");
        drop(tier);
        assert!(allotted() <= empty + 4_096, "all of it is given back");
    }

    // Many times what it may hold: small values, then large ones, then small ones again; with and without a limit.
    let budget = 16 << 20;
    for limited in [false, true] {
        let before = allotted();
        let tier = MemoryTier::new(budget);
        if limited {
            tier.limit(&"product_info".into(), budget / 4);
        }
        for (entries, bytes) in [(200_000, 8), (3_000, 30_000), (100_000, 300), (100, 1 << 20)] {
            fill(&tier, entries, bytes, false);
            let held = allotted() - before;
            println!("{held} bytes allotted of {budget}, limited: {limited}");
            assert!(held <= budget, "{held}");
            if limited {
                assert!(tier.usage().total().bytes <= budget / 4);
            }
        }
    }
}
