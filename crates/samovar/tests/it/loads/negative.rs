//! That the source has no such row.

use samovar_core::{Day, Mode, Partition, Scope, Span, Tags, TierName};
use tempfile::tempdir;

use super::*;
use crate::support::{key, mark};

const NEGATIVE: Duration = Duration::from_secs(10);

fn negative() -> CachePolicy {
    CachePolicy { negative_ttl: Some(NEGATIVE), fail_safe: WINDOW, ..policy("c") }
}

async fn is_told_of(field: &Field, absent: Loaded<String>) {
    let asked = field.ask();
    settle().await;
    field.source.says(Ok(absent)).await;
    assert_eq!(Told::from(asked.await.unwrap()), none(Outcome::Loaded));
}

#[test]
fn it_is_remembered_for_its_own_time() {
    test(async {
        let field = Field::new(negative()).await;
        is_told_of(&field, Loaded::absent()).await;
        assert_eq!(field.told().await, none(Outcome::Negative));
        assert!(field.cache.peek("k").is_none() && field.cache.get("k").await.is_none());
        assert_eq!((field.count(Counted::LoadedAbsent), field.count(Counted::NegativeHit)), (1, 1));
        assert_eq!(field.count(Counted::LoadFailed), 0, "it is no failure");
        field.clock.advance(NEGATIVE - Duration::from_millis(1));
        assert_eq!(field.told().await, none(Outcome::Negative));
        field.clock.advance(Duration::from_millis(1));
        // It is never served as stale, nor in place of a failed load.
        let asked = field.ask();
        settle().await;
        assert!(!asked.is_finished());
        field.source.fails().await;
        assert_eq!(Told::from(asked.await.unwrap()), failed(ErrorKind::Source));
        field.holds("it came").await;
        assert_eq!(field.told().await, told(Outcome::Hit, "it came"));
        assert_eq!(field.source.asked(), 3);
    });
}

#[test]
fn it_may_not_be_remembered_and_takes_the_old_away_all_the_same() {
    test(async {
        let field = Field::new(CachePolicy { negative_ttl: None, ..negative() }).await;
        field.holds("old").await;
        field.clock.advance(TTL);
        assert_eq!(field.told().await, told(Outcome::Stale, "old"));
        field.source.says(Ok(Loaded::absent())).await;
        assert!(field.cache.peek("k").is_none());
        is_told_of(&field, Loaded::absent()).await;
        is_told_of(&field, Loaded::from(None)).await;
        let remembers = ReadOptions { negative_ttl: Some(SECOND), ..ReadOptions::default() };
        let asked = field.ask_with("k", remembers);
        settle().await;
        field.source.says(Ok(Loaded::absent())).await;
        asked.await.unwrap().unwrap();
        assert_eq!(field.told().await, none(Outcome::Negative));
        field.clock.advance(SECOND);
        is_told_of(&field, Loaded::absent()).await;
    });
}

/// Which marks cover it: if its loader names nothing, each on any tag or partition.
#[test]
fn marks_cover_it() {
    let span = Span { store: "7".into(), from: Day(3), to: Day(4) };
    let absent = Loaded::absent;
    let tagged = || absent().tags(Tags::new(["t"]).unwrap());
    let parted = || absent().partitions([span.clone()]);
    let tag = |name: &str| Scope::Tag(name.into());
    let day = |store: &str, day| Scope::Partition(Partition::new(store, Day(day)));
    let cases = [
        (key("c", "k"), [true, true, true]),
        (key("c", "other"), [false, false, false]),
        (Scope::Cache("c".into()), [true, true, true]),
        (Scope::Cache("d".into()), [false, false, false]),
        (Scope::Everything, [true, true, true]),
        (Scope::Pattern("c:?".parse().unwrap()), [true, true, true]),
        (Scope::Pattern("d:?".parse().unwrap()), [false, false, false]),
        (tag("t"), [true, true, false]),
        (tag("u"), [true, false, false]),
        (day("7", 4), [true, false, true]),
        (day("8", 4), [true, false, false]),
    ];
    for (scope, covered) in cases {
        for mode in [Mode::Remove, Mode::Expire] {
            for (absent, is_covered) in [absent(), tagged(), parted()].into_iter().zip(covered) {
                test(async {
                    let field = Field::new(negative()).await;
                    is_told_of(&field, absent.clone()).await;
                    mark(&field.samovar, scope.clone(), mode);
                    let asked = field.ask();
                    settle().await;
                    assert_eq!(!asked.is_finished(), is_covered, "{scope} {mode:?} {absent:?}");
                    if is_covered {
                        field.source.gives("it came").await;
                        assert_eq!(
                            Told::from(asked.await.unwrap()),
                            told(Outcome::Loaded, "it came")
                        );
                    }
                });
            }
        }
    }
}

