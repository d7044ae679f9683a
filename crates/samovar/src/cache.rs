//! A named cache: what is there. `keep`: what is put; `read`: get_or_load, `fetch`: its flights to the source; `many`:
//! many keys at once; `unwritten`: what was written here and does not stand in the source yet.

mod answer;
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
mod unwritten;
mod wait;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use samovar_core::{
    Claim, Entry, Error, Key, Millis, Part, Tick, TierName, Token, Verdict, Writer,
};

pub use answer::{Answer, Found, Outcome};
pub use load::{Load, LoadMany, Loaded};
pub use options::{PutOptions, ReadOptions};
pub(crate) use unwritten::{Kept, Unwritten, Waiting};

use crate::codec::{Packer, Payload};
use crate::counters::{CacheCounters, Event, Lookup};
use crate::fence::Survey;
use crate::flight::Flights;
use crate::policy::CachePolicy;
use crate::samovar::Inner;
use crate::tier::stack::{Below, shared};
use crate::tier::{Held, Shared, is_late};
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
    packer: Packer,
    desk: Arc<Desk>,
    /// Those who look below memory.
    looks: Flights<Option<Seen<V>>>,
    /// Those who ask the source.
    loads: Flights<Answer<V>>,
    /// Who writes to the source, if anybody does.
    pub(crate) writer: Option<Arc<dyn Writer<V>>>,
    /// Of a cache that is written back, or was.
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
        let (policy, desk) = (Arc::new(policy), Arc::new(desk));
        let unwritten = inner.writes.of_cache(&policy);
        Cache { inner, policy, counters, packer, desk, looks, loads, writer, unwritten }
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
    /// time costs about a hundred nanoseconds. `None` if it is not there, or nothing of it may ever be served again.
    ///
    /// A miss is not counted: who asks further counts it there.
    pub fn peek(&self, key: &str) -> Option<Found<V>> {
        if let Some(written) = self.written_found(key) {
            return written;
        }
        let now = self.inner.clock.now();
        // The tick before the lookup: a mark that acts from here on belongs to later reads.
        let tick = self.inner.fence.tick();
        let id = self.desk.naming.stored(key, now);
        let held = self.inner.stack.memory().find(&self.policy.name, &id)?;
        let value = held.value().value::<V>()?;
        self.judge_held(&id, &held, value, tick, now).filter(|found| !found.is_spent)
    }

    fn judge_held<T>(
        &self,
        id: &str,
        held: &Arc<Held>,
        value: Arc<T>,
        tick: Tick,
        now: Millis,
    ) -> Option<Found<T>> {
        let claimed = (held.parts(), held.tags(), held.lifetime());
        let mut found = Found::clean(value, claimed, TierName::Memory, held.fresh_until());
        if held.clean() >= tick && held.is_young(now) {
            self.counters.count(TierName::Memory, Lookup::Hit);
            return Some(found);
        }
        let (cache, clean) = (&self.policy.name, held.clean());
        let survey = self.inner.fence.survey(cache, id, held.claim(), clean, now);
        if survey.dead {
            self.inner.stack.memory().forget(held);
        } else if !survey.marked {
            held.set_clean(survey.tick);
        }
        let lives = self.rule(&mut found, id, survey, clean, now);
        if found.verdict == Verdict::Fresh && held.is_over(now) {
            // By memory's own time alone: the tiers below may have it anew.
            (found.verdict, found.reserve) = (Verdict::Stale, Verdict::Stale);
            found.verdicts = Some(vec![Verdict::Stale; found.parts.len()].into());
        }
        lives.then_some(found)
    }

    /// Takes in the verdicts on what was found, and counts them. False if nothing of it may ever be served again.
    fn rule<T>(
        &self,
        found: &mut Found<T>,
        id: &str,
        survey: Survey,
        clean: Tick,
        now: Millis,
    ) -> bool {
        let is_dead = survey.dead;
        found.reserve = survey.verdict;
        let fail_safe = self.policy.fail_safe;
        let survey = if survey.verdict == Verdict::Fresh || fail_safe.is_zero() {
            survey
        } else {
            let mut lifetime = found.lifetime;
            lifetime.stale_window = lifetime.stale_window.saturating_sub(fail_safe);
            let claim = Claim { parts: &found.parts, tags: &found.tags, lifetime };
            self.inner.fence.survey(&self.policy.name, id, claim, clean, now)
        };
        found.rule(survey, found.tier, &self.counters);
        !is_dead
    }

    /// What memory holds, judged: a value, or that there is none.
    fn look(&self, id: &str, now: Millis, counts: bool) -> Option<Seen<V>> {
        let tick = self.inner.fence.tick();
        let Some(held) = self.inner.stack.memory().find(&self.policy.name, id) else {
            if counts {
                self.counters.count(TierName::Memory, Lookup::Miss);
            }
            return None;
        };
        if let Some(value) = held.value().value::<V>() {
            return self.judge_held(id, &held, value, tick, now).map(Seen::from);
        }
        let absent = held.value().value::<Absent>()?;
        self.judge_held(id, &held, absent, tick, now).map(Seen::absent)
    }

    /// What is there, judged: in memory, else below; what is found below is then kept in memory too. `None` if
    /// it is not there, or nothing of it may be served; that the source is known to have no such row is told by
    /// [`Cache::get_or_load`] alone. Parts that are refused are reported, never hidden. A tier that fails is counted
    /// and passed over.
    pub async fn get(&self, key: &str) -> Option<Found<V>> {
        if let Some(written) = self.written_found(key) {
            return written;
        }
        let (now, tick) = (self.inner.clock.now(), self.inner.fence.tick());
        let key = self.key(key, now);
        let mut spare = None;
        match self.inner.stack.memory().find(&key.cache, &key.id) {
            Some(held) => {
                if let Some(value) = held.value().value::<V>() {
                    let found = self.judge_held(&key.id, &held, value, tick, now);
                    match found.filter(|found| !found.is_spent) {
                        Some(found) if self.may_be_newer_below(found.verdict, found.marked) => {
                            spare = Some(found);
                        }
                        None => {}
                        found => return found,
                    }
                } else if let Some(absent) = held.value().value::<Absent>()
                    && let Some(found) = self.judge_held(&key.id, &held, absent, tick, now)
                    && found.verdict == Verdict::Fresh
                {
                    return None;
                }
            }
            None => self.counters.count(TierName::Memory, Lookup::Miss),
        }
        let below = self.seek_below(&key).await;
        below.and_then(|(_, found)| found).filter(|found| !found.is_spent).or(spare)
    }

    /// Whether what memory says is stale merely because memory's own time is over.
    fn may_be_newer_below(&self, verdict: Verdict, marked: bool) -> bool {
        verdict != Verdict::Fresh && !marked && self.policy.memory_ttl.is_some() && self.has_below()
    }

    fn has_below(&self) -> bool {
        self.inner.stack.has_lower(&self.policy)
    }

    /// The key under which the tiers know what callers call so.
    pub(crate) fn key(&self, id: &str, now: Millis) -> Key {
        Key::new(Arc::clone(&self.policy.name), self.desk.naming.stored(id, now))
    }

    /// What lies below memory, judged and kept in memory too; with the value as a caller is given it, if there is one.
    async fn seek_below(&self, key: &Key) -> Option<(Seen<V>, Option<Found<V>>)> {
        if !self.has_below() {
            return None;
        }
        let inner = &self.inner;
        let counted = (&*inner.counters, &*self.counters);
        let now = || inner.clock.now();
        let found = inner.stack.below(&self.policy, key, &inner.fence, now, counted).await?;
        let Below { tier, entry, survey } = found;
        let now = now();
        let judged = (survey, now);
        let (seen, found, shared) = match entry.value.read::<V>() {
            Ok(Some(value)) => {
                let value = Arc::new(value);
                let found = self.judge_below(key, tier, &entry, Arc::clone(&value), judged)?;
                (Seen::from(found.clone()), Some(found), shared(&value))
            }
            Ok(None) => {
                let absent = Arc::new(Absent);
                let found = self.judge_below(key, tier, &entry, Arc::clone(&absent), judged)?;
                (Seen::absent(found), None, Shared::new(absent, 0))
            }
            Err(error) => {
                inner.counters.count(Event::Damaged, 1);
                inner
                    .counters
                    .say(now, format!("{key} cannot be read from {tier}: {error}; dropped"));
                inner.stack.remove(key, counted).await;
                return None;
            }
        };
        inner.stack.promote(&self.policy, key, tier, &entry, &self.counters);
        if self.policy.memory {
            self.promote(key, entry.with(shared), seen.reserve, now);
        }
        Some((seen, found))
    }

    fn judge_below<T>(
        &self,
        key: &Key,
        tier: TierName,
        entry: &Entry<Payload>,
        value: Arc<T>,
        (survey, now): (Survey, Millis),
    ) -> Option<Found<T>> {
        let Entry { parts, tags, lifetime, .. } = entry;
        let until = crate::tier::fresh_until(parts, *lifetime);
        let mut found = Found::clean(value, (parts, tags, *lifetime), tier, until);
        self.rule(&mut found, &key.id, survey, Tick(0), now).then_some(found)
    }

    /// Keeps in memory what was found below, unless what stands there may be served as well.
    fn promote(&self, key: &Key, entry: Entry<Shared>, verdict: Verdict, now: Millis) {
        let parts = Arc::clone(&entry.parts);
        // What was read later takes the place of what is as good: another node may have read it again early.
        let stays = |held: &Held| {
            self.verdict(key, held.claim()) <= verdict
                && !(is_late(held.parts(), &parts, |stamp| stamp.tick.0) || held.is_over(now))
        };
        self.counters.set(TierName::Memory);
        self.inner.stack.memory().keep(key, entry, self.memory_until(now), stays);
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
        self.verdict(&key, Claim { parts, tags: &found.tags, lifetime: found.lifetime })
    }

    /// Waits while more is queued for the disk than it should fall behind: for who puts in bulk, after each put.
    ///
    /// # Errors
    /// If the tier below has failed for good.
    pub async fn room(&self) -> Result<(), Error> {
        self.inner.stack.room().await
    }

    /// Forgets a key in every tier. This is no invalidation: a load that is under way may bring the same value
    /// back. To invalidate, use [`crate::Samovar::mark`].
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
