//! Rows → batches of columns.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::Int64Builder;
use arrow_array::{
    ArrayRef, Date32Array, DictionaryArray, Int32Array, RecordBatch, RecordBatchOptions,
    StringArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use jiff::Timestamp;
use rusqlite::Row;
use rusqlite::types::ValueRef;
use samovar_core::Day;

use super::sql;
use crate::{ColumnKind, Dataset, DateKind, SourceError, SourceErrorKind, text_type};

/// A text column while rows arrive. The dictionary is kept from one batch to the next, until it is larger than a batch.
#[derive(Default)]
struct Texts {
    keys: Vec<Option<i32>>,
    numbers: HashMap<Box<str>, i32, foldhash::fast::RandomState>,
    texts: Vec<Box<str>>,
}

impl Texts {
    fn push(&mut self, text: Option<&str>) {
        let Some(text) = text else { return self.keys.push(None) };
        let number = match self.numbers.get(text) {
            Some(number) => *number,
            None => {
                let number = self.texts.len() as i32;
                self.numbers.insert(text.into(), number);
                self.texts.push(text.into());
                number
            }
        };
        self.keys.push(Some(number));
    }

    fn finish(&mut self) -> Result<ArrayRef, arrow_schema::ArrowError> {
        let keys = Int32Array::from(std::mem::take(&mut self.keys));
        let texts = StringArray::from_iter_values(&self.texts);
        if self.texts.len() > keys.len().max(1_000) {
            self.numbers.clear();
            self.texts.clear();
        }
        Ok(Arc::new(DictionaryArray::try_new(keys, Arc::new(texts))?))
    }
}

enum Growing {
    Fixed { name: String, scale: f64, whole: i64, values: Int64Builder },
    Text { name: String, values: Texts },
}

/// Batches while rows arrive.
pub(super) struct Batcher {
    dataset: Arc<Dataset>,
    schema: SchemaRef,
    batch_size: usize,
    /// Only where all stores are read.
    stores: Option<Texts>,
    days: Vec<i32>,
    columns: Vec<Growing>,
    /// The last date read, as it was and as a day: the next is nearly always the same.
    last: (Vec<u8>, Day),
    days_wanted: (Option<Day>, Option<Day>),
    store: String,
}

impl Batcher {
    pub(super) fn new(
        dataset: Arc<Dataset>,
        one_store: Option<&str>,
        batch_size: usize,
    ) -> Batcher {
        let mut fields = Vec::new();
        if one_store.is_none() {
            fields.push(Field::new("store_id", text_type(), false));
        }
        fields.push(Field::new("date", DataType::Date32, false));
        let mut columns = Vec::new();
        for (word, name) in [("product", &dataset.product), ("category", &dataset.category)] {
            if let Some(name) = name {
                fields.push(Field::new(word, text_type(), true));
                columns.push(Growing::Text { name: name.clone(), values: Texts::default() });
            }
        }
        for column in &dataset.columns {
            let name = column.name.clone();
            let (kind, growing) = match column.kind {
                ColumnKind::Fixed { decimals } => {
                    let whole = 10i64.pow(u32::from(decimals.min(18)));
                    let values = Int64Builder::new();
                    (DataType::Int64, Growing::Fixed { name, scale: whole as f64, whole, values })
                }
                ColumnKind::Text => (text_type(), Growing::Text { name, values: Texts::default() }),
            };
            fields.push(Field::new(&column.name, kind, true));
            columns.push(growing);
        }
        Batcher {
            schema: Arc::new(Schema::new(fields)),
            batch_size,
            stores: one_store.is_none().then(Texts::default),
            days: Vec::new(),
            columns,
            last: (Vec::new(), Day(0)),
            days_wanted: (None, None),
            store: one_store.unwrap_or_default().to_string(),
            dataset,
        }
    }

    /// Rows of other days are left out from now on.
    pub(super) fn only(&mut self, from: Option<Day>, to: Option<Day>) {
        self.days_wanted = (from, to);
    }

    /// Takes a row; true if the batch is full.
    pub(super) fn push(&mut self, row: &Row<'_>) -> Result<bool, SourceError> {
        let mut at = 0;
        if self.stores.is_some() {
            self.store = id_text(get(row, 0)?).ok_or_else(|| {
                unreadable("?", None, &self.dataset.store_id, &get(row, 0), "a number or text")
            })?;
            at = 1;
        }
        let day = self.day(get(row, at)?)?;
        let (from, to) = self.days_wanted;
        if from.is_some_and(|from| day < from) || to.is_some_and(|to| to < day) {
            return Ok(false);
        }
        if let Some(stores) = &mut self.stores {
            stores.push(Some(&self.store));
        }
        self.days.push(day.0);
        let (store, mut number) = (&self.store, String::new());
        for (column, at) in self.columns.iter_mut().zip(at + 1..) {
            let value = get(row, at)?;
            match column {
                Growing::Fixed { name, scale, whole, values } => {
                    let fixed = match value {
                        ValueRef::Null => None,
                        ValueRef::Integer(n) => Some(n.checked_mul(*whole)),
                        ValueRef::Real(n) => Some(fixed(n * *scale)),
                        ValueRef::Text(bytes) => {
                            let parsed = std::str::from_utf8(bytes)
                                .ok()
                                .and_then(|t| t.trim().parse::<f64>().ok());
                            Some(parsed.and_then(|n| fixed(n * *scale)))
                        }
                        ValueRef::Blob(_) => Some(None),
                    };
                    match fixed {
                        None => values.append_null(),
                        Some(Some(fixed)) => values.append_value(fixed),
                        Some(None) => {
                            return Err(unreadable(
                                store,
                                Some(day),
                                name,
                                &Ok(value),
                                "a number that fits 64 bits",
                            ));
                        }
                    }
                }
                Growing::Text { name, values } => match value {
                    ValueRef::Null => values.push(None),
                    ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
                        Ok(text) => values.push(Some(text)),
                        Err(_) => {
                            return Err(unreadable(
                                store,
                                Some(day),
                                name,
                                &Ok(value),
                                "text in UTF-8",
                            ));
                        }
                    },
                    other => {
                        number.clear();
                        number.push_str(&id_text(other).ok_or_else(|| {
                            unreadable(store, Some(day), name, &Ok(other), "text or a number")
                        })?);
                        values.push(Some(&number));
                    }
                },
            }
        }
        Ok(self.days.len() >= self.batch_size)
    }

    /// The rows taken since the last batch, if any.
    pub(super) fn finish(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        if self.days.is_empty() {
            return Ok(None);
        }
        let days = std::mem::replace(&mut self.days, Vec::with_capacity(self.batch_size));
        let options = RecordBatchOptions::new().with_row_count(Some(days.len()));
        let build = || {
            let mut arrays: Vec<ArrayRef> = Vec::new();
            if let Some(stores) = &mut self.stores {
                arrays.push(stores.finish()?);
            }
            arrays.push(Arc::new(Date32Array::from(days)));
            for column in &mut self.columns {
                arrays.push(match column {
                    Growing::Fixed { values, .. } => Arc::new(values.finish()),
                    Growing::Text { values, .. } => values.finish()?,
                });
            }
            RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
        };
        let failed = |e| SourceError::new(SourceErrorKind::Failed, "building a batch").because(e);
        build().map(Some).map_err(failed)
    }

    fn day(&mut self, value: ValueRef<'_>) -> Result<Day, SourceError> {
        if let ValueRef::Text(bytes) = value
            && bytes == self.last.0
        {
            return Ok(self.last.1);
        }
        let day = day(&self.dataset, value).ok_or_else(|| {
            unreadable(
                &self.store,
                None,
                &self.dataset.date,
                &Ok(value),
                date_words(self.dataset.date_kind),
            )
        })?;
        if let ValueRef::Text(bytes) = value {
            self.last.0.clear();
            self.last.0.extend_from_slice(bytes);
            self.last.1 = day;
        }
        Ok(day)
    }
}

