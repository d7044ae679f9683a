//! What can be cached.

use samovar_core::Error;

use crate::codec::CodecId;

/// A value of a named cache: how it is written to disk, and how much memory it takes.
///
/// ```
/// use samovar::Value;
/// use samovar_core::{Error, ErrorKind};
///
/// struct Name(String);
///
/// impl Value for Name {
///     fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
///         out.extend_from_slice(self.0.as_bytes());
///         Ok(())
///     }
///     fn decode(bytes: &[u8]) -> Result<Self, Error> {
///         let text = std::str::from_utf8(bytes)
///             .map_err(|e| Error::new(ErrorKind::Format, "a name is not UTF-8").because(e))?;
///         Ok(Name(text.to_owned()))
///     }
///     fn weight(&self) -> usize {
///         self.0.len()
///     }
/// }
/// ```
///
/// Types that serde knows need none of this: see [`crate::codec::Json`] and [`crate::codec::MessagePack`].
pub trait Value: Send + Sync + Sized + 'static {
    /// What a [`crate::codec::Frame`] says of the stored form, for readers that do not know the type.
    const CODEC: CodecId = CodecId::BYTES;

    /// Appends the stored form to `out`.
    ///
    /// # Errors
    /// If the value has none; it is then kept in memory alone.
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error>;

    /// Reads what [`Value::encode`] wrote. The bytes are those that were written: the frame's checksum says so.
    ///
    /// # Errors
    /// If another version of the program wrote something that this one does not understand; the entry is
    /// then dropped.
    fn decode(bytes: &[u8]) -> Result<Self, Error>;

    /// The bytes it occupies in memory, all that it owns included.
    fn weight(&self) -> usize;
}

impl Value for String {
    const CODEC: CodecId = CodecId::TEXT;

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        out.extend_from_slice(self.as_bytes());
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let text = std::str::from_utf8(bytes).map_err(|e| {
            Error::new(samovar_core::ErrorKind::Format, "a stored text is not UTF-8").because(e)
        })?;
        Ok(text.to_owned())
    }

    fn weight(&self) -> usize {
        size_of::<String>() + self.capacity()
    }
}

impl Value for Vec<u8> {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        out.extend_from_slice(self);
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        Ok(bytes.to_vec())
    }

    fn weight(&self) -> usize {
        size_of::<Vec<u8>>() + self.capacity()
    }
}
