//! The bulk road: many blocks by one query. Everything in one pass, for a source that cannot seek a store and would scan
//! all of it for each; and runs of a store's blocks that nobody has yet, since every query has a price of its own.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Int32Type};
use futures_util::StreamExt;
use samovar_core::{Day, Error, ErrorKind, Key, Scope, Stamp, Token};
use samovar_source::{Ask, Days, Description, Which};

use super::blocks::{Needs, Place};
use super::reader::BlockReader;
use super::retry::unless_lost;
use super::survey::parts;
use super::values::Members;
use super::{BLOCKS, Engine, count};
use crate::background::on_thread;
use crate::derive::Deriver;
use crate::raw::RawBlock;

impl Engine {
    /// What the source says of itself; asked once.
    pub(crate) async fn described(&self) -> Result<&Description, Error> {
        if let Some(described) = self.inner.described.get() {
            return Ok(described);
        }
        let described = self.inner.source.describe().await;
        let described = described.map_err(|e| {
            Error::new(ErrorKind::Source, "asking the source for its plan").because(e)
        })?;
        Ok(self.inner.described.get_or_init(|| described))
    }

    /// Whether one pass over everything is cheaper than these blocks one by one: the source cannot seek them, and more
    /// than `most` of them are in no tier.
    pub(super) async fn wants_a_pass(
        &self,
        places: impl Iterator<Item = Place>,
        most: usize,
        (from, to): (Day, Day),
        needs: Needs,
    ) -> bool {
        // A source that cannot be asked is not needed for what is on disk.
        if self.described().await.map_or(true, |source| source.seeks) {
            return false;
        }
        let mut lacking = 0;
        for place in places {
            let here = self.ready_for(&place, from, to, needs).is_some()
                || self.stored_for(&place, from, to, needs).await;
            lacking += usize::from(!here);
            if lacking > most {
                return true;
            }
        }
        false
    }

    /// Reads everything anew, in one pass; at most one such pass reads at a time.
    pub(crate) async fn read_all(&self, members: &Arc<Members>) -> Result<(), Error> {
        let (engine, members) = (self.clone(), Arc::clone(members));
        let key = Key::new("blocks", "all");
        let touches = |scope: &Scope| match scope {
            Scope::Cache(cache) => BLOCKS.contains(&&**cache),
            Scope::Key(_) | Scope::Tag(_) => false,
            Scope::Partition(_) | Scope::Everything | Scope::Pattern(_) => true,
        };
        let run = move |token| {
            on_thread(async move {
                let Some((first, last)) = members.dates else { return Ok(()) };
                let all = 0..members.stores.len();
                let places = |at| members.places(at, first, last).map(move |place| (at, place));
                let places: Vec<(usize, Place)> = all.flat_map(places).collect();
                unless_lost(|| engine.pass(&members, &Which::All, &places, token)).await
            })
        };
        self.inner.passes.join(&key, touches, run).await
    }

    /// Reads a run of a store's blocks by one query, if there are several and nothing of any is in a tier.
    pub(super) async fn read_run(
        &self,
        members: &Arc<Members>,
        at: usize,
        run: &[Place],
    ) -> Result<(), Error> {
        let [first, .., last] = run else { return Ok(()) };
        for place in run {
            if self.is_anywhere(place).await {
                return Ok(());
            }
        }
        self.inner.share.wait().await;
        let key = Key::new("blocks", format!("{} to {}", self.block_key(first), last.block));
        let (engine, members, of) = (self.clone(), Arc::clone(members), run.to_vec());
        let touches = move |scope: &Scope| of.iter().any(|place| place.touched_by(scope));
        let places: Vec<(usize, Place)> = run.iter().map(|place| (at, place.clone())).collect();
        let which = Which::One(Arc::clone(&first.store));
        let run = move |token| {
            on_thread(
                async move { unless_lost(|| engine.pass(&members, &which, &places, token)).await },
            )
        };
        self.inner.passes.join(&key, touches, run).await
    }

    /// Whether a tier holds anything of a block.
    async fn is_anywhere(&self, place: &Place) -> bool {
        let (key, caches) = (self.block_key(place), &self.inner.caches);
        caches.metrics.get(&key).await.is_some()
            || caches.products.get(&key).await.is_some()
            || caches.raw.get(&key).await.is_some()
    }

