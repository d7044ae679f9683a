//! What is on disk, in memory: so that a miss costs nothing and the least recently read goes first.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use hashlink::LinkedHashMap;
use samovar_core::{CacheUsage, Key, Usage};

/// Where an entry lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) id: u64,
    /// As the budget counts them.
    pub(super) bytes: u64,
}

/// The entries in the order in which they were last read or written.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Its table holds pointers to entries, which lie one behind the other when they are read at a start: a million keys
    /// are strewn over a few megabytes then, not over all that is known of them. It hashes fast and with a seed
    /// of its own, as the memory tier's does; what is removed leaves room for what comes, not for others.
    slots: LinkedHashMap<Key, Slot>,
    caches: BTreeMap<Arc<str>, CacheUsage>,
    bytes: u64,
    last_id: u64,
}

impl Index {
    /// Of entries, each once, in the order in which they are to count as read: their numbers, keys and bytes. As if
    /// each was inserted, in a fraction of the time.
    pub(super) fn of(rows: Vec<(u64, Key, u64)>) -> Index {
        let last_id = rows.iter().map(|(id, ..)| *id).max().unwrap_or(0);
        let mut usage = HashMap::<&Arc<str>, CacheUsage>::new();
        for (_, key, bytes) in &rows {
            let of_cache = usage.entry(&key.cache).or_default();
            of_cache.entries += 1;
            of_cache.bytes += bytes;
        }
        let caches = usage.into_iter().map(|(cache, usage)| (Arc::clone(cache), usage)).collect();
        let bytes = rows.iter().map(|(.., bytes)| bytes).sum();
        let mut slots = LinkedHashMap::with_capacity(rows.len());
        slots.extend(rows.into_iter().map(|(id, key, bytes)| (key, Slot { id, bytes })));
        Index { slots, caches, bytes, last_id }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Slot> {
        self.slots.get(key).copied()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A name for chunks that has not been used.
    pub(super) fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Adds an entry, as the one read last; gives back the one that it replaces.
    pub(super) fn insert(&mut self, key: Key, id: u64, bytes: u64) -> Option<Slot> {
        let old = self.remove(&key);
        self.last_id = self.last_id.max(id);
        let of_cache = self.caches.entry(Arc::clone(&key.cache)).or_default();
        of_cache.entries += 1;
        of_cache.bytes += bytes;
        self.bytes += bytes;
        self.slots.insert(key, Slot { id, bytes });
        old
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Slot> {
        let slot = self.slots.remove(key)?;
        self.bytes -= slot.bytes;
        if let Some(of_cache) = self.caches.get_mut(&key.cache) {
            of_cache.entries -= 1;
            of_cache.bytes -= slot.bytes;
            if of_cache.entries == 0 {
                self.caches.remove(&key.cache);
            }
        }
        Some(slot)
    }

    /// Where an entry lies that is about to be read: it goes last.
    pub(super) fn touch(&mut self, key: &Key) -> Option<Slot> {
        self.slots.to_back(key).copied()
    }

    /// The one that was read least recently.
    pub(super) fn oldest(&self) -> Option<&Key> {
        self.slots.front().map(|(key, _)| key)
    }

    pub(super) fn usage(&self, max_bytes: u64) -> Usage {
        Usage { caches: self.caches.clone(), max_bytes }
    }

    /// Panics unless all views agree.
    #[cfg(test)]
    fn validate(&self) {
        assert_eq!(self.bytes, self.slots.values().map(|slot| slot.bytes).sum::<u64>());
        assert_eq!(self.bytes, self.usage(0).total().bytes);
        assert_eq!(self.slots.len() as u64, self.usage(0).total().entries);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_index_of_rows_is_as_if_each_was_inserted() {
        let rows = (1..500u64).map(|id| {
            let cache = if id % 3 == 0 { "a" } else { "b" };
            (3 * id, Key::new(cache, format!("{}", id * 7 % 500)), id)
        });
        let rows: Vec<(u64, Key, u64)> = rows.collect();
        let mut one_by_one = Index::default();
        for (id, key, bytes) in rows.clone() {
            assert_eq!(one_by_one.insert(key, id, bytes), None);
        }
        let mut at_once = Index::of(rows);
        at_once.validate();
        assert_eq!(at_once.slots, one_by_one.slots); // in this order
        assert_eq!(at_once.usage(1), one_by_one.usage(1));
        assert_eq!(at_once.new_id(), one_by_one.new_id());
        Index::of(Vec::new()).validate();
    }

    proptest! {
        #[test]
        fn the_least_recently_used_is_first(ops in proptest::collection::vec((0u8..3, 0u8..12, 1u64..99), 0..200)) {
            let mut index = Index::default();
            let mut model: Vec<(Key, u64)> = Vec::new();
            for (op, key, bytes) in ops {
                let key = Key::new(if key % 2 == 0 { "even" } else { "odd" }, key.to_string());
                let at = model.iter().position(|(k, _)| *k == key);
                let old = at.map(|at| model.remove(at));
                match op {
                    0 => {
                        let id = index.new_id();
                        let replaced = index.insert(key.clone(), id, bytes);
                        prop_assert_eq!(replaced.map(|slot| slot.bytes), old.map(|(_, bytes)| bytes));
                        model.push((key, bytes));
                    }
                    1 => {
                        index.touch(&key);
                        model.extend(old);
                    }
                    _ => prop_assert_eq!(index.remove(&key).is_some(), old.is_some()),
                }
                index.validate();
                prop_assert_eq!(index.oldest(), model.first().map(|(key, _)| key));
            }
        }
    }
}
