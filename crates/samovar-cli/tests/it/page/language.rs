//! The page in its languages: which one it is in, and that every word of it is.

use samovar_testkit::browser::{Motion, Scheme};
use serde_json::Value;

use super::Page;
use crate::server::Demo;

const ENGLISH: &str = include_str!("../../../../samovar-server/page/words/en.json");

/// The sizes of a desktop and of a phone.
pub(super) const SIZES: [(u32, u32); 2] = [(1280, 900), (390, 844)];

/// The tag of a language as the page gives it.
fn tag(language: &str) -> &'static str {
    if language == "zh" { "zh-Hans" } else { "en" }
}

/// The tables of words that the page has fetched since it was opened.
const TABLES: &str = "performance.getEntriesByType('resource').map((e) => e.name.split('/').pop())
    .filter((name) => name.endsWith('.json')).join()";

#[test]
fn browser_address_and_switch_choose_the_language() {
    let mut page = Page::open();
    assert_eq!(page.eval("document.documentElement.lang"), "en");
    assert_eq!(page.eval(TABLES), "en.json");
    page.browser.locale("zh-CN").unwrap();
    page.visit("/");
    page.settled();
    assert_eq!(page.eval("document.documentElement.lang"), "zh-Hans");
    assert_eq!(page.eval(TABLES), "zh.json", "no word of another language is fetched");

    // The address goes before the browser, and is remembered.
    page.visit("/?lang=en");
    page.settled();
    assert_eq!(page.eval("document.documentElement.lang"), "en");
    page.visit("/");
    page.settled();
    assert_eq!(page.eval("document.documentElement.lang"), "en");
    assert_eq!(page.eval(TABLES), "en.json");

    // The switch, by the keyboard alone.
    page.browser.click(".tile[data-measure=profit] button").unwrap();
    page.eval("document.querySelector('.skip').focus()");
    for _ in 0..6 {
        page.browser.press("Tab").unwrap();
        if page.eval("document.activeElement.dataset.language ?? ''") == "zh" {
            break;
        }
    }
    assert_eq!(page.eval("document.activeElement.textContent"), "中文");
    page.browser.press("Enter").unwrap();
    page.wait_until("document.documentElement.lang === 'zh-Hans'");
    page.wait_until("document.querySelector('#answer-title').textContent === '全部12家门店'");
    assert_eq!(page.eval("document.activeElement.textContent"), "中文", "the focus stays");
    assert_eq!(page.eval("document.activeElement.ariaPressed"), "true");
    let shown = "document.querySelector('#trend-chart').dataset.measure";
    assert_eq!(page.eval(shown), "profit", "what was looked at stays");
    page.visit("/");
    page.settled();
    assert_eq!(page.eval("document.documentElement.lang"), "zh-Hans", "it is remembered");
    assert_eq!(page.eval(TABLES), "zh.json");
    page.done();
}

#[test]
fn the_page_is_served_by_what_the_browser_accepts() {
    let demo = Demo::new(2, 60);
    let server = demo.start();
    let ask = |path: &str, accepted: &str, tag: &str| {
        let headers =
            [("Host", &*server.host), ("Accept-Language", accepted), ("If-None-Match", tag)];
        server.ask("GET", path, &headers, "")
    };
    let (english, chinese) = (ask("/", "en", ""), ask("/", "fr, zh;q=0.4, en;q=0.3", ""));
    assert!(english.text().contains("<html lang=\"en\">"));
    assert!(chinese.text().contains("<html lang=\"zh-Hans\">"));
    assert_eq!(chinese.header("Content-Language"), "zh-Hans");
    assert_eq!(chinese.header("Vary"), "Accept-Language");
    assert_ne!(english.header("ETag"), chinese.header("ETag"));
    assert_eq!(ask("/", "zh", chinese.header("ETag")).status, 304);
    assert_eq!(ask("/", "en", chinese.header("ETag")).status, 200);
    assert_eq!(ask("/?lang=zh", "en", "").body, chinese.body);
    assert_eq!(ask("/page/js/main.js", "zh", "").header("Vary"), "");
}

