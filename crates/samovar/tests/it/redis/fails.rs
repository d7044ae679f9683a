//! Redis that is killed, silent, emptied, full or replaced, under readers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use samovar::codec::Payload;
use samovar::redis::RedisSettings;
use samovar::tier::RedisTier;
use samovar::{Cache, CachePolicy, Counted, Samovar, Settings, Strategy};
use samovar_core::{Clock, Entry, Error, ErrorKind, Key, SystemClock, Tier, TierName};
use samovar_testkit::redis::{Cluster, Sentinels, Server, Setup};
use samovar_testkit::tier::Subject;
use tempfile::tempdir;

use super::{at, launch, patient, subject, tier, until};
use crate::support::block_on;

/// By the real clock: what is away is tried again when time has passed.
fn real(redis: RedisSettings, directory: Option<&std::path::Path>) -> Samovar {
    let settings = Settings {
        redis: Some(redis),
        data_dir: directory.map(Into::into),
        clock: Arc::new(SystemClock::new()),
        ..Settings::default()
    };
    block_on(Samovar::open(settings)).unwrap()
}

fn cache(samovar: &Samovar, disk: bool) -> Cache<String> {
    samovar.cache(CachePolicy { memory: false, disk, ..CachePolicy::named("c") })
}

fn value(id: usize) -> String {
    format!("value of {id} ").repeat(20)
}

fn load(cache: &Cache<String>, id: usize) -> Option<TierName> {
    let answer =
        block_on(cache.get_or_load(&id.to_string(), move |_| async move { Ok(value(id)) }))
            .unwrap();
    assert_eq!(answer.value.as_deref(), Some(&value(id)), "{:?}", answer.tier);
    answer.tier
}

