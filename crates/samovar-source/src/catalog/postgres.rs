//! What PostgreSQL says of its schema: all of it in one transaction that cannot write.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::name::{full, plain};
use super::seen::{LONGEST, Looking, Sampled};
use super::{Catalog, Column, Dialect, Kind, Reader, Reference, Seen, Table, TableKind, TableName};
use crate::postgres::{Address, Blocking, failed};
use crate::{PostgresOptions, SourceError};

/// More tables than these, the largest ones, are not looked at.
const TABLES: i64 = 500;
/// Of a table so many pages are looked at, spread over it, and not more than so many rows.
const PAGES: f64 = 25.0;
const ROWS: usize = 5_000;
/// Tables of no more pages are read in a moment.
const FEW_PAGES: i64 = 400;
/// How long it may take to look at a table's rows or to count them, and to answer a question.
const LOOKING: Duration = Duration::from_secs(5);
const ASKING: Duration = Duration::from_secs(15);

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SET LOCAL statement_timeout = '60s'; SET LOCAL lock_timeout = '5s'; SET LOCAL jit = off; SET LOCAL datestyle = 'ISO, YMD'";

/// The tables and views that can be read: none of the system's or of extensions, and none that is a partition of
/// another. Rows and sizes of a partitioned one are those of its parts.
const LISTED: &str = "SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text,
        pg_catalog.pg_table_is_visible(c.oid),
        CASE WHEN parts.unknown THEN NULL ELSE parts.rows END, parts.bytes::bigint, parts.pages::bigint,
        pg_catalog.pg_get_partkeydef(c.oid)
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL (
        SELECT bool_or(p.reltuples < 0 OR p.reltuples = 0 AND pg_catalog.pg_relation_size(p.oid) > 0) AS unknown,
            sum(p.reltuples)::float8 AS rows, sum(pg_catalog.pg_total_relation_size(p.oid)) AS bytes,
            sum(pg_catalog.pg_relation_size(p.oid)) / pg_catalog.current_setting('block_size')::int AS pages
        FROM pg_catalog.pg_class p
        WHERE p.relkind IN ('r', 'm') AND (p.oid = c.oid OR c.relkind = 'p' AND p.oid IN (
            SELECT t.relid FROM pg_catalog.pg_partition_tree(c.oid) t WHERE t.isleaf))
    ) AS parts
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
        AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
        AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass
            AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY parts.bytes DESC NULLS LAST, 2, 3 LIMIT $1";

