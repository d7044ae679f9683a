//! Rows by key, read and written in SQL.
//!
//! A [`RowDatabase`] is a SQLite file or a PostgreSQL server. For each cache it makes a [`SqlLoader`], which reads the
//! row or rows of a key as JSON, and a [`SqlWriter`], which writes a JSON object back. Statements name what they take
//! (`:key`, `:price`), and it is always bound, never put into their text. They are checked when they are opened.
//! The page `docs/sql.md` has the options and the table of types.
//!
//! ```
//! use samovar_core::{Write, WriteId, Writer};
//! use samovar_source::rows::{LoadSql, RowDatabase, RowOptions, Rows, WriteSql};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("shop.sqlite");
//! # rusqlite::Connection::open(&path)?.execute_batch(
//! #     "CREATE TABLE products (sku TEXT PRIMARY KEY, name TEXT NOT NULL, price REAL NOT NULL)")?;
//! let database = RowDatabase::sqlite(&path, RowOptions::default())?;
//! let load = database.loader(
//!     "product_info",
//!     &LoadSql::new("SELECT sku, name, price FROM products WHERE sku = :key", Rows::One),
//! )?;
//! let write = database.writer(
//!     "product_info",
//!     &WriteSql {
//!         delete: Some("DELETE FROM products WHERE sku = :key".into()),
//!         ..WriteSql::new(
//!             "INSERT INTO products (sku, name, price) VALUES (:key, :name, :price)
//!              ON CONFLICT (sku) DO UPDATE SET name = excluded.name, price = excluded.price",
//!         )
//!     },
//! )?;
//! # futures_executor::block_on(async {
//! let tea = serde_json::json!({"name": "Tea", "price": 4.5});
//! let id = WriteId { node: 1, number: 1 };
//! let written = write.write(&[Write { id, key: "T-1".into(), value: Some(tea.into()) }]).await;
//! assert!(written[0].is_ok());
//! let row = load.load_one("T-1").await?;
//! assert_eq!(row, Some(serde_json::json!({"sku": "T-1", "name": "Tea", "price": 4.5})));
//! assert_eq!(load.load_one("T-2").await?, None);
//! # Ok::<(), samovar_source::SourceError>(())
//! # })?;
//! # Ok(())
//! # }
//! ```

mod key;
mod number;
mod plan;
mod text;
mod value;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use samovar_core::{BoxFuture, Clock, Error, ErrorKind, Fate, SystemClock};
use samovar_core::{Write, WriteError, WriteId, Writer};
use serde::Serialize;
use serde_json::Value;

use crate::postgres::rows::PostgresRows;
use crate::sqlite::rows::SqliteRows;
use crate::{PostgresOptions, SourceError, SourceErrorKind};
pub(crate) use key::KeyPattern;
pub(crate) use number::{kept_anyhow, kept_by, kept_by_numeric};
pub(crate) use plan::{Bound, LoadPlan, Put, Statement, WritePlan, spelt_anyhow};
pub(crate) use text::{Short, numbered};
pub(crate) use value::Column;

/// How many rows a key has.
///
/// ```
#[doc = include_str!("../example.txt")]
#[doc = include_str!("example.txt")]
/// // `orders` has two rows of shop 7.
/// let sql = "SELECT amount FROM orders WHERE shop = :key ORDER BY day";
/// let amounts = |rows| database.loader("amounts", &LoadSql::new(sql, rows));
/// let many = block_on(amounts(Rows::Many)?.load_one("7"))?;
/// assert_eq!(many, Some(json!([{"amount": 19.99}, {"amount": -5.0}])));
/// let wrong = block_on(amounts(Rows::One)?.load_one("7")).expect_err("there is a second one");
/// assert_eq!(wrong.kind(), SourceErrorKind::TooManyRows);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Rows {
    /// One or none: an object. A second one is an error.
    #[default]
    One,
    /// Any number: an array of objects, which may be empty.
    Many,
}

