//! What a user chooses.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use samovar_core::{Clock, Error, Judge, MarkLog, SystemClock, Tier};

use crate::codec::Payload;
use crate::redis::RedisSettings;

/// What [`crate::Samovar::open`] needs to know. The default keeps everything in memory.
///
/// ```
/// # use samovar::{Samovar, Settings};
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path();
/// # futures_executor::block_on(async {
/// let settings = Settings {
///     data_dir: Some(path.into()), // such as /var/lib/shop/cache
///     memory_max_bytes: 256 << 20,
///     disk_max_bytes: 1 << 30,
///     ..Settings::default()
/// };
/// let samovar = Samovar::open(settings).await?;
/// let budgets: Vec<u64> = samovar.usage().iter().map(|(_, usage)| usage.max_bytes).collect();
/// assert_eq!(budgets, [256 << 20, 1 << 30]);
/// assert!(path.join("samovar.format").exists());
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Settings {
    /// Where the mark log and the disk tier lie; the journal of writes that do not stand in their source yet, with the
    /// dead letters; and, with a shared log, the journal of marks that it has not got yet, and what was known of it.
    /// Made if it is not there. `None`: nothing outlives the process, but in Redis.
    pub data_dir: Option<PathBuf>,
    /// The budget of the memory tier, all caches together, in bytes of keys, values and overhead. Never exceeded.
    pub memory_max_bytes: u64,
    /// The budget of the disk tier, all caches together, in bytes as the file allots them.
    pub disk_max_bytes: u64,
    /// So many bytes of writes may stand in the journal at once (and in memory, beside its budget): beyond that, as
    /// while a source is away for long, writes fail. Means nothing without a `data_dir`: there is no journal then.
    pub journal_max_bytes: u64,
    /// So many bytes of dead letters may stand in the journal for one cache, beside what waits in it: beyond that its
    /// writes under write-back fail, until some are retried or dropped. Means nothing without a `data_dir`.
    pub letters_max_bytes: u64,
    /// A Redis that keeps values between memory and disk. One that is away is passed over until it answers. In a build
    /// without the cargo feature `redis`, opening says so.
    pub redis: Option<RedisSettings>,
    /// After a mark the disk is swept once so much time has passed, at most 100 years; `None`: only by
    /// [`crate::Samovar::sweep`].
    pub sweep_after: Option<Duration>,
    /// About how many scopes the fence remembers marks of (200 bytes each); twice as many while the disk is not
    /// swept of them. Beyond that the oldest are forgotten, and what was read before those of its cache is read anew.
    pub marks_max: usize,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Starts the sequence by which lifetimes are spread, for tests that shall go the same way each time. `None`: it
    /// starts anywhere, so that no two nodes spread theirs alike.
    pub seed: Option<u64>,
    /// A mark log of one's own in place of the local one, such as one that nodes share: `fence::RedisLog`.
    pub log: Option<Arc<dyn MarkLog>>,
    /// How far what loaders read may be behind the source, as replicas are, at most 100 years: every invalidation is repeated
    /// after so long, since what was loaded meanwhile may be from before the change. So what a write-through keeps is read
    /// anew then, too. Zero: loaders read what was committed.
    pub replica_lag: Duration,
    /// How long an invalidation waits for a log that is shared, before it is put into the journal of the data
    /// directory, or fails if there is none.
    pub log_patience: Duration,
    /// A node that has been out of reach of a shared log for so long, from the end of the log's lease on, serves nothing from
    /// its caches: every read goes to the source. Until then it labels what it serves as stale. For what is served from
    /// before the start ([`Settings::serve_while_away`]) the time before counts too.
    pub max_blind: Duration,
    /// Whether a node that starts while its shared log is away serves what lies on its disk, labelled as stale, if it
    /// was closed properly before. It cannot know what was invalidated since.
    pub serve_while_away: bool,
    /// Changes or replaces the disk tier, once it is open: `None` in, if there is no data directory.
    pub lower: Option<Arc<WrapLower>>,
}

/// A tier below memory: whatever keeps values in their stored form. One of your own is put there by [`WrapLower`].
///
/// ```
/// # use samovar::{CachePolicy, LowerTier, Samovar, Settings};
/// # use samovar_core::{Judge, TierName};
/// # use std::sync::{Arc, OnceLock};
/// # let directory = tempfile::tempdir().unwrap();
/// # futures_executor::block_on(async {
/// # let data_dir = Some(directory.path().into());
/// # let known = Arc::new(OnceLock::new());
/// # let own = Arc::clone(&known);
/// let wrap = move |disk: Option<LowerTier>, _: Arc<dyn Judge>| {
///     disk.iter().for_each(|disk| drop(own.set(Arc::clone(disk))));
///     Ok(disk) // as it is, and known outside
/// };
/// let settings = Settings { lower: Some(Arc::new(wrap)), data_dir, ..Settings::default() };
/// let samovar = Samovar::open(settings).await?;
/// let names = samovar.cache::<String>(CachePolicy::named("product_names"));
/// names.get_or_load("42", |_| async { Ok("Tea".to_owned()) }).await?;
///
/// let disk: &LowerTier = known.get().expect("there is a data directory");
/// disk.flush().await?;
/// assert_eq!((disk.name(), disk.usage().total().entries), (TierName::Disk, 1));
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
pub type LowerTier = Arc<dyn Tier<Value = Payload>>;

