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
    ///
    /// ```
    /// # use samovar::{CachePolicy, Samovar, Settings};
    /// # use samovar_core::{Part, Stamp};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// # let prices = samovar.cache::<String>(CachePolicy::named("prices"));
    /// # let names = samovar.cache::<String>(CachePolicy::named("product_names"));
    /// # let (also, now) = (names.clone(), samovar.clock().now());
    /// let answer = prices
    ///     .get_or_load("42", move |load| async move {
    ///         // The row that is read has the name too: it is as old as the price.
    ///         let stamp = Stamp::new(load.token(), now);
    ///         also.put("42", "Tea".to_owned(), [Part { span: None, stamp }].into());
    ///         Ok("12.50".to_owned())
    ///     })
    ///     .await?;
    /// let name = names.peek("42").expect("it was put");
    /// assert_eq!(name.parts()[0].stamp.version, answer.stamp.version);
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn token(&self) -> Token {
        self.token
    }

    /// The number of the lease under which this node loads, so that others need not: it grows from lease to lease.
    /// `None`: there is none, as without a Redis that nodes share, or Redis could not be asked. A lease saves work, and
    /// promises nothing: who writes somewhere else than the cache may have late writers refused there by this number.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Load, Samovar, Settings};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// # let quotes = samovar.cache::<String>(CachePolicy::named("quotes"));
    /// let load = |load: Load<String>| async move {
    ///     match load.lease() {
    ///         // UPDATE reports SET … WHERE lease < number
    ///         Some(number) => Ok(format!("loaded under lease {number}")),
    ///         None => Ok("loaded by whoever asks".to_owned()),
    ///     }
    /// };
    /// let answer = quotes.get_or_load("42", load).await?; // there is no Redis
    /// assert_eq!(answer.value.as_deref().map(String::as_str), Some("loaded by whoever asks"));
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn lease(&self) -> Option<u64> {
        self.lease
    }
}

impl<V: Value> Load<V> {
    /// The value that is to be replaced, if there is one that no `remove` covers: stale, or fresh where it is read
    /// early. Who finds that it still is what the source holds says [`Loaded::unmodified`].
    ///
    /// ```
    /// # use samovar::{CachePolicy, Load, ReadOptions, Samovar, Settings};
    /// # use samovar_core::{Mode, Scope};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// # let prices = samovar.cache::<String>(CachePolicy::named("prices"));
    /// let load = |load: Load<String>| async move {
    ///     let version = load.previous().and_then(|text| text.strip_prefix("list v")?.parse::<u32>().ok());
    ///     Ok(format!("list v{}", version.unwrap_or(0) + 1))
    /// };
    /// prices.get_or_load("all", load).await?;
    /// let anew = ReadOptions { refresh: true, ..ReadOptions::default() };
    /// let answer = prices.get_or_load_with("all", anew.clone(), load).await?;
    /// assert_eq!(answer.value.as_deref().map(String::as_str), Some("list v2"));
    ///
    /// samovar.mark(vec![Scope::Cache("prices".into())], Mode::Remove, "all wrong").await?;
    /// let answer = prices.get_or_load_with("all", anew, load).await?;
    /// assert_eq!(answer.value.as_deref().map(String::as_str), Some("list v1"), "nothing is told of it");
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn previous(&self) -> Option<&V> {
        self.previous.as_ref()?.get()
    }

