//! The one file that configures a server: read raw, validated whole, all mistakes told at once.

mod awaited;
mod caches;
mod engine;
mod environment;
mod lines;
mod log;
mod raw;
mod redis;
mod rows;
mod rules;
mod source;
mod values;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use samovar::redis::RedisSettings;
use samovar_levels::{
    Aggregate, Better, Column, HealthRules, Lifetimes, Measure, ProductMetrics, Schema,
    StandoutRules, Unit,
};
use samovar_source::DateKind;

use crate::guard;
pub use caches::CacheSettings;
pub use environment::Environment;
pub use log::{JournalSettings, LogSettings};
use raw::{Reader, Table};
pub use source::{Place, SourceSettings};

/// A mistake in a configuration.
///
/// ```
/// # use samovar_server::Settings;
/// let problems = Settings::parse("listen = 'here'", "/".as_ref()).expect_err("it is no address");
/// assert!(problems[0].to_string().starts_with("line 1, listen: found "), "{}", problems[0]);
/// assert!(problems.iter().any(|problem| problem.line.is_none()), "nor is there a [source]");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, counted from 1, where the field stands, or the table that lacks it; `None` if neither is there.
    pub line: Option<usize>,
    /// The variable of the environment that says it in place of the file.
    pub variable: Option<String>,
    /// The table and field, as `source.path` or `measure[2].sum`.
    pub field: String,
    /// What stands there.
    pub found: String,
    /// What may stand there.
    pub allowed: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}, ")?;
        }
        if let Some(variable) = &self.variable {
            write!(f, "environment variable {variable}, ")?;
        }
        write!(f, "{}: found {}; allowed is {}", self.field, self.found, self.allowed)
    }
}

impl std::error::Error for Problem {}

/// What the source's columns mean.
///
/// ```
#[doc = include_str!("../example.txt")]
/// # let folder = shop()?;
/// # let settings = settings(&folder)?;
/// let dataset = &settings.dataset;
/// assert_eq!((&*dataset.name, &*dataset.store_id, &*dataset.date), ("orders", "shop", "day"));
/// assert_eq!(&*dataset.schema.measures[0].name, "sales");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct DatasetSettings {
    /// The dataset's name; its event is `{name}_changed`.
    pub name: String,
    /// The column of the store's id.
    pub store_id: String,
    /// The column of the store's name.
    pub store_name: Option<String>,
    /// The column of the day or time.
    pub date: String,
    /// What that column holds.
    pub date_kind: DateKind,
    /// The time zone of a day.
    pub time_zone: TimeZone,
    /// Its IANA name.
    pub time_zone_name: String,
    /// The column of the product.
    pub product: Option<String>,
    /// The column of the category.
    pub category: Option<String>,
    /// ISO 4217 code of the currency of money measures.
    pub currency: String,
    /// Whether product metrics are kept.
    pub product_metrics: ProductMetrics,
    /// Measures and the columns they need.
    pub schema: Schema,
}

/// A validated configuration.
///
/// ```
#[doc = include_str!("../example.txt")]
/// # let folder = shop()?;
/// # let settings = settings(&folder)?;
/// assert!(settings.listen.ip().is_loopback() && settings.token.is_none());
/// assert_eq!(settings.disk_max_bytes, samovar_server::DISK_MAX_BYTES);
/// let names: Vec<&str> = settings.caches.iter().map(|cache| &*cache.policy.name).collect();
/// assert_eq!(names, ["notes", "product_info"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Who changes state must bear this token.
    pub token: Option<String>,
    /// Who reads figures from beyond this machine must bear this token or the other.
    pub read_token: Option<String>,
    /// Names besides loopback's by which requests may call a server that has no read token.
    pub allowed_hosts: Vec<String>,
    /// Where memory's companions live on disk; relative to the directory of the configuration.
    pub data: PathBuf,
    /// Budget of the memory tier, in bytes.
    pub memory_max_bytes: u64,
    /// Budget of the disk tier, in bytes.
    pub disk_max_bytes: u64,
    /// What waits on this server.
    pub journal: JournalSettings,
    /// Where several servers share what they have read, and what they were told.
    pub redis: Option<RedisSettings>,
    /// How the log is kept that they share.
    pub log: LogSettings,
    /// The source.
    pub source: SourceSettings,
    /// The dataset.
    pub dataset: DatasetSettings,
    /// Lifetimes of the levels.
    pub lifetimes: Lifetimes,
    /// What makes a product a star, and what a dead one.
    pub health: HealthRules,
    /// When a day stands out.
    pub standouts: StandoutRules,
    /// The named caches, by their names.
    pub caches: Vec<CacheSettings>,
}

