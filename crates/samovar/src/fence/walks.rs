//! Random walks of two fences over a log that fails over, trims, restarts empty and is founded again, with a shared
//! tier that goes back, a disk that is swept, slow loads and a crash: the rules of the fence, step by step.
//!
//! * I1: no read that begins after a node applied an invalidation is given a value that was read before it.
//! * I2: once all is quiet every node has applied every invalidation that any accepted (if none crashed, or if it was in
//!   the journal of who did and the log lost nothing that it had confirmed), nothing is pending for ever, and what was read last is served. None comes to the log twice
//!   by a crash alone.
//!
//! Nothing but the log, the tiers and the source is made up here: what decides is the code that users run. Each step is
//! drawn from all that can happen next, so a walk that fails shrinks to a short history.

mod server;

use std::collections::{BTreeMap, BTreeSet};

use futures_util::FutureExt;
use proptest::prelude::*;
use samovar_core::{
    Day, Entry, Epoch, History, Judge, Keep, Key, Lifetime, Mark, MarkId, Millis, Mode, Next,
    Partition, Parts, Scope, Span, Stamp, Tags, Token, Verdict, Version,
};
use samovar_testkit::clock::FakeClock;

use super::*;
use server::Server;

const NODES: usize = 2;
/// So few scopes are remembered: marks are forgotten all the time.
const MARKS_MAX: usize = 3;
const LIFETIME: Lifetime = Lifetime {
    ttl: std::time::Duration::from_secs(3_600),
    stale_window: std::time::Duration::from_secs(3_600),
};

/// What lies below memory: the commit that it shows, and the version at which the read of it began.
type Frame = (u64, Version);

fn mark(id: u128, scope: Scope) -> Mark {
    samovar_testkit::log::mark(id, scope, Mode::Remove, 0)
}

/// Of the same name on every node.
fn everything(history: &History) -> Mark {
    let Epoch(name) = history.epoch().unwrap();
    mark(u128::from(name) << 64, Scope::Everything)
}

/// A load on its way.
#[derive(Clone, Debug)]
struct Load {
    token: Token,
    /// What was read, once it was.
    read: Option<u64>,
}

struct Node {
    fence: Fence,
    /// Commits whose invalidation was applied here.
    seen: BTreeSet<u64>,
    memory: Option<(u64, Parts)>,
    load: Option<Load>,
    /// What was found below, on its way to memory.
    found: Option<(u64, Parts)>,
    /// On the way to the log, in order: some marks, and the head that they were sent for.
    out: Vec<(Vec<Mark>, Option<Version>)>,
    /// On the way back.
    answers: Vec<(Vec<MarkId>, Option<Version>)>,
    disk: Option<Frame>,
    clean: Option<Version>,
    /// Marks that are durable here until they come back.
    journal: Vec<Mark>,
}

impl Node {
    /// Without a snapshot the log is away.
    fn new(snapshot: Option<&Snapshot>) -> Node {
        let clock = FakeClock::at(Millis(0));
        let fence = match snapshot {
            Some(snapshot) => Fence::new(snapshot, clock, MARKS_MAX).unwrap(),
            None => Fence::adrift(clock, MARKS_MAX),
        };
        fence.inner.state.write().pending.unconfirmed.keep();
        Node {
            fence,
            journal: Vec::new(),
            seen: BTreeSet::new(),
            memory: None,
            load: None,
            found: None,
            out: Vec::new(),
            answers: Vec::new(),
            disk: None,
            clean: None,
        }
    }

    /// A frame on disk counts as new as the sweep behind it.
    fn disk_frame(&self) -> Option<Frame> {
        let (value, own) = self.disk?;
        let clean = self.clean.filter(|clean| {
            self.fence.holds(*clean) && clean.seq > own.seq && self.fence.holds(own)
        });
        Some((value, clean.unwrap_or(own)))
    }

    /// What a read is given of a frame, and the parts that it has then in memory.
    fn recall(&self, frame: Option<Frame>) -> Option<(u64, Parts)> {
        let (value, version) = frame?;
        let before = self.fence.tick();
        let entry = self.fence.recall(&key(), entry(version, Tick(0)), before)?;
        self.serves(&entry.parts).then_some((value, entry.parts))
    }

