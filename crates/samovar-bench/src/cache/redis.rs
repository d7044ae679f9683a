//! What a hit in Redis costs, beside a bare GET by the client that is used.

use std::hint::black_box;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;
use std::time::{Duration, Instant};

use ::redis::aio::MultiplexedConnection;
use futures_util::{StreamExt, stream};
use samovar::redis::RedisSettings;
use samovar::{Cache, CachePolicy, Samovar, Settings};
use samovar_core::TierName;
use samovar_testkit::redis::{Server, Setup};

use super::Bytes;
use crate::stats::median;
use crate::{Outcome, child, line};

const KEYS: usize = 1_000;
const SIZE: usize = 1_024;
/// Turns are short, some twenty to a hundred milliseconds, and many: the machine is slower or faster by a quarter for
/// seconds, and so all sides meet the same of it.
const ROUNDS: usize = 36;
/// So many are asked for at once, and so many in a turn of a side.
const MODES: [(&str, usize, usize); 2] = [("sequential", 1, 1_000), ("64", 64, 10_000)];
/// Who is measured: a value that is fresh for as long as it is there, one whose remaining life is asked too, the bare
/// client.
const SIDES: [&str; 3] = ["now", "pttl", "raw"];

/// The sides in turns, the first of them another in each round; the lines to print, ratios first.
pub(super) fn measure() -> Outcome<Vec<String>> {
    let server = Server::launch(&Setup::new()).map_err(|e| e.to_string())?;
    std::thread::scope(|scope| {
        let sides = SIDES.map(|name| Side::start(scope, name, server.url()));
        let (mut ratios, mut times) = (Vec::new(), Vec::new());
        let mut worst = [0.0_f64; 2];
        for (mode, at_once, gets) in MODES {
            let mut nanos = [const { Vec::new() }; SIDES.len()];
            for round in 0..=ROUNDS {
                for turn in 0..SIDES.len() {
                    let side = (round + turn) % SIDES.len();
                    let took = sides[side].take(Turn { at_once, gets })?;
                    // The first round brings everything into the processors' caches.
                    if round > 0 {
                        nanos[side].push(took);
                    }
                }
            }
            let [now, pttl, raw] = &nanos;
            for (at, (named, ours)) in [("", now), ("_pttl", pttl)].into_iter().enumerate() {
                let each: Vec<f64> = ours.iter().zip(raw).map(|(us, them)| us / them).collect();
                let ratio = median(&each);
                worst[at] = worst[at].max(ratio);
                let name = format!("redis_hit{named}_over_raw_ratio_{mode}");
                ratios.push(line(&name, ratio, "ratio"));
            }
            for (side, nanos) in SIDES.iter().zip(&nanos) {
                times.push(line(&format!("redis_hit_{side}_ns_{mode}"), median(nanos), "ns"));
            }
        }
        let mut lines = vec![
            line("redis_hit_over_raw_ratio", worst[0], "ratio"),
            line("redis_hit_pttl_over_raw_ratio", worst[1], "ratio"),
        ];
        lines.extend(ratios);
        lines.extend(times);
        Ok(lines)
    })
}

/// So many gets, of which so many are under way at once.
#[derive(Clone, Copy)]
struct Turn {
    at_once: usize,
    gets: usize,
}

/// A side, over the server of all: on a connection, a runtime and a thread of its own, as a program has them. On one
/// runtime the tasks of one side end up where those of another have left its threads.
struct Side {
    turns: Sender<Turn>,
    took: Receiver<Result<f64, String>>,
}

impl Side {
    fn start<'scope>(scope: &'scope Scope<'scope, '_>, name: &'static str, url: String) -> Side {
        let ((turns, due), (send, took)) = (channel(), channel());
        scope.spawn(move || {
            if let Err(error) = run(name, &url, due, &send) {
                // Where nobody hears it, another side has failed before.
                let _ = send.send(Err(format!("{name}: {error}")));
            }
        });
        Side { turns, took }
    }

    /// Nanoseconds that a get took in a turn.
    fn take(&self, turn: Turn) -> Outcome<f64> {
        // To one that has failed it cannot be sent: then what it has said is received.
        let _ = self.turns.send(turn);
        Ok(self.took.recv()??)
    }
}

