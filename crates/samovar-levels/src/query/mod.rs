//! Any measures by any dimensions: the question, the groups it makes, a page of them.
//!
//! A question about stores and days alone is answered from metrics; one that names products or categories from
//! product metrics, where they are kept and its measures are made of sums and counts, else from raw rows.

mod cursor;
mod digest;
mod fold;
mod formats;
mod groups;
mod page;

use std::sync::Arc;

use samovar_core::Day;

pub use cursor::Cursor;
pub(crate) use fold::Fold;
pub use formats::Format;
pub(crate) use page::Whole;
pub use page::{NoPage, Page, id_order};

use crate::schema::{Aggregate, Schema};
use crate::selection::Selection;

/// What lines can be told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// The store.
    StoreId,
    /// The day.
    Date,
    /// The product.
    Product,
    /// The category.
    Category,
}

impl Dimension {
    /// All of them.
    pub const ALL: [Dimension; 4] =
        [Dimension::StoreId, Dimension::Date, Dimension::Product, Dimension::Category];

    /// The name used over HTTP.
    ///
    /// ```
    /// # use samovar_levels::Dimension;
    /// assert_eq!(Dimension::ALL.map(Dimension::as_str), ["store_id", "date", "product", "category"]);
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Dimension::StoreId => "store_id",
            Dimension::Date => "date",
            Dimension::Product => "product",
            Dimension::Category => "category",
        }
    }

    /// Whether the lines of a dataset have it.
    pub fn is_in(self, schema: &Schema) -> bool {
        match self {
            Dimension::StoreId | Dimension::Date => true,
            Dimension::Product => schema.products,
            Dimension::Category => schema.categories,
        }
    }

    /// Whether metrics of a store-day tell it apart.
    fn is_of_partition(self) -> bool {
        matches!(self, Dimension::StoreId | Dimension::Date)
    }
}

/// A value of a dimension.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Is {
    /// This store.
    Store(Arc<str>),
    /// This day.
    Date(Day),
    /// This product; `None`: lines without one.
    Product(Option<Arc<str>>),
    /// This category; `None`: lines without one.
    Category(Option<Arc<str>>),
}

impl Is {
    /// The dimension.
    pub fn dimension(&self) -> Dimension {
        match self {
            Is::Store(_) => Dimension::StoreId,
            Is::Date(_) => Dimension::Date,
            Is::Product(_) => Dimension::Product,
            Is::Category(_) => Dimension::Category,
        }
    }

    /// The value as text; `None` where lines without one are meant.
    pub(crate) fn value(&self) -> Option<String> {
        match self {
            Is::Store(id) => Some(id.to_string()),
            Is::Date(day) => Some(day.to_string()),
            Is::Product(name) | Is::Category(name) => name.as_deref().map(String::from),
        }
    }
}

/// A condition on lines. Values that one dimension is to be are alternatives; everything else holds together. A
/// line without a product is none that has another product.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Condition {
    /// The value.
    pub is: Is,
    /// It is not to be this.
    pub not: bool,
}

/// What rows are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A measure, by its place in the schema.
    Measure(usize),
    /// A dimension that is asked for.
    Dimension(Dimension),
}

/// A column to sort by, and which way. What is missing comes last either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The column.
    pub by: By,
    /// From the greatest on.
    pub descending: bool,
}

/// A question: measures by dimensions.
///
/// ```
/// # use samovar_levels::{Dimension, Query, Selection, Stores};
/// # let day = |text: &str| text.parse().unwrap();
/// # let selection = Selection { stores: Stores::All, from: day("2026-02-01"), to: day("2026-02-28") };
/// // The first measure of the dataset, day by day.
/// let query = Query { by: vec![Dimension::Date], ..Query::new(selection, vec![0]) };
/// assert_eq!(query.limit, Query::DEFAULT_LIMIT);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Stores and days.
    pub selection: Selection,
    /// Measures, by their places in the schema.
    pub measures: Vec<usize>,
    /// Dimensions to tell apart; none: everything in one row.
    pub by: Vec<Dimension>,
    /// Which lines count.
    pub conditions: Vec<Condition>,
    /// How rows are sorted; ties, and all if this is empty, by the dimensions, ascending.
    pub order: Vec<Order>,
    /// Rows to a page.
    pub limit: usize,
    /// Where an earlier page of the same question ended.
    pub cursor: Option<Cursor>,
}

impl Query {
    /// Rows to a page, unless told otherwise.
    pub const DEFAULT_LIMIT: usize = 1_000;

    /// A question without dimensions or conditions.
    pub fn new(selection: Selection, measures: Vec<usize>) -> Query {
        Query {
            selection,
            measures,
            by: Vec::new(),
            conditions: Vec::new(),
            order: Vec::new(),
            limit: Query::DEFAULT_LIMIT,
            cursor: None,
        }
    }

    /// Whether the metrics of store-days tell all that is asked.
    pub(crate) fn is_of_partitions(&self) -> bool {
        let conditions = self.conditions.iter().map(|condition| condition.is.dimension());
        self.by.iter().copied().chain(conditions).all(Dimension::is_of_partition)
    }

    /// Whether product metrics tell all that is asked.
    pub(crate) fn is_of_figures(&self, schema: &Schema) -> bool {
        self.all_measures().all(|measure| is_of_figures(schema, measure))
    }

    /// Those that are told and those that are sorted by.
    pub(crate) fn all_measures(&self) -> impl Iterator<Item = usize> {
        let sorted = self.order.iter().filter_map(|order| match order.by {
            By::Measure(measure) => Some(measure),
            By::Dimension(_) => None,
        });
        self.measures.iter().copied().chain(sorted)
    }
}

fn is_of_figures(schema: &Schema, measure: usize) -> bool {
    match schema.measures[measure].aggregate {
        Aggregate::Count | Aggregate::Sum(_) => true,
        // Sums are kept of the columns that a measure sums up, with the number of values that are there.
        Aggregate::Mean(column) => schema.product_columns().contains(&column),
        Aggregate::Ratio(over, under) => {
            is_of_figures(schema, over) && is_of_figures(schema, under)
        }
        Aggregate::Min(_)
        | Aggregate::Max(_)
        | Aggregate::Distinct(_)
        | Aggregate::AboutDistinct(_)
        | Aggregate::Quantile(..)
        | Aggregate::Variance(_)
        | Aggregate::Deviation(_) => false,
    }
}

/// Which values pass: one of `any` if there are such, and none of `none`.
#[derive(Clone, Debug)]
pub(crate) struct Filter<T> {
    pub(crate) any: Vec<T>,
    none: Vec<T>,
}

impl<T: PartialEq> Filter<T> {
    pub(crate) fn of(conditions: &[Condition], pick: impl Fn(&Is) -> Option<T>) -> Filter<T> {
        let chosen = |not: bool| {
            conditions.iter().filter(|c| c.not == not).filter_map(|c| pick(&c.is)).collect()
        };
        Filter { any: chosen(false), none: chosen(true) }
    }

    pub(crate) fn passes(&self, value: &T) -> bool {
        (self.any.is_empty() || self.any.contains(value)) && !self.none.contains(value)
    }
}
