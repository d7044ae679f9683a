//! `/api/cache/{cache}/_get`: many keys at once.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use samovar::{LoadMany, Outcome, ReadOptions};
use samovar_core::{Error, ErrorKind, Verdict};
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
    asked: Result<Path<String>, PathRejection>,
    address: Uri,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let cache = ask::cache(asked, &address)?;
    let keys = ask::keys(&body?)?;
    let named = app.caches()?.of(&cache)?;
    let mut answer = Many::default();
    for keys in keys.chunks(AT_ONCE) {
        match answer.is_over {
            false => answer.add(named, keys).await,
            true => answer.rest.extend_from_slice(keys),
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
    outcome: Outcome,
    is_fresh: bool,
}

/// The body of an answer for many keys. Each is in one of its lists; a stale one in `values` too.
#[derive(Default)]
struct Many {
    values: Vec<u8>,
    absent: Vec<String>,
    /// Those whose values may be old.
    stale: Vec<String>,
    errors: serde_json::Map<String, Value>,
    /// Those to ask for again.
    rest: Vec<String>,
    /// Whether all further keys are of the rest.
    is_over: bool,
    hits: usize,
    others: usize,
}

impl Many {
    /// Looks up some keys, and takes in what they have as long as there is room. No others are looked up if all their loads
    /// failed: each further call could take as long as a load may.
    async fn add(&mut self, named: &Named, keys: &[String]) {
        let known = known(named, keys).await;
        let (mut loaded, mut failed) = (0, 0);
        for (at, (key, known)) in keys.iter().zip(known).enumerate() {
            match &known {
                Ok(known) => match known.outcome {
                    Outcome::Loaded => loaded += 1,
                    Outcome::Failed => failed += 1,
                    _ => {}
                },
                // It rests: nobody was asked.
                Err(resting) if resting.kind() == ErrorKind::Throttled => {}
                Err(_) => failed += 1,
            }
            match known {
                Ok(known) if !self.has_room(&known) => {
                    self.is_over = true;
                    return self.rest.extend_from_slice(&keys[at..]);
                }
                Ok(known) => self.has(key, known),
                Err(failed) => self.failed(key, failed),
            }
        }
        self.is_over = failed > 0 && loaded == 0;
    }

    fn has_room(&self, known: &Known) -> bool {
        let more = known.document.as_ref().map_or(0, |document| document.bytes().len());
        self.values.is_empty() || self.values.len() + more <= MOST_BYTES
    }

    fn has(&mut self, key: &str, Known { document, outcome, is_fresh }: Known) {
        *(if outcome == Outcome::Loaded { &mut self.others } else { &mut self.hits }) += 1;
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
            let document = found.map(|found| found.value());
            Ok(Known { document, outcome: Outcome::Hit, is_fresh })
        };
        return named.cache.get_many(keys).await.into_iter().map(known).collect();
    };
    let loader = Arc::clone(loader);
    let load = move |load: LoadMany| loader(load.keys().to_vec());
    let answers = named.cache.get_or_load_many(keys, ReadOptions::default(), load).await;
    let known = |answer: samovar::Answer<Document>| Known {
        outcome: answer.outcome,
        is_fresh: matches!(answer.outcome, Outcome::Hit | Outcome::Negative | Outcome::Loaded),
        document: answer.value,
    };
    answers.into_iter().map(|answer| answer.map(known)).collect()
}
