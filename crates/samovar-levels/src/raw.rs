//! Raw: the rows of one store over a block of days, in columns, sorted by day.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer};
use arrow_schema::{Field, Schema as ArrowSchema};
use samovar_core::{Day, Error, ErrorKind};
use serde::{Deserialize, Serialize};

use crate::distinct;
use crate::ints::{is_ints, narrow, widen};
use crate::names::{self, Name};
use crate::store;

/// The rows of a block of days.
#[derive(Clone, Debug)]
pub(crate) struct RawBlock {
    first: Day,
    /// Where each day's rows begin; one more than there are days.
    offsets: Vec<u32>,
    /// The product of each row, as a number of `names`.
    items: UInt32Array,
    /// The columns of the schema. Text is kept as numbers that tell values of one day apart, or as hashes.
    columns: Vec<ArrayRef>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    first: Day,
    offsets: Vec<u32>,
    names: Vec<Name>,
}

impl RawBlock {
    /// Number of days.
    pub(crate) fn days(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The rows of a day, or none if the day is not in this block.
    pub(crate) fn rows(&self, day: Day) -> Range<usize> {
        match usize::try_from(day.0 - self.first.0) {
            Ok(at) if at < self.days() => self.offsets[at] as usize..self.offsets[at + 1] as usize,
            _ => 0..0,
        }
    }

    /// The days of this block within a range.
    pub(crate) fn dates(&self, from: Day, to: Day) -> impl Iterator<Item = Day> + use<> {
        let last = self.first.plus(self.days() as i32 - 1);
        (from.max(self.first).0..=to.min(last).0).map(Day)
    }

    pub(crate) fn items(&self) -> &[u32] {
        self.items.values()
    }

    pub(crate) fn columns(&self) -> &[ArrayRef] {
        &self.columns
    }

    /// This block with the days that `newer` says replaced by those of `other`, which spans the same days.
    pub(crate) fn spliced(&self, other: &RawBlock, newer: impl Fn(Day) -> bool) -> RawBlock {
        let mut rows = Rows::new(self.columns.len());
        let mut offsets = vec![0];
        for at in 0..self.days() {
            let day = self.first.plus(at as i32);
            let from = if newer(day) { other } else { self };
            rows.copy(from, from.rows(day));
            offsets.push(rows.items.len() as u32);
        }
        rows.into_block(self.first, offsets)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        let (locals, names) = local_names(self.items());
        let mut fields = vec![Field::new("item", locals.data_type().clone(), false)];
        let mut columns = vec![locals];
        for (at, column) in self.columns.iter().enumerate() {
            fields.push(Field::new(format!("c{at}"), column.data_type().clone(), true));
            columns.push(Arc::clone(column));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.items.len()));
        let batch = RecordBatch::try_new_with_options(
            Arc::new(ArrowSchema::new(fields)),
            columns,
            &options,
        )
        .map_err(|e| Error::new(ErrorKind::Format, "building a raw block").because(e))?;
        store::encode(
            &Head { first: self.first, offsets: self.offsets.clone(), names },
            &batch,
            out,
        )
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<RawBlock, Error> {
        let bad =
            |what: &str| Error::new(ErrorKind::Format, format!("a stored raw block has {what}"));
        let (head, batch): (Head, RecordBatch) = store::decode(bytes)?;
        let ordered = head.offsets.windows(2).all(|pair| pair[0] <= pair[1]);
        if !ordered || head.offsets.last().map(|n| *n as usize) != Some(batch.num_rows()) {
            return Err(bad("days that do not add up to its rows"));
        }
        let mut columns = batch.columns().to_vec();
        if columns.is_empty() || !columns.iter().all(is_ints) {
            return Err(bad("a column of an unknown type"));
        }
        let items = global_names(&columns.remove(0), &head.names)
            .ok_or_else(|| bad("a product without a name"))?;
        Ok(RawBlock { first: head.first, offsets: head.offsets, items, columns })
    }

    pub(crate) fn weight(&self) -> usize {
        let arrays: usize = self.columns.iter().map(|c| c.get_array_memory_size()).sum();
        size_of::<Self>() + self.offsets.len() * 4 + self.items.get_array_memory_size() + arrays
    }
}

/// The items' numbers as small numbers of their own, with the names they stand for.
pub(crate) fn local_names(items: &[u32]) -> (ArrayRef, Vec<Name>) {
    let table = names::items();
    let mut local = vec![u32::MAX; table.len()];
    let mut names = Vec::new();
    let mut numbers = Vec::with_capacity(items.len());
    for item in items {
        let slot = &mut local[*item as usize];
        if *slot == u32::MAX {
            *slot = names.len() as u32;
            names.push(table.name(*item).clone());
        }
        numbers.push(i64::from(*slot));
    }
    (narrow(numbers, None), names)
}

/// The inverse of [`local_names`]; `None` if a number has no name.
pub(crate) fn global_names(locals: &ArrayRef, stored: &[Name]) -> Option<UInt32Array> {
    let globals: Vec<u32> =
        stored.iter().map(|(p, c)| names::number(p.as_deref(), c.as_deref())).collect();
    let mut wide = Vec::with_capacity(locals.len());
    widen(locals, 0..locals.len(), &mut wide);
    wide.iter()
        .map(|local| globals.get(usize::try_from(*local).ok()?).copied())
        .collect::<Option<Vec<u32>>>()
        .map(UInt32Array::from)
}

/// One column while rows arrive.
#[derive(Default)]
struct Growing {
    values: Vec<i64>,
    /// Only once a value was missing.
    valid: Option<BooleanBufferBuilder>,
}

impl Growing {
    fn extend(&mut self, column: &ArrayRef, range: Range<usize>) {
        let before = self.values.len();
        widen(column, range.clone(), &mut self.values);
        let nulls = column.nulls().filter(|nulls| nulls.null_count() > 0);
        if nulls.is_some() && self.valid.is_none() {
            let mut valid = BooleanBufferBuilder::new(before + range.len());
            valid.append_n(before, true);
            self.valid = Some(valid);
        }
        if let Some(valid) = &mut self.valid {
            match nulls {
                Some(nulls) => range.for_each(|at| valid.append(nulls.is_valid(at))),
                None => valid.append_n(range.len(), true),
            }
        }
    }
}

/// Rows while they arrive.
struct Rows {
    items: Vec<u32>,
    columns: Vec<Growing>,
}

impl Rows {
    fn new(columns: usize) -> Self {
        Rows { items: Vec::new(), columns: (0..columns).map(|_| Growing::default()).collect() }
    }

