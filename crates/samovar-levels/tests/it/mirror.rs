//! The shop's rows in PostgreSQL too, in its own types: engines read them there, SQL counts them in SQLite.

use std::cell::RefCell;
use std::fmt::Write;

use samovar_source::{Dataset, Limits, PostgresOptions, PostgresSource};
use samovar_testkit::postgres::{Database, Server};

use crate::shop::{FIRST, Line, Names, quoted};

pub(crate) struct Mirror {
    table: String,
    database: Database<'static>,
    /// What has not been sent yet.
    script: RefCell<String>,
}

impl Mirror {
    pub(crate) fn new(names: &Names) -> Mirror {
        let database = Server::shared().unwrap().database().unwrap();
        let table = quoted(names.table);
        let [store, date] = [names.store, names.date].map(quoted);
        let columns = [
            (names.store, "integer"),
            (names.store_name, "text"),
            (names.date, "date"),
            (names.product, "text"),
            (names.category, "varchar(40)"),
            (names.amount, "numeric(12, 2)"),
            (names.profit, "numeric"),
            (names.pieces, "smallint"),
            (names.delivery, "double precision"),
            (names.receipt, "text"),
        ];
        let columns = columns.map(|(name, kind)| format!("{} {kind}", quoted(name))).join(", ");
        let script = format!(
            "CREATE TABLE {table} (line bigint PRIMARY KEY, {columns});
             CREATE INDEX by_day ON {table} ({store}, {date});\n"
        );
        Mirror { table, database, script: RefCell::new(script) }
    }

    fn add(&self, statement: &str) {
        let mut script = self.script.borrow_mut();
        script.push_str(statement);
        script.push_str(";\n");
    }

    pub(crate) fn insert(&self, row: i64, line: &Line) {
        let mut values = format!("{row}, {}, 'Store {}'", line.store, line.store);
        let mut value = |text: Option<String>| {
            write!(values, ", {}", text.as_deref().unwrap_or("NULL")).unwrap();
        };
        value(Some(format!("'{}'", FIRST.plus(line.day))));
        value(line.product.map(|number| format!("'product {number}'")));
        value(line.category.map(|number| format!("'category {number}'")));
        value(line.amount.map(|cents| format!("{cents} / 100.0")));
        value(line.profit.map(|cents| format!("{cents} / 100.0")));
        value(line.pieces.map(|number| number.to_string()));
        value(line.delivery.map(|tenths| format!("{tenths} / 10.0")));
        value(line.receipt.map(|number| format!("'receipt {number}'")));
        self.add(&format!("INSERT INTO {} VALUES ({values})", self.table));
    }

    pub(crate) fn delete(&self, row: i64) {
        self.add(&format!("DELETE FROM {} WHERE line = {row}", self.table));
    }

    pub(crate) fn drop_index(&self) {
        self.add("DROP INDEX by_day");
    }

    pub(crate) fn commit(&self) {
        let script = self.script.take();
        if !script.is_empty() {
            self.database.run(&format!("BEGIN;\n{script}COMMIT;")).unwrap();
        }
    }

    pub(crate) fn source(&self, asked: Dataset) -> PostgresSource {
        self.commit();
        let options = PostgresOptions::new(self.database.url());
        PostgresSource::connect(&options, asked, Limits::default()).unwrap()
    }
}
