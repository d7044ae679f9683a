//! The fence: fills are not trusted, reads decide.
//!
//! * `table`: the marks that were applied here, found by what they cover; `standing`: those of one scope; `patterns`:
//!   those of patterns.
//! * `fresh`: the one predicate. `judging`: what is asked of it. `state`: what changes when marks are applied.
//! * `accepting`: marks from here. `applying`: marks that the log yields.
//! * [`LocalLog`]: where marks become durable on a single node. `RedisLog`: where several nodes share them.
//!
//! * `forget`: which marks are forgotten when there are too many.
//!
//! # Forgetting
//!
//! A scope that was marked takes about 200 bytes here. Beyond `marks_max` of them the oldest are forgotten, each widened
//! to a `remove` over all that it could have covered. What was read before that is refused; what memory has found clean
//! since is newer by its tick, and what the disk was swept of is newer by *clean as of*. So a mark is not forgotten before the
//! disk says that it was swept of it, up to twice as many marks.
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
//! `pending`: what became of the marks that were accepted here. When the history turns, a node goes back to
//! where the two part. The marks that it had applied beyond are pending again and are sent again; whatever stands
//! in the table with a number beyond stays there with the number of the branch, since it may have absorbed others.
//!
//! # Below memory
//!
//! What outlives the process bears a version instead of a tick. It is judged by the marks with a greater number
//! and by all that are pending; then it is given the greatest tick before the first of those (or the tick
//! that was read before the lookup, if there are none), so that from then on ticks decide the same.

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
    /// # Errors
    /// If the log has no epoch.
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
    pub fn token(&self) -> Token {
        let state = self.inner.state.read();
        Token { version: state.version(), tick: self.tick() }
    }

    /// How many marks have acted in this process.
    #[inline]
    pub fn tick(&self) -> Tick {
        Tick(self.inner.tick.load(Ordering::Acquire))
    }

    /// The version up to which the log has been applied here.
    pub fn position(&self) -> Version {
        self.inner.state.read().version()
    }

    /// Whether other nodes append to the log too.
    pub(crate) fn is_shared(&self) -> bool {
        self.inner.state.read().shared
    }

    /// How many marks were accepted here and have not come back through the log yet.
    pub fn pending(&self) -> usize {
        self.inner.state.read().pending.len()
    }

    /// Whatever of a cache was read before this number of the log is refused, whatever its key: because all of it was
    /// removed, or because marks were forgotten.
    pub fn floor(&self, cache: &str) -> u64 {
        self.inner.state.read().table.floor(cache)
    }

    /// How many scopes were forgotten in this process.
    pub fn forgotten(&self) -> u64 {
        self.inner.state.read().forgotten
    }

    /// Whether a mark that `touches` selects has acted since a tick. Exact for the last 4,096 marks; for what lies
    /// further back the answer is yes.
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
        let mut state = self.inner.state.write();
        state.failed.get_or_insert(error);
        state.pending.give_up();
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
