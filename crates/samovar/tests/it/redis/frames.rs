//! What stands in Redis: frames that other programs can read, and what is done about those that are none of ours.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use samovar::codec::{CodecId, Frame, Payload};
use samovar::redis::RedisSettings;
use samovar::tier::RedisTier;
use samovar::{Counted, Counters};
use samovar_core::{Clock, Entry, Epoch, Key, Lifetime, Millis, Need, Stamp, Tick, Tier, Version};
use samovar_testkit::clock::FakeClock;
use samovar_testkit::redis::Server;

use super::{at, launch, subject, tier};
use crate::support::{START, block_on};

/// The bytes under a name, as `redis-cli` writes them into a file that is given to it by the shell.
fn raw(server: &Server, name: &str) -> Bytes {
    let script = "local v = redis.call('GET', KEYS[1]); local h = {}; for i = 1, #v do \
                  h[i] = string.format('%02x', v:byte(i)) end; return table.concat(h)";
    let hex = server.cli(&["EVAL", script, "1", name]).unwrap();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    hex.as_bytes().chunks(2).map(byte).collect()
}

#[test]
fn they_are_what_the_page_describes() {
    let server = launch();
    let settings = RedisSettings { namespace: "shop:".into(), ..at(&server) };
    let (tier, _) = tier(&settings);
    let subject = subject();
    tier.put(&Key::new("product_info", "42"), subject.entry(b"tea"));
    tier.put(&Key::new("a:b", "c"), Entry { value: Payload::absent(), ..subject.entry(b"") });
    block_on(tier.flush()).unwrap();
    let name = "shop:product_info:42";
    let frame = Frame::decode(name.as_bytes(), &raw(&server, name)).unwrap();
    assert_eq!(frame.value.as_deref(), Some(&b"tea"[..]));
    assert_eq!(
        frame.parts,
        subject
            .entry(b"")
            .parts
            .iter()
            .cloned()
            .map(|mut part| {
                part.stamp.tick = Tick(0);
                part
            })
            .collect::<Vec<_>>()
            .into()
    );
    assert_eq!((frame.codec, frame.created), (CodecId::BYTES, START));
    let name = "shop:a%3Ab:c";
    assert_eq!(Frame::decode(name.as_bytes(), &raw(&server, name)).unwrap().value, None);
    let none = block_on(tier.get(&Key::new("a:b", "c"))).unwrap().unwrap();
    assert!(none.value.is_absent(), "that there is no value is an answer");
}

#[test]
fn what_is_none_of_ours_counts_as_absent_and_is_said_once() {
    let server = launch();
    let settings = RedisSettings { namespace: String::new(), ..at(&server) };
    let (tier, counters) = tier(&settings);
    let key = |id: &str| Key::new("c", id);
    for id in ["moved", "swapped", "cut"] {
        tier.put(&key(id), subject().entry(id.as_bytes()));
    }
    block_on(tier.flush()).unwrap();
    server.cli(&["RENAME", "c:moved", "c:elsewhere"]).unwrap();
    server.cli(&["COPY", "c:elsewhere", "c:swapped", "REPLACE"]).unwrap();
    server.cli(&["SETRANGE", "c:cut", "60", "x"]).unwrap();
    server.cli(&["SET", "c:json", "{\"name\":\"tea\"}"]).unwrap();
    server.cli(&["RPUSH", "c:list", "tea"]).unwrap();
    // The first bytes of a frame of a later format.
    let eval = "return redis.call('SET', KEYS[1], '\\137SMV\\9rest')";
    server.cli(&["EVAL", eval, "1", "c:newer"]).unwrap();
    let keys = ["elsewhere", "swapped", "cut", "json", "list", "newer", "moved"].map(key);
    for need in [Need::Now, Need::Later] {
        for found in block_on(tier.get_many(&keys, need)) {
            assert!(found.unwrap().is_none());
        }
    }
    let damaged = || counters.snapshot().count(Counted::Damaged);
    assert_eq!(damaged(), 10, "all but the one that is gone, and what MGET does not tell from it");
    assert!(block_on(tier.get(&key("list"))).unwrap().is_none());
    assert_eq!(damaged(), 11);
    let said: Vec<String> =
        counters.notices().iter().map(|notice| notice.text.to_string()).collect();
    assert_eq!(said.len(), 3, "each kind once: {said:?}");
    assert!(said[0].contains("damaged") && said[0].contains("c:elsewhere"), "{said:?}");
    assert!(said[1].contains("another program") && said[1].contains("c:json"), "{said:?}");
    assert!(said[2].contains("newer version"), "{said:?}");
    // It may be written over.
    tier.put(&key("list"), subject().entry(b"tea"));
    block_on(tier.flush()).unwrap();
    assert!(block_on(tier.get(&key("list"))).unwrap().is_some());
}

