//! A source that is away when the server starts: asked for again with every question, until it is there.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use samovar_core::BoxFuture;
use samovar_source::{Ask, Batches, Description, Inventory, Source, SourceError};

use crate::late::Late;

/// Opens its source when it can.
pub(super) struct Awaited(Late<Arc<dyn Source>>);

impl Awaited {
    pub(super) fn new(
        open: impl Fn() -> Result<Arc<dyn Source>, SourceError> + Send + Sync + 'static,
    ) -> Awaited {
        Awaited(Late::new("samovar-source-open", open))
    }
}

impl Source for Awaited {
    fn describe(&self) -> BoxFuture<'_, Result<Description, SourceError>> {
        Box::pin(async { self.0.get().await?.describe().await })
    }

    fn busy(&self) -> Duration {
        self.0.opened().map(|source| source.busy()).unwrap_or_default()
    }

    fn change_number(&self) -> BoxFuture<'_, Result<Option<u64>, SourceError>> {
        Box::pin(async { self.0.get().await?.change_number().await })
    }

    fn stores(&self) -> BoxFuture<'_, Result<Inventory, SourceError>> {
        Box::pin(async { self.0.get().await?.stores().await })
    }

    fn read(&self, ask: Ask) -> Batches {
        let source = self.0.clone();
        let batches = async move {
            match source.get().await {
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
    use std::sync::{Mutex, mpsc};

    use futures_util::future::join_all;
    use samovar_source::SourceErrorKind;

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
