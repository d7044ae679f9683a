//! The log that several nodes share, against real Redis: its contract, and what it does when Redis loses something.

mod away;
mod entries;
mod epochs;
mod loss;
mod runtimes;
mod starts;
mod writes;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use samovar::fence::{RedisLog, RedisLogOptions};
use samovar::redis::RedisSettings;
use samovar::{Cache, CachePolicy, Samovar, Settings};
use samovar_core::{
    Error, ErrorKind, Key, MarkLog, Mode, Numbered, Part, Scope, Stamp, SystemClock, TierName,
    Version,
};
use samovar_testkit::log;
use samovar_testkit::redis::{Cluster, Sentinels, Server, Setup};

use crate::support::{Stepped, block_on};

/// Founds at once what is gone.
const HASTY: RedisLogOptions = RedisLogOptions {
    keep: 500_000,
    look_every: Duration::from_millis(100),
    lease: Duration::ZERO,
    margin: Duration::ZERO,
    replicas: 0,
    table_every: Duration::from_secs(300),
};

/// Patient: machines that run tests are busy.
fn alone(server: &Server) -> RedisSettings {
    let patience = Duration::from_secs(20);
    let redis = RedisSettings::standalone([server.url()]).unwrap();
    RedisSettings { connect_timeout: patience, response_timeout: patience, slow: patience, ..redis }
}

/// For those who are to be kept waiting.
fn impatient(server: &Server) -> RedisSettings {
    RedisSettings { response_timeout: Duration::from_secs(1), ..alone(server) }
}

fn open(settings: &RedisSettings, options: RedisLogOptions) -> RedisLog {
    RedisLog::new(settings, options, Arc::new(SystemClock::new())).unwrap()
}

/// Founds the log, so that nobody waits for those who may know of an older one.
fn found(settings: &RedisSettings) {
    block_on(open(settings, HASTY).snapshot()).unwrap();
}

fn keeps_the_contract(redis: &RedisSettings) {
    let number = AtomicU64::new(0);
    log::suite(|| {
        let namespace = format!("{}:", number.fetch_add(1, Ordering::Relaxed));
        let settings = RedisSettings { namespace, ..redis.clone() };
        Arc::new(open(&settings, HASTY)) as Arc<dyn MarkLog>
    });
}

#[test]
fn it_keeps_the_contract() {
    let server = Server::launch(&Setup::new()).unwrap();
    keeps_the_contract(&alone(&server));
}

#[test]
fn it_keeps_the_contract_behind_sentinels() {
    let servers = Sentinels::launch(&Setup::new()).unwrap();
    keeps_the_contract(&RedisSettings::sentinel(servers.name(), servers.urls()).unwrap());
}

#[test]
fn it_keeps_the_contract_on_a_cluster() {
    let servers = Cluster::launch(&Setup::new()).unwrap();
    keeps_the_contract(&RedisSettings::cluster(servers.urls()).unwrap());
}

#[test]
fn it_is_durable() {
    let server = Server::launch(&Setup::new().durable()).unwrap();
    log::durable_suite(|| Arc::new(open(&alone(&server), HASTY)));
}

/// As in production, but quicker.
const QUICK: RedisLogOptions = RedisLogOptions {
    keep: 500_000,
    look_every: Duration::from_millis(50),
    lease: Duration::from_secs(3),
    margin: Duration::from_millis(200),
    replicas: 0,
    table_every: Duration::from_secs(300),
};

struct Node {
    samovar: Samovar,
    cache: Cache<String>,
}

impl Node {
    fn start(redis: &RedisSettings) -> Node {
        Node::with(redis, Settings::default())
    }

    /// One whose values lie in Redis too.
    fn sharing(redis: &RedisSettings) -> Node {
        Node::with(redis, Settings { redis: Some(redis.clone()), ..Settings::default() })
    }

    fn with(redis: &RedisSettings, settings: Settings) -> Node {
        Node::on(open(redis, QUICK), settings)
    }

    fn on(log: impl MarkLog, settings: Settings) -> Node {
        let settings = Settings { log: Some(Arc::new(log)), ..settings };
        let samovar = block_on(Samovar::open(settings)).unwrap();
        let cache = samovar.cache(CachePolicy::named("c"));
        Node { samovar, cache }
    }

    fn put(&self, key: &str) {
        let stamp = Stamp::new(self.cache.token(), self.samovar.clock().now());
        self.cache.put(key, "value".to_owned(), Arc::from([Part { span: None, stamp }]));
    }

    fn has(&self, key: &str) -> bool {
        self.cache.peek(key).is_some()
    }

    fn mark(&self, key: &str) -> Result<Version, Error> {
        let scope = Scope::Key(Key::new("c", key));
        block_on(self.samovar.mark(vec![scope], Mode::Remove, "test"))
    }

