//! The named caches of a server.

mod document;
mod doors;
mod many;
mod rows;
mod status;
mod tags;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use samovar::{Cache, Loaded, Samovar, Strategy, WriteOptions};
use samovar_core::{BoxFuture, Error, Tags, Version, Writer};

pub use document::Document;
pub(crate) use doors::{delete, get, put};
pub(crate) use many::get_many;
pub(crate) use rows::{Database, RowWriter};
pub(crate) use status::{CACHE_STATUS, level as level_status};
pub use tags::TagPattern;
pub(crate) use tags::{LONGEST_TAG, tags_of};

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
    /// What its documents bear.
    tags: Vec<TagPattern>,
}

/// What a cache has beside its entries.
#[derive(Default)]
pub struct Backing {
    /// Loads what is not there, with the tags that it bears: [`CacheSettings::tags`] are for what is put.
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
            let mut policy = one.policy.clone();
            let cache = match writer {
                Some(writer) => samovar.cache_with_writer(policy, writer),
                None => {
                    // What is put has no other place: it is in every tier before the answer.
                    if policy.strategy == Strategy::CacheAside {
                        policy.strategy = Strategy::WriteThrough;
                    }
                    samovar.cache(policy)
                }
            };
            let named = Named { samovar: samovar.clone(), cache, loader, tags: one.tags.clone() };
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
    /// its mark, if it has one yet. It bears these tags beside those that its fields tell.
    async fn put(
        &self,
        key: &str,
        document: Document,
        tags: Tags,
    ) -> Result<Option<Version>, Error> {
        let tags = match &*self.tags {
            [] => tags,
            patterns => tags_of(patterns, &document.value(), &tags),
        };
        let options = WriteOptions { tags, ..WriteOptions::default() };
        Ok(self.cache.write_with(key, document, options).await?.version)
    }

    /// Takes away what is there, by the cache's strategy. Returns as [`Named::put`] does.
    async fn delete(&self, key: &str) -> Result<Option<Version>, Error> {
        Ok(self.cache.delete(key).await?.version)
    }

    /// Whether what was put is kept, and not merely written to the database.
    fn keeps(&self) -> bool {
        self.cache.policy().strategy != Strategy::CacheAside
    }
}

impl fmt::Debug for Caches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
