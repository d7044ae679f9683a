//! Gathering: the blocks of a question, those that memory has at once, the others loaded.

use std::future::Future;
use std::sync::Arc;

use futures_util::StreamExt;
use samovar_core::{Day, Error, ErrorKind, Millis, TierName};

use super::answer::Missing;
use super::blocks::{Blocks, Needs, Place};
use super::members::Listed;
use super::refresh::ONE_BY_ONE;
use super::values::Members;
use super::warm::Phase;
use super::{Engine, turn};
use crate::background::on_thread;
use crate::diagnosis::Piece;
use crate::metrics::Merged;
use crate::proof::{Level, State};
use crate::selection::{Selection, Stores};

/// Blocks that one question loads side by side.
const SIDE_BY_SIDE: usize = 4;

/// How far what went into an answer may be trusted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// Partitions that should be there and are not.
    pub(super) missing: u64,
    /// Stores that lack some.
    pub(super) missing_stores: u64,
    /// Blocks (and the list) that are past their time, or not looked at since a restart.
    pub(super) stale: u64,
    /// This node is cut off from a shared log.
    pub(super) is_cut_off: bool,
    /// When the oldest part was read.
    pub(super) oldest: Option<Millis>,
    /// When the first of it will be past its time.
    pub(super) until: Millis,
}

impl Standing {
    /// Nothing that could be doubted.
    pub(super) const NOTHING: Standing = Standing {
        missing: 0,
        missing_stores: 0,
        stale: 0,
        is_cut_off: false,
        oldest: None,
        until: Millis(i64::MAX),
    };

    pub(super) fn state(&self) -> State {
        match self.missing {
            0 if self.stale == 0 && !self.is_cut_off => State::Fresh,
            0 => State::Stale,
            _ => State::Incomplete,
        }
    }

    /// Of what rests on both, which share nothing.
    pub(super) fn plus(&self, other: &Standing) -> Standing {
        Standing {
            missing: self.missing + other.missing,
            missing_stores: self.missing_stores + other.missing_stores,
            stale: self.stale + other.stale,
            ..self.and(other)
        }
    }

    /// Of what rests on both. The greater numbers, not the sums: a ranking and the answer about the stores it chose
    /// share their blocks.
    pub(super) fn and(&self, other: &Standing) -> Standing {
        Standing {
            missing: self.missing.max(other.missing),
            missing_stores: self.missing_stores.max(other.missing_stores),
            stale: self.stale.max(other.stale),
            is_cut_off: self.is_cut_off || other.is_cut_off,
            oldest: self.oldest.into_iter().chain(other.oldest).min(),
            until: self.until.min(other.until),
        }
    }

    pub(super) fn and_list(&self, list: &Listed) -> Standing {
        Standing {
            stale: self.stale + u64::from(list.is_stale),
            is_cut_off: self.is_cut_off || list.is_cut_off,
            until: self.until.min(list.until),
            ..*self
        }
    }
}

/// What is wanted of the stores of a question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// The days.
    pub(super) range: (Day, Day),
    pub(super) needs: Needs,
    pub(super) missing: Missing,
}

/// The blocks of a question.
pub(super) struct Gathered {
    pub(super) pieces: Vec<Piece>,
    /// The days that were looked at.
    pub(super) within: (Day, Day),
    needs: Needs,
    /// Number of partitions that are vouched for.
    pub(super) covered: u64,
    pub(super) standing: Standing,
    pub(super) level: Level,
    pub(super) tier: Option<TierName>,
}

impl Gathered {
    /// The sum of the digests of all partitions.
    pub(super) fn digest(&self) -> u128 {
        let digests = self.pieces.iter().flat_map(|piece| {
            let block = &piece.metrics;
            block.range(self.within.0, self.within.1).map(|at| block.digests[at])
        });
        digests.fold(0, u128::wrapping_add)
    }
}

/// A block that memory lacks: of which of the question's stores, and where.
type Cold = (usize, Place);

