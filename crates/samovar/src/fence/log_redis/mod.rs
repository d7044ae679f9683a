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
use futures_util::future::select;
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use samovar_core::{
    BoxFuture, Clock, Error, ErrorKind, History, Mark, MarkLog, Mode, Next, Numbered, Scope,
    Snapshot, Version,
};

use super::state::FLOOR;
use super::stored::{read, write};
use crate::background::{Tasks, closed};
use crate::redis::{Connection, RedisServers, RedisSettings, plain};
use scripts::{Appended, Keys, Scripts, Stand, number, read_epoch};

/// About how many marks are read at once.
const AT_ONCE: usize = 8_192;
/// About how many marks are appended at once: the server does nothing else meanwhile.
const TOGETHER: usize = 1_000;
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
    /// How many times it was founded from here.
    founded: u64,
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
    /// Sends what is handed over, in its order. What waits meanwhile goes together.
    async fn send(&self, mut inbox: mpsc::UnboundedReceiver<Request>) {
        let mut next = None;
        loop {
            let first = match next.take() {
                Some(first) => first,
                None => match inbox.next().await {
                    Some(first) => first,
                    None => return,
                },
            };
            let (mut count, head) = (first.marks.len(), first.head);
            let mut together = vec![first];
            while head.is_none() {
                match inbox.next().now_or_never().flatten() {
                    Some(more) if more.head.is_none() && count + more.marks.len() <= TOGETHER => {
                        count += more.marks.len();
                        together.push(more);
                    }
                    other => {
                        next = other;
                        break;
                    }
                }
            }
            self.send_together(together, head).await;
        }
    }

    async fn send_together(&self, together: Vec<Request>, head: Option<Version>) {
        let marks = together.iter().flat_map(|request| &request.marks);
        let outcome = match marks.map(write).collect::<Result<Vec<_>, _>>() {
            Ok(stored) => self.append(&stored, head).await,
            Err(error) => Err(error),
        };
        // Of the last first: its version is the one that came back.
        let mut after = 0;
        for Request { marks, reply, .. } in together.into_iter().rev() {
            let own = |last: Version| Version { seq: last.seq - after, ..last };
            let _ = reply.send(outcome.clone().map(|last| last.map(own)));
            after += marks.len() as u64;
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
        if let Some(stand) = self.scripts.look(known).await? {
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
            let founded = self.scripts.found(history, at).await?;
            self.seen.lock().founded += u64::from(founded);
        }
        Ok(None)
    }

    /// How the log stood when it was last looked at, if that was not long ago.
    fn stand(&self) -> Option<Stand> {
        let seen = self.seen.lock();
        let due = seen.there? + self.options.look_every;
        seen.stand.clone().filter(|_| self.clock.elapsed() < due)
    }

    /// All that the log holds; `None` if it is gone, or became another meanwhile.
    async fn read_all(&self) -> Result<Option<Snapshot>, Error> {
        let Some(Stand { history, first, mut last }) = self.look(None).await? else {
            return Ok(None);
        };
        let begins = |at: u64| history.at(at).filter(|_| at > 0).map(floor);
        let mut marks: Vec<Numbered> = begins(first).into_iter().collect();
        let mut at = first;
        while at < last {
            let before = at;
            for numbered in self.read(at, Duration::from_millis(1)).await? {
                if Some(numbered.version) != history.at(at + 1) {
                    break;
                }
                at += 1;
                marks.push(numbered);
            }
            let Some(now) = self.look(None).await?.filter(|now| now.history == history) else {
                return Ok(None);
            };
            if now.first > at {
                // That much was trimmed while this was read.
                marks.extend(begins(now.first));
                (at, last) = (now.first, last.max(now.first));
            } else if at == before {
                // What is there is read from another server, which lacks it.
                self.reading.reset();
                return Ok(None);
            }
        }
        let lost = || Error::new(ErrorKind::Format, "redis: the log has no history");
        let head = history.at(at).ok_or_else(lost)?;
        Ok(Some(Snapshot { history, marks, head, shared: true }))
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
    let mark = read(field("m")?).map_err(|unread| bad(&unread.to_string()))?;
    Ok(Numbered { version, mark })
}

/// In place of the marks that a log no longer holds.
fn floor(at: Version) -> Numbered {
    let mark = Mark {
        id: FLOOR,
        scope: Scope::Everything,
        mode: Mode::Remove,
        at: samovar_core::Millis(0),
        reason: "the log begins here".into(),
        priority: Mark::PRIORITY,
    };
    Numbered { version: at, mark }
}

impl MarkLog for RedisLog {
    /// All that the log holds. Waits for a log that is gone to be founded, and founds it in the end.
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, Error>> {
        let shared = &self.shared;
        Box::pin(async move {
            loop {
                if let Some(snapshot) = shared.read_all().await? {
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
