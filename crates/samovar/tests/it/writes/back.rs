//! Write-back: what is acknowledged is read here, comes to the source in order, and nothing drops it.

use std::collections::HashSet;

use samovar::{LoadMany, check};
use samovar_core::Scope;
use samovar_testkit::log::StepLog;

use super::*;
use crate::support::whole;

fn value(found: Option<samovar::Found<String>>) -> Option<String> {
    found.map(|found| found.value().to_string())
}

/// What every kind of read says of a key that stands in the journal.
async fn reads(shop: &Shop, key: &str) -> Option<String> {
    let asked = shop.source.asked().len();
    let peeked = shop.peek(key);
    let names = &shop.names;
    assert_eq!(value(names.get(key).await), peeked);
    assert_eq!(value(names.get_many(&[key]).await.remove(0)), peeked);
    let outcome = if peeked.is_some() { Outcome::Hit } else { Outcome::Negative };
    assert_eq!(shop.read(key).await, (peeked.clone(), outcome));
    let anew = ReadOptions { refresh: true, skip_memory: true, ..ReadOptions::default() };
    let load = |_| async { Ok(Some("of the source".to_owned())) };
    let answer = names.get_or_load_with(key, anew.clone(), load).await.unwrap();
    assert_eq!(answer.value.map(|value| value.to_string()), peeked, "nobody asks the source");
    let load = |load: LoadMany| async move {
        assert!(load.keys().iter().all(|key| &**key == "another"));
        Ok([("another", Some("of the source".to_owned()))])
    };
    let mut many = names.get_or_load_many(&[key, "another"], anew, load).await;
    assert_eq!(many.pop().unwrap().unwrap().value.unwrap().as_str(), "of the source");
    let answer = many.pop().unwrap().unwrap();
    assert_eq!(
        (answer.value.map(|value| value.to_string()), answer.outcome),
        (peeked.clone(), outcome)
    );
    assert_eq!(shop.source.asked().len(), asked);
    peeked
}

#[test]
fn what_was_written_is_read_here_while_the_source_is_away_and_after_a_restart() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        let mut shop = Shop::new(Some(directory.path()), back()).await;
        for (key, value) in [("42", "Tea"), ("43", "Milk")] {
            shop.source.inside().rows.insert(key.into(), value.into());
            shop.read(key).await;
        }
        let never = shop.source.waits();
        let written = shop.write("42", "Green tea").await.unwrap();
        assert_eq!(written.version, None);
        shop.write("42", "Black tea").await.unwrap();
        shop.names.delete("43").await.unwrap();
        for round in 0..2 {
            assert_eq!(shop.names.unwritten(), 3);
            assert_eq!(reads(&shop, "42").await.unwrap(), "Black tea", "round {round}");
            assert_eq!(reads(&shop, "43").await, None);
            // What is filled meanwhile is not kept, and no mark drops what was acknowledged.
            shop.names.put("42", "Tea".to_owned(), whole(&shop.samovar));
            for scope in [key("names", "42"), Scope::Cache("names".into()), Scope::Everything] {
                shop.samovar.mark(vec![scope], Mode::Remove, "test").await.unwrap();
            }
            shop.names.remove("42").await;
            assert_eq!(reads(&shop, "42").await.unwrap(), "Black tea");
            assert_eq!(
                (shop.source.row("42").unwrap(), shop.source.row("43").unwrap()),
                ("Tea".into(), "Milk".into())
            );
            if round == 0 {
                shop.close().await;
                let _hangs = shop.source.waits();
                std::mem::forget(_hangs);
                shop = Shop::over(shop.source, Some(directory.path()), back()).await;
            }
        }
        drop(never);
        shop.close().await;
        shop.source.inside().acts.clear();
        let shop = Shop::over(shop.source, Some(directory.path()), back()).await;
        shop.settled_in_time().await;
        assert_eq!(
            (shop.source.row("42").unwrap(), shop.source.row("43")),
            ("Black tea".into(), None)
        );
        let last = shop.source.asked();
        let first = last.iter().position(|(id, ..)| *id == written.id).unwrap();
        let values: Vec<_> =
            last[last.len() - 3..].iter().map(|(_, _, value)| value.as_deref()).collect();
        assert_eq!(
            values,
            [Some("Green tea"), Some("Black tea"), None],
            "in order, by the same names"
        );
        assert_eq!(last[first].0, last[last.len() - 3].0);
    });
}

