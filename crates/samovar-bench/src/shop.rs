//! The data that are measured, and the engine over them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use samovar::Samovar;
use samovar_core::Day;
use samovar_demo::Shape;
use samovar_levels::{Engine, Selection, Stores};
use samovar_server::{Place, Settings};
use samovar_source::{PostgresOptions, Source};

use crate::Outcome;

/// The demo's configuration, so that what is measured is what a new user runs.
const CONFIG: &str = include_str!("../../../recipes/demo/samovar.toml");

/// Tells a child that the rows are read in PostgreSQL, and where.
pub(crate) const POSTGRES: &str = "SAMOVAR_BENCH_POSTGRES";

/// The demo's database at its default size, and room for data directories beside it.
pub(crate) struct Shop {
    directory: PathBuf,
    pub(crate) shape: Shape,
    /// The address of the PostgreSQL that has the rows too, if they are read there.
    pub(crate) postgres: Option<String>,
}

impl Shop {
    /// The shop of so many stores in a directory; nothing is looked at.
    pub(crate) fn at(directory: &Path, stores: u32) -> Shop {
        let (directory, postgres) = (directory.to_owned(), std::env::var(POSTGRES).ok());
        Shop { directory, shape: Shape { stores, ..Shape::default() }, postgres }
    }

    /// The same shop, read in PostgreSQL.
    pub(crate) fn in_postgres(&self, url: &str) -> Shop {
        let (directory, shape) = (self.directory.clone(), self.shape.clone());
        Shop { directory, shape, postgres: Some(url.to_owned()) }
    }

    /// The shop with its database made, unless an earlier run did.
    pub(crate) fn ready(stores: u32) -> Outcome<Shop> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench-data");
        let shop = Shop::at(&directory, stores);
        fs::create_dir_all(&shop.directory)?;
        let (database, away) = (shop.database(), shop.away());
        if away.exists() && !database.exists() {
            fs::rename(&away, &database)?; // a run was killed while it was moved away
        }
        if !samovar_demo::is_complete(&database, &shop.shape)? {
            eprintln!("making {} rows", shop.shape.rows());
            samovar_demo::generate(&database, &shop.shape, &|_| (), &AtomicBool::new(false))?;
        }
        Ok(shop)
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.directory.join(samovar_demo::file_name(&self.shape))
    }

    fn away(&self) -> PathBuf {
        self.directory.join("moved-away.sqlite")
    }

    /// Moves the database away for as long as the guard lives.
    pub(crate) fn move_away(&self) -> Outcome<MovedAway> {
        let moved = MovedAway { database: self.database(), away: self.away() };
        fs::rename(&moved.database, &moved.away)?;
        Ok(moved)
    }

    /// Where the sides of a comparison leave files for each other.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Bytes of the blocks that the data directory's files take.
    pub(crate) fn data_bytes(&self) -> Outcome<u64> {
        use std::os::unix::fs::MetadataExt;
        let mut bytes = 0;
        for file in fs::read_dir(self.data())? {
            // POSIX counts in blocks of 512 bytes, whatever the file system's own.
            bytes += file?.metadata()?.blocks() * 512;
        }
        Ok(bytes)
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Empties the data directory.
    pub(crate) fn empty_data(&self) -> Outcome<()> {
        match fs::remove_dir_all(self.data()) {
            Err(failed) if failed.kind() != std::io::ErrorKind::NotFound => Err(failed.into()),
            _ => Ok(()),
        }
    }

    /// The database as a source.
    pub(crate) fn source(&self, settings: &Settings) -> Outcome<Arc<dyn Source>> {
        let mut settings = settings.clone();
        settings.source.place = match &self.postgres {
            Some(url) => Place::Postgres(PostgresOptions::new(url)),
            None => Place::Sqlite(self.database()),
        };
        Ok(settings.open_source()?)
    }

    /// The demo's engine over its data directory and a source.
    pub(crate) async fn engine(
        &self,
        settings: &Settings,
        source: Arc<dyn Source>,
    ) -> Outcome<Engine> {
        let samovar = Samovar::open(samovar::Settings {
            data_dir: Some(self.data()),
            memory_max_bytes: settings.memory_max_bytes,
            disk_max_bytes: settings.disk_max_bytes,
            ..samovar::Settings::default()
        })
        .await?;
        Ok(settings.engine_over(samovar, source))
    }
}

/// The demo's settings.
pub(crate) fn settings() -> Outcome<Settings> {
    Settings::parse(CONFIG, Path::new(".")).map_err(|problems| {
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        told.join("; ").into()
    })
}

/// The first and the last day of the data.
pub(crate) fn dates() -> Outcome<(Day, Day)> {
    Ok((samovar_demo::FIRST_DAY.parse()?, samovar_demo::LAST_DAY.parse()?))
}

/// All stores over the last 28 days: what the page opens on.
pub(crate) fn opening_view() -> Outcome<Selection> {
    let (_, last) = dates()?;
    Ok(Selection { stores: Stores::All, from: last.plus(-27), to: last })
}

/// Brings the database back when dropped.
pub(crate) struct MovedAway {
    database: PathBuf,
    away: PathBuf,
}

impl Drop for MovedAway {
    fn drop(&mut self) {
        if let Err(failed) = fs::rename(&self.away, &self.database) {
            eprintln!("the database stays at {}: {failed}", self.away.display());
        }
    }
}
