//! Questions by their text. Pages ask the same again and again: what is asked is read once, and what the headers
//! prove of it is written once for as long as it stays the same.

use std::fmt::{self, Write as _};
use std::sync::{Arc, PoisonError, RwLock};

use axum::http::HeaderValue;
use bytes::BytesMut;
use quick_cache::sync::Cache;
use samovar_levels::Proof;

use crate::ask::{self, Asked};
use crate::encoding;
use crate::error::Refusal;

/// So many questions are remembered.
const QUESTIONS: usize = 1_024;
/// Not those with more bytes than this, which cost little to read beside what they cost to answer.
const LENGTH: usize = 2_048;

/// The questions of late.
pub(crate) struct Questions(Cache<Box<str>, Arc<Question>>);

impl Default for Questions {
    fn default() -> Self {
        Questions(Cache::new(QUESTIONS))
    }
}

impl Questions {
    /// What the query of `/api/diagnosis` asks for.
    pub(crate) fn diagnosis(&self, text: &str) -> Result<Arc<Question>, Refusal> {
        if let Some(question) = self.0.get(text) {
            return Ok(question);
        }
        let question = Arc::new(Question::from(ask::diagnosis(text)?));
        if text.len() <= LENGTH {
            self.0.insert(text.into(), Arc::clone(&question));
        }
        Ok(question)
    }
}

/// A question, and what was last told with its answer.
pub(crate) struct Question {
    pub(crate) asked: Asked,
    told: RwLock<Option<Arc<Head>>>,
}

impl From<Asked> for Question {
    fn from(asked: Asked) -> Question {
        Question { asked, told: RwLock::new(None) }
    }
}

impl Question {
    /// The head of its answer.
    pub(crate) fn head(&self, tag: u128, proof: &Proof) -> Option<Arc<Head>> {
        let told = self.told.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(head) = told.filter(|head| head.tag == tag && head.of == *proof) {
            return Some(head);
        }
        let head = Arc::new(Head::new(tag, proof)?);
        *self.told.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&head));
        Some(head)
    }
}

/// The headers of an answer that are the same as long as its body and its proof are.
pub(crate) struct Head {
    tag: u128,
    of: Proof,
    pub(crate) etag: HeaderValue,
    pub(crate) proof: HeaderValue,
}

impl Head {
    /// `None` never is: it is built from numbers, words and dates.
    pub(crate) fn new(tag: u128, proof: &Proof) -> Option<Head> {
        let oldest = proof.oldest.and_then(|at| jiff::Timestamp::from_millisecond(at.0).ok());
        let told = match oldest {
            Some(oldest) => value(format_args!("{proof}; oldest={oldest}")),
            None => value(format_args!("{proof}; oldest=")),
        };
        let etag = value(format_args!("{}", encoding::etag(tag)))?;
        Some(Head { tag, of: proof.clone(), etag, proof: told? })
    }
}

/// The value of a header; `None` if it holds what no header may.
pub(crate) fn value(text: fmt::Arguments<'_>) -> Option<HeaderValue> {
    let mut bytes = BytesMut::with_capacity(256);
    bytes.write_fmt(text).ok()?;
    HeaderValue::from_maybe_shared(bytes.freeze()).ok()
}

#[cfg(test)]
mod tests {
    use samovar_core::{Epoch, Millis, TierName, Version};
    use samovar_levels::{Level, State};

    use super::*;

    const TEXT: &str = "stores=7,8&from=2026-01-01&to=2026-01-02";

    fn proof(seq: u64) -> Proof {
        Proof {
            level: Level::Result,
            tier: Some(TierName::Memory),
            state: State::Fresh,
            version: Version { epoch: Epoch(1), seq },
            oldest: Some(Millis(1_770_145_613_500)),
            covered: 4,
            missing: 0,
            refreshing: 0,
        }
    }

    #[test]
    fn a_text_is_read_once_unless_it_is_long_or_wrong() {
        let questions = Questions::default();
        let ask = |text: &str| questions.diagnosis(text);
        let first = ask(TEXT).unwrap();
        assert_eq!(first.asked, ask::diagnosis(TEXT).unwrap());
        assert!(Arc::ptr_eq(&first, &ask(TEXT).unwrap()));
        let other = TEXT.replace("7,8", "8,7");
        assert_ne!(ask(&other).unwrap().asked, first.asked);
        let long = TEXT.replace('7', &"7,".repeat(LENGTH));
        let long = long.replace(",,", ",");
        assert!(!Arc::ptr_eq(&ask(&long).unwrap(), &ask(&long).unwrap()));
        assert!(ask("stores=7").is_err() && ask("stores=7").is_err());
    }

    #[test]
    fn what_was_told_holds_for_its_body_and_its_proof() {
        let question = Question::from(ask::diagnosis(TEXT).unwrap());
        let head = question.head(7, &proof(1)).unwrap();
        assert!(Arc::ptr_eq(&head, &question.head(7, &proof(1)).unwrap()));
        assert_eq!(head.etag, format!("\"{}7\"", "0".repeat(31)));
        let told = head.proof.to_str().unwrap();
        assert!(told.ends_with("; oldest=2026-02-03T19:06:53.5Z"), "{told}");

        let next = question.head(7, &proof(2)).unwrap();
        assert_ne!(next.proof, head.proof);
        assert_ne!(question.head(8, &proof(2)).unwrap().etag, next.etag);
        let never = Proof { oldest: None, ..proof(2) };
        assert!(question.head(8, &never).unwrap().proof.to_str().unwrap().ends_with("; oldest="));
    }
}
