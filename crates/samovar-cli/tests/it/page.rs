//! The page in a real browser.

mod access;
mod audit;
mod breakdown;
mod language;
mod standouts;
mod trail;

use std::fs;
use std::path::Path;
use std::time::Duration;

use samovar_testkit::browser::{Browser, Motion, Scheme};
use serde_json::{Value, json};

use crate::server::{Demo, Server, cents};

const SOON: Duration = Duration::from_secs(60);

/// A browser that shows a demo.
struct Page {
    browser: Browser,
    server: Server,
    demo: Demo,
}

impl Page {
    /// The page as it opens by itself.
    fn open() -> Page {
        Page::of(Demo::new(12, 3_000), "/")
    }

    fn of(demo: Demo, path: &str) -> Page {
        let server = demo.start();
        let browser = Browser::launch().unwrap();
        let mut page = Page { browser, server, demo };
        page.visit(path);
        page.warm();
        page
    }

    fn visit(&mut self, path: &str) {
        self.browser.open(&format!("{}{path}", self.server.url())).unwrap();
    }

    /// Waits until the server is warm and its figures are shown.
    fn warm(&mut self) {
        self.wait_until("document.body.dataset.phase === 'warm'");
        self.settled();
    }

    fn wait_until(&mut self, predicate: &str) {
        self.browser.wait_until(predicate, SOON).unwrap();
    }

    /// Waits until what is shown is fresh and nothing is being asked.
    fn settled(&mut self) {
        self.wait_until(
            "document.querySelector('#answer').dataset.state === 'fresh' && !document.body.dataset.busy",
        );
    }

    /// Waits until the address says so and the answer to it is shown.
    fn shows(&mut self, search: &str) {
        self.wait_until(&format!("location.search === {}", json!(search)));
        self.settled();
        self.agrees();
    }

    fn eval(&mut self, js: &str) -> Value {
        self.browser.eval(js).unwrap()
    }

    fn count(&mut self, css: &str) -> u64 {
        self.eval(&format!("document.querySelectorAll({}).length", json!(css))).as_u64().unwrap()
    }

    /// A measure's figure behind its tile, in hundredths.
    fn tile(&mut self, measure: &str) -> i64 {
        let value = self.eval(&format!(
            "Number(document.querySelector('.tile[data-measure={measure}]').dataset.value)"
        ));
        cents(&value)
    }

    /// Every tile, the ranking and the digest are those that the API gives for the page's address.
    fn agrees(&mut self) {
        let search = self.eval("location.search");
        // The way that led here asks for nothing.
        let asked = search.as_str().unwrap().split("&trail=").next().unwrap();
        let answer = self.server.json(&format!("/api/diagnosis{asked}"));
        self.wait_until(&format!(
            "document.querySelector('#answer').dataset.digest === {}",
            answer["digest"]
        ));
        for (measure, figure) in answer["totals"].as_object().unwrap() {
            let tile = format!(".tile[data-measure={measure}]");
            let raw = self.eval(&format!("document.querySelector('{tile}').dataset.value"));
            let raw: f64 = raw.as_str().unwrap().parse().unwrap();
            let value = figure["value"].as_f64().unwrap();
            assert!(
                (raw - value).abs() <= value.abs() * 1e-12,
                "{measure} of {search}: {raw}, {value}"
            );
        }
        let sales = self.eval(&format!(
            "new Intl.NumberFormat('en', {{ style: 'currency', currency: 'USD' }}).format({})",
            answer["totals"]["sales"]["value"]
        ));
        let title =
            self.eval("document.querySelector('.tile[data-measure=sales] .tile-value').title");
        assert_eq!(title, sales, "the tile tells the exact amount");
        let shown = self.browser.text(".tile[data-measure=sales] .tile-value").unwrap();
        assert!(shown.starts_with('$'), "{shown}");
        let best = self.eval("document.querySelector('#ranking-table tbody tr')?.dataset.row");
        assert_eq!(best, answer["ranking"][0]["store_id"]);
        let rows = self.count("#ranking-table tbody tr");
        assert_eq!(rows, answer["ranking"].as_array().unwrap().len().min(20) as u64);
    }

