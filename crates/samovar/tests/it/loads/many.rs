//! Many keys at once.

use std::collections::BTreeMap;

use samovar_core::{Mode, Scope};

use super::*;
use crate::support::{key, mark};

/// A source of many keys, whose answers are given by hand.
#[derive(Clone, Default)]
struct Many(Arc<Mutex<Calls>>);

#[derive(Default)]
struct Calls {
    keys: Vec<Vec<String>>,
    waiting: VecDeque<oneshot::Sender<Result<Rows, Error>>>,
}

type Rows = BTreeMap<String, Loaded<String>>;
type All = JoinHandle<Vec<Result<Answer<String>, Error>>>;

impl Many {
    fn ask_with(&self, field: &Field, keys: &[&str], options: ReadOptions) -> All {
        let many = self.clone();
        let load = move |load: LoadMany| {
            let (send, says) = oneshot::channel();
            let mut calls = many.0.lock().unwrap();
            calls.keys.push(load.keys().iter().map(|key| key.to_string()).collect());
            calls.waiting.push_back(send);
            async move { says.await.unwrap() }
        };
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        let cache = field.cache.clone();
        tokio::spawn(async move { cache.get_or_load_many(&keys, options, load).await })
    }

    fn ask(&self, field: &Field, keys: &[&str]) -> All {
        self.ask_with(field, keys, ReadOptions::default())
    }

    /// What it was asked for, call by call.
    fn asked(&self) -> Vec<Vec<String>> {
        self.0.lock().unwrap().keys.clone()
    }

    async fn says(&self, rows: Result<Rows, Error>) {
        let first = self.0.lock().unwrap().waiting.pop_front().expect("somebody asks");
        first.send(rows).unwrap();
        settle().await;
    }

    /// Gives each of these keys itself, with something behind it.
    async fn gives(&self, keys: &[&str], behind: &str) {
        let row = |key: &&str| ((*key).to_owned(), Loaded::from(format!("{key}{behind}")));
        self.says(Ok(keys.iter().map(row).collect())).await;
    }
}

async fn told_all(all: All) -> Vec<Told> {
    settle().await;
    assert!(all.is_finished(), "it waits");
    all.await.unwrap().into_iter().map(Told::from).collect()
}

#[test]
fn what_is_missing_is_loaded_in_one_call() {
    test(async {
        let (field, many) = (Field::new(policy("c")).await, Many::default());
        field.holds("there").await;
        let all = many.ask(&field, &["b", "k", "a", "b", "none"]);
        settle().await;
        assert_eq!(many.asked(), [["b", "a", "none"]]);
        many.gives(&["a", "b", "stranger"], "!").await;
        let (a, b) = (told(Outcome::Loaded, "a!"), told(Outcome::Loaded, "b!"));
        let b_too = told(Outcome::Loaded, "b!");
        let k = told(Outcome::Hit, "there");
        assert_eq!(told_all(all).await, [b, k, a, b_too, none(Outcome::Loaded)]);
        let again = many.ask(&field, &["a", "none"]);
        assert_eq!(told_all(again).await, [told(Outcome::Hit, "a!"), none(Outcome::Negative)]);
        assert_eq!((many.asked().len(), field.count(Counted::Load)), (1, 2));
        assert!(field.cache.peek("stranger").is_none(), "nobody asked for it");
        let found = field.cache.get_many(&["none", "a", "k"]).await;
        let found: Vec<_> = found.into_iter().map(crate::support::text).collect();
        assert_eq!(found, [None, Some("a!".to_owned()), Some("there".to_owned())]);
        assert!(told_all(many.ask(&field, &[])).await.is_empty());
    });
}

