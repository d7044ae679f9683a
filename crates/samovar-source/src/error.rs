//! What can go wrong with a source.

use std::fmt;
use std::sync::Arc;

/// The kinds of failure that a caller may want to treat differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceErrorKind {
    /// It cannot be opened or reached.
    Unreachable,
    /// The query or a column of it is not there, or not of a type that can be read.
    Schema,
    /// A value cannot be read.
    Value,
    /// A query gave more rows than allowed.
    TooManyRows,
    /// A query ran longer than allowed.
    Timeout,
    /// The source failed in another way.
    Failed,
}

/// A failure of a source, with a message that names what failed and what to do.
#[derive(Clone, Debug)]
pub struct SourceError {
    kind: SourceErrorKind,
    message: Arc<str>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl SourceError {
    /// An error of a kind with a message.
    pub fn new(kind: SourceErrorKind, message: impl Into<Arc<str>>) -> Self {
        SourceError { kind, message: message.into(), source: None }
    }

    /// The same error with its cause.
    #[must_use]
    pub fn because(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Which kind of failure this is.
    pub fn kind(&self) -> SourceErrorKind {
        self.kind
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.source {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|cause| cause as &(dyn std::error::Error + 'static))
    }
}
