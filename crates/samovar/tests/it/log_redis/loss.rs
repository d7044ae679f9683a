//! What Redis may lose of a log, and what it may be too full for.

use futures_util::future::join_all;
use samovar::Counted;
use samovar_core::Verdict;

use super::*;

fn counted(node: &Node, event: Counted) -> u64 {
    node.samovar.counters().snapshot().count(event)
}

#[test]
fn a_redis_that_is_full_takes_invalidations_all_the_same() {
    let server = Server::launch(&Setup::new()).unwrap();
    let [a, b] = nodes(&alone(&server));
    b.put("k");
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).unwrap();
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    let refused = server.cli(&["SET", "tea", "green"]);
    assert!(refused.unwrap_or_else(|e| e.to_string()).contains("OOM"));
    let version = a.mark("k").unwrap();
    until("the other has applied it", || b.at() == version);
    assert!(!b.has("k"));
}

#[test]
fn a_log_that_redis_evicts_is_founded_again_and_that_is_said() {
    let server = Server::launch(&Setup::new()).unwrap();
    let [a, b] = nodes(&alone(&server));
    let version = a.mark("k").unwrap();
    until("both have applied it", || b.at() == version);
    [&a, &b].iter().for_each(|node| node.put("warm"));
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).unwrap();
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    // Whatever is written makes room first.
    let _ = server.cli(&["SET", "tea", "green"]);
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    let _ = b.mark("other");
    wait_for_all(&[&a, &b], version);
    assert!(a.has("warm") && b.has("warm"));
    let founded = counted(&a, Counted::LogFounded) + counted(&b, Counted::LogFounded);
    assert!(founded > 0 && counted(&a, Counted::LogTurned) > 0);
    let version = b.mark("warm").unwrap();
    until("it is obeyed", || a.at() == version && !a.has("warm"));
}

#[test]
fn who_joined_restores_what_it_took_from_the_log() {
    let server = Server::launch(&Setup::new().durable()).unwrap();
    let redis = alone(&server);
    let [a] = nodes(&redis);
    a.mark("kept").unwrap();
    let older = server.snapshot().unwrap();
    let last = a.mark("lost").unwrap();
    let [b, c] = [(); 2].map(|()| Node::start(&redis));
    // Who was told of it first is no more.
    block_on(a.samovar.close()).unwrap();
    server.kill().unwrap();
    server.start_from(&older).unwrap();
    wait_for_all(&[&b, &c], last);
    assert_eq!(marked(&redis), ["kept", "lost"]);
    assert!(counted(&b, Counted::LogTurned) > 0);
}

#[test]
fn nodes_that_have_forgotten_what_was_lost_send_one_mark_over_everything_for_all() {
    let server = Server::launch(&Setup::new().durable()).unwrap();
    let redis = alone(&server);
    found(&redis);
    let older = server.snapshot().unwrap();
    let [a] = [(); 1].map(|()| Node::start(&redis));
    for key in ["1", "2", "3"] {
        a.mark(key).unwrap();
    }
    // Who joins from here on never had the first two.
    server.cli(&["XTRIM", "{samovar:log}:marks", "MAXLEN", "1"]).unwrap();
    let others: [Node; 3] = [(); 3].map(|()| Node::start(&redis));
    let last = a.at();
    block_on(a.samovar.close()).unwrap();
    server.kill().unwrap();
    server.start_from(&older).unwrap();
    wait_for_all(&[&others[0], &others[1], &others[2]], last);
    let mut marks = marked(&redis);
    marks.sort();
    assert_eq!(marks, ["3", "everything"]);
}

/// What becomes of the value that an `expire` covers.
fn labelled(node: &Node, key: &str) -> Option<(Verdict, bool)> {
    block_on(node.cache.get(key)).map(|found| (found.verdict, found.marked))
}

#[test]
fn an_expire_that_redis_lost_is_sent_again_as_one() {
    let server = Server::launch(&Setup::new().durable()).unwrap();
    let values = Server::launch(&Setup::new()).unwrap();
    let redis = alone(&server);
    found(&redis);
    let sharing = || Settings { redis: Some(alone(&values)), ..Settings::default() };
    let [a, b] = [(); 2].map(|()| Node::with(&redis, sharing()));
    let kept = a.mark("kept").unwrap();
    until("both have applied it", || b.at() == kept);
    for node in [&a, &b] {
        node.put("k");
        node.put("warm");
        block_on(node.samovar.flush()).unwrap();
        assert_eq!(labelled(node, "k"), Some((Verdict::Fresh, false)));
    }
    let older = server.snapshot().unwrap();
    let scope = Scope::Key(Key::new("c", "k"));
    let last = block_on(a.samovar.mark(vec![scope], Mode::Expire, "test")).unwrap();
    until("both have applied it", || b.at() == last);
    let newest = || block_on(open(&redis, HASTY).snapshot()).unwrap().marks.pop().unwrap().mark;
    let sent = newest();

    server.kill().unwrap();
    server.start_from(&older).unwrap();
    wait_for_all(&[&a, &b], last);
    assert_eq!((newest(), sent.mode), (sent.clone(), Mode::Expire), "with its name and its time");
    // Who joins now knows no more than the log and what lies in Redis.
    let c = Node::with(&redis, sharing());
    for node in [&a, &b, &c] {
        assert_eq!(labelled(node, "k"), Some((Verdict::Stale, true)));
        assert_eq!(labelled(node, "warm"), Some((Verdict::Fresh, false)));
    }
}

