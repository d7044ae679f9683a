//! Writes that were under way where the tokio runtime ends in which the cache was opened.

use super::*;
use crate::support::block_on;

/// A runtime that ends while the source is asked for the first write, which never comes back from there.
fn ends_under_a_write(shop: impl Future<Output = Shop>, key: &'static str) -> Shop {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).build().unwrap();
    runtime.block_on(async {
        let shop = shop.await;
        let never = shop.source.waits();
        drop(shop.begin(key, "Green tea"));
        until(|| shop.source.asked().len() == 1).await;
        std::mem::forget(never);
        shop
    })
}

/// What is kept stays, however far the clock goes on.
fn lasting(strategy: Strategy) -> CachePolicy {
    let ttl = Duration::from_secs(50 * 365 * 86_400);
    CachePolicy { ttl, negative_ttl: Some(ttl), ..by(strategy) }
}

#[test]
fn what_was_acknowledged_is_written_once_nothing_of_before_can_be_committed() {
    let directory = tempfile::tempdir().unwrap();
    let policy = lasting(Strategy::WriteBack);
    let shop = ends_under_a_write(Shop::new(Some(directory.path()), policy), "42");
    test(async {
        shop.write("43", "Milk").await.unwrap();
        goes_on().await;
        // Its clock stands still: this may come early, and never fails in vain.
        assert_eq!(shop.source.asked().len(), 1, "what was sent before may still be committed");
        shop.settled_in_time().await;
        let asked = shop.source.asked();
        assert_eq!((asked.len(), &asked[0]), (3, &asked[1]), "by the same name");
        assert_eq!(shop.source.row("43").unwrap(), "Milk");
        // The first time may have been committed, and others have written since.
        assert_eq!(shop.peek("42"), None, "it is read from the source");
        assert_eq!(shop.peek("43").unwrap(), "Milk");
    });
    block_on(shop.close());
}

#[test]
fn what_was_written_through_is_marked_after_the_deadline() {
    let directory = tempfile::tempdir().unwrap();
    let policy = lasting(Strategy::WriteThrough);
    let shop = ends_under_a_write(Shop::new(Some(directory.path()), policy), "42");
    test(async {
        // The source commits late, after somebody has read that there was nothing.
        assert_eq!(shop.read("42").await, (None, Outcome::Loaded));
        shop.source.inside().rows.insert("42".into(), "Green tea".into());
        assert_eq!(shop.read("42").await, (None, Outcome::Negative), "nobody can know");
        until(|| {
            shop.clock.advance(DEADLINE);
            block_on(shop.read("42")).0.is_some()
        })
        .await;
        shop.close().await;
    });
}
