//! Rows of a COPY, taken aside before the driver makes a message of each.
//!
//! The server sends every row as a message of its own, and the driver allocates, queues and wakes for each: with
//! millions of rows that takes longer than to decode them. So what arrives is looked through first: what is in
//! messages of rows (`CopyData`) goes into one buffer that the reader empties as a whole; all else goes on to the
//! driver, which still says when a COPY begins, fails and ends. See "Message Formats" in PostgreSQL's documentation.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// So many bytes of rows wait for their reader before the socket is left alone, and the server waits.
const AHEAD: usize = 256 * 1024;
/// So many bytes are read at once.
const ROOM: usize = 64 * 1024;
/// A server sends 8 kB at a time, and both sides pay for whoever is woken for each. So once so many bytes of rows have
/// come in one go and little is there, the socket is left alone for a moment, in which more gathers.
const LONG: usize = 256 * 1024;
const PAUSE: Duration = Duration::from_millis(1);
/// The type of a message and the length of what follows, itself included.
const HEAD: usize = 5;
/// The type of messages of rows.
const COPY_DATA: u8 = b'd';

/// The rows that have arrived on a connection and were not taken yet.
#[derive(Default)]
pub(super) struct Rows(Mutex<State>);

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    /// Somebody reads them; else they are thrown away, as those of a COPY that was given up.
    wanted: bool,
    reader: Option<Waker>,
    socket: Option<Waker>,
}

impl Rows {
    fn state(&self) -> MutexGuard<'_, State> {
        // Whole after every statement.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on rows are kept, until the guard is dropped.
    pub(super) fn wanted(self: &Arc<Self>) -> Wanted {
        let mut state = self.state();
        state.bytes.clear();
        state.wanted = true;
        Wanted(Arc::clone(self))
    }

    /// Whether there is room for more; if not, the socket's task is woken when there is.
    fn has_room(&self, socket: &Context<'_>) -> bool {
        let mut state = self.state();
        let room = state.bytes.len() < AHEAD;
        if !room {
            state.socket = Some(socket.waker().clone());
        }
        room
    }
}

impl State {
    /// Takes in a piece of a row.
    fn push(&mut self, bytes: &[u8]) {
        if self.wanted {
            self.bytes.extend_from_slice(bytes);
        }
    }
}

/// Whoever reads the rows of a connection.
pub(super) struct Wanted(Arc<Rows>);

impl Wanted {
    /// Appends what has arrived, and leaves nothing behind. False if that is nothing; then the task is woken when more
    /// arrives.
    pub(super) fn take(&self, to: &mut Vec<u8>, reader: &Context<'_>) -> bool {
        let mut state = self.0.state();
        if state.bytes.is_empty() {
            state.reader = Some(reader.waker().clone());
            return false;
        }
        to.append(&mut state.bytes);
        if let Some(socket) = state.socket.take() {
            socket.wake();
        }
        true
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.wanted = false;
        state.bytes.clear();
        if let Some(socket) = state.socket.take() {
            socket.wake();
        }
    }
}

/// A stream from a server that has agreed on how to speak: from here on only messages arrive.
pub(super) struct Aside<S> {
    pub(super) stream: S,
    rows: Arc<Rows>,
    room: Box<[u8]>,
    /// What is for the driver, and how much of it the driver has.
    kept: Vec<u8>,
    given: usize,
    /// The head of the next message, as far as it has arrived.
    head: Vec<u8>,
    /// How much of the current message has not arrived, and whether it is a row.
    left: usize,
    is_row: bool,
    /// So many bytes of rows have come one after the other.
    run: usize,
    /// Until when the socket is left alone.
    pause: Option<Pin<Box<Sleep>>>,
    /// Nothing more is written.
    shut: bool,
    /// It has shut down only when the server has closed its end too.
    awaits_end: bool,
}

impl<S> Aside<S> {
    pub(super) fn new(stream: S, rows: Arc<Rows>) -> Aside<S> {
        Aside {
            stream,
            rows,
            room: vec![0; ROOM].into(),
            kept: Vec::new(),
            given: 0,
            head: Vec::with_capacity(HEAD),
            left: 0,
            is_row: false,
            run: 0,
            pause: None,
            shut: false,
            awaits_end: false,
        }
    }

