//! Rows of any source → batches of columns.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::Int64Builder;
use arrow_array::{ArrayRef, Date32Array, DictionaryArray, Int32Array, RecordBatch, StringArray};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use samovar_core::Day;

use crate::cell::{Cell, unreadable};
use crate::days::{self, Dates};
use crate::{ColumnKind, Dataset, Days, Limits, SourceError, SourceErrorKind, text_type};

/// What an id should be.
pub(crate) const ID: &str = "a number or text in UTF-8";

/// A dictionary is begun anew when it has more texts than a batch has rows, and more than this.
const FEW_TEXTS: usize = 1_000;

/// Room is made for so many rows at once: what grows step by step is copied at each.
const ROOM: usize = 16_384;

/// A text column while rows arrive. The dictionary goes on from one batch to the next: a text keeps its
/// number, and where nothing new appeared the array is the very same.
#[derive(Default)]
struct Texts {
    keys: Vec<Option<i32>>,
    /// By its bytes, so that only a new one must be shown to be text.
    numbers: HashMap<Box<[u8]>, i32, foldhash::fast::RandomState>,
    texts: Vec<Box<str>>,
    array: Option<Arc<StringArray>>,
}

impl Texts {
    fn with_room(rows: usize) -> Texts {
        Texts { keys: Vec::with_capacity(rows), ..Texts::default() }
    }

    /// Takes a text; `None` if it is not in UTF-8.
    fn push(&mut self, text: &[u8]) -> Option<()> {
        let number = match self.numbers.get(text) {
            Some(number) => *number,
            None => {
                let new = std::str::from_utf8(text).ok()?;
                // There are never more than two batches' worth.
                let number = self.texts.len() as i32;
                self.numbers.insert(text.into(), number);
                self.texts.push(new.into());
                self.array = None;
                number
            }
        };
        self.keys.push(Some(number));
        Some(())
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let next = Vec::with_capacity(self.keys.capacity());
        let keys = Int32Array::from(std::mem::replace(&mut self.keys, next));
        let texts = self
            .array
            .get_or_insert_with(|| Arc::new(StringArray::from_iter_values(&self.texts)))
            .clone();
        if self.texts.len() > keys.len().max(FEW_TEXTS) {
            *self = Texts::with_room(self.keys.capacity());
        }
        Ok(Arc::new(DictionaryArray::try_new(keys, texts)?))
    }
}

/// A column while rows arrive.
enum Growing {
    Fixed { decimals: u8, values: Int64Builder },
    Text(Texts),
}

/// A row of a source: the store's id if all stores are read, the date, and what is asked for.
pub(crate) trait Row {
    /// The value at a place.
    fn cell(&self, at: usize) -> Result<Cell<'_>, SourceError>;

    /// [`Cell::fixed`] of the value at a place, where that is seen at a glance: most of the time of a source goes into
    /// its numbers and texts.
    #[inline]
    fn fixed(&self, _at: usize, _decimals: u8) -> Glance<i64> {
        Glance::Look
    }

    /// The text at a place, likewise.
    #[inline]
    fn text(&self, _at: usize) -> Glance<&[u8]> {
        Glance::Look
    }
}

/// A value that was looked at for a moment.
pub(crate) enum Glance<T> {
    /// NULL.
    Null,
    /// What it is.
    Is(T),
    /// That takes another look: at its cell.
    Look,
}

/// Batches while rows arrive.
pub(crate) struct Batcher<'a> {
    dataset: &'a Dataset,
    schema: SchemaRef,
    limits: Limits,
    /// Rows taken so far.
    taken: u64,
    wanted: &'a Days,
    dates: Dates,
    days: Vec<i32>,
    /// The day of the last row.
    last: Option<Day>,
    /// The id of its store.
    store: String,
    /// For texts that are not texts yet.
    scratch: String,
    /// Only where all stores are read.
    stores: Option<Texts>,
    columns: Vec<(&'a str, Growing)>,
}

