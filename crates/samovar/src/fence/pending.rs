//! Marks that were accepted here and have not come back through the log: whether the log has them, and who waits.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use futures_channel::oneshot;
use parking_lot::Mutex;
use samovar_core::{History, Mark, MarkId, Tick, Version};

use super::unconfirmed::Unconfirmed;

/// What is known of where a mark stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// Handed to the log, which has not answered.
    Out,
    /// Given this version by the log.
    At(Version),
    /// To be sent (again).
    Not,
}

#[derive(Debug)]
struct One {
    mark: Mark,
    /// At which it acted here.
    tick: Tick,
    sent: Sent,
    group: Option<Arc<Group>>,
}

/// Marks that were accepted together; dropped with the last of them, it tells who waits.
#[derive(Debug)]
struct Group(Mutex<Option<oneshot::Sender<()>>>);

/// Tells those who wait for marks, once it is dropped or told to: outside of every lock, since it wakes strangers.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Done {
    waiters: Vec<oneshot::Sender<()>>,
    settled: Vec<MarkId>,
}

impl Done {
    fn note(&mut self, group: Option<Arc<Group>>) {
        // The last of a group that comes back is the one that finds nobody else there.
        if let Some(group) = group.and_then(Arc::into_inner) {
            self.waiters.extend(group.0.into_inner());
        }
    }

    /// The marks that have come back and will not be lost by the log.
    pub(super) fn settled(&self) -> &[MarkId] {
        &self.settled
    }

