//! `/api/openapi.json`, held against the doors by a client that knows nothing else: Schemathesis makes requests of it,
//! those that fit and those that do not, and judges what is answered.

#[path = "openapi/find.rs"]
mod find;

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::server::{Answer, Demo, Server, samovar};

const TOKEN: (&str, &str) = ("Authorization", "Bearer open-sesame");
/// A request that a proxy passed on is from nowhere near: so both tokens are asked for.
const RELAYED: (&str, &str) = ("X-Forwarded-For", "192.0.2.7");
const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/openapi/schemathesis.toml");

/// A small demo with both tokens.
fn demo() -> (Demo, Server) {
    let demo = Demo::new(3, 300);
    let mut command = samovar(&demo.arguments(&["--port", "0"]));
    command.env("SAMOVAR_TOKEN", "open-sesame").env("SAMOVAR_READ_TOKEN", "open-figures");
    let server = Server::start(command).warm();
    (demo, server)
}

fn document(server: &Server) -> Value {
    server.json("/api/openapi.json")
}

/// Asks Schemathesis, which complains about nothing.
fn check(demo: &Demo, words: &[&str]) {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let program = find::find(target).unwrap_or_else(|missing| panic!("{missing}"));
    let headers = [TOKEN, RELAYED].map(|(name, value)| format!("{name}: {value}"));
    let output = Command::new(program)
        .args(words)
        .args(["--header", &headers[0], "--header", &headers[1]])
        .args(["--checks", "all", "--seed", "2026", "--no-color"])
        // In seconds, as long as a busy disk may take.
        .args(["--request-timeout", "120"])
        .current_dir(demo.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    // Requests to the limit of what is allowed are long.
    let short = told.lines().map(|line| line.chars().take(400).collect::<String>() + "\n");
    let short: String = short.collect();
    assert!(output.status.success(), "{short}{}", String::from_utf8_lossy(&output.stderr));
    assert!(short.contains(" passed") && !short.contains("❌"), "{short}");
}

#[test]
fn every_answer_is_as_described() {
    let (demo, server) = demo();
    let address = format!("{}/api/openapi.json", server.url());
    check(&demo, &["--config-file", RULES, "run", &address, "--max-examples", "50"]);
}

/// Over values that go together nothing is refused.
#[test]
fn every_question_that_fits_is_answered() {
    let (demo, server) = demo();
    let mut document = document(&server);
    let ids = json!({ "enum": ["1", "2", "3"] });
    let firsts = json!({ "enum": ["2026-01-01", "2026-01-10", "2026-01-31"] });
    let lasts = json!({ "enum": ["2026-01-31", "2026-02-28", "2026-03-05"] });
    let condition =
        "^(store_id!?=[1-9]|date!?=2026-02-[012][1-8]|(product|category)!?=[a-zA-Z ]{0,20})$";
    for (place, narrow) in [
        ("parameters/stores/schema/items", &ids),
        ("parameters/from/schema", &firsts),
        ("parameters/to/schema", &lasts),
        ("schemas/StoreId", &ids),
        ("schemas/Selection/properties/from", &firsts),
        ("schemas/Selection/properties/to", &lasts),
        ("schemas/OrderName", &json!({ "enum": ["sales", "-margin", "orders"] })),
    ] {
        *document["components"].pointer_mut(&format!("/{place}")).unwrap() = narrow.clone();
    }
    let parameters = document["paths"]["/api/query"]["get"]["parameters"].as_array_mut().unwrap();
    // Only an answer has a cursor; a test of pages follows them.
    parameters.retain(|parameter| parameter["name"] != "cursor");
    let r#where = parameters.iter_mut().find(|parameter| parameter["name"] == "where").unwrap();
    r#where["schema"]["items"]["pattern"] = condition.into();
    let path = demo.path().join("narrow.json");
    fs::write(&path, document.to_string()).unwrap();
    let narrow = ["run", path.to_str().unwrap(), "--url", &server.url(), "--mode", "positive"];
    let own = ["--max-examples", "60", "--generation-database", "none"];
    check(&demo, &[&narrow[..], &own].concat());
}

#[test]
fn it_names_what_this_dataset_has() {
    let (_demo, server) = demo();
    let document = document(&server);
    let told = server.json("/api/dataset");
    let names: Vec<&Value> =
        told["measures"].as_array().unwrap().iter().map(|measure| &measure["name"]).collect();
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["MeasureName"]["enum"], json!(names));
    let dimensions = ["store_id", "date", "product", "category"];
    assert_eq!(schemas["DimensionName"]["enum"], json!(dimensions));
    let event = &document["paths"]["/api/events/{event}"]["post"];
    assert_eq!(event["parameters"][0]["schema"]["enum"], json!(["orders_changed"]));
    assert_eq!(event["security"], json!([{ "token": [] }]));
    let either = json!([{ "read_token": [] }, { "token": [] }]);
    assert_eq!(document["paths"]["/api/query"]["get"]["security"], either);
    assert_eq!(document["paths"]["/healthz"]["get"]["security"], json!([]));
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

fn ask(server: &Server, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    server.ask(method, path, &[&[("Host", &*server.host)], headers].concat(), "")
}

/// Schemathesis asks for the description, but not about it.
#[test]
fn every_door_takes_the_methods_described_and_no_other() {
    let (_demo, server) = demo();
    for (path, described) in document(&server)["paths"].as_object().unwrap() {
        let path = path.replace("{event}", "orders_changed");
        let path = path.replace("{cache}", "notes").replace("{key}", "42");
        let path = path.replace("{id}", "000000000000feed-7");
        let mut methods: Vec<String> =
            described.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        if methods.iter().any(|method| method == "GET") {
            methods.push("HEAD".into());
            let head = ask(&server, "HEAD", &path, &[]);
            assert!(head.body.is_empty() && head.status != 405, "HEAD {path}: {}", head.status);
        }
        methods.sort();
        for other in ["DELETE", "TRACE", "PUT"] {
            if methods.iter().any(|method| method == other) {
                continue;
            }
            let refused = ask(&server, other, &path, &[RELAYED]);
            assert_eq!(refused.status, 405, "{other} {path}");
            assert_eq!(refused.json()["error"]["code"], "method_not_allowed");
            let mut allowed: Vec<&str> = refused.header("Allow").split(',').collect();
            allowed.sort_unstable();
            assert_eq!(allowed, methods, "{path}");
        }
    }
    let described = ask(&server, "GET", "/api/openapi.json", &[RELAYED, TOKEN]);
    assert_eq!((described.status, described.header("Content-Type")), (200, "application/json"));
    assert_eq!(ask(&server, "GET", "/api/openapi.json", &[RELAYED]).status, 401);
}

#[test]
fn a_page_has_every_format_described() {
    let (_demo, server) = demo();
    let document = document(&server);
    let formats = document["components"]["responses"]["Page"]["content"].as_object().unwrap();
    assert_eq!(formats.len(), 3);
    let path = "/api/query?measures=sales&by=date&stores=all&from=2026-02-01&to=2026-02-28";
    for format in formats.keys() {
        let answer = ask(&server, "GET", path, &[("Accept", format)]);
        let named = answer.header("Content-Type").split(';').next();
        assert_eq!((answer.status, named), (200, Some(&**format)));
    }
}

#[test]
fn bodies_that_cannot_be_read_are_refused_in_json() {
    let (_demo, server) = demo();
    let host = ("Host", &*server.host);
    let json = ("Content-Type", "application/json");
    let long = " ".repeat((2 << 20) + 1);
    for (headers, path, body, status, code) in [
        (&[host, TOKEN, json][..], "/api/refresh", &*long, 413, "too_large"),
        (&[host, TOKEN], "/api/refresh", "{}", 415, "unsupported_media_type"),
        (&[host, TOKEN, json], "/api/stats/reset", "[]", 400, "bad_request"),
        (&[host, TOKEN, json], "/api/stats/reset", "{\"all\":true}", 400, "bad_request"),
        (&[host, TOKEN, json], "/api/events/%FF", "{}", 400, "bad_request"),
    ] {
        let refused = server.ask("POST", path, headers, body);
        assert_eq!(refused.status, status, "{path}");
        assert_eq!(refused.json()["error"]["code"], code, "{path}");
    }
}
