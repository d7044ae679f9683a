//! The page's files are whole: every one is served, every reference and every word leads somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use axum::http::{HeaderMap, Uri};

use super::{FILES, INDEX, LANG, PageFile};

fn file(path: &str) -> Option<PageFile> {
    super::file(&path.parse::<Uri>().ok()?, &HeaderMap::new())
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Every file below `root`, by its path from there.
fn walk(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap();
                found.insert(name.replace('\\', "/"));
            }
        }
    }
    found
}

/// What stands between `before` and the next `after`, each time.
fn between<'a>(text: &'a str, before: &str, after: char) -> Vec<&'a str> {
    let ends = text.split(before).skip(1);
    ends.filter_map(|rest| rest.split_once(after)).map(|(found, _)| found).collect()
}

fn own(extension: &str) -> Vec<(&'static str, &'static str)> {
    let all = FILES.iter().filter(|(name, _)| !name.starts_with("vendor/"));
    let mut chosen = Vec::new();
    if "index.html".ends_with(extension) {
        chosen.push(("index.html", INDEX));
    }
    for (name, bytes) in all.filter(|(name, _)| name.ends_with(extension)) {
        chosen.push((*name, std::str::from_utf8(bytes).unwrap()));
    }
    assert!(!chosen.is_empty(), "{extension}");
    chosen
}

fn tables() -> BTreeMap<&'static str, Map<String, Value>> {
    own(".json")
        .into_iter()
        .map(|(name, text)| (name, serde_json::from_str(text).unwrap()))
        .collect()
}

#[test]
fn every_file_of_the_page_is_served() {
    let served: BTreeSet<String> = own("").iter().map(|(name, _)| (*name).to_string()).collect();
    assert_eq!(served, walk(&here("page")));
}