/// What became of a row.
pub(crate) enum Pushed {
    /// It is on a day that was not asked for.
    Left,
    /// It is in the batch.
    Taken,
    /// It is in the batch, which is full.
    Full,
}

impl<'a> Batcher<'a> {
    /// For rows of one store, or of all, where each row begins with the id.
    pub(crate) fn new(
        dataset: &'a Dataset,
        wanted: &'a Days,
        one_store: Option<&str>,
        limits: Limits,
    ) -> Batcher<'a> {
        let limits = Limits { batch_size: limits.batch_size.max(1), ..limits };
        let room = limits.batch_size.min(ROOM);
        let mut fields = Vec::new();
        if one_store.is_none() {
            fields.push(Field::new("store_id", text_type(), false));
        }
        fields.push(Field::new("date", DataType::Date32, false));
        let mut columns: Vec<(&str, Growing)> = Vec::new();
        for (word, name) in [("product", &dataset.product), ("category", &dataset.category)] {
            if let Some(name) = name {
                fields.push(Field::new(word, text_type(), true));
                columns.push((name, Growing::Text(Texts::with_room(room))));
            }
        }
        for column in &dataset.columns {
            let (kind, growing) = match column.kind {
                ColumnKind::Fixed { decimals } => (
                    DataType::Int64,
                    Growing::Fixed { decimals, values: Int64Builder::with_capacity(room) },
                ),
                ColumnKind::Text => (text_type(), Growing::Text(Texts::with_room(room))),
            };
            fields.push(Field::new(&column.name, kind, true));
            columns.push((&column.name, growing));
        }
        Batcher {
            dataset,
            schema: Arc::new(Schema::new(fields)),
            limits,
            taken: 0,
            wanted,
            dates: Dates::new(dataset),
            days: Vec::with_capacity(room),
            last: None,
            store: one_store.unwrap_or_default().to_string(),
            scratch: String::new(),
            stores: one_store.is_none().then(Texts::default),
            columns,
        }
    }

    /// Takes a row, if its day was asked for.
    ///
    /// # Errors
    /// If it cannot be read, or is one more of its store than allowed.
    pub(crate) fn push(&mut self, row: &impl Row) -> Result<Pushed, SourceError> {
        let mut at = 0;
        let mut same_store = true;
        if self.stores.is_some() {
            same_store = self.turn_to(&row.cell(at)?)?;
            at += 1;
        }
        let day = self.day(&row.cell(at)?, same_store)?;
        if !self.wanted.has(day) {
            return Ok(Pushed::Left);
        }
        if let Some(stores) = &mut self.stores {
            stores.push(self.store.as_bytes());
        }
        self.days.push(day.0);
        for (name, column) in &mut self.columns {
            at += 1;
            if column.glance(row, at) {
                continue;
            }
            let value = row.cell(at)?;
            if let Err(expected) = column.push(&value, &mut self.scratch) {
                return Err(unreadable(Some(&self.store), Some(day), name, &value, expected));
            }
        }
        self.taken += 1;
        if self.stores.is_none() && self.taken > self.limits.max_rows {
            return Err(SourceError::too_many(&self.store, self.limits.max_rows));
        }
        Ok(if self.days.len() >= self.limits.batch_size { Pushed::Full } else { Pushed::Taken })
    }

    /// The rows taken since the last batch, if any.
    pub(crate) fn finish(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        if self.days.is_empty() {
            return Ok(None);
        }
        let room = self.limits.batch_size.min(ROOM);
        let days = std::mem::replace(&mut self.days, Vec::with_capacity(room));
        let build = || {
            let mut arrays: Vec<ArrayRef> = Vec::new();
            if let Some(stores) = &mut self.stores {
                arrays.push(stores.finish()?);
            }
            arrays.push(Arc::new(Date32Array::from(days)));
            for (_, column) in &mut self.columns {
                arrays.push(match column {
                    Growing::Fixed { values, .. } => {
                        let next = Int64Builder::with_capacity(room);
                        Arc::new(std::mem::replace(values, next).finish())
                    }
                    Growing::Text(texts) => texts.finish()?,
                });
            }
            RecordBatch::try_new(Arc::clone(&self.schema), arrays)
        };
        let wrong =
            |e| SourceError::new(SourceErrorKind::Failed, "cannot build a batch").because(e);
        build().map(Some).map_err(wrong)
    }

    /// Takes the store of the next row; says whether it is that of the last.
    fn turn_to(&mut self, id: &Cell<'_>) -> Result<bool, SourceError> {
        let Some(text) = id.text(&mut self.scratch) else {
            return Err(unreadable(None, None, &self.dataset.store_id, id, ID));
        };
        let same_store = self.store == text;
        if !same_store {
            text.clone_into(&mut self.store);
        }
        Ok(same_store)
    }

    /// Takes the day of the next row.
    fn day(&mut self, date: &Cell<'_>, same_store: bool) -> Result<Day, SourceError> {
        let unfit =
            |expected| unreadable(Some(&self.store), None, &self.dataset.date, date, expected);
        let day =
            self.dates.day(date).ok_or_else(|| unfit(days::expected(self.dataset.date_kind)))?;
        // The source sorts by its values, and mixed spellings sort otherwise than their days.
        if same_store && self.last.is_some_and(|last| day < last) {
            return Err(unfit("one spelling for all, so that they sort as their days do"));
        }
        self.last = Some(day);
        Ok(day)
    }
}

