//! What goes into a cache and what comes out of it, with its proof.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use samovar_core::{Claim, Error, Lifetime, Millis, Parts, Stamp, Tags, TierName, Verdict};

use crate::counters::{CacheCounters, Lookup};
use crate::fence::{Standing, Survey};
use crate::tier::Held;
use crate::value::Value;

/// A value as it was found, judged part by part. It shares what memory holds: so it is cheap, and what it derefs to is
/// the value itself.
///
/// ```
/// # use samovar::{CachePolicy, Samovar, Settings};
/// # use samovar_core::{TierName, Verdict};
/// # futures_executor::block_on(async {
/// let samovar = Samovar::open(Settings::default()).await?;
/// let names = samovar.cache::<String>(CachePolicy::named("names"));
/// names.get_or_load("1", |_| async { Ok("Tea".to_owned()) }).await?;
/// let found = names.peek("1").expect("it was loaded");
/// assert_eq!((found.as_str(), found.tier, found.verdict), ("Tea", TierName::Memory, Verdict::Fresh));
/// assert_eq!(found.parts().len(), 1);
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
pub struct Found<V> {
    held: Arc<Held>,
    /// Where it was found.
    pub tier: TierName,
    /// The worst over all parts. Who sees `Refused` here must ask for each part, or each day of a part, before
    /// serving any of it.
    pub verdict: Verdict,
    /// Whether a mark covers any of it: what is stale without one is merely old.
    pub marked: bool,
    /// This node is cut off from the log that it shares ([`crate::fence::Standing::CutOff`]): to be labelled as stale
    /// whatever the verdict, though nothing is to be read again for that.
    pub cut_off: bool,
    /// The verdict with the time of fail-safe added to the stale window: never stricter than `verdict`.
    pub(super) reserve: Verdict,
    /// Nothing of it may be served again, but where a load fails.
    pub(super) is_spent: bool,
    /// By part, if not all are fresh.
    pub(super) verdicts: Option<Box<[Verdict]>>,
    of: PhantomData<fn() -> V>,
}

impl<V> Found<V> {
    /// Something that no mark covers, and that is within its lifetime.
    #[inline]
    pub(super) fn clean(held: Arc<Held>, tier: TierName) -> Found<V> {
        Found {
            held,
            tier,
            verdict: Verdict::Fresh,
            marked: false,
            cut_off: false,
            reserve: Verdict::Fresh,
            is_spent: false,
            verdicts: None,
            of: PhantomData,
        }
    }

    /// Its parts. Their stamps are good for making new entries out of old parts.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Samovar, Settings};
    /// # use samovar_core::Millis;
    /// # use std::time::Duration;
    /// # use samovar_testkit::clock::FakeClock;
    /// # futures_executor::block_on(async {
    /// # let clock = FakeClock::at(Millis(0));
    /// # let settings = Settings { clock: clock.clone(), ..Settings::default() };
    /// # let samovar = Samovar::open(settings).await?;
    /// # let prices = samovar.cache::<String>(CachePolicy::named("prices"));
    /// # let labels = samovar.cache::<String>(CachePolicy::named("labels"));
    /// prices.get_or_load("42", |_| async { Ok("12.50".to_owned()) }).await?;
    /// let found = prices.peek("42").expect("it was loaded");
    /// clock.advance(Duration::from_secs(10));
    /// // What is made of it is as old as it is.
    /// labels.put("42", format!("{} EUR", found.as_str()), found.parts().clone());
    /// assert_eq!(labels.peek("42").expect("it was put").read_at(), found.read_at());
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn parts(&self) -> &Parts {
        self.held.parts()
    }

    /// Its tags: to be handed on by who makes a new entry of it.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Loaded, PutOptions, Samovar, Settings};
    /// # use samovar_core::{Mode, Scope, Tags};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// # let names = samovar.cache::<String>(CachePolicy::named("product_names"));
    /// # let labels = samovar.cache::<String>(CachePolicy::named("labels"));
    /// let loaded = Loaded::from("Tea".to_owned()).tags(Tags::new(["supplier:7"])?);
    /// names.get_or_load("42", |_| async { Ok(loaded) }).await?;
    /// let found = names.peek("42").expect("it was loaded");
    /// let options = PutOptions { tags: found.tags().clone(), ..PutOptions::default() };
    /// labels.put_with("42", format!("{}, 100 g", found.as_str()), found.parts().clone(), options);
    ///
    /// samovar.mark(vec![Scope::Tag("supplier:7".into())], Mode::Remove, "renamed").await?;
    /// assert!(labels.peek("42").is_none(), "the mark covers what was made of it too");
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn tags(&self) -> &Tags {
        self.held.tags()
    }

