//! A named cache: what is there. `below`: what lies below memory; `keep`: what is put; `read`: get_or_load, `fetch`:
//! its flights to the source, `turn`: of which of several nodes; `many`: many keys at once; `unwritten`: what was
//! written here and does not stand in the source yet.

mod answer;
mod below;
mod early;
mod fetch;
mod keep;
mod load;
mod many;
mod naming;
mod options;
mod read;
mod seen;
mod throttle;
mod turn;
mod unwritten;
mod wait;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use samovar_core::{
    BoxFuture, Claim, Error, Key, Lifetime, Millis, Part, Tick, TierName, Token, Verdict, Writer,
};

pub use answer::{Answer, Found, Outcome};
pub use load::{Load, LoadMany, Loaded};
pub use options::{PutOptions, ReadOptions};
pub(crate) use unwritten::{AT_ONCE, Batch, Kept, Unwritten, Waiting};

use crate::codec::Packer;
use crate::counters::{CacheCounters, Lookup};
use crate::fence::{Standing, Survey};
use crate::flight::Flights;
use crate::policy::CachePolicy;
use crate::samovar::Inner;
use crate::tier::{CacheNumber, Held};
use crate::value::Value;
use early::Early;
use naming::Naming;
use seen::{Absent, Hit, Seen};
use throttle::Throttle;

/// A named cache of one type of value. Cheap to clone; made by [`crate::Samovar::cache`].
///
/// ```
/// use samovar::{Cache, CachePolicy, Samovar, Settings};
///
/// # futures_executor::block_on(async {
/// # let samovar = Samovar::open(Settings::default()).await?;
/// let names: Cache<String> = samovar.cache(CachePolicy::named("product_names"));
/// assert!(names.get("42").await.is_none(), "nobody has loaded it");
/// names.get_or_load("42", |_| async { Ok("Tea".to_owned()) }).await?;
/// let found = names.clone().get("42").await.expect("a clone has the same entries");
/// assert_eq!(*found, "Tea");
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
pub struct Cache<V: Value> {
    pub(crate) inner: Arc<Inner>,
    pub(crate) policy: Arc<CachePolicy>,
    pub(crate) counters: Arc<CacheCounters>,
    /// As memory calls it.
    number: CacheNumber,
    packer: Packer,
    desk: Arc<Desk>,
    /// Those who look below memory.
    looks: Flights<Option<Seen<V>>>,
    /// Those who ask the source.
    loads: Flights<Answer<V>>,
    /// Who writes to the source, if anybody does.
    pub(crate) writer: Option<Arc<dyn Writer<V>>>,
    /// What waits under its name, where there is a directory for a journal.
    pub(crate) unwritten: Option<Arc<Unwritten>>,
}

/// What a cache knows of its keys beside their values.
#[derive(Debug)]
struct Desk {
    naming: Naming,
    early: Early,
    throttle: Throttle,
    /// Held while a batch boards its flights.
    boarding: Mutex<()>,
}

/// What memory answers; else the key as it is stored, and what may be given if nothing better lies below.
type InMemory<V> = Result<Option<Found<V>>, (Key, Option<Found<V>>)>;

impl<V: Value> Cache<V> {
    pub(crate) fn new(
        inner: Arc<Inner>,
        policy: CachePolicy,
        writer: Option<Arc<dyn Writer<V>>>,
    ) -> Self {
        let counters = inner.counters.of_cache(&policy.name);
        let (looks, loads) = (Flights::new(inner.fence.clone()), Flights::new(inner.fence.clone()));
        let packer = Packer::counting(policy.compression, counters.sizes());
        let desk = Desk {
            naming: Naming::new(&policy),
            early: Early::new(&policy),
            throttle: Throttle::default(),
            boarding: Mutex::default(),
        };
        let number = inner.stack.memory().number(&policy.name);
        let (policy, desk) = (Arc::new(policy), Arc::new(desk));
        let unwritten = inner.writes.of_cache(&policy);
        Cache { inner, policy, counters, number, packer, desk, looks, loads, writer, unwritten }
    }

