//! What is stale is read again in the background, hottest first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use samovar_core::Error;
use tokio::sync::Notify;

use super::blocks::Place;
use super::share::LONGEST_NAP;
use super::{Engine, Inner};

/// What failed waits so long, twice as long each time that it is tried again in vain.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How urgent a thing is: as hot as its store. What failed is below zero, the lower the later it failed.
type Heat = f64;

/// The heat of what an event named, and of the list.
const URGENT: Heat = f64::MAX;

/// Blocks waiting to be read again.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    woken: Notify,
}

#[derive(Default)]
struct Waiting {
    blocks: HashMap<(Arc<str>, i32), Heat>,
    list: Option<Heat>,
    /// What is being read at this moment.
    busy: Option<Heat>,
    failures: u64,
    /// The last pause; none since something went well.
    pause: Option<Duration>,
    /// What failed is not tried again before, by the clock.
    retry_at: Duration,
}

/// So many blocks of a source that cannot seek are read again one by one; more in one pass over everything.
pub(super) const ONE_BY_ONE: usize = 4;

#[derive(Debug, PartialEq)]
enum Job {
    List,
    /// These, and with them everything unless the source can seek.
    Many(Vec<((Arc<str>, i32), Heat)>),
    Block(Arc<str>, i32),
}

#[derive(Debug, PartialEq)]
enum Next {
    Job(Job),
    /// What failed has to wait.
    In(Duration),
    Nothing,
}

impl Queue {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a block, or makes it more urgent. One that failed stays that, however often it is asked for.
    pub(crate) fn push(&self, store: &Arc<str>, block: i32, heat: f64) {
        let mut waiting = self.lock();
        let of = waiting.blocks.entry((Arc::clone(store), block)).or_insert(heat);
        if *of >= 0.0 || heat == URGENT {
            *of = of.max(heat);
            drop(waiting);
            self.woken.notify_one();
        }
    }

    /// Adds a block that an event named: what it failed of before may be over.
    pub(crate) fn push_urgently(&self, store: &Arc<str>, block: i32) {
        self.push(store, block, URGENT);
    }

    pub(crate) fn push_list(&self) {
        self.lock().list.get_or_insert(URGENT);
        self.woken.notify_one();
    }

    /// Number of blocks that wait or are being read.
    pub(crate) fn len(&self) -> u64 {
        let waiting = self.lock();
        let others = waiting.list.iter().chain(&waiting.busy).count();
        (waiting.blocks.len() + others) as u64
    }

    /// Whether there is something that has not failed yet.
    pub(crate) fn gets_on(&self) -> bool {
        let waiting = self.lock();
        let mut all = waiting.blocks.values().chain(&waiting.list).chain(&waiting.busy);
        all.any(|heat| *heat >= 0.0)
    }

    fn put_back(&self, blocks: &[((Arc<str>, i32), Heat)]) {
        let mut waiting = self.lock();
        for (key, heat) in blocks {
            let of = waiting.blocks.entry(key.clone()).or_insert(*heat);
            *of = of.max(*heat);
        }
    }

    /// What comes next at this time of the clock: the hottest, and while there is nothing else what failed. `seeks`:
    /// the source is known to.
    fn pop(&self, seeks: bool, now: Duration) -> Next {
        let mut waiting = self.lock();
        let hottest = waiting.blocks.iter().max_by(|a, b| a.1.total_cmp(b.1));
        let hottest = hottest.map(|(key, heat)| (key.clone(), *heat));
        let list = waiting.list.unwrap_or(Heat::NEG_INFINITY);
        let (job, heat) = match hottest {
            Some((key, heat)) if heat > list => (Job::Block(key.0, key.1), heat),
            _ if waiting.list.is_some() => (Job::List, list),
            _ => return Next::Nothing,
        };
        if heat < 0.0 && now < waiting.retry_at {
            return Next::In(waiting.retry_at - now);
        }
        waiting.busy = Some(heat);
        Next::Job(match job {
            Job::Block(..) if !seeks && waiting.blocks.len() > ONE_BY_ONE => {
                Job::Many(waiting.blocks.drain().collect())
            }
            Job::Block(store, block) => {
                let key = (store, block);
                waiting.blocks.remove(&key);
                Job::Block(key.0, key.1)
            }
            other => {
                waiting.list = None;
                other
            }
        })
    }

    /// What was being read is.
    fn done(&self) {
        let mut waiting = self.lock();
        (waiting.busy, waiting.pause) = (None, None);
    }

    /// What was being read could not be: it is tried again after a pause, behind all others.
    fn failed(&self, job: Job, now: Duration) {
        let mut waiting = self.lock();
        // Many that fail for the first time are one failure.
        let again = waiting.busy.take().is_some_and(|heat| heat < 0.0);
        waiting.failures += 1;
        let longer = |pause: Duration| if again { (pause * 2).min(LONGEST_PAUSE) } else { pause };
        let pause = waiting.pause.map_or(PAUSE, longer);
        (waiting.pause, waiting.retry_at) = (Some(pause), now + pause);
        let heat = -(waiting.failures as Heat);
        let blocks = match job {
            Job::List => {
                waiting.list = Some(heat);
                return;
            }
            Job::Block(store, block) => vec![((store, block), heat)],
            Job::Many(blocks) => blocks,
        };
        for (key, _) in blocks {
            let of = waiting.blocks.entry(key).or_insert(heat);
            // An event that came meanwhile holds.
            if *of != URGENT {
                *of = heat;
            }
        }
    }
}

impl Engine {
    /// Number of blocks that wait to be read again, or are.
    pub fn refreshing(&self) -> u64 {
        self.inner.queue.len()
    }

