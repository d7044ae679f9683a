//! Writes by key, in one transaction, each refused or done by itself.

use std::sync::Arc;
use std::time::Duration;

use samovar_core::{Fate, WriteError};
use tokio_postgres::error::{Severity, SqlState};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error};

use super::super::blocking::Blocking;
use super::super::failed;
use super::super::options::Address;
use super::bind::typed;
use super::refuses;
use crate::rows::{Put, Statement, WritePlan, write_error, write_too_late};
use crate::{SourceError, SourceErrorKind};

/// How long a connection that was idle may take to answer. After that it is made anew.
const ANSWERING: Duration = Duration::from_secs(3);

/// What was written last of each key, by each node.
pub(super) const MEMORY: &str = "CREATE TABLE IF NOT EXISTS samovar_writes (node text NOT NULL, cache text NOT NULL, \
    key text NOT NULL, number bigint NOT NULL, at timestamptz NOT NULL DEFAULT now(), \
    PRIMARY KEY (node, cache, key))";
/// Changes nothing if it is remembered already, or a later one is.
const REMEMBER: &str =
    "INSERT INTO samovar_writes (node, cache, key, number) VALUES ($1, $2, $3, $4)
    ON CONFLICT (node, cache, key) DO UPDATE SET number = excluded.number, at = now()
    WHERE samovar_writes.number < excluded.number";

type Outcomes = Vec<Result<(), WriteError>>;

/// Why a transaction ended before its time.
enum Ended {
    /// What became of all of it, for no fault of one write.
    Failed(Fate, SourceError),
    /// The rules that wait for the commit refused it, for the fault of some of them.
    Refused(SourceError),
}

/// A connection that writes, opened when it is needed.
pub(super) struct Writing {
    address: Arc<Address>,
    deadline: Duration,
    open: Option<Blocking>,
}

impl Writing {
    pub(super) fn to(address: Arc<Address>, deadline: Duration) -> Writing {
        Writing { address, deadline, open: None }
    }

    /// Makes the table that remembers, unless it is there; and looks whether it is one.
    pub(super) fn make_memory(&mut self) -> Result<(), SourceError> {
        let made = self.script(MEMORY);
        // Who makes it at the same moment is told that it is there, in one of several ways.
        let made = made.or_else(|_| self.script(MEMORY));
        made?;
        let mut session = self.session()?;
        let prepared = session.wait(async |client| client.prepare(REMEMBER).await.map(|_| ()));
        prepared.map_err(|e| failed(&e))?;
        self.open = Some(session);
        Ok(())
    }

    /// Runs a script in one transaction.
    pub(super) fn script(&mut self, text: &str) -> Result<(), SourceError> {
        let mut session = self.session()?;
        let text = format!("BEGIN; {text}\n; COMMIT");
        // One that fails is dropped with its transaction.
        session.wait(async |client| client.batch_execute(&text).await).map_err(|e| failed(&e))?;
        self.open = Some(session);
        Ok(())
    }

    /// The connection, which may have been lost since it was last used.
    fn session(&mut self) -> Result<Blocking, SourceError> {
        if let Some(mut session) = self.open.take() {
            let check = async |client: &Client| {
                tokio::time::timeout(ANSWERING, client.check_connection()).await
            };
            if matches!(session.wait(check), Ok(Ok(()))) {
                return Ok(session);
            }
        }
        Blocking::open(&self.address)
    }

    /// Writes what was asked for so long ago as `spent` says.
    pub(super) fn write(
        &mut self,
        plan: &WritePlan,
        puts: &[Put],
        spent: &impl Fn() -> Duration,
    ) -> Outcomes {
        match self.attempt(plan, puts, spent) {
            Ok(outcomes) => outcomes,
            Err(Ended::Failed(fate, wrong)) => {
                let outcome = |put: &Put| match &put.bound {
                    Ok(_) => Err(write_error(fate, &plan.cache, wrong.clone())),
                    Err(refused) => Err(refused.clone()),
                };
                puts.iter().map(outcome).collect()
            }
            Err(Ended::Refused(wrong)) if puts.len() < 2 => {
                vec![Err(write_error(Fate::Refused, &plan.cache, wrong)); puts.len()]
            }
            // One of them took the others along; alone they show which.
            Err(Ended::Refused(_)) => {
                let alone = |put| {
                    let (fate, wrong) = match self.attempt(plan, std::slice::from_ref(put), spent) {
                        Ok(mut outcomes) => return outcomes.pop().unwrap_or(Ok(())),
                        Err(Ended::Failed(fate, wrong)) => (fate, wrong),
                        Err(Ended::Refused(wrong)) => (Fate::Refused, wrong),
                    };
                    Err(write_error(fate, &plan.cache, wrong))
                };
                puts.iter().map(alone).collect()
            }
        }
    }

