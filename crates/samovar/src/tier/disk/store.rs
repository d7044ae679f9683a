//! The tables of the file, and what one transaction does to them.

use std::sync::Arc;

use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table,
    TableDefinition, WriteTransaction,
};
use samovar_core::{Claim, Entry, Epoch, Judge, Keep, Key, Part, Parts, Version};
use xxhash_rust::xxh3::xxh3_64;

use super::frame::{Head, chunks, footprint};
use super::index::{Index, Slot};
use crate::codec::Payload;
use crate::file::{Layout, Trouble, trouble};
use crate::tier::is_late;

/// (cache, key) → head.
const HEADS: TableDefinition<'static, (&str, &str), &[u8]> = TableDefinition::new("heads");
/// (frame, number of the chunk) → bytes.
const CHUNKS: TableDefinition<'static, (u64, u32), &[u8]> = TableDefinition::new("chunks");
/// One row: the version up to which every frame here was swept.
const CLEAN: TableDefinition<'static, (), &[u8]> = TableDefinition::new("clean");

/// What is read when the file is opened.
pub(super) struct Loaded {
    pub(super) index: Index,
    /// Heads that cannot be read; their chunks, if any, are lost space until the file is cleared.
    pub(super) damaged: Vec<Key>,
    /// The version up to which it was swept.
    pub(super) clean: Option<Version>,
}

pub(super) fn layout(page_cache: usize) -> Layout<Loaded> {
    // Since 2 frames have tags, and may stand apart; since 3 they say how their value is encoded and compressed.
    Layout { page_cache, format: 3, since: 1, create, load }
}

fn create(transaction: &WriteTransaction) -> Result<(), Trouble> {
    transaction.open_table(HEADS).map_err(trouble)?;
    transaction.open_table(CHUNKS).map_err(trouble)?;
    transaction.open_table(CLEAN).map_err(trouble)?;
    Ok(())
}

/// The index, from the heads alone. The order of writing stands in for that of reading.
fn load(database: &Database) -> Result<Loaded, Trouble> {
    let transaction = database.begin_read().map_err(trouble)?;
    let heads = transaction.open_table(HEADS).map_err(trouble)?;
    let expected = usize::try_from(heads.len().map_err(trouble)?).unwrap_or(0);
    let (mut rows, mut damaged) = (Vec::with_capacity(expected), Vec::new());
    // Rows come by cache: of a million entries most have the name of the one before.
    let mut name = Arc::<str>::from("");
    for row in heads.iter().map_err(trouble)? {
        let (key, row) = row.map_err(trouble)?;
        let ((cache, id), row) = (key.value(), row.value());
        if *name != *cache {
            name = cache.into();
        }
        let key = Key::new(Arc::clone(&name), id);
        match Head::place(cache, id, row) {
            Some((id, length)) => {
                let bytes = footprint(&key, row.len(), length);
                rows.push((id, key, bytes));
            }
            None => damaged.push(key),
        }
    }
    rows.sort_unstable_by_key(|(id, ..)| *id);
    let index = Index::of(rows);
    let clean = decode_clean(&transaction.open_table(CLEAN).map_err(trouble)?)?;
    Ok(Loaded { index, damaged, clean })
}

/// What was read under a key.
pub(super) enum Read {
    Absent,
    Damaged,
    Found(Entry<Payload>),
}

/// The parts of a frame as what they count: each as the greater of its own version and the one up to which the file
/// was swept, if both lie on the history. (No mark between the two covers it, or the sweep would not have said so.)
fn counted(head: &Head, clean: Option<Version>, judge: &dyn Judge) -> Parts {
    let clean = clean.filter(|clean| !head.apart && judge.holds(*clean));
    let part = |part: &Part| {
        let mut part = part.clone();
        let own = part.stamp.version;
        part.stamp.version =
            clean.filter(|clean| clean.seq > own.seq && judge.holds(own)).unwrap_or(own);
        part
    };
    head.parts().iter().map(part).collect()
}

