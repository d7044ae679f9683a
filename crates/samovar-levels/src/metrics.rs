//! Metrics: the mergeable states of one store over a block of days, a row for each day that has lines.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Int16Type, Int64Type, UInt32Type};
use arrow_array::{
    Array, ArrayRef, Date32Array, FixedSizeBinaryArray, Int16Array, Int64Array, ListArray,
    RecordBatch, UInt32Array,
};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{Field, Schema as ArrowSchema};
use samovar_core::{Day, Error, ErrorKind};
use serde::{Deserialize, Serialize};

use crate::distinct::Distinct;
use crate::schema::{Aggregate, Schema};
use crate::sketch::Bins;
use crate::store;
use crate::variance::variance;

/// The states of a block of days.
#[derive(Clone, Debug, Default)]
pub(crate) struct MetricsBlock {
    /// The days that have lines, ascending.
    pub(crate) days: Vec<Day>,
    /// By day: 128 bits over its whole state (see `derive`).
    pub(crate) digests: Vec<u128>,
    /// By day: number of lines.
    pub(crate) rows: Vec<u32>,
    /// By column of the schema.
    pub(crate) columns: Vec<ColumnStates>,
}

/// The states of one column, by day.
#[derive(Clone, Debug, Default)]
pub(crate) struct ColumnStates {
    pub(crate) sum: Vec<i64>,
    /// Number of values that are there.
    pub(crate) valid: Vec<u32>,
    /// Least and greatest; empty if not kept. Meaningless where `valid` is 0.
    pub(crate) min: Vec<i64>,
    pub(crate) max: Vec<i64>,
    /// Number of distinct values; empty if not kept.
    pub(crate) distinct: Vec<u32>,
    /// Bins of the sketch: those of day `i` stand at `offsets[i]..offsets[i + 1]`; empty if not kept.
    pub(crate) offsets: Vec<u32>,
    pub(crate) codes: Vec<i16>,
    pub(crate) counts: Vec<u32>,
    /// Sum of the squares; empty if not kept.
    pub(crate) squares: Vec<i128>,
    /// Hashes of the distinct values: those of day `i` stand at `ends[i]..ends[i + 1]`; empty if not kept.
    pub(crate) ends: Vec<u32>,
    pub(crate) hashes: Vec<u32>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    kept: Vec<Kept>,
}

/// Which of the optional states a column keeps.
#[derive(Serialize, Deserialize)]
struct Kept {
    extremes: bool,
    distinct: bool,
    sketch: bool,
    squares: bool,
    hashes: bool,
}

impl MetricsBlock {
    pub(crate) fn new(schema: &Schema) -> Self {
        let column = |c: &crate::schema::Column| ColumnStates::new(c.sketch, c.hashed);
        MetricsBlock { columns: schema.columns.iter().map(column).collect(), ..Self::default() }
    }

    /// The rows of the days in a range; none if it ends before it begins.
    pub(crate) fn range(&self, from: Day, to: Day) -> std::ops::Range<usize> {
        let start = self.days.partition_point(|day| *day < from);
        start..self.days.partition_point(|day| *day <= to).max(start)
    }

