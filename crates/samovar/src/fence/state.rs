//! What the fence knows: all of it changes under one lock.

use std::collections::VecDeque;
use std::sync::Arc;

use samovar_core::{
    Epoch, Error, ErrorKind, History, Mark, MarkId, Numbered, Scope, Snapshot, Tick, Version,
};

use super::forget::room;
use super::lease::Standing;
use super::pending::{Done, Pending};
use super::saved::Remains;
use super::table::Table;

/// How many of the last marks [`super::Fence::acted_since`] can tell apart.
const RECENT: usize = 4_096;

/// The name of a mark that stands for others, of which nobody knows any more what they were.
pub(super) const FLOOR: MarkId = MarkId(0);

/// How many of the last numbered marks are kept whole, to be sent again if a log that is shared loses them.
pub(super) const KEPT: usize = 10_000;

pub(super) struct State {
    pub(super) table: Table,
    pub(super) history: Arc<History>,
    /// The number of the mark applied last.
    pub(super) seq: u64,
    pub(super) pending: Pending,
    /// The last numbered marks with the ticks at which they acted: dense, up to `seq`. Of a log that is shared.
    kept: VecDeque<(Numbered, Tick)>,
    /// Whether other nodes append to the log too.
    pub(super) shared: bool,
    /// What the last marks that acted are on, by tick: dense, up to the current one. No scope: the standing changed.
    pub(super) recent: VecDeque<Option<Scope>>,
    /// About so many scopes are remembered.
    marks_max: usize,
    /// Beyond so many some are forgotten: more than that, if that was in vain.
    forget_at: usize,
    pub(super) forgotten: u64,
    /// The number up to which what lies below memory is clean. `None`: no tier has said anything.
    swept: Option<u64>,
    pub(super) failed: Option<Error>,
    /// As it was when the tick was last raised for it.
    pub(super) standing: Standing,
    /// What was known before this process began, while no history is known.
    pub(super) before: Option<Remains>,
}

impl State {
    /// The state that the marks of a log make, and the tick up to which they acted.
    pub(super) fn new(log: &Snapshot, marks_max: usize) -> (State, Tick) {
        let mut table = Table::default();
        let ticks: Vec<Tick> = (1..=log.marks.len() as u64).map(Tick).collect();
        for (numbered, tick) in log.marks.iter().zip(&ticks) {
            table.number(&numbered.mark, numbered.version.seq, *tick);
        }
        let tick = ticks.last().copied().unwrap_or_default();
        let whole: Vec<&Numbered> = log.marks.iter().filter(|_| log.shared).collect();
        let kept = dense_tail(log.head.seq, &whole, &ticks);
        let state = State {
            table,
            history: Arc::new(log.history.clone()),
            seq: log.head.seq,
            pending: Pending::default(),
            kept,
            shared: log.shared,
            recent: VecDeque::new(),
            marks_max,
            forget_at: marks_max,
            forgotten: 0,
            swept: None,
            failed: None,
            standing: Standing::Connected,
            before: None,
        };
        (state, tick)
    }

    /// Whether no history is known yet.
    pub(super) fn is_adrift(&self) -> bool {
        self.history.0.is_empty()
    }

    /// Comes to a log, from nothing or from what was known before: what has not acted yet does from after `tick` on. The
    /// tick after that, and how many numbers the log has lost since.
    pub(super) fn join(
        &mut self,
        log: &Snapshot,
        everything: impl FnOnce() -> Mark,
        mut tick: Tick,
        done: &mut Done,
    ) -> (Tick, u64) {
        if let Some(before) = self.before.take() {
            tick = self.take_in(&before.known, tick, done);
        }
        let before = self.seq;
        if !self.is_adrift() {
            tick = self.turn(log.history.clone(), everything, tick, done);
        }
        let lost = before - self.seq;
        tick = self.take_in(log, tick, done);
        self.pending.may_send();
        (tick, lost)
    }

