//! The database, all of it or nothing.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use samovar_source::rows::{RowDatabase, RowOptions};
use samovar_source::{PostgresOptions, SourceError, SourceErrorKind};

use crate::{Shape, script};

/// Makes a SQLite file, which is not there yet.
///
/// # Errors
/// If it is there, or cannot be written; then nothing is left behind.
pub fn into_sqlite(path: &Path, shape: &Shape) -> Result<(), SourceError> {
    File::create_new(path).map_err(|e| {
        let shown = path.display();
        let message = match e.kind() {
            io::ErrorKind::AlreadyExists => {
                format!("{shown} is there already; remove it, or name another one with --out")
            }
            _ => format!("cannot make {shown}"),
        };
        SourceError::new(SourceErrorKind::Unreachable, message).because(e)
    })?;
    let made = RowDatabase::sqlite(path, RowOptions::default())
        .and_then(|database| database.script(&script(shape)));
    if made.is_err() {
        // It was made above. What is to be told is why it is of no use.
        let _ = fs::remove_file(path);
    }
    made
}

/// Makes the tables in a PostgreSQL database that has none of their names.
///
/// # Errors
/// If it cannot be reached, or refuses; then nothing was made.
pub fn into_postgres(server: &PostgresOptions, shape: &Shape) -> Result<(), SourceError> {
    RowDatabase::postgres(server, RowOptions::default())?.script(&script(shape))
}
