//! Under which ids a cache stores its values.

use std::borrow::Cow;
use std::time::Duration;

use samovar_core::{Key, Millis};

use crate::policy::{CachePolicy, KeyVersion};

/// How the ids of a cache are written where they are stored.
#[derive(Clone, Debug)]
pub(super) struct Naming {
    /// Empty: the cache's name and a colon.
    prefix: Box<str>,
    version: KeyVersion,
}

impl Naming {
    pub(super) fn new(policy: &CachePolicy) -> Naming {
        // A name that could be taken for another's would slip past marks.
        let clean = |text: &str| text.replace('\0', "");
        let own = policy.key_prefix.as_deref().map(clean).unwrap_or_default();
        let is_default = own.strip_suffix(':') == Some(&*policy.name);
        let version = match &policy.version {
            KeyVersion::Schema(version) => KeyVersion::Schema(clean(version).into()),
            version => version.clone(),
        };
        Naming { prefix: if is_default { "".into() } else { own.into() }, version }
    }

    /// The id under which a key is stored at `now`. Takes no memory for a cache that has neither prefix nor version.
    #[inline]
    pub(super) fn stored<'a>(&self, id: &'a str, now: Millis) -> Cow<'a, str> {
        match &self.version {
            KeyVersion::None => Key::stored(&self.prefix, "", id),
            KeyVersion::Schema(version) => Key::stored(&self.prefix, version, id),
            KeyVersion::Period(period) => self.stored_in(*period, id, now),
        }
    }

    fn stored_in<'a>(&self, period: Duration, id: &'a str, now: Millis) -> Cow<'a, str> {
        let millis = i64::try_from(period.as_millis()).unwrap_or(i64::MAX).max(1);
        Key::stored(&self.prefix, &now.0.div_euclid(millis).to_string(), id)
    }
}
