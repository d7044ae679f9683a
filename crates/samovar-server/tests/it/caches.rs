//! The doors of a named cache that loads what it has not: every way in which that can end.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use futures_util::FutureExt;
use samovar::{CachePolicy, Loaded, Samovar, Strategy};
use samovar_core::{Error, ErrorKind, Key, Millis, Mode, Scope};
use samovar_server::{App, Backing, Caches, Document, Labels, Loader, Settings, Tokens, router};
use samovar_testkit::clock::FakeClock;
use serde_json::{Value, json};
use tower::ServiceExt;

const CONFIG: &str = "
[source]
path = 'shop.db'
query = 'orders'
[dataset]
name = 'orders'
store_id = 'shop'
date = 'day'
[[measure]]
name = 'sales'
sum = 'amount'
[caches.prices]
ttl = '60s'
jitter = 0
stale_window = '0s'
fail_safe = '1h'
throttle = '3s'
hard_timeout = '5s'
[caches.notes]
jitter = 0
";

/// What the source does when it is asked next.
enum Next {
    /// These rows; others are not there.
    Rows(&'static [(&'static str, i64)]),
    /// All that are asked for, each of so many bytes; but this one cannot be read.
    All(usize, &'static str),
    Fail,
    Hang,
}

/// A server with one cache, and its clock.
struct Shop {
    app: axum::Router,
    clock: Arc<FakeClock>,
    next: Arc<Mutex<VecDeque<Next>>>,
    samovar: Samovar,
    _directory: tempfile::TempDir,
}

impl Shop {
    async fn open() -> Shop {
        let directory = tempfile::tempdir().unwrap();
        let shop = rusqlite::Connection::open(directory.path().join("shop.db")).unwrap();
        shop.execute_batch("CREATE TABLE orders (shop INTEGER, day TEXT, amount REAL)").unwrap();
        let settings = Settings::parse(CONFIG, directory.path()).unwrap();
        let clock = FakeClock::at(Millis(1_790_000_000_000));
        let own = samovar::Settings { clock: clock.clone(), ..samovar::Settings::default() };
        let samovar = Samovar::open(own).await.unwrap();
        let engine = settings.engine(samovar.clone(), |away| panic!("{away}")).unwrap();
        let next: Arc<Mutex<VecDeque<Next>>> = Arc::default();
        let script = Arc::clone(&next);
        let loader: Loader = Arc::new(move |keys| {
            let next =
                script.lock().unwrap().pop_front().expect("the source is not asked so often");
            async move {
                match next {
                    Next::Rows(rows) => Ok(rows
                        .iter()
                        .filter(|(key, _)| keys.iter().any(|asked| **asked == **key))
                        .map(|(key, cents)| {
                            let document = Document::from(&json!({ "cents": cents }));
                            (Arc::from(*key), Loaded::from(document))
                        })
                        .collect()),
                    Next::All(bytes, broken) => {
                        let document = Document::from(&json!("x".repeat(bytes - 2)));
                        let loaded = |key: &Arc<str>| match &**key == broken {
                            false => Loaded::from(document.clone()),
                            true => Loaded::failed(Error::new(ErrorKind::Source, "it is broken")),
                        };
                        Ok(keys.iter().map(|key| (Arc::clone(key), loaded(key))).collect())
                    }
                    Next::Fail => Err(Error::new(ErrorKind::Source, "the source is down")),
                    Next::Hang => std::future::pending().await,
                }
            }
            .boxed()
        });
        let caches = Caches::open(&samovar, &settings.caches, |cache| match &*cache.policy.name {
            "prices" => Arc::clone(&loader).into(),
            _ => Backing::default(),
        });
        let app = App::new(Labels::from(&settings), Tokens::default());
        app.ready(engine, caches);
        Shop { app: router(app), clock, next, samovar, _directory: directory }
    }

    fn then(&self, next: Next) {
        self.next.lock().unwrap().push_back(next);
    }

