//! Loading a block: what the tiers hold of it is found, what they lack is read and derived, the whole is kept.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use samovar::Cache;
use samovar_core::{Day, Error, ErrorKind, Key, Millis, Parts, Stamp, TierName, Token, Verdict};

use super::blocks::{Blocks, Needs, Place};
use super::survey::{DayState, parts, survey};
use super::values::Block;
use super::{Engine, count, turn};
use crate::background::on_thread;
use crate::derive::Deriver;
use crate::diagnosis::Products;
use crate::metrics::MetricsBlock;
use crate::products::ProductBlock;
use crate::proof::Level;
use crate::raw::RawBlock;

/// A block at one level: its value, and what may be served of each of its days.
struct Held<V> {
    value: Option<Arc<V>>,
    tier: Option<TierName>,
    days: Vec<DayState>,
}

impl<V: Block> Held<V> {
    /// What is known before anybody looked.
    fn nothing(place: &Place) -> Self {
        Held { value: None, tier: None, days: vec![None; place.days as usize] }
    }

    /// What the tiers hold.
    async fn find(cache: &Cache<V>, key: &str, place: &Place) -> Self {
        let found = cache.get(key).await;
        Held {
            days: survey(cache, key, found.as_ref(), place.first(), place.days as usize),
            tier: found.as_ref().map(|found| found.tier),
            value: found.map(|found| found.value()),
        }
    }

    /// Lays days of `fresh` over those held, and keeps the whole.
    fn lay(
        &mut self,
        place: &Place,
        fresh: V,
        laid: &[bool],
        state: impl Fn(usize) -> DayState,
        keep: impl FnOnce(V, Parts) -> Arc<V>,
    ) {
        let block = match &self.value {
            Some(old) if laid.contains(&false) => {
                old.spliced(&fresh, |day| laid[(day.0 - place.first().0) as usize])
            }
            _ => fresh,
        };
        for at in (0..laid.len()).filter(|at| laid[*at]) {
            self.days[at] = state(at);
        }
        let stamps: Vec<Option<Stamp>> = self.days.iter().map(stamp_of).collect();
        if let Some(parts) = parts(&place.store, place.first(), &stamps) {
            self.value = Some(keep(block, parts));
        }
    }

    fn is_stale(&self) -> bool {
        self.days.iter().any(|day| matches!(day, Some((Verdict::Stale, _))))
    }
}

/// The stamp of a day that is not refused.
fn stamp_of(day: &DayState) -> Option<Stamp> {
    day.filter(|(verdict, _)| *verdict != Verdict::Refused).map(|(_, stamp)| stamp)
}

/// One load of one block.
struct Load<'a> {
    engine: &'a Engine,
    place: &'a Place,
    key: String,
    /// What is stale is read from the source too.
    again: bool,
    needs: Needs,
    /// Product metrics are kept: whatever is derived, they are too, else they would lag behind.
    figured: bool,
    metrics: Held<MetricsBlock>,
    figures: Held<ProductBlock>,
    raw: Held<RawBlock>,
    level: Level,
    tier: Option<TierName>,
}

impl Engine {
    /// A block with all of its days: from the tiers, else derived, else read; one flight for each block, and so
    /// at most one for each of its partitions. With `again` what is stale is read too, unless the flight
    /// that is under way was begun without: its answer then says that it is stale.
    pub(crate) async fn load(&self, place: &Place, again: bool) -> Result<Arc<Blocks>, Error> {
        self.join_load(place, again, self.usual_needs(place.figures)).await
    }

    /// The same for whoever needs something else. A flight that somebody began for another need brings what it
    /// brings; the next one finds that kept, and the rest.
    pub(crate) async fn load_for(&self, place: &Place, needs: Needs) -> Result<Arc<Blocks>, Error> {
        loop {
            let found = self.join_load(place, false, needs).await?;
            if needs == Needs::Metrics || found.needs == needs {
                return Ok(found);
            }
        }
    }

    async fn join_load(
        &self,
        place: &Place,
        again: bool,
        needs: Needs,
    ) -> Result<Arc<Blocks>, Error> {
        let key = Key::new("blocks", self.block_key(place));
        let (engine, of, mine) = (self.clone(), place.clone(), place.clone());
        self.inner
            .loads
            .join(
                &key,
                |scope| of.touched_by(scope),
                move |token| async move {
                    // Held until the load is done, also if nobody waits for it any more.
                    let turn = turn(&engine.inner.loading).await?;
                    on_thread(async move {
                        let _turn = turn;
                        engine.bring(&mine, again, needs, token).await.map(Arc::new)
                    })
                    .await
                },
            )
            .await
    }

    /// The body of a flight.
    async fn bring(
        &self,
        place: &Place,
        again: bool,
        needs: Needs,
        token: Token,
    ) -> Result<Blocks, Error> {
        let mut load = Load::find(self, place, again, needs).await;
        let read = load.unread();
        // Known before the rows are: what is read again is derived again.
        let derive = load.underived(&read);
        if read.contains(&true) {
            load.read(&read, token).await?;
        }
        if derive.contains(&true) {
            load.derive(&derive)?;
        }
        load.blocks()
    }

