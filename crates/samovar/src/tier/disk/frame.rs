//! How an entry is laid out on disk.
//!
//! A frame is a *head* (one row of a small table: everything but the value) and *chunks* of the value. The head
//! begins with its magic and format and ends with a checksum over itself, the key and the value's checksum, so
//! every byte is covered and a head can be trusted before the value is read.

use std::sync::Arc;

use samovar_core::{Claim, Key, Lifetime, Millis, Part, Parts, Span, Stamp, Tags, Tick, Version};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::codec::{CodecId, Compression, Packed, Payload};

const MAGIC: [u8; 3] = *b"SF\x03";
/// Before a frame said how its value is encoded and compressed: the same without the last four fields.
const MAGIC_2: [u8; 3] = *b"SF\x02";
/// Before entries had tags: without the two fields before those.
const MAGIC_1: [u8; 3] = *b"SF\x01";

/// A page of redb.
const PAGE: usize = 4_096;
/// What a leaf needs beside the one value in it.
const LEAF_OVERHEAD: usize = 64;
/// The largest chunk fills so many pages.
const LARGEST: usize = 16;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct StoredPart {
    span: Option<Span>,
    version: Version,
    read_at: Millis,
}

/// What a frame says of its value.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Names its chunks.
    pub(super) id: u64,
    /// The stored value's length in bytes.
    pub(super) length: u64,
    /// The stored value's checksum.
    sum: u64,
    pub(super) lifetime: Lifetime,
    parts: Vec<StoredPart>,
    pub(super) tags: Tags,
    /// It was not clean when it was written: it counts as what it is, whatever the file was swept of.
    pub(super) apart: bool,
    /// The source has no such value.
    absent: bool,
    /// How the value is encoded, if that was said.
    codec: Option<u8>,
    /// How it is compressed, as `docs/frame.md` numbers it.
    compression: u8,
    /// Its length before compression.
    plain: u64,
}

impl Head {
    /// Of a value as it is to be stored; `None`: the source has none.
    pub(super) fn new(
        id: u64,
        codec: Option<CodecId>,
        packed: Option<&Packed>,
        claim: Claim<'_>,
        apart: bool,
    ) -> Head {
        let value = packed.map_or(&[][..], |packed| &packed.bytes);
        let stored = |part: &Part| StoredPart {
            span: part.span.clone(),
            version: part.stamp.version,
            read_at: part.stamp.read_at,
        };
        let Claim { parts, tags, lifetime } = claim;
        let parts = parts.iter().map(stored).collect();
        let (length, tags) = (value.len() as u64, tags.clone());
        Head {
            id,
            length,
            sum: xxh3_64(value),
            lifetime,
            parts,
            tags,
            apart,
            absent: packed.is_none(),
            codec: codec.map(|codec| codec.0),
            compression: packed.map_or(0, |packed| packed.compression.id()),
            plain: packed.map_or(0, |packed| packed.length),
        }
    }

    /// The row. `None` if it cannot be encoded.
    pub(super) fn encode(&self, key: &Key) -> Option<Vec<u8>> {
        let mut row = postcard::to_extend(self, MAGIC.to_vec()).ok()?;
        row.extend_from_slice(&checksum(&key.cache, &key.id, &row).to_le_bytes());
        Some(row)
    }

    /// Of a row that names its chunks, and how long its value is: what begins a frame of every format. `None` if it
    /// is damaged. A start reads no more of each.
    pub(super) fn place(cache: &str, id: &str, row: &[u8]) -> Option<(u64, u64)> {
        match whole(cache, id, row)?.split_first_chunk()? {
            (&(MAGIC | MAGIC_2 | MAGIC_1), body) => {
                postcard::take_from_bytes(body).ok().map(|(place, _)| place)
            }
            _ => None,
        }
    }

    /// Reads a row. `None` if it is damaged.
    pub(super) fn decode(cache: &str, id: &str, row: &[u8]) -> Option<Head> {
        // Of an older frame: no tags, not apart; a value, of no codec, not compressed, and how long is known.
        let older = |body: &[u8], fields: &[u8]| {
            let head: Head = postcard::from_bytes(&[body, fields].concat()).ok()?;
            Some(Head { plain: head.length, ..head })
        };
        match whole(cache, id, row)?.split_first_chunk()? {
            (&MAGIC, body) => postcard::from_bytes(body).ok(),
            (&MAGIC_2, body) => older(body, &[0; 4]),
            (&MAGIC_1, body) => older(body, &[0; 6]),
            _ => None,
        }
    }

    /// The value whose stored bytes these are; `None` if they are not what was written.
    pub(super) fn payload(&self, value: Vec<u8>) -> Option<Payload> {
        if self.length != value.len() as u64 || self.sum != xxh3_64(&value) {
            return None;
        }
        if self.absent {
            return Some(Payload::absent());
        }
        let compression = Compression::from_id(self.compression)?;
        let packed = Packed { compression, length: self.plain, bytes: value.into() };
        Some(Payload::stored(self.codec.map(CodecId), packed))
    }

    /// What decides whether it may be kept, with its own parts or what was made of them.
    pub(super) fn claim<'a>(&'a self, parts: &'a [Part]) -> Claim<'a> {
        Claim { parts, tags: &self.tags, lifetime: self.lifetime }
    }

    /// Its parts, with the versions they had when they were written and no tick.
    pub(super) fn parts(&self) -> Parts {
        let part = |stored: &StoredPart| Part {
            span: stored.span.clone(),
            stamp: Stamp { version: stored.version, tick: Tick(0), read_at: stored.read_at },
        };
        Arc::from_iter(self.parts.iter().map(part))
    }
}