    /// Takes in what somebody knows beyond the position, of the same history: what has not acted yet does from after
    /// `tick` on. The tick after that.
    fn take_in(&mut self, log: &Snapshot, tick: Tick, done: &mut Done) -> Tick {
        let (mut tick, mut news, mut ticks) = (tick, Vec::new(), Vec::new());
        for numbered in &log.marks {
            let Numbered { version, mark } = numbered;
            let acted = self.pending.tick(mark.id);
            if version.seq <= self.seq && acted.is_none() {
                continue;
            }
            if acted.is_none() {
                tick = tick.next();
                self.remember(Some(&mark.scope));
            }
            self.table.number(mark, version.seq, acted.unwrap_or(tick));
            self.pending.returned(mark.id, *version, &log.history, done);
            if version.seq > self.seq {
                news.push(numbered);
                ticks.push(acted.unwrap_or(tick));
            }
        }
        // A log that holds less has lost something unnoticed; who reads on from here finds that.
        if log.head.seq > self.seq {
            let tail = dense_tail(log.head.seq, &news, &ticks);
            if tail.front().is_none_or(|(first, _)| first.version.seq > self.seq + 1) {
                self.kept.clear();
            }
            self.kept.extend(tail);
            let surplus = self.kept.len().saturating_sub(KEPT);
            drop(self.kept.drain(..surplus));
            self.seq = log.head.seq;
        }
        self.history = Arc::new(log.history.clone());
        self.pending.turn(&self.history);
        self.settle_passed(&self.pending.ids(), done);
        tick
    }

    /// What is to be put away for the next start: all that is known, and the last marks whole, so that they can be sent
    /// again.
    pub(super) fn remains(&self) -> Option<Snapshot> {
        let mut known = self.export()?;
        known.marks.extend(self.kept.iter().map(|(numbered, _)| numbered.clone()));
        // What stands for others comes before the whole mark of its number, which cannot absorb it then.
        known.marks.sort_by_key(|numbered| numbered.version.seq);
        Some(known)
    }

