//! Write-through and cache-aside: the source is written, then the key is marked.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use samovar_core::{
    Entry, Error, ErrorKind, Fate, Key, Part, Parts, Scope, Stamp, Tags, Tick, Verdict, Write,
    WriteError, WriteId, Writer,
};

use super::record::{Place, Record};
use super::{WriteOptions, Written};
use crate::background::{closed, panic_text};
use crate::cache::Cache;
use crate::fence::Fence;
use crate::jitter::back_off;
use crate::policy::Strategy;
use crate::samovar::{Inner, MarkOptions, Marked, Samovar};
use crate::value::Value;

/// How long to wait after a mark failed; twice as long each time …
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// … up to here.
const LAST_PAUSE: Duration = Duration::from_secs(5);

impl<V: Value> Cache<V> {
    /// Goes on in a task of its own, so that nobody who goes away leaves a written source without its mark.
    pub(super) async fn write_now(
        &self,
        key: &str,
        value: Option<Arc<V>>,
        options: WriteOptions,
    ) -> Result<Written, Error> {
        let (cache, key) = (self.clone(), Arc::<str>::from(key));
        let (send, answer) = oneshot::channel();
        let tasks = &self.inner.tasks;
        tasks.spawn(async move {
            let write = async {
                match (cache.writer.clone(), cache.policy.strategy) {
                    (Some(writer), _) => cache.send_and_mark(&*writer, &key, value, options).await,
                    (None, Strategy::WriteThrough) => {
                        cache.keep_everywhere(&key, value, options).await
                    }
                    (None, _) => cache.mark_written(&key).await.map(|marked| Written {
                        id: cache.inner.writes.passing(),
                        version: Some(marked.version),
                    }),
                }
            };
            let _ = send.send(unless_it_panics(&cache.policy.name, write).await);
        });
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    async fn send_and_mark(
        &self,
        writer: &dyn Writer<V>,
        key: &Arc<str>,
        value: Option<Arc<V>>,
        options: WriteOptions,
    ) -> Result<Written, Error> {
        let (inner, is_through) = (&self.inner, self.policy.strategy == Strategy::WriteThrough);
        let place = self.place(key);
        let deadline = writer.deadline();
        let intent = if is_through { self.intend(&place, deadline).await? } else { None };
        let id = intent.unwrap_or_else(|| inner.writes.passing());
        let under_way = UnderWay { inner, place: Some(place.clone()), deadline, intent };

        let token = inner.fence.token();
        let read_at = inner.clock.now();
        let began = inner.clock.elapsed();
        let writes = [Write { id, key: Arc::clone(key), value: value.clone() }];
        let mut answers = send(self, writer, &writes).await;
        let answer = answers.pop().unwrap_or_else(|| Err(unanswered()));
        let marked = self.mark_written(key).await;

        let is_known = !matches!(&answer, Err(WriteError { fate: Fate::Unknown, .. }));
        if let (Ok(()), Ok(marked), true, Some(value)) = (&answer, &marked, is_through, value) {
            let stamp = Stamp { version: marked.version, tick: inner.fence.tick(), read_at };
            let acted = Acted::since(&inner.fence, token.tick);
            let stored = self.key(key, read_at);
            if acted.is_some_and(|acted| acted.leaves(&place, &stored, &options.tags)) {
                self.keep_written(&stored, value, &options, stamp);
            }
        }
        under_way.ended();
        let over = began.saturating_add(deadline).saturating_sub(inner.clock.elapsed());
        match (is_known, &marked) {
            (true, Ok(_)) => inner.writes.release(intent.iter().map(|id| id.number).collect()),
            (true, Err(_)) => repeat(inner, place, Duration::ZERO, intent),
            (false, _) => repeat(inner, place, over, intent),
        }
        if let Err(error) = answer {
            let kind = match error.error.kind() {
                ErrorKind::Timeout => ErrorKind::Timeout,
                _ => ErrorKind::Source,
            };
            let text = format!("writing {}:{key}", self.policy.name);
            return Err(Error::new(kind, text).because(error));
        }
        Ok(Written { id, version: Some(marked?.version) })
    }

    /// Says in the journal that a row is being written. `None`: nothing outlives the process that could be old.
    async fn intend(&self, place: &Place, deadline: Duration) -> Result<Option<WriteId>, Error> {
        let inner = &self.inner;
        if !inner.writes.has_home() && !inner.outlives() {
            return Ok(None);
        }
        let intent = Record::Intent(place.clone(), deadline).encode(&[])?;
        inner.writes.record(intent, None, |_| {}).await.map(Some)
    }

    async fn mark_written(&self, key: &Arc<str>) -> Result<Marked, Error> {
        mark(&self.inner, &[self.place(key)]).await
    }

    pub(super) fn place(&self, key: &Arc<str>) -> Place {
        Place { cache: Arc::clone(&self.policy.name), key: Arc::clone(key) }
    }

    /// Without a source: what is written is put into every tier that the policy names. One of them has to hold it.
    async fn keep_everywhere(
        &self,
        key: &Arc<str>,
        value: Option<Arc<V>>,
        options: WriteOptions,
    ) -> Result<Written, Error> {
        let (inner, id) = (&self.inner, self.inner.writes.passing());
        inner.stack.room().await?;
        let marked = self.mark_written(key).await?;
        if let Some(put) = self.keep_or_remove(key, value, &options, &marked).await {
            let below = marked.is_numbered;
            let (rest, problem) = self.rest(&[put], self.policy.memory, below).await?;
            if rest != [true] {
                let text = format!("{}:{key}: no tier holds what was written", self.policy.name);
                let error = Error::new(ErrorKind::Away, text);
                return Err(match problem {
                    Some(problem) => error.because(problem),
                    None => error,
                });
            }
        }
        Ok(Written { id, version: Some(marked.version) })
    }

    /// Keeps what was written as of its own mark, or sees that nothing is kept. Who wrote later has a later mark, here and on
    /// every node: so all of them keep the same. What was put, if anything was.
    pub(super) async fn keep_or_remove(
        &self,
        key: &str,
        value: Option<Arc<V>>,
        options: &WriteOptions,
        marked: &Marked,
    ) -> Option<Put> {
        let inner = &self.inner;
        let now = inner.clock.now();
        let key = self.key(key, now);
        let Some(value) = value else {
            inner.stack.remove(&key, (&*inner.counters, &*self.counters)).await;
            return None;
        };
        let stamp = match marked.is_numbered {
            true => Stamp { version: marked.version, tick: inner.fence.tick(), read_at: now },
            // The log is away: its own mark has no version yet, and refuses it below memory.
            false => Stamp::new(marked.token, now),
        };
        let mut entry = self.written_entry(value, options, stamp);
        if marked.is_numbered {
            // The tick before the first mark that came after its own.
            entry = inner.fence.recall(&key, entry, stamp.tick)?;
        }
        self.keep(&key, &entry, false);
        let Entry { parts, tags, lifetime, .. } = entry;
        Some(Put { key, stamp, entry: Entry { value: (), parts, tags, lifetime } })
    }

    /// Whether what was put rests in memory or below it, and why it may not: see [`crate::tier::Stack::rest`]. What has been
    /// invalidated since, or is past its time, need not.
    pub(super) async fn rest(
        &self,
        puts: &[Put],
        in_memory: bool,
        below: bool,
    ) -> Result<(Vec<bool>, Option<Error>), Error> {
        let inner = &self.inner;
        let asked: Vec<_> = puts.iter().map(|put| (put.key.clone(), put.stamp.version)).collect();
        let (mut rest, problem) = inner.stack.rest(&self.policy, &asked, in_memory, below).await?;
        let now = inner.clock.now();
        for (rests, put) in rest.iter_mut().zip(puts).filter(|(rests, _)| !**rests) {
            let entry = put.entry.clone();
            let judged = inner.fence.recall_judged(&put.key, entry, put.stamp.tick, now);
            *rests = judged.is_none_or(|(_, survey)| survey.verdict == Verdict::Refused);
        }
        Ok((rest, problem))
    }

    pub(super) fn keep_written(
        &self,
        key: &Key,
        value: Arc<V>,
        options: &WriteOptions,
        stamp: Stamp,
    ) {
        self.keep(key, &self.written_entry(value, options, stamp), false);
    }

    fn written_entry(
        &self,
        value: Arc<V>,
        options: &WriteOptions,
        stamp: Stamp,
    ) -> Entry<Option<Arc<V>>> {
        let parts = Parts::from([Part { span: None, stamp }]);
        let lifetime = self.policy.lifetime(options.ttl.unwrap_or(self.policy.ttl), None);
        let (tags, lifetime) = (options.tags.clone(), self.spread(lifetime));
        Entry { value: Some(value), parts, tags, lifetime }
    }
}

/// Something that was written and put into the tiers.
pub(super) struct Put {
    key: Key,
    stamp: Stamp,
    entry: Entry<()>,
}

/// What a user's type does may panic, beside what a writer does.
pub(super) async fn unless_it_panics<T>(
    cache: &str,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| {
        let text = format!("writing to {cache} panicked: {}", panic_text(&*panic));
        Err(Error::new(ErrorKind::Source, text))
    })
}

