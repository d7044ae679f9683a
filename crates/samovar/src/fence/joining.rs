//! How a node comes to a log that it shares: at its start, or later if the log was away then.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use samovar_core::{Clock, Epoch, History, Mark, MarkId, MarkLog, Snapshot, Version};

use super::journaled::MarkJournal;
use super::pending::Done;
use super::saved::Remains;
use super::{Fence, Standing, State};
use crate::jitter::Jitter;

impl Fence {
    /// A fence whose log, which is shared, is away: it knows no history, so nothing below memory is served, and none of
    /// its tokens is good for anything that outlives it.
    pub(crate) fn adrift(clock: Arc<dyn Clock>, marks_max: usize) -> Fence {
        let head = Version { epoch: Epoch(0), seq: 0 };
        let nothing =
            Snapshot { history: History(Vec::new()), marks: Vec::new(), head, shared: true };
        Fence::of(State::new(&nothing, marks_max), clock)
    }

    /// Whether no history is known yet.
    pub(crate) fn is_adrift(&self) -> bool {
        self.inner.state.read().is_adrift()
    }

    /// What was known before this process began: of no use while the log is away, but the log may have lost some of it.
    pub(crate) fn remember(&self, before: Remains) {
        self.inner.state.write().before = Some(before);
    }

    /// Takes in all that the log holds, in place of nothing or of what was known before. What acts by that acts now: what
    /// was read while the log was away is older. How many numbers it has lost that were known before: what they stand for
    /// is sent again, as by [`Fence::turn`].
    pub(crate) fn join(&self, log: &Snapshot, everything: impl FnOnce() -> Mark) -> u64 {
        let mut done = Done::default();
        let lost = {
            let mut state = self.inner.state.write();
            let (tick, lost) = state.join(log, everything, self.tick(), &mut done);
            self.inner.tick.store(tick.0, Ordering::Release);
            state.forget();
            lost
        };
        self.tell(done);
        lost
    }

    /// Marks that were accepted before this process began and that the log may lack: in force here at once, and sent as
    /// soon as the log is there. Those in `known`, or known from before, it has, but it may not have confirmed them.
    pub(crate) fn restore(&self, marks: Vec<Mark>, known: Option<&Snapshot>) {
        let mut guard = self.inner.state.write();
        let state = &mut *guard;
        let known = known.into_iter().flat_map(|known| &known.marks);
        let has: HashMap<MarkId, Version> = known
            .chain(state.kept())
            .map(|numbered| (numbered.mark.id, numbered.version))
            .collect();
        let mut tick = self.tick();
        for mark in marks {
            if let Some(at) = has.get(&mark.id) {
                state.pending.unconfirmed.came_back(mark, *at, &state.history);
                continue;
            }
            if state.pending.tick(mark.id).is_some() {
                continue;
            }
            tick = tick.next();
            state.table.pend(&mark, tick);
            state.remember(Some(&mark.scope));
            state.pending.send(mark, tick);
        }
        self.inner.tick.store(tick.0, Ordering::Release);
    }

    /// Where marks are durable while the log is away.
    pub(crate) fn journal(&self) -> Option<&Arc<MarkJournal>> {
        self.inner.journal.get()
    }

    pub(crate) fn set_journal(&self, journal: Arc<MarkJournal>) {
        self.inner.state.write().pending.unconfirmed.keep();
        // It is called once, by who has made the fence.
        let _ = self.inner.journal.set(journal);
    }

    /// All that this fence knows, as a log would hold it; `None` if it knows no history. Marks that are pending are not
    /// in it.
    pub(crate) fn export(&self) -> Option<Snapshot> {
        self.inner.state.read().export()
    }

    /// The same for this node's next start: its last marks are whole, so that it can send them again if the log has lost
    /// them by then.
    pub(crate) fn remains(&self) -> Option<Remains> {
        let state = self.inner.state.read();
        if state.is_adrift() {
            return state.before.clone();
        }
        Some(Remains { known: state.remains()?, connected: self.last_connected() })
    }
}

/// Now and then puts what is known here beside the log, for as long as it is polled.
pub(crate) async fn leave_tables(
    fence: Fence,
    log: Arc<dyn MarkLog>,
    clock: Arc<dyn Clock>,
    jitter: Arc<Jitter>,
) {
    let Some(every) = log.table_every() else { return };
    let mut last = None;
    loop {
        clock.sleep(jitter.spread(every, 0.5)).await;
        let at = fence.position();
        if last != Some(at)
            && fence.standing() == Standing::Connected
            && let Ok(true) = log.leave_table(&|| fence.export()).await
        {
            last = Some(at);
        }
    }
}
