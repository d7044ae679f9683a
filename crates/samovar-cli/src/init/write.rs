//! A proposal as the text of a configuration: every choice with its reason beside it.

use std::fmt::Write as _;

use super::propose::{Advice, How, Measure, Proposal, Setting};

/// Comments are wrapped at so many characters.
const WIDTH: usize = 100;

/// Where the rows are, as the configuration names it.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// The path of a SQLite database.
    Path(String),
    /// The address of a PostgreSQL database.
    Url { url: String, holds_password: bool },
    /// The address is in the environment, where it is to stay.
    Environment,
}

/// The configuration.
pub(crate) fn configuration(proposal: &Proposal, place: &Place, from: &str) -> String {
    let mut text = String::new();
    let out = &mut text;
    comment(
        out,
        &format!(
            "Proposed by `samovar init` from {from}. Every choice has its reason beside it; change what is wrong."
        ),
    );
    line(out, "");
    comment(out, "What is kept on disk, counted from the folder of this file:");
    line(out, "data = \"samovar-data\"");
    line(out, "");
    source(out, proposal, place);
    dataset(out, proposal);
    for (measure, column) in &proposal.measures {
        line(out, "");
        self::measure(out, measure, column.as_deref());
    }
    line(out, "");
    comment(
        out,
        "margin follows from profit and sales, average_order_value from sales and orders, without being asked for.",
    );
    if !proposal.notes.is_empty() {
        line(out, "");
        comment(out, "Worth knowing:");
        proposal.notes.iter().for_each(|note| bullet(out, note));
    }
    if !proposal.advice.is_empty() {
        line(out, "");
        comment(out, "What would help at the database (`samovar init` has changed nothing there):");
        for Advice { why, statement } in &proposal.advice {
            bullet(out, why);
            statement.lines().for_each(|statement| line(out, &format!("#     {statement}")));
        }
    }
    text
}

fn source(out: &mut String, proposal: &Proposal, place: &Place) {
    line(out, "[source]");
    match place {
        Place::Path(path) => {
            line(out, "kind = \"sqlite\"");
            line(out, &format!("path = {}", quoted(path)));
        }
        Place::Url { url, holds_password } => {
            line(out, "kind = \"postgres\"");
            if *holds_password {
                comment(
                    out,
                    "This address holds a password, so the file is for its owner's eyes alone. Better: remove the line, and set SAMOVAR_SOURCE_URL when serving.",
                );
            } else {
                comment(
                    out,
                    "SAMOVAR_SOURCE_URL wins over this, so that no password need stand in a file.",
                );
            }
            line(out, &format!("url = {}", quoted(url)));
        }
        Place::Environment => {
            line(out, "kind = \"postgres\"");
            comment(
                out,
                "The address is that of SAMOVAR_SOURCE_URL, which must be set when serving, too.",
            );
        }
    }
    proposal.query_why.iter().for_each(|why| comment(out, why));
    line(out, &format!("query = {}", multi_line(&proposal.query)));
    if let Some(timeout) = &proposal.timeout {
        setting(out, "timeout", timeout);
    }
    line(out, "");
}

fn dataset(out: &mut String, proposal: &Proposal) {
    line(out, "[dataset]");
    comment(out, &format!("Its event is {}_changed.", proposal.name));
    line(out, &format!("name = {}", quoted(&proposal.name)));
    setting(out, "store_id", &proposal.store_id);
    maybe(
        out,
        "store_name",
        proposal.store_name.as_ref(),
        "no column names the stores, so they go by their ids",
    );
    setting(out, "date", &proposal.date);
    if let Some(kind) = proposal.date_kind {
        line(out, &format!("date_kind = {}", quoted(kind)));
    }
    if let Some(zone) = &proposal.time_zone {
        setting(out, "time_zone", zone);
    }
    maybe(
        out,
        "product",
        proposal.product.as_ref(),
        "no column tells what was sold, so products are not offered",
    );
    if proposal.product.is_some() {
        maybe(
            out,
            "category",
            proposal.category.as_ref(),
            "no column tells what kind of product it is",
        );
    }
    setting(out, "currency", &proposal.currency);
}

