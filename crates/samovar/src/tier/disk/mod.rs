//! The disk tier: a redb file, one thread that writes and some that read.
//!
//! What is put stands in a queue, where `get` finds it, until the transaction that holds it is durable. Every
//! fill is judged by the fence inside the writer's transaction, and every sweep writes, in its own, up to where
//! the file is clean: so an old frame that arrives late cannot pass for a clean one.
//!
//! A file that turns out to be damaged is moved aside and made anew; a frame that is damaged is dropped. Both
//! are counted and said. Nothing here can make a wrong answer, only a colder one.

mod frame;
mod index;
mod store;
mod writer;

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::future::join_all;
use parking_lot::{Mutex, RwLock};
use redb::Database;
use samovar_core::{
    BoxFuture, Clock, Entry, Error, Got, Judge, Keep, Key, Need, Tier, TierName, Usage,
};

use crate::background::{Worker, closed};
use crate::codec::Payload;
use crate::counters::{Counted, Counters};
use crate::file::{Trouble, guarded};
use index::Index;
use store::{Loaded, Read};
use writer::{Command, Writer};

/// The file's name in the data directory.
pub(crate) const FILE: &str = "cache.redb";
/// Beyond so many times the queue's size entries are turned down.
const QUEUE_LIMIT: u64 = 4;

/// How a [`DiskTier`] works. Users say [`crate::Settings::disk_max_bytes`] and [`crate::Settings::sweep_after`]; the
/// rest is for who tests tiers.
///
/// ```
/// # use std::sync::Arc;
/// # use samovar::Fence;
/// # use samovar::codec::{CodecId, Payload};
/// # use samovar::fence::LocalLog;
/// # use samovar::tier::{DiskOptions, DiskTier};
/// # use samovar_core::{Clock, Entry, Key, Lifetime, MarkLog, Stamp, SystemClock, Tier};
/// # let lifetime = Lifetime { ttl: std::time::Duration::from_secs(600), stale_window: Default::default() };
/// # let directory = tempfile::tempdir().unwrap();
/// # futures_executor::block_on(async {
/// # let clock = Arc::new(SystemClock::new());
/// # let log = LocalLog::volatile(1_000)?;
/// # let fence = Fence::new(&log.snapshot().await?, clock.clone(), 1_000)?;
/// # let stamp = Stamp::new(fence.token(), clock.now());
/// let small = DiskOptions { max_bytes: 1 << 20, ..DiskOptions::default() };
/// let tier = DiskTier::open(directory.path(), small, Arc::new(fence), clock, Arc::default())?;
/// for id in 0..100 {
///     let photo = Payload::new(CodecId::BYTES, vec![0; 50 << 10]);
///     tier.put(&Key::new("photos", id.to_string()), Entry::whole(photo, stamp, lifetime));
/// }
/// tier.flush().await?;
/// let usage = tier.usage();
/// assert!(usage.total().entries > 0 && usage.total().bytes <= 1 << 20, "the oldest had to go");
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug)]
pub struct DiskOptions {
    /// The budget in bytes, as the file allots them. (The file itself is larger by what a transaction rewrites,
    /// and never shrinks.)
    pub max_bytes: u64,
    /// After marks it is swept once so much time has passed; `None`: only when it is told to.
    pub sweep_after: Option<Duration>,
    /// `room` waits while more bytes than this are queued; four times as many, and entries are turned down.
    pub queue_bytes: u64,
    /// Bytes of memory for redb's pages, those being written included.
    pub page_cache: usize,
    /// Threads that read; at least one is started.
    pub readers: usize,
}

impl Default for DiskOptions {
    fn default() -> Self {
        DiskOptions {
            max_bytes: 4 << 30,
            sweep_after: Some(Duration::from_secs(1)),
            queue_bytes: 64 << 20,
            page_cache: 64 << 20,
            readers: 2,
        }
    }
}

