//! States by group, in columns: only those that the measures asked for are made of, since there may be very many.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use arrow_array::Array;
use samovar_core::{Error, ErrorKind};

use crate::distinct::Distinct;
use crate::metrics::{MetricsBlock, States, scale};
use crate::products::ProductBlock;
use crate::raw::RawBlock;
use crate::schema::{Aggregate, Schema};
use crate::sketch::{self, Bins};

/// No answer has more rows, all its pages together.
pub(crate) const MAX_GROUPS: usize = 1_000_000;

/// The same where each row keeps a sketch, which takes some kilobytes.
const MAX_SKETCHED: usize = 50_000;

/// Stands for rows that are in no group.
pub(super) const NONE: u32 = u32::MAX;

/// What tells groups apart: store, day, product, category; 0 where it is not asked for.
pub(super) type Key = [u32; 4];

/// The states of all groups.
pub(super) struct Groups {
    numbers: HashMap<Key, u32>,
    pub(super) keys: Vec<Key>,
    rows: Vec<u64>,
    /// By column of the schema: `None` where no measure asks for it.
    columns: Vec<Option<Column>>,
    max: usize,
    values: Vec<i64>,
    seen: HashSet<(u32, i64)>,
}

/// The states of one column, by group. All but the first two are empty if no measure asks for them.
#[derive(Default)]
struct Column {
    keeps: Keeps,
    sum: Vec<i128>,
    valid: Vec<u64>,
    extremes: Vec<(i64, i64)>,
    squares: Vec<i128>,
    distinct: Vec<u64>,
    bins: Vec<Bins>,
    about: Vec<Distinct>,
}

#[derive(Clone, Copy, Default)]
struct Keeps {
    extremes: bool,
    squares: bool,
    distinct: bool,
    bins: bool,
    about: bool,
}

