//! What is written to caches without a source, on nodes that share a log.

use samovar::Strategy;
use tempfile::tempdir;
use tokio::sync::watch;

use super::away::{Gated, SHORT, durable};
use super::*;

fn documents(samovar: &Samovar, strategy: Strategy) -> Cache<String> {
    samovar.cache(CachePolicy { strategy, ..CachePolicy::named("documents") })
}

fn text(cache: &Cache<String>) -> Option<String> {
    block_on(cache.get("42")).map(|found| found.value().to_string())
}

#[test]
fn every_node_keeps_the_document_that_was_marked_last() {
    let server = Server::launch(&Setup::new()).unwrap();
    let redis = alone(&server);
    found(&redis);
    let sharing = || Settings { redis: Some(redis.clone()), ..Settings::default() };
    let (gate, answers) = watch::channel(true);
    let a = Node::on(Gated::answering(&redis, answers), sharing());
    let b = Node::on(open(&redis, SHORT), sharing());
    let [ours, theirs] = [&a, &b].map(|node| documents(&node.samovar, Strategy::WriteThrough));
    // The log has the mark of the first write, and says so only once the second is done.
    gate.send(false).unwrap();
    let first = thread::spawn({
        let ours = ours.clone();
        move || block_on(ours.write("42", "first".to_owned())).unwrap()
    });
    until("its mark is there", || b.at().seq == 1);
    let second = block_on(theirs.write("42", "second".to_owned())).unwrap();
    until("the first node has heard of it", || Some(a.at()) == second.version);
    gate.send(true).unwrap();
    first.join().unwrap();
    for cache in [&ours, &theirs] {
        assert_eq!(text(cache).as_deref(), Some("second"));
    }
}

#[test]
fn what_was_acknowledged_without_a_source_while_the_log_was_away_is_kept() {
    let server = Server::launch(&Setup::new().durable()).unwrap();
    let (redis, directory) = (alone(&server), tempdir().unwrap());
    found(&redis);
    let node = Node::on(open(&redis, SHORT), durable(directory.path()));
    let cache = documents(&node.samovar, Strategy::WriteBack);
    server.kill().unwrap();
    block_on(cache.write("42", "written".to_owned())).unwrap();
    assert_eq!(text(&cache).as_deref(), Some("written"));
    server.start().unwrap();
    until("it has left the journal", || cache.unwritten() == 0);
    block_on(node.samovar.close()).unwrap();
    let node = Node::on(open(&redis, SHORT), durable(directory.path()));
    let cache = documents(&node.samovar, Strategy::WriteBack);
    assert_eq!(cache.unwritten(), 0);
    assert_eq!(text(&cache).as_deref(), Some("written"), "it lies on disk");
}
