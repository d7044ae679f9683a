//! The bytes of a journal. Numbers are little-endian.
//!
//! | at | header | |
//! |---|---|---|
//! | 0 | magic | `samovarJ` |
//! | 8 | format | u32, 1 |
//! | 12 | kind | 8 bytes: what its records are |
//! | 20 | node | u64 |
//! | 28 | next | u64: lesser numbers have been given |
//! | 36 | salt | u64, random for each file |
//! | 44 | checksum | CRC-32 of what stands before it |
//!
//! Then frames: a sign, the length of the body and a checksum, each u32; then the body, which is records: number, the
//! number of the record that is released, each u64, and 0 if none; the length of the bytes, u32, and the bytes. The
//! checksum covers the salt, where the frame stands, the length and the body: so nothing that is stored in a record can
//! be taken for a frame. Zeros at the end are room for more.

use std::ops::Range;

/// The first bytes of any journal.
pub(super) const MAGIC: &[u8; 8] = b"samovarJ";
/// The format that this program writes.
pub(super) const FORMAT: u32 = 1;
/// The bytes of the header.
pub(super) const HEADER: usize = 48;
/// The bytes of a record beside its own.
pub(super) const RECORD: usize = 20;
/// The most bytes of one record.
pub(super) const LARGEST: usize = 64 << 20;
const SIGN: [u8; 4] = *b"\xf5jrn";
/// The bytes of a frame before its body.
const FRAME: usize = 12;

/// What a journal says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: [u8; 8],
    pub(super) node: u64,
    pub(super) next: u64,
    pub(super) salt: u64,
}

/// Why a header cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is no journal.
    Foreign,
    /// It is one of another format.
    Format(u32),
    /// It is one of something else.
    Kind,
    /// It is not as it was written.
    Damaged,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.kind);
        bytes[20..28].copy_from_slice(&self.node.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.next.to_le_bytes());
        bytes[36..44].copy_from_slice(&self.salt.to_le_bytes());
        let sum = crc32fast::hash(&bytes[..44]);
        bytes[44..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8], kind: [u8; 8]) -> Result<Header, Unread> {
        let begins = bytes.len().min(MAGIC.len());
        if bytes[..begins] != MAGIC[..begins] {
            return Err(Unread::Foreign);
        }
        let format = number(bytes, 8).ok_or(Unread::Damaged)?;
        if format != FORMAT {
            return Err(Unread::Format(format));
        }
        let (head, sum) = (bytes.get(..44), number(bytes, 44));
        if head.map(crc32fast::hash) != sum || sum.is_none() {
            return Err(Unread::Damaged);
        }
        if bytes[12..20] != kind {
            return Err(Unread::Kind);
        }
        let wide = |at| wide(bytes, at).ok_or(Unread::Damaged);
        Ok(Header { kind, node: wide(20)?, next: wide(28)?, salt: wide(36)? })
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn wide(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A frame that is being made.
#[derive(Debug)]
pub(super) struct Frame(Vec<u8>);

impl Default for Frame {
    fn default() -> Frame {
        let mut bytes = SIGN.to_vec();
        bytes.resize(FRAME, 0);
        Frame(bytes)
    }
}

impl Frame {
    /// Whether it has no record.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == FRAME
    }

    /// How many bytes it takes.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// A record; 0 as its number if it does no more than release another. Where its bytes will stand in the frame.
    pub(super) fn record(&mut self, number: u64, released: u64, bytes: &[u8]) -> usize {
        self.0.extend_from_slice(&number.to_le_bytes());
        self.0.extend_from_slice(&released.to_le_bytes());
        // Who appends has seen to it that it is at most `LARGEST`.
        self.0.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.0.extend_from_slice(bytes);
        self.0.len() - bytes.len()
    }

    /// The whole of it, as it stands at `at` in the file with this salt.
    pub(super) fn seal(mut self, salt: u64, at: u64) -> Vec<u8> {
        let length = (self.0.len() - FRAME) as u32;
        self.0[4..8].copy_from_slice(&length.to_le_bytes());
        let sum = checksum(salt, at, &self.0[FRAME..]);
        self.0[8..12].copy_from_slice(&sum.to_le_bytes());
        self.0
    }
}

fn checksum(salt: u64, at: u64, body: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&salt.to_le_bytes());
    sum.update(&at.to_le_bytes());
    sum.update(&(body.len() as u64).to_le_bytes());
    sum.update(body);
    sum.finalize()
}

/// A record as it stands in a file: its number, the one it releases, and where its bytes are.
pub(super) type Found = (u64, u64, Range<usize>);

/// What was found behind the header.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) records: Vec<Found>,
    /// What is no frame, with frames behind it.
    pub(super) damaged: Vec<Range<usize>>,
    /// How many bytes at the end are no frame.
    pub(super) cut: usize,
}

/// Reads the frames of a whole file.
pub(super) fn scan(file: &[u8], salt: u64) -> Scan {
    let mut found = Scan::default();
    let (mut at, mut from) = (HEADER.min(file.len()), None);
    let room = file.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    while at < room {
        let Some(body) = frame(file, at, salt) else {
            from.get_or_insert(at);
            at += 1;
            continue;
        };
        if let Some(from) = from.take() {
            found.damaged.push(from..at);
        }
        at = body.end;
        found.records.extend(records(file, body));
    }
    found.cut = from.map_or(0, |from| room - from);
    found
}

/// The body of the frame that stands at a place, if one does.
pub(super) fn frame(file: &[u8], at: usize, salt: u64) -> Option<Range<usize>> {
    if !file[at..].starts_with(&SIGN) {
        return None;
    }
    let begins = at + FRAME;
    let ends = begins.checked_add(usize::try_from(number(file, at + 4)?).ok()?)?;
    let body = file.get(begins..ends)?;
    (number(file, at + 8)? == checksum(salt, at as u64, body)).then_some(begins..ends)
}

fn records(file: &[u8], body: Range<usize>) -> Vec<Found> {
    let mut records = Vec::new();
    let mut at = body.start;
    while let Some(length) = number(&file[..body.end], at + 16) {
        let begins = at + RECORD;
        let ends = begins + length as usize;
        let (Some(own), Some(released)) = (wide(file, at), wide(file, at + 8)) else { break };
        if ends > body.end {
            break;
        }
        records.push((own, released, begins..ends));
        at = ends;
    }
    records
}
