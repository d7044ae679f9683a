//! Marks that are accepted here: they act at once, and are pending until they come back.

use std::sync::atomic::Ordering;

use futures_channel::oneshot;
use samovar_core::{Epoch, Error, ErrorKind, Mark, MarkId, Token, Version};

use super::Fence;
use super::pending::Done;

impl Fence {
    /// Takes in marks that were accepted here: they act at once, pending. To be handed to the log right after that, and
    /// its answer to [`Fence::answered`].
    pub(crate) fn accept(&self, marks: &[Mark]) -> Accepted {
        let mut state = self.inner.state.write();
        let mut tick = self.tick();
        let first = tick.next();
        for mark in marks {
            tick = tick.next();
            state.table.pend(mark, tick);
            state.remember(Some(&mark.scope));
        }
        let done = state.pending.accept(marks, first);
        let given_up = state.failed.is_some().then(|| state.pending.give_up());
        self.inner.tick.store(tick.0, Ordering::Release);
        let token = Token { version: state.version(), tick };
        drop(state);
        drop(given_up);
        Accepted { fence: self.clone(), token, done }
    }

    /// What the log answered to marks that it was handed together: the version of the last, or that it has not taken
    /// them, or that nobody knows. False if the version does not lie on the history as it is known here: the log is to
    /// be looked at.
    pub(crate) fn answered(&self, ids: &[MarkId], last: Option<Version>) -> bool {
        let mut done = Done::default();
        let known = {
            let mut guard = self.inner.state.write();
            let state = &mut *guard;
            let known = state.pending.answered(ids, last, &state.history, &mut done);
            // The tail may have gone past them, over a gap.
            state.settle_passed(ids, &mut done);
            known
        };
        self.tell(done);
        known
    }

    /// The log will not lose what it held up to this version.
    pub(crate) fn confirm(&self, version: Version) {
        let mut done = Done::default();
        {
            let mut guard = self.inner.state.write();
            let state = &mut *guard;
            state.pending.confirm(version, &state.history, &mut done);
        }
        self.tell(done);
    }

    /// Marks that the log lacks, in order, at most so many, and the log's head as it is known here: they may be appended
    /// if that is still its head. Waits until there are some. The log's answer is for [`Fence::answered`].
    pub(crate) async fn unsent(&self, most: usize) -> (Vec<Mark>, Version) {
        loop {
            let wait = {
                let mut guard = self.inner.state.write();
                let state = &mut *guard;
                match state.pending.wait(state.is_adrift()) {
                    // Nothing is sent any more.
                    _ if state.failed.is_some() => None,
                    None => {
                        let epoch = state.history.epoch().unwrap_or(Epoch(0));
                        let head = Version { epoch, seq: state.seq };
                        return (state.pending.take(most), head);
                    }
                    wait => wait,
                }
            };
            match wait {
                // An error: what is to be sent has been given up, or may be sent now, which the next look finds.
                Some(wait) => drop(wait.await),
                None => std::future::pending().await,
            }
        }
    }

    /// Those of some marks that have not come back, or that the log may lose though they have.
    pub(crate) fn unsettled(&self, ids: &[MarkId]) -> Vec<Mark> {
        self.inner.state.read().pending.unsettled(ids)
    }

    /// All such marks.
    pub(crate) fn all_unsettled(&self) -> Vec<Mark> {
        self.inner.state.read().pending.all_unsettled()
    }

    /// Returns once none of these marks is pending, or nothing will come back any more.
    pub(crate) async fn back(&self, ids: &[MarkId]) {
        let wait = {
            let mut state = self.inner.state.write();
            if state.failed.is_none() { state.pending.wait_for(ids) } else { None }
        };
        if let Some(wait) = wait {
            let _ = wait.await;
        }
    }

    /// Returns once none of the marks is pending that are now, or nothing will come back any more.
    pub(crate) async fn rests(&self) {
        let ids = self.inner.state.read().pending.ids();
        self.back(&ids).await;
    }
}

/// Marks that have been accepted.
#[derive(Debug)]
pub(crate) struct Accepted {
    fence: Fence,
    token: Token,
    done: oneshot::Receiver<()>,
}

impl Accepted {
    /// As of these marks: what bears it is covered by every mark that acts later, and by none of these.
    pub(crate) fn token(&self) -> Token {
        self.token
    }

    /// Returns once all of them have come back through the log: they are durable, and have their numbers here.
    ///
    /// # Errors
    /// If the fence has failed or fails before that.
    pub(crate) async fn applied(self) -> Result<(), Error> {
        self.done.await.map_err(|_| {
            let failed = self.fence.inner.state.read().failed.clone();
            failed.unwrap_or_else(|| Error::new(ErrorKind::Closed, "the cache has been closed"))
        })
    }
}
