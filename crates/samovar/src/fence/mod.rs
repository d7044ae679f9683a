//! The fence: fills are not trusted, reads decide.
//!
//! * `table`: the marks that were applied here, found by what they cover; `standing`: those of one scope; `patterns`:
//!   those of patterns.
//! * `fresh`: the one predicate. `state`: what changes when marks are applied.
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

mod courier;
mod forget;
mod fresh;
mod joining;
mod journaled;
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

use futures_channel::oneshot;
use parking_lot::RwLock;
use samovar_core::{
    Claim, Clock, Epoch, Error, ErrorKind, History, Judge, Keep, Key, Mark, MarkId, Millis,
    Numbered, Parts, Scope, Snapshot, Tick, Token, Verdict, Version,
};

pub(crate) use courier::Courier;
pub(crate) use joining::leave_tables;
pub(crate) use journaled::{FILE as JOURNAL_FILE, MarkJournal};
pub use lease::Standing;
pub(crate) use lease::keep_lease;
pub(crate) use log_local::FILE as MARKS_FILE;
pub use log_local::LocalLog;
#[cfg(feature = "redis")]
pub use log_redis::{RedisLog, RedisLogOptions};
pub(crate) use marker::Marker;
pub(crate) use saved::Remains;
pub(crate) use tail::{Tail, say_lost};

use fresh::{Ruling, rule};
use pending::Done;
use standing::Since;
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

/// What the predicate says of an entry in memory, part by part.
#[derive(Debug)]
pub(crate) struct Survey {
    /// The worst over all parts.
    pub(crate) verdict: Verdict,
    /// By part.
    pub(crate) verdicts: Vec<Verdict>,
    /// Nothing of it may ever be served again.
    pub(crate) dead: bool,
    /// Whether a mark covers any of it.
    pub(crate) marked: bool,
    /// The tick up to which this holds.
    pub(crate) tick: Tick,
    /// Whether this node hears what others invalidate.
    pub(crate) standing: Standing,
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

    /// The verdict on what lies in memory under `key`: that of its worst part. Asked about one day of a part
    /// ([`samovar_core::Part::only`]) it answers for that day.
    pub fn judge_memory(&self, key: &Key, claim: Claim<'_>) -> Verdict {
        let now = self.inner.clock.now();
        self.survey(&key.cache, &key.id, claim, Tick(0), now).verdict
    }

    /// The verdicts on an entry in memory that is known to be clean up to `clean`.
    pub(crate) fn survey(
        &self,
        cache: &str,
        id: &str,
        claim: Claim<'_>,
        clean: Tick,
        now: Millis,
    ) -> Survey {
        let state = self.inner.state.read();
        // No mark acts while the lock is held, so this tick and the table belong together.
        let tick = self.tick();
        let mut survey = Survey {
            verdict: Verdict::Fresh,
            verdicts: Vec::with_capacity(claim.parts.len()),
            dead: true,
            marked: false,
            tick,
            standing: self.standing(),
        };
        let over = state.table.over(cache, id, claim.tags);
        for part in claim.parts {
            let since = Since::Tick(clean.max(part.stamp.tick));
            let cover = over.cover(part.span.as_ref(), since);
            let ruling = rule(&cover, part.stamp.read_at, claim.lifetime, now);
            survey.verdict = survey.verdict.max(ruling.verdict);
            survey.verdicts.push(ruling.verdict);
            survey.dead &= ruling.dead;
            survey.marked |= cover.any();
        }
        survey
    }

