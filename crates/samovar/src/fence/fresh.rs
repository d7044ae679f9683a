//! The predicate: everything rests on it, at every read, in every tier.

use std::time::Duration;

use samovar_core::{Lifetime, Millis, Verdict};

use super::standing::{Cover, Reach};

/// By so much the clocks of two nodes may differ before the windows of an `expire` suffer.
const SKEW: Duration = Duration::from_secs(1);

/// What the predicate says of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ruling {
    /// Of the part as a whole: that of its worst day.
    pub(crate) verdict: Verdict,
    /// No day of it may ever be served again.
    pub(crate) dead: bool,
}

/// The verdict on a part that lies on the history, by the marks that cover it and its age.
///
/// A `remove` refuses. An `expire`, and the end of the lifetime, leave it to be served as stale for the stale
/// window, counted from the first of those `expire`s or from the end of the lifetime. A clock that has gone
/// backwards cannot say how much of a window is left: then it is over. But an `expire` may come from a node whose clock is a
/// little ahead.
pub(crate) fn rule(cover: &Cover, read_at: Millis, lifetime: Lifetime, now: Millis) -> Ruling {
    let by_age = match now.since(read_at) {
        None => Verdict::Refused,
        Some(age) if age < lifetime.ttl => Verdict::Fresh,
        Some(age) if age < lifetime.ttl.saturating_add(lifetime.stale_window) => Verdict::Stale,
        Some(_) => Verdict::Refused,
    };
    let by_marks = |reach: &Reach| match reach {
        Reach { removed: true, .. } => Verdict::Refused,
        Reach { expired: None, .. } => Verdict::Fresh,
        Reach { expired: Some(at), .. } => match passed(*at, now) {
            Some(since) if since < lifetime.stale_window => Verdict::Stale,
            _ => Verdict::Refused,
        },
    };
    let whole = by_age.max(by_marks(&cover.whole));
    Ruling { verdict: whole.max(by_marks(&cover.days)), dead: whole == Verdict::Refused }
}

/// The time since an `expire` was accepted, on this node or another.
fn passed(at: Millis, now: Millis) -> Option<Duration> {
    let ahead = || at.since(now).filter(|ahead| *ahead <= SKEW).map(|_| Duration::ZERO);
    now.since(at).or_else(ahead)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Lifetime =
        Lifetime { ttl: Duration::from_millis(100), stale_window: Duration::from_millis(50) };

    fn verdict(cover: Cover, now: i64) -> Verdict {
        rule(&cover, Millis(1_000), HOUR, Millis(now)).verdict
    }

    #[test]
    fn age_alone() {
        let at = |now| verdict(Cover::default(), now);
        assert_eq!(at(1_000), Verdict::Fresh);
        assert_eq!(at(1_099), Verdict::Fresh);
        assert_eq!(at(1_100), Verdict::Stale);
        assert_eq!(at(1_149), Verdict::Stale);
        assert_eq!(at(1_150), Verdict::Refused);
        assert_eq!(at(999), Verdict::Refused, "the clock has gone backwards");
    }

    #[test]
    fn the_window_of_an_expire_runs_from_its_acceptance() {
        let expired = Reach { removed: false, expired: Some(Millis(1_010)) };
        let cover = Cover { whole: expired, ..Cover::default() };
        assert_eq!(verdict(cover, 1_010), Verdict::Stale);
        assert_eq!(verdict(cover, 1_059), Verdict::Stale);
        assert_eq!(verdict(cover, 1_060), Verdict::Refused);
    }

    #[test]
    fn an_expire_of_a_node_whose_clock_is_a_little_ahead_leaves_its_window() {
        let ahead = |by: i64| {
            let expired = Reach { removed: false, expired: Some(Millis(1_000 + by)) };
            verdict(Cover { whole: expired, ..Cover::default() }, 1_000)
        };
        assert_eq!(ahead(20), Verdict::Stale);
        assert_eq!(ahead(1_000), Verdict::Stale);
        assert_eq!(ahead(1_001), Verdict::Refused, "or the clock here has gone backwards");
    }

    #[test]
    fn what_loses_some_days_is_not_dead() {
        let removed = Reach { removed: true, expired: None };
        let days =
            rule(&Cover { days: removed, ..Cover::default() }, Millis(1_000), HOUR, Millis(1_000));
        assert_eq!(days, Ruling { verdict: Verdict::Refused, dead: false });
        let whole =
            rule(&Cover { whole: removed, ..Cover::default() }, Millis(1_000), HOUR, Millis(1_000));
        assert_eq!(whole, Ruling { verdict: Verdict::Refused, dead: true });
    }
}
