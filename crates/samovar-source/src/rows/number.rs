//! Numbers as JSON spells them, and whether a database keeps what they say: who puts 0.1000000000000000055 is not given 0.1.

use std::fmt::LowerExp;
use std::str::FromStr;

use serde::Serialize;

/// Numbers of so few characters without an exponent come back from a float of 64 bits as they are.
const SHORT: usize = 15;
/// The most decimal places of PostgreSQL's `numeric`.
const MOST_PLACES: i64 = 16_383;

/// For parameters of types that keep a number as it is spelt, or refuse it.
pub(crate) fn kept_anyhow(_: &str) -> bool {
    true
}

/// Whether a float of type `T` that reads this number is given back as the same one. Where two spellings are as short and
/// as near, as 1347668520953934.2 and ….3 are, writers of floats choose either: both are kept.
pub(crate) fn kept_by<T: FromStr + LowerExp + Serialize>(spelt: &str) -> bool {
    let (Ok(float), Some(exact)) = (spelt.parse::<T>(), Exact::of(spelt)) else { return false };
    let written = [format!("{float:e}"), serde_json::to_string(&float).unwrap_or_default()];
    written.iter().any(|written| Exact::of(written).as_ref() == Some(&exact))
}

/// Whether `numeric` has room for all of its decimal places.
pub(crate) fn kept_by_numeric(spelt: &str) -> bool {
    Exact::of(spelt).is_some_and(|number| number.power >= -MOST_PLACES)
}

/// The first number of a JSON text that would not be the same once it is read.
pub(crate) fn first_lost(json: &str) -> Option<&str> {
    let mut rest = json;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        rest = &rest[at..];
        if let Some(inside) = rest.strip_prefix('"') {
            rest = &inside[end_of_text(inside)..];
            continue;
        }
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c)));
        let (number, after) = rest.split_at(end.unwrap_or(rest.len()));
        let is_short = number.len() <= SHORT && !number.contains(['e', 'E']);
        let is_whole = number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok();
        if !is_short && !is_whole && !kept_by::<f64>(number) {
            return Some(number);
        }
        rest = after;
    }
    None
}

/// Where a text in quotes ends, counted from behind the first quote.
fn end_of_text(inside: &str) -> usize {
    let mut escaped = false;
    let end = inside.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(inside.len(), |end| end + 1)
}

/// What a number is, however it is spelt: digits without zeros at either end, times ten to a power.
#[derive(Debug, PartialEq, Eq)]
struct Exact {
    is_negative: bool,
    digits: String,
    power: i64,
}

impl Exact {
    /// `None` if it is no number.
    fn of(spelt: &str) -> Option<Exact> {
        let (is_negative, size) = match spelt.strip_prefix('-') {
            Some(size) => (true, size),
            None => (false, spelt),
        };
        let (places, power) = match size.split_once(['e', 'E']) {
            Some((places, power)) => (places, power.parse::<i64>().ok()?),
            None => (size, 0),
        };
        let (whole, part) = places.split_once('.').unwrap_or((places, ""));
        let all = format!("{whole}{part}");
        if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let digits = all.trim_end_matches('0');
        let power = power
            .checked_sub(i64::try_from(part.len()).ok()?)?
            .checked_add(i64::try_from(all.len() - digits.len()).ok()?)?;
        let digits = digits.trim_start_matches('0');
        Some(match digits.is_empty() {
            true => Exact { is_negative: false, digits: String::new(), power: 0 },
            false => Exact { is_negative, digits: digits.into(), power },
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};

    use super::*;

    #[test]
    fn a_float_keeps_what_it_gives_back() {
        assert!(kept_by::<f64>("1347668520953934.2") && kept_by::<f64>("1347668520953934.3"));
        for kept in ["0", "-0.0", "1.50", "1e2", "100.0", "0.1", "-1E-7", "1e300", "0e9", "5e-324"]
        {
            assert!(kept_by::<f64>(kept), "{kept}");
        }
        for lost in [
            "0.1000000000000000055",
            "12345678901234567890.12",
            "9007199254740993",
            "1e-400",
            "1e400",
            "1e99999999999999999999",
        ] {
            assert!(!kept_by::<f64>(lost), "{lost}");
        }
        assert!(kept_by::<f32>("0.1") && kept_by::<f32>("16777216"));
        assert!(!kept_by::<f32>("16777217") && !kept_by::<f32>("0.123456789"));
        assert!(kept_by_numeric("1e-16383") && !kept_by_numeric("1e-16384"));
    }

    #[test]
    fn the_first_number_that_is_lost_is_found_and_texts_are_none() {
        let long = "0.1000000000000000055";
        for (json, lost) in [
            (format!("{{\"a\": [1, 2.5, {long}], \"b\": 1}}"), Some(long)),
            (format!("[\"{long}\", \"\\\"{long}\", \"\\\\\", {long}]"), Some(long)),
            (format!("{{\"{long}\": \"{long}\", \"ü\": true}}"), None),
            ("[-9223372036854775808, 18446744073709551615, 1e300, null]".into(), None),
            ("-18446744073709551616".into(), Some("-18446744073709551616")),
        ] {
            assert_eq!(first_lost(&json), lost, "{json}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_float_is_written_as_is_kept(float in any::<f64>(), single in any::<f32>()) {
            if float.is_finite() {
                prop_assert!(kept_by::<f64>(&serde_json::Value::from(float).to_string()));
                prop_assert!(kept_by::<f64>(&float.to_string()));
            }
            if single.is_finite() {
                prop_assert!(kept_by::<f32>(&single.to_string()));
                prop_assert!(kept_by::<f32>(&serde_json::to_string(&single).unwrap()));
            }
        }

        #[test]
        fn few_digits_need_no_look(number in "-?[1-9][0-9]{0,6}\\.[0-9]{1,6}") {
            prop_assert!(number.len() > SHORT || kept_by::<f64>(&number));
        }
    }
}
