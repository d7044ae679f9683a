//! How long it takes to make everything warm and durable from PostgreSQL, beside what PostgreSQL itself takes for the
//! same rows: a bare binary COPY of the columns, and a GROUP BY to the same figures.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::time::Instant;

use futures_util::{StreamExt, pin_mut};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use samovar_testkit::postgres::{Database, Server};
use serde::{Deserialize, Serialize};
use tokio_postgres::NoTls;

use crate::child::{self, Reopened, Warmed};
use crate::shop::{POSTGRES, Shop};
use crate::stats::median;
use crate::{Outcome, line, warm};

pub(crate) const NAMES: &[&str] = &[
    "warm_postgres_over_copy_ratio",
    "warm_postgres_over_group_by_ratio",
    "restart_to_warm_s",
    "disk_bytes_per_row",
    "memory_bytes_per_row",
];

const ROUNDS: usize = 5;

/// The columns of the table.
const COLUMNS: &str = "store_id, date, product, category, amount, profit, order_id, store_name, quantity, delivery_minutes";

/// Those that the demo's configuration reads, line by line.
fn read_columns() -> Outcome<String> {
    let settings = crate::shop::settings()?;
    let dataset = &settings.dataset;
    let measured = dataset.schema.columns.iter().map(|column| &column.name);
    let named = [&dataset.store_id, &dataset.date].into_iter();
    let named = named.chain(&dataset.product).chain(&dataset.category).chain(measured);
    Ok(named.map(String::as_str).collect::<Vec<_>>().join(", "))
}

/// The figures that the product level keeps: by store, day and product; of each column how many values it has, too.
const FIGURES: &str = "SELECT store_id, date, product, category, count(*), sum(amount), count(amount), sum(profit), \
                       count(profit) FROM orders GROUP BY store_id, date, product, category";

/// What a peer reports.
#[derive(Serialize, Deserialize)]
pub(crate) struct Fetched {
    pub(crate) seconds: f64,
    pub(crate) bytes: u64,
}

/// Five rounds, the sides in alternating order; the lines to print, ratios first.
pub(crate) fn measure(shop: &Shop) -> Outcome<Vec<String>> {
    let server = Server::start(&[], &[])?;
    let database = server.database()?;
    fill(shop, &database)?;
    let plan = format!("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {FIGURES}");
    eprintln!("{}", database.run(&plan)?);
    let shop = shop.in_postgres(&database.url());
    let rows = shop.shape.rows() as f64;
    let mut of: [Vec<f64>; 3] = Default::default();
    let (mut restart, mut disk, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    // Once untimed: the table comes into the caches.
    fetch(&shop, "copy")?;
    for round in 0..ROUNDS {
        let mut seconds = [0.0; 3];
        let order = if round % 2 == 0 { [0, 1, 2] } else { [2, 1, 0] };
        for side in order {
            seconds[side] = match side {
                0 => {
                    shop.empty_data()?;
                    let warmed: Warmed = child::report("warm", &shop)?; // killed on return
                    disk.push(shop.data_bytes()? as f64 / rows);
                    let bytes = |tier: &str| warmed.bytes.get(tier).map(|by| by.values().sum());
                    memory.push(bytes("memory").unwrap_or(0u64) as f64 / rows);
                    let begun = Instant::now();
                    let again: Reopened = child::report("reopen-away", &shop)?;
                    restart.push(begun.elapsed().as_secs_f64());
                    warm::verify(&warmed, &again)?;
                    warmed.seconds
                }
                1 => fetch(&shop, "copy")?,
                _ => fetch(&shop, "group")?,
            };
        }
        let [ours, copy, group] = seconds;
        eprintln!("round {}: warm {ours:.2} s, COPY {copy:.2} s, GROUP BY {group:.2} s", round + 1);
        for (all, one) in of.iter_mut().zip(seconds) {
            all.push(one);
        }
    }
    shop.empty_data()?;
    let ratio = |peer: usize| {
        let ratios: Vec<f64> =
            of[0].iter().zip(&of[peer]).map(|(ours, peer)| ours / peer).collect();
        median(&ratios)
    };
    Ok(vec![
        line(NAMES[0], ratio(1), "ratio"),
        line(NAMES[1], ratio(2), "ratio"),
        line(NAMES[2], median(&restart), "s"),
        line(NAMES[3], median(&disk), "B/row"),
        line(NAMES[4], median(&memory), "B/row"),
        line("warm_postgres_seconds", median(&of[0]), "s"),
        line("copy_seconds", median(&of[1]), "s"),
        line("group_by_seconds", median(&of[2]), "s"),
    ])
}

/// Brings the demo's rows into PostgreSQL, in its own types, indexed as SQLite has them.
fn fill(shop: &Shop, database: &Database<'_>) -> Outcome<()> {
    let path = shop.file("orders.csv");
    eprintln!("bringing {} rows into PostgreSQL", shop.shape.rows());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let sqlite = Connection::open_with_flags(shop.database(), flags)?;
    let mut statement = sqlite.prepare(&format!("SELECT {COLUMNS} FROM orders ORDER BY rowid"))?;
    let columns = statement.column_count();
    let mut file = BufWriter::new(File::create(&path)?);
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        for column in 0..columns {
            let end = if column + 1 < columns { '\t' } else { '\n' };
            match row.get_ref(column)? {
                ValueRef::Null | ValueRef::Blob(_) => write!(file, "\\N{end}")?,
                ValueRef::Integer(number) => write!(file, "{number}{end}")?,
                ValueRef::Real(number) => write!(file, "{number}{end}")?,
                // The demo's names hold neither tabs nor backslashes.
                ValueRef::Text(text) => write!(file, "{}{end}", std::str::from_utf8(text)?)?,
            }
        }
    }
    file.into_inner().map_err(|failed| failed.to_string())?.sync_all()?;
    database.run(&format!(
        "CREATE TABLE orders (store_id integer, date date, product text, category text, amount numeric(12, 2),
           profit numeric(12, 2), order_id bigint, store_name text, quantity integer, delivery_minutes numeric(6, 1));
         \\copy orders ({COLUMNS}) FROM '{}'
         CREATE INDEX ON orders (store_id, date);
         VACUUM ANALYZE orders;",
        path.display()
    ))?;
    Ok(std::fs::remove_file(path)?)
}

fn fetch(shop: &Shop, what: &str) -> Outcome<f64> {
    let fetched: Fetched = child::report(what, shop)?;
    if fetched.bytes == 0 {
        return Err(format!("the peer {what} fetched nothing").into());
    }
    Ok(fetched.seconds)
}

/// The peers: a binary COPY of the columns that we read, on one connection, or of the figures, fetched and thrown away.
pub(crate) async fn peer(what: &str) -> Outcome<Fetched> {
    let url = std::env::var(POSTGRES)?;
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio::spawn(connection);
    let of = match what {
        "copy" => format!("orders ({})", read_columns()?),
        _ => format!("({FIGURES})"),
    };
    let begun = Instant::now();
    let chunks = client.copy_out(&format!("COPY {of} TO STDOUT (FORMAT binary)")).await?;
    pin_mut!(chunks);
    let mut bytes = 0;
    while let Some(chunk) = chunks.next().await {
        bytes += black_box(chunk?).len() as u64;
    }
    Ok(Fetched { seconds: begun.elapsed().as_secs_f64(), bytes })
}
