//! What can go wrong with a source.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The kinds of failure that a caller may want to treat differently.
///
/// ```
/// use samovar_source::SourceErrorKind as Kind;
///
/// /// Whether to try it again is worth the while.
/// fn may_pass(kind: Kind) -> bool {
///     matches!(kind, Kind::Unreachable | Kind::Lost | Kind::Timeout)
/// }
/// assert!(may_pass(Kind::Lost) && !may_pass(Kind::Schema));
/// ```
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
    /// The connection was lost before all was read; what was read so far is part of nothing.
    Lost,
    /// The source failed in another way.
    Failed,
}

/// A failure of a source, with a message that names what failed and what to do.
///
/// ```
/// # use samovar_source::{SourceError, SourceErrorKind};
/// let cut = std::io::Error::other("connection reset");
/// let wrong = SourceError::new(SourceErrorKind::Lost, "the warehouse is gone").because(cut);
/// assert_eq!(wrong.to_string(), "the warehouse is gone: connection reset");
/// ```
#[derive(Clone, Debug)]
pub struct SourceError {
    kind: SourceErrorKind,
    message: Arc<str>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl SourceError {
    /// An error of a kind with a message.
    ///
    /// ```
    /// # use samovar_source::{SourceError, SourceErrorKind};
    /// let wrong = SourceError::new(SourceErrorKind::Value, "store 7: no number in amount");
    /// assert_eq!(wrong.kind(), SourceErrorKind::Value);
    /// ```
    pub fn new(kind: SourceErrorKind, message: impl Into<Arc<str>>) -> Self {
        SourceError { kind, message: message.into(), source: None }
    }

    /// The same error with its cause.
    ///
    /// ```
    /// # use std::error::Error;
    /// # use samovar_source::{SourceError, SourceErrorKind};
    /// let cause = "x".parse::<u32>().expect_err("it is no number");
    /// let wrong = SourceError::new(SourceErrorKind::Value, "cannot read amount").because(cause);
    /// assert!(wrong.source().is_some_and(|cause| cause.is::<std::num::ParseIntError>()));
    /// ```
    #[must_use]
    pub fn because(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Which kind of failure this is.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use samovar_source::SourceErrorKind;
    /// # use samovar_source::rows::{RowDatabase, RowOptions};
    /// let wrong = RowDatabase::sqlite(Path::new("no-such.sqlite"), RowOptions::default());
    /// assert_eq!(wrong.map_err(|wrong| wrong.kind()).err(), Some(SourceErrorKind::Unreachable));
    /// ```
    pub fn kind(&self) -> SourceErrorKind {
        self.kind
    }

    /// The same error, told of a place.
    #[must_use]
    pub(crate) fn at(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message).into();
        self
    }

    pub(crate) fn too_many(store: &str, max_rows: u64) -> Self {
        let message = format!(
            "store {store} has more than {max_rows} rows in one query; raise source.max_rows, or split the store"
        );
        SourceError::new(SourceErrorKind::TooManyRows, message)
    }

    pub(crate) fn too_late(timeout: Duration) -> Self {
        let message = format!(
            "a query ran longer than {} s; add an index on the store and date columns, or raise source.timeout",
            timeout.as_secs_f64()
        );
        SourceError::new(SourceErrorKind::Timeout, message)
    }

    /// Whether it is about the rows of one key alone.
    pub(crate) fn is_of_one_key(&self) -> bool {
        matches!(self.kind, SourceErrorKind::Value | SourceErrorKind::TooManyRows)
    }

    /// For one whose reader has gone: nobody will see it.
    pub(crate) fn cancelled() -> Self {
        SourceError::new(SourceErrorKind::Failed, "cancelled")
    }

    /// For one whose thread has gone.
    pub(crate) fn panicked() -> Self {
        let message = "the thread that read the database panicked; this is a bug";
        SourceError::new(SourceErrorKind::Failed, message)
    }

    /// For a query that lacks columns.
    pub(crate) fn no_column(missing: &[&str], there: &[&str]) -> Self {
        let message = format!(
            "the source's query has no column {}; it has {}",
            missing.join(", "),
            there.join(", ")
        );
        SourceError::new(SourceErrorKind::Schema, message)
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