    async fn ask(&self, request: Request<Body>) -> Told {
        let answer = self.app.clone().oneshot(request).await.unwrap();
        let header = |name| {
            let value = answer.headers().get(name);
            value.map_or("", |value| value.to_str().unwrap()).to_owned()
        };
        let (status, age) = (header("cache-status"), header("age"));
        let retry_after = header("retry-after");
        let code = answer.status();
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        Told { code, body, status, age, retry_after }
    }

    async fn mark(&self, scope: Scope, mode: Mode) {
        self.samovar.mark(vec![scope], mode, "a test").await.unwrap();
    }

    async fn get(&self, key: &str) -> Told {
        let request = Request::get(format!("/api/cache/prices/{key}")).body(Body::empty());
        self.ask(request.unwrap()).await
    }

    async fn get_many(&self, keys: &[&str]) -> Told {
        self.get_many_of("prices", keys).await
    }

    async fn get_many_of(&self, cache: &str, keys: &[&str]) -> Told {
        let request = Request::post(format!("/api/cache/{cache}/_get"))
            .header("content-type", "application/json");
        self.ask(request.body(json!({ "keys": keys }).to_string().into()).unwrap()).await
    }
}

#[derive(Debug)]
struct Told {
    code: StatusCode,
    body: Value,
    status: String,
    age: String,
    retry_after: String,
}

impl Told {
    /// Status code, what it says, and `Cache-Status` without our name.
    fn brief(&self) -> (u16, &Value, &str) {
        let said = match self.body.get("error") {
            Some(error) => &error["code"],
            None => &self.body["cents"],
        };
        (self.code.as_u16(), said, self.status.strip_prefix("samovar; ").unwrap_or("?"))
    }
}

#[tokio::test]
async fn what_is_not_there_is_loaded_once_and_then_served_until_its_time_is_over() {
    let shop = Shop::open().await;
    shop.then(Next::Rows(&[("tea", 499)]));
    assert_eq!(shop.get("tea").await.brief(), (200, &json!(499), "fwd=miss; stored"));
    shop.clock.advance(Duration::from_secs(20));
    let hit = shop.get("tea").await;
    assert_eq!(hit.brief(), (200, &json!(499), "hit; ttl=40; detail=memory"));
    assert_eq!(hit.age, "20");
    shop.clock.advance(Duration::from_secs(41));
    shop.then(Next::Rows(&[("tea", 599)]));
    assert_eq!(shop.get("tea").await.brief(), (200, &json!(599), "fwd=miss; stored"));
}

#[tokio::test]
async fn that_there_is_no_row_is_said_and_remembered() {
    let shop = Shop::open().await;
    shop.then(Next::Rows(&[]));
    assert_eq!(shop.get("tea").await.brief(), (404, &json!("no_such_row"), "fwd=miss; stored"));
    let again = shop.get("tea").await;
    assert_eq!(again.brief(), (404, &json!("no_such_row"), "hit; ttl=60; detail=negative"));
}

#[tokio::test]
async fn a_source_that_fails_is_a_502_and_while_it_rests_a_503() {
    let shop = Shop::open().await;
    shop.then(Next::Fail);
    let failed = shop.get("tea").await;
    assert_eq!(failed.brief(), (502, &json!("source_failed"), "fwd=miss; detail=source_failed"));
    let resting = shop.get("tea").await;
    assert_eq!(resting.brief(), (503, &json!("throttled"), "fwd=miss; detail=throttled"));
    assert_eq!(resting.retry_after, "3");
    shop.clock.advance(Duration::from_secs(3));
    shop.then(Next::Rows(&[("tea", 499)]));
    assert_eq!(shop.get("tea").await.code, 200, "after so long it is asked again");
}

#[tokio::test]
async fn while_the_source_fails_what_was_right_before_is_given_and_said_to_be_stale() {
    let shop = Shop::open().await;
    shop.then(Next::Rows(&[("tea", 499)]));
    shop.get("tea").await;
    shop.clock.advance(Duration::from_secs(90));
    shop.then(Next::Fail);
    assert_eq!(shop.get("tea").await.brief(), (200, &json!(499), "fwd=stale; detail=failed"));
    let resting = shop.get("tea").await;
    assert_eq!(resting.brief(), (200, &json!(499), "hit; ttl=-30; detail=throttled"));
}

