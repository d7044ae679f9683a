//! The contract of a tier as tests.
#![allow(clippy::unwrap_used, reason = "a suite fails by panicking: its caller is a test")]

use std::thread;
use std::time::Duration;

use futures_executor::block_on;
use samovar_core::{
    CacheUsage, Day, Entry, Key, Lifetime, Millis, Need, Part, Parts, Span, Stamp, Tags, Tick,
    Tier, Version,
};

/// How a suite makes and reads the values of a tier.
///
/// For a tier that keeps bytes and believes the stamps it is handed:
///
/// ```
#[doc = include_str!("tier/example.txt")]
/// use std::time::Duration;
///
/// use samovar_core::{Clock, Epoch, SystemClock, Version};
/// use samovar_testkit::tier::Subject;
///
/// # use futures_executor::block_on;
/// # use samovar_core::{Key, Tier};
/// # fn main() -> Result<(), samovar_core::Error> {
/// let subject = Subject::<Table> {
///     make: |bytes| bytes.into(),
///     read: |value| value.to_vec(),
///     version: Version { epoch: Epoch(7), seq: 42 },
///     read_at: SystemClock::new().now(),
///     drift: Duration::ZERO,
/// };
/// let (table, key) = (Table::default(), Key::new("names", "42"));
/// table.put(&key, subject.entry(b"Tea"));
/// let found = block_on(table.get(&key))?.map(|entry| (subject.read)(&entry.value));
/// assert_eq!(found, Some(b"Tea".to_vec()));
/// # Ok(())
/// # }
/// ```
pub struct Subject<T: Tier> {
    /// A value that holds these bytes.
    pub make: fn(&[u8]) -> T::Value,
    /// The bytes of a value.
    pub read: fn(&T::Value) -> Vec<u8>,
    /// A version that the tier's judge finds on the history and covered by no mark.
    pub version: Version,
    /// When the parts are said to have been read.
    pub read_at: Millis,
    /// By how much that may differ when they come back, where a tier goes by its own clock.
    pub drift: Duration,
}

const LIFETIME: Lifetime =
    Lifetime { ttl: Duration::from_millis(3_600_001), stale_window: Duration::from_secs(7) };

impl<T: Tier> Subject<T> {
    fn parts(&self) -> Parts {
        let stamp = Stamp { version: self.version, tick: Tick(0), read_at: self.read_at };
        let span = Span { store: "门店7".into(), from: Day(20_000), to: Day(20_030) };
        [Part { span: Some(span), stamp }, Part { span: None, stamp }].into()
    }

    fn tags() -> Tags {
        Tags::new(["supplier:7", "夏"]).unwrap()
    }

    /// An entry with this value, in two parts, with two tags.
    ///
    /// ```
    #[doc = include_str!("tier/example.txt")]
    /// # // A subject as above.
    /// # let subject = subject();
    /// let entry = subject.entry(b"Tea");
    /// assert_eq!((&*entry.value, entry.parts.len()), (&b"Tea"[..], 2));
    /// assert!(entry.parts.iter().all(|part| part.stamp.version == subject.version));
    /// ```
    pub fn entry(&self, bytes: &[u8]) -> Entry<T::Value> {
        Entry {
            value: (self.make)(bytes),
            parts: self.parts(),
            tags: Self::tags(),
            lifetime: LIFETIME,
        }
    }

    fn get(&self, tier: &T, key: &Key) -> Option<Vec<u8>> {
        self.check(key, &block_on(tier.get(key)).unwrap()?)
    }

    fn check(&self, key: &Key, entry: &Entry<T::Value>) -> Option<Vec<u8>> {
        assert_eq!(entry.parts.len(), self.parts().len(), "{key}: its parts come back");
        for (found, put) in entry.parts.iter().zip(self.parts().iter()) {
            let stamp = Stamp { read_at: put.stamp.read_at, ..found.stamp };
            assert_eq!((&found.span, stamp), (&put.span, put.stamp), "{key}: its stamps come back");
            let drift = found.stamp.read_at.0.abs_diff(put.stamp.read_at.0);
            assert!(u128::from(drift) <= self.drift.as_millis(), "{key}: {drift} ms off");
        }
        assert_eq!(entry.tags, Self::tags(), "{key}: so do its tags");
        assert_eq!(entry.lifetime, LIFETIME, "{key}: so does its lifetime");
        Some((self.read)(&entry.value))
    }
}

