//! Starting, stopping, starting again, and what is on disk in between.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::server::{Demo, Server, cents, open, poll, run, samovar};

const ALL: &str = "/api/diagnosis?stores=all&from=2026-02-02&to=2026-02-08";

/// A shop of somebody, with names of their own.
struct Shop {
    directory: tempfile::TempDir,
}

const CONFIG: &str = r#"
data = "kept"

[source]
path = "shop.sqlite"
query = "SELECT * FROM 订单"

[dataset]
name = "订单"
store_id = "门店ID"
store_name = "门店名称"
date = "日期"
product = "商品名称"
currency = "CNY"
time_zone = "Asia/Shanghai"

[[measure]]
name = "sales"
sum = "销售额"
unit = "money"

[[measure]]
name = "orders"
sum = "订单数"
unit = "count"

[[measure]]
name = "profit"
sum = "利润额"
unit = "money"

[[measure]]
name = "delivery_mean"
mean = "配送时长"
unit = "minutes"
better = "down"
"#;

impl Shop {
    fn new() -> Shop {
        let shop = Shop { directory: tempfile::tempdir().unwrap() };
        fs::write(shop.config(), CONFIG).unwrap();
        let database = open(&shop.database());
        database
            .execute_batch(
                r#"CREATE TABLE 订单 ("门店ID" TEXT, "门店名称" TEXT, "日期" TEXT, "商品名称" TEXT,
                     "销售额" REAL, "利润额" REAL, "订单数" INTEGER, "配送时长" REAL);
                   CREATE INDEX "按门店" ON 订单 ("门店ID", "日期");
                   WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 599)
                   INSERT INTO 订单 SELECT '店' || (i % 5), '第' || (i % 5) || '店',
                     date('2026-01-20', '+' || (i / 5 % 20) || ' days'), '茶' || (i % 7),
                     (i * 37 % 1000) / 100.0 + 5, (i * 11 % 300) / 100.0, i % 3 + 1, 20 + i % 9 FROM n;"#,
            )
            .unwrap();
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn config(&self) -> PathBuf {
        self.path("samovar.toml")
    }

    fn database(&self) -> PathBuf {
        self.path("shop.sqlite")
    }

    fn start(&self) -> Server {
        let config = self.config();
        Server::start(samovar(&["serve", "--config", config.to_str().unwrap(), "--port", "0"]))
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_shop_with_names_of_its_own() {
    let shop = Shop::new();
    let server = shop.start().warm();
    let told = server.json("/api/dataset");
    assert_eq!((&told["name"], &told["currency"]), (&json!("订单"), &json!("CNY")));
    assert_eq!(told["time_zone"], "Asia/Shanghai");
    assert_eq!((&told["categories"], told["stores"].as_array().unwrap().len()), (&json!(false), 5));
    // 店1,店3
    let path = "/api/diagnosis?stores=%E5%BA%971,%E5%BA%973&from=2026-01-25&to=2026-02-03";
    let answer = server.json(path);
    let truth = |what: &str| -> f64 {
        let query = format!(
            r#"SELECT {what} FROM 订单 WHERE "门店ID" IN ('店1', '店3')
               AND "日期" BETWEEN '2026-01-25' AND '2026-02-03'"#
        );
        open(&shop.database()).query_row(&query, [], |row| row.get(0)).unwrap()
    };
    let totals = &answer["totals"];
    assert_eq!(cents(&totals["sales"]["value"]), cents(&json!(truth(r#"sum("销售额")"#))));
    assert_eq!(cents(&totals["profit"]["value"]), cents(&json!(truth(r#"sum("利润额")"#))));
    assert_eq!(
        totals["orders"]["value"],
        truth(r#"sum("订单数")"#),
        "a sum, not a number of lines"
    );
    let mean = totals["delivery_mean"]["value"].as_f64().unwrap();
    assert!((mean - truth(r#"avg("配送时长")"#)).abs() < 1e-9, "{mean}");
    assert!(answer["ranking"][0]["name"].as_str().unwrap().starts_with('第'));
    let products = answer["products"]["items"].as_array().unwrap();
    assert!(products.iter().all(|item| item["product"].as_str().unwrap().starts_with('茶')));

    open(&shop.database())
        .execute(
            r#"UPDATE 订单 SET "销售额" = 0 WHERE "门店ID" = '店1' AND "日期" = '2026-01-30'"#,
            [],
        )
        .unwrap();
    let partitions = json!([{ "store_id": "店1", "date": "2026-01-30" }]);
    let event =
        server.post("/api/events/%E8%AE%A2%E5%8D%95_changed", &json!({ "partitions": partitions }));
    assert_eq!(event.status, 200, "{}", event.text());
    let after = &server.json(path)["totals"]["sales"]["value"];
    assert_eq!(cents(after), cents(&json!(truth(r#"sum("销售额")"#))));
    assert!(cents(after) < cents(&totals["sales"]["value"]));
}

#[test]
fn without_its_source_it_answers_from_disk_and_says_so_until_the_source_is_back() {
    let shop = Shop::new();
    let path = "/api/diagnosis?stores=all&from=2026-01-25&to=2026-02-03";
    let server = shop.start().warm();
    let before = server.json(path);
    assert!(server.stop("TERM").0.success());

    let away = shop.path("away.sqlite");
    fs::rename(shop.database(), &away).unwrap();
    let server = shop.start().warm();
    assert!(server.told().contains("going on with what is kept"), "{}", server.told());
    let answer = server.get(path);
    assert_eq!(answer.json(), before);
    assert_eq!(answer.proof("state"), "stale", "nobody vouches for it");
    assert_eq!(answer.header("Cache-Status").split(';').nth(1), Some(" hit"));
    assert_ne!(answer.proof("refreshing"), "0");

    fs::rename(&away, shop.database()).unwrap();
    poll("fresh figures", || {
        let answer = server.get(path);
        (answer.proof("state") == "fresh" && answer.proof("refreshing") == "0").then_some(())
    });
    assert_eq!(server.json(path), before);
    poll("the end of reading again", || {
        (server.json("/api/stats")["refreshing"] == 0).then_some(())
    });
}

#[test]
fn without_source_and_without_anything_kept_it_says_why_and_goes_on_trying() {
    let shop = Shop::new();
    let away = shop.path("away.sqlite");
    fs::rename(shop.database(), &away).unwrap();
    let server = shop.start();
    poll("the reason", || server.told().contains("not warm").then_some(()));
    assert!(server.told().contains("shop.sqlite"), "{}", server.told());
    assert_eq!((server.get("/healthz").status, server.get("/readyz").status), (200, 503));
    let answer = server.get(ALL);
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (502, &json!("source_failed")));

    fs::rename(&away, shop.database()).unwrap();
    let server = server.warm();
    assert_eq!((server.get("/readyz").status, server.get(ALL).proof("state")), (200, "fresh"));
    assert!(server.stop("TERM").0.success());
}

#[test]
fn a_configuration_with_many_mistakes_tells_them_all() {
    let shop = Shop::new();
    let config = r#"
listne = "127.0.0.1:8051"
[memory]
max_bytes = "much"
[source]
kind = "oracle"
query = "orders"
batch_size = 0
[dataset]
name = "my orders"
store_id = 7
date = "day"
time_zone = "Europe/Nowhere"
[[measure]]
name = "sales"
sum = "amount"
unit = "dollars"
[[measure]]
name = "margin"
ratio = ["profit", "sales"]
[ttl]
raw = "soon"
[health]
low_margin = 3
[standouts]
measures = ["margin"]
"#;
    fs::write(shop.config(), config).unwrap();
    let path = shop.config();
    let ended = run(&["serve", "--config", path.to_str().unwrap()]);
    assert_eq!(ended.code, Some(1));
    for (at, field, found) in [
        (2, "listne", "listne"),
        (4, "memory.max_bytes", "much"),
        (6, "source.kind", "oracle"),
        (5, "source.path", "nothing"),
        (8, "source.batch_size", "0"),
        (10, "dataset.name", "my orders"),
        (11, "dataset.store_id", "7"),
        (13, "dataset.time_zone", "Europe/Nowhere"),
        (17, "measure[1].unit", "dollars"),
        (20, "measure[2].ratio", "profit"),
        (22, "ttl.raw", "soon"),
        (24, "health.low_margin", "3"),
        (26, "standouts.measures", "margin"),
    ] {
        let start = format!("line {at}, {field}:");
        let line = ended.err.lines().find(|line| line.trim_start().starts_with(&start));
        let line = line.unwrap_or_else(|| panic!("nothing of {field} in {}", ended.err));
        assert!(line.contains(found) && line.contains("allowed is "), "{line}");
    }
    assert_eq!(names(shop.directory.path()), ["samovar.toml", "shop.sqlite"], "nothing was made");
}

#[test]
fn it_stops_when_told_and_is_warm_when_it_comes_back() {
    let demo = Demo::new(6, 600);
    let server = demo.start().warm();
    let before = server.json(ALL);
    let (status, rest) = server.stop("INT");
    assert_eq!((status.code(), rest), (Some(0), Vec::new()), "as after Ctrl-C");

    let server = demo.start().warm();
    let answer = server.get(ALL);
    assert_eq!(answer.json(), before);
    poll("fresh figures", || {
        let answer = server.get(ALL);
        (answer.proof("state") == "fresh" && answer.proof("refreshing") == "0").then_some(())
    });
    assert_eq!(server.json(ALL), before);
    assert_eq!(server.stop("TERM").0.code(), Some(0));
}

#[test]
fn the_last_line_is_the_report() {
    let demo = Demo::new(4, 300);
    let arguments = demo.arguments(&["--port", "0", "--exit-when-warm", "--json"]);
    let report = || -> Value {
        let ended = run(&arguments);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        serde_json::from_str(ended.out.lines().last().unwrap()).unwrap()
    };
    let first = report();
    assert_eq!((&first["stores"], &first["rows"]), (&json!(4), &json!(1_200)));
    let number = |report: &Value, key: &str| {
        report[key].as_f64().unwrap_or_else(|| panic!("no {key} in {report}"))
    };
    assert!(number(&first, "seconds_to_generate") > 0.0);
    assert!(
        number(&first, "seconds_to_first_hot_answer") <= number(&first, "seconds_to_fully_warm")
    );
    assert!(number(&first, "resident_bytes") > 1e6);
    for tier in ["memory", "disk"] {
        for level in ["raw", "metrics"] {
            assert!(first["bytes"][tier][level].as_u64() > Some(0), "{tier} {level}: {first}");
        }
    }
    let second = report();
    assert_eq!((&second["rows"], number(&second, "seconds_to_generate")), (&json!(1_200), 0.0));
}

#[test]
fn one_directory_one_server() {
    let demo = Demo::new(2, 60);
    let server = demo.start();
    let second = run(&demo.arguments(&["--port", "0"]));
    assert_eq!(second.code, Some(1));
    assert!(
        second.err.contains("held by another process") && second.err.contains(demo.data()),
        "{}",
        second.err
    );
    let cleared = run(&["clear", "--data", demo.data(), "--demo"]);
    assert_eq!(cleared.code, Some(1));
    assert!(cleared.err.contains("held"), "{}", cleared.err);
    let server = server.warm();
    assert_eq!(server.get(ALL).status, 200);
    assert!(demo.database_path().is_file());
}

#[test]
fn a_port_that_is_taken() {
    let demo = Demo::new(2, 60);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ended = run(&demo.arguments(&["--port", &port]));
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.err.contains(&port) && ended.err.contains("choose another --port"),
        "{}",
        ended.err
    );
}

#[test]
fn clear_removes_what_is_ours_and_nothing_else() {
    let demo = Demo::new(2, 60);
    let done = run(&demo.arguments(&["--port", "0", "--exit-when-warm"]));
    assert_eq!(done.code, Some(0), "{}", done.err);
    let database = demo.database_path().file_name().unwrap().to_str().unwrap().to_string();
    assert!(names(demo.path()).contains(&"samovar.format".to_string()));
    fs::write(demo.path().join("letter.txt"), "mine").unwrap();
    open(&demo.path().join("mine.sqlite")).execute_batch("CREATE TABLE t (x)").unwrap();

    let cleared = run(&["clear", "--data", demo.data()]);
    assert_eq!(cleared.code, Some(0), "{}", cleared.err);
    assert!(cleared.out.contains("removed "), "{}", cleared.out);
    assert_eq!(names(demo.path()), [&*database, "letter.txt", "mine.sqlite"]);
    let again = run(&["clear", "--data", demo.data()]);
    assert_eq!(again.code, Some(1), "no directory of ours any more");

    let cleared = run(&["clear", "--data", demo.data(), "--demo"]);
    assert_eq!(cleared.code, Some(0), "{}", cleared.err);
    assert_eq!(names(demo.path()), ["letter.txt", "mine.sqlite"]);
    assert_eq!(fs::read_to_string(demo.path().join("letter.txt")).unwrap(), "mine");
}

#[cfg(unix)]
#[test]
fn clear_follows_no_links() {
    use std::os::unix::fs::symlink;

    let demo = Demo::new(2, 60);
    let elsewhere = Demo::new(2, 60);
    for each in [&demo, &elsewhere] {
        let done = run(&each.arguments(&["--port", "0", "--exit-when-warm"]));
        assert_eq!(done.code, Some(0), "{}", done.err);
    }
    let kept = names(elsewhere.path());
    let cache = demo.path().join("cache.redb");
    fs::remove_file(&cache).unwrap();
    symlink(elsewhere.path().join("cache.redb"), &cache).unwrap();
    symlink(elsewhere.database_path(), demo.path().join("linked.sqlite")).unwrap();
    symlink(elsewhere.path(), demo.path().join("linked")).unwrap();
    let cleared = run(&["clear", "--data", demo.data(), "--demo"]);
    assert_eq!(cleared.code, Some(0), "{}", cleared.err);
    assert_eq!(names(elsewhere.path()), kept);
    let through = demo.path().join("linked");
    let refused = run(&["clear", "--data", through.to_str().unwrap(), "--demo"]);
    assert_eq!(refused.code, Some(1), "{}", refused.out);
    assert_eq!(names(elsewhere.path()), kept);
}

#[test]
fn a_generation_that_was_killed_is_done_again() {
    let demo = Demo::new(40, 10_000);
    let partial = demo.database_path().with_extension("sqlite.partial");
    let server = demo.start();
    poll("some lines to be made", || {
        let told = server.json("/api/dataset");
        assert_eq!(told["phase"], "generating");
        assert_eq!(server.get("/readyz").status, 503);
        assert_eq!(server.get(ALL).status, 503, "no figures yet");
        (told["generating"]["done"].as_u64() > Some(0)).then_some(())
    });
    drop(server);
    assert!(partial.is_file() && !demo.database_path().exists());

    // Told to stop in the middle, it leaves nothing behind.
    let server = demo.start();
    poll("some lines to be made", || {
        (server.json("/api/dataset")["generating"]["done"].as_u64() > Some(0)).then_some(())
    });
    assert_eq!(server.stop("TERM").0.code(), Some(0));
    assert!(!partial.exists() && !demo.database_path().exists());

    let ended = run(&demo.arguments(&["--port", "0", "--exit-when-warm", "--json"]));
    let report: Value = serde_json::from_str(ended.out.lines().last().unwrap()).unwrap();
    assert_eq!((&report["rows"], &report["stores"]), (&json!(400_000), &json!(40)));
    let lines: u32 =
        demo.database().query_row("SELECT count(*) FROM orders", [], |row| row.get(0)).unwrap();
    assert_eq!(lines, 400_000);
    assert!(!partial.exists());
}
