//! Brings some writes to the source by one call, or without a source to the tiers. What is done is marked; once that mark
//! is durable and applied here the write leaves the journal, and reads go on from the tiers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use samovar_core::{Error, ErrorKind, Fate, Stamp, Write, WriteError, Writer};

use super::WriteOptions;
use super::course::{FIRST_PAUSE, LAST_PAUSE, SPREAD};
use super::record::Place;
use super::through::{Acted, mark, send, unless_it_panics};
use crate::cache::{Cache, Kept, Unwritten, Waiting};
use crate::counters::Counted;
use crate::jitter::back_off;
use crate::samovar::Inner;
use crate::value::Value;

/// A write whose value could be read.
pub(super) struct Ready<V> {
    pub(super) write: Arc<Waiting>,
    /// `None`: it is deleted.
    value: Option<Arc<V>>,
}

/// What became of the writes of a call.
struct Ended<'a, V> {
    /// With whether it may have been sent before: a writer that remembers has left it out then, whatever the source holds
    /// by now.
    done: Vec<(&'a Ready<V>, bool)>,
    dead: Vec<(&'a Ready<V>, Error)>,
    /// What may still be committed.
    unknown: Vec<&'a Ready<V>>,
    /// It failed as a whole: every write that was sent, and none for a reason of its own.
    has_failed: bool,
}

impl<V: Value> Cache<V> {
    /// Those whose values can be read. What another version of the program wrote, or a cache of another type, cannot: it is
    /// given up.
    pub(super) async fn read_all(
        &self,
        unwritten: &Unwritten,
        batch: &[Arc<Waiting>],
    ) -> Result<Vec<Ready<V>>, Error> {
        let (mut all, mut unreadable) = (Vec::with_capacity(batch.len()), Vec::new());
        for write in batch {
            let read = async { write.value.as_ref().map(Kept::value::<V>).transpose() };
            match unless_it_panics(&self.policy.name, read).await {
                Ok(value) => all.push(Ready { write: Arc::clone(write), value }),
                Err(error) => unreadable.push((write, error)),
            }
        }
        if !unreadable.is_empty() {
            // A process before this one may have written it.
            let places: Vec<_> = unreadable.iter().map(|(one, _)| self.place(&one.key)).collect();
            mark(&self.inner, &places).await?;
        }
        for (write, error) in unreadable {
            self.give_up(unwritten, write, &error).await?;
        }
        Ok(all)
    }

    /// Without a source: what was written is marked, and put into all tiers. What rests in one leaves the journal.
    pub(super) async fn keep_here(
        &self,
        unwritten: &Unwritten,
        batch: &[Ready<V>],
    ) -> Result<(), Error> {
        let inner = &self.inner;
        let mut marked = mark(inner, &self.places(batch)).await?;
        while !marked.is_numbered {
            // What a mark without a version covers is refused below memory: it would be lost. Which it was given in the end
            // nobody says here, so these are marked once more.
            inner.fence.back(&marked.ids).await;
            marked = mark(inner, &self.places(batch)).await?;
        }
        let (mut done, mut asked, mut puts) = (Vec::new(), Vec::new(), Vec::new());
        for ready in batch {
            inner.stack.room().await?;
            let (key, options) = (&ready.write.key, options(&ready.write));
            match self.keep_or_remove(key, ready.value.clone(), &options, &marked).await {
                Some(put) => {
                    asked.push(ready);
                    puts.push(put);
                }
                None => done.push(ready),
            }
        }
        // The journal outlives the process: memory is enough only where there is no other tier.
        let in_memory = self.policy.memory && !inner.stack.has_lower(&self.policy);
        let (held, problem) = self.rest(&puts, in_memory, true).await?;
        let (held, left): (Vec<_>, Vec<_>) =
            asked.into_iter().zip(held).partition(|(_, is_held)| *is_held);
        done.extend(held.into_iter().map(|(ready, _)| ready));
        self.settle(unwritten, done);
        if left.is_empty() {
            return Ok(());
        }
        if let Some(problem) = problem {
            return Err(problem);
        }
        for (Ready { write, .. }, _) in left {
            inner.counters.count(Counted::WriteFailed, 1);
            if !self.charge(unwritten, write) {
                let text = "no tier takes it: it may be larger than they allow";
                self.give_up(unwritten, write, &Error::new(ErrorKind::Full, text)).await?;
            }
        }
        Ok(())
    }

    /// Charges a write with a failure of its own: it goes alone from here on, in its own time. False if it was tried as
    /// often as its policy allows.
    fn charge(&self, unwritten: &Unwritten, write: &Waiting) -> bool {
        let Inner { clock, jitter, .. } = &*self.inner;
        let before = write.attempts.fetch_add(1, Ordering::Relaxed);
        let goes_on = before + 1 < self.policy.write_attempts;
        if goes_on {
            let pause = back_off(FIRST_PAUSE, LAST_PAUSE, before);
            unwritten.put_off(write, clock.elapsed() + jitter.spread(pause, SPREAD));
        }
        goes_on
    }

    /// Writes to the source. Whether that failed as a whole: every write, and none for a reason that can be told from the
    /// source's own. What may still be committed is waited for, since nothing that comes later may overtake it.
    pub(super) async fn deliver(
        &self,
        unwritten: &Unwritten,
        writer: &dyn Writer<V>,
        part: &[Ready<V>],
    ) -> Result<bool, Error> {
        let inner = &self.inner;
        let token = inner.fence.token();
        let read_at = inner.clock.now();
        let began = inner.clock.elapsed();
        let ended = self.send_part(unwritten, writer, part).await;
        let mut waits = Duration::ZERO;
        if !ended.unknown.is_empty() {
            let passed = inner.clock.elapsed().saturating_sub(began);
            waits = writer.deadline().saturating_sub(passed);
        }
        let done = || ended.done.iter().map(|(ready, _)| *ready);
        if !ended.done.is_empty() {
            match mark(inner, &self.places(done())).await {
                Ok(marked) => {
                    let (version, tick) = (marked.version, inner.fence.tick());
                    let stamp = Stamp { version, tick, read_at };
                    if let Some(acted) = Acted::since(&inner.fence, token.tick) {
                        self.keep_done(&ended, stamp, &acted);
                    }
                }
                Err(error) => {
                    inner.clock.sleep(waits).await;
                    return Err(error);
                }
            }
            self.settle(unwritten, done());
        }
        let dead = ended.dead.iter().map(|(ready, _)| *ready);
        let late = self.places(dead.chain(ended.unknown.iter().copied()));
        if !late.is_empty() {
            // It is marked when it cannot be committed any more.
            inner.clock.sleep(waits).await;
            mark(inner, &late).await?;
        }
        for (ready, error) in &ended.dead {
            self.give_up(unwritten, &ready.write, error).await?;
        }
        Ok(ended.has_failed)
    }

    /// Calls the writer, charges each write with what was its own, and puts it off for so long as its failures ask for.
    async fn send_part<'a>(
        &self,
        unwritten: &Unwritten,
        writer: &dyn Writer<V>,
        part: &'a [Ready<V>],
    ) -> Ended<'a, V> {
        let of = |Ready { write, value }: &Ready<V>| Write {
            id: self.inner.writes.id(write.number),
            key: Arc::clone(&write.key),
            value: value.clone(),
        };
        let writes: Vec<_> = part.iter().map(of).collect();
        // Before they are: should this be dropped on the way, nobody knows what became of them.
        let sent_before: Vec<bool> =
            part.iter().map(|ready| ready.write.sent.swap(true, Ordering::Relaxed)).collect();
        let answers = send(self, writer, &writes).await;
        let is_bare = |answer: &Result<(), WriteError>| {
            answer.as_ref().is_err_and(|error| error.fate != Fate::Refused)
        };
        let has_failed = answers.iter().all(is_bare);
        // A refused write fails a transaction too, and the others with it for no reason of their own.
        let is_own = part.len() == 1 || answers.iter().any(Result::is_ok);
        let mut ended = Ended { done: vec![], dead: vec![], unknown: vec![], has_failed };
        for ((ready, was_sent), answer) in part.iter().zip(sent_before).zip(answers) {
            let write = &ready.write;
            let Err(WriteError { fate, error }) = answer else {
                ended.done.push((ready, was_sent));
                continue;
            };
            if is_own || fate == Fate::Refused {
                self.inner.counters.count(Counted::WriteFailed, 1);
            }
            match fate {
                Fate::Unknown => ended.unknown.push(ready),
                // So it is kept when it succeeds later.
                Fate::NotWritten if !was_sent => write.sent.store(false, Ordering::Relaxed),
                Fate::NotWritten | Fate::Refused => {}
            }
            let goes_on = !is_own || self.charge(unwritten, write);
            if fate == Fate::Refused || !goes_on {
                ended.dead.push((ready, error));
            }
        }
        ended
    }

    fn places<'a>(&self, batch: impl IntoIterator<Item = &'a Ready<V>>) -> Vec<Place> {
        batch.into_iter().map(|ready| self.place(&ready.write.key)).collect()
    }

    fn settle<'a>(&self, unwritten: &Unwritten, batch: impl IntoIterator<Item = &'a Ready<V>>) {
        let settled: Vec<_> = batch.into_iter().map(|ready| Arc::clone(&ready.write)).collect();
        unwritten.settle(&settled);
        self.inner.writes.release(settled.iter().map(|write| write.number).collect());
    }

    /// Keeps each value, as it stands in the source by a mark, if no other mark has acted since.
    fn keep_done(&self, ended: &Ended<'_, V>, stamp: Stamp, acted: &Acted) {
        for (Ready { write, value }, _) in ended.done.iter().filter(|(_, was_sent)| !was_sent) {
            let key = self.key(&write.key, stamp.read_at);
            if acted.leaves(&self.place(&write.key), &key, &write.tags)
                && let Some(value) = value
            {
                self.keep_written(&key, Arc::clone(value), &options(write), stamp);
            }
        }
    }
}

fn options(write: &Waiting) -> WriteOptions {
    WriteOptions { ttl: write.ttl, tags: write.tags.clone() }
}
