//! Each cache of the recipe, as its policy says, through read, write, expiry, failure and restart, over both databases.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_executor::block_on;
use samovar::codec::Json;
use samovar::{Answer, CachePolicy, Outcome, ReadOptions, Samovar, Settings, Strategy};
use samovar_core::{
    BoxFuture, Error, ErrorKind, Fate, Millis, Mode, Scope, TierName, Verdict, Write, WriteError,
    Writer,
};
use samovar_source::rows::{RowDatabase, Rows, SqlLoader, SqlWriter};
use samovar_testkit::clock::FakeClock;
use serde_json::Value;

use crate::table::{Cache, caches};
use crate::{Erp, SMALL, example};

/// Nothing that is past its time, unless the source fails.
fn strictly() -> ReadOptions {
    ReadOptions { stale_window: Some(Duration::ZERO), ..ReadOptions::default() }
}

fn settings(data: &Path, clock: &Arc<FakeClock>) -> Settings {
    Settings {
        data_dir: Some(data.into()),
        clock: clock.clone(),
        sweep_after: None,
        ..Settings::default()
    }
}

/// A table as the cache's values go there.
struct Table(SqlWriter);

impl Writer<Json<Value>> for Table {
    fn write<'a>(
        &'a self,
        writes: &'a [Write<Json<Value>>],
    ) -> BoxFuture<'a, Vec<Result<(), WriteError>>> {
        let value = |write: &'a Write<Json<Value>>| write.value.as_deref().map(|value| &**value);
        self.0.write_values(writes.iter().map(|write| (write.id, &write.key, value(write))))
    }

    fn deadline(&self) -> Duration {
        self.0.deadline()
    }

    fn remembers(&self) -> bool {
        self.0.remembers()
    }
}

/// A cache on a node.
struct Node {
    samovar: Samovar,
    cache: samovar::Cache<Json<Value>>,
    loader: SqlLoader,
    loads: Arc<AtomicU64>,
}

impl Node {
    fn open(cache: &Cache, database: &RowDatabase, data: &Path, clock: &Arc<FakeClock>) -> Node {
        let settings = settings(data, clock);
        let samovar = block_on(Samovar::open(settings)).unwrap();
        let policy = cache.policy.clone();
        let writer = cache.write.as_ref();
        let writer = writer.map(|write| database.writer(&cache.name, write).unwrap());
        Node {
            cache: match writer {
                Some(writer) => samovar.cache_with_writer(policy, Arc::new(Table(writer))),
                None => samovar.cache(policy),
            },
            samovar,
            loader: database.loader(&cache.name, &cache.load).unwrap(),
            loads: Arc::default(),
        }
    }

    fn read(&self, key: &str, options: ReadOptions) -> Result<Answer<Json<Value>>, Error> {
        let (loader, loads, own) = (self.loader.clone(), Arc::clone(&self.loads), key.to_owned());
        block_on(self.cache.get_or_load_with(key, options, move |_| async move {
            loads.fetch_add(1, Ordering::SeqCst);
            let loaded = loader.load_one(&own).await;
            let loaded =
                loaded.map_err(|e| Error::new(ErrorKind::Source, "not loaded").because(e))?;
            Ok(loaded.map(Json::new))
        }))
    }

    /// The value of a key, how it was come by, and where.
    fn get(&self, key: &str) -> (Option<Value>, Outcome, Option<TierName>) {
        let answer = self.read(key, ReadOptions::default()).unwrap();
        (answer.value.map(|value| Value::clone(&value)), answer.outcome, answer.tier)
    }

    /// The value of a key, read from the source whatever is there.
    fn anew(&self, key: &str) -> Option<Value> {
        let options = ReadOptions { refresh: true, ..ReadOptions::default() };
        self.read(key, options).unwrap().value.map(|value| Value::clone(&value))
    }

    fn loads(&self) -> u64 {
        self.loads.load(Ordering::SeqCst)
    }

