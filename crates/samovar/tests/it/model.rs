//! The fence against a simple model, over random histories: for each thing that can be read, the last commit before
//! which nothing may be served (or only with a label).
//!
//! * I1 is never violated, from any tier, by slow loads, pending marks, sweeps or restarts.
//! * It stays warm: what was read after the last mark that covers it *is* served, whatever is put late, unless it is
//!   below the floor of what was forgotten.
//!
//! A *cell* is what has one value at the source: a plain key, or a day of a store (three of which make a block).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_channel::oneshot;
use proptest::prelude::*;
use samovar::redis::RedisSettings;
use samovar::{Answer, Cache, Found, Loaded, PutOptions, Samovar, Settings};
use samovar_core::{
    Day, Error, Key, Mode, Part, Partition, Scope, Span, Stamp, Tags, Verdict, Version,
};
use samovar_testkit::clock::FakeClock;
use samovar_testkit::log::StepLog;
use tempfile::{TempDir, tempdir};

use crate::support::{START, Stepped, block_on, policy, settings};

const PLAIN: u8 = 2;
const STORES: u8 = 1;
const DAYS: usize = 3;
const CELLS: usize = PLAIN as usize + STORES as usize * DAYS;

/// A plain key, or the block of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    Plain(u8),
    Block(u8),
}

impl Item {
    fn cells(self) -> Vec<usize> {
        match self {
            Item::Plain(key) => vec![key as usize],
            Item::Block(store) => {
                let first = PLAIN as usize + store as usize * DAYS;
                (first..first + DAYS).collect()
            }
        }
    }

    fn key(self) -> Key {
        match self {
            Item::Plain(key) => Key::new("plain", key.to_string()),
            Item::Block(store) => Key::new("blocks", store.to_string()),
        }
    }

    /// Each bears a tag of its own, and one that all plain keys and blocks but the first key have in common.
    fn tags(self) -> Tags {
        let key = self.key();
        let common = (self != Item::Plain(0)).then(|| "common".to_owned());
        Tags::new([format!("{}-{}", key.cache, key.id)].into_iter().chain(common)).unwrap()
    }
}

/// Patterns, and what they cover.
const PATTERNS: [(&str, &[Item]); 6] = [
    ("plain:*", &[Item::Plain(0), Item::Plain(1)]),
    ("plain:[^0]", &[Item::Plain(1)]),
    ("*:0", &[Item::Plain(0), Item::Block(0)]),
    ("bl??ks:*", &[Item::Block(0)]),
    ("plain:?1", &[]),
    ("*", &[Item::Plain(0), Item::Plain(1), Item::Block(0)]),
];

#[derive(Clone, Debug)]
enum Covers {
    Item(Item),
    Day(u8, u8),
    /// The tag that an item has to itself.
    OwnTag(Item),
    CommonTag,
    Pattern(usize),
    Plains,
    Blocks,
    Everything,
}

impl Covers {
    fn scope(&self) -> Scope {
        match self {
            Covers::Item(item) => Scope::Key(item.key()),
            Covers::Day(store, day) => {
                Scope::Partition(Partition::new(store.to_string(), Day(i32::from(*day))))
            }
            Covers::OwnTag(item) => {
                Scope::Tag(format!("{}-{}", item.key().cache, item.key().id).into())
            }
            Covers::CommonTag => Scope::Tag("common".into()),
            Covers::Pattern(at) => Scope::Pattern(PATTERNS[*at].0.parse().unwrap()),
            Covers::Plains => Scope::Cache("plain".into()),
            Covers::Blocks => Scope::Cache("blocks".into()),
            Covers::Everything => Scope::Everything,
        }
    }

