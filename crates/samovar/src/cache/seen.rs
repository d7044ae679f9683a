//! What a read finds: a value, or that there is none.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use samovar_core::{Stamp, TierName};

use super::answer::Found;
use crate::tier::{Held, Shared};
use crate::value::Value;

/// In place of a value in memory: the source has none.
#[derive(Debug)]
pub(super) struct Absent;

/// The form that a value, or that there is none, has in memory.
pub(super) fn in_memory<V: Value>(value: Option<&Arc<V>>) -> Shared {
    match value {
        Some(value) => Shared::new(Arc::clone(value), value.weight()),
        None => Shared::new(Arc::new(Absent), 0),
    }
}

/// What stands in memory, and may be served as it is. Small enough for two registers: what callers are given is written
/// once, where they want it.
pub(super) struct Hit<V> {
    held: Arc<Held>,
    is_absent: bool,
    of: PhantomData<fn() -> V>,
}

impl<V: Value> Hit<V> {
    #[inline(always)]
    pub(super) fn new(held: Arc<Held>, is_absent: bool) -> Hit<V> {
        Hit { held, is_absent, of: PhantomData }
    }

    /// As callers are given it, if there is a value.
    #[inline(always)]
    pub(super) fn found(self) -> Option<Found<V>> {
        match self.is_absent {
            true => None,
            false => Some(Found::clean(self.held, TierName::Memory)),
        }
    }

    /// As a read that goes on is given it.
    pub(super) fn seen(self) -> Seen<V> {
        Seen::new(Found::clean(self.held, TierName::Memory), self.is_absent)
    }
}

/// What was found under a key, judged: as [`Found`], and the value may be none.
pub(super) struct Seen<V> {
    found: Found<V>,
    is_absent: bool,
}

impl<V: Value> Seen<V> {
    /// Something whose value is of this type, or none.
    #[inline]
    pub(super) fn new(found: Found<V>, is_absent: bool) -> Seen<V> {
        Seen { found, is_absent }
    }

    /// The source is known to have no such row.
    pub(super) fn is_absent(&self) -> bool {
        self.is_absent
    }

    /// As callers are given it, if there is a value.
    #[inline]
    pub(super) fn found(self) -> Option<Found<V>> {
        (!self.is_absent).then_some(self.found)
    }

    /// The value, if there is one.
    pub(super) fn value(&self) -> Option<Arc<V>> {
        (!self.is_absent).then(|| self.found.value())
    }

    /// The value where it lies, if there is one.
    pub(super) fn get(&self) -> Option<&V> {
        (!self.is_absent).then(|| &*self.found)
    }

    /// The stamp of its oldest part.
    pub(super) fn stamp(&self) -> Stamp {
        let stamps = self.parts().iter().map(|part| part.stamp);
        let oldest = stamps.min_by_key(|stamp| stamp.read_at);
        oldest.expect("what has no part is dead to every survey, and never seen")
    }
}

impl<V> Deref for Seen<V> {
    type Target = Found<V>;

    fn deref(&self) -> &Found<V> {
        &self.found
    }
}

impl<V> DerefMut for Seen<V> {
    fn deref_mut(&mut self) -> &mut Found<V> {
        &mut self.found
    }
}

impl<V> Clone for Seen<V> {
    fn clone(&self) -> Self {
        Seen { found: self.found.clone(), is_absent: self.is_absent }
    }
}
