//! Blocks of any level → groups.

use std::collections::HashMap;
use std::sync::Arc;

use samovar_core::{Day, Error};

use super::groups::{Groups, Key, NONE};
use super::{Dimension, Filter, Is, Query, digest};
use crate::diagnosis::{Piece, Products, StoreName};
use crate::metrics::MetricsBlock;
use crate::names::{self, Items};
use crate::products::ProductBlock;
use crate::raw::RawBlock;
use crate::schema::Schema;

/// The groups of a question, while blocks are added.
pub(crate) struct Fold {
    pub(super) query: Arc<Query>,
    pub(super) stores: Vec<StoreName>,
    pub(super) groups: Groups,
    /// The sum over all partitions that count: of the digests of their metrics, or of their rows where these answer.
    pub(super) digest: u128,
    pub(super) products: Texts,
    pub(super) categories: Texts,
    days: Filter<Day>,
    product: Filter<Option<Arc<str>>>,
    category: Filter<Option<Arc<str>>>,
    /// By number of an item: what the question makes of it, once it was met.
    items: Vec<Option<Item>>,
    /// By number of an item: its group within the store-day at hand.
    slots: Vec<u32>,
    met: Vec<u32>,
    /// The columns that product figures have.
    summed: Vec<usize>,
    of_row: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Item {
    passes: bool,
    product: u32,
    category: u32,
}

/// Names with numbers of their own.
#[derive(Default)]
pub(super) struct Texts {
    numbers: HashMap<Option<Arc<str>>, u32>,
    pub(super) texts: Vec<Option<Arc<str>>>,
}

impl Texts {
    fn number(&mut self, text: &Option<Arc<str>>) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.texts.len() as u32;
        self.numbers.insert(text.clone(), number);
        self.texts.push(text.clone());
        number
    }
}

impl Fold {
    /// No blocks yet; `stores` are those of the question, in the order of the list.
    pub(crate) fn new(
        schema: &Schema,
        query: &Arc<Query>,
        stores: Vec<StoreName>,
    ) -> Result<Fold, Error> {
        let conditions = &query.conditions;
        let mut groups = Groups::new(schema, query.all_measures());
        if query.by.is_empty() {
            // One row whatever there is, as an aggregate without groups has in SQL.
            groups.number([0; 4])?;
        }
        Ok(Fold {
            stores,
            groups,
            digest: 0,
            products: Texts::default(),
            categories: Texts::default(),
            days: Filter::of(conditions, |is| match is {
                Is::Date(day) => Some(*day),
                _ => None,
            }),
            product: Filter::of(conditions, |is| match is {
                Is::Product(name) => Some(name.clone()),
                _ => None,
            }),
            category: Filter::of(conditions, |is| match is {
                Is::Category(name) => Some(name.clone()),
                _ => None,
            }),
            items: Vec::new(),
            slots: Vec::new(),
            met: Vec::new(),
            summed: schema.product_columns(),
            of_row: Vec::new(),
            query: Arc::clone(query),
        })
    }

    /// Adds blocks of some of the stores, those from `first` on, as far as they lie within days that were looked at.
    ///
    /// # Errors
    /// If there are too many groups.
    pub(crate) fn add(
        &mut self,
        schema: &Schema,
        pieces: &[Piece],
        within: (Day, Day),
        first: usize,
    ) -> Result<(), Error> {
        for piece in pieces {
            let store = first + piece.store;
            match &piece.products {
                None => self.add_metrics(store, &piece.metrics, within)?,
                Some(Products::Figures(block)) => {
                    self.add_figures(store, &piece.metrics, block, within)?;
                }
                Some(Products::Raw(block)) => self.add_rows(schema, store, block, within)?,
            }
        }
        Ok(())
    }

    fn add_metrics(
        &mut self,
        store: usize,
        block: &MetricsBlock,
        (from, to): (Day, Day),
    ) -> Result<(), Error> {
        for at in block.range(from, to) {
            let day = block.days[at];
            if self.days.passes(&day) {
                self.digest = self.digest.wrapping_add(block.digests[at]);
                let group = self.groups.number(self.key(store, day, None))?;
                self.groups.add_day(group, block, at);
            }
        }
        Ok(())
    }

    fn add_figures(
        &mut self,
        store: usize,
        metrics: &MetricsBlock,
        block: &ProductBlock,
        (from, to): (Day, Day),
    ) -> Result<(), Error> {
        let table = names::items();
        for at in metrics.range(from, to) {
            let day = metrics.days[at];
            if !self.days.passes(&day) {
                continue;
            }
            // A digest of metrics covers the figures of its day.
            self.digest = self.digest.wrapping_add(metrics.digests[at]);
            self.begin_day(&table);
            for at in block.range(day, day) {
                let group = self.group_of(store, day, block.items[at], &table)?;
                if group != NONE {
                    self.groups.add_figure(group, block, at, &self.summed);
                }
            }
        }
        Ok(())
    }

    fn add_rows(
        &mut self,
        schema: &Schema,
        store: usize,
        block: &RawBlock,
        (from, to): (Day, Day),
    ) -> Result<(), Error> {
        let table = names::items();
        for day in block.dates(from, to) {
            let rows = block.rows(day);
            if rows.is_empty() || !self.days.passes(&day) {
                continue;
            }
            let of_day =
                digest::of_rows(schema, &self.stores[store].id, day, block, rows.clone(), &table);
            self.digest = self.digest.wrapping_add(of_day);
            self.begin_day(&table);
            let mut of_row = std::mem::take(&mut self.of_row);
            of_row.clear();
            for item in &block.items()[rows.clone()] {
                of_row.push(self.group_of(store, day, *item, &table)?);
            }
            self.groups.add_rows(schema, &of_row, block, rows);
            self.of_row = of_row;
        }
        Ok(())
    }

    fn begin_day(&mut self, table: &Items) {
        for item in self.met.drain(..) {
            self.slots[item as usize] = UNMET;
        }
        // The table grows while other blocks are read.
        self.slots.resize(table.len(), UNMET);
        self.items.resize(table.len(), None);
    }

    /// The group of an item on the store-day at hand; [`NONE`] if the conditions leave it out.
    fn group_of(
        &mut self,
        store: usize,
        day: Day,
        number: u32,
        table: &Items,
    ) -> Result<u32, Error> {
        let at = number as usize;
        if self.slots[at] != UNMET {
            return Ok(self.slots[at]);
        }
        let item = match self.items[at] {
            Some(item) => item,
            None => {
                let (product, category) = table.name(number);
                let passes = self.product.passes(product) && self.category.passes(category);
                let (product, category) = match passes {
                    true => (self.products.number(product), self.categories.number(category)),
                    false => (0, 0),
                };
                *self.items[at].insert(Item { passes, product, category })
            }
        };
        let group = match item.passes {
            true => self.groups.number(self.key(store, day, Some(item)))?,
            false => NONE,
        };
        self.slots[at] = group;
        self.met.push(number);
        Ok(group)
    }

    fn key(&self, store: usize, day: Day, item: Option<Item>) -> Key {
        let mut key = [0; 4];
        for dimension in &self.query.by {
            match dimension {
                Dimension::StoreId => key[0] = store as u32,
                // From the first day asked for on: never negative.
                Dimension::Date => key[1] = (day.0 - self.query.selection.from.0) as u32,
                Dimension::Product => key[2] = item.map_or(0, |item| item.product),
                Dimension::Category => key[3] = item.map_or(0, |item| item.category),
            }
        }
        key
    }
}

/// Stands for items that the store-day at hand has not shown yet.
const UNMET: u32 = NONE - 1;
