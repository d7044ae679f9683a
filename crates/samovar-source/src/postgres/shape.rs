//! What is found out about the raw query at the start: its columns, their types, and whether a store can be sought.

use samovar_core::Day;
use serde_json::Value;
use tokio_postgres::types::Type;

use super::connection::{Transaction, because, failed};
use super::form::{Form, Kind};
use super::sql::{self, Setting};
use crate::cell::Cell;
use crate::days::{self, Edge, Order};
use crate::sql::{bare, select};
use crate::{ColumnKind, Dataset, DateKind, SourceError, SourceErrorKind};

/// For the question whether an index could be used: with few rows, or before the first ANALYZE, the planner would
/// scan all the same, and a join that scans tells nothing of one that seeks.
const AS_IF_LARGE: &str = "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off;
    SET LOCAL enable_mergejoin = off; SET LOCAL enable_partition_pruning = off;
    SET LOCAL max_parallel_workers_per_gather = 0";

/// The raw query.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// As something to select from, by the name of `q`.
    pub(super) from: String,
    /// The table's name, if it is one and no query.
    pub(super) table: Option<String>,
    /// The store's id.
    pub(super) id: Form,
    /// The date.
    pub(super) date: Form,
    /// The columns of one store's rows by their names.
    pub(super) columns: Vec<(String, Form)>,
    /// Whether one store's days can be sought.
    pub(super) seeks: bool,
    /// All columns of the raw query with their types, in the server's words.
    pub(super) declared: Vec<(String, String)>,
}

impl Shape {
    /// The columns of the rows of all stores, which begin with the id.
    pub(super) fn with_id(&self, dataset: &Dataset) -> Vec<(String, Form)> {
        let id = (dataset.store_id.clone(), self.id.clone());
        std::iter::once(id).chain(self.columns.iter().cloned()).collect()
    }

    /// Looks at the raw query.
    pub(super) async fn of(
        dataset: &Dataset,
        transaction: &mut Transaction<'_>,
    ) -> Result<Shape, SourceError> {
        let client = transaction.client;
        let (from, table) = match select(&dataset.query) {
            Some(query) => (query, None),
            None => {
                let name = table(dataset, transaction).await?;
                (format!("{name} AS q"), Some(name))
            }
        };
        let statement = match client.prepare(&sql::columns_of(&from)).await {
            Ok(statement) => statement,
            Err(wrong) if wrong.as_db_error().is_none() => return Err(failed(&wrong)),
            Err(wrong) => return Err(because(SourceErrorKind::Schema, unread(dataset), &wrong)),
        };
        let columns: Vec<(&str, &Type, i32)> =
            statement.columns().iter().map(|c| (c.name(), c.type_(), c.type_modifier())).collect();
        let there: Vec<&str> = columns.iter().map(|(name, ..)| *name).collect();
        let missing: Vec<&str> = dataset.asked().filter(|name| !there.contains(name)).collect();
        if !missing.is_empty() {
            return Err(SourceError::no_column(&missing, &there));
        }
        let oids: Vec<u32> = columns.iter().map(|(_, kind, _)| kind.oid()).collect();
        let modifiers: Vec<i32> = columns.iter().map(|(.., modifier)| *modifier).collect();
        let text = "SELECT pg_catalog.format_type(t.oid, t.modifier)
            FROM unnest($1::oid[], $2::int4[]) WITH ORDINALITY AS t(oid, modifier, at) ORDER BY t.at";
        let words = client.query(text, &[&oids, &modifiers]).await.map_err(|e| failed(&e))?;
        let words: Vec<String> = words.iter().map(|row| row.get(0)).collect();
        let known = Known { columns: &columns, words: &words };
        let id = known.form(&dataset.store_id, "the id of a store", Kind::is_id)?;
        let date = known
            .form(&dataset.date, words_of(dataset.date_kind), |k| dates(dataset.date_kind, k))?;
        if let Some(name) = &dataset.store_name {
            known.form(name, "a name", |_| true)?;
        }
        let mut read = vec![(dataset.date.clone(), date.clone())];
        for name in dataset.product.iter().chain(&dataset.category) {
            read.push((name.clone(), known.form(name, "a text", |_| true)?));
        }
        for column in &dataset.columns {
            let form = match column.kind {
                ColumnKind::Fixed { .. } => {
                    known.form(&column.name, "a number", Kind::is_number)?
                }
                ColumnKind::Text => known.form(&column.name, "a text", |_| true)?,
            };
            read.push((column.name.clone(), form));
        }
        let declared: Vec<(String, String)> =
            there.iter().map(|name| name.to_string()).zip(words.iter().cloned()).collect();
        let mut shape = Shape { from, table, id, date, columns: read, seeks: false, declared };
        shape.seeks = seeks(dataset, &shape, transaction).await?;
        Ok(shape)
    }

