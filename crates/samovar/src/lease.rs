//! Leases in Redis: who has one does some work, and others need not. They save work, and correctness never rests on
//! them: who cannot ask Redis works without.
//!
//! A lease is a name that is set for a time, with a token that nobody else knows, and removed by a script that compares
//! it: so who lost it takes nobody else's away, and one whose holder is dead ends by itself. Its *number* grows from
//! lease to lease in a namespace, for those whom a late holder writes to.
//!
//! Who *loads* has a lease by key, and gives it back ([`Leases`]). Who *leads*, in work that one node does for all now and
//! then, has it until its time is up ([`lead`]).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{Cmd, ToRedisArgs, Value, cmd};
use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{Shared, join_all};
use parking_lot::Mutex;
use samovar_core::{Clock, Error, ErrorKind, Key};

use crate::background::Tasks;
use crate::random;
use crate::redis::{Connection, plain};
use crate::tier::breaker::Health;
use crate::tier::redis::Shares;

/// So many leases are asked for in one trip.
const AT_ONCE: usize = 1_000;

/// Removes a name if it still holds this token.
const GIVE_BACK: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

fn give_back(name: &[u8], token: u64) -> Cmd {
    cmd("EVAL").arg(GIVE_BACK).arg(1).arg(name).arg(token).take()
}

fn set(name: impl ToRedisArgs, token: impl ToRedisArgs, time: Duration) -> Cmd {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    cmd("SET").arg(name).arg(token).arg("NX").arg("PX").arg(millis).take()
}

/// Whether a node leads from now on, for so long, in what stands under a name; else another does.
///
/// # Errors
/// If Redis cannot be asked.
pub(crate) async fn lead(
    connection: &Connection,
    name: &str,
    node: &str,
    time: Duration,
) -> Result<bool, Error> {
    Ok(plain(connection.one(&set(name, node, time)).await?)? != Value::Nil)
}

/// Takes leases. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Leases {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Connection,
    namespace: String,
    health: Arc<Health>,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    /// What this process holds: who wants it here too shares it, instead of waiting for it to be given back.
    own: Mutex<HashMap<Vec<u8>, Own>>,
}

struct Own {
    key: Key,
    token: u64,
    number: u64,
    until: Duration,
    holders: usize,
    /// It is being given back; resolves when that is done.
    going: Option<Shared<oneshot::Receiver<()>>>,
}

impl Leases {
    /// Over the connection of the tier in Redis, and only while that does well.
    pub(crate) fn new(
        (connection, namespace): Shares,
        clock: Arc<dyn Clock>,
        health: Arc<Health>,
        tasks: Tasks,
    ) -> Leases {
        let own = Mutex::default();
        Leases { inner: Arc::new(Inner { connection, namespace, health, clock, tasks, own }) }
    }

    /// Whether it is worth asking.
    pub(crate) fn are_there(&self) -> bool {
        self.inner.health.is_good()
    }

    /// The lease for some work on a key, for so long; `None`: another process has it.
    ///
    /// # Errors
    /// If Redis cannot be asked.
    pub(crate) async fn take(&self, key: &Key, time: Duration) -> Result<Option<Lease>, Error> {
        let mut taken = self.take_many(&[key], time).await?;
        Ok(taken.pop().flatten())
    }

    /// The leases for some work on each of these keys, in their order, in one trip for up to a thousand; `None`: another
    /// process has that one. Those that are taken together have one number.
    ///
    /// # Errors
    /// If Redis cannot be asked for all of them. Those that were taken are given back.
    pub(crate) async fn take_many(
        &self,
        keys: &[&Key],
        time: Duration,
    ) -> Result<Vec<Option<Lease>>, Error> {
        // They count from before they were asked for.
        let began = self.inner.clock.elapsed();
        let names: Vec<Vec<u8>> = keys.iter().map(|key| self.name(key)).collect();
        let mut all = join_all(names.iter().map(|name| self.share(name, began, time))).await;
        let missing: Vec<usize> = (0..keys.len()).filter(|at| all[*at].is_none()).collect();
        for missing in missing.chunks(AT_ONCE) {
            let asked = missing.iter().map(|at| (keys[*at], &names[*at]));
            let taken = self.ask(asked.collect(), began, time).await?;
            for (at, lease) in missing.iter().zip(taken) {
                all[*at] = lease;
            }
        }
        Ok(all)
    }

