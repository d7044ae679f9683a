//! Sources that fail, hang, or take their time.

use samovar_core::{Mode, Scope, Verdict};

use super::*;
use crate::support::{key, mark};

const FAIL_SAFE: Duration = Duration::from_secs(500);
const SOFT: Duration = Duration::from_millis(100);
const HARD: Duration = Duration::from_secs(2);

fn safe() -> CachePolicy {
    CachePolicy { fail_safe: FAIL_SAFE, ..policy("c") }
}

fn timed() -> CachePolicy {
    CachePolicy { soft_timeout: Some(SOFT), hard_timeout: Some(HARD), ..safe() }
}

#[test]
fn fail_safe_serves_where_a_load_fails_and_then_only() {
    test(async {
        let field = Field::new(safe()).await;
        field.holds("old").await;
        let found = field.cache.peek("k").unwrap();
        let judged = || field.cache.judge("k", &found.parts()[0], &found);
        field.clock.advance(TTL);
        assert_eq!(judged(), Verdict::Stale);
        field.clock.advance(WINDOW);
        assert!(field.cache.peek("k").is_none(), "past its window");
        assert_eq!(judged(), Verdict::Refused);
        assert!(field.cache.get("k").await.is_none());
        let asked = field.ask();
        settle().await;
        assert!(!asked.is_finished(), "it is not served before the load has failed");
        field.source.fails().await;
        assert_eq!(Told::from(asked.await.unwrap()), told(Outcome::Failed, "old"));
        assert_eq!(field.count(Counted::FailSafe), 1);
        field.clock.advance(FAIL_SAFE - Duration::from_millis(1));
        let last = field.ask();
        settle().await;
        field.clock.advance(Duration::from_millis(1));
        field.source.fails().await;
        assert_eq!(Told::from(last.await.unwrap()), failed(ErrorKind::Source), "over meanwhile");
        let asked = field.ask();
        settle().await;
        field.source.gives("new").await;
        assert_eq!(Told::from(asked.await.unwrap()), told(Outcome::Loaded, "new"));
    });
}

#[test]
fn fail_safe_never_serves_what_a_remove_covers() {
    for (mode, expected) in
        [(Mode::Remove, failed(ErrorKind::Source)), (Mode::Expire, told(Outcome::Failed, "old"))]
    {
        for is_before in [true, false] {
            test(async {
                let field = Field::new(safe()).await;
                field.holds("old").await;
                field.clock.advance(TTL + WINDOW);
                if is_before {
                    mark(&field.samovar, key("c", "k"), mode);
                }
                let asked = field.ask();
                settle().await;
                if !is_before {
                    mark(&field.samovar, key("c", "k"), mode);
                }
                field.source.fails().await;
                assert_eq!(Told::from(asked.await.unwrap()), expected, "{mode:?} {is_before}");
            });
        }
    }
}

#[test]
fn fail_safe_counts_from_an_expire() {
    test(async {
        let field = Field::new(CachePolicy { ttl: TTL * 100, ..safe() }).await;
        field.holds("old").await;
        mark(&field.samovar, Scope::Cache("c".into()), Mode::Expire);
        field.clock.advance(WINDOW);
        let asked = field.ask();
        settle().await;
        field.source.fails().await;
        assert_eq!(Told::from(asked.await.unwrap()), told(Outcome::Failed, "old"));
        field.clock.advance(FAIL_SAFE);
        let asked = field.ask();
        settle().await;
        field.source.fails().await;
        assert_eq!(Told::from(asked.await.unwrap()), failed(ErrorKind::Source));
    });
}

#[test]
fn after_the_soft_timeout_the_old_value_is_served_and_the_load_goes_on() {
    test(async {
        let field = Field::new(timed()).await;
        field.holds("old").await;
        field.clock.advance(TTL + WINDOW);
        let asked = field.ask();
        settle().await;
        // Soft, hard, the load's own limit, and what leaves memory in its time.
        assert_eq!(field.clock.sleepers(), 4);
        field.clock.advance(SOFT - Duration::from_millis(1));
        settle().await;
        assert!(!asked.is_finished());
        field.clock.advance(Duration::from_millis(1));
        assert_eq!(Told::from(asked.await.unwrap()), told(Outcome::Stale, "old"));
        assert_eq!((field.source.reading(), field.count(Counted::SoftTimeout)), (1, 1));
        field.source.gives("new").await;
        assert_eq!(field.told().await, told(Outcome::Hit, "new"));
        assert_eq!(field.source.asked(), 2);
    });
}

