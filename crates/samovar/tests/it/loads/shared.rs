//! Loads that many wait for, and that outlive those who asked.

use samovar_core::{Mode, Scope};

use super::*;
use crate::support::{key, mark};

#[test]
fn thousands_of_callers_load_once() {
    test(async {
        let field = Field::new(policy("c")).await;
        let asked: Vec<Asked> = (0..5_000).map(|_| field.ask()).collect();
        // A turn of the runtime is about sixty tasks.
        for _ in 0..4 {
            settle().await;
        }
        assert_eq!(field.source.asked(), 1);
        field.source.gives("v").await;
        for asked in asked {
            assert_eq!(Told::from(asked.await.unwrap()), told(Outcome::Loaded, "v"));
        }
        assert_eq!((field.source.asked(), field.count(Counted::Load)), (1, 1));
        assert_eq!(field.told().await, told(Outcome::Hit, "v"));
    });
}

#[test]
fn thousands_on_many_threads_load_once() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    runtime.block_on(async {
        for _ in 0..5 {
            let field = Field::new(policy("c")).await;
            let asked: Vec<Asked> = (0..2_000).map(|_| field.ask()).collect();
            while field.source.asked() == 0 {
                tokio::task::yield_now().await;
            }
            field.source.gives("v").await;
            for asked in asked {
                assert_eq!(&**asked.await.unwrap().unwrap().value.unwrap(), "v");
            }
            assert_eq!(field.source.asked(), 1);
        }
    });
}

#[test]
fn what_is_stale_is_served_and_read_again_once() {
    test(async {
        let field = Field::new(policy("c")).await;
        field.holds("old").await;
        field.clock.advance(TTL);
        for _ in 0..100 {
            assert_eq!(field.told().await, told(Outcome::Stale, "old"));
        }
        assert_eq!((field.source.asked(), field.count(Counted::Refresh)), (2, 1));
        field.source.gives("new").await;
        assert_eq!(field.told().await, told(Outcome::Hit, "new"));
        assert_eq!(field.source.asked(), 2);
        // Also after an `expire`.
        mark(&field.samovar, key("c", "k"), Mode::Expire);
        assert_eq!(field.told().await, told(Outcome::Stale, "new"));
        field.source.gives("newer").await;
        assert_eq!(field.told().await, told(Outcome::Hit, "newer"));
    });
}

#[test]
fn a_load_in_the_background_is_joined() {
    test(async {
        let field = Field::new(policy("c")).await;
        field.holds("old").await;
        field.clock.advance(TTL);
        assert_eq!(field.told().await, told(Outcome::Stale, "old"));
        let anew = ReadOptions { refresh: true, ..ReadOptions::default() };
        let asked = field.ask_with("k", anew);
        settle().await;
        assert!(!asked.is_finished());
        field.source.gives("new").await;
        assert_eq!(Told::from(asked.await.unwrap()), told(Outcome::Loaded, "new"));
        assert_eq!(field.source.asked(), 2);
    });
}

#[test]
fn a_refresh_never_brings_back_what_was_removed_meanwhile() {
    let scopes = [
        key("c", "k"),
        Scope::Cache("c".into()),
        Scope::Everything,
        Scope::Pattern("c:*".parse().unwrap()),
    ];
    for scope in scopes {
        test(async {
            let field = Field::new(policy("c")).await;
            field.holds("old").await;
            field.clock.advance(TTL);
            assert_eq!(field.told().await, told(Outcome::Stale, "old"));
            mark(&field.samovar, scope.clone(), Mode::Remove);
            let after = field.ask();
            settle().await;
            assert!(!after.is_finished(), "what was removed is not served");
            assert_eq!(field.source.asked(), 2, "one reads, one waits");
            field.source.gives("read before the mark").await;
            assert!(field.cache.peek("k").is_none(), "{scope}: it is not kept");
            assert!(!after.is_finished(), "nor given to who asked after the mark");
            field.source.gives("new").await;
            assert_eq!(Told::from(after.await.unwrap()), told(Outcome::Loaded, "new"));
        });
    }
}

#[test]
fn a_slow_load_that_ends_after_a_mark_is_given_and_not_kept() {
    test(async {
        let field = Field::new(policy("c")).await;
        let before = field.ask();
        settle().await;
        mark(&field.samovar, key("c", "k"), Mode::Remove);
        field.source.gives("old").await;
        assert_eq!(Told::from(before.await.unwrap()), told(Outcome::Loaded, "old"));
        assert!(field.cache.peek("k").is_none());
        let after = field.ask();
        settle().await;
        assert_eq!(field.source.asked(), 2);
        field.source.gives("new").await;
        assert_eq!(Told::from(after.await.unwrap()), told(Outcome::Loaded, "new"));
    });
}

#[test]
fn a_key_invalidated_faster_than_it_loads_answers_everybody() {
    test(async {
        let field = Field::new(policy("c")).await;
        let mut asked = Vec::new();
        for round in 0..60 {
            asked.push(field.ask());
            settle().await;
            mark(&field.samovar, key("c", "k"), Mode::Remove);
            assert_eq!(field.source.reading(), 1);
            if round % 4 == 3 {
                field.source.gives(&round.to_string()).await;
            }
        }
        while field.source.reading() > 0 {
            field.source.gives("last").await;
        }
        for asked in asked {
            assert!(asked.await.unwrap().is_ok());
        }
        assert_eq!(field.source.0.most.load(Ordering::SeqCst), 1, "one reads at a time");
        assert!(field.source.asked() <= 17, "{}", field.source.asked());
    });
}

#[test]
fn who_gives_up_cancels_nothing_that_others_wait_for() {
    test(async {
        let field = Field::new(policy("c")).await;
        let (leader, other) = (field.ask(), field.ask());
        settle().await;
        leader.abort();
        settle().await;
        assert_eq!(field.source.reading(), 1);
        field.source.gives("v").await;
        assert_eq!(Told::from(other.await.unwrap()), told(Outcome::Loaded, "v"));
        assert_eq!(field.source.asked(), 1);
        // If all give up nobody reads.
        let all = [
            field.ask_with("l", ReadOptions::default()),
            field.ask_with("l", ReadOptions::default()),
        ];
        settle().await;
        assert_eq!(field.source.reading(), 1);
        all.iter().for_each(JoinHandle::abort);
        settle().await;
        assert_eq!(field.source.reading(), 0);
    });
}

#[test]
fn a_closed_cache_begins_nothing_in_the_background() {
    test(async {
        let field = Field::new(policy("c")).await;
        field.holds("old").await;
        field.clock.advance(TTL);
        assert_eq!(field.told().await, told(Outcome::Stale, "old"));
        assert_eq!(field.source.reading(), 1);
        field.samovar.close().await.unwrap();
        assert_eq!(field.source.reading(), 0, "what ran is dropped");
        assert_eq!(field.told().await, told(Outcome::Stale, "old"), "memory still answers");
        settle().await;
        assert_eq!(field.source.reading(), 0);
    });
}
