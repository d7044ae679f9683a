use std::time::Duration;

use crate::settings::{Environment, Problem, Settings};

use super::*;

const REST: &str = "[source]\npath = 'shop.db'\nquery = 'orders'\n[dataset]\nname = 'orders'\nstore_id = 'shop'\n\
                    date = 'day'\n[[measure]]\nname = 'sales'\nsum = 'amount'\n";

fn read(caches: &str, variables: &[(&str, &str)]) -> Result<Vec<CacheSettings>, Vec<Problem>> {
    let environment: Environment = variables.iter().copied().collect();
    // In front, so that lines are those of the text.
    let text = format!("{caches}\n{REST}");
    Settings::read(&text, "/".as_ref(), &environment).map(|settings| settings.caches)
}

#[test]
fn tags_have_fields_in_them() {
    let caches = read("[caches.c]\ntags = ['category:{category}', 'all']", &[]).unwrap();
    let told: Vec<String> = caches[0].tags.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["category:{category}", "all"]);
    let many = format!("[caches.c]\ntags = {:?}", vec!["t"; 17]);
    for wrong in ["[caches.c]\ntags = ['{', 'fine']", "[caches.c]\ntags = 'all'", &many] {
        let problems = read(wrong, &[]).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        let said = problems[0].to_string();
        assert!(said.contains("line 2") && said.contains("caches.c.tags"), "{said}");
    }
}

#[test]
fn a_table_is_a_policy() {
    let caches = read(
        "[caches.product_info]\nkey_prefix = 'product:'\nversion = 3\nttl = '5m'\nmemory_ttl = '30s'\n\
         negative_ttl = 'none'\njitter = 0.1\nstale_window = '0s'\nfail_safe = '6h'\nrefresh_ahead = 0.8\n\
         early_expiry = 1\nsoft_timeout = '100ms'\nhard_timeout = '5s'\nload_limit = '1m'\nload_lease = '40s'\nthrottle = '2s'\n\
         priority = 90\nmax_bytes = '64MB'\nstrategy = 'write-back'\nwrite_attempts = 7\nmemory = true\nredis = false\ndisk = false\n\
         [caches.product_info.compression]\nmethod = 'zstd'\nlevel = 9\nabove = '2 KB'\nleast_saving = 0.2\n\
         [caches.hourly]\ncompression = 'lz4'\nversion = { period = '1h' }\n[caches.plain]\n",
        &[],
    )
    .unwrap();
    let of = |name: &str| caches.iter().find(|c| *c.policy.name == *name).unwrap().policy.clone();
    let expected = CachePolicy {
        key_prefix: Some("product:".into()),
        version: KeyVersion::Schema("3".into()),
        ttl: Duration::from_secs(300),
        memory_ttl: Some(Duration::from_secs(30)),
        negative_ttl: None,
        jitter: 0.1,
        stale_window: Duration::ZERO,
        fail_safe: Duration::from_secs(6 * 3_600),
        refresh_ahead: Some(0.8),
        early_expiry: Some(1.0),
        soft_timeout: Some(Duration::from_millis(100)),
        hard_timeout: Some(Duration::from_secs(5)),
        load_limit: Some(Duration::from_secs(60)),
        load_lease: Some(Duration::from_secs(40)),
        throttle: Duration::from_secs(2),
        priority: 90,
        max_bytes: Some(64 << 20),
        strategy: Strategy::WriteBack,
        write_attempts: 7,
        redis: false,
        disk: false,
        compression: CompressionPolicy {
            level: Some(9),
            threshold: 2_048,
            least_saving: 0.2,
            ..CompressionPolicy::by(Compression::Zstd)
        },
        ..CachePolicy::named("product_info")
    };
    assert_eq!(of("product_info"), expected);
    let hourly = CachePolicy {
        version: KeyVersion::Period(Duration::from_secs(3_600)),
        compression: CompressionPolicy::by(Compression::Lz4),
        ..CachePolicy::named("hourly")
    };
    assert_eq!(of("hourly"), hourly);
    assert_eq!(of("plain"), CachePolicy::named("plain"));
}

