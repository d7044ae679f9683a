//! How long a diagnosis takes when the answer itself is not cached.

use std::sync::Arc;
use std::time::Instant;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use samovar_levels::{Engine, Selection, Stores};

use crate::shop::{self, Shop};
use crate::stats::quantile;
use crate::{Outcome, child, line};

pub(crate) const NAMES: &[&str] = &["diagnosis_100_stores_ms", "diagnosis_10_stores_ms"];

const DRAWS: usize = 1_000;
pub(crate) const SEED: u64 = 2_026;
const MAX_DAYS: i32 = 30;

/// The lines to print: the 99th percentiles first.
pub(crate) fn measure(shop: &Shop) -> Outcome<Vec<String>> {
    eprintln!("diagnosis: {DRAWS} draws of 100 and of 10 stores, seed {SEED}");
    shop.empty_data()?;
    let runtime = child::runtime()?;
    let lines = runtime.block_on(async {
        let settings = shop::settings()?;
        let engine = shop.engine(&settings, shop.source(&settings)?).await?;
        engine.warm().await?;
        child::quiet(&engine).await;
        let members = engine.members().await?;
        let ids: Vec<Arc<str>> = members.stores.iter().map(|store| store.id.clone()).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
        // Questions are counted as they are asked; nothing else may change.
        let matters = |(name, count): (&str, u64)| if name == "requests" { 0 } else { count };
        let reads = || engine.counters().snapshot().map(matters);
        let before = reads();
        let hundred = draws(&engine, &ids, 100, &mut rng).await?;
        let ten = draws(&engine, &ids, 10, &mut rng).await?;
        if reads() != before {
            return Err("something was read or cached while answers were merged".into());
        }
        engine.close().await?;
        let quote = |of: &str, times: &[f64], q: f64| line(of, quantile(times, q), "ms");
        Ok::<_, Box<dyn std::error::Error>>(vec![
            quote(NAMES[0], &hundred, 0.99),
            quote(NAMES[1], &ten, 0.99),
            quote("diagnosis_100_stores_p50_ms", &hundred, 0.5),
            quote("diagnosis_100_stores_max_ms", &hundred, 1.0),
            quote("diagnosis_10_stores_p50_ms", &ten, 0.5),
            quote("diagnosis_10_stores_max_ms", &ten, 1.0),
            line("diagnosis_seed", SEED as f64, "seed"),
        ])
    })?;
    shop.empty_data()?;
    Ok(lines)
}

/// Milliseconds from selection to JSON in memory, the first draw included.
pub(crate) async fn draws(
    engine: &Engine,
    ids: &[Arc<str>],
    stores: usize,
    rng: &mut ChaCha8Rng,
) -> Outcome<Vec<f64>> {
    let mut times = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        let selection = draw(ids, stores, rng)?;
        let begun = Instant::now();
        let json = engine.merge_anew(&selection).await?;
        times.push(begun.elapsed().as_secs_f64() * 1_000.0);
        std::hint::black_box(json);
    }
    Ok(times)
}

/// Stores without repetition; 1 to 30 days, such that the previous period lies in the data.
fn draw(ids: &[Arc<str>], stores: usize, rng: &mut ChaCha8Rng) -> Outcome<Selection> {
    let (first, last) = shop::dates()?;
    let days = rng.random_range(1..=MAX_DAYS);
    let from = rng.random_range(first.0 + days..=last.0 - days + 1) - first.0;
    let from = first.plus(from);
    let chosen = rand::seq::index::sample(rng, ids.len(), stores);
    let stores = chosen.into_iter().map(|at| ids[at].clone()).collect();
    Ok(Selection { stores: Stores::These(stores), from, to: from.plus(days - 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_periods_lie_in_the_data() {
        let ids: Vec<Arc<str>> = (0..100).map(|id| Arc::from(id.to_string())).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (first, last) = shop::dates().unwrap();
        for _ in 0..DRAWS {
            let selection = draw(&ids, 10, &mut rng).unwrap();
            assert!((1..=MAX_DAYS).contains(&selection.days()));
            assert!(first <= selection.previous().0 && selection.to <= last);
            let Stores::These(mut stores) = selection.stores else { panic!("stores by id") };
            stores.sort();
            stores.dedup();
            assert_eq!(stores.len(), 10);
        }
    }
}
