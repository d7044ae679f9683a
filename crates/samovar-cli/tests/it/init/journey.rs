//! The grocery data of *completejourney*: imported into PostgreSQL, configured by `samovar init` with only its
//! proposals accepted, and compared with SQL.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use samovar_testkit::skip::skipped;

use super::{Proposed, Shop, groups, seeks, totals};
use crate::server::{Server, run};

const HEADER: &str = "household_id,store_id,basket_id,product_id,quantity,sales_value,retail_disc,coupon_disc,\
                      coupon_match_disc,week,transaction_timestamp\n";

/// The measures in the order of [`FIGURES`], with what makes whole numbers of them.
const MEASURES: [(&str, f64); 6] = [
    ("sales", 100.0),
    ("orders", 1.0),
    ("quantity", 1.0),
    ("retail_disc", 100.0),
    ("coupon_disc", 100.0),
    ("coupon_match_disc", 100.0),
];

/// Each value is rounded to cents before it is added up, as money is.
const FIGURES: &str =
    "coalesce(sum(round(sales_value::numeric * 100)), 0)::bigint, count(DISTINCT basket_id),
    coalesce(sum(quantity), 0)::bigint, coalesce(sum(round(retail_disc::numeric * 100)), 0)::bigint,
    coalesce(sum(round(coupon_disc::numeric * 100)), 0)::bigint,
    coalesce(sum(round(coupon_match_disc::numeric * 100)), 0)::bigint";

/// Imports a file, as it is typed, and proposes a configuration.
fn journey(file: &Path) -> (Shop, Proposed) {
    let shop = Shop::postgres("");
    let (file, url) = (file.to_str().unwrap(), shop.address());
    let ended = run(&["import", file, "--database", &url, "--table", "transactions", "--json"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.contains("\"rejected\":0"), "{}", ended.out);
    let proposed = shop.proposed(&[]);
    proposed.says(&[
        "query = \"transactions\"",
        "store_id = \"store_id\"",
        "date = \"transaction_timestamp\"",
        "product = \"product_id\"",
        "sum = \"sales_value\"",
        "distinct = \"basket_id\"\nunique_within = \"partition\"",
        "spans two stores or days",
        "are zero",
        "#distinct = \"household_id\"",
        "CREATE INDEX CONCURRENTLY ON transactions (store_id, transaction_timestamp);",
        "ANALYZE transactions;",
    ]);
    proposed.lacks(&["sum = \"week\"", "sum = \"household_id\"", "sum = \"product_id\""]);
    (shop, proposed)
}

/// Several sets of stores over several ranges, and everything store by store and day by day.
fn agrees(shop: &Shop, server: &Server, [first, last]: [&str; 2], ranges: &[[&str; 2]]) {
    let day = "left(transaction_timestamp::text, 10)";
    let truth = format!("SELECT store_id, {day}, {FIGURES} FROM transactions GROUP BY 1, 2");
    let all = format!("stores=all&from={first}&to={last}");
    let told = groups(server, &all, "store_id,date", &MEASURES);
    let truth = shop.rows(&truth);
    assert!(truth.len() > 300, "a test of {} groups", truth.len());
    assert_eq!(told, truth);

    let busiest = "SELECT store_id FROM transactions GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 40";
    let stores = shop.rows(busiest);
    let sets = [String::new(), stores[0].clone(), stores[3..7].join(","), stores.join(",")];
    for [from, to] in ranges.iter().chain([&[first, last]]) {
        for set in &sets {
            let among = if set.is_empty() { "true".into() } else { format!("store_id IN ({set})") };
            let condition = format!("{among} AND {day} BETWEEN '{from}' AND '{to}'");
            let truth = shop.rows(&format!("SELECT {FIGURES} FROM transactions WHERE {condition}"));
            let selected = if set.is_empty() { "all" } else { set };
            let selected = format!("stores={selected}&from={from}&to={to}");
            let told: Vec<String> =
                totals(server, &selected, &MEASURES).iter().map(ToString::to_string).collect();
            assert_eq!(told.join("|"), truth[0], "{selected}");
            let truth = format!(
                "SELECT product_id, sum(round(sales_value::numeric * 100))::bigint FROM transactions WHERE {condition} GROUP BY 1"
            );
            if set.len() < 40 && !set.is_empty() {
                let told = groups(server, &selected, "product", &MEASURES[..1]);
                assert_eq!(told, shop.rows(&truth), "{selected}");
            }
        }
    }
}

/// Lines of the same shape: baskets, times of the day, returns, nothing for nothing, noise of floats.
fn synthetic() -> String {
    let mut text = HEADER.to_owned();
    for basket in 0..900_u32 {
        let store = 300 + basket * basket % 23;
        let (day, hour) = (1 + basket * 7 % 28, basket % 24);
        for line in 0..1 + basket % 4 {
            let product = 800_000 + (basket * 31 + line * 17) % 211;
            let quantity = if basket % 40 == 0 { -1 } else { (line + basket) as i32 % 3 };
            let value = f64::from(quantity * (100 + (basket * 13 % 900) as i32)) / 100.0;
            let discount = ["4.440892e-16", "0.43", "2.9"][basket as usize % 3];
            let coupon = if basket % 50 == 0 { "0.75" } else { "0.0" };
            let household = basket % 120;
            let _ = writeln!(
                text,
                "{household},{store},{},{product},{quantity}.0,{value},{discount},{coupon},0.0,{},2017-0{}-{day:02} {hour:02}:06:53",
                31_625_220_000_u64 + u64::from(basket),
                1 + day / 7,
                1 + basket % 9
            );
        }
    }
    text
}

#[test]
fn lines_of_the_same_shape() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("transactions.csv");
    std::fs::write(&file, synthetic()).unwrap();
    let (shop, proposed) = journey(&file);
    proposed.says(&["are below zero (returns lower the sums"]);
    let ranges = [["2017-01-05", "2017-02-11"], ["2017-06-01", "2017-06-01"]];
    agrees(&shop, &shop.serve(), ["2017-01-01", "2017-09-30"], &ranges);
    shop.run(proposed.advice());
    assert!(seeks(&shop, &proposed));
    agrees(&shop, &shop.serve(), ["2017-01-01", "2017-09-30"], &ranges);
}

