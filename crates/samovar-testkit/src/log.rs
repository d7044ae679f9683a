//! The contract of a mark log as tests, and a log that goes step by step.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a suite fails by panicking: its caller is a test"
)]

mod step;

use std::collections::HashSet;
use std::sync::Arc;
use std::thread;

use futures_executor::block_on;
use futures_util::FutureExt;
use samovar_core::{
    Epoch, Error, Key, Mark, MarkId, MarkLog, Millis, Mode, Next, Numbered, Partition, Scope,
    Snapshot, Version,
};

pub use step::StepLog;

/// A mark for tests; its name is `id`.
///
/// ```
/// # use samovar_core::{Mark, Millis, Mode, Scope};
/// # use samovar_testkit::log::mark;
/// let removed = mark(1, Scope::Cache("prices".into()), Mode::Remove, 1_000);
/// assert_eq!((removed.at, removed.priority), (Millis(1_000), Mark::PRIORITY));
/// ```
pub fn mark(id: u128, scope: Scope, mode: Mode, at: i64) -> Mark {
    let priority = Mark::PRIORITY;
    Mark { id: MarkId(id), scope, mode, at: Millis(at), reason: "test".into(), priority }
}

/// Appends marks, wherever the log stands. The version of the last.
///
/// ```
/// # use samovar_core::{Mode, Scope};
/// # use samovar_testkit::log::{StepLog, append, mark};
/// # fn main() -> Result<(), samovar_core::Error> {
/// let log = StepLog::at_once();
/// let marks = [1, 2].map(|id| mark(id, Scope::Everything, Mode::Expire, 0));
/// assert_eq!(append(&*log, marks.into())?.seq, 2);
/// # Ok(())
/// # }
/// ```
pub fn append(log: &dyn MarkLog, marks: Vec<Mark>) -> Result<Version, Error> {
    Ok(block_on(log.append(marks, None))?.expect("no head was named that it could differ from"))
}

/// Some marks after a number, at least one.
///
/// ```
/// # use samovar_core::{MarkId, Mode, Scope};
/// # use samovar_testkit::log::{StepLog, append, mark, marks_after};
/// # fn main() -> Result<(), samovar_core::Error> {
/// let log = StepLog::at_once();
/// for id in 1..=3 {
///     append(&*log, vec![mark(id, Scope::Everything, Mode::Expire, 0)])?;
/// }
/// let ids: Vec<MarkId> = marks_after(&*log, 1).iter().map(|there| there.mark.id).collect();
/// assert_eq!(ids, [MarkId(2), MarkId(3)]);
/// # Ok(())
/// # }
/// ```
pub fn marks_after(log: &dyn MarkLog, after: u64) -> Arc<[Numbered]> {
    let history = block_on(log.snapshot()).unwrap().history;
    match block_on(log.next(&history, after)).unwrap() {
        Next::Marks(marks) => marks,
        other => panic!("marks after {after} were asked for, not {other:?}"),
    }
}

fn some_scopes() -> Vec<Scope> {
    vec![
        Scope::Key(Key::new("prices", "42")),
        Scope::Key(Key::new("prices", "")),
        Scope::Partition(Partition::new("门店7", samovar_core::Day(20_000))),
        Scope::Cache("prices".into()),
        Scope::Everything,
        Scope::Pattern("pri*:4[0-9]".parse().unwrap()),
        Scope::Tag("夏".into()),
    ]
}

/// What every mark log promises. `fresh` makes an empty one.
///
/// As a test, with a log of one's own in place of this one:
///
/// ```
/// use samovar_testkit::log::{StepLog, suite};
///
/// suite(|| StepLog::at_once());
/// ```
pub fn suite(fresh: impl Fn() -> Arc<dyn MarkLog>) {
    // Who opens a log looks at what it holds before anything else.
    let fresh = || {
        let log = fresh();
        block_on(log.snapshot()).unwrap();
        log
    };
    appends_only_where_it_was_seen(&*fresh());
    begins_empty(&*fresh());
    numbers_densely_and_yields_in_order(&*fresh());
    remembers_what_still_counts(&*fresh());
    tail_waits_for_the_next(&*fresh());
    appends_from_many_threads_stay_whole(&fresh());
}

