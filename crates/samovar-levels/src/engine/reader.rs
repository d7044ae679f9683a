//! Rows of the source, cut into the days of a block.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Date32Type;
use arrow_array::{ArrayRef, RecordBatch};
use futures_util::StreamExt;
use samovar_core::{Day, Error, ErrorKind};
use samovar_source::{Ask, Days, Which};

use super::blocks::Place;
use super::retry::unless_lost;
use super::{Engine, count};
use crate::raw::{Numbering, RawBlock, RawBuilder};

impl Engine {
    /// Reads days of a store from the source.
    pub(crate) async fn read(&self, place: &Place, days: Vec<Day>) -> Result<RawBlock, Error> {
        let whole = days.len() * 2 > place.days as usize;
        let days = if whole {
            Days::Range(Some(place.first()), Some(place.last()))
        } else {
            Days::These(days)
        };
        unless_lost(|| self.read_once(place, days.clone())).await
    }

    async fn read_once(&self, place: &Place, days: Days) -> Result<RawBlock, Error> {
        let ask = Ask { stores: Which::One(Arc::clone(&place.store)), days };
        let mut batches = self.inner.source.read(ask);
        count(&self.inner.counters.source_reads, 1);
        let mut builder = BlockReader::new(place.first(), place.days as usize, self);
        while let Some(batch) = batches.next().await {
            let batch = batch
                .map_err(|e| Error::new(ErrorKind::Source, "reading from the source").because(e))?;
            count(&self.inner.counters.rows_read, batch.num_rows() as u64);
            builder.push(&batch)?;
        }
        Ok(builder.finish())
    }
}

/// Cuts batches of the source into days.
pub(crate) struct BlockReader<'a> {
    builder: RawBuilder,
    numbering: Numbering,
    engine: &'a Engine,
}

impl<'a> BlockReader<'a> {
    pub(crate) fn new(first: Day, days: usize, engine: &'a Engine) -> Self {
        let columns = engine.inner.dataset.schema.columns.len();
        BlockReader {
            builder: RawBuilder::new(first, days, columns),
            numbering: Numbering::default(),
            engine,
        }
    }

    pub(crate) fn finish(self) -> RawBlock {
        self.builder.finish()
    }

    /// Adds a batch: `date`, then `product` and `category` where there are any, then the columns.
    pub(crate) fn push(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let schema = &self.engine.inner.dataset.schema;
        let bad = || {
            Error::new(
                ErrorKind::Source,
                "the source gave other columns than were asked for; this is a bug",
            )
        };
        let mut columns = batch.columns().iter();
        let dates =
            columns.next().and_then(|c| c.as_primitive_opt::<Date32Type>()).ok_or_else(bad)?;
        let product = if schema.products { Some(columns.next().ok_or_else(bad)?) } else { None };
        let category = if schema.categories { Some(columns.next().ok_or_else(bad)?) } else { None };
        let items = self.numbering.items(product, category, batch.num_rows());
        let mut numbers: Vec<ArrayRef> = Vec::with_capacity(schema.columns.len());
        for spec in &schema.columns {
            let column = columns.next().ok_or_else(bad)?;
            numbers.push(match spec.text {
                true => self.numbering.texts(column, batch.num_rows(), spec.hashed),
                false => Arc::clone(column),
            });
        }
        let mut start = 0;
        for run in dates.values().chunk_by(|a, b| a == b) {
            let end = start + run.len();
            self.builder.push(Day(run[0]), &items, &numbers, start..end);
            start = end;
        }
        Ok(())
    }
}
