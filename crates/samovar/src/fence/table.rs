//! The marks that were applied here, found by what they cover.
//!
//! For each scope stand the newest `remove` and the `expire`s after it; whatever a later mark of the same
//! scope makes redundant is absorbed. So the table is bounded by the number of distinct scopes. (Forgetting
//! scopes altogether needs floors; until those exist a source that marks ever new scopes makes it grow.)

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use samovar_core::{Day, Mark, MarkId, Millis, Mode, Scope, Span, Tags, Tick};

/// Beyond so many `expire`s of one scope the two nearest in time are merged.
pub(crate) const EXPIRES_KEPT: usize = 8;

/// A numbered mark: its place in the log, and the tick at which it *first* acted here.
#[derive(Clone, Copy, Debug)]
struct Place {
    seq: u64,
    tick: u64,
}

#[derive(Clone, Copy, Debug)]
struct Expired {
    place: Place,
    at: Millis,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    id: MarkId,
    mode: Mode,
    tick: u64,
    at: Millis,
}

/// The marks of one scope.
#[derive(Debug, Default)]
struct Standing {
    removed: Option<Place>,
    expired: Vec<Expired>,
    pending: Vec<Pending>,
}

impl Standing {
    fn number(&mut self, mode: Mode, place: Place, at: Millis) {
        match mode {
            Mode::Remove => {
                // Two removes of a scope act as one that is the later in both orders. An `expire` is
                // absorbed only by a remove that is later in both: else an entry that lies between
                // them in one order would lose its label.
                self.removed = Some(match self.removed {
                    Some(old) => {
                        Place { seq: old.seq.max(place.seq), tick: old.tick.max(place.tick) }
                    }
                    None => place,
                });
                self.expired.retain(|e| e.place.seq > place.seq || e.place.tick > place.tick);
            }
            Mode::Expire => {
                self.expired.push(Expired { place, at });
                if self.expired.len() > EXPIRES_KEPT {
                    let ats: Vec<Millis> = self.expired.iter().map(|e| e.at).collect();
                    let first = nearest_pair(&ats);
                    let earlier = self.expired.remove(first);
                    let later = &mut self.expired[first];
                    later.place.seq = later.place.seq.max(earlier.place.seq);
                    later.place.tick = later.place.tick.max(earlier.place.tick);
                    later.at = later.at.min(earlier.at);
                }
            }
        }
    }

