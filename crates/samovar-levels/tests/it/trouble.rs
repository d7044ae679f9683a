//! What cannot be read must not keep the rest from being looked after.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use samovar::{Samovar, Settings};
use samovar_core::{Millis, Mode};
use samovar_levels::{Dataset, Engine, Missing, ProductMetrics, State};
use samovar_source::Which;
use samovar_testkit::clock::FakeClock;

use crate::answers::{check, counter, runtime, stored, volatile};
use crate::doubtful::Doubtful;
use crate::shop::{Line, partition, selection, shop, some_lines};
use crate::waits::{settled, until};

#[test]
fn a_store_that_cannot_be_read_keeps_no_other_waiting() {
    runtime().block_on(async {
        let shop = shop();
        let source = Doubtful::new(&shop);
        // A block for each day: many that fail.
        let dataset = Dataset { block_rows: 1, ..shop.dataset(ProductMetrics::Keep) };
        let engine = Engine::new(volatile().await, Arc::clone(&source) as _, dataset);
        engine.members().await.unwrap();
        source.spoil(&["3"]);
        assert_eq!(engine.warm().await.unwrap().failed, 1);
        // Forty by the warm-up, and most of them again.
        until(|| async { source.reads_of("3") >= 70 }).await;
        engine.changed(vec![partition(1, 30)], Mode::Expire, "test").await.unwrap();
        let fresh = async {
            let asked = selection(Some(&[1]), 25, 35);
            while engine.diagnose(&asked, Missing::Wait).await.unwrap().proof.state != State::Fresh
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), fresh).await.expect("it is read again");
    });
}

#[test]
fn a_block_that_keeps_failing_does_not_end_the_watch_for_silent_changes() {
    runtime().block_on(async {
        let shop = shop();
        let source = Doubtful::new(&shop);
        let event_grace = Some(Duration::from_millis(1));
        let dataset = Dataset { event_grace, ..shop.dataset(ProductMetrics::Keep) };
        let engine = Engine::new(volatile().await, Arc::clone(&source) as _, dataset);
        engine.members().await.unwrap();
        source.spoil(&["3"]);
        assert_eq!(engine.warm().await.unwrap().failed, 1);
        until(|| async { source.looks.load(Ordering::SeqCst) > 1 }).await;
        source.number.store(1, Ordering::SeqCst);
        until(|| async { counter(&engine, "silent_changes") == 1 }).await;
        assert!(engine.refreshing() > 0, "it still fails");
    });
}

#[test]
fn a_source_that_comes_back_without_an_index_is_read_in_one_pass() {
    runtime().block_on(async {
        let (shop, directory) = (shop(), tempfile::tempdir().unwrap());
        shop.drop_index();
        let source = Doubtful::new(&shop);
        let start = async || {
            // A block for each day: many that are stale.
            let dataset = Dataset { block_rows: 1, ..shop.dataset(ProductMetrics::Keep) };
            Engine::new(stored(directory.path()).await, Arc::clone(&source) as _, dataset)
        };
        let engine = start().await;
        engine.warm().await.unwrap();
        engine.close().await.unwrap();
        drop(engine);
        source.away.store(true, Ordering::SeqCst);
        source.reads.lock().unwrap().clear();
        let engine = start().await;
        // All of it is on disk, and to be read again.
        engine.warm().await.unwrap();
        until(|| async { engine.warmth().trouble.is_some() }).await;
        source.away.store(false, Ordering::SeqCst);
        settled(&engine).await;
        {
            let reads = source.reads.lock().unwrap();
            assert!(reads.contains(&Which::All) && reads.len() <= 5, "{reads:?}");
        }
        assert_eq!(check(&shop, &engine, None, 20, 39).await.proof.state, State::Fresh);
    });
}

