//! The levels as values of named caches.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use samovar::Value;
use samovar_core::{Day, Error, ErrorKind};
use serde::{Deserialize, Serialize};

use super::blocks::Place;
use crate::diagnosis::StoreName;
use crate::metrics::MetricsBlock;
use crate::products::ProductBlock;
use crate::raw::RawBlock;

/// A value whose days can be exchanged one by one.
pub(crate) trait Block: Value {
    /// This block with the days that are `newer` taken from `other`.
    fn spliced(&self, other: &Self, newer: impl Fn(Day) -> bool) -> Self;
}

macro_rules! block_value {
    ($($block:ty),*) => {$(
        impl Value for $block {
            fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
                <$block>::encode(self, out)
            }
            fn decode(bytes: &[u8]) -> Result<Self, Error> {
                <$block>::decode(bytes)
            }
            fn weight(&self) -> usize {
                <$block>::weight(self)
            }
        }
        impl Block for $block {
            fn spliced(&self, other: &Self, newer: impl Fn(Day) -> bool) -> Self {
                <$block>::spliced(self, other, newer)
            }
        }
    )*};
}
block_value!(RawBlock, MetricsBlock, ProductBlock);

/// A value that is kept as serde and postcard write it; `$beyond` weighs what it holds beyond its own size.
macro_rules! serde_value {
    ($value:ty, $beyond:expr) => {
        impl Value for $value {
            fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
                encode(self, out)
            }
            fn decode(bytes: &[u8]) -> Result<Self, Error> {
                decode(bytes)
            }
            fn weight(&self) -> usize {
                let beyond: fn(&Self) -> usize = $beyond;
                size_of::<Self>() + beyond(self)
            }
        }
    };
}

/// A store of the dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Its id.
    pub id: Arc<str>,
    /// Its name, if the source has one.
    pub name: Option<Arc<str>>,
    /// Number of its lines when the list was read, or about that ([`Members::estimated`]).
    pub lines: u64,
    /// The first and the last day that has lines.
    pub dates: (Day, Day),
}

/// The list of stores, with what was decided from their sizes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Members {
    /// The stores, by id.
    pub stores: Vec<Member>,
    /// The first and the last day that has lines; `None` if nothing has.
    pub dates: Option<(Day, Day)>,
    /// Days to a block.
    pub(crate) block_days: i32,
    /// Whether product metrics are kept (they pay) or product figures are computed from raw.
    pub product_metrics: bool,
    /// Lines for each product figure in the sample that decided `product_metrics`.
    pub lines_per_product_figure: f64,
    /// Lines of the source without a store or a day: in no answer.
    pub unplaced: u64,
    /// Whether the numbers of lines are those that the source reckons with.
    pub estimated: bool,
}

impl Members {
    /// The blocks of a store that touch a range of days. Outside the store's own dates there are none to keep:
    /// the list vouches that those days are empty, and a mark on one of them is a mark on the list. So one line
    /// with a wrong date costs its own store some blocks and the others nothing.
    pub(crate) fn places(&self, at: usize, from: Day, to: Day) -> impl Iterator<Item = Place> {
        let store = &self.stores[at];
        let (from, to) = (from.max(store.dates.0), to.min(store.dates.1));
        let block = |day: Day| day.0.div_euclid(self.block_days);
        let blocks = if from <= to { block(from)..block(to) + 1 } else { 0..0 };
        blocks.map(move |block| Place::of(self, &store.id, block))
    }

    /// Stores of the list as answers name them.
    pub(crate) fn names(&self, stores: &[usize]) -> Vec<StoreName> {
        let named = stores.iter().map(|at| &self.stores[*at]);
        named.map(|s| StoreName { id: Arc::clone(&s.id), name: s.name.clone() }).collect()
    }

    /// Where a store stands in the list.
    pub(crate) fn find(&self, id: &str) -> Option<usize> {
        self.stores.binary_search_by(|member| (*member.id).cmp(id)).ok()
    }
}

serde_value!(Members, |members: &Members| {
    let text = |member: &Member| member.id.len() + member.name.as_ref().map_or(0, |n| n.len());
    members.stores.iter().map(|m| size_of::<Member>() + 32 + text(m)).sum()
});

/// What was decided when the dataset was first seen. Kept apart from the list of stores, which comes and goes:
/// blocks once cut stay as they are, else nothing that is stored would be found again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cut {
    pub(crate) block_days: i32,
    pub(crate) product_metrics: bool,
    pub(crate) lines_per_product_figure: f64,
}

serde_value!(Cut, |_: &Cut| 0);

/// What the keys of the last run bore.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Shape(pub(crate) u64);

serde_value!(Shape, |_: &Shape| 0);

/// How often each store was asked for, with decay.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Heat(pub(crate) Vec<(Arc<str>, f64)>);

serde_value!(Heat, |heat: &Heat| heat.0.iter().map(|(id, _)| 40 + id.len()).sum());

fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), Error> {
    let bytes = postcard::to_stdvec(value)
        .map_err(|e| Error::new(ErrorKind::Format, "encoding a value").because(e))?;
    out.extend_from_slice(&bytes);
    Ok(())
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Error> {
    postcard::from_bytes(bytes)
        .map_err(|e| Error::new(ErrorKind::Format, "a stored value is not readable").because(e))
}

/// The body of an answer, as JSON and in the encodings it was asked for in.
#[derive(Debug)]
pub struct Body {
    /// The JSON text.
    pub json: Bytes,
    /// The sum of the digests of all partitions it was merged from.
    pub(crate) digest: u128,
    pub(crate) covered: u64,
    /// By encoding.
    encoded: [OnceLock<Encoded>; 3],
}

/// A body as it is sent.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The bytes.
    pub bytes: Bytes,
    /// 128 bits over them (XXH3): equal for equal bytes, for an entity tag.
    pub tag: u128,
}

impl Encoded {
    /// These bytes with their tag.
    pub fn new(bytes: impl Into<Bytes>) -> Encoded {
        let bytes = bytes.into();
        Encoded { tag: xxhash_rust::xxh3::xxh3_128(&bytes), bytes }
    }
}

/// A content encoding that bodies are kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Identity,
    /// `gzip` (RFC 1952).
    Gzip,
    /// `zstd` (RFC 8878).
    Zstd,
}

impl Body {
    pub(crate) fn new(json: Bytes, digest: u128, covered: u64) -> Self {
        Body { json, digest, covered, encoded: Default::default() }
    }

    /// The body in an encoding: made by `encode` the first time, kept after that.
    pub fn encoded(&self, encoding: Encoding, encode: impl FnOnce(&[u8]) -> Vec<u8>) -> Encoded {
        let kept = &self.encoded[encoding as usize];
        let make = || match encoding {
            Encoding::Identity => Encoded::new(self.json.clone()),
            Encoding::Gzip | Encoding::Zstd => Encoded::new(encode(&self.json)),
        };
        kept.get_or_init(make).clone()
    }
}

impl Value for Body {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        let json = zstd::bulk::compress(&self.json, 1)
            .map_err(|e| Error::new(ErrorKind::Format, "compressing a result").because(e))?;
        encode(&(self.digest, self.covered, json), out)
    }
    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let (digest, covered, json): (u128, u64, Vec<u8>) = decode(bytes)?;
        let json = zstd::stream::decode_all(json.as_slice()).map_err(|e| {
            Error::new(ErrorKind::Format, "a stored result is not readable").because(e)
        })?;
        Ok(Body::new(json.into(), digest, covered))
    }
    fn weight(&self) -> usize {
        // The encodings are made later; together they are smaller than the text.
        size_of::<Self>() + 2 * self.json.len()
    }
}
