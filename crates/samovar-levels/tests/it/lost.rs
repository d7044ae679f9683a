//! A source whose connection is lost on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use samovar_core::BoxFuture;
use samovar_levels::{Engine, Missing, ProductMetrics};
use samovar_source::{
    Ask, Batches, Description, Inventory, Source, SourceError, SourceErrorKind, SqliteSource,
};

use crate::answers::{check, runtime, volatile};
use crate::shop::{Shop, selection, shop};

/// Loses its connection after the first batch, so many times.
struct Losing {
    source: SqliteSource,
    losses: AtomicU64,
}

impl Losing {
    fn loses(&self) -> Option<SourceError> {
        let less = |left: u64| left.checked_sub(1);
        let lost = self.losses.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok();
        lost.then(|| SourceError::new(SourceErrorKind::Lost, "the cable was cut"))
    }
}

impl Source for Losing {
    fn describe(&self) -> BoxFuture<'_, Result<Description, SourceError>> {
        self.source.describe()
    }

    fn busy(&self) -> Duration {
        self.source.busy()
    }

    fn change_number(&self) -> BoxFuture<'_, Result<Option<u64>, SourceError>> {
        self.source.change_number()
    }

    fn stores(&self) -> BoxFuture<'_, Result<Inventory, SourceError>> {
        match self.loses() {
            Some(lost) => Box::pin(async { Err(lost) }),
            None => self.source.stores(),
        }
    }

    fn read(&self, ask: Ask) -> Batches {
        match self.loses() {
            Some(lost) => {
                let first = self.source.read(ask).take(1);
                first.chain(stream::once(async { Err(lost) })).boxed()
            }
            None => self.source.read(ask),
        }
    }
}

async fn engine(shop: &Shop, losses: u64) -> Engine {
    let source = Losing { source: shop.source(), losses: AtomicU64::new(losses) };
    Engine::new(volatile().await, Arc::new(source), shop.dataset(ProductMetrics::Keep))
}

#[test]
fn what_was_lost_midway_is_read_anew_and_nothing_half_is_kept() {
    for indexed in [true, false] {
        runtime().block_on(async {
            let shop = shop();
            if !indexed {
                shop.database.execute_batch("DROP INDEX by_day").unwrap();
            }
            // The list is lost twice; then, its sample read, the first block (or the pass over all) twice.
            let engine = engine(&shop, 2).await;
            engine.members().await.unwrap();
            check(&shop, &engine, None, 0, 39).await;
            let source = Losing { source: shop.source(), losses: AtomicU64::new(0) };
            let source = Arc::new(source);
            let dataset = shop.dataset(ProductMetrics::Keep);
            let engine = Engine::new(volatile().await, Arc::clone(&source) as _, dataset);
            engine.members().await.unwrap();
            source.losses.store(2, Ordering::Relaxed);
            check(&shop, &engine, None, 0, 39).await;
            assert_eq!(source.losses.load(Ordering::Relaxed), 0, "both were met");
        });
    }
}

#[test]
fn a_source_that_is_always_lost_is_an_error() {
    runtime().block_on(async {
        let shop = shop();
        let engine = engine(&shop, u64::MAX).await;
        let asked = selection(None, 0, 39);
        let failed = engine.diagnose(&asked, Missing::Wait).await.unwrap_err();
        assert!(failed.to_string().contains("the cable was cut"), "{failed}");
    });
}
