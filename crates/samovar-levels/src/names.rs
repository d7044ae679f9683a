//! Names of products, as numbers.
//!
//! Rows and product figures carry a small number in place of a product and its category. The table is one for
//! the process and only grows, as a compiler's symbol table: blocks hold numbers, and what is stored holds
//! the names themselves, so that no stored block depends on another.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock, RwLockReadGuard};

use xxhash_rust::xxh3::xxh3_128;

/// A product with its category; either may be unknown.
pub(crate) type Name = (Option<Arc<str>>, Option<Arc<str>>);

#[derive(Default)]
pub(crate) struct Items {
    /// By digest: 128 bits tell all names apart that a shop can have.
    numbers: HashMap<u128, u32, foldhash::fast::RandomState>,
    names: Vec<Name>,
    digests: Vec<u128>,
}

static ITEMS: LazyLock<RwLock<Items>> = LazyLock::new(RwLock::default);

/// The table, for reading. Holding it keeps new names waiting: never across an await.
pub(crate) fn items() -> RwLockReadGuard<'static, Items> {
    // A panic while a name was added leaves the table whole: the last steps are pushes of equal length.
    ITEMS.read().unwrap_or_else(PoisonError::into_inner)
}

/// The number of a name, new if need be.
pub(crate) fn number(product: Option<&str>, category: Option<&str>) -> u32 {
    let digest = digest([product, category]);
    if let Some(number) = items().numbers.get(&digest) {
        return *number;
    }
    let mut items = ITEMS.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(number) = items.numbers.get(&digest) {
        return *number;
    }
    let number = u32::try_from(items.names.len()).expect("four billion names exceed any memory");
    items.digests.push(digest);
    items.names.push((product.map(Arc::from), category.map(Arc::from)));
    items.numbers.insert(digest, number);
    number
}

impl Items {
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn name(&self, number: u32) -> &Name {
        &self.names[number as usize]
    }

    /// 128 bits over the name: stands for it in digests, which must not depend on numbers.
    pub(crate) fn digest(&self, number: u32) -> u128 {
        self.digests[number as usize]
    }
}

fn digest(texts: [Option<&str>; 2]) -> u128 {
    // In one piece: a hash of pieces costs more to begin than to feed.
    let mut bytes = Vec::with_capacity(128);
    for text in texts {
        match text {
            Some(text) => {
                bytes.push(1);
                bytes.extend((text.len() as u64).to_le_bytes());
                bytes.extend(text.as_bytes());
            }
            None => bytes.push(0),
        }
    }
    xxh3_128(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number_and_unknown_is_a_name_of_its_own() {
        let tea = number(Some("tea"), Some("drinks"));
        assert_eq!(number(Some("tea"), Some("drinks")), tea);
        let others = [number(Some("tea"), None), number(None, Some("tea")), number(None, None)];
        assert!(!others.contains(&tea));
        let items = items();
        assert_eq!(items.name(tea).0.as_deref(), Some("tea"));
        assert_ne!(items.digest(others[0]), items.digest(others[1]));
    }
}
