//! One read: memory, else one flight below it, else one flight to the source.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, Shared, pending, select};
use samovar_core::{
    Clock, Entry, Error, ErrorKind, Key, Millis, Part, Parts, Scope, Stamp, Tags, Verdict,
};

use super::answer::{Answer, Outcome};
use super::load::{Load, Loaded, What, nothing_to_keep};
use super::options::{ReadOptions, Terms};
use super::seen::Seen;
use super::{Cache, Claim};
use crate::background::panic_text;
use crate::counters::Event;
use crate::flight::{Ticket, panicked};
use crate::value::Value;

/// What becomes of something that was found.
enum Grade<V> {
    /// It is the answer.
    Fresh,
    /// It is the answer, and to be read again behind it.
    Due,
    /// It is the answer with a label, and to be read again behind it.
    Stale,
    /// It is kept in case a load fails.
    Spare(Seen<V>),
    /// It is of no use.
    Useless,
}

/// How far a caller came with waiting.
pub(super) enum Waited<T> {
    Landed(Result<T, Error>),
    Soft,
    Hard,
}

type Timer = Shared<BoxFuture<'static, ()>>;

/// How long a caller waits: counted from when it was not answered at once.
#[derive(Clone)]
pub(super) struct Patience {
    soft: Option<Timer>,
    hard: Option<(Timer, Duration)>,
}

impl Patience {
    pub(super) fn new(clock: &Arc<dyn Clock>, terms: &Terms) -> Patience {
        let timer = |after| clock.sleep(after).shared();
        Patience {
            soft: terms.soft_timeout().map(timer),
            hard: terms.hard_timeout().map(|after| (timer(after), after)),
        }
    }

    /// Waits for a flight; until the soft timeout only if there is something to give then.
    pub(super) async fn wait<T: Clone>(&self, ticket: &Ticket<T>, has_spare: bool) -> Waited<T> {
        let soft = self.soft.clone().filter(|_| has_spare);
        if soft.is_none() && self.hard.is_none() {
            return Waited::Landed(ticket.land().await);
        }
        let ends = |timer: Option<Timer>| timer.unwrap_or_else(|| pending().boxed().shared());
        let hard = self.hard.as_ref().map(|(timer, _)| timer.clone());
        let tired = select(ends(soft), ends(hard));
        match select(pin!(ticket.land()), tired).await {
            Either::Left((landed, _)) => Waited::Landed(landed),
            Either::Right((Either::Left(_), _)) => Waited::Soft,
            Either::Right((Either::Right(_), _)) => Waited::Hard,
        }
    }

    /// The error for who waits no longer.
    pub(super) fn over(&self, key: &Key) -> Error {
        let after = self.hard.as_ref().map(|(_, after)| *after).unwrap_or_default();
        let text =
            format!("{key} was not loaded within {after:?}, the hard timeout; the load goes on");
        Error::new(ErrorKind::Timeout, text)
    }
}

