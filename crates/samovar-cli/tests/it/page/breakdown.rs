//! The table of any measures by any dimensions.

use serde_json::{Value, json};

use super::{OPENING, Page};
use crate::server::cents;

const TABLE: &str = "#breakdown-table tbody tr";

impl Page {
    /// Waits until the breakdown that the address names is there, whole and fresh.
    pub(super) fn breakdown(&mut self, search: &str) {
        self.wait_until(&format!("location.search === {}", json!(search)));
        self.settled();
        self.wait_until(
            "(({ dataset, ariaBusy }) => dataset.state === 'fresh' && ariaBusy === 'false')(document.querySelector('#breakdown'))",
        );
    }

    /// What tells the rows of the breakdown apart.
    fn rows(&mut self) -> Vec<String> {
        let rows = self
            .eval(&format!("[...document.querySelectorAll('{TABLE}')].map((r) => r.dataset.row)"));
        rows.as_array().unwrap().iter().map(|row| row.as_str().unwrap().to_string()).collect()
    }

    /// The rows that the API has for a question, told apart in the same way.
    fn asked(&mut self, question: &str, by: &[&str]) -> Vec<String> {
        let answer = self.server.json(&format!("/api/query{OPENING}&limit=10000&{question}"));
        let told = |row: &Value| {
            by.iter().map(|name| row[name].as_str().unwrap()).collect::<Vec<_>>().join("|")
        };
        answer["rows"].as_array().unwrap().iter().map(told).collect()
    }

    fn notes(&mut self, words: &str) {
        self.wait_until(&format!(
            "document.querySelector('#breakdown-note').textContent.includes({})",
            json!(words)
        ));
    }
}

#[test]
fn dimensions_measures_and_order_are_chosen_and_stand_in_the_address() {
    let mut page = Page::open();
    page.breakdown(OPENING);
    let by_sales = page.asked("measures=sales&by=store_id&order=-sales", &["store_id"]);
    assert_eq!(page.rows(), by_sales);
    let sorted = "document.querySelector('#breakdown-table [data-column=sales]').ariaSort";
    assert_eq!(page.eval(sorted), "descending");
    assert_eq!(page.browser.text("#breakdown-count").unwrap(), "12 rows");
    assert_eq!(page.count("#breakdown-proof [data-proof=level]"), 1);
    let cell = "#breakdown-table tbody tr td.num";
    let sales = page
        .server
        .json(&format!("/api/query{OPENING}&measures=sales&by=store_id&order=-sales&limit=1"));
    let exact = page.eval(&format!(
        "new Intl.NumberFormat('en', {{ style: 'currency', currency: 'USD', maximumFractionDigits: 0 }}).format({})",
        sales["rows"][0]["sales"]
    ));
    assert_eq!(page.eval(&format!("document.querySelector('{cell}').textContent")), exact);
    assert_eq!(
        page.eval(&format!("getComputedStyle(document.querySelector('{cell}')).textAlign")),
        "end"
    );

    page.browser.click("#breakdown-by [value=date]").unwrap();
    let both = format!("{OPENING}&by=store_id,date");
    page.breakdown(&both);
    let expected = page.asked("measures=sales&by=store_id,date", &["store_id", "date"]);
    assert_eq!(page.rows(), expected[..100], "a page of them");
    assert_eq!(page.eval("document.activeElement.value"), "date", "the focus stays");
    page.browser.click("#breakdown-more").unwrap();
    page.wait_until(&format!("document.querySelectorAll('{TABLE}').length === 200"));
    assert_eq!(page.rows(), expected[..200], "and the next");
    let count = page.browser.text("#breakdown-count").unwrap();
    assert_eq!(count, format!("The first 200 of {} rows", expected.len()));

    // The server orders all rows, not the page those it has. By the keyboard the order turns round.
    page.browser.click("#breakdown-table [data-sort=orders]").unwrap();
    page.breakdown(&format!("{both}&order=-orders"));
    let expected =
        page.asked("measures=sales&by=store_id,date&order=-orders", &["store_id", "date"]);
    assert_eq!(page.rows(), expected[..100]);
    page.browser.press("Enter").unwrap();
    page.breakdown(&format!("{both}&order=orders"));
    assert_eq!(page.eval("document.activeElement.dataset.sort"), "orders");
    page.browser.click("#breakdown-measures [value=delivery_p95]").unwrap();
    let five = format!("{both}&measures=sales,orders,profit,margin,delivery_p95&order=orders");
    page.breakdown(&five);
    assert_eq!(page.count("#breakdown-table thead th"), 7);

    page.visit(&format!("/{five}"));
    page.breakdown(&five);
    assert_eq!(page.count("#breakdown-table thead th"), 7, "the address is the breakdown");
    let pressed = page.eval("[...document.querySelectorAll('#breakdown-by [aria-pressed=true]')].map((b) => b.value).join()");
    assert_eq!(pressed, "store_id,date");
    page.eval("history.back()");
    page.breakdown(&format!("{both}&order=orders"));
    assert_eq!(page.count("#breakdown-table thead th"), 6);

    // What an address garbles is as the page would choose it.
    page.visit(&format!("/{OPENING}&by=moon&measures=%E0%A4%A&order=-tide"));
    page.wait_until("document.querySelector('#breakdown').dataset.state === 'fresh'");
    assert_eq!(page.browser.text(TABLE).unwrap().split('\n').count(), 1);
    page.done();
}

