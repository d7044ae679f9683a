//! Memory, Redis and disk together, and any of them alone.

use std::time::Duration;

use samovar::redis::RedisSettings;
use samovar::{Cache, CachePolicy, Counted, LoadMany, Outcome, ReadOptions, Samovar};
use samovar_core::{Error, ErrorKind, Key, Mode, Scope, TierName, Verdict};
use samovar_testkit::clock::FakeClock;
use samovar_testkit::redis::{Server, Setup};
use tempfile::tempdir;

use super::{at, calls, launch, open, until};
use crate::support::{START, WINDOW, block_on, get, key, mark, policy, whole};

fn cache(samovar: &Samovar, memory: bool, redis: bool, disk: bool) -> Cache<String> {
    samovar.cache(CachePolicy { memory, redis, disk, ..policy("c") })
}

fn found(cache: &Cache<String>, key: &str) -> Option<(String, TierName)> {
    get(cache, key).map(|found| (found.to_string(), found.tier))
}

/// By tier: whether anything stands there, of the one key that there is.
fn stands(samovar: &Samovar, server: &Server, cache: &Cache<String>, key: &str) -> [bool; 3] {
    let disk = &samovar.usage()[2];
    assert_eq!(disk.0, TierName::Disk);
    let names = server.cli(&["KEYS", &format!("*:c:{key}")]).unwrap();
    let in_redis = names.lines().any(|name| name.contains(":c:") && !name.contains(":_lease:"));
    [cache.peek(key).is_some(), in_redis, disk.1.total().entries > 0]
}

#[test]
fn every_subset_keeps_and_forgets() {
    let (server, directory) = (launch(), tempdir().unwrap());
    let samovar = open(&at(&server), Some(&directory), &FakeClock::at(START));
    for subset in 0..8u8 {
        let uses = [0, 1, 2].map(|bit| subset & (1 << bit) != 0);
        let cache = cache(&samovar, uses[0], uses[1], uses[2]);
        let key = subset.to_string();
        let load = || {
            let answer = block_on(cache.get_or_load(&key, |_| async { Ok("v".to_owned()) }));
            let answer = answer.unwrap();
            (answer.outcome, answer.tier)
        };
        assert_eq!(load(), (Outcome::Loaded, None), "{uses:?}");
        let names = [TierName::Memory, TierName::Redis, TierName::Disk];
        let first = names.into_iter().zip(uses).find(|(_, used)| *used).map(|(name, _)| name);
        match first {
            Some(first) => assert_eq!(load(), (Outcome::Hit, Some(first)), "{uses:?}"),
            None => assert_eq!(load(), (Outcome::Loaded, None), "nobody keeps it"),
        }
        block_on(samovar.flush()).unwrap();
        assert_eq!(stands(&samovar, &server, &cache, &key), uses);
        assert_eq!(block_on(cache.remove(&key)), first.is_some(), "{uses:?}");
        block_on(samovar.flush()).unwrap();
        assert_eq!(stands(&samovar, &server, &cache, &key), [false; 3], "{uses:?}");
    }
    let counted = samovar.counters().snapshot();
    assert!(counted.of("c", TierName::Redis).hits > 0 && counted.count(Counted::TierError) == 0);
    block_on(samovar.close()).unwrap();
}

#[test]
fn what_is_found_below_is_kept_above_with_its_own_version() {
    let (server, directory) = (launch(), tempdir().unwrap());
    let samovar = open(&at(&server), Some(&directory), &FakeClock::at(START));
    cache(&samovar, false, false, true).put("k", "v".to_owned(), whole(&samovar));
    let version = samovar.fence().position();
    mark(&samovar, key("c", "another"), Mode::Remove);
    let both = cache(&samovar, false, true, true);
    assert_eq!(found(&both, "k"), Some(("v".into(), TierName::Disk)));
    block_on(samovar.flush()).unwrap();
    let up = get(&both, "k").unwrap();
    assert_eq!((up.tier, up.parts()[0].stamp.version), (TierName::Redis, version));
    assert_eq!(up.verdict, Verdict::Fresh);
    // From Redis into memory, and not into the disk below it.
    let upper = cache(&samovar, true, true, false);
    assert_eq!(found(&upper, "k"), Some(("v".into(), TierName::Redis)));
    assert_eq!(found(&upper, "k"), Some(("v".into(), TierName::Memory)));
    mark(&samovar, key("c", "k"), Mode::Remove);
    let all = cache(&samovar, true, true, true);
    assert_eq!(found(&all, "k"), None, "and none of the copies outlives a mark");
    block_on(samovar.close()).unwrap();
}

