//! A page of an answer: groups, sorted and cut.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use samovar_core::Day;
use xxhash_rust::xxh3::xxh3_64;

use super::fold::{Fold, Texts};
use super::groups::Key;
use super::{By, Condition, Cursor, Dimension, Order, Query, digest};
use crate::diagnosis::StoreName;
use crate::metrics::value;
use crate::schema::{Aggregate, Schema, Unit};
use crate::selection::Selection;

/// A page of rows, in columns.
#[derive(Clone, Debug)]
pub struct Page {
    pub(super) selection: Selection,
    pub(super) conditions: Vec<Condition>,
    pub(super) by: Vec<Dimension>,
    pub(super) measures: Vec<Told>,
    /// Those of the dimensions, a store's name beside its id, then those of the measures.
    pub(super) columns: Vec<Column>,
    pub(super) rows: usize,
    pub(super) total_rows: u64,
    pub(super) digest: u128,
    pub(super) covered: u64,
    /// How many partitions and stores should be there and are not.
    pub(super) missing: (u64, u64),
    /// By measure: how many lines lack its value.
    pub(super) missing_values: BTreeMap<Arc<str>, u64>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
}

/// A measure as a page tells of it.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) name: Arc<str>,
    pub(super) unit: Unit,
    pub(super) decimals: u8,
}

/// A column of a page.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: Arc<str>,
    pub(super) values: Values,
}

#[derive(Clone, Debug)]
pub(super) enum Values {
    Texts(Vec<Option<Arc<str>>>),
    Days(Vec<Day>),
    Numbers(Vec<Option<f64>>),
}

/// What the blocks were, beside what is in them.
pub(crate) struct Whole {
    /// Of everything that tells two questions apart beside the question itself.
    pub(crate) shape: u64,
    /// What was selected; stores by name as they stand in the list, in whatever order they were asked for.
    pub(crate) selection: Selection,
    pub(crate) covered: u64,
    /// How many partitions and stores should be there and are not.
    pub(crate) missing: (u64, u64),
}

impl Query {
    /// A number for what is asked, the pages aside.
    fn fingerprint(&self, schema: &Schema, whole: &Whole) -> u64 {
        let name = |measure: &usize| &*schema.measures[*measure].name;
        let measures: Vec<&str> = self.measures.iter().map(name).collect();
        let order: Vec<_> = self
            .order
            .iter()
            .map(|order| match &order.by {
                By::Measure(measure) => (name(measure), false, order.descending),
                By::Dimension(dimension) => (dimension.as_str(), true, order.descending),
            })
            .collect();
        let asked = (whole.shape, &whole.selection, measures, &self.by, &self.conditions, order);
        xxh3_64(format!("{asked:?}").as_bytes())
    }
}

/// Why there is no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPage {
    /// The cursor belongs to another question.
    OtherQuestion,
    /// What the earlier pages were made from has changed.
    Changed,
}

impl Fold {
    /// The page that the question asks for.
    pub(crate) fn page(mut self, schema: &Schema, whole: &Whole) -> Result<Page, NoPage> {
        let query = Arc::clone(&self.query);
        if query.by.contains(&Dimension::StoreId) {
            self.add_names();
        }
        let question = query.fingerprint(schema, whole);
        let offset = match &query.cursor {
            None => 0,
            Some(cursor) if cursor.question != question => return Err(NoPage::OtherQuestion),
            Some(cursor) if cursor.digest != self.digest => return Err(NoPage::Changed),
            Some(cursor) => cursor.offset,
        };
        let total = self.groups.len();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(total);
        let end = start.saturating_add(query.limit).min(total);
        let sorted = self.sorted(schema, end);
        let rows = &sorted[start..end];
        let next =
            (end < total).then_some(Cursor { question, offset: end as u64, digest: self.digest });
        Ok(Page {
            selection: whole.selection.clone(),
            conditions: query.conditions.clone(),
            by: query.by.clone(),
            measures: query
                .measures
                .iter()
                .map(|at| &schema.measures[*at])
                .map(|m| Told { name: Arc::clone(&m.name), unit: m.unit, decimals: m.decimals })
                .collect(),
            columns: self.columns(schema, rows),
            rows: rows.len(),
            total_rows: total as u64,
            digest: self.digest,
            covered: whole.covered,
            missing: whole.missing,
            missing_values: self.missing_values(schema),
            next,
        })
    }

