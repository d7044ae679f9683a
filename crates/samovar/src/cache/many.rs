//! Many keys at once: what is missing is loaded in one call.
//!
//! Each key that has to be loaded gets a flight of its own, so that single reads and batches share their loads both
//! ways. The flights of a batch wait for one *call*, which begins when all of them have departed: so its token is
//! taken after each of theirs, and who asks after a mark is told rightly which of them he may not join. A flight that
//! has to wait behind another holds the whole batch back; that takes a mark on a key while it is read. One that is
//! answered lands, whatever the others wait for.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;

use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, Shared, join_all, select};
use parking_lot::Mutex;
use samovar_core::{Error, ErrorKind, Key, Stamp};

use super::Cache;
use super::answer::{Answer, Found, Outcome};
use super::fetch::touches;
use super::load::{LoadMany, Loaded};
use super::options::{ReadOptions, Terms};
use super::seen::Seen;
use super::turn::{Turns, Wanted};
use super::wait::Patience;
use crate::flight::Ticket;
use crate::value::Value;

/// What was seen of a key of a batch; and the answer that it makes and whether it is to be read again behind that, else
/// what of it is kept in case a load fails.
type Sought<V> = (Option<Seen<V>>, Result<(Answer<V>, bool), Option<Seen<V>>>);

/// Tells each flight what it brought, as soon as it has.
type Call = Shared<BoxFuture<'static, ()>>;

/// A caller's loader: gives what it has read by the keys as callers know them.
type Loader<V> = Box<dyn FnMut(LoadMany) -> BoxFuture<'static, Read<V>> + Send>;
type Read<V> = Result<HashMap<String, Loaded<V>>, Error>;

/// A key of the batch that is not there, as far as this has looked.
struct Missing<V> {
    key: Key,
    /// As callers know it.
    bare: Arc<str>,
    known: Option<Seen<V>>,
}

/// Who is still to depart, and who has departed and wants to be loaded.
struct Roll<V>(Mutex<Option<oneshot::Sender<Vec<Wanted<V>>>>>, Mutex<Vec<Wanted<V>>>);

impl<V> Drop for Roll<V> {
    /// The last flight has departed, or has been given up.
    fn drop(&mut self) {
        if let Some(all) = self.0.lock().take() {
            let _ = all.send(std::mem::take(&mut *self.1.lock()));
        }
    }
}

impl<V: Value> Cache<V> {
    /// What is there under each key, in the order of the keys: as [`Cache::get`].
    ///
    /// ```
    /// # use samovar::{CachePolicy, Samovar, Settings};
    /// # futures_executor::block_on(async {
    /// let samovar = Samovar::open(Settings::default()).await?;
    /// let names = samovar.cache::<String>(CachePolicy::named("names"));
    /// names.get_or_load("1", |_| async { Ok("Tea".to_owned()) }).await?;
    /// let found = names.get_many(&["1", "2"]).await;
    /// assert!(found[0].is_some() && found[1].is_none());
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn get_many<K: AsRef<str>>(&self, keys: &[K]) -> Vec<Option<Found<V>>> {
        let now = self.inner.clock.now();
        let mut found = Vec::with_capacity(keys.len());
        // Where, and what may be given if nothing better lies below.
        let (mut sought, mut spares) = (Vec::new(), Vec::new());
        for (at, key) in keys.iter().enumerate() {
            found.push(match self.in_memory(key.as_ref(), now) {
                Ok(found) => found,
                Err((key, spare)) => {
                    sought.push(key);
                    spares.push((at, spare));
                    None
                }
            });
        }
        let below = self.seek_many_below(&sought, true).await;
        for ((at, spare), below) in spares.into_iter().zip(below) {
            let below = below.and_then(Seen::found).filter(|found| !found.is_spent);
            found[at] = below.or(spare);
        }
        found
    }

