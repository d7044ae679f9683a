//! Product metrics: sums by store, day and product.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{Field, Schema as ArrowSchema};
use samovar_core::{Day, Error, ErrorKind};
use serde::{Deserialize, Serialize};

use crate::ints::{is_ints, narrow, widen};
use crate::names::Name;
use crate::raw::{global_names, local_names};
use crate::store;

/// The product figures of one store over a block of days; within a day sorted by item.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProductBlock {
    /// The days that have lines, ascending.
    pub(crate) days: Vec<Day>,
    /// The figures of day `i` stand at `offsets[i]..offsets[i + 1]`.
    pub(crate) offsets: Vec<u32>,
    /// Product and category, as numbers of `names`.
    pub(crate) items: Vec<u32>,
    /// Number of lines.
    pub(crate) rows: Vec<u32>,
    /// By product column (see [`crate::Schema::product_columns`]): the sum, fixed point.
    pub(crate) sums: Vec<Vec<i64>>,
    /// By product column: how many of the lines lack the value; empty where none in the block does.
    pub(crate) lacking: Vec<Vec<u32>>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    days: Vec<Day>,
    offsets: Vec<u32>,
    names: Vec<Name>,
    /// The product columns that some line lacks.
    lacking: Vec<u32>,
}

impl ProductBlock {
    pub(crate) fn new(columns: usize) -> Self {
        ProductBlock {
            offsets: vec![0],
            sums: vec![Vec::new(); columns],
            lacking: vec![Vec::new(); columns],
            ..Self::default()
        }
    }

    /// How many lines of a figure have a value of a product column.
    pub(crate) fn valid(&self, column: usize, at: usize) -> u32 {
        self.rows[at] - self.lacking[column].get(at).copied().unwrap_or(0)
    }

    /// The figures of the days in a range; none if it ends before it begins.
    pub(crate) fn range(&self, from: Day, to: Day) -> Range<usize> {
        let start = self.days.partition_point(|day| *day < from);
        let end = self.days.partition_point(|day| *day <= to).max(start);
        self.offsets[start] as usize..self.offsets[end] as usize
    }

    /// This block with the days that `newer` says replaced by those of `other`.
    pub(crate) fn spliced(
        &self,
        other: &ProductBlock,
        newer: impl Fn(Day) -> bool,
    ) -> ProductBlock {
        let mut days: Vec<(Day, &ProductBlock)> = Vec::new();
        for (block, wanted) in [(self, false), (other, true)] {
            days.extend(block.days.iter().filter(|d| newer(**d) == wanted).map(|d| (*d, block)));
        }
        days.sort_by_key(|(day, _)| *day);
        let mut out = ProductBlock::new(self.sums.len());
        for (day, block) in days {
            let range = block.range(day, day);
            out.items.extend_from_slice(&block.items[range.clone()]);
            out.rows.extend_from_slice(&block.rows[range.clone()]);
            for (mine, theirs) in out.sums.iter_mut().zip(&block.sums) {
                mine.extend_from_slice(&theirs[range.clone()]);
            }
            for (mine, theirs) in out.lacking.iter_mut().zip(&block.lacking) {
                if !theirs.is_empty() {
                    mine.resize(out.items.len() - range.len(), 0);
                    mine.extend_from_slice(&theirs[range.clone()]);
                }
            }
            out.days.push(day);
            out.offsets.push(out.items.len() as u32);
        }
        for lacking in out.lacking.iter_mut().filter(|lacking| !lacking.is_empty()) {
            lacking.resize(out.items.len(), 0);
        }
        out
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        let (locals, names) = local_names(&self.items);
        let lacking = (0..self.lacking.len()).filter(|at| !self.lacking[*at].is_empty());
        let lacking: Vec<u32> = lacking.map(|at| at as u32).collect();
        let rows = narrow(self.rows.iter().map(|n| i64::from(*n)).collect(), None);
        let columns: Vec<ArrayRef> = [locals, rows]
            .into_iter()
            .chain(self.sums.iter().map(|s| narrow(s.clone(), None)))
            .chain(lacking.iter().map(|at| {
                let lacking = &self.lacking[*at as usize];
                narrow(lacking.iter().map(|n| i64::from(*n)).collect(), None)
            }))
            .collect();
        let fields: Vec<Field> = columns
            .iter()
            .enumerate()
            .map(|(at, column)| Field::new(format!("p{at}"), column.data_type().clone(), false))
            .collect();
        let batch = RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns)
            .map_err(|e| Error::new(ErrorKind::Format, "building a product block").because(e))?;
        let head = Head { days: self.days.clone(), offsets: self.offsets.clone(), names, lacking };
        store::encode(&head, &batch, out)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<ProductBlock, Error> {
        let bad = |what: &str| {
            Error::new(ErrorKind::Format, format!("a stored product block has {what}"))
        };
        let (head, batch): (Head, RecordBatch) = store::decode(bytes)?;
        let ordered = head.offsets.windows(2).all(|pair| pair[0] <= pair[1]);
        let whole = head.offsets.len() == head.days.len() + 1
            && head.offsets.last().map(|n| *n as usize) == Some(batch.num_rows());
        if !ordered || !whole || batch.num_columns() < 2 || !batch.columns().iter().all(is_ints) {
            return Err(bad("columns that do not fit its days"));
        }
        let wide = |column: &ArrayRef| {
            let mut values = Vec::with_capacity(column.len());
            widen(column, 0..column.len(), &mut values);
            values
        };
        let items = global_names(batch.column(0), &head.names)
            .ok_or_else(|| bad("a product without a name"))?;
        let counts = |column: &ArrayRef| {
            let counts = wide(column).into_iter().map(u32::try_from).collect::<Result<Vec<_>, _>>();
            counts.map_err(|_| bad("a negative number of lines"))
        };
        let rows = counts(batch.column(1))?;
        let sums = (batch.num_columns() - 2).checked_sub(head.lacking.len());
        let (sums, some_lack) = batch.columns()[2..]
            .split_at_checked(sums.unwrap_or(usize::MAX))
            .ok_or_else(|| bad("fewer columns than it tells of"))?;
        let mut lacking = vec![Vec::new(); sums.len()];
        for (at, column) in head.lacking.iter().zip(some_lack) {
            let found = counts(column)?;
            if found.iter().zip(&rows).any(|(lacking, lines)| lacking > lines) {
                return Err(bad("more lines without a value than lines"));
            }
            let place = lacking.get_mut(*at as usize);
            *place.ok_or_else(|| bad("a column too many"))? = found;
        }
        Ok(ProductBlock {
            days: head.days,
            offsets: head.offsets,
            items: items.values().to_vec(),
            rows,
            sums: sums.iter().map(wide).collect(),
            lacking,
        })
    }

    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>()
            + self.days.len() * 4
            + self.offsets.len() * 4
            + self.items.len() * (4 + 4 + 8 * self.sums.len())
            + self.lacking.iter().map(|lacking| lacking.len() * 4).sum::<usize>()
    }
}
