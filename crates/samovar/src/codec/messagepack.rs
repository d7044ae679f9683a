//! Values as MessagePack.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Codec, CodecId, Coded};

/// Any type that serde knows as a [`crate::Value`], stored as MessagePack: smaller than JSON and faster to read, and
/// as widely known. Structs are maps with the names of their fields, so that a field can be added
/// (`#[serde(default)]`) or moved without losing what is stored.
///
/// ```
/// use samovar::Value;
/// use samovar::codec::MessagePack;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// struct Quote {
///     bid: f64,
///     ask: f64,
/// }
///
/// let quote = MessagePack::new(Quote { bid: 9.5, ask: 9.75 });
/// let mut bytes = Vec::new();
/// quote.encode(&mut bytes)?;
/// assert_eq!(bytes.len(), 27, "a map of two, two names of three letters, two doubles");
/// assert_eq!(MessagePack::<Quote>::decode(&bytes)?, quote);
/// # Ok::<(), samovar_core::Error>(())
/// ```
pub type MessagePack<T> = Coded<T, MessagePackCodec>;

/// The codec of [`MessagePack`].
///
/// ```
/// use samovar::codec::{Codec, MessagePackCodec};
///
/// let mut out = Vec::new();
/// MessagePackCodec::write(&("Tea", 499), &mut out)?;
/// assert_eq!(out, b"\x92\xa3Tea\xcd\x01\xf3", "a list of two: a text of three bytes, a number of two");
/// assert_eq!(MessagePackCodec::read::<(String, u64)>(&out)?, ("Tea".to_owned(), 499));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MessagePackCodec;

impl Codec for MessagePackCodec {
    const ID: CodecId = CodecId::MESSAGE_PACK;
    const NAME: &'static str = "MessagePack";

    fn write<T: Serialize>(value: &T, out: &mut impl io::Write) -> io::Result<()> {
        rmp_serde::encode::write_named(out, value).map_err(io::Error::other)
    }

    fn read<T: DeserializeOwned>(mut bytes: &[u8]) -> io::Result<T> {
        let value = rmp_serde::decode::from_read(&mut bytes).map_err(io::Error::other)?;
        match bytes {
            [] => Ok(value),
            rest => Err(io::Error::other(format!("{} bytes follow the value", rest.len()))),
        }
    }
}
