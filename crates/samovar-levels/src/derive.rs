//! Raw rows → metrics and product metrics of each day, with the digest of the day's state.

use std::collections::HashSet;

use arrow_array::Array;
use samovar_core::{Day, Error, ErrorKind};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::distinct::Distinct;
use crate::metrics::{MetricsBlock, scale};
use crate::names::{self, Items};
use crate::products::ProductBlock;
use crate::raw::RawBlock;
use crate::schema::Schema;
use crate::sketch;

/// Derives days of raw rows; keeps its scratch space from one block to the next.
pub(crate) struct Deriver<'a> {
    schema: &'a Schema,
    product_columns: Vec<usize>,
    /// The day's values, by column.
    values: Vec<Vec<i64>>,
    /// Counts by bin code + 32,768; all zero between uses.
    bins: Vec<u32>,
    distinct: HashSet<i64>,
    /// By item: its place among the day's figures, `u32::MAX` if none yet.
    slots: Vec<u32>,
}

impl<'a> Deriver<'a> {
    pub(crate) fn new(schema: &'a Schema) -> Self {
        Deriver {
            schema,
            product_columns: schema.product_columns(),
            values: vec![Vec::new(); schema.columns.len()],
            bins: Vec::new(),
            distinct: HashSet::new(),
            slots: Vec::new(),
        }
    }

    /// The metrics and product metrics of `days` (ascending) of a store.
    ///
    /// The digest of a day is 128 bits over (store, day, states) plus, modulo 2^128, 128 bits over each of its
    /// product figures: a sum, so that figures need no order among names. A day without lines has no row and
    /// adds nothing; whether it is covered is told by the parts of the entry.
    ///
    /// # Errors
    /// If a sum exceeds 64 bits, or one of squares 128.
    pub(crate) fn derive(
        &mut self,
        store: &str,
        raw: &RawBlock,
        days: impl Iterator<Item = Day>,
    ) -> Result<(MetricsBlock, ProductBlock), Error> {
        let items = names::items();
        self.slots.resize(items.len(), u32::MAX);
        let mut metrics = MetricsBlock::new(self.schema);
        let mut products = ProductBlock::new(self.product_columns.len());
        for day in days {
            let rows = raw.rows(day);
            if rows.is_empty() {
                continue;
            }
            for (values, column) in self.values.iter_mut().zip(raw.columns()) {
                values.clear();
                crate::ints::widen(column, rows.clone(), values);
            }
            metrics.days.push(day);
            metrics.rows.push(rows.len() as u32);
            let mut hash = Xxh3::new();
            hash.update(&(store.len() as u64).to_le_bytes());
            hash.update(store.as_bytes());
            hash.update(&day.0.to_le_bytes());
            hash.update(&(rows.len() as u64).to_le_bytes());
            for column in 0..self.schema.columns.len() {
                self.column(raw, column, rows.clone(), &mut metrics, &mut hash)
                    .ok_or_else(|| too_large(&self.schema.columns[column].name, store, day))?;
            }
            let mut digest = hash.digest128();
            if self.schema.products {
                self.products(raw, rows, &mut products)
                    .ok_or_else(|| too_large("of one product", store, day))?;
                products.days.push(day);
                let from = products.offsets[products.offsets.len() - 1] as usize;
                products.offsets.push(products.items.len() as u32);
                digest = (from..products.items.len())
                    .fold(digest, |sum, at| sum.wrapping_add(figure_digest(&items, &products, at)));
            }
            metrics.digests.push(digest);
        }
        Ok((metrics, products))
    }