#[test]
fn the_soft_timeout_never_gives_what_was_removed_while_it_waited() {
    test(async {
        let field = Field::new(timed()).await;
        field.holds("old").await;
        field.clock.advance(TTL + WINDOW);
        let asked = field.ask();
        settle().await;
        mark(&field.samovar, key("c", "k"), Mode::Remove);
        field.clock.advance(SOFT);
        settle().await;
        assert!(!asked.is_finished(), "it waits for the load");
        field.source.gives("new").await;
        assert_eq!(Told::from(asked.await.unwrap()), told(Outcome::Loaded, "new"));
    });
}

#[test]
fn with_nothing_to_give_the_hard_timeout_is_an_error_and_the_load_goes_on() {
    test(async {
        let field = Field::new(timed()).await;
        let asked = field.ask();
        settle().await;
        field.clock.advance(SOFT);
        settle().await;
        assert!(!asked.is_finished(), "there is nothing to give");
        let patient = ReadOptions { hard_timeout: Some(Duration::MAX), ..ReadOptions::default() };
        let other = field.ask_with("k", patient);
        settle().await;
        field.clock.advance(HARD - SOFT);
        settle().await;
        let error = asked.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.to_string().starts_with("c:k was not loaded within 2s"), "{error}");
        assert_eq!((field.source.reading(), field.count(Counted::HardTimeout)), (1, 1));
        other.abort();
        settle().await;
        assert_eq!(field.source.reading(), 1, "it goes on although nobody waits");
        field.source.gives("v").await;
        assert_eq!(field.told().await, told(Outcome::Hit, "v"));
    });
}

#[test]
fn at_the_hard_timeout_fail_safe_serves_the_old_value() {
    test(async {
        let field = Field::new(CachePolicy { soft_timeout: None, ..timed() }).await;
        field.holds("old").await;
        field.clock.advance(TTL + WINDOW);
        let asked = field.ask();
        settle().await;
        field.clock.advance(HARD);
        settle().await;
        let answer = asked.await.unwrap().unwrap();
        assert_eq!(answer.problem.as_ref().map(Error::kind), Some(ErrorKind::Timeout));
        assert_eq!(Told::from(Ok(answer)), told(Outcome::Failed, "old"));
    });
}

#[test]
fn a_load_that_hangs_is_given_up() {
    test(async {
        let limit = Duration::from_secs(30);
        let rest = Duration::from_secs(5);
        let policy = CachePolicy { load_limit: Some(limit), throttle: rest, ..policy("c") };
        let field = Field::new(policy).await;
        let asked = field.ask();
        settle().await;
        field.clock.advance(limit);
        settle().await;
        let error = asked.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.to_string().contains("c:k was given up after 30s"), "{error}");
        assert_eq!((field.source.reading(), field.count(Counted::LoadFailed)), (0, 1));
        assert_eq!(field.told().await, failed(ErrorKind::Throttled), "it counts as failed");
        field.clock.advance(rest);
        let asked = field.ask();
        settle().await;
        field.source.gives("v").await;
        assert_eq!(Told::from(asked.await.unwrap()), told(Outcome::Loaded, "v"));
    });
}