    /// Nothing went wrong on the way.
    fn done(mut self) {
        assert_eq!(self.browser.console_errors().unwrap(), Vec::<String>::new());
        drop(self.demo);
    }
}

/// The opening selection: everything, the last 28 days.
const OPENING: &str = "?stores=all&from=2026-02-02&to=2026-03-01";

#[test]
fn it_fills_and_shows_the_figures_of_the_api() {
    let mut page = Page::open();
    page.shows(OPENING);
    assert_eq!(page.count(".tile"), 7);
    assert_eq!(page.count("#ranking-table tbody tr"), 12);
    assert!(page.count("#trend-chart canvas") > 0, "the chart is drawn");
    assert!(page.count("#products-table tbody tr") > 5);
    let stars = page.browser.text("#product-groups [data-health=star]").unwrap();
    assert!(
        stars.contains("10%") && stars.contains("20%"),
        "the rule stands beside the word: {stars}"
    );
    let proof = page.browser.text("#proof").unwrap();
    for word in ["Fresh", "memory", "672 store-days", "none"] {
        assert!(proof.contains(word), "{word}: {proof}");
    }
    for fact in
        ["state", "tier", "level", "took", "age", "covered", "missing", "refreshing", "version"]
    {
        assert_eq!(page.count(&format!("#proof [data-proof={fact}]")), 1, "{fact}");
    }
    assert!(page.browser.text("#answer-title").unwrap().contains("All 12 stores"));
    page.done();
}

#[test]
fn a_choice_of_stores_and_dates_changes_the_figures_and_the_address() {
    let mut page = Page::open();
    let everything = page.tile("sales");
    page.browser.click("#stores-toggle").unwrap();
    page.browser.click("#store-presets [data-stores=none]").unwrap();
    page.browser.wait_for("#notice", SOON).unwrap();
    page.browser.fill("#store-search", "3").unwrap();
    page.browser.click("#store-list [data-store-id='3'] input").unwrap();
    page.browser.fill("#store-search", "").unwrap();
    page.browser.click("#store-list [data-store-id='5'] input").unwrap();
    page.browser.click("#stores-done").unwrap();
    page.shows("?stores=3,5&from=2026-02-02&to=2026-03-01");
    let two = page.tile("sales");
    assert!(two < everything);
    assert_eq!(page.count("#ranking-table tbody tr"), 2);

    page.browser.click("#date-presets [data-days='7']").unwrap();
    page.shows("?stores=3,5&from=2026-02-23&to=2026-03-01");
    assert!(page.tile("sales") < two);
    page.browser.fill("#from", "2026-02-10").unwrap();
    page.shows("?stores=3,5&from=2026-02-10&to=2026-03-01");
    let (shown, search) = (page.tile("sales"), "/?stores=3,5&from=2026-02-10&to=2026-03-01");

    let mut other = Browser::launch().unwrap();
    other.open(&format!("{}{search}", page.server.url())).unwrap();
    other.wait_until("document.querySelector('#answer').dataset.state === 'fresh'", SOON).unwrap();
    let theirs =
        other.eval("Number(document.querySelector('.tile[data-measure=sales]').dataset.value)");
    assert_eq!(cents(&theirs.unwrap()), shown, "the address is the selection");
    drop(other);

    page.eval("history.back()");
    page.shows("?stores=3,5&from=2026-02-23&to=2026-03-01");
    page.eval("history.back()");
    page.shows("?stores=3,5&from=2026-02-02&to=2026-03-01");
    assert_eq!(page.tile("sales"), two);

    page.browser.click("#stores-toggle").unwrap();
    page.browser.click("#store-presets [data-stores='top:5']").unwrap();
    page.shows("?stores=top:5&from=2026-02-02&to=2026-03-01");
    assert_eq!(page.count("#ranking-table tbody tr"), 5);
    page.done();
}