#[test]
fn redis_lets_go_of_what_is_past_its_time() {
    let server = launch();
    let settings = at(&server);
    let clock = FakeClock::at(START);
    let tier =
        RedisTier::new(&settings, Arc::clone(&clock) as Arc<dyn Clock>, Arc::default()).unwrap();
    let entry = |ttl: u64, age: i64| {
        let lifetime =
            Lifetime { ttl: Duration::from_secs(ttl), stale_window: Duration::from_secs(100) };
        let version = Version { epoch: Epoch(7), seq: 3 };
        let read_at = Millis(START.0 - age * 1_000);
        let stamp = Stamp { version, tick: Tick(0), read_at };
        Entry::whole(Payload::new(CodecId::TEXT, "v"), stamp, lifetime)
    };
    tier.put(&Key::new("c", "young"), entry(1_000, 0));
    tier.put(&Key::new("c", "old"), entry(1_000, 400));
    tier.put(&Key::new("c", "gone"), entry(10, 110));
    tier.put(&Key::new("c", "forever"), entry(u64::MAX / 1_000, 0));
    block_on(tier.flush()).unwrap();
    let left = |id: &str| -> i64 {
        server.cli(&["PTTL", &format!("{}c:{id}", settings.namespace)]).unwrap().parse().unwrap()
    };
    let about =
        |left: i64, seconds: i64| (seconds * 1_000 - 60_000..=seconds * 1_000).contains(&left);
    assert!(about(left("young"), 1_100) && about(left("old"), 700), "{}", left("old"));
    assert_eq!(left("gone"), -2, "past its time when it came");
    assert!(left("forever") > 0);

    // A reader whose clock is a day behind finds it as old as it is.
    let behind = FakeClock::at(Millis(START.0 - 86_400_000));
    let reader =
        RedisTier::new(&settings, Arc::clone(&behind) as Arc<dyn Clock>, Arc::default()).unwrap();
    let found = block_on(reader.get(&Key::new("c", "old"))).unwrap().unwrap();
    let age = behind.now().since(found.parts[0].stamp.read_at).unwrap();
    assert!((400..460).contains(&age.as_secs()), "{age:?}");
    assert_eq!(found.lifetime, entry(1_000, 0).lifetime);
    // By who neither keeps it nor serves it stale, it is taken as it stands.
    let found = block_on(reader.get_for(&Key::new("c", "old"), Need::Now)).unwrap().unwrap();
    assert_eq!(found.parts[0].stamp.read_at, Millis(START.0 - 400_000));
}

#[test]
fn the_golden_frames_are_read() {
    let server = launch();
    let settings = RedisSettings { namespace: String::new(), ..at(&server) };
    let clock: Arc<dyn Clock> = FakeClock::at(START);
    let counters = Arc::new(Counters::default());
    let tier = RedisTier::new(&settings, clock, Arc::clone(&counters)).unwrap();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/frames/v1-json.bin");
    let escaped: String =
        fs::read(file).unwrap().iter().map(|byte| format!("\\{byte:03}")).collect();
    let eval = format!("return redis.call('SET', KEYS[1], '{escaped}')");
    server.cli(&["EVAL", &eval, "1", "product_info:42"]).unwrap();
    let found = block_on(tier.get(&Key::new("product_info", "42"))).unwrap().unwrap();
    assert_eq!(found.value.codec(), Some(CodecId::JSON));
    assert_eq!(found.value.bytes().unwrap().unwrap(), r#"{"name":"Tea","cents":499}"#);
    assert_eq!(counters.snapshot().count(Counted::Damaged), 0);
}
