//! How far answers say they may be trusted, and what becomes of what could not be read.

use std::sync::Arc;
use std::time::Duration;

use samovar::fence::LocalLog;
use samovar::{Samovar, Settings};
use samovar_core::{
    BoxFuture, Error, History, Mark, MarkLog, Millis, Mode, Next, Snapshot, Version,
};
use samovar_levels::{Engine, Missing, ProductMetrics, Selection, State, Stores};
use samovar_testkit::clock::FakeClock;

use crate::answers::{check, counter, json, runtime, volatile};
use crate::shop::{Line, Shop, partition, selection, some_lines};
use crate::waits::until;

/// Three stores; the third has by far the greatest sales.
fn shop() -> Shop {
    let shop = crate::shop::shop();
    shop.insert(&Line { store: 3, amount: Some(9_999_999), day: 30, ..line() });
    shop
}

fn line() -> Line {
    some_lines().swap_remove(0)
}

fn top(n: usize) -> Selection {
    Selection { stores: Stores::Top(n), ..selection(None, 20, 39) }
}

/// From here on the source cannot be read.
fn take_away(shop: &Shop) {
    std::fs::write(&shop.path, b"gone").unwrap();
}

#[test]
fn a_ranking_of_stores_some_of_which_are_missing_is_incomplete() {
    runtime().block_on(async {
        let shop = shop();
        let engine = shop.engine(volatile().await, ProductMetrics::Keep);
        check(&shop, &engine, Some(&[1]), 20, 39).await;
        // Only the first is there, so it wins: whoever is told so must be told why.
        let answer = engine.diagnose(&top(1), Missing::Allow).await.unwrap();
        let body = json(&answer);
        assert_eq!(body["ranking"][0]["store_id"], "1");
        assert_eq!(answer.proof.state, State::Incomplete);
        // What it lacks is what the ranking lacked.
        assert_eq!(body["missing"]["stores"], 2);
        assert_eq!(body["missing"]["partitions"], answer.proof.missing);
        assert!(answer.proof.missing > 0);
        let answer = engine.diagnose(&top(1), Missing::Wait).await.unwrap();
        assert_eq!(json(&answer)["ranking"][0]["store_id"], "3");
        assert_eq!(answer.proof.state, State::Fresh);
    });
}

#[test]
fn a_ranking_with_a_stale_store_is_stale_whoever_wins() {
    runtime().block_on(async {
        let shop = shop();
        let engine = shop.engine(volatile().await, ProductMetrics::Keep);
        engine.warm().await.unwrap();
        assert_eq!(
            engine.diagnose(&top(1), Missing::Wait).await.unwrap().proof.state,
            State::Fresh
        );
        take_away(&shop);
        engine.changed(vec![partition(2, 30)], Mode::Expire, "test").await.unwrap();
        let answer = engine.diagnose(&top(1), Missing::Wait).await.unwrap();
        assert_eq!(json(&answer)["ranking"][0]["store_id"], "3");
        assert_eq!(answer.proof.state, State::Stale, "the second might have overtaken it");
        let asked = selection(Some(&[3]), 20, 39);
        let answer = engine.diagnose(&asked, Missing::Wait).await.unwrap();
        assert_eq!(answer.proof.state, State::Fresh, "who asks for the third by name is not told");
    });
}

#[test]
fn a_list_past_its_time_labels_what_rests_on_it() {
    runtime().block_on(async {
        let (shop, clock) = (shop(), FakeClock::at(Millis(1_800_000_000_000)));
        let settings = Settings { clock: clock.clone(), ..Settings::default() };
        let engine = shop.engine(Samovar::open(settings).await.unwrap(), ProductMetrics::Keep);
        engine.warm().await.unwrap();
        // The store is read again when the list is four hours old; both live six, spread by a fifth.
        clock.advance(Duration::from_secs(4 * 3_600));
        let days = (0..40).map(|day| partition(1, day)).collect();
        engine.changed(days, Mode::Remove, "test").await.unwrap();
        for _ in 0..2 {
            let answer = check(&shop, &engine, Some(&[1]), 30, 30).await;
            assert_eq!(answer.proof.state, State::Fresh);
        }
        take_away(&shop);
        clock.advance(Duration::from_secs(4 * 3_600));
        let asked = selection(Some(&[1]), 30, 30);
        let answer = engine.diagnose(&asked, Missing::Wait).await.unwrap();
        assert_eq!(answer.proof.state, State::Stale);
        assert!(answer.proof.refreshing > 0);
    });
}

#[test]
fn one_wrong_date_costs_its_own_store_alone() {
    runtime().block_on(async {
        let shop = shop();
        // Some sixty years before all others.
        shop.insert(&Line { store: 2, day: -20_000, ..line() });
        let engine = shop.engine(volatile().await, ProductMetrics::Keep);
        let report = engine.warm().await.unwrap();
        assert_eq!((report.stores, report.failed), (3, 0));
        let reads = counter(&engine, "source_reads");
        let of_one_store = 20_040 / 16 + 2;
        assert!(reads < of_one_store + 20, "{reads} reads");
        let answer = check(&shop, &engine, None, 0, 39).await;
        assert_eq!((answer.proof.state, answer.proof.missing), (State::Fresh, 0));
        check(&shop, &engine, None, -20_010, -19_990).await;
    });
}