    /// The values under many keys, each with its own result, in the order of the keys. What is neither in memory nor
    /// below is loaded in one call, under one token; and with it what is stale or due to be refreshed, which is else
    /// read again in the background. A key that is being loaded is waited for, on another node too; who asks for one that
    /// this loads waits for this.
    ///
    /// `load` is told the keys that are to be loaded and gives a value, or a [`Loaded`], for each; [`Loaded::failed`]
    /// for one that alone cannot be read. Of a key that it leaves out the source has no row. It is called once, unless
    /// other nodes were to load some of the keys and did not: then again for those, each time under a token of its own.
    /// Timeouts count from when the call begins to wait for loads.
    ///
    /// ```
    /// # use samovar::{CachePolicy, LoadMany, ReadOptions, Samovar, Settings};
    /// # futures_executor::block_on(async {
    /// let samovar = Samovar::open(Settings::default()).await?;
    /// let names = samovar.cache::<String>(CachePolicy::named("names"));
    /// names.get_or_load("1", |_| async { Ok("Tea".to_owned()) }).await?;
    /// let load = |load: LoadMany| async move {
    ///     assert_eq!(load.keys().len(), 2, "the first is there");
    ///     Ok([("2", "Milk".to_owned())])
    /// };
    /// let answers = names.get_or_load_many(&["1", "2", "3"], ReadOptions::default(), load).await;
    /// let values: Vec<Option<String>> = answers
    ///     .into_iter()
    ///     .map(|answer| Ok(answer?.value.map(|value| value.to_string())))
    ///     .collect::<Result<_, samovar_core::Error>>()?;
    /// assert_eq!(values, [Some("Tea".to_owned()), Some("Milk".to_owned()), None]);
    /// # Ok::<(), samovar_core::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Cache::get_or_load_with`], for each key.
    pub async fn get_or_load_many<K, F, Fut, M, I, L>(
        &self,
        keys: &[K],
        options: ReadOptions,
        mut load: F,
    ) -> Vec<Result<Answer<V>, Error>>
    where
        K: AsRef<str>,
        F: FnMut(LoadMany) -> Fut + Send + 'static,
        Fut: Future<Output = Result<M, Error>> + Send + 'static,
        M: IntoIterator<Item = (I, L)> + Send + 'static,
        I: AsRef<str> + 'static,
        L: Into<Loaded<V>> + 'static,
    {
        let terms = Terms::new(&self.policy, options);
        let now = self.inner.clock.now();
        // Each key once, in the order of its first coming.
        let mut known = HashSet::new();
        let distinct = keys.iter().map(AsRef::as_ref).filter(|key| known.insert(*key));
        let (bare, stored): (Vec<Arc<str>>, Vec<Key>) =
            distinct.map(|bare| (bare.into(), self.key(bare, now))).unzip();
        let sought = self.seek(&stored, &terms).await;

        let mut answers: HashMap<Arc<str>, Result<Answer<V>, Error>> = HashMap::new();
        let (mut missing, mut again) = (Vec::new(), Vec::new());
        for ((key, bare), (seen, settled)) in stored.into_iter().zip(bare).zip(sought) {
            let wanted = Missing { key, bare, known: seen };
            match settled {
                Ok((answer, is_due)) => {
                    answers.insert(Arc::clone(&wanted.bare), Ok(answer));
                    if is_due && self.resting(&wanted.key).is_none() {
                        again.push(wanted);
                    }
                }
                Err(spare) => match self.resting(&wanted.key) {
                    None => missing.push((wanted, spare)),
                    Some(error) => {
                        let answer = self.rested(&wanted.key, spare, &terms, error);
                        answers.insert(wanted.bare, answer);
                    }
                },
            }
        }
        let (spares, mut all): (Vec<_>, Vec<_>) = missing
            .into_iter()
            .map(|(wanted, spare)| ((Arc::clone(&wanted.bare), wanted.key.clone(), spare), wanted))
            .unzip();
        let waits = !all.is_empty();
        all.append(&mut again);
        if all.is_empty() {
            return in_order(keys, &answers);
        }
        let patience = Patience::new(&self.inner.clock, &terms);
        let load: Loader<V> = Box::new(move |told| {
            let read = load(told);
            let row = |(bare, loaded): (I, L)| (bare.as_ref().to_owned(), loaded.into());
            async move { Ok(read.await?.into_iter().map(row).collect()) }.boxed()
        });
        let mut tickets = self.board_many(all, &terms, load);
        if !waits {
            tickets.into_values().for_each(|ticket| self.go_behind(ticket));
            return in_order(keys, &answers);
        }
        let waiting = spares.into_iter().filter_map(|(bare, key, spare)| {
            let ticket = tickets.remove(&bare)?;
            let (patience, terms) = (&patience, &terms);
            Some(async move { (bare, self.await_load(&key, ticket, spare, patience, terms).await) })
        });
        let waiting: Vec<_> = waiting.collect();
        // What is read again with them departs with them.
        tickets.into_values().for_each(|ticket| self.go_behind(ticket));
        answers.extend(join_all(waiting).await);
        in_order(keys, &answers)
    }

    /// What the keys of a batch come to without their source: in memory, and below it at once.
    async fn seek(&self, keys: &[Key], terms: &Terms) -> Vec<Sought<V>> {
        let (now, skip) = (self.inner.clock.now(), terms.options.skip_memory);
        let in_memory = |key: &Key| {
            if let Some(written) = self.written(Key::bare(&key.id)) {
                return (None, Ok((self.answer(&written, Outcome::Hit, now), false)));
            }
            let seen = if skip { None } else { self.look(&key.id, now, true) };
            let settled = self.settled(key, &seen, terms, true);
            (seen, settled)
        };
        let mut found: Vec<Sought<V>> = keys.iter().map(in_memory).collect();
        if terms.options.refresh {
            return found;
        }
        let open: Vec<usize> = (0..keys.len()).filter(|at| found[*at].1.is_err()).collect();
        let sought: Vec<Key> = open.iter().map(|at| keys[*at].clone()).collect();
        let below = self.seek_many_below(&sought, !skip).await;
        for ((at, key), below) in open.into_iter().zip(&sought).zip(below) {
            let (seen, settled) = &mut found[at];
            *seen = below.or_else(|| self.again(key, seen.take()?));
            let spare = settled.as_mut().err().and_then(Option::take);
            *settled = self.settled(key, seen, terms, false).map_err(|own| own.or(spare));
        }
        found
    }

