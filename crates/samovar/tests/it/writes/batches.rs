//! Batches: a writer does many writes in one transaction, and one bad write fails all of them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;
use samovar_core::Clock as _;

use super::*;

/// Does all of a call or nothing of it: what is bad fails the others with it.
#[derive(Default)]
pub(super) struct Table {
    pub(super) source: Source,
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

pub(super) struct Node<T = Table> {
    _directory: tempfile::TempDir,
    pub(super) clock: Arc<FakeClock>,
    pub(super) samovar: Samovar,
    pub(super) cache: Cache<String>,
    pub(super) table: Arc<T>,
}

impl<T: Writer<String>> Node<T> {
    pub(super) async fn open(table: T, write_attempts: u32) -> Node<T> {
        let directory = tempfile::tempdir().unwrap();
        let clock = FakeClock::at(START);
        let samovar = Samovar::open(settings(Some(directory.path()), &clock)).await.unwrap();
        let table = Arc::new(table);
        let policy = CachePolicy { write_attempts, memory: false, ..back() };
        let cache = samovar.cache_with_writer(policy, Arc::clone(&table) as Arc<dyn Writer<_>>);
        Node { _directory: directory, clock, samovar, cache, table }
    }

    /// Has it write these, in order.
    pub(super) async fn write(&self, keys: &[impl AsRef<str>]) {
        let write = |key: &str| {
            let value = format!("of {key}");
            let (cache, key) = (&self.cache, key.to_owned());
            async move { cache.write(&key, value).await.unwrap() }
        };
        join_all(keys.iter().map(|key| write(key.as_ref()))).await;
    }

    /// Lets time pass, a second at a time, until something is so. How much that was.
    pub(super) async fn in_time(&self, is: impl Fn() -> bool) -> Duration {
        let began = self.clock.elapsed();
        loop {
            self.waits().await;
            if is() {
                return self.clock.elapsed() - began;
            }
            self.clock.advance(Duration::from_secs(1));
        }
    }

    /// Lets everything go on until only time can bring more: nothing is left to be written, or replay sleeps.
    pub(super) async fn waits(&self) {
        let began = Instant::now();
        loop {
            goes_on().await;
            // Nobody else sleeps: memory keeps nothing that would have to leave it.
            if self.cache.unwritten() == 0 || self.clock.sleepers() > 0 {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "it never sleeps");
            std::thread::yield_now();
        }
    }

    /// The keys of what was given up.
    pub(super) fn dead(&self) -> Vec<String> {
        self.samovar.dead_letters().iter().map(|letter| letter.key.to_string()).collect()
    }
}

impl Node {
    /// How often its source was called.
    pub(super) fn calls(&self) -> usize {
        self.table.calls.load(Ordering::Relaxed)
    }

    pub(super) fn leave(&self, is_away: bool) {
        self.table.is_away.store(is_away, Ordering::Relaxed);
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
            node.leave(true);
            let keys = keys(&[0, 17, 18, 39]);
            node.write(&keys).await;
            node.in_time(|| node.calls() > 0).await;
            node.leave(false);
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
        node.write(&["bad"]).await;
        node.in_time(|| node.calls() > 0).await;
        node.write(&["bad", "good"]).await;
        node.in_time(|| node.cache.unwritten() == 2).await;
        assert!(node.dead().is_empty() && node.table.source.row("good").is_some());
    });
}

#[test]
fn while_the_source_is_away_few_are_charged_with_it() {
    test(async {
        let node = Node::open(Table::default(), 3).await;
        node.leave(true);
        let keys = keys(&[]);
        node.write(&keys).await;
        // As often as one alone would be given up for.
        node.in_time(|| node.calls() >= 20).await;
        assert!(node.dead().is_empty(), "{:?}", node.dead());
        node.leave(false);
        let before = node.calls();
        node.in_time(|| node.cache.unwritten() == 0).await;
        assert!(keys.iter().all(|key| node.table.source.row(key).is_some()));
        let calls = node.calls() - before;
        assert!(calls < 40, "they come together again: {calls}");
    });
}

#[test]
fn what_is_refused_charges_no_other_of_a_call_that_wrote_nothing() {
    test(async {
        let node = Node::open(Table { refuses: true, ..Table::default() }, 3).await;
        node.leave(true);
        // More calls are refused than one alone would be given up for.
        let keys = keys(&[34, 35, 36, 37, 38]);
        node.write(&keys).await;
        node.in_time(|| node.calls() > 0).await;
        node.leave(false);
        node.in_time(|| node.cache.unwritten() == 0).await;
        let mut dead = node.dead();
        dead.sort();
        assert_eq!(dead, ["bad 34", "bad 35", "bad 36", "bad 37", "bad 38"]);
        assert!(node.table.source.row("good 39").is_some());
    });
}
