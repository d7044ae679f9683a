//! One load per key, and every way in which it can end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_channel::oneshot;
use samovar::Samovar;
use samovar::flight::Flights;
use samovar_core::{Error, ErrorKind, Key, Mode, Tick, Token};
use samovar_testkit::clock::FakeClock;

use crate::support::{START, Stepped, key, mark, open};

/// A loader that is let go by hand, and what it was asked.
#[derive(Clone)]
struct Field {
    samovar: Samovar,
    flights: Flights<u32>,
    key: Key,
    log: Arc<Mutex<Vec<(u32, Tick)>>>,
    reading: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

type Caller = Stepped<Result<u32, Error>>;
type Go = oneshot::Sender<Result<u32, Error>>;

struct Landing(Arc<AtomicUsize>);

impl Drop for Landing {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Field {
    fn new() -> Field {
        let samovar = open(None, &FakeClock::at(START));
        let flights = Flights::new(samovar.fence().clone());
        Field {
            samovar,
            flights,
            key: Key::new("c", "k"),
            log: Arc::default(),
            reading: Arc::default(),
            most: Arc::default(),
        }
    }

    /// Somebody who asks; if it is this one's loader that runs, it is called `name`.
    fn ask(&self, name: u32) -> (Caller, Go) {
        let (go, held) = oneshot::channel();
        let field = self.clone();
        let run = {
            let field = self.clone();
            move |token: Token| async move {
                field.log.lock().unwrap().push((name, token.tick));
                let now = field.reading.fetch_add(1, Ordering::SeqCst) + 1;
                field.most.fetch_max(now, Ordering::SeqCst);
                let _landing = Landing(Arc::clone(&field.reading));
                held.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Source, "let go")))
            }
        };
        let mut caller = Stepped::new(async move {
            field.flights.join(&field.key, |scope| scope.may_cover(&field.key), run).await
        });
        assert!(caller.step().is_none());
        (caller, go)
    }

    fn mark(&self) {
        mark(&self.samovar, key("c", "k"), Mode::Remove);
    }

    /// Who has run, in order.
    fn ran(&self) -> Vec<u32> {
        self.log.lock().unwrap().iter().map(|(name, _)| *name).collect()
    }
}

#[test]
fn everybody_gets_the_one_value() {
    let field = Field::new();
    let (mut a, go) = field.ask(1);
    let (mut b, _unused) = field.ask(2);
    let (mut c, _unused) = field.ask(3);
    go.send(Ok(7)).unwrap();
    assert_eq!([&mut c, &mut a, &mut b].map(|caller| caller.step().unwrap().unwrap()), [7, 7, 7]);
    assert_eq!(field.ran(), [1]);
    let (mut d, go) = field.ask(4);
    go.send(Ok(8)).unwrap();
    assert_eq!(d.step().unwrap().unwrap(), 8, "nothing is kept");
}

#[test]
fn other_keys_fly_by_themselves() {
    let field = Field::new();
    let other = Field { key: Key::new("c", "l"), ..field.clone() };
    let (_a, _go) = field.ask(1);
    let (_b, _go_too) = other.ask(2);
    assert_eq!(field.ran(), [1, 2]);
}

#[test]
fn who_asks_after_a_mark_waits_for_one_that_begins_after_it() {
    let field = Field::new();
    let (mut early, go_early) = field.ask(1);
    field.mark();
    let (mut late, go_late) = field.ask(2);
    let (mut later, _unused) = field.ask(3);
    assert_eq!(field.ran(), [1], "one reads, one waits");
    // Marked again: the one that waits has not taken its token, so it serves for this too.
    field.mark();
    let (mut last, _unused) = field.ask(4);
    assert_eq!(field.ran(), [1]);
    go_early.send(Ok(1)).unwrap();
    assert_eq!(early.step().unwrap().unwrap(), 1, "who joined before the mark gets the value");
    assert!(late.step().is_none());
    assert_eq!(field.ran(), [1, 2]);
    let ticks: Vec<Tick> = field.log.lock().unwrap().iter().map(|(_, tick)| *tick).collect();
    assert_eq!(ticks[1], field.samovar.fence().tick(), "its token is from after both marks");
    // It reads now; an unmarked asker joins it.
    let (mut joined, _unused) = field.ask(5);
    go_late.send(Ok(2)).unwrap();
    for caller in [&mut last, &mut late, &mut later, &mut joined] {
        assert_eq!(caller.step().unwrap().unwrap(), 2);
    }
    assert_eq!(field.ran(), [1, 2]);
    assert_eq!(field.most.load(Ordering::SeqCst), 1);
}

