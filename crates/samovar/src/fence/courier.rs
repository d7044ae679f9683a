//! Brings marks to the log: tells the fence what the log answered, and sends again what it lacks.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use samovar_core::{Clock, Error, ErrorKind, Mark, MarkId, MarkLog, Version};

use super::Fence;
use crate::background::Tasks;
use crate::jitter::{Jitter, back_off};

/// About how many marks are handed to the log at once: one that is shared is held up for everybody by an append.
const AT_ONCE: usize = 1_000;
/// How long to wait after the log has failed; twice as long each time …
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// … up to here: so long after the log is back the other nodes may not have heard of it.
const LAST_PAUSE: Duration = Duration::from_secs(1);
/// About how long to wait where another node was faster: until then what it sent has mostly come here.
const GONE_ON: Duration = Duration::from_millis(20);
/// After so many times in a row they are sent wherever the log stands.
const REFUSED_MAX: u32 = 8;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Courier {
    fence: Fence,
    log: Arc<dyn MarkLog>,
    tasks: Tasks,
}

impl Courier {
    /// One that sends what is not sent from now on, until the tasks are closed.
    pub(crate) fn start(
        fence: Fence,
        log: Arc<dyn MarkLog>,
        tasks: Tasks,
        clock: Arc<dyn Clock>,
        jitter: Arc<Jitter>,
    ) -> Courier {
        let courier = Courier { fence, log, tasks };
        let own = courier.clone();
        courier.tasks.keep(move || {
            let (own, clock, jitter) = (own.clone(), Arc::clone(&clock), Arc::clone(&jitter));
            async move { own.send_again(&*clock, &jitter).await }
        });
        courier
    }

    /// Marks that the fence has accepted, handed to the log. Nothing happens before the log is polled but the handing
    /// over itself.
    pub(crate) fn hand_over(&self, marks: Vec<Mark>) -> Handed {
        let mut under_way = VecDeque::new();
        let mut marks = marks.into_iter().peekable();
        while marks.peek().is_some() {
            let marks: Vec<Mark> = marks.by_ref().take(AT_ONCE).collect();
            let out = Out::of(self, marks.iter().map(|mark| mark.id).collect());
            under_way.push_back((out, self.log.append(marks, None)));
        }
        Handed { tasks: self.tasks.clone(), under_way }
    }

    async fn send_again(&self, clock: &dyn Clock, jitter: &Jitter) {
        let (mut failures, mut refused) = (0_u32, 0);
        loop {
            let (marks, head) = self.fence.unsent(AT_ONCE).await;
            let out = Out::of(self, marks.iter().map(|mark| mark.id).collect());
            // Where others append without a pause nobody has ever read up to the head. A mark that comes twice does no
            // harm.
            let head = Some(head).filter(|_| refused < REFUSED_MAX);
            let answer = self.log.append(marks, head).await;
            refused = if matches!(answer, Ok(None)) { refused + 1 } else { 0 };
            let wait = match &answer {
                Ok(Some(_)) => Duration::ZERO,
                Ok(None) => GONE_ON,
                Err(_) => back_off(FIRST_PAUSE, LAST_PAUSE, failures),
            };
            failures = if answer.is_err() { failures.saturating_add(1) } else { 0 };
            let closed = matches!(&answer, Err(error) if error.kind() == ErrorKind::Closed);
            out.answered(answer.ok().flatten());
            if closed {
                return;
            }
            if !wait.is_zero() {
                clock.sleep(jitter.spread(wait, 0.5)).await;
            }
        }
    }
}

/// Marks that were handed to the log. However whoever waits for the answer ends, the fence is told: without one it has
/// them sent again.
struct Out {
    courier: Courier,
    ids: Vec<MarkId>,
}

impl Out {
    fn of(courier: &Courier, ids: Vec<MarkId>) -> Out {
        Out { courier: courier.clone(), ids }
    }

    fn answered(mut self, version: Option<Version>) {
        self.take(version);
        self.ids.clear();
    }

    fn take(&self, version: Option<Version>) {
        if !self.courier.fence.answered(&self.ids, version) {
            self.courier.log.look();
        }
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        if !self.ids.is_empty() {
            self.take(None);
        }
    }
}

impl fmt::Debug for Courier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Courier").field("fence", &self.fence).finish_non_exhaustive()
    }
}

type Durable = BoxFuture<'static, Result<Option<Version>, Error>>;

/// Marks on their way to the log. Dropped before the answers are there, they go on without whoever waited.
pub(crate) struct Handed {
    tasks: Tasks,
    /// In order.
    under_way: VecDeque<(Out, Durable)>,
}

impl Handed {
    /// The version of the last of them, once they are durable.
    ///
    /// # Errors
    /// If the log fails: whether they are durable is then not known. They are sent again.
    pub(crate) async fn answered(&mut self) -> Result<Version, Error> {
        let mut last = Ok(None);
        while let Some((_, durable)) = self.under_way.front_mut() {
            let answer = durable.await;
            if let Some((out, _)) = self.under_way.pop_front() {
                out.answered(answer.as_ref().ok().copied().flatten());
            }
            last = last.and(answer);
        }
        let refused = || {
            Error::new(ErrorKind::Storage, "the log refused marks without a reason; this is a bug")
        };
        last?.ok_or_else(refused)
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        for (out, durable) in self.under_way.drain(..) {
            self.tasks.spawn(async move { out.answered(durable.await.ok().flatten()) });
        }
    }
}
