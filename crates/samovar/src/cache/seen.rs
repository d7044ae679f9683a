//! What a read finds: a value, or that there is none.

use std::sync::Arc;

use samovar_core::{Claim, Lifetime, Millis, Parts, Stamp, Tags, TierName, Verdict};

use super::answer::Found;

/// In place of a value in memory: the source has none.
#[derive(Debug)]
pub(super) struct Absent;

/// What was found under a key, judged: as [`Found`], and the value may be none.
pub(super) struct Seen<V> {
    pub(super) value: Option<Arc<V>>,
    pub(super) parts: Parts,
    pub(super) tags: Tags,
    pub(super) lifetime: Lifetime,
    pub(super) tier: TierName,
    pub(super) verdict: Verdict,
    /// The verdict with the time of fail-safe added to the stale window.
    pub(super) reserve: Verdict,
    pub(super) marked: bool,
    /// It is labelled as stale for that, and read again for other reasons alone.
    pub(super) cut_off: bool,
    pub(super) fresh_until: Millis,
}

impl<V> Seen<V> {
    pub(super) fn absent(found: Found<Absent>) -> Seen<V> {
        let Found {
            parts,
            tags,
            lifetime,
            tier,
            verdict,
            reserve,
            marked,
            cut_off,
            fresh_until,
            ..
        } = found;
        let value = None;
        Seen { value, parts, tags, lifetime, tier, verdict, reserve, marked, cut_off, fresh_until }
    }

    /// The stamp of its oldest part.
    pub(super) fn stamp(&self) -> Stamp {
        let stamps = self.parts.iter().map(|part| part.stamp);
        let oldest = stamps.min_by_key(|stamp| stamp.read_at);
        oldest.expect("what has no part is dead to every survey, and never seen")
    }

    pub(super) fn claim(&self) -> Claim<'_> {
        Claim { parts: &self.parts, tags: &self.tags, lifetime: self.lifetime }
    }
}

impl<V> From<Found<V>> for Seen<V> {
    fn from(found: Found<V>) -> Seen<V> {
        let Found {
            value,
            parts,
            tags,
            lifetime,
            tier,
            verdict,
            reserve,
            marked,
            cut_off,
            fresh_until,
            ..
        } = found;
        let value = Some(value);
        Seen { value, parts, tags, lifetime, tier, verdict, reserve, marked, cut_off, fresh_until }
    }
}

impl<V> Clone for Seen<V> {
    fn clone(&self) -> Self {
        Seen {
            value: self.value.clone(),
            parts: Arc::clone(&self.parts),
            tags: self.tags.clone(),
            ..*self
        }
    }
}
