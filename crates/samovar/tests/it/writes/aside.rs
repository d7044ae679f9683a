//! Cache-aside: the source, then the mark.

use super::*;

#[test]
fn what_is_written_is_loaded_by_the_next_read() {
    test(async {
        let shop = Shop::new(None, by(Strategy::CacheAside)).await;
        shop.source.inside().rows.insert("42".into(), "Tea".into());
        assert_eq!(shop.read("42").await, (Some("Tea".into()), Outcome::Loaded));
        let written = shop.write("42", "Green tea").await.unwrap();
        assert!(written.version.is_some_and(|version| version.seq > 0));
        assert_eq!(shop.peek("42"), None, "nothing is kept");
        assert_eq!(shop.read("42").await, (Some("Green tea".into()), Outcome::Loaded));
        shop.names.delete("42").await.unwrap();
        assert_eq!(shop.read("42").await, (None, Outcome::Loaded));
    });
}

#[test]
fn the_key_is_marked_whatever_the_source_says() {
    test(async {
        let expected = [
            (Act::Refuse, Fate::Refused),
            (Act::Fail, Fate::NotWritten),
            (Act::Lose { committed: false }, Fate::Unknown),
            (Act::Panic, Fate::Unknown),
        ];
        for (act, expects) in expected {
            let shop = Shop::new(None, by(Strategy::CacheAside)).await;
            shop.source.inside().rows.insert("42".into(), "Tea".into());
            shop.read("42").await;
            shop.source.will([act]);
            let written = shop.write("42", "Green tea").await;
            assert_eq!(fate(written), (ErrorKind::Source, expects));
            assert_eq!(shop.peek("42"), None);
        }
    });
}

#[test]
fn it_goes_on_though_nobody_waits() {
    test(async {
        let shop = Shop::new(None, by(Strategy::CacheAside)).await;
        shop.source.inside().rows.insert("42".into(), "Tea".into());
        shop.read("42").await;
        let go = shop.source.waits();
        let begun = shop.begin("42", "Green tea");
        until(|| shop.source.asked().len() == 1).await;
        begun.abort();
        assert!(begun.await.unwrap_err().is_cancelled());
        go.send(Act::Do).unwrap();
        until(|| shop.peek("42").is_none()).await;
        assert_eq!(shop.source.row("42").unwrap(), "Green tea");
    });
}

#[test]
fn without_a_writer_it_is_the_mark_alone() {
    test(async {
        let shop = Shop::new(None, by(Strategy::CacheAside)).await;
        let cache = shop.samovar.cache::<String>(by(Strategy::CacheAside));
        shop.source.inside().rows.insert("42".into(), "Tea".into());
        shop.read("42").await;
        assert!(cache.peek("42").is_some());
        // Who calls it has written the source.
        shop.source.inside().rows.insert("42".into(), "Green tea".into());
        cache.write("42", "Green tea".to_owned()).await.unwrap();
        assert!(cache.peek("42").is_none() && shop.source.asked().is_empty());
        assert_eq!(shop.read("42").await, (Some("Green tea".into()), Outcome::Loaded));
    });
}
