//! Makes marks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use samovar_core::{Clock, Epoch, Error, Mark, MarkId, Mode, Scope, Snapshot};

use crate::random;

/// The end of the name of a mark over everything; an epoch's name is its beginning.
const EVERYTHING: u128 = 0x6576_6572_7974_6867;

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
    pub(crate) fn mark(&self, scope: Scope, mode: Mode, reason: &Arc<str>, priority: u8) -> Mark {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = MarkId(self.first.wrapping_add(u128::from(number)));
        Mark { id, scope, mode, at: self.clock.now(), reason: Arc::clone(reason), priority }
    }

    /// A `remove` of everything, in place of marks that were lost when an epoch began. Each node that makes it gives it the
    /// same name: so one of them comes to the log for all.
    pub(crate) fn everything(&self, epoch: Epoch) -> Mark {
        let reason = "the log has lost marks that this node no longer remembers".into();
        let mark = self.mark(Scope::Everything, Mode::Remove, &reason, Mark::PRIORITY);
        Mark { id: MarkId(u128::from(epoch.0) << 64 | EVERYTHING), ..mark }
    }

    /// The same for who comes to a log.
    pub(crate) fn everything_for(&self, log: &Snapshot) -> Mark {
        self.everything(log.history.epoch().unwrap_or(log.head.epoch))
    }
}
