//! A shop in SQLite that tests change, with the figures that SQLite itself makes of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, params_from_iter, types::Value};
use samovar::Samovar;
use samovar_core::{Day, Partition};
use samovar_levels::{
    Aggregate, Better, Column, Dataset, Engine, HealthRules, Lifetimes, Measure, ProductMetrics,
    Schema, Selection, Stores, Unit,
};
use samovar_source::{ColumnKind, DateKind, Limits, SourceColumn, SqliteSource};

/// The names of a shop's columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names {
    pub(crate) table: &'static str,
    pub(crate) store: &'static str,
    pub(crate) store_name: &'static str,
    pub(crate) date: &'static str,
    pub(crate) product: &'static str,
    pub(crate) sales: &'static str,
    pub(crate) profit: &'static str,
    /// A column whose sum is the number of orders; `None`: one line is one order.
    pub(crate) orders: Option<&'static str>,
    pub(crate) delivery: &'static str,
}

pub(crate) const ENGLISH: Names = Names {
    table: "orders",
    store: "store_id",
    store_name: "store_name",
    date: "date",
    product: "product",
    sales: "amount",
    profit: "profit",
    orders: None,
    delivery: "delivery_minutes",
};

pub(crate) const CHINESE: Names = Names {
    table: "销售 \"明细\"",
    store: "门店ID",
    store_name: "门店名称",
    date: "日期",
    product: "商品名称",
    sales: "销售额",
    profit: "利润额",
    orders: Some("订单数"),
    delivery: "配送时长",
};

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) store: u8,
    pub(crate) day: i32,
    pub(crate) product: u8,
    /// In cents.
    pub(crate) sales: i64,
    pub(crate) profit: Option<i64>,
    pub(crate) orders: u8,
    pub(crate) delivery: Option<u16>,
}

/// The first day of all shops here.
pub(crate) const FIRST: Day = Day(20_454);

pub(crate) struct Shop {
    pub(crate) names: Names,
    pub(crate) path: PathBuf,
    pub(crate) database: Connection,
    /// The quantile of delivery times that is measured.
    pub(crate) quantile: f64,
    _directory: tempfile::TempDir,
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Shop {
    pub(crate) fn new(names: Names) -> Shop {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("shop.db");
        let database = Connection::open(&path).unwrap();
        let [table, store, name, date, product] =
            [names.table, names.store, names.store_name, names.date, names.product].map(quoted);
        let [sales, profit, delivery] = [names.sales, names.profit, names.delivery].map(quoted);
        let orders = quoted(names.orders.unwrap_or("pieces"));
        database
            .execute_batch(&format!(
                "CREATE TABLE {table} ({store} INTEGER, {name} TEXT, {date} TEXT, {product} TEXT, {sales} REAL,
                   {profit} REAL, {orders} INTEGER, {delivery} REAL);
                 CREATE INDEX by_day ON {table} ({store}, {date});"
            ))
            .unwrap();
        Shop { names, path, database, quantile: 0.95, _directory: directory }
    }

    pub(crate) fn insert(&self, line: &Line) -> i64 {
        let sql = format!("INSERT INTO {} VALUES (?,?,?,?,?,?,?,?)", quoted(self.names.table));
        let real = |cents: i64| Value::Real(cents as f64 / 100.0);
        let values = [
            Value::Integer(line.store.into()),
            Value::Text(format!("Store {}", line.store)),
            Value::Text(FIRST.plus(line.day).to_string()),
            Value::Text(format!("product {}", line.product)),
            real(line.sales),
            line.profit.map_or(Value::Null, real),
            Value::Integer(line.orders.into()),
            line.delivery.map_or(Value::Null, |tenths| Value::Real(f64::from(tenths) / 10.0)),
        ];
        self.database.execute(&sql, params_from_iter(values)).unwrap();
        self.database.last_insert_rowid()
    }

    pub(crate) fn delete(&self, row: i64) {
        let sql = format!("DELETE FROM {} WHERE rowid = ?", quoted(self.names.table));
        self.database.execute(&sql, [row]).unwrap();
    }

