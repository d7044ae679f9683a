//! Dead letters: acknowledged writes that the source would not have.
//!
//! They stand in the journal, and do not count towards its limit: else what a source refuses would keep it full for good.
//! They have a limit of their own instead, for each cache, and that is held where nothing is acknowledged yet: a cache whose
//! letters are full accepts nothing more. To drop the oldest would lose what was acknowledged; to have the replay wait would
//! hold up writes that the source would take. What was acknowledged before may still become a letter beyond the limit: at
//! most what the journal holds.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use samovar_core::{Error, Millis, WriteId};

use super::record::{Death, Head, Record};
use crate::cache::{Cache, Unwritten, Waiting};
use crate::codec::CodecId;
use crate::counters::Counted;
use crate::journal::Journal;
use crate::samovar::{Inner, Samovar};
use crate::value::Value;

/// The most bytes of a reason.
const REASON: usize = 4 << 10;

/// As it stands in the books.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    head: Head,
    value: Bytes,
    death: Death,
    /// What it takes of the journal.
    size: u64,
    /// Somebody retries or drops it.
    is_claimed: bool,
}

impl Letter {
    pub(super) fn new(head: Head, value: Bytes, death: Death, size: u64) -> Letter {
        Letter { head, value, death, size, is_claimed: false }
    }

    fn told(&self, id: WriteId) -> DeadLetter {
        let Letter { head, value, death, .. } = self;
        DeadLetter {
            id,
            cache: Arc::clone(&head.place.cache),
            key: Arc::clone(&head.place.key),
            value: head.codec.map(|_| value.clone()),
            codec: head.codec(),
            reason: Arc::clone(&death.reason),
            accepted: head.at,
            at: death.at,
            attempts: death.attempts,
        }
    }
}

/// The dead letters of a node, by their numbers in the journal.
#[derive(Debug, Default)]
pub(super) struct Letters {
    all: BTreeMap<u64, Letter>,
    /// What they take of the journal, cache by cache.
    bytes: HashMap<Arc<str>, u64>,
}

impl Letters {
    pub(super) fn insert(&mut self, number: u64, letter: Letter) {
        let cache = Arc::clone(&letter.head.place.cache);
        *self.bytes.entry(cache).or_default() += letter.size;
        self.all.insert(number, letter);
    }

    fn remove(&mut self, number: u64) {
        if let Some(letter) = self.all.remove(&number)
            && let Some(bytes) = self.bytes.get_mut(&letter.head.place.cache)
        {
            *bytes -= letter.size;
        }
    }

    /// What all of them take of the journal.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.values().sum()
    }

    pub(super) fn bytes_of(&self, cache: &Arc<str>) -> u64 {
        self.bytes.get(cache).copied().unwrap_or_default()
    }
}

/// A letter that somebody retries or drops: nobody else may, until that has failed.
struct Claim {
    inner: Arc<Inner>,
    number: u64,
}

impl Claim {
    /// `None`: there is no such letter, or somebody else is at it.
    fn of(inner: &Arc<Inner>, id: WriteId) -> Option<(Claim, Letter)> {
        let WriteId { number, .. } = id;
        if inner.writes.id(number) != id {
            return None;
        }
        let letter = inner.writes.change_letters(|letters| {
            let letter = letters.all.get_mut(&number).filter(|letter| !letter.is_claimed)?;
            letter.is_claimed = true;
            Some(letter.clone())
        })?;
        Some((Claim { inner: Arc::clone(inner), number }, letter))
    }

    /// It is no letter any more.
    fn settle(self) {
        self.inner.writes.change_letters(|letters| letters.remove(self.number));
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.inner.writes.change_letters(|letters| {
            if let Some(letter) = letters.all.get_mut(&self.number) {
                letter.is_claimed = false;
            }
        });
    }
}

