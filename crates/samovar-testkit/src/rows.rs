//! The contract of rows by key: what every database promises whose rows are read and written in SQL.

mod reads;
mod writes;

use std::sync::Arc;

use futures_executor::block_on;
use samovar_core::{Fate, Write, WriteId, Writer};
use samovar_source::rows::{
    LoadSql, RowDatabase, RowOptions, Rows, SqlLoader, SqlWriter, WriteSql,
};
use serde_json::{Value, json};

/// A database of one's own, without tables.
///
/// A database of a PostgreSQL server:
///
/// ```
/// use samovar_source::PostgresOptions;
/// use samovar_source::rows::{RowDatabase, RowOptions};
/// use samovar_testkit::postgres::{Database, Server};
/// use samovar_testkit::rows::Place;
///
/// struct Shop(Database<'static>);
///
/// impl Place for Shop {
///     fn open(&self, options: RowOptions) -> RowDatabase {
///         let server = PostgresOptions::new(self.0.url());
///         RowDatabase::postgres(&server, options).expect("the address is one")
///     }
///     fn run(&self, script: &str) -> String {
///         self.0.run(script).expect("the suite's scripts are right")
///     }
///     fn slow(&self) -> &'static str {
///         "(SELECT count(pg_sleep(1000)))"
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let shop = Shop(Server::shared()?.database()?);
/// shop.open(RowOptions::default()).script("CREATE TABLE products (sku text)")?;
/// assert_eq!(shop.run("INSERT INTO products VALUES ('T-1') RETURNING sku, 1"), "T-1|1");
/// # Ok(())
/// # }
/// ```
pub trait Place {
    /// Opens it.
    ///
    /// ```no_run
    #[doc = include_str!("rows/example.txt")]
    /// use samovar_source::rows::RowOptions;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// // A place of one's own, such as that of `Place`'s example.
    /// let shop = Shop(Server::shared()?.database()?);
    /// let database = shop.open(RowOptions { connections: 1, ..RowOptions::default() });
    /// database.reach()?;
    /// # Ok(())
    /// # }
    /// ```
    fn open(&self, options: RowOptions) -> RowDatabase;

    /// Runs a script by a connection of its own, and gives what the last query gives: a line for each row, the values with
    /// bars between.
    ///
    /// ```
    #[doc = include_str!("rows/example.txt")]
    /// # fn main() -> Result<(), samovar_testkit::postgres::PostgresError> {
    /// let shop = Shop(Server::shared()?.database()?);
    /// shop.run("CREATE TABLE products (sku TEXT, stock BIGINT);");
    /// shop.run("INSERT INTO products VALUES ('T-1', 3), ('T-2', 0);");
    /// assert_eq!(shop.run("SELECT sku, stock FROM products ORDER BY sku;"), "T-1|3\nT-2|0");
    /// # Ok(())
    /// # }
    /// ```
    fn run(&self, script: &str) -> String;

    /// An expression that takes very long, and is a number.
    ///
    /// ```no_run
    #[doc = include_str!("rows/example.txt")]
    /// # use std::time::Duration;
    /// # use samovar_source::SourceErrorKind;
    /// # use samovar_source::rows::{LoadSql, RowOptions, Rows};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let shop = Shop(Server::shared()?.database()?);
    /// let database =
    ///     shop.open(RowOptions { timeout: Duration::from_millis(100), ..RowOptions::default() });
    /// let select = format!("SELECT :key AS k, {} AS n", shop.slow());
    /// let loader = database.loader("waits", &LoadSql::new(select, Rows::One))?;
    /// let wrong = futures_executor::block_on(loader.load_one("7")).expect_err("it is too slow");
    /// assert_eq!(wrong.kind(), SourceErrorKind::Timeout);
    /// # Ok(())
    /// # }
    /// ```
    fn slow(&self) -> &'static str;
}

