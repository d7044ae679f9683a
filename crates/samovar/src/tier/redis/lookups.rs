//! What is asked of Redis about names, and how: lookups that come while others are under way travel together.
//!
//! A command by itself costs the client more than Redis takes to answer it. So who is alone asks at once; who is not leaves
//! the question for a courier, a task that asks for many by one `MGET`. Where few ask, each goes at once. Where many do
//! and Redis is near, they wait until a courier is back, or until two thirds of all that are under way wait and a second one
//! can go: so Redis and the callers work at the same time, and neither waits for every trip of the other. On a cluster
//! each asks by itself: together they would wait for the slowest node.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::redis::{Cmd, Value, cmd};
use parking_lot::Mutex;
use samovar_core::{Clock, Error, ErrorKind, Need};

use super::batch::{Batch, Waiter};
use crate::background::{Tasks, closed};
use crate::redis::{Connection, Request, plain};

/// So many go together at most: all have their answers when the last is there.
const TOGETHER: usize = 1_000;
/// Where fewer are under way each goes at once: then the time of an answer counts, not what a command costs.
const BUSY: usize = 16;
/// Where they are not, no more are called while so many couriers are out.
const COURIERS: usize = 2;
/// Who comes does not wait for a courier that has been out for longer, nor if the last one was: Redis is far, or slow.
const SOON: Duration = Duration::from_micros(500);

/// What is asked about a name.
pub(super) struct Question {
    pub(super) name: Vec<u8>,
    pub(super) need: Need,
}

/// What Redis says of a name. What it has against a command stands in its place.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) name: Vec<u8>,
    /// How long it lasts by Redis' reckoning, if that was asked.
    pub(super) left: Option<Value>,
    pub(super) frame: Value,
}

type Answer = Result<Reply, Error>;

/// See the module.
pub(super) struct Lookups {
    connection: Connection,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    is_cluster: bool,
    under_way: AtomicUsize,
    line: Mutex<Line>,
}

type Together = Arc<Batch<Question, Answer>>;

/// Those who wait for a courier, and the couriers: while anybody waits, one of them is out or called.
#[derive(Default)]
struct Line {
    /// Whoever comes joins the last, if there is room.
    batches: VecDeque<Together>,
    couriers: usize,
    /// So many of them are yet to come here.
    called: usize,
    /// When the last one was called, or left.
    left_at: Duration,
    /// How long the last one was out that came back.
    took: Duration,
}

/// One that is under way, until it is dropped.
struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn get(name: &[u8]) -> Cmd {
    cmd("GET").arg(name).take()
}

fn time_left(name: &[u8]) -> Cmd {
    cmd("PTTL").arg(name).take()
}

pub(super) fn missing() -> Error {
    Error::new(ErrorKind::Storage, "redis: an answer is missing")
}

impl Question {
    fn request(&self) -> Request {
        match self.need {
            Need::Now => vec![get(&self.name)],
            // First: should another frame be written between the two, it seems older than it is.
            Need::Later => vec![time_left(&self.name), get(&self.name)],
        }
    }

    fn answered(self, left: Option<Value>, frame: Option<Value>) -> Answer {
        Ok(Reply { name: self.name, left, frame: frame.ok_or_else(missing)? })
    }

    fn answered_by(self, answer: Result<Vec<Value>, Error>) -> Answer {
        let mut values = answer?.into_iter();
        let left = if self.need == Need::Later { values.next() } else { None };
        self.answered(left, values.next())
    }
}

impl Lookups {
    pub(super) fn new(
        connection: Connection,
        clock: Arc<dyn Clock>,
        tasks: Tasks,
        is_cluster: bool,
    ) -> Arc<Lookups> {
        let (under_way, line) = (AtomicUsize::new(0), Mutex::default());
        Arc::new(Lookups { connection, clock, tasks, is_cluster, under_way, line })
    }

    /// The answer to a question.
    pub(super) async fn ask(self: &Arc<Self>, question: Question) -> Answer {
        let others = self.under_way.fetch_add(1, Ordering::Relaxed);
        let _under_way = UnderWay(&self.under_way);
        if others == 0 || self.is_cluster {
            // Boxed, so that the many carry none of it.
            return Box::pin(self.ask_alone(question)).await;
        }
        self.board(question, others).await.unwrap_or_else(|| Err(closed()))
    }

