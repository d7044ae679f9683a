//! What the log yields, taken in.

use std::sync::atomic::Ordering;

use samovar_core::{Error, History, Mark, Numbered};

use super::Fence;
use super::pending::Done;

impl Fence {
    /// Applies marks that the log yielded.
    ///
    /// # Errors
    /// If a number is missing, or the epoch is not the history's: what came before that has been applied.
    pub(crate) fn apply(&self, marks: &[Numbered]) -> Result<(), Error> {
        let mut done = Done::default();
        let outcome = {
            let mut state = self.inner.state.write();
            let mut tick = self.tick();
            let outcome = marks.iter().try_for_each(|numbered| {
                if state.apply(numbered, tick.next(), &mut done)? {
                    tick = tick.next();
                }
                Ok(())
            });
            self.inner.tick.store(tick.0, Ordering::Release);
            state.forget();
            outcome
        };
        self.tell(done);
        outcome
    }

    /// The log's history is another than it was: it has lost what lies off it, or was founded again.
    ///
    /// What was applied and is lost is pending again, and is sent again: any node that saw a mark restores it.
    /// `everything` makes a `remove` of everything, in place of those that this node does not remember whole.
    ///
    /// Returns how many numbers were lost.
    pub(crate) fn turn(&self, history: History, everything: impl FnOnce() -> Mark) -> u64 {
        let mut done = Done::default();
        let lost = {
            let mut state = self.inner.state.write();
            let (next, seq) = (self.tick().next(), state.seq);
            if state.turn(history, everything, next, &mut done) {
                self.inner.tick.store(next.0, Ordering::Release);
            }
            seq - state.seq
        };
        self.tell(done);
        lost
    }

    /// The log begins after this number. If that lies beyond the position, everything that was read before is refused.
    /// True if so.
    pub(crate) fn gap(&self, begins: u64) -> bool {
        let mut done = Done::default();
        let was = {
            let mut state = self.inner.state.write();
            let next = self.tick().next();
            let was = state.gap(begins, next, &mut done);
            if was {
                self.inner.tick.store(next.0, Ordering::Release);
            }
            was
        };
        self.tell(done);
        was
    }
}
