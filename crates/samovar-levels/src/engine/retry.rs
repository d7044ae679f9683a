//! Reads that are begun again, because the source's connection was lost on the way.

use std::future::Future;

use samovar_core::Error;
use samovar_source::{SourceError, SourceErrorKind};

/// So often a read is tried, all in all. The source itself waits for a server that is coming back.
const TRIES: usize = 3;

/// Reads, and reads anew from the beginning if the connection was lost: nothing of the first try may be kept, so
/// `read` begins with nothing. The token stays the one that was taken before the first try, which can only make what
/// was read count as older than it is.
///
/// # Errors
/// Those of the last try.
pub(super) async fn unless_lost<T, F>(mut read: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    for _ in 1..TRIES {
        match read().await {
            Err(failed) if was_lost(&failed) => {}
            outcome => return outcome,
        }
    }
    read().await
}

fn was_lost(failed: &Error) -> bool {
    kind_of(failed) == Some(SourceErrorKind::Lost)
}

/// What kind of failure of the source an error is because of.
pub(super) fn kind_of(failed: &Error) -> Option<SourceErrorKind> {
    let cause = std::error::Error::source(failed)?;
    cause.downcast_ref::<SourceError>().map(SourceError::kind)
}
