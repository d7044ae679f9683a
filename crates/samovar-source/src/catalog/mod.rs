//! What a database says of its own schema, and a bounded look at what is in it: enough to propose a dataset.
//!
//! Nothing here writes: SQLite is opened read-only, PostgreSQL is read in one read-only transaction. Nothing takes
//! long either: of every table a sample is looked at, and each question asked beyond that has a time limit.
//!
//! `sqlite` and `postgres` read, `seen` judges what a sample shows, `probe` asks what a sample cannot show, `query`
//! and `ddl` write the SQL that is proposed to people, `name` the names in it.
//!
//! ```
//! use samovar_source::catalog::{Explorer, Form};
//! use samovar_source::import::Database;
//!
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = directory.path().join("shop.sqlite");
//! # rusqlite::Connection::open(&path).unwrap().execute_batch(
//! #     "CREATE TABLE orders (store INTEGER, day TEXT, amount REAL);
//! #      INSERT INTO orders VALUES (7, '2026-02-03', 19.99), (7, '2026-02-04', -5);",
//! # ).unwrap();
//! let catalog = Explorer::open(&Database::from(path.as_path()))?.catalog()?;
//! let orders = &catalog.tables[0];
//! assert_eq!((&*orders.name.name, orders.rows), ("orders", Some(2)));
//! assert_eq!(orders.column("day").unwrap().seen.form, Form::Days);
//! assert_eq!(orders.column("amount").unwrap().seen.negative, 1);
//! # Ok::<(), samovar_source::SourceError>(())
//! ```

mod ddl;
mod name;
mod postgres;
mod probe;
mod query;
mod seen;
mod sqlite;

use std::fmt;

pub use ddl::{Index, analyze, by_month};
pub use probe::{Columns, Probe, Spans};
pub use query::{Expression, Join, Query};
pub use seen::{Form, Seen};

use crate::SourceError;
use crate::import::Database;

/// What a database says of its schema.
///
/// ```
#[doc = include_str!("../example.txt")]
#[doc = include_str!("example.txt")]
/// let catalog = Explorer::open(&Database::from(&*path))?.catalog()?;
/// assert_eq!(catalog.dialect, Dialect::Sqlite);
/// let names: Vec<String> = catalog.tables.iter().map(|table| table.name.to_string()).collect();
/// assert_eq!(names, ["orders", "products", "shops"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Catalog {
    /// Whose SQL it speaks.
    pub dialect: Dialect,
    /// The tables and views that can be read, in the order of their names; none of the system's, and none that is a
    /// part of another.
    pub tables: Vec<Table>,
    /// The IANA time zone that the server is set to, if it is one.
    pub time_zone: Option<String>,
}

/// Whose SQL a database speaks.
///
/// ```
/// # use samovar_source::catalog::{Dialect, TableName, analyze};
/// let orders = TableName { schema: None, name: "orders".into() };
/// assert_eq!(analyze(Dialect::Postgres, &orders), "ANALYZE orders;");
/// assert_eq!(analyze(Dialect::Sqlite, &orders), "ANALYZE;", "of all tables at once");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite's.
    Sqlite,
    /// PostgreSQL's.
    Postgres,
}

/// The name of a table, as it is.
///
/// ```
/// # use samovar_source::catalog::TableName;
/// let orders = TableName { schema: Some("shop".into()), name: "Order Lines".into() };
/// assert_eq!(orders.to_string(), "shop.Order Lines");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    /// Its schema, where the name alone does not find it.
    pub schema: Option<String>,
    /// Its name within the schema.
    pub name: String,
}

/// For people: `shop.orders`, without quotes.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// What kind of table it is.
///
/// ```
#[doc = include_str!("../example.txt")]
#[doc = include_str!("example.txt")]
/// let db = rusqlite::Connection::open(&path)?;
/// db.execute_batch("CREATE VIEW daily AS SELECT day, sum(amount) FROM orders GROUP BY day")?;
/// let catalog = Explorer::open(&Database::from(&*path))?.catalog()?;
/// let views = catalog.tables.iter().filter(|table| table.kind == TableKind::View);
/// assert_eq!(views.map(|view| &*view.name.name).collect::<Vec<_>>(), ["daily"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// One that holds its rows.
    Table,
    /// One whose rows are in partitions.
    Partitioned,
    /// A view, materialized or not, or a table of another server.
    View,
}