/// Entries on this machine's disk. Dropping it stops it without waiting; [`Tier::close`] waits.
///
/// For who writes or tests tiers: users name a [`crate::Settings::data_dir`].
///
/// ```
/// # use std::sync::Arc;
/// # use samovar::Fence;
/// # use samovar::codec::{CodecId, Payload};
/// # use samovar::fence::LocalLog;
/// # use samovar::tier::{DiskOptions, DiskTier};
/// # use samovar_core::{Clock, Entry, Epoch, Key, Lifetime, MarkLog, Stamp, SystemClock, Tier, Version};
/// # let lifetime = Lifetime { ttl: std::time::Duration::from_secs(600), stale_window: Default::default() };
/// # let directory = tempfile::tempdir().unwrap();
/// # futures_executor::block_on(async {
/// # let clock = Arc::new(SystemClock::new());
/// # let log = LocalLog::volatile(1_000)?;
/// # let fence = Fence::new(&log.snapshot().await?, clock.clone(), 1_000)?;
/// # let stamp = Stamp::new(fence.token(), clock.now());
/// # let options = DiskOptions::default();
/// # let tier = DiskTier::open(directory.path(), options, Arc::new(fence), clock, Arc::default())?;
/// let (tea, milk) = (Key::new("names", "42"), Key::new("names", "43"));
/// tier.put(&tea, Entry::whole(Payload::new(CodecId::TEXT, "Tea"), stamp, lifetime));
/// let found = tier.get(&tea).await?.expect("whether it is durable yet or not");
/// assert_eq!(found.value.read::<String>()?, Some("Tea".to_owned()));
///
/// // The fence judges what is put: this was read by another log.
/// let elsewhere = Stamp { version: Version { epoch: Epoch(7), ..stamp.version }, ..stamp };
/// tier.put(&milk, Entry::whole(Payload::new(CodecId::TEXT, "Milk"), elsewhere, lifetime));
/// assert!(tier.get(&milk).await?.is_none());
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
pub struct DiskTier {
    shared: Arc<Shared>,
    options: DiskOptions,
    commands: Sender<Command>,
    reads: Mutex<Option<Sender<ReadJob>>>,
    writer: Worker,
    readers: Vec<Worker>,
}

struct Shared {
    path: PathBuf,
    database: RwLock<Option<Database>>,
    index: Mutex<Index>,
    queue: Mutex<Queue>,
    judge: Arc<dyn Judge>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
}

/// What was handed over and is not durable yet.
#[derive(Default)]
struct Queue {
    waiting: HashMap<Key, (u64, Waiting)>,
    bytes: u64,
    last_serial: u64,
    /// Those who wait for room.
    waiters: Vec<oneshot::Sender<()>>,
    ended: bool,
}

enum Waiting {
    Put(Entry<Payload>),
    Removed,
}

impl Waiting {
    fn bytes(&self) -> u64 {
        match self {
            Waiting::Put(entry) => entry.value.size() as u64 + 512,
            Waiting::Removed => 512,
        }
    }
}

struct ReadJob {
    key: Key,
    reply: oneshot::Sender<Result<Option<Entry<Payload>>, Error>>,
}

