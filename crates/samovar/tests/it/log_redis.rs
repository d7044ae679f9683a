//! The log that several nodes share, against real Redis: its contract, and what it does when Redis loses something.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use samovar::fence::{RedisLog, RedisLogOptions};
use samovar::redis::RedisSettings;
use samovar_core::{MarkLog, SystemClock};
use samovar_testkit::log;
use samovar_testkit::redis::{Server, Setup};

/// Founds at once what is gone.
const HASTY: RedisLogOptions = RedisLogOptions {
    keep: 500_000,
    look_every: Duration::from_millis(100),
    lease: Duration::ZERO,
    margin: Duration::ZERO,
};

fn open(server: &Server, namespace: &str) -> RedisLog {
    let mut settings = RedisSettings::standalone([server.url()]).unwrap();
    settings.namespace = namespace.to_owned();
    RedisLog::new(&settings, HASTY, Arc::new(SystemClock::new())).unwrap()
}

#[test]
fn it_keeps_the_contract() {
    let server = Server::launch(&Setup::new()).unwrap();
    let number = AtomicU64::new(0);
    log::suite(|| {
        let namespace = format!("{}:", number.fetch_add(1, Ordering::Relaxed));
        Arc::new(open(&server, &namespace)) as Arc<dyn MarkLog>
    });
}

#[test]
fn it_is_durable() {
    let server = Server::launch(&Setup::new().durable()).unwrap();
    log::durable_suite(|| Arc::new(open(&server, "shop:")));
}
