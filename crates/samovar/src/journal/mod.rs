//! A journal: records that are durable before whoever appended them is told so, and that are found again after a crash.
//!
//! What a record says is its owner's business; here it is bytes with a number. One thread writes: all that waits goes
//! into one *frame*, with one write and one `fdatasync`. A record stays until it is released; that it was is written too,
//! soon but not at once, so after a crash some that were released may be there again.
//!
//! * `layout`: the bytes of the file. `scribe`: the thread. `rewrite`: opening, and making the file anew from what still
//!   stands, which is also how it is kept short.
//!
//! A frame that is cut short at the end of the file was being written when the process ended: nobody was told of it. One
//! that is damaged before the end is said, and the file is kept as `NAME.damaged`; what lies behind it is found again.
//!
//! Where the disk fails to make a frame durable nobody knows what of it is there: who appended is told that it failed, and
//! nothing is taken any more until the journal is opened again. The records may be found then all the same.

mod layout;
mod rewrite;
mod scribe;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;
use samovar_core::{Clock, Error, ErrorKind};
use tokio::sync::Notify;

use crate::background::Worker;
use crate::directory::Held;
use layout::RECORD;
use scribe::{Append, Command, Scribe};

/// What is told of a record, its number if it is durable: on the journal's thread, in the order of numbers. It must not block. Dropped without being
/// called, the journal has ended; [`Journal::why`] says of what.
pub(crate) type Told = Box<dyn FnOnce(Result<u64, Error>) + Send>;

/// What a step on the disk may be made to fail with, by tests: a write may come so far first.
pub(crate) type Faults = Box<dyn FnMut(Step) -> Option<(usize, std::io::Error)> + Send>;

/// A step on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Write,
    Sync,
    Rewrite,
}

/// So much larger may a record be that takes the place of another: it says more of the same.
const SPARE: usize = 8 << 10;

/// What a journal is for, and how much of it there may be.
pub(crate) struct Options {
    /// Says in the file what its records are.
    pub(crate) kind: [u8; 8],
    /// So many bytes of records may stand at once; beyond that nothing is appended.
    pub(crate) max_bytes: u64,
    /// The directory is held for as long as the thread may write there, though nobody waits for its end.
    pub(crate) held: Option<Held>,
    pub(crate) faults: Option<Faults>,
}

impl Options {
    pub(crate) fn new(kind: [u8; 8], max_bytes: u64, held: Option<Held>) -> Options {
        Options { kind, max_bytes, held, faults: None }
    }
}

/// A record that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) number: u64,
    pub(crate) bytes: Bytes,
}

/// A journal, what stood in it by ascending number, and what is worth saying.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) journal: Journal,
    pub(crate) records: Vec<Record>,
    pub(crate) notices: Vec<String>,
}

/// See the module.
pub(crate) struct Journal {
    path: PathBuf,
    node: u64,
    max_bytes: u64,
    /// The bytes of all records that stand.
    bytes: Arc<AtomicU64>,
    /// Told when they come to be many, or too many.
    filling: Notify,
    /// How many of them its owner bounds otherwise.
    exempt: AtomicU64,
    /// The next number; held while a record is handed over, so that they come to the thread in order.
    next: Mutex<(u64, Sender<Command>)>,
    /// What it died of: said before those whom it left without an answer find out.
    broken: Arc<OnceLock<Error>>,
    worker: Worker,
}

impl Journal {
    /// Opens a journal, or makes one. Blocks.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] if the file is not of this kind or of a newer format, [`ErrorKind::Storage`] if the disk
    /// fails.
    pub(crate) fn open(
        path: &Path,
        options: Options,
        clock: Arc<dyn Clock>,
    ) -> Result<Opened, Error> {
        let Options { kind, max_bytes, held, mut faults } = options;
        let rewrite::Read { header, records, notices } = rewrite::read(path, kind)?;
        let standing = records.iter().map(|record| Ok((record.number, record.bytes.clone())));
        let book = rewrite::make(path, &header, standing, &mut faults)
            .and_then(|book| rewrite::put_in_place(path).map(|()| book))
            .map_err(|e| failed(path, "making the journal anew", e))?;
        let bytes = Arc::new(AtomicU64::new(book.bytes()));
        let (send, inbox) = channel();
        let mut scribe = Scribe::new(path.to_owned(), book, Arc::clone(&bytes), clock, faults);
        let broken = Arc::new(OnceLock::new());
        let said = Arc::clone(&broken);
        let run = move || {
            // Those who wait are let go with the scribe, and ask why.
            let ended = scribe.run(&inbox).inspect_err(|error| drop(said.set(error.clone())));
            drop((scribe, held));
            ended
        };
        let worker = Worker::spawn("samovar-journal", run, |_| {})?;
        let (path, node) = (path.to_owned(), header.node);
        let next = Mutex::new((header.next, send));
        let (filling, exempt) = (Notify::new(), AtomicU64::new(0));
        let journal =
            Journal { path, node, max_bytes, bytes, filling, exempt, next, broken, worker };
        Ok(Opened { journal, records, notices })
    }

