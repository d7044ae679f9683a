//! A log that goes step by step.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_channel::oneshot;
use samovar_core::{
    BoxFuture, Epoch, Error, ErrorKind, History, Mark, MarkLog, Mode, Next, Numbered, Scope,
    Snapshot, Version,
};

use super::mark;

/// The first epoch; the others are named by counting on.
const FIRST: u64 = 0x57e9;

/// A log that goes step by step: what is appended waits until the test commits it, and what is committed is
/// yielded once the test shows it.
///
/// ```
/// # use futures_executor::block_on;
/// # use futures_util::FutureExt;
/// # use samovar_core::{MarkLog, Mode, Next, Scope};
/// # use samovar_testkit::log::{StepLog, mark};
/// let log = StepLog::new();
/// let history = block_on(log.snapshot()).unwrap().history;
/// let mut append = log.append(vec![mark(1, Scope::Everything, Mode::Remove, 0)], None);
/// assert!((&mut append).now_or_never().is_none());
/// log.commit();
/// assert_eq!(block_on(append).unwrap().map(|version| version.seq), Some(1));
/// assert!(log.next(&history, 0).now_or_never().is_none());
/// log.show();
/// assert!(matches!(block_on(log.next(&history, 0)).unwrap(), Next::Marks(marks) if marks.len() == 1));
/// ```
#[derive(Debug)]
pub struct StepLog {
    held: Arc<Mutex<Held>>,
    state: Mutex<Steps>,
}

/// What the log holds, for all who share it.
#[derive(Clone, Debug)]
struct Held {
    history: History,
    /// The number that was trimmed away last.
    first: u64,
    marks: Vec<Numbered>,
    shared: bool,
    epochs: u64,
}

impl Held {
    fn head(&self) -> Version {
        let last = self.marks.last().map_or(self.first, |last| last.version.seq);
        let lost = Version { epoch: Epoch(FIRST), seq: last };
        self.history.at(last).unwrap_or(lost)
    }
}

type Reply = oneshot::Sender<Result<Option<Version>, Error>>;

/// How one node sees the log.
#[derive(Debug)]
struct Steps {
    waiting: Vec<(Vec<Mark>, Option<Version>, Reply)>,
    /// As it was when it was last shown.
    shown: Held,
    tails: Vec<oneshot::Sender<()>>,
    at_once: bool,
}