    /// Reads these and many others in one pass, if the source cannot seek them; else they go back, to be read one
    /// by one. Asked only here, where it matters: a source that cannot say is one that failed.
    async fn read_many_again(&self, blocks: &[((Arc<str>, i32), Heat)]) -> Result<(), Error> {
        if !self.described().await?.seeks {
            return self.read_everything_again().await;
        }
        self.inner.queue.put_back(blocks);
        Ok(())
    }

    async fn read_everything_again(&self) -> Result<(), Error> {
        let members = self.members().await?;
        self.read_all(&members).await?;
        for store in &members.stores {
            self.note_warm(&members, &store.id);
        }
        Ok(())
    }

    async fn read_again(&self, store: &Arc<str>, block: i32) -> Result<(), Error> {
        let members = self.members().await?;
        let place = Place::of(&members, store, block);
        // A flight of readers that was under way gives what they wanted: stale, perhaps. The next is ours.
        if self.load(&place, true).await?.stale {
            self.load(&place, true).await?;
        }
        self.note_warm(&members, store);
        Ok(())
    }
}

/// Holds the engine only while there is work, so that dropping the engine ends it.
pub(super) async fn refresher(weak: Weak<Inner>) {
    loop {
        let Some(inner) = weak.upgrade() else { return };
        let queue = Arc::clone(&inner.queue);
        let seeks = inner.described.get().is_some_and(|source| source.seeks);
        let job = match queue.pop(seeks, inner.samovar.clock().elapsed()) {
            Next::Job(job) => job,
            waiting => {
                // Waiting holds the queue alone, so that dropping the engine ends this task.
                drop(inner);
                match waiting {
                    Next::In(pause) => {
                        // What has not failed does not wait with what has.
                        let woken = queue.woken.notified();
                        let _ = tokio::time::timeout(pause.min(LONGEST_NAP), woken).await;
                    }
                    _ => queue.woken.notified().await,
                }
                continue;
            }
        };
        let engine = Engine { inner };
        engine.inner.share.wait().await;
        let outcome = match &job {
            Job::List => engine.load_members().await.map(|_| ()),
            Job::Block(store, block) => engine.read_again(store, *block).await,
            Job::Many(blocks) => engine.read_many_again(blocks).await,
        };
        match outcome {
            Ok(()) => {
                queue.done();
                engine.inner.progress.no_trouble();
            }
            Err(failed) => {
                engine.inner.progress.trouble(&failed);
                queue.failed(job, engine.inner.samovar.clock().elapsed());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn block(number: i32) -> Next {
        Next::Job(Job::Block("1".into(), number))
    }

    /// Pops what is next, which fails.
    fn fail(queue: &Queue, now: Duration) {
        let Next::Job(job) = queue.pop(true, now) else { panic!("something is due") };
        queue.failed(job, now);
    }

    #[test]
    fn what_failed_waits_and_nothing_waits_with_it() {
        let (queue, store) = (Queue::default(), Arc::from("1"));
        queue.push(&store, 1, 5.0);
        fail(&queue, NOW);
        assert_eq!(queue.pop(true, NOW), Next::In(PAUSE));
        // To be asked for is no reason to try again; an event is.
        queue.push(&store, 1, 9.0);
        assert_eq!(queue.pop(true, NOW), Next::In(PAUSE));
        queue.push(&store, 2, 0.0);
        assert_eq!(queue.pop(true, NOW), block(2));
        queue.done();
        queue.push_urgently(&store, 1);
        assert_eq!(queue.pop(true, NOW), block(1));
    }

    #[test]
    fn what_failed_is_tried_again_in_turn_ever_more_rarely() {
        let (queue, store) = (Queue::default(), Arc::from("1"));
        queue.push(&store, 1, 2.0);
        queue.push(&store, 2, 1.0);
        queue.push_list();
        (0..3).for_each(|_| fail(&queue, NOW));
        assert_eq!(queue.pop(true, NOW), Next::In(PAUSE));
        let later = NOW + PAUSE;
        assert_eq!(queue.pop(true, later), Next::Job(Job::List), "it failed first");
        queue.failed(Job::List, later);
        assert_eq!(queue.pop(true, later), Next::In(2 * PAUSE));
        assert_eq!(queue.pop(true, later + 2 * PAUSE), block(1));
        queue.done();
        fail(&queue, later + 2 * PAUSE);
        assert_eq!(queue.pop(true, later + 2 * PAUSE), Next::In(PAUSE), "something went well");
    }

    #[test]
    fn what_keeps_failing_does_not_count_as_getting_on() {
        let (queue, store) = (Queue::default(), Arc::from("1"));
        assert!(!queue.gets_on());
        queue.push_list();
        assert!(queue.gets_on());
        fail(&queue, NOW);
        queue.push(&store, 1, 0.0);
        assert!(queue.gets_on());
        fail(&queue, NOW);
        // Neither while it waits nor while it is tried again, however often it is asked for.
        queue.push_list();
        queue.push(&store, 1, 7.0);
        assert!(!queue.gets_on());
        assert_eq!(queue.pop(true, NOW + 2 * PAUSE), Next::Job(Job::List));
        assert!(!queue.gets_on());
        assert_eq!(queue.len(), 2);
    }

    #[test]
    fn an_event_that_comes_while_its_block_fails_is_not_lost() {
        let (queue, store) = (Queue::default(), Arc::from("1"));
        queue.push(&store, 1, 1.0);
        let Next::Job(job) = queue.pop(true, NOW) else { panic!("it is due") };
        queue.push_urgently(&store, 1);
        queue.failed(job, NOW);
        assert_eq!(queue.pop(true, NOW), block(1));
    }
}
