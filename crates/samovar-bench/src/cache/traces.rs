//! What share of the requests of real traces memory answers, beside LRU and what was published of W-TinyLFU.
//!
//! The traces are read from the directory that `SAMOVAR_TRACES` names, else from `../shared/traces` if there is one: one
//! decimal key a line, `*.txt.zst`.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::ops::Add;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use samovar::tier::{MemoryTier, Shared};
use samovar_core::{
    Entry, Epoch, Key, Lifetime, Millis, Part, Parts, Stamp, Tags, Tick, Tier, Version,
};

use crate::{Outcome, line};

/// Says where the traces lie …
const DIRECTORY: &str = "SAMOVAR_TRACES";
/// … else they may lie beside the checkout.
const BESIDE: &str = "../shared/traces";
/// Of the distinct keys of a trace, in percent.
const SIZES: [usize; 6] = [1, 2, 5, 10, 20, 40];
/// What an entry is charged, about, in bytes.
const ENTRIES: [(&str, usize); 3] = [("small", 512), ("middle", 1_024), ("large", 2_048)];

/// The lines to print, differences first. None, with a word on standard error, where there are no traces.
pub(super) fn measure() -> Outcome<Vec<String>> {
    let named = std::env::var_os(DIRECTORY).map(PathBuf::from);
    let beside = || Some(PathBuf::from(BESIDE)).filter(|beside| beside.is_dir());
    let Some(directory) = named.or_else(beside) else {
        eprintln!("hit_rate: skipped, {DIRECTORY} names no directory of traces");
        return Ok(Vec::new());
    };
    let published = published(&directory)?;
    // The smallest differences of all traces.
    let [mut mean_over_lru, mut over_lru, mut over_published] = [[f64::MAX; ENTRIES.len()]; 3];
    let mut lines = Vec::new();
    for (name, path) in traces(&directory)? {
        let trace = Trace::read(&path)?;
        eprintln!("{name}: {} requests, {} keys", trace.requests.len(), trace.keys.len());
        let mut sums = [0.0; ENTRIES.len()];
        for percent in SIZES {
            let entries = trace.keys.len() * percent / 100;
            let (ours, theirs) = (trace.ours(entries)?, trace.lru(entries));
            lines.extend(by_size(&format!("hit_rate_{name}_{percent}pct"), ours, "%"));
            lines.push(line(&format!("hit_rate_lru_{name}_{percent}pct"), theirs, "%"));
            let over = ours.map(|ours| ours - theirs);
            (over_lru, sums) = (each(over_lru, over, f64::min), each(sums, over, f64::add));
        }
        let means = sums.map(|sum| sum / SIZES.len() as f64);
        lines.extend(by_size(&format!("hit_rate_over_lru_mean_points_{name}"), means, "points"));
        mean_over_lru = each(mean_over_lru, means, f64::min);
        let peers = published.iter().filter(|peer| name.to_lowercase().ends_with(&peer.trace));
        for (entries, theirs) in peers.flat_map(|peer| &peer.rates) {
            let ours = trace.ours(*entries)?;
            lines.extend(by_size(&format!("hit_rate_{name}_{entries}"), ours, "%"));
            lines.push(line(&format!("hit_rate_w_tinylfu_{name}_{entries}"), *theirs, "%"));
            over_published = each(over_published, ours.map(|ours| ours - theirs), f64::min);
        }
    }
    let mut first = by_size("hit_rate_over_lru_mean_points", mean_over_lru, "points");
    first.extend(by_size("hit_rate_over_lru_points", over_lru, "points"));
    if over_published[0] < f64::MAX {
        first.extend(by_size("hit_rate_over_w_tinylfu_points", over_published, "points"));
    }
    first.append(&mut lines);
    Ok(first)
}

/// A figure for each size of entries.
type BySize = [f64; ENTRIES.len()];

fn each(one: BySize, other: BySize, both: fn(f64, f64) -> f64) -> BySize {
    std::array::from_fn(|at| both(one[at], other[at]))
}

/// The least, then each.
fn by_size(name: &str, values: BySize, unit: &str) -> Vec<String> {
    let mut lines = vec![line(name, values.into_iter().fold(f64::MAX, f64::min), unit)];
    let sizes = ENTRIES.iter().zip(values);
    lines.extend(sizes.map(|((size, _), value)| line(&format!("{name}_{size}"), value, unit)));
    lines
}

