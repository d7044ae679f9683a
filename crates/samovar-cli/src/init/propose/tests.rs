//! What is proposed for schemas of many shapes, without a database: tables are made of what a catalog would say.

use std::collections::HashMap;

use samovar_source::SourceError;
use samovar_source::catalog::{
    Catalog, Column, Columns, Dialect, Form, Kind, Probe, Query, Reference, Seen, Spans, Table,
    TableKind, TableName,
};

use super::{Proposal, Wishes, propose};

/// Rows looked at in every table of these tests.
const LOOKED: u64 = 1_000;

/// A column in a few words: `name: what`, see [`seen`].
fn column(words: &str) -> Column {
    let (name, what) = words.split_once(": ").unwrap();
    let (kind, seen) = seen(what);
    let declared = if kind == Kind::Text { "text" } else { "" };
    Column { name: name.into(), declared: declared.into(), nullable: true, kind, seen }
}

/// What a sample shows of a column that is said to be an `id` (all different), `few` ids, `name`s, `day`s, …
fn seen(what: &str) -> (Kind, Seen) {
    let range = |low, high| Some((low, high));
    let (kind, form, distinct) = match what {
        "id" => (Kind::Integer, Form::Numbers, LOOKED),
        "few" => (Kind::Integer, Form::Numbers, 20),
        "many" | "count" => (Kind::Integer, Form::Numbers, 300),
        "uuid" => (Kind::Text, Form::Mixed, LOOKED),
        "name" => (Kind::Text, Form::Mixed, 200),
        "label" => (Kind::Text, Form::Mixed, 4),
        "day" => (Kind::Text, Form::Days, 90),
        "time" => (Kind::Text, Form::Times, 900),
        "utc" => (Kind::Text, Form::Instants, 900),
        "epoch" => (Kind::Integer, Form::Numbers, 900),
        "digits" => (Kind::Integer, Form::Digits, 90),
        "timestamptz" => (Kind::Instant, Form::Times, 900),
        "money" | "signed" | "share" => (Kind::Number, Form::Numbers, 500),
        other => panic!("no such column: {other}"),
    };
    let mut seen = Seen { rows: LOOKED, values: LOOKED, distinct, form, ..Seen::default() };
    (seen.range, seen.decimals, seen.negative) = match what {
        "money" => (range(0.5, 99.5), 2, 0),
        "signed" => (range(-99.5, 99.5), 2, 40),
        "share" => (range(0.0, 0.8), 2, 0),
        "epoch" => (range(1.7e9, 1.78e9), 0, 0),
        "digits" => (range(20_260_101.0, 20_261_231.0), 0, 0),
        _ if kind == Kind::Integer => (range(1.0, 900.0), 0, 0),
        _ => (None, 0, 0),
    };
    (kind, seen)
}

