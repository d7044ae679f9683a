//! Values as JSON.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Codec, CodecId, Coded};

/// Any type that serde knows as a [`crate::Value`], stored as JSON: what other programs read without a schema.
/// (JSON knows neither NaN nor infinities: a number that is one is written as `null`, and does not come back.)
///
/// ```
/// use samovar::codec::Json;
/// use samovar::{CachePolicy, Samovar, Settings};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Product {
///     name: String,
///     cents: u64,
/// }
///
/// # futures_executor::block_on(async {
/// let samovar = Samovar::open(Settings::default()).await?;
/// let products = samovar.cache::<Json<Product>>(CachePolicy::named("product_info"));
/// let load = |_token| async { Ok(Json::new(Product { name: "Tea".into(), cents: 499 })) };
/// let answer = products.get_or_load("42", load).await?;
/// let tea = answer.value.expect("the shop has it");
/// assert_eq!(tea.name, "Tea");
/// # assert_eq!(tea.cents, 499);
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
pub type Json<T> = Coded<T, JsonCodec>;

/// The codec of [`Json`].
///
/// ```
/// use samovar::codec::{Codec, JsonCodec};
///
/// let mut out = Vec::new();
/// JsonCodec::write(&("Tea", 499), &mut out)?;
/// assert_eq!(out, br#"["Tea",499]"#);
/// assert_eq!(JsonCodec::read::<(String, u64)>(&out)?, ("Tea".to_owned(), 499));
/// assert!(JsonCodec::read::<(String, u64)>(br#"["Tea",499] and milk"#).is_err(), "it goes on after that");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct JsonCodec;

impl Codec for JsonCodec {
    const ID: CodecId = CodecId::JSON;
    const NAME: &'static str = "JSON";

    fn write<T: Serialize>(value: &T, out: &mut impl io::Write) -> io::Result<()> {
        Ok(serde_json::to_writer(out, value)?)
    }

    fn read<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
        Ok(serde_json::from_slice(bytes)?)
    }
}
