//! Which stores there are.

use std::sync::Arc;

use samovar_core::Day;

use super::connection::{Transaction, failed};
use super::form::Form;
use super::outline;
use super::shape::Shape;
use super::sql;
use super::tuples::{Tuple, Tuples};
use crate::batch::{ID, Row};
use crate::cell::{Cell, unreadable};
use crate::days::{self, Dates};
use crate::{Dataset, Inventory, SourceError, Store};

/// What is looked up store by store goes by an index as long as there is one: an estimate that the first rows will
/// do, whichever store they are of, must not make it a scan for each.
const BY_INDEX: &str = "SET LOCAL enable_seqscan = off";

/// The stores, and how many lines have no store or no day.
pub(super) async fn inventory(
    dataset: &Dataset,
    shape: &Shape,
    transaction: &mut Transaction<'_>,
) -> Result<Inventory, SourceError> {
    let date = || (dataset.date.clone(), shape.date.clone());
    let columns = [
        (dataset.store_id.clone(), shape.id.clone()),
        ("count".into(), Form::count()),
        ("count".into(), Form::count()),
        date(),
        date(),
        (dataset.store_name.clone().unwrap_or_default(), Form::text()),
    ];
    let reckoned = outline::reckoned(dataset, shape, transaction).await?;
    let estimated = reckoned.is_some();
    let text = if estimated { sql::outline(dataset, shape) } else { sql::stores(dataset, shape) };
    if estimated {
        transaction.client.batch_execute(BY_INDEX).await.map_err(|e| failed(&e))?;
    }
    let mut inventory = Inventory { stores: Vec::new(), unplaced: 0, estimated };
    let mut dates = Dates::new(dataset);
    let mut copying = transaction.copy(text, &[], (dataset, shape)).await?;
    let mut tuples = Tuples::of(&columns);
    while copying.more(tuples.room()).await? {
        while let Some(tuple) = tuples.next()? {
            let (store, unplaced) = store(&tuple, dataset, &mut dates)?;
            inventory.stores.extend(store);
            inventory.unplaced += unplaced;
        }
    }
    if let Some(reckoned) = reckoned {
        reckoned.estimate(&mut inventory.stores);
    }
    if shape.seeks
        && let Some(text) = sql::names(dataset, shape)
    {
        transaction.client.batch_execute(BY_INDEX).await.map_err(|e| failed(&e))?;
        let ids: Vec<&str> = inventory.stores.iter().map(|store| &*store.id).collect();
        let names = transaction
            .client
            .query_typed(&text, &[(&ids, tokio_postgres::types::Type::TEXT_ARRAY)])
            .await
            .map_err(|e| failed(&e))?;
        for (store, name) in inventory.stores.iter_mut().zip(&names) {
            store.name = name.get::<_, Option<&str>>(0).map(Arc::from);
        }
    }
    Ok(inventory)
}

/// A store, if it has lines on days, and how many of its lines have no place.
fn store(
    tuple: &Tuple<'_>,
    dataset: &Dataset,
    dates: &mut Dates,
) -> Result<(Option<Store>, u64), SourceError> {
    let count = |at| match tuple.cell(at)? {
        Cell::Integer(count) => Ok(count.unsigned_abs()),
        _ => Ok(0),
    };
    let (value, lines, dated) = (tuple.cell(0)?, count(1)?, count(2)?);
    if matches!(value, Cell::Null) || dated == 0 {
        return Ok((None, lines));
    }
    let scratch = &mut String::new();
    let id: Arc<str> = value
        .text(scratch)
        .ok_or_else(|| unreadable(None, None, &dataset.store_id, &value, ID))?
        .into();
    let mut day = |at| -> Result<Day, SourceError> {
        let (value, expected) = (tuple.cell(at)?, days::expected(dataset.date_kind));
        dates
            .day(&value)
            .ok_or_else(|| unreadable(Some(&id), None, &dataset.date, &value, expected))
    };
    let (first, last) = (day(3)?, day(4)?);
    let name = tuple.cell(5)?.text(scratch).map(Arc::from);
    Ok((Some(Store { id, name, lines: dated, first, last }), lines - dated))
}
