//! Statements that are proposed to people and never run here.

use super::name::{full, plain};
use super::{Dialect, Kind, Table, TableKind, TableName};

/// An index that would help.
///
/// ```
/// use samovar_source::catalog::{Dialect, Index, TableKind, TableName};
///
/// let orders = TableName { schema: None, name: "orders".into() };
/// let index = Index { table: orders, columns: vec!["shop".into(), "day".into()], unique: false };
/// assert_eq!(
///     index.statement(Dialect::Sqlite, TableKind::Table),
///     "CREATE INDEX orders_by_shop_and_day ON orders (shop, day);"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The table.
    pub table: TableName,
    /// The columns, in this order.
    pub columns: Vec<String>,
    /// Whether no two rows may have the same values in them.
    pub unique: bool,
}

impl Index {
    /// The statement. PostgreSQL makes the index while others write, except on a partitioned table, where it cannot.
    ///
    /// ```
    /// # use samovar_source::catalog::{Dialect, Index, TableKind, TableName};
    /// # let orders = TableName { schema: None, name: "orders".into() };
    /// let index = Index { table: orders, columns: vec!["Order".into()], unique: true };
    /// assert_eq!(
    ///     index.statement(Dialect::Postgres, TableKind::Table),
    ///     "CREATE UNIQUE INDEX CONCURRENTLY ON orders (\"Order\");"
    /// );
    /// ```
    pub fn statement(&self, dialect: Dialect, kind: TableKind) -> String {
        let unique = if self.unique { "UNIQUE " } else { "" };
        let columns: Vec<String> = self.columns.iter().map(|name| plain(name)).collect();
        let (table, columns) = (full(&self.table), columns.join(", "));
        match (dialect, kind) {
            (Dialect::Postgres, TableKind::Partitioned) => {
                format!("CREATE {unique}INDEX ON {table} ({columns});")
            }
            (Dialect::Postgres, _) => {
                format!("CREATE {unique}INDEX CONCURRENTLY ON {table} ({columns});")
            }
            (Dialect::Sqlite, _) => {
                let name = format!("{}_by_{}", self.table.name, self.columns.join("_and_"));
                format!("CREATE {unique}INDEX {} ON {table} ({columns});", plain(&name))
            }
        }
    }
}

/// Has the planner look at a table; at all of them in SQLite, which keeps its statistics in one place.
///
/// ```
/// # use samovar_source::catalog::{Dialect, TableName, analyze};
/// let lines = TableName { schema: Some("shop".into()), name: "Lines".into() };
/// assert_eq!(analyze(Dialect::Postgres, &lines), "ANALYZE shop.\"Lines\";");
/// ```
pub fn analyze(dialect: Dialect, table: &TableName) -> String {
    match dialect {
        Dialect::Sqlite => "ANALYZE;".into(),
        Dialect::Postgres => format!("ANALYZE {};", full(table)),
    }
}

/// How to put a PostgreSQL table into partitions of a month each: a copy beside it, filled, indexed and put in its
/// place. `None` if its date column is of no type that has months.
///
/// ```
#[doc = include_str!("../example.txt")]
#[doc = include_str!("example.txt")]
/// # use samovar_source::catalog::by_month;
/// let catalog = Explorer::open(&Database::from(&*path))?.catalog()?;
/// let mut orders = catalog.tables[0].clone();
/// assert_eq!(by_month(&orders, "day", Some("shop")), None, "its days are texts");
/// orders.columns[1].kind = Kind::Day; // as PostgreSQL says of a `date`
/// let script = by_month(&orders, "day", Some("shop")).unwrap_or_default();
/// assert!(script.contains("PARTITION BY RANGE (day)"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn by_month(table: &Table, date: &str, store: Option<&str>) -> Option<String> {
    let kind = table.column(date)?.kind;
    if !matches!(kind, Kind::Day | Kind::Time | Kind::Instant) {
        return None;
    }
    let name = &table.name;
    let beside = |suffix: &str| {
        full(&TableName { schema: name.schema.clone(), name: format!("{}_{suffix}", name.name) })
    };
    let (old, new, rest) = (full(name), beside("by_month"), beside("by_month_rest"));
    let text = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let part = match &name.schema {
        Some(schema) => format!("quote_ident({}) || '.' || ", text(schema)),
        None => String::new(),
    };
    let part = format!(
        "{part}quote_ident({} || to_char(month, 'YYYY_MM'))",
        text(&format!("{}_", name.name))
    );
    let index = store.map_or(String::new(), |store| {
        format!("CREATE INDEX ON {new} ({}, {});\n", plain(store), plain(date))
    });
    let date = plain(date);
    let (own, before) = (plain(&name.name), plain(&format!("{}_unpartitioned", name.name)));
    Some(format!(
        "CREATE TABLE {new} (LIKE {old} INCLUDING DEFAULTS INCLUDING GENERATED) PARTITION BY RANGE ({date});
DO $months$
DECLARE
    month date;
BEGIN
    FOR month IN
        SELECT generate_series(date_trunc('month', min({date})), max({date}), interval '1 month') FROM {old}
    LOOP
        EXECUTE 'CREATE TABLE ' || {part}
            || ' PARTITION OF ' || {}
            || format(' FOR VALUES FROM (%L) TO (%L)', month, month + interval '1 month');
    END LOOP;
END
$months$;
CREATE TABLE {rest} PARTITION OF {new} DEFAULT;
INSERT INTO {new} SELECT * FROM {old};
{index}BEGIN;
ALTER TABLE {old} RENAME TO {before};
ALTER TABLE {new} RENAME TO {own};
COMMIT;
ANALYZE {old};",
        text(&new)
    ))
}