/// Budget of the memory tier unless configured: 512 MB.
pub const MEMORY_MAX_BYTES: u64 = 512 << 20;
/// Budget of the disk tier unless configured: 4 GB.
pub const DISK_MAX_BYTES: u64 = 4 << 30;
/// No dataset has more measures.
const MAX_MEASURES: usize = 32;

impl Settings {
    /// Reads a configuration (TOML), with what the environment of this process says in place of it. Relative paths in it
    /// count from `directory`.
    ///
    /// # Errors
    /// Every mistake in it, in the order of their lines; last those about what is not there at all.
    ///
    /// ```
    /// # use samovar_server::Settings;
    /// let text = r#"
    ///     [source]
    ///     path = "shop.db"
    ///     query = "orders"
    ///     [dataset]
    ///     name = "orders"
    ///     store_id = "shop"
    ///     date = "day"
    ///     [[measure]]
    ///     name = "sales"
    ///     sum = "amount"
    ///     unit = "money"
    /// "#;
    /// let settings = Settings::parse(text, "/srv/shop".as_ref()).unwrap();
    /// assert_eq!(settings.source.place, samovar_server::Place::Sqlite("/srv/shop/shop.db".into()));
    /// let problems = Settings::parse("listne = 1", "/".as_ref()).unwrap_err();
    /// assert_eq!((problems[0].line, &*problems[0].field), (Some(1), "listne"));
    /// ```
    pub fn parse(text: &str, directory: &Path) -> Result<Settings, Vec<Problem>> {
        Settings::read(text, directory, &Environment::of_process())
    }

    /// As [`Settings::parse`], with an environment of the caller's.
    ///
    /// # Errors
    /// As there.
    ///
    /// ```
    #[doc = include_str!("../example.txt")]
    /// # use samovar_server::{Environment, Settings};
    /// # let folder = shop()?;
    /// // A file as above, and a variable that wins over it.
    /// let environment: Environment = [("SAMOVAR_MEMORY__MAX_BYTES", "1MB")].into_iter().collect();
    /// let settings = Settings::read(CONFIG, folder.path(), &environment)
    ///     .map_err(|problems| problems[0].to_string())?;
    /// assert_eq!(settings.memory_max_bytes, 1 << 20);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read(
        text: &str,
        directory: &Path,
        environment: &Environment,
    ) -> Result<Settings, Vec<Problem>> {
        let mut reader = Reader::default();
        let Some(mut root) = reader.open(text, environment) else {
            return Err(reader.into_problems());
        };
        let listen =
            root.parsed(&mut reader, "listen", "an address and port, as 127.0.0.1:8051", |text| {
                text.parse::<SocketAddr>().ok()
            });
        let token = root.text(&mut reader, "token");
        let read_token = root.text(&mut reader, "read_token");
        let allowed = "a list of names of hosts without scheme and port, as shop.example";
        let allowed_hosts = root.any_words(&mut reader, "allowed_hosts", allowed);
        let data = root.text(&mut reader, "data").unwrap_or_else(|| "samovar-data".into());
        let mut memory = root.table(&mut reader, "memory", false);
        let memory_max_bytes = memory.bytes(&mut reader, "max_bytes", MEMORY_MAX_BYTES);
        memory.finish(&mut reader);
        let mut disk = root.table(&mut reader, "disk", false);
        let disk_max_bytes = disk.bytes(&mut reader, "max_bytes", DISK_MAX_BYTES);
        disk.finish(&mut reader);
        let table = root.table(&mut reader, "journal", false);
        let journal = log::journal(&mut reader, table);
        let table = root.table(&mut reader, "redis", false);
        let is_shared = table.is_given();
        let redis = redis::redis(&mut reader, table, directory);
        let table = root.table(&mut reader, "log", false);
        let log = log::log(&mut reader, table, is_shared);
        let table = root.table(&mut reader, "source", true);
        let source = source::source(&mut reader, table, directory);
        let measures = root.tables(&mut reader, "measure");
        let table = root.table(&mut reader, "dataset", true);
        let dataset = dataset(&mut reader, table, measures);
        let table = root.table(&mut reader, "ttl", false);
        let lifetimes = lifetimes(&mut reader, table);
        let table = root.table(&mut reader, "health", false);
        let health = rules::health(&mut reader, table);
        let table = root.table(&mut reader, "standouts", false);
        let standouts = rules::standouts(&mut reader, table, &dataset.schema);
        let table = root.table(&mut reader, "caches", false);
        let caches = caches::caches(&mut reader, table);
        root.finish(&mut reader);
        for (field, token) in [("token", &token), ("read_token", &read_token)] {
            if token.as_deref().is_some_and(|token| !is_token(token)) {
                reader.problem(
                    field,
                    "a token that is too short or holds blanks",
                    "8 or more visible ASCII characters",
                );
            }
        }
        if let Some(wrong) = allowed_hosts.iter().find(|host| !guard::is_host(host)) {
            reader.problem("allowed_hosts", &format!("{wrong:?}"), allowed);
        }
        let listen = listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8051)));
        if !reader.problems.is_empty() {
            return Err(reader.into_problems());
        }
        Ok(Settings {
            listen,
            token,
            read_token,
            allowed_hosts,
            data: directory.join(data),
            memory_max_bytes,
            disk_max_bytes,
            journal,
            redis,
            log,
            source,
            dataset,
            lifetimes,
            health,
            standouts,
            caches,
        })
    }
}