    fn name(&self, key: &Key) -> Vec<u8> {
        format!("{}_lease:{}:{}", self.inner.namespace, key.cache, key.id).into_bytes()
    }

    /// Asks Redis for leases.
    async fn ask(
        &self,
        wanted: Vec<(&Key, &Vec<u8>)>,
        began: Duration,
        time: Duration,
    ) -> Result<Vec<Option<Lease>>, Error> {
        let inner = &self.inner;
        let token = random::number()?;
        let count = cmd("INCR").arg(format!("{}_leases", inner.namespace)).take();
        let take = |name: &Vec<u8>| vec![set(name, token, time)];
        let names = wanted.iter().map(|(_, name)| (*name).clone());
        let mut attempt = Attempt { leases: self, names: names.collect(), token };
        // The number first: so a holder that was late with it has the smaller one.
        let asked = std::iter::once(vec![count]).chain(attempt.names.iter().map(take));
        let mut answers = inner.connection.ask(asked.collect()).await.into_iter();
        let mut next = || -> Result<Value, Error> {
            let missing = || Error::new(ErrorKind::Storage, "redis: an answer is missing");
            let values = answers.next().ok_or_else(missing)??;
            plain(values.into_iter().next().ok_or_else(missing)?)
        };
        let Value::Int(number) = next()? else {
            return Err(Error::new(ErrorKind::Storage, "redis: the number of a lease is none"));
        };
        let (number, until) = (number.unsigned_abs(), began + time);
        let taken = wanted.iter().map(|_| next()).collect::<Result<Vec<_>, _>>()?;
        attempt.names.clear();
        drop(attempt);
        let mut all = inner.own.lock();
        let lease = |((key, name), taken): (&(&Key, &Vec<u8>), Value)| {
            (taken != Value::Nil).then(|| {
                let key = (*key).clone();
                let own = Own { key, token, number, until, holders: 1, going: None };
                all.insert((*name).clone(), own);
                Lease { leases: self.clone(), name: (*name).clone(), token, number }
            })
        };
        Ok(wanted.iter().zip(taken).map(lease).collect())
    }

    /// Gives several back, in one trip for up to a thousand. Each goes by itself if it is dropped.
    pub(crate) async fn give_back(&self, mut leases: Vec<Lease>) {
        // Without its name a lease gives nothing back when it is dropped.
        let going = leases
            .iter_mut()
            .filter_map(|lease| self.is_done(&std::mem::take(&mut lease.name), lease.token));
        self.see_off(going.collect()).await;
    }

    /// Removes what is being given back.
    async fn see_off(&self, going: Vec<Going>) {
        for going in going.chunks(AT_ONCE) {
            let back = going.iter().map(|going| vec![give_back(&going.name, going.token)]);
            self.inner.connection.ask(back.collect()).await;
            going.iter().for_each(Going::is_over);
        }
    }

    /// The keys of the leases that this process has.
    pub(crate) fn held(&self) -> Vec<Key> {
        self.inner.own.lock().values().map(|own| own.key.clone()).collect()
    }

    /// Gives everything back, before the end.
    pub(crate) async fn end(&self) {
        let all = std::mem::take(&mut *self.inner.own.lock());
        let back = all.into_iter().map(|(name, own)| vec![give_back(&name, own.token)]);
        let back: Vec<_> = back.collect();
        if !back.is_empty() {
            self.inner.connection.ask(back).await;
        }
    }

    /// A lease that this process has, if at least half of the time is left. One that is being given back is waited for,
    /// or it would seem to be another's.
    async fn share(&self, name: &[u8], now: Duration, time: Duration) -> Option<Lease> {
        loop {
            let going = {
                let mut all = self.inner.own.lock();
                let own = all.get_mut(name)?;
                match &own.going {
                    Some(going) => going.clone(),
                    None if own.until < now + time / 2 => return None,
                    None => {
                        own.holders += 1;
                        let (token, number) = (own.token, own.number);
                        let leases = self.clone();
                        return Some(Lease { leases, name: name.to_vec(), token, number });
                    }
                }
            };
            let _ = going.await;
        }
    }

    /// A holder is done. If it was the last, what ends the giving back.
    fn is_done(&self, name: &[u8], token: u64) -> Option<Going> {
        let mut all = self.inner.own.lock();
        // It may have been lost, and taken anew since.
        let own = all.get_mut(name).filter(|own| own.token == token && own.going.is_none())?;
        own.holders -= 1;
        if own.holders > 0 {
            return None;
        }
        let (done, going) = oneshot::channel();
        own.going = Some(going.shared());
        let leases = self.clone();
        Some(Going { leases, name: name.to_vec(), token, _done: done })
    }
}

