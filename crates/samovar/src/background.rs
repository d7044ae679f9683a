//! The only place that spawns. A thread that dies poisons its owner: whoever waits for it gets an error, and
//! nothing waits for ever.
//!
//! * [`Worker`]: a thread of its own, for what blocks (files).
//! * [`Tasks`]: futures that nobody waits for, on the caller's runtime where there is one: what a loader, a writer or a
//!   connection needs of a runtime is then what it needs anywhere else in the caller's program. Where that runtime ends
//!   first, as one of a test does, what is to go on for as long as the cache goes on: on a runtime of our own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::thread::JoinHandle;

use futures_channel::oneshot;
use futures_util::FutureExt;
use parking_lot::Mutex;
use samovar_core::{Error, ErrorKind};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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

/// Futures that run although nobody waits for them. Cheap to clone; who closes them closes them for all.
#[derive(Clone, Debug)]
pub(crate) struct Tasks {
    handle: Handle,
    running: TaskTracker,
    stop: CancellationToken,
    home: Arc<Home>,
}

/// Where tasks run.
#[derive(Debug)]
struct Home {
    /// Runs there for as long as the caller's runtime does.
    canary: Option<Canary>,
    /// The runtime, if the caller has none, or none any more.
    own: OnceLock<Own>,
}

#[derive(Debug)]
struct Canary {
    task: AbortHandle,
    is_dead: Arc<AtomicBool>,
}

impl Canary {
    fn on(handle: &Handle) -> Canary {
        struct Dies(Arc<AtomicBool>);
        impl Drop for Dies {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let is_dead = Arc::<AtomicBool>::default();
        let dies = Dies(Arc::clone(&is_dead));
        let task = handle.spawn(async move {
            let _dies = dies;
            std::future::pending::<()>().await;
        });
        Canary { task: task.abort_handle(), is_dead }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(canary) = &self.canary {
            canary.task.abort();
        }
    }
}

impl Tasks {
    /// Tasks on the runtime in whose context this is called, for as long as that is there; else on a runtime of their
    /// own, with one thread.
    pub(crate) fn new() -> Result<Tasks, Error> {
        let (handle, canary, own) = match Handle::try_current() {
            Ok(handle) => (handle.clone(), Some(Canary::on(&handle)), OnceLock::new()),
            Err(_) => {
                let own = Own::new()?;
                (own.handle.clone(), None, OnceLock::from(own))
            }
        };
        let (running, stop) = (TaskTracker::new(), CancellationToken::new());
        Ok(Tasks { handle, running, stop, home: Arc::new(Home { canary, own }) })
    }

    /// The runtime that they run on.
    fn handle(&self) -> &Handle {
        if !self.have_moved() {
            return &self.handle;
        }
        // Where the system gives no thread, nothing can go on in the background.
        self.own().unwrap_or(&self.handle)
    }

    /// Whether the caller's runtime has ended: what needs it is of no use any more.
    pub(crate) fn have_moved(&self) -> bool {
        self.home.canary.as_ref().is_some_and(|canary| canary.is_dead.load(Ordering::Relaxed))
    }

    /// The runtime of our own, if one can be had.
    fn own(&self) -> Option<&Handle> {
        if self.home.own.get().is_none()
            && let Ok(own) = Own::new()
        {
            // Of two that come at once, one has theirs.
            let _ = self.home.own.set(own);
        }
        self.home.own.get().map(|own| &own.handle)
    }

