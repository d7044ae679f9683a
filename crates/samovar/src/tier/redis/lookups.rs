//! Lookups that come while others are under way travel together.
//!
//! A command by itself costs the client more than Redis takes to answer it. So who is alone asks at once; who is not leaves
//! the question for a task that takes all there are by the time it runs. It waits for no answer to others: the busier it
//! is, the more go together. On a cluster each asks by itself: together they would wait for the slowest node.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::redis::Value;
use futures_channel::oneshot;
use parking_lot::Mutex;
use samovar_core::Error;

use crate::background::{Tasks, closed};
use crate::redis::{Connection, Request};

/// So many go together at most: all have their answers when the last is there.
const TOGETHER: usize = 1_000;

type Answer = Result<Vec<Value>, Error>;

struct Lookup {
    request: Request,
    reply: oneshot::Sender<Answer>,
}

/// See the module.
pub(super) struct Lookups {
    connection: Connection,
    tasks: Tasks,
    is_cluster: bool,
    under_way: AtomicUsize,
    waiting: Mutex<Vec<Lookup>>,
}

/// One that is under way, until it is dropped.
struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lookups {
    pub(super) fn new(connection: Connection, tasks: Tasks, is_cluster: bool) -> Arc<Lookups> {
        let (under_way, waiting) = (AtomicUsize::new(0), Mutex::default());
        Arc::new(Lookups { connection, tasks, is_cluster, under_way, waiting })
    }

    /// The answer to a request, a value for each of its commands.
    pub(super) async fn ask(self: &Arc<Self>, request: Request) -> Answer {
        let others = self.under_way.fetch_add(1, Ordering::Relaxed);
        let _under_way = UnderWay(&self.under_way);
        if others == 0 || self.is_cluster {
            return match &request[..] {
                [command] => self.connection.one(command).await.map(|value| vec![value]),
                _ => {
                    self.connection.ask(vec![request]).await.pop().unwrap_or_else(|| Err(closed()))
                }
            };
        }
        let (reply, answer) = oneshot::channel();
        let is_first = {
            let mut waiting = self.waiting.lock();
            waiting.push(Lookup { request, reply });
            waiting.len() == 1
        };
        if is_first {
            Courier::send(self);
        }
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Those that go together next, and whether there are more.
    fn take(&self) -> (Vec<Lookup>, bool) {
        let mut waiting = self.waiting.lock();
        let many = waiting.len().min(TOGETHER);
        let rest = waiting.split_off(many);
        let more = !rest.is_empty();
        (std::mem::replace(&mut *waiting, rest), more)
    }
}

/// Takes what waits by the time it runs. Dropped before that, as when the tier is closed, it leaves nobody waiting.
struct Courier(Option<Arc<Lookups>>);

impl Courier {
    fn send(lookups: &Arc<Lookups>) {
        lookups.tasks.spawn(Courier(Some(Arc::clone(lookups))).run());
    }

    async fn run(mut self) {
        // What comes from here on is another's.
        let Some(lookups) = self.0.take() else { return };
        let (taken, more) = lookups.take();
        if more {
            Courier::send(&lookups);
        }
        let wanted = taken.into_iter().filter(|lookup| !lookup.reply.is_canceled());
        let (requests, replies): (Vec<_>, Vec<_>) =
            wanted.map(|Lookup { request, reply }| (request, reply)).unzip();
        if requests.is_empty() {
            return;
        }
        let answers = lookups.connection.ask(requests).await;
        for (reply, answer) in replies.into_iter().zip(answers) {
            // Who does not wait any more is not told.
            let _ = reply.send(answer);
        }
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        if let Some(lookups) = &self.0 {
            let left = std::mem::take(&mut *lookups.waiting.lock());
            drop(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use ::redis::cmd;
    use futures_executor::block_on;
    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use samovar_core::{ErrorKind, SystemClock};
    use samovar_testkit::redis::{Server, Setup};

    use super::*;
    use crate::redis::RedisSettings;

    fn lookups(server: &Server) -> (Arc<Lookups>, Tasks) {
        let settings = RedisSettings::standalone([server.url()]).unwrap();
        let (clock, tasks) = (Arc::new(SystemClock::new()), Tasks::new().unwrap());
        let connection = Connection::new(&settings, clock, tasks.clone()).unwrap();
        (Lookups::new(connection, tasks.clone(), false), tasks)
    }

    fn echo(text: usize) -> Request {
        let mut echo = cmd("ECHO");
        vec![echo.arg(text).take(), cmd("ECHO").arg("second").take()]
    }

    fn text(answer: &Answer) -> Option<&[u8]> {
        match &answer.as_ref().ok()?[..] {
            [Value::BulkString(text), Value::BulkString(_)] => Some(text),
            _ => None,
        }
    }

    #[test]
    fn each_is_given_its_own_answer_in_few_round_trips() {
        let server = Server::launch(&Setup::new()).unwrap();
        let (lookups, _tasks) = lookups(&server);
        assert!(block_on(lookups.ask(echo(0))).is_ok());
        // They stand still until all have asked: so they go together.
        server.pause().unwrap();
        let mut asked: Vec<_> = (0..2_500).map(|n| Box::pin(lookups.ask(echo(n)))).collect();
        assert!(asked.iter_mut().all(|asked| asked.now_or_never().is_none()));
        server.resume().unwrap();
        for (n, answer) in block_on(join_all(asked)).iter().enumerate() {
            assert_eq!(text(answer), Some(n.to_string().as_bytes()), "{n}: {answer:?}");
        }
        assert_eq!(lookups.under_way.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn who_goes_away_keeps_nobody_waiting() {
        let server = Server::launch(&Setup::new()).unwrap();
        let (lookups, _tasks) = lookups(&server);
        assert!(block_on(lookups.ask(echo(0))).is_ok());
        server.pause().unwrap();
        let mut asked: Vec<_> = (0..30).map(|n| Box::pin(lookups.ask(echo(n)))).collect();
        assert!(asked.iter_mut().all(|asked| asked.now_or_never().is_none()));
        // The first of all, the first of those that wait for others, and some more.
        let stay: Vec<_> = asked.into_iter().skip(5).collect();
        server.resume().unwrap();
        let answers = block_on(join_all(stay));
        assert!(answers.iter().all(|answer| text(answer).is_some()));
    }

    #[test]
    fn when_it_is_over_nobody_is_left_waiting() {
        let server = Server::launch(&Setup::new()).unwrap();
        let (lookups, tasks) = lookups(&server);
        assert!(block_on(lookups.ask(echo(0))).is_ok());
        server.pause().unwrap();
        let mut asked: Vec<_> = (0..30).map(|n| Box::pin(lookups.ask(echo(n)))).collect();
        assert!(asked.iter_mut().all(|asked| asked.now_or_never().is_none()));
        tasks.stop();
        let waited = asked.split_off(1);
        let late = lookups.ask(echo(99));
        for answer in
            block_on(join_all(waited.into_iter().map(|w| w.boxed()).chain([late.boxed()])))
        {
            assert_eq!(answer.unwrap_err().kind(), ErrorKind::Closed);
        }
        server.resume().unwrap();
    }
}
