//! Versions: positions in the mark log that outlive a process.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The random name of an epoch of the mark log.
///
/// A log that lost its newest marks uses their numbers again; the name tells the two apart. It is random
/// and not a counter, because a second loss could use a counter's value again.
///
/// ```
/// # use samovar_core::{Epoch, Version};
/// // A log has lost its marks from 40 on and gives their numbers again, in another epoch.
/// let (lost, given_again) = (Version { epoch: Epoch(1), seq: 42 }, Version { epoch: Epoch(2), seq: 42 });
/// assert_ne!(lost, given_again);
/// assert_eq!(Epoch(0xfeed).to_string(), "000000000000feed");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A position in the mark log: the epoch, and the number of the last mark applied.
///
/// An entry's version is the one at which its read of the source *began*.
///
/// ```
/// # use samovar_core::{Epoch, Version};
/// let version = Version { epoch: Epoch(0xfeed), seq: 42 };
/// assert_eq!(version.to_string(), "000000000000feed:42");
/// assert_ne!(version, Version { seq: 43, ..version }, "a read that began after the next mark");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Version {
    /// The epoch whose numbering `seq` belongs to.
    pub epoch: Epoch,
    /// The number of the last mark applied; 0 before the first.
    pub seq: u64,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.seq)
    }
}

/// Counts the marks that this process has applied, numbered or pending. Means nothing in another process.
///
/// ```
/// # use samovar_core::Tick;
/// let read = Tick(41);
/// let marked = read.next();
/// assert!(read < marked, "the read began before that mark acted here: it decides");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tick(pub u64);

impl Tick {
    /// The one after it.
    ///
    /// ```
    /// # use samovar_core::Tick;
    /// assert_eq!(Tick(41).next(), Tick(42));
    /// ```
    pub fn next(self) -> Tick {
        Tick(self.0 + 1)
    }
}

/// What a reader takes *before* it reads anything: it becomes the stamp of what was read.
///
/// ```
/// # use samovar_core::{Epoch, Millis, Stamp, Tick, Token, Version};
/// let token = Token { version: Version { epoch: Epoch(7), seq: 42 }, tick: Tick(43) };
/// // … now the source is read, and while it is a mark comes, with number 43 …
/// let stamp = Stamp::new(token, Millis(1_790_000_000_000));
/// assert!(stamp.version.seq < 43, "whatever the read saw, the mark decides");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// For tiers that outlive the process.
    pub version: Version,
    /// For memory.
    pub tick: Tick,
}

/// The epochs of a log in order, each with the number after which it began.
///
/// ```
/// # use samovar_core::{Epoch, History, Version};
/// // The log lost what came after number 5, and goes on in another epoch.
/// let history = History(vec![(Epoch(1), 0), (Epoch(2), 5)]);
/// assert!(history.holds(Version { epoch: Epoch(1), seq: 5 }));
/// assert!(!history.holds(Version { epoch: Epoch(1), seq: 6 }), "it was lost");
/// assert!(history.holds(Version { epoch: Epoch(2), seq: 6 }), "its number was given again");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History(pub Vec<(Epoch, u64)>);

impl History {
    /// Whether a version lies on this history: its epoch is part of it, and no later epoch began before it.
    ///
    /// ```
    /// # use samovar_core::{Epoch, History, Version};
    /// let history = History(vec![(Epoch(1), 0), (Epoch(2), 5)]);
    /// assert!(history.holds(Version { epoch: Epoch(1), seq: 5 }));
    /// assert!(!history.holds(Version { epoch: Epoch(1), seq: 6 }), "lost when epoch 2 began");
    /// assert!(!history.holds(Version { epoch: Epoch(3), seq: 0 }), "an epoch never heard of");
    /// ```
    pub fn holds(&self, version: Version) -> bool {
        self.0
            .iter()
            .position(|(epoch, _)| *epoch == version.epoch)
            .is_some_and(|at| self.0[at + 1..].iter().all(|(_, start)| version.seq <= *start))
    }

    /// The version of a number on this history: of the epoch in which it was given. `None` for a number before the
    /// first epoch.
    ///
    /// ```
    /// # use samovar_core::{Epoch, History, Version};
    /// let history = History(vec![(Epoch(1), 0), (Epoch(2), 5)]);
    /// assert_eq!(history.at(6), Some(Version { epoch: Epoch(2), seq: 6 }));
    /// assert_eq!(history.at(5), Some(Version { epoch: Epoch(1), seq: 5 }));
    /// assert_eq!(history.at(0), Some(Version { epoch: Epoch(1), seq: 0 }));
    /// ```
    pub fn at(&self, seq: u64) -> Option<Version> {
        let first = self.0.first().filter(|(_, start)| *start <= seq);
        let within = self.0.iter().rev().find(|(_, start)| *start < seq);
        within.or(first).map(|(epoch, _)| Version { epoch: *epoch, seq })
    }

    /// The epoch in which the next number will be given; `None` if there is none yet.
    ///
    /// ```
    /// # use samovar_core::{Epoch, History};
    /// assert_eq!(History(vec![(Epoch(1), 0), (Epoch(2), 5)]).epoch(), Some(Epoch(2)));
    /// assert_eq!(History(Vec::new()).epoch(), None, "no log is known yet");
    /// ```
    pub fn epoch(&self) -> Option<Epoch> {
        self.0.last().map(|(epoch, _)| *epoch)
    }

    /// The number up to which two histories are one: what comes after it on either has another meaning on the other.
    /// `None` if they are equal.
    ///
    /// It is the lesser of the starts that follow the last epoch which they have in common, as with the leader
    /// epochs of Apache Kafka's KIP-101.
    ///
    /// ```
    /// # use samovar_core::{Epoch, History};
    /// let mine = History(vec![(Epoch(1), 0), (Epoch(2), 5)]);
    /// assert_eq!(mine.branch(&mine), None);
    /// let after_a_loss = History(vec![(Epoch(1), 0), (Epoch(2), 5), (Epoch(3), 7)]);
    /// assert_eq!(mine.branch(&after_a_loss), Some(7));
    /// let other = History(vec![(Epoch(1), 0), (Epoch(4), 3)]);
    /// assert_eq!(mine.branch(&other), Some(3));
    /// ```
    pub fn branch(&self, other: &History) -> Option<u64> {
        let common =
            self.0.iter().zip(&other.0).take_while(|(mine, theirs)| mine == theirs).count();
        let starts = [self, other].map(|history| history.0.get(common).map(|(_, start)| *start));
        starts.into_iter().flatten().min()
    }
}
