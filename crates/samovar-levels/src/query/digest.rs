//! Digests of raw rows, for answers that rest on more of them than metrics keep.

use std::collections::HashMap;
use std::ops::Range;

use arrow_array::Array;
use samovar_core::Day;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::names::Items;
use crate::raw::RawBlock;
use crate::schema::Schema;

/// 128 bits over the rows of one store-day: equal for equal rows, in whatever order and block they are kept.
///
/// Rows are hashed one by one and added up. Text that is only told apart is kept as numbers that mean nothing beyond
/// their day: which rows share a text is told by a hash of the sum of these rows, for each text.
pub(super) fn of_rows(
    schema: &Schema,
    store: &str,
    day: Day,
    raw: &RawBlock,
    rows: Range<usize>,
    items: &Items,
) -> u128 {
    let (plain, texts): (Vec<usize>, Vec<usize>) = (0..schema.columns.len())
        .partition(|at| !schema.columns[*at].text || schema.columns[*at].hashed);
    // A row: its item, then a byte for each value whether it is there, and the value.
    let width = 16 + 9 * plain.len();
    let mut bytes = vec![0u8; width * rows.len()];
    for (row, item) in bytes.chunks_exact_mut(width).zip(&raw.items()[rows.clone()]) {
        row[..16].copy_from_slice(&items.digest(*item).to_le_bytes());
    }
    let mut values = Vec::with_capacity(rows.len());
    for (place, column) in plain.iter().enumerate() {
        let array = &raw.columns()[*column];
        values.clear();
        crate::ints::widen(array, rows.clone(), &mut values);
        let at = 16 + 9 * place;
        for (number, row) in bytes.chunks_exact_mut(width).enumerate() {
            row[at] = u8::from(array.is_valid(rows.start + number));
            row[at + 1..at + 9].copy_from_slice(&values[number].to_le_bytes());
        }
    }
    let hashes: Vec<u128> = bytes.chunks_exact(width).map(xxh3_128).collect();
    let sum = |hashes: &mut dyn Iterator<Item = u128>| hashes.fold(0, u128::wrapping_add);
    let mut hash = Xxh3::new();
    hash.update(&(store.len() as u64).to_le_bytes());
    hash.update(store.as_bytes());
    hash.update(&day.0.to_le_bytes());
    hash.update(&(rows.len() as u64).to_le_bytes());
    hash.update(&sum(&mut hashes.iter().copied()).to_le_bytes());
    for column in texts {
        let array = &raw.columns()[column];
        values.clear();
        crate::ints::widen(array, rows.clone(), &mut values);
        let mut sharing: HashMap<i64, u128> = HashMap::new();
        for (row, (value, hash)) in values.iter().zip(&hashes).enumerate() {
            if array.is_valid(rows.start + row) {
                let of_text = sharing.entry(*value).or_default();
                *of_text = of_text.wrapping_add(*hash);
            }
        }
        let of_texts = sum(&mut sharing.values().map(|sum| xxh3_128(&sum.to_le_bytes())));
        hash.update(&of_texts.to_le_bytes());
    }
    hash.digest128()
}

/// 128 bits over a store as answers show it.
pub(super) fn of_store(id: &str, name: Option<&str>) -> u128 {
    let mut hash = Xxh3::new();
    for text in [id, name.unwrap_or("")] {
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    hash.digest128()
}