    /// Places in the flights of these keys, by the keys as callers know them. Those that are new wait for one call.
    fn board_many(
        &self,
        wanted: Vec<Missing<V>>,
        terms: &Terms,
        load: Loader<V>,
    ) -> HashMap<Arc<str>, Ticket<Answer<V>>> {
        let (departed, all) = oneshot::channel();
        let roll = Arc::new(Roll(Mutex::new(Some(departed)), Mutex::default()));
        let call: Call = self.clone().call(all, terms.clone(), load).boxed().shared();
        let board = |sought: Missing<V>| {
            let (cache, roll, call) = (self.clone(), Arc::clone(&roll), call.clone());
            let (key, bare, terms) = (sought.key.clone(), Arc::clone(&sought.bare), terms.clone());
            let id = key.clone();
            let run = move |_| async move {
                let found = cache.found_since(&id, sought.known.as_ref(), &terms).await;
                if let Some(answer) = found {
                    return Ok(answer);
                }
                if let Some(error) = cache.resting(&id) {
                    return Err(error);
                }
                let (tell, told) = oneshot::channel();
                let Missing { key, bare, known } = sought;
                roll.1.lock().push(Wanted { key, bare, known, tell });
                drop(roll);
                let answer = match select(told, call).await {
                    Either::Left((answer, _)) => answer,
                    Either::Right(((), told)) => told.await,
                };
                // The call answers for all that it was told of.
                let none = |_| Error::new(ErrorKind::Source, format!("{id} was not loaded"));
                answer.map_err(none)?
            };
            (bare, self.loads.board(&key, &|scope| touches(scope, &key), run))
        };
        // All at once: a batch waits for all of its flights, and of two that board in turns each could wait behind the
        // other.
        let _alone = self.desk.boarding.lock();
        wanted.into_iter().map(board).collect()
    }

    /// Loads what the flights that have departed want: in one call, unless other nodes are to load some of it and do not.
    async fn call(self, all: oneshot::Receiver<Vec<Wanted<V>>>, terms: Terms, mut load: Loader<V>) {
        let mut wanted = all.await.unwrap_or_default();
        let mut queue = self.queue(&terms);
        while !wanted.is_empty() {
            let Turns { mut own, leases, others } = self.turns(wanted, &mut queue, &terms).await;
            let mut answers = Vec::new();
            if !own.is_empty() {
                answers = self.load_many(&mut own, &terms, &mut load).await;
            }
            // Before anybody is told: when all have been, this goes no further.
            self.give_back(leases, own.iter().map(|wanted| wanted.key.clone()).collect());
            own.into_iter().zip(answers).for_each(|(wanted, answer)| wanted.tell(answer));
            wanted = others;
        }
    }

    /// What these keys come to, in their order: loaded in one call, under one token.
    async fn load_many(
        &self,
        wanted: &mut [Wanted<V>],
        terms: &Terms,
        load: &mut Loader<V>,
    ) -> Vec<Result<Answer<V>, Error>> {
        let token = self.token();
        let stamp = Stamp::new(token, self.inner.clock.now());
        for Wanted { key, known, .. } in &mut *wanted {
            *known = self.still(key, known.take(), terms);
        }
        let keys: Vec<Key> = wanted.iter().map(|wanted| wanted.key.clone()).collect();
        let told = LoadMany { token, keys: wanted.iter().map(|w| Arc::clone(&w.bare)).collect() };
        let what = format!("{} keys of {}", keys.len(), self.policy.name);
        // It is called only when it is waited for: so its panic is caught there, too.
        let call = async move { load(told).await };
        let mut loaded = match self.ask(&what, &keys, terms, call).await {
            Ok(loaded) => loaded,
            Err(error) => return keys.iter().map(|_| Err(error.clone())).collect(),
        };
        let mut answers = Vec::with_capacity(wanted.len());
        for Wanted { key, bare, known, .. } in wanted {
            let own = loaded.remove(&**bare).unwrap_or_else(Loaded::absent);
            answers.push(self.take(key, stamp, own, known.take(), terms).await);
        }
        answers
    }
}

/// The answers in the order of the keys.
fn in_order<V, K: AsRef<str>>(
    keys: &[K],
    answers: &HashMap<Arc<str>, Result<Answer<V>, Error>>,
) -> Vec<Result<Answer<V>, Error>> {
    let none = |key: &str| Err(Error::new(ErrorKind::Source, format!("{key} was not loaded")));
    let of = |key: &K| answers.get(key.as_ref()).cloned().unwrap_or_else(|| none(key.as_ref()));
    keys.iter().map(of).collect()
}
