//! What a node does while its log is away: invalidations go to its journal, and what it serves is labelled.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::{env, fs};

use samovar::fence::Standing;
use samovar::{Counted, Outcome};
use samovar_core::{BoxFuture, History, Mark, Next, Snapshot};
use tempfile::tempdir;
use tokio::sync::watch;

use super::*;

/// Whose leases are short.
pub(super) const SHORT: RedisLogOptions =
    RedisLogOptions { lease: Duration::from_millis(400), ..super::QUICK };

pub(super) fn durable(directory: &Path) -> Settings {
    Settings { data_dir: Some(directory.into()), ..Settings::default() }
}

pub(super) fn start(redis: &RedisSettings, settings: Settings) -> Node {
    Node::on(open(redis, SHORT), settings)
}

pub(super) fn standing(node: &Node) -> Standing {
    node.samovar.fence().standing()
}

pub(super) fn counted(node: &Node, event: Counted) -> u64 {
    node.samovar.counters().snapshot().count(event)
}

/// What a read with a loader comes to; the loader says `loaded`.
fn read(node: &Node, key: &str) -> (Outcome, String) {
    let load = |_| async { Ok("loaded".to_owned()) };
    let answer = block_on(node.cache.get_or_load(key, load)).unwrap();
    (answer.outcome, answer.value.unwrap().to_string())
}

#[test]
fn what_is_marked_while_the_log_is_away_is_durable_here_and_sent_in_order() {
    let server = Server::launch(&Setup::new().durable()).unwrap();
    let (redis, directory) = (alone(&server), tempdir().unwrap());
    found(&redis);
    let (a, b) = (start(&redis, durable(directory.path())), start(&redis, Settings::default()));
    [&a, &b].iter().for_each(|node| node.put("1"));
    a.mark("0").unwrap();
    server.kill().unwrap();
    for key in ["1", "2", "3"] {
        a.mark(key).unwrap();
    }
    assert!(!a.has("1"), "it is in force here at once");
    assert_eq!(counted(&a, Counted::Journaled), 3);
    let refused = b.mark("x").unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Away | ErrorKind::Storage), "{refused}");
    until("its lease is over", || standing(&a) == Standing::CutOff);
    // Nobody is asked who would not answer.
    a.mark("4").unwrap();
    server.start().unwrap();
    until("all is sent", || a.rests() && b.rests() && a.at() == b.at());
    let mut marks = marked(&redis);
    marks.retain(|key| key != "x");
    assert_eq!(marks, ["0", "1", "2", "3", "4"]);
    assert!(!b.has("1"));
    // What came to the log is needed in the journal no longer.
    block_on(a.samovar.close()).unwrap();
    let a = start(&redis, durable(directory.path()));
    assert!(a.rests());
    assert_eq!(marked(&redis).len(), 6);
}

#[test]
fn what_is_not_sent_by_the_end_stands_in_the_journal() {
    let server = Server::launch(&Setup::new().durable()).unwrap();
    let (redis, directory) = (alone(&server), tempdir().unwrap());
    found(&redis);
    let a = start(&redis, durable(directory.path()));
    server.kill().unwrap();
    a.mark("k").unwrap();
    block_on(a.samovar.close()).unwrap();
    let a = start(&redis, durable(directory.path()));
    assert_eq!(a.samovar.fence().pending(), 1);
    server.start().unwrap();
    until("it is sent", || a.rests());
    assert_eq!(marked(&redis), ["k"]);
}

#[test]
fn what_is_being_sent_again_has_a_moment_before_the_end() {
    let server = Server::launch(&Setup::new()).unwrap();
    let redis = impatient(&server);
    found(&redis);
    let a = start(&redis, Settings::default());
    server.pause().unwrap();
    assert!(a.mark("k").is_err());
    server.resume().unwrap();
    block_on(a.samovar.close()).unwrap();
    assert!(marked(&redis).contains(&"k".to_owned()));
}

