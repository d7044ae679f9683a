//! Blocks: a store over a run of days, at every level; and what memory answers at once.

use std::sync::Arc;

use samovar::{Cache, Found, Value};
use samovar_core::{Day, Millis, Scope, TierName, Verdict};

use super::survey::survey;
use super::values::Members;
use super::{BLOCKS, Engine};
use crate::diagnosis::Products;
use crate::metrics::MetricsBlock;
use crate::proof::Level;

/// What an answer needs of a block beside its metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing.
    Metrics,
    /// Product metrics.
    Figures,
    /// Raw rows.
    Rows,
}

/// One block, ready to be merged.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    /// What it was brought for: it has that.
    pub(crate) needs: Needs,
    pub(crate) metrics: Arc<MetricsBlock>,
    pub(crate) products: Option<Products>,
    /// Whether a day of it is past its time.
    pub(crate) stale: bool,
    /// When its oldest day was read.
    pub(crate) oldest: Millis,
    /// When the first of its days will be past its time.
    pub(crate) until: Millis,
    pub(crate) level: Level,
    pub(crate) tier: Option<TierName>,
}

/// Which block of which store.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) store: Arc<str>,
    pub(crate) block: i32,
    pub(crate) days: i32,
    /// Product metrics are kept.
    pub(crate) figures: bool,
}

impl Place {
    pub(crate) fn of(members: &Members, store: &Arc<str>, block: i32) -> Place {
        let (days, figures) = (members.block_days, members.product_metrics);
        Place { store: Arc::clone(store), block, days, figures }
    }

    pub(crate) fn first(&self) -> Day {
        Day(self.block * self.days)
    }

    pub(crate) fn last(&self) -> Day {
        self.first().plus(self.days - 1)
    }

    /// Whether a mark of this scope is about this block.
    pub(crate) fn touched_by(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Everything | Scope::Pattern(_) => true,
            Scope::Cache(cache) => BLOCKS.contains(&&**cache),
            // Nobody marks a block by its key, and blocks bear no tags.
            Scope::Key(_) | Scope::Tag(_) => false,
            Scope::Partition(partition) => {
                (self.first()..=self.last()).contains(&partition.day)
                    && partition.store == self.store
            }
        }
    }
}

/// The verdicts over the days that somebody wants.
#[derive(Clone, Copy, Debug)]
struct Seen {
    verdict: Verdict,
    oldest: Millis,
}

impl Engine {
    /// What a diagnosis needs of blocks, which is what is kept warm.
    pub(crate) fn usual_needs(&self, figures: bool) -> Needs {
        match (self.inner.dataset.schema.products, figures) {
            (false, _) => Needs::Metrics,
            (true, true) => Needs::Figures,
            (true, false) => Needs::Rows,
        }
    }

    /// What a diagnosis needs of a block from memory, if every day of the range may be served.
    pub(crate) fn ready(&self, place: &Place, from: Day, to: Day) -> Option<Blocks> {
        self.ready_for(place, from, to, self.usual_needs(place.figures))
    }

    /// A block from memory, if every day of the range may be served.
    pub(crate) fn ready_for(
        &self,
        place: &Place,
        from: Day,
        to: Day,
        needs: Needs,
    ) -> Option<Blocks> {
        let key = self.block_key(place);
        let caches = &self.inner.caches;
        let metrics = caches.metrics.peek(&key)?;
        let seen = self.look(&caches.metrics, &key, &metrics, place, from, to)?;
        let mut until = metrics.fresh_until();
        let mut verdict = seen.verdict;
        let products = match needs {
            Needs::Metrics => None,
            Needs::Figures => {
                let found = caches.products.peek(&key)?;
                verdict = verdict
                    .max(self.look(&caches.products, &key, &found, place, from, to)?.verdict);
                until = until.min(found.fresh_until());
                Some(Products::Figures(found.value()))
            }
            Needs::Rows => {
                let found = caches.raw.peek(&key)?;
                verdict =
                    verdict.max(self.look(&caches.raw, &key, &found, place, from, to)?.verdict);
                until = until.min(found.fresh_until());
                Some(Products::Raw(found.value()))
            }
        };
        Some(Blocks {
            needs,
            stale: verdict == Verdict::Stale,
            oldest: seen.oldest,
            until,
            metrics: metrics.value(),
            products,
            level: Level::Metrics,
            tier: Some(TierName::Memory),
        })
    }

    /// Brings what a diagnosis needs of a block from disk into memory; true if every day of the range may then be
    /// served.
    pub(crate) async fn stored(&self, place: &Place, from: Day, to: Day) -> bool {
        self.stored_for(place, from, to, self.usual_needs(place.figures)).await
    }

    /// Brings a block from disk into memory; true if every day of the range may then be served.
    pub(crate) async fn stored_for(&self, place: &Place, from: Day, to: Day, needs: Needs) -> bool {
        let key = self.block_key(place);
        let caches = &self.inner.caches;
        // What is found is kept in memory.
        caches.metrics.get(&key).await;
        match needs {
            Needs::Metrics => {}
            Needs::Figures => drop(caches.products.get(&key).await),
            Needs::Rows => drop(caches.raw.get(&key).await),
        }
        self.ready_for(place, from, to, needs).is_some()
    }

    /// The worst verdict over the days from `from` to `to` that lie in the block; `None` if one is not there or
    /// refused.
    fn look<V: Value>(
        &self,
        cache: &Cache<V>,
        key: &str,
        found: &Found<V>,
        place: &Place,
        from: Day,
        to: Day,
    ) -> Option<Seen> {
        let (from, to) = (from.max(place.first()), to.min(place.last()));
        if found.verdict == Verdict::Fresh
            && let [part] = &**found.parts()
            && part.span.as_ref().is_some_and(|span| span.from <= from && to <= span.to)
        {
            return Some(Seen { verdict: Verdict::Fresh, oldest: part.stamp.read_at });
        }
        let days = (to.0 - from.0 + 1).max(0) as usize;
        survey(cache, key, Some(found), from, days).into_iter().try_fold(
            Seen { verdict: Verdict::Fresh, oldest: Millis(i64::MAX) },
            |worst, day| match day {
                None | Some((Verdict::Refused, _)) => None,
                Some((verdict, stamp)) => Some(Seen {
                    verdict: worst.verdict.max(verdict),
                    oldest: worst.oldest.min(stamp.read_at),
                }),
            },
        )
    }
}
