//! The doors of a small demo.

use std::collections::HashSet;
use std::fs;
use std::io::Read;

use serde_json::{Value, json};

use crate::server::{Demo, Server, cents, poll, run, samovar};

const STORES: &str = "/api/diagnosis?stores=1,2&from=2026-02-02&to=2026-02-08";
const ALL: &str = "/api/diagnosis?stores=all&from=2026-01-10&to=2026-01-20";

fn demo() -> (Demo, Server) {
    let demo = Demo::new(6, 600);
    let server = demo.start().warm();
    (demo, server)
}

/// Sales in cents of some orders, by the database itself.
fn sales(demo: &Demo, condition: &str) -> i64 {
    let query =
        format!("SELECT sum(CAST(round(amount * 100) AS INTEGER)) FROM orders WHERE {condition}");
    demo.database().query_row(&query, [], |row| row.get(0)).unwrap()
}

fn answered(server: &Server, path: &str) -> i64 {
    cents(&server.json(path)["totals"]["sales"]["value"])
}

fn computed(server: &Server) -> u64 {
    server.json("/api/stats")["counters"]["results_computed"].as_u64().unwrap()
}

fn changed(server: &Server, partitions: &Value) {
    let told = server.post("/api/events/orders_changed", &json!({ "partitions": partitions }));
    assert_eq!(told.status, 200, "{}", told.text());
    assert!(told.json()["version"].is_string());
    assert_eq!(told.json()["partitions"], partitions.as_array().unwrap().len());
}

#[test]
fn it_tells_how_far_it_is() {
    let demo = Demo::new(6, 600);
    let server = demo.start();
    assert_eq!(server.get("/healthz").status, 200, "at once");
    let mut phases = Vec::new();
    poll("every store to be warm", || {
        let told = server.json("/api/dataset");
        let phase = told["phase"].as_str().unwrap().to_string();
        assert_eq!(told["generating"].is_null(), phase != "generating", "{told}");
        if phases.last() != Some(&phase) {
            phases.push(phase.clone());
        }
        (phase == "warm").then_some(())
    });
    let order = ["generating", "warming", "warm"];
    let places: Vec<_> = phases.iter().map(|phase| order.iter().position(|p| p == phase)).collect();
    assert!(places.is_sorted() && !places.contains(&None), "{phases:?}");
    assert_eq!(server.get("/readyz").status, 200);

    let told = server.json("/api/dataset");
    assert_eq!(told["dates"], json!({ "first": "2026-01-01", "last": "2026-03-01" }));
    assert_eq!(told["warming"], json!({ "stores_warm": 6, "stores_total": 6 }));
    assert_eq!(told["stores"].as_array().unwrap().len(), 6);
    assert_eq!(told["stores"][0]["lines"], 600);
    assert_eq!((&told["name"], &told["currency"]), (&json!("orders"), &json!("USD")));
    let measures: HashSet<_> =
        told["measures"].as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap()).collect();
    for name in [
        "sales",
        "orders",
        "profit",
        "margin",
        "average_order_value",
        "delivery_mean",
        "delivery_p95",
    ] {
        assert!(measures.contains(name), "{name}");
    }
}

#[test]
fn its_figures_are_those_of_the_database() {
    let (demo, server) = demo();
    let of_two = sales(&demo, "store_id IN (1, 2) AND date BETWEEN '2026-02-02' AND '2026-02-08'");
    assert_eq!(answered(&server, STORES), of_two);
    let before = sales(&demo, "store_id IN (1, 2) AND date BETWEEN '2026-01-26' AND '2026-02-01'");
    assert_eq!(cents(&server.json(STORES)["totals"]["sales"]["previous"]), before);
    let of_all = sales(&demo, "date BETWEEN '2026-01-10' AND '2026-01-20'");
    assert_eq!(answered(&server, ALL), of_all);
    let answer = server.json(ALL);
    let lines: f64 = demo
        .database()
        .query_row(
            "SELECT count(*) FROM orders WHERE date BETWEEN '2026-01-10' AND '2026-01-20'",
            [],
            |r| r.get(0),
        )
        .unwrap();
    assert_eq!(answer["totals"]["orders"]["value"], json!(lines));
    let sum = |values: &mut dyn Iterator<Item = &Value>| values.map(cents).sum::<i64>();
    let days = answer["daily"]["sales"].as_array().unwrap();
    assert_eq!((days.len(), sum(&mut days.iter())), (11, of_all));
    let ranking = answer["ranking"].as_array().unwrap();
    assert_eq!(ranking.len(), 6);
    assert_eq!(sum(&mut ranking.iter().map(|store| &store["measures"]["sales"]["value"])), of_all);
    let top = server.json("/api/diagnosis?stores=top:2&from=2026-01-10&to=2026-01-20");
    let best = |answer: &Value, at: usize| answer["ranking"][at]["store_id"].clone();
    assert_eq!((best(&top, 0), best(&top, 1)), (best(&answer, 0), best(&answer, 1)));
    assert_eq!(top["store_count"], 2);
}

