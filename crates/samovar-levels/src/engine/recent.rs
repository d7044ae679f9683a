//! Questions that were just answered: until a mark acts, or the time of something is up, the answer is the same.

use std::fmt;
use std::sync::{Arc, Weak};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use samovar::fence::Standing;
use samovar_core::{Millis, Tick};

use super::Engine;
use super::answer::Answer;
use super::values::Body;
use crate::proof::{Level, Proof, State};
use crate::selection::{Selection, Stores};

/// So many questions are remembered at most.
const QUESTIONS: usize = 4_096;
/// They name so many stores, all together: a question may name thousands.
const STORES: u64 = 65_536;

/// An answer found fresh, and for how long that holds. The body stays where it is accounted for; if it is dropped there
/// it is gone here.
#[derive(Clone)]
struct Found {
    body: Weak<Body>,
    proof: Proof,
    /// Of the node before anything was looked at: a mark from then on asks for another look.
    tick: Tick,
    until: Millis,
    /// The stores that it is about, for the count of accesses.
    stores: Arc<[Arc<str>]>,
}

/// Weighs a question by the stores that it names.
#[derive(Clone)]
struct Named;

impl Weighter<Selection, Found> for Named {
    fn weight(&self, question: &Selection, found: &Found) -> u64 {
        let named = match &question.stores {
            Stores::These(ids) => ids.len(),
            Stores::All | Stores::Top(_) => 0,
        };
        1 + (named + found.stores.len()) as u64
    }
}

/// The answers of late.
pub(crate) struct Recent(Cache<Selection, Found, Named>);

impl Default for Recent {
    fn default() -> Self {
        Recent(Cache::with_weighter(QUESTIONS, STORES, Named))
    }
}

impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recent").field("questions", &self.0.len()).finish_non_exhaustive()
    }
}

impl Engine {
    /// The answer to a question that was answered before, if nothing has happened since that could change it.
    pub(super) fn recent(&self, question: &Selection) -> Option<Answer> {
        let found = self.inner.recent.0.get(question)?;
        let now = self.inner.samovar.clock().now();
        let fence = self.inner.samovar.fence();
        // Whoever is cut off has an answer made that says so.
        let is_cut_off = fence.standing() != Standing::Connected;
        if is_cut_off || found.tick != fence.tick() || now >= found.until {
            return None;
        }
        let body = found.body.upgrade()?;
        self.inner.heat.touch(found.stores.iter());
        Some(Answer { body, proof: found.proof })
    }

    /// Remembers a fresh answer.
    pub(super) fn remember(
        &self,
        question: &Selection,
        answer: &Answer,
        (tick, until): (Tick, Millis),
        stores: Arc<[Arc<str>]>,
    ) {
        if answer.proof.state != State::Fresh {
            return;
        }
        let tier = Some(samovar_core::TierName::Memory);
        let proof = Proof { level: Level::Result, tier, ..answer.proof.clone() };
        let body = Arc::downgrade(&answer.body);
        self.inner.recent.0.insert(question.clone(), Found { body, proof, tick, until, stores });
    }
}
