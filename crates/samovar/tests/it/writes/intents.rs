//! A process that is killed while it writes through leaves nothing old behind: neither on its own disk, nor in the memory
//! of another node.
//!
//! The parent starts this very test binary again as a child, which says what each key is answered, and then writes, and
//! says when the source has committed. Many are killed right there, where the mark is still to come.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use samovar::fence::{RedisLog, RedisLogOptions};
use samovar::redis::RedisSettings;
use samovar_core::{Clock, MarkLog, SystemClock};
use samovar_testkit::redis::{Server, Setup};

use super::*;
use crate::child::{self, Child, random, say};
use crate::support::block_on;

const KEYS: u64 = 4;
/// Between the commit and the writer's answer: there a kill does the most harm.
const AFTER: Duration = Duration::from_millis(2);
/// In the child's directory, where the log of several nodes is; without it the child has one of its own.
const REDIS: &str = "redis";

/// A table as a file of `KEY NUMBER` that is only appended to.
#[derive(Clone)]
struct Table(PathBuf);

impl Table {
    fn row(&self, key: &str) -> u64 {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        let rows = text.lines().filter_map(|line| line.split_once(' '));
        rows.collect::<BTreeMap<_, _>>().get(key).map_or(0, |number| number.parse().unwrap())
    }
}

impl Writer<String> for Table {
    fn write<'a>(
        &'a self,
        writes: &'a [Write<String>],
    ) -> BoxFuture<'a, Vec<Result<(), WriteError>>> {
        Box::pin(async move {
            let mut file = OpenOptions::new().create(true).append(true).open(&self.0).unwrap();
            for Write { key, value, .. } in writes {
                let value = value.as_ref().expect("nothing is deleted");
                // In one piece, or not at all.
                file.write_all(format!("{key} {value}\n").as_bytes()).unwrap();
                say(&format!("commits {key} {value}"));
            }
            SystemClock::new().sleep(AFTER).await;
            writes.iter().map(|_| Ok(())).collect()
        })
    }

    /// Who is dead commits nothing more.
    fn deadline(&self) -> Duration {
        Duration::from_millis(100)
    }
}

struct Node {
    samovar: Samovar,
    cache: Cache<String>,
    table: Table,
}

impl Node {
    /// Over the table in a directory, with its own data in it by that name, if it has any.
    fn open(directory: &Path, data: Option<&str>) -> Node {
        let log = fs::read_to_string(directory.join(REDIS)).ok().map(|url| {
            let redis = RedisSettings::standalone([url]).unwrap();
            let options = RedisLogOptions { lease: Duration::ZERO, ..RedisLogOptions::default() };
            Arc::new(RedisLog::new(&redis, options, Arc::new(SystemClock::new())).unwrap())
        });
        let settings = Settings {
            data_dir: data.map(|name| directory.join(name)),
            log: log.map(|log| log as Arc<dyn MarkLog>),
            ..Settings::default()
        };
        let samovar = block_on(Samovar::open(settings)).unwrap();
        let table = Table(directory.join("table"));
        let policy = CachePolicy { ttl: Duration::from_secs(3_600), ..by(Strategy::WriteThrough) };
        let cache = samovar.cache_with_writer(policy, Arc::new(table.clone()));
        Node { samovar, cache, table }
    }

    fn answer(&self, key: u64) -> u64 {
        let (key, table) = (key.to_string(), self.table.clone());
        let row = key.clone();
        let load = move |_| async move { Ok(table.row(&row).to_string()) };
        let answer = block_on(self.cache.get_or_load(&key, load)).unwrap();
        answer.value.unwrap().parse().unwrap()
    }
}

/// The child; does nothing when it is run as a test among others.
#[test]
fn child() {
    let Some((directory, mut number)) = child::told() else { return };
    let mut seed = number.wrapping_mul(0x9E37_79B9) | 1;
    let node = Node::open(&directory, Some("child"));
    for key in 0..KEYS {
        say(&format!("has {key} {} {}", node.answer(key), node.table.row(&key.to_string())));
    }
    loop {
        // What is written next stands on disk before.
        for key in 0..KEYS {
            node.answer(key);
        }
        block_on(node.samovar.flush()).unwrap();
        number += 1;
        let key = (random(&mut seed) % KEYS).to_string();
        block_on(node.cache.write(&key, number.to_string())).unwrap();
        say(&format!("wrote {key} {number}"));
    }
}

/// Kills a child, and says how many of its commits were not followed by an answer.
fn kill(directory: &Path, seed: &mut u64, from: u64, mut wrote: impl FnMut(u64)) -> u64 {
    let child = Child::start("writes::intents::child", directory, from);
    let (mut committed, mut answered) = (0, 0);
    child.hear_and_kill(KEYS + 1 + random(seed) % 12, |words| match *words {
        ["has", key, here, row] => assert_eq!(here, row, "{key} after {from}"),
        ["commits", ..] => committed += 1,
        ["wrote", key, _] => {
            answered += 1;
            wrote(key.parse().unwrap());
        }
        _ => {}
    });
    committed - answered
}

#[test]
fn who_is_killed_after_the_commit_answers_nothing_old_from_disk() {
    if child::told().is_some() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut seed = 0x5eed;
    // How many are cut there is for the machine to say.
    let (mut cut, mut round) = (0, 0);
    while round < 60 || cut < 5 {
        assert!(round < 1_000, "{cut} were killed between the commit and the answer");
        cut += kill(directory.path(), &mut seed, round * 1_000, |_| {});
        round += 1;
    }
    let node = Node::open(directory.path(), Some("child"));
    for key in 0..KEYS {
        assert_eq!(node.answer(key), node.table.row(&key.to_string()), "{key}");
    }
    block_on(node.samovar.close()).unwrap();
}

#[test]
fn who_is_killed_after_the_commit_has_told_the_other_nodes_once_it_is_back() {
    if child::told().is_some() {
        return;
    }
    let server = Server::launch(&Setup::new()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(REDIS), server.url()).unwrap();
    let other = Node::open(directory.path(), None);
    let (mut seed, mut cut, mut old, mut round) = (0x5eed, 0, 0, 0);
    while round < 20 || cut < 3 || old == 0 {
        assert!(round < 300, "{cut} were killed after a commit, {old} answers were old until then");
        round += 1;
        cut += kill(directory.path(), &mut seed, round * 1_000, |key| {
            other.answer(key);
        });
        let rows = || (0..KEYS).map(|key| other.table.row(&key.to_string()));
        let is_old = |(key, row)| other.answer(key) != row;
        old += (0..KEYS).zip(rows()).filter(|one| is_old(*one)).count();
        let back = Node::open(directory.path(), Some("child"));
        let began = Instant::now();
        while (0..KEYS).zip(rows()).any(is_old) {
            assert!(began.elapsed() < Duration::from_secs(60), "nobody tells in round {round}");
            std::thread::yield_now();
        }
        block_on(back.samovar.close()).unwrap();
    }
    block_on(other.samovar.close()).unwrap();
}
