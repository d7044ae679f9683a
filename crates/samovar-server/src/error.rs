//! The only place that chooses an HTTP status.

use std::time::Duration;

use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use samovar_core::{Error, ErrorKind, Fate, WriteError, WriteId};
use serde::Serialize;

/// What a caller is told when a request cannot be answered.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// A parameter or field is not what it may be.
    Field { field: &'static str, found: String, allowed: String },
    /// The body is not what it may be.
    Body(String),
    /// The body has more bytes than any may have.
    TooLarge,
    /// The body is not said to be JSON.
    NotJson,
    /// The demo's data are being made.
    Preparing,
    /// No token, or the wrong one; what it is needed for.
    NoToken(Need),
    /// Not from here: the reason.
    Forbidden(&'static str),
    /// The server is called by a name that it does not know.
    Misdirected,
    /// There is no such door.
    NotFound,
    /// There is no such named cache: what was asked for, and what there is.
    NoCache { found: String, allowed: String },
    /// There is no such dead letter.
    NoLetter(WriteId),
    /// A cache that loads nothing has nothing under the key.
    NotCached,
    /// The source has no such row.
    NoRow,
    /// The database would not have what was to be written, and never will: why.
    Unwritable(Error),
    /// A load of this failed a moment ago; the source is asked again after so long.
    Resting(Error, Duration),
    /// The door is not opened by this method.
    MethodNotAllowed,
    /// None of the media types that would do can be given: those that can.
    NotAcceptable(String),
    /// What the earlier pages were made from has changed.
    Changed,
    /// The engine could not do it.
    Failed(Error),
}

/// What a token is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// To change state: the token.
    Change,
    /// To read figures: the read token, or the token.
    Read,
}

impl From<Error> for Refusal {
    fn from(failed: Error) -> Self {
        Refusal::Failed(failed)
    }
}

impl From<BytesRejection> for Refusal {
    fn from(unread: BytesRejection) -> Self {
        match unread.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooLarge,
            _ => Refusal::Body("the body could not be read to its end".into()),
        }
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Told<'a>,
}

#[derive(Serialize)]
struct Told<'a> {
    code: &'a str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed: Option<&'a str>,
}

impl Refusal {
    /// A field's complaint, with what was found cut to a length that cannot flood anything.
    pub(crate) fn field(field: &'static str, found: &str, allowed: impl Into<String>) -> Refusal {
        Refusal::Field { field, found: cut(found), allowed: allowed.into() }
    }

    /// Why something was not written: the writer's word for it is the cause.
    pub(crate) fn of_write(failed: Error) -> Refusal {
        let cause = std::error::Error::source(&failed).and_then(|cause| cause.downcast_ref());
        match cause {
            Some(WriteError { fate: Fate::Refused, .. }) => Refusal::Unwritable(failed),
            _ => Refusal::Failed(failed),
        }
    }

