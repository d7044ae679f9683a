//! One cell: from text to a value. Generous, because the type of the column is known by now; what a column
//! *is* gets decided by the strict twin, `find::classify`.

use samovar_core::Day;

use super::column::{ColumnType, DateOrder};

/// A value on its way into a table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'a str),
    Date(Day),
}

/// Reads a cell as a value of the type, or `None` if it is none. Empty cells are NULL; around everything
/// but text, white space does not count.
pub(super) fn read(cell: &str, kind: ColumnType, order: Option<DateOrder>) -> Option<Value<'_>> {
    if kind == ColumnType::Text {
        return Some(if cell.is_empty() { Value::Null } else { Value::Text(cell) });
    }
    let cell = cell.trim();
    if cell.is_empty() {
        return Some(Value::Null);
    }
    match kind {
        ColumnType::Integer => cell.parse().ok().map(Value::Integer),
        ColumnType::Real => real(cell).map(Value::Real),
        ColumnType::Money => money(cell).map(|money| Value::Real(money.amount)),
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

/// A finite decimal number; no words such as `inf`, no group separators.
pub(super) fn real(cell: &str) -> Option<f64> {
    let plain =
        cell.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    plain.then(|| cell.parse::<f64>().ok()).flatten().filter(|number| number.is_finite())
}

/// An amount of money, and whether its form leaves no doubt that it is one: `1,234` alone may also be a
/// decimal comma.
pub(super) struct Money {
    pub(super) amount: f64,
    pub(super) sure: bool,
}

/// Reads `$1,234.56`, `-$5.00`, `$-5.00`, `($5.00)` and the same without the dollar sign.
pub(super) fn money(cell: &str) -> Option<Money> {
    let (cell, bracketed) = match cell.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        Some(inner) => (inner, true),
        None => (cell, false),
    };
    let (cell, minus_before) = strip(cell, '-');
    let (cell, dollar) = strip(cell, '$');
    let (cell, minus_after) = strip(cell, '-');
    if u8::from(bracketed) + u8::from(minus_before) + u8::from(minus_after) > 1 {
        return None;
    }
    let (whole, decimals) = match cell.split_once('.') {
        Some((whole, decimals)) => (whole, Some(decimals)),
        None => (cell, None),
    };
    let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !decimals.is_none_or(all_digits) || (whole.is_empty() && decimals.is_none_or(str::is_empty))
    {
        return None;
    }
    let mut groups = whole.split(',');
    let first = groups.next().unwrap_or_default();
    let mut later = 0;
    for group in groups {
        if group.len() != 3 || !all_digits(group) {
            return None;
        }
        later += 1;
    }
    if !all_digits(first) || (later > 0 && !(1..=3).contains(&first.len())) {
        return None;
    }
    let digits: String = cell.chars().filter(|c| *c != ',').collect();
    let amount: f64 = digits.parse().ok().filter(|amount: &f64| amount.is_finite())?;
    let negative = bracketed || minus_before || minus_after;
    Some(Money {
        // Not `-0.0`: a sum of nothings should not print a minus.
        amount: if negative && amount != 0.0 { -amount } else { amount },
        sure: dollar || later > 1 || (later == 1 && decimals.is_some()),
    })
}

fn strip(text: &str, prefix: char) -> (&str, bool) {
    match text.strip_prefix(prefix) {
        Some(rest) => (rest, true),
        None => (text, false),
    }
}

/// The three numbers of a date, not yet in an order.
#[derive(Clone, Copy)]
pub(super) enum DateParts {
    /// `2016-01-31`, `2016/1/31`.
    YearFirst(Day),
    /// `01/31/2016`, `31-01-2016`: two numbers and the year.
    YearLast(u32, u32, i32),
}

impl DateParts {
    /// Splits a cell, or `None` if it has not the form of a date. Years have four digits.
    pub(super) fn read(cell: &str) -> Option<DateParts> {
        if !(8..=10).contains(&cell.len()) {
            return None;
        }
        let separator = if cell.contains('/') { '/' } else { '-' };
        let mut parts = cell.split(separator);
        let (a, b, c) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let short = |text: &str| match text.len() {
            1 | 2 => digits(text),
            _ => None,
        };
        let year =
            |text: &str| (text.len() == 4).then(|| digits(text)).flatten().filter(|y| *y > 0);
        if a.len() == 4 {
            Day::from_ymd(year(a)? as i32, short(b)?, short(c)?).map(DateParts::YearFirst)
        } else {
            Some(DateParts::YearLast(short(a)?, short(b)?, year(c)? as i32))
        }
    }

    /// The day in this order, or `None` if there is no such day.
    pub(super) fn day(self, order: DateOrder) -> Option<Day> {
        match (self, order) {
            (DateParts::YearFirst(day), _) => Some(day),
            (DateParts::YearLast(month, day, year), DateOrder::MonthFirst)
            | (DateParts::YearLast(day, month, year), DateOrder::DayFirst) => {
                Day::from_ymd(year, month, day)
            }
        }
    }

    /// The day if it is the same in either order.
    pub(super) fn plain_day(self) -> Option<Day> {
        match self {
            DateParts::YearFirst(day) => Some(day),
            DateParts::YearLast(a, b, year) if a == b => Day::from_ymd(year, a, b),
            DateParts::YearLast(..) => None,
        }
    }
}

fn digits(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Option<Value<'static>> {
        Some(Value::Date(text.parse().unwrap()))
    }

    #[test]
    fn money_in_all_its_forms() {
        let cases: [(&str, f64); 10] = [
            ("$1,234.56", 1234.56),
            ("-$5.00", -5.0),
            ("$-5.00", -5.0),
            ("($1,234.50)", -1234.5),
            ("-1,234,567.89", -1_234_567.89),
            ("12", 12.0),
            ("$.50", 0.5),
            ("$0.07", 0.07),
            ("-$0.00", 0.0),
            ("$999999999999.99", 999_999_999_999.99),
        ];
        for (text, amount) in cases {
            let read = money(text).unwrap_or_else(|| panic!("{text} is money")).amount;
            assert_eq!(read.to_bits(), amount.to_bits(), "{text}");
        }
        for text in [
            "$", "$1,23.00", "1234,567", "$1.2.3", "--5", "(-5)", "-$-5", "$a", "5-", ".", "€5",
            ",123",
        ] {
            assert!(money(text).is_none(), "{text}");
        }
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
        assert_eq!(read("1e3", ColumnType::Real, None), Some(Value::Real(1000.0)));
        for bad in ["inf", "NaN", "1,5", "1e999", "0x1F", "e", "-"] {
            assert_eq!(read(bad, ColumnType::Real, None), None, "{bad}");
        }
        assert_eq!(read("9223372036854775808", ColumnType::Integer, None), None);
    }

    #[test]
    fn nothing_is_null_and_text_stays_as_it_is() {
        assert_eq!(read("", ColumnType::Text, None), Some(Value::Null));
        assert_eq!(read("  ", ColumnType::Real, None), Some(Value::Null));
        assert_eq!(read("  ", ColumnType::Text, None), Some(Value::Text("  ")));
        assert_eq!(read("0012", ColumnType::Text, None), Some(Value::Text("0012")));
    }
}