#[test]
fn files_have_addresses_types_and_tags() {
    let page = file("/").unwrap();
    assert_eq!(page.content_type, "text/html; charset=utf-8");
    assert!(page.bytes.starts_with(b"<!doctype html>"));
    let module = file("/page/js/main.js").unwrap();
    assert_eq!(module.content_type, "text/javascript; charset=utf-8");
    assert_eq!(module, file("/page/js/main.js").unwrap());
    for absent in
        ["/page/index.html", "/index.html", "/page/", "/page/../src/page.rs", "", "/page/js"]
    {
        assert_eq!(file(absent), None, "{absent}");
    }
    let tags: BTreeSet<String> = FILES.iter().map(|(_, bytes)| super::etag(bytes)).collect();
    assert_eq!(tags.len(), FILES.len());
    assert!(tags.iter().all(|tag| tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"')));
}

#[test]
fn the_page_has_a_tag_for_each_language() {
    assert_eq!(INDEX.find(LANG), INDEX.find("<html ").map(|at| at + "<html ".len()));
    let (english, chinese) = (file("/?lang=en").unwrap(), file("/?lang=zh").unwrap());
    assert_eq!(english.bytes, INDEX.as_bytes());
    let chinese_text = std::str::from_utf8(chinese.bytes).unwrap();
    assert!(chinese_text.contains("<html lang=\"zh-Hans\">"));
    assert_eq!((english.language, chinese.language), (Some("en"), Some("zh-Hans")));
    assert_ne!(english.etag, chinese.etag);
    assert_eq!(file("/page/words/zh.json").unwrap().language, None);
    for language in super::Language::ALL {
        assert!(file(&format!("/page/words/{}.json", language.name())).is_some());
        // The page's own scripts know the same languages by the same tags.
        let (_, script) = own(".js").into_iter().find(|(name, _)| *name == "js/words.js").unwrap();
        let known = format!("{}: \"{}\"", language.name(), language.tag());
        assert!(script.contains(&known), "{known}");
    }
}

#[test]
fn every_reference_leads_to_a_file() {
    let (_, html) = own(".html")[0];
    for attribute in [" src=\"", " href=\""] {
        for address in between(html, attribute, '"') {
            let inside = address.starts_with('#') || address == "./";
            assert!(inside || file(&format!("/{address}")).is_some(), "index.html: {address}");
        }
    }
    for (name, script) in own(".js") {
        for module in between(script, " from \"", '"') {
            let module = module.strip_prefix("./").unwrap();
            assert!(file(&format!("/page/js/{module}")).is_some(), "{name}: {module}");
        }
    }
}

#[test]
fn the_page_obeys_a_strict_policy() {
    let (_, html) = own(".html")[0];
    assert!(
        !html.contains(" style=") && !html.contains("<style"),
        "styles stand in the style sheets"
    );
    for script in between(html, "<script", '>') {
        assert!(script.contains(" src=\""), "no script stands in the page: {script}");
    }
    for (name, text) in own("") {
        // The name of SVG's namespace is no address to fetch from.
        let text = text.replace("http://www.w3.org/2000/svg", "");
        assert!(
            !text.contains("http://") && !text.contains("https://"),
            "{name} names another host"
        );
    }
}

/// The keys of words that a file names, and the groups that it picks from by names in the data.
fn words_used(text: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut keys = BTreeSet::new();
    for before in [
        "data-t=\"",
        "data-t-label=\"",
        "data-t-placeholder=\"",
        "data-t-title=\"",
        " t(\"",
        "(t(\"",
    ] {
        keys.extend(between(text, before, '"').into_iter().map(String::from));
    }
    let groups =
        between(text, "named(\"", '"').into_iter().map(|group| format!("{group}.")).collect();
    (keys, groups)
}

/// The names in braces of an entry, in any of its plurals.
fn placeholders(words: &Value) -> BTreeSet<String> {
    let text = words.to_string();
    let names = between(&text, "{", '}').into_iter().map(String::from);
    names.filter(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_')).collect()
}

#[test]
fn words_are_of_their_language() {
    let han = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
    let tables = tables();
    for (key, words) in &tables["words/en.json"] {
        assert!(!words.to_string().contains(han), "words/en.json: {key}");
    }
    for (key, words) in &tables["words/zh.json"] {
        let text = words.as_str().unwrap_or_else(|| panic!("{key}: Chinese has one plural"));
        assert!(!text.contains("  ") && text.trim() == text, "words/zh.json: {key}");
        let mut own = text.to_string();
        for name in placeholders(words) {
            own = own.replace(&format!("{{{name}}}"), "");
        }
        for name in PROPER {
            own = own.replace(name, "");
        }
        assert!(!own.contains(|c: char| c.is_ascii_alphabetic()), "words/zh.json: {key}: {text}");
        assert!(!text.is_empty(), "words/zh.json: {key}");
        assert!(!own.contains([',', ';', '?', '!', '(', ')']), "words/zh.json: {key}: {text}");
    }
}

/// Names that are the same in every language.
const PROPER: [&str; 6] = ["Samovar", "Redis", "Esc", "P95", "JavaScript", "CSV"];

#[test]
fn every_word_used_is_in_every_table_and_every_word_there_is_used() {
    let tables = tables();
    let english = &tables["words/en.json"];
    for (name, table) in &tables {
        assert!(table.keys().eq(english.keys()), "{name} has other keys than words/en.json");
        for (key, words) in table.iter() {
            let mut wanted = placeholders(&english[key]);
            // What is allowed comes from the server, in English.
            wanted.remove("allowed");
            let mut found = placeholders(words);
            found.remove("allowed");
            assert_eq!(found, wanted, "{name}: {key}");
        }
    }
    let first = |key: &str| key.split('.').next().unwrap_or(key).to_string();
    let topics: BTreeSet<String> = english.keys().map(|key| first(key)).collect();
    let (mut keys, mut groups, mut quoted) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (name, text) in own(".html").into_iter().chain(own(".js")) {
        let (more_keys, more_groups) = words_used(text);
        for key in &more_keys {
            assert!(english.contains_key(key), "{name}: no words for {key}");
        }
        keys.extend(more_keys);
        groups.extend(more_groups);
        // Some keys are chosen first and looked up later: any text in quotes that looks like one.
        quoted.extend(text.split('"').filter(|part| {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
            part.contains('.') && part.chars().all(word) && topics.contains(&first(part))
        }));
    }
    for key in quoted.iter().filter(|key| !groups.contains(&format!("{key}."))) {
        assert!(english.contains_key(*key), "no words for {key}");
    }
    for group in &groups {
        assert!(english.keys().any(|key| key.starts_with(group)), "no words for {group}…");
    }
    for key in english.keys() {
        let used = keys.contains(key) || quoted.contains(key.as_str());
        assert!(used || groups.iter().any(|group| key.starts_with(group)), "{key} is used nowhere");
    }
}

/// A file of others without what was added to it here.
fn without_ours(text: &str) -> String {
    let (mut theirs, mut is_ours) = (String::new(), false);
    for line in text.split_inclusive('\n') {
        match line.trim() {
            "// Added by Samovar." => is_ours = true,
            "// End of what Samovar added." => is_ours = false,
            _ if !is_ours => theirs.push_str(line),
            _ => {}
        }
    }
    assert!(!is_ours, "what was added has no end");
    theirs
}

#[test]
fn files_of_others_are_as_they_were_published() {
    let vendor = here("../../vendor");
    let readme = fs::read_to_string(vendor.join("README.md")).unwrap();
    let mut listed = BTreeMap::new();
    for row in readme.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        assert_eq!(cells.len(), 7, "file, package, version, licence, checksum: {row}");
        listed.insert(cells[1].to_string(), cells[5].to_string());
    }
    let mut present = walk(&vendor);
    for ours in ["README.md", "rustfmt.toml"] {
        assert!(present.remove(ours), "{ours}");
    }
    assert_eq!(listed.keys().cloned().collect::<BTreeSet<_>>(), present);
    for (name, checksum) in listed {
        let digest = Sha256::digest(without_ours(&fs::read_to_string(vendor.join(&name)).unwrap()));
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, checksum, "{name} is not what vendor/README.md says");
    }
}
