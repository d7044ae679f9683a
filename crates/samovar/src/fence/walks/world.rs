//! All that there is, and what can happen to it.

use std::cell::Cell;

use super::*;

/// One thing that can happen next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Commit(usize),
    Noise(usize),
    Arrive(usize),
    /// The marks never arrive.
    Vanish(usize),
    Answer(usize),
    /// The answer is lost.
    Silence(usize),
    SendAgain(usize),
    /// The node renews its lease.
    Renew(usize),
    /// What the log lacks or may lose becomes durable on the node.
    Journal(usize),
    /// What the node knows comes to lie beside the log.
    LeaveTable(usize),
    Tail(usize),
    Begin(usize),
    Read(usize),
    KeepShared(usize),
    KeepMemory(usize),
    KeepDisk(usize),
    LookShared(usize),
    LookDisk(usize),
    Promote(usize),
    Sweep(usize),
    Crash(usize),
    /// The node is stopped properly, and comes again with what it knew.
    Restart(usize),
    FailOver,
    StartEmpty(usize),
    Trim,
    RollBack,
    /// Time goes by.
    Wait,
}

pub(super) struct World {
    pub(super) clock: Arc<FakeClock>,
    /// What each commit's invalidation says, and when it was accepted.
    pub(super) commits: Vec<(Mode, Millis)>,
    pub(super) server: Server,
    pub(super) nodes: Vec<Node>,
    pub(super) shared: Option<Frame>,
    /// Every frame that the shared tier ever held.
    old: Vec<Frame>,
    /// Which commit a mark tells of.
    pub(super) tells: BTreeMap<MarkId, u64>,
    ids: u128,
    pub(super) left: Bounds,
    pub(super) crashed: bool,
    /// A node has crashed with marks pending that were not in its journal.
    pub(super) lost: bool,
    /// The log may have lost what a node that has crashed alone had seen.
    pub(super) failed_over: bool,
    /// Something may be refused: by a mark, or because some marks are not known any more.
    pub(super) removes: Cell<bool>,
    pub(super) path: Vec<String>,
}

impl World {
    pub(super) fn new(left: Bounds) -> World {
        let (mut server, clock) = (Server::new(), FakeClock::at(Millis(0)));
        let nodes = (0..NODES).map(|_| Node::new(Some(&server.snapshot()), &clock)).collect();
        World {
            clock,
            commits: Vec::new(),
            server,
            nodes,
            shared: None,
            old: Vec::new(),
            tells: BTreeMap::new(),
            ids: 0,
            left,
            crashed: false,
            lost: false,
            failed_over: false,
            removes: Cell::new(false),
            path: Vec::new(),
        }
    }

