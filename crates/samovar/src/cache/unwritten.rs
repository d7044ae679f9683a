//! What was acknowledged to writers of a cache and does not stand in its source yet: this node reads it from here.

mod queue;

use std::any::Any;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::select;
use parking_lot::RwLock;
use samovar_core::{Clock, Entry, Error, ErrorKind, Millis, Part, Parts, Stamp, Tags, TierName};
use tokio::sync::Notify;

use queue::{Firsts, Queue};

use super::Cache;
use super::answer::Found;
use super::seen::{Seen, in_memory};
use crate::codec::Payload;
use crate::counters::Lookup;
use crate::tier::Held;
use crate::value::Value;

/// The most fresh writes of one batch.
pub(crate) const AT_ONCE: usize = 1_000;
/// The most of those that failed by themselves: fresh ones wait for them.
const ALONE: usize = 16;

/// An acknowledged write, under its number in the journal.
pub(crate) struct Waiting {
    pub(crate) number: u64,
    /// As callers know it.
    pub(crate) key: Arc<str>,
    /// `None`: it is deleted.
    pub(crate) value: Option<Kept>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) tags: Tags,
    /// Whether it is to be written to a source.
    pub(crate) has_writer: bool,
    /// When it was accepted.
    pub(crate) at: Millis,
    /// How often it was tried in vain.
    pub(crate) attempts: AtomicU32,
    /// Whether it may have been sent to its source before, also by the process before this one.
    pub(crate) sent: AtomicBool,
}

type Shared = Arc<dyn Any + Send + Sync>;

/// How a value of a type that is not known any more is encoded: its codec, and the bytes.
type Encode = fn(&Shared) -> Result<(Option<u8>, Bytes), Error>;

/// A value: as it was given, or as it was found in the journal.
pub(crate) enum Kept {
    Given(Shared, Encode),
    Found(Payload, OnceLock<Shared>),
}

fn typed<V: Value>(shared: &Shared) -> Result<Arc<V>, Error> {
    let other = |_| Error::new(ErrorKind::Format, "it was written as another type");
    Arc::clone(shared).downcast::<V>().map_err(other)
}

fn encode<V: Value>(shared: &Shared) -> Result<(Option<u8>, Bytes), Error> {
    let mut bytes = Vec::new();
    typed::<V>(shared)?.encode(&mut bytes)?;
    Ok((Some(V::CODEC.0), bytes.into()))
}

impl Kept {
    pub(crate) fn given<V: Value>(value: Arc<V>) -> Kept {
        Kept::Given(value, encode::<V>)
    }

    pub(crate) fn found(payload: Payload) -> Kept {
        Kept::Found(payload, OnceLock::new())
    }

    pub(crate) fn value<V: Value>(&self) -> Result<Arc<V>, Error> {
        let shared = match self {
            Kept::Given(shared, _) => shared,
            Kept::Found(payload, read) => match read.get() {
                Some(shared) => shared,
                None => {
                    let none = || Error::new(ErrorKind::Format, "there is no value");
                    let value = payload.read::<V>()?.ok_or_else(none)?;
                    read.get_or_init(|| Arc::new(value))
                }
            },
        };
        typed(shared)
    }

    /// Its codec, and its bytes, whatever type it was written as.
    pub(crate) fn encoded(&self) -> Result<(Option<u8>, Bytes), Error> {
        match self {
            Kept::Given(shared, encode) => encode(shared),
            Kept::Found(payload, _) => {
                let codec = payload.codec().map(|codec| codec.0);
                Ok((codec, payload.bytes()?.unwrap_or_default()))
            }
        }
    }
}

/// The acknowledged writes of one cache.
#[derive(Default)]
pub(crate) struct Unwritten {
    /// How many there are, so that who reads mostly looks no further.
    count: AtomicUsize,
    queue: RwLock<Queue>,
    /// Told when one came that is not for a writer, and one that is: who waits for few is not woken by many others.
    came: [Notify; 2],
}

