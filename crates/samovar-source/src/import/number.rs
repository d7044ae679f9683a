//! Numbers and money, written with a decimal point or with a decimal comma.

use std::borrow::Cow;

use super::column::DecimalMark;

/// A number as it is written with a decimal point: `1.234,56` becomes `1,234.56` if its mark is the comma.
pub(super) fn with_point(cell: &str, mark: DecimalMark) -> Cow<'_, str> {
    if mark == DecimalMark::Point || !cell.contains([',', '.']) {
        return Cow::Borrowed(cell);
    }
    let swap = |c| match c {
        ',' => '.',
        '.' => ',',
        other => other,
    };
    Cow::Owned(cell.chars().map(swap).collect())
}

/// A finite decimal number; no words such as `inf`, no group separators.
pub(super) fn real(cell: &str) -> Option<f64> {
    let plain =
        cell.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    plain.then(|| cell.parse::<f64>().ok()).flatten().filter(|number| number.is_finite())
}

/// An amount of money, and whether its form leaves no doubt that it is one: `1,234` alone may also be a
/// decimal comma.
pub(super) struct Money<'a> {
    pub(super) amount: f64,
    /// The amount without its sign: digits and at most one point.
    digits: Cow<'a, str>,
    pub(super) sure: bool,
}

impl<'a> Money<'a> {
    /// The amount exactly as it stands, as a plain number.
    pub(super) fn text(self) -> Cow<'a, str> {
        // A nothing has no minus.
        if self.amount < 0.0 { Cow::Owned(format!("-{}", self.digits)) } else { self.digits }
    }
}

/// Reads `$1,234.56`, `-$5.00`, `$-5.00`, `($5.00)`, `5.00-`, `12.50 €` and the same without a currency.
pub(super) fn money(cell: &str) -> Option<Money<'_>> {
    let (cell, bracketed) = match cell.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        Some(inner) => (inner, true),
        None => (cell, false),
    };
    let (cell, minus_first) = strip(cell, cell.strip_prefix('-'));
    let before = cell.chars().next().and_then(currency);
    let cell = if before.is_some() { cell[char_len(cell)..].trim_start() } else { cell };
    let (cell, minus_second) = strip(cell, cell.strip_prefix('-'));
    let behind = cell.chars().next_back().and_then(currency);
    let cell = if behind.is_some() { without_last(cell).trim_end() } else { cell };
    let (cell, minus_last) = strip(cell, cell.strip_suffix('-'));
    let signs = [bracketed, minus_first, minus_second, minus_last];
    let negative = signs.contains(&true);
    if signs.into_iter().filter(|sign| *sign).count() > 1 || (before.is_some() && behind.is_some())
    {
        return None;
    }

    let (whole, decimals) = match cell.split_once('.') {
        Some((whole, decimals)) => (whole, Some(decimals)),
        None => (cell, None),
    };
    if !decimals.is_none_or(all_digits) || (whole.is_empty() && decimals.is_none_or(str::is_empty))
    {
        return None;
    }
    let groups = groups(whole)?;
    let digits: Cow<'_, str> =
        if groups > 0 { Cow::Owned(cell.replace(',', "")) } else { Cow::Borrowed(cell) };
    let amount: f64 = digits.parse().ok().filter(|amount: &f64| amount.is_finite())?;
    let bookkeeping = bracketed || minus_last;
    Some(Money {
        // Not `-0.0`: a sum of nothings should not print a minus.
        amount: if negative && amount != 0.0 { -amount } else { amount },
        digits,
        sure: before.or(behind).is_some()
            || groups > 1
            || ((groups == 1 || bookkeeping) && decimals.is_some()),
    })
}

/// How many groups of three digits follow the first digits; `None` if it is no whole number so written.
fn groups(whole: &str) -> Option<usize> {
    let mut parts = whole.split(',');
    let first = parts.next().unwrap_or_default();
    let mut later = 0;
    for part in parts {
        if part.len() != 3 || !all_digits(part) {
            return None;
        }
        later += 1;
    }
    // Nobody writes 123 as `0,123`.
    let fits = later == 0 || ((1..=3).contains(&first.len()) && !first.starts_with('0'));
    (fits && all_digits(first)).then_some(later)
}

