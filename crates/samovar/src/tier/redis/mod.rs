//! The Redis tier: values as frames (`docs/frame.md`) under names that people can read.
//!
//! What is put waits in a queue, where `get` finds it, until Redis has answered. One task writes, in batches; a lookup
//! is one round trip, and so is a lookup of many (on a cluster one for each node).
//!
//! It judges nothing: an older frame that arrives late is written all the same, and refused by every reader. So no
//! lock, lease or script is needed. It does not know what Redis holds, and so its [`Tier::usage`] is empty: ask Redis.

mod batch;
mod life;
mod lookups;
mod names;
mod queue;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ::redis::Value;
use bytes::Bytes;
use futures_channel::oneshot;
use parking_lot::Mutex;
use samovar_core::{BoxFuture, Clock, Entry, Error, Got, Key, Need, Tier, TierName, Usage};
use tokio::sync::Notify;

use crate::background::{Tasks, closed};
use crate::codec::{FrameError, Payload, read_entry};
use crate::counters::{Counted, Counters};
use crate::redis::{Connection, RedisServers, RedisSettings, plain};
use crate::settings::LowerTier;
use lookups::{Lookups, Question, Reply, missing};
use queue::{Queue, Taken, Waiting};

/// What others who ask the same Redis share with the tier: its connection, and what names begin with.
pub(crate) type Shares = (Connection, String);

/// The tier as one of a stack.
///
/// # Errors
/// Of kind [`samovar_core::ErrorKind::Invalid`] if the settings cannot be.
pub(crate) fn open(
    settings: &RedisSettings,
    clock: &Arc<dyn Clock>,
    counters: &Arc<Counters>,
    tasks: Tasks,
) -> Result<(LowerTier, Shares), Error> {
    let (clock, counters) = (Arc::clone(clock), Arc::clone(counters));
    let tier = RedisTier::on(settings, clock, counters, tasks)?;
    let shares = (tier.shared.connection.clone(), settings.namespace.clone());
    Ok((Arc::new(tier), shares))
}

/// Entries in Redis, each as a [`crate::codec::Frame`]. Dropping it stops it without waiting; [`Tier::close`] waits for
/// what is queued.
///
/// For who writes or tests tiers: users say [`crate::Settings::redis`], which leaves a Redis alone for a while when it
/// fails or is slow. This one does not.
///
/// ```
/// use std::sync::Arc;
///
/// use samovar::redis::RedisSettings;
/// use samovar::tier::RedisTier;
/// use samovar_core::{SystemClock, Tier, TierName, Usage};
///
/// // It connects when it is first asked, or handed something.
/// let redis = RedisSettings::standalone(["redis://cache.example"])?;
/// let tier = RedisTier::new(&redis, Arc::new(SystemClock::new()), Arc::default())?;
/// assert_eq!(tier.name(), TierName::Redis);
/// assert_eq!(tier.usage(), Usage::default(), "what Redis holds is for Redis to say");
/// # Ok::<(), samovar_core::Error>(())
/// ```
pub struct RedisTier {
    shared: Arc<Shared>,
    tasks: Tasks,
}

struct Shared {
    connection: Connection,
    lookups: Arc<Lookups>,
    namespace: String,
    queue: Mutex<Queue>,
    /// Something waits to be written.
    wake: Notify,
    /// What failed since it was last told to somebody who flushed.
    unsaid: Mutex<Option<Error>>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    /// What was found and is no frame of ours is said once: damaged, foreign, newer.
    said: [AtomicBool; 3],
}

