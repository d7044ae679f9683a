//! A source that does what a test tells it to.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use samovar_core::BoxFuture;
use samovar_source::{
    Ask, Batches, Description, Inventory, Source, SourceError, SourceErrorKind, SqliteSource, Which,
};

use crate::shop::Shop;

/// A shop that can be out of reach, have stores that cannot be read, and claim that it changed.
pub(crate) struct Doubtful {
    source: SqliteSource,
    /// Nothing can be asked of it.
    pub(crate) away: AtomicBool,
    /// The stores with a value that cannot be read.
    pub(crate) bad: Mutex<HashSet<Arc<str>>>,
    pub(crate) number: AtomicU64,
    /// So often it was asked for its number.
    pub(crate) looks: AtomicU64,
    /// So many lists were made.
    pub(crate) lists: AtomicU64,
    /// A list that was made is handed over when this is free.
    pub(crate) door: tokio::sync::Mutex<()>,
    /// What was asked of it while it was there.
    pub(crate) reads: Mutex<Vec<Which>>,
}

impl Doubtful {
    pub(crate) fn new(shop: &Shop) -> Arc<Doubtful> {
        Arc::new(Doubtful {
            source: shop.source(),
            away: AtomicBool::default(),
            bad: Mutex::default(),
            number: AtomicU64::default(),
            looks: AtomicU64::default(),
            lists: AtomicU64::default(),
            door: tokio::sync::Mutex::default(),
            reads: Mutex::default(),
        })
    }

    /// From here on these cannot be read, and others can.
    pub(crate) fn spoil(&self, stores: &[&str]) {
        *self.bad.lock().unwrap() = stores.iter().map(|id| Arc::from(*id)).collect();
    }

    /// So many reads were of this store alone.
    pub(crate) fn reads_of(&self, store: &str) -> usize {
        let one = Which::One(store.into());
        self.reads.lock().unwrap().iter().filter(|read| **read == one).count()
    }

    fn reached(&self) -> Result<(), SourceError> {
        match self.away.load(Ordering::SeqCst) {
            true => Err(SourceError::new(SourceErrorKind::Unreachable, "nobody is there")),
            false => Ok(()),
        }
    }
}

impl Source for Doubtful {
    fn describe(&self) -> BoxFuture<'_, Result<Description, SourceError>> {
        Box::pin(async {
            self.reached()?;
            self.source.describe().await
        })
    }

    fn busy(&self) -> Duration {
        self.source.busy()
    }

    fn change_number(&self) -> BoxFuture<'_, Result<Option<u64>, SourceError>> {
        Box::pin(async {
            let number = self.number.load(Ordering::SeqCst);
            self.looks.fetch_add(1, Ordering::SeqCst);
            Ok(Some(number))
        })
    }

    fn stores(&self) -> BoxFuture<'_, Result<Inventory, SourceError>> {
        Box::pin(async {
            self.reached()?;
            let inventory = self.source.stores().await;
            self.lists.fetch_add(1, Ordering::SeqCst);
            let _open = self.door.lock().await;
            inventory
        })
    }

    fn read(&self, ask: Ask) -> Batches {
        if self.reached().is_ok() {
            self.reads.lock().unwrap().push(ask.stores.clone());
        }
        let bad = matches!(&ask.stores, Which::One(id) if self.bad.lock().unwrap().contains(id));
        let failed = match self.reached() {
            Err(away) => away,
            Ok(()) if bad => SourceError::new(SourceErrorKind::Value, "that is no number"),
            Ok(()) => return self.source.read(ask),
        };
        stream::once(async { Err(failed) }).boxed()
    }
}