/// How the rows of a key are read.
///
/// ```
#[doc = include_str!("../example.txt")]
#[doc = include_str!("example.txt")]
/// let load = LoadSql {
///     sql: "SELECT amount FROM orders WHERE shop = :shop AND day = :day".into(),
///     rows: Rows::One,
///     key: Some("{shop:integer}:{day}".into()),
/// };
/// let amounts = database.loader("amounts", &load)?;
/// assert_eq!(block_on(amounts.load_one("7:2026-02-03"))?, Some(json!({"amount": 19.99})));
/// assert_eq!(block_on(amounts.load_one("seven:2026-02-03"))?, None, "no key has this form");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct LoadSql {
    /// A SELECT with the parameter `:key`, and the parts of [`LoadSql::key`].
    pub sql: String,
    /// How many rows a key has.
    pub rows: Rows,
    /// How keys are put together: `{store}:{month}` gives `:store` and `:month` beside `:key`. A part that must be a whole number
    /// is `{store:integer}`. A key that is put together otherwise has no row.
    pub key: Option<String>,
}

impl LoadSql {
    /// With keys of one part.
    ///
    /// ```
    /// # use samovar_source::rows::{LoadSql, Rows};
    /// let load = LoadSql::new("SELECT name FROM products WHERE sku = :key", Rows::One);
    /// assert_eq!((load.rows, load.key), (Rows::One, None));
    /// ```
    pub fn new(sql: impl Into<String>, rows: Rows) -> LoadSql {
        LoadSql { sql: sql.into(), rows, key: None }
    }
}

/// How the row of a key is written.
///
/// ```
#[doc = include_str!("../example.txt")]
#[doc = include_str!("example.txt")]
/// let write = WriteSql {
///     upsert: "UPDATE products SET price = :price WHERE sku = :key".into(),
///     delete: Some("DELETE FROM products WHERE sku = :key".into()),
///     key: None,
///     remember: true,
/// };
/// let products = database.writer("products", &write)?;
/// let put = |number, key: &str, value: Option<serde_json::Value>| Write {
///     id: WriteId { node: 1, number },
///     key: key.into(),
///     value: value.map(Into::into),
/// };
/// let price = || Some(json!({"price": 5}));
/// let done = block_on(products.write(&[put(1, "T-1", price()), put(2, "T-2", price())]));
/// assert!(done[0].is_ok() && done[1].is_err(), "there is no T-2 to be updated");
/// assert!(block_on(products.write(&[put(3, "T-1", None)]))[0].is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteSql {
    /// An INSERT, UPDATE or MERGE that makes the row what the value says: with `:key`, the parts of [`WriteSql::key`], and
    /// the fields of the value, which is an object. One that changes no row refuses the value.
    pub upsert: String,
    /// A DELETE with `:key` and its parts. Without one a deletion is refused.
    pub delete: Option<String>,
    /// How keys are put together, as [`LoadSql::key`].
    pub key: Option<String>,
    /// Whether the table `samovar_writes` remembers what was written, so that a write that is repeated is left out. It is made
    /// if it is not there. Without it the last writer wins.
    pub remember: bool,
}

impl WriteSql {
    /// With keys of one part, no deletion, and remembered.
    ///
    /// ```
    /// # use samovar_source::rows::WriteSql;
    /// let write = WriteSql::new("UPDATE products SET price = :price WHERE sku = :key");
    /// assert_eq!((write.delete, write.remember), (None, true));
    /// ```
    pub fn new(upsert: impl Into<String>) -> WriteSql {
        WriteSql { upsert: upsert.into(), delete: None, key: None, remember: true }
    }
}

/// What rows by key may cost.
///
/// ```
#[doc = include_str!("../example.txt")]
#[doc = include_str!("example.txt")]
/// let options = RowOptions { max_rows: 1, ..RowOptions::default() };
/// let database = RowDatabase::sqlite(&path, options)?;
/// let sql = "SELECT amount FROM orders WHERE shop = :key";
/// let orders = database.loader("orders", &LoadSql::new(sql, Rows::Many))?;
/// let wrong = block_on(orders.load_one("7")).expect_err("it has two");
/// assert_eq!(wrong.kind(), SourceErrorKind::TooManyRows);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowOptions {
    /// Connections that read, and as many that write; those are opened by the first write.
    pub connections: usize,
    /// No load takes longer once it has a connection, whatever the number of its keys.
    pub timeout: Duration,
    /// No load gives more rows, whatever the number of its keys.
    pub max_rows: usize,
    /// After so long the database commits no write that was begun: [`Writer::deadline`]. Half of it is for the
    /// statements, the rest for the commit.
    pub write_deadline: Duration,
}

