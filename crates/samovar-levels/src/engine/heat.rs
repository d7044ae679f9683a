//! Which stores are asked for, so that the next start warms those first.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use samovar_core::{Part, Parts, Stamp};

use super::Engine;
use super::values::{Heat, Members};

/// Each start of the process halves what earlier ones counted.
const DECAY: f64 = 0.5;

/// Counts of accesses by store.
#[derive(Default)]
pub(crate) struct HeatMap {
    /// Looked at by every question, for each store it names.
    stores: Mutex<HashMap<Arc<str>, f64, foldhash::fast::RandomState>>,
    /// What earlier runs counted is in it.
    loaded: AtomicBool,
}

impl HeatMap {
    pub(crate) fn touch<'a>(&self, stores: impl Iterator<Item = &'a Arc<str>>) {
        let mut map = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        for store in stores {
            match map.get_mut(store) {
                Some(heat) => *heat += 1.0,
                None => {
                    map.insert(Arc::clone(store), 1.0);
                }
            }
        }
    }

    pub(crate) fn of(&self, store: &str) -> f64 {
        self.stores
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(store)
            .copied()
            .unwrap_or(0.0)
    }
}

impl Engine {
    /// Takes over what earlier runs counted.
    pub(crate) async fn load_heat(&self) {
        // Once: a warm-up that is tried again must not count them twice.
        if self.inner.heat.loaded.swap(true, Ordering::Relaxed) {
            return;
        }
        let Some(found) = self.inner.caches.heat.get("stores").await else { return };
        let mut map = self.inner.heat.stores.lock().unwrap_or_else(PoisonError::into_inner);
        for (store, heat) in &found.0 {
            *map.entry(Arc::clone(store)).or_insert(0.0) += heat * DECAY;
        }
    }

    pub(crate) fn save_heat(&self) {
        let map = self.inner.heat.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if map.is_empty() {
            return;
        }
        let mut heat: Vec<_> = map.iter().map(|(store, heat)| (Arc::clone(store), *heat)).collect();
        heat.sort_by(|a, b| a.0.cmp(&b.0));
        drop(map);
        let stamp =
            Stamp::new(self.inner.samovar.fence().token(), self.inner.samovar.clock().now());
        let parts: Parts = Arc::from([Part { span: None, stamp }]);
        self.inner.caches.heat.put("stores", Heat(heat), parts);
    }

    /// The ids of the stores, hottest first: the order in which they are warmed.
    ///
    /// # Errors
    /// If the list of stores cannot be read.
    pub async fn hottest(&self) -> Result<Vec<Arc<str>>, samovar_core::Error> {
        let members = self.members().await?;
        let order = self.hottest_first(&members);
        Ok(order.into_iter().map(|at| Arc::clone(&members.stores[at].id)).collect())
    }

    /// The stores, hottest first: by accesses where any were counted, then by number of lines.
    pub(crate) fn hottest_first(&self, members: &Members) -> Vec<usize> {
        let heat: Vec<f64> =
            members.stores.iter().map(|store| self.inner.heat.of(&store.id)).collect();
        let mut order: Vec<usize> = (0..members.stores.len()).collect();
        order.sort_by(|a, b| {
            let lines = |at: &usize| members.stores[*at].lines;
            heat[*b].total_cmp(&heat[*a]).then_with(|| lines(b).cmp(&lines(a)))
        });
        order
    }
}
