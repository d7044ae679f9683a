//! How a warm-up goes about it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use samovar_core::BoxFuture;
use samovar_levels::{Dataset, Engine, ProductMetrics};
use samovar_source::{Ask, Batches, Description, Inventory, Source, SourceError, SqliteSource};
use tokio::sync::watch;

use crate::answers::{check, counter, runtime, volatile};
use crate::shop::shop;

/// Says that it has so many connections, and gives no rows before so many are asked for side by side.
struct Gathering {
    source: SqliteSource,
    connections: usize,
    wanted: Arc<AtomicUsize>,
    reading: watch::Sender<usize>,
}

impl Source for Gathering {
    fn describe(&self) -> BoxFuture<'_, Result<Description, SourceError>> {
        Box::pin(async {
            let described = self.source.describe().await?;
            Ok(Description { connections: self.connections, ..described })
        })
    }

    fn busy(&self) -> Duration {
        self.source.busy()
    }

    fn change_number(&self) -> BoxFuture<'_, Result<Option<u64>, SourceError>> {
        self.source.change_number()
    }

    fn stores(&self) -> BoxFuture<'_, Result<Inventory, SourceError>> {
        self.source.stores()
    }

    fn read(&self, ask: Ask) -> Batches {
        let (rows, mut reading) = (self.source.read(ask), self.reading.subscribe());
        self.reading.send_modify(|reading| *reading += 1);
        let wanted = self.wanted.load(Ordering::Relaxed);
        let gathered = async move {
            let waited = reading.wait_for(|reading| *reading >= wanted).await;
            waited.map(drop).expect("its source is there");
            rows
        };
        stream::once(gathered).flatten().boxed()
    }
}

#[test]
fn blocks_are_loaded_by_as_many_connections_as_there_are() {
    runtime().block_on(async {
        let shop = shop();
        let wanted = Arc::new(AtomicUsize::new(0));
        let source = Gathering {
            source: shop.source(),
            connections: 3,
            wanted: Arc::clone(&wanted),
            reading: watch::Sender::new(0),
        };
        let reading = source.reading.clone();
        let dataset = shop.dataset(ProductMetrics::Keep);
        let engine = Engine::new(volatile().await, Arc::new(source), dataset);
        // The list and its sample are read alone. The hot stores, which come first, are one: its blocks are shared out.
        engine.members().await.unwrap();
        wanted.store(*reading.borrow() + 3, Ordering::Relaxed);
        let warm = tokio::time::timeout(Duration::from_secs(30), engine.warm());
        let report = warm.await.expect("three read side by side").unwrap();
        assert_eq!((report.stores, report.failed, engine.warmth().stores_warm), (3, 0, 3));
        check(&shop, &engine, None, 0, 39).await;
    });
}

#[test]
fn blocks_that_nobody_has_are_read_some_by_one_query() {
    runtime().block_on(async {
        let shop = shop();
        let dataset = Dataset { block_rows: 1, ..shop.dataset(ProductMetrics::Keep) };
        let engine = Engine::new(volatile().await, Arc::new(shop.source()), dataset);
        engine.members().await.unwrap();
        let before = counter(&engine, "source_reads");
        let report = engine.warm().await.unwrap();
        assert_eq!((report.stores, report.failed), (3, 0));
        let reads = counter(&engine, "source_reads") - before;
        check(&shop, &engine, None, 0, 39).await;
        assert_eq!(counter(&engine, "source_reads"), before + reads, "all of it was warm");
        // A block is a day here, and the largest store has lines on most of forty.
        assert!((1..40).contains(&reads), "{reads} queries");
    });
}
