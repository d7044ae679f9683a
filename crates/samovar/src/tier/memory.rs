//! The memory tier: one byte budget over all caches, values shared and never copied.
//!
//! What is used least goes first, by a relative of Clock-Pro that scans do not wash out (`quick_cache`). A cache with a
//! budget of its own gives way to itself: there goes first what came first and was not asked for since. What is past
//! its lifetime and its stale window leaves by itself, within a second or a hundredth of the time that it lived.
//!
//! Who fills and who removes takes turns behind one lock, with the books: so the counts are right at every moment. Who
//! looks something up does not.

mod books;
mod deadlines;
mod expiry;
mod held;

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Equivalent, Lifecycle, OptionsBuilder, Weighter};
use samovar_core::{BoxFuture, Entry, Error, Key, Millis, Tier, TierName, Usage};
use smol_str::SmolStr;
use tokio::sync::Notify;

use books::{Books, RANK};
pub(crate) use expiry::leave_in_time;
pub(crate) use held::Held;
pub use held::Shared;

/// A shard has at least so many bytes: only entries that are nearly as large are turned down.
const SHARD: u64 = 32 << 20;
/// The share of a shard for what has been asked for again. Measured: `cargo xtask bench cache`.
const HOT: f64 = 0.93;
/// Of so many keys of what had to go the table knows for each entry that there is room for. Measured likewise.
const GHOSTS: f64 = 0.8;
/// What a slot of the table takes: the slot itself, which may be half of a table that has just grown, and its place in
/// the index, which may be at its emptiest.
const SLOT: usize = 2 * SLOT_ITSELF + 12;
const SLOT_ITSELF: usize = 64;
/// What an entry is charged for its place among the deadlines, where piles may have just grown too.
const PLACE: usize = 4 * size_of::<Arc<Held>>();

/// Which cache: a number is hashed and compared faster than a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CacheNumber(u32);

/// An entry's name in the table. A short id stands in it, so that a lookup compares it without a further look into memory.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Named {
    cache: CacheNumber,
    id: SmolStr,
}

/// A name that is looked up without being built. Hashes as [`Named`] does.
#[derive(Hash)]
struct Wanted<'a> {
    cache: CacheNumber,
    id: &'a str,
}

impl Equivalent<Named> for Wanted<'_> {
    #[inline]
    fn equivalent(&self, named: &Named) -> bool {
        self.cache == named.cache && *self.id == *named.id
    }
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Named, Arc<Held>> for ByBytes {
    fn weight(&self, _: &Named, held: &Arc<Held>) -> u64 {
        held.bytes()
    }
}

/// Takes what the table lets go of while something is kept.
#[derive(Clone, Default)]
struct Leaving(Arc<Mutex<Vec<Arc<Held>>>>);

impl Lifecycle<Named, Arc<Held>> for Leaving {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _: Named, held: Arc<Held>) {
        self.0.lock().push(held);
    }
}

/// No time of its own is over before an entry's is.
pub(crate) const FOR_GOOD: Millis = Millis(i64::MAX);

/// Entries in this process, bounded by bytes. What is used least goes first. For who tests tiers: users say
/// [`crate::Settings::memory_max_bytes`].
///
/// ```
/// # use std::sync::Arc;
/// # use samovar::tier::{MemoryTier, Shared};
/// # use samovar_core::{Entry, Epoch, Key, Lifetime, Millis, Stamp, Tick, Tier, Version};
/// # let stamp = Stamp { version: Version { epoch: Epoch(7), seq: 42 }, tick: Tick(43), read_at: Millis(0) };
/// # let lifetime = Lifetime { ttl: Default::default(), stale_window: Default::default() };
/// # futures_executor::block_on(async {
/// let (tier, key) = (MemoryTier::new(64 << 20), Key::new("names", "42"));
/// let name = Arc::new("Tea".to_owned());
/// tier.put(&key, Entry::whole(Shared::new(Arc::clone(&name), 27), stamp, lifetime));
/// let found = tier.get(&key).await?.and_then(|entry| entry.value.value::<String>());
/// assert!(found.is_some_and(|found| Arc::ptr_eq(&found, &name)), "the value itself, not a copy");
/// assert!(tier.usage().total().bytes > 27, "its key and its place are counted too");
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
pub struct MemoryTier {
    table: Cache<Named, Arc<Held>, ByBytes, DefaultHashBuilder, Leaving>,
    leaving: Leaving,
    numbers: RwLock<HashMap<Arc<str>, CacheNumber>>,
    evictions: AtomicU64,
    max_bytes: u64,
    /// Held while something comes or goes.
    books: Mutex<Books>,
    /// Told when an entry came that is to leave before all others, and when there is no tier any more.
    wake: Arc<Notify>,
}

