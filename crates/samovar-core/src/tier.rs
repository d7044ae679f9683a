//! The contract of a tier, and the question that reads ask.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::{BoxFuture, Claim, Entry, Error, Key, Version};

/// Which tier a value was found in.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheUsage {
    /// Number of entries.
    pub entries: u64,
    /// Bytes of keys, values and overhead, as the tier's budget counts them.
    pub bytes: u64,
}

/// What a tier holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// By cache.
    pub caches: BTreeMap<Arc<str>, CacheUsage>,
    /// The tier's budget in bytes.
    pub max_bytes: u64,
}

impl Usage {
    /// The sum over all caches.
    pub fn total(&self) -> CacheUsage {
        self.caches.values().fold(CacheUsage::default(), |sum, one| CacheUsage {
            entries: sum.entries + one.entries,
            bytes: sum.bytes + one.bytes,
        })
    }
}

/// What a tier has under a key, if anything; an error means that it could not be asked.
pub type Got<V> = Result<Option<Entry<V>>, Error>;

/// For what an entry is looked up: how long it lasts may cost a tier a question of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// To be served at once, while it is fresh, and not kept: that it is still there says enough.
    Now,
    /// To be kept elsewhere, or to be served past its time: its parts must tell how long it lasts by the tier's own
    /// reckoning.
    Later,
}

/// A place that keeps entries. It need not keep any of them: whatever it gives back is judged by the reader.
pub trait Tier: Send + Sync + 'static {
    /// The form in which it keeps values.
    type Value: Clone + Send + Sync + 'static;

    /// Its name.
    fn name(&self) -> TierName;

    /// What stands under a key. A damaged entry counts as absent (and is reported by the tier); an error
    /// means that the tier itself could not be asked.
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
    fn remove<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool, Error>>;

    /// Returns when all that was put and removed before is durable, where the tier is durable at all.
    fn flush(&self) -> BoxFuture<'_, Result<(), Error>>;

    /// Waits while the tier is behind with what it was handed: for those who put in bulk.
    fn room(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Drops what the fence refuses. Does nothing in a tier that does not outlive the process.
    fn sweep(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Writes what is queued and lets go of its files; afterwards everything else fails or does nothing.
    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.flush()
    }

    /// What it holds.
    fn usage(&self) -> Usage;
}

/// The answer to the one question.
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
