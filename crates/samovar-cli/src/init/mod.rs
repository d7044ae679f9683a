//! `samovar init`: a configuration proposed from what a database says of itself.

mod propose;
mod words;
mod write;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PathBufValueParser, TypedValueParser};
use samovar_server::Settings;
use samovar_source::catalog::Explorer;
use samovar_source::import::Database;

use crate::host::Failure;
use crate::out::say;
use propose::{Advice, Proposal, Wishes, propose};
use write::Place;

/// Names the address of a PostgreSQL database, here as for `serve`.
const URL: &str = "SAMOVAR_SOURCE_URL";

/// Propose a configuration from a database's schema, and say what would help there.
///
/// Looks at tables, columns, keys, indexes and a sample of the rows; chooses the table of the sales, store, date,
/// product and measures; and writes a configuration that `serve` takes as it is, each choice with its reason in a
/// comment. Nothing is changed in the database: statements that would help (indexes, statistics, partitions) are
/// printed, and stand in comments at the end of the file.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InitArgs {
    /// The SQLite database, or a PostgreSQL database as
    /// postgres://user:password@host:port/database?sslmode=require
    #[arg(long, value_name = "URL|PATH", env = URL, hide_env_values = true,
          value_parser = PathBufValueParser::new().map(Database::from))]
    database: Database,
    /// The table with a row for each line, instead of the one that seems likeliest; also SCHEMA.TABLE
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
    /// The column that tells stores apart, of the table or of one that it refers to; also TABLE.COLUMN
    #[arg(long, value_name = "COLUMN")]
    store: Option<String>,
    /// The column of the day or time, likewise
    #[arg(long, value_name = "COLUMN")]
    date: Option<String>,
    /// Where the configuration goes; - is standard output, with nothing else on it
    #[arg(long, value_name = "FILE", default_value = "samovar.toml")]
    output: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
}

const EXAMPLES: &str = "Examples:
  samovar init --database shop.db
  samovar init --database postgres://reader@db.example/shop --output shop.toml
  samovar init --database shop.db --table receipts --date printed_at --output -
  SAMOVAR_SOURCE_URL=postgres://reader:secret@db.example/shop samovar init   # no password in the file";

