//! The sample data, as a script.

use std::fmt::Write as _;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::words::{CATEGORIES, CITIES, KINDS, NAMES, TRADES, WAREHOUSES};
use crate::{SCHEMA, Shape};

/// Rows to an INSERT.
const AT_ONCE: usize = 200;
/// Days of the months that there are orders in: January to June 2026.
const MONTHS: [u32; 6] = [31, 28, 31, 30, 31, 30];
const BRANCHES: u32 = 8;

/// Rows of a table on their way into the script.
struct Table<'a> {
    to: &'a mut String,
    name: &'static str,
    rows: usize,
}

impl<'a> Table<'a> {
    fn new(to: &'a mut String, name: &'static str) -> Table<'a> {
        Table { to, name, rows: 0 }
    }

    /// Adds a row; its texts are quoted already.
    fn row(&mut self, values: &[String]) {
        let values = values.join(", ");
        if self.rows.is_multiple_of(AT_ONCE) {
            let end = if self.rows > 0 { ";\n" } else { "" };
            let _ = write!(self.to, "{end}INSERT INTO {} VALUES\n({values})", self.name);
        } else {
            let _ = write!(self.to, ",\n({values})");
        }
        self.rows += 1;
    }
}

impl Drop for Table<'_> {
    fn drop(&mut self) {
        if self.rows > 0 {
            self.to.push_str(";\n");
        }
    }
}

fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

struct Product {
    sku: String,
    price: u32,
    cost: u32,
}

/// Schema and data as a script that both databases read; the same for the same shape.
pub fn script(shape: &Shape) -> String {
    let mut rng = ChaCha8Rng::seed_from_u64(shape.seed);
    let mut to = String::from(SCHEMA);
    let products = products(&mut to, &mut rng);
    stock(&mut to, &mut rng, &products);
    customers(&mut to, &mut rng, shape);
    let months = orders(&mut to, &mut rng, shape, &products);
    quotes(&mut to, &mut rng, shape, &products);
    settings(&mut to);
    reports(&mut to, &months);
    to
}

fn products(to: &mut String, rng: &mut ChaCha8Rng) -> Vec<Product> {
    let mut categories = Table::new(to, "categories");
    for (code, name, _) in &CATEGORIES {
        let margin: u32 = rng.random_range(10..45);
        categories.row(&[text(code), text(name), margin.to_string()]);
    }
    drop(categories);
    let mut products = Vec::new();
    let mut table = Table::new(to, "products");
    for (code, _, things) in &CATEGORIES {
        for thing in things {
            for kind in KINDS {
                let sku = format!("P-{:05}", products.len() + 1);
                let price: u32 = rng.random_range(200..60_000);
                let cost = price * rng.random_range(50..95) / 100;
                let is_active = rng.random_bool(0.95).to_string();
                let name = format!("{kind} {thing}");
                table.row(&[
                    text(&sku),
                    text(&name),
                    text(code),
                    price.to_string(),
                    cost.to_string(),
                    is_active,
                ]);
                products.push(Product { sku, price, cost });
            }
        }
    }
    products
}

fn stock(to: &mut String, rng: &mut ChaCha8Rng, products: &[Product]) {
    let mut table = Table::new(to, "inventory");
    for product in products {
        for warehouse in WAREHOUSES {
            let on_hand: u32 = rng.random_range(0..500);
            let reserved = rng.random_range(0..=on_hand / 4);
            table.row(&[
                text(&product.sku),
                text(warehouse),
                on_hand.to_string(),
                reserved.to_string(),
            ]);
        }
    }
}

fn customer(at: u32) -> String {
    format!("C-{:05}", at + 1)
}

fn customers(to: &mut String, rng: &mut ChaCha8Rng, shape: &Shape) {
    let mut table = Table::new(to, "customers");
    for at in 0..shape.customers.max(1) {
        let place = at as usize;
        let pairs = NAMES.len() * TRADES.len();
        let mut name = format!(
            "{} {}",
            NAMES[place % NAMES.len()],
            TRADES[place / NAMES.len() % TRADES.len()]
        );
        if place >= pairs {
            let _ = write!(name, " {}", place / pairs + 1);
        }
        let email = match rng.random_bool(0.8) {
            true => text(&format!("office@{}.example", customer(at).to_lowercase())),
            false => "NULL".into(),
        };
        let since = format!(
            "'{}-{:02}-{:02}'",
            rng.random_range(2015..2026),
            rng.random_range(1..13),
            rng.random_range(1..29)
        );
        let credit: u32 = rng.random_range(0..50) * 100_000;
        let city = CITIES[rng.random_range(0..CITIES.len())];
        table.row(&[
            text(&customer(at)),
            text(&name),
            text(city),
            email,
            credit.to_string(),
            since,
        ]);
    }
}

