//! The contract of a tier, and the question that reads ask.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::{BoxFuture, Claim, Entry, Error, Key, Version};

/// Which tier a value was found in.
///
/// ```
/// # use samovar_core::TierName;
/// assert_eq!(TierName::Redis.to_string(), "redis");
/// assert!(TierName::Memory < TierName::Redis && TierName::Redis < TierName::Disk, "in the order of lookups");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TierName {
    /// In this process.
    Memory,
    /// In a Redis that processes may share.
    Redis,
    /// Embedded, on this machine's disk.
    Disk,
}

impl TierName {
    /// The name as people and metrics read it.
    ///
    /// ```
    /// # use samovar_core::TierName;
    /// let names = [TierName::Memory, TierName::Redis, TierName::Disk].map(TierName::as_str);
    /// assert_eq!(names, ["memory", "redis", "disk"]);
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            TierName::Memory => "memory",
            TierName::Redis => "redis",
            TierName::Disk => "disk",
        }
    }
}

impl fmt::Display for TierName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What one cache occupies in a tier.
///
/// ```
/// # use samovar_core::CacheUsage;
/// let prices = CacheUsage { entries: 1_000, bytes: 250_000 };
/// assert_eq!(prices.bytes / prices.entries, 250, "bytes for each, with its key and overhead");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheUsage {
    /// Number of entries.
    pub entries: u64,
    /// Bytes of keys, values and overhead, as the tier's budget counts them.
    pub bytes: u64,
}

/// What a tier holds.
///
/// ```
/// # use std::collections::BTreeMap;
/// # use samovar_core::{CacheUsage, Usage};
/// let prices = CacheUsage { entries: 1_000, bytes: 250_000 };
/// let usage = Usage { caches: BTreeMap::from([("prices".into(), prices)]), max_bytes: 1_000_000 };
/// assert_eq!(usage.caches["prices"].entries, 1_000);
/// assert_eq!(usage.max_bytes - usage.total().bytes, 750_000, "bytes are left");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// By cache.
    pub caches: BTreeMap<Arc<str>, CacheUsage>,
    /// The tier's budget in bytes.
    pub max_bytes: u64,
}

impl Usage {
    /// The sum over all caches.
    ///
    /// ```
    /// # use std::collections::BTreeMap;
    /// # use samovar_core::{CacheUsage, Usage};
    /// let prices = CacheUsage { entries: 1_000, bytes: 250_000 };
    /// let names = CacheUsage { entries: 20, bytes: 4_000 };
    /// let caches = BTreeMap::from([("prices".into(), prices), ("names".into(), names)]);
    /// let usage = Usage { caches, max_bytes: 1_000_000 };
    /// assert_eq!(usage.total(), CacheUsage { entries: 1_020, bytes: 254_000 });
    /// ```
    pub fn total(&self) -> CacheUsage {
        self.caches.values().fold(CacheUsage::default(), |sum, one| CacheUsage {
            entries: sum.entries + one.entries,
            bytes: sum.bytes + one.bytes,
        })
    }
}

/// What a tier has under a key, if anything; an error means that it could not be asked.
///
/// ```
/// # use samovar_core::{Entry, Epoch, Error, ErrorKind, Got, Lifetime, Millis, Stamp, Tick, Version};
/// # let version = Version { epoch: Epoch(7), seq: 42 };
/// # let stamp = Stamp { version, tick: Tick(43), read_at: Millis(0) };
/// # let lifetime = Lifetime { ttl: Default::default(), stale_window: Default::default() };
/// let memory: Got<&str> = Ok(None);
/// let redis: Got<&str> = Err(Error::new(ErrorKind::Away, "redis is out of reach"));
/// let disk: Got<&str> = Ok(Some(Entry::whole("Tea", stamp, lifetime)));
/// // Whether a tier has nothing or cannot be asked, the next one is.
/// let found = [memory, redis, disk].into_iter().find_map(|got| got.ok().flatten());
/// assert_eq!(found.map(|entry| entry.value), Some("Tea"));
/// ```
pub type Got<V> = Result<Option<Entry<V>>, Error>;

