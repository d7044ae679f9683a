//! What a dataset measures: columns of the source, states that merge, measures computed after the merge.

use std::sync::Arc;

use crate::standout::StandoutRules;

/// How the numbers of a measure are to be read by people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// The dataset's currency.
    Money,
    /// A number of things.
    Count,
    /// A share: 0.25 is a quarter.
    Ratio,
    /// Minutes.
    Minutes,
    /// Anything else.
    Number,
}

impl Unit {
    /// The name used in configuration and over HTTP.
    pub fn as_str(self) -> &'static str {
        match self {
            Unit::Money => "money",
            Unit::Count => "count",
            Unit::Ratio => "ratio",
            Unit::Minutes => "minutes",
            Unit::Number => "number",
        }
    }
}

/// Which way a change of a measure is good news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// More is better.
    Up,
    /// Less is better.
    Down,
}

/// A column of the raw query that measures are computed from.
///
/// Numbers are fixed-point integers (`decimals` digits after the point; money in minor units), because sums
/// of floats depend on their order and would make the digest of equal data differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name in the raw query.
    pub name: String,
    /// Digits after the point that are kept; values are rounded half away from zero.
    pub decimals: u8,
    /// Whether it is only ever compared for equality (an order's id), and may be text.
    pub text: bool,
    /// Keep the least and the greatest value.
    pub extremes: bool,
    /// Keep the number of distinct values within a partition.
    pub distinct: bool,
    /// Keep a quantile sketch.
    pub sketch: bool,
    /// Keep the sum of the values' squares.
    pub squares: bool,
    /// Keep what tells distinct values over any partitions, about (HyperLogLog). Only for text, which is then read
    /// as hashes and good for nothing else.
    pub hashed: bool,
}

impl Column {
    /// A column of whole numbers that keeps sums alone.
    ///
    /// ```
    /// # use samovar_levels::Column;
    /// let amount = Column { decimals: 2, extremes: true, ..Column::new("amount") };
    /// assert!(!amount.text && !amount.squares);
    /// ```
    pub fn new(name: impl Into<String>) -> Column {
        Column {
            name: name.into(),
            decimals: 0,
            text: false,
            extremes: false,
            distinct: false,
            sketch: false,
            squares: false,
            hashed: false,
        }
    }
}

/// How a measure is computed from merged states; columns are indices into [`Schema::columns`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aggregate {
    /// Number of lines.
    Count,
    /// Sum of a column.
    Sum(usize),
    /// Least value of a column.
    Min(usize),
    /// Greatest value of a column.
    Max(usize),
    /// Mean of the column's values that are there.
    Mean(usize),
    /// Number of distinct values, counted exactly within each partition and added up: right where a value
    /// never occurs in two partitions, as an order's id.
    Distinct(usize),
    /// Number of distinct values of a hashed column, whatever partitions they occur in, about: see
    /// [`crate::DISTINCT_ERROR`].
    AboutDistinct(usize),
    /// The quantile `q` (0 to 1) of a column, within 1 % of the value.
    Quantile(usize, f64),
    /// Population variance of the column's values that are there: the mean of their squared distances from their
    /// mean.
    Variance(usize),
    /// Population standard deviation: the root of the variance.
    Deviation(usize),
    /// One measure over another, computed after the merge; indices into [`Schema::measures`].
    Ratio(usize, usize),
}

/// A measure as it is offered.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// Its name in the API.
    pub name: Arc<str>,
    /// What people call it, if the page has no word of its own.
    pub label: Option<String>,
    /// How to read it.
    pub unit: Unit,
    /// Digits after the point worth showing.
    pub decimals: u8,
    /// Which way is good.
    pub better: Better,
    /// How it is computed.
    pub aggregate: Aggregate,
}

/// The measures of a dataset with the columns they need.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// Columns read from the source, in this order.
    pub columns: Vec<Column>,
    /// Measures, in the order they are shown.
    pub measures: Vec<Measure>,
    /// Whether lines name a product.
    pub products: bool,
    /// Whether lines name a category.
    pub categories: bool,
}

impl Measure {
    /// Whether its days add up, so that one may stand out: a sum, or a number of lines.
    pub fn adds_up(&self) -> bool {
        matches!(self.aggregate, Aggregate::Count | Aggregate::Sum(_))
    }
}

impl Schema {
    /// Whether the days of a measure are watched: it is named in the rules, or is the first where none is.
    pub(crate) fn is_watched(&self, measure: &Measure, rules: &StandoutRules) -> bool {
        let named = match rules.measures.is_empty() {
            true => self.measures.first().is_some_and(|first| first.name == measure.name),
            false => rules.measures.iter().any(|name| **name == *measure.name),
        };
        named && measure.adds_up()
    }

    /// The index of the measure of this name.
    ///
    /// ```
    /// # let schema = samovar_levels::Schema { columns: vec![], measures: vec![], products: false, categories: false };
    /// assert_eq!(schema.measure("sales"), None);
    /// ```
    pub fn measure(&self, name: &str) -> Option<usize> {
        self.measures.iter().position(|measure| &*measure.name == name)
    }

    /// Adds what follows from other measures: `margin` from profit and sales, `average_order_value` from
    /// sales and orders; each after the measure it explains, and only where the dataset does not define its own.
    pub fn with_ratios(mut self) -> Schema {
        let ratios = [
            ("margin", "profit", "sales", Unit::Ratio, 4),
            ("average_order_value", "sales", "orders", Unit::Money, 2),
        ];
        for (name, over, under, unit, decimals) in ratios {
            let (Some(a), Some(b), None) =
                (self.measure(over), self.measure(under), self.measure(name))
            else {
                continue;
            };
            self.measures.push(Measure {
                name: name.into(),
                label: None,
                unit,
                decimals,
                better: Better::Up,
                aggregate: Aggregate::Ratio(a, b),
            });
        }
        self
    }

    /// A number that differs whenever stored states would: part of every stored block's format.
    pub(crate) fn fingerprint(&self) -> u64 {
        // Which columns product metrics keep follows from the measures.
        let products = self.product_columns();
        let shape = (&self.columns, self.products, self.categories, products);
        fingerprint(&format!("{shape:?}"))
    }

    /// The columns whose sums are kept by product: those that a measure sums up.
    pub(crate) fn product_columns(&self) -> Vec<usize> {
        let summed = self.measures.iter().filter_map(|measure| match measure.aggregate {
            Aggregate::Sum(column) => Some(column),
            _ => None,
        });
        let mut columns: Vec<usize> = summed.collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// The column whose sum is the measure of this name, if it is a sum.
    pub(crate) fn sum_column(&self, measure: &str) -> Option<usize> {
        match self.measures[self.measure(measure)?].aggregate {
            Aggregate::Sum(column) => Some(column),
            _ => None,
        }
    }
}

/// A number for a description: equal for equal descriptions, else different but for one case in 2^64. What is
/// stored bears such numbers in its keys, so that a new shape never reads an old one.
pub fn fingerprint(description: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(description.as_bytes())
}