    /// This block with the days that `newer` says replaced by those of `other`.
    pub(crate) fn spliced(
        &self,
        other: &MetricsBlock,
        newer: impl Fn(Day) -> bool,
    ) -> MetricsBlock {
        let mut rows: Vec<(Day, &MetricsBlock, usize)> = Vec::new();
        for (block, wanted) in [(self, false), (other, true)] {
            let chosen = block.days.iter().enumerate().filter(|(_, day)| newer(**day) == wanted);
            rows.extend(chosen.map(|(at, day)| (*day, block, at)));
        }
        rows.sort_by_key(|(day, ..)| *day);
        let mut out = MetricsBlock {
            columns: self
                .columns
                .iter()
                .map(|column| {
                    ColumnStates::new(!column.offsets.is_empty(), !column.ends.is_empty())
                })
                .collect(),
            ..Self::default()
        };
        for (day, block, at) in rows {
            out.days.push(day);
            out.digests.push(block.digests[at]);
            out.rows.push(block.rows[at]);
            for (mine, theirs) in out.columns.iter_mut().zip(&block.columns) {
                mine.push_from(theirs, at);
            }
        }
        out
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        let bad = |e| Error::new(ErrorKind::Format, "building a metrics block").because(e);
        let days = Date32Array::from(self.days.iter().map(|day| day.0).collect::<Vec<_>>());
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(days),
            wide(&self.digests),
            Arc::new(UInt32Array::from(self.rows.clone())),
        ];
        let mut kept = Vec::new();
        for column in &self.columns {
            kept.push(Kept {
                extremes: !column.min.is_empty(),
                distinct: !column.distinct.is_empty(),
                sketch: !column.offsets.is_empty(),
                squares: !column.squares.is_empty(),
                hashes: !column.ends.is_empty(),
            });
            column.arrays(&mut columns);
        }
        let fields: Vec<Field> = columns
            .iter()
            .enumerate()
            .map(|(at, column)| Field::new(format!("s{at}"), column.data_type().clone(), false))
            .collect();
        let batch =
            RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).map_err(bad)?;
        store::encode(&Head { kept }, &batch, out)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<MetricsBlock, Error> {
        let (head, batch): (Head, RecordBatch) = store::decode(bytes)?;
        Self::from_batch(&head, &batch).ok_or_else(|| {
            Error::new(ErrorKind::Format, "a stored metrics block has other columns")
        })
    }

    fn from_batch(head: &Head, batch: &RecordBatch) -> Option<MetricsBlock> {
        let mut columns = batch.columns().iter();
        let days = columns.next()?.as_primitive_opt::<Date32Type>()?;
        let mut block = MetricsBlock {
            days: days.values().iter().map(|day| Day(*day)).collect(),
            digests: u128s(columns.next()?)?,
            rows: u32s(columns.next()?)?,
            columns: Vec::new(),
        };
        for kept in &head.kept {
            let mut column = ColumnStates {
                sum: i64s(columns.next()?)?,
                valid: u32s(columns.next()?)?,
                ..ColumnStates::default()
            };
            if kept.extremes {
                column.min = i64s(columns.next()?)?;
                column.max = i64s(columns.next()?)?;
            }
            if kept.distinct {
                column.distinct = u32s(columns.next()?)?;
            }
            if kept.sketch {
                let codes = columns.next()?.as_list_opt::<i32>()?;
                let counts = columns.next()?.as_list_opt::<i32>()?;
                column.offsets = codes.offsets().iter().map(|o| *o as u32).collect();
                column.codes = codes.values().as_primitive_opt::<Int16Type>()?.values().to_vec();
                column.counts = u32s(counts.values())?;
                if column.codes.len() != column.counts.len() || !column.bins_ascend() {
                    return None;
                }
            }
            if kept.squares {
                let squares = u128s(columns.next()?)?;
                column.squares = squares.into_iter().map(u128::cast_signed).collect();
            }
            if kept.hashes {
                let hashes = columns.next()?.as_list_opt::<i32>()?;
                column.ends = hashes.offsets().iter().map(|o| *o as u32).collect();
                column.hashes = u32s(hashes.values())?;
            }
            block.columns.push(column);
        }
        let ascending = block.days.windows(2).all(|pair| pair[0] < pair[1]);
        (ascending && columns.next().is_none()).then_some(block)
    }

    pub(crate) fn weight(&self) -> usize {
        let by_day = self.days.len() * (4 + 16 + 4);
        size_of::<Self>() + by_day + self.columns.iter().map(ColumnStates::weight).sum::<usize>()
    }
}

/// Numbers of 128 bits as a column.
fn wide(numbers: &[u128]) -> ArrayRef {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    Arc::new(FixedSizeBinaryArray::new(16, bytes.into(), None))
}

