//! The HTTP doors of Samovar and its dashboard.
//!
//! [`router`] makes the doors over an [`App`]; the caller brings the listener and says when to stop. Answers hold
//! in their body only what is equal for equal data, so that bodies are cached encoded and entity tags mean
//! something; what differs by request stands in headers. Whatever changes state passes a guard: the bearer
//! token, or loopback where none is set. Whatever tells figures passes another, where a read token is set; where none
//! is, a server on loopback answers to its own names alone.
//!
//! A server by its configuration:
//!
//! ```
#![doc = include_str!("example.txt")]
//! use std::net::SocketAddr;
//!
//! use samovar::Samovar;
//! use samovar_server::{App, Labels, Settings, Tokens, router};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! # let shop = shop()?;
//! # let (text, folder, stop) = (CONFIG, shop.path(), std::future::ready(()));
//! let settings = Settings::parse(text, folder).map_err(|problems| problems[0].to_string())?;
//! let tokens = Tokens { change: settings.token.clone(), read: settings.read_token.clone() };
//! let app = App::new(Labels::from(&settings), tokens);
//! if settings.listen.ip().is_loopback() {
//!     app.known_as(settings.allowed_hosts.clone());
//! }
//!
//! let samovar = Samovar::open(settings.tiers()).await?;
//! let caches = settings.caches(&samovar, |away| eprintln!("{away}"));
//! let engine = settings.engine(samovar, |away| eprintln!("{away}"))?;
//! engine.warm().await?;
//! app.ready(engine, caches.map_err(|wrong| wrong[0].clone())?);
//!
//! let listener = tokio::net::TcpListener::bind(settings.listen).await?;
//! let doors = router(app).into_make_service_with_connect_info::<SocketAddr>();
//! axum::serve(listener, doors).with_graceful_shutdown(stop).await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod api;
mod app;
mod ask;
mod background;
mod caches;
mod encoding;
mod error;
mod guard;
mod host;
mod invalidate;
mod late;
mod letters;
mod openapi;
mod ops;
mod page;
mod query;
mod questions;
mod settings;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use tower::util::MapResponseLayer;

pub use app::{App, Labels, Tokens};
pub use caches::{Backing, Caches, Document, Loader, TagPattern};
pub use settings::{
    CacheSettings, DISK_MAX_BYTES, DatasetSettings, Environment, JournalSettings, LogSettings,
    MEMORY_MAX_BYTES, Place, Problem, Settings, SourceSettings, is_token,
};

/// Bodies of requests may have so many bytes.
const MAX_BODY: usize = 2 << 20;

/// All doors. Serve it with `into_make_service_with_connect_info::<SocketAddr>()`: the guards ask where a request
/// comes from.
///
/// ```
#[doc = include_str!("example.txt")]
/// # use samovar_server::{App, Labels, Settings, Tokens, router};
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// # let folder = shop()?;
/// # let settings = settings(&folder)?;
/// let app = App::new(Labels::from(&settings), Tokens::default());
/// // `get` asks a router for what stands under a path.
/// let (status, _) = get(router(app.clone()), "/healthz").await?;
/// assert_eq!(status, 200, "the process answers");
/// let (status, _) = get(router(app.clone()), "/readyz").await?;
/// assert_eq!(status, 503, "there is no engine yet");
/// assert_eq!(get(router(app), "/api/nowhere").await?.0, 404);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn router(app: App) -> Router {
    let guarded = |who, door: MethodRouter<App>| match who {
        Who::Everybody => door,
        // A guard costs a cached answer a tenth of its time.
        Who::Readers if app.tokens().read.is_none() => door,
        Who::Readers => {
            door.route_layer(middleware::from_fn_with_state(app.clone(), guard::tells_figures))
        }
        Who::Askers => door
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .route_layer(middleware::from_fn_with_state(app.clone(), guard::asks_by_body)),
        Who::Both => door
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .route_layer(middleware::from_fn_with_state(app.clone(), guard::tells_or_changes)),
        Who::Changers => door
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .route_layer(middleware::from_fn_with_state(app.clone(), guard::changes_state)),
    };
    let doors = doors().into_iter();
    doors
        .fold(Router::new(), |router, (path, who, door)| router.route(path, guarded(who, door)))
        .method_not_allowed_fallback(async || error::Refusal::MethodNotAllowed)
        .fallback(file)
        // As one: each layer of its own costs every answer a box.
        .layer((MapResponseLayer::new(house_headers), host::KnownHosts(app.hosts())))
        .with_state(app)
}

/// Who may pass a door.
#[derive(Clone, Copy)]
enum Who {
    Everybody,
    /// Who may read figures.
    Readers,
    /// Who may read figures, and asks in a body.
    Askers,
    /// By the method: who may read figures, and who may change state.
    Both,
    /// Who may change state, and so may read.
    Changers,
}

/// Every door but the page's. `openapi.json` describes each.
fn doors() -> [(&'static str, Who, MethodRouter<App>); 17] {
    [
        ("/healthz", Who::Everybody, get(ops::healthz)),
        ("/readyz", Who::Everybody, get(ops::readyz)),
        ("/api/diagnosis", Who::Readers, get(api::diagnosis)),
        ("/api/query", Who::Readers, get(query::query)),
        ("/api/dataset", Who::Readers, get(api::dataset)),
        ("/api/stats", Who::Readers, get(ops::stats)),
        ("/metrics", Who::Readers, get(ops::metrics)),
        // It names what there are figures of.
        ("/api/openapi.json", Who::Readers, get(openapi::openapi)),
        // It tells figures, too.
        ("/api/refresh", Who::Changers, post(api::refresh)),
        ("/api/events/{event}", Who::Changers, post(api::event)),
        ("/api/invalidate", Who::Changers, post(invalidate::invalidate)),
        (
            "/api/cache/{cache}/{key}",
            Who::Both,
            get(caches::get).put(caches::put).delete(caches::delete),
        ),
        ("/api/cache/{cache}/_get", Who::Askers, post(caches::get_many)),
        ("/api/letters", Who::Readers, get(letters::list)),
        ("/api/letters/{id}", Who::Both, delete(letters::drop)),
        ("/api/letters/{id}/retry", Who::Changers, post(letters::retry)),
        ("/api/stats/reset", Who::Changers, post(ops::reset)),
    ]
}

/// What the page may load, and who may frame it: nobody but this server, and nobody.
const POLICY: &str =
    "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'";

/// The page and its files.
async fn file(request: Request) -> Response {
    let Some(file) = page::file(request.uri(), request.headers()) else {
        return error::Refusal::NotFound.into_response();
    };
    let fresh =
        request.headers().get(header::IF_NONE_MATCH).is_some_and(|tag| tag == file.etag.as_str());
    let headers = [
        (header::CONTENT_TYPE, file.content_type.to_string()),
        (header::CACHE_CONTROL, "no-cache".to_string()),
        (header::ETAG, file.etag.clone()),
        (header::CONTENT_SECURITY_POLICY, POLICY.to_string()),
        (header::REFERRER_POLICY, "same-origin".to_string()),
    ];
    let mut response = if fresh {
        (StatusCode::NOT_MODIFIED, headers).into_response()
    } else {
        (headers, file.bytes).into_response()
    };
    if let Some(language) = file.language {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(language));
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Language"));
    }
    response
}

/// What every response says to browsers.
fn house_headers(mut response: Response) -> Response {
    let nosniff = HeaderValue::from_static("nosniff");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}
