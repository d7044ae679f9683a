//! The log's server, made up.

use samovar_core::{Epoch, History, Mark, MarkId, Mode, Next, Numbered, Scope, Snapshot, Version};

use samovar_testkit::log::mark;

use crate::fence::state::FLOOR;

/// The log's server: what it holds, and what it knows of epochs.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) marks: Vec<Numbered>,
    /// The number that was trimmed away last.
    pub(super) first: u64,
    pub(super) history: Vec<(Epoch, u64)>,
    /// It is another server than before: the next script that runs there begins an epoch.
    pub(super) changed: bool,
    names: u64,
    /// All marks that it ever took, whatever became of them.
    taken: Vec<(Version, MarkId)>,
    /// What a node knew, left beside the log.
    pub(super) table: Option<Snapshot>,
    /// The replicas have all up to here.
    pub(super) confirmed: u64,
}

impl Server {
    /// One that holds nothing.
    pub(super) fn new() -> Server {
        Server {
            marks: Vec::new(),
            first: 0,
            history: vec![(Epoch(1), 0)],
            changed: false,
            names: 1,
            taken: Vec::new(),
            table: None,
            confirmed: 0,
        }
    }

    pub(super) fn last(&self) -> u64 {
        self.marks.last().map_or(self.first, |last| last.version.seq)
    }

    /// None comes twice, and they are in no order.
    pub(super) fn name(&mut self) -> Epoch {
        self.names += 1;
        Epoch(self.names.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// The marks that whoever stands at a number of a history has applied.
    pub(super) fn told(&self, history: &History, up_to: u64) -> impl Iterator<Item = MarkId> {
        let on = move |at: &Version| at.seq <= up_to && history.holds(*at);
        self.taken.iter().filter(move |(at, _)| on(at)).map(|(_, id)| *id)
    }

    /// What every script does first.
    pub(super) fn look(&mut self) -> History {
        if std::mem::take(&mut self.changed) {
            let began = (self.name(), self.last());
            // One in which no number is left.
            if self.history.len() > 1 && self.history.last().is_some_and(|last| last.1 == began.1) {
                self.history.pop();
            }
            self.history.push(began);
        }
        History(self.history.clone())
    }

    pub(super) fn append(&mut self, marks: &[Mark], head: Option<Version>) -> Option<Version> {
        let epoch = self.look().epoch().unwrap();
        if head.is_some_and(|head| head != Version { epoch, seq: self.last() }) {
            return None;
        }
        for mark in marks {
            let version = Version { epoch, seq: self.last() + 1 };
            self.marks.push(Numbered { version, mark: mark.clone() });
            self.taken.push((version, mark.id));
        }
        Some(Version { epoch, seq: self.last() })
    }

    pub(super) fn next(&mut self, known: &History, after: u64) -> Option<Next> {
        let history = self.look();
        if history != *known {
            return Some(Next::History(history));
        }
        if self.first > after {
            return Some(Next::Gap(self.first));
        }
        let marks: Vec<Numbered> =
            self.marks.iter().filter(|m| m.version.seq > after).take(2).cloned().collect();
        (!marks.is_empty()).then(|| Next::Marks(marks.into()))
    }

    /// For a node that joins: what somebody knew, and what the log holds after that; or all that it holds, and a floor where
    /// it begins.
    pub(super) fn snapshot(&mut self) -> Snapshot {
        let history = self.look();
        let mut marks = Vec::new();
        let last = self.last();
        let fits = |known: &&Snapshot| {
            history.holds(known.head) && (self.first..=last).contains(&known.head.seq)
        };
        let table = self.table.as_ref().filter(fits);
        let from = table.map_or(self.first, |known| known.head.seq);
        if let Some(known) = table {
            marks.extend(known.marks.iter().cloned());
        } else if let Some(floor) = history.at(self.first).filter(|floor| floor.seq > 0) {
            let mark = mark(FLOOR.0, Scope::Everything, Mode::Remove, 0);
            marks.push(Numbered { version: floor, mark });
        }
        marks.extend(self.marks.iter().filter(|m| m.version.seq > from).cloned());
        let head = history.at(last).unwrap();
        Snapshot { history, marks, head, shared: true }
    }
}
