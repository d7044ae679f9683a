//! The contract suite on every kind of Redis, and what only Redis promises.

use samovar::redis::{RedisServers, RedisSettings};
use samovar_core::{Key, Need, Tier};
use samovar_testkit::redis::{Cluster, Sentinels, Server, Setup};
use samovar_testkit::tier as suite;

use super::{at, authority, calls, launch, patient, subject, tier, until};
use crate::support::block_on;

/// The suite, in a namespace of its own for each tier.
fn keeps_the_contract(settings: &RedisSettings) {
    let fresh = || {
        tier(&RedisSettings { namespace: patient(settings.clone()).namespace, ..settings.clone() })
            .0
    };
    suite::common_suite(fresh, &subject());
}

#[test]
fn alone() {
    keeps_the_contract(&at(&launch()));
}

#[test]
fn with_a_password_and_a_certificate() {
    let setup = Setup::new().user("ann", "geheim").tls().unwrap();
    let server = Server::launch(&setup).unwrap();
    let (_directory, tls) = authority(&setup);
    let settings = RedisSettings { tls: Some(tls), ..at(&server) };
    keeps_the_contract(&settings);

    let refused = |settings: RedisSettings, says: &str| {
        let (tier, _) = tier(&settings);
        let error = block_on(tier.get(&Key::new("c", "k"))).unwrap_err().to_string();
        assert!(error.contains(says) && !error.contains("geheim"), "{error}");
    };
    refused(RedisSettings { password: Some("wrong".into()), ..settings.clone() }, "assword");
    // The system's authorities know nothing of this one.
    refused(
        RedisSettings { tls: Some(samovar::redis::RedisTls::default()), ..settings },
        "ertificate",
    );
}

#[test]
fn behind_sentinels_with_passwords_and_certificates() {
    let setup = Setup::new().user("ann", "geheim").tls().unwrap();
    let set = Sentinels::launch(&setup).unwrap();
    let (_directory, tls) = authority(&setup);
    let settings = RedisSettings {
        username: Some("ann".into()),
        password: Some("geheim".into()),
        tls: Some(tls),
        ..patient(RedisSettings::sentinel(set.name(), set.urls()).unwrap())
    };
    keeps_the_contract(&settings);
}

#[test]
fn as_a_cluster() {
    let cluster = Cluster::launch(&Setup::new()).unwrap();
    keeps_the_contract(&patient(RedisSettings::cluster(cluster.urls()).unwrap()));
    for shard in 0..3 {
        assert_ne!(cluster.node(shard).cli(&["DBSIZE"]).unwrap(), "0", "keys spread over all");
    }
}

/// How often a server has read from its clients' sockets.
fn reads(server: &Server) -> u64 {
    let told = server.cli(&["INFO", "stats"]).unwrap();
    let line = told.lines().find_map(|line| line.strip_prefix("total_reads_processed:"));
    line.expect("it tells").trim().parse().unwrap()
}

#[test]
fn of_a_batch_no_question_waits_for_the_answer_to_another_on_a_cluster() {
    let cluster = Cluster::launch(&Setup::new()).unwrap();
    let settings = patient(RedisSettings::cluster(cluster.urls()).unwrap());
    let (tier, _) = tier(&settings);
    let keys: Vec<Key> = (0..300).map(|id| Key::new("c", id.to_string())).collect();
    for key in &keys {
        tier.put(key, subject().entry(b"v"));
    }
    block_on(tier.flush()).unwrap();
    let nodes = [0, 1, 2].map(|at| cluster.node(at));
    let asking = nodes.map(|node| {
        let before = reads(node);
        reads(node) - before
    });
    let before = nodes.map(reads);
    let found = block_on(tier.get_many(&keys, Need::Now));
    assert!(found.iter().all(|found| matches!(found, Ok(Some(_)))));
    for (at, node) in nodes.iter().enumerate() {
        let [put, got] = ["set", "get"].map(|command| calls(node, command));
        assert!(put > 50 && put == got, "{at}: {got} of {put}");
        // Who waited for an answer before the next question would have it read once for each. How many travel in one
        // packet is for the system to say.
        let reads = reads(node) - before[at] - asking[at];
        assert!(2 * reads < got, "{at}: {got} questions came in {reads} parts");
    }
}