#[test]
fn an_answer_bears_its_proof() {
    let (_demo, server) = demo();
    let first = server.get(STORES);
    assert_eq!((first.proof("level"), first.proof("tier")), ("metrics", "memory"));
    assert_eq!((first.proof("state"), first.proof("missing")), ("fresh", "0"));
    assert_eq!((first.proof("covered"), first.proof("refreshing")), ("28", "0"));
    assert!(first.proof("version").contains(':') && first.proof("oldest").starts_with("20"));
    assert!(first.header("Age").parse::<u64>().is_ok());
    assert!(first.header("Server-Timing").starts_with("total;dur="));
    assert_eq!(first.header("Cache-Status"), "samovar; hit; detail=metrics");
    let second = server.get(STORES);
    assert_eq!((second.proof("level"), second.proof("tier")), ("result", "memory"));
    assert_eq!(second.header("Cache-Status"), "samovar; hit; detail=result");
    assert_eq!(first.body, second.body, "what differs stands in the headers");
    assert_eq!(first.header("ETag"), second.header("ETag"));
}

#[test]
fn bodies_are_encoded_and_tagged() {
    let (_demo, server) = demo();
    let ask = |headers: &[(&str, &str)]| {
        server.ask("GET", STORES, &[&[("Host", &*server.host)], headers].concat(), "")
    };
    let plain = ask(&[]);
    assert_eq!((plain.header("Content-Encoding"), plain.header("Vary")), ("", "Accept-Encoding"));
    let gzip = ask(&[("Accept-Encoding", "gzip")]);
    assert_eq!(gzip.header("Content-Encoding"), "gzip");
    let mut decoded = Vec::new();
    flate2::read::GzDecoder::new(&gzip.body[..]).read_to_end(&mut decoded).unwrap();
    assert_eq!(decoded, plain.body);
    let zstd = ask(&[("Accept-Encoding", "gzip, br, zstd")]);
    assert_eq!(zstd.header("Content-Encoding"), "zstd");
    assert_eq!(zstd::decode_all(&zstd.body[..]).unwrap(), plain.body);

    let tags: HashSet<_> = [&plain, &gzip, &zstd].map(|answer| answer.header("ETag")).into();
    assert_eq!(tags.len(), 3, "other bytes, another tag");
    let again = ask(&[("If-None-Match", plain.header("ETag"))]);
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(again.header("ETag"), plain.header("ETag"));
    assert_eq!(again.proof("state"), "fresh", "a 304 bears the proof too");
    assert_eq!(ask(&[("If-None-Match", "\"other\"")]).status, 200);
}

#[test]
fn bad_input_names_field_found_and_allowed() {
    let (_demo, server) = demo();
    for (query, field, found) in [
        ("stores=1&from=2026-13-01&to=2026-02-08", "from", "2026-13-01"),
        ("stores=1&from=2026-02-08&to=2026-02-01", "to", "2026-02-01"),
        ("stores=top:none&from=2026-02-01&to=2026-02-08", "stores", "top:none"),
        ("from=2026-02-01&to=2026-02-08", "stores", "nothing"),
        ("stores=1,77&from=2026-02-01&to=2026-02-08", "stores", "77"),
        ("stores=1&from=2026-02-01&to=2026-02-08&shop=1", "query", "shop"),
    ] {
        let answer = server.get(&format!("/api/diagnosis?{query}"));
        let error = &answer.json()["error"];
        assert_eq!(answer.status, 400, "{query}");
        assert_eq!((&error["field"], &error["found"]), (&json!(field), &json!(found)), "{query}");
        assert!(error["allowed"].as_str().is_some_and(|allowed| !allowed.is_empty()), "{query}");
    }
    let body = json!({ "partitions": [{ "store_id": 1, "date": "03.02.2026" }] });
    let answer = server.post("/api/events/orders_changed", &body);
    let error = &answer.json()["error"];
    assert_eq!(
        (answer.status, &error["field"], &error["found"]),
        (400, &json!("date"), &json!("03.02.2026"))
    );
    let unknown = server.post("/api/events/sales_changed", &json!({ "partitions": [] }));
    let error = &unknown.json()["error"];
    assert_eq!(
        (unknown.status, &error["field"], &error["found"]),
        (400, &json!("event"), &json!("sales_changed"))
    );
    assert_eq!(error["allowed"], "orders_changed");
    assert_eq!(server.post("/api/events/orders_changed", &json!("what?")).status, 400);
    assert_eq!(server.get("/api/nothing").status, 404);
    assert_eq!(server.get("/page/../Cargo.toml").status, 404);
    let asked = server.get("/api/refresh");
    assert_eq!((asked.status, asked.header("allow")), (405, "POST"), "a GET changes nothing");
}

