//! Of several processes that share a Redis one loads a key, whatever becomes of it and of Redis.
//!
//! The parent starts this very test binary again, as processes that all ask for one key once they are told to. Each
//! load leaves a line in a file.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use samovar::fence::{RedisLog, RedisLogOptions};
use samovar::redis::RedisSettings;
use samovar::{
    Answer, Cache, CachePolicy, Counted, LoadMany, Outcome, ReadOptions, Samovar, Settings,
};
use samovar_core::{Clock, Error, ErrorKind, MarkLog, SystemClock};
use samovar_testkit::redis::{Server, Setup};
use tempfile::tempdir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::support::block_on;

const URL: &str = "SAMOVAR_TEST_LEASE_URL";
const FILE: &str = "SAMOVAR_TEST_LEASE_FILE";
const TIME: &str = "SAMOVAR_TEST_LEASE_MILLIS";
const LOAD_TIME: &str = "SAMOVAR_TEST_LEASE_LOAD_MILLIS";
/// In each of three processes: 10,002 in all.
const CALLERS: usize = 3_334;
const PROCESSES: usize = 3;
/// How long a load takes, where nobody is to be caught at it.
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

/// A node.
async fn open(url: &str) -> Samovar {
    let redis = redis(url, Duration::from_secs(20));
    let log = Some(Arc::new(log(&redis)) as Arc<dyn MarkLog>);
    let settings = Settings { log, redis: Some(redis), ..Settings::default() };
    Samovar::open(settings).await.unwrap()
}

fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "@{what}").unwrap();
    out.flush().unwrap();
}