#[test]
fn marks_that_touch_something_else_change_nothing() {
    let field = Field::new();
    let (mut a, go) = field.ask(1);
    mark(&field.samovar, key("c", "other"), Mode::Remove);
    let (mut b, _unused) = field.ask(2);
    go.send(Ok(7)).unwrap();
    assert_eq!((a.step().unwrap().unwrap(), b.step().unwrap().unwrap()), (7, 7));
    assert_eq!(field.ran(), [1]);
}

#[test]
fn a_key_that_is_invalidated_faster_than_it_loads_answers_everybody() {
    let field = Field::new();
    let mut flying: Vec<(Caller, Option<Go>)> = Vec::new();
    let mut answered = 0;
    for round in 0..200 {
        let (caller, go) = field.ask(round);
        flying.push((caller, Some(go)));
        field.mark();
        if round % 5 == 4 {
            // The load that is reading ends; whose it is, the log says.
            let name = *field.ran().last().unwrap() as usize;
            if let Some(go) = flying[name].1.take() {
                go.send(Ok(name as u32)).unwrap();
            }
            for (asked, (caller, _)) in flying.iter_mut().enumerate().skip(answered) {
                match caller.step() {
                    None => break,
                    Some(value) => {
                        let load = value.unwrap();
                        assert!(load as usize <= asked);
                        answered = asked + 1;
                    }
                }
            }
        }
    }
    assert!(answered > 150, "{answered}");
    assert_eq!(field.most.load(Ordering::SeqCst), 1, "one reads at a time");
    let loads = field.ran().len();
    assert!(loads <= 41, "{loads} loads for 40 landings");
}

#[test]
fn a_failure_is_everybodys() {
    let field = Field::new();
    let (mut a, go) = field.ask(1);
    let (mut b, _unused) = field.ask(2);
    go.send(Err(Error::new(ErrorKind::Source, "down"))).unwrap();
    for caller in [&mut a, &mut b] {
        let error = caller.step().unwrap().unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Source, "down".to_owned()));
    }
    let (mut c, go) = field.ask(3);
    go.send(Ok(1)).unwrap();
    assert_eq!(c.step().unwrap().unwrap(), 1);
}

#[test]
fn a_panic_is_an_error_for_everybody() {
    let field = Field::new();
    let (go, held) = oneshot::channel::<()>();
    let panics = |field: Field, held: oneshot::Receiver<()>| async move {
        let run = move |_: Token| async move {
            held.await.unwrap();
            panic!("the loader is broken");
        };
        field.flights.join(&field.key, |_| true, run).await
    };
    let mut a: Caller = Stepped::new(panics(field.clone(), held));
    assert!(a.step().is_none());
    let (mut b, _unused) = field.ask(2);
    go.send(()).unwrap();
    for caller in [&mut b, &mut a] {
        let error = caller.step().unwrap().unwrap_err();
        assert!(error.to_string().contains("the loader is broken"), "{error}");
    }
    // Also if it panics before it returns a future.
    let at_once = field.clone();
    let mut c: Caller = Stepped::new(async move {
        let run = |_: Token| -> std::future::Ready<Result<u32, Error>> { panic!("at once") };
        at_once.flights.join(&at_once.key, |_| true, run).await
    });
    assert!(c.step().unwrap().unwrap_err().to_string().contains("at once"));
    let (mut d, go) = field.ask(3);
    go.send(Ok(1)).unwrap();
    assert_eq!(d.step().unwrap().unwrap(), 1, "the key is free again");
}

#[test]
fn a_caller_that_gives_up_cancels_nothing_for_others() {
    let field = Field::new();
    let (leader, go) = field.ask(1);
    let (mut other, _unused) = field.ask(2);
    drop(leader);
    go.send(Ok(7)).unwrap();
    assert_eq!(other.step().unwrap().unwrap(), 7);
    assert_eq!(field.ran(), [1]);
}

