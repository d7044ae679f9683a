//! What can go wrong, as callers tell it apart.

use std::fmt;
use std::sync::Arc;

/// The kinds of failure that a caller may want to treat differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Reading or writing the disk failed.
    Storage,
    /// As much waits to be written as may: nothing more is accepted until some of that is done.
    Full,
    /// A tier is out of reach for now, and is passed over without being asked.
    Away,
    /// Stored bytes are not what was written, or are of a format this program does not know.
    Format,
    /// Another process holds the data directory.
    Held,
    /// The source of the data failed; the loader's own message.
    Source,
    /// The caller asked for something that cannot be.
    Invalid,
    /// The cache is shutting down.
    Closed,
    /// It took longer than the caller would wait, or than a load may take.
    Timeout,
    /// A load of this failed a moment ago, and the source is left alone until it has rested.
    Throttled,
}

/// A failure, with a message for people and the chain of causes. Cheap to clone, since everybody who waits
/// for the same load gets it.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    message: Arc<str>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of a kind with a message that says what failed and what to do.
    pub fn new(kind: ErrorKind, message: impl Into<Arc<str>>) -> Self {
        Error { kind, message: message.into(), source: None }
    }

    /// The same error with its cause.
    #[must_use]
    pub fn because(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Which kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.source {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("message", &self.message)
            .field("source", &self.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|cause| cause as &(dyn std::error::Error + 'static))
    }
}
