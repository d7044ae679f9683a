//! The order of the tiers: memory, then what lies below, the fastest first.

use std::sync::Arc;

use futures_util::FutureExt;
use samovar_core::{
    BoxFuture, Clock, Entry, Error, ErrorKind, Got, Key, Need, Parts, Tick, Tier, TierName, Usage,
    Verdict, Version,
};

use super::memory::MemoryTier;
use crate::codec::Payload;
use crate::counters::{CacheCounters, Counted, Counters, Lookup};
use crate::fence::{Fence, Survey};
use crate::policy::CachePolicy;
use crate::settings::LowerTier;

/// A tier is asked for so many keys at once.
const AT_ONCE: usize = 1_000;

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

/// Who asks below memory, and by what it is judged.
pub(crate) struct Asks<'a> {
    pub(crate) policy: &'a CachePolicy,
    pub(crate) fence: &'a Fence,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) counters: &'a Counters,
    pub(crate) of_cache: &'a CacheCounters,
    /// Who looks again for what was just missed has been counted.
    pub(crate) counts_misses: bool,
}

impl Asks<'_> {
    /// What a tier gave, asked when this tick was the last, if it may be served; what may be in part is kept as `partly`,
    /// unless there is some.
    fn weigh(
        &self,
        key: &Key,
        tier: TierName,
        got: Got<Payload>,
        before: Tick,
        partly: &mut Option<Below>,
    ) -> Option<Below> {
        let entry = match got {
            Ok(Some(entry)) => entry,
            Ok(None) => {
                if self.counts_misses {
                    self.of_cache.count(tier, Lookup::Miss);
                }
                return None;
            }
            // Counted where it is skipped.
            Err(error) if error.kind() == ErrorKind::Away => return None,
            Err(_) => {
                self.counters.count(Counted::TierError, 1);
                return None;
            }
        };
        let judged = self.fence.recall_judged(key, entry, before, self.clock.now());
        let Some((entry, survey)) = judged else {
            self.of_cache.count(tier, Lookup::Refused);
            return None;
        };
        let found = Below { tier, entry, survey };
        if found.survey.verdict < Verdict::Refused {
            if let Some(partly) = partly {
                self.of_cache.count(partly.tier, Lookup::Refused);
            }
            return Some(found);
        }
        match partly {
            None if !found.survey.dead => *partly = Some(found),
            _ => self.of_cache.count(found.tier, Lookup::Refused),
        }
        None
    }
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

    /// What the tiers below memory have under a key: the first that may be served, else the first of which anything
    /// may; with ticks as [`Fence::recall`] gives them. A tier that fails is counted and passed over.
    pub(crate) async fn below(&self, key: &Key, asks: &Asks<'_>) -> Option<Below> {
        let mut partly = None;
        for tier in self.lower(asks.policy) {
            // Before the lookup: what is found may not know of marks that act from now on.
            let before = asks.fence.tick();
            let got = tier.get_for(key, asks.policy.need()).await;
            if let Some(found) = asks.weigh(key, tier.name(), got, before, &mut partly) {
                return Some(found);
            }
        }
        partly
    }

    /// As [`Stack::below`] for many keys, in their order: each tier is asked once for up to a thousand of them.
    pub(crate) async fn below_many(&self, keys: &[Key], asks: &Asks<'_>) -> Vec<Option<Below>> {
        let mut found = Vec::with_capacity(keys.len());
        for keys in keys.chunks(AT_ONCE) {
            found.extend(self.below_some(keys, asks).await);
        }
        found
    }

    async fn below_some(&self, keys: &[Key], asks: &Asks<'_>) -> Vec<Option<Below>> {
        let mut found: Vec<Option<Below>> = keys.iter().map(|_| None).collect();
        // What may be served in part alone, until something better is found.
        let mut partly: Vec<Option<Below>> = keys.iter().map(|_| None).collect();
        let mut sought: Vec<usize> = (0..keys.len()).collect();
        for tier in self.lower(asks.policy) {
            if sought.is_empty() {
                break;
            }
            let before = asks.fence.tick();
            let asked: Vec<Key> = sought.iter().map(|at| keys[*at].clone()).collect();
            let got = tier.get_many(&asked, asks.policy.need()).await;
            for (at, got) in std::mem::take(&mut sought).into_iter().zip(got) {
                found[at] = asks.weigh(&keys[at], tier.name(), got, before, &mut partly[at]);
                if found[at].is_none() {
                    sought.push(at);
                }
            }
        }
        found.into_iter().zip(partly).map(|(found, partly)| found.or(partly)).collect()
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

    /// Returns when what was put under a key has been written to Redis, or has failed to be.
    pub(crate) async fn written(&self, key: &Key) {
        for tier in self.lower.iter().filter(|tier| tier.name() == TierName::Redis) {
            tier.written(key).await;
        }
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
                Err(_) => counters.count(Counted::TierError, 1),
            }
        }
        of_cache.deleted(TierName::Memory);
        // Memory gives its answer at once.
        removed | self.memory.remove(key).await.unwrap_or(false)
    }

    pub(crate) async fn flush(&self) -> Result<(), Error> {
        self.each(|tier| tier.flush()).await
    }

    /// Waits while a tier is behind. Not for one that is out of order: it is handed nothing.
    pub(crate) async fn room(&self) -> Result<(), Error> {
        let unless_away = |room: Result<(), Error>| match room {
            Err(error) if error.kind() == ErrorKind::Away => Ok(()),
            room => room,
        };
        self.each(|tier| Box::pin(tier.room().map(unless_away))).await
    }

    /// Whether what was put under some keys, as of these versions, rests in a tier that a policy names: `in_memory`, or
    /// `below`, where all is written first. Something newer will do. Beside it why a tier that holds it not could not tell,
    /// or would not have it. The tiers themselves are asked: a full one, one that is left alone and one that lost what it
    /// had queued all say nothing of what was handed to them.
    ///
    /// # Errors
    /// If the disk has failed.
    pub(crate) async fn rest(
        &self,
        policy: &CachePolicy,
        puts: &[(Key, Version)],
        in_memory: bool,
        below: bool,
    ) -> Result<(Vec<bool>, Option<Error>), Error> {
        // Numbers go on from epoch to epoch.
        let is_it = |parts: &Parts, put: &(Key, Version)| {
            parts.iter().all(|part| part.stamp.version.seq >= put.1.seq)
        };
        let (mut rest, mut problem) = (vec![false; puts.len()], None);
        for (rests, put) in rest.iter_mut().zip(puts).filter(|_| in_memory) {
            let found = self.memory.get(&put.0).await;
            *rests = matches!(found, Ok(Some(entry)) if is_it(&entry.parts, put));
        }
        let keys: Vec<Key> = puts.iter().map(|(key, _)| key.clone()).collect();
        for tier in self.lower(policy).filter(|_| below) {
            match tier.flush().await {
                Err(error) if tier.name() == TierName::Disk => return Err(error),
                written => problem = written.err().or(problem),
            }
            let found = tier.get_many(&keys, Need::Now).await;
            for ((rests, put), found) in rest.iter_mut().zip(puts).zip(found) {
                match found {
                    Ok(entry) => *rests |= entry.is_some_and(|entry| is_it(&entry.parts, put)),
                    Err(error) => problem = Some(error),
                }
            }
        }
        Ok((rest, problem))
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
