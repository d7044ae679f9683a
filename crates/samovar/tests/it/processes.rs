//! Three nodes, each a process of its own, one source and one Redis that loses what it can lose.
//!
//! Each node has its own memory and disk, shares Redis with the others for values as for the log, and reads without a
//! pause. A writer raises numbers at the source and marks their keys, on one node after another, also while Redis is
//! away. Every answer is checked where it is given: it is no greater than what stands at the source when it comes, and
//! no less than what was marked and applied on that node when it was asked for, whatever it is labelled with. Once all
//! is at rest every node answers what stands at the source, and the log holds every mark that was acknowledged, where it
//! was not emptied. What no mark covers is read from the source but once: that is counted.
//!
//! The parent starts this very test binary again as the nodes, and tells them what to do line by line.

mod node;
mod source;
mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use samovar::fence::{RedisLog, RedisLogOptions};
use samovar::redis::RedisSettings;
use samovar_core::SystemClock;
use samovar_testkit::redis::{Cluster, Sentinels, Server, Setup};

use self::source::{ASIDE, HOT, WARM};
use self::world::{Log, NODES, World, until};

const CACHE: &str = "c";
/// Short, so that it is over soon when Redis is away.
const LEASE: Duration = Duration::from_secs(1);

/// A Redis, as it is told to a child: what it is, then its addresses, behind sentinels after its name there.
fn settings(redis: &str) -> RedisSettings {
    let words: Vec<&str> = redis.split(' ').collect();
    let settings = match words[0] {
        "sentinel" => RedisSettings::sentinel(words[1], &words[2..]),
        "cluster" => RedisSettings::cluster(&words[1..]),
        _ => RedisSettings::standalone(&words[1..]),
    };
    RedisSettings {
        connect_timeout: Duration::from_millis(500),
        response_timeout: Duration::from_millis(500),
        retry_max: Duration::from_millis(500),
        ..settings.unwrap()
    }
}

/// As in production, but quicker. Who has no lease founds at once what is gone.
fn log(redis: &RedisSettings, lease: Duration) -> RedisLog {
    let options = RedisLogOptions {
        look_every: Duration::from_millis(50),
        lease,
        margin: lease / 5,
        // Never here: the marks of a table that is left beside the log no longer say why they were made.
        table_every: Duration::from_secs(86_400),
        ..RedisLogOptions::default()
    };
    RedisLog::new(redis, options, Arc::new(SystemClock::new())).unwrap()
}

/// One of the nodes; does nothing when it is run as a test among others.
#[test]
fn child() {
    node::run();
}

/// Does something, after which the nodes have what no mark covers as they had it: nothing of it is read again.
fn stays_warm(world: &World, what: &str, log: Log, fault: impl FnOnce()) {
    let before = world.counts("loads");
    fault();
    world.settle(what, log);
    assert_eq!(world.counts("loads"), before, "after {what} what no mark covers is read again");
}

/// Keys whose frames lie in a Redis that is to go back, a key for each node, and whose marks come after them.
struct Old {
    keys: Vec<usize>,
    /// The frame of this one is good.
    beacon: usize,
}

impl Old {
    /// Of keys that nobody has touched; no mark is to come before Redis is copied. So their versions are the last that
    /// it knows when it has gone back, and nothing but the marks that it lost then refuses them.
    fn lay(world: &World, keys: &[usize]) -> Old {
        (0..NODES).for_each(|at| world.reaches(at, HOT.start));
        world.fill(keys);
        let (beacon, keys) = keys.split_last().unwrap();
        assert_eq!(keys.len(), NODES);
        Old { keys: keys.into(), beacon: *beacon }
    }

    /// Marks them, each on another node than the one that is to read it; none is read after that.
    fn mark(&self, world: &World) {
        for (at, key) in self.keys.iter().enumerate() {
            assert_eq!(world.mark_aside(*key, (at + 1) % NODES), 1);
        }
    }

    /// They lie in Redis again: each is met there by a node, and is not served.
    fn is_refused(&self, world: &World, server: &Server) {
        for (at, key) in self.keys.iter().enumerate() {
            assert_eq!(server.cli(&["EXISTS", &in_redis(*key)]).unwrap(), "1", "it has come back");
            world.reaches(at, self.beacon);
            let refused = world.counts("refused")[at];
            // Redis may not answer in time.
            until("what lies in Redis is looked at", || {
                assert_eq!(world.read(at, "below", *key).0, 1, "key {key} on node {at}");
                world.counts("refused")[at] > refused
            });
        }
    }
}