    fn at(&self) -> Version {
        self.samovar.fence().position()
    }

    fn rests(&self) -> bool {
        self.samovar.fence().pending() == 0
    }
}

/// Some nodes on one log.
fn nodes<const N: usize>(settings: &RedisSettings) -> [Node; N] {
    found(settings);
    [(); N].map(|()| Node::start(settings))
}

/// Waits until nodes have come back from an epoch that was, and have nothing left to send.
fn wait_for_all(nodes: &[&Node], last: Version) {
    until("they have come to rest", || {
        let at = nodes[0].at();
        at.epoch != last.epoch && nodes.iter().all(|node| node.rests() && node.at() == at)
    });
}

/// Waits until something is so.
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never came to this: {what}");
        std::thread::yield_now();
    }
}

/// The keys that the log's marks cover, in order.
fn marked(settings: &RedisSettings) -> Vec<String> {
    let log = block_on(open(settings, HASTY).snapshot()).unwrap();
    let key = |numbered: Numbered| match numbered.mark.scope {
        Scope::Key(key) => key.id.to_string(),
        other => other.to_string(),
    };
    log.marks.into_iter().map(key).collect()
}

#[test]
fn a_mark_accepted_by_one_node_is_obeyed_by_all() {
    let server = Server::launch(&Setup::new()).unwrap();
    let [a, b, c] = nodes(&alone(&server));
    [&a, &b, &c].iter().for_each(|node| node.put("k"));
    [&a, &b, &c].iter().for_each(|node| node.put("other"));
    let version = a.mark("k").unwrap();
    assert!(!a.has("k"));
    until("the others have applied it", || b.at() == version && c.at() == version);
    assert!(!b.has("k") && !c.has("k"));
    assert!(a.has("other") && b.has("other") && c.has("other"));
}

#[test]
fn a_log_that_is_gone_is_founded_again_and_nodes_stay_warm() {
    for how in ["restarted", "flushed", "without marks", "without meta"] {
        let server = Server::launch(&Setup::new()).unwrap();
        let [a, b] = nodes(&alone(&server));
        let version = a.mark("k").unwrap();
        until("both have applied it", || b.at() == version);
        a.put("warm");
        b.put("warm");
        match how {
            "restarted" => {
                server.kill().unwrap();
                server.start_empty().unwrap();
            }
            "flushed" => server.flush().unwrap(),
            "without marks" => drop(server.cli(&["DEL", "{samovar:log}:marks"]).unwrap()),
            _ => drop(server.cli(&["DEL", "{samovar:log}:meta"]).unwrap()),
        }
        // A mark is accepted all the same: it is sent once the log is there.
        let _ = b.mark("other");
        wait_for_all(&[&a, &b], version);
        assert_eq!(a.at().seq, version.seq + 1, "numbers go on");
        assert!(a.has("warm") && b.has("warm"));
        a.put("other");
        b.mark("other").unwrap();
        until("it is obeyed", || !a.has("other"));
    }
}

#[test]
fn marks_that_redis_lost_are_sent_again_once() {
    let server = Server::launch(&Setup::new().durable()).unwrap();
    let [a, b] = nodes(&alone(&server));
    a.mark("kept").unwrap();
    let older = server.snapshot().unwrap();
    a.mark("lost-1").unwrap();
    let last = b.mark("lost-2").unwrap();
    until("both have applied them", || a.at() == last && b.at() == last);
    a.put("warm");
    server.kill().unwrap();
    server.start_from(&older).unwrap();
    wait_for_all(&[&a, &b], last);
    let mut marks = marked(&alone(&server));
    marks.sort();
    assert_eq!(marks, ["kept", "lost-1", "lost-2"]);
    assert!(a.has("warm"), "what no lost mark covers is served on");
}

#[test]
fn a_mark_that_is_sent_while_redis_hangs_arrives_once() {
    let server = Server::launch(&Setup::new()).unwrap();
    let [a, b] = nodes(&impatient(&server));
    b.put("k");
    a.put("k");
    server.pause().unwrap();
    assert!(a.mark("k").is_err(), "nobody knows whether it is there");
    assert!(!a.has("k"), "it is in force here");
    server.resume().unwrap();
    until("it is obeyed", || a.rests() && !b.has("k"));
    assert_eq!(marked(&alone(&server)), ["k"]);
}

#[test]
fn who_joins_takes_what_the_log_no_longer_holds_for_removed() {
    let server = Server::launch(&Setup::new()).unwrap();
    let [a] = nodes(&alone(&server));
    for number in 0..5 {
        a.mark(&number.to_string()).unwrap();
    }
    server.cli(&["XTRIM", "{samovar:log}:marks", "MAXLEN", "2"]).unwrap();
    assert_eq!(marked(&alone(&server)), ["everything", "3", "4"]);
    let b = Node::start(&alone(&server));
    assert_eq!((b.at(), b.samovar.fence().floor("c")), (a.at(), 3));
}