    /// The parts of an entry that was read below memory, with ticks by which memory judges them as versions
    /// do; `None` if one does not lie on the history, which refuses the whole entry.
    ///
    /// `before` is the tick that was read before the lookup: a mark that acted since may not have been
    /// seen by what was looked up.
    pub(crate) fn recall(&self, key: &Key, claim: Claim<'_>, before: Tick) -> Option<Parts> {
        let state = self.inner.state.read();
        let over = state.table.over(&key.cache, &key.id, claim.tags);
        claim
            .parts
            .iter()
            .map(|part| {
                let version = part.stamp.version;
                if !state.holds(version) {
                    return None;
                }
                let cover = over.cover(part.span.as_ref(), Since::Seq(version.seq));
                let mut part = part.clone();
                part.stamp.tick = match cover.first.tick {
                    Some(first) => before.min(Tick(first.saturating_sub(1))),
                    None => before,
                };
                Some(part)
            })
            .collect()
    }

    /// Takes in marks that were accepted here: they act at once, pending. To be handed to the log right after that, and
    /// its answer to [`Fence::answered`].
    pub(crate) fn accept(&self, marks: &[Mark]) -> Accepted {
        let mut state = self.inner.state.write();
        let mut tick = self.tick();
        let first = tick.next();
        for mark in marks {
            tick = tick.next();
            state.table.pend(mark, tick);
            state.remember(Some(&mark.scope));
        }
        let done = state.pending.accept(marks, first);
        if state.failed.is_some() {
            state.pending.give_up();
        }
        self.inner.tick.store(tick.0, Ordering::Release);
        Accepted { fence: self.clone(), done }
    }

    /// What the log answered to marks that it was handed together: the version of the last, or that it has not taken
    /// them, or that nobody knows. False if the version does not lie on the history as it is known here: the log is to
    /// be looked at.
    pub(crate) fn answered(&self, ids: &[MarkId], last: Option<Version>) -> bool {
        let mut done = Done::default();
        let known = {
            let mut guard = self.inner.state.write();
            let state = &mut *guard;
            let known = state.pending.answered(ids, last, &state.history, &mut done);
            // The tail may have gone past them, over a gap.
            state.settle_passed(ids, &mut done);
            known
        };
        self.tell(done);
        known
    }

    /// The log will not lose what it held up to this version.
    pub(crate) fn confirm(&self, version: Version) {
        let mut done = Done::default();
        {
            let mut guard = self.inner.state.write();
            let state = &mut *guard;
            state.pending.confirm(version, &state.history, &mut done);
        }
        self.tell(done);
    }

    /// The history as it is known here, and the number up to which it has been applied.
    pub(crate) fn known(&self) -> (Arc<History>, u64) {
        let state = self.inner.state.read();
        (Arc::clone(&state.history), state.seq)
    }

    /// Applies marks that the log yielded.
    ///
    /// # Errors
    /// If a number is missing, or the epoch is not the history's: what came before that has been applied.
    pub(crate) fn apply(&self, marks: &[Numbered]) -> Result<(), Error> {
        let mut done = Done::default();
        let outcome = {
            let mut state = self.inner.state.write();
            let mut tick = self.tick();
            let outcome = marks.iter().try_for_each(|numbered| {
                if state.apply(numbered, tick.next(), &mut done)? {
                    tick = tick.next();
                }
                Ok(())
            });
            self.inner.tick.store(tick.0, Ordering::Release);
            state.forget();
            outcome
        };
        self.tell(done);
        outcome
    }

    /// The log's history is another than it was: it has lost what lies off it, or was founded again.
    ///
    /// What was applied and is lost is pending again, and is sent again: any node that saw a mark restores it.
    /// `everything` makes a `remove` of everything, in place of those that this node does not remember whole.
    ///
    /// Returns how many numbers were lost.
    pub(crate) fn turn(&self, history: History, everything: impl FnOnce() -> Mark) -> u64 {
        let mut done = Done::default();
        let lost = {
            let mut state = self.inner.state.write();
            let (next, seq) = (self.tick().next(), state.seq);
            if state.turn(history, everything, next, &mut done) {
                self.inner.tick.store(next.0, Ordering::Release);
            }
            seq - state.seq
        };
        self.tell(done);
        lost
    }

