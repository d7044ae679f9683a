//! The frame that other programs read: what is written comes back, and nothing else is taken for it.

mod golden;
mod page;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use samovar::codec::{CodecId, Compression, CompressionPolicy, Frame, FrameError, Json};
use samovar_core::{
    Day, Epoch, Error, ErrorKind, Lifetime, Millis, Part, Span, Stamp, Tick, Version,
};

const NAME: &[u8] = b"product_info:42";

fn stamp(epoch: u64, seq: u64, read_at: i64) -> Stamp {
    let version = Version { epoch: Epoch(epoch), seq };
    Stamp { version, tick: Tick(0), read_at: Millis(read_at) }
}

fn span(store: &str, from: Day, to: Day) -> Option<Span> {
    Some(Span { store: store.into(), from, to })
}

fn plain(value: impl Into<Bytes>) -> Frame {
    Frame {
        codec: CodecId::BYTES,
        value: Some(value.into()),
        parts: Arc::from([Part { span: None, stamp: stamp(7, 42, 1_790_000_000_000) }]),
        tags: Arc::from([]),
        created: Millis(1_790_000_000_250),
        lifetime: Lifetime {
            ttl: Duration::from_secs(3_600),
            stale_window: Duration::from_secs(86_400),
        },
    }
}

/// Compresses whatever it can.
fn by(method: Compression) -> CompressionPolicy {
    CompressionPolicy { threshold: 0, least_saving: 0.0, ..CompressionPolicy::by(method) }
}

fn encode(frame: &Frame) -> Bytes {
    frame.encode(NAME, &CompressionPolicy::default()).unwrap().bytes
}

/// The checksum that belongs to what stands before it.
fn mend(bytes: &mut [u8]) {
    let (body, sum) = bytes.split_last_chunk_mut::<4>().unwrap();
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(NAME);
    hasher.update(body);
    *sum = hasher.finalize().to_le_bytes();
}

/// A frame in which some bytes were replaced by a writer that knows the checksum.
fn written_otherwise(frame: &Frame, method: Compression, at: usize, bytes: &[u8]) -> Bytes {
    let mut all = frame.encode(NAME, &by(method)).unwrap().bytes.to_vec();
    all[at..at + bytes.len()].copy_from_slice(bytes);
    mend(&mut all);
    Bytes::from(all)
}

fn frames() -> impl Strategy<Value = Frame> {
    let word = || prop_oneof!["[a-z]{0,3}", "\\PC{0,12}"].prop_map(Arc::<str>::from);
    let days = (any::<i32>(), any::<i32>()).prop_map(|(a, b)| (Day(a.min(b)), Day(a.max(b))));
    let spans = prop::option::of((word(), days))
        .prop_map(|span| span.map(|(store, (from, to))| Span { store, from, to }));
    let stamps = (any::<u64>(), any::<u64>(), any::<i64>());
    let part = (spans, stamps)
        .prop_map(|(span, (epoch, seq, at))| Part { span, stamp: stamp(epoch, seq, at) });
    let value = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        prop::collection::vec(0u8..2, 0..3_000),
    ];
    let value = prop::option::weighted(0.9, (any::<u8>(), value));
    (
        value,
        prop::collection::vec(part, 1..6),
        prop::collection::vec(word(), 0..5),
        any::<i64>(),
        any::<(u64, u64)>(),
    )
        .prop_map(|(value, parts, tags, created, (ttl, stale))| Frame {
            codec: CodecId(value.as_ref().map_or(0, |(codec, _)| *codec)),
            value: value.map(|(_, bytes)| Bytes::from(bytes)),
            parts: parts.into(),
            tags: tags.into(),
            created: Millis(created),
            lifetime: Lifetime {
                ttl: Duration::from_millis(ttl),
                stale_window: Duration::from_millis(stale),
            },
        })
}

fn methods() -> impl Strategy<Value = Compression> {
    prop::sample::select(&Compression::ALL)
}

