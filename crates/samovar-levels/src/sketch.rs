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

/// The value that stands for a bin, without its sign.
fn magnitude(code: u16) -> f64 {
    MAPPING.value(i32::from(code) - SHIFT)
}

/// Merged bins. Zero is counted by itself: its code lies thousands away from that of 1, and so would everything that
/// stands beside a zero.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bins {
    negative: Run,
    zero: u64,
    positive: Run,
}

/// Counts of the codes of one sign, without the sign, from `low` on.
///
/// It is as wide as the codes that were seen lie apart. The greatest 64-bit number is 2^63 times the least, whatever
/// the number of decimals, which makes 2,185 bins: so a run takes 17.5 KB at most, and `Bins` twice that. (What a
/// stored block may claim, all codes there are, takes 262 KB.)
#[derive(Clone, Debug, Default)]
struct Run {
    low: u16,
    counts: Vec<u64>,
}

impl Bins {
    /// Adds counted codes, which ascend.
    pub(crate) fn add(&mut self, codes: &[i16], counts: &[u32]) {
        let negative = codes.partition_point(|code| *code < 0);
        let zero = codes.partition_point(|code| *code <= 0);
        self.negative.add(&codes[..negative], &counts[..negative]);
        self.zero += counts[negative..zero].iter().map(|count| u64::from(*count)).sum::<u64>();
        self.positive.add(&codes[zero..], &counts[zero..]);
    }

    /// Adds all of another.
    pub(crate) fn merge(&mut self, other: &Bins) {
        self.negative.merge(&other.negative);
        self.zero += other.zero;
        self.positive.merge(&other.positive);
    }

    /// The quantile `q` (0 to 1): the value at rank `floor(q × (n − 1))`, as in the paper. `None` if empty.
    pub(crate) fn quantile(&self, q: f64) -> Option<f64> {
        let total = self.negative.total() + self.zero + self.positive.total();
        let rank = (q.clamp(0.0, 1.0) * total.checked_sub(1)? as f64).floor() as u64;
        let mut seen = 0;
        let mut is_there = |count: u64| {
            seen += count;
            seen > rank
        };
        // By ascending value: the most negative first.
        let mut negative = self.negative.bins().rev();
        if let Some((code, _)) = negative.find(|(_, count)| is_there(*count)) {
            return Some(-magnitude(code));
        }
        if is_there(self.zero) {
            return Some(0.0);
        }
        let (code, _) = self.positive.bins().find(|(_, count)| is_there(*count))?;
        Some(magnitude(code))
    }
}

impl Run {
    /// Adds counted codes of one sign, in either order.
    fn add(&mut self, codes: &[i16], counts: &[u32]) {
        let (Some(first), Some(last)) = (codes.first(), codes.last()) else { return };
        let (first, last) = (first.unsigned_abs(), last.unsigned_abs());
        self.make_room(first.min(last), first.max(last));
        for (code, count) in codes.iter().zip(counts) {
            self.counts[usize::from(code.unsigned_abs() - self.low)] += u64::from(*count);
        }
    }

    fn merge(&mut self, other: &Run) {
        let Some(more) = other.counts.len().checked_sub(1) else { return };
        self.make_room(other.low, other.low + more as u16);
        let at = usize::from(other.low - self.low);
        for (mine, theirs) in self.counts[at..].iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
    }

    fn make_room(&mut self, low: u16, high: u16) {
        if self.counts.is_empty() {
            self.low = low;
        } else if low < self.low {
            let more = usize::from(self.low - low);
            self.counts.splice(0..0, std::iter::repeat_n(0, more));
            self.low = low;
        }
        let needed = usize::from(high.max(self.low) - self.low) + 1;
        if self.counts.len() < needed {
            // Exactly: there is one of these for every day of an answer, and it soon has all it needs.
            self.counts.reserve_exact(needed - self.counts.len());
            self.counts.resize(needed, 0);
        }
    }

    fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Codes and their counts, ascending.
    fn bins(&self) -> impl DoubleEndedIterator<Item = (u16, u64)> {
        let codes = (0..self.counts.len()).map(|at| self.low + at as u16);
        codes.zip(self.counts.iter().copied())
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

    /// Any code there is, those of zero and of figures most of all.
    fn any_code() -> impl Strategy<Value = i16> {
        prop_oneof![
            2 => Just(0),
            4 => (-1e6..1e6f64).prop_map(code),
            2 => any::<i64>().prop_map(|value| code(value as f64)),
            1 => any::<i16>(),
        ]
    }

    fn bins(codes: &[i16]) -> Bins {
        let mut codes = codes.to_vec();
        codes.sort_unstable();
        let (codes, counts): (Vec<i16>, Vec<u32>) =
            codes.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u32)).unzip();
        let mut bins = Bins::default();
        bins.add(&codes, &counts);
        bins
    }

    proptest! {
        /// What bins mean: the codes of all values in order, and the one at the rank.
        #[test]
        fn merged_bins_are_those_of_all_values(
            parts in proptest::collection::vec(proptest::collection::vec(any_code(), 0..20), 0..20),
            q in 0.0..=1.0f64,
        ) {
            let (mut merged, mut added) = (Bins::default(), Bins::default());
            for part in &parts {
                merged.merge(&bins(part));
                let mut sorted = part.clone();
                sorted.sort_unstable();
                added.add(&sorted, &vec![1; sorted.len()]);
            }
            let mut all = parts.concat();
            all.sort_unstable();
            let rank = all.len().checked_sub(1).map(|last| (q * last as f64).floor() as usize);
            let expected = rank.map(|rank| match all[rank] {
                0 => 0.0,
                code => f64::from(code.signum()) * magnitude(code.unsigned_abs()),
            });
            for bins in [&merged, &added, &bins(&all)] {
                prop_assert_eq!(bins.quantile(q), expected);
            }
        }
    }

    #[test]
    fn bins_are_as_wide_as_what_was_seen() {
        let room = |values: &[f64]| {
            let mut bins = Bins::default();
            for value in values {
                bins.add(&[code(*value)], &[1]);
            }
            bins.negative.counts.capacity() + bins.positive.counts.capacity()
        };
        assert_eq!(room(&[0.0, 1.0]), 1, "a zero takes no room");
        assert_eq!(room(&[-1.0, 0.0, 1.0]), 2, "nor does what lies between the signs");
        assert!(room(&[0.0, 0.01, 100.0]) < 500);
        for scale in [1.0, 100.0, 1e18] {
            let widest = room(&[
                -1.0 / scale,
                i64::MIN as f64 / scale,
                1.0 / scale,
                i64::MAX as f64 / scale,
            ]);
            assert!(widest <= 2 * 2_185, "{widest} bins for 64-bit numbers");
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
