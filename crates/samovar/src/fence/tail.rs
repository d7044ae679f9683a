//! The thread that applies what the log yields, in order.

use std::sync::Arc;

use futures_channel::oneshot;
use futures_executor::block_on;
use futures_util::future::{Either, select};
use parking_lot::Mutex;
use samovar_core::{Error, MarkLog, Mode, Next, Scope};

use super::{Fence, Marker};
use crate::background::Worker;

/// See the module.
#[derive(Debug)]
pub(crate) struct Tail {
    stop: Mutex<Option<oneshot::Sender<()>>>,
    worker: Worker,
}

impl Tail {
    pub(crate) fn start(
        log: Arc<dyn MarkLog>,
        fence: Fence,
        marker: Arc<Marker>,
    ) -> Result<Tail, Error> {
        let (stop, mut stopped) = oneshot::channel::<()>();
        let last = fence.clone();
        let follow = async move {
            loop {
                let (history, after) = fence.known();
                match select(log.next(&history, after), &mut stopped).await {
                    Either::Left((next, _)) => take(&fence, &marker, next?)?,
                    // Told to stop, or the owner is gone.
                    Either::Right(_) => return Ok(()),
                }
            }
        };
        let worker =
            Worker::spawn("samovar-tail", move || block_on(follow), move |error| last.fail(error))?;
        Ok(Tail { stop: Mutex::new(Some(stop)), worker })
    }

    pub(crate) async fn stop(&self) -> Result<(), Error> {
        drop(self.stop.lock().take());
        self.worker.ended().await
    }
}

/// Lets a fence take in what comes next in its log.
pub(super) fn take(fence: &Fence, marker: &Marker, next: Next) -> Result<(), Error> {
    match next {
        Next::Marks(marks) => fence.apply(&marks)?,
        Next::History(history) => {
            let lost = "the log has lost marks that this node no longer remembers";
            let everything = || marker.mark(Scope::Everything, Mode::Remove, &lost.into());
            fence.turn(history, everything);
        }
        Next::Gap(begins) => {
            fence.gap(begins);
        }
    }
    Ok(())
}
