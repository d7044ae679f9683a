//! A named cache: what is there. `below`: what lies below memory; `keep`: what is put; `read`: get_or_load, `fetch`: its
//! flights to the source, `turn`: of which of several nodes; `many`: many keys at once; `unwritten`: what was written here
//! and does not stand in the source yet.

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
    BoxFuture, Claim, Error, Key, Millis, Part, Tick, TierName, Token, Verdict, Writer,
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
use seen::{Absent, Seen};
use throttle::Throttle;

/// A named cache of one type of value. Cheap to clone; made by [`crate::Samovar::cache`].
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
    pub fn policy(&self) -> &CachePolicy {
        &self.policy
    }

    /// To be taken *before* anything is read from the source: it becomes the stamp of what is read.
    pub fn token(&self) -> Token {
        self.inner.fence.token()
    }

    /// What memory holds, judged. Synchronous; a hit on an entry that no mark has come near since the last
    /// time costs little more than the lookup. `None` if it is not there, or nothing of it may ever be served again.
    ///
    /// A miss is not counted: who asks further counts it there.
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
            Ok(seen) => Some(seen),
            Err(held) => self.look_closer(id, held, now, counts),
        }
    }

    /// What memory holds, if it is fresh and no mark has come near it since the last time: most reads end here. Else
    /// what stands there.
    // Of all that a hit does only the lookup is a call.
    #[inline(always)]
    fn glance(&self, id: &str, now: Millis) -> Result<Seen<V>, Option<Arc<Held>>> {
        // The tick before the lookup: a mark that acts from here on belongs to later reads.
        let tick = self.inner.fence.tick_at(now);
        let held = self.inner.stack.memory().find(self.number, id).ok_or(None)?;
        let is_value = held.value().get::<V>().is_some();
        if (is_value || held.value().get::<Absent>().is_some())
            && held.clean() >= tick
            && held.is_young(now)
        {
            self.counters.count(TierName::Memory, Lookup::Hit);
            return Ok(Seen::new(Found::clean(held, TierName::Memory), !is_value));
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
        let fail_safe = self.policy.fail_safe;
        if survey.verdict == Verdict::Fresh || fail_safe.is_zero() {
            return survey;
        }
        let window = &mut claim.lifetime.stale_window;
        *window = window.saturating_sub(fail_safe);
        self.inner.fence.survey(&self.policy.name, id, claim, clean, now)
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
    pub async fn get(&self, key: &str) -> Option<Found<V>> {
        if let Some(written) = self.written_found(key) {
            return written;
        }
        let now = self.inner.clock.now();
        match self.glance(&self.desk.naming.stored(key, now), now) {
            Ok(seen) => seen.found(),
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

    /// The verdict on a part of what was found under `key`, or on one day of it ([`Part::only`]), as of now.
    pub fn judge(&self, key: &str, part: &Part, found: &Found<V>) -> Verdict {
        let key = self.key(key, self.inner.clock.now());
        let parts = std::slice::from_ref(part);
        self.verdict(&key, Claim { parts, tags: found.tags(), lifetime: found.lifetime() })
    }

    /// Waits while more is queued for the disk than it should fall behind: for who puts in bulk, after each put.
    ///
    /// # Errors
    /// If the tier below has failed for good.
    pub async fn room(&self) -> Result<(), Error> {
        self.inner.stack.room().await
    }

    /// Forgets a key in every tier that can be asked; true if something stood there. This is no invalidation: a load
    /// that is under way may bring the same value back, and so may a Redis that is left alone now because it is out of
    /// order. To invalidate, use [`crate::Samovar::mark`].
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