/// One of the processes; does nothing when it is run as a test among others.
#[test]
fn child() {
    let (Ok(url), Ok(file)) = (env::var(URL), env::var(FILE)) else { return };
    let time = |name| Duration::from_millis(env::var(name).unwrap().parse().unwrap());
    let (load_lease, load_time) = (Some(time(TIME)), time(LOAD_TIME));
    together(async {
        let samovar = open(&url).await;
        let policy = CachePolicy { load_lease, ..CachePolicy::named("c") };
        let cache = samovar.cache::<String>(policy);
        assert!(cache.get("another").await.is_none(), "it is connected");
        say("ready");
        std::io::stdin().lock().read_line(&mut String::new()).unwrap();
        let asked: Vec<_> = (0..CALLERS)
            .map(|_| {
                let (cache, file) = (cache.clone(), file.clone());
                let load = move |_| async move {
                    let mut file = OpenOptions::new().append(true).open(file).unwrap();
                    writeln!(file, "{}", std::process::id()).unwrap();
                    say("loads");
                    SystemClock::new().sleep(load_time).await;
                    Ok("v".to_owned())
                };
                tokio::spawn(async move { cache.get_or_load("k", load).await })
            })
            .collect();
        for asked in asked {
            let answer = asked.await.unwrap().unwrap();
            assert_eq!(answer.value.as_deref().map(String::as_str), Some("v"));
        }
        let waited = samovar.counters().snapshot().count(Counted::LoadElsewhere);
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
    fn start(directory: &Path, lease: Duration, load: Duration) -> World {
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
                .env(TIME, lease.as_millis().to_string())
                .env(LOAD_TIME, load.as_millis().to_string())
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
    let mut world = World::start(directory.path(), Duration::from_secs(60), LOAD);
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
    // It is killed before it is done, and its follower is done before others wait no longer: two leases.
    let (lease, load) = (Duration::from_secs(5), Duration::from_secs(2));
    let mut world = World::start(directory.path(), lease, load);
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
    let mut world = World::start(directory.path(), Duration::from_secs(60), LOAD);
    world.loading();
    world.server.kill().unwrap();
    world.end(None);
    let mut loads = world.loads();
    loads.sort_unstable();
    loads.dedup();
    assert_eq!(loads.len(), world.loads().len(), "each process at most once");
}

/// A node that loads many keys at a time, and is told by hand what its source says.
struct Node {
    samovar: Samovar,
    cache: Cache<String>,
    /// The keys that were asked for, call by call.
    asked: Arc<Mutex<Vec<Vec<String>>>>,
    say: mpsc::UnboundedSender<Result<(), Error>>,
    said: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Result<(), Error>>>>,
}

type Answers = Vec<Result<Answer<String>, Error>>;

impl Node {
    async fn open(server: &Server, load_lease: Duration) -> Node {
        let samovar = open(&server.url()).await;
        let policy = CachePolicy { load_lease: Some(load_lease), ..CachePolicy::named("c") };
        let cache = samovar.cache(policy);
        let (say, said) = mpsc::unbounded_channel();
        let said = Arc::new(tokio::sync::Mutex::new(said));
        Node { samovar, cache, asked: Arc::default(), say, said }
    }

    /// Two on one Redis.
    async fn two(load_lease: Duration) -> (Server, Node, Node) {
        let server = Server::launch(&Setup::new()).unwrap();
        let one = Node::open(&server, load_lease).await;
        let other = Node::open(&server, load_lease).await;
        (server, one, other)
    }

    fn ask(&self, keys: &'static [&'static str]) -> JoinHandle<Answers> {
        let (cache, asked, said) = (self.cache.clone(), self.asked.clone(), self.said.clone());
        let load = move |load: LoadMany| {
            let keys: Vec<String> = load.keys().iter().map(|key| key.to_string()).collect();
            asked.lock().unwrap().push(keys.clone());
            let said = said.clone();
            async move {
                said.lock().await.recv().await.unwrap()?;
                Ok(keys.into_iter().map(|key| (key.clone(), key)).collect::<Vec<_>>())
            }
        };
        tokio::spawn(
            async move { cache.get_or_load_many(keys, ReadOptions::default(), load).await },
        )
    }

    /// Waits until it has asked its source so many times.
    async fn has_asked(&self, calls: usize) -> Vec<Vec<String>> {
        until(|| self.asked.lock().unwrap().len() >= calls).await;
        self.asked.lock().unwrap().clone()
    }

    /// Waits until it waits for other nodes, with so many keys.
    async fn waits(&self, keys: u64) {
        let waits = || self.samovar.counters().snapshot().count(Counted::LoadElsewhere);
        until(|| waits() == keys).await;
    }
}

async fn until(is: impl Fn() -> bool) {
    let clock = SystemClock::new();
    while !is() {
        assert!(clock.elapsed() < Duration::from_secs(60), "it never comes");
        clock.sleep(Duration::from_millis(1)).await;
    }
}

fn together<T>(body: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(body)
}

fn told(answers: Answers) -> Vec<(String, Outcome)> {
    let told = |answer: Answer<String>| (answer.value.unwrap().to_string(), answer.outcome);
    answers.into_iter().map(|answer| told(answer.unwrap())).collect()
}

const LONG: Duration = Duration::from_secs(600);

#[test]
fn of_two_nodes_with_many_keys_each_loads_its_own_and_waits_for_the_rest() {
    together(async {
        let (server, one, other) = Node::two(LONG).await;
        let first = one.ask(&["1", "2", "3"]);
        one.has_asked(1).await;
        let second = other.ask(&["4", "3", "2"]);
        assert_eq!(other.has_asked(1).await, [["4"]]);
        other.say.send(Ok(())).unwrap();
        other.waits(2).await;
        // What it has loaded holds nobody up meanwhile.
        let single = one.cache.get_or_load("4", |_| async { Ok("again".to_owned()) }).await;
        assert_eq!(single.unwrap().outcome, Outcome::Hit);
        let anew = ReadOptions { refresh: true, ..ReadOptions::default() };
        let load = |_| async { Ok("4".to_owned()) };
        let read = other.cache.get_or_load_with("4", anew, load);
        let read = tokio::time::timeout(Duration::from_secs(60), read).await;
        assert_eq!(read.expect("its flight has landed").unwrap().outcome, Outcome::Loaded);
        one.say.send(Ok(())).unwrap();
        let loaded = |key: &str| (key.to_owned(), Outcome::Loaded);
        let found = |key: &str| (key.to_owned(), Outcome::Hit);
        assert_eq!(told(first.await.unwrap()), ["1", "2", "3"].map(loaded));
        let second = told(second.await.unwrap());
        assert_eq!(second, [loaded("4"), found("3"), found("2")]);
        assert_eq!((one.has_asked(1).await.len(), other.has_asked(1).await.len()), (1, 1));
        let is_free = || server.cli(&["KEYS", "*_lease:*"]).unwrap().is_empty();
        until(is_free).await;
    });
}

#[test]
fn what_another_node_was_to_load_and_did_not_is_loaded_in_a_further_call() {
    together(async {
        let (_server, one, other) = Node::two(LONG).await;
        let first = one.ask(&["1", "2"]);
        one.has_asked(1).await;
        let second = other.ask(&["1", "2", "3"]);
        assert_eq!(other.has_asked(1).await, [["3"]]);
        other.say.send(Ok(())).unwrap();
        other.waits(2).await;
        one.say.send(Err(Error::new(ErrorKind::Source, "down"))).unwrap();
        assert!(first.await.unwrap().iter().all(Result::is_err));
        other.say.send(Ok(())).unwrap();
        other.say.send(Ok(())).unwrap();
        let second = told(second.await.unwrap());
        assert_eq!(second, ["1", "2", "3"].map(|key| (key.to_owned(), Outcome::Loaded)));
        let mut asked = other.has_asked(2).await.concat();
        asked.sort_unstable();
        assert_eq!(asked, ["1", "2", "3"], "each once");
    });
}

#[test]
fn for_keys_that_another_node_keeps_a_batch_waits_two_leases_and_no_longer() {
    together(async {
        let lease = Duration::from_millis(50);
        let server = Server::launch(&Setup::new()).unwrap();
        let node = Node::open(&server, lease).await;
        // As one that renews them for good.
        let held = ["samovar:_lease:c:1", "samovar:_lease:c:2"];
        held.iter().for_each(|name| drop(server.cli(&["SET", name, "another's"]).unwrap()));
        let clock = SystemClock::new();
        let asked = node.ask(&["2", "1"]);
        node.say.send(Ok(())).unwrap();
        let answers = told(asked.await.unwrap());
        assert_eq!(answers, ["2", "1"].map(|key| (key.to_owned(), Outcome::Loaded)));
        assert!(clock.elapsed() >= 2 * lease, "it waited");
        assert_eq!(node.has_asked(1).await, [["2", "1"]]);
        assert_eq!(server.cli(&["EXISTS", held[0], held[1]]).unwrap(), "2", "they are another's");
    });
}

#[test]
fn if_redis_is_killed_while_a_batch_waits_for_another_node_it_is_loaded() {
    together(async {
        let (server, one, other) = Node::two(LONG).await;
        let _first = one.ask(&["1", "2"]);
        one.has_asked(1).await;
        let second = other.ask(&["2", "1"]);
        other.waits(2).await;
        assert!(other.asked.lock().unwrap().is_empty());
        server.kill().unwrap();
        other.say.send(Ok(())).unwrap();
        let second = told(second.await.unwrap());
        assert_eq!(second, ["2", "1"].map(|key| (key.to_owned(), Outcome::Loaded)));
        assert_eq!(other.has_asked(1).await, [["2", "1"]]);
    });
}