fn u128s(column: &ArrayRef) -> Option<Vec<u128>> {
    let numbers = column.as_fixed_size_binary_opt()?.iter();
    numbers.map(|bytes| bytes?.try_into().ok().map(u128::from_le_bytes)).collect()
}

fn i64s(column: &ArrayRef) -> Option<Vec<i64>> {
    Some(column.as_primitive_opt::<Int64Type>()?.values().to_vec())
}

fn u32s(column: &ArrayRef) -> Option<Vec<u32>> {
    Some(column.as_primitive_opt::<UInt32Type>()?.values().to_vec())
}

impl ColumnStates {
    fn new(sketch: bool, hashed: bool) -> Self {
        let from_zero = |kept| if kept { vec![0] } else { Vec::new() };
        ColumnStates {
            offsets: from_zero(sketch),
            ends: from_zero(hashed),
            ..ColumnStates::default()
        }
    }

    fn push_from(&mut self, other: &ColumnStates, at: usize) {
        self.sum.push(other.sum[at]);
        self.valid.push(other.valid[at]);
        if !other.min.is_empty() {
            self.min.push(other.min[at]);
            self.max.push(other.max[at]);
        }
        if !other.distinct.is_empty() {
            self.distinct.push(other.distinct[at]);
        }
        if !other.offsets.is_empty() {
            let (codes, counts) = other.bins(at);
            self.codes.extend_from_slice(codes);
            self.counts.extend_from_slice(counts);
            self.offsets.push(self.codes.len() as u32);
        }
        if !other.squares.is_empty() {
            self.squares.push(other.squares[at]);
        }
        if !other.ends.is_empty() {
            self.hashes.extend_from_slice(other.hashes(at));
            self.ends.push(self.hashes.len() as u32);
        }
    }

    /// The hashes of a day's distinct values, as [`Distinct`] takes them.
    pub(crate) fn hashes(&self, at: usize) -> &[u32] {
        &self.hashes[self.ends[at] as usize..self.ends[at + 1] as usize]
    }

    /// The sketch of a day: codes and their counts.
    pub(crate) fn bins(&self, at: usize) -> (&[i16], &[u32]) {
        let range = self.offsets[at] as usize..self.offsets[at + 1] as usize;
        (&self.codes[range.clone()], &self.counts[range])
    }

    /// Whether the codes of every day ascend, as the merge relies on.
    fn bins_ascend(&self) -> bool {
        self.offsets.windows(2).all(|day| {
            let codes = self.codes.get(day[0] as usize..day[1] as usize);
            codes.is_some_and(|codes| codes.is_sorted_by(|a, b| a < b))
        })
    }

    fn arrays(&self, out: &mut Vec<ArrayRef>) {
        out.push(Arc::new(Int64Array::from(self.sum.clone())));
        out.push(Arc::new(UInt32Array::from(self.valid.clone())));
        if !self.min.is_empty() {
            out.push(Arc::new(Int64Array::from(self.min.clone())));
            out.push(Arc::new(Int64Array::from(self.max.clone())));
        }
        if !self.distinct.is_empty() {
            out.push(Arc::new(UInt32Array::from(self.distinct.clone())));
        }
        let list = |offsets: &[u32], values: ArrayRef| -> ArrayRef {
            let offsets: ScalarBuffer<i32> =
                offsets.iter().map(|o| *o as i32).collect::<Vec<_>>().into();
            let field = Arc::new(Field::new("item", values.data_type().clone(), false));
            Arc::new(ListArray::new(field, OffsetBuffer::new(offsets), values, None))
        };
        if !self.offsets.is_empty() {
            out.push(list(&self.offsets, Arc::new(Int16Array::from(self.codes.clone()))));
            out.push(list(&self.offsets, Arc::new(UInt32Array::from(self.counts.clone()))));
        }
        if !self.squares.is_empty() {
            let squares: Vec<u128> = self.squares.iter().map(|sum| sum.cast_unsigned()).collect();
            out.push(wide(&squares));
        }
        if !self.ends.is_empty() {
            out.push(list(&self.ends, Arc::new(UInt32Array::from(self.hashes.clone()))));
        }
    }

