//! Flights to the source: what they bring is kept and shared.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use samovar_core::{Entry, Error, ErrorKind, Key, Part, Parts, Scope, Stamp, Tags, Verdict};

use super::Cache;
use super::answer::{Answer, Outcome};
use super::load::{Load, Loaded, What, nothing_to_keep};
use super::options::Terms;
use super::seen::Seen;
use super::turn::Turn;
use crate::background::panic_text;
use crate::counters::Counted;
use crate::flight::{Ticket, panicked};
use crate::lease::Lease;
use crate::value::Value;

impl<V: Value> Cache<V> {
    /// A place in the flight that loads a key, or in a new one. `known` is what its caller has seen: anything else that
    /// is fresh by the time it begins was loaded by somebody else.
    pub(super) fn board<F, Fut, L>(
        &self,
        key: &Key,
        known: Option<Seen<V>>,
        terms: Terms,
        load: F,
    ) -> Ticket<Answer<V>>
    where
        F: FnOnce(Load<V>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, Error>> + Send + 'static,
        L: Into<Loaded<V>> + Send + 'static,
    {
        let (cache, id) = (self.clone(), key.clone());
        let run = move |token| async move {
            if let Some(answer) = cache.found_since(&id, known.as_ref(), &terms).await {
                return Ok(answer);
            }
            if let Some(error) = cache.resting(&id) {
                return Err(error);
            }
            let lease = match cache.turn(&id, known.as_ref(), &terms).await {
                Turn::Found(answer) => return Ok(answer),
                Turn::Load(lease) => lease,
            };
            // It may have waited: what was marked meanwhile is read now.
            let token = if lease.is_some() { cache.token() } else { token };
            let previous = cache.still(&id, known, &terms);
            let stamp = Stamp::new(token, cache.inner.clock.now());
            let told = Load::new(token, previous.clone(), lease.as_ref().map(Lease::number));
            let call = async move { load(told).await.map(Into::into) };
            let loaded =
                cache.ask(&id.to_string(), std::slice::from_ref(&id), &terms, call).await?;
            let answer = cache.take(&id, stamp, loaded, previous, &terms).await;
            cache.give_back(lease.into_iter().collect(), vec![id]);
            answer
        };
        self.loads.board(key, &|scope| touches(scope, key), run)
    }

    /// What somebody else has loaded since a caller looked.
    pub(super) async fn found_since(
        &self,
        key: &Key,
        known: Option<&Seen<V>>,
        terms: &Terms,
    ) -> Option<Answer<V>> {
        let now = self.inner.clock.now();
        let stamp = known.map(Seen::stamp);
        let is_new = |seen: &Seen<V>| seen.verdict == Verdict::Fresh && Some(seen.stamp()) != stamp;
        let in_memory = self.policy.memory && !terms.options.skip_memory;
        if in_memory && let Some(seen) = self.look(&key.id, now, false).filter(is_new) {
            return Some(self.answer(&seen, Outcome::Hit, now));
        }
        // Another node may have read it again; what was just sought in vain is not sought twice.
        if terms.options.refresh || (in_memory && known.is_none()) {
            return None;
        }
        self.found_below(key, known, terms).await
    }

    /// Asks the source, for no longer than a load may take. How it ends is noted for each of the keys.
    pub(super) async fn ask<T>(
        &self,
        what: &str,
        keys: &[Key],
        terms: &Terms,
        call: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        let (clock, counters) = (&self.inner.clock, &self.inner.counters);
        counters.count(Counted::Load, 1);
        let began = clock.elapsed();
        let call = AssertUnwindSafe(call)
            .catch_unwind()
            .map(|ended| ended.unwrap_or_else(|panic| Err(panicked(what, &panic_text(&*panic)))));
        let ended = match terms.load_limit() {
            None => call.await,
            Some(limit) => match select(pin!(call), clock.sleep(limit)).await {
                Either::Left((ended, _)) => ended,
                Either::Right(_) => {
                    let text =
                        format!("loading {what} was given up after {limit:?}, its load_limit");
                    Err(Error::new(ErrorKind::Timeout, text))
                }
            },
        };
        match &ended {
            Ok(_) => {
                let took = clock.elapsed().saturating_sub(began);
                keys.iter().for_each(|key| self.desk.early.note(&key.id, took));
            }
            Err(error) => self.note_failed(keys, terms, error),
        }
        ended
    }

    /// A load has failed: its keys rest.
    fn note_failed(&self, keys: &[Key], terms: &Terms, error: &Error) {
        self.inner.counters.count(Counted::LoadFailed, 1);
        let now = self.inner.clock.elapsed();
        for key in keys {
            self.desk.throttle.rest(key, now, terms.throttle(), error);
        }
    }

    /// Keeps what was loaded, if it is to be kept, and makes an answer of it. A loader that says what cannot be has
    /// failed, as one that says so.
    pub(super) async fn take(
        &self,
        key: &Key,
        stamp: Stamp,
        loaded: Loaded<V>,
        previous: Option<Seen<V>>,
        terms: &Terms,
    ) -> Result<Answer<V>, Error> {
        let taken = self.keep_loaded(key, stamp, loaded, previous, terms).await;
        taken.inspect_err(|error| self.note_failed(std::slice::from_ref(key), terms, error))
    }

    async fn keep_loaded(
        &self,
        key: &Key,
        stamp: Stamp,
        loaded: Loaded<V>,
        previous: Option<Seen<V>>,
        terms: &Terms,
    ) -> Result<Answer<V>, Error> {
        let Loaded { what, mut tags, partitions, ttl, is_kept } = loaded;
        let mut parts: Parts = match partitions.len() {
            0 => Arc::from([Part { span: None, stamp }]),
            _ => partitions.into_iter().map(|span| Part { span: Some(span), stamp }).collect(),
        };
        let names_none = tags.is_empty() && parts.iter().all(|part| part.span.is_none());
        let (value, lifetime) = match what {
            What::Failed(error) => return Err(error),
            What::Value(value) => (Some(value), Some(terms.lifetime(ttl))),
            What::Absent => {
                self.inner.counters.count(Counted::LoadedAbsent, 1);
                if names_none {
                    tags = Tags::any();
                }
                (None, terms.negative(ttl))
            }
            What::Unmodified => {
                let known = previous.as_ref().filter(|known| !known.is_absent());
                let known = known.ok_or_else(nothing_to_keep)?;
                if names_none {
                    tags = known.tags().clone();
                    let anew = |part: &Part| Part { span: part.span.clone(), stamp };
                    parts = known.parts().iter().map(anew).collect();
                }
                (known.value(), Some(terms.lifetime(ttl)))
            }
        };
        let mut fresh_until = None;
        match lifetime.filter(|_| is_kept) {
            Some(lifetime) => {
                let (tags, lifetime) = (tags.and(&terms.options.tags)?, self.spread(lifetime));
                let entry = Entry { value: value.clone(), parts, tags, lifetime };
                self.fill(key, &entry, terms.options.skip_memory);
                fresh_until = Some(stamp.read_at.plus(lifetime.ttl));
            }
            // What stood there is not what the source says.
            None if previous.is_some() || self.has_below() => {
                self.inner.stack.remove(key, (&*self.inner.counters, &*self.counters)).await;
            }
            None => {}
        }
        let age = self.age(stamp.read_at);
        let outcome = Outcome::Loaded;
        Ok(Answer { value, outcome, tier: None, stamp, age, fresh_until, problem: None })
    }
}

/// Whether a mark may cover what a flight that began before it will bring: its tags and partitions are not known.
pub(super) fn touches(scope: &Scope, key: &Key) -> bool {
    matches!(scope, Scope::Partition(_)) || scope.may_cover(key)
}
