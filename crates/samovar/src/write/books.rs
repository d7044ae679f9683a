//! Which writes of this node are under way, by cache, and the journal in which they stand.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_channel::oneshot;
use parking_lot::Mutex;
use samovar_core::{Clock, Error, ErrorKind, WriteId};
use tokio::sync::OnceCell;

use super::letters::{Letter, Letters};
use super::record::{Head, Place, Record};
use crate::background::{closed, off_thread};
use crate::cache::{Kept, Unwritten};
use crate::codec::{Compression, Packed, Payload};
use crate::directory::Held;
use crate::journal::{Journal, Opened, Options, Told};
use crate::policy::{CachePolicy, Strategy};
use crate::random;
use crate::settings::Settings;

/// The journal's file in the data directory.
pub(crate) const FILE: &str = "writes.journal";
const KIND: [u8; 8] = *b"writes\0\0";

/// Where the journal is once it was opened: once for good, though who asked for it be gone.
#[derive(Default)]
struct Slot {
    opened: OnceLock<Arc<Journal>>,
    /// Held while it is opened: whether it is too late for that.
    closed: Mutex<bool>,
}

/// See the module.
pub(crate) struct Writes {
    path: Option<PathBuf>,
    max_bytes: u64,
    clock: Arc<dyn Clock>,
    journal: Arc<Slot>,
    /// The directory, until it is too late for a journal.
    held: Mutex<Option<Held>>,
    /// Those who wait for it go on in the order in which they came.
    opening: OnceCell<()>,
    /// How writes are called that stand in no journal.
    node: u64,
    next: AtomicU64,
    caches: Mutex<HashMap<Arc<str>, Arc<Unwritten>>>,
    /// The caches of which something stood in the journal.
    found: Mutex<HashSet<Arc<str>>>,
    /// The caches whose writes are replayed, to a writer or without.
    replayed: Mutex<HashSet<(Arc<str>, bool)>>,
    letters: Mutex<Letters>,
    letters_max_bytes: u64,
    /// What was being written when the process before this one ended.
    intents: Mutex<Vec<(u64, Place, Duration)>>,
}

impl Writes {
    /// The books of a directory, with what stands in its journal if there is one; and what is worth saying. Blocks.
    pub(crate) fn open(
        settings: &Settings,
        held: Option<Held>,
    ) -> Result<(Writes, Vec<String>), Error> {
        let Settings { clock, journal_max_bytes: max_bytes, letters_max_bytes, .. } =
            settings.clone();
        let path = settings.data_dir.as_ref().map(|directory| directory.join(FILE));
        let writes = Writes {
            path: path.clone(),
            max_bytes,
            clock: Arc::clone(&clock),
            journal: Arc::default(),
            held: Mutex::new(held.clone()),
            opening: OnceCell::new(),
            node: random::number()?,
            next: AtomicU64::new(1),
            caches: Mutex::default(),
            found: Mutex::default(),
            replayed: Mutex::default(),
            letters: Mutex::default(),
            letters_max_bytes,
            intents: Mutex::default(),
        };
        let there = path.filter(|path| path.symlink_metadata().is_ok());
        let Some(path) = there else { return Ok((writes, Vec::new())) };
        let Opened { journal, records, mut notices } =
            Journal::open(&path, Options::new(KIND, max_bytes, held), clock)?;
        // What took the place of a dead letter that was dropped.
        let (gone, records): (Vec<_>, Vec<_>) =
            records.into_iter().partition(|record| record.bytes.is_empty());
        let gone = gone.into_iter().map(|record| record.number).collect();
        for record in records {
            if let Err(error) = writes.take(record.number, &record.bytes) {
                notices.push(format!("{}, record {}: {error}", path.display(), record.number));
            }
        }
        journal.release(gone);
        // It was empty until now.
        let _ = writes.journal.opened.set(Arc::new(journal));
        writes.change_letters(|_| ());
        Ok((writes, notices))
    }

    /// Takes in a record that was found.
    fn take(&self, number: u64, bytes: &Bytes) -> Result<(), Error> {
        match Record::decode(bytes)? {
            (Record::Write(head), value) => {
                self.found.lock().insert(Arc::clone(&head.place.cache));
                self.add(number, head, value);
            }
            (Record::Intent(place, deadline), _) => {
                self.intents.lock().push((number, place, deadline));
            }
            (Record::Dead(head, death), value) => {
                // It may be retried.
                self.found.lock().insert(Arc::clone(&head.place.cache));
                let size = Journal::size(bytes.len());
                self.letters.lock().insert(number, Letter::new(head, value, death, size));
            }
        }
        Ok(())
    }

    /// A write that was found is to be replayed.
    pub(super) fn add(&self, number: u64, head: Head, value: Bytes) {
        let stored = |codec| {
            let (compression, length) = (Compression::None, value.len() as u64);
            Kept::found(Payload::stored(Some(codec), Packed { compression, length, bytes: value }))
        };
        let value = head.codec().map(stored);
        self.of(&head.place.cache).add(head.waiting(number, value, true));
    }

    /// What a cache of this name has not written yet.
    pub(super) fn of(&self, cache: &Arc<str>) -> Arc<Unwritten> {
        Arc::clone(self.caches.lock().entry(Arc::clone(cache)).or_default())
    }

