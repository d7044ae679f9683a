//! What all requests share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use samovar_levels::Engine;

use crate::caches::Caches;
use crate::error::Refusal;
use crate::questions::Questions;
use crate::settings::Settings;

/// What the page and the API tell about a dataset beside its figures.
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
#[derive(Clone, Default)]
pub struct Tokens {
    /// Who changes state must bear it; without one only this machine may. It opens reading, too.
    pub change: Option<String>,
    /// Who reads figures from beyond this machine must bear it; without one all may read.
    pub read: Option<String>,
}

/// The state of a server. Cheap to clone.
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
    pub fn generating(&self, done: u64, total: u64) {
        self.inner.generated.store(done, Ordering::Relaxed);
        self.inner.to_generate.store(total, Ordering::Relaxed);
    }

    /// From now on questions are answered by this engine, and keys by these caches beside it. A second call changes
    /// nothing.
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
