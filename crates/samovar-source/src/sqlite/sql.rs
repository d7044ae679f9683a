//! The text of the queries. Names are quoted as identifiers; values are always bound.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rusqlite::types::Value;
use samovar_core::Day;

use crate::{Dataset, DateKind};

/// A name as an identifier.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A column of the raw query. Bound to the query's alias, because SQLite takes an unknown name in double
/// quotes for a text.
fn column(name: &str) -> String {
    format!("q.{}", quoted(name))
}

/// The raw query as something to select from.
pub(super) fn from(query: &str) -> String {
    let text = query.trim().trim_end_matches(';').trim_end();
    let first = text.split(|c: char| c.is_whitespace() || c == '(').next().unwrap_or("");
    let blank = text.contains(char::is_whitespace);
    if blank && ["select", "with", "values"].contains(&first.to_ascii_lowercase().as_str()) {
        // The line break ends a comment that the query may close with.
        format!("({text}\n) AS q")
    } else {
        format!("{} AS q", quoted(text))
    }
}

pub(super) fn columns_of(dataset: &Dataset) -> String {
    format!("SELECT * FROM {} LIMIT 0", from(&dataset.query))
}

/// Every store with its number of lines, of lines with a day, and its first and last day; the name too where
/// looking it up store by store would cost a scan each.
pub(super) fn stores(dataset: &Dataset, with_name: bool) -> String {
    let (id, date) = (column(&dataset.store_id), column(&dataset.date));
    let name = match &dataset.store_name {
        Some(name) if with_name => format!("max({})", column(name)),
        _ => "NULL".into(),
    };
    let from = from(&dataset.query);
    format!(
        "SELECT {id}, count(*), count({date}), min({date}), max({date}), {name} FROM {from} GROUP BY 1"
    )
}

/// The name of one store.
pub(super) fn name_of(dataset: &Dataset) -> Option<String> {
    let name = column(dataset.store_name.as_ref()?);
    let (from, id) = (from(&dataset.query), column(&dataset.store_id));
    Some(format!("SELECT {name} FROM {from} WHERE {id} = ?1 LIMIT 1"))
}

/// The rows of one store (`?1`) from `?2` until before `?3`, or of all stores.
pub(super) fn rows(dataset: &Dataset, one_store: bool) -> String {
    let (id, date) = (column(&dataset.store_id), column(&dataset.date));
    let mut wanted = if one_store { Vec::new() } else { vec![id.clone()] };
    wanted.push(date.clone());
    wanted.extend(dataset.product.iter().chain(&dataset.category).map(|name| column(name)));
    wanted.extend(dataset.columns.iter().map(|c| column(&c.name)));
    let (wanted, from) = (wanted.join(", "), from(&dataset.query));
    if one_store {
        format!(
            "SELECT {wanted} FROM {from} WHERE {id} = ?1 AND {date} >= ?2 AND {date} < ?3 ORDER BY {date}"
        )
    } else {
        let there = format!("{id} IS NOT NULL AND {date} IS NOT NULL");
        format!(
            "SELECT {wanted} FROM {from} WHERE {there} AND {date} >= ?1 AND {date} < ?2 ORDER BY {id}, {date}"
        )
    }
}

/// What the date column is compared with so that no row of the days is missed. Instants in text come in more
/// than one spelling, so their range is a day wider on either side; whoever reads checks the day.
pub(super) fn bounds(dataset: &Dataset, from: Option<Day>, to: Option<Day>) -> (Value, Value) {
    let next = to.map(|day| day.plus(1));
    let text = |day: Day| Value::Text(day.to_string());
    let least_text = || Value::Text(String::new());
    // Blobs sort after all texts, and texts after all numbers.
    let greatest = || Value::Blob(Vec::new());
    match dataset.date_kind {
        DateKind::Date => (from.map_or_else(least_text, text), next.map_or_else(greatest, text)),
        DateKind::UtcDatetime => (
            from.map_or_else(least_text, |day| text(day.plus(-1))),
            next.map_or_else(greatest, |day| text(day.plus(1))),
        ),
        DateKind::EpochSeconds | DateKind::EpochMillis => {
            let unit = if dataset.date_kind == DateKind::EpochSeconds { 1 } else { 1_000 };
            let start =
                |day| Value::Integer(start_of(day, &dataset.time_zone).saturating_mul(unit));
            let (least, most) = (Value::Integer(i64::MIN), Value::Integer(i64::MAX));
            (from.map_or(least, start), next.map_or(most, start))
        }
    }
}

/// The second at which a day begins in a time zone.
fn start_of(day: Day, zone: &TimeZone) -> i64 {
    let (year, month, of_month) = day.ymd();
    let date = Date::new(year as i16, month as i8, of_month as i8).ok();
    let start = date.and_then(|date| date.to_zoned(zone.clone()).ok());
    start.map_or(i64::from(day.0) * 86_400, |start| start.timestamp().as_second())
}

/// The day of an instant in a time zone.
pub(super) fn day_of(instant: Timestamp, zone: &TimeZone) -> Option<Day> {
    let date = zone.to_datetime(instant).date();
    Day::from_ymd(date.year().into(), date.month() as u32, date.day() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_or_a_table() {
        assert_eq!(from("orders"), "\"orders\" AS q");
        assert_eq!(from("weird \"name\""), "\"weird \"\"name\"\"\" AS q");
        assert_eq!(from("select 1 -- done"), "(select 1 -- done\n) AS q");
        assert_eq!(
            from(" WITH a AS (SELECT 1) SELECT * FROM a; "),
            "(WITH a AS (SELECT 1) SELECT * FROM a\n) AS q"
        );
    }
}
