//! How a node comes to a log that it shares: at its start, or later if the log was away then.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use samovar_core::{Clock, Epoch, History, Mark, MarkId, MarkLog, Snapshot, Version};

use super::journaled::MarkJournal;
use super::pending::Done;
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

    /// Takes in all that the log holds, in place of nothing. What acts by that acts now: what was read while the log was
    /// away is older.
    pub(crate) fn join(&self, log: &Snapshot) {
        let mut done = Done::default();
        {
            let mut state = self.inner.state.write();
            let tick = state.join(log, self.tick(), &mut done);
            self.inner.tick.store(tick.0, Ordering::Release);
            state.forget();
        }
        self.tell(done);
    }

    /// Marks that were accepted before this process began and that the log may lack: in force here at once, and sent as
    /// soon as the log is there. Those in `known` it has, but it may not have confirmed them.
    pub(crate) fn restore(&self, marks: Vec<Mark>, known: Option<&Snapshot>) {
        let has: HashMap<MarkId, Version> = known
            .into_iter()
            .flat_map(|known| &known.marks)
            .map(|numbered| (numbered.mark.id, numbered.version))
            .collect();
        let mut guard = self.inner.state.write();
        let state = &mut *guard;
        let mut tick = self.tick();
        for mark in marks {
            if let Some(at) = has.get(&mark.id) {
                state.pending.unconfirmed.came_back(mark, *at, &state.history);
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