    pub(super) fn tell(self) {
        for waiter in self.waiters {
            let _ = waiter.send(());
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pending {
    marks: HashMap<MarkId, One>,
    /// Those that are [`Sent::Not`], in the order in which they acted, whichever was found out first.
    unsent: BTreeSet<(Tick, MarkId)>,
    /// What has come back and may be lost all the same.
    pub(super) unconfirmed: Unconfirmed,
    /// Who sends again, while there is nothing to send.
    sender: Option<oneshot::Sender<()>>,
    /// Who waits until none of these is here.
    waiting: Vec<(HashSet<MarkId>, oneshot::Sender<()>)>,
}

/// Who was to be told of marks that will not come back. Dropped outside of every lock, since that wakes strangers.
#[derive(Debug)]
#[must_use]
pub(super) struct GivenUp {
    _groups: Vec<Arc<Group>>,
    _sender: Option<oneshot::Sender<()>>,
    _waiting: Vec<(HashSet<MarkId>, oneshot::Sender<()>)>,
}

impl Pending {
    pub(super) fn len(&self) -> usize {
        self.marks.len()
    }

    /// Marks that are now handed to the log, the first of which acted at `first`, the next at the next tick and so on. What
    /// is given back completes when the last of them has come back.
    pub(super) fn accept(&mut self, marks: &[Mark], first: Tick) -> oneshot::Receiver<()> {
        let (send, done) = oneshot::channel();
        let group = Arc::new(Group(Mutex::new(Some(send))));
        for (mark, tick) in marks.iter().zip(first.0..) {
            let group = Some(Arc::clone(&group));
            let one = One { mark: mark.clone(), tick: Tick(tick), sent: Sent::Out, group };
            self.marks.insert(mark.id, one);
        }
        done
    }

    /// A mark that the log has lost, or does not know yet: it is to be sent.
    pub(super) fn send(&mut self, mark: Mark, tick: Tick) {
        let id = mark.id;
        self.marks.insert(id, One { mark, tick, sent: Sent::Out, group: None });
        self.not_sent(id);
    }

    /// The tick at which a mark acted, if it is pending.
    pub(super) fn tick(&self, id: MarkId) -> Option<Tick> {
        self.marks.get(&id).map(|one| one.tick)
    }

    fn not_sent(&mut self, id: MarkId) {
        let Some(one) = self.marks.get_mut(&id) else { return };
        one.sent = Sent::Not;
        self.unsent.insert((one.tick, id));
        if let Some(sender) = self.sender.take() {
            let _ = sender.send(());
        }
    }

    /// The log has answered for marks that it was handed together: the version of the last; `None` if it has not
    /// taken them, or nobody knows. False if it gave them versions off the history, as far as that is known here.
    pub(super) fn answered(
        &mut self,
        ids: &[MarkId],
        last: Option<Version>,
        history: &History,
        done: &mut Done,
    ) -> bool {
        let Some(last) = last else {
            ids.iter().for_each(|id| self.not_sent(*id));
            return true;
        };
        for (id, back) in ids.iter().rev().zip(0..) {
            let at = Version { seq: last.seq.saturating_sub(back), ..last };
            // It may have come back already, and even been lost and sent again.
            if let Some(one) = self.marks.get_mut(id)
                && one.sent == Sent::Out
            {
                one.sent = Sent::At(at);
            }
        }
        self.confirm(last, history, done);
        history.holds(last)
    }

    /// The log will not lose what it held up to this version.
    pub(super) fn confirm(&mut self, version: Version, history: &History, done: &mut Done) {
        done.settled.extend(self.unconfirmed.confirm(version, history));
    }

    /// A mark has come back with this number.
    pub(super) fn returned(&mut self, id: MarkId, at: Version, history: &History, done: &mut Done) {
        let Some(one) = self.marks.remove(&id) else { return };
        self.unsent.remove(&(one.tick, id));
        if !self.unconfirmed.came_back(one.mark, at, history) {
            done.settled.push(id);
        }
        done.note(one.group);
        let come = self.waiting.extract_if(.., |(ids, _)| ids.remove(&id) && ids.is_empty());
        done.waiters.extend(come.map(|(_, waiter)| waiter));
    }

    /// The history is another: what was given a version off it is to be sent again.
    pub(super) fn turn(&mut self, history: &History) {
        let off = |one: &One| matches!(one.sent, Sent::At(version) if !history.holds(version));
        let lost = self.marks.iter().filter(|(_, one)| off(one)).map(|(id, _)| *id);
        let lost: Vec<MarkId> = lost.collect();
        lost.into_iter().for_each(|id| self.not_sent(id));
    }

    /// All of them.
    pub(super) fn ids(&self) -> Vec<MarkId> {
        self.marks.keys().copied().collect()
    }

    /// Those of some marks whose numbers lie at or below this one on the history: a reader who stands there has passed
    /// them, though it was not given them.
    pub(super) fn passed(
        &self,
        ids: &[MarkId],
        seq: u64,
        history: &History,
    ) -> Vec<(Mark, Tick, Version)> {
        let ones = ids.iter().filter_map(|id| self.marks.get(id));
        let passed = ones.filter_map(|one| match one.sent {
            Sent::At(at) if at.seq <= seq && history.holds(at) => {
                Some((one.mark.clone(), one.tick, at))
            }
            _ => None,
        });
        let mut passed: Vec<(Mark, Tick, Version)> = passed.collect();
        passed.sort_unstable_by_key(|(.., at)| at.seq);
        passed
    }

    /// Takes what is to be sent, at most so many, in order.
    pub(super) fn take(&mut self, most: usize) -> Vec<Mark> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some((_, id)) = self.unsent.pop_first()
        {
            if let Some(one) = self.marks.get_mut(&id) {
                one.sent = Sent::Out;
                taken.push(one.mark.clone());
            }
        }
        taken
    }

    /// `None` if there is something to be sent; else what completes once there may be. While nothing can be sent there is
    /// nothing.
    pub(super) fn wait(&mut self, cannot: bool) -> Option<oneshot::Receiver<()>> {
        if !self.unsent.is_empty() && !cannot {
            return None;
        }
        let (send, wait) = oneshot::channel();
        self.sender = Some(send);
        Some(wait)
    }

    /// Nothing will come back any more: nobody is to wait.
    pub(super) fn give_up(&mut self) -> GivenUp {
        GivenUp {
            _groups: self.marks.values_mut().filter_map(|one| one.group.take()).collect(),
            _sender: self.sender.take(),
            _waiting: std::mem::take(&mut self.waiting),
        }
    }

    /// What is to be sent can be from now on.
    pub(super) fn may_send(&mut self) {
        self.sender = None;
    }

    /// Those of some marks that the log may lack, or lose.
    pub(super) fn unsettled(&self, ids: &[MarkId]) -> Vec<Mark> {
        let pending = |id| self.marks.get(&id).map(|one| &one.mark);
        let of = |id: &MarkId| pending(*id).or_else(|| self.unconfirmed.get(*id));
        ids.iter().filter_map(of).cloned().collect()
    }

    /// All such marks, about in the order in which they acted.
    pub(super) fn all_unsettled(&self) -> Vec<Mark> {
        let mut ones: Vec<&One> = self.marks.values().collect();
        ones.sort_unstable_by_key(|one| one.tick);
        let mut marks = self.unconfirmed.all();
        marks.extend(ones.into_iter().map(|one| one.mark.clone()));
        marks
    }

    /// `None` if none of these marks is here; else what completes once none is.
    pub(super) fn wait_for(&mut self, ids: &[MarkId]) -> Option<oneshot::Receiver<()>> {
        let here = |id: &&MarkId| self.marks.contains_key(*id);
        let ids: HashSet<MarkId> = ids.iter().filter(here).copied().collect();
        if ids.is_empty() {
            return None;
        }
        let (send, wait) = oneshot::channel();
        self.waiting.push((ids, send));
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use samovar_core::{Mode, Scope};
    use samovar_testkit::log::mark;

    use super::*;

    #[test]
    fn what_is_sent_again_goes_in_the_order_in_which_it_acted() {
        let mut pending = Pending::default();
        let (history, mut done) = (History(vec![]), Done::default());
        for id in 1..=3 {
            let marks = [mark(id, Scope::Everything, Mode::Remove, 0)];
            let _waits = pending.accept(&marks, Tick(id as u64));
        }
        let taken = |pending: &mut Pending| -> Vec<u128> {
            pending.take(2).iter().map(|mark| mark.id.0).collect()
        };
        // The first is on its way once more when it is found out that the others did not arrive.
        for (failed, expected) in [(&[1][..], &[1][..]), (&[3, 2, 1], &[1, 2]), (&[1], &[1, 3])] {
            for id in failed {
                assert!(pending.answered(&[MarkId(*id)], None, &history, &mut done));
            }
            assert_eq!(taken(&mut pending), expected, "{failed:?}");
        }
        done.tell();
    }
}