    /// The figures that SQLite makes: sales and profit in cents, lines, orders, deliveries ascending.
    pub(crate) fn figures(&self, stores: &str, from: Day, to: Day) -> Figures {
        let n = self.names;
        let [table, store, date] = [n.table, n.store, n.date].map(quoted);
        let [sales, profit, delivery] = [n.sales, n.profit, n.delivery].map(quoted);
        let orders =
            n.orders.map_or("count(*)".into(), |orders| format!("sum({})", quoted(orders)));
        let matching = format!("{date} BETWEEN ?1 AND ?2 AND {store} IN ({stores})");
        let sums = format!(
            "SELECT CAST(round(total({sales}) * 100) AS INTEGER), CAST(round(total({profit}) * 100) AS INTEGER),
               count(*), {orders}, count(*) - count({profit}) FROM {table} WHERE {matching}"
        );
        let range = [from.to_string(), to.to_string()];
        let mut figures = self
            .database
            .query_row(&sums, range.clone(), |row| {
                Ok(Figures {
                    sales: row.get(0)?,
                    profit: row.get(1)?,
                    lines: row.get(2)?,
                    orders: row.get::<_, Option<i64>>(3)?.unwrap_or(0),
                    without_profit: row.get(4)?,
                    deliveries: Vec::new(),
                })
            })
            .unwrap();
        let sql = format!(
            "SELECT {delivery} FROM {table} WHERE {matching} AND {delivery} IS NOT NULL ORDER BY 1"
        );
        let mut statement = self.database.prepare(&sql).unwrap();
        let found = statement.query_map(range, |row| row.get(0)).unwrap();
        figures.deliveries = found.map(Result::unwrap).collect();
        figures
    }

    pub(crate) fn schema(&self) -> Schema {
        let n = self.names;
        let column = |name: &str, decimals, sketch| Column {
            name: name.into(),
            decimals,
            text: false,
            extremes: false,
            distinct: false,
            sketch,
        };
        let mut columns = vec![
            column(n.sales, 2, false),
            column(n.profit, 2, false),
            column(n.delivery, 1, true),
        ];
        let orders = match n.orders {
            None => Aggregate::Count,
            Some(name) => {
                columns.push(column(name, 0, false));
                Aggregate::Sum(3)
            }
        };
        let measure = |name: &str, unit, aggregate| Measure {
            name: name.into(),
            label: None,
            unit,
            decimals: 2,
            better: Better::Up,
            aggregate,
        };
        Schema {
            columns,
            measures: vec![
                measure("sales", Unit::Money, Aggregate::Sum(0)),
                measure("orders", Unit::Count, orders),
                measure("profit", Unit::Money, Aggregate::Sum(1)),
                measure("delivery_mean", Unit::Minutes, Aggregate::Mean(2)),
                measure("delivery_p95", Unit::Minutes, Aggregate::Quantile(2, self.quantile)),
            ],
            products: true,
            categories: false,
        }
        .with_ratios()
    }

    /// An engine over this shop.
    pub(crate) fn engine(&self, samovar: Samovar, product_metrics: ProductMetrics) -> Engine {
        let schema = self.schema();
        let columns = schema.columns.iter().map(|column| SourceColumn {
            name: column.name.clone(),
            kind: ColumnKind::Fixed { decimals: column.decimals },
        });
        let asked = samovar_source::Dataset {
            query: self.names.table.into(),
            store_id: self.names.store.into(),
            store_name: Some(self.names.store_name.into()),
            date: self.names.date.into(),
            date_kind: DateKind::Date,
            time_zone: jiff::tz::TimeZone::UTC,
            product: Some(self.names.product.into()),
            category: None,
            columns: columns.collect(),
        };
        let source = SqliteSource::open(Path::new(&self.path), asked, Limits::default()).unwrap();
        let dataset = Dataset {
            name: "shop".into(),
            schema,
            rules: HealthRules::default(),
            lifetimes: Lifetimes::default(),
            product_metrics,
            block_rows: 40,
            fingerprint: 7,
        };
        Engine::new(samovar, Arc::new(source), dataset)
    }
}

pub(crate) struct Figures {
    pub(crate) sales: i64,
    pub(crate) profit: i64,
    pub(crate) lines: i64,
    pub(crate) orders: i64,
    pub(crate) without_profit: i64,
    pub(crate) deliveries: Vec<f64>,
}

pub(crate) fn partition(store: u8, day: i32) -> Partition {
    Partition::new(store.to_string(), FIRST.plus(day))
}

pub(crate) fn selection(stores: Option<&[u8]>, from: i32, to: i32) -> Selection {
    let stores = stores.map_or(Stores::All, |stores| {
        Stores::These(stores.iter().map(|store| store.to_string().into()).collect())
    });
    Selection { stores, from: FIRST.plus(from), to: FIRST.plus(to) }
}
