//! The names of the columns, and what was asked for by name.

use samovar_core::{Error, ErrorKind};

use super::ImportOptions;
use super::column::DecimalMark;
use super::dialect::Delimiter;
use super::find::{Class, classify};
use super::target::TableColumn;

/// The names of the columns, or what is wrong with the first row of the file. `quoted`: some name is
/// quoted, so its punctuation is meant.
pub(super) fn header<'a>(
    fields: impl Iterator<Item = &'a str>,
    quoted: bool,
    delimiter: Delimiter,
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
        && only.contains([',', ';', '\t'])
    {
        problems.push(format!(
            "fields are taken as separated by {delimiter}, and {only:?} holds none (--delimiter names another)"
        ));
    }
    let is_value = |name: &String| {
        classify(name, DecimalMark::Point)
            .is_some_and(|class| !matches!(class, Class::Word | Class::Code))
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

/// Checks what was asked for by name against the header.
pub(super) fn check_options(header: &[String], options: &ImportOptions) -> Result<(), Error> {
    let typed = options.types.iter().map(|(name, _)| name);
    let ordered = options.date_orders.iter().filter_map(|(name, _)| name.as_ref());
    let marked = options.decimal_marks.iter().filter_map(|(name, _)| name.as_ref());
    let unknown: Vec<&String> = typed
        .chain(ordered)
        .chain(marked)
        .filter(|name| !header.iter().any(|column| same(column, name)))
        .collect();
    if !unknown.is_empty() {
        return Err(unknown_columns(&unknown, header));
    }
    positions(header, &options.key)?;
    options.indexes.iter().try_for_each(|index| positions(header, index).map(|_| ()))
}

/// Where the columns of a key or an index are in the header.
pub(super) fn positions(header: &[String], names: &[String]) -> Result<Vec<usize>, Error> {
    let mut positions = Vec::new();
    for name in names {
        let position = header
            .iter()
            .position(|column| same(column, name))
            .ok_or_else(|| unknown_columns(&[name], header))?;
        if positions.contains(&position) {
            let message = format!("a key or an index names the column {name:?} twice");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        positions.push(position);
    }
    Ok(positions)
}

fn unknown_columns(names: &[&String], header: &[String]) -> Error {
    let message = format!("the file has no column {}; it has {}", list(names), list(header));
    Error::new(ErrorKind::Invalid, message)
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

/// Databases do not tell ASCII letters of different case apart in names.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// Names in a message.
pub(super) fn list<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    names.into_iter().map(|name| format!("{:?}", name.as_ref())).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_names_each_column_once() {
        let names = |text: &'static str| header(text.split(','), false, Delimiter::Comma);
        assert_eq!(names("date, 门店ID,2019").unwrap(), ["date", "门店ID", "2019"]);
        let error = names("a,,A").unwrap_err().to_string();
        assert!(error.contains("column 2 has no name"), "{error}");
        assert!(error.contains("columns 1 and 3 are both named \"A\""), "{error}");
        assert!(names("2016-01-31,7,$5").is_err());
        assert!(names("a,b\u{0}").is_err());
    }

    #[test]
    fn a_key_names_columns_of_the_file_once() {
        let header = ["a", "B"].map(str::to_owned);
        let at = |names: &[&str]| {
            positions(&header, &names.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(at(&["b", "a"]).unwrap(), [1, 0]);
        assert!(at(&["a", "c"]).unwrap_err().to_string().contains("no column \"c\""));
        assert!(at(&["a", "A"]).unwrap_err().to_string().contains("twice"));
    }
}
