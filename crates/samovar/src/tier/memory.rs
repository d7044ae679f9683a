//! The memory tier: one byte budget over all caches, values shared and never copied.

use std::any::Any;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use quick_cache::sync::{Cache, EntryAction, EntryResult};
use quick_cache::{DefaultHashBuilder, Equivalent, Lifecycle, OptionsBuilder, Weighter};
use samovar_core::{
    BoxFuture, Claim, Entry, Error, Key, Lifetime, Millis, Part, Parts, Tags, Tick, Tier, TierName,
    Usage,
};

/// A value of any type, shared, with its weight in bytes: what the memory tier keeps.
#[derive(Clone)]
pub struct Shared {
    value: Arc<dyn Any + Send + Sync>,
    weight: usize,
}

impl Shared {
    /// A value that weighs so many bytes.
    pub fn new<V: Any + Send + Sync>(value: Arc<V>, weight: usize) -> Shared {
        Shared { value, weight }
    }

    /// The value, if it is of this type.
    pub fn value<V: Any + Send + Sync>(&self) -> Option<Arc<V>> {
        Arc::clone(&self.value).downcast().ok()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("weight", &self.weight).finish_non_exhaustive()
    }
}

/// An entry in memory, laid out so that a hit costs little.
#[derive(Debug)]
pub(crate) struct Held {
    value: Shared,
    parts: Parts,
    tags: Tags,
    lifetime: Lifetime,
    /// All parts are within their lifetime from here …
    fresh_from: Millis,
    /// … to before here.
    fresh_until: Millis,
    /// The tick up to which no mark covers any of it.
    clean: AtomicU64,
    bytes: u64,
}

impl Held {
    fn new(key: &Key, entry: Entry<Shared>) -> Held {
        let Entry { value, parts, tags, lifetime } = entry;
        let read_at = || parts.iter().map(|part| part.stamp.read_at);
        let overhead = size_of::<Held>()
            + 2 * size_of::<Key>()
            + 64
            + size_of::<Part>() * parts.len()
            + tags.weight();
        Held {
            fresh_from: read_at().max().unwrap_or(Millis(i64::MAX)),
            fresh_until: fresh_until(&parts, lifetime),
            clean: AtomicU64::new(parts.iter().map(|p| p.stamp.tick.0).min().unwrap_or(0)),
            bytes: (value.weight + key.cache.len() + key.id.len() + overhead) as u64,
            value,
            parts,
            tags,
            lifetime,
        }
    }

    /// The value.
    pub(crate) fn value(&self) -> &Shared {
        &self.value
    }

    /// Its parts, with the ticks that they had when they came here.
    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Its tags.
    pub(crate) fn tags(&self) -> &Tags {
        &self.tags
    }

    /// Its lifetime.
    pub(crate) fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    /// What decides whether it may be served.
    pub(crate) fn claim(&self) -> Claim<'_> {
        Claim { parts: &self.parts, tags: &self.tags, lifetime: self.lifetime }
    }

    /// When the first of its parts reaches the end of its lifetime.
    pub(crate) fn fresh_until(&self) -> Millis {
        self.fresh_until
    }

    /// Whether all parts are within their lifetime at `now`.
    pub(crate) fn is_young(&self, now: Millis) -> bool {
        self.fresh_from <= now && now < self.fresh_until
    }

    /// The tick up to which it is known that no mark covers any of it.
    pub(crate) fn clean(&self) -> Tick {
        Tick(self.clean.load(Ordering::Relaxed))
    }

    /// Remembers that no mark up to a tick covers any of it.
    pub(crate) fn set_clean(&self, tick: Tick) {
        self.clean.fetch_max(tick.0, Ordering::Relaxed);
    }

    fn entry(&self) -> Entry<Shared> {
        Entry {
            value: self.value.clone(),
            parts: Arc::clone(&self.parts),
            tags: self.tags.clone(),
            lifetime: self.lifetime,
        }
    }
}

/// When the first of some parts reaches the end of its lifetime.
pub(crate) fn fresh_until(parts: &[Part], lifetime: Lifetime) -> Millis {
    let first = parts.iter().map(|part| part.stamp.read_at).min().unwrap_or(Millis(i64::MIN));
    first.plus(lifetime.ttl)
}

/// A key that is looked up without being built. Hashes as [`Key`] does.
#[derive(Hash)]
struct Wanted<'a> {
    cache: &'a str,
    id: &'a str,
}

impl Equivalent<Key> for Wanted<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self.id == *key.id && *self.cache == *key.cache
    }
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Key, Arc<Held>> for ByBytes {
    fn weight(&self, _: &Key, held: &Arc<Held>) -> u64 {
        held.bytes
    }
}

