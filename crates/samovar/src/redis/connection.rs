//! One connection for all who need it: made when it is first needed, and anew when it is lost.
//!
//! It lives on the runtime of [`Tasks`]: the caller's own, where there is one, because to hop between runtimes
//! doubles the time of an answer. Who polls elsewhere does so in that runtime's context.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::ConnectionLike;
use ::redis::{Cmd, ErrorKind as Kind, Pipeline, RedisError, ServerErrorKind, Value};
use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{Either, Shared, join_all, select};
use parking_lot::Mutex;
use samovar_core::{Clock, Error, ErrorKind};

use super::RedisSettings;
use super::connect::{Connector, Link};
use crate::background::Tasks;
use crate::jitter::{Jitter, back_off};

/// Commands about one key, to be answered together.
pub(crate) type Request = Vec<Cmd>;

/// A connection. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Connection {
    inner: Arc<Inner>,
}

struct Inner {
    connector: Connector,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    jitter: Jitter,
    retry_min: Duration,
    retry_max: Duration,
    /// A whole attempt to connect may take so long, the sentinels' answers included.
    patience: Duration,
    /// Who asks waits for an attempt no longer than for an answer.
    response_timeout: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    link: Option<(u64, Link)>,
    /// Of the newest link.
    number: u64,
    /// Links are made on the runtime of our own: the caller's has ended.
    has_moved: bool,
    /// Resolves when the attempt that is under way has ended.
    connecting: Option<Shared<oneshot::Receiver<()>>>,
    /// Attempts that failed in a row, why the last did, and until when there is no other.
    failures: u32,
    last: Option<Error>,
    retry_at: Duration,
}

fn failed(what: &str, error: RedisError) -> Error {
    let kind = match error.kind() {
        // It will not be over by itself.
        Kind::AuthenticationFailed | Kind::InvalidClientConfig => ErrorKind::Invalid,
        _ => ErrorKind::Storage,
    };
    Error::new(kind, format!("redis: {what}")).because(error)
}

/// A value that is no refusal.
///
/// # Errors
/// What Redis has against the command.
pub(crate) fn plain(value: Value) -> Result<Value, Error> {
    value.extract_error().map_err(|error| failed("it refuses", error))
}

impl Connection {
    /// Connects when it is first needed, on the runtime of `tasks`.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Invalid`] if the settings cannot be.
    pub(crate) fn new(
        settings: &RedisSettings,
        clock: Arc<dyn Clock>,
        tasks: Tasks,
    ) -> Result<Connection, Error> {
        let connector = Connector::new(settings.clone())?;
        let inner = Inner {
            connector,
            clock,
            tasks,
            jitter: Jitter::random()?,
            retry_min: settings.retry_min,
            // Shorter than who leaves it alone waits, so that a probe is not turned away here.
            retry_max: (settings.retry_max / 4).max(settings.retry_min),
            patience: settings.connect_timeout * 4,
            response_timeout: settings.response_timeout,
            state: Mutex::default(),
        };
        Ok(Connection { inner: Arc::new(inner) })
    }

    /// The answers to requests, in their order, in one round trip; on a cluster in one for each node. An answer
    /// holds a value for each command: what Redis has against one stands in its place, for [`plain`] to see.
    pub(crate) async fn ask(&self, requests: Vec<Request>) -> Vec<Result<Vec<Value>, Error>> {
        let count = requests.len();
        let answers = match self.link().await {
            Ok((number, link)) => {
                within(&self.inner.tasks, self.ask_on(number, link, requests)).await
            }
            Err(error) => Err(error),
        };
        answers.unwrap_or_else(|error| vec![Err(error); count])
    }

    /// The answer to one command; what Redis has against it is one too.
    // Most lookups are one: so this is no pipeline.
    pub(crate) async fn one(&self, command: &Cmd) -> Result<Value, Error> {
        let (number, link) = self.link().await?;
        let is_cluster = link.is_cluster();
        let answer = async move {
            match link {
                Link::One(mut one) => one.req_packed_command(command).await,
                Link::Cluster(mut cluster) => cluster.req_packed_command(command).await,
            }
        };
        let answer = within(&self.inner.tasks, answer).await;
        answer
            .inspect(|value| self.look_at(number, is_cluster, value))
            .map_err(|error| self.judge(number, is_cluster, error))
    }

    /// Lets go of the link that there is: who asks next makes another.
    pub(crate) fn reset(&self) {
        self.inner.state.lock().link = None;
    }

    async fn ask_on(
        &self,
        number: u64,
        link: Link,
        requests: Vec<Request>,
    ) -> Result<Vec<Result<Vec<Value>, Error>>, Error> {
        let is_cluster = link.is_cluster();
        let judge = |error| self.judge(number, is_cluster, error);
        let whole = |values: Vec<Value>| {
            values.iter().for_each(|value| self.look_at(number, is_cluster, value));
            values
        };
        match link {
            Link::One(mut one) => {
                let counts: Vec<usize> = requests.iter().map(Vec::len).collect();
                let pipeline = pipeline(requests.into_iter().flatten());
                let all = counts.iter().sum();
                let values = one.req_packed_commands(&pipeline, 0, all).await.map_err(judge)?;
                if values.len() != all {
                    let problem = format!("redis: {} answers to {all} commands", values.len());
                    return Err(Error::new(ErrorKind::Storage, problem));
                }
                let mut values = values.into_iter();
                let answers = counts
                    .into_iter()
                    .map(|count| Ok(whole(values.by_ref().take(count).collect())));
                Ok(answers.collect())
            }
            // Each goes to the node of its key; those of a node travel together.
            Link::Cluster(cluster) => {
                let one = |request: Request| {
                    let mut cluster = cluster.clone();
                    async move {
                        let count = request.len();
                        let pipeline = pipeline(request);
                        cluster.req_packed_commands(&pipeline, 0, count).await
                    }
                };
                let answers = join_all(requests.into_iter().map(one)).await;
                Ok(answers.into_iter().map(|answer| answer.map_err(judge).map(whole)).collect())
            }
        }
    }