impl MemoryTier {
    /// A tier for so many bytes of keys, values and overhead, which are never exceeded, as the system's
    /// allocator counts them: another's rounding comes on top. An entry of more than nine
    /// tenths of a shard is turned down; a shard has at least 32 MB, or the whole budget.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use samovar::tier::{MemoryTier, Shared};
    /// # use samovar_core::{Entry, Epoch, Key, Lifetime, Millis, Stamp, Tick, Tier, Version};
    /// # let stamp = Stamp { version: Version { epoch: Epoch(7), seq: 42 }, tick: Tick(43), read_at: Millis(0) };
    /// # let lifetime = Lifetime { ttl: Default::default(), stale_window: Default::default() };
    /// let tier = MemoryTier::new(1 << 20);
    /// let put = |id: &str, bytes| {
    ///     let photo = Shared::new(Arc::new(vec![0_u8; bytes]), bytes);
    ///     tier.put(&Key::new("photos", id), Entry::whole(photo, stamp, lifetime));
    /// };
    /// put("poster", 1_000 << 10);
    /// assert_eq!(tier.usage().total().entries, 0, "it is too large for the whole budget");
    /// (0..1_000).for_each(|number| put(&number.to_string(), 10 << 10));
    /// assert!(tier.usage().total().entries > 50 && tier.usage().total().bytes <= 1 << 20);
    /// ```
    pub fn new(max_bytes: u64) -> MemoryTier {
        let shards = shards(max_bytes);
        let options = OptionsBuilder::new()
            .shards(shards as usize)
            .weight_capacity(max_bytes / shards * shards)
            // With less there were fewer shards. How many ghosts there may be is said once it is known what entries
            // take: until the table is full nothing has to go.
            .estimated_items_capacity(32 * shards as usize)
            .hot_allocation(HOT)
            .build()
            .expect("items and weight are set");
        let leaving = Leaving::default();
        let hasher = DefaultHashBuilder::default();
        MemoryTier {
            table: Cache::with_options(options, ByBytes, hasher, leaving.clone()),
            leaving,
            numbers: RwLock::default(),
            evictions: AtomicU64::new(0),
            max_bytes,
            books: Mutex::default(),
            wake: Arc::default(),
        }
    }

    /// Gives a cache a budget of its own from now on; of several the smallest holds. What a cache has already is
    /// forgotten when it gets its first.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use samovar::tier::{MemoryTier, Shared};
    /// # use samovar_core::{Entry, Epoch, Key, Lifetime, Millis, Stamp, Tick, Tier, Version};
    /// # let stamp = Stamp { version: Version { epoch: Epoch(7), seq: 42 }, tick: Tick(43), read_at: Millis(0) };
    /// # let lifetime = Lifetime { ttl: Default::default(), stale_window: Default::default() };
    /// let tier = MemoryTier::new(64 << 20);
    /// tier.limit(&"quotes".into(), 1 << 20);
    /// for number in 0..100 {
    ///     let photo = Shared::new(Arc::new(vec![0_u8; 100 << 10]), 100 << 10);
    ///     for cache in ["quotes", "photos"] {
    ///         let key = Key::new(cache, number.to_string());
    ///         tier.put(&key, Entry::whole(photo.clone(), stamp, lifetime));
    ///     }
    /// }
    /// let caches = tier.usage().caches;
    /// assert!(caches["quotes"].bytes <= 1 << 20);
    /// assert_eq!(caches["photos"].entries, 100, "the other is not affected");
    /// ```
    pub fn limit(&self, cache: &Arc<str>, max_bytes: u64) {
        let mut gone = Vec::new();
        let mut books = self.books.lock();
        if books.limit(cache, max_bytes) {
            gone.extend(
                self.table.iter().map(|(_, held)| held).filter(|held| held.key().cache == *cache),
            );
            for held in &gone {
                self.part_with(held, &mut books);
            }
        }
        drop(books);
        drop(gone);
    }

