//! The parent: it starts the nodes, raises and marks numbers without a pause, and knows what must have been obeyed.

use std::collections::{HashMap, HashSet};
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use samovar_core::{MarkLog, Version};
use tempfile::{TempDir, tempdir};

use super::node::{self, version};
use super::source::{HOT, KEYS, Source, WARM};
use super::{log, settings};
use crate::support::block_on;

pub(super) const NODES: usize = 3;
/// How long anything may take that is waited for …
const PATIENCE: Duration = Duration::from_secs(60);
/// … by looks that count as no more than this, however long they take: a machine that stands still is not to be blamed on
/// the nodes.
const LOOK: Duration = Duration::from_millis(100);
/// Between two marks of the writer, and between two looks at what is waited for.
const PAUSE: Duration = Duration::from_millis(2);

/// Waits until something is so.
pub(super) fn until(what: &str, mut is: impl FnMut() -> bool) {
    let mut waited = Duration::ZERO;
    while !is() {
        assert!(waited < PATIENCE, "it never came to this: {what}");
        let begun = Instant::now();
        thread::sleep(PAUSE);
        waited += begun.elapsed().min(LOOK);
    }
}

/// Who waits for what a node answers, by the number of the question.
type Waiting = Arc<Mutex<HashMap<u64, Sender<String>>>>;

/// What nodes were answered that they must not be.
type Wrong = Arc<Mutex<Vec<String>>>;

/// A node, as its parent sees it.
struct Node {
    process: Mutex<Child>,
    says: Mutex<ChildStdin>,
    waiting: Waiting,
    asked: AtomicU64,
    /// It does not run now: nothing is asked of it.
    is_stopped: AtomicBool,
}

impl Node {
    fn start(redis: &str, source: &Path, directory: &Path, wrong: &Wrong) -> Node {
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["processes::child", "--exact", "--nocapture", "--test-threads=1"])
            .env(node::REDIS, redis)
            .env(node::SOURCE, source)
            .env(node::DIRECTORY, directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (ready, is_ready) = channel();
        let waiting: Waiting = Arc::new(Mutex::new(HashMap::from([(0, ready)])));
        let says = Mutex::new(process.stdin.take().unwrap());
        let out = BufReader::new(process.stdout.take().unwrap());
        let (heard, wrong) = (Arc::clone(&waiting), Arc::clone(wrong));
        thread::spawn(move || hear(out, &heard, &wrong));
        let (asked, is_stopped) = (AtomicU64::new(1), AtomicBool::new(false));
        let node = Node { process: Mutex::new(process), says, waiting, asked, is_stopped };
        is_ready.recv_timeout(PATIENCE).expect("the node is open");
        node
    }

    fn ask(&self, what: &str) -> String {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = channel();
        self.waiting.lock().unwrap().insert(number, sender);
        writeln!(self.says.lock().unwrap(), "{number} {what}").unwrap();
        let mut waited = Duration::ZERO;
        loop {
            match answer.recv_timeout(LOOK) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Disconnected) => {
                    panic!(
                        "the node has ended, asked {what:?}: {:?}",
                        self.process.lock().unwrap().wait()
                    )
                }
                Err(RecvTimeoutError::Timeout) => waited += LOOK,
            }
            assert!(waited < PATIENCE, "no answer to {what:?}");
        }
    }

    fn count(&self, what: &str) -> u64 {
        self.ask(&format!("count {what}")).parse().unwrap()
    }

    fn kill(&self) {
        let mut process = self.process.lock().unwrap();
        let _ = process.kill();
        let _ = process.wait();
    }

    fn signal(&self, signal: &str) {
        let id = self.process.lock().unwrap().id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Gives answers to those who wait for them, until the node is gone. What comes unasked is what is wrong.
fn hear(out: BufReader<ChildStdout>, waiting: &Waiting, wrong: &Mutex<Vec<String>>) {
    for line in out.lines().map_while(Result::ok) {
        let Some((_, said)) = line.split_once('@') else { continue };
        let (number, answer) = said.split_once(' ').unwrap_or(("0", said));
        match number.parse() {
            Ok(number) => {
                if let Some(sender) = waiting.lock().unwrap().remove(&number) {
                    let _ = sender.send(answer.to_owned());
                }
            }
            Err(_) => wrong.lock().unwrap().push(said.to_owned()),
        }
    }
    // Nobody waits any longer.
    waiting.lock().unwrap().clear();
}

/// Whether the log holds all that it was ever given.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Log {
    Whole,
    /// It was founded again, or trimmed.
    Anew,
}

/// Three nodes, and who writes.
pub(super) struct World {
    directory: TempDir,
    redis: String,
    pub(super) source: Source,
    nodes: Vec<Mutex<Arc<Node>>>,
    wrong: Wrong,
    /// Held by the writer for each mark; so whoever holds it has the writer wait.
    turn: Mutex<Turn>,
    has_ended: AtomicBool,
    /// How many marks were accepted.
    accepted: AtomicU64,
}