/// Revenue and cost of each month, in cents.
fn orders(
    to: &mut String,
    rng: &mut ChaCha8Rng,
    shape: &Shape,
    products: &[Product],
) -> [(u64, u64); MONTHS.len()] {
    let mut months = [(0, 0); MONTHS.len()];
    let mut lines_to = String::new();
    let mut lines = Table::new(&mut lines_to, "order_lines");
    let mut table = Table::new(to, "orders");
    let days: u32 = MONTHS.iter().sum();
    for at in 0..shape.orders {
        let number = text(&format!("O-{:06}", at + 1));
        // They come in the order of their days.
        let mut day = (u64::from(at) * u64::from(days) / u64::from(shape.orders)) as u32;
        let mut month = 0;
        while day >= MONTHS[month] {
            day -= MONTHS[month];
            month += 1;
        }
        let is_last_month = month + 1 == MONTHS.len();
        let status = match rng.random_range(0..20) {
            0 => "cancelled",
            1..=3 if is_last_month => "open",
            1..=6 => "paid",
            _ => "shipped",
        };
        let mut total = 0;
        for line in 1..=rng.random_range(1..6_u32) {
            let product = &products[rng.random_range(0..products.len())];
            let quantity: u32 = rng.random_range(1..12);
            total += u64::from(quantity * product.price);
            if status != "cancelled" {
                months[month].0 += u64::from(quantity * product.price);
                months[month].1 += u64::from(quantity * product.cost);
            }
            lines.row(&[
                number.clone(),
                line.to_string(),
                text(&product.sku),
                quantity.to_string(),
                product.price.to_string(),
            ]);
        }
        // Some buy more often than others.
        let buyer = rng.random_range(0..shape.customers.max(1));
        let buyer = customer(buyer.min(rng.random_range(0..shape.customers.max(1))));
        table.row(&[
            number,
            text(&buyer),
            rng.random_range(1..=BRANCHES).to_string(),
            format!("'2026-{:02}-{:02}'", month + 1, day + 1),
            text(status),
            total.to_string(),
        ]);
    }
    drop((table, lines));
    to.push_str(&lines_to);
    months
}

fn quotes(to: &mut String, rng: &mut ChaCha8Rng, shape: &Shape, products: &[Product]) {
    let mut table = Table::new(to, "quotes");
    for at in 0..shape.orders / 10 {
        let product = &products[rng.random_range(0..products.len())];
        let off: u32 = rng.random_range(0..15);
        table.row(&[
            text(&format!("Q-{:05}", at + 1)),
            text(&customer(rng.random_range(0..shape.customers.max(1)))),
            text(&product.sku),
            rng.random_range(10..200_u32).to_string(),
            (product.price * (100 - off) / 100).to_string(),
            format!("'2026-07-{:02}'", rng.random_range(1..31)),
        ]);
    }
}

fn settings(to: &mut String) {
    let mut table = Table::new(to, "system_config");
    for (name, value, description) in [
        ("currency", "EUR", "What amounts are in"),
        ("vat_percent", "21", "Value added tax"),
        ("invoice_prefix", "INV-", "What numbers of invoices begin with"),
        ("invoice_days", "30", "Until when an invoice is to be paid"),
        ("maintenance", "no", "Whether the shop is closed"),
    ] {
        table.row(&[text(name), text(value), text(description)]);
    }
}

fn reports(to: &mut String, months: &[(u64, u64)]) {
    let mut table = Table::new(to, "finance_reports");
    for (at, (revenue, cost)) in months.iter().enumerate() {
        let is_closed = at + 1 < months.len();
        table.row(&[
            format!("'2026-{:02}'", at + 1),
            revenue.to_string(),
            cost.to_string(),
            is_closed.to_string(),
            "NULL".into(),
        ]);
    }
}
