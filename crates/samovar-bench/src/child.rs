//! What runs in a process of its own: each side of a comparison, and what is killed.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use samovar_core::{BoxFuture, TierName};
use samovar_levels::{Engine, Missing};
use samovar_source::{Ask, Batches, Description, Inventory, Source, SourceError, SourceErrorKind};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::shop::{self, Shop};
use crate::{Outcome, cache, postgres, say, serve};

/// The hidden first argument of a child.
pub(crate) const MARK: &str = "--child";

/// What the side that warms reports before it is killed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Warmed {
    pub(crate) seconds: f64,
    pub(crate) resident_bytes: f64,
    /// Bytes by tier and level.
    pub(crate) bytes: BTreeMap<String, BTreeMap<String, u64>>,
    pub(crate) answer: Value,
}

/// What the process reports that opens the killed one's data directory.
#[derive(Serialize, Deserialize)]
pub(crate) struct Reopened {
    pub(crate) seconds: f64,
    pub(crate) missing: u64,
    pub(crate) answer: Value,
}

/// What the peer reports.
#[derive(Serialize, Deserialize)]
pub(crate) struct Scanned {
    pub(crate) seconds: f64,
    pub(crate) rows: u64,
}

/// Plays the part of a child.
pub(crate) fn run(role: &str, directory: &Path, stores: &str) -> Outcome<()> {
    let shop = Shop::at(directory, stores.parse()?);
    // Held until the end: what serves goes on after its report.
    let runtime = runtime()?;
    let report = match role {
        "warm" => serde_json::to_string(&runtime.block_on(warm(&shop))?)?,
        "reopen" => {
            if shop.source(&shop::settings()?).is_ok() {
                return Err("the source is still there".into());
            }
            serde_json::to_string(&runtime.block_on(reopen(&shop))?)?
        }
        // Whose source is a server that others still need: this one never asks it.
        "reopen-away" => serde_json::to_string(&runtime.block_on(reopen(&shop))?)?,
        "copy" | "group" => serde_json::to_string(&runtime.block_on(postgres::peer(role))?)?,
        "scan" => serde_json::to_string(&scan(&shop)?)?,
        "disk-fill" => serde_json::to_string(&runtime.block_on(cache::fill(directory))?)?,
        "disk-open" => serde_json::to_string(&runtime.block_on(cache::open(directory))?)?,
        "serve" => serde_json::to_string(&runtime.block_on(serve::ours(&shop))?)?,
        "bare" => serde_json::to_string(&runtime.block_on(serve::bare(&shop))?)?,
        other => return Err(format!("there is no part named {other}").into()),
    };
    say(&report);
    // Whoever started this one ends it; if that process is gone, standard input ends.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Starts a child, waits for its report, and kills it.
pub(crate) fn report<T: DeserializeOwned>(role: &str, shop: &Shop) -> Outcome<T> {
    start(role, shop).map(|(_, report)| report)
}

/// Starts a child and waits for its report; it goes on until the handle is dropped.
pub(crate) fn start<T: DeserializeOwned>(role: &str, shop: &Shop) -> Outcome<(Killed, T)> {
    let mut child = Killed(
        Command::new(std::env::current_exe()?)
            .args([MARK, role])
            .arg(shop.directory())
            .arg(shop.shape.stores.to_string())
            .envs(shop.postgres.iter().map(|url| (shop::POSTGRES, url)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?,
    );
    let mut line = String::new();
    let stdout = child.0.stdout.take().ok_or("a child without standard output")?;
    BufReader::new(stdout).read_line(&mut line)?;
    let report = serde_json::from_str(&line)
        .map_err(|_| format!("the part {role} ended without a report"))?;
    Ok((child, report))
}

/// A process that does not outlive this value, and gets no chance to tidy up.
pub(crate) struct Killed(Child);

impl Killed {
    /// Its resident set, in bytes (`VmRSS`).
    pub(crate) fn resident(&self) -> Outcome<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB"));
        Ok(kilobytes.ok_or("no VmRSS in its status")?.trim().parse::<f64>()? * 1_024.0)
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn runtime() -> Outcome<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// Ours: from an empty data directory to the fsync after the last byte. The runtime stands already, as that
/// of the user's program does.
async fn warm(shop: &Shop) -> Outcome<Warmed> {
    let settings = shop::settings()?;
    let begun = Instant::now();
    let engine = shop.engine(&settings, shop.source(&settings)?).await?;
    engine.warm().await?;
    let seconds = begun.elapsed().as_secs_f64();
    let resident = memory_stats::memory_stats().map_or(0, |stats| stats.physical_mem);
    Ok(Warmed {
        seconds,
        resident_bytes: resident as f64,
        bytes: usage(&engine),
        // Keeps nothing, so that whoever opens the directory next finds no result there.
        answer: serde_json::from_slice(&engine.merge_anew(&shop::opening_view()?).await?)?,
    })
}

/// Bytes by tier and level.
pub(crate) fn usage(engine: &Engine) -> BTreeMap<String, BTreeMap<String, u64>> {
    let by_level = |usage: samovar_core::Usage| {
        usage.caches.iter().map(|(level, one)| (level.to_string(), one.bytes)).collect()
    };
    let name = |tier: TierName| tier.as_str().to_owned();
    let usage = engine.samovar().usage();
    usage.into_iter().map(|(tier, usage)| (name(tier), by_level(usage))).collect()
}

/// Ours, after the kill: answers from the disk alone.
async fn reopen(shop: &Shop) -> Outcome<Reopened> {
    let settings = shop::settings()?;
    let begun = Instant::now();
    let engine = shop.engine(&settings, Arc::new(Gone)).await?;
    let answer = engine.diagnose(&shop::opening_view()?, Missing::Wait).await?;
    Ok(Reopened {
        seconds: begun.elapsed().as_secs_f64(),
        missing: answer.proof.missing,
        answer: serde_json::from_slice(&answer.body.json)?,
    })
}

/// The peer: one statement over all ten columns in the order of row ids, every column looked at, nothing
/// allocated, nothing kept.
fn scan(shop: &Shop) -> Outcome<Scanned> {
    let begun = Instant::now();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(shop.database(), flags)?;
    let mut statement = database.prepare(&format!("SELECT * FROM {}", samovar_demo::TABLE))?;
    let columns = statement.column_count();
    let (mut rows, mut bytes) = (0, 0);
    let mut cursor = statement.query([])?;
    while let Some(row) = cursor.next()? {
        rows += 1;
        for column in 0..columns {
            bytes += match row.get_ref(column)? {
                ValueRef::Text(text) | ValueRef::Blob(text) => text.len(),
                ValueRef::Null => 0,
                ValueRef::Integer(_) | ValueRef::Real(_) => 8,
            };
        }
    }
    black_box(bytes);
    Ok(Scanned { seconds: begun.elapsed().as_secs_f64(), rows })
}

/// Waits until nothing goes on in the background.
pub(crate) async fn quiet(engine: &Engine) {
    while engine.refreshing() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A source that was moved away: whatever is answered comes from the disk.
struct Gone;

impl Gone {
    fn error() -> SourceError {
        SourceError::new(SourceErrorKind::Unreachable, "the source was moved away")
    }
}

impl Source for Gone {
    fn describe(&self) -> BoxFuture<'_, Result<Description, SourceError>> {
        Box::pin(std::future::ready(Err(Gone::error())))
    }

    fn busy(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }

    fn change_number(&self) -> BoxFuture<'_, Result<Option<u64>, SourceError>> {
        Box::pin(async { Ok(None) })
    }

    fn stores(&self) -> BoxFuture<'_, Result<Inventory, SourceError>> {
        Box::pin(std::future::ready(Err(Gone::error())))
    }

    fn read(&self, _ask: Ask) -> Batches {
        stream::once(std::future::ready(Err(Gone::error()))).boxed()
    }
}
