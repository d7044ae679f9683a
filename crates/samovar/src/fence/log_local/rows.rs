//! The rows of the local log: for each scope the marks that still count.

use std::collections::HashMap;

use redb::{
    ReadTransaction, ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction,
};
use samovar_core::{Epoch, Error, ErrorKind, Mark, Millis, Mode, Numbered, Scope, Version};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::fence::forget::{choose, room, widened};
use crate::fence::standing::{EXPIRES_KEPT, nearest_pair};
use crate::fence::stored::Plain;
use crate::file::{Trouble, trouble};

/// Encoded scope → encoded marks of that scope that still count, by ascending number.
const MARKS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("marks");

/// What a row begins with since marks have priorities. One from before begins with how many marks it has, which is never
/// none.
const RANKED: u8 = 0;

/// A mark as it is stored; its scope is the key.
#[derive(Serialize, Deserialize)]
struct Stored<M = Mark> {
    seq: u64,
    mark: M,
}

/// The marks of a row.
fn read_row(row: &[u8]) -> Result<Vec<Stored>, Trouble> {
    if let Some((&RANKED, rest)) = row.split_first() {
        return decode(rest);
    }
    let plain = decode::<Vec<Stored<Plain>>>(row)?.into_iter();
    Ok(plain.map(|Stored { seq, mark }| Stored { seq, mark: mark.into() }).collect())
}

/// All marks, by ascending number, and the sum of the checksums of all rows.
pub(super) fn read(
    transaction: &ReadTransaction,
    epoch: Epoch,
) -> Result<(Vec<Numbered>, u64), Trouble> {
    let (mut marks, mut digest) = (Vec::new(), 0u64);
    let table = transaction.open_table(MARKS).map_err(trouble)?;
    for row in table.iter().map_err(trouble)? {
        let (scope, value) = row.map_err(trouble)?;
        digest = digest.wrapping_add(checksum(scope.value(), value.value()));
        for Stored { seq, mark } in read_row(value.value())? {
            marks.push(Numbered { version: Version { epoch, seq }, mark });
        }
    }
    marks.sort_by_key(|numbered| numbered.version.seq);
    Ok((marks, digest))
}

fn checksum(scope: &[u8], marks: &[u8]) -> u64 {
    xxh3_64_with_seed(marks, xxh3_64(scope))
}

pub(super) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Trouble> {
    postcard::from_bytes(bytes).map_err(|e| Trouble::Damaged(e.to_string()))
}

pub(super) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Trouble> {
    postcard::to_stdvec(value).map_err(|e| {
        let error = Error::new(ErrorKind::Invalid, "a mark cannot be encoded");
        Trouble::Failed(error.because(e))
    })
}

/// Adds a mark to those of its scope; drops or merges what it makes redundant.
fn absorb(kept: &mut Vec<Stored>, new: Stored) {
    match new.mark.mode {
        Mode::Remove => kept.clear(),
        Mode::Expire => {
            let is_expire = |stored: &Stored| stored.mark.mode == Mode::Expire;
            let first = kept.iter().position(is_expire).unwrap_or(kept.len());
            if kept.len() - first >= EXPIRES_KEPT {
                let ats: Vec<Millis> = kept[first..].iter().map(|s| s.mark.at).collect();
                let earlier = kept.remove(first + nearest_pair(&ats));
                // Its neighbour has moved into its place and keeps the earlier time.
                let later = &mut kept[first + nearest_pair(&ats)];
                later.mark.at = later.mark.at.min(earlier.mark.at);
            }
        }
    }
    kept.push(new);
}

/// Puts a `remove` at the place of one that is forgotten.
fn raise(kept: &mut Vec<Stored>, floor: Stored) {
    kept.retain(|stored| stored.seq > floor.seq);
    if kept.iter().all(|stored| stored.mark.mode != Mode::Remove) {
        kept.insert(0, floor);
    }
}

/// The rows of `marks` while they are written.
pub(super) struct Scopes<'a, 't> {
    table: Table<'t, &'static [u8], &'static [u8]>,
    /// The sum of the checksums of all rows.
    digest: &'a mut u64,
}

