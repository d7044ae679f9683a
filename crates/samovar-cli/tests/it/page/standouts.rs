//! Days that stand out, in the page.

use serde_json::{Value, json};

use super::{OPENING, Page};

/// Lets the page see the figures of the server with `standouts.found` changed.
fn told(page: &mut Page, found: &str) {
    let js = "((real) => { window.fetch = async (path, options) => {
        const answer = await real(path, options);
        if (!String(path).startsWith('api/diagnosis')) return answer;
        const body = await answer.json();
        body.standouts.found = FOUND;
        if (body.standouts.found === null) body.standouts.days = [];
        return new Response(JSON.stringify(body), { headers: answer.headers });
    }; })(window.real ??= window.fetch)";
    page.eval(&js.replace("FOUND", found));
}

#[test]
fn strange_days_are_told_with_reason_and_rule() {
    let mut page = Page::open();
    page.shows(OPENING);
    let standouts = page.server.json(&format!("/api/diagnosis{OPENING}"))["standouts"].clone();
    let days = standouts["days"].as_array().unwrap();
    let dates: Vec<&str> = days.iter().map(|day| day["date"].as_str().unwrap()).collect();
    assert!(dates.contains(&"2026-02-06") && dates.contains(&"2026-02-18"), "{dates:?}");
    let shown = page.eval(
        "[...document.querySelectorAll('#standouts-list li')].map((item) => item.dataset.date)",
    );
    assert_eq!(shown, Value::from(dates.clone()));
    let sale = days.iter().find(|day| day["date"] == "2026-02-06").unwrap();
    let text = page.browser.text("#standouts-list [data-date='2026-02-06']").unwrap();
    let score = format!("score +{:.1}", sale["score"].as_f64().unwrap());
    let compared = format!("{} Fridays compared", sale["compared"]);
    for word in ["Fri, Feb 6, 2026: Sales $", "is usual for a Friday", "(+", &score, &compared] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let failure = page.browser.text("#standouts-list [data-date='2026-02-18']").unwrap();
    assert!(failure.contains("usual for a Wednesday (−"), "{failure}");
    let rule = page.browser.text("#standouts-rule").unwrap();
    for word in ["Sales", "at least 10%", "at least 3.5", "fewer than 4 days"] {
        assert!(rule.contains(word), "{word}: {rule}");
    }

    // The chart marks them for the measure that they are of, and says so.
    let marks = "document.querySelector('#trend-chart').dataset.marks";
    assert_eq!(page.eval(marks), dates.len().to_string());
    page.eval("document.querySelector('#trend-chart').focus()");
    for _ in 0..5 {
        page.browser.press("ArrowRight").unwrap();
    }
    let read = page.browser.text("#trend-readout").unwrap();
    assert!(read.starts_with("Fri, Feb 6") && read.ends_with("stands out"), "{read}");
    page.browser.click(".tile[data-measure=orders] button").unwrap();
    page.wait_until(&format!("{marks} === '0'"));
    page.done();
}

#[test]
fn no_strange_day_none_judged_and_none_looked_for_are_told_apart() {
    let mut page = Page::open();
    page.browser.click("#date-presets [data-days='7']").unwrap();
    page.shows("?stores=all&from=2026-02-23&to=2026-03-01");
    let short = page.server.json("/api/diagnosis?stores=all&from=2026-02-23&to=2026-03-01");
    assert_eq!(
        (&short["standouts"]["judged"], &short["standouts"]["found"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(
        page.browser.text("#standouts-note").unwrap(),
        "No day could be judged by the rule below."
    );
    assert_eq!(page.eval("document.querySelector('#standouts-list').hidden"), true);
    assert!(page.browser.text("#standouts-rule").unwrap().contains("3.5"));

    told(&mut page, "null");
    page.browser.click("#date-presets [data-days='28']").unwrap();
    page.shows(OPENING);
    let told_so = page.browser.text("#standouts-note").unwrap();
    assert!(told_so.contains("while some of the data are missing"), "{told_so}");

    told(&mut page, "(body.standouts.days = []).length");
    page.browser.click("#date-presets [data-days='all']").unwrap();
    page.shows("?stores=all&from=2026-01-01&to=2026-03-01");
    assert_eq!(page.browser.text("#standouts-note").unwrap(), "No day stands out.");

    told(&mut page, "body.standouts.days.length + 3");
    page.browser.click("#date-presets [data-days='28']").unwrap();
    page.shows(OPENING);
    assert_eq!(page.browser.text("#standouts-note").unwrap(), "3 more days stand out.");
    page.done();
}