/// Writes that are to be brought away now: of each key the one that came first.
#[derive(Default)]
pub(crate) struct Batch {
    /// In order.
    pub(crate) fresh: Vec<Arc<Waiting>>,
    /// Those that failed by themselves before: each goes alone, so that it takes no others along.
    pub(crate) alone: Vec<Arc<Waiting>>,
}

impl Unwritten {
    /// Takes in a write that is durable: its number is greater than any before it.
    pub(crate) fn add(&self, write: Waiting) {
        let way = usize::from(write.has_writer);
        self.change(|queue| queue.add(Arc::new(write)));
        self.came[way].notify_waiters();
    }

    /// Writes that stand here no longer.
    pub(crate) fn settle(&self, settled: &[Arc<Waiting>]) {
        // One by one, so that no read waits for all of them.
        settled.iter().for_each(|write| self.change(|queue| queue.remove(write)));
        // The next of its key may go another way.
        self.came.iter().for_each(Notify::notify_waiters);
    }

    /// A write has failed by itself: from here on it goes alone, and not before this time by [`Clock::elapsed`].
    pub(crate) fn put_off(&self, write: &Waiting, due: Duration) {
        self.change(|queue| queue.put_off(write, due));
    }

    fn change(&self, change: impl FnOnce(&mut Queue)) {
        let mut queue = self.queue.write();
        change(&mut queue);
        self.count.store(queue.len(), Ordering::Release);
    }

    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// The number of the last of them; 0 if there is none.
    pub(crate) fn last_number(&self) -> u64 {
        self.queue.read().all().next_back().map_or(0, |write| write.number)
    }

    /// How many of them wait for none that failed by itself.
    pub(crate) fn unhindered(&self) -> usize {
        let queue = self.queue.read();
        queue.len() - queue.held_up
    }

    /// The last write of a key.
    fn last(&self, key: &str) -> Option<Arc<Waiting>> {
        if self.len() == 0 {
            return None;
        }
        let queue = self.queue.read();
        queue.get(*queue.keys.get(key)?.back()?)
    }

    /// Whether some of them were accepted by a process before this one, which may have sent them.
    pub(crate) fn has_inherited(&self) -> bool {
        let of_before = |write: &Waiting| write.has_writer && write.sent.load(Ordering::Relaxed);
        self.queue.read().all().any(of_before)
    }

    fn has(&self, key: &str) -> bool {
        self.len() > 0 && self.queue.read().keys.contains_key(key)
    }

    /// The first of those for a writer, or of the others, and in order: up to where one stands behind another of its own
    /// key. Those that failed by themselves once they are due, and not before `alone_from`. Waits until there are some.
    pub(crate) async fn first(
        &self,
        has_writer: bool,
        clock: &dyn Clock,
        alone_from: Duration,
    ) -> Batch {
        let way = usize::from(has_writer);
        loop {
            // Told of whatever comes from here on.
            let came = self.came[way].notified();
            let now = clock.elapsed();
            let due = {
                let queue = self.queue.read();
                let Firsts { fresh, late, next } = &queue.firsts[way];
                let before = next.first().copied().unwrap_or(u64::MAX);
                let fresh = fresh.range(..before).take(AT_ONCE);
                let fresh: Vec<_> = fresh.filter_map(|number| queue.get(*number)).collect();
                let late = late.iter().map(|(due, number)| (alone_from.max(*due), *number));
                let due = late.clone().next().map(|(due, _)| due);
                let alone = late.take_while(|(due, _)| *due <= now).take(ALONE);
                let alone: Vec<_> = alone.filter_map(|(_, number)| queue.get(number)).collect();
                if !fresh.is_empty() || !alone.is_empty() {
                    return Batch { fresh, alone };
                }
                due
            };
            match due {
                None => came.await,
                Some(due) => drop(select(clock.sleep(due.saturating_sub(now)), pin!(came)).await),
            }
        }
    }