proptest! {
    #[test]
    fn what_is_written_comes_back(
        frame in frames(),
        method in methods(),
        name in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let encoded = frame.encode(&name, &by(method)).unwrap();
        prop_assert_eq!(Frame::decode(&name, &encoded.bytes), Ok(frame.clone()));
        prop_assert_eq!(frame.encode(&name, &by(method)).unwrap(), encoded, "the same bytes each time");
    }

    #[test]
    fn a_changed_byte_is_noticed(
        frame in frames(),
        method in methods(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 1..=u8::MAX), 20),
    ) {
        let bytes = frame.encode(NAME, &by(method)).unwrap().bytes;
        for (at, change) in changes {
            let mut damaged = bytes.to_vec();
            let at = at.index(damaged.len());
            damaged[at] ^= change;
            let found = Frame::decode(NAME, &Bytes::from(damaged));
            prop_assert!(found.is_err(), "byte {at} changed by {change:#x}");
        }
    }

    #[test]
    fn what_is_cut_or_longer_is_noticed(
        frame in frames(),
        method in methods(),
        more in prop::collection::vec(any::<u8>(), 1..20),
    ) {
        let bytes = frame.encode(NAME, &by(method)).unwrap().bytes;
        for length in 0..bytes.len() {
            prop_assert!(Frame::decode(NAME, &bytes.slice(..length)).is_err(), "cut to {length}");
        }
        let longer = Bytes::from([&bytes[..], &more[..]].concat());
        prop_assert!(Frame::decode(NAME, &longer).is_err());
    }

    #[test]
    fn another_name_is_noticed(
        frame in frames(),
        names in prop::array::uniform2(prop::collection::vec(any::<u8>(), 0..40)),
    ) {
        prop_assume!(names[0] != names[1]);
        let bytes = frame.encode(&names[0], &by(Compression::None)).unwrap().bytes;
        prop_assert_eq!(Frame::decode(&names[1], &bytes), Err(FrameError::Damaged("its checksum")));
    }

    #[test]
    fn random_bytes_are_no_frame(bytes in prop::collection::vec(any::<u8>(), 0..300), begin: bool) {
        let magic = Bytes::from([b"\x89SMV\x01", &bytes[..]].concat());
        let bytes = if begin { magic } else { Bytes::from(bytes) };
        prop_assert!(Frame::decode(NAME, &bytes).is_err());
    }

    /// Writers in other languages know the checksum too. Whatever they write is an error, or a frame that this
    /// program would write again.
    #[test]
    fn what_a_bad_writer_vouches_for_is_an_error_or_a_frame(
        frame in frames(),
        method in methods(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        near in any::<bool>(),
    ) {
        let mut bytes = frame.encode(NAME, &by(method)).unwrap().bytes.to_vec();
        for (at, byte) in changes {
            // Half of the runs change the head alone, where lengths and counts stand.
            let range = if near { 48 } else { bytes.len() };
            bytes[at.index(range)] = byte;
        }
        mend(&mut bytes);
        if let Ok(found) = Frame::decode(NAME, &Bytes::from(bytes)) {
            let again = found.encode(NAME, &by(method)).unwrap().bytes;
            prop_assert_eq!(Frame::decode(NAME, &again), Ok(found));
        }
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let frame = Frame { tags: Arc::from([Arc::from("a")]), ..plain(vec![1; 200]) };
    for method in Compression::ALL {
        let bytes = frame.encode(NAME, &by(method)).unwrap().bytes;
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Frame::decode(NAME, &Bytes::from(damaged)).is_err(), "{method}: bit {bit}");
        }
    }
}

#[test]
fn what_is_foreign_or_newer_is_told_apart() {
    for foreign in [&b""[..], b"SMV", b"{\"name\":\"Tea\"}", b"\x89PNG\r\n\x1a\n"] {
        let error = Frame::decode(NAME, &Bytes::from_static(foreign)).unwrap_err();
        assert_eq!(error, FrameError::Foreign, "{foreign:?}");
    }
    let mut newer = encode(&plain("tea")).to_vec();
    newer[4] = 2;
    let error = Frame::decode(NAME, &Bytes::from(newer)).unwrap_err();
    assert_eq!(error, FrameError::Newer { format: 2 });
    assert_eq!(
        error.to_string(),
        "this frame is of format 2, and 1 is the newest known here: a newer version of the program wrote it"
    );
    assert_eq!(Error::from(error).kind(), ErrorKind::Format);
}

/// Each field that a bad writer gets wrong is named, and no length that it claims is believed.
#[test]
fn what_a_bad_writer_gets_wrong_is_named() {
    let part = |span| Part { span, stamp: stamp(1, 2, 3) };
    let frame = Frame {
        parts: Arc::from([part(span("7", Day(3), Day(5))), part(None)]),
        tags: Arc::from([Arc::from("tea")]),
        ..plain(vec![9; 5_000])
    };
    let offset = 48 + 2 * 36 + 3 + 5;
    assert_eq!(&encode(&frame)[offset - 3..offset + 1], b"tea\x09", "as the cases below take it");
    for (method, at, bytes, expected) in [
        (Compression::None, 5, &[2][..], "its flags"),
        (Compression::None, 5, &[1], "its flags"),
        (Compression::None, 7, &[4], "compression"),
        (Compression::None, 7, &[2], "its compressed value"),
        (Compression::None, 8, &[0, 0, 0, 0], "where its value begins"),
        (Compression::None, 8, &[255, 255, 255, 255], "where its value begins"),
        (Compression::None, 8, &[offset as u8 + 1], "where its value begins"),
        (Compression::None, 8, &[offset as u8 - 1], "its length"),
        (Compression::None, 12, &[1], "its length"),
        (Compression::Gzip, 12, &[255, 255, 255, 0], "its compressed value"),
        (Compression::Lz4, 12, &[255, 255, 255, 0], "its compressed value"),
        (Compression::Zstd, 12, &[255, 255, 255, 0], "its compressed value"),
        (Compression::Zstd, 12, &[135, 19], "its compressed value"),
        (Compression::None, 16, &[255, 255, 255, 255], "its length"),
        (Compression::None, 16, &[1], "where its value begins"),
        (Compression::None, 20, &[255, 255], "its length"),
        (Compression::None, 22, &[255, 255], "its length"),
        (Compression::None, 48 + 24, &[2], "the store of a part"),
        (Compression::None, 48 + 24, &[0], "the days of a part"),
        (Compression::None, 48 + 28, &[6], "the days of a part"),
        (Compression::None, offset - 1, &[255], "a store or tag is not UTF-8"),
    ] {
        let bytes_at = format!("{bytes:?} at {at}");
        let bytes = written_otherwise(&frame, method, at, bytes);
        assert_eq!(Frame::decode(NAME, &bytes), Err(FrameError::Damaged(expected)), "{bytes_at}");
    }
    let bytes = written_otherwise(&frame, Compression::Zstd, 12, &[255; 4]);
    let too_large = FrameError::TooLarge { length: u64::from(u32::MAX) };
    assert_eq!(Frame::decode(NAME, &bytes), Err(too_large));

    // Without a part: the first of them is cut out.
    let mut none = encode(&plain("tea")).to_vec();
    none.drain(48..84);
    none[8] -= 36;
    none[16] = 0;
    mend(&mut none);
    let found = Frame::decode(NAME, &Bytes::from(none));
    assert_eq!(found, Err(FrameError::Damaged("it has no part")));
}

