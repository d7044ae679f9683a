//! Systems of record: queries, batches, imports. SQL lives here alone.

mod background;
mod contract;
mod error;
pub mod import;
mod sqlite;

pub use contract::{
    Ask, Batches, ColumnKind, Dataset, DateKind, Days, Description, Inventory, Limits, Source,
    SourceColumn, Store, Which, text_type,
};
pub use error::{SourceError, SourceErrorKind};
pub use sqlite::SqliteSource;
