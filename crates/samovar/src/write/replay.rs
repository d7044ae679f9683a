//! Brings what was acknowledged to its source, in order.
//!
//! Writes go in the order of their numbers, of each key one at a time: the next is not begun before it is known what
//! became of the last, so what the source holds in the end is what was written last. A write whose outcome nobody knows is tried again once the source can no longer commit it. What is done is
//! marked; once that mark is durable and applied here the write leaves the journal, and reads go on from the tiers.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use samovar_core::{Error, ErrorKind, Fate, Stamp, Write, WriteError, WriteId, Writer};

use super::WriteOptions;
use super::letters::Letter;
use super::record::{Death, Head, Place, Record};
use super::through::{mark, marks_since, send};
use crate::cache::{Cache, Kept, Unwritten, Waiting};
use crate::counters::Event;
use crate::jitter::back_off;
use crate::policy::CachePolicy;
use crate::samovar::Inner;
use crate::value::Value;

/// The most writes of one batch.
const AT_ONCE: usize = 256;
/// How long to wait after a failure; twice as long each time …
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// … up to here.
const LAST_PAUSE: Duration = Duration::from_secs(60);

/// Has the writes of a cache replayed, unless somebody does it for its name.
pub(crate) fn start<V: Value>(cache: &Cache<V>) {
    let Some(unwritten) = &cache.unwritten else { return };
    let (inner, tasks) = (&cache.inner, &cache.inner.tasks);
    // What was accepted without a writer goes its way though there is one now.
    let ways = [None, cache.writer.clone()];
    for writer in ways.into_iter().take(1 + usize::from(cache.writer.is_some())) {
        if inner.writes.claim(&cache.policy.name, writer.is_some()) {
            let (weak, unwritten) = (Arc::downgrade(inner), Arc::clone(unwritten));
            tasks.spawn(replay(weak, unwritten, cache.policy().clone(), writer));
        }
    }
}

/// Replays those writes of a cache that are for a writer, or those that are not, for as long as it is open.
async fn replay<V: Value>(
    weak: Weak<Inner>,
    unwritten: Arc<Unwritten>,
    policy: CachePolicy,
    writer: Option<Arc<dyn Writer<V>>>,
) {
    let has_writer = writer.is_some();
    let mut failures = 0;
    loop {
        let batch = unwritten.first(AT_ONCE, |write| write.has_writer == has_writer).await;
        // Held for as long as it is worked on.
        let Some(inner) = weak.upgrade() else { return };
        let (clock, jitter) = (Arc::clone(&inner.clock), Arc::clone(&inner.jitter));
        let cache = Cache::<V>::new(inner, policy.clone(), writer.clone());
        let pause = match cache.replay_batch(&unwritten, &batch).await {
            Ok(None) => {
                failures = 0;
                continue;
            }
            Ok(Some(least)) => least,
            Err(error) if error.kind() == ErrorKind::Closed => return,
            Err(error) => {
                let text = format!("writes of {} wait: {error}", policy.name);
                cache.inner.counters.say(clock.now(), text);
                Duration::ZERO
            }
        };
        drop((cache, batch));
        let wait = jitter.spread(back_off(FIRST_PAUSE, LAST_PAUSE, failures), 0.2);
        failures = failures.saturating_add(1);
        clock.sleep(wait.max(pause)).await;
    }
}

/// What became of the writes of a batch.
#[derive(Default)]
struct Ended {
    done: Vec<Arc<Waiting>>,
    dead: Vec<(Arc<Waiting>, Error)>,
    /// Something is to be tried again.
    again: bool,
    /// Something may still be committed.
    unknown: bool,
}

