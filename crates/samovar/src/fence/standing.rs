//! The marks of one scope, and what they say of what they cover.

use std::collections::BTreeMap;

use samovar_core::{Mark, Millis, Mode, Tick};

/// Beyond so many `expire`s of one scope the two nearest in time are merged.
pub(crate) const EXPIRES_KEPT: usize = 8;

/// A numbered mark: its place in the log, and the tick at which it *first* acted here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) seq: u64,
    pub(super) tick: u64,
}

impl Place {
    /// The later of the two in each order.
    pub(super) fn later(self, other: Place) -> Place {
        Place { seq: self.seq.max(other.seq), tick: self.tick.max(other.tick) }
    }

    /// Whether it comes later in one order or the other.
    fn outlives(self, other: Place) -> bool {
        self.seq > other.seq || self.tick > other.tick
    }
}

#[derive(Clone, Copy, Debug)]
struct Expired {
    place: Place,
    at: Millis,
}

/// The marks of one scope.
#[derive(Debug, Default)]
pub(super) struct Standing {
    removed: Option<Place>,
    expired: Vec<Expired>,
    /// By the tick at which each acted, which no other has.
    pending: BTreeMap<u64, (Mode, Millis)>,
}

impl Standing {
    /// A mark that was accepted here and has no number yet.
    pub(super) fn pend(&mut self, mark: &Mark, tick: u64) {
        self.pending.insert(tick, (mark.mode, mark.at));
    }

    /// The mark that acted at this tick is pending no more.
    pub(super) fn settle(&mut self, tick: u64) {
        self.pending.remove(&tick);
    }

    /// A mark that has its number.
    pub(super) fn number(&mut self, mode: Mode, place: Place, at: Millis) {
        match mode {
            Mode::Remove => {
                // Two removes of a scope act as one that is the later in both orders. An `expire` is
                // absorbed only by a remove that is later in both: else an entry that lies between
                // them in one order would lose its label.
                self.removed = Some(self.removed.map_or(place, |old| old.later(place)));
                self.expired.retain(|e| e.place.outlives(place));
            }
            Mode::Expire => {
                self.expired.push(Expired { place, at });
                if self.expired.len() > EXPIRES_KEPT {
                    let ats: Vec<Millis> = self.expired.iter().map(|e| e.at).collect();
                    let first = nearest_pair(&ats);
                    let earlier = self.expired.remove(first);
                    let later = &mut self.expired[first];
                    later.place = later.place.later(earlier.place);
                    later.at = later.at.min(earlier.at);
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.removed.is_none() && self.expired.is_empty() && self.pending.is_empty()
    }

    /// No number lies beyond this one any more.
    pub(super) fn go_back(&mut self, seq: u64) {
        let expired = self.expired.iter_mut().map(|expired| &mut expired.place);
        expired.chain(&mut self.removed).for_each(|place| place.seq = place.seq.min(seq));
    }

    /// Where its `remove` stands.
    pub(super) fn removed(&self) -> Option<Place> {
        self.removed
    }

    /// The first place that none of its marks comes after, in either order. `None` while one is pending: nobody can say then.
    pub(super) fn last(&self) -> Option<Place> {
        if !self.pending.is_empty() {
            return None;
        }
        let expired = self.expired.iter().map(|expired| expired.place);
        expired.chain(self.removed).reduce(Place::later)
    }

    /// A `remove` of a wider scope absorbs what is earlier than it in both orders. False if nothing is left.
    pub(super) fn outlives(&mut self, place: Place) -> bool {
        self.removed = self.removed.filter(|removed| removed.outlives(place));
        self.expired.retain(|expired| expired.place.outlives(place));
        !self.is_empty()
    }

    pub(super) fn cover(&self, since: Since, reach: &mut Reach, first: &mut First) {
        if let Some(place) = self.removed
            && since.is_before(place)
        {
            reach.removed = true;
            first.note(Some(place.seq), place.tick);
        }
        for expired in self.expired.iter().filter(|e| since.is_before(e.place)) {
            reach.expire(expired.at);
            first.note(Some(expired.place.seq), expired.place.tick);
        }
        let from = match since {
            Since::Tick(Tick(tick)) => tick.saturating_add(1),
            // Below memory a version says nothing about a mark that has no number yet.
            Since::Seq(_) => 0,
        };
        for (tick, (mode, at)) in self.pending.range(from..) {
            first.note(None, *tick);
            match mode {
                // The others can add nothing to that.
                Mode::Remove => {
                    reach.removed = true;
                    break;
                }
                Mode::Expire => reach.expire(*at),
            }
        }
    }
}

/// The first of the two neighbours that are nearest in time: merged, they lose least.
pub(crate) fn nearest_pair(ats: &[Millis]) -> usize {
    let gap = |pair: &[Millis]| pair[0].0.abs_diff(pair[1].0);
    ats.windows(2).enumerate().min_by_key(|(_, pair)| gap(pair)).map_or(0, |(at, _)| at)
}

/// After what a mark must come to count.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Since {
    /// In memory: after the tick up to which the part is known to be clean.
    Tick(Tick),
    /// Below memory: after the number of the part's version, or pending.
    Seq(u64),
}

impl Since {
    fn is_before(self, place: Place) -> bool {
        match self {
            Since::Tick(Tick(tick)) => place.tick > tick,
            Since::Seq(seq) => place.seq > seq,
        }
    }
}

/// What the marks that cover something say, taken together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    /// A `remove` covers it.
    pub(crate) removed: bool,
    /// When the first `expire` that covers it was accepted.
    pub(crate) expired: Option<Millis>,
}

impl Reach {
    pub(super) fn expire(&mut self, at: Millis) {
        self.expired = Some(self.expired.map_or(at, |old| old.min(at)));
    }
}

/// The marks that cover a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cover {
    /// Those that cover all of it.
    pub(crate) whole: Reach,
    /// Those that cover some of its days.
    pub(crate) days: Reach,
    pub(crate) first: First,
}

/// The first of the marks found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct First {
    /// The least number among them; pending ones have none.
    pub(crate) seq: Option<u64>,
    /// The least tick among them.
    pub(crate) tick: Option<u64>,
}

impl First {
    fn note(&mut self, seq: Option<u64>, tick: u64) {
        self.seq = match (self.seq, seq) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.tick = Some(self.tick.map_or(tick, |old| old.min(tick)));
    }
}

impl Cover {
    /// Whether any mark covers any of it.
    pub(crate) fn any(&self) -> bool {
        self.first.tick.is_some()
    }
}
