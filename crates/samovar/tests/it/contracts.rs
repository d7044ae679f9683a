//! The contract suites of the testkit, run against every tier and log.

use std::sync::Arc;
use std::time::Duration;

use samovar::codec::{CodecId, Payload};
use samovar::fence::LocalLog;
use samovar::tier::{DiskOptions, DiskTier, MemoryTier, Shared};
use samovar::{Counted, Counters, Fence};
use samovar_core::{ErrorKind, Judge, Key, MarkLog, Mode, Scope, Tier, Version};
use samovar_testkit::clock::FakeClock;
use samovar_testkit::tier::Subject;
use samovar_testkit::{log, tier as suite};
use tempfile::{TempDir, tempdir};

use crate::support::{MARKS_MAX, START, block_on};

fn fence() -> Fence {
    let log = LocalLog::volatile(MARKS_MAX).unwrap();
    Fence::new(&block_on(log.snapshot()).unwrap(), FakeClock::at(START), MARKS_MAX).unwrap()
}

fn disk(directory: &TempDir, fence: &Fence, max_bytes: u64) -> DiskTier {
    let options = DiskOptions { max_bytes, sweep_after: None, ..DiskOptions::default() };
    let judge: Arc<dyn Judge> = Arc::new(fence.clone());
    DiskTier::open(
        directory.path(),
        options,
        judge,
        FakeClock::at(START),
        Arc::new(Counters::default()),
    )
    .unwrap()
}

fn on_disk(version: Version) -> Subject<DiskTier> {
    Subject {
        make: |bytes| Payload::new(CodecId::BYTES, bytes.to_vec()),
        read: |value| value.bytes().unwrap().unwrap().to_vec(),
        version,
        read_at: START,
        drift: Duration::ZERO,
    }
}

#[test]
fn memory_tier() {
    let subject = Subject::<MemoryTier> {
        make: |bytes| Shared::new(Arc::new(bytes.to_vec()), bytes.len()),
        read: |value| value.value::<Vec<u8>>().unwrap().to_vec(),
        version: fence().position(),
        read_at: START,
        drift: Duration::ZERO,
    };
    suite::suite(MemoryTier::new, &subject);
}

#[test]
fn disk_tier() {
    let fence = fence();
    let directories = std::cell::RefCell::new(Vec::new());
    let fresh = |max_bytes| {
        let directory = tempdir().unwrap();
        let tier = disk(&directory, &fence, max_bytes);
        directories.borrow_mut().push(directory);
        tier
    };
    suite::suite(fresh, &on_disk(fence.position()));
}

#[test]
fn disk_tier_is_durable() {
    let fence = fence();
    let directory = tempdir().unwrap();
    suite::durable_suite(|| disk(&directory, &fence, 1 << 30), &on_disk(fence.position()));
}

#[test]
fn the_file_stays_near_the_budget() {
    let (fence, directory) = (fence(), tempdir().unwrap());
    let budget = 8 << 20;
    let tier = disk(&directory, &fence, budget);
    let subject = on_disk(fence.position());
    // Ten budgets of entries of all sizes.
    let mut written = 0;
    for round in 0u64.. {
        let length = (round * 7_919 % 150_000) as usize;
        tier.put(&Key::new("c", round.to_string()), subject.entry(&vec![round as u8; length]));
        written += length as u64;
        if written > 10 * budget {
            break;
        }
        if round % 50 == 0 {
            block_on(tier.flush()).unwrap();
        }
    }
    block_on(tier.close()).unwrap();
    let file = directory.path().join("cache.redb").metadata().unwrap().len();
    assert!(file <= 4 * budget, "{file} bytes for a budget of {budget}");
}

