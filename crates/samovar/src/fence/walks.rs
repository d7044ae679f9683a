//! Random walks of two fences over a log that fails over, trims, restarts empty and is founded again, with a shared
//! tier that goes back, a disk that is swept, slow loads and a crash: the rules of the fence, step by step.
//!
//! * I1: no read that begins after a node applied a `remove` is given a value that was read before it; after an `expire`
//!   it may be, but never as fresh, and only within the window.
//! * I2: once all is quiet every node has applied every invalidation that any accepted (if none crashed, or if it was in
//!   the journal of who did and the log lost nothing that it had confirmed), nothing is pending for ever, and what was
//!   read last is served. None comes to the log twice by a crash alone.
//! * What only `expire`s cover is served while their windows last, whatever becomes of the log (as long as no mark is
//!   forgotten or trimmed).
//!
//! Nothing but the log, the tiers and the source is made up here: what decides is the code that users run. Each step is
//! drawn from all that can happen next, so a walk that fails shrinks to a short history.

mod checks;
mod node;
mod server;
mod talk;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::FutureExt;
use proptest::prelude::*;
use samovar_core::{
    Day, Entry, Epoch, History, Judge, Keep, Key, Lifetime, Mark, MarkId, Millis, Mode, Next,
    Partition, Parts, Scope, Span, Stamp, Tags, Token, Verdict, Version,
};
use samovar_testkit::clock::FakeClock;
use samovar_testkit::log::mark;

use super::*;
use node::{Frame, Load, Node, key};
use server::Server;
use world::{Step, World};

const NODES: usize = 2;
/// So few scopes are remembered: marks are forgotten all the time.
const MARKS_MAX: usize = 3;
const LIFETIME: Lifetime =
    Lifetime { ttl: Duration::from_secs(3_600), stale_window: Duration::from_secs(100) };

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

/// What a mark says.
fn mode(of: u32) -> Mode {
    if (of / 7).is_multiple_of(2) { Mode::Remove } else { Mode::Expire }
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
    /// How often a node leaves what it knows beside the log.
    tables: u32,
    waits: u32,
    /// Whether the log loses nothing that it has confirmed.
    replicas: bool,
}

const NOTHING: Bounds = Bounds {
    commits: 0,
    failovers: 0,
    trims: 0,
    rollbacks: 0,
    crashes: 0,
    restarts: 0,
    tables: 0,
    waits: 0,
    replicas: false,
};

/// The luck of a commit that is an `expire` of the one key; that of a `remove` is nought.
const EXPIRE: u32 = 7;

/// What was read before, in the shared tier and in the other node's memory.
const HELD: [Step; 4] = [Step::Begin(1), Step::Read(1), Step::KeepShared(1), Step::KeepMemory(1)];

impl World {
    fn take_all(&mut self, steps: impl IntoIterator<Item = (Step, u32)>) {
        for (step, more) in steps {
            self.take(step, more);
            self.check();
        }
    }
}

#[test]
fn what_came_back_and_was_not_confirmed_outlives_a_crash_and_a_failover() {
    for (mode, left) in [(0, 0), (EXPIRE, 2)] {
        let mut world =
            World::new(Bounds { commits: 1, failovers: 1, crashes: 1, replicas: true, ..NOTHING });
        // The log takes the mark, too few confirm it, and the failover loses it. The other node does not hear of it before.
        let here = [(Step::Commit(0), mode), (Step::Arrive(0), 0), (Step::Answer(0), 0)];
        let ends = [Step::Tail(0), Step::Journal(0), Step::FailOver, Step::Crash(0)];
        world.take_all(HELD.map(|step| (step, 0)).into_iter().chain(here));
        world.take_all(ends.map(|step| (step, 0)));
        assert!(!world.lost && world.nodes[0].fence.pending() == 1);
        world.settle();
        let other = world.nodes[1].serves(world.shared);
        assert!(other.iter().all(|(.., verdict)| *verdict == Verdict::Stale));
        assert_eq!(other.len(), left);
    }
}

#[test]
fn what_a_failover_lost_is_what_it_was_when_it_is_sent_again() {
    for (mode, left) in [(0, 0), (EXPIRE, 2)] {
        let mut world = World::new(Bounds { commits: 1, failovers: 1, ..NOTHING });
        let here = [(Step::Commit(0), mode), (Step::Arrive(0), 0), (Step::Answer(0), 0)];
        let ends = [(Step::Tail(0), 0), (Step::FailOver, 0)];
        world.take_all(HELD.map(|step| (step, 0)).into_iter().chain(here).chain(ends));
        world.settle();
        assert_eq!(world.server.marks.len(), 1);
        let other = world.nodes[1].serves(world.shared);
        assert!(other.iter().all(|(.., verdict)| *verdict == Verdict::Stale));
        assert_eq!(other.len(), left);
    }
}

#[test]
fn who_comes_to_a_table_beside_the_log_labels_what_it_says_is_expired() {
    let bounds = Bounds { commits: 1, tables: 1, crashes: 1, ..NOTHING };
    let mut world = World::new(bounds);
    let here = [(Step::Commit(1), EXPIRE), (Step::Arrive(1), 0), (Step::Answer(1), 0)];
    let ends = [Step::Tail(1), Step::LeaveTable(1), Step::Crash(0)];
    world.take_all(HELD.map(|step| (step, 0)).into_iter().chain(here));
    world.take_all(ends.map(|step| (step, 0)));
    let (_, value, verdict) = world.nodes[0].serves(world.shared)[0];
    assert_eq!((value, verdict), (0, Verdict::Stale));
    world.settle();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6_000, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn the_rules_hold(
        steps in prop::collection::vec(any::<u32>(), 20..160),
        commits in 1..4u64,
        failovers in 0..3u32,
        trims in 0..3u32,
        rollbacks in 0..3u32,
        crashes in 0..3u32,
        restarts in 0..3u32,
        tables in 0..4u32,
        waits in 0..3u32,
        replicas: bool,
        warm: bool,
    ) {
        let bounds = Bounds { commits, failovers, trims, rollbacks, crashes, restarts, tables, waits, replicas };
        let mut world = World::new(bounds);
        if warm {
            world.take_all(HELD.map(|step| (step, 0)));
        }
        steps.into_iter().for_each(|luck| world.step(luck));
        world.settle();
    }
}