fn setting(out: &mut String, field: &str, setting: &Setting) {
    setting.why.iter().for_each(|why| comment(out, why));
    line(out, &format!("{field} = {}", quoted(&setting.value)));
}

/// A setting, or why there is none.
fn maybe(out: &mut String, field: &str, value: Option<&Setting>, why_not: &str) {
    match value {
        Some(value) => setting(out, field, value),
        None => comment(out, &format!("{field}: {why_not}")),
    }
}

fn measure(out: &mut String, measure: &Measure, column: Option<&str>) {
    let mut own = String::new();
    let text = &mut own;
    line(text, "[[measure]]");
    line(text, &format!("name = {}", quoted(&measure.name)));
    let column = quoted(column.unwrap_or("lines"));
    line(
        text,
        &match &measure.how {
            How::Lines => format!("count = {column}"),
            How::Sum(_) => format!("sum = {column}"),
            How::Mean(_) => format!("mean = {column}"),
            How::P95(_) => format!("quantile = {column}\nq = 0.95"),
            How::Distinct(_, orders) if orders.within() => {
                format!("distinct = {column}\nunique_within = \"partition\"")
            }
            How::Distinct(..) => format!("distinct = {column}"),
        },
    );
    if let Some(unit) = measure.unit {
        line(text, &format!("unit = {}", quoted(unit)));
    }
    if let Some(decimals) = measure.decimals {
        line(text, &format!("decimals = {decimals}"));
    }
    if measure.down {
        line(text, "better = \"down\"");
    }
    measure.why.iter().for_each(|why| comment(out, why));
    if measure.proposed {
        out.push_str(&own);
    } else {
        own.lines().for_each(|text| line(out, &format!("#{text}")));
    }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// A comment, wrapped. What came from the database cannot end it.
pub(crate) fn comment(out: &mut String, text: &str) {
    wrapped(out, text, "# ", "# ");
}

fn bullet(out: &mut String, text: &str) {
    wrapped(out, text, "# - ", "#   ");
}

/// Wraps a text; blanks that it begins with are kept.
fn wrapped(out: &mut String, text: &str, first: &str, other: &str) {
    let text = text.replace(|c: char| c.is_control(), " ");
    let indent = &text[..text.len() - text.trim_start().len()];
    let (mut begin, mut length) = (format!("{first}{indent}"), 0);
    for word in text.split_whitespace() {
        let width = word.chars().count();
        if length > 0 && length + 1 + width > WIDTH {
            out.push('\n');
            (begin, length) = (format!("{other}{indent}"), 0);
        }
        if length == 0 {
            out.push_str(&begin);
        } else {
            out.push(' ');
        }
        out.push_str(word);
        length += width + 1;
    }
    out.push('\n');
}

/// A text of TOML, on one line.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            // Writing to a String does not fail.
            c if c.is_control() => drop(write!(quoted, "\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// A text of TOML, on several lines where it has several.
fn multi_line(text: &str) -> String {
    let simple = !text.contains("'''") && text.chars().all(|c| c == '\n' || !c.is_control());
    if text.contains('\n') && simple && !text.ends_with('\'') {
        return format!("'''\n{text}\n'''");
    }
    quoted(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_survive_toml() {
        for text in [
            "plain",
            "say \"hi\"",
            "back\\slash",
            "门店",
            "tab\tand\u{7f}",
            "two\nlines",
            "'''\n''",
            "a\n'b'",
        ] {
            for written in [quoted(text), multi_line(text)] {
                let settings = format!("[source]\npath = \"x\"\nquery = {written}\n");
                let problems =
                    samovar_server::Settings::parse(&settings, "/".as_ref()).unwrap_err();
                assert!(
                    !problems.iter().any(|problem| problem.field.contains("query")),
                    "{written}: {problems:?}"
                );
                assert!(
                    !problems.iter().any(|problem| problem.field == "the file"),
                    "{written}: {problems:?}"
                );
            }
        }
    }

    #[test]
    fn comments_are_wrapped_and_stay_comments() {
        let mut out = String::new();
        comment(&mut out, &format!("  evil\nname = 1 {}", "word ".repeat(30)));
        assert!(
            out.lines().count() == 2
                && out.lines().all(|line| line.starts_with("#   ") && line.len() < 110),
            "{out}"
        );
    }
}
