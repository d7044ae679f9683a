//! The model of the shop: who sells what on which day. Pure arithmetic on seeded randomness, no I/O.
//!
//! Everything a value is made of is either exact (integers, and the multiplications and square roots that
//! IEEE 754 fixes to the last bit) or rounded to a cent or a tenth of a minute afterwards, so that the last
//! bit of a platform's `exp` does not show.

use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Gamma, LogNormal, Zeta};

use crate::Shape;
use crate::words::{CATEGORIES, PLACES, ROADS, VARIETIES};

/// Days the data cover.
pub(crate) const DAYS: usize = 60;
/// Products in the catalogue.
pub(crate) const PRODUCTS: usize = 2_000;

/// Share of a week's orders by day of the week, Monday first, as a factor on the mean.
const WEEK: [f64; 7] = [0.82, 0.80, 0.88, 0.97, 1.22, 1.36, 0.95];
/// 2026-01-01 is a Thursday.
const FIRST_WEEKDAY: usize = 3;
/// Strange days that every store has, by index from the first day: New Year's Day, a flash sale, and a
/// failure of the checkout.
const STRANGE_DAYS: [(usize, f64); 3] = [(0, 0.45), (36, 2.4), (48, 0.12)];
/// Three days of snow in which deliveries take this much longer.
const SNOW: std::ops::Range<usize> = 27..30;
const SNOW_DELAY: f64 = 1.8;

/// One thing that can be bought.
pub(crate) struct Product {
    pub(crate) name: String,
    pub(crate) category: &'static str,
    price_cents: f64,
    /// Profit ÷ amount.
    margin: f64,
    /// From the first of these days demand fades, on the second it is gone.
    dying: Option<(usize, usize)>,
}

/// One order.
#[derive(Clone, Copy)]
pub(crate) struct Line {
    /// Index of the day, from 0.
    pub(crate) day: u8,
    /// Index into the catalogue.
    pub(crate) product: u16,
    pub(crate) quantity: u8,
    pub(crate) amount_cents: i64,
    pub(crate) profit_cents: i64,
    pub(crate) delivery_tenths: u32,
}

/// The whole shop but its lines.
pub(crate) struct Shop {
    pub(crate) shape: Shape,
    pub(crate) products: Vec<Product>,
    pub(crate) stores: Vec<String>,
    failing: Vec<bool>,
}

impl Shop {
    pub(crate) fn new(shape: &Shape) -> Shop {
        let mut rng = stream(shape.seed, 0);
        let products = catalogue(&mut rng);
        let count = shape.stores as usize;
        let mut failing: Vec<bool> = (0..count).map(|store| store < count * 7 / 100).collect();
        failing.shuffle(&mut rng);
        Shop { shape: shape.clone(), products, stores: store_names(count, &mut rng), failing }
    }

    /// The lines of one store (by index, from 0), by ascending day. Each store has its own stream of
    /// randomness, so that stores may be made in any order.
    pub(crate) fn lines(&self, store: u32) -> impl Iterator<Item = Line> {
        let mut rng = stream(self.shape.seed, 1 + u64::from(store));
        let per_day = self.lines_per_day(store, &mut rng);
        let draw = Draw::new();
        let days = per_day.into_iter().zip(0u8..);
        days.flat_map(|(lines, day)| std::iter::repeat_n(day, lines as usize))
            .map(move |day| draw.line(&self.products, day, &mut rng))
    }

    /// How many lines each day has; the sum is what the shape asks for.
    fn lines_per_day(&self, store: u32, rng: &mut ChaCha8Rng) -> [u32; DAYS] {
        let trend = rng.random_range(-0.25..0.35);
        let closed = rng.random_bool(0.2).then(|| rng.random_range(0..DAYS));
        let mut weights = [0.0; DAYS];
        for (day, weight) in weights.iter_mut().enumerate() {
            let along = day as f64 / (DAYS - 1) as f64;
            *weight = WEEK[(FIRST_WEEKDAY + day) % 7]
                * (1.0 + trend * along)
                * rng.random_range(0.92..1.08);
            if self.failing[store as usize] {
                *weight *= 1.0 - 0.85 * along;
            }
            if closed == Some(day) {
                *weight = 0.0;
            }
        }
        for (day, factor) in STRANGE_DAYS {
            weights[day] *= factor;
        }
        let total: f64 = weights.iter().sum();
        // Rounding the running sum, not each day, makes the days add up.
        let wanted = f64::from(self.shape.rows_per_store);
        let (mut sum, mut given) = (0.0, 0);
        let mut per_day = weights.map(|weight| {
            sum += weight;
            let upto = (sum / total * wanted).round() as u32;
            let lines = upto - given;
            given = upto;
            lines
        });
        // The running sum may end a last bit away from the total.
        per_day[DAYS - 1] = per_day[DAYS - 1] + self.shape.rows_per_store - given;
        per_day
    }
}

