//! `GET /api/query` of a small demo.

use std::collections::HashSet;
use std::io::Read;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type};
use arrow_ipc::reader::StreamReader;
use serde_json::{Value, json};

use crate::server::{Answer, Demo, Server, cents};

const SELECTED: &str = "stores=all&from=2026-01-10&to=2026-01-20";
const ARROW: &str = "application/vnd.apache.arrow.stream";

fn demo() -> (Demo, Server) {
    let demo = Demo::new(6, 600);
    let server = demo.start().warm();
    (demo, server)
}

fn path(more: &str) -> String {
    format!("/api/query?{SELECTED}&{more}")
}

fn ask(server: &Server, path: &str, headers: &[(&str, &str)]) -> Answer {
    server.ask("GET", path, &[&[("Host", &*server.host)], headers].concat(), "")
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// Groups by the database itself: a name, sales in cents, orders.
fn groups(demo: &Demo, name: &str, condition: &str) -> Vec<(String, i64, i64)> {
    let query = format!(
        "SELECT {name} || '', sum(CAST(round(amount * 100) AS INTEGER)), count(*) FROM orders
         WHERE date BETWEEN '2026-01-10' AND '2026-01-20' AND {condition} GROUP BY 1 ORDER BY 1"
    );
    let database = demo.database();
    let mut statement = database.prepare(&query).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    rows.unwrap().map(Result::unwrap).collect()
}

fn told(answer: &Value, name: &str) -> Vec<(String, i64, i64)> {
    let rows = answer["rows"].as_array().unwrap().iter();
    rows.map(|row| {
        let name = row[name].as_str().unwrap().to_string();
        (name, cents(&row["sales"]), row["orders"].as_f64().unwrap() as i64)
    })
    .collect()
}

#[test]
fn rows_are_those_of_the_database() {
    let (demo, server) = demo();
    for name in ["store_id", "date", "product", "category"] {
        let answer = server.json(&path(&format!("measures=sales,orders&by={name}")));
        let expected = groups(&demo, name, "TRUE");
        assert_eq!(told(&answer, name), expected, "{name}");
        assert_eq!(
            (&answer["total_rows"], &answer["next"]),
            (&json!(expected.len()), &Value::Null)
        );
    }
    let all = groups(&demo, "''", "TRUE");
    let total = server.json(&path("measures=sales,orders"));
    assert_eq!(cents(&total["rows"][0]["sales"]), all[0].1);
    assert_eq!(total["by"], json!([]));
    assert_eq!(total["measures"][0], json!({ "name": "sales", "unit": "money", "decimals": 2 }));
    assert_eq!(
        total["selection"],
        json!({ "stores": "all", "from": "2026-01-10", "to": "2026-01-20" })
    );
    assert_eq!(total["missing"], json!({ "partitions": 0, "stores": 0, "values": {} }));
    assert_eq!(total["covered"], 66);
    let named = server.json(&path("measures=sales&by=store_id&limit=1"));
    let name: String = demo
        .database()
        .query_row("SELECT store_name FROM orders WHERE store_id = 1", [], |row| row.get(0))
        .unwrap();
    assert_eq!(named["rows"][0]["store_name"], json!(name));
}

#[test]
fn conditions_order_and_ratios() {
    let (demo, server) = demo();
    let products = groups(&demo, "product", "TRUE");
    let (one, other) = (&products[0].0, &products[1].0);
    let among = format!("where=product={},product%3D{}", encoded(one), encoded(other));
    let answer = server.json(&path(&format!("measures=sales,orders&by=product&{among}")));
    assert_eq!(told(&answer, "product"), products[..2]);
    assert_eq!(
        answer["where"][0],
        json!({ "dimension": "product", "operator": "=", "value": one })
    );
    let but = format!("where=product!={}&where=store_id=2", encoded(one));
    let answer = server.json(&path(&format!("measures=sales,orders&by=product&{but}")));
    let expected = groups(
        &demo,
        "product",
        &format!("product <> '{}' AND store_id = 2", one.replace('\'', "''")),
    );
    assert_eq!(told(&answer, "product"), expected);
    assert_eq!(answer["covered"], 11, "one store is looked at");
    let none = server.json(&path("measures=sales&by=product&where=product="));
    assert_eq!(none["rows"], json!([]), "every line names a product");

    let best = server.json(&path("measures=margin,delivery_p95&by=category,date&order=-margin"));
    let margins: Vec<f64> = best["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["margin"].as_f64().unwrap())
        .collect();
    assert!(margins.len() > 10 && margins.is_sorted_by(|a, b| a >= b), "{margins:?}");
}

/// Clients that encode for themselves encode the commas of a list, and write a space as `+`.
#[test]
fn lists_are_the_same_however_they_are_written() {
    let (demo, server) = demo();
    let of = |stores: &str, more: &str| {
        let selected = format!("stores={stores}&from=2026-01-10&to=2026-01-20");
        server.json(&format!("/api/query?{selected}&{more}"))
    };
    let plain = of("1,2", "measures=sales,orders&by=store_id,date&order=-sales,date");
    assert_eq!(plain["total_rows"], 22);
    let encoded = of("1%2C2", "measures=sales%2Corders&by=store_id%2Cdate&order=-sales%2Cdate");
    assert_eq!(encoded, plain);
    let lists = "measures=sales&measures=orders&by=store_id&by=date&order=-sales&order=date";
    assert_eq!(of("1&stores=2", lists), plain);

    let products = groups(&demo, "product", "TRUE");
    let spaced = products.iter().find(|(name, ..)| name.contains(' ')).unwrap();
    let form = spaced.0.replace(' ', "+");
    let one = of("all", &format!("measures=sales,orders&by=product&where=product%3D{form}"));
    assert_eq!(told(&one, "product"), std::slice::from_ref(spaced));
    let comma = of("all", r"measures=sales&where=product%3Dtea%5C%2C+green%2Cproduct%21%3Da\\");
    assert_eq!(comma["where"][0]["value"], "tea, green");
    assert_eq!(comma["where"][1]["value"], r"a\");
    let diagnosed = |stores: &str| {
        server.json(&format!("/api/diagnosis?stores={stores}&from=2026-01-10&to=2026-01-20"))
    };
    assert_eq!(diagnosed("1%2C2"), diagnosed("1,2"));
}

#[test]
fn every_format_has_the_same_rows_and_its_own_tag() {
    let (_demo, server) = demo();
    let path = path("measures=sales,margin&by=store_id,date&order=-sales&limit=20");
    let plain = ask(&server, &path, &[]);
    assert_eq!((plain.status, plain.header("Content-Type")), (200, "application/json"));
    assert_eq!((plain.proof("level"), plain.proof("state")), ("metrics", "fresh"));
    assert_eq!((plain.proof("covered"), plain.proof("missing")), ("66", "0"));
    assert_eq!(plain.header("Vary"), "Accept, Accept-Encoding");
    assert_eq!(plain.header("Cache-Control"), "private, no-cache");
    assert_eq!(plain.header("Cache-Status"), "samovar; hit; detail=metrics");
    assert!(plain.header("Age").parse::<u64>().is_ok());
    assert!(plain.header("Server-Timing").starts_with("total;dur="));
    let rows = plain.json()["rows"].as_array().unwrap().clone();

    let csv = ask(&server, &path, &[("Accept", "text/csv, application/json;q=0.5")]);
    assert_eq!((csv.status, csv.header("Content-Type")), (200, "text/csv; charset=utf-8"));
    let text = csv.text();
    assert!(text.starts_with("store_id,store_name,date,sales,margin\r\n"), "{text}");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    for (row, record) in rows.iter().zip(reader.records().map(Result::unwrap)) {
        assert_eq!(&record[0], row["store_id"].as_str().unwrap());
        assert_eq!(&record[1], row["store_name"].as_str().unwrap());
        assert_eq!(&record[2], row["date"].as_str().unwrap());
        assert_eq!(
            serde_json::from_str::<Value>(&record[3]).unwrap().as_f64(),
            row["sales"].as_f64()
        );
    }
    assert_eq!(text.lines().count(), 21);

    let arrow = ask(&server, &path, &[("Accept", ARROW)]);
    assert_eq!((arrow.status, arrow.header("Content-Type")), (200, ARROW));
    let batches: Vec<_> =
        StreamReader::try_new(&*arrow.body, None).unwrap().map(Result::unwrap).collect();
    let [batch] = &batches[..] else { panic!("{} batches", batches.len()) };
    assert_eq!(batch.num_rows(), 20);
    let (ids, sales) = (batch["store_id"].as_string::<i32>(), &batch["sales"]);
    for (at, row) in rows.iter().enumerate() {
        assert_eq!(ids.value(at), row["store_id"].as_str().unwrap());
        let sales = (sales.as_primitive::<Float64Type>().value(at) * 100.0).round();
        assert_eq!(sales as i64, cents(&row["sales"]));
        let days = batch["date"].as_primitive::<Date32Type>();
        assert_eq!(samovar_core::Day(days.value(at)).to_string(), row["date"].as_str().unwrap());
    }

    let gzip = ask(&server, &path, &[("Accept-Encoding", "gzip")]);
    let mut decoded = Vec::new();
    flate2::read::GzDecoder::new(&gzip.body[..]).read_to_end(&mut decoded).unwrap();
    assert_eq!((gzip.header("Content-Encoding"), &decoded), ("gzip", &plain.body));
    let zstd = ask(&server, &path, &[("Accept-Encoding", "zstd"), ("Accept", "text/csv")]);
    assert_eq!(zstd::decode_all(&zstd.body[..]).unwrap(), csv.body);
    let all = [&plain, &csv, &arrow, &gzip, &zstd];
    let tags: HashSet<_> = all.map(|answer| answer.header("ETag")).into();
    assert_eq!(tags.len(), 5, "other bytes, another tag");
    let again = ask(&server, &path, &[("If-None-Match", plain.header("ETag"))]);
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(ask(&server, &path, &[]).body, plain.body);
}

/// The address in a header `Link: <…>; rel="next"`.
fn next(answer: &Answer) -> Option<String> {
    let link = answer.header("Link");
    let address = link.strip_prefix('<')?.strip_suffix(">; rel=\"next\"");
    Some(address.unwrap_or_else(|| panic!("another link: {link}")).to_string())
}

#[test]
fn links_lead_through_all_pages() {
    let (demo, server) = demo();
    let expected = groups(&demo, "product", "TRUE");
    let mut address = Some(path("measures=sales,orders&by=product&limit=7"));
    let (mut rows, mut pages) = (Vec::new(), 0);
    while let Some(path) = address {
        let answer = ask(&server, &path, &[]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let body = answer.json();
        rows.extend(told(&body, "product"));
        pages += 1;
        address = next(&answer);
        match &body["next"] {
            Value::String(cursor) => {
                assert!(address.as_ref().is_some_and(|address| address.ends_with(cursor)));
                // The same page in CSV leads to the same next one.
                assert_eq!(next(&ask(&server, &path, &[("Accept", "text/csv")])), address);
            }
            other => assert_eq!((other, &address), (&Value::Null, &None)),
        }
    }
    assert_eq!(rows, expected);
    assert_eq!(pages, expected.len().div_ceil(7));
}

#[test]
fn a_cursor_holds_as_long_as_the_content() {
    let (demo, server) = demo();
    for by in ["date", "product"] {
        let measures = if by == "date" { "sales" } else { "delivery_p95" };
        let first = ask(&server, &path(&format!("measures={measures}&by={by}&limit=3")), &[]);
        let second = next(&first).unwrap();
        let told = |date: &str| {
            let event = json!({ "partitions": [{ "store_id": 2, "date": date }] });
            assert_eq!(server.post("/api/events/orders_changed", &event).status, 200);
        };
        told("2026-01-12");
        assert_eq!(ask(&server, &second, &[]).status, 200, "an event, and the same content");
        let copy = |date: &str| {
            let sql =
                "INSERT INTO orders (store_id, store_name, date, product, category, amount, profit,
                         quantity, delivery_minutes)
                       SELECT store_id, store_name, ?1, product, category, amount, profit, quantity,
                         delivery_minutes
                       FROM orders WHERE store_id = 2 LIMIT 1";
            assert_eq!(demo.database().execute(sql, [date]).unwrap(), 1);
            told(date);
        };
        copy("2026-02-01");
        assert_eq!(ask(&server, &second, &[]).status, 200, "another day than those asked for");
        copy("2026-01-12");
        let refused = ask(&server, &second, &[]);
        let error = &refused.json()["error"];
        assert_eq!((refused.status, &error["code"]), (409, &json!("changed")), "{by}");
        assert!(error["message"].as_str().unwrap().contains("without cursor"));
        let begun = ask(&server, &path(&format!("measures={measures}&by={by}&limit=3")), &[]);
        let second = ask(&server, &next(&begun).unwrap(), &[]);
        assert_eq!(second.status, 200);
    }
}

#[test]
fn bad_input_names_field_found_and_allowed() {
    let (_demo, server) = demo();
    let first = server.json(&path("measures=sales&by=date&limit=3"));
    let of_another = format!("measures=orders&by=date&cursor={}", first["next"].as_str().unwrap());
    for (query, field) in [
        ("by=date", "measures"),
        ("measures=sails", "measures"),
        ("measures=sales&by=shop", "by"),
        ("measures=sales&where=shop=1", "where"),
        ("measures=sales&where=date=today", "where"),
        ("measures=sales&order=date", "order"),
        ("measures=sales&limit=0", "limit"),
        ("measures=sales&limit=10001", "limit"),
        ("measures=sales&cursor=next", "cursor"),
        (&of_another, "cursor"),
        ("measures=sales&shop=1", "query"),
        ("measures=sales&to=2025-01-01", "to"),
        ("measures=sales&stores=1,77", "stores"),
    ] {
        let answer = server.get(&path(query));
        let error = &answer.json()["error"];
        assert_eq!((answer.status, &error["field"]), (400, &json!(field)), "{query}");
        assert!(error["allowed"].as_str().is_some_and(|allowed| !allowed.is_empty()), "{query}");
    }
    let unknown = server.get(&path("measures=sails")).json();
    assert!(unknown["error"]["allowed"].as_str().unwrap().contains("sales, orders"), "{unknown}");
    assert_eq!(ask(&server, &path("measures=sales"), &[("Accept", "text/html")]).status, 406);
    let page = "text/html,application/xhtml+xml,*/*;q=0.8";
    assert_eq!(ask(&server, &path("measures=sales"), &[("Accept", page)]).status, 200);
}
