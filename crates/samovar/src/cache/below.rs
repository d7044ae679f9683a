//! What lies below memory: sought, judged, and kept in the tiers above.

use std::sync::Arc;

use samovar_core::{Entry, Key, Millis, Tick, TierName, Verdict};

use super::Cache;
use super::answer::Found;
use super::seen::{Seen, in_memory};
use crate::counters::Counted;
use crate::samovar::Inner;
use crate::tier::stack::{Asks, Below};
use crate::tier::{Held, Shared, is_late, is_same};
use crate::value::Value;

impl<V: Value> Cache<V> {
    /// What lies below memory, judged, and kept in memory too if this `fills` it.
    pub(super) async fn seek_below(&self, key: &Key, fills: bool) -> Option<Seen<V>> {
        if !self.has_below() {
            return None;
        }
        let below = self.inner.stack.below(key, &self.asks(true)).await?;
        self.take_up(key, below, fills).await
    }

    /// As [`Cache::seek_below`], by who has looked already.
    pub(super) async fn seek_below_again(&self, key: &Key, fills: bool) -> Option<Seen<V>> {
        if !self.has_below() {
            return None;
        }
        let below = self.inner.stack.below(key, &self.asks(false)).await?;
        self.take_up(key, below, fills).await
    }

    /// As [`Cache::seek_below`] for many keys, in their order: each tier is asked once.
    pub(super) async fn seek_many_below(&self, keys: &[Key], fills: bool) -> Vec<Option<Seen<V>>> {
        self.seek_many(keys, fills, true).await
    }

    /// As [`Cache::seek_many_below`], by who has looked already.
    pub(super) async fn seek_many_below_again(
        &self,
        keys: &[Key],
        fills: bool,
    ) -> Vec<Option<Seen<V>>> {
        self.seek_many(keys, fills, false).await
    }

    async fn seek_many(&self, keys: &[Key], fills: bool, counts: bool) -> Vec<Option<Seen<V>>> {
        let below = match self.has_below() {
            true => self.inner.stack.below_many(keys, &self.asks(counts)).await,
            false => keys.iter().map(|_| None).collect(),
        };
        let mut seen = Vec::with_capacity(keys.len());
        for (key, below) in keys.iter().zip(below) {
            seen.push(match below {
                Some(below) => self.take_up(key, below, fills).await,
                None => None,
            });
        }
        seen
    }

    fn asks(&self, counts_misses: bool) -> Asks<'_> {
        let Inner { fence, clock, counters, .. } = &*self.inner;
        let (policy, of_cache) = (&self.policy, &self.counters);
        Asks { policy, fence, clock: &**clock, counters, of_cache, counts_misses }
    }

    /// What was found below, as readers are given it; kept in the tiers above too.
    async fn take_up(&self, key: &Key, below: Below, fills: bool) -> Option<Seen<V>> {
        let (inner, now) = (&self.inner, self.inner.clock.now());
        let Below { tier, entry, survey } = below;
        let value = match entry.value.read::<V>() {
            Ok(value) => value.map(Arc::new),
            Err(error) => {
                inner.counters.count(Counted::Damaged, 1);
                let text = format!("{key} cannot be read from {tier}: {error}; dropped");
                inner.counters.say(now, text);
                inner.stack.remove(key, (&*inner.counters, &*self.counters)).await;
                return None;
            }
        };
        let is_absent = value.is_none();
        let in_memory = entry.with(in_memory(value.as_ref()));
        let mut found = Found::clean(Arc::new(Held::loose(key, in_memory.clone())), tier);
        if !self.rule(&mut found, &key.id, survey, Tick(0), now) {
            return None;
        }
        inner.stack.promote(&self.policy, key, tier, &entry, &self.counters);
        if fills && self.policy.memory {
            self.promote(key, in_memory, found.reserve, now);
        }
        Some(Seen::new(found, is_absent))
    }

    /// Keeps in memory what was found below, unless what stands there may be served as well.
    fn promote(&self, key: &Key, entry: Entry<Shared>, verdict: Verdict, now: Millis) {
        let (parts, lifetime) = (Arc::clone(&entry.parts), entry.lifetime);
        // What was read later takes the place of what is as good: another node may have read it again early.
        let stays = |held: &Held| {
            let is_earlier = || {
                !is_same(held.parts(), &parts, lifetime)
                    && is_late(held.parts(), &parts, |stamp| stamp.tick.0)
            };
            self.verdict(key, held.claim()) <= verdict && !(held.is_over(now) || is_earlier())
        };
        self.counters.set(TierName::Memory);
        self.inner.stack.memory().keep(key, entry, self.memory_until(now), stays);
    }
}
