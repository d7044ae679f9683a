//! Marks: invalidations as they stand in the log.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Key, Millis, Partition, Pattern, Tags, Version};

/// What a mark covers.
///
/// Its variants stand in the order in which they came to be: logs store their numbers.
///
/// ```
/// # use samovar_core::{Key, Partition, Scope};
/// let names = [
///     Scope::Key(Key::new("prices", "42")),
///     Scope::Partition(Partition::new("17", "2026-02-03".parse().unwrap())),
///     Scope::Cache("prices".into()),
///     Scope::Pattern("prices:4?".parse()?),
///     Scope::Tag("supplier:7".into()),
/// ]
/// .map(|scope| scope.to_string());
/// assert_eq!(names[..2], ["key prices:42", "store 17 on 2026-02-03"]);
/// assert_eq!(names[2..], ["cache prices", "pattern prices:4?", "tag supplier:7"]);
/// # Ok::<(), samovar_core::Error>(())
/// ```
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
    ///
    /// ```
    /// # use samovar_core::{Key, Scope, Tags};
    /// let (key, tag) = (Key::new("prices", "42"), Scope::Tag("supplier:7".into()));
    /// assert!(tag.may_cover(&key) && !tag.covers(&key, &Tags::NONE));
    /// assert!(Scope::Cache("prices".into()).may_cover(&key));
    /// assert!(!Scope::Cache("inventory".into()).may_cover(&key));
    /// ```
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
///
/// It is read and written as `remove` or `expire`.
///
/// ```
/// # use samovar_core::Mode;
/// # use serde::Deserialize;
/// # use serde::de::value::{Error, StrDeserializer};
/// # let read = |text| Mode::deserialize(StrDeserializer::<Error>::new(text));
/// assert_eq!(read("remove")?, Mode::Remove);
/// assert_eq!(read("expire")?, Mode::Expire);
/// assert!(read("delete").is_err());
/// # Ok::<(), Error>(())
/// ```
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
///
/// ```
/// # use std::collections::HashSet;
/// # use samovar_core::MarkId;
/// let mut pending = HashSet::from([MarkId(0xfeed), MarkId(0xbeef)]);
/// // The log hands a mark back: it is known here, and counts once.
/// assert!(pending.remove(&MarkId(0xfeed)));
/// assert!(!pending.remove(&MarkId(0xcafe)), "another node's");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MarkId(pub u128);

/// An invalidation.
///
/// ```
/// # use samovar_core::{Key, Mark, MarkId, Millis, Mode, Scope, Tags};
/// let mark = Mark {
///     id: MarkId(0x1d0c_0ffe), // random, in earnest
///     scope: Scope::Key(Key::new("prices", "42")),
///     mode: Mode::Remove,
///     at: Millis(1_790_000_000_000),
///     reason: "price_changed".into(),
///     priority: Mark::PRIORITY,
/// };
/// assert!(mark.scope.covers(&Key::new("prices", "42"), &Tags::NONE));
/// assert!(!mark.scope.covers(&Key::new("prices", "43"), &Tags::NONE));
/// ```
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
    ///
    /// ```
    /// # use samovar_core::Mark;
    /// let (sale, cleaning_up) = (Mark::PRIORITY + 10, Mark::PRIORITY - 10);
    /// assert!(sale > Mark::PRIORITY && sale <= Mark::PRIORITY_MAX, "before the usual ones");
    /// assert!(cleaning_up < Mark::PRIORITY, "behind them");
    /// ```
    pub const PRIORITY: u8 = 50;
    /// The highest priority.
    ///
    /// ```
    /// # use std::cmp::Reverse;
    /// # use samovar_core::Mark;
    /// let mut waiting = [Mark::PRIORITY, Mark::PRIORITY_MAX, 10];
    /// waiting.sort_by_key(|priority| Reverse(*priority));
    /// assert_eq!(waiting, [100, 50, 10], "in the order in which they are swept");
    /// ```
    pub const PRIORITY_MAX: u8 = 100;

    /// What older programs stored has none.
    fn usual_priority() -> u8 {
        Mark::PRIORITY
    }
}

/// A mark with the number that the log gave it.
///
/// ```
/// # use samovar_core::{Epoch, Key, Mark, MarkId, Millis, Mode, Numbered, Scope, Tags, Version};
/// # let mark = Mark {
/// #     id: MarkId(1),
/// #     scope: Scope::Cache("prices".into()),
/// #     mode: Mode::Remove,
/// #     at: Millis(0),
/// #     reason: "new list".into(),
/// #     priority: Mark::PRIORITY,
/// # };
/// let numbered = Numbered { version: Version { epoch: Epoch(7), seq: 43 }, mark };
/// let may_be_served = |read_at: u64| {
///     let covers = numbered.mark.scope.covers(&Key::new("prices", "42"), &Tags::NONE);
///     !(covers && read_at < numbered.version.seq)
/// };
/// assert!(!may_be_served(42), "the read began before the mark");
/// assert!(may_be_served(43));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered {
    /// Its place in the log.
    pub version: Version,
    /// The mark.
    pub mark: Mark,
}
