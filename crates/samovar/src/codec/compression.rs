//! Compression of stored values: by which method, from which size on, and whether it pays.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read, Write};
use std::ops::{AddAssign, RangeInclusive};
use std::str::FromStr;

use samovar_core::{Error, ErrorKind};

/// A method of compression.
///
/// ```
/// use samovar::codec::Compression;
///
/// assert_eq!("zstd".parse::<Compression>()?, Compression::Zstd);
/// let error = "brotli".parse::<Compression>().unwrap_err();
/// assert_eq!(error.to_string(), "`brotli` is no compression: it is none, gzip, lz4 or zstd");
/// # Ok::<(), samovar_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// As it is.
    #[default]
    None,
    /// Gzip (RFC 1952): what every program can read; slowest.
    Gzip,
    /// LZ4 blocks: fastest, and least saved.
    Lz4,
    /// Zstandard (RFC 8878): most saved for its time.
    Zstd,
}

impl Compression {
    /// All of them, each at the place of its id.
    ///
    /// ```
    /// use samovar::codec::Compression;
    ///
    /// assert_eq!(Compression::ALL.map(Compression::as_str).join(", "), "none, gzip, lz4, zstd");
    /// ```
    pub const ALL: [Compression; 4] =
        [Compression::None, Compression::Gzip, Compression::Lz4, Compression::Zstd];

    /// The name as people write it.
    ///
    /// ```
    /// use samovar::codec::Compression;
    ///
    /// for method in Compression::ALL {
    ///     assert_eq!(method.as_str().parse::<Compression>()?, method, "what is written is read");
    /// }
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }

    /// The levels that it has; `None` if there is nothing to choose.
    ///
    /// ```
    /// use samovar::codec::Compression;
    ///
    /// assert_eq!(Compression::Gzip.levels(), Some(1..=9));
    /// assert_eq!(Compression::Lz4.levels(), None);
    /// ```
    pub fn levels(self) -> Option<RangeInclusive<i32>> {
        match self {
            Compression::None | Compression::Lz4 => None,
            Compression::Gzip => Some(1..=9),
            // Those above need hundreds of megabytes.
            Compression::Zstd => Some(1..=19),
        }
    }

    /// What a frame calls it.
    pub(crate) fn id(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_id(id: u8) -> Option<Compression> {
        Compression::ALL.get(usize::from(id)).copied()
    }

    /// The most bytes that a byte can come to. So a length that is claimed is known to be false before
    /// anything is allotted for it.
    fn most(self) -> usize {
        match self {
            Compression::None => 1,
            // <https://zlib.net/zlib_tech.html>
            Compression::Gzip => 1_032,
            // A length goes on by bytes worth up to 255 (<https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md>).
            Compression::Lz4 => 255,
            // A block of 4 bytes that repeats one of them makes no more than 128 KiB (RFC 8878, 3.1.1.2).
            Compression::Zstd => 32_768,
        }
    }

    fn compress(self, plain: &[u8], level: Option<i32>) -> io::Result<Vec<u8>> {
        let level =
            self.levels().zip(level).map(|(all, level)| level.clamp(*all.start(), *all.end()));
        match self {
            Compression::None => Ok(plain.to_vec()),
            Compression::Gzip => {
                let level = level.map_or(flate2::Compression::default(), |level| {
                    flate2::Compression::new(level.unsigned_abs())
                });
                let mut out = flate2::write::GzEncoder::new(Vec::new(), level);
                out.write_all(plain)?;
                out.finish()
            }
            Compression::Lz4 => Ok(lz4_flex::block::compress(plain)),
            Compression::Zstd => {
                zstd::bulk::compress(plain, level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL))
            }
        }
    }

    /// The `length` bytes that were compressed. Allots no more than those, and only if so few can come to so many.
    pub(super) fn decompress(self, stored: &[u8], length: usize) -> io::Result<Vec<u8>> {
        let damaged = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
        if length > stored.len().saturating_mul(self.most()) {
            return Err(damaged("so few bytes cannot come to so many"));
        }
        let plain = match self {
            Compression::None => stored.to_vec(),
            Compression::Gzip => {
                let mut plain = Vec::with_capacity(length);
                let mut from = flate2::bufread::GzDecoder::new(stored);
                // One more, to see whether there is more.
                from.by_ref().take(length as u64 + 1).read_to_end(&mut plain)?;
                if !from.into_inner().is_empty() {
                    return Err(damaged("it goes on after its end"));
                }
                plain
            }
            Compression::Lz4 => {
                let mut plain = vec![0; length];
                let found = lz4_flex::block::decompress_into(stored, &mut plain)
                    .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
                plain.truncate(found);
                plain
            }
            Compression::Zstd => zstd::bulk::decompress(stored, length)?,
        };
        if plain.len() == length { Ok(plain) } else { Err(damaged("it is not as long as it says")) }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Compression {
    type Err = Error;

    fn from_str(text: &str) -> Result<Compression, Error> {
        Compression::ALL.into_iter().find(|one| one.as_str() == text).ok_or_else(|| {
            let problem = format!("`{text}` is no compression: it is none, gzip, lz4 or zstd");
            Error::new(ErrorKind::Invalid, problem)
        })
    }
}

/// What is compressed, and how.
///
/// ```
/// use samovar::codec::{Compression, CompressionPolicy, Packer};
///
/// let zstd = CompressionPolicy { level: Some(9), threshold: 100, ..CompressionPolicy::by(Compression::Zstd) };
/// for (policy, compressed) in [(zstd, 1), (CompressionPolicy::default(), 0)] {
///     let packer = Packer::new(policy);
///     packer.pack(&"tea ".repeat(50))?.packed()?;
///     packer.pack(&"Tea".to_owned())?.packed()?; // which is too small
///     assert_eq!(packer.sizes().compressed, compressed);
/// }
/// # Ok::<(), samovar_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CompressionPolicy {
    /// By which method.
    pub method: Compression,
    /// One of its [`Compression::levels`], higher is smaller and slower; the nearest of them is used. `None`: its
    /// own default (gzip 6, zstd 3).
    pub level: Option<i32>,
    /// Values of fewer bytes are left as they are.
    pub threshold: usize,
    /// The share of its bytes that must be saved, or the value is left as it is, since every read pays for it;
    /// 0 to 1.
    pub least_saving: f64,
}