/// Leases that were asked for. Who goes away before the answer, or is given none, may have them without knowing.
struct Attempt<'a> {
    leases: &'a Leases,
    names: Vec<Vec<u8>>,
    token: u64,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.names.is_empty() {
            let leases = self.leases.clone();
            let back = self.names.iter().map(|name| vec![give_back(name, self.token)]).collect();
            self.leases.inner.tasks.spawn(async move {
                leases.inner.connection.ask(back).await;
            });
        }
    }
}

/// A lease that is being given back.
struct Going {
    leases: Leases,
    name: Vec<u8>,
    token: u64,
    _done: oneshot::Sender<()>,
}

impl Going {
    /// It is given back, or ends by itself.
    fn is_over(&self) {
        let mut all = self.leases.inner.own.lock();
        if all.get(&self.name).is_some_and(|own| own.token == self.token) {
            all.remove(&self.name);
        }
    }
}

impl Drop for Going {
    /// What was stopped on its way still is to be given back, before the end.
    fn drop(&mut self) {
        let mut all = self.leases.inner.own.lock();
        if let Some(own) = all.get_mut(&self.name).filter(|own| own.token == self.token) {
            own.going = None;
        }
    }
}

/// Held until it is dropped, or its time is over.
pub(crate) struct Lease {
    leases: Leases,
    name: Vec<u8>,
    token: u64,
    number: u64,
}

impl Lease {
    /// Greater than that of any lease before.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(going) = self.leases.is_done(&self.name, self.token) else { return };
        let leases = self.leases.clone();
        self.leases.inner.tasks.spawn(async move { leases.see_off(vec![going]).await });
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("number", &self.number).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use futures_executor::block_on;
    use samovar_core::SystemClock;
    use samovar_testkit::redis::{Server, Setup};

    use super::*;
    use crate::redis::RedisSettings;

    const LONG: Duration = Duration::from_secs(600);

    /// As another process would have them.
    fn leases(server: &Server) -> Leases {
        let patience = Duration::from_secs(20);
        let settings = RedisSettings {
            connect_timeout: patience,
            response_timeout: patience,
            ..RedisSettings::standalone([server.url()]).unwrap()
        };
        let (clock, tasks) = (Arc::new(SystemClock::new()), Tasks::new().unwrap());
        let connection = Connection::new(&settings, clock.clone(), tasks.clone()).unwrap();
        Leases::new((connection, "t:".to_owned()), clock, Arc::default(), tasks)
    }

    fn take(leases: &Leases, time: Duration) -> Option<Lease> {
        block_on(leases.take(&Key::new("c", "k"), time)).unwrap()
    }

    /// Takes it as soon as it can be had.
    fn await_it(leases: &Leases) -> Lease {
        let clock = SystemClock::new();
        loop {
            if let Some(lease) = take(leases, LONG) {
                return lease;
            }
            assert!(clock.elapsed() < Duration::from_secs(60), "it is not given back");
            std::thread::yield_now();
        }
    }

    #[test]
    fn one_has_it_until_it_is_given_back() {
        let server = Server::launch(&Setup::new()).unwrap();
        let [one, other] = [leases(&server), leases(&server)];
        let first = take(&one, LONG).unwrap();
        assert!(take(&other, LONG).is_none());
        let shared = take(&one, LONG).unwrap();
        assert_eq!(shared.number(), first.number(), "it is this process' own");
        drop(first);
        assert!(take(&other, LONG).is_none(), "somebody still holds it");
        drop(shared);
        drop(take(&one, LONG).expect("what is being given back here is waited for"));
        let next = await_it(&other);
        assert!(next.number() > 0);
        assert_eq!(other.held(), [Key::new("c", "k")]);
        block_on(other.end());
        let last = take(&one, LONG).unwrap();
        assert!(last.number() > next.number(), "numbers grow");
        drop(next);
        assert!(take(&other, LONG).is_none(), "who has given it back takes nobody else's away");
    }

