//! One connection: opened when it is needed, again when it was lost, and clean after every query.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use futures_util::Stream;
use futures_util::future::try_join;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, CopyOutStream, Error, Statement};

use super::aside::{Rows, Wanted};
use super::options::Address;
use super::shape::Shape;
use super::sql::{self, Setting};
use super::transport::Transport;
use super::watch::Watch;
use crate::{Dataset, SourceError, SourceErrorKind};

/// How long the server may take to end a query that was cancelled. After that the connection is given up.
const ENDING: Duration = Duration::from_secs(5);
/// How long a connection that was idle may take to answer. After that it is made anew: what lies in between may have
/// forgotten it without a word.
const ANSWERING: Duration = Duration::from_secs(3);
/// How long to wait before trying again to reach a server that was there before; twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_millis(1_600);

/// Every query reads one state of the database and cannot write. The time is kept by [`Watch`], which says why the
/// server's own limit is lifted. Queries that scan a few million rows gain nothing from being compiled.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SET LOCAL statement_timeout = 0; SET LOCAL jit = off";

/// What reads the socket. Polled beside the work, so while nobody wants a batch nothing is read, and the server waits.
pub(super) type Driver = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// A connection of a thread.
pub(super) struct Connection {
    address: Arc<Address>,
    runtime: Option<Runtime>,
    open: Option<Session>,
    /// Whether the server could not be reached when it was last tried.
    down: bool,
}

struct Session {
    client: Client,
    /// `None` when the connection has ended.
    driver: Option<Driver>,
    copies: HashMap<String, Statement>,
    rows: Arc<Rows>,
}

/// A transaction on a connection.
pub(super) struct Transaction<'a> {
    pub(super) client: &'a Client,
    copies: &'a mut HashMap<String, Statement>,
    rows: &'a Arc<Rows>,
}

/// A COPY under way. Dropped before its end it spoils the transaction.
pub(super) struct Copying {
    rows: Wanted,
    /// Says when it has ended; where nothing is put aside, the rows come by it.
    messages: Pin<Box<CopyOutStream>>,
    ended: bool,
}

impl Connection {
    /// To be opened by its first query.
    pub(super) fn to(address: Arc<Address>) -> Connection {
        // Whoever asks first wants to know at once.
        Connection { address, runtime: None, open: None, down: true }
    }

