//! PostgreSQL's types: what a column of each takes, and how COPY reads it as text. A value that the server would
//! refuse, or round, is refused here: there it would end the whole import.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::civil::DateTime;
use tokio_postgres::types::Type;

use super::super::column::ColumnType;
use super::super::find::shortened;
use super::super::value::Value;

/// The types that an import can write, for messages.
pub(super) const WRITABLE: &str = "smallint, integer, bigint, numeric, real, double precision, text, varchar, char, \
                                   date, timestamp and timestamptz";

/// The first instant of the year 1, in seconds since 1970.
const YEAR_ONE: i64 = -62_135_596_800;
/// Most digits of a `numeric` without limits, before its point and behind it.
const LONGEST: (i64, i64) = (131_072, 16_383);

/// What a column takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Whole numbers up to this one.
    Integer(i64),
    Numeric(Option<Digits>),
    Real,
    Double,
    /// Text of so many characters at most.
    Text(Option<usize>),
    Date,
    /// With so many decimals of its seconds.
    Timestamp(u32),
    Timestamptz(u32),
}

/// `numeric(precision, scale)`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digits {
    precision: i64,
    scale: i64,
}

impl Form {
    /// The form of a type that is there, if an import can write it.
    pub(super) fn of(oid: u32, modifier: i32) -> Option<Form> {
        // The length of a text and the digits of a number are stored with 4 added.
        let size = (modifier >= 4).then(|| modifier - 4);
        let seconds = u32::try_from(modifier).unwrap_or(6);
        Some(match Type::from_oid(oid)? {
            Type::INT2 => Form::Integer(i16::MAX.into()),
            Type::INT4 => Form::Integer(i32::MAX.into()),
            Type::INT8 => Form::Integer(i64::MAX),
            Type::FLOAT4 => Form::Real,
            Type::FLOAT8 => Form::Double,
            Type::NUMERIC => Form::Numeric(size.map(|size| Digits {
                precision: (size >> 16 & 0xffff).into(),
                // 11 bits with a sign.
                scale: ((size & 0x7ff ^ 0x400) - 0x400).into(),
            })),
            Type::TEXT => Form::Text(None),
            Type::VARCHAR | Type::BPCHAR => {
                Form::Text(size.and_then(|size| usize::try_from(size).ok()))
            }
            Type::DATE => Form::Date,
            Type::TIMESTAMP => Form::Timestamp(seconds),
            Type::TIMESTAMPTZ => Form::Timestamptz(seconds),
            _ => return None,
        })
    }

    /// The form of a column in a new table, and its type.
    pub(super) fn new(kind: ColumnType) -> (Form, &'static str) {
        match kind {
            ColumnType::Integer => (Form::Integer(i64::MAX), "bigint"),
            ColumnType::Real => (Form::Double, "double precision"),
            ColumnType::Money => (Form::Numeric(None), "numeric"),
            ColumnType::Text => (Form::Text(None), "text"),
            ColumnType::Date => (Form::Date, "date"),
        }
    }

