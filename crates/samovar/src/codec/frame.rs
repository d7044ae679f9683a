//! The frame in which a value stands where other programs can read it.

#[cfg(feature = "redis")]
mod entry;
mod error;
mod layout;

use std::sync::Arc;

use bytes::Bytes;
use samovar_core::{Error, Lifetime, Millis, Parts};

#[cfg(feature = "redis")]
pub(crate) use entry::{read_entry, write_entry};
pub use error::FrameError;

use layout::Fields;

use super::{CodecId, CompressionPolicy, Packed, Sizes};
use crate::value::Value;

/// A value with all that decides whether it may be served, as one run of bytes: a head that begins with `89 53 4d 56`
/// and the format, the parts, the tags, the value, and the CRC-32 of the name and all of it. The project's
/// `docs/frame.md` describes each byte, for programs in any language.
///
/// A frame is bound to the *name* under which it stands, in Redis its key: read under another one, as after a mix-up
/// of answers or a rename, it counts as damaged. Durations are kept in whole milliseconds.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use bytes::Bytes;
/// use samovar::codec::{CodecId, Compression, CompressionPolicy, Frame, FrameError};
/// use samovar_core::{Entry, Epoch, Lifetime, Millis, Stamp, Tick, Version};
///
/// let lifetime =
///     Lifetime { ttl: Duration::from_secs(60), stale_window: Duration::from_secs(3_600) };
/// let version = Version { epoch: Epoch(7), seq: 42 };
/// let stamp = Stamp { version, tick: Tick(0), read_at: Millis(1_790_000_000_000) };
/// let entry = Entry::whole(Bytes::from("tea ".repeat(1_000)), stamp, lifetime);
///
/// let frame = Frame {
///     codec: CodecId::TEXT,
///     value: Some(entry.value),
///     parts: entry.parts,
///     tags: Arc::from([Arc::from("category:tea")]),
///     created: Millis(1_790_000_000_250),
///     lifetime: entry.lifetime,
/// };
/// let encoded = frame.encode(b"product_info:42", &CompressionPolicy::by(Compression::Lz4))?;
/// assert!(encoded.bytes.len() < 200 && encoded.sizes.compressed == 1);
///
/// let found = Frame::decode(b"product_info:42", &encoded.bytes)?;
/// assert_eq!(found, frame);
/// assert_eq!(found.read::<String>()?, Some("tea ".repeat(1_000)));
///
/// let elsewhere = Frame::decode(b"product_info:43", &encoded.bytes);
/// assert!(matches!(elsewhere, Err(FrameError::Damaged(_))));
/// # Ok::<(), samovar_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// How the value's bytes are encoded: [`Value::CODEC`]. Of no meaning, and 0 when decoded, where there is none.
    pub codec: CodecId,
    /// The value, at most [`Frame::MAX_VALUE`] bytes; `None`: the source has none, and this is what is remembered.
    pub value: Option<Bytes>,
    /// When it was read: one or more. Ticks mean nothing elsewhere: they are left out, and 0 when decoded.
    pub parts: Parts,
    /// The tags by which marks may cover it.
    pub tags: Arc<[Arc<str>]>,
    /// Wall clock when the frame was made; for people.
    pub created: Millis,
    /// How long its parts may be served, from when each was read.
    pub lifetime: Lifetime,
}

/// A frame as bytes.
///
/// ```
/// # use samovar::codec::{CodecId, Compression, CompressionPolicy, Frame, Sizes};
/// # use samovar_core::{Entry, Epoch, Lifetime, Millis, Stamp, Tick, Version};
/// # let version = Version { epoch: Epoch(7), seq: 42 };
/// # let stamp = Stamp { version, tick: Tick(0), read_at: Millis(0) };
/// # let lifetime = Lifetime { ttl: Default::default(), stale_window: Default::default() };
/// # let Entry { parts, .. } = Entry::whole((), stamp, lifetime);
/// # let value = Some("tea ".repeat(1_000).into());
/// # let frame =
/// #     Frame { codec: CodecId::TEXT, value, parts, tags: [].into(), created: Millis(0), lifetime };
/// let mut all = Sizes::default();
/// for name in ["names:42", "names:43"] {
///     let encoded = frame.encode(name.as_bytes(), &CompressionPolicy::by(Compression::Zstd))?;
///     assert!(encoded.bytes.len() > encoded.sizes.stored as usize, "the value, and what is around it");
///     all += encoded.sizes;
/// }
/// assert_eq!((all.values, all.plain), (2, 8_000));
/// # Ok::<(), samovar_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// To be stored as they are.
    pub bytes: Bytes,
    /// What compression came to, to be added up.
    pub sizes: Sizes,
}