#[test]
fn as_a_cluster_with_passwords_and_certificates() {
    let setup = Setup::new().user("ann", "geheim").tls().unwrap();
    let cluster = Cluster::launch(&setup).unwrap();
    let (_directory, tls) = authority(&setup);
    let settings = RedisSettings {
        tls: Some(tls),
        ..patient(RedisSettings::cluster(cluster.urls()).unwrap())
    };
    keeps_the_contract(&settings);
}

#[test]
fn the_first_address_that_answers_is_taken() {
    let (server, gone) = (launch(), launch());
    gone.kill().unwrap();
    let settings = patient(RedisSettings::standalone([gone.url(), server.url()]).unwrap());
    let (tier, _) = tier(&settings);
    tier.put(&Key::new("c", "k"), subject().entry(b"v"));
    block_on(tier.flush()).unwrap();
    assert_eq!(server.cli(&["DBSIZE"]).unwrap(), "1");
}

#[test]
fn databases_and_namespaces_are_apart() {
    let server = launch();
    let key = Key::new("c", "k");
    let base = at(&server);
    let settings = [
        base.clone(),
        RedisSettings { database: 3, ..base.clone() },
        RedisSettings { namespace: "other:".into(), ..base },
    ];
    let tiers = settings.map(|settings| tier(&settings).0);
    for (at, tier) in tiers.iter().enumerate() {
        tier.put(&key, subject().entry(&[at as u8]));
        block_on(tier.flush()).unwrap();
    }
    for (at, tier) in tiers.iter().enumerate() {
        let found = block_on(tier.get(&key)).unwrap().unwrap();
        assert_eq!((subject().read)(&found.value), [at as u8]);
    }
    assert_eq!(server.cli(&["-n", "3", "DBSIZE"]).unwrap(), "1");
}

#[test]
fn a_lookup_of_many_is_one_command_and_their_times() {
    let server = launch();
    let (tier, _) = tier(&at(&server));
    let keys: Vec<Key> = (0..100).map(|id| Key::new("c", id.to_string())).collect();
    for key in &keys {
        tier.put(key, subject().entry(b"v"));
    }
    block_on(tier.flush()).unwrap();
    server.cli(&["CONFIG", "RESETSTAT"]).unwrap();
    for need in [samovar_core::Need::Now, samovar_core::Need::Later] {
        assert!(
            block_on(tier.get_many(&keys, need)).iter().all(|found| matches!(found, Ok(Some(_))))
        );
    }
    let calls = |command| super::calls(&server, command);
    assert_eq!((calls("mget"), calls("get")), (2, 0));
    assert_eq!(("pttl", calls("pttl")), ("pttl", 100), "only for who needs it");
    assert_eq!(calls("set") + calls("scan") + calls("eval"), 0);
}

#[test]
fn room_is_waited_for_and_what_is_too_much_is_turned_down() {
    let server = launch();
    let settings = RedisSettings { queue_bytes: 200_000, ..at(&server) };
    let (tier, counters) = tier(&settings);
    for id in 0..100 {
        tier.put(&Key::new("c", id.to_string()), subject().entry(&[id; 50_000]));
        block_on(tier.room()).unwrap();
    }
    block_on(tier.flush()).unwrap();
    assert_eq!(server.cli(&["DBSIZE"]).unwrap(), "100", "none was turned down");

    // Now it does not read: what comes first waits, what comes then is turned down, and replaces what stood there.
    server.pause().unwrap();
    let key = |id: u8| Key::new("c", id.to_string());
    for id in 0..20 {
        tier.put(&key(id), subject().entry(&[id + 100; 50_000]));
    }
    let dropped = counters.snapshot().count(samovar::Counted::FillDropped);
    assert!((10..=16).contains(&dropped), "{dropped}");
    let first = block_on(tier.get(&key(0))).unwrap().unwrap();
    assert_eq!((subject().read)(&first.value)[0], 100, "from the queue, though Redis is silent");
    assert!(block_on(tier.get(&key(4))).unwrap().is_none(), "what stood there is older");
    server.resume().unwrap();
    block_on(tier.flush()).unwrap();
    assert_eq!(server.cli(&["EXISTS", &format!("{}c:4", settings.namespace)]).unwrap(), "0");
}

