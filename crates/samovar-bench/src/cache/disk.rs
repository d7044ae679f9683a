//! How long it takes to open a large disk after a crash.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use samovar::{Cache, CachePolicy, Samovar, Settings};
use serde::{Deserialize, Serialize};

use super::Bytes;
use crate::shop::Shop;
use crate::stats::median;
use crate::{Outcome, child, line};

const ENTRIES: usize = 1_000_000;
const ROUNDS: usize = 3;

/// What the process reports that opens what was left.
#[derive(Serialize, Deserialize)]
pub(crate) struct Opened {
    seconds: f64,
    entries: u64,
}

/// Fills a disk in a process that goes on writing until it is killed, then opens copies of what it left.
pub(super) fn measure() -> Outcome<Vec<String>> {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench-data/disk-open");
    let (left, copy) = (base.join("left"), base.join("copy"));
    if base.exists() {
        fs::remove_dir_all(&base)?; // of a run that was killed
    }
    fs::create_dir_all(&left)?;
    eprintln!("writing {ENTRIES} entries");
    let (writing, seconds): (_, f64) = child::start("disk-fill", &Shop::at(&left, 1))?;
    eprintln!("written in {seconds:.1} s; killed while it goes on writing");
    // Into the middle of a transaction of those that come then.
    std::thread::sleep(Duration::from_millis(700));
    drop(writing);
    let mut times = Vec::new();
    for round in 1..=ROUNDS {
        fs::create_dir_all(&copy)?;
        for file in fs::read_dir(&left)? {
            let file = file?;
            fs::copy(file.path(), copy.join(file.file_name()))?;
        }
        let opened: Opened = child::report("disk-open", &Shop::at(&copy, 1))?;
        eprintln!("round {round}: {:.3} s, {} entries", opened.seconds, opened.entries);
        if opened.entries < ENTRIES as u64 {
            return Err(format!("{} of {ENTRIES} entries are there", opened.entries).into());
        }
        times.push(opened.seconds);
        fs::remove_dir_all(&copy)?;
    }
    fs::remove_dir_all(&base)?;
    Ok(vec![line("disk_open_s", median(&times), "s"), line("disk_fill_s", seconds, "s")])
}

fn value(id: usize) -> [u8; 200] {
    std::array::from_fn(|at| (id.wrapping_mul(31) + at) as u8)
}

fn on_disk(directory: &Path) -> Settings {
    // Each is charged a page at least: all shall have room.
    let (data_dir, disk_max_bytes) = (Some(directory.to_owned()), 16 << 30);
    Settings { data_dir, disk_max_bytes, ..super::settings() }
}

async fn opened(directory: &Path) -> Outcome<(Samovar, Cache<Bytes<200>>)> {
    let samovar = Samovar::open(on_disk(directory)).await?;
    let cache = samovar.cache(CachePolicy { memory: false, ..super::policy() });
    Ok((samovar, cache))
}

/// The part of who writes: the seconds until all was durable. What runs goes on writing.
pub(crate) async fn fill(directory: &Path) -> Outcome<f64> {
    let begun = Instant::now();
    let (samovar, cache) = opened(directory).await?;
    for id in 0..ENTRIES {
        cache.put(&super::key(id), Bytes(value(id)), super::whole(&samovar));
        cache.room().await?;
    }
    samovar.flush().await?;
    let seconds = begun.elapsed().as_secs_f64();
    tokio::spawn(async move {
        for id in (0..ENTRIES).cycle() {
            cache.put(&super::key(id), Bytes(value(id)), super::whole(&samovar));
            if cache.room().await.is_err() {
                return;
            }
        }
    });
    Ok(seconds)
}

/// The part of who comes after: the seconds to the first answer, which must be what was written.
pub(crate) async fn open(directory: &Path) -> Outcome<Opened> {
    let begun = Instant::now();
    let (samovar, cache) = opened(directory).await?;
    let id = ENTRIES / 2;
    let found = cache.get(&super::key(id)).await.ok_or("it is not on disk")?;
    if found.0 != value(id) {
        return Err("what was read is not what was written".into());
    }
    let seconds = begun.elapsed().as_secs_f64();
    let entries = samovar.usage().iter().map(|(_, usage)| usage.total().entries).max();
    Ok(Opened { seconds, entries: entries.unwrap_or(0) })
}
