//! A tiered cache that is warm before anyone asks, and never serves what it was told is gone.
//!
//! A [`Samovar`] keeps the values of named [`Cache`]s in memory, in Redis and on disk, each tier within one budget of bytes.
//! What makes it different is what happens when the data behind it change: an invalidation is a *mark* in a
//! log, durable before it is acknowledged, and **every read asks the fence** whether a mark covers what it
//! found. So it does not matter who filled a tier, when, or how slowly: a load that began before the change, a
//! promotion, a write that was queued, a restart after a crash. None of them brings back what was
//! invalidated, and no lock, lease or clock is needed for that.
//!
//! ```
//! use std::time::Duration;
//!
//! use samovar::{CachePolicy, Outcome, Samovar, Settings};
//! use samovar_core::{Key, Mode, Scope};
//!
//! # futures_executor::block_on(async {
//! let samovar = Samovar::open(Settings::default()).await?; // with `data_dir` it outlives the process
//! let names = samovar.cache::<String>(CachePolicy {
//!     ttl: Duration::from_secs(600),
//!     ..CachePolicy::named("product_names")
//! });
//!
//! // One load per key, however many ask.
//! let answer = names.get_or_load("42", |_| async { Ok("Tea".to_owned()) }).await?;
//! assert_eq!(answer.value.as_deref().map(String::as_str), Some("Tea"));
//! assert_eq!(answer.outcome, Outcome::Loaded);
//!
//! // The product was renamed; once this returns nobody is given the old name.
//! let scope = Scope::Key(Key::new("product_names", "42"));
//! samovar.mark(vec![scope], Mode::Remove, "renamed").await?;
//! let answer = names.get_or_load("42", |_| async { Ok("Green tea".to_owned()) }).await?;
//! assert_eq!(answer.value.as_deref().map(String::as_str), Some("Green tea"));
//! # Ok::<(), samovar_core::Error>(())
//! # }).unwrap();
//! ```
//!
//! * [`Cache::peek`] and [`Cache::get`] give what is there as a [`Found`]: judged part by part, since a value may
//!   be made of parts (a store's days) that go stale by themselves.
//! * [`Cache::put`] takes the stamps of those parts, made from a [`Cache::token`] that was taken *before* the
//!   source was read: the one rule that callers must keep.
//! * [`Samovar::mark`] covers a key, a pattern of keys, a tag, a partition, a cache or everything; `Remove` means never again, `Expire`
//!   means labelled as stale until it is read again.
//! * [`Cache::get_or_load`] goes by the cache's [`CachePolicy`]: stale values are served while they are read again,
//!   failing sources are left alone, absent rows are remembered; [`ReadOptions`] say otherwise for one call.
//! * [`Cache::write`] brings a value to the source, by a [`Strategy`]: through the cache, back from a journal that
//!   is durable before the call returns, or aside.
//! * [`codec::Json`] and [`codec::MessagePack`] make values of any type that serde knows.
//! * [`flight::Flights`] shares loads among those who ask at once.
//!
//! * [`Settings::redis`] puts a Redis between memory and disk (cargo feature `redis`).
//!
//! It needs no runtime: files are written and read on threads of its own; Redis, and what goes on in the background, run on
//! the caller's tokio runtime or, where there is none, on one thread of its own; and everything else happens on the thread
//! that asks.

mod background;
mod cache;
pub mod codec;
mod counters;
mod directory;
pub mod fence;
mod file;
pub mod flight;
mod jitter;
mod journal;
#[cfg(feature = "redis")]
mod lease;
#[cfg(not(feature = "redis"))]
#[path = "no_lease.rs"]
mod lease;
mod policy;
mod random;
pub mod redis;
mod samovar;
mod settings;
pub mod tier;
mod value;
mod write;

pub use crate::cache::{
    Answer, Cache, Found, Load, LoadMany, Loaded, Outcome, PutOptions, ReadOptions,
};
pub use crate::counters::{Counters, Event, Notice, Outcomes, Snapshot};
pub use crate::directory::{Cleared, clear};
pub use crate::fence::Fence;
pub use crate::policy::{CachePolicy, KeyVersion, Problem, Strategy, check};
pub use crate::samovar::Samovar;
pub use crate::settings::{LowerTier, Settings, WrapLower};
pub use crate::value::Value;
pub use crate::write::{DeadLetter, WriteOptions, Written};