#[test]
fn a_log_that_went_back_unnoticed_by_its_server_begins_an_epoch() {
    let server = Server::launch(&Setup::new()).unwrap();
    let redis = alone(&server);
    let [a] = nodes(&redis);
    a.mark("kept").unwrap();
    let (marks, meta) = ("{samovar:log}:marks", "{samovar:log}:meta");
    server.cli(&["COPY", marks, "{samovar:log}:older"]).unwrap();
    let last = a.mark("lost").unwrap();
    let back =
        "redis.call('COPY', KEYS[3], KEYS[1], 'REPLACE') redis.call('HSET', KEYS[2], 'seq', '1')";
    server.cli(&["EVAL", back, "3", marks, meta, "{samovar:log}:older"]).unwrap();
    wait_for_all(&[&a], last);
    assert_eq!(marked(&redis), ["kept", "lost"]);
}

#[test]
fn a_server_that_changes_while_nothing_is_marked_lets_the_history_not_grow() {
    let server = Server::launch(&Setup::new().durable()).unwrap();
    let redis = alone(&server);
    let [a] = nodes(&redis);
    a.mark("k").unwrap();
    let epochs = || block_on(open(&redis, HASTY).snapshot()).unwrap().history.0;
    let mut last = epochs();
    for _ in 0..3 {
        server.kill().unwrap();
        server.start().unwrap();
        let now = epochs();
        assert_ne!(now, last, "it is another server");
        assert_eq!(now.len(), 2);
        last = now;
    }
    a.put("k");
    until("it is accepted", || a.mark("k").is_ok());
    assert_eq!(epochs().len(), 2);
}

#[test]
fn marks_that_are_handed_over_together_get_numbers_in_their_order() {
    let server = Server::launch(&Setup::new()).unwrap();
    let [a, b] = nodes(&alone(&server));
    let scopes = |name: &str, count: u32| -> Vec<Scope> {
        (0..count).map(|n| Scope::Key(Key::new("c", format!("{name}-{n}")))).collect()
    };
    // One after the other, before any is waited for.
    let calls = [("large", 2_500), ("small", 3), ("other", 1_200)]
        .map(|(name, count)| a.samovar.mark(scopes(name, count), Mode::Remove, "test"));
    let numbers = block_on(join_all(calls)).into_iter().map(|version| version.unwrap().seq);
    assert_eq!(numbers.collect::<Vec<_>>(), [2_500, 2_503, 3_703]);
    until("the other has them", || b.at() == a.at());
    let keys = marked(&alone(&server));
    assert_eq!((&*keys[0], &*keys[2_499], &*keys[2_500]), ("large-0", "large-2499", "small-0"));
}

/// Whose table is put beside the log all the time.
const TALKATIVE: RedisLogOptions =
    RedisLogOptions { table_every: Duration::from_millis(20), ..QUICK };

#[test]
fn who_joins_begins_with_what_another_knew_and_stays_warm() {
    let server = Server::launch(&Setup::new()).unwrap();
    let redis = alone(&server);
    found(&redis);
    let sharing = || Settings { redis: Some(redis.clone()), ..Settings::default() };
    let a = Node::on(open(&redis, TALKATIVE), sharing());
    ["k", "warm"].iter().for_each(|key| a.put(key));
    block_on(a.samovar.flush()).unwrap();
    a.mark("k").unwrap();
    for number in 0..20 {
        a.mark(&number.to_string()).unwrap();
    }
    let table = "{samovar:log}:table";
    let left = || server.cli(&["GETRANGE", table, "0", "-1"]).unwrap();
    server.cli(&["DEL", table]).unwrap();
    let last = a.mark("last").unwrap();
    // It may have been begun a moment before the last mark.
    until("it is left", || !left().is_empty());
    block_on(a.samovar.close()).unwrap();
    server.cli(&["XTRIM", "{samovar:log}:marks", "MAXLEN", "5"]).unwrap();

    let b = Node::sharing(&redis);
    assert_eq!((b.at(), b.samovar.fence().floor("c")), (last, 0));
    assert_eq!(found_in(&b, "warm"), Some(TierName::Redis), "it was read before all the log holds");
    assert_eq!(found_in(&b, "k"), None, "what the table says is obeyed");

    // What cannot be read says nothing.
    server.cli(&["SETRANGE", table, "20", "damaged"]).unwrap();
    let c = Node::sharing(&redis);
    assert_eq!((c.at(), c.samovar.fence().floor("c")), (last, last.seq - 5));
    assert_eq!(found_in(&c, "warm"), None);
}
