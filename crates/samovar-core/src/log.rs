//! The contract of a mark log.

use std::sync::Arc;

use crate::{BoxFuture, Error, History, Mark, Numbered, Version};

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
}

/// Where marks become durable and get their numbers. Numbers are dense: each is the previous plus one.
pub trait MarkLog: Send + Sync + 'static {
    /// History, remembered marks and head, from durable storage.
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, Error>>;

    /// Makes marks durable, in order, next to each other. Returns the version of the last once all of them are.
    ///
    /// The marks are handed over by the call itself, before the future is polled: two calls one after the
    /// other are numbered in that order.
    ///
    /// Dropping the future does not take the marks back: whether they become durable is then unknown to
    /// the caller, and `tail` will tell.
    fn append(&self, marks: Vec<Mark>) -> BoxFuture<'_, Result<Version, Error>>;

    /// The durable marks after number `after`, in order, at least one: waits until there is one.
    fn tail(&self, after: u64) -> BoxFuture<'_, Result<Arc<[Numbered]>, Error>>;

    /// Stops the log and lets go of its files: what was handed over is durable, whatever comes later fails.
    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
