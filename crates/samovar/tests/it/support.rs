//! What the tests share.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::noop_waker;
use samovar::{Cache, CachePolicy, Found, Samovar, Settings};
use samovar_core::{Clock, Key, Millis, Mode, Part, Parts, Scope, Stamp};
use samovar_testkit::clock::FakeClock;

pub(crate) use futures_executor::block_on;

/// When the fake clock starts.
pub(crate) const START: Millis = Millis(1_700_000_000_000);
/// More scopes than any test here marks.
pub(crate) const MARKS_MAX: usize = 100_000;
pub(crate) const TTL: Duration = Duration::from_secs(100);
pub(crate) const WINDOW: Duration = Duration::from_secs(1_000);

/// A future that is polled by hand.
pub(crate) struct Stepped<T>(Pin<Box<dyn Future<Output = T>>>);

impl<T> Stepped<T> {
    pub(crate) fn new(future: impl Future<Output = T> + 'static) -> Self {
        Stepped(Box::pin(future))
    }

    /// Goes on as far as it can.
    pub(crate) fn step(&mut self) -> Option<T> {
        match self.0.as_mut().poll(&mut Context::from_waker(&noop_waker())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    /// Goes on to the end, waiting for threads.
    pub(crate) fn finish(self) -> T {
        block_on(self.0)
    }
}

/// A cache over a directory, with a clock that stands still and no sweeps but those the test asks for.
pub(crate) fn settings(directory: Option<&Path>, clock: &Arc<FakeClock>) -> Settings {
    Settings {
        data_dir: directory.map(Path::to_owned),
        sweep_after: None,
        seed: Some(0),
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        ..Settings::default()
    }
}

pub(crate) fn open(directory: Option<&Path>, clock: &Arc<FakeClock>) -> Samovar {
    block_on(Samovar::open(settings(directory, clock))).unwrap()
}

pub(crate) fn policy(name: &str) -> CachePolicy {
    CachePolicy {
        ttl: TTL,
        stale_window: WINDOW,
        jitter: 0.0,
        throttle: Duration::ZERO,
        // Who waits for another's would wait by a clock that stands still.
        load_lease: None,
        ..CachePolicy::named(name)
    }
}

/// A stamp taken now.
pub(crate) fn stamp(samovar: &Samovar) -> Stamp {
    Stamp::new(samovar.fence().token(), samovar.clock().now())
}

/// The parts of a plain value that is read now.
pub(crate) fn whole(samovar: &Samovar) -> Parts {
    Arc::new([Part { span: None, stamp: stamp(samovar) }])
}

pub(crate) fn key(cache: &str, id: &str) -> Scope {
    Scope::Key(Key::new(cache, id))
}

pub(crate) fn mark(samovar: &Samovar, scope: Scope, mode: Mode) {
    block_on(samovar.mark(vec![scope], mode, "test")).unwrap();
}

/// The text that was found.
pub(crate) fn text(found: Option<Found<String>>) -> Option<String> {
    found.map(|found| found.to_string())
}

pub(crate) fn get(cache: &Cache<String>, key: &str) -> Option<Found<String>> {
    block_on(cache.get(key))
}