const DIRECTORY: &str = "SAMOVAR_TEST_AWAY_DIRECTORY";
const REDIS: &str = "SAMOVAR_TEST_AWAY_REDIS";

/// The child; does nothing when it is run as a test among others. It marks what it is told to.
#[test]
fn child() {
    let (Ok(directory), Ok(redis)) = (env::var(DIRECTORY), env::var(REDIS)) else { return };
    let redis = RedisSettings::standalone([redis]).unwrap();
    let node = start(&redis, durable(Path::new(&directory)));
    let mut out = std::io::stdout().lock();
    writeln!(out, "@open").unwrap();
    for key in std::io::stdin().lock().lines().map(Result::unwrap) {
        node.mark(&key).unwrap();
        writeln!(out, "@{key}").unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn what_was_acknowledged_while_the_log_was_away_outlives_a_kill() {
    let server = Server::launch(&Setup::new().durable()).unwrap();
    let (redis, directory) = (alone(&server), tempdir().unwrap());
    found(&redis);
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["log_redis::away::child", "--exact", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory.path())
        .env(REDIS, server.url())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut hear = |what: &str| {
        let said = lines.find_map(|line| Some(line.split_once('@')?.1.to_owned()));
        assert_eq!(said.as_deref(), Some(what));
    };
    hear("open");
    let mut tell = |key: &str| {
        writeln!(stdin, "{key}").unwrap();
        hear(key);
    };
    tell("before");
    server.kill().unwrap();
    ["1", "2", "3"].iter().for_each(|key| tell(key));
    child.kill().unwrap();
    child.wait().unwrap();

    // Once more while the log is away, and that ends without a word too.
    drop(start(&redis, durable(directory.path())));
    let node = start_when_free(&redis, directory.path());
    assert_eq!(node.samovar.fence().pending(), 3);
    assert_eq!(standing(&node), Standing::CutOff);
    server.start().unwrap();
    until("it is sent", || node.rests());
    assert_eq!(marked(&redis), ["before", "1", "2", "3"]);
}

/// As soon as whoever was dropped has let go of the directory.
fn start_when_free(redis: &RedisSettings, directory: &Path) -> Node {
    let mut node = None;
    until("the directory is let go of", || {
        let log = Arc::new(open(redis, SHORT));
        let settings = Settings { log: Some(log), ..durable(directory) };
        node = block_on(Samovar::open(settings)).ok();
        node.is_some()
    });
    let samovar = node.unwrap();
    let cache = samovar.cache(CachePolicy::named("c"));
    Node { samovar, cache }
}

#[test]
fn who_starts_while_the_log_is_away_does_not_serve_from_disk_unless_told_to() {
    let server = Server::launch(&Setup::new().durable()).unwrap();
    let (redis, directory) = (alone(&server), tempdir().unwrap());
    found(&redis);
    let told = || Settings { serve_while_away: true, ..durable(directory.path()) };
    let close = |node: &Node| block_on(node.samovar.close()).unwrap();
    let node = start(&redis, durable(directory.path()));
    node.put("k");
    node.put("gone");
    node.mark("gone").unwrap();
    close(&node);
    server.kill().unwrap();

    let node = start(&redis, told());
    assert_eq!(standing(&node), Standing::CutOff);
    let found = block_on(node.cache.get("k")).unwrap();
    assert!(found.cut_off, "it is labelled");
    assert!(block_on(node.cache.get("gone")).is_none());
    node.mark("k").unwrap();
    assert!(block_on(node.cache.get("k")).is_none(), "what it is told it obeys");
    node.put("new");
    block_on(node.samovar.flush()).unwrap();
    // It is not closed: nobody knows what it did last.
    drop(node);
    let node = start_when_free(&redis, directory.path());
    assert!(block_on(node.cache.get("new")).is_none());
    close(&node);

    let node = start(&redis, durable(directory.path()));
    assert!(block_on(node.cache.get("new")).is_none(), "nobody said that it may");
    assert_eq!(read(&node, "new"), (Outcome::Loaded, "loaded".into()));
    server.start().unwrap();
    until("it has joined", || standing(&node) == Standing::Connected && node.rests());
    assert_eq!(marked(&redis), ["gone", "k"]);
    assert!(block_on(node.cache.get("k")).is_none());
}

#[test]
fn what_is_served_beyond_the_lease_is_labelled_and_nothing_is_read_again_for_that() {
    let server = Server::launch(&Setup::new()).unwrap();
    let redis = alone(&server);
    found(&redis);
    let node = start(&redis, Settings::default());
    node.put("k");
    assert_eq!(read(&node, "k"), (Outcome::Hit, "value".into()));
    assert!(!node.cache.peek("k").unwrap().cut_off);
    server.pause().unwrap();
    until("it is labelled", || node.cache.peek("k").unwrap().cut_off);
    assert_eq!(read(&node, "k"), (Outcome::Stale, "value".into()));
    assert_eq!(counted(&node, Counted::Load), 0);
    until("it is said", || counted(&node, Counted::CutOff) == 1);
    server.resume().unwrap();
    until("the label is gone", || read(&node, "k") == (Outcome::Hit, "value".into()));
    assert_eq!((counted(&node, Counted::Load), counted(&node, Counted::Refresh)), (0, 0));
}

#[test]
fn who_is_cut_off_for_long_goes_past_its_caches() {
    let server = Server::launch(&Setup::new()).unwrap();
    let (redis, directory) = (alone(&server), tempdir().unwrap());
    found(&redis);
    let blind = Settings { max_blind: Duration::from_millis(100), ..durable(directory.path()) };
    let node = start(&redis, blind);
    node.put("k");
    block_on(node.samovar.flush()).unwrap();
    server.pause().unwrap();
    until("it is blind", || standing(&node) == Standing::Blind);
    assert!(node.cache.peek("k").is_none() && block_on(node.cache.get("k")).is_none());
    for _ in 0..2 {
        assert_eq!(read(&node, "k"), (Outcome::Loaded, "loaded".into()));
    }
    server.resume().unwrap();
    until("it hears again", || read(&node, "k") == (Outcome::Hit, "loaded".into()));
}

/// A log that yields nothing, and answers nothing, while it is told not to.
pub(super) struct Gated {
    log: RedisLog,
    gate: watch::Receiver<bool>,
    answers: watch::Receiver<bool>,
    /// Why it cannot be asked for what it holds, one time after another.
    troubles: Mutex<VecDeque<ErrorKind>>,
}

impl Gated {
    fn new(redis: &RedisSettings) -> (watch::Sender<bool>, Gated) {
        let (open_gate, gate) = watch::channel(true);
        (open_gate, Gated { gate, ..Gated::answering(redis, watch::channel(true).1) })
    }

    pub(super) fn answering(redis: &RedisSettings, answers: watch::Receiver<bool>) -> Gated {
        let (log, gate) = (open(redis, SHORT), watch::channel(true).1);
        Gated { log, gate, answers, troubles: Mutex::default() }
    }
}

impl MarkLog for Gated {
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, Error>> {
        match self.troubles.lock().unwrap().pop_front() {
            Some(kind) => Box::pin(async move { Err(Error::new(kind, "in trouble")) }),
            None => self.log.snapshot(),
        }
    }

    fn append(
        &self,
        marks: Vec<Mark>,
        head: Option<Version>,
    ) -> BoxFuture<'static, Result<Option<Version>, Error>> {
        let (appended, mut answers) = (self.log.append(marks, head), self.answers.clone());
        Box::pin(async move {
            let answer = appended.await;
            let _ = answers.wait_for(|is_open| *is_open).await;
            answer
        })
    }

    fn next<'a>(&'a self, history: &'a History, after: u64) -> BoxFuture<'a, Result<Next, Error>> {
        let mut gate = self.gate.clone();
        Box::pin(async move {
            let _ = gate.wait_for(|is_open| *is_open).await;
            self.log.next(history, after).await
        })
    }

    fn lease(&self) -> Option<Duration> {
        self.log.lease()
    }

    fn renew(&self) -> BoxFuture<'_, Result<Version, Error>> {
        self.log.renew()
    }

    fn look(&self) {
        self.log.look();
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.log.close()
    }
}

