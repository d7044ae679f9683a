//! What is stale is read again in the background, hottest first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use samovar_core::Error;
use tokio::sync::Notify;

use super::blocks::Place;
use super::{Engine, Inner};

/// After a failure the refresher waits so long, twice as long after each further one.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Blocks waiting to be read again.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    woken: Notify,
}

#[derive(Default)]
struct Waiting {
    blocks: HashMap<(Arc<str>, i32), f64>,
    list: bool,
    /// What is being read at this moment.
    busy: usize,
}

/// The heat of what failed.
const FAILED: f64 = -1.0;

/// So many blocks of a source that cannot seek are read again one by one; more in one pass over everything.
pub(super) const ONE_BY_ONE: usize = 4;

enum Job {
    List,
    /// Everything, and with it these.
    All(Vec<((Arc<str>, i32), f64)>),
    Block(Arc<str>, i32),
}

impl Queue {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a block, or makes it more urgent.
    pub(crate) fn push(&self, store: &Arc<str>, block: i32, heat: f64) {
        let mut waiting = self.lock();
        let of = waiting.blocks.entry((Arc::clone(store), block)).or_insert(heat);
        *of = of.max(heat);
        drop(waiting);
        self.woken.notify_one();
    }

    pub(crate) fn push_list(&self) {
        self.lock().list = true;
        self.woken.notify_one();
    }

    /// Number of blocks that wait or are being read.
    pub(crate) fn len(&self) -> u64 {
        let waiting = self.lock();
        (waiting.blocks.len() + waiting.busy + usize::from(waiting.list)) as u64
    }

    fn pop(&self, seeks: bool) -> Option<Job> {
        let mut waiting = self.lock();
        let job = if std::mem::take(&mut waiting.list) {
            Job::List
        } else if !seeks && waiting.blocks.len() > ONE_BY_ONE {
            Job::All(waiting.blocks.drain().collect())
        } else {
            let hottest = waiting.blocks.iter().max_by(|a, b| a.1.total_cmp(b.1));
            let key = hottest.map(|(key, _)| key.clone())?;
            waiting.blocks.remove(&key);
            Job::Block(key.0, key.1)
        };
        waiting.busy += 1;
        Some(job)
    }

    fn done(&self) {
        self.lock().busy -= 1;
    }
}

impl Engine {
    /// Number of blocks that wait to be read again, or are.
    pub fn refreshing(&self) -> u64 {
        self.inner.queue.len()
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
    let mut pause = PAUSE;
    loop {
        let Some(inner) = weak.upgrade() else { return };
        let Some(job) = inner.queue.pop(inner.described.get().is_none_or(|source| source.seeks))
        else {
            // Waiting holds the queue alone, so that dropping the engine ends this task.
            let queue = Arc::clone(&inner.queue);
            drop(inner);
            queue.woken.notified().await;
            continue;
        };
        let engine = Engine { inner };
        engine.inner.share.wait().await;
        let outcome = match &job {
            Job::List => engine.load_members().await.map(|_| ()),
            Job::Block(store, block) => engine.read_again(store, *block).await,
            Job::All(_) => engine.read_everything_again().await,
        };
        engine.inner.queue.done();
        match outcome {
            Ok(()) => {
                pause = PAUSE;
                engine.inner.progress.no_trouble();
            }
            Err(failed) => {
                engine.inner.progress.trouble(&failed);
                match job {
                    Job::List => engine.inner.queue.push_list(),
                    // Behind all others: what keeps failing must not keep them waiting.
                    Job::Block(store, block) => engine.inner.queue.push(&store, block, FAILED),
                    Job::All(blocks) => {
                        for ((store, block), heat) in blocks {
                            engine.inner.queue.push(&store, block, heat);
                        }
                    }
                }
                drop(engine);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}
