//! A value of a row, whatever the source: how it reads as text, as a number of fixed point, and in an error.

use std::fmt::Write as _;

use samovar_core::Day;

use crate::decimal::{Decimal, POWERS, fixed_of_digits, fraction};
use crate::{SourceError, SourceErrorKind};

const SECONDS_OF_A_DAY: i64 = 86_400;

/// A value as a source hands it over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell<'a> {
    /// NULL.
    Null,
    /// A whole number.
    Integer(i64),
    /// A float.
    Real(f64),
    /// A float of 32 bits: its text has fewer digits.
    Single(f32),
    /// A number of any length.
    Decimal(Decimal<'a>),
    /// True or false.
    Bool(bool),
    /// Text, not yet known to be UTF-8.
    Text(&'a [u8]),
    /// A UUID.
    Uuid([u8; 16]),
    /// A calendar day.
    Day(Day),
    /// Microseconds since 1970-01-01 00:00 on the clock of nowhere in particular.
    Time(i64),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Instant(i64),
    /// A date or time without end: its words.
    Infinity(&'static str),
    /// So many bytes that are no text.
    Blob(usize),
}

impl Cell<'_> {
    /// As text; what is not text already is written to `scratch`. Equal numbers read alike, whatever zeros they
    /// end with. `None` if there is no text for it.
    pub(crate) fn text<'b>(&'b self, scratch: &'b mut String) -> Option<&'b str> {
        scratch.clear();
        // Writing to a String does not fail.
        let _ = match self {
            Cell::Text(bytes) => return std::str::from_utf8(bytes).ok(),
            Cell::Null | Cell::Infinity(_) | Cell::Blob(_) => return None,
            Cell::Integer(number) => write!(scratch, "{number}"),
            Cell::Real(number) => write!(scratch, "{number}"),
            Cell::Single(number) => write!(scratch, "{number}"),
            Cell::Decimal(number) => write!(scratch, "{number}"),
            Cell::Bool(truth) => write!(scratch, "{truth}"),
            Cell::Uuid(bytes) => {
                bytes.iter().enumerate().for_each(|(at, byte)| {
                    let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
                    let _ = write!(scratch, "{dash}{byte:02x}");
                });
                Ok(())
            }
            Cell::Day(day) => write!(scratch, "{day}"),
            Cell::Time(micros) => time(*micros, scratch),
            Cell::Instant(micros) => {
                let _ = time(*micros, scratch);
                scratch.write_str("+00")
            }
        };
        Some(scratch)
    }

    /// Times 10 to the power of `decimals` (at most 18), rounded half away from zero; `None` if it is no number,
    /// or does not fit.
    #[inline]
    pub(crate) fn fixed(&self, decimals: u8) -> Option<i64> {
        let scale = POWERS[usize::from(decimals.min(18))];
        let scaled = match self {
            Cell::Integer(number) => return number.checked_mul(scale),
            Cell::Bool(truth) => return Some(i64::from(*truth) * scale),
            Cell::Decimal(number) => return number.fixed(decimals),
            Cell::Real(number) => number * scale as f64,
            Cell::Single(number) => f64::from(*number) * scale as f64,
            Cell::Text(bytes) => {
                let text = std::str::from_utf8(bytes).ok()?.trim();
                if let Ok(fixed) = fixed_of_digits(text, decimals) {
                    return fixed;
                }
                text.parse::<f64>().ok()? * scale as f64
            }
            _ => return None,
        };
        let rounded = scaled.round();
        // 2^63: the first float that does not fit.
        (rounded.abs() < 9_223_372_036_854_775_808.0).then_some(rounded as i64)
    }

    /// In words, for an error.
    pub(crate) fn words(&self) -> String {
        let text = || self.text(&mut String::new()).unwrap_or_default().to_string();
        match self {
            Cell::Null => "nothing (NULL)".into(),
            Cell::Integer(number) => format!("the integer {number}"),
            Cell::Real(_) | Cell::Single(_) | Cell::Decimal(_) => format!("the number {}", text()),
            Cell::Text(bytes) => {
                let start: String = String::from_utf8_lossy(bytes).chars().take(60).collect();
                format!("the text {start:?}")
            }
            Cell::Bool(_) | Cell::Uuid(_) | Cell::Day(_) | Cell::Time(_) | Cell::Instant(_) => {
                text()
            }
            Cell::Infinity(words) => format!("the date {words}"),
            Cell::Blob(bytes) => format!("a blob of {bytes} bytes"),
        }
    }
}

fn time(micros: i64, to: &mut String) -> std::fmt::Result {
    let (second, micros) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let day = day_of(second).ok_or(std::fmt::Error)?;
    let of_day = second.rem_euclid(SECONDS_OF_A_DAY);
    write!(to, "{day} {:02}:{:02}:{:02}", of_day / 3_600, of_day / 60 % 60, of_day % 60)?;
    if micros > 0 {
        to.write_str(".")?;
        fraction(to, micros, 6)?;
    }
    Ok(())
}

/// The day of a second since 1970 in UTC.
pub(crate) fn day_of(second: i64) -> Option<Day> {
    i32::try_from(second.div_euclid(SECONDS_OF_A_DAY)).ok().map(Day)
}

/// The error for a value that cannot be read.
pub(crate) fn unreadable(
    store: Option<&str>,
    day: Option<Day>,
    column: &str,
    value: &Cell<'_>,
    expected: &str,
) -> SourceError {
    let place = match (store, day) {
        (Some(store), Some(day)) => format!("store {store} on {day}: "),
        (Some(store), None) => format!("store {store}: "),
        _ => String::new(),
    };
    let found = value.words();
    let message = format!("{place}column {column} holds {found}; allowed is {expected}");
    SourceError::new(SourceErrorKind::Value, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_rounded_half_away_from_zero() {
        let cents = |number| Cell::Real(number).fixed(2);
        assert_eq!([cents(0.125), cents(-0.125), cents(19.99)], [Some(13), Some(-13), Some(1_999)]);
        assert_eq!(Cell::Single(19.99).fixed(2), Some(1_999));
        assert_eq!(Cell::Integer(-7).fixed(2), Some(-700));
        assert_eq!(Cell::Text(b" 1234.56 ").fixed(2), Some(123_456));
        assert_eq!(Cell::Text(b"1.005").fixed(2), Some(101));
        assert_eq!(Cell::Text(b"90071992547409.93").fixed(2), Some(9_007_199_254_740_993));
        assert_eq!(Cell::Text(b"1.5e3").fixed(2), Some(150_000));
        assert_eq!(Cell::Bool(true).fixed(0), Some(1));
        for value in [
            Cell::Real(f64::INFINITY),
            Cell::Real(9.3e16),
            Cell::Integer(i64::MAX / 99),
            Cell::Text(b"nan"),
            Cell::Text(b"$1"),
            Cell::Blob(1),
            Cell::Day(Day(0)),
        ] {
            assert_eq!(value.fixed(2), None, "{value:?}");
        }
    }

    #[test]
    fn everything_that_has_a_text_has_one_spelling() {
        for (value, text) in [
            (Cell::Integer(-7), "-7"),
            (Cell::Real(7.0), "7"),
            (Cell::Single(1.1), "1.1"),
            (Cell::Bool(false), "false"),
            (Cell::Text("日期".as_bytes()), "日期"),
            (Cell::Uuid(*b"0123456789abcdef"), "30313233-3435-3637-3839-616263646566"),
            (Cell::Day(Day(20_487)), "2026-02-03"),
            (Cell::Time(-1), "1969-12-31 23:59:59.999999"),
            (Cell::Instant(1_770_145_613_500_000), "2026-02-03 19:06:53.5+00"),
        ] {
            assert_eq!(value.text(&mut String::new()), Some(text), "{value:?}");
        }
        for value in [Cell::Null, Cell::Text(b"\xff"), Cell::Blob(3), Cell::Infinity("infinity")] {
            assert_eq!(value.text(&mut String::new()), None, "{value:?}");
        }
    }
}
