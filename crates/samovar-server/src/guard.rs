//! Who may change state: whoever bears the token; where there is none, this machine alone.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::app::App;
use crate::error::Refusal;

/// Lets a request through that may change state. One whose method changes nothing passes: behind this guard no
/// door opens to it, and it is told which methods there are.
pub(crate) async fn changes_state(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    if !request.method().is_safe() {
        allow(app.token(), peer.ip(), request.headers())?;
    }
    Ok(next.run(request).await)
}

/// With a token: the right bearer, from anywhere. Without: from loopback, addressed as loopback (a page that
/// had its name resolved to 127.0.0.1 is not), by no foreign page. Bodies are JSON, which a foreign page
/// cannot send without asking first.
fn allow(token: Option<&str>, peer: IpAddr, headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match token {
        Some(token) => {
            let given = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
            if !given.is_some_and(|given| same(given.as_bytes(), token.as_bytes())) {
                return Err(Refusal::NoToken);
            }
        }
        None => {
            if !peer.to_canonical().is_loopback() {
                return Err(Refusal::Forbidden(
                    "without a token only this machine may change state",
                ));
            }
            if !text(header::HOST).is_some_and(names_loopback) {
                return Err(Refusal::Forbidden(
                    "without a token the Host header must name loopback",
                ));
            }
            if let Some(origin) = text(header::ORIGIN) {
                let host = origin.split_once("://").map_or("", |(_, host)| host);
                if Some(host) != text(header::HOST) {
                    return Err(Refusal::Forbidden(
                        "a page of another origin may not change state",
                    ));
                }
            }
        }
    }
    let json = text(header::CONTENT_TYPE)
        .and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    if json { Ok(()) } else { Err(Refusal::Body("the body must be application/json".into())) }
}

/// Compares in a time that depends on the lengths alone.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (x, y)| difference | (x ^ y)) == 0
}

/// Whether a `Host` header (with or without a port) is a name of this machine's loopback.
fn names_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "127.0.0.1";

    fn asked(token: Option<&str>, peer: &str, headers: &[(&'static str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        allow(token, peer.parse().unwrap(), &map).is_ok()
    }

    #[test]
    fn without_a_token_only_loopback_and_no_foreign_page() {
        let json = ("content-type", "application/json");
        assert!(asked(None, HERE, &[json, ("host", "127.0.0.1:8051")]));
        assert!(asked(None, "::1", &[json, ("host", "[::1]:8051")]));
        assert!(asked(None, "::ffff:127.0.0.1", &[json, ("host", "localhost")]));
        let same_page = ("origin", "http://localhost:8051");
        assert!(asked(None, HERE, &[json, ("host", "localhost:8051"), same_page]));
        assert!(!asked(None, "192.0.2.7", &[json, ("host", "localhost")]), "another machine");
        assert!(!asked(None, HERE, &[json, ("host", "evil.example")]), "a name bound to 127.0.0.1");
        assert!(!asked(None, HERE, &[json]), "no host");
        let foreign = ("origin", "http://evil.example");
        assert!(!asked(None, HERE, &[json, ("host", "localhost:8051"), foreign]));
        let other_port = ("origin", "http://localhost:9999");
        assert!(!asked(None, HERE, &[json, ("host", "localhost:8051"), other_port]));
        assert!(!asked(None, HERE, &[("host", "localhost"), ("content-type", "text/plain")]));
    }

    #[test]
    fn with_a_token_its_bearer_from_anywhere() {
        let json = ("content-type", "application/json; charset=utf-8");
        let right = ("authorization", "Bearer sesame");
        assert!(asked(Some("sesame"), "192.0.2.7", &[json, right]));
        assert!(!asked(Some("sesame"), HERE, &[json, ("host", "localhost")]));
        assert!(!asked(Some("sesame"), HERE, &[json, ("authorization", "Bearer sesamf")]));
        assert!(!asked(Some("sesame"), HERE, &[json, ("authorization", "Basic sesame")]));
    }
}
