//! Values of the date column ↔ days.
//!
//! In a time zone, day *d* is the time from the first instant of *d* until before the first instant of *d* + 1.
//! So days follow each other without gap or overlap even where a clock is set back across midnight, and what
//! a range selects in SQL is what a row's day says.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use samovar_core::Day;

use crate::cell::{Cell, day_of};
use crate::{Dataset, DateKind};

const MICROS: i64 = 1_000_000;

/// Reads the days of rows; the next row's is nearly always that of the last.
pub(crate) struct Dates {
    kind: DateKind,
    zone: TimeZone,
    /// The first ten characters of the last text, and their day.
    last_text: ([u8; 10], Day),
    /// The last day of an instant: from and until which second.
    last_day: Option<(i64, i64, Day)>,
}

impl Dates {
    pub(crate) fn new(dataset: &Dataset) -> Dates {
        Dates {
            kind: dataset.date_kind,
            zone: dataset.time_zone.clone(),
            last_text: ([0; 10], Day(0)),
            last_day: None,
        }
    }

    /// The day of a value; `None` if it is not of the configured kind.
    pub(crate) fn day(&mut self, value: &Cell<'_>) -> Option<Day> {
        match (self.kind, *value) {
            (DateKind::Date, Cell::Text(bytes)) => self.of_text(bytes.first_chunk()?),
            (DateKind::UtcDatetime, Cell::Text(bytes)) => {
                let text = std::str::from_utf8(bytes).ok()?;
                self.at(utc_second(text)?)
            }
            (DateKind::EpochSeconds, Cell::Integer(seconds)) => self.at(seconds),
            (DateKind::EpochMillis, Cell::Integer(millis)) => self.at(millis.div_euclid(1_000)),
            (DateKind::EpochSeconds | DateKind::EpochMillis, _) => None,
            (_, Cell::Day(day)) => Some(day),
            (DateKind::Date, Cell::Time(micros)) => day_of(micros.div_euclid(MICROS)),
            (_, Cell::Time(micros) | Cell::Instant(micros)) => self.at(micros.div_euclid(MICROS)),
            _ => None,
        }
    }

    fn of_text(&mut self, text: &[u8; 10]) -> Option<Day> {
        if *text != self.last_text.0 {
            self.last_text = (*text, std::str::from_utf8(text).ok()?.parse().ok()?);
        }
        Some(self.last_text.1)
    }

    fn at(&mut self, second: i64) -> Option<Day> {
        if let Some((from, until, day)) = self.last_day
            && (from..until).contains(&second)
        {
            return Some(day);
        }
        let date = self.zone.to_datetime(Timestamp::from_second(second).ok()?).date();
        let mut day = Day::from_ymd(date.year().into(), date.month() as u32, date.day() as u32)?;
        while second < start_of(day, &self.zone)? {
            day = day.plus(-1);
        }
        while second >= start_of(day.plus(1), &self.zone)? {
            day = day.plus(1);
        }
        self.last_day = Some((start_of(day, &self.zone)?, start_of(day.plus(1), &self.zone)?, day));
        Some(day)
    }
}

/// The second of a time in UTC. An offset other than zero is refused: such texts do not sort by time.
fn utc_second(text: &str) -> Option<i64> {
    let text =
        text.strip_suffix(['Z', 'z']).or_else(|| text.strip_suffix("+00:00")).unwrap_or(text);
    if text.get(10..)?.contains(['+', '-', '[']) {
        return None;
    }
    let time: DateTime = text.parse().ok()?;
    Offset::UTC.to_timestamp(time).ok().map(Timestamp::as_second)
}

/// The first second of a day in a time zone; `None` beyond the calendar.
fn start_of(day: Day, zone: &TimeZone) -> Option<i64> {
    let (year, month, of_month) = day.ymd();
    let date = Date::new(year.try_into().ok()?, month as i8, of_month as i8).ok()?;
    Some(date.to_zoned(zone.clone()).ok()?.timestamp().as_second())
}

/// How the values of a date column compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// As days do.
    Days,
    /// As texts of times in UTC do.
    Texts,
    /// As instants do.
    Instants,
}

/// What a value of a date column is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    /// A day, or the text of one.
    Day(Day),
    /// A second since 1970-01-01T00:00:00Z.
    Second(i64),
}

/// What the date column is compared with so that no row of the days is missed: not below the first, and below
/// the second. `None` where an end is open or beyond the calendar. What they let through beyond the days is left
/// out by its day.
pub(crate) fn bounds(
    order: Order,
    zone: &TimeZone,
    from: Option<Day>,
    to: Option<Day>,
) -> (Option<Edge>, Option<Edge>) {
    let apart = match order {
        Order::Texts => i32::from(zone.to_fixed_offset().ok() != Some(Offset::UTC)),
        Order::Days | Order::Instants => 0,
    };
    let edge = |day: Day| {
        if !(1..=9_999).contains(&day.ymd().0) {
            return None;
        }
        match order {
            Order::Days | Order::Texts => Some(Edge::Day(day)),
            Order::Instants => start_of(day, zone).map(Edge::Second),
        }
    };
    let next = to.map(|day| day.plus(1 + apart));
    (from.and_then(|day| edge(day.plus(-apart))), next.and_then(edge))
}

