//! The named caches of a server.

mod document;
mod doors;
mod rows;
mod status;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use samovar::{Cache, Loaded, Samovar, Strategy};
use samovar_core::{BoxFuture, Error, Key, Mode, Part, Scope, Stamp, Version, Writer};

pub use document::Document;
pub(crate) use doors::{delete, get, get_many, put};
pub(crate) use rows::{Database, Late, RowWriter};
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
    /// Whether a document is put here alone: there is no database to write, and no strategy says otherwise.
    is_plain: bool,
}

/// What a cache has beside its entries.
#[derive(Default)]
pub struct Backing {
    /// Loads what is not there.
    pub loader: Option<Loader>,
    /// Writes what is put.
    pub writer: Option<Arc<dyn Writer<Document>>>,
}

impl From<Loader> for Backing {
    fn from(loader: Loader) -> Backing {
        Backing { loader: Some(loader), writer: None }
    }
}

impl Caches {
    /// The caches that a configuration names, with their entries in `samovar`, each with what `backing` gives for it.
    pub fn open(
        samovar: &Samovar,
        settings: &[CacheSettings],
        mut backing: impl FnMut(&CacheSettings) -> Backing,
    ) -> Caches {
        let named = settings.iter().map(|one| {
            let Backing { loader, writer } = backing(one);
            let is_plain = writer.is_none() && one.policy.strategy == Strategy::CacheAside;
            let cache = match writer {
                Some(writer) => samovar.cache_with_writer(one.policy.clone(), writer),
                None => samovar.cache(one.policy.clone()),
            };
            let named = Named { samovar: samovar.clone(), cache, loader, is_plain };
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
    /// Puts a document in place of what is there, by the cache's strategy. Returns when that is durable, with the version of
    /// its mark, if it has one yet.
    async fn put(&self, key: &str, document: Document) -> Result<Option<Version>, Error> {
        if !self.is_plain {
            return Ok(self.cache.write(key, document).await?.version);
        }
        let version = self.forget(key, "put").await?;
        let stamp = Stamp::new(self.cache.token(), self.samovar.clock().now());
        self.cache.put(key, document, Arc::from([Part { span: None, stamp }]));
        Ok(Some(version))
    }

    /// Takes away what is there, by the cache's strategy. Returns as [`Named::put`] does.
    async fn delete(&self, key: &str) -> Result<Option<Version>, Error> {
        if !self.is_plain {
            return Ok(self.cache.delete(key).await?.version);
        }
        let version = self.forget(key, "delete").await?;
        // Nobody would be given it any more; so its room is free at once, too.
        self.cache.remove(key).await;
        Ok(Some(version))
    }

    /// Whether what was put is kept, and not merely written to the database.
    fn keeps(&self) -> bool {
        self.is_plain || self.cache.policy().strategy != Strategy::CacheAside
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
