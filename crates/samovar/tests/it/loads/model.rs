//! One key against a model of what its policy says, step by step. Loads end at once; background work ends between
//! two steps.

use proptest::prelude::*;
use samovar_core::{Mode, Scope};

use super::*;
use crate::support::{key, mark};

const LIFE: u64 = 10;
const STALE: u64 = 5;
const SAFE: u64 = 20;
const NEGATIVE: u64 = 4;
const REST: u64 = 3;
/// From when on hits are read again behind them.
const AHEAD: u64 = 8;

#[derive(Clone, Copy, Debug)]
enum Row {
    Value,
    Absent,
    Down,
}

#[derive(Clone, Debug)]
enum Op {
    Ask { refresh: bool, waits: bool },
    Pass(u64),
    Mark(u8, Mode),
    Source(Row),
}

fn op() -> impl Strategy<Value = Op> {
    let mode = prop_oneof![Just(Mode::Remove), Just(Mode::Expire), Just(Mode::Expire)];
    prop_oneof![
        6 => (prop::bool::weighted(0.1), prop::bool::weighted(0.2))
            .prop_map(|(refresh, waits)| Op::Ask { refresh, waits }),
        4 => (1u64..9).prop_map(Op::Pass),
        1 => (20u64..40).prop_map(Op::Pass),
        1 => (0..3u8, mode).prop_map(|(scope, mode)| Op::Mark(scope, mode)),
        2 => prop_oneof![Just(Row::Value), Just(Row::Absent), Just(Row::Down)].prop_map(Op::Source),
    ]
}

/// What stands under the key.
#[derive(Clone, Debug)]
struct Stands {
    /// `None`: that there is no row.
    value: Option<u64>,
    at: u64,
    expired: Option<u64>,
    /// For how long it is served as stale: who loaded it has said so.
    window: u64,
}

#[derive(Debug)]
struct Model {
    now: u64,
    row: Row,
    /// How often it was read: the value it gives.
    reads: u64,
    stands: Option<Stands>,
    rests_until: u64,
}

impl Model {
    /// How long ago what stands there ceased to be fresh; `None`: it is.
    fn past(&self, stands: &Stands) -> Option<u64> {
        let life = if stands.value.is_some() { LIFE } else { NEGATIVE };
        let by_age = (self.now - stands.at).checked_sub(life);
        let by_mark = stands.expired.map(|at| self.now - at);
        by_age.max(by_mark)
    }

    fn load(&mut self, window: u64) -> Result<Option<u64>, ErrorKind> {
        if self.now < self.rests_until {
            return Err(ErrorKind::Throttled);
        }
        self.reads += 1;
        let value = match self.row {
            Row::Down => {
                self.rests_until = self.now + REST;
                return Err(ErrorKind::Source);
            }
            Row::Value => Some(self.reads),
            Row::Absent => None,
        };
        self.rests_until = 0;
        self.stands = Some(Stands { value, at: self.now, expired: None, window });
        Ok(value)
    }

    fn ask(&mut self, refresh: bool, waits: bool) -> Told {
        let mut spare = None;
        let of_call = if waits { 0 } else { STALE };
        if let Some(stands) = self.stands.clone() {
            let past = self.past(&stands);
            let text = stands.value.map(|value| value.to_string());
            let window = if waits { 0 } else { stands.window };
            match (past, &stands.value) {
                (None, None) if !refresh => return Told(Ok((Outcome::Negative, None))),
                (None, Some(_)) if !refresh => {
                    if self.now - stands.at >= AHEAD {
                        let _ = self.load(of_call);
                    }
                    return Told(Ok((Outcome::Hit, text)));
                }
                (Some(past), Some(_)) if !refresh && past < window => {
                    let _ = self.load(of_call);
                    return Told(Ok((Outcome::Stale, text)));
                }
                (Some(past), Some(_)) if past < stands.window + SAFE => spare = Some(text),
                // As it was fresh.
                (None, _) => spare = Some(text),
                _ => {}
            }
        }
        match (self.load(of_call), spare) {
            (Ok(value), _) => Told(Ok((Outcome::Loaded, value.map(|value| value.to_string())))),
            (Err(ErrorKind::Throttled), Some(text)) => Told(Ok((Outcome::Throttled, text))),
            (Err(_), Some(text)) => Told(Ok((Outcome::Failed, text))),
            (Err(kind), None) => failed(kind),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_policy_means_what_the_model_says(ops in proptest::collection::vec(op(), 1..60)) {
        test(async {
            let field = Field::new(CachePolicy {
                ttl: SECOND * LIFE as u32,
                stale_window: SECOND * STALE as u32,
                fail_safe: SECOND * SAFE as u32,
                negative_ttl: Some(SECOND * NEGATIVE as u32),
                throttle: SECOND * REST as u32,
                refresh_ahead: Some(AHEAD as f64 / LIFE as f64),
                ..policy("c")
            })
            .await;
            let mut model = Model { now: 0, row: Row::Value, reads: 0, stands: None, rests_until: 0 };
            let (row, reads) = (Arc::new(Mutex::new(Row::Value)), Arc::new(AtomicUsize::new(0)));
            for op in &ops {
                match *op {
                    Op::Pass(seconds) => {
                        model.now += seconds;
                        field.clock.advance(SECOND * seconds as u32);
                    }
                    Op::Source(next) => {
                        model.row = next;
                        *row.lock().unwrap() = next;
                    }
                    Op::Mark(scope, mode) => {
                        let (scope, is_covered) = match scope {
                            0 => (key("c", "k"), true),
                            // It has no tag; that there is none is covered by any.
                            1 => (
                                Scope::Tag("any".into()),
                                model.stands.as_ref().is_some_and(|stands| stands.value.is_none()),
                            ),
                            _ => (Scope::Cache("d".into()), false),
                        };
                        mark(&field.samovar, scope, mode);
                        match &mut model.stands {
                            Some(stands) if is_covered && mode == Mode::Expire => {
                                stands.expired.get_or_insert(model.now);
                            }
                            stands if is_covered => *stands = None,
                            _ => {}
                        }
                    }
                    Op::Ask { refresh, waits } => {
                        let (row, reads) = (Arc::clone(&row), Arc::clone(&reads));
                        let load = move |_: Load<String>| async move {
                            let reads = reads.fetch_add(1, Ordering::SeqCst) + 1;
                            match *row.lock().unwrap() {
                                Row::Value => Ok(Loaded::from(reads.to_string())),
                                Row::Absent => Ok(Loaded::absent()),
                                Row::Down => Err(Error::new(ErrorKind::Source, "down")),
                            }
                        };
                        let stale_window = waits.then_some(Duration::ZERO);
                        let options = ReadOptions { refresh, stale_window, ..ReadOptions::default() };
                        let answer = field.cache.get_or_load_with("k", options, load).await;
                        let expected = model.ask(refresh, waits);
                        assert_eq!(Told::from(answer), expected, "{op:?} at {}", model.now);
                        settle().await;
                    }
                }
                assert_eq!(reads.load(Ordering::SeqCst) as u64, model.reads, "{op:?} at {}", model.now);
            }
        });
    }
}
