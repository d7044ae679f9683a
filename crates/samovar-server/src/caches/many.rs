//! `/api/cache/{cache}/_get`: many keys at once.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use samovar::{LoadMany, Outcome, ReadOptions};
use samovar_core::{Error, Verdict};
use serde_json::{Value, json};

use super::doors::{is_fresh, tell};
use super::status::Status;
use super::{Document, Named};
use crate::app::App;
use crate::ask;
use crate::error::Refusal;

/// So many bytes of documents an answer has, and one document whatever its length.
const MOST_BYTES: usize = 16 << 20;
/// So many keys are looked up, and loaded in one call, at a time: what they hold is in memory at once.
const AT_ONCE: usize = 64;

/// `POST /api/cache/{cache}/_get`
pub(crate) async fn get_many(
    State(app): State<App>,
    cache: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let Path(cache) = cache.map_err(|_| ask::no_text("cache"))?;
    let keys = ask::keys(&body?)?;
    let named = app.caches()?.of(&cache)?;
    let mut answer = Many::default();
    for keys in keys.chunks(AT_ONCE) {
        match answer.rest.is_empty() {
            true => answer.add(named, keys).await,
            false => answer.rest.extend_from_slice(keys),
        }
    }
    let (status, bytes) = answer.finish();
    let headers =
        [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "private, no-cache")];
    let mut response = (headers, bytes).into_response();
    tell(&mut response, status);
    Ok(response)
}

/// What is known of a key.
struct Known {
    document: Option<Arc<Document>>,
    is_fresh: bool,
    is_hit: bool,
}

/// The body of an answer for many keys. Each is in one of its lists; a stale one in `values` too.
#[derive(Default)]
struct Many {
    values: Vec<u8>,
    absent: Vec<String>,
    /// Those whose values may be old.
    stale: Vec<String>,
    errors: serde_json::Map<String, Value>,
    /// Those that there was no room for: from the first whose document did not fit.
    rest: Vec<String>,
    hits: usize,
    others: usize,
}

impl Many {
    /// Looks up some keys, and takes in what they have as long as there is room.
    async fn add(&mut self, named: &Named, keys: &[String]) {
        let known = known(named, keys).await;
        for (at, (key, known)) in keys.iter().zip(known).enumerate() {
            match known {
                Ok(known) if !self.has_room(&known) => {
                    return self.rest.extend_from_slice(&keys[at..]);
                }
                Ok(known) => self.has(key, known),
                Err(failed) => self.failed(key, failed),
            }
        }
    }

    fn has_room(&self, known: &Known) -> bool {
        let more = known.document.as_ref().map_or(0, |document| document.bytes().len());
        self.values.is_empty() || self.values.len() + more <= MOST_BYTES
    }

    fn has(&mut self, key: &str, Known { document, is_fresh, is_hit }: Known) {
        *(if is_hit { &mut self.hits } else { &mut self.others }) += 1;
        if !is_fresh {
            self.stale.push(key.into());
        }
        let Some(document) = document else { return self.absent.push(key.into()) };
        self.values.extend_from_slice(if self.values.is_empty() { b"" } else { b"," });
        self.values.extend_from_slice(Value::from(key).to_string().as_bytes());
        self.values.push(b':');
        self.values.extend_from_slice(document.bytes());
    }

    fn failed(&mut self, key: &str, failed: Error) {
        self.others += 1;
        let refusal = Refusal::Failed(failed);
        let told = json!({ "code": refusal.code(), "message": refusal.message() });
        self.errors.insert(key.into(), told);
    }

    fn finish(self) -> (Status, Vec<u8>) {
        let status = match (self.hits, self.others) {
            (_, 0) => Status::Many,
            (0, _) => Status::Miss { is_stored: false },
            _ => Status::Partial,
        };
        let mut bytes = b"{\"values\":{".to_vec();
        bytes.extend(self.values);
        let rest = format!(
            "}},\"absent\":{},\"stale\":{},\"errors\":{},\"rest\":{}}}",
            json!(self.absent),
            json!(self.stale),
            Value::Object(self.errors),
            json!(self.rest)
        );
        bytes.extend(rest.into_bytes());
        (status, bytes)
    }
}

/// What is there under each key, or is loaded.
async fn known(named: &Named, keys: &[String]) -> Vec<Result<Known, Error>> {
    let Some(loader) = &named.loader else {
        let known = |found: Option<samovar::Found<Document>>| {
            let found = found.filter(|found| found.verdict != Verdict::Refused);
            let is_fresh = found.as_ref().is_none_or(is_fresh);
            // That nothing is there was looked up all the same: there is nobody to ask.
            Ok(Known { document: found.map(|found| found.value()), is_fresh, is_hit: true })
        };
        return named.cache.get_many(keys).await.into_iter().map(known).collect();
    };
    let loader = Arc::clone(loader);
    let load = move |load: LoadMany| loader(load.keys().to_vec());
    let answers = named.cache.get_or_load_many(keys, ReadOptions::default(), load).await;
    let known = |answer: samovar::Answer<Document>| Known {
        is_hit: answer.outcome != Outcome::Loaded,
        is_fresh: matches!(answer.outcome, Outcome::Hit | Outcome::Negative | Outcome::Loaded),
        document: answer.value,
    };
    answers.into_iter().map(|answer| answer.map(known)).collect()
}
