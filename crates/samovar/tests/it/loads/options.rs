//! What one call wants otherwise.

use samovar_core::{Mode, Scope, Tags};

use super::*;
use crate::support::mark;

#[test]
fn a_call_may_want_another_lifetime() {
    test(async {
        let field = Field::new(policy("c")).await;
        let short = ReadOptions {
            ttl: Some(SECOND),
            stale_window: Some(SECOND * 2),
            ..ReadOptions::default()
        };
        let asked = field.ask_with("k", short);
        settle().await;
        field.source.gives("v").await;
        asked.await.unwrap().unwrap();
        assert_eq!(field.told().await, told(Outcome::Hit, "v"));
        field.clock.advance(SECOND);
        assert_eq!(field.told().await, told(Outcome::Stale, "v"), "whoever asks");
        field.source.fails().await;
        field.clock.advance(SECOND * 2);
        assert!(field.cache.peek("k").is_none());
    });
}

#[test]
fn a_call_may_wait_for_what_is_new() {
    test(async {
        let field = Field::new(policy("c")).await;
        field.holds("old").await;
        field.clock.advance(TTL);
        let waits = ReadOptions {
            stale_window: Some(Duration::ZERO),
            soft_timeout: Some(SECOND),
            ..ReadOptions::default()
        };
        let asked = field.ask_with("k", waits.clone());
        settle().await;
        assert!(!asked.is_finished());
        field.clock.advance(SECOND);
        assert_eq!(Told::from(asked.await.unwrap()), told(Outcome::Stale, "old"));
        let asked = field.ask_with("k", waits);
        settle().await;
        field.source.gives("new").await;
        assert_eq!(Told::from(asked.await.unwrap()), told(Outcome::Loaded, "new"));
        assert_eq!(field.source.asked(), 2);
    });
}

#[test]
fn a_call_may_allow_less_and_never_more_than_is_kept() {
    test(async {
        let fail_safe = SECOND * 10;
        let field = Field::new(CachePolicy { fail_safe, ..policy("c") }).await;
        let fails = |options: ReadOptions| async {
            let asked = field.ask_with("k", options);
            settle().await;
            field.source.fails().await;
            Told::from(asked.await.unwrap())
        };
        field.holds("old").await;
        let safe = |time| ReadOptions { fail_safe: Some(time), ..ReadOptions::default() };
        field.clock.advance(TTL + WINDOW + SECOND * 5);
        assert_eq!(fails(safe(Duration::ZERO)).await, failed(ErrorKind::Source));
        assert_eq!(fails(safe(SECOND * 5)).await, failed(ErrorKind::Source));
        assert_eq!(fails(safe(SECOND * 6)).await, told(Outcome::Failed, "old"));
        let wide = ReadOptions { stale_window: Some(WINDOW * 2), ..ReadOptions::default() };
        assert_eq!(field.told_with(wide.clone()).await, told(Outcome::Stale, "old"));
        field.source.fails().await;
        field.clock.advance(SECOND * 5);
        assert_eq!(fails(safe(SECOND * 100)).await, failed(ErrorKind::Source));
        assert_eq!(fails(wide).await, failed(ErrorKind::Source));
    });
}

#[test]
fn a_call_may_pass_over_memory() {
    test(async {
        let field = Field::new(policy("c")).await;
        field.holds("kept").await;
        let skips = ReadOptions { skip_memory: true, ..ReadOptions::default() };
        let all = [field.ask_with("k", skips.clone()), field.ask_with("k", skips)];
        settle().await;
        field.source.gives("read").await;
        for asked in all {
            assert_eq!(Told::from(asked.await.unwrap()), told(Outcome::Loaded, "read"));
        }
        assert_eq!(field.source.asked(), 2, "they share their load");
        assert!(field.cache.peek("k").is_none(), "nor is what is older left there");
    });
}

#[test]
fn a_call_may_ask_the_source_whatever_is_there() {
    test(async {
        let field = Field::new(policy("c")).await;
        field.holds("old").await;
        let anew = ReadOptions { refresh: true, ..ReadOptions::default() };
        let asked = field.ask_with("k", anew.clone());
        settle().await;
        field.source.fails().await;
        assert_eq!(Told::from(asked.await.unwrap()), told(Outcome::Failed, "old"));
        field.clock.advance(SECOND);
        let asked = field.ask_with("k", anew);
        settle().await;
        field.source.gives("new").await;
        assert_eq!(Told::from(asked.await.unwrap()), told(Outcome::Loaded, "new"));
        assert_eq!(field.told().await, told(Outcome::Hit, "new"));
    });
}

#[test]
fn a_call_may_say_how_long_the_source_rests_and_which_tags_there_are() {
    test(async {
        let field = Field::new(policy("c")).await;
        let options = ReadOptions {
            throttle: Some(SECOND),
            tags: Tags::new(["own"]).unwrap(),
            ..ReadOptions::default()
        };
        let asked = field.ask_with("k", options.clone());
        settle().await;
        field.source.fails().await;
        assert!(asked.await.unwrap().is_err());
        assert_eq!(field.told().await, failed(ErrorKind::Throttled));
        field.clock.advance(SECOND);
        let asked = field.ask_with("k", options);
        settle().await;
        let loaded = Loaded::from("v".to_owned()).tags(Tags::new(["loaded"]).unwrap());
        field.source.says(Ok(loaded)).await;
        asked.await.unwrap().unwrap();
        assert_eq!(*field.cache.peek("k").unwrap().tags(), Tags::new(["loaded", "own"]).unwrap());
        mark(&field.samovar, Scope::Tag("own".into()), Mode::Remove);
        assert!(field.cache.peek("k").is_none());
    });
}