    /// The same for who asks for something that has no answer, and would know when it is done.
    pub(super) fn awaiting_end(self) -> Aside<S> {
        Aside { awaits_end: true, ..self }
    }

    /// Puts what has arrived where it belongs.
    fn sort(&mut self, arrived: usize) -> io::Result<()> {
        let mut rows = self.rows.state();
        let mut bytes = &self.room[..arrived];
        while !bytes.is_empty() {
            if self.left > 0 {
                let (piece, rest) = bytes.split_at(self.left.min(bytes.len()));
                match self.is_row {
                    true => rows.push(piece),
                    false => self.kept.extend_from_slice(piece),
                }
                self.left -= piece.len();
                bytes = rest;
                continue;
            }
            let (piece, rest) = bytes.split_at((HEAD - self.head.len()).min(bytes.len()));
            self.head.extend_from_slice(piece);
            bytes = rest;
            if let [kind, length @ ..] = &self.head[..]
                && let Ok(length) = <[u8; 4]>::try_from(length)
            {
                let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(0);
                let garbled =
                    || io::Error::new(io::ErrorKind::InvalidData, "this is no PostgreSQL");
                self.left = length.checked_sub(4).ok_or_else(garbled)?;
                self.is_row = *kind == COPY_DATA;
                if self.is_row {
                    self.run += self.left;
                } else {
                    self.run = 0;
                    self.kept.extend_from_slice(&self.head);
                }
                self.head.clear();
            }
        }
        if !rows.bytes.is_empty()
            && let Some(reader) = rows.reader.take()
        {
            reader.wake();
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Aside<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let kept = &this.kept[this.given..];
            if !kept.is_empty() {
                let piece = &kept[..kept.len().min(to.remaining())];
                to.put_slice(piece);
                this.given += piece.len();
                return Poll::Ready(Ok(()));
            }
            this.kept.clear();
            this.given = 0;
            if !this.rows.has_room(context) {
                return Poll::Pending;
            }
            if let Some(pause) = &mut this.pause {
                ready!(pause.as_mut().poll(context));
                this.pause = None;
            }
            let mut room = ReadBuf::new(&mut this.room);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut room))?;
            let arrived = room.filled().len();
            if arrived == 0 {
                // The end.
                return Poll::Ready(Ok(()));
            }
            this.sort(arrived)?;
            if this.run > LONG && arrived < ROOM / 2 {
                this.pause = Some(Box::pin(sleep(PAUSE)));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Aside<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.shut {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
            this.shut = true;
        }
        while this.awaits_end {
            let mut room = ReadBuf::new(&mut this.room);
            let read = ready!(Pin::new(&mut this.stream).poll_read(context, &mut room));
            // However it ends.
            this.awaits_end = read.is_ok() && !room.filled().is_empty();
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::poll_fn;

    use futures_util::task::noop_waker_ref;
    use proptest::prelude::*;
    use tokio::runtime::{Builder, Runtime};

    use super::*;

    /// Gives pieces, then the end.
    struct Pieces(VecDeque<Vec<u8>>);

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            to: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            to.put_slice(&self.0.pop_front().unwrap_or_default());
            Poll::Ready(Ok(()))
        }
    }

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend((body.len() as i32 + 4).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn aside(bytes: &[u8], size: usize, rows: &Arc<Rows>) -> Aside<Pieces> {
        Aside::new(Pieces(bytes.chunks(size).map(<[u8]>::to_vec).collect()), Arc::clone(rows))
    }

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_time().build().unwrap()
    }

    /// Reads until the end, or until there is no room; what came for the driver.
    fn read(aside: &mut Aside<Pieces>) -> io::Result<Vec<u8>> {
        let mut context = Context::from_waker(noop_waker_ref());
        let mut read = Vec::new();
        loop {
            let mut few = [0; 7];
            let mut to = ReadBuf::new(&mut few);
            match Pin::new(&mut *aside).poll_read(&mut context, &mut to)? {
                Poll::Ready(()) if !to.filled().is_empty() => read.extend(to.filled()),
                Poll::Ready(()) | Poll::Pending => return Ok(read),
            }
        }
    }