impl CompressionPolicy {
    /// The default policy by a method: from 1 KiB on, if a tenth is saved.
    ///
    /// ```
    /// use samovar::codec::{Compression, CompressionPolicy, Packer};
    ///
    /// let packer = Packer::new(CompressionPolicy::by(Compression::Zstd));
    /// packer.pack(&"t".repeat(1_023))?.packed()?;
    /// assert_eq!(packer.sizes().compressed, 0, "it is too small");
    /// packer.pack(&"t".repeat(1_024))?.packed()?;
    /// assert_eq!(packer.sizes().compressed, 1);
    /// # Ok::<(), samovar_core::Error>(())
    /// ```
    pub fn by(method: Compression) -> CompressionPolicy {
        CompressionPolicy { method, level: None, threshold: 1_024, least_saving: 0.1 }
    }

    /// The value as it is to be stored.
    ///
    /// # Errors
    /// If the compressor fails, as for want of memory.
    pub(super) fn compress<'a>(
        &self,
        plain: &'a [u8],
    ) -> Result<(Compression, Cow<'a, [u8]>), Error> {
        let as_it_is = Ok((Compression::None, Cow::Borrowed(plain)));
        if self.method == Compression::None || plain.len() < self.threshold {
            return as_it_is;
        }
        let packed = self.method.compress(plain, self.level).map_err(|e| {
            let problem =
                format!("{} bytes could not be compressed by {}", plain.len(), self.method);
            Error::new(ErrorKind::Storage, problem).because(e)
        })?;
        let most = plain.len() as f64 * (1.0 - self.least_saving.clamp(0.0, 1.0));
        if packed.len() as f64 <= most {
            return Ok((self.method, Cow::Owned(packed)));
        }
        as_it_is
    }
}

impl Default for CompressionPolicy {
    /// Nothing is compressed.
    fn default() -> Self {
        CompressionPolicy::by(Compression::None)
    }
}

/// Bytes of values before and after compression, to be added up.
///
/// ```
/// use samovar::codec::Sizes;
///
/// let mut all = Sizes::default();
/// all += Sizes { values: 1, compressed: 1, plain: 3_000, stored: 1_000 };
/// all += Sizes { values: 1, compressed: 0, plain: 500, stored: 500 };
/// assert_eq!((all.values, all.compressed), (2, 1));
/// assert_eq!(all.saved(), 2_000.0 / 3_500.0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// How many values.
    pub values: u64,
    /// How many of them are stored compressed.
    pub compressed: u64,
    /// Their bytes before.
    pub plain: u64,
    /// Their bytes as stored.
    pub stored: u64,
}

impl Sizes {
    /// The share of the bytes that is saved: 0 if nothing is, also where there are none.
    ///
    /// ```
    /// use samovar::codec::Sizes;
    ///
    /// let prices = Sizes { values: 10, compressed: 8, plain: 4_000, stored: 1_000 };
    /// assert_eq!(prices.saved(), 0.75);
    /// assert_eq!(Sizes::default().saved(), 0.0, "there is nothing to save");
    /// ```
    pub fn saved(&self) -> f64 {
        match self.plain {
            0 => 0.0,
            plain => 1.0 - self.stored as f64 / plain as f64,
        }
    }
}

impl AddAssign for Sizes {
    fn add_assign(&mut self, other: Sizes) {
        self.values += other.values;
        self.compressed += other.compressed;
        self.plain += other.plain;
        self.stored += other.stored;
    }
}

#[cfg(test)]
mod tests;