impl<'a, 't> Scopes<'a, 't> {
    /// The rows of a transaction, and the sum that they have when it begins.
    pub(super) fn open(
        transaction: &'t WriteTransaction,
        digest: &'a mut u64,
    ) -> Result<Scopes<'a, 't>, Trouble> {
        Ok(Scopes { table: transaction.open_table(MARKS).map_err(trouble)?, digest })
    }

    /// Adds a mark to those of its scope.
    pub(super) fn add(&mut self, numbered: &Numbered) -> Result<(), Trouble> {
        let stored = Stored { seq: numbered.version.seq, mark: numbered.mark.clone() };
        self.change(&numbered.mark.scope, |kept| absorb(kept, stored))
    }

    /// Forgets the oldest scopes if there are more than so many.
    pub(super) fn keep_within(&mut self, most: usize) -> Result<(), Trouble> {
        match self.table.len().map_err(trouble)? > most as u64 {
            true => self.forget(room(most)),
            false => Ok(()),
        }
    }

    /// Changes the marks of a scope. Without any its row goes.
    fn change(&mut self, scope: &Scope, how: impl FnOnce(&mut Vec<Stored>)) -> Result<(), Trouble> {
        let scope = encode(scope)?;
        let mut kept: Vec<Stored> = match self.table.get(&*scope).map_err(trouble)? {
            Some(row) => {
                *self.digest = self.digest.wrapping_sub(checksum(&scope, row.value()));
                read_row(row.value())?
            }
            None => Vec::new(),
        };
        how(&mut kept);
        if kept.is_empty() {
            self.table.remove(&*scope).map_err(trouble)?;
            return Ok(());
        }
        let row = [vec![RANKED], encode(&kept)?].concat();
        *self.digest = self.digest.wrapping_add(checksum(&scope, &row));
        self.table.insert(&*scope, &*row).map_err(trouble)?;
        Ok(())
    }

    /// Forgets the oldest scopes until about `room` are left.
    fn forget(&mut self, room: usize) -> Result<(), Trouble> {
        let mut scopes = Vec::new();
        for row in self.table.iter().map_err(trouble)? {
            let (scope, kept) = row.map_err(trouble)?;
            // By ascending number: what the last stands for is later than all else.
            if let Some(last) = read_row(kept.value())?.pop() {
                scopes.push((decode::<Scope>(scope.value())?, last.seq, last.mark));
            }
        }
        let mut floors = HashMap::<Scope, Stored>::new();
        for (scope, seq, mark) in choose(scopes, room) {
            self.change(&scope, Vec::clear)?;
            let scope = widened(&scope);
            if floors.get(&scope).is_none_or(|floor| floor.seq < seq) {
                let mark = Mark { scope: scope.clone(), mode: Mode::Remove, ..mark };
                floors.insert(scope, Stored { seq, mark });
            }
        }
        floors
            .into_iter()
            .try_for_each(|(scope, floor)| self.change(&scope, |kept| raise(kept, floor)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_from_before_there_were_priorities_are_read() {
        let of = |seq, priority| {
            let mark = samovar_testkit::log::mark(7, Scope::Everything, Mode::Expire, 5);
            Stored { seq, mark: Mark { priority, ..mark } }
        };
        // Two marks: number, name, scope, mode, time, reason.
        let one = |seq| [&[seq, 7, 3, 1, 10, 4][..], b"test"].concat();
        let once = [vec![2], one(8), one(9)].concat();
        let read = |row: &[u8]| -> Vec<(u64, Mark)> {
            let row = read_row(row).unwrap().into_iter();
            row.map(|stored| (stored.seq, stored.mark)).collect()
        };
        let usual = [of(8, Mark::PRIORITY), of(9, Mark::PRIORITY)];
        assert_eq!(read(&once), usual.map(|stored| (stored.seq, stored.mark)));
        let ranked = vec![of(8, 0), of(9, 100)];
        let row = [vec![RANKED], encode(&ranked).unwrap()].concat();
        assert_eq!(read(&row), ranked.into_iter().map(|s| (s.seq, s.mark)).collect::<Vec<_>>());
    }
}
