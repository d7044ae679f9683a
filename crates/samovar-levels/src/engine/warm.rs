//! Warm before anyone asks: what is on disk first, then the hot stores, then the rest.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use samovar_core::{Day, Error, ErrorKind};

use super::blocks::Place;
use super::values::Members;
use super::{Engine, LOADED_AT_ONCE};
use crate::background::on_thread;

/// The share of the stores that is loaded first, and that readiness waits for.
const HOT_SHARE: f64 = 0.2;

/// Blocks loaded side by side while the source cannot tell how many connections it has.
const UNKNOWN: usize = 2;

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
    /// Whether that is about their number.
    pub estimated: bool,
    /// From the start until the hot stores could be answered for.
    pub first_hot_answer: Duration,
    /// From the start until everything was in memory, and durable on disk.
    pub fully_warm: Duration,
}

/// Progress that others look at.
#[derive(Default)]
pub(crate) struct Progress(Mutex<Stand>);

#[derive(Default)]
struct Stand {
    phase: Phase,
    /// The stores of the list, by id.
    stores: HashSet<Arc<str>>,
    /// Those of them that are in memory.
    warm: HashSet<Arc<str>>,
    /// The stores that readiness waits for.
    hot: HashSet<Arc<str>>,
    /// They have all been tried.
    hot_tried: bool,
    trouble: Option<String>,
    /// The trouble is for good.
    poisoned: bool,
}

impl Stand {
    /// Stores that cannot be read must not keep the others from being served: one hot store is enough once all
    /// have been tried.
    fn is_ready(&self) -> bool {
        let any = || self.hot.is_empty() || self.hot.iter().any(|id| self.warm.contains(id));
        self.hot_tried && !self.poisoned && any()
    }

    /// A list may have come meanwhile that lacks it.
    fn is_warm(&mut self, store: &Arc<str>) {
        if self.stores.contains(store) {
            self.warm.insert(Arc::clone(store));
        }
    }

    fn lists(&mut self, members: &Members) {
        self.stores = members.stores.iter().map(|store| Arc::clone(&store.id)).collect();
        self.warm.retain(|id| self.stores.contains(id));
        self.hot.retain(|id| self.stores.contains(id));
    }
}

impl Progress {
    fn lock(&self) -> MutexGuard<'_, Stand> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a list of stores that has come.
    pub(crate) fn lists(&self, members: &Members) {
        self.lock().lists(members);
    }

    /// All blocks of a store are in memory.
    fn warm(&self, store: &Arc<str>) {
        self.lock().is_warm(store);
    }

    pub(crate) fn trouble(&self, failed: &Error) {
        self.lock().trouble = Some(failed.to_string());
    }

    pub(crate) fn no_trouble(&self) {
        let mut stand = self.lock();
        // What poisoned it stays said.
        if !stand.poisoned {
            stand.trouble = None;
        }
    }

    pub(crate) fn poison(&self, why: &str) {
        let mut stand = self.lock();
        stand.poisoned = true;
        stand.trouble = Some(why.to_string());
    }
}

/// So many blocks of a store are read by one query, if nobody has any of them.
const RUN: usize = 4;

/// Runs of blocks of stores that are warmed side by side.
struct Wave {
    runs: Vec<(usize, Vec<Place>)>,
    next: AtomicUsize,
    /// Of each store of the list, how many of its blocks are not there yet.
    left: Vec<AtomicUsize>,
}

impl Wave {
    fn new(stores: usize, runs: Vec<(usize, Vec<Place>)>) -> Wave {
        let mut left: Vec<AtomicUsize> =
            std::iter::repeat_with(AtomicUsize::default).take(stores).collect();
        runs.iter().for_each(|(at, run)| *left[*at].get_mut() += run.len());
        Wave { runs, next: AtomicUsize::new(0), left }
    }

