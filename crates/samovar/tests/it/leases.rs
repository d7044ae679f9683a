//! Of several processes that share a Redis one loads a key, whatever becomes of it and of Redis.
//!
//! The parent starts this very test binary again, as processes that all ask for one key once they are told to. Each
//! load leaves a line in a file.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use samovar::fence::{RedisLog, RedisLogOptions};
use samovar::redis::RedisSettings;
use samovar::{CachePolicy, Event, Samovar, Settings};
use samovar_core::{Clock, MarkLog, SystemClock};
use samovar_testkit::redis::{Server, Setup};
use tempfile::tempdir;

use crate::support::block_on;

const URL: &str = "SAMOVAR_TEST_LEASE_URL";
const FILE: &str = "SAMOVAR_TEST_LEASE_FILE";
const TIME: &str = "SAMOVAR_TEST_LEASE_MILLIS";
/// In each of three processes: 10,002 in all.
const CALLERS: usize = 3_334;
const PROCESSES: usize = 3;
/// How long a load takes.
const LOAD: Duration = Duration::from_millis(300);

fn redis(url: &str, response_timeout: Duration) -> RedisSettings {
    let patience = Duration::from_secs(20);
    let redis = RedisSettings::standalone([url]).unwrap();
    RedisSettings { connect_timeout: patience, response_timeout, slow: patience, ..redis }
}

fn log(redis: &RedisSettings) -> RedisLog {
    let options = RedisLogOptions {
        lease: Duration::ZERO,
        margin: Duration::ZERO,
        ..RedisLogOptions::default()
    };
    RedisLog::new(redis, options, Arc::new(SystemClock::new())).unwrap()
}

fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "@{what}").unwrap();
    out.flush().unwrap();
}

/// One of the processes; does nothing when it is run as a test among others.
#[test]
fn child() {
    let (Ok(url), Ok(file), Ok(time)) = (env::var(URL), env::var(FILE), env::var(TIME)) else {
        return;
    };
    let load_lease = Some(Duration::from_millis(time.parse().unwrap()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let redis = redis(&url, Duration::from_secs(20));
        let settings = Settings {
            log: Some(Arc::new(log(&redis))),
            redis: Some(redis),
            ..Settings::default()
        };
        let samovar = Samovar::open(settings).await.unwrap();
        let policy = CachePolicy { load_lease, ..CachePolicy::named("c") };
        let cache = samovar.cache::<String>(policy);
        assert!(cache.get("another").await.is_none(), "it is connected");
        say("ready");
        std::io::stdin().lock().read_line(&mut String::new()).unwrap();
        let asked: Vec<_> = (0..CALLERS)
            .map(|_| {
                let (cache, file) = (cache.clone(), file.clone());
                let load = |_| async move {
                    let mut file = OpenOptions::new().append(true).open(file).unwrap();
                    writeln!(file, "{}", std::process::id()).unwrap();
                    say("loads");
                    SystemClock::new().sleep(LOAD).await;
                    Ok("v".to_owned())
                };
                tokio::spawn(async move { cache.get_or_load("k", load).await })
            })
            .collect();
        for asked in asked {
            let answer = asked.await.unwrap().unwrap();
            assert_eq!(answer.value.as_deref().map(String::as_str), Some("v"));
        }
        let waited = samovar.counters().snapshot().event(Event::LoadElsewhere);
        say(if waited > 0 { "answered, waited" } else { "answered" });
        // Redis may be gone, and says so.
        let _ = samovar.close().await;
    });
}

/// The processes, and what they say.
struct World {
    server: Server,
    children: Vec<(Child, Lines<BufReader<ChildStdout>>)>,
    file: PathBuf,
}

impl World {
    fn start(directory: &Path, time: Duration) -> World {
        let server = Server::launch(&Setup::new()).unwrap();
        let file = directory.join("loads");
        fs::write(&file, "").unwrap();
        // Founded, so that none of them has to.
        block_on(log(&redis(&server.url(), Duration::from_secs(20))).snapshot()).unwrap();
        let child = |_| {
            let mut child = Command::new(env::current_exe().unwrap())
                .args(["leases::child", "--exact", "--nocapture", "--test-threads=1"])
                .env(URL, server.url())
                .env(FILE, &file)
                .env(TIME, time.as_millis().to_string())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            (child, lines)
        };
        let mut world = World { children: (0..PROCESSES).map(child).collect(), server, file };
        for at in 0..PROCESSES {
            assert_eq!(world.hear(at), Some("ready".to_owned()));
        }
        for (child, _) in &mut world.children {
            child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
        }
        world
    }

    /// What a process says next; `None`: it has ended.
    fn hear(&mut self, at: usize) -> Option<String> {
        let lines = self.children[at].1.by_ref().map_while(Result::ok);
        let mut said = lines.filter_map(|line| Some(line.split_once('@')?.1.to_owned()));
        said.next()
    }

    /// The processes by which it was loaded so far.
    fn loads(&self) -> Vec<u32> {
        let text = fs::read_to_string(&self.file).unwrap();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }

    /// Waits for the first load, and tells which process it is in.
    fn loading(&mut self) -> usize {
        let clock = SystemClock::new();
        while self.loads().is_empty() {
            assert!(clock.elapsed() < Duration::from_secs(60), "nobody loads");
            std::thread::yield_now();
        }
        let loads = self.loads()[0];
        self.children.iter().position(|(child, _)| child.id() == loads).unwrap()
    }

    /// The last that each process says: all of its callers have been answered.
    fn end(&mut self, except: Option<usize>) -> Vec<String> {
        let mut last = Vec::new();
        for at in (0..PROCESSES).filter(|at| Some(*at) != except) {
            let said: Vec<String> = std::iter::from_fn(|| self.hear(at)).collect();
            assert!(self.children[at].0.wait().unwrap().success(), "{at}: {said:?}");
            last.push(said.last().unwrap().clone());
        }
        last
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for (child, _) in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn ten_thousand_callers_in_three_processes_load_once() {
    let directory = tempdir().unwrap();
    let mut world = World::start(directory.path(), Duration::from_secs(60));
    let ends = world.end(None);
    assert_eq!(world.loads().len(), 1);
    let waited = ends.iter().filter(|end| *end == "answered, waited").count();
    assert!(waited < PROCESSES && ends.iter().all(|end| end.starts_with("answered")));
    let lease = world.server.cli(&["EXISTS", "samovar:_lease:c:k"]).unwrap();
    assert_eq!(lease, "0", "it was given back");
    assert_ne!(world.server.cli(&["GET", "samovar:_leases"]).unwrap(), "", "it had a number");
}

#[test]
fn a_leader_that_is_killed_is_followed_by_another() {
    let directory = tempdir().unwrap();
    let mut world = World::start(directory.path(), Duration::from_secs(2));
    let leader = world.loading();
    world.children[leader].0.kill().unwrap();
    world.end(Some(leader));
    let loads = world.loads();
    assert_eq!(loads.len(), 2, "by the one that was killed, and by one more: {loads:?}");
    assert_ne!(loads[0], loads[1]);
}

#[test]
fn if_redis_is_killed_while_one_loads_all_are_answered() {
    let directory = tempdir().unwrap();
    let mut world = World::start(directory.path(), Duration::from_secs(60));
    world.loading();
    world.server.kill().unwrap();
    world.end(None);
    let mut loads = world.loads();
    loads.sort_unstable();
    loads.dedup();
    assert_eq!(loads.len(), world.loads().len(), "each process at most once");
}
