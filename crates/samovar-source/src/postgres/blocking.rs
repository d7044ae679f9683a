//! A connection for work that is not async: one step after the other, each waited for.

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::Client;

use super::connection::{Driver, because, drive};
use super::options::Address;
use crate::{SourceError, SourceErrorKind};

/// A connection that works while it is waited for, on the thread that waits. Dropped, it closes, and the server
/// rolls back what was not committed.
pub(crate) struct Blocking {
    client: Client,
    /// `None` when the connection has ended.
    driver: Option<Driver>,
    runtime: Runtime,
}

impl Blocking {
    /// Connects.
    pub(crate) fn open(address: &Address) -> Result<Blocking, SourceError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|e| {
            SourceError::new(SourceErrorKind::Failed, "cannot wait for a socket").because(e)
        })?;
        let connected = runtime.block_on(address.config.connect(address.tls.clone()));
        let (client, connection) = connected.map_err(|wrong| {
            let message = format!("cannot reach PostgreSQL at {}", address.shown);
            because(SourceErrorKind::Unreachable, message, &wrong)
        })?;
        Ok(Blocking { client, driver: Some(Box::pin(connection)), runtime })
    }

    /// Waits for some work, and lets the connection work meanwhile.
    pub(crate) fn wait<T>(&mut self, work: impl AsyncFnOnce(&Client) -> T) -> T {
        let Blocking { client, driver, runtime } = self;
        runtime.block_on(drive(driver, work(client)))
    }
}
