//! Brings what was acknowledged to its source: when, and how many at once. How: `deliver`.
//!
//! Of each key writes go in the order of their numbers, one at a time: the next is not begun before it is known what
//! became of the last, so what the source holds in the end is what was written last. A write whose outcome nobody knows
//! is tried again once the source can no longer commit it.
//!
//! Writers do many writes in one transaction, so one bad write fails all of them. Nobody can tell which it was: what
//! failed as a whole is sent again in halves, and a write is charged with a failure only when it was sent alone, or when
//! others of its call went through.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::select;
use samovar_core::{Error, ErrorKind, Writer};

use super::deliver::Ready;
use super::pace::Pace;
use super::through::unless_it_panics;
use crate::cache::{Cache, Unwritten, Waiting};
use crate::jitter::back_off;
use crate::policy::CachePolicy;
use crate::samovar::Inner;
use crate::value::Value;

/// The most writes of one batch.
const AT_ONCE: usize = 1_000;
/// How long to wait after a failure; twice as long each time …
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// … up to here.
const LAST_PAUSE: Duration = Duration::from_secs(60);

/// Has the writes of a cache replayed if there are any, or may be.
pub(crate) fn start<V: Value>(cache: &Cache<V>) {
    if cache.inner.writes.is_replayed(&cache.policy) {
        see_to(cache);
    }
}

/// Has the writes of a cache replayed, unless somebody does it for its name.
pub(super) fn see_to<V: Value>(cache: &Cache<V>) {
    let Some(unwritten) = &cache.unwritten else { return };
    let (inner, tasks) = (&cache.inner, &cache.inner.tasks);
    // What was accepted without a writer goes its way though there is one now.
    let ways = [None, cache.writer.clone()];
    for writer in ways.into_iter().take(1 + usize::from(cache.writer.is_some())) {
        if inner.writes.claim(&cache.policy.name, writer.is_some()) {
            let (weak, unwritten) = (Arc::downgrade(inner), Arc::clone(unwritten));
            tasks.spawn(replay(weak, unwritten, cache.policy().clone(), writer));
        }
    }
}

/// Replays those writes of a cache that are for a writer, or those that are not, for as long as it is open.
async fn replay<V: Value>(
    weak: Weak<Inner>,
    unwritten: Arc<Unwritten>,
    policy: CachePolicy,
    writer: Option<Arc<dyn Writer<V>>>,
) {
    let has_writer = writer.is_some();
    let (mut failures, mut pace) = (0, Pace::default());
    // The most of one call. Halved where a call fails as a whole, doubled where one does not.
    let mut at_once = AT_ONCE;
    if let (Some(writer), Some(inner)) = (&writer, weak.upgrade())
        && !writer.remembers()
        && unwritten.has_inherited()
    {
        let deadline = inner.clock.sleep(writer.deadline());
        drop(inner);
        deadline.await;
    }
    loop {
        let batch = unwritten.first(AT_ONCE, has_writer).await;
        // Held for as long as it is worked on.
        let Some(inner) = weak.upgrade() else { return };
        let (clock, jitter) = (Arc::clone(&inner.clock), Arc::clone(&inner.jitter));
        pace.begin(clock.elapsed(), unwritten.last_number());
        let cache = Cache::<V>::new(inner, policy.clone(), writer.clone());
        let replayed = cache.replay_batch(&unwritten, &batch, &mut at_once);
        let waited = match unless_it_panics(&policy.name, replayed).await {
            Ok(None) => {
                failures = 0;
                let writes = &cache.inner.writes;
                let last = batch.last().map_or(0, |write| write.number);
                let rest = pace.end(last, clock.elapsed(), unwritten.len());
                let fills = writes.fills().filter(|_| !rest.is_zero());
                drop((cache, batch));
                if let Some(fills) = fills {
                    select(clock.sleep(rest), pin!(fills)).await;
                }
                continue;
            }
            Ok(Some(waited)) => waited,
            Err(error) if error.kind() == ErrorKind::Closed => return,
            Err(error) => {
                let text = format!("writes of {} wait: {error}", policy.name);
                cache.inner.counters.say(clock.now(), text);
                Duration::ZERO
            }
        };
        drop((cache, batch));
        let wait = jitter.spread(back_off(FIRST_PAUSE, LAST_PAUSE, failures), 0.2);
        failures = failures.saturating_add(1);
        clock.sleep(wait.saturating_sub(waited)).await;
    }
}

/// What a pass leaves to be done.
#[derive(Default)]
struct Left {
    again: bool,
    waited: Duration,
}

impl<V: Value> Cache<V> {
    /// `None` if all of it is settled; else how long was waited for what could still be committed.
    async fn replay_batch(
        &self,
        unwritten: &Unwritten,
        batch: &[Arc<Waiting>],
        at_once: &mut usize,
    ) -> Result<Option<Duration>, Error> {
        let ready = self.read_all(unwritten, batch).await?;
        let Some(writer) = &self.writer else {
            self.keep_here(unwritten, &ready).await?;
            return Ok(None);
        };
        let (mut alone, fresh): (Vec<_>, Vec<_>) =
            ready.into_iter().partition(|ready| ready.write.goes_alone());
        let mut left = Left::default();
        self.deliver_fresh(unwritten, &**writer, &fresh, at_once, &mut left).await?;
        // While the source is away not all of them are tried each time: those first that were tried least.
        alone.sort_by_key(|ready| ready.write.attempts.load(Ordering::Relaxed));
        for ready in &alone {
            let one = std::slice::from_ref(ready);
            let delivered = self.deliver(unwritten, &**writer, one).await?;
            left.waited += delivered.waited;
            if delivered.again {
                left.again = true;
                break;
            }
        }
        Ok(left.again.then_some(left.waited))
    }

    /// In parts that shrink to the one write that fails, and grow again behind it.
    async fn deliver_fresh(
        &self,
        unwritten: &Unwritten,
        writer: &dyn Writer<V>,
        mut rest: &[Ready<V>],
        at_once: &mut usize,
        left: &mut Left,
    ) -> Result<(), Error> {
        let mut has_failed_alone = false;
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(rest.len().min(*at_once));
            let delivered = self.deliver(unwritten, writer, part).await?;
            left.again |= delivered.again;
            left.waited += delivered.waited;
            match (delivered.has_failed, part) {
                (false, _) => {
                    *at_once = (2 * *at_once).min(AT_ONCE);
                    has_failed_alone = false;
                    rest = behind;
                }
                (true, [one]) => {
                    one.write.alone.store(true, Ordering::Relaxed);
                    // Two in a row: it is the source that fails. It has until the next pass.
                    if has_failed_alone {
                        left.again |= !behind.is_empty();
                        break;
                    }
                    has_failed_alone = true;
                    rest = behind;
                }
                (true, part) => *at_once = part.len().div_ceil(2),
            }
        }
        Ok(())
    }
}
