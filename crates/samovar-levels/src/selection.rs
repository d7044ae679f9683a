//! What a reader asks about: any stores, any range of days.

use std::fmt;
use std::sync::Arc;

use samovar_core::Day;

/// Which stores.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Stores {
    /// All that the dataset has.
    All,
    /// The so many with the greatest sales in the range (by the dataset's first measure).
    Top(usize),
    /// These, by id.
    These(Vec<Arc<str>>),
}

/// A question: stores and an inclusive range of days.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selection {
    /// The stores.
    pub stores: Stores,
    /// The first day.
    pub from: Day,
    /// The last day; not before `from`.
    pub to: Day,
}

impl Selection {
    /// Number of days.
    pub fn days(&self) -> i32 {
        self.to.0 - self.from.0 + 1
    }

    /// The period of equal length just before.
    ///
    /// ```
    /// # use samovar_levels::{Selection, Stores};
    /// # let day = |text: &str| text.parse().unwrap();
    /// let february = Selection { stores: Stores::All, from: day("2026-02-01"), to: day("2026-02-28") };
    /// assert_eq!(february.previous(), (day("2026-01-04"), day("2026-01-31")));
    /// ```
    pub fn previous(&self) -> (Day, Day) {
        (self.from.plus(-self.days()), self.from.plus(-1))
    }
}

impl fmt::Display for Stores {
    /// The form used over HTTP before it is encoded: `all`, `top:10`, or ids joined by commas, with a backslash before
    /// commas and backslashes within an id.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stores::All => f.write_str("all"),
            Stores::Top(n) => write!(f, "top:{n}"),
            Stores::These(ids) => {
                for (at, id) in ids.iter().enumerate() {
                    let comma = if at > 0 { "," } else { "" };
                    write!(f, "{comma}{}", id.replace('\\', "\\\\").replace(',', "\\,"))?;
                }
                Ok(())
            }
        }
    }
}
