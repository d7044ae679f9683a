//! The mark log that several nodes share: a stream in Redis.
//!
//! One hash describes the log (its history of epochs, first and last number), one stream holds the marks, each under
//! its number. Every change is one script that sees both. A script that finds itself on another server than the last
//! begins an epoch: there the newest marks may be missing.
//!
//! * Looked at once a second, idle or not, and whenever something does not fit: only then is a loss seen that nobody
//!   appended after.
//! * A log that is gone (a restart without persistence, a flush, an eviction) is founded again. A node that has seen
//!   it within its lease does so at once, with its own history, so that warmth survives. Others wait for such a
//!   node first.

mod options;
mod scripts;
mod shared;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::{mpsc, oneshot};
use futures_util::future::select;
use parking_lot::Mutex;
use samovar_core::{
    BoxFuture, Clock, Error, ErrorKind, History, Mark, MarkLog, Next, Snapshot, Version,
};

use crate::background::{Tasks, closed};
use crate::redis::{Connection, RedisServers, RedisSettings};
pub use options::RedisLogOptions;
use scripts::{Keys, Scripts};
use shared::{Shared, away};

/// How long to wait after Redis has failed.
const PAUSE: Duration = Duration::from_millis(100);
/// How long closing waits for what was handed over.
const LAST: Duration = Duration::from_secs(5);

/// A mark log in Redis. Dropping it stops it without waiting; [`MarkLog::close`] waits.
///
/// The marks stand in a stream under [`RedisSettings::namespace`], and a hash beside it describes the log. Where Redis
/// may have lost the newest of them, as after a failover, the log begins an epoch, and the nodes that have seen those
/// marks send them again. A log that is gone altogether is founded again: at once by a node that has seen it within its
/// lease, else by any other after [`RedisLogOptions::margin`] more.
///
/// ```
/// use std::sync::Arc;
///
/// use samovar::fence::{RedisLog, RedisLogOptions};
/// use samovar::redis::RedisSettings;
/// use samovar::{Samovar, Settings};
/// use samovar_core::{Error, MarkLog, SystemClock};
///
/// async fn open(log: RedisLog) -> Result<Samovar, Error> {
///     Samovar::open(Settings { log: Some(Arc::new(log)), ..Settings::default() }).await
/// }
///
/// let redis = RedisSettings::standalone(["redis://cache.example"])?;
/// let options = RedisLogOptions::default();
/// // Nothing is asked of Redis yet: that begins with `open`.
/// let log = RedisLog::new(&redis, options, Arc::new(SystemClock::new()))?;
/// assert_eq!((log.lease(), log.table_every()), (Some(options.lease), Some(options.table_every)));
/// # let _ = open;
/// # Ok::<(), Error>(())
/// ```
pub struct RedisLog {
    shared: Arc<Shared>,
    requests: mpsc::UnboundedSender<Request>,
    tasks: Tasks,
}

type Reply = oneshot::Sender<Result<Option<Version>, Error>>;

struct Request {
    marks: Vec<Mark>,
    head: Option<Version>,
    reply: Reply,
}