/// Where a value is found, if it is.
fn found_in(node: &Node, key: &str) -> Option<TierName> {
    block_on(node.cache.get(key)).map(|found| found.tier)
}

#[test]
fn nodes_share_what_one_has_read_and_obey_what_another_was_told() {
    let server = Server::launch(&Setup::new()).unwrap();
    let settings = alone(&server);
    found(&settings);
    let [a, b] = [(); 2].map(|()| Node::sharing(&settings));
    a.put("k");
    a.put("other");
    block_on(a.samovar.flush()).unwrap();
    assert_eq!(found_in(&b, "k"), Some(TierName::Redis));
    assert_eq!(found_in(&b, "k"), Some(TierName::Memory), "kept there from then on");

    let version = b.mark("k").unwrap();
    until("the other has applied it", || a.at() == version);
    for node in [&a, &b] {
        assert_eq!(found_in(node, "k"), None);
    }
    // Who joins later, and finds the old frame in Redis, does not serve it either.
    let c = Node::sharing(&settings);
    assert_eq!((found_in(&c, "k"), found_in(&c, "other")), (None, Some(TierName::Redis)));

    // What is read after the invalidation is everybody's again.
    b.put("k");
    block_on(b.samovar.flush()).unwrap();
    assert_eq!(found_in(&c, "k"), Some(TierName::Redis));
}

#[test]
fn what_lies_in_redis_is_served_on_after_the_log_was_lost() {
    let server = Server::launch(&Setup::new()).unwrap();
    let settings = alone(&server);
    found(&settings);
    let [a, b] = [(); 2].map(|()| Node::sharing(&settings));
    let before = a.mark("k").unwrap();
    until("both have applied it", || b.at() == before);
    a.put("k");
    block_on(a.samovar.flush()).unwrap();
    server.cli(&["DEL", "{samovar:log}:marks", "{samovar:log}:meta"]).unwrap();
    let _ = a.mark("other");
    wait_for_all(&[&a, &b], before);
    assert_eq!(found_in(&b, "k"), Some(TierName::Redis), "its version lies on the history still");
}

#[test]
fn failovers_that_lose_the_tail_twice_in_a_row_lose_no_mark() {
    let servers = Sentinels::launch(&Setup::new().durable()).unwrap();
    let settings = RedisSettings::sentinel(servers.name(), servers.urls()).unwrap();
    let [a, b] = nodes(&settings);
    a.mark("kept").unwrap();
    let mut lost = Vec::new();
    for (old, new) in [(0, 1), (1, 0)] {
        servers.cut_off(new).unwrap();
        let keys = [format!("{old}-a"), format!("{old}-b")];
        a.mark(&keys[0]).unwrap();
        let last = b.mark(&keys[1]).unwrap();
        until("both have applied them", || a.at() == last && b.at() == last);
        a.put("warm");
        servers.node(old).kill().unwrap();
        servers.fail_over(new).unwrap();
        wait_for_all(&[&a, &b], last);
        lost.extend(keys);
        let mut marks = marked(&settings);
        marks.sort();
        assert_eq!(marks.split_last().unwrap(), (&"kept".to_owned(), &*lost));
        assert!(a.has("warm"));
        servers.rejoin(old).unwrap();
    }
}

#[test]
fn shards_that_go_back_one_at_a_time_lose_no_mark() {
    let servers = Cluster::launch(&Setup::new().durable()).unwrap();
    let settings = RedisSettings::cluster(servers.urls()).unwrap();
    let [a, b, c] = nodes(&settings);
    let mut marks = Vec::new();
    for shard in 0..3 {
        let older = servers.node(shard).snapshot().unwrap();
        let keys = [&a, &b, &c].map(|node| {
            let key = marks.len().to_string();
            let version = node.mark(&key).unwrap();
            marks.push(key);
            version
        });
        until("all have applied them", || [&a, &b, &c].iter().all(|node| node.at() == keys[2]));
        servers.node(shard).kill().unwrap();
        servers.node(shard).start_from(&older).unwrap();
        servers.wait().unwrap();
        // A mark is accepted by the log again, wherever it lies.
        until("it goes on", || a.mark("probe").is_ok());
        until("all are at rest", || {
            [&a, &b, &c].iter().all(|node| node.rests() && node.at() == a.at())
        });
        let there = marked(&settings);
        assert!(marks.iter().all(|key| there.contains(key)), "{shard}: {marks:?} in {there:?}");
    }
}

