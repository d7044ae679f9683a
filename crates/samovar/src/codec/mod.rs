//! How values become bytes that other programs can read: codecs, compression, and the frame around them.
//!
//! * [`Json`] and [`MessagePack`] make a [`crate::Value`] of any type that serde knows; a [`Codec`] of your own
//!   does the same for another encoding.
//! * [`CompressionPolicy`] says what is compressed, and how; it is kept only if it pays.
//! * A [`Payload`] is what tiers below memory are handed: encoded bytes, compressed once for all of them.
//! * A [`Frame`] carries a value with its stamps, tags and lifetime: what stands in Redis.
//!
//! Most programs need the first two alone: they name a type of value, and say in its cache's policy what is compressed.
//! Who writes a tier is handed payloads; who reads what stands in Redis from another Rust program decodes frames.
//!
//! ```
//! use samovar::codec::{Compression, CompressionPolicy, Json};
//! use samovar::{CachePolicy, Samovar, Settings};
//!
//! # let directory = tempfile::tempdir().unwrap();
//! # let data_dir = Some(directory.path().into());
//! # futures_executor::block_on(async {
//! let samovar = Samovar::open(Settings { data_dir, ..Settings::default() }).await?;
//! let compression = CompressionPolicy::by(Compression::Zstd);
//! let policy = CachePolicy { compression, ..CachePolicy::named("prices") };
//! let prices = samovar.cache::<Json<Vec<u64>>>(policy);
//! prices.get_or_load("2026", |_token| async { Ok(Json::new(vec![499; 1_000])) }).await?;
//! samovar.flush().await?; // to disk
//! assert!(samovar.counters().snapshot().sizes["prices"].saved() > 0.9);
//! # Ok::<(), samovar_core::Error>(())
//! # }).unwrap();
//! ```

mod coded;
mod compression;
mod frame;
mod json;
mod messagepack;
mod payload;

pub use coded::{Codec, Coded};
pub use compression::{Compression, CompressionPolicy, Sizes};
pub use frame::{Encoded, Frame, FrameError};
#[cfg(feature = "redis")]
pub(crate) use frame::{read_entry, write_entry};
pub use json::{Json, JsonCodec};
pub use messagepack::{MessagePack, MessagePackCodec};
pub use payload::{Packed, Packer, Payload};

use samovar_core::{Error, ErrorKind};

/// How the bytes of a value are encoded, as a frame tells it to readers that do not know the type.
///
/// Ids up to 127 are given by this project; those from 128 on are an application's own.
///
/// ```
/// use samovar::Value;
/// use samovar::codec::{CodecId, Json};
///
/// assert_eq!(<Json<u32> as Value>::CODEC, CodecId::JSON);
/// assert_eq!(<String as Value>::CODEC, CodecId::TEXT);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CodecId(pub u8);

impl CodecId {
    /// Bytes that only the application understands.
    ///
    /// ```
    /// # use samovar::Value;
    /// # use samovar::codec::CodecId;
    /// assert_eq!(<Vec<u8> as Value>::CODEC, CodecId::BYTES);
    /// ```
    pub const BYTES: CodecId = CodecId(0);
    /// UTF-8 text.
    ///
    /// ```
    /// # use samovar::codec::{CodecId, Payload};
    /// assert_eq!(Payload::new(CodecId::TEXT, "Tea").read::<String>()?, Some("Tea".to_owned()));
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    pub const TEXT: CodecId = CodecId(1);
    /// JSON (RFC 8259).
    ///
    /// ```
    /// # use samovar::codec::{CodecId, Json, Payload};
    /// assert_eq!(Payload::new(CodecId::JSON, "[499]").read::<Json<Vec<u64>>>()?, Some(Json::new(vec![499])));
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    pub const JSON: CodecId = CodecId(2);
    /// MessagePack.
    ///
    /// ```
    /// # use samovar::codec::{CodecId, MessagePack, Payload};
    /// let stored = Payload::new(CodecId::MESSAGE_PACK, b"\xcd\x01\xf3".as_slice());
    /// assert_eq!(stored.read::<MessagePack<u64>>()?, Some(MessagePack::new(499)));
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    pub const MESSAGE_PACK: CodecId = CodecId(3);
    /// Postcard 1.
    ///
    /// This crate stores nothing by it; a [`Codec`] of your own may.
    ///
    /// ```
    /// use std::io;
    ///
    /// use samovar::codec::{Codec, CodecId};
    /// use serde::{Serialize, de::DeserializeOwned};
    ///
    /// struct Postcard;
    ///
    /// impl Codec for Postcard {
    ///     const ID: CodecId = CodecId::POSTCARD;
    ///     const NAME: &'static str = "Postcard";
    ///
    ///     fn write<T: Serialize>(value: &T, out: &mut impl io::Write) -> io::Result<()> {
    ///         postcard::to_io(value, out).map(|_| ()).map_err(io::Error::other)
    ///     }
    ///     fn read<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    ///         match postcard::take_from_bytes(bytes).map_err(io::Error::other)? {
    ///             (value, []) => Ok(value),
    ///             _ => Err(io::Error::other("bytes follow the value")),
    ///         }
    ///     }
    /// }
    /// # use samovar::Value;
    /// # use samovar::codec::Coded;
    /// # let price: Coded<u64, Postcard> = Coded::new(499);
    /// # let mut out = Vec::new();
    /// # price.encode(&mut out).unwrap();
    /// # assert_eq!(out, [0xf3, 3]);
    /// # assert_eq!(Coded::<u64, Postcard>::decode(&out).unwrap(), price);
    /// # assert!(Coded::<u64, Postcard>::decode(&[0xf3, 3, 3]).is_err());
    /// ```
    pub const POSTCARD: CodecId = CodecId(4);

    /// What is said where another codec is expected.
    fn is_not(self, expected: CodecId) -> Error {
        let problem = format!(
            "the stored value is encoded by codec {}, where {} is expected",
            self.0, expected.0
        );
        Error::new(ErrorKind::Format, problem)
    }
}
