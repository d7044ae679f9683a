//! The demo's shop: a SQLite database of orders, the same for the same seed.
//!
//! One line is one order. Sixty days from [`FIRST_DAY`], 2,000 products in 24 categories; by default 100
//! stores with 30,000 lines each. Popularity follows a Zipf law with exponent 1.3 (ranks beyond the last
//! product fall on it), prices are log-normal, delivery times gamma distributed. What a dashboard should
//! make visible is in there: a weekly rhythm, 7 % of the stores failing, products that die midway, a flash
//! sale (2026-02-06), a failure of the checkout (2026-02-18), snow that delays deliveries (2026-01-28 to
//! 30), and days on which a store was closed.
//!
//! ```
//! use std::sync::atomic::AtomicBool;
//! use samovar_demo::{Shape, file_name, generate, is_complete};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! let shape = Shape { stores: 3, rows_per_store: 200, ..Shape::default() };
//! let path = directory.path().join(file_name(&shape));
//! if !is_complete(&path, &shape)? {
//!     generate(&path, &shape, &|_rows_done| (), &AtomicBool::new(false))?;
//! }
//! assert!(is_complete(&path, &shape)?);
//! # Ok(())
//! # }
//! ```

mod database;
mod error;
mod shop;
mod words;

pub use database::{generate, is_complete, is_ours};
pub use error::Error;

/// The table with the orders: `order_id, store_id, store_name, date, product, category, amount, profit,
/// quantity, delivery_minutes`. Row ids ascend by (`store_id`, `date`), and there is an index on these two.
pub const TABLE: &str = "orders";
/// The first day in the data.
pub const FIRST_DAY: &str = "2026-01-01";
/// The last day in the data.
pub const LAST_DAY: &str = "2026-03-01";

/// How large the shop is, and which of all possible ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Number of stores, at least 1; their ids are 1 to this number.
    pub stores: u32,
    /// Lines of each store, at least 1.
    pub rows_per_store: u32,
    /// Same seed, same data, on every platform.
    pub seed: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Shape { stores: 100, rows_per_store: 30_000, seed: 2_026 }
    }
}

impl Shape {
    /// Lines of all stores.
    pub fn rows(&self) -> u64 {
        u64::from(self.stores) * u64::from(self.rows_per_store)
    }
}

/// The name of the file for a shape: other numbers are another file.
///
/// ```
/// # use samovar_demo::{Shape, file_name};
/// assert_eq!(file_name(&Shape::default()), "demo-100x30000-seed2026.sqlite");
/// ```
pub fn file_name(shape: &Shape) -> String {
    format!("demo-{}x{}-seed{}.sqlite", shape.stores, shape.rows_per_store, shape.seed)
}