impl Groups {
    pub(super) fn new(schema: &Schema, measures: impl Iterator<Item = usize>) -> Groups {
        let mut columns: Vec<Option<Column>> = schema.columns.iter().map(|_| None).collect();
        measures.for_each(|measure| need(schema, measure, &mut columns));
        let sketched = columns.iter().flatten().any(|c| c.keeps.bins || c.keeps.about);
        Groups {
            numbers: HashMap::new(),
            keys: Vec::new(),
            rows: Vec::new(),
            columns,
            max: if sketched { MAX_SKETCHED } else { MAX_GROUPS },
            values: Vec::new(),
            seen: HashSet::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The number of a group, new if need be.
    pub(super) fn number(&mut self, key: Key) -> Result<u32, Error> {
        if let Some(number) = self.numbers.get(&key) {
            return Ok(*number);
        }
        if self.keys.len() == self.max {
            let message = format!(
                "the answer has more than {} rows; ask for fewer stores, days or dimensions, or add conditions",
                self.max
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let number = self.keys.len() as u32;
        self.numbers.insert(key, number);
        self.keys.push(key);
        self.rows.push(0);
        self.columns.iter_mut().flatten().for_each(Column::grow);
        Ok(number)
    }

    /// Adds one day of metrics.
    pub(super) fn add_day(&mut self, group: u32, block: &MetricsBlock, at: usize) {
        let group = group as usize;
        self.rows[group] += u64::from(block.rows[at]);
        for (mine, theirs) in self.columns.iter_mut().zip(&block.columns) {
            let Some(mine) = mine else { continue };
            mine.sum[group] += i128::from(theirs.sum[at]);
            mine.valid[group] += u64::from(theirs.valid[at]);
            if mine.keeps.extremes && theirs.valid[at] > 0 {
                mine.take(group, theirs.min[at]);
                mine.take(group, theirs.max[at]);
            }
            if mine.keeps.squares {
                let squares = &mut mine.squares[group];
                *squares = squares.saturating_add(theirs.squares[at]);
            }
            if mine.keeps.distinct {
                mine.distinct[group] += u64::from(theirs.distinct[at]);
            }
            if mine.keeps.bins {
                let (codes, counts) = theirs.bins(at);
                mine.bins[group].add(codes, counts);
            }
            if mine.keeps.about {
                mine.about[group].add(theirs.hashes(at));
            }
        }
    }

    /// Adds one product figure; `summed` are the columns that figures have.
    pub(super) fn add_figure(
        &mut self,
        group: u32,
        block: &ProductBlock,
        at: usize,
        summed: &[usize],
    ) {
        let group = group as usize;
        self.rows[group] += u64::from(block.rows[at]);
        for (place, column) in summed.iter().enumerate() {
            if let Some(mine) = &mut self.columns[*column] {
                mine.sum[group] += i128::from(block.sums[place][at]);
                mine.valid[group] += u64::from(block.valid(place, at));
            }
        }
    }

    /// Adds the rows of one store-day, each to its group.
    pub(super) fn add_rows(
        &mut self,
        schema: &Schema,
        groups: &[u32],
        raw: &RawBlock,
        rows: Range<usize>,
    ) {
        for group in groups.iter().filter(|group| **group != NONE) {
            self.rows[*group as usize] += 1;
        }
        for (at, mine) in self.columns.iter_mut().enumerate() {
            let Some(mine) = mine else { continue };
            let array = &raw.columns()[at];
            self.values.clear();
            crate::ints::widen(array, rows.clone(), &mut self.values);
            self.seen.clear();
            let unit = scale(schema, at);
            for (row, (group, value)) in groups.iter().zip(&self.values).enumerate() {
                if *group == NONE || array.is_null(rows.start + row) {
                    continue;
                }
                let new = mine.keeps.distinct && self.seen.insert((*group, *value));
                mine.add(*group as usize, *value, new, unit);
            }
        }
    }

    /// The states of one group.
    pub(super) fn group(&self, at: usize) -> Group<'_> {
        Group { groups: self, at }
    }

    /// All lines, and those that have a value of a column that some measure asks for.
    pub(super) fn lines(&self) -> u64 {
        self.rows.iter().sum()
    }

    pub(super) fn valid(&self, column: usize) -> u64 {
        self.columns[column].as_ref().map_or(0, |column| column.valid.iter().sum())
    }
}

/// Marks what a measure is made of.
fn need(schema: &Schema, measure: usize, columns: &mut [Option<Column>]) {
    let mut mark = |column: usize, mark: fn(&mut Keeps)| {
        mark(&mut columns[column].get_or_insert_default().keeps);
    };
    match schema.measures[measure].aggregate {
        Aggregate::Count => {}
        Aggregate::Sum(column) | Aggregate::Mean(column) => mark(column, |_| {}),
        Aggregate::Min(column) | Aggregate::Max(column) => mark(column, |k| k.extremes = true),
        Aggregate::Variance(column) | Aggregate::Deviation(column) => {
            mark(column, |k| k.squares = true);
        }
        Aggregate::Distinct(column) => mark(column, |k| k.distinct = true),
        Aggregate::AboutDistinct(column) => mark(column, |k| k.about = true),
        Aggregate::Quantile(column, _) => mark(column, |k| k.bins = true),
        Aggregate::Ratio(over, under) => {
            need(schema, over, columns);
            need(schema, under, columns);
        }
    }
}

impl Column {
    fn grow(&mut self) {
        self.sum.push(0);
        self.valid.push(0);
        if self.keeps.extremes {
            self.extremes.push((i64::MAX, i64::MIN));
        }
        if self.keeps.squares {
            self.squares.push(0);
        }
        if self.keeps.distinct {
            self.distinct.push(0);
        }
        if self.keeps.bins {
            self.bins.push(Bins::default());
        }
        if self.keeps.about {
            self.about.push(Distinct::default());
        }
    }

    fn take(&mut self, group: usize, value: i64) {
        let (min, max) = &mut self.extremes[group];
        (*min, *max) = ((*min).min(value), (*max).max(value));
    }

    /// Adds a value; `new` if its store-day has not had it in this group.
    fn add(&mut self, group: usize, value: i64, new: bool, unit: f64) {
        self.valid[group] += 1;
        self.sum[group] += i128::from(value);
        if self.keeps.extremes {
            self.take(group, value);
        }
        if self.keeps.squares {
            let square = i128::from(value) * i128::from(value);
            self.squares[group] = self.squares[group].saturating_add(square);
        }
        if self.keeps.distinct {
            self.distinct[group] += u64::from(new);
        }
        if self.keeps.bins {
            self.bins[group].add(&[sketch::code(value as f64 / unit)], &[1]);
        }
        if self.keeps.about {
            self.about[group].insert(value as u32);
        }
    }
}

/// One group, for measures to be computed from.
pub(super) struct Group<'a> {
    groups: &'a Groups,
    at: usize,
}

impl Group<'_> {
    fn of<T: Copy>(&self, column: usize, states: impl Fn(&Column) -> &Vec<T>) -> Option<T> {
        self.groups.columns[column].as_ref().and_then(|column| states(column).get(self.at)).copied()
    }
}

impl States for Group<'_> {
    fn rows(&self) -> u64 {
        self.groups.rows[self.at]
    }
    fn sum(&self, column: usize) -> i128 {
        self.of(column, |column| &column.sum).unwrap_or(0)
    }
    fn valid(&self, column: usize) -> u64 {
        self.of(column, |column| &column.valid).unwrap_or(0)
    }
    fn extremes(&self, column: usize) -> Option<(i64, i64)> {
        self.of(column, |column| &column.extremes).filter(|(min, max)| min <= max)
    }
    fn squares(&self, column: usize) -> i128 {
        self.of(column, |column| &column.squares).unwrap_or(0)
    }
    fn distinct(&self, column: usize) -> u64 {
        self.of(column, |column| &column.distinct).unwrap_or(0)
    }
    fn about_distinct(&self, column: usize) -> f64 {
        let column = self.groups.columns[column].as_ref();
        column.and_then(|column| column.about.get(self.at)).map_or(0.0, Distinct::estimate)
    }
    fn quantile(&self, column: usize, q: f64) -> Option<f64> {
        self.groups.columns[column].as_ref()?.bins.get(self.at)?.quantile(q)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Better, Column as Read, Measure, Unit};