/// Counts what is thrown out.
#[derive(Clone, Default)]
struct Evictions(Arc<AtomicU64>);

impl Lifecycle<Key, Arc<Held>> for Evictions {
    type RequestState = Vec<Arc<Held>>;

    fn on_evict(&self, dropped: &mut Vec<Arc<Held>>, _: Key, held: Arc<Held>) {
        self.0.fetch_add(1, Ordering::Relaxed);
        // Dropped after the lock is released: a value's destructor is not ours.
        dropped.push(held);
    }
}

/// Entries in this process, bounded by bytes. What is used least goes first (S3-FIFO).
pub struct MemoryTier {
    cache: Cache<Key, Arc<Held>, ByBytes, DefaultHashBuilder, Evictions>,
    evictions: Evictions,
    max_bytes: u64,
    /// Held while something is kept: one at a time looks at what stands there and takes its place.
    keeping: Mutex<()>,
}

impl MemoryTier {
    /// A tier for so many bytes of keys, values and overhead. An entry of more than the budget's share of one
    /// shard is turned down; a shard has at least 32 MB, or the whole budget.
    pub fn new(max_bytes: u64) -> MemoryTier {
        let shards = (max_bytes >> 25).clamp(1, 8) as usize;
        let items = (max_bytes >> 12).clamp(1_024, 1 << 20) as usize;
        let options = OptionsBuilder::new()
            .shards(shards)
            .weight_capacity(max_bytes)
            .estimated_items_capacity(items)
            .build()
            .expect("items and weight are set");
        let evictions = Evictions::default();
        let hasher = DefaultHashBuilder::default();
        let cache = Cache::with_options(options, ByBytes, hasher, evictions.clone());
        MemoryTier { cache, evictions, max_bytes, keeping: Mutex::new(()) }
    }

    /// What stands under a key.
    pub(crate) fn find(&self, cache: &str, id: &str) -> Option<Arc<Held>> {
        self.cache.get(&Wanted { cache, id })
    }

    /// Keeps an entry, unless what stands there `stays`. False if it does.
    pub(crate) fn keep(
        &self,
        key: &Key,
        entry: Entry<Shared>,
        stays: impl FnOnce(&Held) -> bool,
    ) -> bool {
        let held = Arc::new(Held::new(key, entry));
        // Dropped after the lock is released: destructors of values are not ours.
        let mut dropped = Vec::new();
        let standing;
        {
            let _alone = self.keeping.lock();
            standing = self.cache.get(key);
            if standing.as_deref().is_some_and(stays) {
                return false;
            }
            self.cache.insert_with_lifecycle(key.clone(), held, &mut dropped);
        }
        drop((standing, dropped));
        true
    }

    /// Keeps an entry that was found below, unless something stands there by now: that is newer.
    pub(crate) fn promote(&self, key: &Key, entry: Entry<Shared>) {
        let held = Arc::new(Held::new(key, entry));
        let on_occupied = |_: &Key, _: &mut Arc<Held>| EntryAction::Retain(());
        if let EntryResult::Vacant(guard) = self.cache.entry(key, Some(Duration::ZERO), on_occupied)
        {
            // Fails if it has been put in the meantime, which is as good.
            let _ = guard.insert(held);
        }
    }

    /// Forgets an entry, if it still is this one.
    pub(crate) fn forget(&self, cache: &str, id: &str, held: &Arc<Held>) {
        drop(self.cache.remove_if(&Wanted { cache, id }, |found| Arc::ptr_eq(found, held)));
    }

    /// How many entries were thrown out for want of room.
    pub(crate) fn evictions(&self) -> u64 {
        self.evictions.0.load(Ordering::Relaxed)
    }
}

impl Tier for MemoryTier {
    type Value = Shared;

    fn name(&self) -> TierName {
        TierName::Memory
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry<Shared>>, Error>> {
        let found = self.find(&key.cache, &key.id).map(|held| held.entry());
        Box::pin(std::future::ready(Ok(found)))
    }

    fn put(&self, key: &Key, entry: Entry<Shared>) {
        self.keep(key, entry, |_| false);
    }

    fn remove<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool, Error>> {
        let removed = self.cache.remove(key).is_some();
        Box::pin(std::future::ready(Ok(removed)))
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Counted when asked: a walk over all entries.
    fn usage(&self) -> Usage {
        let mut usage = Usage { max_bytes: self.max_bytes, ..Usage::default() };
        for (key, held) in self.cache.iter() {
            let of_cache = usage.caches.entry(key.cache).or_default();
            of_cache.entries += 1;
            of_cache.bytes += held.bytes;
        }
        usage
    }
}

impl fmt::Debug for MemoryTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTier").field("max_bytes", &self.max_bytes).finish_non_exhaustive()
    }
}
