//! Which entries are to leave when: piles by the time at which they are past everything.
//!
//! A pile spans a second, or a two hundredth of the time that its entries live if that is longer: so there are few
//! piles whatever the lifetimes, and to come and to go costs a look into a small tree and a push. An entry knows its
//! place in its pile, so that one that leaves for another reason leaves nothing behind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use samovar_core::Millis;

use super::held::Held;

/// The shortest span of a pile, in milliseconds.
const SHORTEST: i64 = 1_000;
/// A pile spans at most this share of what its entries live.
const SHARE: i64 = 256;
/// Bytes that a pile takes without its entries: its place in the tree, at the worst.
const PILE: usize = 96;

/// The piles, by the time from which on all their entries may go.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    piles: BTreeMap<i64, Vec<Arc<Held>>>,
    /// Room for so many entries is allotted.
    room: usize,
}

/// When the pile of an entry is due; `None`: it never leaves by age.
fn due(held: &Held) -> Option<i64> {
    let lifetime = held.lifetime();
    let lives = lifetime.ttl.saturating_add(lifetime.stale_window).as_millis();
    let span = i64::try_from(lives).unwrap_or(i64::MAX) / SHARE;
    let span = SHORTEST << (span / SHORTEST).checked_ilog2().unwrap_or(0).min(40);
    let Millis(gone_at) = held.gone_at();
    match gone_at.rem_euclid(span) {
        0 => Some(gone_at),
        over => gone_at.checked_add(span - over),
    }
}

impl Deadlines {
    /// Takes in an entry. True if it is due before all others.
    pub(super) fn enter(&mut self, held: &Arc<Held>) -> bool {
        let Some(due) = due(held) else { return false };
        let first = self.next();
        let pile = self.piles.entry(due).or_default();
        self.room -= pile.capacity();
        held.place.store(u32::try_from(pile.len()).unwrap_or(u32::MAX), Ordering::Relaxed);
        pile.push(Arc::clone(held));
        self.room += pile.capacity();
        first.is_none_or(|first| due < first.0)
    }

    /// An entry that entered leaves.
    pub(super) fn leave(&mut self, held: &Held) {
        let Some(due) = due(held) else { return };
        let Some(pile) = self.piles.get_mut(&due) else { return };
        let place = held.place.load(Ordering::Relaxed);
        debug_assert!(pile.get(place as usize).is_some_and(|at| std::ptr::eq(&**at, held)));
        pile.swap_remove(place as usize);
        if let Some(moved) = pile.get(place as usize) {
            moved.place.store(place, Ordering::Relaxed);
        }
        self.room -= pile.capacity();
        if pile.is_empty() {
            self.piles.remove(&due);
        } else {
            if pile.len() < pile.capacity() / 4 {
                pile.shrink_to(pile.len() * 2);
            }
            self.room += pile.capacity();
        }
    }

    /// When the next pile is due.
    pub(super) fn next(&self) -> Option<Millis> {
        self.piles.first_key_value().map(|(due, _)| Millis(*due))
    }

    /// Some entry that is due at `now`; it stays until it leaves.
    pub(super) fn due(&self, now: Millis) -> Option<Arc<Held>> {
        let (due, pile) = self.piles.first_key_value()?;
        pile.last().filter(|_| *due <= now.0).cloned()
    }

    /// The bytes that all this takes.
    pub(super) fn bytes(&self) -> usize {
        self.room * size_of::<Arc<Held>>() + self.piles.len() * PILE
    }
}