impl StepLog {
    /// An empty log, of one node alone.
    ///
    /// ```
    /// # use futures_executor::block_on;
    /// # use samovar_core::MarkLog;
    /// # use samovar_testkit::log::StepLog;
    /// # fn main() -> Result<(), samovar_core::Error> {
    /// let seen = block_on(StepLog::new().snapshot())?;
    /// assert!(seen.marks.is_empty() && !seen.shared);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new() -> Arc<StepLog> {
        StepLog::empty(false)
    }

    /// An empty log that several nodes share, each by a handle of its own ([`StepLog::beside`]). It may lose what it held
    /// ([`StepLog::fail_over`]) and let go of it ([`StepLog::trim`]).
    ///
    /// ```
    /// # use futures_executor::block_on;
    /// # use samovar_core::{MarkLog, Mode, Next, Scope};
    /// # use samovar_testkit::log::{StepLog, append, mark};
    /// let log = StepLog::shared();
    /// let other = log.beside();
    /// let known = block_on(other.snapshot()).unwrap().history;
    /// log.set_at_once(true);
    /// append(&*log, vec![mark(1, Scope::Everything, Mode::Remove, 0)]).unwrap();
    /// log.fail_over(0);
    /// other.show();
    /// assert!(matches!(block_on(other.next(&known, 0)).unwrap(), Next::History(now) if now != known));
    /// assert!(log.marks().is_empty());
    /// ```
    pub fn shared() -> Arc<StepLog> {
        StepLog::empty(true)
    }

    fn empty(shared: bool) -> Arc<StepLog> {
        let history = History(vec![(Epoch(FIRST), 0)]);
        let held = Held { history, first: 0, marks: Vec::new(), shared, epochs: 1 };
        StepLog::over(Arc::new(Mutex::new(held)))
    }

    fn over(held: Arc<Mutex<Held>>) -> Arc<StepLog> {
        let shown = lock(&held).clone();
        let state = Steps { waiting: Vec::new(), shown, tails: Vec::new(), at_once: false };
        Arc::new(StepLog { held, state: Mutex::new(state) })
    }

    /// A log that commits and shows at once.
    ///
    /// ```
    /// # use samovar_core::{Mode, Scope};
    /// # use samovar_testkit::log::{StepLog, append, mark};
    /// # fn main() -> Result<(), samovar_core::Error> {
    /// let log = StepLog::at_once();
    /// assert_eq!(append(&*log, vec![mark(1, Scope::Everything, Mode::Remove, 0)])?.seq, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn at_once() -> Arc<StepLog> {
        let log = StepLog::new();
        log.set_at_once(true);
        log
    }

    /// The same log for another node: what is committed by one is there for both, and shown to each on its own.
    ///
    /// ```
    /// # use futures_executor::block_on;
    /// # use futures_util::FutureExt;
    /// # use samovar_core::{MarkLog, Mode, Scope};
    /// # use samovar_testkit::log::{StepLog, append, mark};
    /// # fn main() -> Result<(), samovar_core::Error> {
    /// let log = StepLog::shared();
    /// let other = log.beside();
    /// let known = block_on(other.snapshot())?.history;
    /// log.set_at_once(true);
    /// append(&*log, vec![mark(1, Scope::Everything, Mode::Remove, 0)])?;
    /// assert_eq!(other.marks().len(), 1, "it is there");
    /// assert!(other.next(&known, 0).now_or_never().is_none(), "and not yet shown");
    /// # Ok(())
    /// # }
    /// ```
    pub fn beside(&self) -> Arc<StepLog> {
        StepLog::over(Arc::clone(&self.held))
    }

    /// Whether appends from here are committed and shown here at once, from now on.
    ///
    /// ```
    /// # use futures_util::FutureExt;
    /// # use samovar_core::{MarkLog, Mode, Scope};
    /// # use samovar_testkit::log::{StepLog, mark};
    /// let log = StepLog::at_once();
    /// log.set_at_once(false);
    /// let append = log.append(vec![mark(1, Scope::Everything, Mode::Remove, 0)], None);
    /// assert!(append.now_or_never().is_none(), "it waits for a commit");
    /// ```
    pub fn set_at_once(&self, at_once: bool) {
        self.state().at_once = at_once;
    }

    /// Makes durable what waits, and answers those who appended it.
    ///
    /// ```
    /// # use futures_executor::block_on;
    /// # use samovar_core::{MarkLog, Mode, Scope};
    /// # use samovar_testkit::log::{StepLog, mark};
    /// # fn main() -> Result<(), samovar_core::Error> {
    /// let log = StepLog::new();
    /// let append = |id| log.append(vec![mark(id, Scope::Everything, Mode::Remove, 0)], None);
    /// let (first, second) = (append(1), append(2));
    /// log.commit();
    /// let seqs = [block_on(first)?, block_on(second)?].map(|version| version.map(|at| at.seq));
    /// assert_eq!(seqs, [Some(1), Some(2)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn commit(&self) {
        let waiting = std::mem::take(&mut self.state().waiting);
        for (marks, head, reply) in waiting {
            let _ = reply.send(Ok(self.take(marks, head)));
        }
    }

    /// Lets the tail see how the log stands now.
    ///
    /// ```
    /// # use futures_executor::block_on;
    /// # use futures_util::FutureExt;
    /// # use samovar_core::{MarkLog, Mode, Scope};
    /// # use samovar_testkit::log::{StepLog, mark};
    /// # fn main() -> Result<(), samovar_core::Error> {
    /// let log = StepLog::new();
    /// let known = block_on(log.snapshot())?.history;
    /// let _append = log.append(vec![mark(1, Scope::Everything, Mode::Remove, 0)], None);
    /// log.commit();
    /// assert!(log.next(&known, 0).now_or_never().is_none());
    /// log.show();
    /// assert!(log.next(&known, 0).now_or_never().is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub fn show(&self) {
        let held = lock(&self.held).clone();
        let tails = {
            let mut state = self.state();
            state.shown = held;
            std::mem::take(&mut state.tails)
        };
        drop(tails);
    }

    /// Answers those who wait with an error. Their marks may be durable (`committed`) or not.
    ///
    /// Who appended cannot tell the two apart:
    ///
    /// ```
    /// # use futures_executor::block_on;
    /// # use samovar_core::{MarkLog, Mode, Scope};
    /// # use samovar_testkit::log::{StepLog, mark};
    /// let log = StepLog::new();
    /// for (committed, held) in [(false, 0), (true, 1)] {
    ///     let append = log.append(vec![mark(1, Scope::Everything, Mode::Remove, 0)], None);
    ///     log.fail(committed);
    ///     assert!(block_on(append).is_err());
    ///     assert_eq!(log.marks().len(), held);
    /// }
    /// ```
    pub fn fail(&self, committed: bool) {
        let waiting = std::mem::take(&mut self.state().waiting);
        for (marks, head, reply) in waiting {
            if committed {
                self.take(marks, head);
            }
            let _ = reply.send(Err(Error::new(ErrorKind::Storage, "the test lets the log fail")));
        }
    }

    /// Another server takes the log over, which has it up to this number, and knows the epochs that began up to there.
    /// It begins one of its own.
    ///
    /// ```
    /// # use samovar_core::{Mode, Scope};
    /// # use samovar_testkit::log::{StepLog, append, mark};
    /// # fn main() -> Result<(), samovar_core::Error> {
    /// let log = StepLog::shared();
    /// log.set_at_once(true);
    /// let one = |id| append(&*log, vec![mark(id, Scope::Everything, Mode::Remove, 0)]);
    /// let (first, lost) = (one(1)?, one(2)?);
    /// log.fail_over(first.seq);
    /// let next = one(3)?;
    /// assert_eq!(next.seq, lost.seq, "the number is given again");
    /// assert_ne!(next.epoch, lost.epoch, "in another epoch");
    /// # Ok(())
    /// # }
    /// ```
    pub fn fail_over(&self, kept: u64) {
        let mut held = lock(&self.held);
        held.marks.retain(|numbered| numbered.version.seq <= kept);
        let last = held.head().seq.min(kept);
        held.epochs += 1;
        let name = Epoch(FIRST + held.epochs - 1);
        let epochs = &mut held.history.0;
        // Of an epoch in which no number is left nothing needs to be known, unless it is the first.
        let mut at = 0;
        epochs.retain(|(_, start)| {
            at += 1;
            at == 1 || *start < last
        });
        epochs.push((name, last));
    }

    /// Lets go of what it holds up to this number.
    ///
    /// ```
    /// # use futures_executor::block_on;
    /// # use samovar_core::{MarkLog, Mode, Next, Scope};
    /// # use samovar_testkit::log::{StepLog, append, mark};
    /// # fn main() -> Result<(), samovar_core::Error> {
    /// let log = StepLog::shared();
    /// log.set_at_once(true);
    /// let marks = [1, 2, 3].map(|id| mark(id, Scope::Everything, Mode::Remove, 0));
    /// append(&*log, marks.into())?;
    /// log.trim(2);
    /// log.show();
    /// let known = block_on(log.snapshot())?.history;
    /// assert!(matches!(block_on(log.next(&known, 1))?, Next::Gap(2)), "who is behind is told");
    /// # Ok(())
    /// # }
    /// ```
    pub fn trim(&self, up_to: u64) {
        let mut held = lock(&self.held);
        held.first = held.first.max(up_to.min(held.head().seq));
        let first = held.first;
        held.marks.retain(|numbered| numbered.version.seq > first);
    }

    /// What it holds.
    ///
    /// ```
    /// # use samovar_core::{MarkId, Mode, Scope};
    /// # use samovar_testkit::log::{StepLog, append, mark};
    /// # fn main() -> Result<(), samovar_core::Error> {
    /// let log = StepLog::at_once();
    /// append(&*log, vec![mark(7, Scope::Everything, Mode::Remove, 0)])?;
    /// let held = log.marks();
    /// assert_eq!((held[0].version.seq, held[0].mark.id), (1, MarkId(7)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn marks(&self) -> Vec<Numbered> {
        lock(&self.held).marks.clone()
    }

    fn take(&self, marks: Vec<Mark>, head: Option<Version>) -> Option<Version> {
        let mut held = lock(&self.held);
        if head.is_some_and(|head| head != held.head()) {
            return None;
        }
        let epoch = held.history.epoch()?;
        for mark in marks {
            let version = Version { epoch, seq: held.head().seq + 1 };
            held.marks.push(Numbered { version, mark });
        }
        Some(Version { epoch, ..held.head() })
    }

    /// How many appends wait.
    ///
    /// ```
    /// # use samovar_core::{MarkLog, Mode, Scope};
    /// # use samovar_testkit::log::{StepLog, mark};
    /// let log = StepLog::new();
    /// let _append = log.append(vec![mark(1, Scope::Everything, Mode::Remove, 0)], None);
    /// assert_eq!(log.waiting(), 1);
    /// log.commit();
    /// assert_eq!(log.waiting(), 0);
    /// ```
    pub fn waiting(&self) -> usize {
        self.state().waiting.len()
    }

    fn state(&self) -> MutexGuard<'_, Steps> {
        lock(&self.state)
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MarkLog for StepLog {
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, Error>> {
        let held = lock(&self.held).clone();
        let mut state = self.state();
        if state.shown.history != held.history {
            // Who joins knows its epochs.
            state.shown = held.clone();
        }
        let head = held.head();
        // In place of what it does not hold any more.
        let floor = held.history.at(held.first).filter(|floor| floor.seq > 0);
        let all = || mark(0, Scope::Everything, Mode::Remove, 0);
        let floor = floor.map(|version| Numbered { version, mark: all() });
        let marks = floor.into_iter().chain(held.marks).collect();
        let snapshot = Snapshot { history: held.history, marks, head, shared: held.shared };
        Box::pin(std::future::ready(Ok(snapshot)))
    }

    fn append(
        &self,
        marks: Vec<Mark>,
        head: Option<Version>,
    ) -> BoxFuture<'static, Result<Option<Version>, Error>> {
        let (reply, answer) = oneshot::channel();
        let at_once = {
            let mut state = self.state();
            state.waiting.push((marks, head, reply));
            state.at_once
        };
        if at_once {
            self.commit();
            self.show();
        }
        Box::pin(async move {
            let gone = |_| Error::new(ErrorKind::Closed, "the test has dropped the append");
            answer.await.map_err(gone)?
        })
    }

    fn next<'a>(&'a self, history: &'a History, after: u64) -> BoxFuture<'a, Result<Next, Error>> {
        Box::pin(async move {
            loop {
                let wait = {
                    let mut state = self.state();
                    let shown = &state.shown;
                    if shown.history != *history {
                        return Ok(Next::History(shown.history.clone()));
                    }
                    if shown.first > after {
                        return Ok(Next::Gap(shown.first));
                    }
                    let from = shown.marks.partition_point(|m| m.version.seq <= after);
                    if from < shown.marks.len() {
                        return Ok(Next::Marks(shown.marks[from..].into()));
                    }
                    let (send, wait) = oneshot::channel();
                    state.tails.push(send);
                    wait
                };
                let _ = wait.await;
            }
        })
    }
}
