//! Questions that a sample cannot answer. Each is one query with a time limit; one that took too long has no answer.

use super::name::{full, plain};
use super::{Dialect, Explorer, Form, Kind, Query, TableName};
use crate::SourceError;

/// So many different values of one table are sought in another.
const SOUGHT: u64 = 500;
/// So many rows are looked at for orders that span stores or days.
const LINES: u64 = 1_000_000;

/// Asks a database what a sample cannot show.
///
/// ```
#[doc = include_str!("../example.txt")]
#[doc = include_str!("example.txt")]
/// use samovar_source::catalog::{Probe, TableName};
///
/// let mut explorer = Explorer::open(&Database::from(&*path))?;
/// let table = |name: &str| TableName { schema: None, name: name.into() };
/// let (orders, shops) = (table("orders"), table("shops"));
/// assert_eq!(explorer.found((&orders, "shop"), (&shops, "id"))?, Some(1.0), "all are there");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Probe {
    /// Whether no two rows of a table have the same values in these columns, NULL aside. `None`: not found out in time.
    ///
    /// # Errors
    /// If the database fails.
    ///
    /// ```
    #[doc = include_str!("../example.txt")]
    #[doc = include_str!("example.txt")]
    /// # use samovar_source::catalog::{Probe, TableName};
    /// let mut explorer = Explorer::open(&Database::from(&*path))?;
    /// let orders = TableName { schema: None, name: "orders".into() };
    /// assert_eq!(explorer.is_unique(&orders, &["shop".into()])?, Some(false), "7 has two lines");
    /// assert_eq!(explorer.is_unique(&orders, &["shop".into(), "day".into()])?, Some(true));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn is_unique(
        &mut self,
        table: &TableName,
        columns: &[String],
    ) -> Result<Option<bool>, SourceError>;

    /// Which share of some different values of a table's column is in another's. `None`: not found out in time, or there
    /// are no values.
    ///
    /// # Errors
    /// If the database fails.
    ///
    /// ```
    #[doc = include_str!("../example.txt")]
    #[doc = include_str!("example.txt")]
    /// # use samovar_source::catalog::{Probe, TableName};
    /// let mut explorer = Explorer::open(&Database::from(&*path))?;
    /// let table = |name: &str| TableName { schema: None, name: name.into() };
    /// let (orders, products) = (table("orders"), table("products"));
    /// assert_eq!(explorer.found((&orders, "day"), (&products, "sku"))?, Some(0.0), "none");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn found(
        &mut self,
        from: (&TableName, &str),
        to: (&TableName, &str),
    ) -> Result<Option<f64>, SourceError>;

    /// Whether values of a query's column (orders) occur with more than one store or day. `None`: not found out in time.
    ///
    /// # Errors
    /// If the database fails.
    ///
    /// ```
    #[doc = include_str!("../example.txt")]
    #[doc = include_str!("example.txt")]
    /// use samovar_source::catalog::{Columns, Expression, Probe, Query, TableName};
    ///
    /// let own = |name: &str| (Expression::Column(0, name.into()), name.into());
    /// let query = Query {
    ///     from: TableName { schema: None, name: "orders".into() },
    ///     joins: Vec::new(),
    ///     columns: vec![own("shop"), own("day"), own("amount")],
    /// };
    /// // Were the amount the number of an order, and were it the shop:
    /// let mut spanning = |order| {
    ///     let (store, date) = ("shop", "day");
    ///     let (kind, form, time_zone) = (Kind::Text, Form::Days, "UTC");
    ///     let columns = Columns { order, store, date, kind, form, time_zone };
    ///     Explorer::open(&Database::from(&*path))?.spans(&query, columns)
    /// };
    /// assert_eq!(spanning("amount")?.map(|found| (found.orders, found.spanning)), Some((3, 0)));
    /// assert_eq!(spanning("shop")?.map(|found| (found.orders, found.spanning)), Some((2, 1)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn spans(&mut self, query: &Query, columns: Columns<'_>) -> Result<Option<Spans>, SourceError>;
}

/// Columns of a query, by the names it gives them.
///
/// ```
/// # use samovar_source::catalog::{Columns, Form, Kind};
/// let columns = Columns {
///     order: "order_id",
///     store: "shop",
///     date: "day",
///     kind: Kind::Text,
///     form: Form::Days,
///     time_zone: "Europe/Berlin",
/// };
/// assert!(!columns.kind.is_number());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    /// What is counted: orders.
    pub order: &'a str,
    /// The store.
    pub store: &'a str,
    /// The date.
    pub date: &'a str,
    /// What the date column holds.
    pub kind: Kind,
    /// How its values are written.
    pub form: Form,
    /// The time zone of a day.
    pub time_zone: &'a str,
}

