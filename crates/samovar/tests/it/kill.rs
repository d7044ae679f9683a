//! A process that is killed at any instant loses nothing that it acknowledged.
//!
//! The parent starts this very test binary again as a child, which writes and marks and says on its standard
//! output what it was told is durable. It is killed in the middle, and the parent opens what it left.
//!
//! Values are numbers that only grow. A mark on a key at number n makes all values below n invalid.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use samovar::{Samovar, Settings};
use samovar_core::{Mode, Verdict};
use tempfile::tempdir;

use crate::child::{self, Child, random, say};
use crate::support::{block_on, key, policy, whole};

const KEYS: u64 = 12;
const ROUNDS: usize = 40;

fn open(directory: &Path) -> Samovar {
    let settings = Settings {
        data_dir: Some(directory.into()),
        sweep_after: Some(Duration::from_millis(3)),
        ..Settings::default()
    };
    block_on(Samovar::open(settings)).unwrap()
}

/// Large enough for several pages, and recognisable as a whole.
fn value(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(200 + (number % 7) as usize * 1_500)
}

fn number(value: &[u8]) -> u64 {
    let number = u64::from_le_bytes(value[..8].try_into().unwrap());
    assert_eq!(value, self::value(number), "torn");
    number
}

/// The child; does nothing when it is run as a test among others.
#[test]
fn child() {
    let Some((directory, mut number)) = child::told() else { return };
    let samovar = open(&directory);
    let cache = samovar.cache::<Vec<u8>>(policy("c"));
    let mut seed = number | 1;
    loop {
        number += 1;
        let id = (random(&mut seed) % KEYS).to_string();
        match random(&mut seed) % 8 {
            0..4 => {
                say(&format!("puts {id} {number}"));
                cache.put(&id, value(number), whole(&samovar));
            }
            4 | 5 => {
                say(&format!("marks {id} {number}"));
                block_on(samovar.mark(vec![key("c", &id)], Mode::Remove, "test")).unwrap();
                say(&format!("marked {id} {number}"));
            }
            6 => {
                block_on(samovar.flush()).unwrap();
                say("flushed");
            }
            _ => block_on(samovar.sweep()).map(drop).unwrap(),
        }
    }
}

/// What is known of a key.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Values below are invalid, for sure.
    floor: u64,
    /// A mark that may or may not have become durable.
    maybe: u64,
    put: u64,
    /// The value that was put last when a flush was acknowledged.
    durable: u64,
}

#[test]
fn kill_at_any_instant() {
    if child::told().is_some() {
        return;
    }
    let directory = tempdir().unwrap();
    let mut seed = 0x5eed_u64;
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    let (mut from, mut served, mut refused) = (0, 0, 0);
    for round in 0..ROUNDS {
        let child = Child::start("kill::child", directory.path(), from);
        child.hear_and_kill(5 + random(&mut seed) % 120, |words| {
            match *words {
                ["puts", id, number] => {
                    from = number.parse().unwrap();
                    known.entry(id.to_owned()).or_default().put = from;
                }
                ["marks", id, number] => {
                    from = number.parse().unwrap();
                    known.entry(id.to_owned()).or_default().maybe = from;
                }
                ["marked", id, number] => {
                    known.entry(id.to_owned()).or_default().floor = number.parse().unwrap();
                }
                ["flushed"] => {
                    for key in known.values_mut() {
                        key.durable = key.put;
                    }
                }
                // The line was cut by the kill.
                _ => {}
            }
        });

        let samovar = open(directory.path());
        assert_eq!(samovar.counters().notices(), [], "nothing is damaged");
        let cache = samovar.cache::<Vec<u8>>(policy("c"));
        for (id, key) in &known {
            let found = block_on(cache.get(id));
            if let Some(found) = &found {
                let number = number(found);
                assert!(number >= key.floor, "round {round}, key {id}: {number} served, {key:?}");
                assert!(number <= from, "{number} was never put");
                assert_eq!(found.verdict, Verdict::Stale, "it is labelled after a restart");
                served += 1;
            } else {
                refused += 1;
            }
            if key.durable > key.maybe.max(key.floor) {
                let found = found.map(|found| self::number(&found));
                assert!(
                    found >= Some(key.durable),
                    "round {round}, key {id}: {found:?} of {key:?}"
                );
            }
        }
        block_on(samovar.close()).unwrap();
        for key in known.values_mut() {
            // What was put since, the next flush knows nothing of.
            key.put = key.durable;
        }
    }
    assert!(served > ROUNDS && refused > ROUNDS / 4, "{served} served, {refused} not");
}