    fn serves(&self, parts: &Parts) -> bool {
        let entry = Entry { parts: parts.clone(), ..entry(VERSION, Tick(0)) };
        self.fence.judge_memory(&key(), entry.claim()) == Verdict::Fresh
    }
}

const VERSION: Version = Version { epoch: Epoch(1), seq: 0 };

fn key() -> Key {
    Key::new("c", "k")
}

fn entry(version: Version, tick: Tick) -> Entry<()> {
    let span = Span { store: "s".into(), from: Day(1), to: Day(1) };
    let stamp = Stamp { version, tick, read_at: Millis(0) };
    Entry {
        value: (),
        parts: [samovar_core::Part { span: Some(span), stamp }].into(),
        tags: Tags::new(["t"]).unwrap(),
        lifetime: LIFETIME,
    }
}

/// Every scope that covers the one key, and one that does not.
fn scope(of: u32) -> Scope {
    match of % 7 {
        0 => Scope::Key(key()),
        1 => Scope::Cache("c".into()),
        2 => Scope::Everything,
        3 => Scope::Tag("t".into()),
        4 => Scope::Pattern("c:?".parse().unwrap()),
        5 => Scope::Partition(Partition::new("s", Day(1))),
        _ => Scope::Key(Key::new("c", of.to_string())),
    }
}

/// What may happen, and how often.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    commits: u64,
    failovers: u32,
    trims: u32,
    rollbacks: u32,
    crashes: u32,
    restarts: u32,
    /// Whether the log loses nothing that it has confirmed.
    replicas: bool,
}

struct World {
    commits: u64,
    server: Server,
    nodes: Vec<Node>,
    shared: Option<Frame>,
    /// Every frame that the shared tier ever held.
    old: Vec<Frame>,
    /// Which commit a mark tells of.
    tells: BTreeMap<MarkId, u64>,
    ids: u128,
    left: Bounds,
    crashed: bool,
    /// A node has crashed with marks pending that were not in its journal.
    lost: bool,
    /// The log may have lost what a node that has crashed alone had seen.
    failed_over: bool,
    path: Vec<String>,
}

/// One thing that can happen next.
#[derive(Clone, Copy, Debug)]
enum Step {
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
}

