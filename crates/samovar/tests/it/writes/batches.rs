//! Batches: a writer does many writes in one transaction, and one bad write fails all of them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;

/// Does all of a call or nothing of it: what is bad fails the others with it.
#[derive(Default)]
struct Table {
    source: Source,
    is_away: AtomicBool,
    /// What a bad write does: nobody knows what became of it, or nothing is written.
    loses: bool,
    /// The first bad write of a call is refused, and nothing of the call is written.
    refuses: bool,
    calls: AtomicUsize,
}

impl Writer<String> for Table {
    fn write<'a>(
        &'a self,
        writes: &'a [Write<String>],
    ) -> BoxFuture<'a, Vec<Result<(), WriteError>>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let is_bad = |write: &Write<String>| write.key.starts_with("bad");
        if !self.is_away.load(Ordering::Relaxed) && !writes.iter().any(is_bad) {
            return self.source.write(writes);
        }
        let fate = if self.loses { Fate::Unknown } else { Fate::NotWritten };
        let error = WriteError::new(fate, Error::new(ErrorKind::Source, "a lock was held"));
        let mut answers: Vec<_> = writes.iter().map(|_| Err(error.clone())).collect();
        let is_refused = self.refuses && !self.is_away.load(Ordering::Relaxed);
        if let Some(at) = writes.iter().position(is_bad).filter(|_| is_refused) {
            answers[at] = Err(WriteError { fate: Fate::Refused, ..error });
        }
        Box::pin(async move { answers })
    }

    fn deadline(&self) -> Duration {
        DEADLINE
    }
}

struct Node {
    _directory: tempfile::TempDir,
    clock: Arc<FakeClock>,
    samovar: Samovar,
    cache: Cache<String>,
    table: Arc<Table>,
}

impl Node {
    async fn open(table: Table, write_attempts: u32) -> Node {
        let directory = tempfile::tempdir().unwrap();
        let clock = FakeClock::at(START);
        let samovar = Samovar::open(settings(Some(directory.path()), &clock)).await.unwrap();
        let table = Arc::new(table);
        let policy = CachePolicy { write_attempts, ..by(Strategy::WriteBack) };
        let cache = samovar.cache_with_writer(policy, Arc::clone(&table) as Arc<dyn Writer<_>>);
        Node { _directory: directory, clock, samovar, cache, table }
    }

    /// Has it write these while the source is away, so that they come in one batch.
    async fn write(&self, keys: &[String]) {
        for key in keys {
            self.cache.write(key, format!("of {key}")).await.unwrap();
        }
    }

    /// Lets time pass until something is so.
    async fn in_time(&self, is: impl Fn() -> bool) {
        until(|| {
            self.clock.advance(Duration::from_secs(1));
            is()
        })
        .await;
    }

    /// The keys of what was given up.
    fn dead(&self) -> Vec<String> {
        self.samovar.dead_letters().iter().map(|letter| letter.key.to_string()).collect()
    }
}

fn keys(bad: &[usize]) -> Vec<String> {
    let name = |at| if bad.contains(&at) { format!("bad {at}") } else { format!("good {at}") };
    (0..40).map(name).collect()
}

#[test]
fn a_bad_write_takes_no_other_along() {
    for loses in [false, true] {
        test(async {
            let node = Node::open(Table { loses, ..Table::default() }, 3).await;
            node.table.is_away.store(true, Ordering::Relaxed);
            let keys = keys(&[0, 17, 18, 39]);
            node.write(&keys).await;
            node.in_time(|| node.table.calls.load(Ordering::Relaxed) > 0).await;
            node.table.is_away.store(false, Ordering::Relaxed);
            node.in_time(|| node.cache.unwritten() == 0).await;
            for key in &keys {
                let is_written = node.table.source.row(key).is_some();
                assert_eq!(is_written, key.starts_with("good"), "{key}");
            }
            let mut dead = node.dead();
            dead.sort();
            assert_eq!(dead, ["bad 0", "bad 17", "bad 18", "bad 39"]);
            let letters = node.samovar.dead_letters();
            assert!(letters.iter().all(|letter| letter.attempts == 3), "{letters:?}");
        });
    }
}

#[test]
fn what_stands_behind_a_bad_write_of_its_key_waits_and_nothing_else_does() {
    test(async {
        let node = Node::open(Table::default(), u32::MAX).await;
        node.write(&["bad".to_owned()]).await;
        node.in_time(|| node.table.calls.load(Ordering::Relaxed) > 0).await;
        node.write(&["bad".to_owned(), "good".to_owned()]).await;
        node.in_time(|| node.cache.unwritten() == 2).await;
        assert!(node.dead().is_empty() && node.table.source.row("good").is_some());
    });
}

#[test]
fn while_the_source_is_away_few_are_charged_with_it() {
    test(async {
        let node = Node::open(Table::default(), 3).await;
        node.table.is_away.store(true, Ordering::Relaxed);
        let keys = keys(&[]);
        node.write(&keys).await;
        // As often as one alone would be given up for.
        let calls = || node.table.calls.load(Ordering::Relaxed);
        node.in_time(|| calls() >= 20).await;
        assert!(node.dead().is_empty(), "{:?}", node.dead());
        node.table.is_away.store(false, Ordering::Relaxed);
        let before = calls();
        node.in_time(|| node.cache.unwritten() == 0).await;
        assert!(keys.iter().all(|key| node.table.source.row(key).is_some()));
        assert!(calls() - before < 40, "they come together again: {}", calls() - before);
    });
}

#[test]
fn what_is_refused_charges_no_other_of_a_call_that_wrote_nothing() {
    test(async {
        let node = Node::open(Table { refuses: true, ..Table::default() }, 3).await;
        node.table.is_away.store(true, Ordering::Relaxed);
        // More calls are refused than one alone would be given up for.
        let keys = keys(&[34, 35, 36, 37, 38]);
        node.write(&keys).await;
        node.in_time(|| node.table.calls.load(Ordering::Relaxed) > 0).await;
        node.table.is_away.store(false, Ordering::Relaxed);
        node.in_time(|| node.cache.unwritten() == 0).await;
        let mut dead = node.dead();
        dead.sort();
        assert_eq!(dead, ["bad 34", "bad 35", "bad 36", "bad 37", "bad 38"]);
        assert!(node.table.source.row("good 39").is_some());
    });
}
