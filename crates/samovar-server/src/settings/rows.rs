//! The tables `[caches.NAME.load]` and `[caches.NAME.write]`: which rows of the source's database a cache stands for.

use samovar_source::rows::{LoadSql, Rows, WriteSql};

use super::raw::{Reader, Table};

/// What reads the rows of a key, if that is said.
pub(super) fn load(reader: &mut Reader, cache: &mut Table) -> Option<LoadSql> {
    let mut table = cache.table(reader, "load", false);
    if !table.is_given() {
        return None;
    }
    let sql = table.needed(reader, "sql", "a SELECT with the parameter :key");
    let rows = match &*table.word(reader, "rows", "one", &["one", "many"]) {
        "many" => Rows::Many,
        _ => Rows::One,
    };
    let key = table.text(reader, "key");
    table.finish(reader);
    Some(LoadSql { key, ..LoadSql::new(sql, rows) })
}

/// What writes the row of a key, if that is said.
pub(super) fn write(reader: &mut Reader, cache: &mut Table) -> Option<WriteSql> {
    let mut table = cache.table(reader, "write", false);
    if !table.is_given() {
        return None;
    }
    let upsert = table.needed(reader, "upsert", "an INSERT, UPDATE or MERGE with :key");
    let own = WriteSql::new(upsert);
    let write = WriteSql {
        delete: table.text(reader, "delete"),
        key: table.text(reader, "key"),
        remember: table.flag(reader, "remember", own.remember),
        ..own
    };
    table.finish(reader);
    Some(write)
}