    fn copy(&mut self, block: &RawBlock, range: Range<usize>) {
        self.items.extend_from_slice(&block.items()[range.clone()]);
        for (mine, theirs) in self.columns.iter_mut().zip(&block.columns) {
            mine.extend(theirs, range.clone());
        }
    }

    fn into_block(self, first: Day, offsets: Vec<u32>) -> RawBlock {
        let columns = self.columns.into_iter().map(|column| {
            narrow(column.values, column.valid.map(|mut valid| NullBuffer::new(valid.finish())))
        });
        RawBlock {
            first,
            offsets,
            items: UInt32Array::from(self.items),
            columns: columns.collect(),
        }
    }
}

/// Makes a block from batches of the source whose rows ascend by day.
pub(crate) struct RawBuilder {
    first: Day,
    offsets: Vec<u32>,
    rows: Rows,
}

impl RawBuilder {
    /// An empty block of `days` days from `first` on.
    pub(crate) fn new(first: Day, days: usize, columns: usize) -> Self {
        RawBuilder { first, offsets: vec![0; days + 1], rows: Rows::new(columns) }
    }

    /// Adds rows of one day; days must not descend.
    pub(crate) fn push(
        &mut self,
        day: Day,
        items: &[u32],
        columns: &[ArrayRef],
        range: Range<usize>,
    ) {
        self.rows.items.extend_from_slice(&items[range.clone()]);
        for (mine, theirs) in self.rows.columns.iter_mut().zip(columns) {
            mine.extend(theirs, range.clone());
        }
        let after = (day.0 - self.first.0 + 1) as usize;
        let total = self.rows.items.len() as u32;
        self.offsets[after..].fill(total);
    }