    proptest! {
        #[test]
        fn rows_go_aside_and_all_else_goes_on(
            messages in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..40),
            size in 1usize..60,
        ) {
            let (mut sent, mut rows_sent, mut others) =
                (Vec::<u8>::new(), Vec::<u8>::new(), Vec::<u8>::new());
            for (is_row, body) in &messages {
                let bytes = message(if *is_row { COPY_DATA } else { b'Z' }, body);
                match is_row {
                    true => rows_sent.extend(body),
                    false => others.extend(&bytes),
                }
                sent.extend(bytes);
            }
            let rows = Arc::new(Rows::default());
            let wanted = rows.wanted();
            prop_assert_eq!(read(&mut aside(&sent, size, &rows)).unwrap(), others);
            let (mut taken, context) = (Vec::new(), Context::from_waker(noop_waker_ref()));
            prop_assert_eq!(wanted.take(&mut taken, &context), !rows_sent.is_empty());
            prop_assert_eq!(taken, rows_sent);
            prop_assert!(!wanted.take(&mut Vec::new(), &context));
        }
    }

    #[test]
    fn the_socket_waits_for_a_slow_reader_and_not_for_none() {
        let runtime = runtime();
        let _inside = runtime.enter();
        let row = message(COPY_DATA, &[7; 1_000]);
        let sent = row.repeat(3 * AHEAD / row.len());
        let rows = Arc::new(Rows::default());
        let wanted = rows.wanted();
        let mut aside = aside(&sent, ROOM, &rows);
        let context = Context::from_waker(noop_waker_ref());
        let (mut taken, mut times) = (Vec::new(), 0);
        loop {
            read(&mut aside).unwrap();
            let before = taken.len();
            if !wanted.take(&mut taken, &context) {
                break;
            }
            assert!(taken.len() - before < AHEAD + ROOM, "more than was to wait");
            times += 1;
        }
        assert_eq!(taken.len(), 1_000 * (sent.len() / row.len()));
        assert!(times > 2, "{times}");

        let mut again = super::tests::aside(&sent, ROOM, &rows);
        drop(wanted);
        assert_eq!(read(&mut again).unwrap(), b"");
        assert!(again.stream.0.is_empty(), "all was read");
        assert!(!rows.wanted().take(&mut taken, &context), "and thrown away");
    }

    #[test]
    fn a_trickle_is_left_alone_for_a_moment_and_comes_whole() {
        let row = message(COPY_DATA, &[7; 1_000]);
        let mut sent = row.repeat(2 * LONG / row.len());
        let count = sent.len() / row.len();
        sent.extend(message(b'c', b""));
        let rows = Arc::new(Rows::default());
        let wanted = rows.wanted();
        let mut aside = aside(&sent, 8_192, &rows);
        let (mut taken, mut moments) = (Vec::new(), 0);
        runtime()
            .block_on(poll_fn(|context| {
                loop {
                    wanted.take(&mut taken, context);
                    let mut few = [0; 7];
                    let mut to = ReadBuf::new(&mut few);
                    match Pin::new(&mut aside).poll_read(context, &mut to) {
                        Poll::Ready(read) if to.filled().is_empty() => return Poll::Ready(read),
                        Poll::Ready(_) => {}
                        Poll::Pending if aside.pause.is_some() => {
                            moments += 1;
                            return Poll::Pending;
                        }
                        Poll::Pending => {}
                    }
                }
            }))
            .unwrap();
        assert!(moments > 1, "{moments}");
        assert_eq!(taken.len(), 1_000 * count);
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        let rows = Arc::new(Rows::default());
        for length in [3i32, 0, -1] {
            let mut bytes = vec![b'Z'];
            bytes.extend(length.to_be_bytes());
            let wrong = read(&mut aside(&bytes, 2, &rows)).unwrap_err();
            assert_eq!(wrong.kind(), io::ErrorKind::InvalidData);
        }
    }
}