    /// How the date column compares.
    fn order(&self, kind: DateKind) -> Order {
        match (self.date.kind, kind) {
            (Kind::Text | Kind::Padded, DateKind::UtcDatetime) => Order::Texts,
            (Kind::Timestamp, DateKind::UtcDatetime) | (Kind::Timestamptz, _) => Order::Instants,
            (_, DateKind::EpochSeconds | DateKind::EpochMillis) => Order::Instants,
            _ => Order::Days,
        }
    }

    /// What the date column is compared with, as text in its type's form; see [`days::bounds`].
    pub(super) fn bounds(
        &self,
        dataset: &Dataset,
        from: Option<Day>,
        to: Option<Day>,
    ) -> (Option<String>, Option<String>) {
        let kind = dataset.date_kind;
        let text = |edge| match edge {
            Edge::Day(day) => day.to_string(),
            Edge::Second(second) if kind == DateKind::EpochSeconds => second.to_string(),
            Edge::Second(second) if kind == DateKind::EpochMillis => (second * 1_000).to_string(),
            Edge::Second(second) => {
                let micros = second * 1_000_000;
                let local = self.date.kind == Kind::Timestamp;
                let cell = if local { Cell::Time(micros) } else { Cell::Instant(micros) };
                cell.text(&mut String::new()).unwrap_or_default().to_string()
            }
        };
        let (from, until) = days::bounds(self.order(kind), &dataset.time_zone, from, to);
        (from.map(text), until.map(text))
    }
}

/// The columns of the raw query, and their types in words.
struct Known<'a> {
    columns: &'a [(&'a str, &'a Type, i32)],
    words: &'a [String],
}

impl Known<'_> {
    /// The form of a column that is there, if it fits.
    fn form(
        &self,
        name: &str,
        wanted: &str,
        fits: impl Fn(Kind) -> bool,
    ) -> Result<Form, SourceError> {
        let at = self.columns.iter().position(|(there, ..)| *there == name);
        let found = at.map(|at| (Form::of(self.columns[at].1), self.words[at].as_str()));
        let (form, words) = found.unwrap_or((None, "unknown"));
        form.filter(|form| fits(form.kind)).ok_or_else(|| {
            let message = format!(
                "column {name} is of type {words}, which cannot be read as {wanted}; \
                 cast it in source.query, for example {name}::{}",
                example(wanted)
            );
            SourceError::new(SourceErrorKind::Schema, message)
        })
    }
}

fn example(wanted: &str) -> &'static str {
    match wanted {
        "a number" => "numeric",
        EPOCH => "bigint",
        DATE => "date",
        _ => "text",
    }
}

const DATE: &str = "a date or time (or set dataset.date_kind)";
const EPOCH: &str = "whole seconds or milliseconds since 1970 (or set dataset.date_kind)";

fn words_of(kind: DateKind) -> &'static str {
    match kind {
        DateKind::Date | DateKind::UtcDatetime => DATE,
        DateKind::EpochSeconds | DateKind::EpochMillis => EPOCH,
    }
}

/// Whether a column of a type can hold dates of a kind.
fn dates(wanted: DateKind, kind: Kind) -> bool {
    match wanted {
        DateKind::Date | DateKind::UtcDatetime => matches!(
            kind,
            Kind::Date | Kind::Timestamp | Kind::Timestamptz | Kind::Text | Kind::Padded
        ),
        DateKind::EpochSeconds | DateKind::EpochMillis => {
            matches!(kind, Kind::Int2 | Kind::Int4 | Kind::Int8)
        }
    }
}

/// A table by its name as it is, or else by what follows the first dot, in the schema before it.
async fn table(
    dataset: &Dataset,
    transaction: &mut Transaction<'_>,
) -> Result<String, SourceError> {
    let (alone, in_schema) = sql::table(bare(&dataset.query));
    for name in [Some(alone), in_schema].into_iter().flatten() {
        let asked = transaction
            .client
            .query_one("SELECT pg_catalog.to_regclass($1::text) IS NOT NULL", &[&name])
            .await;
        match asked {
            Ok(row) if row.get(0) => return Ok(name),
            Ok(_) => {}
            Err(wrong) => return Err(failed(&wrong)),
        }
    }
    let there = "SELECT coalesce(string_agg(name, ', ' ORDER BY name), 'no tables') FROM (
        SELECT CASE WHEN pg_catalog.pg_table_is_visible(c.oid) THEN c.relname
            ELSE n.nspname || '.' || c.relname END AS name
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
            AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
        ORDER BY 1 LIMIT 100) AS tables";
    let row = transaction.client.query_one(there, &[]).await.map_err(|e| failed(&e))?;
    let message = format!("{}; the database has {}", unread(dataset), row.get::<_, String>(0));
    Err(SourceError::new(SourceErrorKind::Schema, message))
}

