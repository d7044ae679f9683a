//! Warm before anyone asks: what is on disk first, then the hot stores, then the rest.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use samovar_core::Error;

use super::Engine;
use super::blocks::Place;
use super::values::Members;
use crate::background::on_thread;

/// The share of the stores that is loaded first, and that readiness waits for.
const HOT_SHARE: f64 = 0.2;

/// Blocks loaded side by side: the source's connections.
const WORKERS: usize = 2;

/// How far the engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Phase {
    /// Nothing has been asked of it.
    #[default]
    Idle,
    /// Loading.
    Warming,
    /// All stores are in memory.
    Warm,
}

/// How warm the engine is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Warmth {
    /// How far it is.
    pub phase: Phase,
    /// Number of stores, once known.
    pub stores: usize,
    /// Number of stores in memory.
    pub stores_warm: usize,
    /// Whether the hot stores are in memory.
    pub ready: bool,
    /// Why background work does not get on, if it does not.
    pub trouble: Option<String>,
}

/// What a warm-up did.
#[derive(Clone, Debug, PartialEq)]
pub struct WarmReport {
    /// Number of stores.
    pub stores: usize,
    /// Number of stores that could not be read; they are tried again in the background.
    pub failed: usize,
    /// Lines of all stores, by the list.
    pub lines: u64,
    /// From the start until the hot stores could be answered for.
    pub first_hot_answer: Duration,
    /// From the start until everything was in memory, and durable on disk.
    pub fully_warm: Duration,
}

/// Progress that others look at.
#[derive(Default)]
pub(crate) struct Progress {
    warmth: Mutex<Warmth>,
    warm: Mutex<Vec<bool>>,
    poisoned: AtomicBool,
}

impl Progress {
    fn change(&self, change: impl FnOnce(&mut Warmth)) {
        change(&mut self.warmth.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn trouble(&self, failed: &Error) {
        self.change(|warmth| warmth.trouble = Some(failed.to_string()));
    }

    pub(crate) fn no_trouble(&self) {
        let mut warmth = self.warmth.lock().unwrap_or_else(PoisonError::into_inner);
        // What poisoned it stays said.
        if !self.poisoned.load(Ordering::Relaxed) {
            warmth.trouble = None;
        }
    }

    pub(crate) fn poison(&self, why: &str) {
        self.poisoned.store(true, Ordering::Relaxed);
        self.change(|warmth| {
            warmth.trouble = Some(why.to_string());
            warmth.ready = false;
        });
    }
}

impl Engine {
    /// How warm it is.
    pub fn warmth(&self) -> Warmth {
        self.inner.progress.warmth.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// By store of the list: whether it is in memory.
    pub fn warm_stores(&self) -> Vec<bool> {
        self.inner.progress.warm.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Brings every store-day into memory: from disk what is there, from the source what is not, the hot stores
    /// first; returns when all is durable on disk. What came from disk is then read again in the background.
    ///
    /// # Errors
    /// If the list of stores or none of them can be read, or the disk fails; what was loaded until then stays.
    pub async fn warm(&self) -> Result<WarmReport, Error> {
        let clock = Arc::clone(self.inner.samovar.clock());
        let started = clock.elapsed();
        let progress = &self.inner.progress;
        progress.change(|warmth| *warmth = Warmth { phase: Phase::Warming, ..Warmth::default() });
        self.load_heat().await;
        let members = self.members().await?;
        let order = self.hottest_first(&members);
        let hot = ((order.len() as f64 * HOT_SHARE).ceil() as usize).min(order.len());
        progress.change(|warmth| warmth.stores = order.len());
        *progress.warm.lock().unwrap_or_else(PoisonError::into_inner) = vec![false; order.len()];

        // A source that cannot be asked is not needed for what is on disk.
        let seeks = self.seeks().await.unwrap_or(true);
        if !seeks && self.any_cold(&members).await? {
            self.read_all(&members).await?;
        }
        let (first, rest) = order.split_at(hot);
        let mut failed = self.warm_stores_of(&members, first).await?;
        let first_hot_answer = clock.elapsed().saturating_sub(started);
        progress.change(|warmth| warmth.ready = first.is_empty() || failed.len() < first.len());
        failed.extend(self.warm_stores_of(&members, rest).await?);
        if let Some(why) = failed.first().filter(|_| failed.len() == order.len()) {
            return Err(why.clone());
        }
        self.inner.samovar.flush().await?;
        let fully_warm = clock.elapsed().saturating_sub(started);
        progress.change(|warmth| warmth.phase = Phase::Warm);
        Ok(WarmReport {
            stores: order.len(),
            failed: failed.len(),
            lines: members.stores.iter().map(|store| store.lines).sum(),
            first_hot_answer,
            fully_warm,
        })
    }

    /// Whether a block is in no tier.
    async fn any_cold(&self, members: &Members) -> Result<bool, Error> {
        let Some((from, to)) = members.dates else { return Ok(false) };
        for store in &members.stores {
            for block in from.0.div_euclid(members.block_days)..=to.0.div_euclid(members.block_days)
            {
                let place = Place::of(members, &store.id, block);
                if self.ready(&place, from, to).is_none() && !self.stored(&place, from, to).await {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Warms these stores; gives the failures of those that could not be.
    async fn warm_stores_of(
        &self,
        members: &Arc<Members>,
        stores: &[usize],
    ) -> Result<Vec<Error>, Error> {
        let next = Arc::new(AtomicUsize::new(0));
        let stores: Arc<[usize]> = stores.into();
        let workers = (0..WORKERS).map(|_| {
            let (engine, members) = (self.clone(), Arc::clone(members));
            let (stores, next) = (Arc::clone(&stores), Arc::clone(&next));
            on_thread(async move {
                let mut failed = Vec::new();
                while let Some(store) = stores.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(why) = engine.warm_store(&members, *store).await {
                        failed.push(why);
                    }
                }
                Ok(failed)
            })
        });
        let failed = futures_util::future::try_join_all(workers).await?;
        Ok(failed.into_iter().flatten().collect())
    }

    async fn warm_store(&self, members: &Members, at: usize) -> Result<(), Error> {
        let Some((from, to)) = members.dates else { return Ok(()) };
        let store = &members.stores[at].id;
        let mut failed = None;
        for block in from.0.div_euclid(members.block_days)..=to.0.div_euclid(members.block_days) {
            let place = Place::of(members, store, block);
            let stale = match self.ready(&place, from, to) {
                Some(found) => found.stale,
                None => match self.load(&place, false).await {
                    Ok(found) => found.stale,
                    Err(why) => {
                        // One store that cannot be read must not keep the others cold.
                        self.inner.progress.trouble(&why);
                        failed = Some(why);
                        true
                    }
                },
            };
            if stale {
                self.inner.queue.push(store, block, self.inner.heat.of(store));
            }
        }
        if let Some(why) = failed {
            return Err(why);
        }
        let progress = &self.inner.progress;
        if let Some(warm) = progress.warm.lock().unwrap_or_else(PoisonError::into_inner).get_mut(at)
        {
            *warm = true;
        }
        progress.change(|warmth| warmth.stores_warm += 1);
        Ok(())
    }
}
