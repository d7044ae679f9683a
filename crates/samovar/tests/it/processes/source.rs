//! What is true: a file of numbers that only grow, which all processes read.

use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The writer raises these and marks them, without a pause, and all nodes read them.
pub(super) const HOT: Range<usize> = 0..24;
/// Nobody marks these, and all nodes read them.
pub(super) const WARM: Range<usize> = 24..32;
/// Nobody touches these but a test.
pub(super) const ASIDE: Range<usize> = 32..160;
pub(super) const KEYS: usize = ASIDE.end;

/// A file of two numbers by key.
pub(super) struct Source(File);

impl Source {
    pub(super) fn make(path: &Path) -> Source {
        let source = File::create_new(path).unwrap();
        source.set_len(KEYS as u64 * 16).unwrap();
        Source::open(path)
    }

    pub(super) fn open(path: &Path) -> Source {
        Source(OpenOptions::new().read(true).write(true).open(path).unwrap())
    }

    /// What stands under a key now.
    pub(super) fn number(&self, key: usize) -> u64 {
        self.get(2 * key)
    }

    pub(super) fn raise(&self, key: usize, number: u64) {
        self.put(2 * key, number);
    }

    /// What stood there more than a lease ago, and was marked by then: what is less is not served as fresh.
    pub(super) fn fresh(&self, key: usize) -> u64 {
        self.get(2 * key + 1)
    }

    pub(super) fn raise_fresh(&self, key: usize, number: u64) {
        self.put(2 * key + 1, number);
    }

    fn get(&self, at: usize) -> u64 {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, at as u64 * 8).unwrap();
        u64::from_le_bytes(bytes)
    }

    /// In one piece: eight bytes within a page.
    fn put(&self, at: usize, number: u64) {
        self.0.write_all_at(&number.to_le_bytes(), at as u64 * 8).unwrap();
    }
}