    /// When the previous value was read.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Load, Loaded, Outcome, ReadOptions, Samovar, Settings};
    /// # use samovar_core::{Error, ErrorKind, Millis};
    /// # use std::time::Duration;
    /// # use samovar_testkit::clock::FakeClock;
    /// # futures_executor::block_on(async {
    /// # let clock = FakeClock::at(Millis(0));
    /// # let settings = Settings { clock: clock.clone(), ..Settings::default() };
    /// # let samovar = Samovar::open(settings).await?;
    /// # let prices = samovar.cache::<String>(CachePolicy::named("prices"));
    /// let load = |load: Load<String>| async move {
    ///     match load.previous_read_at() {
    ///         None => Ok(Loaded::from("12.50".to_owned())),
    ///         // SELECT … WHERE id = 42 AND changed_at >= since: there is none
    ///         Some(since) if since == Millis(0) => Ok(Loaded::unmodified()),
    ///         Some(_) => Err(Error::new(ErrorKind::Source, "it was read only once")),
    ///     }
    /// };
    /// prices.get_or_load("42", load).await?;
    /// clock.advance(Duration::from_secs(10));
    /// let anew = ReadOptions { refresh: true, ..ReadOptions::default() };
    /// let answer = prices.get_or_load_with("42", anew, load).await?;
    /// assert_eq!((answer.outcome, answer.stamp.read_at), (Outcome::Loaded, Millis(10_000)));
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
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
///
/// ```
/// # use samovar::{CachePolicy, Counted, LoadMany, ReadOptions, Samovar, Settings};
/// # futures_executor::block_on(async {
/// # let samovar = Samovar::open(Settings::default()).await?;
/// # let names = samovar.cache::<String>(CachePolicy::named("product_names"));
/// let load = |load: LoadMany| async move {
///     // SELECT id, name FROM products WHERE id = ANY ($1)
///     let rows = load.keys().iter().map(|id| (id.clone(), format!("Product {id}")));
///     Ok(rows.collect::<Vec<_>>())
/// };
/// let answers = names.get_or_load_many(&["42", "43"], ReadOptions::default(), load).await;
/// let second = answers[1].as_ref().expect("it was loaded");
/// assert_eq!(second.value.as_deref().map(String::as_str), Some("Product 43"));
/// assert_eq!(samovar.counters().snapshot().count(Counted::Load), 1, "one call for both");
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct LoadMany {
    pub(super) token: Token,
    pub(super) keys: Vec<Arc<str>>,
}

impl LoadMany {
    /// The token that was taken before this began: it becomes the stamp of what is loaded.
    ///
    /// ```
    /// # use samovar::{CachePolicy, LoadMany, ReadOptions, Samovar, Settings};
    /// # use samovar_core::{Part, Parts, Stamp};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// # let prices = samovar.cache::<String>(CachePolicy::named("prices"));
    /// # let names = samovar.cache::<String>(CachePolicy::named("product_names"));
    /// # let (also, now) = (names.clone(), samovar.clock().now());
    /// let load = move |load: LoadMany| {
    ///     let also = also.clone();
    ///     async move {
    ///         let rows = [("42", "12.50", "Tea"), ("43", "1.20", "Milk")];
    ///         // The rows have the names too: they are as old as the prices.
    ///         let parts: Parts = [Part { span: None, stamp: Stamp::new(load.token(), now) }].into();
    ///         for (id, _, name) in rows {
    ///             also.put(id, name.to_owned(), parts.clone());
    ///         }
    ///         Ok(rows.map(|(id, price, _)| (id, price.to_owned())))
    ///     }
    /// };
    /// prices.get_or_load_many(&["42", "43"], ReadOptions::default(), load).await;
    /// let (price, name) = (prices.peek("43").expect("loaded"), names.peek("43").expect("put"));
    /// assert_eq!(price.parts()[0].stamp.version, name.parts()[0].stamp.version);
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn token(&self) -> Token {
        self.token
    }

