//! The text of the statements. Names are quoted as identifiers; values are bound, or come by COPY.

use crate::sql::quoted;

/// Rows on their way into a table with a key: where they stand in the file, and the columns `c0`, `c1`, … of the
/// types of the table's.
pub(super) const STAGING: &str = "pg_temp.samovar_import";

/// What is known by a name: its kind, schema and name.
pub(super) const FIND: &str = "SELECT c.relkind::text, n.nspname::text, c.relname::text
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
/// looks for a client that has gone while it works, so that a killed import does not hold the table for long.
pub(super) fn begin(patience_millis: u128) -> String {
    // None at all would be meant as no limit.
    let patience = patience_millis.max(1);
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = {patience};
         SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL jit = off;
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

/// A load with a key: the columns of a table, and which of them are the key.
pub(super) struct Keyed<'a> {
    pub(super) table: &'a str,
    pub(super) columns: &'a [String],
    pub(super) key: &'a [usize],
}

impl Keyed<'_> {
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

    /// The staged rows whose key is taken by a row with other values, in the table or earlier in the file: line,
    /// text, and for each column whether it differs.
    pub(super) fn conflicts(&self) -> String {
        let same = |other: fn(&Self, usize) -> String| {
            let terms: Vec<String> =
                self.key.iter().map(|at| format!("s.c{at} = {}", other(self, *at))).collect();
            terms.join(" AND ")
        };
        let differing = |other: fn(&Self, usize) -> String| -> Vec<String> {
            (0..self.columns.len())
                .map(|at| format!("s.c{at} IS DISTINCT FROM {}", other(self, at)))
                .collect()
        };
        let in_table = |this: &Self, at: usize| format!("t.{}", quoted(&this.columns[at]));
        let in_file = |_: &Self, at: usize| format!("f.c{at}");
        let (table, there, earlier) = (self.table, differing(in_table), differing(in_file));
        format!(
            "SELECT s.line, s.text, ARRAY[{}] FROM {STAGING} s JOIN {table} t ON {} WHERE {}
             UNION ALL
             SELECT s.line, s.text, ARRAY[{}] FROM {STAGING} s JOIN ({}) f ON {}
             WHERE s.line > f.line AND ({}) AND NOT EXISTS (SELECT FROM {table} t WHERE {})
             ORDER BY 1",
            there.join(", "),
            same(in_table),
            there.join(" OR "),
            earlier.join(", "),
            self.firsts(),
            same(in_file),
            earlier.join(" OR "),
            same(in_table),
        )
    }

    /// Inserts of each key that is new its first row, in the order of the file.
    pub(super) fn insert(&self) -> String {
        let staged: Vec<String> = (0..self.columns.len()).map(|at| format!("f.c{at}")).collect();
        let key: Vec<String> = self.key.iter().map(|at| self.columns[*at].clone()).collect();
        format!(
            "INSERT INTO {} ({}) SELECT {} FROM ({}) f ORDER BY f.line ON CONFLICT ({}) DO NOTHING",
            self.table,
            list(self.columns),
            staged.join(", "),
            self.firsts(),
            list(&key)
        )
    }

    /// The first staged row of each key.
    fn firsts(&self) -> String {
        let key: Vec<String> = self.key.iter().map(|at| format!("c{at}")).collect();
        let key = key.join(", ");
        format!("SELECT DISTINCT ON ({key}) * FROM {STAGING} ORDER BY {key}, line")
    }
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}
