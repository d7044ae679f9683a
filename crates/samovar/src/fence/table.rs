//! The marks that were applied here, found by what they cover.
//!
//! For each scope stand the newest `remove` and the `expire`s after it; whatever a later mark of the same
//! scope makes redundant is absorbed, and so is what a `remove` over a whole cache or everything covers. Of distinct
//! scopes there may be ever more: then the oldest are forgotten ([`Table::forget`]).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use samovar_core::{Day, Key, Mark, Millis, Mode, Partition, Scope, Span, Tags, Tick};

use super::forget::{choose, widened};
use super::patterns::Patterns;
use super::standing::{Cover, Place, Since, Standing};

#[derive(Debug, Default)]
struct CacheMarks {
    whole: Standing,
    keys: HashMap<Arc<str>, Standing>,
}

type Stores = HashMap<Arc<str>, BTreeMap<Day, Standing>>;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Table {
    everything: Standing,
    caches: HashMap<Arc<str>, CacheMarks>,
    stores: Stores,
    tags: HashMap<Arc<str>, Standing>,
    patterns: Patterns,
    /// All marks on tags and partitions once more, as if of one scope: they cover what bears the tag `*`.
    any: Standing,
    /// The scopes here, or somewhat more.
    scopes: usize,
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
            Scope::Pattern(pattern) => self.patterns.standing(pattern),
            Scope::Tag(tag) => self.tags.entry(Arc::clone(tag)).or_default(),
        }
    }

    /// A mark that was accepted here and has no number yet.
    pub(crate) fn pend(&mut self, mark: &Mark, Tick(tick): Tick) {
        let standing = self.standing(&mark.scope);
        let is_new = standing.is_empty();
        standing.pend(mark, tick);
        self.scopes += usize::from(is_new);
        if touches_any(&mark.scope) {
            self.any.pend(mark, tick);
        }
    }

    /// Gives a mark its number. It acts from `tick` on; if it was pending here, it acted then already.
    pub(crate) fn number(&mut self, mark: &Mark, seq: u64, Tick(tick): Tick) {
        let standing = self.standing(&mark.scope);
        let is_new = standing.is_empty();
        standing.settle(tick);
        let place = Place { seq, tick };
        standing.number(mark.mode, place, mark.at);
        self.scopes += usize::from(is_new);
        if touches_any(&mark.scope) {
            self.any.settle(tick);
            self.any.number(mark.mode, place, mark.at);
        }
        if mark.mode == Mode::Remove {
            self.absorb(&mark.scope, place);
        }
    }

    /// A `remove` of everything before a number, which acts from a tick on: as far as it goes, nothing is known.
    pub(crate) fn remove_everything(&mut self, seq: u64, Tick(tick): Tick) {
        let place = Place { seq, tick };
        // Only the windows of an `expire` depend on when it was.
        self.everything.number(Mode::Remove, place, Millis(0));
        self.absorb(&Scope::Everything, place);
    }

    /// Numbers beyond this one mean something else from now on. What stood there stands for all that it has absorbed,
    /// so it does not go: it covers what was read before the last number that is left.
    pub(crate) fn go_back(&mut self, seq: u64) {
        self.each(|standing| standing.go_back(seq));
    }

    fn each(&mut self, mut change: impl FnMut(&mut Standing)) {
        change(&mut self.everything);
        change(&mut self.any);
        for marks in self.caches.values_mut() {
            change(&mut marks.whole);
            marks.keys.values_mut().for_each(&mut change);
        }
        self.stores.values_mut().flat_map(BTreeMap::values_mut).for_each(&mut change);
        self.tags.values_mut().for_each(&mut change);
        self.patterns.values_mut().for_each(&mut change);
    }

    /// Drops what a `remove` makes redundant. An `expire` absorbs nothing of other scopes: what it took would
    /// shorten the window of all that it covers.
    fn absorb(&mut self, by: &Scope, place: Place) {
        match by {
            Scope::Everything => {
                self.caches.retain(|_, marks| {
                    marks.keys.retain(|_, standing| standing.outlives(place));
                    marks.whole.outlives(place) || !marks.keys.is_empty()
                });
                self.stores.retain(|_, days| {
                    days.retain(|_, standing| standing.outlives(place));
                    !days.is_empty()
                });
                self.tags.retain(|_, standing| standing.outlives(place));
                self.patterns.retain(|standing| standing.outlives(place));
                self.any.outlives(place);
            }
            Scope::Cache(cache) => {
                if let Some(marks) = self.caches.get_mut(cache) {
                    marks.keys.retain(|_, standing| standing.outlives(place));
                }
            }
            Scope::Key(_) | Scope::Partition(_) | Scope::Pattern(_) | Scope::Tag(_) => {}
        }
    }

    /// How many scopes there are, or somewhat fewer: exactly so many after [`Table::forget`].
    pub(crate) fn scopes(&self) -> usize {
        self.scopes
    }

    /// What of a cache was read before this number is refused, whatever its key.
    pub(crate) fn floor(&self, cache: &str) -> u64 {
        let whole = self.caches.get(cache).and_then(|marks| marks.whole.removed());
        let places = [self.everything.removed(), whole].into_iter().flatten();
        places.map(|place| place.seq).max().unwrap_or(0)
    }

    /// Forgets scopes until about `room` are left, the oldest first, but none with a mark after number `up_to`, and
    /// none with a mark that is pending. Returns how many.
    pub(crate) fn forget(&mut self, room: usize, up_to: u64) -> usize {
        let places = self.iter().filter_map(|(scope, standing)| Some((scope, standing.last()?)));
        let places = places.map(|(scope, place)| (scope, place.seq, place)).collect();
        let (mut floors, mut forgotten) = (HashMap::<Scope, Place>::new(), 0);
        for (scope, seq, place) in choose(places, room) {
            if seq <= up_to {
                let floor = floors.entry(widened(&scope)).or_insert(place);
                *floor = floor.later(place);
                forgotten += 1;
            }
        }
        for (scope, place) in floors {
            // Only the windows of an `expire` depend on when it was.
            self.standing(&scope).number(Mode::Remove, place, Millis(0));
            // This takes out all that is forgotten.
            self.absorb(&scope, place);
        }
        self.scopes = self.iter().count();
        forgotten
    }

    /// All scopes with what stands there.
    fn iter(&self) -> impl Iterator<Item = (Scope, &Standing)> {
        let caches = self.caches.iter().flat_map(|(cache, marks)| {
            let key = |id: &Arc<str>| Scope::Key(Key::new(Arc::clone(cache), Arc::clone(id)));
            let keys = marks.keys.iter().map(move |(id, standing)| (key(id), standing));
            keys.chain([(Scope::Cache(Arc::clone(cache)), &marks.whole)])
        });
        let partitions = self.stores.iter().flat_map(|(store, days)| {
            let of = |day: &Day| Scope::Partition(Partition::new(Arc::clone(store), *day));
            days.iter().map(move |(day, standing)| (of(day), standing))
        });
        let tags = self.tags.iter().map(|(tag, marks)| (Scope::Tag(Arc::clone(tag)), marks));
        let patterns =
            self.patterns.iter().map(|(pattern, marks)| (Scope::Pattern(pattern.clone()), marks));
        let everything = [(Scope::Everything, &self.everything)];
        let all = caches.chain(partitions).chain(tags).chain(patterns).chain(everything);
        all.filter(|(_, standing)| !standing.is_empty())
    }

    /// What stands over an entry.
    pub(crate) fn over(&self, cache: &str, id: &str, tags: &Tags) -> Over<'_> {
        let mut whole = vec![&self.everything];
        if let Some(marks) = self.caches.get(cache) {
            whole.push(&marks.whole);
            whole.extend(marks.keys.get(Key::bare(id)));
        }
        if tags.are_any() {
            whole.push(&self.any);
        }
        if !self.tags.is_empty() {
            whole.extend(tags.iter().filter_map(|tag| self.tags.get(tag)));
        }
        self.patterns.find(cache, id, &mut whole);
        Over { whole, stores: &self.stores }
    }
}

/// Whether a mark on this covers what bears the tag `*`, though it does not name it.
fn touches_any(scope: &Scope) -> bool {
    matches!(scope, Scope::Tag(_) | Scope::Partition(_))
}

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
mod tests;