    /// How the cells of a file may be read for it, the preferred way first.
    pub(super) fn readable_as(self) -> &'static [ColumnType] {
        match self {
            Form::Integer(_) => &[ColumnType::Integer],
            Form::Numeric(_) => &[ColumnType::Real, ColumnType::Money, ColumnType::Integer],
            Form::Real | Form::Double => &[ColumnType::Real, ColumnType::Money],
            Form::Text(_) => &[ColumnType::Text, ColumnType::Date],
            Form::Date => &[ColumnType::Date],
            Form::Timestamp(_) => &[ColumnType::Date, ColumnType::Text],
            Form::Timestamptz(_) => &[ColumnType::Text],
        }
    }

    /// Writes a value, or says why the column does not take it.
    pub(super) fn put(self, value: &Value<'_>, into: &mut String) -> Result<(), String> {
        match (self, value) {
            (_, Value::Null) => into.push_str("\\N"),
            (Form::Integer(max), Value::Integer(number)) => {
                // The least one is as far from zero and one more.
                if *number > max || *number < -max - 1 {
                    return Err(format!("`{number}` is greater than its type allows"));
                }
                print(into, number);
            }
            (Form::Numeric(limit), Value::Integer(number)) => {
                numeric(&number.to_string(), limit, into)?;
            }
            (Form::Numeric(limit), Value::Number(_, text)) => numeric(text, limit, into)?,
            (Form::Double, Value::Number(number, _)) => print(into, number),
            (Form::Real, Value::Number(number, text)) => {
                let single = *number as f32;
                if single.is_infinite() || (single == 0.0 && *number != 0.0) {
                    return Err(format!("`{}` is out of the range of its type", shortened(text)));
                }
                print(into, single);
            }
            (Form::Text(longest), Value::Text(text)) => {
                if longest.is_some_and(|longest| text.chars().nth(longest).is_some()) {
                    let text = shortened(text);
                    return Err(format!("`{text}` has more characters than its type allows"));
                }
                escape(text, into)?;
            }
            (Form::Text(longest), Value::Date(day)) => {
                if longest.is_some_and(|longest| longest < "2016-01-31".len()) {
                    return Err(format!("`{day}` has more characters than its type allows"));
                }
                print(into, day);
            }
            (Form::Date | Form::Timestamp(_), Value::Date(day)) => print(into, day),
            (Form::Timestamp(decimals), Value::Text(text)) => {
                let time = timestamp(text).ok_or_else(|| unlike(text, "2016-01-31 19:06:53"))?;
                check_seconds(text, time.subsec_nanosecond(), decimals)?;
                print(into, time);
            }
            (Form::Timestamptz(decimals), Value::Text(text)) => {
                let example = "2016-01-31 19:06:53+01:00";
                let instant = instant(text).ok_or_else(|| unlike(text, example))?;
                check_seconds(text, instant.subsec_nanosecond(), decimals)?;
                print(into, instant);
            }
            (_, value) => return Err(format!("`{value:?}` does not fit its type")),
        }
        Ok(())
    }
}

fn print(into: &mut String, value: impl std::fmt::Display) {
    // A string takes all that is written.
    let _ = write!(into, "{value}");
}

/// Writes text as COPY reads it.
pub(super) fn escape(text: &str, into: &mut String) -> Result<(), String> {
    if text.contains('\0') {
        return Err("the text holds a zero byte, which PostgreSQL cannot store".to_owned());
    }
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '\n', '\r', '\t']) {
        let (plain, behind) = rest.split_at(at);
        into.push_str(plain);
        into.push_str(match behind.as_bytes()[0] {
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            _ => "\\t",
        });
        rest = &behind[1..];
    }
    into.push_str(rest);
    Ok(())
}

/// Writes a number exactly as it stands.
fn numeric(text: &str, limit: Option<Digits>, into: &mut String) -> Result<(), String> {
    let refused = |why| Err(format!("`{}` {why}", shortened(text)));
    let Some(extent) = Extent::of(text) else { return refused("has too many digits") };
    let (whole, written) = LONGEST;
    if extent.whole > whole || extent.written > written {
        return refused("has too many digits");
    }
    if let Some(Digits { precision, scale }) = limit {
        if extent.decimals > scale {
            return refused("has more decimals than its type keeps");
        }
        if extent.whole > precision - scale {
            return refused("is greater than its type allows");
        }
    }
    into.push_str(text);
    Ok(())
}

/// How far a number reaches to both sides of its point.
struct Extent {
    /// Digits before the point; less than none if zeros follow the point.
    whole: i64,
    /// Digits behind it as it is written.
    written: i64,
    /// The same without zeros at the end; less than none if zeros stand before the point.
    decimals: i64,
}

impl Extent {
    /// Of a plain number; `None` if its exponent is absurd.
    fn of(text: &str) -> Option<Extent> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (text, 0),
        };
        if exponent.abs() > LONGEST.1 {
            return None;
        }
        let mantissa = mantissa.trim_start_matches(['-', '+']);
        let (before, behind) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX / 2);
        let digits: String = [before, behind].concat();
        let first = length(digits.trim_start_matches('0'));
        if first == 0 {
            // Nothing fits everywhere.
            let least = i64::MIN / 2;
            return Some(Extent {
                whole: least,
                written: length(behind) - exponent,
                decimals: least,
            });
        }
        let zeros = length(&digits) - length(digits.trim_end_matches('0'));
        Some(Extent {
            whole: first - length(behind) + exponent,
            written: length(behind) - exponent,
            decimals: length(behind) - zeros - exponent,
        })
    }
}

/// A time of a calendar, without an offset: one would be dropped in silence.
fn timestamp(text: &str) -> Option<DateTime> {
    let text = text.trim();
    let offset = text.get(10..)?.contains(['+', '-', 'Z', 'z', '[']);
    let time: DateTime = text.parse().ok().filter(|_| !offset)?;
    (time.year() >= 1).then_some(time)
}

