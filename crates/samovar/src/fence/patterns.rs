//! The marks over patterns, found by what the names that they match begin with.

use std::collections::{BTreeMap, HashMap};

use samovar_core::{Key, Pattern};

use super::standing::Standing;

type OfPrefix = HashMap<Pattern, Standing>;

/// By the length of the literal prefix, then by the prefix: a name is compared with those patterns alone that begin as
/// it does, after one look-up for each length there is.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    by_length: BTreeMap<usize, HashMap<Box<str>, OfPrefix>>,
}

impl Patterns {
    /// The marks of a pattern.
    pub(super) fn standing(&mut self, pattern: &Pattern) -> &mut Standing {
        let prefix = pattern.literal_prefix();
        let of_length = self.by_length.entry(prefix.len()).or_default();
        of_length.entry(prefix.into()).or_default().entry(pattern.clone()).or_default()
    }

    /// Adds the marks of those that match a key.
    pub(super) fn find<'a>(&'a self, cache: &str, id: &str, found: &mut Vec<&'a Standing>) {
        if self.by_length.is_empty() {
            return;
        }
        let name = Key::addressed(cache, id);
        let matching = self.candidates(&name).filter(|(pattern, _)| pattern.matches(&name));
        found.extend(matching.map(|(_, standing)| standing));
    }

    /// Those that begin as a name does.
    fn candidates(&self, name: &str) -> impl Iterator<Item = (&Pattern, &Standing)> {
        let lengths = self.by_length.range(..=name.len());
        // Within a sign no prefix ends.
        lengths.filter_map(|(length, prefixes)| prefixes.get(name.get(..*length)?)).flatten()
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Pattern, &Standing)> {
        self.by_length.values().flat_map(HashMap::values).flatten()
    }

    /// The marks of all of them.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Standing> {
        self.by_length.values_mut().flat_map(HashMap::values_mut).flat_map(HashMap::values_mut)
    }

    /// Drops those for which `stays` is false.
    pub(super) fn retain(&mut self, mut stays: impl FnMut(&mut Standing) -> bool) {
        self.by_length.retain(|_, prefixes| {
            prefixes.retain(|_, patterns| {
                patterns.retain(|_, standing| stays(standing));
                !patterns.is_empty()
            });
            !prefixes.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_compared_with_few() {
        let mut patterns = Patterns::default();
        for number in 0..1_000 {
            for text in [format!("product:{number}:*"), format!("price:{number}")] {
                patterns.standing(&text.parse().unwrap());
            }
        }
        let near = |name: &str| {
            let mut near: Vec<&str> = patterns.candidates(name).map(|(p, _)| p.as_str()).collect();
            near.sort_unstable();
            near
        };
        assert_eq!(near("product:42:name"), ["product:42:*"]);
        assert_eq!(near("price:421"), ["price:4", "price:42", "price:421"]);
        assert_eq!(near("stock:42"), Vec::<&str>::new());
        assert_eq!(near("pröduct:42:name"), Vec::<&str>::new());
        let mut found = Vec::new();
        patterns.find("price", "421", &mut found);
        assert_eq!(found.len(), 1);
    }
}
