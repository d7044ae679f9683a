//! The caches as the recipe's configuration has them.

use std::time::Duration;

use samovar::CachePolicy;
use samovar_source::rows::{LoadSql, Rows, WriteSql};
use toml::{Table, Value};

/// One table `[caches.NAME]`.
pub(crate) struct Cache {
    pub(crate) name: String,
    pub(crate) strategy: String,
    pub(crate) policy: CachePolicy,
    pub(crate) load: LoadSql,
    pub(crate) write: Option<WriteSql>,
}

/// All of them, by name.
pub(crate) fn caches() -> Vec<Cache> {
    let all: Table = samovar_erp::CONFIGURATION.parse().unwrap();
    let Value::Table(caches) = &all["caches"] else { panic!("caches are tables") };
    caches.iter().map(|(name, table)| cache(name, table.as_table().unwrap())).collect()
}

fn cache(name: &str, table: &Table) -> Cache {
    let known = ["key_prefix", "strategy", "ttl", "memory", "load", "write"];
    assert!(table.keys().all(|field| known.contains(&field.as_str())), "{name}");
    let text = |table: &Table, field: &str| {
        table.get(field).map(|value| value.as_str().unwrap().to_owned())
    };
    let seconds = text(table, "ttl").unwrap();
    let ttl = Duration::from_secs(seconds.strip_suffix('s').unwrap().parse().unwrap());
    let policy = CachePolicy {
        key_prefix: Some(text(table, "key_prefix").unwrap().into()),
        ttl,
        // So that tests know when it ends.
        jitter: 0.0,
        memory: table.get("memory").is_none_or(|memory| memory.as_bool().unwrap()),
        ..CachePolicy::named(name)
    };
    let load = table["load"].as_table().unwrap();
    let rows = match text(load, "rows").unwrap().as_str() {
        "one" => Rows::One,
        "many" => Rows::Many,
        other => panic!("{other}"),
    };
    let load = LoadSql { sql: text(load, "sql").unwrap(), rows, key: text(load, "key") };
    let write = table.get("write").map(|write| {
        let write = write.as_table().unwrap();
        WriteSql {
            delete: text(write, "delete"),
            key: text(write, "key"),
            ..WriteSql::new(text(write, "upsert").unwrap())
        }
    });
    Cache { name: name.into(), strategy: text(table, "strategy").unwrap(), policy, load, write }
}
