//! The text of the queries. Names are quoted as identifiers. COPY takes no parameters, so values are set beforehand,
//! as parameters of `set_config`, for the transaction alone; a query refers to them by `current_setting`.

use super::form::Form;
use super::shape::Shape;
use crate::Dataset;
use crate::sql::{column, quoted};

/// A value that is set for a query.
#[derive(Clone, Copy, Debug)]
pub(super) enum Setting {
    Store,
    From,
    Until,
}

impl Setting {
    fn name(self) -> &'static str {
        match self {
            Setting::Store => "samovar.store",
            Setting::From => "samovar.from",
            Setting::Until => "samovar.until",
        }
    }

    /// In a query. The planner looks at it for its estimates, an index is sought by it, and partitions that it
    /// rules out are not opened.
    fn of(self, form: &Form) -> String {
        format!("pg_catalog.current_setting('{}')::{}", self.name(), form.cast)
    }

    /// In a query that scans: looked up once and not for every row.
    fn once(self, form: &Form) -> String {
        format!("(SELECT {})", self.of(form))
    }
}

/// Sets values, which are the parameters in this order.
pub(super) fn set(settings: impl Iterator<Item = Setting>) -> String {
    let set = |(at, setting): (usize, Setting)| {
        format!("pg_catalog.set_config('{}', ${}, true)", setting.name(), at + 1)
    };
    let all: Vec<String> = settings.enumerate().map(set).collect();
    format!("SELECT {}", all.join(", "))
}

/// The columns of something to select from.
pub(super) fn columns_of(from: &str) -> String {
    format!("SELECT * FROM {from} LIMIT 0")
}

/// What all rows are made of, for its types.
pub(super) fn types(dataset: &Dataset, shape: &Shape) -> String {
    format!("SELECT {} FROM {} LIMIT 0", wanted(dataset, false), shape.from)
}

/// The raw query as a table's name, alone or in a schema.
pub(crate) fn table(name: &str) -> (String, Option<String>) {
    let in_schema =
        name.split_once('.').map(|(schema, table)| format!("{}.{}", quoted(schema), quoted(table)));
    (quoted(name), in_schema)
}

/// What the rows of one store or of all are made of.
fn wanted(dataset: &Dataset, one_store: bool) -> String {
    let id = (!one_store).then_some(&dataset.store_id);
    let names = id
        .into_iter()
        .chain([&dataset.date])
        .chain(&dataset.product)
        .chain(&dataset.category)
        .chain(dataset.columns.iter().map(|c| &c.name));
    names.map(|name| column(name)).collect::<Vec<_>>().join(", ")
}

/// The rows of one store or of all, within the bounds that there are.
pub(super) fn rows(
    dataset: &Dataset,
    shape: &Shape,
    one_store: bool,
    lower: bool,
    upper: bool,
) -> String {
    let (id, date) = (column(&dataset.store_id), column(&dataset.date));
    let value = |setting: Setting, form| {
        if one_store && shape.seeks { setting.of(form) } else { setting.once(form) }
    };
    let store = if one_store {
        format!("{id} = {}", value(Setting::Store, &shape.id))
    } else {
        format!("{id} IS NOT NULL")
    };
    let lower = if lower {
        format!("{date} >= {}", value(Setting::From, &shape.date))
    } else {
        format!("{date} IS NOT NULL")
    };
    let upper = if upper {
        format!(" AND {date} < {}", value(Setting::Until, &shape.date))
    } else {
        String::new()
    };
    let order = if one_store { date } else { format!("{id}, {date}") };
    let (wanted, from) = (wanted(dataset, one_store), &shape.from);
    copy(&format!("SELECT {wanted} FROM {from} WHERE {store} AND {lower}{upper} ORDER BY {order}"))
}

/// How one store is found. Without bounds or order by day: an index on the day must not look like one on the store.
pub(super) fn explain_one(dataset: &Dataset, shape: &Shape) -> String {
    let (wanted, from, id) = (wanted(dataset, true), &shape.from, column(&dataset.store_id));
    let store = Setting::Store.of(&shape.id);
    format!("EXPLAIN (VERBOSE, FORMAT JSON) SELECT {wanted} FROM {from} WHERE {id} = {store}")
}

/// Every store with its number of lines, of lines with a day, and its first and last day; the name too where
/// looking it up store by store would cost a scan each.
pub(super) fn stores(dataset: &Dataset, shape: &Shape) -> String {
    let (id, date, from) = (column(&dataset.store_id), column(&dataset.date), &shape.from);
    let name = match &dataset.store_name {
        Some(name) if !shape.seeks => format!("max({}::text)", column(name)),
        _ => "NULL::text".into(),
    };
    copy(&format!(
        "SELECT {id}, count(*), count({date}), min({date}), max({date}), {name} FROM {from} GROUP BY 1"
    ))
}

/// The same for a table with an index on store and day, store by store and without a look at every line: what has a
/// day counts as one line. What has no store is counted at the end.
pub(super) fn outline(dataset: &Dataset, shape: &Shape) -> String {
    let (id, date, from) = (column(&dataset.store_id), column(&dataset.date), &shape.from);
    copy(&format!(
        "WITH RECURSIVE s(id) AS (
            (SELECT {id} FROM {from} WHERE {id} IS NOT NULL ORDER BY 1 LIMIT 1)
            UNION ALL
            SELECT (SELECT {id} FROM {from} WHERE {id} > s.id ORDER BY 1 LIMIT 1) FROM s WHERE s.id IS NOT NULL)
        SELECT s.id, undated + dated, dated, first, last, NULL::text FROM s, LATERAL (
            SELECT *, CASE WHEN first IS NULL THEN 0::bigint ELSE 1 END AS dated FROM (
                SELECT (SELECT count(*) FROM {from} WHERE {id} = s.id AND {date} IS NULL) AS undated,
                    (SELECT min({date}) FROM {from} WHERE {id} = s.id) AS first,
                    (SELECT max({date}) FROM {from} WHERE {id} = s.id) AS last) AS ends) AS found
        WHERE s.id IS NOT NULL
        UNION ALL
        SELECT NULL, count(*), 0, NULL, NULL, NULL FROM {from} WHERE {id} IS NULL"
    ))
}

/// The names of the stores whose ids are the parameter, in its order.
pub(super) fn names(dataset: &Dataset, shape: &Shape) -> Option<String> {
    let name = column(dataset.store_name.as_ref()?);
    let (from, id, cast) = (&shape.from, column(&dataset.store_id), &shape.id.cast);
    Some(format!(
        "SELECT (SELECT {name}::text FROM {from} WHERE {id} = s.id::{cast} AND {name} IS NOT NULL LIMIT 1)
         FROM unnest($1) WITH ORDINALITY AS s(id, at) ORDER BY at"
    ))
}

fn copy(select: &str) -> String {
    format!("COPY ({select}) TO STDOUT (FORMAT binary)")
}