/// For what an entry is looked up: how long it lasts may cost a tier a question of its own.
///
/// ```
/// use samovar_core::Need;
///
/// /// What a tier asks its server for one key, if that counts lifetimes down by itself.
/// fn commands(need: Need) -> &'static [&'static str] {
///     match need {
///         Need::Now => &["GET"],
///         Need::Later => &["GET", "PTTL"],
///     }
/// }
/// assert_eq!(commands(Need::Now).len(), 1, "that it is there says enough");
/// assert_eq!(commands(Need::Later).len(), 2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// To be served at once, while it is fresh, and not kept: that it is still there says enough.
    Now,
    /// To be kept elsewhere, or to be served past its time: its parts must tell how long it lasts by the tier's own
    /// reckoning.
    Later,
}

/// A place that keeps entries. It need not keep any of them: whatever it gives back is judged by the reader.
///
/// Below memory the crate `samovar` takes one whose values are payloads and that calls itself [`TierName::Disk`]:
/// `samovar::WrapLower` has an example.
///
/// A tier without a budget:
///
/// ```
/// use std::collections::HashMap;
/// use std::future::ready;
/// use std::sync::{Arc, Mutex};
///
/// use samovar_core::{BoxFuture, CacheUsage, Entry, Error, Got, Key, Tier, TierName, Usage};
///
/// #[derive(Default)]
/// struct Table(Mutex<HashMap<Key, Entry<Arc<str>>>>);
///
/// impl Tier for Table {
///     type Value = Arc<str>;
///
///     fn name(&self) -> TierName {
///         TierName::Memory
///     }
///     fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Got<Arc<str>>> {
///         Box::pin(ready(Ok(self.0.lock().unwrap().get(key).cloned())))
///     }
///     fn put(&self, key: &Key, entry: Entry<Arc<str>>) {
///         self.0.lock().unwrap().insert(key.clone(), entry);
///     }
///     fn remove<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool, Error>> {
///         Box::pin(ready(Ok(self.0.lock().unwrap().remove(key).is_some())))
///     }
///     fn flush(&self) -> BoxFuture<'_, Result<(), Error>> {
///         Box::pin(ready(Ok(()))) // it does not outlive the process
///     }
///     fn usage(&self) -> Usage {
///         let mut usage = Usage { max_bytes: u64::MAX, ..Usage::default() };
///         for (key, entry) in &*self.0.lock().unwrap() {
///             let CacheUsage { entries, bytes } = usage.caches.entry(key.cache.clone()).or_default();
///             *entries += 1;
///             *bytes += (key.id.len() + entry.value.len()) as u64;
///         }
///         usage
///     }
/// }
/// # use std::task::{Context, Poll, Waker};
/// # use samovar_core::{Epoch, Lifetime, Millis, Need, Stamp, Tick, Version};
/// # fn poll<T>(mut future: BoxFuture<'_, T>) -> Poll<T> {
/// #     future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
/// # }
/// # let version = Version { epoch: Epoch(7), seq: 42 };
/// # let stamp = Stamp { version, tick: Tick(43), read_at: Millis(0) };
/// # let lifetime = Lifetime { ttl: Default::default(), stale_window: Default::default() };
/// # let (tier, keys) = (Table::default(), [Key::new("names", "42"), Key::new("names", "43")]);
/// # tier.put(&keys[0], Entry::whole(Arc::from("Tea"), stamp, lifetime));
/// # assert_eq!(tier.usage().total(), CacheUsage { entries: 1, bytes: 5 });
/// # let Poll::Ready(found) = poll(tier.get_many(&keys, Need::Now)) else { panic!() };
/// # assert!(matches!(&found[..], [Ok(Some(tea)), Ok(None)] if &*tea.value == "Tea"));
/// # assert!(matches!(poll(tier.remove(&keys[0])), Poll::Ready(Ok(true))));
/// # assert!(matches!(poll(tier.remove(&keys[0])), Poll::Ready(Ok(false))));
/// ```
pub trait Tier: Send + Sync + 'static {
    /// The form in which it keeps values.
    type Value: Clone + Send + Sync + 'static;

    /// Its name.
    fn name(&self) -> TierName;

    /// What stands under a key. A damaged entry counts as absent (and is reported by the tier).
    ///
    /// # Errors
    /// If the tier itself could not be asked: of kind [`crate::ErrorKind::Away`] if it is passed over for now,
    /// [`crate::ErrorKind::Storage`] if it fails, [`crate::ErrorKind::Closed`] once it is closed. The same kinds go for
    /// all that is asked of it.
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Got<Self::Value>>;

    /// As [`Tier::get`], which is for [`Need::Later`], where the tier may save itself something.
    fn get_for<'a>(&'a self, key: &'a Key, _need: Need) -> BoxFuture<'a, Got<Self::Value>> {
        self.get(key)
    }

    /// What stands under several keys, in their order. Each has its own answer: of a tier on several servers some may
    /// be out of reach. One after the other, unless the tier can do it at once.
    fn get_many<'a>(&'a self, keys: &'a [Key], need: Need) -> BoxFuture<'a, Vec<Got<Self::Value>>> {
        Box::pin(async move {
            let mut found = Vec::with_capacity(keys.len());
            for key in keys {
                found.push(self.get_for(key, need).await);
            }
            found
        })
    }

    /// What was handed over under a key and still waits to be written; `Some(None)`: that it is removed. Told without
    /// asking whatever is behind the tier, so it says nothing of whether that is in order. `None`: it is to be asked.
    fn waiting(&self, _key: &Key) -> Option<Option<Entry<Self::Value>>> {
        None
    }

    /// Returns when what was handed over under a key before has been written, or has failed to be: from then on others
    /// find it, if anybody does.
    fn written<'a>(&'a self, _key: &'a Key) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Hands over an entry, in place of what stood under the key. Never waits: a `get` that begins
    /// afterwards finds it, unless the tier has turned it down (budget, failure, or the fence refuses it).
    /// Durable after [`Tier::flush`].
    fn put(&self, key: &Key, entry: Entry<Self::Value>);

    /// Forgets a key. True if something stood there.
    ///
    /// # Errors
    /// If nobody knows whether it is forgotten; of the kinds of [`Tier::get`].
    fn remove<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool, Error>>;

    /// Returns when all that was put and removed before is durable, where the tier is durable at all.
    ///
    /// # Errors
    /// If some of it could not be written, also since the last time; of the kinds of [`Tier::get`].
    fn flush(&self) -> BoxFuture<'_, Result<(), Error>>;

    /// Waits while the tier is behind with what it was handed: for those who put in bulk.
    ///
    /// # Errors
    /// If the tier has stopped writing; of the kinds of [`Tier::get`].
    fn room(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Drops what the fence refuses. Does nothing in a tier that does not outlive the process.
    ///
    /// # Errors
    /// Of the kinds of [`Tier::get`].
    fn sweep(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Writes what is queued and lets go of its files; afterwards everything else fails or does nothing.
    ///
    /// # Errors
    /// As [`Tier::flush`]. It is closed all the same.
    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.flush()
    }

    /// What it holds. A tier that outlives the process counts its entries here as soon as it is opened: with a log of its
    /// own, `samovar::Samovar::open` labels what was cached before a restart as stale only if there are some below memory.
    /// One that says 0 has what changed meanwhile served as fresh.
    fn usage(&self) -> Usage;
}