fn in_redis(key: usize) -> String {
    format!("samovar:{CACHE}:{key}")
}

/// The number of the last mark that a server holds.
fn head(server: &Server) -> u64 {
    server.cli(&["HGET", "{samovar:log}:meta", "seq"]).unwrap().parse().unwrap()
}

#[test]
fn three_nodes_and_one_redis() {
    let server = Server::launch(&Setup::new().durable()).unwrap();
    World::run(format!("standalone {}", server.url()), |world| {
        world.fill(&WARM.collect::<Vec<_>>());
        is_killed_and_restarted(world, &server);
        goes_back(world, &server);
        is_emptied(world, &server);
        is_paused(world, &server);
        leaves_a_node_behind(world, &server);
    });
}

fn is_killed_and_restarted(world: &World, server: &Server) {
    stays_warm(world, "a restart", Log::Whole, || {
        world.goes_on(30);
        server.kill().unwrap();
        world.goes_on(30);
        server.start().unwrap();
        world.goes_on(10);
    });
    // A node dies meanwhile, and what it has accepted stands in its journal.
    server.kill().unwrap();
    world.goes_on(10);
    assert!(world.counts("journaled").iter().all(|count| *count > 0));
    world.restart(2);
    world.goes_on(10);
    server.start().unwrap();
    world.settle("a restart of a node and of Redis", Log::Whole);
    world.fill(&WARM.collect::<Vec<_>>());
}

fn goes_back(world: &World, server: &Server) {
    stays_warm(world, "a restart with older data", Log::Whole, || {
        let (old, older) = world.still(|| {
            let old = Old::lay(world, &aside(0));
            (old, server.snapshot().unwrap())
        });
        let kept = head(server);
        old.mark(world);
        world.goes_on(30);
        until("the log has them", || head(server) > kept + 30);
        server.kill().unwrap();
        server.start_from(&older).unwrap();
        old.is_refused(world, server);
        world.goes_on(10);
    });
    assert!(world.counts("turns").iter().all(|turns| *turns > 0));
}

fn is_emptied(world: &World, server: &Server) {
    // What a node has read itself lies on its disk.
    let own = aside(1);
    for (at, key) in own.iter().take(NODES).enumerate() {
        world.reaches(at, HOT.start);
        assert_eq!(world.read(at, "read", *key).2, "source");
    }
    // Where all have what the log held.
    stays_warm(world, "a restart without data", Log::Anew, || {
        world.still(|| {
            server.kill().unwrap();
            server.start_empty().unwrap();
        });
        world.goes_on(10);
    });
    stays_warm(world, "a flush", Log::Anew, || {
        world.still(|| server.flush().unwrap());
        world.goes_on(10);
    });
    assert!(world.counts("foundings").iter().sum::<u64>() >= 2);
    for (at, key) in own.iter().take(NODES).enumerate() {
        until("its version lies on the history still", || {
            let (_, outcome, tier) = world.read(at, "below", *key);
            // A lease that has just ended is renewed.
            (&*outcome, &*tier) == ("Hit", "disk")
        });
    }
    // Where one may lack marks that are gone now: it takes everything for invalidated, and no other does.
    let (loads, gaps) = (world.counts("loads"), world.counts("gaps"));
    world.goes_on(10);
    server.flush().unwrap();
    world.goes_on(10);
    world.settle("a flush amid marks", Log::Anew);
    let (loads_now, gaps_now) = (world.counts("loads"), world.counts("gaps"));
    for at in (0..NODES).filter(|at| gaps_now[*at] == gaps[*at]) {
        assert_eq!(loads_now[at], loads[at], "node {at} after a flush amid marks");
    }
    assert!((0..NODES).any(|at| gaps_now[at] == gaps[at]), "who founds the log lacks nothing");
    world.fill(&WARM.collect::<Vec<_>>());
}

