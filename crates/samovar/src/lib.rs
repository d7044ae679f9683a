//! A tiered cache that never serves what it was told is gone.
//!
//! A [`Samovar`] keeps the values of named [`Cache`]s in memory and, where its [`Settings`] say so, in Redis and on disk;
//! memory and disk each within a budget of bytes. What makes it different is what happens when the data behind it change:
//! an invalidation is a *mark* in a log, durable before it is acknowledged, and **every read asks the fence** whether a mark
//! covers what it found. So it does not matter who filled a tier, when, or how slowly: a load that began before the change,
//! a promotion, a write that was queued, a restart after a crash. None of them brings back what was invalidated, and no
//! lock, lease or clock is needed for that.
//!
//! # Two tiers in ten lines
//!
//! ```
//! use std::time::Duration;
//!
//! use samovar::{CachePolicy, Samovar, Settings};
//!
//! # let directory = tempfile::tempdir().unwrap();
//! # let data_dir = directory.path().to_owned();
//! # futures_executor::block_on(async {
//! let samovar = Samovar::open(Settings { data_dir: Some(data_dir), ..Settings::default() }).await?;
//! let policy = CachePolicy { ttl: Duration::from_secs(600), ..CachePolicy::named("product_names") };
//! let names = samovar.cache::<String>(policy); // in memory, and on disk below it
//!
//! // One load per key, however many ask; `Err` is what the source said, `Loaded::absent()` that it has no such row.
//! let answer = names.get_or_load("42", |_| async { Ok("Tea".to_owned()) }).await?;
//! assert_eq!(answer.value.as_deref().map(String::as_str), Some("Tea"));
//! samovar.close().await?; // the next start finds it on disk
//! # Ok::<(), samovar::Error>(())
//! # }).unwrap();
//! ```
//!
//! With [`Settings::redis`] and the cargo feature `redis` there is a third tier between the two, which nodes may share. All
//! is awaited, on any executor: files are written and read on threads of its own; Redis, and what goes on in the
//! background, run on the caller's tokio runtime or, where there is none, on one thread of its own; everything else happens
//! on the thread that asks.
//!
//! # When the data change
//!
//! ```
//! # use samovar::{CachePolicy, Samovar, Settings};
//! use samovar::{Key, Mode, Scope};
//! # futures_executor::block_on(async {
//! # let samovar = Samovar::open(Settings::default()).await?;
//! # let names = samovar.cache::<String>(CachePolicy::named("product_names"));
//! # names.get_or_load("42", |_| async { Ok("Tea".to_owned()) }).await?;
//!
//! // The product was renamed; once this returns nobody is given the old name here. Other nodes of a shared log give it
//! // until they have heard, at most for the log's lease, and then with a label.
//! let scope = Scope::Key(Key::new("product_names", "42"));
//! samovar.mark(vec![scope], Mode::Remove, "renamed").await?;
//! let answer = names.get_or_load("42", |_| async { Ok("Green tea".to_owned()) }).await?;
//! assert_eq!(answer.value.as_deref().map(String::as_str), Some("Green tea"));
//! # Ok::<(), samovar::Error>(())
//! # }).unwrap();
//! ```
//!
//! [`Samovar::mark`] covers a key, a pattern of keys, a tag, a partition, a cache or everything; `Remove` means never again,
//! `Expire` means labelled as stale until it is read again.
//!
//! # Which policy
//!
//! A [`CachePolicy`] says how one cache treats its source and its readers: lifetimes and their spread, stale values while
//! they are read again, failing sources left alone, absent rows remembered, tiers, compression. [`ReadOptions`] say
//! otherwise for one call. What a write does is its [`Strategy`]:
//!
//! | | [`Cache::write`] returns when | the next read |
//! |---|---|---|
//! | [`Strategy::CacheAside`] | the source has it and the key is marked | loads it |
//! | [`Strategy::WriteThrough`] | the same, and it is kept | finds it |
//! | [`Strategy::WriteBack`] | it is durable in a journal on this node; the source has it later | finds it, on this node |
//!
//! The source is written by a [`Writer`] ([`Samovar::cache_with_writer`]). Without one the caller of
//! [`Strategy::CacheAside`] has written it before; under the others the value stands in the cache alone.
//!
//! # Over HTTP
//!
//! The program `samovar` serves named caches of JSON documents to any language, by the same policies: each is a table of its
//! configuration, such as `[caches.notes]` with `ttl = "1h"`, beside a source, a dataset and a measure.
//! `samovar serve --config samovar.toml` listens on `127.0.0.1:8051`; then `curl -X PUT http://127.0.0.1:8051/api/cache/notes/42 -H 'content-type: application/json' -d
//! '{"text": "tea"}'` puts one, and `curl http://127.0.0.1:8051/api/cache/notes/42` reads it. The project's page
//! `docs/http-cache.md` has all of its doors.
//!
//! # What is where
//!
//! * [`Cache::get_or_load`] reads by the policy; [`Cache::peek`] and [`Cache::get`] give what is there as a [`Found`]: judged
//!   part by part, since a value may be made of parts (a store's days) that go stale by themselves.
//! * [`Cache::put`] takes the stamps of those parts, made from a [`Cache::token`] that was taken *before* the
//!   source was read: the one rule that callers must keep.
//! * [`codec::Json`] and [`codec::MessagePack`] make values of any type that serde knows; [`Value`] is for others.
//! * [`Samovar::counters`] and [`Samovar::usage`] tell how it goes.
//! * [`flight::Flights`] shares loads among those who ask at once; [`fence`] and [`tier`] are for those who build on them.
//! * The words and contracts are those of the crate `samovar_core`; the usual ones stand here too.

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
pub use crate::counters::{Counted, Counters, Counts, LookupCounts, Notice};
pub use crate::directory::{Cleared, clear};
pub use crate::fence::Fence;
pub use crate::policy::{CachePolicy, KeyVersion, Problem, Strategy, check};
pub use crate::samovar::{MarkOptions, Samovar};
pub use crate::settings::{LowerTier, Settings, WrapLower};
pub use crate::value::Value;
pub use crate::write::{DeadLetter, WriteOptions, Written};
#[doc(no_inline)]
pub use samovar_core::{
    Error, ErrorKind, Key, Mode, Part, Parts, Pattern, Scope, Stamp, Tags, TierName, Token,
    Verdict, Version, Write, WriteError, WriteId, Writer,
};