/// What the column should hold, in words.
pub(crate) fn expected(kind: DateKind) -> &'static str {
    match kind {
        DateKind::Date => "a date as text that begins with YYYY-MM-DD (or set dataset.date_kind)",
        DateKind::UtcDatetime => "a time in UTC as text, YYYY-MM-DD HH:MM:SS",
        DateKind::EpochSeconds => "whole seconds since 1970",
        DateKind::EpochMillis => "whole milliseconds since 1970",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dates(kind: DateKind, zone: &str) -> Dates {
        Dates {
            kind,
            zone: TimeZone::get(zone).unwrap(),
            last_text: ([0; 10], Day(0)),
            last_day: None,
        }
    }

    fn day(kind: DateKind, zone: &str, value: Cell<'_>) -> Option<String> {
        dates(kind, zone).day(&value).map(|day| day.to_string())
    }

    #[test]
    fn spellings_of_a_day() {
        let text = |kind, zone, text: &str| day(kind, zone, Cell::Text(text.as_bytes()));
        let third = Some("2026-02-03".to_string());
        for spelling in ["2026-02-03", "2026-02-03 19:06:53", "2026-02-03T23:59:59.999"] {
            assert_eq!(text(DateKind::Date, "Asia/Shanghai", spelling), third);
            assert_eq!(text(DateKind::UtcDatetime, "UTC", spelling), third);
        }
        for spelling in ["2026-02-02T16:00:00Z", "2026-02-03 15:59:59.9+00:00", "2026-02-03 15:59"]
        {
            assert_eq!(text(DateKind::UtcDatetime, "Asia/Shanghai", spelling), third, "{spelling}");
        }
        for spelling in ["", "2026", "2026-2-3 12:00", "2026-02-30", "03.02.2026", "yesterday!"] {
            assert_eq!(text(DateKind::Date, "UTC", spelling), None, "{spelling}");
            assert_eq!(text(DateKind::UtcDatetime, "UTC", spelling), None, "{spelling}");
        }
        assert_eq!(text(DateKind::UtcDatetime, "UTC", "2026-02-03T19:06:53+01:00"), None);
        assert_eq!(day(DateKind::Date, "UTC", Cell::Integer(20_260_203)), None);
        assert_eq!(day(DateKind::EpochSeconds, "UTC", Cell::Text(b"2026-02-03")), None);
        assert_eq!(day(DateKind::EpochSeconds, "UTC", Cell::Integer(i64::MAX)), None);
    }

    #[test]
    fn native_dates_and_times() {
        let fourth = Some("2026-02-04".to_string());
        // 16:00 in UTC: the next day's first second in Shanghai.
        let micros = 1_770_134_400_000_000;
        for kind in [DateKind::Date, DateKind::UtcDatetime] {
            assert_eq!(day(kind, "Asia/Shanghai", Cell::Day(Day(20_488))), fourth);
            assert_eq!(day(kind, "Asia/Shanghai", Cell::Instant(micros)), fourth);
            assert_eq!(day(kind, "UTC", Cell::Infinity("infinity")), None);
        }
        let third = Some("2026-02-03".to_string());
        assert_eq!(day(DateKind::Date, "Asia/Shanghai", Cell::Time(micros)), third);
        assert_eq!(day(DateKind::UtcDatetime, "Asia/Shanghai", Cell::Time(micros)), fourth);
        assert_eq!(day(DateKind::EpochMillis, "UTC", Cell::Instant(micros)), None);
    }

    #[test]
    fn instants_fall_on_days_without_gap_or_overlap() {
        // Summer time, a day that was skipped, and a clock set back across midnight.
        for (zone, around) in [
            ("Europe/Berlin", "2026-03-29T00:00Z"),
            ("America/New_York", "2026-11-01T04:00Z"),
            ("Pacific/Apia", "2011-12-30T10:00Z"),
            ("America/Havana", "2026-11-01T04:00Z"),
            ("UTC", "1969-12-31T23:00Z"),
        ] {
            let zone_read = TimeZone::get(zone).unwrap();
            let middle = around.parse::<Timestamp>().unwrap().as_second();
            let (mut dates, mut last) = (dates(DateKind::EpochSeconds, zone), None);
            for second in (middle - 200_000..middle + 200_000).step_by(899) {
                let day = dates.day(&Cell::Integer(second)).unwrap();
                assert!(last <= Some(day), "{zone}: days ascend with time");
                last = Some(day);
                let within =
                    start_of(day, &zone_read).unwrap()..start_of(day.plus(1), &zone_read).unwrap();
                assert!(within.contains(&second), "{zone} {second}");
                let millis =
                    Dates { kind: DateKind::EpochMillis, ..self::dates(DateKind::Date, zone) }
                        .day(&Cell::Integer(second * 1_000 + 999));
                assert_eq!(millis, Some(day));
            }
        }
    }
}
