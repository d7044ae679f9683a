//! What a user chooses.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use samovar_core::{Clock, Error, Judge, MarkLog, SystemClock, Tier};

/// What [`crate::Samovar::open`] needs to know. The default keeps everything in memory.
///
/// ```
/// # use samovar::Settings;
/// let settings = Settings {
///     data_dir: Some("/var/lib/shop/cache".into()),
///     memory_max_bytes: 256 << 20,
///     ..Settings::default()
/// };
/// assert_eq!(settings.disk_max_bytes, 4 << 30);
/// ```
#[derive(Clone)]
pub struct Settings {
    /// Where the mark log and the disk tier lie; made if it is not there. `None`: nothing outlives the process.
    pub data_dir: Option<PathBuf>,
    /// The budget of the memory tier, all caches together, in bytes of keys, values and overhead. Never exceeded.
    pub memory_max_bytes: u64,
    /// The budget of the disk tier, all caches together, in bytes as the file allots them.
    pub disk_max_bytes: u64,
    /// After a mark the disk is swept once so much time has passed; `None`: only by
    /// [`crate::Samovar::sweep`].
    pub sweep_after: Option<Duration>,
    /// About how many scopes the fence remembers marks of (200 bytes each); twice as many while the disk is not
    /// swept of them. Beyond that the oldest are forgotten, and what was read before those of its cache is read anew.
    pub marks_max: usize,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Starts the sequence by which lifetimes are spread.
    pub seed: u64,
    /// A mark log of one's own in place of the local one.
    pub log: Option<Arc<dyn MarkLog>>,
    /// Changes or replaces the disk tier, once it is open: `None` in, if there is no data directory.
    pub lower: Option<Arc<WrapLower>>,
}

/// A tier below memory.
pub type LowerTier = Arc<dyn Tier<Value = Bytes>>;

/// Makes the tier below memory out of the one that would be used.
pub type WrapLower =
    dyn Fn(Option<LowerTier>, Arc<dyn Judge>) -> Result<Option<LowerTier>, Error> + Send + Sync;

impl Default for Settings {
    fn default() -> Self {
        Settings {
            data_dir: None,
            memory_max_bytes: 512 << 20,
            disk_max_bytes: 4 << 30,
            sweep_after: Some(Duration::from_secs(1)),
            marks_max: 100_000,
            clock: Arc::new(SystemClock::new()),
            seed: 0,
            log: None,
            lower: None,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("data_dir", &self.data_dir)
            .field("memory_max_bytes", &self.memory_max_bytes)
            .field("disk_max_bytes", &self.disk_max_bytes)
            .field("sweep_after", &self.sweep_after)
            .field("marks_max", &self.marks_max)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

/// How one named cache keeps its entries.
///
/// ```
/// # use samovar::CachePolicy;
/// # use std::time::Duration;
/// let policy = CachePolicy { ttl: Duration::from_secs(60), ..CachePolicy::named("quotes") };
/// assert!(policy.memory && policy.disk);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct CachePolicy {
    /// The cache's name: part of every key.
    pub name: Arc<str>,
    /// Fresh for so long after the read of the source began.
    pub ttl: Duration,
    /// Each lifetime is spread by up to this share either way, so that what was filled together does not expire
    /// together; 0 to 1.
    pub jitter: f64,
    /// Past its lifetime, or after an `expire`, an entry is served labelled for so long.
    pub stale_window: Duration,
    /// At most so many bytes of memory, as its budget counts them, and never more; entries of this cache give way to
    /// one another then. `None`: as much as all caches together may have.
    pub max_bytes: Option<u64>,
    /// Whether memory keeps it.
    pub memory: bool,
    /// Whether disk keeps it.
    pub disk: bool,
}

impl CachePolicy {
    /// The default policy under a name: an hour, spread by 20 %, a day stale, in memory and on disk.
    pub fn named(name: impl Into<Arc<str>>) -> CachePolicy {
        CachePolicy {
            name: name.into(),
            ttl: Duration::from_secs(3_600),
            jitter: 0.2,
            stale_window: Duration::from_secs(86_400),
            max_bytes: None,
            memory: true,
            disk: true,
        }
    }
}
