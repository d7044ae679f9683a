//! Frames that were written once and are read for ever: what stands in somebody's Redis must be understood by every
//! later version of this program.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use samovar::codec::{CodecId, Compression, CompressionPolicy, Frame};
use samovar_core::{Day, Lifetime, Millis, Part};

use super::{plain, span, stamp};

/// Set to `write`, it has the files written that are missing. None is ever written again: a layout that changes is
/// another format, with files of its own.
const GOLDEN: &str = "SAMOVAR_GOLDEN";

/// A frame as it is kept in a file.
pub(super) struct Golden {
    pub(super) file: &'static str,
    pub(super) name: &'static str,
    pub(super) frame: Frame,
    pub(super) method: Compression,
}

impl Golden {
    fn encode(&self) -> Bytes {
        let encoded = self.frame.encode(self.name.as_bytes(), &CompressionPolicy::by(self.method));
        encoded.unwrap().bytes
    }

    pub(super) fn path(&self) -> PathBuf {
        folder().join(self.file)
    }

    pub(super) fn read(&self) -> Bytes {
        match fs::read(self.path()) {
            Ok(bytes) => Bytes::from(bytes),
            Err(_) if std::env::var_os(GOLDEN).is_some_and(|how| how == "write") => {
                fs::write(self.path(), self.encode()).unwrap();
                self.encode()
            }
            Err(error) => panic!("{}: {error}; {GOLDEN}=write makes it", self.path().display()),
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/frames")
}

/// The one that `docs/frame.md` shows byte by byte.
pub(super) fn shown() -> Golden {
    let part = Part {
        span: span("7", Day(20_487), Day(20_489)),
        stamp: stamp(0x5eed_0000_c0ff_ee01, 42, 1_790_000_000_000),
    };
    let frame = Frame {
        codec: CodecId::JSON,
        parts: Arc::from([part]),
        tags: Arc::from([Arc::from("category:tea")]),
        ..plain(r#"{"name":"Tea","cents":499}"#)
    };
    Golden { file: "v1-json.bin", name: "product_info:42", frame, method: Compression::None }
}

/// The smallest.
pub(super) fn empty() -> Golden {
    let frame = Frame { codec: CodecId::TEXT, ..plain("") };
    Golden { file: "v1-empty.bin", name: "product_info:42", frame, method: Compression::None }
}

/// One of each compression and of each shape.
pub(super) fn all() -> Vec<Golden> {
    let rows = |count: u32| {
        let row = |id| format!(r#"{{"id":{id},"name":"Tea {}","cents":{}}}"#, id % 9, 499 + id * 7);
        format!("[{}]", (0..count).map(row).collect::<Vec<_>>().join(","))
    };
    // [{"id": 0, "cents": 499}, …] in MessagePack: an array of maps of two.
    let packed: Vec<u8> = [0xdc, 0, 200]
        .into_iter()
        .chain((0..200).flat_map(|id| {
            [&b"\x82\xa2id\xcc"[..], &[id], b"\xa5cents\xcd", &[1, 243 - id / 2]].concat()
        }))
        .collect();
    let tags = |tags: &[&str]| tags.iter().map(|tag| Arc::from(*tag)).collect::<Arc<[Arc<str>]>>();
    let parts = [
        Part { span: span("7", Day(20_487), Day(20_494)), stamp: stamp(1, 2, 3) },
        Part {
            span: span("Zürich", Day(i32::MIN), Day(i32::MAX)),
            stamp: stamp(u64::MAX, u64::MAX, i64::MAX),
        },
        Part { span: span("7", Day(-1), Day(-1)), stamp: stamp(1, 0, i64::MIN) },
        Part { span: None, stamp: stamp(0, 0, 0) },
    ];
    let golden = |file, method, frame| Golden { file, name: "product_info:42", frame, method };
    let as_it_is = Compression::None;
    vec![
        shown(),
        golden("v1-bytes.bin", as_it_is, plain((0..=255).collect::<Vec<u8>>())),
        empty(),
        golden(
            "v1-absent.bin",
            as_it_is,
            Frame { value: None, tags: tags(&["category:tea"]), ..plain("") },
        ),
        Golden {
            name: "名:\u{0}茶",
            ..golden(
                "v1-text-tags.bin",
                as_it_is,
                Frame {
                    codec: CodecId::TEXT,
                    tags: tags(&["茶", "", "a:b c"]),
                    ..plain("Grüner Tee, 绿茶")
                },
            )
        },
        golden(
            "v1-parts.bin",
            as_it_is,
            Frame {
                codec: CodecId(200),
                parts: Arc::from(parts.clone()),
                created: Millis(-1),
                lifetime: Lifetime {
                    ttl: Duration::ZERO,
                    stale_window: Duration::from_millis(u64::MAX),
                },
                ..plain("an application's own")
            },
        ),
        golden(
            "v1-json-gzip.bin",
            Compression::Gzip,
            Frame { codec: CodecId::JSON, ..plain(rows(60)) },
        ),
        golden(
            "v1-messagepack-lz4.bin",
            Compression::Lz4,
            Frame { codec: CodecId::MESSAGE_PACK, tags: tags(&["category:tea"]), ..plain(packed) },
        ),
        golden(
            "v1-json-zstd-parts.bin",
            Compression::Zstd,
            Frame { codec: CodecId::JSON, parts: Arc::from(parts), ..plain(rows(500)) },
        ),
    ]
}

#[test]
fn what_was_written_once_is_read_for_ever() {
    for golden in all() {
        let found = Frame::decode(golden.name.as_bytes(), &golden.read());
        assert_eq!(found, Ok(golden.frame), "{}", golden.file);
    }
}

/// A compressor may find a shorter way in its next version; everything else is the same for ever.
#[test]
fn today_the_same_bytes_are_written() {
    for golden in all() {
        let (before, today) = (golden.read(), golden.encode());
        assert_eq!(before[7], golden.method as u8, "{}: it was compressed so", golden.file);
        let same = match golden.method {
            Compression::None => before.len(),
            _ => u32::from_le_bytes(before[8..12].try_into().unwrap()) as usize,
        };
        assert_eq!(before[..same], today[..same], "{}", golden.file);
        let found = Frame::decode(golden.name.as_bytes(), &today);
        assert_eq!(found, Ok(golden.frame), "{}", golden.file);
    }
}

#[test]
fn every_file_is_known() {
    let mut expected: Vec<_> = all().into_iter().map(|golden| golden.file.to_owned()).collect();
    let files = fs::read_dir(folder()).unwrap();
    let mut found: Vec<_> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}