    /// The log begins after this number. If that lies beyond the position, everything that was read before is refused.
    /// True if so.
    pub(crate) fn gap(&self, begins: u64) -> bool {
        let mut done = Done::default();
        let was = {
            let mut state = self.inner.state.write();
            let next = self.tick().next();
            let was = state.gap(begins, next, &mut done);
            if was {
                self.inner.tick.store(next.0, Ordering::Release);
            }
            was
        };
        self.tell(done);
        was
    }

    /// Marks that the log lacks, in order, at most so many, and the log's head as it is known here: they may be appended
    /// if that is still its head. Waits until there are some. The log's answer is for [`Fence::answered`].
    pub(crate) async fn unsent(&self, most: usize) -> (Vec<Mark>, Version) {
        loop {
            let wait = {
                let mut guard = self.inner.state.write();
                let state = &mut *guard;
                match state.pending.wait(state.is_adrift()) {
                    // Nothing is sent any more.
                    _ if state.failed.is_some() => None,
                    None => {
                        let epoch = state.history.epoch().unwrap_or(Epoch(0));
                        let head = Version { epoch, seq: state.seq };
                        return (state.pending.take(most), head);
                    }
                    wait => wait,
                }
            };
            match wait {
                // An error: what is to be sent has been given up, or may be sent now, which the next look finds.
                Some(wait) => drop(wait.await),
                None => std::future::pending().await,
            }
        }
    }

    /// Those of some marks that have not come back, or that the log may lose though they have.
    pub(crate) fn unsettled(&self, ids: &[MarkId]) -> Vec<Mark> {
        self.inner.state.read().pending.unsettled(ids)
    }

    /// All such marks.
    pub(crate) fn all_unsettled(&self) -> Vec<Mark> {
        self.inner.state.read().pending.all_unsettled()
    }

    /// Returns once no mark is pending, or nothing will come back any more.
    pub(crate) async fn rests(&self) {
        let wait = {
            let mut state = self.inner.state.write();
            if state.failed.is_none() { state.pending.rests() } else { None }
        };
        if let Some(wait) = wait {
            let _ = wait.await;
        }
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

/// Marks that have been accepted.
#[derive(Debug)]
pub(crate) struct Accepted {
    fence: Fence,
    done: oneshot::Receiver<()>,
}

impl Accepted {
    /// Returns once all of them have come back through the log: they are durable, and have their numbers here.
    ///
    /// # Errors
    /// If the fence has failed or fails before that.
    pub(crate) async fn applied(self) -> Result<(), Error> {
        self.done.await.map_err(|_| {
            let failed = self.fence.inner.state.read().failed.clone();
            failed.unwrap_or_else(|| Error::new(ErrorKind::Closed, "the cache has been closed"))
        })
    }
}

impl Judge for Fence {
    fn judge_stored(&self, key: &Key, claim: Claim<'_>) -> Keep {
        let now = self.inner.clock.now();
        let state = self.inner.state.read();
        // Nothing can be said of it before the history is known.
        if state.is_adrift() {
            return Keep::CleanTo(0);
        }
        let mut first = None;
        let mut dead = true;
        let over = state.table.over(&key.cache, &key.id, claim.tags);
        for part in claim.parts {
            let version = part.stamp.version;
            if !state.holds(version) {
                return Keep::Drop;
            }
            let cover = over.cover(part.span.as_ref(), Since::Seq(version.seq));
            let Ruling { dead: gone, .. } = rule(&cover, part.stamp.read_at, claim.lifetime, now);
            dead &= gone;
            first = [first, cover.first.seq].into_iter().flatten().min();
        }
        if dead { Keep::Drop } else { Keep::CleanTo(first.map_or(u64::MAX, |seq| seq - 1)) }
    }

    fn position(&self) -> Option<Version> {
        let state = self.inner.state.read();
        (state.pending.len() == 0 && !state.is_adrift()).then(|| state.version())
    }

    fn holds(&self, version: Version) -> bool {
        self.inner.state.read().holds(version)
    }

    fn swept(&self, clean: Option<Version>) {
        self.inner.state.write().swept(clean);
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