impl Frame {
    /// The format that is written, and the newest that is read.
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use samovar::codec::{Frame, FrameError};
    /// // What the next version of the program might write.
    /// let newer = Bytes::from([b"\x89SMV".as_slice(), &[Frame::FORMAT + 1], &[0; 80]].concat());
    /// let error = Frame::decode(b"names:42", &newer).unwrap_err();
    /// assert_eq!(error, FrameError::Newer { format: Frame::FORMAT + 1 });
    /// ```
    pub const FORMAT: u8 = 1;

    /// The most bytes that a value may have before compression, 256 MiB: half of what Redis takes as one string,
    /// so that the frame fits as well.
    ///
    /// ```
    /// # use samovar::codec::{CodecId, CompressionPolicy, Frame};
    /// # use samovar_core::{Entry, Epoch, ErrorKind, Lifetime, Millis, Stamp, Tick, Version};
    /// # let version = Version { epoch: Epoch(7), seq: 42 };
    /// # let stamp = Stamp { version, tick: Tick(0), read_at: Millis(0) };
    /// # let lifetime = Lifetime { ttl: Default::default(), stale_window: Default::default() };
    /// # let Entry { parts, .. } = Entry::whole((), stamp, lifetime);
    /// # let (codec, tags, created) = (CodecId::BYTES, [].into(), Millis(0));
    /// let value = Some(vec![0; Frame::MAX_VALUE + 1].into());
    /// let frame = Frame { codec, value, parts, tags, created, lifetime };
    /// let error = frame.encode(b"photos:42", &CompressionPolicy::default()).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Invalid);
    /// assert!(error.to_string().contains("268435456 are the most"));
    /// ```
    pub const MAX_VALUE: usize = 256 << 20;

    /// The bytes to be stored under `name`.
    ///
    /// ```
    /// # use samovar::codec::{CodecId, CompressionPolicy, Frame};
    /// # use samovar_core::{Entry, Epoch, ErrorKind, Lifetime, Millis, Stamp, Tick, Version};
    /// # let version = Version { epoch: Epoch(7), seq: 42 };
    /// # let stamp = Stamp { version, tick: Tick(0), read_at: Millis(0) };
    /// # let lifetime = Lifetime { ttl: Default::default(), stale_window: Default::default() };
    /// # let Entry { parts, .. } = Entry::whole((), stamp, lifetime);
    /// # let (codec, tags, created) = (CodecId::TEXT, [].into(), Millis(0));
    /// let frame = Frame { codec, value: Some("Tea".into()), parts, tags, created, lifetime };
    /// let encoded = frame.encode(b"names:42", &CompressionPolicy::default())?;
    /// assert!(encoded.bytes.starts_with(b"\x89SMV") && encoded.bytes.windows(3).any(|bytes| bytes == b"Tea"));
    ///
    /// let without_parts = Frame { parts: [].into(), ..frame };
    /// let error = without_parts.encode(b"names:42", &CompressionPolicy::default()).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Invalid);
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// Of kind [`samovar_core::ErrorKind::Invalid`] if something is larger than the layout allows: a value of more than
    /// [`Frame::MAX_VALUE`] bytes, a tag or the name of a store of more than 65,535 bytes, or more than so many of
    /// them; or if there is no part, or one that ends before it begins.
    pub fn encode(&self, name: &[u8], policy: &CompressionPolicy) -> Result<Encoded, Error> {
        // What is too large is not worth the trouble: it will be refused.
        let policy = match &self.value {
            Some(plain) if plain.len() > Frame::MAX_VALUE => &CompressionPolicy::default(),
            _ => policy,
        };
        let packed = self.value.as_ref().map(|plain| Packed::by(policy, plain)).transpose()?;
        let fields = Fields {
            codec: self.codec,
            parts: &self.parts,
            tags: &self.tags,
            created: self.created,
            lifetime: self.lifetime,
        };
        let bytes = layout::write(&fields, name, packed.as_ref())?;
        let sizes = packed.as_ref().map(Packed::sizes).unwrap_or_default();
        Ok(Encoded { bytes: Bytes::from(bytes), sizes })
    }