pub(crate) fn init(args: &InitArgs) -> Result<(), Failure> {
    let to_stdout = args.output.as_os_str() == "-";
    // Before anything is looked at; that nobody made it meanwhile is seen to when it is written.
    if !to_stdout && !args.force && args.output.exists() {
        return Err(taken(&args.output));
    }
    let wishes =
        Wishes { table: args.table.clone(), store: args.store.clone(), date: args.date.clone() };
    let mut explorer = Explorer::open(&args.database)?;
    let catalog = explorer.catalog()?;
    let proposal = propose(&catalog, &wishes, &mut explorer)?;
    drop(explorer);
    let directory = match args.output.parent() {
        Some(directory) if !to_stdout && !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    let (place, from) = place(&args.database, directory)?;
    let text = write::configuration(&proposal, &place, &from);
    check(&text, directory)?;
    if to_stdout {
        return say(text.trim_end());
    }
    let is_secret = matches!(place, Place::Url { holds_password: true, .. });
    save(&args.output, &text, is_secret, args.force)?;
    summary(args, &proposal)
}

/// Where the rows are, for the configuration in a directory and for people.
fn place(database: &Database, directory: &Path) -> Result<(Place, String), Failure> {
    match database {
        Database::Sqlite(path) => {
            let shown = path.display().to_string();
            let name = path.file_name().map_or(shown, |name| name.to_string_lossy().into_owned());
            Ok((Place::Path(relative(path, directory)?), name))
        }
        Database::Postgres(options) => {
            let place = match std::env::var(URL) {
                Ok(url) if url == options.url => Place::Environment,
                _ => Place::Url {
                    url: options.url.clone(),
                    holds_password: options.holds_password(),
                },
            };
            Ok((place, options.place().unwrap_or_default()))
        }
    }
}

/// A path as the configuration has it, which counts from its own directory: as it was given if that is the current
/// one, else the rest of it below that directory, else the whole of it.
fn relative(path: &Path, directory: &Path) -> Result<String, Failure> {
    let told = |path: &Path| {
        path.to_str().map(str::to_owned).ok_or_else(|| {
            Failure(format!(
                "{} is no text that a configuration can hold: rename it",
                path.display()
            ))
        })
    };
    if directory == Path::new(".") {
        return told(path);
    }
    let whole = |path: &Path| {
        let wrong = |failed| Failure(format!("cannot find {}: {failed}", path.display()));
        path.canonicalize().map_err(wrong)
    };
    let (path, directory) = (whole(path)?, whole(directory)?);
    told(path.strip_prefix(&directory).unwrap_or(&path))
}

/// Makes sure that `serve` will take the configuration: by reading it as `serve` does, and asking the database for its
/// columns.
fn check(text: &str, directory: &Path) -> Result<(), Failure> {
    let settings = Settings::parse(text, directory).map_err(|problems| {
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure(format!(
            "what init proposes is no configuration; this is a bug: {}",
            told.join("; ")
        ))
    })?;
    let opened = settings.open_source();
    opened.map(drop).map_err(|wrong| {
        Failure(format!(
            "what init proposes cannot be served: {wrong}. Choose with --table, --store and --date"
        ))
    })
}

fn taken(path: &Path) -> Failure {
    Failure(format!(
        "{} is there already: --force replaces it, --output names another",
        path.display()
    ))
}

/// Writes the file, for its owner alone if it holds a secret. One that is replaced is never half of each.
fn save(path: &Path, text: &str, is_secret: bool, force: bool) -> Result<(), Failure> {
    let wrong = |failed: std::io::Error| match failed.kind() {
        std::io::ErrorKind::AlreadyExists if !force => taken(path),
        _ => Failure(format!("cannot write {}: {failed}", path.display())),
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = if force { path.with_file_name(name) } else { path.to_owned() };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if is_secret {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    let mut file = options.open(&new).map_err(wrong)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let placed = written.and_then(|()| if force { std::fs::rename(&new, path) } else { Ok(()) });
    placed.map_err(|failed| {
        // Ours alone until now.
        let _ = std::fs::remove_file(&new);
        wrong(failed)
    })
}

/// What was proposed, and what would help.
fn summary(args: &InitArgs, proposal: &Proposal) -> Result<(), Failure> {
    let output = args.output.display();
    let told = |setting: &Option<propose::Setting>| setting.as_ref().map(|it| it.value.clone());
    say(&format!("{output}: dataset {}", proposal.name))?;
    let query = if proposal.query.contains('\n') {
        "a query with its reasons in the file"
    } else {
        &proposal.query
    };
    let rows = [
        ("lines", Some(query.to_owned())),
        ("store", Some(proposal.store_id.value.clone())),
        ("date", Some(proposal.date.value.clone())),
        ("product", told(&proposal.product)),
        ("category", told(&proposal.category)),
    ];
    for (what, value) in rows {
        say(&format!("  {what:9} {}", value.as_deref().unwrap_or("none")))?;
    }
    let names = |proposed: bool| -> Vec<&str> {
        let of = proposal.measures.iter().filter(|(measure, _)| measure.proposed == proposed);
        of.map(|(measure, _)| &*measure.name).collect()
    };
    say(&format!("  measures  {}", names(true).join(", ")))?;
    if !names(false).is_empty() {
        say(&format!("            offered as comments: {}", names(false).join(", ")))?;
    }
    for note in &proposal.notes {
        say(&format!("note: {note}"))?;
    }
    if !proposal.advice.is_empty() {
        say("\nWhat would help at the database; nothing was changed there:")?;
        for Advice { why, statement } in &proposal.advice {
            say(&format!("-- {why}\n{statement}"))?;
        }
    }
    say(&format!("\nLook it over, then: samovar serve --config {output}"))
}
