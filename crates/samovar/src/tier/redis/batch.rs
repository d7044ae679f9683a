//! Questions that travel together, and those who wait for the answers.
//!
//! Whoever is told first may be awake, and back to sleep, before the next is told: with a channel for each that costs a
//! switch of threads an answer. So here all answers are there before anybody is woken, and whoever is awake
//! helps to wake the rest.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// Questions, and later their answers.
pub(super) struct Batch<Q, A>(Mutex<Round<Q, A>>);

struct Round<Q, A> {
    seats: Vec<Seat<Q, A>>,
    /// What has no answer by now gets none.
    is_over: bool,
    /// So many of the first have been woken.
    woken: usize,
}

/// The place of one who waits.
struct Seat<Q, A> {
    question: Option<Q>,
    answer: Option<A>,
    waker: Option<Waker>,
}

impl<Q, A> Default for Batch<Q, A> {
    fn default() -> Self {
        Batch(Mutex::new(Round { seats: Vec::new(), is_over: false, woken: 0 }))
    }
}

impl<Q, A> Batch<Q, A> {
    /// One more question, unless it has been asked already. Gives its answer, or `None` if there is none.
    pub(super) fn join(self: &Arc<Self>, question: Q) -> Waiter<Q, A> {
        let mut round = self.0.lock();
        let at = round.seats.len();
        round.seats.push(Seat { question: Some(question), answer: None, waker: None });
        Waiter { batch: Arc::clone(self), at }
    }

    pub(super) fn len(&self) -> usize {
        self.0.lock().seats.len()
    }

    /// The questions of those who still wait, and their places.
    pub(super) fn questions(&self) -> (Vec<usize>, Vec<Q>) {
        let mut round = self.0.lock();
        let seats = round.seats.iter_mut().enumerate();
        seats.filter_map(|(at, seat)| Some((at, seat.question.take()?))).unzip()
    }

    /// Tells everybody: these the answers for their places, the others that there is none.
    pub(super) fn end(&self, answers: impl IntoIterator<Item = (usize, A)>) {
        {
            let mut round = self.0.lock();
            round.is_over = true;
            for (at, answer) in answers {
                if let Some(seat) = round.seats.get_mut(at) {
                    seat.answer = Some(answer);
                }
            }
        }
        self.wake();
    }

    fn wake(&self) {
        loop {
            let waker = {
                let round = &mut *self.0.lock();
                let rest = round.seats.iter_mut().skip(round.woken);
                let found = rest.enumerate().find_map(|(at, seat)| Some((at, seat.waker.take()?)));
                round.woken += found.as_ref().map_or(round.seats.len(), |(at, _)| at + 1);
                found
            };
            // Not under the lock: who is woken may be here before this returns.
            match waker {
                Some((_, waker)) => waker.wake(),
                None => return,
            }
        }
    }
}

/// One who waits for an answer.
pub(super) struct Waiter<Q, A> {
    batch: Arc<Batch<Q, A>>,
    at: usize,
}

impl<Q, A> Future for Waiter<Q, A> {
    type Output = Option<A>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<A>> {
        let answer = {
            let mut round = self.batch.0.lock();
            let is_over = round.is_over;
            let seat = &mut round.seats[self.at];
            if !is_over {
                match &mut seat.waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    none => *none = Some(context.waker().clone()),
                }
                return Poll::Pending;
            }
            seat.answer.take()
        };
        self.batch.wake();
        Poll::Ready(answer)
    }
}

impl<Q, A> Drop for Waiter<Q, A> {
    fn drop(&mut self) {
        let mut round = self.batch.0.lock();
        let seat = &mut round.seats[self.at];
        let left = (seat.question.take(), seat.answer.take(), seat.waker.take());
        // A waker may do anything when it is dropped.
        drop(round);
        drop(left);
    }
}
