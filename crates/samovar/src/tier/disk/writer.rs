//! The one thread that writes the file.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use futures_channel::oneshot;
use samovar_core::{Error, ErrorKind, Key, Version};

use super::store::{Fill, Tables};
use super::{DiskOptions, Shared};
use crate::counters::Counted;
use crate::file::{Trouble, guarded, trouble};

/// A transaction is committed when so much time has passed without anything to write …
const LINGER: Duration = Duration::from_millis(100);
/// … or since it began …
const LONGEST: Duration = Duration::from_secs(2);
/// … or when it holds so many bytes.
const LARGEST: u64 = 32 << 20;
/// Without marks the file is swept of what is past its time so often.
const AGE_SWEEP: Duration = Duration::from_secs(3_600);
/// A sweep may take this share of the time.
const SWEEP_SHARE: u32 = 10;

pub(super) type Reply = oneshot::Sender<Result<(), Error>>;

pub(super) enum Command {
    /// The serial names the entry in the queue: it stands there alone, so that what is put again and again is held once.
    Put(Key, u64),
    Remove(Key, u64),
    /// A reader found a damaged frame.
    Drop(Key),
    /// A reader found a damaged file.
    Rebuild(String),
    Flush(Reply),
    Sweep(Reply),
    Close,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    options: DiskOptions,
    /// What failed since it was last told to somebody who flushed.
    unsaid: Option<Error>,
    swept: Option<Version>,
    last_sweep: Duration,
    next_sweep: Duration,
}