impl Default for RowOptions {
    fn default() -> Self {
        RowOptions {
            connections: 2,
            timeout: Duration::from_secs(10),
            max_rows: 10_000,
            write_deadline: Duration::from_secs(30),
        }
    }
}

/// The rows of a key, or why they cannot be read; those of other keys can.
pub(crate) type RowsOfKey = Result<Vec<Value>, SourceError>;

/// What a database does for loaders and writers.
pub(crate) trait Backend: Send + Sync + 'static {
    /// Checks a SELECT. It blocks until then.
    fn check_load(&self, plan: LoadPlan) -> Result<LoadPlan, SourceError>;

    /// Checks what writes, and makes the table that remembers. It blocks until then.
    fn check_write(&self, plan: WritePlan) -> Result<WritePlan, SourceError>;

    /// The rows of each key, in one transaction.
    fn load(
        &self,
        plan: Arc<LoadPlan>,
        keys: Vec<Arc<str>>,
    ) -> BoxFuture<'static, Result<Vec<RowsOfKey>, SourceError>>;

    /// Writes in the order given, in one transaction. So much of the deadline is over when it is called.
    fn write(
        &self,
        plan: Arc<WritePlan>,
        puts: Vec<Put>,
        waited: Duration,
    ) -> BoxFuture<'static, Result<Vec<Result<(), WriteError>>, SourceError>>;

    /// Looks whether the database answers. It blocks until then.
    fn reach(&self) -> Result<(), SourceError>;

    /// Runs a script in one transaction. It blocks until then.
    fn script(&self, text: &str) -> Result<(), SourceError>;
}

/// A database whose rows are read and written by key: a SQLite file or a PostgreSQL server, with a few connections that
/// all its loaders and writers share. Cheap to clone.
///
/// ```
#[doc = include_str!("../example.txt")]
#[doc = include_str!("example.txt")]
/// let database = RowDatabase::sqlite(&path, RowOptions::default())?;
/// database.script("INSERT INTO products VALUES ('C-1', 'Cup', 7)")?;
/// let sql = "SELECT name FROM products WHERE sku = :key";
/// let names = database.loader("names", &LoadSql::new(sql, Rows::One))?;
/// assert_eq!(block_on(names.load_one("C-1"))?, Some(json!({"name": "Cup"})));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct RowDatabase {
    backend: Arc<dyn Backend>,
    options: RowOptions,
}

impl RowDatabase {
    /// A SQLite file that is there. Its foreign keys are enforced. One that takes its place later is read and written
    /// from then on.
    ///
    /// # Errors
    /// If it cannot be opened ([`SourceErrorKind::Unreachable`]).
    ///
    /// ```
    /// # use std::path::Path;
    /// # use samovar_source::SourceErrorKind;
    /// # use samovar_source::rows::{RowDatabase, RowOptions};
    /// let wrong = RowDatabase::sqlite(Path::new("no-such.sqlite"), RowOptions::default());
    /// assert_eq!(wrong.expect_err("it makes none").kind(), SourceErrorKind::Unreachable);
    /// ```
    pub fn sqlite(path: &Path, options: RowOptions) -> Result<RowDatabase, SourceError> {
        let backend = Arc::new(SqliteRows::open(path, options, clock())?);
        Ok(RowDatabase { backend, options })
    }

    /// A PostgreSQL server. It is not reached before the first loader or writer is made.
    ///
    /// # Errors
    /// If the address cannot be read ([`SourceErrorKind::Unreachable`]).
    ///
    /// ```
    /// # use samovar_source::rows::{RowDatabase, RowOptions};
    /// # use samovar_source::{PostgresOptions, SourceError, SourceErrorKind};
    /// # fn main() -> Result<(), SourceError> {
    /// let server = PostgresOptions::new("postgres://ann@127.0.0.1:1/shop");
    /// let database = RowDatabase::postgres(&server, RowOptions::default())?;
    /// let wrong = database.reach().expect_err("nobody listens there");
    /// assert_eq!(wrong.kind(), SourceErrorKind::Unreachable);
    /// # Ok(())
    /// # }
    /// ```
    pub fn postgres(
        server: &PostgresOptions,
        options: RowOptions,
    ) -> Result<RowDatabase, SourceError> {
        let backend = Arc::new(PostgresRows::to(server, options, clock())?);
        Ok(RowDatabase { backend, options })
    }

