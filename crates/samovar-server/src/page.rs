//! The dashboard's files, compiled into the binary.
//!
//! They are plain HTML, CSS and JavaScript modules under `page/`, served as they stand: no build
//! step, nothing from elsewhere. The addresses in them are relative, so the page also works
//! behind a proxy that serves it below a path of its own.
//!
//! Its words stand in one table for each language. The page itself is served with the tag of the language that the
//! reader is to see, and fetches that table alone: no word of another is ever painted.

mod language;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::LazyLock;

use axum::http::{HeaderMap, Uri};

use language::Language;

/// One file of the dashboard, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageFile {
    /// The content.
    pub(crate) bytes: &'static [u8],
    /// The value of `Content-Type`.
    pub(crate) content_type: &'static str,
    /// A strong entity tag, quoted as it stands in the header `ETag`. It follows the bytes, so
    /// send the files with `Cache-Control: no-cache`: a browser then asks, and gets a 304.
    pub(crate) etag: String,
    /// The tag of the language it was chosen for, if it differs by that.
    pub(crate) language: Option<&'static str>,
}

/// The file that is served at an address: `/` is the page itself, in the language of the request, all else stands
/// below `/page/`. `None` if there is no such file.
pub(crate) fn file(uri: &Uri, headers: &HeaderMap) -> Option<PageFile> {
    if uri.path() == "/" {
        return Some(index(Language::of(uri, headers)));
    }
    let name = uri.path().strip_prefix("/page/")?;
    let (_, bytes) = FILES.iter().find(|(known, _)| *known == name)?;
    Some(PageFile { bytes, content_type: content_type(name), etag: etag(bytes), language: None })
}

/// The page itself.
fn index(language: Language) -> PageFile {
    static TAGGED: LazyLock<[String; Language::ALL.len()]> = LazyLock::new(|| {
        Language::ALL.map(|one| INDEX.replacen(LANG, &format!("lang=\"{}\"", one.tag()), 1))
    });
    let bytes = TAGGED[language as usize].as_bytes();
    let (content_type, etag) = (content_type("index.html"), etag(bytes));
    PageFile { bytes, content_type, etag, language: Some(language.tag()) }
}

/// The page as it stands in the tree, in English.
const INDEX: &str = include_str!("../page/index.html");
/// Where its language stands.
const LANG: &str = "lang=\"en\"";

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, end)| end) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

// The standard hasher is the same in every process of one build, and another build may well
// answer with another tag: that costs one download.
fn etag(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

macro_rules! files {
    ($($name:literal => $path:literal),* $(,)?) => {
        &[$(($name, include_bytes!($path).as_slice())),*]
    };
}

/// Every file but the page itself, by the path that it is served at below `/page/`.
static FILES: &[(&str, &[u8])] = files! {
    "favicon.svg" => "../page/favicon.svg",
    "css/base.css" => "../page/css/base.css",
    "css/page.css" => "../page/css/page.css",
    "js/api.js" => "../page/js/api.js",
    "js/breakdown-columns.js" => "../page/js/breakdown-columns.js",
    "js/breakdown.js" => "../page/js/breakdown.js",
    "js/change.js" => "../page/js/change.js",
    "js/csv.js" => "../page/js/csv.js",
    "js/dates.js" => "../page/js/dates.js",
    "js/dom.js" => "../page/js/dom.js",
    "js/early.js" => "../page/js/early.js",
    "js/format.js" => "../page/js/format.js",
    "js/language.js" => "../page/js/language.js",
    "js/main.js" => "../page/js/main.js",
    "js/parameters.js" => "../page/js/parameters.js",
    "js/products.js" => "../page/js/products.js",
    "js/proof.js" => "../page/js/proof.js",
    "js/ranking.js" => "../page/js/ranking.js",
    "js/selection.js" => "../page/js/selection.js",
    "js/shape.js" => "../page/js/shape.js",
    "js/standouts.js" => "../page/js/standouts.js",
    "js/status.js" => "../page/js/status.js",
    "js/stores.js" => "../page/js/stores.js",
    "js/table.js" => "../page/js/table.js",
    "js/theme.js" => "../page/js/theme.js",
    "js/tiles.js" => "../page/js/tiles.js",
    "js/token.js" => "../page/js/token.js",
    "js/trail.js" => "../page/js/trail.js",
    "js/trend.js" => "../page/js/trend.js",
    "js/words.js" => "../page/js/words.js",
    "words/en.json" => "../page/words/en.json",
    "words/zh.json" => "../page/words/zh.json",
    "vendor/uplot/LICENSE" => "../../../vendor/uplot/LICENSE",
    "vendor/uplot/uPlot.iife.min.js" => "../../../vendor/uplot/uPlot.iife.min.js",
    "vendor/uplot/uPlot.min.css" => "../../../vendor/uplot/uPlot.min.css",
};

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
