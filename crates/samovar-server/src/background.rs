//! The only place of this crate that spawns.

use tokio::sync::oneshot;

/// Waits until something is done, on a thread of its own, since the caller may stand in a runtime, and they do not nest.
/// `None` if the work panics, or if there is no thread to be had.
pub(crate) fn wait<T: Send>(name: &str, work: impl Future<Output = T> + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(name.into());
        thread.spawn_scoped(scope, || futures_executor::block_on(work)).ok()?.join().ok()
    })
}

/// Runs what blocks on a thread of its own: not one of the runtime's, which would wait for it when the server stops.
/// The receiver fails if the work panics, or if there is no thread to be had.
pub(crate) fn on_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> oneshot::Receiver<T> {
    let (done, outcome) = oneshot::channel();
    let thread = std::thread::Builder::new().name(name.into());
    // If it cannot be started the channel is dropped with the work.
    let _ = thread.spawn(move || {
        // Nobody may wait any more.
        let _ = done.send(work());
    });
    outcome
}
