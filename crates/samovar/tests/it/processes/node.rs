//! A node in a process of its own: it reads all the time, checks what it is answered, and does what it is told to.

use std::collections::HashMap;
use std::env;
use std::future::poll_fn;
use std::io::BufRead;
use std::panic;
use std::pin::pin;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use samovar::fence::Standing;
use samovar::redis::RedisSettings;
use samovar::{Answer, Cache, CachePolicy, Counted, Outcome, ReadOptions, Samovar, Settings};
use samovar_core::{
    Clock, Epoch, Error, Key, MarkLog, Mode, Scope, SystemClock, TierName, Version,
};
use tokio::sync::mpsc;

use super::source::{HOT, KEYS, Source, WARM};
use super::{CACHE, LEASE, log};
use crate::child::{random, say};

/// What the parent tells its children.
pub(super) const REDIS: &str = "SAMOVAR_TEST_PROCESSES_REDIS";
pub(super) const SOURCE: &str = "SAMOVAR_TEST_PROCESSES_SOURCE";
pub(super) const DIRECTORY: &str = "SAMOVAR_TEST_PROCESSES_DIRECTORY";

/// So long a reader rests between two reads, about.
const PAUSE: Duration = Duration::from_millis(1);
/// Loads take up to so many milliseconds after they have read: so marks fall in between.
const SLOWEST: u64 = 4;

struct Node {
    samovar: Samovar,
    cache: Cache<String>,
    source: Source,
    /// By key: no read that begins from now on may be answered less.
    floors: Vec<AtomicU64>,
    /// What becomes the floor of a key once what stands in the log up to there has been applied here.
    expected: Mutex<Vec<(usize, u64, Version)>>,
    reads: AtomicU64,
    /// Of the keys that nobody marks.
    warm_loads: AtomicU64,
}

/// Runs it, until the parent is gone; does nothing in a test among others.
pub(super) fn run() {
    let (Ok(redis), Ok(source), Ok(directory)) =
        (env::var(REDIS), env::var(SOURCE), env::var(DIRECTORY))
    else {
        return;
    };
    // Who asks it something is not to wait for what cannot come.
    let told = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        told(panic);
        process::exit(101);
    }));
    let redis = super::settings(&redis);
    let source = Source::open(source.as_ref());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let node = Arc::new(Node::open(redis, source, directory).await);
        say("ready");
        node.obey_all().await;
    });
    runtime.shutdown_background();
}

/// What the parent says, line by line.
fn lines() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

impl Node {
    async fn open(redis: RedisSettings, source: Source, directory: String) -> Node {
        let log = Arc::new(log(&redis, LEASE)) as Arc<dyn MarkLog>;
        let settings = Settings {
            data_dir: Some(directory.into()),
            log: Some(log),
            redis: Some(redis),
            log_patience: Duration::from_millis(500),
            ..Settings::default()
        };
        let samovar = Samovar::open(settings).await.unwrap();
        // A node that is stopped while it loads holds the others up for no longer.
        let load_lease = Some(Duration::from_millis(300));
        let cache = samovar.cache(CachePolicy { load_lease, ..CachePolicy::named(CACHE) });
        let (reads, warm_loads) = Default::default();
        let floors = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
        Node { samovar, cache, source, floors, expected: Mutex::default(), reads, warm_loads }
    }

    async fn obey_all(self: &Arc<Self>) {
        let mut lines = lines();
        while let Some(line) = lines.recv().await {
            let node = Arc::clone(self);
            tokio::spawn(async move {
                let (number, words) = line.split_once(' ').unwrap();
                let words: Vec<&str> = words.split(' ').collect();
                let answer = node.obey(&words).await;
                say(&format!("{number} {answer}"));
            });
        }
    }

    async fn obey(self: &Arc<Self>, words: &[&str]) -> String {
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        let key = || words[1].parse::<usize>().unwrap();
        match words[0] {
            "go" => self.go(),
            "mark" => return self.mark(key(), number(2)).await,
            "expect" => {
                let expected = (key(), number(2), version(words[3]));
                self.expected.lock().unwrap().push(expected);
            }
            "raise" => self.raise(key(), number(2)),
            "floors" => return join(self.floors.iter().map(|floor| floor.load(Ordering::SeqCst))),
            "at" => {
                let fence = self.samovar.fence();
                return format!("{} {} {:?}", fence.position(), fence.pending(), fence.standing());
            }
            "read" => return self.told(key(), ReadOptions::default()).await,
            "below" => return self.told(key(), below()).await,
            "all" => return self.all().await,
            // It fails of what was lost while Redis was away, once.
            "flush" => return self.samovar.flush().await.is_ok().to_string(),
            "count" => return self.count(words[1]).to_string(),
            other => panic!("nobody knows what {other:?} is"),
        }
        "done".into()
    }

    /// Reads from now on.
    fn go(self: &Arc<Self>) {
        for reader in 0..2 {
            let node = Arc::clone(self);
            let keys = HOT.chain(WARM).collect::<Vec<_>>();
            tokio::spawn(node.reads_on(keys, ReadOptions::default(), reader));
        }
        tokio::spawn(Arc::clone(self).reads_on(HOT.collect(), below(), 2));
        let node = Arc::clone(self);
        thread::spawn(move || {
            loop {
                node.expect();
                thread::sleep(PAUSE);
            }
        });
    }

    async fn reads_on(self: Arc<Self>, keys: Vec<usize>, options: ReadOptions, reader: u64) {
        let mut seed = 0x9E37_79B9_7F4A_7C15 ^ (u64::from(process::id()) << 8 | reader);
        loop {
            let key = keys[random(&mut seed) as usize % keys.len()];
            self.read(key, options.clone()).await;
            SystemClock::new().sleep(PAUSE).await;
        }
    }