    /// The commit that was last.
    pub(super) fn last(&self) -> u64 {
        self.commits.len() as u64
    }

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (i, node) in self.nodes.iter().enumerate() {
            let mut may = |yes: bool, step: Step| steps.extend(yes.then_some(step));
            may(self.last() < self.left.commits, Step::Commit(i));
            may(self.last() < self.left.commits, Step::Noise(i));
            may(!node.out.is_empty(), Step::Arrive(i));
            may(!node.out.is_empty() && self.left.failovers > 0, Step::Vanish(i));
            may(!node.answers.is_empty(), Step::Answer(i));
            may(!node.answers.is_empty(), Step::Silence(i));
            may(node.fence.pending() > 0, Step::SendAgain(i));
            may(!node.fence.all_unsettled().is_empty(), Step::Journal(i));
            may(true, Step::Renew(i));
            may(true, Step::Tail(i));
            may(node.load.is_none(), Step::Begin(i));
            may(node.load.as_ref().is_some_and(|load| load.read.is_none()), Step::Read(i));
            may(node.loaded().is_some(), Step::KeepShared(i));
            may(node.loaded().is_some(), Step::KeepMemory(i));
            may(node.loaded().is_some(), Step::KeepDisk(i));
            may(self.shared.is_some(), Step::LookShared(i));
            may(node.disk.is_some(), Step::LookDisk(i));
            may(node.found.is_some(), Step::Promote(i));
            may(node.disk.is_some(), Step::Sweep(i));
            may(self.left.crashes > 0 && i == 0, Step::Crash(i));
            may(self.left.restarts > 0, Step::Restart(i));
            may(self.left.tables > 0 && self.may_leave_table(node), Step::LeaveTable(i));
            let may_be_lost = self.left.failovers > 0 && !self.left.replicas;
            may(may_be_lost && !self.server.changed, Step::StartEmpty(i));
        }
        let mut may = |yes: bool, step: Step| steps.extend(yes.then_some(step));
        may(self.left.failovers > 0 && !self.server.changed, Step::FailOver);
        let holds = !self.server.changed && !self.server.marks.is_empty();
        may(self.left.trims > 0 && holds, Step::Trim);
        may(self.left.rollbacks > 0 && !self.old.is_empty(), Step::RollBack);
        may(self.left.waits > 0, Step::Wait);
        steps
    }

    /// Whether what a node knows is other than what lies beside the log.
    fn may_leave_table(&self, node: &Node) -> bool {
        let (at, there) = (node.fence.position(), self.server.table.as_ref());
        at.seq > 0 && there.is_none_or(|known| known.head != at) && !node.fence.is_adrift()
    }

    /// Lets one of the things happen that can; `luck` chooses it, and what it leaves open.
    pub(super) fn step(&mut self, luck: u32) {
        let steps = self.steps();
        let step = steps[luck as usize % steps.len()];
        let more = luck / steps.len() as u32;
        self.path.push(format!("{step:?}, {more}"));
        self.take(step, more);
        self.check();
    }

    pub(super) fn take(&mut self, step: Step, more: u32) {
        match step {
            Step::Commit(i) => self.commit(i, more),
            Step::Noise(i) => self.accept(i, scope(more - more % 7 + 6), mode(more), None),
            Step::Arrive(_)
            | Step::Vanish(_)
            | Step::Answer(_)
            | Step::Silence(_)
            | Step::SendAgain(_)
            | Step::Renew(_)
            | Step::LeaveTable(_)
            | Step::Tail(_) => self.talk(step, more),
            Step::Journal(i) => self.nodes[i].journal = self.nodes[i].fence.all_unsettled(),
            Step::Begin(i) => {
                let token = self.nodes[i].fence.token();
                self.nodes[i].load = Some(Load { token, read: None });
            }
            Step::Read(i) => {
                let now = self.last();
                self.nodes[i].load.iter_mut().for_each(|load| load.read = Some(now));
            }
            Step::KeepShared(i) => {
                let Some((value, token)) = self.nodes[i].loaded() else { return };
                self.shared = Some((value, token.version));
                self.old.extend(self.shared);
            }
            Step::KeepMemory(i) => self.nodes[i].keep_memory(),
            Step::KeepDisk(i) => self.nodes[i].keep_disk(),
            Step::LookShared(i) => self.nodes[i].found = self.nodes[i].recall(self.shared),
            Step::LookDisk(i) => {
                self.nodes[i].found = self.nodes[i].recall(self.nodes[i].disk_frame());
            }
            Step::Promote(i) => self.nodes[i].promote(),
            Step::Sweep(i) => self.nodes[i].sweep(),
            Step::Crash(i) => self.crash(i, more),
            Step::Restart(i) => self.restart(i, more),
            Step::FailOver => self.fail_over(more),
            Step::StartEmpty(i) => self.found_again(i),
            Step::Trim => self.trim(),
            Step::RollBack => {
                self.left.rollbacks -= 1;
                self.shared = Some(self.old[more as usize % self.old.len()]);
            }
            Step::Wait => {
                self.left.waits -= 1;
                self.clock.advance(LIFETIME.stale_window * 3 / 5);
            }
        }
    }

    fn commit(&mut self, i: usize, more: u32) {
        let covers = more - more % 7 + more % 7 % 6;
        let mode = mode(more);
        self.commits.push((mode, self.clock.now()));
        self.accept(i, scope(covers), mode, Some(self.last()));
    }

    fn trim(&mut self) {
        self.left.trims -= 1;
        self.removes.set(true);
        self.server.first = self.server.marks.remove(0).version.seq;
    }

    fn accept(&mut self, i: usize, scope: Scope, mode: Mode, commit: Option<u64>) {
        self.ids += 1;
        let mark = mark(self.ids, scope, mode, self.clock.now().0);
        let node = &mut self.nodes[i];
        drop(node.fence.accept(std::slice::from_ref(&mark)));
        if let Some(commit) = commit {
            self.removes.set(self.removes.get() || mode == Mode::Remove);
            self.tells.insert(mark.id, commit);
            node.seen.insert(commit);
        }
        node.out.push((vec![mark], None));
    }

    /// A `remove` of everything, of the same name on every node.
    pub(super) fn everything(&self, Epoch(name): Epoch) -> impl FnOnce() -> Mark {
        let (removes, now) = (&self.removes, self.clock.now());
        move || {
            removes.set(true);
            mark(u128::from(name) << 64, Scope::Everything, Mode::Remove, now.0)
        }
    }
}
