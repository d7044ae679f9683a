//! The one thread that writes a journal.

use std::collections::VecDeque;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use bytes::Bytes;
use samovar_core::{Clock, Error};

use super::layout::{Frame, Header, RECORD};
use super::rewrite::{self, Book};
use super::{Faults, Step, Told, failed};
use crate::random;

/// A frame takes no more in once it holds so many bytes.
const AT_ONCE: usize = 4 << 20;
/// Room is made for so many bytes at least, for as many as are in use …
const ROOM_MIN: u64 = 64 << 10;
/// … and for so many at most: they are made durable with the frame.
const ROOM_MAX: u64 = 4 << 20;
/// The file may be so much longer than twice what stands.
const SLACK: u64 = 8 << 20;
/// No sync is taken to last longer, for those who wait for company: a disk that stood still once is not a slow one.
const SYNC_MAX: Duration = Duration::from_millis(20);
/// What was released is made durable after so long without anything else to do.
const IDLE: Duration = Duration::from_millis(200);

pub(super) enum Command {
    Append(Append),
    Release(Vec<u64>),
    Close,
}

pub(super) struct Append {
    pub(super) number: u64,
    pub(super) instead: Option<u64>,
    pub(super) bytes: Bytes,
    pub(super) told: Told,
}

pub(super) struct Scribe {
    path: PathBuf,
    book: Book,
    bytes: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
    faults: Option<Faults>,
    /// What is to be released by the next frame.
    released: Vec<u64>,
    /// Something was written and not synced.
    dirty: bool,
    /// How many were told of the last frame, and how long it took to sync it.
    last: (usize, Duration),
    /// What came while it was synced, or had no room in the frame after.
    early: VecDeque<Command>,
    /// It could not be made anew, and is not tried again before it is so long.
    shorten_at: u64,
}

/// What one frame is made of.
#[derive(Default)]
struct Batch {
    appends: Vec<Append>,
    released: Vec<u64>,
    size: usize,
    close: bool,
}

impl Batch {
    fn take(&mut self, command: Command) {
        match command {
            Command::Append(append) => {
                self.size += append.bytes.len() + RECORD;
                self.appends.push(append);
            }
            Command::Release(numbers) => {
                self.size += numbers.len() * RECORD;
                self.released.extend(numbers);
            }
            Command::Close => self.close = true,
        }
    }

    fn is_full(&self) -> bool {
        self.close || self.size >= AT_ONCE
    }
}

impl Scribe {
    pub(super) fn new(
        path: PathBuf,
        book: Book,
        bytes: Arc<AtomicU64>,
        clock: Arc<dyn Clock>,
        faults: Option<Faults>,
    ) -> Scribe {
        let (released, last) = (Vec::new(), (0, Duration::ZERO));
        let (dirty, early, shorten_at) = (false, VecDeque::new(), 0);
        Scribe { path, book, bytes, clock, faults, released, dirty, last, early, shorten_at }
    }

