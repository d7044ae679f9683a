//! How fast a cached answer is served over HTTP, beside a bare handler that returns the same bytes.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::routing::get;
use samovar_levels::Stores;
use samovar_server::{App, Caches, Labels, Tokens};
use tokio::net::TcpListener;

use crate::load::{Connection, per_second};
use crate::shop::{self, Shop};
use crate::stats::median;
use crate::{Outcome, child, line};

pub(crate) const NAMES: &[&str] = &["http_cached_over_static_ratio", "resident_mb_after_warm"];

const ROUNDS: usize = 5;
const CONNECTIONS: usize = 32;
/// A side is loaded for so long at a time, in turns: the machine's own speed drifts within seconds.
const TURN: Duration = Duration::from_millis(250);
/// Turns of each side in a round.
const TURNS: usize = 12;
const STORES: usize = 10;

/// Where the peer finds the bytes that it returns.
const BYTES: &str = "answer.gz";

/// Five rounds, the sides in alternating order; the lines to print, ratios first.
pub(crate) fn measure() -> Outcome<Vec<String>> {
    let shop = &Shop::ready(crate::STORES)?;
    shop.empty_data()?;
    let (mut ratios, mut ours, mut peers) = (Vec::new(), Vec::new(), Vec::new());
    let (us, address): (_, SocketAddr) = child::start("serve", shop)?;
    let runtime = child::runtime()?;
    let path = path()?;
    let (bytes, resident) = runtime.block_on(async {
        let mut client = Connection::open(address).await?;
        // What the page asks for when it is opened.
        let view = shop::opening_view()?;
        client.get("/").await?;
        client.get("/api/dataset").await?;
        let all = format!("/api/diagnosis?stores=all&from={}&to={}", view.from, view.to);
        client.get(&all).await?;
        let resident = us.resident()?;
        Ok::<_, Box<dyn std::error::Error>>((client.get(&path).await?.into_body(), resident))
    })?;
    std::fs::write(shop.file(BYTES), &bytes)?;
    let (_peer, bare): (_, SocketAddr) = child::start("bare", shop)?;
    for round in 0..ROUNDS {
        let mut rates = [0.0; 2];
        for turn in 0..TURNS {
            for side in if (round + turn) % 2 == 0 { [0, 1] } else { [1, 0] } {
                let load = per_second([address, bare][side], &path, CONNECTIONS, bytes.len(), TURN);
                rates[side] += runtime.block_on(load)? / TURNS as f64;
            }
        }
        eprintln!("round {}: {:.0}/s, bare {:.0}/s", round + 1, rates[0], rates[1]);
        ratios.push(rates[0] / rates[1]);
        ours.push(rates[0]);
        peers.push(rates[1]);
    }
    shop.empty_data()?;
    std::fs::remove_file(shop.file(BYTES))?;
    Ok(vec![
        line(NAMES[0], median(&ratios), "ratio"),
        line(NAMES[1], resident / 1e6, "MB"),
        line("http_cached_per_s", median(&ours), "1/s"),
        line("http_static_per_s", median(&peers), "1/s"),
        line("http_body_bytes", bytes.len() as f64, "B"),
    ])
}

/// Ten stores, 28 days.
fn path() -> Outcome<String> {
    let view = shop::opening_view()?;
    let ids: Vec<String> = (1..=STORES).map(|id| id.to_string()).collect();
    let stores = Stores::These(ids.iter().map(|id| id.as_str().into()).collect());
    Ok(format!("/api/diagnosis?stores={stores}&from={}&to={}", view.from, view.to))
}

/// Ours: the whole server over a warm engine.
pub(crate) async fn ours(shop: &Shop) -> Outcome<SocketAddr> {
    let settings = shop::settings()?;
    let engine = shop.engine(&settings, shop.source(&settings)?).await?;
    engine.warm().await?;
    child::quiet(&engine).await;
    let app = App::new(Labels::from(&settings), Tokens::default());
    app.ready(engine, Caches::default());
    serve(samovar_server::router(app)).await
}

/// The peer: the same bytes from a handler that knows nothing else.
pub(crate) async fn bare(shop: &Shop) -> Outcome<SocketAddr> {
    let bytes = Bytes::from(std::fs::read(shop.file(BYTES))?);
    let answer = move || {
        let bytes = bytes.clone();
        let headers =
            [(header::CONTENT_TYPE, "application/json"), (header::CONTENT_ENCODING, "gzip")];
        async move { (headers, bytes) }
    };
    serve(Router::new().route("/api/diagnosis", get(answer))).await
}

/// Serves for as long as the runtime stands.
async fn serve(router: Router) -> Outcome<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    Ok(address)
}
