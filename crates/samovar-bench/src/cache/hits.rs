//! What a hit in memory costs, beside a bare get of the table that is used, and beside moka.

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use quick_cache::DefaultHashBuilder;
use rand::SeedableRng;
use rand::distr::Distribution;
use rand::rngs::ChaCha8Rng;
use rand_distr::Zipf;
use samovar::{Cache, Samovar};

use super::Bytes;
use crate::stats::median;
use crate::{Outcome, child, line};

const KEYS: usize = 100_000;
/// Of the distribution by which keys are asked for: that of YCSB.
const EXPONENT: f64 = 0.99;
/// Gets of each thread in a turn of a side: fifty milliseconds to three hundred. The machine's memory is slower or
/// faster by half for seconds, and turns that are short and many meet the same of both.
const GETS: usize = 1 << 18;
const ROUNDS: usize = 28;

/// Who is measured.
const SIDES: [&str; 4] = ["get", "peek", "raw", "moka"];

type Value = Arc<[u8; 100]>;
type Raw = quick_cache::sync::Cache<
    String,
    Value,
    quick_cache::UnitWeighter,
    DefaultHashBuilder,
    quick_cache::sync::DefaultLifecycle<String, Value>,
>;
type Moka = moka::future::Cache<String, Value, DefaultHashBuilder>;

/// All sides, filled with the same keys.
struct Sides {
    ours: Cache<Bytes<100>>,
    raw: Raw,
    moka: Moka,
    keys: Vec<String>,
}

/// The sides in turns, the first of them another in each round; the lines to print, ratios first.
pub(super) fn measure() -> Outcome<Vec<String>> {
    let runtime = child::runtime()?;
    let samovar = runtime.block_on(Samovar::open(super::settings()))?;
    let sides = runtime.block_on(fill(&samovar))?;
    let (mut lines, mut times) = (Vec::new(), Vec::new());
    let (mut over_raw, mut over_moka) = (Vec::new(), Vec::new());
    // The same for each side.
    let asked: Vec<Vec<&str>> = (0..2).map(|thread| draws(&sides.keys, thread)).collect();
    for threads in [1, 2] {
        let named = if threads == 1 { "1_thread".to_owned() } else { format!("{threads}_threads") };
        let mut nanos = [const { Vec::new() }; SIDES.len()];
        for round in 0..=ROUNDS {
            for turn in 0..SIDES.len() {
                let side = (round + turn) % SIDES.len();
                let took = turn_of(&sides, side, &asked[..threads])?;
                // The first round brings everything into the processors' caches.
                if round > 0 {
                    nanos[side].push(took);
                }
            }
        }
        let ratio = |peer: &[f64]| {
            let ratios: Vec<f64> = nanos[0].iter().zip(peer).map(|(us, them)| us / them).collect();
            median(&ratios)
        };
        over_raw.push((named.clone(), ratio(&nanos[2])));
        over_moka.push((named.clone(), ratio(&nanos[3])));
        for (side, nanos) in SIDES.iter().zip(&nanos) {
            times.push(line(&format!("memory_hit_{side}_ns_{named}"), median(nanos), "ns"));
        }
    }
    for (name, ratios) in
        [("memory_hit_over_raw_ratio", over_raw), ("memory_hit_over_moka_ratio", over_moka)]
    {
        let worst = ratios.iter().map(|(_, ratio)| *ratio).fold(0.0, f64::max);
        lines.push(line(name, worst, "ratio"));
        lines.extend(
            ratios.iter().map(|(named, ratio)| line(&format!("{name}_{named}"), *ratio, "ratio")),
        );
    }
    lines.extend(times);
    runtime.block_on(samovar.close())?;
    Ok(lines)
}

async fn fill(samovar: &Samovar) -> Outcome<Sides> {
    let sides = Sides {
        ours: samovar.cache(super::policy()),
        raw: Raw::with(
            2 * KEYS,
            2 * KEYS as u64,
            Default::default(),
            Default::default(),
            Default::default(),
        ),
        moka: moka::future::Cache::builder()
            .max_capacity(2 * KEYS as u64)
            .time_to_live(Duration::from_secs(3_600))
            .build_with_hasher(DefaultHashBuilder::default()),
        keys: (0..KEYS).map(super::key).collect(),
    };
    for (id, key) in sides.keys.iter().enumerate() {
        let value = [id as u8; 100];
        sides.ours.put(key, Bytes(value), super::whole(samovar));
        sides.raw.insert(key.clone(), Arc::new(value));
        sides.moka.insert(key.clone(), Arc::new(value)).await;
    }
    sides.moka.run_pending_tasks().await;
    for key in &sides.keys {
        let there = (sides.ours.peek(key).is_some(), sides.raw.get(key).is_some());
        if there != (true, true) || sides.moka.get(key).await.is_none() {
            return Err(format!("{key} is not in memory on all sides").into());
        }
    }
    Ok(sides)
}

/// Nanoseconds that a get takes, of threads that all do nothing else, each with its keys.
fn turn_of(sides: &Sides, side: usize, asked: &[Vec<&str>]) -> Outcome<f64> {
    let start = Barrier::new(asked.len());
    let took = thread::scope(|scope| {
        let workers: Vec<_> = asked
            .iter()
            .map(|keys| {
                let start = &start;
                scope.spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().build();
                    let runtime = runtime.map_err(|e| e.to_string())?;
                    Ok::<_, String>(runtime.block_on(async {
                        start.wait();
                        let begun = Instant::now();
                        let hits = gets(sides, side, keys).await;
                        (begun.elapsed(), hits)
                    }))
                })
            })
            .collect();
        let mut longest = Duration::ZERO;
        for worker in workers {
            let (took, hits) = worker.join().map_err(|_| "a thread panicked")??;
            if hits != GETS {
                return Err(format!("{hits} hits in {GETS} gets of {}", SIDES[side]));
            }
            longest = longest.max(took);
        }
        Ok(longest)
    })?;
    Ok(took.as_secs_f64() * 1e9 / GETS as f64)
}

/// How many of so many gets were hits.
async fn gets(sides: &Sides, side: usize, keys: &[&str]) -> usize {
    let mut hits = 0;
    match SIDES[side] {
        "get" => {
            for key in keys {
                hits += usize::from(black_box(sides.ours.get(key).await).is_some());
            }
        }
        "peek" => {
            for key in keys {
                hits += usize::from(black_box(sides.ours.peek(key)).is_some());
            }
        }
        "raw" => {
            for key in keys {
                hits += usize::from(black_box(sides.raw.get(*key)).is_some());
            }
        }
        _ => {
            for key in keys {
                hits += usize::from(black_box(sides.moka.get(*key).await).is_some());
            }
        }
    }
    hits
}

/// Keys as they are asked for: the few most wanted most of the time, the ranks strewn over the keys.
fn draws(keys: &[String], seed: u64) -> Vec<&str> {
    let zipf = Zipf::new(KEYS as f64, EXPONENT).expect("both are positive");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // A prime, so that each rank has a key of its own.
    let of_rank = |rank: f64| (rank as usize * 48_271) % KEYS;
    (0..GETS).map(|_| keys[of_rank(zipf.sample(&mut random))].as_str()).collect()
}
