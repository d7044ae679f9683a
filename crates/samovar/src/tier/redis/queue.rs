//! What was handed over and is not in Redis yet.

use std::collections::{HashMap, HashSet, VecDeque};

use futures_channel::oneshot;
use samovar_core::{Entry, Error, Key};

use crate::codec::Payload;

/// A batch holds at most so many writes …
const MOST: usize = 1_000;
/// … or stops growing at so many bytes.
const LARGEST: u64 = 4 << 20;
/// Counted for each write beside its value.
const OVERHEAD: u64 = 512;
/// `room` waits beyond this share of what may wait.
const ROOM: u64 = 4;

pub(super) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// What waits under a key: the newest of it.
#[derive(Clone)]
pub(super) enum Waiting {
    Put(Entry<Payload>),
    Removed,
}

impl Waiting {
    fn bytes(&self) -> u64 {
        match self {
            Waiting::Put(entry) => entry.value.size() as u64 + OVERHEAD,
            Waiting::Removed => OVERHEAD,
        }
    }
}

/// In the order in which they came.
enum Command {
    /// What waits under the key by then; nothing, if something came behind it.
    Put(Key, u64),
    Remove(Key, u64, Option<Reply<bool>>),
    Flush(Reply<()>),
    /// Dropped when everything before it has been answered, however.
    Barrier(oneshot::Sender<()>),
}

/// One thing to be written.
pub(super) struct Write {
    pub(super) key: Key,
    serial: u64,
    /// `None`: it is to be removed.
    pub(super) entry: Option<Entry<Payload>>,
    /// Who wants to know whether something was removed.
    pub(super) reply: Option<Reply<bool>>,
}

/// What travels together. No key is twice in it.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) writes: Vec<Write>,
    pub(super) flushes: Vec<Reply<()>>,
    /// Dropped with the batch.
    barriers: Vec<oneshot::Sender<()>>,
}

pub(super) struct Queue {
    waiting: HashMap<Key, (u64, Waiting)>,
    commands: VecDeque<Command>,
    bytes: u64,
    max_bytes: u64,
    last_serial: u64,
    /// Those who wait for room.
    waiters: Vec<oneshot::Sender<()>>,
    ended: bool,
}

/// What became of something that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Waits,
    TurnedDown,
}

impl Queue {
    pub(super) fn new(max_bytes: u64) -> Queue {
        Queue {
            waiting: HashMap::new(),
            commands: VecDeque::new(),
            bytes: 0,
            max_bytes,
            last_serial: 0,
            waiters: Vec::new(),
            ended: false,
        }
    }

    /// What waits under a key.
    pub(super) fn get(&self, key: &Key) -> Option<&Waiting> {
        self.waiting.get(key).map(|(_, waiting)| waiting)
    }

    fn hold(&mut self, key: &Key, waiting: Waiting) -> u64 {
        self.last_serial += 1;
        self.bytes += waiting.bytes();
        if let Some((_, old)) = self.waiting.insert(key.clone(), (self.last_serial, waiting)) {
            self.bytes -= old.bytes();
        }
        self.last_serial
    }

    pub(super) fn put(&mut self, key: &Key, entry: Entry<Payload>) -> Taken {
        if self.ended {
            return Taken::TurnedDown;
        }
        if self.bytes >= self.max_bytes {
            // What it was to replace goes all the same, mostly it is older; but not without end.
            if self.bytes < self.max_bytes.saturating_mul(2) {
                let serial = self.hold(key, Waiting::Removed);
                self.commands.push_back(Command::Remove(key.clone(), serial, None));
            }
            return Taken::TurnedDown;
        }
        let serial = self.hold(key, Waiting::Put(entry));
        self.commands.push_back(Command::Put(key.clone(), serial));
        Taken::Waits
    }

    /// The answer comes by `reply`; dropped, if nobody is there to give one.
    pub(super) fn remove(&mut self, key: &Key, reply: Reply<bool>) {
        if !self.ended {
            let serial = self.hold(key, Waiting::Removed);
            self.commands.push_back(Command::Remove(key.clone(), serial, Some(reply)));
        }
    }