impl<V: Value> Cache<V> {
    /// `None`: all of it is settled; else how long to wait at least.
    async fn replay_batch(
        &self,
        unwritten: &Unwritten,
        batch: &[Arc<Waiting>],
    ) -> Result<Option<Duration>, Error> {
        let inner = &self.inner;
        let token = inner.fence.token();
        let read_at = inner.clock.now();
        let began = inner.clock.elapsed();
        let mut ended = Ended::default();
        let mut over = Duration::ZERO;
        match &self.writer {
            None => ended.done.extend(batch.iter().cloned()),
            Some(writer) => {
                self.send_batch(&**writer, batch, &mut ended).await;
                if ended.unknown {
                    let passed = inner.clock.elapsed().saturating_sub(began);
                    over = writer.deadline().saturating_sub(passed);
                }
                // What was given up and may still be committed is marked when it cannot be any more.
                if ended.unknown && !ended.dead.is_empty() {
                    inner.clock.sleep(over).await;
                    over = Duration::ZERO;
                }
            }
        }
        let settled = ended.done.iter().chain(ended.dead.iter().map(|(write, _)| write));
        let places: Vec<Place> = settled.map(|write| self.place(&write.key)).collect();
        if !places.is_empty() {
            let version = mark(inner, &places).await?;
            let tick = inner.fence.tick();
            match &self.writer {
                Some(_) => {
                    let stamp = Stamp { version, tick, read_at };
                    self.keep_done(&ended.done, stamp, |key, tags| {
                        marks_since(&inner.fence, token.tick, key, tags) == Some(1)
                    });
                }
                None => self.keep_below(&ended.done).await?,
            }
        }
        let numbers: Vec<u64> = ended.done.iter().map(|write| write.number).collect();
        numbers.iter().for_each(|number| unwritten.settle(*number));
        inner.writes.release(numbers);
        for (write, error) in &ended.dead {
            self.give_up(unwritten, write, error).await?;
        }
        Ok(ended.again.then_some(over))
    }

    /// Writes a batch to the source.
    async fn send_batch(&self, writer: &dyn Writer<V>, batch: &[Arc<Waiting>], ended: &mut Ended) {
        let (mut sent, mut writes) = (Vec::new(), Vec::new());
        for write in batch {
            match write.value.as_ref().map(Kept::value::<V>).transpose() {
                Ok(value) => {
                    let id = self.inner.writes.id(write.number);
                    writes.push(Write { id, key: Arc::clone(&write.key), value });
                    sent.push(write);
                }
                // Another version of the program wrote it.
                Err(error) => ended.dead.push((Arc::clone(write), error)),
            }
        }
        if writes.is_empty() {
            return;
        }
        let answers = send(self, writer, &writes).await;
        for (write, answer) in sent.into_iter().zip(answers) {
            let Err(WriteError { fate, error }) = answer else {
                ended.done.push(Arc::clone(write));
                continue;
            };
            self.inner.counters.count(Event::WriteFailed, 1);
            ended.unknown |= fate == Fate::Unknown;
            let attempts = write.attempts.fetch_add(1, Ordering::Relaxed) + 1;
            if fate == Fate::Refused || attempts >= self.policy.write_attempts {
                ended.dead.push((Arc::clone(write), error));
            } else {
                ended.again = true;
            }
        }
    }

    /// Keeps each value, as it stands in the source by a mark, if no other mark has acted since.
    fn keep_done(
        &self,
        done: &[Arc<Waiting>],
        stamp: Stamp,
        is_alone: impl Fn(&samovar_core::Key, &samovar_core::Tags) -> bool,
    ) {
        for write in done {
            let Some(Ok(value)) = write.value.as_ref().map(Kept::value::<V>) else { continue };
            let key = self.key(&write.key, stamp.read_at);
            if is_alone(&key, &write.tags) {
                self.keep_written(&key, value, &options(write), stamp);
            }
        }
    }

    /// Without a source: keeps each value in all tiers, durably.
    async fn keep_below(&self, done: &[Arc<Waiting>]) -> Result<(), Error> {
        for write in done {
            self.inner.stack.room().await?;
            let value = write.value.as_ref().map(Kept::value::<V>).transpose()?;
            self.keep_or_remove(&write.key, value, &options(write)).await;
        }
        self.inner.stack.flush().await
    }

    /// Makes a dead letter of a write.
    async fn give_up(
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

fn options(write: &Waiting) -> WriteOptions {
    WriteOptions { ttl: write.ttl, tags: write.tags.clone() }
}
