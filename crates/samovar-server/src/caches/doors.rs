//! `/api/cache/{cache}/{key}`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use samovar::{Answer, Found, Loaded, Outcome};
use samovar_core::{Error, ErrorKind, Millis, TierName, Verdict, Version};
use serde_json::{Value, json};

use super::status::{CACHE_STATUS, Status};
use super::{Document, Loader, Named};
use crate::api::is_unchanged;
use crate::app::App;
use crate::ask;
use crate::encoding::etag;
use crate::error::Refusal;

type Asked = Result<Path<(String, String)>, PathRejection>;

/// What was found or loaded under a key.
struct Had {
    document: Option<Arc<Document>>,
    age: Duration,
    status: Status,
}

impl Had {
    /// How a read that may load ended.
    fn loaded(answer: Answer<Document>, now: Millis) -> Had {
        let ttl = answer.fresh_until.map_or(0, |until| seconds(now, until));
        let tier = answer.tier.unwrap_or(TierName::Memory);
        let status = match answer.outcome {
            Outcome::Hit => Status::Hit { tier, ttl },
            Outcome::Stale => Status::Hit { tier, ttl: ttl.min(0) },
            Outcome::Negative => Status::Negative { ttl },
            Outcome::Throttled => Status::Throttled { ttl: ttl.min(0) },
            Outcome::Failed => Status::Failed,
            Outcome::Loaded => Status::Miss { is_stored: answer.fresh_until.is_some() },
        };
        Had { document: answer.value, age: answer.age, status }
    }

    /// What is there, of a cache that loads nothing.
    async fn looked_up(named: &Named, key: &str) -> Option<Had> {
        let found = named.cache.get(key).await?;
        let now = named.samovar.clock().now();
        let ttl = seconds(now, found.fresh_until());
        // A mark may have ended it early, or nobody can tell.
        let ttl = if is_fresh(&found) { ttl } else { ttl.min(0) };
        (found.verdict != Verdict::Refused).then(|| Had {
            document: Some(found.value()),
            age: now.since(found.read_at()).unwrap_or_default(),
            status: Status::Hit { tier: found.tier, ttl },
        })
    }
}

/// Whether it needs no label.
pub(super) fn is_fresh(found: &Found<Document>) -> bool {
    found.verdict == Verdict::Fresh && !found.cut_off
}

/// From a time to another; less than zero if that is past.
fn seconds(now: Millis, until: Millis) -> i64 {
    until.0.saturating_sub(now.0).div_euclid(1_000)
}

/// `GET /api/cache/{cache}/{key}`
pub(crate) async fn get(
    State(app): State<App>,
    asked: Asked,
    address: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (cache, key) = ask::cached(asked, &address)?;
    let named = app.caches()?.of(&cache)?;
    let had = match &named.loader {
        None => Had::looked_up(named, &key).await,
        Some(loader) => {
            let loader = Arc::clone(loader);
            let bare = Arc::from(&*key);
            let loaded = named.cache.get_or_load(&key, |_| one(loader, bare)).await;
            match loaded {
                Ok(answer) => Some(Had::loaded(answer, named.samovar.clock().now())),
                Err(failed) => return Ok(failed_with(named, failed)),
            }
        }
    };
    let status = had.as_ref().map_or(Status::Miss { is_stored: false }, |had| had.status);
    let mut response = match had {
        Some(Had { document: Some(document), age, .. }) => sent(&document, age, &headers),
        Some(Had { document: None, .. }) => Refusal::NoRow.into_response(),
        None => Refusal::NotCached.into_response(),
    };
    tell(&mut response, status);
    Ok(response)
}

/// Loads one document.
async fn one(loader: Loader, key: Arc<str>) -> Result<Loaded<Document>, Error> {
    let loaded = loader(vec![Arc::clone(&key)]).await?;
    let own = loaded.into_iter().find(|(found, _)| *found == key);
    Ok(own.map_or_else(Loaded::absent, |(_, loaded)| loaded))
}

fn sent(document: &Document, age: Duration, asked: &HeaderMap) -> Response {
    let tag = etag(document.tag());
    let mut response = match is_unchanged(asked, &tag) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Body::from(document.bytes().clone()).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::AGE, age.as_secs().into());
    // It is made of hexadecimal digits.
    if let Ok(tag) = tag.parse() {
        headers.insert(header::ETAG, tag);
    }
    response
}

pub(super) fn tell(response: &mut Response, status: Status) {
    if let Some(status) = status.header() {
        response.headers_mut().insert(CACHE_STATUS, status);
    }
}

/// Why nothing could be had.
fn failed_with(named: &Named, failed: Error) -> Response {
    let status = Status::of(&failed);
    let refusal = match failed.kind() {
        ErrorKind::Throttled => Refusal::Resting(failed, named.cache.policy().throttle),
        _ => Refusal::Failed(failed),
    };
    let mut response = refusal.into_response();
    tell(&mut response, status);
    response
}

/// Why nothing was written.
fn unwritten(failed: Error) -> Response {
    let refusal = Refusal::of_write(failed);
    let status = Status::Unwritten(refusal.code());
    let mut response = refusal.into_response();
    tell(&mut response, status);
    response
}

/// `PUT /api/cache/{cache}/{key}`
pub(crate) async fn put(
    State(app): State<App>,
    asked: Asked,
    address: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let (cache, key) = ask::cached(asked, &address)?;
    unconditional(&headers)?;
    let named = app.caches()?.of(&cache)?;
    let (document, tags) = (ask::document(body?)?, ask::tags(&headers)?);
    if !(named.keeps() || tags.is_empty()) {
        let allowed = "none: of what is put this cache keeps nothing";
        return Err(Refusal::field(ask::CACHE_TAG, "tags", allowed));
    }
    let tag = etag(document.tag());
    let version = match named.put(&key, document, tags).await {
        Ok(version) => version,
        Err(failed) => return Ok(unwritten(failed)),
    };
    let headers = [(header::ETAG, tag)];
    let mut response = (headers, written(version)).into_response();
    tell(&mut response, if named.keeps() { Status::Stored } else { Status::Dropped });
    Ok(response)
}

/// `DELETE /api/cache/{cache}/{key}`
pub(crate) async fn delete(
    State(app): State<App>,
    asked: Asked,
    address: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (cache, key) = ask::cached(asked, &address)?;
    unconditional(&headers)?;
    let named = app.caches()?.of(&cache)?;
    let version = match named.delete(&key).await {
        Ok(version) => version,
        Err(failed) => return Ok(unwritten(failed)),
    };
    let mut response = written(version).into_response();
    tell(&mut response, Status::Dropped);
    Ok(response)
}

/// Where in the log of marks a change stands; `null` if it is yet to be written back.
fn written(version: Option<Version>) -> Json<Value> {
    Json(json!({ "version": version.map(|version| version.to_string()) }))
}

/// A condition that is not kept would be a lost update: between several servers nobody could keep it.
fn unconditional(headers: &HeaderMap) -> Result<(), Refusal> {
    let conditions = [header::IF_MATCH, header::IF_NONE_MATCH, header::IF_UNMODIFIED_SINCE];
    match conditions.into_iter().find(|condition| headers.contains_key(condition)) {
        None => Ok(()),
        Some(condition) => {
            Err(Refusal::field("header", condition.as_str(), "no condition: the last writer wins"))
        }
    }
}
