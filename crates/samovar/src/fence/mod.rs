//! The fence: fills are not trusted, reads decide.
//!
//! An entry bears the stamp of when its read of the source began, and every read asks the [`Fence`] whether a mark
//! after that covers it. Most programs have no use for this module: a cache asks by itself. It is for who wants to
//! watch ([`Fence::pending`], [`Fence::standing`]), has flights or tiers of their own, or chooses a mark log:
//! [`LocalLog`], where marks become durable on a single node and which is the default, or `RedisLog` (cargo feature
//! `redis`), which several nodes share.
//!
//! ```
//! use samovar::{CachePolicy, Samovar, Settings};
//! use samovar_core::{Key, Mode, Scope};
//!
//! # futures_executor::block_on(async {
//! let samovar = Samovar::open(Settings::default()).await?;
//! let prices = samovar.cache::<String>(CachePolicy::named("prices"));
//! prices.get_or_load("42", |_token| async { Ok("4.99".to_owned()) }).await?;
//!
//! let tick = samovar.fence().tick();
//! samovar.mark(vec![Scope::Key(Key::new("prices", "42"))], Mode::Remove, "price_changed").await?;
//! assert!(samovar.fence().tick() > tick, "the mark has acted");
//! assert!(prices.peek("42").is_none(), "so what memory holds is refused");
//! # Ok::<(), samovar_core::Error>(())
//! # }).unwrap();
//! ```
//!
//! # Forgetting
//!
//! A scope that was marked takes about 200 bytes here. Beyond [`crate::Settings::marks_max`] of them the oldest are
//! forgotten, each widened to a `remove` over all that it could have covered. What was read before that is refused;
//! what memory has found clean since is newer by its tick, and what lies on disk is newer by the version up to which
//! the disk was swept. So a mark is not forgotten before the disk says that it was swept of it, up to twice as many
//! marks.
//!
//! The log forgets by the same rule at twice as many: it stores the wider `remove` in place of what it forgot, so
//! a restart knows of it. A restart that finds more in the log than was remembered here is only warmer for it.
//!
//! # Ticks
//!
//! A *tick* counts the marks that have acted in this process. A mark acts once: when it is accepted here, and
//! is then pending; or when the log yields it, if it came from elsewhere. When a pending mark comes back with its
//! number it keeps the tick at which it acted. That is right, because what decides is when the *source* was
//! read: what took its token after the mark acted here read the source after the mark was accepted, so after
//! the commit that the mark tells of. The number adds nothing to that. An entry that was promoted from below in the
//! meantime was judged there with the mark pending, which refuses whatever it covers, and bears a tick from
//! before the mark.
//!
//! # A log that several nodes share
//!
//! Such a log may lose its newest marks, and gives their numbers again: so it has epochs ([`samovar_core::History`]).
//! When the history turns, a node goes back to where the two part. The marks that it had applied beyond are pending
//! again and are sent again; whatever it knows with a number beyond stays, with the number of the branch, since it
//! may have absorbed others.
//!
//! # Below memory
//!
//! What outlives the process bears a version instead of a tick. It is judged by the marks with a greater number
//! and by all that are pending; then it is given the greatest tick before the first of those (or the tick
//! that was read before the lookup, if there are none), so that from then on ticks decide the same.

// * `table`: the marks that were applied here, found by what they cover; `standing`: those of one scope; `patterns`:
//   those of patterns.
// * `fresh`: the one predicate. `judging`: what is asked of it. `state`: what changes when marks are applied.
// * `accepting`: marks from here. `applying`: marks that the log yields. `pending`: what became of those from here.
// * `forget`: which marks are forgotten when there are too many.

mod accepting;
mod applying;
mod courier;
mod forget;
mod fresh;
mod joining;
mod journaled;
mod judging;
mod lease;
mod log_local;
#[cfg(feature = "redis")]
mod log_redis;
mod marker;
mod patterns;
mod pending;
pub(crate) mod saved;
mod standing;
mod state;
mod stored;
mod table;
mod tail;
mod unconfirmed;
#[cfg(test)]
mod walks;

use std::fmt;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::RwLock;
use samovar_core::{Clock, Error, ErrorKind, History, Scope, Snapshot, Tick, Token, Version};