    fn weight(&self) -> usize {
        size_of::<Self>()
            + (self.sum.len() + self.min.len() + self.max.len()) * 8
            + (self.valid.len() + self.distinct.len() + self.offsets.len() + self.counts.len()) * 4
            + self.codes.len() * 2
            + self.squares.len() * 16
            + (self.ends.len() + self.hashes.len()) * 4
    }
}

/// States merged over any set of partitions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Merged {
    pub(crate) rows: u64,
    pub(crate) columns: Vec<MergedColumn>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct MergedColumn {
    pub(crate) sum: i128,
    pub(crate) valid: u64,
    min: Option<i64>,
    max: Option<i64>,
    distinct: u64,
    bins: Bins,
    squares: i128,
    about: Distinct,
}

impl Merged {
    pub(crate) fn new(schema: &Schema) -> Self {
        Merged { rows: 0, columns: vec![MergedColumn::default(); schema.columns.len()] }
    }

    /// Adds one day of a block.
    pub(crate) fn add(&mut self, block: &MetricsBlock, at: usize) {
        self.rows += u64::from(block.rows[at]);
        for (mine, theirs) in self.columns.iter_mut().zip(&block.columns) {
            mine.sum += i128::from(theirs.sum[at]);
            mine.valid += u64::from(theirs.valid[at]);
            if !theirs.min.is_empty() && theirs.valid[at] > 0 {
                mine.take(Some(theirs.min[at]), Some(theirs.max[at]));
            }
            if !theirs.distinct.is_empty() {
                mine.distinct += u64::from(theirs.distinct[at]);
            }
            if !theirs.offsets.is_empty() {
                let (codes, counts) = theirs.bins(at);
                mine.bins.add(codes, counts);
            }
            if !theirs.squares.is_empty() {
                mine.squares = mine.squares.saturating_add(theirs.squares[at]);
            }
            if !theirs.ends.is_empty() {
                mine.about.add(theirs.hashes(at));
            }
        }
    }

    /// Adds all of another.
    pub(crate) fn merge(&mut self, other: &Merged) {
        self.rows += other.rows;
        for (mine, theirs) in self.columns.iter_mut().zip(&other.columns) {
            mine.sum += theirs.sum;
            mine.valid += theirs.valid;
            mine.take(theirs.min, theirs.max);
            mine.distinct += theirs.distinct;
            mine.bins.merge(&theirs.bins);
            mine.squares = mine.squares.saturating_add(theirs.squares);
            mine.about.merge(&theirs.about);
        }
    }

    /// A measure's value; `None` where there is nothing to tell (no lines, or a ratio over zero).
    pub(crate) fn value(&self, schema: &Schema, measure: usize) -> Option<f64> {
        value(self, schema, measure)
    }
}

/// Merged states of some lines, as measures read them. What a schema does not keep is not asked for.
pub(crate) trait States {
    fn rows(&self) -> u64;
    fn sum(&self, column: usize) -> i128;
    fn valid(&self, column: usize) -> u64;
    /// Least and greatest.
    fn extremes(&self, column: usize) -> Option<(i64, i64)>;
    fn squares(&self, column: usize) -> i128;
    fn distinct(&self, column: usize) -> u64;
    fn about_distinct(&self, column: usize) -> f64;
    fn quantile(&self, column: usize, q: f64) -> Option<f64>;
}

