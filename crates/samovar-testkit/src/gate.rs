//! A tier whose operations wait at doors that the test opens and shuts, so that futures are stepped by hand.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_channel::oneshot;
use samovar_core::{BoxFuture, Entry, Error, Key, Need, Tier, TierName, Usage};

/// Where an operation waits while the door is shut.
///
/// A `get` that the tier has answered already finds what stood there then:
///
/// ```
#[doc = include_str!("tier/example.txt")]
/// # use std::sync::Arc;
/// # use futures_executor::block_on;
/// # use futures_util::FutureExt;
/// # use samovar_core::{Key, Tier};
/// use samovar_testkit::gate::{Door, Gate};
///
/// # fn main() -> Result<(), samovar_core::Error> {
/// let (gate, key) = (Gate::new(Arc::new(Table::default())), Key::new("names", "42"));
/// gate.shut(Door::AfterGet);
/// let mut get = gate.get(&key);
/// assert!((&mut get).now_or_never().is_none());
/// gate.put(&key, subject().entry(b"Tea"));
/// gate.open(Door::AfterGet);
/// assert!(block_on(get)?.is_none(), "it looked before the put");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// A `get` before it asks the tier.
    BeforeGet,
    /// A `get` that has its answer and has not given it back.
    AfterGet,
    /// A `put` before it reaches the tier. (The caller does not wait: it never does.)
    Put,
}

/// A tier behind doors. All are open at first.
///
/// A tier whose puts are late:
///
/// ```
#[doc = include_str!("tier/example.txt")]
/// # use std::sync::Arc;
/// # use futures_executor::block_on;
/// # use samovar_core::{Key, Tier};
/// use samovar_testkit::gate::{Door, Gate};
///
/// # fn main() -> Result<(), samovar_core::Error> {
/// // `Table` is a tier; who is tested is handed the gate in its place.
/// let (gate, key) = (Gate::new(Arc::new(Table::default())), Key::new("names", "42"));
/// gate.shut(Door::Put);
/// gate.put(&key, subject().entry(b"Tea"));
/// assert!(block_on(gate.get(&key))?.is_none(), "it waits at the door");
/// gate.open(Door::Put);
/// assert!(block_on(gate.get(&key))?.is_some());
/// # Ok(())
/// # }
/// ```
pub struct Gate<V: Clone + Send + Sync + 'static> {
    inner: Arc<dyn Tier<Value = V>>,
    state: Mutex<State<V>>,
}

struct State<V> {
    shut: Vec<Door>,
    waiting: Vec<(Door, oneshot::Sender<()>)>,
    puts: VecDeque<(Key, Entry<V>)>,
}

