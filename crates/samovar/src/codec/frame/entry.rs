//! Entries as frames, for tiers that other programs may read.

use bytes::Bytes;
use samovar_core::{Entry, Error, Millis, Tags};

use super::FrameError;
use super::layout::{self, Fields, Stored};
use crate::codec::{CodecId, Payload};

/// The frame of an entry, to be stored under `name`.
///
/// # Errors
/// As [`super::Frame::encode`].
pub(crate) fn write_entry(
    name: &[u8],
    entry: &Entry<Payload>,
    created: Millis,
) -> Result<Vec<u8>, Error> {
    let fields = Fields {
        // Who stored it elsewhere may not have said: then it is for the application to know.
        codec: entry.value.codec().unwrap_or(CodecId::BYTES),
        parts: &entry.parts,
        tags: &entry.tags,
        created,
        lifetime: entry.lifetime,
    };
    layout::write(&fields, name, entry.value.packed()?.as_ref())
}

/// The entry whose frame stands under `name`. Its value is decompressed when it is read.
///
/// # Errors
/// As [`super::Frame::decode`]; also if its tags are none that an entry can bear.
pub(crate) fn read_entry(name: &[u8], bytes: &Bytes) -> Result<Entry<Payload>, FrameError> {
    let Stored { codec, value, parts, tags, lifetime, .. } = layout::read(name, bytes)?;
    let value = match value {
        Some(packed) => Payload::stored(Some(codec), packed),
        None => Payload::absent(),
    };
    let tags = Tags::new(tags).map_err(|_| FrameError::Damaged("its tags"))?;
    Ok(Entry { value, parts, tags, lifetime })
}
