//! The contract of who writes to the system of record.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::{BoxFuture, Error, ErrorKind};

/// Which write it is. A write that is repeated, because nobody knows what became of it, bears the same again.
///
/// ```
/// # use samovar_core::WriteId;
/// let id = WriteId { node: 0xfeed, number: 7 };
/// assert_eq!(id.to_string(), "000000000000feed-7");
/// assert_eq!("000000000000feed-7".parse::<WriteId>()?, id);
/// assert!("feed-7".parse::<WriteId>().is_err());
/// # Ok::<(), samovar_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WriteId {
    /// The node that accepted it: random, and the same for as long as its data directory lives.
    pub node: u64,
    /// Its number in the journal of that node; later writes have greater ones.
    pub number: u64,
}

impl fmt::Display for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.node, self.number)
    }
}

impl FromStr for WriteId {
    type Err = Error;

    /// Reads what `Display` writes, and nothing else.
    fn from_str(text: &str) -> Result<WriteId, Error> {
        let read = || {
            let (node, number) = text.split_once('-')?;
            let node = u64::from_str_radix(node, 16).ok()?;
            let id = WriteId { node, number: number.parse().ok()? };
            (id.to_string() == text).then_some(id)
        };
        let text = "a write is named by 16 hexadecimal digits, a hyphen and a number";
        read().ok_or_else(|| Error::new(ErrorKind::Invalid, text))
    }
}

/// One row to be written.
///
/// ```
/// use std::sync::Arc;
///
/// use samovar_core::{Write, WriteId};
///
/// /// The price that some writes leave behind, if any.
/// fn price(writes: &[Write<u64>], key: &str) -> Option<u64> {
///     let last = writes.iter().filter(|write| *write.key == *key).max_by_key(|write| write.id.number);
///     last.and_then(|write| write.value.as_deref().copied())
/// }
///
/// let write = |number, value: Option<u64>| Write {
///     id: WriteId { node: 0xfeed, number },
///     key: "42".into(),
///     value: value.map(Arc::new),
/// };
/// assert_eq!(price(&[write(7, Some(499)), write(8, Some(450))], "42"), Some(450));
/// assert_eq!(price(&[write(8, None), write(7, Some(499))], "42"), None, "the row was deleted last");
/// ```
#[derive(Debug)]
pub struct Write<V> {
    /// Which write it is.
    pub id: WriteId,
    /// The key, as callers of the cache know it.
    pub key: Arc<str>,
    /// The new value; `None`: the row is to be deleted.
    pub value: Option<Arc<V>>,
}

/// What is known of a write that failed.
///
/// ```
/// use std::io;
///
/// use samovar_core::Fate;
///
/// /// What is known of a write after its statement failed.
/// fn fate(error: &io::Error) -> Fate {
///     match error.kind() {
///         io::ErrorKind::InvalidInput => Fate::Refused,
///         io::ErrorKind::ConnectionRefused => Fate::NotWritten, // nothing was sent
///         _ => Fate::Unknown,
///     }
/// }
/// assert_eq!(fate(&io::ErrorKind::ConnectionRefused.into()), Fate::NotWritten);
/// assert_eq!(fate(&io::ErrorKind::TimedOut.into()), Fate::Unknown);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The source would not have it, and never will: it is not tried again.
    Refused,
    /// Nothing was written; it may be tried again.
    NotWritten,
    /// It may have been written, or may still be: an error after it was sent, a timeout.
    Unknown,
}

/// A write that failed.
///
/// ```
/// # use samovar_core::{Error, ErrorKind, Fate, WriteError};
/// let error = Error::new(ErrorKind::Source, "the price is below zero");
/// let refused = WriteError { fate: Fate::Refused, error };
/// assert_eq!(refused.to_string(), "refused: the price is below zero");
/// ```
#[derive(Clone, Debug)]
pub struct WriteError {
    /// What is known of it.
    pub fate: Fate,
    /// What went wrong.
    pub error: Error,
}

impl WriteError {
    /// A failure, and what is known of the write.
    ///
    /// ```
    /// # use samovar_core::{Error, ErrorKind, Fate, WriteError};
    /// let cause = Error::new(ErrorKind::Timeout, "the database has not answered");
    /// let failed = WriteError::new(Fate::Unknown, cause);
    /// assert_eq!(failed.to_string(), "not known whether it was written: the database has not answered");
    /// assert!(std::error::Error::source(&failed).is_some());
    /// ```
    pub fn new(fate: Fate, error: Error) -> Self {
        WriteError { fate, error }
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fate = match self.fate {
            Fate::Refused => "refused",
            Fate::NotWritten => "not written",
            Fate::Unknown => "not known whether it was written",
        };
        write!(f, "{fate}: {}", self.error)
    }
}

impl std::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// Writes values of one cache to the system of record.
///
/// Only what was written back comes again, and only that comes in the order of its numbers: those of one key. Writes of
/// different keys may overtake each other where one fails. A writer of a cache that is written back can remember the
/// greatest [`WriteId::number`] of each node and key, in the transaction of the write, and leave out what it already has.
/// For one that does not remember, the last writer wins.
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::Mutex;
///
/// use samovar_core::{BoxFuture, Write, WriteError, Writer};
///
/// #[derive(Default)]
/// struct Names(Mutex<HashMap<String, String>>);
///
/// impl Writer<String> for Names {
///     fn write<'a>(&'a self, writes: &'a [Write<String>]) -> BoxFuture<'a, Vec<Result<(), WriteError>>> {
///         Box::pin(async move {
///             let mut names = self.0.lock().unwrap();
///             let mut write = |write: &Write<String>| match &write.value {
///                 Some(name) => names.insert(write.key.to_string(), String::clone(name)),
///                 None => names.remove(&*write.key),
///             };
///             writes.iter().map(|one| { write(one); Ok(()) }).collect()
///         })
///     }
/// }
/// # use std::task::{Context, Poll, Waker};
/// # let (names, id) = (Names::default(), samovar_core::WriteId { node: 0xfeed, number: 7 });
/// # let write = |key: &str, value: Option<&str>| {
/// #     Write { id, key: key.into(), value: value.map(|name| std::sync::Arc::new(name.to_owned())) }
/// # };
/// # let writes = [write("42", Some("Tea")), write("43", Some("Milk")), write("43", None)];
/// # let written = names.write(&writes).as_mut().poll(&mut Context::from_waker(Waker::noop()));
/// # assert!(matches!(written, Poll::Ready(results) if results.len() == 3 && results.iter().all(Result::is_ok)));
/// # assert_eq!(*names.0.lock().unwrap(), HashMap::from([("42".to_owned(), "Tea".to_owned())]));
/// ```
pub trait Writer<V>: Send + Sync + 'static {
    /// Writes in the order given, each key once, at best in one transaction. Does all of it fail, nobody knows for whose
    /// fault: what was written back is then sent again in halves. One result for each, in the same order; what is missing
    /// at the end counts as [`Fate::Unknown`].
    fn write<'a>(&'a self, writes: &'a [Write<V>]) -> BoxFuture<'a, Vec<Result<(), WriteError>>>;

    /// How long after [`Writer::write`] was called the source may still commit any of it. It must keep to that itself: to
    /// wait for a connection, to run all statements and to commit must be over by then, by a timeout that is set on the
    /// server for the whole transaction. After it, what was read before the write is known to be old. 30 seconds by default.
    fn deadline(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// Whether it leaves out what it has already, and what comes after a later write of the same key. If not, what a
    /// process that ended may have sent is waited for, for [`Writer::deadline`], before anything is written again.
    fn remembers(&self) -> bool {
        false
    }
}
