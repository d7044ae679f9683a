//! Ends a query when its reader has gone, or when it takes too long.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::FutureExt;
use samovar_core::Clock;

use crate::SourceError;

/// Shorter alarms are not worth setting.
const SOON: Duration = Duration::from_millis(1);

/// Cancels its query when it is dropped.
pub(super) struct CancelOnDrop(#[expect(dead_code, reason = "only dropped")] oneshot::Sender<()>);

/// Watches over one query. The time that its reader takes for the batches is not counted.
///
/// PostgreSQL's own `statement_timeout` would count it, because a COPY runs as long as it is read. So it is lifted,
/// and the time kept here.
pub(super) struct Watch {
    clock: Arc<dyn Clock>,
    timeout: Duration,
    left: RefCell<oneshot::Receiver<()>>,
    begun: Cell<Option<Duration>>,
    /// What the reader took in all, but for now.
    waited: Cell<Duration>,
    /// Since when it is waited for.
    waiting: Cell<Option<Duration>>,
}

impl Watch {
    pub(super) fn new(clock: Arc<dyn Clock>, timeout: Duration) -> (Watch, CancelOnDrop) {
        let (cancel, left) = oneshot::channel();
        let watch = Watch {
            clock,
            timeout,
            left: RefCell::new(left),
            begun: Cell::default(),
            waited: Cell::default(),
            waiting: Cell::default(),
        };
        (watch, CancelOnDrop(cancel))
    }

    /// Does what is the reader's time.
    pub(super) async fn not_counting<T>(&self, wait: impl Future<Output = T>) -> T {
        let begun = self.clock.elapsed();
        self.waiting.set(Some(begun));
        let outcome = wait.await;
        self.waiting.set(None);
        let took = self.clock.elapsed().saturating_sub(begun);
        self.waited.set(self.waited.get().saturating_add(took));
        outcome
    }

    /// An error if it took too long.
    pub(super) fn in_time(&self) -> Result<(), SourceError> {
        self.rest().map(|_| ())
    }

    /// Works until it is time to stop. Work that is stopped is dropped; to cancel it at the server is the caller's.
    pub(super) async fn over<T>(
        &self,
        work: impl Future<Output = Result<T, SourceError>>,
    ) -> Result<T, SourceError> {
        if self.begun.get().is_none() {
            self.begun.set(Some(self.clock.elapsed()));
        }
        let mut work = pin!(work);
        let mut alarm = pin!(tokio::time::sleep(self.timeout.max(SOON)));
        poll_fn(|context| {
            if self.left.borrow_mut().poll_unpin(context).is_ready() {
                return Poll::Ready(Err(SourceError::cancelled()));
            }
            if let Poll::Ready(outcome) = work.as_mut().poll(context) {
                return Poll::Ready(outcome.and_then(|done| self.in_time().map(|()| done)));
            }
            while alarm.as_mut().poll(context).is_ready() {
                match self.rest() {
                    Ok(rest) => alarm.set(tokio::time::sleep(rest.max(SOON))),
                    Err(late) => return Poll::Ready(Err(late)),
                }
            }
            Poll::Pending
        })
        .await
    }

    /// How much time is left.
    fn rest(&self) -> Result<Duration, SourceError> {
        let now = self.clock.elapsed();
        let since = |then: Option<Duration>| now.saturating_sub(then.unwrap_or(now));
        let waited = self.waited.get().saturating_add(since(self.waiting.get()));
        let spent = since(self.begun.get()).saturating_sub(waited);
        self.timeout.checked_sub(spent).ok_or_else(|| SourceError::too_late(self.timeout))
    }
}

#[cfg(test)]
mod tests {
    use samovar_core::Millis;
    use samovar_testkit::clock::FakeClock;

    use super::*;
    use crate::SourceErrorKind;

    fn clock() -> Arc<FakeClock> {
        FakeClock::at(Millis(0))
    }

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
    }

    #[test]
    fn the_time_of_the_reader_is_not_counted() {
        let clock = clock();
        let pass = |seconds| clock.advance(Duration::from_secs(seconds));
        let spend = |seconds| {
            let (watch, _cancel) = Watch::new(clock.clone(), Duration::from_secs(30));
            let work = async {
                watch.not_counting(async { pass(3_600) }).await;
                watch.in_time()?;
                pass(seconds);
                Ok(())
            };
            run(watch.over(work))
        };
        assert!(spend(30).is_ok());
        let wrong = spend(31).unwrap_err();
        assert_eq!(wrong.kind(), SourceErrorKind::Timeout);
        assert!(wrong.to_string().contains("30 s"), "{wrong}");
    }

    #[test]
    fn an_alarm_ends_what_does_not_end() {
        let clock = clock();
        let (watch, _cancel) = Watch::new(clock.clone(), Duration::ZERO);
        let work = async {
            clock.advance(Duration::from_secs(1));
            std::future::pending::<Result<(), SourceError>>().await
        };
        assert_eq!(run(watch.over(work)).unwrap_err().kind(), SourceErrorKind::Timeout);
    }

    #[test]
    fn a_query_that_nobody_waits_for_ends() {
        let (watch, cancel) = Watch::new(clock(), Duration::from_secs(30));
        let work = async {
            drop(cancel);
            std::future::pending::<Result<(), SourceError>>().await
        };
        assert!(run(watch.over(work)).is_err());
        let begun = run(watch.over(async { Ok(()) }));
        assert!(begun.is_err(), "nor is it begun");
    }
}