fn is_paused(world: &World, server: &Server) {
    stays_warm(world, "a pause", Log::Whole, || {
        world.goes_on(10);
        server.pause().unwrap();
        until("all leases are over", || world.counts("connected") == [0; NODES]);
        for at in 0..NODES {
            // A lease may lapse on a busy machine and be renewed by an answer from before the pause.
            until("it is labelled", || world.read(at, "read", WARM.start).1 == "Stale");
        }
        world.goes_on(10);
        until("it is counted", || world.counts("cuts").iter().all(|cuts| *cuts > 0));
        server.resume().unwrap();
    });
}

fn leaves_a_node_behind(world: &World, server: &Server) {
    const BEHIND: usize = 2;
    let key = ASIDE.end - 1;
    world.fill(&[key]);
    let (before, gaps) = (world.counts("loads"), world.counts("gaps"));
    world.stop(BEHIND);
    // The first of these is on its way to it, and is read when it wakes.
    world.goes_on(30);
    let number = world.mark_aside(key, 0);
    let there: Vec<u64> = world.still(|| HOT.map(|key| world.source.number(key)).collect());
    let read = Instant::now();
    world.goes_on(30);
    server.cli(&["XTRIM", "{samovar:log}:marks", "MAXLEN", "10"]).unwrap();
    until("a lease from before that is over", || read.elapsed() > LEASE);
    // From here on it is checked that what is older than that is labelled.
    HOT.for_each(|key| world.source.raise_fresh(key, there[key]));
    world.go_on(BEHIND);
    world.goes_on(10);
    world.settle("a trim beyond a node", Log::Anew);
    assert_eq!(world.read(BEHIND, "read", key).0, number, "it was marked before what is left");
    let mut expected = before;
    expected[BEHIND] += WARM.len() as u64;
    until("it has read everything again", || world.counts("loads")[BEHIND] >= expected[BEHIND]);
    assert_eq!(world.counts("loads"), expected, "the one that was behind, and no other");
    assert_eq!(world.counts("gaps")[BEHIND], gaps[BEHIND] + 1);
}

/// Four keys of their own for each time that Redis goes back.
fn aside(time: usize) -> Vec<usize> {
    ASIDE.skip(4 * time).take(4).collect()
}

#[test]
fn failovers_that_lose_the_tail_twice_in_a_row() {
    let servers = Sentinels::launch(&Setup::new().durable()).unwrap();
    let redis = format!("sentinel {} {}", servers.name(), servers.urls().join(" "));
    World::run(redis, |world| {
        world.fill(&WARM.collect::<Vec<_>>());
        for (time, (primary, replica)) in [(0, 1), (1, 0)].into_iter().enumerate() {
            let what = format!("the failover from {primary} to {replica}");
            stays_warm(world, &what, Log::Whole, || {
                let old = world.still(|| {
                    let old = Old::lay(world, &aside(time));
                    servers.cut_off(replica).unwrap();
                    old
                });
                let kept = head(servers.node(primary));
                old.mark(world);
                world.goes_on(30);
                until("they are on the primary", || head(servers.node(primary)) > kept + 30);
                servers.node(primary).kill().unwrap();
                servers.fail_over(replica).unwrap();
                old.is_refused(world, servers.node(replica));
                world.goes_on(10);
            });
            servers.rejoin(primary).unwrap();
        }
        assert!(world.counts("turns").iter().all(|turns| *turns >= 2));
    });
}

#[test]
fn shards_that_go_back_one_at_a_time() {
    let servers = Cluster::launch(&Setup::new().durable()).unwrap();
    let redis = format!("cluster {}", servers.urls().join(" "));
    World::run(redis, |world| {
        world.fill(&WARM.collect::<Vec<_>>());
        for shard in 0..3 {
            let is_there = |key: &usize| servers.shard(&in_redis(*key)).unwrap() == shard;
            let keys: Vec<usize> = ASIDE.filter(is_there).take(NODES + 1).collect();
            let server = servers.node(shard);
            stays_warm(world, &format!("shard {shard} went back"), Log::Whole, || {
                let (old, older) = world.still(|| {
                    let old = Old::lay(world, &keys);
                    (old, server.snapshot().unwrap())
                });
                old.mark(world);
                world.goes_on(30);
                server.kill().unwrap();
                world.goes_on(3);
                server.start_from(&older).unwrap();
                servers.wait().unwrap();
                old.is_refused(world, server);
                world.goes_on(10);
            });
        }
        assert!(world.counts("turns").iter().all(|turns| *turns > 0), "the log lay on one of them");
    });
}