#[test]
fn a_key_that_is_being_loaded_is_not_loaded_again() {
    test(async {
        let (field, many) = (Field::new(policy("c")).await, Many::default());
        let single = field.ask();
        settle().await;
        let all = many.ask(&field, &["a", "k"]);
        settle().await;
        assert_eq!(many.asked(), [["a"]]);
        let joins = field.ask_with("a", ReadOptions::default());
        let other = many.ask(&field, &["k", "a", "b"]);
        settle().await;
        assert_eq!((many.asked().len(), field.source.asked()), (2, 1));
        assert_eq!(many.asked()[1], ["b"]);
        many.gives(&["a"], "").await;
        assert_eq!(Told::from(joins.await.unwrap()), told(Outcome::Loaded, "a"));
        assert!(!all.is_finished());
        field.source.gives("single").await;
        many.gives(&["b"], "").await;
        let (a, b, k) = ("a", "b", "single");
        let loaded = |value| told(Outcome::Loaded, value);
        assert_eq!(told_all(all).await, [loaded(a), loaded(k)]);
        assert_eq!(told_all(other).await, [loaded(k), loaded(a), loaded(b)]);
        assert_eq!(Told::from(single.await.unwrap()), loaded(k));
    });
}

#[test]
fn who_asks_after_a_mark_does_not_join_the_batch() {
    test(async {
        let (field, many) = (Field::new(policy("c")).await, Many::default());
        let before = many.ask(&field, &["a", "b"]);
        settle().await;
        mark(&field.samovar, key("c", "a"), Mode::Remove);
        let single = field.ask_with("a", ReadOptions::default());
        let batch = many.ask(&field, &["a", "b", "x"]);
        settle().await;
        assert_eq!((many.asked().len(), field.source.asked()), (2, 0), "one reads, one waits");
        assert_eq!(many.asked()[1], ["x"]);
        many.gives(&["a", "b"], " old").await;
        let loaded = |value| told(Outcome::Loaded, value);
        assert_eq!(told_all(before).await, [loaded("a old"), loaded("b old")]);
        assert!(field.cache.peek("a").is_none() && field.cache.peek("b").is_some());
        field.source.gives("a new").await;
        assert_eq!(Told::from(single.await.unwrap()), loaded("a new"));
        many.gives(&["x"], "").await;
        assert_eq!(told_all(batch).await, [loaded("a new"), loaded("b old"), loaded("x")]);
    });
}

/// The call begins once all its keys may: its token is none from before a mark that came before a question.
#[test]
fn a_batch_waits_for_what_reads_its_keys_since_before_a_mark() {
    test(async {
        let (field, many) = (Field::new(policy("c")).await, Many::default());
        let single = field.ask();
        settle().await;
        mark(&field.samovar, key("c", "k"), Mode::Remove);
        let all = many.ask(&field, &["a", "k"]);
        settle().await;
        assert!(many.asked().is_empty());
        // Marked while it waits: what it reads later is newer than that.
        mark(&field.samovar, Scope::Everything, Mode::Remove);
        let joins = field.ask();
        settle().await;
        field.source.gives("old").await;
        assert_eq!(Told::from(single.await.unwrap()), told(Outcome::Loaded, "old"));
        assert_eq!(many.asked(), [["a", "k"]]);
        many.gives(&["a", "k"], " new").await;
        let (a, k) = (told(Outcome::Loaded, "a new"), told(Outcome::Loaded, "k new"));
        assert_eq!(told_all(all).await, [a, k]);
        assert_eq!(Told::from(joins.await.unwrap()), told(Outcome::Loaded, "k new"));
        assert!(field.cache.peek("a").is_some() && field.cache.peek("k").is_some(), "it is kept");
        assert_eq!(field.source.asked(), 1);
    });
}

#[test]
fn a_key_that_alone_cannot_be_read_takes_no_other_along() {
    test(async {
        let policy = CachePolicy { fail_safe: WINDOW, throttle: SECOND, ..policy("c") };
        let (field, many) = (Field::new(policy).await, Many::default());
        field.holds("old").await;
        field.clock.advance(TTL + WINDOW);
        let all = many.ask(&field, &["a", "bad", "k"]);
        settle().await;
        let broken = || Loaded::failed(Error::new(ErrorKind::Source, "its row is broken"));
        let rows = [("a", Loaded::from("a".to_owned())), ("bad", broken()), ("k", broken())];
        many.says(Ok(rows.map(|(key, row)| (key.to_owned(), row)).into())).await;
        let (a, k) = (told(Outcome::Loaded, "a"), told(Outcome::Failed, "old"));
        assert_eq!(told_all(all).await, [a, failed(ErrorKind::Source), k]);
        let again = many.ask(&field, &["a", "bad"]);
        let a = told(Outcome::Hit, "a");
        assert_eq!(told_all(again).await, [a, failed(ErrorKind::Throttled)], "it rests alone");
        assert_eq!((many.asked().len(), field.count(Counted::LoadFailed)), (1, 2));
    });
}

