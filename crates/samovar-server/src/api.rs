//! The doors that answer questions and take events.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body as HttpBody, Bytes};
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use samovar_core::{Error, ErrorKind, Millis};
use samovar_levels::{
    Answer, Better, Encoded, Encoding, Engine, Level, Missing, Phase, Proof, Selection, Stores,
    id_order,
};
use serde_json::{Value, json};

use crate::app::App;
use crate::ask::{self, Asked};
use crate::encoding;
use crate::error::Refusal;
use crate::questions::{Head, Question, value};

const PROOF: HeaderName = HeaderName::from_static("samovar-proof");
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// `GET /api/diagnosis`
pub(crate) async fn diagnosis(
    State(app): State<App>,
    request: Request,
) -> Result<Response, Refusal> {
    let engine = app.engine()?;
    let begun = engine.samovar().clock().elapsed();
    let question = app.questions().diagnosis(request.uri().query().unwrap_or(""))?;
    let Asked { selection, incomplete } = &question.asked;
    let missing = if *incomplete { Missing::Allow } else { Missing::Wait };
    let answered = engine.diagnose(selection, missing).await;
    answer(engine, &question, answered, request.headers(), begun).await
}

/// `POST /api/refresh`
pub(crate) async fn refresh(
    State(app): State<App>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let engine = app.engine()?;
    let begun = engine.samovar().clock().elapsed();
    let selection = ask::refresh(&body?)?;
    let answered = engine.refresh(&selection).await;
    let question = Question::from(Asked { selection, incomplete: false });
    answer(engine, &question, answered, &headers, begun).await
}

/// The answer to a question that began at a time, or why there is none.
async fn answer(
    engine: &Engine,
    question: &Question,
    answered: Result<Answer, Error>,
    asked: &HeaderMap,
    begun: Duration,
) -> Result<Response, Refusal> {
    let answer = match answered {
        Ok(answer) => answer,
        Err(failed) => return Err(refused(engine, &question.asked.selection, failed).await),
    };
    let clock = engine.samovar().clock();
    let sent = sent(&answer, asked);
    let head = question.head(sent.body.tag, &sent.proof);
    Ok(tell(sent, head.as_deref(), asked, clock.now(), clock.elapsed().saturating_sub(begun)))
}

/// Why the engine did not answer; of stores that it does not know, the first by name.
pub(crate) async fn refused(engine: &Engine, selection: &Selection, failed: Error) -> Refusal {
    if let (ErrorKind::Invalid, Stores::These(ids)) = (failed.kind(), &selection.stores)
        && let Some(members) = engine.known_members().await
    {
        let known: HashSet<&str> = members.stores.iter().map(|store| &*store.id).collect();
        if let Some(unknown) = ids.iter().find(|id| !known.contains(&***id)) {
            return Refusal::field("stores", unknown, "ids of stores that /api/dataset lists");
        }
    }
    failed.into()
}

/// An answer as it is sent.
pub(crate) struct Sent {
    pub(crate) body: Encoded,
    pub(crate) encoding: Encoding,
    pub(crate) content_type: &'static str,
    /// Which headers of the request decided on the bytes.
    pub(crate) vary: &'static str,
    /// Where the next page is.
    pub(crate) next: Option<String>,
    pub(crate) proof: Proof,
}

/// The body as it is kept.
fn sent(answer: &Answer, asked: &HeaderMap) -> Sent {
    let encoding = encoding::choose(asked.get(header::ACCEPT_ENCODING));
    Sent {
        body: answer.body.encoded(encoding, |json| encoding::encode(encoding, json)),
        encoding,
        content_type: "application/json",
        vary: "Accept-Encoding",
        next: None,
        proof: answer.proof.clone(),
    }
}

