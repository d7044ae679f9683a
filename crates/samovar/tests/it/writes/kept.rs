//! What was written is kept only where nothing newer can stand in the source.

use super::*;
use samovar_core::Scope;

/// The source, to a read that is not answered from a tier.
async fn loads(shop: &Shop, value: &str) {
    assert_eq!(shop.read("42").await, (Some(value.into()), Outcome::Loaded));
}

#[test]
fn what_is_sent_again_may_have_been_overwritten() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        let shop = Shop::new(Some(directory.path()), back()).await;
        // It was written and nobody knows; then another node wrote the row; then it is left out, since it was written.
        shop.source.will([Act::Lose { committed: true }, Act::Leave]);
        let sleepers = shop.clock.sleepers();
        shop.write("42", "ours").await.unwrap();
        until(|| shop.source.asked().len() == 1 && shop.clock.sleepers() > sleepers).await;
        shop.source.inside().rows.insert("42".into(), "theirs".into());
        shop.remove("42").await;
        shop.clock.advance(DEADLINE);
        shop.settled().await;
        loads(&shop, "theirs").await;
    });
}

#[test]
fn what_was_sent_before_a_restart_is_waited_for() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        let shop = Shop::new(Some(directory.path()), back()).await;
        let never = shop.source.waits();
        shop.write("42", "one").await.unwrap();
        shop.write("42", "two").await.unwrap();
        until(|| shop.source.asked().len() == 1).await;
        shop.close().await;
        let source = Arc::clone(&shop.source);
        drop((shop, never));

        let shop = Shop::over(source, Some(directory.path()), back()).await;
        assert_eq!(shop.peek("42").unwrap(), "two");
        let sleepers = shop.clock.sleepers();
        until(|| shop.clock.sleepers() >= sleepers.max(1)).await;
        shop.clock.advance(DEADLINE - Duration::from_secs(1));
        goes_on().await;
        assert_eq!(shop.source.asked().len(), 1, "the first could overtake the second");
        shop.source.inside().rows.insert("42".into(), "one".into());
        shop.clock.advance(Duration::from_secs(1));
        shop.settled().await;
        assert_eq!(shop.source.row("42").unwrap(), "two");
        loads(&shop, "two").await;
    });
}

#[test]
fn a_pattern_covers_what_is_written_under_a_prefix() {
    for strategy in [Strategy::WriteBack, Strategy::WriteThrough] {
        test(async {
            let directory = tempfile::tempdir().unwrap();
            let prefixed = CachePolicy { key_prefix: Some("shop:".into()), ..by(strategy) };
            let shop = Shop::new(Some(directory.path()), prefixed).await;
            let go = shop.source.waits();
            let begun = shop.begin("42", "Green tea");
            until(|| shop.source.asked().len() == 1).await;
            let scope = Scope::Pattern("shop:4*".parse().unwrap());
            shop.samovar.mark(vec![scope], Mode::Remove, "test").await.unwrap();
            go.send(Act::Do).unwrap();
            begun.await.unwrap().unwrap();
            shop.settled().await;
            loads(&shop, "Green tea").await;
        });
    }
}