pub(crate) use courier::Courier;
pub(crate) use joining::leave_tables;
pub(crate) use journaled::{FILE as JOURNAL_FILE, MarkJournal};
pub(crate) use judging::Survey;
pub use lease::Standing;
pub(crate) use lease::keep_lease;
pub(crate) use log_local::FILE as MARKS_FILE;
pub use log_local::LocalLog;
#[cfg(feature = "redis")]
pub use log_redis::{RedisLog, RedisLogOptions};
pub(crate) use marker::Marker;
pub(crate) use saved::Remains;
pub(crate) use tail::{Tail, say_lost};

use pending::Done;
use state::State;

/// The marks applied in this process, and the question that every read asks. Cheap to clone.
///
/// ```
/// # use samovar::{Samovar, Settings};
/// # use samovar_core::{Mode, Scope};
/// # futures_executor::block_on(async {
/// let samovar = Samovar::open(Settings::default()).await?;
/// let token = samovar.fence().token(); // before anything is read
/// samovar.mark(vec![Scope::Cache("prices".into())], Mode::Remove, "new list").await?;
/// assert!(samovar.fence().acted_since(token.tick, |scope| *scope == Scope::Cache("prices".into())));
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Fence {
    inner: Arc<Inner>,
}

struct Inner {
    /// Published after the marks that it counts stand in the table.
    tick: AtomicU64,
    /// The wall clock up to which the lease holds; a hit compares it.
    connected_until: AtomicI64,
    state: RwLock<State>,
    clock: Arc<dyn Clock>,
    /// The lease, if it may end.
    watch: OnceLock<lease::Watch>,
    journal: OnceLock<Arc<MarkJournal>>,
}

impl Fence {
    /// A fence that has applied what a log holds. It remembers about `marks_max` scopes.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use samovar::Fence;
    /// # use samovar_core::{Entry, Epoch, ErrorKind, History, Judge, Keep, Key, Lifetime, Mark, MarkId, Millis, Mode};
    /// # use samovar_core::{Numbered, Scope, Snapshot, Stamp, SystemClock, Tick, Version};
    /// # let at = |seq| Version { epoch: Epoch(7), seq };
    /// # let mark = Mark {
    /// #     id: MarkId(1),
    /// #     scope: Scope::Cache("prices".into()),
    /// #     mode: Mode::Remove,
    /// #     at: Millis(0),
    /// #     reason: "new list".into(),
    /// #     priority: Mark::PRIORITY,
    /// # };
    /// # let clock = Arc::new(SystemClock::new());
    /// # let entry = |version| {
    /// #     let lifetime = Lifetime { ttl: std::time::Duration::MAX, stale_window: Default::default() };
    /// #     Entry::whole((), Stamp { version, tick: Tick(0), read_at: Millis(0) }, lifetime)
    /// # };
    /// let (history, marks) = (History(vec![(Epoch(7), 0)]), vec![Numbered { version: at(43), mark }]);
    /// let log = Snapshot { history, marks, head: at(43), shared: false };
    /// let fence = Fence::new(&log, clock.clone(), 100_000)?;
    /// let key = Key::new("prices", "42");
    /// assert_eq!(fence.judge_stored(&key, entry(at(42)).claim()), Keep::Drop);
    /// assert_eq!(fence.judge_stored(&key, entry(at(43)).claim()), Keep::CleanTo(u64::MAX));
    ///
    /// let without_epoch = Snapshot { history: History(Vec::new()), ..log };
    /// let error = Fence::new(&without_epoch, clock, 100_000).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Format);
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Format`] if the log's head does not lie on its own history, as where it has no epoch.
    pub fn new(log: &Snapshot, clock: Arc<dyn Clock>, marks_max: usize) -> Result<Fence, Error> {
        if !log.history.holds(log.head) {
            return Err(Error::new(
                ErrorKind::Format,
                format!("the mark log's head {} does not lie on its own history", log.head),
            ));
        }
        Ok(Fence::of(State::new(log, marks_max), clock))
    }

    fn of((state, tick): (State, Tick), clock: Arc<dyn Clock>) -> Fence {
        let inner = Inner {
            tick: AtomicU64::new(tick.0),
            connected_until: AtomicI64::new(i64::MAX),
            state: RwLock::new(state),
            clock,
            watch: OnceLock::new(),
            journal: OnceLock::new(),
        };
        Fence { inner: Arc::new(inner) }
    }

    /// What is settled is needed in the journal no longer, and who waits for what has come back is told: outside the
    /// lock, since this wakes strangers.
    fn tell(&self, done: Done) {
        if let Some(journal) = self.journal() {
            journal.release(done.settled());
        }
        done.tell();
    }

    /// To be taken *before* anything is read from the source: it becomes the stamp of what is read.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use samovar::{Samovar, Settings};
    /// # use samovar_core::{Entry, Key, Lifetime, Mode, Scope, Stamp, Verdict};
    /// # let lifetime = Lifetime { ttl: Duration::from_secs(600), stale_window: Duration::ZERO };
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// let (fence, key) = (samovar.fence(), Key::new("prices", "42"));
    /// let token = fence.token();
    /// // While the price is read it changes.
    /// samovar.mark(vec![Scope::Key(key.clone())], Mode::Remove, "price_changed").await?;
    /// let price = Entry::whole(499, Stamp::new(token, samovar.clock().now()), lifetime);
    /// assert_eq!(fence.judge_memory(&key, price.claim()), Verdict::Refused);
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn token(&self) -> Token {
        let state = self.inner.state.read();
        Token { version: state.version(), tick: self.tick() }
    }

    /// How many marks have acted in this process.
    ///
    /// ```
    /// # use samovar::{Samovar, Settings};
    /// # use samovar_core::{Mode, Scope};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// let before = samovar.fence().tick();
    /// let scopes = vec![Scope::Cache("prices".into()), Scope::Tag("supplier:7".into())];
    /// samovar.mark(scopes, Mode::Expire, "new list").await?;
    /// assert_eq!(samovar.fence().tick(), before.next().next(), "two marks have acted");
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    #[inline]
    pub fn tick(&self) -> Tick {
        Tick(self.inner.tick.load(Ordering::Acquire))
    }

