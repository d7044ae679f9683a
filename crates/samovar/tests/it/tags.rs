//! Tags: they go with a value wherever it goes.

use std::sync::Arc;

use futures_channel::oneshot;
use samovar::{Loaded, PutOptions};
use samovar_core::{Mode, Scope, Tags, TierName};
use samovar_testkit::clock::FakeClock;
use tempfile::tempdir;

use crate::support::{START, Stepped, block_on, get, mark, open, policy, whole};

fn tags() -> Tags {
    Tags::new(["supplier:7", "summer"]).unwrap()
}

#[test]
fn a_value_bears_its_tags_in_every_tier() {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let samovar = open(Some(directory.path()), &clock);
    let cache = samovar.cache::<String>(policy("c"));
    for (id, below) in [("above", false), ("below", true)] {
        let options = PutOptions { tags: tags(), below, ..PutOptions::default() };
        cache.put_with(id, "v".to_owned(), whole(&samovar), options);
        assert_eq!(*get(&cache, id).unwrap().tags(), tags(), "{id}: at once");
    }
    let load = |_| async { Ok(Loaded::from("v".to_owned()).tags(tags())) };
    block_on(cache.get_or_load("loaded", load)).unwrap();
    cache.put("plain", "v".to_owned(), whole(&samovar));
    assert_eq!(*cache.peek("plain").unwrap().tags(), Tags::NONE);
    block_on(samovar.flush()).unwrap();
    block_on(samovar.close()).unwrap();

    let samovar = open(Some(directory.path()), &clock);
    let cache = samovar.cache::<String>(policy("c"));
    for id in ["above", "below", "loaded"] {
        for tier in [TierName::Disk, TierName::Memory] {
            let found = get(&cache, id).unwrap();
            assert_eq!((found.tier, found.tags()), (tier, &tags()), "{id}");
            assert_eq!(*found.clone().tags(), tags());
        }
    }
    assert_eq!(*get(&cache, "plain").unwrap().tags(), Tags::NONE);
    block_on(samovar.close()).unwrap();
}

/// A load that is under way when a tag is marked may bring that tag: who asks afterwards must not be given what it read.
#[test]
fn who_asks_after_a_mark_on_a_tag_does_not_join_what_began_before() {
    let samovar = open(None, &FakeClock::at(START));
    let cache = samovar.cache::<String>(policy("c"));
    let asks = |value: &str, held: oneshot::Receiver<()>| {
        let (cache, value) = (cache.clone(), value.to_owned());
        let load = |_| async move {
            held.await.unwrap();
            Ok(Loaded::from(value).tags(tags()))
        };
        Stepped::new(async move { cache.get_or_load("k", load).await.unwrap().value.unwrap() })
    };
    let ((go, held), (go_again, held_again)) = (oneshot::channel(), oneshot::channel());
    let mut before = asks("old", held);
    assert!(before.step().is_none());
    mark(&samovar, Scope::Tag("summer".into()), Mode::Remove);
    let mut after = asks("new", held_again);
    assert!(after.step().is_none());
    go.send(()).unwrap();
    assert_eq!(*before.finish(), "old", "who joined before is given it");
    assert!(cache.peek("k").is_none(), "nobody else is");
    go_again.send(()).unwrap();
    assert_eq!(*after.finish(), "new");
}

#[test]
fn tags_are_counted_in_bytes() {
    let samovar = open(None, &FakeClock::at(START));
    let cache = samovar.cache::<String>(policy("c"));
    let bytes = |tags| {
        cache.put_with(
            "k",
            Arc::new("v".to_owned()),
            whole(&samovar),
            PutOptions { tags, ..PutOptions::default() },
        );
        samovar.usage()[0].1.total().bytes
    };
    let long = Tags::new(["x".repeat(200), "y".repeat(200)]).unwrap();
    assert!(bytes(long) >= bytes(Tags::NONE) + 400);
}
