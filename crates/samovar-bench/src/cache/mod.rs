//! The cache by itself: what a hit costs in memory and in Redis, what stays in memory, how fast a disk opens, how expiries
//! spread, how long a write takes that is acknowledged from the journal.
//!
//! `cargo xtask bench cache` measures all of it, `cargo xtask bench cache traces` one part.

mod disk;
mod expiry;
mod hits;
mod redis;
mod traces;
mod write_back;

use samovar::{CachePolicy, Samovar, Settings, Value};
use samovar_core::{Error, ErrorKind, Part, Parts, Stamp};

pub(crate) use disk::{fill, open};

use crate::Outcome;

pub(crate) const NAMES: &[&str] = &[
    "memory_hit_over_raw_ratio",
    "memory_hit_over_moka_ratio",
    "redis_hit_over_raw_ratio",
    "redis_hit_pttl_over_raw_ratio",
    "hit_rate_over_lru_mean_points",
    "hit_rate_over_lru_points",
    "hit_rate_over_w_tinylfu_points",
    "disk_open_s",
    "expiry_spread",
    "write_back_ack_p50_ratio",
    "write_back_ack_p99_ratio",
];

/// A part of this benchmark: its name, and the lines that it gives.
type Measure = (&'static str, fn() -> Outcome<Vec<String>>);

const PARTS: &[Measure] = &[
    ("hits", hits::measure),
    ("redis", redis::measure),
    ("traces", traces::measure),
    ("disk", disk::measure),
    ("expiry", expiry::measure),
    ("write_back", write_back::measure),
];

/// The parts that were named, or all of them; the lines to print, ratios first in each.
pub(crate) fn measure(named: &[&str]) -> Outcome<Vec<String>> {
    if let Some(unknown) = named.iter().find(|name| !PARTS.iter().any(|(part, _)| part == *name)) {
        let parts: Vec<&str> = PARTS.iter().map(|(part, _)| *part).collect();
        return Err(
            format!("cache has no part named {unknown}; it has {}", parts.join(", ")).into()
        );
    }
    let mut lines = Vec::new();
    for (_, measure) in PARTS.iter().filter(|(part, _)| named.is_empty() || named.contains(part)) {
        lines.extend(measure()?);
    }
    Ok(lines)
}

/// A value of so many bytes, in one piece.
struct Bytes<const N: usize>([u8; N]);

impl<const N: usize> Value for Bytes<N> {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        out.extend_from_slice(&self.0);
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let bytes = bytes.try_into();
        bytes.map(Bytes).map_err(|e| Error::new(ErrorKind::Format, "of another length").because(e))
    }

    fn weight(&self) -> usize {
        N
    }
}

/// The key of a product.
fn key(id: usize) -> String {
    format!("product:{id:08}")
}

/// The parts of a value that is read now.
fn whole(samovar: &Samovar) -> Parts {
    let stamp = Stamp::new(samovar.fence().token(), samovar.clock().now());
    Parts::from([Part { span: None, stamp }])
}

fn policy() -> CachePolicy {
    CachePolicy::named("product")
}

/// A cache as a new user has it.
fn settings() -> Settings {
    Settings::default()
}