#[test]
fn a_day_that_comes_back_while_the_list_is_read_again_is_listed() {
    runtime().block_on(async {
        let (shop, clock) = (shop(), FakeClock::at(Millis(1_800_000_000_000)));
        let last = Line { day: 45, ..some_lines().swap_remove(0) };
        let row = shop.insert(&last);
        let source = Doubtful::new(&shop);
        let settings = Settings { clock: clock.clone(), ..Settings::default() };
        let samovar = Samovar::open(settings).await.unwrap();
        let dataset = shop.dataset(ProductMetrics::Keep);
        let engine = Engine::new(samovar, Arc::clone(&source) as _, dataset);
        engine.warm().await.unwrap();
        shop.delete(row);
        // Past the lifetime of the list. Its successor is made, without the day, and not yet handed over.
        clock.advance(Duration::from_secs(8 * 3_600));
        let shut = source.door.lock().await;
        let before = source.lists.load(Ordering::SeqCst);
        engine.members().await.unwrap();
        until(|| async { source.lists.load(Ordering::SeqCst) > before }).await;
        shop.insert(&last);
        engine.changed(vec![partition(last.store, 45)], Mode::Remove, "test").await.unwrap();
        // That one is handed over; the next, which knows better, not until somebody has asked.
        drop(shut);
        let shut = source.door.lock().await;
        until(|| async { source.lists.load(Ordering::SeqCst) > before + 1 }).await;
        tokio::join!(biased; check(&shop, &engine, None, 20, 49), async { drop(shut) });
    });
}

#[test]
fn stores_that_cannot_be_sampled_are_listed_and_sampled_at_the_next_start() {
    runtime().block_on(async {
        let (shop, directory) = (shop(), tempfile::tempdir().unwrap());
        // Two lines for each product and day.
        for line in some_lines() {
            shop.insert(&line);
        }
        let source = Doubtful::new(&shop);
        let start = async || {
            let dataset = shop.dataset(ProductMetrics::Auto);
            Engine::new(stored(directory.path()).await, Arc::clone(&source) as _, dataset)
        };
        let engine = start().await;
        source.spoil(&["1", "2", "3"]);
        let members = engine.members().await.unwrap();
        assert_eq!((members.stores.len(), members.lines_per_product_figure), (3, 1.0));
        assert!(!members.product_metrics);
        source.spoil(&[]);
        check(&shop, &engine, None, 20, 39).await;
        engine.close().await.unwrap();
        drop(engine);
        let engine = start().await;
        until(|| async { engine.members().await.unwrap().lines_per_product_figure == 2.0 }).await;
        assert!(engine.members().await.unwrap().product_metrics);
        check(&shop, &engine, None, 20, 39).await;
    });
}

#[test]
fn a_source_that_goes_away_is_not_taken_for_one_with_bad_lines() {
    runtime().block_on(async {
        let shop = shop();
        let source = Doubtful::new(&shop);
        let dataset = shop.dataset(ProductMetrics::Auto);
        let engine = Engine::new(volatile().await, Arc::clone(&source) as _, dataset);
        // It lists its stores, and is gone before they are sampled.
        let shut = source.door.lock().await;
        let leave = async {
            until(|| async { source.lists.load(Ordering::SeqCst) > 0 }).await;
            source.away.store(true, Ordering::SeqCst);
            drop(shut);
        };
        let (listed, ()) = tokio::join!(engine.members(), leave);
        assert!(listed.unwrap_err().to_string().contains("nobody is there"));
    });
}

#[test]
fn stores_that_come_and_go_are_counted_as_the_list_has_them() {
    runtime().block_on(async {
        let shop = shop();
        let engine = shop.engine(volatile().await, ProductMetrics::Keep);
        engine.warm().await.unwrap();
        let counts = || (engine.warmth().stores, engine.warmth().stores_warm);
        assert_eq!(counts(), (3, 3));
        let row = shop.insert(&Line { store: 9, day: 30, ..some_lines().swap_remove(0) });
        let changed = || engine.changed(vec![partition(9, 30)], Mode::Remove, "test");
        changed().await.unwrap();
        until(|| async { counts().1 == 4 }).await;
        assert_eq!(counts(), (4, 4));
        shop.delete(row);
        changed().await.unwrap();
        engine.refresh(&selection(None, 20, 39)).await.unwrap();
        assert_eq!(counts(), (3, 3));
        assert!(engine.warmth().ready);
    });
}
