//! Marks that were accepted here and have not come back through the log: whether the log has them, and who waits.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_channel::oneshot;
use parking_lot::Mutex;
use samovar_core::{History, Mark, MarkId, Tick, Version};

/// What is known of where a mark stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// Handed to the log, which has not answered.
    Out,
    /// Given this version by the log.
    At(Version),
    /// To be sent (again), in this order.
    Not(u64),
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
pub(super) struct Done(Vec<oneshot::Sender<()>>);

impl Done {
    fn note(&mut self, group: Option<Arc<Group>>) {
        // The last of a group that comes back is the one that finds nobody else there.
        if let Some(group) = group.and_then(Arc::into_inner) {
            self.0.extend(group.0.into_inner());
        }
    }

    pub(super) fn tell(self) {
        for waiter in self.0 {
            let _ = waiter.send(());
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pending {
    marks: HashMap<MarkId, One>,
    /// Those that are [`Sent::Not`], by their order.
    unsent: BTreeMap<u64, MarkId>,
    next: u64,
    /// Who sends again, while there is nothing to send.
    sender: Option<oneshot::Sender<()>>,
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
        if !matches!(one.sent, Sent::Not(_)) {
            self.next += 1;
            one.sent = Sent::Not(self.next);
            self.unsent.insert(self.next, id);
        }
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
        history.holds(last)
    }

    /// A mark has come back.
    pub(super) fn returned(&mut self, id: MarkId, done: &mut Done) -> bool {
        let Some(one) = self.marks.remove(&id) else { return false };
        if let Sent::Not(order) = one.sent {
            self.unsent.remove(&order);
        }
        done.note(one.group);
        true
    }

    /// The history is another: what was given a version off it is to be sent again.
    pub(super) fn turn(&mut self, history: &History) {
        let off = |one: &One| matches!(one.sent, Sent::At(version) if !history.holds(version));
        let mut lost: Vec<(u64, MarkId)> = Vec::new();
        for (id, one) in self.marks.iter().filter(|(_, one)| off(one)) {
            if let Sent::At(version) = one.sent {
                lost.push((version.seq, *id));
            }
        }
        lost.sort_unstable();
        lost.into_iter().for_each(|(_, id)| self.not_sent(id));
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
    ) -> Vec<(Mark, Tick, u64)> {
        let ones = ids.iter().filter_map(|id| self.marks.get(id));
        let passed = ones.filter_map(|one| match one.sent {
            Sent::At(at) if at.seq <= seq && history.holds(at) => {
                Some((one.mark.clone(), one.tick, at.seq))
            }
            _ => None,
        });
        let mut passed: Vec<(Mark, Tick, u64)> = passed.collect();
        passed.sort_unstable_by_key(|(.., seq)| *seq);
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

    /// `None` if there is something to be sent; else what completes once there may be.
    pub(super) fn wait(&mut self) -> Option<oneshot::Receiver<()>> {
        if !self.unsent.is_empty() {
            return None;
        }
        let (send, wait) = oneshot::channel();
        self.sender = Some(send);
        Some(wait)
    }

    /// Nothing will come back any more: nobody is to wait.
    pub(super) fn give_up(&mut self) {
        self.marks.values_mut().for_each(|one| one.group = None);
        self.sender = None;
    }
}
