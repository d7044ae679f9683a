//! What stands in for leases in a build without Redis: there are none.

use std::sync::Arc;
use std::time::Duration;

use samovar_core::{Clock, Error, Key};

use crate::background::Tasks;
use crate::tier::breaker::Health;
use crate::tier::redis::Shares;

/// Nobody has any.
#[derive(Clone)]
pub(crate) struct Leases;

/// Nobody has one.
#[derive(Debug)]
pub(crate) enum Lease {}

impl Leases {
    pub(crate) fn new((): Shares, _: Arc<dyn Clock>, _: Arc<Health>, _: Tasks) -> Leases {
        Leases
    }

    pub(crate) fn are_there(&self) -> bool {
        false
    }

    pub(crate) async fn take(&self, _: &Key, _: Duration) -> Result<Option<Lease>, Error> {
        Ok(None)
    }

    pub(crate) async fn take_many(
        &self,
        keys: &[&Key],
        _: Duration,
    ) -> Result<Vec<Option<Lease>>, Error> {
        Ok(keys.iter().map(|_| None).collect())
    }

    pub(crate) async fn give_back(&self, _: Vec<Lease>) {}

    pub(crate) fn held(&self) -> Vec<Key> {
        Vec::new()
    }

    pub(crate) async fn end(&self) {}
}

impl Drop for Lease {
    /// As one that there is.
    fn drop(&mut self) {}
}

impl Lease {
    pub(crate) fn number(&self) -> u64 {
        match *self {}
    }
}