#[test]
fn an_event_changes_what_depends_on_it_and_nothing_else() {
    let (demo, server) = demo();
    let one = "/api/diagnosis?stores=1&from=2026-02-02&to=2026-02-08";
    let two = "/api/diagnosis?stores=2&from=2026-02-02&to=2026-02-08";
    let (of_one, of_two) = (answered(&server, one), answered(&server, two));
    let before = computed(&server);
    let rows = demo
        .database()
        .execute(
            "UPDATE orders SET amount = round(amount + 10, 2) WHERE order_id =
             (SELECT min(order_id) FROM orders WHERE store_id = 2 AND date = '2026-02-03')",
            [],
        )
        .unwrap();
    assert_eq!(rows, 1);
    assert_eq!(answered(&server, two), of_two, "nobody told");
    changed(&server, &json!([{ "store_id": 2, "date": "2026-02-03" }]));
    assert_eq!(answered(&server, two), of_two + 1_000);
    assert_eq!(computed(&server), before + 1);
    assert_eq!(answered(&server, one), of_one);
    assert_eq!(server.get(one).proof("level"), "result");
    assert_eq!(computed(&server), before + 1, "the other result was kept");

    // Told of a change that was none: read again, found equal, nothing computed.
    changed(&server, &json!([{ "store_id": 1, "date": "2026-02-03" }]));
    assert_eq!(answered(&server, one), of_one);
    assert_eq!(computed(&server), before + 1);
}

#[test]
fn rows_that_move_or_come_anew_are_told_by_events() {
    let (demo, server) = demo();
    let day = "date BETWEEN '2026-02-02' AND '2026-02-08'";
    let of = |store: u32| {
        (
            answered(
                &server,
                &format!("/api/diagnosis?stores={store}&from=2026-02-02&to=2026-02-08"),
            ),
            sales(&demo, &format!("store_id = {store} AND {day}")),
        )
    };
    assert_eq!((of(1).0, of(2).0), (of(1).1, of(2).1));
    let database = demo.database();
    database
        .execute("UPDATE orders SET store_id = 2 WHERE store_id = 1 AND date = '2026-02-04'", [])
        .unwrap();
    database.execute("DELETE FROM orders WHERE store_id = 2 AND date = '2026-02-05'", []).unwrap();
    changed(
        &server,
        &json!([
            { "store_id": 1, "date": "2026-02-04" },
            { "store_id": "2", "date": "2026-02-04" },
            { "store_id": 2, "date": "2026-02-05" },
        ]),
    );
    assert_eq!((of(1).0, of(2).0), (of(1).1, of(2).1));

    let all = "/api/diagnosis?stores=all&from=2026-02-25&to=2026-03-02";
    assert_eq!(server.json(all)["store_count"], 6);
    database
        .execute_batch(
            "INSERT INTO orders SELECT 9000001, 99, 'New Corner', '2026-03-01', product, category, 12.34, 1, 1, 20
             FROM orders LIMIT 1;
             INSERT INTO orders SELECT 9000002, 3, store_name, '2026-03-02', product, category, 5.67, 1, 1, 20
             FROM orders WHERE store_id = 3 LIMIT 1;",
        )
        .unwrap();
    changed(
        &server,
        &json!([{ "store_id": 99, "date": "2026-03-01" }, { "store_id": 3, "date": "2026-03-02" }]),
    );
    let answer = server.json(all);
    assert_eq!(answer["store_count"], 7, "a new store is one of all");
    assert_eq!(
        cents(&answer["totals"]["sales"]["value"]),
        sales(&demo, "date BETWEEN '2026-02-25' AND '2026-03-02'")
    );
    assert_eq!(answered(&server, "/api/diagnosis?stores=99&from=2026-03-01&to=2026-03-01"), 1_234);
    assert_eq!(server.json("/api/dataset")["dates"]["last"], "2026-03-02");
}

