//! How marks are stored where other programs, and later ones, read them: in Redis, in the journal.

use std::sync::Arc;

use samovar_core::{Error, ErrorKind, Mark, MarkId, Millis, Mode, Scope};
use serde::Deserialize;

/// Of the usual priority: as all were once, so that older programs read them.
const PLAIN: u8 = 1;
/// With a priority of its own.
const RANKED: u8 = 2;

/// Bytes that most marks fit in.
const USUAL: usize = 128;

/// A mark as it was when there were no priorities.
#[derive(Deserialize)]
pub(super) struct Plain {
    id: MarkId,
    scope: Scope,
    mode: Mode,
    at: Millis,
    reason: Arc<str>,
}

impl From<Plain> for Mark {
    fn from(Plain { id, scope, mode, at, reason }: Plain) -> Mark {
        Mark { id, scope, mode, at, reason, priority: Mark::PRIORITY }
    }
}

/// A byte for how the rest is written, then the mark in Postcard.
pub(super) fn write(mark: &Mark) -> Result<Vec<u8>, Error> {
    let mut stored = Vec::with_capacity(USUAL);
    let stored = if mark.priority == Mark::PRIORITY {
        let Mark { id, scope, mode, at, reason, .. } = mark;
        stored.push(PLAIN);
        // Fields in their order, as `Plain` has them.
        postcard::to_extend(&(id, scope, mode, at, reason), stored)
    } else {
        stored.push(RANKED);
        postcard::to_extend(mark, stored)
    };
    stored.map_err(|e| Error::new(ErrorKind::Format, "a mark cannot be written").because(e))
}

/// # Errors
/// Of kind [`ErrorKind::Format`]: it is damaged, or was written by a newer program.
pub(super) fn read(stored: &[u8]) -> Result<Mark, Error> {
    let mark = match stored.split_first() {
        Some((&PLAIN, rest)) => postcard::from_bytes::<Plain>(rest).map(Mark::from),
        Some((&RANKED, rest)) => postcard::from_bytes(rest),
        _ => {
            let text = "is of a format that this version does not know";
            return Err(Error::new(ErrorKind::Format, text));
        }
    };
    mark.map_err(|e| Error::new(ErrorKind::Format, "is damaged").because(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_back_and_those_of_the_usual_priority_are_written_as_ever() {
        for priority in [0, Mark::PRIORITY, Mark::PRIORITY_MAX] {
            let mark = Mark {
                priority,
                ..samovar_testkit::log::mark(7, Scope::Everything, Mode::Expire, 5)
            };
            let stored = write(&mark).unwrap();
            assert_eq!(read(&stored).unwrap(), mark);
            assert_eq!(stored[0] == PLAIN, priority == Mark::PRIORITY);
        }
        // As programs before there were priorities wrote it: name, scope, mode, time, reason.
        let once = [&[1, 7, 3, 1, 10, 4][..], b"test"].concat();
        assert_eq!(write(&read(&once).unwrap()).unwrap(), once);
        for damaged in [&[][..], &[3], &once[..6], &[2, 7]] {
            assert!(read(damaged).is_err(), "{damaged:?}");
        }
    }
}
