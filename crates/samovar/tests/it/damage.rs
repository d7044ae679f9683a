//! Damaged files: whatever bytes are changed, nothing wrong is served, and what happened is said.

use std::fs;
use std::path::Path;

use samovar::{Counted, Samovar};
use samovar_core::{ErrorKind, Mode};
use samovar_testkit::clock::FakeClock;
use tempfile::{TempDir, tempdir};

use crate::support::{START, block_on, key, mark, open, policy, settings, whole};

const KEYS: u64 = 60;

fn value(id: u64) -> Vec<u8> {
    let mut seed = id + 1;
    (0..100 + id * 397).map(|_| random(&mut seed) as u8).collect()
}

/// A directory with entries, a third of them removed by marks but not swept.
fn directory() -> TempDir {
    let (directory, clock) = (tempdir().unwrap(), FakeClock::at(START));
    let samovar = open(Some(directory.path()), &clock);
    let cache = samovar.cache::<Vec<u8>>(policy("c"));
    for id in 0..KEYS {
        cache.put(&id.to_string(), value(id), whole(&samovar));
    }
    block_on(samovar.flush()).unwrap();
    for id in (0..KEYS).step_by(3) {
        mark(&samovar, key("c", &id.to_string()), Mode::Remove);
    }
    block_on(samovar.close()).unwrap();
    directory
}

fn copy(from: &Path) -> TempDir {
    let copy = tempdir().unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    copy
}

/// Opens a directory and reads everything. Returns how many entries were served.
fn read_all(directory: &Path, damaged: bool) -> Result<u64, samovar_core::Error> {
    let samovar = block_on(Samovar::open(settings(Some(directory), &FakeClock::at(START))))?;
    let cache = samovar.cache::<Vec<u8>>(policy("c"));
    let mut served = 0;
    for id in 0..KEYS {
        if let Some(found) = block_on(cache.get(&id.to_string())) {
            assert_eq!(*found, value(id), "what is served is what was written");
            assert!(id % 3 != 0, "and not what was removed");
            served += 1;
        }
    }
    let counts = samovar.counters().snapshot();
    // What the marks refuse is not missing; restarting is no damage.
    let lost = served < KEYS - KEYS / 3;
    if lost && damaged {
        assert!(!samovar.counters().notices().is_empty(), "a loss is said: {counts:?}");
    }
    // It works on.
    cache.put("new", value(1), whole(&samovar));
    let _ = block_on(samovar.flush());
    let _ = block_on(samovar.sweep());
    if let Some(found) = block_on(cache.get("new")) {
        assert_eq!(*found, value(1));
    }
    let _ = block_on(samovar.close());
    Ok(served)
}

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn damage(file: &str, how: impl Fn(&mut Vec<u8>, &mut u64), rounds: u64) -> (u64, u64) {
    let directory = directory();
    assert_eq!(read_all(copy(directory.path()).path(), false).unwrap(), KEYS - KEYS / 3);
    let (mut served, mut refused) = (0, 0);
    for round in 1..=rounds {
        let copy = copy(directory.path());
        let path = copy.path().join(file);
        let mut bytes = fs::read(&path).unwrap();
        how(&mut bytes, &mut round.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        fs::write(&path, bytes).unwrap();
        match read_all(copy.path(), true) {
            Ok(n) => {
                served += n;
                // Whatever was repaired stays so.
                read_all(copy.path(), false).unwrap();
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Format, "{error}");
                refused += 1;
            }
        }
    }
    (served, refused)
}

fn flip(bytes: &mut [u8], seed: &mut u64) {
    for _ in 0..=random(seed) % 8 {
        let at = random(seed) as usize % bytes.len();
        bytes[at] ^= 1 << (random(seed) % 8);
    }
}

/// In the part of the file that is in use.
fn flip_early(bytes: &mut [u8], seed: &mut u64) {
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    flip(&mut bytes[..used], seed);
}

#[test]
fn flipped_bits_in_the_cache() {
    let (served, _) = damage("cache.redb", |bytes, seed| flip_early(bytes, seed), 60);
    assert!(served > 100, "most of it survives: {served}");
}

#[test]
fn flipped_bits_in_the_log() {
    damage("marks.redb", |bytes, seed| flip_early(bytes, seed), 60);
}

#[test]
fn lost_pages() {
    let lose = |bytes: &mut Vec<u8>, seed: &mut u64| {
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        let page = random(seed) as usize % (used / 4_096).max(1);
        bytes[page * 4_096..(page + 1) * 4_096].fill(if seed.is_multiple_of(2) { 0 } else { 0xa5 });
    };
    damage("cache.redb", lose, 30);
    damage("marks.redb", lose, 30);
}

#[test]
fn cut_short() {
    let cut = |bytes: &mut Vec<u8>, seed: &mut u64| {
        let length = random(seed) as usize % bytes.len();
        bytes.truncate(length);
    };
    damage("cache.redb", cut, 20);
    damage("marks.redb", cut, 20);
}

#[test]
fn a_damaged_value_is_dropped_and_said() {
    let directory = directory();
    let path = directory.path().join("cache.redb");
    let mut bytes = fs::read(&path).unwrap();
    // A stretch that only the value of key 59 has.
    let stretch = &value(59)[10_000..10_032];
    let at = bytes.windows(32).position(|window| window == stretch).unwrap();
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    let samovar = open(Some(directory.path()), &FakeClock::at(START));
    let cache = samovar.cache::<Vec<u8>>(policy("c"));
    assert!(block_on(cache.get("59")).is_none());
    assert_eq!(samovar.counters().snapshot().count(Counted::Damaged), 1);
    assert!(samovar.counters().notices()[0].text.contains("c:59"));
    assert_eq!(*block_on(cache.get("58")).unwrap(), value(58), "the others are there");
    block_on(samovar.flush()).unwrap();
    assert_eq!(samovar.usage()[1].1.total().entries, KEYS - 1);
    block_on(samovar.close()).unwrap();
}