#[test]
fn ranking_products_and_trend_are_explored_by_clicks() {
    let mut page = Page::open();
    page.browser.click("#ranking-table [data-sort=orders]").unwrap();
    assert_eq!(page.eval("document.querySelector('[data-column=orders]').ariaSort"), "descending");
    // A second press turns the order round, and the focus stays on the head.
    page.browser.press("Enter").unwrap();
    page.wait_until("document.querySelector('[data-column=orders]').ariaSort === 'ascending'");
    assert_eq!(page.eval("document.activeElement.dataset.sort"), "orders");
    assert_eq!(page.count("#ranking-table [aria-sort]"), 1);
    page.browser.click("#ranking-table [data-sort=sales]").unwrap();
    assert_eq!(page.eval("document.querySelector('[data-column=sales]').ariaSort"), "descending");
    page.browser.click("#product-groups [data-health=declining]").unwrap();
    page.wait_until("document.querySelector('[data-health=declining]').ariaPressed === 'true'");
    let words = page.eval("[...new Set([...document.querySelectorAll('#products-table .health')].map((e) => e.innerText.trim()))].join()");
    assert!(words.as_str().unwrap().ends_with("Declining"), "{words}");
    page.browser.click(".tile[data-measure=profit] button").unwrap();
    page.wait_until("document.querySelector('#trend-chart').dataset.measure === 'profit'");

    let store = page.eval("document.querySelector('#ranking-table tbody tr').dataset.row");
    let store = store.as_str().unwrap().to_string();
    page.browser.click(&format!("#ranking-table [data-store-id='{store}']")).unwrap();
    let came_from = trail::trail(&[OPENING]);
    page.shows(&format!("?stores={store}&from=2026-02-02&to=2026-03-01{came_from}"));
    assert_eq!(page.count("#ranking-table tbody tr"), 1);
    page.browser.click("#stores-all").unwrap();
    page.shows(OPENING);
    page.done();
}

#[test]
fn refresh_reads_the_source_again() {
    let mut page = Page::of(Demo::new(12, 3_000), "/?stores=2&from=2026-02-02&to=2026-02-08");
    let before = page.tile("sales");
    let changed = page.demo.database().execute(
        "UPDATE orders SET amount = round(amount + 1000, 2) WHERE order_id =
         (SELECT min(order_id) FROM orders WHERE store_id = 2 AND date = '2026-02-03')",
        [],
    );
    assert_eq!(changed.unwrap(), 1);
    page.browser.click("#refresh").unwrap();
    page.wait_until(&format!(
        "Math.round(document.querySelector('.tile[data-measure=sales]').dataset.value * 100) === {}",
        before + 100_000
    ));
    page.wait_until("document.querySelector('[data-proof=level] dd').dataset.raw === 'source'");
    page.settled();
    page.agrees();
    page.done();
}

#[test]
fn the_keyboard_is_enough() {
    let mut page = Page::open();
    // To the chooser by Tab alone, whatever stands before it.
    for _ in 0..10 {
        if page.eval("document.activeElement.id") == "stores-toggle" {
            break;
        }
        page.browser.press("Tab").unwrap();
    }
    assert_eq!(page.eval("document.activeElement.id"), "stores-toggle");
    page.browser.press("Enter").unwrap();
    page.wait_until("document.activeElement.id === 'store-search'");
    page.browser.press("ArrowDown").unwrap();
    page.wait_until("document.activeElement.type === 'checkbox'");
    page.browser.press("Space").unwrap();
    page.browser.press("ArrowDown").unwrap();
    page.browser.press("Space").unwrap();
    page.browser.press("Escape").unwrap();
    page.wait_until("document.activeElement.id === 'stores-toggle'");
    let left = page.eval("[...document.querySelectorAll('#store-list li')].slice(2).map((item) => item.dataset.storeId).join()");
    let left = left.as_str().unwrap();
    page.shows(&format!("?stores={left}&from=2026-02-02&to=2026-03-01"));
    for _ in 0..3 {
        page.browser.press("Tab").unwrap();
        if page.eval("document.activeElement.dataset.days ?? ''") == "7" {
            break;
        }
    }
    page.browser.press("Enter").unwrap();
    page.shows(&format!("?stores={left}&from=2026-02-23&to=2026-03-01"));
    let outline = page.eval("getComputedStyle(document.activeElement).outlineStyle");
    assert_ne!(outline, "none", "the focus is seen");
    page.done();
}

