//! By which names a server may be called.
//!
//! A page of anywhere can have its own name resolved to 127.0.0.1 and then ask a server there as its own (*DNS
//! rebinding*): no other origin is seen by the browser, and the request comes from this machine. The header `Host`, which
//! no page can forge, still tells the name.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::future::Either;
use tower::{Layer, Service};

use crate::error::Refusal;
use crate::guard::{host_name, names_loopback};

/// The layer that refuses requests which call the server by another name than loopback's or one of these; `None`
/// refuses nothing. It waits for nothing and keeps nothing, because every cached answer pays for it.
#[derive(Clone)]
pub(crate) struct KnownHosts(pub(crate) Option<Arc<[String]>>);

impl KnownHosts {
    fn knows(&self, headers: &HeaderMap) -> bool {
        let Some(names) = &self.0 else { return true };
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        host.is_some_and(|host| {
            let name = host_name(host);
            names_loopback(host) || names.iter().any(|known| known.eq_ignore_ascii_case(name))
        })
    }
}

impl<S> Layer<S> for KnownHosts {
    type Service = Called<S>;

    fn layer(&self, inner: S) -> Called<S> {
        Called { inner, hosts: self.clone() }
    }
}

/// A service behind [`KnownHosts`].
#[derive(Clone)]
pub(crate) struct Called<S> {
    inner: S,
    hosts: KnownHosts,
}

impl<S: Service<Request, Response = Response>> Service<Request> for Called<S> {
    type Response = Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if self.hosts.knows(request.headers()) {
            return Either::Left(self.inner.call(request));
        }
        Either::Right(ready(Ok(Refusal::Misdirected.into_response())))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn loopback_and_what_is_allowed_with_any_port_and_nothing_else() {
        let hosts = KnownHosts(Some(["shop.example".to_string(), "[fd00::1]".into()].into()));
        let knows = |host: &str| {
            let host = (header::HOST, HeaderValue::from_str(host).unwrap());
            hosts.knows(&HeaderMap::from_iter([host]))
        };
        for host in [
            "localhost",
            "LOCALHOST:8051",
            "127.0.0.1:8051",
            "127.1.2.3",
            "[::1]",
            "[::1]:8051",
            "shop.example",
            "Shop.Example:443",
            "[fd00::1]:8051",
        ] {
            assert!(knows(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:8051",
            "evil.example:localhost",
            "shop.example.evil",
            "192.0.2.7:8051",
            "[fd00::2]",
            "[::1].evil.example",
            "localhost:80:evil",
        ] {
            assert!(!knows(host), "{host}");
        }
        assert!(!hosts.knows(&HeaderMap::new()), "every browser tells one");
        assert!(KnownHosts(None).knows(&HeaderMap::new()));
    }
}
