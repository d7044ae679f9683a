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

mod scripts;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{Value, cmd, from_redis_value};
use futures_channel::{mpsc, oneshot};
use futures_util::StreamExt;
use futures_util::future::select;
use parking_lot::Mutex;
use samovar_core::{
    BoxFuture, Clock, Error, ErrorKind, History, Mark, MarkId, MarkLog, Mode, Next, Numbered,
    Scope, Snapshot, Version,
};

use crate::background::{Tasks, closed};
use crate::redis::{Connection, RedisServers, RedisSettings, plain};
use scripts::{Appended, Keys, Scripts, Stand, number, read_epoch};

/// The first byte of a stored mark: how the rest is written.
const FORMAT: u8 = 1;
/// About how many marks are read at once.
const AT_ONCE: usize = 8_192;
/// How long to wait after Redis has failed.
const PAUSE: Duration = Duration::from_millis(100);
/// How long closing waits for what was handed over.
const LAST: Duration = Duration::from_secs(5);

/// How a log over Redis behaves.
///
/// ```
/// # use samovar::fence::RedisLogOptions;
/// # use std::time::Duration;
/// let options = RedisLogOptions { keep: 1_000_000, ..RedisLogOptions::default() };
/// assert_eq!(options.lease, Duration::from_secs(5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedisLogOptions {
    /// About how many marks it holds; about 40 bytes of Redis' memory each. A node that was away for longer takes
    /// everything for invalidated.
    pub keep: u64,
    /// It is looked at so often.
    pub look_every: Duration,
    /// A node that has seen the log within this time knows what its newest marks were.
    pub lease: Duration,
    /// Others wait so much longer than the lease before they found a log that is gone.
    pub margin: Duration,
}

impl Default for RedisLogOptions {
    fn default() -> Self {
        RedisLogOptions {
            keep: 500_000,
            look_every: Duration::from_secs(1),
            lease: Duration::from_secs(5),
            margin: Duration::from_secs(1),
        }
    }
}

impl RedisLogOptions {
    fn check(&self) -> Result<(), Error> {
        let wrong = |text: &str| Err(Error::new(ErrorKind::Invalid, text));
        if self.keep < 1_000 {
            return wrong("the log's keep is at least 1,000 marks");
        }
        if self.look_every < Duration::from_millis(10) {
            return wrong("the log's look_every is at least 10 ms");
        }
        Ok(())
    }
}

/// A mark log in Redis. Dropping it stops it without waiting; [`MarkLog::close`] waits.
///
/// What stands where, and what happens when Redis loses something, is in `docs/nodes.md`.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use samovar::fence::{RedisLog, RedisLogOptions};
/// use samovar::redis::RedisSettings;
/// use samovar::{Samovar, Settings};
/// use samovar_core::SystemClock;
///
/// # async fn open() -> Result<(), samovar_core::Error> {
/// let redis = RedisSettings::standalone(["redis://cache.example"])?;
/// let clock = Arc::new(SystemClock::new());
/// let log = RedisLog::new(&redis, RedisLogOptions::default(), clock)?;
/// let samovar = Samovar::open(Settings { log: Some(Arc::new(log)), ..Settings::default() }).await?;
/// # Ok(())
/// # }
/// ```
pub struct RedisLog {
    shared: Arc<Shared>,
    requests: mpsc::UnboundedSender<Request>,
    tasks: Tasks,
}

struct Shared {
    scripts: Scripts,
    /// For what waits on the server, which would keep others waiting on its connection.
    reading: Connection,
    options: RedisLogOptions,
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
    /// Ends with the task that sends.
    sent: Mutex<Option<oneshot::Receiver<()>>>,
}