/// Keeps what stands under a name, and puts it back: an older frame that arrives late.
fn copy(server: &Server, from: &str, to: &str) {
    server.cli(&["COPY", from, to, "REPLACE"]).unwrap();
}

#[test]
fn an_older_frame_that_arrives_late_is_refused_and_the_disk_answers() {
    let (server, directory) = (launch(), tempdir().unwrap());
    let redis = RedisSettings { namespace: String::new(), ..at(&server) };
    let samovar = open(&redis, Some(&directory), &FakeClock::at(START));
    let cache = cache(&samovar, false, true, true);
    cache.put("k", "old".to_owned(), whole(&samovar));
    block_on(samovar.flush()).unwrap();
    copy(&server, "c:k", "kept");
    mark(&samovar, key("c", "k"), Mode::Remove);
    assert_eq!(found(&cache, "k"), None);
    cache.put("k", "new".to_owned(), whole(&samovar));
    block_on(samovar.flush()).unwrap();
    copy(&server, "kept", "c:k");
    assert_eq!(found(&cache, "k"), Some(("new".into(), TierName::Disk)));
    assert!(samovar.counters().snapshot().of("c", TierName::Redis).refused > 0);
    // It was mended on the way.
    block_on(samovar.flush()).unwrap();
    assert_eq!(found(&cache, "k"), Some(("new".into(), TierName::Redis)));
    block_on(samovar.close()).unwrap();
}

#[test]
fn what_redis_missed_while_it_was_away_is_refused_when_it_is_back() {
    let server = Server::launch(&Setup::new().durable()).unwrap();
    let clock = FakeClock::at(START);
    let samovar = open(&at(&server), None, &clock);
    let cache = cache(&samovar, false, true, false);
    for id in ["marked", "untouched"] {
        cache.put(id, "old".to_owned(), whole(&samovar));
    }
    block_on(samovar.flush()).unwrap();
    server.kill().unwrap();
    // Until it is left alone.
    until("the breaker to open", || {
        assert_eq!(found(&cache, "untouched"), None);
        clock.advance(Duration::from_millis(1));
        samovar.counters().snapshot().count(Counted::TierSkipped) > 0
    });
    mark(&samovar, key("c", "marked"), Mode::Remove);
    server.start().unwrap();
    until("Redis to be taken back", || {
        clock.advance(Duration::from_millis(30));
        found(&cache, "untouched").is_some()
    });
    assert_eq!(server.cli(&["DBSIZE"]).unwrap(), "2", "the old frame is there");
    assert_eq!(found(&cache, "marked"), None, "and is not given to anybody");
    let load = block_on(cache.get_or_load("marked", |_| async { Ok("new".to_owned()) })).unwrap();
    assert_eq!(
        (load.value.as_deref().map(String::as_str), load.outcome),
        (Some("new"), Outcome::Loaded)
    );
    assert_eq!(found(&cache, "marked"), Some(("new".into(), TierName::Redis)));
    block_on(samovar.close()).unwrap();
}

#[test]
fn a_redis_that_is_away_does_not_stop_the_opening() {
    let server = launch();
    server.kill().unwrap();
    let clock = FakeClock::at(START);
    let samovar = open(&at(&server), None, &clock);
    let cache = cache(&samovar, false, true, false);
    for _ in 0..10 {
        // Loaded, or from what still waits to be written.
        let load = block_on(cache.get_or_load("k", |_| async { Ok("v".to_owned()) })).unwrap();
        assert_eq!(load.value.as_deref().map(String::as_str), Some("v"));
    }
    server.start().unwrap();
    until("Redis to be taken back", || {
        clock.advance(Duration::from_millis(30));
        let load = block_on(cache.get_or_load("k", |_| async { Ok("v".to_owned()) })).unwrap();
        load.tier == Some(TierName::Redis)
    });
    // Which tells what was not written at first.
    let _ = block_on(samovar.close());
}