    /// What reads the rows of a cache. Its statement is checked, which blocks; it may be called inside of a runtime
    /// or outside.
    ///
    /// # Errors
    /// If the database cannot be reached ([`SourceErrorKind::Unreachable`]), or the statement is not one that reads, takes
    /// what a key does not have, or names what is not there ([`SourceErrorKind::Schema`]): the message begins with the
    /// field, such as `caches.product_info.load.sql`.
    ///
    /// ```
    #[doc = include_str!("../example.txt")]
    #[doc = include_str!("example.txt")]
    /// let load = LoadSql::new("SELECT name FROM product WHERE sku = :key", Rows::One);
    /// let wrong = database.loader("names", &load).expect_err("the table is products");
    /// assert_eq!(wrong.kind(), SourceErrorKind::Schema);
    /// assert!(wrong.to_string().starts_with("caches.names.load.sql: "), "{wrong}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn loader(&self, cache: &str, load: &LoadSql) -> Result<SqlLoader, SourceError> {
        let plan = self.backend.check_load(LoadPlan::of(cache, load)?)?;
        Ok(SqlLoader {
            backend: Arc::clone(&self.backend),
            plan: Arc::new(plan),
            timeout: self.options.timeout,
        })
    }

    /// What writes the rows of a cache. Its statements are checked, which blocks; it may be called inside of a runtime or
    /// outside.
    ///
    /// # Errors
    /// As [`RowDatabase::loader`]; the fields are such as `caches.product_info.write.upsert`. Also if the table
    /// `samovar_writes` is not there and cannot be made.
    ///
    /// ```
    #[doc = include_str!("../example.txt")]
    #[doc = include_str!("example.txt")]
    /// let write = WriteSql::new("UPDATE products SET price = :price");
    /// let wrong = database.writer("products", &write).expect_err("it would write all rows");
    /// assert!(wrong.to_string().contains("does not look at the key"), "{wrong}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn writer(&self, cache: &str, write: &WriteSql) -> Result<SqlWriter, SourceError> {
        let plan = self.backend.check_write(WritePlan::of(cache, write)?)?;
        Ok(SqlWriter {
            backend: Arc::clone(&self.backend),
            plan: Arc::new(plan),
            deadline: self.options.write_deadline,
            waited: Duration::ZERO,
        })
    }

    /// Looks whether the database answers, which blocks; it may be called inside of a runtime or outside.
    ///
    /// # Errors
    /// If it does not ([`SourceErrorKind::Unreachable`]).
    ///
    /// ```
    #[doc = include_str!("../example.txt")]
    #[doc = include_str!("example.txt")]
    /// let database = RowDatabase::sqlite(&path, RowOptions::default())?;
    /// assert!(database.reach().is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reach(&self) -> Result<(), SourceError> {
        self.backend.reach()
    }

    /// Runs a script of statements with semicolons between them in one transaction: a schema, or sample data. It
    /// blocks until then.
    ///
    /// # Errors
    /// What the database says; then nothing of it was done.
    ///
    /// ```
    #[doc = include_str!("../example.txt")]
    #[doc = include_str!("example.txt")]
    /// let script = "CREATE TABLE visits (day TEXT); INSERT INTO visits VALUES ('2026-02-03', 1)";
    /// assert!(database.script(script).is_err(), "it has one column");
    /// database.script("CREATE TABLE visits (day TEXT)")?; // nothing is left of the first try
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn script(&self, text: &str) -> Result<(), SourceError> {
        self.backend.script(text)
    }
}

impl fmt::Debug for RowDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowDatabase").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The error for writes that are given up, so that nothing is committed after the deadline.
pub(crate) fn write_too_late() -> SourceError {
    SourceError::new(SourceErrorKind::Timeout, "it took longer than half of write_deadline")
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

/// Reads the rows of keys as JSON. Cheap to clone; made by [`RowDatabase::loader`].
///
/// ```
#[doc = include_str!("../example.txt")]
#[doc = include_str!("example.txt")]
/// let sql = "SELECT name, price FROM products WHERE sku = :key";
/// let products: SqlLoader = database.loader("products", &LoadSql::new(sql, Rows::One))?;
/// let tea = block_on(products.load_one("T-1"))?;
/// assert_eq!(tea, Some(json!({"name": "Tea", "price": 4.5})));
/// assert_eq!(block_on(products.load_one("' OR '1' = '1"))?, None, "a key is bound as it is");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SqlLoader {
    backend: Arc<dyn Backend>,
    plan: Arc<LoadPlan>,
    timeout: Duration,
}