    /// A place among those that leave next; sees to a courier.
    fn board(self: &Arc<Self>, question: Question, others: usize) -> Waiter<Question, Answer> {
        let most = share(others + 1);
        let mut line = self.line.lock();
        let place = line.join(question, most);
        if line.called >= line.batches.len() {
            return place;
        }
        let now = self.clock.elapsed();
        if others >= BUSY && line.waits(most) && !line.is_slow(now) {
            return place;
        }
        line.called += 1;
        line.couriers += 1;
        line.left_at = now;
        drop(line);
        // Not under the lock: on a runtime that is gone it ends here and now.
        self.tasks.spawn(Courier::called(self).run());
        place
    }

    /// The answers to many questions, in their order: in one round trip, on a cluster in one for each node.
    pub(super) async fn ask_many(&self, questions: Vec<Question>) -> Vec<Answer> {
        if self.is_cluster {
            let requests = questions.iter().map(Question::request).collect();
            let answers = self.connection.ask(requests).await;
            let asked = questions.into_iter().zip(answers);
            return asked.map(|(question, answer)| question.answered_by(answer)).collect();
        }
        let count = questions.len();
        self.ask_together(questions)
            .await
            .unwrap_or_else(|error| (0..count).map(|_| Err(error.clone())).collect())
    }

    /// Those who wait for a courier that failed: nobody is to wait for a Redis that hangs twice. Some may have come just
    /// now: to them it is as away as to who came just before.
    fn given_up(&self) -> VecDeque<Together> {
        let mut line = self.line.lock();
        if line.called == 0 { std::mem::take(&mut line.batches) } else { VecDeque::new() }
    }

    // No pipeline, if it is one command: most are.
    async fn ask_alone(&self, question: Question) -> Answer {
        if question.need == Need::Now {
            let frame = self.connection.one(&get(&question.name)).await?;
            return question.answered(None, Some(frame));
        }
        let answer = self.connection.ask(vec![question.request()]).await.pop();
        question.answered_by(answer.unwrap_or_else(|| Err(missing())))
    }

    async fn ask_together(&self, questions: Vec<Question>) -> Result<Vec<Answer>, Error> {
        let mut all = cmd("MGET");
        for question in &questions {
            all.arg(&question.name);
        }
        let kept = questions.iter().filter(|question| question.need == Need::Later);
        // The time first, as in a question alone.
        let mut request: Request = kept.map(|question| time_left(&question.name)).collect();
        request.push(all);
        let mut values = self.connection.ask(vec![request]).await.pop().ok_or_else(missing)??;
        let Value::Array(frames) = plain(values.pop().ok_or_else(missing)?)? else {
            return Err(missing());
        };
        let (mut frames, mut times) = (frames.into_iter(), values.into_iter());
        let answered = questions.into_iter().map(|question| {
            let left = if question.need == Need::Later { times.next() } else { None };
            question.answered(left, frames.next())
        });
        Ok(answered.collect())
    }
}

/// The error stands in place of the answers for these seats.
fn fail(batch: &Together, seats: Vec<usize>, error: &Error) {
    batch.end(seats.into_iter().map(|seat| (seat, Err(error.clone()))));
}

/// So many go together, of all that are under way. Measured: with a half, and with more than three
/// quarters, an answer takes longer (`BENCHMARKS.md`).
fn share(under_way: usize) -> usize {
    (2 * under_way / 3).clamp(BUSY, TOGETHER)
}

impl Line {
    /// Whether nobody is to be sent yet, where many are under way.
    fn waits(&self, most: usize) -> bool {
        let is_full = self.batches.front().is_some_and(|batch| batch.len() >= most);
        self.couriers >= if is_full { COURIERS } else { 1 }
    }

    fn is_slow(&self, now: Duration) -> bool {
        self.took > SOON || now.saturating_sub(self.left_at) > SOON
    }

    fn join(&mut self, question: Question, most: usize) -> Waiter<Question, Answer> {
        if let Some(batch) = self.batches.back().filter(|batch| batch.len() < most) {
            return batch.join(question);
        }
        let batch = Together::default();
        let place = batch.join(question);
        self.batches.push_back(batch);
        place
    }

    /// The next, with all who come after them if they are no more than `most`.
    fn leave(&mut self, most: usize) -> Vec<Together> {
        let mut count = 0;
        let fits = |batch: &&Together| {
            count += batch.len();
            count <= most
        };
        let fitting = self.batches.iter().take_while(fits).count();
        let next = self.batches.len().min(fitting.max(1));
        self.batches.drain(..next).collect()
    }
}

/// Asks for those who wait, as long as there are any. Dropped before that, as when the tier is closed, it leaves nobody
/// waiting.
struct Courier {
    lookups: Arc<Lookups>,
    /// It has been called, and has not come yet.
    is_called: bool,
    /// Nobody waits any more.
    is_done: bool,
    /// For whom it is out.
    batches: Vec<Together>,
}

