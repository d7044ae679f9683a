//! Questions and answers.

use std::future::Future;
use std::sync::Arc;

use futures_util::StreamExt;
use samovar_core::{
    Day, Error, ErrorKind, Millis, Part, Parts, Scope, Stamp, Tick, TierName, Token, Verdict,
};

use super::blocks::{Blocks, Place};
use super::survey::flight_key;
use super::values::{Body, Checked, Members};
use super::{Engine, count};
use crate::background::on_thread;
use crate::diagnosis::{self, Piece, Question, StoreName};
use crate::metrics::Merged;
use crate::proof::{Level, Proof, State};
use crate::selection::{Selection, Stores};

/// Blocks that one question loads side by side.
const SIDE_BY_SIDE: usize = 4;

/// What to do about blocks that are not warm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Load them.
    Wait,
    /// Leave them out, and say so.
    Allow,
}

/// An answer: the body, and where it comes from.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What is equal for equal data.
    pub body: Arc<Body>,
    /// What is not.
    pub proof: Proof,
}

/// Differs whenever bodies are written differently.
pub(super) const BODY_FORMAT: u32 = 1;

/// How a question was asked.
#[derive(Clone, Copy, Debug)]
struct Asked {
    /// The list of stores is past its time: so is the answer.
    list_is_stale: bool,
    missing: Missing,
    /// The tick before the list of stores was looked at.
    begun: Tick,
}

/// The blocks of a question.
struct Gathered {
    pieces: Vec<Piece>,
    /// The days that were looked at.
    within: (Day, Day),
    digest: u128,
    covered: u64,
    missing: u64,
    missing_stores: u64,
    stale: u64,
    oldest: Option<Millis>,
    until: Millis,
    level: Level,
    tier: Option<TierName>,
}

