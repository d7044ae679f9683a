//! Requests in words: selections, questions and events, with their limits.

mod cache;
mod letters;
mod list;
mod query;

use std::borrow::Cow;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use samovar_core::{Day, Mode, Partition};
use samovar_levels::{Selection, Stores};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::Refusal;

use cache::no_text;
pub(crate) use cache::{CACHE_TAG, Invalidation, cache, cached, document, invalidate, keys, tags};
pub(crate) use letters::{Letters, letter, letters};
use list::list;
pub(crate) use query::query;

/// No more stores by name than this in one request.
const MAX_STORES: usize = 5_000;
/// No longer range than this.
const MAX_DAYS: i32 = 3_660;
/// No more partitions in one event.
const MAX_PARTITIONS: usize = 10_000;
/// No longer id of a store, in bytes.
const MAX_ID: usize = 256;

/// What the query of `/api/diagnosis` asks for.
#[derive(Debug, PartialEq)]
pub(crate) struct Asked {
    pub(crate) selection: Selection,
    /// `incomplete=allow`
    pub(crate) incomplete: bool,
}

/// Reads `stores=…&from=…&to=…[&incomplete=allow]`.
pub(crate) fn diagnosis(query: &str) -> Result<Asked, Refusal> {
    let mut asked = Asking::default();
    for (name, value) in pairs(query) {
        if !asked.take(name, value)? {
            return Err(Refusal::field("query", name, "stores, from, to and incomplete"));
        }
    }
    asked.finish()
}

/// The parameters of a query, not decoded.
fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// The parameters that all questions have.
#[derive(Default)]
struct Asking<'a> {
    stores: Vec<Cow<'a, str>>,
    from: Option<Day>,
    to: Option<Day>,
    incomplete: bool,
}