/// What one transaction did, to be told once it is durable.
#[derive(Default)]
struct Batch {
    /// Something was written.
    changed: bool,
    bytes: u64,
    done: Vec<(Key, u64)>,
    replies: Vec<Reply>,
    refused: u64,
    dropped: u64,
    evicted: u64,
    swept: u64,
    swept_to: Option<Option<Version>>,
    clean: Option<Version>,
    close: bool,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, options: DiskOptions) -> Writer {
        let now = shared.clock.elapsed();
        Writer { shared, options, unsaid: None, swept: None, last_sweep: now, next_sweep: now }
    }

    pub(super) fn run(mut self, inbox: &Receiver<Command>) -> Result<(), Error> {
        loop {
            let first = match self.options.sweep_after {
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(pause) => inbox.recv_timeout(pause),
            };
            let first = match first {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            let due = self.options.sweep_after.is_some() && self.sweep_is_due();
            match first {
                None if !due => {}
                Some(Command::Close) => return Ok(()),
                Some(Command::Rebuild(why)) => self.rebuild(&why)?,
                first => {
                    if self.transact(first, due, inbox)? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Marks were applied since the last sweep, or it is long ago; but it shall not take all the time.
    fn sweep_is_due(&self) -> bool {
        let now = self.shared.clock.elapsed();
        let position = self.shared.judge.position();
        now >= self.next_sweep
            && ((position.is_some() && position != self.swept)
                || now.saturating_sub(self.last_sweep) >= AGE_SWEEP)
    }

    /// One transaction: as much as comes in a short while. True if that was the end.
    fn transact(
        &mut self,
        first: Option<Command>,
        sweep: bool,
        inbox: &Receiver<Command>,
    ) -> Result<bool, Error> {
        let shared = Arc::clone(&self.shared);
        let mut batch = Batch::default();
        let written = guarded(|| {
            let database = shared.database.read();
            let database =
                database.as_ref().ok_or_else(|| Trouble::Failed(crate::background::closed()))?;
            let mut transaction = database.begin_write().map_err(trouble)?;
            // Opening after a crash must not read gigabytes.
            transaction.set_quick_repair(true);
            let mut tables = Tables::open(&transaction)?;
            self.gather(&mut tables, &mut batch, first, sweep, inbox)?;
            self.evict(&mut tables, &mut batch)?;
            batch.clean = tables.clean_set();
            drop(tables);
            if batch.changed {
                transaction.commit().map_err(trouble)
            } else {
                transaction.abort().map_err(trouble)
            }
        });
        match written {
            Ok(()) => {
                if let Some(to) = batch.swept_to {
                    self.swept = to.or(self.swept);
                }
                if batch.clean.is_some() {
                    self.shared.judge.swept(batch.clean);
                }
            }
            Err(trouble) => {
                self.shared.counters.count(Counted::DiskError, 1);
                self.unsaid = Some(self.recover(trouble)?);
            }
        }
        Ok(self.tell(batch))
    }

    fn gather(
        &mut self,
        tables: &mut Tables<'_>,
        batch: &mut Batch,
        first: Option<Command>,
        sweep: bool,
        inbox: &Receiver<Command>,
    ) -> Result<(), Trouble> {
        let began = self.shared.clock.elapsed();
        if sweep {
            self.sweep(tables, batch)?;
        }
        let mut next = first;
        while let Some(command) = next.take() {
            match command {
                Command::Flush(reply) => {
                    batch.replies.push(reply);
                    return Ok(());
                }
                Command::Sweep(reply) => {
                    batch.replies.push(reply);
                    return self.sweep(tables, batch);
                }
                Command::Close => {
                    batch.close = true;
                    return Ok(());
                }
                Command::Rebuild(why) => return Err(Trouble::Damaged(why)),
                command => self.apply(tables, batch, command)?,
            }
            let late = self.shared.clock.elapsed().saturating_sub(began) >= LONGEST;
            if batch.bytes < LARGEST && !late {
                next = inbox.recv_timeout(LINGER).ok();
            }
        }
        Ok(())
    }

    fn apply(
        &self,
        tables: &mut Tables<'_>,
        batch: &mut Batch,
        command: Command,
    ) -> Result<(), Trouble> {
        let (shared, max_bytes) = (&*self.shared, self.options.max_bytes);
        match command {
            Command::Put(key, serial) => {
                // What is queued behind it takes its place anyway.
                let Some(entry) = shared.newest(&key, serial) else { return Ok(()) };
                batch.bytes += entry.value.size() as u64;
                batch.done.push((key.clone(), serial));
                match tables.fill(&key, &entry, &*shared.judge, max_bytes, &shared.index)? {
                    Fill::Written => batch.changed = true,
                    Fill::Refused => batch.refused += 1,
                    Fill::TurnedDown => {
                        batch.changed = true;
                        batch.dropped += 1;
                    }
                }
            }
            Command::Remove(key, serial) => {
                batch.changed |= tables.remove(&key, &shared.index)?;
                batch.done.push((key, serial));
            }
            Command::Drop(key) => batch.changed |= tables.remove(&key, &shared.index)?,
            // The caller keeps these.
            Command::Flush(_) | Command::Sweep(_) | Command::Rebuild(_) | Command::Close => {}
        }
        Ok(())
    }

    fn sweep(&mut self, tables: &mut Tables<'_>, batch: &mut Batch) -> Result<(), Trouble> {
        let began = self.shared.clock.elapsed();
        let position = self.shared.judge.position();
        batch.swept += tables.sweep(&*self.shared.judge, &self.shared.index)?;
        batch.swept_to = Some(position);
        batch.changed = true;
        self.last_sweep = self.shared.clock.elapsed();
        self.next_sweep = self.last_sweep + (self.last_sweep - began) * SWEEP_SHARE;
        Ok(())
    }

    fn evict(&self, tables: &mut Tables<'_>, batch: &mut Batch) -> Result<(), Trouble> {
        loop {
            let oldest = {
                let index = self.shared.index.lock();
                if index.bytes() <= self.options.max_bytes {
                    return Ok(());
                }
                index.oldest().cloned()
            };
            let Some(key) = oldest else { return Ok(()) };
            tables.remove(&key, &self.shared.index)?;
            batch.changed = true;
            batch.evicted += 1;
        }
    }

    /// Everybody hears what became of the batch, whether it is durable or lost.
    fn tell(&mut self, batch: Batch) -> bool {
        let counters = &self.shared.counters;
        for (what, by) in [
            (Counted::FillRefused, batch.refused),
            (Counted::FillDropped, batch.dropped),
            (Counted::DiskEviction, batch.evicted),
            (Counted::Swept, batch.swept),
        ] {
            counters.count(what, by);
        }
        self.shared.done(batch.done);
        for reply in batch.replies {
            let _ = reply.send(self.unsaid.take().map_or(Ok(()), Err));
        }
        batch.close
    }

    /// After a failure: a damaged file is made anew, another is opened again. What the batch held is lost.
    fn recover(&mut self, trouble: Trouble) -> Result<Error, Error> {
        match trouble {
            Trouble::Damaged(why) => {
                self.rebuild(&why)?;
                Ok(Error::new(
                    ErrorKind::Storage,
                    format!("the disk tier was damaged ({why}) and made anew"),
                ))
            }
            Trouble::Failed(error) if error.kind() == ErrorKind::Closed => Err(error),
            Trouble::Failed(error) => {
                self.shared
                    .say(format!("writing to disk failed, some entries are not kept: {error}"));
                self.shared.reopen(self.options, None)?;
                Ok(error)
            }
        }
    }

    fn rebuild(&mut self, why: &str) -> Result<(), Error> {
        self.shared.counters.count(Counted::Damaged, 1);
        self.swept = None;
        self.shared.reopen(self.options, Some(why))
    }
}