/// Whether a text can be a token: 8 or more visible ASCII characters.
///
/// ```
/// assert!(samovar_server::is_token("open-sesame"));
/// assert!(!samovar_server::is_token("") && !samovar_server::is_token("two words"));
/// ```
pub fn is_token(text: &str) -> bool {
    text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn lifetimes(reader: &mut Reader, mut table: Table) -> Lifetimes {
    let default = Lifetimes::default();
    let lifetimes = Lifetimes {
        raw: table.duration(reader, "raw", default.raw),
        metrics: table.duration(reader, "metrics", default.metrics),
        results: table.duration(reader, "results", default.results),
        stale_window: table.duration(reader, "stale_window", default.stale_window),
        jitter: table.share(reader, "jitter", default.jitter, 0.0..=0.9),
    };
    table.finish(reader);
    lifetimes
}

fn dataset(reader: &mut Reader, mut table: Table, measures: Vec<Table>) -> DatasetSettings {
    let name = table.needed(reader, "name", "a name of letters, digits and _");
    if !name.is_empty() && !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
        reader.problem(
            "dataset.name",
            &format!("{name:?}"),
            "letters, digits and _: it names an event",
        );
    }
    let store_id = table.needed(reader, "store_id", "the name of a column of the query");
    let store_name = table.text(reader, "store_name");
    let date = table.needed(reader, "date", "the name of a column of the query");
    let kinds = ["date", "utc_datetime", "epoch_seconds", "epoch_millis"];
    let date_kind = match table.word(reader, "date_kind", "date", &kinds).as_str() {
        "utc_datetime" => DateKind::UtcDatetime,
        "epoch_seconds" => DateKind::EpochSeconds,
        "epoch_millis" => DateKind::EpochMillis,
        _ => DateKind::Date,
    };
    let zone = table.parsed(reader, "time_zone", "an IANA time zone, as Europe/Berlin", |text| {
        TimeZone::get(text).ok().map(|zone| (zone, text.to_string()))
    });
    let (time_zone, time_zone_name) = zone.unwrap_or((TimeZone::UTC, "UTC".into()));
    let product = table.text(reader, "product");
    let category = table.text(reader, "category");
    if category.is_some() && product.is_none() {
        reader.problem(
            "dataset.category",
            "a category without a product",
            "a category beside a product",
        );
    }
    let currency =
        table.parsed(reader, "currency", "three capital letters of ISO 4217, as EUR", |text| {
            (text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase()))
                .then(|| text.to_string())
        });
    let words = ["auto", "keep", "derive"];
    let product_metrics = match table.word(reader, "product_metrics", "auto", &words).as_str() {
        "keep" => ProductMetrics::Keep,
        "derive" => ProductMetrics::Derive,
        _ => ProductMetrics::Auto,
    };
    table.finish(reader);
    let schema = schema(reader, measures, product.is_some(), category.is_some());
    DatasetSettings {
        name,
        store_id,
        store_name,
        date,
        date_kind,
        time_zone,
        time_zone_name,
        product,
        category,
        currency: currency.unwrap_or_else(|| "USD".into()),
        product_metrics,
        schema,
    }
}

