//! Marks that were accepted while the log was away: durable on this node's disk until the log has them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use futures_channel::oneshot;
use parking_lot::Mutex;
use samovar_core::{Clock, Error, Mark, MarkId};

use super::stored;
use crate::directory::Held;
use crate::journal::{Journal, Opened, Options, Told};

/// The file's name in the data directory.
pub(crate) const FILE: &str = "marks.journal";
const KIND: [u8; 8] = *b"marks\0\0\0";
/// Some ten million marks.
const MAX_BYTES: u64 = 1 << 30;

/// See the module.
pub(crate) struct MarkJournal {
    journal: Journal,
    /// The records that stand, by the marks that they hold.
    numbers: Mutex<HashMap<MarkId, u64>>,
}

impl MarkJournal {
    /// Whether there is one in a directory.
    pub(crate) fn is_in(directory: &Path) -> bool {
        directory.join(FILE).exists()
    }

    /// The journal in a directory, the marks that stand in it, and what is worth saying. Blocks.
    ///
    /// # Errors
    /// As [`Journal::open`]; of kind [`samovar_core::ErrorKind::Format`] if a mark in it is of a newer format.
    pub(crate) fn open(
        directory: &Path,
        held: Option<Held>,
        clock: Arc<dyn Clock>,
    ) -> Result<(MarkJournal, Vec<Mark>, Vec<String>), Error> {
        let options = Options::new(KIND, MAX_BYTES, held);
        let Opened { journal, records, notices } =
            Journal::open(&directory.join(FILE), options, clock)?;
        let (mut marks, mut numbers) = (Vec::new(), HashMap::new());
        for record in records {
            let mark = stored::read(&record.bytes).map_err(|unread| {
                let text = format!("{FILE}: a mark in it {unread}");
                Error::new(unread.kind(), text)
            })?;
            // One that stands twice is sent once.
            match numbers.insert(mark.id, record.number) {
                None => marks.push(mark),
                Some(older) => journal.release(vec![older]),
            }
        }
        Ok((MarkJournal { journal, numbers: Mutex::new(numbers) }, marks, notices))
    }

    /// Makes marks durable here.
    ///
    /// # Errors
    /// If the disk fails, or too many stand here already.
    pub(crate) async fn keep(&self, marks: &[Mark]) -> Result<(), Error> {
        let mut durable = Vec::with_capacity(marks.len());
        for mark in marks {
            let (send, told) = oneshot::channel();
            let tell: Told = Box::new(move |outcome| drop(send.send(outcome)));
            let bytes = stored::write(mark)?.into();
            if let Entry::Vacant(free) = self.numbers.lock().entry(mark.id) {
                free.insert(self.journal.append(bytes, None, tell)?);
                durable.push((mark.id, told));
            }
        }
        let mut outcome = Ok(());
        for (id, told) in durable {
            let told = told.await.unwrap_or_else(|_| Err(self.journal.why()));
            if told.is_err() {
                // Who tries again must not find it kept.
                self.numbers.lock().remove(&id);
            }
            outcome = outcome.and(told.map(drop));
        }
        outcome
    }

    /// The log has these, or never needs them.
    pub(crate) fn release(&self, ids: &[MarkId]) {
        let mut numbers = self.numbers.lock();
        if numbers.is_empty() {
            return;
        }
        let released: Vec<u64> = ids.iter().filter_map(|id| numbers.remove(id)).collect();
        if !released.is_empty() {
            self.journal.release(released);
        }
    }

    /// Writes what was handed over, and stops.
    ///
    /// # Errors
    /// What it died of before.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        self.journal.close().await
    }
}

impl fmt::Debug for MarkJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MarkJournal").field("marks", &self.numbers.lock().len()).finish()
    }
}