#[test]
fn each_key_makes_the_best_of_a_call_that_fails() {
    test(async {
        let policy = CachePolicy { fail_safe: WINDOW, throttle: SECOND, ..policy("c") };
        let (field, many) = (Field::new(policy).await, Many::default());
        field.holds("old").await;
        field.clock.advance(TTL + WINDOW);
        let all = many.ask(&field, &["a", "k"]);
        settle().await;
        many.says(Err(Error::new(ErrorKind::Source, "down"))).await;
        let source = || failed(ErrorKind::Source);
        assert_eq!(told_all(all).await, [source(), told(Outcome::Failed, "old")]);
        let all = many.ask(&field, &["a", "k", "b"]);
        settle().await;
        assert_eq!(many.asked()[1], ["b"], "the others rest");
        many.gives(&["b"], "").await;
        let throttled = failed(ErrorKind::Throttled);
        let (k, b) = (told(Outcome::Throttled, "old"), told(Outcome::Loaded, "b"));
        assert_eq!(told_all(all).await, [throttled, k, b]);
        field.clock.advance(SECOND);
        let broken = |_: LoadMany| async { panic!("the loader is broken") };
        let all = field.cache.get_or_load_many::<_, _, _, Rows, _, _>(
            &["a"],
            ReadOptions::default(),
            broken,
        );
        let error = all.await.pop().unwrap().unwrap_err();
        assert!(error.to_string().contains("the loader is broken"), "{error}");
    });
}

#[test]
fn what_is_stale_is_read_again_with_the_rest_or_in_the_background() {
    test(async {
        let (field, many) = (Field::new(policy("c")).await, Many::default());
        field.holds("old").await;
        field.clock.advance(TTL);
        for _ in 0..3 {
            let all = many.ask(&field, &["k"]);
            assert_eq!(told_all(all).await, [told(Outcome::Stale, "old")], "at once");
        }
        assert_eq!(many.asked(), [["k"]]);
        many.gives(&["k"], " new").await;
        assert_eq!(field.told().await, told(Outcome::Hit, "k new"));
        field.clock.advance(TTL);
        let all = many.ask(&field, &["k", "a"]);
        settle().await;
        assert_eq!(many.asked()[1], ["a", "k"]);
        many.gives(&["k", "a"], " newer").await;
        let (k, a) = (told(Outcome::Stale, "k new"), told(Outcome::Loaded, "a newer"));
        assert_eq!(told_all(all).await, [k, a]);
        assert_eq!(field.told().await, told(Outcome::Hit, "k newer"));
    });
}

#[test]
fn a_batch_has_timeouts_too() {
    test(async {
        let policy = CachePolicy {
            fail_safe: WINDOW,
            soft_timeout: Some(SECOND),
            hard_timeout: Some(SECOND * 2),
            ..policy("c")
        };
        let (field, many) = (Field::new(policy).await, Many::default());
        field.holds("old").await;
        field.clock.advance(TTL + WINDOW);
        let all = many.ask(&field, &["a", "k"]);
        settle().await;
        field.clock.advance(SECOND);
        settle().await;
        assert_eq!(field.count(Counted::SoftTimeout), 1, "one has something");
        field.clock.advance(SECOND);
        assert_eq!(told_all(all).await, [failed(ErrorKind::Timeout), told(Outcome::Stale, "old")]);
        many.gives(&["a", "k"], "").await;
        assert_eq!(
            told_all(many.ask(&field, &["a", "k"])).await,
            [told(Outcome::Hit, "a"), told(Outcome::Hit, "k")]
        );
    });
}

