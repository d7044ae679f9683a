//! Requests to named caches: keys, and what is to be invalidated.

use axum::body::Bytes;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderMap, Uri};
use samovar::MarkOptions;
use samovar_core::{Key, Mark, Mode, Pattern, Scope, Tags};
use serde::Deserialize;
use serde::de::Deserializer;

use super::{escaped, json};
use crate::caches::{Document, LONGEST_TAG, is_tag};
use crate::error::Refusal;

/// The most characters of a key, a pattern or a reason.
const LONGEST: usize = 256;
/// The most keys of one request.
const MAX_KEYS: usize = 1_000;

/// The cache and the key of an address.
pub(crate) fn cached(
    path: Result<Path<(String, String)>, PathRejection>,
    address: &Uri,
) -> Result<(String, String), Refusal> {
    plain(address)?;
    let Path((cache, key)) = path.map_err(|_| no_text("key"))?;
    text("key", &key)?;
    Ok((cache, key))
}

/// The cache of an address.
pub(crate) fn cache(
    path: Result<Path<String>, PathRejection>,
    address: &Uri,
) -> Result<String, Refusal> {
    plain(address)?;
    let Path(cache) = path.map_err(|_| no_text("cache"))?;
    Ok(cache)
}

/// An error if an address may mean another one than it says. What stands behind a question mark is no parameter of any door,
/// and may well be the end of a key.
fn plain(address: &Uri) -> Result<(), Refusal> {
    match address.query() {
        Some(query) => Err(Refusal::field("query", query, "none; within a key write ? as %3F")),
        None => escaped("path", address.path()),
    }
}

pub(crate) fn no_text(field: &'static str) -> Refusal {
    Refusal::field(field, "no text in UTF-8", "text in UTF-8, percent-encoded")
}

/// A text that is neither empty nor long and has no control character.
fn text(field: &'static str, text: &str) -> Result<(), Refusal> {
    let is_plain =
        (1..=LONGEST).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    let allowed = || format!("1 to {LONGEST} characters, none of them a control character");
    if is_plain { Ok(()) } else { Err(Refusal::field(field, text, allowed())) }
}

/// Reads a body that is to be put.
pub(crate) fn document(body: Bytes) -> Result<Document, Refusal> {
    if body.trim_ascii().is_empty() {
        return Err(Refusal::Body("the body is empty; it must be one JSON document".into()));
    }
    Document::read(body).map_err(|wrong| {
        let why = format!("the body is no JSON document: {wrong}; a text stands in double quotes");
        Refusal::Body(why)
    })
}

/// The header that says which tags a document bears that is put.
pub(crate) const CACHE_TAG: &str = "Cache-Tag";

