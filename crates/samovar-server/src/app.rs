//! What all requests share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use samovar_levels::Engine;

use crate::caches::Caches;
use crate::error::Refusal;
use crate::questions::Questions;
use crate::settings::Settings;

/// What the page and the API tell about a dataset beside its figures.
///
/// ```
#[doc = include_str!("example.txt")]
/// # use samovar_server::Labels;
/// # let folder = shop()?;
/// # let settings = settings(&folder)?;
/// let labels = Labels::from(&settings);
/// assert_eq!((&*labels.name, &*labels.currency, &*labels.time_zone), ("orders", "USD", "UTC"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Labels {
    /// The dataset's name.
    pub name: Arc<str>,
    /// ISO 4217 code of the currency of money measures.
    pub currency: String,
    /// IANA name of the time zone of a day.
    pub time_zone: String,
}

impl From<&Settings> for Labels {
    fn from(settings: &Settings) -> Labels {
        let dataset = &settings.dataset;
        Labels {
            name: dataset.name.as_str().into(),
            currency: dataset.currency.clone(),
            time_zone: dataset.time_zone_name.clone(),
        }
    }
}

/// What a server asks its callers for.
///
/// ```
#[doc = include_str!("example.txt")]
/// # use axum::http::Request;
/// # use samovar_server::{App, Labels, Tokens, router};
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// # let folder = shop()?;
/// # let settings = settings(&folder)?;
/// let tokens = Tokens { read: Some("open-sesame".into()), ..Tokens::default() };
/// let app = App::new(Labels::from(&settings), tokens);
/// let (status, _) = get(router(app.clone()), "/api/openapi.json").await?;
/// assert_eq!(status, 401, "it comes from nowhere, and bears no token");
/// let bears = Request::get("/api/openapi.json").header("authorization", "Bearer open-sesame");
/// let (status, _) = ask(router(app), bears, "").await?;
/// assert_ne!(status, 401);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Tokens {
    /// Who changes state must bear it; without one only this machine may. It opens reading, too.
    pub change: Option<String>,
    /// Who reads figures from beyond this machine must bear it; without one all may read.
    pub read: Option<String>,
}

/// The state of a server. Cheap to clone.
///
/// ```
#[doc = include_str!("example.txt")]
/// # use samovar::Samovar;
/// # use samovar_server::{App, Labels, Tokens, router};
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// # let folder = shop()?;
/// # let settings = settings(&folder)?;
/// let app = App::new(Labels::from(&settings), Tokens::default());
/// let doors = router(app.clone());
/// // Meanwhile the doors tell that it is not ready.
/// let samovar = Samovar::open(settings.tiers()).await?;
/// let caches = settings.caches(&samovar, |_| ()).map_err(|wrong| wrong[0].clone())?;
/// let engine = settings.engine(samovar, |_| ())?;
/// engine.warm().await?;
/// app.ready(engine, caches);
/// assert_eq!(get(doors, "/readyz").await?, (200, "ready\n".to_string()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

struct Inner {
    labels: Labels,
    tokens: Tokens,
    hosts: OnceLock<Arc<[String]>>,
    engine: OnceLock<(Engine, Caches)>,
    questions: Questions,
    generated: AtomicU64,
    to_generate: AtomicU64,
}