    fn schema(aggregate: Aggregate) -> Schema {
        let measure = Measure {
            name: "a".into(),
            label: None,
            unit: Unit::Number,
            decimals: 0,
            better: Better::Up,
            aggregate,
        };
        let (columns, measures) = (vec![Read::new("x")], vec![measure]);
        Schema { columns, measures, products: true, categories: false }
    }

    #[test]
    fn there_are_no_more_groups_than_may_be() {
        let mut groups = Groups::new(&schema(Aggregate::Sum(0)), 0..1);
        groups.max = 2;
        assert_eq!(groups.number([0, 0, 0, 0]).unwrap(), 0);
        assert_eq!(groups.number([0, 1, 0, 0]).unwrap(), 1);
        assert_eq!(groups.number([0, 0, 0, 0]).unwrap(), 0, "one that is there");
        let failed = groups.number([1, 0, 0, 0]).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Invalid);
        assert!(failed.to_string().contains("more than 2 rows"), "{failed}");
    }

    #[test]
    fn sketches_bound_the_number_of_groups() {
        for (aggregate, max) in [
            (Aggregate::Sum(0), MAX_GROUPS),
            (Aggregate::Variance(0), MAX_GROUPS),
            (Aggregate::Quantile(0, 0.5), MAX_SKETCHED),
            (Aggregate::AboutDistinct(0), MAX_SKETCHED),
        ] {
            assert_eq!(Groups::new(&schema(aggregate), 0..1).max, max, "{aggregate:?}");
        }
    }
}
