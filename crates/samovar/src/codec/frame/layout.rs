//! The bytes of a frame, as `docs/frame.md` describes them: a change here is a change there, and of the format.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use samovar_core::{
    Day, Epoch, Error, ErrorKind, Lifetime, Millis, Part, Parts, Span, Stamp, Tick, Version,
};

use super::{Frame, FrameError};
use crate::codec::{CodecId, Compression, Packed};

/// Begins with a byte that begins no text in UTF-8, so that no text is taken for a frame.
const MAGIC: [u8; 4] = *b"\x89SMV";
/// The fields before the first part.
const HEAD: usize = 48;
const PART: usize = 36;
const CHECKSUM: usize = 4;
/// In `flags`: the source has no value.
const ABSENT: u8 = 1;

/// What a frame says beside its value.
pub(super) struct Fields<'a> {
    pub(super) codec: CodecId,
    pub(super) parts: &'a [Part],
    pub(super) tags: &'a [Arc<str>],
    pub(super) created: Millis,
    pub(super) lifetime: Lifetime,
}

/// What was found in a frame, the value as it is stored.
pub(super) struct Stored {
    pub(super) codec: CodecId,
    pub(super) value: Option<Packed>,
    pub(super) parts: Parts,
    pub(super) tags: Vec<Arc<str>>,
    pub(super) created: Millis,
    pub(super) lifetime: Lifetime,
}

/// The frame's bytes around a value that is already compressed.
pub(super) fn write(
    frame: &Fields<'_>,
    name: &[u8],
    value: Option<&Packed>,
) -> Result<Vec<u8>, Error> {
    if frame.parts.is_empty() {
        return Err(Error::new(ErrorKind::Invalid, "a frame needs a part: when was it read?"));
    }
    let stores = Stores::of(frame.parts);
    let words = || stores.words.iter().copied().chain(frame.tags.iter().map(|tag| &**tag));
    let words_length: usize = words().map(|word| 2 + word.len()).sum();
    let offset = HEAD + PART * frame.parts.len() + words_length;
    let (flags, codec, compression, plain, stored) = match value {
        Some(value) => (0, frame.codec.0, value.compression, value.length, &value.bytes[..]),
        None => (ABSENT, 0, Compression::None, 0, &[][..]),
    };
    if plain > Frame::MAX_VALUE as u64 {
        let most = Frame::MAX_VALUE;
        let problem =
            format!("a value of {plain} bytes is too large to be shared: {most} are the most");
        return Err(Error::new(ErrorKind::Invalid, problem));
    }

    let mut out = Vec::with_capacity(offset + stored.len() + CHECKSUM);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[Frame::FORMAT, flags, codec, compression.id()]);
    out.extend_from_slice(&fits::<u32>(offset, "bytes before its value")?.to_le_bytes());
    // At most so many, as was just seen.
    out.extend_from_slice(&(plain as u32).to_le_bytes());
    out.extend_from_slice(&fits::<u32>(frame.parts.len(), "parts")?.to_le_bytes());
    out.extend_from_slice(&fits::<u16>(stores.words.len(), "stores")?.to_le_bytes());
    out.extend_from_slice(&fits::<u16>(frame.tags.len(), "tags")?.to_le_bytes());
    out.extend_from_slice(&frame.created.0.to_le_bytes());
    out.extend_from_slice(&millis(frame.lifetime.ttl).to_le_bytes());
    out.extend_from_slice(&millis(frame.lifetime.stale_window).to_le_bytes());
    for part in frame.parts {
        let Stamp { version, read_at, tick: _ } = part.stamp;
        out.extend_from_slice(&version.epoch.0.to_le_bytes());
        out.extend_from_slice(&version.seq.to_le_bytes());
        out.extend_from_slice(&read_at.0.to_le_bytes());
        let (store, from, to) = match &part.span {
            None => (0, 0, 0),
            Some(span) if span.from > span.to => {
                let problem = format!("a part ends on {}, before {}", span.to, span.from);
                return Err(Error::new(ErrorKind::Invalid, problem));
            }
            Some(span) => (stores.number(&span.store), span.from.0, span.to.0),
        };
        out.extend_from_slice(&store.to_le_bytes());
        out.extend_from_slice(&from.to_le_bytes());
        out.extend_from_slice(&to.to_le_bytes());
    }
    for word in words() {
        out.extend_from_slice(&fits::<u16>(word.len(), "bytes in a store or tag")?.to_le_bytes());
        out.extend_from_slice(word.as_bytes());
    }
    out.extend_from_slice(stored);
    let sum = checksum(name, &out);
    out.extend_from_slice(&sum.to_le_bytes());
    Ok(out)
}

