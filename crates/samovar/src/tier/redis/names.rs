//! What Redis knows a key by.

use samovar_core::Key;

/// The name of a key in Redis: the namespace, the cache, a colon, the key within it.
///
/// The first colon after the namespace ends the cache's name, because those within it are written `%3A` (and `%`
/// itself `%25`). So two keys have two names, whatever they contain.
pub(super) fn name(namespace: &str, key: &Key) -> Vec<u8> {
    let mut name = Vec::with_capacity(namespace.len() + key.cache.len() + 1 + key.id.len());
    name.extend_from_slice(namespace.as_bytes());
    for byte in key.cache.bytes() {
        match byte {
            b':' => name.extend_from_slice(b"%3A"),
            b'%' => name.extend_from_slice(b"%25"),
            plain => name.push(plain),
        }
    }
    name.push(b':');
    name.extend_from_slice(key.id.as_bytes());
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_what_people_expect() {
        assert_eq!(name("shop:", &Key::new("product_info", "42")), b"shop:product_info:42");
        assert_eq!(name("", &Key::new("a:b", "c:d")), b"a%3Ab:c:d");
        assert_eq!(name("", &Key::new("100%", "")), b"100%25:");
    }

    proptest! {
        #[test]
        fn two_keys_have_two_names(
            one in ("[a:%3]{0,4}", "[a:%3]{0,4}"),
            other in ("[a:%3]{0,4}", "[a:%3]{0,4}"),
        ) {
            let (a, b) = (Key::new(one.0, one.1), Key::new(other.0, other.1));
            prop_assert_eq!(a == b, name("n:", &a) == name("n:", &b));
        }
    }
}