/// The sign of a currency, the two forms of ¥ being one.
pub(super) fn currency(c: char) -> Option<char> {
    match c {
        '$' | '€' | '£' | '¥' => Some(c),
        '￥' => Some('¥'),
        _ => None,
    }
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

fn char_len(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

fn without_last(text: &str) -> &str {
    let mut chars = text.chars();
    chars.next_back();
    chars.as_str()
}

fn strip<'a>(text: &'a str, stripped: Option<&'a str>) -> (&'a str, bool) {
    stripped.map_or((text, false), |rest| (rest, true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn money_in_all_its_forms() {
        let cases: [(&str, f64); 19] = [
            ("$1,234.56", 1234.56),
            ("¥1,234.56", 1234.56),
            ("￥88", 88.0),
            ("€12.50", 12.5),
            ("€ 12.50", 12.5),
            ("12.50 €", 12.5),
            ("-12.50\u{a0}€", -12.5),
            ("12.50-", -12.5),
            ("(12.00)", -12.0),
            ("-$5.00", -5.0),
            ("$-5.00", -5.0),
            ("($1,234.50)", -1234.5),
            ("-1,234,567.89", -1_234_567.89),
            ("12", 12.0),
            ("$.50", 0.5),
            ("$0.07", 0.07),
            ("-$0.00", 0.0),
            ("$999999999999.99", 999_999_999_999.99),
            ("0.123", 0.123),
        ];
        for (text, amount) in cases {
            let read = money(text).unwrap_or_else(|| panic!("{text} is money")).amount;
            assert_eq!(read.to_bits(), amount.to_bits(), "{text}");
            let exact = money(text).unwrap().text();
            assert_eq!(exact.parse::<f64>().map(f64::to_bits), Ok(amount.to_bits()), "{text}");
        }
        for text in [
            "$", "$1,23.00", "1234,567", "$1.2.3", "--5", "(-5)", "-$-5", "$a", "-5-", ".", "€5€",
            ",123", "0,123", "(5-)", "12 50", "€", "-", "()", "$ ",
        ] {
            assert!(money(text).is_none(), "{text}");
        }
    }

    #[test]
    fn an_amount_keeps_every_digit() {
        for (text, exact) in [
            ("$1,234.5600", "1234.5600"),
            ("(0.10)", "-0.10"),
            ("-¥12345678901234567890.123", "-12345678901234567890.123"),
            ("$.50", ".50"),
        ] {
            assert_eq!(money(text).unwrap().text(), exact, "{text}");
        }
    }

    #[test]
    fn some_forms_leave_no_doubt() {
        for (text, sure) in [
            ("1,234", false),
            ("1,234.5", true),
            ("1,234,567", true),
            ("(12)", false),
            ("(12.00)", true),
            ("12-", false),
            ("12.00-", true),
            ("¥7", true),
        ] {
            assert_eq!(money(text).unwrap().sure, sure, "{text}");
        }
    }

    /// An amount as a bookkeeper would write it.
    fn written(cents: i64, style: usize, mark: DecimalMark) -> String {
        let (whole, rest) = (cents.unsigned_abs() / 100, cents.unsigned_abs() % 100);
        let mut grouped = whole.to_string();
        let mut at = grouped.len();
        while at > 3 {
            at -= 3;
            grouped.insert(at, ',');
        }
        let number = format!("{grouped}.{rest:02}");
        let number = with_point(&number, mark);
        match (style, cents < 0) {
            (0, false) => number.into_owned(),
            (0, true) => format!("-{number}"),
            (1, false) => format!("¥{number}"),
            (1, true) => format!("(¥{number})"),
            (2, false) => format!("{number} €"),
            (2, true) => format!("-{number} €"),
            (_, false) => format!("${number}"),
            (_, true) => format!("{number}-"),
        }
    }

    proptest! {
        #[test]
        fn an_amount_comes_back_from_every_form(cents in -1_000_000_000_000_i64..1_000_000_000_000, style in 0..4_usize) {
            for mark in [DecimalMark::Point, DecimalMark::Comma] {
                let text = written(cents, style, mark);
                let read = money(&with_point(&text, mark)).map(|money| money.amount);
                prop_assert_eq!(read, Some(cents as f64 / 100.0), "{}", text);
            }
        }

        #[test]
        fn a_number_comes_back_with_either_mark(number in any::<f64>().prop_filter("finite", |n| n.is_finite())) {
            let text = number.to_string();
            prop_assert_eq!(real(&text), Some(number));
            let comma = with_point(&text, DecimalMark::Comma).into_owned();
            prop_assert_eq!(real(&with_point(&comma, DecimalMark::Comma)), Some(number));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9.,()$€¥ -]{0,9}|\\PC{0,9}") {
            let _ = money(&text);
            let _ = real(&text);
        }
    }
}
