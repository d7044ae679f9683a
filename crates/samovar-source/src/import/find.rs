//! Finding the type of a column from *all* its values, in constant memory: each cell is put into a class,
//! the classes are counted, and the counts decide.
//!
//! A class is strict where a wrong guess would lose something: `0012`, `1E5`, `+49` and numbers of more than 64 bits are
//! codes, and a column that holds a single code is no column of numbers. What cannot be a code, a word in
//! a column of numbers or a broken date among dates, may be one value in ten: those rows become rejects.
//!
//! Whether `1.234` is a little more than one or more than a thousand shows only in other cells, so every cell is
//! counted twice, as written with a decimal point and with a decimal comma, until the column is known.

use super::column::{ColumnType, DateOrder, DecimalMark};
use super::date::DateParts;
use super::number::{currency, money, real, with_point};

/// What one cell looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// A whole number that a REAL holds exactly.
    Integer,
    /// A whole number of 64 bits that a REAL would round.
    LongInteger,
    Real,
    /// Certainly money, such as `$5.00` or `1,234.56`.
    Money,
    /// Money or something else: `1,234` may have a decimal comma, `(12)` may be a footnote.
    Grouped,
    /// A date that reads the same in every order.
    Date,
    /// A date only if the month stands first: `01/31/2016`.
    MonthFirst,
    /// A date only if the day stands first: `31/01/2016`.
    DayFirst,
    /// A date in either order, another day each time: `01/02/2016`.
    EitherFirst,
    /// Text without a digit.
    Word,
    /// Any other text; an identifier, as far as we can know.
    Code,
}

const CLASSES: usize = 11;
const NUMBERS: [Class; 3] = [Class::Integer, Class::LongInteger, Class::Real];
const DATES: [Class; 4] = [Class::Date, Class::MonthFirst, Class::DayFirst, Class::EitherFirst];

/// Whole numbers up to here are exact as 64-bit floating point.
const EXACT_IN_REAL: u64 = 1 << 53;

impl Class {
    fn is_number(self) -> bool {
        NUMBERS.contains(&self) || matches!(self, Class::Money | Class::Grouped)
    }
}

/// The class of a cell, or `None` if it is empty.
pub(super) fn classify(cell: &str, mark: DecimalMark) -> Option<Class> {
    let cell = cell.trim();
    if cell.is_empty() {
        return None;
    }
    if !cell.bytes().any(|b| b.is_ascii_digit()) {
        return Some(Class::Word);
    }
    Some(number(&with_point(cell, mark)).or_else(|| date(cell)).unwrap_or(Class::Code))
}

fn number(cell: &str) -> Option<Class> {
    let unsigned = cell.strip_prefix('-').unwrap_or(cell);
    let padded =
        unsigned.len() > 1 && unsigned.starts_with('0') && unsigned.as_bytes()[1].is_ascii_digit();
    if padded || unsigned.starts_with(['+', '-']) {
        return None;
    }
    if unsigned.bytes().all(|b| b.is_ascii_digit()) {
        let whole: i64 = cell.parse().ok()?;
        let exact = whole.unsigned_abs() <= EXACT_IN_REAL;
        return Some(if exact { Class::Integer } else { Class::LongInteger });
    }
    if real(cell).is_some() {
        // `12E4` is a product code as often as a number; programs write `1.2e5`, `1e+05` or `1e-05`.
        let scientific = unsigned.find(['e', 'E']).is_none_or(|at| {
            unsigned[..at].contains('.') || unsigned[at + 1..].starts_with(['+', '-'])
        });
        return scientific.then_some(Class::Real);
    }
    money(cell).map(|money| if money.sure { Class::Money } else { Class::Grouped })
}

fn date(cell: &str) -> Option<Class> {
    let parts = DateParts::read(cell)?;
    if parts.plain_day().is_some() {
        return Some(Class::Date);
    }
    match (parts.day(DateOrder::MonthFirst), parts.day(DateOrder::DayFirst)) {
        (Some(_), Some(_)) => Some(Class::EitherFirst),
        (Some(_), None) => Some(Class::MonthFirst),
        (None, Some(_)) => Some(Class::DayFirst),
        (None, None) => None,
    }
}

/// A value to show in a message.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) line: u64,
    pub(super) text: String,
}

impl std::fmt::Display for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: `{}`", self.line, self.text)
    }
}

/// A cell as messages show it: not longer than a line.
pub(super) fn shortened(cell: &str) -> String {
    const LONGEST: usize = 60;
    match cell.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &cell[..at]),
        None => cell.to_owned(),
    }
}