#[test]
fn dark_or_light_and_on_a_phone() {
    let mut page = Page::open();
    let ground = "getComputedStyle(document.body).backgroundColor";
    page.browser.emulate(Scheme::Light, Motion::Reduced).unwrap();
    let light = page.eval(ground);
    page.browser.emulate(Scheme::Dark, Motion::Reduced).unwrap();
    page.wait_until(&format!("{ground} !== {light}"));
    page.browser.click("#theme").unwrap();
    page.wait_until(&format!("{ground} === {light}"));

    page.browser.viewport(360, 740).unwrap();
    page.wait_until("innerWidth === 360");
    page.wait_until(
        "document.documentElement.scrollWidth <= 360 && document.body.scrollWidth <= 360",
    );
    page.browser.click("#stores-toggle").unwrap();
    page.browser.wait_for("#stores-panel", SOON).unwrap();
    page.browser.click("#store-presets [data-stores='top:5']").unwrap();
    page.shows("?stores=top:5&from=2026-02-02&to=2026-03-01");
    page.browser.click("#stores-done").unwrap();
    page.wait_until("document.documentElement.scrollWidth <= 360");
    page.done();
}

#[test]
fn a_wrong_address_is_told_and_left() {
    let demo = Demo::new(3, 300);
    let server = demo.start().warm();
    let mut browser = Browser::launch().unwrap();
    browser.open(&format!("{}/?stores=77&from=2026-02-02&to=2026-03-01", server.url())).unwrap();
    let told = browser.text("#notice").unwrap();
    assert!(told.contains("77"), "{told}");
    browser.click("#reset").unwrap();
    let shown = format!(
        "location.search === '{OPENING}' && document.querySelector('#answer').dataset.state === 'fresh'"
    );
    browser.wait_until(&shown, SOON).unwrap();
}

/// The pictures of the documentation can be taken. With `SAMOVAR_SCREENSHOTS` they are: of a demo of the usual size, and
/// put in their place; else of a small one, since a test leaves the tree as it is.
#[test]
fn pictures() {
    let elsewhere = tempfile::tempdir().unwrap();
    let (demo, folder) = match std::env::var_os("SAMOVAR_SCREENSHOTS") {
        Some(_) => {
            let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/img");
            (Demo::new(100, 30_000), docs)
        }
        None => (Demo::new(6, 300), elsewhere.path().to_owned()),
    };
    let mut page = Page::of(demo, "/");
    for (scheme, name) in [(Scheme::Light, "light"), (Scheme::Dark, "dark")] {
        page.browser.emulate(scheme, Motion::Reduced).unwrap();
        page.browser.viewport(1280, 1000).unwrap();
        page.visit("/");
        page.settled();
        page.agrees();
        page.browser.screenshot(folder.join(format!("dashboard-{name}.png"))).unwrap();
    }
    page.browser.emulate(Scheme::Light, Motion::Reduced).unwrap();
    page.visit("/");
    page.breakdown(OPENING);
    page.browser.click("#breakdown-table [data-store-id]").unwrap();
    page.wait_until("document.querySelector('#breakdown-table tbody [data-date]')");
    page.settled();
    page.eval("document.querySelector('#breakdown').scrollIntoView({ block: 'end' })");
    page.browser.screenshot(folder.join("breakdown.png")).unwrap();
    page.visit("/?lang=zh");
    page.settled();
    page.browser.screenshot(folder.join("dashboard-chinese.png")).unwrap();
    page.browser.viewport(390, 844).unwrap();
    page.visit("/?lang=en");
    page.settled();
    page.browser.screenshot(folder.join("dashboard-phone.png")).unwrap();
    page.done();
    let taken = fs::read_dir(&folder).unwrap().map(|picture| picture.unwrap().metadata().unwrap());
    assert!(taken.filter(|picture| picture.len() > 10_000).count() >= 5);
}