    pub(crate) fn finish(self) -> RawBlock {
        self.rows.into_block(self.first, self.offsets)
    }
}

/// Turns the text of batches into numbers: products and categories into items, other text into numbers that
/// are equal where the text is.
#[derive(Default)]
pub(crate) struct Numbering {
    texts: HashMap<Box<str>, i64>,
}

impl Numbering {
    /// The item of every row.
    pub(crate) fn items(
        &self,
        product: Option<&ArrayRef>,
        category: Option<&ArrayRef>,
        rows: usize,
    ) -> Vec<u32> {
        if product.is_none() && category.is_none() {
            return vec![names::number(None, None); rows];
        }
        let products = product.map(Texts::of);
        let categories = category.map(Texts::of);
        let width = products.as_ref().map_or(1, |texts| texts.values + 1);
        // Per product the category last seen with it, and their number: nearly always the same again.
        let mut known: Vec<Option<(usize, u32)>> = vec![None; width];
        (0..rows)
            .map(|row| {
                let p = products.as_ref().map_or(0, |texts| texts.key(row));
                let c = categories.as_ref().map_or(0, |texts| texts.key(row));
                match known[p] {
                    Some((category, number)) if category == c => number,
                    _ => {
                        let number =
                            names::number(text(products.as_ref(), p), text(categories.as_ref(), c));
                        known[p] = Some((c, number));
                        number
                    }
                }
            })
            .collect()
    }

    /// A text column as numbers: hashes, or else numbers equal where the text is.
    pub(crate) fn texts(&mut self, column: &ArrayRef, rows: usize, hashed: bool) -> ArrayRef {
        let texts = Texts::of(column);
        let mut numbers: Vec<Option<i64>> = vec![None; texts.values + 1];
        let mut out = Vec::with_capacity(rows);
        let mut valid = BooleanBufferBuilder::new(rows);
        for row in 0..rows {
            let key = texts.key(row);
            let Some(text) = texts.text(key) else {
                out.push(0);
                valid.append(false);
                continue;
            };
            let number = *numbers[key].get_or_insert_with(|| {
                if hashed {
                    return i64::from(distinct::hash(text));
                }
                let next = self.texts.len() as i64;
                *self.texts.entry(text.into()).or_insert(next)
            });
            out.push(number);
            valid.append(true);
        }
        narrow(out, Some(NullBuffer::new(valid.finish())))
    }
}

/// The text of a key, if there is a column and a text.
fn text<'a>(texts: Option<&Texts<'a>>, key: usize) -> Option<&'a str> {
    texts.and_then(|texts| texts.text(key))
}

/// A dictionary column: key `values` stands for a missing text.
struct Texts<'a> {
    keys: &'a arrow_array::Int32Array,
    dictionary: &'a arrow_array::StringArray,
    values: usize,
}

impl<'a> Texts<'a> {
    fn of(column: &'a ArrayRef) -> Self {
        let column = column.as_dictionary::<arrow_array::types::Int32Type>();
        let dictionary = column.values().as_string::<i32>();
        Texts { keys: column.keys(), dictionary, values: dictionary.len() }
    }

    fn key(&self, row: usize) -> usize {
        if self.keys.is_null(row) { self.values } else { self.keys.value(row) as usize }
    }

    fn text(&self, key: usize) -> Option<&'a str> {
        (key < self.values).then(|| self.dictionary.value(key))
    }
}