/// A node that has come to a closed gate.
fn behind_a_gate(redis: &RedisSettings, settings: Settings) -> (watch::Sender<bool>, Node) {
    found(redis);
    let (gate, log) = Gated::new(redis);
    let node = Node::on(log, settings);
    gate.send(false).unwrap();
    // It may have been within already.
    let other = start(redis, Settings::default());
    let version = other.mark("first").unwrap();
    // It is taken by who was within; who comes to the gate after that stays there.
    let _ = version;
    (gate, node)
}

#[test]
fn a_mark_that_does_not_come_back_is_waited_for_within_bounds() {
    let server = Server::launch(&Setup::new()).unwrap();
    let (redis, directory) = (alone(&server), tempdir().unwrap());
    let log_patience = Duration::from_millis(200);
    let (_gate, node) = behind_a_gate(&redis, Settings { log_patience, ..Settings::default() });
    // One may still have been within the gate: the next does not come back.
    let _ = node.mark("k");
    let told = node.mark("k").unwrap_err();
    assert_eq!(told.kind(), ErrorKind::Away, "{told}");
    assert!(told.to_string().contains("log_patience"), "{told}");

    let (gate, node) =
        behind_a_gate(&redis, Settings { log_patience, ..durable(directory.path()) });
    node.put("k");
    let _ = node.mark("k");
    node.mark("k").unwrap();
    assert!(counted(&node, Counted::Journaled) > 0);
    until("what it has not heard of labels what it serves", || standing(&node) == Standing::CutOff);
    gate.send(true).unwrap();
    until("it has come back", || node.rests() && standing(&node) == Standing::Connected);
    assert!(fs::metadata(directory.path().join("marks.journal")).is_ok());
}

