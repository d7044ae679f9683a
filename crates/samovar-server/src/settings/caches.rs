//! The tables `[caches.NAME]`: named caches, each with its policy.

use samovar::codec::{Compression, CompressionPolicy};
use samovar::{CachePolicy, KeyVersion, Strategy, check};
use samovar_levels::LEVELS;
use samovar_source::rows::{LoadSql, WriteSql};

use super::raw::{Reader, Table};
use super::rows;
use crate::caches::TagPattern;

/// There are no more of them.
const MAX_CACHES: usize = 200;
/// A document bears no more of them by its fields.
const MAX_TAGS: usize = 16;
/// The most characters of a name.
const LONGEST_NAME: usize = 64;
/// Names that doors have.
const RESERVED: [&str; 2] = ["warmup", "stats"];

/// A named cache.
///
/// ```
#[doc = include_str!("../example.txt")]
/// # let folder = shop()?;
/// # let settings = settings(&folder)?;
/// // [caches.notes] says nothing, [caches.product_info] has `load` and `write`.
/// let [notes, info] = &settings.caches[..] else { panic!("there are two") };
/// assert!(notes.load.is_none() && notes.write.is_none());
/// assert_eq!(info.policy.strategy, samovar::Strategy::WriteThrough);
/// assert!(info.load.as_ref().is_some_and(|load| load.sql.starts_with("SELECT")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct CacheSettings {
    /// How it keeps its entries, and how it treats its source. Its name is in there.
    pub policy: CachePolicy,
    /// What reads the rows that it holds, of the source's database.
    pub load: Option<LoadSql>,
    /// What writes them.
    pub write: Option<WriteSql>,
    /// The tags that its documents bear, put together of their fields.
    pub tags: Vec<TagPattern>,
}

pub(super) fn caches(reader: &mut Reader, mut all: Table) -> Vec<CacheSettings> {
    let names = all.names();
    if names.len() > MAX_CACHES {
        let found = format!("{} caches", names.len());
        reader.problem("caches", &found, &format!("up to {MAX_CACHES}"));
    }
    let mut caches = Vec::new();
    for name in names {
        let table = all.table(reader, &name, false);
        if !table.is_given() {
            continue;
        }
        let is_plain = (1..=LONGEST_NAME).contains(&name.chars().count())
            && name.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c));
        if !is_plain || name.starts_with('_') || name.contains("__") {
            let allowed = format!(
                "a name of up to {LONGEST_NAME} letters, digits, `-`, `.` and single `_`, which does not begin with `_`"
            );
            reader.problem(&all.path(&name), &format!("the name {name:?}"), &allowed);
        }
        let taken = RESERVED.iter().chain(&LEVELS);
        if taken.clone().any(|taken| *taken == name) {
            let taken: Vec<&str> = taken.copied().collect();
            let allowed = format!("a name that is none of {}", taken.join(", "));
            reader.problem(&all.path(&name), &format!("the name {name:?}"), &allowed);
        }
        caches.push(cache(reader, table, &name));
    }
    all.finish(reader);
    agree(reader, &caches);
    caches
}

/// What the policies themselves say of each other, and of what they hold.
fn agree(reader: &mut Reader, caches: &[CacheSettings]) {
    let levels = LEVELS.iter().map(|name| CachePolicy::named(*name));
    let named = caches.iter().map(|cache| cache.policy.clone());
    // Names are judged above.
    let policies: Vec<CachePolicy> =
        levels.chain(named.filter(|policy| !LEVELS.contains(&&*policy.name))).collect();
    // As it will be served.
    let settings = samovar::Settings { data_dir: Some("".into()), ..samovar::Settings::default() };
    for problem in check(&settings, &policies) {
        let Some(cache) = &problem.cache else { continue };
        if problem.field == "name" {
            continue;
        }
        let text = problem.text.strip_prefix("found ").unwrap_or(&problem.text);
        let (found, allowed) = text.split_once(", allowed is ").unwrap_or((text, ""));
        let (found, allowed) = match found.split_once("; allowed is ") {
            Some((found, allowed)) => (found, allowed),
            None => (found, allowed),
        };
        reader.problem(&format!("caches.{cache}.{}", problem.field), found, allowed);
    }
}

