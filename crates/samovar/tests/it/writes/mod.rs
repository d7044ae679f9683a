//! Writes: what each strategy promises, whatever the source does.

mod aside;
mod back;
mod bad;
mod batches;
mod full;
mod intents;
mod kept;
mod kills;
mod letters;
mod model;
mod runtimes;
mod through;

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use samovar::{Cache, CachePolicy, Outcome, ReadOptions, Samovar, Settings, Strategy, Written};
use samovar_core::{
    BoxFuture, Error, ErrorKind, Fate, Mode, Verdict, Write, WriteError, WriteId, Writer,
};
use samovar_testkit::clock::FakeClock;
use tokio::task::JoinHandle;

use crate::support::{START, key, policy, settings};

const DEADLINE: Duration = Duration::from_secs(30);

/// What a source does with a write.
#[derive(Debug)]
enum Act {
    Do,
    Refuse,
    /// It has it already, or says so.
    Leave,
    /// Nothing is written.
    Fail,
    /// Nobody is told whether it is written.
    Lose {
        committed: bool,
    },
    Panic,
    /// Waits to be told what to do; for good if whoever was to tell is gone.
    Wait(oneshot::Receiver<Act>),
}

type Row = (WriteId, String, Option<String>);

/// A table whose writes go as the test says; all are done if it says nothing.
#[derive(Default)]
struct Source(Mutex<Inside>);

#[derive(Default)]
struct Inside {
    rows: BTreeMap<String, String>,
    /// Every write that was asked for, in order.
    asked: Vec<Row>,
    acts: VecDeque<Act>,
}

impl Source {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What it does with the next writes, one by one.
    fn will(&self, acts: impl IntoIterator<Item = Act>) {
        self.inside().acts.extend(acts);
    }

    /// The next write waits.
    fn waits(&self) -> oneshot::Sender<Act> {
        let (send, wait) = oneshot::channel();
        self.will([Act::Wait(wait)]);
        send
    }

    fn row(&self, key: &str) -> Option<String> {
        self.inside().rows.get(key).cloned()
    }

    fn asked(&self) -> Vec<Row> {
        self.inside().asked.clone()
    }

    async fn one(&self, write: &Write<String>) -> Result<(), WriteError> {
        let mut act = {
            let mut inside = self.inside();
            let value = write.value.as_ref().map(|value| value.to_string());
            inside.asked.push((write.id, write.key.to_string(), value));
            inside.acts.pop_front().unwrap_or(Act::Do)
        };
        while let Act::Wait(told) = act {
            act = match told.await {
                Ok(act) => act,
                Err(_) => std::future::pending().await,
            };
        }
        let error = |fate, text: &str| WriteError::new(fate, Error::new(ErrorKind::Source, text));
        match act {
            Act::Leave => return Ok(()),
            Act::Refuse => return Err(error(Fate::Refused, "no such product")),
            Act::Fail => return Err(error(Fate::NotWritten, "away")),
            Act::Lose { committed: false } => return Err(error(Fate::Unknown, "cut off")),
            Act::Panic => panic!("a bug in the writer"),
            _ => {}
        }
        let rows = &mut self.inside().rows;
        match &write.value {
            Some(value) => drop(rows.insert(write.key.to_string(), value.to_string())),
            None => drop(rows.remove(&*write.key)),
        }
        match act {
            Act::Lose { .. } => Err(error(Fate::Unknown, "cut off")),
            _ => Ok(()),
        }
    }
}

impl Writer<String> for Source {
    fn write<'a>(
        &'a self,
        writes: &'a [Write<String>],
    ) -> BoxFuture<'a, Vec<Result<(), WriteError>>> {
        Box::pin(async move {
            let mut answers = Vec::new();
            for write in writes {
                answers.push(self.one(write).await);
            }
            answers
        })
    }

    fn deadline(&self) -> Duration {
        DEADLINE
    }
}

