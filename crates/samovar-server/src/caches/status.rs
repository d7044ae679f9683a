//! The header `Cache-Status` (RFC 9211): whether an answer was cached, where, and for how long it still is.

use std::fmt;

use axum::http::{HeaderName, HeaderValue};
use samovar_core::{Error, ErrorKind, TierName};
use samovar_levels::Level;

use crate::questions::value;

pub(crate) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What became of a request in a named cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// It was there. Its lifetime ends in so many seconds, or ended so many ago.
    Hit { tier: TierName, ttl: i64 },
    /// It was there that there is no such row.
    Negative { ttl: i64 },
    /// What is there is past its time, and the source rests after a failure.
    Throttled { ttl: i64 },
    /// What is there is past its time; the source was asked, and failed or took too long.
    Failed,
    /// It was not there; whether it is now.
    Miss { is_stored: bool },
    /// All of many keys were there, or known not to be.
    Many,
    /// Some of many keys were not there.
    Partial,
    /// It was put here.
    Stored,
    /// It was taken away, or written to the database.
    Dropped,
    /// It was to be put or taken away, and was not.
    Unwritten(&'static str),
    /// It was not there, and could not be had.
    Refused(&'static str),
}

impl Status {
    /// Why a load gave nothing.
    pub(super) fn of(failed: &Error) -> Status {
        Status::Refused(match failed.kind() {
            ErrorKind::Timeout => "timeout",
            ErrorKind::Throttled => "throttled",
            ErrorKind::Source => "source_failed",
            _ => "failed",
        })
    }

    pub(super) fn header(self) -> Option<HeaderValue> {
        value(format_args!("{self}"))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("samovar; ")?;
        match self {
            Status::Hit { tier, ttl } => write!(f, "hit; ttl={ttl}; detail={}", tier.as_str()),
            Status::Negative { ttl } => write!(f, "hit; ttl={ttl}; detail=negative"),
            Status::Throttled { ttl } => write!(f, "hit; ttl={ttl}; detail=throttled"),
            Status::Failed => f.write_str("fwd=stale; detail=failed"),
            Status::Miss { is_stored: true } => f.write_str("fwd=miss; stored"),
            Status::Miss { is_stored: false } => f.write_str("fwd=miss"),
            Status::Many => f.write_str("hit"),
            Status::Partial => f.write_str("fwd=partial"),
            Status::Stored => f.write_str("fwd=method; stored"),
            Status::Dropped => f.write_str("fwd=method"),
            Status::Unwritten(why) => write!(f, "fwd=method; detail={why}"),
            Status::Refused(why) => write!(f, "fwd=miss; detail={why}"),
        }
    }
}

/// Whether an answer about a dataset was cached, and how far derived.
pub(crate) fn level(level: Level) -> HeaderValue {
    HeaderValue::from_static(match level {
        Level::Result => "samovar; hit; detail=result",
        Level::Metrics => "samovar; hit; detail=metrics",
        Level::Raw => "samovar; hit; detail=raw",
        Level::Source => "samovar; fwd=miss",
    })
}
