//! One read: memory, else one flight below it, else one flight to the source.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use samovar_core::{Error, ErrorKind, Key, Millis, Verdict};

use super::answer::{Answer, Outcome};
use super::fetch::touches;
use super::load::{Load, Loaded};
use super::options::{ReadOptions, Terms};
use super::seen::Seen;
use super::wait::{Patience, Waited};
use super::{Cache, Claim};
use crate::counters::Counted;
use crate::flight::Ticket;
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

impl<V: Value> Cache<V> {
    /// The value under a key: from memory, else from below, else loaded; one flight per key. A stale value is given
    /// as it is, labelled, and read again in the background; so is what is fresh and due to be refreshed.
    ///
    /// `load` is told what there is to know in a [`Load`]. It gives the value, or a [`Loaded`] that says more of it
    /// or that there is none. It runs at most once, on the task of whoever waits for it, and goes on in the
    /// background if nobody does because of a timeout.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Outcome, Samovar, Settings};
    /// # use samovar_core::{Error, ErrorKind, Millis};
    /// # use samovar_testkit::clock::FakeClock;
    /// # futures_executor::block_on(async {
    /// # let clock = FakeClock::at(Millis(0));
    /// # let settings = Settings { clock: clock.clone(), ..Settings::default() };
    /// # let samovar = Samovar::open(settings).await?;
    /// # let names = samovar.cache::<String>(CachePolicy::named("product_names"));
    /// let answer = names.get_or_load("42", |_| async { Ok("Tea".to_owned()) }).await?;
    /// assert_eq!(answer.outcome, Outcome::Loaded);
    ///
    /// let fails = |_| async { Err::<String, _>(Error::new(ErrorKind::Source, "the database is away")) };
    /// let answer = names.get_or_load("42", fails).await?;
    /// assert_eq!(answer.outcome, Outcome::Hit, "it is there: nobody asks the source");
    /// assert_eq!(names.get_or_load("43", fails).await.unwrap_err().kind(), ErrorKind::Source);
    /// assert_eq!(names.get_or_load("43", fails).await.unwrap_err().kind(), ErrorKind::Throttled);
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The loader's own, or [`ErrorKind::Source`] if it panicked; [`ErrorKind::Timeout`] if it took longer than the
    /// hard timeout or the `load_limit`; [`ErrorKind::Throttled`] if a load of this key failed a moment ago;
    /// [`ErrorKind::Invalid`] if it says that nothing has changed where there was nothing, or names too many tags. Each
    /// only if there is nothing stale that may be served in its place.
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
    /// ```
    /// # use samovar::{CachePolicy, Outcome, ReadOptions, Samovar, Settings};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// # let prices = samovar.cache::<String>(CachePolicy::named("prices"));
    /// prices.get_or_load("42", |_| async { Ok("12.50".to_owned()) }).await?;
    /// // Who pays wants to know what it costs now.
    /// let now = ReadOptions { refresh: true, ..ReadOptions::default() };
    /// let answer = prices.get_or_load_with("42", now, |_| async { Ok("13.00".to_owned()) }).await?;
    /// assert_eq!(answer.outcome, Outcome::Loaded);
    /// assert_eq!(*prices.peek("42").expect("it is kept for all"), "13.00");
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
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
        if let Some(written) = self.written(key) {
            return Ok(self.answer(&written, Outcome::Hit, now));
        }
        let id = self.desk.naming.stored(key, now);
        let seen = if options.skip_memory { None } else { self.look(&id, now, true) };
        match seen {
            Some(seen) if seen.verdict == Verdict::Fresh && !options.refresh => {
                if self.is_due(&id, &seen, now) {
                    let key = Key::new(Arc::clone(&self.policy.name), id);
                    let terms = Terms::new(&self.policy, options);
                    self.refresh(&key, Some(seen.clone()), terms, load);
                }
                Ok(self.answer(&seen, Outcome::Hit, now))
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
            let (cache, id, fills) = (self.clone(), key.clone(), !terms.options.skip_memory);
            let ticket =
                self.looks.board(&key, &|scope| touches(scope, &key), move |_| async move {
                    Ok(cache.seek_below(&id, fills).await)
                });
            loop {
                let waited = patience.wait(&ticket, spare.is_some()).await;
                // What a mark has covered since then is not given.
                spare = self.still(&key, spare, &terms);
                match waited {
                    Waited::Landed(found) => {
                        let found = found.ok().flatten().or(best);
                        best = found.and_then(|seen| self.again(&key, seen));
                        break;
                    }
                    Waited::Soft if spare.is_none() => {}
                    Waited::Soft => {
                        self.refresh(&key, spare.clone(), terms, load);
                        let answer =
                            self.instead(spare, Outcome::Stale, None, Counted::SoftTimeout);
                        return answer.ok_or_else(|| patience.over(&key));
                    }
                    Waited::Hard => {
                        self.refresh(&key, spare.clone(), terms, load);
                        return self.too_late(&key, spare, &patience);
                    }
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
        Ok((self.answer(seen, outcome, now), again))
    }

    fn grade(&self, key: &Key, seen: &Seen<V>, terms: &Terms, now: Millis) -> Grade<V> {
        if !terms.options.refresh {
            if seen.verdict == Verdict::Fresh {
                return if self.is_due(&key.id, seen, now) { Grade::Due } else { Grade::Fresh };
            }
            // What was not there may be by now.
            if seen.is_absent() {
                return Grade::Useless;
            }
            let is_stale = match terms.options.stale_window {
                None => seen.verdict == Verdict::Stale,
                Some(_) => self.within(key, seen, terms.windows(seen.lifetime()).0),
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
        spare.filter(|seen| self.within(key, seen, terms.windows(seen.lifetime()).1))
    }

    fn is_due(&self, id: &str, seen: &Seen<V>, now: Millis) -> bool {
        // That there is no value is asked again soon enough.
        !seen.is_absent() && self.desk.early.is_due(id, seen, now, || self.inner.jitter.next())
    }

    /// The error for who asks for a key whose source rests.
    pub(super) fn resting(&self, key: &Key) -> Option<Error> {
        let error = self.desk.throttle.check(key, self.inner.clock.elapsed())?;
        self.inner.counters.count(Counted::Throttled, 1);
        Some(error)
    }

    pub(super) fn answer(&self, seen: &Seen<V>, outcome: Outcome, now: Millis) -> Answer<V> {
        let stamp = seen.stamp();
        let outcome = match (outcome, seen.is_absent()) {
            (Outcome::Hit, true) => {
                self.inner.counters.count(Counted::NegativeHit, 1);
                if seen.cut_off { Outcome::Stale } else { Outcome::Negative }
            }
            (Outcome::Hit, false) if seen.cut_off => Outcome::Stale,
            (outcome, _) => outcome,
        };
        let age = now.since(stamp.read_at).unwrap_or_default();
        let (value, tier) = (seen.value(), Some(seen.tier));
        let fresh_until = Some(seen.fresh_until());
        Answer { value, outcome, tier, stamp, age, fresh_until, problem: None }
    }

    /// What is given in place of what could not be loaded, if there is anything.
    fn instead(
        &self,
        spare: Option<Seen<V>>,
        outcome: Outcome,
        problem: Option<Error>,
        what: Counted,
    ) -> Option<Answer<V>> {
        let answer = self.answer(&spare?, outcome, self.inner.clock.now());
        self.inner.counters.count(what, 1);
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
        self.instead(spare, Outcome::Throttled, problem, Counted::FailSafe).ok_or(error)
    }

    fn too_late(
        &self,
        key: &Key,
        spare: Option<Seen<V>>,
        patience: &Patience,
    ) -> Result<Answer<V>, Error> {
        self.inner.counters.count(Counted::HardTimeout, 1);
        let error = patience.over(key);
        self.instead(spare, Outcome::Failed, Some(error.clone()), Counted::FailSafe).ok_or(error)
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
                    return self.instead(spare, outcome, problem, Counted::FailSafe).ok_or(error);
                }
                Waited::Soft => {
                    let answer =
                        self.instead(spare.take(), Outcome::Stale, None, Counted::SoftTimeout);
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
        // One task is enough, however many callers it outlives.
        if !ticket.takes_wheel() {
            return;
        }
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
            self.inner.counters.count(Counted::Refresh, 1);
            self.go_on(ticket);
        }
    }
}
