//! Which stores there are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row};
use samovar_core::Day;

use super::value::cell;
use super::{failed, sql};
use crate::batch::ID;
use crate::cell::unreadable;
use crate::days::{self, Dates};
use crate::{Dataset, Inventory, SourceError, SourceErrorKind, Store};

/// The stores' ids as the database has them, by their text: only a value of the same type is sought by an index,
/// and found at all where the column has no type.
#[derive(Default)]
pub(super) struct Ids(Mutex<HashMap<Arc<str>, Value>>);

impl Ids {
    /// An id as the database has it; `None` if it has no lines. One that is not known yet is looked up in each
    /// form that it could have.
    pub(super) fn native(
        &self,
        connection: &Connection,
        dataset: &Dataset,
        id: &Arc<str>,
    ) -> Result<Option<Value>, SourceError> {
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id) {
            return Ok(Some(known.clone()));
        }
        let mut query = connection.prepare_cached(&sql::id_of(dataset)).map_err(failed)?;
        let text = Some(Value::Text(id.to_string()));
        let integer = id.parse().ok().map(Value::Integer);
        let real = id.parse().ok().map(Value::Real);
        for form in [text, integer, real].into_iter().flatten() {
            let mut rows = query.query([form]).map_err(failed)?;
            let Some(row) = rows.next().map_err(failed)? else { continue };
            let found = row.get_ref(0).map_err(failed)?;
            // A column of numbers finds 7 for "07": that is another id.
            if cell(found).text(&mut String::new()) == Some(id) {
                let native = Value::try_from(found).map_err(|e| failed(e.into()))?;
                let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                ids.insert(Arc::clone(id), native.clone());
                return Ok(Some(native));
            }
        }
        Ok(None)
    }
}

/// The stores, and how many lines have no store or no day.
pub(super) fn inventory(
    connection: &Connection,
    dataset: &Dataset,
    seeks: bool,
    ids: &Ids,
) -> Result<Inventory, SourceError> {
    let text = sql::stores(dataset, !seeks);
    let mut statement = connection.prepare_cached(&text).map_err(failed)?;
    let mut found = statement.query([]).map_err(failed)?;
    let mut inventory = Inventory { stores: Vec::new(), unplaced: 0, estimated: false };
    let mut natives = HashMap::new();
    let mut dates = Dates::new(dataset);
    while let Some(row) = found.next().map_err(failed)? {
        let (store, native, unplaced) = store(row, dataset, &mut dates)?;
        inventory.unplaced += unplaced;
        let Some(store) = store else { continue };
        if natives.insert(Arc::clone(&store.id), native).is_some() {
            let message = format!(
                "column {} holds {} both as a number and as text; make it one in the query",
                dataset.store_id, store.id
            );
            return Err(SourceError::new(SourceErrorKind::Value, message));
        }
        inventory.stores.push(store);
    }
    if seeks && let Some(text) = sql::name_of(dataset) {
        let mut names = connection.prepare_cached(&text).map_err(failed)?;
        for store in &mut inventory.stores {
            let mut found = names.query([&natives[&store.id]]).map_err(failed)?;
            if let Some(row) = found.next().map_err(failed)? {
                let name = cell(row.get_ref(0).map_err(failed)?);
                store.name = name.text(&mut String::new()).map(Arc::from);
            }
        }
    }
    *ids.0.lock().unwrap_or_else(PoisonError::into_inner) = natives;
    Ok(inventory)
}

/// A store, if it has lines on days, its id as the database has it, and how many of its lines have no place.
fn store(
    row: &Row<'_>,
    dataset: &Dataset,
    dates: &mut Dates,
) -> Result<(Option<Store>, Value, u64), SourceError> {
    let get = |at| row.get_ref(at).map_err(failed);
    let count = |at| row.get::<_, i64>(at).map(i64::unsigned_abs).map_err(failed);
    let (value, lines, dated) = (get(0)?, count(1)?, count(2)?);
    let native = Value::try_from(value).map_err(|e| failed(e.into()))?;
    if value == ValueRef::Null {
        return Ok((None, native, lines));
    }
    if dated == 0 {
        return Ok((None, native, lines));
    }
    let scratch = &mut String::new();
    let id: Arc<str> = cell(value)
        .text(scratch)
        .ok_or_else(|| unreadable(None, None, &dataset.store_id, &cell(value), ID))?
        .into();
    let mut day = |at| -> Result<Day, SourceError> {
        let (value, expected) = (cell(get(at)?), days::expected(dataset.date_kind));
        dates
            .day(&value)
            .ok_or_else(|| unreadable(Some(&id), None, &dataset.date, &value, expected))
    };
    let (first, last) = (day(3)?, day(4)?);
    let name = cell(get(5)?).text(scratch).map(Arc::from);
    Ok((Some(Store { id, name, lines: dated, first, last }), native, lines - dated))
}
