//! Rows of a database as the documents of caches, also if the database is away when the server starts.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use samovar::Loaded;
use samovar_core::{BoxFuture, Clock, Error, ErrorKind, Fate, SystemClock};
use samovar_core::{Tags, Write, WriteError, Writer};
use samovar_source::rows::{LoadSql, RowDatabase, RowOptions, SqlLoader, SqlWriter, WriteSql};
use samovar_source::{SourceError, SourceErrorKind};
use serde_json::Value;

use super::{Document, Loader, TagPattern, tags_of};
use crate::late::Late;
use crate::settings::Place;

/// The database of a source, whose few connections all caches share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Database(Late<RowDatabase>);

impl Database {
    pub(crate) fn new(place: Place, options: RowOptions) -> Database {
        Database(Late::new("samovar-rows-open", move || {
            let database = match &place {
                Place::Sqlite(path) => RowDatabase::sqlite(path, options)?,
                Place::Postgres(server) => RowDatabase::postgres(server, options)?,
            };
            // So that a host that does not answer is waited for once, and not by each cache that has statements to check.
            database.reach()?;
            Ok(database)
        }))
    }

    /// What reads the rows of a cache.
    pub(crate) fn loader(&self, cache: &Arc<str>, load: &LoadSql) -> Late<SqlLoader> {
        let (cache, load) = (Arc::clone(cache), load.clone());
        Late::from(&self.0, move |database| database.loader(&cache, &load))
    }

    /// What writes the rows of a cache.
    pub(crate) fn writer(&self, cache: &Arc<str>, write: &WriteSql) -> Late<SqlWriter> {
        let (cache, write) = (Arc::clone(cache), write.clone());
        Late::from(&self.0, move |database| database.writer(&cache, &write))
    }
}

impl Late<SqlLoader> {
    /// As caches load by it whose documents bear these tags.
    pub(crate) fn into_loader(self, tags: &[TagPattern]) -> Loader {
        let tags = Arc::<[TagPattern]>::from(tags);
        Arc::new(move |keys| {
            let (late, tags) = (self.clone(), Arc::clone(&tags));
            async move {
                let failed = |wrong| source_failed("the rows could not be read", wrong);
                let loader = late.get().await.map_err(failed)?;
                let rows = loader.load(&keys).await.map_err(failed)?;
                let loaded = |row: Result<Option<Value>, SourceError>| match row {
                    Ok(Some(row)) => {
                        let tags = tags_of(&tags, &row, &Tags::NONE);
                        Loaded::from(Document::from(&row)).tags(tags)
                    }
                    Ok(None) => Loaded::absent(),
                    // The others are there all the same.
                    Err(wrong) => Loaded::failed(failed(wrong)),
                };
                Ok(keys.into_iter().zip(rows.into_iter().map(loaded)).collect())
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
    clock: Arc<dyn Clock>,
}

impl RowWriter {
    pub(crate) fn new(late: Late<SqlWriter>, write: &WriteSql, options: RowOptions) -> RowWriter {
        let (deadline, remembers) = (options.write_deadline, write.remember);
        RowWriter { late, deadline, remembers, clock: Arc::new(SystemClock::new()) }
    }
}

impl Writer<Document> for RowWriter {
    fn write<'a>(
        &'a self,
        writes: &'a [Write<Document>],
    ) -> BoxFuture<'a, Vec<Result<(), WriteError>>> {
        Box::pin(async move {
            let begun = self.clock.elapsed();
            let writer = match self.late.get().await {
                // To wait for the database is part of the write.
                Ok(writer) => writer.after(self.clock.elapsed().saturating_sub(begun)),
                Err(away) => {
                    let error = source_failed("the rows could not be written", away);
                    return vec![Err(WriteError::new(Fate::NotWritten, error)); writes.len()];
                }
            };
            let row = |write: &'a Write<Document>| {
                (write.id, &write.key, write.value.as_deref().map(Document::json))
            };
            let rows: Vec<_> = writes.iter().map(row).collect();
            let rows = rows.iter().map(|(id, key, json)| (*id, *key, json.as_deref()));
            writer.write_values(rows).await
        })
    }

    fn deadline(&self) -> Duration {
        self.deadline
    }

    fn remembers(&self) -> bool {
        self.remembers
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use samovar_core::{Millis, WriteId};
    use samovar_testkit::clock::FakeClock;

    use super::*;

    #[tokio::test]
    async fn the_wait_for_the_database_counts_towards_the_deadline() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("shop.db");
        let shop = rusqlite::Connection::open(&path).unwrap();
        shop.execute_batch("CREATE TABLE things (k TEXT PRIMARY KEY, v REAL)").unwrap();
        let (options, clock) = (RowOptions::default(), FakeClock::at(Millis(0)));
        let write = WriteSql::new("INSERT INTO things VALUES (:key, :v)");
        let written = async |waits: u64, number: u64, v: &str| {
            let (database, write) = (Database::new(Place::Sqlite(path.clone()), options), &write);
            let (late, time) = (database.writer(&"things".into(), write), Arc::clone(&clock));
            let waits = AtomicU64::new(waits);
            let slow = Late::from(&late, move |writer| {
                time.advance(Duration::from_secs(waits.swap(0, Ordering::SeqCst)));
                Ok(writer)
            });
            let writer = RowWriter { clock: clock.clone(), ..RowWriter::new(slow, write, options) };
            let value = Document::read(format!("{{\"v\": {v}}}")).unwrap();
            let id = WriteId { node: 1, number };
            let key = Arc::from(number.to_string());
            let outcome = writer.write(&[Write { id, key, value: Some(value.into()) }]).await;
            outcome.into_iter().next().unwrap().map_err(|wrong| (wrong.fate, wrong.to_string()))
        };
        let (fate, text) = written(16, 1, "1").await.unwrap_err();
        assert!(fate == Fate::NotWritten && text.contains("write_deadline"), "{text}");
        written(14, 2, "1").await.unwrap();
        // Numbers reach the database as the document spells them.
        let (fate, text) = written(0, 3, "0.1000000000000000055").await.unwrap_err();
        assert!(fate == Fate::Refused && text.contains("0.1000000000000000055"), "{text}");
        let rows = shop.query_row("SELECT group_concat(k) FROM things", [], |row| row.get(0));
        assert_eq!(rows, Ok("2".to_owned()));
    }
}
