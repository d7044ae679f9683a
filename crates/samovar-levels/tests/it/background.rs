//! What goes on while nobody asks: how much of the source it takes, and what it notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use samovar_core::{BoxFuture, Mode};
use samovar_levels::{Dataset, Engine, Missing, ProductMetrics, State};
use samovar_source::{Ask, Batches, Description, Inventory, Source, SourceError, SqliteSource};

use crate::answers::{check, counter, runtime, volatile};
use crate::doubtful::Doubtful;
use crate::shop::{Line, Shop, partition, selection, shop, some_lines};
use crate::waits::{counted, until};

/// A source whose every query says that it took an hour.
struct Slow {
    source: SqliteSource,
    reads: AtomicU64,
}

impl Source for Slow {
    fn describe(&self) -> BoxFuture<'_, Result<Description, SourceError>> {
        self.source.describe()
    }

    fn busy(&self) -> Duration {
        Duration::from_secs(3_600 * self.reads.load(Ordering::Relaxed))
    }

    fn change_number(&self) -> BoxFuture<'_, Result<Option<u64>, SourceError>> {
        self.source.change_number()
    }

    fn stores(&self) -> BoxFuture<'_, Result<Inventory, SourceError>> {
        self.source.stores()
    }

    fn read(&self, ask: Ask) -> Batches {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.source.read(ask)
    }
}

#[test]
fn background_work_keeps_to_its_share_and_readers_do_not_wait() {
    runtime().block_on(async {
        let shop = shop();
        let source = Slow { source: shop.source(), reads: AtomicU64::new(0) };
        let dataset = Dataset { max_source_share: 0.5, ..shop.dataset(ProductMetrics::Keep) };
        let engine = Engine::new(volatile().await, Arc::new(source), dataset);
        // The sample that decides on product metrics has taken its hour: two have to pass now.
        engine.members().await.unwrap();
        let warming = engine.warm();
        let asking = async {
            check(&shop, &engine, Some(&[1, 2]), 20, 39).await;
            check(&shop, &engine, None, 0, 39).await;
        };
        tokio::select! {
            biased;
            _ = warming => panic!("it has no share left"),
            () = asking => {}
        }
        assert_eq!(engine.warmth().stores_warm, 0);
        assert!(counter(&engine, "source_reads") > 1, "readers' own");
    });
}

fn watchful(shop: &Shop, grace: Duration) -> Dataset {
    Dataset { event_grace: Some(grace), ..shop.dataset(ProductMetrics::Keep) }
}

#[test]
fn a_change_without_an_event_is_labelled_and_read_again() {
    runtime().block_on(async {
        let shop = shop();
        let dataset = watchful(&shop, Duration::from_millis(1));
        let engine = Engine::new(volatile().await, Arc::new(shop.source()), dataset);
        engine.warm().await.unwrap();
        let asked = selection(None, 20, 39);
        // The lookout has to have seen the database as it was: each change until it has is one more chance.
        let mut lines = some_lines().into_iter().cycle();
        let noticed = async {
            while counter(&engine, "silent_changes") == 0 {
                shop.insert(&lines.next().unwrap());
                tokio::time::timeout(Duration::from_secs(3), counted(&engine, "silent_changes", 0))
                    .await
                    .ok();
            }
        };
        noticed.await;
        until(|| async {
            engine.diagnose(&asked, Missing::Wait).await.unwrap().proof.state == State::Fresh
        })
        .await;
        check(&shop, &engine, None, 0, 39).await;
    });
}

#[test]
fn changes_that_events_follow_are_announced_however_close_they_come() {
    runtime().block_on(async {
        let shop = shop();
        let source = Doubtful::new(&shop);
        let dataset = watchful(&shop, Duration::from_secs(2));
        let engine = Engine::new(volatile().await, Arc::clone(&source) as _, dataset);
        engine.warm().await.unwrap();
        let before = check(&shop, &engine, Some(&[2]), 20, 39).await;
        let looked = async |more: u64| {
            let enough = source.looks.load(Ordering::SeqCst) + more;
            until(|| async { source.looks.load(Ordering::SeqCst) >= enough }).await;
        };
        // Only their numbers come one after the other, so that no slow disk keeps their events from coming in time.
        let line = Line { day: 30, ..some_lines().swap_remove(30) };
        for _ in 0..2 {
            shop.insert(&line);
        }
        let change = |number: u64| source.number.store(number, Ordering::SeqCst);
        let announce = || engine.changed(vec![partition(1, 30)], Mode::Remove, "test");
        looked(2).await;
        // The first is seen; while its event is waited for the second comes, and then the events of both.
        change(1);
        looked(1).await;
        change(2);
        announce().await.unwrap();
        announce().await.unwrap();
        counted(&engine, "announced_changes", 0).await;
        // A wrong verdict would fall before the second look from here.
        looked(3).await;
        assert_eq!(counter(&engine, "silent_changes"), 0);
        check(&shop, &engine, Some(&[1]), 20, 39).await;
        let after = check(&shop, &engine, Some(&[2]), 20, 39).await;
        assert_eq!(
            (after.proof.state, after.body.json.clone()),
            (State::Fresh, before.body.json.clone())
        );
        // The watch goes on.
        source.number.store(3, Ordering::SeqCst);
        counted(&engine, "silent_changes", 0).await;
    });
}
