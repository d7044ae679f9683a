//! What would help at the database: statements for people to run, each with its reason.

use samovar_source::catalog::{Catalog, Dialect, Index, Table, TableKind, analyze, by_month};

use super::choose::Choice;

/// A table of more rows, or bytes, is worth partitions: a month then can be dropped, and indexes stay small.
pub(crate) const LARGE_ROWS: u64 = 100_000_000;
pub(crate) const LARGE_BYTES: u64 = 50 << 30;
/// The planner guesses well enough about fewer rows without statistics.
const SMALL: u64 = 1_000;

/// A statement that would help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Advice {
    pub(crate) why: String,
    pub(crate) statement: String,
}

/// What would help to read one store's days without reading everything. `joined` are the tables that the query needs.
pub(crate) fn advice(catalog: &Catalog, choice: &Choice<'_>, joined: &[usize]) -> Vec<Advice> {
    let reach = &choice.reach;
    let mut indexes = Vec::new();
    let date = &choice.date.at;
    let plain_date = choice.form != super::roles::DateForm::Digits;
    match &choice.store {
        Some(store) => {
            let mut columns = vec![store.at.column.clone()];
            if store.at.table == date.table && plain_date {
                columns.push(date.column.clone());
            }
            let why = "one store's days are found without reading the rest".to_owned();
            indexes.push((store.at.table, columns, false, why));
            // From the store back to the lines.
            for step in reach.way(store.at.table) {
                let reached = &reach.tables[step];
                let why = format!("the rows that belong to one of {}", reach.table(step).name);
                indexes.push((reached.by, reached.columns.clone(), false, why));
            }
        }
        None => {
            let why = "a day is found without reading the rest".to_owned();
            indexes.push((date.table, vec![date.column.clone()], false, why));
        }
    }
    for table in joined {
        let why = "looks up a row of it for each line, and refuses a second one, which would count lines twice";
        indexes.push((*table, reach.tables[*table].to.clone(), true, why.into()));
    }
    let mut all: Vec<Advice> = Vec::new();
    for (table, columns, unique, why) in indexes {
        let known = |one: &Advice| all.iter().any(|other| other.statement == one.statement);
        let new =
            index(catalog, reach.table(table), columns, unique, why).filter(|one| !known(one));
        all.extend(new);
    }
    let used = [0].iter().chain(joined).map(|table| reach.table(*table));
    let most = match catalog.dialect {
        // One statement for all, and of use where there is a choice.
        Dialect::Sqlite => usize::from(!joined.is_empty()),
        Dialect::Postgres => joined.len() + 1,
    };
    for table in used.filter(|table| wants_statistics(table)).take(most) {
        all.push(Advice {
            why: format!("the planner has no statistics of {}", table.name),
            statement: analyze(catalog.dialect, &table.name),
        });
    }
    all.extend(partitions(catalog, choice));
    all
}

/// An index, unless there is one that begins so.
fn index(
    catalog: &Catalog,
    table: &Table,
    columns: Vec<String>,
    unique: bool,
    why: String,
) -> Option<Advice> {
    let is_key = table.keys.iter().any(|key| key.iter().all(|column| columns.contains(column)));
    if table.kind == TableKind::View || table.has_index(&columns) || unique && is_key {
        return None;
    }
    // A unique index of a partitioned table must hold what divides it.
    let unique = unique && table.kind == TableKind::Table;
    let index = Index { table: table.name.clone(), columns, unique };
    Some(Advice { why, statement: index.statement(catalog.dialect, table.kind) })
}

fn wants_statistics(table: &Table) -> bool {
    table.kind != TableKind::View && !table.analyzed && table.rows.is_none_or(|rows| rows >= SMALL)
}

/// Partitions of a month each, for a very large table of PostgreSQL that has none.
fn partitions(catalog: &Catalog, choice: &Choice<'_>) -> Option<Advice> {
    let date = &choice.date.at;
    let table = choice.reach.table(date.table);
    let is_large = table.rows.is_some_and(|rows| rows > LARGE_ROWS)
        || table.bytes.is_some_and(|bytes| bytes > LARGE_BYTES);
    if catalog.dialect != Dialect::Postgres || table.kind != TableKind::Table || !is_large {
        return None;
    }
    let store = choice.store.as_ref().filter(|store| store.at.table == date.table);
    let statement = by_month(table, &date.column, store.map(|store| &*store.at.column))?;
    let size = table.bytes.map_or(String::new(), |bytes| format!(", {} GB", bytes >> 30));
    Some(Advice {
        why: format!(
            "{} is very large (about {} rows{size}): partitions of a month each. Try it on a copy first, and stop writing \
             meanwhile; the old table stays as {}_unpartitioned. Keys, foreign keys, triggers and rights do not come \
             along: a primary key of a partitioned table must hold {}",
            table.name,
            super::grouped(table.rows.unwrap_or(0)),
            table.name.name,
            date.column
        ),
        statement,
    })
}
