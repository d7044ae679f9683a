//! A breaker around a tier: one that fails or is slow again and again is left alone for a while, so that nobody waits
//! for it. It is asked again in the background, at growing intervals, and taken back once it answers.
//!
//! What it missed meanwhile needs no repair: the fence refuses what marks cover, and the rest is merely older.

use std::future::ready;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use samovar_core::{
    BoxFuture, Clock, Entry, Error, ErrorKind, Got, Key, Need, Tier, TierName, Usage,
};

use crate::background::Tasks;
use crate::counters::{Counted, Counters};
use crate::jitter::{Jitter, back_off};

/// When a tier is left alone, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BreakerOptions {
    /// After so many lookups in a row that failed or were slow.
    pub(crate) failures_max: u32,
    /// What counts as slow.
    pub(crate) slow: Duration,
    /// It is asked again after so long at first, twice as long each time (spread by up to a fifth) …
    pub(crate) retry_min: Duration,
    /// … and at last this often.
    pub(crate) retry_max: Duration,
    /// It is written to all the same: what is acknowledged rests on it, and nobody waits for its queue.
    pub(crate) keeps_writing: bool,
}

/// Who gives a lookup up sooner than after this share of what counts as slow tells nothing of the tier.
const SOON: u32 = 10;

/// A tier that is passed over while it is out of order.
pub(crate) struct Breaker<V: Clone + Send + Sync + 'static> {
    inner: Arc<Inner<V>>,
    tasks: Tasks,
}

struct Inner<V: Clone + Send + Sync + 'static> {
    tier: Arc<dyn Tier<Value = V>>,
    options: BreakerOptions,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    jitter: Jitter,
    health: Arc<Health>,
}

/// How a tier is doing.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// In a row, the last ones.
    failures: AtomicU32,
    /// It is left alone.
    open: AtomicBool,
}

impl Health {
    /// Whether the last lookup went well.
    pub(crate) fn is_good(&self) -> bool {
        !self.open.load(Ordering::Relaxed) && self.failures.load(Ordering::Relaxed) == 0
    }
}

impl<V: Clone + Send + Sync + 'static> Breaker<V> {
    /// Around a tier, which is taken to be in order. It is asked again on the runtime of `tasks`.
    pub(crate) fn around(
        tier: Arc<dyn Tier<Value = V>>,
        options: BreakerOptions,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
        tasks: Tasks,
    ) -> Result<Breaker<V>, Error> {
        let inner = Inner {
            tier,
            options,
            clock,
            counters,
            jitter: Jitter::random()?,
            health: Arc::default(),
        };
        Ok(Breaker { inner: Arc::new(inner), tasks })
    }

    /// How the tier is doing, from now on.
    pub(crate) fn health(&self) -> Arc<Health> {
        Arc::clone(&self.inner.health)
    }

    /// Whether the tier is left alone; who asks goes past it, and is counted.
    fn skips(&self) -> bool {
        let open = self.inner.health.open.load(Ordering::Relaxed);
        if open {
            self.inner.counters.count(Counted::TierSkipped, 1);
        }
        open
    }

    /// Whether nothing is handed to the tier now.
    fn skips_writes(&self) -> bool {
        !self.inner.options.keeps_writing && self.skips()
    }

    fn away(&self) -> Error {
        let text = format!("{} is left alone for a while: it failed", self.inner.tier.name());
        Error::new(ErrorKind::Away, text)
    }

    /// Takes in how a lookup went that began then: `problem`, if it failed.
    fn note(&self, began: Duration, problem: Option<&Error>, key: &Key) {
        let inner = &self.inner;
        let took = inner.clock.elapsed().saturating_sub(began);
        if problem.is_none() && took < inner.options.slow {
            if inner.health.failures.load(Ordering::Relaxed) > 0 {
                inner.health.failures.store(0, Ordering::Relaxed);
            }
            return;
        }
        let failures = inner.health.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures >= inner.options.failures_max
            && !inner.health.open.swap(true, Ordering::Relaxed)
        {
            let why = problem.map_or_else(|| format!("it took {took:?}"), Error::to_string);
            inner.say(&format!("is left alone after {failures} failures in a row: {why}"));
            let (weak, key) = (Arc::downgrade(inner), key.clone());
            self.tasks.keep(move || probe(weak.clone(), key.clone()));
        }
    }
}

/// A lookup that is under way. Dropped before it has ended, as by who waits no longer, it counts as one that failed: a
/// tier that hangs is not seen to by those who wait for its answer alone.
struct Lookup<'a, V: Clone + Send + Sync + 'static> {
    breaker: &'a Breaker<V>,
    key: &'a Key,
    began: Duration,
    has_ended: bool,
}

impl<'a, V: Clone + Send + Sync + 'static> Lookup<'a, V> {
    fn of(breaker: &'a Breaker<V>, key: &'a Key) -> Lookup<'a, V> {
        Lookup { breaker, key, began: breaker.inner.clock.elapsed(), has_ended: false }
    }

    fn ended(mut self, problem: Option<&Error>) {
        self.has_ended = true;
        self.breaker.note(self.began, problem, self.key);
    }
}

