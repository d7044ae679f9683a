//! Where values are kept: in memory, in Redis and on disk. A tier knows no other tier, and whatever it gives back is
//! judged by the reader.
//!
//! Users choose tiers by [`crate::Settings`]: [`memory_max_bytes`](crate::Settings::memory_max_bytes),
//! [`redis`](crate::Settings::redis), and [`data_dir`](crate::Settings::data_dir) with
//! [`disk_max_bytes`](crate::Settings::disk_max_bytes). The types here are for who writes a tier of their own
//! ([`crate::Settings::lower`]), or tests one: they are the implementations of [`samovar_core::Tier`] that there are.
//!
//! ```
//! use samovar::{CachePolicy, Samovar, Settings};
//! use samovar_core::TierName;
//!
//! # let directory = tempfile::tempdir().unwrap();
//! # let data_dir = Some(directory.path().into());
//! # futures_executor::block_on(async {
//! let settings = Settings { data_dir, memory_max_bytes: 64 << 20, ..Settings::default() };
//! let samovar = Samovar::open(settings).await?;
//! let names = samovar.cache::<String>(CachePolicy::named("names"));
//! names.get_or_load("42", |_token| async { Ok("Tea".to_owned()) }).await?;
//! samovar.flush().await?;
//! let usage = samovar.usage();
//! assert_eq!(usage.iter().map(|(tier, _)| *tier).collect::<Vec<_>>(), [TierName::Memory, TierName::Disk]);
//! assert!(usage.iter().all(|(_, usage)| usage.caches["names"].entries == 1), "it is in both");
//! # Ok::<(), samovar_core::Error>(())
//! # }).unwrap();
//! ```

// Only `stack` knows their order.

pub(crate) mod breaker;
pub(crate) mod disk;
mod late;
mod memory;
#[cfg(feature = "redis")]
pub(crate) mod redis;
#[cfg(not(feature = "redis"))]
#[path = "no_redis.rs"]
pub(crate) mod redis;
pub(crate) mod stack;

#[cfg(feature = "redis")]
pub use self::redis::RedisTier;
pub use disk::{DiskOptions, DiskTier};
pub(crate) use late::{is_late, is_same};
pub(crate) use memory::{CacheNumber, FOR_GOOD, Held, leave_in_time};
pub use memory::{MemoryTier, Shared};