/// The same lines in a table that declares what they are.
#[test]
fn lines_in_a_table_with_types() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("transactions.csv");
    std::fs::write(&file, synthetic()).unwrap();
    let shop = Shop::postgres(
        "CREATE TABLE transactions (household_id integer, store_id smallint, basket_id bigint, product_id integer,
            quantity numeric, sales_value numeric, retail_disc real, coupon_disc numeric, coupon_match_disc numeric,
            week smallint, transaction_timestamp timestamp)",
    );
    let (file, url) = (file.to_str().unwrap(), shop.address());
    let ended = run(&["import", file, "--database", &url, "--table", "transactions"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    shop.proposed(&[]).says(&["distinct = \"basket_id\"\nunique_within = \"partition\""]);
    let ranges = [["2017-03-05", "2017-04-11"]];
    agrees(&shop, &shop.serve(), ["2017-01-01", "2017-09-30"], &ranges);
}

#[test]
fn the_real_sample() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("SAMOVAR_JOURNEY").map_or(beside, PathBuf::from);
    let file = folder.join("completejourney_transactions_sample.csv.zst");
    if !file.is_file() {
        let why = "the real data are not there; SAMOVAR_JOURNEY names their folder";
        return skipped("completejourney", why);
    }
    let (shop, proposed) = journey(&file);
    let counts = "SELECT count(*), count(DISTINCT store_id) FROM transactions";
    assert_eq!(shop.rows(counts), ["75000|293"]);
    let server = shop.serve();
    let listed = server.json("/api/dataset");
    assert_eq!(listed["stores"].as_array().map(Vec::len), Some(293));
    let ranges = [["2017-03-01", "2017-03-31"], ["2017-11-20", "2018-01-01"]];
    agrees(&shop, &server, ["2017-01-01", "2018-01-31"], &ranges);
    drop(server);
    shop.run(proposed.advice());
    assert!(seeks(&shop, &proposed));
}