impl<V: Value> Cache<V> {
    /// The value under a key: from memory, else from below, else loaded; one flight per key. A stale value is given
    /// as it is, labelled, and read again in the background; so is what is fresh and due to be refreshed.
    ///
    /// `load` is told what there is to know in a [`Load`]. It gives the value, or a [`Loaded`] that says more of it
    /// or that there is none. It runs at most once, on the task of whoever waits for it, and goes on in the
    /// background if nobody does because of a timeout.
    ///
    /// # Errors
    /// The loader's, or that it panicked; of kind [`ErrorKind::Timeout`] if that took too long, and
    /// [`ErrorKind::Throttled`] if a load of this key failed a moment ago. Each only if there is nothing stale that
    /// may be served in its place.
    pub async fn get_or_load<F, Fut, L>(&self, key: &str, load: F) -> Result<Answer<V>, Error>
    where
        F: FnOnce(Load<V>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, Error>> + Send + 'static,
        L: Into<Loaded<V>> + Send + 'static,
    {
        self.get_or_load_with(key, ReadOptions::default(), load).await
    }

    /// As [`Cache::get_or_load`], with options for this call.
    ///
    /// # Errors
    /// As there.
    pub async fn get_or_load_with<F, Fut, L>(
        &self,
        key: &str,
        options: ReadOptions,
        load: F,
    ) -> Result<Answer<V>, Error>
    where
        F: FnOnce(Load<V>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, Error>> + Send + 'static,
        L: Into<Loaded<V>> + Send + 'static,
    {
        let now = self.inner.clock.now();
        let id = self.desk.naming.stored(key, now);
        let seen = if options.skip_memory { None } else { self.look(&id, now, true) };
        match seen {
            Some(seen) if seen.verdict == Verdict::Fresh && !options.refresh => {
                if self.is_due(&id, &seen, now) {
                    let key = Key::new(Arc::clone(&self.policy.name), id);
                    let terms = Terms::new(&self.policy, options);
                    self.refresh(&key, Some(seen.clone()), terms, load);
                }
                Ok(self.answer(seen, Outcome::Hit, now))
            }
            seen => {
                let key = Key::new(Arc::clone(&self.policy.name), id);
                self.read_on(key, seen, Terms::new(&self.policy, options), load).await
            }
        }
    }

    /// A read that memory does not simply answer.
    async fn read_on<F, Fut, L>(
        &self,
        key: Key,
        seen: Option<Seen<V>>,
        terms: Terms,
        load: F,
    ) -> Result<Answer<V>, Error>
    where
        F: FnOnce(Load<V>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, Error>> + Send + 'static,
        L: Into<Loaded<V>> + Send + 'static,
    {
        let mut best = seen;
        let mut spare = match self.settled(&key, &best, &terms, true) {
            Ok((answer, is_refreshed)) => {
                if is_refreshed {
                    self.refresh(&key, best, terms, load);
                }
                return Ok(answer);
            }
            Err(spare) => spare,
        };
        let patience = Patience::new(&self.inner.clock, &terms);
        if self.has_below() && !terms.options.refresh {
            let (cache, id) = (self.clone(), key.clone());
            let ticket = self.looks.board(&key, &|scope| touches(scope, &key), |_| async move {
                Ok(cache.seek_below(&id).await.map(|(seen, _)| seen))
            });
            match patience.wait(&ticket, spare.is_some()).await {
                Waited::Landed(found) => best = found.ok().flatten().or(best),
                Waited::Soft => {
                    self.refresh(&key, spare.clone(), terms, load);
                    return self
                        .instead(spare, Outcome::Stale, None, Event::SoftTimeout)
                        .ok_or_else(|| patience.over(&key));
                }
                Waited::Hard => {
                    self.refresh(&key, spare.clone(), terms, load);
                    return self.too_late(&key, spare, &patience);
                }
            }
            match self.settled(&key, &best, &terms, false) {
                Ok((answer, is_refreshed)) => {
                    if is_refreshed {
                        self.refresh(&key, best, terms, load);
                    }
                    return Ok(answer);
                }
                Err(below) => spare = below.or(spare),
            }
        }
        if let Some(error) = self.resting(&key) {
            return self.rested(&key, spare, &terms, error);
        }
        let ticket = self.board(&key, best.or_else(|| spare.clone()), terms.clone(), load);
        self.await_load(&key, ticket, spare, &patience, &terms).await
    }

    /// The answer that something found makes at once, and whether it is to be read again behind it; else what of it is
    /// kept in case a load fails.
    pub(super) fn settled(
        &self,
        key: &Key,
        seen: &Option<Seen<V>>,
        terms: &Terms,
        is_memory: bool,
    ) -> Result<(Answer<V>, bool), Option<Seen<V>>> {
        let Some(seen) = seen else { return Err(None) };
        let now = self.inner.clock.now();
        let (outcome, again) = match self.grade(key, seen, terms, now) {
            Grade::Fresh => (Outcome::Hit, false),
            Grade::Due => (Outcome::Hit, true),
            Grade::Stale if is_memory && self.may_be_newer_below(seen.verdict, seen.marked) => {
                return Err(Some(seen.clone()));
            }
            Grade::Stale => (Outcome::Stale, true),
            Grade::Spare(spare) => return Err(Some(spare)),
            Grade::Useless => return Err(None),
        };
        Ok((self.answer(seen.clone(), outcome, now), again))
    }

    fn grade(&self, key: &Key, seen: &Seen<V>, terms: &Terms, now: Millis) -> Grade<V> {
        if !terms.options.refresh {
            if seen.verdict == Verdict::Fresh {
                return if self.is_due(&key.id, seen, now) { Grade::Due } else { Grade::Fresh };
            }
            let is_stale = match terms.options.stale_window {
                None => seen.verdict == Verdict::Stale,
                Some(_) => self.within(key, seen, terms.windows(seen.lifetime).0),
            };
            if is_stale {
                return Grade::Stale;
            }
        }
        match self.still(key, Some(seen.clone()), terms) {
            Some(spare) => Grade::Spare(spare),
            None => Grade::Useless,
        }
    }

    /// Whether something may be served if its window is this long.
    fn within(&self, key: &Key, seen: &Seen<V>, window: Duration) -> bool {
        let mut claim: Claim<'_> = seen.claim();
        claim.lifetime.stale_window = window;
        self.verdict(key, claim) != Verdict::Refused
    }

    /// Something kept in case a load fails, if it may still be served.
    pub(super) fn still(
        &self,
        key: &Key,
        spare: Option<Seen<V>>,
        terms: &Terms,
    ) -> Option<Seen<V>> {
        spare.filter(|seen| self.within(key, seen, terms.windows(seen.lifetime).1))
    }

    fn is_due(&self, id: &str, seen: &Seen<V>, now: Millis) -> bool {
        // That there is no value is asked again soon enough.
        seen.value.is_some() && self.desk.early.is_due(id, seen, now, || self.inner.jitter.next())
    }

    /// The error for who asks for a key whose source rests.
    pub(super) fn resting(&self, key: &Key) -> Option<Error> {
        let error = self.desk.throttle.check(key, self.inner.clock.elapsed())?;
        self.inner.counters.count(Event::Throttled, 1);
        Some(error)
    }

    fn answer(&self, seen: Seen<V>, outcome: Outcome, now: Millis) -> Answer<V> {
        let stamp = seen.stamp();
        let outcome = match (outcome, &seen.value) {
            (Outcome::Hit, None) => {
                self.inner.counters.count(Event::NegativeHit, 1);
                Outcome::Negative
            }
            (outcome, _) => outcome,
        };
        let age = now.since(stamp.read_at).unwrap_or_default();
        let Seen { value, tier, .. } = seen;
        Answer { value, outcome, tier: Some(tier), stamp, age, problem: None }
    }

    /// What is given in place of what could not be loaded, if there is anything.
    fn instead(
        &self,
        spare: Option<Seen<V>>,
        outcome: Outcome,
        problem: Option<Error>,
        event: Event,
    ) -> Option<Answer<V>> {
        let answer = self.answer(spare?, outcome, self.inner.clock.now());
        self.inner.counters.count(event, 1);
        Some(Answer { problem, ..answer })
    }

    /// What is given while the source rests.
    pub(super) fn rested(
        &self,
        key: &Key,
        spare: Option<Seen<V>>,
        terms: &Terms,
        error: Error,
    ) -> Result<Answer<V>, Error> {
        let (spare, problem) = (self.still(key, spare, terms), Some(error.clone()));
        self.instead(spare, Outcome::Throttled, problem, Event::FailSafe).ok_or(error)
    }

    fn too_late(
        &self,
        key: &Key,
        spare: Option<Seen<V>>,
        patience: &Patience,
    ) -> Result<Answer<V>, Error> {
        self.inner.counters.count(Event::HardTimeout, 1);
        let error = patience.over(key);
        self.instead(spare, Outcome::Failed, Some(error.clone()), Event::FailSafe).ok_or(error)
    }

    /// Waits for a load as long as this caller would, and makes the best of how it ends.
    pub(super) async fn await_load(
        &self,
        key: &Key,
        ticket: Ticket<Answer<V>>,
        spare: Option<Seen<V>>,
        patience: &Patience,
        terms: &Terms,
    ) -> Result<Answer<V>, Error> {
        let mut spare = spare;
        loop {
            let waited = patience.wait(&ticket, spare.is_some()).await;
            // What a mark has covered since then is not given.
            spare = self.still(key, spare, terms);
            match waited {
                Waited::Landed(Ok(answer)) => return Ok(answer),
                Waited::Landed(Err(error)) => {
                    let outcome = match error.kind() {
                        ErrorKind::Throttled => Outcome::Throttled,
                        _ => Outcome::Failed,
                    };
                    let problem = Some(error.clone());
                    return self.instead(spare, outcome, problem, Event::FailSafe).ok_or(error);
                }
                Waited::Soft => {
                    let answer =
                        self.instead(spare.take(), Outcome::Stale, None, Event::SoftTimeout);
                    if let Some(answer) = answer {
                        self.go_on(ticket);
                        return Ok(answer);
                    }
                }
                Waited::Hard => {
                    self.go_on(ticket);
                    return self.too_late(key, spare, patience);
                }
            }
        }
    }

    /// A load goes on although nobody waits for it.
    fn go_on(&self, ticket: Ticket<Answer<V>>) {
        let background = &self.inner.tasks;
        background.spawn(async move {
            // Whoever wants to know how it ends has a ticket too; a failure was counted.
            let _ = ticket.land().await;
        });
    }

    /// Reads something again in the background, unless its source rests or somebody does already.
    fn refresh<F, Fut, L>(&self, key: &Key, known: Option<Seen<V>>, terms: Terms, load: F)
    where
        F: FnOnce(Load<V>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, Error>> + Send + 'static,
        L: Into<Loaded<V>> + Send + 'static,
    {
        if self.resting(key).is_some() {
            return;
        }
        self.go_behind(self.board(key, known, terms, load));
    }

    /// A flight goes on in the background, unless somebody flies it already.
    pub(super) fn go_behind(&self, ticket: Ticket<Answer<V>>) {
        if ticket.is_first {
            self.inner.counters.count(Event::Refresh, 1);
            self.go_on(ticket);
        }
    }

    /// A place in the flight that loads a key, or in a new one. `known` is what its caller has seen: anything else that
    /// is fresh by the time it begins was loaded by somebody else.
    fn board<F, Fut, L>(
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
            let previous = cache.still(&id, known, &terms);
            let stamp = Stamp::new(token, cache.inner.clock.now());
            let told = Load::new(token, previous.clone());
            let call = async move { load(told).await.map(Into::into) };
            let loaded =
                cache.ask(&id.to_string(), std::slice::from_ref(&id), &terms, call).await?;
            cache.take(&id, stamp, loaded, previous, &terms).await
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
        let known = known.map(Seen::stamp);
        let is_new = |seen: &Seen<V>| seen.verdict == Verdict::Fresh && Some(seen.stamp()) != known;
        let in_memory = self.policy.memory && !terms.options.skip_memory;
        if in_memory && let Some(seen) = self.look(&key.id, now, false).filter(is_new) {
            return Some(self.answer(seen, Outcome::Hit, now));
        }
        // Another node may have read it again; what was just sought in vain is not sought twice.
        if terms.options.refresh || (in_memory && known.is_none()) {
            return None;
        }
        let (seen, _) = self.seek_below(key).await?;
        let is_later = known.is_none_or(|known| seen.stamp().read_at > known.read_at);
        (is_new(&seen) && is_later).then(|| self.answer(seen, Outcome::Hit, now))
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
        counters.count(Event::Load, 1);
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
        let now = clock.elapsed();
        for key in keys {
            match &ended {
                Ok(_) => {
                    self.desk.early.note(&key.id, now.saturating_sub(began));
                    self.desk.throttle.clear(key);
                }
                Err(error) => self.desk.throttle.rest(key, now, terms.throttle(), error),
            }
        }
        if ended.is_err() {
            counters.count(Event::LoadFailed, 1);
        }
        ended
    }

    /// Keeps what was loaded, if it is to be kept, and makes an answer of it.
    pub(super) async fn take(
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
            What::Value(value) => (Some(value), Some(terms.lifetime(ttl))),
            What::Absent => {
                self.inner.counters.count(Event::LoadedAbsent, 1);
                if names_none {
                    tags = Tags::any();
                }
                (None, terms.negative(ttl))
            }
            What::Unmodified => {
                let known = previous.as_ref().filter(|known| known.value.is_some());
                let known = known.ok_or_else(nothing_to_keep)?;
                if names_none {
                    tags = known.tags.clone();
                    let anew = |part: &Part| Part { span: part.span.clone(), stamp };
                    parts = known.parts.iter().map(anew).collect();
                }
                (known.value.clone(), Some(terms.lifetime(ttl)))
            }
        };
        match lifetime.filter(|_| is_kept) {
            Some(lifetime) => {
                let (tags, lifetime) = (tags.and(&terms.options.tags)?, self.spread(lifetime));
                let entry = Entry { value: value.clone(), parts, tags, lifetime };
                self.fill(key, &entry, terms.options.skip_memory);
            }
            // What stood there is not what the source says.
            None if previous.is_some() => {
                self.inner.stack.remove(key, &self.inner.counters).await;
            }
            None => {}
        }
        let age = self.age(stamp.read_at);
        Ok(Answer { value, outcome: Outcome::Loaded, tier: None, stamp, age, problem: None })
    }
}

/// Whether a mark may cover what a flight that began before it will bring: its tags and partitions are not known.
pub(super) fn touches(scope: &Scope, key: &Key) -> bool {
    matches!(scope, Scope::Partition(_)) || scope.may_cover(key)
}