/// A cache over a source, with a clock that stands still.
struct Shop {
    clock: Arc<FakeClock>,
    samovar: Samovar,
    names: Cache<String>,
    source: Arc<Source>,
}

fn by(strategy: Strategy) -> CachePolicy {
    CachePolicy { strategy, write_attempts: 3, ..policy("names") }
}

fn back() -> CachePolicy {
    by(Strategy::WriteBack)
}

impl Shop {
    async fn new(directory: Option<&Path>, policy: CachePolicy) -> Shop {
        Shop::over(Arc::default(), directory, policy).await
    }

    /// One under write-back that was closed before any of these came to its source.
    async fn stopped_before(directory: &Path, rows: &[(&str, &str)]) -> Shop {
        let shop = Shop::new(Some(directory), back()).await;
        let _never = shop.source.waits();
        for (key, value) in rows {
            shop.write(key, value).await.unwrap();
        }
        shop.close().await;
        shop
    }

    /// Opened again, over the same source.
    async fn over(source: Arc<Source>, directory: Option<&Path>, policy: CachePolicy) -> Shop {
        let clock = FakeClock::at(START);
        let settings = settings(directory, &clock);
        Shop::with(source, settings, clock, policy).await
    }

    async fn with(
        source: Arc<Source>,
        settings: Settings,
        clock: Arc<FakeClock>,
        policy: CachePolicy,
    ) -> Shop {
        let samovar = Samovar::open(settings).await.unwrap();
        let names = samovar.cache_with_writer(policy, Arc::clone(&source) as Arc<dyn Writer<_>>);
        Shop { clock, samovar, names, source }
    }

    /// Begins a write, which goes on by itself.
    fn begin(&self, key: &str, value: &str) -> JoinHandle<Result<Written, Error>> {
        let (cache, key, value) = (self.names.clone(), key.to_owned(), value.to_owned());
        tokio::spawn(async move { cache.write(&key, value).await })
    }

    async fn write(&self, key: &str, value: &str) -> Result<Written, Error> {
        self.names.write(key, value.to_owned()).await
    }

    /// What is there and fresh.
    fn peek(&self, key: &str) -> Option<String> {
        let found = self.names.peek(key).filter(|found| found.verdict == Verdict::Fresh);
        found.map(|found| found.value().to_string())
    }

    /// What a read gives that may ask the source, and whether it did.
    async fn read(&self, key: &str) -> (Option<String>, Outcome) {
        let (source, row) = (Arc::clone(&self.source), key.to_owned());
        let load = |_| async move { Ok(source.row(&row)) };
        let answer = self.names.get_or_load(key, load).await.unwrap();
        (answer.value.map(|value| value.to_string()), answer.outcome)
    }

    async fn remove(&self, id: &str) {
        self.samovar.mark(vec![key("names", id)], Mode::Remove, "test").await.unwrap();
    }

    /// What was written is at the source, and marked.
    async fn settled(&self) {
        until(|| self.names.unwritten() == 0).await;
    }

    /// The same, once time has gone on by as much as a process before this one may still be waited for.
    async fn settled_in_time(&self) {
        until(|| {
            self.clock.advance(Duration::from_secs(1));
            self.names.unwritten() == 0
        })
        .await;
    }

    async fn close(&self) {
        self.samovar.close().await.unwrap();
    }
}

/// Runs a test on one thread, together with what it starts in the background.
fn test<T>(body: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(body)
}

/// Lets everything go on until something is so: what threads do is waited for, too.
async fn until(is: impl Fn() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(60), "it never comes");
        tokio::task::yield_now().await;
        std::thread::yield_now();
    }
}

/// Lets everything go on that waits neither for time nor for a thread.
async fn goes_on() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// What is known of a write that failed.
fn fate(written: Result<Written, Error>) -> (ErrorKind, Fate) {
    let error = written.unwrap_err();
    let source = std::error::Error::source(&error).expect("what the writer said");
    (error.kind(), source.downcast_ref::<WriteError>().expect("a writer's error").fate)
}
