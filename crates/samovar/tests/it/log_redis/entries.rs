//! Marks that were sent together share an entry of the stream.

use samovar_core::{Mark, Next};

use super::*;

const STREAM: &str = "{samovar:log}:marks";

fn some(count: u128) -> Vec<Mark> {
    let key = |n: u128| Scope::Key(Key::new("c", n.to_string()));
    (1..=count).map(|n| log::mark(n, key(n), Mode::Remove, 7)).collect()
}

/// The numbers of marks, and their names.
fn named(marks: &[Numbered]) -> Vec<(u64, u128)> {
    marks.iter().map(|numbered| (numbered.version.seq, numbered.mark.id.0)).collect()
}

fn numbers(from: u64, to: u64) -> Vec<(u64, u128)> {
    (from..=to).map(|n| (n, u128::from(n))).collect()
}

#[test]
fn whoever_has_read_a_part_of_an_entry_is_given_the_rest() {
    let server = Server::launch(&Setup::new()).unwrap();
    let shared = open(&alone(&server), HASTY);
    block_on(shared.snapshot()).unwrap();
    assert_eq!(log::append(&shared, some(40)).unwrap().seq, 40);
    assert_eq!(server.cli(&["XLEN", STREAM]).unwrap().trim(), "3", "16, 16 and 8");
    for after in 0..40 {
        assert_eq!(named(&log::marks_after(&shared, after)), numbers(after + 1, 40));
    }
    block_on(shared.close()).unwrap();
}

#[test]
fn what_is_trimmed_goes_by_entries() {
    let server = Server::launch(&Setup::new()).unwrap();
    let shared = open(&alone(&server), HASTY);
    block_on(shared.snapshot()).unwrap();
    log::append(&shared, some(40)).unwrap();
    server.cli(&["XTRIM", STREAM, "MAXLEN", "1"]).unwrap();
    let snapshot = block_on(open(&alone(&server), HASTY).snapshot()).unwrap();
    assert_eq!(snapshot.head.seq, 40);
    let (floor, rest) = snapshot.marks.split_first().unwrap();
    assert_eq!((floor.version.seq, &floor.mark.scope), (32, &Scope::Everything));
    assert_eq!(named(rest), numbers(33, 40));
    // Who has read up to there lacks nothing, who has not does.
    let next = |after| block_on(shared.next(&snapshot.history, after)).unwrap();
    assert!(matches!(next(32), Next::Marks(marks) if named(&marks) == numbers(33, 40)));
    assert!(!matches!(next(31), Next::Marks(_)));
    block_on(shared.close()).unwrap();
}

#[test]
fn the_log_is_kept_as_short_as_it_is_to_be() {
    let server = Server::launch(&Setup::new()).unwrap();
    let shared = open(&alone(&server), RedisLogOptions { keep: 1_000, ..HASTY });
    block_on(shared.snapshot()).unwrap();
    for _ in 0..20 {
        log::append(&shared, some(1_000)).unwrap();
    }
    let snapshot = block_on(open(&alone(&server), HASTY).snapshot()).unwrap();
    // Redis lets go of whole nodes of its tree alone.
    let first = snapshot.marks[0].version.seq;
    assert!((10_000..=19_000).contains(&first), "after {first} of 20,000");
    block_on(shared.close()).unwrap();
}

#[test]
fn what_cannot_be_read_stops_no_mark_before_it() {
    let server = Server::launch(&Setup::new()).unwrap();
    let shared = open(&alone(&server), HASTY);
    let history = block_on(shared.snapshot()).unwrap().history;
    log::append(&shared, some(1)).unwrap();
    let script = "local first = redis.call('XRANGE', KEYS[1], '1-0', '1-0')[1][2] \
        redis.call('XADD', KEYS[1], '3-0', 'e', first[2], 'm', first[4], 'm', '~a newer mark')";
    server.cli(&["EVAL", script, "1", STREAM]).unwrap();
    server.cli(&["HSET", "{samovar:log}:meta", "seq", "3"]).unwrap();
    let next = |after| block_on(shared.next(&history, after));
    assert!(matches!(next(0), Ok(Next::Marks(marks)) if named(&marks) == [(1, 1), (2, 1)]));
    assert_eq!(next(2).unwrap_err().kind(), ErrorKind::Format);
    block_on(shared.close()).unwrap();
}
