//! The text of the queries. Names are quoted as identifiers; values are always bound.

use crate::Dataset;
use crate::sql::{bare, column, quoted, select};

/// The raw query as something to select from.
fn from(query: &str) -> String {
    select(query).unwrap_or_else(|| format!("{} AS q", quoted(bare(query))))
}

pub(super) fn columns_of(dataset: &Dataset) -> String {
    format!("SELECT * FROM {} LIMIT 0", from(&dataset.query))
}

/// A column told apart and ordered by its bytes, whatever its collation holds for equal.
fn exact(name: &str) -> String {
    format!("{} COLLATE BINARY", column(name))
}

/// The condition that a line is of the store whose id is the first parameter, byte by byte. Said twice, because an index
/// serves only in its own collation, which is that of the column unless it was told another.
fn is_store(dataset: &Dataset) -> String {
    let (id, exact) = (column(&dataset.store_id), exact(&dataset.store_id));
    format!("{id} = ?1 AND {exact} = ?1")
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
        "SELECT {id}, count(*), count({date}), min({date}), max({date}), {name} FROM {from} GROUP BY {}",
        exact(&dataset.store_id)
    )
}

/// The id of one store as the database has it, if it has lines.
pub(super) fn id_of(dataset: &Dataset) -> String {
    let (from, id) = (from(&dataset.query), column(&dataset.store_id));
    format!("SELECT {id} FROM {from} WHERE {} LIMIT 1", is_store(dataset))
}

/// The name of one store.
pub(super) fn name_of(dataset: &Dataset) -> Option<String> {
    let name = column(dataset.store_name.as_ref()?);
    let (from, store) = (from(&dataset.query), is_store(dataset));
    Some(format!("SELECT {name} FROM {from} WHERE {store} AND {name} IS NOT NULL LIMIT 1"))
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
    let store = if one_store { is_store(dataset) } else { format!("{id} IS NOT NULL") };
    let lower = if lower { format!("{date} >= ?") } else { format!("+{date} IS NOT NULL") };
    let upper = if upper { format!(" AND {date} < ?") } else { String::new() };
    let order = match one_store {
        true => date,
        false => format!("{}, {date}", exact(&dataset.store_id)),
    };
    let (wanted, from) = (wanted.join(", "), from(&dataset.query));
    format!("SELECT {wanted} FROM {from} WHERE {store} AND {lower}{upper} ORDER BY {order}")
}
