//! What is past its time leaves without being asked for.

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::select;
use samovar_core::Clock;

use super::MemoryTier;

/// The wall clock may be set: so often it is looked at, at least.
const LONGEST: Duration = Duration::from_secs(60);

/// Lets go of what is past its time, for as long as there is a tier. Sleeps until the next is due; while nothing is, it
/// sleeps by no clock at all.
pub(crate) async fn leave_in_time(tier: Weak<MemoryTier>, clock: Arc<dyn Clock>) {
    let Some(wake) = tier.upgrade().map(|tier| Arc::clone(&tier.wake)) else { return };
    loop {
        let Some(next) = tier.upgrade().map(|tier| tier.next_due()) else { return };
        match next {
            None => wake.notified().await,
            Some(due) => {
                let wait = due.since(clock.now()).unwrap_or_default().min(LONGEST);
                select(clock.sleep(wait), pin!(wake.notified())).await;
            }
        }
        while tier.upgrade().is_some_and(|tier| tier.expire(clock.now())) {
            tokio::task::yield_now().await;
        }
    }
}