impl World {
    fn new(left: Bounds) -> World {
        let mut server = Server::new();
        let nodes = (0..NODES).map(|_| Node::new(Some(&server.snapshot()))).collect();
        World {
            commits: 0,
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
            path: Vec::new(),
        }
    }

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (i, node) in self.nodes.iter().enumerate() {
            let mut may = |yes: bool, step: Step| steps.extend(yes.then_some(step));
            may(self.commits < self.left.commits, Step::Commit(i));
            may(self.commits < self.left.commits, Step::Noise(i));
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
            let loaded = node.load.as_ref().is_some_and(|load| load.read.is_some());
            may(loaded, Step::KeepShared(i));
            may(loaded, Step::KeepMemory(i));
            may(loaded, Step::KeepDisk(i));
            may(self.shared.is_some(), Step::LookShared(i));
            may(node.disk.is_some(), Step::LookDisk(i));
            may(node.found.is_some(), Step::Promote(i));
            may(node.disk.is_some(), Step::Sweep(i));
            may(self.left.crashes > 0 && i == 0, Step::Crash(i));
            may(self.left.restarts > 0, Step::Restart(i));
            let may_be_lost = self.left.failovers > 0 && !self.left.replicas;
            may(may_be_lost && !self.server.changed, Step::StartEmpty(i));
        }
        let mut may = |yes: bool, step: Step| steps.extend(yes.then_some(step));
        may(self.left.failovers > 0 && !self.server.changed, Step::FailOver);
        may(
            self.left.trims > 0 && !self.server.changed && !self.server.marks.is_empty(),
            Step::Trim,
        );
        may(self.left.rollbacks > 0 && !self.old.is_empty(), Step::RollBack);
        steps
    }

    /// Lets one of the things happen that can; `luck` chooses it, and what it leaves open.
    fn step(&mut self, luck: u32) {
        let steps = self.steps();
        let step = steps[luck as usize % steps.len()];
        let more = luck / steps.len() as u32;
        self.path.push(format!("{step:?}"));
        self.take(step, more);
        self.check();
    }

    fn take(&mut self, step: Step, more: u32) {
        match step {
            Step::Commit(i) => {
                self.commits += 1;
                let covers = more - more % 7 + more % 7 % 6;
                self.accept(i, scope(covers), Some(self.commits));
            }
            Step::Noise(i) => self.accept(i, scope(more - more % 7 + 6), None),
            Step::Arrive(i) => {
                let (marks, head) = self.nodes[i].out.remove(0);
                let mut version = self.server.append(&marks, head);
                if self.left.replicas && more.is_multiple_of(2) {
                    // Too few have confirmed it in time.
                    version = None;
                }
                if let Some(version) = version {
                    self.server.confirmed = version.seq;
                }
                let ids = marks.iter().map(|mark| mark.id).collect();
                self.nodes[i].answers.push((ids, version));
            }
            Step::Vanish(i) => {
                let (marks, _) = self.nodes[i].out.remove(0);
                let ids = marks.iter().map(|mark| mark.id).collect();
                self.nodes[i].answers.push((ids, None));
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
            Step::Journal(i) => {
                let node = &mut self.nodes[i];
                node.journal = node.fence.all_unsettled();
            }
            Step::Tail(i) => self.tail(i),
            Step::Begin(i) => {
                let node = &mut self.nodes[i];
                node.load = Some(Load { token: node.fence.token(), read: None });
            }
            Step::Read(i) => {
                if let Some(load) = &mut self.nodes[i].load {
                    load.read = Some(self.commits);
                }
            }
            Step::KeepShared(i) => {
                let Some((value, token)) = self.loaded(i) else { return };
                self.shared = Some((value, token.version));
                self.old.extend(self.shared);
            }
            Step::KeepMemory(i) => {
                let Some((value, token)) = self.loaded(i) else { return };
                let parts = entry(token.version, token.tick).parts;
                let node = &mut self.nodes[i];
                // What would be refused at every read is not kept; a promoted one is not newer than what stands.
                if node.serves(&parts) {
                    node.memory = Some((value, parts));
                }
                node.load = None;
            }
            Step::KeepDisk(i) => {
                let Some((value, token)) = self.loaded(i) else { return };
                let node = &mut self.nodes[i];
                // Within the writer.
                let entry = entry(token.version, Tick(0));
                let keep = node.fence.judge_stored(&key(), entry.claim());
                let clean = node.clean.filter(|clean| node.fence.holds(*clean));
                if let Keep::CleanTo(to) = keep
                    && clean.is_none_or(|clean| clean.seq <= to)
                {
                    node.disk = Some((value, token.version));
                }
            }
            Step::LookShared(i) => self.nodes[i].found = self.nodes[i].recall(self.shared),
            Step::LookDisk(i) => {
                let node = &mut self.nodes[i];
                node.found = node.recall(node.disk_frame());
            }
            Step::Promote(i) => {
                let node = &mut self.nodes[i];
                if node.memory.is_none() {
                    node.memory = node.found.clone();
                }
                node.found = None;
            }
            Step::Sweep(i) => {
                let node = &mut self.nodes[i];
                let Some(position) = Judge::position(&node.fence) else { return };
                let frame = node.disk_frame();
                let keep = frame.map(|(_, version)| {
                    node.fence.judge_stored(&key(), entry(version, Tick(0)).claim())
                });
                if keep == Some(Keep::Drop) {
                    node.disk = None;
                }
                let to = match keep {
                    Some(Keep::CleanTo(to)) => position.seq.min(to),
                    _ => position.seq,
                };
                node.clean = Some(Version { seq: to, ..position });
                node.fence.swept(node.clean);
            }
            Step::Crash(i) => {
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
                let snapshot = (more.is_multiple_of(2)).then_some(&snapshot);
                let mut node = Node { disk, clean, ..Node::new(snapshot) };
                node.fence.restore(journal.clone(), snapshot);
                let marks = snapshot.into_iter().flat_map(|known| &known.marks).map(|m| &m.mark);
                let marks = marks.chain(&journal);
                node.seen.extend(marks.filter_map(|mark| self.tells.get(&mark.id)));
                node.journal = journal;
                self.nodes[i] = node;
            }
            Step::Restart(i) => {
                self.left.restarts -= 1;
                let node = &self.nodes[i];
                let (disk, clean) = (node.disk, node.clean);
                let (journal, before) = (node.fence.all_unsettled(), node.fence.remains());
                let (mut seen, mut log) = (node.seen.clone(), None);
                let node = match (more % 3, before) {
                    // The log is away, and it serves what it has.
                    (0, Some(before)) => Node::new(Some(&before.known)),
                    (1, before) => {
                        let node = Node::new(None);
                        before.into_iter().for_each(|before| node.fence.remember(before));
                        node
                    }
                    (_, before) => {
                        let node = Node::new(None);
                        before.into_iter().for_each(|before| node.fence.remember(before));
                        let snapshot = self.server.snapshot();
                        let everything = everything(&snapshot.history);
                        node.fence.join(&snapshot, || everything);
                        let marks = snapshot.marks.iter();
                        seen.extend(marks.filter_map(|m| self.tells.get(&m.mark.id)));
                        log = Some(snapshot);
                        node
                    }
                };
                node.fence.restore(journal.clone(), log.as_ref());
                self.nodes[i] = Node { disk, clean, seen, journal, ..node };
            }
            Step::FailOver => {
                self.left.failovers -= 1;
                self.failed_over = true;
                let (first, last) = (self.server.first, self.server.last());
                let first =
                    if self.left.replicas { first.max(self.server.confirmed) } else { first };
                let kept = first + u64::from(more) % (last - first + 1);
                self.server.marks.retain(|m| m.version.seq <= kept);
                // A replica may not have heard of the newest epochs either.
                let knew = |start: u64| start < kept || (start == kept && more.is_multiple_of(2));
                let mut knows: Vec<(Epoch, u64)> = Vec::new();
                for (at, epoch) in self.server.history.iter().enumerate() {
                    if at == 0 || knew(epoch.1) {
                        knows.push(*epoch);
                    }
                }
                self.server.history = knows;
                self.server.changed = true;
            }
            Step::StartEmpty(i) => self.found_again(i),
            Step::Trim => {
                self.left.trims -= 1;
                self.server.first = self.server.marks.remove(0).version.seq;
            }
            Step::RollBack => {
                self.left.rollbacks -= 1;
                self.shared = Some(self.old[more as usize % self.old.len()]);
            }
        }
    }

    fn accept(&mut self, i: usize, scope: Scope, commit: Option<u64>) {
        self.ids += 1;
        let mark = mark(self.ids, scope);
        let node = &mut self.nodes[i];
        drop(node.fence.accept(std::slice::from_ref(&mark)));
        if let Some(commit) = commit {
            self.tells.insert(mark.id, commit);
            node.seen.insert(commit);
        }
        node.out.push((vec![mark], None));
    }

    fn loaded(&self, i: usize) -> Option<(u64, Token)> {
        let load = self.nodes[i].load.as_ref()?;
        Some((load.read?, load.token))
    }

    fn tail(&mut self, i: usize) {
        if self.nodes[i].fence.is_adrift() {
            let snapshot = self.server.snapshot();
            let node = &mut self.nodes[i];
            let everything = everything(&snapshot.history);
            node.fence.join(&snapshot, || everything);
            node.seen.extend(snapshot.marks.iter().filter_map(|m| self.tells.get(&m.mark.id)));
            return;
        }
        let (history, after) = self.nodes[i].fence.known();
        let Some(next) = self.server.next(&history, after) else { return };
        let node = &mut self.nodes[i];
        match next {
            Next::Marks(marks) => {
                node.fence.apply(&marks).unwrap();
                node.seen.extend(marks.iter().filter_map(|m| self.tells.get(&m.mark.id)));
            }
            Next::History(history) => self.turn(i, history),
            Next::Gap(begins) => {
                node.fence.gap(begins);
                node.seen.extend(
                    self.server
                        .marks
                        .iter()
                        .filter(|m| m.version.seq <= begins)
                        .filter_map(|m| self.tells.get(&m.mark.id)),
                );
            }
        }
    }

    fn turn(&mut self, i: usize, history: History) {
        if self.nodes[i].fence.is_adrift() {
            // All of it is taken in before anything else is.
            return self.tail(i);
        }
        let everything = everything(&history);
        self.nodes[i].fence.turn(history, || everything);
    }

    /// The log's server starts empty, and a node founds the log again: its own history as far as its position, and a
    /// new epoch from there.
    fn found_again(&mut self, i: usize) {
        self.left.failovers -= 1;
        self.failed_over = true;
        let (history, after) = self.nodes[i].fence.known();
        if self.nodes[i].fence.is_adrift() {
            return;
        }
        let mut epochs: Vec<(Epoch, u64)> =
            history.0.iter().filter(|(_, start)| *start <= after).copied().collect();
        epochs.push((self.server.name(), after));
        self.server.marks.clear();
        self.server.first = after;
        self.server.history = epochs;
        self.tail(i);
    }

    /// I1.
    fn check(&self) {
        for (i, node) in self.nodes.iter().enumerate() {
            let top = node.seen.last().copied().unwrap_or(0);
            let memory = node.memory.as_ref().filter(|(_, parts)| node.serves(parts));
            let served = [
                ("memory", memory.map(|(value, _)| *value)),
                ("the shared tier", node.recall(self.shared).map(|(value, _)| value)),
                ("disk", node.recall(node.disk_frame()).map(|(value, _)| value)),
            ];
            for (tier, value) in served {
                assert!(
                    value.is_none_or(|value| value >= top),
                    "node {i} serves {value:?} from {tier} after it applied the invalidation of {top}:\n{}",
                    self.path.join("\n")
                );
            }
        }
    }

    /// I2: nothing more happens, and all that was begun is finished.
    fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 1_000, "it never comes to rest:\n{}", self.path.join("\n"));
            for i in 0..NODES {
                while !self.nodes[i].out.is_empty() {
                    self.take(Step::Arrive(i), 0);
                }
                while !self.nodes[i].answers.is_empty() {
                    self.take(Step::Answer(i), 0);
                }
                self.take(Step::SendAgain(i), 0);
                self.tail(i);
                self.check();
            }
            let history = self.server.look();
            let head = (history, self.server.last());
            let rests = |node: &Node| {
                let (history, seq) = node.fence.known();
                node.out.is_empty() && ((*history).clone(), seq) == head
            };
            let all = self.nodes.iter().all(rests);
            if all && self.nodes.iter().all(|node| node.fence.pending() == 0) {
                break;
            }
        }
        let has_lost = self.failed_over && !self.left.replicas;
        if !self.crashed || !(self.lost || has_lost) {
            for (i, node) in self.nodes.iter().enumerate() {
                let memory = node.memory.as_ref().filter(|(_, parts)| node.serves(parts));
                let held = memory.into_iter().map(|(value, _)| *value);
                let below = [node.recall(self.shared), node.recall(node.disk_frame())];
                let below = below.into_iter().flatten().map(|(value, _)| value);
                for value in held.chain(below) {
                    assert_eq!(
                        value,
                        self.commits,
                        "node {i} never heard of it:\n{}",
                        self.path.join("\n")
                    );
                }
            }
        }
        // Whatever has happened: what is read now is served by everybody.
        let token = self.nodes[0].fence.token();
        for node in &self.nodes {
            assert!(node.recall(Some((self.commits, token.version))).is_some(), "it stays warm");
        }
    }
}

