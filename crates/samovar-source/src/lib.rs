//! Systems of record: queries, batches, imports. SQL lives here alone.

mod contract;
mod error;
pub mod import;

pub use contract::{
    Ask, Batches, ColumnKind, Dataset, DateKind, Days, Description, Limits, Source, SourceColumn,
    Store, Which, text_type,
};
pub use error::{SourceError, SourceErrorKind};
