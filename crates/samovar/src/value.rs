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
///         size_of::<Name>() + self.0.capacity()
///     }
/// }
///
/// let mut bytes = Vec::new();
/// Name("Tea".to_owned()).encode(&mut bytes)?;
/// assert_eq!(Name::decode(&bytes)?.0, "Tea");
/// # Ok::<(), Error>(())
/// ```
///
/// Types that serde knows need none of this: see [`crate::codec::Json`] and [`crate::codec::MessagePack`].
pub trait Value: Send + Sync + Sized + 'static {
    /// What a [`crate::codec::Frame`] says of the stored form, for readers that do not know the type.
    ///
    /// ```
    /// # use samovar::Value;
    /// # use samovar::codec::{CodecId, CompressionPolicy, Packer};
    /// # use samovar_core::Error;
    /// struct Price(u64); // in cents
    ///
    /// impl Value for Price {
    ///     const CODEC: CodecId = CodecId::TEXT; // who looks into the file may print it
    ///     fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
    ///         out.extend_from_slice(self.0.to_string().as_bytes());
    ///         Ok(())
    ///     }
    /// #   fn decode(_: &[u8]) -> Result<Self, Error> {
    /// #       Ok(Price(0))
    /// #   }
    /// #   fn weight(&self) -> usize {
    /// #       8
    /// #   }
    /// }
    /// let stored = Packer::new(CompressionPolicy::default()).pack(&Price(1_250))?;
    /// assert_eq!(stored.codec(), Some(CodecId::TEXT));
    /// # Ok::<(), Error>(())
    /// ```
    const CODEC: CodecId = CodecId::BYTES;

    /// Appends the stored form to `out`.
    ///
    /// ```
    /// # use samovar::Value;
    /// let mut out = b"name=".to_vec();
    /// "Tea".to_owned().encode(&mut out)?;
    /// assert_eq!(out, b"name=Tea", "what stands there stays");
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the value has none, of whatever kind; it is then kept in memory alone, and a notice says why.
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error>;

    /// Reads what [`Value::encode`] wrote. The bytes are those that were written: the frame's checksum says so.
    ///
    /// ```
    /// # use samovar::Value;
    /// # use samovar_core::ErrorKind;
    /// assert_eq!(String::decode(b"Tea")?, "Tea");
    /// let foreign = String::decode(&[0xff]).unwrap_err();
    /// assert_eq!(foreign.kind(), ErrorKind::Format);
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// If another version of the program wrote something that this one does not understand, of kind
    /// [`samovar_core::ErrorKind::Format`] as a rule; the entry is then dropped, and a notice says so.
    fn decode(bytes: &[u8]) -> Result<Self, Error>;

    /// The bytes it occupies in memory, all that it owns included. Asked when it is put there: so much of the budget is
    /// taken from then on, beside key and overhead.
    ///
    /// ```
    /// # use samovar::Value;
    /// let mut name = String::with_capacity(1_000);
    /// name.push_str("Tea");
    /// assert!(name.weight() >= 1_000, "what it owns, used or not");
    /// ```
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
