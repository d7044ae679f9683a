//! What five times the stores cost.

use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

use crate::child::{self, Warmed};
use crate::shop::{self, Shop};
use crate::stats::{median, quantile};
use crate::{Outcome, STORES, diagnosis, line};

pub(crate) const NAMES: &[&str] =
    &["scale_seconds_ratio", "scale_bytes_ratio", "scale_diagnosis_ratio"];

const TIMES: u32 = 5;
const ROUNDS: usize = 5;

/// One size: what warming took, and what a question takes after it.
#[derive(Default)]
struct Measured {
    seconds: Vec<f64>,
    bytes: Vec<f64>,
    p99: Vec<f64>,
}

/// Five rounds, the sizes in alternating order; the lines to print, ratios first.
pub(crate) fn measure() -> Outcome<Vec<String>> {
    let shops = [Shop::ready(STORES)?, Shop::ready(TIMES * STORES)?];
    let mut measured = [Measured::default(), Measured::default()];
    // Once untimed: the files come into the page cache.
    for shop in &shops {
        warm(shop)?;
    }
    for round in 0..ROUNDS {
        for size in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            let (shop, of) = (&shops[size], &mut measured[size]);
            let (seconds, bytes) = warm(shop)?;
            let p99 = questions(shop)?;
            let stores = shop.shape.stores;
            eprintln!("round {}, {stores} stores: warm {seconds:.2} s, p99 {p99:.2} ms", round + 1);
            of.seconds.push(seconds);
            of.bytes.push(bytes);
            of.p99.push(p99);
        }
    }
    let [small, large] = &measured;
    let of = |values: fn(&Measured) -> &Vec<f64>, times: f64| {
        median(values(large)) / (times * median(values(small)))
    };
    let times = f64::from(TIMES);
    Ok(vec![
        line(NAMES[0], of(|m| &m.seconds, times), "ratio"),
        line(NAMES[1], of(|m| &m.bytes, times), "ratio"),
        line(NAMES[2], of(|m| &m.p99, 1.0), "ratio"),
        line("scale_seconds_500_stores", median(&large.seconds), "s"),
        line("scale_seconds_100_stores", median(&small.seconds), "s"),
        line("scale_bytes_500_stores", median(&large.bytes), "B"),
        line("scale_bytes_100_stores", median(&small.bytes), "B"),
        line("scale_diagnosis_500_stores_ms", median(&large.p99), "ms"),
        line("scale_diagnosis_100_stores_ms", median(&small.p99), "ms"),
    ])
}

/// Seconds until all is warm and durable, and bytes on disk after it.
fn warm(shop: &Shop) -> Outcome<(f64, f64)> {
    shop.empty_data()?;
    let warmed: Warmed = child::report("warm", shop)?;
    Ok((warmed.seconds, shop.data_bytes()? as f64))
}

/// Milliseconds, the 99th percentile of draws of ten stores, from the data directory that is there.
fn questions(shop: &Shop) -> Outcome<f64> {
    shop.empty_data()?;
    let p99 = child::runtime()?.block_on(async {
        let settings = shop::settings()?;
        let engine = shop.engine(&settings, shop.source(&settings)?).await?;
        engine.warm().await?;
        child::quiet(&engine).await;
        let members = engine.members().await?;
        let ids: Vec<Arc<str>> = members.stores.iter().map(|store| store.id.clone()).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(diagnosis::SEED);
        let times = diagnosis::draws(&engine, &ids, 10, &mut rng).await?;
        engine.close().await?;
        Ok::<_, Box<dyn std::error::Error>>(quantile(&times, 0.99))
    })?;
    shop.empty_data()?;
    Ok(p99)
}
