//! What is put: where it is kept, and for how long.

use std::sync::Arc;

use samovar_core::{Claim, Entry, Key, Lifetime, Millis, Parts, Tick, TierName};

use super::Cache;
use super::options::PutOptions;
use super::seen::in_memory;
use crate::codec::Payload;
use crate::counters::Counted;
use crate::tier::{FOR_GOOD, Held, is_late};
use crate::value::Value;

impl<V: Value> Cache<V> {
    /// Keeps a value: in memory at once, in Redis and on disk soon (durable after [`crate::Samovar::flush`]), each if
    /// the policy says so, and unless what stands there was read later. The parts bear stamps made from a token taken
    /// before their source was read. Never waits.
    ///
    /// Gives the value back, shared with memory, for who goes on to use it: also if nothing was kept, because a mark
    /// covers it already, what stands there was read later, or it is larger than a tier takes.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Samovar, Settings};
    /// # use samovar_core::{Mode, Part, Parts, Scope, Stamp};
    /// # use std::sync::Arc;
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// # let prices = samovar.cache::<String>(CachePolicy::named("prices"));
    /// let stamp = Stamp::new(prices.token(), samovar.clock().now()); // before the source is read
    /// let price = "12.50".to_owned(); // SELECT price …
    /// let parts: Parts = [Part { span: None, stamp }].into();
    /// let put = prices.put("42", price, parts.clone());
    /// assert!(Arc::ptr_eq(&put, &prices.peek("42").expect("memory has it at once").value()));
    ///
    /// // Nothing that was read before this is kept any more.
    /// samovar.mark(vec![Scope::Cache("prices".into())], Mode::Remove, "new list").await?;
    /// let put = prices.put("43", "9.90".to_owned(), parts);
    /// assert!(*put == "9.90" && prices.peek("43").is_none());
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn put(&self, key: &str, value: impl Into<Arc<V>>, parts: Parts) -> Arc<V> {
        self.put_with(key, value, parts, PutOptions::default())
    }

    /// Keeps a value below memory alone, for bulk loads of what will not be read soon. What memory held under the key
    /// is forgotten, unless it was read later: then nothing is kept.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Samovar, Settings};
    /// # use samovar_core::{Part, Stamp, TierName};
    /// # let directory = tempfile::tempdir().unwrap();
    /// # futures_executor::block_on(async {
    /// # let data_dir = Some(directory.path().into());
    /// # let settings = Settings { data_dir, ..Settings::default() };
    /// # let samovar = Samovar::open(settings).await?;
    /// # let prices = samovar.cache::<String>(CachePolicy::named("prices"));
    /// let stamp = Stamp::new(prices.token(), samovar.clock().now()); // before the source is read
    /// prices.put_below("42", "12.50".to_owned(), [Part { span: None, stamp }].into());
    /// assert!(prices.peek("42").is_none(), "memory is left to what is read");
    /// assert_eq!(prices.get("42").await.expect("it is on disk").tier, TierName::Disk);
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn put_below(&self, key: &str, value: impl Into<Arc<V>>, parts: Parts) -> Arc<V> {
        self.put_with(key, value, parts, PutOptions { below: true, ..PutOptions::default() })
    }

    /// As [`Cache::put`], with options.
    ///
    /// ```
    /// # use samovar::{CachePolicy, PutOptions, Samovar, Settings};
    /// # use samovar_core::{Mode, Part, Scope, Stamp, Tags};
    /// # use std::time::Duration;
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// # let prices = samovar.cache::<String>(CachePolicy { jitter: 0.0, ..CachePolicy::named("prices") });
    /// let options = PutOptions {
    ///     tags: Tags::new(["campaign:spring"])?,
    ///     ttl: Some(Duration::from_secs(5)),
    ///     ..PutOptions::default()
    /// };
    /// let stamp = Stamp::new(prices.token(), samovar.clock().now());
    /// prices.put_with("42", "9.90".to_owned(), [Part { span: None, stamp }].into(), options);
    /// assert_eq!(prices.peek("42").expect("it was put").lifetime().ttl, Duration::from_secs(5));
    ///
    /// samovar.mark(vec![Scope::Tag("campaign:spring".into())], Mode::Remove, "it is over").await?;
    /// assert!(prices.peek("42").is_none());
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn put_with(
        &self,
        key: &str,
        value: impl Into<Arc<V>>,
        parts: Parts,
        options: PutOptions,
    ) -> Arc<V> {
        let value = value.into();
        let key = self.key(key, self.inner.clock.now());
        let PutOptions { tags, below, ttl, stale_window } = options;
        let lifetime = self.policy.lifetime(ttl.unwrap_or(self.policy.ttl), stale_window);
        let lifetime = self.spread(lifetime);
        self.fill(&key, &Entry { value: Some(Arc::clone(&value)), parts, tags, lifetime }, below);
        value
    }

