//! What a named cache holds: JSON as it was given.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use samovar::Value;
use samovar::codec::CodecId;
use samovar_core::Error;
use samovar_levels::Encoded;
use serde_json::Value as Json;
use serde_json::value::RawValue;

/// A JSON document, byte for byte: so no digit of a number is lost, and what is read need not be written anew.
///
/// ```
/// # use samovar_server::Document;
/// let tea = Document::from(&serde_json::json!({"name": "Tea"}));
/// assert_eq!(format!("{tea:?}"), r#"{"name":"Tea"}"#);
/// ```
#[derive(Clone)]
pub struct Document(Encoded);

impl Document {
    /// These bytes, if they are one JSON document.
    ///
    /// # Errors
    /// What is wrong with them, and where.
    ///
    /// ```
    /// # use samovar_server::Document;
    /// let tea = Document::read(b"{\"name\": \"Tea\", \"price\": 4.990}".to_vec())?;
    /// assert_eq!(&tea.bytes()[..], b"{\"name\": \"Tea\", \"price\": 4.990}");
    /// assert!(Document::read(b"tea".to_vec()).is_err());
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn read(bytes: impl Into<Bytes>) -> Result<Document, serde_json::Error> {
        let bytes = bytes.into();
        // Read whole, so that whoever reads it later can, too: no number too great, nothing nested too deep.
        serde_json::from_slice::<Json>(&bytes)?;
        Ok(Document(Encoded::new(bytes)))
    }

    /// Its bytes.
    ///
    /// ```
    /// # use samovar_server::Document;
    /// let price = Document::read("4.990")?;
    /// assert_eq!(&price.bytes()[..], b"4.990", "no digit is lost");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// Its text, every digit of it.
    pub(crate) fn json(&self) -> Cow<'_, RawValue> {
        // It was read when it was made, or was put by such a one; what another program put there and is none is `null`.
        match serde_json::from_slice(self.bytes()) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(RawValue::NULL.to_owned()),
        }
    }

    /// What it says; numbers as near as a float comes.
    pub(crate) fn value(&self) -> Json {
        // As above.
        serde_json::from_slice(self.bytes()).unwrap_or_default()
    }

    /// 128 bits over its bytes.
    pub(crate) fn tag(&self) -> u128 {
        self.0.tag
    }
}

impl From<&Json> for Document {
    fn from(json: &Json) -> Document {
        Document(Encoded::new(json.to_string()))
    }
}

impl Value for Document {
    const CODEC: CodecId = CodecId::JSON;

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        out.extend_from_slice(self.bytes());
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        Ok(Document(Encoded::new(bytes.to_vec())))
    }

    fn weight(&self) -> usize {
        size_of::<Document>() + self.bytes().len()
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.bytes()))
    }
}
