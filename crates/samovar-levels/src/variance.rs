//! Variance from sums alone.

/// Population variance of `n` whole numbers from their sum and the sum of their squares; `None` if there are none.
///
/// It is (n · Σ(x − m)² − (Σ(x − m))²) / n² with a whole number m next to the mean, all of it whole numbers up to
/// the last division: where values lie far from zero and close together, squares of floats would leave nothing of
/// their differences.
pub(crate) fn variance(n: u64, sum: i128, squares: i128) -> Option<f64> {
    if squares == i128::MAX {
        return None; // more than can be told
    }
    let count = i128::from(n);
    let (middle, rest) = (sum.checked_div_euclid(count)?, sum.checked_rem_euclid(count)?);
    // Σ(x − m)² = Σx² − 2mΣx + nm², and Σx = nm + rest. |mΣx| does not exceed Σx².
    let around = squares.checked_sub(middle.checked_mul(sum)?)?.checked_sub(middle * rest)?;
    let whole = count.checked_mul(around).zip(rest.checked_mul(rest)).map(|(a, b)| a - b);
    let n = n as f64;
    Some(match whole {
        Some(whole) => whole as f64 / n / n,
        // So great a spread that what is lost cannot be seen.
        None => (around as f64 / n - (rest as f64 / n).powi(2)).max(0.0),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[i64]) -> Option<f64> {
        let wide = || values.iter().map(|value| i128::from(*value));
        variance(values.len() as u64, wide().sum(), wide().map(|v| v * v).sum())
    }

    proptest! {
        #[test]
        fn a_variance_does_not_see_where_the_values_lie(
            values in proptest::collection::vec(-1_000i64..1_000, 1..50),
            far in -4_000_000_000_000i64..4_000_000_000_000,
        ) {
            let n = values.len() as f64;
            let mean = values.iter().sum::<i64>() as f64 / n;
            let plain = values.iter().map(|v| (*v as f64 - mean).powi(2)).sum::<f64>() / n;
            let found = of(&values).unwrap();
            prop_assert!((found - plain).abs() <= 1e-9 * plain.max(1.0), "{found} and {plain}");
            let moved: Vec<i64> = values.iter().map(|value| value + far).collect();
            prop_assert_eq!(of(&moved), Some(found));
        }
    }

    #[test]
    fn a_variance_of_little_and_of_great_values() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[7]), Some(0.0));
        assert_eq!(of(&[1, 2, 3, 4]), Some(1.25));
        let great = i64::MAX / 2;
        let found = of(&[great, -great, great, -great]).unwrap();
        assert!((found / (great as f64).powi(2) - 1.0).abs() < 1e-12, "{found}");
    }
}