impl<V: Clone + Send + Sync + 'static> Drop for Lookup<'_, V> {
    fn drop(&mut self) {
        let Inner { clock, options, .. } = &*self.breaker.inner;
        let took = clock.elapsed().saturating_sub(self.began);
        if !self.has_ended && took >= options.slow / SOON {
            let text = format!("it had not answered after {took:?}");
            self.breaker.note(self.began, Some(&Error::new(ErrorKind::Timeout, text)), self.key);
        }
    }
}

impl<V: Clone + Send + Sync + 'static> Inner<V> {
    fn say(&self, what: &str) {
        self.counters.say(self.clock.now(), format!("{} {what}", self.tier.name()));
    }
}

/// Lets one lookup through now and then, until one goes well.
async fn probe<V: Clone + Send + Sync + 'static>(breaker: Weak<Inner<V>>, key: Key) {
    let mut tries = 0;
    loop {
        let Some(inner) = breaker.upgrade() else { return };
        let BreakerOptions { slow, retry_min, retry_max, .. } = inner.options;
        let wait = back_off(retry_min, retry_max, tries);
        let nap = inner.clock.sleep(inner.jitter.spread(wait, 0.2));
        drop(inner);
        nap.await;
        let Some(inner) = breaker.upgrade() else { return };
        let began = inner.clock.elapsed();
        let is_known = inner.tier.waiting(&key).is_some();
        let answer = inner.tier.get_for(&key, Need::Now).await;
        // What still waits to be written says nothing of who is to take it.
        if !is_known && answer.is_ok() && inner.clock.elapsed().saturating_sub(began) < slow {
            inner.health.failures.store(0, Ordering::Relaxed);
            inner.say("answers again");
            inner.health.open.store(false, Ordering::Relaxed);
            return;
        }
        tries = tries.saturating_add(1);
    }
}

impl<V: Clone + Send + Sync + 'static> Tier for Breaker<V> {
    type Value = V;

    fn name(&self) -> TierName {
        self.inner.tier.name()
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Got<V>> {
        self.get_for(key, Need::Later)
    }

    fn get_for<'a>(&'a self, key: &'a Key, need: Need) -> BoxFuture<'a, Got<V>> {
        if self.skips() {
            return Box::pin(ready(Err(self.away())));
        }
        // What waits to be written says nothing of how the tier is doing: of one that fails it must not say that it
        // is well.
        if !self.inner.health.is_good()
            && let Some(waiting) = self.inner.tier.waiting(key)
        {
            return Box::pin(ready(Ok(waiting)));
        }
        Box::pin(async move {
            let lookup = Lookup::of(self, key);
            let answer = self.inner.tier.get_for(key, need).await;
            lookup.ended(answer.as_ref().err());
            answer
        })
    }

    fn get_many<'a>(&'a self, keys: &'a [Key], need: Need) -> BoxFuture<'a, Vec<Got<V>>> {
        if keys.is_empty() {
            return Box::pin(ready(Vec::new()));
        }
        if self.skips() {
            return Box::pin(ready(keys.iter().map(|_| Err(self.away())).collect()));
        }
        Box::pin(async move {
            let asks = |key: &Key| self.inner.tier.waiting(key).is_none();
            let asked: Vec<usize> = (0..keys.len()).filter(|at| asks(&keys[*at])).collect();
            let lookup = asked.first().map(|first| Lookup::of(self, &keys[*first]));
            let answers = self.inner.tier.get_many(keys, need).await;
            // While some servers answer it is of use.
            let problem = |at: &usize| answers.get(*at).and_then(|answer| answer.as_ref().err());
            let all_failed = asked.iter().all(|at| problem(at).is_some());
            if let (Some(lookup), Some(first)) = (lookup, asked.first()) {
                lookup.ended(problem(first).filter(|_| all_failed));
            }
            answers
        })
    }

    fn waiting(&self, key: &Key) -> Option<Option<Entry<V>>> {
        self.inner.tier.waiting(key)
    }

    fn written<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, ()> {
        self.inner.tier.written(key)
    }

    fn put(&self, key: &Key, entry: Entry<V>) {
        if !self.skips_writes() {
            self.inner.tier.put(key, entry);
        }
    }

    fn remove<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool, Error>> {
        match self.skips_writes() {
            true => Box::pin(ready(Err(self.away()))),
            false => self.inner.tier.remove(key),
        }
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.inner.tier.flush()
    }

    fn room(&self) -> BoxFuture<'_, Result<(), Error>> {
        match !self.inner.options.keeps_writing && self.inner.health.open.load(Ordering::Relaxed) {
            // Nothing is handed to it now.
            true => Box::pin(ready(Err(self.away()))),
            false => self.inner.tier.room(),
        }
    }

    fn sweep(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.inner.tier.sweep()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            self.tasks.close().await;
            self.inner.tier.close().await
        })
    }

    fn usage(&self) -> Usage {
        self.inner.tier.usage()
    }
}

impl<V: Clone + Send + Sync + 'static> Drop for Breaker<V> {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

#[cfg(test)]
mod tests;
