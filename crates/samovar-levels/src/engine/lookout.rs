//! Changes without an event, as far as the source hints at them.
//!
//! Once a second the source is asked for a number that changes when somebody else commits. A change that an event
//! follows within a grace counts as announced. Any other makes all that is cached stale: served labelled, and read again
//! in the background, hottest first. It is a hint: where an announced change and a silent one fall together, the silent
//! one is not seen.

use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use samovar_core::{Error, Mode, Scope};

use super::blocks::Place;
use super::{BLOCKS, Engine, Inner, LIST, count};

/// How often the source is asked.
const EVERY: Duration = Duration::from_secs(1);

/// Events accepted so far, as the lookout sees them.
#[derive(Default)]
pub(crate) struct Events(AtomicU64);

impl Events {
    pub(crate) fn accepted(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn so_far(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Engine {
    /// Labels all that was read from the source, and has it read again.
    async fn changed_silently(&self) -> Result<(), Error> {
        let caches = BLOCKS.into_iter().chain([LIST]);
        let scopes = caches.map(|cache| Scope::Cache(cache.into())).collect();
        let reason = "the source changed without an event";
        let marked = self.inner.samovar.mark(scopes, Mode::Expire, reason).await;
        // Who sees it counted finds nothing fresh that is not.
        count(&self.inner.counters.silent_changes, 1);
        marked?;
        // Until then the list of before says what there is.
        let known = self.known_members().await;
        self.inner.queue.push_list();
        if let Some(members) = known
            && let Some((from, to)) = members.dates
        {
            for at in 0..members.stores.len() {
                members.places(at, from, to).for_each(|place: Place| self.queue_again(&place));
            }
        }
        Ok(())
    }
}

/// Holds the engine only while it looks, so that dropping the engine ends it.
pub(super) async fn lookout(weak: Weak<Inner>, grace: Duration) {
    // What was seen last, and how many events had been accepted before.
    let mut last: Option<(u64, u64)> = None;
    loop {
        let Some(inner) = weak.upgrade() else { return };
        let engine = Engine { inner };
        // First: the event of a change that the number tells of may be yet to come, and must not count as over.
        let events = engine.inner.events.so_far();
        match engine.inner.source.change_number().await {
            Ok(Some(number)) => match last {
                Some((seen, before)) if seen != number => {
                    // While all is being read again a further change waits for the next look, else nothing
                    // would ever be done with. What keeps failing is waited for by nobody.
                    if !engine.inner.queue.gets_on() {
                        drop(engine);
                        match judge(&weak, grace, before).await {
                            Judged::Gone => return,
                            Judged::Announced => last = Some((number, events)),
                            // There may have been further changes since the number was seen, and these events
                            // theirs: looked at anew, at once.
                            Judged::AnnouncedLate => {
                                last = None;
                                continue;
                            }
                            Judged::Silent => last = Some((number, before)),
                        }
                    }
                }
                _ => last = Some((number, events)),
            },
            // A source that cannot tell, ever.
            Ok(None) => return,
            // One that is away has trouble enough, which others tell of.
            Err(_) => {}
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// What a change was.
enum Judged {
    /// An event had come since the last look.
    Announced,
    /// One came within the grace.
    AnnouncedLate,
    Silent,
    /// The engine is.
    Gone,
}

/// Waits for the event of a change: one that came since the last look, or comes within the grace.
async fn judge(weak: &Weak<Inner>, grace: Duration, before: u64) -> Judged {
    let mut waited = false;
    loop {
        let Some(inner) = weak.upgrade() else { return Judged::Gone };
        let engine = Engine { inner };
        if engine.inner.events.so_far() != before {
            count(&engine.inner.counters.announced_changes, 1);
            return if waited { Judged::AnnouncedLate } else { Judged::Announced };
        }
        if waited {
            if let Err(failed) = engine.changed_silently().await {
                engine.inner.progress.trouble(&failed);
            }
            return Judged::Silent;
        }
        drop(engine);
        tokio::time::sleep(grace).await;
        waited = true;
    }
}
