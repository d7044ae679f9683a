//! Entries: values with the stamps by which reads decide.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Day, Millis, Span, Tags, Tick, Token, Version};

/// When something was read from the source.
///
/// ```
/// # use samovar_core::{Epoch, Millis, Stamp, Tick, Version};
/// // Read at 13:33:20, when 42 marks had been numbered and 43 had acted in this process.
/// let version = Version { epoch: Epoch(7), seq: 42 };
/// let stamp = Stamp { version, tick: Tick(43), read_at: Millis(1_790_000_000_000) };
/// let mark = Version { seq: 43, ..version };
/// assert!(stamp.version.seq < mark.seq, "that mark came after the read: it decides");
/// ```
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
    ///
    /// ```
    /// # use samovar_core::{Epoch, Millis, Stamp, Tick, Token, Version};
    /// let token = Token { version: Version { epoch: Epoch(7), seq: 42 }, tick: Tick(43) };
    /// // … the source is read only after the token was taken …
    /// let stamp = Stamp::new(token, Millis(1_790_000_000_000));
    /// assert_eq!((stamp.version, stamp.tick), (token.version, token.tick));
    /// ```
    pub fn new(token: Token, now: Millis) -> Self {
        Stamp { version: token.version, tick: token.tick, read_at: now }
    }
}

/// A piece of an entry that is fresh or refused by itself.
///
/// Consecutive days that were read together make one part, so that a block of many days stays small. A part is
/// judged as a whole: it is refused if a mark covers *any* of its days. Whoever wants to know which of
/// the days are refused asks again with parts of one day ([`Part::only`]).
///
/// ```
/// # use samovar_core::{Day, Epoch, Millis, Part, Partition, Span, Stamp, Tick, Version};
/// # let stamp = |seq| Stamp { version: Version { epoch: Epoch(7), seq }, tick: Tick(seq), read_at: Millis(0) };
/// let from: Day = "2026-02-01".parse()?;
/// let days = |from, to| Some(Span { store: "17".into(), from, to });
/// // Four days were read together; the last was read again after its mark.
/// let sales = [
///     Part { span: days(from, from.plus(2)), stamp: stamp(42) },
///     Part { span: days(from.plus(3), from.plus(3)), stamp: stamp(57) },
/// ];
/// let marked = Partition::new("17", from.plus(3)); // by the mark with number 50
/// let holds = |part: &&Part| part.span.as_ref().is_some_and(|span| span.holds(&marked));
/// assert!(sales.iter().filter(holds).all(|part| part.stamp.version.seq >= 50), "it may be served");
/// # Ok::<(), samovar_core::DayParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The store-days it was derived from; `None` for a value that no partition mark covers.
    pub span: Option<Span>,
    /// When it was read.
    pub stamp: Stamp,
}

impl Part {
    /// The same part narrowed to one day.
    ///
    /// ```
    /// # use samovar_core::{Day, Epoch, Millis, Part, Span, Stamp, Tick, Version};
    /// # let version = Version { epoch: Epoch(7), seq: 42 };
    /// # let stamp = Stamp { version, tick: Tick(43), read_at: Millis(0) };
    /// let week = Part { span: Some(Span { store: "17".into(), from: Day(20_485), to: Day(20_491) }), stamp };
    /// let span = week.only(Day(20_487)).span.expect("it had one");
    /// assert_eq!((span.from, span.to), (Day(20_487), Day(20_487)));
    /// assert_eq!(week.only(Day(20_487)).stamp, week.stamp);
    ///
    /// let plain = Part { span: None, stamp };
    /// assert_eq!(plain.only(Day(20_487)), plain, "it has no days");
    /// ```
    pub fn only(&self, day: Day) -> Part {
        let span = self.span.as_ref().map(|span| Span { from: day, to: day, ..span.clone() });
        Part { span, stamp: self.stamp }
    }
}

/// The parts of an entry. A plain value has one; a block of several days has one for each run of days that was read
/// together.
///
/// ```
/// # use std::sync::Arc;
/// # use samovar_core::{Entry, Epoch, Lifetime, Millis, Part, Parts, Stamp, Tags, Tick, Version};
/// # let version = Version { epoch: Epoch(7), seq: 42 };
/// # let stamp = Stamp { version, tick: Tick(43), read_at: Millis(0) };
/// # let lifetime = Lifetime { ttl: Default::default(), stale_window: Default::default() };
/// let parts: Parts = Arc::from([Part { span: None, stamp }]);
/// let entry = Entry { value: "Tea", parts: Arc::clone(&parts), tags: Tags::NONE, lifetime };
/// assert!(Arc::ptr_eq(&entry.clone().parts, &parts), "an entry is cloned without copying them");
/// ```
pub type Parts = Arc<[Part]>;

/// How long an entry may be served after its parts were read.
///
/// ```
/// # use std::time::Duration;
/// # use samovar_core::{Lifetime, Millis};
/// let lifetime = Lifetime { ttl: Duration::from_secs(600), stale_window: Duration::from_secs(60) };
/// let read_at = Millis(1_790_000_000_000);
/// let stale_from = read_at.plus(lifetime.ttl);
/// let refused_from = stale_from.plus(lifetime.stale_window);
/// assert_eq!((stale_from, refused_from), (Millis(1_790_000_600_000), Millis(1_790_000_660_000)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifetime {
    /// Fresh for so long (already spread by the cache's jitter).
    pub ttl: Duration,
    /// After that it may be served, labelled as stale, for so long. In the crate `samovar` this is a policy's `stale_window`
    /// and `fail_safe` together; `CachePolicy::stale_window` is the first part alone.
    pub stale_window: Duration,
}

