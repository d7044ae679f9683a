//! The contract of a mark log.

use std::sync::Arc;
use std::time::Duration;

use crate::{BoxFuture, Error, ErrorKind, History, Mark, Numbered, Version};

/// What a log holds when it is opened.
///
/// ```
/// # use samovar_core::{Epoch, History, Mark, MarkId, Millis, Mode, Numbered, Scope, Snapshot, Version};
/// # let epoch = Epoch(7);
/// # let mark = Mark {
/// #     id: MarkId(9),
/// #     scope: Scope::Cache("prices".into()),
/// #     mode: Mode::Remove,
/// #     at: Millis(0),
/// #     reason: "new list".into(),
/// #     priority: Mark::PRIORITY,
/// # };
/// // The last of nine marks, over all prices, has absorbed those before it.
/// let head = Version { epoch, seq: 9 };
/// let marks = vec![Numbered { version: head, mark }];
/// let log = Snapshot { history: History(vec![(epoch, 0)]), marks, head, shared: false };
/// assert!(log.history.holds(log.head));
/// assert!(log.marks.iter().all(|numbered| numbered.version.seq <= log.head.seq));
/// ```
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The epochs of the log.
    pub history: History,
    /// The marks it remembers, by ascending number: at least the newest of each scope and mode that is not
    /// absorbed by a later one. A log that forgets a mark has a `remove` in its place, over the key's cache or over
    /// everything, with the number of the one forgotten or a later one.
    pub marks: Vec<Numbered>,
    /// The last position: all marks up to here are contained in `marks` or absorbed by one that is.
    pub head: Version,
    /// Whether other nodes append too: then a version beyond what is applied here comes from a node that is ahead.
    /// Otherwise it comes from a log that has since lost its newest marks, as one that was restored from a backup.
    pub shared: bool,
}

/// What comes next in a log, for a reader who knows a history and has applied what it holds up to a number.
///
/// ```
/// use samovar_core::{Epoch, History, Next};
///
/// /// Where a reader stands once he has taken something in.
/// fn take(history: &mut History, applied: &mut u64, next: Next) {
///     match next {
///         Next::History(new) => {
///             // What was applied beyond the branch is not in the log any more.
///             *applied = history.branch(&new).unwrap_or(*applied).min(*applied);
///             *history = new;
///         }
///         // Whatever was read before counts as invalidated.
///         Next::Gap(begins) => *applied = begins,
///         Next::Marks(marks) => *applied += marks.len() as u64,
///     }
/// }
///
/// let (mut history, mut applied) = (History(vec![(Epoch(1), 0)]), 9);
/// take(&mut history, &mut applied, Next::History(History(vec![(Epoch(1), 0), (Epoch(2), 7)])));
/// assert_eq!(applied, 7, "8 and 9 are lost");
/// take(&mut history, &mut applied, Next::Gap(20));
/// assert_eq!(applied, 20);
/// ```
#[derive(Clone, Debug)]
pub enum Next {
    /// The log's history is another than the reader knows: to be taken in before anything else.
    History(History),
    /// The log begins after this number, beyond the reader's: it has let go of what lies between.
    Gap(u64),
    /// The next marks, at least one: dense, from the reader's number plus one, of the history that it knows.
    Marks(Arc<[Numbered]>),
}

