//! What goes into a cache and what comes out of it, with its proof.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use samovar_core::{Claim, Error, Lifetime, Millis, Parts, Stamp, Tags, TierName, Verdict};

use crate::counters::{CacheCounters, Lookup};
use crate::fence::{Standing, Survey};
use crate::tier::Held;
use crate::value::Value;

/// A value as it was found, judged part by part. It shares what memory holds: so it is cheap, and what it derefs to is
/// the value itself.
///
/// ```
/// # use samovar::{CachePolicy, Samovar, Settings};
/// # use samovar_core::{TierName, Verdict};
/// # futures_executor::block_on(async {
/// let samovar = Samovar::open(Settings::default()).await?;
/// let names = samovar.cache::<String>(CachePolicy::named("names"));
/// names.get_or_load("1", |_| async { Ok("Tea".to_owned()) }).await?;
/// let found = names.peek("1").expect("it was loaded");
/// assert_eq!((found.as_str(), found.tier, found.verdict), ("Tea", TierName::Memory, Verdict::Fresh));
/// assert_eq!(found.parts().len(), 1);
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
pub struct Found<V> {
    held: Arc<Held>,
    /// Where it was found.
    pub tier: TierName,
    /// The worst over all parts. Who sees `Refused` here must ask for each part, or each day of a part, before
    /// serving any of it.
    pub verdict: Verdict,
    /// Whether a mark covers any of it: what is stale without one is merely old.
    pub marked: bool,
    /// This node is cut off from the log that it shares ([`crate::fence::Standing::CutOff`]): to be labelled as stale
    /// whatever the verdict, though nothing is to be read again for that.
    pub cut_off: bool,
    /// The verdict with the time of fail-safe added to the stale window: never stricter than `verdict`.
    pub(super) reserve: Verdict,
    /// Nothing of it may be served again, but where a load fails.
    pub(super) is_spent: bool,
    /// By part, if not all are fresh.
    pub(super) verdicts: Option<Box<[Verdict]>>,
    of: PhantomData<fn() -> V>,
}

impl<V> Found<V> {
    /// Something that no mark covers, and that is within its lifetime.
    #[inline]
    pub(super) fn clean(held: Arc<Held>, tier: TierName) -> Found<V> {
        Found {
            held,
            tier,
            verdict: Verdict::Fresh,
            marked: false,
            cut_off: false,
            reserve: Verdict::Fresh,
            is_spent: false,
            verdicts: None,
            of: PhantomData,
        }
    }

    /// Its parts. Their stamps are good for making new entries out of old parts.
    pub fn parts(&self) -> &Parts {
        self.held.parts()
    }

    /// Its tags: to be handed on by who makes a new entry of it.
    pub fn tags(&self) -> &Tags {
        self.held.tags()
    }

    /// How long its parts may be served.
    pub fn lifetime(&self) -> Lifetime {
        self.held.lifetime()
    }

    /// What decides whether it may be served.
    pub(super) fn claim(&self) -> Claim<'_> {
        self.held.claim()
    }

    /// The verdict on a part, as a whole: that of its worst day.
    pub fn part_verdict(&self, part: usize) -> Verdict {
        match &self.verdicts {
            None => Verdict::Fresh,
            Some(verdicts) => verdicts.get(part).copied().unwrap_or(Verdict::Refused),
        }
    }

    /// When the first of its parts reaches the end of its lifetime.
    pub fn fresh_until(&self) -> Millis {
        self.held.fresh_until()
    }

    /// When the oldest of its parts was read.
    pub fn read_at(&self) -> Millis {
        let oldest = self.parts().iter().map(|part| part.stamp.read_at).min();
        oldest.unwrap_or(Millis(i64::MIN))
    }

    /// Takes in what has changed since it was judged. Never for the better: memory's own time may have been over.
    pub(super) fn worsen(&mut self, reserve: Verdict, survey: Survey) {
        self.reserve = self.reserve.max(reserve);
        self.marked |= survey.marked;
        self.cut_off = survey.standing != Standing::Connected;
        self.is_spent |= survey.dead;
        if survey.verdict > self.verdict {
            self.verdict = survey.verdict;
            self.verdicts = survey.verdicts;
        }
    }

    /// Takes in the verdicts that it is served by and counts them.
    pub(super) fn rule(&mut self, survey: Survey, counters: &CacheCounters) {
        self.verdict = survey.verdict;
        self.marked = survey.marked;
        self.cut_off = survey.standing != Standing::Connected;
        self.is_spent = survey.dead;
        let lookup = match survey.verdict {
            Verdict::Fresh => Lookup::Hit,
            Verdict::Stale => Lookup::Stale,
            Verdict::Refused => Lookup::Refused,
        };
        self.verdicts = survey.verdicts;
        counters.count(self.tier, lookup);
    }
}

