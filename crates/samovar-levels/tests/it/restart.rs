//! What survives a restart, and what it may be served as.

use std::time::Duration;

use samovar::{Samovar, Settings};
use samovar_core::{Clock, Millis, Mode};
use samovar_levels::{Level, Missing, ProductMetrics, State};
use samovar_testkit::clock::FakeClock;

use crate::answers::{check, counter, json, runtime, stored};
use crate::measures::Measures;
use crate::shop::{ENGLISH, Line, partition, selection, shop, some_lines};
use crate::waits::settled;

#[test]
fn after_a_restart_the_disk_answers_without_the_source_labelled() {
    runtime().block_on(async {
        let (shop, directory) = (shop(), tempfile::tempdir().unwrap());
        let engine = shop.engine(stored(directory.path()).await, ProductMetrics::Keep);
        engine.warm().await.unwrap();
        let before = check(&shop, &engine, None, 20, 39).await;
        assert_eq!(before.proof.state, State::Fresh);
        engine.close().await.unwrap();
        drop(engine);

        let engine = shop.engine(stored(directory.path()).await, ProductMetrics::Keep);
        // The source is there when it is opened, and no longer a database when it is asked.
        std::fs::write(&shop.path, b"gone").unwrap();
        let after = engine.diagnose(&selection(None, 20, 39), Missing::Wait).await.unwrap();
        assert_eq!(after.body.json, before.body.json);
        assert_eq!((after.proof.state, after.proof.level), (State::Stale, Level::Result));
        assert!(after.proof.refreshing > 0);
    });
}

#[test]
fn what_changed_unseen_while_it_was_down_is_found_in_the_background() {
    runtime().block_on(async {
        let (shop, directory) = (shop(), tempfile::tempdir().unwrap());
        let engine = shop.engine(stored(directory.path()).await, ProductMetrics::Derive);
        engine.warm().await.unwrap();
        engine.close().await.unwrap();
        drop(engine);
        shop.insert(&Line { amount: Some(777_777), ..some_lines().swap_remove(30) });

        let engine = shop.engine(stored(directory.path()).await, ProductMetrics::Derive);
        engine.warm().await.unwrap();
        settled(&engine).await;
        let answer = check(&shop, &engine, None, 20, 39).await;
        assert_eq!(answer.proof.state, State::Fresh);
        let (derived, unchanged) =
            (counter(&engine, "partitions_derived"), counter(&engine, "partitions_unchanged"));
        assert_eq!(derived - unchanged, 1, "one partition came out different");
    });
}

#[test]
fn a_mark_that_was_acknowledged_holds_after_a_restart() {
    runtime().block_on(async {
        let (shop, directory) = (shop(), tempfile::tempdir().unwrap());
        let engine = shop.engine(stored(directory.path()).await, ProductMetrics::Keep);
        engine.warm().await.unwrap();
        // Marked at the fence alone: nothing reads the partition again before the end.
        let scope = samovar_core::Scope::Partition(partition(1, 30));
        engine.samovar().mark(vec![scope], Mode::Remove, "test").await.unwrap();
        engine.close().await.unwrap();
        drop(engine);

        let engine = shop.engine(stored(directory.path()).await, ProductMetrics::Keep);
        std::fs::write(&shop.path, b"gone").unwrap();
        let asked = |store| selection(Some(&[store]), 25, 39);
        assert!(
            engine.diagnose(&asked(1), Missing::Wait).await.is_err(),
            "it cannot be read, so it is not served"
        );
        let allowed = engine.diagnose(&asked(1), Missing::Allow).await.unwrap();
        assert_eq!(allowed.proof.state, State::Incomplete);
        let other = engine.diagnose(&asked(2), Missing::Wait).await.unwrap();
        assert_eq!(json(&other)["store_count"], 1);
    });
}

#[test]
fn the_stores_that_were_asked_for_are_hot_at_the_next_start() {
    runtime().block_on(async {
        let (shop, directory) = (shop(), tempfile::tempdir().unwrap());
        let engine = shop.engine(stored(directory.path()).await, ProductMetrics::Keep);
        for _ in 0..3 {
            engine.diagnose(&selection(Some(&[3]), 25, 39), Missing::Wait).await.unwrap();
        }
        engine.close().await.unwrap();
        drop(engine);
        let engine = shop.engine(stored(directory.path()).await, ProductMetrics::Keep);
        engine.warm().await.unwrap();
        assert_eq!(&*engine.hottest().await.unwrap()[0], "3");
    });
}