/// What a writer answers, one for each write. A panic, and what takes longer than its deadline, leaves unknown what was
/// written.
pub(super) async fn send<V: Value>(
    cache: &Cache<V>,
    writer: &dyn Writer<V>,
    writes: &[Write<V>],
) -> Vec<Result<(), WriteError>> {
    let deadline = writer.deadline();
    let call = pin!(AssertUnwindSafe(async { writer.write(writes).await }).catch_unwind());
    let all = |kind, text: String| {
        let error = WriteError::new(Fate::Unknown, Error::new(kind, text));
        writes.iter().map(|_| Err(error.clone())).collect()
    };
    let ended = select(call, cache.inner.clock.sleep(deadline)).await;
    let mut answers: Vec<_> = match ended {
        Either::Left((Ok(answers), _)) => answers,
        Either::Left((Err(panic), _)) => {
            let text = panic_text(&*panic);
            all(ErrorKind::Source, format!("the writer of {} panicked: {text}", cache.policy.name))
        }
        Either::Right(_) => all(
            ErrorKind::Timeout,
            format!("the writer of {} took longer than {deadline:?}", cache.policy.name),
        ),
    };
    answers.resize_with(writes.len(), || Err(unanswered()));
    answers
}

fn unanswered() -> WriteError {
    let text = "the writer has not answered for this write";
    WriteError::new(Fate::Unknown, Error::new(ErrorKind::Source, text))
}

