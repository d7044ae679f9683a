//! Dates: three numbers, and the order that says which is which.

use samovar_core::Day;

use super::column::DateOrder;

/// The three numbers of a date, not yet in an order.
#[derive(Clone, Copy)]
pub(super) enum DateParts {
    /// `2016-01-31`, `2016/1/31`, `2016年1月31日`.
    YearFirst(Day),
    /// `01/31/2016`, `31.01.2016`: two numbers and the year.
    YearLast(u32, u32, i32),
}

impl DateParts {
    /// Splits a cell, or `None` if it has not the form of a date. Years have four digits.
    pub(super) fn read(cell: &str) -> Option<DateParts> {
        // Most cells are no dates, and this is asked of every cell.
        if !(8..=20).contains(&cell.len()) || !cell.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        if let Some((y, rest)) = cell.split_once('年') {
            let (m, d) = rest.strip_suffix('日')?.split_once('月')?;
            return Day::from_ymd(year(y)?, short(m)?, short(d)?).map(DateParts::YearFirst);
        }
        let separator = ['/', '-', '.'].into_iter().find(|separator| cell.contains(*separator))?;
        let mut parts = cell.split(separator);
        let (a, b, c) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        if a.len() == 4 {
            Day::from_ymd(year(a)?, short(b)?, short(c)?).map(DateParts::YearFirst)
        } else {
            Some(DateParts::YearLast(short(a)?, short(b)?, year(c)?))
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

/// A month or a day.
fn short(text: &str) -> Option<u32> {
    if matches!(text.len(), 1 | 2) { digits(text) } else { None }
}

fn year(text: &str) -> Option<i32> {
    let year = if text.len() == 4 { digits(text)? } else { 0 };
    i32::try_from(year).ok().filter(|year| *year > 0)
}

fn digits(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str, order: DateOrder) -> Option<Day> {
        DateParts::read(text).and_then(|parts| parts.day(order))
    }

    #[test]
    fn what_has_not_the_form_of_a_date_is_none() {
        for text in [
            "2016年1月31",
            "2016年1日31月",
            "16年1月31日",
            "2016年13月1日",
            "31.01.16",
            "1.2.3.2016",
            "2016/01-31",
            "+1/02/2016",
            "2016-01-31 10:00",
            "10.0.0.1",
            "日期年月日",
        ] {
            assert!(read(text, DateOrder::DayFirst).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_day_comes_back_from_every_form(number in -200_000..200_000_i32) {
            let day = Day(number);
            let (y, m, d) = day.ymd();
            for text in [
                format!("{y:04}-{m:02}-{d:02}"),
                format!("{y:04}/{m}/{d}"),
                format!("{y:04}.{m:02}.{d:02}"),
                format!("{y:04}年{m}月{d}日"),
                format!("{y:04}年{m:02}月{d:02}日"),
            ] {
                prop_assert_eq!(DateParts::read(&text).and_then(DateParts::plain_day), Some(day), "{}", text);
            }
            for separator in ['/', '-', '.'] {
                let european = format!("{d:02}{separator}{m:02}{separator}{y:04}");
                prop_assert_eq!(read(&european, DateOrder::DayFirst), Some(day));
                let american = format!("{m}{separator}{d}{separator}{y:04}");
                prop_assert_eq!(read(&american, DateOrder::MonthFirst), Some(day));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9./年月日-]{0,14}|\\PC{0,20}") {
            let _ = read(&text, DateOrder::MonthFirst);
        }
    }
}
