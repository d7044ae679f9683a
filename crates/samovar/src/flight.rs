//! Flights: per key one load at a time, for everybody who asks.
//!
//! Who joins before a mark still gets the value. Who asks after a mark that covers the key cannot use the flight that
//! is reading: it may have read before the mark. It joins the one that waits behind it, whose token is not
//! taken yet. So per key at most one flight reads and one waits, and a key that is invalidated faster than it
//! loads answers everybody and multiplies nothing.
//!
//! No thread drives a flight: whoever waits for it does. If one of them goes away the others go on; if all
//! do, the flight is dropped, and the one behind it begins.
//!
//! [`crate::Cache::get_or_load`] shares its loads in this way by itself. [`Flights`] is for what no cache keeps: work
//! that is wanted by many at once, is to be done once for all of them, and must not answer with what was invalidated
//! before they asked.
//!
//! ```
//! use samovar::flight::Flights;
//! use samovar::{Samovar, Settings};
//! use samovar_core::{Key, Scope};
//!
//! # futures_executor::block_on(async {
//! let samovar = Samovar::open(Settings::default()).await?;
//! let reports: Flights<String> = Flights::new(samovar.fence().clone());
//! let key = Key::new("reports", "2026-02");
//! let draw = || {
//!     // A mark on the cache `prices` makes a report that is being drawn useless to who asks afterwards.
//!     let touches = |scope: &Scope| *scope == Scope::Cache("prices".into());
//!     reports.join(&key, touches, |_token| async { Ok("Tea: 4.99".to_owned()) })
//! };
//! assert_eq!(draw().await?, "Tea: 4.99");
//! # Ok::<(), samovar_core::Error>(())
//! # }).unwrap();
//! ```

// A load that is to outlive those who asked is a `Ticket` that a task holds.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, Shared, WeakShared, select};
use parking_lot::Mutex;
use samovar_core::{Error, ErrorKind, Key, Scope, Tick, Token};

use crate::background::panic_text;
use crate::fence::Fence;

/// How a flight ended.
#[derive(Clone, Debug)]
enum Exit<T> {
    /// With a value.
    Ready(T),
    /// With the loader's error.
    Failed(Error),
    /// The loader panicked, with this message.
    Panicked(Arc<str>),
    /// Everybody who waited for it went away.
    Abandoned,
}

type Flight<T> = Shared<BoxFuture<'static, Exit<T>>>;
type Gone = Shared<oneshot::Receiver<()>>;

/// Held by everybody who waits for a flight; tells the flight behind it when the last of them is gone.
struct Passengers {
    gone: Option<oneshot::Sender<()>>,
    /// A task drives the flight to its end.
    driven: AtomicBool,
}

impl Drop for Passengers {
    fn drop(&mut self) {
        if let Some(gone) = self.gone.take() {
            let _ = gone.send(());
        }
    }
}

/// A place in a flight, which goes on while anybody holds one and waits.
pub(crate) struct Ticket<T> {
    key: Key,
    flight: Flight<T>,
    gone: Gone,
    /// Whether the flight was not there before.
    pub(crate) is_first: bool,
    passenger: Arc<Passengers>,
}

impl<T: Clone> Ticket<T> {
    /// Whether it is for who asks this to have the flight driven to its end by a task: the first does.
    pub(crate) fn takes_wheel(&self) -> bool {
        !self.passenger.driven.swap(true, Ordering::Relaxed)
    }

    /// Drives the flight to its end.
    ///
    /// # Errors
    /// The loader's, for everybody in the flight; or that it panicked.
    pub(crate) async fn land(&self) -> Result<T, Error> {
        let key = &self.key;
        match self.flight.clone().await {
            Exit::Ready(value) => Ok(value),
            Exit::Failed(error) => Err(error),
            Exit::Panicked(text) => Err(panicked(key, &text)),
            Exit::Abandoned => {
                Err(Error::new(ErrorKind::Closed, format!("the load of {key} was abandoned")))
            }
        }
    }
}

/// The error that a loader's panic is for who waits.
pub(crate) fn panicked(what: impl fmt::Display, text: &str) -> Error {
    Error::new(ErrorKind::Source, format!("the loader of {what} panicked: {text}"))
}

/// What the board knows of a flight. It keeps none alive.
struct Seat<T> {
    number: u64,
    /// When it took its token; `None` while it waits.
    tick: Option<Tick>,
    flight: WeakShared<BoxFuture<'static, Exit<T>>>,
    passengers: std::sync::Weak<Passengers>,
    gone: Gone,
}

