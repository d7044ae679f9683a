//! Writes by key, in one transaction, each refused or done by itself.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, TransactionBehavior, params_from_iter};
use samovar_core::{Clock, Fate, WriteError};

use super::{Watch, Writing, failed};
use crate::rows::{Put, Statement, WritePlan, write_error, write_too_late};
use crate::{SourceError, SourceErrorKind};

/// What was written last of each key, by each node.
pub(super) const MEMORY: &str = "CREATE TABLE IF NOT EXISTS samovar_writes (node TEXT NOT NULL, cache TEXT NOT NULL, \
    key TEXT NOT NULL, number INTEGER NOT NULL, at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, \
    PRIMARY KEY (node, cache, key)) WITHOUT ROWID";
/// Changes nothing if it is remembered already, or a later one is.
const REMEMBER: &str =
    "INSERT INTO samovar_writes (node, cache, key, number) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (node, cache, key) DO UPDATE SET number = excluded.number, at = CURRENT_TIMESTAMP
    WHERE samovar_writes.number < excluded.number";

type Outcomes = Vec<Result<(), WriteError>>;

/// Why a transaction ended before its time.
enum Ended {
    /// Nothing was written, and for no fault of one write.
    Failed(Fate, SourceError),
    /// A write was refused in a way that took the others along: at the commit, or by `OR ROLLBACK`.
    Refused(SourceError),
}

pub(super) fn make_memory(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(MEMORY)?;
    connection.prepare(REMEMBER).map(|_| ())
}

pub(super) fn write(
    writing: &mut Writing,
    plan: &WritePlan,
    puts: &[Put],
    clock: &Arc<dyn Clock>,
    spent: &impl Fn() -> Duration,
) -> Outcomes {
    // The other half is for the commit.
    let within = writing.deadline / 2;
    let in_time = || match spent() > within {
        true => Err(write_too_late()),
        false => Ok(()),
    };
    let connection = match writing.connection() {
        Ok(connection) => connection,
        Err(wrong) => return all(plan, puts, Fate::NotWritten, &wrong),
    };
    let mut attempt = |puts: &[Put]| {
        let (watch, _cancel) = Watch::new(Arc::clone(clock), within);
        let outcome =
            watch.over(connection, |connection| Ok(transact(connection, plan, puts, &in_time)));
        outcome.unwrap_or_else(|wrong| Err(Ended::Failed(Fate::NotWritten, wrong)))
    };
    match attempt(puts) {
        Ok(outcomes) => outcomes,
        Err(Ended::Failed(fate, wrong)) => all(plan, puts, fate, &wrong),
        Err(Ended::Refused(wrong)) if puts.len() < 2 => all(plan, puts, Fate::Refused, &wrong),
        // One of them took the others along; alone they show which.
        Err(Ended::Refused(_)) => puts
            .iter()
            .map(|put| {
                let (fate, wrong) = match attempt(std::slice::from_ref(put)) {
                    Ok(mut outcomes) => return outcomes.pop().unwrap_or(Ok(())),
                    Err(Ended::Failed(fate, wrong)) => (fate, wrong),
                    Err(Ended::Refused(wrong)) => (Fate::Refused, wrong),
                };
                Err(write_error(fate, &plan.cache, wrong))
            })
            .collect(),
    }
}

/// The same for all but those that were refused before.
fn all(plan: &WritePlan, puts: &[Put], fate: Fate, wrong: &SourceError) -> Outcomes {
    let outcome = |put: &Put| match &put.bound {
        Ok(_) => Err(write_error(fate, &plan.cache, wrong.clone())),
        Err(refused) => Err(refused.clone()),
    };
    puts.iter().map(outcome).collect()
}

fn transact(
    connection: &Connection,
    plan: &WritePlan,
    puts: &[Put],
    in_time: &impl Fn() -> Result<(), SourceError>,
) -> Result<Outcomes, Ended> {
    let not_written = |e| Ended::Failed(Fate::NotWritten, failed(e));
    let behavior = TransactionBehavior::Immediate;
    let transaction =
        rusqlite::Transaction::new_unchecked(connection, behavior).map_err(not_written)?;
    let mut outcomes = Vec::with_capacity(puts.len());
    for put in puts {
        transaction.execute_batch("SAVEPOINT samovar_write").map_err(not_written)?;
        let end = match row(connection, plan, put) {
            Ok(()) => {
                outcomes.push(Ok(()));
                "RELEASE samovar_write"
            }
            Err(Ended::Refused(wrong)) if connection.is_autocommit() => {
                return Err(Ended::Refused(wrong));
            }
            Err(Ended::Refused(wrong)) => {
                outcomes.push(Err(match &put.bound {
                    Err(refused) => refused.clone(),
                    Ok(_) => write_error(Fate::Refused, &plan.cache, wrong),
                }));
                "ROLLBACK TO samovar_write; RELEASE samovar_write"
            }
            Err(failed) => return Err(failed),
        };
        transaction.execute_batch(end).map_err(not_written)?;
    }
    in_time().map_err(|late| Ended::Failed(Fate::NotWritten, late))?;
    let committed = transaction.commit();
    committed.map(|()| outcomes).map_err(|e| match e.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => Ended::Refused(failed(e)),
        // It stands as it stood before the commit, and is rolled back.
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => not_written(e),
        _ => Ended::Failed(Fate::Unknown, failed(e)),
    })
}

/// Writes one row, unless it has been written.
fn row(connection: &Connection, plan: &WritePlan, put: &Put) -> Result<(), Ended> {
    let refused = |what: String| Ended::Refused(SourceError::new(SourceErrorKind::Value, what));
    let Ok(bound) = &put.bound else { return Err(refused("it was refused before".into())) };
    let statement = match (&plan.delete, put.is_delete) {
        (Some(delete), true) => delete,
        _ => &plan.upsert,
    };
    let ended = |e| judge(e, statement);
    if plan.remember {
        let number = i64::try_from(put.id.number)
            .map_err(|_| refused(format!("the number of write {} does not fit", put.id)))?;
        let mut remember = connection.prepare_cached(REMEMBER).map_err(ended)?;
        let node = format!("{:016x}", put.id.node);
        let is_new = remember.execute((node, &plan.cache, &*put.key, number)).map_err(ended)?;
        if is_new == 0 {
            return Ok(());
        }
    }
    let mut prepared = connection.prepare_cached(&statement.text).map_err(ended)?;
    let mut rows = prepared.query(params_from_iter(bound)).map_err(ended)?;
    // What it returns is not looked at.
    while rows.next().map_err(ended)?.is_some() {}
    drop(rows);
    if !put.is_delete && connection.changes() == 0 {
        return Err(refused(format!("{} changed no row", statement.field)));
    }
    Ok(())
}

/// What became of a row.
fn judge(e: rusqlite::Error, statement: &Statement) -> Ended {
    if e.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) {
        return Ended::Failed(Fate::NotWritten, write_too_late().at(&statement.field));
    }
    let refuses = match &e {
        rusqlite::Error::ToSqlConversionFailure(_) => true,
        e => matches!(
            e.sqlite_error_code(),
            Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig)
        ),
    };
    let wrong = failed(e).at(&statement.field);
    if refuses { Ended::Refused(wrong) } else { Ended::Failed(Fate::NotWritten, wrong) }
}
