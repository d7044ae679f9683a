//! Where a page ended.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

/// Where a page ended: what was asked, how many rows were told, and the digest of what they were made from. Opaque
/// text over HTTP. It bears no version: equal data give equal pages, and so equal cursors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Over the question.
    pub(crate) question: u64,
    /// Rows told so far.
    pub(crate) offset: u64,
    pub(crate) digest: u128,
}

/// Differs whenever cursors are written otherwise.
const FORMAT: u8 = 1;

/// The text is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![FORMAT];
        bytes.extend(self.question.to_le_bytes());
        bytes.extend(self.digest.to_le_bytes());
        bytes.extend(self.offset.to_le_bytes());
        f.write_str(&BASE64.encode(bytes))
    }
}

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Cursor, NoCursor> {
        let bytes = BASE64.decode(text).map_err(|_| NoCursor)?;
        let Some(([FORMAT], rest)) = bytes.split_first_chunk() else { return Err(NoCursor) };
        let (question, rest) = rest.split_first_chunk().ok_or(NoCursor)?;
        let (digest, rest) = rest.split_first_chunk().ok_or(NoCursor)?;
        Ok(Cursor {
            question: u64::from_le_bytes(*question),
            digest: u128::from_le_bytes(*digest),
            offset: u64::from_le_bytes(rest.try_into().map_err(|_| NoCursor)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let cursor = Cursor { question: 7, offset: u64::MAX, digest: 1 << 100 };
        let text = cursor.to_string();
        assert_eq!(text.parse(), Ok(cursor));
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        for wrong in
            ["", "AQ", "next", &text[..40], &format!("{text}AAAA"), &format!("Z{}", &text[1..])]
        {
            assert_eq!(wrong.parse::<Cursor>(), Err(NoCursor), "{wrong}");
        }
    }
}
