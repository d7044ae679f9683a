//! Write-through: the source, the mark, and what is kept.

use futures_util::FutureExt;
use samovar::{Settings, WriteOptions};
use samovar_core::{Scope, Tags};
use samovar_testkit::log::StepLog;

use super::*;
use crate::support::whole;

fn through() -> CachePolicy {
    by(Strategy::WriteThrough)
}

#[test]
fn what_is_written_is_kept_and_nothing_older_comes_back() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        let shop = Shop::new(Some(directory.path()), through()).await;
        let before = whole(&shop.samovar);
        let brief = WriteOptions { ttl: Some(Duration::from_secs(7)), ..WriteOptions::default() };
        let written = shop.names.write_with("42", "Green tea".to_owned(), brief).await.unwrap();
        let found = shop.names.peek("42").expect("it is kept");
        assert_eq!(found.lifetime().ttl, Duration::from_secs(7));
        assert_eq!(Some(found.parts()[0].stamp.version), written.version, "at its own mark");
        assert_eq!(shop.source.row("42").unwrap(), "Green tea");
        // A load that began before and comes now.
        shop.names.put("42", "Tea".to_owned(), before);
        assert_eq!(shop.peek("42").unwrap(), "Green tea");
        assert_eq!(shop.read("42").await, (Some("Green tea".into()), Outcome::Hit));
        shop.names.delete("42").await.unwrap();
        assert_eq!((shop.peek("42"), shop.source.row("42")), (None, None));
        shop.close().await;
        let again = Shop::over(Arc::clone(&shop.source), Some(directory.path()), through()).await;
        assert_eq!(again.samovar.counters().notices(), [], "no intent is left");
    });
}

#[test]
fn another_mark_since_the_token_keeps_it_from_being_kept() {
    test(async {
        let tags = Tags::new(["season:summer"]).unwrap();
        let marks = [
            (key("names", "42"), false),
            (Scope::Cache("names".into()), false),
            (Scope::Tag("season:summer".into()), false),
            (Scope::Pattern("names:4*".parse().unwrap()), false),
            (key("names", "43"), true),
            (Scope::Tag("season:winter".into()), true),
        ];
        for (scope, is_kept) in marks {
            let shop = Shop::new(None, through()).await;
            let go = shop.source.waits();
            let options = WriteOptions { tags: tags.clone(), ..WriteOptions::default() };
            let cache = shop.names.clone();
            let begun = tokio::spawn(async move {
                cache.write_with("42", "Green tea".to_owned(), options).await
            });
            until(|| shop.source.asked().len() == 1).await;
            // As when another has written the same row: which came first nobody knows here.
            shop.samovar.mark(vec![scope.clone()], Mode::Remove, "test").await.unwrap();
            go.send(Act::Do).unwrap();
            begun.await.unwrap().unwrap();
            assert_eq!(shop.peek("42").is_some(), is_kept, "{scope}");
            let (read, _) = shop.read("42").await;
            assert_eq!(read.unwrap(), "Green tea");
        }
    });
}

#[test]
fn of_two_at_once_neither_is_kept_unless_it_began_after_the_other_s_mark() {
    test(async {
        let shop = Shop::new(None, through()).await;
        let (first, second) = (shop.source.waits(), shop.source.waits());
        let one = shop.begin("42", "one");
        until(|| shop.source.asked().len() == 1).await;
        let two = shop.begin("42", "two");
        until(|| shop.source.asked().len() == 2).await;
        second.send(Act::Do).unwrap();
        two.await.unwrap().unwrap();
        first.send(Act::Do).unwrap();
        one.await.unwrap().unwrap();
        assert_eq!(shop.peek("42"), None);
        assert_eq!(shop.read("42").await.0, shop.source.row("42"));
        shop.write("42", "three").await.unwrap();
        assert_eq!(shop.peek("42").unwrap(), "three");
    });
}

#[test]
fn what_fails_is_told_and_marked_and_not_kept() {
    test(async {
        for (act, expects) in [(Act::Refuse, Fate::Refused), (Act::Fail, Fate::NotWritten)] {
            let directory = tempfile::tempdir().unwrap();
            let shop = Shop::new(Some(directory.path()), through()).await;
            shop.write("42", "Tea").await.unwrap();
            shop.source.will([act]);
            assert_eq!(fate(shop.write("42", "Green tea").await), (ErrorKind::Source, expects));
            assert_eq!(shop.peek("42"), None);
            assert_eq!(shop.read("42").await, (Some("Tea".into()), Outcome::Loaded));
            // It is known that the source will not have it: what was read since stays.
            shop.clock.advance(DEADLINE);
            shop.close().await;
            let again =
                Shop::over(Arc::clone(&shop.source), Some(directory.path()), through()).await;
            assert_eq!(again.samovar.counters().notices(), []);
        }
    });
}

/// Fails so that nobody knows; then the source commits late, after somebody has read the old row.
async fn commits_late(shop: &Shop, written: Result<Written, Error>, expects: ErrorKind) {
    assert_eq!(fate(written), (expects, Fate::Unknown));
    assert_eq!(shop.peek("42"), None, "nothing is kept");
    assert_eq!(shop.read("42").await, (Some("Tea".into()), Outcome::Loaded));
    shop.source.inside().rows.insert("42".into(), "Green tea".into());
    assert_eq!(shop.peek("42").unwrap(), "Tea", "which nobody can know yet");
    shop.clock.advance(DEADLINE);
    until(|| shop.peek("42").is_none()).await;
    assert_eq!(shop.read("42").await, (Some("Green tea".into()), Outcome::Loaded));
}