impl Engine {
    /// Answers a question: from a cached result if every partition it covers is fresh and their digests still
    /// add up to the same, else by merging metrics, loading what is missing.
    ///
    /// # Errors
    /// A store that the dataset lacks, a range that ends before it begins, a source that fails.
    pub async fn diagnose(&self, selection: &Selection, missing: Missing) -> Result<Answer, Error> {
        if selection.to < selection.from {
            let message = format!(
                "the range ends on {} before it begins on {}",
                selection.to, selection.from
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        // Before the list is looked at: a mark on it from here on belongs to later questions.
        let begun = self.inner.samovar.fence().tick();
        let (members, list_is_stale) = self.listed().await?;
        let asked = Asked { list_is_stale, missing, begun };
        let stores = match selection.stores {
            Stores::Top(_) => {
                let (engine, members, selection) =
                    (self.clone(), Arc::clone(&members), selection.clone());
                self.in_turn(async move { engine.resolve(&members, &selection, missing).await })
                    .await?
            }
            _ => self.resolve(&members, selection, missing).await?,
        };
        if selection.stores != Stores::All {
            self.inner.heat.touch(stores.iter().map(|at| &members.stores[*at].id));
        }
        count(&self.inner.counters.requests, 1);
        let key = self.result_key(&members, &stores, selection);
        if let Some(answer) = self.unchanged(&key) {
            count(&self.inner.counters.hits, 1);
            count(&self.inner.counters.result_hits, 1);
            return Ok(answer);
        }
        let answer = match missing {
            Missing::Allow => {
                let token = self.inner.samovar.fence().token();
                let engine = self.clone();
                let (members, selection) = (Arc::clone(&members), selection.clone());
                self.in_turn(async move {
                    engine.answer(&members, &stores, &selection, asked, &key, token).await
                })
                .await?
            }
            Missing::Wait => {
                let from = selection.previous().0;
                let ids: Vec<_> =
                    stores.iter().map(|at| Arc::clone(&members.stores[*at].id)).collect();
                let touched = |scope: &Scope| match scope {
                    Scope::Partition(p) => {
                        (from..=selection.to).contains(&p.day)
                            && ids.binary_search(&p.store).is_ok()
                    }
                    _ => true,
                };
                let engine = self.clone();
                let (members, selection, of) =
                    (Arc::clone(&members), selection.clone(), key.clone());
                self.inner
                    .results
                    .join(&flight_key("results", &key), touched, move |token| {
                        let worker = engine.clone();
                        async move {
                            let work = async move {
                                engine
                                    .answer(&members, &stores, &selection, asked, &of, token)
                                    .await
                            };
                            worker.in_turn(work).await
                        }
                    })
                    .await?
            }
        };
        if answer.proof.level != Level::Source {
            count(&self.inner.counters.hits, 1);
        }
        Ok(answer)
    }

    /// Runs what merges and loads away from the threads that serve, so many at a time.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let turn = Arc::clone(&self.inner.turns).acquire_owned().await;
        let turn =
            turn.map_err(|e| Error::new(ErrorKind::Closed, "the engine is closing").because(e))?;
        on_thread(async move {
            let _turn = turn;
            work.await
        })
        .await
    }

    /// Names all that an answer depends on beside the partitions: stores with their names, dates, the shape of
    /// the answer.
    fn result_key(&self, members: &Members, stores: &[usize], selection: &Selection) -> String {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        for at in stores {
            let store = &members.stores[*at];
            for text in [&*store.id, store.name.as_deref().unwrap_or("")] {
                hash.update(&(text.len() as u64).to_le_bytes());
                hash.update(text.as_bytes());
            }
        }
        hash.update(&self.inner.answer_shape.to_le_bytes());
        hash.update(format!("{:?}", members.dates).as_bytes());
        let named = match &selection.stores {
            Stores::These(_) => "these".to_string(),
            other => other.to_string(),
        };
        let prefix = self.key("", 0);
        format!("{prefix}{named}:{:032x}/{}/{}", hash.digest128(), selection.from, selection.to)
    }

    /// A cached result in memory that was found valid, and nothing has acted since.
    fn unchanged(&self, key: &str) -> Option<Answer> {
        let found = self.inner.caches.results.peek(key)?;
        let checked = found.value.checked()?;
        let now = self.inner.samovar.clock().now();
        let holds = checked.tick == self.inner.samovar.fence().tick()
            && found.verdict != Verdict::Refused
            && now < checked.until;
        holds.then(|| Answer {
            proof: Proof { level: Level::Result, tier: Some(TierName::Memory), ..checked.proof },
            body: found.value,
        })
    }

    /// Gathers, compares, merges. Runs where it may block.
    async fn answer(
        &self,
        members: &Members,
        stores: &[usize],
        selection: &Selection,
        asked: Asked,
        key: &str,
        token: Token,
    ) -> Result<Answer, Error> {
        let mut gathered = self.gather(members, stores, selection, asked.missing).await?;
        gathered.stale += u64::from(asked.list_is_stale);
        let whole = gathered.missing == 0;
        let state = match (whole, gathered.stale) {
            (false, _) => State::Incomplete,
            (true, 0) => State::Fresh,
            (true, _) => State::Stale,
        };
        let mut proof = Proof {
            level: gathered.level,
            tier: gathered.tier,
            state,
            version: token.version,
            oldest: gathered.oldest,
            covered: gathered.covered,
            missing: gathered.missing,
            refreshing: gathered.stale,
        };
        let cache = &self.inner.caches.results;
        let kept = if whole { cache.get(key).await } else { None };
        let kept = kept.filter(|found| {
            found.verdict != Verdict::Refused
                && found.value.digest == gathered.digest
                && found.value.covered == gathered.covered
        });
        let body = match kept {
            Some(found) => {
                count(&self.inner.counters.result_hits, 1);
                if gathered.level == Level::Metrics {
                    proof.level = Level::Result;
                    proof.tier = Some(found.tier);
                }
                found.value
            }
            None => {
                count(&self.inner.counters.results_computed, 1);
                let json = self.merge(members, stores, selection, &gathered)?;
                let body = Body::new(json.into(), gathered.digest, gathered.covered);
                if whole {
                    let stamp = Stamp::new(token, self.inner.samovar.clock().now());
                    let parts: Parts = Arc::from([Part { span: None, stamp }]);
                    cache.put(key, body, parts)
                } else {
                    Arc::new(body)
                }
            }
        };
        if state == State::Fresh {
            let checked =
                Checked { tick: asked.begun, until: gathered.until, proof: proof.clone() };
            body.check(Some(checked));
        }
        Ok(Answer { body, proof })
    }

    fn merge(
        &self,
        members: &Members,
        stores: &[usize],
        selection: &Selection,
        gathered: &Gathered,
    ) -> Result<Vec<u8>, Error> {
        let names: Vec<StoreName> = stores
            .iter()
            .map(|at| &members.stores[*at])
            .map(|store| StoreName { id: Arc::clone(&store.id), name: store.name.clone() })
            .collect();
        let question = Question {
            schema: &self.inner.dataset.schema,
            rules: &self.inner.dataset.rules,
            selection,
            stores: &names,
            within: gathered.within,
            missing: (gathered.missing, gathered.missing_stores),
            covered: gathered.covered,
            digest: gathered.digest,
        };
        diagnosis::write(&question, &gathered.pieces)
            .map_err(|e| Error::new(ErrorKind::Invalid, "writing the answer").because(e))
    }

    /// Answers a question by merging metrics, whatever result is cached, and keeps nothing. For benchmarks.
    ///
    /// # Errors
    /// As [`Engine::diagnose`].
    pub async fn merge_anew(&self, selection: &Selection) -> Result<Vec<u8>, Error> {
        let members = self.members().await?;
        let stores = self.resolve(&members, selection, Missing::Wait).await?;
        let gathered = self.gather(&members, &stores, selection, Missing::Wait).await?;
        self.merge(&members, &stores, selection, &gathered)
    }

    /// The blocks of the question, both periods.
    async fn gather(
        &self,
        members: &Members,
        stores: &[usize],
        selection: &Selection,
        missing: Missing,
    ) -> Result<Gathered, Error> {
        let (from, to) = (selection.previous().0, selection.to);
        let mut all = Gathered {
            pieces: Vec::new(),
            within: (from, to),
            digest: 0,
            covered: 0,
            missing: 0,
            missing_stores: 0,
            stale: 0,
            oldest: None,
            until: Millis(i64::MAX),
            level: Level::Metrics,
            tier: Some(TierName::Memory),
        };
        // Days outside the dates of the list have no lines: the list says so, and a mark on such a day is a mark
        // on the list.
        let Some((first, last)) = members.dates else { return Ok(all) };
        let (from, to) = (from.max(first), to.min(last));
        all.within = (from, to);
        if to < from {
            return Ok(all);
        }
        let blocks = from.0.div_euclid(members.block_days)..=to.0.div_euclid(members.block_days);
        let mut cold: Vec<(usize, Place)> = Vec::new();
        for (at, store) in stores.iter().enumerate() {
            let id = &members.stores[*store].id;
            let mut lacks = false;
            for block in blocks.clone() {
                let place = Place::of(members, id, block);
                match self.ready(&place, from, to) {
                    Some(found) => {
                        if found.stale {
                            self.inner.queue.push(id, block, self.inner.heat.of(id));
                        }
                        all.add(at, &found, &place, from, to);
                    }
                    None => {
                        lacks = true;
                        cold.push((at, place));
                    }
                }
            }
            all.missing_stores += u64::from(lacks && missing == Missing::Allow);
        }
        if missing == Missing::Allow {
            all.missing = cold.iter().map(|(_, place)| days_within(place, from, to)).sum();
        } else {
            let loads = cold.into_iter().map(|(at, place)| async move {
                let found = self.load(&place, false).await?;
                Ok::<_, Error>((at, found, place))
            });
            let mut loads = futures_util::stream::iter(loads).buffer_unordered(SIDE_BY_SIDE);
            while let Some(loaded) = loads.next().await {
                let (at, found, place) = loaded?;
                if found.stale {
                    self.inner.queue.push(
                        &place.store,
                        place.block,
                        self.inner.heat.of(&place.store),
                    );
                }
                all.add(at, &found, &place, from, to);
            }
            // Merged in the order of stores and days, whatever came first.
            all.pieces.sort_by_key(|piece| piece.store);
        }
        for piece in &all.pieces {
            let block = &piece.metrics;
            for at in block.range(from, to) {
                all.digest = all.digest.wrapping_add(block.digests[at]);
            }
        }
        Ok(all)
    }

    /// The stores of a selection, as ascending places in the list.
    pub(crate) async fn resolve(
        &self,
        members: &Members,
        selection: &Selection,
        missing: Missing,
    ) -> Result<Vec<usize>, Error> {
        let all = 0..members.stores.len();
        match &selection.stores {
            Stores::All => Ok(all.collect()),
            Stores::These(ids) => {
                let mut found = Vec::with_capacity(ids.len());
                for id in ids {
                    let at = members.find(id).ok_or_else(|| {
                        Error::new(
                            ErrorKind::Invalid,
                            format!("there is no store with the id {id:?}"),
                        )
                    })?;
                    found.push(at);
                }
                found.sort_unstable();
                found.dedup();
                Ok(found)
            }
            Stores::Top(n) => {
                let everything: Vec<usize> = all.collect();
                let gathered = self.gather(members, &everything, selection, missing).await?;
                let mut by_store = vec![Merged::new(&self.inner.dataset.schema); everything.len()];
                for piece in &gathered.pieces {
                    let (from, to) = gathered.within;
                    for at in piece.metrics.range(selection.from.max(from), selection.to.min(to)) {
                        by_store[piece.store].add(&piece.metrics, at);
                    }
                }
                let value = |at: &usize| {
                    by_store[*at].value(&self.inner.dataset.schema, 0).unwrap_or(f64::MIN)
                };
                let mut order = everything;
                order.sort_by(|a, b| value(b).total_cmp(&value(a)).then_with(|| a.cmp(b)));
                order.truncate(*n);
                order.sort_unstable();
                Ok(order)
            }
        }
    }
}

fn days_within(place: &Place, from: Day, to: Day) -> u64 {
    u64::try_from(to.min(place.last()).0 - from.max(place.first()).0 + 1).unwrap_or(0)
}

impl Gathered {
    fn add(&mut self, store: usize, found: &Blocks, place: &Place, from: Day, to: Day) {
        self.covered += days_within(place, from, to);
        self.stale += u64::from(found.stale);
        self.oldest = Some(self.oldest.map_or(found.oldest, |oldest| oldest.min(found.oldest)));
        self.until = self.until.min(found.until);
        if found.level > self.level {
            self.level = found.level;
        }
        self.tier = match (self.tier, found.tier) {
            (Some(mine), Some(theirs)) => Some(mine.max(theirs)),
            _ => None,
        };
        let (metrics, products) = (Arc::clone(&found.metrics), found.products.clone());
        self.pieces.push(Piece { store, metrics, products });
    }
}
