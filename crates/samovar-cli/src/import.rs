//! `samovar import`: a CSV file into a table.

use std::convert::Infallible;
use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PathBufValueParser, TypedValueParser};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use samovar_core::{Clock, Error, ErrorKind, SystemClock};
use samovar_source::import::{
    ColumnType, Database, DateOrder, DecimalMark, Delimiter, Encoding, ImportOptions, ImportPhase,
    ImportPreview, ImportProgress, ImportReport, import_csv, preview_csv,
};
use serde::Serialize;

use crate::host::Failure;
use crate::out::{note, say};

/// The command could not do what was asked for.
const FAILED: u8 = 1;
/// The command was asked for something that cannot be.
const USAGE: u8 = 2;

/// Import a CSV file into a table of a SQLite or PostgreSQL database, all or nothing.
///
/// The first row names the columns. Encoding, delimiter and types are found from the file, the types
/// from all its values; what it leaves in doubt is asked for, not guessed. Empty fields become NULL. If
/// the table exists the rows are appended, and its columns must be those of the file. Rows that cannot be
/// read go to a file of rejects, with their line and the reason.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// The file, plain or compressed by gzip or zstd (.csv, .csv.gz, .csv.zst); - is standard input, which
    /// is copied to a temporary file because it is read twice
    file: PathBuf,
    /// The SQLite database, made if there is none; or a PostgreSQL database that is there, as
    /// postgres://user:password@host:port/database?sslmode=require
    #[arg(long, value_name = "PATH|URL", value_parser = PathBufValueParser::new().map(Database::from))]
    database: Database,
    /// For PostgreSQL: a file of certificates (PEM), the authorities to trust instead of the system's. The server's
    /// certificate is then verified with sslmode=prefer, too
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The table; made if there is none, else appended to. For PostgreSQL also SCHEMA.TABLE
    #[arg(long, value_name = "NAME")]
    table: String,
    /// Say what would be done, why, and with what values, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// The columns that tell one row from any other: rows that are there already are counted and not
    /// written again, so a second import of a file adds nothing. Same key, other values: a reject
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    key: Vec<String>,
    /// Make an index over these columns at the end, if there is none (repeatable)
    #[arg(long = "index", value_name = "COLUMN,…", value_parser = columns)]
    indexes: Vec<ColumnList>,
    /// What a column is: integer, real, text, date or money (repeatable)
    #[arg(long = "type", value_name = "COLUMN=TYPE", value_parser = named::<ColumnType>)]
    types: Vec<(String, ColumnType)>,
    /// How 01/02/2016 is read, mdy or dmy, in one column or in all (repeatable); needed where no
    /// date of a column shows it
    #[arg(long = "date-order", value_name = "[COLUMN=]ORDER", value_parser = maybe_named::<DateOrder>)]
    date_orders: Vec<(Option<String>, DateOrder)>,
    /// How 1.234 is read, point or comma, in one column or in all (repeatable); needed where no number of a
    /// column shows it. Point if fields are separated by commas
    #[arg(long = "decimal", value_name = "[COLUMN=]MARK", value_parser = maybe_named::<DecimalMark>)]
    decimal_marks: Vec<(Option<String>, DecimalMark)>,
    /// How the text is encoded: utf-8, gb18030 (also GBK and GB2312), utf-16le or utf-16be [default: found]
    #[arg(long, value_name = "NAME", value_parser = value::<Encoding>)]
    encoding: Option<Encoding>,
    /// What separates fields: comma, semicolon or tab [default: found]
    #[arg(long, value_name = "NAME", value_parser = value::<Delimiter>)]
    delimiter: Option<Delimiter>,
    /// Where rejected rows go [default: FILE.rejects.csv beside the database; for PostgreSQL
    /// TABLE.rejects.csv in the current folder]
    #[arg(long, value_name = "PATH")]
    rejects: Option<PathBuf>,
    /// More rejected rows than this stop the import and leave the table as it was
    #[arg(long, value_name = "N", default_value_t = ImportOptions::DEFAULT_MAX_REJECTS)]
    max_rejects: u64,
    /// Print the final report as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Columns of one index.
#[derive(Clone, Debug)]
struct ColumnList(Vec<String>);

fn columns(argument: &str) -> Result<ColumnList, Infallible> {
    Ok(ColumnList(argument.split(',').map(|name| name.trim().to_owned()).collect()))
}

/// `NAME=VALUE`, split at the last `=`: names may hold one.
fn named<T: FromStr<Err: Display>>(argument: &str) -> Result<(String, T), String> {
    let missing = || "write COLUMN=TYPE".to_owned();
    let (name, word) = argument.rsplit_once('=').ok_or_else(missing)?;
    Ok((name.to_owned(), value(word)?))
}