    pub(super) fn flush(&mut self, reply: Reply<()>) {
        if !self.ended {
            self.commands.push_back(Command::Flush(reply));
        }
    }

    /// Resolves when what waits under a key has been answered; `None`: nothing does.
    pub(super) fn barrier(&mut self, key: &Key) -> Option<oneshot::Receiver<()>> {
        self.waiting.contains_key(key).then(|| {
            let (send, wait) = oneshot::channel();
            self.commands.push_back(Command::Barrier(send));
            wait
        })
    }

    /// Resolves, or is dropped, when it is worth asking again; `None`: there is room.
    pub(super) fn room(&mut self) -> Option<oneshot::Receiver<()>> {
        if self.ended || self.bytes <= self.max_bytes / ROOM {
            return None;
        }
        let (send, wait) = oneshot::channel();
        self.waiters.push(send);
        Some(wait)
    }

    pub(super) fn is_over(&self) -> bool {
        self.ended
    }

    /// What is to be written next; `None`: nothing waits.
    pub(super) fn take(&mut self) -> Option<Batch> {
        let (mut batch, mut keys, mut bytes) = (Batch::default(), HashSet::new(), 0);
        while batch.writes.len() < MOST && bytes < LARGEST {
            let key = match self.commands.front() {
                Some(Command::Put(key, _) | Command::Remove(key, ..)) => Some(key.clone()),
                Some(Command::Flush(_) | Command::Barrier(_)) => None,
                None => break,
            };
            // Two writes of one key would not keep their order on a cluster.
            if key.is_some_and(|key| keys.contains(&key)) {
                break;
            }
            match self.commands.pop_front() {
                Some(Command::Put(key, serial)) => {
                    if let Some((newest, Waiting::Put(entry))) = self.waiting.get(&key)
                        && *newest == serial
                    {
                        bytes += entry.value.size() as u64;
                        let entry = Some(entry.clone());
                        keys.insert(key.clone());
                        batch.writes.push(Write { key, serial, entry, reply: None });
                    }
                }
                Some(Command::Remove(key, serial, reply)) => {
                    keys.insert(key.clone());
                    batch.writes.push(Write { key, serial, entry: None, reply });
                }
                Some(Command::Flush(reply)) => {
                    batch.flushes.push(reply);
                    break;
                }
                Some(Command::Barrier(told)) => batch.barriers.push(told),
                None => break,
            }
        }
        let is_empty = batch.writes.is_empty() && batch.flushes.is_empty();
        (!is_empty || !batch.barriers.is_empty()).then_some(batch)
    }

    /// A write has been answered, whatever the answer: Redis is asked from now on.
    ///
    /// Gives back those who waited for room: dropped, outside of any lock, each looks again.
    pub(super) fn done(&mut self, write: &Write) -> Vec<oneshot::Sender<()>> {
        if self.waiting.get(&write.key).is_some_and(|(newest, _)| *newest == write.serial)
            && let Some((_, waiting)) = self.waiting.remove(&write.key)
        {
            self.bytes -= waiting.bytes();
        }
        std::mem::take(&mut self.waiters)
    }

    /// Nobody writes any more: what waited is lost, and who waited is told once what this gives back is dropped.
    pub(super) fn end(&mut self) -> Queue {
        let ended = Queue { ended: true, ..Queue::new(self.max_bytes) };
        std::mem::replace(self, ended)
    }
}

#[cfg(test)]
mod tests {
    use samovar_core::{Epoch, Lifetime, Millis, Stamp, Tick, Version};

    use super::*;
    use crate::codec::CodecId;

    fn entry(size: usize) -> Entry<Payload> {
        let version = Version { epoch: Epoch(1), seq: 0 };
        let stamp = Stamp { version, tick: Tick(0), read_at: Millis(0) };
        let second = std::time::Duration::from_secs(1);
        let lifetime = Lifetime { ttl: second, stale_window: second };
        Entry::whole(Payload::new(CodecId::BYTES, vec![0; size]), stamp, lifetime)
    }

