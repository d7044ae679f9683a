//! How long an acknowledged write takes: 64 at once under write-back, beside one thread that makes record by record durable.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use samovar::{Cache, CachePolicy, Samovar, Settings, Strategy};
use samovar_core::{BoxFuture, Write, WriteError, Writer};

use super::Bytes;
use crate::stats::{median, quantile};
use crate::{Outcome, child, line};

const WRITERS: usize = 64;
const ROUNDS: usize = 7;
/// How long a side writes in its turn.
const TURN: Duration = Duration::from_secs(2);
const SIZE: usize = 200;

/// A source that has everything at once.
struct Done;

impl Writer<Bytes<SIZE>> for Done {
    fn write<'a>(
        &'a self,
        writes: &'a [Write<Bytes<SIZE>>],
    ) -> BoxFuture<'a, Vec<Result<(), WriteError>>> {
        Box::pin(async move { writes.iter().map(|_| Ok(())).collect() })
    }
}

/// The sides in turns, the first of them another in each round; the lines to print, ratios first. All the while what was
/// acknowledged is brought to a source that takes it at once, and marked: that is what a user has, too.
pub(super) fn measure() -> Outcome<Vec<String>> {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench-data/write-back");
    if base.exists() {
        fs::remove_dir_all(&base)?; // of a run that was killed
    }
    fs::create_dir_all(&base)?;
    let runtime = child::runtime()?;
    let settings = Settings {
        data_dir: Some(base.join("cache")),
        // If it cannot keep up, that is not what is measured.
        journal_max_bytes: 1 << 30,
        ..super::settings()
    };
    let samovar = runtime.block_on(Samovar::open(settings))?;
    let policy = CachePolicy { strategy: Strategy::WriteBack, ..super::policy() };
    let cache = samovar.cache_with_writer(policy, Arc::new(Done));
    let mut file = File::create(base.join("peer"))?;
    // The first round makes the journal and warms up.
    runtime.block_on(ours(&samovar, &cache))?;
    peer(&mut file)?;
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    let (mut own, mut other) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (us, them) = if round % 2 == 0 {
            let us = runtime.block_on(ours(&samovar, &cache))?;
            (us, peer(&mut file)?)
        } else {
            let them = peer(&mut file)?;
            (runtime.block_on(ours(&samovar, &cache))?, them)
        };
        eprintln!(
            "round {}: {} acknowledged, p50 {:.0} µs, p99 {:.0} µs; alone {}, {:.0} µs, {:.0} µs",
            round + 1,
            us.len(),
            median(&us),
            quantile(&us, 0.99),
            them.len(),
            median(&them),
            quantile(&them, 0.99),
        );
        p50.push(median(&us) / median(&them));
        p99.push(quantile(&us, 0.99) / quantile(&them, 0.99));
        own.extend(us);
        other.extend(them);
    }
    runtime.block_on(samovar.close())?;
    fs::remove_dir_all(&base)?;
    Ok(vec![
        line("write_back_ack_p50_ratio", median(&p50), "ratio"),
        line("write_back_ack_p99_ratio", median(&p99), "ratio"),
        line("write_back_ack_p50_us", median(&own), "us"),
        line("write_back_ack_p99_us", quantile(&own, 0.99), "us"),
        line("write_back_alone_p50_us", median(&other), "us"),
        line("write_back_alone_p99_us", quantile(&other, 0.99), "us"),
    ])
}

/// The microseconds that each of many concurrent writes took. Each writer waits for its acknowledgement and writes again.
async fn ours(samovar: &Samovar, cache: &Cache<Bytes<SIZE>>) -> Outcome<Vec<f64>> {
    let until = Instant::now() + TURN;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let cache = cache.clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                let mut number = 0;
                while Instant::now() < until {
                    let key = super::key(writer * 1_000 + number % 1_000);
                    number += 1;
                    let begun = Instant::now();
                    cache.write(&key, Bytes([number as u8; SIZE])).await?;
                    times.push(begun.elapsed().as_secs_f64() * 1e6);
                }
                Ok::<_, samovar_core::Error>(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for writer in writers {
        times.extend(writer.await??);
    }
    // The other side is alone with the disk.
    while cache.unwritten() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    samovar.flush().await?;
    Ok(times)
}

/// The microseconds that each record took of one thread that writes one and makes it durable, and then the next.
fn peer(file: &mut File) -> Outcome<Vec<f64>> {
    let (record, until) = ([7; SIZE], Instant::now() + TURN);
    let mut times = Vec::new();
    while Instant::now() < until {
        let begun = Instant::now();
        file.write_all(&record)?;
        file.sync_data()?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    Ok(times)
}