/// When the log was looked at.
#[derive(Debug, Default)]
struct Seen {
    stand: Option<Stand>,
    /// When the look began that found it there.
    there: Option<Duration>,
    /// Since when it has been found gone.
    gone: Option<Duration>,
    /// Its history is to be told, whatever it is.
    tell: bool,
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
    /// # Errors
    /// Of kind [`ErrorKind::Invalid`] if the settings cannot be.
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
        let keys = Keys::new(&redis.namespace);
        let scripts = Scripts { connection, keys, keep: options.keep };
        let seen = Mutex::default();
        let (sending, sent) = oneshot::channel::<()>();
        let sent = Mutex::new(Some(sent));
        let shared = Arc::new(Shared { scripts, reading, options, clock, seen, sent });
        let (requests, inbox) = mpsc::unbounded();
        let own = Arc::clone(&shared);
        tasks.spawn(async move {
            let _sending = sending;
            own.send(inbox).await;
        });
        Ok(RedisLog { shared, requests, tasks })
    }
}

impl Shared {
    /// Sends what is handed over, in its order.
    async fn send(&self, mut inbox: mpsc::UnboundedReceiver<Request>) {
        while let Some(Request { marks, head, reply }) = inbox.next().await {
            let outcome = match marks.iter().map(write).collect::<Result<Vec<_>, _>>() {
                Ok(stored) => self.append(&stored, head).await,
                Err(error) => Err(error),
            };
            let _ = reply.send(outcome);
        }
    }

    async fn append(
        &self,
        marks: &[Vec<u8>],
        head: Option<Version>,
    ) -> Result<Option<Version>, Error> {
        match self.scripts.append(marks, head).await? {
            Appended::At(version) => Ok(Some(version)),
            Appended::GoneOn => Ok(None),
            Appended::NoLog => {
                // Whoever reads finds that too, and founds it again.
                self.seen.lock().stand = None;
                Err(Error::new(ErrorKind::Storage, "redis: the log is gone and not founded yet"))
            }
        }
    }

    /// Looks at the log. `None` if it is gone: then it is founded from here, if that is for this node to do.
    async fn look(&self, known: Option<(&History, u64)>) -> Result<Option<Stand>, Error> {
        let began = self.clock.elapsed();
        if let Some(stand) = self.scripts.look().await? {
            let mut seen = self.seen.lock();
            seen.there = Some(began);
            seen.gone = None;
            seen.stand = Some(stand.clone());
            return Ok(Some(stand));
        }
        let may_found = {
            let mut seen = self.seen.lock();
            seen.stand = None;
            let RedisLogOptions { lease, margin, .. } = self.options;
            let knows = seen.there.is_some_and(|there| began < there + lease);
            let gone = *seen.gone.get_or_insert(began);
            (knows && known.is_some()) || began >= gone + lease + margin
        };
        if may_found {
            let (history, at) = known.map_or((None, 0), |(history, at)| (Some(history), at));
            self.scripts.found(history, at).await?;
        }
        Ok(None)
    }

    /// How the log stood when it was last looked at, if that was not long ago.
    fn stand(&self) -> Option<Stand> {
        let seen = self.seen.lock();
        let due = seen.there? + self.options.look_every;
        seen.stand.clone().filter(|_| self.clock.elapsed() < due)
    }

    /// The marks after a number, as they lie in the stream; waits for the first up to `wait`.
    async fn read(&self, after: u64, wait: Duration) -> Result<Vec<Numbered>, Error> {
        let mut command = cmd("XREAD");
        command.arg("COUNT").arg(AT_ONCE);
        // 0 would wait for ever.
        command.arg("BLOCK").arg(wait.as_millis().max(1) as u64);
        command.arg("STREAMS").arg(&self.scripts.keys.stream).arg(format!("{after}-0"));
        let answer = plain(self.reading.one(command).await?)?;
        type Fields = Vec<(String, Vec<u8>)>;
        type Streams = Option<Vec<(String, Vec<(String, Fields)>)>>;
        if answer == Value::Nil {
            return Ok(Vec::new());
        }
        let streams: Streams = from_redis_value(answer).map_err(|e| {
            Error::new(ErrorKind::Format, "redis: what stands in the log's stream is no mark")
                .because(e)
        })?;
        let entries = streams.into_iter().flatten().flat_map(|(_, entries)| entries);
        let mut marks = Vec::new();
        for (id, fields) in entries {
            match stored(&id, &fields) {
                Ok(numbered) => marks.push(numbered),
                Err(unread) if marks.is_empty() => return Err(unread),
                // What came before it is applied; it is met again.
                Err(_) => break,
            }
        }
        Ok(marks)
    }
}

