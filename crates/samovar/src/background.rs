//! The only place that spawns. A thread that dies poisons its owner: whoever waits for it gets an error, and
//! nothing waits for ever.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use futures_channel::oneshot;
use parking_lot::Mutex;
use samovar_core::{Error, ErrorKind};

/// Why a thread has ended, once it has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health(Arc<OnceLock<Error>>);

impl Health {
    /// The error to give to those who wait for a thread that is gone.
    pub(crate) fn why(&self) -> Error {
        self.0.get().cloned().unwrap_or_else(closed)
    }
}

pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the cache has been closed")
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

/// A thread that works for one owner.
#[derive(Debug)]
pub(crate) struct Worker {
    health: Health,
    handle: Mutex<Option<JoinHandle<()>>>,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Worker {
    /// Runs `body` on a thread of its own. When it returns, fails or panics, `last` is called with the reason.
    pub(crate) fn spawn(
        name: &str,
        body: impl FnOnce() -> Result<(), Error> + Send + 'static,
        last: impl FnOnce(Error) + Send + 'static,
    ) -> Result<Worker, Error> {
        let health = Health::default();
        let (done, ended) = oneshot::channel();
        let own = health.clone();
        let who = name.to_owned();
        let handle = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let outcome = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
                    let text = panic_text(&*panic);
                    Err(Error::new(ErrorKind::Storage, format!("thread {who} panicked: {text}")))
                });
                let reason = outcome.err().unwrap_or_else(closed);
                let _ = own.0.set(reason.clone());
                last(reason);
                let _ = done.send(());
            })
            .map_err(|e| {
                Error::new(ErrorKind::Storage, format!("starting the thread {name}")).because(e)
            })?;
        Ok(Worker { health, handle: Mutex::new(Some(handle)), ended: Mutex::new(Some(ended)) })
    }

    /// Why the thread has ended, for those whom it left without an answer.
    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    /// Returns when the thread, told to stop, has ended.
    ///
    /// # Errors
    /// What it died of, if it did not end because it was told to.
    pub(crate) async fn ended(&self) -> Result<(), Error> {
        let ended = self.ended.lock().take();
        if let Some(ended) = ended {
            let _ = ended.await;
        }
        let handle = self.handle.lock().take();
        if let Some(handle) = handle {
            // It has said that it is done: this takes no time.
            let _ = handle.join();
        }
        match self.health.why() {
            error if error.kind() == ErrorKind::Closed => Ok(()),
            error => Err(error),
        }
    }
}

/// Runs something that blocks on a thread of its own, and waits for it without blocking.
pub(crate) async fn off_thread<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (send, receive) = oneshot::channel();
    let run = move || {
        let _ = send.send(body());
        Ok(())
    };
    let worker = Worker::spawn(name, run, |_| {})?;
    match receive.await {
        Ok(outcome) => outcome,
        Err(_) => {
            worker.ended().await?;
            Err(worker.health().why())
        }
    }
}