#[test]
fn after_a_restart_it_is_stale_and_without_its_log_it_is_refused() {
    let (server, directory) = (launch(), tempdir().unwrap());
    let (redis, clock) = (at(&server), FakeClock::at(START));
    let verdict = |directory| {
        let samovar = open(&redis, directory, &clock);
        let cache = cache(&samovar, false, true, false);
        let verdict = get(&cache, "k").map(|found| found.verdict);
        cache.put("k", "v".to_owned(), whole(&samovar));
        assert_eq!(get(&cache, "k").map(|found| found.verdict), Some(Verdict::Fresh));
        block_on(samovar.close()).unwrap();
        verdict
    };
    assert_eq!(verdict(Some(&directory)), None);
    assert_eq!(verdict(Some(&directory)), Some(Verdict::Stale), "nobody knows what happened");
    assert_eq!(verdict(None), None, "another log knows nothing of it");
}

#[test]
fn everything_is_invalidated_in_redis_by_one_mark() {
    let server = launch();
    let samovar = open(&at(&server), None, &FakeClock::at(START));
    let cache = cache(&samovar, false, true, false);
    let cases = [
        Scope::Key(Key::new("c", "k")),
        Scope::Cache("c".into()),
        Scope::Pattern("c:*".parse().unwrap()),
        Scope::Everything,
    ];
    for scope in cases {
        cache.put("k", "v".to_owned(), whole(&samovar));
        block_on(samovar.flush()).unwrap();
        mark(&samovar, scope.clone(), Mode::Expire);
        assert_eq!(get(&cache, "k").map(|found| found.verdict), Some(Verdict::Stale), "{scope:?}");
        mark(&samovar, scope, Mode::Remove);
        assert!(get(&cache, "k").is_none());
    }
    block_on(samovar.close()).unwrap();
}

#[test]
fn how_long_it_lasts_is_asked_where_that_matters() {
    let server = launch();
    let samovar = open(&at(&server), None, &FakeClock::at(START));
    for (memory, stale_window, asked) in
        [(false, Duration::ZERO, 0), (true, Duration::ZERO, 1), (false, WINDOW, 1)]
    {
        let writer = CachePolicy { memory: false, stale_window, ..policy("c") };
        samovar.cache::<String>(writer.clone()).put("k", "v".to_owned(), whole(&samovar));
        block_on(samovar.flush()).unwrap();
        server.cli(&["CONFIG", "RESETSTAT"]).unwrap();
        let reader = samovar.cache::<String>(CachePolicy { memory, ..writer });
        assert_eq!(found(&reader, "k"), Some(("v".into(), TierName::Redis)));
        assert_eq!((calls(&server, "get"), calls(&server, "pttl")), (1, asked));
        block_on(reader.remove("k"));
    }
    // What is read again before its end must tell when that is.
    let plain =
        CachePolicy { memory: false, stale_window: Duration::ZERO, ttl: WINDOW, ..policy("c") };
    let ahead = CachePolicy { refresh_ahead: Some(0.5), ..plain.clone() };
    let chance = CachePolicy { early_expiry: Some(1.0), ..plain };
    for policy in [ahead, chance] {
        let cache = samovar.cache::<String>(policy);
        cache.put("k", "v".to_owned(), whole(&samovar));
        block_on(samovar.flush()).unwrap();
        server.cli(&["CONFIG", "RESETSTAT"]).unwrap();
        assert_eq!(found(&cache, "k"), Some(("v".into(), TierName::Redis)));
        assert_eq!((calls(&server, "get"), calls(&server, "pttl")), (1, 1));
    }
    block_on(samovar.close()).unwrap();
}