/// Makes the tier below memory out of the one that would be used. It is called once, when the cache is opened, and off
/// the caller's thread. What it fails of is what opening fails of; `Ok(None)`: there is no disk tier. The judge is the
/// fence, for a tier that checks what it takes in.
///
/// ```
/// # use samovar::{Samovar, Settings, WrapLower};
/// # use samovar_core::TierName;
/// # use std::sync::Arc;
/// # let directory = tempfile::tempdir().unwrap();
/// # futures_executor::block_on(async {
/// # let data_dir = Some(directory.path().into());
/// // The directory is for the mark log alone: this disk is slow.
/// let none: Arc<WrapLower> = Arc::new(|_disk, _judge| Ok(None));
/// let samovar = Samovar::open(Settings { lower: Some(none), data_dir, ..Settings::default() }).await?;
/// let tiers: Vec<TierName> = samovar.usage().iter().map(|(tier, _)| *tier).collect();
/// assert_eq!(tiers, [TierName::Memory]);
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
///
/// A tier of your own takes the place of the disk or wraps it; it is no third one. It must call itself
/// [`crate::TierName::Disk`]: then the `disk` of each policy says whether it is used. This one counts what is looked up:
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use samovar::codec::Payload;
/// use samovar::{CachePolicy, Error, Key, LowerTier, Samovar, Settings, TierName, WrapLower};
/// use samovar_core::{BoxFuture, Entry, Got, Tier, Usage};
///
/// struct Watched {
///     disk: LowerTier,
///     lookups: Arc<AtomicU64>,
/// }
///
/// impl Tier for Watched {
///     type Value = Payload;
///
///     fn name(&self) -> TierName {
///         TierName::Disk
///     }
///     fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Got<Payload>> {
///         self.lookups.fetch_add(1, Ordering::Relaxed);
///         self.disk.get(key)
///     }
///     fn put(&self, key: &Key, entry: Entry<Payload>) {
///         self.disk.put(key, entry);
///     }
///     fn remove<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool, Error>> {
///         self.disk.remove(key)
///     }
///     fn flush(&self) -> BoxFuture<'_, Result<(), Error>> {
///         self.disk.flush()
///     }
///     fn usage(&self) -> Usage {
///         self.disk.usage()
///     }
///     // These have defaults, which are right for a tier that ends with the process: the disk does not.
///     fn room(&self) -> BoxFuture<'_, Result<(), Error>> {
///         self.disk.room()
///     }
///     fn sweep(&self) -> BoxFuture<'_, Result<(), Error>> {
///         self.disk.sweep()
///     }
///     fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
///         self.disk.close()
///     }
/// }
/// # let directory = tempfile::tempdir().unwrap();
/// # let data_dir = Some(directory.path().into());
/// # futures_executor::block_on(async {
///
/// let lookups = Arc::new(AtomicU64::new(0));
/// let counted = Arc::clone(&lookups);
/// let wrap: Arc<WrapLower> = Arc::new(move |disk, _judge| {
///     let watched = |disk| Arc::new(Watched { disk, lookups: Arc::clone(&counted) }) as LowerTier;
///     Ok(disk.map(watched))
/// });
/// let samovar = Samovar::open(Settings { lower: Some(wrap), data_dir, ..Settings::default() }).await?;
/// let policy = CachePolicy { memory: false, ..CachePolicy::named("product_names") };
/// let names = samovar.cache::<String>(policy);
/// names.get_or_load("42", |_| async { Ok("Tea".to_owned()) }).await?;
/// let answer = names.get_or_load("42", |_| async { Ok("Milk".to_owned()) }).await?;
/// assert_eq!((answer.value.as_deref().map(String::as_str), answer.tier), (Some("Tea"), Some(TierName::Disk)));
/// assert!(lookups.load(Ordering::Relaxed) >= 2);
/// samovar.close().await?;
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
pub type WrapLower =
    dyn Fn(Option<LowerTier>, Arc<dyn Judge>) -> Result<Option<LowerTier>, Error> + Send + Sync;

impl Default for Settings {
    fn default() -> Self {
        Settings {
            data_dir: None,
            memory_max_bytes: 512 << 20,
            disk_max_bytes: 4 << 30,
            journal_max_bytes: 64 << 20,
            letters_max_bytes: 16 << 20,
            redis: None,
            sweep_after: Some(Duration::from_secs(1)),
            marks_max: 100_000,
            clock: Arc::new(SystemClock::new()),
            seed: None,
            log: None,
            replica_lag: Duration::ZERO,
            log_patience: Duration::from_secs(5),
            max_blind: Duration::from_secs(600),
            serve_while_away: false,
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
            .field("journal_max_bytes", &self.journal_max_bytes)
            .field("letters_max_bytes", &self.letters_max_bytes)
            .field("redis", &self.redis)
            .field("sweep_after", &self.sweep_after)
            .field("marks_max", &self.marks_max)
            .field("seed", &self.seed)
            .field("replica_lag", &self.replica_lag)
            .field("log_patience", &self.log_patience)
            .field("max_blind", &self.max_blind)
            .field("serve_while_away", &self.serve_while_away)
            .finish_non_exhaustive()
    }
}
