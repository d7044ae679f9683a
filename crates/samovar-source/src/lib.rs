//! Systems of record: queries, batches, imports. SQL lives here alone.

mod ask;
mod background;
mod batch;
pub mod catalog;
mod cell;
mod contract;
mod days;
mod decimal;
mod error;
mod handover;
pub mod import;
mod postgres;
pub mod rows;
mod sql;
mod sqlite;

pub use contract::{
    Ask, Batches, ColumnKind, Dataset, DateKind, Days, Description, Inventory, Limits, Source,
    SourceColumn, Store, Which, text_type,
};
pub use error::{SourceError, SourceErrorKind};
pub use postgres::{PostgresOptions, PostgresSource};
pub use sqlite::SqliteSource;
