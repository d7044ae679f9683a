//! Whether what was filled together expires together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use samovar::{CachePolicy, Samovar, Settings};
use samovar_core::{Clock, Millis};
use samovar_testkit::clock::FakeClock;

use super::Bytes;
use crate::{Outcome, child, line};

const KEYS: usize = 100_000;
const TTL: Duration = Duration::from_secs(300);

/// All are filled within a second, of a clock that is set by hand. The busiest second's share of those that cease to be
/// fresh, and of those that leave memory.
pub(super) fn measure() -> Outcome<Vec<String>> {
    let clock = FakeClock::at(Millis(1_700_000_000_000));
    let settings = Settings { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..super::settings() };
    let runtime = child::runtime()?;
    let samovar = runtime.block_on(Samovar::open(settings))?;
    let cache = samovar.cache::<Bytes<8>>(CachePolicy {
        ttl: TTL,
        stale_window: Duration::ZERO,
        ..super::policy()
    });
    for id in 0..KEYS {
        cache.put(&super::key(id), Bytes(id.to_le_bytes()), super::whole(&samovar));
        if id % (KEYS / 1_000) == 0 {
            clock.advance(Duration::from_millis(1));
        }
    }
    let mut fresh = BTreeMap::<i64, usize>::new();
    for id in 0..KEYS {
        let found = cache.peek(&super::key(id)).ok_or("it is not in memory")?;
        *fresh.entry(found.fresh_until().0.div_euclid(1_000)).or_default() += 1;
    }
    let mut busiest = 0;
    let mut left = held(&samovar);
    while left > 0 {
        clock.advance(Duration::from_secs(1));
        // Until whoever lets go of entries has done so, and sleeps again.
        while clock.sleepers() != 1 && held(&samovar) > 0 {
            std::thread::yield_now();
        }
        let now = held(&samovar);
        busiest = busiest.max(left - now);
        left = now;
    }
    runtime.block_on(samovar.close())?;
    let share = |count: usize| 100.0 * count as f64 / KEYS as f64;
    let (fresh, memory) = (share(fresh.into_values().max().unwrap_or(KEYS)), share(busiest));
    Ok(vec![
        line("expiry_spread", fresh.max(memory), "%"),
        line("expiry_spread_fresh", fresh, "%"),
        line("expiry_spread_memory", memory, "%"),
    ])
}

/// Entries in memory.
fn held(samovar: &Samovar) -> usize {
    let usage = samovar.usage();
    usage.first().map_or(0, |(_, memory)| memory.total().entries) as usize
}