/// What a durable log promises beside that. `open` opens the same log, again and again; it is empty at first.
///
/// What was appended is there for whoever opens the log next, and who has closed it appends no
/// more:
///
/// ```
/// use std::future::ready;
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicBool, Ordering};
///
/// use samovar_core::{BoxFuture, Error, ErrorKind, Mark, MarkLog, Version};
/// use samovar_testkit::log::{StepLog, durable_suite};
/// # use samovar_core::{History, Next, Snapshot};
///
/// struct Opened {
///     log: Arc<StepLog>, // stands for a file
///     closed: AtomicBool,
/// }
///
/// impl MarkLog for Opened {
///     fn append(
///         &self,
///         marks: Vec<Mark>,
///         head: Option<Version>,
///     ) -> BoxFuture<'static, Result<Option<Version>, Error>> {
///         if self.closed.load(Ordering::SeqCst) {
///             return Box::pin(ready(Err(Error::new(ErrorKind::Closed, "the log is closed"))));
///         }
///         self.log.append(marks, head)
///     }
///     fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
///         self.closed.store(true, Ordering::SeqCst);
///         Box::pin(ready(Ok(())))
///     }
///     // … and the rest as any log has it.
/// #     fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, Error>> {
/// #         self.log.snapshot()
/// #     }
/// #     fn next<'a>(&'a self, of: &'a History, after: u64) -> BoxFuture<'a, Result<Next, Error>> {
/// #         self.log.next(of, after)
/// #     }
/// }
///
/// let log = StepLog::at_once();
/// durable_suite(|| Arc::new(Opened { log: log.clone(), closed: AtomicBool::new(false) }));
/// ```
pub fn durable_suite(open: impl Fn() -> Arc<dyn MarkLog>) {
    let mut last = None;
    for round in 0..4u128 {
        let log = open();
        let before = block_on(log.snapshot()).unwrap();
        assert_eq!(Some(before.head), last.or(Some(before.head)), "the head comes back");
        let scopes = some_scopes();
        let count = scopes.len() as u64;
        let scopes = scopes.into_iter().enumerate();
        let marks =
            scopes.map(|(at, scope)| mark(round * 100 + at as u128, scope, Mode::Remove, 5));
        let version = append(&*log, marks.collect()).unwrap();
        assert_eq!(version.epoch, before.head.epoch, "so does the epoch");
        assert_eq!(version.seq, before.head.seq + count, "and numbers go on");
        // Neither closed nor flushed: what was acknowledged is there.
        if round % 2 == 0 {
            block_on(log.close()).unwrap();
            assert!(append(&*log, vec![mark(9, Scope::Everything, Mode::Remove, 5)]).is_err());
        }
        drop(log);
        last = Some(version);
    }
}

fn begins_empty(log: &dyn MarkLog) {
    let Snapshot { history, marks, head, shared: _ } = block_on(log.snapshot()).unwrap();
    assert_eq!(head.seq, 0);
    assert!(history.holds(head), "the head lies on the history");
    assert!(marks.is_empty());
}

fn numbers_densely_and_yields_in_order(log: &dyn MarkLog) {
    let mut appended = Vec::new();
    for batch in 0..5u128 {
        let priority = batch as u8 * 25;
        let one = |n| mark(batch * 10 + n, Scope::Everything, Mode::Expire, 7);
        let marks: Vec<Mark> = (0..=batch).map(|n| Mark { priority, ..one(n) }).collect();
        appended.extend(marks.clone());
        let version = append(log, marks).unwrap();
        assert_eq!(version.seq, appended.len() as u64, "the version of the last of them");
        assert!(block_on(log.snapshot()).unwrap().history.holds(version));
    }
    for after in 0..appended.len() as u64 {
        let mut seen = Vec::new();
        while seen.len() < appended.len() - after as usize {
            let next = marks_after(log, after + seen.len() as u64);
            assert!(!next.is_empty());
            seen.extend(next.iter().cloned());
        }
        for (number, yielded) in (after + 1..).zip(&seen) {
            assert_eq!(yielded.version.seq, number);
            assert_eq!(yielded.mark, appended[number as usize - 1]);
        }
    }
}

