//! What goes into a cache and what comes out of it, with its proof.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use samovar_core::{Lifetime, Millis, Parts, Stamp, Tags, TierName, Verdict};

use crate::counters::{CacheCounters, Lookup};
use crate::fence::Survey;

/// How a value is put, beside its parts.
///
/// ```
/// # use samovar::PutOptions;
/// # use samovar_core::Tags;
/// let options = PutOptions { tags: Tags::new(["supplier:7"])?, ..PutOptions::default() };
/// assert!(!options.below);
/// # Ok::<(), samovar_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct PutOptions {
    /// Its tags: a mark on any of them covers it.
    pub tags: Tags,
    /// Below memory alone, as [`Cache::put_below`] does.
    pub below: bool,
}

/// What a loader has read. A loader that has no more to say gives the value itself.
#[derive(Clone, Debug)]
pub struct Loaded<V> {
    /// The value.
    pub value: V,
    /// Its tags: a mark on any of them covers it.
    pub tags: Tags,
}

impl<V> From<V> for Loaded<V> {
    fn from(value: V) -> Self {
        Loaded { value, tags: Tags::NONE }
    }
}

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

/// How [`Cache::get_or_load`] came by its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was there and fresh.
    Hit,
    /// It was there and may be served with a label.
    Stale,
    /// It was read from the source.
    Loaded,
}

/// A value with its proof.
pub struct Answer<V> {
    /// The value.
    pub value: Arc<V>,
    /// How it was come by.
    pub outcome: Outcome,
    /// Where it was found; `None`: at the source.
    pub tier: Option<TierName>,
    /// When it was read from the source.
    pub stamp: Stamp,
    /// How long ago that was; zero if the clock has gone backwards.
    pub age: Duration,
}

impl<V> Clone for Answer<V> {
    fn clone(&self) -> Self {
        Answer { value: Arc::clone(&self.value), ..*self }
    }
}

impl<V> fmt::Debug for Answer<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("outcome", &self.outcome)
            .field("tier", &self.tier)
            .field("stamp", &self.stamp)
            .field("age", &self.age)
            .finish_non_exhaustive()
    }
}

impl<V> Found<V> {
    /// Takes in the verdicts and counts them. False if nothing of it may ever be served again.
    pub(super) fn rule(
        &mut self,
        survey: Survey,
        tier: TierName,
        counters: &CacheCounters,
    ) -> bool {
        self.verdict = survey.verdict;
        self.marked = survey.marked;
        let (lookup, verdicts) = match survey.verdict {
            Verdict::Fresh => (Lookup::Hit, None),
            Verdict::Stale => (Lookup::Stale, Some(survey.verdicts.into())),
            Verdict::Refused => (Lookup::Refused, Some(survey.verdicts.into())),
        };
        self.verdicts = verdicts;
        counters.count(tier, lookup);
        !survey.dead
    }
}
