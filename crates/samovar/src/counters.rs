//! What is counted, and what is said.

mod tally;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use samovar_core::{Millis, TierName};

use crate::codec::Sizes;
use tally::Tally;

/// How many notices are kept.
const NOTICES: usize = 100;

/// What became of lookups in a tier, and what was done there.
#[derive(Debug, Default)]
struct Lookups {
    hits: Tally,
    stale: Tally,
    misses: Tally,
    refused: Tally,
    sets: AtomicU64,
    deletes: AtomicU64,
}

/// What became of lookups in a tier, at one moment.
///
/// ```
/// # use samovar::{CachePolicy, LookupCounts, Samovar, Settings};
/// # use samovar_core::TierName;
/// # futures_executor::block_on(async {
/// # let samovar = Samovar::open(Settings::default()).await?;
/// # let names = samovar.cache::<String>(CachePolicy::named("product_names"));
/// names.get_or_load("42", |_| async { Ok("Tea".to_owned()) }).await?; // a miss, and a set
/// names.peek("42").expect("a hit");
/// names.remove("42").await;
/// let counted = samovar.counters().snapshot().of("product_names", TierName::Memory);
/// let expected = LookupCounts { misses: 1, sets: 1, hits: 1, deletes: 1, ..LookupCounts::default() };
/// assert_eq!(counted, expected);
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LookupCounts {
    /// Found, and fresh in all parts.
    pub hits: u64,
    /// Found, and stale in some part.
    pub stale: u64,
    /// Not there.
    pub misses: u64,
    /// Found, and refused in some part.
    pub refused: u64,
    /// Entries handed to the tier: put, loaded, or found in another tier.
    pub sets: u64,
    /// Keys that the tier was told to forget.
    pub deletes: u64,
}

/// How one lookup ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lookup {
    Hit,
    Stale,
    Miss,
    Refused,
}

/// The lookups of one cache, by tier.
#[derive(Debug, Default)]
pub(crate) struct CacheCounters {
    memory: Lookups,
    redis: Lookups,
    disk: Lookups,
    sizes: Arc<Mutex<Sizes>>,
}

impl CacheCounters {
    fn of(&self, tier: TierName) -> &Lookups {
        match tier {
            TierName::Memory => &self.memory,
            TierName::Redis => &self.redis,
            TierName::Disk => &self.disk,
        }
    }

    /// Where the sizes of its values are added up.
    pub(crate) fn sizes(&self) -> Arc<Mutex<Sizes>> {
        Arc::clone(&self.sizes)
    }

    #[inline]
    pub(crate) fn count(&self, tier: TierName, lookup: Lookup) {
        let of = self.of(tier);
        let counter = match lookup {
            Lookup::Hit => &of.hits,
            Lookup::Stale => &of.stale,
            Lookup::Miss => &of.misses,
            Lookup::Refused => &of.refused,
        };
        counter.add();
    }

    /// A tier was handed an entry.
    pub(crate) fn set(&self, tier: TierName) {
        self.of(tier).sets.fetch_add(1, Ordering::Relaxed);
    }