/// Why the order of the dates of a column cannot be known.
pub(super) enum OrderUnknown {
    /// Every date can be read in both orders.
    Unproven(Sample),
    /// Some dates are possible in one order only, others in the other only.
    Contradicted { month_first: Sample, day_first: Sample },
}

/// Which decimal mark the numbers of a column have, as far as they show it.
pub(super) enum MarkFound {
    /// The mark is this one, or it makes no difference.
    Known(DecimalMark),
    /// Every number can be read with either mark, and would be another one.
    Unproven(Sample),
    /// Some numbers are possible with one mark only, others with the other only.
    Contradicted { point: Sample, comma: Sample },
}

/// What was seen of one column.
#[derive(Default)]
pub(super) struct Findings {
    /// The cells as written with a decimal point, and as written with a decimal comma.
    tallies: [Tally; 2],
    /// Cells that are numbers in either way.
    numbers: u64,
    /// The first number that only one mark allows, by mark.
    proofs: [Option<Sample>; 2],
    /// The first number that is another one with the other mark.
    unproven: Option<Sample>,
    /// The first amounts of money of two currencies.
    currencies: Vec<(char, Sample)>,
    /// The first few different values, to be shown.
    examples: Vec<String>,
    /// The mark is the point, whatever the values look like.
    point_only: bool,
}

impl Findings {
    /// Nothing seen yet. `point_only`: no decimal comma is looked for.
    pub(super) fn new(point_only: bool) -> Findings {
        Findings { point_only, ..Findings::default() }
    }

    /// Takes note of one cell.
    pub(super) fn see(&mut self, cell: &str, line: u64) {
        let Some(point) = classify(cell, DecimalMark::Point) else { return };
        let settled = self.point_only && self.proofs[0].is_some();
        let comma = if !settled && cell.contains([',', '.']) {
            classify(cell, DecimalMark::Comma).unwrap_or(point)
        } else {
            point
        };
        let sample = || Sample { line, text: shortened(cell) };
        self.tallies[0].see(point, sample);
        self.tallies[1].see(comma, sample);
        self.numbers += u64::from(point.is_number() || comma.is_number());
        let proof = match (point.is_number(), comma.is_number()) {
            (true, false) => Some(&mut self.proofs[0]),
            (false, true) => Some(&mut self.proofs[1]),
            (true, true) if point != comma => Some(&mut self.unproven),
            _ => None,
        };
        if let Some(proof) = proof {
            proof.get_or_insert_with(sample);
        }
        if (point == Class::Money || comma == Class::Money)
            && let Some(currency) = cell.chars().find_map(currency)
            && self.currencies.iter().all(|(known, _)| *known != currency)
            && self.currencies.len() < 2
        {
            self.currencies.push((currency, sample()));
        }
        self.show(cell);
    }

    fn show(&mut self, cell: &str) {
        const EXAMPLES: usize = 3;
        if self.examples.len() < EXAMPLES && self.examples.iter().all(|known| known != cell) {
            let text = shortened(cell);
            if !self.examples.contains(&text) {
                self.examples.push(text);
            }
        }
    }

    /// The first few different values.
    pub(super) fn examples(&self) -> &[String] {
        &self.examples
    }

    /// An amount in one currency and one in another, if the column has them.
    pub(super) fn two_currencies(&self) -> Option<[&Sample; 2]> {
        match self.currencies.as_slice() {
            [(_, one), (_, other), ..] => Some([one, other]),
            _ => None,
        }
    }

    /// The decimal mark, for a column that may be one of numbers. `usual` is the one that needs no proof,
    /// `told` that it is one of numbers whatever its values look like.
    pub(super) fn mark(&self, usual: Option<DecimalMark>, told: bool) -> MarkFound {
        let words = self.tallies[0].count(&[Class::Word]);
        let values = self.tallies[0].values();
        let numeric = told || (self.numbers + words == values && few(words, values));
        match (usual, &self.proofs, &self.unproven) {
            (Some(mark), _, _) => MarkFound::Known(mark),
            (None, [Some(point), Some(comma)], _) if numeric => {
                MarkFound::Contradicted { point: point.clone(), comma: comma.clone() }
            }
            (None, [None, Some(_)], _) => MarkFound::Known(DecimalMark::Comma),
            (None, [None, None], Some(sample)) if numeric => MarkFound::Unproven(sample.clone()),
            _ => MarkFound::Known(DecimalMark::Point),
        }
    }