/// The marks that have acted here since a token was taken.
#[derive(Default)]
pub(super) struct Acted {
    /// How many on each key.
    keys: HashMap<Key, usize>,
    others: Vec<Scope>,
}

impl Acted {
    /// `None`: they are more than can be told apart.
    pub(super) fn since(fence: &Fence, tick: Tick) -> Option<Acted> {
        let acted = RefCell::new(Acted::default());
        let are_many = fence.acted_since(tick, |scope| {
            let Acted { keys, others } = &mut *acted.borrow_mut();
            match scope {
                Scope::Key(key) => *keys.entry(key.clone()).or_default() += 1,
                other => others.push(other.clone()),
            }
            false
        });
        (!are_many).then(|| acted.into_inner())
    }

    /// Whether one mark alone, its own, covers what was written under a key with these tags. A mark on a key names it as
    /// callers do, and a pattern as it is stored.
    pub(super) fn leaves(&self, place: &Place, stored: &Key, tags: &Tags) -> bool {
        self.keys.get(&place.to_key()) == Some(&1)
            && !self.others.iter().any(|scope| scope.covers(stored, tags))
    }
}

/// A write that the source has, or will have, before it is marked. Dropped on the way, as with the runtime on which it runs,
/// it is marked once the source can no longer commit it.
struct UnderWay<'a> {
    inner: &'a Arc<Inner>,
    /// `None`: it has ended.
    place: Option<Place>,
    deadline: Duration,
    intent: Option<WriteId>,
}

impl UnderWay<'_> {
    fn ended(mut self) {
        self.place = None;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            repeat(self.inner, place, self.deadline, self.intent);
        }
    }
}

/// Marks keys that were written.
pub(super) async fn mark(inner: &Arc<Inner>, places: &[Place]) -> Result<Marked, Error> {
    let scopes = places.iter().map(|place| Scope::Key(place.to_key())).collect();
    Samovar::of(Arc::clone(inner)).marked(scopes, MarkOptions::because("written")).await
}

/// Marks a key once more, after so long, until that is durable; then its intent may go.
fn repeat(inner: &Arc<Inner>, place: Place, after: Duration, intent: Option<WriteId>) {
    let clock = Arc::clone(&inner.clock);
    let weak = Arc::downgrade(inner);
    inner.tasks.keep(move || {
        let (weak, clock, place) = (weak.clone(), Arc::clone(&clock), place.clone());
        async move {
            clock.sleep(after).await;
            if until_marked(&weak, std::slice::from_ref(&place)).await
                && let Some(inner) = weak.upgrade()
            {
                inner.writes.release(intent.iter().map(|id| id.number).collect());
            }
        }
    });
}

/// Marks keys until that is durable. False if the cache was closed before.
async fn until_marked(weak: &Weak<Inner>, places: &[Place]) -> bool {
    let mut failures = 0;
    loop {
        let Some(inner) = weak.upgrade() else { return false };
        let clock = Arc::clone(&inner.clock);
        match mark(&inner, places).await {
            Ok(_) => return true,
            Err(error) if error.kind() == ErrorKind::Closed => return false,
            // There is no journal. They stay in force here and are sent until the log has them: to mark once more would only
            // add to them.
            Err(error) if error.kind() == ErrorKind::Away => return true,
            Err(_) => {}
        }
        // Nothing is kept open while nothing is done.
        drop(inner);
        clock.sleep(back_off(FIRST_PAUSE, LAST_PAUSE, failures)).await;
        failures += 1;
    }
}

/// Marks what was being written when the process before this one ended: at once, and again when the source can no longer
/// commit it.
pub(crate) async fn recover(inner: &Arc<Inner>) {
    let intents = inner.writes.intents();
    if intents.is_empty() {
        return;
    }
    let numbers: Vec<u64> = intents.iter().map(|(number, ..)| *number).collect();
    let deadline = intents.iter().map(|(.., deadline)| *deadline).max().unwrap_or_default();
    let places: Vec<Place> = intents.into_iter().map(|(_, place, _)| place).collect();
    let text = format!("{} writes were under way when the process ended: marked", places.len());
    inner.counters.say(inner.clock.now(), text);
    // They act here at once; that they become durable, the second ones see to.
    let _ = mark(inner, &places).await;
    let (weak, clock) = (Arc::downgrade(inner), Arc::clone(&inner.clock));
    inner.tasks.keep(move || {
        let (weak, clock) = (weak.clone(), Arc::clone(&clock));
        let (places, numbers) = (places.clone(), numbers.clone());
        async move {
            clock.sleep(deadline).await;
            if until_marked(&weak, &places).await
                && let Some(inner) = weak.upgrade()
            {
                inner.writes.release(numbers);
            }
        }
    });
}
