//! What a sample of a column shows.

use std::collections::HashSet;

use samovar_core::Day;

/// Texts are looked at up to so many characters.
pub(super) const LONGEST: usize = 200;
/// Examples kept, and how long they may be.
const EXAMPLES: usize = 3;
const EXAMPLE_LENGTH: usize = 40;
/// A number of more decimals is the noise of floats, or a quotient.
const MOST_DECIMALS: u8 = 6;

/// What a sample of a column shows.
///
/// ```
#[doc = include_str!("../example.txt")]
#[doc = include_str!("example.txt")]
/// let catalog = Explorer::open(&Database::from(&*path))?.catalog()?;
/// let amount = &catalog.tables[0].columns[2].seen;
/// assert_eq!((amount.rows, amount.distinct, amount.negative), (3, 3, 1));
/// assert_eq!(amount.range, Some((-5.0, 19.99)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Rows looked at.
    pub rows: u64,
    /// Values among them that are not NULL.
    pub values: u64,
    /// Different values among those.
    pub distinct: u64,
    /// How all of them are written.
    pub form: Form,
    /// The first few different ones, shortened.
    pub examples: Vec<String>,
    /// The least and the greatest, where all are numbers.
    pub range: Option<(f64, f64)>,
    /// How many numbers are below zero.
    pub negative: u64,
    /// How many numbers are zero.
    pub zero: u64,
    /// The most decimals of a number; 7 stands for more than 6.
    pub decimals: u8,
}

/// How all values of a sample are written.
///
/// ```
#[doc = include_str!("../example.txt")]
#[doc = include_str!("example.txt")]
/// let catalog = Explorer::open(&Database::from(&*path))?.catalog()?;
/// let columns = catalog.tables[0].columns.iter();
/// let forms: Vec<Form> = columns.map(|column| column.seen.form).collect();
/// assert_eq!(forms, [Form::Numbers, Form::Days, Form::Numbers]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// There are none.
    #[default]
    Nothing,
    /// Numbers, be it as text.
    Numbers,
    /// Days, as `2026-02-03`.
    Days,
    /// Days with a time, as `2026-02-03 19:06:53`.
    Times,
    /// Times in UTC, as `2026-02-03T19:06:53Z`.
    Instants,
    /// Days without anything between their parts, as `20260203`.
    Digits,
    /// In any other way, or in more than one.
    Mixed,
}

impl Form {
    /// The form of two values together.
    fn with(self, other: Form) -> Form {
        match (self, other) {
            (Form::Nothing, form) | (form, Form::Nothing) => form,
            (one, same) if one == same => one,
            (Form::Digits, Form::Numbers) | (Form::Numbers, Form::Digits) => Form::Numbers,
            // The first ten characters are the day in both.
            (Form::Days, Form::Times) | (Form::Times, Form::Days) => Form::Times,
            _ => Form::Mixed,
        }
    }

    fn of(text: &str) -> Form {
        if text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let day = format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..]);
            let near = ("19".."22").contains(&&text[..2]);
            return if near && is_day(&day) { Form::Digits } else { Form::Numbers };
        }
        if is_number(text) {
            return Form::Numbers;
        }
        let Some((day, time)) = text.split_at_checked(10) else { return Form::Mixed };
        match (is_day(day), time.chars().next()) {
            (false, _) => Form::Mixed,
            (true, None) => Form::Days,
            (true, Some(' ' | 'T')) if time.ends_with(['Z', 'z']) || time.ends_with("+00:00") => {
                Form::Instants
            }
            (true, Some(' ' | 'T')) => Form::Times,
            (true, Some(_)) => Form::Mixed,
        }
    }
}

fn is_day(text: &str) -> bool {
    text.parse::<Day>().is_ok()
}

/// Whether a text is a number that is written as one: digits, one point, one sign.
fn is_number(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte))
        && text.parse::<f64>().is_ok()
}

/// A value of a sample.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sampled<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'a str),
    /// What is neither: it counts, and shows nothing.
    Other,
}

/// Takes the values of a column.
#[derive(Debug, Default)]
pub(super) struct Looking {
    seen: Seen,
    different: HashSet<String>,
    numbers: bool,
}

impl Looking {
    pub(super) fn new() -> Looking {
        Looking { numbers: true, ..Looking::default() }
    }

