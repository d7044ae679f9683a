//! Answers equal what SQLite makes of the same rows, whatever changes, as long as events say what changed.

use std::path::Path;

use proptest::prelude::*;
use samovar::{Samovar, Settings};
use samovar_core::{Mode, Partition};
use samovar_levels::{Answer, Engine, Level, Missing, ProductMetrics, State};
use serde_json::Value;

use crate::measures::{Measures, measures};
use crate::oracle::{Lines, agrees};
use crate::shop::{CHINESE, ENGLISH, Line, Names, Shop, partition, selection, shop, some_lines};

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

pub(crate) async fn volatile() -> Samovar {
    Samovar::open(Settings::default()).await.unwrap()
}

pub(crate) async fn stored(directory: &Path) -> Samovar {
    let settings = Settings { data_dir: Some(directory.into()), ..Settings::default() };
    Samovar::open(settings).await.unwrap()
}

pub(crate) fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body.json).unwrap()
}

/// Asks, and holds every figure of the answer against SQLite's.
pub(crate) async fn check(
    shop: &Shop,
    engine: &Engine,
    stores: Option<&[u8]>,
    from: i32,
    to: i32,
) -> Answer {
    let asked = selection(stores, from, to);
    let answer = engine.diagnose(&asked, Missing::Wait).await.unwrap();
    agrees(shop, &asked, &json(&answer));
    answer
}

pub(crate) fn line() -> impl Strategy<Value = Line> {
    fn nearly_always<T: Strategy>(value: T) -> impl Strategy<Value = Option<T::Value>> {
        proptest::option::weighted(0.9, value)
    }
    let place = (1u8..6, 0i32..40);
    // Few enough of them that an answer lists them all.
    let item = (nearly_always(0u8..6), nearly_always(0u8..2));
    let money = (nearly_always(-10_000i64..100_000), nearly_always(-5_000i64..20_000));
    // Some that come again and again, and some that hardly do.
    let receipt = prop_oneof![0u8..3, 0u8..200];
    let rest = (nearly_always(0u8..4), nearly_always(0u16..2_000), nearly_always(receipt));
    (place, item, money, rest).prop_map(
        |((store, day), (product, category), (amount, profit), (pieces, delivery, receipt))| Line {
            store,
            day,
            product,
            category,
            amount,
            profit,
            pieces,
            delivery,
            receipt,
        },
    )
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Line),
    Delete(prop::sample::Index),
    /// Deletes one line and inserts another: an update, perhaps in another store or on another day.
    Move(prop::sample::Index, Line),
    Ask(Option<Vec<u8>>, i32, i32),
    Expire,
    Warm,
    /// Closes, and opens the same directory with other measures.
    Reopen(Other, ProductMetrics),
}

#[derive(Clone, Debug)]
enum Other {
    Drawn(Measures),
    Twisted,
    Resummed,
    /// The same measures, by category too where they were not, and the other way round.
    Regrouped,
}

fn other() -> impl Strategy<Value = Other> {
    prop_oneof![
        measures().prop_map(Other::Drawn),
        Just(Other::Twisted),
        Just(Other::Resummed),
        Just(Other::Regrouped)
    ]
}