    /// The same, where a journal can be: another handle of its name may be written back, now or later.
    pub(crate) fn of_cache(&self, policy: &CachePolicy) -> Option<Arc<Unwritten>> {
        self.has_home().then(|| self.of(&policy.name))
    }

    /// Whether there is, or may come, something to replay: a cache is written back, or something of it was found.
    pub(crate) fn is_replayed(&self, policy: &CachePolicy) -> bool {
        policy.strategy == Strategy::WriteBack || self.found.lock().contains(&policy.name)
    }

    /// Whether those writes of a cache that are for a writer, or those that are not, are to be replayed by who asks: the
    /// first.
    pub(crate) fn claim(&self, cache: &Arc<str>, for_writer: bool) -> bool {
        self.replayed.lock().insert((Arc::clone(cache), for_writer))
    }

    /// What was being written when the process before this one ended.
    pub(super) fn intents(&self) -> Vec<(u64, Place, Duration)> {
        std::mem::take(&mut *self.intents.lock())
    }

    /// Whether there is a directory for a journal.
    pub(crate) fn has_home(&self) -> bool {
        self.path.is_some()
    }

    /// The name of a write that stands in no journal.
    pub(super) fn passing(&self) -> WriteId {
        WriteId { node: self.node, number: self.next.fetch_add(1, Ordering::Relaxed) }
    }

    /// The journal; made by who first needs it.
    pub(super) async fn journal(&self) -> Result<&Arc<Journal>, Error> {
        if let Some(journal) = self.journal.opened.get() {
            return Ok(journal);
        }
        let homeless = || {
            let text = "this strategy keeps a journal, and there is no data_dir to keep it in: set Settings::data_dir";
            Error::new(ErrorKind::Invalid, text)
        };
        let path = self.path.clone().ok_or_else(homeless)?;
        let (slot, clock) = (Arc::clone(&self.journal), Arc::clone(&self.clock));
        let options = Options::new(KIND, self.max_bytes, self.held.lock().clone());
        let open = move || {
            let is_closed = slot.closed.lock();
            if !*is_closed && slot.opened.get().is_none() {
                let opened = Journal::open(&path, options, clock)?;
                let _ = slot.opened.set(Arc::new(opened.journal));
            }
            Ok(())
        };
        self.opening.get_or_try_init(|| off_thread("samovar-open", open)).await?;
        self.journal.opened.get().ok_or_else(closed)
    }

    /// Records something, in the place of another record if one is named. Its number, once it is durable; `taken` is told
    /// that before anybody else, and in the order of numbers, though the future be dropped.
    pub(super) async fn record(
        &self,
        bytes: Bytes,
        instead: Option<u64>,
        taken: impl FnOnce(u64) + Send + 'static,
    ) -> Result<WriteId, Error> {
        let journal = self.journal().await?;
        let (send, answer) = oneshot::channel();
        let told: Told = Box::new(move |durable| {
            if let Ok(number) = durable {
                taken(number);
            }
            let _ = send.send(durable);
        });
        journal.append(bytes, instead, told)?;
        let number = answer.await.unwrap_or_else(|_| Err(journal.why()))?;
        Ok(WriteId { node: journal.node(), number })
    }

    /// Records that are done with.
    pub(super) fn release(&self, numbers: Vec<u64>) {
        if let Some(journal) = self.journal.opened.get() {
            journal.release(numbers);
        }
    }

    /// Resolves once the journal is so full that it is to be emptied; `None` if there is none.
    pub(super) fn fills(&self) -> Option<impl Future<Output = ()> + use<>> {
        let journal = Arc::clone(self.journal.opened.get()?);
        Some(async move { journal.fills().await })
    }

    /// The name of a record.
    pub(super) fn id(&self, number: u64) -> WriteId {
        let node = self.journal.opened.get().map_or(self.node, |journal| journal.node());
        WriteId { node, number }
    }

    /// Looks at the dead letters.
    pub(super) fn with_letters<T>(&self, look: impl FnOnce(&Letters) -> T) -> T {
        look(&self.letters.lock())
    }

    /// Changes the dead letters; what they take of the journal does not count for those who write.
    pub(super) fn change_letters<T>(&self, change: impl FnOnce(&mut Letters) -> T) -> T {
        let mut letters = self.letters.lock();
        let changed = change(&mut letters);
        if let Some(journal) = self.journal.opened.get() {
            journal.exempt(letters.bytes());
        }
        changed
    }

    /// Whether a cache has room for what of its writes might become dead letters. Asked before anything is acknowledged:
    /// after that nothing may be lost, and nothing of other caches held up.
    pub(super) fn has_room_for_letters(&self, cache: &Arc<str>) -> Result<(), Error> {
        let (bytes, max_bytes) = (self.letters.lock().bytes_of(cache), self.letters_max_bytes);
        if bytes < max_bytes {
            return Ok(());
        }
        let text = format!(
            "the dead letters of {cache} are full: {bytes} of {max_bytes} bytes (letters_max_bytes); nothing is accepted \
             for it until some are retried or dropped"
        );
        Err(Error::new(ErrorKind::Full, text))
    }

    /// Stops the journal; none is opened any more.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        *self.journal.closed.lock() = true;
        drop(self.held.lock().take());
        match self.journal.opened.get() {
            Some(journal) => journal.close().await,
            None => Ok(()),
        }
    }
}
