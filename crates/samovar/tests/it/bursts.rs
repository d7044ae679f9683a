//! More marks at once than the log commits, yields or keeps at once.

use futures_util::future::join_all;
use samovar::Samovar;
use samovar::fence::LocalLog;
use samovar_core::{Day, MarkLog, Mode, Part, Partition, Scope, Span, Verdict};
use samovar_testkit::clock::FakeClock;
use samovar_testkit::log;
use tempfile::tempdir;

use crate::support::{MARKS_MAX, START, block_on, key, mark, open, policy, stamp, whole};

fn days(store: &str, days: i32) -> Vec<Scope> {
    (0..days).map(|day| Scope::Partition(Partition::new(store, Day(day)))).collect()
}

/// A block of one store, read now.
fn block(samovar: &Samovar, store: &str, day: i32) -> samovar_core::Parts {
    let span = Span { store: store.into(), from: Day(day), to: Day(day) };
    [Part { span: Some(span), stamp: stamp(samovar) }].into()
}

#[test]
fn one_append_of_very_many_scopes() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let samovar = open(Some(directory.path()), &clock);
    let cache = samovar.cache::<String>(policy("c"));
    for day in [0, 69_999, 70_000] {
        cache.put(&day.to_string(), "v".to_owned(), block(&samovar, "7", day));
    }
    let version = block_on(samovar.mark(days("7", 70_000), Mode::Remove, "import")).unwrap();
    assert_eq!(version.seq, 70_000, "that of the last of them");
    assert_eq!((samovar.fence().pending(), samovar.fence().position()), (0, version));
    assert!(cache.peek("0").is_none() && cache.peek("69999").is_none(), "they are refused");
    assert_eq!(cache.peek("70000").unwrap().verdict, Verdict::Fresh, "it is not covered");

    cache.put("k", "v".to_owned(), whole(&samovar));
    mark(&samovar, key("c", "k"), Mode::Remove);
    assert!(cache.peek("k").is_none());
    block_on(samovar.close()).unwrap();

    let (log, _) = LocalLog::open(directory.path(), MARKS_MAX).unwrap();
    let snapshot = block_on(log.snapshot()).unwrap();
    assert_eq!((snapshot.head.seq, snapshot.marks.len()), (70_001, 70_001), "all are durable");
}

#[test]
fn many_large_appends_at_once() {
    let samovar = open(None, &FakeClock::at(START));
    let cache = samovar.cache::<String>(policy("c"));
    let stores: Vec<String> = (0..8).map(|store| store.to_string()).collect();
    for store in &stores {
        cache.put(store, "v".to_owned(), block(&samovar, store, 9_999));
    }
    // The first keeps the log busy while the others are handed over, most likely.
    let first = [samovar.mark(days("first", 60_000), Mode::Remove, "import")];
    let others =
        stores.iter().map(|store| samovar.mark(days(store, 10_000), Mode::Remove, "event"));
    let versions = block_on(join_all(first.into_iter().chain(others)));
    for (version, end) in versions.into_iter().zip(6..) {
        assert_eq!(version.unwrap().seq, end * 10_000, "the version of the last of them");
    }
    assert_eq!(samovar.fence().position().seq, 140_000);
    assert!(stores.iter().all(|store| cache.peek(store).is_none()));
    cache.put("k", "v".to_owned(), whole(&samovar));
    mark(&samovar, key("c", "k"), Mode::Remove);
    assert!(cache.peek("k").is_none(), "marks go on");
}

#[test]
fn a_tail_that_is_behind_misses_nothing() {
    let log = LocalLog::volatile(MARKS_MAX).unwrap();
    // Handed over one after the other and not waited for, so that most of them wait together.
    let appends: Vec<_> = (0..8u128)
        .map(|append| {
            let marks = (0..10_000)
                .map(|n| log::mark(append * 10_000 + n, key("c", &n.to_string()), Mode::Remove, 1));
            log.append(marks.collect(), None)
        })
        .collect();
    for (append, end) in appends.into_iter().zip(1..) {
        assert_eq!(
            block_on(append).unwrap().unwrap().seq,
            end * 10_000,
            "the version of the last of them"
        );
    }
    let mut next = 0u64;
    while next < 80_000 {
        for numbered in &*log::marks_after(&log, next) {
            next += 1;
            assert_eq!((numbered.version.seq, numbered.mark.id.0), (next, u128::from(next) - 1));
        }
    }
}
