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
pub(crate) use tags::{LONGEST_TAG, is_tag, tags_of};

use crate::error::Refusal;
use crate::settings::CacheSettings;

/// Loads documents of one cache by their keys: one for each key that has one.
///
/// ```
/// # use std::sync::Arc;
/// # use samovar::Loaded;
/// # use samovar_server::{Document, Loader};
/// let names: Loader = Arc::new(|keys| {
///     Box::pin(async move {
///         let name = |key: &Arc<str>| Document::from(&serde_json::json!({"name": &**key}));
///         Ok(keys.iter().map(|key| (key.clone(), Loaded::from(name(key)))).collect())
///     })
/// });
/// let found = futures_executor::block_on(names(vec!["tea".into(), "cup".into()]))?;
/// assert_eq!(found.len(), 2);
/// # Ok::<(), samovar_core::Error>(())
/// ```
pub type Loader = Arc<
    dyn Fn(Vec<Arc<str>>) -> BoxFuture<'static, Result<Vec<(Arc<str>, Loaded<Document>)>, Error>>
        + Send
        + Sync,
>;

/// The named caches of a server. Cheap to clone.
///
/// Of a program with loaders of its own, in place of [`Settings::caches`](crate::Settings::caches):
///
/// ```
#[doc = include_str!("../example.txt")]
/// use std::sync::Arc;
///
/// use samovar::{Loaded, Samovar};
/// use samovar_server::{App, Backing, Caches, Document, Labels, Loader, Tokens, router};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// # let folder = shop()?;
/// # let settings = settings(&folder)?;
/// let loader: Loader = Arc::new(|keys| {
///     Box::pin(async move {
///         let length = |key: &Arc<str>| Loaded::from(Document::from(&key.len().into()));
///         Ok(keys.iter().map(|key| (key.clone(), length(key))).collect())
///     })
/// });
/// let samovar = Samovar::open(samovar::Settings::default()).await?;
/// let caches = Caches::open(&samovar, &settings.caches, |cache| match &*cache.policy.name {
///     "product_info" => loader.clone().into(),
///     _ => Backing::default(),
/// });
/// let app = App::new(Labels::from(&settings), Tokens::default());
/// app.ready(settings.engine(samovar, |_| ())?, caches);
/// assert_eq!(get(router(app), "/api/cache/product_info/tea").await?, (200, "3".to_string()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
/// # use std::sync::Arc;
/// # use samovar_server::{Backing, Loader};
/// let nothing: Loader = Arc::new(|_| Box::pin(async { Ok(Vec::new()) }));
/// let reads = Backing::from(nothing);
/// assert!(reads.loader.is_some() && reads.writer.is_none());
/// ```
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
    ///
    /// ```
    #[doc = include_str!("../example.txt")]
    /// # use samovar::Samovar;
    /// # use samovar_server::{Backing, Caches};
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// # let folder = shop()?;
    /// # let settings = settings(&folder)?;
    /// let samovar = Samovar::open(samovar::Settings::default()).await?;
    /// let caches = Caches::open(&samovar, &settings.caches, |_| Backing::default());
    /// assert_eq!(format!("{caches:?}"), r#"{"notes", "product_info"}"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
