//! The text of the queries. Names are quoted as identifiers; values are always bound.

use crate::Dataset;

/// A name as an identifier.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A column of the raw query. Bound to the query's alias, because SQLite takes an unknown name in double
/// quotes for a text.
fn column(name: &str) -> String {
    format!("q.{}", quoted(name))
}

/// The raw query as something to select from.
fn from(query: &str) -> String {
    let text = query.trim().trim_end_matches(';').trim_end();
    if is_select(text) {
        // The line break ends a comment that the query may close with.
        format!("({text}\n) AS q")
    } else {
        format!("{} AS q", quoted(text))
    }
}

/// Whether a text begins as a query does: after comments and blanks, with a word that is not all of it.
fn is_select(text: &str) -> bool {
    let mut rest = text.trim_start();
    loop {
        let after = match rest.get(..2) {
            Some("--") => rest.split_once('\n').map(|(_, after)| after),
            Some("/*") => rest.split_once("*/").map(|(_, after)| after),
            _ => break,
        };
        rest = after.unwrap_or("").trim_start();
    }
    let word = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("");
    word.len() < rest.len()
        && ["select", "with", "values"].iter().any(|known| known.eq_ignore_ascii_case(word))
}

pub(super) fn columns_of(dataset: &Dataset) -> String {
    format!("SELECT * FROM {} LIMIT 0", from(&dataset.query))
}

/// Every store with its number of lines, of lines with a day, and its first and last day; the name too where
/// looking it up store by store would cost a scan each.
pub(super) fn stores(dataset: &Dataset, with_name: bool) -> String {
    let (id, date) = (column(&dataset.store_id), column(&dataset.date));
    let name = match &dataset.store_name {
        Some(name) if with_name => format!("max({})", column(name)),
        _ => "NULL".into(),
    };
    let from = from(&dataset.query);
    format!(
        "SELECT {id}, count(*), count({date}), min({date}), max({date}), {name} FROM {from} GROUP BY 1"
    )
}

/// The id of one store as the database has it, if it has lines.
pub(super) fn id_of(dataset: &Dataset) -> String {
    let (from, id) = (from(&dataset.query), column(&dataset.store_id));
    format!("SELECT {id} FROM {from} WHERE {id} = ? LIMIT 1")
}

/// The name of one store.
pub(super) fn name_of(dataset: &Dataset) -> Option<String> {
    let name = column(dataset.store_name.as_ref()?);
    let (from, id) = (from(&dataset.query), column(&dataset.store_id));
    Some(format!("SELECT {name} FROM {from} WHERE {id} = ? AND {name} IS NOT NULL LIMIT 1"))
}

/// The rows of one store or of all; parameters are the store's id if it is one, and the bounds that there are.
pub(super) fn rows(dataset: &Dataset, one_store: bool, lower: bool, upper: bool) -> String {
    let (id, date) = (column(&dataset.store_id), column(&dataset.date));
    let mut wanted = if one_store { Vec::new() } else { vec![id.clone()] };
    wanted.push(date.clone());
    wanted.extend(dataset.product.iter().chain(&dataset.category).map(|name| column(name)));
    wanted.extend(dataset.columns.iter().map(|c| column(&c.name)));
    // A value of a type that is no date stays within an open end, so that it is met and told. The plus keeps
    // SQLite from seeking all that is not NULL by an index on the day, which is a scan by another name.
    let store = if one_store { format!("{id} = ?") } else { format!("{id} IS NOT NULL") };
    let lower = if lower { format!("{date} >= ?") } else { format!("+{date} IS NOT NULL") };
    let upper = if upper { format!(" AND {date} < ?") } else { String::new() };
    let order = if one_store { date } else { format!("{id}, {date}") };
    let (wanted, from) = (wanted.join(", "), from(&dataset.query));
    format!("SELECT {wanted} FROM {from} WHERE {store} AND {lower}{upper} ORDER BY {order}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_or_a_table() {
        for table in ["orders", "weird name", "select", "selection of 2026", "with_index"] {
            assert_eq!(from(table), format!("\"{table}\" AS q"));
        }
        assert_eq!(from("weird \"name\""), "\"weird \"\"name\"\"\" AS q");
        assert_eq!(from("select 1 -- done"), "(select 1 -- done\n) AS q");
        assert_eq!(
            from(" WITH a AS (SELECT 1) SELECT * FROM a; "),
            "(WITH a AS (SELECT 1) SELECT * FROM a\n) AS q"
        );
        assert_eq!(from("SELECT\"a\"FROM b"), "(SELECT\"a\"FROM b\n) AS q");
        let commented = "-- the year's sales\n/* joined */ select 1";
        assert_eq!(from(commented), format!("({commented}\n) AS q"));
    }
}
