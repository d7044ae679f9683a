//! Of several nodes one loads a key, and the others wait for what it brings.

use std::time::Duration;

use samovar_core::{Key, Verdict};

use super::Cache;
use super::answer::{Answer, Outcome};
use super::options::Terms;
use super::seen::Seen;
use crate::counters::Event;
use crate::jitter::back_off;
use crate::lease::{Lease, Leases};
use crate::tier::is_same;
use crate::value::Value;

/// Who waits looks again after about so long, twice as long each time …
const FIRST: Duration = Duration::from_millis(4);
/// … up to here.
const LONGEST: Duration = Duration::from_millis(250);
/// Each wait is spread by so much, so that they do not all look at once.
const SPREAD: f64 = 0.5;

/// Whose turn it is.
pub(super) enum Turn<V> {
    /// Another node has loaded it.
    Found(Answer<V>),
    /// This node's; with a lease, unless there are none or they could not be asked.
    Load(Option<Lease>),
}

impl<V: Value> Cache<V> {
    /// Waits until this node is to load a key, or another has done so since `known` was seen: at most for twice the
    /// time of a lease, so that of those who wait for one that died another takes its place; and not at all while Redis
    /// is out of order.
    pub(super) async fn turn(&self, key: &Key, known: Option<&Seen<V>>, terms: &Terms) -> Turn<V> {
        let Some((leases, time)) = self.leases(terms) else { return Turn::Load(None) };
        let clock = &self.inner.clock;
        let until = clock.elapsed().saturating_add(time.saturating_mul(2));
        let mut waits = 0;
        loop {
            match leases.take(key, time).await {
                Err(_) => return Turn::Load(None),
                // Who had it before may have loaded.
                Ok(Some(lease)) => {
                    let found = self.found_below(key, known, terms).await;
                    return found.map_or(Turn::Load(Some(lease)), Turn::Found);
                }
                Ok(None) => {}
            }
            let left = until.saturating_sub(clock.elapsed());
            if left.is_zero() {
                return Turn::Load(None);
            }
            if waits == 0 {
                self.inner.counters.count(Event::LoadElsewhere, 1);
            }
            let wait = back_off(FIRST, LONGEST, waits);
            clock.sleep(self.inner.jitter.spread(wait, SPREAD).min(left)).await;
            waits += 1;
            if let Some(answer) = self.found_below(key, known, terms).await {
                return Turn::Found(answer);
            }
        }
    }

    /// The leases that a load takes, and for how long.
    fn leases(&self, terms: &Terms) -> Option<(&Leases, Duration)> {
        let time =
            self.policy.load_lease.filter(|_| self.policy.redis && !terms.options.refresh)?;
        self.inner.leases.as_ref().filter(|leases| leases.are_there()).map(|leases| (leases, time))
    }

    /// What lies below memory by now, if it is fresh and was read later than what is known.
    pub(super) async fn found_below(
        &self,
        key: &Key,
        known: Option<&Seen<V>>,
        terms: &Terms,
    ) -> Option<Answer<V>> {
        let seen = self.seek_below_again(key, !terms.options.skip_memory).await?;
        let is_later = known.is_none_or(|known| {
            seen.stamp().read_at > known.stamp().read_at
                && !is_same(seen.parts(), known.parts(), seen.lifetime())
        });
        let now = self.inner.clock.now();
        (seen.verdict == Verdict::Fresh && is_later).then(|| self.answer(&seen, Outcome::Hit, now))
    }

    /// Lets go of a lease once others find what was loaded under it.
    pub(super) fn give_back(&self, lease: Option<Lease>, key: &Key) {
        let Some(lease) = lease else { return };
        let (cache, key) = (self.clone(), key.clone());
        self.inner.tasks.spawn(async move {
            cache.inner.stack.written(&key).await;
            drop(lease);
        });
    }
}
