#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use futures_executor::block_on;
use proptest::prelude::*;
use samovar_core::SystemClock;
use tempfile::TempDir;

use super::*;
use crate::directory;

const KIND: [u8; 8] = *b"testing\0";

struct Bench {
    _directory: TempDir,
    path: PathBuf,
}

impl Bench {
    fn new() -> Bench {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.journal");
        Bench { _directory: directory, path }
    }

    fn open(&self) -> Opened {
        self.open_with(Options::new(KIND, 1 << 30, None)).unwrap()
    }

    fn open_with(&self, options: Options) -> Result<Opened, Error> {
        Journal::open(&self.path, options, Arc::new(SystemClock::new()))
    }

    /// The file up to the end of its last frame, without the room behind it.
    fn used(&self) -> Vec<u8> {
        let mut file = fs::read(&self.path).unwrap();
        let salt = layout::Header::decode(&file, KIND).unwrap().salt;
        let mut end = layout::HEADER;
        while let Some(body) = layout::frame(&file, end, salt) {
            end = body.end;
        }
        file.truncate(end);
        file
    }

    fn aside(&self) -> PathBuf {
        self.path.with_extension("journal.damaged")
    }
}

type Answer = oneshot::Receiver<Result<u64, Error>>;

fn hand_over(journal: &Journal, bytes: &[u8], instead: Option<u64>) -> (u64, Answer) {
    let (send, answer) = oneshot::channel();
    let told: Told = Box::new(move |durable| drop(send.send(durable)));
    let number = journal.append(Bytes::copy_from_slice(bytes), instead, told).unwrap();
    (number, answer)
}

fn append(journal: &Journal, bytes: &[u8]) -> u64 {
    let (number, answer) = hand_over(journal, bytes, None);
    block_on(answer).unwrap().unwrap();
    number
}

fn texts(records: &[Record]) -> Vec<(u64, String)> {
    let text = |record: &Record| String::from_utf8(record.bytes.to_vec()).unwrap();
    records.iter().map(|record| (record.number, text(record))).collect()
}

fn close(journal: &Journal) {
    block_on(journal.close()).unwrap();
}

#[test]
fn records_come_back_until_they_are_released_and_numbers_are_never_given_twice() {
    let bench = Bench::new();
    let Opened { journal, records, notices } = bench.open();
    assert!(records.is_empty() && notices.is_empty());
    let node = journal.node();
    let numbers: Vec<u64> = ["a", "b", "c"].map(|text| append(&journal, text.as_bytes())).into();
    assert!(numbers.is_sorted() && numbers[0] > 0);
    let (instead, answer) = hand_over(&journal, b"d", Some(numbers[2]));
    block_on(answer).unwrap().unwrap();
    journal.release(vec![numbers[1]]);
    close(&journal);

    let Opened { journal, records, notices } = bench.open();
    assert_eq!(texts(&records), [(numbers[0], "a".into()), (instead, "d".into())]);
    assert_eq!((notices, journal.node()), (vec![], node));
    journal.release(vec![numbers[0], instead]);
    close(&journal);
    let Opened { journal, records, .. } = bench.open();
    assert!(records.is_empty());
    assert!(append(&journal, b"e") > instead, "though nothing of it is left");
}

#[test]
fn what_is_acknowledged_is_there_without_being_closed() {
    let bench = Bench::new();
    let journal = bench.open().journal;
    let number = append(&journal, b"a");
    let left = fs::read(&bench.path).unwrap();
    close(&journal);
    fs::write(&bench.path, left).unwrap();
    assert_eq!(texts(&bench.open().records), [(number, "a".into())]);
}

/// A journal that tells of each sync, and waits with it until the sender is dropped.
fn gated(bench: &Bench, options: Options) -> (Journal, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (syncs, entered) = mpsc::channel();
    let (go, gate) = mpsc::channel::<()>();
    let faults: Faults = Box::new(move |step| {
        if step == Step::Sync {
            syncs.send(()).unwrap();
            let _ = gate.recv();
        }
        None
    });
    let options = Options { faults: Some(faults), ..options };
    (bench.open_with(options).unwrap().journal, entered, go)
}