/// The turns of a side, as they are due.
fn run(
    name: &str,
    url: &str,
    due: Receiver<Turn>,
    took: &Sender<Result<f64, String>>,
) -> Outcome<()> {
    let runtime = child::runtime()?;
    let keys: Vec<String> = (0..KEYS).map(super::key).collect();
    let client = runtime.block_on(Client::filled(name, url, &keys))?;
    for turn in due {
        took.send(Ok(runtime.block_on(client.take(turn, &keys))?))?;
    }
    runtime.block_on(client.close())
}

enum Client {
    Ours(Samovar, Cache<Bytes<SIZE>>),
    Raw(MultiplexedConnection),
}

impl Client {
    /// A client, with a value for each of the keys.
    async fn filled(name: &str, url: &str, keys: &[String]) -> Outcome<Client> {
        let values = (0..).map(|id: usize| [id as u8; SIZE]);
        if name == "raw" {
            let client = ::redis::Client::open(url)?;
            let mut raw = client.get_multiplexed_async_connection().await?;
            for (key, value) in keys.iter().zip(values) {
                let set = ::redis::cmd("SET").arg(key).arg(&value).arg("PX").arg(3_600_000).take();
                set.exec_async(&mut raw).await?;
            }
            return Ok(Client::Raw(raw));
        }
        let redis = Some(RedisSettings::standalone([url])?);
        let samovar = Samovar::open(Settings { redis, ..super::settings() }).await?;
        let stale_window =
            if name == "pttl" { super::policy().stale_window } else { Duration::ZERO };
        let named = CachePolicy::named(name);
        let policy = CachePolicy { memory: false, disk: false, stale_window, ..named };
        let cache = samovar.cache(policy);
        for (key, value) in keys.iter().zip(values) {
            cache.put(key, Bytes(value), super::whole(&samovar));
        }
        samovar.flush().await?;
        Ok(Client::Ours(samovar, cache))
    }

    /// Nanoseconds that a get takes.
    async fn take(&self, turn: Turn, keys: &[String]) -> Outcome<f64> {
        let Turn { at_once, gets } = turn;
        let keys = keys.iter().cycle().take(gets);
        let begun = Instant::now();
        let hits: usize = match self {
            Client::Raw(raw) => {
                let gets = keys.map(|key| {
                    let mut raw = raw.clone();
                    async move {
                        let got = ::redis::cmd("GET").arg(key).query_async(&mut raw).await;
                        usize::from(black_box(got).is_ok_and(|value: Vec<u8>| value.len() == SIZE))
                    }
                });
                added(gets, at_once).await
            }
            Client::Ours(_, cache) => {
                let gets = keys.map(|key| async move {
                    let found = black_box(cache.get(key).await);
                    usize::from(found.is_some_and(|found| found.tier == TierName::Redis))
                });
                added(gets, at_once).await
            }
        };
        let took = begun.elapsed();
        if hits != gets {
            return Err(format!("{hits} hits in {gets} gets").into());
        }
        Ok(took.as_secs_f64() * 1e9 / gets as f64)
    }

    async fn close(self) -> Outcome<()> {
        match self {
            Client::Ours(samovar, _) => Ok(samovar.close().await?),
            Client::Raw(_) => Ok(()),
        }
    }
}

/// The sum of what futures give, of which so many are under way at once.
async fn added(
    futures: impl Iterator<Item = impl Future<Output = usize>>,
    at_once: usize,
) -> usize {
    stream::iter(futures).buffer_unordered(at_once).fold(0, async |sum, one| sum + one).await
}
