//! The way from many stores down to the products of a day, and back.

use super::{OPENING, Page};

/// The steps that stand above the breakdown.
const STEPS: &str =
    "[...document.querySelectorAll('#trail li')].map((step) => step.innerText).join(' > ')";

/// The part of an address that names the steps that led to it, each by its own address.
pub(super) fn trail(steps: &[&str]) -> String {
    let encoded = |step: &&str| {
        let step = step.strip_prefix('?').unwrap();
        [("=", "%3D"), ("&", "%26"), (",", "%2C"), (":", "%3A")]
            .into_iter()
            .fold(step.to_string(), |step, (plain, encoded)| step.replace(plain, encoded))
    };
    steps.iter().map(|step| format!("&trail={}", encoded(step))).collect()
}

impl Page {
    /// Waits until the breakdown that the address names is by this dimension alone.
    fn broken_down(&mut self, search: &str, by: &str) {
        self.breakdown(search);
        self.wait_until(&format!(
            "document.querySelector('#breakdown-table thead th').dataset.column === '{by}'"
        ));
        let pressed = "[...document.querySelectorAll('#breakdown-by [aria-pressed=true]')].map((b) => b.value).join()";
        assert_eq!(self.eval(pressed), by);
    }
}

#[test]
fn a_store_leads_to_its_days_and_a_day_to_its_products() {
    let mut page = Page::open();
    page.broken_down(OPENING, "store_id");
    assert_eq!(page.eval("document.querySelector('#trail').hidden"), true);
    let store = page.eval("document.querySelector('#breakdown-table tbody tr').dataset.row");
    let store = store.as_str().unwrap().to_string();
    let name = page.browser.text("#breakdown-table tbody th").unwrap();

    // By the keyboard down, by the mouse further down.
    page.eval("document.querySelector('#breakdown-table tbody button').focus()");
    page.browser.press("Enter").unwrap();
    let store_alone = format!("?stores={store}&from=2026-02-02&to=2026-03-01");
    let days = format!("{store_alone}{}", trail(&[OPENING]));
    page.broken_down(&days, "date");
    page.agrees();
    assert_eq!(page.eval(STEPS), format!("All 12 stores, Feb 2 – Mar 1, 2026 > {name}"));
    assert_eq!(page.eval("document.activeElement.textContent"), name, "the focus follows");
    page.browser.click("#breakdown-table [data-date='2026-02-06']").unwrap();
    let day = format!("?stores={store}&from=2026-02-06&to=2026-02-06");
    let products = format!("{day}{}", trail(&[OPENING, &store_alone]));
    page.broken_down(&products, "product");
    page.agrees();
    let steps = format!("All 12 stores, Feb 2 – Mar 1, 2026 > {name} > Fri, Feb 6, 2026");
    assert_eq!(page.eval(STEPS), steps);
    assert_eq!(
        page.eval("document.querySelector('#trail [aria-current]').innerText"),
        "Fri, Feb 6, 2026"
    );
    let expected =
        page.server.json(&format!("/api/query{day}&measures=sales&by=product&order=-sales"));
    let first = page.browser.text("#breakdown-table tbody th").unwrap();
    assert_eq!(expected["rows"][0]["product"], first);

    // A reload keeps the way; the browser's own way back and forth is the same.
    page.eval("location.reload()");
    page.broken_down(&products, "product");
    assert_eq!(page.eval(STEPS), steps);
    page.eval("history.back()");
    page.broken_down(&days, "date");
    assert_eq!(page.count("#trail li"), 2);
    page.eval("history.forward()");
    page.broken_down(&products, "product");
    page.browser.click("#trail li:nth-child(2) button").unwrap();
    page.broken_down(&days, "date");
    page.browser.click("#trail li:first-child button").unwrap();
    page.broken_down(OPENING, "store_id");
    assert_eq!(page.eval("document.querySelector('#trail').hidden"), true);
    page.eval("history.back()");
    page.broken_down(&days, "date");

    // Another choice begins another way.
    page.browser.click("#date-presets [data-days='7']").unwrap();
    page.broken_down(&format!("?stores={store}&from=2026-02-23&to=2026-03-01"), "date");
    assert_eq!(page.eval("document.querySelector('#trail').hidden"), true);

    // The address alone keeps the way, for somebody it was sent to.
    page.visit(&format!("/{products}"));
    page.broken_down(&products, "product");
    assert_eq!(page.eval(STEPS), steps);
    page.done();
}

#[test]
fn the_ranking_and_days_of_many_stores_lead_down_too() {
    let mut page = Page::open();
    let shape = "&by=store_id,date&measures=sales,orders&order=-sales";
    page.visit(&format!("/{OPENING}{shape}"));
    page.breakdown(&format!("{OPENING}{shape}"));
    let store = page.eval("document.querySelector('#ranking-table tbody tr').dataset.row");
    let store = store.as_str().unwrap().to_string();
    page.browser.click(&format!("#ranking-table [data-store-id='{store}']")).unwrap();
    let came_from = format!("{OPENING}{shape}");
    let days = format!("?stores={store}&from=2026-02-02&to=2026-03-01&measures=sales,orders");
    page.broken_down(&format!("{days}{}", trail(&[&came_from])), "date");
    assert_eq!(page.count("#breakdown-table thead th"), 3, "the measures stay as chosen");
    page.browser.click("#trail button").unwrap();
    page.breakdown(&format!("{OPENING}{shape}"));
    assert_eq!(page.count("#breakdown-table thead th"), 4, "all is as it was");

    // A day beside a store is a day of that store.
    let row = page.eval("document.querySelector('#breakdown-table tbody tr').dataset.row");
    let (store, date) = row.as_str().unwrap().split_once('|').unwrap();
    page.browser.click("#breakdown-table tbody [data-date]").unwrap();
    page.broken_down(
        &format!(
            "?stores={store}&from={date}&to={date}&measures=sales,orders{}",
            trail(&[&came_from])
        ),
        "product",
    );

    // The five best stores of the period stay those on one of its days.
    let ranked = "?stores=top:5&from=2026-02-02&to=2026-03-01&by=date";
    page.visit(&format!("/{ranked}"));
    page.broken_down(ranked, "date");
    let best = page.eval("[...document.querySelectorAll('#ranking-table tbody tr')].map((row) => row.dataset.row).join()");
    page.browser.click("#breakdown-table [data-date='2026-02-18']").unwrap();
    let best = best.as_str().unwrap();
    page.broken_down(
        &format!("?stores={best}&from=2026-02-18&to=2026-02-18&by=product{}", trail(&[ranked])),
        "product",
    );
    page.done();
}

#[test]
fn steps_that_an_address_garbles_are_none() {
    let mut page = Page::open();
    let whole = trail(&[OPENING]);
    let half = trail(&["?stores=1", "?from=2026-02-02&to=2026-03-01"]);
    page.visit(&format!(
        "/?stores=2&from=2026-02-02&to=2026-03-01{half}&trail=%25E9&trail=%E9&trail{whole}"
    ));
    page.broken_down(&format!("?stores=2&from=2026-02-02&to=2026-03-01{whole}"), "date");
    assert_eq!(page.count("#trail li"), 2);
    page.browser.click("#trail button").unwrap();
    page.broken_down(OPENING, "store_id");
    page.done();
}