#[tokio::test]
async fn a_source_that_takes_too_long_is_a_504() {
    let shop = Shop::open().await;
    shop.then(Next::Hang);
    let asked = shop.get("tea");
    let time_passes = async {
        // Two wait: who asks, and who gives up a load that takes too long.
        while shop.clock.sleepers() < 2 {
            tokio::task::yield_now().await;
        }
        shop.clock.advance(Duration::from_secs(5));
    };
    let (late, ()) = tokio::join!(asked, time_passes);
    assert_eq!(late.brief(), (504, &json!("timeout"), "fwd=miss; detail=timeout"));
}

#[tokio::test]
async fn many_keys_are_loaded_in_one_call_and_each_has_its_result() {
    let shop = Shop::open().await;
    shop.then(Next::Rows(&[("tea", 499)]));
    shop.get("tea").await;
    shop.then(Next::Rows(&[("milk", 129)]));
    let told = shop.get_many(&["tea", "milk", "rum"]).await;
    let expected = json!({
        "values": { "tea": { "cents": 499 }, "milk": { "cents": 129 } },
        "absent": ["rum"], "stale": [], "errors": {}, "rest": [],
    });
    assert_eq!((told.code.as_u16(), told.body), (200, expected));
    assert_eq!(told.status, "samovar; fwd=partial");
    assert_eq!(shop.get_many(&["tea", "rum"]).await.status, "samovar; hit");

    shop.then(Next::Fail);
    let told = shop.get_many(&["tea", "gin"]).await;
    assert_eq!(told.code, 200, "what is there is not withheld");
    assert_eq!(told.body["values"], json!({ "tea": { "cents": 499 } }));
    assert_eq!(told.body["errors"]["gin"]["code"], "source_failed");
    assert_eq!(told.body["stale"], json!([]));
}

#[tokio::test]
async fn a_key_that_cannot_be_read_takes_no_other_along() {
    let shop = Shop::open().await;
    shop.then(Next::All(9, "gin"));
    let told = shop.get_many(&["tea", "gin", "rum"]).await;
    assert_eq!((told.code.as_u16(), &*told.status), (200, "samovar; fwd=miss"));
    assert_eq!(told.body["values"], json!({ "tea": "xxxxxxx", "rum": "xxxxxxx" }));
    assert_eq!(told.body["errors"]["gin"]["code"], "source_failed");
    let told = shop.get_many(&["tea", "gin"]).await;
    assert_eq!(told.body["values"], json!({ "tea": "xxxxxxx" }));
    assert_eq!(told.body["errors"]["gin"]["code"], "throttled", "it rests alone");
}

#[tokio::test]
async fn a_source_that_fails_is_waited_for_once_however_many_keys_are_asked_for() {
    let shop = Shop::open().await;
    let keys: Vec<String> = (0..200).map(|key| key.to_string()).collect();
    let asked: Vec<&str> = keys.iter().map(|key| &**key).collect();
    // The script has one step: to ask again would be an error of another kind.
    shop.then(Next::Fail);
    let told = shop.get_many(&asked).await;
    let errors = told.body["errors"].as_object().unwrap();
    assert_eq!(errors.len(), 64);
    assert!(errors.values().all(|error| error["code"] == "source_failed"), "{errors:?}");
    assert_eq!(told.body["rest"], json!(keys[64..]));

    shop.clock.advance(Duration::from_secs(3));
    shop.then(Next::Hang);
    let late = shop.get_many(&asked);
    let time_passes = async {
        while shop.clock.sleepers() < 2 {
            tokio::task::yield_now().await;
        }
        shop.clock.advance(Duration::from_secs(5));
    };
    let (told, ()) = tokio::join!(late, time_passes);
    assert_eq!(told.body["errors"]["63"]["code"], "timeout");
    assert_eq!(told.body["rest"], json!(keys[64..]));

    // One that fails alone, and then rests, holds up no others.
    let others = &asked[100..];
    (0..2).for_each(|_| shop.then(Next::All(9, "107")));
    assert_eq!(shop.get_many(others).await.body["rest"], json!([]));
    let told = shop.get_many(others).await;
    assert_eq!(told.body["errors"]["107"]["code"], "throttled");
    assert_eq!(told.body["rest"], json!([]));

    // What is served as stale because its load failed was waited for, too.
    shop.clock.advance(Duration::from_secs(90));
    shop.then(Next::Fail);
    let told = shop.get_many(others).await;
    assert_eq!(told.body["values"].as_object().unwrap().len(), 63);
    assert_eq!(told.body["rest"], json!(keys[164..]));
}

