//! Numbers that nobody can foresee.

use samovar_core::{Error, ErrorKind};

/// A number that means nothing else anywhere.
///
/// # Errors
/// If the system gives none.
pub(crate) fn number() -> Result<u64, Error> {
    getrandom::u64().map_err(|e| {
        Error::new(ErrorKind::Storage, "the system gives no random numbers").because(e)
    })
}
