//! A named cache: peek, get, put, get_or_load.

mod answer;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use samovar_core::{
    Claim, Entry, Error, Key, Lifetime, Millis, Part, Parts, Stamp, Tick, TierName, Token, Verdict,
};

pub use answer::{Answer, Found, Loaded, Outcome, PutOptions};

use crate::counters::{CacheCounters, Event, Lookup};
use crate::flight::Flights;
use crate::samovar::Inner;
use crate::settings::CachePolicy;
use crate::tier::stack::shared;
use crate::tier::{Held, is_late};
use crate::value::Value;

/// A named cache of one type of value. Cheap to clone; made by [`crate::Samovar::cache`].
pub struct Cache<V: Value> {
    inner: Arc<Inner>,
    policy: Arc<CachePolicy>,
    counters: Arc<CacheCounters>,
    flights: Flights<Answer<V>>,
}

impl<V: Value> Cache<V> {
    pub(crate) fn new(inner: Arc<Inner>, policy: CachePolicy) -> Self {
        let counters = inner.counters.of_cache(&policy.name);
        let flights = Flights::new(inner.fence.clone());
        Cache { inner, policy: Arc::new(policy), counters, flights }
    }

    /// The policy it was made with.
    pub fn policy(&self) -> &CachePolicy {
        &self.policy
    }

    /// To be taken *before* anything is read from the source: it becomes the stamp of what is read.
    pub fn token(&self) -> Token {
        self.inner.fence.token()
    }

    /// What memory holds, judged. Synchronous; a hit on an entry that no mark has come near since the last
    /// time costs about a hundred nanoseconds. `None` if it is not there, or nothing of it may ever be served again.
    ///
    /// A miss is not counted: who asks further counts it there.
    pub fn peek(&self, key: &str) -> Option<Found<V>> {
        // The tick before the lookup: a mark that acts from here on belongs to later reads.
        let tick = self.inner.fence.tick();
        let held = self.inner.stack.memory().find(&self.policy.name, key)?;
        self.judge_held(key, &held, tick)
    }

    fn judge_held(&self, key: &str, held: &Arc<Held>, tick: Tick) -> Option<Found<V>> {
        let now = self.inner.clock.now();
        let value = held.value().value::<V>()?;
        let mut found = Found {
            value,
            parts: Arc::clone(held.parts()),
            tags: held.tags().clone(),
            lifetime: held.lifetime(),
            tier: TierName::Memory,
            verdict: Verdict::Fresh,
            marked: false,
            verdicts: None,
            fresh_until: held.fresh_until(),
        };
        if held.clean() >= tick && held.is_young(now) {
            self.counters.count(TierName::Memory, Lookup::Hit);
            return Some(found);
        }
        let (cache, clean) = (&self.policy.name, held.clean());
        let survey = self.inner.fence.survey(cache, key, held.claim(), clean, now);
        if survey.dead {
            self.inner.stack.memory().forget(held);
        } else if !survey.marked {
            held.set_clean(survey.tick);
        }
        found.rule(survey, TierName::Memory, &self.counters).then_some(found)
    }

    /// What is there, judged: in memory, else below; what is found below is then kept in memory too. `None` if
    /// it is not there, or nothing of it may ever be served again. Parts that are refused are reported, never
    /// hidden. A tier that fails is counted and passed over.
    pub async fn get(&self, key: &str) -> Option<Found<V>> {
        let tick = self.inner.fence.tick();
        match self.inner.stack.memory().find(&self.policy.name, key) {
            Some(held) => {
                if let Some(found) = self.judge_held(key, &held, tick) {
                    return Some(found);
                }
            }
            None => self.counters.count(TierName::Memory, Lookup::Miss),
        }
        self.get_below(key).await
    }