    /// Raises the floors of what has been applied here meanwhile.
    fn expect(&self) {
        let mut expected = self.expected.lock().unwrap();
        // Of an epoch that has ended nothing is known by this; the parent raises those once all is at rest.
        let at = self.samovar.fence().position();
        expected.retain(|(key, number, version)| {
            let is_applied = at.epoch == version.epoch && at.seq >= version.seq;
            if is_applied {
                self.raise(*key, *number);
            }
            !is_applied
        });
    }

    fn raise(&self, key: usize, number: u64) {
        self.floors[key].fetch_max(number, Ordering::SeqCst);
    }

    /// Marks a key, which stands at this number. Answers with where the mark stands in the log, if it does.
    async fn mark(&self, key: usize, number: u64) -> String {
        let scope = Scope::Key(Key::new(CACHE, key.to_string()));
        let reason = format!("{key} {number}");
        let mut marking = pin!(self.samovar.mark(vec![scope], Mode::Remove, &reason));
        let first = poll_fn(|context| Poll::Ready(marking.as_mut().poll(context))).await;
        // It is in force here from the first step on, whatever becomes of it.
        self.raise(key, number);
        let marked = match first {
            Poll::Ready(marked) => marked,
            Poll::Pending => marking.await,
        };
        if let Err(error) = marked {
            return format!("failed: {error}");
        }
        // If nothing is left to be sent here, it stands at or before the position.
        let fence = self.samovar.fence();
        let at = fence.position();
        let is_there = fence.pending() == 0 && fence.position() == at;
        if is_there { format!("marked {at}") } else { "kept".into() }
    }

    async fn load(&self, key: usize) -> Result<String, Error> {
        if WARM.contains(&key) {
            self.warm_loads.fetch_add(1, Ordering::SeqCst);
        }
        let number = self.source.number(key);
        let takes = (key as u64 + number) % (SLOWEST + 1);
        SystemClock::new().sleep(Duration::from_millis(takes)).await;
        Ok(number.to_string())
    }

    /// Reads a key, and says what is wrong with the answer, if anything is.
    async fn read(
        self: &Arc<Self>,
        key: usize,
        options: ReadOptions,
    ) -> Option<(u64, Answer<String>)> {
        let floor = self.floors[key].load(Ordering::SeqCst);
        let fresh = self.source.fresh(key);
        let node = Arc::clone(self);
        let load = move |_| async move { node.load(key).await };
        let answer = self.cache.get_or_load_with(&key.to_string(), options.clone(), load).await;
        let newest = self.source.number(key);
        self.reads.fetch_add(1, Ordering::Relaxed);
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                say(&format!("wrong: key {key}: {error}"));
                return None;
            }
        };
        let number = answer.value.as_ref().unwrap().parse().unwrap();
        // What is labelled may be older than that, as long as no mark on it was applied here.
        let floor = if answer.outcome == Outcome::Hit { floor.max(fresh) } else { floor };
        if !(floor..=newest).contains(&number) {
            say(&format!(
                "wrong: key {key}: {number}, not {floor} to {newest}; {:?} {:?} {:?}, at {}, {} pending, {}",
                answer.outcome,
                answer.tier,
                answer.stamp,
                self.samovar.fence().position(),
                self.samovar.fence().pending(),
                if options.skip_memory { "below memory" } else { "by memory" },
            ));
        }
        Some((number, answer))
    }

    /// What a key is answered, by what and from where.
    async fn told(self: &Arc<Self>, key: usize, options: ReadOptions) -> String {
        match self.read(key, options).await {
            Some((number, answer)) => {
                let tier = answer.tier.map_or("source", TierName::as_str);
                format!("{number} {:?} {tier}", answer.outcome)
            }
            None => "nothing".into(),
        }
    }

    /// What all keys but those that are set aside are answered: by memory and below it.
    async fn all(self: &Arc<Self>) -> String {
        let mut numbers = Vec::new();
        for options in [ReadOptions::default(), below()] {
            for key in HOT {
                let read = self.read(key, options.clone()).await;
                numbers.push(read.map_or(0, |(number, _)| number));
            }
        }
        join(numbers)
    }

    fn count(&self, what: &str) -> u64 {
        let counted = self.samovar.counters().snapshot();
        let of = HashMap::from([
            ("turns", Counted::LogTurned),
            ("foundings", Counted::LogFounded),
            ("gaps", Counted::LogGap),
            ("cuts", Counted::CutOff),
            ("journaled", Counted::Journaled),
        ]);
        match what {
            "reads" => self.reads.load(Ordering::Relaxed),
            "loads" => self.warm_loads.load(Ordering::SeqCst),
            "refused" => counted.of(CACHE, TierName::Redis).refused,
            "connected" => (self.samovar.fence().standing() == Standing::Connected).into(),
            other => counted.count(of[other]),
        }
    }
}

/// Past memory.
fn below() -> ReadOptions {
    ReadOptions { skip_memory: true, ..ReadOptions::default() }
}

fn join(numbers: impl IntoIterator<Item = u64>) -> String {
    let numbers: Vec<String> = numbers.into_iter().map(|number| number.to_string()).collect();
    numbers.join(" ")
}

/// As it is written.
pub(super) fn version(text: &str) -> Version {
    let (epoch, seq) = text.split_once(':').unwrap();
    let epoch = Epoch(u64::from_str_radix(epoch, 16).unwrap());
    Version { epoch, seq: seq.parse().unwrap() }
}
