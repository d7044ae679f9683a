//! Systems of record: queries, batches, imports. SQL lives here alone.
//!
//! * [`Source`], with [`SqliteSource`] and [`PostgresSource`]: the rows of a [`Dataset`] by store and day, in batches.
//! * [`rows`]: rows by key, read and written as JSON.
//! * [`import`]: CSV files into a table.
//! * [`catalog`]: what a database holds, to propose a dataset from.
//!
//! ```
//! use samovar_source::catalog::Explorer;
//! use samovar_source::import::{ImportOptions, import_csv};
//! use samovar_source::rows::{LoadSql, RowDatabase, RowOptions, Rows};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let (file, path) = (folder.path().join("shop.csv"), folder.path().join("shop.db"));
//! std::fs::write(&file, "sku,name\nT-1,Tea\n")?;
//! let import = ImportOptions::new(&file, &path, "products");
//! assert_eq!(import_csv(&import, &mut |_| ())?.rows, 1);
//! assert_eq!(Explorer::open(&import.database)?.catalog()?.tables[0].name.name, "products");
//!
//! let database = RowDatabase::sqlite(&path, RowOptions::default())?;
//! let names = LoadSql::new("SELECT name FROM products WHERE sku = :key", Rows::One);
//! # futures_executor::block_on(async {
//! let tea = database.loader("names", &names)?.load_one("T-1").await?;
//! assert_eq!(tea, Some(serde_json::json!({"name": "Tea"})));
//! # Ok::<(), samovar_source::SourceError>(())
//! # })?;
//! # Ok(())
//! # }
//! ```

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
