//! Keys whose source rests after a failed load.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use samovar_core::{Error, ErrorKind, Key};

/// The most keys that rest at once.
const MOST: usize = 10_000;
/// While there are so many, those that have rested are looked for so often in the time that one rests.
const SWEEPS: u32 = 16;

/// A failed load.
#[derive(Debug)]
struct Failed {
    at: Duration,
    until: Duration,
    error: Error,
}

/// The keys of a cache that failed a moment ago, at most 10,000: beyond that some are asked for again at once.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<Failures>);

#[derive(Debug, Default)]
struct Failures {
    keys: HashMap<Arc<str>, Failed>,
    /// Those that have rested are not looked for before then.
    sweep_at: Duration,
}

impl Throttle {
    /// The error for who asks for a key while it rests.
    pub(super) fn check(&self, key: &Key, now: Duration) -> Option<Error> {
        let mut failed = self.0.lock();
        let Failed { at, until, error } = failed.keys.get(&key.id)?;
        if *until <= now {
            failed.keys.remove(&key.id);
            return None;
        }
        let (ago, rest) = (now.saturating_sub(*at), *until - now);
        let text =
            format!("loading {key} failed {ago:?} ago; its source is asked again in {rest:?}");
        Some(Error::new(ErrorKind::Throttled, text).because(error.clone()))
    }

    /// A load of a key has failed at `now`, and it rests for so long.
    pub(super) fn rest(&self, key: &Key, now: Duration, rest: Duration, error: &Error) {
        if rest.is_zero() {
            return;
        }
        let mut failed = self.0.lock();
        // Now and then: where very many fail, each would else look at all the others.
        if failed.keys.len() >= MOST && failed.sweep_at <= now {
            failed.keys.retain(|_, failed| failed.until > now);
            failed.sweep_at = now.saturating_add(rest / SWEEPS);
        }
        if failed.keys.len() >= MOST {
            let any = failed.keys.keys().next().cloned();
            any.and_then(|any| failed.keys.remove(&any));
        }
        let (until, error) = (now.saturating_add(rest), error.clone());
        failed.keys.insert(Arc::clone(&key.id), Failed { at: now, until, error });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_forgets_what_has_rested_first() {
        let (throttle, error) = (Throttle::default(), Error::new(ErrorKind::Source, "down"));
        let key = |id: usize| Key::new("c", id.to_string());
        let seconds = Duration::from_secs;
        for id in 0..MOST {
            throttle.rest(&key(id), seconds(0), seconds(10 + id as u64 % 2), &error);
        }
        throttle.rest(&key(MOST), seconds(10), seconds(10), &error);
        assert_eq!(throttle.0.lock().keys.len(), MOST / 2 + 1);
        for id in MOST..3 * MOST {
            throttle.rest(&key(id), seconds(10), seconds(10), &error);
        }
        assert_eq!(throttle.0.lock().keys.len(), MOST);
        assert!(throttle.check(&key(3 * MOST - 1), seconds(19)).is_some());
        assert!(throttle.check(&key(3 * MOST - 1), seconds(20)).is_none());
        assert_eq!(throttle.0.lock().keys.len(), MOST - 1);
    }

    #[test]
    fn while_it_is_full_it_is_swept_now_and_then() {
        let (throttle, error) = (Throttle::default(), Error::new(ErrorKind::Source, "down"));
        let key = |id: usize| Key::new("c", id.to_string());
        let at = Duration::from_millis;
        let rest = at(1_600);
        for id in 0..MOST {
            throttle.rest(&key(id), at(0), rest, &error);
        }
        let sweeps = (0..1_600).filter(|millis| {
            let before = throttle.0.lock().sweep_at;
            throttle.rest(&key(MOST + millis), at(*millis as u64), rest, &error);
            throttle.0.lock().sweep_at != before
        });
        assert_eq!(sweeps.count(), 16, "of 1,600 failures");
    }
}
