//! A source that is away when the server starts: asked for again with every question, until it is there.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture as Attempt, FutureExt, Shared};
use futures_util::{StreamExt, stream};
use samovar_core::BoxFuture;
use samovar_source::{Ask, Batches, Description, Inventory, Source, SourceError, SourceErrorKind};

use crate::background::on_thread;

type Opened = Result<Arc<dyn Source>, SourceError>;

/// Opens its source when it can.
pub(super) struct Awaited(Arc<Inner>);

struct Inner {
    open: Arc<dyn Fn() -> Opened + Send + Sync>,
    source: OnceLock<Arc<dyn Source>>,
    /// The attempt that all who ask meanwhile wait for: a host that does not answer takes its time.
    attempt: Mutex<Option<Shared<Attempt<'static, Opened>>>>,
}

impl Awaited {
    pub(super) fn new(open: impl Fn() -> Opened + Send + Sync + 'static) -> Awaited {
        let (source, attempt) = Default::default();
        Awaited(Arc::new(Inner { open: Arc::new(open), source, attempt }))
    }
}

impl Inner {
    /// The source; nothing is blocked meanwhile.
    async fn source(&self) -> Result<&Arc<dyn Source>, SourceError> {
        if let Some(source) = self.source.get() {
            return Ok(source);
        }
        let opened = self.attempt().await?;
        Ok(self.source.get_or_init(|| opened))
    }

    /// The attempt under way, or a new one.
    fn attempt(&self) -> Shared<Attempt<'static, Opened>> {
        let mut attempt = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        match &*attempt {
            Some(running) if running.peek().is_none() => running.clone(),
            _ => {
                let open = Arc::clone(&self.open);
                let opened = on_thread("samovar-source-open", move || open());
                let opened = async move {
                    opened.await.unwrap_or_else(|_| {
                        let message = "opening the source panicked; this is a bug";
                        Err(SourceError::new(SourceErrorKind::Failed, message))
                    })
                };
                attempt.insert(opened.boxed().shared()).clone()
            }
        }
    }
}

impl Source for Awaited {
    fn describe(&self) -> BoxFuture<'_, Result<Description, SourceError>> {
        Box::pin(async { self.0.source().await?.describe().await })
    }

    fn busy(&self) -> Duration {
        self.0.source.get().map(|source| source.busy()).unwrap_or_default()
    }

    fn change_number(&self) -> BoxFuture<'_, Result<Option<u64>, SourceError>> {
        Box::pin(async { self.0.source().await?.change_number().await })
    }

    fn stores(&self) -> BoxFuture<'_, Result<Inventory, SourceError>> {
        Box::pin(async { self.0.source().await?.stores().await })
    }

    fn read(&self, ask: Ask) -> Batches {
        let inner = Arc::clone(&self.0);
        let batches = async move {
            match inner.source().await {
                Ok(source) => source.read(ask),
                Err(away) => stream::once(async { Err(away) }).boxed(),
            }
        };
        stream::once(batches).flatten().boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use futures_util::future::join_all;

    use super::*;

    fn away() -> SourceError {
        SourceError::new(SourceErrorKind::Unreachable, "nobody answers")
    }

    #[tokio::test] // one thread: whatever blocks it blocks the test
    async fn a_host_that_does_not_answer_blocks_nobody_and_is_asked_once_at_a_time() {
        let (answer, answers) = mpsc::channel::<()>();
        let (answers, attempts) = (Mutex::new(answers), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&attempts);
        let source = Awaited::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            // Until the test says so.
            let _ = answers.lock().unwrap().recv();
            Err(away())
        });
        for attempt in 1..=2 {
            let asked = join_all((0..8).map(|_| source.describe()));
            let answered = async {
                // All have asked, and this still runs.
                tokio::task::yield_now().await;
                answer.send(()).unwrap();
            };
            let (outcomes, ()) = tokio::join!(asked, answered);
            let refused = |outcome: &Result<_, SourceError>| {
                outcome.as_ref().is_err_and(|e| e.kind() == SourceErrorKind::Unreachable)
            };
            assert!(outcomes.iter().all(refused), "{outcomes:?}");
            assert_eq!(attempts.load(Ordering::SeqCst), attempt, "the next question tries again");
        }
    }
}