    /// Counts derived days, and those whose state is what it was.
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

impl<'a> Load<'a> {
    async fn find(engine: &'a Engine, place: &'a Place, again: bool, needs: Needs) -> Self {
        let key = engine.block_key(place);
        let caches = &engine.inner.caches;
        let figured = engine.usual_needs(place.figures) == Needs::Figures;
        let metrics = Held::find(&caches.metrics, &key, place).await;
        let figures = match figured {
            true => Held::find(&caches.products, &key, place).await,
            false => Held::nothing(place),
        };
        let (level, tier) = (Level::Metrics, metrics.tier.max(figures.tier));
        let raw = Held::nothing(place);
        let mut load =
            Load { engine, place, key, again, needs, figured, metrics, figures, raw, level, tier };
        if needs == Needs::Rows || again || load.all_days().any(|at| load.lacks(at)) {
            load.raw = Held::find(&caches.raw, &load.key, place).await;
        }
        load
    }

    fn all_days(&self) -> std::ops::Range<usize> {
        0..self.place.days as usize
    }

    fn serves(&self, state: &DayState) -> bool {
        match state {
            Some((Verdict::Fresh, _)) => true,
            Some((Verdict::Stale, _)) => !self.again,
            _ => false,
        }
    }

    /// Whether what is derived of a day is not there.
    fn lacks(&self, at: usize) -> bool {
        !self.serves(&self.metrics.days[at])
            || (self.figured && !self.serves(&self.figures.days[at]))
    }

    /// By day: whether its rows are to be read.
    fn unread(&self) -> Vec<bool> {
        let unread = |at| match self.serves(&self.raw.days[at]) {
            // Reading again means reading the source: what is derived from rows of the same age is as old.
            true => self.again && self.lacks(at),
            false => {
                // Rows that are past their time are served to those who need them, until somebody reads them again.
                let stale = matches!(self.raw.days[at], Some((Verdict::Stale, _)));
                self.needs == Needs::Rows || self.lacks(at) || stale
            }
        };
        self.all_days().map(unread).collect()
    }

    /// By day: whether it is to be derived.
    fn underived(&self, read: &[bool]) -> Vec<bool> {
        self.all_days().map(|at| read[at] || self.lacks(at)).collect()
    }

    fn chosen(&self, days: &[bool]) -> Vec<Day> {
        let first = self.place.first();
        self.all_days().filter(|at| days[*at]).map(|at| first.plus(at as i32)).collect()
    }

    /// Reads days from the source. The rows bear the token, which was taken before.
    async fn read(&mut self, days: &[bool], token: Token) -> Result<(), Error> {
        let stamp = Stamp::new(token, self.engine.inner.samovar.clock().now());
        let fresh = self.engine.read(self.place, self.chosen(days)).await?;
        let (cache, needs) = (&self.engine.inner.caches.raw, self.needs);
        let key = &self.key;
        self.raw.lay(
            self.place,
            fresh,
            days,
            |_| Some((Verdict::Fresh, stamp)),
            |block, parts| match needs {
                Needs::Rows => cache.put(key, block, parts),
                // Nobody asks for rows again soon; in memory they would only crowd out what is asked for.
                Needs::Metrics | Needs::Figures => cache.put_below(key, block, parts),
            },
        );
        (self.level, self.tier) = (Level::Source, None);
        Ok(())
    }

    /// Derives days from the rows held: what comes of it is as old as they are.
    fn derive(&mut self, days: &[bool]) -> Result<(), Error> {
        if self.level != Level::Source {
            (self.level, self.tier) = (Level::Raw, self.tier.max(self.raw.tier));
        }
        let rows = self.raw.value.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "no rows to derive from; this is a bug")
        })?;
        let chosen = self.chosen(days);
        let (metrics, figures) = Deriver::new(&self.engine.inner.dataset.schema).derive(
            &self.place.store,
            rows,
            chosen.iter().copied(),
        )?;
        self.engine.count_derived(self.metrics.value.as_deref(), &metrics, &chosen);
        let state = |at: usize| self.raw.days[at];
        let (caches, key) = (&self.engine.inner.caches, &self.key);
        self.metrics.lay(self.place, metrics, days, state, |block, parts| {
            caches.metrics.put(key, block, parts)
        });
        if self.figured {
            self.figures.lay(self.place, figures, days, state, |block, parts| {
                caches.products.put(key, block, parts)
            });
        }
        Ok(())
    }

    fn blocks(self) -> Result<Blocks, Error> {
        let caches = &self.engine.inner.caches;
        // What memory did not keep is looked up anew each time.
        let end = |until: Option<Millis>| until.unwrap_or(Millis(i64::MIN));
        let key = &self.key;
        let until = end(caches.metrics.peek(key).map(|found| found.fresh_until()));
        let (products, until, stale, tier) = match self.needs {
            Needs::Metrics => (None, until, false, self.tier),
            Needs::Figures => (
                self.figures.value.clone().map(Products::Figures),
                until.min(end(caches.products.peek(key).map(|found| found.fresh_until()))),
                self.figures.is_stale(),
                self.tier,
            ),
            Needs::Rows => (
                self.raw.value.clone().map(Products::Raw),
                until.min(end(caches.raw.peek(key).map(|found| found.fresh_until()))),
                self.raw.is_stale(),
                if self.level == Level::Source { None } else { self.tier.max(self.raw.tier) },
            ),
        };
        let oldest = self.metrics.days.iter().filter_map(stamp_of).map(|stamp| stamp.read_at).min();
        // What was derived from rows that are still fresh may be past its own time at once.
        let over = until > Millis(i64::MIN) && until <= self.engine.inner.samovar.clock().now();
        let stale = stale || self.metrics.is_stale() || over;
        let lost = || Error::new(ErrorKind::Invalid, "a block without days; this is a bug");
        let metrics = self.metrics.value.ok_or_else(lost)?;
        let oldest = oldest.ok_or_else(lost)?;
        let needs = self.needs;
        Ok(Blocks { needs, metrics, products, stale, oldest, until, level: self.level, tier })
    }
}