#[test]
fn what_does_not_fit_is_refused() {
    let refusal = |frame: Frame| {
        let error = frame.encode(NAME, &CompressionPolicy::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        error.to_string()
    };
    let tags = |tags: Vec<Arc<str>>| Frame { tags: tags.into(), ..plain("") };
    assert_eq!(
        refusal(plain(vec![0; Frame::MAX_VALUE + 1])),
        "a value of 268435457 bytes is too large to be shared: 268435456 are the most"
    );
    assert_eq!(
        refusal(tags(vec!["x".into(); 65_536])),
        "a frame cannot have 65536 tags: 65535 are the most"
    );
    assert_eq!(
        refusal(tags(vec!["x".repeat(65_536).into()])),
        "a frame cannot have 65536 bytes in a store or tag: 65535 are the most"
    );
    assert_eq!(
        refusal(Frame { parts: Arc::from([]), ..plain("") }),
        "a frame needs a part: when was it read?"
    );
    let part = Part { span: span("7", Day(1), Day(0)), stamp: stamp(1, 1, 1) };
    assert_eq!(
        refusal(Frame { parts: Arc::from([part]), ..plain("") }),
        "a part ends on 1970-01-01, before 1970-01-02"
    );
    let most = Frame { tags: vec![Arc::from("x".repeat(4)); 65_535].into(), ..plain("tea") };
    assert_eq!(Frame::decode(NAME, &encode(&most)), Ok(most));
}

#[test]
fn a_value_that_is_not_compressed_is_not_copied() {
    let bytes = encode(&plain("tea"));
    let value = Frame::decode(NAME, &bytes).unwrap().value.unwrap();
    assert!(bytes.as_ptr_range().contains(&value.as_ptr()));
}

#[test]
fn ticks_stay_and_durations_are_whole_milliseconds() {
    let mut frame = plain("tea");
    let ticked = Stamp { tick: Tick(9), ..frame.parts[0].stamp };
    frame.parts = Arc::from([Part { span: None, stamp: ticked }]);
    frame.lifetime = Lifetime { ttl: Duration::from_micros(1_999), stale_window: Duration::MAX };
    let found = Frame::decode(NAME, &encode(&frame)).unwrap();
    assert_eq!(found.parts[0].stamp.tick, Tick(0));
    assert_eq!(found.lifetime.ttl, Duration::from_millis(1), "never longer than it was");
    assert_eq!(found.lifetime.stale_window, Duration::from_millis(u64::MAX));
}

#[test]
fn sizes_say_what_was_saved() {
    let tea = plain("tea ".repeat(1_000));
    let sizes =
        |frame: &Frame, policy: &CompressionPolicy| frame.encode(NAME, policy).unwrap().sizes;
    let mut all = sizes(&tea, &CompressionPolicy::by(Compression::Lz4));
    assert_eq!((all.values, all.compressed, all.plain), (1, 1, 4_000));
    assert!(all.stored < 100);
    all += sizes(&tea, &CompressionPolicy::default());
    all += sizes(&Frame { value: None, ..tea }, &CompressionPolicy::by(Compression::Lz4));
    assert_eq!((all.values, all.compressed, all.plain), (2, 1, 8_000));
    assert!(all.saved() > 0.48 && all.saved() < 0.5);
}

#[test]
fn a_value_is_read_by_its_own_codec_alone() {
    let json = Frame { codec: CodecId::JSON, ..plain("[1,2]") };
    assert_eq!(*json.read::<Json<Vec<u8>>>().unwrap().unwrap(), [1, 2]);
    let error = json.read::<String>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Format);
    assert_eq!(error.to_string(), "the stored value is encoded by codec 2, where 1 is expected");
    let absent = Frame { value: None, ..json };
    assert_eq!(absent.read::<String>().unwrap(), None, "none is none of every type");
}
