//! Prefixes, versions, and what can be wrong with a policy.

use samovar::{KeyVersion, Settings, check};
use samovar_core::{Mode, Scope};
use tempfile::tempdir;

use super::*;
use crate::support::{get, key, mark, text, whole};

fn schema(version: &str) -> CachePolicy {
    CachePolicy { version: KeyVersion::Schema(version.into()), ..policy("c") }
}

fn prefixed(prefix: &str) -> CachePolicy {
    CachePolicy { key_prefix: Some(prefix.into()), ..policy("c") }
}

#[test]
fn another_shape_or_prefix_never_reads_what_the_last_one_wrote() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let samovar = crate::support::open(Some(directory.path()), &clock);
    let policies = [policy("c"), schema("v1"), schema("v2"), prefixed("shop:"), prefixed("shop")];
    let caches: Vec<Cache<String>> =
        policies.iter().map(|policy| samovar.cache(policy.clone())).collect();
    for (number, cache) in caches.iter().enumerate() {
        for (id, below) in [("k", false), ("l", true)] {
            assert!(get(cache, id).is_none());
            if below {
                cache.put_below(id, number.to_string(), whole(&samovar));
            } else {
                cache.put(id, number.to_string(), whole(&samovar));
            }
        }
    }
    for (number, cache) in caches.iter().enumerate() {
        for id in ["k", "l"] {
            assert_eq!(text(get(cache, id)), Some(number.to_string()), "{:?}", cache.policy());
        }
    }
    assert_eq!(text(get(&samovar.cache(prefixed("c:")), "k")), Some("0".into()), "the default");
    crate::support::block_on(samovar.close()).unwrap();
}

#[test]
fn marks_cover_a_key_whatever_it_bears() {
    let policies = [
        (policy("c"), "c:"),
        (schema("v1"), "c:"),
        (prefixed("shop:"), "shop:"),
        (CachePolicy { version: KeyVersion::Period(SECOND), ..prefixed("shop:") }, "shop:"),
    ];
    for (policy, prefix) in policies {
        let pattern = |text: &str| Scope::Pattern(text.parse().unwrap());
        let cases = [
            (key("c", "42"), true),
            (key("c", "4"), false),
            (key("shop", "42"), false),
            (Scope::Cache("c".into()), true),
            (pattern(&format!("{prefix}42")), true),
            (pattern(&format!("{prefix}4?")), true),
            (pattern(&format!("{prefix}4")), false),
            (pattern("c:*"), prefix == "c:"),
            (pattern("shop:*"), prefix == "shop:"),
        ];
        for (scope, is_covered) in cases {
            for below in [false, true] {
                let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
                let samovar = crate::support::open(Some(directory.path()), &clock);
                let cache = samovar.cache::<String>(policy.clone());
                if below {
                    cache.put_below("42", "v".to_owned(), whole(&samovar));
                } else {
                    cache.put("42", "v".to_owned(), whole(&samovar));
                }
                mark(&samovar, scope.clone(), Mode::Remove);
                assert_eq!(get(&cache, "42").is_none(), is_covered, "{scope} {policy:?} {below}");
                crate::support::block_on(samovar.sweep()).unwrap();
                assert_eq!(get(&cache, "42").is_none(), is_covered, "{scope} swept");
            }
        }
    }
}

#[test]
fn a_flight_is_of_the_key_that_is_stored() {
    test(async {
        let field = Field::new(prefixed("shop:")).await;
        let before = field.ask();
        settle().await;
        mark(&field.samovar, Scope::Pattern("shop:k".parse().unwrap()), Mode::Remove);
        let after = field.ask();
        settle().await;
        field.source.gives("old").await;
        assert_eq!(Told::from(before.await.unwrap()), told(Outcome::Loaded, "old"));
        assert!(!after.is_finished(), "it asked after the mark");
        field.source.gives("new").await;
        assert_eq!(Told::from(after.await.unwrap()), told(Outcome::Loaded, "new"));
        assert!(field.cache.remove("k").await);
        assert!(field.cache.peek("k").is_none());
    });
}

