//! An entry as memory holds it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use samovar_core::{Claim, Entry, Key, Lifetime, Millis, Part, Parts, Tags, Tick};

/// A value of any type, shared, with its weight in bytes: what [`super::MemoryTier`] keeps.
///
/// ```
/// # use std::sync::Arc;
/// # use samovar::tier::Shared;
/// let price = Shared::new(Arc::new(499_u64), size_of::<u64>());
/// assert_eq!(price.clone().value::<u64>().as_deref(), Some(&499));
/// assert_eq!(format!("{price:?}"), "Shared { weight: 8, .. }");
/// ```
#[derive(Clone)]
pub struct Shared {
    value: Arc<dyn Any + Send + Sync>,
    weight: usize,
}

impl Shared {
    /// A value that weighs so many bytes.
    ///
    /// What it weighs is believed: it is what the budget counts.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use samovar::tier::{MemoryTier, Shared};
    /// # use samovar_core::{Entry, Epoch, Key, Lifetime, Millis, Stamp, Tick, Tier, Version};
    /// # let stamp = Stamp { version: Version { epoch: Epoch(7), seq: 42 }, tick: Tick(43), read_at: Millis(0) };
    /// # let lifetime = Lifetime { ttl: Default::default(), stale_window: Default::default() };
    /// let tier = MemoryTier::new(64 << 20);
    /// let put = |weight| {
    ///     let list = Shared::new(Arc::new([499_u64, 450]), weight);
    ///     tier.put(&Key::new("prices", "42"), Entry::whole(list, stamp, lifetime));
    ///     tier.usage().total().bytes
    /// };
    /// assert!(put(10_000) > put(16) + 9_000);
    /// ```
    pub fn new<V: Any + Send + Sync>(value: Arc<V>, weight: usize) -> Shared {
        Shared { value, weight }
    }

    /// The value, if it is of this type.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use samovar::tier::Shared;
    /// let price = Shared::new(Arc::new(499_u64), size_of::<u64>());
    /// assert_eq!(price.value::<u64>(), Some(Arc::new(499)));
    /// assert_eq!(price.value::<String>(), None, "it is of another type");
    /// ```
    pub fn value<V: Any + Send + Sync>(&self) -> Option<Arc<V>> {
        Arc::clone(&self.value).downcast().ok()
    }

    /// As [`Shared::value`], where it lies.
    #[inline]
    pub(crate) fn get<V: Any + Send + Sync>(&self) -> Option<&V> {
        (*self.value).downcast_ref()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("weight", &self.weight).finish_non_exhaustive()
    }
}

/// An entry in memory, and what a hit is given: it shares the entry itself, so that it counts one reference and copies
/// nothing.
///
/// In this order: what a hit looks at lies together, in as many bytes as a processor fetches at once with the counts of
/// the `Arc` before it. What it asks is marked to be inlined, since the caller's crate is where a hit is compiled.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Held {
    /// The tick up to which no mark covers any of it.
    clean: AtomicU64,
    /// All parts are within their lifetime from here, when the last of them was read …
    fresh_from: Millis,
    /// … to before here, and memory answers by itself.
    young_until: Millis,
    /// Its cache has a budget of its own: uses are noted.
    pub(super) limited: bool,
    /// It was asked for since it last stood first in the order of its cache.
    pub(super) used: AtomicBool,
    /// Where it stands among those that go at the same time.
    pub(super) place: AtomicU32,
    value: Shared,
    key: Key,
    fresh_until: Millis,
    parts: Parts,
    tags: Tags,
    lifetime: Lifetime,
    bytes: u64,
    /// Where it stands in the order of its cache.
    pub(super) rank: AtomicU64,
}

/// What a processor fetches at once, in bytes.
const LINE: usize = 64;

// Whole lines, with the counts: an allocator that lays what is of a size side by side begins each with a line.
#[cfg(target_pointer_width = "64")]
const _: () = assert!((size_of::<Held>() + 2 * size_of::<usize>()).is_multiple_of(LINE));