    /// Works in a transaction of its own, and leaves nothing running at the server.
    pub(super) fn run<T>(
        &mut self,
        watch: &Watch,
        work: impl AsyncFnOnce(&mut Transaction<'_>) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let Connection { address, runtime, open, down } = self;
        let runtime = match runtime {
            Some(runtime) => runtime,
            none => {
                none.insert(Builder::new_current_thread().enable_all().build().map_err(|e| {
                    let message = "cannot wait for a socket";
                    SourceError::new(SourceErrorKind::Failed, message).because(e)
                })?)
            }
        };
        runtime.block_on(async {
            // Whose reader has left already must not cost the connection.
            watch.over(std::future::ready(Ok(()))).await?;
            // Taken: work that panics leaves nothing behind that could be used again.
            let mut session = watch.over(begin(address, open.take(), down)).await?;
            let Session { client, driver, copies, rows } = &mut session;
            let mut transaction = Transaction { client, copies, rows };
            let outcome = drive(driver, watch.over(work(&mut transaction))).await;
            if session.end(address, outcome.is_err()).await {
                *open = Some(session);
            }
            outcome
        })
    }
}

/// Begins a transaction on a connection that is open, or on a new one.
async fn begin(
    address: &Address,
    open: Option<Session>,
    down: &mut bool,
) -> Result<Session, SourceError> {
    // It may have been lost since it was last used.
    if let Some(mut session) = open
        && let Ok(Ok(())) = tokio::time::timeout(ANSWERING, session.begin()).await
    {
        return Ok(session);
    }
    let mut pause = FIRST_PAUSE;
    let mut session = loop {
        match Session::open(address).await {
            Ok(session) => break session,
            Err(wrong) if *down || pause > LAST_PAUSE || !may_pass(&wrong) => {
                *down = true;
                let message = format!("cannot reach PostgreSQL at {}", address.shown);
                return Err(because(SourceErrorKind::Unreachable, message, &wrong));
            }
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause *= 2;
    };
    *down = false;
    session.begin().await.map_err(|e| failed(&e))?;
    Ok(session)
}

impl Session {
    async fn open(address: &Address) -> Result<Session, Error> {
        let rows = Arc::<Rows>::default();
        let (client, driver): (Client, Driver) =
            match Transport::of(&address.config, &address.tls, Arc::clone(&rows)) {
                Some((config, transport)) => {
                    let (client, connection) = config.connect(transport).await?;
                    (client, Box::pin(connection))
                }
                None => {
                    let (client, connection) = address.config.connect(address.tls.clone()).await?;
                    (client, Box::pin(connection))
                }
            };
        Ok(Session { client, driver: Some(driver), copies: HashMap::new(), rows })
    }

    async fn begin(&mut self) -> Result<(), Error> {
        drive(&mut self.driver, self.client.batch_execute(BEGIN)).await
    }

    /// Ends the transaction, and before it the query that may still run; whether the connection can be used again.
    async fn end(&mut self, address: &Address, stopped: bool) -> bool {
        let Session { client, driver, .. } = self;
        if driver.is_none() {
            return false;
        }
        let ending = async {
            if stopped {
                let token = client.cancel_token();
                match Transport::to_cancel(&address.config, &address.tls) {
                    // If this fails, what follows takes too long.
                    Some(transport) => drop(token.cancel_query(transport).await),
                    None => {
                        // It may come late, and must find nobody.
                        let _ = token.cancel_query(address.tls.clone()).await;
                        return false;
                    }
                }
            }
            client.batch_execute("ROLLBACK").await.is_ok()
        };
        tokio::time::timeout(ENDING, drive(driver, ending)).await.unwrap_or(false)
    }
}

impl Transaction<'_> {
    /// Sets values, looks whether the columns are still what they were, and begins to copy: two trips to the server.
    pub(super) async fn copy(
        &mut self,
        text: String,
        settings: &[(Setting, String)],
        (dataset, shape): (&Dataset, &Shape),
    ) -> Result<Copying, SourceError> {
        // Not beside the copy, whose rows nobody takes yet: types that are new must be asked for behind them.
        try_join(self.set(settings), self.unchanged(dataset, shape)).await?;
        let statement = match self.copies.get(&text) {
            Some(statement) => statement.clone(),
            None => {
                let statement = self.client.prepare(&text).await.map_err(|e| failed(&e))?;
                self.copies.insert(text, statement.clone());
                statement
            }
        };
        let rows = self.rows.wanted();
        let copied = self.client.copy_out(&statement).await;
        let messages = Box::pin(copied.map_err(|e| failed(&e))?);
        Ok(Copying { rows, messages, ended: false })
    }

    /// An error if a column has another type than at the start: a COPY in binary form does not say, and bytes of one
    /// type can be read as another. From here on the lock of the transaction keeps them as they are.
    async fn unchanged(&self, dataset: &Dataset, shape: &Shape) -> Result<(), SourceError> {
        let statement = self.client.prepare(&sql::types(dataset, shape)).await;
        let statement = statement.map_err(|e| failed(&e))?;
        for ((name, form), now) in shape.with_id(dataset).iter().zip(statement.columns()) {
            if now.type_().oid() != form.oid {
                let message = format!(
                    "column {name} is of type {} now, which it was not at the start; start again after changing a \
                     table",
                    now.type_()
                );
                return Err(SourceError::new(SourceErrorKind::Schema, message));
            }
        }
        Ok(())
    }

    /// Sets values for the rest of the transaction.
    pub(super) async fn set(&self, settings: &[(Setting, String)]) -> Result<(), SourceError> {
        if settings.is_empty() {
            return Ok(());
        }
        let text = sql::set(settings.iter().map(|(setting, _)| *setting));
        let values: Vec<(&(dyn ToSql + Sync), Type)> =
            settings.iter().map(|(_, value)| (value as &(dyn ToSql + Sync), Type::TEXT)).collect();
        self.client.query_typed(&text, &values).await.map(|_| ()).map_err(|e| failed(&e))
    }
}

impl Copying {
    /// Appends what has arrived to `bytes`, and waits if that is nothing. False at the end.
    pub(super) async fn more(&mut self, bytes: &mut Vec<u8>) -> Result<bool, SourceError> {
        poll_fn(|context| {
            loop {
                if self.rows.take(bytes, context) {
                    return Poll::Ready(Ok(true));
                }
                if self.ended {
                    return Poll::Ready(Ok(false));
                }
                match ready!(self.messages.as_mut().poll_next(context)) {
                    Some(Ok(row)) => {
                        bytes.extend_from_slice(&row);
                        return Poll::Ready(Ok(true));
                    }
                    Some(Err(wrong)) => return Poll::Ready(Err(failed(&wrong))),
                    // What arrived before the end is still there.
                    None => self.ended = true,
                }
            }
        })
        .await
    }
}

/// Lets the connection work while something waits for it.
pub(super) async fn drive<T>(driver: &mut Option<Driver>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|context| {
        loop {
            if let Poll::Ready(outcome) = work.as_mut().poll(context) {
                return Poll::Ready(outcome);
            }
            match driver.as_mut().map(|running| running.as_mut().poll(context)) {
                // It has ended; dropped, it tells so to the work.
                Some(Poll::Ready(_)) => *driver = None,
                Some(Poll::Pending) | None => return Poll::Pending,
            }
        }
    })
    .await
}

/// Whether a server that cannot be reached may be there in a moment.
fn may_pass(wrong: &Error) -> bool {
    let passing = [SqlState::CANNOT_CONNECT_NOW, SqlState::TOO_MANY_CONNECTIONS];
    wrong.code().is_none_or(|code| passing.contains(code))
}

/// What became of a query at the server.
pub(crate) fn failed(wrong: &Error) -> SourceError {
    let ends = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    ];
    let is_io = std::error::Error::source(wrong).is_some_and(|cause| cause.is::<std::io::Error>());
    if is_io || wrong.is_closed() || wrong.code().is_some_and(|code| ends.contains(code)) {
        return because(SourceErrorKind::Lost, "the connection to the database was lost", wrong);
    }
    because(SourceErrorKind::Failed, "the database failed", wrong)
}

/// An error with what the server said, or with what lies at the bottom of the failure.
pub(super) fn because(
    kind: SourceErrorKind,
    message: impl Into<Arc<str>>,
    wrong: &Error,
) -> SourceError {
    let error = SourceError::new(kind, message);
    if let Some(said) = wrong.as_db_error() {
        return error.because(said.clone());
    }
    let mut cause: &dyn std::error::Error = wrong;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    error.because(std::io::Error::other(cause.to_string()))
}