#[test]
fn room_is_waited_for() {
    let (fence, directory) = (fence(), tempdir().unwrap());
    let options = DiskOptions { queue_bytes: 100_000, sweep_after: None, ..DiskOptions::default() };
    let counters = Arc::new(Counters::default());
    let judge: Arc<dyn Judge> = Arc::new(fence.clone());
    let tier =
        DiskTier::open(directory.path(), options, judge, FakeClock::at(START), counters).unwrap();
    let subject = on_disk(fence.position());
    for id in 0..100 {
        tier.put(&Key::new("c", id.to_string()), subject.entry(&[id; 50_000]));
        block_on(tier.room()).unwrap();
    }
    block_on(tier.flush()).unwrap();
    assert_eq!(tier.usage().total().entries, 100, "none was turned down");
}

#[test]
fn a_full_queue_turns_down_and_keeps_nothing_older() {
    let (fence, directory) = (fence(), tempdir().unwrap());
    let options = DiskOptions { queue_bytes: 100_000, sweep_after: None, ..DiskOptions::default() };
    let counters = Arc::new(Counters::default());
    let judge: Arc<dyn Judge> = Arc::new(fence.clone());
    let tier = DiskTier::open(
        directory.path(),
        options,
        judge,
        FakeClock::at(START),
        Arc::clone(&counters),
    )
    .unwrap();
    let subject = on_disk(fence.position());
    let key = Key::new("c", "k");
    tier.put(&key, subject.entry(b"old"));
    block_on(tier.flush()).unwrap();
    for id in 0..200 {
        // Faster than it is written, most likely; if not, nothing is turned down.
        tier.put(&Key::new("c", id.to_string()), subject.entry(&[1; 50_000]));
    }
    tier.put(&key, subject.entry(b"new"));
    block_on(tier.flush()).unwrap();
    let found = block_on(tier.get(&key)).unwrap().map(|entry| (subject.read)(&entry.value));
    assert!(found.is_none() || found.as_deref() == Some(b"new"), "{found:?}");
    let dropped = counters.snapshot().count(Counted::FillDropped);
    assert_eq!(tier.usage().total().entries + dropped, 201);
}

#[test]
fn local_log() {
    let directories = std::cell::RefCell::new(Vec::new());
    log::suite(|| {
        let directory = tempdir().unwrap();
        let (log, notice) = LocalLog::open(directory.path(), MARKS_MAX).unwrap();
        assert_eq!(notice, None);
        directories.borrow_mut().push(directory);
        Arc::new(log)
    });
}

#[test]
fn local_log_is_durable() {
    let directory = tempdir().unwrap();
    log::durable_suite(|| {
        // A log that was dropped and not closed lets go of its file a moment later.
        loop {
            match LocalLog::open(directory.path(), MARKS_MAX) {
                Ok((log, None)) => return Arc::new(log),
                Ok((_, Some(notice))) => unreachable!("{notice}"),
                Err(error) if error.kind() == ErrorKind::Held => std::thread::yield_now(),
                Err(error) => unreachable!("{error}"),
            }
        }
    });
}

#[test]
fn volatile_log() {
    log::suite(|| Arc::new(LocalLog::volatile(MARKS_MAX).unwrap()));
}

#[test]
fn step_log() {
    log::suite(|| log::StepLog::at_once());
}

#[test]
fn a_log_stays_bounded_by_its_scopes() {
    let directory = tempdir().unwrap();
    let (log, _) = LocalLog::open(directory.path(), MARKS_MAX).unwrap();
    for round in 0..50u128 {
        let marks = (0..40).map(|n| {
            let (scope, mode) = match n % 4 {
                0 => (Scope::Everything, Mode::Expire),
                1 => (Scope::Cache("a".into()), Mode::Expire),
                2 => (Scope::Cache("a".into()), Mode::Remove),
                _ => (crate::support::key("a", "k"), Mode::Remove),
            };
            log::mark(round * 100 + n, scope, mode, 0)
        });
        log::append(&log, marks.collect()).unwrap();
    }
    let snapshot = block_on(log.snapshot()).unwrap();
    assert_eq!(snapshot.head.seq, 2_000);
    assert!(snapshot.marks.len() < 30, "{}", snapshot.marks.len());
}
