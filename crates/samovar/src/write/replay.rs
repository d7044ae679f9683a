//! Brings what was acknowledged to its source, in order.
//!
//! Writes go in the order of their numbers, of each key one at a time: the next is not begun before it is known what
//! became of the last, so what the source holds in the end is what was written last. A write whose outcome nobody knows is tried again once the source can no longer commit it. What is done is
//! marked; once that mark is durable and applied here the write leaves the journal, and reads go on from the tiers.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::select;
use samovar_core::{Error, ErrorKind, Fate, Stamp, Version, Write, WriteError, WriteId, Writer};

use super::WriteOptions;
use super::letters::Letter;
use super::pace::Pace;
use super::record::{Death, Head, Place, Record};
use super::through::{Acted, mark, send, unless_it_panics};
use crate::cache::{Cache, Kept, Unwritten, Waiting};
use crate::counters::Event;
use crate::jitter::back_off;
use crate::policy::CachePolicy;
use crate::samovar::Inner;
use crate::value::Value;

/// The most writes of one batch.
const AT_ONCE: usize = 1_000;
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
    let (mut failures, mut pace) = (0, Pace::default());
    if let (Some(writer), Some(inner)) = (&writer, weak.upgrade())
        && !writer.remembers()
        && unwritten.has_inherited()
    {
        let deadline = inner.clock.sleep(writer.deadline());
        drop(inner);
        deadline.await;
    }
    loop {
        let batch = unwritten.first(AT_ONCE, has_writer).await;
        // Held for as long as it is worked on.
        let Some(inner) = weak.upgrade() else { return };
        let (clock, jitter) = (Arc::clone(&inner.clock), Arc::clone(&inner.jitter));
        pace.begin(clock.elapsed(), inner.writes.taken());
        let cache = Cache::<V>::new(inner, policy.clone(), writer.clone());
        let replayed = cache.replay_batch(&unwritten, &batch);
        let waited = match unless_it_panics(&policy.name, replayed).await {
            Ok(None) => {
                failures = 0;
                let writes = &cache.inner.writes;
                let last = batch.last().map_or(0, |write| write.number);
                let rest = pace.end(last, clock.elapsed(), writes.taken());
                let fills = writes.fills().filter(|_| !rest.is_zero());
                drop((cache, batch));
                if let Some(fills) = fills {
                    select(clock.sleep(rest), pin!(fills)).await;
                }
                continue;
            }
            Ok(Some(waited)) => waited,
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
        clock.sleep(wait.saturating_sub(waited)).await;
    }
}

/// What became of the writes of a batch.
#[derive(Default)]
struct Ended {
    done: Vec<Arc<Waiting>>,
    /// Those of them that were sent once before: a writer that remembers has left them out, whatever the source holds by
    /// now.
    repeated: HashSet<u64>,
    dead: Vec<(Arc<Waiting>, Error)>,
    /// What may still be committed.
    unknown: Vec<Arc<Waiting>>,
    /// Something is to be tried again.
    again: bool,
}

impl<V: Value> Cache<V> {
    /// `None` if all of it is settled. What may still be committed is waited for, since nothing that comes later may
    /// overtake it: how long that took, if something is to be tried again.
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
            None => {
                let readable = |write: &Arc<Waiting>| {
                    let value = write.value.as_ref().map(Kept::value::<V>).transpose();
                    value.map_err(|error| (Arc::clone(write), error))
                };
                for write in batch {
                    match readable(write) {
                        Ok(_) => ended.done.push(Arc::clone(write)),
                        Err(dead) => ended.dead.push(dead),
                    }
                }
                let mut version = mark(inner, &self.places(&ended.done)).await?;
                if inner.fence.pending() > 0 {
                    // What a mark without a version covers is refused below memory: it would be lost.
                    inner.fence.rests().await;
                    version = inner.fence.position();
                }
                self.keep_below(&ended.done, version).await?;
            }
            Some(writer) => {
                self.send_batch(&**writer, batch, &mut ended).await;
                if !ended.unknown.is_empty() {
                    let passed = inner.clock.elapsed().saturating_sub(began);
                    over = writer.deadline().saturating_sub(passed);
                }
                let marked = match ended.done.is_empty() {
                    true => Ok(token.version),
                    false => mark(inner, &self.places(&ended.done)).await,
                };
                match marked {
                    Ok(version) => {
                        let stamp = Stamp { version, tick: inner.fence.tick(), read_at };
                        if let Some(acted) = Acted::since(&inner.fence, token.tick) {
                            self.keep_done(&ended, stamp, &acted);
                        }
                    }
                    Err(error) => {
                        inner.clock.sleep(over).await;
                        return Err(error);
                    }
                }
            }
        }
        let numbers: Vec<u64> = ended.done.iter().map(|write| write.number).collect();
        numbers.iter().for_each(|number| unwritten.settle(*number));
        inner.writes.release(numbers);
        let dead = ended.dead.iter().map(|(write, _)| write);
        let late: Vec<_> = dead.chain(&ended.unknown).map(Arc::clone).collect();
        if !late.is_empty() {
            // It is marked when it cannot be committed any more.
            inner.clock.sleep(over).await;
            mark(inner, &self.places(&late)).await?;
        }
        for (write, error) in &ended.dead {
            self.give_up(unwritten, write, error).await?;
        }
        Ok(ended.again.then_some(over))
    }

    fn places(&self, writes: &[Arc<Waiting>]) -> Vec<Place> {
        writes.iter().map(|write| self.place(&write.key)).collect()
    }

    /// Writes a batch to the source.
    async fn send_batch(&self, writer: &dyn Writer<V>, batch: &[Arc<Waiting>], ended: &mut Ended) {
        let (mut sent, mut writes) = (Vec::new(), Vec::new());
        for write in batch {
            match write.value.as_ref().map(Kept::value::<V>).transpose() {
                Ok(value) => {
                    let id = self.inner.writes.id(write.number);
                    writes.push(Write { id, key: Arc::clone(&write.key), value });
                    if write.sent.swap(true, Ordering::Relaxed) {
                        ended.repeated.insert(write.number);
                    }
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
            if fate == Fate::Unknown {
                ended.unknown.push(Arc::clone(write));
            }
            let attempts = write.attempts.fetch_add(1, Ordering::Relaxed) + 1;
            if fate == Fate::Refused || attempts >= self.policy.write_attempts {
                ended.dead.push((Arc::clone(write), error));
            } else {
                ended.again = true;
            }
        }
    }

    /// Keeps each value, as it stands in the source by a mark, if no other mark has acted since.
    fn keep_done(&self, ended: &Ended, stamp: Stamp, acted: &Acted) {
        for write in ended.done.iter().filter(|write| !ended.repeated.contains(&write.number)) {
            let key = self.key(&write.key, stamp.read_at);
            if acted.leaves(&self.place(&write.key), &key, &write.tags)
                && let Some(Ok(value)) = write.value.as_ref().map(Kept::value::<V>)
            {
                self.keep_written(&key, value, &options(write), stamp);
            }
        }
    }

    /// Without a source: keeps each value in all tiers, durably.
    async fn keep_below(&self, done: &[Arc<Waiting>], version: Version) -> Result<(), Error> {
        for write in done {
            self.inner.stack.room().await?;
            let value = write.value.as_ref().map(Kept::value::<V>).transpose()?;
            self.keep_or_remove(&write.key, value, &options(write), version).await;
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
