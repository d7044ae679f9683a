//! Two `serve` on one Redis: what one has read the other need not, and what one is told both obey.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use rusqlite::Connection;
use samovar_testkit::redis::{Server as Redis, Setup};
use serde_json::json;

use crate::server::{Server, poll, run, samovar};

const ALL: &str = "/api/diagnosis?stores=all&from=2026-01-01&to=2026-01-31";

fn shop(directory: &Path) -> Connection {
    let shop = Connection::open(directory.join("shop.db")).unwrap();
    shop.execute_batch(
        "CREATE TABLE orders (shop INTEGER, day TEXT, amount REAL);
         CREATE INDEX of_shop ON orders (shop, day);
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 1999)
         INSERT INTO orders SELECT i % 5, date('2026-01-01', (i % 31) || ' days'), i % 97 + 0.25 FROM n",
    )
    .unwrap();
    shop
}

/// A configuration with a data directory of its own.
fn config(directory: &Path, name: &str, redis: &str) -> PathBuf {
    let path = directory.join(format!("{name}.toml"));
    let text = format!(
        r#"
data = "{name}"
[redis]
urls = "{redis}"
[source]
path = "shop.db"
query = "orders"
[dataset]
name = "orders"
store_id = "shop"
date = "day"
[[measure]]
name = "sales"
sum = "amount"
unit = "money"
"#
    );
    fs::write(&path, text).unwrap();
    path
}

fn start(config: &Path) -> Server {
    Server::start(samovar(&["serve", "--config", config.to_str().unwrap(), "--port", "0"])).warm()
}

fn sales(server: &Server) -> f64 {
    server.json(ALL)["totals"]["sales"]["value"].as_f64().unwrap()
}

#[test]
fn two_servers_share_warm_metrics_and_every_event() {
    let redis = Redis::launch(&Setup::new()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let shop = shop(directory.path());
    let truth = || {
        shop.query_row("SELECT sum(amount) FROM orders WHERE day <= '2026-01-31'", [], |row| {
            row.get::<_, f64>(0)
        })
        .unwrap()
    };

    let first = start(&config(directory.path(), "first", &redis.url()));
    assert_eq!(sales(&first), truth());
    // All that is shared lies in Redis by now, or will soon.
    let second = poll("the second to find everything in Redis", || {
        let second = start(&config(directory.path(), "second", &redis.url()));
        let counters = second.json("/api/stats")["counters"].clone();
        if counters["rows_read"] == 0 {
            return Some(second);
        }
        second.stop("TERM");
        fs::remove_dir_all(directory.path().join("second")).unwrap();
        None
    });
    assert_eq!(sales(&second), truth());

    shop.execute(
        "UPDATE orders SET amount = amount + 1000 WHERE shop = 3 AND day = '2026-01-05'",
        [],
    )
    .unwrap();
    let event = json!({ "partitions": [{ "store_id": "3", "date": "2026-01-05" }] });
    let told = second.post("/api/events/orders_changed", &event);
    assert_eq!(told.status, 200, "{}", told.text());
    assert_eq!(sales(&second), truth());
    poll("the other to obey", || (sales(&first) == truth()).then_some(()));
}

/// Fails if a read fails, until it is told to stop.
fn keeps_reading(server: &Server, reads: &AtomicU64, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let answer = server.get(ALL);
        assert_eq!(answer.status, 200, "{}", answer.text());
        reads.fetch_add(1, Ordering::Relaxed);
    }
}

/// Stops readers also where the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn while_redis_is_killed_under_two_servers_no_read_fails_and_no_event_is_lost() {
    let redis = Redis::launch(&Setup::new().durable()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let shop = shop(directory.path());
    let servers =
        ["first", "second"].map(|name| start(&config(directory.path(), name, &redis.url())));
    let reads = [AtomicU64::new(0), AtomicU64::new(0)];
    let stop = AtomicBool::new(false);
    let mut truth = sales(&servers[0]);
    thread::scope(|threads| {
        for (server, reads) in servers.iter().zip(&reads) {
            let stop = &stop;
            threads.spawn(move || keeps_reading(server, reads, stop));
        }
        let _stop = Stop(&stop);
        let both_go_on = || {
            for reads in &reads {
                let before = reads.load(Ordering::Relaxed);
                poll("reads", || (reads.load(Ordering::Relaxed) > before + 20).then_some(()));
            }
        };
        // It comes back as it was, and with nothing.
        for round in 0..4 {
            both_go_on();
            redis.kill().unwrap();
            both_go_on();
            let (told, other) = (&servers[round % 2], &servers[1 - round % 2]);
            let change =
                "UPDATE orders SET amount = amount + 1 WHERE shop = 3 AND day = '2026-01-05'";
            truth += shop.execute(change, []).unwrap() as f64;
            let event = json!({ "partitions": [{ "store_id": "3", "date": "2026-01-05" }] });
            let answer = told.post("/api/events/orders_changed", &event);
            assert_eq!(answer.status, 200, "round {round}: {}", answer.text());
            assert_eq!(sales(told), truth, "round {round}: it obeys though Redis is away");
            if round < 2 {
                redis.start().unwrap();
            } else {
                redis.start_empty().unwrap();
            }
            poll("the other to obey", || (sales(other) == truth).then_some(()));
            assert_eq!(sales(told), truth, "round {round}");
        }
    });
}

#[test]
fn a_redis_that_cannot_be_is_told_with_its_line_and_no_password() {
    let directory = tempfile::tempdir().unwrap();
    shop(directory.path());
    let path = config(directory.path(), "one", "http://ann:geheim@cache.example");
    let ended = run(&["serve", "--config", path.to_str().unwrap()]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("line 4, redis.urls"), "{}", ended.err);
    assert!(!ended.err.contains("geheim"), "{}", ended.err);
    let right = config(directory.path(), "two", "redis://cache.example");
    let text = fs::read_to_string(&right).unwrap();
    for wrong in
        ["urls = [\"redis://ann:geheim@cache.example\", 7]", "pasword = \"geheim\"\nurls = \"x\""]
    {
        fs::write(&right, text.replace("urls = \"redis://cache.example\"", wrong)).unwrap();
        let ended = run(&["serve", "--config", right.to_str().unwrap()]);
        assert_eq!(ended.code, Some(1));
        assert!(ended.err.contains("redis."), "{}", ended.err);
        assert!(!ended.err.contains("geheim"), "{}", ended.err);
    }
}