/// What was removed before the call began cannot be said to be unmodified; the other keys are none the worse for it.
#[test]
fn a_key_that_goes_wrong_harms_no_other() {
    test(async {
        let field = Field::new(CachePolicy { fail_safe: WINDOW, ..policy("c") }).await;
        let many = Many::default();
        field.holds("old").await;
        field.clock.advance(TTL + WINDOW);
        let reads = field.ask();
        settle().await;
        mark(&field.samovar, key("c", "k"), Mode::Expire);
        let all = many.ask(&field, &["a", "k"]);
        settle().await;
        mark(&field.samovar, key("c", "k"), Mode::Remove);
        field.source.gives("v").await;
        assert!(reads.await.unwrap().is_ok());
        let rows: [(String, Loaded<String>); 2] =
            [("a".into(), Loaded::from("a".to_owned())), ("k".into(), Loaded::unmodified())];
        many.says(Ok(rows.into())).await;
        assert_eq!(told_all(all).await, [told(Outcome::Loaded, "a"), failed(ErrorKind::Invalid)]);
    });
}

#[test]
fn who_has_joined_a_batch_is_answered_though_it_is_given_up() {
    test(async {
        let (field, many) = (Field::new(policy("c")).await, Many::default());
        let all = many.ask(&field, &["a", "b"]);
        settle().await;
        let joins = field.ask_with("b", ReadOptions::default());
        settle().await;
        all.abort();
        settle().await;
        many.gives(&["a", "b"], "").await;
        assert_eq!(Told::from(joins.await.unwrap()), told(Outcome::Loaded, "b"));
        // Given up before it could begin: the rest of it is not waited for.
        let reads = field.ask();
        settle().await;
        mark(&field.samovar, Scope::Everything, Mode::Remove);
        let all = many.ask(&field, &["x", "k"]);
        settle().await;
        let joins = field.ask_with("x", ReadOptions::default());
        settle().await;
        all.abort();
        settle().await;
        assert_eq!(many.asked()[1..], [["x"]]);
        many.gives(&["x"], "").await;
        assert_eq!(Told::from(joins.await.unwrap()), told(Outcome::Loaded, "x"));
        field.source.gives("k").await;
        assert!(reads.await.unwrap().is_ok());
    });
}

/// Batches and single reads of few keys, with marks between: everybody is answered, with nothing from before a mark
/// that came before the question.
#[test]
fn batches_that_cross_each_other_never_wait_for_themselves() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    runtime.block_on(async {
        let field = Field::new(policy("c")).await;
        let (source, marked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks = (0..8usize).map(|task| {
            let (cache, samovar) = (field.cache.clone(), field.samovar.clone());
            let (source, marked) = (Arc::clone(&source), Arc::clone(&marked));
            tokio::spawn(async move {
                for round in 0..150 {
                    let mut keys = ["a", "b", "c"];
                    keys.rotate_left((task + round) % 3);
                    if task % 2 == 0 {
                        keys.swap(0, 2);
                    }
                    let floor = marked.load(Ordering::SeqCst);
                    let reads = Arc::clone(&source);
                    let read = move || {
                        let reads = Arc::clone(&reads);
                        async move {
                            let value = reads.load(Ordering::SeqCst);
                            tokio::task::yield_now().await;
                            value.to_string()
                        }
                    };
                    let answers = if round % 3 == 0 {
                        let load = move |_: Load<String>| async move { Ok(read().await) };
                        vec![cache.get_or_load(keys[0], load).await]
                    } else {
                        let load = move |load: LoadMany| {
                            let value = read();
                            async move {
                                let value = value.await;
                                let row = |key: &Arc<str>| (Arc::clone(key), value.clone());
                                Ok(load.keys().iter().map(row).collect::<Vec<_>>())
                            }
                        };
                        cache.get_or_load_many(&keys, ReadOptions::default(), load).await
                    };
                    for answer in answers {
                        let value: usize = answer.unwrap().value.unwrap().parse().unwrap();
                        assert!(value >= floor, "{value} after {floor}");
                    }
                    if round % 4 == task % 4 {
                        let now = source.fetch_add(1, Ordering::SeqCst) + 1;
                        let everything = vec![Scope::Everything];
                        samovar.mark(everything, Mode::Remove, "changed").await.unwrap();
                        marked.fetch_max(now, Ordering::SeqCst);
                    }
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
}
