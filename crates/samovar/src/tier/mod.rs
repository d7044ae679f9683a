//! Where values are kept. A tier knows no other tier; only `stack` knows their order.

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
