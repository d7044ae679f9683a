//! Contract suites for tiers, logs and sources, and the doubles that drive them.

#[cfg(feature = "browser")]
pub mod browser;
pub mod clock;
pub mod gate;
pub mod log;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod programs;
#[cfg(feature = "redis")]
pub mod redis;
pub mod rows;
pub mod skip;
pub mod source;
pub mod tier;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod watch;
