//! From the header, what was found, what was asked for and the table that may be there already, to the
//! columns as they will be written. Knows neither files nor SQL.

use samovar_core::{Error, ErrorKind};

use super::ImportOptions;
use super::column::{ColumnType, DateOrder};
use super::find::{Class, Findings, OrderUnknown, classify};
use super::sqlite::TableColumn;

/// A column as it is read and written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: ColumnType,
    pub(super) order: Option<DateOrder>,
}

/// The names of the columns, or what is wrong with the first row of the file. `quoted`: some name is
/// quoted, so its punctuation is meant.
pub(super) fn header<'a>(
    fields: impl Iterator<Item = &'a str>,
    quoted: bool,
) -> Result<Vec<String>, Error> {
    let names: Vec<String> = fields.map(|name| name.trim().to_owned()).collect();
    let mut problems = Vec::new();
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() {
            problems.push(format!("column {} has no name", index + 1));
        } else if name.contains(char::is_control) {
            problems.push(format!(
                "the name of column {} holds control characters: {name:?}",
                index + 1
            ));
        } else if let Some(earlier) = names[..index].iter().position(|other| same(other, name)) {
            problems.push(format!(
                "columns {} and {} are both named {name:?}",
                earlier + 1,
                index + 1
            ));
        }
    }
    if let [only] = names.as_slice()
        && !quoted
        && only.contains([';', '\t'])
    {
        problems.push(format!("fields are separated by commas, and {only:?} holds none"));
    }
    let is_value = |name: &String| {
        classify(name).is_some_and(|class| !matches!(class, Class::Word | Class::Code))
    };
    if names.iter().all(is_value) {
        problems
            .push("all names read as numbers or dates, so it seems to be a row of data".to_owned());
    }
    if problems.is_empty() { Ok(names) } else { Err(bad_header(&problems)) }
}

fn bad_header(problems: &[String]) -> Error {
    Error::new(
        ErrorKind::Source,
        format!("the first row must name the columns: {}", problems.join("; ")),
    )
}

/// SQLite does not tell ASCII letters of different case apart in names.
fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// Checks what was asked for by name against the header.
pub(super) fn check_options(header: &[String], options: &ImportOptions) -> Result<(), Error> {
    let typed = options.types.iter().map(|(name, _)| name);
    let ordered = options.date_orders.iter().filter_map(|(name, _)| name.as_ref());
    let unknown: Vec<String> = typed
        .chain(ordered)
        .filter(|name| !header.iter().any(|column| same(column, name)))
        .map(|name| format!("{name:?}"))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Invalid,
        format!("the file has no column {}; it has {}", unknown.join(", "), list(header)),
    ))
}

/// Checks that the file and the table have the same columns, in whatever order.
pub(super) fn check_names(header: &[String], table: &[TableColumn]) -> Result<(), Error> {
    let extra: Vec<&String> =
        header.iter().filter(|name| !table.iter().any(|column| same(&column.name, name))).collect();
    let missing: Vec<&String> = table
        .iter()
        .map(|column| &column.name)
        .filter(|name| !header.iter().any(|column| same(column, name)))
        .collect();
    let mut problems = Vec::new();
    if !extra.is_empty() {
        problems.push(format!("the table has no column {}", list(extra)));
    }
    if !missing.is_empty() {
        problems.push(format!("the file has no column {}", list(missing)));
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Source,
        format!("the columns of the file are not those of the table: {}", problems.join("; ")),
    ))
}

