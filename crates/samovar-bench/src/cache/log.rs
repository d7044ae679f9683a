//! What the shared log costs beside a script that does nothing but append to a stream.

use std::sync::Arc;
use std::time::Instant;

use redis::Script;
use redis::aio::MultiplexedConnection;
use samovar::fence::{RedisLog, RedisLogOptions};
use samovar::redis::RedisSettings;
use samovar_core::{Key, Mark, MarkId, MarkLog, Mode, Scope, SystemClock};
use samovar_testkit::log::mark;
use samovar_testkit::redis::{Server, Setup};

use crate::stats::{median, quantile};
use crate::{Outcome, child, line};

const ROUNDS: usize = 28;
/// Appends of one mark in a turn of a side, and of many.
const SINGLES: u64 = 2_000;
const BATCHES: u64 = 200;
/// Marks in one call.
const MANY: u64 = 50;
/// About as long as a stored mark.
const BYTES: [u8; 40] = [7; 40];

const PEER: &str = "for _ = 1, ARGV[2] do redis.call('XADD', KEYS[1], '*', 'm', ARGV[1]) end";

/// Both on one server, each through one connection.
struct Sides {
    log: RedisLog,
    peer: MultiplexedConnection,
    script: Script,
    given: u64,
}

/// The sides in turns, the first of them another in each round; the lines to print, ratios first.
pub(super) fn measure() -> Outcome<Vec<String>> {
    let server = Server::launch(&Setup::new())?;
    let runtime = child::runtime()?;
    let figures = runtime.block_on(figures(&server))?;
    let [ours_p99, peer_p99, ours_rate, peer_rate] = &figures;
    let ratio = |ours: &[f64], peer: &[f64]| {
        median(&ours.iter().zip(peer).map(|(us, them)| us / them).collect::<Vec<f64>>())
    };
    Ok(vec![
        line("append_p99_ratio", ratio(ours_p99, peer_p99), "ratio"),
        line("marks_per_s_ratio", ratio(ours_rate, peer_rate), "ratio"),
        line("append_p99_us", median(ours_p99), "us"),
        line("append_p99_us_bare", median(peer_p99), "us"),
        line("marks_per_s", median(ours_rate), "1/s"),
        line("marks_per_s_bare", median(peer_rate), "1/s"),
    ])
}

/// By round: the 99th percentile of one append in microseconds, ours and the peer's; marks a second, ours and the peer's.
async fn figures(server: &Server) -> Outcome<[Vec<f64>; 4]> {
    let mut sides = Sides::new(server).await?;
    let mut figures = [const { Vec::new() }; 4];
    for round in 0..=ROUNDS {
        for turn in 0..2 {
            let side = (round + turn) % 2;
            let p99 = sides.p99(side == 0).await?;
            let rate = sides.rate(side == 0).await?;
            // The first round makes connections and loads scripts.
            if round > 0 {
                figures[side].push(p99);
                figures[2 + side].push(rate);
            }
        }
    }
    sides.log.close().await?;
    Ok(figures)
}

impl Sides {
    async fn new(server: &Server) -> Outcome<Sides> {
        let settings = RedisSettings::standalone([server.url()])?;
        // Nobody is waited for who may know of an older log.
        let options = RedisLogOptions {
            lease: std::time::Duration::ZERO,
            margin: std::time::Duration::ZERO,
            ..RedisLogOptions::default()
        };
        let log = RedisLog::new(&settings, options, Arc::new(SystemClock::new()))?;
        log.snapshot().await?;
        let peer = redis::Client::open(server.url())?.get_multiplexed_async_connection().await?;
        Ok(Sides { log, peer, script: Script::new(PEER), given: 0 })
    }

    /// The marks of so many calls. What makes them is not measured.
    fn marks(&mut self, calls: u64, count: u64) -> Vec<Vec<Mark>> {
        let mut one = || {
            self.given += 1;
            let scope = Scope::Key(Key::new("product", self.given.to_string()));
            let mark = mark(self.given.into(), scope, Mode::Remove, 1_700_000_000_000);
            // As long as those that are made in earnest.
            Mark { id: MarkId(u128::MAX - mark.id.0), ..mark }
        };
        (0..calls).map(|_| (0..count).map(|_| one()).collect()).collect()
    }

    async fn append(&mut self, is_ours: bool, marks: Vec<Mark>) -> Outcome<()> {
        if is_ours {
            self.log.append(marks, None).await?.ok_or("it was refused")?;
            return Ok(());
        }
        let mut call = self.script.key("bare");
        let call = call.arg(&BYTES[..]).arg(marks.len());
        Ok(call.invoke_async(&mut self.peer).await?)
    }

    async fn p99(&mut self, is_ours: bool) -> Outcome<f64> {
        let mut micros = Vec::new();
        for marks in self.marks(SINGLES, 1) {
            let began = Instant::now();
            self.append(is_ours, marks).await?;
            micros.push(began.elapsed().as_secs_f64() * 1e6);
        }
        Ok(quantile(&micros, 0.99))
    }

    async fn rate(&mut self, is_ours: bool) -> Outcome<f64> {
        let calls = self.marks(BATCHES, MANY);
        let began = Instant::now();
        for marks in calls {
            self.append(is_ours, marks).await?;
        }
        Ok((BATCHES * MANY) as f64 / began.elapsed().as_secs_f64())
    }
}