/// Where marks become durable and get their numbers. Numbers are dense: each is the previous plus one.
///
/// A log that several nodes share may lose its newest marks, or be founded again: then it begins an epoch. Readers
/// find that by the log's [`History`].
///
/// A log that ends with the process:
///
/// ```
/// use std::future::{poll_fn, ready};
/// use std::sync::Mutex;
/// use std::task::{Poll, Waker};
///
/// use samovar_core::{BoxFuture, Epoch, Error, History, Mark, MarkLog, Next, Numbered, Snapshot, Version};
///
/// const EPOCH: Epoch = Epoch(7); // random, in earnest
///
/// /// The marks, and who waits for the next.
/// #[derive(Default)]
/// struct InMemory(Mutex<(Vec<Numbered>, Vec<Waker>)>);
///
/// impl MarkLog for InMemory {
///     fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, Error>> {
///         let marks = self.0.lock().unwrap().0.clone();
///         let head = Version { epoch: EPOCH, seq: marks.len() as u64 };
///         let history = History(vec![(EPOCH, 0)]);
///         Box::pin(ready(Ok(Snapshot { history, marks, head, shared: false })))
///     }
///
///     fn append(
///         &self,
///         marks: Vec<Mark>,
///         head: Option<Version>,
///     ) -> BoxFuture<'static, Result<Option<Version>, Error>> {
///         let (all, waiting) = &mut *self.0.lock().unwrap();
///         let mut last = Version { epoch: EPOCH, seq: all.len() as u64 };
///         if head.is_some_and(|head| head != last) {
///             return Box::pin(ready(Ok(None)));
///         }
///         for mark in marks {
///             last.seq += 1;
///             all.push(Numbered { version: last, mark });
///         }
///         waiting.drain(..).for_each(Waker::wake);
///         Box::pin(ready(Ok(Some(last))))
///     }
///
///     fn next<'a>(&'a self, _: &'a History, after: u64) -> BoxFuture<'a, Result<Next, Error>> {
///         Box::pin(poll_fn(move |context| {
///             let (all, waiting) = &mut *self.0.lock().unwrap();
///             match all.get(after as usize..).unwrap_or_default() {
///                 [] => {
///                     waiting.push(context.waker().clone());
///                     Poll::Pending
///                 }
///                 marks => Poll::Ready(Ok(Next::Marks(marks.into()))),
///             }
///         }))
///     }
/// }
/// # use std::task::Context;
/// # use samovar_core::{MarkId, Millis, Mode, Scope};
/// # fn poll<T>(future: &mut BoxFuture<'_, T>) -> Poll<T> {
/// #     future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
/// # }
/// # let mark = Mark {
/// #     id: MarkId(1),
/// #     scope: Scope::Everything,
/// #     mode: Mode::Remove,
/// #     at: Millis(0),
/// #     reason: "for example".into(),
/// #     priority: Mark::PRIORITY,
/// # };
/// # let (log, history) = (InMemory::default(), History(vec![(EPOCH, 0)]));
/// # let mut next = log.next(&history, 0);
/// # assert!(poll(&mut next).is_pending());
/// # let first = Version { epoch: EPOCH, seq: 1 };
/// # let appended = poll(&mut log.append(vec![mark.clone()], Some(Version { epoch: EPOCH, seq: 0 })));
/// # assert!(matches!(appended, Poll::Ready(Ok(Some(version))) if version == first));
/// # assert!(matches!(poll(&mut log.append(vec![mark], Some(Version { seq: 0, ..first }))), Poll::Ready(Ok(None))));
/// # assert!(matches!(poll(&mut next), Poll::Ready(Ok(Next::Marks(marks))) if marks[0].version == first));
/// # assert!(matches!(poll(&mut log.snapshot()), Poll::Ready(Ok(now)) if now.head == first));
/// ```
pub trait MarkLog: Send + Sync + 'static {
    /// History, remembered marks and head, from durable storage. To be asked first: a log that is not there is founded
    /// by it.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Away`] if it is out of reach for now; a log that can be renewed may be joined later then.
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, Error>>;

    /// Makes marks durable, in order, next to each other. Returns the version of the last once all of them are, and
    /// whatever the log held before them.
    ///
    /// With `head` they are appended only if that is the log's last version: `None` if the log has gone on. So who
    /// sends marks again that may be there already has looked at all that is there before.
    ///
    /// The marks are handed over by the call itself, before the future is polled: two calls one after the
    /// other are numbered in that order.
    ///
    /// Dropping the future does not take the marks back: whether they become durable is then unknown to
    /// the caller, and [`MarkLog::next`] will tell.
    ///
    /// # Errors
    /// If the log is out of reach, fails or has ended. Whether the marks become durable is then unknown too.
    fn append(
        &self,
        marks: Vec<Mark>,
        head: Option<Version>,
    ) -> BoxFuture<'static, Result<Option<Version>, Error>>;

    /// What comes after number `after` for a reader who knows `history`: waits until there is something.
    ///
    /// # Errors
    /// If the log has ended for good. One that is away for a while is waited for.
    fn next<'a>(&'a self, history: &'a History, after: u64) -> BoxFuture<'a, Result<Next, Error>>;

    /// How long a node may go on after [`MarkLog::renew`] without another. `None`: the log cannot be out of reach, or it
    /// matters only until it has been reached once.
    fn lease(&self) -> Option<Duration> {
        None
    }

    /// Writes something where the log stands, to know that it would take a mark, and gives its head as of then, up to
    /// which all is as durable as after [`MarkLog::append`].
    ///
    /// # Errors
    /// If it is out of reach, gone, or takes nothing; of kind [`ErrorKind::Invalid`] if it gives no leases.
    fn renew(&self) -> BoxFuture<'_, Result<Version, Error>> {
        let text = "this log gives no leases";
        Box::pin(std::future::ready(Err(Error::new(ErrorKind::Invalid, text))))
    }

    /// How often somebody puts what he knows beside the log. `None`: who joins reads all of it, and it is not long.
    fn table_every(&self) -> Option<Duration> {
        None
    }

    /// Puts what a reader knows beside the log, if nobody has done so for a while: who joins then begins there. Nothing
    /// but warmth depends on it. Whether it was done.
    ///
    /// # Errors
    /// If the log is out of reach.
    fn leave_table<'a>(
        &'a self,
        _known: &'a (dyn Fn() -> Option<Snapshot> + Send + Sync),
    ) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(std::future::ready(Ok(false)))
    }

    /// What threatens the log where it stands, for whoever runs it, with the setting to choose. `None`: nothing that can be
    /// seen. Asked at the start and whenever it may stand elsewhere.
    ///
    /// # Errors
    /// If it is out of reach.
    fn hazard(&self) -> BoxFuture<'_, Result<Option<String>, Error>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// How many times it was gone and has been founded again from here. A log that cannot be lost never is.
    fn founded(&self) -> u64 {
        0
    }

    /// Has the log looked at anew: its history comes by `next`, also if it is the one that the reader knows. Asked by
    /// who was given a version that is not on it. A log whose history never changes has nothing to do.
    fn look(&self) {}

    /// Stops the log and lets go of its files: what was handed over is durable, whatever comes later fails.
    ///
    /// # Errors
    /// If the log failed before, or now.
    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