impl<V: Value> Found<V> {
    /// The value, to be kept.
    pub fn value(&self) -> Arc<V> {
        self.held.value().value().expect(OF_ITS_TYPE)
    }
}

/// Who makes a `Found` has looked, and a `Seen` that has no value gives none away.
const OF_ITS_TYPE: &str = "what is found in a cache is of the cache's type";

impl<V: Value> Deref for Found<V> {
    type Target = V;

    #[inline]
    fn deref(&self) -> &V {
        self.held.value().get().expect(OF_ITS_TYPE)
    }
}

impl<V> Clone for Found<V> {
    fn clone(&self) -> Self {
        Found { held: Arc::clone(&self.held), verdicts: self.verdicts.clone(), ..*self }
    }
}

impl<V> fmt::Debug for Found<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found")
            .field("parts", self.parts())
            .field("tags", self.tags())
            .field("lifetime", &self.lifetime())
            .field("tier", &self.tier)
            .field("verdict", &self.verdict)
            .field("marked", &self.marked)
            .field("cut_off", &self.cut_off)
            .finish_non_exhaustive()
    }
}

/// How a read came by its answer. Where there is nothing to give it is an error instead, by the same words:
/// [`samovar_core::ErrorKind::Throttled`], [`samovar_core::ErrorKind::Timeout`], or the loader's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was there and fresh.
    Hit,
    /// It was there and fresh that the source has no such row.
    Negative,
    /// It was there, and is served with a label while it is read again; or because this node is cut off from the log that
    /// it shares, and then nothing is read again for that.
    Stale,
    /// It was read from the source: also if that has no such row.
    Loaded,
    /// It was there, and is served with a label because a load failed a moment ago and the source rests.
    Throttled,
    /// It was there, and is served with a label because its load failed or took too long.
    Failed,
}

/// A value, or that there is none, with its proof.
pub struct Answer<V> {
    /// The value; `None`: the source has no such row.
    pub value: Option<Arc<V>>,
    /// How it was come by.
    pub outcome: Outcome,
    /// Where it was found; `None`: at the source.
    pub tier: Option<TierName>,
    /// When it was read from the source.
    pub stamp: Stamp,
    /// How long ago that was; zero if the clock has gone backwards.
    pub age: Duration,
    /// When its lifetime ends, or ended; `None`: it is kept nowhere.
    pub fresh_until: Option<Millis>,
    /// Beside [`Outcome::Throttled`] and [`Outcome::Failed`]: why it is not fresh.
    pub problem: Option<Error>,
}

impl<V> Clone for Answer<V> {
    fn clone(&self) -> Self {
        Answer { value: self.value.clone(), problem: self.problem.clone(), ..*self }
    }
}

impl<V> fmt::Debug for Answer<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("outcome", &self.outcome)
            .field("tier", &self.tier)
            .field("stamp", &self.stamp)
            .field("age", &self.age)
            .field("fresh_until", &self.fresh_until)
            .field("problem", &self.problem)
            .finish_non_exhaustive()
    }
}