    /// The number of a cache.
    pub(crate) fn number(&self, cache: &Arc<str>) -> CacheNumber {
        if let Some(number) = self.numbers.read().get(cache) {
            return *number;
        }
        let mut numbers = self.numbers.write();
        let next =
            CacheNumber(u32::try_from(numbers.len()).expect("no process names so many caches"));
        *numbers.entry(Arc::clone(cache)).or_insert(next)
    }

    /// What stands under a key.
    pub(crate) fn find_key(&self, key: &Key) -> Option<Arc<Held>> {
        self.find(self.number(&key.cache), &key.id)
    }

    /// What stands under an id of a cache.
    #[inline]
    pub(crate) fn find(&self, cache: CacheNumber, id: &str) -> Option<Arc<Held>> {
        let held = self.table.get(&Wanted { cache, id })?;
        held.note_use();
        Some(held)
    }

    /// Keeps an entry, unless what stands there `stays`. False if it does.
    pub(crate) fn keep(
        &self,
        key: &Key,
        entry: Entry<Shared>,
        until: Millis,
        stays: impl FnOnce(&Held) -> bool,
    ) -> bool {
        // Dropped after the lock is released: destructors of values are not ours.
        let mut gone = Vec::new();
        let cache = self.number(&key.cache);
        let mut books = self.books.lock();
        let standing = self.table.peek(&Wanted { cache, id: &key.id });
        let stays = standing.as_deref().is_some_and(stays);
        if !stays {
            let max_bytes = books.limit_of(&key.cache);
            let extra = SLOT + PLACE + max_bytes.map_or(0, |_| RANK);
            let held = Arc::new(Held::new(key, entry, until, max_bytes.is_some(), extra));
            if max_bytes.is_some_and(|max_bytes| held.bytes() > max_bytes) {
                if let Some(standing) = &standing {
                    self.part_with(standing, &mut books);
                }
                gone.push(held);
            } else {
                let out = standing.as_deref().map_or(0, Held::bytes);
                self.take_in(held, out, &mut books, &mut gone);
            }
        }
        drop(books);
        drop((standing, gone));
        !stays
    }

    /// Puts an entry in its place, in place of one of `out` bytes; what goes for it is `gone`.
    fn take_in(&self, held: Arc<Held>, out: u64, books: &mut Books, gone: &mut Vec<Arc<Held>>) {
        while let Some(way) = books.gives_way(&held.key().cache, out, held.bytes()) {
            self.part_with(&way, books);
            self.evictions.fetch_add(1, Ordering::Relaxed);
            // It made room itself: nothing is left for `out` to stand for.
            let replaced = way.key() == held.key();
            gone.push(way);
            if replaced {
                return self.take_in(held, 0, books, gone);
            }
        }
        let Key { cache, id } = held.key();
        let named = Named { cache: self.number(cache), id: Arc::clone(id).into() };
        self.table.insert(named, Arc::clone(&held));
        let turned_down = self.write_off(Some(&held), books, gone);
        if !turned_down && books.enter(&held) {
            self.wake.notify_one();
        }
        self.settle(books, gone);
    }

    /// Writes off what the table has let go of for `new`. True if that was `new` itself.
    fn write_off(
        &self,
        new: Option<&Arc<Held>>,
        books: &mut Books,
        gone: &mut Vec<Arc<Held>>,
    ) -> bool {
        let mut turned_down = false;
        for held in self.leaving.0.lock().drain(..) {
            match new {
                Some(new) if Arc::ptr_eq(new, &held) => turned_down = true,
                // It was replaced.
                Some(new) if new.key() == held.key() => books.leave(&held),
                _ => {
                    books.leave(&held);
                    self.evictions.fetch_add(1, Ordering::Relaxed);
                }
            }
            gone.push(held);
        }
        turned_down
    }

