//! Entries: values with the stamps by which reads decide.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Day, Millis, Span, Tags, Tick, Token, Version};

/// When something was read from the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The version at which the read of the source began. Decides below memory.
    pub version: Version,
    /// The tick up to which this is known to be clean in this process. Decides in memory.
    pub tick: Tick,
    /// Wall clock when the read of the source began.
    pub read_at: Millis,
}

impl Stamp {
    /// The stamp of what is read from the source after `token` was taken, at `now`.
    pub fn new(token: Token, now: Millis) -> Self {
        Stamp { version: token.version, tick: token.tick, read_at: now }
    }
}

/// A piece of an entry that is fresh or refused by itself.
///
/// Consecutive days that were read together make one part, so that a block of many days stays small. A part is
/// judged as a whole: it is refused if a mark covers *any* of its days. Whoever wants to know which of
/// the days are refused asks again with parts of one day ([`Part::only`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The store-days it was derived from; `None` for a value that no partition mark covers.
    pub span: Option<Span>,
    /// When it was read.
    pub stamp: Stamp,
}

impl Part {
    /// The same part narrowed to one day.
    pub fn only(&self, day: Day) -> Part {
        let span = self.span.as_ref().map(|span| Span { from: day, to: day, ..span.clone() });
        Part { span, stamp: self.stamp }
    }
}

/// The parts of an entry. A plain value has one; a block of several days has one for each.
pub type Parts = Arc<[Part]>;

/// How long an entry may be served after its parts were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifetime {
    /// Fresh for so long (already spread by the cache's jitter).
    pub ttl: Duration,
    /// After that, served labelled as stale for so long.
    pub stale_window: Duration,
}

/// A cached value with what is needed to decide whether it may be served.
#[derive(Clone, Debug)]
pub struct Entry<V> {
    /// The value; cheap to clone (an `Arc` in memory, shared bytes below).
    pub value: V,
    /// Its parts: one or more.
    pub parts: Parts,
    /// Under which it is invalidated as a whole, beside its key.
    pub tags: Tags,
    /// How long its parts may be served.
    pub lifetime: Lifetime,
}

impl<V> Entry<V> {
    /// An entry in one part that no partition mark covers, without tags.
    pub fn whole(value: V, stamp: Stamp, lifetime: Lifetime) -> Self {
        Entry { value, parts: Arc::from([Part { span: None, stamp }]), tags: Tags::NONE, lifetime }
    }

    /// The same entry with another form of the value.
    pub fn with<W>(&self, value: W) -> Entry<W> {
        Entry {
            value,
            parts: Arc::clone(&self.parts),
            tags: self.tags.clone(),
            lifetime: self.lifetime,
        }
    }

    /// What decides whether it may be served.
    pub fn claim(&self) -> Claim<'_> {
        Claim { parts: &self.parts, tags: &self.tags, lifetime: self.lifetime }
    }
}

/// What the fence judges of an entry, beside its key.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Its parts, or those of them that are asked about.
    pub parts: &'a [Part],
    /// Its tags.
    pub tags: &'a Tags,
    /// How long its parts may be served.
    pub lifetime: Lifetime,
}
