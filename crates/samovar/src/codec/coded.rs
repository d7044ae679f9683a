//! Values out of any type that serde knows.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::OnceLock;

use samovar_core::{Error, ErrorKind};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::CodecId;
use crate::value::Value;

/// An encoding for any type that serde knows.
///
/// ```
/// use std::io;
///
/// use samovar::codec::{Codec, CodecId, Coded};
/// use serde::{Serialize, de::DeserializeOwned};
///
/// /// JSON that people read.
/// struct Pretty;
///
/// impl Codec for Pretty {
///     const ID: CodecId = CodecId::JSON;
///     const NAME: &'static str = "JSON";
///
///     fn write<T: Serialize>(value: &T, out: &mut impl io::Write) -> io::Result<()> {
///         Ok(serde_json::to_writer_pretty(out, value)?)
///     }
///     fn read<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
///         Ok(serde_json::from_slice(bytes)?)
///     }
/// }
///
/// type PrettyJson<T> = Coded<T, Pretty>;
/// # use samovar::Value;
/// # let mut out = Vec::new();
/// # PrettyJson::new([1]).encode(&mut out).unwrap();
/// # assert_eq!(out, b"[\n  1\n]");
/// # assert_eq!(*PrettyJson::<[u8; 1]>::decode(&out).unwrap(), [1]);
/// ```
pub trait Codec: Send + Sync + 'static {
    /// What a frame calls it.
    const ID: CodecId;
    /// What messages call it.
    const NAME: &'static str;

    /// Writes the encoded form of a value.
    ///
    /// # Errors
    /// If it has none, or `out` fails.
    fn write<T: Serialize>(value: &T, out: &mut impl io::Write) -> io::Result<()>;

    /// Reads exactly what [`Codec::write`] wrote.
    ///
    /// # Errors
    /// If the bytes are no `T`, or go on after it.
    fn read<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T>;
}

/// A value of any type that serde knows, stored by a codec: see [`super::Json`] and [`super::MessagePack`]. It
/// dereferences to the value.
///
/// Its weight is an **estimate**, the struct itself and twice its encoded length, since serde cannot tell what a
/// value owns on the heap. It errs on the heavy side for one record, and comes near for lists of records of numbers
/// and short texts. Types whose memory is far from that (sparse tables, maps of tiny values) are better off with a
/// [`Value`] of their own. The length is noted when the value is encoded or decoded; else it is counted
/// once, at the cost of an encoding that is thrown away.
///
/// ```
/// use samovar::Value;
/// use samovar::codec::{Coded, JsonCodec};
///
/// let prices: Coded<Vec<u64>, JsonCodec> = Coded::new(vec![499, 450]);
/// assert_eq!(prices.len(), 2, "it dereferences to the list");
///
/// let mut stored = Vec::new();
/// prices.encode(&mut stored)?;
/// assert_eq!(stored, b"[499,450]");
/// assert_eq!(prices.weight(), size_of_val(&prices) + 2 * stored.len());
/// # Ok::<(), samovar_core::Error>(())
/// ```
pub struct Coded<T, C> {
    value: T,
    length: OnceLock<usize>,
    codec: PhantomData<fn() -> C>,
}

impl<T, C> Coded<T, C> {
    /// Wraps a value.
    ///
    /// ```
    /// # use samovar::codec::Json;
    /// let price: Json<u64> = Json::new(499);
    /// assert_eq!(*price, 499);
    /// assert_eq!(price, 499.into(), "`from` does the same");
    /// ```
    pub fn new(value: T) -> Self {
        Coded { value, length: OnceLock::new(), codec: PhantomData }
    }

    /// The value itself.
    ///
    /// ```
    /// # use samovar::Value;
    /// # use samovar::codec::Json;
    /// let names = Json::<Vec<String>>::decode(br#"["Tea","Milk"]"#)?;
    /// let names: Vec<String> = names.into_inner();
    /// assert_eq!(names, ["Tea", "Milk"]);
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T, C> Value for Coded<T, C>
where
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
    C: Codec,
{
    const CODEC: CodecId = C::ID;

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        let before = out.len();
        C::write(&self.value, out).map_err(|e| {
            out.truncate(before);
            let problem = format!("a {} has no {}", std::any::type_name::<T>(), C::NAME);
            Error::new(ErrorKind::Invalid, problem).because(e)
        })?;
        self.length.get_or_init(|| out.len() - before);
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let value = C::read(bytes).map_err(|e| {
            let problem = format!("the stored {} is no {}", C::NAME, std::any::type_name::<T>());
            Error::new(ErrorKind::Format, problem).because(e)
        })?;
        Ok(Coded { value, length: OnceLock::from(bytes.len()), codec: PhantomData })
    }

    fn weight(&self) -> usize {
        let length = self.length.get_or_init(|| {
            let mut counter = Counter(0);
            // What cannot be encoded is kept in memory alone, and weighs as far as it could be.
            let _ = C::write(&self.value, &mut counter);
            counter.0
        });
        size_of::<Self>() + 2 * length
    }
}

/// Counts what is written to it.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<T, C> Deref for Coded<T, C> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T, C> From<T> for Coded<T, C> {
    fn from(value: T) -> Self {
        Coded::new(value)
    }
}

impl<T: Clone, C> Clone for Coded<T, C> {
    fn clone(&self) -> Self {
        Coded { value: self.value.clone(), length: self.length.clone(), codec: PhantomData }
    }
}

impl<T: PartialEq, C> PartialEq for Coded<T, C> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq, C> Eq for Coded<T, C> {}

impl<T: fmt::Debug, C> fmt::Debug for Coded<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