#[test]
fn a_mark_while_it_is_read_covers_it() {
    for scope in [Scope::Tag("any".into()), Scope::Partition(Partition::new("7", Day(1)))] {
        test(async {
            let field = Field::new(negative()).await;
            let before = field.ask();
            settle().await;
            mark(&field.samovar, scope, Mode::Remove);
            field.source.says(Ok(Loaded::absent())).await;
            assert_eq!(Told::from(before.await.unwrap()), none(Outcome::Loaded));
            field.holds("it came").await;
        });
    }
}

#[test]
fn it_lies_below_memory_too() {
    test(async {
        let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
        let samovar = Samovar::open(settings(Some(directory.path()), &clock)).await.unwrap();
        let cache = samovar.cache::<String>(CachePolicy { memory: false, ..negative() });
        let (source, hasty) = (Source::default(), samovar.cache::<String>(negative()));
        let field = Field { clock, samovar, cache, source };
        let absent =
            || async { field.cache.get_or_load("k", |_| async { Ok(Loaded::absent()) }).await };
        assert_eq!(Told::from(absent().await), none(Outcome::Loaded));
        field.samovar.flush().await.unwrap();
        let tier = |answer: Result<Answer<String>, Error>| {
            let answer = answer.unwrap();
            (answer.outcome, answer.tier)
        };
        assert_eq!(tier(absent().await), (Outcome::Negative, Some(TierName::Disk)));
        assert!(field.cache.get("k").await.is_none());
        // What a tier that has lost the news still holds is not given instead.
        let memory = field.samovar.cache::<String>(CachePolicy { disk: false, ..negative() });
        let stamp = samovar_core::Stamp::new(field.cache.token(), field.clock.now());
        let parts = || Arc::from([samovar_core::Part { span: None, stamp }]);
        field.cache.put("l", "old".to_owned(), parts());
        memory.get_or_load("l", |_| async { Ok(Loaded::absent()) }).await.unwrap();
        assert!(hasty.get("l").await.is_none());
        // It comes up into memory.
        for found in [TierName::Disk, TierName::Memory] {
            let answer = hasty.get_or_load("k", |_| async { Ok(Loaded::absent()) }).await;
            assert_eq!(tier(answer), (Outcome::Negative, Some(found)));
        }
        // A mark on any tag covers it there, also once the disk is swept.
        mark(&field.samovar, Scope::Tag("any".into()), Mode::Remove);
        for _ in 0..2 {
            for cache in [&field.cache, &hasty] {
                let seen = cache
                    .get_or_load("k", |_| async {
                        Err::<String, _>(Error::new(ErrorKind::Source, "down"))
                    })
                    .await;
                assert_eq!(Told::from(seen), failed(ErrorKind::Source));
            }
            field.samovar.sweep().await.unwrap();
        }
        assert_eq!(Told::from(absent().await), none(Outcome::Loaded));
        field.samovar.close().await.unwrap();
        // After a restart all is expired, and this is never stale.
        let samovar = Samovar::open(settings(Some(directory.path()), &field.clock)).await.unwrap();
        let cache = samovar.cache::<String>(negative());
        let answer = cache.get_or_load("k", |_| async { Ok("it came".to_owned()) }).await;
        assert_eq!(Told::from(answer), told(Outcome::Loaded, "it came"));
    });
}
