//! Makes marks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use samovar_core::{Clock, Error, Mark, MarkId, Mode, Scope};

use crate::random;

/// Makes marks, each with a name of its own: random at the start, then counted.
pub(crate) struct Marker {
    clock: Arc<dyn Clock>,
    first: u128,
    next: AtomicU64,
}

impl Marker {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Result<Marker, Error> {
        let [low, high] = [random::number()?, random::number()?].map(u128::from);
        Ok(Marker { clock, first: high << 64 | low, next: AtomicU64::new(0) })
    }

    /// A mark that is accepted now.
    pub(crate) fn mark(&self, scope: Scope, mode: Mode, reason: &Arc<str>) -> Mark {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = MarkId(self.first.wrapping_add(u128::from(number)));
        Mark { id, scope, mode, at: self.clock.now(), reason: Arc::clone(reason) }
    }
}
