//! Which marks are forgotten when there are too many, and what stands for them afterwards: a *floor*.
//!
//! A mark is forgotten by widening it: it becomes a `remove` over all that it could have covered, and whatever was read
//! before it is refused. So forgetting makes colder, never wrong, and a floor needs no rule of its own.

use std::collections::HashMap;
use std::mem::{Discriminant, discriminant};
use std::sync::Arc;

use samovar_core::Scope;

/// What a forgotten scope raises the floor of.
pub(super) fn widened(scope: &Scope) -> Scope {
    match scope {
        Scope::Key(key) => Scope::Cache(Arc::clone(&key.cache)),
        Scope::Partition(_)
        | Scope::Cache(_)
        | Scope::Everything
        | Scope::Pattern(_)
        | Scope::Tag(_) => Scope::Everything,
    }
}

/// How many scopes are left of `most` and more: an eighth goes at once, since each time everything is looked at.
pub(super) fn room(most: usize) -> usize {
    most - most / 8
}

/// The scopes to forget so that about `room` of them remain, given with the number of the last mark of each.
///
/// Who crowds pays: the keys of each cache, the partitions, the tags, the patterns and the caches have the same room
/// each, what one does not need is the others', and the oldest go first.
pub(super) fn choose<T>(scopes: Vec<(Scope, u64, T)>, room: usize) -> Vec<(Scope, u64, T)> {
    type Group = (Discriminant<Scope>, Option<Arc<str>>);
    let mut groups: HashMap<Group, Vec<(Scope, u64, T)>> = HashMap::new();
    for of in scopes {
        let cache = match &of.0 {
            // What is over everything cannot be widened.
            Scope::Everything => continue,
            Scope::Key(key) => Some(Arc::clone(&key.cache)),
            _ => None,
        };
        groups.entry((discriminant(&of.0), cache)).or_default().push(of);
    }
    let mut sizes: Vec<usize> = groups.values().map(Vec::len).collect();
    sizes.sort_unstable();
    let (mut left, mut each) = (room, usize::MAX);
    for (at, size) in sizes.iter().enumerate() {
        let share = left / (sizes.len() - at);
        if *size > share {
            each = share;
            break;
        }
        left -= size;
    }
    let mut forgotten = Vec::new();
    for mut group in groups.into_values().filter(|group| group.len() > each) {
        group.sort_unstable_by_key(|(_, seq, _)| std::cmp::Reverse(*seq));
        forgotten.extend(group.drain(each..));
    }
    forgotten
}

#[cfg(test)]
mod tests {
    use samovar_core::Key;

    use super::*;

    fn forgotten(crowd: u64, few: u64, room: usize) -> (Vec<u64>, Vec<u64>) {
        let key = |cache: &str, seq: u64| (Scope::Key(Key::new(cache, seq.to_string())), seq, ());
        let mut all: Vec<_> = (1..=few).map(|seq| key("few", seq)).collect();
        all.extend((1..=crowd).map(|seq| key("crowd", few + seq)));
        all.push((Scope::Everything, 0, ()));
        let of = |name: &str, gone: &[(Scope, u64, ())]| {
            let cache = |scope: &Scope| matches!(scope, Scope::Key(key) if *key.cache == *name);
            let mut of: Vec<u64> =
                gone.iter().filter(|(scope, ..)| cache(scope)).map(|(_, seq, ())| *seq).collect();
            of.sort_unstable();
            of
        };
        let gone = choose(all, room);
        assert!(gone.iter().all(|(scope, ..)| *scope != Scope::Everything));
        (of("crowd", &gone), of("few", &gone))
    }

    #[test]
    fn who_crowds_pays_and_the_oldest_go_first() {
        assert_eq!(forgotten(10, 3, 13), (vec![], vec![]));
        // The few are the oldest, and stay.
        assert_eq!(forgotten(10, 3, 10), (vec![4, 5, 6], vec![]));
        assert_eq!(forgotten(10, 3, 5), (vec![4, 5, 6, 7, 8, 9, 10, 11], vec![1]));
        assert_eq!(forgotten(2, 2, 0), (vec![3, 4], vec![1, 2]));
    }

    #[test]
    fn only_a_key_keeps_within_its_cache() {
        assert_eq!(widened(&Scope::Key(Key::new("c", "k"))), Scope::Cache("c".into()));
        for scope in [Scope::Cache("c".into()), Scope::Tag("t".into()), Scope::Everything] {
            assert_eq!(widened(&scope), Scope::Everything);
        }
    }
}