/// Reads a frame and, in the same snapshot, up to where the file was swept.
pub(super) fn read(database: &Database, key: &Key, judge: &dyn Judge) -> Result<Read, Trouble> {
    let transaction = database.begin_read().map_err(trouble)?;
    let heads = transaction.open_table(HEADS).map_err(trouble)?;
    let Some(row) = heads.get((&*key.cache, &*key.id)).map_err(trouble)? else {
        return Ok(Read::Absent);
    };
    let Some(head) = Head::decode(&key.cache, &key.id, row.value()) else {
        return Ok(Read::Damaged);
    };
    let Some(value) = read_value(&transaction, &head)? else { return Ok(Read::Damaged) };
    let clean = decode_clean(&transaction.open_table(CLEAN).map_err(trouble)?)?;
    let parts = counted(&head, clean, judge);
    let Head { tags, lifetime, .. } = head;
    Ok(Read::Found(Entry { value, parts, tags, lifetime }))
}

fn read_value(transaction: &ReadTransaction, head: &Head) -> Result<Option<Payload>, Trouble> {
    let table = transaction.open_table(CHUNKS).map_err(trouble)?;
    let mut value = Vec::with_capacity(usize::try_from(head.length).unwrap_or(0));
    for row in table.range((head.id, 0)..=(head.id, u32::MAX)).map_err(trouble)? {
        value.extend_from_slice(row.map_err(trouble)?.1.value());
    }
    Ok(head.payload(value))
}

/// Epoch, number, checksum. What does not add up says nothing: colder, never wrong.
fn decode_clean(table: &impl ReadableTable<(), &'static [u8]>) -> Result<Option<Version>, Trouble> {
    let Some(row) = table.get(()).map_err(trouble)? else { return Ok(None) };
    let Some((body, sum)) = row.value().split_last_chunk() else { return Ok(None) };
    let Some((epoch, seq)) = body.split_first_chunk() else { return Ok(None) };
    let Ok(seq) = seq.try_into() else { return Ok(None) };
    let version =
        Version { epoch: Epoch(u64::from_le_bytes(*epoch)), seq: u64::from_le_bytes(seq) };
    Ok((xxh3_64(body) == u64::from_le_bytes(*sum)).then_some(version))
}

fn encode_clean(version: Version) -> Vec<u8> {
    let mut row = [version.epoch.0.to_le_bytes(), version.seq.to_le_bytes()].concat();
    row.extend_from_slice(&xxh3_64(&row).to_le_bytes());
    row
}

/// What became of a fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    Written,
    Refused,
    /// It is too large, or cannot be encoded.
    TurnedDown,
}

/// Whether what was kept under a key stays although other parts are to be put: it was read later, its versions lie
/// on the history (only then do their numbers tell), and not all of it is refused.
pub(super) fn stays(key: &Key, kept: Claim<'_>, put: &[Part], judge: &dyn Judge) -> bool {
    is_late(put, kept.parts, |stamp| stamp.version.seq)
        && put.iter().all(|part| judge.holds(part.stamp.version))
        && judge.judge_stored(key, kept) != Keep::Drop
}