impl Engine {
    /// Runs what computes away from the threads that serve, so many at a time. It waits for no load: those who
    /// load must not keep those whose blocks are there.
    pub(super) async fn in_turn<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let turn = turn(&self.inner.merging).await?;
        on_thread(async move {
            let _turn = turn;
            work.await
        })
        .await
    }

    /// What a diagnosis wants: both periods.
    pub(super) fn both_periods(
        &self,
        members: &Members,
        selection: &Selection,
        missing: Missing,
    ) -> Wanted {
        let range = (selection.previous().0, selection.to);
        Wanted { range, needs: self.usual_needs(members.product_metrics), missing }
    }

    /// The blocks of some stores.
    pub(super) async fn gather(
        &self,
        members: &Arc<Members>,
        stores: &Arc<[usize]>,
        wanted: Wanted,
    ) -> Result<Gathered, Error> {
        let look = || {
            let (engine, members, stores) = (self.clone(), Arc::clone(members), Arc::clone(stores));
            self.in_turn(async move { Ok(engine.look_around(&members, &stores, wanted)) })
        };
        let (mut all, mut cold) = look().await?;
        match wanted.missing {
            Missing::Allow => self.leave_out(&mut all, &cold),
            Missing::Wait => {
                let places = cold.iter().map(|(_, place)| place.clone());
                if cold.len() > ONE_BY_ONE
                    && self.wants_a_pass(places, ONE_BY_ONE, all.within, wanted.needs).await
                {
                    self.read_all(members).await?;
                    (all, cold) = look().await?;
                }
                self.load_cold(&mut all, cold, wanted.needs).await?;
            }
        }
        Ok(all)
    }

    /// What memory has, and what it lacks.
    fn look_around(
        &self,
        members: &Members,
        stores: &[usize],
        Wanted { range: (from, to), needs, .. }: Wanted,
    ) -> (Gathered, Vec<Cold>) {
        let mut all = Gathered {
            pieces: Vec::new(),
            within: (from, to),
            needs,
            covered: 0,
            standing: Standing::NOTHING,
            level: Level::Metrics,
            tier: Some(TierName::Memory),
        };
        let mut cold = Vec::new();
        // Days outside the dates of the list have no lines: the list says so, and a mark on such a day is a mark
        // on the list.
        let Some((first, last)) = members.dates else { return (all, cold) };
        let (from, to) = (from.max(first), to.min(last));
        all.within = (from, to);
        if to < from {
            return (all, cold);
        }
        all.covered = stores.len() as u64 * (i64::from(to.0) - i64::from(from.0) + 1) as u64;
        for (at, store) in stores.iter().enumerate() {
            for place in members.places(*store, from, to) {
                match self.ready_for(&place, from, to, needs) {
                    Some(found) => self.take(&mut all, at, &found, &place),
                    None => cold.push((at, place)),
                }
            }
        }
        (all, cold)
    }

    /// Goes on without what is not there; it is loaded in the background.
    fn leave_out(&self, all: &mut Gathered, cold: &[Cold]) {
        // A warm-up brings it anyway, from disk first.
        let coming = self.warmth().phase == Phase::Warming;
        let mut last = None;
        for (at, place) in cold {
            let (from, to) = all.within;
            let days = to.min(place.last()).0 - from.max(place.first()).0 + 1;
            all.standing.missing += u64::try_from(days).unwrap_or(0);
            all.standing.missing_stores += u64::from(last != Some(*at));
            last = Some(*at);
            if !coming {
                self.queue_again(place);
            }
        }
        all.covered -= all.standing.missing;
    }

    async fn load_cold(
        &self,
        all: &mut Gathered,
        cold: Vec<Cold>,
        needs: Needs,
    ) -> Result<(), Error> {
        let loads = cold.into_iter().map(|(at, place)| async move {
            let found = self.load_for(&place, needs).await?;
            Ok::<_, Error>((at, found, place))
        });
        let mut loads = futures_util::stream::iter(loads).buffer_unordered(SIDE_BY_SIDE);
        while let Some(loaded) = loads.next().await {
            let (at, found, place) = loaded?;
            self.take(all, at, &found, &place);
        }
        // Merged in the order of stores, whatever came first.
        all.pieces.sort_by_key(|piece| piece.store);
        Ok(())
    }

    /// Takes a block of one of the question's stores.
    fn take(&self, all: &mut Gathered, store: usize, found: &Blocks, place: &Place) {
        if found.stale {
            self.queue_again(place);
        }
        let standing = Standing {
            stale: all.standing.stale + u64::from(found.stale),
            oldest: Some(found.oldest),
            until: found.until,
            ..Standing::NOTHING
        };
        all.standing = all.standing.and(&standing);
        all.level = all.level.max(found.level);
        all.tier = all.tier.zip(found.tier).map(|(mine, theirs)| mine.max(theirs));
        let metrics = Arc::clone(&found.metrics);
        // A flight may have brought more than is wanted.
        let products = found.products.clone().filter(|_| all.needs != Needs::Metrics);
        all.pieces.push(Piece { store, metrics, products });
    }

    /// Has a block read in the background, as urgently as its store is asked for.
    pub(super) fn queue_again(&self, place: &Place) {
        self.inner.queue.push(&place.store, place.block, self.inner.heat.of(&place.store));
    }

    /// The stores of a selection, as ascending places in the list, and how far the choice may be trusted. A ranking
    /// looks at what is wanted, so that blocks are looked at once.
    pub(super) async fn choose(
        &self,
        members: &Arc<Members>,
        selection: &Selection,
        wanted: Wanted,
    ) -> Result<(Arc<[usize]>, Standing), Error> {
        let all = 0..members.stores.len();
        match &selection.stores {
            Stores::All => Ok((all.collect(), Standing::NOTHING)),
            Stores::These(ids) => {
                let mut found = Vec::with_capacity(ids.len());
                for id in ids {
                    found.push(members.find(id).ok_or_else(|| {
                        Error::new(
                            ErrorKind::Invalid,
                            format!("there is no store with the id {id:?}"),
                        )
                    })?);
                }
                found.sort_unstable();
                found.dedup();
                Ok((found.into(), Standing::NOTHING))
            }
            Stores::Top(n) => {
                let stores: Arc<[usize]> = all.collect();
                let gathered = self.gather(members, &stores, wanted).await?;
                let standing = gathered.standing;
                let (engine, range, n) = (self.clone(), (selection.from, selection.to), *n);
                let top = async move { Ok(engine.greatest(&gathered, stores.len(), range, n)) };
                Ok((self.in_turn(top).await?, standing))
            }
        }
    }

    /// The `n` of so many stores with the greatest first measure, ascending by place.
    fn greatest(
        &self,
        gathered: &Gathered,
        stores: usize,
        (from, to): (Day, Day),
        n: usize,
    ) -> Arc<[usize]> {
        let schema = &self.inner.dataset.schema;
        let (from, to) = (from.max(gathered.within.0), to.min(gathered.within.1));
        let mut values: Vec<Option<f64>> = vec![None; stores];
        // The pieces of a store stand together: one merge at a time is enough, however many stores there are.
        for pieces in gathered.pieces.chunk_by(|a, b| a.store == b.store) {
            let mut merged = Merged::new(schema);
            for piece in pieces {
                for at in piece.metrics.range(from, to) {
                    merged.add(&piece.metrics, at);
                }
            }
            values[pieces[0].store] = merged.value(schema, 0);
        }
        let value = |at: &usize| values[*at].unwrap_or(f64::MIN);
        let mut order: Vec<usize> = (0..stores).collect();
        order.sort_by(|a, b| value(b).total_cmp(&value(a)).then_with(|| a.cmp(b)));
        order.truncate(n);
        order.sort_unstable();
        order.into()
    }
}
