//! A journal that cannot take any more: nothing is acknowledged, and everything goes on that can.

use std::env;
use std::process::Command;

use super::*;
use crate::support::block_on;

const DIRECTORY: &str = "SAMOVAR_TEST_FULL_DIRECTORY";

#[test]
fn what_waits_is_bounded() {
    test(async {
        let directory = tempfile::tempdir().unwrap();
        let clock = FakeClock::at(START);
        let settings =
            Settings { journal_max_bytes: 10_000, ..settings(Some(directory.path()), &clock) };
        let shop = Shop::with(Arc::default(), settings, clock, back()).await;
        let go = shop.source.waits();
        let long = "x".repeat(3_000);
        for number in 0..3 {
            shop.write(&number.to_string(), &long).await.unwrap();
        }
        let error = shop.write("3", &long).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Full);
        assert!(error.to_string().contains("writes.journal is full"), "{error}");
        assert_eq!((shop.peek("0"), shop.peek("3")), (Some(long.clone()), None));
        assert_eq!(shop.read("another").await, (None, Outcome::Loaded));
        go.send(Act::Do).unwrap();
        shop.settled().await;
        // What was released makes room with the next frame.
        while shop.write("3", &long).await.is_err() {
            tokio::task::yield_now().await;
        }
        shop.settled().await;
        assert_eq!(shop.source.row("3").unwrap(), long);
    });
}

/// Runs where files may only be so long; does nothing when it is run as a test among others.
#[test]
fn child() {
    let Ok(directory) = env::var(DIRECTORY) else { return };
    test(async {
        let shop = Shop::new(Some(Path::new(&directory)), back()).await;
        let _never = shop.source.waits();
        let long = "x".repeat(1 << 20);
        let mut taken = 0;
        let error = loop {
            match shop.write(&taken.to_string(), &long).await {
                Ok(_) => taken += 1,
                Err(error) => break error,
            }
            assert!(taken < 60);
        };
        assert_eq!(error.kind(), ErrorKind::Storage);
        assert!(error.to_string().contains("writes.journal: writing to it"), "{error}");
        assert!(taken > 0 && (0..taken).all(|key| shop.peek(&key.to_string()).is_some()));
        assert!(shop.peek(&taken.to_string()).is_none());
        assert_eq!(shop.read("another").await, (None, Outcome::Loaded));
        // What has room is taken all the same.
        shop.write("small", "y").await.unwrap();
        println!("@{taken}");
    });
}

#[test]
fn a_disk_that_is_full_refuses_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    // A write beyond the limit fails, as one to a full disk does.
    let script = "trap '' XFSZ; ulimit -f 40000; exec \"$0\" \"$@\"";
    let output = Command::new("sh")
        .args(["-c", script, env::current_exe().unwrap().to_str().unwrap()])
        .args(["writes::full::child", "--exact", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let taken = said.split_once('@').unwrap().1.lines().next().unwrap();
    let taken: usize = taken.parse().unwrap();
    let clock = FakeClock::at(START);
    let samovar = block_on(Samovar::open(settings(Some(directory.path()), &clock))).unwrap();
    assert_eq!(samovar.counters().notices(), [], "nothing is damaged");
    let names = samovar.cache::<String>(by(Strategy::CacheAside));
    assert_eq!(names.unwritten(), taken + 1);
    assert!((0..taken).all(|key| names.peek(&key.to_string()).unwrap().value().len() == 1 << 20));
    assert_eq!(*names.peek("small").unwrap().value(), "y");
}