/// The distributions of a line.
struct Draw {
    rank: Zeta<f64>,
    delivery_minutes: Gamma<f64>,
}

impl Draw {
    fn new() -> Draw {
        Draw {
            rank: Zeta::new(1.3).expect("1.3 > 1"),
            delivery_minutes: Gamma::new(9.0, 4.0).expect("both are positive"),
        }
    }

    fn line(&self, products: &[Product], day: u8, rng: &mut ChaCha8Rng) -> Line {
        let index = self.product(products, usize::from(day), rng);
        let product = &products[index];
        let quantity: u8 = rng.random_range(1..=4);
        let factor: f64 = rng.random_range(0.9..1.1);
        let amount_cents = (product.price_cents * f64::from(quantity) * factor).round();
        let mut minutes = self.delivery_minutes.sample(rng);
        if SNOW.contains(&usize::from(day)) {
            minutes *= SNOW_DELAY;
        }
        Line {
            day,
            product: index as u16,
            quantity,
            amount_cents: amount_cents as i64,
            profit_cents: (amount_cents * product.margin).round() as i64,
            delivery_tenths: (minutes * 10.0).round() as u32,
        }
    }

    /// Draws by popularity until somebody still buys it.
    fn product(&self, products: &[Product], day: usize, rng: &mut ChaCha8Rng) -> usize {
        loop {
            let rank = self.rank.sample(rng) as u64;
            let index = (rank.min(PRODUCTS as u64) - 1) as usize;
            match products[index].dying {
                Some((_, end)) if day >= end => {}
                Some((fade, end)) if day >= fade => {
                    if rng.random_ratio((end - day) as u32, (end - fade) as u32) {
                        return index;
                    }
                }
                _ => return index,
            }
        }
    }
}

/// Randomness by seed and stream: independent of each other whatever the number of draws.
fn stream(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

fn catalogue(rng: &mut ChaCha8Rng) -> Vec<Product> {
    let price = LogNormal::new(3.0, 0.6).expect("both are finite");
    let mut names = Vec::with_capacity(CATEGORIES.len() * 12 * VARIETIES.len());
    for (category, kinds) in &CATEGORIES {
        for kind in kinds {
            for variety in VARIETIES {
                names.push((*category, format!("{variety} {kind}")));
            }
        }
    }
    names.shuffle(rng);
    names.truncate(PRODUCTS);
    let mut products: Vec<Product> = names
        .into_iter()
        .map(|(category, name)| Product {
            name,
            category,
            price_cents: (price.sample(rng) * 100.0_f64).round().max(1.0),
            margin: rng.random_range(-0.05..0.45),
            dying: None,
        })
        .collect();
    // Some products that people know die, and many in the long tail. The first stays: it is a quarter of
    // all sales; and the last: the ranks beyond it fall on it.
    for (ranks, share) in [(4..200, 0.06), (200..PRODUCTS - 1, 0.04)] {
        for product in &mut products[ranks] {
            if rng.random_bool(share) {
                let end = rng.random_range(24..46);
                product.dying = Some((end - rng.random_range(2..16), end));
            }
        }
    }
    products
}

fn store_names(count: usize, rng: &mut ChaCha8Rng) -> Vec<String> {
    let mut names: Vec<String> =
        PLACES.iter().flat_map(|place| ROADS.map(|road| format!("{place} {road}"))).collect();
    names.shuffle(rng);
    (0..count)
        .map(|store| match store / names.len() {
            0 => names[store].clone(),
            round => format!("{} {}", names[store % names.len()], round + 1),
        })
        .collect()
}
