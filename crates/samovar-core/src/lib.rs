//! The words and contracts of Samovar. No I/O and no runtime: every other crate speaks in these types.
//!
//! * [`Version`], [`Token`]: when a read of the source began, in numbers of the mark log.
//! * [`Mark`], [`Scope`], [`Pattern`]: an invalidation and what it covers.
//! * [`Key`], [`Partition`], [`Span`], [`Part`], [`Tags`], [`Entry`]: what is cached, and the stamps by which a read decides
//!   whether it may still be served.
//! * [`Tier`], [`MarkLog`], [`Judge`], [`Clock`], [`Writer`]: the contracts; their implementations live elsewhere.
//!
//! The law that ties them together is the *fence*: fills are not trusted, reads decide. An entry carries
//! the version at which its read of the source began, and every read asks whether a mark after that
//! version covers it.
//!
//! ```
//! use samovar_core::{Epoch, Key, Millis, Scope, Stamp, Tags, Tick, Token, Version};
//!
//! // A token is taken before a price is read from the source, and becomes its stamp.
//! let token = Token { version: Version { epoch: Epoch(7), seq: 42 }, tick: Tick(42) };
//! let stamp = Stamp::new(token, Millis(1_790_000_000_000));
//!
//! // Meanwhile the price is changed: the mark that says so has the number 43.
//! let (scope, number) = (Scope::Key(Key::new("prices", "42")), 43);
//!
//! // However late the old price comes to a tier, a read finds that it must not be served.
//! assert!(scope.covers(&Key::new("prices", "42"), &Tags::NONE) && stamp.version.seq < number);
//! ```

mod clock;
mod day;
mod entry;
mod error;
mod key;
mod log;
mod mark;
mod pattern;
mod tags;
mod tier;
mod version;
mod write;

pub use clock::{Clock, Millis, SystemClock};
pub use day::{Day, DayParseError, Partition, Span};
pub use entry::{Claim, Entry, Lifetime, Part, Parts, Stamp};
pub use error::{Error, ErrorKind};
pub use futures_core::future::BoxFuture;
pub use key::Key;
pub use log::{MarkLog, Next, Snapshot};
pub use mark::{Mark, MarkId, Mode, Numbered, Scope};
pub use pattern::Pattern;
pub use tags::Tags;
pub use tier::{CacheUsage, Got, Judge, Keep, Need, Tier, TierName, Usage, Verdict};
pub use version::{Epoch, History, Tick, Token, Version};
pub use write::{Fate, Write, WriteError, WriteId, Writer};
