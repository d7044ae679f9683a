//! Which column is the store, which the date, the product, the category.

use samovar_source::catalog::{Column, Expression, Form, Kind};

use super::reach::{At, Reach};
use crate::init::words::{
    CALENDAR, CATEGORY, CREATED, CUSTOMER, DATE, FACT, ID, LINE, NAME, Name, ORDER, OTHER_DATE,
    PLACE, PRODUCT, SOLD, STORE, Words,
};

/// 1990 and 2100, in seconds since 1970.
const EPOCH: std::ops::RangeInclusive<f64> = 631_152_000.0..=4_102_444_800.0;

/// A column for a role, how well it fits, and why.
#[derive(Clone, Debug)]
pub(crate) struct Pick {
    pub(crate) at: At,
    pub(crate) score: f64,
    pub(crate) why: String,
}

/// The best first; of equals the one that is nearer, and stands earlier.
fn ranked(mut picks: Vec<Pick>) -> Vec<Pick> {
    picks.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.at.table.cmp(&b.at.table)));
    picks
}

/// How the values of a date column are written, for the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DateForm {
    /// A day, or a time whose own calendar day counts.
    Day,
    /// PostgreSQL's `timestamptz`.
    Instant,
    /// Text of an instant in UTC.
    UtcText,
    /// Seconds since 1970.
    Seconds,
    /// Milliseconds since 1970.
    Millis,
    /// `20260203`, which the query takes apart.
    Digits,
}

impl DateForm {
    /// What a column holds, if it holds dates. A number must be called one.
    pub(crate) fn of(column: &Column) -> Option<DateForm> {
        let within = |by| is_epoch(column, by);
        let called = Name::of(&column.name);
        let called = [DATE, SOLD, CREATED].iter().any(|words| called.says(words));
        match (column.kind, column.seen.form) {
            (Kind::Day | Kind::Time, _) => Some(DateForm::Day),
            (Kind::Instant, _) => Some(DateForm::Instant),
            (Kind::Text, Form::Days | Form::Times) => Some(DateForm::Day),
            (Kind::Text, Form::Instants) => Some(DateForm::UtcText),
            // Nothing was seen of a table without rows; then its declaration must do.
            (Kind::Text, Form::Nothing) if says_date(&column.declared) => Some(DateForm::Day),
            (Kind::Text | Kind::Integer, Form::Digits) if called => Some(DateForm::Digits),
            (Kind::Integer, Form::Numbers) if called && within(1.0) => Some(DateForm::Seconds),
            (Kind::Integer, Form::Numbers) if called && within(1_000.0) => Some(DateForm::Millis),
            _ => None,
        }
    }

    /// For the configuration; `None` is the default.
    pub(crate) fn kind(self) -> Option<&'static str> {
        match self {
            DateForm::Day | DateForm::Instant | DateForm::Digits => None,
            DateForm::UtcText => Some("utc_datetime"),
            DateForm::Seconds => Some("epoch_seconds"),
            DateForm::Millis => Some("epoch_millis"),
        }
    }

    /// Whether the day of a value depends on a time zone.
    pub(crate) fn is_instant(self) -> bool {
        !matches!(self, DateForm::Day | DateForm::Digits)
    }

    /// In words.
    pub(crate) fn words(self, column: &Column) -> String {
        match (self, column.kind, column.seen.form) {
            (DateForm::Day, Kind::Day, _) | (DateForm::Day, Kind::Text, Form::Days) => {
                "days".into()
            }
            (DateForm::Day, ..) => {
                "times without a time zone; a line's day is their own calendar day".into()
            }
            (DateForm::Instant, ..) => "instants (timestamptz)".into(),
            (DateForm::UtcText, ..) => "times in UTC, as text".into(),
            (DateForm::Seconds, ..) => "seconds since 1970".into(),
            (DateForm::Millis, ..) => "milliseconds since 1970".into(),
            (DateForm::Digits, ..) => {
                "days written as 20260203; the query makes 2026-02-03 of them, which no index \
                                       on the column serves"
                    .into()
            }
        }
    }
}

/// Whether numbers are times since 1970 by their values, so many to a second.
pub(crate) fn is_epoch(column: &Column, by: f64) -> bool {
    let within = |number: f64| EPOCH.contains(&(number / by));
    column.kind == Kind::Integer
        && column.seen.range.is_some_and(|(low, high)| within(low) && within(high))
}

/// Whether a declared type is one of dates or times, though the column holds text.
fn says_date(declared: &str) -> bool {
    let declared = declared.to_ascii_uppercase();
    declared.contains("DATE") || declared.contains("TIME")
}