#[test]
fn a_node_that_the_log_has_left_behind_takes_everything_for_invalidated_and_says_so() {
    let server = Server::launch(&Setup::new()).unwrap();
    let redis = alone(&server);
    let (gate, node) = behind_a_gate(&redis, Settings::default());
    let other = start(&redis, Settings::default());
    // One may still have been within the gate.
    other.mark("0").unwrap();
    node.put("warm");
    for number in 1..6 {
        other.mark(&number.to_string()).unwrap();
    }
    server.cli(&["XTRIM", "{samovar:log}:marks", "MAXLEN", "2"]).unwrap();
    gate.send(true).unwrap();
    until("it has come to the head", || node.at() == other.at());
    assert!(!node.has("warm"));
    assert_eq!(counted(&node, Counted::LogGap), 1);
    let said = node.samovar.counters().notices();
    assert!(said.iter().any(|notice| notice.text.contains("let go of")), "{said:?}");
    node.put("k");
    assert!(node.has("k"), "what is read from then on is served");
}

#[test]
fn what_too_few_replicas_have_confirmed_is_not_acknowledged() {
    let servers = Sentinels::launch(&Setup::new().durable()).unwrap();
    let redis = RedisSettings::sentinel(servers.name(), servers.urls()).unwrap();
    found(&redis);
    let options = RedisLogOptions { replicas: 2, ..SHORT };
    let node = Node::on(open(&redis, options), Settings::default());
    node.put("k");
    until("both replicas have it", || node.mark("other").is_ok());
    until("the lease holds", || standing(&node) == Standing::Connected);
    servers.cut_off(1).unwrap();
    assert!(node.mark("k").is_err());
    assert!(!node.has("k"), "it is in force here");
    until("the lease is over", || standing(&node) == Standing::CutOff);
}

