//! From the header, what was found, what was asked for and the table that may be there already, to the
//! columns as they will be written. Knows neither files nor SQL.

use samovar_core::{Error, ErrorKind};

use super::ImportOptions;
use super::column::{ColumnType, DateOrder, DecimalMark, Format};
use super::dialect::Delimiter;
use super::find::{Class, Findings, MarkFound, OrderUnknown, Seen, classify};
use super::header::{check_names, same};
use super::target::TableColumn;

/// A column as it is read and written.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) format: Format,
    /// Why it is read so.
    pub(super) why: String,
}

/// What a file holds, as far as its columns are concerned.
pub(super) struct Columns {
    pub(super) delimiter: Delimiter,
    pub(super) header: Vec<String>,
    pub(super) findings: Vec<Findings>,
}

/// The columns as they will be written, or all that stands against it in one error.
pub(super) fn plan(
    file: &Columns,
    options: &ImportOptions,
    table: Option<&[TableColumn]>,
) -> Result<Vec<Column>, Error> {
    if let Some(table) = table {
        check_names(&file.header, table)?;
    }
    let (mut columns, mut problems) = (Vec::new(), Vec::new());
    for column in each(file, options, table) {
        match column {
            Ok(column) => columns.push(column),
            Err(problem) => problems.push(problem),
        }
    }
    if table.is_none() {
        problems.extend(data_in_header(&columns));
    }
    if problems.is_empty() {
        return Ok(columns);
    }
    Err(Error::new(ErrorKind::Source, problems.join("\n")))
}

/// Each column as it will be written, or what stands against it.
pub(super) fn each(
    file: &Columns,
    options: &ImportOptions,
    table: Option<&[TableColumn]>,
) -> impl Iterator<Item = Result<Column, String>> {
    (file.header.iter().zip(&file.findings)).map(move |(name, found)| {
        let existing =
            table.and_then(|columns| columns.iter().find(|column| same(&column.name, name)));
        plan_column(name, found, options, file.delimiter, existing)
            .map_err(|problem| format!("column {name:?}: {problem}"))
    })
}

fn plan_column(
    name: &str,
    found: &Findings,
    options: &ImportOptions,
    delimiter: Delimiter,
    existing: Option<&TableColumn>,
) -> Result<Column, String> {
    let choice = choice(name, options, existing)?;
    let asked_mark = asked(&options.decimal_marks, name);
    let mark = match asked_mark {
        Some(mark) => mark,
        None if choice.allows_fractions() => proven_mark(name, found, delimiter, &choice)?,
        None => DecimalMark::Point,
    };
    let seen = found.with(mark);
    let seen = if asked_mark.is_some() { seen.certainly() } else { seen };
    let kind = choice.kind(name, seen)?;
    if kind == ColumnType::Money
        && let Some([one, other]) = found.two_currencies()
    {
        return Err(format!(
            "its amounts are in more than one currency ({one}; {other}), and their sum would mean nothing; \
             --type {name}=text keeps them as they are"
        ));
    }
    let order = order(name, kind, found, options)?;

    let mut why = choice.why(kind, seen);
    if let Some(order) = order {
        let asked = asked(&options.date_orders, name).is_some();
        why += &format!("; {order}, {}", because(asked, found.order_proof(order)));
    }
    let numbers = matches!(kind, ColumnType::Real | ColumnType::Money);
    if numbers && (asked_mark.is_some() || mark == DecimalMark::Comma) {
        let proof = because(asked_mark.is_some(), found.proof(mark));
        why += &format!("; decimal {mark}, {proof}");
    }
    Ok(Column { name: name.to_owned(), format: Format { kind, order, mark }, why })
}

fn because(asked: bool, proof: Option<&impl std::fmt::Display>) -> String {
    match proof {
        Some(proof) if !asked => format!("as shown by {proof}"),
        _ => "as asked for".to_owned(),
    }
}

/// What was asked for: for this column by name, else for all; the last one counts.
fn asked<T: Copy>(list: &[(Option<String>, T)], name: &str) -> Option<T> {
    let named = |(column, _): &&(Option<String>, T)| {
        column.as_deref().is_some_and(|column| same(column, name))
    };
    let for_all = |(column, _): &&(Option<String>, T)| column.is_none();
    list.iter().rev().find(named).or_else(|| list.iter().rev().find(for_all)).map(|(_, it)| *it)
}

fn asked_type(name: &str, options: &ImportOptions) -> Option<ColumnType> {
    options.types.iter().rev().find(|(column, _)| same(column, name)).map(|(_, kind)| *kind)
}

/// For columns of text that are almost something else: what the reader of the report should know.
pub(super) fn notes(
    columns: &[Column],
    findings: &[Findings],
    options: &ImportOptions,
) -> Vec<String> {
    (columns.iter().zip(findings))
        .filter(|(column, _)| {
            column.format.kind == ColumnType::Text && asked_type(&column.name, options).is_none()
        })
        .filter_map(|(column, found)| {
            let seen = found.with(column.format.mark);
            let (name, nearly) = (&column.name, seen.nearly()?);
            let misfits = seen
                .misfits(nearly)
                .unwrap_or_else(|| format!("its values could be of type {nearly} as well"));
            Some(format!(
                "column {name:?} is text: {misfits} (--type {name}={nearly} reads it so; what does not fit is rejected)"
            ))
        })
        .collect()
}

/// What decides the type of a column.
enum Choice<'a> {
    /// The values alone.
    Free,
    Asked(ColumnType),
    /// The type that a table declares, and how it may be read, the preferred way first.
    Declared(&'a str, &'static [ColumnType]),
}

