//! From a configuration to the engine that it describes.

use std::sync::Arc;

use samovar::Samovar;
use samovar_levels::{BLOCK_ROWS, Column, Dataset, Engine, fingerprint};
use samovar_source::rows::RowOptions;
use samovar_source::{
    ColumnKind, Limits, PostgresSource, Source, SourceColumn, SourceError, SourceErrorKind,
    SqliteSource,
};

use super::awaited::Awaited;
use super::{Place, Settings};
use crate::caches::{Backing, Caches, Database, RowWriter};

impl Settings {
    /// What the tiers are opened with, but for the log that is shared where there is a Redis.
    ///
    /// ```
    #[doc = include_str!("../example.txt")]
    /// # let folder = shop()?;
    /// # let settings = settings(&folder)?;
    /// let tiers = settings.tiers();
    /// assert_eq!(tiers.data_dir, Some(folder.path().join("samovar-data")));
    /// assert_eq!(tiers.memory_max_bytes, samovar_server::MEMORY_MAX_BYTES);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tiers(&self) -> samovar::Settings {
        samovar::Settings {
            data_dir: Some(self.data.clone()),
            memory_max_bytes: self.memory_max_bytes,
            disk_max_bytes: self.disk_max_bytes,
            journal_max_bytes: self.journal.max_bytes,
            letters_max_bytes: self.journal.letters_max_bytes,
            redis: self.redis.clone(),
            replica_lag: self.source.replica_lag,
            log_patience: self.log.patience,
            max_blind: self.log.max_blind,
            serve_while_away: self.log.serve_while_away,
            ..samovar::Settings::default()
        }
    }

    /// The engine over the configured source, with its levels in `samovar`. Needs a tokio runtime around it.
    ///
    /// A source that cannot be reached is told to `away` and awaited: what was kept answers until it is back,
    /// and without anything kept warming up fails.
    ///
    /// # Errors
    /// If the source lacks the query or a column that the configuration names.
    ///
    /// ```
    #[doc = include_str!("../example.txt")]
    /// # use samovar::Samovar;
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// # let folder = shop()?;
    /// # let settings = settings(&folder)?;
    /// let samovar = Samovar::open(settings.tiers()).await?;
    /// let engine = settings.engine(samovar, |away| eprintln!("{away}"))?;
    /// engine.warm().await?;
    /// assert!(engine.warmth().ready);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn engine(
        &self,
        samovar: Samovar,
        away: impl FnOnce(&SourceError),
    ) -> Result<Engine, SourceError> {
        let source: Arc<dyn Source> = match self.open_source() {
            Ok(open) => open,
            Err(unreachable) if unreachable.kind() == SourceErrorKind::Unreachable => {
                away(&unreachable);
                let settings = self.clone();
                Arc::new(Awaited::new(move || settings.open_source()))
            }
            Err(wrong) => return Err(wrong),
        };
        Ok(self.engine_over(samovar, source))
    }

    /// The configured caches, with their entries in `samovar`; what they have not they read from the source's database,
    /// where that is said. Blocks while the statements are checked.
    ///
    /// A database that cannot be reached is told to `away`, and asked again with every load.
    ///
    /// # Errors
    /// What the database says of each statement that cannot be; each begins with its field.
    ///
    /// ```
    #[doc = include_str!("../example.txt")]
    /// # use samovar::Samovar;
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// # let folder = shop()?;
    /// # let settings = settings(&folder)?;
    /// let samovar = Samovar::open(settings.tiers()).await?;
    /// assert!(settings.caches(&samovar, |away| eprintln!("{away}")).is_ok());
    /// let shop = rusqlite::Connection::open(folder.path().join("shop.db"))?;
    /// shop.execute_batch("DROP TABLE products")?;
    /// let wrong = settings.caches(&samovar, |_| ()).expect_err("its statements cannot be");
    /// assert!(wrong[0].to_string().starts_with("caches.product_info.load.sql: "), "{}", wrong[0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn caches(
        &self,
        samovar: &Samovar,
        away: impl FnOnce(&SourceError),
    ) -> Result<Caches, Vec<SourceError>> {
        let options = RowOptions {
            timeout: self.source.timeout,
            write_deadline: self.source.write_deadline,
            ..RowOptions::default()
        };
        let database = Database::new(self.source.place.clone(), options);
        let (mut wrong, mut unreachable) = (Vec::new(), None);
        // One that does not answer is not waited for once for each cache.
        let mut check = |open: &dyn Fn() -> Result<(), SourceError>| {
            if unreachable.is_none() {
                match open() {
                    Err(e) if e.kind() == SourceErrorKind::Unreachable => unreachable = Some(e),
                    checked => wrong.extend(checked.err()),
                }
            }
        };
        let caches = Caches::open(samovar, &self.caches, |cache| {
            let name = &cache.policy.name;
            let loader = cache.load.as_ref().map(|load| database.loader(name, load));
            let writer = cache.write.as_ref().map(|write| (database.writer(name, write), write));
            if let Some(loader) = &loader {
                check(&|| loader.now());
            }
            if let Some((writer, _)) = &writer {
                check(&|| writer.now());
            }
            let row_writer = |(late, write)| Arc::new(RowWriter::new(late, write, options)) as _;
            let writer = writer.map(row_writer);
            Backing { loader: loader.map(|loader| loader.into_loader(&cache.tags)), writer }
        });
        if let Some(unreachable) = unreachable {
            away(&unreachable);
        }
        if wrong.is_empty() { Ok(caches) } else { Err(wrong) }
    }

    /// The configured source.
    ///
    /// # Errors
    /// If it is not there, or lacks the query or a column that the configuration names.
    ///
    /// ```
    #[doc = include_str!("../example.txt")]
    /// # let folder = shop()?;
    /// # let settings = settings(&folder)?;
    /// let source = settings.open_source()?;
    /// let found = futures_executor::block_on(source.stores())?;
    /// assert_eq!(&*found.stores[0].id, "7");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_source(&self) -> Result<Arc<dyn Source>, SourceError> {
        let (asked, limits) = self.request();
        Ok(match &self.source.place {
            Place::Sqlite(path) => Arc::new(SqliteSource::open(path, asked, limits)?),
            Place::Postgres(options) => Arc::new(PostgresSource::connect(options, asked, limits)?),
        })
    }

    /// The engine over a source of the caller's, which must give what the configuration names.
    ///
    /// ```
    #[doc = include_str!("../example.txt")]
    /// # use samovar::Samovar;
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// # let folder = shop()?;
    /// # let settings = settings(&folder)?;
    /// let samovar = Samovar::open(samovar::Settings::default()).await?;
    /// let source = settings.open_source()?; // or one of your own
    /// let engine = settings.engine_over(samovar, source);
    /// assert_eq!(engine.members().await?.stores.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn engine_over(&self, samovar: Samovar, source: Arc<dyn Source>) -> Engine {
        let dataset = Dataset {
            name: self.dataset.name.as_str().into(),
            schema: self.dataset.schema.clone(),
            rules: self.health,
            standouts: self.standouts.clone(),
            lifetimes: self.lifetimes,
            product_metrics: self.dataset.product_metrics,
            block_rows: BLOCK_ROWS,
            max_source_share: self.source.max_source_share,
            event_grace: Some(self.source.event_grace),
            fingerprint: self.fingerprint(),
        };
        Engine::new(samovar, source, dataset)
    }

    /// Differs whenever rows would be read from elsewhere, or otherwise. The schema has a fingerprint of its own.
    fn fingerprint(&self) -> u64 {
        let (asked, _) = self.request();
        let place = match &self.source.place {
            // However the path was written.
            Place::Sqlite(path) => {
                std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string()
            }
            Place::Postgres(options) => options.place().unwrap_or_default(),
        };
        let what = format!(
            "{:?}",
            (
                place,
                &asked.query,
                &asked.store_id,
                &asked.store_name,
                &asked.date,
                asked.date_kind,
                &self.dataset.time_zone_name,
                &asked.product,
                &asked.category,
            )
        );
        fingerprint(&what)
    }

    /// What the source is asked for, and what that may cost.
    fn request(&self) -> (samovar_source::Dataset, Limits) {
        let (source, dataset) = (&self.source, &self.dataset);
        let limits = Limits {
            batch_size: source.batch_size,
            timeout: source.timeout,
            max_rows: source.max_rows,
            connections: source.connections,
        };
        let asked = samovar_source::Dataset {
            query: source.query.clone(),
            store_id: dataset.store_id.clone(),
            store_name: dataset.store_name.clone(),
            date: dataset.date.clone(),
            date_kind: dataset.date_kind,
            time_zone: dataset.time_zone.clone(),
            product: dataset.product.clone(),
            category: dataset.category.clone(),
            columns: dataset.schema.columns.iter().map(source_column).collect(),
        };
        (asked, limits)
    }
}

/// What the source is asked for, for a column of the schema.
fn source_column(column: &Column) -> SourceColumn {
    let kind = match column.text {
        true => ColumnKind::Text,
        false => ColumnKind::Fixed { decimals: column.decimals },
    };
    SourceColumn { name: column.name.clone(), kind }
}