#[test]
fn it_leaves_the_journal_once_its_mark_is_durable_and_applied() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        let clock = FakeClock::at(START);
        let log = StepLog::at_once();
        let settings = Settings {
            log: Some(Arc::clone(&log) as Arc<dyn samovar_core::MarkLog>),
            ..settings(Some(directory.path()), &clock)
        };
        let shop = Shop::with(Arc::default(), settings, clock, back()).await;
        log.set_at_once(false);
        shop.write("42", "Green tea").await.unwrap();
        until(|| log.waiting() == 1).await;
        assert_eq!(shop.source.row("42").unwrap(), "Green tea");
        assert_eq!(shop.names.unwritten(), 1, "its mark is not durable");
        log.commit();
        goes_on().await;
        assert_eq!(
            (shop.names.unwritten(), shop.peek("42")),
            (1, Some("Green tea".into())),
            "it is not applied"
        );
        log.show();
        shop.settled().await;
        assert_eq!(shop.read("42").await, (Some("Green tea".into()), Outcome::Hit), "it is kept");
        log.set_at_once(true);
    });
}

#[test]
fn the_log_s_failure_is_waited_out() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        let clock = FakeClock::at(START);
        let log = StepLog::at_once();
        let settings = Settings {
            log: Some(Arc::clone(&log) as Arc<dyn samovar_core::MarkLog>),
            ..settings(Some(directory.path()), &clock)
        };
        let shop = Shop::with(Arc::default(), settings, clock, back()).await;
        log.set_at_once(false);
        let written = shop.write("42", "Green tea").await.unwrap();
        until(|| log.waiting() == 1).await;
        log.fail(false);
        log.set_at_once(true);
        while shop.names.unwritten() > 0 {
            assert_eq!(shop.peek("42").unwrap(), "Green tea");
            shop.clock.advance(Duration::from_millis(50));
            log.commit();
            log.show();
            tokio::task::yield_now().await;
        }
        let asked = shop.source.asked();
        assert!(
            asked.len() > 1 && asked.iter().all(|(id, ..)| *id == written.id),
            "repeated by its name"
        );
    });
}

#[test]
fn writes_of_a_key_come_in_order_whatever_fails() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        let shop =
            Shop::new(Some(directory.path()), CachePolicy { write_attempts: 1_000, ..back() })
                .await;
        let fail = |at: usize| match at % 5 {
            0 => Act::Fail,
            2 => Act::Lose { committed: true },
            3 => Act::Lose { committed: false },
            _ => Act::Do,
        };
        shop.source.will((0..60).map(fail));
        let mut writing = Vec::new();
        for number in 0..100 {
            writing.push(shop.begin(&(number % 5).to_string(), &number.to_string()));
            if number % 7 == 0 {
                tokio::task::yield_now().await;
            }
        }
        let mut ids = Vec::new();
        for begun in writing {
            ids.push(begun.await.unwrap().unwrap().id);
        }
        let order = |number: &usize| ids[*number].number;
        while shop.names.unwritten() > 0 {
            shop.clock.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
        for key in 0..5 {
            let asked = shop.source.asked();
            let of_key = asked.iter().filter(|(_, own, _)| *own == key.to_string());
            let numbers: Vec<u64> = of_key.map(|(id, ..)| id.number).collect();
            assert!(numbers.is_sorted(), "one may come again, none too early: {numbers:?}");
            let distinct: HashSet<&u64> = numbers.iter().collect();
            assert_eq!(distinct.len(), 20, "{numbers:?}");
            // They were begun at once: which of them is the last, their numbers say.
            let last = (0..100).filter(|number| number % 5 == key).max_by_key(order).unwrap();
            assert_eq!(shop.source.row(&key.to_string()).unwrap(), last.to_string());
        }
        assert!(shop.source.asked().len() > 100, "some came again");
        assert!(shop.samovar.dead_letters().is_empty());
    });
}