/// What every database promises. `make` makes a new one.
///
/// As a test, with the `Shop` of [`Place`]'s example; it takes some seconds:
///
/// ```no_run
#[doc = include_str!("rows/example.txt")]
/// use samovar_testkit::rows::suite;
///
/// # fn main() -> Result<(), samovar_testkit::postgres::PostgresError> {
/// let server = Server::shared()?;
/// suite(|| Shop(server.database().expect("there is room for one more")));
/// # Ok(())
/// # }
/// ```
pub fn suite<P: Place + Sync>(make: impl Fn() -> P) {
    reads::reads_one_row_or_many(&make());
    reads::reads_every_type(&make());
    reads::takes_keys_as_they_are(&make());
    reads::takes_the_parts_of_a_key(&make());
    reads::keeps_to_its_limits(&make());
    reads::stops_when_nobody_waits(&make());
    reads::reads_many_keys_as_of_one_moment(&make());
    reads::leaves_the_others_alone(&make());
    reads::tells_what_is_wrong_in_a_load(&make());
    writes::writes_and_deletes(&make());
    writes::takes_values_as_they_are(&make());
    writes::keeps_numbers_as_they_are_spelt(&make());
    writes::refuses_one_and_writes_the_others(&make());
    writes::leaves_out_what_it_has(&make());
    writes::asks_late_rules_at_the_commit(&make());
    writes::gives_up_in_time(&make());
    writes::counts_what_was_waited_before(&make());
    writes::tells_what_is_wrong_in_a_write(&make());
}

/// A table of products, which both dialects read.
const PRODUCTS: &str = "CREATE TABLE products (sku TEXT PRIMARY KEY, name TEXT NOT NULL,
    price DOUBLE PRECISION CHECK (price >= 0), stock BIGINT, note TEXT);";

const BY_SKU: &str = "SELECT sku, name, price, stock FROM products WHERE sku = :key";
const UPSERT: &str = "INSERT INTO products (sku, name, price, stock) VALUES (:key, :name, :price, :stock)
    ON CONFLICT (sku) DO UPDATE SET name = excluded.name, price = excluded.price, stock = excluded.stock";
const DELETE: &str = "DELETE FROM products WHERE sku = :key";

fn upsert() -> WriteSql {
    WriteSql { delete: Some(DELETE.into()), ..WriteSql::new(UPSERT) }
}

fn loader(database: &RowDatabase, sql: &str, rows: Rows) -> SqlLoader {
    database.loader("products", &LoadSql::new(sql, rows)).expect("the suite's loads are right")
}

fn writer(database: &RowDatabase, write: &WriteSql) -> SqlWriter {
    database.writer("products", write).expect("the suite's writes are right")
}

fn one(loader: &SqlLoader, key: &str) -> Option<Value> {
    block_on(loader.load_one(key)).expect("it can be read")
}

/// A write of node 7.
fn put(number: u64, key: &str, value: Option<Value>) -> Write<Value> {
    Write { id: WriteId { node: 7, number }, key: key.into(), value: value.map(Arc::new) }
}

/// A product's write.
fn product(number: u64, key: &str, name: &str) -> Write<Value> {
    put(number, key, Some(json!({"name": name, "price": 1.5, "stock": 3})))
}

/// What became of each write, and what was said of those that failed.
fn fates(writer: &SqlWriter, writes: &[Write<Value>]) -> Vec<Option<(Fate, String)>> {
    let outcomes = block_on(writer.write(writes));
    assert_eq!(outcomes.len(), writes.len());
    outcomes.into_iter().map(|one| one.err().map(|wrong| (wrong.fate, wrong.to_string()))).collect()
}

/// Writes that must be done.
fn done(writer: &SqlWriter, writes: &[Write<Value>]) {
    let fates = fates(writer, writes);
    assert!(fates.iter().all(Option::is_none), "{fates:?}");
}

/// Keys and texts that would do harm where they were put into a statement.
const HARMFUL: [&str; 14] = [
    "' OR '1'='1",
    "'; DROP TABLE products; --",
    "\" OR \"\"=\"",
    "\\'; DROP TABLE products; --",
    ":key",
    "$1",
    "?1",
    "%",
    "_",
    "a'b\"c\\d",
    "键 🔑",
    "--",
    "/* x",
    " blanks ",
];