    /// The version up to which the log has been applied here.
    ///
    /// ```
    /// # use samovar::{Samovar, Settings};
    /// # use samovar_core::{Mode, Scope};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// let before = samovar.fence().position();
    /// let version = samovar.mark(vec![Scope::Everything], Mode::Expire, "new list").await?;
    /// assert_eq!(samovar.fence().position(), version);
    /// assert_eq!((version.epoch, version.seq), (before.epoch, before.seq + 1));
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn position(&self) -> Version {
        self.inner.state.read().version()
    }

    /// Whether other nodes append to the log too.
    pub(crate) fn is_shared(&self) -> bool {
        self.inner.state.read().shared
    }

    /// How many marks were accepted here and have not come back through the log yet.
    ///
    /// ```
    /// # use std::pin::pin;
    /// # use std::sync::Arc;
    /// # use futures_util::FutureExt;
    /// # use samovar::fence::LocalLog;
    /// # use samovar::{Samovar, Settings};
    /// # use samovar_core::{BoxFuture, Error, History, Mark, MarkLog, Mode, Next, Scope, Snapshot, Version};
    /// # struct Slow(LocalLog);
    /// # impl MarkLog for Slow {
    /// #     fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, Error>> {
    /// #         self.0.snapshot()
    /// #     }
    /// #     fn append(&self, _: Vec<Mark>, _: Option<Version>) -> BoxFuture<'static, Result<Option<Version>, Error>> {
    /// #         Box::pin(std::future::pending())
    /// #     }
    /// #     fn next<'a>(&'a self, history: &'a History, after: u64) -> BoxFuture<'a, Result<Next, Error>> {
    /// #         self.0.next(history, after)
    /// #     }
    /// #     fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
    /// #         self.0.close()
    /// #     }
    /// # }
    /// # futures_executor::block_on(async {
    /// let slow = Slow(LocalLog::volatile(100_000)?); // a log that has not answered yet
    /// let samovar = Samovar::open(Settings { log: Some(Arc::new(slow)), ..Settings::default() }).await?;
    /// let mut marking = pin!(samovar.mark(vec![Scope::Everything], Mode::Remove, "new list"));
    /// let before = samovar.fence().tick();
    /// assert!(marking.as_mut().now_or_never().is_none(), "it is not durable yet");
    /// assert_eq!(samovar.fence().pending(), 1);
    /// assert!(samovar.fence().tick() > before, "it has acted here all the same");
    /// # Ok::<(), Error>(())
    /// # }).unwrap();
    /// ```
    pub fn pending(&self) -> usize {
        self.inner.state.read().pending.len()
    }

