//! The contract of a mark log.

use std::sync::Arc;
use std::time::Duration;

use crate::{BoxFuture, Error, ErrorKind, History, Mark, Numbered, Version};

/// What a log holds when it is opened.
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
    /// the caller, and `next` will tell. The same goes for an error.
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
    /// If it is out of reach, gone, or takes nothing.
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

    /// How many times it was gone and has been founded again from here. A log that cannot be lost never is.
    fn founded(&self) -> u64 {
        0
    }

    /// Has the log looked at anew: its history comes by `next`, also if it is the one that the reader knows. Asked by
    /// who was given a version that is not on it. A log whose history never changes has nothing to do.
    fn look(&self) {}

    /// Stops the log and lets go of its files: what was handed over is durable, whatever comes later fails.
    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