/// The answer over HTTP: all that differs by request stands in the headers.
pub(crate) fn tell(
    sent: Sent,
    head: Option<&Head>,
    asked: &HeaderMap,
    now: Millis,
    took: Duration,
) -> Response {
    let Sent { body: Encoded { bytes, .. }, encoding, proof, .. } = sent;
    let etag = head.map_or("", |head| head.etag.to_str().unwrap_or(""));
    let unchanged = asked
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim().trim_start_matches("W/") == etag || tag.trim() == "*");
    let mut headers = HeaderMap::with_capacity(HEADERS);
    if let Some(head) = head {
        headers.insert(header::ETAG, head.etag.clone());
        headers.insert(PROOF, head.proof.clone());
    }
    if let Some(next) = &sent.next
        && let Some(link) = value(format_args!("<{next}>; rel=\"next\""))
    {
        headers.insert(header::LINK, link);
    }
    let age = proof.oldest.and_then(|oldest| now.since(oldest)).unwrap_or_default();
    headers.insert(header::AGE, age.as_secs().into());
    let micros = took.as_micros();
    let (millis, thousandths) = (micros / 1_000, micros % 1_000);
    if let Some(timing) = value(format_args!("total;dur={millis}.{thousandths:03}")) {
        headers.insert(SERVER_TIMING, timing);
    }
    let mut set = |name: HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set(header::CONTENT_TYPE, sent.content_type);
    set(header::VARY, sent.vary);
    set(header::CACHE_CONTROL, "private, no-cache");
    if let Some(name) = encoding::name(encoding) {
        set(header::CONTENT_ENCODING, name);
    }
    set(CACHE_STATUS, cache_status(proof.level));
    let mut response = match unchanged {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Response::new(HttpBody::from(bytes)),
    };
    *response.headers_mut() = headers;
    response
}

/// No answer has more headers: the map never grows.
const HEADERS: usize = 12;

/// Whether the answer was cached, and how far (RFC 9211).
fn cache_status(level: Level) -> &'static str {
    match level {
        Level::Result => "samovar; hit; detail=result",
        Level::Metrics => "samovar; hit; detail=metrics",
        Level::Raw => "samovar; hit; detail=raw",
        Level::Source => "samovar; fwd=miss",
    }
}

/// `GET /api/dataset`
pub(crate) async fn dataset(State(app): State<App>) -> Response {
    let labels = app.labels();
    let mut told = json!({
        "name": &*labels.name,
        "currency": labels.currency,
        "time_zone": labels.time_zone,
        "token_required": app.tokens().change.is_some(),
        "phase": "generating",
        "generating": null,
        "warming": { "stores_warm": 0, "stores_total": 0 },
        "dates": null,
        "stores": [],
        "measures": [],
        "products": false,
        "categories": false,
    });
    match app.engine() {
        Err(_) => {
            let (done, total) = app.generation();
            told["generating"] = json!({ "done": done, "total": total });
        }
        Ok(engine) => {
            let warmth = engine.warmth();
            let phase = if warmth.phase == Phase::Warm { "warm" } else { "warming" };
            told["phase"] = phase.into();
            told["trouble"] = warmth.trouble.into();
            told["warming"] =
                json!({ "stores_warm": warmth.stores_warm, "stores_total": warmth.stores });
            let schema = &engine.dataset().schema;
            told["products"] = schema.products.into();
            told["categories"] = schema.categories.into();
            told["measures"] = schema.measures.iter().map(measure).collect();
            if let Some(members) = engine.known_members().await {
                let warm = engine.warm_stores();
                let mut listed: Vec<_> = members.stores.iter().collect();
                listed.sort_by_cached_key(|store| id_order(&store.id));
                told["stores"] = listed
                    .into_iter()
                    .map(|store| {
                        json!({
                            "store_id": &*store.id,
                            "name": store.name.as_deref().unwrap_or(&store.id),
                            "lines": store.lines,
                            "warm": warm.contains(&store.id),
                        })
                    })
                    .collect();
                told["dates"] = members.dates.map_or(
                    Value::Null,
                    |(first, last)| json!({ "first": first.to_string(), "last": last.to_string() }),
                );
                told["lines_are_estimated"] = members.estimated.into();
                told["unplaced_lines"] = members.unplaced.into();
                told["product_metrics"] = json!({
                    "kept": members.product_metrics,
                    "lines_per_figure": members.lines_per_product_figure,
                });
            }
        }
    }
    ([(header::CACHE_CONTROL, "no-store")], Json(told)).into_response()
}

fn measure(measure: &samovar_levels::Measure) -> Value {
    json!({
        "name": &*measure.name,
        "label": measure.label,
        "unit": measure.unit.as_str(),
        "decimals": measure.decimals,
        "better": match measure.better { Better::Up => "up", Better::Down => "down" },
    })
}

/// `POST /api/events/{event}`
pub(crate) async fn event(
    State(app): State<App>,
    event: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let engine = app.engine()?;
    let known = app.event();
    match event {
        Ok(Path(event)) if event == known => {}
        Ok(Path(event)) => return Err(Refusal::field("event", &event, known)),
        Err(_) => return Err(Refusal::field("event", "no text in UTF-8", known)),
    }
    let (partitions, mode) = ask::event(&body?)?;
    let count = partitions.len();
    let reason: Arc<str> = known.into();
    let version = engine.changed(partitions, mode, &reason).await?;
    Ok(Json(json!({ "version": version.to_string(), "partitions": count })).into_response())
}