    /// Names of stores are no part of partitions, and are told beside their ids.
    fn add_names(&mut self) {
        let mut told = vec![false; self.stores.len()];
        for key in &self.groups.keys {
            told[key[0] as usize] = true;
        }
        for (store, _) in self.stores.iter().zip(told).filter(|(_, told)| *told) {
            let of_store = digest::of_store(&store.id, store.name.as_deref());
            self.digest = self.digest.wrapping_add(of_store);
        }
    }

    /// The groups in order, as far as the first `end` of them.
    fn sorted(&self, schema: &Schema, end: usize) -> Vec<u32> {
        let mut sorted: Vec<u32> = (0..self.groups.len() as u32).collect();
        let columns = self.sort_columns(schema);
        let keys = &self.groups.keys;
        let compare = |a: &u32, b: &u32| {
            let (a, b) = (*a as usize, *b as usize);
            let by_column = columns.iter().map(|column| column.compare(a, b, keys));
            by_column.fold(Ordering::Equal, Ordering::then)
        };
        if end > 0 && end < sorted.len() {
            sorted.select_nth_unstable_by(end - 1, compare);
            sorted.truncate(end);
        }
        sorted.sort_unstable_by(compare);
        sorted
    }

    /// What is asked to sort by, then all dimensions: no two groups are equal.
    fn sort_columns(&self, schema: &Schema) -> Vec<SortColumn> {
        let rest = self.query.by.iter().map(|dimension| By::Dimension(*dimension));
        let rest = rest.map(|by| Order { by, descending: false });
        let all = self.query.order.iter().copied().chain(rest);
        all.map(|order| SortColumn {
            descending: order.descending,
            ranks: match order.by {
                By::Measure(measure) => Ranks::Values(self.values(schema, measure)),
                By::Dimension(Dimension::StoreId) => Ranks::Of(0, store_ranks(&self.stores)),
                By::Dimension(Dimension::Date) => Ranks::Days,
                By::Dimension(Dimension::Product) => Ranks::Of(2, text_ranks(&self.products)),
                By::Dimension(Dimension::Category) => Ranks::Of(3, text_ranks(&self.categories)),
            },
        })
        .collect()
    }

    fn values(&self, schema: &Schema, measure: usize) -> Vec<Option<f64>> {
        (0..self.groups.len()).map(|at| self.value(schema, measure, at)).collect()
    }

    fn value(&self, schema: &Schema, measure: usize, group: usize) -> Option<f64> {
        // Minus zero is zero to whoever reads it.
        value(&self.groups.group(group), schema, measure).map(|value| value + 0.0)
    }

    fn columns(&self, schema: &Schema, rows: &[u32]) -> Vec<Column> {
        let keys = || rows.iter().map(|row| self.groups.keys[*row as usize]);
        let mut columns = Vec::new();
        let mut push = |name: &str, values| columns.push(Column { name: name.into(), values });
        for dimension in &self.query.by {
            let name = dimension.as_str();
            match dimension {
                Dimension::StoreId => {
                    let stores = || keys().map(|key| &self.stores[key[0] as usize]);
                    let ids = stores().map(|store| Some(Arc::clone(&store.id)));
                    push(name, Values::Texts(ids.collect()));
                    let names = stores()
                        .map(|store| Some(store.name.as_ref().unwrap_or(&store.id).clone()));
                    push(STORE_NAME, Values::Texts(names.collect()));
                }
                Dimension::Date => {
                    let first = self.query.selection.from;
                    push(name, Values::Days(keys().map(|key| first.plus(key[1] as i32)).collect()));
                }
                Dimension::Product => {
                    let texts = keys().map(|key| self.products.texts[key[2] as usize].clone());
                    push(name, Values::Texts(texts.collect()));
                }
                Dimension::Category => {
                    let texts = keys().map(|key| self.categories.texts[key[3] as usize].clone());
                    push(name, Values::Texts(texts.collect()));
                }
            }
        }
        for measure in &self.query.measures {
            let values = rows.iter().map(|row| self.value(schema, *measure, *row as usize));
            push(&schema.measures[*measure].name, Values::Numbers(values.collect()));
        }
        columns
    }

