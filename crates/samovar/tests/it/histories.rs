//! The histories that go wrong when a rule of the fence is broken, driven by hand against the real code, with the
//! disk in the place of the shared tier.
//!
//! They are those that the executable model of the fence prints with `--break NAME` (two nodes in the model, of
//! which often only the one that matters is played here; steps of the shared tier are the disk's). A test of the same
//! name for each of its rules, with the bounds that print its history:
//!
//! | rule | bounds | test |
//! |---|---|---|
//! | `late_token`, `late_promotion_token`, `pending_ignored` | `--commits 2` | here |
//! | `late_disk_fill`, `no_floor` | `--commits 1 --failovers 0` | here |
//! | `numbers_only`, `lost_frames` | `--commits 2 --rollbacks 0 --trims 0` | `branches` |
//! | `no_resend` | `--commits 1 --rollbacks 0 --trims 0` | `branches` |
//! | `gap_ignored` | `--commits 1 --failovers 0 --rollbacks 0` | `branches` |
//! | `reused_epochs` | `--commits 3 --failovers 2 --rollbacks 0 --trims 0 --walks 60000` | `log_redis::epochs`: Redis names them |
//!
//! In each the source holds 0, and the commit makes it 1.

mod branches;

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_channel::oneshot;
use samovar::{Cache, Load as Told, LowerTier, Outcome, Samovar, Settings, Value};
use samovar_core::{Error, Mode, Tier, Verdict};
use samovar_testkit::clock::FakeClock;
use samovar_testkit::gate::{Door, Gate};
use samovar_testkit::log::StepLog;
use tempfile::{TempDir, tempdir};

use crate::support::{START, Stepped, block_on, key, policy, settings, whole};

/// A node with a log that goes step by step, doors before its disk, and a source.
struct Node {
    samovar: Samovar,
    cache: Cache<String>,
    log: Arc<StepLog>,
    gate: Arc<Gate<samovar::codec::Payload>>,
    source: Arc<AtomicU64>,
    _directory: TempDir,
}

/// A load that has read the source and is held back.
struct Load {
    caller: Stepped<Result<samovar::Answer<String>, Error>>,
    go: oneshot::Sender<()>,
}

fn start() -> Node {
    start_with(StepLog::new(), |settings| settings)
}

fn start_with(log: Arc<StepLog>, change: impl FnOnce(Settings) -> Settings) -> Node {
    let directory = tempdir().unwrap();
    let gates: Arc<Mutex<Option<Arc<Gate<samovar::codec::Payload>>>>> = Arc::default();
    let made = Arc::clone(&gates);
    let wrap = move |disk: Option<LowerTier>, _| {
        let gate = Gate::new(disk.unwrap());
        *made.lock().unwrap() = Some(Arc::clone(&gate));
        Ok(Some(gate as Arc<dyn Tier<Value = samovar::codec::Payload>>))
    };
    let samovar = block_on(Samovar::open(change(Settings {
        log: Some(Arc::clone(&log) as _),
        lower: Some(Arc::new(wrap)),
        ..settings(Some(directory.path()), &FakeClock::at(START))
    })))
    .unwrap();
    let gate = gates.lock().unwrap().take().unwrap();
    let cache = samovar.cache(policy("c"));
    Node { samovar, cache, log, gate, source: Arc::default(), _directory: directory }
}

impl Node {
    /// "misses, takes its token", "goes to the source", "reads 0 from the source"; then it is held back.
    fn loads_slowly(&self) -> Load {
        let (go, held) = oneshot::channel();
        let (cache, source) = (self.cache.clone(), Arc::clone(&self.source));
        let read = Arc::new(AtomicU64::new(u64::MAX));
        let seen = Arc::clone(&read);
        let mut caller = Stepped::new(async move {
            let load = move |_: Told<String>| async move {
                let value = source.load(Ordering::SeqCst);
                seen.store(value, Ordering::SeqCst);
                held.await.unwrap();
                Ok(value.to_string())
            };
            cache.get_or_load("k", load).await
        });
        assert!(caller.step().is_none());
        assert_eq!(read.load(Ordering::SeqCst), self.source.load(Ordering::SeqCst), "it has read");
        Load { caller, go }
    }

    /// "commit, event": the mark is accepted and acts, but the log has not answered.
    fn commits(&self) -> Stepped<Result<samovar_core::Version, Error>> {
        self.source.fetch_add(1, Ordering::SeqCst);
        let samovar = self.samovar.clone();
        let mut mark = Stepped::new(async move {
            samovar.mark(vec![key("c", "k")], Mode::Remove, "changed").await
        });
        assert!(mark.step().is_none());
        assert_eq!(self.samovar.fence().pending(), 1);
        mark
    }