fn choice<'a>(
    name: &str,
    options: &ImportOptions,
    existing: Option<&'a TableColumn>,
) -> Result<Choice<'a>, String> {
    let asked = asked_type(name, options);
    let free = || asked.map_or(Choice::Free, Choice::Asked);
    let Some(existing) = existing else { return Ok(free()) };
    let declared = &existing.declared;
    let Some(allowed) = existing.readable_as else { return Ok(free()) };
    match asked {
        None => Ok(Choice::Declared(declared, allowed)),
        Some(asked) if allowed.contains(&asked) => Ok(Choice::Asked(asked)),
        Some(asked) => Err(format!(
            "the table declares it {declared}, so it cannot be read as {asked}; possible: {}",
            words(allowed)
        )),
    }
}

impl Choice<'_> {
    /// Whether the column may be one whose values have a decimal mark.
    fn allows_fractions(&self) -> bool {
        match self {
            Choice::Free => true,
            Choice::Asked(kind) => matches!(kind, ColumnType::Real | ColumnType::Money),
            Choice::Declared(_, kinds) => kinds.contains(&ColumnType::Real),
        }
    }

    fn kind(&self, name: &str, seen: Seen<'_>) -> Result<ColumnType, String> {
        match self {
            Choice::Free => Ok(seen.found()),
            Choice::Asked(kind) => Ok(*kind),
            // The first that fits; in a column of text that is text itself, so that nothing is rewritten unasked.
            Choice::Declared(declared, allowed) => {
                allowed.iter().copied().find(|kind| seen.fits(*kind)).ok_or_else(|| {
                    let first = allowed[0];
                    let misfits = seen.misfits(first).unwrap_or_default();
                    format!(
                        "the table declares it {declared}, but {misfits} (--type {name}={first} reads it so all the \
                         same; what does not fit is rejected)"
                    )
                })
            }
        }
    }

    fn why(&self, kind: ColumnType, seen: Seen<'_>) -> String {
        let values = seen.values();
        let fit = match kind {
            _ if values == 0 => "no values".to_owned(),
            ColumnType::Text => match seen.nearly() {
                Some(nearly) => seen.misfits(nearly).unwrap_or_else(|| {
                    format!("whether its values are of type {nearly} is in doubt")
                }),
                None => match seen.first_text() {
                    Some(sample) => format!("not all are numbers or dates, the first on {sample}"),
                    None => "its values are of different types".to_owned(),
                },
            },
            kind => seen.misfits(kind).unwrap_or_else(|| match values {
                1 => "its one value is".to_owned(),
                _ => format!("all {values} values are"),
            }),
        };
        match (self, kind) {
            (Choice::Free, _) => fit,
            (Choice::Asked(_), ColumnType::Text) => "as asked for".to_owned(),
            (Choice::Asked(_), _) => format!("as asked for; {fit}"),
            (Choice::Declared(declared, _), ColumnType::Text) => {
                format!("the table declares it {declared}")
            }
            (Choice::Declared(declared, _), _) => {
                format!("the table declares it {declared}; {fit}")
            }
        }
    }
}

/// The decimal mark as the values prove it. Where fields are separated by commas it is the point: a decimal
/// comma would have to be quoted.
fn proven_mark(
    name: &str,
    found: &Findings,
    delimiter: Delimiter,
    choice: &Choice<'_>,
) -> Result<DecimalMark, String> {
    let usual = (delimiter == Delimiter::Comma).then_some(DecimalMark::Point);
    let told = !matches!(choice, Choice::Free);
    let ask = format!(
        "say which: --decimal {name}=point or --decimal {name}=comma, or --type {name}=text"
    );
    match found.mark(usual, told) {
        MarkFound::Known(mark) => Ok(mark),
        MarkFound::Unproven(sample) => Err(format!(
            "no number shows whether its decimal mark is the point or the comma ({sample}); {ask}"
        )),
        MarkFound::Contradicted { point, comma } => Err(format!(
            "some numbers have a decimal point ({point}), some a decimal comma ({comma}); {ask}"
        )),
    }
}

fn order(
    name: &str,
    kind: ColumnType,
    found: &Findings,
    options: &ImportOptions,
) -> Result<Option<DateOrder>, String> {
    if kind != ColumnType::Date {
        return Ok(None);
    }
    if let Some(order) = asked(&options.date_orders, name) {
        return Ok(Some(order));
    }
    let ask = format!("say which: --date-order {name}=mdy or --date-order {name}=dmy");
    found.date_order().map_err(|unknown| match unknown {
        OrderUnknown::Unproven(sample) => {
            format!("no date shows whether the month or the day stands first ({sample}); {ask}")
        }
        OrderUnknown::Contradicted { month_first, day_first } => format!(
            "some dates have the month first ({month_first}), some the day ({day_first}); {ask}, and the others \
             become rejects"
        ),
    })
}

/// A date, an amount or a fraction as the name of a column of the same type: the header is missing.
/// A whole number is not taken for one, since tables with a column per year are common.
fn data_in_header(columns: &[Column]) -> Option<String> {
    let column = columns.iter().find(|column| match column.format.kind {
        ColumnType::Text | ColumnType::Integer => false,
        ColumnType::Date => matches!(
            classify(&column.name, column.format.mark),
            Some(Class::Date | Class::MonthFirst | Class::DayFirst | Class::EitherFirst)
        ),
        ColumnType::Real | ColumnType::Money => {
            matches!(classify(&column.name, column.format.mark), Some(Class::Real | Class::Money))
        }
    })?;
    Some(format!(
        "the first row must name the columns, but {:?} reads as a value of its column ({})",
        column.name, column.format.kind
    ))
}

fn words(kinds: &[ColumnType]) -> String {
    kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