    /// Reads what stands under `name`. Never panics, and allots nothing that the bytes cannot come to; a value that
    /// is not compressed shares them.
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use samovar::codec::{CodecId, CompressionPolicy, Encoded, Frame, FrameError};
    /// # use samovar_core::{Entry, Epoch, Lifetime, Millis, Stamp, Tick, Version};
    /// # let version = Version { epoch: Epoch(7), seq: 42 };
    /// # let stamp = Stamp { version, tick: Tick(0), read_at: Millis(0) };
    /// # let lifetime = Lifetime { ttl: Default::default(), stale_window: Default::default() };
    /// # let Entry { parts, .. } = Entry::whole((), stamp, lifetime);
    /// # let (codec, value, tags, created) = (CodecId::TEXT, Some("Tea".into()), [].into(), Millis(0));
    /// let frame = Frame { codec, value, parts, tags, created, lifetime };
    /// let Encoded { bytes, .. } = frame.encode(b"names:42", &CompressionPolicy::default())?;
    /// assert_eq!(Frame::decode(b"names:42", &bytes)?, frame);
    ///
    /// let mut cut = bytes.to_vec();
    /// cut.truncate(60);
    /// assert!(matches!(Frame::decode(b"names:42", &cut.into()), Err(FrameError::Damaged(_))));
    /// assert_eq!(Frame::decode(b"names:42", &Bytes::from("Tea")), Err(FrameError::Foreign));
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`FrameError`] says which: they are not a frame, are of a newer format, claim too large a value, or are not what
    /// was written under this name.
    pub fn decode(name: &[u8], bytes: &Bytes) -> Result<Frame, FrameError> {
        let found = layout::read(name, bytes)?;
        let unpack = |packed: Packed| {
            packed.unpack().map_err(|_| FrameError::Damaged("its compressed value"))
        };
        Ok(Frame {
            codec: found.codec,
            value: found.value.map(unpack).transpose()?,
            parts: found.parts,
            tags: found.tags.into(),
            created: found.created,
            lifetime: found.lifetime,
        })
    }

    /// The value as the type that it was made of; `None` if the source has none.
    ///
    /// ```
    /// # use samovar::codec::{CodecId, Frame, Json};
    /// # use samovar_core::{Entry, Epoch, ErrorKind, Lifetime, Millis, Stamp, Tick, Version};
    /// # let version = Version { epoch: Epoch(7), seq: 42 };
    /// # let stamp = Stamp { version, tick: Tick(0), read_at: Millis(0) };
    /// # let lifetime = Lifetime { ttl: Default::default(), stale_window: Default::default() };
    /// # let Entry { parts, .. } = Entry::whole((), stamp, lifetime);
    /// # let (tags, created) = ([].into(), Millis(0));
    /// let (codec, value) = (CodecId::JSON, Some("499".into()));
    /// let frame = Frame { codec, value, parts, tags, created, lifetime };
    /// assert_eq!(frame.read::<Json<u64>>()?, Some(Json::new(499)));
    /// assert_eq!(frame.read::<String>().unwrap_err().kind(), ErrorKind::Format, "it is no plain text");
    /// assert_eq!(Frame { value: None, ..frame }.read::<Json<u64>>()?, None);
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// Of kind [`samovar_core::ErrorKind::Format`] if it was encoded by another codec than `V`'s, or is no `V`.
    pub fn read<V: Value>(&self) -> Result<Option<V>, Error> {
        let Some(bytes) = &self.value else { return Ok(None) };
        if self.codec != V::CODEC {
            return Err(self.codec.is_not(V::CODEC));
        }
        V::decode(bytes).map(Some)
    }
}