    /// A tier was told to forget a key.
    pub(crate) fn deleted(&self, tier: TierName) {
        self.of(tier).deletes.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts beside the lookups.
///
/// ```
/// # use samovar::{CachePolicy, Counted, Samovar, Settings};
/// # futures_executor::block_on(async {
/// # let samovar = Samovar::open(Settings::default()).await?;
/// # let names = samovar.cache::<String>(CachePolicy::named("product_names"));
/// let none = |_| async { Ok(None::<String>) };
/// names.get_or_load("43", none).await?;
/// names.get_or_load("43", none).await?;
/// let counted = samovar.counters().snapshot();
/// let others = [Counted::Load, Counted::LoadedAbsent, Counted::NegativeHit];
/// assert_eq!(others.map(|what| counted.count(what)), [1, 1, 1]);
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Counted {
    /// A lower tier could not be asked or did not do what it was told; it was passed over.
    TierError,
    /// Somebody went past a tier that is left alone for a while, because it failed or was slow.
    TierSkipped,
    /// A damaged entry was dropped, or one that is none of ours was passed over.
    Damaged,
    /// An entry was turned down by a tier because the fence refuses it, or because what stands there was read
    /// later.
    FillRefused,
    /// An entry was not written to disk or Redis: the queue was full, it is too large, or it has no stored form.
    FillDropped,
    /// Writing to Redis failed; what was to be written is not kept there (colder, never wrong).
    RedisError,
    /// Writing to disk failed; what was to be written is lost (colder, never wrong).
    DiskError,
    /// An entry was thrown off the disk for want of room.
    DiskEviction,
    /// An entry was swept off the disk: refused, or past its time.
    Swept,
    /// A source was asked for a key, or once for many.
    Load,
    /// A load failed, panicked, or took longer than a load may take.
    LoadFailed,
    /// A load found that the source has no such row.
    LoadedAbsent,
    /// A load was begun in the background: of something stale, or early.
    Refresh,
    /// Another node was loading what was to be loaded here: what it brings was waited for.
    LoadElsewhere,
    /// Somebody was told that the source has no such row, as was remembered.
    NegativeHit,
    /// Somebody was given a stale value because a load took long, and did not wait longer.
    SoftTimeout,
    /// Somebody waited no longer for a load.
    HardTimeout,
    /// Somebody was given a stale value because a load failed or took too long.
    FailSafe,
    /// Somebody came to a source that rests after a failed load, and it was not asked.
    Throttled,
    /// A write that was acknowledged failed at its source; it is tried again, or given up.
    WriteFailed,
    /// A write that was acknowledged was given up: it is a dead letter.
    DeadLetter,
    /// The shared log has begun an epoch: it was elsewhere than before, and may have lost its newest invalidations.
    LogTurned,
    /// The shared log no longer held what this node had not had yet: everything here was taken for invalidated.
    LogGap,
    /// The shared log was gone, and was founded again from here.
    LogFounded,
    /// The shared log was out of reach for longer than a lease: what was served from then on was labelled.
    CutOff,
    /// An invalidation was acknowledged because it stands in this node's journal, the shared log being away.
    Journaled,
}

impl Counted {
    /// All of them.
    ///
    /// ```
    /// # use samovar::{Counted, Samovar, Settings};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// let counted = samovar.counters().snapshot();
    /// let lines = Counted::ALL.map(|what| format!("samovar_{} {}", what.as_str(), counted.count(what)));
    /// assert!(lines.contains(&"samovar_loads 0".to_owned()));
    /// assert_eq!(counted.others.len(), Counted::ALL.len(), "no other is counted");
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub const ALL: [Counted; 26] = [
        Counted::TierError,
        Counted::TierSkipped,
        Counted::Damaged,
        Counted::FillRefused,
        Counted::FillDropped,
        Counted::RedisError,
        Counted::DiskError,
        Counted::DiskEviction,
        Counted::Swept,
        Counted::Load,
        Counted::LoadFailed,
        Counted::LoadedAbsent,
        Counted::Refresh,
        Counted::LoadElsewhere,
        Counted::NegativeHit,
        Counted::SoftTimeout,
        Counted::HardTimeout,
        Counted::FailSafe,
        Counted::Throttled,
        Counted::WriteFailed,
        Counted::DeadLetter,
        Counted::LogTurned,
        Counted::LogGap,
        Counted::LogFounded,
        Counted::CutOff,
        Counted::Journaled,
    ];

    /// The name as people and metrics read it.
    ///
    /// ```
    /// # use samovar::Counted;
    /// # use std::collections::BTreeSet;
    /// assert_eq!(Counted::LoadFailed.as_str(), "loads_failed");
    /// let names: BTreeSet<&str> = Counted::ALL.iter().map(|what| what.as_str()).collect();
    /// assert_eq!(names.len(), Counted::ALL.len(), "each has its own");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Counted::TierError => "tier_errors",
            Counted::TierSkipped => "tier_skips",
            Counted::RedisError => "redis_errors",
            Counted::Damaged => "damaged",
            Counted::FillRefused => "fills_refused",
            Counted::FillDropped => "fills_dropped",
            Counted::DiskError => "disk_errors",
            Counted::DiskEviction => "disk_evictions",
            Counted::Swept => "swept",
            Counted::Load => "loads",
            Counted::LoadFailed => "loads_failed",
            Counted::LoadedAbsent => "loads_absent",
            Counted::Refresh => "refreshes",
            Counted::LoadElsewhere => "loads_elsewhere",
            Counted::NegativeHit => "negative_hits",
            Counted::SoftTimeout => "soft_timeouts",
            Counted::HardTimeout => "hard_timeouts",
            Counted::FailSafe => "fail_safe",
            Counted::Throttled => "throttled",
            Counted::WriteFailed => "writes_failed",
            Counted::DeadLetter => "dead_letters",
            Counted::LogTurned => "log_turns",
            Counted::LogGap => "log_gaps",
            Counted::LogFounded => "log_foundings",
            Counted::CutOff => "cut_off",
            Counted::Journaled => "marks_journaled",
        }
    }
}