impl DiskTier {
    /// Opens the tier in a directory, or makes it there. Fills, and what is swept, are for `judge` to decide.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use samovar::Fence;
    /// # use samovar::codec::{CodecId, Payload};
    /// # use samovar::fence::LocalLog;
    /// # use samovar::tier::{DiskOptions, DiskTier};
    /// # use samovar_core::{Clock, Entry, Key, Lifetime, MarkLog, Stamp, SystemClock, Tier};
    /// # let lifetime = Lifetime { ttl: std::time::Duration::from_secs(600), stale_window: Default::default() };
    /// # let directory = tempfile::tempdir().unwrap();
    /// # futures_executor::block_on(async {
    /// let clock = Arc::new(SystemClock::new());
    /// let log = LocalLog::volatile(1_000)?;
    /// let fence = Arc::new(Fence::new(&log.snapshot().await?, clock.clone(), 1_000)?);
    /// let open = || {
    ///     let options = DiskOptions::default();
    ///     DiskTier::open(directory.path(), options, fence.clone(), clock.clone(), Arc::default())
    /// };
    /// let (tier, key) = (open()?, Key::new("names", "42"));
    /// let name = Payload::new(CodecId::TEXT, "Tea");
    /// tier.put(&key, Entry::whole(name, Stamp::new(fence.token(), clock.now()), lifetime));
    /// tier.close().await?;
    ///
    /// let found = open()?.get(&key).await?.expect("it is there after a restart");
    /// assert_eq!(found.value.read::<String>()?, Some("Tea".to_owned()));
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Storage`](samovar_core::ErrorKind::Storage) if the file cannot be read or written,
    /// [`ErrorKind::Format`](samovar_core::ErrorKind::Format) if it is of a newer format or no cache at all, and
    /// [`ErrorKind::Held`](samovar_core::ErrorKind::Held) if another process has it open.
    pub fn open(
        directory: &Path,
        options: DiskOptions,
        judge: Arc<dyn Judge>,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
    ) -> Result<DiskTier, Error> {
        let path = directory.join(FILE);
        let opened = store::layout(options.page_cache).open(&path)?;
        let Loaded { index, damaged, clean } = opened.loaded;
        judge.swept(clean);
        let shared = Arc::new(Shared {
            path,
            database: RwLock::new(Some(opened.database)),
            index: Mutex::new(index),
            queue: Mutex::default(),
            judge,
            clock,
            counters,
        });
        if let Some(notice) = opened.notice {
            shared.say(notice);
        }
        let (commands, inbox) = channel();
        for key in damaged {
            shared.drop_damaged(key, &commands);
        }
        let (own, last) = (Arc::clone(&shared), Arc::clone(&shared));
        let writer = Worker::spawn(
            "samovar-disk",
            move || Writer::new(own, options).run(&inbox),
            move |_| last.end(),
        )?;
        let (reads, jobs) = channel();
        let jobs = Arc::new(Mutex::new(jobs));
        let reader = |number| {
            let (shared, jobs, commands) =
                (Arc::clone(&shared), Arc::clone(&jobs), commands.clone());
            let body = move || {
                shared.read_all(&jobs, &commands);
                Ok(())
            };
            Worker::spawn(&format!("samovar-read-{number}"), body, |_| {})
        };
        let readers = (1..=options.readers.max(1)).map(reader).collect::<Result<_, _>>()?;
        Ok(DiskTier { shared, options, commands, reads: Mutex::new(Some(reads)), writer, readers })
    }

    /// Queues something, in the order of the queue; false if nobody is there to write it.
    fn hand_over(&self, queue: &mut Queue, key: &Key, waiting: Waiting) -> bool {
        if queue.ended {
            return false;
        }
        queue.last_serial += 1;
        let serial = queue.last_serial;
        let command = match &waiting {
            Waiting::Put(_) => Command::Put(key.clone(), serial),
            Waiting::Removed => Command::Remove(key.clone(), serial),
        };
        queue.bytes += waiting.bytes();
        if let Some((_, old)) = queue.waiting.insert(key.clone(), (serial, waiting)) {
            // Its command still goes to the writer, which finds nothing to do.
            queue.bytes -= old.bytes();
        }
        // Under the lock, so that the queue and the channel have one order.
        self.commands.send(command).is_ok()
    }

    fn ask(
        &self,
        command: impl FnOnce(writer::Reply) -> Command,
    ) -> BoxFuture<'_, Result<(), Error>> {
        let (reply, answer) = oneshot::channel();
        let _ = self.commands.send(command(reply));
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(self.writer.health().why())) })
    }
}

impl Shared {
    fn say(&self, text: impl Into<Arc<str>>) {
        self.counters.say(self.clock.now(), text);
    }

    /// The entry of this serial, unless something was queued under the key since.
    fn newest(&self, key: &Key, serial: u64) -> Option<Entry<Payload>> {
        match self.queue.lock().waiting.get(key)? {
            (newest, Waiting::Put(entry)) if *newest == serial => Some(entry.clone()),
            _ => None,
        }
    }

    /// What was queued under these serials is durable, or lost.
    fn done(&self, done: Vec<(Key, u64)>) {
        let mut queue = self.queue.lock();
        for (key, serial) in done {
            if queue.waiting.get(&key).is_some_and(|(waiting, _)| *waiting == serial)
                && let Some((_, waiting)) = queue.waiting.remove(&key)
            {
                queue.bytes -= waiting.bytes();
            }
        }
        let waiters = std::mem::take(&mut queue.waiters);
        drop(queue);
        // Each looks again whether there is room.
        drop(waiters);
    }

    /// The writer is gone.
    fn end(&self) {
        {
            let mut queue = self.queue.lock();
            queue.ended = true;
            queue.waiting.clear();
            queue.bytes = 0;
            drop(std::mem::take(&mut queue.waiters));
        }
        drop(self.database.write().take());
    }

    /// Closes the file and opens it again; if it is said to be damaged, anew.
    fn reopen(&self, options: DiskOptions, damage: Option<&str>) -> Result<(), Error> {
        let mut database = self.database.write();
        // A database that has panicked may do so again.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(database.take())));
        let layout = store::layout(options.page_cache);
        let opened = match damage {
            None => layout.open(&self.path)?,
            Some(why) => layout.replace(&self.path, why)?,
        };
        if let Some(notice) = opened.notice {
            self.say(notice);
        }
        self.judge.swept(opened.loaded.clean);
        *self.index.lock() = opened.loaded.index;
        *database = Some(opened.database);
        Ok(())
    }

    fn drop_damaged(&self, key: Key, commands: &Sender<Command>) {
        self.counters.count(Counted::Damaged, 1);
        self.say(format!("the entry {key} on disk is damaged; it was dropped"));
        let _ = commands.send(Command::Drop(key));
    }

    /// A reader's life.
    fn read_all(&self, jobs: &Mutex<Receiver<ReadJob>>, commands: &Sender<Command>) {
        loop {
            // The lock is held while waiting: whoever has it gets the next job.
            let Ok(job) = jobs.lock().recv() else { return };
            if job.reply.is_canceled() {
                continue;
            }
            let outcome = guarded(|| match &*self.database.read() {
                Some(database) => store::read(database, &job.key, &*self.judge),
                None => Err(Trouble::Failed(closed())),
            });
            let answer = match outcome {
                Ok(Read::Absent) => Ok(None),
                Ok(Read::Found(entry)) => Ok(Some(entry)),
                Ok(Read::Damaged) => {
                    self.drop_damaged(job.key, commands);
                    Ok(None)
                }
                Err(trouble) => {
                    if let Trouble::Damaged(why) = &trouble {
                        let _ = commands.send(Command::Rebuild(why.clone()));
                    }
                    Err(trouble.into_error(&self.path))
                }
            };
            let _ = job.reply.send(answer);
        }
    }
}

impl Tier for DiskTier {
    type Value = Payload;

    /// By all of its readers at once.
    fn get_many<'a>(&'a self, keys: &'a [Key], need: Need) -> BoxFuture<'a, Vec<Got<Payload>>> {
        Box::pin(join_all(keys.iter().map(move |key| self.get_for(key, need))))
    }

    fn name(&self) -> TierName {
        TierName::Disk
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry<Payload>>, Error>> {
        let ready = |found| -> BoxFuture<'a, _> { Box::pin(std::future::ready(Ok(found))) };
        match self.shared.queue.lock().waiting.get(key) {
            Some((_, Waiting::Put(entry))) => return ready(Some(entry.clone())),
            Some((_, Waiting::Removed)) => return ready(None),
            None => {}
        }
        if self.shared.index.lock().touch(key).is_none() {
            return ready(None);
        }
        let (reply, answer) = oneshot::channel();
        if let Some(reads) = &*self.reads.lock() {
            let _ = reads.send(ReadJob { key: key.clone(), reply });
        }
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(self.writer.health().why())) })
    }

    /// What the fence refuses already is turned down here, so that it does not hide what stands in the file. Of what
    /// is let in the writer decides, inside its transaction, by the fence of that moment and by what stands there.
    fn put(&self, key: &Key, entry: Entry<Payload>) {
        let judge = &*self.shared.judge;
        let refused = judge.judge_stored(key, entry.claim()) == Keep::Drop;
        let mut queue = self.shared.queue.lock();
        // The writer passes over what waits for what comes behind it.
        let late = match queue.waiting.get(key) {
            Some((_, Waiting::Put(kept))) => store::stays(key, kept.claim(), &entry.parts, judge),
            _ => false,
        };
        if refused || late {
            self.shared.counters.count(Counted::FillRefused, 1);
            return;
        }
        let full = queue.bytes >= self.options.queue_bytes.saturating_mul(QUEUE_LIMIT);
        // If there is no room, what it was to replace goes all the same: mostly it is older.
        let waiting = if full { Waiting::Removed } else { Waiting::Put(entry) };
        if !self.hand_over(&mut queue, key, waiting) || full {
            self.shared.counters.count(Counted::FillDropped, 1);
        }
    }

    fn remove<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool, Error>> {
        let mut queue = self.shared.queue.lock();
        let there = match queue.waiting.get(key) {
            Some((_, Waiting::Put(_))) => true,
            Some((_, Waiting::Removed)) => false,
            None => self.shared.index.lock().get(key).is_some(),
        };
        let outcome = match there && !self.hand_over(&mut queue, key, Waiting::Removed) {
            true => Err(self.writer.health().why()),
            false => Ok(there),
        };
        Box::pin(std::future::ready(outcome))
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.ask(Command::Flush)
    }

    fn room(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            loop {
                let wait = {
                    let mut queue = self.shared.queue.lock();
                    if queue.ended {
                        return Err(self.writer.health().why());
                    }
                    if queue.bytes <= self.options.queue_bytes {
                        return Ok(());
                    }
                    let (send, wait) = oneshot::channel();
                    queue.waiters.push(send);
                    wait
                };
                let _ = wait.await;
            }
        })
    }

    fn sweep(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.ask(Command::Sweep)
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        let _ = self.commands.send(Command::Close);
        drop(self.reads.lock().take());
        Box::pin(async move {
            let outcome = self.writer.ended().await;
            for reader in &self.readers {
                reader.ended().await?;
            }
            outcome
        })
    }

    fn usage(&self) -> Usage {
        self.shared.index.lock().usage(self.options.max_bytes)
    }
}

impl fmt::Debug for DiskTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskTier")
            .field("path", &self.shared.path)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