#[tokio::test]
async fn what_is_stale_among_many_keys_is_labelled() {
    let shop = Shop::open().await;
    shop.then(Next::Rows(&[("tea", 499)]));
    shop.get("tea").await;
    shop.clock.advance(Duration::from_secs(59));
    shop.then(Next::Rows(&[("milk", 129)]));
    shop.get_many(&["milk"]).await;
    shop.clock.advance(Duration::from_secs(31));
    shop.then(Next::Fail);
    for _ in 0..2 {
        // Its load fails; then it rests.
        let told = shop.get_many(&["milk", "tea"]).await;
        let values = json!({ "milk": { "cents": 129 }, "tea": { "cents": 499 } });
        assert_eq!((&told.body["values"], &told.body["stale"]), (&values, &json!(["tea"])));
        assert_eq!(told.body["errors"], json!({}));
    }

    // Where nothing is loaded, a mark that expires makes stale.
    let strategy = Strategy::WriteThrough;
    let policy = CachePolicy { strategy, ..CachePolicy::named("notes") };
    let notes = shop.samovar.cache::<Document>(policy);
    for key in ["a", "b"] {
        notes.write(key, Document::from(&json!(key))).await.unwrap();
    }
    shop.mark(Scope::Key(Key::new("notes", "a")), Mode::Expire).await;
    let told = shop.get_many_of("notes", &["a", "b", "c"]).await;
    let expected = json!({
        "values": { "a": "a", "b": "b" }, "absent": ["c"], "stale": ["a"], "errors": {}, "rest": [],
    });
    assert_eq!(told.body, expected);
}

#[tokio::test]
async fn an_answer_for_many_keys_is_no_larger_than_its_budget() {
    let shop = Shop::open().await;
    let keys: Vec<String> = (0..100).map(|key| key.to_string()).collect();
    let asked: Vec<&str> = keys.iter().map(|key| &**key).collect();
    for (bytes, fit, loads) in [(3 << 20, 5, 1), (40 << 20, 1, 1), (1 << 10, 100, 2)] {
        shop.mark(Scope::Everything, Mode::Remove).await;
        (0..loads).for_each(|_| shop.then(Next::All(bytes, "")));
        let told = shop.get_many(&asked).await;
        let values = told.body["values"].as_object().unwrap();
        assert_eq!(values.len(), fit, "{bytes}");
        assert!(asked[..fit].iter().all(|key| values.contains_key(*key)), "{bytes}");
        assert_eq!(told.body["rest"], json!(keys[fit..]), "the others, in their order");
        assert_eq!(told.body["errors"], json!({}));
    }
}

#[tokio::test]
async fn a_question_mark_ends_no_key_in_silence() {
    let shop = Shop::open().await;
    for key in ["tea?", "tea?x=1"] {
        let told = shop.get(key).await;
        assert_eq!((told.code.as_u16(), &told.body["error"]["field"]), (400, &json!("query")));
    }
    shop.then(Next::Rows(&[("tea?x=1", 499)]));
    assert_eq!(shop.get("tea%3Fx=1").await.brief(), (200, &json!(499), "fwd=miss; stored"));
}