    /// The states of one column on one day. `None` if the sum does not fit.
    fn column(
        &mut self,
        raw: &RawBlock,
        column: usize,
        rows: std::ops::Range<usize>,
        metrics: &mut MetricsBlock,
        hash: &mut Xxh3,
    ) -> Option<()> {
        let spec = &self.schema.columns[column];
        let values = &self.values[column];
        let array = &raw.columns()[column];
        let nulls = array.nulls().map(|nulls| nulls.slice(rows.start, rows.len()));
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        let there = || {
            let nulls = nulls.as_ref();
            values.iter().enumerate().filter(move |(at, _)| nulls.is_none_or(|n| n.is_valid(*at)))
        };
        let valid = rows.len() - nulls.as_ref().map_or(0, |nulls| nulls.null_count());
        // Missing values are 0 here, so the sum may take them all. Text has no sum, only its numbers.
        let sum: i128 = if spec.text { 0 } else { values.iter().map(|v| i128::from(*v)).sum() };
        let sum = i64::try_from(sum).ok()?;
        let states = &mut metrics.columns[column];
        states.sum.push(sum);
        states.valid.push(valid as u32);
        hash.update(&sum.to_le_bytes());
        hash.update(&(valid as u64).to_le_bytes());
        if spec.extremes {
            let min = there().map(|(_, v)| *v).min().unwrap_or(0);
            let max = there().map(|(_, v)| *v).max().unwrap_or(0);
            states.min.push(min);
            states.max.push(max);
            hash.update(&min.to_le_bytes());
            hash.update(&max.to_le_bytes());
        }
        if spec.distinct {
            self.distinct.clear();
            self.distinct.extend(there().map(|(_, v)| *v));
            states.distinct.push(self.distinct.len() as u32);
            hash.update(&(self.distinct.len() as u64).to_le_bytes());
        }
        if spec.squares {
            let square = |value: &i64| i128::from(*value) * i128::from(*value);
            let sum = values.iter().try_fold(0i128, |sum, value| sum.checked_add(square(value)))?;
            states.squares.push(sum);
            hash.update(&sum.to_le_bytes());
        }
        if spec.hashed {
            let mut about = Distinct::default();
            there().for_each(|(_, value)| about.insert(*value as u32));
            let hashes = about.hashes();
            hash.update(&(hashes.len() as u64).to_le_bytes());
            hashes.iter().for_each(|one| hash.update(&one.to_le_bytes()));
            states.hashes.extend(hashes);
            states.ends.push(states.hashes.len() as u32);
        }
        if spec.sketch {
            self.bins.resize(1 << 16, 0);
            let scale = scale(self.schema, column);
            // Negative, zero, positive: their codes lie far apart, and nobody walks the gaps.
            let mut runs = [(usize::MAX, 0); 3];
            for (_, value) in there() {
                let at = (i32::from(sketch::code(*value as f64 / scale)) + 32_768) as usize;
                self.bins[at] += 1;
                let (low, high) = &mut runs[(value.signum() + 1) as usize];
                (*low, *high) = ((*low).min(at), (*high).max(at));
            }
            for at in runs.into_iter().flat_map(|(low, high)| low..=high) {
                let count = std::mem::take(&mut self.bins[at]);
                if count > 0 {
                    let code = (at as i32 - 32_768) as i16;
                    states.codes.push(code);
                    states.counts.push(count);
                    hash.update(&code.to_le_bytes());
                    hash.update(&count.to_le_bytes());
                }
            }
            states.offsets.push(states.codes.len() as u32);
        }
        Some(())
    }

    /// The product figures of one day, sorted by item (which compresses best).
    fn products(
        &mut self,
        raw: &RawBlock,
        rows: std::ops::Range<usize>,
        out: &mut ProductBlock,
    ) -> Option<()> {
        let start = out.items.len();
        let items = &raw.items()[rows.clone()];
        let mut found: Vec<u32> = Vec::new();
        for item in items {
            let slot = &mut self.slots[*item as usize];
            if *slot == u32::MAX {
                *slot = 0;
                found.push(*item);
            }
        }
        found.sort_unstable();
        for (at, item) in found.iter().enumerate() {
            self.slots[*item as usize] = (start + at) as u32;
        }
        let end = start + found.len();
        out.items.extend_from_slice(&found);
        out.rows.resize(end, 0);
        for item in items {
            out.rows[self.slots[*item as usize] as usize] += 1;
        }
        for (sums, column) in out.sums.iter_mut().zip(&self.product_columns) {
            sums.resize(end, 0);
            for (item, value) in items.iter().zip(&self.values[*column]) {
                let sum = &mut sums[self.slots[*item as usize] as usize];
                *sum = sum.checked_add(*value)?;
            }
        }
        for (lacking, column) in out.lacking.iter_mut().zip(&self.product_columns) {
            let array = &raw.columns()[*column];
            let nulls = array.nulls().map(|nulls| nulls.slice(rows.start, rows.len()));
            if let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) {
                lacking.resize(end, 0);
                for (item, _) in items.iter().zip(nulls.iter()).filter(|(_, there)| !there) {
                    lacking[self.slots[*item as usize] as usize] += 1;
                }
            } else if !lacking.is_empty() {
                lacking.resize(end, 0);
            }
        }
        for item in found {
            self.slots[item as usize] = u32::MAX;
        }
        Some(())
    }
}

fn too_large(column: &str, store: &str, day: Day) -> Error {
    let message = format!(
        "the sum of column {column} of store {store} on {day} exceeds 64 bits, or that of its squares 128; \
         choose fewer decimals"
    );
    Error::new(ErrorKind::Source, message)
}

fn figure_digest(items: &Items, block: &ProductBlock, at: usize) -> u128 {
    let mut bytes = [0u8; 24 + 16 * 32];
    let mut length = 24;
    bytes[..16].copy_from_slice(&items.digest(block.items[at]).to_le_bytes());
    bytes[16..24].copy_from_slice(&u64::from(block.rows[at]).to_le_bytes());
    for sums in block.sums.iter().take(32) {
        bytes[length..length + 8].copy_from_slice(&sums[at].to_le_bytes());
        length += 8;
    }
    for (column, lacking) in block.lacking.iter().take(32).enumerate() {
        let lacking = lacking.get(at).copied().unwrap_or(0);
        if lacking > 0 {
            bytes[length..length + 4].copy_from_slice(&(column as u32).to_le_bytes());
            bytes[length + 4..length + 8].copy_from_slice(&lacking.to_le_bytes());
            length += 8;
        }
    }
    xxh3_128(&bytes[..length])
}