impl Courier {
    fn called(lookups: &Arc<Lookups>) -> Courier {
        let lookups = Arc::clone(lookups);
        Courier { lookups, is_called: true, is_done: false, batches: Vec::new() }
    }

    async fn run(mut self) {
        let lookups = Arc::clone(&self.lookups);
        while self.leave() {
            let mut questions = Vec::new();
            let seats: Vec<_> =
                self.batches.iter().map(|batch| batch.questions(&mut questions)).collect();
            if questions.is_empty() {
                continue;
            }
            let left_at = lookups.clock.elapsed();
            let answers = lookups.ask_together(questions).await;
            lookups.line.lock().took = lookups.clock.elapsed().saturating_sub(left_at);
            let out = self.batches.iter().zip(seats);
            match answers {
                Ok(answers) => {
                    let mut answers = answers.into_iter();
                    out.for_each(|(batch, seats)| batch.end(seats.into_iter().zip(&mut answers)));
                }
                Err(error) => {
                    out.for_each(|(batch, seats)| fail(batch, seats, &error));
                    for batch in lookups.given_up() {
                        fail(&batch, batch.questions(&mut Vec::new()), &error);
                    }
                }
            }
        }
    }

    /// Whether anybody waits; then it leaves.
    fn leave(&mut self) -> bool {
        let most = share(self.lookups.under_way.load(Ordering::Relaxed));
        let mut line = self.lookups.line.lock();
        line.called -= usize::from(std::mem::take(&mut self.is_called));
        self.batches = line.leave(most);
        self.is_done = self.batches.is_empty();
        match self.is_done {
            true => line.couriers -= 1,
            false => line.left_at = self.lookups.clock.elapsed(),
        }
        !self.is_done
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        let left = {
            let mut line = self.lookups.line.lock();
            line.called -= usize::from(self.is_called);
            line.couriers -= 1;
            // Who else is out comes for them.
            if line.couriers == 0 { std::mem::take(&mut line.batches) } else { VecDeque::new() }
        };
        for batch in self.batches.drain(..).chain(left) {
            batch.end([]);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_executor::block_on;
    use futures_util::FutureExt;
    use futures_util::future::{BoxFuture, join_all};
    use samovar_core::{Millis, SystemClock};
    use samovar_testkit::clock::FakeClock;
    use samovar_testkit::redis::{Server, Setup};
    use tokio::runtime::{Builder, Runtime};
    use tokio::task::yield_now;

    use super::*;
    use crate::redis::RedisSettings;

    /// A server on which every other name holds its own number.
    struct Bench {
        server: Server,
        lookups: Arc<Lookups>,
        tasks: Tasks,
    }

    const NAMES: usize = 2_500;
    /// Of who is to be answered however slow the machine is.
    const PATIENCE: Duration = Duration::from_secs(20);

    impl Bench {
        fn new(response_timeout: Duration) -> Bench {
            let server = Server::launch(&Setup::new()).unwrap();
            let settings = RedisSettings::standalone([server.url()]).unwrap();
            let settings =
                RedisSettings { response_timeout, connect_timeout: PATIENCE, ..settings };
            let (clock, tasks) = (Arc::new(SystemClock::new()), Tasks::new().unwrap());
            let connection = Connection::new(&settings, clock, tasks.clone()).unwrap();
            let numbers: Vec<String> = (0..NAMES).step_by(2).map(|n| n.to_string()).collect();
            let filled = numbers.iter().flat_map(|number| [&**number; 2]);
            server.cli(&std::iter::once("MSET").chain(filled).collect::<Vec<_>>()).unwrap();
            // Redis is near, however slow the machine is.
            let still = FakeClock::at(Millis(0));
            let lookups = Lookups::new(connection, still, tasks.clone(), false);
            Bench { server, lookups, tasks }
        }

        fn ask(&self, n: usize) -> BoxFuture<'static, Answer> {
            let lookups = Arc::clone(&self.lookups);
            async move { lookups.ask(question(n)).await }.boxed()
        }

        /// They stand still until all have asked: so they go together.
        fn stalled(&self, count: usize) -> Vec<BoxFuture<'static, Answer>> {
            check(0, block_on(self.ask(0)));
            self.server.pause().unwrap();
            let mut asked: Vec<_> = (0..count).map(|n| self.ask(n)).collect();
            assert!(asked.iter_mut().all(|asked| asked.now_or_never().is_none()));
            asked
        }
    }