    /// The policy it was made with.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Samovar, Settings};
    /// # use std::time::Duration;
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// let policy = CachePolicy { ttl: Duration::from_secs(600), ..CachePolicy::named("product_names") };
    /// let names = samovar.cache::<String>(policy.clone());
    /// assert_eq!(*names.policy(), policy);
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn policy(&self) -> &CachePolicy {
        &self.policy
    }

    /// To be taken *before* anything is read from the source: it becomes the stamp of what is read.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Samovar, Settings};
    /// # use samovar_core::{Key, Mode, Part, Scope, Stamp};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// # let prices = samovar.cache::<String>(CachePolicy::named("prices"));
    /// let stamp = Stamp::new(prices.token(), samovar.clock().now()); // before the source is read
    /// let price = "12.50".to_owned(); // SELECT price …
    ///
    /// // Meanwhile somebody changes the price.
    /// let scope = Scope::Key(Key::new("prices", "42"));
    /// samovar.mark(vec![scope], Mode::Remove, "price changed").await?;
    ///
    /// prices.put("42", price, [Part { span: None, stamp }].into());
    /// assert!(prices.peek("42").is_none(), "what was read before the change is never served");
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn token(&self) -> Token {
        self.inner.fence.token()
    }

    /// What memory holds, judged. Synchronous; a hit on an entry that no mark has come near since the last
    /// time costs little more than the lookup. `None` if it is not there, or nothing of it may ever be served again.
    ///
    /// A miss is not counted: who asks further counts it there.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Samovar, Settings};
    /// # use samovar_core::{Part, Stamp, TierName};
    /// # let directory = tempfile::tempdir().unwrap();
    /// # futures_executor::block_on(async {
    /// # let data_dir = Some(directory.path().into());
    /// # let settings = Settings { data_dir, ..Settings::default() };
    /// # let samovar = Samovar::open(settings).await?;
    /// # let prices = samovar.cache::<String>(CachePolicy::named("prices"));
    /// # let stamp = Stamp::new(prices.token(), samovar.clock().now());
    /// # let parts = [Part { span: None, stamp }].into();
    /// prices.put_below("42", "12.50".to_owned(), parts);
    /// assert!(prices.peek("42").is_none(), "it is not in memory");
    /// assert!(prices.get("42").await.is_some(), "it is on disk, and in memory from here on");
    /// assert_eq!(*prices.peek("42").expect("it is there by now"), "12.50");
    ///
    /// let counted = samovar.counters().snapshot().of("prices", TierName::Memory);
    /// assert_eq!((counted.misses, counted.hits), (1, 1), "the miss of `get`, and the hit of the last `peek`");
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn peek(&self, key: &str) -> Option<Found<V>> {
        if let Some(written) = self.written_found(key) {
            return written;
        }
        let now = self.inner.clock.now();
        let id = self.desk.naming.stored(key, now);
        self.look(&id, now, false)?.found().filter(|found| !found.is_spent)
    }

    /// What memory holds, judged: a value, or that there is none.
    fn look(&self, id: &str, now: Millis, counts: bool) -> Option<Seen<V>> {
        match self.glance(id, now) {
            Ok(hit) => Some(hit.seen()),
            Err(held) => self.look_closer(id, held, now, counts),
        }
    }

    /// What memory holds, if it is fresh and no mark has come near it since the last time: most reads end here. Else
    /// what stands there.
    // Of all that a hit does only the lookup is a call.
    #[inline(always)]
    fn glance(&self, id: &str, now: Millis) -> Result<Hit<V>, Option<Arc<Held>>> {
        if !self.policy.memory {
            return Err(None);
        }
        // The tick before the lookup: a mark that acts from here on belongs to later reads.
        let tick = self.inner.fence.tick_at(now);
        let held = self.inner.stack.memory().find(self.number, id).ok_or(None)?;
        let is_value = held.value().get::<V>().is_some();
        if (is_value || held.value().get::<Absent>().is_some())
            && held.clean() >= tick
            && held.is_young(now)
        {
            self.counters.count(TierName::Memory, Lookup::Hit);
            return Ok(Hit::new(held, !is_value));
        }
        Err(Some(held))
    }

