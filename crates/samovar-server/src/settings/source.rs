//! Where the rows come from.

use std::path::{Path, PathBuf};
use std::time::Duration;

use samovar_source::PostgresOptions;
use samovar_source::rows::RowOptions;

use super::raw::{Reader, Table};

/// Where the rows come from.
///
/// ```
#[doc = include_str!("../example.txt")]
/// # let folder = shop()?;
/// # let settings = settings(&folder)?;
/// let source = &settings.source;
/// assert_eq!((&*source.query, source.connections), ("orders", 2));
/// assert!(source.replica_lag.is_zero(), "it reads what was committed");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SourceSettings {
    /// The database.
    pub place: Place,
    /// A SELECT, or the name of a table.
    pub query: String,
    /// Connections held.
    pub connections: usize,
    /// Rows to a batch.
    pub batch_size: usize,
    /// No query runs longer.
    pub timeout: Duration,
    /// After so long the database commits no write that was begun.
    pub write_deadline: Duration,
    /// How far what is read may be behind what was committed, as a replica is; zero if it is not.
    pub replica_lag: Duration,
    /// No query gives more rows.
    pub max_rows: u64,
    /// Background work keeps connections busy for so many seconds each second, on average; 1 is no bound.
    pub max_source_share: f64,
    /// A change of the database that an event follows within this time counts as announced.
    pub event_grace: Duration,
}

/// Which database.
///
/// ```
#[doc = include_str!("../example.txt")]
/// # use samovar_server::{Environment, Place, Settings};
/// # let folder = shop()?;
/// assert_eq!(settings(&folder)?.source.place, Place::Sqlite(folder.path().join("shop.db")));
/// let server = [
///     ("SAMOVAR_SOURCE__KIND", "postgres"),
///     ("SAMOVAR_SOURCE__URL", "postgres://db.example/shop"),
/// ];
/// let text = CONFIG.replace("path = 'shop.db'", "");
/// let settings = Settings::read(&text, folder.path(), &server.into_iter().collect())
///     .map_err(|problems| problems[0].to_string())?;
/// assert!(matches!(settings.source.place, Place::Postgres(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The file of a SQLite database; a relative path counts from the directory of the configuration.
    Sqlite(PathBuf),
    /// A PostgreSQL server and a database there.
    Postgres(PostgresOptions),
}

pub(super) fn source(reader: &mut Reader, mut table: Table, directory: &Path) -> SourceSettings {
    let kind = table.word(reader, "kind", "sqlite", &["sqlite", "postgres"]);
    let place = if kind == "postgres" {
        Place::Postgres(postgres(reader, &mut table, directory))
    } else {
        let path = table.needed(reader, "path", "the path of a SQLite database");
        // An environment may be there for other commands, too.
        table.pass_over(reader, "url");
        Place::Sqlite(directory.join(path))
    };
    let settings = SourceSettings {
        place,
        query: table.needed(reader, "query", "a SELECT, or the name of a table"),
        connections: table.number(reader, "connections", 2, 1..=64) as usize,
        batch_size: table.number(reader, "batch_size", 10_000, 1..=1_000_000) as usize,
        timeout: table.duration(reader, "timeout", Duration::from_secs(30)),
        write_deadline: table.duration(
            reader,
            "write_deadline",
            RowOptions::default().write_deadline,
        ),
        max_rows: table.number(reader, "max_rows", 1_000_000, 1..=i64::MAX) as u64,
        max_source_share: table.share(reader, "max_source_share", 0.5, 0.01..=1.0),
        replica_lag: table.window(reader, "replica_lag", Duration::ZERO),
        event_grace: table.duration(reader, "event_grace", Duration::from_secs(2)),
    };
    table.finish(reader);
    settings
}

fn postgres(reader: &mut Reader, table: &mut Table, directory: &Path) -> PostgresOptions {
    let form = "postgres://user:password@host:port/database?sslmode=require";
    let mut options = PostgresOptions::new(table.needed(reader, "url", form));
    options.ca_file = table.text(reader, "ca_file").map(|path| directory.join(path));
    // What is wrong is not quoted: it may be the password.
    if !options.url.is_empty() && options.place().is_none() {
        reader.problem(&table.path("url"), "an address of another form", form);
    }
    options
}
