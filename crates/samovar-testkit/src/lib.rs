//! Contract suites for tiers, logs and sources, and the doubles that drive them.

#[cfg(feature = "browser")]
pub mod browser;
pub mod clock;
pub mod gate;
pub mod log;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "postgres")]
mod programs;
pub mod skip;
pub mod source;
pub mod tier;
#[cfg(feature = "postgres")]
mod watch;