#[test]
fn without_the_runtime_it_was_opened_in_it_goes_on() {
    let server = Server::launch(&Setup::new()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let log = {
        let _context = runtime.enter();
        open(&alone(&server), HASTY)
    };
    block_on(log.snapshot()).unwrap();
    runtime.shutdown_background();
    // What was under way fails, and nothing hangs.
    until("it is asked on a runtime of our own", || block_on(log.snapshot()).is_ok());
    until("it is written to", || log::append(&log, Vec::new()).is_ok());
    block_on(log.close()).unwrap();
}

/// Appends a second mark that this version cannot read. At once, as nodes append: a log whose parts do not fit together is
/// founded again.
fn append_what_is_newer(server: &Server, node: &Node) {
    let append = "redis.call('XADD', KEYS[1], '2-0', 'e', ARGV[1], 'm', '~a newer mark') \
                  return redis.call('HSET', KEYS[2], 'seq', '2')";
    let epoch = node.at().epoch.to_string();
    let log = ["{samovar:log}:marks", "{samovar:log}:meta", &*epoch];
    server.cli(&[&["EVAL", append, "2"], &log[..]].concat()).unwrap();
}

#[test]
fn what_this_version_cannot_read_is_said_and_not_waited_for() {
    let server = Server::launch(&Setup::new()).unwrap();
    let [a] = nodes(&alone(&server));
    a.mark("k").unwrap();
    append_what_is_newer(&server, &a);
    until(
        "it has failed",
        || matches!(a.mark("other"), Err(error) if error.kind() == ErrorKind::Format),
    );
    server.cli(&["HSET", "{samovar:log}:meta", "format", "2"]).unwrap();
    // Whether the server knows the scripts already or not.
    for clear in [&["PING"][..], &["SCRIPT", "FLUSH"]] {
        server.cli(clear).unwrap();
        let told = block_on(open(&alone(&server), HASTY).snapshot()).unwrap_err();
        assert_eq!(told.kind(), ErrorKind::Format, "{told}");
    }
}

#[test]
fn what_was_handed_over_is_sent_before_the_end() {
    let server = Server::launch(&Setup::new()).unwrap();
    let [a] = nodes(&alone(&server));
    for key in ["a", "b", "c"] {
        let (samovar, scope) = (a.samovar.clone(), Scope::Key(Key::new("c", key)));
        let mut marking =
            Stepped::new(async move { samovar.mark(vec![scope], Mode::Remove, "test").await });
        // Asked once, and given up, unless it was answered at once.
        let _ = marking.step();
    }
    block_on(a.samovar.close()).unwrap();
    assert_eq!(marked(&alone(&server)), ["a", "b", "c"]);
}

#[test]
fn marks_that_are_sent_again_arrive_while_others_append_without_a_pause() {
    let server = Server::launch(&Setup::new().durable()).unwrap();
    let [a] = nodes(&alone(&server));
    a.mark("kept").unwrap();
    let older = server.snapshot().unwrap();
    let last = a.mark("lost").unwrap();
    server.kill().unwrap();
    server.start_from(&older).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let noise = thread::spawn({
        let (stop, log) = (Arc::clone(&stop), open(&alone(&server), HASTY));
        move || {
            for id in 0.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let scope = Scope::Key(Key::new("noise", "n"));
                let _ = log::append(&log, vec![log::mark(id, scope, Mode::Remove, 0)]);
            }
        }
    });
    until("it is back", || a.rests() && a.at().epoch != last.epoch);
    stop.store(true, Ordering::Relaxed);
    noise.join().unwrap();
    assert!(marked(&alone(&server)).contains(&"lost".to_owned()));
}

#[test]
fn options_that_cannot_be_are_refused() {
    let new = |settings: &RedisSettings, options| {
        RedisLog::new(settings, options, Arc::new(SystemClock::new())).unwrap_err().kind()
    };
    let one = RedisSettings::standalone(["a.example"]).unwrap();
    let two = RedisSettings::standalone(["a.example", "b.example"]).unwrap();
    assert_eq!(new(&two, HASTY), ErrorKind::Invalid);
    assert_eq!(new(&one, RedisLogOptions { keep: 1, ..HASTY }), ErrorKind::Invalid);
    let busy = RedisLogOptions { look_every: Duration::ZERO, ..HASTY };
    assert_eq!(new(&one, busy), ErrorKind::Invalid);
    let split = RedisSettings { namespace: "}shop:".into(), ..one };
    assert_eq!(new(&split, HASTY), ErrorKind::Invalid);
    let told = samovar::check(&Settings { redis: Some(split), ..Settings::default() }, &[]);
    assert_eq!(told.iter().map(|problem| problem.field).collect::<Vec<_>>(), ["redis"]);
}
