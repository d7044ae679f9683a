//! The marks that were applied here, found by what they cover.
//!
//! For each scope stand the newest `remove` and the `expire`s after it; whatever a later mark of the same
//! scope makes redundant is absorbed, and so is what a `remove` over a whole cache or everything covers. So the table
//! is bounded by the number of distinct scopes. (Forgetting scopes altogether needs floors; until those exist a
//! source that marks ever new scopes makes it grow.)

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use samovar_core::{Day, Mark, Mode, Scope, Span, Tags, Tick};

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
        self.standing(&mark.scope).pend(mark, tick);
    }

    /// Gives a mark its number. True if it was pending here: it has acted already and keeps its tick;
    /// else it acts from `tick` on.
    pub(crate) fn number(&mut self, mark: &Mark, seq: u64, Tick(tick): Tick) -> bool {
        let standing = self.standing(&mark.scope);
        let acted = standing.settle(mark.id);
        let place = Place { seq, tick: acted.unwrap_or(tick) };
        standing.number(mark.mode, place, mark.at);
        if mark.mode == Mode::Remove {
            self.absorb(&mark.scope, place);
        }
        acted.is_some()
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
            }
            Scope::Cache(cache) => {
                if let Some(marks) = self.caches.get_mut(cache) {
                    marks.keys.retain(|_, standing| standing.outlives(place));
                }
            }
            Scope::Key(_) | Scope::Partition(_) | Scope::Pattern(_) | Scope::Tag(_) => {}
        }
    }

    /// What stands over an entry.
    pub(crate) fn over(&self, cache: &str, id: &str, tags: &Tags) -> Over<'_> {
        let mut whole = vec![&self.everything];
        if let Some(marks) = self.caches.get(cache) {
            whole.push(&marks.whole);
            whole.extend(marks.keys.get(id));
        }
        if !self.tags.is_empty() {
            whole.extend(tags.iter().filter_map(|tag| self.tags.get(tag)));
        }
        self.patterns.find(cache, id, &mut whole);
        Over { whole, stores: &self.stores }
    }
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
