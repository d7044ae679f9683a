//! How one named cache keeps and loads its entries.

mod check;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use check::LONGEST;
pub use check::{Problem, check};

use samovar_core::{Need, TierName};

use crate::codec::CompressionPolicy;

/// How one named cache keeps its entries, and how it treats the source that they are loaded from. The page
/// `docs/policies.md` says what each is good for.
///
/// ```
/// # use samovar::CachePolicy;
/// # use std::time::Duration;
/// let policy = CachePolicy {
///     ttl: Duration::from_secs(60),
///     refresh_ahead: Some(0.8),
///     fail_safe: Duration::from_secs(3_600),
///     soft_timeout: Some(Duration::from_millis(100)),
///     ..CachePolicy::named("quotes")
/// };
/// assert!(policy.problems().is_empty());
/// let never = CachePolicy { hard_timeout: Some(Duration::from_millis(50)), ..policy };
/// assert_eq!(never.problems()[0].field, "soft_timeout", "nobody would wait so long");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct CachePolicy {
    /// The cache's name: part of every key.
    pub name: Arc<str>,
    /// What the names of its keys begin with: patterns are compared with those. `None`: its name and a colon. Under
    /// another prefix there are other entries.
    pub key_prefix: Option<Arc<str>>,
    /// What its keys bear beside the key itself.
    pub version: KeyVersion,
    /// What becomes of a [`crate::Cache::write`].
    pub strategy: Strategy,
    /// Under [`Strategy::WriteBack`] a write that failed so often is set aside as a dead letter
    /// ([`crate::Samovar::dead_letters`]); 1 and more.
    pub write_attempts: u32,
    /// Fresh for so long after the read of the source began, spread by `jitter`.
    pub ttl: Duration,
    /// Memory answers for so long after it took an entry in, if that ends before `ttl`; then the tiers below are asked
    /// again. `None`: as long as the entry lives.
    pub memory_ttl: Option<Duration>,
    /// That the source has no such row is remembered for so long. `None`: not at all.
    pub negative_ttl: Option<Duration>,
    /// Each lifetime is spread by up to this share either way, so that what was filled together does not expire
    /// together; 0 to 1.
    pub jitter: f64,
    /// Past its lifetime, or after an `expire`, an entry is served labelled for so long, while it is read again. Without
    /// `fail_safe`, which comes after it.
    pub stale_window: Duration,
    /// Past the stale window an entry is served labelled for so long where the load fails or takes too long, and only
    /// then. Never what a `remove` covers.
    pub fail_safe: Duration,
    /// A hit is read again in the background once this share of its lifetime is over; between 0 and 1. `None`: not.
    pub refresh_ahead: Option<f64>,
    /// A hit is read again in the background by chance, the likelier the nearer its end is and the longer its load
    /// took: XFetch, from Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede Prevention",
    /// VLDB 2015. This is the paper's β: 1 is best where nothing else is known, more is earlier. `None`: not.
    pub early_expiry: Option<f64>,
    /// Who has waited so long for a load is given a stale value, if there is one; the load goes on. `None`: waits.
    pub soft_timeout: Option<Duration>,
    /// Who has waited so long for a load is given an error, or what fail-safe allows; the load goes on. `None`: waits.
    pub hard_timeout: Option<Duration>,
    /// A load that takes longer is given up, whoever waits for it, and counts as failed: so none that hangs keeps its
    /// key for ever. `None`: no load is given up.
    pub load_limit: Option<Duration>,
    /// Where nodes share a Redis that keeps this cache: who loads a key holds a lease on it for so long, and the others
    /// wait for what it brings, each at most twice so long. Longer than a load takes; what a node that died leaves
    /// undone waits for its end. `None`: every node loads for itself.
    pub load_lease: Option<Duration>,
    /// After a failed load the source is not asked for that key for so long: who asks is given a stale value or an
    /// error at once. Zero: it is asked every time.
    pub throttle: Duration,
    /// Which caches matter more, 0 to 100. Nothing goes by it yet: it is carried along, for a warm-up and a sweep in
    /// that order, which are to come.
    pub priority: u8,
    /// At most so many bytes of memory, as its budget counts them, and never more; entries of this cache give way to
    /// one another then. `None`: as much as all caches together may have.
    pub max_bytes: Option<u64>,
    /// Whether memory keeps it.
    pub memory: bool,
    /// Whether Redis keeps it, if there is one.
    pub redis: bool,
    /// Whether disk keeps it, if there is a data directory.
    pub disk: bool,
    /// What is compressed below memory, and how.
    pub compression: CompressionPolicy,
}