    #[test]
    fn many_are_taken_and_given_back_together() {
        let server = Server::launch(&Setup::new()).unwrap();
        let [one, other] = [leases(&server), leases(&server)];
        let keys: Vec<Key> = (0..AT_ONCE + 2).map(|n| Key::new("c", n.to_string())).collect();
        let keys: Vec<&Key> = keys.iter().collect();
        let take = |of: &Leases| block_on(of.take_many(&keys, LONG)).unwrap();
        let number = |lease: &Option<Lease>| lease.as_ref().map(Lease::number);
        let foreign = block_on(other.take(keys[7], LONG)).unwrap();
        let own = block_on(one.take(keys[3], LONG)).unwrap();
        let taken = take(&one);
        let missing: Vec<usize> = (0..taken.len()).filter(|at| taken[*at].is_none()).collect();
        assert_eq!(missing, [7]);
        assert_eq!(number(&taken[3]), number(&own), "what this process has it shares");
        assert!(number(&taken[0]) > number(&own) && number(&taken[0]) == number(&taken[1]));
        assert!(number(&taken[AT_ONCE + 1]) > number(&taken[0]), "of a second trip");
        let none = take(&other).iter().enumerate().all(|(at, had)| had.is_some() == (at == 7));
        assert!(none, "the others are held");
        block_on(one.give_back(taken.into_iter().flatten().collect()));
        assert_eq!(one.held(), [keys[3].clone()]);
        let holders =
            |of: &Leases| of.inner.own.lock().values().map(|own| own.holders).sum::<usize>();
        assert_eq!(holders(&one), 1, "the one who took it first still has it");
        let names = server.cli(&["KEYS", "t:_lease:*"]).unwrap();
        assert!(names.contains("t:_lease:c:3") && names.lines().count() <= 2, "{names}");
        drop(foreign);
    }

    #[test]
    fn who_is_stopped_while_giving_back_gives_it_back_at_the_end() {
        let server = Server::launch(&Setup::new()).unwrap();
        let leases = leases(&server);
        let keys = [Key::new("c", "1"), Key::new("c", "2")];
        let taken = block_on(leases.take_many(&[&keys[0], &keys[1]], LONG)).unwrap();
        server.pause().unwrap();
        let going = leases.give_back(taken.into_iter().flatten().collect()).now_or_never();
        server.resume().unwrap();
        assert!(going.is_none(), "it waited for an answer");
        assert_eq!(leases.held().len(), 2);
        block_on(leases.end());
        assert_eq!(server.cli(&["EXISTS", "t:_lease:c:1", "t:_lease:c:2"]).unwrap(), "0");
    }

    #[test]
    fn what_could_not_be_given_back_any_more_is_at_the_end() {
        let server = Server::launch(&Setup::new()).unwrap();
        let leases = leases(&server);
        let lease = take(&leases, LONG).unwrap();
        block_on(leases.inner.tasks.close());
        drop(lease);
        assert_eq!(server.cli(&["EXISTS", "t:_lease:c:k"]).unwrap(), "1");
        block_on(leases.end());
        assert_eq!(server.cli(&["EXISTS", "t:_lease:c:k"]).unwrap(), "0");
    }

    #[test]
    fn who_has_lost_it_takes_nobody_else_s_away() {
        let server = Server::launch(&Setup::new()).unwrap();
        let [one, other] = [leases(&server), leases(&server)];
        let lost = take(&one, Duration::from_millis(1)).unwrap();
        let held = await_it(&other);
        drop(lost);
        // Goes the same way as what was given back.
        assert!(block_on(one.inner.connection.one(&cmd("PING").take())).is_ok());
        assert_eq!(server.cli(&["EXISTS", "t:_lease:c:k"]).unwrap(), "1");
        drop(held);
        drop(await_it(&one));
    }

    #[test]
    fn who_goes_away_before_the_answer_keeps_nobody_waiting() {
        let server = Server::launch(&Setup::new()).unwrap();
        let [one, other] = [leases(&server), leases(&server)];
        drop(take(&one, LONG).unwrap());
        let key = Key::new("c", "k");
        // Sent, and dropped before the answer is looked at.
        server.pause().unwrap();
        let asked = one.take(&key, LONG).now_or_never();
        server.resume().unwrap();
        assert!(asked.is_none(), "it waited for an answer");
        drop(await_it(&other));
    }

    #[test]
    fn where_redis_is_away_nobody_waits_for_a_lease() {
        let server = Server::launch(&Setup::new()).unwrap();
        let leases = leases(&server);
        let held = take(&leases, LONG);
        server.kill().unwrap();
        assert!(held.is_some());
        assert!(block_on(leases.take(&Key::new("c", "other"), LONG)).is_err());
    }
}
