//! Questions and answers.

use std::sync::Arc;

use samovar_core::{Error, ErrorKind, Key, Millis, Part, Parts, Scope, Stamp, Token, Verdict};

use super::gather::{Gathered, Standing, Wanted};
use super::values::{Body, Members};
use super::{Engine, count};
use crate::diagnosis::{self, Question};
use crate::proof::{Level, Proof, State};
use crate::selection::{Selection, Stores};

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
pub(super) const BODY_FORMAT: u32 = 4;

/// A question, with what its answer rests on beside the blocks.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) selection: Selection,
    pub(super) wanted: Wanted,
    /// Taken before the list of stores was looked at: a mark from then on belongs to later questions.
    pub(super) token: Token,
    pub(super) members: Arc<Members>,
    /// The stores, as ascending places in the list.
    pub(super) stores: Arc<[usize]>,
    /// Of the list, and of the ranking where the stores were chosen by one.
    pub(super) standing: Standing,
    /// The stores that were asked for by name or rank, for the count of accesses.
    heated: Arc<[Arc<str>]>,
}

/// An answer out of a flight, and when the question that began it was asked.
#[derive(Clone)]
pub(super) struct Flown {
    answer: Answer,
    asked: Token,
    /// When something that it rests on will be past its time.
    until: Millis,
}

impl Engine {
    /// Answers a question: from a cached result if every partition it covers is fresh and their digests still
    /// add up to the same, else by merging metrics, loading what is missing.
    ///
    /// # Errors
    /// A store that the dataset lacks, a range that ends before it begins, a source that fails.
    pub async fn diagnose(&self, selection: &Selection, missing: Missing) -> Result<Answer, Error> {
        let counters = &self.inner.counters;
        if let Some(answer) = self.recent(selection) {
            count(&counters.requests, 1);
            count(&counters.hits, 1);
            count(&counters.result_hits, 1);
            return Ok(answer);
        }
        let wanted = |members: &Members| self.both_periods(members, selection, missing);
        let asked = self.ask(selection, wanted).await?;
        let key: Arc<str> = self.result_key(&asked).into();
        let flown = match missing {
            Missing::Allow => self.answer(&asked, &key, asked.token).await?,
            Missing::Wait => {
                let (engine, mine, flight) =
                    (self.clone(), asked.clone(), Key::new("results", Arc::clone(&key)));
                let run = move |token| async move { engine.answer(&mine, &key, token).await };
                self.inner.results.join(&flight, |scope| asked.touched_by(scope), run).await?
            }
        };
        let Flown { mut answer, asked: of_flight, until } = flown;
        // Whoever began the flight may have found another list; the label is of what this question found.
        let proof = &mut answer.proof;
        proof.state = proof.state.max(asked.standing.state());
        proof.refreshing = proof.refreshing.max(asked.standing.stale);
        let mut begun = of_flight;
        if asked.token.tick < of_flight.tick {
            begun = asked.token;
            proof.version = asked.token.version;
        }
        self.count_hit(proof);
        let holds = (begun.tick, until.min(asked.standing.until));
        self.remember(selection, &answer, holds, asked.heated);
        Ok(answer)
    }

    pub(super) fn count_hit(&self, proof: &Proof) {
        if proof.level != Level::Source && proof.state != State::Incomplete {
            count(&self.inner.counters.hits, 1);
        }
    }

