//! Marks that were accepted here and have come back through the log, but may be lost there: too few replicas have
//! confirmed them, or the log's answer has not come. They act as all others do; the journal keeps them.
//!
//! What the log confirms holds for all that it had up to that number on the same history, whoever sent it: so any later
//! answer settles them, and any renewal of the lease.

use std::collections::HashMap;

use samovar_core::{History, Mark, MarkId, Version};

/// So much room is not given back.
const ROOM: usize = 1_024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Unconfirmed {
    /// Where there is no journal nobody asks.
    are_kept: bool,
    /// With their numbers.
    marks: HashMap<MarkId, (Version, Mark)>,
    /// What the log has confirmed.
    confirmed: Option<Version>,
}

impl Unconfirmed {
    /// There is a journal.
    pub(super) fn keep(&mut self) {
        self.are_kept = true;
    }

    /// A mark has come back with this number. True if it is kept until the log confirms that.
    pub(super) fn came_back(&mut self, mark: Mark, at: Version, history: &History) -> bool {
        let waits = self.are_kept && !self.covers(at, history);
        if waits {
            self.marks.insert(mark.id, (at, mark));
        }
        waits
    }

    fn covers(&self, at: Version, history: &History) -> bool {
        let on = |confirmed: &Version| history.holds(*confirmed);
        history.holds(at) && self.confirmed.filter(on).is_some_and(|upto| at.seq <= upto.seq)
    }

    /// The log will not lose what it held up to this version. The marks that need not be kept for that any more.
    pub(super) fn confirm(&mut self, version: Version, history: &History) -> Vec<MarkId> {
        // One of an epoch that is not known here yet counts once it is.
        if !self.covers(version, history) {
            self.confirmed = Some(version);
        }
        let mut marks = std::mem::take(&mut self.marks);
        let settled = marks.extract_if(|_, (at, _)| self.covers(*at, history));
        let settled = settled.map(|(id, _)| id).collect();
        marks.shrink_to(ROOM);
        self.marks = marks;
        settled
    }

    /// The history is another: those that the log has lost.
    pub(super) fn turn(&mut self, history: &History) -> Vec<Mark> {
        let lost = self.marks.extract_if(|_, (at, _)| !history.holds(*at));
        in_order(lost.map(|(_, one)| one))
    }

    pub(super) fn get(&self, id: MarkId) -> Option<&Mark> {
        self.marks.get(&id).map(|(_, mark)| mark)
    }

    /// All of them, by their numbers.
    pub(super) fn all(&self) -> Vec<Mark> {
        in_order(self.marks.values().cloned())
    }
}

fn in_order(ones: impl Iterator<Item = (Version, Mark)>) -> Vec<Mark> {
    let mut ones: Vec<(Version, Mark)> = ones.collect();
    ones.sort_unstable_by_key(|(at, _)| at.seq);
    ones.into_iter().map(|(_, mark)| mark).collect()
}

#[cfg(test)]
mod tests {
    use samovar_core::{Epoch, Mode, Scope};

    use super::*;

    fn at(epoch: u64, seq: u64) -> Version {
        Version { epoch: Epoch(epoch), seq }
    }

    fn mark(id: u128) -> Mark {
        samovar_testkit::log::mark(id, Scope::Everything, Mode::Remove, 0)
    }

    fn kept(unconfirmed: &Unconfirmed) -> Vec<u128> {
        unconfirmed.all().iter().map(|mark| mark.id.0).collect()
    }

    #[test]
    fn a_later_answer_on_the_same_history_settles_what_came_before() {
        let history = History(vec![(Epoch(1), 0), (Epoch(2), 5)]);
        let mut marks = Unconfirmed::default();
        assert!(!marks.came_back(mark(1), at(1, 1), &history), "there is no journal");
        marks.keep();
        for (id, version) in [(4, at(1, 4)), (6, at(2, 6)), (8, at(2, 8))] {
            assert!(marks.came_back(mark(id), version, &history));
        }
        // What it lost after 5 is none of this history's.
        assert!(marks.confirm(at(1, 9), &history).is_empty());
        let mut settled = marks.confirm(at(2, 6), &history);
        settled.sort();
        assert_eq!(settled, [MarkId(4), MarkId(6)]);
        assert!(marks.confirm(at(2, 3), &history).is_empty(), "an answer that comes late");
        assert!(!marks.came_back(mark(5), at(1, 5), &history), "it is confirmed already");
        assert_eq!(kept(&marks), [8]);
    }

    #[test]
    fn what_is_lost_waits_no_more_and_what_is_not_known_yet_counts_later() {
        let first = History(vec![(Epoch(1), 0)]);
        let mut marks = Unconfirmed::default();
        marks.keep();
        for id in 1..=3 {
            assert!(marks.came_back(mark(id), at(1, id as u64), &first));
        }
        assert!(marks.confirm(at(2, 3), &first).is_empty());
        let second = History(vec![(Epoch(1), 0), (Epoch(2), 1)]);
        let lost: Vec<u128> = marks.turn(&second).iter().map(|mark| mark.id.0).collect();
        assert_eq!((lost, kept(&marks)), (vec![2, 3], vec![1]));
        assert!(!marks.came_back(mark(2), at(2, 2), &second));
        assert_eq!(marks.confirm(at(2, 3), &second), [MarkId(1)]);
    }
}
