//! Who may read figures, over HTTP and in the browser.

use samovar_testkit::browser::Browser;
use serde_json::Value;

use super::{Page, SOON};
use crate::server::{Demo, Server, run, samovar};

/// A demo that asks for both tokens.
fn guarded(demo: &Demo) -> Server {
    let mut command = samovar(&demo.arguments(&["--port", "0", "--token", "open-sesame"]));
    command.env("SAMOVAR_READ_TOKEN", "open-figures");
    Server::start(command).warm()
}

/// A page of it, asked for as from elsewhere.
fn from_elsewhere(path: &str) -> Page {
    let demo = Demo::new(12, 3_000);
    let server = guarded(&demo);
    let mut page = Page { browser: Browser::launch().unwrap(), server, demo };
    elsewhere(&mut page, path);
    page
}

/// Opens a path of the server by a name that is not loopback's.
pub(super) fn elsewhere(page: &mut Page, path: &str) {
    let (_, port) = page.server.host.rsplit_once(':').unwrap();
    page.browser.open(&format!("http://shop.test:{port}{path}")).unwrap();
}

fn give(page: &mut Page, token: &str) {
    page.browser.fill("#token", token).unwrap();
    page.browser.press("Enter").unwrap();
}

const WEEK: &str = "stores=all&from=2026-02-02&to=2026-02-08";

#[test]
fn doors_that_tell_figures_ask_whoever_is_not_here() {
    let demo = Demo::new(2, 60);
    let server = guarded(&demo);
    let away = ("Host", "shop.test");
    let diagnosis = format!("/api/diagnosis?{WEEK}");
    for door in [&*diagnosis, "/api/dataset", "/api/stats", "/metrics"] {
        let status = |headers: &[(&str, &str)]| server.ask("GET", door, headers, "").status;
        let refused = server.ask("GET", door, &[away], "");
        assert_eq!((refused.status, refused.header("WWW-Authenticate")), (401, "Bearer"), "{door}");
        assert_eq!(refused.json()["error"]["code"], "unauthorized");
        assert_eq!(server.ask("HEAD", door, &[away], "").status, 401, "{door}");
        assert_eq!(server.get(door).status, 200, "{door}: this machine");
        for (bearer, expected) in
            [("open-figures", 200), ("open-sesame", 200), ("open-figurez", 401), ("", 401)]
        {
            let bearer = format!("Bearer {bearer}");
            assert_eq!(status(&[away, ("Authorization", &bearer)]), expected, "{door}: {bearer}");
        }
        let relayed = ("X-Forwarded-For", "192.0.2.7");
        assert_eq!(status(&[("Host", &server.host), relayed]), 401, "{door}: through a proxy");
    }
    for door in ["/", "/page/js/main.js", "/page/words/zh.json", "/healthz", "/readyz"] {
        assert_eq!(server.ask("GET", door, &[away], "").status, 200, "{door} is open");
    }
    let json = ("Content-Type", "application/json");
    let body = r#"{"stores":"all","from":"2026-02-02","to":"2026-02-08"}"#;
    for (bearer, expected) in [("Bearer open-figures", 401), ("Bearer open-sesame", 200)] {
        let headers = [away, json, ("Authorization", bearer)];
        assert_eq!(server.ask("POST", "/api/refresh", &headers, body).status, expected, "{bearer}");
    }
}

#[test]
fn a_read_token_that_guards_nothing_is_refused() {
    let demo = Demo::new(2, 60);
    for short in ["", "short", "two words"] {
        let refused = run(&demo.arguments(&["--port", "0", "--read-token", short]));
        assert_eq!(refused.code, Some(2), "{short:?}");
        assert!(refused.err.contains("--read-token"), "{}", refused.err);
    }
    let config = demo.path().join("samovar.toml");
    std::fs::write(&config, "read_token = \"short\"\n").unwrap();
    let refused = run(&["serve", "--config", config.to_str().unwrap()]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("read_token: found"), "{}", refused.err);
}

#[test]
fn the_page_asks_once_and_keeps_the_token_for_the_tab() {
    let mut page = from_elsewhere(&format!("/?{WEEK}"));
    page.browser.wait_for("#token-dialog", SOON).unwrap();
    assert_eq!(page.eval("document.activeElement.id"), "token");
    give(&mut page, "open-nothing");
    page.browser.wait_for("#token-error", SOON).unwrap();
    assert!(page.browser.text("#token-error").unwrap().contains("not the right token"));
    assert_eq!(page.eval("document.querySelector('#token').ariaInvalid"), "true");
    give(&mut page, "open-figures");
    page.warm();
    assert_eq!(page.eval("document.querySelector('#token-dialog').open"), false);
    let kept = "sessionStorage.getItem('samovar-token-read')";
    assert_eq!(page.eval(kept), "open-figures");
    assert_eq!(page.eval("localStorage.getItem('samovar-token-read')"), Value::Null);
    let seen = "[location.href, ...performance.getEntriesByType('resource').map((e) => e.name)]";
    assert_eq!(page.eval(&format!("{seen}.some((url) => url.includes('open-'))")), false);

    elsewhere(&mut page, &format!("/?{WEEK}"));
    page.warm();
    assert_eq!(page.eval("document.querySelector('#token-dialog').open"), false, "asked again");
    assert_eq!(page.browser.console_errors().unwrap(), Vec::<String>::new());

    // Who may read may not change: the other token is asked for, and the first stays.
    page.browser.click("#refresh").unwrap();
    page.browser.wait_for("#token-dialog", SOON).unwrap();
    page.browser.click("#token-cancel").unwrap();
    assert!(page.browser.text("#notice").unwrap().contains("not read again"));
    assert_eq!(page.eval(kept), "open-figures");
    page.browser.click("#retry").unwrap();
    page.browser.wait_for("#token-dialog", SOON).unwrap();
    give(&mut page, "open-sesame");
    page.wait_until("document.querySelector('[data-proof=level] dd').dataset.raw === 'source'");
    page.settled();
    assert_eq!(page.eval("document.querySelector('#notice').hidden"), true);
}

#[test]
fn a_token_is_remembered_where_the_reader_wants_it() {
    let mut page = from_elsewhere(&format!("/?{WEEK}"));
    page.browser.wait_for("#token-dialog", SOON).unwrap();
    page.browser.press("Escape").unwrap();
    page.wait_until("document.querySelector('#warm-state').dataset.state === 'denied'");
    assert!(page.browser.text("#notice").unwrap().contains("token"));
    assert_eq!(page.eval("document.querySelector('#answer').hidden"), true);
    page.browser.click("#retry").unwrap();
    page.browser.click("#token-remember").unwrap();
    // The stronger token opens reading as well.
    give(&mut page, "open-sesame");
    page.warm();
    page.eval("sessionStorage.clear()");
    elsewhere(&mut page, &format!("/?{WEEK}"));
    page.warm();
    assert_eq!(page.eval("document.querySelector('#token-dialog').open"), false);

    // A token that the server does not take any more is forgotten, and asked for again.
    page.eval("localStorage.setItem('samovar-token-read', 'open-yesterday')");
    elsewhere(&mut page, &format!("/?{WEEK}"));
    page.browser.wait_for("#token-dialog", SOON).unwrap();
    assert_eq!(page.eval("localStorage.getItem('samovar-token-read')"), Value::Null);
}

#[test]
fn nobody_is_asked_here() {
    let demo = Demo::new(12, 3_000);
    let server = guarded(&demo);
    let mut page = Page { browser: Browser::launch().unwrap(), server, demo };
    page.visit("/");
    page.warm();
    page.done();
}