/// A table or view.
///
/// ```
#[doc = include_str!("../example.txt")]
#[doc = include_str!("example.txt")]
/// let catalog = Explorer::open(&Database::from(&*path))?.catalog()?;
/// let [orders, products, _] = &catalog.tables[..] else { panic!("there are three") };
/// assert_eq!((orders.rows, orders.counted), (Some(3), true));
/// assert_eq!(orders.indexes, [["shop", "day"]]);
/// assert_eq!(products.keys, [["sku"]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name.
    pub name: TableName,
    /// What kind it is.
    pub kind: TableKind,
    /// How many rows it has, or is thought to have; `None` if nobody knows.
    pub rows: Option<u64>,
    /// Whether [`Table::rows`] was counted.
    pub counted: bool,
    /// Bytes on disk with its indexes, where the database tells.
    pub bytes: Option<u64>,
    /// Whether the planner has statistics of it.
    pub analyzed: bool,
    /// How it is partitioned, in the database's words: `RANGE (day)`.
    pub partitioned_by: Option<String>,
    /// Its columns, in its order.
    pub columns: Vec<Column>,
    /// Columns whose values together tell rows apart: the primary key first, then unique ones.
    pub keys: Vec<Vec<String>>,
    /// Its foreign keys.
    pub references: Vec<Reference>,
    /// The columns of its indexes that cover all rows, in their order; an index ends at its first expression.
    pub indexes: Vec<Vec<String>>,
}

impl Table {
    /// A column by its name.
    ///
    /// ```
    #[doc = include_str!("../example.txt")]
    #[doc = include_str!("example.txt")]
    /// let catalog = Explorer::open(&Database::from(&*path))?.catalog()?;
    /// let orders = &catalog.tables[0];
    /// assert_eq!(orders.column("amount").map(|column| &*column.declared), Some("REAL"));
    /// assert!(orders.column("price").is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Whether an index begins with these columns, in this order.
    ///
    /// ```
    #[doc = include_str!("../example.txt")]
    #[doc = include_str!("example.txt")]
    /// let catalog = Explorer::open(&Database::from(&*path))?.catalog()?;
    /// // It has one index, on (shop, day).
    /// let orders = &catalog.tables[0];
    /// assert!(orders.has_index(&["shop".into()]));
    /// assert!(!orders.has_index(&["day".into()]), "no index begins with it");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn has_index(&self, columns: &[String]) -> bool {
        self.indexes.iter().any(|index| index.starts_with(columns))
    }
}

/// A foreign key.
///
/// ```
#[doc = include_str!("../example.txt")]
#[doc = include_str!("example.txt")]
/// let catalog = Explorer::open(&Database::from(&*path))?.catalog()?;
/// let reference = &catalog.tables[0].references[0];
/// assert_eq!(reference.columns, ["shop"]);
/// assert_eq!(catalog.tables[reference.table].name.name, "shops");
/// assert_eq!(reference.to, ["id"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The columns that refer.
    pub columns: Vec<String>,
    /// The table they refer to: where it stands in [`Catalog::tables`].
    pub table: usize,
    /// The columns they refer to.
    pub to: Vec<String>,
}

/// A column.
///
/// ```
#[doc = include_str!("../example.txt")]
#[doc = include_str!("example.txt")]
/// let catalog = Explorer::open(&Database::from(&*path))?.catalog()?;
/// let amount = &catalog.tables[0].columns[2];
/// assert_eq!((&*amount.name, amount.kind, amount.nullable), ("amount", Kind::Number, true));
/// assert_eq!((amount.seen.decimals, amount.seen.range), (2, Some((-5.0, 19.99))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, in the database's words; empty if it declares none.
    pub declared: String,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// What it holds.
    pub kind: Kind,
    /// What a sample shows.
    pub seen: Seen,
}

