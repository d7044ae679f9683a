//! `GET /api/openapi.json`: what every door takes and gives.
//!
//! `openapi.json` beside this file is kept by hand: bodies are keyed by the dataset's measures, which no type here
//! names. What only the running server knows is filled in: names, versions, and whether tokens are asked for.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use samovar_levels::{Dimension, LEVELS};
use serde_json::{Value, json};

use crate::app::App;

const DOCUMENT: &str = include_str!("openapi.json");

/// `GET /api/openapi.json`
pub(crate) async fn openapi(State(app): State<App>) -> Response {
    ([(header::CACHE_CONTROL, "no-cache")], Json(document(&app))).into_response()
}

fn document(app: &App) -> Value {
    // A test reads it: it is JSON.
    let mut document: Value = serde_json::from_str(DOCUMENT).unwrap_or_default();
    document["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    let mut fill = |pointer: &str, value: Value| {
        if let Some(place) = document.pointer_mut(pointer) {
            *place = value;
        }
    };
    fill("/paths/~1api~1events~1{event}/post/parameters/0/schema/enum", json!([app.event()]));
    if let Ok(engine) = app.engine() {
        let schema = &engine.dataset().schema;
        let measures: Vec<&str> = schema.measures.iter().map(|measure| &*measure.name).collect();
        let dimensions = Dimension::ALL.into_iter().filter(|dimension| dimension.is_in(schema));
        let dimensions: Vec<&str> = dimensions.map(Dimension::as_str).collect();
        let columns = [&dimensions[..], &measures[..]].concat();
        let order: Vec<String> =
            columns.iter().flat_map(|name| [(*name).to_string(), format!("-{name}")]).collect();
        for (name, words) in [
            ("MeasureName", json!(measures)),
            ("DimensionName", json!(dimensions)),
            ("OrderName", json!(order)),
        ] {
            let told = json!({ "type": "string", "enum": words });
            fill(&format!("/components/schemas/{name}"), told);
        }
    }
    if let Ok(caches) = app.caches() {
        let names: Vec<&str> = caches.names().collect();
        let known: Vec<&str> = names.iter().copied().chain(LEVELS).collect();
        fill("/components/schemas/AnyCacheName", json!({ "type": "string", "enum": known }));
        if !names.is_empty() {
            fill("/components/schemas/CacheName", json!({ "type": "string", "enum": names }));
        }
    }
    let tokens = app.tokens();
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    let operations = paths.filter_map(|(_, path)| path.as_object_mut()).flatten();
    for (_, operation) in operations {
        let asks = |status: &str| operation["responses"].get(status).is_some();
        // Only what changes state is ever forbidden.
        let needed = match (asks("403"), asks("401")) {
            (true, _) if tokens.change.is_some() => json!([{ "token": [] }]),
            (false, true) if tokens.read.is_some() && tokens.change.is_some() => {
                json!([{ "read_token": [] }, { "token": [] }])
            }
            (false, true) if tokens.read.is_some() => json!([{ "read_token": [] }]),
            _ => json!([]),
        };
        operation["security"] = needed;
    }
    document
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::Who;

    #[test]
    fn every_door_is_described_and_nothing_else() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let described: BTreeSet<&str> =
            document["paths"].as_object().unwrap().keys().map(|path| &**path).collect();
        let doors = crate::doors();
        assert_eq!(described, doors.iter().map(|(path, ..)| *path).collect::<BTreeSet<_>>());
        for (path, who, _) in doors {
            for (method, operation) in document["paths"][path].as_object().unwrap() {
                let told = |status: &str| operation["responses"].get(status).is_some();
                let guarded = (told("401"), told("403"));
                let expected = match who {
                    Who::Everybody => (false, false),
                    Who::Readers | Who::Askers => (true, false),
                    Who::Both => (true, method != "get"),
                    Who::Changers => (true, true),
                };
                assert_eq!(guarded, expected, "{method} {path}");
            }
        }
    }

    /// What a reference points at is there, and what is there is pointed at.
    #[test]
    fn references_lead_somewhere() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let mut referred = BTreeSet::new();
        let mut rest = vec![&document];
        while let Some(value) = rest.pop() {
            match value {
                Value::Object(fields) => {
                    rest.extend(fields.values());
                    referred.extend(fields.get("$ref").and_then(Value::as_str).map(String::from));
                }
                Value::Array(items) => rest.extend(items),
                _ => {}
            }
        }
        let components = document["components"].as_object().unwrap().iter();
        let there: BTreeSet<String> = components
            .filter(|(kind, _)| *kind != "securitySchemes")
            .flat_map(|(kind, named)| {
                let names = named.as_object().unwrap().keys();
                names.map(move |name| format!("#/components/{kind}/{name}"))
            })
            .collect();
        assert_eq!(referred, there);
    }
}