#[test]
fn what_is_done_with_before_it_is_durable_does_not_stand() {
    let bench = Bench::new();
    let (journal, entered, go) = gated(&bench, Options::new(KIND, 1 << 20, None));
    let (first, answer) = hand_over(&journal, b"a", None);
    entered.recv().unwrap();
    // Both are in the next frame.
    let (second, told) = hand_over(&journal, b"b", None);
    journal.release(vec![second]);
    drop(go);
    for answer in [answer, told] {
        block_on(answer).unwrap().unwrap();
    }
    close(&journal);
    assert_eq!(texts(&bench.open().records), [(first, "a".into())]);
}

#[test]
fn many_are_made_durable_by_one_sync() {
    let bench = Bench::new();
    let (journal, entered, go) = gated(&bench, Options::new(KIND, 1 << 20, None));
    let first = hand_over(&journal, b"first", None).1;
    entered.recv().unwrap();
    let rest: Vec<Answer> = (0..50).map(|_| hand_over(&journal, b"more", None).1).collect();
    drop(go);
    block_on(first).unwrap().unwrap();
    for answer in rest {
        block_on(answer).unwrap().unwrap();
    }
    assert_eq!(entered.try_iter().count(), 1, "one for all that came meanwhile");
}

#[test]
fn a_frame_is_bounded_however_much_came_meanwhile() {
    let bench = Bench::new();
    let (journal, entered, go) = gated(&bench, Options::new(KIND, 1 << 30, None));
    let first = hand_over(&journal, b"first", None).1;
    entered.recv().unwrap();
    let large = vec![b'x'; 3 << 20];
    let rest: Vec<Answer> = (0..5).map(|_| hand_over(&journal, &large, None).1).collect();
    drop(go);
    for answer in std::iter::once(first).chain(rest) {
        block_on(answer).unwrap().unwrap();
    }
    assert_eq!(entered.try_iter().count(), 3, "two in each frame, and the last");
    close(&journal);
    assert_eq!(bench.open().records.len(), 6);
}

/// Fails at the n-th step of a kind, after so many bytes.
fn fails_at(step: Step, nth: usize, bytes: usize) -> Options {
    let mut seen = 0;
    let faults: Faults = Box::new(move |at| {
        seen += usize::from(at == step);
        (at == step && seen == nth).then(|| (bytes, io::Error::from(io::ErrorKind::StorageFull)))
    });
    Options { faults: Some(faults), ..Options::new(KIND, 1 << 30, None) }
}

#[test]
fn a_full_disk_refuses_what_it_has_no_room_for_and_nothing_else() {
    for bytes in [0, 5, 30] {
        let bench = Bench::new();
        let journal = bench.open_with(fails_at(Step::Write, 2, bytes)).unwrap().journal;
        let first = append(&journal, b"first");
        let error = block_on(hand_over(&journal, b"second", Some(first)).1).unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Storage);
        assert!(error.to_string().contains("test.journal: writing to it"), "{error}");
        let third = append(&journal, b"third");
        close(&journal);
        let Opened { records, notices, .. } = bench.open();
        assert_eq!(texts(&records), [(first, "first".into()), (third, "third".into())]);
        assert_eq!(notices, Vec::<String>::new());
    }
}

#[test]
fn what_a_full_disk_kept_from_being_released_is_released_though_nobody_asks_for_more() {
    let bench = Bench::new();
    let (done, told) = mpsc::channel();
    let mut writes = 0;
    let faults: Faults = Box::new(move |step| {
        writes += usize::from(step == Step::Write);
        if step == Step::Write && writes > 2 {
            done.send(()).unwrap();
        }
        let is_full = step == Step::Write && writes == 2;
        is_full.then(|| (0, io::Error::from(io::ErrorKind::StorageFull)))
    });
    let options = Options { faults: Some(faults), ..Options::new(KIND, 1_000, None) };
    let journal = bench.open_with(options).unwrap().journal;
    let first = append(&journal, b"first");
    journal.release(vec![first]);
    told.recv_timeout(Duration::from_secs(60)).expect("it is written again");
    close(&journal);
    assert!(bench.open().records.is_empty());
}

#[test]
fn the_directory_is_held_until_the_thread_has_ended() {
    let bench = Bench::new();
    let directory = bench.path.parent().unwrap();
    let held = directory::hold(directory).unwrap();
    let (journal, syncs, go) = gated(&bench, Options::new(KIND, 1_000, Some(held)));
    let (_, answer) = hand_over(&journal, b"first", None);
    syncs.recv().unwrap();
    drop(journal);
    let error = directory::hold(directory).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Held, "it still writes there");
    drop(go);
    block_on(answer).unwrap().unwrap();
    let began = Instant::now();
    while directory::hold(directory).is_err() {
        assert!(began.elapsed() < Duration::from_secs(60), "it is never let go of");
        std::thread::yield_now();
    }
}