/// Dates that may be the day of a line: of the table itself, of its order, or of a calendar.
pub(crate) fn dates(reach: &Reach<'_>) -> Vec<Pick> {
    let mut picks = Vec::new();
    for (at, column) in reach.columns() {
        let table = reach.table(at.table);
        let called = Name::of(&table.name.name);
        let from_here = at.table == 0;
        let is_calendar = called.says(CALENDAR) && called.words().len() <= 2;
        let is_order = called.says(ORDER) || called.says(FACT);
        if !(from_here || is_calendar || is_order) || DateForm::of(column).is_none() {
            continue;
        }
        let name = Name::of(&column.name);
        let (score, says) = match () {
            () if name.says(OTHER_DATE) => {
                (-4.0, "its name says that something else happened then")
            }
            () if name.says(SOLD) => (4.0, "its name says when something was sold"),
            () if is_calendar => (3.5, "it is the calendar's"),
            () if name.says(CREATED) => (2.0, "its name says when the row was made"),
            () if name.says(DATE) => (3.0, "its name says so"),
            () => (0.5, "it holds dates"),
        };
        let missing = share_missing(column);
        let depth = reach.tables[at.table].depth as f64;
        let same = |part: f64| {
            if column.seen.distinct <= 1 && column.seen.values > 20 { part } else { 0.0 }
        };
        let score = score - 0.5 * depth - 4.0 * missing - same(1.0);
        picks.push(Pick { at, score, why: says.into() });
    }
    ranked(picks)
}

/// Columns that may be the store.
pub(crate) fn stores(reach: &Reach<'_>) -> Vec<Pick> {
    let mut picks = Vec::new();
    for (at, column) in reach.columns() {
        if !is_id(column) {
            continue;
        }
        let name = Name::of(&column.name);
        let refers = reach.referred(&at).map(|to| &reach.table(to).name);
        let to = |words| refers.is_some_and(|table| Name::of(&table.name).says(words));
        let only = |words: Words| name.says_only(words, &[ID]);
        let named = |words: Words| name.says_only(words, &[NAME, ID]);
        let owner = Name::of(&reach.table(at.table).name.name);
        // What describes a store, a customer or a product is no store of the line.
        if at.table > 0 && [STORE, PLACE, PRODUCT, CUSTOMER].iter().any(|words| owner.says(words)) {
            continue;
        }
        let (score, why) = match () {
            () if to(STORE) && !name.says(CUSTOMER) => (6.0, "it refers to the table of stores"),
            () if only(STORE) => (5.0, "its name says so"),
            () if named(STORE) => (3.5, "its name says that it names the store"),
            () if to(PLACE) || only(PLACE) => (
                1.0 - 0.02 * name.place(PLACE).unwrap_or(0) as f64,
                "there is no store; this comes nearest",
            ),
            () if named(PLACE) || name.says(PLACE) && name.words().len() == 2 => (
                0.3 - 0.01 * name.place(PLACE).unwrap_or(0) as f64,
                "there is no store; this comes nearest",
            ),
            () => continue,
        };
        let every_row_its_own =
            column.seen.values >= 50 && column.seen.distinct == column.seen.values;
        let depth = reach.tables[at.table].depth as f64;
        let score = score
            - 0.4 * depth
            - 3.0 * share_missing(column)
            - if every_row_its_own { 4.0 } else { 0.0 }
            - if column.seen.distinct <= 1 { 0.5 } else { 0.0 };
        picks.push(Pick { at, score, why: why.into() });
    }
    ranked(picks).into_iter().filter(|pick| pick.score > -1.0).collect()
}

/// Whether a column can hold ids: whole numbers, be they stored as floats, or texts.
pub(crate) fn is_id(column: &Column) -> bool {
    matches!(column.kind, Kind::Integer | Kind::Number | Kind::Text)
        && !matches!(column.seen.form, Form::Days | Form::Times | Form::Instants)
        && column.seen.decimals == 0
}

fn share_missing(column: &Column) -> f64 {
    match column.seen.rows {
        0 => 0.0,
        rows => 1.0 - column.seen.values as f64 / rows as f64,
    }
}

/// A role that is no more than a name: what it is in the query, and why.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) expression: Expression,
    pub(crate) why: String,
}

/// The name of what a column refers to, or its own value where that has none: no row goes without.
fn name_or_id(reach: &Reach<'_>, id: &At, about: Words) -> Option<Named> {
    let to = reach.referred(id)?;
    let name = name_of(reach, to, about)?;
    let at = At { table: to, column: name.name.clone() };
    let shown = reach.shown(&at);
    // Stores are told apart by their ids.
    let repeated = name.seen.distinct < name.seen.values && about != STORE;
    let same = if repeated { "; what shares a name counts as one" } else { "" };
    Some(Named {
        expression: Expression::Either(
            Box::new(text(&at, name)),
            Box::new(id.expression().as_text()),
        ),
        why: format!("{shown}, or {} where that is missing{same}", reach.shown(id)),
    })
}

/// A column as a text.
fn text(at: &At, column: &Column) -> Expression {
    let expression = at.expression();
    if is_text(column) { expression } else { expression.as_text() }
}

/// Whether a column is text to both databases, as it stands.
pub(crate) fn is_text(column: &Column) -> bool {
    let declared = column.declared.to_ascii_lowercase();
    let says = ["text", "char", "clob"].iter().any(|word| declared.contains(word));
    column.kind == Kind::Text && (declared.is_empty() || says)
}