    /// How long its parts may be served. Its stale window holds the policy's `fail_safe` too.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Samovar, Settings};
    /// # use std::time::Duration;
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// let prices = samovar.cache::<String>(CachePolicy {
    ///     ttl: Duration::from_secs(60),
    ///     jitter: 0.0,
    ///     stale_window: Duration::from_secs(600),
    ///     fail_safe: Duration::from_secs(3_600),
    ///     ..CachePolicy::named("prices")
    /// });
    /// prices.get_or_load("42", |_| async { Ok("12.50".to_owned()) }).await?;
    /// let lifetime = prices.peek("42").expect("it was loaded").lifetime();
    /// assert_eq!((lifetime.ttl.as_secs(), lifetime.stale_window.as_secs()), (60, 4_200));
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn lifetime(&self) -> Lifetime {
        self.held.lifetime()
    }

    /// What decides whether it may be served.
    pub(super) fn claim(&self) -> Claim<'_> {
        self.held.claim()
    }

    /// The verdict on a part, by its place in [`Found::parts`], counted from 0: as a whole, so that of its worst day.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Samovar, Settings};
    /// # use samovar_core::{Day, Mode, Part, Partition, Scope, Span, Stamp, Verdict};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// # let sales = samovar.cache::<String>(CachePolicy::named("sales"));
    /// # let stamp = Stamp::new(sales.token(), samovar.clock().now());
    /// # let (monday, tuesday) = (Day(20_486), Day(20_487));
    /// let part = |day| Part { span: Some(Span { store: "7".into(), from: day, to: day }), stamp };
    /// sales.put("7", "the sales of two days".to_owned(), [part(monday), part(tuesday)].into());
    /// let scope = Scope::Partition(Partition::new("7", tuesday));
    /// samovar.mark(vec![scope], Mode::Remove, "a late receipt").await?;
    ///
    /// let found = sales.peek("7").expect("something of it may still be served");
    /// assert_eq!(found.verdict, Verdict::Refused, "the worst of all");
    /// assert_eq!(found.part_verdict(0), Verdict::Fresh);
    /// assert_eq!(found.part_verdict(1), Verdict::Refused);
    /// assert_eq!(found.part_verdict(2), Verdict::Refused, "there is no such part");
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn part_verdict(&self, part: usize) -> Verdict {
        let fresh = if part < self.parts().len() { Verdict::Fresh } else { Verdict::Refused };
        self.verdicts
            .as_ref()
            .map_or(fresh, |all| all.get(part).copied().unwrap_or(Verdict::Refused))
    }

    /// When the first of its parts reaches the end of its lifetime.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Samovar, Settings};
    /// # use samovar_core::Millis;
    /// # use std::time::Duration;
    /// # use samovar_testkit::clock::FakeClock;
    /// # futures_executor::block_on(async {
    /// # let clock = FakeClock::at(Millis(0));
    /// # let settings = Settings { clock: clock.clone(), ..Settings::default() };
    /// # let samovar = Samovar::open(settings).await?;
    /// # let ttl = Duration::from_secs(60);
    /// # let policy = CachePolicy { ttl, jitter: 0.0, ..CachePolicy::named("prices") };
    /// # let prices = samovar.cache::<String>(policy);
    /// prices.get_or_load("42", |_| async { Ok("12.50".to_owned()) }).await?; // fresh for a minute
    /// let found = prices.peek("42").expect("it was loaded");
    /// assert_eq!(found.fresh_until(), found.read_at().plus(Duration::from_secs(60)));
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn fresh_until(&self) -> Millis {
        self.held.fresh_until()
    }

    /// When the oldest of its parts was read.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Samovar, Settings};
    /// # use samovar_core::{Millis, Part, Stamp};
    /// # use std::time::Duration;
    /// # use samovar_testkit::clock::FakeClock;
    /// # futures_executor::block_on(async {
    /// # let clock = FakeClock::at(Millis(0));
    /// # let settings = Settings { clock: clock.clone(), ..Settings::default() };
    /// # let samovar = Samovar::open(settings).await?;
    /// # let prices = samovar.cache::<String>(CachePolicy::named("prices"));
    /// let part = |read_at| Part { span: None, stamp: Stamp::new(prices.token(), read_at) };
    /// let (first, second) = (part(Millis(0)), part(Millis(5_000)));
    /// clock.advance(Duration::from_secs(5));
    /// prices.put("42", "12.50".to_owned(), [first, second].into());
    /// assert_eq!(prices.peek("42").expect("it was put").read_at(), Millis(0));
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn read_at(&self) -> Millis {
        let oldest = self.parts().iter().map(|part| part.stamp.read_at).min();
        oldest.unwrap_or(Millis(i64::MIN))
    }

    /// Takes in what has changed since it was judged. Never for the better: memory's own time may have been over.
    pub(super) fn worsen(&mut self, reserve: Verdict, survey: Survey) {
        self.reserve = self.reserve.max(reserve);
        self.marked |= survey.marked;
        self.cut_off = survey.standing != Standing::Connected;
        self.is_spent |= survey.dead;
        if survey.verdict > self.verdict {
            self.verdict = survey.verdict;
            self.verdicts = survey.verdicts;
        }
    }

    /// Takes in the verdicts that it is served by and counts them.
    pub(super) fn rule(&mut self, survey: Survey, counters: &CacheCounters) {
        self.verdict = survey.verdict;
        self.marked = survey.marked;
        self.cut_off = survey.standing != Standing::Connected;
        self.is_spent = survey.dead;
        let lookup = match survey.verdict {
            Verdict::Fresh => Lookup::Hit,
            Verdict::Stale => Lookup::Stale,
            Verdict::Refused => Lookup::Refused,
        };
        self.verdicts = survey.verdicts;
        counters.count(self.tier, lookup);
    }
}

