//! The order of the tiers: memory, then what lies below.

use std::sync::Arc;

use bytes::Bytes;
use samovar_core::{Entry, Error, Key, Tick, Tier, TierName, Usage};

use super::memory::{MemoryTier, Shared};
use crate::counters::{CacheCounters, Counters, Event, Lookup};
use crate::fence::Fence;
use crate::settings::LowerTier;

/// The tiers of one process.
pub(crate) struct Stack {
    memory: Arc<MemoryTier>,
    lower: Vec<LowerTier>,
}

impl Stack {
    pub(crate) fn new(memory: Arc<MemoryTier>, lower: Vec<LowerTier>) -> Stack {
        Stack { memory, lower }
    }

    #[inline]
    pub(crate) fn memory(&self) -> &Arc<MemoryTier> {
        &self.memory
    }

    /// The first entry below memory that lies on the history, with ticks as [`Fence::recall`] gives them. A tier
    /// that fails is counted and passed over.
    pub(crate) async fn below(
        &self,
        key: &Key,
        fence: &Fence,
        counters: &Counters,
        of_cache: &CacheCounters,
    ) -> Option<(TierName, Entry<Bytes>)> {
        // Before the lookup: what is found may not know of marks that act from now on.
        let before: Tick = fence.tick();
        for tier in &self.lower {
            match tier.get(key).await {
                Ok(Some(entry)) => match fence.recall(key, entry.claim(), before) {
                    Some(parts) => return Some((tier.name(), Entry { parts, ..entry })),
                    None => of_cache.count(tier.name(), Lookup::Refused),
                },
                Ok(None) => of_cache.count(tier.name(), Lookup::Miss),
                Err(_) => counters.count(Event::TierError, 1),
            }
        }
        None
    }

    /// Keeps an entry found below in memory too.
    pub(crate) fn promote(&self, key: &Key, entry: Entry<Shared>) {
        self.memory.promote(key, entry);
    }

    /// Hands an entry to the tiers below, each with the bytes.
    pub(crate) fn put_below(&self, key: &Key, entry: &Entry<Bytes>) {
        for tier in &self.lower {
            tier.put(key, entry.clone());
        }
    }

    pub(crate) fn has_lower(&self) -> bool {
        !self.lower.is_empty()
    }

    /// Forgets a key everywhere, from the bottom up: so nothing is promoted that was forgotten above.
    pub(crate) async fn remove(&self, key: &Key, counters: &Counters) -> bool {
        let mut removed = false;
        for tier in self.lower.iter().rev() {
            match tier.remove(key).await {
                Ok(there) => removed |= there,
                Err(_) => counters.count(Event::TierError, 1),
            }
        }
        // Memory gives its answer at once.
        removed | self.memory.remove(key).await.unwrap_or(false)
    }

    pub(crate) async fn flush(&self) -> Result<(), Error> {
        for tier in &self.lower {
            tier.flush().await?;
        }
        Ok(())
    }

    pub(crate) async fn room(&self) -> Result<(), Error> {
        for tier in &self.lower {
            tier.room().await?;
        }
        Ok(())
    }

    pub(crate) async fn sweep(&self) -> Result<(), Error> {
        for tier in &self.lower {
            tier.sweep().await?;
        }
        Ok(())
    }

    /// Closes every tier; the first failure is reported after all have been asked.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        let mut outcome = Ok(());
        for tier in &self.lower {
            outcome = outcome.and(tier.close().await);
        }
        outcome
    }

    pub(crate) fn usage(&self) -> Vec<(TierName, Usage)> {
        let memory = (self.memory.name(), self.memory.usage());
        let lower = self.lower.iter().map(|tier| (tier.name(), tier.usage()));
        std::iter::once(memory).chain(lower).collect()
    }
}

/// The form that a value has in memory.
pub(crate) fn shared<V: crate::Value>(value: &Arc<V>) -> Shared {
    Shared::new(Arc::clone(value), value.weight())
}