#[test]
fn a_refresh_reads_the_source_again() {
    let (demo, server) = demo();
    let path = "/api/diagnosis?stores=4&from=2026-02-02&to=2026-02-08";
    let before = answered(&server, path);
    demo.database()
        .execute(
            "UPDATE orders SET amount = round(amount + 1.5, 2) WHERE order_id =
             (SELECT min(order_id) FROM orders WHERE store_id = 4 AND date = '2026-02-08')",
            [],
        )
        .unwrap();
    assert_eq!(answered(&server, path), before, "nobody told");
    let selection = json!({ "stores": ["4"], "from": "2026-02-02", "to": "2026-02-08" });
    let refreshed = server.post("/api/refresh", &selection);
    assert_eq!(refreshed.status, 200, "{}", refreshed.text());
    assert_eq!(cents(&refreshed.json()["totals"]["sales"]["value"]), before + 150);
    assert_eq!((refreshed.proof("state"), refreshed.proof("level")), ("fresh", "source"));
    let again = server.get(path);
    assert_eq!((again.proof("level"), again.body == refreshed.body), ("result", true));
}

#[test]
fn it_counts_and_forgets_on_demand() {
    let (_demo, server) = demo();
    for _ in 0..3 {
        server.json(STORES);
    }
    let stats = server.json("/api/stats");
    assert_eq!((&stats["total_requests"], &stats["hit_rate"]), (&json!(3), &json!(1.0)));
    assert_eq!(stats["counters"]["results_computed"], 1);
    assert_eq!(stats["counters"]["result_hits"], 2);
    assert_eq!(stats["counters"]["rows_read"], 3_600);
    for (tier, level) in
        [("memory", "metrics"), ("memory", "raw"), ("memory", "results"), ("disk", "metrics")]
    {
        assert!(
            stats["tiers"][tier]["caches"][level]["bytes"].as_u64() > Some(0),
            "{tier} {level}: {stats}"
        );
        assert!(stats["caches"][level]["tiers"][tier]["hits"].is_u64(), "{tier} {level}: {stats}");
    }
    assert!(
        stats["tiers"]["memory"]["bytes"].as_u64() < stats["tiers"]["memory"]["max_bytes"].as_u64()
    );
    assert_eq!(server.post("/api/stats/reset", &json!({})).status, 200);
    let stats = server.json("/api/stats");
    assert_eq!((&stats["total_requests"], &stats["hit_rate"]), (&json!(0), &Value::Null));
    assert!(stats["tiers"]["memory"]["entries"].as_u64() > Some(0), "what is kept is kept");
}

#[test]
fn metrics_are_prometheus_text() {
    let (_demo, server) = demo();
    server.json(STORES);
    let answer = server.get("/metrics");
    assert_eq!(answer.status, 200);
    let text = answer.text();
    let (mut described, mut typed, mut samples) = (HashSet::new(), HashSet::new(), HashSet::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            assert!(described.insert(rest.split(' ').next().unwrap()), "described twice: {line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(typed.insert(name), "typed twice: {line}");
            assert!(["counter", "gauge"].contains(&kind), "{line}");
        } else if !line.starts_with('#') {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(samples.insert(sample), "a sample twice: {line}");
            let name = sample.split('{').next().unwrap();
            let family = name.strip_suffix("_total").unwrap_or(name);
            assert!(typed.contains(family) || typed.contains(name), "before its type: {line}");
            assert!(name.starts_with("samovar_"), "{line}");
        }
    }
    assert!(
        text.contains("samovar_requests_total 1\n") && text.contains("samovar_ready 1\n"),
        "{text}"
    );
    assert!(
        samples.iter().any(|s| s.contains("tier=\"disk\"") && s.contains("cache=\"metrics\"")),
        "{text}"
    );
}

#[test]
fn without_a_token_only_this_machine_and_no_foreign_page() {
    let (_demo, server) = demo();
    let json = ("Content-Type", "application/json");
    let own = format!("http://{}", server.host);
    let reset = |headers: &[(&str, &str)]| server.ask("POST", "/api/stats/reset", headers, "{}");
    let here = ("Host", &*server.host);
    assert_eq!(reset(&[here, json]).status, 200);
    assert_eq!(reset(&[here, json, ("Origin", &own)]).status, 200);
    let foreign = reset(&[here, json, ("Origin", "http://example.com")]);
    assert_eq!((foreign.status, &foreign.json()["error"]["code"]), (403, &json!("forbidden")));
    assert_eq!(reset(&[here, json, ("Origin", "null")]).status, 403);
    assert_eq!(
        reset(&[("Host", "shop.example.com"), json]).status,
        421,
        "a name bound to loopback"
    );
    assert!((400..=415).contains(&reset(&[here]).status), "no type");
    assert!((400..=415).contains(&reset(&[here, ("Content-Type", "text/plain")]).status));
}

