//! What a loader is told, and what it says.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use samovar_core::{Error, Millis, Span, Tags, Token};

use super::seen::Seen;
use crate::value::Value;

/// What the loader of one key is told.
///
/// ```
/// use samovar::{CachePolicy, Load, Loaded, Outcome, ReadOptions, Samovar, Settings};
///
/// # futures_executor::block_on(async {
/// let samovar = Samovar::open(Settings::default()).await?;
/// let pages = samovar.cache::<String>(CachePolicy::named("pages"));
/// // A source that can tell whether what is known is still true is spared the rest.
/// let load = |load: Load<String>| async move {
///     match load.previous() {
///         Some(page) if page.ends_with("v1") => Ok(Loaded::unmodified()),
///         _ => Ok(Loaded::from("the page, v1".to_owned())),
///     }
/// };
/// pages.get_or_load("home", load).await?;
/// let anew = ReadOptions { refresh: true, ..ReadOptions::default() };
/// let answer = pages.get_or_load_with("home", anew, load).await?;
/// assert_eq!(answer.outcome, Outcome::Loaded);
/// assert_eq!(&**answer.value.expect("it is there"), "the page, v1");
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
pub struct Load<V> {
    token: Token,
    previous: Option<Seen<V>>,
    lease: Option<u64>,
}

impl<V> Load<V> {
    pub(super) fn new(token: Token, previous: Option<Seen<V>>, lease: Option<u64>) -> Load<V> {
        Load { token, previous, lease }
    }

    /// The token that was taken before this began: it becomes the stamp of what is loaded.
    pub fn token(&self) -> Token {
        self.token
    }

    /// The number of the lease under which this node loads, so that others need not: it grows from lease to lease.
    /// `None`: there is none, or Redis could not be asked. A lease saves work, and promises nothing: who writes
    /// somewhere else than the cache may have late writers refused there by this number.
    pub fn lease(&self) -> Option<u64> {
        self.lease
    }
}

impl<V: Value> Load<V> {
    /// The value that is to be replaced, if there is one that no `remove` covers: stale, or fresh where it is read
    /// early. Who finds that it still is what the source holds says [`Loaded::unmodified`].
    pub fn previous(&self) -> Option<&V> {
        self.previous.as_ref()?.get()
    }

    /// When the previous value was read.
    pub fn previous_read_at(&self) -> Option<Millis> {
        self.previous()?;
        self.previous.as_ref().map(|previous| previous.stamp().read_at)
    }
}

impl<V: Value> fmt::Debug for Load<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_previous = self.previous().is_some();
        f.debug_struct("Load")
            .field("token", &self.token)
            .field("has_previous", &has_previous)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

/// What the loader of many keys is told.
#[derive(Clone, Debug)]
pub struct LoadMany {
    pub(super) token: Token,
    pub(super) keys: Vec<Arc<str>>,
}

impl LoadMany {
    /// The token that was taken before this began: it becomes the stamp of what is loaded.
    pub fn token(&self) -> Token {
        self.token
    }

    /// The keys that are to be loaded, each once.
    pub fn keys(&self) -> &[Arc<str>] {
        &self.keys
    }
}

/// What a loader has read. One that has no more to say gives the value itself.
///
/// ```
/// # use samovar::Loaded;
/// # use samovar_core::Tags;
/// # use std::time::Duration;
/// let quote = Loaded::from("12.50".to_owned()).ttl(Duration::from_secs(5)).tags(Tags::new(["exchange:7"])?);
/// let none: Loaded<String> = Loaded::absent().tags(Tags::new(["exchange:7"])?);
/// # Ok::<(), samovar_core::Error>(())
/// ```
pub struct Loaded<V> {
    pub(super) what: What<V>,
    pub(super) tags: Tags,
    pub(super) partitions: Vec<Span>,
    pub(super) ttl: Option<Duration>,
    pub(super) is_kept: bool,
}

/// See [`Loaded`].
pub(super) enum What<V> {
    Value(Arc<V>),
    Absent,
    Unmodified,
    Failed(Error),
}

impl<V> Loaded<V> {
    fn new(what: What<V>) -> Loaded<V> {
        Loaded { what, tags: Tags::NONE, partitions: Vec::new(), ttl: None, is_kept: true }
    }

    /// The source has no such row. This is remembered for the policy's `negative_ttl`. Unless it is said on which tags
    /// or partitions that depends, every mark on any of them covers it: the row may have come with it.
    pub fn absent() -> Loaded<V> {
        Loaded::new(What::Absent)
    }

    /// The value that was there ([`Load::previous`]) is what the source holds now: it lives anew, with its tags and
    /// partitions unless others are named.
    pub fn unmodified() -> Loaded<V> {
        Loaded::new(What::Unmodified)
    }

    /// Of this key the source could not be read, and of the others of a batch it could: this one alone rests, and falls
    /// back on what was there. A loader of one key says the error itself.
    pub fn failed(error: Error) -> Loaded<V> {
        Loaded::new(What::Failed(error))
    }

    /// Its tags: a mark on any of them covers it.
    #[must_use]
    pub fn tags(mut self, tags: Tags) -> Self {
        self.tags = tags;
        self
    }

    /// The store-days it was derived from: a mark on any of them covers it. They do not overlap.
    #[must_use]
    pub fn partitions(mut self, partitions: impl IntoIterator<Item = Span>) -> Self {
        self.partitions = partitions.into_iter().collect();
        self
    }

    /// How long it is fresh, in place of the policy's `ttl` or `negative_ttl`; spread all the same.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// It is given to those who wait and not kept; nor is what was there.
    #[must_use]
    pub fn not_kept(mut self) -> Self {
        self.is_kept = false;
        self
    }
}

impl<V> From<V> for Loaded<V> {
    fn from(value: V) -> Self {
        Loaded::new(What::Value(Arc::new(value)))
    }
}

/// `None`: the source has no such row.
impl<V> From<Option<V>> for Loaded<V> {
    fn from(value: Option<V>) -> Self {
        value.map_or_else(Loaded::absent, Loaded::from)
    }
}

impl<V> Clone for Loaded<V> {
    fn clone(&self) -> Self {
        let what = match &self.what {
            What::Value(value) => What::Value(Arc::clone(value)),
            What::Absent => What::Absent,
            What::Unmodified => What::Unmodified,
            What::Failed(error) => What::Failed(error.clone()),
        };
        let (tags, partitions) = (self.tags.clone(), self.partitions.clone());
        Loaded { what, tags, partitions, ..*self }
    }
}

impl<V> fmt::Debug for Loaded<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match &self.what {
            What::Value(_) => "value",
            What::Absent => "absent",
            What::Unmodified => "unmodified",
            What::Failed(_) => "failed",
        };
        f.debug_struct("Loaded")
            .field("what", &what)
            .field("tags", &self.tags)
            .field("partitions", &self.partitions)
            .field("ttl", &self.ttl)
            .field("is_kept", &self.is_kept)
            .finish()
    }
}

/// The error for who says that nothing has changed, and was given nothing.
pub(super) fn nothing_to_keep() -> Error {
    let text = "the loader said that the value is unmodified, and there was none: say so only if there is a previous one";
    Error::new(samovar_core::ErrorKind::Invalid, text)
}