#[test]
fn what_could_not_be_written_takes_no_room() {
    let bench = Bench::new();
    let options = Options { max_bytes: 1_000, ..fails_at(Step::Write, 1, 30) };
    let journal = bench.open_with(options).unwrap().journal;
    let error = block_on(hand_over(&journal, &[7; 900], None).1).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    append(&journal, &[7; 900]);
    close(&journal);
    assert_eq!(bench.open().records.len(), 1);
}

#[test]
fn what_is_bounded_otherwise_does_not_count() {
    let bench = Bench::new();
    let journal = bench.open_with(Options::new(KIND, 1_000, None)).unwrap().journal;
    append(&journal, &[7; 900]);
    let refused = || journal.append(Bytes::from(vec![7; 100]), None, Box::new(|_| {})).is_err();
    assert!(refused());
    journal.exempt(Journal::size(900));
    append(&journal, &[7; 900]);
    assert!(refused());
    journal.exempt(0);
    assert!(refused());
    close(&journal);
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_any_more() {
    let bench = Bench::new();
    let journal = bench.open_with(fails_at(Step::Sync, 2, 0)).unwrap().journal;
    let first = append(&journal, b"first");
    let error = block_on(hand_over(&journal, b"second", None).1).unwrap().unwrap_err();
    assert!(error.to_string().contains("until it is opened again"), "{error}");
    assert!(block_on(hand_over(&journal, b"third", None).1).is_err(), "told nothing");
    assert_eq!(journal.why().kind(), ErrorKind::Storage);
    drop(journal);
    let records = bench.open().records;
    assert_eq!(texts(&records)[0], (first, "first".into()));
    assert!(records.len() <= 2);
}

#[test]
fn it_is_bounded_by_what_stands() {
    let bench = Bench::new();
    let journal = bench.open_with(Options::new(KIND, 1_000, None)).unwrap().journal;
    let numbers: Vec<u64> = (0..8).map(|_| append(&journal, &[7; 100])).collect();
    let told: Told = Box::new(|_| panic!("nothing is handed over"));
    let error = journal.append(Bytes::from(vec![7; 100]), None, told).unwrap_err();
    assert!(error.to_string().contains("is full: 960 of 1000 bytes"), "{error}");
    journal.release(numbers[..1].to_vec());
    // What is released is counted when it is written, with the next record at the latest.
    append(&journal, &[7; 1]);
    append(&journal, &[7; 50]);
    close(&journal);
    let left = bench.open_with(Options::new(KIND, 1_000, None)).unwrap();
    assert_eq!(left.records.len(), 9);
    let told: Told = Box::new(|_| panic!("nothing is handed over"));
    assert!(left.journal.append(Bytes::from(vec![7; 100]), None, told).is_err());
}

#[test]
fn its_file_is_made_anew_while_it_is_used() {
    let bench = Bench::new();
    let journal = bench.open().journal;
    let stays = append(&journal, b"stays");
    let mut last = 0;
    for _ in 0..40 {
        let number = append(&journal, &vec![b'x'; 1 << 20]);
        journal.release(vec![last]);
        last = number;
    }
    append(&journal, b"end");
    let length = fs::metadata(&bench.path).unwrap().len();
    assert!(length < 16 << 20, "{length} bytes");
    close(&journal);
    let Opened { records, notices, .. } = bench.open();
    let numbers: Vec<u64> = records.iter().map(|record| record.number).collect();
    assert_eq!(numbers, [stays, last, last + 1]);
    assert_eq!(&*records[0].bytes, b"stays");
    assert!(notices.is_empty());
}

#[test]
fn it_is_not_made_anew_while_what_is_in_it_stands() {
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let faults: Faults = Box::new(move |step| {
        count.fetch_add(usize::from(step == Step::Rewrite), Ordering::Relaxed);
        None
    });
    let bench = Bench::new();
    let options = Options { faults: Some(faults), ..Options::new(KIND, 1 << 30, None) };
    let journal = bench.open_with(options).unwrap().journal;
    let numbers: Vec<u64> = (0..24).map(|_| append(&journal, &vec![b'x'; 1 << 20])).collect();
    assert_eq!(made.load(Ordering::Relaxed), 1, "when it was opened");
    let (stays, released) = numbers.split_last().unwrap();
    journal.release(released.to_vec());
    let end = append(&journal, b"end");
    // Who was told of the next is told after that.
    append(&journal, b"more");
    assert_eq!(made.load(Ordering::Relaxed), 2);
    assert!(fs::metadata(&bench.path).unwrap().len() < 8 << 20);
    close(&journal);
    let found: Vec<u64> = bench.open().records.iter().map(|record| record.number).collect();
    assert_eq!(found, [*stays, end, end + 1]);
}

#[test]
fn a_file_that_cannot_be_made_anew_goes_on() {
    let bench = Bench::new();
    let journal = bench.open_with(fails_at(Step::Rewrite, 2, 0)).unwrap().journal;
    let mut stays = Vec::new();
    for number in 0..12 {
        let large = append(&journal, &vec![b'x'; 1 << 20]);
        journal.release(vec![large]);
        // It fails when what stands was read: what comes next stands behind the end all the same.
        let text = format!("stays {number}");
        stays.push((append(&journal, text.as_bytes()), text));
    }
    assert!(fs::metadata(&bench.path).unwrap().len() > 12 << 20);
    close(&journal);
    let Opened { records, notices, .. } = bench.open();
    assert_eq!((texts(&records), notices), (stays, Vec::new()));
}

#[test]
fn damage_in_the_middle_is_said_and_what_lies_around_it_is_there() {
    let bench = Bench::new();
    let journal = bench.open().journal;
    let numbers: Vec<u64> = ["one", "two", "three"].map(|t| append(&journal, t.as_bytes())).into();
    close(&journal);
    let mut file = fs::read(&bench.path).unwrap();
    let at = file.windows(3).position(|text| text == b"two").unwrap();
    file[at] ^= 1;
    fs::write(&bench.path, &file).unwrap();
    let Opened { journal, records, notices } = bench.open();
    assert_eq!(texts(&records), [(numbers[0], "one".into()), (numbers[2], "three".into())]);
    assert_eq!(notices.len(), 1);
    assert!(notices[0].contains("test.journal was damaged: 35 bytes from byte"), "{notices:?}");
    assert_eq!(fs::read(bench.aside()).unwrap(), file, "it is kept");
    close(&journal);
    assert_eq!(bench.open().notices, Vec::<String>::new(), "it is said once");
}

#[test]
fn a_record_may_be_empty() {
    let bench = Bench::new();
    let journal = bench.open().journal;
    let number = append(&journal, b"");
    close(&journal);
    let Opened { records, notices, .. } = bench.open();
    assert_eq!(texts(&records), [(number, "".into())]);
    assert_eq!(notices, Vec::<String>::new());
}

#[test]
fn a_damaged_beginning_is_said() {
    let bench = Bench::new();
    let journal = bench.open().journal;
    let node = journal.node();
    append(&journal, b"lost");
    close(&journal);
    let mut file = fs::read(&bench.path).unwrap();
    file[22] ^= 1;
    fs::write(&bench.path, &file).unwrap();
    let Opened { journal, records, notices } = bench.open();
    assert!(records.is_empty() && notices[0].contains("damaged at its beginning"), "{notices:?}");
    assert!(bench.aside().exists() && journal.node() != node);
}

#[test]
fn what_is_not_ours_is_refused() {
    let refused = |bench: &Bench| {
        let before = fs::read(&bench.path).unwrap();
        let error = bench.open_with(Options::new(KIND, 1, None)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format);
        assert_eq!(fs::read(&bench.path).unwrap(), before, "it is left as it is");
        error.to_string()
    };
    let bench = Bench::new();
    fs::write(&bench.path, "somebody's").unwrap();
    assert!(refused(&bench).contains("test.journal is not a file of ours"));
    fs::remove_file(&bench.path).unwrap();
    close(&bench.open().journal);
    let mut file = fs::read(&bench.path).unwrap();
    file[8] = 2;
    fs::write(&bench.path, &file).unwrap();
    assert!(refused(&bench).contains("has format 2, this program writes format 1"));
    fs::remove_file(&bench.path).unwrap();
    let other = Options::new(*b"another\0", 1, None);
    close(&bench.open_with(other).unwrap().journal);
    assert!(refused(&bench).contains("is a journal of something else"));
}

#[test]
fn a_record_that_looks_like_a_frame_is_none() {
    let bench = Bench::new();
    let journal = bench.open().journal;
    append(&journal, b"inner");
    let inner = bench.used();
    let outer = append(&journal, &inner);
    close(&journal);
    // The frame that holds it is damaged: what looks like frames within is not taken for any.
    let mut file = fs::read(&bench.path).unwrap();
    let at = file.len() - inner.len() - 4;
    file[at] ^= 1;
    fs::write(&bench.path, &file).unwrap();
    let Opened { records, notices, .. } = bench.open();
    assert!(records.iter().all(|record| record.number != outer) && records.len() == 1);
    assert!(notices[0].contains("are cut short"), "{notices:?}");
}

#[derive(Clone, Debug)]
enum Op {
    Append(usize),
    Instead(usize, usize),
    Release(usize),
    /// Opened again after a close.
    Close,
    /// Opened again from a file that lacks part of what nobody was told of: so many bytes of 256.
    Crash(usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => (1..300usize).prop_map(Op::Append),
        2 => (0..8usize, 1..300usize).prop_map(|(at, size)| Op::Instead(at, size)),
        3 => (0..8usize).prop_map(Op::Release),
        1 => Just(Op::Close),
        2 => (0..=256usize).prop_map(Op::Crash),
    ];
    proptest::collection::vec(op, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn it_does_as_a_map_does(ops in ops()) {
        let bench = Bench::new();
        let mut journal = bench.open().journal;
        // What stands for sure, and what was released and may be there again.
        let mut stands = BTreeMap::<u64, Vec<u8>>::new();
        let mut released = BTreeMap::<u64, Vec<u8>>::new();
        // How long the file was when the last was told of its record.
        let mut durable = bench.used().len();
        let mut acknowledged = 0;
        let nth = |stands: &BTreeMap<u64, Vec<u8>>, at: usize| stands.keys().nth(at).copied();
        for (at, op) in ops.into_iter().enumerate() {
            let (size, instead) = match op {
                Op::Append(size) => (size, None),
                Op::Instead(which, size) => (size, nth(&stands, which)),
                Op::Release(which) => {
                    if let Some(number) = nth(&stands, which) {
                        released.extend(stands.remove_entry(&number));
                        journal.release(vec![number]);
                    }
                    continue;
                }
                Op::Close | Op::Crash(_) => {
                    if let Op::Crash(share) = op {
                        // Somebody who is told nothing any more: it may be there or not.
                        let bytes = vec![at as u8 | 128; share];
                        let (number, _) = hand_over(&journal, &bytes, None);
                        released.insert(number, bytes);
                        close(&journal);
                        let mut file = fs::read(&bench.path).unwrap();
                        let whole = file.len();
                        file.truncate(durable + (whole - durable) * share / 256);
                        // Where there was room it still is there.
                        if share % 2 == 1 {
                            file.resize(whole + 1_000, 0);
                        }
                        fs::write(&bench.path, file).unwrap();
                    } else {
                        close(&journal);
                    }
                    let opened = bench.open();
                    let found: BTreeMap<u64, Vec<u8>> =
                        opened.records.iter().map(|r| (r.number, r.bytes.to_vec())).collect();
                    for (number, bytes) in &stands {
                        prop_assert_eq!(found.get(number), Some(bytes));
                    }
                    for (number, bytes) in found.iter().filter(|(n, _)| !stands.contains_key(*n)) {
                        prop_assert_eq!(released.get(number), Some(bytes), "it was never there");
                        prop_assert!(matches!(op, Op::Crash(_)), "a close keeps what was released");
                    }
                    prop_assert!(opened.notices.iter().all(|said| said.contains("cut short")));
                    (journal, stands) = (opened.journal, found);
                    released.clear();
                    durable = bench.used().len();
                    continue;
                }
            };
            let bytes = vec![at as u8 | 128; size];
            let (number, answer) = hand_over(&journal, &bytes, instead);
            block_on(answer).unwrap().unwrap();
            prop_assert!(!stands.contains_key(&number) && number > acknowledged);
            acknowledged = number;
            if let Some(instead) = instead {
                // By the same write: it is not there again.
                stands.remove(&instead);
            }
            stands.insert(number, bytes);
            // All that was released before went with it.
            released.clear();
            durable = bench.used().len();
        }
        close(&journal);
    }
}
