//! How values become bytes that other programs can read: codecs, compression, and the frame around them.
//!
//! * [`Json`] and [`MessagePack`] make a [`crate::Value`] of any type that serde knows; a [`Codec`] of your own
//!   does the same for another encoding.
//! * [`CompressionPolicy`] says what is compressed, and how; it is kept only if it pays.
//! * A [`Payload`] is what tiers below memory are handed: encoded bytes, compressed once for all of them.
//! * A [`Frame`] carries a value with its stamps, tags and lifetime. `docs/frame.md` describes its layout.

mod coded;
mod compression;
mod frame;
mod json;
mod messagepack;
mod payload;

pub use coded::{Codec, Coded};
pub use compression::{Compression, CompressionPolicy, Sizes};
pub use frame::{Encoded, Frame, FrameError};
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
    pub const BYTES: CodecId = CodecId(0);
    /// UTF-8 text.
    pub const TEXT: CodecId = CodecId(1);
    /// JSON (RFC 8259).
    pub const JSON: CodecId = CodecId(2);
    /// MessagePack.
    pub const MESSAGE_PACK: CodecId = CodecId(3);
    /// Postcard 1.
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
