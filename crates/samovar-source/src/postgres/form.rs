//! Types of PostgreSQL: which can be read, and how.

use samovar_core::Day;
use tokio_postgres::types::{Kind as TypeKind, Type};

use crate::cell::Cell;
use crate::decimal::Decimal;
use crate::sql::quoted;

/// From 1970-01-01 to 2000-01-01, where PostgreSQL counts from.
const DAYS_TO_2000: i32 = 10_957;
const MICROS_TO_2000: i64 = 946_684_800_000_000;

/// A type that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Text,
    /// `character(n)`: blanks at its end mean nothing.
    Padded,
    /// A label.
    Enum,
    Uuid,
    Date,
    /// Without a time zone.
    Timestamp,
    Timestamptz,
}

/// How values of a column are read and compared.
#[derive(Clone, Debug)]
pub(super) struct Form {
    pub(super) kind: Kind,
    /// The name of its type, for a cast.
    pub(super) cast: String,
    /// For a look at its labels, if it is an enum.
    pub(super) oid: u32,
}

impl Form {
    /// How a type is read; `None` if it cannot be. A domain is never met: the server tells its base.
    pub(super) fn of(kind: &Type) -> Option<Form> {
        let oid = kind.oid();
        let (name, found) = match *kind {
            Type::BOOL => ("bool", Kind::Bool),
            Type::INT2 => ("int2", Kind::Int2),
            Type::INT4 => ("int4", Kind::Int4),
            Type::INT8 => ("int8", Kind::Int8),
            Type::FLOAT4 => ("float4", Kind::Float4),
            Type::FLOAT8 => ("float8", Kind::Float8),
            Type::NUMERIC => ("numeric", Kind::Numeric),
            Type::TEXT | Type::VARCHAR => ("text", Kind::Text),
            Type::BPCHAR => ("bpchar", Kind::Padded),
            Type::UUID => ("uuid", Kind::Uuid),
            Type::DATE => ("date", Kind::Date),
            Type::TIMESTAMP => ("timestamp", Kind::Timestamp),
            Type::TIMESTAMPTZ => ("timestamptz", Kind::Timestamptz),
            _ if matches!(kind.kind(), TypeKind::Enum(_)) => {
                let cast = format!("{}.{}", quoted(kind.schema()), quoted(kind.name()));
                return Some(Form { kind: Kind::Enum, cast, oid });
            }
            _ => return None,
        };
        Some(Form { kind: found, cast: format!("pg_catalog.{name}"), oid })
    }

    /// For what a query counts.
    pub(super) fn count() -> Form {
        Form { kind: Kind::Int8, cast: String::new(), oid: 0 }
    }

    /// For what a query makes a text.
    pub(super) fn text() -> Form {
        Form { kind: Kind::Text, cast: String::new(), oid: 0 }
    }
}

impl Kind {
    /// Whether it can be a number of fixed point.
    pub(super) fn is_number(self) -> bool {
        !matches!(self, Kind::Enum | Kind::Uuid | Kind::Date | Kind::Timestamp | Kind::Timestamptz)
    }

    /// Whether it can be the id of a store.
    pub(super) fn is_id(self) -> bool {
        !matches!(self, Kind::Date | Kind::Timestamp | Kind::Timestamptz)
    }

    /// Whether an id is spelt as this type's ids are: "07" is no whole number's text. An enum's label is looked
    /// up besides.
    pub(super) fn spells(self, id: &str) -> bool {
        fn same<T: std::str::FromStr + ToString>(id: &str) -> bool {
            id.parse::<T>().is_ok_and(|value| value.to_string() == id)
        }
        match self {
            Kind::Bool => same::<bool>(id),
            Kind::Int2 => same::<i16>(id),
            Kind::Int4 => same::<i32>(id),
            Kind::Int8 => same::<i64>(id),
            // There is one zero.
            Kind::Float4 => same::<f32>(id) && id != "-0",
            Kind::Float8 => same::<f64>(id) && id != "-0",
            Kind::Numeric => is_numeric(id),
            Kind::Text | Kind::Enum => !id.contains('\0'),
            Kind::Padded => !id.contains('\0') && !id.ends_with(' '),
            Kind::Uuid => {
                id.len() == 36
                    && id.bytes().enumerate().all(|(at, byte)| match at {
                        8 | 13 | 18 | 23 => byte == b'-',
                        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
                    })
            }
            Kind::Date | Kind::Timestamp | Kind::Timestamptz => false,
        }
    }

