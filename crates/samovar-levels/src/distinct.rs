//! Distinct values over any set of partitions, about: HyperLogLog.
//!
//! Sources: Flajolet, Fusy, Gandouet, Meunier, "HyperLogLog: the analysis of a near-optimal cardinality estimation
//! algorithm", AofA 2007; the sparse form after Heule, Nunkesser, Hall, "HyperLogLog in practice", EDBT 2013; the
//! estimate is Ertl's, "New cardinality estimation algorithms for HyperLogLog sketches", 2017 (section 4), which is
//! unbiased from zero on and needs no tables.
//!
//! A value is a *hash*: 32 bits that hold a place (25 bits) and a rank, one more than the number of leading zeros of
//! other bits. Up to [`SPARSE`] distinct hashes are kept as they are, sorted, and their number is the count. Beyond,
//! a register for each of the 2^14 lowest places keeps the greatest rank. Which of both it is follows from the set of
//! values alone, whatever was merged in which order: so states have a digest.

use xxhash_rust::xxh3::xxh3_128;

/// Standard error of a count beyond 4,096, as a share of it: 1.04 / √2^14. In 997 of 1,000 cases it is off by no
/// more than three times as much, 2.4 %. Up to there values are counted, and only two that share a hash count as one:
/// of 1,000 values that happens in one case of 200, of 4,000 in one of 13.
pub const STANDARD_ERROR: f64 = 0.008_125;

/// Registers, as a power of two.
const PRECISION: u32 = 14;
const REGISTERS: usize = 1 << PRECISION;
/// So many hashes are kept as they are: no more room than registers take.
const SPARSE: usize = 4_096;
/// Bits of a place.
const PLACES: u32 = 25;
/// Marks hashes that stand for registers. Ranks end below it.
const REGISTER: u32 = 1 << 31;
const MAX_RANK: u32 = 63;

/// The hash of a value.
pub(crate) fn hash(value: &str) -> u32 {
    let bits = xxh3_128(value.as_bytes());
    let rank = ((bits >> 64) as u64).leading_zeros().min(MAX_RANK - 1) + 1;
    rank << PLACES | (bits as u32 & ((1 << PLACES) - 1))
}

/// The distinct values of any partitions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Distinct {
    /// Ascending, each once; empty once there are registers.
    hashes: Vec<u32>,
    /// The greatest rank of each place; empty while there are few hashes.
    registers: Vec<u8>,
}

impl Distinct {
    /// Adds one hash.
    pub(crate) fn insert(&mut self, hash: u32) {
        if !self.registers.is_empty() {
            return self.raise(hash);
        }
        if let Err(at) = self.hashes.binary_search(&hash) {
            self.hashes.insert(at, hash);
            self.keep_small();
        }
    }

    /// Adds the hashes of a state, as [`Distinct::hashes`] gives them.
    pub(crate) fn add(&mut self, hashes: &[u32]) {
        if hashes.first().is_some_and(|hash| hash & REGISTER != 0) {
            self.promote();
        }
        if !self.registers.is_empty() {
            return hashes.iter().for_each(|hash| self.raise(*hash));
        }
        if self.hashes.is_empty() {
            self.hashes.extend_from_slice(hashes);
            return;
        }
        let before = self.hashes.len();
        let new = hashes.iter().filter(|hash| self.hashes[..before].binary_search(hash).is_err());
        let new: Vec<u32> = new.copied().collect();
        if !new.is_empty() {
            self.hashes.extend(new);
            // Two runs, each in order.
            self.hashes.sort();
            self.keep_small();
        }
    }

    /// Adds all of another.
    pub(crate) fn merge(&mut self, other: &Distinct) {
        if other.registers.is_empty() {
            return self.add(&other.hashes);
        }
        self.promote();
        for (mine, theirs) in self.registers.iter_mut().zip(&other.registers) {
            *mine = (*mine).max(*theirs);
        }
    }

