//! Answers to questions of any measures by any dimensions.

use std::sync::Arc;

use samovar_core::{Day, Error, TierName};

use super::answer::Missing;
use super::blocks::Needs;
use super::gather::{Gathered, Standing, Wanted};
use super::values::Members;
use super::{Engine, count};
use crate::proof::{Level, Proof};
use crate::query::{Filter, Fold, Is, NoPage, Page, Query, Whole};
use crate::selection::{Selection, Stores};

/// Blocks of so many lines, about, are held at once, so that rows of any number of stores can be looked at.
const LINES_AT_ONCE: u64 = 2_000_000;

/// What a question came to.
#[derive(Clone, Debug)]
pub enum Queried<T> {
    /// A page, as the caller made it, and where it comes from.
    Page(T, Proof),
    /// There is no page for the cursor that came with the question.
    None(NoPage),
}

impl Engine {
    /// Answers a question with a page of rows, loading what is missing. What the caller makes of the page is made
    /// away from the threads that serve.
    ///
    /// # Errors
    /// A store that the dataset lacks, a range that ends before it begins, too many rows, a source that fails.
    pub async fn query<T: Send + 'static>(
        &self,
        query: &Arc<Query>,
        missing: Missing,
        make: impl FnOnce(Page) -> Result<T, Error> + Send + 'static,
    ) -> Result<Queried<T>, Error> {
        let selection = &query.selection;
        // Stores are ranked by metrics, over all days asked for.
        let range = (selection.from, selection.to);
        let ranking = Wanted { range, needs: Needs::Metrics, missing };
        let asked = self.ask(selection, |_| ranking).await?;
        let members = &asked.members;
        let wanted = Wanted { range: days(query), needs: self.needs_of(query, members), missing };
        let stores = stores(query, members, &asked.stores);
        let schema = &self.inner.dataset.schema;
        let mut fold = Fold::new(schema, query, members.names(&stores))?;
        let mut sum = Sum { level: Level::Metrics, ..Sum::NOTHING };
        if wanted.needs == Needs::Rows {
            sum.level = Level::Raw;
        }
        let mut first = 0;
        for some in chunks(members, &stores, wanted.needs) {
            let gathered = self.gather(members, &some.into(), wanted).await?;
            sum.add(&gathered);
            let engine = self.clone();
            fold = self
                .in_turn(async move {
                    let schema = &engine.inner.dataset.schema;
                    fold.add(schema, &gathered.pieces, gathered.within, first)?;
                    Ok(fold)
                })
                .await?;
            first += some.len();
        }
        count(&self.inner.counters.results_computed, 1);
        // What the ranking lacked is missing too: other stores might have been chosen.
        let standing = sum.standing.and(&asked.standing);
        let whole = Whole {
            shape: self.inner.data_shape ^ self.inner.answer_shape,
            selection: Selection {
                stores: match &selection.stores {
                    Stores::These(_) => Stores::These(
                        asked.stores.iter().map(|at| Arc::clone(&members.stores[*at].id)).collect(),
                    ),
                    other => other.clone(),
                },
                ..selection.clone()
            },
            covered: sum.covered,
            missing: (standing.missing, standing.missing_stores),
        };
        let engine = self.clone();
        let page = async move {
            match fold.page(&engine.inner.dataset.schema, &whole) {
                Ok(page) => make(page).map(Ok),
                Err(none) => Ok(Err(none)),
            }
        };
        let made = match self.in_turn(page).await? {
            Ok(made) => made,
            Err(none) => return Ok(Queried::None(none)),
        };
        let proof = Proof {
            level: sum.level,
            tier: sum.tier,
            state: standing.state(),
            version: asked.token.version,
            oldest: standing.oldest,
            covered: sum.covered,
            missing: standing.missing,
            refreshing: standing.stale,
        };
        self.count_hit(&proof);
        Ok(Queried::Page(made, proof))
    }

    fn needs_of(&self, query: &Query, members: &Members) -> Needs {
        let figured = self.usual_needs(members.product_metrics) == Needs::Figures;
        if query.is_of_partitions() {
            Needs::Metrics
        } else if figured && query.is_of_figures(&self.inner.dataset.schema) {
            Needs::Figures
        } else {
            Needs::Rows
        }
    }
}

/// The days that a question can be about: its range, as far as its conditions let it.
fn days(query: &Query) -> (Day, Day) {
    let Filter { any, .. } = Filter::of(&query.conditions, |is| match is {
        Is::Date(day) => Some(*day),
        _ => None,
    });
    let (from, to) = (query.selection.from, query.selection.to);
    match (any.iter().min(), any.iter().max()) {
        (Some(first), Some(last)) => (from.max(*first), to.min(*last)),
        _ => (from, to),
    }
}

/// Those of the stores that the conditions leave.
fn stores(query: &Query, members: &Members, chosen: &[usize]) -> Vec<usize> {
    let filter = Filter::of(&query.conditions, |is| match is {
        Is::Store(id) => Some(Arc::clone(id)),
        _ => None,
    });
    chosen.iter().copied().filter(|at| filter.passes(&members.stores[*at].id)).collect()
}

/// The stores in runs, none with many more lines than may be held at once.
fn chunks<'a>(
    members: &'a Members,
    stores: &'a [usize],
    needs: Needs,
) -> impl Iterator<Item = &'a [usize]> {
    let mut rest = stores;
    std::iter::from_fn(move || {
        let mut lines = 0;
        let end = rest.iter().position(|at| {
            let before = lines;
            lines += members.stores[*at].lines;
            needs == Needs::Rows && before > 0 && lines > LINES_AT_ONCE
        });
        let (chunk, others) = rest.split_at(end.unwrap_or(rest.len()));
        rest = others;
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// What was gathered, run by run.
struct Sum {
    standing: Standing,
    covered: u64,
    level: Level,
    tier: Option<TierName>,
}

impl Sum {
    const NOTHING: Sum = Sum {
        standing: Standing::NOTHING,
        covered: 0,
        level: Level::Metrics,
        tier: Some(TierName::Memory),
    };

    fn add(&mut self, gathered: &Gathered) {
        self.standing = self.standing.plus(&gathered.standing);
        self.covered += gathered.covered;
        self.level = self.level.max(gathered.level);
        self.tier = self.tier.zip(gathered.tier).map(|(mine, theirs)| mine.max(theirs));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::values::Member;

    #[test]
    fn rows_are_held_some_stores_at_once() {
        let member = |lines: u64| Member {
            id: lines.to_string().into(),
            name: None,
            lines,
            dates: (Day(0), Day(9)),
        };
        let members = Members {
            stores: [1_500_000, 1_000_000, 500_000, 3_000_000, 1, 2].map(member).to_vec(),
            dates: Some((Day(0), Day(9))),
            block_days: 4,
            product_metrics: true,
            lines_per_product_figure: 2.0,
            unplaced: 0,
            estimated: false,
        };
        let all: Vec<usize> = (0..6).collect();
        let of = |needs| chunks(&members, &all, needs).map(<[usize]>::len).collect::<Vec<_>>();
        assert_eq!(of(Needs::Rows), [1, 2, 1, 2]);
        assert_eq!(of(Needs::Metrics), [6], "metrics are held anyway");
        assert_eq!(chunks(&members, &[], Needs::Rows).count(), 0);
    }
}