#[test]
fn of_what_nobody_knows_the_mark_is_repeated_after_the_deadline() {
    test(async {
        for act in [Act::Lose { committed: false }, Act::Panic] {
            let shop = Shop::new(None, through()).await;
            shop.write("42", "Tea").await.unwrap();
            shop.source.will([act]);
            let written = shop.write("42", "Green tea").await;
            commits_late(&shop, written, ErrorKind::Source).await;
        }
    });
}

#[test]
fn a_source_that_does_not_answer_is_given_up_after_the_deadline() {
    test(async {
        let shop = Shop::new(None, through()).await;
        shop.write("42", "Tea").await.unwrap();
        let sleepers = shop.clock.sleepers();
        let _never = shop.source.waits();
        let begun = shop.begin("42", "Green tea");
        until(|| shop.clock.sleepers() > sleepers).await;
        shop.clock.advance(DEADLINE);
        assert_eq!(fate(begun.await.unwrap()), (ErrorKind::Timeout, Fate::Unknown));
        // By then the source can commit it no longer: it is marked at once.
        assert_eq!(shop.peek("42"), None);
    });
}

#[test]
fn what_was_under_way_when_the_process_ended_is_marked_when_it_is_opened_again() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        let shop = Shop::new(Some(directory.path()), through()).await;
        for (key, value) in [("42", "Tea"), ("43", "Milk")] {
            shop.write(key, value).await.unwrap();
        }
        shop.samovar.flush().await.unwrap();
        let never = shop.source.waits();
        let begun = shop.begin("42", "Green tea");
        until(|| shop.source.asked().len() == 3).await;
        // As when it dies: the task ends where it waits, and nothing is marked.
        shop.close().await;
        assert_eq!(begun.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
        drop(never);

        let shop = Shop::over(Arc::clone(&shop.source), Some(directory.path()), through()).await;
        let said = shop.samovar.counters().notices();
        assert!(said[0].text.contains("1 writes were under way"), "{said:?}");
        assert!(shop.names.get("42").await.is_none(), "not even as stale");
        let other = shop.names.get("43").await.expect("it is on disk");
        assert_eq!(other.verdict, Verdict::Stale);
        // The source may still commit it.
        assert_eq!(shop.read("42").await, (Some("Tea".into()), Outcome::Loaded));
        shop.source.inside().rows.insert("42".into(), "Green tea".into());
        shop.clock.advance(DEADLINE);
        until(|| shop.peek("42").is_none()).await;
        assert_eq!(shop.read("42").await.0.unwrap(), "Green tea");
        // Then it is done with; or they are marked once more, if it was closed before it had noted that.
        let (mut shop, mut rounds) = (shop, 0);
        loop {
            until(|| shop.samovar.fence().pending() == 0).await;
            goes_on().await;
            shop.close().await;
            shop = Shop::over(Arc::clone(&shop.source), Some(directory.path()), through()).await;
            if shop.samovar.counters().notices().is_empty() {
                break;
            }
            rounds += 1;
            assert!(rounds < 20, "it is never done with");
            goes_on().await;
            shop.clock.advance(DEADLINE);
            goes_on().await;
        }
    });
}

#[test]
fn without_a_writer_it_is_in_every_tier() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        let clock = FakeClock::at(START);
        let open = || Samovar::open(settings(Some(directory.path()), &clock));
        let samovar = open().await.unwrap();
        let cache = samovar.cache::<String>(through());
        let before = whole(&samovar);
        cache.write("42", "Green tea".to_owned()).await.unwrap();
        cache.put("42", "Tea".to_owned(), before);
        assert_eq!(*cache.peek("42").unwrap().value(), "Green tea");
        cache.write("43", "Milk".to_owned()).await.unwrap();
        cache.delete("43").await.unwrap();
        assert!(cache.get("43").await.is_none());
        // What was not durable is gone.
        let copy = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(directory.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
        let left = Samovar::open(settings(Some(copy.path()), &clock)).await.unwrap();
        let cache = left.cache::<String>(through());
        assert_eq!(*cache.get("42").await.expect("it is on disk").value(), "Green tea");
        assert!(cache.get("43").await.is_none());
    });
}

#[test]
fn where_others_outlive_the_process_an_intent_needs_a_directory() {
    test(async {
        let clock = FakeClock::at(START);
        let redis = samovar::redis::RedisSettings::standalone(["redis://127.0.0.1:1"]).unwrap();
        let settings = Settings { redis: Some(redis), ..settings(None, &clock) };
        let shop = Shop::with(Arc::default(), settings, clock, through()).await;
        let error = shop.write("42", "Tea").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("data_dir"), "{error}");
        assert!(shop.source.asked().is_empty(), "the source was left alone");
    });
}

#[test]
fn without_a_source_a_mark_that_comes_right_behind_its_own_is_obeyed() {
    test(async {
        let log = StepLog::new();
        let settings = Settings { log: Some(Arc::clone(&log) as _), ..Settings::default() };
        let samovar = Samovar::open(settings).await.unwrap();
        let names = samovar.cache::<String>(through());
        let writing = tokio::spawn({
            let names = names.clone();
            async move { names.write("42", "Tea".to_owned()).await }
        });
        until(|| log.waiting() == 1).await;
        log.commit();
        log.show();
        // Its task does not run meanwhile: it has this thread alone.
        while samovar.fence().pending() > 0 {
            std::thread::yield_now();
        }
        let marking = samovar.mark(vec![key("names", "42")], Mode::Remove, "gone");
        let mut marking = std::pin::pin!(marking);
        assert!((&mut marking).now_or_never().is_none());
        writing.await.unwrap().unwrap();
        assert_eq!(names.peek("42").map(|found| found.value().clone()), None, "it acts at once");
        log.commit();
        log.show();
        marking.await.unwrap();
        assert!(names.get("42").await.is_none());
    });
}