#[test]
fn what_came_back_and_was_not_confirmed_outlives_a_crash_and_a_failover() {
    let bounds = Bounds {
        commits: 1,
        failovers: 1,
        trims: 0,
        rollbacks: 0,
        crashes: 1,
        restarts: 0,
        replicas: true,
    };
    let mut world = World::new(bounds);
    // The other node has what was read before, and does not hear of the mark before it is lost.
    let other = [Step::Begin(1), Step::Read(1), Step::KeepMemory(1)];
    // The luck of each is nought: the log takes the mark, too few confirm it, and the failover loses it.
    let here = [Step::Commit(0), Step::Arrive(0), Step::Answer(0), Step::Tail(0)];
    let ends = [Step::Journal(0), Step::FailOver, Step::Crash(0)];
    for step in other.into_iter().chain(here).chain(ends) {
        world.take(step, 0);
        world.check();
    }
    assert!(!world.lost && world.nodes[0].fence.pending() == 1);
    world.settle();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn the_rules_hold(
        steps in prop::collection::vec(any::<u32>(), 20..160),
        commits in 1..4u64,
        failovers in 0..3u32,
        trims in 0..3u32,
        rollbacks in 0..3u32,
        crashes in 0..3u32,
        restarts in 0..3u32,
        replicas: bool,
    ) {
        let mut world = World::new(Bounds { commits, failovers, trims, rollbacks, crashes, restarts, replicas });
        steps.into_iter().for_each(|luck| world.step(luck));
        world.settle();
    }
}
