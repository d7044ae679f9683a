//! A source that is away when the server starts: asked for again with every question, until it is there.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use samovar_core::BoxFuture;
use samovar_source::{Ask, Batches, Description, Inventory, Source, SourceError};

type Open = dyn Fn() -> Result<Arc<dyn Source>, SourceError> + Send + Sync;

/// Opens its source when it can.
pub(super) struct Awaited {
    open: Box<Open>,
    source: OnceLock<Arc<dyn Source>>,
}

impl Awaited {
    pub(super) fn new(
        open: impl Fn() -> Result<Arc<dyn Source>, SourceError> + Send + Sync + 'static,
    ) -> Awaited {
        Awaited { open: Box::new(open), source: OnceLock::new() }
    }

    fn source(&self) -> Result<&Arc<dyn Source>, SourceError> {
        if let Some(source) = self.source.get() {
            return Ok(source);
        }
        let opened = (self.open)()?;
        Ok(self.source.get_or_init(|| opened))
    }
}

impl Source for Awaited {
    fn describe(&self) -> BoxFuture<'_, Result<Description, SourceError>> {
        match self.source() {
            Ok(source) => source.describe(),
            Err(away) => Box::pin(async { Err(away) }),
        }
    }

    fn busy(&self) -> Duration {
        self.source.get().map(|source| source.busy()).unwrap_or_default()
    }

    fn change_number(&self) -> BoxFuture<'_, Result<Option<u64>, SourceError>> {
        match self.source() {
            Ok(source) => source.change_number(),
            Err(away) => Box::pin(async { Err(away) }),
        }
    }

    fn stores(&self) -> BoxFuture<'_, Result<Inventory, SourceError>> {
        match self.source() {
            Ok(source) => source.stores(),
            Err(away) => Box::pin(async { Err(away) }),
        }
    }

    fn read(&self, ask: Ask) -> Batches {
        match self.source() {
            Ok(source) => source.read(ask),
            Err(away) => stream::once(async { Err(away) }).boxed(),
        }
    }
}
