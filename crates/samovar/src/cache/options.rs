//! What one call wants otherwise than the policy says.

use std::sync::Arc;
use std::time::Duration;

use samovar_core::{Lifetime, Tags};

use crate::policy::{CachePolicy, LONGEST};

/// How a value is put, beside its parts.
///
/// ```
/// # use samovar::{CachePolicy, PutOptions, Samovar, Settings};
/// # use samovar_core::{Mode, Part, Scope, Stamp, Tags};
/// # futures_executor::block_on(async {
/// # let samovar = Samovar::open(Settings::default()).await?;
/// # let names = samovar.cache::<String>(CachePolicy::named("product_names"));
/// # let stamp = Stamp::new(names.token(), samovar.clock().now());
/// # let parts = [Part { span: None, stamp }].into();
/// let options = PutOptions { tags: Tags::new(["supplier:7"])?, ..PutOptions::default() };
/// names.put_with("42", "Tea".to_owned(), parts, options);
/// samovar.mark(vec![Scope::Tag("supplier:7".into())], Mode::Remove, "renamed").await?;
/// assert!(names.peek("42").is_none());
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
pub struct PutOptions {
    /// Its tags: a mark on any of them covers it.
    pub tags: Tags,
    /// Below memory alone, as [`crate::Cache::put_below`] does.
    pub below: bool,
    /// How long it is fresh, in place of the policy's `ttl`; spread all the same.
    pub ttl: Option<Duration>,
    /// How long past that it may be served with a label, in place of the policy's; its fail-safe comes on top.
    pub stale_window: Option<Duration>,
}

/// How one call reads and loads, where it wants it otherwise than the policy of the cache. What is `None` is the
/// policy's. Those who wait for one load each go by their own; how long the value lives is said by who began it.
///
/// ```
/// # use samovar::{CachePolicy, Outcome, ReadOptions, Samovar, Settings};
/// # use samovar_core::Millis;
/// # use std::time::Duration;
/// # use samovar_testkit::clock::FakeClock;
/// # futures_executor::block_on(async {
/// # let clock = FakeClock::at(Millis(0));
/// # let settings = Settings { clock: clock.clone(), ..Settings::default() };
/// # let samovar = Samovar::open(settings).await?;
/// # let ttl = Duration::from_secs(60);
/// # let policy = CachePolicy { ttl, jitter: 0.0, ..CachePolicy::named("prices") };
/// # let prices = samovar.cache::<String>(policy);
/// // Who draws a page waits for 50 ms, and takes what is there then, if there is anything.
/// let patient = ReadOptions {
///     stale_window: Some(Duration::ZERO),
///     soft_timeout: Some(Duration::from_millis(50)),
///     ..ReadOptions::default()
/// };
/// prices.get_or_load("42", |_| async { Ok("12.50".to_owned()) }).await?;
/// clock.advance(Duration::from_secs(61)); // it was fresh for a minute
/// let load = |_| async { Ok("13.00".to_owned()) };
/// let answer = prices.get_or_load_with("42", patient, load).await?;
/// assert_eq!(answer.outcome, Outcome::Loaded, "the source was quick");
/// assert_eq!(answer.value.as_deref().map(String::as_str), Some("13.00"));
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
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
    /// Who has waited so long is given a stale value, if there is one. `Duration::MAX`: waits, whatever the policy
    /// says.
    pub soft_timeout: Option<Duration>,
    /// Who has waited so long is given an error, or what fail-safe allows. `Duration::MAX`: waits, whatever the policy
    /// says.
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