    /// Writes in one transaction. The connection is kept if it is clean.
    ///
    /// Nothing is committed after the deadline: half of it after the beginning no COMMIT is sent any more, the server waits
    /// no longer than a quarter for one that was, and one that takes longer than a quarter is cancelled.
    fn attempt(
        &mut self,
        plan: &WritePlan,
        puts: &[Put],
        spent: &impl Fn() -> Duration,
    ) -> Result<Outcomes, Ended> {
        let not_written = |wrong| Ended::Failed(Fate::NotWritten, wrong);
        let (deadline, address) = (self.deadline, Arc::clone(&self.address));
        let mut session = self.session().map_err(not_written)?;
        let within = (deadline / 2).checked_sub(spent());
        let within = within.ok_or_else(|| not_written(write_too_late()))?;
        let outcome = session.wait(async |client| {
            let written =
                tokio::time::timeout(within, transact(client, plan, puts, deadline)).await;
            let outcomes = written.unwrap_or_else(|_| Err(not_written(write_too_late())))?;
            Ok((outcomes, commit(client, &address, deadline).await))
        });
        let (outcomes, committed) = match outcome {
            Ok((outcomes, committed)) => (Ok(outcomes), committed),
            Err(ended) => (Err(ended), Ok(())),
        };
        if outcomes.is_ok() && committed.is_ok() {
            self.open = Some(session);
        }
        committed.and(outcomes)
    }
}

/// Does all but the commit.
async fn transact(
    client: &Client,
    plan: &WritePlan,
    puts: &[Put],
    deadline: Duration,
) -> Result<Outcomes, Ended> {
    let not_written = |e: Error| Ended::Failed(Fate::NotWritten, failed(&e));
    let quarter = (deadline / 4).as_millis().max(1);
    let begin = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL statement_timeout = {quarter};
         SET LOCAL idle_in_transaction_session_timeout = {quarter}"
    );
    client.batch_execute(&begin).await.map_err(not_written)?;
    let mut outcomes = Vec::with_capacity(puts.len());
    for put in puts {
        if let Err(refused) = &put.bound {
            outcomes.push(Err(refused.clone()));
            continue;
        }
        client.batch_execute("SAVEPOINT samovar_write").await.map_err(not_written)?;
        let end = match row(client, plan, put).await {
            Ok(()) => {
                outcomes.push(Ok(()));
                "RELEASE SAVEPOINT samovar_write"
            }
            Err(Ended::Refused(wrong)) => {
                outcomes.push(Err(write_error(Fate::Refused, &plan.cache, wrong)));
                "ROLLBACK TO SAVEPOINT samovar_write; RELEASE SAVEPOINT samovar_write"
            }
            Err(failed) => return Err(failed),
        };
        client.batch_execute(end).await.map_err(not_written)?;
    }
    // Rules that wait for the commit are asked before it, within the time of a statement: a commit has none.
    let asked = client.batch_execute("SET CONSTRAINTS ALL IMMEDIATE").await;
    asked.map_err(|e| match e.code() {
        Some(code) if refuses(code) => Ended::Refused(failed(&e)),
        _ => not_written(e),
    })?;
    Ok(outcomes)
}

/// Sends the commit, and waits for its answer as long as the server may take.
async fn commit(client: &Client, address: &Address, deadline: Duration) -> Result<(), Ended> {
    let unknown = |wrong| Ended::Failed(Fate::Unknown, wrong);
    let committed = tokio::time::timeout(deadline / 4, client.batch_execute("COMMIT")).await;
    let Ok(committed) = committed else {
        // One that waits for a standby ends by this, and shows what it wrote; no limit of the server's would end it.
        let token = client.cancel_token();
        let cancelling = token.cancel_query(address.tls.clone());
        let _ = tokio::time::timeout(deadline / 4, cancelling).await;
        let message = "the database did not answer to the commit";
        return Err(unknown(SourceError::new(SourceErrorKind::Timeout, message)));
    };
    committed.map_err(|e| match e.as_db_error() {
        Some(said) if said.parsed_severity() == Some(Severity::Error) => match said.code() {
            &SqlState::TRANSACTION_RESOLUTION_UNKNOWN
            | &SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN => unknown(failed(&e)),
            code if refuses(code) => Ended::Refused(failed(&e)),
            _ => Ended::Failed(Fate::NotWritten, failed(&e)),
        },
        // The process ended, before or after.
        _ => unknown(failed(&e)),
    })
}

/// Writes one row, unless it has been written.
async fn row(client: &Client, plan: &WritePlan, put: &Put) -> Result<(), Ended> {
    let refused = |what: String| Ended::Refused(SourceError::new(SourceErrorKind::Value, what));
    let Ok(bound) = &put.bound else { return Err(refused("it was refused before".into())) };
    let statement = match (&plan.delete, put.is_delete) {
        (Some(delete), true) => delete,
        _ => &plan.upsert,
    };
    let ended = |e| judge(&e, statement);
    if plan.remember {
        let number = i64::try_from(put.id.number)
            .map_err(|_| refused(format!("the number of write {} does not fit", put.id)))?;
        let node = format!("{:016x}", put.id.node);
        let values: [(&(dyn ToSql + Sync), Type); 4] = [
            (&node, Type::TEXT),
            (&plan.cache, Type::TEXT),
            (&&*put.key, Type::TEXT),
            (&number, Type::INT8),
        ];
        if client.execute_typed(REMEMBER, &values).await.map_err(ended)? == 0 {
            return Ok(());
        }
    }
    let changed = client.execute_typed(&statement.text, &typed(bound)).await.map_err(ended)?;
    if !put.is_delete && changed == 0 {
        return Err(refused(format!("{} changed no row", statement.field)));
    }
    Ok(())
}

/// What became of a row.
fn judge(e: &Error, statement: &Statement) -> Ended {
    let wrong = failed(e).at(&statement.field);
    match e.code() {
        Some(code) if refuses(code) => Ended::Refused(wrong),
        _ => Ended::Failed(Fate::NotWritten, wrong),
    }
}
