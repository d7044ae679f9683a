//! What is asked of a fence about entries: in memory, and below it.

use std::sync::Arc;

use samovar_core::{Claim, Entry, Judge, Keep, Key, Millis, Parts, Tick, Verdict, Version};

use super::fresh::{Ruling, rule};
use super::standing::Since;
use super::state::State;
use super::table::Over;
use super::{Fence, Standing};

/// What the predicate says of an entry in memory, part by part.
#[derive(Debug)]
pub(crate) struct Survey {
    /// The worst over all parts.
    pub(crate) verdict: Verdict,
    /// By part, if not all are fresh.
    pub(crate) verdicts: Option<Box<[Verdict]>>,
    /// Nothing of it may ever be served again.
    pub(crate) dead: bool,
    /// Whether a mark covers any of it.
    pub(crate) marked: bool,
    /// The tick up to which this holds.
    pub(crate) tick: Tick,
    /// Whether this node hears what others invalidate.
    pub(crate) standing: Standing,
}

impl Fence {
    /// The verdict on what lies in memory under `key`: that of its worst part. Asked about one day of a part
    /// ([`samovar_core::Part::only`]) it answers for that day.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use samovar::{Samovar, Settings};
    /// # use samovar_core::{Entry, Key, Lifetime, Mode, Scope, Stamp, Verdict};
    /// # futures_executor::block_on(async {
    /// # let samovar = Samovar::open(Settings::default()).await?;
    /// let (fence, key) = (samovar.fence(), Key::new("prices", "42"));
    /// let stamp = Stamp::new(fence.token(), samovar.clock().now());
    /// let lifetime = Lifetime { ttl: Duration::from_secs(600), stale_window: Duration::from_secs(600) };
    /// let price = Entry::whole(499, stamp, lifetime);
    /// assert_eq!(fence.judge_memory(&key, price.claim()), Verdict::Fresh);
    ///
    /// samovar.mark(vec![Scope::Key(key.clone())], Mode::Expire, "price_changed").await?;
    /// assert_eq!(fence.judge_memory(&key, price.claim()), Verdict::Stale);
    /// samovar.mark(vec![Scope::Everything], Mode::Remove, "new list").await?;
    /// assert_eq!(fence.judge_memory(&key, price.claim()), Verdict::Refused);
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn judge_memory(&self, key: &Key, claim: Claim<'_>) -> Verdict {
        let now = self.inner.clock.now();
        self.survey(&key.cache, &key.id, claim, Tick(0), now).verdict
    }

    /// The verdicts on an entry in memory that is known to be clean up to `clean`.
    pub(crate) fn survey(
        &self,
        cache: &str,
        id: &str,
        claim: Claim<'_>,
        clean: Tick,
        now: Millis,
    ) -> Survey {
        let state = self.inner.state.read();
        self.survey_under(&state.table.over(cache, id, claim.tags), claim, clean, now)
    }

    /// As [`Fence::survey`], by who holds the table: no mark acts meanwhile, so the tick and what stands over the entry
    /// belong together.
    fn survey_under(&self, over: &Over<'_>, claim: Claim<'_>, clean: Tick, now: Millis) -> Survey {
        let mut survey = Survey {
            verdict: Verdict::Fresh,
            verdicts: None,
            dead: true,
            marked: false,
            tick: self.tick(),
            standing: self.standing(),
        };
        for (at, part) in claim.parts.iter().enumerate() {
            let since = Since::Tick(clean.max(part.stamp.tick));
            let cover = over.cover(part.span.as_ref(), since);
            let ruling = rule(&cover, part.stamp.read_at, claim.lifetime, now);
            survey.verdict = survey.verdict.max(ruling.verdict);
            if ruling.verdict != Verdict::Fresh {
                let all_fresh = || vec![Verdict::Fresh; claim.parts.len()].into();
                survey.verdicts.get_or_insert_with(all_fresh)[at] = ruling.verdict;
            }
            survey.dead &= ruling.dead;
            survey.marked |= cover.any();
        }
        survey
    }

    /// An entry that was read below memory, with ticks by which memory judges it as versions do; `None` if a part of it
    /// does not lie on the history, which refuses the whole entry.
    ///
    /// `before` is the tick that was read before the lookup: a mark that acted since may not have been
    /// seen by what was looked up.
    pub(crate) fn recall<V>(
        &self,
        key: &Key,
        mut entry: Entry<V>,
        before: Tick,
    ) -> Option<Entry<V>> {
        let state = self.inner.state.read();
        let over = state.table.over(&key.cache, &key.id, &entry.tags);
        state.give_ticks(&over, &mut entry.parts, before).then_some(entry)
    }

    /// As [`Fence::recall`], and the verdicts on what it gives.
    pub(crate) fn recall_judged<V>(
        &self,
        key: &Key,
        mut entry: Entry<V>,
        before: Tick,
        now: Millis,
    ) -> Option<(Entry<V>, Survey)> {
        let state = self.inner.state.read();
        let over = state.table.over(&key.cache, &key.id, &entry.tags);
        if !state.give_ticks(&over, &mut entry.parts, before) {
            return None;
        }
        let survey = self.survey_under(&over, entry.claim(), Tick(0), now);
        drop(over);
        Some((entry, survey))
    }
}

impl State {
    /// Gives parts the ticks by which memory judges them; false if one of them does not lie on the history.
    fn give_ticks(&self, over: &Over<'_>, parts: &mut Parts, before: Tick) -> bool {
        for part in Arc::make_mut(parts) {
            let version = part.stamp.version;
            if !self.holds(version) {
                return false;
            }
            let cover = over.cover(part.span.as_ref(), Since::Seq(version.seq));
            part.stamp.tick = match cover.first.tick {
                Some(first) => before.min(Tick(first.saturating_sub(1))),
                None => before,
            };
        }
        true
    }
}

impl Judge for Fence {
    fn judge_stored(&self, key: &Key, claim: Claim<'_>) -> Keep {
        let now = self.inner.clock.now();
        let state = self.inner.state.read();
        // Nothing can be said of it before the history is known.
        if state.is_adrift() {
            return Keep::CleanTo(0);
        }
        let mut first = None;
        let mut dead = true;
        let over = state.table.over(&key.cache, &key.id, claim.tags);
        for part in claim.parts {
            let version = part.stamp.version;
            if !state.holds(version) {
                return Keep::Drop;
            }
            let cover = over.cover(part.span.as_ref(), Since::Seq(version.seq));
            let Ruling { dead: gone, .. } = rule(&cover, part.stamp.read_at, claim.lifetime, now);
            dead &= gone;
            first = [first, cover.first.seq].into_iter().flatten().min();
        }
        if dead { Keep::Drop } else { Keep::CleanTo(first.map_or(u64::MAX, |seq| seq - 1)) }
    }

    fn position(&self) -> Option<Version> {
        let state = self.inner.state.read();
        (state.pending.len() == 0 && !state.is_adrift()).then(|| state.version())
    }

    fn holds(&self, version: Version) -> bool {
        self.inner.state.read().holds(version)
    }

    fn swept(&self, clean: Option<Version>) {
        self.inner.state.write().swept(clean);
    }
}
