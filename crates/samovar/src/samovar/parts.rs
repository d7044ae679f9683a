//! The parts of a cache, opened in their order.

use std::sync::Arc;
use std::time::Duration;

use futures_executor::block_on;
use samovar_core::{Error, ErrorKind, Judge, Mark, MarkLog, Tier};

use super::lag;
use crate::background::Tasks;
use crate::counters::Counters;
use crate::directory::{self, Held};
use crate::fence::{Fence, LocalLog, MarkJournal, Marker, Remains, saved, say_lost};
use crate::lease::Leases;
use crate::settings::{LowerTier, Settings};
use crate::tier::breaker::{Breaker, BreakerOptions};
use crate::tier::{self, DiskOptions, DiskTier};
use crate::write::Writes;

/// Redis, if there is to be one: left alone while it is out of order, from the start if it must be.
pub(super) fn open_redis(
    settings: &Settings,
    counters: &Arc<Counters>,
    tasks: &Tasks,
) -> Result<Option<(LowerTier, Leases)>, Error> {
    let Settings { redis: Some(redis), clock, .. } = settings else { return Ok(None) };
    let (tier, shared) = tier::redis::open(redis, clock, counters, tasks.apart())?;
    let options = BreakerOptions {
        failures_max: redis.failures_max,
        slow: redis.slow,
        retry_min: redis.retry_min,
        retry_max: redis.retry_max,
        keeps_writing: false,
    };
    let (clock, counters) = (Arc::clone(clock), Arc::clone(counters));
    let tier = Breaker::around(tier, options, Arc::clone(&clock), counters, tasks.apart())?;
    let leases = Leases::new(shared, clock, tier.health(), tasks.clone());
    Ok(Some((Arc::new(tier), leases)))
}

/// What a cache is made of.
pub(super) struct Parts {
    pub(super) held: Option<Held>,
    pub(super) log: Arc<dyn MarkLog>,
    pub(super) fence: Fence,
    pub(super) disk: Option<LowerTier>,
    /// The log is new.
    pub(super) founded: bool,
    pub(super) writes: Writes,
    /// The marks that are to be repeated for a source that lags.
    pub(super) recent: Vec<Mark>,
}

/// Opens them. Blocks.
pub(super) fn open_parts(
    settings: &Settings,
    marker: &Marker,
    counters: &Arc<Counters>,
    tasks: &Tasks,
) -> Result<Parts, Error> {
    let Settings { data_dir, clock, log, lower, marks_max, .. } = settings.clone();
    let is_own = log.is_none();
    let held = data_dir.as_deref().map(directory::hold).transpose()?;
    let mut founded = false;
    let log: Arc<dyn MarkLog> = match (log, &data_dir) {
        (Some(log), _) => log,
        (None, None) => {
            founded = true;
            Arc::new(LocalLog::volatile(marks_max)?)
        }
        (None, Some(directory)) => {
            founded = !LocalLog::is_in(directory);
            let (log, notice) = LocalLog::open(directory, marks_max)?;
            if let Some(notice) = notice {
                counters.say(clock.now(), notice);
            }
            Arc::new(log)
        }
    };
    let open = || {
        let (fence, recent) = open_fence(&*log, is_own, settings, marker, held.as_ref(), counters)?;
        let judge: Arc<dyn Judge> = Arc::new(fence.clone());
        let rest = || {
            let own = open_disk(settings, &judge, founded, counters)?;
            let above = || {
                let disk = match lower.clone() {
                    None => own.clone(),
                    Some(wrap) => wrap(own.clone(), Arc::clone(&judge))?,
                };
                let around = |disk| guarded(disk, settings, counters, tasks);
                let disk = disk.map(around).transpose()?;
                let (writes, notices) = Writes::open(settings, held.clone())?;
                notices.into_iter().for_each(|said| counters.say(clock.now(), said));
                if let Some(directory) = data_dir.as_ref().filter(|_| !is_own)
                    && let Err(error) = saved::remove(directory)
                {
                    let _ = block_on(writes.close());
                    return Err(error);
                }
                Ok((disk, writes))
            };
            above().inspect_err(|_| {
                // As below: its threads hold its file.
                if let Some(disk) = &own {
                    let _ = block_on(disk.close());
                }
            })
        };
        match rest() {
            Ok((disk, writes)) => Ok((fence, recent, disk, writes)),
            Err(error) => {
                // As below: its thread holds the directory.
                if let Some(journal) = fence.journal() {
                    let _ = block_on(journal.close());
                }
                Err(error)
            }
        }
    };
    match open() {
        Ok((fence, recent, disk, writes)) => {
            Ok(Parts { held, log, fence, disk, founded, writes, recent })
        }
        Err(error) => {
            // So that who tries again does not find its file still held.
            let _ = block_on(log.close());
            Err(error)
        }
    }
}