fn unread(dataset: &Dataset) -> String {
    format!("source.query cannot be read; the query is {}", dataset.query)
}

/// Whether one store's rows are found by indexes alone.
async fn seeks(
    dataset: &Dataset,
    shape: &Shape,
    transaction: &mut Transaction<'_>,
) -> Result<bool, SourceError> {
    let client = transaction.client;
    let mut id = shape.id.kind.any_id().to_string();
    if shape.id.kind == Kind::Enum {
        let text = "SELECT enumlabel::text FROM pg_catalog.pg_enum WHERE enumtypid = $1 LIMIT 1";
        let label = client.query_opt(text, &[&shape.id.oid]).await.map_err(|e| failed(&e))?;
        let Some(label) = label else { return Ok(false) };
        id = label.get(0);
    }
    client.batch_execute(AS_IF_LARGE).await.map_err(|e| failed(&e))?;
    transaction.set(&[(Setting::Store, id)]).await?;
    let text = sql::explain_one(dataset, shape);
    let plan = client
        .query_one(&text, &[])
        .await
        .map_err(|e| because(SourceErrorKind::Schema, unread(dataset), &e))?;
    let Json(plan) = plan.get(0);
    let mut steps = Vec::new();
    flatten(&plan, &mut steps);
    // Whatever reads a table must seek in it.
    let mut sought = Vec::new();
    for step in &steps {
        let word = |name: &str| step.get(name).and_then(Value::as_str);
        if let (Some(index), Some(condition)) = (word("Index Name"), word("Index Cond")) {
            sought.push((index, condition));
        } else if word("Relation Name").is_some() && word("Node Type") != Some("Bitmap Heap Scan") {
            return Ok(false);
        }
    }
    // A condition on a later column alone walks through the whole index.
    let names: Vec<&str> = sought.iter().map(|(index, _)| *index).collect();
    let text = "SELECT c.relname::text, pg_catalog.pg_get_indexdef(c.oid, 1, true)
        FROM pg_catalog.pg_class c WHERE c.relkind = 'i' AND c.relname = ANY($1::text[])";
    let leading = client.query(text, &[&names]).await.map_err(|e| failed(&e))?;
    let leading: Vec<(String, String)> =
        leading.iter().map(|row| (row.get(0), row.get(1))).collect();
    let leads = |(index, condition): &(&str, &str)| {
        leading.iter().any(|(name, column)| name == index && mentions(condition, column))
    };
    Ok(!sought.is_empty() && sought.iter().all(leads))
}

/// Whether a condition compares a column.
fn mentions(condition: &str, column: &str) -> bool {
    condition.match_indices(column).any(|(at, _)| {
        let before = condition[..at].chars().next_back();
        let after = condition[at + column.len()..].chars().next();
        before.is_none_or(|c| "(. ".contains(c)) && after.is_none_or(|c| ") ".contains(c))
    })
}

/// A JSON document, as EXPLAIN gives it.
struct Json(Value);

impl<'a> tokio_postgres::types::FromSql<'a> for Json {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Json, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Json(serde_json::from_slice(raw)?))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::JSON
    }
}

/// All steps of a plan.
fn flatten<'a>(plan: &'a Value, steps: &mut Vec<&'a Value>) {
    match plan {
        Value::Array(parts) => parts.iter().for_each(|part| flatten(part, steps)),
        Value::Object(parts) => {
            steps.push(plan);
            for name in ["Plan", "Plans"] {
                if let Some(below) = parts.get(name) {
                    flatten(below, steps);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_mentions_a_column_and_not_a_part_of_its_name() {
        let condition = "((q.store)::text = current_setting('samovar.store'::text))";
        assert!(mentions(condition, "store") && !mentions(condition, "stor"));
        assert!(!mentions("(store_id = 7)", "store") && !mentions("(restore = 7)", "store"));
        assert!(mentions("(\"门店\" = 7)", "\"门店\"") && mentions("(day = 7)", "day"));
    }
}
