//! The order of what waits: which writes are the first of their keys, and when each of those is to be tried.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::Waiting;

#[derive(Default)]
pub(super) struct Queue {
    all: BTreeMap<u64, Queued>,
    /// The numbers of each key, in order. One at a time is brought away: the first.
    pub(super) keys: HashMap<Arc<str>, VecDeque<u64>>,
    /// The first of each key: those that are not for a writer, and those that are.
    pub(super) firsts: [Firsts; 2],
    /// How many there are of keys whose first failed by itself.
    pub(super) held_up: usize,
}

struct Queued {
    write: Arc<Waiting>,
    /// When it is tried again, by [`Clock::elapsed`], if it failed by itself.
    due: Option<Duration>,
}

/// The first writes of their keys that go one way.
#[derive(Default)]
pub(super) struct Firsts {
    pub(super) fresh: BTreeSet<u64>,
    /// Those that failed by themselves, by when they are tried again.
    pub(super) late: BTreeSet<(Duration, u64)>,
    /// What goes the same way behind a fresh one of its key: no other key's write overtakes it.
    pub(super) next: BTreeSet<u64>,
}

fn set<T: Ord>(all: &mut BTreeSet<T>, one: T, is_in: bool) {
    if is_in {
        all.insert(one);
    } else {
        all.remove(&one);
    }
}

impl Queue {
    /// Changes what is known of a key's writes, and with it what is first.
    fn change(&mut self, key: &str, change: impl FnOnce(&mut Queue)) {
        self.list(key, false);
        change(self);
        self.list(key, true);
    }

    /// Lists the first write of a key, or strikes it off.
    fn list(&mut self, key: &str, is_listed: bool) {
        let Some(numbers) = self.keys.get(key) else { return };
        let mut own = numbers.iter().filter_map(|number| self.all.get(number));
        let Some(Queued { write, due }) = own.next() else { return };
        let firsts = &mut self.firsts[usize::from(write.has_writer)];
        if let Some(due) = due {
            set(&mut firsts.late, (*due, write.number), is_listed);
            let held_up = numbers.len();
            self.held_up = if is_listed { self.held_up + held_up } else { self.held_up - held_up };
            return;
        }
        set(&mut firsts.fresh, write.number, is_listed);
        if let Some(next) = own.find(|next| next.write.has_writer == write.has_writer) {
            set(&mut firsts.next, next.write.number, is_listed);
        }
    }

    pub(super) fn add(&mut self, write: Arc<Waiting>) {
        let key = Arc::clone(&write.key);
        self.change(&key, |queue| {
            queue.keys.entry(Arc::clone(&key)).or_default().push_back(write.number);
            queue.all.insert(write.number, Queued { write, due: None });
        });
    }

    pub(super) fn remove(&mut self, Waiting { key, number, .. }: &Waiting) {
        self.change(key, |queue| {
            queue.all.remove(number);
            let Some(numbers) = queue.keys.get_mut(key) else { return };
            if let Ok(at) = numbers.binary_search(number) {
                numbers.remove(at);
            }
            if numbers.is_empty() {
                queue.keys.remove(key);
            }
        });
    }

    pub(super) fn put_off(&mut self, Waiting { key, number, .. }: &Waiting, due: Duration) {
        self.change(key, |queue| {
            if let Some(queued) = queue.all.get_mut(number) {
                queued.due = Some(due);
            }
        });
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, number: u64) -> Option<Arc<Waiting>> {
        self.all.get(&number).map(|queued| Arc::clone(&queued.write))
    }

    /// In order.
    pub(super) fn all(&self) -> impl DoubleEndedIterator<Item = &Waiting> {
        self.all.values().map(|queued| &*queued.write)
    }
}
