//! What SQLite says of its schema.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, Row, params};
use samovar_core::{Clock, SystemClock};

use super::seen::{Looking, Sampled};
use super::{Catalog, Column, Dialect, Kind, Reader, Reference, Seen, Table, TableKind, TableName};
use crate::sql::quoted;
use crate::sqlite::{Watch, failed, open_read_only};
use crate::{SourceError, SourceErrorKind};

/// More tables than these are not looked at.
const TABLES: usize = 500;
/// Rows of a table that are looked at, in so many pieces spread over it.
const ROWS: i64 = 2_000;
const PIECES: i64 = 50;
/// How long it may take to look at the schema, to look at a table's rows, to count them, and to answer a question.
const SCHEMA: Duration = Duration::from_secs(30);
const LOOKING: Duration = Duration::from_secs(5);
const COUNTING: Duration = Duration::from_secs(2);
const ASKING: Duration = Duration::from_secs(15);

/// A database that is opened for reading alone.
pub(super) struct Sqlite {
    connection: Connection,
    clock: Arc<dyn Clock>,
}

impl Sqlite {
    pub(super) fn open(path: &Path) -> Result<Sqlite, SourceError> {
        let connection = open_read_only(path)?;
        Ok(Sqlite { connection, clock: Arc::new(SystemClock::new()) })
    }

