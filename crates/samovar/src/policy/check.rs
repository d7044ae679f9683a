//! Whether settings and policies can be: every mistake at once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{CachePolicy, KeyVersion, Strategy};
use crate::redis::RedisSettings;
use crate::settings::Settings;

/// Nothing here lasts longer: 100 years.
pub(crate) const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);
/// The most bytes of a cache's name, of its prefix and of its version.
const LONGEST_NAME: usize = 200;

/// A mistake in settings or in a policy.
///
/// ```
/// # use samovar::CachePolicy;
/// let wrong = CachePolicy { jitter: 20.0, ..CachePolicy::named("quotes") };
/// let problem = &wrong.problems()[0];
/// assert_eq!((problem.cache.as_deref(), problem.field), (Some("quotes"), "jitter"));
/// assert_eq!(problem.text, "found 20, allowed is 0 to 1");
/// assert_eq!(problem.to_string(), "cache \"quotes\", jitter: found 20, allowed is 0 to 1");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The cache whose policy it is in; `None`: the settings.
    pub cache: Option<Arc<str>>,
    /// The field.
    pub field: &'static str,
    /// What was found, and what is allowed.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cache {
            Some(cache) => write!(f, "cache {cache:?}, {}: {}", self.field, self.text),
            None => write!(f, "{}: {}", self.field, self.text),
        }
    }
}

/// Every mistake in the settings and in the policies of all caches that are to be used with them.
///
/// ```
/// # use samovar::{CachePolicy, Settings, check};
/// let wrong = CachePolicy { jitter: 20.0, priority: 101, ..CachePolicy::named("quotes") };
/// let told: Vec<String> = check(&Settings::default(), &[wrong]).iter().map(ToString::to_string).collect();
/// assert_eq!(told[0], "cache \"quotes\", jitter: found 20, allowed is 0 to 1");
/// assert_eq!(told.len(), 2);
/// ```
pub fn check(settings: &Settings, policies: &[CachePolicy]) -> Vec<Problem> {
    let mut problems = of_settings(settings);
    problems.extend(policies.iter().flat_map(CachePolicy::problems));
    for (at, policy) in policies.iter().enumerate() {
        problems.extend(policy.homeless(settings.data_dir.is_some()));
        for earlier in &policies[..at] {
            if policy.name == earlier.name {
                let text = format!("found {:?} twice, allowed is one policy for each", policy.name);
                problems.push(Problem { cache: Some(policy.name.clone()), field: "name", text });
            } else if policy.prefix().starts_with(&earlier.prefix())
                || earlier.prefix().starts_with(&policy.prefix())
            {
                let text = format!(
                    "found {:?}, and {:?} of the cache {:?}: names of the two could be the same; allowed is what \
                     neither begins the other",
                    policy.prefix(),
                    earlier.prefix(),
                    earlier.name,
                );
                let cache = Some(policy.name.clone());
                problems.push(Problem { cache, field: "key_prefix", text });
            }
        }
    }
    problems
}

fn of_settings(settings: &Settings) -> Vec<Problem> {
    let mut problems = Vec::new();
    if settings.sweep_after.is_some_and(|after| after > LONGEST) {
        let text = "found more than 100 years, allowed is less, or none".to_owned();
        problems.push(Problem { cache: None, field: "sweep_after", text });
    }
    if settings.replica_lag > LONGEST {
        let text = "found more than 100 years, allowed is less".to_owned();
        problems.push(Problem { cache: None, field: "replica_lag", text });
    }
    if let Some(Err(wrong)) = settings.redis.as_ref().map(RedisSettings::check) {
        problems.push(Problem { cache: None, field: "redis", text: wrong.to_string() });
    }
    problems
}

impl CachePolicy {
    /// Whether it keeps what must not be lost where nothing outlives the process.
    pub(crate) fn homeless(&self, has_directory: bool) -> Option<Problem> {
        let is_homeless = self.strategy == Strategy::WriteBack && !has_directory;
        let text = "found WriteBack without a data_dir; what it acknowledges is kept there, so every write will fail";
        let (cache, field) = (Some(Arc::clone(&self.name)), "strategy");
        is_homeless.then(|| Problem { cache, field, text: text.to_owned() })
    }

    /// What the full names of its keys begin with.
    pub(crate) fn prefix(&self) -> String {
        match &self.key_prefix {
            Some(prefix) => prefix.to_string(),
            None => format!("{}:", self.name),
        }
    }

