//! A process that is killed at any instant loses no write that it acknowledged.
//!
//! The parent starts this very test binary again as a child, which says what stands under each key, and then writes and
//! says what was acknowledged. It is killed in the middle. Values are numbers that only grow.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::thread;

use samovar_core::SystemClock;

use super::*;
use crate::child::{self, Child, random, say};
use crate::support::block_on;

const KEYS: u64 = 6;
const KILLS: usize = 200;
const AT_ONCE: usize = 4;

/// A table as a file of `KEY NUMBER` that is only appended to. Sometimes it fails.
struct Table {
    path: PathBuf,
    failures: Mutex<u64>,
}

impl Table {
    fn rows(path: &Path) -> BTreeMap<String, u64> {
        let text = fs::read_to_string(path).unwrap_or_default();
        let row = |line: &str| {
            let (key, number) = line.split_once(' ')?;
            Some((key.to_owned(), number.parse().ok()?))
        };
        text.lines().filter_map(row).collect()
    }

    fn append(&self, write: &Write<String>) -> Result<(), WriteError> {
        let mut failures = self.failures.lock().unwrap();
        if random(&mut failures).is_multiple_of(20) {
            let error = Error::new(ErrorKind::Source, "away");
            return Err(WriteError::new(Fate::NotWritten, error));
        }
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path).unwrap();
        let value = write.value.as_ref().expect("nothing is deleted");
        // In one piece, or not at all.
        file.write_all(format!("{} {value}\n", write.key).as_bytes()).unwrap();
        Ok(())
    }
}

impl Writer<String> for Table {
    fn write<'a>(
        &'a self,
        writes: &'a [Write<String>],
    ) -> BoxFuture<'a, Vec<Result<(), WriteError>>> {
        Box::pin(async move { writes.iter().map(|write| self.append(write)).collect() })
    }

    /// Who is dead writes no more.
    fn deadline(&self) -> Duration {
        Duration::from_millis(5)
    }
}

fn open(directory: &Path, seed: u64) -> (Samovar, Cache<String>) {
    let settings = Settings {
        data_dir: Some(directory.join("cache")),
        clock: Arc::new(SystemClock::new()),
        sweep_after: None,
        ..Settings::default()
    };
    let samovar = block_on(Samovar::open(settings)).unwrap();
    let table = Table { path: directory.join("table"), failures: Mutex::new(seed | 1) };
    let policy = CachePolicy { disk: false, ..by(Strategy::WriteBack) };
    let policy = CachePolicy { write_attempts: u32::MAX, ..policy };
    let cache = samovar.cache_with_writer(policy, Arc::new(table));
    (samovar, cache)
}

/// The child; does nothing when it is run as a test among others.
#[test]
fn child() {
    let Some((directory, mut number)) = child::told() else { return };
    let mut seed = number.wrapping_mul(0x9E37_79B9) | 1;
    let (samovar, cache) = open(&directory, seed);
    for notice in samovar.counters().notices() {
        say(&format!("notice {}", notice.text));
    }
    for key in 0..KEYS {
        // Here, or at the source once it stands there.
        let here = cache.peek(&key.to_string()).map(|found| found.value().parse::<u64>().unwrap());
        let row = || Table::rows(&directory.join("table")).get(&key.to_string()).copied();
        say(&format!("has {key} {}", here.or_else(row).unwrap_or(0)));
    }
    loop {
        let writes: Vec<(u64, u64)> = (0..1 + random(&mut seed) % 5)
            .map(|_| {
                number += 1;
                (random(&mut seed) % KEYS, number)
            })
            .collect();
        for (key, number) in &writes {
            say(&format!("writes {key} {number}"));
        }
        let written = writes.iter().map(|(key, number)| {
            let cache = &cache;
            async move {
                cache.write(&key.to_string(), number.to_string()).await.unwrap();
                say(&format!("wrote {key} {number}"));
            }
        });
        block_on(futures_util::future::join_all(written));
    }
}

/// What is known of a key: the greatest number that was acknowledged, and the greatest that was tried.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    acknowledged: u64,
    tried: u64,
}

/// Kills so many children over one directory.
fn kill(seed: u64, kills: usize) {
    let directory = tempfile::tempdir().unwrap();
    let mut seed = seed;
    let mut known = vec![Known::default(); KEYS as usize];
    let mut from = 0;
    let mut acknowledged = 0;
    for round in 0..kills {
        let child = Child::start("writes::kills::child", directory.path(), from);
        child.hear_and_kill(KEYS + random(&mut seed) % 60, |words| {
            match *words {
                ["notice", ..] => {
                    assert!(words.join(" ").contains("cut short"), "round {round}: {words:?}");
                }
                [what @ ("has" | "writes" | "wrote"), key, number] => {
                    // A line may be cut by the kill; what a number begins with is no harm.
                    let (Ok(key), Ok(number)) = (key.parse::<usize>(), number.parse()) else {
                        return;
                    };
                    let key = &mut known[key];
                    match what {
                        "has" => assert!(
                            (key.acknowledged..=key.tried).contains(&number),
                            "round {round}: {words:?}, {key:?}"
                        ),
                        "writes" => (key.tried, from) = (key.tried.max(number), from.max(number)),
                        _ => {
                            key.acknowledged = key.acknowledged.max(number);
                            acknowledged += 1;
                        }
                    }
                }
                _ => {}
            }
        });
        // It may have tried more than was heard of.
        from += 1_000;
        known.iter_mut().for_each(|key| key.tried = from);
    }
    assert!(acknowledged > 5 * kills, "{acknowledged} writes");
    let (samovar, cache) = open(directory.path(), 1);
    while cache.unwritten() > 0 {
        thread::yield_now();
    }
    block_on(samovar.close()).unwrap();
    let rows = Table::rows(&directory.path().join("table"));
    for (key, known) in known.iter().enumerate() {
        let row = rows.get(&key.to_string()).copied().unwrap_or_default();
        assert!(row >= known.acknowledged, "{key}: {row} at the source, {known:?}");
    }
}

#[test]
fn two_hundred_kills_lose_no_acknowledged_write() {
    if child::told().is_some() {
        return;
    }
    thread::scope(|scope| {
        for at in 0..AT_ONCE {
            scope.spawn(move || kill(0x5eed + at as u64, KILLS / AT_ONCE));
        }
    });
}
