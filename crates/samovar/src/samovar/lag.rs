//! A source that is read with a lag, as from replicas: what is loaded soon after an invalidation may be from before the change,
//! though its read began after. So every invalidation is repeated once the lag is over.

use std::sync::Arc;
use std::time::Duration;

use samovar_core::{ErrorKind, Mark, Millis, Scope, Snapshot};

use super::{MarkOptions, Samovar};

/// How much of the lag is left after a mark. By a clock that is ahead it was made just now.
fn left(mark: &Mark, lag: Duration, now: Millis) -> Duration {
    lag.saturating_sub(now.since(mark.at).unwrap_or_default())
}

/// The marks of a log after which some of the lag is left.
pub(super) fn recent(log: &Snapshot, lag: Duration, now: Millis) -> Vec<Mark> {
    let marks = log.marks.iter().map(|numbered| &numbered.mark);
    marks.filter(|mark| !left(mark, lag, now).is_zero()).cloned().collect()
}

impl Samovar {
    /// The same once more when the lag is over, whatever becomes of the caller.
    pub(super) fn repeat(&self, scopes: &[Scope], options: &MarkOptions) {
        let lag = self.inner.replica_lag;
        if !lag.is_zero() && !scopes.is_empty() {
            self.repeat_after(lag, scopes.to_vec(), options.clone());
        }
    }

    /// What was invalidated less than a lag before the start, here or elsewhere: who was to repeat it may have died.
    pub(super) fn repeat_recent(&self, recent: Vec<Mark>) {
        for mark in recent {
            let left = left(&mark, self.inner.replica_lag, self.inner.clock.now());
            let (mode, priority) = (mark.mode, mark.priority);
            let options = MarkOptions { mode, priority, ..MarkOptions::because(mark.reason) };
            self.repeat_after(left, vec![mark.scope], options);
        }
    }

    fn repeat_after(&self, wait: Duration, scopes: Vec<Scope>, options: MarkOptions) {
        let (weak, clock) = (Arc::downgrade(&self.inner), Arc::clone(&self.inner.clock));
        self.inner.tasks.keep(move || {
            let (weak, clock) = (weak.clone(), Arc::clone(&clock));
            let (scopes, options) = (scopes.clone(), options.clone());
            async move {
                clock.sleep(wait).await;
                let Some(inner) = weak.upgrade() else { return };
                let samovar = Samovar::of(inner);
                match samovar.marked_once(scopes, options).await {
                    Err(failed) if failed.kind() != ErrorKind::Closed => {
                        let text = format!(
                            "an invalidation was to be repeated after replica_lag: {failed}"
                        );
                        samovar.inner.counters.say(clock.now(), text);
                    }
                    _ => {}
                }
            }
        });
    }
}