impl RedisLog {
    /// The log under the namespace of `redis`. It connects when it is first needed, on the runtime in whose context this
    /// is called, or on one of its own.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use samovar::fence::{RedisLog, RedisLogOptions};
    /// # use samovar::redis::RedisSettings;
    /// # use samovar_core::{ErrorKind, SystemClock};
    /// # let clock = Arc::new(SystemClock::new());
    /// let redis = RedisSettings::standalone(["redis://cache.example"])?;
    /// assert!(RedisLog::new(&redis, RedisLogOptions::default(), clock.clone()).is_ok(), "nobody is asked yet");
    ///
    /// let two = RedisSettings::standalone(["redis://a.example", "redis://b.example"])?;
    /// let error = RedisLog::new(&two, RedisLogOptions::default(), clock).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Invalid, "which of the two would hold the log?");
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Invalid`] if the settings or the options cannot be, or several standalone servers are
    /// named; [`ErrorKind::Storage`] if no thread can be started.
    pub fn new(
        redis: &RedisSettings,
        options: RedisLogOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<RedisLog, Error> {
        options.check()?;
        if matches!(&redis.servers, RedisServers::Standalone(nodes) if nodes.len() > 1) {
            // Some would take another for theirs than the rest, and not hear of one another.
            let problem = "a log that is shared stands on one server, behind sentinels, or on a cluster: name one \
                           address";
            return Err(Error::new(ErrorKind::Invalid, problem));
        }
        let tasks = Tasks::new()?;
        let connection = Connection::new(redis, Arc::clone(&clock), tasks.clone())?;
        let patient = RedisSettings {
            response_timeout: redis.response_timeout + options.look_every,
            ..redis.clone()
        };
        let reading = Connection::new(&patient, Arc::clone(&clock), tasks.clone())?;
        let keys = Keys::new(&redis.namespace)?;
        let scripts = |connection| Scripts {
            connection,
            keys: keys.clone(),
            keep: options.keep,
            replicas: options.replicas,
            patience: redis.response_timeout / 2,
        };
        let leasing = scripts(Connection::new(redis, Arc::clone(&clock), tasks.clone())?);
        let scripts = scripts(connection);
        let seen = Mutex::default();
        let (sending, sent) = oneshot::channel::<()>();
        let sent = Mutex::new(Some(sent));
        let shared = Arc::new(Shared { scripts, reading, leasing, options, clock, seen, sent });
        let (requests, inbox) = mpsc::unbounded();
        let (own, inbox) = (Arc::clone(&shared), Arc::new(tokio::sync::Mutex::new(inbox)));
        tasks.keep(move || {
            let (own, inbox, _sending) = (Arc::clone(&own), Arc::clone(&inbox), &sending);
            async move { own.send(&mut *inbox.lock().await).await }
        });
        Ok(RedisLog { shared, requests, tasks })
    }
}

impl MarkLog for RedisLog {
    /// All that the log holds. Waits for a log that is gone to be founded, and founds it in the end.
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, Error>> {
        let shared = &self.shared;
        Box::pin(async move {
            loop {
                if let Some(snapshot) = shared.read_all().await.map_err(away)? {
                    return Ok(snapshot);
                }
                shared.clock.sleep(PAUSE).await;
            }
        })
    }

    fn append(
        &self,
        marks: Vec<Mark>,
        head: Option<Version>,
    ) -> BoxFuture<'static, Result<Option<Version>, Error>> {
        let (reply, answer) = oneshot::channel();
        // If the task is gone the request is dropped, and with it the reply's sender; as it is if the runtime ends under
        // the task, which then goes on elsewhere.
        let _ = self.requests.unbounded_send(Request { marks, head, reply });
        let requests = self.requests.clone();
        let dropped = move || match requests.is_closed() {
            true => closed(),
            false => Error::new(ErrorKind::Away, "redis: the runtime has ended under an append"),
        };
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(dropped())) })
    }

    fn next<'a>(&'a self, history: &'a History, after: u64) -> BoxFuture<'a, Result<Next, Error>> {
        let shared = &self.shared;
        Box::pin(async move {
            // Something did not fit: nothing that was seen before counts.
            let (mut doubt, mut doubted, mut tell) = (false, false, false);
            loop {
                // Before the look: what was seen until then is not what was asked for.
                tell |= std::mem::take(&mut shared.seen.lock().tell);
                let stand = match shared.stand().filter(|_| !doubt) {
                    Some(stand) => stand,
                    None => match shared.look(Some((history, after))).await {
                        Ok(Some(stand)) => stand,
                        Err(unread) if unread.kind() == ErrorKind::Format => return Err(unread),
                        // Founded just now, or to be waited for; or Redis is away.
                        Ok(None) | Err(_) => {
                            shared.clock.sleep(PAUSE).await;
                            continue;
                        }
                    },
                };
                doubt = false;
                if tell || stand.history != *history {
                    return Ok(Next::History(stand.history));
                }
                if stand.first > after {
                    return Ok(Next::Gap(stand.first));
                }
                let due = shared.seen.lock().there.unwrap_or_default() + shared.options.look_every;
                let wait = due.saturating_sub(shared.clock.since_boot());
                match shared.read(after, wait).await {
                    // It is there: so what was read from is another server, as a primary that is none any more.
                    Ok(marks) if marks.is_empty() && stand.last > after => {
                        if doubted {
                            shared.reading.reset();
                        }
                        (doubt, doubted) = (true, true);
                    }
                    Ok(marks) if marks.is_empty() => {}
                    Ok(marks) => {
                        let expected = (after + 1..).map(|seq| history.at(seq));
                        let fits = marks.iter().zip(expected);
                        let fitting = fits.take_while(|(m, at)| Some(m.version) == *at).count();
                        if fitting > 0 {
                            return Ok(Next::Marks(marks.into_iter().take(fitting).collect()));
                        }
                        if doubted {
                            shared.clock.sleep(PAUSE).await;
                        }
                        (doubt, doubted) = (true, true);
                    }
                    Err(unread) if unread.kind() == ErrorKind::Format => return Err(unread),
                    Err(_) => {
                        doubt = true;
                        shared.clock.sleep(PAUSE).await;
                    }
                }
            }
        })
    }

    fn lease(&self) -> Option<Duration> {
        Some(self.shared.options.lease).filter(|lease| !lease.is_zero())
    }

    fn renew(&self) -> BoxFuture<'_, Result<Version, Error>> {
        let Shared { leasing, options, .. } = &*self.shared;
        Box::pin(async move {
            let renewed = leasing.renew(&leasing.keys.node, options.lease + options.margin).await;
            let gone = || Error::new(ErrorKind::Away, "redis: the log is gone");
            renewed.map_err(away)?.ok_or_else(gone)
        })
    }

    fn table_every(&self) -> Option<Duration> {
        Some(self.shared.options.table_every)
    }

    fn leave_table<'a>(
        &'a self,
        known: &'a (dyn Fn() -> Option<Snapshot> + Send + Sync),
    ) -> BoxFuture<'a, Result<bool, Error>> {
        let Shared { scripts, options, .. } = &*self.shared;
        Box::pin(scripts.leave_table(options.table_every, known))
    }

    fn hazard(&self) -> BoxFuture<'_, Result<Option<String>, Error>> {
        let scripts = &self.shared.scripts;
        Box::pin(async move {
            Ok(scripts.evicts_all().await.map_err(away)?.map(|policy| {
                format!(
                    "redis: under its maxmemory-policy {policy} it may evict the log of invalidations itself, which costs \
                     warmth: choose noeviction, or one of volatile-*"
                )
            }))
        })
    }

    fn founded(&self) -> u64 {
        self.shared.seen.lock().founded
    }

    fn look(&self) {
        let mut seen = self.shared.seen.lock();
        seen.tell = true;
        seen.stand = None;
    }

    /// What was handed over is sent before, if Redis answers in time.
    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.requests.close_channel();
        Box::pin(async move {
            let sent = self.shared.sent.lock().take();
            if let Some(sent) = sent {
                let _ = select(sent, self.shared.clock.sleep(LAST)).await;
            }
            self.tasks.close().await;
            Ok(())
        })
    }
}

impl Drop for RedisLog {
    fn drop(&mut self) {
        self.requests.close_channel();
    }
}

impl fmt::Debug for RedisLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLog").field("seen", &*self.shared.seen.lock()).finish_non_exhaustive()
    }
}
