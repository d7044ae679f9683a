//! A source that is read with a lag: what was loaded too soon goes when the lag is over.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use samovar::{Cache, CachePolicy, Samovar, Settings};
use samovar_core::Mode;
use samovar_testkit::clock::FakeClock;
use tempfile::tempdir;

use crate::support::{START, block_on, key, settings};

const LAG: Duration = Duration::from_secs(2);

fn open(directory: &Path, clock: &Arc<FakeClock>) -> (Samovar, Cache<String>) {
    let settings = Settings { replica_lag: LAG, ..settings(Some(directory), clock) };
    let samovar = block_on(Samovar::open(settings)).unwrap();
    let cache = samovar.cache(CachePolicy::named("c"));
    (samovar, cache)
}

/// Reads what the replica has, which is old.
fn load(cache: &Cache<String>) {
    let answer = block_on(cache.get_or_load("k", |_| async { Ok("old".to_owned()) })).unwrap();
    assert_eq!(answer.value.as_deref().map(String::as_str), Some("old"));
}

fn until(is: impl Fn() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(60), "it never comes");
        std::thread::yield_now();
    }
}

#[test]
fn an_invalidation_is_repeated_once_the_lag_is_over() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let (samovar, cache) = open(directory.path(), &clock);
    let sleepers = clock.sleepers();
    let version = block_on(samovar.mark(vec![key("c", "k")], Mode::Remove, "changed")).unwrap();
    until(|| clock.sleepers() > sleepers);
    load(&cache);
    clock.advance(LAG - Duration::from_millis(1));
    assert!(cache.peek("k").is_some(), "nobody knows better yet");
    clock.advance(Duration::from_millis(1));
    until(|| cache.peek("k").is_none());
    until(|| samovar.fence().position().seq == version.seq + 1);
    // And no more than once.
    clock.advance(10 * LAG);
    load(&cache);
    assert!(cache.peek("k").is_some());
    assert_eq!(samovar.fence().position().seq, version.seq + 1);
}

#[test]
fn what_a_process_did_not_live_to_repeat_is_repeated_by_the_next() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let (samovar, cache) = open(directory.path(), &clock);
    let version = block_on(samovar.mark(vec![key("c", "k")], Mode::Remove, "changed")).unwrap();
    block_on(samovar.close()).unwrap();
    drop((samovar, cache));
    clock.advance(LAG / 2);
    let (samovar, cache) = open(directory.path(), &clock);
    load(&cache);
    assert_eq!(samovar.fence().position(), version, "nothing lay below");
    // It may begin to wait only now.
    until(|| {
        clock.advance(LAG / 10);
        samovar.fence().position().seq == version.seq + 1
    });
    assert!(cache.peek("k").is_none());
    block_on(samovar.close()).unwrap();
    drop((samovar, cache));
    // Who starts after it is over repeats nothing.
    clock.advance(LAG);
    let (samovar, _cache) = open(directory.path(), &clock);
    let position = samovar.fence().position();
    clock.advance(10 * LAG);
    assert_eq!(samovar.fence().position(), position);
}
