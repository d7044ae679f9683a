//! How a log over Redis behaves.

use std::time::Duration;

use samovar_core::{Error, ErrorKind};

use crate::policy::LONGEST;

/// How a log over Redis behaves.
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use samovar::fence::{RedisLog, RedisLogOptions};
/// # use samovar::redis::RedisSettings;
/// # use samovar_core::{ErrorKind, MarkLog, SystemClock};
/// # let clock = Arc::new(SystemClock::new());
/// let redis = RedisSettings::standalone(["redis://cache.example"])?;
/// let options = RedisLogOptions { lease: Duration::ZERO, ..RedisLogOptions::default() };
/// assert_eq!(RedisLog::new(&redis, options, clock.clone())?.lease(), None, "there are no leases");
///
/// let tiny = RedisLogOptions { keep: 10, ..options };
/// let error = RedisLog::new(&redis, tiny, clock).unwrap_err();
/// assert_eq!(error.to_string(), "the log's keep is at least 1,000 marks");
/// # Ok::<(), samovar_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedisLogOptions {
    /// About how many marks it holds, at least 1,000. One of 40 bytes takes 52 bytes of Redis' memory where sixteen are sent
    /// together, 95 where it is alone. A node that was away for longer takes everything for invalidated.
    pub keep: u64,
    /// It is looked at so often; at least 10 ms.
    pub look_every: Duration,
    /// A node that has seen the log within this time knows what its newest marks were. One that could not write to its
    /// server for so long labels what it serves as stale. Zero: there are no leases, and no labels but those of a start while
    /// the log is away, until it is reached.
    pub lease: Duration,
    /// Others wait so much longer than the lease before they found a log that is gone.
    pub margin: Duration,
    /// So many replicas have to confirm a mark, and the renewal of a lease, before it counts. With 0 a failover may lose
    /// marks that were acknowledged, which the nodes that have seen them send again.
    pub replicas: u32,
    /// One of the nodes puts what it knows beside the log so often, at least 10 ms: who joins begins there, and need
    /// not take what the log no longer holds for invalidated.
    pub table_every: Duration,
}

impl Default for RedisLogOptions {
    fn default() -> Self {
        RedisLogOptions {
            keep: 500_000,
            look_every: Duration::from_secs(1),
            lease: Duration::from_secs(5),
            margin: Duration::from_secs(1),
            replicas: 0,
            table_every: Duration::from_secs(300),
        }
    }
}

impl RedisLogOptions {
    pub(super) fn check(&self) -> Result<(), Error> {
        let wrong = |text: &str| Err(Error::new(ErrorKind::Invalid, text));
        if self.keep < 1_000 {
            return wrong("the log's keep is at least 1,000 marks");
        }
        if self.table_every < Duration::from_millis(10) {
            return wrong("the log's table_every is at least 10 ms");
        }
        if self.look_every < Duration::from_millis(10) {
            return wrong("the log's look_every is at least 10 ms");
        }
        let times = [self.table_every, self.look_every, self.lease, self.margin];
        if times.iter().any(|time| *time > LONGEST) {
            return wrong("the log's times are at most 100 years");
        }
        Ok(())
    }
}
