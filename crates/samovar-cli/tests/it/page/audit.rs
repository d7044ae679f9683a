//! The page before axe-core, which knows the common barriers: in each language, theme and size, and in each of the
//! states that a reader meets. No rule is left out.

use samovar_testkit::browser::{Browser, Motion, Scheme};
use serde_json::Value;

use super::Page;
use super::access::elsewhere;
use super::language::SIZES;
use crate::server::{Demo, Server, samovar};

const AXE: &str = include_str!("../../../../../vendor/axe-core/axe.min.js");

const RUN: &str = "axe.run(document, { resultTypes: ['violations'] }).then(({ violations, passes }) => ({
    rules: passes.length,
    found: violations.map(({ id, help, nodes }) =>
        `${id}: ${help}: ${nodes.map(({ html, failureSummary }) => html.slice(0, 200) + ' ' + failureSummary).join(' | ')}`),
}))";

fn audit(page: &mut Page, at: &str) {
    if page.eval("typeof axe") == "undefined" {
        page.eval(&format!("{AXE}; null"));
    }
    let told = page.eval(RUN);
    assert!(told["rules"].as_u64().unwrap() > 15, "{at}: it has looked: {told}");
    assert_eq!(told["found"], Value::Array(Vec::new()), "{at}");
}

fn audited(language: &str) {
    let demo = Demo::new(12, 3_000);
    let tokens = ["--port", "0", "--token", "open-sesame", "--read-token", "open-figures"];
    let server = Server::start(samovar(&demo.arguments(&tokens))).warm();
    let mut page = Page { browser: Browser::launch().unwrap(), server, demo };
    for scheme in [Scheme::Light, Scheme::Dark] {
        page.browser.emulate(scheme, Motion::Reduced).unwrap();
        for (width, height) in SIZES {
            let at = |what: &str| format!("{what}, {language}, {scheme:?}, {width} wide");
            page.browser.viewport(width, height).unwrap();
            elsewhere(&mut page, &format!("/?lang={language}"));
            page.wait_until("document.querySelector('#token-dialog').open");
            page.browser.fill("#token", "open-nothing").unwrap();
            page.browser.press("Enter").unwrap();
            page.wait_until("document.querySelector('#token-error').textContent");
            audit(&mut page, &at("the dialogue"));
            page.browser.click("#token-cancel").unwrap();
            page.wait_until("!document.querySelector('#notice').hidden");
            audit(&mut page, &at("no figures"));
            page.browser.click("#retry").unwrap();
            page.browser.fill("#token", "open-figures").unwrap();
            page.browser.press("Enter").unwrap();
            page.warm();
            page.browser.click("#trend-details summary").unwrap();
            page.browser.click("#breakdown-table [data-store-id]").unwrap();
            page.wait_until("document.querySelector('#breakdown-table tbody [data-date]')");
            page.browser.click("#breakdown-by [value=product]").unwrap();
            page.wait_until("document.querySelector('#breakdown-table [data-column=product]')");
            audit(&mut page, &at("figures"));
            page.browser.click("#stores-toggle").unwrap();
            page.wait_until("document.querySelector('#store-list li')");
            audit(&mut page, &at("the chooser"));
            page.eval("sessionStorage.clear()");
        }
    }
}

#[test]
fn nothing_bars_readers_of_english() {
    audited("en");
}

#[test]
fn nothing_bars_readers_of_chinese() {
    audited("zh");
}