    /// Holds the table to its budget, and to as many ghosts as its entries ask for.
    ///
    /// What the table takes beyond what its entries are charged is held back: for ghosts, and because it never shrinks, so
    /// that after many small entries few large ones must leave room for it. Ghosts are the keys of what had to go, by
    /// which the table knows what comes back; how many are best goes by how many entries there is room for. Both are
    /// changed in steps, so that they seldom are.
    fn settle(&self, books: &mut Books, gone: &mut Vec<Arc<Held>>) {
        // What goes for it is not charged for the table any more, which takes as much as before: so more may have to go.
        while let Some(withheld) = self.withholds(books) {
            books.withheld = withheld;
            let shards = self.table.num_shards() as u64;
            self.table.set_capacity(self.room(books) / shards * shards);
            self.write_off(None, books, gone);
            // The table has changed them with its capacity.
            books.ghosts = 0;
        }
        let (total, room) = (books.total(), self.room(books));
        // What few entries take says little of those to come.
        if total.bytes >= room / 2 {
            let per_byte = total.entries as f64 / total.bytes.max(1) as f64;
            let ghosts = (GHOSTS * per_byte * room as f64) as u64;
            if ghosts.abs_diff(books.ghosts) > books.ghosts / 8 {
                books.ghosts = ghosts;
                self.table.set_ghost_capacity(ghosts as usize);
            }
        }
    }

    /// How many bytes are to be held back, if it is not as many as are.
    fn withholds(&self, books: &Books) -> Option<u64> {
        let used = self.table.memory_used();
        let takes = (2 * used.entries + used.map + books.deadline_bytes()) as u64;
        let charged = books.total().entries * (SLOT + PLACE) as u64;
        let step = (self.max_bytes / 64).max(1);
        let steps = takes.saturating_sub(charged).div_ceil(step);
        let held_back = books.withheld / step;
        // Down only when it is by more than one: it shall not change to and fro.
        (steps > held_back || steps + 1 < held_back).then_some(steps * step)
    }

    /// What of the budget entries may take.
    fn room(&self, books: &Books) -> u64 {
        self.max_bytes.saturating_sub(books.withheld)
    }

    /// Lets go of an entry, if it still stands there.
    fn part_with(&self, held: &Arc<Held>, books: &mut Books) -> bool {
        let Key { cache, id } = held.key();
        let wanted = Wanted { cache: self.number(cache), id };
        let found = self.table.remove_if(&wanted, |found| Arc::ptr_eq(found, held));
        if found.is_some() {
            books.leave(held);
        }
        found.is_some()
    }

    /// Forgets an entry, if it still is this one.
    pub(crate) fn forget(&self, held: &Arc<Held>) {
        self.part_with(held, &mut self.books.lock());
    }

    /// Lets go of some of what is past its time. True if there may be more.
    fn expire(&self, now: Millis) -> bool {
        /// So many at a time: who fills meanwhile waits for no more.
        const AT_ONCE: usize = 256;
        let mut gone = Vec::new();
        {
            let mut books = self.books.lock();
            while gone.len() < AT_ONCE
                && let Some(held) = books.due(now)
            {
                if !self.part_with(&held, &mut books) {
                    // It is not in the table, so it must not be in the books.
                    debug_assert!(false, "an entry that is due is not there");
                    books.leave(&held);
                }
                gone.push(held);
            }
        }
        gone.len() == AT_ONCE
    }

    /// When the next entry is to leave.
    fn next_due(&self) -> Option<Millis> {
        self.books.lock().next_due()
    }

    /// How many entries were thrown out for want of room.
    pub(crate) fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }
}

/// As many as there may be, of at least 32 MB each: a power of two.
fn shards(max_bytes: u64) -> u64 {
    1 << (max_bytes / SHARD).clamp(1, 8).ilog2()
}

impl Tier for MemoryTier {
    type Value = Shared;

    fn name(&self) -> TierName {
        TierName::Memory
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry<Shared>>, Error>> {
        let found = self.find_key(key).map(|held| held.entry());
        Box::pin(std::future::ready(Ok(found)))
    }

    fn put(&self, key: &Key, entry: Entry<Shared>) {
        self.keep(key, entry, FOR_GOOD, |_| false);
    }

    fn remove<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool, Error>> {
        let removed = {
            let mut books = self.books.lock();
            let removed =
                self.table.remove(&Wanted { cache: self.number(&key.cache), id: &key.id });
            if let Some((_, held)) = &removed {
                books.leave(held);
            }
            removed
        };
        Box::pin(std::future::ready(Ok(removed.is_some())))
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn usage(&self) -> Usage {
        Usage { caches: self.books.lock().usage(), max_bytes: self.max_bytes }
    }
}

impl Drop for MemoryTier {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

impl fmt::Debug for MemoryTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTier").field("max_bytes", &self.max_bytes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