    /// The last numbered marks.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Numbered> {
        self.kept.iter().map(|(numbered, _)| numbered)
    }

    /// See [`super::Fence::export`].
    pub(super) fn export(&self) -> Option<Snapshot> {
        let mut marks = Vec::new();
        for (scope, mode, seq, at) in self.table.marks() {
            // What was forgotten before the first epoch began is covered by what lies off the history.
            let version = self.history.at(seq)?;
            let (reason, priority) = ("known from before".into(), Mark::PRIORITY);
            let mark = Mark { id: FLOOR, scope, mode, at, reason, priority };
            marks.push(Numbered { version, mark });
        }
        marks.sort_by_key(|numbered| numbered.version.seq);
        let history = (*self.history).clone();
        let head = self.history.at(self.seq)?;
        Some(Snapshot { history, marks, head, shared: self.shared })
    }

    /// The position: the number of the mark applied last, on the history.
    pub(super) fn version(&self) -> Version {
        // The first epoch begins at or before every position: `Fence::new` has seen to it, and no turn changes it.
        let lost = Version { epoch: Epoch(0), seq: self.seq };
        self.history.at(self.seq).unwrap_or(lost)
    }

    /// Whether a version lies on the history.
    pub(super) fn holds(&self, version: Version) -> bool {
        let ahead = !self.shared && version.seq > self.seq;
        self.history.holds(version) && !ahead
    }

    /// Takes in the next mark of the log, which acts from `next` on unless it has acted already. True if it acts now.
    pub(super) fn apply(
        &mut self,
        numbered: &Numbered,
        next: Tick,
        done: &mut Done,
    ) -> Result<bool, Error> {
        let Numbered { version, mark } = numbered;
        if self.history.at(self.seq + 1) != Some(*version) {
            let expected = self.version();
            return Err(Error::new(
                ErrorKind::Storage,
                format!(
                    "the mark log has a gap: it yielded {version} after {expected}; restart to read it anew"
                ),
            ));
        }
        self.seq = version.seq;
        let acted = self.pending.tick(mark.id);
        self.table.number(mark, version.seq, acted.unwrap_or(next));
        self.pending.returned(mark.id, *version, &self.history, done);
        if self.shared {
            if self.kept.len() == KEPT {
                self.kept.pop_front();
            }
            // The later tick is the safer: what took its tick before that is refused by the table already.
            self.kept.push_back((numbered.clone(), acted.unwrap_or(next)));
        }
        if acted.is_none() {
            self.remember(Some(&mark.scope));
        }
        Ok(acted.is_none())
    }

    /// The log's history is this one. What was applied off it has lost its number: it is pending again, and is to be
    /// sent again; if some of it is not kept any more, `everything` is sent in its place. That acts anew, and so does what
    /// is not remembered with its tick: from after `tick` on, each at a tick of its own. The tick after that.
    pub(super) fn turn(
        &mut self,
        history: History,
        everything: impl FnOnce() -> Mark,
        mut tick: Tick,
        done: &mut Done,
    ) -> Tick {
        let branch = self.history.branch(&history).unwrap_or(self.seq);
        if self.seq > branch {
            let kept = self.kept.partition_point(|(numbered, _)| numbered.version.seq <= branch);
            let lost = self.kept.split_off(kept);
            let forgotten = (lost.len() as u64) < self.seq - branch;
            self.table.go_back(branch);
            for (Numbered { mark, .. }, tick) in lost {
                if self.pending.tick(mark.id).is_none() {
                    self.table.pend(&mark, tick);
                    self.pending.send(mark, tick);
                }
            }
            let everything = forgotten.then(everything);
            // What was to be kept is not forgotten, though it is not remembered here with the others.
            let unconfirmed = self.pending.unconfirmed.turn(&history);
            for mark in everything.into_iter().chain(unconfirmed) {
                if self.pending.tick(mark.id).is_none() {
                    tick = tick.next();
                    self.table.pend(&mark, tick);
                    self.remember(Some(&mark.scope));
                    self.pending.send(mark, tick);
                }
            }
            self.seq = branch;
            self.swept = self.swept.map(|clean| clean.min(branch));
        }
        self.pending.turn(&history);
        self.history = Arc::new(history);
        // What had a version of an epoch that was not known until now.
        self.settle_passed(&self.pending.ids(), done);
        tick
    }

    /// The log begins after a number beyond the position: what lay between is not known, so it is taken for a
    /// `remove` of everything, which acts from `next` on. True if there was a gap.
    pub(super) fn gap(&mut self, begins: u64, next: Tick, done: &mut Done) -> bool {
        if begins <= self.seq {
            return false;
        }
        self.seq = begins;
        self.kept.clear();
        self.table.remove_everything(begins, next);
        self.remember(Some(&Scope::Everything));
        self.settle_passed(&self.pending.ids(), done);
        true
    }

    /// Ends those of some pending marks that the position has passed, though they have not come back.
    pub(super) fn settle_passed(&mut self, ids: &[MarkId], done: &mut Done) {
        for (mark, tick, at) in self.pending.passed(ids, self.seq, &self.history) {
            self.table.number(&mark, at.seq, tick);
            self.pending.returned(mark.id, at, &self.history, done);
        }
    }

    /// Forgets marks if there are too many. What was found clean up to the current tick stays so: nothing acts here.
    pub(super) fn forget(&mut self) {
        // What is pending cannot be forgotten, and is looked at again when it has its number.
        let pending = self.pending.len();
        let settled = |table: &Table| table.scopes().saturating_sub(pending);
        if settled(&self.table) <= self.forget_at {
            return;
        }
        let most = self.marks_max;
        let mut forgotten = self.table.forget(room(most), self.swept.unwrap_or(u64::MAX));
        let hard = most.saturating_mul(2);
        if settled(&self.table) > hard {
            forgotten += self.table.forget(room(hard), u64::MAX);
        }
        self.forgotten += forgotten as u64;
        self.forget_at = most.max(settled(&self.table) + most / 8);
    }

    pub(super) fn remember(&mut self, scope: Option<&Scope>) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(scope.cloned());
    }

    /// What lies below memory is clean up to here.
    pub(super) fn swept(&mut self, clean: Option<Version>) {
        let clean = clean.filter(|clean| self.holds(*clean)).map_or(0, |clean| clean.seq);
        if self.swept.replace(clean) != Some(clean) {
            // What was kept for it may go now.
            self.forget_at = self.marks_max;
            self.forget();
        }
    }
}

/// The newest of some marks up to a head that are whole, each with the tick at which it acts.
fn dense_tail(head: u64, marks: &[&Numbered], ticks: &[Tick]) -> VecDeque<(Numbered, Tick)> {
    let mut tail = VecDeque::new();
    let whole = marks.iter().zip(ticks).rev().filter(|(numbered, _)| numbered.mark.id != FLOOR);
    for (numbered, tick) in whole.take(KEPT) {
        // Whoever lacks some of the numbers up to here knows by that how far it goes.
        if numbered.version.seq != head - tail.len() as u64 {
            break;
        }
        tail.push_front(((*numbered).clone(), *tick));
    }
    tail
}
