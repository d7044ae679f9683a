//! What a hit in Redis costs, beside a bare GET by the client that is used.

use std::hint::black_box;
use std::time::Instant;

use ::redis::aio::MultiplexedConnection;
use futures_util::{StreamExt, stream};
use samovar::redis::RedisSettings;
use samovar::{Cache, CachePolicy, Samovar, Settings};
use samovar_core::TierName;
use samovar_testkit::redis::{Server, Setup};

use super::Bytes;
use crate::stats::median;
use crate::{Outcome, child, line};

const KEYS: usize = 1_000;
const SIZE: usize = 1_024;
/// Turns are short, some fifty to a hundred milliseconds, and many: the machine is slower or faster by a quarter for
/// seconds, and so all sides meet the same of it.
const ROUNDS: usize = 36;
/// So many are asked for at once, and so many in a turn of a side.
const MODES: [(&str, usize, usize); 2] = [("sequential", 1, 1_000), ("64", 64, 10_000)];
/// Who is measured: a value that is fresh for as long as it is there, one whose remaining life is asked too, the bare
/// client.
const SIDES: [&str; 3] = ["now", "pttl", "raw"];

/// All sides over one server, each by a connection of its own.
struct Sides {
    now: Cache<Bytes<SIZE>>,
    pttl: Cache<Bytes<SIZE>>,
    raw: MultiplexedConnection,
    keys: Vec<String>,
}

/// The sides in turns, the first of them another in each round; the lines to print, ratios first.
pub(super) fn measure() -> Outcome<Vec<String>> {
    let server = Server::launch(&Setup::new()).map_err(|e| e.to_string())?;
    let runtime = child::runtime()?;
    runtime.block_on(async {
        let open = || async {
            let redis = Some(RedisSettings::standalone([server.url()])?);
            Samovar::open(Settings { redis, ..super::settings() }).await
        };
        let (now, pttl) = (open().await?, open().await?);
        let sides = fill(&now, &pttl, &server).await?;
        let (mut ratios, mut times) = (Vec::new(), Vec::new());
        let mut worst = [0.0_f64; 2];
        for (mode, at_once, gets) in MODES {
            let mut nanos = [const { Vec::new() }; SIDES.len()];
            for round in 0..=ROUNDS {
                for turn in 0..SIDES.len() {
                    let side = (round + turn) % SIDES.len();
                    let took = turn_of(&sides, side, at_once, gets).await?;
                    // The first round brings everything into the processors' caches.
                    if round > 0 {
                        nanos[side].push(took);
                    }
                }
            }
            let [now, pttl, raw] = &nanos;
            for (at, (named, ours)) in [("", now), ("_pttl", pttl)].into_iter().enumerate() {
                let each: Vec<f64> = ours.iter().zip(raw).map(|(us, them)| us / them).collect();
                let ratio = median(&each);
                worst[at] = worst[at].max(ratio);
                let name = format!("redis_hit{named}_over_raw_ratio_{mode}");
                ratios.push(line(&name, ratio, "ratio"));
            }
            for (side, nanos) in SIDES.iter().zip(&nanos) {
                times.push(line(&format!("redis_hit_{side}_ns_{mode}"), median(nanos), "ns"));
            }
        }
        let mut lines = vec![
            line("redis_hit_over_raw_ratio", worst[0], "ratio"),
            line("redis_hit_pttl_over_raw_ratio", worst[1], "ratio"),
        ];
        lines.extend(ratios);
        lines.extend(times);
        now.close().await?;
        pttl.close().await?;
        Ok(lines)
    })
}

async fn fill(now: &Samovar, pttl: &Samovar, server: &Server) -> Outcome<Sides> {
    let policy = |name, stale_window| CachePolicy {
        memory: false,
        disk: false,
        stale_window,
        ..CachePolicy::named(name)
    };
    let window = super::policy().stale_window;
    let client = ::redis::Client::open(server.url())?;
    let mut sides = Sides {
        now: now.cache(policy("now", std::time::Duration::ZERO)),
        pttl: pttl.cache(policy("pttl", window)),
        raw: client.get_multiplexed_async_connection().await?,
        keys: (0..KEYS).map(super::key).collect(),
    };
    for (id, key) in sides.keys.iter().enumerate() {
        let value = [id as u8; SIZE];
        sides.now.put(key, Bytes(value), super::whole(now));
        sides.pttl.put(key, Bytes(value), super::whole(pttl));
        let set = ::redis::cmd("SET").arg(key).arg(&value).arg("PX").arg(3_600_000).to_owned();
        set.exec_async(&mut sides.raw).await?;
    }
    now.flush().await?;
    pttl.flush().await?;
    Ok(sides)
}

/// Nanoseconds that a get takes, of one after the other or of so many at once.
async fn turn_of(sides: &Sides, side: usize, at_once: usize, gets: usize) -> Outcome<f64> {
    let keys = sides.keys.iter().cycle().take(gets);
    let begun = Instant::now();
    let hits: usize = match SIDES[side] {
        "raw" => {
            let gets = keys.map(|key| {
                let mut raw = sides.raw.clone();
                async move {
                    let got = ::redis::cmd("GET").arg(key).query_async::<Vec<u8>>(&mut raw).await;
                    usize::from(black_box(got).is_ok_and(|value| value.len() == SIZE))
                }
            });
            added(gets, at_once).await
        }
        ours => {
            let cache = if ours == "now" { &sides.now } else { &sides.pttl };
            let gets = keys.map(|key| async move {
                let found = black_box(cache.get(key).await);
                usize::from(found.is_some_and(|found| found.tier == TierName::Redis))
            });
            added(gets, at_once).await
        }
    };
    let took = begun.elapsed();
    if hits != gets {
        return Err(format!("{hits} hits in {gets} gets of {}", SIDES[side]).into());
    }
    Ok(took.as_secs_f64() * 1e9 / gets as f64)
}

/// The sum of what futures give, of which so many are under way at once.
async fn added(
    futures: impl Iterator<Item = impl Future<Output = usize>>,
    at_once: usize,
) -> usize {
    stream::iter(futures).buffer_unordered(at_once).fold(0, async |sum, one| sum + one).await
}