    fn cover(&self, since: Since, reach: &mut Reach, first: &mut First) {
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
        for pending in &self.pending {
            // Below memory a version says nothing about a mark that has no number yet.
            if let Since::Tick(Tick(tick)) = since
                && pending.tick <= tick
            {
                continue;
            }
            match pending.mode {
                Mode::Remove => reach.removed = true,
                Mode::Expire => reach.expire(pending.at),
            }
            first.note(None, pending.tick);
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
    fn expire(&mut self, at: Millis) {
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

#[derive(Debug, Default)]
struct CacheMarks {
    whole: Standing,
    keys: HashMap<Arc<str>, Standing>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Table {
    everything: Standing,
    caches: HashMap<Arc<str>, CacheMarks>,
    stores: Stores,
}

impl Table {
    fn standing(&mut self, scope: &Scope) -> &mut Standing {
        match scope {
            Scope::Everything => &mut self.everything,
            Scope::Cache(cache) => &mut self.caches.entry(Arc::clone(cache)).or_default().whole,
            Scope::Key(key) => self
                .caches
                .entry(Arc::clone(&key.cache))
                .or_default()
                .keys
                .entry(Arc::clone(&key.id))
                .or_default(),
            Scope::Partition(partition) => self
                .stores
                .entry(Arc::clone(&partition.store))
                .or_default()
                .entry(partition.day)
                .or_default(),
        }
    }

    /// A mark that was accepted here and has no number yet.
    pub(crate) fn pend(&mut self, mark: &Mark, Tick(tick): Tick) {
        let pending = Pending { id: mark.id, mode: mark.mode, tick, at: mark.at };
        self.standing(&mark.scope).pending.push(pending);
    }

    /// Gives a mark its number. True if it was pending here: it has acted already and keeps its tick;
    /// else it acts from `tick` on.
    pub(crate) fn number(&mut self, mark: &Mark, seq: u64, Tick(tick): Tick) -> bool {
        let standing = self.standing(&mark.scope);
        let pending = standing.pending.iter().position(|pending| pending.id == mark.id);
        let acted = pending.map(|at| standing.pending.remove(at).tick);
        standing.number(mark.mode, Place { seq, tick: acted.unwrap_or(tick) }, mark.at);
        acted.is_some()
    }

    /// What stands over an entry.
    pub(crate) fn over(&self, cache: &str, id: &str, _tags: &Tags) -> Over<'_> {
        let mut whole = vec![&self.everything];
        if let Some(marks) = self.caches.get(cache) {
            whole.push(&marks.whole);
            whole.extend(marks.keys.get(id));
        }
        Over { whole, stores: &self.stores }
    }
}

type Stores = HashMap<Arc<str>, BTreeMap<Day, Standing>>;

/// The marks that may cover an entry: looked up once for all its parts.
pub(crate) struct Over<'a> {
    /// Those that cover all of it.
    whole: Vec<&'a Standing>,
    stores: &'a Stores,
}

impl Over<'_> {
    /// The marks after `since` that cover a part which was derived from a span.
    pub(crate) fn cover(&self, span: Option<&Span>, since: Since) -> Cover {
        let mut cover = Cover::default();
        let (whole, first) = (&mut cover.whole, &mut cover.first);
        for standing in &self.whole {
            standing.cover(since, whole, first);
        }
        if let Some(span) = span
            && span.from <= span.to
            && let Some(days) = self.stores.get(&*span.store)
        {
            let reach = if span.from == span.to { whole } else { &mut cover.days };
            for standing in days.range(span.from..=span.to).map(|(_, standing)| standing) {
                standing.cover(since, reach, first);
            }
        }
        cover
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use samovar_core::{Key, Partition};

    use super::*;

    /// A mark of a naive list: nothing is ever absorbed.
    #[derive(Clone, Debug)]
    struct Listed {
        scope: Scope,
        mode: Mode,
        at: Millis,
        tick: u64,
        seq: Option<u64>,
    }

    fn scope() -> impl Strategy<Value = Scope> {
        prop_oneof![
            Just(Scope::Everything),
            prop_oneof![Just("a"), Just("b")].prop_map(|cache| Scope::Cache(cache.into())),
            Just(Scope::Key(Key::new("a", "k"))),
            (0..2u8, 0..3i32).prop_map(|(store, day)| Scope::Partition(Partition::new(
                store.to_string(),
                Day(day)
            ))),
        ]
    }

    /// Marks in the order of acting, with the order in which the log numbers them: nearly the same.
    fn history() -> impl Strategy<Value = Vec<Listed>> {
        let mode = prop_oneof![1 => Just(Mode::Remove), 2 => Just(Mode::Expire)];
        let mark = (scope(), mode, 0i64..50, 0u64..5, prop::bool::weighted(0.9));
        proptest::collection::vec(mark, 0..40).prop_map(|marks| {
            let mut order: Vec<(u64, usize)> = Vec::new();
            let mut listed: Vec<Listed> = Vec::new();
            for (at, (scope, mode, delay, shift, numbered)) in marks.into_iter().enumerate() {
                let tick = at as u64 + 1;
                listed.push(Listed {
                    scope,
                    mode,
                    at: Millis(at as i64 * 10 + delay),
                    tick,
                    seq: None,
                });
                if numbered {
                    order.push((tick + shift, at));
                }
            }
            order.sort_unstable();
            for (seq, (_, at)) in (1..).zip(order) {
                listed[at].seq = Some(seq);
            }
            listed
        })
    }

    fn table(marks: &[Listed]) -> Table {
        let mut table = Table::default();
        let mark = |listed: &Listed| Mark {
            id: MarkId(u128::from(listed.tick)),
            scope: listed.scope.clone(),
            mode: listed.mode,
            at: listed.at,
            reason: "test".into(),
        };
        for listed in marks {
            table.pend(&mark(listed), Tick(listed.tick));
        }
        let mut numbered: Vec<&Listed> = marks.iter().filter(|mark| mark.seq.is_some()).collect();
        numbered.sort_unstable_by_key(|mark| mark.seq);
        for listed in numbered {
            assert!(table.number(&mark(listed), listed.seq.unwrap(), Tick(999)));
        }
        table
    }

    fn naive(marks: &[Listed], span: Option<&Span>, since: Since) -> (Reach, Reach) {
        let (mut whole, mut days) = (Reach::default(), Reach::default());
        for mark in marks {
            let newer = match since {
                Since::Tick(Tick(tick)) => mark.tick > tick,
                Since::Seq(seq) => mark.seq.is_none_or(|of| of > seq),
            };
            let reach = match &mark.scope {
                Scope::Partition(partition) => match span.filter(|span| span.holds(partition)) {
                    Some(span) if span.from < span.to => &mut days,
                    Some(_) => &mut whole,
                    None => continue,
                },
                scope if scope.covers(&Key::new("a", "k")) => &mut whole,
                _ => continue,
            };
            match mark.mode {
                _ if !newer => {}
                Mode::Remove => reach.removed = true,
                Mode::Expire => reach.expire(mark.at),
            }
        }
        (whole, days)
    }

    /// `found` may be stricter than `must` in its window, in nothing else; what is removed has none.
    fn agree(found: Reach, must: Reach) -> bool {
        found.removed == must.removed
            && (must.removed
                || (found.expired.is_some() == must.expired.is_some()
                    && found.expired <= must.expired))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1_000, ..ProptestConfig::default() })]

        #[test]
        fn absorbing_changes_no_verdict(
            marks in history(),
            span in proptest::option::of((0..3i32, 0..3i32)),
            since in 0u64..45,
        ) {
            let table = table(&marks);
            let span = span.map(|(a, b)| Span { store: "0".into(), from: Day(a.min(b)), to: Day(a.max(b)) });
            for since in [Since::Tick(Tick(since)), Since::Seq(since)] {
                let cover = table.over("a", "k", &Tags::NONE).cover(span.as_ref(), since);
                let (whole, days) = naive(&marks, span.as_ref(), since);
                prop_assert!(agree(cover.whole, whole), "{:?} {:?}", cover, whole);
                prop_assert!(agree(cover.days, days), "{:?} {:?}", cover, days);
                prop_assert_eq!(cover.any(), whole != Reach::default() || days != Reach::default());
            }
        }

        /// What is judged by version and then given the tick before the first mark found is judged by that
        /// tick as strictly, whatever the two orders of the marks.
        #[test]
        fn a_tick_made_from_a_version_is_as_strict(
            marks in history(),
            span in proptest::option::of((0..3i32, 0..3i32)),
            seq in 0u64..45,
        ) {
            let table = table(&marks);
            let span = span.map(|(a, b)| Span { store: "0".into(), from: Day(a.min(b)), to: Day(a.max(b)) });
            let below = table.over("a", "k", &Tags::NONE).cover(span.as_ref(), Since::Seq(seq));
            let now = marks.len() as u64;
            let tick = below.first.tick.map_or(now, |first| now.min(first - 1));
            let above = table.over("a", "k", &Tags::NONE).cover(span.as_ref(), Since::Tick(Tick(tick)));
            for (above, below) in [(above.whole, below.whole), (above.days, below.days)] {
                prop_assert!(above.removed >= below.removed);
                prop_assert!(above.expired.is_some() >= below.expired.is_some());
                prop_assert!(below.expired.is_none() || above.expired <= below.expired);
            }
        }
    }
}