/// A write transaction with its tables.
pub(super) struct Tables<'t> {
    heads: Table<'t, (&'static str, &'static str), &'static [u8]>,
    chunks: Table<'t, (u64, u32), &'static [u8]>,
    clean: Table<'t, (), &'static [u8]>,
    /// What was written there.
    clean_set: Option<Version>,
}

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Tables<'t>, Trouble> {
        Ok(Tables {
            heads: transaction.open_table(HEADS).map_err(trouble)?,
            chunks: transaction.open_table(CHUNKS).map_err(trouble)?,
            clean: transaction.open_table(CLEAN).map_err(trouble)?,
            clean_set: None,
        })
    }

    /// Writes an entry, if the fence lets it. It is asked here, where nothing can be swept in between: a
    /// frame older than *clean as of* would count as clean.
    pub(super) fn fill(
        &mut self,
        key: &Key,
        entry: &Entry<Payload>,
        judge: &dyn Judge,
        max_bytes: u64,
        index: &parking_lot::Mutex<Index>,
    ) -> Result<Fill, Trouble> {
        let Keep::CleanTo(clean_to) = judge.judge_stored(key, entry.claim()) else {
            return Ok(Fill::Refused);
        };
        // Asked here as well, where nothing can be written in between.
        // The lock is let go of before the file is read.
        let is_there = index.lock().get(key).is_some();
        if is_there && self.stays(key, &entry.parts, judge)? {
            return Ok(Fill::Refused);
        }
        let id = index.lock().new_id();
        // Some of it is stale or refused already: what the file was swept of says nothing of this.
        let apart = decode_clean(&self.clean)?.is_some_and(|clean| clean.seq > clean_to);
        // `None` if it cannot be compressed, or its head not be encoded.
        let framed = entry.value.packed().ok().and_then(|packed| {
            let head = Head::new(id, entry.value.codec(), packed.as_ref(), entry.claim(), apart);
            let row = head.encode(key)?;
            let bytes = footprint(key, row.len(), head.length);
            (bytes <= max_bytes).then(|| (row, bytes, packed.map(|packed| packed.bytes)))
        });
        let Some((row, bytes, value)) = framed else {
            // What it was to replace is older.
            self.remove(key, index)?;
            return Ok(Fill::TurnedDown);
        };
        for (number, chunk) in (0u32..).zip(chunks(&value.unwrap_or_default())) {
            self.chunks.insert((id, number), chunk).map_err(trouble)?;
        }
        self.heads.insert((&*key.cache, &*key.id), &*row).map_err(trouble)?;
        let old = index.lock().insert(key.clone(), id, bytes);
        if let Some(old) = old {
            self.remove_chunks(old)?;
        }
        Ok(Fill::Written)
    }

    /// Whether what stands under a key was read later than these parts, and may be kept.
    fn stays(&self, key: &Key, parts: &[Part], judge: &dyn Judge) -> Result<bool, Trouble> {
        let row = self.heads.get((&*key.cache, &*key.id)).map_err(trouble)?;
        let head = row.and_then(|row| Head::decode(&key.cache, &key.id, row.value()));
        Ok(head.is_some_and(|head| stays(key, head.claim(&head.parts()), parts, judge)))
    }

    fn set_clean(&mut self, version: Version) -> Result<(), Trouble> {
        self.clean.insert((), &*encode_clean(version)).map_err(trouble)?;
        self.clean_set = Some(version);
        Ok(())
    }

    /// The version up to which the file is clean once this is committed, if that is another than before.
    pub(super) fn clean_set(&self) -> Option<Version> {
        self.clean_set
    }

    /// Deletes an entry. True if it was there.
    pub(super) fn remove(
        &mut self,
        key: &Key,
        index: &parking_lot::Mutex<Index>,
    ) -> Result<bool, Trouble> {
        let there = self.heads.remove((&*key.cache, &*key.id)).map_err(trouble)?.is_some();
        let slot = index.lock().remove(key);
        if let Some(slot) = slot {
            self.remove_chunks(slot)?;
        }
        Ok(there)
    }

    fn remove_chunks(&mut self, slot: Slot) -> Result<(), Trouble> {
        let mut number = 0;
        while self.chunks.remove((slot.id, number)).map_err(trouble)?.is_some() {
            number += 1;
        }
        Ok(())
    }

    /// Deletes what the fence refuses and writes up to where the file is clean then. Returns how many were deleted.
    ///
    /// What is kept although a mark covers it (it is stale, or some of its days are refused) must go on being
    /// judged by that mark: so the file is clean only up to before the first of those.
    pub(super) fn sweep(
        &mut self,
        judge: &dyn Judge,
        index: &parking_lot::Mutex<Index>,
    ) -> Result<u64, Trouble> {
        // Before anything is judged: marks that act meanwhile belong to the next sweep.
        let position = judge.position();
        let clean = decode_clean(&self.clean)?;
        let (mut refused, mut clean_to) = (Vec::new(), u64::MAX);
        for row in self.heads.iter().map_err(trouble)? {
            let (key, row) = row.map_err(trouble)?;
            let (cache, id) = key.value();
            let (key, head) = (Key::new(cache, id), Head::decode(cache, id, row.value()));
            let Some(head) = head else {
                refused.push(key);
                continue;
            };
            match judge.judge_stored(&key, head.claim(&counted(&head, clean, judge))) {
                Keep::CleanTo(to) if !head.apart => clean_to = clean_to.min(to),
                Keep::CleanTo(_) => {}
                Keep::Drop => refused.push(key),
            }
        }
        for key in &refused {
            self.remove(key, index)?;
        }
        // With a mark pending nobody can say up to which number the file is clean.
        if let Some(position) = position {
            self.set_clean(Version { seq: position.seq.min(clean_to), ..position })?;
        }
        Ok(refused.len() as u64)
    }
}
