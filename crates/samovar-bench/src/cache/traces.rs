//! What share of the requests of real traces memory answers, beside LRU and what was published of W-TinyLFU.
//!
//! The traces are read from the directory that `SAMOVAR_TRACES` names: one decimal key a line, `*.txt.zst`.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use samovar::tier::{MemoryTier, Shared};
use samovar_core::{
    Entry, Epoch, Key, Lifetime, Millis, Part, Parts, Stamp, Tags, Tick, Tier, Version,
};

use crate::{Outcome, line};

/// Where the traces lie.
const DIRECTORY: &str = "SAMOVAR_TRACES";
/// Of the distinct keys of a trace, in percent.
const SIZES: [usize; 6] = [1, 2, 5, 10, 20, 40];
/// What an entry is charged, about: so much that the keys of as many are remembered as there are entries …
const MIDDLE: usize = 1_024;
/// … and of half as many, and of twice as many; the same where the tier is told of entries half as large
/// again, as its documentation advises.
const OTHERS: [(&str, usize, bool); 4] = [
    ("small", 512, false),
    ("large", 2_048, false),
    ("small_told", 512, true),
    ("large_told", 2_048, true),
];

/// The lines to print, differences first. None, with a word on standard error, where there are no traces.
pub(super) fn measure() -> Outcome<Vec<String>> {
    let Some(directory) = std::env::var_os(DIRECTORY).map(PathBuf::from) else {
        eprintln!("hit_rate: skipped, {DIRECTORY} names no directory of traces");
        return Ok(Vec::new());
    };
    let (mut lines, mut means) = (Vec::new(), Vec::new());
    let (mut over_lru, mut over_published) = (f64::MAX, [f64::MAX; 1 + OTHERS.len()]);
    let published = published(&directory)?;
    for (name, path) in traces(&directory)? {
        let trace = Trace::read(&path)?;
        eprintln!("{name}: {} requests, {} keys", trace.requests.len(), trace.keys.len());
        let mut differences = Vec::new();
        for percent in SIZES {
            let entries = trace.keys.len() * percent / 100;
            let (ours, lru) = (trace.ours(entries, MIDDLE, false)?, trace.lru(entries));
            differences.push(ours - lru);
            lines.push(line(&format!("hit_rate_{name}_{percent}pct"), ours, "%"));
            lines.push(line(&format!("hit_rate_lru_{name}_{percent}pct"), lru, "%"));
        }
        let mean = differences.iter().sum::<f64>() / differences.len() as f64;
        lines.push(line(&format!("hit_rate_over_lru_mean_points_{name}"), mean, "points"));
        means.push(mean);
        over_lru = differences.into_iter().fold(over_lru, f64::min);
        let peers = published.iter().filter(|peer| name.to_lowercase().ends_with(&peer.trace));
        for peer in peers.flat_map(|peer| &peer.rates) {
            let (entries, theirs) = *peer;
            let ours = trace.ours(entries, MIDDLE, false)?;
            lines.push(line(&format!("hit_rate_{name}_{entries}"), ours, "%"));
            lines.push(line(&format!("hit_rate_w_tinylfu_{name}_{entries}"), theirs, "%"));
            over_published[0] = over_published[0].min(ours - theirs);
            for ((size, bytes, is_told), worst) in OTHERS.iter().zip(&mut over_published[1..]) {
                let ours = trace.ours(entries, *bytes, *is_told)?;
                lines.push(line(&format!("hit_rate_{size}_{name}_{entries}"), ours, "%"));
                *worst = worst.min(ours - theirs);
            }
        }
    }
    let mut first = vec![
        line("hit_rate_over_lru_mean_points", means.into_iter().fold(f64::MAX, f64::min), "points"),
        line("hit_rate_over_lru_points", over_lru, "points"),
    ];
    if over_published[0] < f64::MAX {
        let name = "hit_rate_over_w_tinylfu_points";
        let sizes = std::iter::once("middle").chain(OTHERS.iter().map(|(size, ..)| *size));
        // The worst of all.
        first.push(line(name, over_published.into_iter().fold(f64::MAX, f64::min), "points"));
        for (size, worst) in sizes.zip(over_published) {
            first.push(line(&format!("{name}_{size}"), worst, "points"));
        }
    }
    first.append(&mut lines);
    Ok(first)
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

    /// The share that a memory tier answers that has room for so many entries of about so many bytes, in percent; it may be
    /// told so.
    fn ours(&self, entries: usize, bytes: usize, is_told: bool) -> Outcome<f64> {
        let tier = with_room_for(entries, bytes, is_told)?;
        let hits = self.requests.iter().filter(|request| {
            let key = &self.keys[**request];
            let found = tier.get(key).now_or_never().and_then(Result::ok).flatten();
            if found.is_none() {
                tier.put(key, entry(bytes));
            }
            found.is_some()
        });
        Ok(100.0 * hits.count() as f64 / self.requests.len() as f64)
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
fn with_room_for(entries: usize, bytes: usize, is_told: bool) -> Outcome<MemoryTier> {
    let tier = |budget| match is_told {
        true => MemoryTier::for_entries(budget, bytes as u64 * 3 / 2),
        false => MemoryTier::new(budget),
    };
    let holds = |budget| {
        let tier = tier(budget);
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
        return Ok(tier(low));
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
