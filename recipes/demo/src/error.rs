//! What can go wrong while the demo's database is made.

use std::fmt;
use std::path::Path;

/// A failure, with a message that names the file and says what to do.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Cancelled,
    Foreign,
    Shape,
    Storage,
}

impl Error {
    /// Whether generation stopped because it was asked to.
    pub fn is_cancelled(&self) -> bool {
        self.kind == Kind::Cancelled
    }

    /// Whether the file in the way is not one of the demo's; it was left untouched.
    pub fn is_foreign(&self) -> bool {
        self.kind == Kind::Foreign
    }

    pub(crate) fn cancelled() -> Self {
        Error { kind: Kind::Cancelled, message: "generation was cancelled".into(), cause: None }
    }

    pub(crate) fn foreign(path: &Path) -> Self {
        let message = format!(
            "{}: this is not a database of the demo; move it away or choose another data directory",
            path.display()
        );
        Error { kind: Kind::Foreign, message, cause: None }
    }

    pub(crate) fn shape(message: &str) -> Self {
        Error { kind: Kind::Shape, message: message.into(), cause: None }
    }

    pub(crate) fn storage(
        path: &Path,
        doing: &str,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        let cause = cause.into();
        let message = format!("{}: cannot {doing}: {cause}", path.display());
        Error { kind: Kind::Storage, message, cause: Some(cause) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}
