//! The query that is proposed: one table, what is joined to each of its rows, and what is computed.

use super::TableName;
use super::name::{full, plain};

/// A SELECT of one row for each row of a table.
///
/// ```
/// use samovar_source::catalog::{Expression, Join, Query, TableName};
///
/// let table = |name: &str| TableName { schema: None, name: name.into() };
/// let query = Query {
///     from: table("orders"),
///     joins: vec![Join {
///         table: table("shops"),
///         by: 0,
///         columns: vec!["shop".into()],
///         to: vec!["id".into()],
///     }],
///     columns: vec![
///         (Expression::Column(1, "name".into()), "store".into()),
///         (Expression::Column(0, "day".into()), "day".into()),
///     ],
/// };
/// assert_eq!(
///     query.text(),
///     "SELECT
///     shops.name AS store,
///     orders.day
/// FROM orders
/// LEFT JOIN shops ON shops.id = orders.shop"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The table.
    pub from: TableName,
    /// What is looked up for each of its rows, in an order in which each needs only those before it.
    pub joins: Vec<Join>,
    /// The columns with their names.
    pub columns: Vec<(Expression, String)>,
}

/// A row of another table that is looked up. It is an outer join, so that no row is lost, and rows are not multiplied
/// where the columns [`Join::to`] tell the rows of the table apart.
///
/// ```
/// # use samovar_source::catalog::{Expression, Join, Query, TableName};
/// # let table = |name: &str| TableName { schema: None, name: name.into() };
/// // The managers of the shops, which are looked up before them.
/// let look_up = |name: &str, by, column: &str| Join {
///     table: table(name),
///     by,
///     columns: vec![column.into()],
///     to: vec!["id".into()],
/// };
/// let query = Query {
///     from: table("orders"),
///     joins: vec![look_up("shops", 0, "shop"), look_up("people", 1, "manager")],
///     columns: vec![(Expression::Column(2, "name".into()), "manager".into())],
/// };
/// assert!(query.text().ends_with("LEFT JOIN people ON people.id = shops.manager"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// The table.
    pub table: TableName,
    /// Which of the tables before looks it up: 0 is the query's own, 1 the first join, …
    pub by: usize,
    /// The columns by which it is looked up.
    pub columns: Vec<String>,
    /// The columns of the table that they are equal to.
    pub to: Vec<String>,
}

/// What a column of a query is.
///
/// ```
/// # use samovar_source::catalog::{Expression, Query, TableName};
/// let column = |name: &str| Box::new(Expression::Column(0, name.into()));
/// let net = Expression::Times(column("price"), Box::new(Expression::Rest(column("discount"))));
/// let query = Query {
///     from: TableName { schema: None, name: "orders".into() },
///     joins: Vec::new(),
///     columns: vec![(net, "net".into())],
/// };
/// assert!(query.text().contains("orders.price * (1 - orders.discount) AS net"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// A column of a table: 0 is the query's own, 1 the first join, …
    Column(usize, String),
    /// As text.
    Text(Box<Expression>),
    /// PostgreSQL's `money` as a number.
    Number(Box<Expression>),
    /// The first, or the second where that is NULL.
    Either(Box<Expression>, Box<Expression>),
    /// Times.
    Times(Box<Expression>, Box<Expression>),
    /// Minus.
    Minus(Box<Expression>, Box<Expression>),
    /// One minus it.
    Rest(Box<Expression>),
    /// Divided by a number.
    Over(Box<Expression>, u32),
    /// `2026-02-03` of `20260203`.
    Day(Box<Expression>),
    /// A fixed text.
    Constant(String),
}

impl Query {
    /// The names by which the tables are called in the query: their own where they are different.
    fn aliases(&self) -> Vec<String> {
        let mut aliases: Vec<String> = Vec::new();
        for table in [&self.from].into_iter().chain(self.joins.iter().map(|join| &join.table)) {
            let wanted = std::iter::once(table.name.clone())
                .chain((2..).map(|at| format!("{}_{at}", table.name)));
            let taken = |name: &String| {
                aliases.iter().any(|alias| alias.to_lowercase() == name.to_lowercase())
            };
            aliases.extend(wanted.filter(|name| !taken(name)).take(1).collect::<Vec<_>>());
        }
        aliases.iter().map(|alias| plain(alias)).collect()
    }