#[test]
fn no_read_fails_whatever_becomes_of_redis() {
    let (server, directory) = (launch(), tempdir().unwrap());
    let redis = RedisSettings {
        response_timeout: Duration::from_millis(100),
        connect_timeout: Duration::from_millis(100),
        ..at(&server)
    };
    let samovar = real(redis, Some(directory.path()));
    let (alone, with_disk) = (cache(&samovar, false), cache(&samovar, true));
    let (stop, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|threads| {
        for reader in 0..2 {
            let (stop, reads) = (&stop, &reads);
            let cache = if reader == 0 { &alone } else { &with_disk };
            threads.spawn(move || {
                for round in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    load(cache, round % 50 + reader * 100);
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let in_use = || {
            let hits = || samovar.counters().snapshot().of("c", TierName::Redis).hits;
            let before = hits();
            until("Redis to be used", || hits() > before + 20);
        };
        let goes_on = || {
            let before = reads.load(Ordering::Relaxed);
            until("reads", || reads.load(Ordering::Relaxed) > before + 200);
        };
        // If a reader fails the scope passes its panic on; the waits above end in any case.
        let _stop = Stop(&stop);
        for _ in 0..2 {
            in_use();
            server.kill().unwrap();
            goes_on();
            server.start_empty().unwrap();
            in_use();
            server.flush().unwrap();
            goes_on();
            server.pause().unwrap();
            goes_on();
            server.resume().unwrap();
            in_use();
        }
    });
    let counted = samovar.counters().snapshot();
    assert!(counted.count(Counted::TierSkipped) > 0, "{counted:?}");
    assert_eq!(counted.count(Counted::Damaged), 0);
    let _ = block_on(samovar.close());
}

/// The source is down all the while: whatever is there must come from memory or disk.
#[test]
fn what_memory_or_disk_holds_is_given_whatever_becomes_of_redis() {
    let (server, directory) = (launch(), tempdir().unwrap());
    let redis = RedisSettings {
        response_timeout: Duration::from_millis(100),
        connect_timeout: Duration::from_millis(100),
        ..at(&server)
    };
    let samovar = real(redis, Some(directory.path()));
    let policy =
        |name| CachePolicy { stale_window: Duration::from_secs(3_600), ..CachePolicy::named(name) };
    // The one asks below at nearly every read, the other always.
    let memory_ttl = Some(Duration::from_millis(1));
    let in_memory = CachePolicy { memory_ttl, disk: false, ..policy("memory") };
    let on_disk = CachePolicy { memory: false, ..policy("disk") };
    let caches = [in_memory, on_disk].map(|policy| samovar.cache::<String>(policy));
    // What Redis lacks is told of once, and is in memory and on disk all the same.
    until("all is there", || {
        for cache in &caches {
            for id in 0..50 {
                cache.put(&id.to_string(), value(id), crate::support::whole(&samovar));
            }
        }
        block_on(samovar.flush()).is_ok()
    });
    let (stop, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|threads| {
        for cache in &caches {
            let (stop, reads) = (&stop, &reads);
            threads.spawn(move || {
                for round in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let down =
                        |_| async { Err::<String, _>(Error::new(ErrorKind::Source, "down")) };
                    let id = round % 50;
                    let answer = block_on(cache.get_or_load(&id.to_string(), down)).unwrap();
                    assert_eq!(answer.value.as_deref(), Some(&value(id)), "{answer:?}");
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let goes_on = || {
            let before = reads.load(Ordering::Relaxed);
            until("reads", || reads.load(Ordering::Relaxed) > before + 200);
        };
        let _stop = Stop(&stop);
        for _ in 0..2 {
            goes_on();
            server.kill().unwrap();
            goes_on();
            server.start_empty().unwrap();
            goes_on();
            server.pause().unwrap();
            goes_on();
            server.resume().unwrap();
        }
    });
    let _ = block_on(samovar.close());
}

/// Sets a flag, however the scope is left.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_full_redis_that_evicts_nothing_refuses_writes_and_still_answers() {
    let setup = Setup::new().set("maxmemory", "3mb").set("maxmemory-policy", "noeviction");
    let server = Server::launch(&setup).unwrap();
    let samovar = real(at(&server), None);
    let cache = cache(&samovar, false);
    for id in 0..10 {
        load(&cache, id);
    }
    assert!(block_on(samovar.flush()).is_ok());
    let large = samovar.cache::<String>(CachePolicy { memory: false, ..CachePolicy::named("l") });
    for id in 0..100 {
        let parts = crate::support::whole(&samovar);
        large.put(&id.to_string(), "x".repeat(100_000), parts);
    }
    let error = block_on(samovar.flush()).unwrap_err();
    assert!(error.to_string().contains("maxmemory"), "{error}");
    assert!(block_on(samovar.flush()).is_ok(), "it is told once");
    let counted = samovar.counters().snapshot();
    assert!(counted.count(Counted::RedisError) >= 50, "{counted:?}");
    assert_eq!(counted.count(Counted::TierSkipped), 0, "it answers, and is asked");
    for id in 0..10 {
        assert_eq!(load(&cache, id), Some(TierName::Redis), "what was there is there");
    }
    for id in 10..20 {
        assert_eq!(load(&cache, id), None, "what is not is loaded");
    }
    let said = samovar.counters().notices();
    assert!(said[0].text.contains("writing to Redis failed"), "{said:?}");
    let _ = block_on(samovar.close());
}

#[test]
fn a_redis_that_evicts_makes_colder_and_nothing_else() {
    let setup = Setup::new().set("maxmemory", "3mb").set("maxmemory-policy", "allkeys-lru");
    let server = Server::launch(&setup).unwrap();
    let samovar = real(at(&server), None);
    let cache = samovar.cache::<String>(CachePolicy { memory: false, ..CachePolicy::named("c") });
    let mut tiers = Vec::new();
    for round in 0..2 {
        for id in 0..100usize {
            let make = move |_| async move { Ok(format!("{id}").repeat(50_000)) };
            let answer = block_on(cache.get_or_load(&id.to_string(), make)).unwrap();
            assert_eq!(answer.value.as_deref(), Some(&format!("{id}").repeat(50_000)));
            if round == 1 {
                tiers.push(answer.tier);
            }
        }
        block_on(samovar.flush()).unwrap();
    }
    assert!(tiers.contains(&None), "not all of it fits");
    assert_eq!(samovar.counters().snapshot().count(Counted::RedisError), 0);
    block_on(samovar.close()).unwrap();
}

/// A tier by the real clock.
fn by_the_clock(settings: &RedisSettings) -> RedisTier {
    RedisTier::new(settings, Arc::new(SystemClock::new()), Arc::default()).unwrap()
}

/// An entry that was read now.
fn entry() -> Entry<Payload> {
    let read_at = SystemClock::new().now();
    Subject { read_at, ..subject() }.entry(b"v")
}

#[test]
fn after_a_failover_the_new_primary_is_found() {
    let set = Sentinels::launch(&Setup::new()).unwrap();
    let settings = RedisSettings {
        response_timeout: Duration::from_secs(1),
        ..patient(RedisSettings::sentinel(set.name(), set.urls()).unwrap())
    };
    let tier = by_the_clock(&settings);
    let key = |id: &str| Key::new("c", id);
    tier.put(&key("before"), entry());
    block_on(tier.flush()).unwrap();
    set.node(set.primary().unwrap()).kill().unwrap();
    set.fail_over(1).unwrap();
    until("the new primary to be written", || {
        tier.put(&key("after"), entry());
        block_on(tier.flush()).is_ok()
    });
    assert!(block_on(tier.get(&key("after"))).unwrap().is_some());
    let name = format!("{}c:after", settings.namespace);
    assert_eq!(set.node(1).cli(&["EXISTS", &name]).unwrap(), "1");
    block_on(tier.close()).unwrap();
}

#[test]
fn of_a_cluster_those_shards_answer_that_are_up() {
    let setup = Setup::new().set("cluster-require-full-coverage", "no");
    let cluster = Cluster::launch(&setup).unwrap();
    let settings = RedisSettings {
        response_timeout: Duration::from_secs(2),
        connect_timeout: Duration::from_secs(1),
        ..patient(RedisSettings::cluster(cluster.urls()).unwrap())
    };
    let tier = by_the_clock(&settings);
    let keys: Vec<Key> = (0..60).map(|id| Key::new("c", id.to_string())).collect();
    for key in &keys {
        tier.put(key, entry());
    }
    block_on(tier.flush()).unwrap();
    let shard = |key: &Key| cluster.shard(&format!("{}{key}", settings.namespace)).unwrap();
    let (there, gone): (Vec<Key>, Vec<Key>) = keys.into_iter().partition(|key| shard(key) != 1);
    assert!(!there.is_empty() && !gone.is_empty());
    cluster.node(1).kill().unwrap();
    for key in &there {
        assert!(block_on(tier.get(key)).unwrap().is_some(), "{key}");
    }
    assert!(block_on(tier.get(&gone[0])).is_err());
    let mixed = [there[0].clone(), gone[0].clone(), there[1].clone()];
    let found = block_on(tier.get_many(&mixed, samovar_core::Need::Later));
    assert!(matches!(found[..], [Ok(Some(_)), Err(_), Ok(Some(_))]), "{found:?}");

    cluster.node(1).start_empty().unwrap();
    cluster.wait().unwrap();
    until("the shard to be used again", || {
        tier.put(&gone[0], entry());
        block_on(tier.flush()).is_ok()
    });
    assert!(block_on(tier.get(&gone[0])).unwrap().is_some());
    block_on(tier.close()).unwrap();
}

#[test]
fn nobody_waits_for_a_connection_longer_than_for_an_answer() {
    let server = launch();
    server.pause().unwrap();
    let settings = RedisSettings {
        response_timeout: Duration::from_millis(50),
        connect_timeout: Duration::from_secs(600),
        ..at(&server)
    };
    let (tier, clock) = (by_the_clock(&settings), SystemClock::new());
    for _ in 0..3 {
        let error = block_on(tier.get(&Key::new("c", "k"))).unwrap_err();
        assert!(error.to_string().contains("still being connected to"), "{error}");
    }
    assert!(clock.elapsed() < Duration::from_secs(300));
    // The attempt goes on behind their backs.
    server.resume().unwrap();
    until("the connection", || block_on(tier.get(&Key::new("c", "k"))).is_ok());
}

#[test]
fn a_queue_that_nobody_takes_is_given_up_and_said() {
    let server = launch();
    server.kill().unwrap();
    let (tier, counters) = tier(&at(&server));
    tier.put(&Key::new("c", "k"), subject().entry(b"v"));
    let error = block_on(tier.flush()).unwrap_err();
    assert!(error.to_string().contains("cannot be reached"), "{error}");
    assert!(block_on(tier.flush()).is_ok(), "it is told once");
    assert_eq!(counters.snapshot().count(Counted::RedisError), 1);
    assert!(block_on(tier.get(&Key::new("c", "k"))).is_err(), "not from the queue for ever");
}

/// Asks a Redis that is away until it is left alone.
fn left_alone(samovar: &Samovar) {
    let redis = cache(samovar, false);
    let skipped = || samovar.counters().snapshot().count(Counted::TierSkipped);
    until("it to be left alone", || {
        assert!(block_on(redis.get("k")).is_none());
        skipped() > 0
    });
}

fn documents(samovar: &Samovar, strategy: Strategy, memory: bool, disk: bool) -> Cache<String> {
    samovar.cache(CachePolicy { strategy, memory, disk, ..CachePolicy::named("documents") })
}

#[test]
fn a_document_is_acknowledged_only_where_a_tier_holds_it() {
    let (server, directory) = (launch(), tempdir().unwrap());
    let samovar = real(at(&server), Some(directory.path()));
    let written = |memory, disk, value: &str| {
        let cache = documents(&samovar, Strategy::WriteThrough, memory, disk);
        let written = block_on(cache.write("42", value.to_owned()));
        let found = || block_on(cache.get("42")).map(|found| found.value().to_string());
        (written.map(drop).map_err(|error| error.kind()), found())
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(written(false, false, "one"), (Ok(()), text("one")));
    server.kill().unwrap();
    let failed = written(false, false, "two");
    assert!(failed.0.is_err(), "it is not known yet that it is away");
    assert_eq!(failed.1, None, "what was there before is gone");
    assert_eq!(written(true, false, "three"), (Ok(()), text("three")));
    left_alone(&samovar);
    assert_eq!(written(false, false, "four"), (Err(ErrorKind::Away), None));
    assert_eq!(written(true, false, "five"), (Ok(()), text("five")));
    assert_eq!(written(false, true, "six"), (Ok(()), text("six")));
    let redis = documents(&samovar, Strategy::WriteThrough, false, false);
    block_on(redis.delete("42")).expect("the mark is enough");
    server.start_empty().unwrap();
    until("it to be used again", || written(false, false, "seven") == (Ok(()), text("seven")));
    block_on(samovar.close()).unwrap();
}

#[test]
fn a_document_stays_in_the_journal_until_a_tier_below_memory_holds_it() {
    let (server, directory) = (launch(), tempdir().unwrap());
    let samovar = real(at(&server), Some(directory.path()));
    server.kill().unwrap();
    left_alone(&samovar);
    let cache = documents(&samovar, Strategy::WriteBack, true, false);
    block_on(cache.write("42", "four".to_owned())).unwrap();
    let said = |what: &str| samovar.counters().notices().iter().any(|one| one.text.contains(what));
    until("the replay to find no tier", || said("writes of documents wait"));
    assert_eq!(cache.unwritten(), 1);
    assert_eq!(*block_on(cache.get("42")).unwrap().value(), "four");
    server.start_empty().unwrap();
    until("it has left the journal", || cache.unwritten() == 0);
    let redis = documents(&samovar, Strategy::WriteBack, false, false);
    let found = block_on(redis.get("42")).expect("Redis holds it");
    assert_eq!((found.value().as_str(), found.tier), ("four", TierName::Redis));
    block_on(samovar.close()).unwrap();
}

#[test]
fn a_document_that_no_tier_takes_is_refused_or_becomes_a_dead_letter() {
    let directory = tempdir().unwrap();
    let settings = Settings {
        data_dir: Some(directory.path().into()),
        disk_max_bytes: 100_000,
        memory_max_bytes: 100_000,
        clock: Arc::new(SystemClock::new()),
        ..Settings::default()
    };
    let samovar = block_on(Samovar::open(settings)).unwrap();
    let large = "x".repeat(1_000_000);
    let in_memory = CachePolicy {
        strategy: Strategy::WriteThrough,
        disk: false,
        ..CachePolicy::named("memory")
    };
    let on_disk = CachePolicy {
        memory: false,
        disk: true,
        ..CachePolicy { name: "disk".into(), ..in_memory.clone() }
    };
    // There is no Redis.
    let nowhere = CachePolicy {
        memory: false,
        ..CachePolicy { name: "nowhere".into(), ..in_memory.clone() }
    };
    for (policy, value) in [(in_memory, &*large), (on_disk, &*large), (nowhere, "small")] {
        let cache = samovar.cache::<String>(policy);
        let refused = block_on(cache.write("42", value.to_owned())).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Away, "{refused}");
        assert!(block_on(cache.get("42")).is_none());
    }
    let policy = CachePolicy {
        strategy: Strategy::WriteBack,
        write_attempts: 2,
        ..CachePolicy::named("back")
    };
    let cache = samovar.cache::<String>(policy);
    block_on(cache.write("42", large.clone())).unwrap();
    block_on(cache.write("43", "small".to_owned())).unwrap();
    until("all have left the journal", || cache.unwritten() == 0);
    let letters = samovar.dead_letters();
    assert_eq!((letters.len(), &*letters[0].key), (1, "42"));
    assert_eq!(*block_on(cache.get("43")).unwrap().value(), "small");
    block_on(samovar.close()).unwrap();
}