#[test]
fn figures_are_written_as_the_language_writes_them() {
    let mut page = Page::of(Demo::new(12, 3_000), "/?lang=zh");
    let answer = page.server.json("/api/diagnosis?stores=all&from=2026-02-02&to=2026-03-01");
    let exact = format!(
        "new Intl.NumberFormat('zh-Hans', {{ style: 'currency', currency: 'USD' }}).format({})",
        answer["totals"]["sales"]["value"]
    );
    let exact = page.eval(&exact);
    let tile = ".tile[data-measure=sales] .tile-value";
    assert_eq!(page.eval(&format!("document.querySelector('{tile}').title")), exact);
    let short = page.browser.text(tile).unwrap();
    assert!(short.starts_with("US$") && short.ends_with('万'), "{short}");
    let minutes = page.browser.text(".tile[data-measure=delivery_mean] .tile-value").unwrap();
    assert!(minutes.ends_with("分钟"), "{minutes}");
    page.browser.click("#trend-details summary").unwrap();
    let day = page.browser.text("#trend-table tbody th").unwrap();
    assert_eq!(day, "2026年2月2日周一");
    page.done();
}

/// What the page says now, to eyes and to screen readers, without the names that come from the data, what the server
/// says, and the names of the languages.
const SAID: &str = "(() => {
    const told = [document.title];
    const apart = '#languages, noscript, script, q, code, #dataset-name, [data-store-id], [data-name], \
                   #products-table tbody th, #products-table td:nth-child(2)';
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const e = walker.currentNode.parentElement;
        if (!e.closest(apart) && e.checkVisibility({ visibilityProperty: true })) told.push(walker.currentNode.data);
    }
    for (const e of document.querySelectorAll('[aria-label], [title], [placeholder]')) {
        if (e.closest(apart) || !e.checkVisibility({ visibilityProperty: true })) continue;
        for (const name of ['aria-label', 'title', 'placeholder']) told.push(e.getAttribute(name) ?? '');
    }
    return told.map((text) => text.trim()).filter(Boolean);
})()";

/// Text that leaves the window or is cut off by a box that does not scroll.
const CUT: &str = "((innerWidth) => {
    const found = [];
    if (document.documentElement.scrollWidth > innerWidth) found.push('the page is ' + document.documentElement.scrollWidth + ' wide');
    for (const e of document.body.querySelectorAll('*')) {
        if (!e.checkVisibility({ visibilityProperty: true }) || e.closest('.sr, .skip, svg, select')) continue;
        const own = [...e.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
        if (own.length === 0) continue;
        const range = document.createRange();
        range.setStartBefore(own[0]);
        range.setEndAfter(own[0]);
        const text = range.getBoundingClientRect();
        const tell = (why) => found.push(`${why}: ${e.id || e.className || e.tagName}: ${e.textContent.slice(0, 60)}`);
        const leaves = (box) => text.left < box.left - 1 || text.right > box.right + 1 || text.bottom > box.bottom + 1;
        if (getComputedStyle(e).display !== 'inline' && leaves(e.getBoundingClientRect())) tell('too narrow');
        let scrolls = false;
        for (let box = e; box !== document.body && !scrolls; box = box.parentElement) {
            const { overflowX, overflowY } = getComputedStyle(box);
            scrolls = overflowX === 'auto' || overflowX === 'scroll' || overflowY === 'auto';
            const cuts = ['hidden', 'clip'].includes(overflowX) || ['hidden', 'clip'].includes(overflowY);
            if (cuts && leaves(box.getBoundingClientRect())) tell('cut off');
        }
        if (!scrolls && (text.left < -1 || text.right > innerWidth + 1)) tell('outside');
    }
    return found;
})";

fn nothing_is_cut(page: &mut Page, width: u32, at: &str) {
    // A phone's own `innerWidth` grows with what does not fit.
    let cut = page.eval(&format!("{CUT}({width})"));
    assert_eq!(cut, Value::Array(Vec::new()), "{at}");
}