fn bytes(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed)).collect()
}

/// What a tier promises that has a budget of its own. `fresh` makes an empty one with a budget of so many bytes.
///
/// A tier of one's own that keeps to a budget:
///
/// ```
/// use std::collections::BTreeMap;
/// use std::future::ready;
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use parking_lot::Mutex;
/// use samovar_core::{
///     BoxFuture, Clock, Entry, Epoch, Error, Got, Key, SystemClock, Tier, TierName, Usage,
///     Version,
/// };
/// use samovar_testkit::tier::{Subject, suite};
///
/// type Held = BTreeMap<Key, Entry<Arc<[u8]>>>;
///
/// struct Shelf {
///     max_bytes: u64,
///     held: Mutex<Held>,
/// }
///
/// fn usage(held: &Held, max_bytes: u64) -> Usage {
///     let mut usage = Usage { max_bytes, ..Usage::default() };
///     for (key, entry) in held {
///         let cache = usage.caches.entry(key.cache.clone()).or_default();
///         cache.entries += 1;
///         cache.bytes += (key.id.len() + entry.value.len()) as u64;
///     }
///     usage
/// }
///
/// impl Tier for Shelf {
///     type Value = Arc<[u8]>;
///
///     fn name(&self) -> TierName {
///         TierName::Memory
///     }
///     fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Got<Arc<[u8]>>> {
///         Box::pin(ready(Ok(self.held.lock().get(key).cloned())))
///     }
///     fn put(&self, key: &Key, entry: Entry<Arc<[u8]>>) {
///         let mut held = self.held.lock();
///         held.remove(key); // older, even if the new one is turned down
///         if (key.id.len() + entry.value.len()) as u64 <= self.max_bytes {
///             held.insert(key.clone(), entry);
///         }
///         while usage(&held, self.max_bytes).total().bytes > self.max_bytes {
///             held.pop_first();
///         }
///     }
///     fn remove<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool, Error>> {
///         Box::pin(ready(Ok(self.held.lock().remove(key).is_some())))
///     }
///     fn flush(&self) -> BoxFuture<'_, Result<(), Error>> {
///         Box::pin(ready(Ok(()))) // it does not outlive the process
///     }
///     fn usage(&self) -> Usage {
///         usage(&self.held.lock(), self.max_bytes)
///     }
/// }
///
/// // As a test.
/// fn a_shelf_keeps_the_contract() {
///     let subject = Subject::<Shelf> {
///         make: |bytes| bytes.into(),
///         read: |value| value.to_vec(),
///         version: Version { epoch: Epoch(7), seq: 42 },
///         read_at: SystemClock::new().now(),
///         drift: Duration::ZERO,
///     };
///     suite(|max_bytes| Shelf { max_bytes, held: Mutex::default() }, &subject);
/// }
/// # a_shelf_keeps_the_contract();
/// ```
pub fn suite<T: Tier>(fresh: impl Fn(u64) -> T, subject: &Subject<T>) {
    let roomy = || fresh(64 << 20);
    common_suite(roomy, subject);
    counts_what_it_holds(&roomy(), subject);
    stays_within_its_budget(&fresh(1 << 20), 1 << 20, subject);
    turns_down_what_is_too_large(&fresh(1 << 20), subject);
}