    /// Whatever of a cache was read before this number of the log is refused, whatever its key: because all of it was
    /// removed, or because marks were forgotten. 0 if there is none.
    ///
    /// ```
    /// # use samovar::{Samovar, Settings};
    /// # use samovar_core::{Mode, Scope};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// let version = samovar.mark(vec![Scope::Cache("prices".into())], Mode::Remove, "new list").await?;
    /// assert_eq!(samovar.fence().floor("prices"), version.seq);
    /// assert_eq!(samovar.fence().floor("names"), 0, "nothing is refused for that");
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn floor(&self, cache: &str) -> u64 {
        self.inner.state.read().table.floor(cache)
    }

    /// How many scopes were forgotten in this process.
    ///
    /// ```
    /// # use samovar::{Samovar, Settings};
    /// # use samovar_core::{Key, Mode, Scope};
    /// # futures_executor::block_on(async {
    /// let samovar = Samovar::open(Settings { marks_max: 10, ..Settings::default() }).await?;
    /// for product in 0..30 {
    ///     let price = Scope::Key(Key::new("prices", product.to_string()));
    ///     samovar.mark(vec![price], Mode::Remove, "price_changed").await?;
    /// }
    /// assert!(samovar.fence().forgotten() >= 20, "the oldest, for which there was no room");
    /// assert!(samovar.fence().floor("prices") >= 20, "what was read before those marks is refused");
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn forgotten(&self) -> u64 {
        self.inner.state.read().forgotten
    }

    /// Whether a mark that `touches` selects has acted since a tick. Exact for the last 4,096 marks; for what lies
    /// further back the answer is yes.
    ///
    /// ```
    /// # use samovar::{Samovar, Settings};
    /// # use samovar_core::{Key, Mode, Scope};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// let (fence, key) = (samovar.fence(), Key::new("prices", "42"));
    /// let before = fence.tick();
    /// samovar.mark(vec![Scope::Cache("names".into())], Mode::Remove, "renamed").await?;
    /// assert!(fence.acted_since(before, |_| true));
    /// assert!(!fence.acted_since(before, |scope| scope.may_cover(&key)), "not on that");
    /// assert!(!fence.acted_since(fence.tick(), |_| true), "and none since");
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn acted_since(&self, tick: Tick, touches: impl Fn(&Scope) -> bool) -> bool {
        if self.tick() == tick {
            return false;
        }
        let scopes: Vec<Option<Scope>> = {
            let state = self.inner.state.read();
            let newer = self.tick().0.saturating_sub(tick.0);
            match usize::try_from(newer) {
                Ok(newer) if newer <= state.recent.len() => {
                    state.recent.range(state.recent.len() - newer..).cloned().collect()
                }
                _ => return true,
            }
        };
        scopes.iter().flatten().any(touches)
    }

    /// The history as it is known here, and the number up to which it has been applied.
    pub(crate) fn known(&self) -> (Arc<History>, u64) {
        let state = self.inner.state.read();
        (Arc::clone(&state.history), state.seq)
    }

    /// Whether nothing is applied any more, until the process starts again.
    pub(crate) fn has_failed(&self) -> bool {
        self.inner.state.read().failed.is_some()
    }

    /// Nothing will be applied any more. Marks that are accepted from now on stay pending, so what they cover stays
    /// refused.
    pub(crate) fn fail(&self, error: Error) {
        let given_up = {
            let mut state = self.inner.state.write();
            state.failed.get_or_insert(error);
            state.pending.give_up()
        };
        drop(given_up);
    }
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.inner.state.read();
        f.debug_struct("Fence")
            .field("tick", &self.tick())
            .field("position", &state.version())
            .field("pending", &state.pending.len())
            .finish_non_exhaustive()
    }
}