    /// The state as hashes, ascending: equal for equal sets of values.
    pub(crate) fn hashes(&self) -> Vec<u32> {
        if self.registers.is_empty() {
            return self.hashes.clone();
        }
        let ranks = self.registers.iter().enumerate().filter(|(_, rank)| **rank > 0);
        let mut hashes: Vec<u32> =
            ranks.map(|(at, rank)| REGISTER | u32::from(*rank) << PLACES | at as u32).collect();
        hashes.sort_unstable();
        hashes
    }

    /// About how many distinct values there are: a whole number.
    pub(crate) fn estimate(&self) -> f64 {
        if self.registers.is_empty() {
            return self.hashes.len() as f64;
        }
        // How many registers have each rank. Bits beside the place's: 64, so ranks end at 63 here.
        let mut ranks = [0u32; MAX_RANK as usize + 1];
        for rank in &self.registers {
            ranks[usize::from(*rank)] += 1;
        }
        let m = REGISTERS as f64;
        let last = ranks.len() - 1;
        let mut z = m * tau(1.0 - f64::from(ranks[last]) / m);
        for count in ranks[1..last].iter().rev() {
            z = 0.5 * (z + f64::from(*count));
        }
        z += m * sigma(f64::from(ranks[0]) / m);
        (m * m / (2.0 * std::f64::consts::LN_2 * z)).round()
    }

    fn keep_small(&mut self) {
        if self.hashes.len() > SPARSE {
            self.promote();
        }
    }

    /// From hashes to registers.
    fn promote(&mut self) {
        if self.registers.is_empty() {
            self.registers = vec![0; REGISTERS];
            std::mem::take(&mut self.hashes).into_iter().for_each(|hash| self.raise(hash));
        }
    }

    fn raise(&mut self, hash: u32) {
        let register = &mut self.registers[hash as usize & (REGISTERS - 1)];
        *register = (*register).max((hash >> PLACES) as u8 & MAX_RANK as u8);
    }
}

/// Σ over the registers that nothing has reached, in Ertl's estimate.
fn sigma(x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut x, mut y, mut z) = (x, 1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// The same for registers at the last rank.
fn tau(x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut x, mut y, mut z) = (x, 1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: impl IntoIterator<Item = u32>) -> Distinct {
        let mut all = Distinct::default();
        values.into_iter().for_each(|value| all.insert(hash(&format!("customer {value}"))));
        all
    }

    #[test]
    fn counts_are_within_the_stated_error_at_every_size() {
        let mut all = Distinct::default();
        let mut worst: f64 = 0.0;
        for n in 1..=300_000u32 {
            all.insert(hash(&format!("customer {n}")));
            if n <= 1_000 {
                assert_eq!(all.estimate(), f64::from(n));
            } else if n % 997 == 0 {
                worst = worst.max((all.estimate() / f64::from(n) - 1.0).abs());
            }
        }
        assert!(worst < 3.0 * STANDARD_ERROR, "{worst}");
    }

    #[test]
    fn nothing_is_none() {
        assert_eq!(Distinct::default().estimate(), 0.0);
        assert_eq!(of([7, 7, 7]).estimate(), 1.0);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

        #[test]
        fn a_state_depends_on_the_set_of_values_alone(
            ranges in proptest::collection::vec((0u32..12_000, 0u32..6_000), 1..5),
        ) {
            let ranges: Vec<_> = ranges.into_iter().map(|(from, n)| from..from + n).collect();
            let at_once = of(ranges.iter().cloned().flatten());
            let backwards = of(ranges.iter().cloned().rev().flat_map(Iterator::rev));
            let (mut merged, mut added) = (Distinct::default(), Distinct::default());
            for range in ranges.iter().rev() {
                merged.merge(&of(range.clone()));
                added.add(&of(range.clone()).hashes());
            }
            for other in [&backwards, &merged, &added] {
                prop_assert_eq!(at_once.hashes(), other.hashes());
                prop_assert_eq!(at_once.estimate(), other.estimate());
            }
        }
    }
}