#[test]
fn past_its_time_a_level_is_served_labelled_and_read_again() {
    for keep in [ProductMetrics::Keep, ProductMetrics::Derive] {
        runtime().block_on(async {
            let (shop, clock) = (shop(), FakeClock::at(Millis(1_800_000_000_000)));
            let settings = Settings { clock: clock.clone(), ..Settings::default() };
            let engine = shop.engine(Samovar::open(settings).await.unwrap(), keep);
            engine.warm().await.unwrap();
            // Metrics live six hours, spread by a fifth; rows a day.
            clock.advance(Duration::from_secs(8 * 3_600));
            let before = counter(&engine, "rows_read");
            let old = check(&shop, &engine, None, 20, 39).await;
            assert_eq!(old.proof.state, State::Stale);
            settled(&engine).await;
            let new = check(&shop, &engine, None, 20, 39).await;
            assert_eq!((new.proof.state, new.proof.oldest), (State::Fresh, Some(clock.now())));
            assert!(
                counter(&engine, "rows_read") > before,
                "the source was read, not the rows kept"
            );

            std::fs::write(&shop.path, b"gone").unwrap();
            clock.advance(Duration::from_secs(3 * 86_400));
            let old = engine.diagnose(&selection(None, 20, 39), Missing::Wait).await.unwrap();
            assert_eq!(old.proof.state, State::Stale, "within the stale window");
            clock.advance(Duration::from_secs(30 * 86_400));
            assert!(
                engine.diagnose(&selection(None, 20, 39), Missing::Wait).await.is_err(),
                "beyond it"
            );
        });
    }
}

#[test]
fn a_result_of_other_measures_is_not_served_after_a_restart() {
    runtime().block_on(async {
        let (mut shop, directory) = (shop(), tempfile::tempdir().unwrap());
        let engine = shop.engine(stored(directory.path()).await, ProductMetrics::Keep);
        let high = json(&check(&shop, &engine, None, 20, 39).await);
        engine.close().await.unwrap();
        drop(engine);
        shop.schema = Measures::usual().twisted().schema(&shop.names);
        let engine = shop.engine(stored(directory.path()).await, ProductMetrics::Keep);
        // Held against SQL's figures: those of before would not pass.
        let low = json(&check(&shop, &engine, None, 20, 39).await);
        let of = |body: &serde_json::Value| body["totals"]["delivery_quantile"]["value"].as_f64();
        assert!(of(&low) < of(&high), "{:?} and {:?}", of(&low), of(&high));
        assert_eq!(low["digest"], high["digest"], "the states are the same");
    });
}

#[test]
fn a_list_of_a_run_that_measured_otherwise_is_not_taken_up_again() {
    runtime().block_on(async {
        let (mut shop, directory) = (shop(), tempfile::tempdir().unwrap());
        let engine = shop.engine(stored(directory.path()).await, ProductMetrics::Keep);
        engine.warm().await.unwrap();
        engine.close().await.unwrap();
        drop(engine);
        // The next run measures otherwise, and lists a day that the first did not know.
        let first = std::mem::replace(
            &mut shop.schema,
            Measures { categories: true, ..Measures::usual() }.schema(&ENGLISH),
        );
        assert_ne!(first, shop.schema);
        let new = Line { day: 55, ..some_lines().swap_remove(0) };
        shop.insert(&new);
        let engine = shop.engine(stored(directory.path()).await, ProductMetrics::Keep);
        engine.warm().await.unwrap();
        shop.insert(&new);
        engine.changed(vec![partition(new.store, 55)], Mode::Remove, "test").await.unwrap();
        engine.close().await.unwrap();
        drop(engine);
        // Back to what was measured first: what was told of is in every answer.
        shop.schema = first;
        let engine = shop.engine(stored(directory.path()).await, ProductMetrics::Keep);
        check(&shop, &engine, None, 40, 60).await;
    });
}