/// The columns as they will be written, or all that stands against it in one error.
pub(super) fn plan(
    header: &[String],
    findings: &[Findings],
    options: &ImportOptions,
    table: Option<&[TableColumn]>,
) -> Result<Vec<Column>, Error> {
    if let Some(table) = table {
        check_names(header, table)?;
    }
    let mut columns = Vec::new();
    let mut problems = Vec::new();
    for (name, found) in header.iter().zip(findings) {
        let existing =
            table.and_then(|columns| columns.iter().find(|column| same(&column.name, name)));
        let column = kind(name, found, options, existing).and_then(|kind| {
            Ok(Column { name: name.clone(), kind, order: order(name, kind, found, options)? })
        });
        match column {
            Ok(column) => columns.push(column),
            Err(problem) => problems.push(format!("column {name:?}: {problem}")),
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

/// For columns of text that are almost something else: what the reader of the report should know.
pub(super) fn notes(
    columns: &[Column],
    findings: &[Findings],
    options: &ImportOptions,
) -> Vec<String> {
    (columns.iter().zip(findings))
        .filter(|(column, _)| column.kind == ColumnType::Text && asked_type(&column.name, options).is_none())
        .filter_map(|(column, found)| {
            let (name, nearly) = (&column.name, found.nearly()?);
            let misfits = found.misfits(nearly);
            Some(format!(
                "column {name:?} is text: {misfits} (--type {name}={nearly} reads it so; what does not fit is rejected)"
            ))
        })
        .collect()
}

fn asked_type(name: &str, options: &ImportOptions) -> Option<ColumnType> {
    options.types.iter().rev().find(|(column, _)| same(column, name)).map(|(_, kind)| *kind)
}

fn kind(
    name: &str,
    found: &Findings,
    options: &ImportOptions,
    existing: Option<&TableColumn>,
) -> Result<ColumnType, String> {
    let asked = asked_type(name, options);
    let Some(existing) = existing else {
        return Ok(asked.unwrap_or_else(|| found.found()));
    };
    let declared = &existing.declared;
    let Some(allowed) = readable_as(declared) else {
        return Ok(asked.unwrap_or_else(|| found.found()));
    };
    if let Some(asked) = asked {
        return allowed.contains(&asked).then_some(asked).ok_or_else(|| {
            format!(
                "the table declares it {declared}, so it cannot be read as {asked}; possible: {}",
                words(allowed)
            )
        });
    }
    // The first that fits; in a column of text that is text itself, so that nothing is rewritten unasked.
    allowed.iter().copied().find(|kind| found.fits(*kind)).ok_or_else(|| {
        format!(
            "the table declares it {declared}, but {} (--type {name}={} reads it so all the same; what does not fit is rejected)",
            found.misfits(allowed[0]),
            allowed[0]
        )
    })
}

/// How a column of an existing table may be read, the preferred way first; `None` means in any way.
fn readable_as(declared: &str) -> Option<&'static [ColumnType]> {
    let declared = declared.to_ascii_uppercase();
    let any = |words: &[&str]| words.iter().any(|word| declared.contains(word));
    if declared == "DATE" {
        Some(&[ColumnType::Date])
    } else if any(&["INT"]) {
        Some(&[ColumnType::Integer])
    } else if any(&["CHAR", "CLOB", "TEXT"]) {
        Some(&[ColumnType::Text, ColumnType::Date])
    } else if any(&["REAL", "FLOA", "DOUB", "NUMERIC", "DECIMAL", "MONEY"]) {
        Some(&[ColumnType::Real, ColumnType::Money])
    } else {
        None
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
    let named = |wanted: Option<&str>| {
        options.date_orders.iter().rev().find_map(|(column, order)| {
            let matches = match (column.as_deref(), wanted) {
                (Some(column), Some(name)) => same(column, name),
                (None, None) => true,
                _ => false,
            };
            matches.then_some(*order)
        })
    };
    if let Some(order) = named(Some(name)).or_else(|| named(None)) {
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
    let column = columns.iter().find(|column| match column.kind {
        ColumnType::Text | ColumnType::Integer => false,
        ColumnType::Date => matches!(
            classify(&column.name),
            Some(Class::Date | Class::MonthFirst | Class::DayFirst | Class::EitherFirst)
        ),
        ColumnType::Real | ColumnType::Money => {
            matches!(classify(&column.name), Some(Class::Real | Class::Money))
        }
    })?;
    Some(format!(
        "the first row must name the columns, but {:?} reads as a value of its column ({})",
        column.name, column.kind
    ))
}

fn words(kinds: &[ColumnType]) -> String {
    kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn list<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    names.into_iter().map(|name| format!("{:?}", name.as_ref())).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_names_each_column_once() {
        let names = |text: &'static str| header(text.split(','), false);
        assert_eq!(names("date, 门店ID,2019").unwrap(), ["date", "门店ID", "2019"]);
        let error = names("a,,A").unwrap_err().to_string();
        assert!(error.contains("column 2 has no name"), "{error}");
        assert!(error.contains("columns 1 and 3 are both named \"A\""), "{error}");
        assert!(names("2016-01-31,7,$5").is_err());
        assert!(names("a,b\u{0}").is_err());
    }

    #[test]
    fn declared_types_say_how_a_column_may_be_read() {
        assert_eq!(readable_as("bigint").unwrap(), [ColumnType::Integer]);
        assert_eq!(readable_as("VARCHAR(20)").unwrap()[0], ColumnType::Text);
        assert_eq!(readable_as("DECIMAL(10,2)").unwrap()[0], ColumnType::Real);
        assert_eq!(readable_as("Date").unwrap(), [ColumnType::Date]);
        assert!(readable_as("").is_none());
        assert!(readable_as("BLOB").is_none());
    }
}
