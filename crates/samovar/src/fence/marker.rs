//! Makes marks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use samovar_core::{Clock, Error, ErrorKind, Mark, MarkId, Mode, Scope};

/// Makes marks, each with a name of its own: random at the start, then counted.
pub(crate) struct Marker {
    clock: Arc<dyn Clock>,
    first: u128,
    next: AtomicU64,
}

impl Marker {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Result<Marker, Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|e| {
            Error::new(ErrorKind::Storage, "the system gives no random numbers").because(e)
        })?;
        Ok(Marker { clock, first: u128::from_le_bytes(bytes), next: AtomicU64::new(0) })
    }

    /// A mark that is accepted now.
    pub(crate) fn mark(&self, scope: Scope, mode: Mode, reason: &Arc<str>) -> Mark {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = MarkId(self.first.wrapping_add(u128::from(number)));
        Mark { id, scope, mode, at: self.clock.now(), reason: Arc::clone(reason) }
    }
}