#[test]
fn what_nobody_knows_is_tried_again_when_it_can_no_longer_be_committed() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        let shop = Shop::new(Some(directory.path()), back()).await;
        shop.source.will([Act::Lose { committed: false }]);
        let sleepers = shop.clock.sleepers();
        let written = shop.write("42", "one").await.unwrap();
        shop.write("42", "two").await.unwrap();
        until(|| shop.source.asked().len() == 1 && shop.clock.sleepers() > sleepers).await;
        shop.clock.advance(DEADLINE - Duration::from_secs(1));
        goes_on().await;
        assert_eq!(shop.source.asked().len(), 1, "a newer one could be overtaken");
        // It is committed late, and for nothing.
        shop.source.inside().rows.insert("42".into(), "one".into());
        shop.clock.advance(Duration::from_secs(1));
        shop.settled().await;
        let asked: Vec<_> = shop.source.asked().into_iter().map(|(id, ..)| id).collect();
        assert_eq!(asked[..2], [written.id; 2]);
        assert_eq!(shop.source.row("42").unwrap(), "two");
    });
}

#[test]
fn another_mark_while_it_is_written_keeps_it_from_being_kept() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        let shop = Shop::new(Some(directory.path()), back()).await;
        let go = shop.source.waits();
        shop.write("42", "Green tea").await.unwrap();
        until(|| shop.source.asked().len() == 1).await;
        shop.remove("42").await;
        assert_eq!(shop.peek("42").unwrap(), "Green tea");
        go.send(Act::Do).unwrap();
        shop.settled().await;
        assert_eq!(shop.read("42").await, (Some("Green tea".into()), Outcome::Loaded));
    });
}

#[test]
fn a_load_that_began_before_brings_nothing_old_back() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        let shop = Shop::new(Some(directory.path()), back()).await;
        let (send, row) = oneshot::channel::<Option<String>>();
        let cache = shop.names.clone();
        let load = tokio::spawn(async move {
            cache.get_or_load("42", |_| async { Ok(row.await.unwrap()) }).await
        });
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        shop.write("42", "Green tea").await.unwrap();
        shop.settled().await;
        send.send(Some("Tea".into())).unwrap();
        let answer = load.await.unwrap().unwrap();
        assert_eq!(answer.value.unwrap().as_str(), "Tea", "who asked before");
        assert_eq!(shop.read("42").await.0.unwrap(), "Green tea");
    });
}

#[test]
fn it_needs_a_directory() {
    test(async {
        let shop = Shop::new(None, back()).await;
        let error = shop.write("42", "Green tea").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("no data_dir"), "{error}");
        let said = shop.samovar.counters().notices();
        assert!(said[0].text.contains("cache \"names\", strategy"), "{said:?}");
        let problems = check(&Settings::default(), &[back()]);
        assert_eq!((problems.len(), problems[0].field), (1, "strategy"));
        let directory = Settings { data_dir: Some("/var/lib/shop".into()), ..Settings::default() };
        assert_eq!(check(&directory, &[back()]), []);
        let never = CachePolicy { write_attempts: 0, ..back() };
        assert_eq!(check(&directory, &[never])[0].field, "write_attempts");
    });
}

#[test]
fn without_a_writer_it_comes_to_the_tiers_after() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        let clock = FakeClock::at(START);
        let open = || Samovar::open(settings(Some(directory.path()), &clock));
        let samovar = open().await.unwrap();
        let cache = samovar.cache::<String>(back());
        cache.write("42", "Green tea".to_owned()).await.unwrap();
        cache.write("43", "Milk".to_owned()).await.unwrap();
        assert_eq!(*cache.peek("42").unwrap().value(), "Green tea");
        cache.delete("43").await.unwrap();
        assert!(cache.peek("43").is_none());
        until(|| cache.unwritten() == 0).await;
        assert_eq!(*cache.peek("42").unwrap().value(), "Green tea");
        assert!(cache.get("43").await.is_none());
        samovar.close().await.unwrap();
        let samovar = open().await.unwrap();
        let cache = samovar.cache::<String>(back());
        assert_eq!(cache.unwritten(), 0);
        assert_eq!(*cache.get("42").await.unwrap().value(), "Green tea");
        assert!(cache.get("43").await.is_none());
    });
}

