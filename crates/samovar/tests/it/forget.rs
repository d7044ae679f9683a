//! Too many marks: what is forgotten makes colder, never wrong.

use std::path::Path;

use samovar::fence::LocalLog;
use samovar::{Cache, CachePolicy, PutOptions, Samovar, Settings};
use samovar_core::{Day, Key, MarkLog, Mode, Numbered, Part, Scope, Span, Tags, Verdict};
use samovar_testkit::clock::FakeClock;
use samovar_testkit::log::mark as numbered;
use tempfile::tempdir;

use crate::support::{START, block_on, get, key, mark, policy, settings, stamp, text, whole};

/// How many scopes are remembered; twice as many while the disk is not swept.
const MOST: usize = 8;

fn open(directory: Option<&Path>) -> Samovar {
    let settings = settings(directory, &FakeClock::at(START));
    block_on(Samovar::open(Settings { marks_max: MOST, ..settings })).unwrap()
}

/// Marks so many keys of a cache that nobody reads.
fn crowd(samovar: &Samovar, cache: &str, from: usize, count: usize) {
    for id in from..from + count {
        mark(samovar, key(cache, &format!("nobody's {id}")), Mode::Remove);
    }
}

fn put(samovar: &Samovar, cache: &Cache<String>, id: &str) {
    cache.put(id, "v".to_owned(), whole(samovar));
}

#[test]
fn memory_keeps_what_was_looked_at_since_and_what_others_did_not_crowd() {
    let samovar = open(None);
    let (cache, other) = (samovar.cache::<String>(policy("c")), samovar.cache(policy("other")));
    for id in ["looked at", "left"] {
        put(&samovar, &cache, id);
    }
    put(&samovar, &other, "left");
    crowd(&samovar, "c", 0, MOST);
    assert_eq!((samovar.fence().forgotten(), samovar.fence().floor("c")), (0, 0), "there is room");
    assert_eq!(cache.peek("looked at").unwrap().verdict, Verdict::Fresh);
    crowd(&samovar, "c", MOST, 1);
    assert!(samovar.fence().forgotten() > 0);
    let floor = samovar.fence().floor("c");
    assert!((1..MOST as u64).contains(&floor), "the oldest go: {floor}");
    assert_eq!(samovar.fence().floor("other"), 0);
    assert_eq!(cache.peek("looked at").unwrap().verdict, Verdict::Fresh);
    assert_eq!(other.peek("left").unwrap().verdict, Verdict::Fresh);
    assert!(cache.peek("left").is_none(), "nobody knows any more whether it was marked");
    put(&samovar, &cache, "left");
    crowd(&samovar, "c", 2 * MOST, 1);
    assert_eq!(cache.peek("left").unwrap().verdict, Verdict::Fresh, "it is read again once");
}

#[test]
fn one_call_may_have_more_than_are_remembered() {
    let samovar = open(None);
    // The log takes them in several goes, and while some are pending others are forgotten.
    let scopes = (0..3_000).map(|id| key("c", &id.to_string())).collect();
    block_on(samovar.mark(scopes, Mode::Remove, "test")).unwrap();
    let remembered = 3_000 - samovar.fence().forgotten();
    assert!(remembered <= 2 * MOST as u64, "{remembered}");
}

#[test]
fn what_was_marked_and_forgotten_is_not_served() {
    for scope in [
        key("c", "k"),
        Scope::Pattern("*:k".parse().unwrap()),
        Scope::Tag("t".into()),
        Scope::Cache("c".into()),
    ] {
        let directory = tempdir().unwrap();
        let samovar = open(Some(directory.path()));
        let cache = samovar.cache::<String>(policy("c"));
        let options = PutOptions { tags: Tags::new(["t"]).unwrap(), ..PutOptions::default() };
        cache.put_with("k", "old".to_owned(), whole(&samovar), options);
        block_on(samovar.flush()).unwrap();
        mark(&samovar, scope.clone(), Mode::Expire);
        assert_eq!(get(&cache, "k").unwrap().verdict, Verdict::Stale);
        for id in 0..40 {
            // Of every kind, so that whatever the mark is it is crowded out.
            mark(&samovar, Scope::Cache(format!("no {id}").into()), Mode::Remove);
            mark(&samovar, Scope::Tag(format!("no {id}").into()), Mode::Remove);
            mark(&samovar, Scope::Pattern(format!("no {id}*").parse().unwrap()), Mode::Remove);
            crowd(&samovar, "c", id, 1);
        }
        assert!(samovar.fence().floor("c") > 1, "{scope}");
        assert_eq!(text(get(&cache, "k")), None, "{scope}: not even as stale");
        block_on(samovar.close()).unwrap();
        // Nor after a restart: by what the log has in its place.
        let samovar = open(Some(directory.path()));
        assert_eq!(text(get(&samovar.cache(policy("c")), "k")), None, "{scope}");
        block_on(samovar.close()).unwrap();
    }
}

