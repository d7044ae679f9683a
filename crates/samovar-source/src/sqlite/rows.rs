//! Rows → batches of columns.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::Int64Builder;
use arrow_array::{ArrayRef, Date32Array, DictionaryArray, Int32Array, RecordBatch, StringArray};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use rusqlite::Row;
use rusqlite::types::{Value, ValueRef};
use samovar_core::Day;

use super::days::{self, Dates};
use super::failed;
use crate::{ColumnKind, Dataset, Days, SourceError, SourceErrorKind, text_type};

/// A dictionary is begun anew when it has more texts than a batch has rows, and more than this.
const FEW_TEXTS: usize = 1_000;

/// A text column while rows arrive. The dictionary goes on from one batch to the next: a text keeps its
/// number, and where nothing new appeared the array is the very same.
#[derive(Default)]
struct Texts {
    keys: Vec<Option<i32>>,
    numbers: HashMap<Box<str>, i32, foldhash::fast::RandomState>,
    texts: Vec<Box<str>>,
    array: Option<Arc<StringArray>>,
}

impl Texts {
    fn push(&mut self, text: &str) {
        let number = match self.numbers.get(text) {
            Some(number) => *number,
            None => {
                // There are never more than two batches' worth.
                let number = self.texts.len() as i32;
                self.numbers.insert(text.into(), number);
                self.texts.push(text.into());
                self.array = None;
                number
            }
        };
        self.keys.push(Some(number));
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let keys = Int32Array::from(std::mem::take(&mut self.keys));
        let texts = self
            .array
            .get_or_insert_with(|| Arc::new(StringArray::from_iter_values(&self.texts)))
            .clone();
        if self.texts.len() > keys.len().max(FEW_TEXTS) {
            *self = Texts::default();
        }
        Ok(Arc::new(DictionaryArray::try_new(keys, texts)?))
    }
}

/// A column while rows arrive.
enum Growing {
    Fixed { scale: i64, values: Int64Builder },
    Text(Texts),
}

/// Batches while rows arrive.
pub(super) struct Batcher<'a> {
    dataset: &'a Dataset,
    schema: SchemaRef,
    batch_size: usize,
    wanted: &'a Days,
    dates: Dates,
    days: Vec<i32>,
    /// The store and day of the last row.
    last: Option<(Value, Day)>,
    /// The text of its id.
    store: String,
    /// Only where all stores are read.
    stores: Option<Texts>,
    columns: Vec<(&'a str, Growing)>,
}

/// What became of a row.
pub(super) enum Pushed {
    /// It is on a day that was not asked for.
    Left,
    /// It is in the batch.
    Taken,
    /// It is in the batch, which is full.
    Full,
}

impl<'a> Batcher<'a> {
    /// For rows of one store, or of all, where each row begins with the id.
    pub(super) fn new(
        dataset: &'a Dataset,
        wanted: &'a Days,
        one_store: Option<&str>,
        batch_size: usize,
    ) -> Batcher<'a> {
        let mut fields = Vec::new();
        if one_store.is_none() {
            fields.push(Field::new("store_id", text_type(), false));
        }
        fields.push(Field::new("date", DataType::Date32, false));
        let mut columns: Vec<(&str, Growing)> = Vec::new();
        for (word, name) in [("product", &dataset.product), ("category", &dataset.category)] {
            if let Some(name) = name {
                fields.push(Field::new(word, text_type(), true));
                columns.push((name, Growing::Text(Texts::default())));
            }
        }
        for column in &dataset.columns {
            let (kind, growing) = match column.kind {
                ColumnKind::Fixed { decimals } => {
                    // 10^18 is the greatest power in 64 bits.
                    let scale = 10i64.pow(u32::from(decimals.min(18)));
                    (DataType::Int64, Growing::Fixed { scale, values: Int64Builder::new() })
                }
                ColumnKind::Text => (text_type(), Growing::Text(Texts::default())),
            };
            fields.push(Field::new(&column.name, kind, true));
            columns.push((&column.name, growing));
        }
        Batcher {
            dataset,
            schema: Arc::new(Schema::new(fields)),
            batch_size: batch_size.max(1),
            wanted,
            dates: Dates::new(dataset),
            days: Vec::new(),
            last: None,
            store: one_store.unwrap_or_default().to_string(),
            stores: one_store.is_none().then(Texts::default),
            columns,
        }
    }

    pub(super) fn push(&mut self, row: &Row<'_>) -> Result<Pushed, SourceError> {
        let get = |at| row.get_ref(at).map_err(failed);
        let mut at = 0;
        let mut id = ValueRef::Null;
        if self.stores.is_some() {
            id = get(at)?;
            at += 1;
        }
        let date = get(at)?;
        let day = self.turn_to(id, date)?;
        if !wants(self.wanted, day) {
            return Ok(Pushed::Left);
        }
        if let Some(stores) = &mut self.stores {
            stores.push(&self.store);
        }
        self.days.push(day.0);
        for (name, column) in &mut self.columns {
            at += 1;
            let value = get(at)?;
            if let Err(expected) = column.push(value) {
                return Err(unreadable(Some(&self.store), Some(day), name, value, expected));
            }
        }
        Ok(if self.days.len() >= self.batch_size { Pushed::Full } else { Pushed::Taken })
    }

    /// The rows taken since the last batch, if any.
    pub(super) fn finish(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        if self.days.is_empty() {
            return Ok(None);
        }
        let days = std::mem::replace(&mut self.days, Vec::with_capacity(self.batch_size));
        let build = || {
            let mut arrays: Vec<ArrayRef> = Vec::new();
            if let Some(stores) = &mut self.stores {
                arrays.push(stores.finish()?);
            }
            arrays.push(Arc::new(Date32Array::from(days)));
            for (_, column) in &mut self.columns {
                arrays.push(match column {
                    Growing::Fixed { values, .. } => Arc::new(values.finish()),
                    Growing::Text(texts) => texts.finish()?,
                });
            }
            RecordBatch::try_new(Arc::clone(&self.schema), arrays)
        };
        let wrong =
            |e| SourceError::new(SourceErrorKind::Failed, "cannot build a batch").because(e);
        build().map(Some).map_err(wrong)
    }

    /// Takes store and day of the next row.
    fn turn_to(&mut self, id: ValueRef<'_>, date: ValueRef<'_>) -> Result<Day, SourceError> {
        let same_store = self.last.as_ref().is_some_and(|(last, _)| ValueRef::from(last) == id);
        if !same_store && self.stores.is_some() {
            self.store = id_text(id).ok_or_else(|| {
                let expected = "a number or text in UTF-8";
                unreadable(None, None, &self.dataset.store_id, id, expected)
            })?;
        }
        let unfit =
            |expected| unreadable(Some(&self.store), None, &self.dataset.date, date, expected);
        let day =
            self.dates.day(date).ok_or_else(|| unfit(days::expected(self.dataset.date_kind)))?;
        match &mut self.last {
            Some((_, last)) if same_store => {
                // The source sorts by its values, and mixed spellings sort otherwise than their days.
                if day < *last {
                    return Err(unfit("one spelling for all, so that they sort as their days do"));
                }
                *last = day;
            }
            last => *last = Some((Value::try_from(id).map_err(|e| failed(e.into()))?, day)),
        }
        Ok(day)
    }
}