#[test]
fn variables_win_and_are_read_as_toml_would_be() {
    let caches = read(
        "[caches.product_info]\nttl = '5m'\nmemory = true\n",
        &[
            ("SAMOVAR_CACHES__PRODUCT_INFO__TTL", "90s"),
            ("SAMOVAR_CACHES__PRODUCT_INFO__MEMORY", "false"),
            ("SAMOVAR_CACHES__PRODUCT_INFO__PRIORITY", "7"),
            ("SAMOVAR_CACHES__PRODUCT_INFO__JITTER", "0.5"),
            ("SAMOVAR_CACHES__PRODUCT_INFO__VERSION", "12"),
            ("SAMOVAR_CACHES__PRODUCT_INFO__COMPRESSION__METHOD", "gzip"),
        ],
    )
    .unwrap();
    let expected = CachePolicy {
        ttl: Duration::from_secs(90),
        memory: false,
        priority: 7,
        jitter: 0.5,
        version: KeyVersion::Schema("12".into()),
        compression: CompressionPolicy::by(Compression::Gzip),
        ..CachePolicy::named("product_info")
    };
    assert_eq!(caches[0].policy, expected);
}

/// The place, and what is found there.
#[test]
fn every_mistake_is_told_at_once_and_names_its_place() {
    let problems = read(
        "[caches.a]\nttl = 'soon'\njitter = 2\nmemory = 'yes'\nmax_bytes = 'much'\ncolour = 'red'\n\
         [caches.b]\nmemory_ttl = '2h'\nsoft_timeout = '9s'\nhard_timeout = '3s'\nrefresh_ahead = 1.5\n\
         [caches.c]\nkey_prefix = 'b:x'\n[caches.c.compression]\nmethod = 'brotli'\n\
         [caches._d]\n[caches.stats]\n[caches.metrics]\n[caches.e]\nmemory = false\nredis = false\ndisk = false\n\
         [caches.'f/g']\n",
        &[("SAMOVAR_CACHES__A__PRIORITY", "high"), ("SAMOVAR_CACHES__A__TTTL", "1s")],
    )
    .unwrap_err();
    let places: Vec<(Option<usize>, &str)> =
        problems.iter().map(|problem| (problem.line, &*problem.field)).collect();
    assert_eq!(
        places,
        [
            (Some(2), "caches.a.ttl"),
            (Some(3), "caches.a.jitter"),
            (Some(4), "caches.a.memory"),
            (Some(5), "caches.a.max_bytes"),
            (Some(6), "caches.a.colour"),
            (Some(8), "caches.b.memory_ttl"),
            (Some(9), "caches.b.soft_timeout"),
            (Some(11), "caches.b.refresh_ahead"),
            (Some(13), "caches.c.key_prefix"),
            (Some(15), "caches.c.compression.method"),
            (Some(16), "caches._d"),
            (Some(17), "caches.stats"),
            (Some(18), "caches.metrics"),
            (Some(19), "caches.e"),
            (Some(23), "caches.f/g"),
            (None, "caches.a.priority"),
            (None, "caches.a.tttl"),
        ]
    );
    let told = |field: &str| problems.iter().find(|p| p.field == field).unwrap().to_string();
    let variable = "environment variable SAMOVAR_CACHES__A__PRIORITY, caches.a.priority: found \"high\" (string); \
                    allowed is a whole number from 0 to 100";
    assert_eq!(told("caches.a.priority"), variable);
    let order = "line 9, caches.b.soft_timeout: found 9s; allowed is less than hard_timeout, 3s";
    assert_eq!(told("caches.b.soft_timeout"), order);
    assert!(told("caches.c.key_prefix").contains("neither begins the other"));
    let known = told("caches.a.colour");
    assert!(known.contains("allowed is compression, disk, early_expiry, "), "{known}");
    assert!(known.ends_with(", ttl, version, write, write_attempts"), "{known}");
    assert!(told("caches.metrics").contains("none of warmup, stats, members"));
}
