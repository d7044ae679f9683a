//! The recipe holds what its README says, on both databases.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests are tests too")]

mod data;
mod table;

use std::path::PathBuf;

use samovar_erp::{Shape, into_postgres, into_sqlite};
use samovar_source::PostgresOptions;
use samovar_source::rows::{RowDatabase, RowOptions};
use samovar_testkit::postgres::{Database, Server};
use serde_json::{Value, json};

const SMALL: Shape = Shape { customers: 40, orders: 200, seed: 2_026 };

/// A database with the sample data.
enum Erp {
    Sqlite(tempfile::TempDir),
    Postgres(Database<'static>),
}

impl Erp {
    /// One of each kind.
    fn both(shape: &Shape) -> [Erp; 2] {
        let file = Erp::Sqlite(tempfile::tempdir().unwrap());
        into_sqlite(&file.path(), shape).unwrap();
        let server = Erp::Postgres(Server::shared().unwrap().database().unwrap());
        into_postgres(&server.server(), shape).unwrap();
        [file, server]
    }

    fn path(&self) -> PathBuf {
        match self {
            Erp::Sqlite(directory) => directory.path().join("erp.sqlite"),
            Erp::Postgres(_) => panic!("it has no path"),
        }
    }

    fn server(&self) -> PostgresOptions {
        match self {
            Erp::Postgres(database) => PostgresOptions::new(database.url()),
            Erp::Sqlite(_) => panic!("it has no server"),
        }
    }

    fn open(&self) -> RowDatabase {
        match self {
            Erp::Sqlite(_) => RowDatabase::sqlite(&self.path(), RowOptions::default()),
            Erp::Postgres(_) => RowDatabase::postgres(&self.server(), RowOptions::default()),
        }
        .unwrap()
    }
}

/// A key of each cache that is there, one that is not, and a value for it.
fn example(cache: &str) -> (&'static str, &'static str, Value) {
    match cache {
        "product_info" => (
            "P-00042",
            "P-99999",
            json!({"sku": "P-99999", "name": "Classic 'Tea'", "category": "drinks", "price_cents": 450,
                "cost_cents": 300, "active": true}),
        ),
        "inventory" => (
            "P-00042@north",
            "P-00042@moon",
            json!({"sku": "P-00042", "warehouse": "moon", "on_hand": 7, "reserved": 2}),
        ),
        "order_list" => (
            "O-000042",
            "O-999999",
            json!({"number": "O-999999", "customer": "C-00007", "branch": 3, "day": "2026-06-30", "status": "open",
                "total_cents": 4_200}),
        ),
        "customer_info" => (
            "C-00007",
            "C-99999",
            json!({"number": "C-99999", "name": "Łódź Books", "city": "Łódź", "email": null, "credit_cents": 0,
                "since": "2026-07-01"}),
        ),
        "system_config" => (
            "currency",
            "theme",
            json!({"name": "theme", "value": "dark", "description": "How pages look"}),
        ),
        "finance_report" => (
            "2026-06",
            "2026-07",
            json!({"period": "2026-07", "revenue_cents": 100, "cost_cents": 70, "closed": false, "remarks": "first"}),
        ),
        "sales_quote" => (
            "Q-00007",
            "Q-99999",
            json!({"number": "Q-99999", "customer": "C-00007", "sku": "P-00042", "quantity": 12, "price_cents": 99,
                "valid_until": "2026-08-01"}),
        ),
        "category" => {
            ("paper", "books", json!({"code": "books", "name": "Books", "margin_percent": 20}))
        }
        "api_response" => ("orders/C-00001", "products/C-00001", Value::Null),
        "dashboard" => ("3", "03", Value::Null),
        other => panic!("{other}"),
    }
}
