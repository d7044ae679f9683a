//! Writing: what becomes of a value that goes to the source through the cache.
//!
//! * `through`: the source is written, then the key is marked, whatever the source answered. Under write-through an
//!   *intent* stands in the journal meanwhile: one that is found when the cache is opened again is marked.
//! * `back`: the write stands in the journal and is acknowledged; this node reads it from there
//!   ([`crate::Cache::unwritten`]). `replay`: it is brought to the source, in order. `deliver`: by one call, and it leaves
//!   the journal once its mark is durable and applied here. `letters`: what the source would not have.
//!
//! * `course`: when the source is left alone. `pace`: when replay gives way to those who write. `record`: what stands in
//!   the journal. `books`: which of it is whose.

mod back;
mod books;
mod course;
mod deliver;
mod letters;
mod pace;
mod record;
mod replay;
mod through;

use std::sync::Arc;
use std::time::Duration;

use samovar_core::{Error, Tags, Version, WriteId};

pub(crate) use books::{FILE, Writes};
pub use letters::DeadLetter;
pub(crate) use replay::start;
pub(crate) use through::recover;

use crate::cache::Cache;
use crate::policy::Strategy;
use crate::value::Value;

/// How a value is written, where a call wants it otherwise than the policy of the cache.
///
/// ```
/// # use samovar::WriteOptions;
/// # use std::time::Duration;
/// # use samovar::{CachePolicy, Samovar, Settings, Strategy};
/// # futures_executor::block_on(async {
/// # let samovar = Samovar::open(Settings::default()).await?;
/// let policy = CachePolicy { strategy: Strategy::WriteThrough, jitter: 0.0, ..CachePolicy::named("prices") };
/// let prices = samovar.cache::<String>(policy);
/// let brief = WriteOptions { ttl: Some(Duration::from_secs(5)), ..WriteOptions::default() };
/// prices.write_with("42", "9.90".to_owned(), brief).await?;
/// let kept = prices.peek("42").expect("it was kept");
/// assert_eq!(kept.lifetime().ttl, Duration::from_secs(5));
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WriteOptions {
    /// How long it is fresh where it is kept, in place of the policy's `ttl`.
    pub ttl: Option<Duration>,
    /// Its tags: a mark on any of them covers it.
    pub tags: Tags,
}

/// A write that was acknowledged.
///
/// ```
/// # use samovar::{CachePolicy, Samovar, Settings};
/// # futures_executor::block_on(async {
/// # let samovar = Samovar::open(Settings::default()).await?;
/// let names = samovar.cache::<String>(CachePolicy::named("names")); // cache-aside, and no writer
/// names.get_or_load("42", |_| async { Ok("Tea".to_owned()) }).await?;
/// // The caller has written the source; this marks the key.
/// let written = names.write("42", "Green tea".to_owned()).await?;
/// assert!(written.version.is_some_and(|version| version.seq <= samovar.fence().position().seq));
/// assert!(names.peek("42").is_none(), "the next read loads it");
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Which it is: what its [`samovar_core::Writer`] was or will be given. A dead letter has a number of its own.
    pub id: WriteId,
    /// The version of its mark; `None` under [`Strategy::WriteBack`], where that is yet to come.
    pub version: Option<Version>,
}

impl<V: Value> Cache<V> {
    /// Writes a value, by the [`Strategy`] of the policy. It is brought to its end though the future be dropped.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use samovar::{CachePolicy, Samovar, Settings, Strategy};
    /// use samovar_core::{BoxFuture, Write, WriteError, Writer};
    ///
    /// struct Table;
    ///
    /// impl Writer<String> for Table {
    ///     fn write<'a>(&'a self, writes: &'a [Write<String>]) -> BoxFuture<'a, Vec<Result<(), WriteError>>> {
    ///         // INSERT … ON CONFLICT DO UPDATE …
    ///         Box::pin(async move { writes.iter().map(|_| Ok(())).collect() })
    ///     }
    /// }
    ///
    /// # futures_executor::block_on(async {
    /// let samovar = Samovar::open(Settings::default()).await?;
    /// let policy = CachePolicy { strategy: Strategy::WriteThrough, ..CachePolicy::named("names") };
    /// let names = samovar.cache_with_writer(policy, Arc::new(Table));
    /// names.write("42", "Green tea".to_owned()).await?;
    /// assert_eq!(*names.peek("42").expect("it was kept"), "Green tea");
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// What its writer says, a [`samovar_core::WriteError`], is the error's source: by that a caller knows whether the
    /// source may have it. Of kind [`samovar_core::ErrorKind::Timeout`] if the writer took longer than its deadline; of
    /// kind [`samovar_core::ErrorKind::Storage`] if the journal or the log fails; [`samovar_core::ErrorKind::Full`] if what
    /// waits in the journal, or the cache's dead letters, have come to their limit; [`samovar_core::ErrorKind::Invalid`] if
    /// the strategy needs a `data_dir` and there is none. Of kind [`samovar_core::ErrorKind::Away`], if a shared log is away
    /// and there is no `data_dir`: the source has it then, and the mark stands here and is sent until the log has it.
    pub async fn write(&self, key: &str, value: impl Into<Arc<V>>) -> Result<Written, Error> {
        self.write_with(key, value, WriteOptions::default()).await
    }

    /// As [`Cache::write`], with options for this call.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use samovar::{CachePolicy, Samovar, Settings, Strategy, WriteOptions};
    /// # use samovar_core::{Mode, Scope, Tags};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// let policy = CachePolicy { strategy: Strategy::WriteThrough, ..CachePolicy::named("prices") };
    /// let prices = samovar.cache::<String>(policy);
    /// let of_sale = WriteOptions { tags: Tags::new(["sale"])?, ..WriteOptions::default() };
    /// prices.write_with("42", "9.90".to_owned(), of_sale).await?;
    /// assert_eq!(*prices.peek("42").expect("it was kept"), "9.90");
    /// samovar.mark(vec![Scope::Tag("sale".into())], Mode::Remove, "the sale is over").await?;
    /// assert!(prices.peek("42").is_none());
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As there.
    pub async fn write_with(
        &self,
        key: &str,
        value: impl Into<Arc<V>>,
        options: WriteOptions,
    ) -> Result<Written, Error> {
        self.dispatch(key, Some(value.into()), options).await
    }

    /// Deletes a row, by the [`Strategy`] of the policy: as [`Cache::write`] does, with no value.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Samovar, Settings, Strategy};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// # let policy = CachePolicy { strategy: Strategy::WriteThrough, ..CachePolicy::named("prices") };
    /// # let prices = samovar.cache::<String>(policy);
    /// prices.write("42", "9.90".to_owned()).await?;
    /// prices.delete("42").await?;
    /// assert!(prices.get("42").await.is_none());
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As there.
    pub async fn delete(&self, key: &str) -> Result<Written, Error> {
        self.dispatch(key, None, WriteOptions::default()).await
    }

    async fn dispatch(
        &self,
        key: &str,
        value: Option<Arc<V>>,
        options: WriteOptions,
    ) -> Result<Written, Error> {
        // What was acknowledged before is written before, though the strategy be another now.
        if self.policy.strategy == Strategy::WriteBack || self.is_written(key) {
            self.accept(key, value, options).await
        } else {
            self.write_now(key, value, options).await
        }
    }
}
