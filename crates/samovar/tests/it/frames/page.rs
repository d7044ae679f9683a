//! `docs/frame.md` says what the program does: its tables and its dump are of a real frame, and its reader reads
//! them all.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use samovar::codec::{Compression, CompressionPolicy, Frame};
use serde_json::{Value, json};

use super::golden::{self, Golden};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/frame.md");
    fs::read_to_string(path).unwrap()
}

/// The text between two others.
fn between<'a>(page: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = page.split_once(start).unwrap_or_else(|| panic!("there is no {start:?}"));
    rest.split_once(end).unwrap_or_else(|| panic!("{start:?} does not end")).0
}

/// Offset and size of each row of a table.
fn rows(table: &str) -> Vec<(usize, usize)> {
    let cell = |row: &str, at| row.split('|').nth(at)?.trim().parse().ok();
    table.lines().filter_map(|row| Some((cell(row, 1)?, cell(row, 2)?))).collect()
}

/// The bytes of the frame that is shown, field by field: sizes, and what is said of them.
fn fields(frame: &Frame, bytes: &[u8]) -> Vec<(usize, String)> {
    let part = &frame.parts[0];
    let span = part.span.as_ref().unwrap();
    let (store, tag, value) = (&span.store, &frame.tags[0], frame.value.as_ref().unwrap());
    let begin = 48 + 36 + 2 + store.len() + 2 + tag.len();
    let millis = |of: std::time::Duration| of.as_millis();
    let (epoch, seq) = (part.stamp.version.epoch, part.stamp.version.seq);
    let mut fields: Vec<(usize, String)> = Vec::new();
    let mut say = |size: usize, what: String| fields.push((size, what));
    say(4, "magic".into());
    say(1, format!("format {}", Frame::FORMAT));
    say(1, "flags: there is a value".into());
    say(1, format!("codec {}: JSON", frame.codec.0));
    say(1, "compression 0: none".into());
    say(4, format!("the value begins at {begin}, {begin:#x}"));
    say(4, format!("it has {} bytes", value.len()));
    say(4, format!("parts: {}", frame.parts.len()));
    say(2, "stores: 1".into());
    say(2, format!("tags: {}", frame.tags.len()));
    say(8, format!("created at {}", frame.created.0));
    say(8, format!("fresh for {} ms", millis(frame.lifetime.ttl)));
    say(8, format!("stale for {} ms", millis(frame.lifetime.stale_window)));
    say(8, format!("part 1: epoch {epoch}"));
    say(8, format!("read after mark {seq}"));
    say(8, format!("at {}", part.stamp.read_at.0));
    say(4, "store 1".into());
    say(4, format!("from day {}, {}", span.from.0, span.from));
    say(4, format!("to day {}, {}", span.to.0, span.to));
    say(2, format!("store 1 has {} byte", store.len()));
    say(store.len(), format!("{store:?}"));
    say(2, format!("tag 1 has {} bytes", tag.len()));
    say(tag.len(), format!("{tag:?}"));
    say(value.len(), "the value".into());
    say(4, "checksum".into());
    assert_eq!(fields.iter().map(|(size, _)| size).sum::<usize>(), bytes.len());
    fields
}

#[test]
fn the_dump_is_of_the_frame() {
    let golden = golden::shown();
    let bytes = golden.read();
    let mut dump = String::new();
    let mut at = 0;
    for (size, what) in fields(&golden.frame, &bytes) {
        // Eight to a line; what they are stands beside the first, the text of a value beside each.
        for (line, run) in bytes[at..at + size].chunks(8).enumerate() {
            let hex: Vec<String> = run.iter().map(|byte| format!("{byte:02x}")).collect();
            let text = match (what.as_str(), line) {
                ("the value", _) => String::from_utf8_lossy(run).into_owned(),
                (what, 0) => what.to_owned(),
                _ => String::new(),
            };
            let line = format!("{:3}  {:24} {text}", at + 8 * line, hex.join(" "));
            writeln!(dump, "{}", line.trim_end()).unwrap();
        }
        at += size;
    }
    let page = page();
    let shown = between(&page, "```text\n", "```");
    assert!(shown == dump, "docs/frame.md shows other bytes than these:\n{dump}");
}

