//! What a restart serves, and how.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use samovar::{Counted, Samovar, Settings, WrapLower};
use samovar_core::{Day, Error, ErrorKind, Mode, Part, Partition, Scope, Span, TierName, Verdict};
use samovar_testkit::clock::FakeClock;
use tempfile::tempdir;

use crate::support::{
    START, TTL, WINDOW, block_on, get, key, mark, open, policy, settings, stamp, text, whole,
};

/// Copies a data directory, as a crash leaves it: every file as it is now, whatever threads have not written yet.
fn crash(from: &std::path::Path) -> tempfile::TempDir {
    let copy = tempdir().unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    copy
}

#[test]
fn what_was_cached_before_is_served_as_stale_until_it_is_read_again() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let samovar = open(Some(directory.path()), &clock);
    let cache = samovar.cache::<String>(policy("c"));
    cache.put("k", "old".to_owned(), whole(&samovar));
    assert_eq!(get(&cache, "k").unwrap().verdict, Verdict::Fresh);
    block_on(samovar.close()).unwrap();

    for restart in 0..3 {
        let samovar = open(Some(directory.path()), &clock);
        let cache = samovar.cache::<String>(policy("c"));
        assert!(cache.peek("k").is_none(), "memory is empty");
        let found = get(&cache, "k").unwrap();
        assert_eq!((&**found, found.tier), ("old", TierName::Disk));
        assert_eq!((found.verdict, found.marked), (Verdict::Stale, true), "restart {restart}");
        let found = cache.peek("k").unwrap();
        assert_eq!((found.verdict, found.marked), (Verdict::Stale, true), "also from memory");
        if restart == 1 {
            // A sweep must not make it fresh.
            block_on(samovar.sweep()).unwrap();
            assert_eq!(get(&cache, "k").unwrap().verdict, Verdict::Stale);
        }
        block_on(samovar.close()).unwrap();
    }

    let samovar = open(Some(directory.path()), &clock);
    let cache = samovar.cache::<String>(policy("c"));
    cache.put("k", "new".to_owned(), whole(&samovar));
    let found = get(&cache, "k").unwrap();
    assert_eq!((&**found, found.verdict), ("new", Verdict::Fresh));
    block_on(samovar.close()).unwrap();
}

#[test]
fn the_stale_window_runs_from_the_first_restart() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let long = samovar::CachePolicy { ttl: WINDOW * 10, ..policy("c") };
    let samovar = open(Some(directory.path()), &clock);
    samovar.cache::<String>(long.clone()).put("k", "old".to_owned(), whole(&samovar));
    block_on(samovar.close()).unwrap();
    for (after, verdict) in [(0, Some(Verdict::Stale)), (600, Some(Verdict::Stale)), (600, None)] {
        clock.advance(Duration::from_secs(after));
        let samovar = open(Some(directory.path()), &clock);
        let cache = samovar.cache::<String>(long.clone());
        assert_eq!(get(&cache, "k").map(|found| found.verdict), verdict);
        block_on(samovar.close()).unwrap();
    }
}

#[test]
fn an_empty_directory_is_not_marked() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    for _ in 0..3 {
        let samovar = open(Some(directory.path()), &clock);
        assert_eq!(samovar.fence().position().seq, 0);
        block_on(samovar.close()).unwrap();
    }
}

#[test]
fn a_crash_after_the_mark_and_before_the_sweep() {
    let clock = FakeClock::at(START);
    let scopes = [
        key("c", "k"),
        Scope::Partition(Partition::new("7", Day(3))),
        Scope::Cache("c".into()),
        Scope::Everything,
    ];
    for scope in scopes {
        let directory = tempdir().unwrap();
        let samovar = open(Some(directory.path()), &clock);
        let cache = samovar.cache::<String>(policy("c"));
        let span = Span { store: "7".into(), from: Day(3), to: Day(3) };
        let parts = [Part { span: Some(span), stamp: stamp(&samovar) }];
        cache.put("k", "old".to_owned(), parts.into());
        samovar.cache::<String>(policy("other")).put("k", "other".to_owned(), whole(&samovar));
        block_on(samovar.flush()).unwrap();
        mark(&samovar, scope.clone(), Mode::Remove);
        let crashed = crash(directory.path());
        drop(samovar);

        let samovar = open(Some(crashed.path()), &clock);
        let cache = samovar.cache::<String>(policy("c"));
        assert_eq!(samovar.usage()[1].1.total().entries, 2, "the frame is still there");
        assert!(get(&cache, "k").is_none(), "{scope}");
        let other = get(&samovar.cache(policy("other")), "k");
        assert_eq!(
            other.is_some(),
            scope != Scope::Everything,
            "what no mark covers stays: {scope}"
        );
        block_on(samovar.sweep()).unwrap();
        assert!(get(&cache, "k").is_none(), "{scope}");
        assert!(samovar.usage()[1].1.total().entries < 2, "the sweep has found it");
        block_on(samovar.close()).unwrap();
    }
}