/// The traces of a directory, by name.
fn traces(directory: &Path) -> Outcome<BTreeMap<String, PathBuf>> {
    let mut traces = BTreeMap::new();
    let listed = fs::read_dir(directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    for file in listed {
        let path = file?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(name) = name.strip_suffix(".txt.zst") {
            traces.insert(name.to_owned(), path);
        }
    }
    if traces.is_empty() {
        return Err(format!("{} holds no *.txt.zst", directory.display()).into());
    }
    Ok(traces)
}

/// What somebody published.
struct Published {
    trace: String,
    /// By entries, in percent.
    rates: Vec<(usize, f64)>,
}

/// What was published of W-TinyLFU, if it lies beside the traces.
fn published(directory: &Path) -> Outcome<Vec<Published>> {
    let path = directory.join("published_hit_rates.csv");
    let Ok(text) = fs::read_to_string(&path) else {
        eprintln!("hit_rate: nothing published lies in {}", directory.display());
        return Ok(Vec::new());
    };
    let mut all = Vec::new();
    for row in text.lines() {
        let [trace, "W-TinyLFU", _, sizes, rates] = row.split(',').collect::<Vec<_>>()[..] else {
            continue;
        };
        let rates = sizes.split('|').zip(rates.split('|'));
        let rates = rates.map(|(size, rate)| Ok((size.parse()?, rate.parse()?)));
        all.push(Published { trace: trace.to_lowercase(), rates: rates.collect::<Outcome<_>>()? });
    }
    Ok(all)
}

/// Requests as numbers of keys.
struct Trace {
    requests: Vec<usize>,
    keys: Vec<Key>,
}

impl Trace {
    fn read(path: &Path) -> Outcome<Trace> {
        let lines = BufReader::new(zstd::Decoder::new(File::open(path)?)?).lines();
        let mut numbers = HashMap::new();
        let mut trace = Trace { requests: Vec::new(), keys: Vec::new() };
        let cache: Arc<str> = "trace".into();
        for (at, line) in lines.enumerate() {
            let key: u64 = line?
                .trim()
                .parse()
                .map_err(|_| format!("{}, line {}: not a key", path.display(), at + 1))?;
            trace.requests.push(*numbers.entry(key).or_insert_with(|| {
                // All equally long, so that entries are equally large.
                trace.keys.push(Key::new(Arc::clone(&cache), format!("{:08}", trace.keys.len())));
                trace.keys.len() - 1
            }));
        }
        Ok(trace)
    }

    /// The share that a memory tier answers that has room for so many entries, in percent.
    fn ours(&self, entries: usize) -> Outcome<BySize> {
        let mut rates = [0.0; ENTRIES.len()];
        for ((_, bytes), rate) in ENTRIES.into_iter().zip(&mut rates) {
            let tier = with_room_for(entries, bytes)?;
            let hits = self.requests.iter().filter(|request| {
                let key = &self.keys[**request];
                let found = tier.get(key).now_or_never().and_then(Result::ok).flatten();
                if found.is_none() {
                    tier.put(key, entry(bytes));
                }
                found.is_some()
            });
            *rate = 100.0 * hits.count() as f64 / self.requests.len() as f64;
        }
        Ok(rates)
    }

    /// The share that a queue of so many answers from which the least recently used goes first, in percent.
    fn lru(&self, entries: usize) -> f64 {
        let mut last = vec![None; self.keys.len()];
        let mut order = BTreeMap::new();
        let mut hits = 0;
        for (now, key) in self.requests.iter().enumerate() {
            match last[*key].replace(now) {
                Some(before) => {
                    hits += 1;
                    order.remove(&before);
                }
                None if order.len() == entries => {
                    if let Some((_, oldest)) = order.pop_first() {
                        let oldest: usize = oldest;
                        last[oldest] = None;
                    }
                }
                None => {}
            }
            order.insert(now, *key);
        }
        100.0 * hits as f64 / self.requests.len() as f64
    }
}

/// A tier of the largest budget found that holds no more than so many of these entries. A fiftieth of them may be missing:
/// what the table takes is held back in steps, and of several shards each rounds down for itself.
fn with_room_for(entries: usize, bytes: usize) -> Outcome<MemoryTier> {
    let holds = |budget| {
        let tier = MemoryTier::new(budget);
        for id in 0..2 * entries.max(8) {
            tier.put(&Key::new("trace", format!("{id:08}")), entry(bytes));
        }
        tier.usage().total().entries
    };
    // Not too large, and too large.
    let (mut best, mut low, mut high) = (0, 0, (entries as u64 + 8) * 2 * bytes as u64);
    while high - low > 1 {
        let budget = low.midpoint(high);
        let held = holds(budget);
        if held <= entries as u64 {
            (best, low) = (held, budget);
        } else {
            high = budget;
        }
        if held == entries as u64 {
            break;
        }
    }
    if best as usize >= entries - entries / 50 {
        return Ok(MemoryTier::new(low));
    }
    Err(format!("no budget holds {entries} entries of {bytes} bytes").into())
}

fn entry(bytes: usize) -> Entry<Shared> {
    let version = Version { epoch: Epoch(1), seq: 0 };
    let stamp = Stamp { version, tick: Tick(0), read_at: Millis(0) };
    let lifetime = Lifetime { ttl: Duration::MAX, stale_window: Duration::ZERO };
    // What an entry takes beside its value, about.
    let weight = bytes - 460;
    Entry {
        value: Shared::new(Arc::new(()), weight),
        parts: Parts::from([Part { span: None, stamp }]),
        tags: Tags::NONE,
        lifetime,
    }
}