    /// What proves a mark.
    pub(super) fn proof(&self, mark: DecimalMark) -> Option<&Sample> {
        self.proofs[mark as usize].as_ref()
    }

    /// What was seen, read with this mark.
    pub(super) fn with(&self, mark: DecimalMark) -> Seen<'_> {
        let certain = self.proof(mark).is_some();
        Seen { tally: &self.tallies[mark as usize], certain }
    }

    /// The order of the dates as the values prove it; `None` if no date needs one.
    pub(super) fn date_order(&self) -> Result<Option<DateOrder>, OrderUnknown> {
        let tally = &self.tallies[0];
        match (tally.sample(Class::MonthFirst), tally.sample(Class::DayFirst)) {
            (Some(month_first), Some(day_first)) => Err(OrderUnknown::Contradicted {
                month_first: month_first.clone(),
                day_first: day_first.clone(),
            }),
            (Some(_), None) => Ok(Some(DateOrder::MonthFirst)),
            (None, Some(_)) => Ok(Some(DateOrder::DayFirst)),
            (None, None) => match tally.sample(Class::EitherFirst) {
                Some(sample) => Err(OrderUnknown::Unproven(sample.clone())),
                None => Ok(None),
            },
        }
    }

    /// The date that proves an order.
    pub(super) fn order_proof(&self, order: DateOrder) -> Option<&Sample> {
        self.tallies[0].sample(match order {
            DateOrder::MonthFirst => Class::MonthFirst,
            DateOrder::DayFirst => Class::DayFirst,
        })
    }
}

/// Few enough to be slips.
pub(super) fn few(misfits: u64, values: u64) -> bool {
    misfits * 10 <= values || (misfits == 1 && values >= 4)
}

/// How many cells have which class, and the first of each.
#[derive(Default)]
struct Tally {
    counts: [u64; CLASSES],
    first: [Option<Sample>; CLASSES],
}

impl Tally {
    fn see(&mut self, class: Class, sample: impl Fn() -> Sample) {
        let class = class as usize;
        self.counts[class] += 1;
        if self.first[class].is_none() {
            self.first[class] = Some(sample());
        }
    }

    fn count(&self, classes: &[Class]) -> u64 {
        classes.iter().map(|class| self.counts[*class as usize]).sum()
    }

    fn sample(&self, class: Class) -> Option<&Sample> {
        self.first[class as usize].as_ref()
    }

    /// The cells that are not empty.
    fn values(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// What was seen of a column whose decimal mark is settled.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    tally: &'a Tally,
    /// The values themselves prove the mark, so that `1,234` leaves no doubt.
    certain: bool,
}

impl Seen<'_> {
    /// The mark was told, so that `1,234` leaves no doubt.
    pub(super) fn certainly(self) -> Self {
        Seen { certain: true, ..self }
    }

    /// The cells that are not empty.
    pub(super) fn values(self) -> u64 {
        self.tally.values()
    }

