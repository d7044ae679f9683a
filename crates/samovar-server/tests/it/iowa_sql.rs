//! What SQLite and the CSV files alone say of the Iowa sales, for comparison.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

/// Figures of a period; money in cents.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) lines: i64,
    pub(crate) sales: i64,
    pub(crate) profit: i64,
    pub(crate) without_profit: i64,
    pub(crate) orders: i64,
    pub(crate) bottles: i64,
}

/// Lines with their profit; where `wanted` holds. Profit is NULL without a cost.
fn lines(wanted: &str) -> String {
    format!(
        "(SELECT s.*, p.description, p.category,
            CAST(round((s.sale - s.bottles * p.bottle_cost) * 100) AS INTEGER) AS profit,
            CAST(round(s.sale * 100) AS INTEGER) AS cents
          FROM sales s LEFT JOIN products p USING (item_id) WHERE {wanted})"
    )
}

/// SQL for days and stores; no list means all stores.
pub(crate) fn wanted(from: &str, to: &str, stores: Option<&[String]>) -> String {
    let days = format!("s.date BETWEEN '{from}' AND '{to}'");
    match stores {
        Some(ids) => format!("{days} AND s.store_id IN ({})", ids.join(",")),
        None => days,
    }
}

pub(crate) fn figures(database: &Connection, wanted: &str) -> Figures {
    let sql = format!(
        "SELECT count(*), coalesce(sum(cents), 0), coalesce(sum(profit), 0), count(*) - count(profit),
           count(DISTINCT store_id || date || substr(invoice, 1, length(invoice) - 5)),
           coalesce(sum(bottles), 0) FROM {}",
        lines(wanted)
    );
    database
        .query_row(&sql, [], |row| {
            Ok(Figures {
                lines: row.get(0)?,
                sales: row.get(1)?,
                profit: row.get(2)?,
                without_profit: row.get(3)?,
                orders: row.get(4)?,
                bottles: row.get(5)?,
            })
        })
        .unwrap()
}

/// Sales in cents by the value of an expression.
pub(crate) fn sales_by(database: &Connection, by: &str, wanted: &str) -> BTreeMap<String, i64> {
    let sql = format!("SELECT CAST({by} AS TEXT), sum(cents) FROM {} GROUP BY 1", lines(wanted));
    let mut statement = database.prepare(&sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// The stores with the greatest sales.
pub(crate) fn top(database: &Connection, count: usize, wanted: &str) -> Vec<String> {
    let mut stores: Vec<_> = sales_by(database, "store_id", wanted).into_iter().collect();
    stores.sort_by(|(a, x), (b, y)| y.cmp(x).then_with(|| a.cmp(b)));
    stores.into_iter().take(count).map(|(id, _)| id).collect()
}

/// The name of a store, by its id where the list of stores lacks it.
pub(crate) fn name(database: &Connection, store: &str) -> String {
    let sql = "SELECT name FROM stores WHERE store_id = ?1";
    let name: Option<String> =
        database.query_row(sql, [store], |row| row.get(0)).optional().unwrap();
    name.unwrap_or_else(|| store.to_owned())
}

/// The totals of the files, read by nothing of ours: lines, money, orders and bottles, and the number of stores.
pub(crate) fn totals_of_files(sales: &Path, products: &Path) -> (Figures, usize) {
    let mut costs: HashMap<String, i64> = HashMap::new();
    each(products, ["item_id", "bottle_cost"], |[item, cost]| {
        if !cost.is_empty() {
            costs.insert(item.to_owned(), cents(cost));
        }
    });
    let (mut stores, mut orders) = (HashSet::new(), HashSet::new());
    let mut total = Figures::default();
    let columns = ["store_id", "item_id", "invoice", "bottles", "sale"];
    each(sales, columns, |[store, item, invoice, bottles, sale]| {
        let bottles: i64 = bottles.parse().unwrap();
        total.lines += 1;
        total.sales += cents(sale);
        total.bottles += bottles;
        match costs.get(item) {
            Some(cost) => total.profit += cents(sale) - bottles * cost,
            None => total.without_profit += 1,
        }
        let order = &invoice[..invoice.len() - 5];
        if !orders.contains(order) {
            orders.insert(order.to_owned());
        }
        if !stores.contains(store) {
            stores.insert(store.to_owned());
        }
    });
    total.orders = orders.len() as i64;
    (total, stores.len())
}

fn each<const N: usize>(file: &Path, columns: [&str; N], mut row: impl FnMut([&str; N])) {
    let plain = std::fs::File::open(file).unwrap();
    let input: Box<dyn Read> = match file.extension().is_some_and(|end| end == "zst") {
        true => Box::new(zstd::stream::read::Decoder::new(plain).unwrap()),
        false => Box::new(plain),
    };
    let mut reader = csv::Reader::from_reader(input);
    let header = reader.headers().unwrap().clone();
    let at = columns.map(|column| header.iter().position(|name| name == column).unwrap());
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).unwrap() {
        row(at.map(|at| &record[at]));
    }
}

/// Cents of a decimal number, by its digits.
fn cents(text: &str) -> i64 {
    let (units, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = format!("{fraction:0<2}");
    assert!(fraction.len() == 2 && !units.starts_with('-'), "{text} has whole cents");
    units.parse::<i64>().unwrap() * 100 + fraction.parse::<i64>().unwrap()
}