/// Lets the page keep what it would save.
const KEEP: &str = "((make) => { URL.createObjectURL = (blob) => {
    window.saved = blob;
    return make(blob);
}; })(URL.createObjectURL); null";

#[test]
fn all_rows_are_saved_as_csv() {
    let mut page = Page::open();
    let search = format!("{OPENING}&by=store_id,date&measures=sales,margin&order=-sales");
    page.visit(&format!("/{search}"));
    page.breakdown(&search);
    let rows = page.rows();
    let body = page.server.json(&format!(
        "/api/query{OPENING}&measures=sales,margin&by=store_id,date&order=-sales&limit=10000"
    ));
    let all = body["rows"].as_array().unwrap();
    page.eval(KEEP);
    // Pages of fifty, so that there are several.
    page.eval(
        "((real) => { window.asked = 0; window.fetch = (path, options) => {
        if (path.includes('limit=10000')) window.asked += 1;
        return real(path.replace('limit=10000', 'limit=50'), options);
    }; })(window.fetch); null",
    );
    page.browser.click("#breakdown-csv").unwrap();
    page.notes(&format!("{} rows saved.", all.len()));
    assert_eq!(page.eval("window.asked"), all.len().div_ceil(50));
    let text = page.eval("window.saved.text()");
    let mut lines = text.as_str().unwrap().trim_start_matches('\u{feff}').lines();
    assert_eq!(lines.next(), Some("store_id,store_name,date,sales,margin"));
    let lines: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert_eq!(lines.len(), all.len());
    for (line, row) in lines.iter().zip(all) {
        let number = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(
            line[..3],
            [&row["store_id"], &row["store_name"], &row["date"]].map(|text| text.as_str().unwrap())
        );
        assert_eq!(cents(&number(line[3])), cents(&row["sales"]));
        assert_eq!(number(line[4]), row["margin"]);
    }
    let shown: Vec<String> = lines.iter().map(|line| format!("{}|{}", line[0], line[2])).collect();
    assert_eq!(rows, shown[..100], "the table's rows stand first, in its order");
    page.done();
}