impl<V: Value> Found<V> {
    /// The value, to be kept.
    ///
    /// ```
    /// # use samovar::{CachePolicy, Samovar, Settings};
    /// # use std::sync::Arc;
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// # let names = samovar.cache::<String>(CachePolicy::named("product_names"));
    /// names.get_or_load("42", |_| async { Ok("Tea".to_owned()) }).await?;
    /// let name: Arc<String> = names.peek("42").expect("it was loaded").value();
    /// names.remove("42").await;
    /// assert_eq!(*name, "Tea", "who has it keeps it");
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn value(&self) -> Arc<V> {
        self.held.value().value().expect(OF_ITS_TYPE)
    }
}

/// Who makes a `Found` has looked, and a `Seen` that has no value gives none away.
const OF_ITS_TYPE: &str = "what is found in a cache is of the cache's type";

impl<V: Value> Deref for Found<V> {
    type Target = V;

    #[inline]
    fn deref(&self) -> &V {
        self.held.value().get().expect(OF_ITS_TYPE)
    }
}

impl<V> Clone for Found<V> {
    fn clone(&self) -> Self {
        Found { held: Arc::clone(&self.held), verdicts: self.verdicts.clone(), ..*self }
    }
}

impl<V> fmt::Debug for Found<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found")
            .field("parts", self.parts())
            .field("tags", self.tags())
            .field("lifetime", &self.lifetime())
            .field("tier", &self.tier)
            .field("verdict", &self.verdict)
            .field("marked", &self.marked)
            .field("cut_off", &self.cut_off)
            .finish_non_exhaustive()
    }
}