    /// Every mistake in this policy alone.
    ///
    /// ```
    /// # use samovar::CachePolicy;
    /// assert!(CachePolicy::named("quotes").problems().is_empty());
    /// assert_eq!(CachePolicy::named("").problems()[0].field, "name");
    /// ```
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Found { cache: &self.name, problems: Vec::new() };
        found.name("name", &self.name);
        if let Some(prefix) = &self.key_prefix {
            found.name("key_prefix", prefix);
        }
        match &self.version {
            KeyVersion::None => {}
            KeyVersion::Schema(version) => found.name("version", version),
            KeyVersion::Period(period) => found.time("version", Some(*period), true),
        }
        found.time("ttl", Some(self.ttl), true);
        found.time("memory_ttl", self.memory_ttl, true);
        found.time("negative_ttl", self.negative_ttl, true);
        found.time("stale_window", Some(self.stale_window), false);
        found.time("fail_safe", Some(self.fail_safe), false);
        found.time("soft_timeout", self.soft_timeout, false);
        found.time("hard_timeout", self.hard_timeout, true);
        found.time("load_limit", self.load_limit, true);
        found.time("load_lease", self.load_lease, true);
        found.time("throttle", Some(self.throttle), false);
        found.range("jitter", Some(self.jitter), "0 to 1", |x| (0.0..=1.0).contains(&x));
        let between = |x| x > 0.0 && x < 1.0;
        found.range("refresh_ahead", self.refresh_ahead, "between 0 and 1", between);
        let beta = |x: f64| x > 0.0 && x <= 100.0;
        found.range("early_expiry", self.early_expiry, "more than 0, up to 100", beta);
        let attempts = f64::from(self.write_attempts);
        found.range("write_attempts", Some(attempts), "1 and more", |x| x >= 1.0);
        found.range("priority", Some(f64::from(self.priority)), "0 to 100", |x| x <= 100.0);
        if self.max_bytes == Some(0) {
            let text = "found 0, allowed is 1 and more, or none; to keep nothing in memory: memory = false";
            found.say("max_bytes", text.to_owned());
        }
        if self.memory_ttl.is_some_and(|memory| memory > self.ttl) {
            found.say(
                "memory_ttl",
                format!("found {:?}, allowed is up to ttl, {:?}", self.memory_ttl, self.ttl),
            );
        }
        found.order("soft_timeout", self.soft_timeout, "hard_timeout", self.hard_timeout);
        found.order("hard_timeout", self.hard_timeout, "load_limit", self.load_limit);
        found.problems
    }
}

/// Takes down what is wrong with one policy.
struct Found<'a> {
    cache: &'a Arc<str>,
    problems: Vec<Problem>,
}

impl Found<'_> {
    fn say(&mut self, field: &'static str, text: String) {
        self.problems.push(Problem { cache: Some(Arc::clone(self.cache)), field, text });
    }

    fn name(&mut self, field: &'static str, text: &str) {
        let is_plain =
            !text.is_empty() && text.len() <= LONGEST_NAME && !text.chars().any(char::is_control);
        if !is_plain {
            self.say(field, format!("found {text:?}, allowed are 1 to {LONGEST_NAME} bytes without control characters"));
        }
    }

    fn time(&mut self, field: &'static str, time: Option<Duration>, positive: bool) {
        match time {
            // Shorter than the clock tells apart.
            Some(time) if positive && time < Duration::from_millis(1) => {
                self.say(field, format!("found {time:?}, allowed is 1 ms and more"));
            }
            Some(time) if time > LONGEST => {
                self.say(field, "found more than 100 years, allowed is less".into());
            }
            _ => {}
        }
    }

    fn range(
        &mut self,
        field: &'static str,
        found: Option<f64>,
        allowed: &str,
        is: impl Fn(f64) -> bool,
    ) {
        if let Some(found) = found.filter(|found| !is(*found)) {
            self.say(field, format!("found {found}, allowed is {allowed}"));
        }
    }

    fn order(
        &mut self,
        field: &'static str,
        one: Option<Duration>,
        than: &str,
        other: Option<Duration>,
    ) {
        if let (Some(one), Some(other)) = (one, other)
            && one >= other
        {
            self.say(field, format!("found {one:?}, allowed is less than {than}, {other:?}"));
        }
    }
}
