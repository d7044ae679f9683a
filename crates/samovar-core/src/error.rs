//! What can go wrong, as callers tell it apart.

use std::fmt;
use std::sync::Arc;

/// The kinds of failure that a caller may want to treat differently.
///
/// ```
/// # use samovar_core::{Error, ErrorKind};
/// let may_be_over_soon = |error: &Error| {
///     matches!(error.kind(), ErrorKind::Away | ErrorKind::Timeout | ErrorKind::Throttled)
/// };
/// assert!(may_be_over_soon(&Error::new(ErrorKind::Timeout, "prices:42 was not loaded within 50ms")));
/// let wrong = "shop-7".parse::<samovar_core::WriteId>().unwrap_err();
/// assert!(wrong.kind() == ErrorKind::Invalid && !may_be_over_soon(&wrong));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Reading or writing failed: on the disk, or at a Redis that holds values or
    /// the shared log.
    Storage,
    /// As much waits to be written as may: nothing more is accepted until some of that is done.
    Full,
    /// Out of reach for now: a tier, which is then passed over without being asked; or the log that nodes share, which
    /// an invalidation has waited for in vain.
    Away,
    /// Stored bytes are not what was written, or are of a format this program does not know.
    Format,
    /// Another process holds the data directory, or a file in it.
    Held,
    /// The source of the data failed, at a load or at a write: the loader's or the writer's own message, or that it
    /// panicked.
    Source,
    /// The caller asked for something that cannot be; or Redis refuses the user or the password of the settings.
    Invalid,
    /// The cache has been closed, or is being closed.
    Closed,
    /// It took longer than the caller would wait, or than a load or a write may take.
    Timeout,
    /// A load of this failed a moment ago, and the source is left alone until it has rested.
    Throttled,
}

/// A failure, with a message for people and the chain of causes. Cheap to clone, since everybody who waits
/// for the same load gets it.
///
/// ```
/// # use samovar_core::{Error, ErrorKind};
/// fn cents(price: &str) -> Result<u32, Error> {
///     let wrong = || format!("{price:?} is no price in cents; give digits alone");
///     price.parse::<u32>().map_err(|e| Error::new(ErrorKind::Invalid, wrong()).because(e))
/// }
/// assert_eq!(cents("1250")?, 1_250);
/// let error = cents("12.50").unwrap_err();
/// let text = "\"12.50\" is no price in cents; give digits alone: invalid digit found in string";
/// assert_eq!(error.to_string(), text);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    message: Arc<str>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of a kind with a message that says what failed and what to do.
    ///
    /// ```
    /// # use samovar_core::{Error, ErrorKind};
    /// let error = Error::new(ErrorKind::Source, "the price list is locked; try again after midnight");
    /// assert_eq!(error.to_string(), "the price list is locked; try again after midnight");
    /// assert_eq!(error.kind(), ErrorKind::Source);
    /// ```
    pub fn new(kind: ErrorKind, message: impl Into<Arc<str>>) -> Self {
        Error { kind, message: message.into(), source: None }
    }

    /// The same error with its cause, in place of one that it had.
    ///
    /// ```
    /// # use samovar_core::{Error, ErrorKind};
    /// use std::error::Error as _;
    ///
    /// let cause = std::io::Error::other("the cable is out");
    /// let error = Error::new(ErrorKind::Source, "reading prices.csv").because(cause);
    /// assert_eq!(error.to_string(), "reading prices.csv: the cable is out");
    /// assert_eq!(error.source().expect("it has a cause").to_string(), "the cable is out");
    /// ```
    #[must_use]
    pub fn because(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Which kind of failure this is.
    ///
    /// ```
    /// # use samovar_core::{Error, ErrorKind};
    /// let answer = Err(Error::new(ErrorKind::Throttled, "the source of prices:42 rests"));
    /// let shown = match answer {
    ///     Ok(price) => price,
    ///     Err(error) if error.kind() == ErrorKind::Throttled => "price on request",
    ///     Err(error) => return Err(error),
    /// };
    /// assert_eq!(shown, "price on request");
    /// # Ok::<(), Error>(())
    /// ```
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