    async fn get_below(&self, key: &str) -> Option<Found<V>> {
        if !self.policy.disk || !self.inner.stack.has_lower() {
            return None;
        }
        let inner = &self.inner;
        let key = Key::new(Arc::clone(&self.policy.name), key);
        let (tier, entry) =
            inner.stack.below(&key, &inner.fence, &inner.counters, &self.counters).await?;
        let now = inner.clock.now();
        let survey = inner.fence.survey(&key.cache, &key.id, entry.claim(), Tick(0), now);
        let value = match V::decode(&entry.value) {
            Ok(value) => Arc::new(value),
            Err(error) => {
                inner.counters.count(Event::Damaged, 1);
                inner
                    .counters
                    .say(now, format!("{key} cannot be read from {tier}: {error}; dropped"));
                inner.stack.remove(&key, &inner.counters).await;
                return None;
            }
        };
        let mut found = Found {
            value,
            parts: Arc::clone(&entry.parts),
            tags: entry.tags.clone(),
            lifetime: entry.lifetime,
            tier,
            verdict: Verdict::Fresh,
            marked: false,
            verdicts: None,
            fresh_until: crate::tier::fresh_until(&entry.parts, entry.lifetime),
        };
        if !found.rule(survey, tier, &self.counters) {
            return None;
        }
        if self.policy.memory {
            inner.stack.promote(&key, entry.with(shared(&found.value)));
        }
        Some(found)
    }

    /// The verdict on a part of what was found under `key`, or on one day of it ([`Part::only`]), as of now.
    pub fn judge(&self, key: &str, part: &Part, found: &Found<V>) -> Verdict {
        let now = self.inner.clock.now();
        let parts = std::slice::from_ref(part);
        let claim = Claim { parts, tags: &found.tags, lifetime: found.lifetime };
        self.inner.fence.survey(&self.policy.name, key, claim, Tick(0), now).verdict
    }

    /// Keeps a value: in memory at once, on disk soon (durable after [`crate::Samovar::flush`]), each if the
    /// policy says so, and unless what stands there was read later. The parts bear stamps made from a token taken
    /// before their source was read. Never waits.
    pub fn put(&self, key: &str, value: impl Into<Arc<V>>, parts: Parts) -> Arc<V> {
        self.put_with(key, value, parts, PutOptions::default())
    }

    /// Keeps a value on disk alone, for bulk loads of what will not be read soon. What memory held under the key
    /// is forgotten, unless it was read later: then nothing is kept.
    pub fn put_below(&self, key: &str, value: impl Into<Arc<V>>, parts: Parts) -> Arc<V> {
        self.put_with(key, value, parts, PutOptions { below: true, ..PutOptions::default() })
    }

    /// As [`Cache::put`], with options.
    pub fn put_with(
        &self,
        key: &str,
        value: impl Into<Arc<V>>,
        parts: Parts,
        options: PutOptions,
    ) -> Arc<V> {
        let value = value.into();
        let key = Key::new(Arc::clone(&self.policy.name), key);
        let PutOptions { tags, below } = options;
        let entry = Entry { value: Arc::clone(&value), parts, tags, lifetime: self.lifetime() };
        let memory = self.inner.stack.memory();
        let mut late = false;
        if below {
            if let Some(held) = memory.find(&key.cache, &key.id) {
                late = self.stays(&key, &held, entry.claim());
                if !late {
                    memory.forget(&held);
                }
            }
        } else if self.policy.memory {
            let now = self.inner.clock.now();
            // It would be refused at every read: keeping it saves nothing.
            if self.inner.fence.survey(&key.cache, &key.id, entry.claim(), Tick(0), now).dead {
                self.inner.counters.count(Event::FillRefused, 1);
            } else {
                let stays = |held: &Held| self.stays(&key, held, entry.claim());
                late = !memory.keep(&key, entry.with(shared(&value)), stays);
            }
        }
        if late {
            // What stands in memory was handed to the disk too, or came from there.
            self.inner.counters.count(Event::FillRefused, 1);
        } else {
            self.write_below(&key, &entry);
        }
        value
    }

    /// Whether what memory holds stays although something else is to be put: it was read later, and may be
    /// served as well.
    fn stays(&self, key: &Key, held: &Held, put: Claim<'_>) -> bool {
        let now = self.inner.clock.now();
        let verdict =
            |claim| self.inner.fence.survey(&key.cache, &key.id, claim, Tick(0), now).verdict;
        is_late(put.parts, held.parts(), |stamp| stamp.tick.0)
            && verdict(held.claim()) <= verdict(put)
    }