#[test]
fn what_too_few_replicas_have_confirmed_outlives_a_failover_that_loses_it() {
    let servers = Sentinels::launch(&Setup::new().durable()).unwrap();
    let redis = RedisSettings::sentinel(servers.name(), servers.urls()).unwrap();
    let directory = tempdir().unwrap();
    found(&redis);
    // The log is read on, though it is not looked at: that would take the replicas too.
    let look_every = Duration::from_secs(60);
    let options = RedisLogOptions { replicas: 2, look_every, ..SHORT };
    let node = Node::on(open(&redis, options), durable(directory.path()));
    until("both replicas have it", || standing(&node) == Standing::Connected);
    // What comes back is read by a connection of its own, which stands now.
    node.mark("before").unwrap();
    servers.cut_off(1).unwrap();
    node.mark("k").unwrap();
    assert_eq!(counted(&node, Counted::Journaled), 1);
    until("it has come back", || node.rests());
    // It dies, and so does what the log held of it.
    drop(node);
    servers.node(0).kill().unwrap();
    servers.fail_over(1).unwrap();
    assert_eq!(marked(&redis), ["before"]);
    let node = start_when_free(&redis, directory.path());
    until("it is sent again", || node.rests() && marked(&redis) == ["before", "k"]);
}

#[test]
fn what_the_log_has_confirmed_is_needed_in_the_journal_no_longer() {
    let server = Server::launch(&Setup::new().durable()).unwrap();
    let (redis, directory) = (alone(&server), tempdir().unwrap());
    found(&redis);
    let node = start(&redis, durable(directory.path()));
    server.kill().unwrap();
    node.mark("k").unwrap();
    server.start().unwrap();
    until("it is sent", || node.rests() && standing(&node) == Standing::Connected);
    // What confirms this one confirms all before it.
    node.mark("last").unwrap();
    block_on(node.samovar.close()).unwrap();
    // What else it knew is gone, and so is what the log held.
    fs::remove_file(directory.path().join("marks.saved")).unwrap();
    server.flush().unwrap();
    found(&redis);
    let node = start(&redis, durable(directory.path()));
    assert!(node.rests() && marked(&redis).is_empty());
}

#[test]
fn who_is_adrift_joins_whatever_kept_it_from_that_for_a_while() {
    let server = Server::launch(&Setup::new()).unwrap();
    let redis = alone(&server);
    found(&redis);
    // As while it has too many clients, loads its data, or knows another password.
    let troubled = |kinds: &[ErrorKind]| {
        let troubles = Mutex::new(kinds.iter().copied().collect());
        Node::on(Gated { troubles, ..Gated::new(&redis).1 }, Settings::default())
    };
    let node = troubled(&[ErrorKind::Away, ErrorKind::Invalid, ErrorKind::Storage]);
    until("it has joined", || standing(&node) == Standing::Connected);
    node.mark("k").unwrap();
    let said = node.samovar.counters().notices();
    assert!(said.iter().any(|notice| notice.text.contains("in trouble")), "{said:?}");

    let node = troubled(&[ErrorKind::Away, ErrorKind::Format]);
    until(
        "it has failed",
        || matches!(node.mark("k"), Err(error) if error.kind() == ErrorKind::Format),
    );
}

#[test]
fn a_mark_is_not_said_to_be_durable_where_nothing_comes_back_any_more() {
    let server = Server::launch(&Setup::new()).unwrap();
    let (redis, directory) = (alone(&server), tempdir().unwrap());
    found(&redis);
    let node = start(&redis, durable(directory.path()));
    node.mark("k").unwrap();
    append_what_is_newer(&server, &node);
    // Whatever the log yields after that is not applied, so the lease ends.
    until("its lease is over", || standing(&node) == Standing::CutOff);
    node.put("k");
    let refused = node.mark("k").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Format, "{refused}");
    assert!(!node.has("k"), "it is in force here");
}
