//! Systems of record: queries, batches, imports. SQL lives here alone.

pub mod import;