    /// On one thread, so that no courier runs before all have asked; with a Redis that stands still from here on.
    fn paused(response_timeout: Duration) -> (Runtime, Bench) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let bench = runtime.block_on(async { Bench::new(response_timeout) });
        check(0, runtime.block_on(bench.ask(0)));
        bench.server.pause().unwrap();
        (runtime, bench)
    }

    fn question(n: usize) -> Question {
        let need = if n.is_multiple_of(3) { Need::Later } else { Need::Now };
        Question { name: n.to_string().into_bytes(), need }
    }

    fn check(n: usize, answer: Answer) {
        let Reply { name, left, frame } = answer.unwrap();
        let number = n.to_string().into_bytes();
        let (there, time) = match n.is_multiple_of(2) {
            true => (Value::BulkString(number.clone()), -1),
            false => (Value::Nil, -2),
        };
        let time = n.is_multiple_of(3).then_some(Value::Int(time));
        assert_eq!((name, left, frame), (number, time, there));
    }

    #[test]
    fn each_is_given_its_own_answer_in_few_round_trips() {
        // On one thread: no courier runs before all have asked.
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let _context = runtime.enter();
        let bench = Bench::new(PATIENCE);
        let found = runtime.block_on(join_all((0..NAMES).map(|n| bench.ask(n))));
        found.into_iter().enumerate().for_each(|(n, found)| check(n, found));
        assert_eq!(bench.lookups.under_way.load(Ordering::Relaxed), 0);
        let questions = (0..NAMES).map(question).collect();
        let many = runtime.block_on(bench.lookups.ask_many(questions));
        assert_eq!(many.len(), NAMES);
        many.into_iter().enumerate().for_each(|(n, found)| check(n, found));
        let info = bench.server.cli(&["INFO", "commandstats"]).unwrap();
        assert!(
            info.contains("cmdstat_mget:calls=5,"),
            "four of a thousand at most, and one: {info}"
        );
    }

    #[test]
    fn where_many_ask_a_second_courier_is_sent_with_two_thirds_of_them() {
        let (runtime, bench) = paused(PATIENCE);
        let mut asked = Vec::new();
        let mut ask = |count: usize| {
            for _ in 0..count {
                let mut one = bench.ask(asked.len());
                assert!((&mut one).now_or_never().is_none());
                asked.push(one);
            }
            bench.lookups.line.lock().called
        };
        let leave = async || {
            while bench.lookups.line.lock().called > 0 {
                yield_now().await;
            }
        };
        runtime.block_on(async {
            // One by itself, and as many as go together.
            assert_eq!(ask(1 + BUSY), 1);
            leave().await;
            assert_eq!(ask(2 * BUSY - 1), 0, "they are less than two thirds");
            assert_eq!(ask(1), 1);
            leave().await;
            assert_eq!(ask(3 * BUSY), 0, "two are out");
        });
        bench.server.resume().unwrap();
        for (n, answer) in runtime.block_on(join_all(asked)).into_iter().enumerate() {
            check(n, answer);
        }
    }

    #[test]
    fn who_goes_away_keeps_nobody_waiting() {
        let bench = Bench::new(PATIENCE);
        let asked = bench.stalled(30);
        // The first of all, the first of those that wait for others, and some more.
        let stay: Vec<_> = asked.into_iter().enumerate().skip(5).collect();
        bench.server.resume().unwrap();
        stay.into_iter().for_each(|(n, asked)| check(n, block_on(asked)));
    }

    #[test]
    fn who_waits_for_what_fails_does_not_wait_again() {
        let (runtime, bench) = paused(Duration::from_millis(300));
        for answer in runtime.block_on(join_all((0..100).map(|n| bench.ask(n)))) {
            assert_eq!(answer.unwrap_err().kind(), ErrorKind::Storage);
        }
        bench.server.resume().unwrap();
        check(0, runtime.block_on(bench.ask(0)));
        let info = bench.server.cli(&["INFO", "commandstats"]).unwrap();
        assert!(info.contains("cmdstat_mget:calls=2,"), "the others were not asked for: {info}");
    }

    #[test]
    fn when_it_is_over_nobody_is_left_waiting() {
        let bench = Bench::new(PATIENCE);
        // The first asks by itself, and goes on doing so: else the last would be alone, too.
        let mut first = bench.stalled(30);
        let waited = first.split_off(1);
        bench.tasks.stop();
        let late = bench.ask(99);
        for answer in block_on(join_all(waited.into_iter().chain([late]))) {
            assert_eq!(answer.unwrap_err().kind(), ErrorKind::Closed);
        }
        bench.server.resume().unwrap();
    }
}
