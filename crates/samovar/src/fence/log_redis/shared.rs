//! What is done with the log where it stands: looking, appending, reading.

use std::sync::Arc;
use std::time::Duration;

use ::redis::{Value, cmd, from_redis_value};
use futures_channel::{mpsc, oneshot};
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use samovar_core::{
    Clock, Error, ErrorKind, History, Mark, Mode, Numbered, Scope, Snapshot, Version,
};

use super::scripts::{Appended, Scripts, Stand, number, read_epoch};
use super::{RedisLogOptions, Request};
use crate::fence::state::FLOOR;
use crate::fence::stored::{read, write};
use crate::redis::{Connection, plain};

/// So many entries are read at once, each of up to 16 marks: what comes is applied at once, and must come in the time that an
/// answer may take.
const AT_ONCE: usize = 512;
/// About how many marks are appended at once: the server does nothing else meanwhile.
const TOGETHER: usize = 1_000;

/// What all who use the log have in common.
pub(super) struct Shared {
    pub(super) scripts: Scripts,
    /// For what waits on the server, which would keep others waiting on its connection.
    pub(super) reading: Connection,
    /// For leases: what else is asked does not keep them waiting.
    pub(super) leasing: Scripts,
    pub(super) options: RedisLogOptions,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) seen: Mutex<Seen>,
    /// Ends with the task that sends.
    pub(super) sent: Mutex<Option<oneshot::Receiver<()>>>,
}

/// When the log was looked at.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) stand: Option<Stand>,
    /// When the look began that found it there.
    pub(super) there: Option<Duration>,
    /// Since when it has been found gone.
    pub(super) gone: Option<Duration>,
    /// Its history is to be told, whatever it is.
    pub(super) tell: bool,
    /// How many times it was founded from here.
    pub(super) founded: u64,
}

impl Shared {
    /// Sends what is handed over, in its order. What waits meanwhile goes together.
    pub(super) async fn send(&self, inbox: &mut mpsc::UnboundedReceiver<Request>) {
        let mut next = None;
        loop {
            let first = match next.take() {
                Some(first) => first,
                None => match inbox.next().await {
                    Some(first) => first,
                    None => return,
                },
            };
            let (mut count, head) = (first.marks.len(), first.head);
            let mut together = vec![first];
            while head.is_none() {
                match inbox.next().now_or_never().flatten() {
                    Some(more) if more.head.is_none() && count + more.marks.len() <= TOGETHER => {
                        count += more.marks.len();
                        together.push(more);
                    }
                    other => {
                        next = other;
                        break;
                    }
                }
            }
            self.send_together(together, head).await;
        }
    }

    async fn send_together(&self, together: Vec<Request>, head: Option<Version>) {
        let marks = together.iter().flat_map(|request| &request.marks);
        let outcome = match marks.map(write).collect::<Result<Vec<_>, _>>() {
            Ok(stored) => self.append(&stored, head).await,
            Err(error) => Err(error),
        };
        // Of the last first: its version is the one that came back.
        let mut after = 0;
        for Request { marks, reply, .. } in together.into_iter().rev() {
            let own = |last: Version| Version { seq: last.seq - after, ..last };
            let _ = reply.send(outcome.clone().map(|last| last.map(own)));
            after += marks.len() as u64;
        }
    }

    async fn append(
        &self,
        marks: &[Vec<u8>],
        head: Option<Version>,
    ) -> Result<Option<Version>, Error> {
        match self.scripts.append(marks, head).await? {
            Appended::At(version) => Ok(Some(version)),
            Appended::GoneOn => Ok(None),
            Appended::NoLog => {
                // Whoever reads finds that too, and founds it again.
                self.seen.lock().stand = None;
                Err(Error::new(ErrorKind::Storage, "redis: the log is gone and not founded yet"))
            }
        }
    }

    /// Looks at the log. `None` if it is gone: then it is founded from here, if that is for this node to do.
    pub(super) async fn look(
        &self,
        known: Option<(&History, u64)>,
    ) -> Result<Option<Stand>, Error> {
        let began = self.clock.since_boot();
        if let Some(stand) = self.scripts.look(known).await? {
            let mut seen = self.seen.lock();
            seen.there = Some(began);
            seen.gone = None;
            seen.stand = Some(stand.clone());
            return Ok(Some(stand));
        }
        let may_found = {
            let mut seen = self.seen.lock();
            seen.stand = None;
            let RedisLogOptions { lease, margin, .. } = self.options;
            let knows = seen.there.is_some_and(|there| began < there + lease);
            let gone = *seen.gone.get_or_insert(began);
            (knows && known.is_some()) || began >= gone + lease + margin
        };
        if may_found {
            let (history, at) = known.map_or((None, 0), |(history, at)| (Some(history), at));
            let founded = self.scripts.found(history, at).await?;
            self.seen.lock().founded += u64::from(founded);
        }
        Ok(None)
    }

    /// How the log stood when it was last looked at, if that was not long ago.
    pub(super) fn stand(&self) -> Option<Stand> {
        let seen = self.seen.lock();
        let due = seen.there? + self.options.look_every;
        seen.stand.clone().filter(|_| self.clock.since_boot() < due)
    }