#[test]
fn a_mark_is_not_forgotten_before_the_disk_is_swept_of_it_up_to_twice_as_many() {
    let directory = tempdir().unwrap();
    let samovar = open(Some(directory.path()));
    let cache = samovar.cache::<String>(policy("c"));
    cache.put_below("k", "v".to_owned(), whole(&samovar));
    block_on(samovar.flush()).unwrap();
    crowd(&samovar, "c", 0, 2 * MOST);
    assert_eq!(samovar.fence().forgotten(), 0, "it is not swept");
    block_on(samovar.sweep()).unwrap();
    assert!(samovar.fence().forgotten() >= MOST as u64, "now it is");
    assert!(samovar.fence().floor("c") > 0);
    // It was read before what is forgotten, and the sweep found it clean.
    assert_eq!(get(&cache, "k").unwrap().verdict, Verdict::Fresh);
    block_on(samovar.close()).unwrap();

    let samovar = open(Some(directory.path()));
    let cache = samovar.cache::<String>(policy("c"));
    assert_eq!(get(&cache, "k").unwrap().verdict, Verdict::Stale, "as after any restart");
    cache.put_below("late", "v".to_owned(), whole(&samovar));
    block_on(samovar.flush()).unwrap();
    crowd(&samovar, "c", 100, 2 * MOST + 1);
    let floor = samovar.fence().floor("c");
    assert!(samovar.fence().forgotten() > 0, "there is an end to waiting");
    assert_eq!(text(get(&cache, "late")), None, "read before number {floor}");
    block_on(samovar.close()).unwrap();
}

/// An entry of which some is refused may be kept, and costs nobody else anything.
#[test]
fn what_is_put_on_disk_half_refused_makes_nothing_else_colder() {
    let directory = tempdir().unwrap();
    let samovar = open(Some(directory.path()));
    let cache = samovar.cache::<String>(CachePolicy { memory: false, ..policy("c") });
    cache.put_below("k", "v".to_owned(), whole(&samovar));
    let old = stamp(&samovar);
    block_on(samovar.flush()).unwrap();
    crowd(&samovar, "c", 0, MOST + 1);
    block_on(samovar.sweep()).unwrap();
    assert!(samovar.fence().floor("c") > 0);
    let day = |day| Some(Span { store: "7".into(), from: Day(day), to: Day(day) });
    let parts = [Part { span: day(0), stamp: old }, Part { span: day(1), stamp: stamp(&samovar) }];
    cache.put_below("half", "v".to_owned(), parts.into());
    for _ in 0..2 {
        block_on(samovar.flush()).unwrap();
        let half = get(&cache, "half").unwrap();
        assert_eq!([0, 1].map(|part| half.part_verdict(part)), [Verdict::Refused, Verdict::Fresh]);
        assert_eq!(get(&cache, "k").unwrap().verdict, Verdict::Fresh);
        block_on(samovar.sweep()).unwrap();
    }
    block_on(samovar.close()).unwrap();
}

/// What the log remembers is bounded, and says of every mark that it forgot that something wider was removed.
#[test]
fn the_log_forgets_too_and_says_so() {
    let directory = tempdir().unwrap();
    let open = || LocalLog::open(directory.path(), MOST).unwrap().0;
    let mut log = open();
    let mut appended: Vec<Numbered> = Vec::new();
    for number in 0..200u64 {
        let scope = match number % 9 {
            0 => Scope::Tag(number.to_string().into()),
            1 => Scope::Key(Key::new("few", (number % 3).to_string())),
            2 => Scope::Cache("few".into()),
            3 => Scope::Cache(number.to_string().into()),
            _ => Scope::Key(Key::new("crowd", number.to_string())),
        };
        let mode = if number % 2 == 0 { Mode::Remove } else { Mode::Expire };
        let mark = numbered(u128::from(number), scope, mode, 7);
        let version = samovar_testkit::log::append(&log, vec![mark.clone()]).unwrap();
        appended.push(Numbered { version, mark });
        if number % 50 == 49 {
            block_on(log.close()).unwrap();
            log = open();
        }
        let snapshot = block_on(log.snapshot()).unwrap();
        assert!(snapshot.marks.len() <= 3 * MOST, "{}", snapshot.marks.len());
        assert!(snapshot.marks.windows(2).all(|two| two[0].version.seq < two[1].version.seq));
        let answers_for = |mark: &Numbered| {
            let later = |kept: &&Numbered| kept.version.seq >= mark.version.seq;
            snapshot.marks.iter().filter(later).any(|kept| {
                let wider = match (&mark.mark.scope, &kept.mark.scope) {
                    (Scope::Key(key), Scope::Cache(cache)) => key.cache == *cache,
                    (_, scope) => *scope == Scope::Everything,
                };
                kept.mark.scope == mark.mark.scope || (wider && kept.mark.mode == Mode::Remove)
            })
        };
        assert!(appended.iter().all(answers_for), "after {number}");
    }
    let marks = block_on(log.snapshot()).unwrap().marks;
    let newest = |mark: &Numbered| marks.iter().any(|kept| kept == mark);
    assert!(newest(&appended[199]) && newest(&appended[197]), "the newest stand as they are");
}
