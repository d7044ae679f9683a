//! `samovar import`: a CSV file into a table.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use samovar_core::{Clock, ErrorKind, SystemClock};
use samovar_source::import::{
    ColumnType, DateOrder, ImportOptions, ImportPhase, ImportProgress, ImportReport, import_csv,
};
use serde::Serialize;

/// The command could not do what was asked for.
const FAILED: u8 = 1;
/// The command was asked for something that cannot be.
const USAGE: u8 = 2;

/// Import a CSV file into a table of a SQLite database, all or nothing.
///
/// The first row names the columns. Their types are found from all values of the file; empty fields
/// become NULL. If the table exists the rows are appended, and its columns must be those of the file.
/// Rows that cannot be read go to a file of rejects, with their line and the reason.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// The file: CSV in UTF-8, plain or compressed by zstd (.csv, .csv.zst)
    file: PathBuf,
    /// The SQLite database; made if there is none
    #[arg(long, value_name = "PATH")]
    database: PathBuf,
    /// The table; made if there is none, else appended to
    #[arg(long, value_name = "NAME")]
    table: String,
    /// What a column is: integer, real, text, date or money (repeatable)
    #[arg(long = "type", value_name = "COLUMN=TYPE", value_parser = named::<ColumnType>)]
    types: Vec<(String, ColumnType)>,
    /// How 01/02/2016 is read, mdy or dmy, in one column or in all (repeatable); needed where no
    /// date of a column shows it
    #[arg(long = "date-order", value_name = "[COLUMN=]ORDER", value_parser = maybe_named::<DateOrder>)]
    date_orders: Vec<(Option<String>, DateOrder)>,
    /// Where rejected rows go [default: FILE.rejects.csv beside the database]
    #[arg(long, value_name = "PATH")]
    rejects: Option<PathBuf>,
    /// More rejected rows than this stop the import and leave the table as it was
    #[arg(long, value_name = "N", default_value_t = ImportOptions::DEFAULT_MAX_REJECTS)]
    max_rejects: u64,
    /// Print the final report as one line of JSON
    #[arg(long)]
    json: bool,
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

/// Runs the import and tells how it went: 0 done, 1 failed, 2 asked for what cannot be.
pub(crate) fn run(args: ImportArgs) -> ExitCode {
    let ImportArgs { file, database, table, types, date_orders, rejects, max_rejects, json } = args;
    let mut options = ImportOptions::new(file, database, table);
    options.types = types;
    options.date_orders = date_orders;
    options.rejects = rejects;
    options.max_rejects = max_rejects;

    let clock = SystemClock::new();
    let bar = Bar::new();
    let outcome = import_csv(&options, &mut |progress| bar.show(progress));
    bar.0.finish_and_clear();
    match outcome {
        Ok(report) => {
            for note in &report.notes {
                eprintln!("note: {note}");
            }
            // The rows are in the table; that nobody reads the report does not make it a failure, which a
            // script would answer by importing them again.
            let _ = print(&options, &report, clock.elapsed(), json);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(if error.kind() == ErrorKind::Invalid { USAGE } else { FAILED })
        }
    }
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
    rows: u64,
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

fn print(
    options: &ImportOptions,
    report: &ImportReport,
    elapsed: Duration,
    json: bool,
) -> io::Result<()> {
    let seconds = elapsed.as_secs_f64();
    let rows_per_second = report.rows as f64 / seconds.max(f64::EPSILON);
    let mut out = io::stdout().lock();
    if json {
        let line = JsonReport {
            table: &options.table,
            created: report.created,
            rows: report.rows,
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
        };
        serde_json::to_writer(&mut out, &line)?;
        return writeln!(out);
    }
    let columns: Vec<String> =
        report.columns.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
    writeln!(
        out,
        "{} table {}: {}",
        if report.created { "new" } else { "existing" },
        options.table,
        columns.join(", ")
    )?;
    let rejects = report
        .rejects
        .as_ref()
        .map_or_else(String::new, |path| format!(" (see {})", path.display()));
    writeln!(
        out,
        "{} rows imported, {} rejected{rejects}, {seconds:.1} s, {} rows/s",
        HumanCount(report.rows),
        HumanCount(report.rejected),
        HumanCount(rows_per_second as u64)
    )
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