impl App {
    /// A server's state before there is an engine: until [`App::ready`] it tells that data are being made.
    ///
    /// ```
    #[doc = include_str!("example.txt")]
    /// # use samovar_server::{App, Labels, Tokens, router};
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// # let folder = shop()?;
    /// # let settings = settings(&folder)?;
    /// let app = App::new(Labels::from(&settings), Tokens::default());
    /// assert_eq!(get(router(app), "/readyz").await?, (503, "the data are being made\n".into()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(labels: Labels, tokens: Tokens) -> App {
        let inner = Inner {
            labels,
            tokens,
            hosts: OnceLock::new(),
            engine: OnceLock::new(),
            questions: Questions::default(),
            generated: AtomicU64::new(0),
            to_generate: AtomicU64::new(0),
        };
        App { inner: Arc::new(inner) }
    }

    /// From now on a [`router`](crate::router) made of this refuses requests that call the server by another name than
    /// loopback's or one of these (without their ports), unless a read token is set. For servers that listen on loopback: else
    /// a page of anywhere reads their figures once its name resolves to 127.0.0.1. A second call changes nothing.
    ///
    /// ```
    #[doc = include_str!("example.txt")]
    /// # use axum::http::Request;
    /// # use samovar_server::{App, Labels, Tokens, router};
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// # let folder = shop()?;
    /// # let settings = settings(&folder)?;
    /// let app = App::new(Labels::from(&settings), Tokens::default());
    /// app.known_as(vec!["shop.example".into()]);
    /// let doors = router(app);
    /// for (name, status) in [("localhost", 200), ("shop.example", 200), ("evil.example", 421)] {
    ///     let request = Request::get("/healthz").header("host", name);
    ///     assert_eq!(ask(doors.clone(), request, "").await?.0, status, "{name}");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn known_as(&self, hosts: Vec<String>) {
        // Names that are already there stay.
        let _ = self.inner.hosts.set(hosts.into());
    }

    /// The names besides loopback's, if others are to be refused.
    pub(crate) fn hosts(&self) -> Option<Arc<[String]>> {
        let guarded = self.inner.tokens.read.is_none();
        self.inner.hosts.get().filter(|_| guarded).cloned()
    }

    /// Tells how many of how many rows have been made.
    ///
    /// ```
    #[doc = include_str!("example.txt")]
    /// # use samovar_server::{App, Labels, Tokens, router};
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// # let folder = shop()?;
    /// # let settings = settings(&folder)?;
    /// let app = App::new(Labels::from(&settings), Tokens::default());
    /// app.generating(1_000, 30_000);
    /// let (_, told) = get(router(app), "/api/dataset").await?;
    /// assert!(told.contains("30000"), "{told}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn generating(&self, done: u64, total: u64) {
        self.inner.generated.store(done, Ordering::Relaxed);
        self.inner.to_generate.store(total, Ordering::Relaxed);
    }

    /// From now on questions are answered by this engine, and keys by these caches beside it. A second call changes
    /// nothing.
    ///
    /// ```
    #[doc = include_str!("example.txt")]
    /// # use samovar::Samovar;
    /// # use samovar_server::{App, Labels, Tokens, router};
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// # let folder = shop()?;
    /// # let settings = settings(&folder)?;
    /// # let app = App::new(Labels::from(&settings), Tokens::default());
    /// # let samovar = Samovar::open(settings.tiers()).await?;
    /// # let caches = settings.caches(&samovar, |_| ()).map_err(|wrong| wrong[0].clone())?;
    /// # let engine = settings.engine(samovar, |_| ())?;
    /// // Behind this cache is the table `products`.
    /// app.ready(engine, caches);
    /// let (status, tea) = get(router(app), "/api/cache/product_info/T-1").await?;
    /// assert_eq!((status, &*tea), (200, r#"{"name":"Tea","sku":"T-1"}"#));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ready(&self, engine: Engine, caches: Caches) {
        // An engine that is already there stays.
        let _ = self.inner.engine.set((engine, caches));
    }

    pub(crate) fn engine(&self) -> Result<&Engine, Refusal> {
        self.inner.engine.get().map(|(engine, _)| engine).ok_or(Refusal::Preparing)
    }

    pub(crate) fn caches(&self) -> Result<&Caches, Refusal> {
        self.inner.engine.get().map(|(_, caches)| caches).ok_or(Refusal::Preparing)
    }

    pub(crate) fn questions(&self) -> &Questions {
        &self.inner.questions
    }

    /// Rows made and to make.
    pub(crate) fn generation(&self) -> (u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.inner.generated), read(&self.inner.to_generate))
    }

    pub(crate) fn labels(&self) -> &Labels {
        &self.inner.labels
    }

    /// The name of the event that tells of changes.
    pub(crate) fn event(&self) -> String {
        format!("{}_changed", self.inner.labels.name)
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.inner.tokens
    }
}