fn cache(reader: &mut Reader, mut table: Table, name: &str) -> CacheSettings {
    let own = CachePolicy::named(name);
    let (load, write) = (rows::load(reader, &mut table), rows::write(reader, &mut table));
    let (tags, version) = (tags(reader, &mut table), version(reader, &mut table));
    let compression = compression(reader, &mut table);
    let number = |table: &mut Table, reader: &mut Reader, field: &str| {
        let given = table.has(field);
        let read = table.share(reader, field, 1.0, f64::MIN..=f64::MAX);
        given.then_some(read)
    };
    let policy = CachePolicy {
        key_prefix: table.text(reader, "key_prefix").map(Into::into),
        version,
        strategy: strategy(reader, &mut table),
        write_attempts: table.number(
            reader,
            "write_attempts",
            own.write_attempts.into(),
            1..=i64::from(u32::MAX),
        ) as u32,
        ttl: table.duration(reader, "ttl", own.ttl),
        memory_ttl: table.limit(reader, "memory_ttl", own.memory_ttl),
        negative_ttl: table.limit(reader, "negative_ttl", own.negative_ttl),
        jitter: table.share(reader, "jitter", own.jitter, 0.0..=1.0),
        stale_window: table.window(reader, "stale_window", own.stale_window),
        fail_safe: table.window(reader, "fail_safe", own.fail_safe),
        refresh_ahead: number(&mut table, reader, "refresh_ahead"),
        early_expiry: number(&mut table, reader, "early_expiry"),
        soft_timeout: table.limit(reader, "soft_timeout", own.soft_timeout),
        hard_timeout: table.limit(reader, "hard_timeout", own.hard_timeout),
        load_limit: table.limit(reader, "load_limit", own.load_limit),
        load_lease: table.limit(reader, "load_lease", own.load_lease),
        throttle: table.window(reader, "throttle", own.throttle),
        priority: table.number(reader, "priority", own.priority.into(), 0..=100) as u8,
        max_bytes: match table.has("max_bytes") {
            true => Some(table.bytes(reader, "max_bytes", 1)),
            false => None,
        },
        memory: table.flag(reader, "memory", own.memory),
        redis: table.flag(reader, "redis", own.redis),
        disk: table.flag(reader, "disk", own.disk),
        compression,
        ..own
    };
    if !(policy.memory || policy.redis || policy.disk) {
        let allowed = "at least one of memory, redis and disk";
        reader.problem(&table.path(""), "a cache that is kept nowhere", allowed);
    }
    table.finish(reader);
    CacheSettings { policy, load, write, tags }
}

/// `tags = ["category:{category_id}"]`
fn tags(reader: &mut Reader, table: &mut Table) -> Vec<TagPattern> {
    let allowed = "a list of up to 16 tags, which may have fields of the document in them, as \"category:{category_id}\"";
    let words = table.any_words(reader, "tags", allowed);
    if words.len() > MAX_TAGS {
        reader.problem(&table.path("tags"), &format!("{} tags", words.len()), allowed);
    }
    let mut tags = Vec::new();
    for word in &words {
        match word.parse::<TagPattern>() {
            Ok(tag) => tags.push(tag),
            Err(wrong) => reader.problem(&table.path("tags"), &wrong, allowed),
        }
    }
    tags
}

fn strategy(reader: &mut Reader, table: &mut Table) -> Strategy {
    let words = ["cache-aside", "write-through", "write-back"];
    match &*table.word(reader, "strategy", words[0], &words) {
        "write-through" => Strategy::WriteThrough,
        "write-back" => Strategy::WriteBack,
        _ => Strategy::CacheAside,
    }
}

/// `version = "v2"`, `version = 2`, or `version = { period = "1h" }`.
fn version(reader: &mut Reader, table: &mut Table) -> KeyVersion {
    if table.is_table("version") {
        let mut inner = table.table(reader, "version", false);
        let period = inner.duration(reader, "period", std::time::Duration::from_secs(3_600));
        inner.finish(reader);
        return KeyVersion::Period(period);
    }
    let allowed =
        "a number or a text for the shape of the values, as \"v2\", or { period = \"1h\" }";
    table
        .label(reader, "version", allowed)
        .map_or(KeyVersion::None, |text| KeyVersion::Schema(text.into()))
}

/// `compression = "zstd"`, or a table with `method` and more.
fn compression(reader: &mut Reader, table: &mut Table) -> CompressionPolicy {
    let allowed = "\"none\", \"gzip\", \"lz4\" or \"zstd\"";
    let read = |text: &str| text.parse::<Compression>().ok();
    if !table.is_table("compression") {
        let method = table.parsed(reader, "compression", allowed, read).unwrap_or_default();
        return CompressionPolicy::by(method);
    }
    let mut inner = table.table(reader, "compression", false);
    let method = inner.parsed(reader, "method", allowed, read);
    let own = CompressionPolicy::by(method.unwrap_or(Compression::Zstd));
    let level = inner.has("level").then(|| match own.method.levels() {
        Some(levels) => {
            let range = i64::from(*levels.start())..=i64::from(*levels.end());
            inner.number(reader, "level", *range.start(), range) as i32
        }
        None => {
            let found = format!("a level for {}", own.method);
            reader.problem(&inner.path("level"), &found, "no level, or gzip or zstd");
            inner.drop_field("level");
            0
        }
    });
    let policy = CompressionPolicy {
        level,
        threshold: inner.bytes(reader, "above", own.threshold as u64) as usize,
        least_saving: inner.share(reader, "least_saving", own.least_saving, 0.0..=1.0),
        ..own
    };
    inner.finish(reader);
    policy
}

#[cfg(test)]
#[path = "caches_tests.rs"]
mod tests;