    fn key(id: u8) -> Key {
        Key::new("c", id.to_string())
    }

    fn sizes(batch: &Batch) -> Vec<(Key, Option<usize>)> {
        let size = |write: &Write| write.entry.as_ref().map(|entry| entry.value.size());
        batch.writes.iter().map(|write| (write.key.clone(), size(write))).collect()
    }

    #[test]
    fn the_newest_of_a_key_is_written_and_none_is_left_behind() {
        let mut queue = Queue::new(1 << 20);
        for size in 1..5 {
            queue.put(&key(0), entry(size));
        }
        let (flush, mut flushed) = oneshot::channel();
        queue.flush(flush);
        let batch = queue.take().unwrap();
        assert_eq!(sizes(&batch), [(key(0), Some(4))]);
        for reply in batch.flushes {
            reply.send(Ok(())).unwrap();
        }
        assert!(flushed.try_recv().unwrap().is_some());
        assert!(queue.take().is_none());
        assert!(queue.get(&key(0)).is_some(), "until it is answered");
        queue.done(&batch.writes[0]);
        assert!(queue.get(&key(0)).is_none() && queue.bytes == 0);
    }

    #[test]
    fn who_waits_for_a_key_is_told_when_its_batch_is_answered() {
        let mut queue = Queue::new(1 << 20);
        assert!(queue.barrier(&key(0)).is_none(), "nothing waits");
        queue.put(&key(0), entry(1));
        let mut written = queue.barrier(&key(0)).unwrap();
        queue.put(&key(1), entry(1));
        let batch = queue.take().unwrap();
        assert_eq!(sizes(&batch).len(), 2, "it holds nobody up");
        assert_eq!(written.try_recv(), Ok(None));
        drop(batch);
        assert!(written.try_recv().is_err(), "it is told");
        queue.put(&key(0), entry(2));
        let mut last = queue.barrier(&key(0)).unwrap();
        drop(queue.end());
        assert!(last.try_recv().is_err());
    }

    #[test]
    fn no_key_is_twice_in_a_batch_and_their_order_is_kept() {
        let mut queue = Queue::new(1 << 20);
        let (reply, _answer) = oneshot::channel();
        queue.put(&key(1), entry(1));
        queue.remove(&key(0), reply);
        queue.put(&key(0), entry(2));
        queue.put(&key(2), entry(3));
        let batches: Vec<_> = std::iter::from_fn(|| queue.take().map(|b| sizes(&b))).collect();
        let [one, two] = &batches[..] else { unreachable!("{batches:?}") };
        assert_eq!(*one, [(key(1), Some(1)), (key(0), None)]);
        assert_eq!(*two, [(key(0), Some(2)), (key(2), Some(3))]);
    }

    #[test]
    fn beyond_its_bytes_it_turns_down_and_beyond_twice_those_it_takes_nothing() {
        let mut queue = Queue::new(10_000);
        assert_eq!(queue.put(&key(0), entry(9_000)), Taken::Waits);
        assert!(queue.room().is_some());
        assert_eq!(queue.put(&key(1), entry(1_000)), Taken::Waits);
        for id in 2..200 {
            assert_eq!(queue.put(&key(id), entry(1)), Taken::TurnedDown);
        }
        assert!(matches!(queue.get(&key(2)), Some(Waiting::Removed)), "what stood there is older");
        assert!(queue.get(&key(199)).is_none() && queue.bytes < 21_000);
        while let Some(batch) = queue.take() {
            for write in &batch.writes {
                drop(queue.done(write));
            }
        }
        assert_eq!(queue.bytes, 0);
        assert!(queue.room().is_none());
        drop(queue.end());
        assert_eq!(queue.put(&key(0), entry(1)), Taken::TurnedDown);
        assert!(queue.is_over());
    }
}
