//! The tables of the contract suite in PostgreSQL.

use std::fmt::Write as _;

use samovar_source::DateKind;

use super::{Database, PostgresError};
use crate::source::{Cell, Fixture, Type};

/// Which of PostgreSQL's types a table gets.
///
/// ```no_run
/// # use jiff::tz::TimeZone;
/// # use samovar_source::{Dataset, DateKind, Limits};
/// # use samovar_testkit::postgres::{PostgresError, Server, Types};
/// # use samovar_testkit::source::{Cell, Fixture, Type};
/// # fn main() -> Result<(), PostgresError> {
/// # let fixture = Fixture {
/// #     dataset: Dataset {
/// #         query: "orders".into(),
/// #         store_id: "store".into(),
/// #         store_name: None,
/// #         date: "day".into(),
/// #         date_kind: DateKind::Date,
/// #         time_zone: TimeZone::UTC,
/// #         product: None,
/// #         category: None,
/// #         columns: Vec::new(),
/// #     },
/// #     limits: Limits::default(),
/// #     columns: vec![("store".into(), Type::Integer), ("day".into(), Type::Text)],
/// #     rows: vec![vec![Cell::Integer(7), Cell::Text("2026-02-03".into())]],
/// #     indexed: true,
/// # };
/// // A table of orders as above, whose days are text in the fixture.
/// for (types, of_day) in [(Types::Plain, "text"), (Types::Native, "date")] {
///     let database = Server::shared()?.database()?;
///     database.fill(&fixture, types)?;
///     assert_eq!(database.run("SELECT pg_typeof(day) FROM orders")?, of_day);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Types {
    /// Those that every database has: `bigint`, `double precision`, `text`, and dates as text.
    Plain,
    /// PostgreSQL's own: dates are `date`, `timestamp` or `timestamptz` where their texts are such, floats `numeric`.
    Native,
}

/// A name as an identifier.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Database<'_> {
    /// Makes a fixture's table with its rows.
    ///
    /// # Errors
    /// If PostgreSQL refuses.
    ///
    /// ```
    /// # use jiff::tz::TimeZone;
    /// # use samovar_source::{Dataset, DateKind, Limits};
    /// # use samovar_testkit::postgres::{PostgresError, Server, Types};
    /// # use samovar_testkit::source::{Cell, Fixture, Type};
    /// # fn main() -> Result<(), PostgresError> {
    /// # let fixture = Fixture {
    /// #     dataset: Dataset {
    /// #         query: "orders".into(),
    /// #         store_id: "store".into(),
    /// #         store_name: None,
    /// #         date: "day".into(),
    /// #         date_kind: DateKind::Date,
    /// #         time_zone: TimeZone::UTC,
    /// #         product: None,
    /// #         category: None,
    /// #         columns: Vec::new(),
    /// #     },
    /// #     limits: Limits::default(),
    /// #     columns: vec![("store".into(), Type::Integer), ("day".into(), Type::Text)],
    /// #     rows: vec![vec![Cell::Integer(7), Cell::Text("2026-02-03".into())]],
    /// #     indexed: true,
    /// # };
    /// // A fixture with one order.
    /// let database = Server::shared()?.database()?;
    /// database.fill(&fixture, Types::Native)?;
    /// assert_eq!(database.run("SELECT * FROM orders")?, "7|2026-02-03");
    /// # Ok(())
    /// # }
    /// ```
    pub fn fill(&self, fixture: &Fixture, types: Types) -> Result<(), PostgresError> {
        let table = quoted(&fixture.dataset.query);
        let columns: Vec<String> = (0..fixture.columns.len())
            .map(|at| {
                format!("{} {}", quoted(&fixture.columns[at].0), sql_type(fixture, types, at))
            })
            .collect();
        let mut script = format!(
            "SET timezone = 'UTC'; CREATE TABLE {table} ({});\nCOPY {table} FROM stdin;\n",
            columns.join(", ")
        );
        for row in &fixture.rows {
            let cells: Vec<String> = row.iter().map(cell).collect();
            let _ = writeln!(script, "{}", cells.join("\t"));
        }
        script += "\\.\n";
        if fixture.indexed {
            let (store, date) = (quoted(&fixture.dataset.store_id), quoted(&fixture.dataset.date));
            let _ =
                writeln!(script, "CREATE INDEX by_store_and_date ON {table} ({store}, {date});");
        }
        self.run(&script).map(|_| ())
    }
}

/// The type of a column.
fn sql_type(fixture: &Fixture, types: Types, at: usize) -> &'static str {
    let (name, kind) = &fixture.columns[at];
    match (types, kind) {
        (Types::Plain, Type::Integer) => "bigint",
        (Types::Plain, Type::Real) => "double precision",
        (Types::Plain, Type::Text) => "text",
        (Types::Native, Type::Integer) if *name == fixture.dataset.date => "bigint",
        (Types::Native, Type::Integer) => "integer",
        (Types::Native, Type::Real) => "numeric",
        (Types::Native, Type::Text) if *name == fixture.dataset.date => date_type(fixture, at),
        (Types::Native, Type::Text) => "varchar",
    }
}

fn date_type(fixture: &Fixture, at: usize) -> &'static str {
    let texts = || {
        fixture.rows.iter().filter_map(move |row| match &row[at] {
            Cell::Text(text) => Some(text),
            _ => None,
        })
    };
    let is_day = |text: &str| text.parse::<samovar_core::Day>().is_ok();
    if texts().all(|text| is_day(text)) {
        "date"
    } else if texts().all(|text| text.get(..10).is_some_and(is_day)) {
        let is_instant = fixture.dataset.date_kind == DateKind::UtcDatetime;
        if is_instant { "timestamptz" } else { "timestamp" }
    } else {
        "text"
    }
}

/// A value as COPY reads it.
fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Null => "\\N".into(),
        Cell::Integer(number) => number.to_string(),
        Cell::Real(number) => number.to_string(),
        Cell::Text(text) => text
            .replace('\\', "\\\\")
            .replace('\n', "\\n")
            .replace('\r', "\\r")
            .replace('\t', "\\t"),
    }
}