    /// Writes or deletes, as the strategy does.
    fn write(&self, key: &str, value: Option<&Value>) -> Result<(), Fate> {
        let written = match value {
            Some(value) => block_on(self.cache.write(key, Json::new(value.clone()))),
            None => block_on(self.cache.delete(key)),
        };
        let fate = |wrong: Error| {
            let cause =
                std::error::Error::source(&wrong).and_then(|e| e.downcast_ref::<WriteError>());
            cause.unwrap_or_else(|| panic!("{wrong}")).fate
        };
        written.map(|_| ()).map_err(fate)
    }

    /// What the source holds.
    fn source(&self, key: &str) -> Option<Value> {
        block_on(self.loader.load_one(key)).unwrap()
    }

    /// Waits for what goes on in the background.
    fn until(&self, what: &str, is_so: impl Fn(&Node) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
            std::thread::yield_now();
        }
    }

    fn until_written(&self) {
        self.until("everything is written", |node| node.cache.unwritten() == 0);
    }

    /// Marks every key that begins with the prefix.
    fn mark_all(&self) {
        let prefix = self.cache.policy().key_prefix.clone().unwrap();
        let scope = Scope::Pattern(format!("{prefix}*").parse().unwrap());
        block_on(self.samovar.mark(vec![scope], Mode::Remove, "changed")).unwrap();
    }
}

/// Changes what the example's key holds, behind the cache's back.
fn change(cache: &str, at: u64) -> String {
    match cache {
        "product_info" => format!("UPDATE products SET price_cents = {at} WHERE sku = 'P-00042'"),
        "inventory" => {
            format!(
                "UPDATE inventory SET on_hand = 900 + {at} WHERE sku = 'P-00042' AND warehouse = 'north'"
            )
        }
        "order_list" => format!("UPDATE orders SET total_cents = {at} WHERE number = 'O-000042'"),
        "customer_info" => {
            format!("UPDATE customers SET credit_cents = {at} WHERE number = 'C-00007'")
        }
        "system_config" => {
            format!("UPDATE system_config SET value = '{at}' WHERE name = 'currency'")
        }
        "finance_report" => {
            format!("UPDATE finance_reports SET revenue_cents = {at} WHERE period = '2026-06'")
        }
        "sales_quote" => format!("UPDATE quotes SET quantity = 7 + {at} WHERE number = 'Q-00007'"),
        "category" => format!("UPDATE categories SET margin_percent = {at} WHERE code = 'paper'"),
        "api_response" => {
            format!("UPDATE orders SET total_cents = {at} WHERE customer = 'C-00001'")
        }
        "dashboard" => format!("UPDATE orders SET total_cents = {at} WHERE branch = 3"),
        other => panic!("{other}"),
    }
}

/// The table that a cache is loaded from.
fn table(cache: &Cache) -> &str {
    let after = cache.load.sql.split_once("FROM ").unwrap().1;
    after.split_whitespace().next().unwrap()
}

/// A key that was known to be missing is there, is changed in vain, and is deleted.
fn writes(node: &Node, cache: &Cache, value: &Value, key: &str) {
    let (name, strategy) = (&cache.name, cache.policy.strategy);
    assert_eq!(node.write(key, Some(value)), Ok(()), "{name}");
    let (found, outcome, _) = node.get(key);
    let expected = if strategy == Strategy::CacheAside { Outcome::Loaded } else { Outcome::Hit };
    assert_eq!((found.as_ref(), outcome), (Some(value), expected), "{name}");
    node.until_written();
    assert_eq!(node.source(key).as_ref(), Some(value), "{name}");

    // A field that the statement takes is missing: the source will never have it.
    let mut poor = value.clone();
    let field =
        value.as_object().unwrap().keys().find(|field| value[field.as_str()] != key).unwrap();
    poor.as_object_mut().unwrap().remove(field);
    if strategy == Strategy::WriteBack {
        assert_eq!(node.write(key, Some(&poor)), Ok(()), "{name}");
        node.until("it is set aside", |node| !node.samovar.dead_letters().is_empty());
        let letter = node.samovar.dead_letters().remove(0).id;
        assert!(block_on(node.samovar.drop_dead_letter(letter)).unwrap(), "{name}");
    } else {
        assert_eq!(node.write(key, Some(&poor)), Err(Fate::Refused), "{name}");
    }
    assert_eq!(node.get(key).0.as_ref(), Some(value), "{name}");

    assert_eq!(node.write(key, None), Ok(()), "{name}");
    assert_eq!(node.get(key).0, None, "{name}");
    node.until_written();
    assert_eq!(node.source(key), None, "{name}");
}

