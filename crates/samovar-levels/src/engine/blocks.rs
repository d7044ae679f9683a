//! Blocks: a store over a run of days, at every level. How they are found, loaded and derived.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow_array::cast::AsArray;
use arrow_array::types::Date32Type;
use arrow_array::{ArrayRef, RecordBatch};
use futures_util::StreamExt;
use samovar::{Cache, Found, Value};
use samovar_core::{Day, Error, ErrorKind, Millis, Scope, Stamp, TierName, Token, Verdict};
use samovar_source::{Ask, Days, Which};

use super::survey::{DayState, flight_key, parts, survey};
use super::values::Members;
use super::{Engine, count};
use crate::background::on_thread;
use crate::derive::Deriver;
use crate::diagnosis::Products;
use crate::metrics::MetricsBlock;
use crate::proof::Level;
use crate::raw::{Numbering, RawBlock, RawBuilder};

/// One block, ready to be merged.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
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
    fn touched_by(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Everything => true,
            Scope::Cache(cache) => ["raw", "metrics", "products"].contains(&&**cache),
            Scope::Key(_) => false,
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
    /// A block from memory, if every day of the range may be served.
    pub(crate) fn ready(&self, place: &Place, from: Day, to: Day) -> Option<Blocks> {
        let key = self.key(&place.store, place.block);
        let caches = &self.inner.caches;
        let metrics = caches.metrics.peek(&key)?;
        let seen = self.look(&caches.metrics, &key, &metrics, place, from, to)?;
        let mut until = metrics.fresh_until();
        let mut verdict = seen.verdict;
        let products = match (self.inner.dataset.schema.products, place.figures) {
            (false, _) => None,
            (true, true) => {
                let found = caches.products.peek(&key)?;
                verdict = verdict
                    .max(self.look(&caches.products, &key, &found, place, from, to)?.verdict);
                until = until.min(found.fresh_until());
                Some(Products::Figures(found.value))
            }
            (true, false) => {
                let found = caches.raw.peek(&key)?;
                verdict =
                    verdict.max(self.look(&caches.raw, &key, &found, place, from, to)?.verdict);
                until = until.min(found.fresh_until());
                Some(Products::Raw(found.value))
            }
        };
        Some(Blocks {
            stale: verdict == Verdict::Stale,
            oldest: seen.oldest,
            until,
            metrics: metrics.value,
            products,
            level: Level::Metrics,
            tier: Some(TierName::Memory),
        })
    }

    /// Brings a block from disk into memory; true if every day of the range may then be served.
    pub(crate) async fn stored(&self, place: &Place, from: Day, to: Day) -> bool {
        let key = self.key(&place.store, place.block);
        let caches = &self.inner.caches;
        // What is found is kept in memory.
        caches.metrics.get(&key).await;
        if self.inner.dataset.schema.products {
            if place.figures {
                caches.products.get(&key).await;
            } else {
                caches.raw.get(&key).await;
            }
        }
        self.ready(place, from, to).is_some()
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
            && let [part] = &*found.parts
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

    /// A block with all of its days: from the tiers, else derived, else read; one flight for each block, and so
    /// at most one for each of its partitions. With `again` what is stale is read too, unless the flight
    /// that is under way was begun without: its answer then says that it is stale.
    pub(crate) async fn load(&self, place: &Place, again: bool) -> Result<Arc<Blocks>, Error> {
        let key = flight_key("blocks", &self.key(&place.store, place.block));
        let (engine, of, mine) = (self.clone(), place.clone(), place.clone());
        self.inner
            .loads
            .join(
                &key,
                |scope| of.touched_by(scope),
                move |token| {
                    on_thread(async move { engine.bring(&mine, again, token).await.map(Arc::new) })
                },
            )
            .await
    }

    /// The body of a flight. `again`: what is stale is read from the source too.
    async fn bring(&self, place: &Place, again: bool, token: Token) -> Result<Blocks, Error> {
        let key = self.key(&place.store, place.block);
        let (first, days) = (place.first(), place.days as usize);
        let caches = &self.inner.caches;
        let serves = |state: &DayState| match state {
            Some((Verdict::Fresh, _)) => true,
            Some((Verdict::Stale, _)) => !again,
            _ => false,
        };
        let wants_products = self.inner.dataset.schema.products;
        let metrics = caches.metrics.get(&key).await;
        let metrics_days = survey(&caches.metrics, &key, metrics.as_ref(), first, days);
        let figures =
            if wants_products && place.figures { caches.products.get(&key).await } else { None };
        let figure_days = survey(&caches.products, &key, figures.as_ref(), first, days);
        let needs_raw = wants_products && !place.figures;
        let lacking = |at: usize| {
            !serves(&metrics_days[at])
                || (wants_products && place.figures && !serves(&figure_days[at]))
        };
        let raw =
            if needs_raw || (0..days).any(lacking) { caches.raw.get(&key).await } else { None };
        let raw_days = survey(&caches.raw, &key, raw.as_ref(), first, days);

        // Reading again means reading the source: what is derived from rows of the same age is as old.
        let read: Vec<bool> = (0..days)
            .map(|at| match serves(&raw_days[at]) {
                true => again && lacking(at),
                false => needs_raw || lacking(at),
            })
            .collect();
        let derive: Vec<bool> = (0..days).map(|at| read[at] || lacking(at)).collect();
        let chosen = |wanted: &[bool]| {
            let days: Vec<Day> =
                (0..days).filter(|at| wanted[*at]).map(|at| first.plus(at as i32)).collect();
            days
        };
        let is = |wanted: &[bool], day: Day| wanted[(day.0 - first.0) as usize];

        let mut level = Level::Metrics;
        let mut tier = metrics.as_ref().map(|found| found.tier);
        if let Some(found) = &figures {
            tier = tier.max(Some(found.tier));
        }
        let stamp = Stamp::new(token, self.inner.samovar.clock().now());
        let mut raw_stamps: Vec<Option<Stamp>> = raw_days
            .iter()
            .map(|day| day.filter(|(v, _)| *v != Verdict::Refused).map(|(_, s)| s))
            .collect();
        let raw_block = if read.contains(&true) {
            (level, tier) = (Level::Source, None);
            let fresh = self.read(place, chosen(&read)).await?;
            let block = match &raw {
                Some(old) if read.contains(&false) => {
                    old.value.spliced(&fresh, |day| is(&read, day))
                }
                _ => fresh,
            };
            for at in (0..days).filter(|at| read[*at]) {
                raw_stamps[at] = Some(stamp);
            }
            let parts = parts(&place.store, first, &raw_stamps);
            // Where product figures are kept, rows in memory would only crowd them out.
            parts.map(|parts| {
                if needs_raw {
                    caches.raw.put(&key, block, parts)
                } else {
                    caches.raw.put_below(&key, block, parts)
                }
            })
        } else {
            if derive.contains(&true) {
                level = Level::Raw;
            }
            tier = tier.max(raw.as_ref().map(|found| found.tier));
            raw.map(|found| found.value)
        };

        let mut metrics_block = metrics.as_ref().map(|found| Arc::clone(&found.value));
        let mut figures_block = figures.as_ref().map(|found| Arc::clone(&found.value));
        let mut stamps: Vec<Option<Stamp>> =
            (0..days).map(|at| metrics_days[at].map(|(_, stamp)| stamp)).collect();
        if derive.contains(&true) {
            let raw_block = raw_block.as_ref().ok_or_else(|| {
                Error::new(ErrorKind::Invalid, "no rows to derive from; this is a bug")
            })?;
            let (fresh, fresh_figures) = Deriver::new(&self.inner.dataset.schema).derive(
                &place.store,
                raw_block,
                chosen(&derive).into_iter(),
            )?;
            self.count_derived(metrics_block.as_deref(), &fresh, &chosen(&derive));
            let kept_all = !derive.contains(&false);
            let block = match &metrics_block {
                Some(old) if !kept_all => old.spliced(&fresh, |day| is(&derive, day)),
                _ => fresh,
            };
            for at in (0..days).filter(|at| derive[*at]) {
                stamps[at] = raw_stamps[at];
            }
            if let Some(parts) = parts(&place.store, first, &stamps) {
                metrics_block = Some(caches.metrics.put(&key, block, parts));
            }
            if wants_products && place.figures {
                let stamps: Vec<Option<Stamp>> =
                    (0..days)
                        .map(|at| {
                            if derive[at] {
                                raw_stamps[at]
                            } else {
                                figure_days[at].map(|(_, s)| s)
                            }
                        })
                        .collect();
                if let Some(parts) = self::parts(&place.store, first, &stamps) {
                    let block = match &figures_block {
                        Some(old) if !kept_all => {
                            old.spliced(&fresh_figures, |day| is(&derive, day))
                        }
                        _ => fresh_figures,
                    };
                    figures_block = Some(caches.products.put(&key, block, parts));
                }
            }
        }
        let products = match (wants_products, place.figures) {
            (false, _) => None,
            (true, true) => figures_block.map(Products::Figures),
            (true, false) => raw_block.map(Products::Raw),
        };
        let is_stale = |state: &DayState| matches!(state, Some((Verdict::Stale, _)));
        let stale = (0..days).any(|at| {
            let kept = !derive[at] && (is_stale(&metrics_days[at]) || is_stale(&figure_days[at]));
            let rows = !read[at] && (derive[at] || needs_raw) && is_stale(&raw_days[at]);
            kept || rows
        });
        // What memory did not keep is looked up anew each time.
        let end = |until: Option<Millis>| until.unwrap_or(Millis(i64::MIN));
        let mut until = end(caches.metrics.peek(&key).map(|found| found.fresh_until()));
        if wants_products && place.figures {
            until = until.min(end(caches.products.peek(&key).map(|found| found.fresh_until())));
        } else if needs_raw {
            until = until.min(end(caches.raw.peek(&key).map(|found| found.fresh_until())));
        }
        Ok(Blocks {
            metrics: metrics_block.ok_or_else(|| {
                Error::new(ErrorKind::Invalid, "a block without days; this is a bug")
            })?,
            products,
            stale,
            oldest: stamps.iter().flatten().map(|s| s.read_at).min().unwrap_or(stamp.read_at),
            until,
            level,
            tier,
        })
    }

    /// Reads days of a store from the source.
    async fn read(&self, place: &Place, days: Vec<Day>) -> Result<RawBlock, Error> {
        let whole = days.len() * 2 > place.days as usize;
        let days = if whole {
            Days::Range(Some(place.first()), Some(place.last()))
        } else {
            Days::These(days)
        };
        let ask = Ask { stores: Which::One(Arc::clone(&place.store)), days };
        let mut batches = self.inner.source.read(ask);
        count(&self.inner.counters.source_reads, 1);
        let mut builder = BlockReader::new(place.first(), place.days as usize, self);
        while let Some(batch) = batches.next().await {
            let batch = batch
                .map_err(|e| Error::new(ErrorKind::Source, "reading from the source").because(e))?;
            count(&self.inner.counters.rows_read, batch.num_rows() as u64);
            builder.push(&batch)?;
        }
        Ok(builder.finish())
    }

    pub(crate) fn count_derived(
        &self,
        old: Option<&MetricsBlock>,
        new: &MetricsBlock,
        days: &[Day],
    ) {
        let digest = |block: &MetricsBlock, day| {
            block.days.binary_search(&day).ok().map(|at| block.digests[at])
        };
        let same = |day: &&Day| old.is_some_and(|old| digest(old, **day) == digest(new, **day));
        let counters = &self.inner.counters;
        count(&counters.partitions_derived, days.len() as u64);
        counters
            .partitions_unchanged
            .fetch_add(days.iter().filter(same).count() as u64, Ordering::Relaxed);
    }
}

/// Cuts batches of the source into days.
pub(crate) struct BlockReader<'a> {
    builder: RawBuilder,
    numbering: Numbering,
    engine: &'a Engine,
}