/// How a read came by its answer. Where there is nothing to give it is an error instead, by the same words:
/// [`samovar_core::ErrorKind::Throttled`], [`samovar_core::ErrorKind::Timeout`], or the loader's own.
///
/// ```
/// # use samovar::{CachePolicy, Outcome, Samovar, Settings};
/// # use samovar_core::Millis;
/// # use std::time::Duration;
/// # use samovar_testkit::clock::FakeClock;
/// # futures_executor::block_on(async {
/// # let clock = FakeClock::at(Millis(0));
/// # let settings = Settings { clock: clock.clone(), ..Settings::default() };
/// # let samovar = Samovar::open(settings).await?;
/// # let ttl = Duration::from_secs(60);
/// # let policy = CachePolicy { ttl, jitter: 0.0, ..CachePolicy::named("product_names") };
/// # let names = samovar.cache::<String>(policy);
/// let tea = |_| async { Ok("Tea".to_owned()) };
/// assert_eq!(names.get_or_load("42", tea).await?.outcome, Outcome::Loaded);
/// assert_eq!(names.get_or_load("42", tea).await?.outcome, Outcome::Hit);
/// clock.advance(Duration::from_secs(61)); // it was fresh for a minute
/// assert_eq!(names.get_or_load("42", tea).await?.outcome, Outcome::Stale);
///
/// let none = |_| async { Ok(None::<String>) };
/// assert_eq!(names.get_or_load("43", none).await?.outcome, Outcome::Loaded);
/// assert_eq!(names.get_or_load("43", none).await?.outcome, Outcome::Negative);
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was there and fresh.
    Hit,
    /// It was there and fresh that the source has no such row.
    Negative,
    /// It was there, and is served with a label while it is read again; or because this node is cut off from the log
    /// that it shares, and then nothing is read again for that.
    Stale,
    /// It was read from the source: also if that has no such row.
    Loaded,
    /// It was there, and is served with a label because a load failed a moment ago and the source rests.
    Throttled,
    /// It was there, and is served with a label because its load failed or took too long.
    Failed,
}

/// A value, or that there is none, with its proof.
///
/// ```
/// # use samovar::{CachePolicy, Outcome, Samovar, Settings};
/// # use samovar_core::{Error, ErrorKind, Millis};
/// # use std::time::Duration;
/// # use samovar_testkit::clock::FakeClock;
/// # futures_executor::block_on(async {
/// # let clock = FakeClock::at(Millis(0));
/// # let settings = Settings { clock: clock.clone(), ..Settings::default() };
/// # let samovar = Samovar::open(settings).await?;
/// # let (ttl, hour) = (Duration::from_secs(60), Duration::from_secs(3_600));
/// # let policy = CachePolicy { ttl, jitter: 0.0, stale_window: Duration::ZERO, ..CachePolicy::named("prices") };
/// # let prices = samovar.cache::<String>(CachePolicy { fail_safe: hour, ..policy });
/// prices.get_or_load("42", |_| async { Ok("12.50".to_owned()) }).await?;
/// clock.advance(Duration::from_secs(90)); // past its lifetime and its stale window
/// let fails = |_| async { Err::<String, _>(Error::new(ErrorKind::Source, "the database is away")) };
/// let answer = prices.get_or_load("42", fails).await?;
/// assert_eq!(answer.outcome, Outcome::Failed);
/// assert_eq!(answer.value.as_deref().map(String::as_str), Some("12.50")); // by fail-safe
/// assert_eq!(answer.age, Duration::from_secs(90));
/// assert_eq!(answer.problem.expect("it says why").kind(), ErrorKind::Source);
/// # Ok::<(), samovar_core::Error>(())
/// # }).unwrap();
/// ```
pub struct Answer<V> {
    /// The value; `None`: the source has no such row.
    pub value: Option<Arc<V>>,
    /// How it was come by.
    pub outcome: Outcome,
    /// Where it was found; `None`: at the source.
    pub tier: Option<TierName>,
    /// When it was read from the source: of several parts the oldest.
    pub stamp: Stamp,
    /// How long ago that was; zero if the clock has gone backwards.
    pub age: Duration,
    /// When its lifetime ends, or ended; `None`: it is kept nowhere.
    pub fresh_until: Option<Millis>,
    /// Beside [`Outcome::Throttled`] and [`Outcome::Failed`]: why it is not fresh.
    pub problem: Option<Error>,
}

impl<V> Clone for Answer<V> {
    fn clone(&self) -> Self {
        Answer { value: self.value.clone(), problem: self.problem.clone(), ..*self }
    }
}

impl<V> fmt::Debug for Answer<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("outcome", &self.outcome)
            .field("tier", &self.tier)
            .field("stamp", &self.stamp)
            .field("age", &self.age)
            .field("fresh_until", &self.fresh_until)
            .field("problem", &self.problem)
            .finish_non_exhaustive()
    }
}