    /// Finds out which stores a question is about, and notes that it was asked.
    pub(super) async fn ask(
        &self,
        selection: &Selection,
        wanted: impl FnOnce(&Members) -> Wanted,
    ) -> Result<Asked, Error> {
        if selection.to < selection.from {
            let message = format!(
                "the range ends on {} before it begins on {}",
                selection.to, selection.from
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let token = self.inner.samovar.fence().token();
        let listed = self.listed().await?;
        let wanted = wanted(&listed.members);
        let (stores, chosen) = self.choose(&listed.members, selection, wanted).await?;
        let standing = chosen.and_list(&listed);
        let members = listed.members;
        let heated: Arc<[Arc<str>]> = match selection.stores {
            // They would all be equally hot.
            Stores::All => Arc::default(),
            _ => stores.iter().map(|at| Arc::clone(&members.stores[*at].id)).collect(),
        };
        self.inner.heat.touch(heated.iter());
        count(&self.inner.counters.requests, 1);
        let selection = selection.clone();
        Ok(Asked { selection, wanted, token, members, stores, standing, heated })
    }

    /// Names all that an answer depends on beside the partitions: stores with their names, dates, the shape of
    /// the answer.
    fn result_key(&self, asked: &Asked) -> String {
        let Asked { members, selection, .. } = asked;
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        for at in asked.stores.iter() {
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
        let prefix = self.key();
        format!("{prefix}{named}:{:032x}/{}/{}", hash.digest128(), selection.from, selection.to)
    }

    /// Gathers, compares, merges.
    async fn answer(&self, asked: &Asked, key: &Arc<str>, token: Token) -> Result<Flown, Error> {
        let gathered = self.gather(&asked.members, &asked.stores, asked.wanted).await?;
        let (engine, mine, key) = (self.clone(), asked.clone(), Arc::clone(key));
        let until = gathered.standing.until;
        let answer =
            self.in_turn(async move { engine.finish(&mine, &key, &gathered, token).await }).await?;
        Ok(Flown { answer, asked: asked.token, until })
    }

    /// The result that was kept, if what was gathered still adds up to it; else a new one.
    async fn finish(
        &self,
        asked: &Asked,
        key: &str,
        gathered: &Gathered,
        token: Token,
    ) -> Result<Answer, Error> {
        let digest = gathered.digest();
        let standing = gathered.standing.and(&asked.standing);
        let mut proof = Proof {
            level: gathered.level,
            tier: gathered.tier,
            state: standing.state(),
            version: asked.token.version,
            oldest: standing.oldest,
            covered: gathered.covered,
            missing: standing.missing,
            refreshing: standing.stale,
        };
        let whole = standing.missing == 0;
        let cache = &self.inner.caches.results;
        let kept = if whole { cache.get(key).await } else { None };
        let kept = kept.filter(|found| {
            found.verdict != Verdict::Refused
                && found.digest == digest
                && found.covered == gathered.covered
        });
        let body = match kept {
            Some(found) => {
                count(&self.inner.counters.result_hits, 1);
                if gathered.level == Level::Metrics {
                    proof.level = Level::Result;
                    proof.tier = Some(found.tier);
                }
                found.value()
            }
            None => {
                count(&self.inner.counters.results_computed, 1);
                let json = self.merge(asked, gathered, digest)?;
                let body = Body::new(json.into(), digest, gathered.covered);
                if whole {
                    let stamp = Stamp::new(token, self.inner.samovar.clock().now());
                    let parts: Parts = Arc::from([Part { span: None, stamp }]);
                    cache.put(key, body, parts)
                } else {
                    Arc::new(body)
                }
            }
        };
        Ok(Answer { body, proof })
    }

    fn merge(&self, asked: &Asked, gathered: &Gathered, digest: u128) -> Result<Vec<u8>, Error> {
        let names = asked.members.names(&asked.stores);
        // What the ranking lacked is missing too: other stores might have been chosen.
        let standing = gathered.standing.and(&asked.standing);
        let question = Question {
            schema: &self.inner.dataset.schema,
            rules: &self.inner.dataset.rules,
            standouts: &self.inner.dataset.standouts,
            selection: &asked.selection,
            stores: &names,
            within: gathered.within,
            missing: (standing.missing, standing.missing_stores),
            covered: gathered.covered,
            digest,
        };
        diagnosis::write(&question, &gathered.pieces)
    }

    /// Answers a question by merging metrics, whatever result is cached, and keeps nothing. For benchmarks.
    ///
    /// # Errors
    /// As [`Engine::diagnose`].
    pub async fn merge_anew(&self, selection: &Selection) -> Result<Vec<u8>, Error> {
        let wanted = |members: &Members| self.both_periods(members, selection, Missing::Wait);
        let asked = self.ask(selection, wanted).await?;
        let gathered = self.gather(&asked.members, &asked.stores, asked.wanted).await?;
        self.merge(&asked, &gathered, gathered.digest())
    }
}

impl Asked {
    /// Whether a mark of this scope is about the answer.
    fn touched_by(&self, scope: &Scope) -> bool {
        let Scope::Partition(partition) = scope else { return true };
        let within = self.selection.previous().0..=self.selection.to;
        within.contains(&partition.day)
            && self
                .members
                .find(&partition.store)
                .is_some_and(|at| self.stores.binary_search(&at).is_ok())
    }
}