impl<'a> BlockReader<'a> {
    pub(crate) fn new(first: Day, days: usize, engine: &'a Engine) -> Self {
        let columns = engine.inner.dataset.schema.columns.len();
        BlockReader {
            builder: RawBuilder::new(first, days, columns),
            numbering: Numbering::default(),
            engine,
        }
    }

    pub(crate) fn finish(self) -> RawBlock {
        self.builder.finish()
    }

    /// Adds a batch: `date`, then `product` and `category` where there are any, then the columns.
    pub(crate) fn push(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let schema = &self.engine.inner.dataset.schema;
        let bad = || {
            Error::new(
                ErrorKind::Source,
                "the source gave other columns than were asked for; this is a bug",
            )
        };
        let mut columns = batch.columns().iter();
        let dates =
            columns.next().and_then(|c| c.as_primitive_opt::<Date32Type>()).ok_or_else(bad)?;
        let product = if schema.products { Some(columns.next().ok_or_else(bad)?) } else { None };
        let category = if schema.categories { Some(columns.next().ok_or_else(bad)?) } else { None };
        let items = self.numbering.items(product, category, batch.num_rows());
        let mut numbers: Vec<ArrayRef> = Vec::with_capacity(schema.columns.len());
        for spec in &schema.columns {
            let column = columns.next().ok_or_else(bad)?;
            numbers.push(match spec.text {
                true => self.numbering.texts(column, batch.num_rows()),
                false => Arc::clone(column),
            });
        }
        let mut start = 0;
        for run in dates.values().chunk_by(|a, b| a == b) {
            let end = start + run.len();
            self.builder.push(Day(run[0]), &items, &numbers, start..end);
            start = end;
        }
        Ok(())
    }
}