/// A table of so many rows: its columns, a key marked by `*` before its name, a foreign key as `name > table.column: few`.
struct Made(&'static str, u64, &'static [&'static str]);

fn catalog(dialect: Dialect, tables: &[Made]) -> Catalog {
    let made = |Made(name, rows, columns): &Made| {
        let mut table = Table {
            name: TableName { schema: None, name: (*name).into() },
            kind: TableKind::Table,
            rows: Some(*rows),
            counted: false,
            bytes: None,
            analyzed: true,
            partitioned_by: None,
            columns: Vec::new(),
            keys: Vec::new(),
            references: Vec::new(),
            indexes: Vec::new(),
        };
        for words in *columns {
            let (words, is_key) = (words.trim_start_matches('*'), words.starts_with('*'));
            let (before, what) = words.split_once(": ").unwrap();
            let (name, refers) = match before.split_once(" > ") {
                Some((name, to)) => (name, Some(to)),
                None => (before, None),
            };
            table.columns.push(column(&format!("{name}: {what}")));
            if is_key {
                table.keys.push(vec![name.into()]);
                table.indexes.push(vec![name.into()]);
            }
            if let Some((to, key)) = refers.and_then(|to| to.split_once('.')) {
                let table_of = tables.iter().position(|Made(other, ..)| *other == to).unwrap();
                let reference =
                    Reference { columns: vec![name.into()], table: table_of, to: vec![key.into()] };
                table.references.push(reference);
            }
        }
        table
    };
    Catalog { dialect, tables: tables.iter().map(made).collect(), time_zone: None }
}

/// Answers as it is told to.
#[derive(Default)]
struct Told {
    /// `table.column`s that hold a value twice.
    twice: Vec<&'static str>,
    /// Of a thousand orders so many span.
    spanning: Option<u64>,
    /// How often it was asked, by question.
    asked: HashMap<String, u32>,
}

impl Probe for Told {
    fn is_unique(
        &mut self,
        table: &TableName,
        columns: &[String],
    ) -> Result<Option<bool>, SourceError> {
        let question = format!("{table}.{}", columns.join(","));
        *self.asked.entry(question.clone()).or_default() += 1;
        Ok(Some(!self.twice.contains(&&*question)))
    }

    fn found(
        &mut self,
        _: (&TableName, &str),
        _: (&TableName, &str),
    ) -> Result<Option<f64>, SourceError> {
        Ok(Some(1.0))
    }

    fn spans(&mut self, _: &Query, _: Columns<'_>) -> Result<Option<Spans>, SourceError> {
        let spans = |spanning| Spans { lines: 3_000, orders: 1_000, spanning, all: true };
        Ok(self.spanning.map(spans))
    }
}

fn proposed(tables: &[Made]) -> Proposal {
    with(tables, &mut Told { spanning: Some(0), ..Told::default() })
}

fn with(tables: &[Made], told: &mut Told) -> Proposal {
    let catalog = catalog(Dialect::Sqlite, tables);
    propose(&catalog, &Wishes::default(), told).unwrap_or_else(|failure| panic!("{}", failure.0))
}

/// Table, store, date and measures, with what is offered in brackets.
fn short(proposal: &Proposal) -> String {
    let from = proposal
        .query
        .split("\nFROM ")
        .nth(1)
        .map_or(&*proposal.query, |from| from.lines().next().unwrap());
    let measures: Vec<String> =
        (proposal.measures.iter())
            .map(|(measure, _)| {
                if measure.proposed { measure.name.clone() } else { format!("[{}]", measure.name) }
            })
            .collect();
    format!("{from}; {}; {}; {}", proposal.store_id.value, proposal.date.value, measures.join(" "))
}

#[test]
fn tables_alone() {
    for (table, expected) in [
        (
            Made(
                "sales",
                9_000,
                &["store_id: few", "day: day", "product: name", "amount: money", "profit: signed"],
            ),
            "sales; store_id; day; sales lines profit",
        ),
        (
            Made(
                "t",
                9_000,
                &["*id: id", "filiale: few", "datum: day", "umsatz: money", "menge: count"],
            ),
            "t; filiale; datum; sales lines quantity",
        ),
        // Nothing is added up that says nothing.
        (
            Made(
                "orders",
                9_000,
                &[
                    "*id: id",
                    "branch_code: few",
                    "latitude: money",
                    "year: few",
                    "week: few",
                    "zip: many",
                    "phone: many",
                    "unit_price: money",
                    "customer_id: many",
                    "total: money",
                    "placed_at: utc",
                    "shipped_at: utc",
                    "rating: few",
                    "tax: money",
                ],
            ),
            "orders; branch_code; placed_at; sales orders [tax] [customers]",
        ),
        (
            Made(
                "receipts",
                9_000,
                &["shop: label", "till: few", "printed: epoch", "day_key: digits", "value: money"],
            ),
            "receipts; store_id; date; sales orders",
        ),
        // Where nothing is a store, a place is; where there is none, all is one.
        (
            Made(
                "orders",
                9_000,
                &[
                    "city: name",
                    "region: label",
                    "order_date: day",
                    "sales: money",
                    "discount: share",
                ],
            ),
            "orders; region; order_date; sales orders [discount]",
        ),
        (
            Made("bookings", 9_000, &["booked_on: day", "price: money"]),
            "bookings; store_id; date; sales orders",
        ),
        (
            Made("visits", 9_000, &["shop_id: few", "visited_time: epoch"]),
            "visits; shop_id; visited_time; lines",
        ),
        (
            Made(
                "deliveries",
                9_000,
                &["store: few", "date: day", "delivery_minutes: money", "prep_seconds: count"],
            ),
            "deliveries; store_id; date; lines delivery_minutes_mean delivery_minutes_p95 prep_seconds_mean \
             prep_seconds_p95",
        ),
        (
            Made(
                "sales",
                9_000,
                &[
                    "store_id: few",
                    "day: day",
                    "qty: count",
                    "unit_price: money",
                    "discount: share",
                ],
            ),
            "sales; store_id; date; sales lines quantity",
        ),
        (
            Made(
                "sales",
                9_000,
                &["store_id: few", "day: day", "amount: signed", "unit_cost: money", "qty: count"],
            ),
            "sales; store_id; date; sales lines profit quantity",
        ),
    ] {
        let name = table.0;
        assert_eq!(short(&proposed(&[table])), expected, "{name}");
    }
}

#[test]
fn ways_of_paying_are_no_orders() {
    let tables = [
        Made(
            "orders",
            9_000,
            &[
                "*id: id",
                "store_id: few",
                "payment_method_id > payment_methods.id: few",
                "ordered_on: day",
                "amount: money",
            ],
        ),
        Made("payment_methods", 5, &["*id: id", "name: label"]),
    ];
    let proposal = proposed(&tables);
    assert_eq!(short(&proposal), "orders; store_id; ordered_on; sales orders");
    assert_eq!(proposal.measures[1].0.how, super::How::Lines);
}

#[test]
fn orders_that_are_counted_are_added_up() {
    for name in ["orders", "order_count", "num_orders", "number of orders", "订单数"] {
        let columns = ["store: few".into(), "day: day".into(), format!("{name}: count")];
        let columns: Vec<&'static str> = columns.map(|it| &*String::leak(it)).into();
        let proposal = proposed(&[Made("daily", 900, Vec::leak(columns))]);
        let (orders, column) = &proposal.measures[0];
        let is_sum = matches!(orders.how, super::How::Sum(_));
        assert_eq!((&*orders.name, is_sum, column.as_deref()), ("orders", true, Some(name)));
    }
}

#[test]
fn computed_columns() {
    let sales = |columns| proposed(&[Made("sales", 9_000, columns)]).query;
    for (columns, expected) in [
        (
            &["day: day", "qty: count", "unit_price: money"][..],
            "sales.unit_price * sales.qty AS sales",
        ),
        (
            &["day: day", "qty: count", "price: money", "discount: share"],
            "sales.price * sales.qty * (1 - sales.discount) AS sales",
        ),
        (&["day: day", "amount_cents: count"], "sales.amount_cents / 100.0 AS sales"),
        (
            &["day: day", "amount: money", "cost: money", "qty: count"],
            "sales.amount - sales.cost AS profit",
        ),
        (
            &["day: day", "amount: money", "unit_cost: money", "qty: count"],
            "sales.amount - sales.qty * sales.unit_cost AS profit",
        ),
        (&["day: day", "wait_seconds: count"], "sales.wait_seconds / 60.0 AS wait_seconds_mean"),
        (
            &["day_key: digits", "amount: money"],
            "substr(CAST(sales.day_key AS text), 1, 4) || '-' ||",
        ),
    ] {
        assert!(sales(columns).contains(expected), "{columns:?}: {}", sales(columns));
    }
}

const STAR: &[Made] = &[
    Made("calendar", 900, &["*date_key: id", "full_date: day", "year: few"]),
    Made(
        "dim_product",
        900,
        &["*product_key: id", "product_name: name", "brand: label", "list_price: money"],
    ),
    Made("dim_store", 20, &["*store_key: id", "store_name: name", "opened: day"]),
    Made(
        "fact_sales",
        90_000,
        &[
            "date_key > calendar.date_key: many",
            "store_key > dim_store.store_key: few",
            "product_key > dim_product.product_key: many",
            "units: count",
            "net_amount: money",
        ],
    ),
    Made(
        "stock_snapshot",
        900_000,
        &["store_key > dim_store.store_key: few", "taken_at: day", "on_hand: count"],
    ),
];

#[test]
fn a_star_of_dimensions() {
    let proposal = proposed(STAR);
    assert_eq!(short(&proposal), "fact_sales; store_id; date; sales lines quantity");
    for words in [
        "calendar.full_date AS date",
        "coalesce(dim_store.store_name, CAST(fact_sales.store_key AS text)) AS store_name",
        "coalesce(dim_product.product_name, CAST(fact_sales.product_key AS text)) AS product",
        "dim_product.brand AS category",
    ] {
        assert!(proposal.query.contains(words), "{}", proposal.query);
    }
}

/// Lines that lead to their orders, which lead to employees, who lead to stores; names alone tell it.
fn chained(order: &'static str) -> [Made; 5] {
    [
        Made(
            "employees",
            90,
            &["*employee_id: id", "store_id: few", "hired_on: day", "salary: money"],
        ),
        Made("items", 900, &["*item_id: id", "name: name", "category: label", "unit_cost: money"]),
        Made(
            "order_lines",
            90_000,
            &[
                "*line_id: id",
                "order_id: many",
                "item_id: many",
                "quantity: count",
                "line_total: signed",
            ],
        ),
        Made(
            "orders",
            30_000,
            if order == "key" {
                &["*order_id: id", "employee_id: few", "ordered_at: time", "total: money"]
            } else {
                &["order_id: id", "employee_id: few", "ordered_at: time", "total: money"]
            },
        ),
        Made("stores", 20, &["*store_id: id", "name: name", "email: name"]),
    ]
}

#[test]
fn names_that_lead_from_table_to_table() {
    let proposal = proposed(&chained("key"));
    assert_eq!(short(&proposal), "order_lines; store_id; date; sales orders profit quantity");
    for words in [
        "LEFT JOIN orders ON orders.order_id = order_lines.order_id",
        "LEFT JOIN employees ON employees.employee_id = orders.employee_id",
        "employees.store_id,",
        "order_lines.line_total - order_lines.quantity * items.unit_cost AS profit",
    ] {
        assert!(proposal.query.contains(words), "{}", proposal.query);
    }
    let advice: Vec<&str> = proposal.advice.iter().map(|advice| &*advice.statement).collect();
    assert_eq!(
        advice,
        [
            "CREATE INDEX employees_by_store_id ON employees (store_id);",
            "CREATE INDEX order_lines_by_order_id ON order_lines (order_id);",
            "CREATE INDEX orders_by_employee_id ON orders (employee_id);",
        ]
    );
    let orders = |proposal: &Proposal| {
        let found = proposal.measures.iter().find(|(measure, _)| measure.name == "orders");
        found.unwrap().0.why.join(" ")
    };
    assert!(orders(&proposal).contains("the order's own row"), "{}", orders(&proposal));
}

#[test]
fn a_join_that_could_count_a_line_twice_is_not_made() {
    let mut told = Told { twice: vec!["orders.order_id"], spanning: Some(0), ..Told::default() };
    let proposal = with(&chained("no key"), &mut told);
    // Without the orders the lines have no date, so the orders themselves are proposed.
    assert_eq!(short(&proposal), "orders; store_id; date; sales orders");
    assert!(told.asked.values().all(|count| *count == 1), "no question twice: {:?}", told.asked);
}

/// Each of many tables leads to many: what is looked at grows with their number, not with its power.
#[test]
fn a_schema_of_many_tables() {
    let mut all = catalog(Dialect::Sqlite, STAR);
    let part = catalog(
        Dialect::Sqlite,
        &[Made("part", 900, &["*id: id", "made_on: day", "weight: money"])],
    );
    for at in 0..300 {
        let mut table = part.tables[0].clone();
        table.name.name = format!("part{}", name_of(at));
        table.columns.extend(
            (0..40).map(|to| column(&format!("part{}_id: many", name_of((at * 7 + to) % 300)))),
        );
        all.tables.push(table);
    }
    let proposal = propose(&all, &Wishes::default(), &mut Told::default());
    let proposal = proposal.unwrap_or_else(|failure| panic!("{}", failure.0));
    assert_eq!(short(&proposal), "fact_sales; store_id; date; sales lines quantity");
}

/// A number in letters.
fn name_of(number: usize) -> String {
    number.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
}

#[test]
fn orders_are_added_up_only_where_none_spans() {
    let flat =
        || [Made("sales", 9_000, &["store: few", "day: day", "receipt_no: many", "amount: money"])];
    let distinct = |spanning| {
        let proposal = with(&flat(), &mut Told { spanning, ..Told::default() });
        let (measure, column) = &proposal.measures[1];
        assert_eq!((&*measure.name, column.as_deref()), ("orders", Some("receipt_no")));
        let within = matches!(&measure.how, super::How::Distinct(_, orders) if orders.within());
        (within, measure.why.join(" "))
    };
    let (within, why) = distinct(Some(0));
    assert!(within && why.contains("none of 1,000 orders in all 3,000 lines"), "{why}");
    let (within, why) = distinct(Some(3));
    assert!(!within && why.contains("3 of 1,000 orders"), "{why}");
    let (within, why) = distinct(None);
    assert!(!within && why.contains("took too long"), "{why}");
}

#[test]
fn large_tables_get_time_and_partitions() {
    let columns: &[&str] = &["*id: id", "store_id: few", "sold_at: timestamptz", "amount: money"];
    for (rows, timeout, partitions) in [
        (1_000_000, None, false),
        (60_000_000, Some("21m"), false),
        (150_000_000, Some("51m"), true),
    ] {
        let catalog = catalog(Dialect::Postgres, &[Made("sales", rows, columns)]);
        let proposal = propose(&catalog, &Wishes::default(), &mut Told::default());
        let proposal = proposal.unwrap_or_else(|failure| panic!("{}", failure.0));
        assert_eq!(proposal.timeout.as_ref().map(|it| &*it.value), timeout);
        let by_month =
            proposal.advice.iter().any(|it| it.statement.contains("PARTITION BY RANGE (sold_at)"));
        assert_eq!(by_month, partitions, "{rows}");
        assert_eq!(proposal.time_zone.map(|zone| zone.value).as_deref(), Some("UTC"));
    }
}

#[test]
fn nothing_is_taken_for_a_date_that_is_none() {
    for columns in
        [&["id: id", "amount: money"][..], &["code: digits", "n: epoch"], &["text: name"]]
    {
        let catalog = catalog(Dialect::Sqlite, &[Made("sales", 9, columns)]);
        let failure = propose(&catalog, &Wishes::default(), &mut Told::default()).unwrap_err();
        assert!(
            failure.0.contains("no table has rows with a date") && failure.0.contains("--date"),
            "{}",
            failure.0
        );
    }
}
