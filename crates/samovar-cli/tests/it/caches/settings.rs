//! What a configuration may say of caches, and who wins where several say it.

use std::fs;

use super::{Shop, TOKEN, put};
use crate::server::{Ended, Server};

/// How long what is put lives.
fn ttl(server: &Server) -> u32 {
    assert_eq!(put(server, "/api/cache/product-info/1", "1").status, 200);
    let answer = server.get("/api/cache/product-info/1");
    let status = answer.header("Cache-Status");
    let ttl = status.split("ttl=").nth(1).and_then(|rest| rest.split(';').next());
    ttl.and_then(|ttl| ttl.parse().ok()).unwrap_or_else(|| panic!("{status}"))
}

#[test]
fn the_environment_wins_over_dot_env_and_that_over_the_file() {
    let shop = Shop::new("[caches.product-info]\nttl = '1h'\njitter = 0");
    assert!((3_500..=3_600).contains(&ttl(&shop.start())), "the file");
    fs::write(shop.path().join(".env"), "SAMOVAR_CACHES__PRODUCT_INFO__TTL=30m\n").unwrap();
    assert!((1_700..=1_800).contains(&ttl(&shop.start())), ".env");
    let mut command = shop.command();
    command.env("SAMOVAR_CACHES__PRODUCT_INFO__TTL", "10m");
    assert!((500..=600).contains(&ttl(&Server::start(command))), "the environment");
}

#[test]
fn a_token_in_dot_env_guards() {
    let shop = Shop::new("[caches.notes]");
    fs::write(shop.path().join(".env"), "SAMOVAR_TOKEN=\"open-sesame\"\n").unwrap();
    let server = shop.start();
    let path = "/api/cache/notes/1";
    assert_eq!(put(&server, path, "1").status, 401);
    let headers = [("Host", &*server.host), TOKEN];
    assert_eq!(server.ask("DELETE", path, &headers, "").status, 200);
}

#[test]
fn ten_mistakes_are_ten_errors() {
    let shop = Shop::new(
        "lisen = '127.0.0.1:0'\n[caches.a]\nttl = 300\nmemory = 1\njitter = -1\nstrateg = 'x'\n[caches.b]\n\
         priority = 101\nnegative_ttl = 'never'\n[caches.b.compression]\nmethod = 'rar'\n[caches._c]",
    );
    fs::write(shop.path().join(".env"), "SAMOVAR_CACHES__B__MAX_BYTES=plenty\n").unwrap();
    let mut command = shop.command();
    command.env("SAMOVAR_CACHE__B__TTL", "1s");
    let ended = Ended::of(&mut command);
    assert_eq!(ended.code, Some(1));
    let (first, rest) = ended.err.split_once('\n').unwrap();
    assert!(first.ends_with("samovar.toml has 11 mistakes:"), "{first}");
    let places: Vec<&str> =
        rest.lines().map(|line| line.trim().split(": ").next().unwrap()).collect();
    assert_eq!(
        places,
        [
            "line 1, lisen",
            "line 3, caches.a.ttl",
            "line 4, caches.a.memory",
            "line 5, caches.a.jitter",
            "line 6, caches.a.strateg",
            "line 8, caches.b.priority",
            "line 9, caches.b.negative_ttl",
            "line 11, caches.b.compression.method",
            "line 12, caches._c",
            "environment variable SAMOVAR_CACHE__B__TTL, cache.b.ttl",
            "environment variable SAMOVAR_CACHES__B__MAX_BYTES, caches.b.max_bytes",
        ]
    );
    assert!(
        rest.contains("found the unknown field \"lisen\" (string); allowed is allowed_hosts, "),
        "{rest}"
    );
    assert!(rest.contains("found \"plenty\" (string); allowed is a number of bytes"), "{rest}");
}

#[test]
fn beyond_loopback_the_command_line_s_token_will_do() {
    let shop = Shop::new("listen = '0.0.0.0:0'");
    let refused = Ended::of(&mut shop.command());
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("--token"), "{}", refused.err);
    let mut command = shop.command();
    command.args(["--token", "open-sesame"]);
    let mut server = Server::start(command);
    server.host = server.host.replace("0.0.0.0", "127.0.0.1");
    assert_eq!(server.get("/healthz").status, 200);
}