    /// A named cache that there is not.
    pub(crate) fn no_cache<'a>(found: &str, known: impl Iterator<Item = &'a str>) -> Refusal {
        let known: Vec<&str> = known.collect();
        let allowed = match known.is_empty() {
            true => "none: the configuration has no table [caches.NAME]".to_owned(),
            false => known.join(", "),
        };
        Refusal::NoCache { found: cut(found), allowed }
    }

    /// The word for what went wrong.
    pub(crate) fn code(&self) -> &'static str {
        self.status().1
    }

    fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Refusal::Field { .. } | Refusal::Body(_) => (StatusCode::BAD_REQUEST, "bad_request"),
            Refusal::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Refusal::NotJson => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Refusal::Preparing => (StatusCode::SERVICE_UNAVAILABLE, "preparing"),
            Refusal::NoToken(_) => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Refusal::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
            Refusal::Misdirected => (StatusCode::MISDIRECTED_REQUEST, "misdirected"),
            Refusal::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Refusal::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Refusal::NotAcceptable(_) => (StatusCode::NOT_ACCEPTABLE, "not_acceptable"),
            Refusal::Changed => (StatusCode::CONFLICT, "changed"),
            Refusal::NoCache { .. } => (StatusCode::NOT_FOUND, "no_such_cache"),
            Refusal::NoLetter(_) => (StatusCode::NOT_FOUND, "no_such_letter"),
            Refusal::NotCached => (StatusCode::NOT_FOUND, "not_cached"),
            Refusal::NoRow => (StatusCode::NOT_FOUND, "no_such_row"),
            Refusal::Unwritable(_) => (StatusCode::UNPROCESSABLE_ENTITY, "unwritable"),
            Refusal::Resting(..) => (StatusCode::SERVICE_UNAVAILABLE, "throttled"),
            Refusal::Failed(failed) => match failed.kind() {
                ErrorKind::Invalid => (StatusCode::BAD_REQUEST, "bad_request"),
                ErrorKind::Source => (StatusCode::BAD_GATEWAY, "source_failed"),
                ErrorKind::Timeout => (StatusCode::GATEWAY_TIMEOUT, "timeout"),
                ErrorKind::Throttled => (StatusCode::SERVICE_UNAVAILABLE, "throttled"),
                ErrorKind::Away => (StatusCode::SERVICE_UNAVAILABLE, "away"),
                ErrorKind::Full => (StatusCode::SERVICE_UNAVAILABLE, "full"),
                ErrorKind::Closed => (StatusCode::SERVICE_UNAVAILABLE, "closing"),
                _ => (StatusCode::INTERNAL_SERVER_ERROR, "failed"),
            },
        }
    }

    /// What went wrong, in a sentence.
    pub(crate) fn message(&self) -> String {
        match self {
            Refusal::Field { field, found, allowed } => {
                format!("{field}: found {found:?}, allowed is {allowed}")
            }
            Refusal::Body(why) => why.clone(),
            Refusal::TooLarge => format!("the body has more than {} MiB", crate::MAX_BODY >> 20),
            Refusal::NotJson => "the body must be application/json: say so in Content-Type".into(),
            Refusal::Preparing => "the data are being made; ask again soon".into(),
            Refusal::NoToken(Need::Change) => {
                "this changes state and needs the header \"Authorization: Bearer <token>\"".into()
            }
            Refusal::NoToken(Need::Read) => {
                "this tells figures and needs the header \"Authorization: Bearer <read token>\""
                    .into()
            }
            Refusal::Forbidden(why) => (*why).into(),
            Refusal::Misdirected => {
                "the header Host names neither loopback nor one of allowed_hosts: open http://localhost with the \
                 server's port, or have this name stand in allowed_hosts, or set read_token"
                    .into()
            }
            Refusal::NotFound => "there is nothing here".into(),
            Refusal::NoCache { found, allowed } => {
                format!("there is no cache {found:?}; there are: {allowed}")
            }
            Refusal::NoLetter(id) => {
                format!(
                    "there is no dead letter {id}: it may have been retried or dropped; /api/letters lists those that \
                     there are"
                )
            }
            Refusal::NotCached => "the cache has nothing under this key, and loads nothing".into(),
            Refusal::NoRow => "the source has no such row".into(),
            Refusal::Unwritable(failed) | Refusal::Resting(failed, _) => failed.to_string(),
            Refusal::MethodNotAllowed => "this takes the methods that the header Allow names".into(),
            Refusal::NotAcceptable(allowed) => {
                format!("no media type that the header Accept allows can be given; there are {allowed}")
            }
            Refusal::Changed => {
                "what the earlier pages were made from has changed: begin again with the same question without cursor"
                    .into()
            }
            Refusal::Failed(failed) => failed.to_string(),
        }
    }
}

/// When to ask again, in seconds, where what failed will be over by itself.
fn again(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        // As long as a policy of the levels has them rest.
        ErrorKind::Throttled | ErrorKind::Away => Some("1"),
        // As often as a database is asked that seems to be away.
        ErrorKind::Full => Some("5"),
        _ => None,
    }
}

/// Never zero: that would be at once.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0 || time.is_zero())
}

/// No longer than what cannot flood anything.
fn cut(found: &str) -> String {
    let mut short: String = found.chars().take(80).collect();
    if short.len() < found.len() {
        short.push('…');
    }
    short
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code) = self.status();
        let message = self.message();
        let (field, found, allowed) = match &self {
            Refusal::Field { field, found, allowed } => {
                (Some(*field), Some(&**found), Some(&**allowed))
            }
            Refusal::NoCache { found, allowed } => {
                (Some("cache"), Some(&**found), Some(&**allowed))
            }
            _ => (None, None, None),
        };
        let told = Envelope { error: Told { code, message, field, found, allowed } };
        let mut response = (status, axum::Json(told)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self {
            Refusal::Preparing => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Refusal::Resting(_, rest) => {
                headers.insert(header::RETRY_AFTER, whole_seconds(rest).into());
            }
            Refusal::Failed(failed) => {
                if let Some(seconds) = again(failed.kind()) {
                    headers.insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
                }
            }
            Refusal::NoToken(_) => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}