    /// An id of this type, whether it is anybody's or not.
    pub(super) fn any_id(self) -> &'static str {
        match self {
            Kind::Bool => "true",
            Kind::Uuid => "00000000-0000-0000-0000-000000000000",
            _ => "0",
        }
    }

    /// A value in the binary form of the type; `None` if it is not in it.
    pub(super) fn cell(self, bytes: &[u8]) -> Option<Cell<'_>> {
        Some(match self {
            Kind::Bool => match bytes {
                [0] => Cell::Bool(false),
                [1] => Cell::Bool(true),
                _ => return None,
            },
            Kind::Int2 => Cell::Integer(i16::from_be_bytes(bytes.try_into().ok()?).into()),
            Kind::Int4 => Cell::Integer(i32::from_be_bytes(bytes.try_into().ok()?).into()),
            Kind::Int8 => Cell::Integer(i64::from_be_bytes(bytes.try_into().ok()?)),
            // Plus nothing: minus zero becomes zero, to which it is equal.
            Kind::Float4 => Cell::Single(f32::from_be_bytes(bytes.try_into().ok()?) + 0.0),
            Kind::Float8 => Cell::Real(f64::from_be_bytes(bytes.try_into().ok()?) + 0.0),
            Kind::Numeric => Cell::Decimal(Decimal::read(bytes)?),
            Kind::Text | Kind::Enum => Cell::Text(bytes),
            Kind::Padded => {
                let blanks = bytes.iter().rev().take_while(|byte| **byte == b' ').count();
                Cell::Text(&bytes[..bytes.len() - blanks])
            }
            Kind::Uuid => Cell::Uuid(bytes.try_into().ok()?),
            Kind::Date => match i32::from_be_bytes(bytes.try_into().ok()?) {
                i32::MAX => Cell::Infinity("infinity"),
                i32::MIN => Cell::Infinity("-infinity"),
                days => Cell::Day(Day(days.checked_add(DAYS_TO_2000)?)),
            },
            Kind::Timestamp | Kind::Timestamptz => {
                match i64::from_be_bytes(bytes.try_into().ok()?) {
                    i64::MAX => Cell::Infinity("infinity"),
                    i64::MIN => Cell::Infinity("-infinity"),
                    micros => {
                        let micros = micros.checked_add(MICROS_TO_2000)?;
                        let local = self == Kind::Timestamp;
                        if local { Cell::Time(micros) } else { Cell::Instant(micros) }
                    }
                }
            }
        })
    }
}

/// Whether a text is a number without needless zeros.
fn is_numeric(text: &str) -> bool {
    if ["NaN", "Infinity", "-Infinity"].contains(&text) {
        return true;
    }
    let size = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = size.split_once('.').map_or((size, None), |(w, p)| (w, Some(p)));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && part.is_none_or(|part| digits(part) && !part.ends_with('0'))
        && text != "-0"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        for (kind, good, bad) in [
            (Kind::Int4, "-7", ["07", "7.0", " 7", "+7", "", "2147483648", "seven"]),
            (Kind::Float8, "7.5", ["7.50", "07.5", "-0", "7e0", " 7.5", "", "x"]),
            (Kind::Numeric, "10.05", ["10.050", "010.05", "-0", ".5", "5.", "", "1e3"]),
            (Kind::Bool, "true", ["t", "TRUE", "1", "on", " true", "", "yes"]),
            (Kind::Padded, "A 7", ["A 7 ", " ", "\0", "A\0", "A  ", "7 ", "a\0b"]),
            (
                Kind::Uuid,
                "00000000-0000-0000-0000-00000000000a",
                ["00000000-0000-0000-0000-00000000000A", "", "a", "-", "0", "{}", "7"],
            ),
        ] {
            assert!(kind.spells(good), "{kind:?} {good}");
            for id in bad {
                assert!(!kind.spells(id), "{kind:?} {id:?}");
            }
        }
        assert!(Kind::Text.spells("07") && Kind::Text.spells("") && !Kind::Text.spells("\0"));
    }

    #[test]
    fn bytes_of_another_length_are_no_value() {
        for kind in [Kind::Bool, Kind::Int2, Kind::Int4, Kind::Int8, Kind::Float4, Kind::Float8] {
            assert!(kind.cell(&[7; 3]).is_none(), "{kind:?}");
        }
        for kind in [Kind::Numeric, Kind::Uuid, Kind::Date, Kind::Timestamp, Kind::Timestamptz] {
            assert!(kind.cell(&[7; 3]).is_none(), "{kind:?}");
        }
        // The year 5,874,897 is a date, and what no calendar has is not.
        assert!(Kind::Date.cell(&2_145_031_948i32.to_be_bytes()).is_some());
        assert!(Kind::Date.cell(&(i32::MAX - 1).to_be_bytes()).is_none());
    }
}