    /// Asks within a limit of time.
    fn within<T>(
        &mut self,
        limit: Duration,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, SourceError> {
        let (watch, _cancel) = Watch::new(Arc::clone(&self.clock), limit);
        watch.over(&mut self.connection, |connection| work(connection).map_err(failed))
    }

    /// The same; `None` where that took too long, or where the table or query cannot be read at all.
    fn maybe<T>(
        &mut self,
        limit: Duration,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, SourceError> {
        match self.within(limit, work) {
            Ok(found) => Ok(Some(found)),
            Err(wrong) if wrong.kind() == SourceErrorKind::Timeout || is_refused(&wrong) => {
                Ok(None)
            }
            Err(wrong) => Err(wrong),
        }
    }
}

/// Whether SQLite refused the statement itself.
fn is_refused(wrong: &SourceError) -> bool {
    std::error::Error::source(wrong)
        .and_then(|cause| cause.downcast_ref::<rusqlite::Error>())
        .is_some_and(|e| e.sqlite_error_code() == Some(ErrorCode::Unknown))
}

impl Reader for Sqlite {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn catalog(&mut self) -> Result<Catalog, SourceError> {
        let listed = self.within(SCHEMA, tables)?;
        let mut tables = Vec::new();
        for (name, kind, has_rowid) in listed {
            if let Some(table) = self.maybe(SCHEMA, |c| described(c, &name, kind))? {
                tables.push((table, has_rowid));
            }
        }
        let names: Vec<String> =
            tables.iter().map(|(table, _)| table.name.name.to_lowercase()).collect();
        for (table, has_rowid) in &mut tables {
            let name = table.name.name.clone();
            table.references = self.within(SCHEMA, |c| references(c, &name, &names))?;
            let rowid = if *has_rowid { rowid(table) } else { None };
            table.rows = self.maybe(COUNTING, |c| count(c, &name))?;
            table.counted = table.rows.is_some();
            if table.rows.is_none() {
                table.rows = self.maybe(LOOKING, |c| estimate(c, &name, rowid))?.flatten();
            }
            let width = table.columns.len();
            let names: Vec<String> = table.columns.iter().map(|c| c.name.clone()).collect();
            let looked = self.maybe(LOOKING, |c| look(c, &name, &names, rowid))?;
            let looked = looked.unwrap_or_else(|| (0..width).map(|_| Looked::default()).collect());
            for (column, looked) in table.columns.iter_mut().zip(looked) {
                column.kind = looked.kind(&column.declared);
                column.seen = looked.seen;
            }
        }
        // What a reference names may have a primary key alone.
        let keys: Vec<Vec<String>> = (tables.iter())
            .map(|(table, _)| table.keys.first().cloned().unwrap_or_default())
            .collect();
        let mut tables: Vec<Table> = tables.into_iter().map(|(table, _)| table).collect();
        for reference in tables.iter_mut().flat_map(|table| &mut table.references) {
            if reference.to.is_empty() {
                reference.to = keys[reference.table].clone();
            }
        }
        for table in &mut tables {
            table.references.retain(|it| !it.to.is_empty() && it.columns.len() == it.to.len());
        }
        Ok(Catalog { dialect: Dialect::Sqlite, tables, time_zone: None })
    }

    fn numbers(&mut self, query: &str) -> Result<Option<Vec<i64>>, SourceError> {
        self.maybe(ASKING, |connection| {
            let mut statement = connection.prepare(query)?;
            let width = statement.column_count();
            statement.query_row([], |row| (0..width).map(|at| row.get(at)).collect())
        })
    }
}

/// The tables that are the user's: name, kind, and whether rows have an id.
fn tables(connection: &Connection) -> rusqlite::Result<Vec<(String, TableKind, bool)>> {
    let text = "SELECT name, type, wr FROM pragma_table_list
        WHERE schema = 'main' AND type IN ('table', 'view', 'virtual') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
        ORDER BY name LIMIT ?";
    let mut statement = connection.prepare(text)?;
    let rows = statement.query_map([TABLES as i64], |row| {
        let (kind, without): (String, bool) = (row.get(1)?, row.get(2)?);
        let is_table = kind == "table";
        let kind = if is_table { TableKind::Table } else { TableKind::View };
        Ok((row.get(0)?, kind, is_table && !without))
    })?;
    rows.collect()
}

/// A table, but for what it refers to and what is in it.
fn described(connection: &Connection, name: &str, kind: TableKind) -> rusqlite::Result<Table> {
    let mut statement = connection.prepare(
        "SELECT name, type, \"notnull\", pk FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY cid",
    )?;
    let columns: Vec<(Column, i64)> = statement
        .query_map([name], |row| {
            let column = Column {
                name: row.get(0)?,
                declared: row.get::<_, Option<String>>(1)?.unwrap_or_default(),
                nullable: !row.get::<_, bool>(2)?,
                kind: Kind::Other,
                seen: Seen::default(),
            };
            Ok((column, row.get(3)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut primary: Vec<(i64, String)> =
        columns.iter().filter(|(_, at)| *at > 0).map(|(c, at)| (*at, c.name.clone())).collect();
    primary.sort_unstable();
    let primary: Vec<String> = primary.into_iter().map(|(_, name)| name).collect();
    let (mut keys, mut indexes) = (Vec::new(), Vec::new());
    if !primary.is_empty() {
        keys.push(primary.clone());
        indexes.push(primary);
    }
    let mut listed = connection
        .prepare("SELECT name, \"unique\" FROM pragma_index_list(?) WHERE NOT partial")?;
    let listed: Vec<(String, bool)> = listed
        .query_map([name], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (index, unique) in listed {
        let text = "SELECT name FROM pragma_index_xinfo(?) WHERE key ORDER BY seqno";
        let mut statement = connection.prepare(text)?;
        let parts: Vec<Option<String>> =
            statement.query_map([index], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        // An expression has no name.
        let named: Vec<String> = parts.iter().map_while(Clone::clone).collect();
        if unique && named.len() == parts.len() && !keys.contains(&named) {
            keys.push(named.clone());
        }
        if !named.is_empty() && !indexes.contains(&named) {
            indexes.push(named);
        }
    }
    Ok(Table {
        name: TableName { schema: None, name: name.into() },
        kind,
        rows: None,
        counted: false,
        bytes: None,
        analyzed: is_analyzed(connection, name)?,
        partitioned_by: None,
        columns: columns.into_iter().map(|(column, _)| column).collect(),
        keys,
        references: Vec::new(),
        indexes,
    })
}

fn is_analyzed(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    Ok(connection.table_exists(Some("main"), "sqlite_stat1")?
        && connection.query_row(
            "SELECT EXISTS (SELECT 1 FROM sqlite_stat1 WHERE tbl = ? COLLATE NOCASE)",
            [name],
            |row| row.get(0),
        )?)
}

/// The foreign keys of a table; the columns of one that names none are those of the primary key, to be filled in.
fn references(
    connection: &Connection,
    name: &str,
    tables: &[String],
) -> rusqlite::Result<Vec<Reference>> {
    let text =
        "SELECT id, \"table\", \"from\", \"to\" FROM pragma_foreign_key_list(?) ORDER BY id, seq";
    let mut statement = connection.prepare(text)?;
    let mut rows = statement.query([name])?;
    let mut found: Vec<(i64, Reference)> = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, table): (i64, String) = (row.get(0)?, row.get(1)?);
        let (column, to): (String, Option<String>) = (row.get(2)?, row.get(3)?);
        let Some(table) = tables.iter().position(|it| *it == table.to_lowercase()) else {
            continue;
        };
        if found.last().is_none_or(|(last, _)| *last != id) {
            found.push((id, Reference { columns: Vec::new(), table, to: Vec::new() }));
        }
        if let Some((_, reference)) = found.last_mut() {
            reference.columns.push(column);
            reference.to.extend(to);
        }
    }
    Ok(found.into_iter().map(|(_, reference)| reference).collect())
}

/// By which name a table's rows have an id: one that no column bears.
fn rowid(table: &Table) -> Option<&'static str> {
    let taken = |name: &&str| table.columns.iter().any(|c| c.name.eq_ignore_ascii_case(name));
    ["rowid", "_rowid_", "oid"].into_iter().find(|name| !taken(name))
}

fn count(connection: &Connection, name: &str) -> rusqlite::Result<u64> {
    let text = format!("SELECT count(*) FROM {}", quoted(name));
    connection.query_row(&text, [], |row| row.get::<_, i64>(0).map(i64::unsigned_abs))
}

/// The rows that there may be: as many as the last ANALYZE counted, or as there are ids.
fn estimate(
    connection: &Connection,
    name: &str,
    rowid: Option<&str>,
) -> rusqlite::Result<Option<u64>> {
    if is_analyzed(connection, name)? {
        let text =
            "SELECT CAST(stat AS INTEGER) FROM sqlite_stat1 WHERE tbl = ? COLLATE NOCASE LIMIT 1";
        return connection
            .query_row(text, [name], |row| row.get::<_, i64>(0))
            .map(|n| u64::try_from(n).ok());
    }
    let Some((low, high)) = ids(connection, name, rowid)? else { return Ok(None) };
    Ok(Some(high.abs_diff(low) + 1))
}

/// The least and the greatest id of a row.
fn ids(
    connection: &Connection,
    name: &str,
    rowid: Option<&str>,
) -> rusqlite::Result<Option<(i64, i64)>> {
    let Some(rowid) = rowid else { return Ok(None) };
    let table = quoted(name);
    // One query for each end is a seek; both in one would be a scan.
    let text =
        format!("SELECT (SELECT min({rowid}) FROM {table}), (SELECT max({rowid}) FROM {table})");
    connection.query_row(&text, [], |row| {
        Ok(row.get::<_, Option<i64>>(0)?.zip(row.get::<_, Option<i64>>(1)?))
    })
}

/// What was seen of a column.
#[derive(Default)]
struct Looked {
    integers: u64,
    reals: u64,
    texts: u64,
    others: u64,
    seen: Seen,
}

impl Looked {
    /// What the column holds: what was seen of it, or, if that is nothing, what it declares.
    fn kind(&self, declared: &str) -> Kind {
        let declared = declared.to_ascii_uppercase();
        let says = |words: &[&str]| words.iter().any(|word| declared.contains(word));
        match (self.integers, self.reals, self.texts, self.others) {
            (0, 0, 0, 0) if says(&["BOOL"]) => Kind::Boolean,
            (0, 0, 0, 0) if says(&["INT"]) => Kind::Integer,
            (0, 0, 0, 0) if says(&["REAL", "FLOA", "DOUB", "NUM", "DEC"]) => Kind::Number,
            (0, 0, 0, 0) => Kind::Text,
            (1.., 0, 0, 0) if says(&["BOOL"]) => Kind::Boolean,
            (1.., 0, 0, 0) => Kind::Integer,
            (_, 1.., 0, 0) => Kind::Number,
            (_, _, 1.., 0) => Kind::Text,
            _ => Kind::Other,
        }
    }
}

/// Looks at rows from all over a table; at the first ones where rows have no id.
fn look(
    connection: &Connection,
    name: &str,
    columns: &[String],
    rowid: Option<&str>,
) -> rusqlite::Result<Vec<Looked>> {
    let mut looked: Vec<(Looking, Looked)> =
        columns.iter().map(|_| (Looking::new(), Looked::default())).collect();
    let list: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
    let (list, table) = (list.join(", "), quoted(name));
    match (rowid, ids(connection, name, rowid)?) {
        (Some(rowid), Some((low, high))) => {
            let text = format!(
                "SELECT {list}, {rowid} FROM {table} WHERE {rowid} >= ? ORDER BY {rowid} LIMIT ?"
            );
            let mut statement = connection.prepare(&text)?;
            let pieces = if high.abs_diff(low) < ROWS as u64 { 1 } else { PIECES };
            let mut next = i128::from(low);
            for piece in 0..pieces {
                let span = i128::from(high) - i128::from(low) + 1;
                let from =
                    next.max(i128::from(low) + span * i128::from(piece) / i128::from(pieces));
                let Ok(from) = i64::try_from(from) else { break };
                let mut rows = statement.query(params![from, ROWS / pieces])?;
                while let Some(row) = rows.next()? {
                    next = i128::from(row.get::<_, i64>(columns.len())?) + 1;
                    take(row, &mut looked)?;
                }
            }
        }
        // No row has an id, so there are none.
        (Some(_), None) => {}
        (None, _) => {
            let mut statement =
                connection.prepare(&format!("SELECT {list} FROM {table} LIMIT ?"))?;
            let mut rows = statement.query([ROWS])?;
            while let Some(row) = rows.next()? {
                take(row, &mut looked)?;
            }
        }
    }
    Ok(looked
        .into_iter()
        .map(|(looking, looked)| Looked { seen: looking.finish(), ..looked })
        .collect())
}

fn take(row: &Row<'_>, looked: &mut [(Looking, Looked)]) -> rusqlite::Result<()> {
    for (at, (looking, looked)) in looked.iter_mut().enumerate() {
        let value = match row.get_ref(at)? {
            ValueRef::Null => Sampled::Null,
            ValueRef::Integer(number) => {
                looked.integers += 1;
                Sampled::Integer(number)
            }
            ValueRef::Real(number) => {
                looked.reals += 1;
                Sampled::Real(number)
            }
            ValueRef::Text(bytes) => {
                looked.texts += 1;
                std::str::from_utf8(bytes).map_or(Sampled::Other, Sampled::Text)
            }
            ValueRef::Blob(_) => {
                looked.others += 1;
                Sampled::Other
            }
        };
        looking.take(value);
    }
    Ok(())
}