    /// Keeps a value, or that there is none, unless what was written here is newer.
    pub(super) fn fill(&self, key: &Key, entry: &Entry<Option<Arc<V>>>, below: bool) {
        if self.is_written(Key::bare(&key.id)) {
            self.inner.counters.count(Counted::FillRefused, 1);
        } else {
            self.keep(key, entry, below);
        }
    }

    /// Keeps a value, or that there is none.
    pub(crate) fn keep(&self, key: &Key, entry: &Entry<Option<Arc<V>>>, below: bool) {
        let memory = self.inner.stack.memory();
        let now = self.inner.clock.now();
        // It would be refused at every read, wherever it stood: keeping it saves nothing.
        if self.inner.fence.survey(&key.cache, &key.id, entry.claim(), Tick(0), now).dead {
            self.inner.counters.count(Counted::FillRefused, 1);
            return;
        }
        let mut late = false;
        if below || !self.policy.memory {
            if let Some(held) = memory.find_key(key).filter(|_| below) {
                late = self.stays(key, &held, entry.claim());
                if !late {
                    memory.forget(&held);
                }
            }
        } else {
            let shared = in_memory(entry.value.as_ref());
            let stays = |held: &Held| self.stays(key, held, entry.claim());
            self.counters.set(TierName::Memory);
            late = !memory.keep(key, entry.with(shared), self.memory_until(now), stays);
        }
        if late {
            // What stands in memory was handed to the tiers below too, or came from there.
            self.inner.counters.count(Counted::FillRefused, 1);
        } else {
            self.write_below(key, entry);
        }
    }

    /// Whether what memory holds stays although something else is to be put: it was read later, and may be
    /// served as well.
    fn stays(&self, key: &Key, held: &Held, put: Claim<'_>) -> bool {
        is_late(put.parts, held.parts(), |stamp| stamp.tick.0)
            && self.verdict(key, held.claim()) <= self.verdict(key, put)
    }

    fn write_below(&self, key: &Key, entry: &Entry<Option<Arc<V>>>) {
        if !self.has_below() {
            return;
        }
        let payload = match &entry.value {
            Some(value) => self.packer.pack(&**value),
            None => Ok(Payload::absent()),
        };
        match payload {
            Ok(payload) => {
                let entry = entry.with(payload);
                self.inner.stack.put_below(&self.policy, key, &entry, &self.counters);
            }
            Err(error) => {
                self.inner.counters.count(Counted::FillDropped, 1);
                let now = self.inner.clock.now();
                self.inner.counters.say(now, format!("{key} was kept in memory alone: {error}"));
            }
        }
    }

    /// A lifetime, spread.
    pub(crate) fn spread(&self, lifetime: Lifetime) -> Lifetime {
        let spread = 1.0 + self.policy.jitter.clamp(0.0, 1.0) * self.inner.jitter.next();
        // Also where the jitter is no number.
        let spread = if spread.is_finite() { spread } else { 1.0 };
        Lifetime { ttl: lifetime.ttl.mul_f64(spread), ..lifetime }
    }

    /// Up to when memory answers by itself for what it takes in now.
    pub(super) fn memory_until(&self, now: Millis) -> Millis {
        self.policy.memory_ttl.map_or(FOR_GOOD, |own| now.plus(own))
    }
}