/// Something that an operator should know.
///
/// ```
/// # use samovar::{CachePolicy, Notice, Samovar, Settings};
/// # use samovar_core::Millis;
/// # use std::time::Duration;
/// # use samovar_testkit::clock::FakeClock;
/// # futures_executor::block_on(async {
/// # let clock = FakeClock::at(Millis(0));
/// # let settings = Settings { clock: clock.clone(), ..Settings::default() };
/// # let samovar = Samovar::open(settings).await?;
/// clock.advance(Duration::from_secs(5));
/// samovar.cache::<String>(CachePolicy { jitter: 20.0, ..CachePolicy::named("prices") });
/// let Notice { at, text } = &samovar.counters().notices()[0];
/// assert_eq!(*at, Millis(5_000));
/// assert!(text.contains("jitter"), "{text}");
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// When it was said.
    pub at: Millis,
    /// What was said.
    pub text: Arc<str>,
}

/// Everything counted, at one moment.
///
/// ```
/// # use samovar::{CachePolicy, Counted, Samovar, Settings};
/// # use samovar_core::TierName;
/// # futures_executor::block_on(async {
/// # let samovar = Samovar::open(Settings::default()).await?;
/// # let names = samovar.cache::<String>(CachePolicy::named("product_names"));
/// let before = samovar.counters().snapshot();
/// names.get_or_load("42", |_| async { Ok("Tea".to_owned()) }).await?;
/// let after = samovar.counters().snapshot();
/// assert_eq!(after.count(Counted::Load) - before.count(Counted::Load), 1);
/// assert_eq!(after.lookups["product_names"][&TierName::Memory].misses, 1);
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lookups by cache and tier.
    pub lookups: BTreeMap<Arc<str>, BTreeMap<TierName, LookupCounts>>,
    /// By cache, the values that were stored below memory, before and after compression: each once, in however many
    /// tiers it is.
    pub sizes: BTreeMap<Arc<str>, Sizes>,
    /// The other counts.
    pub others: BTreeMap<Counted, u64>,
}

impl Counts {
    /// The lookups of a cache in a tier; nothing but zeros of a cache that is not known.
    ///
    /// ```
    /// # use samovar::{CachePolicy, LookupCounts, Samovar, Settings};
    /// # use samovar_core::TierName;
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// # let names = samovar.cache::<String>(CachePolicy::named("product_names"));
    /// assert!(names.get("42").await.is_none());
    /// let counted = samovar.counters().snapshot();
    /// assert_eq!(counted.of("product_names", TierName::Memory).misses, 1);
    /// assert_eq!(counted.of("nobody's", TierName::Memory), LookupCounts::default());
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn of(&self, cache: &str, tier: TierName) -> LookupCounts {
        self.lookups.get(cache).and_then(|tiers| tiers.get(&tier)).copied().unwrap_or_default()
    }

    /// How often something has happened.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Counted, Samovar, Settings};
    /// # use samovar_core::{Error, ErrorKind};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// # let names = samovar.cache::<String>(CachePolicy::named("product_names"));
    /// let fails = |_| async { Err::<String, _>(Error::new(ErrorKind::Source, "the database is away")) };
    /// assert!(names.get_or_load("42", fails).await.is_err());
    /// let counted = samovar.counters().snapshot();
    /// assert_eq!((counted.count(Counted::Load), counted.count(Counted::LoadFailed)), (1, 1));
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn count(&self, what: Counted) -> u64 {
        self.others.get(&what).copied().unwrap_or_default()
    }
}

/// Counts since the start or the last [`Counters::reset`], and the last notices.
///
/// ```
/// # use samovar::{CachePolicy, Counters, Samovar, Settings};
/// # use samovar_core::TierName;
/// # futures_executor::block_on(async {
/// # let samovar = Samovar::open(Settings::default()).await?;
/// # let names = samovar.cache::<String>(CachePolicy::named("product_names"));
/// let counters: &Counters = samovar.counters();
/// names.get("42").await;
/// names.get("42").await;
/// let counted = counters.snapshot().of("product_names", TierName::Memory);
/// assert_eq!((counted.hits, counted.misses), (0, 2));
/// assert!(counters.notices().is_empty());
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Default)]
pub struct Counters {
    caches: Mutex<BTreeMap<Arc<str>, Arc<CacheCounters>>>,
    others: [AtomicU64; Counted::ALL.len()],
    notices: Mutex<VecDeque<Notice>>,
}

