//! Values of rows as JSON.

use serde_json::{Number, Value};

use super::number::first_lost;
use super::text::Short;
use crate::cell::Cell;
use crate::{SourceError, SourceErrorKind};

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Its type in the database's words.
    pub(crate) declared: String,
}

impl Column {
    /// An error if two columns have one name: an object holds it once.
    pub(crate) fn distinct(columns: &[Column]) -> Result<(), String> {
        let twice = |(at, column): (usize, &Column)| {
            columns[..at]
                .iter()
                .any(|before| before.name == column.name)
                .then(|| column.name.clone())
        };
        match columns.iter().enumerate().find_map(twice) {
            Some(name) => {
                Err(format!("two columns are called {name}; give them names of their own with AS"))
            }
            None => Ok(()),
        }
    }

    /// A value of this column as JSON; `None` if JSON has no form for it.
    pub(crate) fn json(cell: &Cell<'_>) -> Option<Value> {
        let real = |number: f64| Number::from_f64(number).map(Value::Number);
        match cell {
            Cell::Null => Some(Value::Null),
            Cell::Bool(truth) => Some(Value::Bool(*truth)),
            Cell::Integer(number) => Some(Value::from(*number)),
            Cell::Real(number) => real(*number),
            // By its digits: 1.1 is 1.1.
            Cell::Single(number) => number.to_string().parse().ok().and_then(real),
            Cell::Text(bytes) => std::str::from_utf8(bytes).ok().map(Value::from),
            Cell::Decimal(_) | Cell::Uuid(_) | Cell::Day(_) => {
                cell.text(&mut String::new()).map(Value::from)
            }
            Cell::Time(_) => {
                cell.text(&mut String::new()).map(|text| text.replacen(' ', "T", 1).into())
            }
            Cell::Instant(_) => cell.text(&mut String::new()).map(|text| {
                let local = text.strip_suffix("+00").unwrap_or(text);
                Value::from(format!("{}Z", local.replacen(' ', "T", 1)))
            }),
            Cell::Infinity(_) | Cell::Blob(_) => None,
        }
    }

    /// A value that is JSON already; `Err` says what it is.
    pub(crate) fn document(bytes: &[u8]) -> Result<Value, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "JSON that is not UTF-8".to_owned())?;
        let value = serde_json::from_str(text).map_err(|e| format!("JSON that is none: {e}"))?;
        match first_lost(text) {
            None => Ok(value),
            Some(lost) => {
                Err(format!("JSON with the number {}, which would lose digits", Short(lost)))
            }
        }
    }

    /// The error for a value that JSON has no form for.
    pub(crate) fn unreadable(&self, key: &str, what: &str) -> SourceError {
        let declared = if self.declared.is_empty() { "no type" } else { &self.declared };
        let message = format!(
            "key {}: column {} ({declared}) holds {what}, and cannot be given as JSON; make it text in the query",
            Short(key),
            self.name
        );
        SourceError::new(SourceErrorKind::Value, message)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_float_that_is_hard_to_read_comes_back_the_same() {
        let text = "0.9522444552911937";
        assert_eq!(Column::document(text.as_bytes()).unwrap().to_string(), text);
    }

    proptest! {
        #[test]
        fn a_float_by_its_shortest_text_comes_back_the_same(
            number in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL
        ) {
            let value = Column::document(format!("{number:?}").as_bytes()).unwrap();
            prop_assert_eq!(value.as_f64().map(f64::to_bits), Some(number.to_bits()));
        }
    }
}
