//! Dead letters: what the source would not have is not lost.

use samovar::codec::CodecId;
use samovar::{DeadLetter, Value};

use super::*;
use crate::support::Stepped;

/// A writer of another type than that of everything that is written.
struct Never;

impl Writer<Vec<u8>> for Never {
    fn write<'a>(&'a self, _: &'a [Write<Vec<u8>>]) -> BoxFuture<'a, Vec<Result<(), WriteError>>> {
        unreachable!("there is nothing that it could be given")
    }
}

/// A type that cannot read everything.
struct Fussy;

impl Value for Fussy {
    const CODEC: CodecId = CodecId::TEXT;

    fn encode(&self, _: &mut Vec<u8>) -> Result<(), Error> {
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Fussy, Error> {
        assert_ne!(bytes, b"Green tea", "a bug in the type");
        Ok(Fussy)
    }

    fn weight(&self) -> usize {
        0
    }
}

/// A writer that does nothing, and says that it did.
struct Idle;

impl Writer<Fussy> for Idle {
    fn write<'a>(
        &'a self,
        writes: &'a [Write<Fussy>],
    ) -> BoxFuture<'a, Vec<Result<(), WriteError>>> {
        Box::pin(async { writes.iter().map(|_| Ok(())).collect() })
    }
}

fn only(shop: &Shop) -> DeadLetter {
    let mut letters = shop.samovar.dead_letters();
    assert_eq!(letters.len(), 1, "{letters:?}");
    letters.remove(0)
}

/// A shop, and the letter that its source has made of the first write.
async fn refused(directory: &Path) -> (Shop, DeadLetter) {
    let shop = Shop::new(Some(directory), back()).await;
    shop.source.will([Act::Refuse]);
    shop.write("42", "Green tea").await.unwrap();
    shop.settled().await;
    let letter = only(&shop);
    (shop, letter)
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
fn some_of_them_are_told_and_all_are_counted() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        let shop = bounded(directory.path(), 1 << 20, 1 << 20).await;
        refuse(&shop, 3).await;
        let source = Arc::new(Source::default());
        source.will([Act::Refuse]);
        let policy = CachePolicy { strategy: Strategy::WriteBack, ..policy("prices") };
        let prices = shop.samovar.cache_with_writer::<String>(policy, source);
        prices.write("42", "12.50".to_owned()).await.unwrap();
        until(|| prices.unwritten() == 0).await;
        let told = |cache: Option<&str>, most: usize| {
            let (letters, count) = shop.samovar.dead_letters_of(cache, most);
            let keys: Vec<_> = letters.iter().map(|letter| letter.key.to_string()).collect();
            (keys.join(" "), count)
        };
        for (cache, most, keys, count) in [
            (None, 9, "0 1 2 42", 4),
            (None, 2, "0 1", 4),
            (Some("names"), 2, "0 1", 3),
            (Some("names"), 0, "", 3),
            (Some("prices"), 2, "42", 1),
            (Some("notes"), 2, "", 0),
        ] {
            assert_eq!(told(cache, most), (keys.to_owned(), count), "{cache:?} {most}");
        }
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
        goes_on().await;
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
        Shop::stopped_before(directory.path(), &[("42", "Green tea")]).await;

        let clock = FakeClock::at(START);
        let samovar = Samovar::open(settings(Some(directory.path()), &clock)).await.unwrap();
        let cache = samovar.cache_with_writer::<Vec<u8>>(back(), Arc::new(Never));
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

#[test]
fn a_value_that_its_type_panics_at_holds_up_no_other() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        Shop::stopped_before(directory.path(), &[("42", "Green tea"), ("43", "Milk")]).await;

        let clock = FakeClock::at(START);
        let samovar = Samovar::open(settings(Some(directory.path()), &clock)).await.unwrap();
        let cache = samovar.cache_with_writer::<Fussy>(back(), Arc::new(Idle));
        until(|| {
            clock.advance(DEADLINE);
            cache.unwritten() == 0
        })
        .await;
        let letters = samovar.dead_letters();
        assert_eq!((letters.len(), &*letters[0].key), (1, "42"), "{letters:?}");
        assert!(letters[0].reason.contains("a bug in the type"), "{letters:?}");
    });
}

/// A shop whose writes and letters may take so many bytes.
async fn bounded(directory: &Path, journal_max_bytes: u64, letters_max_bytes: u64) -> Shop {
    let clock = FakeClock::at(START);
    let settings =
        Settings { journal_max_bytes, letters_max_bytes, ..settings(Some(directory), &clock) };
    Shop::with(Arc::default(), settings, clock, back()).await
}

/// Has so many writes refused, each of 3,000 bytes and a little.
async fn refuse(shop: &Shop, many: usize) {
    let before = shop.samovar.dead_letters().len();
    for number in 0..many {
        shop.source.will([Act::Refuse]);
        shop.write(&number.to_string(), &"x".repeat(3_000)).await.unwrap();
        until(|| shop.samovar.dead_letters().len() == before + number + 1).await;
        shop.settled().await;
    }
}

#[test]
fn what_is_refused_does_not_fill_the_journal_for_good() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        let shop = bounded(directory.path(), 10_000, 1 << 20).await;
        refuse(&shop, 8).await;
        shop.write("42", "Green tea").await.unwrap();
        shop.settled().await;
        shop.close().await;
        let shop = bounded(directory.path(), 10_000, 1 << 20).await;
        assert_eq!(shop.samovar.dead_letters().len(), 8, "none is lost");
        shop.write("42", "Black tea").await.unwrap();
        shop.settled().await;
        assert_eq!(shop.source.row("42").unwrap(), "Black tea");
    });
}