/// Columns of answers that are no measures.
const TAKEN: [&str; 5] = ["store_id", "store_name", "date", "product", "category"];

/// The fields of a measure that say how it is computed; each measure has one of them.
const AGGREGATES: [&str; 10] =
    ["count", "sum", "min", "max", "mean", "variance", "stddev", "distinct", "quantile", "ratio"];

fn schema(reader: &mut Reader, measures: Vec<Table>, products: bool, categories: bool) -> Schema {
    let mut schema = Schema { columns: Vec::new(), measures: Vec::new(), products, categories };
    if measures.is_empty() || measures.len() > MAX_MEASURES {
        let found = format!("{} of them", measures.len());
        reader.problem("measure", &found, &format!("1 to {MAX_MEASURES} tables [[measure]]"));
    }
    for mut table in measures {
        let name = table.needed(reader, "name", "a name of letters, digits and _");
        if !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
            let allowed = "letters, digits and _: it is a column of answers";
            reader.problem(&table.path("name"), &format!("{name:?}"), allowed);
        }
        if TAKEN.contains(&&*name) {
            let allowed = format!("a name that is none of {}", TAKEN.join(", "));
            reader.problem(&table.path("name"), &format!("{name:?}"), &allowed);
        }
        if schema.measure(&name).is_some() {
            reader.problem(&table.path("name"), &format!("{name:?} again"), "each name once");
        }
        let units = ["money", "count", "ratio", "minutes", "number"];
        let given: Vec<&str> = AGGREGATES.into_iter().filter(|field| table.has(field)).collect();
        let [how] = given[..] else {
            let found = if given.is_empty() { "none of them".into() } else { given.join(" and ") };
            reader.problem(
                &table.path(""),
                &found,
                &format!("exactly one of {}", AGGREGATES.join(", ")),
            );
            table.discard();
            continue;
        };
        let unit_default = match how {
            "count" | "distinct" => "count",
            "ratio" => "ratio",
            _ => "number",
        };
        let unit = match table.word(reader, "unit", unit_default, &units).as_str() {
            "money" => Unit::Money,
            "count" => Unit::Count,
            "ratio" => Unit::Ratio,
            "minutes" => Unit::Minutes,
            _ => Unit::Number,
        };
        let default = match unit {
            Unit::Money => 2,
            Unit::Count => 0,
            Unit::Ratio | Unit::Number => 4,
            Unit::Minutes => 1,
        };
        let decimals = table.number(reader, "decimals", default, 0..=9) as u8;
        let better = match table.word(reader, "better", "up", &["up", "down"]).as_str() {
            "down" => Better::Down,
            _ => Better::Up,
        };
        let label = table.text(reader, "label");
        let Some(aggregate) = aggregate(reader, &mut table, &mut schema, how, decimals) else {
            table.discard();
            continue;
        };
        table.finish(reader);
        schema.measures.push(Measure {
            name: name.into(),
            label,
            unit,
            decimals,
            better,
            aggregate,
        });
    }
    schema.with_ratios()
}