fn instant(text: &str) -> Option<Timestamp> {
    let instant: Timestamp = text.trim().parse().ok()?;
    (instant.as_second() >= YEAR_ONE).then_some(instant)
}

fn unlike(text: &str, example: &str) -> String {
    format!("`{}` is no time such as {example}", shortened(text))
}

fn check_seconds(text: &str, nanoseconds: i32, decimals: u32) -> Result<(), String> {
    let kept = 10_i32.pow(9 - decimals.min(9));
    if nanoseconds % kept == 0 {
        return Ok(());
    }
    Err(format!("`{}` has more decimals of a second than its type keeps", shortened(text)))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn put(form: Form, value: &Value<'_>) -> Result<String, String> {
        let mut text = String::new();
        form.put(value, &mut text).map(|()| text)
    }

    fn number(text: &str) -> Value<'_> {
        Value::Number(text.parse().unwrap(), Cow::Borrowed(text))
    }

    #[test]
    fn a_number_is_written_as_it_stands_or_refused() {
        let long = "123456789012345678901234567890.1234567890";
        let numeric = |limit, text| put(Form::Numeric(limit), &number(text)).ok();
        assert_eq!(numeric(None, long).as_deref(), Some(long));
        assert_eq!(numeric(None, "0e-99999"), None);
        let money = Some(Digits { precision: 5, scale: 2 });
        for (text, fits) in [
            ("999.99", true),
            ("-999.9900", true),
            ("1000", false),
            ("0.001", false),
            ("0.000", true),
            ("1e2", true),
            ("1e3", false),
            (".05", true),
            ("5e-2", true),
            ("5e-3", false),
            ("0001.50", true),
        ] {
            assert_eq!(numeric(money, text).is_some(), fits, "{text}");
        }
        let tiny = Some(Digits { precision: 2, scale: 3 });
        assert!(numeric(tiny, "0.012").is_some() && numeric(tiny, "0").is_some());
        assert!(numeric(tiny, "0.12").is_none());
        let tens = Some(Digits { precision: 2, scale: -1 });
        assert!(numeric(tens, "990").is_some() && numeric(tens, "5").is_none());
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        let small = Form::of(Type::INT2.oid(), -1).unwrap();
        assert!(put(small, &Value::Integer(-32_768)).is_ok());
        assert!(put(small, &Value::Integer(32_768)).is_err());
        assert!(put(Form::Integer(i64::MAX), &Value::Integer(i64::MIN)).is_ok());
        assert!(put(Form::Real, &number("1e39")).is_err());
        assert!(put(Form::Real, &number("1e-60")).is_err());
        assert_eq!(put(Form::Real, &number("0.1")).as_deref(), Ok("0.1"));
        let short = Form::of(Type::VARCHAR.oid(), 4 + 3).unwrap();
        assert!(put(short, &Value::Text("人民广")).is_ok());
        assert!(put(short, &Value::Text("人民广场")).is_err());
    }

    #[test]
    fn text_is_escaped() {
        let text = put(Form::Text(None), &Value::Text("a\tb\\N\r\n\\."));
        assert_eq!(text.as_deref(), Ok("a\\tb\\\\N\\r\\n\\\\."));
        assert_eq!(put(Form::Text(None), &Value::Null).as_deref(), Ok("\\N"));
        assert!(put(Form::Text(None), &Value::Text("a\0b")).unwrap_err().contains("zero byte"));
    }

    #[test]
    fn times_are_told_in_full() {
        let local = Form::of(Type::TIMESTAMP.oid(), -1).unwrap();
        let at = |form, text| put(form, &Value::Text(text)).ok();
        assert_eq!(at(local, "2017-01-28 19:06:53").as_deref(), Some("2017-01-28T19:06:53"));
        for bad in ["2017-01-28 19:06:53+01", "2017-02-30 00:00:00", "noon", "-000001-01-01 00:00"]
        {
            assert_eq!(at(local, bad), None, "{bad}");
        }
        assert_eq!(at(local, "2017-01-28 19:06:53.1234567"), None);
        assert!(at(Form::Timestamp(0), "2017-01-28 19:06:53.5").is_none());
        let instant = Form::of(Type::TIMESTAMPTZ.oid(), -1).unwrap();
        let text = at(instant, "2017-01-28 19:06:53+01:00");
        assert_eq!(text.as_deref(), Some("2017-01-28T18:06:53Z"));
        assert_eq!(at(instant, "2017-01-28 19:06:53"), None);
    }
}
