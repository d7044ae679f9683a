//! Of several nodes one loads a key, and the others wait for what it brings.
//!
//! Who loads many keys loads those whose leases it was given at once, and waits for the others with no lease in hand: so
//! no two wait for each other.

use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;
use samovar_core::{Error, Key, Verdict};

use super::Cache;
use super::answer::{Answer, Outcome};
use super::options::Terms;
use super::seen::Seen;
use crate::counters::Counted;
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

/// A key of a batch that is to be loaded, and what was seen of it.
pub(super) struct Wanted<V> {
    pub(super) key: Key,
    /// As callers know it.
    pub(super) bare: Arc<str>,
    pub(super) known: Option<Seen<V>>,
    /// Told the answer when there is one, whatever the others of the batch wait for still.
    pub(super) tell: oneshot::Sender<Result<Answer<V>, Error>>,
}

impl<V> Wanted<V> {
    pub(super) fn tell(self, answer: Result<Answer<V>, Error>) {
        // Nobody may wait any more.
        let _ = self.tell.send(answer);
    }
}

/// Whose turn it is with each key of a batch.
pub(super) struct Turns<V> {
    /// This node's …
    pub(super) own: Vec<Wanted<V>>,
    /// … for as long as it holds these.
    pub(super) leases: Vec<Lease>,
    /// Other nodes'. Who waits for what they have loaded by now has been told.
    pub(super) others: Vec<Wanted<V>>,
}

/// Waits for other nodes: at most for twice the time of a lease, so that of those who wait for one that died another takes
/// its place.
pub(super) struct Queue<'a> {
    leases: &'a Leases,
    time: Duration,
    until: Duration,
    waits: u32,
}

impl<V: Value> Cache<V> {
    /// Waits until this node is to load a key, or another has done so since `known` was seen; and not at all while Redis
    /// is out of order.
    pub(super) async fn turn(&self, key: &Key, known: Option<&Seen<V>>, terms: &Terms) -> Turn<V> {
        let Some(mut queue) = self.queue(terms) else { return Turn::Load(None) };
        loop {
            match queue.leases.take(key, queue.time).await {
                Err(_) => return Turn::Load(None),
                // Who had it before may have loaded.
                Ok(Some(lease)) => {
                    let found = self.found_below(key, known, terms).await;
                    return found.map_or(Turn::Load(Some(lease)), Turn::Found);
                }
                Ok(None) => {}
            }
            if !self.wait_in(&mut queue, 1).await {
                return Turn::Load(None);
            }
            if let Some(answer) = self.found_below(key, known, terms).await {
                return Turn::Found(answer);
            }
        }
    }

    /// Whose turn it is with keys of a batch, after a pause if all of them are others'. All are this node's if there is
    /// nothing to wait in, or Redis is out of order, or others have taken too long.
    pub(super) async fn turns(
        &self,
        wanted: Vec<Wanted<V>>,
        queue: &mut Option<Queue<'_>>,
        terms: &Terms,
    ) -> Turns<V> {
        let all = |own| Turns { own, leases: Vec::new(), others: Vec::new() };
        let Some(waiting) = queue else { return all(wanted) };
        let keys: Vec<&Key> = wanted.iter().map(|wanted| &wanted.key).collect();
        let Ok(leases) = waiting.leases.take_many(&keys, waiting.time).await else {
            *queue = None;
            return all(wanted);
        };
        let (own, others): (Vec<_>, Vec<_>) =
            wanted.into_iter().zip(&leases).partition(|(_, lease)| lease.is_some());
        let keys = |of: Vec<(Wanted<V>, _)>| of.into_iter().map(|(wanted, _)| wanted).collect();
        let (mut own, mut others): (Vec<_>, Vec<_>) = (keys(own), keys(others));
        let leases: Vec<Lease> = leases.into_iter().flatten().collect();
        if own.is_empty() {
            if !self.wait_in(waiting, others.len()).await {
                *queue = None;
                return all(others);
            }
            others = self.not_found(others, terms).await;
        } else {
            // Who had them before may have loaded.
            own = self.not_found(own, terms).await;
        }
        Turns { own, leases, others }
    }

    /// Those of a batch that no other node has loaded; who waits for the others is told.
    async fn not_found(&self, wanted: Vec<Wanted<V>>, terms: &Terms) -> Vec<Wanted<V>> {
        let keys: Vec<Key> = wanted.iter().map(|wanted| wanted.key.clone()).collect();
        let below = self.seek_many_below_again(&keys, !terms.options.skip_memory).await;
        let mut missing = Vec::new();
        for (wanted, below) in wanted.into_iter().zip(below) {
            match below.and_then(|seen| self.newer(&seen, wanted.known.as_ref())) {
                Some(answer) => wanted.tell(Ok(answer)),
                None => missing.push(wanted),
            }
        }
        missing
    }

    /// Where to wait for other nodes; `None`: there are none to wait for.
    pub(super) fn queue(&self, terms: &Terms) -> Option<Queue<'_>> {
        let time =
            self.policy.load_lease.filter(|_| self.policy.redis && !terms.options.refresh)?;
        let leases = self.inner.leases.as_ref().filter(|leases| leases.are_there())?;
        let until = self.inner.clock.elapsed().saturating_add(time.saturating_mul(2));
        Some(Queue { leases, time, until, waits: 0 })
    }

    /// Waits a while, for other nodes that load so many keys. False if they have taken too long.
    async fn wait_in(&self, queue: &mut Queue<'_>, keys: usize) -> bool {
        let clock = &self.inner.clock;
        let left = queue.until.saturating_sub(clock.elapsed());
        if left.is_zero() {
            return false;
        }
        if queue.waits == 0 {
            self.inner.counters.count(Counted::LoadElsewhere, keys as u64);
        }
        let wait = back_off(FIRST, LONGEST, queue.waits);
        clock.sleep(self.inner.jitter.spread(wait, SPREAD).min(left)).await;
        queue.waits += 1;
        true
    }

    /// What lies below memory by now, if it is fresh and was read later than what is known.
    pub(super) async fn found_below(
        &self,
        key: &Key,
        known: Option<&Seen<V>>,
        terms: &Terms,
    ) -> Option<Answer<V>> {
        let seen = self.seek_below_again(key, !terms.options.skip_memory).await?;
        self.newer(&seen, known)
    }

    /// The answer that something makes if it is fresh and was read later than what is known.
    fn newer(&self, seen: &Seen<V>, known: Option<&Seen<V>>) -> Option<Answer<V>> {
        let is_later = known.is_none_or(|known| {
            seen.stamp().read_at > known.stamp().read_at
                && !is_same(seen.parts(), known.parts(), seen.lifetime())
        });
        let now = self.inner.clock.now();
        (seen.verdict == Verdict::Fresh && is_later).then(|| self.answer(seen, Outcome::Hit, now))
    }

    /// Lets go of leases once others find what was loaded under them.
    pub(super) fn give_back(&self, leases: Vec<Lease>, keys: Vec<Key>) {
        if leases.is_empty() {
            return;
        }
        let cache = self.clone();
        self.inner.tasks.spawn(async move {
            for key in keys {
                cache.inner.stack.written(&key).await;
            }
            if let Some(all) = &cache.inner.leases {
                all.give_back(leases).await;
            }
        });
    }
}