/// What a row says, if its checksum stands.
fn whole<'r>(cache: &str, id: &str, row: &'r [u8]) -> Option<&'r [u8]> {
    let (body, sum) = row.split_last_chunk()?;
    (checksum(cache, id, body) == u64::from_le_bytes(*sum)).then_some(body)
}

fn checksum(cache: &str, id: &str, body: &[u8]) -> u64 {
    let mut sum = Xxh3::new();
    for field in [cache.as_bytes(), id.as_bytes(), body] {
        sum.update(&(field.len() as u64).to_le_bytes());
        sum.update(field);
    }
    sum.digest()
}

/// Cuts a value into chunks that fill redb's pages. redb gives a large value a power of two of pages; so full
/// chunks are made of 64 KB, then of 32, 16, 8 and 4, and only the rest (below a page) wastes anything: half
/// a page on average.
pub(super) fn chunks(mut value: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let sizes = std::iter::successors(Some(LARGEST), |pages| (*pages > 1).then_some(pages / 2));
        let fits =
            sizes.map(|pages| pages * PAGE - LEAF_OVERHEAD).find(|size| *size <= value.len());
        let (chunk, rest) = value.split_at(fits.unwrap_or(value.len()));
        value = rest;
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// The bytes that a frame takes in the file, about: as the budget counts them.
pub(super) fn footprint(key: &Key, head: usize, value: u64) -> u64 {
    // A full chunk takes its pages; the rest shares a page, half of which is in use on average in a tree
    // that grows at its end.
    let full = PAGE as u64;
    let pages = value.div_ceil(full - LEAF_OVERHEAD as u64);
    pages * full + 2 * (head + key.cache.len() + key.id.len()) as u64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use samovar_core::{Day, Epoch};

    use super::*;

    fn head(value: &[u8]) -> Head {
        let span = Span { store: "7".into(), from: Day(3), to: Day(5) };
        let version = Version { epoch: Epoch(9), seq: 4 };
        let stamp = Stamp { version, tick: Tick(1), read_at: Millis(12) };
        let lifetime =
            Lifetime { ttl: Duration::from_secs(5), stale_window: Duration::from_secs(6) };
        let parts = [Part { span: Some(span), stamp }, Part { span: None, stamp }];
        let tags = Tags::new(["é", "b"]).unwrap();
        let packed = Packed {
            compression: Compression::None,
            length: value.len() as u64,
            bytes: value.to_vec().into(),
        };
        let claim = Claim { parts: &parts, tags: &tags, lifetime };
        Head::new(1, Some(CodecId::TEXT), Some(&packed), claim, true)
    }

    proptest! {
        #[test]
        fn chunks_are_the_value(length in 0usize..300_000) {
            let value: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let chunks: Vec<&[u8]> = chunks(&value).collect();
            prop_assert_eq!(&chunks.concat(), &value);
            // All but the last fill their pages.
            for chunk in chunks.iter().rev().skip(1) {
                let taken = chunk.len() + LEAF_OVERHEAD;
                prop_assert!(taken.is_power_of_two());
                prop_assert!((PAGE..=LARGEST * PAGE).contains(&taken));
            }
        }
    }

    #[test]
    fn older_frames_are_read() {
        let key = Key::new("cache", "key");
        let untagged = Head { tags: Tags::NONE, apart: false, codec: None, ..head(b"value") };
        let tagged = Head { codec: None, ..head(b"value") };
        // Absent, codec, compression and length are one byte each here; before them the tags and apart.
        for (head, magic, shorter) in [(untagged, MAGIC_1, 6), (tagged, MAGIC_2, 4)] {
            let row = head.encode(&key).unwrap();
            let (new, _) = row.split_last_chunk::<8>().unwrap();
            let (fields, last) = new[MAGIC.len()..].split_at(new.len() - MAGIC.len() - shorter);
            assert_eq!(last.split_last(), Some((&5, &[0; 5][..shorter - 1])));
            let mut old = [&magic, fields].concat();
            old.extend_from_slice(&checksum("cache", "key", &old).to_le_bytes());
            assert_eq!(Head::place("cache", "key", &old), Some((head.id, head.length)));
            assert_eq!(Head::decode("cache", "key", &old), Some(head));
        }
    }

    #[test]
    fn that_there_is_no_value_is_kept() {
        let key = Key::new("cache", "key");
        let whole = head(b"");
        let parts = whole.parts();
        let row = Head::new(1, None, None, whole.claim(&parts), false).encode(&key).unwrap();
        let found = Head::decode("cache", "key", &row).unwrap();
        assert!(found.payload(Vec::new()).unwrap().is_absent());
        assert!(!whole.payload(Vec::new()).unwrap().is_absent());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let value = b"value";
        let key = Key::new("cache", "key");
        let row = head(value).encode(&key).unwrap();
        assert_eq!(Head::decode("cache", "key", &row), Some(head(value)));
        for bit in 0..row.len() * 8 {
            let mut damaged = row.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::decode("cache", "key", &damaged), None);
            assert_eq!(Head::place("cache", "key", &damaged), None);
        }
        assert_eq!(Head::decode("cach", "ekey", &row), None);
        assert_eq!(Head::place("cach", "ekey", &row), None);
        assert!(head(value).payload(value.to_vec()).is_some());
        assert!(head(value).payload(b"valuE".to_vec()).is_none());
    }
}