    /// What a glance has not settled.
    fn look_closer(
        &self,
        id: &str,
        held: Option<Arc<Held>>,
        now: Millis,
        counts: bool,
    ) -> Option<Seen<V>> {
        let Some(held) = held else {
            if counts {
                self.counters.count(TierName::Memory, Lookup::Miss);
            }
            return None;
        };
        let is_absent = held.value().get::<V>().is_none();
        if is_absent {
            held.value().get::<Absent>()?;
        }
        self.judge_held(id, held, now).map(|found| Seen::new(found, is_absent))
    }

    fn judge_held(&self, id: &str, held: Arc<Held>, now: Millis) -> Option<Found<V>> {
        let (cache, clean) = (&self.policy.name, held.clean());
        let survey = self.inner.fence.survey(cache, id, held.claim(), clean, now);
        if survey.standing == Standing::Blind {
            return None;
        }
        if survey.dead {
            self.inner.stack.memory().forget(&held);
        } else if !survey.marked && survey.standing == Standing::Connected {
            held.set_clean(survey.tick);
        }
        let is_over = held.is_over(now);
        let mut found = Found::clean(held, TierName::Memory);
        let lives = self.rule(&mut found, id, survey, clean, now);
        if found.verdict == Verdict::Fresh && is_over {
            // By memory's own time alone: the tiers below may have it anew.
            (found.verdict, found.reserve) = (Verdict::Stale, Verdict::Stale);
            found.verdicts = Some(vec![Verdict::Stale; found.parts().len()].into());
        }
        lives.then_some(found)
    }

    /// Takes in the verdicts on what was found, and counts them. False if nothing of it may ever be served again.
    fn rule(
        &self,
        found: &mut Found<V>,
        id: &str,
        survey: Survey,
        clean: Tick,
        now: Millis,
    ) -> bool {
        let is_dead = survey.dead;
        found.reserve = survey.verdict;
        let survey = self.without_reserve(survey, found.claim(), id, clean, now);
        found.rule(survey, &self.counters);
        !is_dead
    }

    /// What a survey comes to without the time of fail-safe, which is part of every stored window.
    fn without_reserve(
        &self,
        survey: Survey,
        mut claim: Claim<'_>,
        id: &str,
        clean: Tick,
        now: Millis,
    ) -> Survey {
        if survey.verdict == Verdict::Fresh || self.policy.fail_safe.is_zero() {
            return survey;
        }
        claim.lifetime = self.served_for(claim.lifetime);
        self.inner.fence.survey(&self.policy.name, id, claim, clean, now)
    }

    /// A stored lifetime without the time of fail-safe.
    fn served_for(&self, stored: Lifetime) -> Lifetime {
        let stale_window = stored.stale_window.saturating_sub(self.policy.fail_safe);
        Lifetime { stale_window, ..stored }
    }

    /// What was found a while ago, as it stands now: marks may have acted, and time has passed. `None` if nothing of it
    /// may be served any more.
    fn again(&self, key: &Key, mut seen: Seen<V>) -> Option<Seen<V>> {
        let now = self.inner.clock.now();
        let survey = self.inner.fence.survey(&key.cache, &key.id, seen.claim(), Tick(0), now);
        if survey.dead || survey.standing == Standing::Blind {
            return None;
        }
        let reserve = survey.verdict;
        let survey = self.without_reserve(survey, seen.claim(), &key.id, Tick(0), now);
        seen.worsen(reserve, survey);
        Some(seen)
    }

    /// What is there, judged: in memory, else below; what is found below is then kept in memory too. `None` if
    /// it is not there, or nothing of it may be served; that the source is known to have no such row is told by
    /// [`Cache::get_or_load`] alone. Parts that are refused are reported, never hidden. A tier that fails is counted
    /// and passed over.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Samovar, Settings};
    /// # use samovar_core::{Millis, Verdict};
    /// # use std::time::Duration;
    /// # use samovar_testkit::clock::FakeClock;
    /// # futures_executor::block_on(async {
    /// # let clock = FakeClock::at(Millis(0));
    /// # let settings = Settings { clock: clock.clone(), ..Settings::default() };
    /// # let samovar = Samovar::open(settings).await?;
    /// # let ttl = Duration::from_secs(60);
    /// # let policy = CachePolicy { ttl, jitter: 0.0, ..CachePolicy::named("prices") };
    /// # let prices = samovar.cache::<String>(policy);
    /// prices.get_or_load("42", |_| async { Ok("12.50".to_owned()) }).await?;
    /// clock.advance(Duration::from_secs(61)); // it was fresh for a minute
    /// let found = prices.get("42").await.expect("it is within its stale window");
    /// assert_eq!((found.as_str(), found.verdict), ("12.50", Verdict::Stale));
    /// assert!(prices.get("43").await.is_none());
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn get(&self, key: &str) -> Option<Found<V>> {
        if let Some(written) = self.written_found(key) {
            return written;
        }
        let now = self.inner.clock.now();
        match self.glance(&self.desk.naming.stored(key, now), now) {
            Ok(hit) => hit.found(),
            Err(held) => self.get_on(key, held, now).await,
        }
    }

