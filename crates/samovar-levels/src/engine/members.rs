//! The list of stores, and what is decided from it: the size of blocks, and whether product metrics pay.

use std::sync::Arc;

use futures_util::StreamExt;
use samovar_core::{Day, Error, ErrorKind, Key, Millis, Part, Parts, Stamp, Tags, Token, Verdict};
use samovar_source::{Ask, Days, SourceErrorKind, Store, Which};

use super::retry::{kind_of, unless_lost};
use super::values::{Cut, Member, Members};
use super::{Engine, LIST, PAYS, ProductMetrics, count};
use crate::background::on_thread;
use crate::raw::Numbering;

/// Blocks are between so many days long.
const BLOCK_DAYS: std::ops::RangeInclusive<i64> = 1..=128;

/// So many rows decide whether product metrics pay.
const SAMPLE_ROWS: usize = 20_000;

/// So many stores are tried for that.
const SAMPLED_STORES: usize = 3;

/// The ratio that is kept where no store could be sampled: the next start tries again.
const UNSAMPLED: f64 = 0.0;

/// The list as it was found.
pub(crate) struct Listed {
    pub(crate) members: Arc<Members>,
    /// It is past its time, and being read again.
    pub(crate) is_stale: bool,
    /// This node is cut off from a shared log: it labels whatever it serves, and reads nothing again for that.
    pub(crate) is_cut_off: bool,
    /// When it will be past its time.
    pub(crate) until: Millis,
}

impl Engine {
    pub(crate) fn members_key(&self) -> Key {
        Key::new(LIST, self.key())
    }

    /// The stores and dates of the dataset; read from the source if no tier has the list.
    ///
    /// # Errors
    /// If the source cannot be read.
    pub async fn members(&self) -> Result<Arc<Members>, Error> {
        self.listed().await.map(|listed| listed.members)
    }

    /// The list, and whether it is past its time and being read again.
    pub(crate) async fn listed(&self) -> Result<Listed, Error> {
        if let Some(known) = self.found_members().await {
            return Ok(known);
        }
        let members = self.load_members().await?;
        let found = self.inner.caches.members.peek(&self.members_key().id);
        let until = found.map_or(Millis(i64::MIN), |found| found.fresh_until());
        Ok(Listed { members, is_stale: false, is_cut_off: false, until })
    }

    /// The list as far as a tier has it.
    pub async fn known_members(&self) -> Option<Arc<Members>> {
        self.found_members().await.map(|listed| listed.members)
    }

    /// The list as far as a tier has it, and whether it is past its time.
    pub(super) async fn found_members(&self) -> Option<Listed> {
        self.take_over().await;
        let key = self.members_key();
        let cache = &self.inner.caches.members;
        let found = match cache.peek(&key.id) {
            Some(found) if found.verdict != Verdict::Refused => found,
            _ => cache.get(&key.id).await?,
        };
        if found.verdict == Verdict::Refused {
            return None;
        }
        let is_stale = found.verdict == Verdict::Stale;
        if is_stale {
            self.inner.queue.push_list();
        }
        let (is_cut_off, until) = (found.cut_off, found.fresh_until());
        Some(Listed { is_stale, is_cut_off, until, members: found.value() })
    }

    /// Reads the list from the source.
    pub(crate) async fn load_members(&self) -> Result<Arc<Members>, Error> {
        let key = self.members_key();
        let engine = self.clone();
        self.inner
            .lists
            .join(
                &key,
                |scope| scope.covers(&key, &Tags::NONE),
                move |token| on_thread(async move { engine.read_members(token).await }),
            )
            .await
    }

    async fn read_members(&self, token: Token) -> Result<Arc<Members>, Error> {
        let failed = |e| Error::new(ErrorKind::Source, "reading the list of stores").because(e);
        let stamp = Stamp::new(token, self.inner.samovar.clock().now());
        let inventory =
            unless_lost(|| async { self.inner.source.stores().await.map_err(failed) }).await?;
        let mut stores = inventory.stores;
        count(&self.inner.counters.source_reads, 1);
        stores.sort_by(|a, b| a.id.cmp(&b.id));
        let first = stores.iter().map(|store| store.first).min();
        let last = stores.iter().map(|store| store.last).max();
        let Cut { block_days, product_metrics, lines_per_product_figure } =
            self.cut(&stores, stamp).await?;
        let members = Members {
            stores: stores
                .into_iter()
                .map(|Store { id, name, lines, first, last }| Member {
                    id,
                    name,
                    lines,
                    dates: (first, last),
                })
                .collect(),
            dates: first.zip(last),
            block_days,
            product_metrics,
            lines_per_product_figure,
            unplaced: inventory.unplaced,
            estimated: inventory.estimated,
        };
        let parts: Parts = Arc::from([Part { span: None, stamp }]);
        let members = self.inner.caches.members.put(&self.members_key().id, members, parts);
        self.inner.progress.lists(&members);
        Ok(members)
    }