#[test]
fn a_block_of_days_keeps_those_that_were_not_marked() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let samovar = open(Some(directory.path()), &clock);
    let span = Span { store: "7".into(), from: Day(0), to: Day(9) };
    let parts = [Part { span: Some(span), stamp: stamp(&samovar) }];
    samovar.cache::<String>(policy("c")).put_below("k", "ten days".to_owned(), parts.into());
    block_on(samovar.flush()).unwrap();
    mark(&samovar, Scope::Partition(Partition::new("7", Day(4))), Mode::Remove);
    mark(&samovar, Scope::Partition(Partition::new("7", Day(5))), Mode::Expire);
    mark(&samovar, Scope::Partition(Partition::new("8", Day(6))), Mode::Remove);
    for round in 0..3 {
        // However often it is swept: a sweep must not make the marked days fresh.
        block_on(samovar.sweep()).unwrap();
        let cache = samovar.cache::<String>(policy("c"));
        let found = get(&cache, "k").unwrap();
        assert_eq!(found.verdict, Verdict::Refused, "as bad as its worst day");
        for day in 0..10 {
            let expected = match day {
                4 => Verdict::Refused,
                5 => Verdict::Stale,
                _ => Verdict::Fresh,
            };
            let verdict = cache.judge("k", &found.parts()[0].only(Day(day)), &found);
            assert_eq!(verdict, expected, "day {day}, round {round}, from {}", found.tier);
        }
    }
    block_on(samovar.close()).unwrap();
    let samovar = open(Some(directory.path()), &clock);
    let cache = samovar.cache::<String>(policy("c"));
    block_on(samovar.sweep()).unwrap();
    let found = get(&cache, "k").unwrap();
    for day in 0..10 {
        let expected = if day == 4 { Verdict::Refused } else { Verdict::Stale };
        assert_eq!(cache.judge("k", &found.parts()[0].only(Day(day)), &found), expected);
    }
    block_on(samovar.close()).unwrap();
}

#[test]
fn without_its_log_the_disk_is_not_trusted() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let samovar = open(Some(directory.path()), &clock);
    samovar.cache::<String>(policy("c")).put("k", "old".to_owned(), whole(&samovar));
    block_on(samovar.close()).unwrap();
    fs::remove_file(directory.path().join("marks.redb")).unwrap();
    let samovar = open(Some(directory.path()), &clock);
    let cache = samovar.cache::<String>(policy("c"));
    assert!(get(&cache, "k").is_none(), "another log, another epoch");
    assert!(samovar.counters().notices()[0].text.contains("founded anew"));
    block_on(samovar.sweep()).unwrap();
    assert_eq!(samovar.counters().snapshot().count(Counted::Swept), 1);
    block_on(samovar.close()).unwrap();
}

#[test]
fn a_log_that_lost_its_newest_marks_is_noticed() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let samovar = open(Some(directory.path()), &clock);
    block_on(samovar.close()).unwrap();
    let log = fs::read(directory.path().join("marks.redb")).unwrap();
    let samovar = open(Some(directory.path()), &clock);
    for _ in 0..3 {
        mark(&samovar, Scope::Everything, Mode::Remove);
    }
    samovar.cache::<String>(policy("c")).put("k", "later".to_owned(), whole(&samovar));
    block_on(samovar.close()).unwrap();
    fs::write(directory.path().join("marks.redb"), log).unwrap();
    let samovar = open(Some(directory.path()), &clock);
    let cache = samovar.cache::<String>(policy("c"));
    assert!(get(&cache, "k").is_none(), "a version beyond the head of the log");
    block_on(samovar.close()).unwrap();
}