pub(crate) fn product_metrics() -> impl Strategy<Value = ProductMetrics> {
    prop_oneof![
        Just(ProductMetrics::Keep),
        Just(ProductMetrics::Derive),
        Just(ProductMetrics::Auto)
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let stores = proptest::option::of(prop::sample::subsequence(vec![1u8, 2, 3, 4, 5], 1..5));
    prop_oneof![
        2 => line().prop_map(Step::Insert),
        1 => any::<prop::sample::Index>().prop_map(Step::Delete),
        2 => (any::<prop::sample::Index>(), line()).prop_map(|(at, line)| Step::Move(at, line)),
        4 => (stores, 0i32..40, 0i32..25).prop_map(|(stores, from, days)| Step::Ask(stores, from, from + days)),
        1 => Just(Step::Expire),
        1 => Just(Step::Warm),
        1 => (other(), product_metrics()).prop_map(|(other, keep)| Step::Reopen(other, keep)),
    ]
}

/// A shop and what becomes of it.
#[derive(Clone, Debug)]
struct History {
    names: Names,
    /// Whether a store's days can be sought; else all is read in one pass.
    indexed: bool,
    measures: Measures,
    keep: ProductMetrics,
    lines: Vec<Line>,
    steps: Vec<Step>,
}

fn history() -> impl Strategy<Value = History> {
    let names = prop_oneof![Just(ENGLISH), Just(CHINESE)];
    let made = (names, prop::bool::weighted(0.8), measures(), product_metrics());
    let lines = proptest::collection::vec(line(), 0..120);
    let steps = proptest::collection::vec(step(), 1..24);
    (made, lines, steps).prop_map(|((names, indexed, measures, keep), lines, steps)| History {
        names,
        indexed,
        measures,
        keep,
        lines,
        steps,
    })
}

async fn follow(history: History, make: fn(Names) -> Shop) {
    let History { names, indexed, mut measures, keep, lines, steps } = history;
    let (mut shop, directory) = (make(names), tempfile::tempdir().unwrap());
    if !indexed {
        shop.drop_index();
    }
    shop.schema = measures.schema(&names);
    // Every store is there from the start, so that it can be asked for by name.
    let mut rows: Vec<(i64, Line)> = Vec::new();
    for store in 1..6 {
        let line = Line {
            store,
            day: 20,
            product: Some(0),
            category: None,
            amount: Some(100),
            profit: None,
            pieces: Some(1),
            delivery: None,
            receipt: None,
        };
        shop.insert(&line);
    }
    for line in lines {
        rows.push((shop.insert(&line), line));
    }
    let mut engine = shop.engine(stored(directory.path()).await, keep);
    for step in steps {
        let mut dirty: Vec<Partition> = Vec::new();
        match step {
            Step::Insert(line) => {
                dirty.push(partition(line.store, line.day));
                rows.push((shop.insert(&line), line));
            }
            Step::Delete(at) if !rows.is_empty() => {
                let (row, line) = rows.swap_remove(at.index(rows.len()));
                shop.delete(row);
                dirty.push(partition(line.store, line.day));
            }
            Step::Move(at, new) if !rows.is_empty() => {
                let (row, old) = rows.swap_remove(at.index(rows.len()));
                shop.delete(row);
                dirty.extend([partition(old.store, old.day), partition(new.store, new.day)]);
                rows.push((shop.insert(&new), new));
            }
            Step::Ask(stores, from, to) => {
                check(&shop, &engine, stores.as_deref(), from, to).await;
            }
            Step::Expire => {
                let all: Vec<Partition> = (1..6).map(|store| partition(store, 20)).collect();
                engine.changed(all, Mode::Expire, "test").await.unwrap();
            }
            Step::Warm => {
                engine.warm().await.unwrap();
            }
            Step::Reopen(other, keep) => {
                check(&shop, &engine, None, 15, 39).await;
                engine.close().await.unwrap();
                drop(engine);
                measures = match other {
                    Other::Drawn(measures) => measures,
                    Other::Twisted => measures.twisted(),
                    Other::Resummed => measures.resummed(),
                    Other::Regrouped => Measures { categories: !measures.categories, ..measures },
                };
                shop.schema = measures.schema(&names);
                engine = shop.engine(stored(directory.path()).await, keep);
                check(&shop, &engine, None, 15, 39).await;
            }
            Step::Delete(_) | Step::Move(..) => {}
        }
        shop.commit();
        if !dirty.is_empty() {
            engine.changed(dirty, Mode::Remove, "test").await.unwrap();
        }
    }
    let answer = check(&shop, &engine, None, 0, 39).await;
    assert_eq!(answer.proof.missing, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn answers_follow_every_change_that_is_told(history in history()) {
        runtime().block_on(follow(history, Shop::new));
    }
}

proptest! {
    // Each of them makes a database, and runs a program for every change.
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn answers_from_postgres_follow_every_change_that_is_told(history in history()) {
        runtime().block_on(follow(history, Shop::in_postgres));
    }
}

async fn shop_with_engine() -> (Shop, Engine) {
    let shop = shop();
    let engine = shop.engine(volatile().await, ProductMetrics::Keep);
    (shop, engine)
}

pub(crate) fn counter(engine: &Engine, name: &str) -> u64 {
    engine.counters().snapshot().into_iter().find(|(n, _)| *n == name).unwrap().1
}

#[test]
fn an_event_changes_the_answers_that_depend_on_it_and_no_others() {
    runtime().block_on(async {
        let (shop, engine) = shop_with_engine().await;
        engine.warm().await.unwrap();
        check(&shop, &engine, Some(&[1]), 25, 39).await;
        check(&shop, &engine, Some(&[2]), 25, 39).await;
        let computed = counter(&engine, "results_computed");
        // Line 30 is of store 1 on day 30.
        let new = Line { day: 30, ..some_lines().swap_remove(30) };
        shop.insert(&new);
        engine.changed(vec![partition(1, 30)], Mode::Remove, "test").await.unwrap();
        check(&shop, &engine, Some(&[1]), 25, 39).await;
        assert_eq!(
            counter(&engine, "results_computed"),
            computed + 1,
            "the answer that depends on it"
        );
        let other = check(&shop, &engine, Some(&[2]), 25, 39).await;
        assert_eq!(
            counter(&engine, "results_computed"),
            computed + 1,
            "the other is still the cached one"
        );
        assert_eq!(other.proof.level, Level::Result);
    });
}

#[test]
fn an_equal_state_stops_there() {
    runtime().block_on(async {
        let (shop, engine) = shop_with_engine().await;
        engine.warm().await.unwrap();
        let before = check(&shop, &engine, Some(&[1]), 25, 39).await;
        let (computed, unchanged) =
            (counter(&engine, "results_computed"), counter(&engine, "partitions_unchanged"));
        engine.changed(vec![partition(1, 30)], Mode::Remove, "nothing really").await.unwrap();
        let after = check(&shop, &engine, Some(&[1]), 25, 39).await;
        assert_eq!(before.body.json, after.body.json);
        assert_eq!(counter(&engine, "results_computed"), computed);
        assert!(counter(&engine, "partitions_unchanged") > unchanged);
    });
}

#[test]
fn one_dirty_day_costs_the_source_one_day() {
    runtime().block_on(async {
        let (shop, engine) = shop_with_engine().await;
        engine.warm().await.unwrap();
        let read = counter(&engine, "rows_read");
        engine.changed(vec![partition(1, 30)], Mode::Remove, "test").await.unwrap();
        check(&shop, &engine, None, 0, 39).await;
        let day = selection(Some(&[1]), 30, 30);
        let of_the_day = Lines::of(&shop, &day.stores, (day.from, day.to)).count();
        assert_eq!(counter(&engine, "rows_read") - read, of_the_day);
    });
}

#[test]
fn a_new_store_and_a_new_day_appear_in_all() {
    runtime().block_on(async {
        let (shop, engine) = shop_with_engine().await;
        engine.warm().await.unwrap();
        check(&shop, &engine, None, 0, 60).await;
        let new = Line { store: 9, day: 55, ..some_lines().swap_remove(0) };
        shop.insert(&new);
        engine.changed(vec![partition(9, 55)], Mode::Remove, "opened").await.unwrap();
        let answer = check(&shop, &engine, None, 0, 60).await;
        assert_eq!(json(&answer)["store_count"], 4);
        check(&shop, &engine, Some(&[9]), 50, 60).await;
    });
}

#[test]
fn what_is_not_warm_is_left_out_and_said() {
    runtime().block_on(async {
        let (_shop, engine) = shop_with_engine().await;
        let asked = selection(None, 20, 39);
        let answer = engine.diagnose(&asked, Missing::Allow).await.unwrap();
        assert_eq!(answer.proof.state, State::Incomplete);
        assert_eq!(answer.proof.missing, 3 * 40);
        assert_eq!(json(&answer)["missing"]["stores"], 3);
        engine.warm().await.unwrap();
        let answer = engine.diagnose(&asked, Missing::Allow).await.unwrap();
        assert_eq!((answer.proof.state, answer.proof.missing), (State::Fresh, 0));
        assert_eq!(answer.proof.covered, 3 * 40);
    });
}

#[test]
fn the_top_stores_are_those_with_the_greatest_sales() {
    runtime().block_on(async {
        let (shop, engine) = shop_with_engine().await;
        let big =
            Line { store: 2, day: 30, amount: Some(9_999_999), ..some_lines().swap_remove(0) };
        shop.insert(&big);
        let mut asked = selection(None, 20, 39);
        asked.stores = samovar_levels::Stores::Top(1);
        let body = json(&engine.diagnose(&asked, Missing::Wait).await.unwrap());
        assert_eq!(body["store_count"], 1);
        assert_eq!(body["ranking"][0]["store_id"], "2");
        assert_eq!(body["selection"]["stores"], "top:1");
    });
}

#[test]
fn a_store_that_is_not_there_is_an_error_that_names_it() {
    runtime().block_on(async {
        let (_shop, engine) = shop_with_engine().await;
        let failed =
            engine.diagnose(&selection(Some(&[77]), 0, 3), Missing::Wait).await.unwrap_err();
        assert!(failed.to_string().contains("77"), "{failed}");
    });
}

#[test]
fn a_source_without_an_index_is_read_in_one_pass() {
    runtime().block_on(async {
        let (shop, engine) = shop_with_engine().await;
        drop(engine);
        shop.database.execute_batch("DROP INDEX by_day").unwrap();
        let engine = shop.engine(volatile().await, ProductMetrics::Keep);
        engine.warm().await.unwrap();
        let lines = some_lines().len() as u64;
        // The list, and everything once; the sample that decides on product metrics is not counted.
        assert_eq!(counter(&engine, "source_reads"), 2);
        assert_eq!(counter(&engine, "rows_read"), lines);
        check(&shop, &engine, None, 0, 39).await;
        check(&shop, &engine, Some(&[1, 3]), 20, 30).await;
        assert_eq!(counter(&engine, "source_reads"), 2, "all of it was warm");
    });
}

#[test]
fn a_new_day_that_only_expires_the_list_is_never_missing_from_a_fresh_answer() {
    runtime().block_on(async {
        let (shop, engine) = shop_with_engine().await;
        engine.warm().await.unwrap();
        check(&shop, &engine, None, 30, 50).await;
        shop.insert(&Line { store: 1, day: 45, ..some_lines().swap_remove(0) });
        engine.changed(vec![partition(1, 45)], Mode::Expire, "test").await.unwrap();
        let asked = selection(None, 30, 50);
        let fresh = async {
            loop {
                let answer = engine.diagnose(&asked, Missing::Wait).await.unwrap();
                if answer.proof.state == State::Fresh {
                    return answer;
                }
            }
        };
        let answer = tokio::time::timeout(std::time::Duration::from_secs(30), fresh).await.unwrap();
        agrees(&shop, &asked, &json(&answer));
    });
}

#[test]
fn a_refresh_finds_days_and_stores_that_no_event_told_of() {
    runtime().block_on(async {
        let (shop, engine) = shop_with_engine().await;
        engine.warm().await.unwrap();
        shop.insert(&Line { store: 8, day: 44, ..some_lines().swap_remove(0) });
        let answer = engine.refresh(&selection(None, 40, 45)).await.unwrap();
        assert_eq!(json(&answer)["store_count"], 4);
        check(&shop, &engine, None, 40, 45).await;
    });
}

#[test]
fn more_questions_than_threads_are_all_answered() {
    runtime().block_on(async {
        let (_shop, engine) = shop_with_engine().await;
        // All cold, all different: each needs loads on other threads while it waits on its own.
        let asked = (0..600).map(|n| {
            let engine = engine.clone();
            async move {
                engine.diagnose(&selection(None, n % 40, n % 40 + n / 40), Missing::Wait).await
            }
        });
        let all = futures_util::future::try_join_all(asked);
        let answers = tokio::time::timeout(std::time::Duration::from_secs(120), all)
            .await
            .expect("no deadlock");
        assert_eq!(answers.unwrap().len(), 600);
    });
}

#[test]
fn a_strange_day_stands_out_with_its_reason() {
    runtime().block_on(async {
        let (shop, engine) = shop_with_engine().await;
        let even = json(&check(&shop, &engine, None, 20, 39).await);
        assert_eq!(even["standouts"]["found"], 0, "{}", even["standouts"]);
        assert_eq!(even["standouts"]["judged"], 20, "every day of the period");
        let short = json(&check(&shop, &engine, None, 33, 39).await);
        assert_eq!(short["standouts"]["judged"], 0, "no weekday comes four times");
        // A hundred times what a day is like.
        let strange = Line { day: 35, amount: Some(150_000), ..some_lines().swap_remove(0) };
        shop.insert(&strange);
        let told = engine.changed(vec![partition(strange.store, 35)], Mode::Remove, "test").await;
        told.unwrap();
        let body = json(&check(&shop, &engine, None, 20, 39).await);
        let found = &body["standouts"];
        assert_eq!((&found["found"], found["days"].as_array().unwrap().len()), (&1.into(), 1));
        let day = &found["days"][0];
        assert_eq!(day["date"], crate::shop::FIRST.plus(35).to_string());
        assert_eq!((&day["measure"], &day["compared"]), (&"sales".into(), &6.into()));
        let at = 35 - 20;
        assert_eq!(day["value"], body["daily"]["sales"][at]);
        assert!(day["score"].as_f64() > Some(3.5) && day["expected"].as_f64() < Some(20.0));
        // Where something is missing nothing stands out for a reason of its own.
        let engine = shop.engine(volatile().await, ProductMetrics::Keep);
        let asked = selection(None, 20, 39);
        let lacking = json(&engine.diagnose(&asked, Missing::Allow).await.unwrap());
        let standouts = &lacking["standouts"];
        assert_eq!((&standouts["judged"], &standouts["found"]), (&Value::Null, &Value::Null));
        assert_eq!(standouts["days"], Value::Array(vec![]));
    });
}
