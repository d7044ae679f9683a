//! Days and partitions: a partition is always one store on one day.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A calendar day, counted from 1970-01-01 (day 0) in the proleptic Gregorian calendar; the same count as
/// Arrow's `Date32`.
///
/// ```
/// # use samovar_core::Day;
/// let day: Day = "2026-02-03".parse().unwrap();
/// assert_eq!(day, Day(20_487));
/// assert_eq!(day.to_string(), "2026-02-03");
/// assert!("2026-02-30".parse::<Day>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Day(pub i32);

/// The text is not a date of the form `YYYY-MM-DD`.
///
/// ```
/// # use samovar_core::{Day, DayParseError};
/// assert_eq!("03.02.2026".parse::<Day>(), Err(DayParseError));
/// assert_eq!(DayParseError.to_string(), "not a date of the form YYYY-MM-DD");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayParseError;

impl fmt::Display for DayParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a date of the form YYYY-MM-DD")
    }
}

impl std::error::Error for DayParseError {}

impl Day {
    /// The day of a year, month (1–12) and day of the month (1–31), or `None` if there is no such day.
    ///
    /// The conversion is Howard Hinnant's `days_from_civil`
    /// (<https://howardhinnant.github.io/date_algorithms.html>).
    ///
    /// The years from -9999 to 9999 are known.
    ///
    /// ```
    /// # use samovar_core::Day;
    /// assert_eq!(Day::from_ymd(1970, 1, 1), Some(Day(0)));
    /// assert_eq!(Day::from_ymd(2024, 2, 29), "2024-02-29".parse().ok());
    /// assert_eq!(Day::from_ymd(2026, 2, 29), None, "2026 is no leap year");
    /// assert_eq!(Day::from_ymd(10_000, 1, 1), None);
    /// ```
    pub fn from_ymd(year: i32, month: u32, day: u32) -> Option<Day> {
        if !(-9_999..=9_999).contains(&year) || !(1..=12).contains(&month) || day == 0 {
            return None;
        }
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = match month {
            2 => 28 + u32::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if day > length {
            return None;
        }
        let y = year - i32::from(month <= 2);
        let era = y.div_euclid(400);
        let year_of_era = y.rem_euclid(400);
        let shifted = (month as i32 + 9) % 12;
        let day_of_year = (153 * shifted + 2) / 5 + day as i32 - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Some(Day(era * 146_097 + day_of_era - 719_468))
    }

    /// Year, month (1–12) and day of the month (1–31): the inverse of [`Day::from_ymd`].
    ///
    /// ```
    /// # use samovar_core::Day;
    /// let day: Day = "2026-02-28".parse()?;
    /// assert_eq!(day.ymd(), (2026, 2, 28));
    /// assert_eq!(day.plus(1).ymd(), (2026, 3, 1));
    /// # Ok::<(), samovar_core::DayParseError>(())
    /// ```
    pub fn ymd(self) -> (i32, u32, u32) {
        let z = i64::from(self.0) + 719_468;
        let era = z.div_euclid(146_097);
        let day_of_era = z.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = (day_of_year - (153 * shifted + 2) / 5 + 1) as u32;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 } as u32;
        ((year_of_era + era * 400) as i32 + i32::from(month <= 2), month, day)
    }

    /// This day moved by a number of days.
    ///
    /// ```
    /// # use samovar_core::Day;
    /// let day: Day = "2026-03-01".parse()?;
    /// assert_eq!(day.plus(-1).to_string(), "2026-02-28");
    /// assert_eq!(Day(i32::MAX).plus(1), Day(i32::MAX), "it saturates");
    /// # Ok::<(), samovar_core::DayParseError>(())
    /// ```
    pub fn plus(self, days: i32) -> Day {
        Day(self.0.saturating_add(days))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.ymd();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Day {
    type Err = DayParseError;

    fn from_str(text: &str) -> Result<Day, DayParseError> {
        let bytes = text.as_bytes();
        if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
            return Err(DayParseError);
        }
        let number = |range: std::ops::Range<usize>| {
            bytes[range].iter().try_fold(0u32, |n, b| {
                b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0')).ok_or(DayParseError)
            })
        };
        Day::from_ymd(number(0..4)? as i32, number(5..7)?, number(8..10)?).ok_or(DayParseError)
    }
}

/// One store on one day: the unit in which data become dirty and are derived again.
///
/// ```
/// # use samovar_core::{Day, Key, Partition, Scope, Tags};
/// let partition = Partition { store: "17".into(), day: "2026-02-03".parse()? };
/// assert_eq!(partition.to_string(), "store 17 on 2026-02-03");
///
/// // A mark on it covers what names it, and no value that names none.
/// let marked = Scope::Partition(partition);
/// assert!(!marked.covers(&Key::new("product_name", "42"), &Tags::NONE));
/// # Ok::<(), samovar_core::DayParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Partition {
    /// The store's id as text, whatever its type in the source.
    pub store: Arc<str>,
    /// The day, in the dataset's time zone.
    pub day: Day,
}

impl Partition {
    /// The partition of a store on a day.
    ///
    /// ```
    /// # use samovar_core::{Day, Partition};
    /// let day: Day = "2026-02-03".parse()?;
    /// assert_eq!(Partition::new("17", day), Partition { store: "17".into(), day });
    /// assert_ne!(Partition::new("17", day), Partition::new("17", day.plus(1)));
    /// # Ok::<(), samovar_core::DayParseError>(())
    /// ```
    pub fn new(store: impl Into<Arc<str>>, day: Day) -> Self {
        Partition { store: store.into(), day }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "store {} on {}", self.store, self.day)
    }
}

/// A run of consecutive days of one store: several partitions that were read together.
///
/// ```
/// # use samovar_core::{Day, Partition, Span};
/// let first: Day = "2026-02-01".parse()?;
/// let february = Span { store: "17".into(), from: first, to: first.plus(27) };
/// assert!(february.holds(&Partition::new("17", "2026-02-28".parse()?)));
/// assert!(!february.holds(&Partition::new("17", "2026-03-01".parse()?)));
/// # Ok::<(), samovar_core::DayParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Span {
    /// The store's id.
    pub store: Arc<str>,
    /// The first day.
    pub from: Day,
    /// The last day; not before `from`.
    pub to: Day,
}

impl Span {
    /// Whether a partition is one of these.
    ///
    /// ```
    /// # use samovar_core::{Day, Partition, Span};
    /// let weekend = Span { store: "17".into(), from: Day(20_490), to: Day(20_491) };
    /// assert!(weekend.holds(&Partition::new("17", Day(20_490))), "both ends are in it");
    /// assert!(weekend.holds(&Partition::new("17", Day(20_491))));
    /// assert!(!weekend.holds(&Partition::new("17", Day(20_492))));
    /// assert!(!weekend.holds(&Partition::new("18", Day(20_490))), "another store's");
    /// ```
    pub fn holds(&self, partition: &Partition) -> bool {
        self.from <= partition.day && partition.day <= self.to && *self.store == *partition.store
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_eight_centuries_comes_back() {
        let mut previous = None;
        for n in -150_000..150_000 {
            let (y, m, d) = Day(n).ymd();
            assert_eq!(Day::from_ymd(y, m, d), Some(Day(n)));
            assert!(previous < Some((y, m, d)), "days ascend");
            previous = Some((y, m, d));
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in
            ["", "2026-2-03", "2026-02-3", "2026/02/03", "2025-02-29", "2026-13-01", "+026-01-01"]
        {
            assert_eq!(text.parse::<Day>(), Err(DayParseError), "{text}");
        }
        assert!("2024-02-29".parse::<Day>().is_ok());
    }
}