/// What every tier promises. `fresh` makes an empty one.
///
/// A tier without a budget, such as the table in memory of [`Tier`]'s example:
///
/// ```
#[doc = include_str!("tier/example.txt")]
/// use samovar_testkit::tier::common_suite;
///
/// # // A subject as above.
/// # let subject = subject();
/// common_suite(Table::default, &subject);
/// ```
pub fn common_suite<T: Tier>(fresh: impl Fn() -> T, subject: &Subject<T>) {
    gives_back_what_was_put(&fresh(), subject);
    keeps_keys_apart(&fresh(), subject);
    forgets_what_was_removed(&fresh(), subject);
    gives_many_in_their_order(&fresh(), subject);
    gives_whole_values_to_many_threads(&fresh(), subject);
}

/// What a durable tier promises beside that. `open` opens the same place, again and again; it is empty at first.
///
/// What is on the disk is there for whoever opens it next, and who has closed it writes no more:
///
/// ```
/// # use std::collections::HashMap;
/// # use std::future::ready;
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicBool, Ordering};
///
/// # use parking_lot::Mutex;
/// use samovar_core::{BoxFuture, Entry, Error, ErrorKind, Key, Tier};
/// use samovar_testkit::tier::durable_suite;
/// # use samovar_core::{Clock, Epoch, Got, SystemClock, TierName, Usage, Version};
/// # use samovar_testkit::tier::Subject;
///
/// # type Disk = Arc<Mutex<HashMap<Key, Entry<Arc<[u8]>>>>>;
/// struct Opened {
///     disk: Disk, // stands for a file
///     closed: AtomicBool,
/// }
///
/// impl Tier for Opened {
///     type Value = Arc<[u8]>;
///     fn put(&self, key: &Key, entry: Entry<Arc<[u8]>>) {
///         if !self.closed.load(Ordering::SeqCst) {
///             self.disk.lock().insert(key.clone(), entry);
///         }
///     }
///     fn flush(&self) -> BoxFuture<'_, Result<(), Error>> {
///         let closed = self.closed.load(Ordering::SeqCst);
///         let gone = || Error::new(ErrorKind::Closed, "the tier is closed");
///         Box::pin(ready(if closed { Err(gone()) } else { Ok(()) }))
///     }
///     fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
///         self.closed.store(true, Ordering::SeqCst);
///         Box::pin(ready(Ok(())))
///     }
///     // … and the rest as any tier has it.
/// #     fn name(&self) -> TierName {
/// #         TierName::Disk
/// #     }
/// #     fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Got<Arc<[u8]>>> {
/// #         Box::pin(ready(Ok(self.disk.lock().get(key).cloned())))
/// #     }
/// #     fn remove<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool, Error>> {
/// #         Box::pin(ready(Ok(self.disk.lock().remove(key).is_some())))
/// #     }
/// #     fn usage(&self) -> Usage {
/// #         let mut usage = Usage { max_bytes: u64::MAX, ..Usage::default() };
/// #         for (key, entry) in &*self.disk.lock() {
/// #             let cache = usage.caches.entry(key.cache.clone()).or_default();
/// #             cache.entries += 1;
/// #             cache.bytes += (key.id.len() + entry.value.len()) as u64;
/// #         }
/// #         usage
/// #     }
/// }
///
/// # let subject = Subject {
/// #     make: |bytes| bytes.into(),
/// #     read: |value: &Arc<[u8]>| value.to_vec(),
/// #     version: Version { epoch: Epoch(7), seq: 42 },
/// #     read_at: SystemClock::new().now(),
/// #     drift: std::time::Duration::ZERO,
/// # };
/// let disk = Disk::default();
/// durable_suite(|| Opened { disk: disk.clone(), closed: AtomicBool::new(false) }, &subject);
/// ```
pub fn durable_suite<T: Tier>(open: impl Fn() -> T, subject: &Subject<T>) {
    let (kept, removed) = (Key::new("kept", "k"), Key::new("kept", "removed"));
    let tier = open();
    tier.put(&kept, subject.entry(&bytes(100_000, 1)));
    tier.put(&removed, subject.entry(b"soon gone"));
    block_on(tier.flush()).unwrap();
    let usage = tier.usage();
    block_on(tier.close()).unwrap();
    tier.put(&kept, subject.entry(b"after the end"));
    assert!(block_on(tier.flush()).is_err(), "nothing can be flushed after the end");

    let tier = open();
    assert_eq!(subject.get(&tier, &kept), Some(bytes(100_000, 1)));
    assert_eq!(tier.usage(), usage);
    assert!(block_on(tier.remove(&removed)).unwrap());
    block_on(tier.close()).unwrap();

    let tier = open();
    assert_eq!(subject.get(&tier, &removed), None);
    assert_eq!(subject.get(&tier, &kept), Some(bytes(100_000, 1)));
    block_on(tier.close()).unwrap();
}

