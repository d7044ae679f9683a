//! Replay against a simple model: writes of a few keys, some of them bad for good or for a while, to a source that is
//! away now and then.
//!
//! * What is good comes to the source once, and of each key in the order of the writes.
//! * What is bad becomes a letter, with exactly as many attempts as the policy grants. Nothing is lost.
//! * What is good and fresh waits for no bad one: only, for a little, for a source that seems to be away.

use std::collections::HashMap;

use proptest::prelude::{Just, ProptestConfig, any, prop_oneof, proptest};
use proptest::strategy::Strategy;
use samovar_core::Clock as _;

use super::batches::Node;
use super::*;

const SECOND: Duration = Duration::from_secs(1);
/// More than what a good write is charged with while the source is away.
const ATTEMPTS: u32 = 40;
/// So long is a source left alone that seems to be away, at most: five seconds, spread; a burst waits two more.
const AWAY: Duration = Duration::from_secs(6);
const BURST: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Good,
    Bad,
    /// It fails so often.
    Flaky(u32),
}

#[derive(Clone, Debug)]
enum Op {
    /// Under each of these keys at once.
    Write(Vec<(u8, Kind)>),
    Pass(u8),
    Away(bool),
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![4 => Just(Kind::Good), 2 => Just(Kind::Bad), 1 => (1..4_u32).prop_map(Kind::Flaky)]
}

fn op() -> impl Strategy<Value = Op> {
    let writes = proptest::collection::vec((0..8_u8, kind()), 1..5);
    prop_oneof![
        4 => writes.prop_map(Op::Write),
        4 => (1..30_u8).prop_map(Op::Pass),
        1 => any::<bool>().prop_map(Op::Away),
    ]
}

/// What is written is the number of the write.
#[derive(Default)]
struct Moody {
    /// One bad write fails a whole call; else it fails alone.
    is_whole: bool,
    inside: Mutex<Mood>,
}

#[derive(Default)]
struct Mood {
    is_away: bool,
    kinds: Vec<Kind>,
    /// How often each was asked for while the source was there.
    tried: HashMap<usize, u32>,
    asked: Vec<(String, usize)>,
    done: Vec<usize>,
}

impl Moody {
    fn mood(&self) -> MutexGuard<'_, Mood> {
        self.inside.lock().unwrap()
    }
}

impl Mood {
    fn is_willing(&mut self, number: usize) -> bool {
        let tried = self.tried.entry(number).or_default();
        *tried += u32::from(!self.is_away);
        !self.is_away
            && match self.kinds[number] {
                Kind::Good => true,
                Kind::Bad => false,
                Kind::Flaky(failures) => *tried > failures,
            }
    }
}

impl Writer<String> for Moody {
    fn write<'a>(
        &'a self,
        writes: &'a [Write<String>],
    ) -> BoxFuture<'a, Vec<Result<(), WriteError>>> {
        let mut mood = self.mood();
        let number =
            |write: &Write<String>| write.value.as_ref().unwrap().parse::<usize>().unwrap();
        let mut willing = Vec::new();
        for write in writes {
            mood.asked.push((write.key.to_string(), number(write)));
            willing.push(mood.is_willing(number(write)));
        }
        let is_whole = self.is_whole && willing.contains(&false);
        let mut answer = |(write, is_willing): (&Write<String>, bool)| {
            if is_willing && !is_whole {
                mood.done.push(number(write));
                return Ok(());
            }
            Err(WriteError::new(Fate::NotWritten, Error::new(ErrorKind::Source, "not now")))
        };
        let answers: Vec<_> = writes.iter().zip(willing).map(&mut answer).collect();
        Box::pin(async move { answers })
    }

    fn deadline(&self) -> Duration {
        DEADLINE
    }
}

/// A good write that waits for nothing but replay: until when it is to be done.
struct Promise {
    number: usize,
    by: Duration,
}

struct Run {
    node: Node<Moody>,
    keys: Vec<u8>,
    promises: Vec<Promise>,
}

impl Run {
    /// Whether everything that was written under a key is at the source, or promised.
    fn is_clear(&self, key: u8) -> bool {
        let mood = self.node.table.mood();
        let is_promised = |number| self.promises.iter().any(|promise| promise.number == number);
        let of_key = self.keys.iter().enumerate().filter(|(_, own)| **own == key);
        of_key.map(|(number, _)| number).all(|n| mood.done.contains(&n) || is_promised(n))
    }

    async fn write(&mut self, writes: &[(u8, Kind)]) {
        let mut acknowledged = Vec::new();
        for (key, kind) in writes {
            let number = self.keys.len();
            let is_clear = self.is_clear(*key);
            let is_away = {
                let mut mood = self.node.table.mood();
                mood.kinds.push(*kind);
                mood.is_away
            };
            let now = self.node.clock.elapsed();
            match kind {
                Kind::Good if is_clear && !is_away => {
                    self.promises.push(Promise { number, by: now + AWAY + BURST });
                }
                Kind::Good => {}
                // It may seem that the source is away until it has been tried.
                _ => self.promises.iter_mut().for_each(|promise| promise.by += AWAY),
            }
            self.keys.push(*key);
            let (cache, key) = (self.node.cache.clone(), key.to_string());
            acknowledged.push(async move { cache.write(&key, number.to_string()).await.unwrap() });
        }
        futures_util::future::join_all(acknowledged).await;
    }

    async fn pass(&mut self, seconds: u8) {
        for _ in 0..seconds {
            self.node.waits().await;
            self.node.clock.advance(SECOND);
            self.node.waits().await;
            let (now, mood) = (self.node.clock.elapsed(), self.node.table.mood());
            self.promises.retain(|promise| !mood.done.contains(&promise.number));
            for Promise { number, by } in &self.promises {
                assert!(now < *by, "{number} waits, at {now:?}");
            }
        }
    }
}

async fn follow(ops: &[Op], is_whole: bool) {
    let node = Node::open(Moody { is_whole, ..Moody::default() }, ATTEMPTS).await;
    let mut run = Run { node, keys: Vec::new(), promises: Vec::new() };
    for op in ops {
        match op {
            Op::Write(writes) => run.write(writes).await,
            Op::Pass(seconds) => run.pass(*seconds).await,
            Op::Away(is_away) => {
                run.node.table.mood().is_away = *is_away;
                run.promises.clear();
            }
        }
    }
    let Run { node, keys, .. } = run;
    node.table.mood().is_away = false;
    node.in_time(|| node.cache.unwritten() == 0).await;

    let mood = node.table.mood();
    let mut dead = Vec::new();
    for letter in node.samovar.dead_letters() {
        let text = String::from_utf8(letter.value.unwrap().to_vec()).unwrap();
        assert_eq!(letter.attempts, ATTEMPTS, "{text}");
        dead.push(text.parse::<usize>().unwrap());
    }
    let mut done = mood.done.clone();
    for (ended, is_bad) in [(&mut dead, true), (&mut done, false)] {
        ended.sort_unstable();
        let all = (0..keys.len()).filter(|number| (mood.kinds[*number] == Kind::Bad) == is_bad);
        assert_eq!(*ended, all.collect::<Vec<_>>(), "bad: {is_bad}");
    }
    for key in 0..8 {
        let of_key = mood.asked.iter().filter(|(own, _)| *own == key.to_string());
        assert!(of_key.map(|(_, number)| number).is_sorted(), "{:?}", mood.asked);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_no_good_write_waits_for_a_bad_one(
        ops in proptest::collection::vec(op(), 1..30),
        is_whole in any::<bool>(),
    ) {
        test(follow(&ops, is_whole));
    }
}
