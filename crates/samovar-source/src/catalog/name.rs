//! Names in SQL that people read: quoted where they must be, and only there.

use super::TableName;
use crate::sql::{bare, quoted, select};

/// What SQLite and PostgreSQL have reserved, and so must be quoted where it is a name: SQLite's keywords, and those of
/// PostgreSQL that name no column or no table.
const RESERVED: &str = "abort action add after all alter always analyse analyze and any array as asc asymmetric \
    attach authorization autoincrement before begin between binary both by cascade case cast check collate \
    collation column commit concurrently conflict constraint create cross current current_catalog current_date \
    current_role current_schema current_time current_timestamp current_user database default deferrable deferred \
    delete desc detach distinct do drop each else end escape except exclude exclusive exists explain fail false \
    fetch filter first following for foreign freeze from full generated glob grant group groups having if ignore \
    ilike immediate in index indexed initially inner insert instead intersect into is isnull join key last lateral \
    leading left like limit localtime localtimestamp match materialized natural no not nothing notnull null nulls \
    of offset on only or order others outer over overlaps partition placing plan pragma preceding primary query \
    raise range recursive references regexp reindex release rename replace restrict returning right rollback row \
    rows savepoint select session_user set similar some symmetric system_user table tablesample temp temporary \
    then ties to trailing transaction trigger true unbounded union unique update user using vacuum values variadic \
    verbose view virtual when where window with without";

/// Whether a name means itself in SQL without quotes: small ASCII letters, digits and `_`, and no reserved word.
pub(super) fn is_plain(name: &str) -> bool {
    let first = name.chars().next().is_some_and(|c| c.is_ascii_lowercase() || c == '_');
    first
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !RESERVED.split_ascii_whitespace().any(|word| word == name)
}

/// A name as an identifier.
pub(super) fn plain(name: &str) -> String {
    if is_plain(name) { name.to_owned() } else { quoted(name) }
}

/// A table's name as an identifier.
pub(super) fn full(table: &TableName) -> String {
    match &table.schema {
        Some(schema) => format!("{}.{}", plain(schema), plain(&table.name)),
        None => plain(&table.name),
    }
}

impl TableName {
    /// What names the table alone in place of a query; `None` if it would be taken for something else.
    ///
    /// ```
    /// use samovar_source::catalog::TableName;
    ///
    /// let name = |name: &str| TableName { schema: Some("shop".into()), name: name.into() }.as_query();
    /// assert_eq!(name("Order Lines").as_deref(), Some("shop.Order Lines"));
    /// assert_eq!(name("orders.2026"), None);
    /// ```
    pub fn as_query(&self) -> Option<String> {
        let text = self.to_string();
        let dots = [self.schema.as_deref().unwrap_or(""), &self.name];
        let clear = dots.iter().all(|part| !part.contains('.'))
            && bare(&text) == text
            && select(&text).is_none();
        clear.then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use samovar_testkit::postgres::Server;

    use super::*;

    #[test]
    fn what_is_reserved_is_quoted() {
        for name in ["orders", "_1", "store_id", "date", "name"] {
            assert!(is_plain(name), "{name}");
        }
        for name in ["", "Orders", "1st", "two words", "order", "门店", "a\"b", "select"] {
            assert!(!is_plain(name), "{name}");
        }
    }

    #[test]
    fn every_word_that_postgresql_reserves_is_known() {
        let database = Server::shared().unwrap().database().unwrap();
        let reserved = "SELECT word FROM pg_get_keywords() WHERE catcode IN ('R', 'T')";
        let words = database.run(reserved).unwrap();
        let unknown: Vec<&str> = words.lines().filter(|word| is_plain(word)).collect();
        assert!(words.lines().count() > 50 && unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn a_table_stands_alone_where_it_is_clear() {
        let alone = |name: &str| TableName { schema: None, name: name.into() }.as_query();
        assert_eq!(alone("门店 销售").as_deref(), Some("门店 销售"));
        for name in ["select a", "a.b", " a", "a;", "with x"] {
            assert_eq!(alone(name), None, "{name}");
        }
    }
}
