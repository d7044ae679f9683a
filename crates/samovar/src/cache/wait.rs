//! How long a caller waits for a load.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, Shared, pending, select};
use samovar_core::{Clock, Error, ErrorKind, Key};

use super::options::Terms;
use crate::flight::Ticket;

/// How far a caller came with waiting.
pub(super) enum Waited<T> {
    Landed(Result<T, Error>),
    Soft,
    Hard,
}

type Timer = Shared<BoxFuture<'static, ()>>;

/// How long a caller waits: counted from when it was not answered at once.
#[derive(Clone)]
pub(super) struct Patience {
    soft: Option<Timer>,
    hard: Option<(Timer, Duration)>,
}

impl Patience {
    pub(super) fn new(clock: &Arc<dyn Clock>, terms: &Terms) -> Patience {
        let timer = |after| clock.sleep(after).shared();
        Patience {
            soft: terms.soft_timeout().map(timer),
            hard: terms.hard_timeout().map(|after| (timer(after), after)),
        }
    }

    /// Waits for a flight; until the soft timeout only if there is something to give then.
    pub(super) async fn wait<T: Clone>(&self, ticket: &Ticket<T>, has_spare: bool) -> Waited<T> {
        let soft = self.soft.clone().filter(|_| has_spare);
        if soft.is_none() && self.hard.is_none() {
            return Waited::Landed(ticket.land().await);
        }
        let ends = |timer: Option<Timer>| timer.unwrap_or_else(|| pending().boxed().shared());
        let hard = self.hard.as_ref().map(|(timer, _)| timer.clone());
        let tired = select(ends(soft), ends(hard));
        match select(pin!(ticket.land()), tired).await {
            Either::Left((landed, _)) => Waited::Landed(landed),
            Either::Right((Either::Left(_), _)) => Waited::Soft,
            Either::Right((Either::Right(_), _)) => Waited::Hard,
        }
    }

    /// The error for who waits no longer.
    pub(super) fn over(&self, key: &Key) -> Error {
        let after = self.hard.as_ref().map(|(_, after)| *after).unwrap_or_default();
        let text =
            format!("{key} was not loaded within {after:?}, the hard timeout; the load goes on");
        Error::new(ErrorKind::Timeout, text)
    }
}