#[test]
fn a_cache_whose_letters_are_full_accepts_nothing_and_others_go_on() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        let shop = bounded(directory.path(), 1 << 20, 5_000).await;
        refuse(&shop, 2).await;
        for round in 0..2 {
            let error = shop.write("42", "Green tea").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Full);
            assert!(error.to_string().contains("the dead letters of names are full"), "{error}");
            assert!(error.to_string().contains("letters_max_bytes"), "{error}");
            assert_eq!((shop.names.unwritten(), shop.peek("42")), (0, None), "round {round}");
        }
        let policy = CachePolicy { strategy: Strategy::WriteBack, ..policy("prices") };
        let prices = shop.samovar.cache_with_writer::<String>(policy, Arc::new(Source::default()));
        prices.write("42", "12.50".to_owned()).await.unwrap();
        until(|| prices.unwritten() == 0).await;

        shop.close().await;
        let shop = bounded(directory.path(), 1 << 20, 5_000).await;
        shop.write("42", "Green tea").await.unwrap_err();
        let letter = shop.samovar.dead_letters().remove(0).id;
        assert!(shop.samovar.drop_dead_letter(letter).await.unwrap());
        shop.write("42", "Green tea").await.unwrap();
        shop.settled().await;
    });
}

#[test]
fn of_who_retries_and_who_drops_a_letter_at_once_one_does() {
    test(async {
        for retry_first in [true, false] {
            let directory = tempfile::tempdir().unwrap();
            let (shop, DeadLetter { id: letter, .. }) = refused(directory.path()).await;
            let (retry, drop) =
                (shop.samovar.retry_dead_letter(letter), shop.samovar.drop_dead_letter(letter));
            let (retried, dropped) = match retry_first {
                true => futures_util::future::join(retry, drop).await,
                false => {
                    let (dropped, retried) = futures_util::future::join(drop, retry).await;
                    (retried, dropped)
                }
            };
            assert_eq!((retried.unwrap(), dropped.unwrap()), (retry_first, !retry_first));
            shop.settled().await;
            assert_eq!(shop.source.row("42").is_some(), retry_first);
            assert!(shop.samovar.dead_letters().is_empty());
        }
    });
}

#[test]
fn a_letter_whose_journal_fails_may_be_dropped_later() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        let (shop, DeadLetter { id: letter, .. }) = refused(directory.path()).await;
        shop.close().await;
        for _ in 0..2 {
            let error = shop.samovar.drop_dead_letter(letter).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Closed, "it is still there to be asked for");
        }
        assert_eq!(only(&shop).id, letter);
    });
}

#[test]
fn what_is_dropped_leaves_nothing_behind_though_nobody_waits() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        let (shop, DeadLetter { id: letter, .. }) = refused(directory.path()).await;
        let samovar = shop.samovar.clone();
        let mut dropping = Stepped::new(async move { samovar.drop_dead_letter(letter).await });
        // Given up, unless the disk was quick.
        let _ = dropping.step();
        drop(dropping);
        until(|| shop.samovar.dead_letters().is_empty()).await;
        shop.close().await;
        let empty = tempfile::tempdir().unwrap();
        let unused = Shop::new(Some(empty.path()), back()).await;
        unused.write("42", "Green tea").await.unwrap();
        unused.settled().await;
        for (shop, directory) in [(shop, &directory), (unused, &empty)] {
            shop.close().await;
            drop(Shop::over(shop.source, Some(directory.path()), back()).await);
        }
        // Made anew when it was opened, of what still stands.
        let length = |directory: &tempfile::TempDir| {
            std::fs::metadata(directory.path().join("writes.journal")).unwrap().len()
        };
        assert_eq!(length(&directory), length(&empty));
    });
}

#[test]
fn what_was_written_as_another_type_holds_up_nothing_and_is_not_lost() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        let shop = Shop::new(Some(directory.path()), back()).await;
        let go = shop.source.waits();
        shop.write("41", "Milk").await.unwrap();
        until(|| shop.source.asked().len() == 1).await;
        let bytes = shop.samovar.cache::<Vec<u8>>(back());
        bytes.write("42", b"Green tea".to_vec()).await.unwrap();
        bytes.delete("43").await.unwrap();
        let writer: Arc<dyn Writer<Vec<u8>>> = Arc::new(Never);
        let bytes = shop.samovar.cache_with_writer(back(), writer);
        bytes.write("44", b"Black tea".to_vec()).await.unwrap();
        shop.write("45", "White tea").await.unwrap();
        go.send(Act::Do).unwrap();
        shop.settled().await;
        assert_eq!(shop.source.row("45").unwrap(), "White tea");
        let letters = shop.samovar.dead_letters();
        let keys: Vec<_> = letters.iter().map(|letter| (&*letter.key, letter.codec)).collect();
        assert_eq!(keys.last(), Some(&("44", Some(CodecId::BYTES))), "{letters:?}");
        let letter = letters.last().unwrap();
        assert_eq!(letter.value.as_deref(), Some(&b"Black tea"[..]));
        assert!(letter.reason.contains("another type"), "{letter:?}");
    });
}
