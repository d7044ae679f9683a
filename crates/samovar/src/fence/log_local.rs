//! The mark log of a single node: a file of its own, group commit.
//!
//! For each scope the file holds the marks that a later one of the same scope has not made redundant. If there are too
//! many scopes it forgets the oldest, and holds a `remove` over all that each of them could have covered in its
//! place, at its number: whoever begins with this log has the same floors. The appends that wait while one transaction is being made
//! durable go into the next one, up to a bound; an append beyond it is spread over several.
//!
//! What the tail has not taken stays in memory, however much that is. It cannot be read from the file instead:
//! there a later mark takes the place of earlier ones of its scope, so the numbers are not dense. It is bounded
//! all the same by the marks whose callers still wait: [`crate::Samovar::mark`] returns only when the tail has
//! taken its marks.

mod rows;

use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use futures_channel::oneshot;
use parking_lot::Mutex;
use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase, TableDefinition, WriteTransaction};
use samovar_core::{
    BoxFuture, Epoch, Error, History, Mark, MarkLog, Next, Numbered, Snapshot, Version,
};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::background::Worker;
use crate::file::{Layout, Trouble, guarded, trouble};
use crate::random;
use rows::{Scopes, decode, encode};

/// The file's name in the data directory.
pub(crate) const FILE: &str = "marks.redb";
/// How many marks are kept in memory after the tail has taken them, for one that begins further back.
const RECENT: usize = 4_096;
/// About how many marks are made durable at once, and yielded at once: so that those who come behind a large
/// append are not kept waiting by all of it, and readers not by the applying of it.
const AT_ONCE: usize = 8_192;

/// One row: what must never be lost or altered unnoticed.
const STATE: TableDefinition<'static, (), &[u8]> = TableDefinition::new("state");

/// Since 2 scopes may be patterns and tags, since 3 marks have priorities.
const LAYOUT: Layout<Loaded> = Layout { page_cache: 4 << 20, format: 3, since: 1, create, load };

/// What the file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    epoch: Epoch,
    /// The last number given.
    head: u64,
    /// The sum of the checksums of all rows in `marks`: so a row that is lost is noticed too.
    digest: u64,
}

struct Loaded {
    state: State,
    snapshot: Snapshot,
}

/// A mark log in a file of its own, or in memory. Dropping it stops it without waiting; [`MarkLog::close`] waits.
///
/// [`crate::Samovar::open`] opens one by itself, in [`crate::Settings::data_dir`] or in memory, unless
/// [`crate::Settings::log`] names another.
///
/// ```
/// use samovar::fence::LocalLog;
/// use samovar_core::{Mark, MarkId, MarkLog, Millis, Mode, Next, Scope};
///
/// # futures_executor::block_on(async {
/// let log = LocalLog::volatile(100_000)?;
/// let mark = Mark {
///     id: MarkId(1),
///     scope: Scope::Cache("prices".into()),
///     mode: Mode::Remove,
///     at: Millis(1_790_000_000_000),
///     reason: "new list".into(),
///     priority: Mark::PRIORITY,
/// };
/// let history = log.snapshot().await?.history;
/// let version = log.append(vec![mark], None).await?.expect("wherever the log stands");
/// let Next::Marks(marks) = log.next(&history, 0).await? else { panic!("its history never turns") };
/// assert_eq!((marks[0].version, version.seq), (version, 1));
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
pub struct LocalLog {
    requests: Sender<Request>,
    shared: Arc<Shared>,
    worker: Worker,
}

struct Shared {
    database: Mutex<Option<Arc<Database>>>,
    recent: Mutex<Recent>,
}

/// The newest durable marks and who waits for the next.
#[derive(Default)]
struct Recent {
    /// Dense. Begins at or before what comes after `taken`.
    marks: VecDeque<Numbered>,
    /// Who asked for what comes after this number has taken everything up to it.
    taken: u64,
    waiters: Vec<oneshot::Sender<()>>,
    ended: bool,
}

enum Request {
    Append(Vec<Mark>, Option<Version>, Reply),
    Stop,
}