    /// What Redis has against a command may say of the link that it is of no more use.
    fn look_at(&self, number: u64, is_cluster: bool, value: &Value) {
        if let Value::ServerError(error) = value {
            self.look(number, is_cluster, &error.clone().into());
        }
    }

    fn judge(&self, number: u64, is_cluster: bool, error: RedisError) -> Error {
        self.look(number, is_cluster, &error);
        failed("it did not answer", error)
    }

    /// Lets go of a link that is of no more use.
    fn look(&self, number: u64, is_cluster: bool, error: &RedisError) {
        let useless = match (is_cluster, error.kind()) {
            // Sentinels have made it a replica: the primary is elsewhere.
            (false, Kind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)) => true,
            (false, kind) => kind == Kind::Io || error.is_unrecoverable_error(),
            // It mends itself, unless it knows no node any more.
            (true, kind) => {
                kind == Kind::ClusterConnectionNotFound || error.is_connection_dropped()
            }
        };
        let mut state = self.inner.state.lock();
        if useless && state.link.as_ref().is_some_and(|(newest, _)| *newest == number) {
            state.link = None;
        }
    }

    /// The link that there is, or the one that is being made.
    async fn link(&self) -> Result<(u64, Link), Error> {
        let mut attempt = None;
        let connecting = {
            let mut state = self.inner.state.lock();
            if self.inner.tasks.have_moved() && !state.has_moved {
                (state.link, state.has_moved) = (None, true);
                // That an attempt ended with the runtime says nothing of Redis.
                (state.failures, state.retry_at) = (0, Duration::ZERO);
            }
            if let Some(link) = &state.link {
                return Ok(link.clone());
            }
            match &state.connecting {
                Some(connecting) => connecting.clone(),
                None if self.inner.clock.elapsed() < state.retry_at => return Err(state.why()),
                None => {
                    let (done, connecting) = oneshot::channel();
                    let connecting = connecting.shared();
                    state.connecting = Some(connecting.clone());
                    attempt = Some(Attempt { inner: Arc::clone(&self.inner), _done: done });
                    connecting
                }
            }
        };
        // Not under the lock: on a runtime that is gone the attempt ends here and now.
        if let Some(attempt) = attempt {
            self.inner.tasks.spawn(attempt.run());
        }
        let patience = self.inner.clock.sleep(self.inner.response_timeout);
        if let Either::Right(_) = select(connecting, patience).await {
            return Err(Error::new(ErrorKind::Storage, "redis: it is still being connected to"));
        }
        let state = self.inner.state.lock();
        state.link.clone().ok_or_else(|| state.why())
    }
}

impl State {
    fn why(&self) -> Error {
        let nobody = || Error::new(ErrorKind::Storage, "redis: the connection was lost");
        self.last.clone().unwrap_or_else(nobody)
    }
}

/// One attempt to connect. However it ends, those who wait are told, and the next may begin in its time.
struct Attempt {
    inner: Arc<Inner>,
    _done: oneshot::Sender<()>,
}

impl Attempt {
    async fn run(self) {
        let inner = &self.inner;
        let connect = pin!(inner.connector.connect());
        let made = match select(connect, inner.clock.sleep(inner.patience)).await {
            Either::Left((made, _)) => made.map_err(|e| failed("it cannot be reached", e)),
            Either::Right(_) => {
                let problem = format!("redis: it cannot be reached within {:?}", inner.patience);
                Err(Error::new(ErrorKind::Storage, problem))
            }
        };
        let mut state = inner.state.lock();
        match made {
            Ok(link) => {
                state.number += 1;
                state.link = Some((state.number, link));
                (state.failures, state.last) = (0, None);
            }
            Err(error) => state.last = Some(error),
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let inner = &self.inner;
        let mut state = inner.state.lock();
        state.connecting = None;
        if state.link.is_none() {
            let wait = back_off(inner.retry_min, inner.retry_max, state.failures);
            let wait = inner.jitter.spread(wait, 0.2);
            state.failures = state.failures.saturating_add(1);
            state.retry_at = inner.clock.elapsed() + wait;
        }
    }
}

fn pipeline(commands: impl IntoIterator<Item = Cmd>) -> Pipeline {
    let mut pipeline = Pipeline::new();
    for command in commands {
        pipeline.add_command(command);
    }
    pipeline
}

/// Polls a future in the context of the runtime of tasks, wherever that happens.
async fn within<F: Future>(tasks: &Tasks, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        let _entered = tasks.runtime().enter();
        future.as_mut().poll(context)
    })
    .await
}