    /// A read that a glance into memory does not settle. Boxed, so that a hit carries none of it.
    fn get_on<'a>(
        &'a self,
        key: &str,
        held: Option<Arc<Held>>,
        now: Millis,
    ) -> BoxFuture<'a, Option<Found<V>>> {
        match self.in_memory_closer(key, held, now) {
            Ok(found) => Box::pin(std::future::ready(found)),
            Err((key, spare)) => Box::pin(self.get_below(key, spare)),
        }
    }

    fn in_memory(&self, key: &str, now: Millis) -> InMemory<V> {
        if let Some(written) = self.written_found(key) {
            return Ok(written);
        }
        match self.glance(&self.desk.naming.stored(key, now), now) {
            Ok(seen) => Ok(seen.found()),
            Err(held) => self.in_memory_closer(key, held, now),
        }
    }

    fn in_memory_closer(&self, key: &str, held: Option<Arc<Held>>, now: Millis) -> InMemory<V> {
        let key = self.key(key, now);
        let spare = match self.look_closer(&key.id, held, now, true) {
            Some(seen) if seen.verdict == Verdict::Fresh => return Ok(seen.found()),
            Some(seen) if seen.is_spent || seen.is_absent() => None,
            Some(seen) if !self.may_be_newer_below(seen.verdict, seen.marked) => {
                return Ok(seen.found());
            }
            spare => spare.and_then(Seen::found),
        };
        match self.has_below() {
            true => Err((key, spare)),
            false => Ok(spare),
        }
    }

    async fn get_below(&self, key: Key, spare: Option<Found<V>>) -> Option<Found<V>> {
        let below = self.seek_below(&key, true).await.and_then(Seen::found);
        below.filter(|found| !found.is_spent).or(spare)
    }

    /// Whether what memory says is stale merely because memory's own time is over.
    fn may_be_newer_below(&self, verdict: Verdict, marked: bool) -> bool {
        verdict != Verdict::Fresh && !marked && self.policy.memory_ttl.is_some() && self.has_below()
    }

    fn has_below(&self) -> bool {
        // Whoever has been cut off for too long goes past all tiers.
        self.inner.stack.has_lower(&self.policy) && self.inner.fence.standing() != Standing::Blind
    }

    /// The key under which the tiers know what callers call so.
    pub(crate) fn key(&self, id: &str, now: Millis) -> Key {
        Key::new(Arc::clone(&self.policy.name), self.desk.naming.stored(id, now))
    }

    /// The verdict on something under a key, as of now.
    fn verdict(&self, key: &Key, claim: Claim<'_>) -> Verdict {
        let now = self.inner.clock.now();
        self.inner.fence.survey(&key.cache, &key.id, claim, Tick(0), now).verdict
    }

    /// The verdict on a part of what was found under `key`, or on one day of it ([`Part::only`]), as of now: what
    /// [`Cache::get`] would say of that part.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Loaded, Samovar, Settings};
    /// # use samovar_core::{Day, Mode, Partition, Scope, Span, Verdict};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// # let sales = samovar.cache::<String>(CachePolicy::named("sales"));
    /// let monday = Day::from_ymd(2026, 2, 2).expect("it is a day");
    /// let days = Span { store: "7".into(), from: monday, to: monday.plus(1) };
    /// let loaded = Loaded::from("the sales of two days".to_owned()).partitions([days]);
    /// sales.get_or_load("7", |_| async { Ok(loaded) }).await?;
    ///
    /// let tuesday = Scope::Partition(Partition::new("7", monday.plus(1)));
    /// samovar.mark(vec![tuesday], Mode::Remove, "a late receipt").await?;
    /// let found = sales.peek("7").expect("something of it may still be served");
    /// let part = &found.parts()[0];
    /// assert_eq!(sales.judge("7", part, &found), Verdict::Refused, "as a whole");
    /// assert_eq!(sales.judge("7", &part.only(monday), &found), Verdict::Fresh);
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn judge(&self, key: &str, part: &Part, found: &Found<V>) -> Verdict {
        let key = self.key(key, self.inner.clock.now());
        let parts = std::slice::from_ref(part);
        let lifetime = self.served_for(found.lifetime());
        self.verdict(&key, Claim { parts, tags: found.tags(), lifetime })
    }

    /// Waits while more is queued for disk or Redis than they should fall behind: for who puts in bulk, after each put.
    /// A Redis that is left alone because it is out of order is not waited for.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Counted, Samovar, Settings};
    /// # use samovar_core::{ErrorKind, Part, Parts, Stamp};
    /// # let directory = tempfile::tempdir().unwrap();
    /// # futures_executor::block_on(async {
    /// # let data_dir = Some(directory.path().into());
    /// # let settings = Settings { data_dir, ..Settings::default() };
    /// # let samovar = Samovar::open(settings).await?;
    /// # let names = samovar.cache::<String>(CachePolicy::named("product_names"));
    /// # let stamp = Stamp::new(names.token(), samovar.clock().now());
    /// # let parts: Parts = [Part { span: None, stamp }].into();
    /// for id in 0..1_000 {
    ///     names.put_below(&id.to_string(), format!("Product {id}"), parts.clone());
    ///     names.room().await?; // so that none is dropped because the queue is full
    /// }
    /// samovar.flush().await?;
    /// assert_eq!(samovar.counters().snapshot().count(Counted::FillDropped), 0);
    /// assert!(names.get("999").await.is_some());
    ///
    /// samovar.close().await?;
    /// assert_eq!(names.room().await.unwrap_err().kind(), ErrorKind::Closed);
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`samovar_core::ErrorKind::Closed`] after [`crate::Samovar::close`], where there is a tier below memory; else
    /// what the disk has failed of for good, [`samovar_core::ErrorKind::Storage`] as a rule.
    pub async fn room(&self) -> Result<(), Error> {
        self.inner.stack.room().await
    }

    /// Forgets a key in every tier that can be asked; true if something stood there. This is no invalidation: a load
    /// that is under way may bring the same value back, and so may a Redis that is left alone now because it is out of
    /// order. Nor does it take back a write that waits for its source. To invalidate, use [`crate::Samovar::mark`].
    ///
    /// ```
    /// # use samovar::{CachePolicy, Samovar, Settings};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// # let names = samovar.cache::<String>(CachePolicy::named("product_names"));
    /// names.get_or_load("42", |_| async { Ok("Tea".to_owned()) }).await?;
    /// assert!(names.remove("42").await);
    /// assert!(names.get("42").await.is_none());
    /// assert!(!names.remove("42").await, "nothing stands there any more");
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn remove(&self, key: &str) -> bool {
        let key = self.key(key, self.inner.clock.now());
        self.inner.stack.remove(&key, (&*self.inner.counters, &*self.counters)).await
    }

    fn age(&self, read_at: Millis) -> Duration {
        self.inner.clock.now().since(read_at).unwrap_or_default()
    }
}

impl<V: Value> Clone for Cache<V> {
    fn clone(&self) -> Self {
        Cache {
            inner: Arc::clone(&self.inner),
            policy: Arc::clone(&self.policy),
            counters: Arc::clone(&self.counters),
            number: self.number,
            packer: self.packer.clone(),
            desk: Arc::clone(&self.desk),
            looks: self.looks.clone(),
            loads: self.loads.clone(),
            writer: self.writer.clone(),
            unwritten: self.unwritten.clone(),
        }
    }
}

impl<V: Value> fmt::Debug for Cache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("policy", &self.policy).finish_non_exhaustive()
    }
}
