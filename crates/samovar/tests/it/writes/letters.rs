//! Dead letters: what the source would not have is not lost.

use samovar::DeadLetter;
use samovar::codec::CodecId;

use super::*;

fn back() -> CachePolicy {
    by(Strategy::WriteBack)
}

fn only(shop: &Shop) -> DeadLetter {
    let mut letters = shop.samovar.dead_letters();
    assert_eq!(letters.len(), 1, "{letters:?}");
    letters.remove(0)
}

#[test]
fn what_is_refused_is_set_aside_and_the_rest_goes_on() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        let mut shop = Shop::new(Some(directory.path()), back()).await;
        shop.source.inside().rows.insert("42".into(), "Tea".into());
        shop.read("42").await;
        shop.source.will([Act::Refuse]);
        let refused = shop.write("42", "Green tea").await.unwrap();
        shop.write("43", "Milk").await.unwrap();
        shop.settled().await;
        assert_eq!(shop.source.row("43").unwrap(), "Milk");
        let letter = only(&shop);
        assert_ne!(letter.id, refused.id);
        assert_eq!((&*letter.cache, &*letter.key), ("names", "42"));
        assert_eq!(
            (letter.value.as_deref(), letter.codec),
            (Some(&b"Green tea"[..]), Some(CodecId::TEXT))
        );
        assert_eq!((letter.attempts, letter.at, letter.accepted), (1, START, START));
        assert!(letter.reason.contains("no such product"));
        let said = shop.samovar.counters().notices();
        assert!(said[0].text.contains("names:42 was given up"), "{said:?}");
        // It is read no longer: the source is.
        assert_eq!(shop.read("42").await, (Some("Tea".into()), Outcome::Loaded));

        shop.close().await;
        shop = Shop::over(shop.source, Some(directory.path()), back()).await;
        assert_eq!((only(&shop), shop.names.unwritten()), (letter.clone(), 0));
        let none = WriteId { node: letter.id.node ^ 1, ..letter.id };
        assert!(!shop.samovar.retry_dead_letter(none).await.unwrap());
        assert!(shop.samovar.retry_dead_letter(letter.id).await.unwrap());
        assert!(shop.samovar.dead_letters().is_empty());
        shop.settled().await;
        assert_eq!(shop.source.row("42").unwrap(), "Green tea");
        let asked = shop.source.asked();
        let (last, ..) = asked.last().unwrap();
        assert!(last.number > letter.id.number, "it is a write of its own");
        assert!(
            !shop.samovar.retry_dead_letter(letter.id).await.unwrap(),
            "there is none any more"
        );
    });
}

#[test]
fn what_is_dropped_is_gone_for_good() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        let shop = Shop::new(Some(directory.path()), back()).await;
        shop.source.will([Act::Refuse]);
        shop.names.delete("42").await.unwrap();
        shop.settled().await;
        let letter = only(&shop);
        assert_eq!((letter.value, letter.codec), (None, None));
        assert!(shop.samovar.drop_dead_letter(letter.id).await.unwrap());
        assert!(!shop.samovar.drop_dead_letter(letter.id).await.unwrap());
        shop.close().await;
        let shop = Shop::over(shop.source, Some(directory.path()), back()).await;
        assert!(shop.samovar.dead_letters().is_empty() && shop.names.unwritten() == 0);
        assert_eq!(shop.samovar.counters().notices(), []);
    });
}

#[test]
fn what_fails_too_often_is_set_aside_and_marked_when_it_can_no_longer_be_committed() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        let shop = Shop::new(Some(directory.path()), back()).await;
        shop.source.will([Act::Fail, Act::Panic, Act::Lose { committed: false }]);
        shop.source.inside().rows.insert("42".into(), "Tea".into());
        shop.write("42", "Green tea").await.unwrap();
        let mut passed = Duration::ZERO;
        while shop.source.asked().len() < 3 {
            shop.clock.advance(Duration::from_secs(1));
            passed += Duration::from_secs(1);
            tokio::task::yield_now().await;
        }
        assert!(passed >= DEADLINE, "after the panic");
        for _ in 0..64 {
            tokio::task::yield_now().await;
        }
        assert_eq!(shop.names.unwritten(), 1, "it may still be committed");
        assert!(shop.samovar.dead_letters().is_empty());
        shop.source.inside().rows.insert("42".into(), "Green tea".into());
        shop.clock.advance(DEADLINE);
        shop.settled().await;
        assert_eq!(only(&shop).attempts, 3);
        assert_eq!(shop.read("42").await, (Some("Green tea".into()), Outcome::Loaded));
    });
}

#[test]
fn what_another_version_of_the_program_wrote_is_not_lost() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        let shop = Shop::new(Some(directory.path()), back()).await;
        let never = shop.source.waits();
        shop.write("42", "Green tea").await.unwrap();
        shop.close().await;
        drop(never);

        struct Bytes;
        impl Writer<Vec<u8>> for Bytes {
            fn write<'a>(
                &'a self,
                _: &'a [Write<Vec<u8>>],
            ) -> BoxFuture<'a, Vec<Result<(), WriteError>>> {
                unreachable!("there is nothing that it could be given")
            }
        }
        let clock = FakeClock::at(START);
        let samovar = Samovar::open(settings(Some(directory.path()), &clock)).await.unwrap();
        let cache = samovar.cache_with_writer::<Vec<u8>>(back(), Arc::new(Bytes));
        assert!(cache.peek("42").is_none(), "it is no such value");
        until(|| {
            clock.advance(DEADLINE);
            cache.unwritten() == 0
        })
        .await;
        let letters = samovar.dead_letters();
        assert!(letters[0].reason.contains("codec 1, where 0 is expected"), "{letters:?}");
        assert_eq!(letters[0].value.as_deref(), Some(&b"Green tea"[..]));
    });
}
