//! Ends a query when its reader has gone, or when it takes too long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use samovar_core::Clock;

use super::failed;
use crate::SourceError;

/// Steps of SQLite's machine between two looks at the clock: about a tenth of a millisecond.
const STEPS: i32 = 10_000;

/// Cancels its query when it is dropped.
pub(crate) struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Watches over one query. The time that its reader takes for the batches is not counted.
pub(crate) struct Watch {
    clock: Arc<dyn Clock>,
    timeout: Duration,
    cancelled: Arc<AtomicBool>,
    waited: Arc<AtomicU64>,
}

impl Watch {
    pub(crate) fn new(clock: Arc<dyn Clock>, timeout: Duration) -> (Watch, CancelOnDrop) {
        let cancelled = Arc::new(AtomicBool::new(false));
        let cancel = CancelOnDrop(Arc::clone(&cancelled));
        (Watch { clock, timeout, cancelled, waited: Arc::default() }, cancel)
    }

    /// Does what is the reader's time.
    pub(super) fn not_counting<T>(&self, wait: impl FnOnce() -> T) -> T {
        let begun = self.clock.elapsed();
        let outcome = wait();
        let took = self.clock.elapsed().saturating_sub(begun).as_micros();
        self.waited.fetch_add(u64::try_from(took).unwrap_or(u64::MAX), Ordering::Relaxed);
        outcome
    }

    /// Runs queries on a connection; they are interrupted when it is time.
    pub(crate) fn over<T>(
        &self,
        connection: &mut Connection,
        work: impl FnOnce(&Connection) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        if self.is_cancelled() {
            return Err(SourceError::cancelled());
        }
        let (clock, timeout) = (Arc::clone(&self.clock), self.timeout);
        let (cancelled, waited) = (Arc::clone(&self.cancelled), Arc::clone(&self.waited));
        let begun = clock.elapsed();
        let stop = move || {
            let spent = clock.elapsed().saturating_sub(begun);
            let waited = Duration::from_micros(waited.load(Ordering::Relaxed));
            cancelled.load(Ordering::Relaxed) || spent.saturating_sub(waited) > timeout
        };
        connection.progress_handler(STEPS, Some(stop)).map_err(failed)?;
        let outcome = work(connection);
        connection.progress_handler(0, None::<fn() -> bool>).map_err(failed)?;
        outcome.map_err(|wrong| self.explain(wrong))
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// An interrupted query was cancelled, or took too long.
    fn explain(&self, wrong: SourceError) -> SourceError {
        let interrupted = std::error::Error::source(&wrong)
            .and_then(|cause| cause.downcast_ref::<rusqlite::Error>())
            .is_some_and(|e| e.sqlite_error_code() == Some(ErrorCode::OperationInterrupted));
        if !interrupted || self.is_cancelled() {
            return wrong;
        }
        SourceError::too_late(self.timeout)
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

    /// Many steps of SQLite's machine.
    fn count(connection: &Connection) -> Result<i64, SourceError> {
        let text = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
            SELECT count(*) FROM n";
        connection.query_row(text, [], |row| row.get(0)).map_err(failed)
    }

    #[test]
    fn the_time_of_the_reader_is_not_counted() {
        let clock = clock();
        let mut connection = Connection::open_in_memory().unwrap();
        let pass = |seconds| clock.advance(Duration::from_secs(seconds));
        let watch = || Watch::new(clock.clone(), Duration::from_secs(30));
        let (patient, _cancel) = watch();
        let counted = patient.over(&mut connection, |c| {
            patient.not_counting(|| pass(3_600));
            pass(30);
            count(c)
        });
        assert_eq!(counted.unwrap(), 50_000);
        let (late, _cancel) = watch();
        let wrong = late.over(&mut connection, |c| {
            late.not_counting(|| pass(3_600));
            pass(31);
            count(c)
        });
        let wrong = wrong.unwrap_err();
        assert_eq!(wrong.kind(), SourceErrorKind::Timeout);
        assert!(wrong.to_string().contains("30 s"), "{wrong}");
        // The connection is as good as new.
        let (next, _cancel) = watch();
        assert_eq!(next.over(&mut connection, count).unwrap(), 50_000);
    }

    #[test]
    fn a_query_that_nobody_waits_for_is_interrupted() {
        let mut connection = Connection::open_in_memory().unwrap();
        let (watch, cancel) = Watch::new(clock(), Duration::from_secs(30));
        let wrong = watch.over(&mut connection, |c| {
            drop(cancel);
            count(c)
        });
        assert!(wrong.unwrap_err().to_string().contains("interrupted"));
        let begun = watch.over(&mut connection, |_| Ok(()));
        assert!(begun.is_err(), "nor is it begun");
    }
}