/// The frame that these bytes are.
pub(super) fn read(name: &[u8], bytes: &Bytes) -> Result<Stored, FrameError> {
    let rest = bytes.strip_prefix(&MAGIC).ok_or(FrameError::Foreign)?;
    match rest.first() {
        Some(&Frame::FORMAT) => {}
        None | Some(0) => return Err(FrameError::Damaged("its format")),
        Some(&format) => return Err(FrameError::Newer { format }),
    }
    let (body, sum) = bytes.split_last_chunk().ok_or(FrameError::Damaged("its length"))?;
    if checksum(name, body) != u32::from_le_bytes(*sum) {
        return Err(FrameError::Damaged("its checksum"));
    }
    // From here on nothing is wrong, unless a writer was: these are checks of writers in other languages.
    let mut head = Reader { rest: &body[MAGIC.len() + 1..] };
    let [flags, codec, compression] = head.array()?;
    let offset = u32::from_le_bytes(head.array()?) as usize;
    let plain = u32::from_le_bytes(head.array()?) as usize;
    let parts = u32::from_le_bytes(head.array()?) as usize;
    let stores = usize::from(u16::from_le_bytes(head.array()?));
    let tags = usize::from(u16::from_le_bytes(head.array()?));
    let created = Millis(i64::from_le_bytes(head.array()?));
    let ttl = Duration::from_millis(u64::from_le_bytes(head.array()?));
    let stale_window = Duration::from_millis(u64::from_le_bytes(head.array()?));

    let length = offset.checked_sub(HEAD).filter(|length| *length <= head.rest.len());
    head.rest = &head.rest[..length.ok_or(FrameError::Damaged("where its value begins"))?];
    let rows = head.take(parts.saturating_mul(PART))?;
    let stores = head.words(stores)?;
    let tags = head.words(tags)?;
    if !head.rest.is_empty() {
        return Err(FrameError::Damaged("where its value begins"));
    }
    let parts = read_parts(rows, &stores)?;

    let stored = bytes.slice(offset..body.len());
    let compression =
        Compression::from_id(compression).ok_or(FrameError::Damaged("compression"))?;
    let value = match flags {
        0 => Some(packed(compression, stored, plain)?),
        ABSENT if (codec, compression, plain, stored.len()) == (0, Compression::None, 0, 0) => None,
        _ => return Err(FrameError::Damaged("its flags")),
    };
    let lifetime = Lifetime { ttl, stale_window };
    Ok(Stored { codec: CodecId(codec), value, parts, tags, created, lifetime })
}

fn read_parts(rows: &[u8], stores: &[Arc<str>]) -> Result<Parts, FrameError> {
    let part = |row: &[u8]| {
        let mut row = Reader { rest: row };
        let epoch = Epoch(u64::from_le_bytes(row.array()?));
        let seq = u64::from_le_bytes(row.array()?);
        let read_at = Millis(i64::from_le_bytes(row.array()?));
        let store = u32::from_le_bytes(row.array()?) as usize;
        let from = Day(i32::from_le_bytes(row.array()?));
        let to = Day(i32::from_le_bytes(row.array()?));
        let span = match store.checked_sub(1) {
            None if (from, to) == (Day(0), Day(0)) => None,
            Some(at) if from <= to => {
                let store = stores.get(at).ok_or(FrameError::Damaged("the store of a part"))?;
                Some(Span { store: Arc::clone(store), from, to })
            }
            _ => return Err(FrameError::Damaged("the days of a part")),
        };
        let stamp = Stamp { version: Version { epoch, seq }, tick: Tick(0), read_at };
        Ok(Part { span, stamp })
    };
    // Most have one.
    if rows.len() == PART {
        return Ok(Parts::from([part(rows)?]));
    }
    let parts: Parts = rows.chunks_exact(PART).map(part).collect::<Result<_, _>>()?;
    if parts.is_empty() { Err(FrameError::Damaged("it has no part")) } else { Ok(parts) }
}

fn packed(compression: Compression, stored: Bytes, plain: usize) -> Result<Packed, FrameError> {
    if plain > Frame::MAX_VALUE {
        return Err(FrameError::TooLarge { length: plain as u64 });
    }
    if compression == Compression::None && stored.len() != plain {
        return Err(FrameError::Damaged("its length"));
    }
    Ok(Packed { compression, length: plain as u64, bytes: stored })
}

/// CRC-32 of the name, then of all that stands before the checksum.
fn checksum(name: &[u8], body: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(name);
    sum.update(body);
    sum.finalize()
}

/// Whole milliseconds; what is longer than the field lasts as long as it can say.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn fits<T: TryFrom<usize>>(number: usize, of: &str) -> Result<T, Error> {
    T::try_from(number).map_err(|_| {
        let most = (1_u64 << (8 * size_of::<T>())) - 1;
        let problem = format!("a frame cannot have {number} {of}: {most} are the most");
        Error::new(ErrorKind::Invalid, problem)
    })
}

/// The stores that parts name, each once, in the order in which they come.
struct Stores<'a> {
    words: Vec<&'a str>,
    numbers: HashMap<&'a str, u32>,
}

impl<'a> Stores<'a> {
    fn of(parts: &'a [Part]) -> Stores<'a> {
        let mut stores = Stores { words: Vec::new(), numbers: HashMap::new() };
        for store in parts.iter().filter_map(|part| part.span.as_ref()).map(|span| &*span.store) {
            if !stores.numbers.contains_key(store) {
                stores.words.push(store);
                stores.numbers.insert(store, stores.words.len() as u32);
            }
        }
        stores
    }

    /// From 1; 0 for one that no part names.
    fn number(&self, store: &str) -> u32 {
        self.numbers.get(store).copied().unwrap_or(0)
    }
}

/// Takes bytes from the front.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (array, rest) =
            self.rest.split_first_chunk().ok_or(FrameError::Damaged("its length"))?;
        self.rest = rest;
        Ok(*array)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], FrameError> {
        let (taken, rest) =
            self.rest.split_at_checked(length).ok_or(FrameError::Damaged("its length"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn words(&mut self, count: usize) -> Result<Vec<Arc<str>>, FrameError> {
        let mut word = || {
            let length = u16::from_le_bytes(self.array()?);
            let bytes = self.take(usize::from(length))?;
            let text = std::str::from_utf8(bytes);
            text.map(Arc::from).map_err(|_| FrameError::Damaged("a store or tag is not UTF-8"))
        };
        (0..count).map(|_| word()).collect()
    }
}