fn remembers_what_still_counts(log: &dyn MarkLog) {
    let mut id = 0;
    let mut add = |scope: &Scope, mode, at| {
        id += 1;
        append(log, vec![mark(id, scope.clone(), mode, at)]).unwrap().seq
    };
    for scope in some_scopes() {
        add(&scope, Mode::Expire, 1);
        let removed = add(&scope, Mode::Remove, 2);
        let expired: Vec<u64> = (0..40).map(|n| add(&scope, Mode::Expire, 10 + n)).collect();
        let snapshot = block_on(log.snapshot()).unwrap();
        assert!(snapshot.marks.windows(2).all(|two| two[0].version.seq < two[1].version.seq));
        let of_scope: Vec<&Numbered> =
            snapshot.marks.iter().filter(|numbered| numbered.mark.scope == scope).collect();
        let modes = |mode| of_scope.iter().filter(move |numbered| numbered.mark.mode == mode);
        assert!(modes(Mode::Remove).any(|n| n.version.seq == removed), "the newest remove");
        assert!(modes(Mode::Expire).any(|n| n.version.seq == expired[39]), "the newest expire");
        // Whatever was merged: for every version, the first expire after it is not later than it was.
        for (at, after) in (10i64..).zip(&expired) {
            let first =
                modes(Mode::Expire).filter(|n| n.version.seq >= *after).map(|n| n.mark.at).min();
            assert!(first.is_some_and(|first| first <= Millis(at)), "{after}: {first:?}");
        }
    }
}

fn tail_waits_for_the_next(log: &dyn MarkLog) {
    let history = block_on(log.snapshot()).unwrap().history;
    let mut tail = log.next(&history, 0);
    assert!((&mut tail).now_or_never().is_none(), "there is nothing yet");
    let sent = mark(1, Scope::Everything, Mode::Remove, 1);
    append(log, vec![sent.clone()]).unwrap();
    assert!(matches!(block_on(tail).unwrap(), Next::Marks(marks) if marks[0].mark == sent));
}

fn appends_only_where_it_was_seen(log: &dyn MarkLog) {
    let one = |id| vec![mark(id, Scope::Everything, Mode::Remove, 1)];
    let empty = block_on(log.snapshot()).unwrap();
    let epoch = empty.history.epoch().unwrap();
    let at = |seq| Some(Version { epoch, seq });
    assert_eq!(block_on(log.append(one(1), at(0))).unwrap(), at(1));
    assert_eq!(block_on(log.append(one(2), at(0))).unwrap(), None, "it has gone on");
    let other = Some(Version { epoch: Epoch(!epoch.0), seq: 1 });
    assert_eq!(block_on(log.append(one(3), other)).unwrap(), None, "of another epoch");
    assert_eq!(block_on(log.append(one(4), at(1))).unwrap(), at(2));
    let there: Vec<u128> = marks_after(log, 0).iter().map(|there| there.mark.id.0).collect();
    assert_eq!(there, [1, 4]);
}

fn appends_from_many_threads_stay_whole(log: &Arc<dyn MarkLog>) {
    thread::scope(|threads| {
        for thread in 0..8u128 {
            threads.spawn(move || {
                for round in 0..10u128 {
                    let marks = (0..3).map(|n| {
                        mark(thread * 1_000 + round * 10 + n, Scope::Everything, Mode::Remove, 1)
                    });
                    append(&**log, marks.collect()).unwrap();
                }
            });
        }
    });
    let mut all: Vec<Numbered> = Vec::new();
    while all.len() < 240 {
        all.extend(marks_after(&**log, all.len() as u64).iter().cloned());
    }
    let names: HashSet<MarkId> = all.iter().map(|numbered| numbered.mark.id).collect();
    assert_eq!((all.len(), names.len()), (240, 240));
    for append in all.chunks(3) {
        let first = append[0].mark.id.0;
        assert!(
            append.iter().zip(first..).all(|(numbered, id)| numbered.mark.id.0 == id),
            "not torn"
        );
    }
}