#[test]
fn with_a_new_period_every_key_begins_anew() {
    let hour = Duration::from_secs(3_600);
    let clock = FakeClock::at(samovar_core::Millis(hour.as_millis() as i64 * 1_000));
    let samovar = crate::support::open(None, &clock);
    let version = KeyVersion::Period(hour);
    let cache = samovar.cache::<String>(CachePolicy { version, ttl: hour * 9, ..policy("c") });
    cache.put("k", "v".to_owned(), whole(&samovar));
    clock.advance(hour - Duration::from_millis(1));
    assert!(cache.peek("k").is_some());
    clock.advance(Duration::from_millis(1));
    assert!(cache.peek("k").is_none());
}

#[test]
fn every_mistake_is_told_at_once() {
    let second = Some(SECOND);
    let wrong = CachePolicy {
        key_prefix: Some("a\0b".into()),
        version: KeyVersion::Period(Duration::ZERO),
        ttl: Duration::ZERO,
        memory_ttl: Some(Duration::from_nanos(1)),
        negative_ttl: Some(Duration::ZERO),
        jitter: f64::NAN,
        stale_window: Duration::MAX,
        fail_safe: Duration::MAX,
        refresh_ahead: Some(1.0),
        early_expiry: Some(0.0),
        soft_timeout: second,
        hard_timeout: second,
        load_limit: second,
        throttle: Duration::MAX,
        load_lease: Some(Duration::ZERO),
        priority: 101,
        max_bytes: Some(0),
        ..CachePolicy::named("wrong")
    };
    let twice =
        CachePolicy { ttl: SECOND, memory_ttl: Some(SECOND * 2), ..CachePolicy::named("twice") };
    let other = CachePolicy { key_prefix: Some("twice".into()), ..CachePolicy::named("other") };
    let nameless = CachePolicy { version: KeyVersion::Schema("".into()), ..CachePolicy::named("") };
    let settings = Settings { sweep_after: Some(Duration::MAX), ..Settings::default() };
    let all = [wrong, twice.clone(), other, twice, nameless];
    let told: Vec<(String, &str)> = check(&settings, &all)
        .into_iter()
        .map(|problem| (problem.cache.as_deref().unwrap_or("-").to_owned(), problem.field))
        .collect();
    let of = |cache: &str| -> Vec<&str> {
        told.iter().filter(|(of, _)| of == cache).map(|(_, field)| *field).collect()
    };
    assert_eq!(of("-"), ["sweep_after"]);
    let fields = [
        "key_prefix",
        "version",
        "ttl",
        "memory_ttl",
        "negative_ttl",
        "stale_window",
        "fail_safe",
        "load_lease",
        "throttle",
        "jitter",
        "refresh_ahead",
        "early_expiry",
        "priority",
        "max_bytes",
        "memory_ttl",
        "soft_timeout",
        "hard_timeout",
    ];
    assert_eq!(of("wrong"), fields);
    assert_eq!(of("twice"), ["memory_ttl", "memory_ttl", "name", "key_prefix"]);
    assert_eq!(of("other"), ["key_prefix"]);
    assert_eq!(of(""), ["name", "version"]);
    assert!(
        check(&Settings::default(), &[CachePolicy::named("a"), CachePolicy::named("b")]).is_empty()
    );
    let refused = crate::support::block_on(Samovar::open(settings)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(refused.to_string().starts_with("sweep_after: "), "{refused}");
}

#[test]
fn a_policy_that_cannot_be_is_told_and_held_to_what_can() {
    test(async {
        let field = Field::new(CachePolicy {
            jitter: f64::NAN,
            key_prefix: Some("a\0\0".into()),
            ttl: Duration::MAX,
            stale_window: Duration::MAX,
            refresh_ahead: Some(-1.0),
            early_expiry: Some(f64::NAN),
            soft_timeout: Some(Duration::MAX),
            ..policy("c")
        })
        .await;
        let notices = field.samovar.counters().notices();
        assert_eq!(notices.len(), 7, "{notices:?}");
        assert!(notices[0].text.starts_with("cache \"c\", key_prefix: "), "{notices:?}");
        field.holds("v").await;
        assert_eq!(field.told().await, told(Outcome::Hit, "v"));
        mark(&field.samovar, key("c", "k"), Mode::Remove);
        assert!(field.cache.peek("k").is_none(), "it does not slip past marks");
    });
}