fn gives_back_what_was_put<T: Tier>(tier: &T, subject: &Subject<T>) {
    assert_eq!(subject.get(tier, &Key::new("any", "absent")), None);
    let lengths = [0, 1, 100, 4_031, 4_032, 4_033, 4_096, 65_472, 65_473, 200_000, 1_000_003];
    for round in 0..2u8 {
        for length in lengths {
            let key = Key::new("lengths", length.to_string());
            tier.put(&key, subject.entry(&bytes(length, round)));
            assert_eq!(subject.get(tier, &key), Some(bytes(length, round)), "at once");
        }
        block_on(tier.flush()).unwrap();
        for length in lengths {
            let key = Key::new("lengths", length.to_string());
            assert_eq!(
                subject.get(tier, &key),
                Some(bytes(length, round)),
                "{length} after a flush"
            );
        }
    }
}

fn keeps_keys_apart<T: Tier>(tier: &T, subject: &Subject<T>) {
    let keys = [
        ("a", "bc"),
        ("ab", "c"),
        ("abc", ""),
        ("", "abc"),
        ("店", "铺"),
        ("a", "b\0c"),
        ("a", "b:c"),
        ("a:b", "c"),
        ("a:b:c", ""),
        ("a%3Ab", "c"),
        ("{a}", "b"),
        ("a", "{b}"),
    ];
    for (at, (cache, id)) in keys.into_iter().enumerate() {
        tier.put(&Key::new(cache, id), subject.entry(&[at as u8]));
    }
    block_on(tier.flush()).unwrap();
    for (at, (cache, id)) in keys.into_iter().enumerate() {
        assert_eq!(subject.get(tier, &Key::new(cache, id)), Some(vec![at as u8]), "{cache}:{id}");
    }
}

fn forgets_what_was_removed<T: Tier>(tier: &T, subject: &Subject<T>) {
    let key = Key::new("cache", "key");
    assert!(!block_on(tier.remove(&key)).unwrap(), "nothing stood there");
    for flush in [false, true] {
        tier.put(&key, subject.entry(b"value"));
        if flush {
            block_on(tier.flush()).unwrap();
        }
        assert!(block_on(tier.remove(&key)).unwrap());
        assert_eq!(subject.get(tier, &key), None);
        assert!(!block_on(tier.remove(&key)).unwrap());
        block_on(tier.flush()).unwrap();
        assert_eq!(subject.get(tier, &key), None);
    }
    tier.put(&key, subject.entry(b"again"));
    assert_eq!(subject.get(tier, &key), Some(b"again".to_vec()));
}

fn gives_many_in_their_order<T: Tier>(tier: &T, subject: &Subject<T>) {
    let key = |id: usize| Key::new("many", id.to_string());
    let put = |id: usize| {
        tier.put(&key(id), subject.entry(&bytes(id * 100, id as u8)));
    };
    for id in (0..20).step_by(2) {
        put(id);
    }
    block_on(tier.flush()).unwrap();
    // Some are put, some stand, some were never there, one was removed, and one is asked for twice.
    (21..24).for_each(put);
    block_on(tier.remove(&key(4))).unwrap();
    let keys: Vec<Key> = (0..24).rev().chain([6]).map(key).collect();
    for need in [Need::Now, Need::Later] {
        let found = block_on(tier.get_many(&keys, need));
        assert_eq!(found.len(), keys.len());
        for (key, found) in keys.iter().zip(found) {
            let id: usize = key.id.parse().unwrap();
            let there = id >= 21 || (id < 20 && id.is_multiple_of(2) && id != 4);
            let value = found.unwrap().and_then(|entry| subject.check(key, &entry));
            assert_eq!(value, there.then(|| bytes(id * 100, id as u8)), "{id}");
        }
        assert!(block_on(tier.get_many(&[], need)).is_empty());
        let one = block_on(tier.get_for(&key(6), need)).unwrap();
        assert_eq!(subject.check(&key(6), &one.unwrap()), Some(bytes(600, 6)));
    }
}

