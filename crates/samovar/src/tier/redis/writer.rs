//! The one task that writes: what waits travels in batches, one after the other, so that the order is kept.

use std::mem;
use std::sync::Arc;

use ::redis::{Value, cmd};
use samovar_core::{Error, ErrorKind};

use super::queue::{Batch, Write};
use super::{Shared, life};
use crate::background::Tasks;
use crate::codec::write_entry;
use crate::counters::Counted;
use crate::redis::{Request, plain};

/// Writes what waits, by a task of these, until it is told to stop.
pub(super) fn start(tasks: &Tasks, shared: Arc<Shared>) {
    let end = Arc::new(End(shared));
    tasks.keep(move || run(Arc::clone(&end)));
}

async fn run(end: Arc<End>) {
    let shared = &*end.0;
    let mut writer = Writer { shared, failing: false };
    loop {
        let batch = shared.queue.lock().take();
        match batch {
            Some(batch) => writer.write(batch).await,
            None => shared.wake.notified().await,
        }
    }
}

/// However it ends, nobody waits for it in vain.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        let ended = self.0.queue.lock().end();
        drop(ended);
    }
}

/// A batch under way. Should the runtime end under it, it counts as answered: whether it was written nobody knows.
struct Aboard<'a> {
    shared: &'a Shared,
    batch: Batch,
}

impl Aboard<'_> {
    /// Redis is asked for what is in it from now on.
    fn answered(mut self) -> Batch {
        self.leave()
    }

    fn leave(&mut self) -> Batch {
        let batch = mem::take(&mut self.batch);
        let mut queue = self.shared.queue.lock();
        let waiters: Vec<_> = batch.writes.iter().map(|write| queue.done(write)).collect();
        drop(queue);
        drop(waiters);
        batch
    }
}

impl Drop for Aboard<'_> {
    fn drop(&mut self) {
        let Batch { writes, flushes, .. } = self.leave();
        if writes.is_empty() && flushes.is_empty() {
            return;
        }
        let text = "redis: the runtime has ended under what was being written";
        let error = Error::new(ErrorKind::Storage, text);
        for reply in writes.into_iter().filter_map(|write| write.reply) {
            let _ = reply.send(Err(error.clone()));
        }
        for reply in flushes {
            let _ = reply.send(Err(error.clone()));
        }
        *self.shared.unsaid.lock() = Some(error);
    }
}

struct Writer<'a> {
    shared: &'a Shared,
    /// The last write failed, and it has been said.
    failing: bool,
}

impl Writer<'_> {
    async fn write(&mut self, batch: Batch) {
        let requests: Vec<_> = batch.writes.iter().map(|write| self.request(write)).collect();
        let aboard = Aboard { shared: self.shared, batch };
        let answers = match requests.is_empty() {
            true => Vec::new(),
            false => self.shared.connection.ask(requests).await,
        };
        let Batch { writes, flushes, .. } = aboard.answered();
        let mut failed = None;
        for (write, answer) in writes.into_iter().zip(answers) {
            let outcome = answer.and_then(|values| match values.into_iter().next() {
                Some(value) => plain(value),
                None => Err(Error::new(ErrorKind::Storage, "redis: an answer is missing")),
            });
            if let Err(error) = &outcome {
                self.shared.counters.count(Counted::RedisError, 1);
                failed = Some(error.clone());
            }
            if let Some(reply) = write.reply {
                let _ = reply.send(outcome.map(|value| value != Value::Int(0)));
            }
        }
        if let Some(error) = &failed
            && !self.failing
        {
            let text = format!("writing to Redis failed, some entries are not kept there: {error}");
            self.shared.say(text);
        }
        self.failing = failed.is_some();
        let mut unsaid = self.shared.unsaid.lock();
        *unsaid = failed.or(unsaid.take());
        for reply in flushes {
            let _ = reply.send(unsaid.take().map_or(Ok(()), Err));
        }
    }

    /// What is asked of Redis. What has no frame, or is past its time, is removed instead: what stands there is older.
    fn request(&self, write: &Write) -> Request {
        let name = self.shared.name(&write.key);
        let now = self.shared.clock.now();
        let put = write.entry.as_ref().and_then(|entry| {
            let left = life::left(entry, now)?;
            match write_entry(&name, entry, now) {
                Ok(frame) => Some((frame, left)),
                Err(error) => {
                    self.shared.counters.count(Counted::FillDropped, 1);
                    let text = format!("{} was not written to Redis: {error}", write.key);
                    self.shared.say(text);
                    None
                }
            }
        });
        match put {
            Some((frame, left)) => {
                let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
                vec![cmd("SET").arg(name).arg(frame).arg("PX").arg(millis).take()]
            }
            None => vec![cmd("DEL").arg(name).take()],
        }
    }
}
