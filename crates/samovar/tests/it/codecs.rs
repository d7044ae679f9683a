//! Values of types that serde knows: stored, weighed, refused.

use std::collections::BTreeMap;

use samovar::codec::{
    Codec, Coded, Compression, CompressionPolicy, Json, JsonCodec, MessagePack, MessagePackCodec,
};
use samovar::{CachePolicy, Value};
use samovar_core::{ErrorKind, TierName};
use samovar_testkit::clock::FakeClock;
use serde::{Deserialize, Serialize};

use crate::support::{START, block_on, open, policy, whole};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Product {
    id: u64,
    name: String,
    cents: i64,
    tags: Vec<String>,
}

fn product(id: u64) -> Product {
    let tags = vec!["tea".to_owned(), format!("shelf-{}", id % 7)];
    Product { id, name: format!("Darjeeling {id}"), cents: 499 + id as i64, tags }
}

/// The bytes that they occupy, counted by hand.
fn occupied_by(products: &[Product]) -> usize {
    let one = |p: &Product| {
        let tags = p.tags.iter().map(|tag| size_of::<String>() + tag.len()).sum::<usize>();
        size_of::<Product>() + p.name.len() + tags
    };
    size_of::<Vec<Product>>() + products.iter().map(one).sum::<usize>()
}

fn comes_back<C: Codec>() {
    let value = Coded::<_, C>::new((0..50).map(product).collect::<Vec<_>>());
    let mut bytes = b"before".to_vec();
    value.encode(&mut bytes).unwrap();
    let stored = bytes.strip_prefix(b"before").unwrap();
    let found = Coded::<Vec<Product>, C>::decode(stored).unwrap();
    assert_eq!(found, value);

    // Whichever way it was come by, it weighs the same, and about what it occupies.
    let weight = Coded::<_, C>::new(value.clone().into_inner()).weight();
    assert_eq!([found.weight(), value.weight()], [weight; 2]);
    let occupied = occupied_by(&value);
    assert!((occupied * 7 / 10..occupied * 2).contains(&weight), "{weight} for {occupied}");
    let (one, weight) = (vec![product(1)], Coded::<_, C>::new(product(1)).weight());
    assert!((occupied_by(&one)..occupied_by(&one) * 2).contains(&weight), "{weight}");
}

#[test]
fn json_comes_back() {
    comes_back::<JsonCodec>();
}

#[test]
fn messagepack_comes_back() {
    comes_back::<MessagePackCodec>();
}

#[test]
fn what_was_not_written_so_is_refused() {
    let mut bytes = Vec::new();
    Json::new(product(1)).encode(&mut bytes).unwrap();
    let error = Json::<u32>::decode(&bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Format);
    assert!(error.to_string().starts_with("the stored JSON is no u32: "), "{error}");
    bytes.push(b'1');
    assert!(Json::<Product>::decode(&bytes).is_err(), "something follows");

    let mut bytes = Vec::new();
    MessagePack::new(7).encode(&mut bytes).unwrap();
    assert!(MessagePack::<String>::decode(&bytes).is_err());
    bytes.push(7);
    let error = MessagePack::<u32>::decode(&bytes).unwrap_err();
    assert_eq!(error.to_string(), "the stored MessagePack is no u32: 1 bytes follow the value");
}

#[test]
fn what_has_no_json_says_so_and_leaves_nothing() {
    let value = Json::new(BTreeMap::from([((1, 2), 3)]));
    let mut bytes = b"before".to_vec();
    let error = value.encode(&mut bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("has no JSON: key must be a string"), "{error}");
    assert_eq!(bytes, b"before");
    assert!(value.weight() >= size_of_val(&value));
}

#[test]
fn a_field_may_be_added_to_what_is_stored() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Before {
        cents: u32,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct After {
        #[serde(default)]
        name: String,
        cents: u32,
    }
    let mut bytes = Vec::new();
    MessagePack::new(Before { cents: 5 }).encode(&mut bytes).unwrap();
    let after = MessagePack::<After>::decode(&bytes).unwrap().into_inner();
    assert_eq!(after, After { name: String::new(), cents: 5 });
}

/// Through the disk and back, as any other value.
#[test]
fn they_outlive_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let clock = FakeClock::at(START);
    {
        let samovar = open(Some(directory.path()), &clock);
        let cache = samovar.cache::<Json<Product>>(policy("product_info"));
        cache.put("42", Json::new(product(42)), whole(&samovar));
        block_on(samovar.close()).unwrap();
    }
    let samovar = open(Some(directory.path()), &clock);
    let cache = samovar.cache::<Json<Product>>(policy("product_info"));
    let found = block_on(cache.get("42")).unwrap();
    assert_eq!((found.tier, &**found), (TierName::Disk, &product(42)));
}

/// Compressed where the policy of its cache says so, read whatever the policy says by then.
#[test]
fn what_is_stored_is_compressed_by_policy() {
    let directory = tempfile::tempdir().unwrap();
    let clock = FakeClock::at(START);
    let (small, large) = ("tea".to_owned(), "tea ".repeat(25_000));
    {
        let samovar = open(Some(directory.path()), &clock);
        let compression = CompressionPolicy::by(Compression::Zstd);
        let cache = samovar.cache::<String>(CachePolicy { compression, ..policy("names") });
        cache.put("small", small.clone(), whole(&samovar));
        cache.put("large", large.clone(), whole(&samovar));
        samovar.cache::<String>(policy("plain")).put("large", large.clone(), whole(&samovar));
        block_on(samovar.flush()).unwrap();
        let counted = samovar.counters().snapshot().sizes;
        let (names, plain) = (counted["names"], counted["plain"]);
        assert_eq!((names.values, names.compressed, names.plain), (2, 1, 100_003));
        assert!(names.saved() > 0.9, "{names:?}");
        assert_eq!((plain.compressed, plain.stored), (0, 100_000));
        let usage = samovar.usage()[1].1.clone();
        assert!(usage.caches["names"].bytes < usage.caches["plain"].bytes / 5, "{usage:?}");
        samovar.counters().reset();
        assert_eq!(samovar.counters().snapshot().sizes["names"].values, 0);
        block_on(samovar.close()).unwrap();
    }
    let samovar = open(Some(directory.path()), &clock);
    let cache = samovar.cache::<String>(policy("names"));
    for (key, value) in [("small", small), ("large", large)] {
        let found = block_on(cache.get(key)).unwrap();
        assert_eq!((found.tier, &*found), (TierName::Disk, &value), "{key}");
    }
}