    /// The keys that are to be loaded, each once.
    ///
    /// ```
    /// # use samovar::{CachePolicy, LoadMany, ReadOptions, Samovar, Settings};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// # let names = samovar.cache::<String>(CachePolicy::named("product_names"));
    /// names.get_or_load("42", |_| async { Ok("Tea".to_owned()) }).await?;
    /// let load = |load: LoadMany| async move {
    ///     let keys: Vec<&str> = load.keys().iter().map(|key| &**key).collect();
    ///     assert_eq!(keys, ["43", "44"], "42 is there, and 43 is read once");
    ///     Ok([("43", "Milk".to_owned()), ("44", "Honey".to_owned())])
    /// };
    /// let keys = ["42", "43", "44", "43"];
    /// for answer in names.get_or_load_many(&keys, ReadOptions::default(), load).await {
    ///     assert!(answer?.value.is_some());
    /// }
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn keys(&self) -> &[Arc<str>] {
        &self.keys
    }
}

/// What a loader has read. One that has no more to say gives the value itself.
///
/// ```
/// # use samovar::{CachePolicy, Loaded, Samovar, Settings};
/// # use samovar_core::{Mode, Scope, Tags};
/// # futures_executor::block_on(async {
/// # let samovar = Samovar::open(Settings::default()).await?;
/// # let prices = samovar.cache::<String>(CachePolicy::named("prices"));
/// let price = Loaded::from("12.50".to_owned()).tags(Tags::new(["supplier:7"])?);
/// prices.get_or_load("42", |_| async { Ok(price) }).await?;
/// let answer = prices.get_or_load("43", |_| async { Ok(Loaded::absent()) }).await?;
/// assert!(answer.value.is_none());
///
/// samovar.mark(vec![Scope::Tag("supplier:7".into())], Mode::Remove, "new list").await?;
/// assert!(prices.peek("42").is_none());
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
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
    ///
    /// ```
    /// # use samovar::{CachePolicy, Loaded, Outcome, Samovar, Settings};
    /// # use samovar_core::{Mode, Scope};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// # let names = samovar.cache::<String>(CachePolicy::named("product_names"));
    /// let none = |_| async { Ok(Loaded::absent()) };
    /// names.get_or_load("43", none).await?;
    /// let answer = names.get_or_load("43", none).await?;
    /// assert_eq!((answer.value, answer.outcome), (None, Outcome::Negative), "it is remembered");
    ///
    /// // Something of this supplier is new: it may be that.
    /// samovar.mark(vec![Scope::Tag("supplier:7".into())], Mode::Remove, "delivery").await?;
    /// let answer = names.get_or_load("43", |_| async { Ok("Milk".to_owned()) }).await?;
    /// assert_eq!(answer.outcome, Outcome::Loaded);
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn absent() -> Loaded<V> {
        Loaded::new(What::Absent)
    }

    /// The value that was there ([`Load::previous`]) is what the source holds now: it lives anew, with its tags and
    /// partitions unless others are named. Where none was there the load has failed.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Loaded, ReadOptions, Samovar, Settings};
    /// # use samovar_core::{ErrorKind, Millis, Verdict};
    /// # use std::time::Duration;
    /// # use samovar_testkit::clock::FakeClock;
    /// # futures_executor::block_on(async {
    /// # let clock = FakeClock::at(Millis(0));
    /// # let settings = Settings { clock: clock.clone(), ..Settings::default() };
    /// # let samovar = Samovar::open(settings).await?;
    /// # let ttl = Duration::from_secs(60);
    /// # let policy = CachePolicy { ttl, jitter: 0.0, ..CachePolicy::named("product_names") };
    /// # let names = samovar.cache::<String>(policy);
    /// names.get_or_load("42", |_| async { Ok("Tea".to_owned()) }).await?;
    /// clock.advance(Duration::from_secs(61)); // it was fresh for a minute
    /// let anew = ReadOptions { refresh: true, ..ReadOptions::default() };
    /// names.get_or_load_with("42", anew, |_| async { Ok(Loaded::unmodified()) }).await?;
    /// let found = names.peek("42").expect("it lives anew");
    /// assert_eq!((found.as_str(), found.verdict), ("Tea", Verdict::Fresh));
    ///
    /// let nothing = names.get_or_load("43", |_| async { Ok(Loaded::unmodified()) }).await;
    /// assert_eq!(nothing.unwrap_err().kind(), ErrorKind::Invalid);
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn unmodified() -> Loaded<V> {
        Loaded::new(What::Unmodified)
    }