/// What the writer knows.
#[derive(Default)]
pub(super) struct Turn {
    next: usize,
    /// What was acknowledged since the log began.
    acknowledged: HashSet<String>,
}

impl World {
    /// On this Redis, as [`settings`] reads it.
    pub(super) fn start(redis: String) -> World {
        let directory = tempdir().unwrap();
        let source = Source::make(&directory.path().join("source"));
        // Founded, so that none of the nodes waits for those who may know of an older one.
        block_on(log(&settings(&redis), Duration::ZERO).snapshot()).unwrap();
        let wrong = Arc::default();
        let start = |at| Mutex::new(World::begin(directory.path(), &redis, at, &wrong));
        let nodes = (0..NODES).map(start).collect();
        let world = World {
            directory,
            redis,
            source,
            nodes,
            wrong,
            turn: Mutex::default(),
            has_ended: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
        };
        world.running().for_each(|(_, node)| drop(node.ask("go")));
        world
    }

    fn begin(directory: &Path, redis: &str, at: usize, wrong: &Wrong) -> Arc<Node> {
        let own = directory.join(at.to_string());
        fs::create_dir_all(&own).unwrap();
        Arc::new(Node::start(redis, &directory.join("source"), &own, wrong))
    }

    fn node(&self, at: usize) -> Arc<Node> {
        Arc::clone(&self.nodes[at].lock().unwrap())
    }

    /// Does something to the world, while there is a writer.
    pub(super) fn run(redis: String, faults: impl FnOnce(&World)) {
        /// However the faults end, so does the writer.
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let world = World::start(redis);
        thread::scope(|scope| {
            let _end = End(&world.has_ended);
            scope.spawn(|| world.write());
            world.settle("the start", Log::Whole);
            faults(&world);
            world.check();
        });
    }

    fn write(&self) {
        while !self.has_ended.load(Ordering::SeqCst) {
            // Whoever waits for it has failed, and says more.
            let Ok(mut turn) = self.turn.lock() else { return };
            let number = turn.next;
            turn.next += 1;
            let (key, node) = (number % HOT.end, number % NODES);
            if !self.node(node).is_stopped.load(Ordering::SeqCst) {
                self.mark(&mut turn, key, node);
            }
            drop(turn);
            thread::sleep(PAUSE);
        }
    }

    /// Raises a key, and marks it on a node. Gives its number, and where the mark stands in the log, if it does.
    fn mark(&self, turn: &mut Turn, key: usize, by: usize) -> (u64, Option<Version>) {
        let number = self.source.number(key) + 1;
        self.source.raise(key, number);
        let answer = self.node(by).ask(&format!("mark {key} {number}"));
        assert!(!answer.starts_with("failed"), "{answer}");
        let at = answer.strip_prefix("marked ");
        if let Some(at) = at {
            for (_, node) in self.running().filter(|(at, _)| *at != by) {
                node.ask(&format!("expect {key} {number} {at}"));
            }
        }
        turn.acknowledged.insert(format!("{key} {number}"));
        self.accepted.fetch_add(1, Ordering::SeqCst);
        (number, at.map(version))
    }

    fn running(&self) -> impl Iterator<Item = (usize, Arc<Node>)> {
        let runs = |(_, node): &(usize, Arc<Node>)| !node.is_stopped.load(Ordering::SeqCst);
        (0..NODES).map(|at| (at, self.node(at))).filter(runs)
    }

    /// The writer waits meanwhile.
    fn calm(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().expect("the writer goes on")
    }

    /// Does something while nobody marks, and all nodes stand where the log ends.
    pub(super) fn still<T>(&self, then: impl FnOnce() -> T) -> T {
        let _calm = self.calm();
        until("all are at rest", || self.rest().is_some());
        then()
    }

    /// Says what nodes were answered that they must not be.
    pub(super) fn check(&self) {
        // Those who listen go on.
        let wrong = self.wrong.lock().unwrap().clone();
        let first = &wrong[..wrong.len().min(5)];
        assert!(wrong.is_empty(), "{} answers are wrong, the first: {first:#?}", wrong.len());
    }

    /// Waits until so many marks more have been accepted, and all nodes have been read.
    pub(super) fn goes_on(&self, marks: u64) {
        let reads = |node: &Node| node.count("reads");
        let before: Vec<u64> = self.running().map(|(_, node)| reads(&node)).collect();
        let accepted = self.accepted.load(Ordering::SeqCst);
        until("marks are accepted", || self.accepted.load(Ordering::SeqCst) >= accepted + marks);
        until("all are read", || {
            self.running().zip(&before).all(|((_, node), before)| reads(&node) > before + 10)
        });
        self.check();
    }

    /// What each node that runs counts.
    pub(super) fn counts(&self, what: &str) -> Vec<u64> {
        self.running().map(|(_, node)| node.count(what)).collect()
    }

