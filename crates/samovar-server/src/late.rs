//! What is opened by whoever needs it first: one attempt at a time, which all who ask meanwhile wait for.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures_util::future::{BoxFuture, FutureExt, Shared};
use samovar_source::{SourceError, SourceErrorKind};

use crate::background::{on_thread, wait};

type Opened<T> = Result<T, SourceError>;

/// What can be opened once its database is there. Cheap to clone.
pub(crate) struct Late<T>(Arc<Inner<T>>);

struct Inner<T> {
    /// The name of the threads that open it.
    thread: &'static str,
    open: Box<dyn Fn() -> BoxFuture<'static, Opened<T>> + Send + Sync>,
    opened: OnceLock<T>,
    /// The attempt that all who ask meanwhile wait for: a host that does not answer takes its time.
    attempt: Mutex<Option<Shared<BoxFuture<'static, Opened<T>>>>>,
}

impl<T: Clone + Send + Sync + 'static> Late<T> {
    /// Opened by work that blocks, on threads of this name.
    pub(crate) fn new(
        thread: &'static str,
        open: impl Fn() -> Opened<T> + Send + Sync + 'static,
    ) -> Late<T> {
        let open = Arc::new(open);
        Late::by(thread, move || {
            let open = Arc::clone(&open);
            blocking(thread, move || open())
        })
    }

    /// Opened from something else that is opened late.
    pub(crate) fn from<B: Clone + Send + Sync + 'static>(
        base: &Late<B>,
        open: impl Fn(B) -> Opened<T> + Send + Sync + 'static,
    ) -> Late<T> {
        let (thread, base, open) = (base.0.thread, base.clone(), Arc::new(open));
        Late::by(thread, move || {
            let (base, open) = (base.clone(), Arc::clone(&open));
            async move {
                let base = base.get().await?.clone();
                blocking(thread, move || open(base)).await
            }
            .boxed()
        })
    }

    fn by(
        thread: &'static str,
        open: impl Fn() -> BoxFuture<'static, Opened<T>> + Send + Sync + 'static,
    ) -> Late<T> {
        let (opened, attempt) = Default::default();
        Late(Arc::new(Inner { thread, open: Box::new(open), opened, attempt }))
    }

    /// Opens it; blocks until then.
    pub(crate) fn now(&self) -> Result<(), SourceError> {
        let late = self.clone();
        let opened = wait(self.0.thread, async move { late.get().await.map(|_| ()) });
        opened.unwrap_or_else(|| Err(panicked()))
    }

    /// What has been opened so far.
    pub(crate) fn opened(&self) -> Option<&T> {
        self.0.opened.get()
    }

    /// What was opened. Nothing is blocked meanwhile.
    pub(crate) async fn get(&self) -> Result<&T, SourceError> {
        if let Some(opened) = self.opened() {
            return Ok(opened);
        }
        let opened = self.attempt().await?;
        Ok(self.0.opened.get_or_init(|| opened))
    }

    /// The attempt under way, or one that was done, or a new one.
    fn attempt(&self) -> Shared<BoxFuture<'static, Opened<T>>> {
        let mut attempt = self.0.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        match &*attempt {
            Some(last) if !matches!(last.peek(), Some(Err(_))) => last.clone(),
            _ => attempt.insert((self.0.open)().shared()).clone(),
        }
    }
}

fn blocking<T: Send + 'static>(
    thread: &str,
    open: impl FnOnce() -> Opened<T> + Send + 'static,
) -> BoxFuture<'static, Opened<T>> {
    let opened = on_thread(thread, open);
    opened.map(|opened| opened.unwrap_or_else(|_| Err(panicked()))).boxed()
}

fn panicked() -> SourceError {
    SourceError::new(SourceErrorKind::Failed, "opening the database panicked; this is a bug")
}

impl<T> Clone for Late<T> {
    fn clone(&self) -> Self {
        Late(Arc::clone(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test] // one thread: whatever blocks it blocks the test
    async fn all_who_wait_share_one_attempt_whatever_they_open() {
        let (answer, answers) = mpsc::channel::<Opened<u8>>();
        let (answers, attempts) = (Mutex::new(answers), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&attempts);
        let database = Late::new("test", move || {
            counted.fetch_add(1, Ordering::SeqCst);
            // Until the test says so.
            answers.lock().unwrap().recv().unwrap()
        });
        let caches: Vec<Late<u8>> =
            (0..4).map(|cache| Late::from(&database, move |base| Ok(base + cache))).collect();
        let away = || SourceError::new(SourceErrorKind::Unreachable, "nobody answers");
        for (attempt, says) in [(1, Err(away())), (2, Err(away())), (3, Ok(10)), (3, Ok(0))] {
            let expected: Vec<Option<u8>> =
                (0..8).map(|at| (attempt == 3).then_some(10 + at / 2)).collect();
            let asked = join_all(caches.iter().flat_map(|cache| [cache.get(), cache.get()]));
            let answered = async {
                // All have asked, and this still runs.
                tokio::task::yield_now().await;
                answer.send(says).unwrap();
            };
            let (outcomes, ()) = tokio::join!(asked, answered);
            let outcomes: Vec<Option<u8>> =
                outcomes.into_iter().map(|one| one.ok().copied()).collect();
            assert_eq!(outcomes, expected);
            assert_eq!(attempts.load(Ordering::SeqCst), attempt, "the next question tries again");
        }
        let at_once = caches[3].clone();
        assert!(at_once.now().is_ok(), "inside of a runtime, too");
    }
}