#[test]
fn when_all_give_up_the_load_is_dropped() {
    let field = Field::new();
    let (a, go) = field.ask(1);
    let (b, _unused) = field.ask(2);
    drop((a, b));
    assert!(go.is_canceled(), "nobody reads for nobody");
    assert_eq!(field.reading.load(Ordering::SeqCst), 0);
    let (mut c, go) = field.ask(3);
    go.send(Ok(1)).unwrap();
    assert_eq!(c.step().unwrap().unwrap(), 1);
}

#[test]
fn who_waits_begins_when_those_ahead_give_up() {
    let field = Field::new();
    let (stuck, stuck_go) = field.ask(1);
    field.mark();
    let (mut waits, go) = field.ask(2);
    assert_eq!(field.ran(), [1]);
    drop(stuck);
    assert!(waits.step().is_none());
    assert!(stuck_go.is_canceled(), "the load that nobody wants is dropped");
    assert_eq!(field.ran(), [1, 2]);
    go.send(Ok(2)).unwrap();
    assert_eq!(waits.step().unwrap().unwrap(), 2);
}

#[test]
fn who_waits_drives_the_one_ahead() {
    // One task holds a flight that it does not poll, and asks again after a mark: it must not wait for itself.
    let field = Field::new();
    let (mut unpolled, go) = field.ask(1);
    field.mark();
    let (mut again, go_again) = field.ask(2);
    go.send(Ok(1)).unwrap();
    assert!(again.step().is_none());
    assert_eq!(field.ran(), [1, 2]);
    go_again.send(Ok(2)).unwrap();
    assert_eq!(again.step().unwrap().unwrap(), 2);
    assert_eq!(unpolled.step().unwrap().unwrap(), 1);
}

#[test]
fn when_all_who_wait_give_up_the_one_ahead_goes_on() {
    let field = Field::new();
    let (mut reads, go) = field.ask(1);
    field.mark();
    let (waits, _unused) = field.ask(2);
    drop(waits);
    let (mut waits_too, go_too) = field.ask(3);
    go.send(Ok(1)).unwrap();
    assert_eq!(reads.step().unwrap().unwrap(), 1);
    go_too.send(Ok(3)).unwrap();
    assert_eq!(waits_too.step().unwrap().unwrap(), 3);
    assert_eq!(field.ran(), [1, 3]);
}

#[test]
fn threads_that_come_and_go() {
    let field = Field::new();
    std::thread::scope(|threads| {
        for thread in 0..4u32 {
            let field = &field;
            threads.spawn(move || {
                for round in 0..300u32 {
                    let (reading, most) = (Arc::clone(&field.reading), Arc::clone(&field.most));
                    let run = move |token: Token| async move {
                        let now = reading.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        let _landing = Landing(reading);
                        // Gives the others a turn while it "reads".
                        let mut turns = 0;
                        std::future::poll_fn(|context| {
                            turns += 1;
                            context.waker().wake_by_ref();
                            if turns > 3 {
                                std::task::Poll::Ready(())
                            } else {
                                std::task::Poll::Pending
                            }
                        })
                        .await;
                        Ok(token.tick.0 as u32)
                    };
                    let asked = field.samovar.fence().tick();
                    let owner = field.clone();
                    let joined = async move {
                        owner
                            .flights
                            .join(&owner.key, |scope| scope.may_cover(&owner.key), run)
                            .await
                    };
                    if round % 7 == thread {
                        let mut gives_up = Stepped::new(joined);
                        gives_up.step();
                        continue;
                    }
                    let tick = crate::support::block_on(joined).unwrap();
                    assert!(
                        u64::from(tick) >= asked.0,
                        "read before a mark that came before the question"
                    );
                    if round % 5 == 0 {
                        field.mark();
                    }
                }
            });
        }
    });
    assert_eq!(field.reading.load(Ordering::SeqCst), 0);
    assert_eq!(format!("{:?}", field.flights), "Flights { keys: 0, .. }", "the board is empty");
}
