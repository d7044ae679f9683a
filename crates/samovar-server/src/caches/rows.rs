//! Rows of a database as the documents of caches, also if the database is away when the server starts.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use samovar::Loaded;
use samovar_core::{BoxFuture, Error, ErrorKind, Fate, Write, WriteError, Writer};
use samovar_source::rows::{LoadSql, RowDatabase, RowOptions, SqlLoader, SqlWriter, WriteSql};
use samovar_source::{SourceError, SourceErrorKind};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::{Document, Loader};
use crate::background::on_thread;
use crate::settings::Place;

/// The database of a source, whose few connections all caches share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Database(Arc<Inner>);

struct Inner {
    place: Place,
    options: RowOptions,
    open: Mutex<Option<RowDatabase>>,
}

impl Database {
    pub(crate) fn new(place: Place, options: RowOptions) -> Database {
        Database(Arc::new(Inner { place, options, open: Mutex::default() }))
    }

    /// Blocks while it opens.
    fn open(&self) -> Result<RowDatabase, SourceError> {
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = &*open {
            return Ok(database.clone());
        }
        let database = match &self.0.place {
            Place::Sqlite(path) => RowDatabase::sqlite(path, self.0.options)?,
            Place::Postgres(server) => RowDatabase::postgres(server, self.0.options)?,
        };
        Ok(open.insert(database).clone())
    }

    /// What reads the rows of a cache.
    pub(crate) fn loader(&self, cache: &Arc<str>, load: &LoadSql) -> Late<SqlLoader> {
        let (database, cache, load) = (self.clone(), Arc::clone(cache), load.clone());
        Late::new(move || database.open()?.loader(&cache, &load))
    }

    /// What writes the rows of a cache.
    pub(crate) fn writer(&self, cache: &Arc<str>, write: &WriteSql) -> Late<SqlWriter> {
        let (database, cache, write) = (self.clone(), Arc::clone(cache), write.clone());
        Late::new(move || database.open()?.writer(&cache, &write))
    }
}

/// What can be opened once its database is there, by whoever needs it first. Cheap to clone.
pub(crate) struct Late<T> {
    open: Arc<dyn Fn() -> Result<T, SourceError> + Send + Sync>,
    opened: Arc<OnceCell<T>>,
}

impl<T: Clone + Send + Sync + 'static> Late<T> {
    fn new(open: impl Fn() -> Result<T, SourceError> + Send + Sync + 'static) -> Late<T> {
        Late { open: Arc::new(open), opened: Arc::default() }
    }

    /// Opens it; blocks until then.
    pub(crate) fn now(&self) -> Result<(), SourceError> {
        let opened = (self.open)()?;
        // Nobody else has it yet: this is before the first question.
        let _ = self.opened.set(opened);
        Ok(())
    }

    /// What was opened; one attempt at a time, on a thread of its own.
    async fn get(&self) -> Result<&T, SourceError> {
        let open = || {
            let open = Arc::clone(&self.open);
            on_thread("samovar-rows-open", move || open()).map(|opened| {
                opened.unwrap_or_else(|_| {
                    let message = "opening the database panicked; this is a bug";
                    Err(SourceError::new(SourceErrorKind::Failed, message))
                })
            })
        };
        self.opened.get_or_try_init(open).await
    }
}

impl<T> Clone for Late<T> {
    fn clone(&self) -> Self {
        Late { open: Arc::clone(&self.open), opened: Arc::clone(&self.opened) }
    }
}

impl Late<SqlLoader> {
    /// As caches load by it.
    pub(crate) fn into_loader(self) -> Loader {
        Arc::new(move |keys| {
            let late = self.clone();
            async move {
                let failed = |wrong| source_failed("the rows could not be read", wrong);
                let loader = late.get().await.map_err(failed)?;
                let rows = loader.load(&keys).await.map_err(failed)?;
                let rows = keys.into_iter().zip(rows);
                let loaded = |row: Value| Loaded::from(Document::from(&row));
                Ok(rows.filter_map(|(key, row)| Some((key, loaded(row?)))).collect())
            }
            .boxed()
        })
    }
}

fn source_failed(what: &'static str, wrong: SourceError) -> Error {
    let kind = match wrong.kind() {
        SourceErrorKind::Timeout => ErrorKind::Timeout,
        _ => ErrorKind::Source,
    };
    Error::new(kind, what).because(wrong)
}

/// Writes documents as rows.
pub(crate) struct RowWriter {
    late: Late<SqlWriter>,
    deadline: Duration,
    remembers: bool,
}

impl RowWriter {
    pub(crate) fn new(late: Late<SqlWriter>, write: &WriteSql, options: RowOptions) -> RowWriter {
        RowWriter { late, deadline: options.write_deadline, remembers: write.remember }
    }
}

impl Writer<Document> for RowWriter {
    fn write<'a>(
        &'a self,
        writes: &'a [Write<Document>],
    ) -> BoxFuture<'a, Vec<Result<(), WriteError>>> {
        Box::pin(async move {
            let writer = match self.late.get().await {
                Ok(writer) => writer,
                Err(away) => {
                    let error = source_failed("the rows could not be written", away);
                    return vec![Err(WriteError::new(Fate::NotWritten, error)); writes.len()];
                }
            };
            let json = |document: &Arc<Document>| Arc::new(document.json());
            let row = |write: &Write<Document>| Write {
                id: write.id,
                key: Arc::clone(&write.key),
                value: write.value.as_ref().map(json),
            };
            let rows: Vec<Write<Value>> = writes.iter().map(row).collect();
            writer.write(&rows).await
        })
    }

    fn deadline(&self) -> Duration {
        self.deadline
    }

    fn remembers(&self) -> bool {
        self.remembers
    }
}