fn counts_what_it_holds<T: Tier>(tier: &T, subject: &Subject<T>) {
    assert_eq!(tier.usage().total(), CacheUsage::default());
    for id in 0..10 {
        tier.put(&Key::new("tens", id.to_string()), subject.entry(&bytes(10_000, id)));
    }
    tier.put(&Key::new("one", "only"), subject.entry(&bytes(50_000, 0)));
    tier.put(&Key::new("one", "only"), subject.entry(&bytes(20_000, 0)));
    block_on(tier.flush()).unwrap();
    let usage = tier.usage();
    assert_eq!(usage.caches["tens"].entries, 10);
    assert!((100_000..130_000).contains(&usage.caches["tens"].bytes), "{usage:?}");
    assert_eq!(usage.caches["one"].entries, 1);
    assert!((20_000..26_000).contains(&usage.caches["one"].bytes), "{usage:?}");
    for id in 0..10 {
        block_on(tier.remove(&Key::new("tens", id.to_string()))).unwrap();
    }
    block_on(tier.flush()).unwrap();
    assert!(!tier.usage().caches.contains_key("tens"));
    assert_eq!(tier.usage().total(), tier.usage().caches["one"]);
}

fn stays_within_its_budget<T: Tier>(tier: &T, budget: u64, subject: &Subject<T>) {
    for round in 0..4 {
        for id in 0..200 {
            let key = Key::new(if id % 2 == 0 { "even" } else { "odd" }, format!("{round}/{id}"));
            tier.put(&key, subject.entry(&bytes(10_000, id)));
        }
        block_on(tier.flush()).unwrap();
        let usage = tier.usage();
        assert_eq!(usage.max_bytes, budget);
        assert!(usage.total().bytes <= budget, "{usage:?}");
        assert!(usage.total().bytes >= budget / 2, "it uses what it may: {usage:?}");
    }
}

fn turns_down_what_is_too_large<T: Tier>(tier: &T, subject: &Subject<T>) {
    let (small, large) = (Key::new("c", "small"), Key::new("c", "large"));
    tier.put(&small, subject.entry(b"small"));
    tier.put(&large, subject.entry(&bytes(3 << 20, 1)));
    block_on(tier.flush()).unwrap();
    assert_eq!(subject.get(tier, &large), None);
    assert_eq!(
        subject.get(tier, &small),
        Some(b"small".to_vec()),
        "others are not thrown out for it"
    );
    tier.put(&small, subject.entry(&bytes(3 << 20, 1)));
    block_on(tier.flush()).unwrap();
    assert_eq!(subject.get(tier, &small), None, "what it was to replace is older");
}

fn gives_whole_values_to_many_threads<T: Tier>(tier: &T, subject: &Subject<T>) {
    thread::scope(|threads| {
        for thread in 0..4u8 {
            threads.spawn(move || {
                for round in 0..50u8 {
                    let key = Key::new("shared", (round % 5).to_string());
                    tier.put(&key, subject.entry(&[thread; 30_000]));
                    if round % 7 == 0 {
                        block_on(tier.flush()).unwrap();
                    }
                    if round % 11 == 0 {
                        block_on(tier.remove(&key)).unwrap();
                    }
                    if let Some(value) = subject.get(tier, &key) {
                        assert_eq!(value.len(), 30_000);
                        assert!(value.iter().all(|byte| *byte == value[0]), "torn");
                    }
                }
            });
        }
    });
}