    /// Runs a future to its end, or until the tasks are closed: it is then dropped where it waits. What it is for
    /// must say so itself should it panic: a task has no owner to tell.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        let task = async move {
            let _ = stop.run_until_cancelled_owned(task).await;
        };
        self.running.spawn_on(task, self.handle());
    }

    /// Runs a future as [`Tasks::spawn`] does. Where the caller's runtime ends under it, it is dropped, and another is
    /// made and run on the runtime of our own: what it had taken up by then it must give back.
    pub(crate) fn keep<F>(&self, make: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let make: Make = Box::new(move || Box::pin(make()));
        let is_last = self.home.canary.is_none();
        let again = Again { tasks: self.clone(), make: Some(make), is_last, is_polled: false };
        again.run(self.handle());
    }

    /// The runtime that they run on, for what has to be polled in its context.
    #[cfg(any(feature = "redis", test))]
    pub(crate) fn runtime(&self) -> &Handle {
        self.handle()
    }

    /// Tasks on the same runtime that are closed apart from these.
    pub(crate) fn apart(&self) -> Tasks {
        let (running, stop) = (TaskTracker::new(), CancellationToken::new());
        Tasks { handle: self.handle.clone(), running, stop, home: Arc::clone(&self.home) }
    }

    /// Stops all tasks, and those that come later at once, without waiting for them.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
        self.running.close();
    }

    /// Stops all tasks, and those that come later at once. Returns when none runs.
    pub(crate) async fn close(&self) {
        self.stop();
        self.running.wait().await;
    }
}

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;
type Make = Box<dyn Fn() -> Running + Send + Sync>;

/// A future, and how to make the next. In this order: it is gone before the next is made.
struct Kept {
    running: Running,
    again: Again,
}

/// Makes a future anew if it is dropped with the caller's runtime.
struct Again {
    tasks: Tasks,
    /// `None`: it has come to its end.
    make: Option<Make>,
    /// It runs on the runtime of our own, behind which there is none.
    is_last: bool,
    /// It is being polled: dropped now, it has panicked, and would again.
    is_polled: bool,
}

impl Again {
    fn run(self, handle: &Handle) {
        let Some(make) = &self.make else { return };
        let (tracker, stop) = (self.tasks.running.clone(), self.tasks.stop.clone());
        let running = Box::pin(stop.run_until_cancelled_owned(make()).map(drop));
        tracker.spawn_on(Kept { running, again: self }, handle);
    }
}

impl Future for Kept {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.again.is_polled = true;
        let polled = self.running.as_mut().poll(context);
        self.again.is_polled = false;
        ready!(polled);
        self.again.make = None;
        Poll::Ready(())
    }
}

impl Drop for Again {
    fn drop(&mut self) {
        let is_over = self.is_last || self.is_polled || self.tasks.stop.is_cancelled();
        let Some(make) = self.make.take().filter(|_| !is_over) else { return };
        if let Some(own) = self.tasks.own() {
            let tasks = self.tasks.clone();
            let again = Again { tasks, make: Some(make), is_last: true, is_polled: false };
            again.run(own);
        }
    }
}