    /// Of this key the source could not be read, and of the others of a batch it could: this one alone rests, and falls
    /// back on what was there. A loader of one key says the error itself.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Loaded, ReadOptions, Samovar, Settings};
    /// # use samovar_core::{Error, ErrorKind, Millis};
    /// # use samovar_testkit::clock::FakeClock;
    /// # futures_executor::block_on(async {
    /// # let clock = FakeClock::at(Millis(0));
    /// # let settings = Settings { clock: clock.clone(), ..Settings::default() };
    /// # let samovar = Samovar::open(settings).await?;
    /// # let names = samovar.cache::<String>(CachePolicy::named("product_names"));
    /// let load = |_| async {
    ///     let locked = Error::new(ErrorKind::Source, "the row is locked");
    ///     Ok([("42", Loaded::from("Tea".to_owned())), ("43", Loaded::failed(locked))])
    /// };
    /// let answers = names.get_or_load_many(&["42", "43"], ReadOptions::default(), load).await;
    /// assert!(answers[0].is_ok());
    /// assert_eq!(answers[1].as_ref().unwrap_err().kind(), ErrorKind::Source);
    /// let again = names.get_or_load("43", |_| async { Ok("Milk".to_owned()) }).await;
    /// assert_eq!(again.unwrap_err().kind(), ErrorKind::Throttled, "its source rests");
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn failed(error: Error) -> Loaded<V> {
        Loaded::new(What::Failed(error))
    }

    /// Its tags: a mark on any of them covers it.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Loaded, Samovar, Settings};
    /// # use samovar_core::{Mode, Scope, Tags};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// # let names = samovar.cache::<String>(CachePolicy::named("product_names"));
    /// let tags = Tags::new(["supplier:7", "season:summer"])?;
    /// names.get_or_load("42", |_| async { Ok(Loaded::from("Iced tea".to_owned()).tags(tags)) }).await?;
    /// samovar.mark(vec![Scope::Tag("season:summer".into())], Mode::Remove, "it is autumn").await?;
    /// assert!(names.peek("42").is_none());
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn tags(mut self, tags: Tags) -> Self {
        self.tags = tags;
        self
    }

    /// The store-days it was derived from: a mark on any of them covers it. They do not overlap.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Loaded, Outcome, Samovar, Settings};
    /// # use samovar_core::{Day, Mode, Partition, Scope, Span, Verdict};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// # let sales = samovar.cache::<String>(CachePolicy::named("sales"));
    /// let week = Span { store: "7".into(), from: Day(20_486), to: Day(20_492) };
    /// let loaded = Loaded::from("1204 receipts".to_owned()).partitions([week]);
    /// sales.get_or_load("7", |_| async { Ok(loaded) }).await?;
    /// assert_eq!(sales.peek("7").expect("it was loaded").verdict, Verdict::Fresh);
    ///
    /// let tuesday = Scope::Partition(Partition::new("7", Day(20_487)));
    /// samovar.mark(vec![tuesday], Mode::Remove, "a late receipt").await?;
    /// let answer = sales.get_or_load("7", |_| async { Ok("1205 receipts".to_owned()) }).await?;
    /// assert_eq!(answer.outcome, Outcome::Loaded);
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn partitions(mut self, partitions: impl IntoIterator<Item = Span>) -> Self {
        self.partitions = partitions.into_iter().collect();
        self
    }

    /// How long it is fresh, in place of the policy's `ttl` or `negative_ttl`; spread all the same.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Loaded, Samovar, Settings};
    /// # use std::time::Duration;
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// # let prices = samovar.cache::<String>(CachePolicy { jitter: 0.0, ..CachePolicy::named("prices") });
    /// let auction = Loaded::from("12.50".to_owned()).ttl(Duration::from_secs(5));
    /// let answer = prices.get_or_load("42", |_| async { Ok(auction) }).await?; // `jitter` is 0 here
    /// assert_eq!(answer.fresh_until, Some(answer.stamp.read_at.plus(Duration::from_secs(5))));
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// It is given to those who wait and not kept; nor is what was there.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Loaded, Samovar, Settings};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// # let prices = samovar.cache::<String>(CachePolicy::named("prices"));
    /// let personal = |_| async { Ok(Loaded::from("9.90 for you".to_owned()).not_kept()) };
    /// let answer = prices.get_or_load("42", personal).await?;
    /// assert_eq!(answer.value.as_deref().map(String::as_str), Some("9.90 for you"));
    /// assert!(answer.fresh_until.is_none() && prices.peek("42").is_none());
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
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
