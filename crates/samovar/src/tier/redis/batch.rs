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
    /// One more question, before they are asked. Gives its answer, or `None` if it gets none.
    pub(super) fn join(self: &Arc<Self>, question: Q) -> Waiter<Q, A> {
        let mut round = self.0.lock();
        let at = round.seats.len();
        round.seats.push(Seat { question: Some(question), answer: None, waker: None });
        Waiter { batch: Arc::clone(self), at }
    }

    pub(super) fn len(&self) -> usize {
        self.0.lock().seats.len()
    }

    /// Adds the questions of those who still wait; gives their places.
    pub(super) fn questions(&self, to: &mut Vec<Q>) -> Vec<usize> {
        let mut round = self.0.lock();
        let mut places = Vec::with_capacity(round.seats.len());
        for (at, seat) in round.seats.iter_mut().enumerate() {
            if let Some(question) = seat.question.take() {
                to.push(question);
                places.push(at);
            }
        }
        places
    }

    /// Tells everybody: these the answers for their places, the others that there is none.
    ///
    /// Once more it does no harm: whoever has not been woken is.
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
                match &found {
                    Some((at, _)) => round.woken += at + 1,
                    None => round.woken = round.seats.len(),
                }
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
                let before = seat.waker.replace(context.waker().clone());
                // Not under the lock: a waker may do anything when it is dropped.
                drop(round);
                drop(before);
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
        drop(round);
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use futures_util::FutureExt;
    use proptest::prelude::*;

    use super::*;

    type Numbers = Batch<usize, usize>;

    /// Answers of ten times the questions.
    fn answer(batch: &Numbers) {
        let mut questions = Vec::new();
        let places = batch.questions(&mut questions);
        batch.end(places.into_iter().zip(questions.into_iter().map(|question| 10 * question)));
    }

    /// Who polls as soon as it is woken, before whoever woke it goes on.
    struct Eager {
        waiter: Mutex<Option<Waiter<usize, usize>>>,
        told: Mutex<Option<Option<usize>>>,
        woken: AtomicUsize,
        others: Mutex<Vec<Arc<Eager>>>,
        /// How many of the others had been told when this one had polled.
        told_by_then: Mutex<Option<usize>>,
    }

    impl Eager {
        fn joining(batch: &Arc<Numbers>, question: usize) -> Arc<Eager> {
            let waiter = Mutex::new(Some(batch.join(question)));
            let eager = Arc::new(Eager {
                waiter,
                told: Mutex::default(),
                woken: AtomicUsize::new(0),
                others: Mutex::default(),
                told_by_then: Mutex::default(),
            });
            eager.poll();
            eager
        }

        fn poll(self: &Arc<Self>) {
            let waker = Waker::from(Arc::clone(self));
            let taken = self.waiter.lock().take();
            if let Some(mut waiter) = taken {
                match waiter.poll_unpin(&mut Context::from_waker(&waker)) {
                    Poll::Ready(told) => *self.told.lock() = Some(told),
                    Poll::Pending => *self.waiter.lock() = Some(waiter),
                }
            }
        }
    }

    impl Wake for Eager {
        fn wake(self: Arc<Self>) {
            self.woken.fetch_add(1, Ordering::Relaxed);
            self.poll();
            let told =
                self.others.lock().iter().filter(|other| other.told.lock().is_some()).count();
            self.told_by_then.lock().get_or_insert(told);
        }
    }

    #[test]
    fn whoever_is_awake_wakes_the_rest() {
        let batch = Arc::<Numbers>::default();
        let all: Vec<_> = (0..10).map(|n| Eager::joining(&batch, n)).collect();
        *all[0].others.lock() = all[1..].to_vec();
        answer(&batch);
        for (n, eager) in all.iter().enumerate() {
            assert_eq!(*eager.told.lock(), Some(Some(10 * n)));
            assert_eq!(eager.woken.load(Ordering::Relaxed), 1);
        }
        assert_eq!(*all[0].told_by_then.lock(), Some(9), "before who woke it went on");
        all[0].others.lock().clear();
    }

    #[test]
    fn who_changes_its_task_is_woken_there() {
        let batch = Arc::<Numbers>::default();
        let (mut waiter, other) = (batch.join(7), Eager::joining(&batch, 8));
        assert_eq!((&mut waiter).now_or_never(), None);
        let waker = Waker::from(Arc::clone(&other));
        assert!(waiter.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
        answer(&batch);
        assert_eq!(other.woken.load(Ordering::Relaxed), 2, "for both");
        assert_eq!(waiter.now_or_never(), Some(Some(70)));
    }

    #[derive(Clone, Copy, Debug)]
    enum Act {
        Join,
        Poll(usize),
        Leave(usize),
        Ask,
        End,
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => Just(Act::Join),
            3 => (0..8_usize).prop_map(Act::Poll),
            2 => (0..8_usize).prop_map(Act::Leave),
            1 => Just(Act::Ask),
            1 => Just(Act::End),
        ]
    }

    proptest! {
        #[test]
        fn each_is_told_what_was_answered_for_it(acts in prop::collection::vec(act(), 1..40)) {
            let batch = Arc::<Numbers>::default();
            let mut waiters: Vec<Option<Waiter<usize, usize>>> = Vec::new();
            // What each has been asked for, and whether it is over.
            let mut asked: Vec<(usize, usize)> = Vec::new();
            let mut is_asked: Vec<bool> = Vec::new();
            let mut is_over = false;
            for act in acts {
                match act {
                    Act::Join if !is_over => {
                        waiters.push(Some(batch.join(waiters.len())));
                        is_asked.push(false);
                    }
                    Act::Poll(at) => {
                        let Some(waiter) = waiters.get_mut(at) else { continue };
                        let Some(told) = waiter.as_mut().map(FutureExt::now_or_never) else {
                            continue;
                        };
                        let expected = is_over.then(|| is_asked[at].then_some(10 * at));
                        prop_assert_eq!(told, expected);
                        if is_over {
                            *waiter = None;
                        }
                    }
                    Act::Leave(at) => {
                        if let Some(waiter) = waiters.get_mut(at) {
                            *waiter = None;
                        }
                    }
                    Act::Ask if !is_over => {
                        let mut questions = Vec::new();
                        let places = batch.questions(&mut questions);
                        let waiting: Vec<usize> = (0..waiters.len())
                            .filter(|at| waiters[*at].is_some() && !is_asked[*at])
                            .collect();
                        prop_assert_eq!(&questions, &waiting);
                        waiting.iter().for_each(|at| is_asked[*at] = true);
                        asked.extend(places.into_iter().zip(questions));
                    }
                    Act::End if !is_over => {
                        is_over = true;
                        batch.end(asked.drain(..).map(|(place, question)| (place, 10 * question)));
                    }
                    _ => {}
                }
            }
        }
    }
}