    fn missing_values(&self, schema: &Schema) -> BTreeMap<Arc<str>, u64> {
        let lines = self.groups.lines();
        let lacking = self.query.measures.iter().filter_map(|at| {
            let measure = &schema.measures[*at];
            let column = measure.aggregate.values_of()?;
            Some((Arc::clone(&measure.name), lines - self.groups.valid(column)))
        });
        lacking.filter(|(_, lines)| *lines > 0).collect()
    }
}

/// The column beside a store's id.
const STORE_NAME: &str = "store_name";

impl Aggregate {
    /// The column whose values it is made of, if a line without one should be told of.
    pub(crate) fn values_of(self) -> Option<usize> {
        match self {
            Aggregate::Sum(column)
            | Aggregate::Mean(column)
            | Aggregate::Min(column)
            | Aggregate::Max(column)
            | Aggregate::Variance(column)
            | Aggregate::Deviation(column) => Some(column),
            Aggregate::Count
            | Aggregate::Distinct(_)
            | Aggregate::AboutDistinct(_)
            | Aggregate::Quantile(..)
            | Aggregate::Ratio(..) => None,
        }
    }
}

struct SortColumn {
    descending: bool,
    ranks: Ranks,
}

enum Ranks {
    /// By group.
    Values(Vec<Option<f64>>),
    Days,
    /// By the number at this place of a key: its rank, `None` where there is no name.
    Of(usize, Vec<Option<u32>>),
}

impl SortColumn {
    fn compare(&self, a: usize, b: usize, keys: &[Key]) -> Ordering {
        match &self.ranks {
            Ranks::Values(values) => self.last(values[a], values[b], |a, b| a.total_cmp(b)),
            Ranks::Days => self.last(Some(keys[a][1]), Some(keys[b][1]), u32::cmp),
            Ranks::Of(at, ranks) => {
                let rank = |key: &Key| ranks[key[*at] as usize];
                self.last(rank(&keys[a]), rank(&keys[b]), u32::cmp)
            }
        }
    }

    /// What is missing last, whichever way.
    fn last<T>(
        &self,
        a: Option<T>,
        b: Option<T>,
        compare: impl Fn(&T, &T) -> Ordering,
    ) -> Ordering {
        match (a, b) {
            (Some(a), Some(b)) if self.descending => compare(&b, &a),
            (Some(a), Some(b)) => compare(&a, &b),
            (a, b) => a.is_none().cmp(&b.is_none()),
        }
    }
}

fn store_ranks(stores: &[StoreName]) -> Vec<Option<u32>> {
    ranks(stores.len(), |at| Some(id_order(&stores[at].id)))
}

fn text_ranks(texts: &Texts) -> Vec<Option<u32>> {
    ranks(texts.texts.len(), |at| texts.texts[at].clone())
}

fn ranks<T: Ord>(count: usize, key: impl Fn(usize) -> Option<T>) -> Vec<Option<u32>> {
    let mut sorted: Vec<(T, usize)> = (0..count).filter_map(|at| Some((key(at)?, at))).collect();
    sorted.sort_unstable();
    let mut ranks = vec![None; count];
    for (rank, (_, at)) in sorted.into_iter().enumerate() {
        ranks[at] = Some(rank as u32);
    }
    ranks
}

/// What orders ids as people do: numbers by their value, then whatever is none.
///
/// ```
/// use samovar_levels::id_order;
/// assert!(id_order("7") < id_order("10") && id_order("10") < id_order("North"));
/// ```
pub fn id_order(id: &str) -> impl Ord + use<> {
    (id.parse().unwrap_or(u128::MAX), Arc::<str>::from(id))
}