/// A page whose name resolves to 127.0.0.1 is, to the browser, of the server's own origin.
#[test]
fn on_loopback_no_figures_by_a_foreign_name() {
    let (demo, server) = demo();
    let foreign = [("Host", "shop.example:8051")];
    for path in [STORES, "/api/dataset", "/metrics", "/api/openapi.json", "/", "/healthz"] {
        let refused = server.ask("GET", path, &foreign, "");
        assert_eq!((refused.status, refused.header("X-Content-Type-Options")), (421, "nosniff"));
        let error = &refused.json()["error"];
        assert_eq!(error["code"], "misdirected", "{path}");
        assert!(error["message"].as_str().unwrap().contains("allowed_hosts"), "{error}");
        assert_eq!(server.ask("GET", path, &[], "").status, 421, "{path}: no name at all");
        let port = server.host.rsplit_once(':').unwrap().1;
        for host in [&format!("localhost:{port}"), "127.0.0.1", &format!("[::1]:{port}")] {
            assert_eq!(server.ask("GET", path, &[("Host", host)], "").status, 200, "{host}{path}");
        }
    }
    drop(server);
    let mut command = samovar(&demo.arguments(&["--port", "0"]));
    command.env("SAMOVAR_READ_TOKEN", "open-figures");
    let server = Server::start(command).warm();
    assert_eq!(server.ask("GET", STORES, &foreign, "").status, 401, "who knows the token may read");
    let bearer = ("Authorization", "Bearer open-figures");
    assert_eq!(server.ask("GET", STORES, &[foreign[0], bearer], "").status, 200);
}

#[test]
fn names_that_are_allowed_reach_the_figures() {
    let demo = Demo::new(2, 60);
    demo.start().warm();
    let config = demo.path().join("shop.toml");
    let text = include_str!("../../../../recipes/demo/samovar.toml");
    let text = text.replace("demo.sqlite", demo.database().path().unwrap());
    fs::write(&config, format!("allowed_hosts = [\"shop.example\"]\n{text}")).unwrap();
    let server =
        Server::start(samovar(&["serve", "--port", "0", "--config", config.to_str().unwrap()]));
    for (host, status) in [
        ("Shop.Example", 200),
        ("shop.example:80", 200),
        ("localhost", 200),
        ("other.example", 421),
    ] {
        assert_eq!(
            server.ask("GET", "/api/dataset", &[("Host", host)], "").status,
            status,
            "{host}"
        );
    }
    fs::write(&config, format!("allowed_hosts = [\"http://shop.example\"]\n{text}")).unwrap();
    let refused = run(&["serve", "--config", config.to_str().unwrap()]);
    assert!(
        refused.err.contains("allowed_hosts: found \"http://shop.example\""),
        "{}",
        refused.err
    );
}

#[test]
fn with_a_token_its_bearer() {
    let demo = Demo::new(2, 60);
    let server =
        Server::start(samovar(&demo.arguments(&["--port", "0", "--token", "open-sesame"]))).warm();
    assert_eq!(server.json("/api/dataset")["token_required"], true);
    let headers = [("Host", &*server.host), ("Content-Type", "application/json")];
    let reset = |bearer: &[(&str, &str)]| {
        server.ask("POST", "/api/stats/reset", &[&headers, bearer].concat(), "{}")
    };
    let without = reset(&[]);
    assert_eq!((without.status, without.header("WWW-Authenticate")), (401, "Bearer"));
    assert_eq!(reset(&[("Authorization", "Bearer open-sesamE")]).status, 401);
    assert_eq!(reset(&[("Authorization", "Bearer open-sesame")]).status, 200);
}

#[test]
fn beyond_loopback_only_with_a_token() {
    let demo = Demo::new(2, 60);
    let refused = run(&demo.arguments(&["--port", "0", "--listen", "0.0.0.0"]));
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.err.contains("--token") && refused.err.contains("SAMOVAR_TOKEN"),
        "{}",
        refused.err
    );
    let mut command = samovar(&demo.arguments(&["--port", "0", "--listen", "0.0.0.0"]));
    command.env("SAMOVAR_TOKEN", "open-sesame");
    let mut server = Server::start(command);
    server.host = server.host.replace("0.0.0.0", "127.0.0.1");
    assert_eq!(server.get("/healthz").status, 200);
}
