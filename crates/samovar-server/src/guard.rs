//! Who may change state, and who may read figures.
//!
//! State: whoever bears the token; where there is none, this machine alone. Figures: everybody, unless a read token
//! is set; then this machine, and whoever bears it or the token.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, Method, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::app::{App, Tokens};
use crate::error::{Need, Refusal};

/// Lets a request through that may change state. One whose method changes nothing passes: behind this guard no
/// door opens to it, and it is told which methods there are.
pub(crate) async fn changes_state(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    if !request.method().is_safe() {
        may_change(app.tokens(), peer(&request), request.headers())?;
    }
    Ok(next.run(request).await)
}

/// Lets a request through that may read figures.
pub(crate) async fn tells_figures(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    may_read(app.tokens(), peer(&request), request.headers())?;
    Ok(next.run(request).await)
}

/// Lets a request through that may read figures, and says what it asks in a body of JSON. One whose method has no body is
/// told which methods there are.
pub(crate) async fn asks_by_body(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    may_read(app.tokens(), peer(&request), request.headers())?;
    if *request.method() == Method::POST {
        is_json(request.headers())?;
    }
    Ok(next.run(request).await)
}

/// Lets a request through that may do what its method does: read figures, or change state.
pub(crate) async fn tells_or_changes(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let (method, headers) = (request.method(), request.headers());
    if method.is_safe() {
        may_read(app.tokens(), peer(&request), headers)?;
    } else {
        may_ask_to_change(app.tokens(), peer(&request), headers)?;
        // A page asks before it deletes at another origin, too: there need be no body for that.
        if *method == Method::PUT {
            is_json(headers)?;
        }
    }
    Ok(next.run(request).await)
}

/// Where a request comes from, if whoever serves the router tells: who does not is nobody's neighbour.
fn peer(request: &Request) -> Option<IpAddr> {
    let info = request.extensions().get::<ConnectInfo<SocketAddr>>();
    info.map(|ConnectInfo(peer)| peer.ip())
}

/// Who may change state, by a body that is JSON.
fn may_change(tokens: &Tokens, peer: Option<IpAddr>, headers: &HeaderMap) -> Result<(), Refusal> {
    may_ask_to_change(tokens, peer, headers)?;
    is_json(headers)
}

/// With a token: the right bearer, from anywhere. Without: from here, by no foreign page.
fn may_ask_to_change(
    tokens: &Tokens,
    peer: Option<IpAddr>,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    if let Some(token) = &tokens.change {
        if !bears(headers, [Some(token.as_str())]) {
            return Err(Refusal::NoToken(Need::Change));
        }
    } else {
        from_here(peer, headers).map_err(Refusal::Forbidden)?;
        if let Some(origin) = text(headers, &header::ORIGIN) {
            let host = origin.split_once("://").map_or("", |(_, host)| host);
            if Some(host) != text(headers, &header::HOST) {
                return Err(Refusal::Forbidden("a page of another origin may not change state"));
            }
        }
    }
    Ok(())
}

/// Bodies are JSON, which a foreign page cannot send without asking first.
fn is_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let json = text(headers, &header::CONTENT_TYPE)
        .and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    if json { Ok(()) } else { Err(Refusal::NotJson) }
}

/// Without a read token everybody. With one: from here, or either token. No foreign page is kept out by its origin,
/// because a browser shows it no answer of ours.
fn may_read(tokens: &Tokens, peer: Option<IpAddr>, headers: &HeaderMap) -> Result<(), Refusal> {
    let either = [tokens.read.as_deref(), tokens.change.as_deref()];
    if tokens.read.is_none() || from_here(peer, headers).is_ok() || bears(headers, either) {
        return Ok(());
    }
    Err(Refusal::NoToken(Need::Read))
}

/// From loopback, addressed as loopback (a page that had its name resolved to 127.0.0.1 is not), through no proxy
/// that says it is one: whoever stands behind it is not here. Else the reason.
fn from_here(peer: Option<IpAddr>, headers: &HeaderMap) -> Result<(), &'static str> {
    if !peer.is_some_and(|peer| peer.to_canonical().is_loopback()) {
        return Err("without a token only this machine may change state");
    }
    if !text(headers, &header::HOST).is_some_and(names_loopback) {
        return Err("without a token the Host header must name loopback");
    }
    if RELAYED.iter().any(|name| headers.contains_key(name)) {
        return Err("without a token no request through a proxy may change state");
    }
    Ok(())
}

/// What proxies add to a request that they pass on.
const RELAYED: [HeaderName; 4] = [
    header::FORWARDED,
    header::VIA,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-real-ip"),
];

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether the request bears one of these tokens; all are compared, so that the time taken does not tell which.
fn bears<const N: usize>(headers: &HeaderMap, tokens: [Option<&str>; N]) -> bool {
    let given = text(headers, &header::AUTHORIZATION)
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"));
    let Some((_, given)) = given else { return false };
    let compared = tokens.map(|token| token.is_some_and(|token| same(given.trim_start(), token)));
    compared.contains(&true)
}

/// Compares in a time that depends on the lengths alone.
fn same(a: &str, b: &str) -> bool {
    let pairs = a.bytes().zip(b.bytes());
    a.len() == b.len() && pairs.fold(0, |difference, (x, y)| difference | (x ^ y)) == 0
}

