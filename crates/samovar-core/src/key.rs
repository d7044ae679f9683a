//! Keys: how a value is named, and how its name is written where it is stored.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Begins a stored id that says more than the key, and parts what it says. No prefix or version holds it.
const SIGN: char = '\0';

/// The name of a value: a cache and a key within it.
///
/// Callers, marks and rules speak of a value by its cache and its *id*. A cache that has a prefix of its own, or whose
/// keys bear a version, *stores* its values under ids that say so ([`Key::stored`]); nobody else needs to know: marks
/// cover a stored key by what it stands for, whatever its version.
///
/// ```
/// # use samovar_core::{Key, Scope, Tags};
/// let key = Key::new("product", "42");
/// assert_eq!(key.to_string(), "product:42");
///
/// // Its cache may store it under an id that says more: a mark on the key covers that too.
/// let stored = Key::new("product", &*Key::stored("shop:", "v2", "42"));
/// assert!(Scope::Key(key).covers(&stored, &Tags::NONE));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// The named cache.
    pub cache: Arc<str>,
    /// The key within it, as callers know it or as it is stored.
    pub id: Arc<str>,
}

impl Key {
    /// The key `id` of the cache `cache`.
    ///
    /// ```
    /// # use samovar_core::Key;
    /// let key = Key::new("product", 42.to_string());
    /// assert_eq!((&*key.cache, &*key.id), ("product", "42"));
    /// ```
    pub fn new(cache: impl Into<Arc<str>>, id: impl Into<Arc<str>>) -> Self {
        Key { cache: cache.into(), id: id.into() }
    }

    /// The id under which a value is stored, if its cache has a prefix of its own or its keys bear a version; each is
    /// empty where there is none, and holds no NUL.
    ///
    /// ```
    /// # use samovar_core::Key;
    /// let stored = Key::stored("shop:", "v2", "42");
    /// assert_eq!(Key::bare(&stored), "42");
    /// assert_eq!(Key::full("product", &stored), "shop:42@v2");
    /// assert_eq!(Key::stored("", "", "42"), "42");
    /// ```
    #[inline]
    pub fn stored<'a>(prefix: &str, version: &str, id: &'a str) -> Cow<'a, str> {
        // An id that looks like a stored one is written so that it is none.
        if prefix.is_empty() && version.is_empty() && !id.starts_with(SIGN) {
            return Cow::Borrowed(id);
        }
        Cow::Owned(Key::put_together(prefix, version, id))
    }

    fn put_together(prefix: &str, version: &str, id: &str) -> String {
        format!("{SIGN}{prefix}{SIGN}{version}{SIGN}{id}")
    }

    /// Prefix, version and key of a stored id.
    fn taken_apart(id: &str) -> (&str, &str, &str) {
        let parts = id.strip_prefix(SIGN).and_then(|rest| {
            let (prefix, rest) = rest.split_once(SIGN)?;
            let (version, bare) = rest.split_once(SIGN)?;
            Some((prefix, version, bare))
        });
        parts.unwrap_or(("", "", id))
    }

    /// The key within its cache as callers know it, of an id as it is stored.
    ///
    /// ```
    /// # use samovar_core::Key;
    /// assert_eq!(Key::bare(&Key::stored("shop:", "v2", "42")), "42");
    /// assert_eq!(Key::bare("42"), "42", "it stands for itself");
    /// ```
    pub fn bare(id: &str) -> &str {
        if id.starts_with(SIGN) { Key::taken_apart(id).2 } else { id }
    }

    /// The name that a [`crate::Pattern`] is compared with: a prefix that belongs to the cache, then the key within
    /// it, without its version. The prefix is the cache's own, else its name and a colon: so `product:*` covers the
    /// cache `product`.
    ///
    /// ```
    /// # use samovar_core::Key;
    /// assert_eq!(Key::addressed("product", "42"), "product:42");
    /// assert_eq!(Key::addressed("product", &Key::stored("shop:", "v2", "42")), "shop:42");
    /// ```
    pub fn addressed(cache: &str, id: &str) -> String {
        let (prefix, _, bare) = Key::taken_apart(id);
        if prefix.is_empty() { [cache, ":", bare].concat() } else { [prefix, bare].concat() }
    }

    /// The whole name, as people read it: as [`Key::addressed`], with its version behind it.
    ///
    /// ```
    /// # use samovar_core::Key;
    /// assert_eq!(Key::full("product", "42"), "product:42");
    /// assert_eq!(Key::full("product", &Key::stored("", "v2", "42")), "product:42@v2");
    /// ```
    pub fn full(cache: &str, id: &str) -> String {
        let mut name = Key::addressed(cache, id);
        let (_, version, _) = Key::taken_apart(id);
        if !version.is_empty() {
            name.push('@');
            name.push_str(version);
        }
        name
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Key::full(&self.cache, &self.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_looks_stored_is_none() {
        let odd = "\0shop:\0v2\x0042";
        let stored = Key::stored("", "", odd);
        assert_ne!(stored, odd);
        assert_eq!(Key::bare(&stored), odd);
        assert_eq!(Key::addressed("c", &stored), format!("c:{odd}"));
        assert_eq!(Key::bare("\0cut"), "\0cut", "what is no stored id stands for itself");
    }

    #[test]
    fn an_id_may_hold_anything() {
        for id in ["", "42", "a:b@v1", "é\0é"] {
            for (prefix, version) in [("", ""), ("p:", ""), ("", "7"), ("p:", "7")] {
                let stored = Key::stored(prefix, version, id);
                assert_eq!(Key::bare(&stored), id);
                assert_eq!(Key::taken_apart(&stored), (prefix, version, id));
            }
        }
    }
}