    /// All that the log holds; `None` if it is gone, or became another meanwhile.
    pub(super) async fn read_all(&self) -> Result<Option<Snapshot>, Error> {
        let Some(Stand { history, first, mut last }) = self.look(None).await? else {
            return Ok(None);
        };
        let begins = |at: u64| history.at(at).filter(|_| at > 0).map(floor);
        // What somebody knew, if the log still is the same up to there and holds what follows.
        let fits = |known: &Snapshot| {
            history.holds(known.head) && (first..=last).contains(&known.head.seq)
        };
        let (mut marks, mut at) = match self.scripts.table().await?.filter(fits) {
            Some(known) => (known.marks, known.head.seq),
            None => (begins(first).into_iter().collect(), first),
        };
        while at < last {
            let before = at;
            for numbered in self.read(at, Duration::from_millis(1)).await? {
                if Some(numbered.version) != history.at(at + 1) {
                    break;
                }
                at += 1;
                marks.push(numbered);
            }
            let Some(now) = self.look(None).await?.filter(|now| now.history == history) else {
                return Ok(None);
            };
            if now.first > at {
                // That much was trimmed while this was read.
                marks.extend(begins(now.first));
                (at, last) = (now.first, last.max(now.first));
            } else if at == before {
                // What is there is read from another server, which lacks it.
                self.reading.reset();
                return Ok(None);
            }
        }
        let lost = || Error::new(ErrorKind::Format, "redis: the log has no history");
        let head = history.at(at).ok_or_else(lost)?;
        Ok(Some(Snapshot { history, marks, head, shared: true }))
    }

    /// The marks after a number, as they lie in the stream; waits for the first up to `wait`.
    pub(super) async fn read(&self, after: u64, wait: Duration) -> Result<Vec<Numbered>, Error> {
        let mut command = cmd("XREAD");
        command.arg("COUNT").arg(AT_ONCE);
        // 0 would wait for ever.
        command.arg("BLOCK").arg(wait.as_millis().max(1) as u64);
        command.arg("STREAMS").arg(&self.scripts.keys.stream).arg(format!("{after}-0"));
        let answer = plain(self.reading.one(&command).await?)?;
        type Streams = Option<Vec<(String, Vec<(String, Vec<Field>)>)>>;
        if answer == Value::Nil {
            return Ok(Vec::new());
        }
        let streams: Streams = from_redis_value(answer).map_err(|e| {
            Error::new(ErrorKind::Format, "redis: what stands in the log's stream is no mark")
                .because(e)
        })?;
        let entries = streams.into_iter().flatten().flat_map(|(_, entries)| entries);
        let mut marks = Vec::new();
        for numbered in entries.flat_map(|(id, fields)| stored(&id, &fields, after)) {
            match numbered {
                Ok(numbered) => marks.push(numbered),
                Err(unread) if marks.is_empty() => return Err(unread),
                // What came before it is applied; it is met again.
                Err(_) => break,
            }
        }
        Ok(marks)
    }
}

type Field = (String, Vec<u8>);

/// The marks after a number of an entry as it lies in the stream: the entry has the number of the last of them.
fn stored(id: &str, fields: &[Field], after: u64) -> Vec<Result<Numbered, Error>> {
    let bad =
        |what: &str| Error::new(ErrorKind::Format, format!("redis: the log's entry {id} {what}"));
    let head = || {
        let last = number(id.split('-').next().unwrap_or_default())?;
        let epoch = fields.iter().find(|(of, _)| of == "e").ok_or_else(|| bad("lacks an epoch"))?;
        let epoch = std::str::from_utf8(&epoch.1).map_err(|_| bad("has no epoch"))?;
        let marks: Vec<_> = fields.iter().filter(|(of, _)| of == "m").collect();
        let before = last.checked_sub(marks.len() as u64).filter(|_| !marks.is_empty());
        Ok((before.ok_or_else(|| bad("lacks a mark"))?, read_epoch(epoch)?, marks))
    };
    let (before, epoch, marks) = match head() {
        Ok(head) => head,
        Err(unread) => return vec![Err(unread)],
    };
    let marks = (before + 1..).zip(marks).filter(|(seq, _)| *seq > after);
    let marks = marks.map(|(seq, (_, mark))| {
        let mark = read(mark).map_err(|unread| bad(&unread.to_string()))?;
        Ok(Numbered { version: Version { epoch, seq }, mark })
    });
    marks.collect()
}

/// What may be over by itself.
pub(super) fn away(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Storage => Error::new(ErrorKind::Away, error.to_string()).because(error),
        _ => error,
    }
}

/// In place of the marks that a log no longer holds.
fn floor(at: Version) -> Numbered {
    let mark = Mark {
        id: FLOOR,
        scope: Scope::Everything,
        mode: Mode::Remove,
        at: samovar_core::Millis(0),
        reason: "the log begins here".into(),
        priority: Mark::PRIORITY,
    };
    Numbered { version: at, mark }
}
