//! What the server reckons with for a table so large that its lines are not counted for a list of stores.
//!
//! First and last day of each store are the ends of its stretch of an index on store and day, which is sought from one
//! store to the next (PostgreSQL's wiki calls that a loose index scan). How many lines lie between takes a look at each,
//! however large the table; what the planner reckons with is near enough to cut blocks and to begin with the largest.

use std::collections::HashMap;

use super::connection::{Transaction, failed};
use super::shape::Shape;
use crate::{Dataset, SourceError, Store};

/// Fewer lines than this are counted in a moment.
const MANY: f64 = 1_000_000.0;
/// To find a store by seeking, in each partition, takes as long as to count so many lines.
const SEEKING: f64 = 100.0;

/// The table by its name, if an index leads with store and day, in the order in which they are sought. Statistics of a
/// table in partitions are those with `inherited`.
const STATISTICS: &str = "
    SELECT c.reltuples::float8, coalesce(s.n_distinct, 0)::float8,
        (SELECT count(*) FROM pg_catalog.pg_partition_tree(c.oid) AS p WHERE p.isleaf)::float8,
        coalesce(s.most_common_vals::text::text[], '{}'), coalesce(s.most_common_freqs::float8[], '{}'),
        coalesce(s.null_frac, 0)::float8
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = $2
    JOIN pg_catalog.pg_attribute d ON d.attrelid = c.oid AND d.attname = $3
    LEFT JOIN pg_catalog.pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname
        AND s.attname = a.attname AND s.inherited = (c.relkind = 'p')
    WHERE c.oid = pg_catalog.to_regclass($1) AND (c.relkind = 'p' OR NOT c.relhassubclass) AND EXISTS (
        SELECT FROM pg_catalog.pg_index i
        JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
        JOIN pg_catalog.pg_am m ON m.oid = x.relam AND m.amname = 'btree'
        JOIN pg_catalog.pg_opclass o ON o.oid = i.indclass[0] AND o.opcdefault
        JOIN pg_catalog.pg_opclass p ON p.oid = i.indclass[1] AND p.opcdefault
        WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL
            AND i.indkey[0] = a.attnum AND i.indkey[1] = d.attnum
            AND i.indcollation[0] = a.attcollation AND i.indcollation[1] = d.attcollation
            AND i.indoption[0] = 0 AND i.indoption[1] = 0)";

/// What the planner reckons with.
pub(super) struct Reckoned {
    /// Of the whole table.
    lines: f64,
    /// The shares of the stores that it knows one by one.
    shares: HashMap<String, f64>,
    /// The share of all others together.
    rest: f64,
}

/// `None` if the lines are to be counted: there are few, or many stores to seek, or no index to seek them by.
pub(super) async fn reckoned(
    dataset: &Dataset,
    shape: &Shape,
    transaction: &Transaction<'_>,
) -> Result<Option<Reckoned>, SourceError> {
    let Some(table) = &shape.table else { return Ok(None) };
    // A name by store needs an index of its own to be looked up by; without one the scan brings it along.
    if !shape.seeks {
        return Ok(None);
    }
    let row = transaction
        .client
        .query_opt(STATISTICS, &[table, &dataset.store_id, &dataset.date])
        .await
        .map_err(|e| failed(&e))?;
    let Some(row) = row else { return Ok(None) };
    let (lines, distinct, partitions): (f64, f64, f64) = (row.get(0), row.get(1), row.get(2));
    // A negative number is a share of the lines, zero is not known.
    let stores = if distinct < 0.0 { -distinct * lines } else { distinct };
    if lines < MANY || stores == 0.0 || stores * partitions.max(1.0) * SEEKING > lines {
        return Ok(None);
    }
    let (ids, shares): (Vec<String>, Vec<f64>) = (row.get(3), row.get(4));
    let known: f64 = shares.iter().sum();
    let rest = (1.0 - known - row.get::<_, f64>(5)).max(0.0);
    Ok(Some(Reckoned { lines, shares: ids.into_iter().zip(shares).collect(), rest }))
}

impl Reckoned {
    /// Says of each store about how many lines it has.
    pub(super) fn estimate(&self, stores: &mut [Store]) {
        let others = stores.iter().filter(|store| !self.shares.contains_key(&*store.id)).count();
        for store in stores {
            let share = self.shares.get(&*store.id).copied();
            let share = share.unwrap_or(self.rest / others.max(1) as f64);
            store.lines = (share * self.lines).round().max(1.0) as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use samovar_core::Day;

    use super::*;

    #[test]
    fn what_is_not_known_one_by_one_shares_the_rest() {
        let shares = [("a", 0.5), ("gone", 0.1)].map(|(id, share)| (id.to_string(), share)).into();
        let reckoned = Reckoned { lines: 1_000.0, shares, rest: 0.2 };
        let store =
            |id: &str| Store { id: id.into(), name: None, lines: 0, first: Day(0), last: Day(0) };
        let mut stores = ["a", "b", "c"].map(store);
        reckoned.estimate(&mut stores);
        assert_eq!(stores.map(|store| store.lines), [500, 100, 100]);
    }
}