impl SqlLoader {
    /// The rows of each key, in the order of the keys, all as of one moment: with [`Rows::One`] an object, or `None` if
    /// there is no row; with [`Rows::Many`] always an array. It begins at once; dropped, it is cancelled at the database.
    ///
    /// A key's own error leaves the others alone: too many rows ([`SourceErrorKind::TooManyRows`]: those before it have
    /// used up what one load may give, or it has a second one), or a value that JSON has no form for or the database cannot
    /// make ([`SourceErrorKind::Value`], with the key).
    ///
    /// # Errors
    /// If nothing can be read: too late ([`SourceErrorKind::Timeout`]), a lost connection ([`SourceErrorKind::Lost`]).
    ///
    /// ```
    #[doc = include_str!("../example.txt")]
    #[doc = include_str!("example.txt")]
    /// let sql = "SELECT name FROM products WHERE sku = :key";
    /// let names = database.loader("names", &LoadSql::new(sql, Rows::One))?;
    /// let found = block_on(names.load(&["T-2".into(), "T-1".into()]))?;
    /// assert!(matches!(&found[..], [Ok(None), Ok(Some(tea))] if *tea == json!({"name": "Tea"})));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn load(
        &self,
        keys: &[Arc<str>],
    ) -> impl Future<Output = Result<Vec<Result<Option<Value>, SourceError>>, SourceError>>
    + Send
    + 'static {
        let (plan, timeout) = (Arc::clone(&self.plan), self.timeout);
        let loading = self.backend.load(Arc::clone(&plan), keys.to_vec());
        async move {
            let found = loading.await.map_err(|wrong| match wrong.kind() {
                SourceErrorKind::Timeout => too_late(&plan, timeout),
                _ => wrong.at(&plan.statement.field),
            })?;
            let value = |rows: RowsOfKey| match (rows, plan.rows) {
                (Ok(mut rows), Rows::One) => Ok(rows.pop()),
                (Ok(rows), Rows::Many) => Ok(Some(Value::Array(rows))),
                (Err(wrong), _) => Err(wrong.at(&plan.statement.field)),
            };
            Ok(found.into_iter().map(value).collect())
        }
    }

    /// The rows of one key.
    ///
    /// # Errors
    /// As [`SqlLoader::load`], and the key's own.
    ///
    /// ```
    #[doc = include_str!("../example.txt")]
    #[doc = include_str!("example.txt")]
    /// let sql = "SELECT name FROM products WHERE sku = :key";
    /// let names = database.loader("names", &LoadSql::new(sql, Rows::One))?;
    /// # futures_executor::block_on(async {
    /// assert_eq!(names.load_one("T-1").await?, Some(json!({"name": "Tea"})));
    /// assert_eq!(names.load_one("T-2").await?, None);
    /// # Ok::<(), samovar_source::SourceError>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn load_one(&self, key: &str) -> Result<Option<Value>, SourceError> {
        let mut found = self.load(&[key.into()]).await?;
        found.pop().unwrap_or(Ok(None))
    }
}

fn too_late(plan: &LoadPlan, timeout: Duration) -> SourceError {
    let message = format!(
        "{}: it took longer than {} s; give its table an index that finds rows by the key, or raise the timeout",
        plan.statement.field,
        timeout.as_secs_f64()
    );
    SourceError::new(SourceErrorKind::Timeout, message)
}

impl fmt::Debug for SqlLoader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlLoader").field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// Writes rows by key; a [`Writer`] of JSON objects. Cheap to clone; made by [`RowDatabase::writer`].
///
/// Each call is one transaction. A write that is refused (a rule of the table, a value of another type, a field that is
/// missing) is told so, and the others of the batch are written all the same. Whatever else goes wrong before the commit
/// is sent, nothing was written: [`Fate::NotWritten`]. If the answer to the commit does not come, nobody knows:
/// [`Fate::Unknown`].
///
/// A write that was begun goes on if its caller goes away.
///
/// ```
#[doc = include_str!("../example.txt")]
#[doc = include_str!("example.txt")]
/// // The table has a rule: CHECK (price >= 0).
/// let products = database.writer(
///     "products",
///     &WriteSql::new("INSERT INTO products VALUES (:key, :name, :price)"),
/// )?;
/// let product = |number, key: &str, price: f64| Write {
///     id: WriteId { node: 1, number },
///     key: key.into(),
///     value: Some(json!({"name": "Cup", "price": price}).into()),
/// };
/// let outcomes = block_on(products.write(&[product(1, "C-1", -7.0), product(2, "C-2", 7.0)]));
/// assert_eq!(outcomes[0].as_ref().map_err(|wrong| wrong.fate), Err(Fate::Refused));
/// assert!(outcomes[1].is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SqlWriter {
    backend: Arc<dyn Backend>,
    plan: Arc<WritePlan>,
    deadline: Duration,
    /// So much of the deadline is over when it is asked.
    waited: Duration,
}