    fn cells(&self) -> Vec<usize> {
        match self {
            Covers::Item(item) | Covers::OwnTag(item) => item.cells(),
            Covers::CommonTag => (1..CELLS).collect(),
            Covers::Pattern(at) => PATTERNS[*at].1.iter().flat_map(|item| item.cells()).collect(),
            Covers::Day(store, day) => vec![Item::Block(*store).cells()[*day as usize]],
            Covers::Plains => (0..PLAIN as usize).collect(),
            Covers::Blocks => (PLAIN as usize..CELLS).collect(),
            Covers::Everything => (0..CELLS).collect(),
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    /// Read from the source, and kept: in memory and below, or below alone.
    Put(Item, bool),
    /// The days that may not be served are read anew, the others are kept with their stamps.
    Splice(u8),
    Peek(Item),
    Get(Item),
    /// A load that reads the source now and ends later.
    SlowLoad(u8),
    EndLoad(u8),
    /// A commit at the source with its mark; the log has not answered.
    Mark(Covers, Mode),
    /// The log answers, and its tail shows it.
    Log,
    Flush,
    Sweep,
    Restart,
}

fn item() -> impl Strategy<Value = Item> {
    prop_oneof![(0..PLAIN).prop_map(Item::Plain), (0..STORES).prop_map(Item::Block)]
}

fn covers() -> impl Strategy<Value = Covers> {
    prop_oneof![
        3 => item().prop_map(Covers::Item),
        4 => (0..STORES, 0..DAYS as u8).prop_map(|(store, day)| Covers::Day(store, day)),
        2 => item().prop_map(Covers::OwnTag),
        1 => Just(Covers::CommonTag),
        3 => (0..PATTERNS.len()).prop_map(Covers::Pattern),
        1 => Just(Covers::Plains),
        1 => Just(Covers::Blocks),
        1 => Just(Covers::Everything),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let mode = prop_oneof![2 => Just(Mode::Remove), 1 => Just(Mode::Expire)];
    prop_oneof![
        4 => (item(), any::<bool>()).prop_map(|(item, memory)| Op::Put(item, memory)),
        2 => (0..STORES).prop_map(Op::Splice),
        4 => item().prop_map(Op::Peek),
        4 => item().prop_map(Op::Get),
        2 => (0..PLAIN).prop_map(Op::SlowLoad),
        2 => (0..4u8).prop_map(Op::EndLoad),
        5 => (covers(), mode).prop_map(|(covers, mode)| Op::Mark(covers, mode)),
        4 => Just(Op::Log),
        2 => Just(Op::Flush),
        2 => Just(Op::Sweep),
        1 => Just(Op::Restart),
    ]
}

/// What the model knows of a cell.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    source: u64,
    /// Values below may not be served.
    removed: u64,
    /// Values below may be served labelled.
    expired: u64,
    /// In memory there is a value that no mark has covered since it was read.
    warm: bool,
    /// On disk too, and no mark was pending when it was written.
    warm_below: bool,
    /// The number of the log when that was read.
    read: u64,
}

struct World {
    directory: TempDir,
    log: Arc<StepLog>,
    clock: Arc<FakeClock>,
    marks_max: usize,
    redis: Option<RedisSettings>,
    samovar: Samovar,
    plain: Cache<Vec<u8>>,
    blocks: Cache<Vec<u8>>,
    source: Arc<Vec<AtomicU64>>,
    cells: [Cell; CELLS],
    marks: Vec<Stepped<Result<Version, Error>>>,
    loads: Vec<Load>,
}

struct Load {
    key: u8,
    caller: Stepped<Result<Answer<Vec<u8>>, Error>>,
    go: oneshot::Sender<()>,
    /// What it read, if it is its own loader that reads.
    read: Arc<AtomicU64>,
    /// The floor when it asked.
    floor: u64,
}

fn open(
    directory: &TempDir,
    log: &Arc<StepLog>,
    clock: &Arc<FakeClock>,
    marks_max: usize,
    redis: Option<&RedisSettings>,
) -> Samovar {
    log.set_at_once(true);
    let samovar = block_on(Samovar::open(Settings {
        log: Some(Arc::clone(log) as _),
        marks_max,
        redis: redis.cloned(),
        ..settings(Some(directory.path()), clock)
    }))
    .unwrap();
    log.set_at_once(false);
    samovar
}

impl World {
    fn new(marks_max: usize, redis: Option<RedisSettings>) -> World {
        let (directory, log, clock) = (tempdir().unwrap(), StepLog::new(), FakeClock::at(START));
        let samovar = open(&directory, &log, &clock, marks_max, redis.as_ref());
        World {
            plain: samovar.cache(policy("plain")),
            blocks: samovar.cache(policy("blocks")),
            directory,
            log,
            clock,
            marks_max,
            redis,
            samovar,
            source: Arc::new((0..CELLS).map(|_| AtomicU64::new(0)).collect()),
            cells: [Cell::default(); CELLS],
            marks: Vec::new(),
            loads: Vec::new(),
        }
    }

    fn cache(&self, item: Item) -> &Cache<Vec<u8>> {
        match item {
            Item::Plain(_) => &self.plain,
            Item::Block(_) => &self.blocks,
        }
    }

    fn read(&self, cells: &[usize]) -> Vec<u8> {
        cells
            .iter()
            .flat_map(|cell| self.source[*cell].load(Ordering::SeqCst).to_le_bytes())
            .collect()
    }

    fn stamp(&self) -> Stamp {
        Stamp::new(self.samovar.fence().token(), START)
    }

    fn part(item: Item, days: std::ops::RangeInclusive<usize>, stamp: Stamp) -> Part {
        let span = match item {
            Item::Plain(_) => None,
            Item::Block(store) => Some(Span {
                store: store.to_string().into(),
                from: Day(*days.start() as i32),
                to: Day(*days.end() as i32),
            }),
        };
        Part { span, stamp }
    }

    fn put(&mut self, item: Item, memory: bool) {
        let stamp = self.stamp();
        let cells = item.cells();
        let value = self.read(&cells);
        let parts = [World::part(item, 0..=DAYS - 1, stamp)].into();
        let id = item.key().id;
        let pending = self.samovar.fence().pending() > 0;
        let options = PutOptions { tags: item.tags(), below: !memory, ..PutOptions::default() };
        self.cache(item).put_with(&id, value, parts, options);
        for cell in cells {
            self.cells[cell].warm = memory;
            self.cells[cell].warm_below = !pending;
            self.cells[cell].read = stamp.version.seq;
        }
    }

    fn splice(&mut self, store: u8) {
        let item = Item::Block(store);
        let stamp = self.stamp();
        let id = item.key().id;
        let pending = self.samovar.fence().pending() > 0;
        let Some(found) = block_on(self.blocks.get(&id)) else { return };
        self.check(item, &found);
        let old = self.days(item, &found);
        let cells = item.cells();
        let (mut value, mut parts) = (Vec::new(), Vec::new());
        for (day, cell) in cells.iter().enumerate() {
            match old[day] {
                Some((Verdict::Fresh, _, kept)) => {
                    value.extend_from_slice(&found[day * 8..day * 8 + 8]);
                    parts.push(World::part(item, day..=day, kept));
                    self.cells[*cell].warm = true;
                }
                _ => {
                    value.extend(self.read(&[*cell]));
                    parts.push(World::part(item, day..=day, stamp));
                    self.cells[*cell].warm = true;
                    self.cells[*cell].warm_below = !pending;
                    self.cells[*cell].read = stamp.version.seq;
                }
            }
        }
        let options = PutOptions { tags: found.tags().clone(), ..PutOptions::default() };
        self.blocks.put_with(&id, value, parts.into(), options);
    }

    /// By day (a plain key has one): verdict, value and stamp.
    fn days(&self, item: Item, found: &Found<Vec<u8>>) -> Vec<Option<(Verdict, u64, Stamp)>> {
        let id = item.key().id;
        let cells = item.cells();
        (0..cells.len())
            .map(|day| {
                let value = u64::from_le_bytes(found[day * 8..day * 8 + 8].try_into().unwrap());
                let holds = |part: &&Part| {
                    part.span.as_ref().is_none_or(|s| (s.from.0..=s.to.0).contains(&(day as i32)))
                };
                let part = found.parts().iter().find(holds)?;
                let verdict = self.cache(item).judge(&id, &part.only(Day(day as i32)), found);
                Some((verdict, value, part.stamp))
            })
            .collect()
    }

    /// I1.
    fn check(&self, item: Item, found: &Found<Vec<u8>>) {
        for (day, cell) in self.days(item, found).into_iter().zip(item.cells()) {
            let Some((verdict, value, _)) = day else { continue };
            let Cell { removed, expired, .. } = self.cells[cell];
            match verdict {
                Verdict::Fresh => {
                    assert!(value >= removed.max(expired), "{item:?}: {value} is served as fresh");
                }
                Verdict::Stale => assert!(value >= removed, "{item:?}: {value} is served as stale"),
                Verdict::Refused => {}
            }
        }
    }

    fn look(&mut self, item: Item, below: bool) {
        let id = item.key().id;
        let cache = self.cache(item);
        let found = if below { block_on(cache.get(&id)) } else { cache.peek(&id) };
        if let Some(found) = &found {
            self.check(item, found);
        }
        // Warmth.
        let days = found.as_ref().map(|found| self.days(item, found));
        let floor = self.samovar.fence().floor(&item.key().cache);
        for (day, cell) in item.cells().into_iter().enumerate() {
            if self.cells[cell].read < floor {
                continue;
            }
            let verdict = days.as_ref().and_then(|days| days[day]).map(|(verdict, ..)| verdict);
            if self.cells[cell].warm {
                assert_eq!(verdict, Some(Verdict::Fresh), "{item:?}, day {day} is in memory");
            }
            if below && self.cells[cell].warm_below {
                assert!(
                    verdict.is_some_and(|verdict| verdict < Verdict::Refused),
                    "{item:?}, day {day} is on disk: {verdict:?}"
                );
            }
        }
    }

    fn mark(&mut self, covers: &Covers, mode: Mode) {
        // Source commit, then event, then mark.
        for cell in covers.cells() {
            let now = self.source[cell].fetch_add(1, Ordering::SeqCst) + 1;
            let known = &mut self.cells[cell];
            known.source = now;
            match mode {
                Mode::Remove => known.removed = now,
                Mode::Expire => known.expired = now,
            }
            known.warm = false;
            known.warm_below = false;
        }
        let (samovar, scope) = (self.samovar.clone(), covers.scope());
        let mut mark = Stepped::new(async move { samovar.mark(vec![scope], mode, "test").await });
        assert!(mark.step().is_none());
        self.marks.push(mark);
    }

    fn log(&mut self) {
        self.log.commit();
        self.log.show();
        for mark in self.marks.drain(..) {
            mark.finish().unwrap();
        }
        assert_eq!(self.samovar.fence().pending(), 0);
    }

    fn slow_load(&mut self, key: u8) {
        let (go, held) = oneshot::channel::<()>();
        let (cache, source) = (self.plain.clone(), Arc::clone(&self.source));
        let read = Arc::new(AtomicU64::new(u64::MAX));
        let seen = Arc::clone(&read);
        let mut caller = Stepped::new(async move {
            let load = move |_| async move {
                let value = source[key as usize].load(Ordering::SeqCst);
                seen.store(value, Ordering::SeqCst);
                let _ = held.await;
                let value = value.to_le_bytes().to_vec();
                Ok(Loaded::from(value).tags(Item::Plain(key).tags()))
            };
            cache.get_or_load(&key.to_string(), load).await
        });
        let floor = self.cells[key as usize].removed;
        if let Some(answer) = caller.step() {
            assert!(number(&answer.unwrap().value.unwrap()) >= floor);
            return;
        }
        self.loads.push(Load { key, caller, go, read, floor });
    }

    /// Lets a load go, and takes what is ready. A load that waits behind another goes on then.
    fn end_load(&mut self, at: u8) {
        if self.loads.is_empty() {
            return;
        }
        let load = self.loads.remove(at as usize % self.loads.len());
        let Load { key, caller, go, read, floor } = load;
        let _ = go.send(());
        // Its flight may be another's, which is held back, or behind one: let all of this key go.
        let (same, others): (Vec<Load>, Vec<Load>) =
            self.loads.drain(..).partition(|load| load.key == key);
        self.loads = others;
        let mut all = vec![(caller, read, floor)];
        for load in same {
            let _ = load.go.send(());
            all.push((load.caller, load.read, load.floor));
        }
        for (caller, _, floor) in all {
            let answer = caller.finish().unwrap();
            assert!(
                number(&answer.value.unwrap()) >= floor,
                "read before a mark that came before the question"
            );
        }
        // Whatever was kept by these, in whatever order: what was warm is so still.
    }

    fn restart(&mut self) {
        while !self.loads.is_empty() {
            self.end_load(0);
        }
        self.log();
        block_on(self.samovar.close()).unwrap();
        let redis = self.redis.as_ref();
        self.samovar = open(&self.directory, &self.log, &self.clock, self.marks_max, redis);
        self.plain = self.samovar.cache(policy("plain"));
        self.blocks = self.samovar.cache(policy("blocks"));
        for cell in &mut self.cells {
            cell.warm = false;
            // What was read before is labelled.
            cell.expired = cell.source + 1;
        }
        for source in self.source.iter() {
            source.fetch_add(1, Ordering::SeqCst);
        }
        for (cell, source) in self.cells.iter_mut().zip(self.source.iter()) {
            cell.source = source.load(Ordering::SeqCst);
        }
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Put(item, memory) => self.put(*item, *memory),
            Op::Splice(store) => self.splice(*store),
            Op::Peek(item) => self.look(*item, false),
            Op::Get(item) => self.look(*item, true),
            Op::SlowLoad(key) => self.slow_load(*key),
            Op::EndLoad(at) => self.end_load(*at),
            Op::Mark(covers, mode) => self.mark(covers, *mode),
            Op::Log => self.log(),
            Op::Flush => block_on(self.samovar.flush()).unwrap(),
            Op::Sweep => block_on(self.samovar.sweep()).map(drop).unwrap(),
            Op::Restart => self.restart(),
        }
    }
}

fn number(value: &[u8]) -> u64 {
    u64::from_le_bytes(value.try_into().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_fence_holds(
        ops in proptest::collection::vec(op(), 1..80),
        marks_max in prop_oneof![Just(1_000), 0..9usize],
    ) {
        holds(&ops, marks_max, None);
    }
}

/// The same with Redis between memory and disk.
#[test]
fn the_fence_holds_with_redis() {
    let server = crate::redis::launch();
    let config =
        ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() };
    let ops = proptest::collection::vec(op(), 1..80);
    let marks_max = prop_oneof![Just(1_000), 0..9usize];
    proptest!(config, |(ops in ops, marks_max in marks_max)| {
        holds(&ops, marks_max, Some(crate::redis::at(&server)));
    });
}

fn holds(ops: &[Op], marks_max: usize, redis: Option<RedisSettings>) {
    let mut world = World::new(marks_max, redis);
    for op in ops {
        world.apply(op);
    }
    world.restart();
    for key in 0..PLAIN {
        world.look(Item::Plain(key), true);
    }
    for store in 0..STORES {
        world.look(Item::Block(store), true);
    }
    block_on(world.samovar.close()).unwrap();
}
