//! The Redis tier against real servers: alone, behind sentinels, as a cluster.

mod contract;
mod fails;
mod frames;
mod stack;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use samovar::codec::{CodecId, Payload};
use samovar::redis::{RedisSettings, RedisTls};
use samovar::tier::RedisTier;
use samovar::{Counters, Samovar, Settings};
use samovar_core::{Clock, Epoch, Version};
use samovar_testkit::clock::FakeClock;
use samovar_testkit::redis::{Server, Setup};
use samovar_testkit::tier::Subject;
use tempfile::TempDir;

use crate::support::{START, block_on, settings};

/// Patient where all goes well: machines that run tests are busy.
fn patient(settings: RedisSettings) -> RedisSettings {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    RedisSettings {
        namespace: format!("t{number}:"),
        connect_timeout: Duration::from_secs(20),
        response_timeout: Duration::from_secs(20),
        slow: Duration::from_secs(20),
        retry_min: Duration::from_millis(1),
        retry_max: Duration::from_millis(20),
        ..settings
    }
}

/// As a URL says it, with a namespace of its own.
pub(crate) fn at(server: &Server) -> RedisSettings {
    patient(RedisSettings::standalone([server.url()]).unwrap())
}

/// The file of authorities that a setup's certificates are by.
fn authority(setup: &Setup) -> (TempDir, RedisTls) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("authority.pem");
    std::fs::write(&file, setup.authority().unwrap()).unwrap();
    (directory, RedisTls { ca_file: Some(file) })
}

pub(crate) fn launch() -> Server {
    Server::launch(&Setup::new()).unwrap()
}

fn tier(settings: &RedisSettings) -> (RedisTier, Arc<Counters>) {
    let counters = Arc::new(Counters::default());
    let clock: Arc<dyn Clock> = FakeClock::at(START);
    (RedisTier::new(settings, clock, Arc::clone(&counters)).unwrap(), counters)
}

fn subject() -> Subject<RedisTier> {
    Subject {
        make: |bytes| Payload::new(CodecId::BYTES, bytes.to_vec()),
        read: |value| value.bytes().unwrap().unwrap().to_vec(),
        version: Version { epoch: Epoch(7), seq: 3 },
        read_at: START,
        // The clock stands still, and Redis' does not.
        drift: Duration::from_secs(60),
    }
}

/// A cache over Redis, and over a directory if there is one.
fn open(redis: &RedisSettings, directory: Option<&TempDir>, clock: &Arc<FakeClock>) -> Samovar {
    let settings = settings(directory.map(TempDir::path), clock);
    block_on(Samovar::open(Settings { redis: Some(redis.clone()), ..settings })).unwrap()
}

/// How often a command was called since the server's statistics were reset.
fn calls(server: &Server, command: &str) -> u64 {
    let told = server.cli(&["INFO", "commandstats"]).unwrap();
    let line = told.lines().find(|line| line.starts_with(&format!("cmdstat_{command}:")));
    line.map_or(0, |line| {
        let calls = line.split_once("calls=").unwrap().1;
        calls.split(',').next().unwrap().parse().unwrap()
    })
}

/// Waits until something is so: by trying, since nobody tells.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let clock = samovar_core::SystemClock::new();
    while !so() {
        assert!(clock.elapsed() < Duration::from_secs(60), "waited in vain for {what}");
        block_on(clock.sleep(Duration::from_millis(2)));
    }
}