impl Held {
    /// `until`: from then on the tiers below are asked first. `limited`: its cache has a budget of its own. `extra`: what
    /// is charged beside what is allotted for the entry itself.
    pub(super) fn new(
        key: &Key,
        entry: Entry<Shared>,
        until: Millis,
        limited: bool,
        extra: usize,
    ) -> Held {
        let Entry { value, parts, tags, lifetime } = entry;
        let read_at = || parts.iter().map(|part| part.stamp.read_at);
        // Each stands behind an `Arc`, with its two counts. What a value owns beside that it has weighed itself.
        let allotted = allotted(size_of::<Held>())
            + allotted(key.id.len())
            + allotted(size_of_val(&*parts))
            + if tags.is_empty() { 0 } else { allotted(tags.weight()) }
            + allotted(value.weight);
        let fresh_until = fresh_until(&parts, lifetime);
        Held {
            fresh_from: read_at().max().unwrap_or(Millis(i64::MAX)),
            fresh_until,
            young_until: fresh_until.min(until),
            clean: AtomicU64::new(parts.iter().map(|p| p.stamp.tick.0).min().unwrap_or(0)),
            bytes: (allotted + extra) as u64,
            key: key.clone(),
            value,
            parts,
            tags,
            lifetime,
            limited,
            used: AtomicBool::new(false),
            place: AtomicU32::new(0),
            rank: AtomicU64::new(0),
        }
    }

    /// What was found elsewhere and does not stand in memory.
    pub(crate) fn loose(key: &Key, entry: Entry<Shared>) -> Held {
        Held::new(key, entry, Millis(i64::MAX), false, 0)
    }

    /// Its key.
    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// The value.
    #[inline]
    pub(crate) fn value(&self) -> &Shared {
        &self.value
    }

    /// Its parts, with the ticks that they had when they came here.
    #[inline]
    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Its tags.
    #[inline]
    pub(crate) fn tags(&self) -> &Tags {
        &self.tags
    }

    /// Its lifetime.
    #[inline]
    pub(crate) fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    /// What decides whether it may be served.
    #[inline]
    pub(crate) fn claim(&self) -> Claim<'_> {
        Claim { parts: &self.parts, tags: &self.tags, lifetime: self.lifetime }
    }

    /// When the first of its parts reaches the end of its lifetime.
    #[inline]
    pub(crate) fn fresh_until(&self) -> Millis {
        self.fresh_until
    }

    /// Whether all parts are within their lifetime at `now`, and memory's own time is not over.
    #[inline]
    pub(crate) fn is_young(&self, now: Millis) -> bool {
        self.fresh_from <= now && now < self.young_until
    }

    /// Whether memory's own time is over at `now`, and was to be before its lifetime.
    pub(crate) fn is_over(&self, now: Millis) -> bool {
        self.young_until < self.fresh_until && now >= self.young_until
    }

    /// The tick up to which it is known that no mark covers any of it.
    #[inline]
    pub(crate) fn clean(&self) -> Tick {
        Tick(self.clean.load(Ordering::Relaxed))
    }

    /// Remembers that no mark up to a tick covers any of it.
    pub(crate) fn set_clean(&self, tick: Tick) {
        self.clean.fetch_max(tick.0, Ordering::Relaxed);
    }

    /// From when on nothing of it may be served, not even as stale, nor where a load fails, whatever is marked.
    pub(super) fn gone_at(&self) -> Millis {
        let Lifetime { ttl, stale_window } = self.lifetime;
        let last = if self.parts.is_empty() { Millis(i64::MIN) } else { self.fresh_from };
        last.plus(ttl.saturating_add(stale_window))
    }

    /// What it is charged.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Somebody asked for it.
    #[inline]
    pub(super) fn note_use(&self) {
        if self.limited && !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn entry(&self) -> Entry<Shared> {
        Entry {
            value: self.value.clone(),
            parts: Arc::clone(&self.parts),
            tags: self.tags.clone(),
            lifetime: self.lifetime,
        }
    }
}

/// When the first of some parts reaches the end of its lifetime.
fn fresh_until(parts: &[Part], lifetime: Lifetime) -> Millis {
    let first = parts.iter().map(|part| part.stamp.read_at).min().unwrap_or(Millis(i64::MIN));
    first.plus(lifetime.ttl)
}

/// What the system's allocator takes for so many bytes behind an `Arc`: two counts, a word of its own, whole sixteens.
fn allotted(bytes: usize) -> usize {
    (bytes + 3 * size_of::<usize>()).next_multiple_of(16)
}