/// An acknowledged write that its source refused, or that failed too often. It stands in the journal until it is retried
/// or dropped. [`Samovar::dead_letters`] shows one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// What it is called here. Its writer knew it by another number.
    pub id: WriteId,
    /// The cache.
    pub cache: Arc<str>,
    /// The key, as callers of the cache know it.
    pub key: Arc<str>,
    /// The value as its codec has it; `None`: the row was to be deleted.
    pub value: Option<Bytes>,
    /// By which codec it is encoded, if there is a value.
    pub codec: Option<CodecId>,
    /// Why it was given up.
    pub reason: Arc<str>,
    /// When it was accepted.
    pub accepted: Millis,
    /// When it was given up.
    pub at: Millis,
    /// How often it was tried.
    pub attempts: u32,
}

impl Samovar {
    /// The writes that were acknowledged and given up, oldest first.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use samovar::{CachePolicy, Samovar, Settings, Strategy};
    /// # use samovar_core::{BoxFuture, Error, ErrorKind, Fate, Write, WriteError, Writer};
    /// # struct Table;
    /// # impl Writer<String> for Table {
    /// #     fn write<'a>(&'a self, writes: &'a [Write<String>]) -> BoxFuture<'a, Vec<Result<(), WriteError>>> {
    /// #         let no = || Err(WriteError::new(Fate::Refused, Error::new(ErrorKind::Source, "no such product")));
    /// #         Box::pin(async move { writes.iter().map(|_| no()).collect() })
    /// #     }
    /// # }
    /// # let directory = tempfile::tempdir().unwrap();
    /// # futures_executor::block_on(async {
    /// # let data_dir = Some(directory.path().into());
    /// # let samovar = Samovar::open(Settings { data_dir, ..Settings::default() }).await?;
    /// # let policy = CachePolicy { strategy: Strategy::WriteBack, ..CachePolicy::named("prices") };
    /// # let prices = samovar.cache_with_writer(policy, Arc::new(Table));
    /// prices.write("42", "12.50".to_owned()).await?; // acknowledged; but the table refuses it
    /// # while samovar.dead_letters().is_empty() { std::thread::yield_now(); }
    /// let letter = &samovar.dead_letters()[0];
    /// assert_eq!((&*letter.cache, &*letter.key, letter.attempts), ("prices", "42", 1));
    /// assert!(letter.reason.contains("no such product"));
    /// assert_eq!(letter.value.as_deref(), Some(b"12.50".as_slice()));
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.dead_letters_of(None, usize::MAX).0
    }

    /// As [`Samovar::dead_letters`], of one cache alone if it is named and at most so many; and how many there are.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use samovar::{CachePolicy, Samovar, Settings, Strategy};
    /// # use samovar_core::{BoxFuture, Error, ErrorKind, Fate, Write, WriteError, Writer};
    /// # struct Table;
    /// # impl Writer<String> for Table {
    /// #     fn write<'a>(&'a self, writes: &'a [Write<String>]) -> BoxFuture<'a, Vec<Result<(), WriteError>>> {
    /// #         let no = || Err(WriteError::new(Fate::Refused, Error::new(ErrorKind::Source, "no such product")));
    /// #         Box::pin(async move { writes.iter().map(|_| no()).collect() })
    /// #     }
    /// # }
    /// # let directory = tempfile::tempdir().unwrap();
    /// # futures_executor::block_on(async {
    /// # let data_dir = Some(directory.path().into());
    /// # let samovar = Samovar::open(Settings { data_dir, ..Settings::default() }).await?;
    /// # let policy = CachePolicy { strategy: Strategy::WriteBack, ..CachePolicy::named("prices") };
    /// # let prices = samovar.cache_with_writer(policy, Arc::new(Table));
    /// for key in ["42", "43", "44"] {
    ///     prices.write(key, "12.50".to_owned()).await?; // the table refuses all of them
    /// }
    /// # while samovar.dead_letters().len() < 3 { std::thread::yield_now(); }
    /// let (oldest, count) = samovar.dead_letters_of(Some("prices"), 2);
    /// assert_eq!((oldest.len(), count), (2, 3));
    /// assert_eq!(samovar.dead_letters_of(Some("names"), 2).1, 0);
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn dead_letters_of(&self, cache: Option<&str>, most: usize) -> (Vec<DeadLetter>, usize) {
        let writes = &self.inner().writes;
        writes.with_letters(|letters| {
            let is_asked = |head: &Head| cache.is_none_or(|cache| *cache == *head.place.cache);
            let mut asked = letters.all.iter().filter(|(_, letter)| is_asked(&letter.head));
            let tell = |(number, letter): (&u64, &Letter)| letter.told(writes.id(*number));
            let told: Vec<_> = asked.by_ref().take(most).map(tell).collect();
            let count = told.len() + asked.count();
            (told, count)
        })
    }

    /// Accepts a dead letter anew: as a write that is made now, behind whatever was written under its key since. False if
    /// there is none of that name, or somebody else retries or drops it.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use samovar::{CachePolicy, Samovar, Settings, Strategy};
    /// # use samovar_core::{BoxFuture, Error, ErrorKind, Fate, Write, WriteError, Writer};
    /// # use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    /// # static HAS_IT: AtomicBool = AtomicBool::new(false);
    /// # struct Table;
    /// # impl Writer<String> for Table {
    /// #     fn write<'a>(&'a self, writes: &'a [Write<String>]) -> BoxFuture<'a, Vec<Result<(), WriteError>>> {
    /// #         if HAS_IT.load(Relaxed) { return Box::pin(async move { writes.iter().map(|_| Ok(())).collect() }); }
    /// #         let no = || Err(WriteError::new(Fate::Refused, Error::new(ErrorKind::Source, "no such product")));
    /// #         Box::pin(async move { writes.iter().map(|_| no()).collect() })
    /// #     }
    /// # }
    /// # let directory = tempfile::tempdir().unwrap();
    /// # futures_executor::block_on(async {
    /// # let data_dir = Some(directory.path().into());
    /// # let samovar = Samovar::open(Settings { data_dir, ..Settings::default() }).await?;
    /// # let policy = CachePolicy { strategy: Strategy::WriteBack, ..CachePolicy::named("prices") };
    /// # let prices = samovar.cache_with_writer(policy, Arc::new(Table));
    /// prices.write("42", "12.50".to_owned()).await?;
    /// # while samovar.dead_letters().is_empty() { std::thread::yield_now(); }
    /// // The product that the table lacked has been added: now it takes the price.
    /// # HAS_IT.store(true, Relaxed);
    /// let letter = samovar.dead_letters()[0].id;
    /// assert!(samovar.retry_dead_letter(letter).await?);
    /// # while prices.unwritten() > 0 { std::thread::yield_now(); }
    /// assert!(samovar.dead_letters().is_empty());
    /// assert!(!samovar.retry_dead_letter(letter).await?, "it is none any more");
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Storage`](samovar_core::ErrorKind::Storage) if the disk fails under the journal, of kind
    /// [`ErrorKind::Full`](samovar_core::ErrorKind::Full) if that is full; the letter stays.
    pub async fn retry_dead_letter(&self, id: WriteId) -> Result<bool, Error> {
        let Some((claim, letter)) = Claim::of(self.inner(), id) else { return Ok(false) };
        let Letter { head, value, .. } = letter;
        let record = Record::Write(head.clone()).encode(&value)?;
        let taken = move |new| {
            claim.inner.writes.add(new, head, value);
            claim.settle();
        };
        self.inner().writes.record(record, Some(id.number), taken).await?;
        Ok(true)
    }

    /// Drops a dead letter: what it was to write is given up for good. False if there is none of that name, or somebody else
    /// retries or drops it.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use samovar::{CachePolicy, Samovar, Settings, Strategy};
    /// # use samovar_core::{BoxFuture, Error, ErrorKind, Fate, Write, WriteError, Writer};
    /// # struct Table;
    /// # impl Writer<String> for Table {
    /// #     fn write<'a>(&'a self, writes: &'a [Write<String>]) -> BoxFuture<'a, Vec<Result<(), WriteError>>> {
    /// #         let no = || Err(WriteError::new(Fate::Refused, Error::new(ErrorKind::Source, "no such product")));
    /// #         Box::pin(async move { writes.iter().map(|_| no()).collect() })
    /// #     }
    /// # }
    /// # let directory = tempfile::tempdir().unwrap();
    /// # futures_executor::block_on(async {
    /// # let data_dir = Some(directory.path().into());
    /// # let samovar = Samovar::open(Settings { data_dir, ..Settings::default() }).await?;
    /// # let policy = CachePolicy { strategy: Strategy::WriteBack, ..CachePolicy::named("prices") };
    /// # let prices = samovar.cache_with_writer(policy, Arc::new(Table));
    /// prices.write("42", "12.50".to_owned()).await?;
    /// # while samovar.dead_letters().is_empty() { std::thread::yield_now(); }
    /// let letter = samovar.dead_letters()[0].id;
    /// assert!(samovar.drop_dead_letter(letter).await?);
    /// assert!(samovar.dead_letters().is_empty());
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Storage`](samovar_core::ErrorKind::Storage) if the disk fails under the journal; the letter
    /// stays, or is there again after a restart.
    pub async fn drop_dead_letter(&self, id: WriteId) -> Result<bool, Error> {
        let Some((claim, _)) = Claim::of(self.inner(), id) else { return Ok(false) };
        // What takes its place is needed no longer than until that is durable, whoever waits for it.
        let taken = move |gone| {
            claim.inner.writes.release(vec![gone]);
            claim.settle();
        };
        self.inner().writes.record(Bytes::new(), Some(id.number), taken).await?;
        Ok(true)
    }
}