#[test]
fn the_tables_are_of_the_frame() {
    let golden = golden::shown();
    let sizes: Vec<usize> =
        fields(&golden.frame, &golden.read()).into_iter().map(|(size, _)| size).collect();
    let offsets = |sizes: &[usize]| {
        sizes
            .iter()
            .scan(0, |at, size| {
                *at += size;
                Some((*at - size, *size))
            })
            .collect::<Vec<_>>()
    };
    let page = page();
    assert_eq!(rows(between(&page, "### Head", "###")), offsets(&sizes[..13]));
    assert_eq!(rows(between(&page, "### Parts", "###")), offsets(&sizes[13..19]));
}

/// The numbers that stand in the text.
#[test]
fn the_text_is_of_the_program() {
    let page = page();
    let policy = CompressionPolicy::default();
    for (start, number) in [
        ("`\"123456789\"` gives `", format!("{:08x}", crc32fast::hash(b"123456789"))),
        ("at most ", thousands(Frame::MAX_VALUE)),
        ("| `threshold` | ", thousands(policy.threshold)),
        ("| `least_saving` | ", policy.least_saving.to_string()),
        ("A plain value costs ", (golden::empty().read().len()).to_string()),
    ] {
        let expected = format!("{start}{number}");
        assert!(page.contains(&expected), "docs/frame.md does not say {expected:?}");
    }
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    groups.map(String::from_utf8_lossy).collect::<Vec<_>>().join(",")
}

/// Runs the page's reader, followed by `what`, over a frame.
fn python(what: &str, golden: &Golden) -> Value {
    let page = page();
    let reader = between(&page, "```python\n", "```");
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("reader.py");
    let start = "
import json, sys
frame, name = open(sys.argv[1], 'rb').read(), bytes.fromhex(sys.argv[2])
";
    fs::write(&program, format!("{reader}{start}{what}")).unwrap();
    let name: String = golden.name.bytes().map(|byte| format!("{byte:02x}")).collect();
    let ran = Command::new("python3")
        .arg(&program)
        .arg(golden.path())
        .arg(&name)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| {
            panic!("this test runs the page's reader: install python3 ({error})")
        });
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{}: {said}", golden.file);
    serde_json::from_slice(&ran.stdout).unwrap()
}

#[test]
fn its_reader_reads_them_all() {
    // Where this Python has no Zstandard, the block is handed on as it is, and unpacked here.
    let what = "
its_own = unzstd
def unzstd(frame):
    try:
        return its_own(frame)
    except ImportError:
        return bytes(frame)
found = read(frame, name)
if found['value'] is not None:
    found['value'] = found['value'].hex()
print(json.dumps(found))
";
    for golden in golden::all() {
        let mut found = python(what, &golden);
        let hex = found["value"].take();
        let value = hex.as_str().map(|hex| {
            let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
            match golden.method {
                Compression::Zstd => zstd::decode_all(&bytes[..]).unwrap_or(bytes),
                _ => bytes,
            }
        });
        assert_eq!(value.as_deref(), golden.frame.value.as_deref(), "{}", golden.file);

        let parts = golden.frame.parts.iter().map(|part| {
            let (span, version) = (part.span.as_ref(), part.stamp.version);
            json!({
                "epoch": version.epoch.0, "seq": version.seq, "read_at": part.stamp.read_at.0,
                "store": span.map(|span| &*span.store),
                "from": span.map_or(0, |span| span.from.0), "to": span.map_or(0, |span| span.to.0),
            })
        });
        let expected = json!({
            "value": null,
            "codec": golden.frame.codec.0,
            "parts": parts.collect::<Vec<_>>(),
            "tags": golden.frame.tags.iter().map(|tag| &**tag).collect::<Vec<_>>(),
            "created": golden.frame.created.0,
            "ttl": golden.frame.lifetime.ttl.as_millis() as u64,
            "stale": golden.frame.lifetime.stale_window.as_millis() as u64,
        });
        assert_eq!(found, expected, "{}", golden.file);
    }
}

#[test]
fn its_reader_refuses_what_is_damaged() {
    let what = "
def refused(frame, name):
    try:
        read(frame, name)
    except ValueError:
        return True
    return False
changed = [frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1:] for at in range(len(frame))]
print(json.dumps([
    refused(frame, name),
    all(refused(other, name) for other in changed),
    all(refused(frame[:length], name) for length in range(len(frame))),
    refused(frame, b'product_info:43'),
]))
";
    assert_eq!(python(what, &golden::shown()), json!([false, true, true, true]));
}
