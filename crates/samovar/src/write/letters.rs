//! Dead letters: acknowledged writes that the source would not have.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use samovar_core::{Error, Millis, WriteId};

use super::record::{Death, Head, Record};
use crate::cache::{Cache, Kept, Unwritten, Waiting};
use crate::codec::CodecId;
use crate::counters::Event;
use crate::samovar::Samovar;
use crate::value::Value;

/// As it stands in the books.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) head: Head,
    pub(super) value: Bytes,
    pub(super) death: Death,
}

/// An acknowledged write that its source refused, or that failed too often. It stands in the journal until it is retried
/// or dropped.
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
    /// # use samovar::{Samovar, Settings};
    /// # futures_executor::block_on(async {
    /// let samovar = Samovar::open(Settings::default()).await?;
    /// for letter in samovar.dead_letters() {
    ///     eprintln!("{} {}:{} {}", letter.id, letter.cache, letter.key, letter.reason);
    ///     samovar.retry_dead_letter(letter.id).await?;
    /// }
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        let writes = &self.inner().writes;
        let letter = |(number, letter): (&u64, &Letter)| {
            let Letter { head, value, death } = letter.clone();
            DeadLetter {
                id: writes.id(*number),
                cache: head.place.cache.clone(),
                key: head.place.key.clone(),
                codec: head.codec(),
                value: head.codec.map(|_| value),
                reason: death.reason,
                accepted: head.at,
                at: death.at,
                attempts: death.attempts,
            }
        };
        writes.letters.lock().iter().map(letter).collect()
    }

    /// Accepts a dead letter anew: as a write that is made now, behind whatever was written under its key since. False if
    /// there is none of that name.
    ///
    /// # Errors
    /// If the journal fails; the letter stays.
    pub async fn retry_dead_letter(&self, id: WriteId) -> Result<bool, Error> {
        let Some((number, letter)) = self.letter(id) else { return Ok(false) };
        let Letter { head, value, .. } = letter;
        let record = Record::Write(head.clone()).encode(&value)?;
        let inner = Arc::clone(self.inner());
        let taken = move |new| {
            inner.writes.letters.lock().remove(&number);
            inner.writes.add(new, head, value);
        };
        self.inner().writes.record(record, Some(number), taken).await?;
        Ok(true)
    }

    /// Drops a dead letter: what it was to write is given up for good. False if there is none of that name.
    ///
    /// # Errors
    /// If the journal fails; the letter stays, or is there again after a restart.
    pub async fn drop_dead_letter(&self, id: WriteId) -> Result<bool, Error> {
        let Some((number, _)) = self.letter(id) else { return Ok(false) };
        let inner = Arc::clone(self.inner());
        let taken = move |_| drop(inner.writes.letters.lock().remove(&number));
        let gone = self.inner().writes.record(Bytes::new(), Some(number), taken).await?;
        self.inner().writes.release(vec![gone.number]);
        Ok(true)
    }

    fn letter(&self, id: WriteId) -> Option<(u64, Letter)> {
        let writes = &self.inner().writes;
        if writes.id(id.number) != id {
            return None;
        }
        writes.letters.lock().get(&id.number).map(|letter| (id.number, letter.clone()))
    }
}

impl<V: Value> Cache<V> {
    /// Makes a dead letter of a write.
    pub(super) async fn give_up(
        &self,
        unwritten: &Unwritten,
        write: &Waiting,
        error: &Error,
    ) -> Result<(), Error> {
        let inner = Arc::clone(&self.inner);
        let (codec, value) = match &write.value {
            None => (None, Bytes::new()),
            Some(Kept::Found(payload, _)) => {
                (payload.codec().map(|codec| codec.0), payload.bytes()?.unwrap_or_default())
            }
            Some(given) => {
                let mut bytes = Vec::new();
                given.value::<V>()?.encode(&mut bytes)?;
                (Some(V::CODEC.0), bytes.into())
            }
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
        let death = Death { reason: error.to_string().into(), at: inner.clock.now(), attempts };
        let record = Record::Dead(head.clone(), death.clone()).encode(&value)?;
        let own = Arc::clone(&inner);
        let taken = move |number| {
            own.writes.letters.lock().insert(number, Letter { head, value, death });
        };
        let WriteId { number, .. } = inner.writes.record(record, Some(write.number), taken).await?;
        unwritten.settle(write.number);
        inner.counters.count(Event::DeadLetter, 1);
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
