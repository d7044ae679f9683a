//! Each cache of the recipe, as its policy says, through read, write, expiry, failure and restart, over both databases.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_executor::block_on;
use samovar::codec::Json;
use samovar::{Answer, Outcome, ReadOptions, Samovar, Settings};
use samovar_core::{Error, ErrorKind, Fate, Key, Millis, Mode, Scope, TierName, Verdict, WriteId};
use samovar_source::rows::{RowDatabase, Rows, SqlLoader, SqlWriter};
use samovar_testkit::clock::FakeClock;
use serde_json::Value;

use crate::table::{Cache, caches};
use crate::{Erp, SMALL, example};

/// Nothing that is past its time, unless the source fails.
fn strictly() -> ReadOptions {
    ReadOptions { stale_window: Some(Duration::ZERO), ..ReadOptions::default() }
}

/// A cache on a node.
struct Node {
    samovar: Samovar,
    cache: samovar::Cache<Json<Value>>,
    loader: SqlLoader,
    writer: Option<SqlWriter>,
    loads: Arc<AtomicU64>,
    writes: u64,
}

impl Node {
    fn open(cache: &Cache, database: &RowDatabase, data: &Path, clock: &Arc<FakeClock>) -> Node {
        let settings = Settings {
            data_dir: Some(data.into()),
            clock: clock.clone(),
            sweep_after: None,
            ..Settings::default()
        };
        let samovar = block_on(Samovar::open(settings)).unwrap();
        let writer = cache.write.as_ref();
        Node {
            cache: samovar.cache(cache.policy.clone()),
            samovar,
            loader: database.loader(&cache.name, &cache.load).unwrap(),
            writer: writer.map(|write| database.writer(&cache.name, write).unwrap()),
            loads: Arc::default(),
            writes: 0,
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

    /// Writes through to the source and tells the cache, whatever the source said.
    fn write(&mut self, key: &str, value: Option<&Value>) -> Result<(), Fate> {
        self.writes += 1;
        let (id, bare) = (WriteId { node: 1, number: self.writes }, Arc::from(key));
        let writer = self.writer.as_ref().unwrap();
        let outcome = block_on(writer.write_values([(id, &bare, value)])).pop().unwrap();
        let scope = Scope::Key(Key::new(Arc::clone(&self.cache.policy().name), key));
        block_on(self.samovar.mark(vec![scope], Mode::Remove, "written")).unwrap();
        outcome.map_err(|wrong| wrong.fate)
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

/// All of it for one cache.
fn drive(cache: &Cache, erp: &Erp) {
    let (database, name) = (erp.open(), cache.name.as_str());
    let (there, missing, example) = example(name);
    let (data, clock) = (tempfile::tempdir().unwrap(), FakeClock::at(Millis(1_780_000_000_000)));
    let mut node = Node::open(cache, &database, data.path(), &clock);
    let ttl = cache.policy.ttl;
    let kept = if cache.policy.memory { TierName::Memory } else { TierName::Disk };

    // Read: once from the source, then from where it is kept.
    let first = block_on(node.loader.load_one(there)).unwrap();
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

    // Write: what was known to be missing is there, changed, refused and deleted; or what others write is seen once told.
    if node.writer.is_some() {
        assert_eq!(node.write(missing, Some(&example)), Ok(()), "{name}");
        assert_eq!(node.get(missing).0, Some(example.clone()), "{name}");
        let mut poor = example.clone();
        poor.as_object_mut().unwrap().retain(|field, _| {
            !["name", "quantity", "status", "value", "closed", "on_hand"].contains(&field.as_str())
        });
        assert_eq!(node.write(missing, Some(&poor)), Err(Fate::Refused), "{name}");
        assert_eq!(node.get(missing).0, Some(example), "{name}");
        assert_eq!(node.write(missing, None), Ok(()), "{name}");
        assert_eq!(node.get(missing).0, None, "{name}");
    }
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
    assert_eq!((Some(Value::clone(&found.value)), found.verdict), (second.clone(), Verdict::Stale));
    let third = node.anew(there);
    assert_eq!(third, block_on(node.loader.load_one(there)).unwrap(), "{name}");
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
    database.script(&format!("ALTER TABLE away_{0} RENAME TO {0}", table(cache))).unwrap();
    clock.advance(cache.policy.throttle + Duration::from_secs(1));
    assert_eq!(node.anew(there), third, "{name}");

    // Restart: what the disk kept is served with a label until it is read again.
    block_on(node.samovar.close()).unwrap();
    drop(node);
    database.script(&change(name, 3)).unwrap();
    let node = Node::open(cache, &database, data.path(), &clock);
    let found = block_on(node.cache.get(there)).unwrap();
    assert_eq!((Some(Value::clone(&found.value)), found.verdict), (third.clone(), Verdict::Stale));
    assert_eq!(found.tier, TierName::Disk);
    let fourth = node.anew(there);
    assert_eq!(fourth, block_on(node.loader.load_one(there)).unwrap(), "{name}");
    assert_ne!(fourth, third, "{name}");
    block_on(node.samovar.close()).unwrap();
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