impl<V: Clone + Send + Sync + 'static> Gate<V> {
    /// Doors before a tier.
    ///
    /// ```
    #[doc = include_str!("tier/example.txt")]
    /// # use std::sync::Arc;
    /// # use futures_executor::block_on;
    /// # use samovar_core::{Key, Tier};
    /// # use samovar_testkit::gate::Gate;
    /// # fn main() -> Result<(), samovar_core::Error> {
    /// let (table, key) = (Arc::new(Table::default()), Key::new("names", "42"));
    /// let gate = Gate::new(table.clone());
    /// gate.put(&key, subject().entry(b"Tea"));
    /// assert!(block_on(table.get(&key))?.is_some(), "all doors are open");
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(inner: Arc<dyn Tier<Value = V>>) -> Arc<Gate<V>> {
        let state = State { shut: Vec::new(), waiting: Vec::new(), puts: VecDeque::new() };
        Arc::new(Gate { inner, state: Mutex::new(state) })
    }

    /// Shuts a door: who comes waits.
    ///
    /// ```
    #[doc = include_str!("tier/example.txt")]
    /// # use std::sync::Arc;
    /// # use futures_util::FutureExt;
    /// # use samovar_core::{Key, Tier};
    /// # use samovar_testkit::gate::{Door, Gate};
    /// let (gate, key) = (Gate::new(Arc::new(Table::default())), Key::new("names", "42"));
    /// gate.shut(Door::BeforeGet);
    /// assert!(gate.get(&key).now_or_never().is_none(), "it waits");
    /// assert!(gate.remove(&key).now_or_never().is_some(), "for this there is no door");
    /// ```
    pub fn shut(&self, door: Door) {
        self.state().shut.push(door);
    }

    /// Opens a door: who waited goes on, in the order of coming.
    ///
    /// ```
    #[doc = include_str!("tier/example.txt")]
    /// # use std::sync::Arc;
    /// # use futures_executor::block_on;
    /// # use samovar_core::{Key, Tier};
    /// # use samovar_testkit::gate::{Door, Gate};
    /// # fn main() -> Result<(), samovar_core::Error> {
    /// let (gate, key) = (Gate::new(Arc::new(Table::default())), Key::new("names", "42"));
    /// gate.shut(Door::Put);
    /// gate.put(&key, subject().entry(b"Tea"));
    /// gate.put(&key, subject().entry(b"Green tea"));
    /// gate.open(Door::Put);
    /// let found = block_on(gate.get(&key))?;
    /// assert_eq!(found.as_ref().map(|entry| &*entry.value), Some(&b"Green tea"[..]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn open(&self, door: Door) {
        let mut state = self.state();
        state.shut.retain(|shut| *shut != door);
        if door == Door::Put {
            // Under the lock, so that nobody overtakes.
            for (key, entry) in state.puts.drain(..) {
                self.inner.put(&key, entry);
            }
        }
        let waiting = std::mem::take(&mut state.waiting);
        let (go, stay): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(at, _)| *at == door);
        state.waiting = stay;
        drop(state);
        for (_, go) in go {
            let _ = go.send(());
        }
    }

    /// How many operations wait at a door.
    ///
    /// ```
    #[doc = include_str!("tier/example.txt")]
    /// # use std::sync::Arc;
    /// # use futures_util::FutureExt;
    /// # use samovar_core::{Key, Tier};
    /// # use samovar_testkit::gate::{Door, Gate};
    /// let (gate, key) = (Gate::new(Arc::new(Table::default())), Key::new("names", "42"));
    /// gate.shut(Door::BeforeGet);
    /// let mut get = gate.get(&key);
    /// assert!((&mut get).now_or_never().is_none());
    /// assert_eq!(gate.waiting(Door::BeforeGet), 1);
    /// drop(get);
    /// assert_eq!(gate.waiting(Door::BeforeGet), 0, "who has left does not count");
    /// ```
    pub fn waiting(&self, door: Door) -> usize {
        let state = self.state();
        match door {
            Door::Put => state.puts.len(),
            _ => state.waiting.iter().filter(|(at, go)| *at == door && !go.is_canceled()).count(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn pass(&self, door: Door) {
        let wait = {
            let mut state = self.state();
            if !state.shut.contains(&door) {
                return;
            }
            let (go, wait) = oneshot::channel();
            state.waiting.push((door, go));
            wait
        };
        let _ = wait.await;
    }
}

impl<V: Clone + Send + Sync + 'static> Tier for Gate<V> {
    type Value = V;

    fn name(&self) -> TierName {
        self.inner.name()
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry<V>>, Error>> {
        self.get_for(key, Need::Later)
    }

    fn get_for<'a>(
        &'a self,
        key: &'a Key,
        need: Need,
    ) -> BoxFuture<'a, Result<Option<Entry<V>>, Error>> {
        Box::pin(async move {
            self.pass(Door::BeforeGet).await;
            let answer = self.inner.get_for(key, need).await;
            self.pass(Door::AfterGet).await;
            answer
        })
    }

    fn put(&self, key: &Key, entry: Entry<V>) {
        let mut state = self.state();
        if state.shut.contains(&Door::Put) {
            state.puts.push_back((key.clone(), entry));
        } else {
            self.inner.put(key, entry);
        }
    }

    fn remove<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool, Error>> {
        self.inner.remove(key)
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.inner.flush()
    }

    fn room(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.inner.room()
    }

    fn sweep(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.inner.sweep()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.inner.close()
    }

    fn usage(&self) -> Usage {
        self.inner.usage()
    }
}