#[test]
fn what_is_for_a_writer_waits_for_one() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        let shop = Shop::stopped_before(directory.path(), &[("42", "Green tea")]).await;
        shop.source.inside().acts.clear();

        // The strategy is another now, and at first nobody writes.
        let clock = FakeClock::at(START);
        let samovar = Samovar::open(settings(Some(directory.path()), &clock)).await.unwrap();
        let cache = samovar.cache::<String>(by(Strategy::CacheAside));
        goes_on().await;
        assert_eq!((cache.unwritten(), &**cache.peek("42").unwrap().value()), (1, "Green tea"));
        let go = shop.source.waits();
        let writer = Arc::clone(&shop.source) as Arc<dyn Writer<_>>;
        let sleepers = clock.sleepers();
        let cache = samovar.cache_with_writer::<String>(by(Strategy::CacheAside), writer);
        // What may have been sent before is waited for.
        until(|| clock.sleepers() > sleepers).await;
        clock.advance(DEADLINE);
        until(|| !shop.source.inside().acts.is_empty() || shop.source.asked().len() > 1).await;
        // Behind what was acknowledged before.
        cache.write("42", "Black tea".to_owned()).await.unwrap();
        assert_eq!(*cache.peek("42").unwrap().value(), "Black tea");
        go.send(Act::Do).unwrap();
        until(|| cache.unwritten() == 0).await;
        assert_eq!(shop.source.row("42").unwrap(), "Black tea");
        cache.write("42", "White tea".to_owned()).await.unwrap();
        assert_eq!((shop.source.row("42").unwrap(), cache.unwritten()), ("White tea".into(), 0));
    });
}

#[test]
fn caches_of_one_directory_share_a_journal() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        let shop = Shop::new(Some(directory.path()), back()).await;
        let other = Arc::new(Source::default());
        let never = other.waits();
        let policy = CachePolicy { strategy: Strategy::WriteBack, ..policy("prices") };
        let prices = shop
            .samovar
            .cache_with_writer::<String>(policy, Arc::clone(&other) as Arc<dyn Writer<_>>);
        prices.write("42", "12.50".to_owned()).await.unwrap();
        shop.write("42", "Green tea").await.unwrap();
        shop.settled().await;
        assert_eq!(
            (prices.unwritten(), other.row("42")),
            (1, None),
            "one waits for none but its own source"
        );
        assert_eq!(*prices.peek("42").unwrap().value(), "12.50");
        drop(never);
    });
}

#[test]
fn a_handle_of_before_reads_what_another_of_its_name_writes_back() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        let before = Shop::new(Some(directory.path()), by(Strategy::CacheAside)).await;
        before.write("41", "Milk").await.unwrap();
        assert_eq!(
            (before.source.row("41").unwrap(), before.names.unwritten()),
            ("Milk".into(), 0)
        );
        let writer = Arc::clone(&before.source) as Arc<dyn Writer<_>>;
        let names = before.samovar.cache_with_writer::<String>(back(), writer);
        let go = before.source.waits();
        names.write("42", "Green tea".to_owned()).await.unwrap();
        assert_eq!((before.names.unwritten(), before.peek("42")), (1, Some("Green tea".into())));
        // Behind what was acknowledged before.
        before.write("42", "Black tea").await.unwrap();
        assert_eq!(value(names.peek("42")).unwrap(), "Black tea");
        go.send(Act::Do).unwrap();
        before.settled().await;
        assert_eq!(before.source.row("42").unwrap(), "Black tea");
    });
}

#[test]
fn what_goes_behind_another_s_write_is_brought_to_its_own_source() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        let before = Shop::new(Some(directory.path()), by(Strategy::CacheAside)).await;
        // Without a writer: it is for the tiers alone.
        let names = before.samovar.cache::<String>(back());
        names.write("42", "Green tea".to_owned()).await.unwrap();
        before.write("42", "Black tea").await.unwrap();
        before.settled().await;
        assert_eq!(before.source.row("42").unwrap(), "Black tea");
    });
}