    /// What a node is answered: the number, by what, and from where. `how` is `read`, or `below` memory.
    pub(super) fn read(&self, at: usize, how: &str, key: usize) -> (u64, String, String) {
        let answer = self.node(at).ask(&format!("{how} {key}"));
        let words: Vec<&str> = answer.split(' ').collect();
        let [number, outcome, tier] = words[..] else { panic!("key {key} on {at}: {answer}") };
        (number.parse().unwrap(), outcome.to_owned(), tier.to_owned())
    }

    /// Raises a key that is set aside, and marks it on a node; returns once all that run have applied that.
    pub(super) fn mark_aside(&self, key: usize, by: usize) -> u64 {
        let mut turn = self.calm();
        let (number, _) = self.mark(&mut turn, key, by);
        until("all have applied it", || self.rest().is_some());
        self.running().for_each(|(_, node)| drop(node.ask(&format!("raise {key} {number}"))));
        number
    }

    /// Has all nodes read some keys. If none had read them, their frames lie in Redis then.
    pub(super) fn fill(&self, keys: &[usize]) {
        for (at, node) in self.running() {
            keys.iter().for_each(|key| drop(self.read(at, "read", *key)));
            until("its Redis has them", || node.ask("flush") == "true");
        }
    }

    /// Waits until a node gets the value of a key from Redis; if that has none, from what it puts there itself.
    pub(super) fn reaches(&self, at: usize, beacon: usize) {
        until("its Redis answers", || self.read(at, "below", beacon).2 == "redis");
    }

    /// Where the nodes stand that run, if all stand alike and have nothing left to send.
    fn rest(&self) -> Option<Version> {
        let told: Vec<String> = self.running().map(|(_, node)| node.ask("at")).collect();
        let (at, pending) = told[0].split_once(' ').unwrap();
        let is_rest = pending == "0 Connected" && told.iter().all(|other| *other == told[0]);
        is_rest.then(|| version(at))
    }

    /// Waits until all nodes stand where the log ends: then everything that was ever marked holds on all of them, and
    /// stands in the log if that is whole.
    pub(super) fn settle(&self, after: &str, state: Log) {
        let mut turn = self.calm();
        // The number of this one is given by the Redis that is there now.
        let key = HOT.start;
        let mut last = None;
        until(&format!("after {after}: a mark has its number"), || {
            last = self.mark(&mut turn, key, 0).1;
            last.is_some()
        });
        let last = last.unwrap();
        until(&format!("after {after}: all are at rest, and beyond {last}"), || {
            self.rest().is_some_and(|at| at.epoch == last.epoch && at.seq >= last.seq)
        });
        self.obeys_all(after);
        match state {
            Log::Whole => self.holds_all(after, &turn),
            Log::Anew => turn.acknowledged.clear(),
        }
        self.check();
    }

    /// All nodes have applied everything, and answer what stands at the source now.
    fn obeys_all(&self, after: &str) {
        let newest: Vec<u64> = (0..KEYS).map(|key| self.source.number(key)).collect();
        let hot: Vec<String> = HOT.chain(HOT).map(|key| newest[key].to_string()).collect();
        for (at, node) in self.running() {
            for (key, number) in newest.iter().enumerate().filter(|(_, number)| **number > 0) {
                node.ask(&format!("raise {key} {number}"));
            }
            assert_eq!(node.ask("all"), hot.join(" "), "node {at} after {after}");
        }
        assert!(newest[WARM].iter().all(|number| *number == 0), "nobody marks these");
    }

    /// The log holds what was acknowledged.
    fn holds_all(&self, after: &str, turn: &Turn) {
        let log = log(&settings(&self.redis), Duration::ZERO);
        let log = block_on(log.snapshot()).unwrap();
        let there: HashSet<&str> =
            log.marks.iter().map(|numbered| &*numbered.mark.reason).collect();
        let lacks: Vec<&String> =
            turn.acknowledged.iter().filter(|mark| !there.contains(mark.as_str())).collect();
        assert!(lacks.is_empty(), "after {after} the log lacks {lacks:?}");
    }

    /// A node that stops in its tracks (SIGSTOP), once no mark is under way.
    pub(super) fn stop(&self, at: usize) {
        let _calm = self.calm();
        self.node(at).is_stopped.store(true, Ordering::SeqCst);
        self.node(at).signal("STOP");
    }

    pub(super) fn go_on(&self, at: usize) {
        self.node(at).signal("CONT");
        self.node(at).is_stopped.store(false, Ordering::SeqCst);
    }

    /// Kills a node at once, and starts it again over its directory: what it obeyed it obeys from the start on.
    pub(super) fn restart(&self, at: usize) {
        let _calm = self.calm();
        let floors = self.node(at).ask("floors");
        self.node(at).kill();
        let node = World::begin(self.directory.path(), &self.redis, at, &self.wrong);
        for (key, floor) in floors.split(' ').enumerate().filter(|(_, floor)| *floor != "0") {
            node.ask(&format!("raise {key} {floor}"));
        }
        node.ask("go");
        *self.nodes[at].lock().unwrap() = node;
    }
}