    pub(super) fn take(&mut self, value: Sampled<'_>) {
        self.seen.rows += 1;
        let text = match value {
            Sampled::Null => return,
            Sampled::Integer(number) => number.to_string(),
            Sampled::Real(number) => number.to_string(),
            Sampled::Text(text) => text.chars().take(LONGEST).collect(),
            Sampled::Other => String::new(),
        };
        self.seen.values += 1;
        let form = match value {
            Sampled::Other => Form::Mixed,
            _ => Form::of(&text),
        };
        self.seen.form = self.seen.form.with(form);
        self.numbers &= matches!(form, Form::Numbers | Form::Digits);
        if self.numbers
            && let Ok(number) = text.parse::<f64>()
        {
            self.number(number);
        }
        if !self.different.contains(&text) {
            if self.seen.examples.len() < EXAMPLES && !text.is_empty() {
                self.seen.examples.push(shortened(&text));
            }
            self.different.insert(text);
        }
    }

    fn number(&mut self, number: f64) {
        let (low, high) = self.seen.range.unwrap_or((number, number));
        self.seen.range = Some((low.min(number), high.max(number)));
        self.seen.negative += u64::from(number < 0.0);
        self.seen.zero += u64::from(number == 0.0);
        self.seen.decimals = self.seen.decimals.max(decimals(number));
    }

    pub(super) fn finish(self) -> Seen {
        let mut seen = self.seen;
        if !self.numbers {
            (seen.range, seen.negative, seen.zero, seen.decimals) = (None, 0, 0, 0);
        }
        Seen { distinct: self.different.len() as u64, ..seen }
    }
}

/// The decimals of a number; what is next to nothing is the noise of floats.
fn decimals(number: f64) -> u8 {
    let near = |decimals: &u8| {
        let scaled = number * 10f64.powi(i32::from(*decimals));
        (scaled - scaled.round()).abs() <= 1e-9 * scaled.abs().max(1.0)
    };
    (0..=MOST_DECIMALS).find(near).unwrap_or(MOST_DECIMALS + 1)
}

fn shortened(text: &str) -> String {
    let visible = text.replace(char::is_control, " ");
    let mut chars = visible.chars();
    let short: String = chars.by_ref().take(EXAMPLE_LENGTH).collect();
    if chars.next().is_some() { short + "…" } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(values: &[Sampled<'_>]) -> Seen {
        let mut looking = Looking::new();
        values.iter().for_each(|value| looking.take(*value));
        looking.finish()
    }

    #[test]
    fn forms_of_texts() {
        let form = |texts: &[&str]| {
            seen(&texts.iter().map(|text| Sampled::Text(text)).collect::<Vec<_>>()).form
        };
        for (texts, expected) in [
            (&[][..], Form::Nothing),
            (&["2026-02-03", "2026-02-28"], Form::Days),
            (&["2026-02-03", "2026-02-30"], Form::Mixed),
            (&["2026-02-03 19:06:53", "2026-02-03T19:06"], Form::Times),
            (&["2026-02-03", "2026-02-03 19:06"], Form::Times),
            (&["2026-02-03T19:06:53Z", "2026-02-03 19:06:53+00:00"], Form::Instants),
            (&["2026-02-03T19:06:53+01:00"], Form::Times),
            (&["2026-02-03T19:06:53Z", "2026-02-03 19:06:53"], Form::Mixed),
            (&["20260203", "20261231"], Form::Digits),
            (&["20260203", "20261331"], Form::Numbers),
            (&["0012", "1.5", "-3e2"], Form::Numbers),
            (&["3", "three"], Form::Mixed),
            (&["infinity", "nan"], Form::Mixed),
            (&["门店一二三四五六七八九十"], Form::Mixed),
        ] {
            assert_eq!(form(texts), expected, "{texts:?}");
        }
        let numbers = [Sampled::Integer(20_260_203), Sampled::Null, Sampled::Integer(19_991_231)];
        assert_eq!(seen(&numbers).form, Form::Digits);
    }

    #[test]
    fn numbers_with_their_range_signs_and_decimals() {
        let shown = seen(&[
            Sampled::Real(-2.5),
            Sampled::Integer(0),
            Sampled::Null,
            Sampled::Text("3.125"),
            Sampled::Real(4.440892e-16),
        ]);
        assert_eq!(shown.range, Some((-2.5, 3.125)));
        assert_eq!((shown.rows, shown.values, shown.distinct), (5, 4, 4));
        assert_eq!((shown.negative, shown.zero, shown.decimals), (1, 1, 3));
        assert_eq!(seen(&[Sampled::Real(1.0 / 3.0)]).decimals, 7);
        let mixed = seen(&[Sampled::Integer(-1), Sampled::Text("none")]);
        assert_eq!((mixed.range, mixed.negative), (None, 0));
    }

    #[test]
    fn examples_are_few_short_and_different() {
        let long = "x".repeat(100);
        let texts = ["a\nb", "a\nb", &long, "", "c", "d"].map(Sampled::Text);
        let shown = seen(&texts);
        assert_eq!(shown.examples, ["a b", &format!("{}…", "x".repeat(40)), "c"]);
        assert_eq!(shown.distinct, 5);
    }
}
