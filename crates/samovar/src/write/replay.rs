//! Brings what was acknowledged to its source: when, and how many at once. How: `deliver`.
//!
//! Of each key writes go in the order of their numbers, one at a time: the next is not begun before it is known what
//! became of the last, so what the source holds in the end is what was written last. A write whose outcome nobody knows
//! is tried again once the source can no longer commit it.
//!
//! Writers do many writes in one transaction, so one bad write fails all of them. Nobody can tell which it was: what
//! failed as a whole is sent again in halves, and a write is charged with a failure only when it was sent alone, or when
//! others of its call went through. From then on it goes alone, in its own time, and the others go on without it.

use std::pin::pin;
use std::slice;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::select;
use samovar_core::{Error, ErrorKind, Writer};

use super::course::{Course, FIRST_PAUSE, LAST_PAUSE, SPREAD};
use super::deliver::Ready;
use super::pace::Pace;
use super::through::unless_it_panics;
use crate::cache::{AT_ONCE, Batch, Cache, Unwritten};
use crate::jitter::back_off;
use crate::policy::CachePolicy;
use crate::samovar::Inner;
use crate::value::Value;

/// After so long no more of those that go alone are tried before what is fresh.
const LONG: Duration = Duration::from_secs(1);

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
            let (policy, is_again) = (cache.policy().clone(), AtomicBool::new(false));
            tasks.keep(move || {
                // What the one before had sent may still be committed.
                let may_be_sent =
                    is_again.swap(true, Ordering::Relaxed) || unwritten.has_inherited();
                let (weak, unwritten) = (weak.clone(), Arc::clone(&unwritten));
                replay(weak, unwritten, policy.clone(), writer.clone(), may_be_sent)
            });
        }
    }
}

/// Replays those writes of a cache that are for a writer, or those that are not, for as long as it is open. Of some it
/// `may_be_sent` that they were sent before.
async fn replay<V: Value>(
    weak: Weak<Inner>,
    unwritten: Arc<Unwritten>,
    policy: CachePolicy,
    writer: Option<Arc<dyn Writer<V>>>,
    may_be_sent: bool,
) {
    let has_writer = writer.is_some();
    let (mut failures, mut pace, mut course) = (0, Pace::default(), Course::default());
    let Some(clock) = weak.upgrade().map(|inner| Arc::clone(&inner.clock)) else { return };
    if let Some(writer) = writer.as_ref().filter(|writer| !writer.remembers())
        && may_be_sent
    {
        clock.sleep(writer.deadline()).await;
    }
    loop {
        let batch = unwritten.first(has_writer, &*clock, course.alone_from).await;
        // Held for as long as it is worked on.
        let Some(inner) = weak.upgrade() else { return };
        if !batch.fresh.is_empty() {
            pace.begin(clock.elapsed(), unwritten.last_number());
        }
        let cache = Cache::<V>::new(inner, policy.clone(), writer.clone());
        let replayed = cache.replay_batch(&unwritten, &batch, &mut course);
        let rest = match unless_it_panics(&policy.name, replayed).await {
            Ok(rest) => {
                failures = 0;
                rest
            }
            Err(error) if error.kind() == ErrorKind::Closed => return,
            Err(error) => {
                let text = format!("writes of {} wait: {error}", policy.name);
                cache.inner.counters.say(clock.now(), text);
                let pause = back_off(FIRST_PAUSE, LAST_PAUSE, failures);
                failures = failures.saturating_add(1);
                Some(cache.inner.jitter.spread(pause, SPREAD))
            }
        };
        let last = batch.fresh.last().map(|write| write.number);
        let fills = cache.inner.writes.fills();
        drop((cache, batch));
        match (rest, last, fills) {
            (Some(rest), ..) => clock.sleep(rest).await,
            (None, Some(last), Some(fills)) => {
                let rest = pace.end(last, clock.elapsed(), unwritten.unhindered());
                if !rest.is_zero() {
                    select(clock.sleep(rest), pin!(fills)).await;
                }
            }
            (None, ..) => {}
        }
    }
}

impl<V: Value> Cache<V> {
    /// How long to leave the source alone, if it seems to be away.
    async fn replay_batch(
        &self,
        unwritten: &Unwritten,
        batch: &Batch,
        course: &mut Course,
    ) -> Result<Option<Duration>, Error> {
        let fresh = self.read_all(unwritten, &batch.fresh).await?;
        let Some(writer) = &self.writer else {
            let alone = self.read_all(unwritten, &batch.alone).await?;
            for batch in [fresh, alone].iter().filter(|batch| !batch.is_empty()) {
                self.keep_here(unwritten, batch).await?;
            }
            return Ok(None);
        };
        let rest = self.deliver_fresh(unwritten, &**writer, &fresh, course).await?;
        if rest.is_none() {
            let is_there = !fresh.is_empty() && course.is_there();
            let alone = self.read_all(unwritten, &batch.alone).await?;
            self.deliver_alone(unwritten, &**writer, &alone, is_there, course).await?;
        }
        Ok(rest)
    }

    /// In parts that shrink to the one write that fails, and grow again behind it. How long to leave the source alone, if
    /// it seems to be away.
    async fn deliver_fresh(
        &self,
        unwritten: &Unwritten,
        writer: &dyn Writer<V>,
        mut rest: &[Ready<V>],
        course: &mut Course,
    ) -> Result<Option<Duration>, Error> {
        let jitter = &self.inner.jitter;
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(rest.len().min(course.at_once));
            match (self.deliver(unwritten, writer, part).await?, part.len()) {
                (false, _) => {
                    course.at_once = (2 * course.at_once).min(AT_ONCE);
                    course.went_through();
                    rest = behind;
                }
                (true, 1) => {
                    let mut pause = course.fresh_failed(jitter);
                    rest = behind;
                    // Many that are bad may stand together: then the newest shows that the source is there, and what
                    // comes while they are found out waits for none of them.
                    let newest = unwritten.newest();
                    for one in self.read_all(unwritten, newest.as_slice()).await? {
                        rest = match rest.split_last() {
                            Some((last, before)) if last.write.number == one.write.number => before,
                            _ => rest,
                        };
                        if self.deliver(unwritten, writer, slice::from_ref(&one)).await? {
                            pause = course.fresh_failed(jitter).or(pause);
                        } else {
                            course.went_through();
                            pause = None;
                        }
                    }
                    if pause.is_some() {
                        return Ok(pause);
                    }
                }
                (true, many) => course.at_once = many.div_ceil(2),
            }
        }
        Ok(None)
    }

    /// One by one, for a little while.
    async fn deliver_alone(
        &self,
        unwritten: &Unwritten,
        writer: &dyn Writer<V>,
        alone: &[Ready<V>],
        is_there: bool,
        course: &mut Course,
    ) -> Result<(), Error> {
        let (clock, jitter) = (&self.inner.clock, &self.inner.jitter);
        let began = clock.elapsed();
        for one in alone {
            let has_failed = self.deliver(unwritten, writer, slice::from_ref(one)).await?;
            let now = clock.elapsed();
            if !has_failed {
                course.went_through();
            } else if !is_there && course.alone_failed(now, jitter) {
                break;
            }
            if now.saturating_sub(began) > LONG {
                break;
            }
        }
        Ok(())
    }
}