/// The answer to the one question.
///
/// They ascend: the verdict on an entry is the greatest of those on its parts.
///
/// ```
/// # use samovar_core::Verdict;
/// let days = [Verdict::Fresh, Verdict::Stale, Verdict::Fresh];
/// assert_eq!(days.into_iter().max(), Some(Verdict::Stale));
/// assert!(Verdict::Stale < Verdict::Refused);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// May be served.
    Fresh,
    /// May be served with a label, while it is read again.
    Stale,
    /// Must not be served.
    Refused,
}

/// What becomes of an entry below memory.
///
/// ```
/// # use samovar_core::Keep;
/// // What the fence said of all that a tier holds.
/// let swept = [Keep::CleanTo(u64::MAX), Keep::Drop, Keep::CleanTo(7)];
/// let kept = swept.iter().filter_map(|keep| match keep {
///     Keep::Drop => None,
///     Keep::CleanTo(number) => Some(*number),
/// });
/// assert_eq!(kept.min(), Some(7), "the mark with number 8 covers something that is still there");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Nothing of it may ever be served again.
    Drop,
    /// Something of it may still be served. No mark up to this number (inclusive) covers any of it:
    /// `u64::MAX` if no mark covers it at all.
    CleanTo(u64),
}

/// Asks, for tiers that outlive a process, whether an entry may still be kept. Implemented by the fence;
/// a tier that checks its fills is handed this, so that neither knows the other.
///
/// A judge who knows one mark, a `remove` over a cache:
///
/// ```
/// use samovar_core::{Claim, Judge, Keep, Key, Version};
///
/// struct Removed(&'static str, Version);
///
/// impl Judge for Removed {
///     fn judge_stored(&self, key: &Key, claim: Claim<'_>) -> Keep {
///         let Removed(cache, mark) = self;
///         if !claim.parts.iter().all(|part| self.holds(part.stamp.version)) {
///             return Keep::Drop;
///         }
///         let old = |part: &&samovar_core::Part| part.stamp.version.seq < mark.seq;
///         match claim.parts.iter().filter(old).count() {
///             covered if *key.cache != **cache || covered == 0 => Keep::CleanTo(u64::MAX),
///             covered if covered == claim.parts.len() => Keep::Drop,
///             _ => Keep::CleanTo(mark.seq - 1),
///         }
///     }
///     fn position(&self) -> Option<Version> {
///         Some(self.1)
///     }
///     fn holds(&self, version: Version) -> bool {
///         version.epoch == self.1.epoch
///     }
///     fn swept(&self, _: Option<Version>) {} // it forgets nothing
/// }
/// # use samovar_core::{Entry, Epoch, Lifetime, Millis, Stamp, Tick};
/// # let lifetime = Lifetime { ttl: Default::default(), stale_window: Default::default() };
/// # let at = |seq| Version { epoch: Epoch(7), seq };
/// # let entry = |version| Entry::whole((), Stamp { version, tick: Tick(0), read_at: Millis(0) }, lifetime);
/// # let judge = Removed("prices", at(42));
/// # let key = Key::new("prices", "42");
/// # assert_eq!(judge.judge_stored(&key, entry(at(41)).claim()), Keep::Drop);
/// # assert_eq!(judge.judge_stored(&key, entry(at(42)).claim()), Keep::CleanTo(u64::MAX));
/// # assert_eq!(judge.judge_stored(&Key::new("names", "42"), entry(at(41)).claim()), Keep::CleanTo(u64::MAX));
/// # assert_eq!(judge.judge_stored(&key, entry(Version { epoch: Epoch(8), seq: 50 }).claim()), Keep::Drop);
/// # let mut parts = [entry(at(41)).parts[0].clone(), entry(at(42)).parts[0].clone()];
/// # let claim = Claim { parts: &parts, tags: &samovar_core::Tags::NONE, lifetime };
/// # assert_eq!(judge.judge_stored(&key, claim), Keep::CleanTo(41));
/// ```
pub trait Judge: Send + Sync + 'static {
    /// What becomes of an entry stored under `key`, going by the versions in its stamps.
    fn judge_stored(&self, key: &Key, claim: Claim<'_>) -> Keep;

    /// The version to which everything judged now is judged, or `None` while a mark is pending.
    fn position(&self) -> Option<Version>;

    /// Whether a version lies on the history of the log, as far as it is known here.
    fn holds(&self, version: Version) -> bool;

    /// A tier that outlives the process says up to where what it keeps counts as clean, when it is opened and whenever
    /// that changes; `None`: of nothing. Marks after that are not forgotten while there is room for more.
    fn swept(&self, clean: Option<Version>);
}