#[test]
fn a_source_that_failed_rests() {
    test(async {
        let rest = Duration::from_secs(5);
        let field = Field::new(CachePolicy { throttle: rest, ..safe() }).await;
        let asked = field.ask();
        settle().await;
        field.source.fails().await;
        assert_eq!(Told::from(asked.await.unwrap()), failed(ErrorKind::Source));
        let asked = field.ask();
        settle().await;
        let error = asked.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Throttled);
        assert!(error.to_string().ends_with("down"), "it tells why: {error}");
        assert_eq!((field.source.asked(), field.count(Counted::Throttled)), (1, 1));
        let other = field.ask_with("l", ReadOptions::default());
        settle().await;
        assert_eq!(field.source.asked(), 2, "another key is asked for");
        field.source.gives("v").await;
        assert!(other.await.unwrap().is_ok());
        field.clock.advance(rest - Duration::from_millis(1));
        assert_eq!(field.told().await, failed(ErrorKind::Throttled));
        field.clock.advance(Duration::from_millis(1));
        field.holds("v").await;
        // With something to give it is given.
        field.clock.advance(TTL + WINDOW);
        let asked = field.ask();
        settle().await;
        field.source.fails().await;
        assert_eq!(Told::from(asked.await.unwrap()), told(Outcome::Failed, "v"));
        assert_eq!(field.told().await, told(Outcome::Throttled, "v"));
        assert_eq!(field.source.asked(), 4);
        mark(&field.samovar, key("c", "k"), Mode::Remove);
        assert_eq!(field.told().await, failed(ErrorKind::Throttled));
    });
}

#[test]
fn who_waits_behind_a_load_that_fails_does_not_ask_again() {
    test(async {
        let field = Field::new(CachePolicy { throttle: SECOND, ..policy("c") }).await;
        let first = field.ask();
        settle().await;
        mark(&field.samovar, key("c", "k"), Mode::Remove);
        let second = field.ask();
        settle().await;
        field.source.fails().await;
        assert_eq!(Told::from(first.await.unwrap()), failed(ErrorKind::Source));
        assert_eq!(Told::from(second.await.unwrap()), failed(ErrorKind::Throttled));
        assert_eq!(field.source.asked(), 1);
    });
}

#[test]
fn a_refresh_that_fails_is_throttled() {
    test(async {
        let field = Field::new(CachePolicy { throttle: SECOND, ..policy("c") }).await;
        field.holds("old").await;
        field.clock.advance(TTL);
        for round in 0..3 {
            for _ in 0..10 {
                assert_eq!(field.told().await, told(Outcome::Stale, "old"));
            }
            assert_eq!(field.source.asked(), 2 + round);
            field.source.fails().await;
            for _ in 0..10 {
                assert_eq!(field.told().await, told(Outcome::Stale, "old"));
            }
            assert_eq!(field.source.asked(), 2 + round, "it rests");
            assert_eq!(field.count(Counted::Refresh), 1 + round as u64, "nobody begins in vain");
            field.clock.advance(SECOND);
        }
    });
}

#[test]
fn a_loader_that_says_what_cannot_be_has_failed() {
    test(async {
        let field = Field::new(CachePolicy { throttle: SECOND, ..policy("c") }).await;
        let asked = field.ask();
        settle().await;
        field.source.says(Ok(Loaded::unmodified())).await;
        assert_eq!(Told::from(asked.await.unwrap()), failed(ErrorKind::Invalid));
        assert_eq!(field.told().await, failed(ErrorKind::Throttled));
        assert_eq!(field.count(Counted::LoadFailed), 1);
    });
}

#[test]
fn a_panic_is_an_error_and_counts_as_failed() {
    test(async {
        let field = Field::new(CachePolicy { throttle: SECOND, ..safe() }).await;
        let panics = |_: Load<String>| async { panic!("the loader is broken") };
        let at_once = |_: Load<String>| -> BoxFuture<'static, Says> { panic!("at once") };
        for (text, told) in [
            ("the loader is broken", field.cache.get_or_load::<_, _, String>("k", panics).await),
            ("at once", field.cache.get_or_load("l", at_once).await),
        ] {
            let error = told.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Source);
            assert!(error.to_string().contains(text), "{error}");
        }
        assert_eq!(field.told().await, failed(ErrorKind::Throttled));
        field.clock.advance(SECOND);
        field.holds("old").await;
        field.clock.advance(TTL);
        // In the background it harms nobody.
        let answer = field.cache.get_or_load::<_, _, String>("k", panics).await;
        assert_eq!(Told::from(answer), told(Outcome::Stale, "old"));
        settle().await;
        assert_eq!(field.count(Counted::LoadFailed), 3);
        field.clock.advance(WINDOW);
        let answer = field.cache.get_or_load::<_, _, String>("k", panics).await;
        assert_eq!(Told::from(answer), told(Outcome::Failed, "old"));
    });
}
