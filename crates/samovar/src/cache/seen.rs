//! What a read finds: a value, or that there is none.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use samovar_core::Stamp;

use super::answer::Found;
use crate::tier::Shared;
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