/// Every word is of the language, and no key stands where words should.
fn speaks(page: &mut Page, language: &str, at: &str) {
    let keys: serde_json::Map<String, Value> = serde_json::from_str(ENGLISH).unwrap();
    let dataset = page.server.json("/api/dataset");
    let named = dataset["stores"].as_array().unwrap().iter();
    let stores: Vec<_> = named.map(|store| store["name"].as_str().unwrap().to_string()).collect();
    let told = page.eval(SAID);
    let told = told.as_array().unwrap();
    assert!(told.len() > 15, "{at}: {told:?}");
    for text in told {
        let text = text.as_str().unwrap();
        assert!(!keys.contains_key(text), "{at}: the key {text}");
        assert!(!text.contains('{'), "{at}: {text}");
        if language == "en" {
            let han = |c: char| ('\u{3000}'..='\u{9fff}').contains(&c) || c > '\u{ff00}';
            assert!(!text.contains(han), "{at}: {text}");
        } else {
            let mut rest = text.to_string();
            for name in PROPER.iter().chain(&["US$"]) {
                rest = rest.replace(name, "");
            }
            // Titles and summaries name stores of the data.
            for store in &stores {
                rest = rest.replace(store.as_str(), "");
            }
            assert!(!rest.contains(|c: char| c.is_ascii_alphabetic()), "{at}: {text}");
            assert!(!rest.contains(", "), "{at}: {text}");
        }
    }
}

/// Names that are the same in every language.
const PROPER: [&str; 5] = ["Samovar", "Redis", "Esc", "P95", "CSV"];

fn every_word(language: &str) {
    let mut page = Page::open();
    for scheme in [Scheme::Light, Scheme::Dark] {
        page.browser.emulate(scheme, Motion::Reduced).unwrap();
        for (width, height) in SIZES {
            let look = |page: &mut Page, what: &str| {
                let at = format!("{what}, {language}, {scheme:?}, {width} wide");
                speaks(page, language, &at);
                nothing_is_cut(page, width, &at);
            };
            page.browser.viewport(width, height).unwrap();
            page.visit(&format!("/?lang={language}"));
            page.settled();
            assert_eq!(page.eval("document.documentElement.lang"), tag(language));
            page.browser.click("#breakdown-table [data-store-id]").unwrap();
            page.wait_until("document.querySelector('#breakdown-table tbody [data-date]')");
            page.browser.click("#breakdown-by [value=product]").unwrap();
            page.wait_until("document.querySelector('#breakdown-table [data-column=product]')");
            look(&mut page, "the opening");
            page.browser.click("#trend-details summary").unwrap();
            page.browser.click("#stores-toggle").unwrap();
            page.wait_until("document.querySelector('#store-list li')");
            look(&mut page, "chooser and table");
            page.browser.click("#store-presets [data-stores=none]").unwrap();
            page.browser.click("#stores-done").unwrap();
            page.wait_until("!document.querySelector('#notice').hidden");
            page.browser.fill("#from", "2001-01-01").unwrap();
            page.wait_until("document.querySelector('#date-error').textContent");
            look(&mut page, "no store and a wrong date");
        }
    }
    page.browser.viewport(390, 844).unwrap();
    page.visit(&format!("/?stores=77&from=2026-02-02&to=2026-03-01&lang={language}"));
    page.wait_until("!document.querySelector('#notice').hidden");
    let told = page.browser.text("#notice").unwrap();
    assert!(told.contains("77"), "{told}");
    if language == "zh" {
        assert!(!told.contains(|c: char| c.is_ascii_alphabetic()), "{told}");
    }
    nothing_is_cut(&mut page, 390, "a wrong address");
}

#[test]
fn every_word_is_english_and_none_is_cut() {
    every_word("en");
}

#[test]
fn every_word_is_chinese_and_none_is_cut() {
    every_word("zh");
}