    /// The text, on several lines. SQLite and PostgreSQL both understand it.
    ///
    /// ```
    /// # use samovar_source::catalog::{Expression, Query, TableName};
    /// let query = Query {
    ///     from: TableName { schema: Some("shop".into()), name: "Order".into() },
    ///     joins: Vec::new(),
    ///     columns: vec![(Expression::Column(0, "day".into()), "day".into())],
    /// };
    /// assert_eq!(query.text(), "SELECT\n    \"Order\".day\nFROM shop.\"Order\" AS \"Order\"");
    /// ```
    pub fn text(&self) -> String {
        let aliases = self.aliases();
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|(expression, name)| {
                let text = expression.text(&aliases);
                let own = match expression {
                    Expression::Column(_, column) => column == name,
                    _ => false,
                };
                if own { format!("    {text}") } else { format!("    {text} AS {}", plain(name)) }
            })
            .collect();
        let table = |table: &TableName, alias: &str| {
            let name = full(table);
            if name == alias { name } else { format!("{name} AS {alias}") }
        };
        let mut text =
            format!("SELECT\n{}\nFROM {}", columns.join(",\n"), table(&self.from, &aliases[0]));
        for (at, join) in self.joins.iter().enumerate() {
            let (alias, by) = (&aliases[at + 1], &aliases[join.by]);
            let equal: Vec<String> = (join.columns.iter().zip(&join.to))
                .map(|(column, to)| format!("{alias}.{} = {by}.{}", plain(to), plain(column)))
                .collect();
            text +=
                &format!("\nLEFT JOIN {} ON {}", table(&join.table, alias), equal.join(" AND "));
        }
        text
    }
}

impl Expression {
    /// As text.
    ///
    /// ```
    /// # use samovar_source::catalog::Expression;
    /// let shop = Expression::Column(0, "shop".into());
    /// assert_eq!(shop.clone().as_text(), Expression::Text(Box::new(shop)));
    /// ```
    #[must_use]
    pub fn as_text(self) -> Expression {
        Expression::Text(Box::new(self))
    }

    /// The tables whose columns it needs.
    ///
    /// ```
    /// # use samovar_source::catalog::Expression;
    /// let column = |table| Box::new(Expression::Column(table, "name".into()));
    /// let name = Expression::Either(column(2), column(0));
    /// assert_eq!(name.tables(), [2, 0]);
    /// ```
    pub fn tables(&self) -> Vec<usize> {
        match self {
            Expression::Column(table, _) => vec![*table],
            Expression::Constant(_) => Vec::new(),
            Expression::Text(one)
            | Expression::Number(one)
            | Expression::Rest(one)
            | Expression::Over(one, _)
            | Expression::Day(one) => one.tables(),
            Expression::Either(one, other)
            | Expression::Times(one, other)
            | Expression::Minus(one, other) => [one.tables(), other.tables()].concat(),
        }
    }

    /// The same of tables that stand elsewhere.
    ///
    /// ```
    /// # use samovar_source::catalog::Expression;
    /// let name = Expression::Column(1, "name".into()).as_text();
    /// let moved = name.moved(&|table| table + 2); // two more tables stand before it
    /// assert_eq!(moved.tables(), [3]);
    /// ```
    #[must_use]
    pub fn moved(&self, to: &dyn Fn(usize) -> usize) -> Expression {
        let of = |inner: &Expression| Box::new(inner.moved(to));
        match self {
            Expression::Column(table, name) => Expression::Column(to(*table), name.clone()),
            Expression::Constant(text) => Expression::Constant(text.clone()),
            Expression::Text(one) => Expression::Text(of(one)),
            Expression::Number(one) => Expression::Number(of(one)),
            Expression::Rest(one) => Expression::Rest(of(one)),
            Expression::Over(one, by) => Expression::Over(of(one), *by),
            Expression::Day(one) => Expression::Day(of(one)),
            Expression::Either(one, other) => Expression::Either(of(one), of(other)),
            Expression::Times(one, other) => Expression::Times(of(one), of(other)),
            Expression::Minus(one, other) => Expression::Minus(of(one), of(other)),
        }
    }