fn maybe_named<T: FromStr<Err: Display>>(argument: &str) -> Result<(Option<String>, T), String> {
    match argument.rsplit_once('=') {
        Some((name, word)) => Ok((Some(name.to_owned()), value(word)?)),
        None => Ok((None, value(argument)?)),
    }
}

fn value<T: FromStr<Err: Display>>(word: &str) -> Result<T, String> {
    word.parse().map_err(|error: T::Err| error.to_string())
}

impl ImportArgs {
    fn options(self) -> Result<ImportOptions, Error> {
        let mut database = self.database;
        match (&mut database, self.ca_file) {
            (Database::Postgres(server), ca_file) => server.ca_file = ca_file,
            (Database::Sqlite(_), None) => {}
            (Database::Sqlite(_), Some(_)) => {
                let message = "--ca-file is for PostgreSQL (--database postgres://…); a SQLite file needs none";
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
        Ok(ImportOptions {
            encoding: self.encoding,
            delimiter: self.delimiter,
            types: self.types,
            date_orders: self.date_orders,
            decimal_marks: self.decimal_marks,
            key: self.key.iter().map(|name| name.trim().to_owned()).collect(),
            indexes: self.indexes.into_iter().map(|ColumnList(names)| names).collect(),
            rejects: self.rejects,
            max_rejects: self.max_rejects,
            database,
            ..ImportOptions::new(self.file, PathBuf::new(), self.table)
        })
    }
}

/// Runs the import and tells how it went: 0 done, 1 failed, 2 asked for what cannot be.
pub(crate) fn run(args: ImportArgs) -> ExitCode {
    let (dry_run, json) = (args.dry_run, args.json);
    let options = match args.options() {
        Ok(options) => options,
        Err(error) => return failure(&error),
    };
    let clock = SystemClock::new();
    let bar = Bar::new();
    if dry_run {
        let outcome = preview_csv(&options, &mut |progress| bar.show(progress));
        bar.0.finish_and_clear();
        return match outcome {
            Ok(preview) => {
                let said = preview_told(&options, &preview, json).and_then(|told| say(&told));
                let problem = said.err().map(|Failure(why)| why).or(preview.problem);
                problem.map_or(ExitCode::SUCCESS, |problem| ended(FAILED, problem))
            }
            Err(error) => failure(&error),
        };
    }
    let outcome = import_csv(&options, &mut |progress| bar.show(progress));
    bar.0.finish_and_clear();
    match outcome {
        Ok(report) => {
            for told in &report.notes {
                note(format_args!("note: {told}"));
            }
            // The rows are in the table; that there is no room for the report does not make it a failure, which a
            // script would answer by importing them again.
            let _ =
                report_told(&options, &report, clock.elapsed(), json).and_then(|told| say(&told));
            ExitCode::SUCCESS
        }
        Err(error) => failure(&error),
    }
}

fn failure(error: &Error) -> ExitCode {
    ended(if error.kind() == ErrorKind::Invalid { USAGE } else { FAILED }, error)
}

fn ended(code: u8, why: impl Display) -> ExitCode {
    note(format_args!("error: {why}"));
    ExitCode::from(code)
}

/// The progress bar, on standard error; not drawn where that is no terminal.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Bar {
        let style = ProgressStyle::with_template(
            "{msg} {wide_bar} {bytes}/{total_bytes} {prefix} rows, {eta} left",
        );
        let bar = ProgressBar::new(0);
        // A template that does not parse costs the looks of the bar, not the import.
        Bar(style.map_or(bar.clone(), |style| bar.with_style(style)))
    }

    fn show(&self, progress: ImportProgress) {
        let bar = &self.0;
        if progress.bytes < bar.position() {
            bar.reset();
        }
        bar.set_length(progress.total_bytes);
        bar.set_prefix(HumanCount(progress.rows).to_string());
        bar.set_message(match progress.phase {
            ImportPhase::Copying => "copying",
            ImportPhase::FindingTypes => "finding types",
            ImportPhase::Writing => "writing",
        });
        bar.set_position(progress.bytes);
    }
}

#[derive(Serialize)]
struct JsonReport<'a> {
    table: &'a str,
    created: bool,
    encoding: String,
    delimiter: String,
    rows: u64,
    already_there: u64,
    rejected: u64,
    rejects: Option<String>,
    seconds: f64,
    rows_per_second: f64,
    columns: Vec<JsonColumn<'a>>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct JsonColumn<'a> {
    name: &'a str,
    r#type: String,
}

