//! What the fence knows: all of it changes under one lock.

use std::collections::VecDeque;

use futures_channel::oneshot;
use samovar_core::{Epoch, Error, History, Scope, Snapshot, Tick, Version};

use super::forget::room;
use super::table::Table;

/// How many of the last marks [`super::Fence::acted_since`] can tell apart.
const RECENT: usize = 4_096;

pub(super) struct State {
    pub(super) table: Table,
    pub(super) history: History,
    pub(super) epoch: Epoch,
    /// The number of the mark applied last.
    pub(super) seq: u64,
    /// How many marks are pending.
    pub(super) pending: usize,
    /// The last marks that acted, by tick: dense, up to the current one.
    pub(super) recent: VecDeque<Scope>,
    pub(super) waiters: Vec<(u64, oneshot::Sender<()>)>,
    /// About so many scopes are remembered.
    marks_max: usize,
    /// Beyond so many some are forgotten: more than that, if that was in vain.
    forget_at: usize,
    pub(super) forgotten: u64,
    /// The number up to which what lies below memory is clean. `None`: no tier has said anything.
    swept: Option<u64>,
    pub(super) failed: Option<Error>,
}

impl State {
    /// The state that the marks of a log make, and the tick up to which they acted.
    pub(super) fn new(log: &Snapshot, marks_max: usize) -> (State, Tick) {
        let mut table = Table::default();
        let mut tick = 0;
        for numbered in &log.marks {
            tick += 1;
            table.number(&numbered.mark, numbered.version.seq, Tick(tick));
        }
        let state = State {
            table,
            history: log.history.clone(),
            epoch: log.head.epoch,
            seq: log.head.seq,
            pending: 0,
            recent: VecDeque::new(),
            waiters: Vec::new(),
            marks_max,
            forget_at: marks_max,
            forgotten: 0,
            swept: None,
            failed: None,
        };
        (state, Tick(tick))
    }

    pub(super) fn version(&self) -> Version {
        Version { epoch: self.epoch, seq: self.seq }
    }

    /// A version beyond what was applied here comes from a log that has since lost its newest marks.
    pub(super) fn holds(&self, version: Version) -> bool {
        self.history.holds(version) && (version.epoch != self.epoch || version.seq <= self.seq)
    }

    /// Forgets marks if there are too many. What was found clean up to the current tick stays so: nothing acts here.
    pub(super) fn forget(&mut self) {
        if self.table.scopes() <= self.forget_at {
            return;
        }
        let most = self.marks_max;
        let mut forgotten = self.table.forget(room(most), self.swept.unwrap_or(u64::MAX));
        let hard = most.saturating_mul(2);
        if self.table.scopes() > hard {
            forgotten += self.table.forget(room(hard), u64::MAX);
        }
        self.forgotten += forgotten as u64;
        self.forget_at = most.max(self.table.scopes() + most / 8);
    }

    pub(super) fn remember(&mut self, scope: &Scope) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(scope.clone());
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