    /// Random, and the same for as long as the file lives.
    pub(crate) fn node(&self) -> u64 {
        self.node
    }

    /// Appends a record, in the place of another if one is named: that is released by the same write. Its number, greater than any
    /// before it. It is handed over by this call; `told` learns when it is durable, or that it is not.
    ///
    /// # Errors
    /// [`ErrorKind::Full`] if too much stands in the journal already, [`ErrorKind::Invalid`] if the record is too large.
    pub(crate) fn append(
        &self,
        bytes: Bytes,
        instead: Option<u64>,
        told: Told,
    ) -> Result<u64, Error> {
        let size = Journal::size(bytes.len());
        let largest = layout::LARGEST - if instead.is_some() { 0 } else { SPARE };
        if bytes.len() > largest {
            let text = format!("{} bytes in one record, allowed are {largest}", bytes.len());
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        // What takes the place of another is always taken: it mostly needs no more room.
        let exempt = self.exempt.load(Ordering::Relaxed);
        let fits =
            |after: &u64| after.saturating_sub(exempt) <= self.max_bytes || instead.is_some();
        let room = |bytes: u64| bytes.checked_add(size).filter(fits);
        let mut next = self.next.lock();
        match self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room) {
            Ok(before) if !self.is_filling(before) && self.is_filling(before + size) => {
                self.filling.notify_waiters();
            }
            Ok(_) => {}
            Err(bytes) => {
                // Also if it is far from full, and the record large: who rests is to make room.
                self.filling.notify_waiters();
                let text = format!(
                    "{} is full: {} of {} bytes wait in it; try again once some of that is done",
                    self.path.display(),
                    bytes.saturating_sub(exempt),
                    self.max_bytes
                );
                return Err(Error::new(ErrorKind::Full, text));
            }
        }
        let number = next.0;
        next.0 += 1;
        // If the thread is gone the record is dropped, and with it who is to be told.
        let _ = next.1.send(Command::Append(Append { number, instead, bytes, told }));
        Ok(number)
    }

    /// So many bytes of what stands do not count towards the limit.
    pub(crate) fn exempt(&self, bytes: u64) {
        self.exempt.store(bytes, Ordering::Relaxed);
    }

    /// What a record of so many bytes of its own takes of the limit.
    pub(crate) fn size(bytes: usize) -> u64 {
        (bytes + RECORD) as u64
    }

    /// Records that are needed no longer. After a crash they may be there again.
    pub(crate) fn release(&self, numbers: Vec<u64>) {
        let _ = self.next.lock().1.send(Command::Release(numbers));
    }

    /// Resolves when more than a quarter of the bytes that may stand do, or a record is refused for want of room.
    pub(crate) async fn fills(&self) {
        let filling = self.filling.notified();
        if !self.is_filling(self.bytes.load(Ordering::Relaxed)) {
            filling.await;
        }
    }

    fn is_filling(&self, bytes: u64) -> bool {
        bytes.saturating_sub(self.exempt.load(Ordering::Relaxed)) > self.max_bytes / 4
    }

    /// Why the journal has ended, for who was not told.
    pub(crate) fn why(&self) -> Error {
        self.broken.get().cloned().unwrap_or_else(|| self.worker.health().why())
    }

    /// Writes what was handed over, and stops.
    ///
    /// # Errors
    /// What it died of before.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        let _ = self.next.lock().1.send(Command::Close);
        self.worker.ended().await
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The disk has failed at a file.
fn failed(path: &Path, what: &str, cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Storage, format!("{}: {what}", path.display())).because(cause)
}