#[test]
fn a_change_between_pages_begins_anew() {
    let mut page = Page::open();
    let search = format!("{OPENING}&by=store_id,date");
    page.visit(&format!("/{search}"));
    page.breakdown(&search);
    let changed = page.demo.database().execute(
        "UPDATE orders SET amount = round(amount + 1000, 2) WHERE order_id =
         (SELECT min(order_id) FROM orders WHERE store_id = 2 AND date = '2026-02-03')",
        [],
    );
    assert_eq!(changed.unwrap(), 1);
    let event = json!({ "partitions": [{ "store_id": "2", "date": "2026-02-03" }] });
    let told = page.server.post("/api/events/orders_changed", &event);
    assert_eq!(told.status, 200, "{}", told.text());
    page.browser.click("#breakdown-more").unwrap();
    page.notes("begins anew");
    page.breakdown(&search);
    let expected = page.asked("measures=sales&by=store_id,date", &["store_id", "date"]);
    assert_eq!(page.rows(), expected[..100]);
    page.browser.click("#breakdown-more").unwrap();
    page.wait_until(&format!("document.querySelectorAll('{TABLE}').length === 200"));
    assert_eq!(page.eval("document.querySelector('#breakdown-note').textContent"), "");
}

#[test]
fn what_fails_is_told_beside_the_table_and_tried_again() {
    let mut page = Page::open();
    page.breakdown(OPENING);
    page.eval("window.real = window.fetch; window.fetch = (path, options) => path.startsWith('api/query')
        ? Promise.resolve(Response.json({ error: { code: 'too_many', message: 'too many rows' } }, { status: 400 }))
        : real(path, options); null");
    page.browser.click("#breakdown-by [value=product]").unwrap();
    page.wait_until("document.querySelector('#breakdown').dataset.state === 'failed'");
    let told = page.browser.text("#breakdown-trouble").unwrap();
    assert!(told.contains("Too many rows."), "{told}");
    assert_eq!(page.count(&format!("{TABLE}[data-row]")), 0, "no rows of another question");
    assert_eq!(page.eval("document.querySelector('#notice').hidden"), true);
    page.eval("window.fetch = window.real; null");
    page.browser.click("#breakdown-trouble button").unwrap();
    page.breakdown(&format!("{OPENING}&by=store_id,product"));
    assert_eq!(page.eval("document.querySelector('#breakdown-trouble').textContent"), "");
    assert_eq!(page.rows().len(), 100);
    page.done();
}

#[test]
fn what_is_not_fresh_is_asked_again_until_it_is() {
    let mut page = Page::open();
    page.breakdown(OPENING);
    page.eval("((real) => { window.stale = 0; window.fetch = async (path, options) => {
        const answer = await real(path, options);
        if (!path.startsWith('api/query') || window.stale === 2) return answer;
        window.stale += 1;
        const headers = new Headers(answer.headers);
        headers.set('Samovar-Proof', headers.get('Samovar-Proof').replace('state=fresh', 'state=stale'));
        return new Response(answer.body, { headers });
    }; })(window.fetch); null");
    page.browser.click("#breakdown-by [value=category]").unwrap();
    page.wait_until("document.querySelector('#breakdown').dataset.state === 'stale'");
    let proof = page.browser.text("#breakdown-proof").unwrap();
    assert!(proof.contains("Stale"), "{proof}");
    page.breakdown(&format!("{OPENING}&by=store_id,category"));
    assert_eq!(page.eval("window.stale"), 2);
    page.done();
}

#[test]
fn a_file_that_cannot_be_whole_is_not_saved() {
    let mut page = Page::open();
    page.breakdown(OPENING);
    page.eval(KEEP);
    page.eval(
        "window.real = window.fetch; window.asked = 0; window.fetch = (path, options) => {
        if (!path.includes('limit=10000')) return real(path, options);
        window.asked += 1;
        return Promise.resolve(window.asked <= 3
            ? Response.json({ error: { code: 'changed', message: 'it changed' } }, { status: 409 })
            : new Response('store_id\\r\\n' + '\"1\\n2\"\\r\\n'.repeat(1_000_001)));
    }; null",
    );
    page.browser.click("#breakdown-csv").unwrap();
    page.notes("kept changing");
    assert_eq!(page.eval("window.asked"), 3, "it has begun anew twice");
    page.browser.click("#breakdown-csv").unwrap();
    page.notes("more than 1,000,000 rows");
    assert_eq!(page.eval("window.saved ?? null"), Value::Null);
    page.eval("window.fetch = window.real; null");
    page.browser.click("#breakdown-csv").unwrap();
    page.notes("12 rows saved.");
    page.done();
}