impl Counters {
    /// All counts. Each is exact; together they are of nearly one moment.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Counted, Samovar, Settings};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// # let names = samovar.cache::<String>(CachePolicy::named("product_names"));
    /// let counted = samovar.counters().snapshot();
    /// names.get_or_load("42", |_| async { Ok("Tea".to_owned()) }).await?;
    /// assert_eq!(counted.count(Counted::Load), 0, "as it was then");
    /// assert_eq!(samovar.counters().snapshot().count(Counted::Load), 1);
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn snapshot(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let lookups = |of: &Lookups| LookupCounts {
            hits: of.hits.sum(),
            stale: of.stale.sum(),
            misses: of.misses.sum(),
            refused: of.refused.sum(),
            sets: read(&of.sets),
            deletes: read(&of.deletes),
        };
        // Redis is spoken of where it was asked.
        let asked = |(tier, of): &(TierName, LookupCounts)| {
            *tier != TierName::Redis || *of != LookupCounts::default()
        };
        let by_tier = |of: &CacheCounters| -> BTreeMap<TierName, LookupCounts> {
            let tiers = [TierName::Memory, TierName::Redis, TierName::Disk];
            tiers.map(|tier| (tier, lookups(of.of(tier)))).into_iter().filter(asked).collect()
        };
        let caches = self.caches.lock();
        Counts {
            lookups: caches.iter().map(|(name, of)| (Arc::clone(name), by_tier(of))).collect(),
            sizes: caches.iter().map(|(name, of)| (Arc::clone(name), *of.sizes.lock())).collect(),
            others: Counted::ALL.map(|what| (what, read(&self.others[what as usize]))).into(),
        }
    }

    /// Sets every count to zero. The notices stay.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Counted, Samovar, Settings};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// # let names = samovar.cache::<String>(CachePolicy::named("product_names"));
    /// samovar.cache::<String>(CachePolicy { jitter: 20.0, ..CachePolicy::named("prices") });
    /// names.get_or_load("42", |_| async { Ok("Tea".to_owned()) }).await?;
    /// samovar.counters().reset();
    /// assert_eq!(samovar.counters().snapshot().count(Counted::Load), 0);
    /// assert_eq!(samovar.counters().notices().len(), 1, "that about the jitter stays");
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn reset(&self) {
        for cache in self.caches.lock().values() {
            for of in [&cache.memory, &cache.redis, &cache.disk] {
                for counter in [&of.hits, &of.stale, &of.misses, &of.refused] {
                    counter.reset();
                }
                for counter in [&of.sets, &of.deletes] {
                    counter.store(0, Ordering::Relaxed);
                }
            }
            *cache.sizes.lock() = Sizes::default();
        }
        for counter in &self.others {
            counter.store(0, Ordering::Relaxed);
        }
    }

    /// The last 100 notices, oldest first.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Samovar, Settings};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// for number in 0..101 {
    ///     samovar.cache::<String>(CachePolicy { priority: 101 + number, ..CachePolicy::named("prices") });
    /// }
    /// let notices = samovar.counters().notices();
    /// assert_eq!(notices.len(), 100, "the first is gone");
    /// assert!(notices[0].text.contains("found 102") && notices[99].text.contains("found 201"));
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn notices(&self) -> Vec<Notice> {
        self.notices.lock().iter().cloned().collect()
    }

    pub(crate) fn of_cache(&self, name: &Arc<str>) -> Arc<CacheCounters> {
        Arc::clone(self.caches.lock().entry(Arc::clone(name)).or_default())
    }

    pub(crate) fn count(&self, what: Counted, by: u64) {
        self.others[what as usize].fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn say(&self, at: Millis, text: impl Into<Arc<str>>) {
        let mut notices = self.notices.lock();
        if notices.len() == NOTICES {
            notices.pop_front();
        }
        notices.push_back(Notice { at, text: text.into() });
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Counters").field(&self.snapshot()).finish()
    }
}
