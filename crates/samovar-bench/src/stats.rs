//! The few statistics that are quoted.

/// The middle one; of an even number the lower middle. 0 of nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The least value that a share `q` of all do not exceed; 0 of nothing.
pub(crate) fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::{median, quantile};

    #[test]
    fn ranks_are_counted_from_below() {
        let thousand: Vec<f64> = (1..=1_000).rev().map(f64::from).collect();
        assert_eq!(quantile(&thousand, 0.99), 990.0);
        assert_eq!(quantile(&thousand, 1.0), 1_000.0);
        assert_eq!(median(&[3.0, 1.0, 2.0, 5.0, 4.0]), 3.0);
        assert_eq!(median(&[]), 0.0);
    }
}