/// A disk, or what stands in its place, of which nothing is asked while it fails. It is not left alone for being slow: then it is
/// busy, and nothing else knows what it holds.
fn guarded(
    disk: LowerTier,
    settings: &Settings,
    counters: &Arc<Counters>,
    tasks: &Tasks,
) -> Result<LowerTier, Error> {
    let options = BreakerOptions {
        failures_max: 5,
        slow: Duration::MAX,
        retry_min: Duration::from_millis(100),
        retry_max: Duration::from_secs(10),
        keeps_writing: true,
    };
    let (clock, counters) = (Arc::clone(&settings.clock), Arc::clone(counters));
    Ok(Arc::new(Breaker::around(disk, options, clock, counters, tasks.apart())?))
}

/// The disk tier, if there is a directory for it. On a log that was `founded` now nothing that lies there is served.
fn open_disk(
    settings: &Settings,
    judge: &Arc<dyn Judge>,
    founded: bool,
    counters: &Arc<Counters>,
) -> Result<Option<LowerTier>, Error> {
    let Settings { data_dir, clock, .. } = settings;
    let Some(directory) = data_dir else { return Ok(None) };
    let options = DiskOptions {
        max_bytes: settings.disk_max_bytes,
        sweep_after: settings.sweep_after,
        ..DiskOptions::default()
    };
    let (judge, said) = (Arc::clone(judge), Arc::clone(counters));
    let tier = DiskTier::open(directory, options, judge, Arc::clone(clock), said)?;
    if founded && tier.usage().total().entries > 0 {
        let text =
            "the mark log was not there and has been founded anew: what lies on disk is not served";
        counters.say(clock.now(), text);
    }
    Ok(Some(Arc::new(tier)))
}

/// The fence over what the log holds, and over what this node knew when it was stopped: the log may have lost some of it.
/// Over nothing if the log is away. With the marks that wait in the journal.
fn open_fence(
    log: &dyn MarkLog,
    is_own: bool,
    settings: &Settings,
    marker: &Marker,
    held: Option<&Held>,
    counters: &Arc<Counters>,
) -> Result<(Fence, Vec<Mark>), Error> {
    let Settings { clock, marks_max, data_dir, replica_lag, .. } = settings;
    let say = |text: String| counters.say(clock.now(), text);
    let began = clock.since_boot();
    let (known, problem) = match block_on(log.snapshot()) {
        Ok(known) => (Some(known), None),
        Err(away) if away.kind() == ErrorKind::Away => (None, Some(away)),
        Err(error) => return Err(error),
    };
    let mut recent = Vec::new();
    if let Some(known) = &known {
        recent = lag::recent(known, *replica_lag, clock.now());
    }
    let mut before = None;
    if let Some(directory) = data_dir.as_ref().filter(|_| !is_own) {
        before = saved::read(directory)?;
    }
    let mut until = log.lease().map(|lease| began + lease);
    let mut over = Duration::ZERO;
    let adrift = || Fence::adrift(Arc::clone(clock), *marks_max);
    let fence = match (&known, before) {
        (Some(log), None) => Fence::new(log, Arc::clone(clock), *marks_max)?,
        (Some(log), Some(before)) => {
            let fence = adrift();
            fence.remember(before);
            let lost = fence.join(log, || marker.everything_for(log));
            say_lost(counters, &**clock, lost);
            fence
        }
        (None, Some(Remains { known, connected })) if settings.serve_while_away => {
            // Nobody knows how long it has been, if the clock was put back.
            let since = u64::try_from(clock.now().0.saturating_sub(connected.0));
            over = since.map_or(Duration::MAX, Duration::from_millis);
            Fence::new(&known, Arc::clone(clock), *marks_max)?
        }
        (None, before) => {
            let fence = adrift();
            before.into_iter().for_each(|before| fence.remember(before));
            fence
        }
    };
    if let Some(away) = problem {
        let what = match fence.is_adrift() {
            false => "what lies on disk from before is served, labelled as stale",
            true => "what lies in Redis and on disk is not served until it is back",
        };
        say(format!("the shared log is away ({away}): {what}"));
        // Also where there are no leases: until it has been reached once.
        until = Some(began);
    }
    if let Some(until) = until {
        fence.watch(until, over, settings.max_blind);
    }
    if let Some(directory) = data_dir
        && (!is_own || MarkJournal::is_in(directory))
    {
        let (journal, marks, notices) =
            MarkJournal::open(directory, held.cloned(), Arc::clone(clock))?;
        notices.into_iter().for_each(say);
        fence.set_journal(Arc::new(journal));
        fence.restore(marks, known.as_ref());
    }
    Ok((fence, recent))
}