/// A cache that writes no database: what is put is in every tier when the call returns, or under write-back once it has left
/// the journal, and hides what is computed until it is taken away.
fn computed(node: &Node, cache: &Cache, value: &Value, key: &str) {
    let (name, before) = (&cache.name, node.source(key));
    assert_ne!(before.as_ref(), Some(value), "{name}");
    assert_eq!(node.write(key, Some(value)), Ok(()), "{name}");
    assert_eq!(node.get(key).0.as_ref(), Some(value), "{name}: at once");
    if cache.policy.strategy == Strategy::WriteBack {
        node.until_written();
    }
    let below = ReadOptions { skip_memory: true, ..ReadOptions::default() };
    for (options, tier) in [(ReadOptions::default(), TierName::Memory), (below, TierName::Disk)] {
        let answer = node.read(key, options).unwrap();
        let found = answer.value.map(|value| Value::clone(&value));
        assert_eq!((found.as_ref(), answer.tier), (Some(value), Some(tier)), "{name}");
    }
    assert_eq!(node.source(key), before, "{name}: nobody writes it");
    assert_eq!(node.write(key, None), Ok(()), "{name}");
    node.until_written();
    assert_eq!(node.get(key).0, before, "{name}: it is computed again");
}

/// All of it for one cache.
fn drive(cache: &Cache, erp: &Erp) {
    let (database, name) = (erp.open(), cache.name.as_str());
    let (there, missing, example) = example(name);
    let (data, clock) = (tempfile::tempdir().unwrap(), FakeClock::at(Millis(1_780_000_000_000)));
    let node = Node::open(cache, &database, data.path(), &clock);
    let ttl = cache.policy.ttl;
    let kept = if cache.policy.memory { TierName::Memory } else { TierName::Disk };

    // Read: once from the source, then from where it is kept.
    let first = node.source(there);
    assert!(first.is_some(), "{name}");
    assert_eq!(node.get(there), (first.clone(), Outcome::Loaded, None), "{name}");
    assert_eq!(node.get(there), (first.clone(), Outcome::Hit, Some(kept)), "{name}");
    assert_eq!(node.loads(), 1, "{name}");
    // That there is nothing is known, too.
    let nothing = (cache.load.rows == Rows::Many).then(|| Value::Array(Vec::new()));
    assert_eq!(node.get(missing).0, nothing, "{name}");
    let (again, outcome, _) = node.get(missing);
    let known = if nothing.is_some() { Outcome::Hit } else { Outcome::Negative };
    assert_eq!((again, outcome, node.loads()), (nothing, known, 2), "{name}");

    if cache.write.is_some() {
        writes(&node, cache, &example, missing);
    } else {
        computed(&node, cache, &example, there);
    }
    // What others write is seen once the cache is told.
    database.script(&change(name, 1)).unwrap();
    assert_eq!(
        node.get(there),
        (first.clone(), Outcome::Hit, Some(kept)),
        "{name}: nobody was told"
    );
    node.mark_all();
    let (second, outcome, _) = node.get(there);
    assert!(second != first && outcome == Outcome::Loaded, "{name}");

    // Expiry: to the second.
    database.script(&change(name, 2)).unwrap();
    clock.advance(ttl - Duration::from_secs(1));
    assert_eq!(node.get(there), (second.clone(), Outcome::Hit, Some(kept)), "{name}");
    clock.advance(Duration::from_secs(2));
    let found = block_on(node.cache.get(there)).unwrap();
    assert_eq!((Some(Value::clone(&found)), found.verdict), (second.clone(), Verdict::Stale));
    let third = node.anew(there);
    assert_eq!(third, node.source(there), "{name}");
    assert_ne!(third, second, "{name}");

    // Failure: what is past its time is served with a label, and no more than that.
    database.script(&format!("ALTER TABLE {0} RENAME TO away_{0}", table(cache))).unwrap();
    clock.advance(ttl + Duration::from_secs(1));
    let failed = node.read(there, strictly()).unwrap();
    let problem = failed.problem.unwrap();
    assert!(
        problem.kind() == ErrorKind::Source && problem.to_string().contains(table(cache)),
        "{problem}"
    );
    assert_eq!(failed.value.map(|value| Value::clone(&value)), third, "{name}");
    assert_eq!(failed.outcome, Outcome::Failed, "{name}");
    // The source rests: nobody asks it.
    let loads = node.loads();
    let (stale, outcome, _) = node.get(there);
    assert_eq!((stale, outcome, node.loads()), (third.clone(), Outcome::Stale, loads), "{name}");
    let unwritten = cache.policy.strategy == Strategy::WriteBack && cache.write.is_some();
    if unwritten {
        // Acknowledged, and read here, though nobody else has it yet.
        assert_eq!(node.write(missing, Some(&example)), Ok(()), "{name}");
        assert_eq!(
            (node.get(missing).0, node.cache.unwritten()),
            (Some(example.clone()), 1),
            "{name}"
        );
    } else if cache.write.is_some() {
        assert_eq!(node.write(missing, Some(&example)), Err(Fate::NotWritten), "{name}");
    }
    database.script(&format!("ALTER TABLE away_{0} RENAME TO {0}", table(cache))).unwrap();
    clock.advance(cache.policy.throttle + Duration::from_secs(1));
    assert_eq!(node.anew(there), third, "{name}");

    // Restart: what the disk kept is served with a label until it is read again.
    block_on(node.samovar.close()).unwrap();
    drop(node);
    database.script(&change(name, 3)).unwrap();
    let node = Node::open(cache, &database, data.path(), &clock);
    if unwritten {
        assert_eq!(node.get(missing).0, Some(example.clone()), "{name}");
        node.until_written();
        assert_eq!(node.source(missing), Some(example), "{name}");
    }
    let found = block_on(node.cache.get(there)).unwrap();
    assert_eq!((Some(Value::clone(&found)), found.verdict), (third.clone(), Verdict::Stale));
    assert_eq!(found.tier, TierName::Disk);
    let fourth = node.anew(there);
    assert_eq!(fourth, node.source(there), "{name}");
    assert_ne!(fourth, third, "{name}");
    block_on(node.samovar.close()).unwrap();
}

#[test]
fn the_policies_agree_with_each_other() {
    let data = tempfile::tempdir().unwrap();
    let policies: Vec<CachePolicy> = caches().into_iter().map(|cache| cache.policy).collect();
    let settings = settings(data.path(), &FakeClock::at(Millis(0)));
    assert_eq!(samovar::check(&settings, &policies), []);
}

#[test]
fn every_policy_holds_over_sqlite() {
    let [erp, _] = Erp::both(&SMALL);
    caches().iter().for_each(|cache| drive(cache, &erp));
}

#[test]
fn every_policy_holds_over_postgres() {
    let [_, erp] = Erp::both(&SMALL);
    caches().iter().for_each(|cache| drive(cache, &erp));
}
