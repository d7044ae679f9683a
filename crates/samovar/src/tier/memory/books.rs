//! What is kept of whom: counts and bytes by cache, the order of those with a budget of their own, the deadlines.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use samovar_core::{CacheUsage, Millis};

use super::deadlines::Deadlines;
use super::held::Held;

/// What an entry is charged for its place in the order of its cache, at the worst.
pub(super) const RANK: usize = 2 * (size_of::<u64>() + size_of::<Arc<Held>>());

/// So many that were asked for since are passed over at most before one gives way.
pub(super) const PASSED_MAX: u32 = 64;

/// Everything that changes when an entry comes or goes.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// Those that hold something.
    caches: BTreeMap<Arc<str>, Account>,
    /// Those that have a budget of their own.
    limits: BTreeMap<Arc<str>, u64>,
    deadlines: Deadlines,
    /// Of all caches.
    total: CacheUsage,
    last_rank: u64,
    /// So many keys of what had to go the table was told to remember; see [`super::MemoryTier::settle`].
    pub(super) ghosts: u64,
    /// Bytes of the budget that are held back; see [`super::MemoryTier::settle`].
    pub(super) withheld: u64,
}

/// What one cache has.
#[derive(Debug, Default)]
struct Account {
    usage: CacheUsage,
    /// If it has a budget: its entries in the order in which they came or were last passed over.
    order: BTreeMap<u64, Arc<Held>>,
}

impl Books {
    /// Gives a cache a budget; of several the smallest holds. True if it had none.
    pub(super) fn limit(&mut self, cache: &Arc<str>, max_bytes: u64) -> bool {
        let own = self.limit_of(cache);
        self.limits.insert(Arc::clone(cache), own.map_or(max_bytes, |own| own.min(max_bytes)));
        own.is_none()
    }

    /// The budget of a cache, if it has one.
    pub(super) fn limit_of(&self, cache: &str) -> Option<u64> {
        self.limits.get(cache).copied()
    }

    /// An entry has come. True if it will be the first to go by age.
    pub(super) fn enter(&mut self, held: &Arc<Held>) -> bool {
        let cache = &held.key().cache;
        let account = match self.caches.get_mut(cache) {
            Some(account) => account,
            None => self.caches.entry(Arc::clone(cache)).or_default(),
        };
        account.usage.entries += 1;
        account.usage.bytes += held.bytes();
        if held.limited {
            self.last_rank += 1;
            held.rank.store(self.last_rank, Ordering::Relaxed);
            account.order.insert(self.last_rank, Arc::clone(held));
        }
        self.total.entries += 1;
        self.total.bytes += held.bytes();
        self.deadlines.enter(held)
    }

    /// An entry that came has gone.
    pub(super) fn leave(&mut self, held: &Held) {
        if let Some(account) = self.caches.get_mut(&held.key().cache) {
            account.usage.entries -= 1;
            account.usage.bytes -= held.bytes();
            account.order.remove(&held.rank.load(Ordering::Relaxed));
            if account.usage.entries == 0 {
                self.caches.remove(&held.key().cache);
            }
        }
        self.total.entries -= 1;
        self.total.bytes -= held.bytes();
        self.deadlines.leave(held);
    }

    /// Which entry of a cache gives way if so many bytes take the place of so many: the first that was not asked for
    /// since it came or was last passed over. `None` if there is room.
    pub(super) fn gives_way(&mut self, cache: &str, out: u64, into: u64) -> Option<Arc<Held>> {
        let max_bytes = self.limit_of(cache)?;
        let account = self.caches.get_mut(cache)?;
        if account.usage.bytes - out + into <= max_bytes {
            return None;
        }
        for passed in 0.. {
            let (_, held) = account.order.pop_first()?;
            // Where all are in use, one goes all the same: the others wait for this.
            let used = held.used.swap(false, Ordering::Relaxed) && passed < PASSED_MAX;
            let rank = match used {
                true => {
                    self.last_rank += 1;
                    self.last_rank
                }
                false => held.rank.load(Ordering::Relaxed),
            };
            held.rank.store(rank, Ordering::Relaxed);
            account.order.insert(rank, Arc::clone(&held));
            if !used {
                return Some(held);
            }
        }
        None
    }

    /// When the next entry is to leave.
    pub(super) fn next_due(&self) -> Option<Millis> {
        self.deadlines.next()
    }

    /// Some entry that is to leave at `now`.
    pub(super) fn due(&self, now: Millis) -> Option<Arc<Held>> {
        self.deadlines.due(now)
    }

    /// What all caches have.
    pub(super) fn total(&self) -> CacheUsage {
        self.total
    }

    /// The bytes that the deadlines take.
    pub(super) fn deadline_bytes(&self) -> usize {
        self.deadlines.bytes()
    }

    /// By cache.
    pub(super) fn usage(&self) -> BTreeMap<Arc<str>, CacheUsage> {
        self.caches.iter().map(|(cache, account)| (Arc::clone(cache), account.usage)).collect()
    }
}
