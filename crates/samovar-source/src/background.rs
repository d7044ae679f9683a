//! The only place of this crate that spawns.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use futures_channel::oneshot;
use samovar_core::{BoxFuture, Clock};

use crate::{SourceError, SourceErrorKind};

/// A piece of work for a thread that owns a `C`.
pub(crate) type Job<C> = Box<dyn FnOnce(&mut C) + Send>;

/// A few threads, each with a connection of its own, taking jobs in order.
pub(crate) struct Pool<C> {
    jobs: mpsc::Sender<Job<C>>,
    /// Microseconds that jobs took so far.
    busy: Arc<AtomicU64>,
}

impl<C: Send + 'static> Pool<C> {
    /// Starts a thread for each connection. They end when the pool is dropped.
    pub(crate) fn start(
        connections: Vec<C>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Pool<C>, SourceError> {
        let (jobs, queue) = mpsc::channel::<Job<C>>();
        let busy = Arc::new(AtomicU64::new(0));
        let queue = Arc::new(Mutex::new(queue));
        for mut connection in connections {
            let (queue, busy, clock) = (Arc::clone(&queue), Arc::clone(&busy), Arc::clone(clock));
            let thread = std::thread::Builder::new().name("samovar-source".into());
            let started = thread.spawn(move || {
                loop {
                    // The lock is given back before the job begins.
                    let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(job) = job else { return };
                    let begun = clock.elapsed();
                    // A job that panics drops its channel, which its reader sees; the thread goes on.
                    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        job(&mut connection);
                    }));
                    let took = clock.elapsed().saturating_sub(begun).as_micros();
                    busy.fetch_add(u64::try_from(took).unwrap_or(u64::MAX), Ordering::Relaxed);
                }
            });
            started.map_err(|e| {
                let message = "cannot start a thread for the database";
                SourceError::new(SourceErrorKind::Failed, message).because(e)
            })?;
        }
        Ok(Pool { jobs, busy })
    }

    /// How long its threads have worked so far, added up.
    pub(crate) fn busy(&self) -> Duration {
        Duration::from_micros(self.busy.load(Ordering::Relaxed))
    }

    /// Queues a job with one answer.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut C) -> Result<T, SourceError> + Send + 'static,
    ) -> impl Future<Output = Result<T, SourceError>> + Send + 'static {
        let (answer, answered) = oneshot::channel();
        self.run(move |connection| {
            // Nobody waits any more: nobody to tell.
            let _ = answer.send(job(connection));
        });
        async move { answered.await.unwrap_or_else(|_| Err(SourceError::panicked())) }
    }

    /// As [`Pool::ask`], for a job that ends when nobody waits for its answer any more: what cancels it is dropped then.
    pub(crate) fn ask_until_dropped<T: Send + 'static>(
        &self,
        cancel: impl Send + 'static,
        job: impl FnOnce(&mut C) -> Result<T, SourceError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, SourceError>> {
        let asked = self.ask(job);
        Box::pin(async move {
            let _cancel = cancel;
            asked.await
        })
    }

    /// Queues a job and waits for its answer, without an executor: the caller may stand in one, and they do not nest.
    pub(crate) fn wait<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut C) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let (answer, answered) = mpsc::channel();
        self.run(move |connection| {
            let _ = answer.send(job(connection));
        });
        answered.recv().unwrap_or_else(|_| Err(SourceError::panicked()))
    }

    /// Queues a job. If all threads are gone the job is dropped, and with it the channel it answers on.
    pub(crate) fn run(&self, job: impl FnOnce(&mut C) + Send + 'static) {
        let _ = self.jobs.send(Box::new(job));
    }
}