/// A cached value with what is needed to decide whether it may be served.
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use samovar_core::{Entry, Epoch, Key, Lifetime, Millis, Part, Scope, Stamp, Tags, Tick, Version};
/// # let version = Version { epoch: Epoch(7), seq: 42 };
/// # let stamp = Stamp { version, tick: Tick(43), read_at: Millis(0) };
/// # let lifetime = Lifetime { ttl: Duration::from_secs(600), stale_window: Duration::from_secs(60) };
/// let price = Entry {
///     value: 499_u64,
///     parts: Arc::from([Part { span: None, stamp }]),
///     tags: Tags::new(["supplier:7"])?,
///     lifetime,
/// };
/// let recalled = Scope::Tag("supplier:7".into());
/// assert!(recalled.covers(&Key::new("prices", "42"), &price.tags), "it may not be served any more");
/// # Ok::<(), samovar_core::Error>(())
/// ```
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
    ///
    /// ```
    /// # use samovar_core::{Entry, Epoch, Lifetime, Millis, Part, Stamp, Tags, Tick, Version};
    /// # let version = Version { epoch: Epoch(7), seq: 42 };
    /// # let stamp = Stamp { version, tick: Tick(43), read_at: Millis(0) };
    /// # let lifetime = Lifetime { ttl: Default::default(), stale_window: Default::default() };
    /// let name = Entry::whole("Tea", stamp, lifetime);
    /// assert_eq!(*name.parts, [Part { span: None, stamp }]);
    /// assert_eq!(name.tags, Tags::NONE);
    /// ```
    pub fn whole(value: V, stamp: Stamp, lifetime: Lifetime) -> Self {
        Entry { value, parts: Arc::from([Part { span: None, stamp }]), tags: Tags::NONE, lifetime }
    }

    /// The same entry with another form of the value.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use samovar_core::{Entry, Epoch, Lifetime, Millis, Stamp, Tick, Version};
    /// # let version = Version { epoch: Epoch(7), seq: 42 };
    /// # let stamp = Stamp { version, tick: Tick(43), read_at: Millis(0) };
    /// # let lifetime = Lifetime { ttl: Default::default(), stale_window: Default::default() };
    /// let price = Entry::whole(499_u64, stamp, lifetime);
    /// let stored = price.with(b"499".to_vec());
    /// assert_eq!(stored.value, b"499");
    /// assert!(Arc::ptr_eq(&stored.parts, &price.parts), "its stamps are the same");
    /// ```
    pub fn with<W>(&self, value: W) -> Entry<W> {
        Entry {
            value,
            parts: Arc::clone(&self.parts),
            tags: self.tags.clone(),
            lifetime: self.lifetime,
        }
    }

    /// What decides whether it may be served.
    ///
    /// ```
    /// # use samovar_core::{Entry, Epoch, Lifetime, Millis, Stamp, Tick, Version};
    /// # let version = Version { epoch: Epoch(7), seq: 42 };
    /// # let stamp = Stamp { version, tick: Tick(43), read_at: Millis(0) };
    /// # let lifetime = Lifetime { ttl: Default::default(), stale_window: Default::default() };
    /// let price = Entry::whole(499_u64, stamp, lifetime);
    /// let claim = price.claim();
    /// assert_eq!(claim.parts, &*price.parts);
    /// assert_eq!((claim.tags, claim.lifetime), (&price.tags, price.lifetime));
    /// ```
    pub fn claim(&self) -> Claim<'_> {
        Claim { parts: &self.parts, tags: &self.tags, lifetime: self.lifetime }
    }
}

/// What the fence judges of an entry, beside its key.
///
/// ```
/// # use std::sync::Arc;
/// # use samovar_core::{Claim, Day, Entry, Epoch, Lifetime, Millis, Part, Span, Stamp, Tags, Tick, Version};
/// # let version = Version { epoch: Epoch(7), seq: 42 };
/// # let stamp = Stamp { version, tick: Tick(43), read_at: Millis(0) };
/// # let lifetime = Lifetime { ttl: Default::default(), stale_window: Default::default() };
/// # let span = Some(Span { store: "17".into(), from: Day(20_485), to: Day(20_491) });
/// # let week = Entry { value: (), parts: Arc::from([Part { span, stamp }]), tags: Tags::NONE, lifetime };
/// // Of an entry over a week one day is asked about.
/// let day = [week.parts[0].only(Day(20_487))];
/// let claim = Claim { parts: &day, ..week.claim() };
/// assert_ne!(claim.parts, &*week.parts);
/// assert_eq!(claim.tags, &week.tags);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Its parts, or those of them that are asked about.
    pub parts: &'a [Part],
    /// Its tags.
    pub tags: &'a Tags,
    /// How long its parts may be served.
    pub lifetime: Lifetime,
}
