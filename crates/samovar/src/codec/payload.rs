//! Values as tiers below memory are handed them.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;
use samovar_core::{Error, ErrorKind};

use super::{CodecId, Compression, CompressionPolicy, Sizes};
use crate::value::Value;

/// A value as tiers below memory are handed it and give it back: its encoded bytes and by which codec, or that the
/// source has no such value. Cheap to clone.
///
/// It is compressed when the first tier asks for the bytes to be stored, by the policy of its cache, and for all of
/// them once; what a tier gives back is decompressed when somebody reads it.
///
/// ```
/// use samovar::codec::{Compression, CompressionPolicy, Packer, Payload};
///
/// let packer = Packer::new(CompressionPolicy::by(Compression::Lz4));
/// let payload = packer.pack(&"tea ".repeat(1_000))?;
/// let stored = payload.packed()?.expect("there is a value");
/// assert!(stored.bytes.len() < 200 && stored.length == 4_000);
/// assert_eq!(payload.read::<String>()?, Some("tea ".repeat(1_000)));
/// assert_eq!(packer.sizes().compressed, 1);
///
/// let none = Payload::absent();
/// assert_eq!(none.read::<String>()?, None);
/// # Ok::<(), samovar_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Payload {
    codec: Option<CodecId>,
    /// `None`: the source has no such value.
    held: Option<Arc<Held>>,
}

/// A value's bytes, in one form at first and in both once both were asked for.
struct Held {
    plain: OnceLock<Bytes>,
    /// The lock is held while it is compressed: so it happens once.
    packed: Mutex<Option<Packed>>,
    /// `None`: it came packed.
    packer: Option<Packer>,
    size: usize,
}

/// A value's bytes as they are stored.
///
/// ```
/// use samovar::codec::{CodecId, Compression, CompressionPolicy, Packer, Payload};
///
/// let packer = Packer::new(CompressionPolicy::by(Compression::Lz4));
/// let packed = packer.pack(&"tea ".repeat(1_000))?.packed()?.expect("there is a value");
/// assert_eq!((packed.compression, packed.length), (Compression::Lz4, 4_000));
/// assert!(packed.bytes.len() < 200);
///
/// // What is handed over without a policy is stored as it is.
/// let plain = Payload::new(CodecId::TEXT, "Tea").packed()?.expect("there is a value");
/// assert_eq!((plain.compression, plain.length, &*plain.bytes), (Compression::None, 3, b"Tea".as_slice()));
/// # Ok::<(), samovar_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// How they are compressed.
    pub compression: Compression,
    /// How many they were before compression.
    pub length: u64,
    /// The bytes.
    pub bytes: Bytes,
}

/// How the values of one cache are compressed, and what it came to. Clones count together.
///
/// For who writes a tier or tests one: a cache has its own, by the policy that its user chose.
///
/// ```
/// use samovar::codec::{Compression, CompressionPolicy, Packer};
///
/// let packer = Packer::new(CompressionPolicy::by(Compression::Zstd));
/// let payload = packer.clone().pack(&"tea ".repeat(1_000))?;
/// assert_eq!(packer.sizes().values, 0, "no tier has stored it yet");
/// payload.packed()?;
/// payload.packed()?; // as a second tier does
/// assert_eq!((packer.sizes().values, packer.sizes().plain), (1, 4_000));
/// # Ok::<(), samovar_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Packer {
    policy: CompressionPolicy,
    sizes: Arc<Mutex<Sizes>>,
}

impl Packer {
    /// Compresses by a policy.
    ///
    /// ```
    /// # use samovar::codec::{Compression, CompressionPolicy, Packer};
    /// let eager = CompressionPolicy { threshold: 0, least_saving: 0.0, ..CompressionPolicy::by(Compression::Gzip) };
    /// let packed = Packer::new(eager).pack(&"t".repeat(100))?.packed()?.expect("there is a value");
    /// assert_eq!(packed.compression, Compression::Gzip);
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    pub fn new(policy: CompressionPolicy) -> Packer {
        Packer { policy, sizes: Arc::default() }
    }