impl States for Merged {
    fn rows(&self) -> u64 {
        self.rows
    }
    fn sum(&self, column: usize) -> i128 {
        self.columns[column].sum
    }
    fn valid(&self, column: usize) -> u64 {
        self.columns[column].valid
    }
    fn extremes(&self, column: usize) -> Option<(i64, i64)> {
        self.columns[column].min.zip(self.columns[column].max)
    }
    fn squares(&self, column: usize) -> i128 {
        self.columns[column].squares
    }
    fn distinct(&self, column: usize) -> u64 {
        self.columns[column].distinct
    }
    fn about_distinct(&self, column: usize) -> f64 {
        self.columns[column].about.estimate()
    }
    fn quantile(&self, column: usize, q: f64) -> Option<f64> {
        self.columns[column].bins.quantile(q)
    }
}

/// A measure's value; `None` where there is nothing to tell (no lines, or a ratio over zero).
pub(crate) fn value(states: &impl States, schema: &Schema, measure: usize) -> Option<f64> {
    if states.rows() == 0 {
        return None;
    }
    let scaled = |column: usize, value: f64| value / scale(schema, column);
    let sum = |column| (states.valid(column) > 0).then(|| states.sum(column) as f64);
    let spread =
        |column| variance(states.valid(column), states.sum(column), states.squares(column));
    match schema.measures[measure].aggregate {
        Aggregate::Count => Some(states.rows() as f64),
        Aggregate::Sum(c) => sum(c).map(|sum| scaled(c, sum)),
        Aggregate::Min(c) => states.extremes(c).map(|(min, _)| scaled(c, min as f64)),
        Aggregate::Max(c) => states.extremes(c).map(|(_, max)| scaled(c, max as f64)),
        Aggregate::Mean(c) => sum(c).map(|sum| scaled(c, sum / states.valid(c) as f64)),
        Aggregate::Distinct(c) => Some(states.distinct(c) as f64),
        Aggregate::AboutDistinct(c) => Some(states.about_distinct(c)),
        Aggregate::Quantile(c, q) => states.quantile(c, q),
        Aggregate::Variance(c) => spread(c).map(|v| scaled(c, scaled(c, v))),
        Aggregate::Deviation(c) => spread(c).map(|v| scaled(c, v.sqrt())),
        Aggregate::Ratio(over, under) => {
            let (over, under) = (value(states, schema, over)?, value(states, schema, under)?);
            (under != 0.0).then(|| over / under)
        }
    }
}

impl MergedColumn {
    fn take(&mut self, min: Option<i64>, max: Option<i64>) {
        if let Some(min) = min {
            self.min = Some(self.min.map_or(min, |mine| mine.min(min)));
        }
        self.max = self.max.max(max);
    }
}

/// How many units of the fixed-point column make one.
pub(crate) fn scale(schema: &Schema, column: usize) -> f64 {
    10f64.powi(i32::from(schema.columns[column].decimals))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One column with a sketch, one day.
    fn block(codes: &[i16]) -> MetricsBlock {
        let column = ColumnStates {
            sum: vec![7],
            valid: vec![2],
            offsets: vec![0, codes.len() as u32],
            codes: codes.to_vec(),
            counts: vec![1; codes.len()],
            ..ColumnStates::default()
        };
        let (days, digests, rows) = (vec![Day(3)], vec![1], vec![2]);
        MetricsBlock { days, digests, rows, columns: vec![column] }
    }

    #[test]
    fn bins_out_of_order_are_no_metrics_block() {
        for (codes, is_one) in [
            (vec![-3, 0, i16::MAX], true),
            (vec![i16::MIN], true),
            (Vec::new(), true),
            (vec![5, 3], false),
            (vec![5, 5], false),
        ] {
            let mut bytes = Vec::new();
            block(&codes).encode(&mut bytes).unwrap();
            match MetricsBlock::decode(&bytes) {
                Ok(read) => {
                    assert!(is_one, "{codes:?}");
                    let mut bins = Bins::default();
                    bins.add(read.columns[0].bins(0).0, read.columns[0].bins(0).1);
                    assert_eq!(bins.quantile(0.5).is_some(), !codes.is_empty());
                }
                Err(error) => assert!(!is_one, "{codes:?}: {error}"),
            }
        }
    }
}