impl RedisTier {
    /// A tier that connects when it is first needed, on the runtime in whose context this is called, or on one of its
    /// own. A Redis that is away is no error here.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use samovar::redis::RedisSettings;
    /// # use samovar::tier::RedisTier;
    /// # use samovar_core::{ErrorKind, SystemClock};
    /// # let clock = Arc::new(SystemClock::new());
    /// let redis = RedisSettings::standalone(["redis://cache.example"])?;
    /// assert!(RedisTier::new(&redis, clock.clone(), Arc::default()).is_ok(), "nobody is asked yet");
    ///
    /// let wrong = RedisSettings { failures_max: 0, ..redis };
    /// let error = RedisTier::new(&wrong, clock, Arc::default()).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Invalid);
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Invalid`](samovar_core::ErrorKind::Invalid) if the settings cannot be,
    /// [`ErrorKind::Storage`](samovar_core::ErrorKind::Storage) if no thread can be started.
    pub fn new(
        settings: &RedisSettings,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
    ) -> Result<RedisTier, Error> {
        RedisTier::on(settings, clock, counters, Tasks::new()?)
    }

    /// The same on the runtime of `tasks`, which it closes with itself.
    pub(crate) fn on(
        settings: &RedisSettings,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
        tasks: Tasks,
    ) -> Result<RedisTier, Error> {
        let connection = Connection::new(settings, Arc::clone(&clock), tasks.clone())?;
        let is_cluster = matches!(settings.servers, RedisServers::Cluster(_));
        let shared = Arc::new(Shared {
            lookups: Lookups::new(
                connection.clone(),
                Arc::clone(&clock),
                tasks.clone(),
                is_cluster,
            ),
            connection,
            namespace: settings.namespace.clone(),
            queue: Mutex::new(Queue::new(settings.queue_bytes)),
            wake: Notify::new(),
            unsaid: Mutex::default(),
            clock,
            counters,
            said: Default::default(),
        });
        writer::start(&tasks, Arc::clone(&shared));
        Ok(RedisTier { shared, tasks })
    }
}

impl Drop for RedisTier {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

impl Shared {
    fn say(&self, text: impl Into<Arc<str>>) {
        self.counters.say(self.clock.now(), text);
    }

    fn name(&self, key: &Key) -> Vec<u8> {
        names::name(&self.namespace, key)
    }

    fn waiting(&self, key: &Key) -> Option<Option<Entry<Payload>>> {
        match self.queue.lock().get(key)? {
            Waiting::Put(entry) => Some(Some(entry.clone())),
            Waiting::Removed => Some(None),
        }
    }

    fn question(&self, key: &Key, need: Need) -> Question {
        Question { name: self.name(key), need }
    }

    fn understand(&self, key: &Key, answer: Result<Reply, Error>) -> Got<Payload> {
        let Reply { name, left, frame } = answer?;
        let left = left.map(plain).transpose()?;
        let frame = match frame {
            Value::Nil => return Ok(None),
            Value::BulkString(bytes) => Bytes::from(bytes),
            // A list, a hash: somebody else's.
            Value::ServerError(error) if error.code() == "WRONGTYPE" => {
                return Ok(self.unreadable(key, FrameError::Foreign));
            }
            other => {
                plain(other)?;
                return Ok(self.unreadable(key, FrameError::Foreign));
            }
        };
        let entry = match read_entry(&name, &frame) {
            Ok(entry) => entry,
            Err(error) => return Ok(self.unreadable(key, error)),
        };
        let now = self.clock.now();
        Ok(match left {
            None if entry.lifetime.stale_window.is_zero() => Some(life::present(entry, now)),
            None => Some(entry),
            Some(Value::Int(left @ 0..)) => {
                let left = std::time::Duration::from_millis(left.unsigned_abs());
                Some(life::reckoned(entry, left, now))
            }
            // Without an end: somebody took it away. The frame has its own.
            Some(Value::Int(-1)) => Some(entry),
            // It came just now, and how long it lasts is not known.
            Some(_) => None,
        })
    }

    /// What is no frame of ours counts as absent.
    fn unreadable(&self, key: &Key, error: FrameError) -> Option<Entry<Payload>> {
        self.counters.count(Counted::Damaged, 1);
        let kind = match error {
            FrameError::Foreign => 1,
            FrameError::Newer { .. } => 2,
            _ => 0,
        };
        if !self.said[kind].swap(true, Ordering::Relaxed) {
            self.say(format!(
                "what Redis holds for {key} is passed over, as will be others: {error}"
            ));
        }
        None
    }
}

impl Tier for RedisTier {
    type Value = Payload;

    fn name(&self) -> TierName {
        TierName::Redis
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Got<Payload>> {
        self.get_for(key, Need::Later)
    }

    fn get_for<'a>(&'a self, key: &'a Key, need: Need) -> BoxFuture<'a, Got<Payload>> {
        Box::pin(async move {
            match self.shared.waiting(key) {
                Some(waiting) => Ok(waiting),
                None => {
                    let answer = self.shared.lookups.ask(self.shared.question(key, need)).await;
                    self.shared.understand(key, answer)
                }
            }
        })
    }

    fn get_many<'a>(&'a self, keys: &'a [Key], need: Need) -> BoxFuture<'a, Vec<Got<Payload>>> {
        Box::pin(async move {
            let waiting: Vec<_> = keys.iter().map(|key| self.shared.waiting(key)).collect();
            let asked = keys.iter().zip(&waiting).filter(|(_, waiting)| waiting.is_none());
            let questions: Vec<_> = asked.map(|(key, _)| self.shared.question(key, need)).collect();
            let answers = match questions.is_empty() {
                true => Vec::new(),
                false => self.shared.lookups.ask_many(questions).await,
            };
            let mut answers = answers.into_iter();
            let found = keys.iter().zip(waiting).map(|(key, waiting)| match waiting {
                Some(waiting) => Ok(waiting),
                None => {
                    self.shared.understand(key, answers.next().unwrap_or_else(|| Err(missing())))
                }
            });
            found.collect()
        })
    }

    fn waiting(&self, key: &Key) -> Option<Option<Entry<Payload>>> {
        self.shared.waiting(key)
    }

    fn written<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, ()> {
        let barrier = self.shared.queue.lock().barrier(key);
        self.shared.wake.notify_one();
        Box::pin(async move {
            if let Some(barrier) = barrier {
                let _ = barrier.await;
            }
        })
    }

    fn put(&self, key: &Key, entry: Entry<Payload>) {
        if self.shared.queue.lock().put(key, entry) == Taken::TurnedDown {
            self.shared.counters.count(Counted::FillDropped, 1);
        }
        self.shared.wake.notify_one();
    }

    fn remove<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool, Error>> {
        let (reply, answer) = oneshot::channel();
        let waited = {
            let mut queue = self.shared.queue.lock();
            let waited = match queue.get(key) {
                Some(Waiting::Put(_)) => true,
                Some(Waiting::Removed) => return Box::pin(std::future::ready(Ok(false))),
                None => false,
            };
            queue.remove(key, reply);
            waited
        };
        self.shared.wake.notify_one();
        Box::pin(async move { Ok(answer.await.unwrap_or_else(|_| Err(closed()))? || waited) })
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), Error>> {
        let (reply, answer) = oneshot::channel();
        self.shared.queue.lock().flush(reply);
        self.shared.wake.notify_one();
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(closed())) })
    }

    fn room(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            loop {
                let wait = {
                    let mut queue = self.shared.queue.lock();
                    if queue.is_over() {
                        return Err(closed());
                    }
                    queue.room()
                };
                match wait {
                    None => return Ok(()),
                    Some(wait) => drop(wait.await),
                }
            }
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let written = self.flush().await;
            self.tasks.close().await;
            written
        })
    }

    /// Nothing: what Redis holds, for this process and for others, is for Redis to say (`INFO memory`).
    fn usage(&self) -> Usage {
        Usage::default()
    }
}

impl fmt::Debug for RedisTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTier")
            .field("namespace", &self.shared.namespace)
            .finish_non_exhaustive()
    }
}