impl SqlWriter {
    /// The same, for writes that were begun so long ago, and waited for something else: that counts towards the deadline.
    ///
    /// ```
    #[doc = include_str!("../example.txt")]
    #[doc = include_str!("example.txt")]
    /// # use std::time::Duration;
    /// let sql = "UPDATE products SET price = :price WHERE sku = :key";
    /// let products = database.writer("products", &WriteSql::new(sql))?;
    /// let id = WriteId { node: 1, number: 1 };
    /// let dearer = [Write { id, key: "T-1".into(), value: Some(json!({"price": 5}).into()) }];
    /// let late = products.after(products.deadline()); // all of it was spent on waiting
    /// let outcome = block_on(late.write(&dearer)).remove(0);
    /// assert_eq!(outcome.map_err(|wrong| wrong.fate), Err(Fate::NotWritten));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn after(&self, waited: Duration) -> SqlWriter {
        SqlWriter { waited: self.waited.saturating_add(waited), ..self.clone() }
    }

    /// As [`Writer::write`], for who keeps values in a form of his own that serde knows: which write it is, the key, and the
    /// value, or `None` for a deletion. It begins at once.
    ///
    /// Numbers are bound as they are spelt where the value is JSON text, as a [`serde_json::value::RawValue`] is.
    ///
    /// ```
    #[doc = include_str!("../example.txt")]
    #[doc = include_str!("example.txt")]
    /// #[derive(serde::Serialize)]
    /// struct Product {
    ///     price: f64,
    /// }
    ///
    /// let sql = "UPDATE products SET price = :price WHERE sku = :key";
    /// let products = database.writer("products", &WriteSql::new(sql))?;
    /// let id = WriteId { node: 1, number: 1 };
    /// let writes = [(id, &"T-1".into(), Some(&Product { price: 5.0 }))];
    /// assert!(block_on(products.write_values(writes))[0].is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write_values<'v, T: Serialize + ?Sized + 'v>(
        &self,
        writes: impl IntoIterator<Item = (WriteId, &'v Arc<str>, Option<&'v T>)>,
    ) -> BoxFuture<'static, Vec<Result<(), WriteError>>> {
        let plan = Arc::clone(&self.plan);
        let put = |(id, key, value): (WriteId, &'v Arc<str>, Option<&'v T>)| {
            Put::of(&plan, id, key, value.map(serde_json::to_string))
        };
        let puts: Vec<Put> = writes.into_iter().map(put).collect();
        let many = puts.len();
        let writing = self.backend.write(Arc::clone(&plan), puts, self.waited);
        Box::pin(async move {
            // Only a thread that panicked does not say what became of them.
            writing.await.unwrap_or_else(|wrong| {
                vec![Err(write_error(Fate::Unknown, &plan.cache, wrong)); many]
            })
        })
    }
}

impl Writer<Value> for SqlWriter {
    fn write<'a>(
        &'a self,
        writes: &'a [Write<Value>],
    ) -> BoxFuture<'a, Vec<Result<(), WriteError>>> {
        self.write_values(writes.iter().map(|write| (write.id, &write.key, write.value.as_deref())))
    }

    fn deadline(&self) -> Duration {
        self.deadline
    }

    fn remembers(&self) -> bool {
        self.plan.remember
    }
}

impl fmt::Debug for SqlWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlWriter").field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// A failed write of a cache.
pub(crate) fn write_error(fate: Fate, cache: &str, wrong: SourceError) -> WriteError {
    let error = Error::new(ErrorKind::Source, format!("cannot write {cache}"));
    WriteError::new(fate, error.because(wrong))
}
