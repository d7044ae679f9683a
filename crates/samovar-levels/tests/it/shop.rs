//! A shop in SQLite that tests change and make engines over.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::{Connection, params_from_iter, types::Value};
use samovar::Samovar;
use samovar_core::{Day, Partition};
use samovar_levels::{
    Dataset, Engine, HealthRules, Lifetimes, ProductMetrics, Schema, Selection, StandoutRules,
    Stores,
};
use samovar_source::{ColumnKind, DateKind, Limits, Source, SourceColumn, SqliteSource};

use crate::measures::Measures;
use crate::mirror::Mirror;

/// The names of a shop's columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names {
    pub(crate) table: &'static str,
    pub(crate) store: &'static str,
    pub(crate) store_name: &'static str,
    pub(crate) date: &'static str,
    pub(crate) product: &'static str,
    pub(crate) category: &'static str,
    pub(crate) amount: &'static str,
    pub(crate) profit: &'static str,
    pub(crate) pieces: &'static str,
    pub(crate) delivery: &'static str,
    pub(crate) receipt: &'static str,
}

pub(crate) const ENGLISH: Names = Names {
    table: "orders",
    store: "store_id",
    store_name: "store_name",
    date: "date",
    product: "product",
    category: "category",
    amount: "amount",
    profit: "profit",
    pieces: "pieces",
    delivery: "delivery_minutes",
    receipt: "receipt",
};

pub(crate) const CHINESE: Names = Names {
    table: "销售 \"明细\"",
    store: "门店ID",
    store_name: "门店名称",
    date: "日期",
    product: "商品名称",
    category: "商品分类",
    amount: "销售额",
    profit: "利润额",
    pieces: "订单数",
    delivery: "配送时长",
    receipt: "小票 \"号\"",
};

/// One line; what is `None` is NULL.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) store: u8,
    pub(crate) day: i32,
    pub(crate) product: Option<u8>,
    pub(crate) category: Option<u8>,
    /// In cents.
    pub(crate) amount: Option<i64>,
    /// In cents.
    pub(crate) profit: Option<i64>,
    pub(crate) pieces: Option<u8>,
    /// In tenths of a minute.
    pub(crate) delivery: Option<u16>,
    pub(crate) receipt: Option<u8>,
}

/// The first day of all shops here.
pub(crate) const FIRST: Day = Day(20_454);

pub(crate) struct Shop {
    pub(crate) names: Names,
    pub(crate) path: PathBuf,
    pub(crate) database: Connection,
    /// What engines made from here on measure.
    pub(crate) schema: Schema,
    /// Where engines read the rows, if not in SQLite.
    mirror: Option<Mirror>,
    _directory: tempfile::TempDir,
}

pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Shop {
    /// An empty shop with the usual measures.
    pub(crate) fn new(names: Names) -> Shop {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("shop.db");
        let database = Connection::open(&path).unwrap();
        let pure = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
        let root = |context: &Context<'_>| Ok(context.get::<Option<f64>>(0)?.map(f64::sqrt));
        database.create_scalar_function("sqrt", 1, pure, root).unwrap();
        let [table, store, name, date] =
            [names.table, names.store, names.store_name, names.date].map(quoted);
        let [product, category, receipt] =
            [names.product, names.category, names.receipt].map(quoted);
        let [amount, profit, pieces, delivery] =
            [names.amount, names.profit, names.pieces, names.delivery].map(quoted);
        database
            .execute_batch(&format!(
                "PRAGMA synchronous = OFF;
                 CREATE TABLE {table} ({store} INTEGER, {name} TEXT, {date} TEXT, {product} TEXT, {category} TEXT,
                   {amount} REAL, {profit} REAL, {pieces} INTEGER, {delivery} REAL, {receipt} TEXT);
                 CREATE INDEX by_day ON {table} ({store}, {date});"
            ))
            .unwrap();
        let schema = Measures::usual().schema(&names);
        Shop { names, path, database, schema, mirror: None, _directory: directory }
    }

    /// An empty shop whose rows engines read in PostgreSQL.
    pub(crate) fn in_postgres(names: Names) -> Shop {
        Shop { mirror: Some(Mirror::new(&names)), ..Shop::new(names) }
    }

    /// Commits what was changed; to be called before an event tells of it.
    pub(crate) fn commit(&self) {
        self.mirror.iter().for_each(Mirror::commit);
    }

    /// From here on no store can be sought.
    pub(crate) fn drop_index(&self) {
        self.database.execute_batch("DROP INDEX by_day").unwrap();
        self.mirror.iter().for_each(Mirror::drop_index);
    }

    pub(crate) fn insert(&self, line: &Line) -> i64 {
        let sql = format!("INSERT INTO {} VALUES (?,?,?,?,?,?,?,?,?,?)", quoted(self.names.table));
        let real = |over: f64| move |number: f64| Value::Real(number / over);
        let text = |what: &'static str| move |number| Value::Text(format!("{what} {number}"));
        let values = [
            Some(Value::Integer(line.store.into())),
            Some(Value::Text(format!("Store {}", line.store))),
            Some(Value::Text(FIRST.plus(line.day).to_string())),
            line.product.map(text("product")),
            line.category.map(text("category")),
            line.amount.map(|cents| cents as f64).map(real(100.0)),
            line.profit.map(|cents| cents as f64).map(real(100.0)),
            line.pieces.map(|number| Value::Integer(number.into())),
            line.delivery.map(f64::from).map(real(10.0)),
            line.receipt.map(text("receipt")),
        ];
        let values = values.map(|value| value.unwrap_or(Value::Null));
        self.database.execute(&sql, params_from_iter(values)).unwrap();
        let row = self.database.last_insert_rowid();
        self.mirror.iter().for_each(|mirror| mirror.insert(row, line));
        row
    }

    pub(crate) fn delete(&self, row: i64) {
        let sql = format!("DELETE FROM {} WHERE rowid = ?", quoted(self.names.table));
        self.database.execute(&sql, [row]).unwrap();
        self.mirror.iter().for_each(|mirror| mirror.delete(row));
    }

    /// The ids of stores, of those that have lines if all are meant.
    pub(crate) fn ids(&self, stores: &Stores) -> Vec<Arc<str>> {
        if let Stores::These(ids) = stores {
            return ids.clone();
        }
        let [table, store] = [self.names.table, self.names.store].map(quoted);
        let sql = format!("SELECT DISTINCT {store} || '' FROM {table}");
        let mut statement = self.database.prepare(&sql).unwrap();
        let found = statement.query_map([], |row| row.get(0)).unwrap();
        found.map(Result::unwrap).collect()
    }

    /// An engine over this shop.
    pub(crate) fn engine(&self, samovar: Samovar, product_metrics: ProductMetrics) -> Engine {
        let source: Arc<dyn Source> = match &self.mirror {
            Some(mirror) => Arc::new(mirror.source(self.asked())),
            None => Arc::new(self.source()),
        };
        Engine::new(samovar, source, self.dataset(product_metrics))
    }

    /// This shop as a source in SQLite.
    pub(crate) fn source(&self) -> SqliteSource {
        SqliteSource::open(Path::new(&self.path), self.asked(), Limits::default()).unwrap()
    }

    fn asked(&self) -> samovar_source::Dataset {
        let (names, schema) = (self.names, &self.schema);
        let columns = schema.columns.iter().map(|column| SourceColumn {
            name: column.name.clone(),
            kind: match column.text {
                true => ColumnKind::Text,
                false => ColumnKind::Fixed { decimals: column.decimals },
            },
        });
        samovar_source::Dataset {
            query: names.table.into(),
            store_id: names.store.into(),
            store_name: Some(names.store_name.into()),
            date: names.date.into(),
            date_kind: DateKind::Date,
            time_zone: jiff::tz::TimeZone::UTC,
            product: schema.products.then(|| names.product.into()),
            category: schema.categories.then(|| names.category.into()),
            columns: columns.collect(),
        }
    }

    /// What an engine must know of this shop.
    pub(crate) fn dataset(&self, product_metrics: ProductMetrics) -> Dataset {
        Dataset {
            name: "shop".into(),
            schema: self.schema.clone(),
            rules: HealthRules::default(),
            standouts: StandoutRules::default(),
            lifetimes: Lifetimes::default(),
            product_metrics,
            block_rows: 40,
            max_source_share: 1.0,
            event_grace: None,
            fingerprint: 7,
        }
    }
}

/// Two lines a day of each of three stores, over forty days.
pub(crate) fn some_lines() -> Vec<Line> {
    let line = |n: i32| Line {
        store: (n % 3 + 1) as u8,
        day: n % 40,
        product: Some((n % 7) as u8),
        category: None,
        amount: Some(i64::from(100 + n)),
        profit: Some(i64::from(n)),
        pieces: Some(1),
        delivery: Some((n % 50 + 1) as u16),
        receipt: None,
    };
    (0..240).map(line).collect()
}

/// A shop with some lines.
pub(crate) fn shop() -> Shop {
    let shop = Shop::new(ENGLISH);
    for line in some_lines() {
        shop.insert(&line);
    }
    shop
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