    /// The classes that a type reads as found, without being told to.
    fn classes(kind: ColumnType) -> &'static [Class] {
        match kind {
            ColumnType::Integer => &NUMBERS[..2],
            ColumnType::Real => &[Class::Integer, Class::Real],
            ColumnType::Money => &[Class::Integer, Class::Real, Class::Money, Class::Grouped],
            ColumnType::Date => &DATES,
            ColumnType::Text => &[],
        }
    }

    /// Whether the column may be called one of this type: few misfits, and none that hints at identifiers.
    pub(super) fn fits(self, kind: ColumnType) -> bool {
        let (tally, values) = (self.tally, self.values());
        let misfits = values - tally.count(Self::classes(kind));
        let few = few(misfits, values);
        match kind {
            ColumnType::Text => true,
            // A number may be an identifier, so a single code decides for text.
            ColumnType::Integer | ColumnType::Real => few && misfits == tally.count(&[Class::Word]),
            // A date, a dollar sign cannot be mistaken: codes among them are slips.
            ColumnType::Money => {
                let doubtful = tally.count(&[Class::Grouped]) > 0;
                few && (values == 0
                    || tally.count(&[Class::Money]) > 0
                    || (self.certain && doubtful && misfits == tally.count(&[Class::Word])))
            }
            ColumnType::Date => few,
        }
    }

    /// The type that the values show; text where nothing else fits.
    pub(super) fn found(self) -> ColumnType {
        if self.values() == 0 {
            return ColumnType::Text;
        }
        [ColumnType::Date, ColumnType::Integer, ColumnType::Real, ColumnType::Money]
            .into_iter()
            .find(|kind| self.fits(*kind))
            .unwrap_or(ColumnType::Text)
    }

    /// How the values miss a type: "3 of 10 values are not of type real, the first on line 7: `x`"; `None`
    /// if all are of it.
    pub(super) fn misfits(self, kind: ColumnType) -> Option<String> {
        let (tally, fitting) = (self.tally, Self::classes(kind));
        let first = (tally.counts.iter().zip(&tally.first).enumerate())
            .filter(|(class, _)| !fitting.iter().any(|fit| *fit as usize == *class))
            .filter_map(|(_, (_, sample))| sample.as_ref())
            .min_by_key(|sample| sample.line)?;
        let values = self.values();
        let misfits = values - tally.count(fitting);
        Some(format!("{misfits} of {values} values are not of type {kind}, the first on {first}"))
    }

    /// The first value that is neither a number nor a date.
    pub(super) fn first_text(&self) -> Option<&Sample> {
        let samples = [Class::Word, Class::Code].map(|class| self.tally.sample(class));
        samples.into_iter().flatten().min_by_key(|sample| sample.line)
    }

    /// For a column of text: the type that most of its values have all the same.
    pub(super) fn nearly(self) -> Option<ColumnType> {
        [ColumnType::Date, ColumnType::Integer, ColumnType::Real, ColumnType::Money]
            .into_iter()
            .find(|kind| self.tally.count(Self::classes(*kind)) * 2 > self.values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings<'a>(cells: impl IntoIterator<Item = &'a str>) -> Findings {
        let mut findings = Findings::default();
        for (cell, line) in cells.into_iter().zip(2..) {
            findings.see(cell, line);
        }
        findings
    }

    fn found(cells: &[&str]) -> ColumnType {
        findings(cells.iter().copied()).with(DecimalMark::Point).found()
    }

    #[test]
    fn each_cell_has_a_class() {
        let cases = [
            ("0", Class::Integer),
            ("-17", Class::Integer),
            ("9007199254740993", Class::LongInteger),
            ("9223372036854775808", Class::Code),
            ("0012", Class::Code),
            ("-0012", Class::Code),
            ("+5", Class::Code),
            ("12E4", Class::Code),
            ("1e+05", Class::Real),
            ("1.5E5", Class::Real),
            (".5", Class::Real),
            ("00.5", Class::Code),
            ("1.2.3", Class::Code),
            ("$5", Class::Money),
            ("1,234.56", Class::Money),
            ("1,234", Class::Grouped),
            ("2016-01-31", Class::Date),
            ("01/31/2016", Class::MonthFirst),
            ("31/01/2016", Class::DayFirst),
            ("01/02/2016", Class::EitherFirst),
            ("02/02/2016", Class::Date),
            ("02/30/2016", Class::Code),
            ("2017-01-28 19:06:53", Class::Code),
            ("2016年1月31日", Class::Date),
            ("31.01.2016", Class::DayFirst),
            ("￥1,234.56", Class::Money),
            ("(12.00)", Class::Money),
            ("(12)", Class::Grouped),
            ("1,5", Class::Code),
            ("N/A", Class::Word),
            ("inf", Class::Word),
            ("门店", Class::Word),
        ];
        for (cell, class) in cases {
            assert_eq!(classify(cell, DecimalMark::Point), Some(class), "{cell}");
        }
        assert_eq!(classify("  ", DecimalMark::Point), None);
        let comma = |cell| classify(cell, DecimalMark::Comma).unwrap();
        assert_eq!(comma("1,5"), Class::Real);
        assert_eq!(comma("1.234,56"), Class::Money);
        assert_eq!(comma("1.234"), Class::Grouped);
        assert_eq!(comma("1.5"), Class::Code);
        assert_eq!(comma("31.01.2016"), Class::DayFirst);
    }

    #[test]
    fn the_whole_column_decides() {
        assert_eq!(found(&["1", "2", "", "3"]), ColumnType::Integer);
        assert_eq!(found(&["1", "2", "2.5"]), ColumnType::Real);
        assert_eq!(found(&["1", "0012"]), ColumnType::Text);
        assert_eq!(found(&["$1.00", "-$2.50", "3"]), ColumnType::Money);
        assert_eq!(found(&["1,234", "5,678"]), ColumnType::Text);
        assert_eq!(found(&["1,234", "$5"]), ColumnType::Money);
        assert_eq!(found(&["2016-01-31", "01/31/2016"]), ColumnType::Date);
        assert_eq!(found(&["", ""]), ColumnType::Text);
        assert_eq!(found(&["9007199254740993", "0.5"]), ColumnType::Text);
    }

    #[test]
    fn a_value_far_down_is_not_overlooked() {
        let numbers: Vec<String> = (1..5000).map(|n| n.to_string()).collect();
        let mut column = findings(numbers.iter().map(String::as_str));
        assert_eq!(column.with(DecimalMark::Point).found(), ColumnType::Integer);
        column.see("0501", 5001);
        let column = column.with(DecimalMark::Point);
        assert_eq!(column.found(), ColumnType::Text);
        assert_eq!(column.nearly(), Some(ColumnType::Integer));
        let text = column.misfits(ColumnType::Integer).unwrap();
        assert_eq!(
            text,
            "1 of 5000 values are not of type integer, the first on line 5001: `0501`"
        );
    }

    #[test]
    fn slips_are_few() {
        assert_eq!(found(&["1", "2", "3", "oops"]), ColumnType::Integer);
        assert_eq!(found(&["1", "2", "oops"]), ColumnType::Text);
        assert_eq!(found(&["1", "2", "3", "S4"]), ColumnType::Text);
        assert_eq!(
            found(&["2016-01-31", "2016-02-01", "2016-02-02", "2016-02-30"]),
            ColumnType::Date
        );
    }

    #[test]
    fn the_order_of_dates_is_proven_or_asked_for() {
        let order = |cells: &[&str]| findings(cells.iter().copied()).date_order();
        assert!(matches!(order(&["01/02/2016", "01/31/2016"]), Ok(Some(DateOrder::MonthFirst))));
        assert!(matches!(order(&["01/02/2016", "31/01/2016"]), Ok(Some(DateOrder::DayFirst))));
        assert!(matches!(order(&["2016-01-02", "03/03/2016"]), Ok(None)));
        assert!(matches!(order(&["01/02/2016"]), Err(OrderUnknown::Unproven(_))));
        assert!(matches!(
            order(&["01/31/2016", "31/01/2016"]),
            Err(OrderUnknown::Contradicted { .. })
        ));
    }

    #[test]
    fn the_decimal_mark_is_proven_or_asked_for() {
        let mark = |cells: &[&str]| findings(cells.iter().copied()).mark(None, false);
        let known = |cells: &[&str]| match mark(cells) {
            MarkFound::Known(mark) => Some(mark),
            _ => None,
        };
        assert_eq!(known(&["1", "2.345", "2.5"]), Some(DecimalMark::Point));
        assert_eq!(known(&["1", "2.345", "2,5"]), Some(DecimalMark::Comma));
        assert_eq!(known(&["2.345", "€ 1.234,50"]), Some(DecimalMark::Comma));
        assert_eq!(known(&["0.345", "1.234"]), Some(DecimalMark::Point));
        assert_eq!(known(&["1", "2"]), Some(DecimalMark::Point));
        assert_eq!(known(&["31.01.2016", "v1.234", "x"]), Some(DecimalMark::Point));
        assert!(matches!(mark(&["1", "2.345"]), MarkFound::Unproven(sample) if sample.line == 3));
        assert!(matches!(
            mark(&["1.5", "2,5"]),
            MarkFound::Contradicted { point, comma } if (point.line, comma.line) == (2, 3)
        ));
    }

    #[test]
    fn with_a_proven_mark_groups_are_no_longer_in_doubt() {
        let found = |cells: &[&str], mark| findings(cells.iter().copied()).with(mark).found();
        assert_eq!(found(&["2.345", "2,5"], DecimalMark::Comma), ColumnType::Money);
        assert_eq!(found(&["2,345", "2.5"], DecimalMark::Point), ColumnType::Money);
        assert_eq!(found(&["2,5", "3"], DecimalMark::Comma), ColumnType::Real);
        assert_eq!(found(&["2.345", "0012", "2,5"], DecimalMark::Comma), ColumnType::Text);
    }

    #[test]
    fn two_currencies_are_noticed() {
        let cells = findings(["¥5", "￥6.00", "7"]);
        assert!(cells.two_currencies().is_none());
        let cells = findings(["$5", "5,00 €"]);
        assert_eq!(cells.two_currencies().map(|both| both.map(|sample| sample.line)), Some([2, 3]));
    }
}