/// What was found out about orders.
///
/// ```
/// # use samovar_source::catalog::Spans;
/// let found = Spans { lines: 300, orders: 100, spanning: 0, all: true };
/// assert!(found.all && found.spanning == 0, "an order is of one store and one day");
/// assert_eq!(found.lines / found.orders, 3, "lines of an order");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spans {
    /// Lines looked at.
    pub lines: u64,
    /// Orders among them.
    pub orders: u64,
    /// Orders with more than one store or day.
    pub spanning: u64,
    /// Whether those are all lines there are.
    pub all: bool,
}

impl Probe for Explorer {
    fn is_unique(
        &mut self,
        table: &TableName,
        columns: &[String],
    ) -> Result<Option<bool>, SourceError> {
        let names: Vec<String> = columns.iter().map(|column| plain(column)).collect();
        let there: Vec<String> = names.iter().map(|name| format!("{name} IS NOT NULL")).collect();
        let query = format!(
            "SELECT count(*) FROM (SELECT 1 AS one FROM {} WHERE {} GROUP BY {} HAVING count(*) > 1 LIMIT 1) AS twice",
            full(table),
            there.join(" AND "),
            names.join(", ")
        );
        Ok(self.0.numbers(&query)?.map(|found| found == [0]))
    }

    fn found(
        &mut self,
        (from, column): (&TableName, &str),
        (to, key): (&TableName, &str),
    ) -> Result<Option<f64>, SourceError> {
        let (from, column, to, key) = (full(from), plain(column), full(to), plain(key));
        let query = format!(
            "SELECT count(*), count(CASE WHEN EXISTS (SELECT 1 FROM {to} AS t WHERE t.{key} = s.one) THEN 1 END)
             FROM (SELECT DISTINCT {column} AS one FROM {from} WHERE {column} IS NOT NULL LIMIT {SOUGHT}) AS s"
        );
        Ok(self.0.numbers(&query)?.and_then(|counts| match counts[..] {
            [sought, found] if sought > 0 => Some(found as f64 / sought as f64),
            _ => None,
        }))
    }

    fn spans(&mut self, query: &Query, columns: Columns<'_>) -> Result<Option<Spans>, SourceError> {
        let dialect = self.0.dialect();
        let (order, store) = (plain(columns.order), plain(columns.store));
        let day = day(dialect, columns);
        let query = format!(
            "SELECT CAST(coalesce(sum(n), 0) AS bigint), count(*), count(CASE WHEN low <> high OR first <> last THEN 1 END)
             FROM (SELECT count(*) AS n, min(s) AS low, max(s) AS high, min(d) AS first, max(d) AS last
                 FROM (SELECT q.{order} AS o, CAST(q.{store} AS text) AS s, {day} AS d
                     FROM ({}) AS q WHERE q.{order} IS NOT NULL LIMIT {LINES}) AS lines GROUP BY o) AS orders",
            query.text()
        );
        Ok(self.0.numbers(&query)?.and_then(|counts| match counts[..] {
            [lines, orders, spanning] => Some(Spans {
                lines: lines.unsigned_abs(),
                orders: orders.unsigned_abs(),
                spanning: spanning.unsigned_abs(),
                all: lines.unsigned_abs() < LINES,
            }),
            _ => None,
        }))
    }
}

/// The day of a date column, near enough to compare days with.
fn day(dialect: Dialect, columns: Columns<'_>) -> String {
    let date = format!("q.{}", plain(columns.date));
    match (dialect, columns.kind, columns.form) {
        (Dialect::Postgres, Kind::Day | Kind::Time, _) => format!("CAST({date} AS date)"),
        (Dialect::Postgres, Kind::Instant, _) => {
            let zone = columns.time_zone.replace('\'', "''");
            format!("CAST({date} AT TIME ZONE '{zone}' AS date)")
        }
        (_, Kind::Integer, _) => {
            // Milliseconds have three digits more; whole numbers divide to whole ones.
            format!("{date} / (CASE WHEN {date} > 100000000000 THEN 86400000 ELSE 86400 END)")
        }
        _ => format!("substr(CAST({date} AS text), 1, 10)"),
    }
}