impl<'a> Asking<'a> {
    /// Whether the parameter is one of these.
    fn take(&mut self, name: &str, value: &'a str) -> Result<bool, Refusal> {
        match name {
            "stores" => self.stores.extend(list("stores", value)?),
            "from" => self.from = Some(day("from", &decode("from", value)?)?),
            "to" => self.to = Some(day("to", &decode("to", value)?)?),
            "incomplete" if value == "allow" => self.incomplete = true,
            "incomplete" => {
                return Err(Refusal::field("incomplete", value, "allow, or no such parameter"));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(self) -> Result<Asked, Refusal> {
        let missing = |field, allowed: &str| Refusal::field(field, "nothing", allowed);
        if self.stores.is_empty() {
            return Err(missing("stores", "all, top:N, or ids joined by commas"));
        }
        let from = self.from.ok_or_else(|| missing("from", "a date, YYYY-MM-DD"))?;
        let to = self.to.ok_or_else(|| missing("to", "a date, YYYY-MM-DD"))?;
        Ok(Asked {
            selection: selection(stores_of(&self.stores)?, from, to)?,
            incomplete: self.incomplete,
        })
    }
}

fn selection(stores: Stores, from: Day, to: Day) -> Result<Selection, Refusal> {
    if to < from {
        return Err(Refusal::field("to", &to.to_string(), format!("a date from {from} on")));
    }
    let selection = Selection { stores, from, to };
    if selection.days() > MAX_DAYS {
        let allowed = format!("a range of at most {MAX_DAYS} days");
        return Err(Refusal::field("to", &format!("{} days", selection.days()), allowed));
    }
    Ok(selection)
}

/// As forms are encoded: a space may be `+`.
fn decode<'a>(field: &'static str, value: &'a str) -> Result<Cow<'a, str>, Refusal> {
    escaped(field, value)?;
    let wrong = |_| Refusal::field(field, value, "text in UTF-8, percent-encoded");
    if !value.contains('+') {
        return percent_decode_str(value).decode_utf8().map_err(wrong);
    }
    let spaced = value.replace('+', " ");
    let text = percent_decode_str(&spaced).decode_utf8().map_err(wrong)?;
    Ok(Cow::Owned(text.into_owned()))
}

/// An error if a percent sign escapes nothing: it may be one that was to be escaped.
fn escaped(field: &'static str, text: &str) -> Result<(), Refusal> {
    for (at, _) in text.match_indices('%') {
        let digits = text[at..].bytes().skip(1).take(2).filter(u8::is_ascii_hexdigit).count();
        if digits < 2 {
            let found: String = text[at..].chars().take(3).collect();
            let allowed = "% and two hexadecimal digits; the sign itself is %25";
            return Err(Refusal::field(field, &found, allowed));
        }
    }
    Ok(())
}

fn day(field: &'static str, text: &str) -> Result<Day, Refusal> {
    text.parse().map_err(|_| Refusal::field(field, text, "a date of the form YYYY-MM-DD"))
}

fn stores_of(ids: &[Cow<'_, str>]) -> Result<Stores, Refusal> {
    match ids {
        [one] if one == "all" => Ok(Stores::All),
        [one] if one.starts_with("top:") => top(one),
        _ => these(ids),
    }
}

fn top(text: &str) -> Result<Stores, Refusal> {
    let number = text.strip_prefix("top:").and_then(|n| n.parse().ok());
    match number {
        Some(n) if (1..=MAX_STORES).contains(&n) => Ok(Stores::Top(n)),
        _ => Err(Refusal::field(
            "stores",
            text,
            format!("top: with a number from 1 to {MAX_STORES}"),
        )),
    }
}

fn these(ids: &[Cow<'_, str>]) -> Result<Stores, Refusal> {
    if ids.len() > MAX_STORES {
        let allowed = format!("at most {MAX_STORES} ids; for more ask for all");
        return Err(Refusal::field("stores", &format!("{} ids", ids.len()), allowed));
    }
    ids.iter().map(|id| store_id("stores", id)).collect::<Result<Vec<_>, _>>().map(Stores::These)
}

fn store_id(field: &'static str, id: &str) -> Result<Arc<str>, Refusal> {
    if id.is_empty() || id.len() > MAX_ID {
        return Err(Refusal::field(field, id, format!("a store's id of 1 to {MAX_ID} bytes")));
    }
    Ok(id.into())
}

/// An id in JSON: text, or a whole number as its digits.
fn json_id(field: &'static str, value: &Value) -> Result<Arc<str>, Refusal> {
    match value {
        Value::String(text) => store_id(field, text),
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            Ok(number.to_string().into())
        }
        // JSON knows one kind of number: 7.0 is 7.
        Value::Number(number) if number.as_f64().is_some_and(is_whole) => {
            Ok(format!("{:.0}", number.as_f64().unwrap_or_default()).into())
        }
        other => {
            Err(Refusal::field(field, &other.to_string(), "a store's id: text or a whole number"))
        }
    }
}

/// Whether it is a whole number that 64 bits hold.
fn is_whole(number: f64) -> bool {
    number.fract() == 0.0 && number.abs() < i64::MAX as f64
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefreshBody {
    stores: Value,
    from: String,
    to: String,
}

fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    if body.trim_ascii().is_empty() {
        return Err(Refusal::Body("the body is empty; it must be a JSON object".into()));
    }
    serde_json::from_slice(body)
        .map_err(|wrong| Refusal::Body(format!("the body is not as expected: {wrong}")))
}

/// Reads the body of `/api/refresh`.
pub(crate) fn refresh(body: &[u8]) -> Result<Selection, Refusal> {
    let body: RefreshBody = json(body)?;
    let stores = match &body.stores {
        Value::String(text) if text == "all" => Stores::All,
        Value::String(text) if text.starts_with("top:") => top(text)?,
        Value::Array(ids) if !ids.is_empty() && ids.len() <= MAX_STORES => {
            Stores::These(ids.iter().map(|id| json_id("stores", id)).collect::<Result<_, _>>()?)
        }
        other => {
            let allowed = format!("\"all\", \"top:N\" or a list of 1 to {MAX_STORES} ids");
            return Err(Refusal::field("stores", &other.to_string(), allowed));
        }
    };
    selection(stores, day("from", &body.from)?, day("to", &body.to)?)
}

/// Reads the body of a request that says all by its address: `{}`.
pub(crate) fn nothing(body: &[u8]) -> Result<(), Refusal> {
    match json::<Map<String, Value>>(body)?.keys().next() {
        Some(field) => Err(Refusal::field("body", field, "{}, without a field")),
        None => Ok(()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventBody {
    partitions: Vec<PartitionBody>,
    #[serde(default)]
    mode: Mode,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartitionBody {
    store_id: Value,
    date: String,
}

/// Reads the body of `/api/events/{dataset}_changed`.
pub(crate) fn event(body: &[u8]) -> Result<(Vec<Partition>, Mode), Refusal> {
    let body: EventBody = json(body)?;
    if body.partitions.is_empty() || body.partitions.len() > MAX_PARTITIONS {
        let found = format!("{} of them", body.partitions.len());
        let allowed = format!("1 to {MAX_PARTITIONS}; for more send several events");
        return Err(Refusal::field("partitions", &found, allowed));
    }
    let partitions = body
        .partitions
        .iter()
        .map(|p| {
            Ok(Partition { store: json_id("store_id", &p.store_id)?, day: day("date", &p.date)? })
        })
        .collect::<Result<_, Refusal>>()?;
    Ok((partitions, body.mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_one_list_however_it_is_written() {
        for stores in [
            "stores=a\\,b,%E9%97%A8",
            "stores=a%5C%2Cb%2C%E9%97%A8",
            "stores=a%5C,b&stores=%E9%97%A8",
        ] {
            let asked = diagnosis(&format!("{stores}&from=2026-01-01&to=2026-01-02")).unwrap();
            let these = Stores::These(vec!["a,b".into(), "门".into()]);
            assert_eq!(asked.selection.stores, these, "{stores}");
            // What is shown of it can be asked again.
            let shown = format!("stores={these}&from=2026-01-01&to=2026-01-02");
            assert_eq!(diagnosis(&shown).unwrap(), asked);
            assert!(!asked.incomplete);
        }
    }

    #[test]
    fn bad_input_names_the_field() {
        for (query, field) in [
            ("from=2026-01-01&to=2026-01-02", "stores"),
            ("stores=all&from=2026-13-01&to=2026-01-02", "from"),
            ("stores=all&from=2026-01-03&to=2026-01-02", "to"),
            ("stores=all&from=1900-01-03&to=2026-01-02", "to"),
            ("stores=top:0&from=2026-01-01&to=2026-01-02", "stores"),
            ("stores=,&from=2026-01-01&to=2026-01-02", "stores"),
            ("stores=all&from=2026-01-01&to=2026-01-02&incomplete=yes", "incomplete"),
            ("stores=all&form=2026-01-01&to=2026-01-02", "query"),
        ] {
            match diagnosis(query) {
                Err(Refusal::Field { field: named, .. }) => assert_eq!(named, field, "{query}"),
                other => panic!("{query}: {other:?}"),
            }
        }
    }

    #[test]
    fn ids_in_events_are_text_or_whole_numbers() {
        let body = br#"{"partitions":[{"store_id":7,"date":"2026-02-03"},{"store_id":"7a","date":"2026-02-03"},
            {"store_id":-70.0,"date":"2026-02-03"}]}"#;
        let (partitions, mode) = event(body).unwrap();
        assert_eq!(&*partitions[0].store, "7");
        assert_eq!(&*partitions[1].store, "7a");
        assert_eq!(&*partitions[2].store, "-70");
        assert_eq!(mode, Mode::Remove);
        for wrong in [
            &br#"{"partitions":[]}"#[..],
            br#"{"partitions":[{"store_id":7.5,"date":"2026-02-03"}]}"#,
            br#"{"partitions":[{"store_id":1e30,"date":"2026-02-03"}]}"#,
            br#"{"partitions":[{"store_id":7,"date":"03.02.2026"}]}"#,
            br#"{"partitions":[{"store_id":7,"date":"2026-02-03","x":1}]}"#,
            b"not json",
        ] {
            assert!(event(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
    }
}
