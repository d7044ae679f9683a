//! Durations and sizes as people write them.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// A duration above zero in jiff's friendly form, as `90s`, `24h`, `1h 30m`, `7d`; a day is 24 hours.
pub(super) fn duration(text: &str) -> Option<Duration> {
    window(text).filter(|duration| !duration.is_zero())
}

/// The same, and zero.
pub(super) fn window(text: &str) -> Option<Duration> {
    let span: Span = text.parse().ok()?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(duration).ok()
}

/// A number of bytes above zero: digits and a unit. `KB`, `MB`, `GB`, `TB` count in 1,024s, as memory does.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let shift = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "KB" | "KIB" => 10,
        "MB" | "MIB" => 20,
        "GB" | "GIB" => 30,
        "TB" | "TIB" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift).filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_people_write_them() {
        assert_eq!(duration("24h"), Some(Duration::from_secs(86_400)));
        assert_eq!(duration("7d"), Some(Duration::from_secs(7 * 86_400)));
        assert_eq!(duration("1h 30m"), Some(Duration::from_secs(5_400)));
        assert_eq!((window("0s"), window("-3s")), (Some(Duration::ZERO), None));
        assert_eq!((duration("0s"), duration("soon"), duration("-3s")), (None, None, None));
        assert_eq!(bytes("512 MB"), Some(512 << 20));
        assert_eq!(bytes("4gb"), Some(4 << 30));
        assert_eq!(bytes("1000"), Some(1_000));
        assert_eq!((bytes("0"), bytes("much"), bytes("99999999999 TB")), (None, None, None));
    }
}