    /// "appends the mark", "tails".
    fn applies(&self, mark: Stepped<Result<samovar_core::Version, Error>>) {
        self.log.commit();
        self.log.show();
        assert_eq!(mark.finish().unwrap().seq, self.source.load(Ordering::SeqCst));
        assert_eq!(self.samovar.fence().pending(), 0);
    }

    /// "forgets mark 1": for want of room, the oldest first.
    fn forgets(&self) {
        self.log.set_at_once(true);
        for other in 0.. {
            if self.samovar.fence().forgotten() > 0 {
                return;
            }
            let scope = key("c", &other.to_string());
            block_on(self.samovar.mark(vec![scope], Mode::Remove, "changed")).unwrap();
        }
    }

    /// What I1 says: nobody who asks from now on is given what was read before the mark.
    fn serves_nothing_old(&self) {
        for _ in 0..2 {
            assert!(self.cache.peek("k").is_none(), "from memory");
            assert!(block_on(self.cache.get("k")).is_none(), "from disk");
            block_on(self.samovar.flush()).unwrap();
        }
    }

    fn loads_anew(&self) {
        let now = self.source.load(Ordering::SeqCst).to_string();
        let value = now.clone();
        let load = |_: Told<String>| async move { Ok(value) };
        let answer = block_on(self.cache.get_or_load("k", load)).unwrap();
        assert_eq!((answer.outcome, &*answer.value.unwrap()), (Outcome::Loaded, &now));
        assert_eq!(self.cache.peek("k").map(|found| found.to_string()), Some(now));
    }
}

impl Load {
    /// Whoever joined before the mark still gets the value.
    fn ends_with(self, value: &str) {
        self.go.send(()).unwrap();
        assert_eq!(*self.caller.finish().unwrap().value.unwrap(), value);
    }
}

/// late_token: the token is taken after the read of the source.
#[test]
fn late_token() {
    let node = start();
    let load = node.loads_slowly();
    let _mark = node.commits();
    load.ends_with("0");
    node.serves_nothing_old();
    node.loads_anew();
}

/// The same with a mark that is through before the load ends.
#[test]
fn late_token_after_the_mark_is_numbered() {
    let node = start();
    let load = node.loads_slowly();
    let mark = node.commits();
    node.applies(mark);
    load.ends_with("0");
    node.serves_nothing_old();
    node.loads_anew();
}

/// pending_ignored: marks not yet in the log do not refuse what lies in lower tiers.
#[test]
fn pending_ignored() {
    let node = start();
    let load = node.loads_slowly();
    let mark = node.commits();
    // "fills the shared tier with 0"
    load.ends_with("0");
    node.serves_nothing_old();
    node.applies(mark);
    node.serves_nothing_old();
    node.loads_anew();
}

/// The same with the frame on disk before the mark.
#[test]
fn pending_refuses_what_lies_on_disk() {
    let node = start();
    node.cache.put_below("k", "0".to_owned(), whole(&node.samovar));
    block_on(node.samovar.flush()).unwrap();
    let mark = node.commits();
    node.serves_nothing_old();
    node.applies(mark);
    node.serves_nothing_old();
}

/// What is loaded while a mark is pending is kept in memory and served: the source was read after the commit.
#[test]
fn what_is_loaded_after_a_pending_mark_is_served() {
    let node = start();
    let mark = node.commits();
    node.loads_anew();
    node.applies(mark);
    assert_eq!(node.cache.peek("k").map(|found| found.to_string()), Some("1".to_owned()));
}

/// late_disk_fill: the disk takes fills without checking them inside its writer.
#[test]
fn late_disk_fill() {
    let node = start();
    let load = node.loads_slowly();
    let mark = node.commits();
    node.applies(mark);
    block_on(node.samovar.sweep()).unwrap();
    load.ends_with("0");
    node.serves_nothing_old();
    assert_eq!(block_on(node.cache.get("k")).map(|found| found.value()), None);
    node.loads_anew();
}

/// The same with a fill that was handed over before the mark and reaches the writer after the sweep.
#[test]
fn late_disk_fill_from_the_queue() {
    let node = start();
    node.gate.shut(Door::Put);
    node.cache.put("k", "0".to_owned(), whole(&node.samovar));
    assert_eq!(node.gate.waiting(Door::Put), 1);
    let mark = node.commits();
    node.applies(mark);
    block_on(node.samovar.sweep()).unwrap();
    node.gate.open(Door::Put);
    node.serves_nothing_old();
    node.loads_anew();
}

/// A late fill that an `expire` covers may be kept, but a sweep in between must not make it fresh.
#[test]
fn late_disk_fill_of_what_is_stale() {
    let node = start();
    let read_before = whole(&node.samovar);
    let (samovar, scope) = (node.samovar.clone(), key("c", "k"));
    let mut mark =
        Stepped::new(async move { samovar.mark(vec![scope], Mode::Expire, "changed").await });
    assert!(mark.step().is_none());
    node.log.commit();
    node.log.show();
    mark.finish().unwrap();
    block_on(node.samovar.sweep()).unwrap();
    node.cache.put_below("k", "0".to_owned(), read_before);
    block_on(node.samovar.flush()).unwrap();
    for _ in 0..2 {
        let found = block_on(node.cache.get("k")).unwrap();
        assert_eq!((found.verdict, found.marked), (Verdict::Stale, true), "from {}", found.tier);
        block_on(node.samovar.sweep()).unwrap();
    }
}