fn report_told(
    options: &ImportOptions,
    report: &ImportReport,
    elapsed: Duration,
    json: bool,
) -> Result<String, Failure> {
    let seconds = elapsed.as_secs_f64();
    let rows_per_second = report.rows as f64 / seconds.max(f64::EPSILON);
    if json {
        return Ok(serde_json::to_string(&JsonReport {
            table: &options.table,
            created: report.created,
            encoding: report.encoding.to_string(),
            delimiter: report.delimiter.to_string(),
            rows: report.rows,
            already_there: report.already_there,
            rejected: report.rejected,
            rejects: report.rejects.as_ref().map(|path| path.display().to_string()),
            seconds,
            rows_per_second,
            columns: report
                .columns
                .iter()
                .map(|(name, kind)| JsonColumn { name, r#type: kind.to_string() })
                .collect(),
            notes: &report.notes,
        })?);
    }
    let mut lines = Vec::new();
    if (report.encoding, report.delimiter) != (Encoding::Utf8, Delimiter::Comma) {
        let ImportReport { encoding, delimiter, .. } = report;
        lines.push(format!("read as {encoding}, fields separated by {delimiter}"));
    }
    let columns: Vec<String> =
        report.columns.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
    lines.push(format!(
        "{} table {}: {}",
        if report.created { "new" } else { "existing" },
        options.table,
        columns.join(", ")
    ));
    let rejects = report
        .rejects
        .as_ref()
        .map_or_else(String::new, |path| format!(" (see {})", path.display()));
    let already_there = if options.key.is_empty() {
        String::new()
    } else {
        format!(" {} already there,", HumanCount(report.already_there))
    };
    lines.push(format!(
        "{} rows imported,{already_there} {} rejected{rejects}, {seconds:.1} s, {} rows/s",
        HumanCount(report.rows),
        HumanCount(report.rejected),
        HumanCount(rows_per_second as u64)
    ));
    Ok(lines.join("\n"))
}

#[derive(Serialize)]
struct JsonPreview<'a> {
    table: &'a str,
    creates: bool,
    encoding: String,
    delimiter: String,
    rows: u64,
    rejected: u64,
    first_rejects: &'a [String],
    columns: Vec<JsonColumnPreview<'a>>,
    problem: &'a Option<String>,
}

#[derive(Serialize)]
struct JsonColumnPreview<'a> {
    name: &'a str,
    r#type: Option<String>,
    declared: Option<&'a str>,
    why: &'a str,
    examples: &'a [String],
}

fn preview_told(
    options: &ImportOptions,
    preview: &ImportPreview,
    json: bool,
) -> Result<String, Failure> {
    if json {
        let columns = preview.columns.iter().map(|column| JsonColumnPreview {
            name: &column.name,
            r#type: column.kind.map(|kind| kind.to_string()),
            declared: column.declared.as_deref(),
            why: &column.why,
            examples: &column.examples,
        });
        return Ok(serde_json::to_string(&JsonPreview {
            table: &options.table,
            creates: preview.creates,
            encoding: preview.encoding.to_string(),
            delimiter: preview.delimiter.to_string(),
            rows: preview.rows,
            rejected: preview.rejected,
            first_rejects: &preview.first_rejects,
            columns: columns.collect(),
            problem: &preview.problem,
        })?);
    }
    let mut lines = vec![format!(
        "encoding {}, fields separated by {}, {} rows looked at, {} of them no rows",
        preview.encoding,
        preview.delimiter,
        HumanCount(preview.rows),
        HumanCount(preview.rejected)
    )];
    lines.extend(preview.first_rejects.iter().map(|reject| format!("  {reject}")));
    let new = if preview.creates { "new" } else { "existing" };
    lines.push(format!("{new} table {}:", options.table));
    for column in &preview.columns {
        let kind = column.kind.map_or_else(|| "?".to_owned(), |kind| kind.to_string());
        // A table that is there says in its reasons what it declares.
        let declared = column.declared.as_deref().filter(|_| preview.creates);
        let declared = declared.map_or_else(String::new, |it| format!(", declared as {it}"));
        lines.push(format!("  {}: {kind} ({}){declared}", column.name, column.why));
        if !column.examples.is_empty() {
            lines.push(format!("    such as {}", column.examples.join(" | ")));
        }
    }
    lines.push("nothing was written (--dry-run)".into());
    Ok(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_may_have_an_equals_sign_in_its_name() {
        assert_eq!(named("a=b=money"), Ok(("a=b".to_owned(), ColumnType::Money)));
        assert_eq!(maybe_named("dmy"), Ok((None, DateOrder::DayFirst)));
        assert_eq!(maybe_named("日期=mdy"), Ok((Some("日期".to_owned()), DateOrder::MonthFirst)));
        assert!(named::<ColumnType>("money").is_err_and(|error| error.contains("COLUMN=TYPE")));
        assert!(named::<ColumnType>("a=cash").is_err_and(|error| error.contains("integer, real")));
    }
}
