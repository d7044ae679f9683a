//! The only place of this crate that spawns.

use std::sync::{Arc, Mutex, PoisonError, mpsc};

/// A piece of work for a thread that owns a `C`.
pub(crate) type Job<C> = Box<dyn FnOnce(&mut C) + Send>;

/// A few threads, each with a connection of its own, taking jobs in order.
pub(crate) struct Pool<C> {
    jobs: mpsc::Sender<Job<C>>,
}

impl<C: Send + 'static> Pool<C> {
    /// Starts a thread for each connection. They end when the pool is dropped.
    pub(crate) fn start(connections: Vec<C>) -> std::io::Result<Pool<C>> {
        let (jobs, queue) = mpsc::channel::<Job<C>>();
        let queue = Arc::new(Mutex::new(queue));
        for mut connection in connections {
            let queue = Arc::clone(&queue);
            std::thread::Builder::new().name("samovar-source".into()).spawn(move || {
                loop {
                    // The lock is given back before the job begins.
                    let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(job) = job else { return };
                    // A job that panics drops its channel, which its reader sees; the thread goes on.
                    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        job(&mut connection);
                    }));
                }
            })?;
        }
        Ok(Pool { jobs })
    }

    /// Queues a job. If all threads are gone the job is dropped, and with it the channel it answers on.
    pub(crate) fn run(&self, job: impl FnOnce(&mut C) + Send + 'static) {
        let _ = self.jobs.send(Box::new(job));
    }
}