/// The columns of tables; a domain's type is that of its base.
const COLUMNS: &str = "SELECT a.attrelid, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod),
        NOT a.attnotnull, b.typname::text, b.typtype::text, b.typcategory::text
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    JOIN pg_catalog.pg_type b ON b.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END
    WHERE a.attrelid = ANY($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum";

/// The columns of each index over all rows, and whether it tells rows apart; an expression has no name.
const INDEXES: &str = "SELECT i.indrelid, i.indisunique AND i.indimmediate,
        array(SELECT coalesce(a.attname::text, '')
            FROM pg_catalog.generate_series(0, i.indnkeyatts - 1) AS at
            LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[at]
            ORDER BY at)
    FROM pg_catalog.pg_index i
    WHERE i.indrelid = ANY($1) AND i.indisvalid AND i.indpred IS NULL
    ORDER BY i.indrelid, i.indisprimary DESC, i.indexrelid";

const REFERENCES: &str = "SELECT f.conrelid, f.confrelid,
        array(SELECT a.attname::text FROM unnest(f.conkey) WITH ORDINALITY AS k(num, at)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.num ORDER BY k.at),
        array(SELECT a.attname::text FROM unnest(f.confkey) WITH ORDINALITY AS k(num, at)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.num ORDER BY k.at)
    FROM pg_catalog.pg_constraint f WHERE f.contype = 'f' AND f.conrelid = ANY($1) ORDER BY f.conrelid, f.conname";

/// A connection in its one transaction. Dropped, it closes, and the server rolls nothing back, since nothing was written.
pub(super) struct Postgres {
    session: Blocking,
}

impl Postgres {
    pub(super) fn open(options: &PostgresOptions) -> Result<Postgres, SourceError> {
        let mut session = Blocking::open(&Address::of(options)?)?;
        session.wait(async |client| client.batch_execute(BEGIN).await).map_err(|e| failed(&e))?;
        Ok(Postgres { session })
    }

    fn rows(&mut self, text: &str, oids: &[u32]) -> Result<Vec<Row>, SourceError> {
        let asked = self
            .session
            .wait(async |client| client.query_typed(text, &[(&oids, Type::OID_ARRAY)]).await);
        asked.map_err(|e| failed(&e))
    }

    /// Asks within a limit of time; `None` where that took too long, or the server refuses.
    fn maybe(&mut self, limit: Duration, text: &str) -> Result<Option<Vec<Row>>, SourceError> {
        let limit =
            format!("SAVEPOINT asking; SET LOCAL statement_timeout = {}", limit.as_millis());
        let asked = self.session.wait(async |client| {
            client.batch_execute(&limit).await?;
            let answered = client.query_typed(text, &[]).await;
            if answered.as_ref().is_err_and(|wrong| wrong.as_db_error().is_none()) {
                return answered.map(Some);
            }
            // Takes the limit back as well.
            client.batch_execute("ROLLBACK TO asking; RELEASE asking").await?;
            Ok(answered.ok())
        });
        asked.map_err(|e| failed(&e))
    }
}

impl Reader for Postgres {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn catalog(&mut self) -> Result<Catalog, SourceError> {
        let listed = self
            .session
            .wait(async |client| client.query_typed(LISTED, &[(&TABLES, Type::INT8)]).await);
        let mut listed: Vec<Listed> =
            listed.map_err(|e| failed(&e))?.iter().map(Listed::of).collect();
        listed.sort_by(|a, b| a.table.name.cmp(&b.table.name));
        let oids: Vec<u32> = listed.iter().map(|listed| listed.oid).collect();
        let place = |oid: u32| oids.iter().position(|it| *it == oid);
        for row in self.rows(COLUMNS, &oids)? {
            if let Some(at) = place(row.get(0)) {
                let words = [row.get::<_, &str>(4), row.get(5), row.get(6)];
                let table = &mut listed[at];
                table.sampled.push(words[2] == "S" || kind(words) != Kind::Other);
                table.table.columns.push(Column {
                    name: row.get(1),
                    declared: row.get(2),
                    nullable: row.get(3),
                    kind: kind(words),
                    seen: Seen::default(),
                });
            }
        }
        for row in self.rows(INDEXES, &oids)? {
            if let Some(at) = place(row.get(0)) {
                let (unique, columns): (bool, Vec<String>) = (row.get(1), row.get(2));
                listed[at].table.index(unique, &columns);
            }
        }
        for row in self.rows(REFERENCES, &oids)? {
            if let (Some(at), Some(table)) = (place(row.get(0)), place(row.get(1))) {
                let reference = Reference { columns: row.get(2), table, to: row.get(3) };
                listed[at].table.references.push(reference);
            }
        }
        let mut tables = Vec::new();
        for mut listed in listed {
            self.look(&mut listed)?;
            tables.push(listed.table);
        }
        let zone = self.session.wait(async |client| client.query_typed("SHOW timezone", &[]).await);
        let zone = zone.map_err(|e| failed(&e))?.first().map(|row| row.get::<_, String>(0));
        let time_zone = zone.filter(|name| jiff::tz::TimeZone::get(name).is_ok());
        Ok(Catalog { dialect: Dialect::Postgres, tables, time_zone })
    }

    fn numbers(&mut self, query: &str) -> Result<Option<Vec<i64>>, SourceError> {
        let rows = self.maybe(ASKING, query)?;
        Ok(rows.iter().flatten().next().map(|row| (0..row.len()).map(|at| row.get(at)).collect()))
    }
}

impl Postgres {
    /// Looks at rows from all over a table; at the first ones of a view.
    fn look(&mut self, listed: &mut Listed) -> Result<(), SourceError> {
        let table = &mut listed.table;
        if table.columns.is_empty() {
            return Ok(());
        }
        let columns: Vec<String> = (table.columns.iter().zip(&listed.sampled))
            .map(|(column, sampled)| match (column.kind, sampled) {
                (_, false) => "NULL".into(),
                (Kind::Money, _) => format!("{}::numeric::text", plain(&column.name)),
                _ => format!("left({}::text, {LONGEST})", plain(&column.name)),
            })
            .collect();
        let share = (100.0 * PAGES / listed.pages.max(1) as f64).clamp(0.000_1, 100.0);
        let sample = match (table.kind, listed.pages) {
            (TableKind::View, _) => String::new(),
            // Rows of a few pages are drawn one by one, so that the pages matter less.
            (_, 0..=FEW_PAGES) => format!("TABLESAMPLE BERNOULLI ({share:.6}) REPEATABLE (1)"),
            _ => format!("TABLESAMPLE SYSTEM ({share:.6}) REPEATABLE (1)"),
        };
        let text = format!(
            "SELECT {} FROM {} {sample} LIMIT {ROWS}",
            columns.join(", "),
            full(&table.name)
        );
        let Some(rows) = self.maybe(LOOKING, &text)? else { return Ok(()) };
        for (at, column) in table.columns.iter_mut().enumerate() {
            let mut looking = Looking::new();
            for row in &rows {
                looking.take(match row.get::<_, Option<&str>>(at) {
                    None => Sampled::Null,
                    Some(text) => Sampled::Text(text),
                });
            }
            column.seen = looking.finish();
        }
        if table.rows.is_some() {
            return Ok(());
        }
        // Before the first ANALYZE the server does not know, nor ever of a view.
        if table.kind == TableKind::View {
            table.rows = (rows.len() < ROWS).then_some(rows.len() as u64);
        } else if listed.pages <= FEW_PAGES {
            let count = format!("SELECT count(*) FROM {}", full(&table.name));
            let count = self.maybe(LOOKING, &count)?;
            table.rows =
                count.iter().flatten().next().map(|row| row.get::<_, i64>(0).unsigned_abs());
        } else {
            table.rows = Some((rows.len() as f64 * 100.0 / share) as u64);
            return Ok(());
        }
        table.counted = table.rows.is_some();
        Ok(())
    }
}

/// A table on its way into the catalog.
struct Listed {
    oid: u32,
    pages: i64,
    /// Which columns have a text that shows what they hold.
    sampled: Vec<bool>,
    table: Table,
}

impl Listed {
    fn of(row: &Row) -> Listed {
        let (schema, name): (String, String) = (row.get(1), row.get(2));
        let kind = match row.get::<_, &str>(3) {
            "r" => TableKind::Table,
            "p" => TableKind::Partitioned,
            _ => TableKind::View,
        };
        let is_visible: bool = row.get(4);
        let rows: Option<f64> = row.get(5);
        let rows = rows.filter(|_| kind != TableKind::View || row.get::<_, &str>(3) == "m");
        Listed {
            oid: row.get(0),
            pages: row.get::<_, Option<i64>>(7).unwrap_or(0),
            sampled: Vec::new(),
            table: Table {
                name: TableName { schema: (!is_visible).then_some(schema), name },
                kind,
                rows: rows.map(|rows| rows as u64),
                counted: false,
                bytes: row.get::<_, Option<i64>>(6).map(i64::unsigned_abs),
                analyzed: rows.is_some(),
                partitioned_by: row.get(8),
                columns: Vec::new(),
                keys: Vec::new(),
                references: Vec::new(),
                indexes: Vec::new(),
            },
        }
    }
}

impl Table {
    /// Takes an index in; it ends at its first expression.
    fn index(&mut self, unique: bool, columns: &[String]) {
        let named: Vec<String> =
            columns.iter().take_while(|name| !name.is_empty()).cloned().collect();
        if unique && named == columns && !self.keys.contains(&named) {
            self.keys.push(named.clone());
        }
        if !named.is_empty() && !self.indexes.contains(&named) {
            self.indexes.push(named);
        }
    }
}

/// What a type holds, by its name, its kind and its category.
fn kind([name, kind, _]: [&str; 3]) -> Kind {
    match (name, kind) {
        ("int2" | "int4" | "int8", _) => Kind::Integer,
        ("numeric" | "float4" | "float8", _) => Kind::Number,
        ("money", _) => Kind::Money,
        ("bool", _) => Kind::Boolean,
        ("text" | "varchar" | "bpchar" | "uuid", _) | (_, "e") => Kind::Text,
        ("date", _) => Kind::Day,
        ("timestamp", _) => Kind::Time,
        ("timestamptz", _) => Kind::Instant,
        _ => Kind::Other,
    }
}
