//! The only place of this crate that spawns.

use std::future::Future;

use futures_util::FutureExt;
use samovar_core::{Error, ErrorKind};
use tokio::task::JoinHandle;

/// Runs a future that computes and blocks, away from the threads that serve.
///
/// # Errors
/// A panic within becomes an error; so does a runtime that is shutting down.
pub(crate) async fn on_thread<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let task = tokio::task::spawn_blocking(move || futures_executor::block_on(work));
    task.await.unwrap_or_else(|failed| {
        let what = if failed.is_panic() { "panicked; this is a bug" } else { "was shut down" };
        Err(Error::new(ErrorKind::Closed, format!("background work {what}")))
    })
}

/// A task that ends with its owner.
#[derive(Debug)]
pub(crate) struct Task(JoinHandle<()>);

impl Task {
    /// Starts it. `died` is told if it panics, so that it does not die silently.
    pub(crate) fn start(
        work: impl Future<Output = ()> + Send + 'static,
        died: impl FnOnce() + Send + 'static,
    ) -> Task {
        Task(tokio::spawn(async move {
            if std::panic::AssertUnwindSafe(work).catch_unwind().await.is_err() {
                died();
            }
        }))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
