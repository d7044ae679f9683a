//! `/api/letters`: acknowledged writes that the source would not have, to be looked at, retried or dropped.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use samovar::DeadLetter;
use samovar_core::{Millis, WriteId};
use serde_json::{Value, json};

use crate::app::App;
use crate::ask;
use crate::error::Refusal;

type Asked = Result<Path<String>, PathRejection>;

/// `GET /api/letters`
pub(crate) async fn list(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let ask::Letters { cache, limit } = ask::letters(query.as_deref().unwrap_or(""))?;
    let (letters, total) = app.engine()?.samovar().dead_letters_of(cache.as_deref(), limit);
    let told: Vec<Value> = letters.iter().map(told).collect();
    let body = json!({ "total": total, "letters": told });
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

fn told(letter: &DeadLetter) -> Value {
    json!({
        "id": letter.id.to_string(),
        "cache": &*letter.cache,
        "key": &*letter.key,
        "is_delete": letter.value.is_none(),
        "bytes": letter.value.as_ref().map_or(0, |value| value.len()),
        "reason": &*letter.reason,
        "attempts": letter.attempts,
        "accepted": time(letter.accepted),
        "given_up": time(letter.at),
    })
}

/// RFC 3339; `null` for what a clock out of order said.
fn time(at: Millis) -> Option<String> {
    Timestamp::from_millisecond(at.0).ok().map(|time| time.to_string())
}

/// `POST /api/letters/{id}/retry`
pub(crate) async fn retry(
    State(app): State<App>,
    id: Asked,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Refusal> {
    let id = ask::letter(id)?;
    ask::nothing(&body?)?;
    let is_retried = app.engine()?.samovar().retry_dead_letter(id).await?;
    done("retried", id, is_retried)
}

/// `DELETE /api/letters/{id}`
pub(crate) async fn drop(State(app): State<App>, id: Asked) -> Result<Json<Value>, Refusal> {
    let id = ask::letter(id)?;
    let is_dropped = app.engine()?.samovar().drop_dead_letter(id).await?;
    done("dropped", id, is_dropped)
}

fn done(what: &str, id: WriteId, is_done: bool) -> Result<Json<Value>, Refusal> {
    if is_done { Ok(Json(json!({ what: id.to_string() }))) } else { Err(Refusal::NoLetter(id)) }
}
