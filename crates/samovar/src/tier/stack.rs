//! The order of the tiers: memory, then what lies below, the fastest first.

use std::sync::Arc;

use samovar_core::{
    BoxFuture, Entry, Error, ErrorKind, Key, Millis, Tick, Tier, TierName, Usage, Verdict,
};

use super::memory::{MemoryTier, Shared};
use crate::codec::Payload;
use crate::counters::{CacheCounters, Counters, Event, Lookup};
use crate::fence::{Fence, Survey};
use crate::policy::CachePolicy;
use crate::settings::LowerTier;

/// The tiers of one process.
pub(crate) struct Stack {
    memory: Arc<MemoryTier>,
    lower: Vec<LowerTier>,
}

/// What was found below memory.
pub(crate) struct Below {
    pub(crate) tier: TierName,
    pub(crate) entry: Entry<Payload>,
    /// What the fence says of it.
    pub(crate) survey: Survey,
}

impl Stack {
    /// Memory, and what lies below in the order in which it is asked.
    pub(crate) fn new(memory: Arc<MemoryTier>, lower: Vec<LowerTier>) -> Stack {
        Stack { memory, lower }
    }

    #[inline]
    pub(crate) fn memory(&self) -> &Arc<MemoryTier> {
        &self.memory
    }

    /// What the tiers below memory have under a key, as of `now`: the first that may be served, else the first of which
    /// anything may; with ticks as [`Fence::recall`] gives them. A tier that fails is counted and passed over.
    pub(crate) async fn below(
        &self,
        policy: &CachePolicy,
        key: &Key,
        fence: &Fence,
        now: impl Fn() -> Millis,
        counted: (&Counters, &CacheCounters),
    ) -> Option<Below> {
        let (counters, of_cache) = counted;
        let mut partly: Option<Below> = None;
        for tier in self.lower(policy) {
            // Before the lookup: what is found may not know of marks that act from now on.
            let before: Tick = fence.tick();
            let entry = match tier.get_for(key, policy.need()).await {
                Ok(Some(entry)) => entry,
                Ok(None) => {
                    of_cache.count(tier.name(), Lookup::Miss);
                    continue;
                }
                // Counted where it is skipped.
                Err(error) if error.kind() == ErrorKind::Away => continue,
                Err(_) => {
                    counters.count(Event::TierError, 1);
                    continue;
                }
            };
            let Some(parts) = fence.recall(key, entry.claim(), before) else {
                of_cache.count(tier.name(), Lookup::Refused);
                continue;
            };
            let entry = Entry { parts, ..entry };
            let survey = fence.survey(&key.cache, &key.id, entry.claim(), Tick(0), now());
            let found = Below { tier: tier.name(), entry, survey };
            if found.survey.verdict < Verdict::Refused {
                if let Some(partly) = partly {
                    of_cache.count(partly.tier, Lookup::Refused);
                }
                return Some(found);
            }
            match partly {
                None if !found.survey.dead => partly = Some(found),
                _ => of_cache.count(found.tier, Lookup::Refused),
            }
        }
        partly
    }

    /// Keeps an entry found in a tier also in those between it and memory that the policy names.
    pub(crate) fn promote(
        &self,
        policy: &CachePolicy,
        key: &Key,
        found: TierName,
        entry: &Entry<Payload>,
        counted: &CacheCounters,
    ) {
        for tier in self.lower(policy).take_while(|tier| tier.name() != found) {
            counted.set(tier.name());
            tier.put(key, entry.clone());
        }
    }

    /// Hands an entry to the tiers below that the policy names, all with the same bytes.
    pub(crate) fn put_below(
        &self,
        policy: &CachePolicy,
        key: &Key,
        entry: &Entry<Payload>,
        counted: &CacheCounters,
    ) {
        for tier in self.lower(policy) {
            counted.set(tier.name());
            tier.put(key, entry.clone());
        }
    }

    /// The tiers below memory that a policy names.
    fn lower(&self, policy: &CachePolicy) -> impl Iterator<Item = &LowerTier> {
        self.lower.iter().filter(|tier| policy.uses(tier.name()))
    }

    /// Whether any tier below memory keeps what a policy is for.
    pub(crate) fn has_lower(&self, policy: &CachePolicy) -> bool {
        self.lower(policy).next().is_some()
    }

    /// Forgets a key everywhere, from the bottom up: so nothing is promoted that was forgotten above.
    pub(crate) async fn remove(&self, key: &Key, counted: (&Counters, &CacheCounters)) -> bool {
        let (counters, of_cache) = counted;
        let mut removed = false;
        for tier in self.lower.iter().rev() {
            of_cache.deleted(tier.name());
            match tier.remove(key).await {
                Ok(there) => removed |= there,
                Err(error) if error.kind() == ErrorKind::Away => {}
                Err(_) => counters.count(Event::TierError, 1),
            }
        }
        of_cache.deleted(TierName::Memory);
        // Memory gives its answer at once.
        removed | self.memory.remove(key).await.unwrap_or(false)
    }

    pub(crate) async fn flush(&self) -> Result<(), Error> {
        self.each(|tier| tier.flush()).await
    }

    pub(crate) async fn room(&self) -> Result<(), Error> {
        self.each(|tier| tier.room()).await
    }

    pub(crate) async fn sweep(&self) -> Result<(), Error> {
        self.each(|tier| tier.sweep()).await
    }

    pub(crate) async fn close(&self) -> Result<(), Error> {
        self.each(|tier| tier.close()).await
    }

    /// Asks every tier below; the first failure is reported after all have been asked.
    async fn each<'a>(
        &'a self,
        ask: impl Fn(&'a LowerTier) -> BoxFuture<'a, Result<(), Error>>,
    ) -> Result<(), Error> {
        let mut outcome = Ok(());
        for tier in &self.lower {
            outcome = outcome.and(ask(tier).await);
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