impl Recent {
    /// Forgets the oldest of what was taken, beyond what is kept.
    fn forget(&mut self) {
        let taken = self.marks.partition_point(|m| m.version.seq <= self.taken);
        self.marks.drain(..taken.min(self.marks.len().saturating_sub(RECENT)));
    }
}

impl LocalLog {
    /// Opens the log in a directory, or founds it there. The second value says, if it is there, that the file was
    /// damaged, where it was moved, and that the log was founded again: under a new epoch's name, so that
    /// nothing cached before is served.
    ///
    /// Beyond twice `marks_max` scopes it forgets the oldest. A fence that remembers `marks_max` has mostly forgotten
    /// them before, when it cost least.
    ///
    /// ```
    /// # use samovar::fence::LocalLog;
    /// # use samovar_core::{Mark, MarkId, MarkLog, Millis, Mode, Scope};
    /// # let mark = Mark {
    /// #     id: MarkId(1),
    /// #     scope: Scope::Cache("prices".into()),
    /// #     mode: Mode::Remove,
    /// #     at: Millis(0),
    /// #     reason: "new list".into(),
    /// #     priority: Mark::PRIORITY,
    /// # };
    /// # let directory = tempfile::tempdir().unwrap();
    /// # futures_executor::block_on(async {
    /// let (log, notice) = LocalLog::open(directory.path(), 100_000)?;
    /// assert_eq!(notice, None, "nothing was damaged");
    /// let version = log.append(vec![mark.clone()], None).await?;
    /// log.close().await?;
    ///
    /// let (log, _) = LocalLog::open(directory.path(), 100_000)?;
    /// let known = log.snapshot().await?;
    /// assert_eq!((Some(known.head), &known.marks[0].mark), (version, &mark));
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Storage`](samovar_core::ErrorKind::Storage) if the file cannot be read or written,
    /// [`ErrorKind::Format`](samovar_core::ErrorKind::Format) if it is of a newer format or no mark log at all, and
    /// [`ErrorKind::Held`](samovar_core::ErrorKind::Held) if another process has it open.
    pub fn open(directory: &Path, marks_max: usize) -> Result<(LocalLog, Option<String>), Error> {
        let opened = LAYOUT.open(&directory.join(FILE))?;
        let notice = opened.notice.map(|said| {
            format!("{said}; the mark log was founded again, so what is on disk is not served")
        });
        Ok((LocalLog::start(opened.database, opened.loaded.state, marks_max)?, notice))
    }

    /// Whether there is a log in a directory.
    pub(crate) fn is_in(directory: &Path) -> bool {
        directory.join(FILE).metadata().is_ok_and(|found| found.len() > 0)
    }

    /// A log that ends with the process: for caches in memory alone. It forgets as [`LocalLog::open`] says.
    ///
    /// ```
    /// # use samovar::fence::LocalLog;
    /// # use samovar_core::MarkLog;
    /// # futures_executor::block_on(async {
    /// let log = LocalLog::volatile(100_000)?;
    /// let next = LocalLog::volatile(100_000)?; // as after a restart
    /// let (log, next) = (log.snapshot().await?, next.snapshot().await?);
    /// assert!(log.marks.is_empty() && next.marks.is_empty());
    /// assert_ne!(log.head, next.head, "what was read by one means nothing to the other");
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Storage`](samovar_core::ErrorKind::Storage) if no thread can be started.
    pub fn volatile(marks_max: usize) -> Result<LocalLog, Error> {
        let fails = |trouble: Trouble| trouble.into_error(Path::new(FILE));
        let database = Database::builder()
            .create_with_backend(InMemoryBackend::new())
            .map_err(|e| fails(trouble(e)))?;
        let loaded = LAYOUT.fill(&database).map_err(fails)?;
        LocalLog::start(database, loaded.state, marks_max)
    }

    fn start(database: Database, state: State, marks_max: usize) -> Result<LocalLog, Error> {
        let database = Arc::new(database);
        let shared = Arc::new(Shared {
            database: Mutex::new(Some(Arc::clone(&database))),
            recent: Mutex::default(),
        });
        let (requests, inbox) = channel();
        let (own, last) = (Arc::clone(&shared), Arc::clone(&shared));
        let worker = Worker::spawn(
            "samovar-log",
            move || Writer { database, shared: own, state, marks_max }.run(&inbox),
            move |_| {
                last.database.lock().take();
                let waiters = {
                    let mut recent = last.recent.lock();
                    recent.ended = true;
                    std::mem::take(&mut recent.waiters)
                };
                drop(waiters);
            },
        )?;
        Ok(LocalLog { requests, shared, worker })
    }
}

/// Gives a new log its epoch. Its name is random.
fn create(transaction: &WriteTransaction) -> Result<(), Trouble> {
    let epoch = random::number().map_err(Trouble::Failed)?;
    Scopes::open(transaction, &mut 0)?;
    write_state(transaction, &State { epoch: Epoch(epoch), head: 0, digest: 0 })
}

fn write_state(transaction: &WriteTransaction, state: &State) -> Result<(), Trouble> {
    let mut row = encode(state)?;
    row.extend_from_slice(&xxh3_64(&row).to_le_bytes());
    let mut table = transaction.open_table(STATE).map_err(trouble)?;
    table.insert((), &*row).map_err(trouble)?;
    Ok(())
}

/// Reads and checks everything.
fn load(database: &Database) -> Result<Loaded, Trouble> {
    let damaged = |what: &str| Trouble::Damaged(what.to_owned());
    let transaction = database.begin_read().map_err(trouble)?;
    let state = transaction.open_table(STATE).map_err(trouble)?;
    let state = state.get(()).map_err(trouble)?.ok_or_else(|| damaged("it has no head"))?;
    let (row, sum) =
        state.value().split_last_chunk().ok_or_else(|| damaged("its head is cut short"))?;
    if xxh3_64(row) != u64::from_le_bytes(*sum) {
        return Err(damaged("its head has a wrong checksum"));
    }
    let state: State = decode(row)?;
    let (marks, digest) = rows::read(&transaction, state.epoch)?;
    if digest != state.digest {
        return Err(damaged("its marks have a wrong checksum"));
    }
    let head = Version { epoch: state.epoch, seq: state.head };
    let history = History(vec![(state.epoch, 0)]);
    Ok(Loaded { state, snapshot: Snapshot { history, marks, head, shared: false } })
}

type Reply = oneshot::Sender<Result<Option<Version>, Error>>;

/// Owns all writing.
struct Writer {
    database: Arc<Database>,
    shared: Arc<Shared>,
    state: State,
    marks_max: usize,
}

impl Writer {
    fn run(mut self, inbox: &Receiver<Request>) -> Result<(), Error> {
        let mut stop = false;
        while !stop {
            let Ok(first) = inbox.recv() else { return Ok(()) };
            let (mut batch, mut marks) = (Vec::new(), 0);
            for request in std::iter::once(first).chain(inbox.try_iter()) {
                match request {
                    Request::Append(more, head, reply) => {
                        marks += more.len();
                        batch.push((more, head, reply));
                    }
                    Request::Stop => stop = true,
                }
                if stop || marks >= AT_ONCE {
                    break;
                }
            }
            self.commit(batch)?;
        }
        Ok(())
    }

    /// Makes appends durable, in one transaction or several, and answers each once all of it is. (A crash in
    /// between keeps the beginning of one that nobody was told of, which makes colder, never wrong.)
    fn commit(&mut self, batch: Vec<(Vec<Mark>, Option<Version>, Reply)>) -> Result<(), Error> {
        let mut head = Version { epoch: self.state.epoch, seq: self.state.head };
        let mut numbered = Vec::new();
        let mut replies = VecDeque::new();
        for (marks, expected, reply) in batch {
            if expected.is_some_and(|expected| expected != head) {
                let _ = reply.send(Ok(None));
                continue;
            }
            for mark in marks {
                head.seq += 1;
                numbered.push(Numbered { version: head, mark });
            }
            replies.push_back((reply, head));
        }
        for marks in numbered.chunks(AT_ONCE) {
            match guarded(|| self.store(marks)) {
                Ok(state) => self.state = state,
                Err(trouble) => {
                    // Whether it is durable is not known: it stays pending where it was accepted.
                    let error = trouble.into_error(Path::new(FILE));
                    for (reply, _) in replies {
                        let _ = reply.send(Err(error.clone()));
                    }
                    return Err(error);
                }
            }
            self.publish(marks);
            self.answer(&mut replies);
        }
        // An append of nothing.
        self.answer(&mut replies);
        Ok(())
    }

    /// Lets the tail see what is durable.
    fn publish(&self, marks: &[Numbered]) {
        let waiters = {
            let mut recent = self.shared.recent.lock();
            recent.marks.extend(marks.iter().cloned());
            recent.forget();
            std::mem::take(&mut recent.waiters)
        };
        for waiter in waiters {
            let _ = waiter.send(());
        }
    }

    /// Answers those whose last mark is durable.
    fn answer(&self, replies: &mut VecDeque<(Reply, Version)>) {
        let durable = replies.partition_point(|(_, version)| version.seq <= self.state.head);
        for (reply, version) in replies.drain(..durable) {
            let _ = reply.send(Ok(Some(version)));
        }
    }

    /// One transaction, durable when this returns.
    fn store(&self, marks: &[Numbered]) -> Result<State, Trouble> {
        let head = marks.last().map_or(self.state.head, |last| last.version.seq);
        let mut state = State { head, ..self.state };
        let transaction = self.database.begin_write().map_err(trouble)?;
        {
            let mut scopes = Scopes::open(&transaction, &mut state.digest)?;
            marks.iter().try_for_each(|numbered| scopes.add(numbered))?;
            scopes.keep_within(self.marks_max.saturating_mul(2))?;
        }
        write_state(&transaction, &state)?;
        transaction.commit().map_err(trouble)?;
        Ok(state)
    }
}

impl MarkLog for LocalLog {
    /// Reads the file on the calling thread.
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, Error>> {
        let database = self.shared.database.lock().clone();
        let read = database.ok_or_else(|| self.worker.health().why()).and_then(|database| {
            let loaded = guarded(|| load(&database));
            loaded.map(|loaded| loaded.snapshot).map_err(|t| t.into_error(Path::new(FILE)))
        });
        Box::pin(std::future::ready(read))
    }

    fn append(
        &self,
        marks: Vec<Mark>,
        head: Option<Version>,
    ) -> BoxFuture<'static, Result<Option<Version>, Error>> {
        let (reply, answer) = oneshot::channel();
        // If the thread is gone the request is dropped, and with it the reply's sender.
        let _ = self.requests.send(Request::Append(marks, head, reply));
        let health = self.worker.health().clone();
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(health.why())) })
    }

    /// Its history never turns, and it yields every mark since it was opened.
    fn next<'a>(&'a self, _: &'a History, after: u64) -> BoxFuture<'a, Result<Next, Error>> {
        Box::pin(async move {
            loop {
                let wait = {
                    let mut recent = self.shared.recent.lock();
                    recent.taken = recent.taken.max(after);
                    recent.forget();
                    let from = recent.marks.partition_point(|m| m.version.seq <= after);
                    if from < recent.marks.len() {
                        let marks = recent.marks.range(from..).take(AT_ONCE).cloned().collect();
                        return Ok(Next::Marks(marks));
                    }
                    if recent.ended {
                        return Err(self.worker.health().why());
                    }
                    let (send, wait) = oneshot::channel();
                    recent.waiters.push(send);
                    wait
                };
                let _ = wait.await;
            }
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        let _ = self.requests.send(Request::Stop);
        Box::pin(self.worker.ended())
    }
}

impl fmt::Debug for LocalLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalLog").field("worker", &self.worker).finish_non_exhaustive()
    }
}