#[test]
fn a_closed_tier_has_written_everything_and_takes_nothing_more() {
    let server = launch();
    let (tier, _) = tier(&at(&server));
    for id in 0..500 {
        tier.put(&Key::new("c", id.to_string()), subject().entry(b"v"));
    }
    block_on(tier.close()).unwrap();
    assert_eq!(server.cli(&["DBSIZE"]).unwrap(), "500");
    tier.put(&Key::new("c", "late"), subject().entry(b"v"));
    assert!(block_on(tier.flush()).is_err());
    assert!(block_on(tier.remove(&Key::new("c", "0"))).is_err());
}

/// On the caller's own runtime, where there is one: no thread of ours.
#[test]
fn it_lives_on_the_callers_runtime() {
    let server = launch();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (tier, _) = tier(&at(&server));
        tier.put(&Key::new("c", "k"), subject().entry(b"v"));
        tier.flush().await.unwrap();
        assert!(tier.get(&Key::new("c", "k")).await.unwrap().is_some());
        tier.close().await.unwrap();
    });
}

#[test]
fn it_may_be_asked_from_outside_of_its_runtime() {
    let server = launch();
    let build = |mut builder: tokio::runtime::Builder| builder.enable_all().build().unwrap();
    let home = build(tokio::runtime::Builder::new_multi_thread());
    let tier = {
        let _context = home.enter();
        tier(&at(&server)).0
    };
    let ask = async || {
        tier.put(&Key::new("c", "k"), subject().entry(b"v"));
        tier.flush().await.unwrap();
        assert!(tier.get(&Key::new("c", "k")).await.unwrap().is_some());
    };
    // From a thread that knows of no runtime, and from another one.
    block_on(ask());
    build(tokio::runtime::Builder::new_current_thread()).block_on(ask());
    // A runtime that is gone takes the connection along: another is made, on one of our own.
    drop(home);
    block_on(ask());
    block_on(tier.close()).unwrap();
}

#[test]
fn a_dropped_tier_lets_go_of_its_connection() {
    let server = launch();
    let (tier, _) = tier(&at(&server));
    assert!(block_on(tier.get(&Key::new("c", "k"))).unwrap().is_none());
    let clients = || server.cli(&["CLIENT", "LIST"]).unwrap().lines().count();
    assert_eq!(clients(), 2, "the tier's and the one that asks");
    drop(tier);
    until("the connection to be closed", || clients() == 1);
}

#[test]
fn settings_that_cannot_be_are_refused_at_once() {
    let settings = RedisSettings::standalone(["redis://ann:geheim@127.0.0.1"]).unwrap();
    let refused = |settings: RedisSettings, says: &str| {
        let error = settings.check().unwrap_err();
        assert_eq!(error.kind(), samovar_core::ErrorKind::Invalid);
        assert!(error.to_string().contains(says), "{error}");
    };
    let with = |change: fn(&mut RedisSettings)| {
        let mut settings = settings.clone();
        change(&mut settings);
        settings
    };
    settings.check().unwrap();
    refused(with(|s| s.servers = RedisServers::Standalone(Vec::new())), "name a server");
    refused(with(|s| s.password = None), "needs a password");
    refused(with(|s| s.namespace = "n".repeat(257)), "256 bytes");
    refused(with(|s| s.response_timeout = std::time::Duration::ZERO), "above 0");
    refused(with(|s| s.retry_max = std::time::Duration::ZERO), "retry_max");
    refused(with(|s| s.failures_max = 0), "failures_max");
    let cluster = RedisSettings::cluster(["redis://a", "redis://b"]).unwrap();
    refused(RedisSettings { database: 1, ..cluster }, "database 0");
    refused(RedisSettings::sentinel("", ["redis://a"]).unwrap(), "call the master");
    let tls = samovar::redis::RedisTls { ca_file: Some("/no/such/file".into()) };
    let settings = RedisSettings { tls: Some(tls), ..settings };
    let counters = std::sync::Arc::default();
    let clock = samovar_testkit::clock::FakeClock::at(samovar_core::Millis(0));
    let error = samovar::tier::RedisTier::new(&settings, clock, counters).unwrap_err();
    assert!(error.to_string().contains("/no/such/file"), "{error}");
}
