//! Reads that load: what they serve, when they ask the source, and when they leave it alone.

mod early;
mod failures;
mod life;
mod many;
mod model;
mod names;
mod negative;
mod options;
mod shared;

use std::collections::VecDeque;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_channel::oneshot;
use samovar::{
    Answer, Cache, CachePolicy, Counted, Load, LoadMany, Loaded, Outcome, ReadOptions, Samovar,
};
use samovar_core::{BoxFuture, Clock, Error, ErrorKind};
use samovar_testkit::clock::FakeClock;
use tokio::task::JoinHandle;

use crate::support::{START, TTL, WINDOW, policy, settings};

const SECOND: Duration = Duration::from_secs(1);

type Asked = JoinHandle<Result<Answer<String>, Error>>;
type Says = Result<Loaded<String>, Error>;

/// Runs a test on one thread, together with what it starts in the background: that goes on whenever the test waits,
/// and in the same order every time.
fn test<T>(body: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(body)
}

/// Lets everything go on that can.
async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// A source whose answers are given by hand.
#[derive(Clone, Default)]
struct Source(Arc<Inner>);

#[derive(Default)]
struct Inner {
    asked: AtomicUsize,
    reading: AtomicUsize,
    most: AtomicUsize,
    waiting: Mutex<VecDeque<oneshot::Sender<Says>>>,
}

struct Reading(Source);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.0.reading.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Source {
    fn load(&self) -> impl FnOnce(Load<String>) -> BoxFuture<'static, Says> + Send + 'static {
        let source = self.clone();
        move |_| Box::pin(source.read())
    }

    async fn read(self) -> Says {
        let says = {
            let (send, says) = oneshot::channel();
            self.0.waiting.lock().unwrap().push_back(send);
            says
        };
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        let now = self.0.reading.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most.fetch_max(now, Ordering::SeqCst);
        let _reading = Reading(self.clone());
        says.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Source, "let go")))
    }

    /// How often it was asked.
    fn asked(&self) -> usize {
        self.0.asked.load(Ordering::SeqCst)
    }

    /// How many ask now.
    fn reading(&self) -> usize {
        self.0.reading.load(Ordering::SeqCst)
    }

    /// Answers whoever has asked first and still waits.
    async fn says(&self, says: Says) {
        loop {
            let first = self.0.waiting.lock().unwrap().pop_front().expect("somebody asks");
            if first.send(says.clone()).is_ok() {
                break;
            }
        }
        settle().await;
    }

    async fn gives(&self, value: &str) {
        self.says(Ok(Loaded::from(value.to_owned()))).await;
    }

    async fn fails(&self) {
        self.says(Err(Error::new(ErrorKind::Source, "down"))).await;
    }
}

/// A cache in memory over a source, at a clock that stands still.
struct Field {
    clock: Arc<FakeClock>,
    samovar: Samovar,
    cache: Cache<String>,
    source: Source,
}

impl Field {
    async fn new(policy: CachePolicy) -> Field {
        let clock = FakeClock::at(START);
        let samovar = Samovar::open(settings(None, &clock)).await.unwrap();
        let cache = samovar.cache(policy);
        Field { clock, samovar, cache, source: Source::default() }
    }

    fn ask_with(&self, key: &str, options: ReadOptions) -> Asked {
        let (cache, load, key) = (self.cache.clone(), self.source.load(), key.to_owned());
        tokio::spawn(async move { cache.get_or_load_with(&key, options, load).await })
    }

    fn ask(&self) -> Asked {
        self.ask_with("k", ReadOptions::default())
    }

    /// Asks, and is answered at once.
    async fn told(&self) -> Told {
        self.told_with(ReadOptions::default()).await
    }

    async fn told_with(&self, options: ReadOptions) -> Told {
        let asked = self.ask_with("k", options);
        settle().await;
        assert!(asked.is_finished(), "it waits");
        Told::from(asked.await.unwrap())
    }

    /// Keeps a value that is read now.
    async fn holds(&self, value: &str) {
        let asked = self.ask_with("k", ReadOptions { refresh: true, ..ReadOptions::default() });
        settle().await;
        self.source.gives(value).await;
        assert_eq!(Told::from(asked.await.unwrap()), told(Outcome::Loaded, value));
    }

    fn count(&self, event: Counted) -> u64 {
        self.samovar.counters().snapshot().count(event)
    }
}

/// What came of a question.
#[derive(Debug, PartialEq)]
struct Told(Result<(Outcome, Option<String>), ErrorKind>);

impl From<Result<Answer<String>, Error>> for Told {
    fn from(answer: Result<Answer<String>, Error>) -> Told {
        let text = |answer: Answer<String>| {
            let is_problem = matches!(answer.outcome, Outcome::Throttled | Outcome::Failed);
            assert_eq!(answer.problem.is_some(), is_problem, "{answer:?}");
            (answer.outcome, answer.value.map(|value| value.to_string()))
        };
        Told(answer.map(text).map_err(|error| error.kind()))
    }
}

fn told(outcome: Outcome, value: &str) -> Told {
    Told(Ok((outcome, Some(value.to_owned()))))
}

fn none(outcome: Outcome) -> Told {
    Told(Ok((outcome, None)))
}

fn failed(kind: ErrorKind) -> Told {
    Told(Err(kind))
}