/// A mark as it lies in the stream.
fn stored(id: &str, fields: &[(String, Vec<u8>)]) -> Result<Numbered, Error> {
    let bad =
        |what: &str| Error::new(ErrorKind::Format, format!("redis: the log's entry {id} {what}"));
    let seq = number(id.split('-').next().unwrap_or_default())?;
    let field = |name: &str| {
        let found = fields.iter().find(|(of, _)| of == name);
        found.map(|(_, value)| value.as_slice()).ok_or_else(|| bad("lacks a field"))
    };
    let epoch = std::str::from_utf8(field("e")?).map_err(|_| bad("has no epoch"))?;
    let version = Version { epoch: read_epoch(epoch)?, seq };
    match field("m")?.split_first() {
        Some((&FORMAT, rest)) => {
            let mark = postcard::from_bytes(rest).map_err(|e| bad("is damaged").because(e))?;
            Ok(Numbered { version, mark })
        }
        _ => Err(bad("is of a format that this version does not know")),
    }
}

fn write(mark: &Mark) -> Result<Vec<u8>, Error> {
    postcard::to_extend(mark, vec![FORMAT])
        .map_err(|e| Error::new(ErrorKind::Format, "a mark cannot be written").because(e))
}

/// In place of the marks that a log no longer holds.
fn floor(at: Version) -> Numbered {
    let mark = Mark {
        id: MarkId(0),
        scope: Scope::Everything,
        mode: Mode::Remove,
        at: samovar_core::Millis(0),
        reason: "the log begins here".into(),
    };
    Numbered { version: at, mark }
}

impl MarkLog for RedisLog {
    /// All that the log holds. Waits for a log that is gone to be founded, and founds it in the end.
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, Error>> {
        let shared = &self.shared;
        Box::pin(async move {
            'anew: loop {
                let Some(Stand { history, first, last }) = shared.look(None).await? else {
                    shared.clock.sleep(PAUSE).await;
                    continue;
                };
                let mut marks: Vec<Numbered> =
                    history.at(first).filter(|_| first > 0).map(floor).into_iter().collect();
                let mut at = first;
                while at < last {
                    let read = shared.read(at, Duration::from_millis(1)).await?;
                    for numbered in read {
                        if Some(numbered.version) != history.at(at + 1) {
                            continue 'anew;
                        }
                        at += 1;
                        marks.push(numbered);
                    }
                    if shared.look(None).await?.is_none_or(|now| now.history != history) {
                        continue 'anew;
                    }
                }
                let lost = || Error::new(ErrorKind::Format, "redis: the log has no history");
                let head = history.at(at).ok_or_else(lost)?;
                return Ok(Snapshot { history, marks, head, shared: true });
            }
        })
    }

    fn append(
        &self,
        marks: Vec<Mark>,
        head: Option<Version>,
    ) -> BoxFuture<'static, Result<Option<Version>, Error>> {
        let (reply, answer) = oneshot::channel();
        // If the task is gone the request is dropped, and with it the reply's sender.
        let _ = self.requests.unbounded_send(Request { marks, head, reply });
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(closed())) })
    }

    fn next<'a>(&'a self, history: &'a History, after: u64) -> BoxFuture<'a, Result<Next, Error>> {
        let shared = &self.shared;
        Box::pin(async move {
            // Something did not fit: nothing that was seen before counts.
            let (mut doubt, mut doubted) = (false, false);
            loop {
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
                let tell = std::mem::take(&mut shared.seen.lock().tell);
                if tell || stand.history != *history {
                    return Ok(Next::History(stand.history));
                }
                if stand.first > after {
                    return Ok(Next::Gap(stand.first));
                }
                let due = shared.seen.lock().there.unwrap_or_default() + shared.options.look_every;
                let wait = due.saturating_sub(shared.clock.elapsed());
                match shared.read(after, wait).await {
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