    /// How blocks are cut and whether product metrics are kept: as before, else decided now.
    async fn cut(&self, stores: &[Store], stamp: Stamp) -> Result<Cut, Error> {
        if let Some(cut) = self.inner.cut.get() {
            return Ok(*cut);
        }
        let key = self.key();
        let kept = self.inner.caches.cut.get(&key).await;
        let kept = kept.filter(|found| found.verdict != Verdict::Refused).map(|found| *found);
        let kept = match kept {
            Some(kept) if kept.lines_per_product_figure != UNSAMPLED => kept,
            // Blocks that were cut stay as they are.
            Some(kept) => {
                Cut { lines_per_product_figure: self.sampled_ratio(stores).await?, ..kept }
            }
            None => self.decide(stores).await?,
        };
        let ratio = match kept.lines_per_product_figure {
            UNSAMPLED => 1.0,
            ratio => ratio,
        };
        // What is configured now counts, whatever was decided before.
        let product_metrics = self.keeps(ratio);
        let cut = Cut { product_metrics, lines_per_product_figure: ratio, ..kept };
        // An empty dataset decides nothing for when it has lines.
        if stores.is_empty() {
            return Ok(cut);
        }
        // Kept anew also where it was known: it ages by the marks of restarts as all entries do, and to forget it
        // is to forget every block.
        let parts: Parts = Arc::from([Part { span: None, stamp }]);
        self.inner.caches.cut.put(&key, kept, parts);
        Ok(*self.inner.cut.get_or_init(|| cut))
    }

    async fn decide(&self, stores: &[Store]) -> Result<Cut, Error> {
        // The mean of the stores' own rates: a line with a wrong date distorts that of its store alone.
        let span = |store: &Store| f64::from(store.last.0) - f64::from(store.first.0) + 1.0;
        let rates: f64 = stores.iter().map(|store| store.lines as f64 / span(store)).sum();
        let per_day = (rates / stores.len().max(1) as f64).max(1.0) as u64;
        let days = 1i64 << (self.inner.dataset.block_rows / per_day).max(1).ilog2();
        let ratio = self.sampled_ratio(stores).await?;
        let block_days = days.clamp(*BLOCK_DAYS.start(), *BLOCK_DAYS.end()) as i32;
        Ok(Cut { block_days, product_metrics: self.keeps(ratio), lines_per_product_figure: ratio })
    }

    /// Lines for each product figure, of the largest store that can be read: lines that cannot must not keep all
    /// stores from being listed. [`UNSAMPLED`] if none of a few can.
    async fn sampled_ratio(&self, stores: &[Store]) -> Result<f64, Error> {
        let mut largest: Vec<&Store> = stores.iter().collect();
        largest.sort_by_key(|store| std::cmp::Reverse(store.lines));
        for store in largest.into_iter().take(SAMPLED_STORES) {
            match self.lines_per_figure(&store.id, store.first).await {
                Err(failed) if is_of_its_lines(&failed) => {}
                outcome => return outcome,
            }
        }
        Ok(UNSAMPLED)
    }

    /// Whether product metrics are kept, at so many lines for each figure.
    fn keeps(&self, lines_per_figure: f64) -> bool {
        match self.inner.dataset.product_metrics {
            ProductMetrics::Keep => true,
            ProductMetrics::Derive => false,
            ProductMetrics::Auto => lines_per_figure >= PAYS,
        }
    }

    /// Lines for each (day, product) among the first rows of a store.
    async fn lines_per_figure(&self, store: &Arc<str>, first: Day) -> Result<f64, Error> {
        let schema = &self.inner.dataset.schema;
        if !schema.products {
            return Ok(1.0);
        }
        let days = Days::Range(Some(first), None);
        let mut batches =
            self.inner.source.read(Ask { stores: Which::One(Arc::clone(store)), days });
        let numbering = Numbering::default();
        let mut figures = std::collections::HashSet::new();
        let mut rows = 0;
        while rows < SAMPLE_ROWS
            && let Some(batch) = batches.next().await
        {
            let batch = batch
                .map_err(|e| Error::new(ErrorKind::Source, "sampling the source").because(e))?;
            let category = schema.categories.then(|| batch.column(2));
            let items = numbering.items(Some(batch.column(1)), category, batch.num_rows());
            let dates = arrow_array::cast::as_primitive_array::<arrow_array::types::Date32Type>(
                batch.column(0),
            );
            figures.extend(dates.values().iter().copied().zip(items));
            rows += batch.num_rows();
        }
        Ok(rows as f64 / figures.len().max(1) as f64)
    }
}

/// Whether a failure is of the lines that were read, and not of the source as a whole.
fn is_of_its_lines(failed: &Error) -> bool {
    matches!(kind_of(failed), Some(SourceErrorKind::Value | SourceErrorKind::TooManyRows))
}