    /// The next run that nobody has taken yet.
    fn next(&self) -> Option<&(usize, Vec<Place>)> {
        self.runs.get(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// A block of a store is there; true if it was the last.
    fn was_last(&self, at: usize) -> bool {
        self.left[at].fetch_sub(1, Ordering::Relaxed) == 1
    }
}

impl Engine {
    /// How warm it is.
    pub fn warmth(&self) -> Warmth {
        let stand = self.inner.progress.lock();
        Warmth {
            phase: stand.phase,
            stores: stand.stores.len(),
            stores_warm: stand.warm.len(),
            ready: stand.is_ready(),
            trouble: stand.trouble.clone(),
        }
    }

    /// The ids of the stores that are in memory.
    pub fn warm_stores(&self) -> HashSet<Arc<str>> {
        self.inner.progress.lock().warm.clone()
    }

    /// Brings every store-day into memory: from disk what is there, from the source what is not, the hot stores
    /// first; returns when all is durable on disk. What came from disk is then read again in the background, and
    /// so are the stores that failed. After an error it may be called again.
    ///
    /// # Errors
    /// If the list of stores or none of them can be read, or the disk fails; what was loaded until then stays.
    pub async fn warm(&self) -> Result<WarmReport, Error> {
        let clock = Arc::clone(self.inner.samovar.clock());
        let started = clock.elapsed();
        let progress = &self.inner.progress;
        progress.lock().phase = Phase::Warming;
        self.load_heat().await;
        let members = self.members().await?;
        let order = self.hottest_first(&members);
        let hot = ((order.len() as f64 * HOT_SHARE).ceil() as usize).min(order.len());
        let (first, rest) = order.split_at(hot);
        {
            let mut stand = progress.lock();
            stand.lists(&members);
            stand.warm.clear();
            stand.hot = first.iter().map(|at| Arc::clone(&members.stores[*at].id)).collect();
            stand.hot_tried = false;
        }
        let may_read = self.pass_if_cold(&members).await;
        let mut failed = self.warm_stores_of(&members, first, may_read).await?;
        let first_hot_answer = clock.elapsed().saturating_sub(started);
        progress.lock().hot_tried = true;
        failed.extend(self.warm_stores_of(&members, rest, may_read).await?);
        if let Some(why) = failed.values().next().filter(|_| failed.len() == order.len()) {
            return Err(why.clone());
        }
        self.inner.samovar.flush().await?;
        let fully_warm = clock.elapsed().saturating_sub(started);
        progress.lock().phase = Phase::Warm;
        Ok(WarmReport {
            stores: order.len(),
            failed: failed.len(),
            lines: members.stores.iter().map(|store| store.lines).sum(),
            estimated: members.estimated,
            first_hot_answer,
            fully_warm,
        })
    }

    /// Reads everything in one pass if something is cold and the source cannot seek it. False if that failed: then
    /// what is on disk is brought up all the same, and the rest is for the background.
    async fn pass_if_cold(&self, members: &Arc<Members>) -> bool {
        let Some(within) = members.dates else { return true };
        let stores = 0..members.stores.len();
        let places = stores.flat_map(|at| members.places(at, within.0, within.1));
        let needs = self.usual_needs(members.product_metrics);
        if !self.wants_a_pass(places, 0, within, needs).await {
            return true;
        }
        self.inner.share.wait().await;
        match self.read_all(members).await {
            Ok(()) => true,
            Err(why) => {
                self.inner.progress.trouble(&why);
                false
            }
        }
    }

    /// Warms these stores, block by block, about as many side by side as the source has connections; gives the stores that
    /// could not be read, each with a failure.
    async fn warm_stores_of(
        &self,
        members: &Arc<Members>,
        stores: &[usize],
        may_read: bool,
    ) -> Result<BTreeMap<usize, Error>, Error> {
        let Some(within) = members.dates else { return Ok(BTreeMap::new()) };
        let connections = self.described().await.map_or(UNKNOWN, |source| source.connections);
        // One more than connections: none idles while rows that were read are derived.
        let workers = connections.saturating_add(1).min(LOADED_AT_ONCE);
        let blocks: Vec<(usize, Vec<Place>)> = stores
            .iter()
            .map(|at| (*at, members.places(*at, within.0, within.1).collect()))
            .collect();
        // Short runs where there is little to do: no worker shall wait for the last run of another.
        let most = blocks.iter().map(|(_, places)| places.len()).sum::<usize>() / (2 * workers);
        let runs = |(at, places): &(usize, Vec<Place>)| {
            let at = *at;
            places.chunks(most.clamp(1, RUN)).map(|run| (at, run.to_vec())).collect::<Vec<_>>()
        };
        let all = blocks.iter().flat_map(runs).collect();
        let wave = Arc::new(Wave::new(members.stores.len(), all));
        for at in stores.iter().filter(|at| wave.left[**at].load(Ordering::Relaxed) == 0) {
            self.inner.progress.warm(&members.stores[*at].id);
        }
        let workers = (0..workers).map(|_| {
            let (engine, wave) = (self.clone(), Arc::clone(&wave));
            let members = Arc::clone(members);
            on_thread(async move {
                let mut failed = Vec::new();
                while let Some((at, run)) = wave.next() {
                    if may_read {
                        // What it could not read is tried block by block.
                        let _ = engine.read_run(&members, *at, run).await;
                    }
                    for place in run {
                        match engine.warm_block(place, within, may_read).await {
                            Ok(()) if wave.was_last(*at) => {
                                engine.inner.progress.warm(&place.store);
                            }
                            Ok(()) => {}
                            Err(why) => failed.push((*at, why)),
                        }
                    }
                }
                Ok(failed)
            })
        });
        let failed = futures_util::future::try_join_all(workers).await?;
        Ok(failed.into_iter().flatten().collect())
    }

    /// Brings a block into memory, and has it read again if it is stale or could not be read: one store that cannot be
    /// read must not keep the others cold.
    async fn warm_block(
        &self,
        place: &Place,
        (from, to): (Day, Day),
        may_read: bool,
    ) -> Result<(), Error> {
        let stale = match self.ready(place, from, to) {
            Some(found) => Ok(found.stale),
            None if may_read => {
                // Before the flight, which a reader may join.
                self.inner.share.wait().await;
                self.load(place, false).await.map(|found| found.stale)
            }
            None if self.stored(place, from, to).await => {
                Ok(self.ready(place, from, to).is_none_or(|found| found.stale))
            }
            None => {
                let message = format!("the source could not be read for store {}", place.store);
                Err(Error::new(ErrorKind::Source, message))
            }
        };
        if *stale.as_ref().unwrap_or(&true) {
            self.queue_again(place);
        }
        stale.map(drop).inspect_err(|why| self.inner.progress.trouble(why))
    }

    /// A store whose block has been read again may have all of them now.
    pub(crate) fn note_warm(&self, members: &Members, store: &Arc<str>) {
        let progress = &self.inner.progress;
        let (Some(at), Some((from, to))) = (members.find(store), members.dates) else { return };
        if progress.lock().warm.contains(store) {
            return;
        }
        if members.places(at, from, to).all(|place| self.ready(&place, from, to).is_some()) {
            progress.warm(store);
        }
    }
}
