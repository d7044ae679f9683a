//! Quantiles that merge: DDSketch bins, kept as columns.
//!
//! Source: Masson, Rim, Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
//! guarantees", VLDB 2019. The mapping of values to bins is the crate `sketches-ddsketch`'s; the bins are kept
//! by us, as sorted columns beside the other states of a block, because a sketch object for every store-day would
//! take many times the room and its bytes would depend on the order of insertion.

use std::sync::LazyLock;

use sketches_ddsketch::Config;

/// Relative error of a quantile: 1 %.
pub const RELATIVE_ERROR: f64 = 0.01;

/// Bin codes are `key + SHIFT` for positive values, the negative of that for negative ones, 0 for zero: so
/// codes ascend with values and fit 16 bits (values between about 10^-142 and 10^142).
const SHIFT: i32 = 16_384;

static MAPPING: LazyLock<Config> = LazyLock::new(|| Config::new(RELATIVE_ERROR, 4_096, 1e-9));

/// The code of the bin that holds a value.
pub(crate) fn code(value: f64) -> i16 {
    let magnitude = value.abs();
    if magnitude < MAPPING.min_possible() {
        return 0;
    }
    let code = (MAPPING.key(magnitude) + SHIFT).clamp(1, i32::from(i16::MAX)) as i16;
    if value < 0.0 { -code } else { code }
}

/// The value that stands for a bin.
fn value(code: i16) -> f64 {
    match code {
        0 => 0.0,
        code => f64::from(code.signum()) * MAPPING.value(i32::from(code.abs()) - SHIFT),
    }
}

/// Merged bins: counts of the codes from `low` on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bins {
    low: i32,
    counts: Vec<u64>,
}

impl Bins {
    /// Adds counted codes, which ascend.
    pub(crate) fn add(&mut self, codes: &[i16], counts: &[u32]) {
        let (Some(&first), Some(&last)) = (codes.first(), codes.last()) else { return };
        self.make_room(i32::from(first), i32::from(last));
        for (code, count) in codes.iter().zip(counts) {
            self.counts[(i32::from(*code) - self.low) as usize] += u64::from(*count);
        }
    }

    /// Adds all of another.
    pub(crate) fn merge(&mut self, other: &Bins) {
        if other.counts.is_empty() {
            return;
        }
        self.make_room(other.low, other.low + other.counts.len() as i32 - 1);
        let at = (other.low - self.low) as usize;
        for (mine, theirs) in self.counts[at..].iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
    }

    fn make_room(&mut self, first: i32, last: i32) {
        if self.counts.is_empty() {
            self.low = first;
        } else if first < self.low {
            let more = (self.low - first) as usize;
            self.counts.splice(0..0, std::iter::repeat_n(0, more));
            self.low = first;
        }
        let needed = (last - self.low + 1) as usize;
        if self.counts.len() < needed {
            self.counts.resize(needed, 0);
        }
    }

    /// The quantile `q` (0 to 1): the value at rank `floor(q × (n − 1))`, as in the paper. `None` if empty.
    pub(crate) fn quantile(&self, q: f64) -> Option<f64> {
        let total: u64 = self.counts.iter().sum();
        let rank = (q.clamp(0.0, 1.0) * total.checked_sub(1)? as f64).floor() as u64;
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen > rank {
                return Some(value((self.low + at as i32) as i16));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counted(values: &[f64]) -> (Vec<i16>, Vec<u32>) {
        let mut codes: Vec<i16> = values.iter().map(|v| code(*v)).collect();
        codes.sort_unstable();
        codes.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u32)).unzip()
    }

    proptest! {
        #[test]
        fn quantiles_of_merged_parts_are_within_the_stated_error(
            mut values in proptest::collection::vec(-1e6..1e6f64, 1..300),
            cut in 0usize..300,
            q in 0.0..=1.0f64,
        ) {
            let (left, right) = values.split_at(cut.min(values.len()));
            let mut all = Bins::default();
            for part in [left, right] {
                let (codes, counts) = counted(part);
                let mut bins = Bins::default();
                bins.add(&codes, &counts);
                all.merge(&bins);
            }
            values.sort_by(f64::total_cmp);
            let exact = values[(q * (values.len() - 1) as f64).floor() as usize];
            let found = all.quantile(q).unwrap();
            prop_assert!((found - exact).abs() <= exact.abs() * RELATIVE_ERROR * 1.001 + 1e-9, "{found} for {exact}");
        }
    }

    #[test]
    fn zero_and_nothing() {
        assert_eq!(Bins::default().quantile(0.5), None);
        let mut bins = Bins::default();
        bins.add(&[code(0.0)], &[3]);
        assert_eq!(bins.quantile(0.95), Some(0.0));
    }
}