/// Why a write is given up, cut short: a letter fits where its write did.
fn reason(error: &Error) -> Arc<str> {
    let text = error.to_string();
    text[..text.floor_char_boundary(REASON)].into()
}

impl<V: Value> Cache<V> {
    /// Makes a dead letter of a write.
    pub(super) async fn give_up(
        &self,
        unwritten: &Unwritten,
        write: &Arc<Waiting>,
        error: &Error,
    ) -> Result<(), Error> {
        let inner = Arc::clone(&self.inner);
        let (codec, value) = match &write.value {
            None => (None, Bytes::new()),
            Some(kept) => kept.encoded()?,
        };
        let head = Head {
            place: self.place(&write.key),
            codec,
            ttl: write.ttl,
            tags: write.tags.clone(),
            has_writer: write.has_writer,
            at: write.at,
        };
        let attempts = write.attempts.load(Ordering::Relaxed);
        let death = Death { reason: reason(error), at: inner.clock.now(), attempts };
        let record = Record::Dead(head.clone(), death.clone()).encode(&value)?;
        let letter = Letter::new(head, value, death, Journal::size(record.len()));
        let own = Arc::clone(&inner);
        let taken = move |number| {
            own.writes.change_letters(|letters| letters.insert(number, letter));
        };
        let WriteId { number, .. } = inner.writes.record(record, Some(write.number), taken).await?;
        unwritten.settle(std::slice::from_ref(write));
        inner.counters.count(Counted::DeadLetter, 1);
        let text = format!(
            "the write of {}:{} was given up, and is the dead letter {}: {error}",
            self.policy.name,
            write.key,
            inner.writes.id(number)
        );
        inner.counters.say(inner.clock.now(), text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use samovar_core::ErrorKind;

    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        for pad in 0..3 {
            let text = format!("{}{}", "x".repeat(pad), "\u{20ac}".repeat(REASON));
            let long = Error::new(ErrorKind::Source, text);
            let (cut, whole) = (reason(&long), long.to_string());
            assert!(whole.starts_with(&*cut) && (REASON - 2..=REASON).contains(&cut.len()));
        }
        let short = Error::new(ErrorKind::Source, "no such product");
        assert_eq!(*reason(&short), short.to_string());
    }
}
