//! Marks: invalidations as they stand in the log.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Key, Millis, Partition, Pattern, Tags, Version};

/// What a mark covers.
///
/// Its variants stand in the order in which they came to be: logs store their numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// One key of one cache.
    Key(Key),
    /// Everything that was derived from one store-day, in every cache.
    Partition(Partition),
    /// Every key of the named cache.
    Cache(Arc<str>),
    /// Every key of every cache.
    Everything,
    /// Every key whose name matches, in every cache.
    Pattern(Pattern),
    /// Everything that bears this tag, in every cache.
    Tag(Arc<str>),
}

impl Scope {
    /// Whether it covers a value under this key, as callers know it or as it is stored, that bears these tags and
    /// names no partition.
    ///
    /// ```
    /// # use samovar_core::{Key, Scope, Tags};
    /// let (key, tags) = (Key::new("product_info", "42"), Tags::new(["supplier:7"])?);
    /// assert!(Scope::Cache("product_info".into()).covers(&key, &tags));
    /// assert!(!Scope::Cache("inventory".into()).covers(&key, &tags));
    /// assert!(Scope::Tag("supplier:7".into()).covers(&key, &tags));
    /// assert!(Scope::Pattern("product_*:4?".parse()?).covers(&key, &tags));
    /// assert!(Scope::Tag("season:summer".into()).covers(&key, &Tags::any()));
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    pub fn covers(&self, key: &Key, tags: &Tags) -> bool {
        match self {
            Scope::Key(marked) => marked.cache == key.cache && *marked.id == *Key::bare(&key.id),
            Scope::Partition(_) => tags.are_any(),
            Scope::Cache(cache) => *cache == key.cache,
            Scope::Everything => true,
            Scope::Pattern(pattern) => pattern.matches(&Key::addressed(&key.cache, &key.id)),
            Scope::Tag(tag) => tags.has(tag) || tags.are_any(),
        }
    }

    /// Whether it may cover what a load under this key will bring, derived from no partition: which tags it will
    /// bear is not known before.
    pub fn may_cover(&self, key: &Key) -> bool {
        matches!(self, Scope::Tag(_)) || self.covers(key, &Tags::NONE)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Key(key) => write!(f, "key {key}"),
            Scope::Partition(partition) => write!(f, "{partition}"),
            Scope::Cache(cache) => write!(f, "cache {cache}"),
            Scope::Everything => f.write_str("everything"),
            Scope::Pattern(pattern) => write!(f, "pattern {pattern}"),
            Scope::Tag(tag) => write!(f, "tag {tag}"),
        }
    }
}

/// What becomes of what a mark covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It is never served again.
    #[default]
    Remove,
    /// It may be served, labelled as stale, within the stale window of its cache.
    Expire,
}

/// A mark's name: random, given where it is accepted, so that it is recognised when the log hands it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MarkId(pub u128);

/// An invalidation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Its name.
    pub id: MarkId,
    /// What it covers.
    pub scope: Scope,
    /// What becomes of what it covers.
    pub mode: Mode,
    /// Wall clock at its acceptance; used for stale windows alone.
    pub at: Millis,
    /// Why, for people: an event's name, `restart`, …
    pub reason: Arc<str>,
    /// Which marks come first, from 0 to 100, which does, where what they cover is swept away or read again. It is stored and
    /// handed on; nothing goes by it yet. That what it covers is not served any more does not depend on it.
    #[serde(default = "Mark::usual_priority")]
    pub priority: u8,
}

impl Mark {
    /// The priority of a mark for which nobody chose one.
    pub const PRIORITY: u8 = 50;
    /// The highest priority.
    pub const PRIORITY_MAX: u8 = 100;

    /// What older programs stored has none.
    fn usual_priority() -> u8 {
        Mark::PRIORITY
    }
}

/// A mark with the number that the log gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered {
    /// Its place in the log.
    pub version: Version,
    /// The mark.
    pub mark: Mark,
}