/// The column of a table that names its rows.
fn name_of<'a>(reach: &Reach<'a>, table: usize, about: Words) -> Option<&'a Column> {
    let score = |column: &Column| {
        let name = Name::of(&column.name);
        let place = name.place(NAME)?;
        let only = name.says_only(NAME, &[about, PRODUCT]) && column.kind == Kind::Text;
        only.then_some(place)
    };
    let columns = reach.table(table).columns.iter();
    columns
        .filter_map(|column| Some((score(column)?, column)))
        .min_by_key(|(at, _)| *at)
        .map(|(_, c)| c)
}

/// The name of the store that a column tells.
pub(crate) fn store_name(reach: &Reach<'_>, store: &At) -> Option<Named> {
    if let Some(named) = name_or_id(reach, store, STORE) {
        return Some(named);
    }
    let beside = reach.columns().find(|(at, column)| {
        let name = Name::of(&column.name);
        at.table == store.table
            && at.column != store.column
            && column.kind == Kind::Text
            && name.says(NAME)
            && name.says_only(STORE, &[NAME])
    })?;
    Some(Named {
        why: format!("{}, by its name", reach.shown(&beside.0)),
        expression: beside.0.expression(),
    })
}

/// What was sold, and from which table it is named.
pub(crate) fn product(reach: &Reach<'_>) -> Option<(Named, Option<usize>)> {
    let own_key = |at: &At| {
        reach.table(at.table).keys.first().is_some_and(|key| *key == [at.column.as_str()])
    };
    // By the table that it refers to.
    let referring = reach.columns().find(|(at, _)| {
        let to = reach.referred(at).map(|to| Name::of(&reach.table(to).name.name));
        to.is_some_and(|to| to.says(PRODUCT) && !to.says(ORDER) && !to.says(CATEGORY))
    });
    if let Some((at, _)) = &referring
        && let Some(named) = name_or_id(reach, at, PRODUCT)
    {
        return Some((named, reach.referred(at)));
    }
    let mut best: Option<(u8, At, &Column)> = None;
    for (at, column) in reach.columns() {
        let name = Name::of(&column.name);
        let table = Name::of(&reach.table(at.table).name.name);
        let is_line = name.says(LINE) && (name.says(ORDER) || own_key(&at));
        let from_here = at.table == 0 || table.says(PRODUCT) && reach.tables[at.table].depth == 1;
        if !from_here || is_line || !is_label(column) {
            continue;
        }
        let rank = match () {
            () if name.says(PRODUCT) && name.says_only(PRODUCT, &[NAME]) && name.says(NAME) => 0,
            () if name.says_only(PRODUCT, &[]) && column.kind == Kind::Text => 1,
            () if name.says_only(PRODUCT, &[ID]) => 2,
            () => continue,
        };
        if best.as_ref().is_none_or(|(known, ..)| rank < *known) {
            best = Some((rank, at, column));
        }
    }
    let (_, at, column) = best?;
    let why = format!("{}, by its name{}", reach.shown(&at), examples(column));
    let to = reach.referred(&at);
    Some((Named { expression: at.expression(), why }, to))
}

/// What kind of product, from the table that names the product or from the line itself.
pub(crate) fn category(reach: &Reach<'_>, product: Option<usize>) -> Option<Named> {
    let near = |at: &At| at.table == 0 || Some(at.table) == product;
    let mut best: Option<(usize, Named)> = None;
    for (at, column) in reach.columns().filter(|(at, _)| near(at)) {
        let name = Name::of(&column.name);
        let refers = reach.referred(&at);
        let leads = refers.is_some_and(|to| Name::of(&reach.table(to).name.name).says(CATEGORY));
        if !(leads || name.says_only(CATEGORY, &[NAME, ID, PRODUCT])) || !is_label(column) {
            continue;
        }
        let named = match leads.then(|| name_or_id(reach, &at, CATEGORY)).flatten() {
            Some(named) => named,
            None => Named {
                why: format!("{}, by its name{}", reach.shown(&at), examples(column)),
                expression: at.expression(),
            },
        };
        // A name before an id, the first word of the list before the others.
        let place = name.place(CATEGORY).unwrap_or(0) * 4
            + if leads || name.says(NAME) { 0 } else { 1 }
            + if name.says(ID) && !leads { 2 } else { 0 };
        if best.as_ref().is_none_or(|(known, _)| place < *known) {
            best = Some((place, named));
        }
    }
    best.map(|(_, named)| named)
}

fn is_label(column: &Column) -> bool {
    matches!(column.kind, Kind::Text | Kind::Integer | Kind::Number)
        && !matches!(column.seen.form, Form::Days | Form::Times | Form::Instants)
}

/// A few values, for a comment.
pub(crate) fn examples(column: &Column) -> String {
    if column.seen.examples.is_empty() {
        return String::new();
    }
    format!(" (such as {})", column.seen.examples.join(" | "))
}
