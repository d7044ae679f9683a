//! One cell: from text to a value. Generous, because the type of the column is known by now; what a column
//! *is* gets decided by the strict twin, `find::classify`.

use std::borrow::Cow;

use samovar_core::Day;

use super::column::{ColumnType, Format};
use super::date::DateParts;
use super::number::{Money, money, real, with_point};

/// A value on its way into a table.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Integer(i64),
    /// The nearest float, and the number exactly as it stands, with a decimal point.
    Number(f64, Cow<'a, str>),
    Text(&'a str),
    Date(Day),
}

/// Reads a cell as a value of the type, or `None` if it is none. Empty cells are NULL; around everything
/// but text, white space does not count.
pub(super) fn read(cell: &str, format: Format) -> Option<Value<'_>> {
    let Format { kind, order, mark } = format;
    if kind == ColumnType::Text {
        return Some(if cell.is_empty() { Value::Null } else { Value::Text(cell) });
    }
    let cell = cell.trim();
    if cell.is_empty() {
        return Some(Value::Null);
    }
    match kind {
        ColumnType::Integer => cell.parse().ok().map(Value::Integer),
        ColumnType::Real => {
            let text = with_point(cell, mark);
            real(&text).map(|number| Value::Number(number, text))
        }
        ColumnType::Money => {
            let parts = |money: Money<'_>| (money.amount, money.text().into_owned());
            match with_point(cell, mark) {
                Cow::Borrowed(cell) => {
                    money(cell).map(|money| Value::Number(money.amount, money.text()))
                }
                Cow::Owned(cell) => money(&cell)
                    .map(parts)
                    .map(|(amount, text)| Value::Number(amount, Cow::Owned(text))),
            }
        }
        ColumnType::Date => {
            let parts = DateParts::read(cell)?;
            match order {
                Some(order) => parts.day(order),
                None => parts.plain_day(),
            }
            .map(Value::Date)
        }
        ColumnType::Text => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::column::{DateOrder, DecimalMark};
    use super::*;

    fn read(cell: &str, kind: ColumnType, order: Option<DateOrder>) -> Option<Value<'_>> {
        super::read(cell, Format { kind, order, mark: DecimalMark::Point })
    }

    fn day(text: &str) -> Option<Value<'static>> {
        Some(Value::Date(text.parse().unwrap()))
    }

    #[test]
    fn a_date_follows_the_order_of_its_column() {
        let us = Some(DateOrder::MonthFirst);
        let uk = Some(DateOrder::DayFirst);
        assert_eq!(read("01/02/2016", ColumnType::Date, us), day("2016-01-02"));
        assert_eq!(read("01/02/2016", ColumnType::Date, uk), day("2016-02-01"));
        assert_eq!(read("1-2-2016", ColumnType::Date, us), day("2016-01-02"));
        assert_eq!(read(" 2016-01-02 ", ColumnType::Date, uk), day("2016-01-02"));
        assert_eq!(read("2016/1/2", ColumnType::Date, None), day("2016-01-02"));
        assert_eq!(read("2016年1月2日", ColumnType::Date, None), day("2016-01-02"));
        assert_eq!(read("05/05/2016", ColumnType::Date, None), day("2016-05-05"));
        assert_eq!(read("01/02/2016", ColumnType::Date, None), None);
        for bad in
            ["31/01/2016", "02/30/2016", "2015-02-29", "0000-01-01", "1/2/16", "2016-01-31T00"]
        {
            assert_eq!(read(bad, ColumnType::Date, us), None, "{bad}");
        }
    }

    #[test]
    fn numbers_that_are_asked_for_are_read_generously() {
        assert_eq!(read("0012", ColumnType::Integer, None), Some(Value::Integer(12)));
        assert_eq!(read(" 7 ", ColumnType::Integer, None), Some(Value::Integer(7)));
        let number = |number, text| Some(Value::Number(number, Cow::Borrowed(text)));
        assert_eq!(read("1e3", ColumnType::Real, None), number(1000.0, "1e3"));
        for bad in ["inf", "NaN", "1,5", "1e999", "0x1F", "e", "-"] {
            assert_eq!(read(bad, ColumnType::Real, None), None, "{bad}");
        }
        assert_eq!(read("9223372036854775808", ColumnType::Integer, None), None);
        let comma = |kind| Format { kind, order: None, mark: DecimalMark::Comma };
        assert_eq!(super::read("1,5", comma(ColumnType::Real)), number(1.5, "1.5"));
        assert_eq!(super::read("1.234", comma(ColumnType::Money)), number(1234.0, "1234"));
        assert_eq!(super::read("1.5", comma(ColumnType::Real)), None);
    }

    #[test]
    fn nothing_is_null_and_text_stays_as_it_is() {
        assert_eq!(read("", ColumnType::Text, None), Some(Value::Null));
        assert_eq!(read("  ", ColumnType::Real, None), Some(Value::Null));
        assert_eq!(read("  ", ColumnType::Text, None), Some(Value::Text("  ")));
        assert_eq!(read("0012", ColumnType::Text, None), Some(Value::Text("0012")));
    }
}
