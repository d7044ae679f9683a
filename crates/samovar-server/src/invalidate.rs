//! `POST /api/invalidate`: what is covered is served no more, or only labelled.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use samovar_levels::LEVELS;
use serde_json::{Value, json};

use crate::app::App;
use crate::ask::{self, Invalidation};
use crate::error::Refusal;

/// `POST /api/invalidate`
pub(crate) async fn invalidate(
    State(app): State<App>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Refusal> {
    let (engine, caches) = (app.engine()?, app.caches()?);
    let known: Vec<&str> = caches.names().chain(LEVELS).collect();
    let Invalidation { scope, options } = ask::invalidate(&body?, &known)?;
    let version = engine.samovar().mark_with(vec![scope], options).await?;
    Ok(Json(json!({ "version": version.to_string() })))
}