impl Growing {
    /// Takes the value at a place, if one glance is enough.
    #[inline]
    fn glance(&mut self, row: &impl Row, at: usize) -> bool {
        match self {
            Growing::Fixed { decimals, values } => match row.fixed(at, *decimals) {
                Glance::Null => values.append_null(),
                Glance::Is(number) => values.append_value(number),
                Glance::Look => return false,
            },
            Growing::Text(texts) => match row.text(at) {
                Glance::Null => texts.keys.push(None),
                Glance::Is(text) => return texts.push(text).is_some(),
                Glance::Look => return false,
            },
        }
        true
    }

    /// Takes a value, or says what it should have been.
    fn push(&mut self, value: &Cell<'_>, scratch: &mut String) -> Result<(), &'static str> {
        match (self, value) {
            (Growing::Fixed { values, .. }, Cell::Null) => values.append_null(),
            (Growing::Fixed { decimals, values }, value) => {
                values.append_value(value.fixed(*decimals).ok_or("a number that fits 64 bits")?);
            }
            (Growing::Text(texts), Cell::Null) => texts.keys.push(None),
            (Growing::Text(texts), Cell::Text(bytes)) => {
                texts.push(bytes).ok_or("text in UTF-8")?;
            }
            (Growing::Text(texts), value) => {
                let text = value.text(scratch).ok_or("text or a number")?;
                texts.push(text.as_bytes());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dictionary_goes_on_and_starts_anew_when_it_is_large() {
        let mut texts = Texts::default();
        let mut batch = |from: usize, to: usize| {
            (from..to).for_each(|n| texts.push(n.to_string().as_bytes()).unwrap());
            let array = texts.finish().unwrap();
            let array = array
                .as_any()
                .downcast_ref::<DictionaryArray<arrow_array::types::Int32Type>>()
                .unwrap()
                .clone();
            (array.keys().values().to_vec(), array.values().clone())
        };
        let (first, names) = batch(0, 3);
        let (again, same) = batch(1, 3);
        assert_eq!((first, again), (vec![0, 1, 2], vec![1, 2]));
        assert!(Arc::ptr_eq(&names, &same) || names.to_data().ptr_eq(&same.to_data()));
        assert_eq!(batch(0, 2_000).1.len(), 2_000);
        // Larger than the batch that it now serves: handed over for the last time.
        let (keys, names) = batch(500, 501);
        assert_eq!((keys, names.len()), (vec![500], 2_000));
        let (keys, names) = batch(500, 501);
        assert_eq!((keys, names.len()), (vec![0], 1));
    }
}
