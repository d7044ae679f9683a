//! A small ERP database with sample data: products in categories, stock, customers, orders with their lines, quotes,
//! settings and monthly reports. The same for the same seed, in SQLite and PostgreSQL.
//!
//! ```
//! use samovar_erp::{Shape, script};
//!
//! let small = Shape { orders: 10, ..Shape::default() };
//! assert_eq!(script(&small), script(&small));
//! assert_ne!(script(&small), script(&Shape { seed: 7, ..small }));
//! ```

mod data;
mod make;
mod words;

pub use data::script;
pub use make::{into_postgres, into_sqlite};

/// The schema, in SQL that both databases read.
pub const SCHEMA: &str = include_str!("../schema.sql");
/// The configuration: ten caches over this database.
pub const CONFIGURATION: &str = include_str!("../samovar.toml");

/// How large the business is, and which of all possible ones. There are 24 categories with 20 products each, three
/// warehouses, eight branches and the six months from January 2026.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Customers, at least 1.
    pub customers: u32,
    /// Orders, of one to five lines each. A tenth as many quotes.
    pub orders: u32,
    /// Same seed, same data.
    pub seed: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Shape { customers: 300, orders: 5_000, seed: 2_026 }
    }
}