#[test]
fn many_keys_are_asked_for_at_once() {
    let (server, directory) = (launch(), tempdir().unwrap());
    let samovar = open(&at(&server), Some(&directory), &FakeClock::at(START));
    let keys: Vec<String> = (0..60).map(|id| id.to_string()).collect();
    for (id, key) in keys.iter().enumerate() {
        // A third in Redis, a third on disk, a third nowhere.
        match id % 3 {
            0 => drop(cache(&samovar, false, true, false).put(key, key.clone(), whole(&samovar))),
            1 => drop(cache(&samovar, false, false, true).put(key, key.clone(), whole(&samovar))),
            _ => {}
        }
    }
    block_on(samovar.flush()).unwrap();
    let all = cache(&samovar, false, true, true);
    let load = |load: LoadMany| async move {
        let keys: Vec<_> = load.keys().iter().map(|key| key.to_string()).collect();
        Ok(keys.into_iter().map(|key| (key.clone(), key)))
    };
    let answers = block_on(all.get_or_load_many(&keys, ReadOptions::default(), load));
    for ((id, key), answer) in keys.iter().enumerate().zip(answers) {
        let answer = answer.unwrap();
        assert_eq!(answer.value.as_deref(), Some(key));
        assert_eq!(answer.tier, [Some(TierName::Redis), Some(TierName::Disk), None][id % 3]);
    }
    let redis = samovar.counters().snapshot().of("c", TierName::Redis);
    assert_eq!((redis.hits, redis.misses), (20, 40), "each is asked for once");
    block_on(samovar.flush()).unwrap();
    let found = block_on(all.get_many(&keys));
    assert!(found.iter().zip(&keys).all(|(found, key)| found.as_deref() == Some(key)));
    let tiers: Vec<_> = found.iter().flatten().map(|found| found.tier).collect();
    assert_eq!(tiers, [TierName::Redis; 60], "it was promoted");
    block_on(samovar.close()).unwrap();
}

#[test]
fn what_was_marked_while_it_was_loaded_goes_nowhere() {
    let (server, directory) = (launch(), tempdir().unwrap());
    let samovar = open(&at(&server), Some(&directory), &FakeClock::at(START));
    let cache = cache(&samovar, true, true, true);
    let marked = samovar.clone();
    let load = |_| async move {
        marked.mark(vec![key("c", "k")], Mode::Remove, "test").await?;
        Ok("old".to_owned())
    };
    let answer = block_on(cache.get_or_load("k", load)).unwrap();
    assert_eq!(answer.outcome, Outcome::Loaded);
    block_on(samovar.flush()).unwrap();
    assert_eq!(stands(&samovar, &server, &cache, "k"), [false; 3]);
    assert_eq!(samovar.counters().snapshot().count(Counted::FillRefused), 1);
    block_on(samovar.close()).unwrap();
}

#[test]
fn who_skips_memory_does_not_fill_it_from_below() {
    let server = launch();
    let samovar = open(&at(&server), None, &FakeClock::at(START));
    cache(&samovar, false, true, false).put("k", "v".to_owned(), whole(&samovar));
    let both = cache(&samovar, true, true, false);
    let skips = || ReadOptions { skip_memory: true, ..ReadOptions::default() };
    let never = |_| async { Err::<String, _>(Error::new(ErrorKind::Source, "it is there")) };
    for _ in 0..2 {
        let answer = block_on(both.get_or_load_with("k", skips(), never)).unwrap();
        assert_eq!((answer.outcome, answer.tier), (Outcome::Hit, Some(TierName::Redis)));
        assert!(both.peek("k").is_none());
    }
    let none = |_| async { Ok(Vec::<(String, String)>::new()) };
    let answers = block_on(both.get_or_load_many(&["k"], skips(), none));
    assert_eq!(answers[0].as_ref().unwrap().tier, Some(TierName::Redis));
    assert!(both.peek("k").is_none());
    block_on(both.get_or_load("k", never)).unwrap();
    assert!(both.peek("k").is_some());
    block_on(samovar.close()).unwrap();
}

/// Two processes with logs of their own do not read each other's frames, whatever they hold.
#[test]
fn a_frame_of_another_log_is_refused() {
    let server = launch();
    let redis = at(&server);
    let clock = FakeClock::at(START);
    let (one, other) = (open(&redis, None, &clock), open(&redis, None, &clock));
    cache(&one, false, true, false).put("k", "v".to_owned(), whole(&one));
    block_on(one.flush()).unwrap();
    assert!(get(&cache(&other, false, true, false), "k").is_none());
    assert_eq!(other.counters().snapshot().of("c", TierName::Redis).refused, 1);
    block_on(one.close()).unwrap();
    block_on(other.close()).unwrap();
}