impl<T: Clone> Seat<T> {
    fn ticket(&self, key: &Key) -> Option<Ticket<T>> {
        let passenger = self.passengers.upgrade()?;
        Some(Ticket {
            key: key.clone(),
            flight: self.flight.upgrade()?,
            gone: self.gone.clone(),
            is_first: false,
            passenger,
        })
    }
}

/// By key: the flight that reads, if any, and behind it the one that waits, if any.
type Board<T> = Mutex<HashMap<Key, Vec<Seat<T>>>>;

/// The flights of some kind of value. Cheap to clone.
///
/// ```
/// # use samovar::flight::Flights;
/// # use samovar::{Samovar, Settings};
/// # use samovar_core::{Error, Key};
/// # futures_executor::block_on(async {
/// let samovar = Samovar::open(Settings::default()).await?;
/// let flights: Flights<u32> = Flights::new(samovar.fence().clone());
/// let key = Key::new("squares", "12");
/// let value = flights.join(&key, |scope| scope.may_cover(&key), |_token| async { Ok(144) }).await?;
/// assert_eq!(value, 144);
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
pub struct Flights<T: Clone> {
    fence: Fence,
    board: Arc<Board<T>>,
    numbers: Arc<AtomicU64>,
}

impl<T: Clone> Clone for Flights<T> {
    fn clone(&self) -> Self {
        Flights {
            fence: self.fence.clone(),
            board: Arc::clone(&self.board),
            numbers: Arc::clone(&self.numbers),
        }
    }
}

impl<T: Clone> fmt::Debug for Flights<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").field("keys", &self.board.lock().len()).finish_non_exhaustive()
    }
}

impl<T: Clone + Send + Sync + 'static> Flights<T> {
    /// No flights yet. Tokens are taken from this fence.
    ///
    /// ```
    /// # use samovar::flight::Flights;
    /// # use samovar::{Samovar, Settings};
    /// # use samovar_core::Key;
    /// # futures_executor::block_on(async {
    /// let samovar = Samovar::open(Settings::default()).await?;
    /// let flights = Flights::new(samovar.fence().clone());
    /// let key = Key::new("prices", "42");
    /// let token = flights.join(&key, |scope| scope.may_cover(&key), |token| async move { Ok(token) }).await?;
    /// assert_eq!(token, samovar.fence().token(), "no mark has acted since it was taken");
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn new(fence: Fence) -> Self {
        Flights { fence, board: Arc::default(), numbers: Arc::default() }
    }

    /// The value under `key`: of the flight that is under way, or of a new one that `run` reads.
    ///
    /// `touches` says which marks make a flight that began before them useless to who asks after them. `run`
    /// is called at most once, when the flight begins to read, with the token taken just before.
    ///
    /// ```
    /// # use std::sync::atomic::{AtomicU64, Ordering};
    /// # use std::time::Duration;
    /// # use samovar::flight::Flights;
    /// # use samovar::{Samovar, Settings};
    /// # use samovar_core::Key;
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// static READS: AtomicU64 = AtomicU64::new(0);
    ///
    /// let flights: Flights<u64> = Flights::new(samovar.fence().clone());
    /// let key = Key::new("prices", "42");
    /// let ask = || {
    ///     let source = samovar.clock().sleep(Duration::from_millis(1)); // whatever takes its time
    ///     flights.join(&key, |scope| scope.may_cover(&key), |_token| async {
    ///         source.await;
    ///         READS.fetch_add(1, Ordering::Relaxed);
    ///         Ok(499)
    ///     })
    /// };
    /// let both = futures_util::future::join(ask(), ask()).await;
    /// assert_eq!((both.0?, both.1?), (499, 499));
    /// assert_eq!(READS.load(Ordering::Relaxed), 1, "the source was read once for both");
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The loader's, for everybody in the flight; of kind [`ErrorKind::Source`] if it panicked.
    pub async fn join<R, F>(
        &self,
        key: &Key,
        touches: impl Fn(&Scope) -> bool,
        run: R,
    ) -> Result<T, Error>
    where
        R: FnOnce(Token) -> F + Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        self.board(key, &touches, run).land().await
    }

    /// A place in the flight that is under way, or in a new one that `run` reads: as [`Flights::join`] would wait for.
    pub(crate) fn board<R, F>(
        &self,
        key: &Key,
        touches: &impl Fn(&Scope) -> bool,
        run: R,
    ) -> Ticket<T>
    where
        R: FnOnce(Token) -> F + Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let mut marked = None;
        loop {
            let mut board = self.board.lock();
            let last = board.get(key).and_then(|seats| seats.last());
            let last = last.and_then(|seat| Some((seat.number, seat.tick, seat.ticket(key)?)));
            let ahead = match last {
                // It has not begun to read.
                Some((_, None, ticket)) => return ticket,
                Some((number, Some(_), ticket)) if marked == Some(number) => Some(ticket),
                Some((number, Some(tick), ticket)) => {
                    // Strangers' code runs without the lock.
                    drop(board);
                    if !self.fence.acted_since(tick, touches) {
                        return ticket;
                    }
                    marked = Some(number);
                    continue;
                }
                None => None,
            };
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            let (send, gone) = oneshot::channel();
            let passenger =
                Arc::new(Passengers { gone: Some(send), driven: AtomicBool::new(false) });
            let gone = gone.shared();
            let leave = Leave { board: Arc::clone(&self.board), key: key.clone(), number };
            let before = ahead.as_ref().map(|ticket| (ticket.flight.clone(), ticket.gone.clone()));
            let flight = fly(leave, self.fence.clone(), before, run).boxed().shared();
            board.entry(key.clone()).or_default().push(Seat {
                number,
                tick: None,
                flight: flight.downgrade().expect("it has not been polled"),
                passengers: Arc::downgrade(&passenger),
                gone: gone.clone(),
            });
            // Giving a ticket back may wake others: not under the lock.
            drop(board);
            drop(ahead);
            let key = key.clone();
            return Ticket { key, flight, gone, is_first: true, passenger };
        }
    }
}