    fn text(&self, aliases: &[String]) -> String {
        let of = |inner: &Expression| inner.text(aliases);
        let within = |inner: &Expression| match inner {
            Expression::Minus(..) => format!("({})", of(inner)),
            _ => of(inner),
        };
        match self {
            Expression::Column(table, name) => format!("{}.{}", aliases[*table], plain(name)),
            Expression::Text(inner) => format!("CAST({} AS text)", of(inner)),
            Expression::Number(inner) => format!("CAST({} AS numeric)", of(inner)),
            Expression::Either(first, second) => format!("coalesce({}, {})", of(first), of(second)),
            Expression::Times(one, other) => format!("{} * {}", within(one), within(other)),
            Expression::Minus(one, other) => format!("{} - {}", of(one), within(other)),
            Expression::Rest(inner) => format!("(1 - {})", within(inner)),
            Expression::Over(inner, by) => format!("{} / {by}.0", within(inner)),
            Expression::Day(inner) => {
                let digits = of(&inner.clone().as_text());
                let part = |from, length| format!("substr({digits}, {from}, {length})");
                format!("{} || '-' || {} || '-' || {}", part(1, 4), part(5, 2), part(7, 2))
            }
            Expression::Constant(text) => {
                let text = text.replace('\'', "''");
                format!("CAST('{text}' AS text)")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(schema: Option<&str>, name: &str) -> TableName {
        TableName { schema: schema.map(str::to_owned), name: name.into() }
    }

    fn column(table: usize, name: &str) -> Box<Expression> {
        Box::new(Expression::Column(table, name.into()))
    }

    #[test]
    fn names_are_quoted_where_they_must_be() {
        let query = Query {
            from: table(Some("shop"), "Order Lines"),
            joins: vec![
                Join {
                    table: table(None, "order"),
                    by: 0,
                    columns: vec!["order".into(), "year".into()],
                    to: vec!["id".into(), "Year".into()],
                },
                Join {
                    table: table(Some("old"), "order"),
                    by: 1,
                    columns: vec!["earlier".into()],
                    to: vec!["id".into()],
                },
            ],
            columns: vec![
                (*column(1, "store_id"), "store_id".into()),
                (
                    Expression::Either(column(2, "say \"hi\""), column(0, "门店")),
                    "store_name".into(),
                ),
                (
                    Expression::Minus(
                        column(0, "amount"),
                        Box::new(Expression::Times(
                            Box::new(Expression::Minus(column(0, "a"), column(0, "b"))),
                            Box::new(Expression::Rest(column(0, "c"))),
                        )),
                    ),
                    "profit".into(),
                ),
                (Expression::Over(column(0, "amount_cents"), 100), "group".into()),
                (Expression::Constant("Ann's".into()), "one".into()),
            ],
        };
        let expected = r#"SELECT
    "order".store_id,
    coalesce(order_2."say ""hi""", "Order Lines"."门店") AS store_name,
    "Order Lines".amount - ("Order Lines".a - "Order Lines".b) * (1 - "Order Lines".c) AS profit,
    "Order Lines".amount_cents / 100.0 AS "group",
    CAST('Ann''s' AS text) AS one
FROM shop."Order Lines" AS "Order Lines"
LEFT JOIN "order" ON "order".id = "Order Lines"."order" AND "order"."Year" = "Order Lines".year
LEFT JOIN old."order" AS order_2 ON order_2.id = "order".earlier"#;
        assert_eq!(query.text(), expected);
    }
}