fn get<'a>(row: &'a Row<'_>, at: usize) -> Result<ValueRef<'a>, SourceError> {
    row.get_ref(at)
        .map_err(|e| SourceError::new(SourceErrorKind::Failed, "reading a row").because(e))
}

/// Rounds half away from zero; `None` if the number does not fit.
fn fixed(scaled: f64) -> Option<i64> {
    let rounded = scaled.round();
    (rounded.abs() < 9.2e18).then_some(rounded as i64)
}

/// An id as text.
pub(super) fn id_text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(bytes) => String::from_utf8(bytes.to_vec()).ok(),
        ValueRef::Null | ValueRef::Blob(_) => None,
    }
}

/// The day of a value of the date column.
pub(super) fn day(dataset: &Dataset, value: ValueRef<'_>) -> Option<Day> {
    match (dataset.date_kind, value) {
        (DateKind::Date, ValueRef::Text(bytes)) => {
            std::str::from_utf8(bytes.get(..10)?).ok()?.parse().ok()
        }
        (DateKind::UtcDatetime, ValueRef::Text(bytes)) => {
            let text = std::str::from_utf8(bytes).ok()?.trim().trim_end_matches('Z');
            let instant = text
                .parse::<jiff::civil::DateTime>()
                .ok()?
                .to_zoned(jiff::tz::TimeZone::UTC)
                .ok()?;
            sql::day_of(instant.timestamp(), &dataset.time_zone)
        }
        (DateKind::EpochSeconds, ValueRef::Integer(seconds)) => {
            sql::day_of(Timestamp::from_second(seconds).ok()?, &dataset.time_zone)
        }
        (DateKind::EpochMillis, ValueRef::Integer(millis)) => {
            sql::day_of(Timestamp::from_millisecond(millis).ok()?, &dataset.time_zone)
        }
        _ => None,
    }
}

fn date_words(kind: DateKind) -> &'static str {
    match kind {
        DateKind::Date => "a date as text, YYYY-MM-DD first (or set dataset.date_kind)",
        DateKind::UtcDatetime => "a time in UTC as text, YYYY-MM-DD HH:MM:SS",
        DateKind::EpochSeconds => "whole seconds since 1970",
        DateKind::EpochMillis => "whole milliseconds since 1970",
    }
}

pub(super) fn unreadable(
    store: &str,
    day: Option<Day>,
    column: &str,
    value: &Result<ValueRef<'_>, SourceError>,
    allowed: &str,
) -> SourceError {
    let found = match value {
        Ok(ValueRef::Null) => "nothing (NULL)".to_string(),
        Ok(ValueRef::Integer(n)) => format!("the integer {n}"),
        Ok(ValueRef::Real(n)) => format!("the number {n}"),
        Ok(ValueRef::Text(bytes)) => {
            format!(
                "the text {:?}",
                String::from_utf8_lossy(bytes).chars().take(60).collect::<String>()
            )
        }
        Ok(ValueRef::Blob(bytes)) => format!("a blob of {} bytes", bytes.len()),
        Err(failed) => failed.to_string(),
    };
    let on = day.map(|day| format!(" on {day}")).unwrap_or_default();
    let message = format!("store {store}{on}: column {column} holds {found}; allowed is {allowed}");
    SourceError::new(SourceErrorKind::Value, message)
}
