//! Values of SQLite ↔ those that every source has.

use rusqlite::Row;
use rusqlite::types::{Value, ValueRef};
use samovar_core::Day;

use super::failed;
use crate::batch::{self, Glance};
use crate::cell::Cell;
use crate::days::{self, Edge, Order};
use crate::{Dataset, DateKind, SourceError};

/// A row of a query.
pub(super) struct Columns<'a>(pub(super) &'a Row<'a>);

impl batch::Row for Columns<'_> {
    #[inline]
    fn fixed(&self, at: usize, decimals: u8) -> Glance<i64> {
        match self.0.get_ref(at).map(cell) {
            Ok(Cell::Null) => Glance::Null,
            Ok(number) => number.fixed(decimals).map_or(Glance::Look, Glance::Is),
            Err(_) => Glance::Look,
        }
    }

    #[inline]
    fn text(&self, at: usize) -> Glance<&[u8]> {
        match self.0.get_ref(at) {
            Ok(ValueRef::Null) => Glance::Null,
            Ok(ValueRef::Text(bytes)) => Glance::Is(bytes),
            _ => Glance::Look,
        }
    }

    fn cell(&self, at: usize) -> Result<Cell<'_>, SourceError> {
        self.0.get_ref(at).map(cell).map_err(failed)
    }
}

pub(super) fn cell(value: ValueRef<'_>) -> Cell<'_> {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Integer(number),
        ValueRef::Real(number) => Cell::Real(number),
        ValueRef::Text(bytes) => Cell::Text(bytes),
        ValueRef::Blob(bytes) => Cell::Blob(bytes.len()),
    }
}

/// What the date column is compared with, see [`days::bounds`].
pub(super) fn bounds(
    dataset: &Dataset,
    from: Option<Day>,
    to: Option<Day>,
) -> (Option<Value>, Option<Value>) {
    let (order, unit) = match dataset.date_kind {
        DateKind::Date => (Order::Days, 1),
        DateKind::UtcDatetime => (Order::Texts, 1),
        DateKind::EpochSeconds => (Order::Instants, 1),
        DateKind::EpochMillis => (Order::Instants, 1_000),
    };
    let value = |edge| match edge {
        Edge::Day(day) => Value::Text(day.to_string()),
        Edge::Second(second) => Value::Integer(second * unit),
    };
    let (from, until) = days::bounds(order, &dataset.time_zone, from, to);
    (from.map(value), until.map(value))
}
