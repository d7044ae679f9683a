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
            let seq = state.seq;
            let tick = state.turn(history, everything, self.tick(), &mut done);
            self.inner.tick.store(tick.0, Ordering::Release);
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

#[cfg(test)]
mod tests {
    use samovar_core::{Epoch, Millis, Mode, Scope, Snapshot, Tags, Version};
    use samovar_testkit::clock::FakeClock;
    use samovar_testkit::log::mark;

    use super::super::standing::Since;
    use super::*;

    #[test]
    fn what_is_pending_again_has_a_tick_of_its_own_each() {
        let first = History(vec![(Epoch(1), 0)]);
        let head = Version { epoch: Epoch(1), seq: 2 };
        let log = Snapshot { history: first.clone(), marks: Vec::new(), head, shared: true };
        let fence = Fence::new(&log, FakeClock::at(Millis(0)), 10).unwrap();
        let expires = [
            mark(1, Scope::Everything, Mode::Expire, 5),
            mark(2, Scope::Cache("c".into()), Mode::Expire, 6),
        ];
        {
            let mut state = fence.inner.state.write();
            state.pending.unconfirmed.keep();
            for (mark, seq) in expires.into_iter().zip(1..) {
                let at = Version { epoch: Epoch(1), seq };
                assert!(state.pending.unconfirmed.came_back(mark, at, &first));
            }
        }
        let before = fence.tick();
        let second = History(vec![(Epoch(1), 0), (Epoch(2), 0)]);
        let everything = || mark(9, Scope::Everything, Mode::Remove, 7);
        assert_eq!(fence.turn(second, everything), 2);
        assert_eq!((fence.pending(), fence.tick().0), (3, before.0 + 3));
        assert!(fence.acted_since(before, |scope| *scope == Scope::Cache("c".into())));
        let state = fence.inner.state.read();
        let cover = state.table.over("c", "k", &Tags::default()).cover(None, Since::Tick(before));
        assert!(cover.whole.removed, "the `remove` of everything still stands");
    }
}