/// What a `Host` header names, without the port: a name, an address, or an IPv6 address in its brackets.
pub(crate) fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether a text is what [`host_name`] may give.
pub(crate) fn is_host(text: &str) -> bool {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bracketed {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        }
    }
}

/// Whether a `Host` header (with or without a port) is a name of this machine's loopback.
pub(crate) fn names_loopback(host: &str) -> bool {
    let name = host_name(host);
    let bracketed = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    name.eq_ignore_ascii_case("localhost")
        || bracketed.unwrap_or(name).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "127.0.0.1";

    const AWAY: &str = "192.0.2.7";

    fn map(headers: &[(&'static str, &str)]) -> HeaderMap {
        headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    fn asked(token: Option<&str>, peer: &str, headers: &[(&'static str, &str)]) -> bool {
        let tokens = Tokens { change: token.map(String::from), read: Some("open-figures".into()) };
        may_change(&tokens, peer.parse().ok(), &map(headers)).is_ok()
    }

    fn told(tokens: &Tokens, peer: &str, headers: &[(&'static str, &str)]) -> bool {
        may_read(tokens, peer.parse().ok(), &map(headers)).is_ok()
    }

    #[test]
    fn without_a_token_only_loopback_and_no_foreign_page() {
        let json = ("content-type", "application/json");
        assert!(asked(None, HERE, &[json, ("host", "127.0.0.1:8051")]));
        assert!(asked(None, "::1", &[json, ("host", "[::1]:8051")]));
        assert!(asked(None, "::ffff:127.0.0.1", &[json, ("host", "localhost")]));
        let same_page = ("origin", "http://localhost:8051");
        assert!(asked(None, HERE, &[json, ("host", "localhost:8051"), same_page]));
        assert!(!asked(None, AWAY, &[json, ("host", "localhost")]), "another machine");
        assert!(!asked(None, HERE, &[json, ("host", "evil.example")]), "a name bound to 127.0.0.1");
        assert!(!asked(None, HERE, &[json]), "no host");
        let foreign = ("origin", "http://evil.example");
        assert!(!asked(None, HERE, &[json, ("host", "localhost:8051"), foreign]));
        let other_port = ("origin", "http://localhost:9999");
        assert!(!asked(None, HERE, &[json, ("host", "localhost:8051"), other_port]));
        assert!(!asked(None, HERE, &[("host", "localhost"), ("content-type", "text/plain")]));
        for relayed in ["forwarded", "via", "x-forwarded-for", "x-real-ip"] {
            assert!(!asked(None, HERE, &[json, ("host", "localhost"), (relayed, "192.0.2.7")]));
        }
    }

    #[test]
    fn with_a_token_its_bearer_from_anywhere() {
        let json = ("content-type", "application/json; charset=utf-8");
        let right = ("authorization", "Bearer sesame");
        assert!(asked(Some("sesame"), AWAY, &[json, right]));
        assert!(!asked(Some("sesame"), HERE, &[json, ("host", "localhost")]));
        assert!(!asked(Some("sesame"), HERE, &[json, ("authorization", "Bearer sesamf")]));
        assert!(!asked(Some("sesame"), HERE, &[json, ("authorization", "Basic sesame")]));
        assert!(asked(Some("sesame"), AWAY, &[json, ("authorization", "bearer sesame")]));
        let reader = ("authorization", "Bearer open-figures");
        assert!(!asked(Some("sesame"), HERE, &[json, reader]), "who may read may not change");
    }
    #[test]
    fn without_a_read_token_everybody_reads() {
        for change in [None, Some("open-sesame".to_string())] {
            let tokens = Tokens { change, read: None };
            assert!(told(&tokens, AWAY, &[("host", "shop.example")]));
            assert!(told(&tokens, "", &[]));
        }
    }

    #[test]
    fn with_a_read_token_this_machine_and_the_bearers_of_either() {
        let read = Some("open-figures".to_string());
        let tokens = Tokens { change: Some("open-sesame".into()), read: read.clone() };
        let host = ("host", "shop.example");
        for bearer in ["Bearer open-figures", "bearer open-figures", "Bearer open-sesame"] {
            assert!(told(&tokens, AWAY, &[host, ("authorization", bearer)]), "{bearer}");
        }
        for bearer in
            ["Bearer open-figure", "Bearer open-figuresx", "Bearer ", "Basic open-figures"]
        {
            assert!(!told(&tokens, AWAY, &[host, ("authorization", bearer)]), "{bearer}");
        }
        assert!(!told(&tokens, AWAY, &[("host", "localhost")]), "another machine");
        assert!(!told(&tokens, "", &[("host", "localhost")]), "nobody knows from where");
        assert!(told(&tokens, HERE, &[("host", "localhost:8051")]));
        assert!(told(&tokens, "::1", &[("host", "[::1]:8051")]));
        assert!(!told(&tokens, HERE, &[host]), "a name bound to 127.0.0.1");
        let relayed = ("x-forwarded-for", AWAY);
        assert!(!told(&tokens, HERE, &[("host", "localhost"), relayed]), "through a proxy");
        let alone = Tokens { change: None, read };
        assert!(!told(&alone, AWAY, &[host, ("authorization", "Bearer ")]));
    }
}