    fn write_below(&self, key: &Key, entry: &Entry<Arc<V>>) {
        if !self.policy.disk || !self.inner.stack.has_lower() {
            return;
        }
        let mut bytes = Vec::new();
        match entry.value.encode(&mut bytes) {
            Ok(()) => self.inner.stack.put_below(key, &entry.with(Bytes::from(bytes))),
            Err(error) => {
                self.inner.counters.count(Event::FillDropped, 1);
                let now = self.inner.clock.now();
                self.inner.counters.say(now, format!("{key} was not written to disk: {error}"));
            }
        }
    }

    /// Waits while more is queued for the disk than it should fall behind: for who puts in bulk, after each put.
    ///
    /// # Errors
    /// If the tier below has failed for good.
    pub async fn room(&self) -> Result<(), Error> {
        self.inner.stack.room().await
    }

    /// Forgets a key in every tier. This is no invalidation: a load that is under way may bring the same value
    /// back. To invalidate, use [`crate::Samovar::mark`].
    pub async fn remove(&self, key: &str) -> bool {
        let key = Key::new(Arc::clone(&self.policy.name), key);
        self.inner.stack.remove(&key, &self.inner.counters).await
    }

    /// The value under a key: from memory, else from below, else loaded; one flight per key. A stale value is
    /// given as it is and labelled: it is for the caller to have it read again.
    ///
    /// `load` gets the token that was taken before it was called. It gives a value, or a [`Loaded`] that says more
    /// of it, and makes an entry in one part that no partition mark covers.
    ///
    /// # Errors
    /// The loader's, or that it panicked.
    pub async fn get_or_load<F, Fut, L>(&self, key: &str, load: F) -> Result<Answer<V>, Error>
    where
        F: FnOnce(Token) -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, Error>> + Send + 'static,
        L: Into<Loaded<V>>,
    {
        if let Some(answer) = self.peek(key).and_then(|found| self.answer(found)) {
            return Ok(answer);
        }
        let full = Key::new(Arc::clone(&self.policy.name), key);
        let (cache, id) = (self.clone(), Arc::clone(&full.id));
        self.flights
            .join(
                &full,
                |scope| scope.may_cover(&full),
                move |token| async move {
                    if let Some(answer) = cache.get(&id).await.and_then(|found| cache.answer(found))
                    {
                        return Ok(answer);
                    }
                    let stamp = Stamp::new(token, cache.inner.clock.now());
                    let Loaded { value, tags } = load(token).await?.into();
                    let parts = Arc::from([Part { span: None, stamp }]);
                    let options = PutOptions { tags, ..PutOptions::default() };
                    let value = cache.put_with(&id, value, parts, options);
                    let age = cache.age(stamp.read_at);
                    Ok(Answer { value, outcome: Outcome::Loaded, tier: None, stamp, age })
                },
            )
            .await
    }

    /// The answer that something found makes, if all of it may be served.
    fn answer(&self, found: Found<V>) -> Option<Answer<V>> {
        let outcome = match found.verdict {
            Verdict::Fresh => Outcome::Hit,
            Verdict::Stale => Outcome::Stale,
            Verdict::Refused => return None,
        };
        let oldest = found.parts.iter().map(|part| part.stamp).min_by_key(|stamp| stamp.read_at)?;
        let age = self.age(oldest.read_at);
        Some(Answer { value: found.value, outcome, tier: Some(found.tier), stamp: oldest, age })
    }

    fn age(&self, read_at: Millis) -> Duration {
        self.inner.clock.now().since(read_at).unwrap_or_default()
    }

    /// A lifetime, spread.
    fn lifetime(&self) -> Lifetime {
        let CachePolicy { ttl, jitter, stale_window, .. } = *self.policy;
        let spread = 1.0 + jitter.clamp(0.0, 1.0) * self.inner.jitter.next();
        Lifetime { ttl: ttl.mul_f64(spread), stale_window }
    }
}

impl<V: Value> Clone for Cache<V> {
    fn clone(&self) -> Self {
        Cache {
            inner: Arc::clone(&self.inner),
            policy: Arc::clone(&self.policy),
            counters: Arc::clone(&self.counters),
            flights: self.flights.clone(),
        }
    }
}

impl<V: Value> fmt::Debug for Cache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("policy", &self.policy).finish_non_exhaustive()
    }
}