fn aggregate(
    reader: &mut Reader,
    table: &mut Table,
    schema: &mut Schema,
    how: &str,
    decimals: u8,
) -> Option<Aggregate> {
    match how {
        "count" => {
            table.word(reader, "count", "lines", &["lines"]);
            return Some(Aggregate::Count);
        }
        "ratio" => {
            let names =
                table.words(reader, "ratio", 2, "two names of measures above: over and under");
            let path = table.path("ratio");
            let mut find = |name: &String| {
                let found = schema.measure(name);
                if found.is_none() {
                    reader.problem(&path, &format!("{name:?}"), "the name of a measure above");
                }
                found
            };
            let [over, under] = &names[..] else { return None };
            return Some(Aggregate::Ratio(find(over)?, find(under)?));
        }
        _ => {}
    }
    let name = table.needed(reader, how, "the name of a column of the query");
    let text = how == "distinct";
    // Values that never occur in two partitions are counted in each and added up; others take a sketch.
    let hashed = text && !table.has("unique_within");
    if text {
        table.word(reader, "unique_within", "partition", &["partition"]);
    }
    // A column is one for all measures that read it alike.
    let found = schema
        .columns
        .iter()
        .position(|c| (&c.name, c.text, c.hashed, c.decimals) == (&name, text, hashed, decimals));
    let at = found.unwrap_or_else(|| {
        schema.columns.push(Column { decimals, text, hashed, ..Column::new(name) });
        schema.columns.len() - 1
    });
    let column = &mut schema.columns[at];
    Some(match how {
        "sum" => Aggregate::Sum(at),
        "mean" => Aggregate::Mean(at),
        "min" | "max" => {
            column.extremes = true;
            if how == "min" { Aggregate::Min(at) } else { Aggregate::Max(at) }
        }
        "distinct" if hashed => Aggregate::AboutDistinct(at),
        "distinct" => {
            column.distinct = true;
            Aggregate::Distinct(at)
        }
        "variance" | "stddev" => {
            column.squares = true;
            if how == "variance" { Aggregate::Variance(at) } else { Aggregate::Deviation(at) }
        }
        _ => {
            column.sketch = true;
            Aggregate::Quantile(at, table.share(reader, "q", 0.95, 0.0..=1.0))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(measures: &str) -> Result<Schema, Vec<Problem>> {
        let text = format!(
            "[source]\npath = \"shop.db\"\nquery = \"orders\"\n[dataset]\nname = \"orders\"\n\
             store_id = \"shop\"\ndate = \"day\"\n{measures}"
        );
        Settings::parse(&text, "/".as_ref()).map(|settings| settings.dataset.schema)
    }

    #[test]
    fn distinct_values_are_added_up_only_where_none_comes_twice() {
        let schema = measured(
            "[[measure]]\nname = \"orders\"\ndistinct = \"id\"\nunique_within = \"partition\"\n\
             [[measure]]\nname = \"ids\"\ndistinct = \"id\"",
        )
        .unwrap();
        let aggregates: Vec<Aggregate> = schema.measures.iter().map(|m| m.aggregate).collect();
        assert_eq!(aggregates, [Aggregate::Distinct(0), Aggregate::AboutDistinct(1)]);
        let kept: Vec<_> = schema.columns.iter().map(|c| (c.text, c.distinct, c.hashed)).collect();
        assert_eq!(kept, [(true, true, false), (true, false, true)], "each reads it its own way");
    }

    #[test]
    fn a_variance_and_its_root_share_a_column_with_the_sum() {
        let schema = measured(
            "[[measure]]\nname = \"a\"\nsum = \"x\"\n[[measure]]\nname = \"b\"\nvariance = \"x\"\n\
             [[measure]]\nname = \"c\"\nstddev = \"x\"",
        )
        .unwrap();
        let aggregates: Vec<Aggregate> = schema.measures.iter().map(|m| m.aggregate).collect();
        let expected = [Aggregate::Sum(0), Aggregate::Variance(0), Aggregate::Deviation(0)];
        assert_eq!(aggregates, expected);
        assert!(schema.columns[0].squares);
    }

    #[test]
    fn what_a_measure_may_not_have_is_told() {
        for (measure, field) in [
            (
                "name = \"a\"\ndistinct = \"id\"\nunique_within = \"day\"",
                "measure[1].unique_within",
            ),
            (
                "name = \"a\"\nvariance = \"x\"\nunique_within = \"partition\"",
                "measure[1].unique_within",
            ),
            ("name = \"a\"\nvariance = \"x\"\nstddev = \"x\"", "measure[1]"),
            ("name = \"a\"\nstddev = 7", "measure[1].stddev"),
            ("name = \"date\"\nsum = \"x\"", "measure[1].name"),
            ("name = \"a,b\"\nsum = \"x\"", "measure[1].name"),
        ] {
            let problems = measured(&format!("[[measure]]\n{measure}")).unwrap_err();
            let fields: Vec<&str> = problems.iter().map(|problem| &*problem.field).collect();
            assert!(fields.contains(&field), "{measure}: {problems:?}");
        }
    }
}