    pub(super) fn run(&mut self, inbox: &Receiver<Command>) -> Result<(), Error> {
        loop {
            // What could not be released since the disk was full is tried again, though nobody asks for anything.
            let first = match self.dirty || !self.released.is_empty() {
                _ if !self.early.is_empty() => Ok(None),
                false => inbox.recv().map(Some).map_err(|_| RecvTimeoutError::Disconnected),
                true => inbox.recv_timeout(IDLE).map(Some),
            };
            let batch = match first {
                Ok(first) => self.gather(first, inbox),
                Err(RecvTimeoutError::Timeout) => {
                    let released = std::mem::take(&mut self.released);
                    self.keep(Batch { released, ..Batch::default() }, inbox)?;
                    self.sync().map_err(|e| failed(&self.path, "making it durable", e))?;
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => self.gather(Some(Command::Close), inbox),
            };
            let close = batch.close;
            self.keep(batch, inbox)?;
            if close {
                let Book { file, length, .. } = &self.book;
                // Who cannot give the room back leaves it.
                let _ = file.set_len(*length);
                return self.sync().map_err(|e| failed(&self.path, "making it durable", e));
            }
            if self.is_long() {
                self.shorten()?;
            }
        }
    }

    /// What waits. Those who were told of the last frame together mostly come again together: a frame that begins with
    /// the first of them, or with those alone who came meanwhile, would keep the others waiting for two. So it waits a
    /// fraction of what a sync takes for as many as were told.
    fn gather(&mut self, first: Option<Command>, inbox: &Receiver<Command>) -> Batch {
        let released = std::mem::take(&mut self.released);
        let mut batch = Batch { released, ..Batch::default() };
        while !batch.is_full()
            && let Some(early) = self.early.pop_front()
        {
            batch.take(early);
        }
        let (told, took) = (self.last.0, self.last.1.min(SYNC_MAX));
        let expected = batch.appends.len() + told;
        first.into_iter().for_each(|command| batch.take(command));
        let until = self.clock.elapsed() + took / 4;
        while !batch.is_full() {
            if let Ok(next) = inbox.try_recv() {
                batch.take(next);
                continue;
            }
            let appends = batch.appends.len();
            if appends == 0 || appends >= expected || self.clock.elapsed() >= until {
                break;
            }
            match inbox.recv_timeout(took / 8) {
                Ok(next) => batch.take(next),
                Err(_) => break,
            }
        }
        batch
    }

    /// Writes a frame, and tells those whose records it holds. After an error here nobody knows what the file holds.
    fn keep(&mut self, batch: Batch, inbox: &Receiver<Command>) -> Result<(), Error> {
        let Batch { appends, released, .. } = batch;
        if appends.is_empty() && released.is_empty() {
            return Ok(());
        }
        let mut frame = Frame::default();
        let base = self.book.length;
        let place = |append: &Append| {
            let at = frame.record(append.number, append.instead.unwrap_or(0), &append.bytes);
            (append.number, (base + at as u64, append.bytes.len()))
        };
        let places: Vec<_> = appends.iter().map(place).collect();
        // Behind them: one of these may be done with before it is durable.
        for number in &released {
            frame.record(0, *number, &[]);
        }
        let frame = frame.seal(self.book.header.salt, base);
        if let Err(error) = self.write(&frame) {
            self.released = released;
            let error = failed(&self.path, "writing to it; nothing of it was kept", error);
            self.refuse(appends, &error);
            let Book { file, room, .. } = &mut self.book;
            *room = base;
            let back = file.set_len(base).and_then(|()| file.seek(SeekFrom::Start(base)));
            return back.map(drop).map_err(|e| failed(&self.path, "cutting off what failed", e));
        }
        self.book.length += frame.len() as u64;
        self.book.room = self.book.room.max(self.book.length);
        self.dirty = true;
        if let Some(last) = appends.last() {
            self.book.header.next = last.number + 1;
            let began = self.clock.elapsed();
            if let Err(error) = self.sync() {
                let text = "making it durable; nothing is taken any more until it is opened again";
                let error = failed(&self.path, text, error);
                self.refuse(appends, &error);
                return Err(error);
            }
            self.last = (appends.len(), self.clock.elapsed().saturating_sub(began));
        }
        self.book.standing.extend(places);
        let instead = appends.iter().filter_map(|append| append.instead);
        for number in released.into_iter().chain(instead) {
            if let Some((_, length)) = self.book.standing.remove(&number) {
                self.free(length);
            }
        }
        self.early.extend(inbox.try_iter());
        for append in appends {
            (append.told)(Ok(append.number));
        }
        Ok(())
    }

    fn refuse(&self, appends: Vec<Append>, error: &Error) {
        for append in appends {
            self.free(append.bytes.len());
            (append.told)(Err(error.clone()));
        }
    }

    fn free(&self, length: usize) {
        self.bytes.fetch_sub((length + RECORD) as u64, Ordering::Relaxed);
    }

    fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        if let Some((length, error)) = self.fault(Step::Write) {
            self.book.file.write_all(&frame[..length.min(frame.len())])?;
            return Err(error);
        }
        let end = self.book.length + frame.len() as u64;
        if end > self.book.room {
            self.make_room(end)?;
        }
        self.book.file.write_all(frame)
    }

    /// Makes the file longer than it has to be: to make a frame durable takes two thirds of the time where the file need
    /// not grow for it.
    fn make_room(&mut self, end: u64) -> io::Result<()> {
        let Book { file, length, room, .. } = &mut self.book;
        let more = (end - *length).max(*length).clamp(ROOM_MIN, ROOM_MAX);
        let zeros = vec![0; usize::try_from(end + more - *room).unwrap_or(0)];
        file.seek(SeekFrom::Start(*room))?;
        match file.write_all(&zeros) {
            Ok(()) => *room = end + more,
            // The disk is nearly full: it may do for the frame.
            Err(_) => file.set_len(*room)?,
        }
        file.seek(SeekFrom::Start(*length)).map(drop)
    }

    fn sync(&mut self) -> io::Result<()> {
        if !self.dirty {
            return Ok(());
        }
        match self.fault(Step::Sync) {
            Some((_, error)) => Err(error),
            None => self.book.file.sync_data().map(|()| self.dirty = false),
        }
    }

    fn fault(&mut self, step: Step) -> Option<(usize, io::Error)> {
        self.faults.as_mut().and_then(|fail| fail(step))
    }

    /// Whether more than half of what is in use is of no use any more. By what stands now (or was handed over already), not
    /// by what stood when it was made: while what is appended stays nothing would be gained.
    fn is_long(&self) -> bool {
        let stands = self.bytes.load(Ordering::Relaxed);
        self.book.length > self.shorten_at.max(2 * stands + SLACK)
    }

    /// Makes the file anew from what stands in it. If that fails the old one goes on, and it is tried again later.
    fn shorten(&mut self) -> Result<(), Error> {
        let made = random::number().map_err(io::Error::other).and_then(|salt| {
            let header = Header { salt, ..self.book.header.clone() };
            rewrite::make(&self.path, &header, self.book.records(), &mut self.faults)
        });
        let Ok(book) = made else {
            self.shorten_at = 2 * self.book.length;
            rewrite::give_up(&self.path);
            let Book { file, length, .. } = &mut self.book;
            let back = file.seek(SeekFrom::Start(*length));
            return back.map(drop).map_err(|e| failed(&self.path, "going back to its end", e));
        };
        rewrite::put_in_place(&self.path)
            .map_err(|e| failed(&self.path, "putting the new journal in its place", e))?;
        self.book = book;
        self.dirty = false;
        self.shorten_at = 0;
        Ok(())
    }
}