#[test]
fn past_its_time_it_is_swept() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let samovar = open(Some(directory.path()), &clock);
    let cache = samovar.cache::<String>(policy("c"));
    cache.put("k", "old".to_owned(), whole(&samovar));
    block_on(samovar.flush()).unwrap();
    clock.advance(TTL + WINDOW);
    cache.put("l", "new".to_owned(), whole(&samovar));
    block_on(samovar.sweep()).unwrap();
    assert_eq!(samovar.usage()[1].1.total().entries, 1);
    assert_eq!(text(get(&cache, "l")), Some("new".to_owned()));
    block_on(samovar.close()).unwrap();
}

#[test]
fn marks_are_swept_in_the_background() {
    let directory = tempdir().unwrap();
    let settings = samovar::Settings {
        data_dir: Some(directory.path().into()),
        sweep_after: Some(Duration::from_millis(1)),
        ..samovar::Settings::default()
    };
    let samovar = block_on(Samovar::open(settings)).unwrap();
    let cache = samovar.cache::<String>(policy("c"));
    cache.put("k", "old".to_owned(), whole(&samovar));
    block_on(samovar.flush()).unwrap();
    mark(&samovar, key("c", "k"), Mode::Remove);
    while samovar.counters().snapshot().count(Counted::Swept) == 0 {
        std::thread::yield_now();
    }
    assert_eq!(samovar.usage()[1].1.total().entries, 0);
    block_on(samovar.close()).unwrap();
}

#[test]
fn after_the_end_everything_fails_and_nothing_hangs() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let samovar = open(Some(directory.path()), &clock);
    let cache = samovar.cache::<String>(policy("c"));
    cache.put("k", "v".to_owned(), whole(&samovar));
    cache.put_below("l", "v".to_owned(), whole(&samovar));
    block_on(samovar.close()).unwrap();
    assert!(block_on(samovar.mark(vec![key("c", "k")], Mode::Remove, "late")).is_err());
    assert!(cache.peek("k").is_none(), "it acts all the same");
    assert!(get(&cache, "l").is_none());
    assert!(block_on(samovar.flush()).is_err());
    assert!(block_on(samovar.sweep()).is_err());
    assert!(block_on(cache.room()).is_err());
    let answer = block_on(cache.get_or_load("k", |_| async { Ok("new".to_owned()) })).unwrap();
    assert_eq!(*answer.value.unwrap(), "new", "memory and loads still answer");
    block_on(samovar.close()).unwrap();
}

/// Whoever drops the last handle has let go of everything soon.
#[test]
fn a_cache_that_is_dropped_lets_go_of_its_directory() {
    let directory = tempdir().unwrap();
    let clock = FakeClock::at(START);
    for _ in 0..3 {
        let begun = std::time::Instant::now();
        let opened = loop {
            match block_on(Samovar::open(settings(Some(directory.path()), &clock))) {
                Err(error) if error.kind() == ErrorKind::Held => {
                    assert!(begun.elapsed() < Duration::from_secs(60), "it is held for ever");
                    std::thread::yield_now();
                }
                opened => break opened.unwrap(),
            }
        };
        drop(opened);
    }
}

/// One that could not be opened has let go of what it had opened before, whoever else still knows of it.
#[test]
fn who_tries_again_finds_nothing_held() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let known = Arc::new(Mutex::new(None));
    let knows = Arc::clone(&known);
    let lower: Arc<WrapLower> = Arc::new(move |disk, _| {
        *knows.lock().unwrap() = disk;
        Err(Error::new(ErrorKind::Invalid, "not this time"))
    });
    let failing = Settings { lower: Some(lower), ..settings(Some(directory.path()), &clock) };
    let error = block_on(Samovar::open(failing)).unwrap_err();
    assert_eq!(error.to_string(), "not this time");
    assert!(known.lock().unwrap().is_some());
    block_on(open(Some(directory.path()), &clock).close()).unwrap();
}
