//! Contract suites for tiers, logs and sources, and the doubles that drive them.
//!
//! * [`tier`], [`mod@log`], [`source`], [`rows`]: what every tier, log, source and database of rows promises, as suites
//!   to be run over one of your own.
//! * [`clock`], [`gate`], [`log::StepLog`]: a clock, a tier and a log that go by hand.
//! * `redis`, `postgres`, `browser`, each behind the feature of that name: real servers on free ports, and a real browser,
//!   which end with the test that started them.
//! * [`skip`]: saying aloud that a test could not run.
//!
//! ```
//! use std::time::Duration;
//!
//! use samovar_core::{Clock, Millis};
//! use samovar_testkit::clock::FakeClock;
//!
//! // What is tested is handed the clock; the test lets time pass.
//! let clock = FakeClock::at(Millis(1_790_000_000_000));
//! let timeout = clock.sleep(Duration::from_secs(30));
//! clock.advance(Duration::from_secs(30));
//! futures_executor::block_on(timeout); // at once
//! ```

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