/// What a column holds: by its type in PostgreSQL, by its sample in SQLite, whose types promise nothing.
///
/// ```
#[doc = include_str!("../example.txt")]
#[doc = include_str!("example.txt")]
/// let catalog = Explorer::open(&Database::from(&*path))?.catalog()?;
/// let kinds: Vec<Kind> = catalog.tables[0].columns.iter().map(|column| column.kind).collect();
/// assert_eq!(kinds, [Kind::Integer, Kind::Text, Kind::Number], "its days are texts");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Whole numbers.
    Integer,
    /// Numbers with fractions.
    Number,
    /// PostgreSQL's `money`, which has to be cast.
    Money,
    /// Truths.
    Boolean,
    /// Text, labels and UUIDs.
    Text,
    /// Calendar days.
    Day,
    /// Times without a time zone.
    Time,
    /// Instants.
    Instant,
    /// Anything else; it can be cast to text at best.
    Other,
}

impl Kind {
    /// Whether values can be added up.
    ///
    /// ```
    /// # use samovar_source::catalog::Kind;
    /// assert!(Kind::Integer.is_number() && Kind::Money.is_number());
    /// assert!(!Kind::Boolean.is_number() && !Kind::Day.is_number());
    /// ```
    pub fn is_number(self) -> bool {
        matches!(self, Kind::Integer | Kind::Number | Kind::Money)
    }
}

/// A database that is being looked at.
///
/// ```
#[doc = include_str!("../example.txt")]
/// use samovar_source::catalog::{Explorer, Probe};
/// use samovar_source::import::Database;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = shop()?;
/// let mut explorer = Explorer::open(&Database::from(&*path))?;
/// let catalog = explorer.catalog()?;
/// let orders = &catalog.tables[0];
/// let of_a_day = explorer.is_unique(&orders.name, &["shop".into(), "day".into()])?;
/// assert_eq!(of_a_day, Some(true), "one line for each shop and day");
/// # Ok(())
/// # }
/// ```
pub struct Explorer(Box<dyn Reader>);

impl Explorer {
    /// Opens a database for reading.
    ///
    /// # Errors
    /// If it is not there or cannot be reached ([`SourceErrorKind::Unreachable`](crate::SourceErrorKind::Unreachable)).
    ///
    /// ```
    /// # use std::path::Path;
    /// # use samovar_source::SourceErrorKind;
    /// # use samovar_source::catalog::Explorer;
    /// # use samovar_source::import::Database;
    /// let wrong = Explorer::open(&Database::from(Path::new("no-such.sqlite")));
    /// assert_eq!(wrong.expect_err("it makes none").kind(), SourceErrorKind::Unreachable);
    /// ```
    pub fn open(database: &Database) -> Result<Explorer, SourceError> {
        Ok(Explorer(match database {
            Database::Sqlite(path) => Box::new(sqlite::Sqlite::open(path)?),
            Database::Postgres(options) => Box::new(postgres::Postgres::open(options)?),
        }))
    }

    /// Looks at the schema, and at a sample of every table.
    ///
    /// # Errors
    /// If the database fails.
    ///
    /// ```
    #[doc = include_str!("../example.txt")]
    #[doc = include_str!("example.txt")]
    /// let catalog = Explorer::open(&Database::from(&*path))?.catalog()?;
    /// let days = catalog.tables.iter().flat_map(|table| &table.columns);
    /// let days = days.filter(|column| column.seen.form == Form::Days);
    /// assert_eq!(days.map(|column| &*column.name).collect::<Vec<_>>(), ["day"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn catalog(&mut self) -> Result<Catalog, SourceError> {
        self.0.catalog()
    }
}

impl fmt::Debug for Explorer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Explorer").finish_non_exhaustive()
    }
}

/// What one database does in its own way.
trait Reader {
    fn catalog(&mut self) -> Result<Catalog, SourceError>;

    fn dialect(&self) -> Dialect;

    /// The one row of whole numbers that a query gives; `None` if that took too long.
    fn numbers(&mut self, query: &str) -> Result<Option<Vec<i64>>, SourceError>;
}