    /// The same, adding up where others do.
    pub(crate) fn counting(policy: CompressionPolicy, sizes: Arc<Mutex<Sizes>>) -> Packer {
        Packer { policy, sizes }
    }

    /// Encodes a value. It is compressed when a tier stores it.
    ///
    /// ```
    /// # use samovar::codec::{CodecId, Json, Packer};
    /// let payload = Packer::default().pack(&Json::new(vec![499, 450]))?;
    /// assert_eq!(payload.codec(), Some(CodecId::JSON));
    /// assert_eq!(payload.bytes()?.as_deref(), Some(b"[499,450]".as_slice()));
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// What [`Value::encode`] says if it has no stored form; of kind [`ErrorKind::Invalid`] by the codecs of this
    /// crate.
    pub fn pack<V: Value>(&self, value: &V) -> Result<Payload, Error> {
        let mut bytes = Vec::new();
        value.encode(&mut bytes)?;
        Ok(Payload::held(Some(V::CODEC), bytes.into(), self.clone()))
    }

    /// The values that were stored so far, before and after compression.
    ///
    /// ```
    /// # use samovar::codec::{Compression, CompressionPolicy, Packer};
    /// let packer = Packer::new(CompressionPolicy::by(Compression::Lz4));
    /// for name in ["Tea".to_owned(), "tea ".repeat(1_000)] {
    ///     packer.pack(&name)?.packed()?;
    /// }
    /// let sizes = packer.sizes();
    /// assert_eq!((sizes.values, sizes.compressed, sizes.plain), (2, 1, 4_003));
    /// assert!(sizes.saved() > 0.9);
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    pub fn sizes(&self) -> Sizes {
        *self.sizes.lock()
    }
}

impl Payload {
    /// Encoded bytes that are to be stored as they are.
    ///
    /// ```
    /// # use samovar::codec::{CodecId, Json, Payload};
    /// let price = Payload::new(CodecId::JSON, "499");
    /// assert_eq!(price.read::<Json<u64>>()?, Some(Json::new(499)));
    /// assert_eq!(price.packed()?.map(|packed| packed.bytes), price.bytes()?, "as they are");
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    pub fn new(codec: CodecId, bytes: impl Into<Bytes>) -> Payload {
        Payload::held(Some(codec), bytes.into(), Packer::default())
    }

    /// The source has no such value.
    ///
    /// ```
    /// # use samovar::codec::{CodecId, Payload};
    /// let absent = Payload::absent();
    /// assert_eq!(absent.read::<String>()?, None);
    /// let empty = Payload::new(CodecId::TEXT, "");
    /// assert_eq!(empty.read::<String>()?, Some(String::new()), "an empty value is something else");
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    pub fn absent() -> Payload {
        Payload { codec: None, held: None }
    }

    fn held(codec: Option<CodecId>, plain: Bytes, packer: Packer) -> Payload {
        let size = plain.len();
        let (plain, packed) = (plain.into(), Mutex::default());
        let held = Held { plain, packed, packer: Some(packer), size };
        Payload { codec, held: Some(Arc::new(held)) }
    }

    /// What a tier has stored. Without a codec it is taken for what its reader expects.
    pub(crate) fn stored(codec: Option<CodecId>, packed: Packed) -> Payload {
        let size = packed.bytes.len();
        let plain = match packed.compression {
            Compression::None => packed.bytes.clone().into(),
            _ => OnceLock::new(),
        };
        let held = Held { plain, packed: Mutex::new(Some(packed)), packer: None, size };
        Payload { codec, held: Some(Arc::new(held)) }
    }

