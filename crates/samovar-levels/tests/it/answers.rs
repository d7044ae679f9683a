//! Answers equal what SQLite makes of the same rows, whatever changes, as long as events say what changed.

use proptest::prelude::*;
use samovar::{Samovar, Settings};
use samovar_core::{Mode, Partition};
use samovar_levels::{Answer, Engine, Level, Missing, ProductMetrics, RELATIVE_ERROR, State};
use serde_json::Value;

use crate::shop::{CHINESE, ENGLISH, FIRST, Figures, Line, Names, Shop, partition, selection};

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

pub(crate) async fn volatile() -> Samovar {
    Samovar::open(Settings::default()).await.unwrap()
}

pub(crate) fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body.json).unwrap()
}

fn cents(value: &Value) -> i64 {
    (value.as_f64().unwrap_or(0.0) * 100.0).round() as i64
}

/// Compares one period of an answer with SQLite's figures.
fn agrees(totals: &Value, which: &str, figures: &Figures) {
    let of = |measure: &str| &totals[measure][which];
    assert_eq!(cents(of("sales")), figures.sales, "sales");
    assert_eq!(cents(of("profit")), figures.profit, "profit");
    assert_eq!(of("orders").as_f64().unwrap_or(0.0), figures.orders as f64, "orders");
    if figures.sales != 0 && figures.lines > figures.without_profit {
        let margin = figures.profit as f64 / figures.sales as f64;
        assert!((of("margin").as_f64().unwrap() - margin).abs() < 1e-9, "margin");
    }
    let n = figures.deliveries.len();
    if n == 0 {
        assert!(of("delivery_mean").is_null());
        return;
    }
    let mean = figures.deliveries.iter().sum::<f64>() / n as f64;
    assert!((of("delivery_mean").as_f64().unwrap() - mean).abs() < 1e-6, "mean");
    let exact = figures.deliveries[(0.95 * (n - 1) as f64).floor() as usize];
    let found = of("delivery_p95").as_f64().unwrap();
    assert!((found - exact).abs() <= exact * RELATIVE_ERROR * 1.001, "p95: {found} for {exact}");
}

pub(crate) async fn check(
    shop: &Shop,
    engine: &Engine,
    stores: Option<&[u8]>,
    from: i32,
    to: i32,
) -> Answer {
    let asked = selection(stores, from, to);
    let answer = engine.diagnose(&asked, Missing::Wait).await.unwrap();
    let body = json(&answer);
    let list = match stores {
        Some(stores) => stores.iter().map(u8::to_string).collect::<Vec<_>>().join(","),
        None => format!(
            "SELECT \"{}\" FROM \"{}\"",
            shop.names.store,
            shop.names.table.replace('"', "\"\"")
        ),
    };
    let now = shop.figures(&list, asked.from, asked.to);
    agrees(&body["totals"], "value", &now);
    let (previous_from, previous_to) = asked.previous();
    agrees(&body["totals"], "previous", &shop.figures(&list, previous_from, previous_to));
    let ranked: i64 = body["ranking"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| cents(&r["measures"]["sales"]["value"]))
        .sum();
    assert_eq!(ranked, now.sales, "the ranking adds up");
    let daily: i64 = body["daily"]["sales"].as_array().unwrap().iter().map(cents).sum();
    assert_eq!(daily, now.sales, "the days add up");
    let products: i64 = body["products"]["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| cents(&item["sales"]))
        .sum();
    assert_eq!(products, now.sales, "the products add up");
    assert_eq!(body["missing"]["values"]["profit"].as_i64().unwrap_or(0), now.without_profit);
    answer
}

fn line() -> impl Strategy<Value = Line> {
    let money = 1i64..100_000;
    let profit = proptest::option::weighted(0.9, -5_000i64..20_000);
    let delivery = proptest::option::weighted(0.9, 1u16..2_000);
    (1u8..6, 0i32..40, 0u8..12, money, profit, 1u8..4, delivery).prop_map(
        |(store, day, product, sales, profit, orders, delivery)| Line {
            store,
            day,
            product,
            sales,
            profit,
            orders,
            delivery,
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
}

fn step() -> impl Strategy<Value = Step> {
    let stores = proptest::option::of(prop::sample::subsequence(vec![1u8, 2, 3, 4, 5], 1..5));
    prop_oneof![
        2 => line().prop_map(Step::Insert),
        1 => any::<prop::sample::Index>().prop_map(Step::Delete),
        2 => (any::<prop::sample::Index>(), line()).prop_map(|(at, line)| Step::Move(at, line)),
        4 => (stores, 0i32..40, 0i32..25).prop_map(|(stores, from, days)| Step::Ask(stores, from, from + days)),
        1 => Just(Step::Expire),
    ]
}

async fn history(names: Names, keep: ProductMetrics, lines: Vec<Line>, steps: Vec<Step>) {
    let shop = Shop::new(names);
    // Every store is there from the start, so that it can be asked for by name.
    let mut rows: Vec<(i64, Line)> = Vec::new();
    for store in 1..6 {
        let line = Line {
            store,
            day: 20,
            product: 0,
            sales: 100,
            profit: None,
            orders: 1,
            delivery: None,
        };
        shop.insert(&line);
    }
    for line in lines {
        rows.push((shop.insert(&line), line));
    }
    let engine = shop.engine(volatile().await, keep);
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
            Step::Delete(_) | Step::Move(..) => {}
        }
        if !dirty.is_empty() {
            engine.changed(dirty, Mode::Remove, "test").await.unwrap();
        }
    }
    let answer = check(&shop, &engine, None, 0, 39).await;
    assert_eq!(answer.proof.missing, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn answers_follow_every_change_that_is_told(
        chinese in any::<bool>(),
        keep in any::<bool>(),
        lines in proptest::collection::vec(line(), 0..120),
        steps in proptest::collection::vec(step(), 1..24),
    ) {
        let names = if chinese { CHINESE } else { ENGLISH };
        let keep = if keep { ProductMetrics::Keep } else { ProductMetrics::Derive };
        runtime().block_on(history(names, keep, lines, steps));
    }
}

pub(crate) fn some_lines() -> Vec<Line> {
    let line = |n: i32| Line {
        store: (n % 3 + 1) as u8,
        day: n % 40,
        product: (n % 7) as u8,
        sales: i64::from(100 + n),
        profit: Some(i64::from(n)),
        orders: 1,
        delivery: Some((n % 50 + 1) as u16),
    };
    (0..240).map(line).collect()
}

async fn shop_with_engine() -> (Shop, Engine) {
    let shop = Shop::new(ENGLISH);
    for line in some_lines() {
        shop.insert(&line);
    }
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
        let of_the_day = shop.figures("1", FIRST.plus(30), FIRST.plus(30)).lines as u64;
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
        let big = Line { store: 2, day: 30, sales: 9_999_999, ..some_lines().swap_remove(0) };
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
        let now = shop.figures("1,2,3", asked.from, asked.to);
        assert_eq!(cents(&json(&answer)["totals"]["sales"]["value"]), now.sales);
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