/// Reads the tags of a PUT: `Cache-Tag: season:summer, supplier:7`.
pub(crate) fn tags(headers: &HeaderMap) -> Result<Tags, Refusal> {
    let refused = |found: &str| {
        let allowed = format!(
            "up to {} tags with commas between them, each of 1 to {LONGEST_TAG} characters other than *",
            Tags::MOST
        );
        Refusal::field(CACHE_TAG, found, allowed)
    };
    let mut tags = Vec::new();
    for line in headers.get_all(CACHE_TAG) {
        let line = std::str::from_utf8(line.as_bytes()).map_err(|_| refused("no text in UTF-8"))?;
        tags.extend(line.split(',').map(str::trim));
    }
    match tags.iter().find(|tag| !is_tag(tag)) {
        Some(wrong) => Err(refused(wrong)),
        None => Tags::new(tags).map_err(|_| refused("more of them")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysBody {
    keys: Vec<String>,
}

/// Reads the body of `/api/cache/{cache}/_get`.
pub(crate) fn keys(body: &[u8]) -> Result<Vec<String>, Refusal> {
    let KeysBody { keys } = json(body)?;
    if !(1..=MAX_KEYS).contains(&keys.len()) {
        let found = format!("{} of them", keys.len());
        return Err(Refusal::field("keys", &found, format!("1 to {MAX_KEYS}")));
    }
    keys.iter().try_for_each(|key| text("keys", key))?;
    let mut seen = std::collections::HashSet::new();
    match keys.iter().find(|key| !seen.insert(key.as_str())) {
        Some(twice) => Err(Refusal::field("keys", twice, "each key once")),
        None => Ok(keys),
    }
}

/// What is to be invalidated, and how.
#[derive(Debug)]
pub(crate) struct Invalidation {
    pub(crate) scope: Scope,
    pub(crate) options: MarkOptions,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InvalidateBody {
    #[serde(default, deserialize_with = "given")]
    key: Option<KeyBody>,
    #[serde(default, deserialize_with = "given")]
    pattern: Option<String>,
    #[serde(default, deserialize_with = "given")]
    tag: Option<String>,
    #[serde(default, deserialize_with = "given")]
    cache: Option<String>,
    #[serde(default, deserialize_with = "given")]
    all: Option<bool>,
    #[serde(default)]
    mode: Mode,
    #[serde(default, deserialize_with = "given")]
    reason: Option<String>,
    #[serde(default, deserialize_with = "given")]
    priority: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyBody {
    cache: String,
    key: String,
}

/// A field that is there has a value: `null` is none.
fn given<'a, D: Deserializer<'a>, T: Deserialize<'a>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// Reads the body of `/api/invalidate`. `known` are the caches that there are.
pub(crate) fn invalidate(body: &[u8], known: &[&str]) -> Result<Invalidation, Refusal> {
    let InvalidateBody { key, pattern, tag, cache, all, mode, reason, priority } = json(body)?;
    let is_known = |name: &str| match known.contains(&name) {
        true => Ok(()),
        false => Err(Refusal::field("cache", name, known.join(", "))),
    };
    let scope = match (key, pattern, tag, cache, all) {
        (Some(KeyBody { cache, key }), None, None, None, None) => {
            is_known(&cache)?;
            text("key", &key)?;
            Scope::Key(Key::new(cache, key))
        }
        (None, Some(pattern), None, None, None) => {
            text("pattern", &pattern)?;
            Scope::Pattern(Pattern::parse(&pattern)?)
        }
        (None, None, Some(tag), None, None) => {
            if !(1..=LONGEST_TAG).contains(&tag.chars().count()) {
                let allowed = format!("1 to {LONGEST_TAG} characters");
                return Err(Refusal::field("tag", &tag, allowed));
            }
            Scope::Tag(tag.into())
        }
        (None, None, None, Some(cache), None) => {
            is_known(&cache)?;
            Scope::Cache(cache.into())
        }
        (None, None, None, None, Some(true)) => Scope::Everything,
        (None, None, None, None, Some(false)) => {
            return Err(Refusal::field("all", "false", "true, or no such field"));
        }
        _ => {
            let text =
                "the body has none or several of key, pattern, tag, cache and all: say exactly one";
            return Err(Refusal::Body(text.into()));
        }
    };
    let reason = reason.unwrap_or_else(|| "asked over HTTP".into());
    text("reason", &reason)?;
    let usual = MarkOptions::because(reason);
    // JSON knows one kind of number: 5.0 is 5.
    let priority = priority.unwrap_or(f64::from(usual.priority));
    if priority.fract() != 0.0 || !(0.0..=f64::from(Mark::PRIORITY_MAX)).contains(&priority) {
        let allowed = format!("a whole number from 0 to {}", Mark::PRIORITY_MAX);
        return Err(Refusal::field("priority", &priority.to_string(), allowed));
    }
    Ok(Invalidation { scope, options: MarkOptions { mode, priority: priority as u8, ..usual } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_scope_is_said() {
        let scope = |body: &str| invalidate(body.as_bytes(), &["prices"]).map(|asked| asked.scope);
        for (body, expected) in [
            (r#"{"key":{"cache":"prices","key":"a/b"}}"#, Scope::Key(Key::new("prices", "a/b"))),
            (r#"{"pattern":"prices:*"}"#, Scope::Pattern("prices:*".parse().unwrap())),
            (r#"{"tag":"supplier:7","mode":"expire"}"#, Scope::Tag("supplier:7".into())),
            (r#"{"cache":"prices","reason":"a new list"}"#, Scope::Cache("prices".into())),
            (r#"{"all":true}"#, Scope::Everything),
        ] {
            assert_eq!(scope(body).unwrap(), expected, "{body}");
        }
        let long = format!(r#"{{"pattern":"{}"}}"#, "x".repeat(LONGEST + 1));
        for wrong in [
            "{}",
            r#"{"all":false}"#,
            r#"{"all":true,"cache":"prices"}"#,
            r#"{"cache":"price"}"#,
            r#"{"key":{"cache":"price","key":"a"}}"#,
            r#"{"key":{"cache":"prices","key":""}}"#,
            r#"{"pattern":""}"#,
            r#"{"tag":""}"#,
            r#"{"all":true,"mode":"drop"}"#,
            r#"{"all":true,"key":null}"#,
            r#"{"all":true,"reason":""}"#,
            r#"{"all":true,"priority":101}"#,
            r#"{"all":true,"priority":0.5}"#,
            &long,
        ] {
            assert!(scope(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn how_urgent_it_is_may_be_said() {
        let priority = |body: &str| invalidate(body.as_bytes(), &[]).unwrap().options.priority;
        assert_eq!(priority(r#"{"all":true}"#), Mark::PRIORITY);
        assert_eq!(priority(r#"{"all":true,"priority":5}"#), 5);
        assert_eq!(priority(r#"{"all":true,"priority":100.0}"#), 100);
    }

    #[test]
    fn keys_are_some_and_each_once() {
        assert_eq!(keys(br#"{"keys":["a","b"]}"#).unwrap(), ["a", "b"]);
        let many: Vec<String> = (0..=MAX_KEYS).map(|n| n.to_string()).collect();
        let many = serde_json::json!({ "keys": many }).to_string();
        for wrong in [r#"{"keys":[]}"#, r#"{"keys":["a","a"]}"#, r#"{"keys":["a\n"]}"#, "{}", &many]
        {
            assert!(keys(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