impl Growing {
    /// Takes a value, or says what it should have been.
    fn push(&mut self, value: ValueRef<'_>) -> Result<(), &'static str> {
        match self {
            Growing::Fixed { scale, values } => match value {
                ValueRef::Null => values.append_null(),
                _ => values.append_value(fixed(value, *scale).ok_or("a number that fits 64 bits")?),
            },
            Growing::Text(texts) => match value {
                ValueRef::Null => texts.keys.push(None),
                ValueRef::Text(bytes) => {
                    texts.push(std::str::from_utf8(bytes).map_err(|_| "text in UTF-8")?);
                }
                _ => texts.push(&id_text(value).ok_or("text or a number")?),
            },
        }
        Ok(())
    }
}

/// A number times a scale, rounded half away from zero; `None` if it is none, or does not fit.
fn fixed(value: ValueRef<'_>, scale: i64) -> Option<i64> {
    let scaled = match value {
        ValueRef::Integer(number) => return number.checked_mul(scale),
        ValueRef::Real(number) => number * scale as f64,
        ValueRef::Text(bytes) => {
            std::str::from_utf8(bytes).ok()?.trim().parse::<f64>().ok()? * scale as f64
        }
        ValueRef::Null | ValueRef::Blob(_) => return None,
    };
    let rounded = scaled.round();
    // 2^63: the first float that does not fit.
    (rounded.abs() < 9_223_372_036_854_775_808.0).then_some(rounded as i64)
}

fn wants(wanted: &Days, day: Day) -> bool {
    match wanted {
        Days::Range(from, to) => {
            from.is_none_or(|from| from <= day) && to.is_none_or(|to| day <= to)
        }
        Days::These(days) => days.binary_search(&day).is_ok(),
    }
}

/// An id, or a number in a column of texts, as text.
pub(super) fn id_text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(bytes) => String::from_utf8(bytes.to_vec()).ok(),
        ValueRef::Null | ValueRef::Blob(_) => None,
    }
}

/// The error for a value that cannot be read.
pub(super) fn unreadable(
    store: Option<&str>,
    day: Option<Day>,
    column: &str,
    value: ValueRef<'_>,
    expected: &str,
) -> SourceError {
    let found = match value {
        ValueRef::Null => "nothing (NULL)".to_string(),
        ValueRef::Integer(number) => format!("the integer {number}"),
        ValueRef::Real(number) => format!("the number {number}"),
        ValueRef::Text(bytes) => {
            let start: String = String::from_utf8_lossy(bytes).chars().take(60).collect();
            format!("the text {start:?}")
        }
        ValueRef::Blob(bytes) => format!("a blob of {} bytes", bytes.len()),
    };
    let place = match (store, day) {
        (Some(store), Some(day)) => format!("store {store} on {day}: "),
        (Some(store), None) => format!("store {store}: "),
        _ => String::new(),
    };
    let message = format!("{place}column {column} holds {found}; allowed is {expected}");
    SourceError::new(SourceErrorKind::Value, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_rounded_half_away_from_zero() {
        let cents = |number| fixed(ValueRef::Real(number), 100);
        assert_eq!([cents(0.125), cents(-0.125), cents(19.99)], [Some(13), Some(-13), Some(1_999)]);
        assert_eq!(fixed(ValueRef::Integer(-7), 100), Some(-700));
        assert_eq!(fixed(ValueRef::Text(b" 1234.56 "), 100), Some(123_456));
        for value in [
            ValueRef::Real(f64::INFINITY),
            ValueRef::Real(9.3e16),
            ValueRef::Integer(i64::MAX / 99),
            ValueRef::Text(b"nan"),
            ValueRef::Text(b"$1"),
            ValueRef::Blob(b"1"),
        ] {
            assert_eq!(fixed(value, 100), None, "{value:?}");
        }
    }

    #[test]
    fn a_dictionary_goes_on_and_starts_anew_when_it_is_large() {
        let mut texts = Texts::default();
        let mut batch = |from: usize, to: usize| {
            (from..to).for_each(|n| texts.push(&n.to_string()));
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
