//! What passes between the nodes and the log.

use super::*;

impl World {
    pub(super) fn talk(&mut self, step: Step, more: u32) {
        match step {
            Step::Arrive(i) => self.arrive(i, more),
            Step::Vanish(i) => {
                let (marks, _) = self.nodes[i].out.remove(0);
                self.nodes[i].answers.push((names(&marks), None));
            }
            Step::Answer(i) => {
                let (ids, version) = self.nodes[i].answers.remove(0);
                if !self.nodes[i].fence.answered(&ids, version) {
                    let history = self.server.look();
                    self.turn(i, history);
                }
            }
            Step::Silence(i) => {
                let (ids, _) = self.nodes[i].answers.remove(0);
                self.nodes[i].fence.answered(&ids, None);
            }
            Step::SendAgain(i) => {
                if let Some((marks, head)) = self.nodes[i].fence.unsent(2).now_or_never() {
                    self.nodes[i].out.push((marks, Some(head)));
                }
            }
            Step::Renew(i) => {
                let history = self.server.look();
                let head = history.at(self.server.last()).unwrap();
                self.server.confirmed = head.seq;
                if self.nodes[i].fence.has_applied(head) {
                    self.nodes[i].fence.confirm(head);
                }
            }
            Step::LeaveTable(i) => {
                self.left.tables -= 1;
                self.server.table = self.nodes[i].fence.export();
            }
            Step::Tail(i) => self.tail(i),
            _ => unreachable!("nothing passes by {step:?}"),
        }
    }

    fn arrive(&mut self, i: usize, more: u32) {
        let (marks, head) = self.nodes[i].out.remove(0);
        let mut version = self.server.append(&marks, head);
        if self.left.replicas && more.is_multiple_of(2) {
            // Too few have confirmed it in time.
            version = None;
        }
        if let Some(version) = version {
            self.server.confirmed = version.seq;
        }
        self.nodes[i].answers.push((names(&marks), version));
    }

    /// The node has applied what the log ever held up to its position.
    fn has_seen(&mut self, i: usize) {
        let (history, seq) = self.nodes[i].fence.known();
        let told = self.server.told(&history, seq);
        let seen = told.filter_map(|id| self.tells.get(&id).copied());
        self.nodes[i].seen.extend(seen);
    }

    pub(super) fn tail(&mut self, i: usize) {
        if self.nodes[i].fence.is_adrift() {
            let snapshot = self.server.snapshot();
            let everything = self.everything(snapshot.head.epoch);
            self.nodes[i].fence.join(&snapshot, everything);
            return self.has_seen(i);
        }
        let (history, after) = self.nodes[i].fence.known();
        let Some(next) = self.server.next(&history, after) else { return };
        match next {
            Next::Marks(marks) => self.nodes[i].fence.apply(&marks).unwrap(),
            Next::History(history) => self.turn(i, history),
            Next::Gap(begins) => {
                self.nodes[i].fence.gap(begins);
            }
        }
        self.has_seen(i);
    }

    fn turn(&mut self, i: usize, history: History) {
        if self.nodes[i].fence.is_adrift() {
            // All of it is taken in before anything else is.
            return self.tail(i);
        }
        let everything = self.everything(history.epoch().unwrap());
        self.nodes[i].fence.turn(history, everything);
    }

    pub(super) fn fail_over(&mut self, more: u32) {
        self.left.failovers -= 1;
        self.failed_over = true;
        let (first, last) = (self.server.first, self.server.last());
        let first = if self.left.replicas { first.max(self.server.confirmed) } else { first };
        let kept = first + u64::from(more) % (last - first + 1);
        self.server.marks.retain(|m| m.version.seq <= kept);
        // A replica may not have heard of the newest epochs either, …
        let knew = |start: u64| start < kept || (start == kept && more.is_multiple_of(2));
        let epochs = self.server.history.iter().enumerate();
        let knows = epochs.filter(|(at, epoch)| *at == 0 || knew(epoch.1)).map(|(_, epoch)| *epoch);
        self.server.history = knows.collect();
        // … nor of what a node left beside the log.
        self.server.table = self.server.table.take().filter(|_| more & 4 == 0);
        self.server.changed = true;
    }

    /// The log's server starts empty, and a node founds the log again: its own history as far as its position, and a
    /// new epoch from there.
    pub(super) fn found_again(&mut self, i: usize) {
        self.left.failovers -= 1;
        self.failed_over = true;
        if self.nodes[i].fence.is_adrift() {
            return;
        }
        let (history, after) = self.nodes[i].fence.known();
        let mut epochs: Vec<(Epoch, u64)> =
            history.0.iter().filter(|(_, start)| *start <= after).copied().collect();
        epochs.push((self.server.name(), after));
        self.server.marks.clear();
        self.server.first = after;
        self.server.history = epochs;
        // Who comes later is told of nothing before that.
        self.removes.set(self.removes.get() || after > 0);
        self.tail(i);
    }

    pub(super) fn crash(&mut self, i: usize, more: u32) {
        self.left.crashes -= 1;
        self.crashed = true;
        let node = &self.nodes[i];
        let (disk, clean) = (node.disk, node.clean);
        let unsettled = node.fence.all_unsettled();
        let mut journal = node.journal.clone();
        let stands = |mark: &Mark| journal.iter().any(|kept| kept.id == mark.id);
        self.lost |= !unsettled.iter().all(stands);
        // What is settled is released; a crash may find it there all the same.
        if more & 2 == 0 {
            journal.retain(|kept| unsettled.iter().any(|mark| mark.id == kept.id));
        }
        let snapshot = self.server.snapshot();
        // The log may be away when the node comes again.
        let snapshot = more.is_multiple_of(2).then_some(&snapshot);
        let node = Node { disk, clean, ..Node::new(snapshot, &self.clock) };
        node.fence.restore(journal.clone(), snapshot);
        let seen = journal.iter().filter_map(|mark| self.tells.get(&mark.id).copied()).collect();
        self.nodes[i] = Node { seen, journal, ..node };
        self.has_seen(i);
    }

    pub(super) fn restart(&mut self, i: usize, more: u32) {
        self.left.restarts -= 1;
        let node = &self.nodes[i];
        let (disk, clean, seen) = (node.disk, node.clean, node.seen.clone());
        let (journal, before) = (node.fence.all_unsettled(), node.fence.remains());
        let (mut log, away) = (None, more % 3);
        let node = match before {
            // The log is away, and it serves what it has.
            Some(before) if away == 0 => Node::new(Some(&before.known), &self.clock),
            before => {
                let node = Node::new(None, &self.clock);
                before.into_iter().for_each(|before| node.fence.remember(before));
                if away != 1 {
                    let snapshot = self.server.snapshot();
                    node.fence.join(&snapshot, self.everything(snapshot.head.epoch));
                    log = Some(snapshot);
                }
                node
            }
        };
        node.fence.restore(journal.clone(), log.as_ref());
        self.nodes[i] = Node { disk, clean, seen, journal, ..node };
        self.has_seen(i);
    }
}

fn names(marks: &[Mark]) -> Vec<MarkId> {
    marks.iter().map(|mark| mark.id).collect()
}