    /// The newest of those for a writer that is the first of its key, and has not failed by itself.
    pub(crate) fn newest(&self) -> Option<Arc<Waiting>> {
        let queue = self.queue.read();
        queue.get(*queue.firsts[1].fresh.last()?)
    }
}

impl<V: Value> Cache<V> {
    /// What was written under a key and does not stand in the source yet: a value, or that it was deleted.
    // Every read asks, and mostly nothing is ever written back.
    #[inline(always)]
    pub(super) fn written(&self, key: &str) -> Option<Seen<V>> {
        match &self.unwritten {
            None => None,
            Some(unwritten) => self.written_in(unwritten, key),
        }
    }

    /// The same as what is found; `Some(None)`: it was deleted.
    #[inline(always)]
    pub(super) fn written_found(&self, key: &str) -> Option<Option<Found<V>>> {
        Some(self.written(key)?.found())
    }

    #[inline(never)]
    fn written_in(&self, unwritten: &Unwritten, key: &str) -> Option<Seen<V>> {
        unwritten.last(key).and_then(|write| self.as_seen(&write))
    }

    /// Whether something that is read from the source is not to be kept, since what was written here is newer.
    pub(crate) fn is_written(&self, key: &str) -> bool {
        self.unwritten.as_ref().is_some_and(|unwritten| unwritten.has(key))
    }

    /// How many writes were acknowledged under [`crate::Strategy::WriteBack`] and do not stand in the source yet. Those
    /// that were given up ([`crate::Samovar::dead_letters`]) are not among them.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Samovar, Settings, Strategy};
    /// # use samovar_core::{BoxFuture, Write, WriteError, Writer};
    /// # use std::sync::Arc;
    /// # struct Away;
    /// # impl Writer<String> for Away {
    /// #     fn write<'a>(&'a self, _: &'a [Write<String>]) -> BoxFuture<'a, Vec<Result<(), WriteError>>> {
    /// #         Box::pin(std::future::pending())
    /// #     }
    /// # }
    /// # let directory = tempfile::tempdir().unwrap();
    /// # futures_executor::block_on(async {
    /// # let data_dir = Some(directory.path().into());
    /// # let settings = Settings { data_dir, ..Settings::default() };
    /// # let samovar = Samovar::open(settings).await?;
    /// let policy = CachePolicy { strategy: Strategy::WriteBack, ..CachePolicy::named("prices") };
    /// let prices = samovar.cache_with_writer(policy, Arc::new(Away)); // its source does not answer
    /// prices.write("42", "12.50".to_owned()).await?;
    /// assert_eq!(prices.unwritten(), 1);
    /// assert_eq!(*prices.peek("42").expect("this node reads it all the same"), "12.50");
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn unwritten(&self) -> usize {
        self.unwritten.as_ref().map_or(0, |unwritten| unwritten.len())
    }

    #[cold]
    fn as_seen(&self, write: &Waiting) -> Option<Seen<V>> {
        let now = self.inner.clock.now();
        let value = match write.value.as_ref().map(Kept::value::<V>).transpose() {
            Ok(value) => value,
            Err(error) => {
                let text = format!(
                    "{}:{} stands in the journal and cannot be read: {error}",
                    self.policy.name, write.key
                );
                self.inner.counters.say(now, text);
                return None;
            }
        };
        self.counters.count(TierName::Memory, Lookup::Hit);
        // No mark drops it, and whatever the source says is older.
        let stamp = Stamp::new(self.inner.fence.token(), now);
        let lifetime = self.policy.lifetime(write.ttl.unwrap_or(self.policy.ttl), None);
        let is_absent = value.is_none();
        let value = in_memory(value.as_ref());
        let entry = Entry {
            value,
            parts: Parts::from([Part { span: None, stamp }]),
            tags: write.tags.clone(),
            lifetime,
        };
        let held = Held::loose(&self.key(&write.key, now), entry);
        Some(Seen::new(Found::clean(Arc::new(held), TierName::Memory), is_absent))
    }
}