/// A runtime of our own. Wherever its last owner is dropped, it must not wait for its threads there: that would be
/// a panic within another runtime.
#[derive(Debug)]
struct Own {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Own {
    fn new() -> Result<Own, Error> {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("samovar-tasks").enable_all().build();
        let runtime = runtime.map_err(|e| {
            Error::new(ErrorKind::Storage, "starting a runtime for tasks").because(e)
        })?;
        Ok(Own { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_executor::block_on;

    use super::*;

    /// Tasks that are made within a runtime.
    fn tasks_on(runtime: &Runtime) -> Tasks {
        let _context = runtime.enter();
        Tasks::new().unwrap()
    }

    fn does_its_work(tasks: &Tasks) -> oneshot::Receiver<bool> {
        let (send, receive) = oneshot::channel();
        tasks.spawn(async move {
            tokio::task::yield_now().await;
            let _ = send.send(Handle::try_current().is_ok());
        });
        receive
    }

    #[test]
    fn tasks_run_without_a_runtime_of_the_callers() {
        let tasks = Tasks::new().unwrap();
        assert_eq!(block_on(does_its_work(&tasks)), Ok(true));
        block_on(tasks.close());
    }

    #[test]
    fn tasks_run_on_the_callers_runtime() {
        let runtime = Builder::new_current_thread().build().unwrap();
        let tasks = tasks_on(&runtime);
        let mut done = does_its_work(&tasks);
        assert_eq!(done.try_recv(), Ok(None), "nobody drives it yet");
        assert_eq!(runtime.block_on(done), Ok(true));
    }

    #[test]
    fn tasks_outlive_the_callers_runtime() {
        let runtime = Builder::new_current_thread().build().unwrap();
        let tasks = tasks_on(&runtime);
        drop(runtime);
        assert_eq!(block_on(does_its_work(&tasks)), Ok(true), "on a runtime of our own");
        assert_eq!(block_on(does_its_work(&tasks.apart())), Ok(true));
        block_on(tasks.close());
    }

    #[test]
    fn what_is_kept_goes_on_where_the_callers_runtime_ends() {
        for runtime in [Builder::new_current_thread(), Builder::new_multi_thread()] {
            let runtime = { runtime }.build().unwrap();
            let tasks = tasks_on(&runtime);
            let (begun, begins) = std::sync::mpsc::channel();
            let (ended, ends) = std::sync::mpsc::channel();
            struct Says(std::sync::mpsc::Sender<()>);
            impl Drop for Says {
                fn drop(&mut self) {
                    let _ = self.0.send(());
                }
            }
            tasks.keep(move || {
                let (begun, says) = (begun.clone(), Says(ended.clone()));
                async move {
                    let _says = says;
                    let _ = begun.send(());
                    std::future::pending::<()>().await;
                }
            });
            runtime.block_on(tokio::task::yield_now());
            begins.recv().unwrap();
            drop(runtime);
            ends.recv().expect("the first is gone before the next begins");
            begins.recv().expect("the next");
            block_on(tasks.close());
            ends.recv().expect("it ends with the tasks");
            assert!(begins.recv().is_err() && ends.recv().is_err(), "and is made no more");
        }
    }

    #[test]
    fn what_is_kept_and_comes_to_its_end_or_panics_is_not_made_again() {
        for panics in [false, true] {
            let runtime = Builder::new_current_thread().build().unwrap();
            let tasks = tasks_on(&runtime);
            let (begun, begins) = std::sync::mpsc::channel();
            tasks.keep(move || {
                let begun = begun.clone();
                async move {
                    begun.send(()).unwrap();
                    assert!(!panics, "as told");
                }
            });
            runtime.block_on(tokio::task::yield_now());
            drop(runtime);
            assert!(begins.recv().is_ok() && begins.recv().is_err());
        }
    }

    #[test]
    fn what_is_kept_goes_on_where_the_runtime_ends_by_a_panic() {
        let (begun, begins) = std::sync::mpsc::channel();
        let tasks = std::sync::Mutex::new(None);
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let runtime = Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let kept = tasks.lock().unwrap().insert(Tasks::new().unwrap()).clone();
                kept.keep(move || {
                    let begun = begun.clone();
                    async move {
                        begun.send(()).unwrap();
                        std::future::pending::<()>().await;
                    }
                });
                tokio::task::yield_now().await;
                panic!("as told");
            });
        }));
        assert!(unwound.is_err() && begins.recv().is_ok());
        begins.recv().expect("on the runtime of our own");
    }

    #[test]
    fn tasks_end_where_they_wait_and_none_begins_after_that() {
        let tasks = Tasks::new().unwrap();
        let (held, dropped) = oneshot::channel::<()>();
        tasks.spawn(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        block_on(tasks.close());
        assert!(block_on(dropped).is_err(), "what it held is let go of");
        assert!(block_on(does_its_work(&tasks)).is_err());
    }

    #[test]
    fn a_runtime_of_our_own_may_be_dropped_anywhere() {
        let tasks = Tasks::new().unwrap();
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(async move { drop(tasks) });
    }
}
