//! Requests for dead letters: which, and how many.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use samovar_core::WriteId;

use super::{decode, no_text, pairs};
use crate::error::Refusal;

/// The most letters of one answer.
const MAX_LETTERS: usize = 1_000;
/// So many where nothing is said.
const LETTERS: usize = 100;

/// What the query of `/api/letters` asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Letters {
    /// Of this cache alone.
    pub(crate) cache: Option<String>,
    /// So many at most.
    pub(crate) limit: usize,
}

/// Reads `cache=…&limit=…`.
pub(crate) fn letters(query: &str) -> Result<Letters, Refusal> {
    let (mut cache, mut limit) = (None, None);
    for (name, value) in pairs(query) {
        let value = |field| decode(field, value);
        let is_first = match name {
            "cache" => cache.replace(value("cache")?.into_owned()).is_none(),
            "limit" => limit.replace(count(&value("limit")?)?).is_none(),
            _ => return Err(Refusal::field("query", name, "cache and limit")),
        };
        if !is_first {
            return Err(Refusal::field("query", name, "each parameter once"));
        }
    }
    Ok(Letters { cache, limit: limit.unwrap_or(LETTERS) })
}

fn count(text: &str) -> Result<usize, Refusal> {
    let number = text.parse().ok().filter(|n| (1..=MAX_LETTERS).contains(n));
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    number
        .filter(|_| is_plain)
        .ok_or_else(|| Refusal::field("limit", text, format!("a number from 1 to {MAX_LETTERS}")))
}

/// The letter of an address.
pub(crate) fn letter(id: Result<Path<String>, PathRejection>) -> Result<WriteId, Refusal> {
    let Path(id) = id.map_err(|_| no_text("id"))?;
    let allowed = "an id as /api/letters tells it: 16 hexadecimal digits, a hyphen and a number";
    id.parse().map_err(|_| Refusal::field("id", &id, allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_a_cache_and_a_limit_or_neither() {
        let all = Letters { cache: None, limit: LETTERS };
        assert_eq!(letters("").unwrap(), all);
        let some = Letters { cache: Some("a b".into()), limit: 7 };
        assert_eq!(letters("limit=7&cache=a%20b").unwrap(), some);
        for wrong in [
            "limit=0",
            "limit=1001",
            "limit=+1",
            "limit=",
            "cache=a&cache=b",
            "key=1",
            "cache=%FF",
            "cache=100%",
        ] {
            assert!(matches!(letters(wrong), Err(Refusal::Field { .. })), "{wrong}");
        }
    }
}
