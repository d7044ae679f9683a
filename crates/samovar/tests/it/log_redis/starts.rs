//! What a node knows at its start from before, and what it makes of that.

use samovar::fence::Standing;
use samovar::{Counted, WrapLower};
use samovar_testkit::clock::FakeClock;
use tempfile::tempdir;

use super::away::{counted, durable, standing, start};
use super::*;
use crate::support::START;

fn close(node: &Node) {
    block_on(node.samovar.close()).unwrap();
}

/// Marks that the log loses while the only node that knows of them does not run.
fn marks_lost_meanwhile(is_away_at_the_start: bool) {
    let server = Server::launch(&Setup::new().durable()).unwrap();
    let (redis, directory) = (alone(&server), tempdir().unwrap());
    found(&redis);
    let node = start(&redis, durable(directory.path()));
    node.mark("kept").unwrap();
    let older = server.snapshot().unwrap();
    node.mark("lost-1").unwrap();
    node.put("warm");
    block_on(node.samovar.flush()).unwrap();
    node.mark("lost-2").unwrap();
    close(&node);
    server.kill().unwrap();
    let node = if is_away_at_the_start {
        let node = start(&redis, durable(directory.path()));
        // One that is stopped once more knows no less.
        close(&node);
        let node = start(&redis, durable(directory.path()));
        assert_eq!(standing(&node), Standing::CutOff);
        server.start_from(&older).unwrap();
        node
    } else {
        server.start_from(&older).unwrap();
        start(&redis, durable(directory.path()))
    };
    until("what was lost is there again", || node.rests() && marked(&redis).len() == 3);
    assert_eq!(marked(&redis), ["kept", "lost-1", "lost-2"]);
    assert_eq!(counted(&node, Counted::LogTurned), 1);
    assert_eq!(found_in(&node, "lost-1"), None);
}

#[test]
fn what_the_log_lost_while_a_node_did_not_run_is_sent_again_at_its_start() {
    marks_lost_meanwhile(false);
}

#[test]
fn what_the_log_lost_is_sent_again_once_it_is_back() {
    marks_lost_meanwhile(true);
}

#[test]
fn a_start_that_fails_leaves_what_was_put_away_for_the_next() {
    let server = Server::launch(&Setup::new()).unwrap();
    let (redis, directory) = (alone(&server), tempdir().unwrap());
    found(&redis);
    close(&start(&redis, durable(directory.path())));
    let saved = directory.path().join("marks.saved");
    assert!(saved.exists());
    let fails: Arc<WrapLower> = Arc::new(|disk, _| {
        // Its threads hold the file until they have ended.
        disk.map_or(Ok(()), |disk| block_on(disk.close()))?;
        Err(Error::new(ErrorKind::Storage, "the disk fails"))
    });
    let failing = Settings {
        log: Some(Arc::new(open(&redis, HASTY))),
        lower: Some(fails),
        ..durable(directory.path())
    };
    assert_eq!(block_on(Samovar::open(failing)).unwrap_err().kind(), ErrorKind::Storage);
    assert!(saved.exists());
    let _node = start(&redis, durable(directory.path()));
    assert!(!saved.exists(), "whatever ends this one may be no clean stop");
}

#[test]
fn who_was_stopped_stays_warm_though_the_log_has_let_go_of_what_it_knew() {
    let server = Server::launch(&Setup::new().durable()).unwrap();
    let (redis, directory) = (alone(&server), tempdir().unwrap());
    found(&redis);
    let node = start(&redis, durable(directory.path()));
    ["warm", "gone", "0"].iter().for_each(|key| node.put(key));
    block_on(node.samovar.flush()).unwrap();
    for number in 0..4 {
        node.mark(&number.to_string()).unwrap();
    }
    close(&node);
    let other = start(&redis, Settings::default());
    let last = other.mark("gone").unwrap();
    server.cli(&["XTRIM", "{samovar:log}:marks", "MAXLEN", "2"]).unwrap();
    let node = start(&redis, durable(directory.path()));
    assert_eq!((node.at(), node.samovar.fence().floor("c")), (last, 0));
    assert_eq!(found_in(&node, "warm"), Some(TierName::Disk));
    assert_eq!((found_in(&node, "gone"), found_in(&node, "0")), (None, None));
}

#[test]
fn the_time_before_the_start_counts_towards_max_blind() {
    let server = Server::launch(&Setup::new().durable()).unwrap();
    let (redis, directory) = (alone(&server), tempdir().unwrap());
    found(&redis);
    let clock = FakeClock::at(START);
    let settings = || Settings {
        serve_while_away: true,
        clock: Arc::clone(&clock) as _,
        max_blind: Duration::from_secs(600),
        ..durable(directory.path())
    };
    let node = start(&redis, settings());
    node.put("k");
    close(&node);
    server.kill().unwrap();
    // A node that comes and goes meanwhile was not connected either.
    for expected in [Standing::CutOff, Standing::CutOff, Standing::Blind] {
        clock.advance(Duration::from_secs(250));
        let node = start(&redis, settings());
        assert_eq!(standing(&node), expected);
        let found = block_on(node.cache.get("k"));
        assert_eq!(
            found.map(|found| found.cut_off),
            (expected == Standing::CutOff).then_some(true)
        );
        close(&node);
    }
}

#[test]
fn a_start_while_the_log_is_away_is_labelled_also_without_leases() {
    let server = Server::launch(&Setup::new().durable()).unwrap();
    let (redis, directory) = (alone(&server), tempdir().unwrap());
    let settings = || Settings { serve_while_away: true, ..durable(directory.path()) };
    let node = Node::on(open(&redis, HASTY), settings());
    assert_eq!(standing(&node), Standing::Connected);
    node.put("k");
    close(&node);
    server.kill().unwrap();
    let node = Node::on(open(&redis, HASTY), settings());
    assert_eq!(standing(&node), Standing::CutOff);
    assert!(block_on(node.cache.get("k")).unwrap().cut_off);
    server.start().unwrap();
    until("it has reached the log", || standing(&node) == Standing::Connected);
    assert!(!block_on(node.cache.get("k")).unwrap().cut_off);
}

#[test]
fn what_may_evict_the_log_is_said_at_the_start_with_what_to_choose() {
    for (policy, is_said) in [("allkeys-lru", true), ("volatile-lru", false), ("noeviction", false)]
    {
        let server = Server::launch(&Setup::new().set("maxmemory-policy", policy)).unwrap();
        let log = open(&alone(&server), HASTY);
        let hazard = block_on(log.hazard()).unwrap();
        assert_eq!(hazard.is_some(), is_said, "{policy}: {hazard:?}");
        let Some(hazard) = hazard else { continue };
        assert!(hazard.contains(policy) && hazard.contains("noeviction"), "{hazard}");
        let [node] = nodes(&alone(&server));
        until("it is said", || {
            node.samovar.counters().notices().iter().any(|notice| *notice.text == *hazard)
        });
    }
}

#[test]
fn of_a_cluster_each_node_is_asked_what_it_may_evict() {
    let servers = Cluster::launch(&Setup::new().set("maxmemory-policy", "volatile-lru")).unwrap();
    let log = open(&RedisSettings::cluster(servers.urls()).unwrap(), HASTY);
    assert_eq!(block_on(log.hazard()).unwrap(), None);
    servers.node(2).cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lfu"]).unwrap();
    assert!(block_on(log.hazard()).unwrap().unwrap().contains("allkeys-lfu"));
}