    /// By which codec it is encoded; `None` if there is no value, or who stored it did not say.
    ///
    /// ```
    /// # use samovar::codec::{CodecId, Payload};
    /// assert_eq!(Payload::new(CodecId::JSON, "499").codec(), Some(CodecId::JSON));
    /// assert_eq!(Payload::absent().codec(), None);
    /// ```
    pub fn codec(&self) -> Option<CodecId> {
        self.codec
    }

    /// Whether the source has no such value, and this is what is remembered.
    ///
    /// ```
    /// # use samovar::codec::{CodecId, Payload};
    /// assert!(Payload::absent().is_absent());
    /// assert!(!Payload::new(CodecId::TEXT, "").is_absent());
    /// ```
    pub fn is_absent(&self) -> bool {
        self.held.is_none()
    }

    /// The bytes by which tiers count what they keep in their queues: those it had when it was made.
    ///
    /// ```
    /// # use samovar::codec::{Compression, CompressionPolicy, Packer, Payload};
    /// let payload = Packer::new(CompressionPolicy::by(Compression::Lz4)).pack(&"tea ".repeat(1_000))?;
    /// payload.packed()?;
    /// assert_eq!(payload.size(), 4_000, "though it has become smaller since");
    /// assert_eq!(Payload::absent().size(), 0);
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    pub fn size(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.size)
    }

    /// The encoded bytes; `None` if the source has no such value.
    ///
    /// ```
    /// # use samovar::codec::{CodecId, Payload};
    /// assert_eq!(Payload::new(CodecId::TEXT, "Tea").bytes()?.as_deref(), Some(b"Tea".as_slice()));
    /// assert_eq!(Payload::absent().bytes()?, None);
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Format`] if what was stored cannot be decompressed.
    pub fn bytes(&self) -> Result<Option<Bytes>, Error> {
        let Some(held) = &self.held else { return Ok(None) };
        if let Some(plain) = held.plain.get() {
            return Ok(Some(plain.clone()));
        }
        let packed = held.packed.lock().clone();
        // One of the two is always there.
        let Some(packed) = packed else { return Ok(None) };
        let plain = packed.unpack()?;
        Ok(Some(held.plain.get_or_init(|| plain).clone()))
    }

    /// The bytes to be stored; `None` if the source has no such value.
    ///
    /// ```
    /// # use samovar::codec::{Compression, CompressionPolicy, Packer};
    /// let payload = Packer::new(CompressionPolicy::by(Compression::Zstd)).pack(&"tea ".repeat(1_000))?;
    /// let redis = payload.packed()?.expect("there is a value");
    /// let disk = payload.clone().packed()?.expect("there is a value");
    /// assert_eq!(redis.bytes.as_ptr(), disk.bytes.as_ptr(), "it was compressed once");
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Storage`] if the compressor fails, as for want of memory.
    pub fn packed(&self) -> Result<Option<Packed>, Error> {
        let Some(held) = &self.held else { return Ok(None) };
        let mut packed = held.packed.lock();
        if let Some(packed) = &*packed {
            return Ok(Some(packed.clone()));
        }
        let (Some(plain), Some(packer)) = (held.plain.get(), &held.packer) else {
            return Ok(None);
        };
        let made = Packed::by(&packer.policy, plain)?;
        *packer.sizes.lock() += made.sizes();
        *packed = Some(made.clone());
        Ok(Some(made))
    }

    /// The value as the type that it was made of; `None` if the source has none.
    ///
    /// ```
    /// # use samovar::codec::{CodecId, Json, Payload};
    /// # use samovar_core::ErrorKind;
    /// let price = Payload::new(CodecId::JSON, "499");
    /// assert_eq!(price.read::<Json<u64>>()?, Some(Json::new(499)));
    /// assert_eq!(price.read::<String>().unwrap_err().kind(), ErrorKind::Format, "another codec");
    /// assert_eq!(price.read::<Json<String>>().unwrap_err().kind(), ErrorKind::Format, "another type");
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Format`] if it was encoded by another codec than `V`'s, or is no `V`.
    pub fn read<V: Value>(&self) -> Result<Option<V>, Error> {
        let Some(bytes) = self.bytes()? else { return Ok(None) };
        match self.codec {
            Some(codec) if codec != V::CODEC => Err(codec.is_not(V::CODEC)),
            _ => V::decode(&bytes).map(Some),
        }
    }
}

impl Packed {
    /// As a policy has it. What is not compressed shares its bytes.
    pub(super) fn by(policy: &CompressionPolicy, plain: &Bytes) -> Result<Packed, Error> {
        let (compression, stored) = policy.compress(plain)?;
        let bytes = match compression {
            Compression::None => plain.clone(),
            _ => Bytes::from(stored.into_owned()),
        };
        Ok(Packed { compression, length: plain.len() as u64, bytes })
    }

    pub(super) fn unpack(&self) -> Result<Bytes, Error> {
        if self.compression == Compression::None {
            return Ok(self.bytes.clone());
        }
        let damaged = || {
            let problem = format!(
                "{} stored bytes are no {} bytes by {}",
                self.bytes.len(),
                self.length,
                self.compression
            );
            Error::new(ErrorKind::Format, problem)
        };
        let length = usize::try_from(self.length).map_err(|_| damaged())?;
        let plain = self.compression.decompress(&self.bytes, length);
        plain.map(Bytes::from).map_err(|e| damaged().because(e))
    }

    /// To be added up.
    pub(super) fn sizes(&self) -> Sizes {
        Sizes {
            values: 1,
            compressed: u64::from(self.compression != Compression::None),
            plain: self.length,
            stored: self.bytes.len() as u64,
        }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload")
            .field("codec", &self.codec)
            .field("absent", &self.is_absent())
            .field("size", &self.size())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_compressed_once_and_read_either_way() {
        let packer = Packer::new(CompressionPolicy::by(Compression::Zstd));
        let text = "tea ".repeat(1_000);
        let payload = packer.pack(&text).unwrap();
        assert_eq!(packer.sizes(), Sizes::default(), "nobody has stored it");
        let packed = payload.packed().unwrap().unwrap();
        assert_eq!(
            payload.clone().packed().unwrap().unwrap().bytes.as_ptr(),
            packed.bytes.as_ptr()
        );
        let sizes = packer.sizes();
        assert_eq!((sizes.values, sizes.compressed, sizes.plain), (1, 1, 4_000));
        assert_eq!(sizes.stored, packed.bytes.len() as u64);

        let stored = Payload::stored(Some(CodecId::TEXT), packed.clone());
        assert_eq!(stored.size(), packed.bytes.len());
        assert_eq!(stored.read::<String>().unwrap(), Some(text));
        assert_eq!(stored.packed().unwrap().unwrap(), packed, "handed on as it came");
        let error = stored.read::<Vec<u8>>().unwrap_err();
        assert!(error.to_string().contains("codec 1, where 0 is expected"), "{error}");
        assert!(Payload::stored(None, packed).read::<Vec<u8>>().is_ok(), "nobody said what it is");
    }

    #[test]
    fn what_cannot_be_decompressed_is_an_error() {
        let bytes = Bytes::from_static(b"no zstd");
        let packed = Packed { compression: Compression::Zstd, length: 12, bytes };
        let error = Payload::stored(Some(CodecId::TEXT), packed).read::<String>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format);
        assert!(error.to_string().contains("7 stored bytes are no 12 bytes by zstd"), "{error}");
    }

    #[test]
    fn that_there_is_no_value_is_something_else_than_an_empty_one() {
        let none = Payload::absent();
        assert!(none.is_absent() && none.packed().unwrap().is_none());
        let empty = Payload::new(CodecId::TEXT, "");
        assert!(!empty.is_absent());
        assert_eq!(empty.packed().unwrap().unwrap().length, 0);
        assert_eq!(empty.read::<String>().unwrap(), Some(String::new()));
    }
}
