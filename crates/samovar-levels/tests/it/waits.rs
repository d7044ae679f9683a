//! Waits for what comes about by itself.

use std::future::Future;
use std::time::Duration;

use samovar_levels::Engine;

use crate::answers::counter;

/// Waits until something holds.
pub(crate) async fn until<F: Future<Output = bool>>(holds: impl Fn() -> F) {
    let wait = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("it comes about");
}

/// Waits until nothing is being read again.
pub(crate) async fn settled(engine: &Engine) {
    until(|| async { engine.refreshing() == 0 }).await;
}

/// Waits until a counter is more than it was.
pub(crate) async fn counted(engine: &Engine, name: &str, before: u64) {
    until(|| async { counter(engine, name) > before }).await;
}