/// What becomes of a [`crate::Cache::write`] and a [`crate::Cache::delete`]. The page `docs/policies.md` says what each
/// promises, and what not.
///
/// ```
/// # use samovar::{CachePolicy, Samovar, Settings, Strategy};
/// # futures_executor::block_on(async {
/// # let samovar = Samovar::open(Settings::default()).await?;
/// let aside = samovar.cache::<String>(CachePolicy::named("stock"));
/// aside.get_or_load("42", |_| async { Ok("7 left".to_owned()) }).await?;
/// aside.write("42", "6 left".to_owned()).await?; // after UPDATE stock …
/// assert!(aside.peek("42").is_none(), "the next read loads");
///
/// let policy = CachePolicy { strategy: Strategy::WriteThrough, ..CachePolicy::named("prices") };
/// let through = samovar.cache::<String>(policy);
/// through.write("42", "12.50".to_owned()).await?;
/// assert_eq!(*through.peek("42").expect("the new value is kept"), "12.50");
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// The source is written, then the key is marked; the next read loads. Without a [`samovar_core::Writer`] the
    /// caller has written the source, and the key is marked.
    #[default]
    CacheAside,
    /// The source is written, then the key is marked, also if the process dies in between; the new value is kept.
    /// Without a writer it is in every tier before the call returns.
    WriteThrough,
    /// The write is durable in a journal on this node before the call returns, and is written to the source after.
    /// Without a writer it is kept in the tiers after. Needs a [`crate::Settings::data_dir`].
    WriteBack,
}

/// What keys bear beside themselves. Marks cover a key whatever it bears.
///
/// ```
/// # use samovar::{CachePolicy, KeyVersion, Samovar, Settings};
/// # use samovar_core::{Key, Mode, Scope};
/// # futures_executor::block_on(async {
/// # let samovar = Samovar::open(Settings::default()).await?;
/// let version = |v: &str| KeyVersion::Schema(v.into());
/// let old = samovar.cache::<String>(CachePolicy { version: version("v1"), ..CachePolicy::named("quotes") });
/// let new = samovar.cache::<String>(CachePolicy { version: version("v2"), ..CachePolicy::named("quotes") });
/// old.get_or_load("42", |_| async { Ok("12.50".to_owned()) }).await?;
/// assert!(new.peek("42").is_none(), "what another deploy wrote is not read");
///
/// let scope = Scope::Key(Key::new("quotes", "42"));
/// samovar.mark(vec![scope], Mode::Remove, "price changed").await?;
/// assert!(old.peek("42").is_none(), "a mark covers the key in every version");
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeyVersion {
    /// Nothing.
    #[default]
    None,
    /// The version of the value's shape.
    Schema(Arc<str>),
    /// The number of the period in which they are asked for, such as the hour: with it every key begins anew.
    Period(Duration),
}

impl CachePolicy {
    /// The default policy under a name: fresh for an hour, spread by 20 %, a day stale, absent rows remembered for a
    /// minute; a second of rest after a failed load, no load longer than five minutes, one node loading at a time
    /// (leases of 10 s); in every tier that there is, not compressed; cache-aside, priority 50.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Samovar, Settings};
    /// # use std::time::Duration;
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// let prices = samovar.cache::<String>(CachePolicy { jitter: 0.0, ..CachePolicy::named("prices") });
    /// let answer = prices.get_or_load("42", |_| async { Ok("12.50".to_owned()) }).await?;
    /// let fresh_until = answer.stamp.read_at.plus(Duration::from_secs(3_600));
    /// assert_eq!(answer.fresh_until, Some(fresh_until), "an hour");
    /// assert!(samovar.counters().notices().is_empty(), "nothing is wrong with it");
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn named(name: impl Into<Arc<str>>) -> CachePolicy {
        CachePolicy {
            name: name.into(),
            key_prefix: None,
            version: KeyVersion::None,
            strategy: Strategy::CacheAside,
            write_attempts: 100,
            ttl: Duration::from_secs(3_600),
            memory_ttl: None,
            negative_ttl: Some(Duration::from_secs(60)),
            jitter: 0.2,
            stale_window: Duration::from_secs(86_400),
            fail_safe: Duration::ZERO,
            refresh_ahead: None,
            early_expiry: None,
            soft_timeout: None,
            hard_timeout: None,
            load_limit: Some(Duration::from_secs(300)),
            load_lease: Some(Duration::from_secs(10)),
            throttle: Duration::from_secs(1),
            priority: 50,
            max_bytes: None,
            memory: true,
            redis: true,
            disk: true,
            compression: CompressionPolicy::default(),
        }
    }

    /// Whether a tier keeps it.
    pub(crate) fn uses(&self, tier: TierName) -> bool {
        match tier {
            TierName::Memory => self.memory,
            TierName::Redis => self.redis,
            TierName::Disk => self.disk,
        }
    }

    /// What it is looked up for below memory: where nothing but a fresh value is of use, its remaining life need not be
    /// known.
    pub(crate) fn need(&self) -> Need {
        let served_stale = !self.stale_window.is_zero() || !self.fail_safe.is_zero();
        // What is read again before its end must tell when that is.
        let read_early = self.refresh_ahead.is_some() || self.early_expiry.is_some();
        match self.memory || served_stale || read_early {
            true => Need::Later,
            false => Need::Now,
        }
    }
}
