//! The doors for whoever runs it: liveness, readiness, statistics, metrics.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::EncodeMetric;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use samovar::Counts;
use samovar_core::{TierName, Usage};
use samovar_levels::{Engine, EngineCounters};
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::ask;
use crate::error::Refusal;

/// `GET /healthz`: the process answers.
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the hot set is warm.
pub(crate) async fn readyz(State(app): State<App>) -> Response {
    match app.engine().map(Engine::warmth) {
        Ok(warmth) if warmth.ready => "ready\n".into_response(),
        Ok(warmth) => {
            let why = match warmth.trouble {
                Some(trouble) => format!("not ready: {trouble}\n"),
                None => format!("warming: {} of {} stores\n", warmth.stores_warm, warmth.stores),
            };
            (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the data are being made\n").into_response(),
    }
}

/// `GET /api/stats`
pub(crate) async fn stats(State(app): State<App>) -> Result<Response, Refusal> {
    let engine = app.engine()?;
    let counted: Map<String, Value> =
        engine.counters().snapshot().into_iter().map(|(name, n)| (name.into(), n.into())).collect();
    let of = |name: &str| counted.get(name).and_then(Value::as_u64).unwrap_or(0);
    let (requests, hits) = (of("requests"), of("hits"));
    let (mut usage, all) = (Map::new(), engine.samovar().usage());
    let by_tier = engine.samovar().counters().snapshot();
    for (tier, used) in &all {
        let total = used.total();
        let caches: Map<String, Value> = used
            .caches
            .iter()
            .map(|(cache, one)| {
                (cache.to_string(), json!({ "entries": one.entries, "bytes": one.bytes }))
            })
            .collect();
        usage.insert(
            tier.as_str().into(),
            json!({
                "entries": total.entries, "bytes": total.bytes, "max_bytes": used.max_bytes,
                "caches": caches,
            }),
        );
    }
    let notices = engine.samovar().counters().notices();
    let notices: Vec<&str> = notices.iter().map(|notice| &*notice.text).collect();
    let body = json!({
        "notices": notices,
        "total_requests": requests,
        "hit_rate": rate(hits, requests),
        "counters": counted,
        "caches": by_cache(&by_tier, &all),
        "tiers": usage,
        "refreshing": engine.refreshing(),
    });
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// What was counted, cache by cache and tier by tier.
fn by_cache(counted: &Counts, usage: &[(TierName, Usage)]) -> Value {
    let caches = counted.lookups.iter().map(|(cache, by_tier)| {
        let kept = |name: TierName| {
            let of = usage.iter().find(|(tier, _)| *tier == name);
            of.and_then(|(_, used)| used.caches.get(cache)).copied().unwrap_or_default()
        };
        let (mut answered, mut fence_rejections) = (0, 0);
        let mut tiers = Map::new();
        for (tier, of) in by_tier {
            answered += of.hits + of.stale;
            fence_rejections += of.refused;
            let kept = kept(*tier);
            let told = json!({
                "hits": of.hits, "stale": of.stale, "misses": of.misses, "refused": of.refused,
                "sets": of.sets, "deletes": of.deletes,
                "hit_rate": rate(of.hits + of.stale, of.hits + of.stale + of.misses + of.refused),
                "entries": kept.entries, "bytes": kept.bytes,
            });
            tiers.insert(tier.as_str().into(), told);
        }
        // Every lookup begins in memory.
        let first = counted.of(cache, TierName::Memory);
        let total = first.hits + first.stale + first.misses + first.refused;
        let (here, sizes) = (kept(TierName::Memory), counted.sizes.get(cache).copied());
        let sizes = sizes.unwrap_or_default();
        let told = json!({
            "total_requests": total,
            "hit_rate": rate(answered.min(total), total),
            "local_cache_size": { "entries": here.entries, "bytes": here.bytes },
            "fence_rejections": fence_rejections,
            "compression": {
                "values": sizes.values, "compressed": sizes.compressed,
                "plain_bytes": sizes.plain, "stored_bytes": sizes.stored,
                // What a stored byte stands for.
                "ratio": rate(sizes.plain, sizes.stored),
            },
            "tiers": tiers,
        });
        (cache.to_string(), told)
    });
    Value::Object(caches.collect())
}

/// `null`: of nothing there is no share.
fn rate(part: u64, of: u64) -> Value {
    if of == 0 { Value::Null } else { (part as f64 / of as f64).into() }
}

/// `POST /api/stats/reset`
pub(crate) async fn reset(
    State(app): State<App>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let engine = app.engine()?;
    ask::nothing(&body?)?;
    engine.counters().reset();
    engine.samovar().counters().reset();
    Ok(Json(json!({ "reset": true })).into_response())
}

/// `GET /metrics`: Prometheus text.
pub(crate) async fn metrics(State(app): State<App>) -> Response {
    let mut registry = Registry::with_prefix("samovar");
    if let Ok(engine) = app.engine() {
        for ((name, value), help) in
            engine.counters().snapshot().into_iter().zip(EngineCounters::HELP)
        {
            registry.register(name, help, ConstCounter::new(value));
        }
        let warmth = engine.warmth();
        for (name, help, value) in [
            ("stores", "Stores of the dataset", warmth.stores as i64),
            ("stores_warm", "Stores in memory", warmth.stores_warm as i64),
            ("ready", "1 when the hot set is warm", i64::from(warmth.ready)),
            ("blocks_refreshing", "Blocks waiting to be read again", engine.refreshing() as i64),
        ] {
            registry.register(name, help, ConstGauge::new(value));
        }
        let bytes = family::<Gauge>(&mut registry, "bytes", "Bytes kept");
        let entries = family::<Gauge>(&mut registry, "entries", "Entries kept");
        for (tier, used) in engine.samovar().usage() {
            for (cache, one) in &used.caches {
                let labels = labels(tier, cache);
                bytes.get_or_create(&labels).set(one.bytes as i64);
                entries.get_or_create(&labels).set(one.entries as i64);
            }
        }
        let mut counter = |name, help| family::<Counter>(&mut registry, name, help);
        let hits = counter("lookup_hits", "Lookups that found a fresh entry");
        let stale = counter("lookup_stale", "Lookups that found a stale entry");
        let misses = counter("lookup_misses", "Lookups that found nothing");
        let refused = counter("lookup_refused", "Lookups that the fence refused");
        let sets = counter("sets", "Entries handed to a tier");
        let deletes = counter("deletes", "Keys that a tier was told to forget");
        let counted = engine.samovar().counters().snapshot();
        for (cache, by_tier) in &counted.lookups {
            for (tier, found) in by_tier {
                let labels = labels(*tier, cache);
                for (family, value) in [
                    (&hits, found.hits),
                    (&stale, found.stale),
                    (&misses, found.misses),
                    (&refused, found.refused),
                    (&sets, found.sets),
                    (&deletes, found.deletes),
                ] {
                    family.get_or_create(&labels).inc_by(value);
                }
            }
        }
        for (what, value) in counted.others {
            registry.register(
                what.as_str(),
                "Counted since the start, or since the last reset",
                ConstCounter::new(value),
            );
        }
    }
    let mut text = String::new();
    if encode(&mut text, &registry).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

type Labels = [(&'static str, String); 2];

fn labels(tier: TierName, cache: &str) -> Labels {
    [("tier", tier.as_str().into()), ("cache", cache.into())]
}

/// A metric by tier and cache, levels among them: one name, described once.
fn family<M>(registry: &mut Registry, name: &str, help: &str) -> Family<Labels, M>
where
    M: EncodeMetric + TypedMetric + Default + std::fmt::Debug + Send + Sync + 'static,
{
    let family = Family::default();
    registry.register(name, help, Family::clone(&family));
    family
}
