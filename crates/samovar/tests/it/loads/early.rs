//! Hits that are read again before their end.

use super::*;

#[test]
fn a_hit_is_read_again_once_its_share_is_over() {
    test(async {
        let field = Field::new(CachePolicy { refresh_ahead: Some(0.8), ..policy("c") }).await;
        field.holds("old").await;
        field.clock.advance(TTL * 4 / 5 - Duration::from_millis(1));
        assert_eq!(field.told().await, told(Outcome::Hit, "old"));
        assert_eq!(field.source.asked(), 1);
        field.clock.advance(Duration::from_millis(1));
        for _ in 0..10 {
            assert_eq!(field.told().await, told(Outcome::Hit, "old"), "nobody waits");
        }
        assert_eq!((field.source.asked(), field.count(Counted::Refresh)), (2, 1));
        field.source.gives("new").await;
        for _ in 0..10 {
            assert_eq!(field.told().await, told(Outcome::Hit, "new"));
        }
        assert_eq!(field.source.asked(), 2);
        // A share of whatever lifetime the entry has.
        let short = ReadOptions { ttl: Some(SECOND), refresh: true, ..ReadOptions::default() };
        let asked = field.ask_with("k", short);
        settle().await;
        field.source.gives("short").await;
        asked.await.unwrap().unwrap();
        field.clock.advance(SECOND * 4 / 5);
        assert_eq!(field.told().await, told(Outcome::Hit, "short"));
        assert_eq!(field.source.asked(), 4);
    });
}

#[test]
fn a_hit_that_could_not_be_read_again_is_left_alone_for_a_while() {
    test(async {
        let policy = CachePolicy { refresh_ahead: Some(0.5), throttle: SECOND, ..policy("c") };
        let field = Field::new(policy).await;
        field.holds("old").await;
        field.clock.advance(TTL / 2);
        assert_eq!(field.told().await, told(Outcome::Hit, "old"));
        field.source.fails().await;
        for _ in 0..10 {
            assert_eq!(field.told().await, told(Outcome::Hit, "old"));
        }
        assert_eq!(field.source.asked(), 2);
        field.clock.advance(SECOND);
        assert_eq!(field.told().await, told(Outcome::Hit, "old"));
        assert_eq!(field.source.asked(), 3);
    });
}

/// The share of keys, each loaded in δ = 1 s, that are read again if asked once with so much left.
async fn share(beta: Option<f64>, left: Duration, seed: u64) -> f64 {
    const KEYS: usize = 50;
    const CACHES: usize = 40;
    let clock = FakeClock::at(START);
    let chosen = samovar::Settings { seed: Some(seed), ..settings(None, &clock) };
    let samovar = Samovar::open(chosen).await.unwrap();
    let keys: Vec<String> = (0..KEYS).map(|key| key.to_string()).collect();
    for cache in 0..CACHES {
        let policy = CachePolicy { early_expiry: beta, ..policy(&cache.to_string()) };
        let cache = samovar.cache::<String>(policy);
        let takes = Arc::clone(&clock);
        let load = move |load: LoadMany| {
            takes.advance(SECOND);
            async move {
                let value = |key: &Arc<str>| (key.to_string(), "v".to_owned());
                Ok(load.keys().iter().map(value).collect::<Vec<_>>())
            }
        };
        cache.get_or_load_many(&keys, ReadOptions::default(), load).await;
        // A second of the lifetime is over.
        clock.advance(TTL - SECOND - left);
        for key in &keys {
            let never = |_| async { std::future::pending::<Says>().await };
            let answer = cache.get_or_load(key, never).await.unwrap();
            assert_eq!(answer.outcome, Outcome::Hit);
        }
    }
    samovar.counters().snapshot().count(Counted::Refresh) as f64 / (KEYS * CACHES) as f64
}

/// By the paper a hit with r left is read again with probability e^(−r/(δβ)). Of 2,000 draws the share is within five
/// standard deviations; and few keys share the slot in which their time is noted.
#[test]
fn early_expiry_is_as_likely_as_the_paper_says() {
    test(async {
        let near = |found: f64, expected: f64| {
            let deviation = (expected * (1.0 - expected) / 2_000.0).sqrt();
            let lost = 0.015;
            assert!(
                (found - expected).abs() <= 5.0 * deviation + lost,
                "{found} where {expected} is expected"
            );
        };
        near(share(Some(1.0), SECOND, 1).await, (-1.0f64).exp());
        near(share(Some(1.0), SECOND * 3, 2).await, (-3.0f64).exp());
        near(share(Some(4.0), SECOND * 2, 3).await, (-0.5f64).exp());
        assert_eq!(share(Some(1.0), SECOND * 40, 4).await, 0.0, "no draw reaches so far");
        assert_eq!(share(None, SECOND, 5).await, 0.0);
    });
}

#[test]
fn what_loads_in_no_time_does_not_expire_early() {
    test(async {
        let field = Field::new(CachePolicy { early_expiry: Some(100.0), ..policy("c") }).await;
        field.holds("v").await;
        field.clock.advance(TTL - Duration::from_millis(1));
        for _ in 0..100 {
            assert_eq!(field.told().await, told(Outcome::Hit, "v"));
        }
        assert_eq!(field.source.asked(), 1);
    });
}