#[test]
fn what_is_left_out_is_loaded_in_the_background() {
    runtime().block_on(async {
        let shop = shop();
        let engine = shop.engine(volatile().await, ProductMetrics::Keep);
        let asked = selection(None, 20, 39);
        let first = engine.diagnose(&asked, Missing::Allow).await.unwrap();
        assert_eq!(first.proof.state, State::Incomplete);
        assert_eq!(counter(&engine, "hits"), 0, "an answer that lacks all is no hit");
        until(|| async {
            let answer = engine.diagnose(&asked, Missing::Allow).await.unwrap();
            answer.proof.state == State::Fresh
        })
        .await;
        check(&shop, &engine, None, 20, 39).await;
    });
}

#[test]
fn a_cold_question_to_a_source_without_an_index_is_one_pass() {
    runtime().block_on(async {
        let shop = shop();
        shop.database.execute_batch("DROP INDEX by_day").unwrap();
        let engine = shop.engine(volatile().await, ProductMetrics::Keep);
        check(&shop, &engine, None, 0, 39).await;
        assert_eq!(counter(&engine, "source_reads"), 2, "the list, and everything once");
    });
}

#[test]
fn a_store_that_could_not_be_read_is_warm_when_it_can() {
    runtime().block_on(async {
        let shop = shop();
        // The third has the most lines: it is the hot one.
        let wrong = shop.insert(&Line { store: 3, ..line() });
        let set = format!("UPDATE orders SET amount = 'a lot' WHERE rowid = {wrong}");
        shop.database.execute_batch(&set).unwrap();
        let engine: Engine = shop.engine(volatile().await, ProductMetrics::Keep);
        assert_eq!(&*engine.hottest().await.unwrap()[0], "3");
        assert_eq!(engine.warm().await.unwrap().failed, 1);
        let warmth = engine.warmth();
        assert_eq!((warmth.stores_warm, warmth.ready), (2, false));
        assert!(warmth.trouble.unwrap().contains("a lot"));
        shop.delete(wrong);
        until(|| async { engine.warmth().ready }).await;
        assert!(engine.warm_stores().contains("3"));
        check(&shop, &engine, None, 0, 39).await;
    });
}

#[test]
fn a_refresh_finds_a_store_that_the_list_lacks() {
    runtime().block_on(async {
        let shop = shop();
        let engine = shop.engine(volatile().await, ProductMetrics::Keep);
        engine.warm().await.unwrap();
        shop.insert(&Line { store: 8, day: 30, ..line() });
        let answer = engine.refresh(&selection(Some(&[8]), 25, 35)).await.unwrap();
        assert_eq!(json(&answer)["ranking"][0]["store_id"], "8");
        let nobody = engine.refresh(&selection(Some(&[77]), 25, 35)).await.unwrap_err();
        assert!(nobody.to_string().contains("77"), "{nobody}");
    });
}

/// A log whose lease nobody can renew.
struct Leased(LocalLog);

const LEASE: Duration = Duration::from_secs(5);

impl MarkLog for Leased {
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, Error>> {
        self.0.snapshot()
    }

    fn append(
        &self,
        marks: Vec<Mark>,
        head: Option<Version>,
    ) -> BoxFuture<'static, Result<Option<Version>, Error>> {
        self.0.append(marks, head)
    }

    fn next<'a>(&'a self, history: &'a History, after: u64) -> BoxFuture<'a, Result<Next, Error>> {
        self.0.next(history, after)
    }

    fn lease(&self) -> Option<Duration> {
        Some(LEASE)
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.0.close()
    }
}

/// An engine whose node is cut off once its lease is over, and blind after so long.
async fn leased(shop: &Shop, clock: &Arc<FakeClock>, max_blind: Duration) -> Engine {
    let settings = Settings {
        clock: Arc::clone(clock) as _,
        log: Some(Arc::new(Leased(LocalLog::volatile(100).unwrap()))),
        max_blind,
        ..Settings::default()
    };
    shop.engine(Samovar::open(settings).await.unwrap(), ProductMetrics::Keep)
}

#[test]
fn who_has_been_cut_off_for_long_is_not_answered_by_what_was_just_answered() {
    runtime().block_on(async {
        let (shop, clock) = (shop(), FakeClock::at(Millis(1_000_000)));
        let engine = leased(&shop, &clock, Duration::ZERO).await;
        let before = check(&shop, &engine, Some(&[1]), 20, 39).await;
        shop.insert(&Line { store: 1, day: 30, ..line() });
        // Nobody was told, so that is not known.
        let asked = selection(Some(&[1]), 20, 39);
        let again = engine.diagnose(&asked, Missing::Wait).await.unwrap();
        assert_eq!(again.body.json, before.body.json);
        // The machine slept: nothing has woken to see that the lease is over.
        clock.suspend(LEASE);
        check(&shop, &engine, Some(&[1]), 20, 39).await;
    });
}

#[test]
fn who_is_cut_off_says_so_and_reads_nothing_again_for_that() {
    runtime().block_on(async {
        let (shop, clock) = (shop(), FakeClock::at(Millis(1_000_000)));
        let engine = leased(&shop, &clock, 2 * LEASE).await;
        let before = check(&shop, &engine, Some(&[1]), 20, 39).await;
        assert_eq!(before.proof.state, State::Fresh);
        take_away(&shop);
        clock.suspend(LEASE);
        let asked = selection(Some(&[1]), 20, 39);
        let cut_off = engine.diagnose(&asked, Missing::Wait).await.unwrap();
        assert_eq!(cut_off.body.json, before.body.json);
        assert_eq!((cut_off.proof.state, cut_off.proof.refreshing), (State::Stale, 0));
    });
}
