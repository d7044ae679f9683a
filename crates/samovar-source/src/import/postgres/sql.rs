//! The text of the statements. Names are quoted as identifiers; values are bound, or come by COPY.

use crate::sql::quoted;

/// Rows on their way into a table that may refuse some: where they stand in the file, and the columns `c0`, `c1`, …
/// of the types of the table's.
pub(super) const STAGING: &str = "pg_temp.samovar_import";

/// The first and the last of the lines that staged rows stand on; no row if there are none.
pub(super) const LINES: &str =
    "SELECT min(line), max(line) FROM pg_temp.samovar_import HAVING count(*) > 0";

/// Drops the staged row of a line, and tells its text.
pub(super) const DROP_LINE: &str =
    "DELETE FROM pg_temp.samovar_import WHERE line = $1 RETURNING text";

/// What is known by a name: its kind, schema and name, and whether it has a rule by which it may refuse a row.
pub(super) const FIND: &str = "SELECT c.relkind::text, n.nspname::text, c.relname::text,
        c.relkind = 'p' OR c.relispartition OR c.relhastriggers OR c.relrowsecurity
        OR EXISTS (SELECT FROM pg_catalog.pg_constraint r WHERE r.conrelid = c.oid AND r.contype IN ('c', 'x'))
        OR EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisunique)
        OR EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated <> '')
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = pg_catalog.to_regclass($1)";

/// The columns of a table that can be written.
pub(super) const COLUMNS: &str = "SELECT a.attname::text, a.atttypid, a.atttypmod,
        pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull
    FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = pg_catalog.to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
        AND a.attgenerated = '' AND a.attidentity <> 'a'
    ORDER BY a.attnum";

/// The columns of each index that looks at all rows, and whether it can hold a key. An expression has no name.
pub(super) const INDEXES: &str = "SELECT i.indisunique AND i.indimmediate,
        array(SELECT coalesce(a.attname::text, '')
            FROM pg_catalog.generate_series(0, i.indnkeyatts - 1) AS at
            LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[at]
            ORDER BY at)
    FROM pg_catalog.pg_index i
    WHERE i.indrelid = pg_catalog.to_regclass($1) AND i.indisvalid AND i.indpred IS NULL";

/// Begins the transaction: the server's own limits are for queries that run by themselves. From version 14 it
/// looks for a client that has gone while it works, so that a killed import does not hold the table for long. Rules that
/// may wait for the commit are asked at once, while there are rows to be told of.
pub(super) fn begin(patience_millis: u128) -> String {
    // None at all would be meant as no limit.
    let patience = patience_millis.max(1);
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = {patience};
         SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL jit = off;
         SET CONSTRAINTS ALL IMMEDIATE;
         SELECT pg_catalog.set_config(name, '1s', true) FROM pg_catalog.pg_settings
             WHERE name = 'client_connection_check_interval'"
    )
}

/// Keeps a table as it is, but for its rows; from others' rows too, if what is there is looked at.
pub(super) fn lock(table: &str, looks: bool) -> String {
    let mode = if looks { "SHARE ROW EXCLUSIVE" } else { "ROW EXCLUSIVE" };
    format!("LOCK TABLE {table} IN {mode} MODE")
}

/// Makes a table of columns and their types.
pub(super) fn create(table: &str, columns: impl Iterator<Item = (String, &'static str)>) -> String {
    let columns: Vec<String> =
        columns.map(|(name, declared)| format!("{} {declared}", quoted(&name))).collect();
    format!("CREATE TABLE {table} ({})", columns.join(", "))
}

/// Makes an index, whose name the server chooses.
pub(super) fn index(table: &str, columns: &[String], unique: bool) -> String {
    let unique = if unique { "UNIQUE " } else { "" };
    format!("CREATE {unique}INDEX ON {table} ({})", list(columns))
}

/// Takes rows into columns.
pub(super) fn copy_into(table: &str, columns: &[String]) -> String {
    format!("COPY {table} ({}) FROM STDIN", list(columns))
}

/// Makes lines of staged rows quick to find.
pub(super) fn index_staged() -> String {
    format!("CREATE INDEX ON {STAGING} (line); ANALYZE {STAGING}")
}

/// A load by way of the staging table: the columns of the table, and which of them are the key, if there is one.
pub(super) struct Staged<'a> {
    pub(super) table: &'a str,
    pub(super) columns: &'a [String],
    pub(super) key: &'a [usize],
}

impl Staged<'_> {
    /// Makes the staging table, of the types and collations of the table's own columns.
    pub(super) fn stage(&self) -> String {
        let columns: Vec<String> = (self.columns.iter().enumerate())
            .map(|(at, name)| format!(", t.{} AS c{at}", quoted(name)))
            .collect();
        format!(
            "CREATE TEMPORARY TABLE samovar_import ON COMMIT DROP
             AS SELECT 0::bigint AS line, ''::text AS text{} FROM {} t WITH NO DATA",
            columns.concat(),
            self.table
        )
    }

    /// Takes rows into it.
    pub(super) fn copy(&self) -> String {
        format!("COPY {STAGING} FROM STDIN")
    }

    /// Moves the rows from line $1 to line $2 into the table, in the order of the file; with a key, of each that is new
    /// the first. Tells how many were to be moved, and how many were written.
    pub(super) fn take(&self) -> String {
        let staged: Vec<String> = (0..self.columns.len()).map(|at| format!("c{at}")).collect();
        let key: Vec<String> = self.key.iter().map(|at| format!("c{at}")).collect();
        let key = key.join(", ");
        let new = match self.key {
            [] => String::new(),
            _ => format!(
                "AND s.line IN (SELECT f.line FROM (
                     SELECT DISTINCT ON ({key}) line FROM {STAGING} WHERE line BETWEEN $1 AND $2
                     ORDER BY {key}, line) f)
                 AND NOT EXISTS (SELECT FROM {} t WHERE {})",
                self.table,
                self.same_key()
            ),
        };
        format!(
            "WITH moved AS (DELETE FROM {STAGING} s WHERE s.line BETWEEN $1 AND $2 {new} RETURNING s.*),
             written AS (INSERT INTO {} ({}) SELECT {} FROM moved ORDER BY line RETURNING 1)
             SELECT (SELECT count(*) FROM moved), (SELECT count(*) FROM written)",
            self.table,
            list(self.columns),
            staged.join(", "),
        )
    }

    /// Of the staged rows whose key is in the table with other values: line, text, and for each column whether it
    /// differs.
    pub(super) fn conflicts(&self) -> String {
        let differing: Vec<String> = (self.columns.iter().enumerate())
            .map(|(at, name)| format!("s.c{at} IS DISTINCT FROM t.{}", quoted(name)))
            .collect();
        format!(
            "SELECT s.line, s.text, ARRAY[{}] FROM {STAGING} s JOIN {} t ON {} WHERE {} ORDER BY 1",
            differing.join(", "),
            self.table,
            self.same_key(),
            differing.join(" OR "),
        )
    }

    /// Whether a staged row `s` and a row `t` of the table have the same key.
    fn same_key(&self) -> String {
        let terms: Vec<String> = (self.key.iter())
            .map(|at| format!("s.c{at} = t.{}", quoted(&self.columns[*at])))
            .collect();
        terms.join(" AND ")
    }
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}
