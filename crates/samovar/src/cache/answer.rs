//! What goes into a cache and what comes out of it, with its proof.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use samovar_core::{Error, Lifetime, Millis, Parts, Stamp, Tags, TierName, Verdict};

use crate::counters::{CacheCounters, Lookup};
use crate::fence::Survey;

/// A value as it was found, judged part by part.
pub struct Found<V> {
    /// The value.
    pub value: Arc<V>,
    /// Its parts. Their stamps are good for making new entries out of old parts.
    pub parts: Parts,
    /// Its tags: to be handed on by who makes a new entry of it.
    pub tags: Tags,
    /// How long its parts may be served.
    pub lifetime: Lifetime,
    /// Where it was found.
    pub tier: TierName,
    /// The worst over all parts. Who sees `Refused` here must ask for each part, or each day of a part, before
    /// serving any of it.
    pub verdict: Verdict,
    /// Whether a mark covers any of it: what is stale without one is merely old.
    pub marked: bool,
    /// By part, if not all are fresh.
    pub(super) verdicts: Option<Box<[Verdict]>>,
    pub(super) fresh_until: Millis,
    /// The verdict with the time of fail-safe added to the stale window: never stricter than `verdict`.
    pub(super) reserve: Verdict,
    /// Nothing of it may be served again, but where a load fails.
    pub(super) is_spent: bool,
}

impl<V> Found<V> {
    /// The verdict on a part, as a whole: that of its worst day.
    pub fn part_verdict(&self, part: usize) -> Verdict {
        match &self.verdicts {
            None => Verdict::Fresh,
            Some(verdicts) => verdicts.get(part).copied().unwrap_or(Verdict::Refused),
        }
    }

    /// When the first of its parts reaches the end of its lifetime.
    pub fn fresh_until(&self) -> Millis {
        self.fresh_until
    }

    /// When the oldest of its parts was read.
    pub fn read_at(&self) -> Millis {
        let oldest = self.parts.iter().map(|part| part.stamp.read_at).min();
        oldest.unwrap_or(Millis(i64::MIN))
    }
}

impl<V> Clone for Found<V> {
    fn clone(&self) -> Self {
        Found {
            value: Arc::clone(&self.value),
            parts: Arc::clone(&self.parts),
            tags: self.tags.clone(),
            verdicts: self.verdicts.clone(),
            ..*self
        }
    }
}

impl<V> fmt::Debug for Found<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found")
            .field("parts", &self.parts)
            .field("tags", &self.tags)
            .field("lifetime", &self.lifetime)
            .field("tier", &self.tier)
            .field("verdict", &self.verdict)
            .field("marked", &self.marked)
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
    /// It was there, and is served with a label while it is read again.
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

impl<V> Found<V> {
    /// Something that no mark covers, fresh until then.
    #[inline]
    pub(super) fn clean(
        value: Arc<V>,
        (parts, tags, lifetime): (&Parts, &Tags, Lifetime),
        tier: TierName,
        fresh_until: Millis,
    ) -> Found<V> {
        Found {
            value,
            parts: Arc::clone(parts),
            tags: tags.clone(),
            lifetime,
            tier,
            verdict: Verdict::Fresh,
            marked: false,
            verdicts: None,
            fresh_until,
            reserve: Verdict::Fresh,
            is_spent: false,
        }
    }

    /// Takes in the verdicts that it is served by and counts them.
    pub(super) fn rule(&mut self, survey: Survey, tier: TierName, counters: &CacheCounters) {
        self.verdict = survey.verdict;
        self.marked = survey.marked;
        self.is_spent = survey.dead;
        let (lookup, verdicts) = match survey.verdict {
            Verdict::Fresh => (Lookup::Hit, None),
            Verdict::Stale => (Lookup::Stale, Some(survey.verdicts.into())),
            Verdict::Refused => (Lookup::Refused, Some(survey.verdicts.into())),
        };
        self.verdicts = verdicts;
        counters.count(tier, lookup);
    }
}
