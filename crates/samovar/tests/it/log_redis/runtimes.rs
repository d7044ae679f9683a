//! A node goes on where the tokio runtime ends in which it was opened.

use samovar::Counted;
use samovar::fence::Standing;

use super::*;

/// So long that a busy machine does not outlast it.
const LEASE: Duration = Duration::from_secs(3);

/// Does something in the context of a runtime, which ends behind it.
fn in_a_runtime<T>(body: impl FnOnce() -> T) -> T {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build().unwrap();
    let _context = runtime.enter();
    body()
}

#[test]
fn it_hears_is_heard_and_writes_to_redis() {
    let server = Server::launch(&Setup::new()).unwrap();
    let redis = alone(&server);
    found(&redis);
    let options = RedisLogOptions { lease: LEASE, ..QUICK };
    let sharing = || Settings { redis: Some(redis.clone()), ..Settings::default() };
    let other = Node::with(&redis, Settings::default());
    let node = in_a_runtime(|| {
        let node = Node::on(open(&redis, options), sharing());
        node.put("first");
        block_on(node.samovar.flush()).unwrap();
        node.mark("another").unwrap();
        node
    });
    let stands = |node: &Node, key: &str| block_on(node.cache.get(key)).is_some();
    let reader = Node::on(open(&redis, options), sharing());
    for round in 0..3 {
        let key = format!("key {round}");
        // What was under way with the runtime may not be kept there.
        until("it is in Redis", || {
            node.put(&key);
            block_on(node.samovar.flush()).is_ok() && stands(&reader, &key)
        });
        other.put(&key);
        node.mark(&key).unwrap();
        until("the others obey", || !stands(&other, &key) && !stands(&reader, &key));
        node.put(&key);
        other.mark(&key).unwrap();
        until("it obeys the others", || !stands(&node, &key));
    }
    // One that nobody renews is over by then.
    let began = Instant::now();
    until("a lease has passed", || began.elapsed() > LEASE);
    assert_eq!(node.samovar.fence().standing(), Standing::Connected);
    for node in [node, other, reader] {
        block_on(node.samovar.close()).unwrap();
    }
}

#[test]
fn marks_that_the_log_lacks_are_sent_again() {
    let server = Server::launch(&Setup::new().durable()).unwrap();
    let redis = alone(&server);
    found(&redis);
    let directory = tempfile::tempdir().unwrap();
    let other = Node::with(&redis, Settings::default());
    let node = in_a_runtime(|| {
        let settings = Settings {
            data_dir: Some(directory.path().into()),
            log_patience: Duration::from_millis(50),
            ..Settings::default()
        };
        let node = Node::with(&redis, settings);
        other.put("42");
        server.kill().unwrap();
        node.mark("42").expect("it is in the journal");
        node
    });
    server.start().unwrap();
    until("the other has heard", || block_on(other.cache.get("42")).is_none());
    until("nothing is left", || node.samovar.fence().pending() == 0);
    block_on(node.samovar.close()).unwrap();
}

#[test]
fn a_redis_that_was_left_alone_is_asked_again() {
    let server = Server::launch(&Setup::new()).unwrap();
    let redis = alone(&server);
    let samovar = in_a_runtime(|| {
        let settings = Settings { redis: Some(redis.clone()), ..Settings::default() };
        let samovar = block_on(Samovar::open(settings)).unwrap();
        let cache: Cache<String> = samovar.cache(CachePolicy::named("c"));
        server.kill().unwrap();
        until("it is left alone", || {
            let _ = block_on(cache.get("42"));
            samovar.counters().snapshot().count(Counted::TierSkipped) > 0
        });
        samovar
    });
    server.start_empty().unwrap();
    let policy = CachePolicy { memory: false, ..CachePolicy::named("c") };
    let cache: Cache<String> = samovar.cache(policy);
    until("it is used", || {
        let stamp = Stamp::new(cache.token(), samovar.clock().now());
        cache.put("42", "v".to_owned(), Arc::new([Part { span: None, stamp }]));
        block_on(samovar.flush()).is_ok() && block_on(cache.get("42")).is_some()
    });
    block_on(samovar.close()).unwrap();
}
