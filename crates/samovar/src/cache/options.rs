//! What one call wants otherwise than the policy says.

use std::sync::Arc;
use std::time::Duration;

use samovar_core::{Lifetime, Tags};

use crate::policy::{CachePolicy, LONGEST};

/// How a value is put, beside its parts.
///
/// ```
/// # use samovar::PutOptions;
/// # use samovar_core::Tags;
/// let options = PutOptions { tags: Tags::new(["supplier:7"])?, ..PutOptions::default() };
/// assert!(!options.below);
/// # Ok::<(), samovar_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct PutOptions {
    /// Its tags: a mark on any of them covers it.
    pub tags: Tags,
    /// Below memory alone, as [`crate::Cache::put_below`] does.
    pub below: bool,
    /// In place of the policy's.
    pub ttl: Option<Duration>,
    /// In place of the policy's.
    pub stale_window: Option<Duration>,
}

/// How one call reads and loads, where it wants it otherwise than the policy of the cache. What is `None` is the
/// policy's. Those who wait for one load each go by their own; how long the value lives is said by who began it.
///
/// ```
/// # use samovar::ReadOptions;
/// # use std::time::Duration;
/// // A page that is being drawn waits for 50 ms and takes what is there then, if there is anything.
/// let patient = ReadOptions {
///     stale_window: Some(Duration::ZERO),
///     soft_timeout: Some(Duration::from_millis(50)),
///     ..ReadOptions::default()
/// };
/// assert!(!patient.refresh);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadOptions {
    /// How long what is loaded is fresh.
    pub ttl: Option<Duration>,
    /// How long it is remembered that there is no such row; zero: not at all.
    pub negative_ttl: Option<Duration>,
    /// How long past its lifetime what is there is served at once, and what is loaded may be. Never longer than it was
    /// put to be kept, fail-safe included.
    pub stale_window: Option<Duration>,
    /// Zero: what is past its stale window is not served though the load fails. Otherwise the shorter of this and the
    /// policy's.
    pub fail_safe: Option<Duration>,
    /// `Duration::MAX`: waits, whatever the policy says.
    pub soft_timeout: Option<Duration>,
    /// `Duration::MAX`: waits, whatever the policy says.
    pub hard_timeout: Option<Duration>,
    /// How long the source rests if the load that this call begins fails.
    pub throttle: Option<Duration>,
    /// Tags beside those that the loader names.
    pub tags: Tags,
    /// Memory is neither read nor filled.
    pub skip_memory: bool,
    /// The source is asked, whatever is there; that is served only where fail-safe or a soft timeout says so. A load
    /// that is under way is joined.
    pub refresh: bool,
}

/// A policy with the options of a call.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    policy: Arc<CachePolicy>,
    pub(super) options: ReadOptions,
}

impl Terms {
    pub(super) fn new(policy: &Arc<CachePolicy>, options: ReadOptions) -> Terms {
        Terms { policy: Arc::clone(policy), options }
    }

    /// The lifetime of a value that is loaded by these terms, before it is spread.
    pub(super) fn lifetime(&self, ttl: Option<Duration>) -> Lifetime {
        let ttl = ttl.or(self.options.ttl).unwrap_or(self.policy.ttl);
        self.policy.lifetime(ttl, self.options.stale_window)
    }

    /// How long it is remembered that there is no value; `None`: not.
    pub(super) fn negative(&self, ttl: Option<Duration>) -> Option<Lifetime> {
        let ttl = ttl.or(self.options.negative_ttl).or(self.policy.negative_ttl)?;
        // What was not there may be by now: it is never served as stale.
        (!ttl.is_zero()).then_some(Lifetime { ttl: ttl.min(LONGEST), stale_window: Duration::ZERO })
    }

    /// The window in which something is served at once, and the one in which it may be served at all.
    pub(super) fn windows(&self, kept: Lifetime) -> (Duration, Duration) {
        let own = kept.stale_window.saturating_sub(self.policy.fail_safe);
        let window = self.options.stale_window.unwrap_or(own).min(kept.stale_window);
        let all = match self.options.fail_safe {
            None => kept.stale_window,
            Some(fail_safe) => own.saturating_add(fail_safe).min(kept.stale_window).max(window),
        };
        (window, all)
    }

    pub(super) fn soft_timeout(&self) -> Option<Duration> {
        limit(self.options.soft_timeout.or(self.policy.soft_timeout))
    }

    pub(super) fn hard_timeout(&self) -> Option<Duration> {
        limit(self.options.hard_timeout.or(self.policy.hard_timeout))
    }

    pub(super) fn load_limit(&self) -> Option<Duration> {
        limit(self.policy.load_limit)
    }

    pub(super) fn throttle(&self) -> Duration {
        self.options.throttle.unwrap_or(self.policy.throttle)
    }
}

/// What is longer than anything lasts is no limit.
fn limit(time: Option<Duration>) -> Option<Duration> {
    time.filter(|time| *time <= LONGEST)
}

impl CachePolicy {
    /// A lifetime before it is spread. The window holds the time of fail-safe too: readers of this cache know how much
    /// of it that is.
    pub(crate) fn lifetime(&self, ttl: Duration, stale_window: Option<Duration>) -> Lifetime {
        let stale_window = stale_window.unwrap_or(self.stale_window).saturating_add(self.fail_safe);
        Lifetime { ttl: ttl.min(LONGEST), stale_window: stale_window.min(LONGEST) }
    }
}