    /// Reads blocks in one pass: of one store or of all, from the first to the last day of any of them.
    async fn pass(
        &self,
        members: &Members,
        which: &Which,
        places: &[(usize, Place)],
        token: Token,
    ) -> Result<(), Error> {
        let from = places.iter().map(|(_, place)| place.first()).min();
        let to = places.iter().map(|(_, place)| place.first().plus(place.days - 1)).max();
        if from.is_none() {
            return Ok(());
        }
        let ask = Ask { stores: which.clone(), days: Days::Range(from, to) };
        let mut batches = self.inner.source.read(ask);
        count(&self.inner.counters.source_reads, 1);
        let stamp = Stamp::new(token, self.inner.samovar.clock().now());
        let mut filler =
            Filler { engine: self, members, stamp, open: None, filled: HashSet::new() };
        while let Some(batch) = batches.next().await {
            let batch = batch
                .map_err(|e| Error::new(ErrorKind::Source, "reading from the source").because(e))?;
            count(&self.inner.counters.rows_read, batch.num_rows() as u64);
            match which {
                Which::One(store) => filler.of_store(store, &batch)?,
                Which::All => filler.of_all(&batch)?,
            }
            self.inner.caches.raw.room().await?;
        }
        filler.close()?;
        // Blocks without a line are known to be empty.
        let filled = std::mem::take(&mut filler.filled);
        for (_, place) in places.iter().filter(|(at, place)| !filled.contains(&(*at, place.block)))
        {
            let empty = BlockReader::new(place.first(), place.days as usize, self).finish();
            self.fill(place, empty, stamp)?;
            self.inner.caches.raw.room().await?;
        }
        Ok(())
    }

    /// Keeps a block all of whose days were read at once.
    fn fill(&self, place: &Place, raw: RawBlock, stamp: Stamp) -> Result<(), Error> {
        let key = self.block_key(place);
        let caches = &self.inner.caches;
        let days = (0..place.days).map(|at| place.first().plus(at));
        let (metrics, figures) =
            Deriver::new(&self.inner.dataset.schema).derive(&place.store, &raw, days.clone())?;
        let old = caches.metrics.peek(&key).map(|found| found.value());
        self.count_derived(old.as_deref(), &metrics, &days.collect::<Vec<_>>());
        let stamps = vec![Some(stamp); place.days as usize];
        let Some(parts) = parts(&place.store, place.first(), &stamps) else { return Ok(()) };
        if place.figures || !self.inner.dataset.schema.products {
            caches.raw.put_below(&key, raw, Arc::clone(&parts));
        } else {
            caches.raw.put(&key, raw, Arc::clone(&parts));
        }
        if place.figures && self.inner.dataset.schema.products {
            caches.products.put(&key, figures, Arc::clone(&parts));
        }
        caches.metrics.put(&key, metrics, parts);
        Ok(())
    }
}

/// Cuts rows in order of (store, day) into blocks.
struct Filler<'a> {
    engine: &'a Engine,
    members: &'a Members,
    stamp: Stamp,
    /// The block that is being filled: the store's place in the list, and its place.
    open: Option<(usize, Place, BlockReader<'a>)>,
    filled: HashSet<(usize, i32)>,
}

impl Filler<'_> {
    /// Rows that bear their store.
    fn of_all(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let stores = batch.column(0).as_dictionary_opt::<Int32Type>().ok_or_else(bad)?;
        let names = stores.values().as_string_opt::<i32>().ok_or_else(bad)?;
        let rest: Vec<usize> = (1..batch.num_columns()).collect();
        let rest = batch
            .project(&rest)
            .map_err(|e| Error::new(ErrorKind::Source, "taking a batch apart").because(e))?;
        let mut start = 0;
        for run in stores.keys().values().chunk_by(|a, b| a == b) {
            let name = names.value(run[0] as usize);
            self.of_store(name, &rest.slice(start, run.len()))?;
            start += run.len();
        }
        Ok(())
    }

    fn of_store(&mut self, store: &str, batch: &RecordBatch) -> Result<(), Error> {
        // A store that the list lacks has come since it was read: an event will tell of it.
        let Some(at) = self.members.find(store) else { return Ok(()) };
        let dates = batch.column(0).as_primitive_opt::<Date32Type>().ok_or_else(bad)?;
        let block = |day: &i32| day.div_euclid(self.members.block_days);
        let mut start = 0;
        for run in dates.values().chunk_by(|a, b| block(a) == block(b)) {
            self.of_block(at, block(&run[0]), &batch.slice(start, run.len()))?;
            start += run.len();
        }
        Ok(())
    }

    fn of_block(&mut self, at: usize, block: i32, batch: &RecordBatch) -> Result<(), Error> {
        let going_on =
            matches!(&self.open, Some((open, place, _)) if *open == at && place.block == block);
        if !going_on {
            self.close()?;
            let place = Place::of(self.members, &self.members.stores[at].id, block);
            let reader = BlockReader::new(place.first(), place.days as usize, self.engine);
            self.open = Some((at, place, reader));
        }
        match &mut self.open {
            Some((_, _, reader)) => reader.push(batch),
            None => Ok(()),
        }
    }

    fn close(&mut self) -> Result<(), Error> {
        let Some((at, place, reader)) = self.open.take() else { return Ok(()) };
        if !self.filled.insert((at, place.block)) {
            // To keep the second part alone would be silently too low.
            let (store, day) = (&place.store, place.first());
            return Err(Error::new(
                ErrorKind::Source,
                format!("the source's rows are not in order: store {store} about {day} came twice"),
            ));
        }
        self.engine.fill(&place, reader.finish(), self.stamp)
    }
}

fn bad() -> Error {
    Error::new(ErrorKind::Source, "the source gave no stores or dates; this is a bug")
}
