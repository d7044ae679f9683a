//! The proof that goes with every answer.

use std::fmt;

use samovar_core::{Millis, TierName, Version};

/// How far the value that answered was derived beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The answer itself was cached.
    Result,
    /// Merged from metrics.
    Metrics,
    /// Metrics had to be derived from raw rows.
    Raw,
    /// Rows had to be read from the source.
    Source,
}

impl Level {
    /// The word used over HTTP.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Result => "result",
            Level::Metrics => "metrics",
            Level::Raw => "raw",
            Level::Source => "source",
        }
    }
}

/// How far an answer may be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Everything it covers is fresh.
    Fresh,
    /// Something it covers is past its time, or not looked at since a restart, and is being read again.
    Stale,
    /// Something it should cover is missing.
    Incomplete,
}

impl State {
    /// The word used over HTTP.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Fresh => "fresh",
            State::Stale => "stale",
            State::Incomplete => "incomplete",
        }
    }
}

/// Where an answer comes from and how far it may be trusted.
#[derive(Clone, Debug, PartialEq)]
pub struct Proof {
    /// How far what answered had been derived beforehand.
    pub level: Level,
    /// The farthest tier that was asked; `None`: the source.
    pub tier: Option<TierName>,
    /// Whether it is fresh.
    pub state: State,
    /// This node's position in the log of marks when the answer was begun: no mark up to here covers what
    /// is in it.
    pub version: Version,
    /// When the oldest of its partitions was read from the source.
    pub oldest: Option<Millis>,
    /// Number of partitions it covers, of both periods.
    pub covered: u64,
    /// Number of partitions it should cover and does not, or that the ranking of its stores lacked.
    pub missing: u64,
    /// Number of blocks that are being read again because of it.
    pub refreshing: u64,
}

impl fmt::Display for Proof {
    /// The form of the `Samovar-Proof` header.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tier = self.tier.map_or("source", TierName::as_str);
        let (level, state) = (self.level.as_str(), self.state.as_str());
        write!(f, "level={level}; tier={tier}; state={state}; version={}", self.version)?;
        write!(
            f,
            "; covered={}; missing={}; refreshing={}",
            self.covered, self.missing, self.refreshing
        )
    }
}
