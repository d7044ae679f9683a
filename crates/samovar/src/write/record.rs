//! What stands in the journal: a format version, the length of a head and the head, then the value's bytes as its codec
//! has them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::time::Duration;

use bytes::Bytes;
use samovar_core::{Error, ErrorKind, Key, Millis, Tags};
use serde::{Deserialize, Serialize};

use crate::cache::{Kept, Waiting};
use crate::codec::CodecId;

/// The first byte of a record.
const FORMAT: u8 = 1;

/// A record of the journal, beside the bytes of its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Record {
    /// A write that was acknowledged.
    Write(Head),
    /// The source is being written: what it holds is not known. So long after that was begun it may still commit.
    Intent(Place, Duration),
    /// A write that the source would not have.
    Dead(Head, Death),
}

/// Whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) cache: Arc<str>,
    pub(super) key: Arc<str>,
}

/// A write, but for its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) place: Place,
    /// `None`: it is deleted.
    pub(super) codec: Option<u8>,
    pub(super) ttl: Option<Duration>,
    pub(super) tags: Tags,
    pub(super) has_writer: bool,
    pub(super) at: Millis,
}

/// Why a write was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Death {
    pub(super) reason: Arc<str>,
    pub(super) at: Millis,
    pub(super) attempts: u32,
}

impl Place {
    pub(super) fn to_key(&self) -> Key {
        Key::new(Arc::clone(&self.cache), Arc::clone(&self.key))
    }
}

impl Head {
    pub(super) fn codec(&self) -> Option<CodecId> {
        self.codec.map(CodecId)
    }

    /// The write, under its number in the journal; whether a process before this one may have sent it.
    pub(super) fn waiting(self, number: u64, value: Option<Kept>, was_sent: bool) -> Waiting {
        let Head { place, ttl, tags, has_writer, at, .. } = self;
        let (attempts, sent) = (AtomicU32::new(0), AtomicBool::new(was_sent));
        Waiting { number, key: place.key, value, ttl, tags, has_writer, at, attempts, sent }
    }
}

impl Record {
    pub(super) fn encode(&self, value: &[u8]) -> Result<Bytes, Error> {
        let head = postcard::to_stdvec(self).map_err(|e| {
            Error::new(ErrorKind::Invalid, "a record of the journal cannot be encoded").because(e)
        })?;
        let mut bytes = Vec::with_capacity(5 + head.len() + value.len());
        bytes.push(FORMAT);
        bytes.extend_from_slice(&(head.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(value);
        Ok(bytes.into())
    }

    /// The record and the bytes of its value.
    pub(super) fn decode(bytes: &Bytes) -> Result<(Record, Bytes), Error> {
        let unknown = || {
            let text = "a record of the journal is not as this program writes it";
            Error::new(ErrorKind::Format, text)
        };
        let rest = bytes.strip_prefix(&[FORMAT]).ok_or_else(unknown)?;
        let (length, rest) = rest.split_first_chunk().ok_or_else(unknown)?;
        let length = u32::from_le_bytes(*length) as usize;
        let head = rest.get(..length).ok_or_else(unknown)?;
        let record = postcard::from_bytes(head).map_err(|e| unknown().because(e))?;
        Ok((record, bytes.slice(5 + length..)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_and_another_format_is_not() {
        let place = Place { cache: "prices".into(), key: "42".into() };
        let head = Head {
            place: place.clone(),
            codec: Some(1),
            ttl: Some(Duration::from_millis(1_500)),
            tags: Tags::new(["supplier:7"]).unwrap(),
            has_writer: true,
            at: Millis(7),
        };
        let death = Death { reason: "no such product".into(), at: Millis(8), attempts: 3 };
        for record in [
            Record::Write(head.clone()),
            Record::Intent(place, Duration::from_secs(30)),
            Record::Dead(head, death),
        ] {
            let bytes = record.encode(b"12.50").unwrap();
            assert_eq!(Record::decode(&bytes).unwrap(), (record, Bytes::from_static(b"12.50")));
            for cut in 0..bytes.len() - 5 {
                assert!(Record::decode(&bytes.slice(..cut)).is_err());
            }
        }
        let error = Record::decode(&Bytes::from_static(&[2, 0, 0, 0, 0])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format);
    }
}
