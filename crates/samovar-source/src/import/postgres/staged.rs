//! Rows on their way into a table that may refuse some of them: they wait in a temporary table, from which they are
//! moved into the table together. Where it refuses that, they are moved in parts, down to the rows that it refuses:
//! each part under a savepoint, because a statement that fails would end the transaction.

use futures_util::{TryStreamExt, pin_mut};
use samovar_core::Error;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error as Failure};

use super::super::target::Outcomes;
use super::sql::{self, Staged};
use super::{Place, is_a_rule, pick};
use crate::postgres::Blocking;

/// A part that is refused is cut into so many.
const CUT: i64 = 8;

/// Moves what was staged into the table, and tells what became of it.
pub(super) struct Move<'a> {
    pub(super) place: &'a Place,
    pub(super) session: &'a mut Blocking,
    pub(super) staged: &'a Staged<'a>,
}

/// How many rows the table took, or why it takes not all of them.
type Taken = Result<u64, String>;

impl Move<'_> {
    /// Moves `count` staged rows.
    pub(super) fn run(mut self, count: u64, outcomes: &mut Outcomes) -> Result<(), Error> {
        // Without it the planner takes the rows for few.
        self.place.run(self.session, "count the rows", &format!("ANALYZE {}", sql::STAGING))?;
        let refused_before = outcomes.rejects.count();
        let written = self.move_rows(outcomes)?;
        let left = count - written - (outcomes.rejects.count() - refused_before);
        outcomes.written += written;
        if left > 0 {
            let conflicts = self.conflicts(outcomes)?;
            outcomes.already_there += left.saturating_sub(conflicts);
        }
        Ok(())
    }

    /// Moves the rows whose key is new, as far as the table takes them, in the order of the file. A row counts as the
    /// first of its key only if the table took it.
    fn move_rows(&mut self, outcomes: &mut Outcomes) -> Result<u64, Error> {
        let lines = self.session.wait(async |client| client.query_typed(sql::LINES, &[]).await);
        let lines = lines.map_err(|wrong| self.place.failed("count the rows", &wrong))?;
        let all: Vec<(i64, i64)> = lines.iter().map(|row| (row.get(0), row.get(1))).collect();
        let (mut open, mut written, mut indexed) = (all, 0, false);
        while let Some((first, last)) = open.pop() {
            let statement = self.staged.take();
            let taken =
                self.session.wait(async |client| attempt(client, &statement, (first, last)).await);
            let reason =
                match taken.map_err(|wrong| self.place.failed("insert the rows", &wrong))? {
                    Ok(taken) => {
                        written += taken;
                        continue;
                    }
                    Err(reason) => reason,
                };
            if first == last {
                self.refuse(first, &reason, outcomes)?;
                continue;
            }
            if !indexed {
                self.place.run(self.session, "find the rows", &sql::index_staged())?;
                indexed = true;
            }
            let step = (last - first) / CUT + 1;
            let parts = (0..CUT).map(|part| first + part * step).filter(|from| *from <= last);
            open.extend(parts.map(|from| (from, last.min(from + step - 1))).rev());
        }
        Ok(written)
    }

    /// Rejects the row of a line.
    fn refuse(&mut self, line: i64, reason: &str, outcomes: &mut Outcomes) -> Result<(), Error> {
        let row = self
            .session
            .wait(async |client| client.query_typed(sql::DROP_LINE, &[(&line, Type::INT8)]).await)
            .map_err(|wrong| self.place.failed("find a row", &wrong))?;
        let text = row.first().map_or("", |row| row.get(0));
        outcomes.rejects.push_text(reason, line.unsigned_abs(), text)
    }

    /// Rejects the rows that are left although the row with their key has other values, and counts them.
    fn conflicts(&mut self, outcomes: &mut Outcomes) -> Result<u64, Error> {
        let Staged { columns, key, .. } = *self.staged;
        let key = pick(columns, key).join(", ");
        let query = self.staged.conflicts();
        let judged = self.session.wait(async |client| {
            let rows = client.query_raw(&query, Vec::<String>::new()).await?;
            pin_mut!(rows);
            let mut count = 0;
            while let Some(row) = rows.try_next().await? {
                let (line, text, differs): (i64, &str, Vec<bool>) =
                    (row.get(0), row.get(1), row.get(2));
                let differing: Vec<&str> = (columns.iter().zip(differs))
                    .filter_map(|(name, differs)| differs.then_some(name.as_str()))
                    .collect();
                let reason = format!(
                    "a row with the same key ({key}) is there already, with other values in: {}",
                    differing.join(", ")
                );
                count += 1;
                let kept = outcomes.rejects.push_text(&reason, line.unsigned_abs(), text);
                if let Err(too_many) = kept {
                    return Ok(Err(too_many));
                }
            }
            Ok(Ok(count))
        });
        judged.map_err(|wrong| self.place.failed("look for the keys", &wrong))?
    }
}

/// Moves the rows of these lines, all that may be moved or none.
async fn attempt(
    client: &Client,
    statement: &str,
    (first, last): (i64, i64),
) -> Result<Taken, Failure> {
    client.batch_execute("SAVEPOINT samovar_import").await?;
    let lines: &[(&(dyn ToSql + Sync), Type)] = &[(&first, Type::INT8), (&last, Type::INT8)];
    let reason = match client.query_typed(statement, lines).await {
        Ok(rows) => {
            let counted = rows.first().map_or((0, 0), |row| (row.get(0), row.get(1)));
            let (moved, written): (i64, i64) = counted;
            if written >= moved {
                client.batch_execute("RELEASE SAVEPOINT samovar_import").await?;
                return Ok(Ok(moved.unsigned_abs()));
            }
            "the rules of the table let the row go unwritten".to_owned()
        }
        Err(wrong) => match wrong.as_db_error() {
            Some(said) if is_a_rule(said.code()) => {
                let detail = said.detail().map_or(String::new(), |detail| format!(" ({detail})"));
                format!("the table refuses the row: {}{detail}", said.message())
            }
            _ => return Err(wrong),
        },
    };
    let back = "ROLLBACK TO SAVEPOINT samovar_import; RELEASE SAVEPOINT samovar_import";
    client.batch_execute(back).await?;
    Ok(Err(reason))
}