/// Takes a flight off the board, however it ends.
struct Leave<T: Clone> {
    board: Arc<Board<T>>,
    key: Key,
    number: u64,
}

impl<T: Clone> Leave<T> {
    /// The flight begins to read. Token and tick are taken while nobody can board: who boards before
    /// asked before, who comes after sees the tick.
    fn depart(&self, fence: &Fence) -> Token {
        let mut board = self.board.lock();
        let token = fence.token();
        let seats = board.get_mut(&self.key);
        if let Some(seat) = seats.and_then(|s| s.iter_mut().find(|s| s.number == self.number)) {
            seat.tick = Some(token.tick);
        }
        token
    }
}

impl<T: Clone> Drop for Leave<T> {
    fn drop(&mut self) {
        let mut board = self.board.lock();
        if let Some(seats) = board.get_mut(&self.key) {
            seats.retain(|seat| seat.number != self.number);
            if seats.is_empty() {
                board.remove(&self.key);
            }
        }
    }
}

/// The whole life of a flight.
async fn fly<T, R, F>(
    leave: Leave<T>,
    fence: Fence,
    ahead: Option<(Flight<T>, Gone)>,
    run: R,
) -> Exit<T>
where
    T: Clone + Send + Sync + 'static,
    R: FnOnce(Token) -> F + Send + 'static,
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    if let Some((flight, gone)) = ahead {
        // Drives the flight ahead, so that nothing hangs if those who are in it do not; but not once they
        // have all gone.
        let _: Exit<T> = match select(flight, gone).await {
            Either::Left((exit, _)) => exit,
            Either::Right(_) => Exit::Abandoned,
        };
    }
    let load = AssertUnwindSafe(async {
        let token = leave.depart(&fence);
        run(token).await
    });
    match load.catch_unwind().await {
        Ok(Ok(value)) => Exit::Ready(value),
        Ok(Err(error)) => Exit::Failed(error),
        Err(panic) => Exit::Panicked(panic_text(&*panic).into()),
    }
}

#[cfg(test)]
mod tests {
    use futures_executor::block_on;

    use super::*;
    use crate::{Samovar, Settings};

    #[test]
    fn one_task_drives_a_flight_however_many_leave_it() {
        let samovar = block_on(Samovar::open(Settings::default()));
        let flights: Flights<u32> = Flights::new(samovar.expect("in memory").fence().clone());
        let key = Key::new("c", "k");
        let board = || flights.board(&key, &|_| true, |_| async { Ok(7) });
        let tickets = [board(), board(), board()];
        assert_eq!(tickets.each_ref().map(Ticket::takes_wheel), [true, false, false]);
        assert_eq!(block_on(tickets[2].land()).ok(), Some(7));
        drop(tickets);
        assert!(board().takes_wheel(), "the next flight has one of its own");
    }
}
