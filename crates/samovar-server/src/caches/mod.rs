//! The named caches of a server.

mod document;
mod doors;
mod status;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use samovar::{Cache, Loaded, Samovar};
use samovar_core::{BoxFuture, Error, Key, Mode, Part, Scope, Stamp, Version};

pub use document::Document;
pub(crate) use doors::{delete, get, get_many, put};
pub(crate) use status::{CACHE_STATUS, level as level_status};

use crate::error::Refusal;
use crate::settings::CacheSettings;

/// Loads documents of one cache by their keys: one for each key that has one.
pub type Loader = Arc<
    dyn Fn(Vec<Arc<str>>) -> BoxFuture<'static, Result<Vec<(Arc<str>, Loaded<Document>)>, Error>>
        + Send
        + Sync,
>;

/// The named caches of a server. Cheap to clone.
#[derive(Clone, Default)]
pub struct Caches(Arc<BTreeMap<Arc<str>, Named>>);

/// A named cache.
#[derive(Clone)]
pub(crate) struct Named {
    samovar: Samovar,
    cache: Cache<Document>,
    loader: Option<Loader>,
}

impl Caches {
    /// The caches that a configuration names, with their entries in `samovar`. What one of them has not is loaded by what
    /// `loader` gives for it, if it gives anything.
    pub fn open(
        samovar: &Samovar,
        settings: &[CacheSettings],
        loader: impl Fn(&CacheSettings) -> Option<Loader>,
    ) -> Caches {
        let named = settings.iter().map(|one| {
            let cache = samovar.cache(one.policy.clone());
            let named = Named { samovar: samovar.clone(), cache, loader: loader(one) };
            (Arc::clone(&one.policy.name), named)
        });
        Caches(Arc::new(named.collect()))
    }

    /// Their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|name| &**name)
    }

    pub(crate) fn of(&self, name: &str) -> Result<&Named, Refusal> {
        self.0.get(name).ok_or_else(|| Refusal::no_cache(name, self.names()))
    }
}

impl Named {
    /// Puts a document in place of what is there, here and on every node. Returns when that is durable.
    async fn put(&self, key: &str, document: Document) -> Result<Version, Error> {
        let version = self.forget(key, "put").await?;
        let stamp = Stamp::new(self.cache.token(), self.samovar.clock().now());
        self.cache.put(key, document, Arc::from([Part { span: None, stamp }]));
        Ok(version)
    }

    /// Takes away what is there, here and on every node. Returns when that is durable.
    async fn delete(&self, key: &str) -> Result<Version, Error> {
        let version = self.forget(key, "delete").await?;
        // Nobody would be given it any more; so its room is free at once, too.
        self.cache.remove(key).await;
        Ok(version)
    }

    async fn forget(&self, key: &str, reason: &str) -> Result<Version, Error> {
        let scope = Scope::Key(Key::new(Arc::clone(&self.cache.policy().name), key));
        self.samovar.mark(vec![scope], Mode::Remove, reason).await
    }
}

impl fmt::Debug for Caches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