/// no_floor: what is older than a forgotten mark is still trusted.
#[test]
fn no_floor() {
    let node = start_with(StepLog::new(), |settings| Settings { marks_max: 2, ..settings });
    let read_before = whole(&node.samovar);
    let load = node.loads_slowly();
    let mark = node.commits();
    node.applies(mark);
    node.forgets();
    // "fills the shared tier with 0"
    load.ends_with("0");
    node.serves_nothing_old();
    node.cache.put_below("k", "0".to_owned(), Arc::clone(&read_before));
    block_on(node.samovar.flush()).unwrap();
    node.serves_nothing_old();
    node.cache.put("k", "0".to_owned(), read_before);
    node.serves_nothing_old();
    node.loads_anew();
}

/// The same with the frame on disk before the mark, which no sweep takes out.
#[test]
fn what_lies_below_a_floor_is_refused() {
    let node = start_with(StepLog::new(), |settings| Settings { marks_max: 2, ..settings });
    node.cache.put_below("k", "0".to_owned(), whole(&node.samovar));
    block_on(node.samovar.flush()).unwrap();
    let mark = node.commits();
    node.applies(mark);
    node.forgets();
    node.serves_nothing_old();
    node.loads_anew();
}

/// late_promotion_token: a promoted value gets a token taken after the lower tier was read. Here the lower tier has
/// answered and the answer is on its way.
#[test]
fn late_promotion_token() {
    let node = start();
    node.cache.put_below("k", "0".to_owned(), whole(&node.samovar));
    block_on(node.samovar.flush()).unwrap();
    node.gate.shut(Door::AfterGet);
    let cache = node.cache.clone();
    let mut reader = Stepped::new(async move { cache.get("k").await.map(|found| found.value()) });
    assert!(reader.step().is_none());
    while node.gate.waiting(Door::AfterGet) == 0 {
        // The reading thread has not answered yet.
        assert!(reader.step().is_none());
        std::thread::yield_now();
    }
    let mark = node.commits();
    node.gate.open(Door::AfterGet);
    reader.finish();
    node.serves_nothing_old();
    node.applies(mark);
    node.serves_nothing_old();
    node.loads_anew();
}

thread_local! {
    static WHILE_DECODING: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// A value that lets the test act between the look below and the fill of memory.
struct Hooked(u8);

impl Value for Hooked {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        out.push(self.0);
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        if let Some(hook) = WHILE_DECODING.take() {
            hook();
        }
        Ok(Hooked(bytes[0]))
    }

    fn weight(&self) -> usize {
        1
    }
}

/// late_promotion_token, with the mark after the frame was judged and before it fills memory.
#[test]
fn late_promotion_token_between_look_and_fill() {
    for numbered in [false, true] {
        let node = Arc::new(start());
        let cache = node.samovar.cache::<Hooked>(policy("c"));
        cache.put_below("k", Hooked(0), whole(&node.samovar));
        block_on(node.samovar.flush()).unwrap();
        let acts = Arc::clone(&node);
        let hook = move || {
            // On another thread, as marks come.
            let act = move || {
                let mark = acts.commits();
                if numbered {
                    acts.applies(mark);
                }
            };
            std::thread::spawn(act).join().unwrap();
        };
        WHILE_DECODING.set(Some(Box::new(hook)));
        // Whoever asked before the mark may be given it …
        assert_eq!(block_on(cache.get("k")).map(|found| found.0), Some(0));
        // … nobody after.
        assert!(cache.peek("k").is_none());
        assert!(block_on(cache.get("k")).is_none());
    }
}

/// A mark is accepted here, its append fails, nobody knows whether it is durable: it stays in force.
#[test]
fn an_append_that_fails_leaves_its_mark_in_force() {
    for durable in [false, true] {
        let node = start();
        node.cache.put("k", "0".to_owned(), whole(&node.samovar));
        let mark = node.commits();
        node.log.fail(durable);
        assert!(mark.finish().is_err());
        node.serves_nothing_old();
        node.log.show();
        node.serves_nothing_old();
        node.loads_anew();
    }
}

/// A caller that gives up takes nothing back.
#[test]
fn a_dropped_mark_stands() {
    let node = start();
    node.cache.put("k", "0".to_owned(), whole(&node.samovar));
    drop(node.commits());
    node.serves_nothing_old();
    assert_eq!(node.log.waiting(), 1, "it has reached the log");
    node.log.commit();
    node.log.show();
    node.loads_anew();
}
