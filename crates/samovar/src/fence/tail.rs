//! The thread that applies what the log yields, in order, and says what befell the log.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;
use futures_executor::block_on;
use futures_util::future::{Either, select};
use parking_lot::Mutex;
use samovar_core::{Clock, Error, ErrorKind, MarkLog, Next};

use super::{Fence, Marker};
use crate::background::Worker;
use crate::counters::{Counted, Counters};

/// How long to wait for a log that is away.
const PAUSE: Duration = Duration::from_millis(100);

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
        counters: Arc<Counters>,
        clock: Arc<dyn Clock>,
    ) -> Result<Tail, Error> {
        let (stop, mut stopped) = oneshot::channel::<()>();
        let last = fence.clone();
        let follow = async move {
            let mut follower = Follower {
                fence,
                marker,
                counters,
                clock,
                founded: 0,
                trouble: None,
                hazard: None,
                is_elsewhere: true,
            };
            while follower.fence.is_adrift() {
                match select(pin!(follower.join(&*log)), &mut stopped).await {
                    Either::Left((joined, _)) => joined?,
                    Either::Right(_) => return Ok(()),
                }
            }
            loop {
                let next = async {
                    follower.look_around(&*log).await;
                    let (history, after) = follower.fence.known();
                    log.next(&history, after).await
                };
                let next = match select(pin!(next), &mut stopped).await {
                    Either::Left((next, _)) => next?,
                    // Told to stop, or the owner is gone.
                    Either::Right(_) => return Ok(()),
                };
                follower.note_founded(log.founded());
                follower.take(next)?;
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

/// Says what a log has lost since this node was stopped.
pub(crate) fn say_lost(counters: &Counters, clock: &dyn Clock, lost: u64) {
    if lost > 0 {
        counters.count(Counted::LogTurned, 1);
        let text = format!(
            "the shared log has lost {lost} invalidations that were applied here before this node was stopped: they \
             are sent again"
        );
        counters.say(clock.now(), text);
    }
}

/// Lets a fence take in what comes next in its log.
struct Follower {
    fence: Fence,
    marker: Arc<Marker>,
    counters: Arc<Counters>,
    clock: Arc<dyn Clock>,
    /// How many times the log was founded from here.
    founded: u64,
    /// Why it could not be joined, as was said last.
    trouble: Option<String>,
    /// What threatens the log, as was said last.
    hazard: Option<String>,
    /// The log stands where it has not been looked around yet.
    is_elsewhere: bool,
}

impl Follower {
    /// Takes in what a log holds that was away until now, or waits a moment: whatever the trouble is, it may be over by
    /// itself (too many clients, data that is being loaded, a password that is being changed), unless the log has ended or
    /// cannot be read by this version.
    async fn join(&mut self, log: &dyn MarkLog) -> Result<(), Error> {
        match log.snapshot().await {
            Ok(snapshot) => {
                let lost = self.fence.join(&snapshot, || self.marker.everything_for(&snapshot));
                self.counters
                    .say(self.clock.now(), "the shared log is in reach, and has been joined");
                say_lost(&self.counters, &*self.clock, lost);
            }
            Err(last) if matches!(last.kind(), ErrorKind::Format | ErrorKind::Closed) => {
                return Err(last);
            }
            Err(trouble) => {
                // That it is away was said at the start.
                let text = format!("the shared log is in reach, but cannot be joined: {trouble}");
                if trouble.kind() != ErrorKind::Away && self.trouble.as_ref() != Some(&text) {
                    self.counters.say(self.clock.now(), text.clone());
                    self.trouble = Some(text);
                }
                self.clock.sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Says what threatens the log where it stands now, if that has not been said.
    async fn look_around(&mut self, log: &dyn MarkLog) {
        if !self.is_elsewhere {
            return;
        }
        // If it cannot be told now, it is asked again with what comes next.
        if let Ok(hazard) = log.hazard().await {
            self.is_elsewhere = false;
            if let Some(hazard) = hazard.filter(|hazard| self.hazard.as_ref() != Some(hazard)) {
                self.counters.say(self.clock.now(), hazard.clone());
                self.hazard = Some(hazard);
            }
        }
    }

    fn take(&mut self, next: Next) -> Result<(), Error> {
        match next {
            Next::Marks(marks) => self.fence.apply(&marks)?,
            Next::History(history) => {
                let is_new = history != *self.fence.known().0;
                let marker = &self.marker;
                let everything = history.epoch().map(|epoch| move || marker.everything(epoch));
                let Some(everything) = everything else { return Ok(()) };
                let lost = self.fence.turn(history, everything);
                if is_new {
                    self.is_elsewhere = true;
                    let after = self.fence.position();
                    let text = format!(
                        "the shared log has begun an epoch after {after}; {lost} invalidations applied here were not \
                         in it any more and are sent again"
                    );
                    self.say(Counted::LogTurned, text);
                }
            }
            Next::Gap(begins) => {
                if self.fence.gap(begins) {
                    let text = format!(
                        "the shared log has let go of invalidations up to number {begins} before this node had \
                         them: whatever was cached here before is taken for invalidated; a log that keeps more \
                         (keep) makes that rarer"
                    );
                    self.say(Counted::LogGap, text);
                }
            }
        }
        Ok(())
    }

    fn note_founded(&mut self, founded: u64) {
        if std::mem::replace(&mut self.founded, founded) != founded {
            let text = "the shared log was gone, or only a part of it was there: it has been founded again";
            self.say(Counted::LogFounded, text.to_owned());
        }
    }

    fn say(&self, what: Counted, text: String) {
        self.counters.count(what, 1);
        self.counters.say(self.clock.now(), text);
    }
}
